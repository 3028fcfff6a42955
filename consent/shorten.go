package consent

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/passerelle-cloud/passerelle/consent/ledger"
)

// Shortening is what a person takes back of a consent.
type Shortening struct {
	Consent, Person string
	Details         []Detail // one for each of the consent's, in that order: the same, or less of it. One without datasets is dropped
	Notice          string   // hash of what the person was shown, see [Authority.Show] with Request = the consent's id; "" if there was nothing
	Session         SessionFacts
}

// Shorten takes back a part of a consent: from then on it holds less, in a new revision. Streams under the revision before
// have ended when it returns without an error. Details that are all the same change nothing, and are no error. The error
// wraps [ErrNotFound], [ErrState] (the consent is not valid, or the notice was never shown), [ErrBeyond] (something is
// more, or nothing is left: then the person withdraws) or [ErrRefused].
func (a *Authority) Shorten(ctx context.Context, s Shortening) (Consent, error) {
	var c Consent
	var events []ledger.Event
	_, err := a.ledger.Commit(ctx, func(tx *sql.Tx) ([]ledger.Event, error) {
		var err error
		c, events, err = a.shorten(ctx, tx, s)
		return events, err
	})
	if err != nil {
		return Consent{}, fmt.Errorf("shorten: %w", err)
	}
	if len(events) == 0 {
		return c, nil
	}
	a.stats.decided("shortened")
	return c, a.stopConsent(ctx, c.ID)
}

func (a *Authority) shorten(ctx context.Context, tx *sql.Tx, s Shortening) (Consent, []ledger.Event, error) {
	c, err := a.locked(ctx, tx, s.Consent, `person`, s.Person)
	if err != nil {
		return c, nil, err
	}
	now := a.now()
	if !c.Valid(now) {
		return c, nil, fmt.Errorf("%w: it stands as %s", ErrState, c.expired(now))
	}
	left, err := narrowed(slices.Clone(s.Details), c.Details)
	if err != nil || equal(left, c.Details) {
		return c, nil, err
	}
	if !latest(left).After(now) {
		return c, nil, fmt.Errorf("%w: nothing is left of it; to end it is to withdraw", ErrBeyond)
	}
	service, err := a.services.get(ctx, tx, c.Service) // also one that is suspended: less is always possible
	if err != nil {
		return c, nil, err
	}
	facts := Facts{Now: now.UTC(), Step: StepGrant, Operator: a.operator, Service: service.facts(), Asked: c.Details, Granted: left,
		Consent: c.facts(now), Session: &s.Session}
	rev := Revision{State: c.State, Details: left, Method: s.Session.Method}
	if err := rev.rest(ctx, tx, c.ID, s.Notice, &facts); err != nil {
		return c, nil, err
	}
	event, err := a.revise(ctx, tx, &c, rev, facts)
	event.Type = "consent.shortened"
	if err == nil {
		err = a.tell(ctx, tx, c)
	}
	return c, []ledger.Event{event}, err
}

// equal reports whether details hold the same, in the same order.
func equal(some, others []Detail) bool {
	return slices.EqualFunc(some, others, func(s, o Detail) bool { return s.within(&o) == nil && o.within(&s) == nil })
}

// rest makes a revision rest on the notice that was shown for it; where there was none the facts name that on which the
// consent rests already.
func (rev *Revision) rest(ctx context.Context, tx *sql.Tx, consent, notice string, facts *Facts) (err error) {
	if notice != "" {
		facts.Notice, err = readNotice(ctx, tx, consent, notice)
		if err == nil {
			rev.Request, rev.Notice, rev.Language = consent, notice, facts.Notice.Language
		}
		return err
	}
	var n NoticeFacts
	err = tx.QueryRowContext(ctx, `
		SELECT n.hash, n.language, n.version FROM consent_revision r JOIN consent_notice n ON n.request = r.request AND n.hash = r.notice
		WHERE r.consent = $1 ORDER BY r.number DESC LIMIT 1`, consent).Scan(&n.SHA256, &n.Language, &n.Version)
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	facts.Notice = &n
	return err
}

// Renewal prolongs a consent, or gives it again.
type Renewal struct {
	Consent string
	Person  string
	Until   time.Time // no later than as long from now as the consent was given for at first
	// Details limit what is given, as in [Shortening], to what the last revision held or less; none: all of it. One that has
	// no end of its own lasts until Until, which none outlives.
	Details []Detail
	Notice  string // as in [Shortening]
	Session SessionFacts
}

// Renew prolongs a consent, also one that has expired, as it is or with less. One that the person has withdrawn is given
// again by it; one that somebody else has ended is not. The error wraps [ErrNotFound], [ErrState], [ErrBeyond],
// [ErrRefused] or [ErrSuspended].
//
// Tokens are looked at with their consent each time, and nothing deletes them when it ends: those that have not expired
// work again. A refresh token expires when the consent was to end at the time that it was given, and is not prolonged; the
// service asks for a new one with a new request.
func (a *Authority) Renew(ctx context.Context, r Renewal) (Consent, error) {
	var c Consent
	_, err := a.ledger.Commit(ctx, func(tx *sql.Tx) ([]ledger.Event, error) {
		var events []ledger.Event
		var err error
		c, events, err = a.renew(ctx, tx, r)
		return events, err
	})
	if err != nil {
		return Consent{}, fmt.Errorf("renew: %w", err)
	}
	a.stats.decided("renewed")
	return c, a.stopConsent(ctx, c.ID)
}

func (a *Authority) renew(ctx context.Context, tx *sql.Tx, r Renewal) (Consent, []ledger.Event, error) {
	c, err := a.locked(ctx, tx, r.Consent, `person`, r.Person)
	if err != nil {
		return c, nil, err
	}
	now := a.now()
	service, err := a.active(ctx, tx, c.Service)
	if err != nil {
		return c, nil, err
	}
	first, err := readRevision(ctx, tx, c.ID, 1)
	if err != nil {
		return c, nil, err
	}
	details, err := r.details(c.Details, now, first.Expires.Sub(first.At))
	if err != nil {
		return c, nil, err
	}
	facts := Facts{Now: now.UTC(), Step: StepRenew, Operator: a.operator, Service: service.facts(), Asked: c.Details, Granted: details,
		Consent: c.facts(now), Session: &r.Session}
	rev := Revision{State: Renewed, Details: details, Method: r.Session.Method}
	if err := rev.rest(ctx, tx, c.ID, r.Notice, &facts); err != nil {
		return c, nil, err
	}
	event, err := a.revise(ctx, tx, &c, rev, facts)
	if err == nil {
		err = a.tell(ctx, tx, c)
	}
	return c, []ledger.Event{event}, err
}

// details returns what is given, of what the last revision held, for so long at most.
func (r *Renewal) details(last []Detail, now time.Time, most time.Duration) ([]Detail, error) {
	until := r.Until.UTC().Truncate(time.Second)
	if !until.After(now) || until.After(now.Add(most)) {
		return nil, fmt.Errorf("%w: it can be renewed for as long as it was given for, from now", ErrBeyond)
	}
	last = slices.Clone(last)
	for i := range last {
		last[i].Expires = until
	}
	if len(r.Details) == 0 {
		return last, nil
	}
	given := slices.Clone(r.Details)
	for i := range given {
		if given[i].Expires.IsZero() {
			given[i].Expires = until
		}
		if !given[i].dropped() && !given[i].Expires.After(now) {
			return nil, fmt.Errorf("%w: a part of it would have ended already", ErrBeyond)
		}
	}
	return narrowed(given, last)
}
