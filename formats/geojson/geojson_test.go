package geojson

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/passerelle-cloud/passerelle/formats"
)

func record(id, body string) formats.Record {
	return formats.Record{ID: id, Dataset: formats.Places, Kind: formats.KindFeature, Body: json.RawMessage(body)}
}

func stream(records ...formats.Record) formats.Records {
	return func(yield func(formats.Record, error) bool) {
		for _, r := range records {
			if !yield(r, nil) {
				return
			}
		}
	}
}

func written(t testing.TB, records ...formats.Record) string {
	t.Helper()
	var out bytes.Buffer
	if err := Codec().Encode(&out, stream(records...)); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func readAll(t testing.TB, text string) []formats.Record {
	t.Helper()
	var all []formats.Record
	for r, err := range Codec().Decode(strings.NewReader(text)) {
		if err != nil {
			t.Fatalf("%.300q: %v", text, err)
		}
		all = append(all, r)
	}
	return all
}

// show writes records as lines of id and body.
func show(records []formats.Record) string {
	var out strings.Builder
	for _, r := range records {
		out.WriteString(r.ID + " " + string(r.Body) + "\n")
	}
	return out.String()
}

const point = `{"type":"Feature","geometry":{"type":"Point","coordinates":[2.350,48.85660000000000001,1e1]},"properties":{"n":9007199254740993}}`

func TestWrite(t *testing.T) {
	got := written(t,
		record("own", `{"id":"own", "type":"Feature","geometry":null,"properties":null}`),
		record("none", `{"type":"Feature","geometry":null,"properties":null}`),
		record("other", `{"type":"Feature","id":7,"geometry":null,"properties":null,"passerelle:id":1}`),
		record("trip", `{"type":"FeatureCollection","features":[`+point+`,{"type":"Feature","id":"x","geometry":null,"properties":null}],"title":"Été"}`),
		record("nowhere", `{"features":[],"type":"FeatureCollection"}`),
		record("skipped", `[]`), formats.Record{ID: "d", Dataset: formats.Places, Kind: formats.KindDocument, Body: json.RawMessage(`{}`)},
	)
	want := `{"type":"FeatureCollection","features":[
{"id":"own","type":"Feature","geometry":null,"properties":null},
{"type":"Feature","id":"none","geometry":null,"properties":null,"passerelle:id":[]},
{"type":"Feature","id":"other","geometry":null,"properties":null,"passerelle:passerelle:id":1,"passerelle:id":[7]},
` + strings.TrimSuffix(point, "}") + `,"passerelle:part":{"record":"trip","index":0,"collection":{"type":"FeatureCollection","features":[],"title":"Été"}}},
{"type":"Feature","id":"x","geometry":null,"properties":null,"passerelle:part":{"record":"trip","index":1}},
{"type":"Feature","geometry":null,"properties":null,"passerelle:part":{"record":"nowhere","collection":{"features":[],"type":"FeatureCollection"}}}
]}
`
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if written(t) != "" || len(readAll(t, "")) != 0 {
		t.Error("no places do not give an empty file")
	}
}

// bodies are such as records have, fair ones and others.
var bodies = []string{
	point,
	`{"type":"Feature","id":null,"geometry":null,"properties":null}`,
	`{"type":"Feature","id":{"a":[]},"id":"twice","geometry":null}`,
	`{"type":"Feature","id":"r\u0030","geometry":null}`,
	`{"type":"Feature","passerelle:part":{"record":"x"},"passerelle:id":[],"\u0070asserelle:x":0,"passerelle:passerelle:y":1}`,
	`{"type":"Feature","geometry":{"type":"Polygon","coordinates":[[[0,0],[1,1]]]},"bbox":[]}`,
	`{"type":"FeatureCollection","features":[` + point + `,` + point + `],"a":{"b":0.10}}`,
	`{"features":[null,1,"x",[],{},{"type":"FeatureCollection","features":[]},{"type":"Feature","passerelle:part":{"record":"y","index":0}}],"type":"FeatureCollection"}`,
	`{"type":"FeatureCollection","features":[` + point + `],"features":[1],"passerelle:part":2}`,
	`{"type":"FeatureCollection","features":[]}`,
	`{"type":"FeatureCollection","features":{}}`,
	`{"type":"FeatureCollection"}`,
	`{"type":"Point","coordinates":[1,2]}`,
	`{"type":"\ud800"}`,
	`{}`,
	`{"type":"Feature","x":` + strings.Repeat("[", maxDepth-1) + strings.Repeat("]", maxDepth-1) + `}`,
	`{"x":` + strings.Repeat("[", maxDepth-1) + strings.Repeat("]", maxDepth-1) + `}`,
}

func TestRoundTrip(t *testing.T) {
	records := []formats.Record{record(strings.Repeat("x", 512), point)}
	for i, body := range bodies {
		records = append(records, record("r"+string(rune('0'+i)), body), record("<é\u2028🦊>"+string(rune('0'+i)), body))
	}
	if got, want := show(readAll(t, written(t, records...))), show(records); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	for _, r := range readAll(t, written(t, records...)) {
		if err := r.Validate(); err != nil {
			t.Error(err)
		}
	}
}

// TestShown: every geometry of a trip is that of a feature of the file.
func TestShown(t *testing.T) {
	var file struct {
		Features []struct{ Geometry *struct{ Type string } }
	}
	text := written(t, record("trip", `{"type":"FeatureCollection","features":[`+point+`,`+point+`]}`), record("p", point))
	if err := json.Unmarshal([]byte(text), &file); err != nil || len(file.Features) != 3 {
		t.Fatalf("%d features, %v", len(file.Features), err)
	}
	for i, f := range file.Features {
		if f.Geometry == nil || f.Geometry.Type != "Point" {
			t.Errorf("feature %d shows nothing", i)
		}
	}
}

func TestRead(t *testing.T) {
	const feature = `{"type":"Feature","geometry":null,"properties":null}`
	hash := func(body string) string { return formats.HashOf([]byte(body)).String()[:32] }
	long := strings.Repeat("x", 512)
	collection := `{"type":"FeatureCollection","name":"N","crs":{"x":1.0},"features":[]}`
	for name, c := range map[string]struct{ text, want string }{
		"geometry": {`{"type":"Point","coordinates":[1.0,2],"x":1}`,
			hash(`{"type":"Feature","geometry":{"type":"Point","coordinates":[1.0,2],"x":1},"properties":null}`) +
				` {"type":"Feature","geometry":{"type":"Point","coordinates":[1.0,2],"x":1},"properties":null}`},
		"feature":          {"\ufeff \n" + `{"geometry":null,"id":"a","type":"Feature"} `, `a {"geometry":null,"id":"a","type":"Feature"}`},
		"numbers as ids":   {`{"features":[{"type":"Feature","id":9007199254740993},{"type":"Feature","id":1.50}]}`, "9007199254740993 {\"type\":\"Feature\",\"id\":9007199254740993}\n1.50 {\"type\":\"Feature\",\"id\":1.50}"},
		"same ids":         {`{"features":[{"id":"a"},{"id":"a"},{"id":"a#2"}]}`, "a {\"id\":\"a\"}\na#2 {\"id\":\"a\"}\na#2#2 {\"id\":\"a#2\"}"},
		"long ids":         {`{"features":[{"id":"` + long + `"},{"id":"` + long + `"}]}`, long + ` {"id":"` + long + "\"}\n" + hash(long+"#2") + ` {"id":"` + long + `"}`},
		"unusable id":      {`{"features":[{"id":"\n"}]}`, hash(`{"id":"\n"}`) + ` {"id":"\n"}`},
		"type comes last":  {`{"name":"N","features":[` + feature + `],"crs":{"x":1.0},"type":"FeatureCollection"}`, hash(feature) + " " + feature + "\n" + hash(`{"name":"N","crs":{"x":1.0},"type":"FeatureCollection","features":[]}`) + ` {"name":"N","crs":{"x":1.0},"type":"FeatureCollection","features":[]}`},
		"beside features":  {collection, hash(collection) + " " + collection},
		"no features":      {`{"type":"FeatureCollection"}`, ""},
		"empty":            {"  ", ""},
		"geometry, listed": {`{"features":[{"type":"Point"}]}`, hash(`{"type":"Feature","geometry":{"type":"Point"},"properties":null}`) + ` {"type":"Feature","geometry":{"type":"Point"},"properties":null}`},
		"ring not closed":  {`{"features":[{"type":"Feature","id":"a","geometry":{"type":"Polygon","coordinates":[[[0],[]]]}}]}`, `a {"type":"Feature","id":"a","geometry":{"type":"Polygon","coordinates":[[[0],[]]]}}`},
		"parts shuffled, the first missing": {`{"features":[{"type":"Feature","passerelle:part":{"record":"t","index":2}},{"type":"Feature","passerelle:part":{"record":"t","index":1}},{"id":"a"}]}`,
			`t {"type":"FeatureCollection","features":[{"type":"Feature"},{"type":"Feature"}]}` + "\na {\"id\":\"a\"}"},
		"our members, misused": {`{"features":[{"id":"a","passerelle:id":3,"passerelle:part":{"record":""}},{"passerelle:id":[]}]}`,
			`a {"id":"a","passerelle:id":3,"passerelle:part":{"record":""}}` + "\n" + hash(`{"passerelle:id":[]}`) + ` {"passerelle:id":[]}`},
	} {
		t.Run(name, func(t *testing.T) {
			got := readAll(t, c.text)
			if strings.TrimSpace(show(got)) != c.want {
				t.Errorf("got\n%swant\n%s", show(got), c.want)
			}
			if again := readAll(t, written(t, got...)); show(again) != show(got) {
				t.Errorf("written and read again\n%swant\n%s", show(again), show(got))
			}
		})
	}
}

func TestRefused(t *testing.T) {
	deep := strings.Repeat("[", 20000)
	for _, c := range []struct{ text, want string }{
		{`[]`, "not an object"}, {`null`, "not an object"}, {`7`, "not an object"}, {`{"type":"Topology","objects":{}}`, `"Topology"`}, {`{}`, `type is ""`},
		{`{"features":{}}`, "not an array"}, {`{"features":[{},5]}`, "feature 2 is not an object"}, {`{"features":[{}`, "ends in the middle"},
		{`{"type":"Feature"`, "ends in the middle"}, {`{"type":"Feature"} {}`, "something follows"}, {`{"type":"Feature"}x`, "byte 18"}, {`<gpx/>`, "byte"},
		{`{"features":[{"a":` + deep, "depth"}, {`{"features":[{"a":` + deep[:2000] + strings.Repeat("]", 2000) + `}]}`, "deeper than"},
		{"{\"type\":\"Feature\",\"a\":\"\xff\"}", "not UTF-8"}, {`{"type":"Feature","a":01}`, "byte"},
	} {
		var err error
		for _, e := range Codec().Decode(strings.NewReader(c.text)) {
			err = e
		}
		if !errors.Is(err, formats.ErrInvalid) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%.60s: got %v, want %q", c.text, err, c.want)
		}
	}
	broken := errors.New("cable")
	for _, err := range Codec().Decode(iotest.ErrReader(broken)) {
		if !errors.Is(err, broken) || errors.Is(err, formats.ErrInvalid) {
			t.Errorf("got %v", err)
		}
	}
	if err := Codec().Encode(&bytes.Buffer{}, stream(record("bad", `{"type":`))); !errors.Is(err, formats.ErrInvalid) || !strings.Contains(err.Error(), `"bad"`) {
		t.Errorf("got %v", err)
	}
	failed := func(yield func(formats.Record, error) bool) { yield(formats.Record{}, broken) }
	if err := Codec().Encode(&bytes.Buffer{}, failed); !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
	if err := Codec().Encode(brokenWriter{}, stream(record("p", point))); !errors.Is(err, errBroken) {
		t.Errorf("got %v", err)
	}
}

var errBroken = errors.New("disk full")

type brokenWriter struct{}

func (brokenWriter) Write([]byte) (int, error) { return 0, errBroken }

// endless gives a text, then one that never ends.
type endless struct{ head *strings.Reader }

func (e endless) Read(p []byte) (int, error) {
	if n, err := e.head.Read(p); err == nil {
		return n, nil
	}
	for i := range p {
		p[i] = 'x'
	}
	return len(p), nil
}

// TestEndless: one value without an end, and members of the root without number, stop at a bound.
func TestEndless(t *testing.T) {
	walked := walk(endless{strings.NewReader(`{"features":[{"a":"`)}, func(formats.Record, error) bool { return true })
	if !errors.Is(walked, formats.ErrInvalid) || !strings.Contains(walked.Error(), "more than") {
		t.Errorf("got %v", walked)
	}
}

// TestNotWritten: a body that nests too deep costs itself, not the file.
func TestNotWritten(t *testing.T) {
	deep := `{"type":"Feature","x":` + strings.Repeat("[", 5000) + strings.Repeat("]", 5000) + `}`
	if got := readAll(t, written(t, record("deep", deep), record("p", point))); len(got) != 1 || got[0].ID != "p" {
		t.Errorf("got %.300s", show(got))
	}
	if got := written(t, record("p", "{\"type\":\"Feature\",\"a\":\"\xff\"}")); len(readAll(t, got)) != 1 {
		t.Errorf("got %q", got)
	}
}

// TestStreams: features are given while the file is read.
func TestStreams(t *testing.T) {
	broken := errors.New("cable")
	in := iotest.DataErrReader(strings.NewReader(`{"features":[{"id":"a"},{"id":"b"},`))
	n := 0
	err := walk(&cut{in, broken}, func(r formats.Record, err error) bool { n++; return true })
	if n != 2 || !errors.Is(err, broken) {
		t.Errorf("%d records, %v", n, err)
	}
}

type cut struct {
	in  interface{ Read([]byte) (int, error) }
	err error
}

func (c *cut) Read(p []byte) (int, error) {
	n, err := c.in.Read(p)
	if err != nil {
		err = c.err
	}
	return n, err
}

func TestTwice(t *testing.T) {
	const text = `{"features":[{"id":"a"},{"id":"b"}]}`
	for _, in := range []interface{ Read([]byte) (int, error) }{strings.NewReader(text), iotest.OneByteReader(strings.NewReader(text))} {
		records := Codec().Decode(in)
		for range 2 {
			for r, err := range records {
				if err != nil || r.ID != "a" {
					t.Errorf("%s %v", r.ID, err)
				}
				break
			}
		}
	}
}

func TestSamples(t *testing.T) {
	dir := os.Getenv("PASSERELLE_SAMPLES")
	if dir == "" {
		t.Skip("PASSERELLE_SAMPLES is not set: no places from elsewhere")
	}
	files, _ := filepath.Glob(filepath.Join(dir, "places", "*.geojson"))
	if len(files) == 0 {
		t.Fatal("no samples")
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		got := readAll(t, string(text))
		whole, _ := compact(text)
		if len(got) != 1 || !strings.Contains(string(got[0].Body), string(whole)) {
			t.Errorf("%s: %.300s", filepath.Base(file), show(got))
		}
		if again := readAll(t, written(t, got...)); show(again) != show(got) {
			t.Errorf("%s does not come back", filepath.Base(file))
		}
	}
}
