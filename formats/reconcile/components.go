package reconcile

import (
	"slices"
)

// component is what hangs together by possibilities, and by nothing else with the rest.
type component struct {
	units   []*unit
	ops     []*op
	edges   []*edge
	several []*edge // of several units or operations
}

// components splits the possibilities.
func (r *run) components() []*component {
	parent := make([]int, len(r.units)+len(r.ops))
	for i := range parent {
		parent[i] = i
	}
	find := func(i int) int {
		for parent[i] != i {
			parent[i] = parent[parent[i]]
			i = parent[i]
		}
		return i
	}
	node := func(o *op) int { return len(r.units) + o.n }
	for _, e := range r.edges {
		first := find(e.units[0].n)
		for _, u := range e.units {
			parent[find(u.n)] = first
		}
		for _, o := range e.ops {
			parent[find(node(o))] = first
		}
	}
	at := map[int]*component{}
	var list []*component
	for _, u := range r.units {
		if len(u.edges) == 0 {
			continue
		}
		c := at[find(u.n)]
		if c == nil {
			c = &component{}
			at[find(u.n)] = c
			list = append(list, c)
		}
		c.units = append(c.units, u)
	}
	seen := make([]bool, len(r.ops))
	for _, e := range r.edges {
		c := at[find(e.units[0].n)]
		c.edges = append(c.edges, e)
		if !e.single() {
			c.several = append(c.several, e)
		}
		for _, o := range e.ops {
			if !seen[o.n] {
				seen[o.n] = true
				c.ops = append(c.ops, o)
			}
		}
	}
	for _, c := range list {
		slices.SortFunc(c.ops, func(a, b *op) int { return a.n - b.n })
	}
	return list
}

// mostSeveral is of how many possibilities of several bills or operations in a component every choice is tried.
const mostSeveral = 10

// solution is a way to read a component.
type solution struct {
	total  int
	edges  []*edge
	margin []int // of each edge
}

// solver tries the ways to read a component.
type solver struct {
	r *run
	*component
	arcs    [][]arc
	arcEdge [][]*edge
	unitOut []bool
	opOut   []bool
	unitAt  map[*unit]int
	opAt    map[*op]int
	chosen  []*edge
	found   []solution
	best    int
	limit   bool // there was not the time for all of it
}

// solve reads a component in the way that costs least, and says what is sure. Where there are too many ways to try all, what
// could be part of a sum is proposed at the most.
func (r *run) solve(c *component) {
	s := &solver{r: r, component: c, best: 1 << 60, unitAt: map[*unit]int{}, opAt: map[*op]int{}}
	s.prepare()
	several := c.several
	tooMany := len(several) > mostSeveral
	if tooMany {
		several = nil
	}
	s.choose(several, 0)
	if s.limit || len(s.found) == 0 {
		for _, u := range c.units {
			r.undecided(u, TooMany)
		}
		return
	}
	touched := map[*unit]bool{}
	for _, e := range c.several {
		for _, u := range e.units {
			touched[u] = tooMany
		}
	}
	s.settle(touched)
}

func (s *solver) prepare() {
	for i, u := range s.units {
		s.unitAt[u] = i
	}
	for i, o := range s.ops {
		s.opAt[o] = i
	}
	s.arcs, s.arcEdge = make([][]arc, len(s.units)), make([][]*edge, len(s.units))
	s.unitOut, s.opOut = make([]bool, len(s.units)), make([]bool, len(s.ops))
	for _, e := range s.edges {
		if e.single() {
			u := s.unitAt[e.units[0]]
			s.arcs[u] = append(s.arcs[u], arc{s.opAt[e.ops[0]], e.cost})
			s.arcEdge[u] = append(s.arcEdge[u], e)
		}
	}
}

// choose tries each choice among possibilities that do not exclude each other, with the best of the rest.
func (s *solver) choose(several []*edge, cost int) {
	if s.limit = s.limit || s.r.work <= 0; s.limit {
		return
	}
	if len(several) == 0 {
		s.rest(cost)
		return
	}
	e := several[0]
	if s.free(e) {
		s.take(e, true)
		s.chosen = append(s.chosen, e)
		s.choose(several[1:], cost+e.cost)
		s.chosen = s.chosen[:len(s.chosen)-1]
		s.take(e, false)
	}
	s.choose(several[1:], cost)
}

func (s *solver) free(e *edge) bool {
	return !slices.ContainsFunc(e.units, func(u *unit) bool { return s.unitOut[s.unitAt[u]] }) &&
		!slices.ContainsFunc(e.ops, func(o *op) bool { return s.opOut[s.opAt[o]] })
}

func (s *solver) take(e *edge, out bool) {
	for _, u := range e.units {
		s.unitOut[s.unitAt[u]] = out
	}
	for _, o := range e.ops {
		s.opOut[s.opAt[o]] = out
	}
}

// rest assigns what is left one to one.
func (s *solver) rest(cost int) {
	a := newAssignment(s.arcs, len(s.ops), &s.r.work)
	total, ok := a.solve(s.unitOut, s.opOut)
	if !ok {
		s.limit = true
		return
	}
	if total += cost; total > s.best+surerBy {
		return
	}
	s.best = min(s.best, total)
	sol := solution{total: total, edges: slices.Clone(s.chosen)}
	for range sol.edges {
		sol.margin = append(sol.margin, surerBy)
	}
	alike := func(x, y int) bool { return s.ops[x].sign == s.ops[y].sign }
	for u, n := range a.given {
		if n != nothing {
			sol.edges = append(sol.edges, s.arcEdge[u][n])
			sol.margin = append(sol.margin, a.margin(u, surerBy, s.opOut, alike))
		}
	}
	s.found = append(s.found, sol)
}

// settle makes links of the best solution. What is not in another that is nearly as good is proposed only.
func (s *solver) settle(touched map[*unit]bool) {
	slices.SortStableFunc(s.found, func(a, b solution) int { return a.total - b.total })
	best := s.found[0]
	for i, e := range best.edges {
		sure := best.margin[i] >= surerBy && (e.evidence.cost() <= PartNamed.cost() || e.cost <= costDoubt*len(e.units))
		for _, other := range s.found[1:] {
			if other.total < best.total+surerBy && !slices.Contains(other.edges, e) {
				sure = false
			}
		}
		sure = sure && !slices.ContainsFunc(e.units, func(u *unit) bool { return touched[u] }) && !slices.ContainsFunc(e.ops, func(o *op) bool { return o.contested })
		s.r.emit(e, sure)
		if !sure {
			for _, u := range e.units {
				s.r.undecided(u, Ambiguous)
			}
		}
	}
	for u := range touched {
		if touched[u] {
			s.r.undecided(u, TooMany)
		}
	}
}

func (r *run) undecided(u *unit, why Reason) {
	for _, b := range u.members {
		r.out.Undecided = append(r.out.Undecided, Undecided{b.Ref, u.role, why})
	}
}

// emit says what an edge means for each bill.
func (r *run) emit(e *edge, sure bool) {
	for _, o := range e.ops {
		left := o.amount
		for _, u := range e.units {
			left = r.emitUnit(e, o, u, left, sure)
		}
	}
}

// emitUnit makes the links of a unit's bills with an operation, of which so much is left, and returns what is left then.
func (r *run) emitUnit(e *edge, o *op, u *unit, left money, sure bool) money {
	first := Ref{} // of the bills of one purchase, that which stands for its amount
	for _, b := range u.members {
		if r.rejected[pair{b.Ref, o.ID, u.role}] || len(u.members) > 1 && r.linked(b.Ref, u.role) {
			continue
		}
		l := Link{Bill: b.Ref, Role: u.role, Operation: o.ID, Rule: e.rule, Evidence: e.evidence, Words: e.words, Days: int(o.day - u.day)}
		amount := min(u.amount, left)
		switch {
		case u.group:
			amount = min(b.amount, left)
		case first != Ref{}:
			l.SameAs, amount = first, min(u.amount, o.amount)
		}
		if amount <= 0 {
			continue // nothing of it is left for this one
		}
		if l.Amount = amount.amount(u.currency); l.SameAs == (Ref{}) {
			first, left = b.Ref, left-amount
		}
		if sure {
			r.out.Links = append(r.out.Links, l)
		} else {
			r.out.Proposals = append(r.out.Proposals, l)
		}
	}
	return left
}
