package audit

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"

	"github.com/google/uuid"

	"github.com/passerelle-cloud/passerelle/compliance"
	"github.com/passerelle-cloud/passerelle/consent"
	"github.com/passerelle-cloud/passerelle/consent/ledger"
)

// Kind is what a matter is.
type Kind string

// The kinds of matters, with their clocks.
const (
	Breach       Kind = "breach"       // GDPR art. 33: the supervisor is told within 72 hours of when it was noticed
	RightRequest Kind = "right"        // GDPR art. 12(3): a person is answered within a month, two more where they are told why
	Inquiry14    Kind = "inquiry"      // DGA art. 14(3): the operator states its views within 30 days
	Unauthorised Kind = "unauthorised" // DGA art. 12(k): data holders are told without delay
	Change       Kind = "change"       // DGA art. 11(12): the authority is told of changes within 14 days
	Cessation    Kind = "cessation"    // DGA art. 11(13): the authority is told within 15 days that the activities have ceased
	Fee          Kind = "fee"          // what is charged, and to whom; it has no clock
)

// Kinds returns every kind.
func Kinds() []Kind {
	return []Kind{Breach, RightRequest, Inquiry14, Unauthorised, Change, Cessation, Fee}
}

// due is until when something must have been done about a matter; zero: there is no clock.
func (k Kind) due(from time.Time, prolonged bool) time.Time {
	switch k {
	case Breach:
		return from.Add(72 * time.Hour)
	case RightRequest:
		if prolonged {
			return compliance.AddMonths(from, 3)
		}
		return compliance.AddMonths(from, 1)
	case Inquiry14:
		return from.AddDate(0, 0, 30)
	case Unauthorised:
		return from.AddDate(0, 0, 1)
	case Change:
		return from.AddDate(0, 0, 14)
	case Cessation:
		return from.AddDate(0, 0, 15)
	}
	return time.Time{}
}

// Matter is something that an operator must deal with, and account for.
type Matter struct {
	ID        string    `json:"id"`
	Kind      Kind      `json:"kind"`
	Title     string    `json:"title"`
	Noticed   time.Time `json:"noticed"` // from when the clock runs
	Due       time.Time `json:"due,omitzero"`
	Prolonged string    `json:"prolonged,omitempty"` // why
	Closed    time.Time `json:"closed,omitzero"`
	Outcome   string    `json:"outcome,omitempty"`
}

// Late reports whether a matter was not dealt with in time.
func (m *Matter) Late(now time.Time) bool {
	end := m.Closed
	if end.IsZero() {
		end = now
	}
	return !m.Due.IsZero() && end.After(m.Due)
}

func isText(s string) bool {
	return strings.TrimSpace(s) != "" && len(s) <= 2000 && !strings.ContainsFunc(s, func(r rune) bool { return unicode.IsControl(r) && r != '\n' || unicode.Is(unicode.Bidi_Control, r) })
}

// OpenMatter enters a matter into the register. It is logged. The error wraps [ErrInvalid].
func (a *Auditors) OpenMatter(ctx context.Context, kind Kind, title string, noticed time.Time) (Matter, error) {
	m := Matter{ID: uuid.NewString(), Kind: kind, Title: title, Noticed: noticed.UTC().Truncate(time.Second)}
	known := false
	for _, k := range Kinds() {
		known = known || k == kind
	}
	switch {
	case !known:
		return m, fmt.Errorf("%w: there is no kind %.40q of matter", ErrInvalid, kind)
	case !isText(title):
		return m, fmt.Errorf("%w: say what it is about, in 1 to 2,000 bytes", ErrInvalid)
	case noticed.After(a.now().Add(time.Minute)) || noticed.Before(time.Date(2018, 5, 25, 0, 0, 0, 0, time.UTC)):
		return m, fmt.Errorf("%w: it cannot have been noticed on %s", ErrInvalid, noticed.Format(time.DateOnly))
	}
	m.Due = kind.due(m.Noticed, false)
	return m, a.matter(ctx, "matter.opened", &m, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `INSERT INTO audit_matter (id, kind, title, noticed, prolonged, closed, outcome) VALUES ($1, $2, $3, $4, '', 0, '')`, m.ID, m.Kind, m.Title, m.Noticed.UnixMicro())
		return err
	})
}

// ProlongMatter takes the two more months that the law allows for a person's request, with the reason, which they must be
// told. The error wraps [ErrInvalid] or [consent.ErrNotFound].
func (a *Auditors) ProlongMatter(ctx context.Context, id, why string) error {
	if !isText(why) {
		return fmt.Errorf("%w: say why, in 1 to 2,000 bytes", ErrInvalid)
	}
	m := Matter{ID: id}
	return a.matter(ctx, "matter.prolonged", &m, func(tx *sql.Tx) error {
		now := a.now()
		return one(tx.ExecContext(ctx, `UPDATE audit_matter SET prolonged = $2 WHERE id = $1 AND kind = 'right' AND closed = 0 AND prolonged = '' AND noticed > $3`, id, why, compliance.AddMonths(now, -1).UnixMicro()))
	})
}

// CloseMatter says what became of a matter. The error wraps [ErrInvalid] or [consent.ErrNotFound].
func (a *Auditors) CloseMatter(ctx context.Context, id, outcome string) error {
	if !isText(outcome) {
		return fmt.Errorf("%w: say what became of it, in 1 to 2,000 bytes", ErrInvalid)
	}
	m := Matter{ID: id}
	return a.matter(ctx, "matter.closed", &m, func(tx *sql.Tx) error {
		return one(tx.ExecContext(ctx, `UPDATE audit_matter SET closed = $2, outcome = $3 WHERE id = $1 AND closed = 0`, id, a.now().UnixMicro(), outcome))
	})
}

// one is an error where a statement did not change one row.
func one(result sql.Result, err error) error {
	if err != nil {
		return err
	}
	if n, err := result.RowsAffected(); err != nil || n != 1 {
		return errors.Join(err, fmt.Errorf("there is no such matter, or it is closed, or too late for that: %w", consent.ErrNotFound))
	}
	return nil
}

func (a *Auditors) matter(ctx context.Context, what string, m *Matter, do func(*sql.Tx) error) error {
	_, err := a.ledger.Commit(ctx, func(tx *sql.Tx) ([]ledger.Event, error) {
		// What it is about is not in the log, where nothing can be taken back: a matter may name persons.
		return []ledger.Event{{Person: consent.OperatorChain, Class: ledger.Conduct, Type: what, Service: "matter:" + m.ID, Detail: string(m.Kind)}}, do(tx)
	})
	if err != nil {
		return fmt.Errorf("%s: %w", strings.Replace(what, ".", " ", 1), err)
	}
	return nil
}

// Matters lists matters, those that are due first; the closed ones only if asked for.
func (a *Auditors) Matters(ctx context.Context, closed bool) ([]Matter, error) {
	rows, err := a.db.Read.QueryContext(ctx, `SELECT id, kind, title, noticed, prolonged, closed, outcome FROM audit_matter WHERE closed = 0 OR $1 ORDER BY closed > 0, noticed, id`, closed)
	if err != nil {
		return nil, fmt.Errorf("list the matters: %w", err)
	}
	defer rows.Close()
	list := []Matter{}
	for rows.Next() {
		var m Matter
		var noticed, ended int64
		if err := rows.Scan(&m.ID, &m.Kind, &m.Title, &noticed, &m.Prolonged, &ended, &m.Outcome); err != nil {
			return nil, err
		}
		m.Noticed = time.UnixMicro(noticed).UTC()
		if m.Due = m.Kind.due(m.Noticed, m.Prolonged != ""); ended != 0 {
			m.Closed = time.UnixMicro(ended).UTC()
		}
		list = append(list, m)
	}
	return list, rows.Err()
}
