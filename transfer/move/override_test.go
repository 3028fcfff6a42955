package move_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/passerelle-cloud/passerelle/internal/dbtest"
	"github.com/passerelle-cloud/passerelle/transfer/move"
)

const gone = "I declare that a.example is gone for good."

// deserted is a move whose source is not heard of any more after the destination has accepted.
func deserted(t *testing.T) (*journey, *operator, *operator) {
	t.Helper()
	a, b := newPair(t, dbtest.SQLite(t), dbtest.SQLite(t))
	b.kill()
	b.change = func(_ *move.SenderOptions, r *move.ReceiverOptions) { r.Silence = time.Hour }
	b.start(0)
	j := kept(t, a, b, "after it is accepted")
	b.weather.set(func(*http.Request) fate { return lost })
	return j, a, b
}

// declares waits for an hour in which nothing is heard, and has the person declare the source gone.
func (j *journey) declares(t *testing.T, b *operator) {
	t.Helper()
	j.until("it can be declared", func() bool { return !j.come().Overridable.IsZero() })
	if err := b.running().Override(t.Context(), j.person, j.id, gone); !errors.Is(err, move.ErrNotSilent) {
		t.Fatalf("too early: %v", err)
	}
	b.ahead.Store(int64(2 * time.Hour))
	for _, text := range []string{"", "  ", strings.Repeat("x", 5000), "\xff"} {
		if err := b.running().Override(t.Context(), j.person, j.id, text); !errors.Is(err, move.ErrRefused) {
			t.Errorf("%.10q: %v", text, err)
		}
	}
	if err := b.running().Override(t.Context(), "somebody-else", j.id, gone); !errors.Is(err, move.ErrNotFound) {
		t.Errorf("by somebody else: %v", err)
	}
	if err := b.running().Override(t.Context(), j.person, j.id, gone); err != nil {
		t.Fatal(err)
	}
	j.until("it has arrived", func() bool { m := j.come(); return m.Stage == move.Activated && m.Done })
	if err := jot(b.instance(t, j.person), "written at "+b.id, "hi"); err != nil {
		t.Error(err)
	}
	if m := j.come(); m.Declared == nil || m.Declared.Text != gone || m.Receipt != nil {
		t.Errorf("%+v", m.Declared)
	}
}

// TestDeadSource declares a source gone that never comes back.
func TestDeadSource(t *testing.T) {
	j, _, b := deserted(t)
	if err := b.running().Receiver.Stop(t.Context(), j.person, j.id); err != nil {
		t.Fatal(err) // which the source would have to confirm
	}
	j.declares(t, b)
	if err := b.running().Override(t.Context(), j.person, j.id, gone); err != nil {
		t.Errorf("a second time: %v", err)
	}
	if log := strings.Join(logged(t, b, j.person), " "); strings.Count(log, "move.overridden") != 1 {
		t.Errorf("the log: %s", log)
	}
}

// TestTheDeclaredSourceSigns has a source come back that has let nobody write: it retires, and there is one instance.
func TestTheDeclaredSourceSigns(t *testing.T) {
	j, _, b := deserted(t)
	j.declares(t, b)
	b.weather.set(nil)
	j.until("it is signed", func() bool {
		b.ahead.Add(int64(time.Minute))
		m := j.come()
		return m.Declared.Outcome == move.Signed && m.Receipt != nil
	})
	if m := j.left(); m.Stage != move.Committed {
		t.Errorf("the source is %s", m.Stage)
	}
}

// TestTheDeclaredSourceForks has a source come back that has lifted its fence: the person is told that there are two.
func TestTheDeclaredSourceForks(t *testing.T) {
	j, a, b := deserted(t)
	j.declares(t, b)
	a.ahead.Store(int64(2 * time.Minute)) // the fence was up for long enough
	j.until("the fence is lifted", func() bool { return j.left().Stage == move.Planned })
	if err := jot(a.instance(t, j.person), "written at "+a.id, "hi"); err != nil {
		t.Error(err)
	}
	b.weather.set(nil)
	j.until("it is a fork", func() bool {
		b.ahead.Add(int64(time.Minute))
		return j.come().Declared.Outcome == move.Forked
	})
	if m := j.left(); m.Stage == move.Committed {
		t.Error("the source has retired, and what was written there would be lost")
	}
	if err := jot(b.instance(t, j.person), "written at "+b.id, "hi"); err != nil {
		t.Error(err)
	}
	if log := strings.Join(logged(t, b, j.person), " "); strings.Count(log, "move.forked") != 1 {
		t.Errorf("the log: %s", log)
	}
}

// TestAnswersAreNoSilence keeps a source that answers, with whatever it signs, from being declared gone.
func TestAnswersAreNoSilence(t *testing.T) {
	a, b := newPair(t, dbtest.SQLite(t), dbtest.SQLite(t))
	j := kept(t, a, b, "after it is accepted") // the way to show it what was accepted is shut, the one to ask how it stands is not
	for range 20 {
		if m := j.come(); !m.Overridable.IsZero() {
			t.Fatal("it can be declared gone")
		}
		time.Sleep(5 * time.Millisecond)
	}
	b.ahead.Store(int64(48 * time.Hour))
	if err := b.running().Override(t.Context(), j.person, j.id, gone); !errors.Is(err, move.ErrNotSilent) {
		t.Errorf("%v", err)
	}
}
