// Package money makes sense of a person's money inside their instance: it has bills and bank operations compared
// ([reconcile.Run]), keeps what came of it as records of the instance (kinds "match" and "alert"), tells a person of
// reimbursements that are late or short, and does what they say about links. Nothing leaves.
//
// It must never know HTTP, nor where an instance is kept.
package money

import (
	"context"
	"crypto/rand"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"time"

	"github.com/passerelle-cloud/passerelle/formats"
	"github.com/passerelle-cloud/passerelle/formats/reconcile"
	"github.com/passerelle-cloud/passerelle/internal/jobs"
	"github.com/passerelle-cloud/passerelle/internal/sqldb"
	"github.com/passerelle-cloud/passerelle/operators"
	"github.com/passerelle-cloud/passerelle/transfer"
)

//go:embed migrations
var migrations embed.FS

// Instance is what of a person's instance is needed.
type Instance struct {
	transfer.Reader
	// Rewrite writes records in one transaction, those apart that are not any more as they were seen, and says how many those
	// are. The error wraps [operators.ErrReadOnly] while nothing can be written.
	Rewrite func(ctx context.Context, list []operators.Rewrite) (missed int, err error)
}

// Options are what money needs. Instance, Persons and Rules must be set.
type Options struct {
	// Instance opens the instance of a person; the error wraps [operators.ErrNotFound] where there is none.
	Instance func(ctx context.Context, person string) (Instance, error)
	// Persons are all who have an instance here.
	Persons func(ctx context.Context) ([]string, error)
	// Rules are those of a country (ISO 3166-1 alpha-2; "": it is not known), such as [reconcile.RulesFor].
	Rules   func(country string) (*reconcile.Rules, error)
	Country string           // of who has no account with an IBAN; "": it is not known
	Every   time.Duration    // how often it is looked whether something changed; 0: ten minutes
	Now     func() time.Time // nil: the clock
}

// Money looks through the money of persons.
type Money struct {
	db    *sqldb.DB
	queue *jobs.Queue
	opt   Options
}

const runKind jobs.Kind[runJob] = "money.run"

// runJob names a person by the id of their row.
type runJob struct {
	ID string `json:"id"`
}

const defaultEvery = 10 * time.Minute

// Open prepares the table, and gives the queue its worker. Without a queue nothing runs by itself.
func Open(ctx context.Context, db *sqldb.DB, queue *jobs.Queue, o Options) (*Money, error) {
	if o.Every == 0 {
		o.Every = defaultEvery
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	tables, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return nil, err
	}
	if err := db.Migrate(ctx, tables, "money_version"); err != nil {
		return nil, err
	}
	m := &Money{db: db, queue: queue, opt: o}
	if queue == nil {
		return m, nil
	}
	return m, queue.Handle(runKind.Worker(m.work))
}

// Watch looks again and again whose money changed, until the context ends. Several replicas may: each run is asked for once.
func (m *Money) Watch(ctx context.Context, log *slog.Logger) {
	clock := time.NewTicker(m.opt.Every)
	defer clock.Stop()
	for {
		if err := m.sweep(ctx); err != nil && ctx.Err() == nil {
			log.Warn("it cannot be looked whose money changed", "error", err) // the next look sees the same
		}
		select {
		case <-ctx.Done():
			return
		case <-clock.C:
		}
	}
}

// sweep asks for a run for each person of whom something changed, or for whom a day has passed.
func (m *Money) sweep(ctx context.Context) error {
	persons, err := m.opt.Persons(ctx)
	if err != nil {
		return fmt.Errorf("look whose money changed: %w", err)
	}
	for _, person := range persons {
		due, err := m.due(ctx, person)
		if err != nil {
			return fmt.Errorf("look whether money changed: %w", err)
		}
		if !due {
			continue
		}
		if err := m.Changed(ctx, person); err != nil {
			return err
		}
	}
	return nil
}

func (m *Money) due(ctx context.Context, person string) (bool, error) {
	instance, err := m.opt.Instance(ctx, person)
	if err == nil {
		var at operators.Position
		if at, err = instance.Position(ctx); err == nil {
			row, err := m.row(ctx, person)
			return row.position != int64(at) || row.day != m.today(), err
		}
	}
	if errors.Is(err, operators.ErrNotFound) {
		return false, nil // gone meanwhile
	}
	return false, err
}

// Changed asks for a run for a person in the background: whoever has just brought operations or bills need not wait for the next
// look.
func (m *Money) Changed(ctx context.Context, person string) error {
	err := m.db.Tx(ctx, func(tx *sql.Tx) error {
		var id string
		err := tx.QueryRowContext(ctx, `INSERT INTO money_run (id, person, position, day, alerts) VALUES ($1, $2, -1, '', 0) ON CONFLICT (person) DO UPDATE SET person = $2 RETURNING id`, rand.Text(), person).Scan(&id)
		if err != nil {
			return err
		}
		return m.queue.Add(ctx, tx, runKind.Job(runJob{id}), jobs.Options{Unique: true})
	})
	if err != nil {
		return fmt.Errorf("ask that money is looked through: %w", err)
	}
	return nil
}

// later is when a run is tried again that could not write: the instance is read-only, or somebody else wrote just then.
const later = 30 * time.Second

func (m *Money) work(ctx context.Context, job runJob) error {
	var person string
	err := m.db.Read.QueryRowContext(ctx, `SELECT person FROM money_run WHERE id = $1`, job.ID).Scan(&person)
	if errors.Is(err, sql.ErrNoRows) {
		return nil // they have left
	}
	if err != nil {
		return err
	}
	_, err = m.Run(ctx, person)
	switch {
	case errors.Is(err, operators.ErrNotFound):
		return nil
	case errors.Is(err, operators.ErrReadOnly):
		return nil // as during a move; the next look sees that it is still to be done
	case errors.Is(err, ErrMeanwhile):
		return jobs.Snooze(later)
	}
	return err
}

// row is how a person's money stood.
type row struct {
	position int64
	day      string
}

func (m *Money) row(ctx context.Context, person string) (r row, err error) {
	r.position = -1
	err = m.db.Read.QueryRowContext(ctx, `SELECT position, day FROM money_run WHERE person = $1`, person).Scan(&r.position, &r.day)
	if errors.Is(err, sql.ErrNoRows) {
		err = nil
	}
	return r, err
}

func (m *Money) save(ctx context.Context, person string, at operators.Position, alerts int) error {
	_, err := m.db.Write.ExecContext(ctx, `INSERT INTO money_run (id, person, position, day, alerts) VALUES ($1, $2, $3, $4, $5)
		ON CONFLICT (person) DO UPDATE SET position = $3, day = $4, alerts = $5`, rand.Text(), person, int64(at), m.today(), alerts)
	if err != nil {
		return fmt.Errorf("note that money was looked through: %w", err)
	}
	return nil
}

// Waiting returns how many alerts of a person are open. It costs next to nothing.
func (m *Money) Waiting(ctx context.Context, person string) (n int, err error) {
	err = m.db.Read.QueryRowContext(ctx, `SELECT alerts FROM money_run WHERE person = $1`, person).Scan(&n)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return 0, fmt.Errorf("count the alerts: %w", err)
	}
	return n, nil
}

// Forget removes what is known here of a person, who leaves.
func (m *Money) Forget(ctx context.Context, person string) error {
	if _, err := m.db.Write.ExecContext(ctx, `DELETE FROM money_run WHERE person = $1`, person); err != nil {
		return fmt.Errorf("forget whose money was looked through: %w", err)
	}
	return nil
}

func (m *Money) today() string { return m.opt.Now().Format(time.DateOnly) }

// datasets are those that bills are in.
func datasets() []formats.Dataset { return []formats.Dataset{formats.Bills, formats.Health} }
