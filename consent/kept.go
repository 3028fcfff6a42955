package consent

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"iter"
	"time"
)

// Kept is one thing that is kept of what a person decided, as a document of its own.
type Kept struct {
	ID   string // unique among all that is kept of the person
	At   time.Time
	Body json.RawMessage // an object; its "type" is "consent", "accesses", "refusal", "retrievals", "brought" or "history"
}

// keptAccesses is how many accesses are in one document.
const keptAccesses = 1000

// Kept walks all that is kept of what a person decided: their consents with every revision and the notices that they were
// shown, what was read, what they refused, and what the operator read at banks for them. It is what they have a right to a copy of (GDPR article 15).
func (a *Authority) Kept(ctx context.Context, person string) iter.Seq2[Kept, error] {
	return func(yield func(Kept, error) bool) {
		consents, err := a.Consents(ctx, person)
		if err != nil {
			yield(Kept{}, err)
			return
		}
		for i := range consents {
			c := &consents[i]
			k, err := a.keptConsent(ctx, c)
			if !yield(k, err) || err != nil {
				return
			}
			for k, err := range a.keptAccesses(ctx, c) {
				if !yield(k, err) || err != nil {
					return
				}
			}
		}
		refusals, err := a.keptRefusals(ctx, person)
		if err != nil {
			yield(Kept{}, err)
			return
		}
		for _, k := range refusals {
			if !yield(k, nil) {
				return
			}
		}
		brought, err := a.keptBrought(ctx, person)
		if err != nil {
			yield(Kept{}, err)
			return
		}
		for _, k := range brought {
			if !yield(k, nil) {
				return
			}
		}
		for k, err := range a.keptRetrievals(ctx, person) {
			if !yield(k, err) || err != nil {
				return
			}
		}
	}
}

// keptNotice is what a person was shown.
type keptNotice struct {
	SHA256   string    `json:"sha256"`
	Language string    `json:"language"`
	Version  string    `json:"version"`
	Shown    time.Time `json:"shown"`
	HTML     string    `json:"html"`
}

type keptRevision struct {
	Revision int         `json:"revision"`
	State    State       `json:"state"`
	At       time.Time   `json:"at"`
	Expires  time.Time   `json:"expires"`
	Method   string      `json:"method,omitempty"`
	Reason   string      `json:"reason,omitempty"`
	Rules    []string    `json:"rules,omitempty"`
	Details  []Detail    `json:"details"`
	Notice   *keptNotice `json:"notice,omitempty"`
}

// keptDocument is a consent as it is kept, but for its type.
type keptDocument struct {
	Consent   string         `json:"consent"`
	Service   *Service       `json:"service"` // who received the data
	State     State          `json:"state"`
	Created   time.Time      `json:"created"`
	Expires   time.Time      `json:"expires"`
	Accesses  int64          `json:"access_count"`
	Paused    []Interval     `json:"paused,omitempty"`
	Revisions []keptRevision `json:"revisions"`
}

func (a *Authority) keptConsent(ctx context.Context, c *Consent) (Kept, error) {
	service, err := a.Service(ctx, c.Service)
	if err != nil {
		return Kept{}, err
	}
	pauses, err := a.Pauses(ctx, c.ID)
	if err != nil {
		return Kept{}, err
	}
	revisions, err := a.Revisions(ctx, c.ID)
	if err != nil {
		return Kept{}, err
	}
	body := struct {
		Type string `json:"type"`
		keptDocument
	}{"consent", keptDocument{c.ID, service, c.State, c.Created, c.Expires, c.Accesses, pauses, nil}}
	for _, r := range revisions {
		k := keptRevision{r.Number, r.State, r.At, r.Expires, r.Method, r.Reason, r.Packs, r.Details, nil}
		if r.Notice != "" {
			about := r.Request
			if about == "" {
				about = c.ID
			}
			n, err := a.Notice(ctx, about, r.Notice)
			if err != nil {
				return Kept{}, err
			}
			k.Notice = &keptNotice{n.Hash, n.Language, n.Version, n.Shown, string(n.Content)}
		}
		body.Revisions = append(body.Revisions, k)
	}
	text, err := json.Marshal(body)
	return Kept{c.ID, c.Changed, text}, err
}

// keptAccess is an access.
type keptAccess struct {
	ID       string    `json:"id"`
	Revision int       `json:"revision"`
	Datasets string    `json:"datasets"`
	Action   Action    `json:"action"`
	Begun    time.Time `json:"begun"`
	Ended    time.Time `json:"ended,omitzero"`
	Records  int64     `json:"records"`
	Bytes    int64     `json:"bytes"`
	SHA256   string    `json:"sha256,omitempty"`
	Outcome  string    `json:"outcome,omitempty"`
}

func (a *Authority) keptAccesses(ctx context.Context, c *Consent) iter.Seq2[Kept, error] {
	return keptPages(c.ID+"-accesses", func(after Place) ([]keptAccess, error) {
		return scanAll(ctx, a.db.Read, "list what was read", func(row *sql.Rows) (k keptAccess, err error) {
			var begun, ended int64
			err = row.Scan(&k.ID, &k.Revision, &k.Datasets, &k.Action, &begun, &ended, &k.Records, &k.Bytes, &k.SHA256, &k.Outcome)
			k.Begun, k.Ended = fromMicro(begun), fromMicro(ended)
			return k, err
		}, `SELECT id, revision, dataset, action, begun, ended, records, bytes, hash, outcome FROM consent_access
			WHERE consent = $1 AND begun >= $2 AND (begun > $2 OR id > $3) ORDER BY begun, id LIMIT $4`, c.ID, micro(after.Begun), after.ID, keptAccesses)
	}, func(k keptAccess) Place { return Place{k.Begun, k.ID} }, func(list []keptAccess) any {
		return struct {
			Type     string       `json:"type"`
			Consent  string       `json:"consent"`
			Service  string       `json:"service"`
			Accesses []keptAccess `json:"accesses"`
		}{"accesses", c.ID, c.Service, list}
	})
}

// keptPages makes documents of what there is much of, the first first, up to keptAccesses in each: of each page that comes after
// a place what is written, under the name and its number.
func keptPages[T any](name string, after func(Place) ([]T, error), place func(T) Place, written func([]T) any) iter.Seq2[Kept, error] {
	return func(yield func(Kept, error) bool) {
		last := Place{}
		for page := 1; ; page++ {
			list, err := after(last)
			if err != nil {
				yield(Kept{}, err)
				return
			}
			if len(list) == 0 {
				return
			}
			last = place(list[len(list)-1])
			text, err := json.Marshal(written(list))
			if !yield(Kept{fmt.Sprintf("%s-%d", name, page), last.Begun, text}, err) || err != nil || len(list) < keptAccesses {
				return
			}
		}
	}
}

func (a *Authority) keptRefusals(ctx context.Context, person string) ([]Kept, error) {
	return scanAll(ctx, a.db.Read, "list what was refused", func(row *sql.Rows) (Kept, error) {
		var id, service, details string
		var decided int64
		if err := row.Scan(&id, &service, &details, &decided); err != nil {
			return Kept{}, err
		}
		text, err := json.Marshal(struct {
			Type    string          `json:"type"`
			Request string          `json:"request"`
			Service string          `json:"service"`
			Refused time.Time       `json:"refused"`
			Details json.RawMessage `json:"details"`
		}{"refusal", id, service, fromMicro(decided), json.RawMessage(details)})
		return Kept{id, fromMicro(decided), text}, err
	}, `SELECT id, service, details, decided FROM consent_request WHERE person = $1 AND state = 'ConsentRefused' ORDER BY decided, id`, person)
}
