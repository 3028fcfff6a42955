package home_test

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/passerelle-cloud/passerelle/formats"
	"github.com/passerelle-cloud/passerelle/internal/dbtest"
	"github.com/passerelle-cloud/passerelle/internal/sqldb"
	"github.com/passerelle-cloud/passerelle/operators"
	"github.com/passerelle-cloud/passerelle/operators/home"
)

func stock(t *testing.T, i *home.Instance) operators.Stock {
	t.Helper()
	s, err := i.Target().Stock(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func asBlob(text string) formats.Blob {
	return formats.Blob{SHA256: formats.HashOf([]byte(text)), Size: int64(len(text))}
}

// named is a file whose record says which bytes are its.
func named(id, content string) operators.Item {
	item := file(id, id, content)
	item.Record.Blob.SHA256 = formats.HashOf([]byte(content))
	return item
}

// TestStock takes in bytes of many sizes, of which a load then finds those that its records name; the others go.
func TestStock(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		i, dir := opened(t, db, home.Options{})
		s := stock(t, i)
		random := rand.NewChaCha8([32]byte{1})
		var items []operators.Item
		keep := func(content []byte) {
			if is, err := s.PutBlob(t.Context(), bytes.NewReader(content), asBlob(string(content))); err != nil || !is {
				t.Fatalf("%d bytes: %t, %v", len(content), is, err)
			}
			other := asBlob(string(content))
			other.SHA256[0] ^= 1
			if is, err := s.PutBlob(t.Context(), bytes.NewReader(content), other); err != nil || is {
				t.Fatalf("%d bytes that are others: %t, %v", len(content), is, err)
			}
		}
		for n := range 200 { // more than are gathered at once
			content := make([]byte, []int{40_000, 64 << 10, 64<<10 + 1, 0, 1}[n%5])
			random.Read(content)
			keep(content)
			keep(content)
			items = append(items, named(strings.Repeat("i", n+1), string(content)))
		}
		keep([]byte("nobody names it"))
		keep(bytes.Repeat([]byte("nor that"), 20_000))
		for name, size := range map[string]int64{"fewer": 6, "more": 4, "negative": -1, "fewer, in a file": 80_000} {
			if _, err := s.PutBlob(t.Context(), strings.NewReader("bytes"), formats.Blob{Size: size}); !errors.Is(err, formats.ErrInvalid) {
				t.Errorf("%s: %v", name, err)
			}
		}
		if err := s.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		l := begin(t, i, "s")
		for _, item := range items {
			if has, err := l.Has(t.Context(), *item.Record.Blob); err != nil || !has {
				t.Fatalf("%d bytes are not there: %v", item.Record.Blob.Size, err)
			}
			if out, err := l.PutRecord(t.Context(), item.Record); err != nil || out.Result == operators.Refused {
				t.Fatalf("%+v, %v", out, err)
			}
		}
		if err := l.Finish(t.Context()); err != nil {
			t.Fatal(err)
		}
		records(t, i) // reads and checks all
		var sum, used int64
		if err := db.Read.QueryRow(`SELECT sum(size), (SELECT used FROM home_instance) FROM home_blob`).Scan(&sum, &used); err != nil || sum != used {
			t.Errorf("%d bytes are there, %d are counted: %v", sum, used, err)
		}
		if got := filesBelow(t, dir); len(got) != 40 {
			t.Errorf("%d files, want 40", len(got))
		}
	})
}

// TestStockWaits has bytes come slowly: meanwhile no transaction is open. Once it is closed the instance can be loaded into.
func TestStockWaits(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		i, _ := opened(t, db, home.Options{})
		for _, size := range []int{100, 100_000} {
			s := stock(t, i)
			if _, err := s.PutBlob(t.Context(), strings.NewReader("before"), asBlob("before")); err != nil {
				t.Fatal(err)
			}
			in, out := io.Pipe()
			done := make(chan error)
			go func() {
				_, err := s.PutBlob(t.Context(), in, asBlob(strings.Repeat("x", size)))
				done <- err
			}()
			half := bytes.Repeat([]byte("x"), size/2)
			out.Write(half)
			if !home.Idle(s) {
				t.Errorf("%d bytes are waited for in a transaction, which on SQLite keeps all others from writing", size)
			}
			out.Write(half)
			out.Close()
			if err := <-done; err != nil {
				t.Error(err)
			}
			if err := s.Close(t.Context()); err != nil {
				t.Error(err)
			}
		}
		if err := begin(t, i, "s").Abort(); err != nil {
			t.Error(err)
		}
	})
}

// TestStockIsFull takes in no more than the quota has room for; what it has no room for is missing then.
func TestStockIsFull(t *testing.T) {
	i, dir := opened(t, dbtest.SQLite(t), home.Options{Quota: 150_000})
	s := stock(t, i)
	contents := []string{strings.Repeat("a", 100_000), strings.Repeat("b", 100_000), strings.Repeat("c", 40_000), strings.Repeat("d", 40_000)}
	for _, c := range contents {
		if _, err := s.PutBlob(t.Context(), strings.NewReader(c), asBlob(c)); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := filesBelow(t, dir); len(got) != 1 {
		t.Errorf("%d files", len(got))
	}
	l := begin(t, i, "s")
	for n, want := range []bool{true, false, true, false} {
		out, err := l.PutRecord(t.Context(), named(contents[n][:1], contents[n]).Record)
		if err != nil || (out.Result != operators.Refused) != want || !want && out.Omission.Code != "quota" {
			t.Errorf("%d: %+v, %v", n, out, err)
		}
	}
	if err := l.Finish(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// TestStockTakesFilesOver takes files from elsewhere, which are gone then, and finds what it took among what it is asked for.
func TestStockTakesFilesOver(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		dir, elsewhere := t.TempDir(), t.TempDir()
		h, err := home.Open(t.Context(), db, dir)
		if err != nil {
			t.Fatal(err)
		}
		i, err := h.Stage(t.Context(), aMove, "alice")
		if err != nil {
			t.Fatal(err)
		}
		texts := []string{"", "small", strings.Repeat("x", 64<<10), strings.Repeat("y", 64<<10+1), strings.Repeat("z", 300_000)}
		s := stock(t, i)
		for _, text := range append(texts, texts[4]) {
			name := filepath.Join(elsewhere, "file")
			if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			if is, err := s.PutFile(t.Context(), name, asBlob(text)); err != nil || !is {
				t.Errorf("%d bytes: %t, %v", len(text), is, err)
			}
			if _, err := os.Stat(name); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("%d bytes are still where they were: %v", len(text), err)
			}
		}
		if _, err := s.PutFile(t.Context(), filepath.Join(elsewhere, "nothing"), asBlob("")); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%v", err)
		}
		if err := s.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		holds := func(want ...string) {
			t.Helper()
			held, err := h.Held(t.Context(), aMove, blobs(append(texts, "not here", strings.Repeat("nor", 100_000))...))
			if err != nil {
				t.Fatal(err)
			}
			var hashes []formats.Hash
			for _, b := range blobs(want...) {
				hashes = append(hashes, b.SHA256)
			}
			if !slices.Equal(held, hashes) {
				t.Errorf("%d are held, not %d", len(held), len(hashes))
			}
		}
		holds(texts...)
		if got := filesBelow(t, dir); len(got) != 2 {
			t.Errorf("%q", got)
		}
		large, err := filepath.Glob(filepath.Join(dir, "*", "*", "*"))
		if err != nil || len(large) != 2 {
			t.Fatalf("%q, %v", large, err)
		}
		for _, name := range large {
			if err := os.Truncate(name, 5); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := db.Write.Exec(`UPDATE home_blob SET data = NULL WHERE size = 5`); err != nil {
			t.Fatal(err)
		}
		holds(texts[0], texts[2])
		if held, err := h.Held(t.Context(), "another-move-98765432", blobs(texts...)); err != nil || len(held) > 0 {
			t.Errorf("%d, %v", len(held), err)
		}
	})
}
