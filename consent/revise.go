package consent

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/passerelle-cloud/passerelle/consent/ledger"
	"github.com/passerelle-cloud/passerelle/formats"
)

// revise makes a new revision of a consent, stores it, and returns the event for the log.
func (a *Authority) revise(ctx context.Context, tx *sql.Tx, c *Consent, rev Revision, facts Facts) (ledger.Event, error) {
	from := Requested
	switch {
	case c.Revision > 0 && rev.State == Expired:
		from = c.State
	case c.Revision > 0:
		from = c.expired(facts.Now)
	}
	if !from.leadsTo(rev.State) {
		return ledger.Event{}, fmt.Errorf("%w: %s cannot become %s", ErrState, from, rev.State)
	}
	packs := c.Packs
	if rev.State.Valid() {
		err := a.lives(ctx, tx, c.Person)
		if err != nil {
			return ledger.Event{}, err
		}
		if packs, err = a.judge(facts); err != nil {
			return ledger.Event{}, err
		}
		rev.Expires = latest(rev.Details)
	} else {
		rev.Expires = c.Expires
	}
	if err := c.unpause(ctx, tx, rev, facts.Now); err != nil {
		return ledger.Event{}, err
	}
	c.State, c.Details, c.Packs, c.Expires, c.Changed = rev.State, rev.Details, packs, rev.Expires, facts.Now
	if s := facts.Session; s != nil && rev.State.Valid() {
		c.method, c.authenticated = s.Method, s.Authenticated.UTC()
	}
	c.Revision++
	rev.Consent, rev.Number, rev.At, rev.Packs = c.ID, c.Revision, facts.Now, packs
	if err := rev.store(ctx, tx, c, facts); err != nil {
		return ledger.Event{}, err
	}
	event, err := rev.event(c)
	if a.proofs > 0 {
		event.Keep = facts.Now.Add(a.proofs)
	}
	return event, err
}

// latest returns when the last of the details expires.
func latest(details []Detail) (at time.Time) {
	for _, d := range details {
		if d.Expires.After(at) {
			at = d.Expires
		}
	}
	return at
}

func (rev *Revision) store(ctx context.Context, tx *sql.Tx, c *Consent, facts Facts) error {
	details, err := json.Marshal(rev.Details)
	if err != nil {
		return err
	}
	if rev.Facts, err = json.Marshal(facts); err != nil {
		return err
	}
	packs, err := json.Marshal(rev.Packs)
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, `
		INSERT INTO consent_revision (consent, number, state, details, request, notice, language, method, reason, at, expires, packs, facts)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)`,
		rev.Consent, rev.Number, rev.State, string(details), rev.Request, rev.Notice, rev.Language, rev.Method, rev.Reason,
		micro(rev.At), micro(rev.Expires), string(packs), string(rev.Facts))
	if err != nil {
		return fmt.Errorf("store the revision: %w", err)
	}
	_, err = tx.ExecContext(ctx, `
		INSERT INTO consent_consent (id, person, service, state, revision, created, changed, expires, accesses, last, before, paused, datasets, countries, method, authenticated) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 0, 0, 0, $9, $10, $11, $12, $13)
		ON CONFLICT (id) DO UPDATE SET state = excluded.state, revision = excluded.revision, changed = excluded.changed, expires = excluded.expires, paused = excluded.paused, datasets = excluded.datasets, countries = excluded.countries,
			method = excluded.method, authenticated = excluded.authenticated`,
		c.ID, c.Person, c.Service, c.State, c.Revision, micro(c.Created), micro(c.Changed), micro(c.Expires), micro(c.Paused), datasetsOf(c.Details), countriesOf(c.Details), c.method, micro(c.authenticated))
	if err != nil {
		return fmt.Errorf("store the consent: %w", err)
	}
	return nil
}

// verbs name the events of the log.
var verbs = map[State]string{Given: "consent.granted", Renewed: "consent.renewed", Refused: "consent.refused", Withdrawn: "consent.withdrawn",
	Expired: "consent.expired", Invalidated: "consent.invalidated", Revoked: "consent.revoked"}

// proof is the detail of a decision's event: what it was taken on, by hash.
type proof struct {
	Details formats.Hash `json:"details"` // of the authorization_details, as stored
	Facts   formats.Hash `json:"facts"`
	Notice  string       `json:"notice,omitempty"`
	Method  string       `json:"method,omitempty"`
	Expires time.Time    `json:"expires,omitzero"`
}

func (rev *Revision) event(c *Consent) (ledger.Event, error) {
	details, err := json.Marshal(rev.Details)
	if err != nil {
		return ledger.Event{}, err
	}
	text, err := json.Marshal(proof{formats.HashOf(details), formats.HashOf(rev.Facts), rev.Notice, rev.Method, rev.Expires})
	return ledger.Event{Person: c.Person, Class: ledger.Decision, Type: verbs[rev.State], Service: c.Service, Consent: c.ID,
		Revision: strconv.Itoa(rev.Number), Dataset: datasetsOf(rev.Details), Regime: strings.Join(rev.Packs, ", "), Detail: string(text)}, err
}

// wholeInstance is what stands in the log where everything moves.
const wholeInstance = "instance"

func datasetsOf(details []Detail) string {
	var names []string
	for _, d := range details {
		for _, set := range d.Datasets {
			if !slices.Contains(names, string(set)) {
				names = append(names, string(set))
			}
		}
		if d.Type == InstanceMove {
			names = append(names, wholeInstance)
		}
	}
	return strings.Join(names, " ")
}
