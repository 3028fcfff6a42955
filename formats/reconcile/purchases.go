package reconcile

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/passerelle-cloud/passerelle/formats"
)

// Purchase is a health expense and what came back of it.
type Purchase struct {
	Key       string // the same in each run: currency, day, amount, and a number where these are not enough
	Day       string
	Amount    formats.Amount
	Who       string // gave the care, as a bill or the bank has it
	Operation string // that paid it; "" if none was found
	Bills     []Ref
	Back      []Back
	Rest      formats.Amount // of the amount, besides what was announced; zero if more was

	day  day
	paid money
	rest money
}

// Back is what one bill says that came back, and what did.
type Back struct {
	Bill      Ref
	Issuer    string
	Payer     Payer
	Day       string
	Announced formats.Amount
	Received  formats.Amount
	// Doubt says that a payment could be it, which the person has not confirmed.
	Doubt bool

	day       day
	after     int
	announced money
	received  money
	issuer    *issuer
}

// purchases gathers the health expenses, those too of which no bill speaks.
func (r *run) purchases() {
	s := &shopper{run: r, rank: map[string]int{}, paidBy: map[Ref]string{}, received: map[Ref]money{}, doubt: map[Ref]bool{}, claimed: map[string]bool{}}
	s.read()
	for _, u := range r.units {
		if u.role == Debit && u.health {
			s.ofUnit(u)
		}
	}
	for _, o := range r.ops {
		if !o.credit && (o.health == expense || o.health == both) && !s.claimed[o.ID] && o.amount == o.whole {
			s.ofOperation(o)
		}
	}
	r.out.Purchases = s.list
	r.partial()
}

// shopper gathers purchases.
type shopper struct {
	*run
	rank     map[string]int
	paidBy   map[Ref]string // the operation that paid what a bill is about
	received map[Ref]money
	doubt    map[Ref]bool
	claimed  map[string]bool // operations that are of a bill
	list     []Purchase
}

func (s *shopper) read() {
	for _, l := range s.out.Links {
		s.claimed[l.Operation] = true
		if l.Role == Debit {
			if s.paidBy[l.Bill] == "" {
				s.paidBy[l.Bill] = l.Operation
			}
		} else if m, ok := parseMoney(l.Amount.Amount); ok {
			s.received[l.Bill] += m
		}
	}
	for _, l := range s.out.Proposals {
		s.claimed[l.Operation] = true
		if l.Role == Credit {
			s.doubt[l.Bill] = true
		}
	}
	for _, u := range s.out.Undecided {
		s.doubt[u.Bill] = s.doubt[u.Bill] || u.Reason == TooMany
	}
}

func (s *shopper) key(currency string, d day, amount money) string {
	key := fmt.Sprintf("%s %s %s", currency, d, amount.amount(currency).Amount)
	s.rank[key]++
	return fmt.Sprintf("%s %d", key, s.rank[key])
}

func (s *shopper) ofUnit(u *unit) {
	p := Purchase{Amount: u.whole.amount(u.currency), day: u.day, paid: u.whole, rest: u.whole}
	for _, b := range u.members {
		p.Bills = append(p.Bills, b.Ref)
		p.Who = cmp.Or(p.Who, b.Title)
		p.Operation = cmp.Or(p.Operation, s.paidBy[b.Ref])
		if !b.Refund {
			p.Who = cmp.Or(p.Who, b.Issuer)
			continue
		}
		p.rest -= b.amount
		payer := Complementary
		after := s.rules.Refund.After
		if v := b.issuer.vendor; v != nil {
			payer = cmp.Or(v.Payer, payer)
			if v.Refund != nil {
				after = v.Refund.After
			}
		}
		received := s.received[b.Ref]
		p.Back = append(p.Back, Back{Bill: b.Ref, Issuer: b.Issuer, Payer: payer, Day: b.day.String(), Announced: b.amount.amount(u.currency), Received: received.amount(u.currency),
			Doubt: s.doubt[b.Ref], day: b.day, after: after, announced: b.amount, received: received, issuer: b.issuer})
	}
	if o := s.opOf[p.Operation]; o != nil && o.whole == u.whole { // so that it is the same purchase before and after there is a bill
		p.day = o.day
	}
	s.add(p, u.currency)
}

func (s *shopper) ofOperation(o *op) {
	s.add(Purchase{Amount: o.whole.amount(o.TransactionAmount.Currency), Who: cmp.Or(o.CreditorName, o.Remittance), Operation: o.ID, day: o.day, paid: o.whole, rest: o.whole}, o.TransactionAmount.Currency)
}

func (s *shopper) add(p Purchase, currency string) {
	p.rest = max(p.rest, 0)
	p.Rest, p.Day = p.rest.amount(currency), p.day.String()
	p.Key = s.key(currency, p.day, p.paid)
	slices.SortFunc(p.Back, func(a, b Back) int { return a.Bill.compare(b.Bill) })
	s.list = append(s.list, p)
}

// partial says of each link whether less moved than its bill says.
func (r *run) partial() {
	type side struct {
		bill Ref
		role Role
	}
	moved := map[side]money{}
	for _, list := range [][]Link{r.out.Links, r.out.Proposals} {
		for _, l := range list {
			m, _ := parseMoney(l.Amount.Amount)
			moved[side{l.Bill, l.Role}] += m
		}
		for i := range list {
			l := &list[i]
			b := r.billOf[l.Bill]
			want := b.amount
			if l.Role == Debit && b.original > 0 {
				want = b.original
			}
			l.Partial = moved[side{l.Bill, l.Role}] < want
		}
		clear(moved)
	}
}

// named is a short text about who it was, for people.
func named(who string) string { return strings.TrimSpace(clip(who)) }
