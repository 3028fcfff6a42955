package move_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/passerelle-cloud/passerelle/formats/statement"
	"github.com/passerelle-cloud/passerelle/operators"
	"github.com/passerelle-cloud/passerelle/operators/home"
	"github.com/passerelle-cloud/passerelle/transfer"
	"github.com/passerelle-cloud/passerelle/transfer/move"
)

// blocked puts a file where a folder of an operator should be, and returns what takes it away.
func blocked(o *operator, name string) func() {
	at := filepath.Join(o.dir, name)
	if err := errors.Join(os.RemoveAll(at), os.WriteFile(at, nil, 0o600)); err != nil {
		o.t.Fatal(err)
	}
	return func() {
		if err := os.Remove(at); err != nil {
			o.t.Fatal(err)
		}
	}
}

// without has an operator run with other options until the returned function is called.
func without(o *operator, change func(*move.SenderOptions, *move.ReceiverOptions)) func() {
	o.change = change
	o.restart(0)
	return func() {
		o.change = nil
		o.restart(0)
	}
}

var noSpace = &os.PathError{Op: "write", Path: "/srv/secret/place", Err: syscall.ENOSPC}

// faults are what can break, by the kind of trouble that a person is told then. Each breaks it, and returns what mends it.
func faults(a, b *operator) map[move.Trouble]func() func() {
	return map[move.Trouble]func() func(){
		move.Unreached: func() func() {
			b.weather.set(func(*http.Request) fate { return lost })
			return func() { b.weather.set(nil) }
		},
		move.SourceAils: func() func() { return blocked(a, "leaving") },
		move.SourceFull: func() func() {
			return without(a, func(s *move.SenderOptions, _ *move.ReceiverOptions) {
				s.Export = func(context.Context, string, *statement.Signed, operators.Source) (transfer.Export, error) {
					return transfer.Export{}, noSpace
				}
			})
		},
		move.SourceGone: func() func() { b.distrust(a.id, true); return func() { b.distrust(a.id, false) } },
		move.Stranger:   func() func() { a.distrust(b.id, true); return func() { a.distrust(b.id, false) } },
		move.Unauthorised: func() func() {
			b.weather.lie(func(r *http.Request, w *http.Response) {
				if r.Method == http.MethodPut {
					*w = *reply(r, http.StatusUnauthorized, "{}")
				}
			})
			return func() { b.weather.lie(nil) }
		},
		move.Unsound: func() func() {
			b.weather.set(func(r *http.Request) fate {
				if strings.HasSuffix(r.URL.Path, ".json") {
					return corrupt
				}
				return fair
			})
			return func() { b.weather.set(nil) }
		},
		move.HereFull: func() func() {
			return without(b, func(_ *move.SenderOptions, r *move.ReceiverOptions) {
				r.Staging.Target = func(context.Context, string, string) (operators.Target, error) { return nil, noSpace }
			})
		},
		move.HereAils: func() func() { return blocked(b, "arriving") },
	}
}

// TestTroubles breaks one thing after the other while somebody moves: they are told what kind of trouble it is, and nothing
// that is for those who run the gateway, whose log has the rest; and the move goes on when it is mended.
func TestTroubles(t *testing.T) {
	a, b := pair(t)
	tried := []move.Trouble{move.NoRoom, move.HereBusy, move.HereDamaged, move.ClocksDiffer, move.FencesFail} // by the tests that are named so
	for kind := range faults(a, b) {
		tried = append(tried, kind)
	}
	for _, kind := range move.Troubles() {
		if !slices.Contains(tried, kind) {
			t.Errorf("nothing breaks for %s", kind)
		}
	}
	for kind := range faults(a, b) {
		t.Run(string(kind), func(t *testing.T) {
			p := name()
			a.lives(p)
			b.weather.set(stopsAt("/archives/0"))
			j := begins(t, p, a, b)
			mend := faults(a, b)[kind]()
			if kind != move.Unreached && kind != move.Unsound {
				b.weather.set(nil)
			}
			j.troubled(kind)
			j.tellsNothing(a.dir, b.dir, "secret")
			mend()
			j.arrives()
		})
	}
}

// tellsNothing checks that what a person is told holds none of these, and that they are told when it is tried again.
func (j *journey) tellsNothing(of ...string) {
	j.t.Helper()
	m := j.come()
	text, err := json.Marshal(m)
	if err != nil {
		j.t.Fatal(err)
	}
	for _, one := range of {
		if strings.Contains(string(text), one) {
			j.t.Errorf("the person is told %s", text)
		}
	}
	if m.Trouble != "" && m.Due.IsZero() {
		j.t.Errorf("it is not tried again: %+v", m)
	}
	j.until("the log says it", func() bool { return strings.Contains(j.b.says.about(j.id), "kind=") })
	if log := j.b.says.about(j.id); strings.Contains(log, fmt.Sprintf("%q", j.person)) {
		j.t.Errorf("the log says %s", log)
	}
}

// TestTroubleOfClocks has the destination sign what is not to be for an hour: nobody believes it, and the person is told why.
func TestTroubleOfClocks(t *testing.T) {
	a, b := pair(t)
	b.ahead.Store(int64(time.Hour))
	p := name()
	a.lives(p)
	j := begins(t, p, a, b)
	j.troubled(move.ClocksDiffer)
	j.tellsNothing(a.dir, b.dir)
	if err := b.running().Receiver.Stop(t.Context(), p, j.id); err != nil {
		t.Fatal(err)
	}
	j.stays()
}

// TestTroubleOfAMerge makes read-only what somebody has at the destination, so that what came cannot be merged into it: they are told,
// and it goes on when that is over.
func TestTroubleOfAMerge(t *testing.T) {
	a, b := pair(t)
	p := name()
	a.lives(p)
	there, err := b.home.Create(t.Context(), p, home.Options{})
	if err == nil {
		err = jot(there, "mine", "something")
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := there.SetReadOnly(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	j := begins(t, p, a, b)
	j.troubled(move.HereBusy)
	j.tellsNothing(a.dir, b.dir)
	if err := there.SetReadOnly(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	j.until("it has arrived", func() bool { return j.come().Done })
}
