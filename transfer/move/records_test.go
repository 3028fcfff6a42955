package move_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/passerelle-cloud/passerelle/transfer/move"
)

// TestPoisonedRecordDoesNotAbort loses the bytes of a file at the source. Everything else moves, and what is lost is listed.
func TestPoisonedRecordDoesNotAbort(t *testing.T) {
	a, b := pair(t)
	p := name()
	a.lives(p, strings.Repeat("lost ", 30_000))
	if n := a.forgets(t, 150_000); n != 1 {
		t.Fatalf("%d files were removed", n)
	}
	j := begins(t, p, a, b)
	j.until("it arrives", func() bool { return j.come().Done })
	m := j.come()
	if len(m.Omitted) != 1 || m.Omitted[0].Code != "content-missing" || m.Omitted[0].Reason == "" {
		t.Errorf("%+v", m.Omitted)
	}
	if found := differences(t, a.instance(t, p), b.instance(t, p)); len(found) != 0 {
		t.Errorf("%q", found) // of the lost one both have the name
	}
	j.receipted()
}

// TestDamagedBytesDoNotAbort is about bytes that the source's disk spoilt: it finds that out while it packs.
func TestDamagedBytesDoNotAbort(t *testing.T) {
	a, b := pair(t)
	p := name()
	a.lives(p, strings.Repeat("spoilt ", 30_000))
	for _, name := range a.blobs(t, 210_000) {
		if err := os.WriteFile(name, make([]byte, 210_000), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	j := begins(t, p, a, b)
	j.until("it arrives", func() bool { return j.come().Done })
	if m := j.come(); len(m.Omitted) != 1 || m.Omitted[0].Code != "content-missing" {
		t.Errorf("%+v", m.Omitted)
	}
	j.receipted()
}

// TestDamagedUnderTheFence has bytes that the disk spoils while nobody can write: what the source said to stand at is no more what it
// stands at. The next fence is of what is left.
func TestDamagedUnderTheFence(t *testing.T) {
	a, b := pair(t)
	p := name()
	here := a.lives(p)
	b.weather.set(stopsAt("/fence"))
	j := begins(t, p, a, b)
	j.until("it is caught up", func() bool { return j.come().Stage == move.CaughtUp })
	if err := jot(here, "late", strings.Repeat("spoilt ", 30_000)); err != nil {
		t.Fatal(err)
	}
	if n := a.damages(t, 210_000); n != 1 {
		t.Fatalf("%d files were damaged", n)
	}
	b.weather.set(nil)
	j.until("what is left is packed, too", func() bool { return j.left().Packed == 4 })
	a.ahead.Store(int64(2 * time.Minute)) // the fence is lifted
	j.until("it arrives", func() bool { return j.come().Done })
	if m := j.come(); len(m.Omitted) != 1 || m.Omitted[0].Code != "content-missing" || m.Epoch < 2 {
		t.Errorf("epoch %d: %+v", m.Epoch, m.Omitted)
	}
	j.receipted()
}

// forgets removes the files of blobs of a size, and returns how many there were.
func (o *operator) forgets(t *testing.T, size int64) (n int) {
	t.Helper()
	for _, name := range o.blobs(t, size) {
		if err := os.Remove(name); err != nil {
			t.Fatal(err)
		}
		n++
	}
	return n
}

// blobs are the files of an operator's blobs that have a size.
func (o *operator) blobs(t *testing.T, size int64) (names []string) {
	t.Helper()
	err := filepath.WalkDir(filepath.Join(o.dir, "blobs"), func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err == nil && info.Size() == size {
			names = append(names, name)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}
