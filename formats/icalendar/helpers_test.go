package icalendar

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/passerelle-cloud/passerelle/formats"
)

// collect gathers what a walk gives until it ends or fails.
func collect(records formats.Records) ([]formats.Record, error) {
	var list []formats.Record
	for r, err := range records {
		if err != nil {
			return list, err
		}
		list = append(list, r)
	}
	return list, nil
}

// tb is what *testing.T and *rapid.T have in common.
type tb interface {
	Helper()
	Fatal(args ...any)
	Fatalf(format string, args ...any)
	Errorf(format string, args ...any)
}

func decode(t tb, text string) []formats.Record {
	t.Helper()
	list, err := collect(Codec().Decode(strings.NewReader(text)))
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range list {
		if err := r.Validate(); err != nil {
			t.Fatal(err)
		}
		if err := formats.CheckBody(r.Kind, r.Body); err != nil {
			t.Fatalf("%v: %s", err, r.Body)
		}
	}
	return list
}

func walkOf(list []formats.Record) formats.Records {
	return func(yield func(formats.Record, error) bool) {
		for _, r := range list {
			if !yield(r, nil) {
				return
			}
		}
	}
}

func encode(t tb, list ...formats.Record) string {
	t.Helper()
	var out bytes.Buffer
	if err := Codec().Encode(&out, walkOf(list)); err != nil {
		t.Fatal(err)
	}
	checkLines(t, out.String())
	return out.String()
}

// checkLines holds a file against RFC 5545 section 3.1.
func checkLines(t tb, text string) {
	t.Helper()
	for line := range strings.SplitSeq(strings.TrimSuffix(text, "\r\n"), "\r\n") {
		if len(line) > 75 || strings.ContainsAny(line, "\r\n\x00") || line == "" || strings.ToValidUTF8(line, "") != line {
			t.Errorf("line %q is too long, empty or torn", line)
		}
	}
}

// same compares records: everything but times that only the body says.
func same(t tb, got, want []formats.Record) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%d records, not %d", len(got), len(want))
	}
	byID := map[string]formats.Record{}
	for _, r := range got {
		byID[r.ID] = r
	}
	for _, w := range want {
		g, ok := byID[w.ID]
		if !ok || g.Kind != w.Kind {
			t.Fatalf("record %q is gone: %v", w.ID, byID)
		}
		if !sameJSON(g.Body, w.Body) {
			t.Fatalf("record %q is\n%s\nnot\n%s", w.ID, g.Body, w.Body)
		}
		if !w.Created.IsZero() && !g.Created.Equal(w.Created) || !w.Modified.IsZero() && !g.Modified.Equal(w.Modified) {
			t.Fatalf("record %q has times %v and %v", w.ID, g.Created, g.Modified)
		}
		if len(g.Links) != len(w.Links) {
			t.Fatalf("record %q has links %v", w.ID, g.Links)
		}
	}
}

func sameJSON(a, b json.RawMessage) bool { return len(formats.Difference(a, b)) == 0 }

// roundTrip encodes and decodes records.
func roundTrip(t tb, list ...formats.Record) string {
	t.Helper()
	text := encode(t, list...)
	same(t, decode(t, text), list)
	return text
}

func event(id, body string) formats.Record {
	return formats.Record{ID: id, Dataset: formats.Calendar, Kind: formats.KindEvent, Body: json.RawMessage(body)}
}

func task(id, body string) formats.Record {
	return formats.Record{ID: id, Dataset: formats.Calendar, Kind: formats.KindTask, Body: json.RawMessage(body)}
}

var _ tb = (*testing.T)(nil)

func readOne(text string) (component, error) {
	return newReader(strings.NewReader(text), place{}).component()
}
