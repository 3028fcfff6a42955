package dav

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"mime"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/passerelle-cloud/passerelle/formats"
	"github.com/passerelle-cloud/passerelle/operators/home"
)

func refuse(status int, condition, text string) error { return &fault{status, condition, text} }

// put takes a card or an event. It has the id that its address says; its UID is usually the same.
func (q *cards) put() error {
	if len(q.id) > 512 || checkName(q.id) != nil {
		return badName("it is too long, or holds control characters")
	}
	content, err := q.body()
	if err != nil {
		return err
	}
	after, uid, err := q.decode(content)
	if err != nil {
		return err
	}
	ctx, created := q.r.Context(), false
	err = q.instance.Revise(ctx, after.Dataset, q.id, q.asConditioned(), func(ctx context.Context, s *home.Sight, before *formats.Record) ([]formats.Record, error) {
		created = before == nil
		if err := q.conflict(ctx, s, uid); err != nil {
			return nil, err
		}
		return q.revise(ctx, content, after, before)
	})
	if err != nil {
		return err
	}
	q.tag(ctx, content)
	return q.done(created)
}

// tag tells the entity tag, if the client's bytes are what it will get back (RFC 4791, section 5.3.4): otherwise it must
// fetch what became of them.
func (q *cards) tag(ctx context.Context, content []byte) {
	r, hash, err := q.record(ctx, q.id)
	if err != nil {
		return
	}
	if kept, err := q.encode(ctx, r); err == nil && bytes.Equal(kept, content) {
		q.w.Header().Set("ETag", tagOf(hash))
	}
}

// body reads what was sent, if it is of the type of the book.
func (q *cards) body() ([]byte, error) {
	said, _, _ := mime.ParseMediaType(q.r.Header.Get("Content-Type"))
	switch said {
	case "", q.book.codec.MediaType, "text/x-vcard", "text/directory", "text/plain", anyType:
	default:
		return nil, refuse(http.StatusUnsupportedMediaType, "", "Only "+q.book.codec.MediaType+" can be put here.")
	}
	q.r.Body = http.MaxBytesReader(q.w, q.r.Body, maxBody)
	return io.ReadAll(q.patient())
}

// decode reads what was sent, which must be one card or event, and its UID.
func (q *cards) decode(content []byte) (r formats.Record, uid string, err error) {
	n := 0
	for one, err := range q.book.codec.Decode(bytes.NewReader(content)) {
		if err != nil {
			return r, "", refuse(http.StatusForbidden, q.book.invalid, "It cannot be read: "+err.Error()+".")
		}
		switch {
		case q.book.holds(&one):
			r = one
			n++
		case !isCalendar(&one):
			n = 2 // a journal, or what else nobody shows
		}
	}
	if n != 1 {
		return r, "", refuse(http.StatusForbidden, q.book.invalid, "Put one at a time, each at an address of its own: a card here, an event or a task there.")
	}
	if err := formats.CheckBody(r.Kind, r.Body); err != nil {
		return r, "", refuse(http.StatusForbidden, q.book.invalid, "It cannot be kept: "+err.Error()+".")
	}
	uid = member(r.Body, "uid")
	r.ID = q.id
	return r, uid, nil
}

// member returns a member of a body that is text.
func member(body json.RawMessage, name string) (text string) {
	var all map[string]json.RawMessage
	if json.Unmarshal(body, &all) != nil || json.Unmarshal(all[name], &text) != nil {
		return ""
	}
	return text
}

// isCalendar reports whether a record is what a calendar says of itself, such as its name, which programs send along with
// each event.
func isCalendar(r *formats.Record) bool {
	return r.Kind == formats.KindDocument && strings.EqualFold(member(r.Body, "name"), "vcalendar")
}

// conflict finds out whether another resource has the UID.
func (q *cards) conflict(ctx context.Context, s *home.Sight, uid string) error {
	if uid == "" || uid == q.id {
		return nil
	}
	other, _, err := s.Record(ctx, q.book.codec.Dataset, uid)
	if missing(err) || err == nil && (!q.book.holds(&other) || member(other.Body, "uid") != uid) {
		return nil
	}
	if err != nil {
		return err
	}
	return refuse(http.StatusConflict, q.book.twice, "Something with the same UID is at "+q.book.hrefOf(uid)+": change that.")
}

// revise keeps what a client knows nothing of: links to other records, the document of the origin, when it was made.
func (q *cards) revise(ctx context.Context, content []byte, after formats.Record, before *formats.Record) ([]formats.Record, error) {
	if after.Modified.IsZero() {
		after.Modified = time.Now().UTC().Truncate(time.Second)
	}
	if before == nil {
		return []formats.Record{after}, nil
	}
	if after.Created.IsZero() {
		after.Created = before.Created
	}
	after.Native, after.Blob = before.Native, before.Blob
	links := slices.Clone(before.Links)
	for _, l := range after.Links {
		if !slices.Contains(links, l) {
			links = append(links, l)
		}
	}
	after.Links = links
	if q.book != &contacts {
		return []formats.Record{after}, nil
	}
	left, err := q.leavers(ctx, content, before)
	return append(left, after), err
}

// leavers returns the cards that are linked to a group whose new card does not name them any more: without the link.
func (q *cards) leavers(ctx context.Context, content []byte, group *formats.Record) (list []formats.Record, err error) {
	around, err := q.neighbours(ctx, group)
	if err != nil {
		return nil, err
	}
	inGroup := func(l formats.Link) bool { return l.Rel == "group" && l.ID == group.ID }
	members := slices.DeleteFunc(around, func(r formats.Record) bool { return !slices.ContainsFunc(r.Links, inGroup) })
	if len(members) == 0 {
		return nil, nil
	}
	all := bytes.NewBuffer(slices.Clone(content))
	if err := q.book.codec.Encode(all, each(unlinked(members, inGroup))); err != nil {
		return nil, err
	}
	n, id := -1, ""
	for r, err := range q.book.codec.Decode(bytes.NewReader(all.Bytes())) {
		if err != nil {
			return nil, err
		}
		if n++; n == 0 {
			id = r.ID
			continue
		}
		if !slices.ContainsFunc(r.Links, func(l formats.Link) bool { return l.Rel == "group" && l.ID == id }) {
			list = append(list, unlinked(members[n-1:n], inGroup)...)
		}
	}
	return list, nil
}

// unlinked returns records without some of their links.
func unlinked(list []formats.Record, which func(formats.Link) bool) (without []formats.Record) {
	for _, r := range list {
		r.Links = slices.DeleteFunc(slices.Clone(r.Links), which)
		without = append(without, r)
	}
	return without
}

func each(list []formats.Record) formats.Records {
	return func(yield func(formats.Record, error) bool) {
		for _, r := range list {
			if !yield(r, nil) {
				return
			}
		}
	}
}
