package audit

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/passerelle-cloud/passerelle/consent"
	"github.com/passerelle-cloud/passerelle/consent/events"
)

// smallest is the least number that is shown of how many persons decided something: fewer could be recognised.
const smallest = 5

// Cell is a number about persons. Where it is hidden it is small, or another one could be computed from it.
type Cell struct {
	Label  string `json:"label"`
	Count  int64  `json:"count"` // 0 where it is hidden
	Hidden bool   `json:"hidden,omitempty"`
}

// hide hides small numbers of a table whose total is shown. Where that leaves a single one hidden, the total would give it
// away: the next smallest is hidden too. What is hidden has a sum of at least smallest.
func hide(cells []Cell) []Cell {
	var hidden int64
	count := 0
	for i := range cells {
		if c := &cells[i]; c.Count > 0 && c.Count < smallest {
			hidden += c.Count
			c.Count, c.Hidden = 0, true
			count++
		}
	}
	for count > 0 && (count == 1 || hidden < smallest) {
		next := -1
		for i, c := range cells {
			if !c.Hidden && c.Count > 0 && (next < 0 || c.Count < cells[next].Count) {
				next = i
			}
		}
		if next < 0 {
			break
		}
		hidden += cells[next].Count
		cells[next].Count, cells[next].Hidden = 0, true
		count++
	}
	return cells
}

// Aggregates are numbers about all consents.
type Aggregates struct {
	At       time.Time `json:"at"`
	Total    Cell      `json:"total"`
	States   []Cell    `json:"states"`   // label: State
	Services []Cell    `json:"services"` // valid consents; label: client_id
	Datasets []Cell    `json:"datasets"` // valid consents, each with all of its datasets
	Accesses []Cell    `json:"accesses"` // by service: how often it read, of whomever; not about persons, so nothing is hidden
}

// Aggregates counts all consents. Small numbers are hidden.
func (d *Desk) Aggregates(ctx context.Context, who *Auditor) (*Aggregates, error) {
	if err := d.asked(ctx, who, "aggregates", nil); err != nil {
		return nil, err
	}
	tallies, err := d.Maker.Authority.Tallies(ctx)
	if err != nil {
		return nil, err
	}
	total := int64(0)
	states, services, datasets, accesses := counter{}, counter{}, counter{}, counter{}
	for _, t := range tallies {
		total += t.Consents
		states[string(t.State)] += t.Consents
		accesses[t.Service] += t.Accesses
		if !t.State.Valid() {
			continue
		}
		services[t.Service] += t.Consents
		for _, s := range t.Datasets {
			datasets[string(s)] += t.Consents
		}
	}
	a := &Aggregates{At: d.clock().UTC(), Total: Cell{Label: "total", Count: total}, States: hide(states.cells()), Services: hide(services.cells()), Datasets: hide(datasets.cells()), Accesses: accesses.cells()}
	if total > 0 && total < smallest {
		a.Total.Count, a.Total.Hidden = 0, true
	}
	return a, nil
}

// counter counts by label.
type counter map[string]int64

// cells are the counts, the greatest first.
func (c counter) cells() []Cell {
	list := []Cell{}
	for label, n := range c {
		list = append(list, Cell{Label: label, Count: n})
	}
	slices.SortFunc(list, func(a, b Cell) int {
		if a.Count != b.Count {
			return int(max(-1, min(1, b.Count-a.Count)))
		}
		return strings.Compare(a.Label, b.Label)
	})
	return list
}

// Spread is how long something took.
type Spread struct {
	Count int           `json:"count"`
	P50   time.Duration `json:"p50"`
	P95   time.Duration `json:"p95"`
	P99   time.Duration `json:"p99"`
	Max   time.Duration `json:"max"`
	// Buckets are how many took up to 1 ms, 10 ms, 100 ms, 1 s, 10 s, a minute, an hour, a day, longer.
	Buckets [9]int `json:"buckets"`
}

// Bounds are the upper bounds of the buckets of a [Spread]; the last one has none.
func Bounds() []time.Duration {
	return []time.Duration{time.Millisecond, 10 * time.Millisecond, 100 * time.Millisecond, time.Second, 10 * time.Second, time.Minute, time.Hour, 24 * time.Hour}
}

// spread is that of times, the shortest of which is first.
func spread(times []time.Duration) Spread {
	s := Spread{Count: len(times)}
	if len(times) == 0 {
		return s
	}
	at := func(percent int) time.Duration { // the smallest time within which so many percent ended
		return times[(len(times)*percent+99)/100-1]
	}
	s.P50, s.P95, s.P99, s.Max = at(50), at(95), at(99), times[len(times)-1]
	bounds := Bounds()
	for _, t := range times {
		n, _ := slices.BinarySearch(bounds, t)
		s.Buckets[n]++
	}
	return s
}

// Withdrawals is how withdrawing works.
type Withdrawals struct {
	Since  time.Time       `json:"since"`
	Dead   Spread          `json:"dead"`   // from the click until nothing could be read any more
	Answer Spread          `json:"answer"` // until the service acknowledged it
	Silent int64           `json:"silent"` // how many ends no service has acknowledged
	Quiet  []events.Silent `json:"quiet"`  // by service, those of longer than a day ago
	After  int64           `json:"after"`  // accesses after the end, of all that were looked at: must be 0
	Looked int64           `json:"looked"` // at how many accesses
	Last   []consent.Ended `json:"last"`
}

// shownEndings is how many endings are shown one by one.
const shownEndings = 50

// Withdrawals measures how long it took to end consents from a time on.
func (d *Desk) Withdrawals(ctx context.Context, who *Auditor, since time.Time) (*Withdrawals, error) {
	if err := d.asked(ctx, who, "withdrawals", map[string]string{"since": since.UTC().Format(time.RFC3339)}); err != nil {
		return nil, err
	}
	w := &Withdrawals{Since: since}
	times, err := d.Maker.Authority.EndingTimes(ctx, since)
	if err != nil {
		return nil, err
	}
	w.Dead = spread(times)
	if times, w.Silent, err = d.events.Answers(ctx, since); err != nil {
		return nil, err
	}
	w.Answer = spread(times)
	if w.Quiet, err = d.events.Silents(ctx, patience); err != nil {
		return nil, err
	}
	if w.Last, err = d.Maker.Authority.Endings(ctx, since, shownEndings); err != nil {
		return nil, err
	}
	f, err := d.finding(ctx, checkAfterEnd)
	w.After, w.Looked = f.Wrong, f.Looked
	return w, err
}

// patience is after which time a service that has not acknowledged an end counts as silent.
const patience = 24 * time.Hour

// Registers are what an operator must be able to list.
type Registers struct {
	Refused     []consent.RefusedCount `json:"refused"` // by rules, in the last year
	Suspensions []consent.Suspension   `json:"suspensions"`
	Abroad      []consent.Abroad       `json:"abroad"`
	Services    []*consent.Service     `json:"services"`
	Matters     []Matter               `json:"matters"`
	Moves       []Switched             `json:"moves"` // to other operators, the last ones
}

// shownRefused is how many counts of refusals are shown.
const shownRefused = 500

// Registers returns the operator's registers.
func (d *Desk) Registers(ctx context.Context, who *Auditor) (r *Registers, err error) {
	if err := d.asked(ctx, who, "registers", nil); err != nil {
		return nil, err
	}
	r = &Registers{}
	if r.Refused, err = d.Maker.Authority.RefusedCounts(ctx, d.clock().AddDate(-1, 0, 0), shownRefused); err != nil {
		return nil, err
	}
	if r.Suspensions, err = d.Maker.Authority.Suspensions(ctx); err != nil {
		return nil, err
	}
	if r.Abroad, err = d.Maker.Authority.ThirdCountries(ctx); err != nil {
		return nil, err
	}
	for i := range r.Abroad { // how many persons, only where they are many
		if r.Abroad[i].Consents < smallest {
			r.Abroad[i].Consents = 0
		}
	}
	if r.Services, err = d.Maker.Authority.Services(ctx); err != nil {
		return nil, err
	}
	if r.Matters, err = d.Matters(ctx, true); err != nil {
		return nil, err
	}
	r.Moves, err = d.lastMoves(ctx)
	return r, err
}
