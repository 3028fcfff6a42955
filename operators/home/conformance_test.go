package home_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/passerelle-cloud/passerelle/formats"
	"github.com/passerelle-cloud/passerelle/internal/dbtest"
	"github.com/passerelle-cloud/passerelle/internal/sqldb"
	"github.com/passerelle-cloud/passerelle/operators"
	"github.com/passerelle-cloud/passerelle/operators/conformance"
	"github.com/passerelle-cloud/passerelle/operators/example"
	"github.com/passerelle-cloud/passerelle/operators/home"
)

// instance makes an empty instance in a home of its own.
func instance(t testing.TB, db *sqldb.DB, o home.Options) *home.Instance {
	t.Helper()
	h, err := home.Open(t.Context(), db, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	i, err := h.Create(t.Context(), "alice", o)
	if err != nil {
		t.Fatal(err)
	}
	return i
}

func TestTarget(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		caps := conformance.Caps{Exact: true, Live: true, KnowsBlobs: true, Resumes: true, Merges: true}
		h, err := home.Open(t.Context(), db, t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		conformance.Target(t, caps, func(t *testing.T) conformance.Fixture {
			t.Cleanup(func() {
				if err := h.Delete(context.Background(), "alice"); err != nil {
					t.Error(err)
				}
			})
			i, err := h.Create(t.Context(), "alice", home.Options{})
			if err != nil {
				t.Fatal(err)
			}
			return conformance.Fixture{
				Target: i.Target(),
				Source: func(t *testing.T) operators.Source { return i.Source() },
				Edit:   func(t *testing.T, path string, content []byte) { edit(t, i, path, content) },
			}
		})
	})
}

// edit changes the bytes of a file as its person would.
func edit(t *testing.T, i *home.Instance, path string, content []byte) {
	t.Helper()
	for _, r := range records(t, i) {
		if r.Path != path {
			continue
		}
		r.Blob = &formats.Blob{Size: int64(len(content))}
		if _, err := i.Put(t.Context(), r, strings.NewReader(string(content))); err != nil {
			t.Fatal(err)
		}
		return
	}
	t.Fatalf("nothing is at %s", path)
}

func TestSource(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		i := instance(t, db, home.Options{})
		person := example.Person(1, example.Scale{Files: 60, Bytes: 2_000_000, Months: 1, Contacts: 5})
		load(t, i, person, operators.Origin{})
		conformance.Source(t, func(*testing.T) operators.Source { return i.Source() },
			conformance.Expect{Counts: conformance.Counts(conformance.Read(t, person).Records)})
	})
}

// records reads all that an instance holds.
func records(t testing.TB, i *home.Instance) []formats.Record {
	t.Helper()
	source := i.Source()
	defer source.Close()
	return conformance.Read(t, source).Records
}

// load loads all that a source holds.
func load(t testing.TB, i *home.Instance, source operators.Source, origin operators.Origin) operators.Load {
	t.Helper()
	l, err := i.Target().Load(t.Context(), origin)
	if err != nil {
		t.Fatal(err)
	}
	for item, err := range source.Records(t.Context(), 0) {
		if err != nil {
			t.Fatal(err)
		}
		put(t, l, item)
	}
	if err := l.Finish(t.Context()); err != nil {
		t.Fatal(err)
	}
	return l
}

func put(t testing.TB, l operators.Load, item operators.Item) operators.Outcome {
	t.Helper()
	r := item.Record
	if item.Content != nil {
		content, err := item.Content()
		if err != nil {
			t.Fatal(err)
		}
		defer content.Close()
		blob, err := l.PutBlob(t.Context(), content, r.Blob.Size)
		if err != nil {
			t.Fatal(err)
		}
		blob.Type = r.Blob.Type
		r.Blob = &blob
	}
	out, err := l.PutRecord(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestAny loads anything in any order.
func TestAny(t *testing.T) {
	h, err := home.Open(t.Context(), dbtest.SQLite(t), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	open := func(t *testing.T) conformance.Fixture {
		n++
		i, err := h.Create(t.Context(), fmt.Sprint("p", n), home.Options{})
		if err != nil {
			t.Fatal(err)
		}
		return conformance.Fixture{
			Target: i.Target(), Source: func(*testing.T) operators.Source { return i.Source() },
			Edit: func(t *testing.T, path string, content []byte) { edit(t, i, path, content) },
		}
	}
	t.Run("series", func(t *testing.T) { conformance.AnySeries(t, open) })
	t.Run("merge", func(t *testing.T) { conformance.AnyMerge(t, open) })
}
