package icalendar

import (
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/passerelle-cloud/passerelle/formats"
)

var frequencies = []string{"yearly", "monthly", "weekly", "daily", "hourly", "minutely", "secondly"}

// readRule reads an RRULE of something that starts at start (RFC 5545 section 3.3.10, RFC 7529). It returns false for
// a rule that a JSCalendar rule cannot say.
func (z *zones) readRule(value string, start moment) (formats.RecurrenceRule, bool) {
	var r formats.RecurrenceRule
	for _, part := range strings.Split(value, ";") {
		name, v, _ := strings.Cut(part, "=")
		if strings.TrimSpace(part) != "" && !z.readRulePart(&r, strings.ToUpper(strings.TrimSpace(name)), strings.TrimSpace(v), start) {
			return r, false
		}
	}
	return r, r.Frequency != ""
}

func (z *zones) readRulePart(r *formats.RecurrenceRule, name, v string, start moment) (ok bool) {
	lower := strings.ToLower(v)
	switch name {
	case "FREQ":
		r.Frequency, ok = lower, slices.Contains(frequencies, lower)
	case "INTERVAL":
		r.Interval, ok = positive(v)
		if r.Interval == 1 {
			r.Interval = 0 // as if it were absent
		}
	case "COUNT":
		r.Count, ok = positive(v)
	case "UNTIL":
		r.Until, ok = z.readUntil(v, start)
	case "RSCALE":
		r.RScale, ok = lower, v != ""
	case "SKIP":
		r.Skip, ok = lower, v != ""
	case "WKST":
		r.FirstDayOfWeek, ok = lower, slices.Contains(weekdays, lower)
	case "BYDAY":
		r.ByDay, ok = readDays(lower)
	case "BYMONTH":
		r.ByMonth, ok = readMonths(v)
	default:
		if list := numbersOf(r, name); list != nil {
			*list, ok = readNumbers(v)
		}
	}
	return ok
}

// numbersOf returns the list of numbers that a part of a rule is.
func numbersOf(r *formats.RecurrenceRule, name string) *[]int {
	switch name {
	case "BYMONTHDAY":
		return &r.ByMonthDay
	case "BYYEARDAY":
		return &r.ByYearDay
	case "BYWEEKNO":
		return &r.ByWeekNo
	case "BYHOUR":
		return &r.ByHour
	case "BYMINUTE":
		return &r.ByMinute
	case "BYSECOND":
		return &r.BySecond
	case "BYSETPOS":
		return &r.BySetPosition
	}
	return nil
}

// positive reads a number above zero.
func positive(v string) (int, bool) {
	n, err := strconv.ParseInt(v, 10, 32)
	return int(n), err == nil && n > 0
}

func readNumbers(v string) ([]int, bool) {
	var list []int
	for _, part := range strings.Split(v, ",") {
		n, err := strconv.ParseInt(strings.TrimSpace(part), 10, 32)
		if err != nil {
			return nil, false
		}
		list = append(list, int(n))
	}
	return list, true
}

var monthForm = regexp.MustCompile(`^0*([1-9][0-9]?)(L?)$`)

func readMonths(v string) ([]string, bool) {
	var list []string
	for _, part := range strings.Split(v, ",") {
		m := monthForm.FindStringSubmatch(strings.TrimSpace(part))
		if m == nil {
			return nil, false
		}
		list = append(list, m[1]+m[2])
	}
	return list, true
}

var dayForm = regexp.MustCompile(`^([+-]?[0-9]{1,3})?(su|mo|tu|we|th|fr|sa)$`)

func readDays(v string) ([]formats.NDay, bool) {
	var list []formats.NDay
	for _, part := range strings.Split(v, ",") {
		m := dayForm.FindStringSubmatch(strings.TrimSpace(part))
		if m == nil {
			return nil, false
		}
		n, _ := strconv.Atoi(m[1]) // "" is none
		list = append(list, formats.NDay{Day: m[2], NthOfPeriod: n})
	}
	return list, true
}

// readUntil reads the last time of a rule as the local time that JSCalendar has there. A date means the whole day.
func (z *zones) readUntil(v string, start moment) (string, bool) {
	local, form := parseTime(v)
	switch {
	case form == dateOnly && !start.date:
		local = local[:len(dateForm)] + "T23:59:59"
	case form == utcTime && !start.date:
		local = z.in(moment{local: local, zone: utc}, start.zone)
	case start.date && form != noTime:
		local = local[:len(dateForm)] + midnight
	}
	return local, form != noTime
}

// writeRule is the reverse of readRule. It returns false for a rule that has no frequency.
func (z *zones) writeRule(r *formats.RecurrenceRule, start moment) (string, bool) {
	if !slices.Contains(frequencies, r.Frequency) {
		return "", false
	}
	var parts []string
	add := func(name, v string) {
		if v != "" && !strings.ContainsAny(v, ";\n") {
			parts = append(parts, name+"="+strings.ToUpper(v))
		}
	}
	add("RSCALE", r.RScale)
	add("FREQ", r.Frequency)
	if r.Until != "" {
		add("UNTIL", z.writeUntil(r.Until, start))
	}
	add("COUNT", formatNumber(r.Count))
	add("INTERVAL", formatNumber(r.Interval))
	for _, name := range []string{"BYSECOND", "BYMINUTE", "BYHOUR"} {
		add(name, formatNumbers(*numbersOf(r, name)))
	}
	add("BYDAY", writeDays(r.ByDay))
	for _, name := range []string{"BYMONTHDAY", "BYYEARDAY", "BYWEEKNO"} {
		add(name, formatNumbers(*numbersOf(r, name)))
	}
	add("BYMONTH", strings.Join(r.ByMonth, ","))
	add("BYSETPOS", formatNumbers(r.BySetPosition))
	add("WKST", r.FirstDayOfWeek)
	add("SKIP", r.Skip)
	return strings.Join(parts, ";"), true
}

func formatNumber(n int) string {
	if n <= 0 {
		return ""
	}
	return strconv.Itoa(n)
}

func formatNumbers(list []int) string {
	var parts []string
	for _, n := range list {
		parts = append(parts, strconv.Itoa(n))
	}
	return strings.Join(parts, ",")
}

func writeDays(list []formats.NDay) string {
	var parts []string
	for _, d := range list {
		if !slices.Contains(weekdays, d.Day) {
			continue
		}
		nth := ""
		if d.NthOfPeriod != 0 {
			nth = strconv.Itoa(d.NthOfPeriod)
		}
		parts = append(parts, nth+d.Day)
	}
	return strings.Join(parts, ",")
}

// writeUntil is the reverse of readUntil: a date if the start is one, UTC if it has a zone, else local.
func (z *zones) writeUntil(until string, start moment) string {
	t, ok := parseLocal(until)
	switch {
	case !ok:
		return ""
	case start.date:
		return t.Format(basicDate)
	case start.zone == "":
		return t.Format(basicLocal)
	}
	at, _ := z.instant(until, start.zone)
	return formatUTC(at)
}
