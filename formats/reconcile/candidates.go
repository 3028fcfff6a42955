package reconcile

import (
	"cmp"
	"slices"
	"strings"
)

// edge is a possibility: these operations moved what these units expect. Most are of one unit and one operation.
type edge struct {
	units    []*unit
	ops      []*op
	cost     int
	rule     Rule
	evidence Evidence
	words    string
}

func (e *edge) single() bool { return len(e.units) == 1 && len(e.ops) == 1 }

// What a possibility costs: the less, the likelier it is. A day is worth a point where it is usual, and more where it is not.
const (
	costNothing   = 300 // to link nothing
	costUnusual   = 4   // a day that is not usual
	costPerMore   = 24  // each bill or operation besides the first
	costShort     = 90  // less than the bill says
	costElsewhere = 60  // a bill names who gave the care, and operations do, but not this one
	surerBy       = 12  // by how much the next best must be worse for a link not to be a mere proposal
	costDoubt     = 129 // what costs more is proposed only
)

func (e Evidence) cost() int {
	switch e {
	case NumberNamed:
		return 0
	case SourceSaid:
		return 4
	case VendorNamed:
		return 8
	case IssuerNamed, ProviderNamed:
		return 10
	case PartNamed:
		return 30
	case ElsewhereNamed:
		return 70 + costElsewhere
	}
	return 70 // CategoryFits
}

// findSingle finds the operations that could be the whole of a unit.
func (r *run) findSingle(u *unit) {
	if u.amount <= 0 {
		return
	}
	before := len(r.edges)
	r.within(u, r.byAmount[place{u.currency, u.role == Credit, u.amount}], func(o *op) {
		r.offer(u, o, ByAmount, 0)
	})
	if u.withheld > 0 {
		r.findShort(u)
	}
	if len(u.edges) > mostEdges {
		for _, e := range u.edges {
			e.ops[0].contested = true
		}
		u.edges, u.crowded = nil, true
		clear(r.edges[before:])
		r.edges = r.edges[:before]
		r.undecided(u, TooMany)
	}
}

// mostEdges is how many possibilities of a unit are weighed. One that has more gets nothing, and takes nothing from others either.
const mostEdges = 150

// within walks the operations of a list that are in a unit's window. The list is in the order of days.
func (r *run) within(u *unit, list []*op, found func(*op)) {
	from, to := u.day-day(u.window.Before), u.day+day(u.window.After)
	i, _ := slices.BinarySearchFunc(list, from, func(o *op, d day) int { return cmp.Compare(o.day, d) })
	for ; i < len(list) && list[i].day <= to && r.work > 0; i++ {
		r.work--
		found(list[i])
	}
}

// findShort finds payments of the issuer that are somewhat less than it says, as insurers withhold what the person owes them.
func (r *run) findShort(u *unit) {
	from := u.day - day(u.window.Before)
	where := u.issuer.where
	i, _ := slices.BinarySearchFunc(where, from, func(n int, d day) int { return cmp.Compare(r.ops[n].day, d) })
	for ; i < len(where) && r.ops[where[i]].day <= u.day+day(u.window.After) && r.work > 0; i++ {
		r.work--
		o := r.ops[where[i]]
		short := u.amount - o.amount
		if o.credit == (u.role == Credit) && o.TransactionAmount.Currency == u.currency && o.amount > 0 && short > 0 && short <= u.withheld && 2*o.amount > u.amount {
			r.offer(u, o, ByShort, costShort)
		}
	}
}

// offer makes an edge of one unit and one operation, if anything speaks for it.
func (r *run) offer(u *unit, o *op, rule Rule, more int) {
	found := r.speaks(u, o)
	if found.evidence == NoEvidence || r.forbidden(u, o) {
		return
	}
	cost := found.evidence.cost() + u.distance(o) + more
	if rule == ByShort && found.evidence.cost() > ProviderNamed.cost() || cost >= costNothing {
		return
	}
	if u.group && rule == ByAmount {
		rule = ByGroup
	}
	r.link(&edge{units: []*unit{u}, ops: []*op{o}, cost: cost, rule: rule, evidence: found.evidence, words: found.words})
}

func (r *run) link(e *edge) {
	for _, u := range e.units {
		u.edges = append(u.edges, e)
	}
	r.edges = append(r.edges, e)
}

// forbidden reports whether the person rejected it for every bill of a unit.
func (r *run) forbidden(u *unit, o *op) bool {
	return len(r.rejected) > 0 && !slices.ContainsFunc(u.members, func(b *bill) bool { return !r.rejected[pair{b.Ref, o.ID, u.role}] })
}

// distance is what the days between cost.
func (u *unit) distance(o *op) int {
	days := int(o.day - u.day)
	switch {
	case days < 0:
		return costUnusual * -days
	case days <= u.window.Usual:
		return days
	}
	return u.window.Usual + costUnusual*(days-u.window.Usual)
}

// speaks says what speaks for an operation being that of a unit.
func (r *run) speaks(u *unit, o *op) naming {
	for _, b := range u.members {
		if b.number != "" && strings.Contains(strings.ReplaceAll(o.text, " ", ""), b.number) {
			return naming{NumberNamed, b.Number}
		}
	}
	for _, b := range u.members {
		if o.source[b.Ref] {
			return naming{evidence: SourceSaid}
		}
	}
	if !u.health {
		if n, ok := u.issuer.named[o.n]; ok {
			return n
		}
		return naming{evidence: NoEvidence}
	}
	if u.role == Credit {
		return r.speaksForRefund(u, o)
	}
	return r.speaksForCare(u, o)
}

// speaksForRefund wants the insurer's name, or an operation of health that names no other insurer.
func (r *run) speaksForRefund(u *unit, o *op) naming {
	if o.health == other || o.health == expense {
		return naming{evidence: NoEvidence}
	}
	if n, ok := u.issuer.named[o.n]; ok {
		return n
	}
	if o.health == unknown || r.namesOther(u.issuer, o) {
		return naming{evidence: NoEvidence}
	}
	return naming{evidence: CategoryFits}
}

// namesOther reports whether an operation names somebody else who has bills here.
func (r *run) namesOther(mine *issuer, o *op) bool {
	for _, i := range r.issuers {
		if n, ok := i.named[o.n]; ok && i != mine && n.evidence != PartNamed && i.insures {
			return true
		}
	}
	return false
}

// speaksForCare wants an operation of health, or the name of who gave the care.
func (r *run) speaksForCare(u *unit, o *op) naming {
	if o.health == other || o.health == refunded {
		return naming{evidence: NoEvidence}
	}
	elsewhere := false
	for _, title := range u.titles {
		if n, ok := title.named[o.n]; ok && n.evidence != PartNamed {
			return naming{ProviderNamed, n.words}
		} else if ok && o.health != unknown {
			return n
		}
		elsewhere = elsewhere || len(title.where) > 0
	}
	words := ""
	if o.health == unknown {
		if words = matches(r.rules.Health.providers, o.text); words == "" {
			return naming{evidence: NoEvidence}
		}
	}
	if elsewhere {
		return naming{ElsewhereNamed, words}
	}
	return naming{CategoryFits, words}
}
