package home_test

import (
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"

	"github.com/passerelle-cloud/passerelle/formats"
	"github.com/passerelle-cloud/passerelle/operators"
	"github.com/passerelle-cloud/passerelle/operators/home"
)

// TestAMirror keeps a copy of two datasets by walks and changes alone, while they are written to.
func TestAMirror(t *testing.T) {
	eachReader(t, func(t *testing.T, i *home.Instance, r *home.Reader) {
		bring(t, i, "s", append(numbered(formats.Contacts, 300), numbered(formats.Notes, 50)...)...)
		stop, done := make(chan struct{}), make(chan error, 1)
		go func() { done <- writeAround(t.Context(), i, 300, stop) }()
		mirrored := []formats.Dataset{formats.Notes, formats.Contacts}
		at, err := r.Position(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		mirror := map[string]string{}
		for _, d := range mirrored {
			for _, l := range read(t, r.Dataset(t.Context(), d, "")) {
				mirror[string(l.Dataset)+"/"+l.ID] = string(l.Bytes)
			}
		}
		for start, written := at, false; !written; {
			if at > start+300 {
				close(stop)
				if err := <-done; err != nil {
					t.Fatal(err)
				}
				written = true
			}
			upTo, err := r.Position(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			for _, l := range read(t, r.Changes(t.Context(), at, upTo, mirrored)) {
				if l.Position <= at || l.Position > upTo {
					t.Errorf("%s at %d is not after %d up to %d", l.ID, l.Position, at, upTo)
				}
				at = l.Position
				if mirror[string(l.Dataset)+"/"+l.ID] = string(l.Bytes); l.Deleted {
					delete(mirror, string(l.Dataset)+"/"+l.ID)
				}
			}
			at = upTo
		}
		want := map[string]string{}
		for _, record := range records(t, i) {
			line, err := record.AppendLine(nil)
			if err != nil {
				t.Fatal(err)
			}
			want[string(record.Dataset)+"/"+record.ID] = string(line)
		}
		if !maps.Equal(mirror, want) {
			t.Errorf("the mirror has %d records, the instance %d, or some differ", len(mirror), len(want))
		}
	})
}

func TestChanges(t *testing.T) {
	eachReader(t, func(t *testing.T, i *home.Instance, r *home.Reader) {
		bring(t, i, "s", thing(formats.Contacts, "1", ""), thing(formats.Contacts, "2", ""), thing(formats.Calendar, "3", ""), thing(formats.Bank, "4", ""))
		start := position(t, i)
		put := func(d formats.Dataset, id, text string) {
			t.Helper()
			must(t, i, thing(d, id, text).Record, nil)
		}
		put(formats.Calendar, "3", "moved")
		put(formats.Contacts, "5", "new")
		for n := range home.FirstLines * 3 {
			put(formats.Bank, fmt.Sprint(n), "many that are not wanted")
		}
		if err := i.Remove(t.Context(), formats.Contacts, "1"); err != nil {
			t.Fatal(err)
		}
		put(formats.Contacts, "5", "newer")
		middle := position(t, i)
		put(formats.Calendar, "3", "moved again")
		put(formats.Contacts, "6", "last")
		end := position(t, i)
		both := []formats.Dataset{formats.Contacts, formats.Calendar, formats.Contacts}
		for _, c := range []struct {
			name        string
			after, upTo operators.Position
			datasets    []formats.Dataset
			want        string
		}{
			{"all of them", start, end, both, "1 deleted, 5 newer, 3 moved again, 6 last"},
			{"one dataset", start, end, both[1:2], "3 moved again"},
			{"up to somewhere", start, middle, both, "1 deleted, 5 newer"},
			{"from there on", middle, end, both, "3 moved again, 6 last"},
			{"from the end on", end, end, both, ""},
			{"backwards", end, start, both, ""},
			{"a dataset without changes", start, end, []formats.Dataset{formats.Notes}, ""},
			{"no dataset", start, end, nil, ""},
			{"from the beginning", 0, end, both, "2 , 5 newer, 3 moved again, 6 last"},
		} {
			if got := changes(t, read(t, r.Changes(t.Context(), c.after, c.upTo, c.datasets))); got != c.want {
				t.Errorf("%s: %s, want %s", c.name, got, c.want)
			}
		}
		if got := read(t, r.Changes(t.Context(), start, end, formats.Datasets())); len(got) != 4+3*home.FirstLines {
			t.Errorf("%d changes in all", len(got))
		}
		for _, datasets := range [][]formats.Dataset{both, nil} {
			for _, err := range r.Changes(t.Context(), start, end+1, datasets) {
				if !errors.Is(err, operators.ErrUnsupported) {
					t.Errorf("a position that is not reached yet: %v", err)
				}
			}
		}
	})
}

// changes names changes, with the text of each.
func changes(t testing.TB, lines []operators.Line) string {
	t.Helper()
	var list []string
	for _, l := range lines {
		record, err := l.Parse()
		if err != nil {
			t.Fatal(err)
		}
		if l.Deleted != !record.Deleted.IsZero() || l.Hash != formats.HashOf(l.Bytes) {
			t.Errorf("the line %s is said to be %+v", l.Bytes, l)
		}
		text := "deleted"
		if !l.Deleted {
			_, text, _ = strings.Cut(strings.TrimSuffix(string(record.Body), `"}`), `:"`)
		}
		list = append(list, l.ID+" "+text)
	}
	return strings.Join(list, ", ")
}

// TestChangesAreResumed leaves the walk at every step and begins again after the line that it had.
func TestChangesAreResumed(t *testing.T) {
	eachReader(t, func(t *testing.T, i *home.Instance, r *home.Reader) {
		bring(t, i, "s", append(numbered(formats.Contacts, 60), numbered(formats.Notes, 60)...)...)
		at, end := operators.Position(0), position(t, i)
		want := read(t, r.Changes(t.Context(), 0, end, formats.Datasets()))
		for n := range want {
			for l, err := range r.Changes(t.Context(), at, end, formats.Datasets()) {
				if err != nil || l.Position != want[n].Position || l.Hash != want[n].Hash {
					t.Fatalf("step %d: %+v, %v", n, l, err)
				}
				at = l.Position
				break
			}
		}
		if left := read(t, r.Changes(t.Context(), at, end, formats.Datasets())); len(want) != 120 || len(left) > 0 {
			t.Errorf("%d steps, and left: %q", len(want), ids(left))
		}
	})
}
