package icalendar

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// Forms of times: of JSCalendar (RFC 8984 section 1.4.4) and of iCalendar (RFC 5545 section 3.3.5).
const (
	dateForm   = "2006-01-02"
	localForm  = "2006-01-02T15:04:05"
	basicDate  = "20060102"
	basicLocal = "20060102T150405"
	midnight   = "T00:00:00"
	utc        = "Etc/UTC"
)

// timeForm says in which form a time was written.
type timeForm int

const (
	noTime timeForm = iota
	dateOnly
	localTime
	utcTime
)

// parseTime reads a date or a time of iCalendar. Seconds may be missing, and "Z" may follow a date: programs write so.
func parseTime(value string) (local string, form timeForm) {
	value = strings.TrimSpace(value)
	bare := strings.TrimSuffix(value, "Z")
	for _, layout := range []string{basicLocal, "20060102T1504", basicDate} {
		t, err := time.Parse(layout, bare)
		if err != nil || len(bare) != len(layout) {
			continue
		}
		switch {
		case layout == basicDate:
			form = dateOnly
		case bare != value:
			form = utcTime
		default:
			form = localTime
		}
		return t.Format(localForm), form
	}
	return "", noTime
}

// parseLocal reads a local time of JSCalendar; a fraction of a second, which no calendar has, is cut off.
func parseLocal(local string) (time.Time, bool) {
	t, err := time.Parse(localForm, local)
	return t.Truncate(time.Second), err == nil && len(local) >= len(localForm)
}

// parseUTC reads a moment of JSCalendar.
func parseUTC(text string) (time.Time, bool) {
	t, err := time.Parse(time.RFC3339, text)
	return t.UTC().Truncate(time.Second), err == nil && strings.HasSuffix(text, "Z")
}

func formatUTC(t time.Time) string { return t.UTC().Format(basicLocal) + "Z" }

// stamp reads a property that is a moment: UTC, and a local time is taken for UTC.
func (p *property) stamp() (text string, t time.Time, ok bool) {
	local, form := parseTime(p.value)
	if form == noTime || form == dateOnly {
		return "", time.Time{}, false
	}
	t, ok = parseLocal(local)
	return local + "Z", t, ok
}

// moment is a time as a property says it.
type moment struct {
	local string // as JSCalendar writes it
	date  bool
	zone  string // by the name that JSCalendar has for it, "" if it floats
}

// moment reads a value of p, which is a time.
func (z *zones) moment(p *property, value string) (moment, bool) {
	local, form := parseTime(value)
	m := moment{local: local, date: form == dateOnly}
	switch form {
	case utcTime:
		m.zone = utc
	case localTime:
		m.zone = z.name(p.param("tzid"))
	}
	return m, form != noTime
}

// in returns the local time that a clock in another zone shows at m. A date is the same everywhere, and so is a time
// in a zone of which nothing is known.
func (z *zones) in(m moment, zone string) string {
	if m.date || m.zone == "" || zone == "" || m.zone == zone {
		return m.local
	}
	t, ok := z.instant(m.local, m.zone)
	to := z.location(zone)
	if !ok || to == nil || !writable(t.In(to)) {
		return m.local
	}
	return t.In(to).Format(localForm)
}

// writable reports whether the year of t has four digits.
func writable(t time.Time) bool { return t.Year() >= 0 && t.Year() <= 9999 }

// instant returns the moment of a local time, or false if nothing is known of the zone. Of a time that the clock shows twice it is the first, and of one that it
// skips it is as if the clock had not been changed yet (RFC 5545 section 3.3.5).
func (z *zones) instant(local, zone string) (time.Time, bool) {
	t, ok := parseLocal(local)
	location := z.location(zone)
	if !ok || location == nil || t.Year() < 1 || t.Year() > 9998 {
		return t, false
	}
	_, before := t.Add(-24 * time.Hour).In(location).Zone()
	_, after := t.Add(24 * time.Hour).In(location).Zone()
	for _, offset := range []int{max(before, after), min(before, after)} {
		at := t.Add(-time.Duration(offset) * time.Second)
		if at.In(location).Format(localForm) == t.Format(localForm) {
			return at, true
		}
	}
	return t.Add(-time.Duration(before) * time.Second), true
}

// elapsed returns the duration from one time to another: whole days where both are dates, else what a clock measures.
func (z *zones) elapsed(from, to moment) (string, bool) {
	a, okA := z.instant(from.local, from.zone)
	b, okB := z.instant(to.local, to.zone)
	if !okA || !okB { // both float, or nothing is known of a zone
		if a, okA = parseLocal(from.local); !okA {
			return "", false
		}
		if b, okB = parseLocal(to.local); !okB {
			return "", false
		}
	}
	seconds := b.Unix() - a.Unix()
	if seconds < 0 || from.date != to.date {
		return "", false
	}
	if from.date {
		return fmt.Sprintf("P%dD", seconds/86400), true
	}
	return formatSeconds(seconds), true
}

// formatSeconds writes a number of seconds as a duration.
func formatSeconds(n int64) string {
	if n == 0 {
		return "PT0S"
	}
	text := "PT"
	for _, unit := range []struct {
		length int64
		name   string
	}{{3600, "H"}, {60, "M"}, {1, "S"}} {
		if count := n / unit.length; count > 0 {
			text += strconv.FormatInt(count, 10) + unit.name
			n %= unit.length
		}
	}
	return text
}

// durationForm is what both standards call a duration: weeks, or days and a time (RFC 5545 section 3.3.6).
var durationForm = regexp.MustCompile(`^([+-]?)P(?:([0-9]{1,9})W)?(?:([0-9]{1,9})D)?(?:T(?:([0-9]{1,9})H)?(?:([0-9]{1,9})M)?(?:([0-9]{1,9})S)?)?$`)

// parseDuration splits a duration into its sign, whole days, and seconds of its time.
func parseDuration(text string) (negative bool, days, seconds int64, ok bool) {
	m := durationForm.FindStringSubmatch(text)
	if m == nil || strings.HasSuffix(text, "T") || strings.HasSuffix(text, "P") {
		return false, 0, 0, false
	}
	var n [7]int64
	for i := 2; i < len(m); i++ {
		n[i], _ = strconv.ParseInt(m[i], 10, 64) // "" is none
	}
	return m[1] == "-", 7*n[2] + n[3], 3600*n[4] + 60*n[5] + n[6], true
}

// isDuration reports whether text is a duration that both standards can say.
func isDuration(text string) bool {
	_, _, _, ok := parseDuration(text)
	return ok
}

// addDuration returns the local time a duration after another: days by the calendar, then the time by the clock.
func (z *zones) addDuration(local, zone, duration string) (moment, bool) {
	negative, days, seconds, ok := parseDuration(duration)
	start, okStart := parseLocal(local)
	const most = 400 * 366 // days; beyond, years have no four digits
	if !ok || !okStart || negative || days > most || seconds > most*86400 {
		return moment{}, false
	}
	if !writable(start.AddDate(0, 0, int(days+seconds/86400)+2)) {
		return moment{}, false
	}
	day := moment{local: start.AddDate(0, 0, int(days)).Format(localForm), zone: zone}
	t, known := z.instant(day.local, zone)
	if !known {
		t, _ = parseLocal(day.local)
		return moment{local: t.Add(time.Duration(seconds) * time.Second).Format(localForm), zone: zone}, true
	}
	return moment{local: t.Add(time.Duration(seconds) * time.Second).Format(localForm), zone: utc}, true
}
