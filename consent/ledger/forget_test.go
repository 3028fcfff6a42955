package ledger_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/passerelle-cloud/passerelle/consent/ledger"
	"github.com/passerelle-cloud/passerelle/internal/dbtest"
	"github.com/passerelle-cloud/passerelle/internal/sqldb"
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
	f := setup(t, db)
	f.lives(t)
	keys := f.secrets.all()
	if err := f.Forget(t.Context(), "alice"); err != nil {
		t.Fatal(err)
	}
	texts := [][]byte{[]byte("alice"), []byte("service-1.example"), []byte("secret detail"), []byte("what-3")}
	for name, key := range keys {
		texts = append(texts, key)
		if _, ok := f.secrets.all()[name]; !ok && bytes.Contains([]byte(name), []byte("alice")) {
			t.Error("the name of a secret tells whose it is")
		}
	}
	files, err := filepath.Glob(path + "*")
	if err != nil || len(files) < 2 {
		t.Fatalf("%v, %v", files, err)
	}
	for _, file := range append(files, f.opt.HighWater) {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, text := range texts {
			if bytes.Contains(data, text) {
				t.Errorf("%s contains %q", file, text)
			}
		}
	}
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
