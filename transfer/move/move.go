package move

import (
	"context"
	"database/sql"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/passerelle-cloud/passerelle/consent/ledger"
	"github.com/passerelle-cloud/passerelle/internal/sqldb"
)

//go:embed migrations
var migrations embed.FS

// Move is what one side has written of a move.
type Move struct {
	ID string // the same at both operators; who does not know it cannot guess it
	Standing
	Person  string // the name of the instance here
	Peer    string // id of the other operator
	Consent string // the person's authorisation at the source: the OAuth grant
	Begun   time.Time
	Changed time.Time
	Due     time.Time // when something is to be done about it here; zero: nothing is
}

// Ended reports whether nothing can come of the move any more.
func (m *Move) Ended() bool {
	return m.Stage == Aborted || m.Stage == Activated || m.Stage == Committed || m.Stage == Erased
}

// The errors that callers tell apart, besides those of [Standing.After].
var (
	// ErrNotFound is returned for a move that there is not, or that is not one's own.
	ErrNotFound = errors.New("there is no such move")
	// ErrOpen is returned where another move of the same person is under way.
	ErrOpen = errors.New("another move of this instance is under way: let it end, or stop it")
	// ErrRefused is the parent of what the other side says that does not hold.
	ErrRefused = errors.New("what the other operator says does not hold")
)

// store keeps moves. Whatever changes a standing is committed together with its leaf in the log.
type store struct {
	db     *sqldb.DB
	ledger *ledger.Ledger
	side   Side
	now    func() time.Time
}

func openStore(ctx context.Context, db *sqldb.DB, log *ledger.Ledger, side Side, now func() time.Time) (*store, error) {
	tables, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return nil, err
	}
	if now == nil {
		now = time.Now
	}
	return &store{db: db, ledger: log, side: side, now: now}, db.Migrate(ctx, tables, "move_version")
}

// entry is a move with what else a side knows of it.
type entry[D any] struct {
	Move
	Detail D
}

const columns = `id, person, peer, consent, stage, epoch, root, begun, changed, due, detail`

func scan[D any](side Side, row interface{ Scan(...any) error }) (*entry[D], error) {
	e := &entry[D]{Move: Move{Standing: Standing{Side: side}}}
	var begun, changed, due int64
	var detail string
	err := row.Scan(&e.ID, &e.Person, &e.Peer, &e.Consent, &e.Stage, &e.Epoch, &e.Root, &begun, &changed, &due, &detail)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, ErrNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("look for the move: %w", err)
	}
	e.Begun, e.Changed = time.UnixMicro(begun).UTC(), time.UnixMicro(changed).UTC()
	if due > 0 {
		e.Due = time.UnixMicro(due).UTC()
	}
	return e, json.Unmarshal([]byte(detail), &e.Detail)
}

type querier interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

func read[D any](ctx context.Context, s *store, q querier, id string) (*entry[D], error) {
	return scan[D](s.side, q.QueryRowContext(ctx, `SELECT `+columns+` FROM move_move WHERE id = $1 AND side = $2`, id, string(s.side)))
}

// byConsent finds the move that an authorisation is of.
func byConsent[D any](ctx context.Context, s *store, q querier, consent string) (*entry[D], error) {
	return scan[D](s.side, q.QueryRowContext(ctx, `SELECT `+columns+` FROM move_move WHERE consent = $1 AND side = $2`, consent, string(s.side)))
}

// latest finds the last move of a person.
func latest[D any](ctx context.Context, s *store, q querier, person string) (*entry[D], error) {
	return scan[D](s.side, q.QueryRowContext(ctx, `SELECT `+columns+` FROM move_move WHERE person = $1 AND side = $2 ORDER BY begun DESC, id LIMIT 1`, person, string(s.side)))
}

// put writes an entry, in the place of what was there.
func put[D any](ctx context.Context, s *store, tx *sql.Tx, e *entry[D]) error {
	detail, err := json.Marshal(e.Detail)
	if err != nil {
		return err
	}
	e.Changed = s.now().UTC()
	due := int64(0)
	if !e.Due.IsZero() {
		due = e.Due.UnixMicro()
	}
	_, err = tx.ExecContext(ctx, `
		INSERT INTO move_move (id, side, person, peer, consent, stage, epoch, root, begun, changed, due, detail) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
		ON CONFLICT (id, side) DO UPDATE SET person = excluded.person, stage = excluded.stage, epoch = excluded.epoch, root = excluded.root, changed = excluded.changed, due = excluded.due, detail = excluded.detail`,
		e.ID, string(s.side), e.Person, e.Peer, e.Consent, string(e.Stage), e.Epoch, e.Root, e.Begun.UnixMicro(), e.Changed.UnixMicro(), due, string(detail))
	if err != nil {
		return fmt.Errorf("write down the move: %w", err)
	}
	return nil
}

// begin writes down a move that there was not, with its leaf.
func begin[D any](ctx context.Context, s *store, e *entry[D], what string, detail note) error {
	e.Begun = s.now().UTC()
	_, err := s.ledger.Commit(ctx, func(tx *sql.Tx) ([]ledger.Event, error) {
		if err := s.hold(ctx, tx, e.Person); err != nil {
			return nil, err
		}
		if err := s.admits(ctx, tx, e.Person); err != nil {
			return nil, err
		}
		if _, err := read[D](ctx, s, tx, e.ID); !errors.Is(err, ErrNotFound) {
			return nil, errors.Join(err, ErrEnded) // there was one of that id
		}
		return []ledger.Event{e.event(what, detail)}, put(ctx, s, tx, e)
	})
	return err
}

// change changes a move in one transaction with the leaves that it returns. Whoever else changes it waits. do may be run
// more than once.
func change[D any](ctx context.Context, s *store, id string, do func(*sql.Tx, *entry[D]) ([]ledger.Event, error)) (e *entry[D], err error) {
	_, err = s.ledger.Commit(ctx, func(tx *sql.Tx) ([]ledger.Event, error) {
		if _, err := tx.ExecContext(ctx, `UPDATE move_move SET changed = changed WHERE id = $1 AND side = $2`, id, string(s.side)); err != nil {
			return nil, fmt.Errorf("take the move: %w", err)
		}
		if e, err = read[D](ctx, s, tx, id); err != nil {
			return nil, err
		}
		events, err := do(tx, e)
		if err != nil {
			return nil, err
		}
		return events, put(ctx, s, tx, e)
	})
	return e, err
}

// due lists the moves about which something is to be done now.
func (s *store) due(ctx context.Context, most int) (ids []string, err error) {
	rows, err := s.db.Read.QueryContext(ctx, `SELECT id FROM move_move WHERE side = $1 AND due > 0 AND due <= $2 ORDER BY due LIMIT $3`, string(s.side), s.now().UnixMicro(), most)
	if err != nil {
		return nil, fmt.Errorf("look what is to be done: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var id string
		if err := rows.Scan(&id); err != nil {
			return nil, err
		}
		ids = append(ids, id)
	}
	return ids, rows.Err()
}

// list returns the moves of a person, the last one first.
func list[D any](ctx context.Context, s *store, person string) (all []*entry[D], err error) {
	rows, err := s.db.Read.QueryContext(ctx, `SELECT `+columns+` FROM move_move WHERE person = $1 AND side = $2 ORDER BY begun DESC, id`, person, string(s.side))
	if err != nil {
		return nil, fmt.Errorf("list the moves: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		e, err := scan[D](s.side, rows)
		if err != nil {
			return nil, err
		}
		all = append(all, e)
	}
	return all, rows.Err()
}

// note is the detail of a move's event: what proves which state it was about.
type note struct {
	Move  string `json:"move"`
	Epoch int    `json:"epoch,omitempty"`
	Root  string `json:"state_root,omitempty"`
	// Receipt is the SHA-256 of the acceptance that both operators signed.
	Receipt string `json:"receipt,omitempty"`
	// Declared is the SHA-256 of what the person declared.
	Declared string `json:"declared,omitempty"`
	Why      string `json:"why,omitempty"`
}

func (m *Move) event(what string, n note) ledger.Event {
	n.Move = m.ID
	text, _ := json.Marshal(n) // texts and numbers only
	return ledger.Event{Person: m.Person, Class: ledger.Transfer, Type: what, Service: m.Peer, Consent: m.Consent, Detail: string(text)}
}

// happens is a change of the standing with its leaf.
func (m *Move) happens(e Event, epoch int, root string, what string) ([]ledger.Event, error) {
	after, err := m.After(e, epoch, root)
	if err != nil || after == m.Standing {
		return nil, err
	}
	m.Standing = after
	return []ledger.Event{m.event(what, note{Epoch: after.Epoch, Root: after.Root})}, nil
}

// The types of the events of a move.
const (
	logBegun     = "move.begun"
	logFenced    = "move.fenced"
	logLifted    = "move.lifted"
	logAccepted  = "move.accepted"
	logCommitted = "move.committed"
	logActivated = "move.activated"
	// The person declared the source to be gone; and it came back, and lets them write.
	logOverridden = "move.overridden"
	logForked     = "move.forked"
	logAborted    = "move.aborted"
	logErased     = "move.erased"
)
