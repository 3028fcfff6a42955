package jobs

import (
	"bytes"
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/json"
	"fmt"
	"time"

	"github.com/riverqueue/river/rivertype"
)

// Options are how a job is taken on. The zero value: to be run at once.
type Options struct {
	// At is before when it does not run. Times further away than some seconds are kept to some seconds.
	At time.Time
	// Unique leaves the job out if one of the same kind and arguments waits, which then begins after this transaction
	// has ended and so sees what it did. One that runs already does not count. On PostgreSQL transactions that ask for
	// the same job wait for each other.
	Unique bool
}

// Add takes on a job as a part of the transaction tx: it is there once that is committed, and then runs at once. After
// an error that does not wrap ErrJob the transaction can only be rolled back.
func (q *Queue) Add(ctx context.Context, tx *sql.Tx, job Job, options Options) error {
	worker, known := q.workers[job.kind]
	if !known {
		return fmt.Errorf("%w: %q", ErrNoWorker, job.kind)
	}
	if err := job.check(); err != nil {
		return err
	}
	row := q.row(worker, job, options)
	if _, err := tx.ExecContext(ctx, q.insert(), row.values()...); err != nil {
		return fmt.Errorf("take on a job %s: %w", job.kind, err)
	}
	return q.announce(ctx, tx, row)
}

func (j Job) check() error {
	switch {
	case j.err != nil:
		return fmt.Errorf("%w: %w", ErrArgs, j.err)
	case len(j.args) > MaxArgs:
		return fmt.Errorf("%w: those of %s are %d bytes, %d are possible", ErrTooBig, j.kind, len(j.args), MaxArgs)
	case bytes.Contains(bytes.ReplaceAll(j.args, []byte(`\\`), nil), []byte(`\u0000`)):
		return fmt.Errorf("%w: those of %s hold a NUL, which PostgreSQL cannot store", ErrArgs, j.kind)
	}
	return nil
}

// row is what is inserted. All other columns have their defaults.
type row struct {
	kind, args   string
	maxAttempts  int
	state        rivertype.JobState
	created, due any // a time, or nil: the database's
	key          []byte
	keyStates    any
}

// soon is how far away a job's time may be for it to be found by polling. River moves the others when they are due, but
// looks only every five seconds.
const soon = 5 * time.Second

// waits are the states in which a job with a key keeps out another: available, pending, retryable, running and
// scheduled, as River has them in one byte. Running is one of them, for River changes states where it cannot do with a
// second such job; so who runs gives the key away (see keyed).
const waits = 1<<0 | 1<<4 | 1<<5 | 1<<6 | 1<<7

func (q *Queue) row(worker Worker, job Job, options Options) row {
	r := row{kind: job.kind, args: string(job.args), maxAttempts: worker.MaxAttempts, state: rivertype.JobStateAvailable}
	if time.Until(options.At) > soon {
		r.state = rivertype.JobStateScheduled
	}
	r.created, r.due = q.time(time.Time{}), q.time(options.At)
	if options.Unique {
		r.key, r.keyStates = job.key(), waits
	}
	return r
}

func (r row) values() []any {
	return []any{r.kind, r.args, r.maxAttempts, string(r.state), r.created, r.due, r.key, r.keyStates}
}

// time is a time as River stores it, which on SQLite is a text that is compared as such. Without one it is now.
func (q *Queue) time(t time.Time) any {
	switch {
	case q.db.Embedded() && t.IsZero():
		t = time.Now()
		fallthrough
	case q.db.Embedded():
		return t.UTC().Round(time.Millisecond).Format("2006-01-02 15:04:05.000")
	case t.IsZero():
		return nil
	}
	return t
}

// insert is the text for both databases, with what differs: how JSON is stored, and what becomes of a second job with
// the same key. On PostgreSQL the job that is there is locked, so that it begins after this transaction; on SQLite
// everything does.
func (q *Queue) insert() string {
	const (
		columns  = `INSERT INTO river_job (kind, args, max_attempts, state, created_at, scheduled_at, unique_key, unique_states) `
		others   = `, $3, $4, coalesce($5, CURRENT_TIMESTAMP), coalesce($6, CURRENT_TIMESTAMP), $7, CAST(CAST($8 AS INTEGER) AS BIT(8))) `
		sqlite   = columns + `VALUES ($1, jsonb($2)` + others + `ON CONFLICT DO NOTHING`
		postgres = columns + `VALUES ($1, $2` + others + `ON CONFLICT (unique_key)
WHERE unique_key IS NOT NULL AND unique_states IS NOT NULL AND river_job_state_in_bitmask(unique_states, state)
DO UPDATE SET kind = EXCLUDED.kind`
	)
	if q.db.Embedded() {
		return sqlite
	}
	return postgres
}

// key is that of River for a kind and its arguments.
func (j Job) key() []byte {
	args := j.args
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(args, &fields); err == nil {
		if sorted, err := json.Marshal(fields); err == nil {
			args = sorted
		}
	}
	sum := sha256.Sum256([]byte("&kind=" + j.kind + "&args=" + string(args)))
	return sum[:]
}

// cooldown is how long River waits between two looks for jobs at least.
const cooldown = 100 * time.Millisecond

// announce has the job found before the next poll. On SQLite whoever looks for jobs has to wait for the one connection,
// which tx has, and so finds what tx has committed. On PostgreSQL the announcement is part of tx; as commits with one
// wait for each other, there are no more of them than River would heed.
func (q *Queue) announce(ctx context.Context, tx *sql.Tx, r row) error {
	if q.db.Embedded() {
		q.bell.ring()
		return nil
	}
	if r.state != rivertype.JobStateAvailable || !q.mayNotify() {
		return nil
	}
	if _, err := tx.ExecContext(ctx, `SELECT pg_notify(current_schema() || '.' || $1, $2)`, topic, payload); err != nil {
		return fmt.Errorf("announce a job %s: %w", r.kind, err)
	}
	return nil
}

func (q *Queue) mayNotify() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if time.Since(q.notified) < cooldown {
		return false
	}
	q.notified = time.Now()
	return true
}
