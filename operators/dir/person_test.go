package dir_test

import (
	"path/filepath"
	"testing"

	"github.com/passerelle-cloud/passerelle/formats"
	"github.com/passerelle-cloud/passerelle/operators"
	"github.com/passerelle-cloud/passerelle/operators/conformance"
	"github.com/passerelle-cloud/passerelle/operators/dir"
	"github.com/passerelle-cloud/passerelle/operators/example"
)

// copyInto loads everything that a source gives, and returns the records that the target says that it holds.
func copyInto(t testing.TB, target operators.Target, series string, source operators.Source) []formats.Record {
	t.Helper()
	load, err := target.Load(t.Context(), operators.Origin{Series: series})
	if err != nil {
		t.Fatal(err)
	}
	var held []formats.Record
	for item, err := range source.Records(t.Context(), 0) {
		if err != nil {
			t.Fatal(err)
		}
		if item.Record.ID != "" {
			held = append(held, put(t, load, item))
		}
	}
	if err := load.Finish(t.Context()); err != nil {
		t.Fatal(err)
	}
	return held
}

func put(t testing.TB, load operators.Load, item operators.Item) formats.Record {
	t.Helper()
	r := item.Record
	if item.Content != nil {
		content, err := item.Content()
		if err != nil {
			t.Fatal(err)
		}
		defer content.Close()
		blob, err := load.PutBlob(t.Context(), content, r.Blob.Size)
		if err != nil {
			t.Fatal(err)
		}
		blob.Type = r.Blob.Type
		r.Blob = &blob
	}
	out, err := load.PutRecord(t.Context(), r)
	if err != nil || out.Omission != nil {
		t.Fatalf("%s: %v, %+v", r.Path, err, out.Omission)
	}
	return out.Record
}

func sameLines(t *testing.T, got, want []formats.Record) {
	t.Helper()
	have, wanted := conformance.Lines(t, got), conformance.Lines(t, want)
	for key, line := range wanted {
		if have[key] != line {
			t.Errorf("%s is\n%.500s\nwant\n%.500s", key, have[key], line)
		}
	}
	if len(have) != len(wanted) {
		t.Errorf("%d records, want %d", len(have), len(wanted))
	}
}

// TestPerson carries a whole person through a folder, and on to a second one.
func TestPerson(t *testing.T) {
	want := conformance.Read(t, example.Person(5, example.Scale{})).Records
	one, two := filepath.Join(t.TempDir(), "one"), filepath.Join(t.TempDir(), "two")
	copyInto(t, createTarget(t, one), "series", example.Person(5, example.Scale{}))
	sameLines(t, conformance.Read(t, openSource(t, one)).Records, want)
	copyInto(t, createTarget(t, two), "", openSource(t, one))
	sameLines(t, conformance.Read(t, openSource(t, two)).Records, want)
	conformance.Source(t, func(t *testing.T) operators.Source { return openSource(t, one) }, conformance.Expect{Counts: conformance.Counts(want)})
}

// TestTwoPersons loads two people into one folder; everything of both must be there, with links that lead to their own.
func TestTwoPersons(t *testing.T) {
	path := t.TempDir()
	target := createTarget(t, path)
	held := copyInto(t, target, "one", example.Person(1, example.Scale{}))
	held = append(held, copyInto(t, target, "two", example.Person(2, example.Scale{}))...)
	sameLines(t, conformance.Read(t, openSource(t, path)).Records, held)
	again := copyInto(t, target, "two", example.Person(2, example.Scale{}))
	sameLines(t, conformance.Read(t, openSource(t, path)).Records, held)
	if len(again) == 0 {
		t.Error("nothing was loaded")
	}
}

func BenchmarkWalk(b *testing.B) {
	path := b.TempDir()
	if err := example.WriteTree(path, example.TreeOptions{Files: 5000}); err != nil {
		b.Fatal(err)
	}
	b.SetBytes(200e6)
	buf := make([]byte, 256<<10)
	for b.Loop() {
		source, err := dir.Open(path)
		if err != nil {
			b.Fatal(err)
		}
		for item, err := range source.Records(b.Context(), 0) {
			if err != nil {
				b.Fatal(err)
			}
			if item.Content == nil {
				continue
			}
			content, err := item.Content()
			for err == nil {
				_, err = content.Read(buf)
			}
			content.Close()
		}
		source.Close()
	}
}

func BenchmarkLoad(b *testing.B) {
	path := b.TempDir()
	if err := example.WriteTree(path, example.TreeOptions{Files: 5000}); err != nil {
		b.Fatal(err)
	}
	b.SetBytes(200e6)
	for b.Loop() {
		source, err := dir.Open(path)
		if err != nil {
			b.Fatal(err)
		}
		target, err := dir.Create(b.TempDir())
		if err != nil {
			b.Fatal(err)
		}
		copyInto(b, target, "", source)
		source.Close()
		target.Close()
	}
}
