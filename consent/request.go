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
)

// Grant management actions: what a request is to make of the consents that there are (OAuth Grant Management).
const (
	Create  = "create"
	Merge   = "merge"
	Replace = "replace"
)

// Asking is what a service asks.
type Asking struct {
	Service string
	Details json.RawMessage // authorization_details (RFC 9396)
	Action  string          // Create (or ""), Merge or Replace
	Consent string          // which consent to merge with or to replace
	Expires time.Time       // until when it can be decided
	// Certificate is the one for payment services with which the service came; nil: none.
	Certificate *CertificateFacts
}

// Request is what a service asked, and what became of it.
type Request struct {
	ID      string
	Service string
	Action  string
	Consent string // the one to merge with or to replace; once granted, the one that it led to
	Details []Detail
	State   State  // Requested, Given, Refused; Expired when nobody decided in time
	Person  string // who decided
	Created time.Time
	Expires time.Time
	Decided time.Time
}

// Ask stores what a service asks, if a person could understand it. also, if not nil, runs in the same transaction.
// The error wraps [ErrRequest], [ErrRefused] (a [RefusedError] that says everything that is missing), [ErrSuspended]
// or [ErrNotFound].
func (a *Authority) Ask(ctx context.Context, asking Asking, also func(*sql.Tx, Request) error) (Request, error) {
	now := a.now()
	r := Request{ID: newID(), Service: asking.Service, Action: asking.Action, Consent: asking.Consent, State: Requested,
		Created: now.UTC(), Expires: asking.Expires.UTC()}
	if r.Action == "" {
		r.Action = Create
	}
	if err := r.checkAction(); err != nil {
		return r, err
	}
	var err error
	if r.Details, err = parseDetails(asking.Details, a.valid, now); err != nil {
		return r, err
	}
	service, err := a.active(ctx, a.db.Read, r.Service)
	if err != nil {
		return r, err
	}
	if service.Admin {
		return r, fmt.Errorf("%w: %s administers; it cannot ask persons for data", ErrRequest, service.ID)
	}
	if err := r.movesTo(service); err != nil {
		return r, err
	}
	facts := Facts{Now: now.UTC(), Step: StepAsk, Operator: a.operator, Service: service.facts(), Asked: r.Details}
	facts.Service.Certificate = asking.Certificate
	if _, err := a.judge(facts); err != nil {
		return r, errors.Join(err, a.countRefused(ctx, r.Service, StepAsk, err))
	}
	details, err := json.Marshal(r.Details)
	if err != nil {
		return r, err
	}
	_, err = a.ledger.Commit(ctx, func(tx *sql.Tx) ([]ledger.Event, error) {
		if r.Consent != "" {
			if _, err := a.own(ctx, tx, r.Consent, `service`, r.Service); err != nil {
				return nil, err
			}
		}
		_, err := tx.ExecContext(ctx, `
			INSERT INTO consent_request (id, service, action, consent, details, state, person, created, expires, decided, datasets)
			VALUES ($1, $2, $3, $4, $5, $6, '', $7, $8, 0, $9)`,
			r.ID, r.Service, r.Action, r.Consent, string(details), r.State, micro(r.Created), micro(r.Expires), datasetsOf(r.Details))
		if err == nil && also != nil {
			err = also(tx, r)
		}
		return nil, err
	})
	if err != nil {
		return r, fmt.Errorf("store the request: %w", err)
	}
	a.stats.decided("asked")
	return r, nil
}

func (r *Request) checkAction() error {
	switch {
	case !slices.Contains([]string{Create, Merge, Replace}, r.Action):
		return fmt.Errorf("%w: grant_management_action %.40q is not create, merge or replace", ErrRequest, r.Action)
	case (r.Action == Create) != (r.Consent == ""):
		return fmt.Errorf("%w: a grant_id goes with merge and replace, and with nothing else", ErrRequest)
	}
	return nil
}

// movesTo checks that only an operator has persons move, to itself, and that it asks for nothing besides.
func (r *Request) movesTo(service *Service) error {
	moves := slices.ContainsFunc(r.Details, func(d Detail) bool { return d.Type == InstanceMove })
	switch {
	case moves != service.Operator:
		return fmt.Errorf("%w: instance_move is for operators that are trusted here, and they ask for nothing else; have the administrator trust your statement (passerelle operator trust URL)", ErrRequest)
	case moves && (len(r.Details) != 1 || r.Details[0].Destination != service.ID || r.Action != Create):
		return fmt.Errorf("%w: an operator asks that a person moves to itself: one instance_move whose destination is %s", ErrRequest, service.ID)
	}
	return nil
}

// active returns a service that may ask and read now.
func (a *Authority) active(ctx context.Context, q querier, id string) (*Service, error) {
	service, err := a.services.get(ctx, q, id)
	if err == nil && service.Suspended != "" {
		err = fmt.Errorf("%w: %s", ErrSuspended, service.Suspended)
	}
	return service, err
}

// Request returns what was asked.
func (a *Authority) Request(ctx context.Context, id string) (Request, error) {
	r, err := readRequest(ctx, a.db.Read, id)
	if err == nil && r.State == Requested && !a.now().Before(r.Expires) {
		r.State = Expired
	}
	return r, err
}

func readRequest(ctx context.Context, q querier, id string) (Request, error) {
	r := Request{ID: id}
	var details string
	var created, expires, decided int64
	err := q.QueryRowContext(ctx, `SELECT service, action, consent, details, state, person, created, expires, decided FROM consent_request WHERE id = $1`, id).
		Scan(&r.Service, &r.Action, &r.Consent, &details, &r.State, &r.Person, &created, &expires, &decided)
	if errors.Is(err, sql.ErrNoRows) {
		return r, fmt.Errorf("the request: %w", ErrNotFound)
	}
	if err != nil {
		return r, fmt.Errorf("look for the request: %w", err)
	}
	r.Created, r.Expires, r.Decided = fromMicro(created), fromMicro(expires), fromMicro(decided)
	return r, json.Unmarshal([]byte(details), &r.Details)
}
