package icalendar

import (
	"bytes"
	"encoding/binary"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/passerelle-cloud/passerelle/formats"
)

// readZone reads a VTIMEZONE.
func readZone(c *component) formats.CalendarTimeZone {
	z := formats.CalendarTimeZone{TZID: c.text("TZID"), URL: c.text("TZURL")}
	if p := c.first("LAST-MODIFIED"); p != nil {
		z.Updated, _, _ = p.stamp()
	}
	if p := c.first("TZUNTIL"); p != nil {
		z.ValidUntil, _, _ = p.stamp()
	}
	for i := range c.components {
		inner := &c.components[i]
		rule, ok := readZoneRule(inner)
		switch {
		case ok && inner.name == "STANDARD":
			z.Standard = append(z.Standard, rule)
		case ok && inner.name == "DAYLIGHT":
			z.Daylight = append(z.Daylight, rule)
		}
	}
	return z
}

func readZoneRule(c *component) (formats.CalendarZoneRule, bool) {
	var r formats.CalendarZoneRule
	for i := range c.properties {
		p := &c.properties[i]
		switch p.name {
		case "DTSTART":
			r.Start, _ = parseTime(p.value)
		case "TZOFFSETFROM":
			r.OffsetFrom = readOffset(p.value)
		case "TZOFFSETTO":
			r.OffsetTo = readOffset(p.value)
		case "RRULE":
			if rule, ok := newZones().readRule(p.value, moment{zone: utc}); ok {
				r.RecurrenceRules = append(r.RecurrenceRules, rule)
			}
		case "RDATE":
			for _, value := range strings.Split(p.value, ",") {
				if local, form := parseTime(value); form != noTime {
					put(&r.RecurrenceOverrides, local, formats.PatchObject{})
				}
			}
		case "TZNAME":
			put((*map[string]bool)(&r.Names), unescape(p.value), true)
		case "COMMENT":
			r.Comments = append(r.Comments, unescape(p.value))
		}
	}
	return r, r.Start != "" && r.OffsetFrom != "" && r.OffsetTo != ""
}

// readOffset turns "+0100" into "+01:00".
func readOffset(value string) string {
	value = strings.TrimSpace(value)
	if len(value) != 5 && len(value) != 7 || value[0] != '+' && value[0] != '-' {
		return ""
	}
	if _, err := strconv.Atoi(value[1:]); err != nil {
		return ""
	}
	text := value[:3] + ":" + value[3:5]
	if len(value) == 7 && value[5:] != "00" {
		text += ":" + value[5:]
	}
	return text
}

// offsetSeconds turns "+01:00" into 3600.
func offsetSeconds(offset string) int {
	digits := strings.ReplaceAll(offset, ":", "")
	n, _ := strconv.Atoi(digits[1:]) // readOffset made it
	if len(digits) == 5 {
		n *= 100
	}
	n = n/10000*3600 + n/100%100*60 + n%100
	if digits[0] == '-' {
		return -n
	}
	return n
}

// writeZone is the reverse of readZone.
func writeZone(id string, z *formats.CalendarTimeZone) component {
	c := component{name: "VTIMEZONE"}
	c.add("TZID", escape(id))
	if t, ok := parseUTC(z.Updated); ok {
		c.add("LAST-MODIFIED", formatUTC(t))
	}
	if t, ok := parseUTC(z.ValidUntil); ok {
		c.add("TZUNTIL", formatUTC(t))
	}
	if z.URL != "" {
		c.add("TZURL", escape(z.URL))
	}
	for _, rules := range []struct {
		name string
		list []formats.CalendarZoneRule
	}{{"STANDARD", z.Standard}, {"DAYLIGHT", z.Daylight}} {
		for i := range rules.list {
			if inner, ok := writeZoneRule(rules.name, &rules.list[i]); ok {
				c.components = append(c.components, inner)
			}
		}
	}
	return c
}

func writeZoneRule(name string, r *formats.CalendarZoneRule) (component, bool) {
	c := component{name: name}
	start, ok := parseLocal(r.Start)
	from, to := strings.ReplaceAll(r.OffsetFrom, ":", ""), strings.ReplaceAll(r.OffsetTo, ":", "")
	if !ok || readOffset(from) == "" || readOffset(to) == "" {
		return c, false
	}
	c.add("DTSTART", start.Format(basicLocal))
	c.add("TZOFFSETFROM", from)
	c.add("TZOFFSETTO", to)
	for i := range r.RecurrenceRules {
		if rule, ok := newZones().writeRule(&r.RecurrenceRules[i], moment{zone: utc}); ok {
			c.add("RRULE", rule)
		}
	}
	for _, key := range ids(r.RecurrenceOverrides) {
		if t, ok := parseLocal(key); ok {
			c.add("RDATE", t.Format(basicLocal))
		}
	}
	for _, tzname := range ids(r.Names) {
		c.add("TZNAME", escape(tzname))
	}
	for _, comment := range r.Comments {
		c.add("COMMENT", escape(comment))
	}
	return c, true
}

// onset is a moment from which on another offset holds.
type onset struct {
	at       int64 // Unix seconds
	from, to int   // seconds east of UTC
	daylight bool
}

// Years in which the rules of a calendar's own zone are followed.
const firstYear, lastYear = 1900, 2200

// follow makes a location of a zone that a calendar defines. It returns nil if a rule is not of the kind that zones
// have: once, on certain dates, or every year in one month on a day.
func follow(z *formats.CalendarTimeZone) *time.Location {
	var onsets []onset
	for _, rules := range []struct {
		list     []formats.CalendarZoneRule
		daylight bool
	}{{z.Standard, false}, {z.Daylight, true}} {
		for i := range rules.list {
			times, ok := onsetTimes(&rules.list[i])
			if !ok {
				return nil
			}
			from, to := offsetSeconds(rules.list[i].OffsetFrom), offsetSeconds(rules.list[i].OffsetTo)
			for _, t := range times {
				onsets = append(onsets, onset{t.Unix() - int64(from), from, to, rules.daylight})
			}
		}
	}
	if len(onsets) == 0 || len(onsets) > 4000 {
		return nil
	}
	slices.SortStableFunc(onsets, func(a, b onset) int { return int(max(-1, min(1, a.at-b.at))) })
	return locationOf(z.TZID, onsets)
}

// onsetTimes lists when a rule sets in, by the clock before.
func onsetTimes(r *formats.CalendarZoneRule) ([]time.Time, bool) {
	start, ok := parseLocal(r.Start)
	if !ok || len(r.RecurrenceRules) > 1 || len(r.RecurrenceOverrides) > 1000 {
		return nil, false
	}
	times := []time.Time{start}
	for key := range r.RecurrenceOverrides {
		if t, ok := parseLocal(key); ok {
			times = append(times, t)
		}
	}
	if len(r.RecurrenceRules) == 0 {
		return times, true
	}
	rule := &r.RecurrenceRules[0]
	if rule.Frequency != "yearly" || rule.Interval > 1 || len(rule.ByMonth) > 1 || rule.Count > 0 {
		return nil, false
	}
	until := time.Date(lastYear, 1, 1, 0, 0, 0, 0, time.UTC)
	if t, ok := parseLocal(rule.Until); ok {
		until = t.Add(time.Duration(offsetSeconds(r.OffsetFrom)) * time.Second) // UNTIL is UTC here
	}
	for year := max(start.Year(), firstYear); year <= lastYear; year++ {
		t, ok := yearly(rule, start, year)
		if !ok {
			return nil, false
		}
		if t.After(start) && !t.After(until) {
			times = append(times, t)
		}
	}
	return times, true
}

var weekdays = []string{"su", "mo", "tu", "we", "th", "fr", "sa"}

// yearly returns when in a year the rule of a zone sets in.
func yearly(r *formats.RecurrenceRule, start time.Time, year int) (time.Time, bool) {
	month := int(start.Month())
	if len(r.ByMonth) == 1 {
		month, _ = strconv.Atoi(r.ByMonth[0])
	}
	day := time.Date(year, time.Month(month), start.Day(), start.Hour(), start.Minute(), start.Second(), 0, time.UTC)
	if len(r.ByDay) == 0 {
		return day, len(r.ByMonthDay) == 0 || len(r.ByMonthDay) == 1 && r.ByMonthDay[0] == start.Day()
	}
	weekday := time.Weekday(slices.Index(weekdays, r.ByDay[0].Day))
	nth := r.ByDay[0].NthOfPeriod
	switch {
	case len(r.ByDay) != 1 || month < 1 || month > 12:
		return day, false
	case len(r.ByMonthDay) == 7 && nth == 0: // the first such day from a date on
		return onOrAfter(day.AddDate(0, 0, slices.Min(r.ByMonthDay)-day.Day()), weekday), true
	case len(r.ByMonthDay) > 0 || nth == 0 || nth < -5 || nth > 5:
		return day, false
	case nth > 0:
		return onOrAfter(day.AddDate(0, 0, 1-day.Day()), weekday).AddDate(0, 0, 7*(nth-1)), true
	}
	next := day.AddDate(0, 0, 1-day.Day()).AddDate(0, 1, 0)
	return onOrAfter(next, weekday).AddDate(0, 0, 7*nth), true
}

func onOrAfter(t time.Time, weekday time.Weekday) time.Time {
	return t.AddDate(0, 0, (int(weekday-t.Weekday())+7)%7)
}

// locationOf makes a location that changes its offset at those moments, which are in order. The time package takes
// them in the form of a file of the zone database (RFC 9636).
func locationOf(name string, onsets []onset) *time.Location {
	var kinds []onset // of which only to and daylight count
	kind := func(to int, daylight bool) int {
		same := func(k onset) bool { return k.to == to && k.daylight == daylight }
		if i := slices.IndexFunc(kinds, same); i >= 0 {
			return i
		}
		kinds = append(kinds, onset{to: to, daylight: daylight})
		return len(kinds) - 1
	}
	kind(onsets[0].from, false) // what held before
	var times, indexes, types bytes.Buffer
	for i, o := range onsets {
		if i > 0 && o.at == onsets[i-1].at {
			continue
		}
		binary.Write(&times, binary.BigEndian, o.at)
		indexes.WriteByte(byte(kind(o.to, o.daylight)))
	}
	for _, k := range kinds {
		binary.Write(&types, binary.BigEndian, int32(k.to))
		types.WriteByte(byte(boolInt(k.daylight)))
		types.WriteByte(0)
	}
	if len(kinds) > 255 {
		return nil
	}
	header := func(times, kinds, chars int) []byte {
		b := append([]byte("TZif2"), make([]byte, 15)...)
		for _, n := range []int{0, 0, 0, times, kinds, chars} {
			b = binary.BigEndian.AppendUint32(b, uint32(n))
		}
		return b
	}
	file := append(header(0, 0, 0), header(indexes.Len(), len(kinds), 1)...)
	file = slices.Concat(file, times.Bytes(), indexes.Bytes(), types.Bytes(), []byte{0}, []byte("\n\n"))
	place, err := time.LoadLocationFromTZData(name, file)
	if err != nil {
		return nil
	}
	return place
}

func boolInt(b bool) int {
	if b {
		return 1
	}
	return 0
}
