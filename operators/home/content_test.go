package home_test

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"strings"
	"testing"

	"github.com/passerelle-cloud/passerelle/formats"
	"github.com/passerelle-cloud/passerelle/internal/dbtest"
	"github.com/passerelle-cloud/passerelle/internal/sqldb"
	"github.com/passerelle-cloud/passerelle/operators"
	"github.com/passerelle-cloud/passerelle/operators/home"
)

// blobOf is the blob of a file's record as the instance has it.
func blobOf(t testing.TB, i *home.Instance, id string) formats.Blob {
	t.Helper()
	l, err := i.Reader().Record(t.Context(), formats.Files, id)
	if err != nil {
		t.Fatal(err)
	}
	record, err := l.Parse()
	if err != nil {
		t.Fatal(err)
	}
	return *record.Blob
}

// TestContent reads contents around the size from which they are files: the whole, and parts of it.
func TestContent(t *testing.T) {
	eachReader(t, func(t *testing.T, i *home.Instance, r *home.Reader) {
		rng := rand.New(rand.NewPCG(1, 2))
		for _, size := range []int{0, 1, 64 << 10, 64<<10 + 1, 3 << 20} {
			want := make([]byte, size)
			for n := range want {
				want[n] = 'a' + byte(rng.IntN(26))
			}
			must(t, i, file("1", "file", string(want)).Record, bytes.NewReader(want))
			content, err := r.Content(t.Context(), blobOf(t, i, "1"))
			if err != nil {
				t.Fatal(err)
			}
			if end, err := content.Seek(0, io.SeekEnd); err != nil || end != int64(size) {
				t.Errorf("%d bytes: the end is at %d, %v", size, end, err)
			}
			for range 20 {
				from := rng.IntN(size + 1)
				part := make([]byte, rng.IntN(size-from+1))
				if _, err := content.Seek(int64(from), io.SeekStart); err != nil {
					t.Fatal(err)
				}
				if _, err := io.ReadFull(content, part); err != nil || !bytes.Equal(part, want[from:from+len(part)]) {
					t.Errorf("%d bytes: those from %d to %d differ, %v", size, from, from+len(part), err)
				}
			}
			// What is open stays, though the record goes.
			if err := i.Remove(t.Context(), formats.Files, "1"); err != nil {
				t.Fatal(err)
			}
			bring(t, i, "collects what nobody names", folder("2", "folder"))
			if _, err := content.Seek(0, io.SeekStart); err != nil {
				t.Fatal(err)
			}
			if got, err := io.ReadAll(content); err != nil || !bytes.Equal(got, want) {
				t.Errorf("%d bytes, after the record went: %d bytes, %v", size, len(got), err)
			}
			if err := content.Close(); err != nil {
				t.Error(err)
			}
		}
	})
}

func TestContentThatIsNotThere(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		dir := t.TempDir()
		h, err := home.Open(t.Context(), db, dir)
		if err != nil {
			t.Fatal(err)
		}
		var both [2]*home.Instance
		for n, name := range []string{"alice", "bob"} {
			if both[n], err = h.Create(t.Context(), name, home.Options{}); err != nil {
				t.Fatal(err)
			}
		}
		alice, bob := both[0], both[1]
		for id, content := range map[string]string{"small": "1", "large": strings.Repeat("2", 100_000), "gone": strings.Repeat("3", 100_000)} {
			must(t, alice, file(id, id, content).Record, strings.NewReader(content))
		}
		small, large, gone := blobOf(t, alice, "small"), blobOf(t, alice, "large"), blobOf(t, alice, "gone")
		expect := func(what string, i *home.Instance, blob formats.Blob, want error) {
			t.Helper()
			content, err := i.Reader().Content(t.Context(), blob)
			if err == nil {
				content.Close()
			}
			if !errors.Is(err, want) {
				t.Errorf("%s: %v, want %v", what, err, want)
			}
		}
		expect("somebody else's", bob, small, operators.ErrChanged)
		expect("somebody else's file", bob, large, operators.ErrChanged)
		expect("what never was", alice, formats.Blob{Size: 1}, operators.ErrChanged)
		if err := alice.Remove(t.Context(), formats.Files, "gone"); err != nil {
			t.Fatal(err)
		}
		bring(t, alice, "collects what nobody names")
		expect("what was deleted", alice, gone, operators.ErrChanged)
		for _, name := range filesBelow(t, dir) {
			if err := os.Truncate(name, 99_999); err != nil {
				t.Fatal(err)
			}
		}
		expect("a file that was cut", alice, large, operators.ErrContentMissing)
		for _, name := range filesBelow(t, dir) {
			os.Remove(name)
		}
		expect("a file that was lost", alice, large, operators.ErrContentMissing)
		expect("what is in the database", alice, small, nil)
	})
}
