// Package icalendar writes events and tasks as iCalendar (RFC 5545 with RFC 7986) and reads it as programs write it. It
// converts between iCalendar and JSCalendar (RFC 8984).
//
// Nothing is lost either way. What JSCalendar has no place for stays in the member iCalComponent; what iCalendar has no
// place for goes into properties JSPROP, which writing finds by reading back what it wrote. Reading normalises what
// means the same: DTEND becomes a duration, all times of an event are those of its own zone, the names of zones become
// IANA's where one is meant, DTSTAMP goes where LAST-MODIFIED is there.
//
// It must never know where events come from or go to, nor another codec.
package icalendar

import (
	"bytes"
	"errors"
	"io"

	"github.com/passerelle-cloud/passerelle/formats"
)

// productID says who wrote a calendar.
const productID = "-//Passerelle//Passerelle//EN"

// Codec returns the codec of calendars.
//
// A record's id is the UID of its component, or a hash of one that has none; of two with the same UID the second gets
// "#2" behind. Overridden instances belong to the event of the same UID before them, else to the one after. Journal
// entries and other components are records of the kind document, whose body is a [formats.ICalComponent]; so is what
// the calendar says of itself, such as its name. Documents that are none are not written, nor are blobs and native
// documents.
func Codec() formats.Codec {
	return formats.Codec{
		Dataset: formats.Calendar, MediaType: "text/calendar", File: "calendar.ics",
		Encode: write, Decode: read,
	}
}

// write walks the records twice: for the time zones that they need, then to write them.
func write(w io.Writer, records formats.Records) error {
	b, err := newWriter(records)
	if err != nil {
		return err
	}
	var head bytes.Buffer
	if err := b.head(&head); err != nil {
		return err
	}
	if _, err := w.Write(head.Bytes()); err != nil {
		return err
	}
	for r, err := range records {
		if err != nil {
			return err
		}
		text, err := b.record(&r)
		if err != nil {
			return err
		}
		if _, err := w.Write(text); err != nil {
			return err
		}
	}
	_, err = io.WriteString(w, "END:VCALENDAR\r\n")
	return err
}

// read walks the components of a file twice: for its time zones and where overridden instances are, then for their
// contents.
func read(r io.Reader) formats.Records {
	file := again{Reread: formats.NewReread(r)}
	return func(yield func(formats.Record, error) bool) {
		x, in, err := file.open()
		if err != nil {
			yield(formats.Record{}, err)
			return
		}
		walk := walk{file: in, index: x, zones: x.zones.walk(), in: newReader(in, place{}), ids: namer{}}
		for {
			record, ok, err := walk.next()
			if errors.Is(err, io.EOF) {
				return
			}
			if (ok || err != nil) && !yield(record, err) || err != nil {
				return
			}
		}
	}
}

// walk is one walk through a file.
type walk struct {
	file  *io.SectionReader
	index *index
	zones *zones
	in    *reader
	ids   namer
	n     int // components read
}

// next returns the record of the next component, or false for one that is none: a time zone, an instance.
func (w *walk) next() (formats.Record, bool, error) {
	c, err := w.in.component()
	if err != nil {
		return formats.Record{}, false, err
	}
	n := w.n
	w.n++
	switch c.name {
	case "VTIMEZONE":
		return formats.Record{}, false, nil
	case "VEVENT", "VTODO":
		if _, known := w.index.masters[series(&c)]; known && c.instance() {
			return formats.Record{}, false, nil
		}
		r, err := w.event(&c, n)
		return r, true, err
	}
	return w.document(&c)
}

// event returns the record of the nth component, an event or task.
func (w *walk) event(c *component, n int) (formats.Record, error) {
	instances, err := componentsAt(w.file, w.index.instances[n])
	if err != nil {
		return formats.Record{}, err
	}
	d, err := w.zones.decodeAll(c, instances)
	if err != nil {
		return formats.Record{}, err
	}
	r := d.record(formats.KindEvent)
	if d.task {
		r.Kind = formats.KindTask
	}
	r.ID = w.ids.name(&d.envelope, d.event.UID, c)
	if d.event.UID == "" {
		d.event.UID = hashID(c)
	}
	if around := w.in.calendar; around != nil && around.text("PRODID") != productID {
		d.event.ProdID = around.text("PRODID")
		d.event.Method = lowerToken(around.text("METHOD"))
	}
	r.Body, err = d.body()
	return r, err
}

func (w *walk) document(c *component) (formats.Record, bool, error) {
	v, body, err := readDocument(c)
	if c.name == "VCALENDAR" {
		if _, own := documentOf(c); len(own.Properties) == 0 && v.id == "" {
			return formats.Record{}, false, err
		}
		c.hash = formats.HashOf(body)
	}
	r := v.record(formats.KindDocument)
	r.ID, r.Body = w.ids.name(&v, c.text("UID"), c), body
	return r, true, err
}

func (v *envelope) record(kind formats.Kind) formats.Record {
	return formats.Record{Dataset: formats.Calendar, Kind: kind, Created: v.created, Modified: v.modified, Links: v.links}
}
