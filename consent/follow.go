package consent

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/passerelle-cloud/passerelle/consent/ledger"
	"github.com/passerelle-cloud/passerelle/formats"
)

// Grace is for how long after a move a service can follow a person with what the operator whom they left signed.
const Grace = 30 * 24 * time.Hour

// Following is a consent as the operator whom a person leaves says it to the one to whom they go.
type Following struct {
	Grant         string           `json:"grant_id"`
	Revision      int              `json:"revision"`
	State         State            `json:"state"`
	Details       []Detail         `json:"authorization_details"`
	Created       time.Time        `json:"created"`
	Expires       time.Time        `json:"expires"`
	Paused        bool             `json:"paused,omitempty"`
	Method        string           `json:"method,omitempty"` // how, and when, they had proved who they are who last said yes to it
	Authenticated time.Time        `json:"authenticated,omitzero"`
	Notice        *FollowingNotice `json:"notice,omitempty"` // what they were shown; nil: nothing is kept
	Service       FollowingService `json:"service"`
	Receipt       string           `json:"receipt,omitempty"` // that of the person, signed (JWS)
}

// FollowingNotice says what a person was shown, where they were asked.
type FollowingNotice struct {
	SHA256   string    `json:"sha256"`
	Language string    `json:"language"`
	Version  string    `json:"version"`
	Shown    time.Time `json:"shown"`
}

// FollowingService is a service as the operator whom a person leaves has it registered.
type FollowingService struct {
	ID            string         `json:"client_id"`
	Name          string         `json:"client_name"`
	LegalName     string         `json:"legal_name"`
	Registrations []Registration `json:"registrations"`
	Country       string         `json:"country"`
	// Keys are the thumbprints (RFC 7638) of those that it proves itself with; none: it has no key that could be named.
	Keys []string `json:"keys"`
}

// Followable lists what a person decided about services, for another operator: what stands, and the newest of what has
// ended; at most so many. Keys and receipts are not in it.
func (a *Authority) Followable(ctx context.Context, person string, most int) (list []Following, err error) {
	all, err := a.Consents(ctx, person)
	if err != nil {
		return nil, err
	}
	now := a.now()
	slices.SortStableFunc(all, func(x, y Consent) int { return order(y.Valid(now)) - order(x.Valid(now)) })
	for i := range all[:min(len(all), most)] {
		f, err := a.followable(ctx, &all[i])
		if err != nil {
			return nil, fmt.Errorf("say what the consent %s is: %w", all[i].ID, err)
		}
		list = append(list, f)
	}
	return list, nil
}

func order(first bool) int {
	if first {
		return 1
	}
	return 0
}

func (a *Authority) followable(ctx context.Context, c *Consent) (Following, error) {
	f := Following{Grant: c.ID, Revision: c.Revision, State: c.State, Details: c.Details, Created: c.Created, Expires: c.Expires, Paused: !c.Paused.IsZero(), Method: c.method, Authenticated: c.authenticated}
	service, err := a.Service(ctx, c.Service)
	if err != nil {
		return f, err
	}
	f.Service = FollowingService{ID: service.ID, Name: service.Name, LegalName: service.LegalName, Registrations: service.Registrations, Country: service.Country, Keys: []string{}}
	f.Notice, err = a.lastNotice(ctx, c)
	return f, err
}

// lastNotice is the notice that a consent rests on.
func (a *Authority) lastNotice(ctx context.Context, c *Consent) (*FollowingNotice, error) {
	var n FollowingNotice
	var shown int64
	err := a.db.Read.QueryRowContext(ctx, `
		SELECT n.hash, n.language, n.version, n.shown FROM consent_revision r JOIN consent_notice n ON n.request = r.request AND n.hash = r.notice
		WHERE r.consent = $1 ORDER BY r.number DESC LIMIT 1`, c.ID).Scan(&n.SHA256, &n.Language, &n.Version, &shown)
	if errors.Is(err, sql.ErrNoRows) {
		if c.Origin != nil {
			return c.Origin.Notice, nil
		}
		return nil, nil
	}
	n.Shown = fromMicro(shown)
	return &n, err
}

// Moved is where a person has gone with a consent.
type Moved struct {
	Operator string    `json:"operator"` // to whom they went
	Issuer   string    `json:"issuer"`   // of tokens there
	Move     string    `json:"move"`
	Grant    string    `json:"grant_id"` // that the consent has there, if it has come along
	Revision int       `json:"revision"` // at which it stood
	At       time.Time `json:"at"`
}

// Until is until when a service can follow.
func (m *Moved) Until() time.Time { return m.At.Add(Grace) }

// GrantAt is the id that a consent has at the operator to whom it goes with a move: both know it without telling.
func GrantAt(grant, move, operator string) string {
	return uuid.NewHash(sha256.New(), uuid.NameSpaceURL, []byte(strings.Join([]string{"passerelle follows", grant, move, operator}, "\n")), 8).String()
}

// Leaving is a person who has moved.
type Leaving struct {
	Person   string
	Move     string
	Operator string // to whom they go
	Issuer   string // of tokens there
	Except   string // the authorisation of the move itself, which ends by itself
}

// Leaves is [Authority.Leave] for whoever has the transaction.
func (a *Authority) Leaves(l Leaving) func(context.Context, *sql.Tx) ([]ledger.Event, error) {
	return func(ctx context.Context, tx *sql.Tx) ([]ledger.Event, error) { return a.Leave(ctx, tx, l) }
}

// Leave ends all consents of a person who has moved, as a part of the transaction in which they do: nothing is permitted
// after it, and each names in the log where they went. See [Authority.Quiet].
func (a *Authority) Leave(ctx context.Context, tx *sql.Tx, l Leaving) (events []ledger.Event, err error) {
	if err := a.goes(ctx, tx, l); err != nil {
		return nil, err
	}
	ids, err := scanAll(ctx, tx, "list what stands", func(row *sql.Rows) (id string, err error) { return id, row.Scan(&id) },
		`SELECT id FROM consent_consent WHERE person = $1 AND id <> $2 AND state IN ('ConsentGiven', 'RenewedConsentGiven') ORDER BY id`, l.Person, l.Except)
	if err != nil {
		return nil, err
	}
	for _, id := range ids {
		event, err := a.leave(ctx, tx, id, l)
		if err != nil {
			return nil, fmt.Errorf("end the consent %s with the move: %w", id, err)
		}
		events = append(events, event...)
	}
	return events, nil
}

// goes notes that a person has moved, after whoever is granting something in their name just now.
func (a *Authority) goes(ctx context.Context, tx *sql.Tx, l Leaving) error {
	if err := a.db.Hold(ctx, tx, "consent/"+l.Person); err != nil {
		return err
	}
	_, err := tx.ExecContext(ctx, `INSERT INTO consent_gone (person, operator) VALUES ($1, $2) ON CONFLICT (person) DO UPDATE SET operator = excluded.operator`, l.Person, l.Operator)
	if err != nil {
		return fmt.Errorf("note that the person has moved: %w", err)
	}
	return nil
}

// lives is an error, which wraps [ErrState], where a person has moved away: what stays here of their instance is for them to
// come back for, and for no service.
func (a *Authority) lives(ctx context.Context, tx *sql.Tx, person string) error {
	if err := a.db.Hold(ctx, tx, "consent/"+person); err != nil {
		return err
	}
	var operator string
	err := tx.QueryRowContext(ctx, `SELECT operator FROM consent_gone WHERE person = $1`, person).Scan(&operator)
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	if err == nil {
		err = fmt.Errorf("%w: the person has moved to %s; decide it there", ErrState, operator)
	}
	return err
}

// returns ends what [Authority.goes] noted.
func returns(ctx context.Context, tx *sql.Tx, person string) error {
	_, err := tx.ExecContext(ctx, `DELETE FROM consent_gone WHERE person = $1`, person)
	return err
}

func (a *Authority) leave(ctx context.Context, tx *sql.Tx, id string, l Leaving) ([]ledger.Event, error) {
	c, err := a.locked(ctx, tx, id, `person`, l.Person)
	if err != nil {
		return nil, err
	}
	now := a.now().UTC()
	if !c.Valid(now) { // time has ended it, or somebody was faster: it goes nowhere
		return nil, nil
	}
	moved := &Moved{Operator: l.Operator, Issuer: l.Issuer, Move: l.Move, Grant: GrantAt(c.ID, l.Move, l.Operator), Revision: c.Revision, At: now}
	facts := Facts{Now: now, Operator: a.operator, Consent: c.facts(now)}
	event, err := a.revise(ctx, tx, &c, Revision{State: Revoked, Details: c.Details, Method: "operator", Reason: "the person has moved to " + l.Operator}, facts)
	if err != nil {
		return nil, err
	}
	event.Type = "consent.moved"
	if event.Detail, err = also(event.Detail, "to", struct {
		Operator string `json:"operator"`
		Move     string `json:"move"`
		Grant    string `json:"grant_id"`
	}{moved.Operator, moved.Move, moved.Grant}); err != nil {
		return nil, err
	}
	if !slices.ContainsFunc(c.Details, func(d Detail) bool { return d.Type == InstanceMove }) { // that goes nowhere
		c.Moved = moved
		if err := keepBeside(ctx, tx, c.ID, `moved`, moved); err != nil {
			return nil, err
		}
	}
	return []ledger.Event{event}, a.tell(ctx, tx, c)
}

// also adds a member to the detail of an event.
func also(detail, name string, value any) (string, error) {
	members := map[string]json.RawMessage{}
	if err := json.Unmarshal([]byte(detail), &members); err != nil {
		return "", err
	}
	text, err := json.Marshal(value)
	if err != nil {
		return "", err
	}
	members[name] = text
	text, err = json.Marshal(members)
	return string(text), err
}

// keepBeside writes beside a consent where it went, or where it came from.
func keepBeside(ctx context.Context, tx *sql.Tx, id, column string, what any) error {
	text, err := json.Marshal(what)
	if err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, `UPDATE consent_consent SET `+column+` = $2 WHERE id = $1`, id, string(text)); err != nil {
		return fmt.Errorf("keep where the consent goes: %w", err)
	}
	return nil
}

// Left is a consent that stood when its person moved.
type Left struct {
	Grant    string `json:"grant_id"`
	Revision int    `json:"revision"`
}

// Left lists the consents that stood when a person moved.
func (a *Authority) Left(ctx context.Context, person, move string) ([]Left, error) {
	all, err := a.Consents(ctx, person)
	list := []Left{}
	for _, c := range all {
		if c.Moved != nil && c.Moved.Move == move {
			list = append(list, Left{c.ID, c.Moved.Revision})
		}
	}
	return list, err
}

// Quiet returns when nothing flows any more on the consents that a person took along in a move: see [Authority.Withdraw].
func (a *Authority) Quiet(ctx context.Context, person, move string) error {
	left, err := a.Left(ctx, person, move)
	for _, l := range left {
		err = errors.Join(err, a.stopConsent(ctx, l.Grant))
	}
	return err
}

// Proves reports whether the log of the operator whom a person leaves shows that a consent was given, that it stands as
// it is said to, and what it holds. What it was shown is a person's whole chain, which ends with that very disclosure.
func (f *Following) Proves(shown *ledger.Shown) bool {
	details, err := json.Marshal(f.Details)
	if err != nil {
		return false
	}
	stands, paused := false, false
	for _, e := range shown.Events {
		if e.Fields[ledger.Consent] != f.Grant || e.Fields[ledger.Service] != f.Service.ID || e.Class != ledger.Decision.String() {
			continue
		}
		switch what := e.Fields[ledger.Type]; what {
		case "consent.paused", "consent.resumed":
			paused = what == "consent.paused"
		case "consent.granted", "consent.renewed", "consent.shortened", "consent.carried":
			var p proof
			stands = json.Unmarshal([]byte(e.Fields[ledger.Detail]), &p) == nil && p.Details == formats.HashOf(details) && e.Fields[ledger.Revision] == fmt.Sprint(f.Revision)
			paused = paused && (what == "consent.shortened" || what == "consent.renewed")
		default:
			stands, paused = false, false
		}
	}
	return stands && paused == f.Paused
}
