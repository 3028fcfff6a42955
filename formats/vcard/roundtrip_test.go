package vcard

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/passerelle-cloud/passerelle/formats"
)

// TestRoundTrip writes any records and reads them back as they were.
func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := drawBook(t)
		text := encodeText(t, want...)
		checkLines(t, text)
		checkSame(t, decodeText(t, text), want, text)
	})
}

// checkSame checks that records came back as the codec promises.
func checkSame(t rapid.TB, got, want []formats.Record, text string) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%d records of %d came back\n%q", len(got), len(want), text)
	}
	groups := groupsIn(t, want)
	for i, g := range got {
		w := want[i]
		if g.ID != w.ID || g.Dataset != formats.Contacts || g.Kind != formats.KindCard || !g.Created.Equal(w.Created) || !g.Modified.Equal(w.Modified) {
			t.Fatalf("%q, %v, %v came back, not %q, %v, %v\n%q", g.ID, g.Created, g.Modified, w.ID, w.Created, w.Modified, text)
		}
		if have, links := inOrder(g.Links, groups), inOrder(w.Links, groups); !slices.Equal(have, links) {
			t.Fatalf("%q has links %q, not %q\n%q", w.ID, have, links, text)
		}
		if a, b := canonical(t, g.Body), canonical(t, w.Body); a != b {
			t.Fatalf("%q came back as\n%s\nnot\n%s\n%q", w.ID, a, b, text)
		}
	}
}

// groupsIn returns the places of the groups among records, from 1, by their ids.
func groupsIn(t rapid.TB, records []formats.Record) map[string]int {
	t.Helper()
	groups := map[string]int{}
	for i, r := range records {
		card, err := formats.BodyAs[formats.Card](r)
		if err != nil {
			t.Fatalf("%v", err)
		}
		if card.Kind == "group" {
			groups[r.ID] = i + 1
		}
	}
	return groups
}

// inOrder returns links as they come back: those to groups of the file first, in the order of these, each once.
func inOrder(links []formats.Link, groups map[string]int) []formats.Link {
	var first, others []formats.Link
	for _, l := range links {
		switch {
		case !isGroupLink(l) || groups[l.ID] == 0:
			others = append(others, l)
		case !slices.Contains(first, l):
			first = append(first, l)
		}
	}
	slices.SortFunc(first, func(a, b formats.Link) int { return cmp.Compare(groups[a.ID], groups[b.ID]) })
	return append(first, others...)
}

// checkLines checks what every line of a vCard must be (RFC 6350 section 3.2).
func checkLines(t rapid.TB, text string) {
	t.Helper()
	for _, line := range strings.Split(text, "\r\n") {
		if len(line) > 75 || strings.Contains(line, "\n") {
			t.Fatalf("the line %q has %d bytes or a bare line feed", line, len(line))
		}
	}
}

// drawBook draws some records: contacts, groups of them, and links between them.
func drawBook(t *rapid.T) []formats.Record {
	var ids []string
	for n := range rapid.IntRange(1, 4).Draw(t, "cards") {
		ids = append(ids, drawID(t, n))
	}
	var records []formats.Record
	for _, id := range ids {
		r := formats.Record{ID: id, Dataset: formats.Contacts, Kind: formats.KindCard, Body: drawCard(t, ids)}
		r.Created, r.Modified = drawTime(t, "created"), drawTime(t, "modified")
		for range rapid.IntRange(0, 3).Draw(t, "links") {
			r.Links = append(r.Links, formats.Link{
				Rel:     rapid.SampledFrom([]string{"group", "group", "other", " a;b=\"c^n\"", "type"}).Draw(t, "rel"),
				Dataset: rapid.SampledFrom([]formats.Dataset{formats.Contacts, formats.Contacts, formats.Files}).Draw(t, "dataset"),
				ID:      rapid.SampledFrom(append(ids, "elsewhere", " ", ",;")).Draw(t, "to"),
			})
		}
		records = append(records, r)
	}
	return records
}

// drawID draws an id that no other draw gives, as long or odd as one may be.
func drawID(t *rapid.T, n int) string {
	text := rapid.OneOf(
		rapid.StringMatching(`[a-z]{1,8}`),
		rapid.StringMatching(`[ ,;:=\\"^#é😀\x{85}\x{a0}\x{2028}a-]{1,12}`),
		rapid.SampledFrom([]string{"urn:uuid:", "URN:UUID:", "uuid:%20", "mailto:a,b", `x:\n\,`, strings.Repeat("é", 255), "quoted-printable:="}),
	).Draw(t, "id")
	if n == 0 && rapid.Bool().Draw(t, "bare id") {
		return text
	}
	return text + string(rune('0'+n))
}

func drawTime(t *rapid.T, what string) time.Time {
	if rapid.Bool().Draw(t, "no "+what) {
		return time.Time{}
	}
	nanos := rapid.SampledFrom([]int64{0, 0, 1, 500_000_000, 999_999_999}).Draw(t, "nanos")
	return time.Unix(rapid.Int64Range(-62135596799, 253402300799).Draw(t, what), nanos).UTC()
}

// drawText draws text, often with what vCard has a meaning for.
func drawText() *rapid.Generator[string] {
	return rapid.OneOf(
		rapid.StringN(0, 12, -1),
		rapid.StringOfN(rapid.SampledFrom([]rune("\\\r\n\t\x00,;:=\"^'n é\u0301\u0085\u2028\ufeff🦊")), 0, 90, -1),
		rapid.SampledFrom([]string{
			"", " ", "group", "urn:uuid:a", "https://example.org/", "tel:+33-1", "data:image/png;base64,iVBORw0=", "=3D", "=", "quoted-printable", "b",
			"BEGIN:VCARD", "END:VCARD", "item1", "_$!<Home>!$_", "2024-02-30", "2024-02-29T12:00:00Z", "true", "1", "text", "uri", "a.b", "null", "Etc/GMT-3",
		}),
	)
}

// drawCard draws a body that its schema allows, with a few members of many.
func drawCard(t *rapid.T, ids []string) json.RawMessage {
	card := map[string]any{"@type": "Card", "version": "1.0"}
	drawn := members()
	names := slices.Sorted(maps.Keys(drawn))
	for _, name := range rapid.SliceOfNDistinct(rapid.SampledFrom(names), 0, 8, rapid.ID).Draw(t, "members") {
		card[name] = drawn[name](t)
	}
	if rapid.IntRange(0, 2).Draw(t, "group") == 0 {
		card["kind"] = "group"
		set := map[string]any{}
		for range rapid.IntRange(0, 3).Draw(t, "members") {
			set[rapid.OneOf(rapid.SampledFrom(ids), rapid.Just("urn:uuid:"+ids[0]), drawText()).Draw(t, "member")] = true
		}
		card["members"] = set
	}
	if rapid.IntRange(0, 2).Draw(t, "uid of another") == 0 {
		card["uid"] = rapid.SampledFrom(ids).Draw(t, "uid")
	}
	body, err := formats.MarshalBody(card)
	if err != nil {
		t.Fatalf("%v", err)
	}
	if err := formats.CheckBody(formats.KindCard, body); err != nil {
		t.Fatalf("the test draws what is no card: %v", err)
	}
	return body
}

type draw func(*rapid.T) any

func text(t *rapid.T) any { return drawText().Draw(t, "text") }

func moment(t *rapid.T) any {
	return rapid.SampledFrom([]string{"2024-02-29T12:00:00Z", "2024-02-30T25:00:00Z", "0000-01-01T00:00:00Z", "2024-02-29T12:00:00.5Z"}).Draw(t, "moment")
}

func small(t *rapid.T) any { return rapid.IntRange(0, 120).Draw(t, "number") }

// one of these, or else what drawn draws.
func oneOf(known ...any) draw {
	return func(t *rapid.T) any {
		if rapid.IntRange(0, 4).Draw(t, "unknown") == 0 {
			return text(t)
		}
		return rapid.SampledFrom(known).Draw(t, "known")
	}
}

// object draws an object with those members that must be and some that may be, and sometimes with a stranger.
func object(must, may map[string]draw) draw {
	return func(t *rapid.T) any {
		o := map[string]any{}
		for _, name := range slices.Sorted(maps.Keys(must)) {
			o[name] = must[name](t)
		}
		for _, name := range slices.Sorted(maps.Keys(may)) {
			if rapid.Bool().Draw(t, name) {
				o[name] = may[name](t)
			}
		}
		if rapid.IntRange(0, 5).Draw(t, "stranger") == 0 {
			o["example.com:"+drawText().Draw(t, "name")] = rapid.SampledFrom([]json.RawMessage{
				[]byte(`9007199254740993`), []byte(`[1e21,0.10,{"a":null}]`), []byte(`null`), []byte(`""`), []byte(`false`),
			}).Draw(t, "value")
		}
		return o
	}
}

// byID draws a map of such objects.
func byID(of draw) draw {
	return func(t *rapid.T) any {
		m := map[string]any{}
		for n := range rapid.IntRange(1, 3).Draw(t, "objects") {
			id := rapid.OneOf(rapid.Just(fmt.Sprint(n+1)), rapid.SampledFrom([]string{"1", "2", "01", "k", "2-2"}), drawText()).Draw(t, "id")
			m[id] = of(t)
		}
		return m
	}
}

func setOf(known ...string) draw {
	return func(t *rapid.T) any {
		s := map[string]bool{}
		for range rapid.IntRange(0, 3).Draw(t, "elements") {
			s[rapid.OneOf(rapid.SampledFrom(known), drawText()).Draw(t, "element")] = true
		}
		return s
	}
}

func listOf(of draw) draw {
	return func(t *rapid.T) any {
		list := []any{}
		for range rapid.IntRange(0, 4).Draw(t, "elements") {
			list = append(list, of(t))
		}
		return list
	}
}

// params draws parameters of a property.
func params(t *rapid.T) any {
	p := map[string]any{}
	for range rapid.IntRange(0, 3).Draw(t, "parameters") {
		name := rapid.OneOf(rapid.SampledFrom([]string{
			"group", "type", "value", "pref", "encoding", "charset", "prop-id", "x-foo", "label", "index", "jscomps", "sort-as", "x-passerelle-by", "TYPE", "x-ablabel", "derived",
		}), drawText()).Draw(t, "parameter")
		if rapid.Bool().Draw(t, "several") {
			p[name] = []any{text(t), text(t)}
		} else {
			p[name] = text(t)
		}
	}
	return p
}

// property draws one of vCardProps.
func drawProperty(t *rapid.T) any {
	name := rapid.OneOf(rapid.SampledFrom([]string{
		"x-foo", "uid", "kind", "member", "fn", "tel", "adr", "note", "gender", "version", "begin", "end", "x-abdate", "x-ablabel", "agent", "photo", "rev", "created",
		"x-passerelle-id", "x-passerelle-link", "x-passerelle-created", "jsprop", "label", "x-addressbookserver-member", "geo", "related", "categories",
	}), drawText()).Draw(t, "name")
	typ := rapid.OneOf(rapid.SampledFrom([]string{"text", "unknown", "uri", "date-and-or-time", "integer"}), drawText()).Draw(t, "type")
	value := rapid.SampledFrom([]draw{text, listOf(text), small, func(*rapid.T) any { return nil }}).Draw(t, "value")
	return []any{name, params(t), typ, value(t)}
}

// members draws each member of a card.
func members() map[string]draw {
	context := setOf("private", "work", "billing", "delivery")
	pref := func(t *rapid.T) any { return rapid.IntRange(1, 100).Draw(t, "pref") }
	with := func(more map[string]draw) map[string]draw {
		all := map[string]draw{"contexts": context, "pref": pref, "label": text, "vCardParams": params}
		maps.Copy(all, more)
		return all
	}
	components := listOf(object(map[string]draw{"value": text}, map[string]draw{"phonetic": text, "kind": oneOf(
		"given", "surname", "surname2", "generation", "credential", "title", "separator", "name", "number", "locality", "country", "floor", "postOfficeBox")}))
	resource := byID(object(nil, with(map[string]draw{
		"kind": oneOf("photo", "logo", "sound", "contact", "entry", "directory", "calendar", "freeBusy"), "uri": text, "mediaType": oneOf("image/png"), "listAs": small,
	})))
	date := object(nil, map[string]draw{"year": small, "month": small, "day": small, "calendarScale": oneOf("gregorian"), "utc": moment, "@type": oneOf("PartialDate")})
	address := object(nil, with(map[string]draw{
		"full": text, "components": components, "isOrdered": oneBool, "defaultSeparator": text, "countryCode": text, "coordinates": oneOf("geo:48.85,2.35"), "timeZone": oneOf("Europe/Paris", "Etc/GMT-2"),
	}))
	return map[string]draw{
		"uid": text, "kind": oneOf("individual", "org", "Group", "x"), "language": oneOf("fr"), "prodId": text, "created": moment, "updated": moment,
		"relatedTo": byID(object(nil, map[string]draw{"relation": setOf("friend", "spouse", "FRIEND"), "vCardParams": params})),
		"name": object(nil, map[string]draw{
			"full": text, "components": components, "isOrdered": oneBool, "defaultSeparator": text, "phoneticScript": text,
			"sortAs": func(t *rapid.T) any { return map[string]any{"surname": text(t), "given": text(t), "x": text(t)} },
		}),
		"nicknames":          byID(object(nil, with(map[string]draw{"name": text}))),
		"organizations":      byID(object(nil, with(map[string]draw{"name": text, "sortAs": text, "units": listOf(object(nil, map[string]draw{"name": text, "sortAs": text}))}))),
		"titles":             byID(object(nil, with(map[string]draw{"name": text, "kind": oneOf("title", "role"), "organizationId": text}))),
		"speakToAs":          object(nil, map[string]draw{"grammaticalGender": oneOf("neuter", "common"), "pronouns": byID(object(nil, with(map[string]draw{"pronouns": text})))}),
		"emails":             byID(object(map[string]draw{"address": text}, with(nil))),
		"phones":             byID(object(map[string]draw{"number": text}, with(map[string]draw{"features": setOf("mobile", "voice", "fax")}))),
		"onlineServices":     byID(object(nil, with(map[string]draw{"service": text, "uri": text, "user": text, "vCardName": oneOf("impp", "IMPP")}))),
		"preferredLanguages": byID(object(map[string]draw{"language": text}, with(nil))),
		"addresses":          byID(address), "calendars": resource, "cryptoKeys": resource, "directories": resource, "links": resource, "media": resource,
		"schedulingAddresses": byID(object(nil, with(map[string]draw{"uri": text}))),
		"anniversaries":       byID(object(map[string]draw{"kind": oneOf("birth", "death", "wedding"), "date": date}, map[string]draw{"place": address, "vCardParams": params})),
		"keywords":            setOf("a,b", "c"),
		"notes":               byID(object(map[string]draw{"note": text}, map[string]draw{"created": moment, "author": object(nil, map[string]draw{"name": text, "uri": text}), "vCardParams": params})),
		"personalInfo":        byID(object(nil, with(map[string]draw{"kind": oneOf("expertise", "hobby", "interest"), "value": text, "level": oneOf("high", "low"), "listAs": small}))),
		"localizations":       byID(object(map[string]draw{"name/full": text}, nil)),
		"vCardProps":          listOf(drawProperty), "example.com:own": params,
	}
}

func oneBool(t *rapid.T) any { return rapid.Bool().Draw(t, "bool") }
