// Package events tells services what became of their consents: signed Security Event Tokens (RFC 8417), pushed to an
// endpoint of theirs (RFC 8935) again and again until they acknowledge. Whether they did, or stay silent, is recorded.
//
// It must never know OAuth, nor where the keys are that sign.
package events

import (
	"bytes"
	"context"
	"database/sql"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"time"

	"github.com/google/uuid"

	"github.com/passerelle-cloud/passerelle/consent"
	"github.com/passerelle-cloud/passerelle/internal/jobs"
	"github.com/passerelle-cloud/passerelle/internal/sqldb"
)

//go:embed migrations
var migrations embed.FS

// The URIs of the events. That a consent changed is always told, and the claim says how it stands now; where it has ended
// because its person has moved to another operator, the same token tells that too, with what lets the service follow.
const (
	Type      = "https://passerelle.cloud/events/consent-changed"
	TypeMoved = "https://passerelle.cloud/events/consent-moved"
)

// Options are what telling needs. All must be set but Now.
type Options struct {
	Issuer string
	// Service finds out where a service wants to be told.
	Service func(ctx context.Context, id string) (*consent.Service, error)
	// Subject is the name under which a service knows a person.
	Subject func(service, person string) string
	// Sign makes a JWS (RFC 7515) of claims, with the operator's key for tokens.
	Sign func(ctx context.Context, typ string, claims any) (string, error)
	// Moved says where the person of a consent has gone, for its service; nil: they have not, or it is not said.
	Moved func(ctx context.Context, consent, service string) (any, error)
	// Client reaches services, and nothing that is private.
	Client *http.Client
	Now    func() time.Time // nil: the clock
}

// Events tells services.
type Events struct {
	db    *sqldb.DB
	queue *jobs.Queue
	opt   Options
}

// tell is the kind of job that tells one event.
const tell jobs.Kind[telling] = "consent.event"

// telling is the job: which event.
type telling struct {
	ID string `json:"id"`
}

// New returns who puts events into the queue, and makes the tables if there are none. A queue that runs needs [Events.Work]
// before; others keep for such a one what is to be told.
func New(ctx context.Context, db *sqldb.DB, queue *jobs.Queue) (*Events, error) {
	tables, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return nil, err
	}
	e := &Events{db: db, queue: queue}
	if err := queue.Handle(tell.Worker(e.tell)); err != nil {
		return nil, err
	}
	return e, db.Migrate(ctx, tables, "events_version")
}

// Work says with what events are told when the queue runs.
func (e *Events) Work(opt Options) {
	if opt.Now == nil {
		opt.Now = time.Now
	}
	e.opt = opt
}

// Changed puts an event into the queue, in the transaction of the change.
func (e *Events) Changed(ctx context.Context, tx *sql.Tx, c consent.Consent) error {
	id := uuid.NewString()
	_, err := tx.ExecContext(ctx, `
		INSERT INTO events_event (id, consent, revision, service, person, state, made, tried, acknowledged, answer, paused) VALUES ($1, $2, $3, $4, $5, $6, $7, 0, 0, '', $8)`,
		id, c.ID, c.Revision, c.Service, c.Person, c.State, e.now().UnixMicro(), !c.Paused.IsZero())
	if err != nil {
		return fmt.Errorf("keep the event: %w", err)
	}
	return e.queue.Add(ctx, tx, tell.Job(telling{ID: id}), jobs.Options{})
}

// now is the clock, also before anything is told.
func (e *Events) now() time.Time {
	if e.opt.Now == nil {
		return time.Now()
	}
	return e.opt.Now()
}

// Event is what a service was told.
type Event struct {
	ID           string
	Consent      string
	Revision     int
	Service      string
	State        consent.State
	Paused       bool // the person lets nothing be read for now
	Made         time.Time
	Tried        int       // how often
	Acknowledged time.Time // zero: the service has not answered
	Answer       string    // what came of the last try, in words

	person string
}

const columns = `id, consent, revision, service, person, state, made, tried, acknowledged, answer, paused`

func scan(row interface{ Scan(...any) error }) (Event, error) {
	var e Event
	var made, acknowledged int64
	err := row.Scan(&e.ID, &e.Consent, &e.Revision, &e.Service, &e.person, &e.State, &made, &e.Tried, &acknowledged, &e.Answer, &e.Paused)
	e.Made = time.UnixMicro(made).UTC()
	if acknowledged > 0 {
		e.Acknowledged = time.UnixMicro(acknowledged).UTC()
	}
	return e, err
}

// Of returns what a service was told of a consent, the first first.
func (e *Events) Of(ctx context.Context, consentID string) ([]Event, error) {
	rows, err := e.db.Read.QueryContext(ctx, `SELECT `+columns+` FROM events_event WHERE consent = $1 ORDER BY revision, made`, consentID)
	if err != nil {
		return nil, fmt.Errorf("list the events: %w", err)
	}
	defer rows.Close()
	var list []Event
	for rows.Next() {
		event, err := scan(rows)
		if err != nil {
			return nil, err
		}
		list = append(list, event)
	}
	return list, rows.Err()
}

// tell tells one event. An error makes the queue try again later.
func (e *Events) tell(ctx context.Context, job telling) error {
	event, err := scan(e.db.Read.QueryRowContext(ctx, `SELECT `+columns+` FROM events_event WHERE id = $1`, job.ID))
	if errors.Is(err, sql.ErrNoRows) {
		return jobs.Cancel(errors.New("the event is not there any more"))
	}
	if err != nil {
		return err
	}
	if !event.Acknowledged.IsZero() {
		return nil // told already, by a run that died before it could say so
	}
	service, err := e.opt.Service(ctx, event.Service)
	if errors.Is(err, consent.ErrNotFound) {
		return e.record(ctx, event.ID, "the service is not registered any more", false)
	}
	if err != nil {
		return err
	}
	if service.Events == "" {
		return e.record(ctx, event.ID, "the service has named no endpoint for events", false)
	}
	answer, acknowledged, err := e.push(ctx, service.Events, event)
	return errors.Join(err, e.record(ctx, event.ID, answer, acknowledged))
}

// set is a Security Event Token (RFC 8417 section 2.2).
type set struct {
	Issuer   string         `json:"iss"`
	Issued   int64          `json:"iat"`
	ID       string         `json:"jti"`
	Audience string         `json:"aud"`
	Occurred int64          `json:"toe"`
	Subject  subject        `json:"sub_id"` // RFC 9493
	Events   map[string]any `json:"events"` // by type
}

type subject struct {
	Format string `json:"format"`
	Issuer string `json:"iss"`
	Name   string `json:"sub"`
}

// changed says how a consent stands.
type changed struct {
	Grant    string        `json:"grant_id"`
	Revision int           `json:"revision"`
	State    consent.State `json:"state"`
	Paused   bool          `json:"paused,omitempty"` // nothing can be read for now; an event without it says when it goes on
}

// told is what an event says.
func (e *Events) told(ctx context.Context, event Event) (map[string]any, error) {
	all := map[string]any{Type: changed{event.Consent, event.Revision, event.State, event.Paused}}
	if event.State != consent.Revoked || e.opt.Moved == nil {
		return all, nil
	}
	moved, err := e.opt.Moved(ctx, event.Consent, event.Service)
	if err == nil && moved != nil {
		all[TypeMoved] = moved
	}
	if errors.Is(err, consent.ErrNotFound) { // they have been erased since
		err = nil
	}
	return all, err
}

// push sends an event (RFC 8935 section 2), and says in words what came of it. An error is worth another try.
func (e *Events) push(ctx context.Context, to string, event Event) (answer string, acknowledged bool, err error) {
	told, err := e.told(ctx, event)
	if err != nil {
		return "where the person has gone is not known now", false, err
	}
	token, err := e.opt.Sign(ctx, "secevent+jwt", set{
		Issuer: e.opt.Issuer, Issued: e.opt.Now().Unix(), ID: event.ID, Audience: event.Service, Occurred: event.Made.Unix(),
		Subject: subject{"iss_sub", e.opt.Issuer, e.opt.Subject(event.Service, event.person)},
		Events:  told,
	})
	if err != nil {
		return "it could not be signed", false, err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, to, bytes.NewReader([]byte(token)))
	if err != nil {
		return "the endpoint is no address", false, jobs.Cancel(err)
	}
	r.Header.Set("Content-Type", "application/secevent+jwt")
	r.Header.Set("Accept", "application/json")
	response, err := e.opt.Client.Do(r)
	if err != nil {
		return "the endpoint cannot be reached", false, err
	}
	defer response.Body.Close()
	body, _ := io.ReadAll(io.LimitReader(response.Body, 4<<10)) // what is missing of it says nothing
	switch {
	case response.StatusCode == http.StatusAccepted, response.StatusCode == http.StatusOK, response.StatusCode == http.StatusNoContent:
		return "acknowledged", true, nil
	case response.StatusCode == http.StatusBadRequest:
		var fault struct {
			Code string `json:"err"`
		}
		_ = json.Unmarshal(body, &fault) // then there is no code
		return fmt.Sprintf("refused: %.100q", fault.Code), false, fmt.Errorf("the service refuses the event: %.100q", fault.Code)
	}
	return "the endpoint answers " + response.Status, false, fmt.Errorf("the endpoint answers %d", response.StatusCode)
}

// record keeps what came of a try.
func (e *Events) record(ctx context.Context, id, answer string, acknowledged bool) error {
	at := int64(0)
	if acknowledged {
		at = e.opt.Now().UnixMicro()
	}
	_, err := e.db.Write.ExecContext(ctx, `UPDATE events_event SET tried = tried + 1, answer = $2, acknowledged = $3 WHERE id = $1`, id, answer, at)
	if err == nil && acknowledged { // of a person who was erased meanwhile nothing stays
		_, err = e.db.Write.ExecContext(ctx, `DELETE FROM events_event WHERE id = $1 AND NOT EXISTS (SELECT 1 FROM consent_consent c WHERE c.id = events_event.consent)`, id)
	}
	if err != nil {
		return fmt.Errorf("record what the service answered: %w", err)
	}
	return nil
}

// Erase deletes what services were told of a person and have acknowledged. What they have not they are told on, and it is
// deleted then.
func (e *Events) Erase(ctx context.Context, person string) error {
	if _, err := e.db.Write.ExecContext(ctx, `DELETE FROM events_event WHERE person = $1 AND acknowledged > 0`, person); err != nil {
		return fmt.Errorf("delete what services were told: %w", err)
	}
	return nil
}

// ended are the states in which a service must stop to use what it read.
const ended = `('ConsentWithdrawn', 'ConsentExpired', 'ConsentInvalidated', 'ConsentRevoked')`

// Silent is a service that was told of the end of consents, and has not answered.
type Silent struct {
	Service string
	Events  int64
	Since   time.Time // the first of them
}

// Silents lists the services that have not acknowledged the end of a consent for longer than patience.
func (e *Events) Silents(ctx context.Context, patience time.Duration) ([]Silent, error) {
	rows, err := e.db.Read.QueryContext(ctx, `SELECT service, count(*), min(made) FROM events_event WHERE acknowledged = 0 AND state IN `+ended+` AND made < $1
		GROUP BY service ORDER BY service`, e.now().Add(-patience).UnixMicro())
	if err != nil {
		return nil, fmt.Errorf("list the services that are silent: %w", err)
	}
	defer rows.Close()
	var list []Silent
	for rows.Next() {
		var s Silent
		var since int64
		if err := rows.Scan(&s.Service, &s.Events, &since); err != nil {
			return nil, err
		}
		s.Since = time.UnixMicro(since).UTC()
		list = append(list, s)
	}
	return list, rows.Err()
}

// Answers returns how long services took to acknowledge the end of a consent, of all that ended from a time on, the
// shortest first; and how many have not.
func (e *Events) Answers(ctx context.Context, since time.Time) (took []time.Duration, silent int64, err error) {
	rows, err := e.db.Read.QueryContext(ctx, `SELECT acknowledged - made AS took FROM events_event WHERE made >= $1 AND acknowledged > 0 AND state IN `+ended+` ORDER BY took`, since.UnixMicro())
	if err != nil {
		return nil, 0, fmt.Errorf("list the answers of services: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var n int64
		if err := rows.Scan(&n); err != nil {
			return nil, 0, err
		}
		took = append(took, time.Duration(n)*time.Microsecond)
	}
	if err := rows.Err(); err != nil {
		return nil, 0, err
	}
	err = e.db.Read.QueryRowContext(ctx, `SELECT count(*) FROM events_event WHERE acknowledged = 0 AND state IN `+ended+` AND made >= $1`, since.UnixMicro()).Scan(&silent)
	return took, silent, err
}

// Recipient is a service that had a consent of a person, and whether it has acknowledged that the last one ended.
type Recipient struct {
	Service      string
	LegalName    string
	Contact      string
	Told         time.Time // zero: there was nothing to tell
	Acknowledged time.Time // zero: not yet
}

// Recipients lists the services that had consents of a person.
func (e *Events) Recipients(ctx context.Context, person string) ([]Recipient, error) {
	rows, err := e.db.Read.QueryContext(ctx, `SELECT s.id, s.document, COALESCE(max(v.made), 0), COALESCE(min(v.acknowledged), 0) FROM consent_consent c JOIN consent_service s ON s.id = c.service
		LEFT JOIN events_event v ON v.consent = c.id AND v.revision = c.revision AND v.state IN `+ended+` WHERE c.person = $1 GROUP BY s.id, s.document ORDER BY s.id`, person)
	if err != nil {
		return nil, fmt.Errorf("list who had data: %w", err)
	}
	defer rows.Close()
	var list []Recipient
	for rows.Next() {
		var r Recipient
		var document string
		var told, acknowledged int64
		if err := rows.Scan(&r.Service, &document, &told, &acknowledged); err != nil {
			return nil, err
		}
		var s consent.Service
		if err := json.Unmarshal([]byte(document), &s); err != nil {
			return nil, err
		}
		r.LegalName, r.Contact = s.LegalName, s.Contact
		if told > 0 {
			r.Told = time.UnixMicro(told).UTC()
		}
		if acknowledged > 0 {
			r.Acknowledged = time.UnixMicro(acknowledged).UTC()
		}
		list = append(list, r)
	}
	return list, rows.Err()
}
