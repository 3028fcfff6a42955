package move_test

import (
	"context"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/passerelle-cloud/passerelle/consent"
	"github.com/passerelle-cloud/passerelle/operators"
	"github.com/passerelle-cloud/passerelle/transfer/move"
)

// stages are where a move can be kept by a network that does not let a request through.
var stages = map[string]struct {
	blocked string
	there   move.Stage
}{
	"at the beginning":     {"/archives/0", move.Planned},
	"while it is fetched":  {".tar.age", move.Planned},
	"before the changes":   {"/archives/1", move.Copied},
	"before the fence":     {"/fence", move.CaughtUp},
	"under the fence":      {"/archives/2", move.Fenced},
	"after it is accepted": {"/acceptance", move.Accepted},
}

// kept begins a move that goes no further than to a stage.
func kept(t *testing.T, a, b *operator, stage string) *journey {
	t.Helper()
	s := stages[stage]
	b.weather.set(stopsAt(s.blocked))
	p := name()
	a.lives(p)
	j := begins(t, p, a, b)
	j.until(stage, func() bool { m := j.come(); return m.Stage == s.there && m.Trouble != "" })
	return j
}

// TestAbandonedMoveLeavesNothing stops a move at each stage, at either side and by withdrawing the authorisation: the person
// writes where they were, and at neither side anything is left.
func TestAbandonedMoveLeavesNothing(t *testing.T) {
	a, b := pair(t)
	for how, stop := range map[string]func(*journey) error{
		"at the source": func(j *journey) error {
			return a.running().Sender.Stop(context.Background(), j.person, j.id, "the person stays")
		},
		"at the destination": func(j *journey) error {
			return b.running().Receiver.Stop(context.Background(), j.person, j.id)
		},
		"by withdrawing": func(j *journey) error {
			_, err := a.Withdraw(context.Background(), consent.Ending{Consent: j.consent, Person: j.person, State: consent.Withdrawn})
			return err
		},
	} {
		for stage := range stages {
			t.Run(how+" "+stage, func(t *testing.T) {
				j := kept(t, a, b, stage)
				if err := stop(j); err != nil {
					t.Fatal(err)
				}
				b.weather.set(nil)
				j.stays()
			})
		}
	}
}

// TestStoppedWhileTheSourceIsAway stops a move when the source is not reached, and when it is not trusted any more. The
// person is done with it at once, and the source is told as soon as it can be.
func TestStoppedWhileTheSourceIsAway(t *testing.T) {
	a, b := pair(t)
	for what, away := range map[string]func(bool){
		"it does not answer": func(yes bool) {
			b.weather.set(nil)
			if yes {
				b.weather.set(func(*http.Request) fate { return lost })
			}
		},
		"it is not trusted any more": func(yes bool) { b.distrust(a.id, yes) },
	} {
		t.Run(what, func(t *testing.T) {
			j := kept(t, a, b, "before the fence")
			b.weather.set(nil)
			away(true)
			if err := b.running().Receiver.Stop(t.Context(), j.person, j.id); err != nil {
				t.Fatal(err)
			}
			j.until("nothing is left here", func() bool { _, err := b.home.Staged(t.Context(), j.id); return errors.Is(err, operators.ErrNotFound) })
			if m := j.come(); m.Stage != move.Aborted {
				t.Errorf("it is %s", m.Stage)
			}
			away(false)
			j.stays()
		})
	}
}

// TestAcceptedWaitsForTheSource does not give up by itself what it has accepted: not when it is stopped, nor when the source
// is not trusted any more, nor when it knows nothing of the move.
func TestAcceptedWaitsForTheSource(t *testing.T) {
	a, b := pair(t)
	for what, k := range map[string]struct {
		kind    move.Trouble
		happens func(j *journey) (back func())
	}{
		"it does not answer": {move.Unreached, func(*journey) func() {
			b.weather.set(func(*http.Request) fate { return lost })
			return func() {}
		}},
		"it is not trusted": {move.SourceGone, func(*journey) func() {
			b.distrust(a.id, true)
			return func() { b.distrust(a.id, false) }
		}},
		"it knows nothing of it": {move.Unsound, func(*journey) func() {
			b.weather.lie(func(r *http.Request, w *http.Response) { *w = *reply(r, 404, "there is nothing") })
			b.weather.set(nil)
			return func() { b.weather.lie(nil) }
		}},
	} {
		t.Run(what, func(t *testing.T) {
			j := kept(t, a, b, "after it is accepted")
			back := k.happens(j)
			for range 20 {
				if m := j.come(); m.Stage != move.Accepted {
					t.Fatalf("it is %s", m.Stage)
				}
				time.Sleep(3 * time.Millisecond)
			}
			j.troubled(k.kind)
			back()
			b.weather.set(nil)
			j.arrives()
		})
	}
}

// TestStopComesTooLate stops what has happened already, where the destination does not know yet that it has.
func TestStopComesTooLate(t *testing.T) {
	a, b := pair(t)
	p := name()
	a.lives(p)
	b.weather.set(func(r *http.Request) fate {
		if strings.HasSuffix(r.URL.Path, "/acceptance") {
			return unanswered
		}
		if strings.HasSuffix(r.URL.Path, "/receipt") || r.Method == http.MethodGet && strings.Count(r.URL.Path, "/") == 2 {
			return lost
		}
		return fair
	})
	j := begins(t, p, a, b)
	j.until("the source has retired", func() bool { return j.left().Stage == move.Committed })
	if err := a.running().Sender.Stop(t.Context(), p, j.id, "the person stays"); !errors.Is(err, move.ErrTooLate) {
		t.Errorf("at the source: %v", err)
	}
	if err := b.running().Receiver.Stop(t.Context(), p, j.id); err != nil {
		t.Fatal(err)
	}
	j.until("it was tried", func() bool { return j.logs("only a.example can stop it") })
	b.weather.set(nil)
	j.arrives()
}

// TestStopsWhereTheAuthorisationIsOver lets the time of the authorisation pass while nobody says anything: the source ends
// the move by itself.
func TestStopsWhereTheAuthorisationIsOver(t *testing.T) {
	a, b := pair(t)
	j := kept(t, a, b, "before the fence")
	a.ahead.Store(int64(31 * 24 * time.Hour))
	j.until("it has ended", func() bool { return j.left().Stage == move.Aborted })
	j.until("its archives are removed", func() bool { return j.left().Due.IsZero() }) // before the clock is right again
	a.ahead.Store(0)
	b.weather.set(nil)
	j.stays()
}

// TestASecondMoveAfterTheFirst moves somebody after a move was stopped, with a yes of its own: the old one begins nothing.
func TestASecondMoveAfterTheFirst(t *testing.T) {
	a, b := pair(t)
	j := kept(t, a, b, "under the fence")
	if err := a.running().Sender.Stop(t.Context(), j.person, j.id, "the person stays"); err != nil {
		t.Fatal(err)
	}
	b.weather.set(nil)
	j.stays()
	if _, err := b.running().Receiver.Begin(t.Context(), move.Arrival{Person: j.person, Peer: a.id, Tokens: j.consent}); !errors.Is(err, move.ErrEnded) {
		t.Errorf("with the old yes: %v", err)
	}
	begins(t, j.person, a, b).arrives()
	if _, err := b.running().Receiver.Begin(t.Context(), move.Arrival{Person: j.person, Peer: a.id, Tokens: j.consent}); !errors.Is(err, move.ErrEnded) {
		t.Errorf("with the old yes, afterwards: %v", err)
	}
}

// TestBegunButNeverHeardOf loses the answer to the beginning for good: with another yes the person can begin again.
func TestBegunButNeverHeardOf(t *testing.T) {
	a, b := pair(t)
	p := name()
	a.lives(p)
	b.weather.set(func(*http.Request) fate { return unanswered })
	if _, err := b.running().Receiver.Begin(t.Context(), move.Arrival{Person: p, Peer: a.id, Tokens: a.leaves(p, b)}); err == nil {
		t.Fatal("it began")
	}
	b.weather.set(nil)
	begins(t, p, a, b).arrives()
}

// TestArchivesThatSomebodyRemoves removes what waits at each side: it is made, or fetched, again.
func TestArchivesThatSomebodyRemoves(t *testing.T) {
	a, b := pair(t)
	for _, stage := range []string{"while it is fetched", "before the changes", "before the fence"} {
		j := kept(t, a, b, stage)
		for _, dir := range []string{filepath.Join(a.dir, "leaving"), filepath.Join(b.dir, "arriving")} {
			removes(t, dir)
		}
		b.weather.set(nil)
		j.arrives()
	}
}

// removes removes a folder in which somebody may be writing just now: what is new there when it is to go keeps it.
func removes(t *testing.T, dir string) {
	t.Helper()
	var err error
	for range 100 {
		if err = os.RemoveAll(dir); err == nil {
			return
		}
	}
	t.Fatal(err)
}
