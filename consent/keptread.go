package consent

import (
	"encoding/json"
	"fmt"
	"slices"
)

// ReadKept reads what [Authority.Kept] wrote of a consent, from the archive that its person brings: as another operator would
// say it, but for the keys of the service, of which an archive says nothing. It returns false for a document of another kind.
func ReadKept(body json.RawMessage) (f Following, ok bool, err error) {
	var kept struct {
		Type string `json:"type"`
		keptDocument
	}
	if err := json.Unmarshal(body, &kept); err != nil {
		return f, false, fmt.Errorf("%w: a document of consents: %w", ErrRequest, err)
	}
	if kept.Type != "consent" {
		return f, false, nil
	}
	if kept.Service == nil || len(kept.Revisions) == 0 {
		return f, true, fmt.Errorf("%w: a consent without a service, or without a revision", ErrRequest)
	}
	s, last := kept.Service, kept.Revisions[len(kept.Revisions)-1]
	f = Following{Grant: kept.Consent, Revision: last.Revision, State: kept.State, Details: last.Details, Created: kept.Created, Expires: kept.Expires, Method: last.Method,
		Service: FollowingService{ID: s.ID, Name: s.Name, LegalName: s.LegalName, Registrations: s.Registrations, Country: s.Country, Keys: []string{}}}
	f.Paused = slices.ContainsFunc(kept.Paused, func(i Interval) bool { return i.Ended.IsZero() })
	for _, r := range slices.Backward(kept.Revisions) {
		if n := r.Notice; n != nil {
			f.Notice = &FollowingNotice{n.SHA256, n.Language, n.Version, n.Shown}
			break
		}
	}
	return f, true, nil
}
