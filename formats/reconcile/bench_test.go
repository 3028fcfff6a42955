package reconcile_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/passerelle-cloud/passerelle/formats/reconcile"
)

// BenchmarkRun compares 10,000 operations with 2,000 bills. Its floor, measured in the same run, reads the amounts and days of the
// same input and sorts it.
func BenchmarkRun(b *testing.B) {
	g := newTruth("bench", 1, 10_000, 2_000)
	in := reconcile.Input{Operations: g.operations, Bills: g.bills, Rules: rulesOf(b, "FR")}
	var floor, ours time.Duration
	for b.Loop() {
		begun := time.Now()
		readAndSort(in)
		read := time.Now()
		reconcile.Run(in)
		floor, ours = floor+read.Sub(begun), ours+time.Since(read)
	}
	b.ReportMetric(ours.Seconds()/floor.Seconds(), "x-floor")
	b.ReportMetric(float64(ours.Milliseconds())/float64(b.N), "ms/run")
}

func readAndSort(in reconcile.Input) int {
	type key struct {
		amount string
		day    time.Time
	}
	var keys []key
	read := func(amount, day string) {
		at, err := time.Parse(time.DateOnly, day)
		if err == nil {
			keys = append(keys, key{amount, at})
		}
	}
	for _, o := range in.Operations {
		read(o.TransactionAmount.Amount.Rat().RatString(), o.BookingDate)
	}
	for _, x := range in.Bills {
		read(x.Amount.Amount.Rat().RatString(), x.Date)
	}
	slices.SortFunc(keys, func(a, b key) int {
		if c := a.day.Compare(b.day); c != 0 {
			return c
		}
		return strings.Compare(a.amount, b.amount)
	})
	return len(keys)
}
