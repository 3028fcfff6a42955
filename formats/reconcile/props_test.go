package reconcile_test

import (
	"fmt"
	"math/big"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/passerelle-cloud/passerelle/formats"
	"github.com/passerelle-cloud/passerelle/formats/reconcile"
)

// crowded draws few amounts, days and names, so that much fits.
func crowded(t *rapid.T) reconcile.Input {
	rules, err := reconcile.RulesFor("FR")
	if err != nil {
		t.Fatal(err)
	}
	in := reconcile.Input{Rules: rules}
	amounts := []int{1000, 2000, 2500, 3000, 4500, 6000}
	issuers := []string{"Ameli", "Mutuelle Zirkon", "Zirkon", "Boutique Falbala", "EDF"}
	texts := []string{"VIR CPAM", "VIR MUTUELLE ZIRKON", "CB ZIRKON", "CB BOUTIQUE FALBALA", "PRLV EDF", "CB DR KORBEL", "RETRAIT"}
	day := func(label string) string {
		return time.Date(2026, 3, 1+rapid.IntRange(0, 40).Draw(t, label), 0, 0, 0, 0, time.UTC).Format(time.DateOnly)
	}
	for i := range rapid.IntRange(0, 14).Draw(t, "operations") {
		o := reconcile.Operation{ID: fmt.Sprintf("o%d", i)}
		sign := rapid.SampledFrom([]int{-1, 1}).Draw(t, "sign")
		o.TransactionAmount = eur(sign * rapid.SampledFrom(amounts).Draw(t, "amount"))
		o.BookingDate, o.Remittance = day("booked"), rapid.SampledFrom(texts).Draw(t, "text")
		o.Category = rapid.SampledFrom([]string{"", "400610", "400620", "groceries"}).Draw(t, "category")
		in.Operations = append(in.Operations, o)
	}
	for i := range rapid.IntRange(0, 10).Draw(t, "bills") {
		b := reconcile.Bill{Ref: reconcile.Ref{Dataset: formats.Bills, ID: fmt.Sprintf("b%d", i)}}
		b.Issuer, b.Date, b.Amount = rapid.SampledFrom(issuers).Draw(t, "issuer"), day("date"), eur(rapid.SampledFrom(amounts).Draw(t, "amount"))
		if rapid.Bool().Draw(t, "health") {
			b.Dataset, b.Category, b.Refund, b.Title = formats.Health, "health_costs", rapid.Bool().Draw(t, "refund"), "Dr Korbel"
		}
		if b.Refund && rapid.Bool().Draw(t, "original") {
			a := eur(rapid.SampledFrom(amounts).Draw(t, "paid"))
			b.OriginalAmount, b.OriginalDate = &a, day("care")
		}
		if b.Refund && rapid.Bool().Draw(t, "group") {
			a := eur(rapid.SampledFrom(amounts).Draw(t, "grouped"))
			b.GroupAmount = &a
		}
		in.Bills = append(in.Bills, b)
	}
	if len(in.Bills) > 0 && len(in.Operations) > 0 {
		for range rapid.IntRange(0, 4).Draw(t, "corrections") {
			b := rapid.SampledFrom(in.Bills).Draw(t, "bill")
			role := reconcile.Debit
			if b.Refund && rapid.Bool().Draw(t, "credit") {
				role = reconcile.Credit
			}
			in.Corrections = append(in.Corrections, reconcile.Correction{Bill: b.Ref, Operation: rapid.SampledFrom(in.Operations).Draw(t, "operation").ID, Role: role,
				Verdict: rapid.SampledFrom([]reconcile.Verdict{reconcile.Confirmed, reconcile.Rejected, reconcile.ByHand}).Draw(t, "verdict")})
		}
		in.Corrections = lastOfEach(in.Corrections)
	}
	return in
}

// lastOfEach keeps what was said last of each link, as records do.
func lastOfEach(list []reconcile.Correction) (out []reconcile.Correction) {
	for i, c := range list {
		if !slices.ContainsFunc(list[i+1:], func(l reconcile.Correction) bool {
			return l.Bill == c.Bill && l.Operation == c.Operation && l.Role == c.Role
		}) {
			out = append(out, c)
		}
	}
	return out
}

// Whatever is compared: the order does not matter, no operation is said to be about more than it moved, and what the person said
// is so.
func TestProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := crowded(t)
		result := reconcile.Run(in)
		shuffled := in
		r := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
		shuffled.Operations, shuffled.Bills, shuffled.Corrections = slices.Clone(in.Operations), slices.Clone(in.Bills), slices.Clone(in.Corrections)
		r.Shuffle(len(in.Operations), func(i, j int) {
			shuffled.Operations[i], shuffled.Operations[j] = shuffled.Operations[j], shuffled.Operations[i]
		})
		r.Shuffle(len(in.Bills), func(i, j int) { shuffled.Bills[i], shuffled.Bills[j] = shuffled.Bills[j], shuffled.Bills[i] })
		r.Shuffle(len(in.Corrections), func(i, j int) {
			shuffled.Corrections[i], shuffled.Corrections[j] = shuffled.Corrections[j], shuffled.Corrections[i]
		})
		again := reconcile.Run(shuffled)
		if !reflect.DeepEqual(links(result), links(again)) {
			t.Fatalf("the order matters:\n%+v\n%+v", links(result), links(again))
		}
		seen := map[string]bool{}
		for _, a := range reconcile.Alerts(in, result, time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC)) {
			if seen[a.ID] {
				t.Fatalf("two alerts are %s", a.ID)
			}
			seen[a.ID] = true
		}
		if !reflect.DeepEqual(reconcile.Alerts(in, result, time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC)), reconcile.Alerts(shuffled, again, time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC))) {
			t.Fatal("the order matters for the alerts")
		}
		notTooMuch(t, in, result)
		obeyed(t, in, result)
		settled(t, in, result)
	})
}

func links(r reconcile.Result) [][]reconcile.Link { return [][]reconcile.Link{r.Links, r.Proposals} }

func notTooMuch(t *rapid.T, in reconcile.Input, result reconcile.Result) {
	moved := map[string]*big.Rat{}
	for _, list := range links(result) {
		for _, l := range list {
			if l.SameAs != (reconcile.Ref{}) {
				continue
			}
			if moved[l.Operation] == nil {
				moved[l.Operation] = new(big.Rat)
			}
			moved[l.Operation].Add(moved[l.Operation], l.Amount.Amount.Rat())
			if l.Amount.Amount.Negative() || l.Amount.Amount.Rat().Sign() == 0 && l.Verdict == "" {
				t.Fatalf("an amount that is none: %+v", l)
			}
		}
	}
	for _, o := range in.Operations {
		if m := moved[o.ID]; m != nil && m.Cmp(o.TransactionAmount.Amount.Abs().Rat()) > 0 {
			t.Fatalf("%s of %s is said to be about %s", o.ID, o.TransactionAmount.Amount, m)
		}
	}
}

func obeyed(t *rapid.T, in reconcile.Input, result reconcile.Result) {
	found, proposed := places(result.Links), places(result.Proposals)
	for _, c := range in.Corrections {
		p := place{c.Bill, c.Operation, c.Role}
		if c.Verdict == reconcile.Rejected && (found[p] || proposed[p]) || c.Verdict != reconcile.Rejected && !found[p] {
			t.Fatalf("the person said %+v: linked %v, proposed %v", c, found[p], proposed[p])
		}
	}
	for p := range found {
		if proposed[p] {
			t.Fatalf("%v is linked and proposed", p)
		}
	}
}

// settled: who confirms everything that was found gets it again.
func settled(t *rapid.T, in reconcile.Input, result reconcile.Result) {
	confirmed := in
	confirmed.Corrections = slices.Clone(in.Corrections)
	for _, l := range result.Links {
		if l.Verdict == "" {
			confirmed.Corrections = append(confirmed.Corrections, reconcile.Correction{Bill: l.Bill, Operation: l.Operation, Role: l.Role, Verdict: reconcile.Confirmed})
		}
	}
	after := places(reconcile.Run(confirmed).Links)
	for p := range places(result.Links) {
		if !after[p] {
			t.Fatalf("%v is gone after everything was confirmed", p)
		}
	}
}
