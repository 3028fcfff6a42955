package ledger_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/passerelle-cloud/passerelle/consent/ledger"
	"github.com/passerelle-cloud/passerelle/internal/dbtest"
	"github.com/passerelle-cloud/passerelle/internal/sqldb"
	"github.com/passerelle-cloud/passerelle/operators/keys"
)

func TestForget(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		f := setup(t, db)
		ctx := t.Context()
		f.lives(t)
		before := f.secrets.all()
		if err := f.Forget(ctx, "alice"); err != nil {
			t.Fatal(err)
		}
		if gone := len(before) - len(f.secrets.all()); gone != 1 {
			t.Errorf("%d keys are gone", gone)
		}
		for range f.Events(ctx, "bob") {
		}
		for _, err := range f.Events(ctx, "alice") {
			if !errors.Is(err, ledger.ErrUnknown) {
				t.Errorf("alice is still known: %v", err)
			}
		}
		if err := f.Forget(ctx, "alice"); !errors.Is(err, ledger.ErrUnknown) {
			t.Errorf("forgotten twice: %v", err)
		}
		// The log still verifies, the last leaf says that somebody was forgotten, and others go on.
		head := settled(t, f.Ledger, 46)
		checkTree(t, f.Log, head)
		if last, err := f.Leaf(ctx, 45); err != nil || last.Class() != ledger.Erasure {
			t.Errorf("%v, %v", last, err)
		}
		if _, err := f.verify(t, f.history(t, ledger.Disclose{Person: "bob"})); err != nil {
			t.Error(err)
		}
		// Who comes back begins anew.
		f.log(t, about("alice", "s", "again"))
		shown, err := f.verify(t, f.history(t, ledger.Disclose{Person: "alice"}))
		if err != nil || len(shown.Events) != 1 {
			t.Errorf("%+v, %v", shown, err)
		}
		if err := f.Forget(ctx, "alice"); err != nil {
			t.Error(err)
		}
	})
}

// After Forget there is neither plain text nor a key of the person in any file.
func TestNothingOfAPersonRemains(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.db")
	db, err := sqldb.Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	store := filepath.Join(t.TempDir(), "secrets")
	secrets, err := keys.OpenSecretFiles(store)
	if err != nil {
		t.Fatal(err)
	}
	f := setup(t, db, func(o *ledger.Options) { o.Secrets = fileSecrets{secrets} })
	f.lives(t)
	before := readAll(t, store)
	if err := f.Forget(t.Context(), "alice"); err != nil {
		t.Fatal(err)
	}
	texts := [][]byte{[]byte("alice"), []byte("service-1.example"), []byte("secret detail"), []byte("what-3")}
	after, gone := readAll(t, store), 0
	for name, key := range before {
		if _, ok := after[name]; !ok {
			gone++
			texts = append(texts, []byte(key))
		}
	}
	if gone != 1 {
		t.Fatalf("%d keys are gone", gone)
	}
	files := readAll(t, filepath.Dir(path))
	if len(files) < 2 || len(files[path+"-wal"]) == 0 {
		t.Fatalf("%d files", len(files))
	}
	maps.Copy(files, after)
	maps.Copy(files, readAll(t, filepath.Dir(f.opt.HighWater)))
	for name, data := range files {
		for _, text := range texts {
			if strings.Contains(data, string(text)) || strings.Contains(filepath.Base(name), string(text)) {
				t.Errorf("%s contains %q", name, text)
			}
		}
	}
}

// readAll reads every file below a folder.
func readAll(t testing.TB, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		files[path] = string(data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// While others log events of a person, the person can be forgotten, and comes back with the next event.
func TestForgetWhileOthersLog(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		f := setup(t, db)
		f.log(t, event("alice", "first"))
		var wg sync.WaitGroup
		n := atomic.Int64{}
		n.Store(1)
		for range 8 {
			wg.Go(func() {
				for range 25 {
					if _, err := f.Append(t.Context(), event("alice", "x")); err == nil {
						n.Add(1)
					} else if !strings.Contains(err.Error(), "try again") {
						t.Error(err)
					}
				}
			})
		}
		forgotten := 0
		for range 10 {
			err := f.Forget(t.Context(), "alice")
			switch {
			case err == nil:
				forgotten++
			case !errors.Is(err, ledger.ErrUnknown) && !strings.Contains(err.Error(), "try again"):
				t.Error(err)
			}
		}
		wg.Wait()
		if forgotten == 0 {
			t.Error("never forgotten")
		}
		checkTree(t, f.Log, settled(t, f.Ledger, n.Load()+int64(forgotten)))
		f.log(t, event("alice", "last"))
		if _, err := f.verify(t, f.history(t, ledger.Disclose{Person: "alice"})); err != nil {
			t.Error(err)
		}
	})
}

func TestWhatMustBeKeptIsNotForgotten(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
		f := setup(t, db, func(o *ledger.Options) { o.Now = func() time.Time { return now } })
		e := event("alice", "x")
		e.Keep = now.AddDate(5, 0, 0)
		f.log(t, e)
		f.log(t, event("alice", "y")) // which need not be kept does not shorten it
		if err := f.Forget(t.Context(), "alice"); !errors.Is(err, ledger.ErrRetained) {
			t.Fatal(err)
		}
		if n := settled(t, f.Ledger, 2).Size; n != 2 {
			t.Fatalf("%d leaves", n)
		}
		now = now.AddDate(5, 0, 1)
		if err := f.Forget(t.Context(), "alice"); err != nil {
			t.Fatal(err)
		}
	})
}

// Where the place of the keys fails, nothing is logged; where it fails in the middle of forgetting, that goes on later.
func TestSecretsFail(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		f := setup(t, db)
		down := errors.New("vault is sealed")
		ctx := t.Context()
		f.log(t, event("alice", "x"))
		f.secrets.fail = down
		if _, err := f.Append(ctx, event("carol", "x")); !errors.Is(err, down) {
			t.Fatal(err)
		}
		if err := f.Forget(ctx, "alice"); !errors.Is(err, down) {
			t.Fatal(err)
		}
		f.secrets.fail, f.secrets.keep = nil, down
		f.log(t, event("alice", "y"))
		if err := f.Forget(ctx, "alice"); !errors.Is(err, down) {
			t.Fatal(err)
		}
		if _, err := f.Append(ctx, event("alice", "more")); !errors.Is(err, down) {
			t.Fatalf("the chain of a person who is being forgotten went on: %v", err)
		}
		f.secrets.keep = nil
		f.Close()
		f.open(t) // which destroys the key
		if _, ok := f.secrets.all()[onlyPerson(f.secrets)]; ok {
			t.Error("the key is still there")
		}
		f.log(t, event("alice", "again"))
		if shown, err := f.verify(t, f.history(t, ledger.Disclose{Person: "alice"})); err != nil || len(shown.Events) != 1 {
			t.Fatalf("%+v, %v", shown, err)
		}
	})
}

func onlyPerson(s *secrets) string {
	for name := range s.all() {
		if name != "ledger-index" {
			return name
		}
	}
	return ""
}

// Replicas that remember a person's chain do not go on with it after another one forgot the person.
func TestReplicasForget(t *testing.T) {
	f := setup(t, dbtest.Postgres(t))
	other := f.replica(t)
	ctx := context.WithoutCancel(t.Context())
	for i := range 6 {
		l := []*ledger.Ledger{f.Ledger, other}[i%2]
		if _, err := l.Append(ctx, event("alice", fmt.Sprint(i))); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Forget(ctx, "alice"); err != nil {
		t.Fatal(err)
	}
	if _, err := other.Append(ctx, event("alice", "anew")); err != nil {
		t.Fatal(err)
	}
	settled(t, f.Ledger, 8)
	n := 0
	for _, err := range f.Events(ctx, "alice") {
		if n++; err != nil {
			t.Fatal(err)
		}
	}
	if n != 1 {
		t.Errorf("%d events", n)
	}
	checkTree(t, f.Log, settled(t, f.Ledger, 8))
}
