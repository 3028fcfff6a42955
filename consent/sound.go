package consent

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"

	"github.com/google/uuid"

	"github.com/passerelle-cloud/passerelle/internal/strict"
)

var hashForm = regexp.MustCompile(`^[0-9a-f]{64}$`)

// Sound says what is wrong with the form of what another operator says of a consent: what nobody could have granted here, or
// could not be shown to the person, does not come in.
func (a *Authority) Sound(f *Following) error {
	if _, err := uuid.Parse(f.Grant); err != nil || f.Revision < 1 {
		return fmt.Errorf("%w: the grant_id or its revision", ErrRequest)
	}
	text, err := json.Marshal(f.Details)
	if err != nil || len(text) > MaxDetails || len(f.Details) == 0 || len(f.Details) > maxDetails {
		return errors.Join(fmt.Errorf("%w: authorization_details", ErrRequest), err)
	}
	for i := range f.Details {
		if faults := a.valid.Faults(&f.Details[i]); len(faults) > 0 {
			return fmt.Errorf("%w: authorization_details: %s", ErrRequest, faults[0])
		}
	}
	s := &f.Service
	for _, name := range []string{s.ID, s.Name, s.LegalName, s.Country, f.Method, string(f.State)} {
		if len(name) > 300 || !strict.IsLine(name) {
			return fmt.Errorf("%w: a name that is no line, or too long", ErrRequest)
		}
	}
	if len(s.Registrations) > 20 || len(s.Keys) > 50 || slices.ContainsFunc(s.Keys, func(k string) bool { return len(k) != 43 }) {
		return fmt.Errorf("%w: registrations or keys", ErrRequest)
	}
	if n := f.Notice; f.State.Valid() && (n == nil || !hashForm.MatchString(n.SHA256) || !languageForm.MatchString(n.Language) || len(n.Version) > 100 || n.Shown.IsZero() || n.Shown.After(a.now())) {
		return fmt.Errorf("%w: what the person was shown", ErrRequest)
	}
	return nil
}
