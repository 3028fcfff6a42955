package move_test

import (
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/passerelle-cloud/passerelle/internal/dbtest"
)

// BenchmarkMovesAtOnce moves 100 small instances, all at once, and one alone as the floor: how long one takes of the hundred,
// and how much more memory is in use at the most.
func BenchmarkMovesAtOnce(b *testing.B) {
	for b.Loop() {
		one, oneHeap := movesAtOnce(b, 1)
		all, heap := movesAtOnce(b, 100)
		b.ReportMetric(all.Seconds()/100/one.Seconds(), "ratio-per-move")
		b.ReportMetric(all.Seconds(), "s-for-100")
		b.ReportMetric(float64(oneHeap)/(1<<20), "MiB-for-1")
		b.ReportMetric(float64(heap)/(1<<20), "MiB-for-100")
	}
	b.ReportMetric(0, "ns/op")
}

// movesAtOnce moves some persons, and returns how long that took and the greatest heap of both sides together.
func movesAtOnce(b *testing.B, n int) (took time.Duration, heap uint64) {
	b.Helper()
	one, other := newPair(b, dbtest.SQLite(b), dbtest.SQLite(b))
	journeys := make([]*journey, n)
	for i := range journeys {
		p := name()
		one.lives(p)
		journeys[i] = &journey{t: b, person: p}
	}
	done := make(chan struct{})
	var looks sync.WaitGroup
	looks.Go(func() {
		var m runtime.MemStats
		for ; ; time.Sleep(20 * time.Millisecond) {
			runtime.ReadMemStats(&m)
			heap = max(heap, m.HeapInuse)
			select {
			case <-done:
				return
			default:
			}
		}
	})
	began := time.Now()
	for i, j := range journeys {
		journeys[i] = begins(b, j.person, one, other)
	}
	for _, j := range journeys {
		j.until("it arrives", func() bool { return j.come().Done })
	}
	took = time.Since(began)
	close(done)
	looks.Wait()
	one.kill()
	other.kill()
	return took, heap
}
