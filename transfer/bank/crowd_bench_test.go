package bank_test

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"runtime"
	"runtime/metrics"
	"sync/atomic"
	"testing"
	"time"

	"github.com/passerelle-cloud/passerelle/internal/dbtest"
	atbank "github.com/passerelle-cloud/passerelle/operators/bank"
	"github.com/passerelle-cloud/passerelle/operators/bank/banktest"
	"github.com/passerelle-cloud/passerelle/operators/home"
	"github.com/passerelle-cloud/passerelle/transfer/bank"
)

// crowdRate is how many requests a second the bank of the benchmark answers; its profile says so.
const crowdRate = 50

// BenchmarkCrowd has the connections of many persons refreshed by the queue, all being due at once, and says what that takes: memory
// that is in use at the most, besides what the bank and the tables hold before, and requests a second, of which the bank refuses those
// that are too many. There is one figure for a thousand persons, and how many times that is of a hundred.
func BenchmarkCrowd(b *testing.B) {
	var few, many crowd
	for b.Loop() {
		few, many = refreshCrowd(b, 100), refreshCrowd(b, 1000)
	}
	b.ReportMetric(many.memory, "MiB")
	b.ReportMetric(many.memory/few.memory, "times-100-persons")
	b.ReportMetric(many.rate, "requests/s")
	b.ReportMetric(many.rate/crowdRate, "of-limit")
	b.ReportMetric(float64(many.refused), "refused")
	b.ReportMetric(many.took.Seconds(), "s/crowd")
}

// crowd is what the refresh of many persons took.
type crowd struct {
	memory  float64 // MiB
	rate    float64
	refused int
	took    time.Duration
}

func refreshCrowd(b *testing.B, persons int) (c crowd) {
	r := newRig(b, dbtest.SQLite(b), banktest.Config{Crowd: persons, Rate: crowdRate}, func(p *atbank.Profile) { p.Limits.PerMinute = 60 * crowdRate })
	for n := range persons {
		r.joins(fmt.Sprintf("person-%04d", n+1), banktest.CrowdID(n+1))
	}
	due := time.Now()
	if _, err := r.db.Write.ExecContext(b.Context(), `UPDATE bank_connection SET due = $1`, due.UnixMicro()); err != nil {
		b.Fatal(err)
	}
	if n, err := r.banks.Wake(b.Context()); err != nil || n != persons {
		b.Fatal(n, err)
	}
	runtime.GC() // pools are empty after the second time only
	before, live := r.bank.Counts(), liveMemory()
	ctx, stop := context.WithCancel(b.Context())
	most, watched := watchMemory(ctx)
	done := make(chan error, 1)
	go func() { done <- r.queue.Run(ctx) }()
	for r.rows(`SELECT count(*) FROM bank_connection WHERE due > $1`, due.UnixMicro()) < persons {
		if c.took = time.Since(due); c.took > 10*time.Minute {
			b.Fatal("the crowd is not refreshed")
		}
		time.Sleep(100 * time.Millisecond)
	}
	c.took = time.Since(due)
	stop()
	<-watched
	if err := <-done; err != nil && !errors.Is(err, context.Canceled) {
		b.Fatal(err)
	}
	if n := r.rows(`SELECT count(*) FROM bank_operation`); n != 30*persons {
		b.Fatalf("%d operations were read", n)
	}
	after := r.bank.Counts()
	c.memory = max(float64(most.Load())-float64(live), 1<<17) / (1 << 20) // less than that is noise
	c.rate = float64(after.Requests-before.Requests) / c.took.Seconds()
	c.refused = after.Statuses[429] - before.Statuses[429]
	return c
}

// joins has somebody of the crowd connect their bank.
func (r *rig) joins(person, who string) {
	r.t.Helper()
	if _, err := r.homes.Create(r.t.Context(), person, home.Options{}); err != nil {
		r.t.Fatal(err)
	}
	_, err := r.banks.Connect(r.t.Context(), bank.Wish{Person: person, Bank: "sandbox", Purpose: "my own overview", Until: time.Now().AddDate(1, 0, 0), Information: wants}, r.presence().Presence)
	if err != nil {
		r.t.Fatal(err)
	}
	all := r.bank.Consents()
	if err := r.bank.Authorise(all[len(all)-1].ID, who); err != nil {
		r.t.Fatal(err)
	}
	c, _, err := r.banks.Back(r.t.Context(), person, url.Values{"state": {r.state()}}, r.presence().Presence)
	if err != nil || c.State != bank.Connected {
		r.t.Fatal(c, err)
	}
}

const liveMetric = "/gc/heap/live:bytes"

// liveMemory is what is in use now.
func liveMemory() uint64 {
	runtime.GC()
	sample := []metrics.Sample{{Name: liveMetric}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}

// watchMemory notes how much is in use at the most, until the context ends.
func watchMemory(ctx context.Context) (most *atomic.Uint64, watched <-chan struct{}) {
	most, ended := &atomic.Uint64{}, make(chan struct{})
	go func() {
		defer close(ended)
		for ctx.Err() == nil {
			most.Store(max(most.Load(), liveMemory()))
			time.Sleep(200 * time.Millisecond)
		}
	}()
	return most, ended
}
