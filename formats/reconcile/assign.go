package reconcile

import "container/heap"

// assignment gives operations to units so that the sum of costs is the least that there is: successive shortest paths with
// prices (Jonker and Volgenant's way of the Hungarian method, on the possibilities that there are). To give a unit nothing costs
// costNothing, so that there always is an assignment.
type assignment struct {
	arcs  [][]arc // by unit
	price []int   // by operation; not above zero
	owner []int   // by operation: the unit that has it, or nobody
	given []int   // by unit: which of its arcs, or nothing
	work  *int

	dist  []int // by operation, of the search under way
	from  []int // by operation: the unit from which it was reached
	via   []int // by operation: by which of that unit's arcs
	state []int8
	touch []int // operations that the search has reached
	queue queue
}

// arc is a possibility of one unit.
type arc struct{ op, cost int }

const (
	nobody  = -1
	nothing = -1
)

// The states of an operation in a search.
const (
	unseen int8 = iota
	reached
	done
)

func newAssignment(arcs [][]arc, ops int, work *int) *assignment {
	a := &assignment{arcs: arcs, work: work, price: make([]int, ops), owner: make([]int, ops), given: make([]int, len(arcs)),
		dist: make([]int, ops), from: make([]int, ops), via: make([]int, ops), state: make([]int8, ops)}
	for i := range a.owner {
		a.owner[i] = nobody
	}
	for i := range a.given {
		a.given[i] = nothing
	}
	return a
}

// solve returns the least sum of costs; false if that takes too much work. Units that are out get nothing, for nothing, and
// operations that are out go to nobody.
func (a *assignment) solve(unitOut, opOut []bool) (total int, ok bool) {
	for u := range a.arcs {
		if !unitOut[u] && !a.augment(u, opOut) {
			return 0, false
		}
	}
	for u, n := range a.given {
		switch {
		case unitOut[u]:
		case n == nothing:
			total += costNothing
		default:
			total += a.arcs[u][n].cost
		}
	}
	return total, true
}

// augment gives one more unit what is best for all.
func (a *assignment) augment(u int, opOut []bool) bool {
	defer a.reset()
	end, ender, least := nobody, u, costNothing // nothing for ender, unless an operation that is free is nearer
	a.spread(u, 0, opOut, nobody)
	for a.queue.Len() > 0 {
		if *a.work <= 0 {
			return false
		}
		at := heap.Pop(&a.queue).(step)
		if a.state[at.op] == done || at.dist > a.dist[at.op] {
			continue
		}
		if at.dist >= least {
			break
		}
		a.state[at.op] = done
		if a.owner[at.op] == nobody {
			end, least = at.op, at.dist
			break
		}
		i := a.owner[at.op]
		base := at.dist - a.reduced(i, a.given[i])
		if base+costNothing < least {
			ender, least = i, base+costNothing
		}
		a.spread(i, base, opOut, at.op)
	}
	for _, op := range a.touch {
		if a.state[op] == done && op != end && a.dist[op] < least {
			a.price[op] += a.dist[op] - least
		}
	}
	a.shift(u, end, ender)
	return true
}

func (a *assignment) reduced(u, n int) int { return a.arcs[u][n].cost - a.price[a.arcs[u][n].op] }

// spread reaches the operations of a unit.
func (a *assignment) spread(u, base int, opOut []bool, but int) {
	for n, arc := range a.arcs[u] {
		*a.work--
		if arc.op == but || opOut[arc.op] || a.state[arc.op] == done {
			continue
		}
		d := base + a.reduced(u, n)
		if a.state[arc.op] == unseen {
			a.state[arc.op] = reached
			a.touch = append(a.touch, arc.op)
		} else if d >= a.dist[arc.op] {
			continue
		}
		a.dist[arc.op], a.from[arc.op], a.via[arc.op] = d, u, n
		heap.Push(&a.queue, step{arc.op, d})
	}
}

// shift moves the operations along the path that was found. If no operation is its end, ender gets nothing.
func (a *assignment) shift(u, end, ender int) {
	op := end
	if end == nobody {
		if ender == u {
			return
		}
		op = a.arcs[ender][a.given[ender]].op
		a.given[ender] = nothing
	}
	for {
		i := a.from[op]
		before := a.given[i]
		a.owner[op], a.given[i] = i, a.via[op]
		if i == u {
			return
		}
		op = a.arcs[i][before].op
	}
}

func (a *assignment) reset() {
	for _, op := range a.touch {
		a.state[op] = unseen
	}
	a.touch, a.queue = a.touch[:0], a.queue[:0]
}

// margin returns by how much at least everything is worse if a unit does not get what it has, up to most. It is exact where nobody
// else wants that operation; where somebody does, who could then have it, it may be more than this says. Operations that look alike on
// one day or another, and are given to units, may change places: that is no other answer.
func (a *assignment) margin(u, most int, opOut []bool, alike func(op, other int) bool) int {
	defer a.reset()
	mine := a.arcs[u][a.given[u]].op
	start := -a.reduced(u, a.given[u])
	best := min(most, start+costNothing)
	a.spread(u, start, opOut, mine)
	for a.queue.Len() > 0 && *a.work > 0 {
		at := heap.Pop(&a.queue).(step)
		if at.dist >= best {
			break
		}
		if a.state[at.op] == done || at.dist > a.dist[at.op] {
			continue
		}
		a.state[at.op] = done
		if at.op == mine { // somebody else gets it
			best = min(best, at.dist)
			continue
		}
		i := a.owner[at.op]
		if i == nobody {
			best = min(best, at.dist)
			continue
		}
		if alike(at.op, mine) {
			continue
		}
		base := at.dist - a.reduced(i, a.given[i])
		best = min(best, base+costNothing)
		a.spread(i, base, opOut, at.op)
	}
	return best
}

// step is an operation that a search has reached.
type step struct{ op, dist int }

// queue has the nearest step first; of equals, that with the lowest number.
type queue []step

func (q queue) Len() int { return len(q) }
func (q queue) Less(i, j int) bool {
	return q[i].dist < q[j].dist || q[i].dist == q[j].dist && q[i].op < q[j].op
}
func (q queue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }

// Push implements [heap.Interface].
func (q *queue) Push(x any) { *q = append(*q, x.(step)) }

// Pop implements [heap.Interface].
func (q *queue) Pop() any {
	last := (*q)[len(*q)-1]
	*q = (*q)[:len(*q)-1]
	return last
}
