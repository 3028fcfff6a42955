package home_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/passerelle-cloud/passerelle/formats"
	"github.com/passerelle-cloud/passerelle/internal/dbtest"
	"github.com/passerelle-cloud/passerelle/internal/sqldb"
	"github.com/passerelle-cloud/passerelle/operators"
	"github.com/passerelle-cloud/passerelle/operators/home"
)

// save puts a file as a person does.
func save(t testing.TB, i *home.Instance, path, content string) home.Entry {
	t.Helper()
	e, err := trySave(t.Context(), i, path, content, nil)
	if err != nil {
		t.Fatalf("put %s: %v", path, err)
	}
	return e
}

func trySave(ctx context.Context, i *home.Instance, path, content string, guard home.Guard) (home.Entry, error) {
	u, err := i.Receive(ctx, strings.NewReader(content), -1)
	if err != nil {
		return home.Entry{}, err
	}
	e, _, err := i.PutFile(ctx, home.PutFile{Path: path, Upload: u, Type: "text/plain", Guard: guard})
	return e, errors.Join(err, u.Discard())
}

func makeFolder(t testing.TB, i *home.Instance, path string) {
	t.Helper()
	if err := i.MakeFolder(t.Context(), path, nil); err != nil {
		t.Fatalf("make %s: %v", path, err)
	}
}

// list is the names of what is in a folder; those of folders end with a slash.
func list(t testing.TB, i *home.Instance, folder string) (names []string) {
	t.Helper()
	all, err := i.Sight().List(t.Context(), folder)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range all {
		name := e.Name()
		if e.Folder {
			name += "/"
		}
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func expectList(t testing.TB, i *home.Instance, folder string, want ...string) {
	t.Helper()
	if got := list(t, i, folder); !slices.Equal(got, want) {
		t.Errorf("in %s: %q, want %q", folder, got, want)
	}
}

// held is what a file holds.
func held(t testing.TB, i *home.Instance, path string) string {
	t.Helper()
	e, err := i.Sight().Entry(t.Context(), path)
	if err != nil {
		t.Fatalf("look for %s: %v", path, err)
	}
	content, err := i.Reader().Content(t.Context(), *e.Record.Blob)
	if err != nil {
		t.Fatal(err)
	}
	defer content.Close()
	text, err := io.ReadAll(content)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// checkRoom checks that what is counted as used is what the records name, each once.
func checkRoom(t testing.TB, i *home.Instance) {
	t.Helper()
	used, _, err := i.Room(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	blobs, want := map[formats.Hash]bool{}, int64(0)
	for _, r := range records(t, i) {
		if r.Blob != nil && !blobs[r.Blob.SHA256] {
			blobs[r.Blob.SHA256] = true
			want += r.Blob.Size
		}
	}
	if used != want {
		t.Errorf("%d bytes are counted, the records name %d", used, want)
	}
}

func expectErr(t testing.TB, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%v, want %v", err, want)
	}
}

func TestAPersonWorks(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		i, ctx := instance(t, db, home.Options{}), t.Context()
		makeFolder(t, i, "tree/a")
		makeFolder(t, i, "tree/a/b")
		save(t, i, "tree/a/b/one", "1")
		save(t, i, "tree/a/two", strings.Repeat("2", 100_000))
		save(t, i, "tree/a-c", "3")
		expectList(t, i, "tree", "a-c", "a/")
		expectList(t, i, "tree/a", "b/", "two")
		if got := held(t, i, "tree/a/two"); len(got) != 100_000 {
			t.Errorf("%d bytes", len(got))
		}
		created, err := i.Move(ctx, home.Transfer{From: "tree/a", To: "tree/z"})
		if err != nil || !created {
			t.Fatal(created, err)
		}
		expectList(t, i, "tree", "a-c", "z/")
		expectList(t, i, "tree/z/b", "one")
		if _, err := i.Copy(ctx, home.Transfer{From: "tree/z", To: "tree/y"}); err != nil {
			t.Fatal(err)
		}
		expectList(t, i, "tree/y", "b/", "two")
		checkRoom(t, i)
		if err := i.Discard(ctx, "tree/z", nil); err != nil {
			t.Fatal(err)
		}
		expectList(t, i, "tree", "a-c", "y/")
		expectList(t, i, "trash", "z/")
		for _, r := range records(t, i) {
			if r.Path == "trash/z/b/one" && !bytes.Contains(r.Body, []byte(`"restorePath":"z/b"`)) {
				t.Errorf("nothing says where it was: %s", r.Body)
			}
		}
		if _, err := i.Move(ctx, home.Transfer{From: "trash/z", To: "tree/back"}); err != nil {
			t.Fatal(err)
		}
		for _, r := range records(t, i) {
			if bytes.Contains(r.Body, []byte("restorePath")) {
				t.Errorf("%s says still where it was thrown away: %s", r.Path, r.Body)
			}
		}
		for _, p := range []string{"tree/back", "tree/y", "tree/a-c", "trash"} {
			if err := i.Discard(ctx, p, nil); err != nil {
				t.Fatal(p, err)
			}
		}
		if err := i.Discard(ctx, "trash", nil); err != nil {
			t.Fatal(err)
		}
		if left := records(t, i); len(left) != 0 {
			t.Errorf("left: %v", left)
		}
		checkRoom(t, i)
	})
}

func TestWhatCannotBeDone(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		i, ctx := instance(t, db, home.Options{Quota: 10}), t.Context()
		makeFolder(t, i, "tree/a")
		makeFolder(t, i, "tree/a/b")
		save(t, i, "tree/f", "123456")
		at := position(t, i)
		_, err := trySave(ctx, i, "tree/g", "12345", nil)
		expectErr(t, err, home.ErrQuota)
		_, err = trySave(ctx, i, "tree/no/g", "1", nil)
		expectErr(t, err, home.ErrNoFolder)
		_, err = trySave(ctx, i, "tree/f/g", "1", nil)
		expectErr(t, err, home.ErrNoFolder)
		_, err = trySave(ctx, i, "tree/a", "1", nil)
		expectErr(t, err, home.ErrFolder)
		_, err = trySave(ctx, i, "tree/"+strings.Repeat("x", 5000), "1", nil)
		expectErr(t, err, formats.ErrInvalid)
		expectErr(t, i.MakeFolder(ctx, "tree/a", nil), home.ErrTaken)
		expectErr(t, i.MakeFolder(ctx, "tree/f", nil), home.ErrTaken)
		expectErr(t, i.MakeFolder(ctx, "tree/f/x", nil), home.ErrNoFolder)
		expectErr(t, i.Discard(ctx, "tree/no", nil), operators.ErrNotFound)
		expectErr(t, i.Discard(ctx, "tree", nil), home.ErrInside)
		for _, c := range []struct {
			from, to string
			want     error
		}{
			{"tree/a", "tree/a", home.ErrInside}, {"tree/a", "tree/a/b/c", home.ErrInside}, {"tree/a/b", "tree/a", home.ErrInside}, {"tree", "tree/x", home.ErrInside}, {"tree/a", "tree", home.ErrInside},
			{"tree/a", "tree/f", home.ErrTaken}, {"tree/no", "tree/x", operators.ErrNotFound}, {"tree/f", "tree/no/f", home.ErrNoFolder},
		} {
			_, err := i.Move(ctx, home.Transfer{From: c.from, To: c.to})
			expectErr(t, err, c.want)
			_, err = i.Copy(ctx, home.Transfer{From: c.from, To: c.to})
			expectErr(t, err, c.want)
		}
		refused := errors.New("the guard says no")
		_, err = trySave(ctx, i, "tree/h", "1", func(context.Context, *home.Sight) error { return refused })
		expectErr(t, err, refused)
		if now := position(t, i); now != at {
			t.Errorf("what was refused changed something: position %d, before %d", now, at)
		}
		if err := i.SetReadOnly(ctx, true); err != nil {
			t.Fatal(err)
		}
		_, err = trySave(ctx, i, "tree/f", "1", nil)
		expectErr(t, err, operators.ErrReadOnly)
		expectErr(t, i.MakeFolder(ctx, "tree/n", nil), operators.ErrReadOnly)
		expectErr(t, i.Discard(ctx, "tree/f", nil), operators.ErrReadOnly)
		_, err = i.Move(ctx, home.Transfer{From: "tree/f", To: "tree/n"})
		expectErr(t, err, operators.ErrReadOnly)
		_, _, err = i.Lock(ctx, home.Lock{Path: "tree/f", Expires: time.Now().Add(time.Hour)}, nil)
		expectErr(t, err, operators.ErrReadOnly)
		expectErr(t, i.Revise(ctx, formats.Contacts, "1", nil, nil), operators.ErrReadOnly)
		expectErr(t, i.Drop(ctx, formats.Contacts, "1", nil), operators.ErrReadOnly)
	})
}

// TestVersions overwrites a file more often than versions are kept.
func TestVersions(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		i := instance(t, db, home.Options{})
		save(t, i, "tree/f", "")
		first := save(t, i, "tree/f", "state 0")
		for n := range 15 {
			save(t, i, "tree/f", fmt.Sprint("state ", n))
			save(t, i, "tree/f", fmt.Sprint("state ", n)) // which changes nothing
		}
		var kept []string
		for _, r := range records(t, i) {
			if r.Kind == formats.KindVersion {
				if r.Links[0].ID != first.Record.ID || !strings.HasPrefix(r.Path, "versions/"+first.Record.ID+"/") {
					t.Errorf("%+v", r)
				}
				kept = append(kept, held(t, i, r.Path))
			}
		}
		if len(kept) != 10 || !slices.Contains(kept, "state 13") || !slices.Contains(kept, "state 4") || slices.Contains(kept, "state 14") {
			t.Errorf("versions: %q", kept)
		}
		checkRoom(t, i)
		if now := save(t, i, "tree/f", "state 4"); now.Record.ID != first.Record.ID {
			t.Error("it is another file now")
		}
		checkRoom(t, i)
	})
}

// TestVersionsGiveWay fills the quota with versions.
func TestVersionsGiveWay(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		i := instance(t, db, home.Options{Quota: 250_000})
		for n := range 9 {
			save(t, i, "tree/f", strings.Repeat(fmt.Sprint(n), 100_000))
		}
		if got := held(t, i, "tree/f"); got[0] != '8' {
			t.Errorf("it holds %.3s…", got)
		}
		checkRoom(t, i)
	})
}

// TestSavedBeside saves as programs do that write another file and then move it over the first.
func TestSavedBeside(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		i := instance(t, db, home.Options{})
		before := save(t, i, "tree/f", strings.Repeat("a", 70_000))
		save(t, i, "tree/f.tmp", strings.Repeat("b", 70_000))
		created, err := i.Move(t.Context(), home.Transfer{From: "tree/f.tmp", To: "tree/f", Replace: true})
		if err != nil || created {
			t.Fatal(created, err)
		}
		expectList(t, i, "tree", "f")
		after, err := i.Sight().Entry(t.Context(), "tree/f")
		if err != nil || after.Record.ID != before.Record.ID || held(t, i, "tree/f")[0] != 'b' {
			t.Errorf("%+v, %v", after, err)
		}
		expectList(t, i, "versions/"+before.Record.ID, "w-"+fmt.Sprintf("%016x", 3))
		checkRoom(t, i)
	})
}

// TestWorkMeetsArchives changes what an archive brought, and loads a newer state of it.
func TestWorkMeetsArchives(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		i := instance(t, db, home.Options{})
		bring(t, i, "s", file("1", "dir/one", "1"), file("2", "dir/two", "2"), file("3", "three", "3"))
		save(t, i, "tree/dir/one", "mine")
		if _, err := i.Move(t.Context(), home.Transfer{From: "tree/dir/two", To: "tree/two"}); err != nil {
			t.Fatal(err)
		}
		if err := i.Discard(t.Context(), "tree/three", nil); err != nil {
			t.Fatal(err)
		}
		if got := bring(t, i, "s", file("1", "dir/one", "1"), file("2", "dir/two", "2"), file("3", "three", "3")); !slices.Equal(got, []operators.Result{operators.Present, operators.Present, operators.Present}) {
			t.Errorf("the same again: %v", got)
		}
		bring(t, i, "s", file("1", "dir/one", "theirs"), gone("2"), file("3", "three", "33"))
		expectList(t, i, "tree", "dir/", "three", "two")
		expectList(t, i, "tree/dir", "one", "one (2)")
		if a, b := held(t, i, "tree/dir/one"), held(t, i, "tree/dir/one (2)"); a != "mine" || b != "theirs" {
			t.Errorf("%q and %q", a, b)
		}
		checkRoom(t, i)
	})
}

// TestAFolderStays takes the last file out of a folder that has no record.
func TestAFolderStays(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		i := instance(t, db, home.Options{})
		bring(t, i, "s", file("1", "dir/one", "1"), file("2", "dir/two", "2"))
		for _, name := range []string{"one", "two"} {
			if err := i.Discard(t.Context(), "tree/dir/"+name, nil); err != nil {
				t.Fatal(err)
			}
		}
		expectList(t, i, "tree", "dir/")
		expectList(t, i, "tree/dir")
	})
}

// TestLongPaths works around the length from which the index knows a path only in part.
func TestLongPaths(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		i := instance(t, db, home.Options{})
		path := "tree"
		for range 8 {
			path += "/" + strings.Repeat("é", 100)
			makeFolder(t, i, path)
			save(t, i, path+"/file", path)
			save(t, i, path+"/other", path)
		}
		deep := path
		for len(path) > len("tree") {
			if got := list(t, i, path); len(got) != 2 && len(got) != 3 {
				t.Errorf("%d bytes deep: %d things", len(path), len(got))
			}
			path = path[:strings.LastIndexByte(path, '/')]
		}
		_, err := trySave(t.Context(), i, deep, "over a folder", nil)
		expectErr(t, err, home.ErrFolder)
		first := "tree/" + strings.Repeat("é", 100)
		if _, err := i.Move(t.Context(), home.Transfer{From: first, To: "tree/x"}); err != nil {
			t.Fatal(err)
		}
		if got := held(t, i, "tree/x"+deep[len(first):]+"/file"); got != deep {
			t.Errorf("%q", got)
		}
		expectList(t, i, "tree", "x/")
		if n := len(records(t, i)); n != 24 {
			t.Errorf("%d records", n)
		}
	})
}

// TestListPassesOverWhatIsDeeper lists a folder beside others that hold much.
func TestListPassesOverWhatIsDeeper(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		i := instance(t, db, home.Options{})
		var items []operators.Item
		for n := range 3000 {
			items = append(items, file(fmt.Sprint(n), fmt.Sprintf("d%d/e/f%d", n%3, n), "x"))
		}
		bring(t, i, "s", append(items, file("a", "d1-x", "1"), file("b", "d10", "1"), file("c", "z", "1"))...)
		expectList(t, i, "tree", "d0/", "d1-x", "d1/", "d10", "d2/", "z")
		expectList(t, i, "tree/d1", "e/")
		if n := len(list(t, i, "tree/d1/e")); n != 1000 {
			t.Errorf("%d files", n)
		}
	})
}

func TestLocks(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		i, ctx := instance(t, db, home.Options{}), t.Context()
		makeFolder(t, i, "tree/a")
		soon := time.Now().Add(time.Hour)
		deep, created, err := i.Lock(ctx, home.Lock{Path: "tree/a", Deep: true, Exclusive: true, Owner: "me", Expires: soon}, nil)
		if err != nil || created || !strings.HasPrefix(deep.Token, "urn:uuid:") {
			t.Fatal(deep, created, err)
		}
		for _, l := range []home.Lock{{Path: "tree/a"}, {Path: "tree/a/x", Exclusive: true}, {Path: "tree", Deep: true}} {
			l.Expires = soon
			_, _, err := i.Lock(ctx, l, nil)
			expectErr(t, err, home.ErrLocked)
		}
		one, created, err := i.Lock(ctx, home.Lock{Path: "tree/new", Expires: soon}, nil)
		if err != nil || !created {
			t.Fatal(created, err)
		}
		if _, _, err := i.Lock(ctx, home.Lock{Path: "tree/new", Expires: soon}, nil); err != nil {
			t.Errorf("a second shared lock: %v", err)
		}
		_, err = i.Refresh(ctx, "tree/other", one.Token, soon)
		expectErr(t, err, home.ErrNoLock)
		if _, err := i.Refresh(ctx, "tree/new", one.Token, time.Now().Add(-time.Second)); err != nil {
			t.Error(err)
		}
		_, err = i.Refresh(ctx, "tree/new", one.Token, soon)
		expectErr(t, err, home.ErrNoLock) // it was over
		if err := i.SetReadOnly(ctx, true); err != nil {
			t.Fatal(err)
		}
		expectErr(t, i.Unlock(ctx, "tree/other", deep.Token), home.ErrNoLock)
		if err := i.Unlock(ctx, "tree/a/below", deep.Token); err != nil {
			t.Error(err)
		}
		if err := i.SetReadOnly(ctx, false); err != nil {
			t.Fatal(err)
		}
		for n := 0; ; n++ {
			_, _, err := i.Lock(ctx, home.Lock{Path: fmt.Sprint("tree/flood", n), Expires: soon}, nil)
			if errors.Is(err, home.ErrTooManyLocks) {
				break
			}
			if err != nil || n > 300 {
				t.Fatal(n, err)
			}
		}
	})
}

// TestTheFence has twenty writers at one path, and makes the instance read-only among them: after that nothing is written.
func TestTheFence(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		i := instance(t, db, home.Options{})
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		var writers sync.WaitGroup
		for n := range 20 {
			writers.Go(func() {
				for turn := 0; ctx.Err() == nil; turn++ {
					_, err := trySave(ctx, i, "tree/f", fmt.Sprint(n, " ", turn), nil)
					if err != nil && !errors.Is(err, operators.ErrReadOnly) && ctx.Err() == nil {
						t.Error(err)
					}
				}
			})
		}
		time.Sleep(200 * time.Millisecond)
		if err := i.SetReadOnly(t.Context(), true); err != nil {
			t.Fatal(err)
		}
		at := position(t, i)
		content := held(t, i, "tree/f")
		time.Sleep(100 * time.Millisecond)
		if now := position(t, i); now != at || held(t, i, "tree/f") != content || at == 0 {
			t.Errorf("position %d, at the fence %d", now, at)
		}
		stop()
		writers.Wait()
		checkRoom(t, i)
	})
}

// TestGuardsAreAtomic has writers that each add one to a number, if it is still the one that they read.
func TestGuardsAreAtomic(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		i := instance(t, db, home.Options{})
		save(t, i, "tree/n", "0")
		changed := errors.New("changed")
		var writers sync.WaitGroup
		for range 8 {
			writers.Go(func() {
				for done := 0; done < 10; {
					e, err := i.Sight().Entry(t.Context(), "tree/n")
					if err != nil {
						t.Error(err)
						return
					}
					var n int
					fmt.Sscan(held(t, i, "tree/n"), &n)
					_, err = trySave(t.Context(), i, "tree/n", fmt.Sprint(n+1), func(ctx context.Context, s *home.Sight) error {
						now, err := s.Entry(ctx, "tree/n")
						if err == nil && now.Hash != e.Hash {
							err = changed
						}
						return err
					})
					switch {
					case err == nil:
						done++
					case !errors.Is(err, changed):
						t.Error(err)
						return
					}
				}
			})
		}
		writers.Wait()
		if got := held(t, i, "tree/n"); got != "80" {
			t.Errorf("counted to %s", got)
		}
	})
}

// TestAnUploadThatBreaksOff leaves nothing behind.
func TestAnUploadThatBreaksOff(t *testing.T) {
	db, dir := dbtest.SQLite(t), t.TempDir()
	h, err := home.Open(t.Context(), db, dir)
	if err != nil {
		t.Fatal(err)
	}
	i, err := h.Create(t.Context(), "alice", home.Options{})
	if err != nil {
		t.Fatal(err)
	}
	broken := io.MultiReader(strings.NewReader(strings.Repeat("x", 1<<20)), &failing{})
	if _, err := i.Receive(t.Context(), broken, -1); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Error(err)
	}
	_, err = i.Receive(t.Context(), strings.NewReader(strings.Repeat("x", 1<<20)), 1000)
	expectErr(t, err, home.ErrQuota)
	stale, young := filepath.Join(dir, "uploads", "new-stale"), filepath.Join(dir, "uploads", "new-young")
	for _, name := range []string{stale, young} {
		if err := os.WriteFile(name, []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	long := time.Now().Add(-48 * time.Hour)
	if err := os.Chtimes(stale, long, long); err != nil {
		t.Fatal(err)
	}
	if _, err := home.Open(t.Context(), db, dir); err != nil {
		t.Fatal(err)
	}
	left, err := os.ReadDir(filepath.Join(dir, "uploads"))
	if err != nil || len(left) != 1 || left[0].Name() != "new-young" {
		t.Errorf("left: %v, %v", left, err)
	}
}

type failing struct{}

func (*failing) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }
