package bank

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/passerelle-cloud/passerelle/formats"
)

// truth is an operation as it really is.
type truth struct {
	id      string
	amount  string
	text    string
	acted   int // day of March 2026 on which the person paid
	books   int // day on which it is booked
	revised int // day on which the bank changes its text; 0: never
}

// account is an account over some weeks, at a bank that misbehaves.
type badBank struct {
	t         *rapid.T
	truths    []truth
	withIDs   bool // at all
	idsChange bool
	withPend  bool
	hiccups   bool // a reservation is not given for a day before it is booked
}

func drawBank(t *rapid.T) *badBank {
	b := &badBank{t: t, withIDs: rapid.Bool().Draw(t, "ids"), idsChange: rapid.Bool().Draw(t, "ids change"), withPend: rapid.Bool().Draw(t, "pending"), hiccups: rapid.Bool().Draw(t, "hiccups")}
	texts := []string{"CAFE DU COIN", "BAKER", "RENT MARCH", "PHARMACY GRANDE", "KIOSK"}
	amounts := []string{"-2.50", "-1.20", "-700.00", "-23.40", "100.00", "2.50"}
	for i := range rapid.IntRange(0, 25).Draw(t, "operations") {
		acted := rapid.IntRange(5, 26).Draw(t, "acted")
		one := truth{id: fmt.Sprintf("t%d", i), amount: rapid.SampledFrom(amounts).Draw(t, "amount"), text: rapid.SampledFrom(texts).Draw(t, "text"), acted: acted, books: acted + rapid.IntRange(0, 3).Draw(t, "later")}
		if b.withIDs && !b.idsChange && rapid.IntRange(0, 9).Draw(t, "revises") == 0 {
			one.revised = one.books + 2
		}
		b.truths = append(b.truths, one)
	}
	return b
}

func onDay(n int) string {
	return time.Date(2026, 3, n, 0, 0, 0, 0, time.UTC).Format(time.DateOnly)
}

// give is what the bank says on a day; of tells which of the truths each is.
func (b *badBank) give(today int, salt string) (seen []Operation, of []int) {
	for i, one := range b.truths {
		o := formats.BankOperation{TransactionAmount: formats.Amount{Currency: "EUR", Amount: formats.Decimal(one.amount)}, Remittance: one.text}
		if b.withIDs {
			if o.TransactionID = one.id; b.idsChange {
				o.TransactionID = salt + one.id
			}
		}
		switch {
		case one.books <= today:
			o.Status, o.BookingDate, o.ValueDate = booked, onDay(one.books), onDay(one.acted)
			if one.revised != 0 && one.revised <= today {
				o.Remittance = "REVISED " + one.text
			}
		case one.acted <= today && b.withPend:
			if b.hiccups && one.books == today+1 {
				continue
			}
			o.Status, o.ValueDate = pending, onDay(one.acted)
		default:
			continue
		}
		seen, of = append(seen, Operation{Body: o}), append(of, i)
		if b.withIDs && rapid.IntRange(0, 4).Draw(b.t, "twice") == 0 {
			seen, of = append(seen, Operation{Body: o}), append(of, i)
		}
	}
	for n := len(seen) - 1; n > 0; n-- {
		at := rapid.IntRange(0, n).Draw(b.t, "order")
		seen[n], seen[at], of[n], of[at] = seen[at], seen[n], of[at], of[n]
	}
	return seen, of
}

// home is what is kept.
type kept map[string]*Known

func (h kept) apply(t *rapid.T, changes []Change, today string) {
	for _, c := range changes {
		switch c.What {
		case Added:
			if h[c.ID] != nil {
				t.Fatalf("%s is given to a second operation", c.ID)
			}
			h[c.ID] = &Known{ID: c.ID, Body: c.Body}
		case Same, Changed, Booked:
			h[c.ID].Body, h[c.ID].Absent = c.Body, ""
		case Absent:
			h[c.ID].Absent = today
		case Withdrawn:
			delete(h, c.ID)
		case Repeated:
			if h[c.ID] == nil {
				t.Fatalf("%s is repeated, and is nothing", c.ID)
			}
		}
	}
}

func (h kept) list() []Known {
	var list []Known
	for _, k := range h {
		list = append(list, *k)
	}
	slices.SortFunc(list, func(a, b Known) int { return cmp.Compare(a.ID, b.ID) })
	return list
}

// TestMatchKeepsTheTruth: whatever a bank does meanwhile, in the end there is one record for each operation, and none else.
func TestMatchKeepsTheTruth(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := drawBank(t)
		h := kept{}
		for today := 5; today <= 45; today += rapid.IntRange(1, 3).Draw(t, "until next") {
			for range rapid.IntRange(1, 2).Draw(t, "runs") {
				salt := fmt.Sprint(rapid.IntRange(0, 1000).Draw(t, "salt"))
				given, of := b.give(today, salt)
				w := Covered{From: "2026-03-01", To: onDay(today + 1), Complete: true, Pending: b.withPend, IDs: !b.idsChange, Today: onDay(today)}
				changes := Match(h.list(), given, w)
				h.apply(t, changes, w.Today)
				names := map[int]string{}
				for _, c := range changes {
					if c.Seen == none {
						continue
					}
					i := of[c.Seen]
					if names[i] != "" && names[i] != c.ID {
						t.Fatalf("on %s one operation has two records: %+v", w.Today, b.truths[i])
					}
					names[i] = c.ID
				}
			}
		}
		var want, got []string
		for _, one := range b.truths {
			text := one.text
			if one.revised != 0 {
				text = "REVISED " + text
			}
			want = append(want, strings.Join([]string{onDay(one.books), one.amount, text}, " "))
		}
		for _, k := range h {
			if k.Absent == "" {
				got = append(got, strings.Join([]string{k.Body.BookingDate, string(k.Body.TransactionAmount.Amount), k.Body.Remittance}, " "))
			} else {
				t.Fatalf("a record is left over: %+v", *k)
			}
		}
		slices.Sort(want)
		slices.Sort(got)
		if !slices.Equal(want, got) {
			t.Fatalf("kept\n%s\nand it is\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	})
}

// TestMatchTurnsBack: what a bank says wrongly for a while is put right once it says it rightly, in the same records.
func TestMatchTurnsBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := drawBank(t)
		w := Covered{From: "2026-03-01", To: "2026-04-20", Complete: true, Pending: true, IDs: !b.idsChange, Today: "2026-04-19"}
		good, _ := b.give(49, "a")
		h := kept{}
		h.apply(t, Match(nil, good, w), w.Today)
		before := h.list()
		wrong, _ := b.give(49, "b")
		flip := rapid.Bool().Draw(t, "flip")
		for i := range wrong {
			o := &wrong[i].Body
			if flip {
				if sign := "-" + string(o.TransactionAmount.Amount); true {
					o.TransactionAmount.Amount = formats.Decimal(strings.TrimPrefix(sign, "--"))
				}
			} else {
				o.BookingDate = addDays(o.BookingDate, 1)
			}
		}
		h.apply(t, Match(h.list(), wrong, w), w.Today)
		right, _ := b.give(49, "c")
		h.apply(t, Match(h.list(), right, w), w.Today)
		after := h.list()
		if len(after) != len(before) {
			t.Fatalf("%d records became %d", len(before), len(after))
		}
		sum := func(list []Known) string {
			var lines []string
			for _, k := range list {
				lines = append(lines, k.Body.BookingDate+" "+string(k.Body.TransactionAmount.Amount)+" "+k.Body.Remittance)
			}
			slices.Sort(lines)
			return strings.Join(lines, "\n")
		}
		for i := range after {
			if after[i].ID != before[i].ID {
				t.Fatalf("%s became %s", before[i].ID, after[i].ID)
			}
		}
		if sum(after) != sum(before) {
			t.Fatalf("it was\n%s\nand is\n%s", sum(before), sum(after))
		}
	})
}

// TestMatchDoesNotDependOnOrder: pages may come in any order.
func TestMatchDoesNotDependOnOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := drawBank(t)
		day := rapid.IntRange(5, 40).Draw(t, "day")
		earlier, _ := b.give(max(5, day-2), "x")
		w := Covered{From: "2026-03-01", To: onDay(day + 1), Complete: true, Pending: true, IDs: !b.idsChange, Today: onDay(day)}
		h := kept{}
		h.apply(t, Match(nil, earlier, w), w.Today)
		ids := func(list []Operation) string {
			var all []string
			for _, c := range Match(h.list(), list, w) {
				all = append(all, fmt.Sprint(c.What, c.ID, c.Body.BookingDate))
			}
			slices.Sort(all)
			return strings.Join(all, "\n")
		}
		now, _ := b.give(day, "x")
		turned := slices.Clone(now)
		slices.Reverse(turned)
		if a, b := ids(now), ids(turned); a != b {
			t.Fatalf("in one order\n%s\nin the other\n%s", a, b)
		}
	})
}
