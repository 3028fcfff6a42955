package home_test

import (
	"bytes"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/passerelle-cloud/passerelle/formats"
	"github.com/passerelle-cloud/passerelle/internal/dbtest"
	"github.com/passerelle-cloud/passerelle/internal/sqldb"
	"github.com/passerelle-cloud/passerelle/operators/home"
)

const aMove = "01234567890123456789"

// blobs are the blobs of some texts, in the order in which a source lists them.
func blobs(texts ...string) (list []formats.Blob) {
	for _, text := range texts {
		list = append(list, formats.Blob{SHA256: formats.HashOf([]byte(text)), Size: int64(len(text))})
	}
	slices.SortFunc(list, func(a, b formats.Blob) int { return bytes.Compare(a.SHA256[:], b.SHA256[:]) })
	return list
}

// takes has a move take some texts, and checks which it has taken.
func takes(t *testing.T, h *home.Home, texts []string, want ...string) {
	t.Helper()
	if err := h.Take(t.Context(), aMove, "alice", blobs(texts...)); err != nil {
		t.Fatal(err)
	}
	taken, err := h.Held(t.Context(), aMove, blobs(texts...))
	if err != nil {
		t.Fatal(err)
	}
	var wanted []formats.Hash
	for _, b := range blobs(want...) {
		wanted = append(wanted, b.SHA256)
	}
	if !slices.Equal(taken, wanted) {
		t.Errorf("%d were taken, not %d", len(taken), len(wanted))
	}
}

// TestTakeWhatThePersonHas takes what the person has of a list, and nothing of what others have. It stays when the person
// throws theirs away, and goes where no record comes that names it.
func TestTakeWhatThePersonHas(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		dir := t.TempDir()
		h, err := home.Open(t.Context(), db, dir)
		if err != nil {
			t.Fatal(err)
		}
		small, large, foreign, unnamed := "small", strings.Repeat("1", 100_000), strings.Repeat("2", 100_000), strings.Repeat("3", 100_000)
		takes(t, h, []string{small, large}) // nobody is here
		i, err := h.Create(t.Context(), "alice", home.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if owns, err := h.Owns(t.Context(), "alice"); owns || err != nil {
			t.Errorf("%v %v", owns, err)
		}
		bring(t, i, "own", file("1", "small", small), file("2", "large", large), file("3", "empty", ""), file("4", "unnamed", unnamed), file("5", "more", "more"))
		if owns, err := h.Owns(t.Context(), "alice"); !owns || err != nil {
			t.Errorf("%v %v", owns, err)
		}
		other, err := h.Create(t.Context(), "bob", home.Options{})
		if err != nil {
			t.Fatal(err)
		}
		bring(t, other, "other", file("1", "foreign", foreign), file("2", "also", "foreign and small"))
		all := []string{small, large, "", unnamed, foreign, "foreign and small", "nobody has it"}
		takes(t, h, all, small, large, "", unnamed)
		takes(t, h, all, small, large, "", unnamed) // again
		into, err := h.Staged(t.Context(), aMove)
		if err != nil {
			t.Fatal(err)
		}
		if c, err := into.Usage(t.Context()); err != nil || c.Records != 0 {
			t.Errorf("%+v %v", c, err)
		}
		if err := h.Delete(t.Context(), "alice"); err != nil {
			t.Fatal(err)
		}
		takes(t, h, all, small, large, "", unnamed) // it stays
		l := begin(t, into, "the move")
		for _, b := range blobs(small, large, "") {
			if has, err := l.Has(t.Context(), b); err != nil || !has {
				t.Errorf("%s: %v %v", b.SHA256, has, err)
			}
		}
		for _, item := range []struct{ id, text string }{{"1", small}, {"2", large}, {"3", ""}} {
			it := file(item.id, item.id, item.text)
			it.Record.Blob.SHA256 = formats.HashOf([]byte(item.text))
			if out, err := l.PutRecord(t.Context(), it.Record); err != nil || out.Omission != nil {
				t.Errorf("%+v %v", out, err)
			}
		}
		if err := l.Finish(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := content(t, into, "2"); got != large {
			t.Errorf("%d bytes", len(got))
		}
		if left := filesBelow(t, dir); len(left) != 2 { // of both persons, one each
			t.Errorf("%q", left)
		}
		if used, _, err := into.Room(t.Context()); err != nil || used != 100_005 {
			t.Errorf("%d bytes are counted, %v", used, err)
		}
	})
}

// content reads the bytes of a record.
func content(t *testing.T, i *home.Instance, id string) string {
	t.Helper()
	in, err := i.Reader().Content(t.Context(), blobOf(t, i, id))
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	text, err := io.ReadAll(in)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestTakeNothingThatIsDamaged has bytes that the disk has spoilt, that are cut, and that are gone, beside sound ones.
func TestTakeNothingThatIsDamaged(t *testing.T) {
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
		texts := []string{strings.Repeat("1", 100_000), strings.Repeat("2", 100_001), strings.Repeat("3", 100_002), strings.Repeat("4", 100_003), "small", "sound"}
		for n, text := range texts {
			id := strconv.Itoa(n)
			bring(t, i, id, file(id, id, text))
		}
		for _, name := range filesBelow(t, dir) {
			info, err := os.Stat(name)
			if err != nil {
				t.Fatal(err)
			}
			switch info.Size() {
			case 100_000:
				spoil(t, db, name) // and the small one
			case 100_001:
				err = os.Truncate(name, 5)
			case 100_002:
				err = os.Remove(name)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		takes(t, h, texts, texts[3], "sound")
		source := i.Source()
		defer source.Close()
		if n, err := source.Examine(t.Context(), 0); n != 0 || err != nil {
			t.Errorf("%d are damaged still, %v", n, err)
		}
		takes(t, h, texts, texts[3], "sound")
		for n, text := range texts { // they come again
			bring(t, i, "again "+strconv.Itoa(n), file(strconv.Itoa(n), strconv.Itoa(n), text))
			if got := content(t, i, strconv.Itoa(n)); got != text {
				t.Errorf("%d: there are %d bytes", n, len(got))
			}
		}
	})
}

// TestTakeWithinTheRoom has less room than the person has bytes.
func TestTakeWithinTheRoom(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		h, err := home.Open(t.Context(), db, t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		i, err := h.Create(t.Context(), "alice", home.Options{Quota: 250_000})
		if err != nil {
			t.Fatal(err)
		}
		one, two := strings.Repeat("1", 100_000), strings.Repeat("2", 100_000)
		bring(t, i, "own", file("1", "one", one), file("2", "two", two), file("3", "small", "small"))
		takes(t, h, []string{one, two, "small"}, "small")
	})
}

// TestBlobsAreListedInPages lists what a person has, each once, and not what they threw away.
func TestBlobsAreListedInPages(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		i := instance(t, db, home.Options{})
		bring(t, i, "own", file("1", "a", "a"), file("2", "b", "b"), file("3", "b again", "b"), file("4", "c", strings.Repeat("c", 100_000)), file("5", "d", "d"), folder("6", "e"))
		if err := i.Remove(t.Context(), formats.Files, "5"); err != nil {
			t.Fatal(err)
		}
		source := i.Source()
		defer source.Close()
		var got []formats.Blob
		for after := (formats.Hash{}); ; {
			page, err := source.Blobs(t.Context(), after, 2)
			if err != nil || len(page) > 2 {
				t.Fatal(page, err)
			}
			if len(page) == 0 {
				break
			}
			got, after = append(got, page...), page[len(page)-1].SHA256
		}
		if !slices.Equal(got, blobs("a", "b", strings.Repeat("c", 100_000))) {
			t.Errorf("%v", got)
		}
	})
}
