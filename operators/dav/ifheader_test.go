package dav

import (
	"reflect"
	"testing"
)

func TestParseIf(t *testing.T) {
	for text, want := range map[string]ifHeader{
		`(<urn:a>)`:                                 {{conditions: []ifCondition{{token: "urn:a"}}}},
		`(<urn:a> ["e"])(Not <urn:b>)`:              {{conditions: []ifCondition{{token: "urn:a"}, {etag: `"e"`}}}, {conditions: []ifCondition{{not: true, token: "urn:b"}}}},
		`(<urn:a> ["e"]) (Not<D:x> ["f"])`:          {{conditions: []ifCondition{{token: "urn:a"}, {etag: `"e"`}}}, {conditions: []ifCondition{{not: true, token: "D:x"}, {etag: `"f"`}}}},
		`</dav/a> (<urn:a>) <http://h/b> ([W/"x"])`: {{resource: "/dav/a", conditions: []ifCondition{{token: "urn:a"}}}, {resource: "http://h/b", conditions: []ifCondition{{etag: `W/"x"`}}}},
	} {
		if got, ok := parseIf(text); !ok || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v, %v", text, got, ok)
		}
	}
	for _, text := range []string{"", " ", "(", "()", "(<>)", "<a>", "<a> <b> (<c>)", "(<a>", "x", "(x)", "(Not)", "(<a>) x", "([)", "([])"} {
		if got, ok := parseIf(text); ok {
			t.Errorf("%q is taken for %+v", text, got)
		}
	}
}

func FuzzParseIf(f *testing.F) {
	f.Add(`</a> (<urn:a> ["e"])(Not <urn:b>)`)
	f.Fuzz(func(t *testing.T, text string) {
		h, ok := parseIf(text)
		if ok == (len(h) == 0) {
			t.Errorf("%q: %v, %v", text, h, ok)
		}
	})
}
