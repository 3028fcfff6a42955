package icalendar

import (
	"cmp"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/passerelle-cloud/passerelle/formats"
)

// encoder collects the properties that say what an event or a task says.
type encoder struct {
	z     *zones
	c     component
	event *formats.Event
	task  bool
	start moment
}

// encode returns the component of an event or task. Of what iCalendar cannot say, it says as much as it can: what is
// then missing or different is found by comparing, see missing. Of an overridden instance, occurrence is which one.
func (z *zones) encode(event *formats.Event, task bool, occurrence *moment) component {
	e := &encoder{z: z, c: component{name: "VEVENT"}, event: event, task: task}
	if task {
		e.c.name = "VTODO"
	}
	if event.UID != "" {
		e.c.add("UID", escape(event.UID))
	}
	e.span()
	e.occurrence(occurrence)
	e.repetition()
	e.texts()
	e.stamps()
	e.things()
	e.people()
	e.alarms()
	if kept := event.ICalComponent; kept != nil {
		e.c.merge(kept.Properties, kept.Components)
	}
	return e.c
}

// add adds a property, and returns it to be completed.
func (c *component) add(name, value string) *property {
	c.properties = append(c.properties, property{name: name, value: value, params: formats.Params{}})
	return &c.properties[len(c.properties)-1]
}

// object adds the property of the nth object of a map, from 0.
func (e *encoder) object(n int, id, name, value string) *property {
	p := e.c.add(name, value)
	number(n, id, p)
	return p
}

// number says the id of the nth object of a map, from 0, if it is not its number, and reports whether it did.
func number(n int, id string, p *property) bool {
	if id == strconv.Itoa(n+1) {
		return false
	}
	p.set(jsIDParam, id)
	return true
}

// ids returns the ids of a map, numbers first and by their value.
func ids[T any, M ~map[string]T](m M) []string {
	return slices.SortedFunc(maps.Keys(m), func(a, b string) int {
		n, errA := strconv.Atoi(a)
		k, errB := strconv.Atoi(b)
		switch {
		case errA == nil && errB == nil && n != k:
			return cmp.Compare(n, k)
		case (errA == nil) != (errB == nil):
			return cmp.Compare(boolInt(errB == nil), boolInt(errA == nil))
		}
		return cmp.Compare(a, b)
	})
}

// time adds a time of the event: a date, UTC, floating, or with the id of its zone.
func (e *encoder) time(name string, m moment) {
	p := e.c.add(name, "")
	p.value = e.z.format(p, m)
}

// format returns a time in the form of iCalendar, and gives p the parameters that it needs.
func (z *zones) format(p *property, m moment) string {
	t, _ := parseLocal(m.local)
	switch {
	case m.date:
		p.set("value", "DATE")
		return t.Format(basicDate)
	case m.zone == utc:
		return formatUTC(t)
	case m.zone != "":
		p.set("tzid", z.id(m.zone))
	}
	return t.Format(basicLocal)
}

// span adds when it starts and ends.
func (e *encoder) span() {
	v := e.event
	_, hasStart := parseLocal(v.Start)
	anchor := v.Start
	if !hasStart && e.task {
		anchor = v.Due
	}
	e.start = moment{
		local: anchor, zone: v.TimeZone, date: v.ShowWithoutTime && v.TimeZone == "" && strings.HasSuffix(anchor, midnight),
	}
	if hasStart {
		e.time("DTSTART", e.start)
	}
	if e.task {
		e.due(hasStart)
	} else if hasStart {
		e.end()
	}
}

func (e *encoder) due(hasStart bool) {
	_, hasDue := parseLocal(e.event.Due)
	if hasDue && (!e.start.date || strings.HasSuffix(e.event.Due, midnight)) {
		e.time("DUE", moment{local: e.event.Due, zone: e.start.zone, date: e.start.date})
	}
	if !isDuration(e.event.EstimatedDuration) {
		return
	}
	if hasStart && !hasDue {
		e.c.add("DURATION", e.event.EstimatedDuration)
	} else {
		e.c.add("ESTIMATED-DURATION", e.event.EstimatedDuration)
	}
}

// end adds the duration, or the end where that is in another zone.
func (e *encoder) end() {
	duration := e.event.Duration
	if e.keeps("dtend") || e.keeps("duration") {
		return
	}
	if e.start.date {
		_, days, seconds, ok := parseDuration(duration)
		if !ok || strings.Contains(duration, "T") { // without a word it would be a day
			duration = "P" + strconv.FormatInt(days+(seconds+86399)/86400, 10) + "D"
		}
	}
	for n, id := range ids(e.event.Locations) {
		v := e.event.Locations[id]
		if v.RelativeTo != "end" || v.TimeZone == "" || v.TimeZone == e.start.zone || e.start.zone == "" || e.z.location(v.TimeZone) == nil {
			continue
		}
		if end, ok := e.z.addDuration(e.event.Start, e.start.zone, duration); ok && end.zone == utc {
			e.time("DTEND", moment{local: e.z.in(end, v.TimeZone), zone: v.TimeZone})
			number(n, id, &e.c.properties[len(e.c.properties)-1])
			return
		}
	}
	if isDuration(duration) {
		e.c.add("DURATION", duration)
	}
}

// keeps reports whether the event has a property as it came.
func (e *encoder) keeps(name string) bool {
	if e.event.ICalComponent == nil {
		return false
	}
	return slices.ContainsFunc(e.event.ICalComponent.Properties, func(p formats.Property) bool { return p.Name == name })
}

// occurrence adds which instance this is.
func (e *encoder) occurrence(m *moment) {
	if m == nil {
		_, ok := parseLocal(e.event.RecurrenceID)
		if !ok {
			return
		}
		zone := e.event.RecurrenceIDTimeZone
		date := zone == "" && e.event.ShowWithoutTime && strings.HasSuffix(e.event.RecurrenceID, midnight)
		m = &moment{local: e.event.RecurrenceID, zone: zone, date: date}
	}
	e.time("RECURRENCE-ID", *m)
}

// repetition adds the rules, and the dates beside them.
func (e *encoder) repetition() {
	v := e.event
	for i := range v.RecurrenceRules {
		if rule, ok := e.z.writeRule(&v.RecurrenceRules[i], e.start); ok {
			e.c.add("RRULE", rule)
		}
	}
	for i := range v.ExcludedRules {
		if rule, ok := e.z.writeRule(&v.ExcludedRules[i], e.start); ok {
			e.c.add("EXRULE", rule)
		}
	}
	var more, less []string
	for _, key := range slices.Sorted(maps.Keys(v.RecurrenceOverrides)) {
		patch := v.RecurrenceOverrides[key]
		switch _, ok := parseLocal(key); {
		case !ok || e.start.date && !strings.HasSuffix(key, midnight):
		case string(patch["excluded"]) == "true":
			less = append(less, key)
		case len(patch) == 0 || !isRegular(v, key):
			more = append(more, key)
		}
	}
	e.dates("RDATE", more)
	e.dates("EXDATE", less)
}

func (e *encoder) dates(name string, keys []string) {
	if len(keys) == 0 || e.start.local == "" {
		return
	}
	p := e.c.add(name, "")
	var values []string
	for _, key := range keys {
		values = append(values, e.z.format(p, moment{local: key, zone: e.start.zone, date: e.start.date}))
	}
	p.value = strings.Join(values, ",")
}

// texts adds what it is about.
func (e *encoder) texts() {
	v := e.event
	for _, t := range []struct{ name, value string }{
		{"SUMMARY", v.Title}, {"DESCRIPTION", v.Description}, {"COLOR", v.Color},
	} {
		if t.value != "" {
			e.c.add(t.name, escape(t.value))
		}
	}
	if v.RequestStatus != "" {
		e.c.add("REQUEST-STATUS", v.RequestStatus)
	}
	if len(v.Keywords) > 0 {
		e.c.add("CATEGORIES", joinTexts(slices.Sorted(maps.Keys(v.Keywords))))
	}
	for _, concept := range slices.Sorted(maps.Keys(v.Categories)) {
		e.c.add("CONCEPT", concept)
	}
	for _, key := range slices.Sorted(maps.Keys(v.RelatedTo)) {
		writeRelation(&e.c, key, v.RelatedTo[key])
	}
	e.word("CLASS", words["CLASS"], v.Privacy)
	e.word("TRANSP", words["TRANSP"], v.FreeBusyStatus)
	if e.task {
		e.word("STATUS", words[progress], v.Progress)
	} else {
		e.word("STATUS", words["STATUS"], v.Status)
	}
}

// writeRelation is the reverse of readRelation.
func writeRelation(c *component, key string, r formats.CalendarRelation) {
	p := c.add("RELATED-TO", escape(key))
	if kinds := ids(r.Relation); len(kinds) > 0 && kinds[0] != "parent" {
		p.set("reltype", strings.ToUpper(kinds[0]))
	}
}

func (e *encoder) word(name string, list map[string]string, value string) {
	for word, meaning := range list {
		if meaning == value {
			e.c.add(name, word)
		}
	}
}

// stamps adds numbers and moments.
func (e *encoder) stamps() {
	v := e.event
	for _, n := range []struct {
		name  string
		value int
	}{{"SEQUENCE", v.Sequence}, {"PRIORITY", v.Priority}, {"PERCENT-COMPLETE", v.PercentComplete}} {
		if n.value > 0 && (e.task || n.name != "PERCENT-COMPLETE") {
			e.c.add(n.name, strconv.Itoa(n.value))
		}
	}
	for _, s := range []struct{ name, value string }{
		{"CREATED", v.Created}, {"LAST-MODIFIED", v.Updated}, {"COMPLETED", v.ProgressUpdated},
	} {
		if t, ok := parseUTC(s.value); ok && (e.task || s.name != "COMPLETED") {
			e.c.add(s.name, formatUTC(t))
		}
	}
}

// merge adds what is kept as it came. A property with parameters whose name and value are there already gives that
// one its parameters.
func (c *component) merge(properties []formats.Property, components []formats.Component) {
	made := len(c.properties)
	for _, j := range properties {
		p, ok := fromJSON(j)
		if !ok {
			continue
		}
		same := slices.IndexFunc(c.properties[:made], func(m property) bool { return m.name == p.name && m.value == p.value })
		if same < 0 || len(p.params) == 0 {
			c.properties = append(c.properties, p)
			continue
		}
		maps.Copy(c.properties[same].params, p.params)
	}
	for _, j := range components {
		if inner, ok := fromJCal(j, 1); ok {
			c.components = append(c.components, inner)
		}
	}
}
