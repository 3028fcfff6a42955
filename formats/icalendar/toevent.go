package icalendar

import (
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/passerelle-cloud/passerelle/formats"
)

// Properties of ours, for what neither iCalendar nor JSCalendar says of a record. A reader that does not know them
// ignores them.
const (
	jsProp      = "JSPROP"                // what only JSCalendar says, as a patch; parameter JSPTR is the pointer
	jsID        = "JSID"                  // the id of an object in its map, where that is not its number
	ownID       = "X-PASSERELLE-ID"       // the record's id, where it is not the UID
	ownLink     = "X-PASSERELLE-LINK"     // a link of the record; parameters REL and DATASET
	ownCreated  = "X-PASSERELLE-CREATED"  // the record's time, where CREATED cannot say it
	ownModified = "X-PASSERELLE-MODIFIED" // the same for LAST-MODIFIED
	ownPrefix   = "X-PASSERELLE-"         // before the name of a component that would mean something else
	ownBy       = "x-passerelle-by"       // "record": only the record's envelope says this time, not its body
	byRecord    = "record"
)

// envelope is what a component says of its record beside the body.
type envelope struct {
	id       string
	links    []formats.Link
	created  time.Time
	modified time.Time
	patches  formats.PatchObject // from JSPROP
}

// decoded is what one VEVENT or VTODO says.
type decoded struct {
	envelope
	z     *zones
	task  bool
	event formats.Event
	start moment // what durations and recurrences count from
	begun bool   // start is known

	hasEnd    bool
	place     string // id of the location that LOCATION and GEO mean
	stamped   string // DTSTAMP
	organizer *property
	attendees map[string]*property // by id
	addresses map[string]string    // ids of participants by their address in lower case
	wonted    map[string]string    // ids that they have in the event of which this is an instance
	kept      []property           // that JSCalendar has no place for
	inner     []component          // likewise
	spares    []property           // with the parameters that it has no place for
}

// decode reads a VEVENT or VTODO. Of an instance, those who take part keep the ids that they have in the event.
func (z *zones) decode(c *component, of *formats.Event) *decoded {
	d := &decoded{
		z: z, task: c.name == "VTODO",
		attendees: map[string]*property{}, addresses: map[string]string{}, wonted: map[string]string{},
	}
	if of != nil {
		for id, v := range of.Participants {
			d.wonted[strings.ToLower(address(&v))] = id
		}
	}
	d.begin(c)
	for i := range c.properties {
		p := c.properties[i].clone()
		switch {
		case strings.Trim(p.value, ";, ") == "":
		case !d.property(&p):
			d.kept = append(d.kept, c.properties[i])
		default:
			d.spare(&p)
		}
	}
	d.people()
	for i := range c.components {
		if c.components[i].name != "VALARM" || !d.alarm(&c.components[i]) {
			d.inner = append(d.inner, c.components[i])
		}
	}
	d.finish()
	return d
}

// begin reads the time that the others count from: DTSTART, else of an overridden instance RECURRENCE-ID, else of a
// task DUE.
func (d *decoded) begin(c *component) {
	for _, name := range []string{"DTSTART", "RECURRENCE-ID", "DUE"} {
		p := c.first(name)
		if p == nil || name == "DUE" && !d.task {
			continue
		}
		m, ok := d.z.moment(p, p.value)
		if !ok {
			continue
		}
		d.start, d.begun = m, true
		d.event.TimeZone, d.event.ShowWithoutTime = m.zone, m.date
		if name != "DUE" {
			d.event.Start = m.local
		}
		return
	}
}

// spare notes a property of which parameters are left.
func (d *decoded) spare(p *property) {
	if len(p.params) > 0 {
		d.spares = append(d.spares, *p)
	}
}

// property takes a property into the event. It returns false for one that JSCalendar has no place for.
func (d *decoded) property(p *property) bool {
	e := &d.event
	switch p.name {
	case "UID":
		return text(p, &e.UID)
	case "SUMMARY":
		return text(p, &e.Title)
	case "DESCRIPTION":
		return text(p, &e.Description)
	case "COLOR":
		return text(p, &e.Color)
	case "REQUEST-STATUS":
		if e.RequestStatus != "" {
			return false
		}
		e.RequestStatus = p.value // a code, a text and more, parted by semicolons
		return true
	case "SEQUENCE":
		return natural(p, &e.Sequence, 1<<31-1)
	case "PRIORITY":
		return natural(p, &e.Priority, 9)
	case "PERCENT-COMPLETE":
		return d.task && natural(p, &e.PercentComplete, 100)
	case "STATUS", "TRANSP", "CLASS":
		return d.word(p)
	case "CREATED", "LAST-MODIFIED", "DTSTAMP", "COMPLETED":
		return d.times(p)
	case "DTSTART", "DTEND", "DUE", "DURATION", "ESTIMATED-DURATION":
		return d.span(p)
	case "RRULE", "EXRULE", "RDATE", "EXDATE", "RECURRENCE-ID":
		return d.recurrence(p)
	case "CATEGORIES", "CONCEPT", "RELATED-TO":
		return d.grouping(p)
	case "LOCATION", "GEO", "CONFERENCE", "URL", "ATTACH", "IMAGE", "LINK":
		return d.thing(p)
	case "ATTENDEE", "ORGANIZER":
		return d.person(p)
	}
	return d.own(p)
}

// text takes a text that may be said once.
func text(p *property, into *string) bool {
	if *into != "" {
		return false
	}
	*into = unescape(p.value)
	return true
}

// natural takes a number from 0, which is as if it were not said.
func natural(p *property, into *int, most int) bool {
	n, err := strconv.ParseInt(strings.TrimSpace(p.value), 10, 32)
	if err != nil || n < 0 || int(n) > most || *into != 0 {
		return false
	}
	*into = int(n)
	return true
}

// words are those of iCalendar that JSCalendar has another word for, or a word at all.
var words = map[string]map[string]string{
	"STATUS": {"CONFIRMED": "confirmed", "TENTATIVE": "tentative", "CANCELLED": "cancelled"},
	"TRANSP": {"OPAQUE": "busy", "TRANSPARENT": "free"},
	"CLASS":  {"PUBLIC": "public", "PRIVATE": "private", "CONFIDENTIAL": "secret"},
	progress: {
		"NEEDS-ACTION": "needs-action", "IN-PROCESS": "in-process", "COMPLETED": "completed", "CANCELLED": "cancelled",
		"FAILED": "failed",
	},
}

// progress is the status of a task.
const progress = "STATUS of a task"

func (d *decoded) word(p *property) bool {
	list, into := words[p.name], &d.event.Status
	switch {
	case p.name == "TRANSP":
		into = &d.event.FreeBusyStatus
	case p.name == "CLASS":
		into = &d.event.Privacy
	case d.task:
		list, into = words[progress], &d.event.Progress
	}
	word := list[strings.ToUpper(strings.TrimSpace(p.value))]
	if word == "" || *into != "" {
		return false
	}
	*into = word
	return true
}

func (d *decoded) times(p *property) bool {
	text, t, ok := p.stamp()
	by := p.take(ownBy)
	switch {
	case !ok:
		return false
	case p.name == "DTSTAMP":
		if by != byRecord {
			d.stamped = text
		}
		return true
	case p.name == "COMPLETED":
		if !d.task || d.event.ProgressUpdated != "" {
			return false
		}
		d.event.ProgressUpdated = text
		return true
	}
	into, at := &d.event.Created, &d.created
	if p.name == "LAST-MODIFIED" {
		into, at = &d.event.Updated, &d.modified
	}
	if *into != "" {
		return false
	}
	if at.IsZero() {
		*at = t
	}
	if by != byRecord {
		*into = text
	}
	return true
}

// own takes the properties that say what the record has beside its body.
func (v *envelope) own(p *property) bool {
	switch p.name {
	case ownID:
		v.id = unescape(p.value)
	case ownLink:
		link := formats.Link{Rel: p.take("rel"), Dataset: formats.Dataset(p.take("dataset")), ID: unescape(p.value)}
		if r := (formats.Record{ID: link.ID, Dataset: link.Dataset, Kind: formats.KindDocument}); link.Rel != "" && r.Validate() == nil {
			v.links = append(v.links, link)
		}
	case ownCreated, ownModified:
		at, err := time.Parse(time.RFC3339Nano, p.value)
		at = at.UTC()
		switch {
		case err != nil || at.Year() < 0 || at.Year() > 9999:
		case p.name == ownCreated:
			v.created = at
		default:
			v.modified = at
		}
	case jsProp:
		value := json.RawMessage(unescape(p.value))
		pointer, ok := p.params["jsptr"]
		if !ok || len(pointer) != 1 || !json.Valid(value) {
			return false
		}
		put((*map[string]json.RawMessage)(&v.patches), pointer[0], value)
		delete(p.params, "jsptr")
	default:
		return false
	}
	clear(p.params)
	return true
}

// finish completes what depends on several properties.
func (d *decoded) finish() {
	e := &d.event
	if e.Updated == "" && d.modified.IsZero() {
		e.Updated = d.stamped
	}
	if d.begun && d.start.date && !d.task {
		switch {
		case e.Duration == "" && !d.hasEnd:
			e.Duration = "P1D" // RFC 5545 section 3.6.1
		case e.Duration == "P0D":
			e.Duration = ""
		}
	}
	for _, name := range []string{e.TimeZone, e.RecurrenceIDTimeZone} {
		if custom := d.z.named(name); custom != nil {
			put(&e.TimeZones, name, custom.definition)
		}
	}
	d.keepSpares()
	if len(d.kept)+len(d.inner) > 0 {
		all := toJCal(&component{properties: d.kept, components: d.inner})
		e.ICalComponent = &formats.ICalComponent{Name: d.name(), Properties: all.Properties, Components: all.Components}
	}
}

func (d *decoded) name() string {
	if d.task {
		return "vtodo"
	}
	return "vevent"
}

// keepSpares keeps parameters that are left: as a property of the same name and value as the one that writing will
// make, which then merges them.
func (d *decoded) keepSpares() {
	if len(d.spares) == 0 {
		return
	}
	written := d.z.encode(&d.event, d.task, nil)
	for _, p := range d.spares {
		alike := func(w property) bool { return w.name == p.name && unescape(w.value) == unescape(p.value) }
		i := slices.IndexFunc(written.properties, alike)
		if i < 0 {
			i = slices.IndexFunc(written.properties, func(w property) bool { return w.name == p.name })
		}
		if i >= 0 {
			p.value = written.properties[i].value
			if v := written.properties[i].param("value"); v != "" {
				p.set("value", v)
			}
		}
		d.kept = append(d.kept, p)
	}
}

// body returns the body as JSON.
func (d *decoded) body() (json.RawMessage, error) {
	var plain any = d.event
	kind := formats.KindEvent
	if d.task {
		plain, kind = formats.Task(d.event), formats.KindTask
	}
	body, err := formats.MarshalBody(plain)
	if err != nil {
		return nil, err
	}
	return d.patched(kind, body), nil
}

// maxPatches is how many patches are tried one by one.
const maxPatches = 200

// patched applies the patches to a body. Those that would make it something else than its kind is, as only somebody
// else's can, are left out.
func (v *envelope) patched(kind formats.Kind, body json.RawMessage) json.RawMessage {
	if len(v.patches) == 0 {
		return body
	}
	if all, err := v.patches.Apply(body); err == nil && formats.CheckBody(kind, all) == nil {
		return all
	}
	if len(v.patches) > maxPatches {
		return body
	}
	for _, pointer := range slices.Sorted(maps.Keys(v.patches)) {
		one, err := formats.PatchObject{pointer: v.patches[pointer]}.Apply(body)
		if err == nil && formats.CheckBody(kind, one) == nil {
			body = one
		}
	}
	return body
}

// put adds to a map that may not be made yet.
func put[T any](m *map[string]T, id string, v T) {
	if *m == nil {
		*m = map[string]T{}
	}
	(*m)[id] = v
}

// nextID returns the id of an object: what JSID says, else its number in the map.
func nextID[T any](m map[string]T, p *property) string {
	if id := p.take(jsIDParam); id != "" {
		if _, used := m[id]; !used {
			return id
		}
	}
	number := strconv.Itoa(len(m) + 1)
	id := number
	for n := 2; ; n++ {
		if _, used := m[id]; !used {
			return id
		}
		id = number + "-" + strconv.Itoa(n)
	}
}

const jsIDParam = "jsid"
