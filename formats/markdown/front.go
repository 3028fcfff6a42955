package markdown

import (
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/passerelle-cloud/passerelle/formats"
)

// member is a member of front matter; its value is JSON.
type member struct {
	name  string
	value json.RawMessage
}

// The members that we write. Others belong to the person and are kept in the note's FrontMatter.
const (
	memberID          = "id"
	memberTitle       = "title"
	memberCreated     = "created"
	memberModified    = "modified"
	memberTags        = "tags"
	memberMediaType   = "mediaType"
	memberPath        = "path"
	memberRestorePath = "restorePath"
	memberPatch       = "passerelle" // what the others cannot say: a JSON pointer to the JSON text of its value
)

var knownNames = [...]string{
	memberID, memberTitle, memberCreated, memberModified, memberTags, memberMediaType, memberPath, memberRestorePath, memberPatch,
}

// stampNames are our times, each with the names that programs give to it, best first.
var stampNames = [...][]string{{memberCreated, "date"}, {memberModified, "updated", "lastmod"}}

// stampLayouts are the forms in which programs write times; without a zone they are taken for UTC. The first is ours.
var stampLayouts = [...]string{
	time.RFC3339Nano, "2006-01-02", "2006-01-02T15:04:05", "2006-01-02T15:04", "2006-01-02 15:04:05", "2006-01-02 15:04",
	"2006-01-02 15:04:05 -0700", "2006-01-02 15:04:05Z07:00",
}

// front is what front matter says.
type front struct {
	id, path          string
	created, modified time.Time
	titled            bool
	note              formats.Note // title, tags, media type and restore path
	patch             formats.PatchObject
	rest              []member // what is not said by the fields above, or not exactly
}

// read reads the members. A member whose value is understood, but is not what we would write, is also kept.
func (f *front) read(members []member) {
	for _, m := range members {
		if !f.take(m) {
			f.rest = append(f.rest, m)
		}
	}
	f.created = stampOf(members, stampNames[0])
	f.modified = stampOf(members, stampNames[1])
}

// take reads a member and reports whether nothing of it needs to be kept.
func (f *front) take(m member) bool {
	if string(m.value) == "null" {
		return known(m.name)
	}
	text, exact := scalar(m.value)
	switch m.name {
	case memberID:
		usable := validID(text)
		if usable {
			f.id = text
		}
		return usable && exact
	case memberPath:
		usable := validPath(text)
		if usable {
			f.path = text
		}
		return usable && exact
	case memberTitle:
		f.note.Title, f.titled = text, exact || text != ""
		return exact
	case memberMediaType:
		f.note.MediaType = text
		return exact && text != ""
	case memberRestorePath:
		f.note.RestorePath = text
		return exact && text != ""
	case memberTags:
		var plain bool
		f.note.Tags, plain = tagsOf(m.value)
		return plain
	case memberCreated, memberModified:
		at, ours := stamp(m.value)
		return !at.IsZero() && ours
	case memberPatch:
		f.patch = patchOf(m.value)
		return f.patch != nil
	}
	return false
}

func known(name string) bool { return slices.Contains(knownNames[:], name) }

// scalar returns a string, or the digits of a number, which is not exactly a string. Other values are no text.
func scalar(value json.RawMessage) (text string, exact bool) {
	if json.Unmarshal(value, &text) == nil {
		return text, true
	}
	var number json.Number
	if json.Unmarshal(value, &number) == nil {
		return number.String(), false
	}
	return "", false
}

func validID(id string) bool {
	r := formats.Record{ID: id, Dataset: formats.Notes, Kind: formats.KindNote}
	return r.Validate() == nil
}

func validPath(path string) bool {
	r := formats.Record{ID: "-", Dataset: formats.Notes, Kind: formats.KindNote, Path: path}
	return path != "" && utf8.ValidString(path) && r.Validate() == nil
}

// tagsOf returns tags, and whether they are written as we write them. Other programs also write one string, with
// commas between tags.
func tagsOf(value json.RawMessage) (tags []string, exact bool) {
	if json.Unmarshal(value, &tags) == nil && len(tags) > 0 && !holdsNull(value) {
		return tags, true
	}
	tags = nil
	var elements []json.RawMessage
	if json.Unmarshal(value, &elements) == nil {
		for _, e := range elements {
			if text, _ := scalar(e); text != "" {
				tags = append(tags, text)
			}
		}
		return tags, false
	}
	text, _ := scalar(value)
	for tag := range strings.SplitSeq(text, ",") {
		if tag = strings.TrimSpace(tag); tag != "" {
			tags = append(tags, tag)
		}
	}
	return tags, false
}

// holdsNull reports whether an array has an element null, which decodes as an empty string.
func holdsNull(array json.RawMessage) bool {
	var elements []*string
	return json.Unmarshal(array, &elements) == nil && slices.Contains(elements, nil)
}

// stamp returns a time, and whether it is written as we write it.
func stamp(value json.RawMessage) (at time.Time, exact bool) {
	var text string
	if json.Unmarshal(value, &text) != nil {
		return time.Time{}, false
	}
	for _, layout := range stampLayouts {
		if t, err := time.Parse(layout, text); err == nil {
			t = t.UTC()
			return t, t.Format(time.RFC3339Nano) == text
		}
	}
	return time.Time{}, false
}

// stampOf returns the time that a member with the first possible of the names says. Null says that it is not known.
func stampOf(members []member, names []string) time.Time {
	for _, name := range names {
		i := slices.IndexFunc(members, func(m member) bool { return m.name == name })
		if i < 0 {
			continue
		}
		if at, _ := stamp(members[i].value); !at.IsZero() || string(members[i].value) == "null" {
			return at
		}
	}
	return time.Time{}
}

// patchOf returns the patch that a member holds, or nil if it is none that we wrote.
func patchOf(value json.RawMessage) formats.PatchObject {
	var texts map[string]*string
	if json.Unmarshal(value, &texts) != nil || len(texts) == 0 {
		return nil
	}
	patch := formats.PatchObject{}
	for pointer, text := range texts {
		if text == nil || !json.Valid([]byte(*text)) {
			return nil
		}
		patch[pointer] = json.RawMessage(*text)
	}
	return patch
}

func patchMember(p formats.PatchObject) member {
	texts := make(map[string]string, len(p))
	for pointer, value := range p {
		texts[pointer] = string(value)
	}
	return member{memberPatch, marshal(texts)}
}

// marshal encodes strings, and arrays and maps of them, which cannot fail.
func marshal(v any) json.RawMessage {
	raw, _ := formats.MarshalBody(v)
	return raw
}

// frontOf returns the front matter of a note: what we know, then what its person or another program added.
func frontOf(r *formats.Record, note *formats.Note) []member {
	own := ownMembers(r, note)
	rest, _ := membersOf(note.FrontMatter)
	for i, m := range own {
		if j := slices.IndexFunc(rest, func(o member) bool { return o.name == m.name }); j >= 0 && sayTheSame(rest[j], m) {
			own[i] = rest[j]
		}
	}
	for _, names := range stampNames {
		if !has(own, names[0]) && slices.ContainsFunc(names[1:], func(alias string) bool { return has(rest, alias) }) {
			own = append(own, member{names[0], json.RawMessage("null")})
		}
	}
	for _, m := range rest {
		if m.name == memberPatch || has(own, m.name) || known(m.name) && !sayTheSame(m, member{value: json.RawMessage("null")}) {
			continue // a patch says it
		}
		own = append(own, m)
	}
	return own
}

func ownMembers(r *formats.Record, note *formats.Note) []member {
	members := []member{{memberID, marshal(r.ID)}, {memberTitle, marshal(note.Title)}}
	add := func(name, text string) {
		if text != "" {
			members = append(members, member{name, marshal(text)})
		}
	}
	if !r.Created.IsZero() {
		add(memberCreated, r.Created.UTC().Format(time.RFC3339Nano))
	}
	if !r.Modified.IsZero() {
		add(memberModified, r.Modified.UTC().Format(time.RFC3339Nano))
	}
	if len(note.Tags) > 0 {
		members = append(members, member{memberTags, marshal(note.Tags)})
	}
	add(memberMediaType, note.MediaType)
	add(memberPath, r.Path)
	add(memberRestorePath, note.RestorePath)
	return members
}

func has(members []member, name string) bool {
	return slices.ContainsFunc(members, func(m member) bool { return m.name == name })
}

// sayTheSame reports whether two members give the same front, whatever else they hold.
func sayTheSame(a, b member) bool {
	var of [2]front
	for i, m := range []member{a, b} {
		of[i].read([]member{m})
		of[i].rest = nil
	}
	return reflect.DeepEqual(of[0], of[1])
}
