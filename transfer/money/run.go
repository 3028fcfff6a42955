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

// ErrMeanwhile is returned where somebody else wrote what a run was about to: it is to be run again.
var ErrMeanwhile = errors.New("something changed meanwhile: it is looked through again")

// What of one instance is compared at the most: the newest. It bounds the memory of a run to some hundred bytes for each.
const (
	maxOperations = 60_000
	maxBills      = 15_000
)

// batch is how many records are written in one transaction.
const batch = 500

// Ran says what came of a run.
type Ran struct {
	Linked, Proposed, Alerts int // that there are now
	Written                  int // records; 0: nothing was new
}

// looked is what was read of an instance.
type looked struct {
	operations []reconcile.Operation
	bills      []reconcile.Bill
	links      map[reconcile.Ref][]string // operations to which operations' own links lead
	dates      map[reconcile.Ref]string
	matches    []Match
	alerts     []Alert
	countries  map[string]int // of accounts
	older      bool           // there is more than is compared
}

// country is where most of the accounts are; "" if none says it.
func (l *looked) country() (most string) {
	for country, n := range l.countries {
		if before := l.countries[most]; n > before || n == before && country < most {
			most = country
		}
	}
	return most
}

// Run looks through a person's money now. What changes nothing writes nothing. The error wraps [ErrMeanwhile],
// [operators.ErrReadOnly] or [operators.ErrNotFound].
func (m *Money) Run(ctx context.Context, person string) (Ran, error) {
	ran, err := m.run(ctx, person)
	if err != nil {
		return ran, fmt.Errorf("look through the money of a person: %w", err)
	}
	return ran, nil
}

func (m *Money) run(ctx context.Context, person string) (ran Ran, err error) {
	instance, err := m.opt.Instance(ctx, person)
	if err != nil {
		return ran, err
	}
	at, err := instance.Position(ctx) // what changes from here on is seen by the next run
	if err != nil {
		return ran, err
	}
	l, err := look(ctx, instance)
	if err != nil {
		return ran, err
	}
	rules, err := m.opt.Rules(cmp.Or(l.country(), m.opt.Country))
	if err != nil {
		return ran, err
	}
	in := reconcile.Input{Operations: l.operations, Bills: l.bills, Corrections: corrections(l.matches), Rules: rules}
	result := reconcile.Run(in)
	list, err := l.changes(&result, reconcile.Alerts(in, result, m.opt.Now()), m.today())
	if err != nil {
		return ran, err
	}
	if err := write(ctx, instance, list); err != nil {
		return ran, err
	}
	ran = Ran{Linked: len(result.Links), Proposed: len(result.Proposals), Written: len(list)}
	for _, a := range l.alerts {
		if a.State == alertOpen {
			ran.Alerts++
		}
	}
	return ran, m.save(ctx, person, at, ran.Alerts)
}

func write(ctx context.Context, instance Instance, list []operators.Rewrite) error {
	missed := 0
	for some := range slices.Chunk(list, batch) {
		n, err := instance.Rewrite(ctx, some)
		if err != nil {
			return err
		}
		missed += n
	}
	if missed > 0 {
		return ErrMeanwhile
	}
	return nil
}

// corrections are what the person said.
func corrections(matches []Match) (list []reconcile.Correction) {
	for _, m := range matches {
		if m.Verdict != "" {
			list = append(list, reconcile.Correction{Bill: m.Bill, Operation: m.Operation, Role: reconcile.Role(m.Role), Verdict: reconcile.Verdict(m.Verdict)})
		}
	}
	return list
}

// look reads an instance, page by page.
func look(ctx context.Context, from Instance) (*looked, error) {
	l := &looked{countries: map[string]int{}, links: map[reconcile.Ref][]string{}, dates: map[reconcile.Ref]string{}}
	for _, d := range append(datasets(), formats.Bank) {
		for line, err := range from.Dataset(ctx, d, "") {
			if err != nil {
				return nil, err
			}
			r, err := line.Parse()
			if err != nil {
				return nil, err
			}
			l.add(line, r)
		}
	}
	l.cut(0)
	for i := range l.bills {
		b := &l.bills[i]
		b.Linked = append(b.Linked, l.links[b.Ref]...)
		l.dates[b.Ref] = b.Date
	}
	l.links = nil
	return l, nil
}

// add takes a record in, if it is about money. What cannot be read is left for who shows it to say.
func (l *looked) add(line operators.Line, r formats.Record) {
	switch r.Kind {
	case formats.KindAccount:
		account, err := formats.BodyAs[formats.BankAccount](r)
		if err == nil && len(account.IBAN) > 2 {
			l.countries[account.IBAN[:2]]++
		}
	case formats.KindOperation:
		l.operation(r)
	case formats.KindBill:
		body, err := formats.BodyAs[formats.Bill](r)
		if err != nil {
			return
		}
		b := reconcile.Bill{Ref: reconcile.Ref{Dataset: r.Dataset, ID: r.ID}, Bill: body}
		for _, link := range r.Links {
			if link.Dataset == formats.Bank && (link.Rel == relOperation || link.Rel == "reimburses") {
				b.Linked = append(b.Linked, link.ID)
			}
		}
		l.bills = append(l.bills, b)
	case formats.KindMatch:
		if m, ok := readMatch(line, r); ok {
			l.matches = append(l.matches, m)
		}
	case formats.KindAlert:
		if a, ok := readAlert(line, r); ok {
			l.alerts = append(l.alerts, a)
		}
	}
	l.cut(maxOperations / 2)
}

func (l *looked) operation(r formats.Record) {
	body, err := formats.BodyAs[formats.BankOperation](r)
	if err != nil {
		return
	}
	o := reconcile.Operation{ID: r.ID, BankOperation: body}
	for _, link := range r.Links {
		switch link.Rel {
		case "account":
			o.Account = link.ID
		case "bill", "reimbursement":
			ref := reconcile.Ref{Dataset: link.Dataset, ID: link.ID}
			l.links[ref] = append(l.links[ref], r.ID)
		}
	}
	l.operations = append(l.operations, o)
}

// cut leaves the newest, once there are so many more than are compared.
func (l *looked) cut(slack int) {
	if len(l.operations) > maxOperations+slack {
		slices.SortFunc(l.operations, func(a, b reconcile.Operation) int {
			return cmp.Or(cmp.Compare(cmp.Or(b.BookingDate, b.ValueDate, b.TransactionDate), cmp.Or(a.BookingDate, a.ValueDate, a.TransactionDate)), cmp.Compare(a.ID, b.ID))
		})
		clear(l.operations[maxOperations:])
		l.operations, l.older = l.operations[:maxOperations], true
	}
	if len(l.bills) > maxBills+slack {
		slices.SortFunc(l.bills, func(a, b reconcile.Bill) int {
			return cmp.Or(cmp.Compare(b.Date, a.Date), cmp.Compare(a.Dataset, b.Dataset), cmp.Compare(a.ID, b.ID))
		})
		clear(l.bills[maxBills:])
		l.bills, l.older = l.bills[:maxBills], true
	}
}

// changes are the records to be written so that the instance says what was found.
func (l *looked) changes(result *reconcile.Result, alerts []reconcile.Alert, today string) ([]operators.Rewrite, error) {
	w := &rewriter{}
	l.changedMatches(w, result)
	l.changedAlerts(w, alerts, today)
	return w.list, w.err
}

// rewriter gathers what is to be written.
type rewriter struct {
	list []operators.Rewrite
	err  error
}

// put writes a record, unless it is there already.
func (w *rewriter) put(r formats.Record, was formats.Hash, err error) {
	line, lineErr := r.AppendLine(nil)
	if err = errors.Join(err, lineErr); err != nil {
		w.err = errors.Join(w.err, err)
		return
	}
	if formats.HashOf(line) != was {
		w.list = append(w.list, operators.Rewrite{Record: r, Was: was})
	}
}

func (l *looked) changedMatches(w *rewriter, result *reconcile.Result) {
	before := map[place]Match{}
	slices.SortFunc(l.matches, func(a, b Match) int { return cmp.Or(a.place().compare(b.place()), cmp.Compare(a.id, b.id)) })
	for _, m := range l.matches {
		if first, twice := before[m.place()]; twice { // two instances were merged: what the person said counts
			if first.Verdict != "" || m.Verdict == "" {
				w.list = append(w.list, m.gone())
				continue
			}
			w.list = append(w.list, first.gone())
		}
		before[m.place()] = m
	}
	write := func(list []reconcile.Link, state string) {
		for i := range list {
			now := found(&list[i], state, l.dates[list[i].Bill])
			was := before[now.place()]
			delete(before, now.place())
			now.id = was.id
			r, err := now.record()
			w.put(r, was.hash, err)
		}
	}
	write(result.Links, stateLinked)
	write(result.Proposals, stateProposed)
	for _, m := range l.matches {
		if _, left := before[m.place()]; !left || before[m.place()].id != m.id {
			continue
		}
		// Not found any more. What the person said waits for its records to be here again, and what is older was not looked at.
		if m.Verdict == "" && !l.older {
			w.list = append(w.list, m.gone())
		}
	}
}

func (m *Match) gone() operators.Rewrite {
	return operators.Rewrite{Record: formats.Record{ID: m.id, Dataset: m.Bill.Dataset, Kind: formats.KindMatch, Deleted: epoch()}, Was: m.hash}
}

func (l *looked) changedAlerts(w *rewriter, alerts []reconcile.Alert, today string) {
	before := map[string]*Alert{}
	for i := range l.alerts {
		before[l.alerts[i].ID] = &l.alerts[i]
	}
	var now []Alert
	for i := range alerts {
		was := before[alerts[i].ID]
		a := raised(&alerts[i], was, today)
		if was != nil {
			a.hash = was.hash
			delete(before, a.ID)
		}
		now = append(now, a)
	}
	for i := range l.alerts {
		a := l.alerts[i]
		if before[a.ID] == nil {
			continue
		}
		if a.State == alertOpen { // it came, or somebody said what it was
			a.State, a.Ended = alertSettled, today
		}
		now = append(now, a)
	}
	for i := range now {
		r, err := now[i].record()
		w.put(r, now[i].hash, err)
	}
	l.alerts = now
}
