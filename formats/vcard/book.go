package vcard

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/passerelle-cloud/passerelle/formats"
)

// book is what must be known of all cards before one can be written or read: who is who, and who is in which group.
// It holds ids and nothing else.
type book struct {
	holder  map[string]string   // uid to the id of the first record that has it
	groups  map[string]bool     // ids of records that are groups
	members map[string][]string // by the id of a record that is linked to (rel "group"), uids of those that link to it

	// Of a file that is read: the id of each card in turn, and the ids of the groups that it is in.
	ids      []string
	groupsOf map[int][]string
}

func newBook() *book {
	return &book{
		holder: map[string]string{}, groups: map[string]bool{}, members: map[string][]string{}, groupsOf: map[int][]string{},
	}
}

// note notes a record that is to be written.
func (b *book) note(r *formats.Record) error {
	var c struct {
		UID  json.RawMessage `json:"uid"`
		Kind json.RawMessage `json:"kind"`
	}
	if err := json.Unmarshal(r.Body, &c); err != nil {
		return fmt.Errorf("%w: body of card %q: %v", formats.ErrInvalid, r.ID, err)
	}
	var uid, kind string
	if json.Unmarshal(c.UID, &uid) != nil {
		uid = ""
	}
	uid = uidOf(uid, r.ID)
	if json.Unmarshal(c.Kind, &kind) == nil && kind == "group" {
		b.groups[r.ID] = true
	}
	if _, twice := b.holder[uid]; !twice {
		b.holder[uid] = r.ID
	}
	for i, l := range r.Links {
		if isGroupLink(l) && b.holder[uid] == r.ID && !slices.Contains(r.Links[:i], l) {
			b.members[l.ID] = append(b.members[l.ID], uid)
		}
	}
	return nil
}

// uidOf returns the UID with which a card is written: that of its body, or the record's id where there is none or where
// it holds control characters.
func uidOf(uid, id string) string {
	if uid == "" || strings.ContainsFunc(uid, func(c rune) bool { return c < ' ' || c == 0x7f }) {
		return id
	}
	return uid
}

func isGroupLink(l formats.Link) bool { return l.Rel == "group" && l.Dataset == formats.Contacts }

// links adds the members of a group, and the links that no group's card can say.
func (b *book) links(e *encoder, r *formats.Record, c *formats.Card) {
	linked := map[string]bool{} // to whether it is written
	if b.groups[r.ID] {
		for _, uid := range b.members[r.ID] {
			linked[uid] = false
		}
	}
	for _, key := range slices.Sorted(maps.Keys(c.Members)) {
		if uidOf(key, "") == "" {
			continue // no line can say it
		}
		p := e.add("MEMBER", "", nil)
		b.setMember(p, key)
		uid, known := b.resolve(key)
		if _, isLinked := linked[uid]; isLinked {
			linked[uid] = true
		} else if known {
			p.set(ownBy, byBody)
		}
	}
	for _, uid := range b.members[r.ID] {
		if written, ok := linked[uid]; ok && !written {
			p := e.add("MEMBER", "", nil)
			b.setMember(p, uid)
			p.set(ownBy, byRecord)
		}
	}
	for _, l := range r.Links {
		if isGroupLink(l) && b.groups[l.ID] && b.holder[c.UID] == r.ID {
			continue
		}
		p := e.add(ownLink, escape(l.ID), nil)
		p.set("rel", l.Rel)
		p.set("dataset", string(l.Dataset))
	}
}

// setMember writes the uid of a member so that resolve finds it again: as a URI, since that is what other programs
// understand, or else as text.
func (b *book) setMember(p *property, uid string) {
	for _, uri := range []string{uid, "urn:uuid:" + url.PathEscape(uid)} {
		found, known := b.resolve(uri)
		if isPlainURI(uri) && (found == uid && known || !known && uri == uid) {
			p.value = uri
			return
		}
	}
	p.value = escape(uid)
	p.set("value", "text")
}

// isPlainURI reports whether a URI can stand as it is: what follows a backslash might be taken for escaped.
func isPlainURI(s string) bool { return uriForm.MatchString(s) && !strings.Contains(s, `\`) }

// resolve returns the uid of the card that a MEMBER means: programs write a uid that is no URI as a "urn:uuid:" one.
func (b *book) resolve(value string) (uid string, known bool) {
	bare := value
	if len(value) > 9 && strings.EqualFold(value[:9], "urn:uuid:") {
		bare = value[9:]
	}
	candidates := []string{value, bare, "urn:uuid:" + value}
	if plain, err := url.PathUnescape(bare); err == nil {
		candidates = append(candidates, plain)
	}
	for _, c := range candidates {
		if _, known := b.holder[c]; known {
			return c, true
		}
	}
	return value, false
}

// resolveMembers gives a card the members that its properties name.
func (b *book) resolveMembers(d *decoded) {
	for _, m := range d.members {
		if m.by == byRecord {
			continue
		}
		key := m.value
		if !m.text {
			key, _ = b.resolve(m.value)
		}
		if d.card.Members == nil {
			d.card.Members = formats.Set{}
		}
		d.card.Members[key] = true
	}
}

// readBook reads what must be known of all cards of a file.
func readBook(in io.Reader) (*book, error) {
	b := newBook()
	taken := map[string]int{}
	place := map[string]int{} // of the first card with a uid
	type group struct {
		id      string
		members []member
	}
	var groups []group
	cards := newReader(in, fileBuffer)
	for {
		raw, err := cards.card()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		d := decode(modern(identity(raw)))
		if d.uid == "" {
			d.uid = hashID(raw)
		}
		id := newID(d, raw, taken)
		if _, twice := b.holder[d.uid]; !twice {
			b.holder[d.uid], place[d.uid] = id, len(b.ids)
		}
		if d.card.Kind == "group" {
			groups = append(groups, group{id, d.members})
		}
		b.ids = append(b.ids, id)
	}
	for _, g := range groups {
		for _, m := range g.members {
			uid, known := b.resolve(m.value)
			if !known || m.by == byBody {
				continue
			}
			n := place[uid]
			if in := b.groupsOf[n]; len(in) == 0 || in[len(in)-1] != g.id {
				b.groupsOf[n] = append(in, g.id)
			}
		}
	}
	return b, nil
}

// identity returns the properties of a card that say who it is and who is in it.
func identity(c rawCard) rawCard {
	out := rawCard{version: c.version}
	for _, p := range c.properties {
		switch p.name {
		case "UID", "KIND", "MEMBER", "X-ADDRESSBOOKSERVER-KIND", "X-ADDRESSBOOKSERVER-MEMBER", ownID:
			out.properties = append(out.properties, p.clone())
		}
	}
	return out
}

// newID returns an id for a card that no card before it has. Taken counts how often each was asked for.
func newID(d *decoded, raw rawCard, taken map[string]int) string {
	id := cmp.Or(d.id, d.uid)
	if usableID(id) && taken[id] == 0 {
		taken[id]++
		return id
	}
	if !usableID(id + "#999999999") { // there must be room to tell it from others
		id = hashID(raw)
	}
	first := id
	for taken[id] > 0 {
		taken[first]++
		id = first + "#" + strconv.Itoa(taken[first])
	}
	taken[id]++
	return id
}

// again is a file that can be read more than once, with what must be known of it.
type again struct {
	*formats.Reread
	mu  sync.Mutex
	b   *book
	err error
}

// open returns what must be known of the file, which is found out once, and the file from its beginning.
func (a *again) open() (*book, io.Reader, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	in, err := a.Open()
	if err != nil {
		return nil, nil, fmt.Errorf("vcard: %w", err)
	}
	if a.b == nil && a.err == nil {
		if a.b, a.err = readBook(in); a.err == nil {
			_, a.err = in.Seek(0, io.SeekStart)
		}
	}
	return a.b, in, a.err
}
