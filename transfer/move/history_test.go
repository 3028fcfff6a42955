package move_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/passerelle-cloud/passerelle/consent"
	"github.com/passerelle-cloud/passerelle/internal/dbtest"
	"github.com/passerelle-cloud/passerelle/internal/sqldb"
	"github.com/passerelle-cloud/passerelle/operators"
	"github.com/passerelle-cloud/passerelle/transfer/move"
)

// The environment variables of the random histories: for how long they are tried, and the seed of the first one.
const (
	historyTime = "PASSERELLE_MOVE_HISTORIES" // a duration; "": some seconds
	historySeed = "PASSERELLE_MOVE_SEED"
)

// dice are thrown by many goroutines.
type dice struct {
	mu sync.Mutex
	r  *rand.Rand
}

func (d *dice) n(n int) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.r.IntN(n)
}

// of is true that often of a hundred times.
func (d *dice) of(percent int) bool { return d.n(100) < percent }

// TestRandomHistories lets persons move through networks that break down, processes that are killed, and people who change
// their minds, and checks after each history that everything that must hold does.
func TestRandomHistories(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		long, seed := 7*time.Second, time.Now().UnixNano()%1_000_000
		other := dbtest.SQLite
		if !db.Embedded() {
			long, other = 5*time.Second, dbtest.Postgres
		}
		if s := os.Getenv(historyTime); s != "" {
			long, _ = time.ParseDuration(s)
		}
		if s := os.Getenv(historySeed); s != "" {
			seed, _ = strconv.ParseInt(s, 10, 64)
		}
		a, b := newPair(t, db, other(t))
		n := 0
		defer func() { t.Logf("%d histories; the last ones are those of %s=%d", n, historySeed, seed-1) }()
		for began := time.Now(); time.Since(began) < long && !t.Failed(); seed++ {
			w := history(t, seed, a, b)
			for _, j := range w.journeys {
				w.check(j)
			}
			n += len(w.journeys)
		}
	})
}

// wild is one history of some persons who move at the same time.
type wild struct {
	*dice
	t        *testing.T
	a, b     *operator
	seed     int64
	journeys []*journey
}

func history(t *testing.T, seed int64, a, b *operator) *wild {
	w := &wild{dice: &dice{r: rand.New(rand.NewPCG(uint64(seed), 0))}, t: t, a: a, b: b, seed: seed}
	a.fence = time.Duration(50+w.n(1000)) * time.Millisecond
	a.restart(0)
	w.clouds()
	for range 1 + w.n(4) {
		w.journeys = append(w.journeys, w.sets())
	}
	stop, watched := make(chan struct{}), sync.WaitGroup{}
	watched.Go(func() { w.watch(stop) })
	defer watched.Wait()
	defer close(stop)
	for range w.n(14) {
		w.act()
	}
	w.calm()
	for _, j := range w.journeys {
		w.ends(j)
	}
	return w
}

// clouds draws how bad the network is.
func (w *wild) clouds() {
	percent := []int{0, 0, 3, 10, 30}[w.n(5)]
	w.b.weather.set(func(*http.Request) fate {
		if !w.of(percent) {
			return fair
		}
		return fates[w.n(len(fates))]
	})
}

// sets has somebody say yes at A.
func (w *wild) sets() *journey {
	j := &journey{t: w.t, person: name(), a: w.a, b: w.b}
	w.a.lives(j.person)
	if w.of(40) { // they were at B some time ago
		w.b.stayed(j.person, map[string]string{"file-1 é": "Ünïcode", "2": strings.Repeat(j.person, 9000), "3": "something else"})
	}
	j.consent = w.a.leaves(j.person, w.b)
	w.tries(j)
	return j
}

// tries begins the move, if the network lets it.
func (w *wild) tries(j *journey) {
	if m, err := w.b.running().Receiver.Begin(context.Background(), move.Arrival{Person: j.person, Peer: w.a.id, Tokens: j.consent}); err == nil {
		j.id = m.ID
	}
}

// act does something that happens in the world.
func (w *wild) act() {
	ctx, j := context.Background(), w.journeys[w.n(len(w.journeys))]
	for _, o := range []*operator{w.a, w.b} {
		if o.running().ctx.Err() != nil {
			o.restart(w.death())
		}
	}
	switch w.n(12) {
	case 0, 1:
		w.a.restart(w.death())
	case 2, 3:
		w.b.restart(w.death())
	case 4:
		w.clouds()
	case 5:
		_ = w.b.running().Pause(ctx, j.person, j.id) // it may be too late, or too early
	case 6:
		_ = w.b.running().Resume(ctx, j.person, j.id)
	case 7:
		w.hide(w.of(50))
	case 8:
		w.gives(ctx, j)
	}
	time.Sleep(time.Duration(w.n(60)) * time.Millisecond)
}

func (w *wild) hide(hide bool) {
	w.a.distrust(w.b.id, hide)
	w.b.distrust(w.a.id, w.of(50) && hide)
}

// gives up, now and then.
func (w *wild) gives(ctx context.Context, j *journey) {
	switch w.n(6) {
	case 0:
		_ = w.b.running().Receiver.Stop(ctx, j.person, j.id)
	case 1:
		_ = w.a.running().Sender.Stop(ctx, j.person, j.id, "the person stays")
	case 2:
		_, _ = w.a.Withdraw(ctx, consent.Ending{Consent: j.consent, Person: j.person, State: consent.Withdrawn})
	}
}

// death is at which call a process dies; most of them do not.
func (w *wild) death() int64 {
	if w.of(60) {
		return 0
	}
	return int64(1 + w.n(60))
}

// calm lets everything work again.
func (w *wild) calm() {
	w.b.weather.set(nil)
	w.hide(false)
	w.a.fence = time.Minute
	w.a.restart(0)
	w.b.restart(0)
	for _, j := range w.journeys {
		if j.id == "" {
			w.tries(j)
		}
		_ = w.b.running().Resume(context.Background(), j.person, j.id)
	}
}

// ends waits until a move has ended one way or the other.
func (w *wild) ends(j *journey) {
	if j.id == "" {
		return
	}
	j.until(fmt.Sprintf("seed %d: it ends", w.seed), func() bool {
		a, b := j.left(), j.come()
		if b.Paused { // after too many fences, for the fence of this history may be short
			_ = w.b.running().Resume(context.Background(), j.person, j.id)
		}
		return b.Stage == move.Activated && b.Done && a.Stage == move.Committed || b.Stage == move.Aborted && a.Stage == move.Aborted
	})
}

// watch writes at both sides all the time: from the moment on in which the destination takes something, the source must not.
func (w *wild) watch(stop chan struct{}) {
	for n := 0; ; n++ {
		for _, j := range w.journeys {
			select {
			case <-stop:
				return
			case <-time.After(3 * time.Millisecond):
			}
			there := scribble(w.b, j.person) == nil
			i, err := w.a.home.Instance(context.Background(), j.person)
			if err != nil {
				w.t.Error(err)
				return
			}
			if err = jot(i, fmt.Sprintf("while it moves %d", n), strconv.Itoa(n)); err == nil && there {
				w.t.Errorf("seed %d: both sides of %s took writes", w.seed, j.id)
			}
			if err != nil && !errors.Is(err, operators.ErrReadOnly) {
				w.t.Errorf("seed %d: %v", w.seed, err)
			}
		}
	}
}

func (w *wild) check(j *journey) {
	switch {
	case j.id == "":
		if err := scribble(w.a, j.person); err != nil {
			w.t.Errorf("seed %d: nothing has begun, and the person cannot write: %v", w.seed, err)
		}
	case j.come().Stage == move.Activated:
		j.arrives()
	default:
		j.stays()
	}
}
