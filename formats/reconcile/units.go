package reconcile

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// makeUnits says for what payments are expected.
func (r *run) makeUnits() {
	for p := range r.rejected {
		if b := r.billOf[p.bill]; b != nil {
			b.corrected[p.role] = true
		}
	}
	r.makePurchases()
	r.makePayments()
	slices.SortFunc(r.units, func(a, b *unit) int {
		return cmp.Or(cmp.Compare(a.day, b.day), a.members[0].Ref.compare(b.members[0].Ref), cmp.Compare(a.role, b.role))
	})
	for n, u := range r.units {
		u.n = n
		slices.SortFunc(u.members, func(a, b *bill) int { return a.Ref.compare(b.Ref) })
	}
}

// makePurchases makes a unit of each bill that was paid, and of each purchase of which refunds speak. Insurers each have a bill
// of one purchase: the first bill of one is about the same as the first of the other.
func (r *run) makePurchases() {
	purchases := map[string]*unit{}
	rank := map[string]int{}
	list := slices.Clone(r.bills)
	slices.SortStableFunc(list, func(a, b *bill) int {
		return cmp.Or(cmp.Compare(a.Beneficiary, b.Beneficiary), cmp.Compare(a.Title, b.Title))
	})
	for _, b := range list {
		amount, when := b.amount, b.day
		if b.Refund {
			amount, when = b.original, b.origin
		}
		if amount == 0 || when == noDay {
			continue // nothing is known of the purchase
		}
		if !b.health || b.corrected[Debit] {
			b.purchase = r.newUnit(Debit, b, amount, when)
			continue
		}
		key := fmt.Sprintf("%s\n%d\n%d", b.Amount.Currency, when, amount)
		mine := key + "\n" + b.issuer.folded
		if !b.Refund {
			mine = key + "\n"
		}
		rank[mine]++
		key = fmt.Sprintf("%s\n%d", key, rank[mine])
		u := purchases[key]
		if u == nil {
			u = r.newUnit(Debit, b, amount, when)
			purchases[key] = u
		} else {
			u.members = append(u.members, b)
			u.titles = append(u.titles, b.title)
		}
		b.purchase = u
	}
}

// makePayments makes a unit of each payment that refunds come in.
func (r *run) makePayments() {
	groups := map[string]*unit{}
	for _, b := range r.bills {
		if !b.Refund {
			continue
		}
		if b.grouped == 0 || b.corrected[Credit] {
			b.payment = r.newUnit(Credit, b, b.amount, b.day)
			continue
		}
		key := fmt.Sprintf("%s\n%d\n%d\n%s", b.Amount.Currency, b.day, b.grouped, b.issuer.folded)
		u := groups[key]
		if u == nil || u.sum()+b.amount > u.whole { // the next payment of the same amount
			u = r.newUnit(Credit, b, b.grouped, b.day)
			u.group = true
			groups[key] = u
		} else {
			u.members = append(u.members, b)
		}
		b.payment = u
	}
}

func (u *unit) sum() (total money) {
	for _, b := range u.members {
		total += b.amount
	}
	return total
}

func (r *run) newUnit(role Role, b *bill, amount money, when day) *unit {
	u := &unit{role: role, members: []*bill{b}, amount: amount, whole: amount, currency: b.Amount.Currency, day: when, issuer: b.issuer, health: b.health}
	switch {
	case role == Credit:
		u.window = r.rules.Refund
		if v := b.issuer.vendor; v != nil {
			if v.Refund != nil {
				u.window = *v.Refund
			}
			u.withheld = v.withheld
		}
	case b.Refund || b.health:
		u.window = r.rules.Care
		u.titles = []*issuer{b.title}
		if !b.Refund {
			u.titles = append(u.titles, b.issuer)
		}
		if !b.health {
			u.window = r.rules.Bill
			u.titles = nil
		}
	default:
		u.window = r.rules.Bill
		if v := b.issuer.vendor; v != nil && v.Bill != nil {
			u.window = *v.Bill
		}
	}
	r.units = append(r.units, u)
	return u
}

// pin makes the links that the person made or confirmed.
func (r *run) pin(list []Correction) {
	list = slices.Clone(list)
	slices.SortFunc(list, func(a, b Correction) int {
		return cmp.Or(a.Bill.compare(b.Bill), cmp.Compare(a.Role, b.Role), strings.Compare(a.Operation, b.Operation))
	})
	list = slices.CompactFunc(list, func(a, b Correction) bool {
		return a.Bill == b.Bill && a.Role == b.Role && a.Operation == b.Operation
	})
	var follow []func()
	for _, c := range list {
		c.Verdict = r.verdicts[pair{c.Bill, c.Operation, c.Role}]
		if c.Verdict == Rejected {
			continue
		}
		b, o := r.billOf[c.Bill], r.opOf[c.Operation]
		if b == nil || o == nil || c.Role != Debit && c.Role != Credit {
			continue // it is gone, or not read; the correction waits until it is there again
		}
		u := b.purchase
		if c.Role == Credit {
			u = b.payment
		}
		r.pinOne(c, b, o, u)
		if u != nil && len(u.members) > 1 {
			follow = append(follow, func() { r.followPin(c, b, o, u) })
		}
	}
	for _, f := range follow {
		f()
	}
	r.index() // less is left of what was linked
}

// pinOne links one bill as the person said. An operation is never said to be about more than it moved.
func (r *run) pinOne(c Correction, b *bill, o *op, u *unit) {
	l := Link{Bill: c.Bill, Role: c.Role, Operation: c.Operation, Rule: ByPerson, Verdict: c.Verdict, Evidence: NoEvidence}
	amount := b.amount
	if c.Role == Debit && b.original > 0 {
		amount = b.original
	}
	if u != nil {
		l.Days = int(o.day - u.day)
		amount = min(amount, u.amount)
		if shared := r.sharing(u, o, b, c.Role); shared != nil {
			l.SameAs = shared.Bill
			l.Amount = shared.Amount
			r.put(l)
			return
		}
	}
	amount = min(amount, o.amount)
	if u != nil {
		u.amount -= amount
	}
	o.amount -= amount
	l.Amount = amount.amount(b.Amount.Currency)
	r.put(l)
}

// sharing returns the link of another bill of the same purchase with the same operation.
func (r *run) sharing(u *unit, o *op, b *bill, role Role) *Link {
	if role != Debit {
		return nil
	}
	for i := range r.out.Links {
		l := &r.out.Links[i]
		if l.Operation == o.ID && l.Role == Debit && l.SameAs == (Ref{}) && l.Bill != b.Ref && slices.Contains(u.members, r.billOf[l.Bill]) {
			return l
		}
	}
	return nil
}

// followPin links the other bills of a payment or a purchase of which the person linked one.
func (r *run) followPin(c Correction, b *bill, o *op, u *unit) {
	for _, m := range u.members {
		p := pair{m.Ref, o.ID, c.Role}
		if m == b || r.rejected[p] || r.verdicts[p] != "" || r.linked(m.Ref, c.Role) {
			continue
		}
		l := Link{Bill: m.Ref, Role: c.Role, Operation: o.ID, Rule: ByCompletion, Evidence: NoEvidence, Days: int(o.day - u.day)}
		if shared := r.sharing(u, o, m, c.Role); shared != nil {
			l.SameAs, l.Amount = shared.Bill, shared.Amount
			r.put(l)
			continue
		}
		amount := min(m.amount, u.amount, o.amount)
		if amount <= 0 {
			continue
		}
		u.amount, o.amount = u.amount-amount, o.amount-amount
		l.Amount = amount.amount(u.currency)
		r.put(l)
	}
}

// linked reports whether the person linked a bill.
func (r *run) linked(bill Ref, role Role) bool { return r.has[pair{bill: bill, role: role}] }

// put makes a link that is the person's, or follows from it.
func (r *run) put(l Link) {
	r.has[pair{bill: l.Bill, role: l.Role}] = true
	r.out.Links = append(r.out.Links, l)
}
