package home_test

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/passerelle-cloud/passerelle/formats"
	"github.com/passerelle-cloud/passerelle/internal/dbtest"
	"github.com/passerelle-cloud/passerelle/internal/sqldb"
	"github.com/passerelle-cloud/passerelle/operators"
	"github.com/passerelle-cloud/passerelle/operators/home"
)

var noon = time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)

// file is a record of a file, with its content.
// opened is the instance of somebody in a home of their own, and the folder of its blobs.
func opened(t *testing.T, db *sqldb.DB, o home.Options) (*home.Instance, string) {
	t.Helper()
	dir := t.TempDir()
	h, err := home.Open(t.Context(), db, dir)
	if err != nil {
		t.Fatal(err)
	}
	i, err := h.Create(t.Context(), "alice", o)
	if err != nil {
		t.Fatal(err)
	}
	return i, dir
}

func file(id, path, content string) operators.Item {
	return operators.Item{
		Record: formats.Record{
			ID: id, Dataset: formats.Files, Kind: formats.KindFile, Path: formats.Tree.Place(path), Modified: noon,
			Blob: &formats.Blob{Size: int64(len(content)), Type: "text/plain"}, Body: []byte(`{}`),
		},
		Content: func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(content)), nil },
	}
}

func folder(id, path string) operators.Item {
	return operators.Item{Record: formats.Record{ID: id, Dataset: formats.Files, Kind: formats.KindFolder, Path: formats.Tree.Place(path), Body: []byte(`{}`)}}
}

func gone(id string) operators.Item {
	return operators.Item{Record: formats.Tombstone(formats.Files, id, formats.KindFile, noon)}
}

func begin(t testing.TB, i *home.Instance, series string) operators.Load {
	t.Helper()
	l, err := i.Target().Load(t.Context(), operators.Origin{Series: series})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// bring loads items as one archive of a series and returns what became of each.
func bring(t testing.TB, i *home.Instance, series string, items ...operators.Item) []operators.Result {
	t.Helper()
	l := begin(t, i, series)
	var results []operators.Result
	for _, item := range items {
		results = append(results, put(t, l, item).Result)
	}
	if err := l.Finish(t.Context()); err != nil {
		t.Fatal(err)
	}
	return results
}

// places is what an instance holds: paths, or ids where there are none, with their ids.
func places(t testing.TB, i *home.Instance) map[string]string {
	t.Helper()
	found := map[string]string{}
	for _, r := range records(t, i) {
		found[strings.TrimPrefix(r.Path, "tree/")] = r.ID
	}
	return found
}

func expectPlaces(t testing.TB, i *home.Instance, want map[string]string) {
	t.Helper()
	got := places(t, i)
	for path, id := range want {
		if got[path] != id {
			t.Errorf("at %q is %q, want %q", path, got[path], id)
		}
	}
	if len(got) != len(want) {
		t.Errorf("the instance holds %v, want %v", got, want)
	}
}

func TestOnlyWhatChangedIsGiven(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		i := instance(t, db, home.Options{})
		bring(t, i, "s", file("1", "one", "1"), file("2", "two", "2"), file("3", "three", "3"), file("4", "four", "4"))
		at := position(t, i)
		changed := records(t, i)[0]
		changed.Body = []byte(`{"tags":["x"]}`)
		must(t, i, changed, nil)
		must(t, i, file("5", "five", "1").Record, strings.NewReader("1"))
		two := file("2", "two", "22")
		must(t, i, two.Record, strings.NewReader("22"))
		if err := i.Remove(t.Context(), formats.Files, "3"); err != nil {
			t.Fatal(err)
		}
		source := i.Source()
		defer source.Close()
		var got []string
		for item, err := range source.Records(t.Context(), at) {
			if err != nil {
				t.Fatal(err)
			}
			what := item.Record.ID
			if !item.Record.Deleted.IsZero() {
				what += " deleted"
			}
			if item.Content != nil {
				what += " with content"
			}
			got = append(got, what)
		}
		if want := []string{"1", "5 with content", "2 with content", "3 deleted"}; !slices.Equal(got, want) {
			t.Errorf("changed: %q, want %q", got, want)
		}
		for _, err := range source.Records(t.Context(), position(t, i)+1) {
			if !errors.Is(err, operators.ErrUnsupported) {
				t.Errorf("a position that is not reached yet: %v", err)
			}
		}
	})
}

func position(t testing.TB, i *home.Instance) operators.Position {
	t.Helper()
	source := i.Source()
	defer source.Close()
	d, err := source.Describe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return d.Position
}

func must(t testing.TB, i *home.Instance, r formats.Record, content io.Reader) {
	t.Helper()
	if _, err := i.Put(t.Context(), r, content); err != nil {
		t.Fatal(err)
	}
}

// TestASourceIsOneState writes while it is read.
func TestASourceIsOneState(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		i := instance(t, db, home.Options{})
		var items []operators.Item
		for n := range 300 {
			id := strings.Repeat("x", n+1)
			items = append(items, file(id, id, "before "+id))
		}
		bring(t, i, "s", items...)
		source := i.Source()
		defer source.Close()
		n := 0
		for item, err := range source.Records(t.Context(), 0) {
			if err != nil {
				t.Fatal(err)
			}
			if n == 10 {
				must(t, i, items[299].Record, strings.NewReader("after!"+items[299].Record.ID+" "))
				if err := i.Remove(t.Context(), formats.Files, items[298].Record.ID); err != nil {
					t.Fatal(err)
				}
			}
			content, err := item.Content()
			if err != nil {
				t.Fatal(err)
			}
			if text, err := io.ReadAll(content); err != nil || string(text) != "before "+item.Record.ID {
				t.Fatalf("%q, %v", text, err)
			}
			n++
		}
		if n != 300 {
			t.Errorf("%d records, want 300", n)
		}
	})
}

func TestQuota(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		i := instance(t, db, home.Options{Quota: 200_000})
		small, large, last := file("1", "small", "12345"), file("2", "large", strings.Repeat("x", 199_996)), file("3", "last", strings.Repeat("y", 70_000))
		l := begin(t, i, "s")
		for _, want := range []struct {
			item   operators.Item
			result operators.Result
		}{{small, operators.Stored}, {large, operators.Refused}, {last, operators.Stored}} {
			out := put(t, l, want.item)
			if out.Result != want.result || out.Result == operators.Refused && (out.Omission == nil || out.Omission.Code != "quota") {
				t.Errorf("%s: %+v, want %s", want.item.Record.ID, out, want.result)
			}
		}
		if err := l.Finish(t.Context()); err != nil {
			t.Fatal(err)
		}
		if held, err := l.Held(t.Context()); err != nil || held[formats.Files] != (formats.Count{Records: 2, Files: 2, Bytes: 70_005}) {
			t.Errorf("held: %v, %v", held, err)
		}
		if err := i.SetQuota(t.Context(), 0); err != nil {
			t.Fatal(err)
		}
		if got, want := bring(t, i, "s", small, large, last), []operators.Result{operators.Present, operators.Stored, operators.Present}; !slices.Equal(got, want) {
			t.Errorf("with room: %v, want %v", got, want)
		}
	})
}

func TestReadOnly(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		i := instance(t, db, home.Options{})
		l := begin(t, i, "s")
		put(t, l, file("1", "one", "1"))
		if err := l.Abort(); err != nil {
			t.Fatal(err)
		}
		if err := i.SetReadOnly(t.Context(), true); err != nil {
			t.Fatal(err)
		}
		if _, err := i.Target().Load(t.Context(), operators.Origin{Series: "t"}); !errors.Is(err, operators.ErrReadOnly) {
			t.Errorf("a load: %v", err)
		}
		if _, err := i.Put(t.Context(), file("2", "two", "2").Record, strings.NewReader("2")); !errors.Is(err, operators.ErrReadOnly) {
			t.Errorf("an edit: %v", err)
		}
		if err := i.Remove(t.Context(), formats.Files, "1"); !errors.Is(err, operators.ErrReadOnly) {
			t.Errorf("a removal: %v", err)
		}
		expectPlaces(t, i, map[string]string{"one": "1"})
		if err := i.SetReadOnly(t.Context(), false); err != nil {
			t.Fatal(err)
		}
		bring(t, i, "s", file("2", "two", "2"))
		expectPlaces(t, i, map[string]string{"one": "1", "two": "2"})
	})
}

// TestReadOnlyInTheMiddle fences an instance while a load is under way: what comes after is not written.
func TestReadOnlyInTheMiddle(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		i := instance(t, db, home.Options{})
		l := begin(t, i, "s")
		put(t, l, file("1", "one", "1"))
		if err := i.SetReadOnly(t.Context(), true); err != nil { // waits until the clock has committed
			t.Fatal(err)
		}
		before := position(t, i)
		if _, err := l.PutRecord(t.Context(), folder("2", "two").Record); !errors.Is(err, operators.ErrReadOnly) {
			t.Errorf("put into an instance that is read-only: %v", err)
		}
		if err := l.Abort(); err != nil {
			t.Error(err)
		}
		if after := position(t, i); after != before {
			t.Errorf("the instance moved from %d to %d", before, after)
		}
	})
}

// TestAnIdleLoadLetsOthersWrite puts into another instance while a load waits for its source.
func TestAnIdleLoadLetsOthersWrite(t *testing.T) {
	db := dbtest.SQLite(t)
	h, err := home.Open(t.Context(), db, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	var both [2]*home.Instance
	for n, name := range []string{"alice", "bob"} {
		if both[n], err = h.Create(t.Context(), name, home.Options{}); err != nil {
			t.Fatal(err)
		}
	}
	l := begin(t, both[0], "s")
	put(t, l, file("1", "one", "1"))
	must(t, both[1], folder("1", "one").Record, nil)
	if err := l.Finish(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := both[0].Target().Load(t.Context(), operators.Origin{Series: "other"}); err != nil {
		t.Errorf("the lock was not let go: %v", err)
	}
	if _, err := both[0].Target().Load(t.Context(), operators.Origin{Series: "third"}); !errors.Is(err, home.ErrBusy) {
		t.Errorf("two loads at once: %v", err)
	}
	if _, err := both[1].Target().Load(t.Context(), operators.Origin{Series: "s"}); !errors.Is(err, operators.ErrOtherPerson) {
		t.Errorf("the series of somebody else: %v", err)
	}
}

// TestMovesThatCross loads a delta in which files and folders take each other's paths, in every order.
func TestMovesThatCross(t *testing.T) {
	first := []operators.Item{folder("d", "D"), folder("e", "E"), file("1", "a", "1"), file("2", "b", "2"), file("3", "D/x", "3"), file("4", "E/x", "4")}
	then := []operators.Item{folder("d", "E"), folder("e", "D"), file("1", "b", "1"), file("2", "c", "2"), file("5", "a", "5"), file("3", "E/x", "3"), file("4", "D/x", "4")}
	want := map[string]string{"E": "d", "D": "e", "b": "1", "c": "2", "a": "5", "E/x": "3", "D/x": "4"}
	for _, turn := range []string{"in order", "backwards", "odd ones first"} {
		t.Run(turn, func(t *testing.T) {
			items := slices.Clone(then)
			switch turn {
			case "backwards":
				slices.Reverse(items)
			case "odd ones first":
				items = append(items[3:], items[:3]...)
			}
			i := instance(t, dbtest.SQLite(t), home.Options{})
			bring(t, i, "s", first...)
			l := begin(t, i, "s")
			renamed := map[string]bool{}
			for _, item := range items {
				if out := put(t, l, item); out.Result == operators.Renamed {
					renamed[item.Record.ID] = true
				}
			}
			if err := l.Finish(t.Context()); err != nil {
				t.Fatal(err)
			}
			expectPlaces(t, i, want)
			for _, s := range l.(operators.Settling).Settled() {
				delete(renamed, s.ID)
			}
			if len(renamed) > 0 {
				t.Errorf("said to be renamed, though they are not: %v", renamed)
			}
			before := records(t, i)
			for _, r := range bring(t, i, "s", items...) {
				if r != operators.Present {
					t.Errorf("again: %s", r)
				}
			}
			if after := records(t, i); len(after) != len(before) {
				t.Errorf("again: %d records, were %d", len(after), len(before))
			}
		})
	}
}

// TestFolderWhereAFileWas puts a folder in the place of a file, with what is in it first and with its record or without.
func TestFolderWhereAFileWas(t *testing.T) {
	for name, inside := range map[string][]operators.Item{
		"a file":              {file("2", "a/b", "2")},
		"a folder":            {folder("2", "a/b")},
		"a file in a folder":  {file("2", "a/b/c", "2"), folder("3", "a/b")},
		"with its own record": {file("2", "a/b", "2"), folder("3", "a")},
	} {
		t.Run(name, func(t *testing.T) {
			i := instance(t, dbtest.SQLite(t), home.Options{})
			bring(t, i, "s", file("1", "a", "1"))
			bring(t, i, "s", append(inside, gone("1"))...)
			want := map[string]string{}
			for _, item := range inside {
				want[strings.TrimPrefix(item.Record.Path, "tree/")] = item.Record.ID
			}
			expectPlaces(t, i, want)
		})
	}
}

// TestTwoFoldersOfOneName loads an instance that has two records of one folder, as a folder has into which two others
// were merged: they become one, wherever their contents stand.
func TestTwoFoldersOfOneName(t *testing.T) {
	items := []operators.Item{folder("1", "Photos"), file("3", "Photos/x", "3"), folder("2", "Photos"), file("4", "Photos/y", "4"), folder("5", "Photos/z"), file("6", "Photos/z/a", "6")}
	for _, turn := range []string{"in order", "backwards"} {
		i := instance(t, dbtest.SQLite(t), home.Options{})
		want := map[string]string{"Photos": "1", "Photos/x": "3", "Photos/y": "4", "Photos/z": "5", "Photos/z/a": "6"}
		if turn == "backwards" {
			slices.Reverse(items)
			want["Photos"] = "2"
		}
		bring(t, i, "s", items...)
		expectPlaces(t, i, want)
		for _, r := range bring(t, i, "s", items...) {
			if r != operators.Present {
				t.Errorf("%s, again: %s", turn, r)
			}
		}
		expectPlaces(t, i, want)
	}
}

// TestAnotherFolderOfThatName merges an instance in which a file has the name of a folder here.
func TestAnotherFolderOfThatName(t *testing.T) {
	i := instance(t, dbtest.SQLite(t), home.Options{})
	bring(t, i, "one", file("1", "Photos", "a file"), folder("2", "Notes"), file("3", "Notes/a", "a"))
	bring(t, i, "two", file("4", "Photos/b/c", "c"), folder("5", "Photos"), file("6", "Notes", "a file"), folder("7", "Photos/b"))
	want := map[string]string{
		"Photos": "1", "Notes": "2", "Notes/a": "3", "Photos (2)": "5", "Photos (2)/b": "7", "Photos (2)/b/c": "4", "Notes (2)": "6",
	}
	expectPlaces(t, i, want)
	bring(t, i, "two", file("8", "Photos/d", "a later one"))
	want["Photos (2)/d"] = "8"
	expectPlaces(t, i, want)
}

// TestLinksFollow merges two instances that use the same ids: links lead to what they led to.
func TestLinksFollow(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		i := instance(t, db, home.Options{})
		bring(t, i, "one", file("1", "a", "theirs"))
		version := file("v", "", "older")
		version.Record.Kind, version.Record.Path = formats.KindVersion, "versions/1/1"
		version.Record.Links = []formats.Link{{Rel: "file", Dataset: formats.Files, ID: "1"}}
		items := []operators.Item{version, file("1", "b", "mine")}
		bring(t, i, "two", items...)
		found := places(t, i)
		mine := found["b"]
		if mine == "1" || mine == "" {
			t.Fatalf("the second file 1 is %q: %v", mine, found)
		}
		for _, r := range records(t, i) {
			if r.ID == "v" && r.Links[0].ID != mine {
				t.Errorf("the version is one of %q, want %q", r.Links[0].ID, mine)
			}
		}
		for _, r := range bring(t, i, "two", items...) {
			if r != operators.Present {
				t.Errorf("again: %s", r)
			}
		}
	})
}

// TestManyOfOneName gives hundreds of files the same name.
func TestManyOfOneName(t *testing.T) {
	i := instance(t, dbtest.SQLite(t), home.Options{})
	var items []operators.Item
	for n := range 150 {
		items = append(items, file(strings.Repeat("i", n+1), "same.txt", strings.Repeat("c", n+1)))
	}
	bring(t, i, "s", items...)
	if got := places(t, i); len(got) != 150 {
		t.Errorf("%d places, want 150", len(got))
	}
}

func TestEditsOfThePerson(t *testing.T) {
	i := instance(t, dbtest.SQLite(t), home.Options{})
	must(t, i, file("1", "a", "1").Record, strings.NewReader("1"))
	for name, err := range map[string]error{
		"a path that is taken":     putErr(t, i, file("2", "a", "2").Record, strings.NewReader("2")),
		"a file above another":     putErr(t, i, file("3", "a/b", "3").Record, strings.NewReader("3")),
		"a content never given":    putErr(t, i, file("4", "d", "4444").Record, nil),
		"a size that is not so":    putErr(t, i, file("5", "e", "55").Record, strings.NewReader("555")),
		"a record without an id":   putErr(t, i, file("", "f", "6").Record, strings.NewReader("6")),
		"a removal of what is not": i.Remove(t.Context(), formats.Files, "7"),
	} {
		if err == nil {
			t.Errorf("%s went through", name)
		}
	}
	if err := i.Remove(t.Context(), formats.Files, "7"); !errors.Is(err, operators.ErrNotFound) {
		t.Errorf("remove what is not there: %v", err)
	}
	if err := putErr(t, i, file("2", "a", "2").Record, strings.NewReader("2")); !errors.Is(err, home.ErrTaken) {
		t.Errorf("a path that is taken: %v", err)
	}
}

func putErr(t testing.TB, i *home.Instance, r formats.Record, content io.Reader) error {
	_, err := i.Put(t.Context(), r, content)
	return err
}

// TestBlobs puts contents around the size from which they are files, and looks at what is left of them.
func TestBlobs(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		i, dir := opened(t, db, home.Options{})
		var items []operators.Item
		for _, size := range []int{0, 1, 64<<10 - 1, 64 << 10, 64<<10 + 1, 3 << 20} {
			items = append(items, file(strings.Repeat("i", len(items)+1), strings.Repeat("n", len(items)+1), strings.Repeat("b", size)))
		}
		bring(t, i, "s", items...)
		if got := filesBelow(t, dir); len(got) != 2 {
			t.Errorf("files: %q, want two", got)
		}
		records(t, i) // reads and checks all
		var stones []operators.Item
		for _, item := range items[1:] {
			stones = append(stones, gone(item.Record.ID))
		}
		bring(t, i, "s", stones...)
		if got := filesBelow(t, dir); len(got) != 0 {
			t.Errorf("left after the files were deleted: %q", got)
		}
		var rows int
		if err := db.Read.QueryRow(`SELECT count(*) FROM home_blob WHERE size > 0`).Scan(&rows); err != nil || rows != 0 {
			t.Errorf("%d blobs left, %v", rows, err)
		}
		var used int64
		if err := db.Read.QueryRow(`SELECT used FROM home_instance`).Scan(&used); err != nil || used != 0 {
			t.Errorf("%d bytes are said to be used, %v", used, err)
		}
	})
}

func filesBelow(t testing.TB, dir string) (list []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			list = append(list, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// TestALostFile is about an operator who lost a file of the blob folder: the rest can still leave.
func TestALostFile(t *testing.T) {
	dir := t.TempDir()
	h, err := home.Open(t.Context(), dbtest.SQLite(t), dir)
	if err != nil {
		t.Fatal(err)
	}
	i, err := h.Create(t.Context(), "alice", home.Options{})
	if err != nil {
		t.Fatal(err)
	}
	bring(t, i, "s", file("1", "kept", "1"), file("2", "lost", strings.Repeat("2", 100_000)))
	for _, name := range filesBelow(t, dir) {
		os.Remove(name)
	}
	source := i.Source()
	defer source.Close()
	var codes []string
	for item, err := range source.Records(t.Context(), 0) {
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range item.Omissions {
			codes = append(codes, o.Code+" "+o.Path)
		}
	}
	if !slices.Equal(codes, []string{"content-missing tree/lost"}) {
		t.Errorf("omissions %q", codes)
	}
}

func TestDeleteLeavesNothing(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		dir := t.TempDir()
		h, err := home.Open(t.Context(), db, dir)
		if err != nil {
			t.Fatal(err)
		}
		i, err := h.Create(t.Context(), "alice", home.Options{})
		if err != nil {
			t.Fatal(err)
		}
		bring(t, i, "s", folder("1", "f"), file("2", "f/x", strings.Repeat("2", 100_000)), file("3", "f/x", "3"))
		if err := h.Delete(t.Context(), "alice"); err != nil {
			t.Fatal(err)
		}
		for _, table := range []string{"home_instance", "home_record", "home_blob", "home_series", "home_imported", "home_moved", "home_garbage"} {
			var n int
			if err := db.Read.QueryRow(`SELECT count(*) FROM ` + table).Scan(&n); err != nil || n != 0 {
				t.Errorf("%s has %d rows, %v", table, n, err)
			}
		}
		if left := filesBelow(t, dir); len(left) > 0 {
			t.Errorf("left: %q", left)
		}
		if _, err := h.Instance(t.Context(), "alice"); !errors.Is(err, operators.ErrNotFound) {
			t.Errorf("the deleted instance: %v", err)
		}
		if _, err := i.Put(t.Context(), folder("1", "f").Record, nil); !errors.Is(err, operators.ErrNotFound) {
			t.Errorf("writing to the deleted instance: %v", err)
		}
	})
}

func TestNames(t *testing.T) {
	h, err := home.Open(t.Context(), dbtest.SQLite(t), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"alice", "Zoé", "a.b-c_d@example.org", "7", "日本"} {
		if _, err := h.Create(t.Context(), name, home.Options{}); err != nil {
			t.Errorf("%q: %v", name, err)
		}
	}
	for _, name := range []string{"", ".a", "a b", "a/b", "a\x00", "../a", strings.Repeat("a", 129), "a:b"} {
		if _, err := h.Create(t.Context(), name, home.Options{}); !errors.Is(err, formats.ErrInvalid) {
			t.Errorf("%q: %v", name, err)
		}
	}
	if _, err := h.Create(t.Context(), "alice", home.Options{}); !errors.Is(err, home.ErrTaken) {
		t.Errorf("a name twice: %v", err)
	}
	list, err := h.Instances(t.Context())
	if err != nil || len(list) != 5 {
		t.Errorf("%d instances, %v", len(list), err)
	}
	if list[0].Pseudonym("x") == list[1].Pseudonym("x") || list[0].Pseudonym("x") == list[0].Pseudonym("y") {
		t.Error("pseudonyms are the same")
	}
}

// TestABrokenSourceLosesNothing cancels a load at every step and goes on.
func TestABrokenSourceLosesNothing(t *testing.T) {
	i := instance(t, dbtest.SQLite(t), home.Options{})
	items := []operators.Item{folder("d", "D"), file("1", "D/one", "1"), file("2", "D/two", strings.Repeat("2", 100_000)), file("3", "x", "3")}
	for n := range items {
		ctx, cancel := context.WithCancel(t.Context())
		l, err := i.Target().Load(ctx, operators.Origin{Series: "s"})
		if err != nil {
			t.Fatal(err)
		}
		for _, item := range items[:n] {
			put(t, l, item)
		}
		cancel()
		if err := l.Finish(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("Finish, cancelled: %v", err)
		}
	}
	bring(t, i, "s", items...)
	expectPlaces(t, i, map[string]string{"D": "d", "D/one": "1", "D/two": "2", "x": "3"})
}

func TestBigPathsAndIDs(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		i := instance(t, db, home.Options{})
		deep := strings.Repeat("dossier/", 500)
		id := strings.Repeat("é", 256)
		bring(t, i, "one", file(id, deep+"a", "1"), file("2", deep+"b", "2"))
		bring(t, i, "two", file(id, deep+"a", "another"))
		if got := places(t, i); len(got) != 3 || got[deep+"a"] != id || got[deep+"a (2)"] == "" {
			var short []string
			for path, id := range got {
				short = append(short, path[max(0, len(path)-20):]+" "+id)
			}
			t.Errorf("%q", short)
		}
	})
}
