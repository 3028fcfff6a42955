package icalendar

import (
	"fmt"
	"sort"
	"time"
)

// Years over which the changes of a zone are written at the most.
const (
	earliestYear = 1900
	openYear     = 2037 // a pattern that holds until then is taken to hold for ever
	latestYear   = 2100
)

// change is a change of the clock, as the zone database has it.
type change struct {
	at       time.Time
	from, to int // seconds east of UTC
	name     string
	daylight bool
}

// local is what the clock showed when it was changed.
func (c *change) local() time.Time { return c.at.UTC().Add(time.Duration(c.from) * time.Second) }

// vtimezone writes a zone of the zone database as what it did and will do from the first year on.
func vtimezone(name string, place *time.Location, first, last int) component {
	first = min(max(first, earliestYear), latestYear)
	last = min(max(last, openYear), latestYear)
	first = min(first, last)
	c := component{name: "VTIMEZONE"}
	c.add("TZID", escape(name))
	c.add("X-LIC-LOCATION", escape(name))
	for _, run := range runs(changes(place, first, last)) {
		c.components = append(c.components, run.component(last))
	}
	return c
}

// changes lists the changes of the clock in those years and in the one before. If that has none, the list begins with
// what holds at the beginning.
func changes(place *time.Location, first, last int) []change {
	var list []change
	begin := time.Date(first, 1, 1, 0, 0, 0, 0, time.UTC)
	end := time.Date(last+1, 1, 1, 0, 0, 0, 0, time.UTC)
	for at := begin.AddDate(-1, 0, 0); at.Before(end); {
		next := nextBound(at, place)
		if !sameClock(at, next, place) {
			list = append(list, changeBetween(at, next, place))
		}
		at = next
	}
	if len(list) == 0 || list[0].at.After(begin) {
		early := begin.AddDate(-1, 0, 0)
		name, offset := early.In(place).Zone()
		at := early.Add(-time.Duration(offset) * time.Second) // midnight there
		list = append([]change{{at, offset, offset, name, early.In(place).IsDST()}}, list...)
	}
	return list
}

// nextBound returns a moment after at until which the clock is changed once at the most. At the end of a leap year for
// which only the last rule of the zone database speaks, [time.Time.ZoneBounds] stands still.
func nextBound(at time.Time, place *time.Location) time.Time {
	_, end := at.In(place).ZoneBounds()
	switch {
	case end.IsZero():
		return at.AddDate(latestYear, 0, 0) // never again
	case end.After(at):
		return end
	}
	return at.AddDate(0, 0, 1)
}

// sameClock reports whether a zone has the same offset and name at two moments.
func sameClock(a, b time.Time, place *time.Location) bool {
	nameA, offsetA := a.In(place).Zone()
	nameB, offsetB := b.In(place).Zone()
	return offsetA == offsetB && nameA == nameB
}

// changeBetween finds the one change between two moments, to the second.
func changeBetween(before, after time.Time, place *time.Location) change {
	seconds := int(after.Sub(before) / time.Second)
	n := sort.Search(seconds, func(n int) bool {
		return !sameClock(before, before.Add(time.Duration(n)*time.Second), place)
	})
	at := before.Add(time.Duration(n) * time.Second).In(place)
	name, to := at.Zone()
	_, from := before.In(place).Zone()
	return change{at, from, to, name, at.IsDST()}
}

// run is changes of one kind in consecutive years, each on the same day by a rule.
type run struct {
	changes []change
	nths    []int // which weekday of the month all of them are: 1 the first, -1 the last
}

// runs groups changes. Each is in one run.
func runs(list []change) []*run {
	var all, open []*run
next:
	for _, c := range list {
		for i, r := range open {
			if r.take(c) {
				open[i] = r
				continue next
			}
		}
		r := &run{changes: []change{c}, nths: nths(c.local())}
		all, open = append(all, r), append(open, r)
		if len(open) > 8 {
			open = open[1:]
		}
	}
	return all
}

// nths lists which weekday of its month a day is.
func nths(t time.Time) []int {
	list := []int{(t.Day()-1)/7 + 1}
	if t.AddDate(0, 0, 7).Month() != t.Month() {
		list = append([]int{-1}, list...)
	}
	return list
}

// take adds a change that follows the pattern of the run.
func (r *run) take(c change) bool {
	last := &r.changes[len(r.changes)-1]
	a, b := last.local(), c.local()
	if last.from != c.from || last.to != c.to || last.name != c.name || last.daylight != c.daylight ||
		b.Year() != a.Year()+1 || a.Month() != b.Month() || a.Weekday() != b.Weekday() ||
		a.Format(time.TimeOnly) != b.Format(time.TimeOnly) || last.from == last.to {
		return false
	}
	var both []int
	for _, n := range nths(b) {
		for _, m := range r.nths {
			if n == m {
				both = append(both, n)
			}
		}
	}
	if len(both) == 0 {
		return false
	}
	r.changes, r.nths = append(r.changes, c), both
	return true
}

// component writes the run. The zone database knows changes until the year last.
func (r *run) component(last int) component {
	begin, end := &r.changes[0], &r.changes[len(r.changes)-1]
	c := component{name: "STANDARD"}
	if begin.daylight {
		c.name = "DAYLIGHT"
	}
	c.add("DTSTART", begin.local().Format(basicLocal))
	if len(r.changes) > 1 {
		day := weekdayNames[int(begin.local().Weekday())]
		rule := fmt.Sprintf("FREQ=YEARLY;BYMONTH=%d;BYDAY=%d%s", begin.local().Month(), r.nths[0], day)
		if end.local().Year() < last || len(r.changes) < 4 {
			rule += ";UNTIL=" + formatUTC(end.at)
		}
		c.add("RRULE", rule)
	}
	if begin.name != "" {
		c.add("TZNAME", escape(begin.name))
	}
	c.add("TZOFFSETFROM", formatOffset(begin.from))
	c.add("TZOFFSETTO", formatOffset(begin.to))
	return c
}

var weekdayNames = []string{"SU", "MO", "TU", "WE", "TH", "FR", "SA"}

// formatOffset turns 3600 into "+0100".
func formatOffset(seconds int) string {
	sign := '+'
	if seconds < 0 {
		sign, seconds = '-', -seconds
	}
	text := fmt.Sprintf("%c%02d%02d", sign, seconds/3600, seconds/60%60)
	if seconds%60 != 0 {
		text += fmt.Sprintf("%02d", seconds%60)
	}
	return text
}
