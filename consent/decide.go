package consent

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/passerelle-cloud/passerelle/consent/ledger"
	"github.com/passerelle-cloud/passerelle/formats"
)

// Decision is what a person says to a request, and what is known of how they said it.
type Decision struct {
	Request string
	Person  string
	// Details are what is granted, one for each that was asked and in that order: the same, or less of it. One without
	// datasets is not granted. A grant without any is a refusal.
	Details []Detail
	Notice  string // hash of the notice that the person was shown, see [Authority.Show]
	Session SessionFacts
}

// Grant gives what a person granted. also, if not nil, runs in the same transaction: the consent, its leaf in the log
// and the service's code are there together or not at all. The error wraps [ErrNotFound], [ErrState] (it was decided
// already, or is too old), [ErrBeyond], [ErrRefused] or [ErrSuspended].
func (a *Authority) Grant(ctx context.Context, d Decision, also func(*sql.Tx, Consent) error) (Consent, error) {
	var c Consent
	_, err := a.ledger.Commit(ctx, func(tx *sql.Tx) ([]ledger.Event, error) {
		var events []ledger.Event
		var err error
		if c, events, err = a.grant(ctx, tx, d); err == nil && also != nil {
			err = also(tx, c)
		}
		return events, err
	})
	if err != nil {
		return Consent{}, fmt.Errorf("grant: %w", errors.Join(err, a.countRefused(ctx, c.Service, StepGrant, err)))
	}
	a.stats.decided("granted")
	if c.Revision > 1 { // what goes on under the revision before must ask again
		err = a.stopConsent(ctx, c.ID)
	}
	return c, err
}

func (a *Authority) grant(ctx context.Context, tx *sql.Tx, d Decision) (Consent, []ledger.Event, error) {
	now := a.now()
	r, err := a.decide(ctx, tx, d, Given, now)
	if err != nil {
		return Consent{}, nil, err
	}
	service, err := a.active(ctx, tx, r.Service)
	if err != nil {
		return Consent{}, nil, err
	}
	granted, err := narrowed(d.Details, r.Details)
	if err != nil {
		return Consent{}, nil, err
	}
	c := Consent{ID: newID(), Person: d.Person, Service: r.Service, Created: now.UTC()}
	var before *ConsentFacts
	var events []ledger.Event
	if r.Action != Create {
		if c, err = a.locked(ctx, tx, r.Consent, `person`, d.Person); err != nil {
			return c, nil, err
		}
		before = c.facts(now)
		if !c.Paused.IsZero() && c.Valid(now) { // who grants more lets it be read
			events = append(events, c.pauseEvent("consent.resumed", d.Session))
		}
		if err := c.resume(ctx, tx, now, d.Session.Method); err != nil {
			return c, nil, err
		}
	}
	if r.Action == Merge {
		granted = merged(c.Details, granted)
	}
	facts := Facts{Now: now.UTC(), Step: StepGrant, Operator: a.operator, Service: service.facts(), Asked: r.Details, Granted: granted,
		Consent: before, Session: &d.Session}
	if facts.Notice, err = readNotice(ctx, tx, r.ID, d.Notice); err != nil {
		return c, nil, err
	}
	rev := Revision{State: Given, Details: granted, Request: r.ID, Notice: facts.Notice.SHA256, Language: facts.Notice.Language, Method: d.Session.Method}
	event, err := a.revise(ctx, tx, &c, rev, facts)
	if err != nil {
		return c, nil, err
	}
	_, err = tx.ExecContext(ctx, `UPDATE consent_request SET consent = $2 WHERE id = $1`, r.ID, c.ID)
	return c, append(events, event), err
}

// decide takes a request that nobody has decided yet.
func (a *Authority) decide(ctx context.Context, tx *sql.Tx, d Decision, as State, now time.Time) (Request, error) {
	result, err := tx.ExecContext(ctx, `UPDATE consent_request SET state = $2, person = $3, decided = $4 WHERE id = $1 AND state = $5 AND expires > $4`,
		d.Request, as, d.Person, now.UnixMicro(), Requested)
	if err != nil {
		return Request{}, err
	}
	n, err := result.RowsAffected()
	if err != nil {
		return Request{}, err
	}
	r, err := readRequest(ctx, tx, d.Request)
	if err == nil && n == 0 {
		err = fmt.Errorf("%w: the request was decided already, or is too old; the service can ask again", ErrState)
	}
	return r, err
}

// narrowed holds what is granted against what was asked, and returns what remains.
func narrowed(granted, asked []Detail) ([]Detail, error) {
	if len(granted) != len(asked) {
		return nil, fmt.Errorf("%w: %d details for the %d that were asked", ErrBeyond, len(granted), len(asked))
	}
	var out []Detail
	for i := range asked {
		g := &granted[i]
		if g.Type == "" || g.dropped() {
			continue
		}
		if len(g.Actions) == 0 {
			g.Actions = asked[i].Actions
		}
		if err := g.within(&asked[i]); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrBeyond, err)
		}
		out = append(out, g.asAsked(&asked[i]))
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("%w: nothing is left of it; to grant nothing is to refuse", ErrBeyond)
	}
	return out, nil
}

// merged adds details to those that there are.
func merged(have, more []Detail) []Detail {
	out := slices.Clone(have)
	for _, d := range more {
		text, _ := json.Marshal(d)
		if !slices.ContainsFunc(out, func(h Detail) bool { t, _ := json.Marshal(h); return string(t) == string(text) }) {
			out = append(out, d)
		}
	}
	return out
}

// Refuse records that a person said no. also, if not nil, runs in the same transaction.
func (a *Authority) Refuse(ctx context.Context, d Decision, also func(*sql.Tx, Request) error) (Request, error) {
	var r Request
	_, err := a.ledger.Commit(ctx, func(tx *sql.Tx) ([]ledger.Event, error) {
		now := a.now()
		var err error
		if r, err = a.decide(ctx, tx, d, Refused, now); err != nil {
			return nil, err
		}
		if also != nil {
			if err := also(tx, r); err != nil {
				return nil, err
			}
		}
		if _, err := readNotice(ctx, tx, r.ID, d.Notice); errors.Is(err, ErrState) {
			d.Notice = "" // a no counts whatever was shown
		} else if err != nil {
			return nil, err
		}
		details, err := json.Marshal(r.Details)
		if err != nil {
			return nil, err
		}
		text, err := json.Marshal(proof{Details: formats.HashOf(details), Notice: d.Notice, Method: d.Session.Method})
		return []ledger.Event{{Person: d.Person, Class: ledger.Decision, Type: verbs[Refused], Service: r.Service, Consent: r.Consent,
			Dataset: datasetsOf(r.Details), Detail: string(text)}}, err
	})
	if err != nil {
		return Request{}, fmt.Errorf("refuse: %w", err)
	}
	a.stats.decided("refused")
	return r, nil
}
