package api

import (
	"bufio"
	"crypto/sha256"
	"fmt"
	"iter"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/passerelle-cloud/passerelle/consent"
	"github.com/passerelle-cloud/passerelle/formats"
	"github.com/passerelle-cloud/passerelle/operators"
)

// How many records a page of JSON has.
const (
	pageRecords = 100
	maxRecords  = 1000
)

// Dataset serves the records of a dataset: a page of JSON, all of them as NDJSON, or a file in an open format.
func (a *API) Dataset(w http.ResponseWriter, r *http.Request) {
	q, ok := a.begin(w, r)
	if !ok {
		return
	}
	d, ok := q.dataset()
	if !ok {
		return
	}
	form, ok := q.negotiate(q.offers(d, false))
	if !ok {
		return
	}
	limit, ok := q.limit()
	if !ok {
		return
	}
	f, fetch, ok := q.permit(consent.Read, d)
	if !ok {
		return
	}
	defer f.settle()
	lines := func() iter.Seq2[operators.Line, error] {
		return fetch.Dataset(r.Context(), d, r.URL.Query().Get("after"))
	}
	switch form {
	case typeJSON:
		f.page(lines(), limit, func(last operators.Line) (string, string) {
			next := url.Values{"after": {last.ID}, "limit": {strconv.Itoa(limit)}}
			return "next", (&url.URL{Path: r.URL.Path, RawQuery: next.Encode()}).String()
		})
	case typeNDJSON:
		w.Header().Set("Content-Type", typeNDJSON)
		f.end(f.stream(lines()))
	default:
		f.file(*q.codec(d, form), lines)
	}
}

// limit is how many records a page is to have.
func (q *reading) limit() (int, bool) {
	text := q.r.URL.Query().Get("limit")
	if text == "" {
		return pageRecords, true
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > maxRecords {
		q.bad(fmt.Sprintf("limit is a number from 1 to %d.", maxRecords))
		return 0, false
	}
	return n, true
}

// stream sends records, one a line.
func (f *flow) stream(lines iter.Seq2[operators.Line, error]) error {
	out := bufio.NewWriterSize(f, 64<<10)
	for line, err := range lines {
		if err != nil {
			return err
		}
		out.Write(line.Bytes)
		if err := out.WriteByte('\n'); err != nil {
			return err
		}
		f.records++
	}
	return out.Flush()
}

// page sends a JSON object with up to so many records, and where the next page is. It is gathered before it is sent, so
// that what goes wrong can still be told.
func (f *flow) page(lines iter.Seq2[operators.Line, error], limit int, next func(last operators.Line) (name, value string)) {
	text := []byte(`{"records":[`)
	var last operators.Line
	more := false
	for line, err := range lines {
		if err != nil {
			f.refuse(err)
			return
		}
		if f.records == int64(limit) {
			more = true
			break
		}
		if f.records > 0 {
			text = append(text, ',')
		}
		text = append(text, line.Bytes...)
		last, last.Bytes = line, nil
		f.records++
	}
	text = append(text, ']')
	if more {
		name, value := next(last)
		text = append(formats.AppendString(append(text, ','), name), ':')
		text = formats.AppendString(text, value)
		f.Header().Set("Link", fmt.Sprintf(`<%s>; rel="next"`, value))
	}
	f.body(typeJSON, append(text, "}\n"...))
}

// body sends an answer that is known whole.
func (f *flow) body(mediatype string, text []byte) {
	f.Header().Set("Content-Type", mediatype)
	f.Header().Set("Content-Length", strconv.Itoa(len(text)))
	_, err := f.Write(text)
	f.end(err)
}

// file sends records as a file in an open format.
func (f *flow) file(codec formats.Codec, lines func() iter.Seq2[operators.Line, error]) {
	f.form, f.source = codec.MediaType, sha256.New()
	f.Header().Set("Content-Type", codec.MediaType)
	if codec.File != "" {
		f.Header().Set("Content-Disposition", `attachment; filename="`+codec.File+`"`)
	}
	out := bufio.NewWriterSize(f, 64<<10)
	err := codec.Encode(out, f.parsed(lines))
	if err == nil {
		err = out.Flush()
	}
	f.end(err)
}

// parsed walks lines as records, as often as a codec wants.
func (f *flow) parsed(lines func() iter.Seq2[operators.Line, error]) formats.Records {
	return func(yield func(formats.Record, error) bool) {
		f.records = 0
		f.source.Reset()
		for line, err := range lines() {
			var record formats.Record
			if err == nil {
				f.source.Write(line.Bytes)
				f.source.Write([]byte{'\n'})
				record, err = line.Parse()
			}
			f.records++
			if !yield(record, err) || err != nil {
				return
			}
		}
	}
}

// Record serves one record, as JSON or in an open format.
func (a *API) Record(w http.ResponseWriter, r *http.Request) {
	q, ok := a.begin(w, r)
	if !ok {
		return
	}
	d, ok := q.dataset()
	if !ok {
		return
	}
	form, ok := q.negotiate(q.offers(d, true))
	if !ok {
		return
	}
	f, fetch, ok := q.permit(consent.Read, d)
	if !ok {
		return
	}
	defer f.settle()
	line, err := fetch.Record(r.Context(), d, r.PathValue("id"))
	if err != nil {
		f.refuse(err)
		return
	}
	tag := recordTag(line, form)
	w.Header().Set("ETag", tag)
	w.Header().Set("Cache-Control", "private, no-cache") // its tag says whether it is what it was
	if names(r.Header.Values("If-None-Match"), tag) {
		f.permitless(func() { w.WriteHeader(http.StatusNotModified) })
		return
	}
	if form == typeJSON {
		f.records = 1
		f.body(typeJSON, append(line.Bytes, '\n'))
		return
	}
	f.file(*q.codec(d, form), func() iter.Seq2[operators.Line, error] {
		return func(yield func(operators.Line, error) bool) { yield(line, nil) }
	})
}

// recordTag is another one for each form of a record (RFC 9110 section 8.8.3.3).
func recordTag(line operators.Line, form string) string {
	if form == typeJSON {
		return `"` + line.Hash.String() + `"`
	}
	return `"` + line.Hash.String() + "-" + formats.HashOf([]byte(form)).String()[:8] + `"`
}

// names reports whether an If-None-Match names a tag: "*", or a list, compared weakly (RFC 9110 section 13.1.2).
func names(headers []string, tag string) bool {
	for _, header := range headers {
		for _, one := range strings.Split(header, ",") { // our tags have no comma
			if one = strings.TrimSpace(one); one == "*" || strings.TrimPrefix(one, "W/") == tag {
				return true
			}
		}
	}
	return false
}

// Content serves the bytes of a record, or ranges of them (RFC 9110 section 14).
func (a *API) Content(w http.ResponseWriter, r *http.Request) {
	q, ok := a.begin(w, r)
	if !ok {
		return
	}
	d, ok := q.dataset()
	if !ok {
		return
	}
	f, fetch, ok := q.permit(consent.Read, d)
	if !ok {
		return
	}
	defer f.settle()
	record, content, err := fetch.Content(r.Context(), d, r.PathValue("id"))
	if err != nil {
		f.refuse(err)
		return
	}
	defer content.Close()
	f.records = 1
	f.serve(record, content)
}

// Changes serves what changed since a position in those datasets that the consent covers, and waits for something to
// change if that is wanted: continuous portability.
func (a *API) Changes(w http.ResponseWriter, r *http.Request) {
	q, ok := a.begin(w, r)
	if !ok {
		return
	}
	c, ok := q.changes()
	if !ok {
		return
	}
	form, ok := q.negotiate([]string{typeJSON, typeNDJSON})
	if !ok {
		return
	}
	reached, err := q.reached(c)
	if err != nil {
		q.fail(err)
		return
	}
	f, fetch, ok := q.permit(consent.Subscribe, c.datasets...)
	if !ok {
		return
	}
	defer f.settle()
	lines := fetch.Changes(r.Context(), c.since, reached, c.datasets)
	if form == typeNDJSON {
		w.Header().Set("Content-Type", typeNDJSON)
		w.Header().Set("Passerelle-Position", strconv.FormatInt(int64(reached), 10))
		f.end(f.stream(lines))
		return
	}
	f.changes(lines, c.limit, reached)
}
