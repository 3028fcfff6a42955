package cozy

import (
	"bytes"
	"encoding/json"
	"slices"
	"time"

	"github.com/passerelle-cloud/passerelle/formats"
)

// ownMember is the member in which a document of ours carries what its doctype cannot say. A Cozy keeps members that
// it does not know, except in the documents of files and folders.
const ownMember = "passerelle"

// own is the value of that member. It counts only as long as the document still says what it said when it was
// written: what somebody changed in the Cozy since then is never hidden behind it.
type own struct {
	Seen    formats.Hash    `json:"seen"`              // of the body that the document's other members give
	Dataset formats.Dataset `json:"dataset,omitempty"` // where it is not that of the doctype
	Kind    formats.Kind    `json:"kind,omitempty"`
	Path    *string         `json:"path,omitempty"` // where it is not that of the document
	Body    json.RawMessage `json:"body,omitempty"`
	Links   []ownLink       `json:"links,omitempty"`
	Native  *formats.Native `json:"native,omitempty"`  // of an origin that was no Cozy
	Implied bool            `json:"implied,omitempty"` // a folder that no record asked for: files are in it
}

// ownLink is a ref.
type ownLink struct {
	Rel     string `json:"rel"`
	Doctype string `json:"doctype"`
	ID      string `json:"id"`
}

// empty reports whether there is nothing to carry.
func (o *own) empty() bool {
	return o.Dataset == "" && o.Kind == "" && o.Path == nil && o.Body == nil && o.Links == nil && o.Native == nil && !o.Implied
}

// restore puts what the own member says in the place of what the doctype's members gave.
func (r *reading) restore(doc object) {
	raw := doc.get(ownMember)
	if raw == nil {
		return
	}
	var o own
	if json.Unmarshal(raw, &o) != nil || o.Seen != formats.HashOf(r.body) || !o.sound() {
		return
	}
	r.own = &o
	if o.Dataset != "" {
		r.dataset = o.Dataset
	}
	if o.Kind != "" {
		r.kind = o.Kind
	}
	if o.Body != nil {
		r.body, r.faults = o.Body, nil
	}
	if o.Links != nil {
		r.refs = nil
		for _, l := range o.Links {
			r.refs = append(r.refs, ref{l.Rel, l.Doctype, l.ID})
		}
	}
}

// sound reports whether a record can be made of o, which may come from anywhere.
func (o *own) sound() bool {
	r := formats.Record{ID: "x", Dataset: formats.Other, Kind: formats.KindDocument, Body: o.Body, Native: o.Native}
	if o.Dataset != "" {
		r.Dataset = o.Dataset
	}
	if o.Path != nil {
		r.Path = *o.Path
	}
	for _, l := range o.Links {
		r.Links = append(r.Links, formats.Link{Rel: l.Rel, Dataset: formats.Other, ID: l.ID})
		if !doctypeForm.MatchString(l.Doctype) {
			return false
		}
	}
	_, err := r.AppendLine(nil)
	return err == nil
}

// wanted is what a document shall say once it is written.
type wanted struct {
	dataset           formats.Dataset
	kind              formats.Kind
	path              *string // of the record, where the document does not give it
	body              json.RawMessage
	refs              []ref
	created, modified time.Time
	foreign           *formats.Native // native document of an origin that was no Cozy
}

// write makes doc say what is wanted: where the document says it already, it stays untouched; where its doctype can
// say it, the doctype's members are set; the rest goes into the own member. It reports whether something did.
func write(doctype string, doc *object, want wanted) (partial bool, err error) {
	doc.remove(ownMember)
	m := mappingFor(doctype, *doc)
	if got := read(doctype, *doc); want.kind == m.kind && !sameBody(want, got) && m.fill != nil {
		filled := doc.clone()
		if m.fill(doctype, &filled, want.body) == nil { // a body that is not of its kind is carried whole, below
			*doc = filled
		}
	}
	if !slices.Equal(want.refs, read(doctype, *doc).refs) {
		setRefs(doctype, doc, want.refs)
	}
	setTimes(doctype, doc, want)
	got := read(doctype, *doc)
	o := own{Seen: formats.HashOf(got.body), Path: want.path, Native: want.foreign}
	if want.dataset != got.dataset {
		o.Dataset = want.dataset
	}
	if want.kind != got.kind {
		o.Kind = want.kind
	}
	if !sameBody(want, got) || want.kind != got.kind {
		o.Body = want.body
	}
	if !slices.Equal(want.refs, got.refs) {
		o.Links = ownLinks(want.refs)
	}
	return o.Body != nil || o.Links != nil, o.put(doc)
}

func (o *own) put(doc *object) error {
	if o.empty() {
		return nil
	}
	raw, err := formats.MarshalBody(o)
	if err == nil {
		doc.set(ownMember, raw)
	}
	return err
}

func ownLinks(refs []ref) []ownLink {
	links := []ownLink{}
	for _, r := range refs {
		links = append(links, ownLink{r.rel, r.doctype, r.id})
	}
	return links
}

// setTimes writes when the record was made and changed into the metadata. Files say it in members of their own.
func setTimes(doctype string, doc *object, want wanted) {
	if doctype == doctypeFiles || doctype == doctypeVersions {
		return
	}
	created, modified := times(*doc)
	meta := doc.object("cozyMetadata")
	for _, t := range []struct {
		is, want           time.Time
		member, metaMember string
	}{{created, want.created, "created_at", "createdAt"}, {modified, want.modified, "updated_at", "updatedAt"}} {
		switch {
		case t.is.Equal(t.want) || t.want.IsZero():
		case doc.get(t.member) != nil:
			doc.setText(t.member, stamp(t.want))
		default:
			meta.setText(t.metaMember, stamp(t.want))
			setMetadata(doc, meta)
		}
	}
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }

// sameBody compares bodies. Members that a target only adds to a file (its media type, its MD5) and the text of a
// note, which is in the note's bytes, make no difference.
func sameBody(want wanted, got reading) bool {
	if want.kind != formats.KindFile && want.kind != formats.KindVersion && want.kind != formats.KindNote {
		return sameJSON(want.body, got.body)
	}
	a, b := objectOf(compact(want.body)), objectOf(got.body)
	if sums := a.object("checksums"); sums.get(algorithm) == nil {
		sums.set(algorithm, objectOf(b.get("checksums")).get(algorithm))
		a.setObject("checksums", sums)
	}
	if a.get("mediaType") == nil {
		a.set("mediaType", b.get("mediaType"))
	}
	if want.kind == formats.KindNote {
		a.remove("checksums")
		a.remove("markdown")
		b.remove("markdown")
	}
	return sameJSON(a.bytes(), b.bytes())
}

func compact(raw json.RawMessage) json.RawMessage {
	var buf bytes.Buffer
	if json.Compact(&buf, raw) != nil {
		return nil
	}
	return buf.Bytes()
}

// sameJSON compares two values: members in any order, numbers by their digits, strings by what they say.
func sameJSON(a, b json.RawMessage) bool {
	a, b = compact(a), compact(b)
	if bytes.Equal(a, b) {
		return true
	}
	if len(a) == 0 || len(b) == 0 || a[0] != b[0] {
		return false
	}
	switch a[0] {
	case '"':
		return textOf(a) == textOf(b)
	case '[':
		return slices.EqualFunc(elements(a), elements(b), sameJSON)
	case '{':
		return sameMembers(objectOf(a), objectOf(b))
	}
	return false
}

func sameMembers(a, b object) bool {
	if len(a.members) != len(b.members) {
		return false
	}
	for _, m := range a.members {
		if i := b.find(m.name); i < 0 || !sameJSON(m.raw, b.members[i].raw) {
			return false
		}
	}
	return true
}
