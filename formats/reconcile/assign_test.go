package reconcile

import (
	"testing"

	"pgregory.net/rapid"
)

// least tries every assignment of the units from u on.
func least(arcs [][]arc, u int, taken map[int]bool, not func(u, n int) bool) int {
	if u == len(arcs) {
		return 0
	}
	best := costNothing + least(arcs, u+1, taken, not)
	for n, a := range arcs[u] {
		if taken[a.op] || not(u, n) {
			continue
		}
		taken[a.op] = true
		best = min(best, a.cost+least(arcs, u+1, taken, not))
		delete(taken, a.op)
	}
	return best
}

// The assignment costs as little as the best of all that there are, and a margin is no more than what it costs to do without a link.
func TestAssignmentIsTheBest(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ops := rapid.IntRange(1, 6).Draw(t, "operations")
		arcs := make([][]arc, rapid.IntRange(1, 6).Draw(t, "units"))
		for u := range arcs {
			for op := range ops {
				if rapid.Bool().Draw(t, "fits") {
					arcs[u] = append(arcs[u], arc{op, rapid.IntRange(0, costNothing-1).Draw(t, "cost")})
				}
			}
		}
		work := 1 << 20
		a := newAssignment(arcs, ops, &work)
		unitOut, opOut := make([]bool, len(arcs)), make([]bool, ops)
		total, ok := a.solve(unitOut, opOut)
		if want := least(arcs, 0, map[int]bool{}, func(int, int) bool { return false }); !ok || total != want {
			t.Fatalf("it costs %d, %v, and the best is %d", total, ok, want)
		}
		const most = 1000
		for u, n := range a.given {
			if n == nothing {
				continue
			}
			without := least(arcs, 0, map[int]bool{}, func(v, m int) bool { return v == u && m == n })
			got := a.margin(u, most, opOut, func(int, int) bool { return false })
			if want := min(most, without-total); got > want || got < want && a.price[arcs[u][n].op] == 0 {
				t.Fatalf("without unit %d having its operation it costs %d more, and the margin is %d", u, without-total, got)
			}
		}
	})
}
