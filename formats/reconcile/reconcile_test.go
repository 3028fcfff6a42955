package reconcile_test

import (
	"math"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/passerelle-cloud/passerelle/formats"
	"github.com/passerelle-cloud/passerelle/formats/reconcile"
)

func rulesOf(t testing.TB, country string) *reconcile.Rules {
	t.Helper()
	rules, err := reconcile.RulesFor(country)
	if err != nil {
		t.Fatal(err)
	}
	return rules
}

func places(links []reconcile.Link) map[place]bool {
	found := map[place]bool{}
	for _, l := range links {
		found[place{l.Bill, l.Operation, l.Role}] = true
	}
	return found
}

// On persons whose names no rule was tuned on, nearly every link is right and nearly all are found; taking the nearest for each
// bill in turn does worse.
func TestTruth(t *testing.T) {
	rules := rulesOf(t, "FR")
	for person := uint64(1); person <= 4; person++ {
		g := newTruth("test", person, 10_000, 2_000)
		begun := time.Now()
		result := reconcile.Run(reconcile.Input{Operations: g.operations, Bills: g.bills, Rules: rules})
		took := time.Since(begun)
		precision, recall := g.score(places(result.Links))
		less, fewer := g.score(greedy(g.operations, g.bills))
		t.Logf("person %d: %d links: precision %.4f, recall %.4f in %v (greedy: %.4f, %.4f); %d proposed", person, len(g.links), precision, recall, took.Round(time.Millisecond), less, fewer, len(result.Proposals))
		if precision < 0.99 || recall < 0.95 {
			t.Errorf("person %d: precision %.4f and recall %.4f, not 0.99 and 0.95", person, precision, recall)
		}
		if precision <= less || recall <= fewer {
			t.Errorf("person %d: the greedy way is as good", person)
		}
		if took > 10*time.Second { // a second where nothing else runs: see the benchmark
			t.Errorf("person %d took %v", person, took)
		}
	}
}

// greedy is the baseline: for each bill in turn the best of those operations that are near in time and of the amount, in floats,
// without looking at other bills. A bill of health wants an operation of health, another one its issuer's name.
func greedy(operations []reconcile.Operation, bills []reconcile.Bill) map[place]bool {
	type entry struct {
		*reconcile.Operation
		amount float64
		at     time.Time
		label  string
	}
	var list []entry
	for i := range operations {
		o := &operations[i]
		amount, _ := strconv.ParseFloat(string(o.TransactionAmount.Amount), 64)
		at, _ := time.Parse(time.DateOnly, o.BookingDate)
		if o.TransactionDate != "" {
			at, _ = time.Parse(time.DateOnly, o.TransactionDate)
		}
		list = append(list, entry{o, amount, at, strings.ToLower(o.Remittance)})
	}
	slices.SortFunc(list, func(a, b entry) int { return a.at.Compare(b.at) })
	used := map[string]float64{}
	found := map[place]bool{}
	find := func(b *reconcile.Bill, role reconcile.Role, amount float64, date, category string) {
		when, _ := time.Parse(time.DateOnly, date)
		best, score := -1, math.Inf(1)
		from, _ := slices.BinarySearchFunc(list, when.AddDate(0, 0, -15), func(e entry, at time.Time) int { return e.at.Compare(at) })
		for i := from; i < len(list) && !list[i].at.After(when.AddDate(0, 0, 29)); i++ {
			e := list[i]
			if math.Abs(e.amount-amount) > 0.001 {
				continue
			}
			if category != "" && e.Category != category && e.Category != "" && e.Category != "0" || category == "" && !strings.Contains(e.label, strings.ToLower(b.Issuer)) {
				continue
			}
			mine, _ := strconv.ParseFloat(string(b.Amount.Amount), 64)
			if used[e.ID+string(role)]+mine > math.Abs(e.amount)+0.001 {
				continue
			}
			days := math.Abs(e.at.Sub(when).Hours() / 24)
			if s := 0.7*days + 0.3*math.Abs(e.amount-amount); s < score {
				best, score = i, s
			}
		}
		if best >= 0 {
			mine, _ := strconv.ParseFloat(string(b.Amount.Amount), 64)
			used[list[best].ID+string(role)] += mine
			found[place{b.Ref, list[best].ID, role}] = true
		}
	}
	for i := range bills {
		b := &bills[i]
		if b.ThirdPartyPayer {
			continue
		}
		amount, date, category := b.Amount, b.Date, ""
		if b.OriginalAmount != nil {
			amount = *b.OriginalAmount
		}
		if b.OriginalDate != "" {
			date = b.OriginalDate
		}
		if b.Dataset == formats.Health {
			category = "400610"
		}
		paid, _ := strconv.ParseFloat(string(amount.Amount), 64)
		find(b, reconcile.Debit, -paid, date, category)
		if b.Refund {
			back := b.Amount
			if b.GroupAmount != nil {
				back = *b.GroupAmount
			}
			got, _ := strconv.ParseFloat(string(back.Amount), 64)
			if category != "" {
				category = "400620"
			}
			find(b, reconcile.Credit, got, b.Date, category)
		}
	}
	return found
}
