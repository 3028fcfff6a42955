package transfer_test

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"filippo.io/age"

	"github.com/passerelle-cloud/passerelle/formats/archive"
	"github.com/passerelle-cloud/passerelle/internal/dbtest"
	"github.com/passerelle-cloud/passerelle/internal/jobs"
	"github.com/passerelle-cloud/passerelle/internal/sqldb"
	"github.com/passerelle-cloud/passerelle/operators/example"
	"github.com/passerelle-cloud/passerelle/operators/home"
	"github.com/passerelle-cloud/passerelle/transfer"
)

// takeouts are those of a gateway where alice has what the invented person has.
type takeouts struct {
	*transfer.Takeouts
	db    *sqldb.DB
	queue *jobs.Queue
	opt   transfer.TakeoutOptions
	gate  func(ctx context.Context) error // before an archive is made
	key   *age.X25519Identity
}

func newTakeouts(t *testing.T, db *sqldb.DB, keep time.Duration) *takeouts {
	t.Helper()
	g := newGateway(t, "a.example")
	i := g.person(t, "alice", home.Options{})
	source := example.Person(1, example.Scale{Files: 5, Bytes: 50_000, Months: 1, Contacts: 5})
	defer source.Close()
	if _, err := (transfer.Copy{Source: source, Target: i.Target()}).Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	k := &takeouts{db: db, gate: func(context.Context) error { return nil }}
	var err error
	if k.key, err = age.GenerateX25519Identity(); err != nil {
		t.Fatal(err)
	}
	k.opt = transfer.TakeoutOptions{Dir: t.TempDir(), Keep: keep}
	k.opt.Export = func(ctx context.Context, person, out string, sealed bool, observe transfer.Observer) (archive.Sealed, error) {
		if err := k.gate(ctx); err != nil {
			return archive.Sealed{}, err
		}
		source := i.Source()
		defer source.Close()
		e := transfer.Export{Source: source, Out: out, Operator: g.party, Signer: g.signer, Observe: observe, RecoveryKey: k.key.Recipient().String()}
		if sealed {
			e.Recipients = []age.Recipient{k.key.Recipient()}
		}
		return e.Run(ctx)
	}
	k.start(t)
	return k
}

// start opens them as a gateway does when it starts.
func (k *takeouts) start(t *testing.T) {
	t.Helper()
	var err error
	if k.queue, err = jobs.New(t.Context(), k.db, jobs.Config{Poll: 20 * time.Millisecond, Grace: 100 * time.Millisecond}); err != nil {
		t.Fatal(err)
	}
	if k.Takeouts, err = transfer.OpenTakeouts(t.Context(), k.db, k.queue, k.opt); err != nil {
		t.Fatal(err)
	}
}

// work works until the returned function is called.
func (k *takeouts) work(t *testing.T) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- k.queue.Run(ctx) }()
	stopped := false
	stop = func() {
		if cancel(); !stopped {
			stopped = true
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
	}
	t.Cleanup(stop)
	return stop
}

// await waits until the first of alice's takeouts is in a state, or is gone if that is "".
func (k *takeouts) await(t *testing.T, state transfer.TakeoutState) transfer.Takeout {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		list, err := k.List(t.Context(), "alice")
		if err != nil {
			t.Fatal(err)
		}
		if len(list) > 0 && list[0].State == state {
			return list[0]
		}
		if len(list) == 0 && state == "" {
			return transfer.Takeout{}
		}
		if time.Now().After(end) {
			t.Fatalf("it does not get to be %q: %+v", state, list)
		}
	}
}

func (k *takeouts) ask(t *testing.T, sealed bool) transfer.Takeout {
	t.Helper()
	asked, err := k.Ask(t.Context(), "alice", sealed)
	if err != nil {
		t.Fatal(err)
	}
	return asked
}

// nothingLeft fails if there is a file of takeouts.
func (k *takeouts) nothingLeft(t *testing.T) {
	t.Helper()
	entries, err := os.ReadDir(k.opt.Dir)
	if err != nil || len(entries) != 0 {
		t.Errorf("files are left: %v, %v", entries, err)
	}
}

func TestTakeout(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		k := newTakeouts(t, db, 0)
		asked := k.ask(t, false)
		if again := k.ask(t, true); again.ID != asked.ID {
			t.Error("two are made at a time")
		}
		if _, _, err := k.Open(t.Context(), "alice", asked.ID); !errors.Is(err, transfer.ErrNoTakeout) {
			t.Errorf("before it is made: %v", err)
		}
		k.work(t)
		ready := k.await(t, transfer.TakeoutReady)
		f, got, err := k.Open(t.Context(), "alice", asked.ID)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if info, err := f.Stat(); err != nil || info.Size() != ready.Size || got.Records < 10 || filepath.Ext(got.Name) != ".zip" || got.Expires.Sub(got.Ready) != 7*24*time.Hour {
			t.Errorf("%+v, %v", got, err)
		}
		sealed, err := archive.Open([]string{f.Name()}, archive.OpenOptions{})
		if err != nil {
			t.Fatal(err)
		}
		defer sealed.Close()
		verified, err := sealed.Verify(t.Context(), "", archive.Expectations{})
		if err != nil {
			t.Fatal(err)
		}
		report := verified.Report
		if !report.Intact || report.Root.String() != got.Root || report.Claims.Person.RecoveryKey == "" {
			t.Errorf("%+v, %v", report, err)
		}
		for name, do := range map[string]func() error{
			"bob opens it":          func() error { _, _, err := k.Open(t.Context(), "bob", asked.ID); return err },
			"bob removes it":        func() error { return k.Remove(t.Context(), "bob", asked.ID) },
			"there is no such one":  func() error { return k.Remove(t.Context(), "alice", "x") },
			"a path instead of one": func() error { _, _, err := k.Open(t.Context(), "alice", "../x"); return err },
		} {
			if err := do(); !errors.Is(err, transfer.ErrNoTakeout) {
				t.Errorf("%s: %v", name, err)
			}
		}
		if err := k.Remove(t.Context(), "alice", asked.ID); err != nil {
			t.Fatal(err)
		}
		k.nothingLeft(t)
	})
}

// TestSealedTakeout is opened by who has the key, and by nobody else.
func TestSealedTakeout(t *testing.T) {
	k := newTakeouts(t, dbtest.SQLite(t), 0)
	asked := k.ask(t, true)
	k.work(t)
	k.await(t, transfer.TakeoutReady)
	f, got, err := k.Open(t.Context(), "alice", asked.ID)
	if err != nil || filepath.Ext(got.Name) != ".age" || !got.Sealed {
		t.Fatal(got, err)
	}
	defer f.Close()
	plain, err := age.Decrypt(f, k.key)
	if err != nil {
		t.Fatal(err)
	}
	begin := make([]byte, 2)
	if _, err := io.ReadFull(plain, begin); err != nil || string(begin) != "PK" {
		t.Errorf("%q, %v", begin, err)
	}
}

// TestTakeoutRemovedMeanwhile leaves nothing of one that nobody wants any more.
func TestTakeoutRemovedMeanwhile(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		k := newTakeouts(t, db, 0)
		begun, goOn := make(chan bool), make(chan bool)
		k.gate = func(context.Context) error { begun <- true; <-goOn; return nil }
		asked := k.ask(t, false)
		stop := k.work(t)
		<-begun
		if err := k.Remove(t.Context(), "alice", asked.ID); err != nil {
			t.Fatal(err)
		}
		close(goOn)
		stop()
		k.await(t, "")
		k.nothingLeft(t)
	})
}

// TestTakeoutStopped goes on when the gateway is there again, and one that failed is tried again.
func TestTakeoutStopped(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		k := newTakeouts(t, db, 0)
		begun, times := make(chan bool, 10), 0
		k.gate = func(ctx context.Context) error {
			begun <- true
			switch times++; times {
			case 1:
				<-ctx.Done() // the gateway stops
				return ctx.Err()
			case 2:
				return errors.New("the disk is full")
			}
			return nil
		}
		k.ask(t, false)
		stop := k.work(t)
		<-begun
		stop()
		k.await(t, transfer.TakeoutRunning)
		k.start(t)
		k.work(t)
		k.await(t, transfer.TakeoutReady)
		if times != 3 {
			t.Errorf("it was made %d times", times)
		}
	})
}

// TestTakeoutsAreFew: a person has three at most, and all of them go with the person.
func TestTakeoutsAreFew(t *testing.T) {
	k := newTakeouts(t, dbtest.SQLite(t), 0)
	k.work(t)
	for range transfer.MaxTakeouts {
		k.ask(t, false)
		k.await(t, transfer.TakeoutReady)
	}
	if _, err := k.Ask(t.Context(), "alice", false); !errors.Is(err, transfer.ErrTakeouts) {
		t.Errorf("one too many: %v", err)
	}
	if err := k.RemoveAll(t.Context(), "alice"); err != nil {
		t.Fatal(err)
	}
	k.await(t, "")
	k.nothingLeft(t)
}

// TestTakeoutExpires removes what nobody downloaded.
func TestTakeoutExpires(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		k := newTakeouts(t, db, 300*time.Millisecond)
		asked := k.ask(t, false)
		k.work(t)
		k.await(t, transfer.TakeoutReady)
		k.await(t, "")
		if _, _, err := k.Open(t.Context(), "alice", asked.ID); !errors.Is(err, transfer.ErrNoTakeout) {
			t.Errorf("%v", err)
		}
		for end := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
			entries, err := os.ReadDir(k.opt.Dir)
			if err != nil {
				t.Fatal(err)
			}
			if len(entries) == 0 {
				break
			}
			if time.Now().After(end) {
				t.Fatalf("it is not removed: %v", entries)
			}
		}
	})
}
