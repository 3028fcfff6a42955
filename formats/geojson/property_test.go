package geojson

import (
	"encoding/json"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/passerelle-cloud/passerelle/formats"
)

func anyText() *rapid.Generator[string] {
	return rapid.OneOf(rapid.SampledFrom([]string{"type", "id", "features", "Feature", "FeatureCollection", "Point", "geometry", "passerelle:id",
		"passerelle:part", "passerelle:", "passerelle:passerelle:id", "r1", "\u2028<>&"}), rapid.StringN(0, 3, -1))
}

func anyJSON(depth int) *rapid.Generator[string] {
	text := rapid.Map(anyText(), func(s string) string { return string(formats.AppendString(nil, s)) })
	leaves := rapid.OneOf(text, rapid.StringMatching(`-?(0|[1-9][0-9]{0,20})(\.[0-9]{1,3})?([eE][+-]?[0-9]{1,3})?`), rapid.SampledFrom([]string{"null", "true", `"\u0041\ud800"`}))
	if depth == 0 {
		return leaves
	}
	array := rapid.Map(rapid.SliceOfN(anyJSON(depth-1), 0, 3), func(e []string) string { return "[" + strings.Join(e, ",") + "]" })
	return rapid.OneOf(leaves, array, anyObject(depth-1, nil))
}

// anyObject draws an object, which may have a member twice. Its first members are often those given.
func anyObject(depth int, first []string) *rapid.Generator[string] {
	return rapid.Custom(func(t *rapid.T) string {
		var members []string
		if rapid.Bool().Draw(t, "first") {
			members = append(members, first...)
		}
		for range rapid.IntRange(0, 3).Draw(t, "members") {
			members = append(members, string(formats.AppendString(nil, anyText().Draw(t, "name")))+":"+anyJSON(depth).Draw(t, "value"))
		}
		return "{" + strings.Join(rapid.Permutation(members).Draw(t, "order"), ",") + "}"
	})
}

func anyBody() *rapid.Generator[string] {
	feature := anyObject(2, []string{`"type":"Feature"`, `"geometry":null`})
	collection := rapid.Custom(func(t *rapid.T) string {
		features := rapid.SliceOfN(rapid.OneOf(feature, anyJSON(1)), 0, 4).Draw(t, "features")
		return anyObject(1, []string{`"type":"FeatureCollection"`, `"features":[` + strings.Join(features, ",") + `]`}).Draw(t, "collection")
	})
	return rapid.OneOf(feature, collection)
}

func TestRoundTripOfAnything(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		var records []formats.Record
		for i, body := range rapid.SliceOfN(anyBody(), 1, 4).Draw(rt, "bodies") {
			records = append(records, record("r"+strconv.Itoa(i), body))
		}
		text := written(t, records...)
		if !json.Valid([]byte(text)) {
			rt.Fatalf("not JSON: %s", text)
		}
		if got := show(readAll(t, text)); got != show(records) {
			rt.Fatalf("text\n%s\ngot\n%s\nwant\n%s", text, got, show(records))
		}
	})
}

func FuzzRead(f *testing.F) {
	for _, body := range bodies[:15] {
		f.Add(body)
		f.Add(`{"type":"FeatureCollection","features":[` + body + `],"name":"N"}`)
	}
	f.Add(`{"features":[{"passerelle:part":{"record":"a","index":0,"collection":{"features":1},"value":null}},{"id":"a","passerelle:id":[]}]}`)
	f.Fuzz(func(t *testing.T, text string) {
		var records []formats.Record
		for r, err := range Codec().Decode(strings.NewReader(text)) {
			if err != nil {
				return
			}
			if err := r.Validate(); err != nil {
				t.Fatal(err)
			}
			if _, err := r.AppendLine(nil); err != nil {
				t.Fatal(err)
			}
			records = append(records, r)
		}
		if got := show(readAll(t, written(t, records...))); got != show(records) {
			t.Fatalf("got\n%s\nwant\n%s", got, show(records))
		}
	})
}
