package markdown

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"pgregory.net/rapid"

	"github.com/passerelle-cloud/passerelle/formats"
)

// anyText draws text, often such as means something in Markdown or YAML.
func anyText() *rapid.Generator[string] {
	special := rapid.SampledFrom([]string{"---", "...", "\n", "\r\n", "+++", "# ", ": ", "- ", "*a", "&a", "!x", "|", ">", "<<", "~", "null", "true", "yes",
		"2026-01-14", "0x1F", "1e3", ".inf", "'", `"`, "\t", " ", "\ufeff", "\u2028", "\u0085", "%", "@", "`", "\x00", "é", "e\u0301", "🦊", "title", "{", "[", "#"})
	return rapid.Map(rapid.SliceOfN(rapid.OneOf(special, rapid.StringN(0, 4, -1)), 0, 8), func(parts []string) string { return strings.Join(parts, "") })
}

func anyJSON(depth int) *rapid.Generator[string] {
	leaves := rapid.OneOf(
		rapid.Map(anyText(), func(s string) string { return string(marshal(s)) }),
		rapid.StringMatching(`-?(0|[1-9][0-9]{0,20})(\.[0-9]{1,3})?([eE][+-]?[0-9]{1,3})?`),
		rapid.SampledFrom([]string{"null", "true", "false"}),
	)
	if depth == 0 {
		return leaves
	}
	array := rapid.Map(rapid.SliceOfN(anyJSON(depth-1), 0, 3), func(e []string) string { return "[" + strings.Join(e, ",") + "]" })
	return rapid.OneOf(leaves, array, anyObject(depth-1))
}

func anyObject(depth int) *rapid.Generator[string] {
	names := rapid.OneOf(anyText(), rapid.SampledFrom([]string{"id", "title", "created", "modified", "date", "updated", "tags", "mediaType", "path", "restorePath", "passerelle"}))
	return rapid.Map(rapid.MapOfN(names, anyJSON(depth), 0, 4), func(m map[string]string) string {
		raw := map[string]json.RawMessage{}
		for name, value := range m {
			raw[name] = json.RawMessage(value)
		}
		text, _ := formats.MarshalBody(raw)
		return string(text)
	})
}

func anyTime() *rapid.Generator[time.Time] {
	return rapid.Custom(func(t *rapid.T) time.Time {
		if rapid.Bool().Draw(t, "unknown") {
			return time.Time{}
		}
		return time.Unix(rapid.Int64Range(-6e10, 2e11).Draw(t, "seconds"), rapid.Int64Range(0, 999999999).Draw(t, "nanoseconds")).UTC()
	})
}

func anyRecord() *rapid.Generator[formats.Record] {
	return rapid.Custom(func(t *rapid.T) formats.Record {
		clean := func(s string) string {
			return strings.Map(func(c rune) rune {
				if c < ' ' || c == 0x7f {
					return '_'
				}
				return c
			}, s)
		}
		r := record("n"+clean(anyText().Draw(t, "id")), "", "")
		if rapid.Bool().Draw(t, "placed") {
			r.Path = formats.Tree.Place("x" + anyText().Draw(t, "path"))
		}
		r.Created, r.Modified = anyTime().Draw(t, "created"), anyTime().Draw(t, "modified")
		body := map[string]json.RawMessage{"title": marshal(anyText().Draw(t, "title")), "markdown": marshal(anyText().Draw(t, "markdown"))}
		optional := map[string]*rapid.Generator[string]{
			"tags":        rapid.Map(rapid.SliceOfN(anyText(), 0, 3), func(tags []string) string { return string(marshal(tags)) }),
			"mediaType":   rapid.Map(anyText(), func(s string) string { return string(marshal(s)) }),
			"restorePath": rapid.Map(anyText(), func(s string) string { return string(marshal(s)) }),
			"frontMatter": rapid.OneOf(anyObject(2), anyJSON(1)),
			"example.com": anyJSON(1),
		}
		for _, name := range []string{"tags", "mediaType", "restorePath", "frontMatter", "example.com"} {
			if rapid.Bool().Draw(t, "with "+name) {
				body[name] = json.RawMessage(optional[name].Draw(t, name))
			}
		}
		r.Body, _ = formats.MarshalBody(body)
		return r
	})
}

func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		want := anyRecord().Draw(rt, "record")
		text := written(t, want)
		got := readBack(t, text)
		if !same(t, got.Body, want.Body) || got.ID != want.ID || got.Path != want.Path || !got.Created.Equal(want.Created) || !got.Modified.Equal(want.Modified) {
			rt.Fatalf("text %q\ngot  %+v %s\nwant %+v %s", text, got, got.Body, want, want.Body)
		}
	})
}

func TestName(t *testing.T) {
	long := strings.Repeat("é", 300)
	for _, c := range []struct{ path, title, want string }{
		{"tree/Notes/Courses.cozy-note", "x", "tree/Notes/Courses"},
		{"trash/v1.2.MD", "x", "trash/v1.2"},
		{"", "Courses: 3/4 ?", "Courses_ 3_4 _"},
		{"", "", "note"},
		{"", " . . ", "_"},
		{"", "CON", "_CON"},
		{"", "nul .tar", "_nul .tar"},
		{"", "COM¹.a.b", "_COM¹.a.b"},
		{"", "console", "console"},
		{"tree/aux/../x.md/...", "", "tree/_aux/_/x.md_/_"},
		{"tree/~passerelle~/a", "", "tree/_~passerelle~/a"},
		{"", "a\u202eb\x00\u0085%\ufffd", "a_b____"},
		{"", long, strings.Repeat("é", 90)},
		{"tree/" + strings.Repeat(long+"/", 5) + "a", "", "a"},
		{"tree//a/", "", "tree/_/a/note"},
	} {
		r := record("id", c.path, string(marshal(formats.Note{Title: c.title})))
		if got := name(r); got != c.want+"~a56145270ce6b3be.md" {
			t.Errorf("%q %q: got %q", c.path, c.title, got)
		}
	}
	if got := name(record("id", "", `{"title":1}`)); got != "note~a56145270ce6b3be.md" {
		t.Errorf("a broken body has the name %q", got)
	}
	for _, r := range []formats.Record{
		{}, formats.Tombstone(formats.Notes, "a", formats.KindNote, time.Now()),
		{ID: "a", Dataset: formats.Notes, Kind: formats.KindFolder, Body: json.RawMessage(`{}`)},
	} {
		if got := name(r); got != "" {
			t.Errorf("%+v has the name %q", r, got)
		}
	}
}

func TestNamesAreSafeAndUnique(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := anyRecord().Draw(t, "a"), anyRecord().Draw(t, "b")
		if rapid.Bool().Draw(t, "same place") {
			b.Path = a.Path
		}
		if rapid.Bool().Draw(t, "below") && a.Path != "" {
			b.Path = formats.Tree.Place(name(a) + "/b")
		}
		names := [2]string{name(a), name(b)}
		if a.ID != b.ID && (strings.EqualFold(names[0], names[1]) || strings.HasPrefix(names[1], names[0]+"/")) {
			t.Fatalf("%q and %q", names[0], names[1])
		}
		for _, n := range names {
			if !strings.HasSuffix(n, ".md") {
				t.Fatalf("%q", n)
			}
			for segment := range strings.SplitSeq(n, "/") {
				bad := strings.ContainsFunc(segment, func(c rune) bool { return unicode.IsControl(c) || strings.ContainsRune(`<>:"\|?*`, c) })
				if bad || segment == "" || len(segment) > 200 || !utf8.ValidString(segment) || strings.TrimRight(segment, ". ") != segment || reserved.MatchString(segment) {
					t.Fatalf("%q of %q", segment, n)
				}
			}
		}
	})
}

func FuzzRead(f *testing.F) {
	for _, text := range []string{"", "# H", "---\ntitle: A\ntags: [x]\n---\nB", "---\na: &x {b: *x}\n---\n", "---\n? a\n: !!binary eA==\n...\n", "\ufeff+++\n", "---\r\n#\r\n- \t'\"", "a\n--\n```\n"} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		if invalidAt(text) >= 0 || len(text) == 0 {
			return
		}
		r, err := decode(text)
		if err != nil {
			t.Fatal(err)
		}
		if err := r.Validate(); err != nil {
			t.Fatal(err)
		}
		note, err := formats.BodyAs[formats.Note](r)
		if err != nil || note.FrontMatter == nil && !strings.Contains(string(text), note.Markdown) {
			return // a patch may say anything
		}
		again, err := decode([]byte(written(t, r)))
		if err != nil || !same(t, again.Body, withoutEditor(t, r.Body)) || again.ID != r.ID {
			t.Fatalf("%v: got %s %s\nwant %s %s", err, again.ID, again.Body, r.ID, r.Body)
		}
	})
}

func withoutEditor(t *testing.T, body json.RawMessage) json.RawMessage {
	t.Helper()
	out, err := formats.PatchObject{"proseMirror": json.RawMessage("null")}.Apply(body)
	if err != nil {
		t.Fatal(err)
	}
	return out
}
