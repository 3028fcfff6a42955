package markdown

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/passerelle-cloud/passerelle/formats"
)

func record(id, path, body string) formats.Record {
	return formats.Record{ID: id, Dataset: formats.Notes, Kind: formats.KindNote, Path: path, Body: json.RawMessage(body)}
}

func written(t testing.TB, r formats.Record) string {
	t.Helper()
	var out bytes.Buffer
	if err := Codec().Encode(&out, func(yield func(formats.Record, error) bool) { yield(r, nil) }); err != nil {
		t.Fatalf("%q: %v", r.Body, err)
	}
	return out.String()
}

func readBack(t testing.TB, text string) formats.Record {
	t.Helper()
	for r, err := range Codec().Decode(strings.NewReader(text)) {
		if err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		return r
	}
	t.Fatalf("%q: no record", text)
	return formats.Record{}
}

// same compares JSON: members in any order, numbers by their digits.
func same(t testing.TB, a, b json.RawMessage) bool {
	t.Helper()
	var values [2]any
	for i, raw := range []json.RawMessage{a, b} {
		dec := json.NewDecoder(bytes.NewReader(raw))
		dec.UseNumber()
		if err := dec.Decode(&values[i]); err != nil {
			t.Fatalf("%q: %v", raw, err)
		}
	}
	return reflect.DeepEqual(values[0], values[1])
}

func TestWrite(t *testing.T) {
	r := record("n1", "tree/Notes/Courses.cozy-note", `{"title":"Courses","markdown":"# Courses\r\n\n* lait","tags":["maison","2024"],`+
		`"mediaType":"text/x","proseMirror":{"version":3},"frontMatter":{"weight":9007199254740993,"rate":0.10,"big":1e21,"nested":{"draft":true,"none":null},"on":"yes","at":"12:30:45"}}`)
	r.Created = time.Date(2024, 3, 9, 16, 5, 0, 120, time.UTC)
	r.Modified = time.Date(2024, 3, 10, 16, 5, 0, 0, time.FixedZone("", 3600))
	want := `---
id: n1
title: Courses
created: 2024-03-09T16:05:00.00000012Z
modified: 2024-03-10T15:05:00Z
tags:
  - maison
  - "2024"
mediaType: text/x
path: tree/Notes/Courses.cozy-note
weight: 9007199254740993
rate: 0.10
big: 1e21
nested:
  draft: true
  none: null
"on": "yes"
at: "12:30:45"
---
` + "# Courses\r\n\n* lait"
	if got := written(t, r); got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
}

func TestRead(t *testing.T) {
	for name, c := range map[string]struct{ text, body string }{
		"plain":               {"just text\n", `{"title":"","markdown":"just text\n"}`},
		"heading":             {"intro\n\n## The *title* ##\nx", `{"title":"The *title*","markdown":"intro\n\n## The *title* ##\nx"}`},
		"underlined heading":  {"Title\r\n=====\r\nx", `{"title":"Title","markdown":"Title\r\n=====\r\nx"}`},
		"heading in code":     {"```sh\n# not\n```\n~~~ ~x\n# nor\n~~~~\n# this", `{"title":"this","markdown":"` + "```sh\\n# not\\n```\\n~~~ ~x\\n# nor\\n~~~~\\n# this" + `"}`},
		"rule is no heading":  {"- item\n---\n> quote\n===\n", `{"title":"","markdown":"- item\n---\n> quote\n===\n"}`},
		"hash without blank":  {"#tag\n#\n# real", `{"title":"real","markdown":"#tag\n#\n# real"}`},
		"front matter":        {"---\ntitle: A\ntags: [x, y]\n---\n\nB", `{"title":"A","tags":["x","y"],"markdown":"\nB"}`},
		"front matter, CRLF":  {"---\r\ntitle: A\r\n---\r\nB\r\n", `{"title":"A","markdown":"B\r\n"}`},
		"dots close":          {"---\ntitle: A\n...\nB", `{"title":"A","markdown":"B"}`},
		"byte order mark":     {"\ufeff---\ntitle: A\n---\n\ufeffB", `{"title":"A","markdown":"\ufeffB"}`},
		"mark, no front":      {"\ufeffB", `{"title":"","markdown":"B"}`},
		"only front matter":   {"---\ntitle: A\n---", `{"title":"A","markdown":""}`},
		"title is a number":   {"---\ntitle: 2024\n---\n", `{"title":"2024","markdown":"","frontMatter":{"title":2024}}`},
		"title is a list":     {"---\ntitle: [a]\n---\n# H", `{"title":"H","markdown":"# H","frontMatter":{"title":["a"]}}`},
		"title is empty":      {"---\ntitle:\n---\n# H", `{"title":"H","markdown":"# H"}`},
		"title is no text":    {"---\ntitle: \"\"\n---\n# H", `{"title":"","markdown":"# H"}`},
		"tags in a line":      {"---\ntags: a, b\n---\n", `{"title":"","markdown":"","tags":["a","b"],"frontMatter":{"tags":"a, b"}}`},
		"tags with a number":  {"---\ntags: [a, 1, null]\n---\n", `{"title":"","markdown":"","tags":["a","1"],"frontMatter":{"tags":["a",1,null]}}`},
		"digits":              {"---\na: 9007199254740993\nb: 0.10\nc: 1e21\nd: 0x1F\ne: .inf\nf: 007\ng: 2026-01-14\nh: yes\ni: +1\nj: 1_000\n---\n", `{"title":"","markdown":"","frontMatter":{"a":9007199254740993,"b":0.10,"c":1e21,"d":"0x1F","e":".inf","f":"007","g":"2026-01-14","h":"yes","i":"+1","j":"1_000"}}`},
		"alias":               {"---\na: &x [1]\nb: *x\n---\n", `{"title":"","markdown":"","frontMatter":{"a":[1],"b":[1]}}`},
		"broken":              {"---\n# c\ntitle: [\n---\nB", `{"title":"","markdown":"---\n# c\ntitle: [\n---\nB"}`},
		"tab":                 {"---\n\ta: b\n---\nB", `{"title":"","markdown":"---\n\ta: b\n---\nB"}`},
		"twice":               {"---\na: 1\na: 2\n---\n", `{"title":"","markdown":"---\na: 1\na: 2\n---\n"}`},
		"own tag":             {"---\na: !mine 1\n---\n", `{"title":"","markdown":"---\na: !mine 1\n---\n"}`},
		"list as key":         {"---\n? [a]\n: 1\n---\n", `{"title":"","markdown":"---\n? [a]\n: 1\n---\n"}`},
		"two rules":           {"---\n---\ntext", `{"title":"","markdown":"---\n---\ntext"}`},
		"text between rules":  {"---\nHello\n---\ntext", `{"title":"","markdown":"---\nHello\n---\ntext"}`},
		"unclosed":            {"---\ntitle: A\nB", `{"title":"","markdown":"---\ntitle: A\nB"}`},
		"TOML":                {"+++\n# c\ntitle = \"A\"\n+++\n# H", `{"title":"H","markdown":"+++\n# c\ntitle = \"A\"\n+++\n# H"}`},
		"somebody's path, id": {"---\nid: \"\"\npath: /x\ncreated: yesterday\n---\n", `{"title":"","markdown":"","frontMatter":{"id":"","path":"/x","created":"yesterday"}}`},
		"somebody's patch":    {"---\npasserelle: {a: not json}\n---\n", `{"title":"","markdown":"","frontMatter":{"passerelle":{"a":"not json"}}}`},
	} {
		t.Run(name, func(t *testing.T) {
			got := readBack(t, c.text)
			if !same(t, got.Body, json.RawMessage(c.body)) {
				t.Errorf("got  %s\nwant %s", got.Body, c.body)
			}
			if err := got.Validate(); err != nil {
				t.Error(err)
			}
			again := readBack(t, written(t, got))
			if !same(t, again.Body, got.Body) || again.ID != got.ID {
				t.Errorf("written and read again: %s %s", again.ID, again.Body)
			}
		})
	}
}

func TestReadEnvelope(t *testing.T) {
	day := time.Date(2026, 1, 14, 0, 0, 0, 0, time.UTC)
	got := readBack(t, "---\nid: 42\npath: tree/a/b.md\ndate: 2026-01-14\nlastmod: 2026-01-14 02:00:00 +0200\n---\n")
	if got.ID != "42" || got.Path != "tree/a/b.md" || !got.Created.Equal(day) || !got.Modified.Equal(day) {
		t.Errorf("got %+v", got)
	}
	if again := readBack(t, written(t, got)); !reflect.DeepEqual(again, got) {
		t.Errorf("got  %+v\nwant %+v", again, got)
	}
	got.Created = time.Time{} // the date of the front matter must not come back as that of the record
	if again := readBack(t, written(t, got)); !again.Created.IsZero() || !same(t, again.Body, got.Body) {
		t.Errorf("got %v %s", again.Created, again.Body)
	}
	if a, b := readBack(t, "x"), readBack(t, "x"); a.ID != b.ID || a.ID == readBack(t, "y").ID {
		t.Error("ids are not those of the contents")
	}
}

// TestDatesStay: a date that another program wrote is written back as it was.
func TestDatesStay(t *testing.T) {
	const text = "---\nid: note\ntitle: T\ncreated: 2026-01-14\nkey: 2026-01-15\n---\nB"
	if got := written(t, readBack(t, text)); got != text {
		t.Errorf("got %q", got)
	}
}

// TestPatch: what front matter cannot say is still not lost.
func TestPatch(t *testing.T) {
	deep := strings.Repeat("[", 200) + strings.Repeat("]", 200)
	for _, body := range []string{
		`{"title":"T","markdown":"","example.com:colour":"red","other":{"a":[1e400,-0]}}`,
		`{"title":"T","markdown":"","tags":[],"mediaType":"","restorePath":null}`,
		`{"title":"T","markdown":"","frontMatter":{"title":"other","id":"x","created":"2024-01-01T00:00:00Z","tags":["a"],"path":"tree/x","passerelle":{"a":"1"}}}`,
		`{"title":"T","markdown":"","frontMatter":[1,2]}`,
		`{"title":"T","markdown":"","frontMatter":{}}`,
		`{"title":"T","markdown":"","frontMatter":{"deep":` + deep + `}}`,
		`{"title":"T","markdown":"","frontMatter":{"":0,"<<":{"a":1},"a\nb":"c\r\nd ","\u2028":"\ufeff","\u0000":"---\n...\n"," ":" "}}`,
		`{}`,
	} {
		got := readBack(t, written(t, record("n", "", body)))
		if !same(t, got.Body, json.RawMessage(body)) {
			t.Errorf("got %.300s\nwant %.300s", got.Body, body)
		}
	}
}

func TestHostile(t *testing.T) {
	bomb := "---\na: &a [x,x,x,x,x,x,x,x,x]\n"
	for c := 'b'; c < 'm'; c++ {
		bomb += string(c) + ": &" + string(c) + " [" + strings.Repeat("*"+string(c-1)+",", 9) + "]\n"
	}
	for name, text := range map[string]string{
		"bomb":        bomb + "---\nB",
		"loop":        "---\na: &a [*a]\n---\nB",
		"deep flow":   "---\na: " + strings.Repeat("[", 9000) + "\n---\nB",
		"deep blocks": "---\n" + strings.Repeat("- ", 9000) + "\n---\nB",
		"large":       "---\na: " + strings.Repeat("x", maxFront) + "\n---\nB",
		"no anchor":   "---\na: *b\n---\nB",
		"controls":    "---\na: \x00\x01\n---\nB",
		"directive":   "---\n%YAML 9.9\n---\nB",
	} {
		t.Run(name, func(t *testing.T) {
			note, err := formats.BodyAs[formats.Note](readBack(t, text))
			if err != nil || note.Markdown != text {
				t.Errorf("got %.80q, %v", note.Markdown, err)
			}
		})
	}
}

func TestRefused(t *testing.T) {
	for want, text := range map[string]string{"byte 3 is not UTF-8": "abc\xff", "more than": strings.Repeat("x", maxNote+1)} {
		for _, err := range Codec().Decode(strings.NewReader(text)) {
			if !errors.Is(err, formats.ErrInvalid) || !strings.Contains(err.Error(), want) {
				t.Errorf("got %v, want %q", err, want)
			}
		}
	}
	broken := errors.New("cable")
	for _, err := range Codec().Decode(iotest.ErrReader(broken)) {
		if !errors.Is(err, broken) {
			t.Errorf("got %v", err)
		}
	}
	for range Codec().Decode(strings.NewReader("")) {
		t.Error("an empty file gives a record")
	}
	two := func(yield func(formats.Record, error) bool) {
		_ = yield(record("a", "", `{"title":"","markdown":""}`), nil) && yield(record("b", "", `{"title":"","markdown":""}`), nil)
	}
	if err := Codec().Encode(&bytes.Buffer{}, two); !errors.Is(err, formats.ErrInvalid) {
		t.Errorf("two notes in a file: %v", err)
	}
	for _, body := range []string{`{"title":1}`, `[]`, `{`, `{"frontMatter":{"big":"` + strings.Repeat("x", maxFront) + `"}}`} {
		one := func(yield func(formats.Record, error) bool) { yield(record("a", "", body), nil) }
		if err := Codec().Encode(&bytes.Buffer{}, one); !errors.Is(err, formats.ErrInvalid) {
			t.Errorf("%.40s: %v", body, err)
		}
	}
}

// TestTwice: a walk can be repeated, also where the reader cannot.
func TestTwice(t *testing.T) {
	records := Codec().Decode(iotest.OneByteReader(strings.NewReader("# H")))
	for range 2 {
		n := 0
		for r, err := range records {
			if err != nil || !strings.Contains(string(r.Body), "# H") {
				t.Errorf("%s: %v", r.Body, err)
			}
			n++
		}
		if n != 1 {
			t.Errorf("%d records", n)
		}
	}
}

func TestSamples(t *testing.T) {
	dir := os.Getenv("PASSERELLE_SAMPLES")
	if dir == "" {
		t.Skip("PASSERELLE_SAMPLES is not set: no notes from elsewhere")
	}
	titles := map[string]string{"code.md": "Notes on the build", "frontmatter.md": "Reading list"}
	files, _ := filepath.Glob(filepath.Join(dir, "notes", "*.md"))
	if len(files) == 0 {
		t.Fatal("no samples")
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		r := readBack(t, string(text))
		note, err := formats.BodyAs[formats.Note](r)
		if err != nil || note.Title != titles[filepath.Base(file)] || !strings.HasSuffix(string(text), note.Markdown) {
			t.Errorf("%s: %q %v", filepath.Base(file), note.Title, err)
		}
		if again := readBack(t, written(t, r)); !reflect.DeepEqual(again, r) {
			t.Errorf("%s: got %+v\nwant %+v", filepath.Base(file), again, r)
		}
	}
}
