package dav

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/xml"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"net/url"
	"strings"

	"github.com/passerelle-cloud/passerelle/formats"
	"github.com/passerelle-cloud/passerelle/formats/icalendar"
	"github.com/passerelle-cloud/passerelle/formats/vcard"
	"github.com/passerelle-cloud/passerelle/operators/home"
)

// book is a collection of records, each of which is a resource: an address book, or a calendar. There is one of each
// kind, since an instance has one dataset of each.
type book struct {
	codec     formats.Codec
	home, at  string // paths: of the collection that it is in, and its own
	name      string
	class     string // of OPTIONS
	extension string
	space     string // namespace of its elements
	types     string // its resourcetype
	data      string // the element that holds a resource as text
	query     string // the REPORT that filters
	multiget  string
	invalid   string // the precondition that what is no such text does not hold
	twice     string // the precondition of a UID that another resource has
	kinds     []formats.Kind
	props     map[xml.Name]property
}

var contacts = book{
	codec: vcard.Codec(), home: Contacts, at: Contacts + "default/", name: "Contacts", class: "addressbook", extension: ".vcf", space: nsCard,
	types: "<D:collection/><A:addressbook/>", data: "address-data", query: "addressbook-query", multiget: "addressbook-multiget",
	invalid: "<A:valid-address-data/>", twice: "<A:no-uid-conflict/>", kinds: []formats.Kind{formats.KindCard},
	props: map[xml.Name]property{
		{Space: nsCard, Local: "supported-address-data"}: raw(`<A:address-data-type content-type="text/vcard" version="4.0"/><A:address-data-type content-type="text/vcard" version="3.0"/>`),
		{Space: nsCard, Local: "max-resource-size"}:      number(maxBody),
	},
}

var calendar = book{
	codec: icalendar.Codec(), home: Calendars, at: Calendars + "default/", name: "Calendar", class: "calendar-access", extension: ".ics", space: nsCal,
	types: "<D:collection/><C:calendar/>", data: "calendar-data", query: "calendar-query", multiget: "calendar-multiget",
	invalid: "<C:valid-calendar-data/>", twice: "<C:no-uid-conflict/>", kinds: []formats.Kind{formats.KindEvent, formats.KindTask},
	props: map[xml.Name]property{
		{Space: nsCal, Local: "supported-calendar-component-set"}: raw(`<C:comp name="VEVENT"/><C:comp name="VTODO"/>`),
		{Space: nsCal, Local: "supported-calendar-data"}:          raw(`<C:calendar-data content-type="text/calendar" version="2.0"/>`),
		{Space: nsCal, Local: "max-resource-size"}:                number(maxBody),
	},
}

// cards answers what is below [Contacts] or [Calendars].
func (c *call) cards(b *book) error {
	p := c.r.URL.Path
	if c.r.Method == http.MethodOptions {
		return c.allow("1, 3, "+b.class+", sync-collection", "OPTIONS", "GET", "HEAD", "PUT", "DELETE", "PROPFIND", "REPORT")
	}
	q := &cards{call: c, book: b}
	switch {
	case p == b.home || p+"/" == b.home:
		return q.inHome()
	case p == b.at || p+"/" == b.at:
		return q.inBook()
	case strings.HasPrefix(p, b.at) && !strings.Contains(p[len(b.at):], "/"):
		q.id = b.idOf(p[len(b.at):])
		return q.inCard()
	}
	if c.r.Method == "MKCALENDAR" || c.r.Method == "MKCOL" {
		return &fault{status: http.StatusForbidden, text: "There is one address book and one calendar, at " + b.at + ": use that."}
	}
	return &fault{status: http.StatusNotFound, text: "Nothing is there: look at " + b.at + "."}
}

// cards is a request about a book.
type cards struct {
	*call
	book *book
	id   string // of the record
}

func (q *cards) inHome() error {
	if q.r.Method != "PROPFIND" {
		return errMethod
	}
	self, err := q.self()
	if err != nil {
		return err
	}
	return q.tell([]*resource{q.folder(q.book.home, q.book.name), self})
}

func (q *cards) inBook() error {
	switch q.r.Method {
	case "PROPFIND":
		return q.propfind()
	case "REPORT":
		return q.report()
	case "PROPPATCH":
		return q.proppatch()
	}
	return errMethod
}

// proppatch refuses, each by name: neither name nor colour of a book has a place in an archive.
func (q *cards) proppatch() error {
	var list changes
	if some, err := q.readXML(&list); err != nil || !some {
		return errors.Join(err, errXML)
	}
	m := q.multistatus()
	m.begin()
	m.text("<D:response><D:href>", q.book.at, "</D:href>")
	for _, c := range list {
		m.propstat(element(c.name, ""), http.StatusForbidden, "")
	}
	m.text("</D:response>")
	return m.end("")
}

// Names of resources are the ids of records, where these can be: what a client puts as UID.vcf has that UID in nearly
// every program. Other ids are spelt in base 64 behind a tilde.

func (b *book) hrefOf(id string) string {
	name := id
	if !plainID(id) {
		name = "~" + base64.RawURLEncoding.EncodeToString([]byte(id))
	}
	return b.at + (&url.URL{Path: "/" + name}).EscapedPath()[1:] + b.extension
}

func plainID(id string) bool {
	return id != "" && id[0] != '~' && id[0] != '.' && len(id) <= 200 && !strings.ContainsFunc(id, func(r rune) bool {
		return !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || strings.ContainsRune("-._@+:=~{}", r))
	})
}

func (b *book) idOf(name string) string {
	name = strings.TrimSuffix(name, b.extension)
	if coded, ok := strings.CutPrefix(name, "~"); ok {
		if id, err := base64.RawURLEncoding.DecodeString(coded); err == nil && !plainID(string(id)) {
			return string(id)
		}
	}
	return name
}

func (b *book) holds(r *formats.Record) bool {
	for _, k := range b.kinds {
		if r.Kind == k {
			return r.Dataset == b.codec.Dataset && r.Deleted.IsZero()
		}
	}
	return false
}

// tagOf is a strong entity tag. Half of a SHA-256 tells states apart, and fits where clients make room for a header.
func tagOf(hash formats.Hash) string { return `"` + hash.String()[:32] + `"` }

func (q *cards) inCard() error {
	switch q.r.Method {
	case http.MethodGet, http.MethodHead:
		return q.get()
	case http.MethodPut:
		return q.put()
	case http.MethodDelete:
		return q.delete()
	case "PROPFIND":
		r, err := q.card(q.r.Context())
		if err != nil {
			return err
		}
		return q.tell([]*resource{r})
	}
	return errMethod
}

// record returns the record that a request is about.
func (q *cards) record(ctx context.Context, id string) (formats.Record, formats.Hash, error) {
	r, hash, err := q.instance.Sight().Record(ctx, q.book.codec.Dataset, id)
	if err == nil && !q.book.holds(&r) {
		err = errNoCard
	}
	return r, hash, err
}

var errNoCard = &fault{status: http.StatusNotFound, text: "Nothing is there, or not any more."}

func (q *cards) card(ctx context.Context) (*resource, error) {
	r, hash, err := q.record(ctx, q.id)
	if err != nil {
		return nil, err
	}
	return q.resource(ctx, r, hash), nil
}

// resource tells the properties of a card or an event; its text only to who asks for that.
func (q *cards) resource(ctx context.Context, r formats.Record, hash formats.Hash) *resource {
	out := &resource{href: q.book.hrefOf(r.ID), props: map[xml.Name]property{
		dav("resourcetype"):           raw(""),
		dav("getetag"):                text(tagOf(hash)),
		dav("getcontenttype"):         text(q.book.codec.MediaType + "; charset=utf-8"),
		dav("current-user-principal"): href(q.principal()),
	}}
	if !r.Modified.IsZero() {
		out.props[dav("getlastmodified")] = httpTime(r.Modified)
	}
	out.named = map[xml.Name]property{{Space: q.book.space, Local: q.book.data}: func() (string, error) {
		content, err := q.encode(ctx, r)
		return escape(string(content)), err
	}}
	return out
}

func (q *cards) get() error {
	ctx := q.r.Context()
	r, hash, err := q.record(ctx, q.id)
	if err != nil {
		return err
	}
	content, err := q.encode(ctx, r)
	if err != nil {
		return err
	}
	h := q.w.Header()
	h.Set("Content-Type", q.book.codec.MediaType+"; charset=utf-8")
	h.Set("ETag", tagOf(hash))
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Security-Policy", "sandbox; default-src 'none'")
	h.Set("Cache-Control", "private, no-cache")
	http.ServeContent(q.w, q.r, "", r.Modified, bytes.NewReader(content))
	return nil
}

// encode writes one record. Of a group those are written, too, who are linked to it, so that its card names them; of
// somebody who is in groups those, so that the card need not.
func (q *cards) encode(ctx context.Context, r formats.Record) ([]byte, error) {
	around, err := q.neighbours(ctx, &r)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	err = q.book.codec.Encode(&out, func(yield func(formats.Record, error) bool) {
		if !yield(r, nil) {
			return
		}
		for _, other := range around {
			if !yield(other, nil) {
				return
			}
		}
	})
	if err != nil {
		return nil, fmt.Errorf("write %s: %w", q.book.codec.MediaType, err)
	}
	if q.book == &contacts {
		return firstCard(out.Bytes()), nil
	}
	return out.Bytes(), nil
}

// firstCard cuts off the cards after the first.
func firstCard(text []byte) []byte {
	const end = "\r\nEND:VCARD\r\n"
	if i := bytes.Index(text, []byte(end)); i >= 0 {
		return text[:i+len(end)]
	}
	return text
}

// mostNeighbours is how many cards are looked at to write one group.
const mostNeighbours = 20_000

// neighbours returns the cards that must be known to write another one.
func (q *cards) neighbours(ctx context.Context, r *formats.Record) (list []formats.Record, err error) {
	if q.book != &contacts {
		return nil, nil
	}
	for _, l := range r.Links {
		if l.Rel != "group" || l.Dataset != formats.Contacts {
			continue
		}
		group, _, err := q.record(ctx, l.ID)
		if err == nil {
			list = append(list, group)
		} else if f := faultOf(err); f == nil || f.status != http.StatusNotFound {
			return nil, err
		}
	}
	if !bytes.Contains(r.Body, []byte(`"group"`)) {
		return list, nil
	}
	n := 0
	for other, err := range q.all(ctx) {
		if n++; err != nil || n > mostNeighbours {
			return list, err
		}
		for _, l := range other.Links {
			if l.Rel == "group" && l.ID == r.ID {
				list = append(list, other.Record)
				break
			}
		}
	}
	return list, nil
}

// kept is a record of a book, with the hash of its line.
type kept struct {
	formats.Record
	hash formats.Hash
}

// all walks the records of the book.
func (q *cards) all(ctx context.Context) iter.Seq2[kept, error] {
	return func(yield func(kept, error) bool) {
		for line, err := range q.instance.Reader().Dataset(ctx, q.book.codec.Dataset, "") {
			var k kept
			if err == nil {
				k.hash = line.Hash
				k.Record, err = line.Parse()
			}
			if err == nil && !q.book.holds(&k.Record) {
				continue
			}
			if !yield(k, err) || err != nil {
				return
			}
		}
	}
}

func (q *cards) delete() error {
	ctx := q.r.Context()
	if _, _, err := q.record(ctx, q.id); err != nil {
		return err
	}
	if err := q.instance.Drop(ctx, q.book.codec.Dataset, q.id, q.asConditioned()); err != nil {
		return err
	}
	q.w.WriteHeader(http.StatusNoContent)
	return nil
}

// asConditioned looks at If-Match and If-None-Match.
func (q *cards) asConditioned() home.Guard {
	ifMatch, ifNone := q.r.Header.Get("If-Match"), q.r.Header.Get("If-None-Match")
	return func(ctx context.Context, s *home.Sight) error {
		if ifMatch == "" && ifNone == "" {
			return nil
		}
		_, hash, err := s.Record(ctx, q.book.codec.Dataset, q.id)
		exists := err == nil
		switch {
		case err != nil && !missing(err):
			return err
		case ifMatch != "" && (!exists || ifMatch != "*" && !matches(ifMatch, tagOf(hash))):
			return errCondition
		case ifNone != "" && exists && (ifNone == "*" || matches(ifNone, tagOf(hash))):
			return errCondition
		}
		return nil
	}
}
