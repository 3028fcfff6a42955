package money

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/passerelle-cloud/passerelle/formats"
	"github.com/passerelle-cloud/passerelle/formats/reconcile"
	"github.com/passerelle-cloud/passerelle/operators"
)

// Earlier is by how many days the operation is before the bill.
func (m *Match) Earlier() int { return -m.Days }

// Linked is a match, and the operation that it is about.
type Linked struct {
	Match
	Entry Entry
	Gone  bool // the operation is not here
}

// Page is a page of bills.
type Page struct {
	Bills []Invoice // the newest first
	Found int
}

// Invoice is a bill, and what it is linked with.
type Invoice struct {
	reconcile.Ref
	formats.Bill
	Document string // id of a file; "" if there is none
	Matches  []Linked
}

// Links are those matches that hold.
func (i *Invoice) Links() []Linked { return i.of(stateLinked) }

// Settles are the links that say how the bill stands: one of each role.
func (i *Invoice) Settles() (list []Linked) {
	for _, l := range i.Links() {
		if !slices.ContainsFunc(list, func(other Linked) bool { return other.Role == l.Role }) {
			list = append(list, l)
		}
	}
	return list
}

// Proposals are those that are only plausible.
func (i *Invoice) Proposals() []Linked { return i.of(stateProposed) }

// Rejected are those that the person has rejected.
func (i *Invoice) Rejected() []Linked { return i.of(stateRejected) }

func (i *Invoice) of(state string) (list []Linked) {
	for _, m := range i.Matches {
		if m.State == state {
			list = append(list, m)
		}
	}
	return list
}

// Bills reads those bills that are looked for, with their links.
func (m *Money) Bills(ctx context.Context, person string, q Query) (*Page, error) {
	q.sound()
	instance, err := m.opt.Instance(ctx, person)
	if err != nil {
		return nil, err
	}
	p := &Page{}
	kept := newest[Invoice]{most: (q.Page + 1) * PageSize, less: func(a, b Invoice) int {
		return cmp.Or(cmp.Compare(b.Date, a.Date), cmp.Compare(a.Dataset, b.Dataset), cmp.Compare(a.ID, b.ID))
	}}
	for _, d := range datasets() {
		for line, err := range instance.Dataset(ctx, d, "") {
			if err != nil {
				return nil, fmt.Errorf("read the bills of a person: %w", err)
			}
			r, err := line.Parse()
			if err != nil {
				return nil, fmt.Errorf("read the bills of a person: %w", err)
			}
			i, ok := invoiceOf(r)
			if ok && (q.Text == "" || q.wanted(i.Issuer, i.Title, i.Number, i.Category, i.Beneficiary, i.Date, string(i.Amount.Amount))) {
				p.Found++
				kept.add(i)
			}
		}
	}
	p.Bills = kept.page(q.Page)
	shown := map[reconcile.Ref]*Invoice{}
	for i := range p.Bills {
		shown[p.Bills[i].Ref] = &p.Bills[i]
	}
	return p, withMatches(ctx, instance, datasets(), func(ref reconcile.Ref) *Invoice { return shown[ref] })
}

func invoiceOf(r formats.Record) (Invoice, bool) {
	if r.Kind != formats.KindBill {
		return Invoice{}, false
	}
	body, err := formats.BodyAs[formats.Bill](r)
	i := Invoice{Ref: reconcile.Ref{Dataset: r.Dataset, ID: r.ID}, Bill: body}
	for _, l := range r.Links {
		if l.Rel == "document" && l.Dataset == formats.Files {
			i.Document = l.ID
		}
	}
	return i, err == nil
}

// withMatches adds to bills what they are linked with.
func withMatches(ctx context.Context, instance Instance, sets []formats.Dataset, of func(reconcile.Ref) *Invoice) error {
	var list []Match
	err := eachMatch(ctx, instance, sets, func(m Match) {
		if of(m.Bill) != nil {
			list = append(list, m)
		}
	})
	slices.SortFunc(list, func(a, b Match) int { return a.place().compare(b.place()) })
	for _, m := range list {
		var l Linked
		if err == nil {
			l, err = linked(ctx, instance, m)
		}
		if err == nil {
			i := of(m.Bill)
			i.Matches = append(i.Matches, l)
		}
	}
	return err
}

func linked(ctx context.Context, instance Instance, m Match) (Linked, error) {
	l := Linked{Match: m}
	body, err := recordOf[formats.BankOperation](ctx, instance, formats.Bank, m.Operation, formats.KindOperation)
	if errors.Is(err, ErrNoSuch) {
		l.Gone = true
		return l, nil
	}
	l.Entry = Entry{ID: m.Operation, Date: dateOf(&body), BankOperation: body}
	return l, err
}

// Bill reads one bill with its links, and the operations that could be linked by hand: those that are looked for, or else those
// that are near.
func (m *Money) Bill(ctx context.Context, person string, ref reconcile.Ref, q Query) (*Invoice, []Entry, error) {
	instance, err := m.opt.Instance(ctx, person)
	if err != nil {
		return nil, nil, err
	}
	line, err := instance.Record(ctx, ref.Dataset, ref.ID)
	if errors.Is(err, operators.ErrNotFound) {
		err = ErrNoSuch
	}
	if err != nil {
		return nil, nil, err
	}
	r, err := line.Parse()
	if err != nil {
		return nil, nil, err
	}
	i, ok := invoiceOf(r)
	if !ok || !slices.Contains(datasets(), ref.Dataset) {
		return nil, nil, ErrNoSuch
	}
	err = withMatches(ctx, instance, []formats.Dataset{ref.Dataset}, func(other reconcile.Ref) *Invoice {
		if other == ref {
			return &i
		}
		return nil
	})
	if err != nil {
		return nil, nil, err
	}
	near, err := m.near(ctx, instance, &i, q)
	return &i, near, err
}

// choices is how many operations are offered to be linked by hand.
const choices = 10

// near finds operations that could be of a bill: of its currency, not linked with it, and the nearest in time first. Those of its
// amounts come before others.
func (m *Money) near(ctx context.Context, instance Instance, i *Invoice, q Query) ([]Entry, error) {
	amounts := []formats.Decimal{i.Amount.Amount.Abs()}
	dates := []string{i.Date}
	for _, a := range []*formats.Amount{i.OriginalAmount, i.GroupAmount} {
		if a != nil {
			amounts = append(amounts, a.Amount.Abs())
		}
	}
	if i.OriginalDate != "" {
		dates = append(dates, i.OriginalDate)
	}
	type choice struct {
		Entry
		other int // 0: its amount is one of the bill's
		days  int
	}
	kept := newest[choice]{most: choices, less: func(a, b choice) int {
		return cmp.Or(cmp.Compare(a.other, b.other), cmp.Compare(a.days, b.days), cmp.Compare(a.ID, b.ID))
	}}
	b := &bookkeeper{q: q, months: map[string]map[string]*Month{}, entries: newest[Entry]{most: MostPages * PageSize, less: func(a, b Entry) int { return cmp.Or(cmp.Compare(b.Date, a.Date), cmp.Compare(a.ID, b.ID)) }}}
	if err := b.read(ctx, instance); err != nil {
		return nil, err
	}
	for _, e := range b.entries.list {
		if e.TransactionAmount.Currency != i.Amount.Currency || e.Status == "pending" || slices.ContainsFunc(i.Matches, func(l Linked) bool { return l.Operation == e.ID && l.State != stateRejected }) {
			continue
		}
		c := choice{Entry: e, other: 1, days: apart(e.Date, dates)}
		if slices.ContainsFunc(amounts, func(a formats.Decimal) bool { return a.Rat().Cmp(e.TransactionAmount.Amount.Abs().Rat()) == 0 }) {
			c.other = 0
		}
		kept.add(c)
	}
	kept.cut()
	list := make([]Entry, len(kept.list))
	for n, c := range kept.list {
		list[n] = c.Entry
	}
	return list, nil
}

// apart is how many days there are between a day and the nearest of others.
func apart(date string, others []string) int {
	least := 1 << 30
	for _, other := range others {
		if n, ok := reconcile.DaysBetween(other, date); ok {
			least = min(least, max(n, -n))
		}
	}
	return least
}
