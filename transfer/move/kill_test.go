package move_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/passerelle-cloud/passerelle/consent"
	"github.com/passerelle-cloud/passerelle/internal/dbtest"
	"github.com/passerelle-cloud/passerelle/internal/sqldb"
	"github.com/passerelle-cloud/passerelle/operators"
	"github.com/passerelle-cloud/passerelle/transfer/move"
)

// TestKilledAtEveryStep kills either side again and again while somebody moves, and starts it over the same database and
// folders each time: first at its n-th call, for each n, and then after as many more. The person arrives each time.
func TestKilledAtEveryStep(t *testing.T) {
	const every = 9
	a, b := pair(t)
	for _, dies := range []*operator{a, b} {
		kills := 0
		for first := range int64(every) {
			p := name()
			a.lives(p)
			j := &journey{t: t, person: p, a: a, b: b, consent: a.leaves(p, b)}
			process := dies.restart(first + 1)
			revive := func() {
				if process.ctx.Err() == nil {
					return
				}
				after := int64(every)
				if kills++; kills%10 == 0 {
					after = 0 // a step may need more calls than that
				}
				process = dies.restart(after)
			}
			j.until("it begins", func() bool { // it is asked for again, as a person would
				m, _ := b.running().Receiver.Begin(t.Context(), move.Arrival{Person: p, Peer: a.id, Tokens: j.consent})
				j.id = m.ID
				revive()
				return j.id != ""
			})
			j.until("it is over", func() bool { revive(); return j.come().Done })
			dies.restart(0)
			j.arrives()
		}
		t.Logf("%s was killed %d times", dies.id, kills)
	}
}

// TestFenceThatIsTakenAgain is slow to say at which state it stands, so that the fence is lifted meanwhile and taken again:
// what the person wrote in between is a part of what the second fence stands at.
func TestFenceThatIsTakenAgain(t *testing.T) {
	a, b := pair(t)
	j := kept(t, a, b, "before the fence")
	block, reached := make(chan struct{}), make(chan struct{})
	var first atomic.Bool
	a.change = func(s *move.SenderOptions, _ *move.ReceiverOptions) {
		instance := s.Instance
		s.Instance = func(ctx context.Context, person string) (operators.Source, error) {
			source, err := instance(ctx, person)
			if err == nil && first.CompareAndSwap(false, true) {
				_, err = source.Describe(ctx) // it sees the instance as it is now
				close(reached)
				<-block
			}
			return source, err
		}
	}
	a.restart(0)
	own := move.Authorisation{Consent: j.consent, Person: j.person, Destination: b.id}
	slow := make(chan error)
	go func() {
		_, err := a.running().Sender.Fence(context.Background(), own, j.id, 1)
		slow <- err
	}()
	<-reached
	a.ahead.Store(int64(2 * time.Minute))
	j.until("it is lifted", func() bool { return !j.left().Held })
	if err := jot(a.instance(t, j.person), "between the fences", "x"); err != nil {
		t.Fatal(err)
	}
	second := make(chan error)
	go func() {
		_, err := a.running().Sender.Fence(context.Background(), own, j.id, 1)
		second <- err
	}()
	j.until("it is held again", func() bool { return j.left().Held })
	close(block)
	if err := <-slow; err != nil && !errors.Is(err, move.ErrStale) {
		t.Error(err)
	}
	if err := <-second; err != nil {
		t.Fatal(err)
	}
	b.weather.set(nil)
	j.arrives()
}

// TestWithdrawalMeetsTheCommit withdraws the authorisation at the very moment at which the source retires: one of both holds,
// never something of each.
func TestWithdrawalMeetsTheCommit(t *testing.T) {
	onBoth(t, func(t *testing.T, a, b *operator) {
		ended := map[move.Stage]int{}
		for range 8 {
			j := kept(t, a, b, "after it is accepted")
			acceptance, _ := j.acceptance()
			var both sync.WaitGroup
			both.Go(func() { _ = j.commits(acceptance) }) // it may have come too late
			both.Go(func() {
				_, err := a.Withdraw(context.Background(), consent.Ending{Consent: j.consent, Person: j.person, State: consent.Withdrawn})
				if err != nil {
					t.Error(err)
				}
			})
			both.Wait()
			b.weather.set(nil)
			ended[j.left().Stage]++
			if j.left().Stage == move.Committed {
				j.arrives()
			} else {
				j.stays()
			}
		}
		t.Log(ended)
	})
}

// TestTwoReplicas lets two processes of each operator work on the same moves, one of which dies now and then.
func TestTwoReplicas(t *testing.T) {
	where, other := dbtest.PostgresURL(t), dbtest.PostgresURL(t)
	open := func(url string) *sqldb.DB {
		db, err := sqldb.Open(t.Context(), url)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { db.Close() })
		return db
	}
	a, b := newPair(t, open(where), open(other))
	var journeys []*journey
	for range 4 {
		p := name()
		a.lives(p)
		journeys = append(journeys, begins(t, p, a, b))
	}
	for n := range 6 { // the one before goes on for a while beside the next
		o := []*operator{a, b}[n%2]
		before := o.running()
		o.start(0)
		time.Sleep(60 * time.Millisecond)
		before.stop()
		before.work.Wait()
	}
	for _, j := range journeys {
		j.arrives()
	}
}

// TestFencesThatLeadNowhere lets fence after fence pass: after some of them the move is paused, since at each the person waits.
func TestFencesThatLeadNowhere(t *testing.T) {
	a, b := pair(t)
	a.fence = 20 * time.Millisecond
	a.restart(0)
	b.weather.set(stopsAt("/archives/2"))
	p := name()
	a.lives(p)
	j := begins(t, p, a, b)
	j.until("it is paused", func() bool { return j.come().Paused })
	if m := j.come(); m.Trouble != move.FencesFail {
		t.Errorf("%q", m.Trouble)
	}
	if err := scribble(a, p); err != nil {
		t.Errorf("and the person cannot write: %v", err)
	}
	b.weather.set(nil)
	a.fence = time.Minute
	a.restart(0)
	if err := b.running().Resume(t.Context(), p, j.id); err != nil {
		t.Fatal(err)
	}
	j.arrives()
}

// TestOnlyWhatWasReadAgainIsAccepted damages a file at the destination after it was loaded: it does not say that it holds it.
func TestOnlyWhatWasReadAgainIsAccepted(t *testing.T) {
	a, b := pair(t)
	p := name()
	a.lives(p, noise(11, 200_000))
	b.weather.set(stopsAt("/archives/1"))
	a.fence = time.Hour
	j := begins(t, p, a, b)
	j.until("it was read again once", func() bool {
		var detail string
		err := b.DB.Read.QueryRow(`SELECT detail FROM move_move WHERE id = $1 AND side = 'destination'`, j.id).Scan(&detail)
		return err == nil && strings.Contains(detail, `"checked":true`)
	})
	if n := b.damages(t, 200_000); n != 1 {
		t.Fatalf("%d files were damaged", n)
	}
	if _, err := b.DB.Write.Exec(`UPDATE move_move SET detail = REPLACE(REPLACE(detail, '"checked":true,', ''), '"checked_to":', '"was":') WHERE id = $1`, j.id); err != nil {
		t.Fatal(err)
	}
	b.weather.set(nil)
	j.troubled(move.HereDamaged)
	if s := j.come().Stage; s == move.Accepted || s == move.Activated {
		t.Errorf("it is %s", s)
	}
	if err := b.running().Receiver.Stop(t.Context(), p, j.id); err != nil {
		t.Fatal(err)
	}
	j.stays()
}

// damages changes a byte of the files of blobs of a size.
func (o *operator) damages(t *testing.T, size int64) (n int) {
	t.Helper()
	for _, name := range o.blobs(t, size) {
		f, err := os.OpenFile(name, os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := fmt.Fprint(f, "damaged"); err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		n++
	}
	return n
}

// TestFenceWhoseAnswerIsLost fences, and the destination never hears of it until the fence has been lifted: it learns which
// epoch comes next.
func TestFenceWhoseAnswerIsLost(t *testing.T) {
	a, b := pair(t)
	p := name()
	a.lives(p)
	b.weather.set(func(r *http.Request) fate {
		if strings.HasSuffix(r.URL.Path, "/fence") {
			return unanswered
		}
		return fair
	})
	j := begins(t, p, a, b)
	j.until("it is fenced", func() bool { return j.left().Stage == move.Fenced })
	b.weather.set(stopsAt("/fence"))
	a.ahead.Store(int64(2 * time.Minute))
	j.until("it is lifted", func() bool { return j.left().Stage == move.Planned })
	b.weather.set(nil)
	j.arrives()
}

// TestDeltaFromBeforeTheFence has the last delta made under a fence that is lifted before it is fetched. The person writes,
// and under the next fence that delta is not the last one.
func TestDeltaFromBeforeTheFence(t *testing.T) {
	a, b := pair(t)
	p := name()
	a.lives(p)
	var again atomic.Bool
	b.weather.set(func(r *http.Request) fate {
		if strings.Contains(r.URL.Path, "/archives/2/") || again.Load() && strings.HasSuffix(r.URL.Path, "/fence") {
			return lost
		}
		return fair
	})
	j := begins(t, p, a, b)
	j.until("the delta is made", func() bool { return j.left().Packed == 3 })
	again.Store(true)
	a.ahead.Store(int64(2 * time.Minute))
	j.until("the fence is lifted", func() bool { return j.left().Stage == move.Planned })
	if err := jot(a.instance(t, p), "between the fences", "x"); err != nil {
		t.Fatal(err)
	}
	b.weather.set(nil)
	j.arrives()
}
