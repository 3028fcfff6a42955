package reconcile

import (
	"cmp"
	"fmt"
	"slices"
)

const (
	mostTogether = 6  // bills that are added up
	mostOneDay   = 5  // of one day, of which every choice is tried
	mostParts    = 12 // operations of which parts are looked for
	sumDays      = 31 // between the first and the last of bills that are added up
)

// findSums finds operations that several units of one issuer, or of one day of care, make together.
func (r *run) findSums() {
	together := map[string][]*unit{}
	var keys []string
	for _, u := range r.units {
		if u.amount <= 0 || u.group || u.crowded {
			continue
		}
		key := fmt.Sprintf("%s %s %s", u.role, u.currency, u.issuer.folded)
		if u.role == Debit && u.health {
			key = fmt.Sprintf("care %s %d", u.currency, u.day)
		}
		if together[key] == nil {
			keys = append(keys, key)
		}
		together[key] = append(together[key], u)
	}
	for _, key := range keys { // in the order of the units
		r.sumRuns(together[key])
	}
}

// sumRuns tries each run of units that follow each other, and each choice among few of one day.
func (r *run) sumRuns(list []*unit) {
	for i := range list {
		total := list[i].amount
		for j := i + 1; j < len(list) && j < i+mostTogether && list[j].day-list[i].day <= sumDays; j++ {
			total += list[j].amount
			r.sum(list[i:j+1], total)
		}
	}
	for from := 0; from < len(list); {
		to := from + 1
		for to < len(list) && list[to].day == list[from].day {
			to++
		}
		if n := to - from; n > 2 && n <= mostOneDay {
			r.choices(list[from:to])
		}
		from = to
	}
}

// choices tries those choices of units that are no runs.
func (r *run) choices(list []*unit) {
	for mask := 1; mask < 1<<len(list); mask++ {
		var some []*unit
		total, last, gap := money(0), -1, false
		for i, u := range list {
			if mask>>i&1 == 1 {
				gap = gap || last >= 0 && i > last+1
				some, total, last = append(some, u), total+u.amount, i
			}
		}
		if gap {
			r.sum(some, total)
		}
	}
}

// sum finds operations of a total.
func (r *run) sum(units []*unit, total money) {
	u := units[len(units)-1]
	r.within(u, r.byAmount[place{u.currency, u.role == Credit, total}], func(o *op) {
		e := &edge{units: slices.Clone(units), ops: []*op{o}, rule: BySum, cost: costPerMore * (len(units) - 1)}
		for _, u := range units {
			found := r.speaks(u, o)
			if found.evidence == NoEvidence || o.day < u.day-day(u.window.Before) || r.forbidden(u, o) {
				return
			}
			if e.evidence == "" || found.evidence.cost() > e.evidence.cost() {
				e.evidence, e.words = found.evidence, found.words
			}
			e.cost += found.evidence.cost() + min(u.distance(o), costNothing/4)
		}
		if e.evidence != ElsewhereNamed && e.cost < costNothing*len(units) {
			r.link(e)
		}
	})
}

// findParts finds several operations that make one bill: instalments, or a refund that came in parts.
func (r *run) findParts() {
	for _, u := range r.units {
		named := slices.ContainsFunc(u.edges, func(e *edge) bool { return e.evidence.cost() <= ProviderNamed.cost() })
		if u.amount > 0 && r.work > 0 && !named && !u.crowded {
			r.partsOf(u)
		}
	}
}

// partsOf looks among operations that name the issuer, or who gave the care, and say the same but for the day: parts are alike,
// or two.
func (r *run) partsOf(u *unit) {
	bySign := map[int][]*op{}
	var signs []int
	for _, o := range r.naming(u) {
		if bySign[o.sign] == nil {
			signs = append(signs, o.sign)
		}
		if len(bySign[o.sign]) < mostParts {
			bySign[o.sign] = append(bySign[o.sign], o)
		}
	}
	for _, sign := range signs {
		r.equalParts(u, bySign[sign])
		r.twoParts(u, bySign[sign])
	}
}

// naming are the operations that name who is on a unit and that could be a part of it, in the order of days.
func (r *run) naming(u *unit) (list []*op) {
	who := []*issuer{u.issuer}
	if u.role == Debit && u.health {
		who = u.titles
	}
	days := u.window.After
	if u.role == Debit {
		days = max(days, r.rules.Instalments.Days)
	}
	for _, i := range who {
		from, _ := slices.BinarySearchFunc(i.where, u.day-day(u.window.Before), func(n int, d day) int { return cmp.Compare(r.ops[n].day, d) })
		for _, n := range i.where[from:] {
			o := r.ops[n]
			if r.work--; o.day > u.day+day(days) || r.work <= 0 {
				break
			}
			if o.credit == (u.role == Credit) && o.amount > 0 && o.amount < u.amount && o.TransactionAmount.Currency == u.currency && i.named[n].evidence != PartNamed &&
				!slices.Contains(list, o) && !r.forbidden(u, o) {
				list = append(list, o)
			}
		}
	}
	slices.SortFunc(list, func(a, b *op) int { return cmp.Compare(a.n, b.n) })
	return list
}

// equalParts finds three or more operations of one amount, of which the first or the last may be of some cents more or less.
func (r *run) equalParts(u *unit, list []*op) {
	for k := 3; k <= r.rules.Instalments.Most; k++ {
		for from := 0; from+k <= len(list); from++ {
			some := list[from : from+k]
			total, rounding := money(0), money(k)*100
			alike := true
			for _, o := range some {
				total += o.amount
				alike = alike && max(o.amount-some[k/2].amount, some[k/2].amount-o.amount) <= rounding
			}
			if alike && total == u.amount {
				r.parts(u, some)
			}
		}
	}
}

// twoParts finds two operations.
func (r *run) twoParts(u *unit, list []*op) {
	for i, a := range list {
		for _, b := range list[i+1:] {
			if a.amount+b.amount == u.amount && b.day-a.day <= sumDays+4 {
				r.parts(u, []*op{a, b})
			}
		}
	}
}

func (r *run) parts(u *unit, list []*op) {
	e := &edge{units: []*unit{u}, ops: slices.Clone(list), rule: ByParts, cost: costPerMore*(len(list)-1) + u.distance(list[0])}
	for _, o := range list {
		found := r.speaks(u, o)
		if found.evidence == NoEvidence {
			return
		}
		if e.evidence == "" || found.evidence.cost() > e.evidence.cost() {
			e.evidence, e.words = found.evidence, found.words
		}
	}
	if e.cost += e.evidence.cost(); e.cost < costNothing {
		r.link(e)
	}
}
