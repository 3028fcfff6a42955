package icalendar

import (
	"slices"
	"time"

	"github.com/passerelle-cloud/passerelle/formats"
)

// isRegular reports whether the rules of an event surely give the occurrence at a local time. Of a rule that is not
// one of the ordinary ones it says no: then an RDATE says that there is an occurrence, which does no harm where there
// is one anyway (RFC 5545 section 3.8.5.2).
func isRegular(event *formats.Event, key string) bool {
	start, okStart := parseLocal(event.Start)
	t, okKey := parseLocal(key)
	if !okStart || !okKey || t.Before(start) || start.Format(time.TimeOnly) != t.Format(time.TimeOnly) {
		return false
	}
	if len(event.ExcludedRules) > 0 {
		return false
	}
	return t.Equal(start) || slices.ContainsFunc(event.RecurrenceRules, func(r formats.RecurrenceRule) bool {
		return isPlain(&r) && !ended(&r, t) && gives(&r, start, t)
	})
}

// isPlain reports whether a rule only has what gives looks at.
func isPlain(r *formats.RecurrenceRule) bool {
	return r.RScale == "" && r.Count == 0 && len(r.ByYearDay)+len(r.ByWeekNo)+len(r.ByHour)+len(r.ByMinute)+len(r.BySecond)+
		len(r.BySetPosition)+len(r.ByMonth) == 0
}

func ended(r *formats.RecurrenceRule, t time.Time) bool {
	until, ok := parseLocal(r.Until)
	return r.Until != "" && (!ok || t.After(until))
}

// gives reports whether a plain rule gives an occurrence on the day of t.
func gives(r *formats.RecurrenceRule, start, t time.Time) bool {
	interval := max(r.Interval, 1)
	months := (t.Year()-start.Year())*12 + int(t.Month()-start.Month())
	switch r.Frequency {
	case "daily":
		return len(r.ByDay)+len(r.ByMonthDay) == 0 && days(start, t)%interval == 0
	case "weekly":
		first := time.Weekday(max(slices.Index(weekdays, r.FirstDayOfWeek), 0))
		if r.FirstDayOfWeek == "" {
			first = time.Monday
		}
		weeks := days(weekOf(start, first), weekOf(t, first)) / 7
		return len(r.ByMonthDay) == 0 && weeks%interval == 0 && onWeekday(r.ByDay, start, t)
	case "monthly":
		return months%interval == 0 && onDayOfMonth(r, start, t)
	case "yearly":
		return len(r.ByDay)+len(r.ByMonthDay) == 0 && months%(12*interval) == 0 && start.Day() == t.Day()
	}
	return false
}

func days(from, to time.Time) int { return int(to.Sub(from) / (24 * time.Hour)) }

// weekOf returns the first day of the week in which t is.
func weekOf(t time.Time, first time.Weekday) time.Time {
	return t.AddDate(0, 0, -(int(t.Weekday()-first)+7)%7)
}

func onWeekday(list []formats.NDay, start, t time.Time) bool {
	if len(list) == 0 {
		return start.Weekday() == t.Weekday()
	}
	return slices.ContainsFunc(list, func(d formats.NDay) bool { return d.NthOfPeriod == 0 && d.Day == weekdays[t.Weekday()] })
}

func onDayOfMonth(r *formats.RecurrenceRule, start, t time.Time) bool {
	switch {
	case len(r.ByDay) == 0 && len(r.ByMonthDay) == 0:
		return start.Day() == t.Day()
	case len(r.ByDay) == 0:
		last := t.AddDate(0, 1, -t.Day()).Day()
		return slices.Contains(r.ByMonthDay, t.Day()) || slices.Contains(r.ByMonthDay, t.Day()-last-1)
	case len(r.ByMonthDay) > 0:
		return false
	}
	return slices.ContainsFunc(r.ByDay, func(d formats.NDay) bool {
		return d.Day == weekdays[t.Weekday()] && (d.NthOfPeriod == 0 || slices.Contains(nths(t), d.NthOfPeriod))
	})
}
