// Package vcard writes contacts as vCard 4.0 (RFC 6350 with RFC 9554) and reads vCard 2.1, 3.0 and 4.0 as programs
// write them. It converts between vCard and JSContact as RFC 9555 says.
//
// Nothing is lost either way. What JSContact has no place for stays in the members vCardProps and vCardParams; what
// vCard has no place for goes into properties JSPROP, which writing finds by reading back what it wrote. What reading
// normalises is listed at the function modern.
//
// It must never know where contacts come from or go to, nor another codec.
package vcard

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/passerelle-cloud/passerelle/formats"
)

// Codec returns the codec of contacts.
//
// A record's id is the UID of its card, or a hash of a card that has none; of two cards with the same UID the second
// gets "#2" behind. That somebody is in a group (a link with rel "group") is written as a MEMBER of that group's card.
// Links come back with those to groups first, in the order of the groups, each once. Blobs and native documents are
// not written.
func Codec() formats.Codec {
	return formats.Codec{
		Dataset: formats.Contacts, MediaType: "text/vcard", File: "contacts.vcf",
		Encode: write, Decode: read,
	}
}

func isCard(r *formats.Record) bool {
	return r.Dataset == formats.Contacts && r.Kind == formats.KindCard && r.Deleted.IsZero() && len(r.Body) > 0
}

// write walks the records twice: for who is in which group, then to write them.
func write(w io.Writer, records formats.Records) error {
	b := newBook()
	for r, err := range records {
		if err != nil {
			return err
		}
		if isCard(&r) {
			if err := b.note(&r); err != nil {
				return err
			}
		}
	}
	for r, err := range records {
		if err != nil {
			return err
		}
		if !isCard(&r) {
			continue
		}
		text, err := b.card(&r)
		if err != nil {
			return err
		}
		if _, err := w.Write(text); err != nil {
			return err
		}
	}
	return nil
}

// card writes the record of a card.
func (b *book) card(r *formats.Record) ([]byte, error) {
	var c formats.Card
	if err := json.Unmarshal(r.Body, &c); err != nil {
		return nil, fmt.Errorf("%w: body of card %q: %v", formats.ErrInvalid, r.ID, err)
	}
	c.UID = uidOf(c.UID, r.ID)
	e := encode(&c)
	e.envelope(r, &c)
	b.links(e, r, &c)
	e.merge(c.VCardProps)
	var lines bytes.Buffer
	for _, p := range e.props {
		writeLine(&lines, p.line())
	}
	patches, err := b.missing(lines.Bytes(), r)
	if err != nil {
		return nil, err
	}
	for _, pointer := range slices.Sorted(maps.Keys(patches)) {
		p := property{name: jsProp, params: formats.Params{"jsptr": {pointer}}, value: escape(string(patches[pointer]))}
		writeLine(&lines, p.line())
	}
	return enclose(lines.Bytes()), nil
}

func enclose(lines []byte) []byte {
	return bytes.Join([][]byte{[]byte("BEGIN:VCARD\r\nVERSION:4.0\r\n"), lines, []byte("END:VCARD\r\n")}, nil)
}

// missing returns what somebody who reads those lines does not learn of the body, or learns wrongly.
func (b *book) missing(lines []byte, r *formats.Record) (formats.PatchObject, error) {
	card := enclose(lines)
	raw, err := newReader(bytes.NewReader(card), len(card)).card()
	if err != nil {
		return nil, fmt.Errorf("card %q: %w", r.ID, err)
	}
	d := decode(modern(raw))
	b.resolveMembers(d)
	have, err := formats.MarshalBody(d.card)
	if err != nil {
		return nil, err
	}
	var want bytes.Buffer
	if err := json.Compact(&want, r.Body); err != nil {
		return nil, fmt.Errorf("%w: body of card %q: %v", formats.ErrInvalid, r.ID, err)
	}
	return formats.Difference(have, want.Bytes()), nil
}

// body returns the body as JSON. Patches that would make it something else than a card, as only somebody else's can, are
// left out.
func (d *decoded) body() (json.RawMessage, error) {
	body, err := formats.MarshalBody(d.card)
	if err != nil || len(d.patches) == 0 {
		return body, err
	}
	if all, ok := patched(body, d.patches); ok || len(d.patches) > maxPatches {
		return all, nil
	}
	for _, pointer := range slices.Sorted(maps.Keys(d.patches)) {
		body, _ = patched(body, formats.PatchObject{pointer: d.patches[pointer]})
	}
	return body, nil
}

// maxPatches is how many patches are tried one by one.
const maxPatches = 200

// patched returns a body with patches applied, or else the body as it is and false.
func patched(body json.RawMessage, patches formats.PatchObject) (json.RawMessage, bool) {
	with, err := patches.Apply(body)
	if err != nil || formats.CheckBody(formats.KindCard, with) != nil {
		return body, false
	}
	return with, true
}

// envelope adds what the record says beside its body.
func (e *encoder) envelope(r *formats.Record, c *formats.Card) {
	if r.ID != c.UID {
		e.add(ownID, escape(r.ID), nil)
	}
	e.stamp("CREATED", ownCreated, c.Created, r.Created)
	e.stamp("REV", ownModified, c.Updated, r.Modified)
}

// stamp adds a time of the record: as the vCard property if the body does not use it, and as our own if that would
// say another time.
func (e *encoder) stamp(name, own, body string, at time.Time) {
	written, ok := parseTimestamp(body)
	if at.IsZero() {
		if i := slices.IndexFunc(e.props, func(p property) bool { return p.name == name }); ok && i >= 0 {
			e.props[i].set(ownBy, byBody)
		}
		return
	}
	if !ok {
		text := at.UTC().Format(basicTime)
		if written, ok = parseTimestamp(text); ok {
			e.add(name, text, nil).set(ownBy, byRecord)
		}
	}
	if !ok || !written.Equal(at) {
		e.add(own, at.UTC().Format(time.RFC3339Nano), nil)
	}
}

// read walks the cards of a file twice: for their ids and who is in which group, then for their contents.
func read(r io.Reader) formats.Records {
	file := again{Reread: formats.NewReread(r)}
	return func(yield func(formats.Record, error) bool) {
		b, in, err := file.open()
		if err != nil {
			yield(formats.Record{}, err)
			return
		}
		cards := newReader(in, fileBuffer)
		for n := 0; ; n++ {
			raw, err := cards.card()
			if errors.Is(err, io.EOF) {
				return
			}
			var record formats.Record
			if err == nil {
				record, err = b.record(raw, n)
			}
			if !yield(record, err) || err != nil {
				return
			}
		}
	}
}

// record returns the record of the nth card.
func (b *book) record(raw rawCard, n int) (formats.Record, error) {
	if n >= len(b.ids) {
		return formats.Record{}, fmt.Errorf("%w: vcard: the file changed while it was read", formats.ErrInvalid)
	}
	d := decode(modern(raw))
	if d.card.UID == "" {
		d.card.UID = hashID(raw)
	}
	b.resolveMembers(d)
	body, err := d.body()
	if err != nil {
		return formats.Record{}, err
	}
	r := formats.Record{
		ID: b.ids[n], Dataset: formats.Contacts, Kind: formats.KindCard, Created: d.created, Modified: d.modified, Body: body,
	}
	for _, group := range b.groupsOf[n] {
		r.Links = append(r.Links, formats.Link{Rel: "group", Dataset: formats.Contacts, ID: group})
	}
	r.Links = append(r.Links, d.links...)
	return r, nil
}

// hashID is the id of a card without a UID.
func hashID(raw rawCard) string { return raw.hash.String()[:32] }

// usableID reports whether a UID can be a record's id.
func usableID(id string) bool {
	r := formats.Record{ID: id, Dataset: formats.Contacts, Kind: formats.KindCard}
	return utf8.ValidString(id) && r.Validate() == nil
}
