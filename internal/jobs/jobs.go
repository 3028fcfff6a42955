// Package jobs does background work that is asked for in the same transaction as the change that needs it: both are
// committed or neither is. The work is done by River, on SQLite by this process, on PostgreSQL by any number of
// replicas. This is the only package that knows River.
//
// A job is done at least once. It may run twice, even at the same time, when a process dies or a worker overstays; so a
// worker looks first at what is left to do. The package must never know what the work is, and never be given personal
// data or secrets: arguments and the texts of errors stay in the database for days after the job has ended, so they
// hold identifiers only.
//
// # Why jobs are inserted with SQL of our own
//
// A caller has a *sql.Tx, on SQLite even one that others share under savepoints, and River's driver for PostgreSQL wants
// the connection behind it, which database/sql does not give away. River's insert is one INSERT into river_job. One text
// for both databases is less than an adapter from *sql.Tx to pgx.Tx, and a test holds our rows against those of River's
// own client, column by column, so that an upgrade which changes them is seen.
package jobs

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/riverdriver/riversqlite"
	"github.com/riverqueue/river/rivermigrate"

	"github.com/passerelle-cloud/passerelle/internal/sqldb"
)

// Errors of this package.
var (
	// ErrJob is the parent of the errors about one job that is asked for.
	ErrJob      = errors.New("jobs: this job cannot be taken on")
	ErrTooBig   = fmt.Errorf("%w: its arguments are too big: store them, and pass their identifier", ErrJob)
	ErrArgs     = fmt.Errorf("%w: its arguments are not sound", ErrJob)
	ErrNoWorker = fmt.Errorf("%w: no worker was given for its kind", ErrJob)
	// ErrBusy says that another process works the jobs of the same SQLite file.
	ErrBusy = errors.New("jobs: another process works the jobs of this database: stop it first")
)

// MaxArgs is how many bytes the arguments of a job may have as JSON.
const MaxArgs = 16 << 10

// Kind names one kind of job, whose arguments are an A. It is a constant that who asks and who works share:
//
//	const Notify jobs.Kind[NotifyArgs] = "consent.notify"
//
// It has at least two characters, letters, digits and any of "_-.:/". It stays the same as long as such jobs are
// stored.
type Kind[A any] string

// Job makes a job of this kind.
func (k Kind[A]) Job(args A) Job {
	encoded, err := json.Marshal(args)
	return Job{kind: string(k), args: encoded, err: err}
}

// Worker makes the worker for this kind. What it returns decides: nil, and the job is done; Snooze or Cancel; any other
// error, and it is tried again. A panic is an error too. The context ends after Config.Timeout, and when the gateway
// stops: a worker that then returns the context's error loses no attempt. Longer work is cut into slices that each
// return Snooze(0).
func (k Kind[A]) Worker(work func(context.Context, A) error) Worker {
	return Worker{kind: string(k), work: func(ctx context.Context, encoded []byte) error {
		var args A
		if err := json.Unmarshal(encoded, &args); err != nil {
			return fmt.Errorf("read the arguments of a job %s: %w", k, err)
		}
		return work(ctx, args)
	}}
}

// Job is some work to do, made by Kind.Job.
type Job struct {
	kind string
	args []byte
	err  error
}

// Worker does the jobs of one kind, made by Kind.Worker.
type Worker struct {
	// MaxAttempts is after how many failures a job is given up. 0 stands for 25: with the default Backoff, three days.
	MaxAttempts int
	// Backoff says how long to wait after a job has failed for the n-th time, n ≥ 1. nil stands for Backoff.
	Backoff func(n int) time.Duration
	// Timeout is that of one run, in the place of Config.Timeout if it is not 0. On PostgreSQL a job whose process died is
	// run again when it is over.
	Timeout time.Duration

	kind string
	work func(context.Context, []byte) error
}

const (
	defaultAttempts = 25
	longestBackoff  = 6 * time.Hour
)

// Backoff is two seconds after the first failure, and twice as long after each other one, up to six hours; give or take
// a quarter, so that what failed together is not tried together.
func Backoff(n int) time.Duration {
	d := longestBackoff
	if n < 14 {
		d = min(d, time.Second<<max(n, 1))
	}
	return d*3/4 + rand.N(d/2)
}

// Snooze says that a job goes on after d, as a next slice of the work or because its time has not come. It uses up no
// attempt.
func Snooze(d time.Duration) error { return river.JobSnooze(max(d, 0)) }

// Cancel says that a job will never succeed, and why; it is given up.
func Cancel(err error) error { return river.JobCancel(err) }

// Config is how a queue works. The zero value works.
type Config struct {
	Log     *slog.Logger          // nil: nothing is logged
	Metrics prometheus.Registerer // nil: nothing is counted

	Parallel int           // jobs at a time, 0: 8; ten times as many a second are begun at most
	Poll     time.Duration // how often to look for jobs that nothing announced, 0: a second
	Timeout  time.Duration // of one run of a job, 0: five minutes
	Rescue   time.Duration // after which a job is run again whose process died, 0: Timeout and a minute
	Grace    time.Duration // that running jobs have to end when Run ends, 0: 20 seconds
}

func (c Config) withDefaults() Config {
	orElse(&c.Log, slog.New(slog.DiscardHandler))
	orElse(&c.Parallel, 8)
	orElse(&c.Poll, time.Second)
	orElse(&c.Timeout, 5*time.Minute)
	orElse(&c.Rescue, c.Timeout+time.Minute)
	orElse(&c.Grace, 20*time.Second)
	return c
}

func orElse[T comparable](v *T, other T) {
	var zero T
	if *v == zero {
		*v = other
	}
}

// Queue is where jobs wait.
type Queue struct {
	db      *sqldb.DB
	config  Config
	workers map[string]Worker
	bell    bell
	count   counters

	mu       sync.Mutex
	notified time.Time // when replicas were last told of a job
}

// New prepares the tables. Any number of processes may do so at once. Give it its workers before Add and Run.
func New(ctx context.Context, db *sqldb.DB, config Config) (*Queue, error) {
	q := &Queue{db: db, config: config.withDefaults(), workers: map[string]Worker{}, bell: make(bell, 1)}
	var err error
	if db.Embedded() {
		err = migrate(ctx, q, q.sqlite())
	} else {
		err = migrate(ctx, q, q.postgres())
	}
	if err != nil {
		return nil, fmt.Errorf("bring the tables of the jobs up to date: %w", err)
	}
	return q, q.observe()
}

func (q *Queue) sqlite() riverdriver.Driver[*sql.Tx] {
	return local{riversqlite.New(q.db.Write), q.bell}
}

func (q *Queue) postgres() riverdriver.Driver[pgx.Tx] { return riverpgxv5.New(q.db.Pool()) }

// Handle gives the queue its workers, one for each kind.
func (q *Queue) Handle(workers ...Worker) error {
	for _, w := range workers {
		if _, twice := q.workers[w.kind]; twice {
			return fmt.Errorf("jobs: there are two workers for %s", w.kind)
		}
		orElse(&w.MaxAttempts, defaultAttempts)
		if w.Backoff == nil {
			w.Backoff = Backoff
		}
		q.workers[w.kind] = w
	}
	return nil
}

const lockPoll = 50 * time.Millisecond

// migrate runs River's migrations, which are not made to be run twice at once.
func migrate[TX any](ctx context.Context, q *Queue, driver riverdriver.Driver[TX]) error {
	migrator, err := rivermigrate.New(driver, &rivermigrate.Config{Logger: quiet(q.config.Log)})
	if err != nil {
		return err
	}
	if current, err := migrator.Validate(ctx, nil); err != nil || current.OK {
		return err
	}
	for {
		unlock, ok, err := q.db.TryLock(ctx, "jobs-tables")
		if err != nil {
			return err
		}
		if ok {
			_, err := migrator.Migrate(ctx, rivermigrate.DirectionUp, nil)
			return errors.Join(err, unlock())
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(lockPoll):
		}
	}
}
