package icalendar

import (
	"strings"

	"github.com/passerelle-cloud/passerelle/formats"
)

// span takes the properties that say when something starts and ends.
func (d *decoded) span(p *property) bool {
	switch p.name {
	case "DTSTART":
		m, ok := d.z.moment(p, p.value)
		if !ok || m != d.start {
			return false // it is not a time, or said twice
		}
		timed(p)
		return true
	case "DTEND":
		return !d.task && d.end(p)
	case "DUE":
		return d.task && d.due(p)
	}
	value := strings.TrimPrefix(strings.ToUpper(strings.TrimSpace(p.value)), "+")
	into := &d.event.EstimatedDuration
	if !d.task && p.name == "DURATION" {
		into = &d.event.Duration
		d.hasEnd = true
	}
	if !isDuration(value) || value[0] == '-' || *into != "" || !d.task && into == &d.event.EstimatedDuration {
		return false
	}
	*into = value
	return true
}

// timed takes the parameters that say what kind of time a value is.
func timed(p *property) {
	delete(p.params, "value")
	delete(p.params, "tzid")
}

// end takes the end of an event: a duration, and if it is in another zone that of the place where the event ends.
func (d *decoded) end(p *property) bool {
	m, ok := d.z.moment(p, p.value)
	d.hasEnd = true
	if !ok || !d.begun || d.event.Duration != "" {
		return false
	}
	duration, ok := d.z.elapsed(d.start, m)
	if !ok {
		return false
	}
	if duration == "P0D" {
		duration = "P1D" // programs that count the last day
	}
	d.event.Duration = duration
	timed(p)
	if m.zone != d.start.zone && m.zone != "" && m.zone != utc && d.start.zone != "" {
		put(&d.event.Locations, nextID(d.event.Locations, p), formats.CalendarLocation{RelativeTo: "end", TimeZone: m.zone})
	}
	delete(p.params, jsIDParam)
	return true
}

func (d *decoded) due(p *property) bool {
	m, ok := d.z.moment(p, p.value)
	if !ok || m.date != d.start.date || d.event.Due != "" || (m.zone == "") != (d.start.zone == "") {
		return false
	}
	d.event.Due = d.z.in(m, d.start.zone)
	timed(p)
	return true
}

// recurrence takes the properties that say when something happens again.
func (d *decoded) recurrence(p *property) bool {
	if !d.begun {
		return false
	}
	e := &d.event
	switch p.name {
	case "RRULE", "EXRULE":
		rule, ok := d.z.readRule(p.value, d.start)
		if !ok {
			return false
		}
		if p.name == "RRULE" {
			e.RecurrenceRules = append(e.RecurrenceRules, rule)
		} else {
			e.ExcludedRules = append(e.ExcludedRules, rule)
		}
		return true
	case "RECURRENCE-ID":
		m, ok := d.z.moment(p, p.value)
		if !ok || e.RecurrenceID != "" {
			return false
		}
		e.RecurrenceID, e.RecurrenceIDTimeZone = m.local, m.zone
		timed(p)
		return true
	}
	return d.dates(p)
}

// dates takes RDATE and EXDATE: all of their values or none.
func (d *decoded) dates(p *property) bool {
	found := map[string]formats.PatchObject{}
	for value := range strings.SplitSeq(p.value, ",") {
		begin, end, isPeriod := strings.Cut(value, "/")
		m, ok := d.z.moment(p, begin)
		if !ok {
			return false
		}
		patch := formats.PatchObject{}
		if p.name == "EXDATE" {
			patch["excluded"] = []byte("true")
		}
		if isPeriod {
			duration, ok := d.period(p, m, end)
			if !ok {
				return false
			}
			patch["duration"] = jsonString(duration)
		}
		found[d.z.occurrence(m, d.start)] = patch
	}
	for key, patch := range found {
		if _, twice := d.event.RecurrenceOverrides[key]; !twice || p.name == "EXDATE" {
			put(&d.event.RecurrenceOverrides, key, patch)
		}
	}
	timed(p)
	return true
}

// period returns the duration of a period, of which the end is a time or a duration.
func (d *decoded) period(p *property, from moment, end string) (string, bool) {
	if value := strings.TrimPrefix(strings.ToUpper(end), "+"); isDuration(value) && value[0] != '-' {
		return value, true
	}
	to, ok := d.z.moment(p, end)
	if !ok {
		return "", false
	}
	return d.z.elapsed(from, to)
}

// occurrence returns the key in recurrenceOverrides of the occurrence at m, of something that starts at start. A date
// means the occurrence on that day.
func (z *zones) occurrence(m, start moment) string {
	switch {
	case start.date:
		return z.in(m, start.zone)[:len(dateForm)] + midnight
	case m.date && start.local != "":
		return m.local[:len(dateForm)] + start.local[len(dateForm):]
	}
	return z.in(m, start.zone)
}

// grouping takes what tells to what something belongs.
func (d *decoded) grouping(p *property) bool {
	e := &d.event
	switch p.name {
	case "CATEGORIES":
		if len(p.params) > 0 {
			return false
		}
		for _, word := range texts(p.value) {
			put((*map[string]bool)(&e.Keywords), word, true)
		}
		return true
	case "CONCEPT":
		put((*map[string]bool)(&e.Categories), p.value, true)
		return true
	}
	key := unescape(p.value)
	if _, twice := e.RelatedTo[key]; twice {
		return false
	}
	put(&e.RelatedTo, key, readRelation(p))
	return true
}

// readRelation reads the kind of a RELATED-TO, which is the parent by default (RFC 5545 section 3.2.15).
func readRelation(p *property) formats.CalendarRelation {
	relation := formats.Set{"parent": true}
	if kind := p.take("reltype"); kind != "" {
		relation = formats.SetOf(strings.ToLower(kind))
	}
	return formats.CalendarRelation{Relation: relation}
}
