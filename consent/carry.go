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

// Origin is from where a consent came with its person.
type Origin struct {
	Operator string           `json:"operator"` // whom they left
	Move     string           `json:"move"`
	Grant    string           `json:"grant_id"` // of the consent there
	Revision int              `json:"revision"`
	Given    time.Time        `json:"given"`            // when they said yes there
	Notice   *FollowingNotice `json:"notice,omitempty"` // what they were shown there
	// Keys are the thumbprints of those under which both operators know the service: it follows with one of them.
	Keys []string `json:"keys"`
}

// Follower is a consent that a person brings, with what was found out about it here before anything was decided.
type Follower struct {
	Following
	Proven bool     `json:"proven"`              // see [Following.Proves]
	Here   string   `json:"here,omitempty"`      // client_id of the same service here; "": it is not registered
	Keys   []string `json:"keys_here,omitempty"` // with which it proves itself here
}

// Carrying is a person who has come with their consents.
type Carrying struct {
	Person   string
	Move     string
	Operator string // whom they left
	Country  string // of that operator
	Known    bool   // they proved who they are there
	Consents []Follower
	Left     []Left          // those that stood when they had moved; nil: nobody says
	History  json.RawMessage // what the log there proves; nil: nothing
}

// Carries is [Authority.Carry] for whoever has the transaction.
func (a *Authority) Carries(k Carrying) func(context.Context, *sql.Tx) ([]ledger.Event, error) {
	return func(ctx context.Context, tx *sql.Tx) ([]ledger.Event, error) { return a.Carry(ctx, tx, k) }
}

// Bring is [Authority.Carry] in a transaction of its own, for a person who has come before.
func (a *Authority) Bring(ctx context.Context, k Carrying) error {
	_, err := a.ledger.Commit(ctx, func(tx *sql.Tx) ([]ledger.Event, error) { return a.Carry(ctx, tx, k) })
	return err
}

// Carry decides what becomes of the consents that a person brings, and writes it, as a part of the transaction in which
// they come: those that are carried stand from then on, each with its leaf in the log.
func (a *Authority) Carry(ctx context.Context, tx *sql.Tx, k Carrying) (events []ledger.Event, err error) {
	if err := errors.Join(returns(ctx, tx, k.Person), a.keepPast(ctx, tx, &k)); err != nil {
		return nil, err
	}
	for i := range k.Consents {
		one, err := a.carry(ctx, tx, &k, &k.Consents[i])
		if err != nil {
			return nil, fmt.Errorf("take over the consent %.60q: %w", k.Consents[i].Grant, err)
		}
		events = append(events, one...)
	}
	return events, nil
}

func (a *Authority) keepPast(ctx context.Context, tx *sql.Tx, k *Carrying) error {
	if len(k.History) == 0 {
		return nil
	}
	_, err := tx.ExecContext(ctx, `INSERT INTO consent_past (move, person, operator, history, at) VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING`, k.Move, k.Person, k.Operator, string(k.History), micro(a.now()))
	if err != nil {
		return fmt.Errorf("keep what the other log proves: %w", err)
	}
	return nil
}

// bringing is one consent that comes.
type bringing struct {
	Case
	Fate
	Reason
	id  string
	who *Carrying
}

func (a *Authority) carry(ctx context.Context, tx *sql.Tx, k *Carrying, f *Follower) ([]ledger.Event, error) {
	b := &bringing{id: GrantAt(f.Grant, k.Move, a.operator.ID), who: k}
	b.Case = Case{Said: f.Following, Proven: f.Proven, Person: k.Known, Countries: [2]string{k.Country, a.operator.Country}, Keys: f.Keys, Silent: k.Left == nil, Now: a.now().UTC()}
	if at := slices.IndexFunc(k.Left, func(l Left) bool { return l.Grant == f.Grant }); at >= 0 {
		b.Left = &k.Left[at]
	}
	if f.Here != "" {
		service, err := a.services.get(ctx, tx, f.Here)
		if err != nil && !errors.Is(err, ErrNotFound) {
			return nil, err
		}
		b.Service = service
	}
	b.Fate, b.Reason = b.Decide()
	taken, err := a.taken(ctx, tx, b.id)
	if err != nil {
		return nil, err
	}
	if taken {
		return nil, nil // it came before: nothing comes twice
	}
	events, err := a.bring(ctx, tx, b)
	if err != nil {
		return nil, err
	}
	return events, b.note(ctx, tx)
}

// taken reports whether something has come under an id already.
func (a *Authority) taken(ctx context.Context, tx *sql.Tx, id string) (bool, error) {
	var n int
	err := tx.QueryRowContext(ctx, `SELECT (SELECT count(*) FROM consent_consent WHERE id = $1) + (SELECT count(*) FROM consent_followed WHERE id = $1)`, id).Scan(&n)
	return n > 0, err
}

// bring writes the consent that is carried, or to be confirmed here.
func (a *Authority) bring(ctx context.Context, tx *sql.Tx, b *bringing) ([]ledger.Event, error) {
	if b.Fate == Carried {
		events, err := a.given(ctx, tx, b, Given)
		var refused *RefusedError
		if !errors.As(err, &refused) {
			return events, err
		}
		b.Fate, b.Reason = Confirm, RulesSayNo
	}
	if b.Fate == Confirm && b.Service != nil {
		return a.given(ctx, tx, b, Requested)
	}
	return nil, nil
}

// given makes the first revision of a consent that comes: it stands, or waits for the person.
func (a *Authority) given(ctx context.Context, tx *sql.Tx, b *bringing, state State) ([]ledger.Event, error) {
	s := &b.Said
	c := Consent{ID: b.id, Person: b.who.Person, Service: b.Service.ID, Created: b.Now}
	session := SessionFacts{Method: s.Method, Authenticated: s.Authenticated}
	facts := Facts{Now: b.Now, Step: StepGrant, Operator: a.operator, Service: b.Service.facts(), Asked: s.Details, Granted: s.Details, Session: &session}
	if n := s.Notice; n != nil {
		facts.Notice = &NoticeFacts{SHA256: n.SHA256, Language: n.Language, Version: n.Version}
	}
	c.Expires = latest(s.Details) // of a revision that does not give anything it is that of the consent
	event, err := a.revise(ctx, tx, &c, Revision{State: state, Details: s.Details, Method: "operator", Reason: "it came from " + b.who.Operator}, facts)
	if err != nil {
		return nil, err
	}
	event.Type = map[State]string{Given: "consent.carried", Requested: "consent.brought"}[state]
	origin := &Origin{Operator: b.who.Operator, Move: b.who.Move, Grant: s.Grant, Revision: s.Revision, Given: s.Created, Notice: s.Notice, Keys: b.common()}
	if event.Detail, err = also(event.Detail, "from", origin); err != nil {
		return nil, err
	}
	events := []ledger.Event{event}
	if state == Given && s.Paused {
		if err := c.pause(ctx, tx, b.Now, "operator"); err != nil {
			return nil, err
		}
		events = append(events, c.pauseEvent("consent.paused", SessionFacts{Method: "operator"}))
	}
	return events, keepBeside(ctx, tx, c.ID, `origin`, origin)
}

// note keeps what became of it.
func (b *bringing) note(ctx context.Context, tx *sql.Tx) error {
	said, err := json.Marshal(b.Said)
	if err != nil {
		return err
	}
	service := ""
	if b.Service != nil {
		service = b.Service.ID
	}
	_, err = tx.ExecContext(ctx, `INSERT INTO consent_followed (id, person, move, operator, fate, reason, service, said, at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)`,
		b.id, b.who.Person, b.who.Move, b.who.Operator, b.Fate, b.Reason, service, string(said), micro(b.Now))
	if err != nil {
		return fmt.Errorf("keep what became of it: %w", err)
	}
	return nil
}

// Followed is what became of a consent that a person brought.
type Followed struct {
	ID       string // of the consent here, if there is one
	Move     string
	Operator string
	Fate     Fate
	Reason   Reason
	Service  string // here; "": it is not registered
	At       time.Time
	Said     Following
}

// Followed lists what became of the consents that a person brought, the last that came first.
func (a *Authority) Followed(ctx context.Context, person string) ([]Followed, error) {
	return scanAll(ctx, a.db.Read, "list what followed", func(row *sql.Rows) (f Followed, err error) {
		var said string
		var at int64
		err = row.Scan(&f.ID, &f.Move, &f.Operator, &f.Fate, &f.Reason, &f.Service, &said, &at)
		f.At = fromMicro(at)
		return f, errors.Join(err, json.Unmarshal([]byte(said), &f.Said))
	}, `SELECT id, move, operator, fate, reason, service, said, at FROM consent_followed WHERE person = $1 ORDER BY at DESC, id`, person)
}

// Waiting lists those of [Authority.Followed] to which the person has still to say yes: where the service is registered here,
// they can, by giving it again ([Authority.Renew]).
func (a *Authority) Waiting(ctx context.Context, person string) ([]Followed, error) {
	all, err := a.Followed(ctx, person)
	if err != nil || len(all) == 0 {
		return nil, err
	}
	consents, err := a.Consents(ctx, person)
	now := a.now()
	return slices.DeleteFunc(all, func(f Followed) bool {
		requested := slices.ContainsFunc(consents, func(c Consent) bool { return c.ID == f.ID && c.State == Requested })
		return f.Fate != Confirm || !now.Before(f.Said.Expires) || f.Service != "" && !requested
	}), err
}

// Redeemable returns the consent that came of a grant at another operator, if a service here is the one that it is for.
func (a *Authority) Redeemable(ctx context.Context, tx *sql.Tx, operator, grant, move, service string) (Consent, error) {
	c, err := a.OfServiceIn(ctx, tx, GrantAt(grant, move, a.operator.ID), service)
	if err == nil && (c.Origin == nil || c.Origin.Operator != operator || c.Origin.Grant != grant) {
		err = ErrNotFound
	}
	return c, err
}

// Counterpart finds the service here that is the same as one at another operator: by the company's registrations and a key,
// or else by the registrations alone, or by its id. keys are those with which a service proves itself. nil: there is none.
func (a *Authority) Counterpart(ctx context.Context, there FollowingService, keys func(context.Context, *Service) []string) (*Service, []string, error) {
	all, err := a.Services(ctx)
	if err != nil {
		return nil, nil, err
	}
	var best *Service
	var known []string
	score := 0
	for _, s := range all {
		if s.Admin || s.Operator {
			continue
		}
		n, have := 0, []string(nil)
		if sameRegistrations(s.Registrations, there.Registrations) {
			n += 2
		}
		if s.ID == there.ID {
			n++
		}
		if n > 0 {
			have = keys(ctx, s)
		}
		if n > 0 && slices.ContainsFunc(have, func(k string) bool { return slices.Contains(there.Keys, k) }) {
			n += 4
		}
		if n > score {
			best, known, score = s, have, n
		}
	}
	return best, known, nil
}
