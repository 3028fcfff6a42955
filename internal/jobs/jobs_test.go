package jobs_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/passerelle-cloud/passerelle/internal/dbtest"
	"github.com/passerelle-cloud/passerelle/internal/jobs"
	"github.com/passerelle-cloud/passerelle/internal/sqldb"
)

type args struct {
	Name string `json:"name"`
}

const greet jobs.Kind[args] = "test.greet"

// fast looks for jobs often. Where a test is about being woken, it does not.
func fast() jobs.Config {
	return jobs.Config{Poll: 50 * time.Millisecond, Grace: 100 * time.Millisecond}
}

func soonest(int) time.Duration { return 0 }

// heard is what workers were given.
type heard struct {
	mu    sync.Mutex
	names []string
}

func (h *heard) hear(_ context.Context, a args) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.names = append(h.names, a.Name)
	return nil
}

func (h *heard) all() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return append([]string(nil), h.names...)
}

func (h *heard) await(t *testing.T, want ...string) {
	t.Helper()
	await(t, func() bool { return len(h.all()) >= len(want) })
	if got := h.all(); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("heard %v, not %v", got, want)
	}
}

func await(t *testing.T, happened func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !happened(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("it did not happen")
		}
	}
}

func open(t testing.TB, db *sqldb.DB, config jobs.Config, workers ...jobs.Worker) *jobs.Queue {
	t.Helper()
	q, err := jobs.New(t.Context(), db, config)
	if err != nil {
		t.Fatal(err)
	}
	if err := q.Handle(workers...); err != nil {
		t.Fatal(err)
	}
	return q
}

// start runs a queue, and returns a function that ends it.
func start(t testing.TB, q *jobs.Queue) (stop func() error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- q.Run(ctx) }()
	stop = sync.OnceValue(func() error {
		cancel()
		return <-ended
	})
	t.Cleanup(func() {
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
	return stop
}

func add(t testing.TB, db *sqldb.DB, q *jobs.Queue, job jobs.Job, options jobs.Options) {
	t.Helper()
	if err := db.Tx(t.Context(), func(tx *sql.Tx) error { return q.Add(t.Context(), tx, job, options) }); err != nil {
		t.Fatal(err)
	}
}

func count(t testing.TB, db *sqldb.DB, where string) (n int) {
	t.Helper()
	if err := db.Read.QueryRow(`SELECT count(*) FROM river_job WHERE ` + where).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// Functions share a transaction under savepoints, as they do in the ledger. Nothing but the announcement wakes the queue.
func TestJobsAreCommittedWithTheirTransaction(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		var h heard
		config := fast()
		config.Poll = time.Hour
		q := open(t, db, config, greet.Worker(h.hear))
		start(t, q)
		time.Sleep(300 * time.Millisecond) // it has looked once
		refused := errors.New("refused")
		err := db.Tx(t.Context(), func(tx *sql.Tx) error {
			savepoint(t, tx, func() error { return q.Add(t.Context(), tx, greet.Job(args{"kept"}), jobs.Options{}) })
			savepoint(t, tx, func() error {
				if err := q.Add(t.Context(), tx, greet.Job(args{"dropped"}), jobs.Options{}); err != nil {
					return err
				}
				return refused
			})
			time.Sleep(300 * time.Millisecond)
			if got := h.all(); len(got) > 0 {
				t.Errorf("%v ran before the commit", got)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		h.await(t, "kept")
		err = db.Tx(t.Context(), func(tx *sql.Tx) error {
			return errors.Join(q.Add(t.Context(), tx, greet.Job(args{"rolled back"}), jobs.Options{}), refused)
		})
		if !errors.Is(err, refused) {
			t.Fatal(err)
		}
		time.Sleep(200 * time.Millisecond)
		add(t, db, q, greet.Job(args{"last"}), jobs.Options{})
		h.await(t, "kept", "last")
	})
}

func savepoint(t *testing.T, tx *sql.Tx, do func() error) {
	t.Helper()
	run := func(statement string) {
		if _, err := tx.Exec(statement); err != nil {
			t.Fatal(err)
		}
	}
	run(`SAVEPOINT one`)
	if err := do(); err != nil {
		if err.Error() != "refused" {
			t.Error(err)
		}
		run(`ROLLBACK TO one`)
	}
	run(`RELEASE one`)
}

func TestReplicasShareTheWork(t *testing.T) {
	where := dbtest.PostgresURL(t)
	var h heard
	var dbs [3]*sqldb.DB
	var queues [3]*jobs.Queue
	for i := range queues {
		db, err := sqldb.Open(t.Context(), where)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { db.Close() })
		dbs[i] = db
	}
	var wg sync.WaitGroup
	for i := range queues {
		wg.Go(func() { queues[i] = open(t, dbs[i], fast(), greet.Worker(h.hear)) })
	}
	wg.Wait()
	for _, q := range queues {
		start(t, q)
	}
	const n = 300
	for i := range n {
		add(t, dbs[i%3], queues[i%3], greet.Job(args{fmt.Sprint(i)}), jobs.Options{})
	}
	await(t, func() bool { return count(t, dbs[0], `state = 'completed'`) == n })
	seen := map[string]bool{}
	for _, name := range h.all() {
		if seen[name] {
			t.Errorf("job %s ran twice", name)
		}
		seen[name] = true
	}
	if len(seen) != n {
		t.Errorf("%d jobs ran, of %d", len(seen), n)
	}
}

func TestNewAtOnce(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		var wg sync.WaitGroup
		for range 5 {
			wg.Go(func() {
				if _, err := jobs.New(t.Context(), db, jobs.Config{}); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
	})
}

func TestFailuresAreTriedAgain(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		var h heard
		var waits []int
		worker := greet.Worker(func(ctx context.Context, a args) error {
			h.hear(ctx, a)
			switch len(h.all()) {
			case 1:
				return errors.New("no \x00 luck \xff")
			case 2:
				panic("ouch \x00")
			}
			return nil
		})
		worker.Backoff = func(n int) time.Duration {
			waits = append(waits, n)
			return 0
		}
		q := open(t, db, fast(), worker)
		start(t, q)
		add(t, db, q, greet.Job(args{"x"}), jobs.Options{})
		h.await(t, "x", "x", "x")
		await(t, func() bool { return count(t, db, `state = 'completed' AND attempt = 3`) == 1 })
		if fmt.Sprint(waits) != "[1 2]" {
			t.Errorf("waited after failures %v", waits)
		}
	})
}

func TestBackoff(t *testing.T) {
	for n, want := range map[int]time.Duration{0: 2 * time.Second, 1: 2 * time.Second, 5: 32 * time.Second, 14: 6 * time.Hour, math.MaxInt: 6 * time.Hour} {
		for range 100 {
			if d := jobs.Backoff(n); d < want*3/4 || d > want*5/4 {
				t.Fatalf("after %d failures: %v", n, d)
			}
		}
	}
}

func TestJobsAreGivenUp(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		metrics := prometheus.NewRegistry()
		config := fast()
		config.Metrics = metrics
		worker := greet.Worker(func(_ context.Context, a args) error {
			if a.Name == "hopeless" {
				return fmt.Errorf("see: %w", jobs.Cancel(errors.New("never")))
			}
			return errors.New("no luck")
		})
		worker.MaxAttempts, worker.Backoff = 2, soonest
		q := open(t, db, config, worker)
		start(t, q)
		add(t, db, q, greet.Job(args{"hopeless"}), jobs.Options{})
		add(t, db, q, greet.Job(args{"unlucky"}), jobs.Options{})
		add(t, db, q, greet.Job(args{"later"}), jobs.Options{At: time.Now().Add(time.Hour)})
		await(t, func() bool {
			return count(t, db, `state = 'cancelled' AND attempt = 1`) == 1 && count(t, db, `state = 'discarded' AND attempt = 2`) == 1
		})
		want := map[string]float64{"passerelle_jobs_pending": 1, "passerelle_jobs_failed_total": 3, "passerelle_jobs_given_up_total": 2}
		families, err := metrics.Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range families {
			m := f.GetMetric()[0]
			if got := m.GetGauge().GetValue() + m.GetCounter().GetValue(); got != want[f.GetName()] || m.GetLabel()[0].GetValue() != string(greet) {
				t.Errorf("%s is %v", f.GetName(), got)
			}
			delete(want, f.GetName())
		}
		if len(want) > 0 {
			t.Errorf("there are no %v", want)
		}
	})
}

func TestSnoozeUsesNoAttempt(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		var h heard
		worker := greet.Worker(func(ctx context.Context, a args) error {
			h.hear(ctx, a)
			if len(h.all()) < 4 {
				return jobs.Snooze(-1)
			}
			return nil
		})
		worker.MaxAttempts = 1
		q := open(t, db, fast(), worker)
		start(t, q)
		add(t, db, q, greet.Job(args{"x"}), jobs.Options{Unique: true})
		h.await(t, "x", "x", "x", "x")
		await(t, func() bool { return count(t, db, `state = 'completed' AND attempt = 1`) == 1 })
	})
}

func TestUniqueJobs(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		var h heard
		began, goOn := make(chan struct{}), make(chan error)
		worker := greet.Worker(func(ctx context.Context, a args) error {
			h.hear(ctx, a)
			began <- struct{}{}
			return <-goOn
		})
		worker.Backoff = soonest
		q := open(t, db, fast(), worker)
		once := jobs.Options{Unique: true}
		for range 3 {
			add(t, db, q, greet.Job(args{"a"}), once)
		}
		if n := count(t, db, `state = 'available'`); n != 1 {
			t.Fatalf("%d jobs wait", n)
		}
		start(t, q)
		<-began
		// One that runs may not have seen the change of those that come now.
		add(t, db, q, greet.Job(args{"a"}), once)
		add(t, db, q, greet.Job(args{"a"}), once)
		<-began
		if n := count(t, db, `state = 'running'`); n != 2 {
			t.Errorf("%d jobs run", n)
		}
		// One waits while another fails: it does the work of both.
		goOn <- nil
		await(t, func() bool { return count(t, db, `state = 'completed'`) == 1 })
		add(t, db, q, greet.Job(args{"a"}), jobs.Options{Unique: true, At: time.Now().Add(time.Hour)})
		goOn <- errors.New("no luck")
		await(t, func() bool { return count(t, db, `state = 'completed'`) == 2 })
		if n := count(t, db, `state = 'scheduled'`); n != 1 {
			t.Errorf("%d jobs wait", n)
		}
		// One fails alone: it is there, and keeps out another.
		add(t, db, q, greet.Job(args{"b"}), once)
		<-began
		goOn <- errors.New("no luck")
		<-began
		goOn <- nil
		h.await(t, "a", "a", "b", "b")
		await(t, func() bool { return count(t, db, `state = 'completed'`) == 3 })
	})
}

// A job that is left out must begin after the transaction that left it out, or it would miss what that did.
func TestUniqueJobsWaitForWhoLeftOneOut(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		var h heard
		q := open(t, db, fast(), greet.Worker(h.hear))
		add(t, db, q, greet.Job(args{"x"}), jobs.Options{Unique: true, At: time.Now().Add(300 * time.Millisecond)})
		start(t, q)
		err := db.Tx(t.Context(), func(tx *sql.Tx) error {
			if err := q.Add(t.Context(), tx, greet.Job(args{"x"}), jobs.Options{Unique: true}); err != nil {
				return err
			}
			time.Sleep(600 * time.Millisecond)
			if len(h.all()) > 0 {
				t.Error("it ran before the commit")
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		h.await(t, "x")
	})
}

func TestScheduledJobsWait(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		var h heard
		q := open(t, db, fast(), greet.Worker(h.hear))
		start(t, q)
		began := time.Now()
		add(t, db, q, greet.Job(args{"later"}), jobs.Options{At: began.Add(6 * time.Second)})
		add(t, db, q, greet.Job(args{"soon"}), jobs.Options{At: began.Add(500 * time.Millisecond)})
		add(t, db, q, greet.Job(args{"past"}), jobs.Options{At: began.Add(-time.Hour)})
		h.await(t, "past", "soon")
		if d := time.Since(began); d < 490*time.Millisecond || d > 3*time.Second {
			t.Errorf("it ran after %v", d)
		}
		h.await(t, "past", "soon", "later")
		if d := time.Since(began); d < 5990*time.Millisecond {
			t.Errorf("it ran after %v", d)
		}
	})
}

func TestStopWaitsForJobs(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		config := fast()
		config.Grace = 20 * time.Second
		began, goOn := make(chan struct{}), make(chan struct{})
		q := open(t, db, config, greet.Worker(func(ctx context.Context, _ args) error {
			close(began)
			<-goOn
			return ctx.Err()
		}))
		stop := start(t, q)
		add(t, db, q, greet.Job(args{"x"}), jobs.Options{})
		<-began
		time.AfterFunc(300*time.Millisecond, func() { close(goOn) })
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		if n := count(t, db, `state = 'completed'`); n != 1 {
			t.Errorf("%d jobs are done", n)
		}
	})
}

func TestJobsThatAreStoppedLoseNoAttempt(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		var h heard
		worker := greet.Worker(func(ctx context.Context, a args) error {
			h.hear(ctx, a)
			if len(h.all()) > 1 {
				return nil
			}
			<-ctx.Done()
			return fmt.Errorf("half done: %w", ctx.Err())
		})
		worker.MaxAttempts = 1
		metrics := prometheus.NewRegistry()
		config := fast()
		config.Metrics = metrics
		q := open(t, db, config, worker)
		stop := start(t, q)
		add(t, db, q, greet.Job(args{"x"}), jobs.Options{Unique: true})
		h.await(t, "x")
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		if n := count(t, db, `state = 'available' AND attempt = 0 AND unique_key IS NOT NULL`); n != 1 {
			t.Errorf("%d jobs wait", n)
		}
		families, err := metrics.Gather()
		if err != nil || len(families) != 1 { // those that are pending
			t.Errorf("a job that was stopped counts as failed or done: %v, %v", families, err)
		}
		start(t, q)
		h.await(t, "x", "x")
	})
}

func TestJobsThatAreRefused(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		const odd jobs.Kind[func()] = "test.odd"
		var h heard
		q := open(t, db, fast(), greet.Worker(h.hear), odd.Worker(func(context.Context, func()) error { return nil }))
		for name, c := range map[string]struct {
			job  jobs.Job
			want error
		}{
			"too big": {greet.Job(args{strings.Repeat("x", jobs.MaxArgs)}), jobs.ErrTooBig},
			"NUL":     {greet.Job(args{"a\x00b"}), jobs.ErrArgs},
			"no JSON": {odd.Job(func() {}), jobs.ErrArgs},
			"unknown": {jobs.Kind[args]("test.unknown").Job(args{}), jobs.ErrNoWorker},
		} {
			err := db.Tx(t.Context(), func(tx *sql.Tx) error {
				err := q.Add(t.Context(), tx, c.job, jobs.Options{})
				if !errors.Is(err, c.want) || !errors.Is(err, jobs.ErrJob) {
					t.Errorf("%s: %v", name, err)
				}
				return q.Add(t.Context(), tx, greet.Job(args{`a \u0000 that is none`}), jobs.Options{Unique: true})
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		if err := q.Handle(greet.Worker(h.hear)); err == nil {
			t.Error("two workers of one kind are taken")
		}
		start(t, q)
		h.await(t, `a \u0000 that is none`)
	})
}

// The one connection that writes is not held while jobs run.
func TestWritersDoNotWaitForJobs(t *testing.T) {
	db := dbtest.SQLite(t)
	began, goOn := make(chan struct{}), make(chan struct{})
	q := open(t, db, fast(), greet.Worker(func(context.Context, args) error {
		close(began)
		<-goOn
		return nil
	}))
	start(t, q)
	defer close(goOn)
	add(t, db, q, greet.Job(args{"x"}), jobs.Options{})
	<-began
	start := time.Now()
	for range 100 {
		if err := db.Tx(t.Context(), func(tx *sql.Tx) error { return nil }); err != nil {
			t.Fatal(err)
		}
	}
	if d := time.Since(start); d > 2*time.Second {
		t.Errorf("100 empty transactions took %v", d)
	}
	if err := open(t, db, fast(), greet.Worker(func(context.Context, args) error { return nil })).Run(t.Context()); !errors.Is(err, jobs.ErrBusy) {
		t.Errorf("a second process works the same file: %v", err)
	}
}
