package energycsv

import (
	"strconv"
	"strings"
	"time"
)

// localTime says what local time at the meter is (ESPI LocalTimeParameters). The zero value is UTC.
type localTime struct {
	Offset   int64  `xml:"tzOffset"`  // seconds east of UTC
	Daylight int64  `xml:"dstOffset"` // seconds more in summer
	Begins   string `xml:"dstStartRule"`
	Ends     string `xml:"dstEndRule"`
}

// of returns the local time of an instant, as if it were UTC.
func (l localTime) of(at time.Time) time.Time {
	standard := at.Add(time.Duration(l.Offset) * time.Second)
	daylight := time.Duration(l.Daylight) * time.Second
	begins, ok := ruleDay(l.Begins, standard.Year())
	ends, ok2 := ruleDay(l.Ends, standard.Year())
	if !ok || !ok2 || daylight == 0 {
		return standard
	}
	ends = ends.Add(-daylight) // the rule says it in daylight time
	since, until := !standard.Before(begins), standard.Before(ends)
	if begins.Before(ends) && since && until || ends.Before(begins) && (since || until) {
		return standard.Add(daylight)
	}
	return standard
}

// ruleDay returns when a DstRuleType says that clocks change in a year. From its lowest bit it holds 12 bits of
// seconds, 5 of the hour, 3 of the day of the week from Monday (1), 5 of the day of the month, 3 of an operator and 4
// of the month.
func ruleDay(rule string, year int) (time.Time, bool) {
	bits, err := strconv.ParseUint(strings.TrimSpace(rule), 16, 32)
	if err != nil {
		return time.Time{}, false
	}
	field := func(from, n int) int { return int(bits >> from & (1<<n - 1)) }
	month, operator, day, weekday := field(28, 4), field(25, 3), field(20, 5), field(17, 3)
	if month < 1 || month > 12 {
		return time.Time{}, false
	}
	at := time.Date(year, time.Month(month), 1, field(12, 5), 0, field(0, 12), 0, time.UTC)
	toWeekday := func(t time.Time) time.Time { return t.AddDate(0, 0, (weekday%7-int(t.Weekday())+7)%7) }
	switch {
	case operator == 0:
		return at.AddDate(0, 0, max(day, 1)-1), true
	case operator == 1:
		return toWeekday(at.AddDate(0, 0, max(day, 1)-1)), true
	case operator == 7: // the last one
		return toWeekday(at.AddDate(0, 1, -7)), true
	}
	return toWeekday(at).AddDate(0, 0, 7*(operator-2)), true
}
