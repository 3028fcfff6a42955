package move_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/passerelle-cloud/passerelle/internal/dbtest"
	"github.com/passerelle-cloud/passerelle/internal/sqldb"
	"github.com/passerelle-cloud/passerelle/operators"
	"github.com/passerelle-cloud/passerelle/transfer/move"
)

// pair is two operators on SQLite.
func pair(t *testing.T) (*operator, *operator) {
	t.Helper()
	return newPair(t, dbtest.SQLite(t), dbtest.SQLite(t))
}

// onBoth runs a test on SQLite, and on PostgreSQL where there is a server.
func onBoth(t *testing.T, run func(t *testing.T, a, b *operator)) {
	dbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		other := dbtest.SQLite
		if !db.Embedded() {
			other = dbtest.Postgres
		}
		a, b := newPair(t, db, other(t))
		run(t, a, b)
	})
}

// TestAtMostOneSideIsWritable writes at both sides all the time while somebody moves: from the first thing that the
// destination takes on, the source takes no more, and nothing that it took is lost.
func TestAtMostOneSideIsWritable(t *testing.T) {
	onBoth(t, func(t *testing.T, a, b *operator) {
		p := name()
		here := a.lives(p)
		j := begins(t, p, a, b)
		written := 0
		for began := time.Now(); ; {
			there := scribble(b, p) == nil
			err := jot(here, fmt.Sprintf("line %d", written), "written while everything moves")
			switch {
			case err == nil && there:
				t.Fatal("both sides took writes")
			case err == nil:
				written++
			case !errors.Is(err, operators.ErrReadOnly):
				t.Fatal(err)
			}
			if there || time.Since(began) > 20*time.Second {
				break
			}
		}
		j.arrives()
		if written == 0 {
			t.Error("nothing was written meanwhile")
		}
	})
}

// TestFenceIsShort holds the person up for moments, however much there is to copy: what is copied under the fence is what
// changed last.
func TestFenceIsShort(t *testing.T) {
	a, b := pair(t)
	p := name()
	here := a.lives(p)
	for n := range 200 {
		if err := jot(here, fmt.Sprintf("more-%d", n), fmt.Sprint(n)); err != nil {
			t.Fatal(err)
		}
	}
	j := begins(t, p, a, b)
	j.arrives()
	if packed := j.left().Packed; packed < 3 {
		t.Errorf("%d archives: there is a snapshot, a delta, and one under the fence", packed)
	}
	if n, err := b.running().Receiver.List(context.Background(), p); err != nil || len(n) != 1 || n[0].Stage != move.Activated {
		t.Errorf("%+v %v", n, err)
	}
}

// TestReadOnlySourceCanLeave moves an instance that an administrator made read-only. When nothing comes of the move it is
// read-only as before, and no administrator lets anybody write who has moved.
func TestReadOnlySourceCanLeave(t *testing.T) {
	onBoth(t, func(t *testing.T, a, b *operator) {
		p := name()
		here := a.lives(p)
		readOnly := func(yes bool) {
			if err := here.SetReadOnly(t.Context(), yes); err != nil {
				t.Fatal(err)
			}
		}
		readOnly(true)
		b.weather.set(stopsAt("/acceptance"))
		j := begins(t, p, a, b)
		j.until("it is fenced", func() bool { return j.left().Stage == move.Fenced })
		readOnly(false)
		if err := scribble(a, p); !errors.Is(err, operators.ErrReadOnly) {
			t.Errorf("through the fence: %v", err)
		}
		readOnly(true)
		if err := a.running().Sender.Stop(t.Context(), p, j.id, "the person stays"); err != nil {
			t.Fatal(err)
		}
		b.weather.set(nil)
		j.until("both gave up", func() bool { return j.come().Stage == move.Aborted })
		if err := scribble(a, p); !errors.Is(err, operators.ErrReadOnly) {
			t.Errorf("after the move was stopped the instance is read-only no more: %v", err)
		}
		j = begins(t, p, a, b)
		j.arrives()
		readOnly(false)
		j.writesOnly(b, a)
	})
}

// stopsAt is a network that does not let requests through to a path's end.
func stopsAt(end string) func(*http.Request) fate {
	return func(r *http.Request) fate {
		if strings.HasSuffix(r.URL.Path, end) {
			return lost
		}
		return fair
	}
}
