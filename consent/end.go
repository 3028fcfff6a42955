package consent

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"time"

	"github.com/passerelle-cloud/passerelle/consent/ledger"
)

// Ending is how a consent ends.
type Ending struct {
	Consent string
	Person  string // whose it is; "" where it is not a person who ends it
	Service string // whose it is; "" where it is not the service who ends it
	State   State  // Withdrawn, Revoked, Invalidated
	Reason  string
	Session SessionFacts // of a person
}

// Withdraw ends a consent. From its transaction on no token of it is valid; when Withdraw returns without an error,
// every stream of it has ended, or cannot send one more byte, on every replica. A consent that has ended stays as it
// is, and nothing is an error. Where the streams could not be waited for, the error says so, and the consent is
// withdrawn all the same.
func (a *Authority) Withdraw(ctx context.Context, e Ending) (Consent, error) {
	var c Consent
	asked := a.now()
	ended := false
	_, err := a.ledger.Commit(ctx, func(tx *sql.Tx) ([]ledger.Event, error) {
		var events []ledger.Event
		var err error
		c, events, err = a.end(ctx, tx, e)
		ended = len(events) > 0
		return events, err
	})
	if err != nil {
		return c, fmt.Errorf("withdraw: %w", err)
	}
	a.stats.decided("withdrawn")
	if err := a.stopConsent(ctx, c.ID); err != nil {
		return c, fmt.Errorf("it is withdrawn, but whether all that was under way has ended is not known: %w", err)
	}
	if !ended {
		return c, nil
	}
	return c, a.noteEnding(ctx, &c, asked)
}

// noteEnding notes how long it took until nothing could be read any more.
func (a *Authority) noteEnding(ctx context.Context, c *Consent, asked time.Time) error {
	_, err := a.ledger.Commit(context.WithoutCancel(ctx), func(tx *sql.Tx) ([]ledger.Event, error) {
		_, err := tx.ExecContext(ctx, `INSERT INTO consent_ending (consent, revision, asked, dead) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING`,
			c.ID, c.Revision, micro(asked), micro(a.now()))
		return nil, err
	})
	if err != nil {
		return fmt.Errorf("it is withdrawn, but not noted how long it took: %w", err)
	}
	return nil
}

func (a *Authority) end(ctx context.Context, tx *sql.Tx, e Ending) (Consent, []ledger.Event, error) {
	whose, who := `person`, e.Person
	if e.Person == "" {
		whose, who = `service`, e.Service
	}
	c, err := a.locked(ctx, tx, e.Consent, whose, who)
	if err != nil {
		return c, nil, err
	}
	now := a.now()
	ends := []State{Withdrawn, Revoked, Invalidated}
	if !slices.Contains(ends, e.State) || !c.expired(now).leadsTo(e.State) {
		if slices.Contains(ends, c.expired(now)) {
			return c, nil, nil
		}
		return c, nil, fmt.Errorf("%w: %s cannot become %s", ErrState, c.State, e.State)
	}
	method := e.Session.Method
	if e.Person == "" {
		method = "service"
	}
	facts := Facts{Now: now.UTC(), Operator: a.operator, Consent: c.facts(now)}
	event, err := a.revise(ctx, tx, &c, Revision{State: e.State, Details: c.Details, Method: method, Reason: e.Reason}, facts)
	if err == nil {
		err = a.tell(ctx, tx, c)
	}
	return c, []ledger.Event{event}, err
}

// tell has those know, in its transaction, whom a decision about a consent concerns.
func (a *Authority) tell(ctx context.Context, tx *sql.Tx, c Consent) error {
	if a.ended != nil && !c.State.Valid() {
		if err := a.ended(ctx, tx, c.ID); err != nil {
			return err
		}
	}
	if a.decided == nil {
		return nil
	}
	return a.decided(ctx, tx, c)
}

func (a *Authority) stopConsent(ctx context.Context, id string) error {
	return a.streams.stop(ctx, a, `consent = $1`, id, func(p *Permit) bool { return p.consent.ID == id })
}

func (c *Consent) facts(now time.Time) *ConsentFacts {
	return &ConsentFacts{State: c.expired(now), Revision: c.Revision, Changed: c.Changed, Expires: c.Expires, Accesses: c.Accesses, Method: c.method, Authenticated: c.authenticated}
}
