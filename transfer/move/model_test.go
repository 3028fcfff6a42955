package move_test

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/passerelle-cloud/passerelle/transfer/move"
)

// The model is small enough for all of its histories to be tried: two sides, a person who writes, and a link that loses,
// repeats and reorders what is said, for what was said once may arrive at any time later, any number of times, or never.
// What a side knows is written down before it is said, so that a crash loses no more than the link does.
const (
	mostEpochs = 4
	mostWrites = 3
)

// said is something that one side said to the other.
type said struct {
	to    move.Side
	event move.Event
	epoch int
	root  string
}

// world is one state of everything.
type world struct {
	source, destination move.Standing
	written             int    // what the person has written at the source
	loaded              int    // how much of that the destination holds
	link                uint64 // everything that was ever said: a bit for each of model.words
	declared            bool   // the person has said that the source is gone
}

// step is a way on from a world.
type step struct {
	what string
	to   int
}

type model struct {
	declares bool // the person may say that the source is gone, though it is not
	after    func(move.Standing, move.Event, int, string) (move.Standing, error)
	words    map[said]int
	list     []said
	worlds   map[world]int
	found    []world
	came     []step // what led to each world, from which
	ways     [][]int
}

func (m *model) say(w *world, s said) {
	n, known := m.words[s]
	if !known {
		if n = len(m.list); n == 64 {
			panic("more is said than there are bits")
		}
		m.words[s], m.list = n, append(m.list, s)
	}
	w.link |= 1 << n
}

func state(n int) string { return "state " + strconv.Itoa(n) }

// answer is how the source says how it stands, which it does whenever it is asked.
func (m *model) answer(w *world) {
	a := w.source
	switch a.Stage {
	case move.Fenced:
		m.say(w, said{move.Destination, move.Fence, a.Epoch, a.Root})
	case move.Committed, move.Erased:
		m.say(w, said{move.Destination, move.Commit, a.Epoch, a.Root})
	case move.Aborted:
		m.say(w, said{to: move.Destination, event: move.Abort})
	case move.Planned:
		if a.Epoch > 0 {
			m.say(w, said{move.Destination, move.Lift, a.Epoch, ""})
		}
	}
}

// next calls each for all that can happen now.
func (m *model) next(w world, each func(what string, to world)) {
	at := func(what string, side *move.Standing, e move.Event, epoch int, root string, then func(*world)) {
		before := *side
		now, err := m.after(*side, e, epoch, root)
		if err != nil {
			return
		}
		*side = now
		to := w // side is a part of w
		*side = before
		if then != nil {
			then(&to)
		}
		each(what, to)
	}
	a, b := &w.source, &w.destination
	if a.Writable() && w.written < mostWrites {
		to := w
		to.written++
		each("the person writes", to)
	}
	at("a snapshot has come", b, move.Copy, 0, "", nil)
	at("changes have come", b, move.CatchUp, 0, "", nil)
	if b.Stage == move.CaughtUp && b.Epoch < mostEpochs {
		to := w
		m.say(&to, said{move.Source, move.Fence, b.Epoch + 1, ""})
		each("the destination asks for the fence", to)
	}
	at("the fence was up for too long", a, move.Lift, a.Epoch, "", m.answer)
	if b.Stage == move.Fenced {
		at("the destination accepts", b, move.Accept, b.Epoch, state(w.loaded), func(to *world) {
			m.say(to, said{move.Source, move.Commit, b.Epoch, state(to.loaded)})
		})
	}
	if m.declares {
		at("the person says that the source is gone", b, move.Override, b.Epoch+1, b.Root, func(to *world) { to.declared = true })
	}
	at("the person stays", a, move.Abort, 0, "", m.answer)
	at("the destination gives up", b, move.Abort, 0, "", func(to *world) { m.say(to, said{to: move.Source, event: move.Abort}) })
	at("the source is erased", a, move.Remove, 0, "", nil)
	to := w
	m.answer(&to)
	each("the source says how it stands", to)
	for n, s := range m.list {
		if w.link&(1<<n) == 0 {
			continue
		}
		what := fmt.Sprintf("the %s hears %s %d %s", s.to, s.event, s.epoch, s.root)
		switch {
		case s.to == move.Source && s.event == move.Fence:
			at(what, a, s.event, s.epoch, state(w.written), m.answer)
		case s.to == move.Source:
			at(what, a, s.event, s.epoch, s.root, m.answer)
		case s.event == move.Abort:
			if stopped, err := b.Stopped(); err == nil {
				to := w
				to.destination = stopped
				each(what, to)
			}
		case s.event == move.Fence:
			at(what, b, s.event, s.epoch, s.root, func(to *world) {
				fmt.Sscanf(s.root, "state %d", &to.loaded) // the last delta, which anybody can read while the fence is up
			})
		default:
			at(what, b, s.event, s.epoch, s.root, nil)
		}
	}
}

// fault is what must not be.
func (w world) fault() error {
	a, b := w.source, w.destination
	over := a.Stage == move.Committed || a.Stage == move.Erased
	switch {
	case w.declared && over && w.loaded != w.written:
		return errors.New("the source has retired, and what the person wrote there is lost")
	case w.declared:
		return nil // there may be two: that is what they were told
	case a.Writable() && b.Writable():
		return errors.New("both are writable")
	case b.Stage == move.Activated && !over:
		return errors.New("the destination is active, and the source has not committed")
	case b.Stage == move.Activated && w.loaded != w.written:
		return errors.New("what the person wrote is lost")
	case over && b.Stage == move.Aborted:
		return errors.New("the source has retired, and the destination has given up")
	case over && b.Stage != move.Accepted && b.Stage != move.Activated:
		return errors.New("the source has retired, and the destination has not accepted")
	}
	return nil
}

// search tries everything. It returns how one gets to the first fault, or to where no way leads on.
func search(after func(move.Standing, move.Event, int, string) (move.Standing, error), declares bool) (worlds int, fault error) {
	m := &model{declares: declares, after: after, words: map[said]int{}, worlds: map[world]int{}}
	add := func(w world, by step) int {
		n, known := m.worlds[w]
		if !known {
			n = len(m.found)
			m.worlds[w] = n
			m.found, m.came, m.ways = append(m.found, w), append(m.came, by), append(m.ways, nil)
		}
		return n
	}
	add(world{source: move.Standing{Side: move.Source, Stage: move.Planned}, destination: move.Standing{Side: move.Destination, Stage: move.Planned}}, step{})
	for from := 0; from < len(m.found); from++ {
		if err := m.found[from].fault(); err != nil {
			return len(m.found), fmt.Errorf("%w:\n%s", err, m.history(from))
		}
		m.next(m.found[from], func(what string, w world) {
			to := add(w, step{what, from})
			m.ways[to] = append(m.ways[to], from) // backwards
		})
	}
	// Wherever one is, the move can still end; and where nobody has given up, with the person at the destination.
	ended := func(w world) bool {
		return w.destination.Stage == move.Activated || w.source.Stage == move.Aborted && w.destination.Stage == move.Aborted
	}
	arrived := func(w world) bool { return w.destination.Stage == move.Activated }
	for n, can := range m.reach(ended) {
		if !can {
			return len(m.found), fmt.Errorf("it never ends:\n%s", m.history(n))
		}
	}
	for n, can := range m.reach(arrived) {
		w := m.found[n]
		goesOn := w.source.Stage != move.Aborted && w.destination.Stage != move.Aborted && w.source.Epoch < mostEpochs && !m.saidAbort(w)
		if goesOn && !can {
			return len(m.found), fmt.Errorf("the person never arrives:\n%s", m.history(n))
		}
	}
	return len(m.found), nil
}

func (m *model) saidAbort(w world) bool {
	for n, s := range m.list {
		if s.event == move.Abort && w.link&(1<<n) != 0 {
			return true
		}
	}
	return false
}

// reach finds from which worlds one can get to a goal.
func (m *model) reach(goal func(world) bool) []bool {
	can := make([]bool, len(m.found))
	var todo []int
	for n, w := range m.found {
		if goal(w) {
			can[n], todo = true, append(todo, n)
		}
	}
	for len(todo) > 0 {
		n := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		for _, from := range m.ways[n] {
			if !can[from] {
				can[from], todo = true, append(todo, from)
			}
		}
	}
	return can
}

func (m *model) history(n int) string {
	var lines []string
	for ; n > 0; n = m.came[n].to {
		w := m.found[n]
		lines = append(lines, fmt.Sprintf("%-50s source %s %d, destination %s %d, written %d, loaded %d", m.came[n].what, w.source.Stage, w.source.Epoch, w.destination.Stage, w.destination.Epoch, w.written, w.loaded))
	}
	for i, j := 0, len(lines)-1; i < j; i, j = i+1, j-1 {
		lines[i], lines[j] = lines[j], lines[i]
	}
	return strings.Join(lines, "\n")
}

// TestEveryHistory tries all that can happen between two sides: at most one is writable, nothing is lost, and there is
// always a way to the end.
func TestEveryHistory(t *testing.T) {
	for _, declares := range []bool{false, true} {
		worlds, err := search(move.Standing.After, declares)
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%d worlds", worlds)
		if worlds < 10_000 {
			t.Errorf("these are not all: %d", worlds)
		}
	}
}

// TestEveryHistoryFindsFaults breaks a rule of the protocol at a time, which the search has to find.
func TestEveryHistoryFindsFaults(t *testing.T) {
	for name, k := range map[string]struct {
		broken func(s move.Standing, e move.Event, epoch int, root string) (move.Standing, bool)
		says   string
	}{
		"the destination does not wait for the receipt": {func(s move.Standing, e move.Event, epoch int, root string) (move.Standing, bool) {
			s.Stage = move.Activated
			return s, s.Side == move.Destination && e == move.Accept
		}, "has not committed"},
		"the source commits what was accepted before it lifted": {func(s move.Standing, e move.Event, epoch int, root string) (move.Standing, bool) {
			ok := s.Side == move.Source && e == move.Commit && s.Stage == move.Fenced
			s.Stage, s.Epoch, s.Root = move.Committed, epoch, root
			return s, ok
		}, "has not accepted"},
		"the source commits without a fence": {func(s move.Standing, e move.Event, epoch int, root string) (move.Standing, bool) {
			ok := s.Side == move.Source && e == move.Commit && s.Stage == move.Planned
			s.Stage, s.Epoch, s.Root = move.Committed, epoch, root
			return s, ok
		}, "has not accepted"},
		"the source lifts after it has committed": {func(s move.Standing, e move.Event, epoch int, root string) (move.Standing, bool) {
			ok := s.Side == move.Source && e == move.Lift && s.Stage == move.Committed
			s.Stage = move.Planned
			return s, ok
		}, "both are writable"},
		"the source aborts after it has committed": {func(s move.Standing, e move.Event, epoch int, root string) (move.Standing, bool) {
			ok := s.Side == move.Source && e == move.Abort && s.Stage == move.Committed
			s.Stage = move.Aborted
			return s, ok
		}, "both are writable"},
		"the destination gives up what it has accepted": {func(s move.Standing, e move.Event, epoch int, root string) (move.Standing, bool) {
			ok := s.Side == move.Destination && e == move.Abort && s.Stage == move.Accepted
			s.Stage = move.Aborted
			return s, ok
		}, "the source has retired"},
		"the destination is deaf to the lifting": {func(s move.Standing, e move.Event, epoch int, root string) (move.Standing, bool) {
			return s, s.Side == move.Destination && s.Stage == move.Accepted && (e == move.Lift || e == move.Fence) && epoch >= s.Epoch
		}, "never"},
		"the source repeats no receipt": {func(s move.Standing, e move.Event, epoch int, root string) (move.Standing, bool) {
			return s, s.Side == move.Destination && e == move.Commit
		}, "never"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := search(func(s move.Standing, e move.Event, epoch int, root string) (move.Standing, error) {
				if to, ok := k.broken(s, e, epoch, root); ok {
					return to, nil
				}
				return s.After(e, epoch, root)
			}, false)
			if err == nil || !strings.Contains(err.Error(), k.says) {
				t.Errorf("%v", err)
			}
		})
	}
}
