package money

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/passerelle-cloud/passerelle/formats"
	"github.com/passerelle-cloud/passerelle/formats/reconcile"
)

// PageSize is how many operations or bills a page has, and MostPages how far one can turn: who looks for more searches.
const (
	PageSize  = 50
	MostPages = 200
)

// Query is what is looked for.
type Query struct {
	Text    string // in any case, with or without accents; an amount too
	Account string // id; "": all
	Page    int    // from 0
}

func (q *Query) sound() { q.Page = min(max(q.Page, 0), MostPages-1) }

// wanted reports whether one of some texts has what is looked for.
func (q *Query) wanted(texts ...string) bool {
	text := reconcile.Fold(q.Text)
	amount := strings.ReplaceAll(strings.TrimSpace(q.Text), ",", ".")
	for _, t := range texts {
		if strings.Contains(reconcile.Fold(t), text) {
			return true
		}
	}
	return amount != "" && slices.ContainsFunc(texts, func(t string) bool { return strings.HasPrefix(strings.TrimPrefix(t, "-"), amount) })
}

// Account is an account of the person's.
type Account struct {
	ID string
	formats.BankAccount
}

// Entry is an operation, and what is known of it.
type Entry struct {
	ID      string
	Account string // its id
	Date    string
	formats.BankOperation
	Matches []Billed
}

// Billed is a match, and whose bill it is about.
type Billed struct {
	Match
	Issuer string // "": the bill is not here
}

// Proposed reports whether it is plausible, and no more than that.
func (b *Billed) Proposed() bool { return b.State == stateProposed }

// Label is what people know it by.
func (e *Entry) Label() string {
	return cmp.Or(e.Remittance, e.AdditionalInfo, e.CreditorName, e.DebtorName)
}

// Month is what came in and went out in a month.
type Month struct {
	Month   string // YYYY-MM
	In, Out reconcile.Total
}

// Statement is what the page of the bank shows.
type Statement struct {
	Accounts []Account
	Entries  []Entry // the newest first
	Found    int     // in all
	Months   []Month // the last twelve in which there are operations of Currency, those between with nothing; the oldest first
	Currency string  // of the months: the one of most operations
	Unread   int     // records that cannot be read
}

// newest keeps the greatest of many things in bounded memory.
type newest[T any] struct {
	most int
	less func(a, b T) int // the greatest first
	list []T
}

func (n *newest[T]) add(one T) {
	if n.list = append(n.list, one); len(n.list) >= 2*n.most {
		n.cut()
	}
}

func (n *newest[T]) cut() {
	slices.SortFunc(n.list, n.less)
	if len(n.list) > n.most {
		clear(n.list[n.most:])
		n.list = n.list[:n.most]
	}
}

// page returns a page of what was kept.
func (n *newest[T]) page(page int) []T {
	n.cut()
	from := min(page*PageSize, len(n.list))
	return n.list[from:min(from+PageSize, len(n.list))]
}

// Statement reads accounts and those operations that are looked for, with the bills that they are of.
func (m *Money) Statement(ctx context.Context, person string, q Query) (*Statement, error) {
	q.sound()
	instance, err := m.opt.Instance(ctx, person)
	if err != nil {
		return nil, err
	}
	b := &bookkeeper{q: q, months: map[string]map[string]*Month{}, entries: newest[Entry]{most: (q.Page + 1) * PageSize, less: func(a, b Entry) int {
		return cmp.Or(cmp.Compare(b.Date, a.Date), cmp.Compare(a.ID, b.ID))
	}}}
	if err := b.read(ctx, instance); err != nil {
		return nil, fmt.Errorf("read the accounts of a person: %w", err)
	}
	b.Entries = b.entries.page(q.Page)
	b.lastMonths()
	shown := map[string]*Entry{}
	for i := range b.Entries {
		shown[b.Entries[i].ID] = &b.Entries[i]
	}
	err = eachMatch(ctx, instance, datasets(), func(x Match) {
		if e := shown[x.Operation]; e != nil && x.State != stateRejected {
			e.Matches = append(e.Matches, Billed{Match: x})
		}
	})
	if err == nil {
		err = b.named(ctx, instance)
	}
	slices.SortFunc(b.Accounts, func(x, y Account) int { return cmp.Or(cmp.Compare(x.Name, y.Name), cmp.Compare(x.ID, y.ID)) })
	return &b.Statement, err
}

// named says whose the bills are.
func (b *bookkeeper) named(ctx context.Context, from Instance) error {
	for i := range b.Entries {
		list := b.Entries[i].Matches
		for n := range list {
			bill, err := recordOf[formats.Bill](ctx, from, list[n].Bill.Dataset, list[n].Bill.ID, formats.KindBill)
			if err != nil && !errors.Is(err, ErrNoSuch) {
				return err
			}
			list[n].Issuer = bill.Issuer
		}
	}
	return nil
}

// bookkeeper reads accounts and operations.
type bookkeeper struct {
	Statement
	q       Query
	entries newest[Entry]
	months  map[string]map[string]*Month // by currency and month
	counts  map[string]int
}

func (b *bookkeeper) read(ctx context.Context, from Instance) error {
	b.counts = map[string]int{}
	for line, err := range from.Dataset(ctx, formats.Bank, "") {
		if err != nil {
			return err
		}
		r, err := line.Parse()
		if err != nil {
			return err
		}
		switch r.Kind {
		case formats.KindAccount:
			account, err := formats.BodyAs[formats.BankAccount](r)
			if err != nil {
				b.Unread++
				continue
			}
			b.Accounts = append(b.Accounts, Account{r.ID, account})
		case formats.KindOperation:
			b.operation(r)
		}
	}
	return nil
}

func (b *bookkeeper) operation(r formats.Record) {
	body, err := formats.BodyAs[formats.BankOperation](r)
	if err != nil {
		b.Unread++
		return
	}
	e := Entry{ID: r.ID, Date: dateOf(&body), BankOperation: body}
	for _, l := range r.Links {
		if l.Rel == "account" {
			e.Account = l.ID
		}
	}
	if b.q.Account != "" && e.Account != b.q.Account {
		return
	}
	b.count(&e)
	if b.q.Text == "" || b.q.wanted(body.Remittance, body.AdditionalInfo, body.CreditorName, body.DebtorName, body.Category, e.Date, string(body.TransactionAmount.Amount)) {
		b.Found++
		b.entries.add(e)
	}
}

func dateOf(o *formats.BankOperation) string {
	return cmp.Or(o.BookingDate, o.TransactionDate, o.ValueDate)
}

// count adds an operation to its month.
func (b *bookkeeper) count(e *Entry) {
	currency := e.TransactionAmount.Currency
	if len(e.Date) < len("2006-01") || e.Status == "pending" {
		return
	}
	if b.months[currency] == nil {
		b.months[currency] = map[string]*Month{}
	}
	name := e.Date[:len("2006-01")]
	month := b.months[currency][name]
	if month == nil {
		month = &Month{Month: name, In: reconcile.Total{Currency: currency}, Out: reconcile.Total{Currency: currency}}
		b.months[currency][name] = month
	}
	side := &month.In
	if e.TransactionAmount.Amount.Negative() {
		side = &month.Out
	}
	if side.Add(e.TransactionAmount) {
		b.counts[currency]++
	}
}

const chartMonths = 12

// lastMonths leaves the last twelve months of the most frequent currency.
func (b *bookkeeper) lastMonths() {
	for currency, n := range b.counts {
		if most := b.counts[b.Currency]; n > most || n == most && currency < b.Currency {
			b.Currency = currency
		}
	}
	last := ""
	for name := range b.months[b.Currency] {
		last = max(last, name)
	}
	var year, month int
	if _, err := fmt.Sscanf(last, "%4d-%2d", &year, &month); err != nil {
		return
	}
	for i := chartMonths - 1; i >= 0; i-- {
		n := year*12 + month - 1 - i
		name := fmt.Sprintf("%04d-%02d", n/12, n%12+1)
		if one := b.months[b.Currency][name]; one != nil {
			b.Months = append(b.Months, *one)
		} else if len(b.Months) > 0 {
			b.Months = append(b.Months, Month{Month: name, In: reconcile.Total{Currency: b.Currency}, Out: reconcile.Total{Currency: b.Currency}})
		}
	}
}

// eachMatch walks the matches of some datasets.
func eachMatch(ctx context.Context, from Instance, sets []formats.Dataset, visit func(Match)) error {
	for _, d := range sets {
		for line, err := range from.Dataset(ctx, d, "") {
			if err != nil {
				return fmt.Errorf("read the links of bills: %w", err)
			}
			r, err := line.Parse()
			if err != nil {
				return fmt.Errorf("read the links of bills: %w", err)
			}
			if r.Kind != formats.KindMatch {
				continue
			}
			if m, ok := readMatch(line, r); ok {
				visit(m)
			}
		}
	}
	return nil
}
