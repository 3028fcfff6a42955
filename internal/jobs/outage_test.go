package jobs_test

import (
	"bufio"
	"context"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/passerelle-cloud/passerelle/internal/dbtest"
	"github.com/passerelle-cloud/passerelle/internal/jobs"
	"github.com/passerelle-cloud/passerelle/internal/sqldb"
)

const workerEnv = "JOBS_TEST_WORKER"

// TestMain lets the test binary be a process that begins jobs, says so, and never ends them.
func TestMain(m *testing.M) {
	if where := os.Getenv(workerEnv); where != "" {
		fmt.Fprintln(os.Stderr, workForEver(context.Background(), where))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

func workForEver(ctx context.Context, where string) error {
	db, err := sqldb.Open(ctx, where)
	if err != nil {
		return err
	}
	q, err := jobs.New(ctx, db, dying())
	if err != nil {
		return err
	}
	err = q.Handle(greet.Worker(func(_ context.Context, a args) error {
		fmt.Println(a.Name)
		select {}
	}))
	if err != nil {
		return err
	}
	return q.Run(ctx)
}

// dying takes jobs for dead that are older than a second.
func dying() jobs.Config {
	config := fast()
	config.Timeout, config.Rescue = time.Second, 2*time.Second
	return config
}

// The leader is killed in the middle of a job, too: on PostgreSQL its lease has to end first, and River looks now and then: some 25 seconds.
func TestKilledProcess(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		where  func(testing.TB) string
		config jobs.Config
	}{
		"sqlite":   {func(t testing.TB) string { return filepath.Join(t.TempDir(), "x.db") }, fast()}, // at once
		"postgres": {dbtest.PostgresURL, dying()},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			where := c.where(t)
			db, err := sqldb.Open(t.Context(), where)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { db.Close() })
			var h heard
			worker := greet.Worker(h.hear)
			worker.Backoff = soonest
			q := open(t, db, c.config, worker)
			add(t, db, q, greet.Job(args{"x"}), jobs.Options{Unique: true})

			cmd := exec.Command(os.Args[0])
			cmd.Env = append(os.Environ(), workerEnv+"="+where)
			cmd.Stderr = os.Stderr
			out, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			line, err := bufio.NewReader(out).ReadString('\n')
			cmd.Process.Kill()
			cmd.Wait()
			if err != nil || line != "x\n" {
				t.Fatalf("the other process said %q: %v", line, err)
			}
			if n := count(t, db, `state = 'running'`); n != 1 {
				t.Fatalf("%d jobs run", n)
			}
			start(t, q)
			h.await(t, "x")
			await(t, func() bool { return count(t, db, `state = 'completed' AND attempt = 2`) == 1 })
		})
	}
}

// A job whose process dies each time does not go on for ever.
func TestDeadlyJobsAreGivenUp(t *testing.T) {
	db := dbtest.SQLite(t)
	var h heard
	q := open(t, db, fast(), greet.Worker(h.hear))
	add(t, db, q, greet.Job(args{"deadly"}), jobs.Options{})
	if _, err := db.Write.Exec(`UPDATE river_job SET state = 'running', attempt = max_attempts`); err != nil {
		t.Fatal(err)
	}
	start(t, q)
	add(t, db, q, greet.Job(args{"other"}), jobs.Options{})
	h.await(t, "other")
	if n := count(t, db, `state = 'discarded' AND finalized_at IS NOT NULL`); n != 1 {
		t.Errorf("%d jobs are given up", n)
	}
}

// The database throws everybody out for some seconds, with jobs running that end meanwhile.
func TestDatabaseThatIsAwayForAWhile(t *testing.T) {
	t.Parallel()
	where := dbtest.PostgresURL(t)
	db, err := sqldb.Open(t.Context(), where)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	var h heard
	began, goOn := make(chan struct{}, 2), make(chan struct{})
	q := open(t, db, fast(), greet.Worker(func(ctx context.Context, a args) error {
		began <- struct{}{}
		<-goOn
		return h.hear(ctx, a)
	}))
	stop := start(t, q)
	add(t, db, q, greet.Job(args{"before"}), jobs.Options{})
	<-began

	u, err := url.Parse(where)
	if err != nil {
		t.Fatal(err)
	}
	name := u.Path[1:]
	u.Path = "/postgres"
	admin, err := sqldb.Open(t.Context(), u.String())
	if err != nil {
		t.Fatal(err)
	}
	defer admin.Close()
	run := func(statement string) {
		t.Helper()
		if _, err := admin.Write.Exec(statement); err != nil {
			t.Fatal(err)
		}
	}
	run(`ALTER DATABASE ` + name + ` ALLOW_CONNECTIONS false`)
	run(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '` + name + `'`)
	close(goOn)
	h.await(t, "before")
	time.Sleep(3 * time.Second)
	if err := db.Write.Ping(); err == nil {
		t.Fatal("the database is not away")
	}
	run(`ALTER DATABASE ` + name + ` ALLOW_CONNECTIONS true`)

	add(t, db, q, greet.Job(args{"after"}), jobs.Options{})
	h.await(t, "before", "after")
	await(t, func() bool { return count(t, db, `state = 'completed'`) == 2 })
	if err := stop(); err != nil {
		t.Fatal(err)
	}
}
