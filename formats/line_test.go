package formats

import (
	"reflect"
	"testing"
)

// FuzzParseLine holds the fast way of reading a line against the general one.
func FuzzParseLine(f *testing.F) {
	for _, line := range []string{
		`{"id":"a","dataset":"files","kind":"file","path":"tree/é","created":"2026-01-02T03:04:05.000000006Z","modified":"2026-01-02T03:04:05Z","blob":{"sha256":"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855","size":0,"type":"text/plain"},"links":[{"rel":"album","dataset":"photos","id":"x"},{"rel":"album","dataset":"photos","id":"y"}],"body":{"a":[1,{"b":"}\\\""}]},"native":{"type":"t","document":{"n":1e21}}}`,
		`{"id":"a","dataset":"other","kind":"document","deleted":"2026-01-02T03:04:05Z"}`,
		`{"id":"a\u0041","dataset":"other","kind":"document","body":{}}`,
		`{"kind":"document","id":"a","dataset":"other"}`,
		`{"id":"a","dataset":"other","kind":"document","body":{"a":}}`,
		`{"id":"a","dataset":"other","kind":"document","body":[]]}`,
		`{"id":"a","dataset":"other","kind":"document","blob":{"sha256":"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855","size":007}}`,
		`{"id":"a","dataset":"other","kind":"document","created":"2026-01-02T03:04:05+02:00"}`,
	} {
		f.Add([]byte(line))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		fast, ok := parseCanonical(line)
		if !ok {
			return
		}
		slow, err := parseAny(line)
		if fastErr := fast.Validate(); (err == nil) != (fastErr == nil) {
			t.Fatalf("general: %v; fast: %v", err, fastErr)
		}
		if err == nil && !reflect.DeepEqual(fast, slow) {
			t.Fatalf("fast %+v\nslow %+v", fast, slow)
		}
	})
}

func TestCanonicalLinesTakeTheFastWay(t *testing.T) {
	line := `{"id":"a","dataset":"files","kind":"file","path":"tree/é","modified":"2026-01-02T03:04:05Z","blob":{"sha256":"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855","size":12},"body":{"tags":["a\\"]}}`
	if _, ok := parseCanonical([]byte(line)); !ok {
		t.Fatal("given up")
	}
}
