package home_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/passerelle-cloud/passerelle/formats"
	"github.com/passerelle-cloud/passerelle/internal/dbtest"
	"github.com/passerelle-cloud/passerelle/internal/sqldb"
	"github.com/passerelle-cloud/passerelle/operators"
	"github.com/passerelle-cloud/passerelle/operators/home"
)

// reached is what a Wait came to.
type reached struct {
	at  operators.Position
	err error
}

// waits waits in the background.
func waits(ctx context.Context, r *home.Reader, after operators.Position) <-chan reached {
	result := make(chan reached, 1)
	go func() {
		at, err := r.Wait(ctx, after)
		result <- reached{at, err}
	}()
	return result
}

// TestWaitHearsThisProcess lets two wait for one write after the other. Were they to find them by looking again and
// again, it would take twice as long as is allowed.
func TestWaitHearsThisProcess(t *testing.T) {
	eachReader(t, func(t *testing.T, i *home.Instance, r *home.Reader) {
		start := time.Now()
		for n := range operators.Position(6) {
			one, two := waits(t.Context(), r, n), waits(t.Context(), i.Reader(), n)
			time.Sleep(time.Millisecond)
			must(t, i, thing(formats.Notes, "1", start.String()).Record, nil)
			for _, w := range []<-chan reached{one, two} {
				if got := <-w; got.err != nil || got.at != n+1 {
					t.Fatalf("write %d: %+v", n, got)
				}
			}
		}
		if took := time.Since(start); took > 3*home.LookAgain {
			t.Errorf("six writes were heard of in %s", took)
		}
		if at, err := r.Wait(t.Context(), 2); err != nil || at != 6 {
			t.Errorf("a position that is passed already: %d, %v", at, err)
		}
	})
}

// TestWaitSeesOtherProcesses writes through another home on the same database.
func TestWaitSeesOtherProcesses(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		i := instance(t, db, home.Options{})
		w := waits(t.Context(), i.Reader(), 0)
		h, err := home.Open(t.Context(), db, t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		other, err := h.Instance(t.Context(), i.Name())
		if err != nil {
			t.Fatal(err)
		}
		must(t, other, thing(formats.Notes, "1", "").Record, nil)
		if got := <-w; got.err != nil || got.at != 1 {
			t.Errorf("%+v", got)
		}
	})
}

func TestWaitEnds(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		h, err := home.Open(t.Context(), db, t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		i, err := h.Create(t.Context(), "alice", home.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := i.Reader().Wait(t.Context(), 1); !errors.Is(err, operators.ErrUnsupported) {
			t.Errorf("a position that is not reached yet: %v", err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
		defer cancel()
		if _, err := i.Reader().Wait(ctx, 0); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("nothing came: %v", err)
		}
		w := waits(t.Context(), i.Reader(), 0)
		if err := h.Delete(t.Context(), "alice"); err != nil {
			t.Fatal(err)
		}
		if got := <-w; !errors.Is(got.err, operators.ErrNotFound) {
			t.Errorf("the instance was deleted: %+v", got)
		}
	})
}
