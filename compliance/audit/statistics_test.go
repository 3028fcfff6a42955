package audit

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// TestSmallNumbers: no number of less than five persons is shown, nor can be computed from the others and their total.
func TestSmallNumbers(t *testing.T) {
	for name, k := range map[string]struct{ counts, shown []int64 }{
		"none small":        {[]int64{10, 20}, []int64{10, 20}},
		"one small":         {[]int64{100, 20, 3}, []int64{100, 0, 0}},
		"two small":         {[]int64{100, 3, 2}, []int64{100, 0, 0}},
		"two, less than 5":  {[]int64{100, 20, 1, 1}, []int64{100, 0, 0, 0}},
		"only small":        {[]int64{4}, []int64{0}},
		"nothing is no one": {[]int64{30, 0, 6}, []int64{30, 0, 6}},
	} {
		var cells []Cell
		for _, n := range k.counts {
			cells = append(cells, Cell{Count: n})
		}
		var shown []int64
		for _, c := range hide(cells) {
			shown = append(shown, c.Count)
		}
		if !slices.Equal(shown, k.shown) {
			t.Errorf("%s: %v", name, shown)
		}
	}
	for range 2000 {
		var cells []Cell
		var total, visible, hidden, persons int64
		for range 1 + rand.IntN(6) {
			cells = append(cells, Cell{Count: rand.Int64N(12)})
			total += cells[len(cells)-1].Count
		}
		before := slices.Clone(cells)
		for i, c := range hide(cells) {
			switch {
			case c.Hidden:
				hidden++
				persons += before[i].Count
			case c.Count > 0 && c.Count < smallest:
				t.Fatalf("%v: %d is shown", before, c.Count)
			}
			visible += c.Count
		}
		if all := total - visible; hidden == 1 && visible > 0 || persons != all || persons > 0 && persons < smallest && visible > 0 {
			t.Fatalf("%v: %d hidden with %d persons", before, hidden, persons)
		}
	}
}

func TestSpread(t *testing.T) {
	var times []time.Duration
	for i := range 100 {
		times = append(times, time.Duration(i+1)*time.Millisecond)
	}
	s := spread(times)
	if s.Count != 100 || s.P50 != 50*time.Millisecond || s.P95 != 95*time.Millisecond || s.P99 != 99*time.Millisecond || s.Max != 100*time.Millisecond {
		t.Errorf("%+v", s)
	}
	if want := [9]int{1, 9, 90}; s.Buckets != want {
		t.Errorf("%v", s.Buckets)
	}
	if s := spread([]time.Duration{72 * time.Hour}); s.P50 != s.Max || s.Buckets[8] != 1 {
		t.Errorf("%+v", s)
	}
	if s := spread(nil); s.Count != 0 || s.Max != 0 {
		t.Errorf("%+v", s)
	}
}
