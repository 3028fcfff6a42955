package icalendar

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/passerelle-cloud/passerelle/formats"
)

// writer is what must be known of all records before one can be written.
type writer struct {
	zones    *zones
	used     map[string]*years // by the IANA name of a zone
	title    *formats.Record   // the document that the calendar says of itself
	ownZones []component       // the zones that events define themselves
}

// years are the first and the last year in which a zone is used.
type years struct{ first, last int }

func isWritten(r *formats.Record) bool {
	return r.Dataset == formats.Calendar && r.Deleted.IsZero() && len(r.Body) > 0
}

// newWriter walks the records.
func newWriter(records formats.Records) (*writer, error) {
	b := &writer{zones: newZones(), used: map[string]*years{}}
	for r, err := range records {
		if err != nil {
			return nil, err
		}
		if !isWritten(&r) {
			continue
		}
		b.note(r.Body)
		switch r.Kind {
		case formats.KindEvent, formats.KindTask:
			if err := b.customs(&r); err != nil {
				return nil, err
			}
		case formats.KindDocument:
			if c, ok := writeDocument(&r); ok && b.title == nil && isHeader(&c) {
				b.title = &r
			}
		}
	}
	return b, nil
}

var yearForm = regexp.MustCompile(`^([0-9]{4})-[0-9]{2}-[0-9]{2}T`)

// note notes which zones a body names, and the years that it speaks of.
func (b *writer) note(body json.RawMessage) {
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.UseNumber()
	var names []string
	span := years{first: latestYear, last: earliestYear}
	before := ""
	for {
		t, err := dec.Token()
		if err != nil {
			break
		}
		text, ok := t.(string)
		if !ok {
			before = ""
			continue
		}
		if m := yearForm.FindStringSubmatch(text); m != nil {
			year, _ := strconv.Atoi(m[1])
			span.first, span.last = min(span.first, year), max(span.last, year)
		}
		if before == "tzid" || before == "timeZone" || strings.HasSuffix(before, "/timeZone") {
			names = append(names, text)
		}
		before = text
	}
	for _, name := range names {
		b.use(name, span)
	}
}

func (b *writer) use(name string, span years) {
	if name == utc || len(b.used) >= maxZones || b.zones.iana(name) != name {
		return
	}
	if known := b.used[name]; known != nil {
		known.first, known.last = min(known.first, span.first), max(known.last, span.last)
		return
	}
	b.used[name] = &span
}

// customs notes the zones that an event defines itself. Of two of one name the first is written; the event with the
// other says so in a JSPROP.
func (b *writer) customs(r *formats.Record) error {
	var e struct {
		TimeZones map[string]formats.CalendarTimeZone `json:"timeZones"`
	}
	if !bytes.Contains(r.Body, []byte(`"timeZones"`)) || json.Unmarshal(r.Body, &e) != nil {
		return nil
	}
	for _, name := range ids(e.TimeZones) {
		definition := e.TimeZones[name]
		id := cmp.Or(definition.TZID, name)
		if _, known := b.zones.names[id]; known || !strings.HasPrefix(name, "/") || len(b.zones.custom) >= maxZones {
			continue
		}
		c := writeZone(id, &definition)
		var lines bytes.Buffer
		c.write(&lines)
		if lines.Len() > maxZone {
			continue
		}
		again, err := newReader(&lines, place{}).component()
		if err != nil {
			return fmt.Errorf("%s %q: time zone %q: %w", r.Kind, r.ID, name, err)
		}
		if b.zones.define(&again); b.zones.custom[id] != nil {
			b.ownZones = append(b.ownZones, c)
		}
	}
	return nil
}

// head writes the beginning of the calendar, up to its time zones.
func (b *writer) head(w *bytes.Buffer) error {
	for _, line := range []string{"BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:" + productID, "CALSCALE:GREGORIAN"} {
		writeLine(w, line)
	}
	if b.title != nil {
		c, err := b.document(b.title, "VCALENDAR")
		if err != nil {
			return err
		}
		for i := range c.properties {
			writeLine(w, c.properties[i].line())
		}
	}
	for _, name := range slices.Sorted(maps.Keys(b.used)) {
		c := vtimezone(name, b.zones.location(name), b.used[name].first, b.used[name].last)
		c.write(w)
	}
	for i := range b.ownZones {
		b.ownZones[i].write(w)
	}
	return nil
}

// record returns the components of a record, or nothing for one that is not written here.
func (b *writer) record(r *formats.Record) ([]byte, error) {
	if !isWritten(r) {
		return nil, nil
	}
	var lines bytes.Buffer
	switch r.Kind {
	case formats.KindEvent, formats.KindTask:
		return b.event(r)
	case formats.KindDocument:
		if _, ok := writeDocument(r); !ok || b.title != nil && r.ID == b.title.ID {
			return nil, nil
		}
		c, err := b.document(r, "")
		if err != nil {
			return nil, err
		}
		err = c.fit(&lines, r)
		return lines.Bytes(), err
	}
	return nil, nil
}

// event writes an event or task, its overridden instances behind it.
func (b *writer) event(r *formats.Record) ([]byte, error) {
	var e formats.Event
	task := r.Kind == formats.KindTask
	if err := unmarshal(r, task, &e); err != nil {
		return nil, err
	}
	if e.UID == "" {
		e.UID = r.ID
	}
	c := b.zones.encode(&e, task, nil)
	stamp := func(c *component, one *formats.Event) { c.stamp(r, one) }
	stamp(&c, &e)
	c.envelope(r, e.UID, c.first("RECURRENCE-ID") != nil)
	c.times(r, &e)
	instances, err := b.zones.instances(&e, task, stamp)
	if err != nil {
		return nil, fmt.Errorf("%s %q: %w", r.Kind, r.ID, err)
	}
	patches, err := b.missing(&c, instances, r)
	if err != nil {
		return nil, fmt.Errorf("%s %q: %w", r.Kind, r.ID, err)
	}
	c.patch(patches)
	var lines bytes.Buffer
	if err := c.fit(&lines, r); err != nil {
		return nil, err
	}
	lines.Write(instances)
	return lines.Bytes(), nil
}

// fit writes a component, if it is not too large to be read again.
func (c *component) fit(w *bytes.Buffer, r *formats.Record) error {
	if c.write(w); w.Len() > maxComponent {
		return fmt.Errorf("%w: %s %q has more than %d MiB as iCalendar; make it smaller", formats.ErrInvalid, r.Kind, r.ID, maxComponent>>20)
	}
	return nil
}

func unmarshal(r *formats.Record, task bool, e *formats.Event) error {
	var err error
	if task {
		var t formats.Task
		err = json.Unmarshal(r.Body, &t)
		*e = formats.Event(t)
	} else {
		err = json.Unmarshal(r.Body, e)
	}
	if err != nil {
		return fmt.Errorf("%w: body of %s %q: %v", formats.ErrInvalid, r.Kind, r.ID, err)
	}
	return nil
}

// missing returns what somebody who reads those components does not learn of the body, or learns wrongly.
func (b *writer) missing(c *component, instances []byte, r *formats.Record) (formats.PatchObject, error) {
	var lines bytes.Buffer
	c.write(&lines)
	lines.Write(instances)
	in := newReader(&lines, place{})
	master, err := in.component()
	if err != nil {
		return nil, err
	}
	var others []component
	for {
		one, err := in.component()
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, err
		}
		others = append(others, one)
	}
	d, err := b.zones.decodeAll(&master, others)
	if err != nil {
		return nil, err
	}
	have, err := d.body()
	if err != nil {
		return nil, err
	}
	return difference(have, r)
}

func difference(have json.RawMessage, r *formats.Record) (formats.PatchObject, error) {
	var want bytes.Buffer
	if err := json.Compact(&want, r.Body); err != nil {
		return nil, fmt.Errorf("%w: body of %s %q: %v", formats.ErrInvalid, r.Kind, r.ID, err)
	}
	return formats.Difference(have, want.Bytes()), nil
}

// document returns the component of a document.
func (b *writer) document(r *formats.Record, name string) (component, error) {
	c, _ := writeDocument(r)
	c.name = cmp.Or(name, c.name)
	c.envelope(r, c.text("UID"), c.name == "VCALENDAR")
	c.times(r, &formats.Event{})
	var lines bytes.Buffer
	c.write(&lines)
	in := newReader(&lines, place{})
	again, err := in.component()
	if err != nil {
		return c, fmt.Errorf("document %q: %w", r.ID, err)
	}
	_, have, err := readDocument(&again)
	if err != nil {
		return c, err
	}
	patches, err := difference(have, r)
	if err != nil {
		return c, err
	}
	c.patch(patches)
	return c, nil
}

// patch adds what only JSON says.
func (c *component) patch(patches formats.PatchObject) {
	for _, pointer := range slices.Sorted(maps.Keys(patches)) {
		value := strings.ReplaceAll(strings.ToValidUTF8(string(patches[pointer]), "\ufffd"), "\x7f", `\u007f`)
		p := c.add(jsProp, escape(value))
		p.params["jsptr"] = []string{pointer}
	}
}

// envelope adds who the record is and to what it links.
func (c *component) envelope(r *formats.Record, uid string, always bool) {
	if r.ID != uid || always {
		c.add(ownID, escape(r.ID))
	}
	for _, l := range r.Links {
		c.add(ownLink, escape(l.ID)).set("rel", l.Rel).set("dataset", string(l.Dataset))
	}
}

// stamp adds the DTSTAMP that RFC 5545 section 3.6.1 obliges a component to have, behind its UID.
func (c *component) stamp(r *formats.Record, e *formats.Event) {
	p := property{name: "DTSTAMP", params: formats.Params{}}
	at, ok := parseUTC(e.Updated)
	if !ok {
		p.set(ownBy, byRecord)
		switch at = r.Modified; {
		case at.IsZero() && r.Created.IsZero():
			at = time.Unix(0, 0)
		case at.IsZero():
			at = r.Created
		}
	}
	p.value = formatUTC(at)
	c.properties = slices.Insert(c.properties, 1, p)
}

// times adds the times of the record: as the property of iCalendar if the body does not use it, and as our own if that
// would say another time.
func (c *component) times(r *formats.Record, e *formats.Event) {
	for _, t := range []struct {
		name, own, body string
		at              time.Time
	}{{"CREATED", ownCreated, e.Created, r.Created}, {"LAST-MODIFIED", ownModified, e.Updated, r.Modified}} {
		if t.at.IsZero() {
			continue
		}
		written, ok := parseUTC(t.body)
		if !ok && r.Kind != formats.KindDocument {
			written, ok = t.at.UTC().Truncate(time.Second), true
			c.add(t.name, formatUTC(written)).set(ownBy, byRecord)
		}
		if !ok || !written.Equal(t.at) {
			c.add(t.own, t.at.UTC().Format(time.RFC3339Nano))
		}
	}
}

func lowerToken(s string) string {
	if !token.MatchString(s) {
		return ""
	}
	return strings.ToLower(s)
}
