package jobs

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"strings"
	"time"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"

	"github.com/passerelle-cloud/passerelle/internal/sqldb"
)

// client is what is used of River's client, whose type differs between databases.
type client interface {
	Start(context.Context) error
	Stop(context.Context) error
}

// Run works jobs until ctx ends. Then it waits for those that run: after Config.Grace their contexts end too, and a
// little later it gives up with an error. Once it runs it outlasts an absence of the database.
func (q *Queue) Run(ctx context.Context) (err error) {
	if q.db.Embedded() {
		unlock, ok, err := q.db.TryLock(ctx, "jobs")
		if err != nil {
			return err
		}
		if !ok {
			return ErrBusy
		}
		defer func() { err = errors.Join(err, unlock()) }()
		if err := q.resume(ctx); ctx.Err() != nil {
			return nil // it was told to stop before it began
		} else if err != nil {
			return fmt.Errorf("take up the jobs of a process that ended: %w", err)
		}
	}
	c, err := q.client()
	if err != nil {
		return fmt.Errorf("prepare to work jobs: %w", err)
	}
	if err := c.Start(context.WithoutCancel(ctx)); err != nil {
		return fmt.Errorf("begin to work jobs: %w", err)
	}
	<-ctx.Done()
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), q.config.Grace+overtime)
	defer cancel()
	if err := c.Stop(end); err != nil {
		return fmt.Errorf("wait for the jobs that run: %w", err)
	}
	return nil
}

// overtime is what a worker has to return once its context has ended.
const overtime = 10 * time.Second

// resume gives back the jobs that ran when the one process that works an SQLite file ended. They have used an attempt:
// a job may have been what ended it.
func (q *Queue) resume(ctx context.Context) error {
	_, err := q.db.Write.ExecContext(ctx, `UPDATE river_job
SET state = CASE WHEN attempt < max_attempts THEN 'available' ELSE 'discarded' END,
	finalized_at = CASE WHEN attempt < max_attempts THEN NULL ELSE $1 END
WHERE state = 'running'`, q.time(time.Time{}))
	return err
}

// How long jobs stay in the database after they have ended.
const (
	keepDone    = time.Hour
	keepGivenUp = 7 * 24 * time.Hour
)

func (q *Queue) client() (client, error) {
	workers := river.NewWorkers()
	for kind, w := range q.workers {
		river.AddWorkerArgs(workers, arguments{kind}, river.Worker[arguments](&worker{Worker: w, q: q}))
	}
	config := &river.Config{
		Logger: quiet(q.config.Log), Workers: workers, FetchOnlyKnownKinds: true,
		Queues:        map[string]river.QueueConfig{river.QueueDefault: {MaxWorkers: q.config.Parallel}},
		FetchCooldown: min(cooldown, q.config.Poll), FetchPollInterval: q.config.Poll,
		JobTimeout: q.config.Timeout, RescueStuckJobsAfter: q.config.Rescue, SoftStopTimeout: q.config.Grace,
		CompletedJobRetentionPeriod: keepDone, CancelledJobRetentionPeriod: keepGivenUp, DiscardedJobRetentionPeriod: keepGivenUp,
	}
	if q.db.Embedded() {
		return river.NewClient(q.sqlite(), config)
	}
	return river.NewClient(q.postgres(), config)
}

// arguments tells River the kind; what the arguments are is for the worker.
type arguments struct{ kind string }

func (a arguments) Kind() string { return a.kind }

func (a *arguments) UnmarshalJSON([]byte) error { return nil }

// worker is a Worker as River wants it.
type worker struct {
	river.WorkerDefaults[arguments]
	Worker
	q *Queue
}

func (w *worker) NextRetry(job *river.Job[arguments]) time.Time {
	return time.Now().Add(w.Backoff(max(job.Attempt, 1)))
}

// Timeout hides the field of that name: 0 stands for the queue's.
func (w *worker) Timeout(*river.Job[arguments]) time.Duration { return w.Worker.Timeout }

func (w *worker) Work(ctx context.Context, job *river.Job[arguments]) error {
	key := keyed{q: w.q, id: job.ID, key: job.UniqueKey}
	if err := key.giveAway(ctx); err != nil {
		return err
	}
	err := w.try(ctx, job)
	if w.judge(ctx, job, err) {
		return key.takeBack(ctx, err)
	}
	return err
}

func (w *worker) try(ctx context.Context, job *river.Job[arguments]) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("the worker panicked: %v\n%s", p, debug.Stack())
		}
		if err != nil {
			err = storable{err}
		}
	}()
	return w.work(ctx, job.EncodedArgs)
}

// judge counts what came of a run, and reports whether the job will run again.
func (w *worker) judge(ctx context.Context, job *river.Job[arguments], err error) (again bool) {
	var snooze *rivertype.JobSnoozeError
	var cancel *rivertype.JobCancelError
	switch {
	case err == nil:
		w.q.count.done.WithLabelValues(job.Kind).Inc()
		return false
	case errors.As(err, &snooze):
		return true
	case errors.Is(err, context.Canceled) && ctx.Err() != nil: // the gateway stops
		return true
	}
	w.q.count.failed.WithLabelValues(job.Kind).Inc()
	if job.Attempt < job.MaxAttempts && !errors.As(err, &cancel) {
		w.q.config.Log.WarnContext(ctx, "a job failed, and will be tried again", "kind", job.Kind, "job", job.ID, "attempt", job.Attempt, "err", err)
		return true
	}
	w.q.count.givenUp.WithLabelValues(job.Kind).Inc()
	w.q.config.Log.ErrorContext(ctx, "a job is given up", "kind", job.Kind, "job", job.ID, "attempts", job.Attempt, "err", err)
	return false
}

// keyed is a job that may have a key, as it is Unique. While it runs it does not have it, so that a change it may not
// have seen gets a job of its own.
type keyed struct {
	q   *Queue
	id  int64
	key []byte
}

func (k keyed) giveAway(ctx context.Context) error { return k.set(ctx, nil) }

// takeBack ends the run of a job that will run again, with err. Where another one has the key by now, that one does its
// work.
func (k keyed) takeBack(ctx context.Context, err error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), overtime)
	defer cancel()
	switch e := k.set(ctx, k.key); {
	case sqldb.IsUnique(e):
		return nil
	case e != nil: // it runs again all the same
		k.q.config.Log.WarnContext(ctx, "a job lost its key", "job", k.id, "err", e)
	}
	return err
}

func (k keyed) set(ctx context.Context, key []byte) error {
	if k.key == nil {
		return nil
	}
	_, err := k.q.db.Write.ExecContext(ctx, `UPDATE river_job SET unique_key = $2 WHERE id = $1`, k.id, key)
	return err
}

// maxText is how much of an error's text is stored for each attempt.
const maxText = 8 << 10

// storable is an error whose text the database takes.
type storable struct{ error }

func (s storable) Unwrap() error { return s.error }

func (s storable) Error() string {
	text := s.error.Error()
	return strings.ToValidUTF8(strings.ReplaceAll(text[:min(len(text), maxText)], "\x00", "␀"), "�")
}

// quiet is the log without River's news.
func quiet(log *slog.Logger) *slog.Logger { return slog.New(warnings{log.Handler()}) }

type warnings struct{ slog.Handler }

func (w warnings) Enabled(ctx context.Context, level slog.Level) bool {
	return level >= slog.LevelWarn && w.Handler.Enabled(ctx, level)
}

func (w warnings) WithAttrs(attrs []slog.Attr) slog.Handler {
	return warnings{w.Handler.WithAttrs(attrs)}
}

func (w warnings) WithGroup(name string) slog.Handler { return warnings{w.Handler.WithGroup(name)} }
