package move_test

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/passerelle-cloud/passerelle/internal/dbtest"
	"github.com/passerelle-cloud/passerelle/internal/sqldb"
	"github.com/passerelle-cloud/passerelle/transfer/move"
)

// TestFullDisk has a disk of either side be full: the move says that it waits, nothing is lost, the person goes on writing,
// and it goes on by itself as soon as there is room.
func TestFullDisk(t *testing.T) {
	for what, side := range map[string]func(a, b *operator) (full, holds *operator, folder string){
		"where the source packs":               func(a, b *operator) (*operator, *operator, string) { return a, a, "leaving" },
		"where the destination fetches":        func(a, b *operator) (*operator, *operator, string) { return b, b, "arriving" },
		"where the destination keeps contents": func(a, b *operator) (*operator, *operator, string) { return b, b, "blobs" },
	} {
		t.Run(what, func(t *testing.T) {
			a, b := pair(t)
			_, o, folder := side(a, b)
			p := name()
			here := a.lives(p, strings.Repeat(p, 200_000)) // some MB
			room := small(t, filepath.Join(o.dir, folder))
			j := begins(t, p, a, b)
			j.until("a disk is full", func() bool { return j.waits(o) })
			if err := jot(here, "meanwhile", "written while a disk was full"); err != nil {
				t.Errorf("the person cannot write: %v", err)
			}
			room()
			j.arrives()
			j.receipted()
		})
	}
}

// waits reports whether the move is held up at a side, and whether the person can see it: what the source cannot pack, at both.
func (j *journey) waits(o *operator) bool {
	if o == j.b {
		return j.come().Trouble != ""
	}
	return j.left().Waits && j.come().Trouble == move.SourceFull
}

// small puts a disk of 2 MB at a folder, and returns what makes it larger.
func small(t *testing.T, folder string) (larger func()) {
	t.Helper()
	if err := os.MkdirAll(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", folder, "tmpfs", 0, "size=2m"); err != nil {
		t.Skipf("only root can put a small disk somewhere: %v", err)
	}
	t.Cleanup(func() { syscall.Unmount(folder, syscall.MNT_DETACH) })
	return func() {
		if err := syscall.Mount("tmpfs", folder, "tmpfs", syscall.MS_REMOUNT, "size=200m"); err != nil {
			t.Fatal(err)
		}
	}
}

// TestKilledDatabase kills the PostgreSQL of either side at random moments of a move.
func TestKilledDatabase(t *testing.T) {
	server := dbtest.NewServer(t)
	open := func() *sqldb.DB {
		db, err := sqldb.Open(t.Context(), server.URL())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { db.Close() })
		return db
	}
	for _, which := range []string{"source", "destination"} {
		t.Run(which, func(t *testing.T) {
			one, other := dbtest.SQLite(t), open()
			if which == "source" {
				one, other = other, one
			}
			a, b := newPair(t, one, other)
			for range 3 {
				p := name()
				a.lives(p)
				j := begins(t, p, a, b)
				time.Sleep(time.Duration(rand.IntN(400)) * time.Millisecond)
				server.Kill(t)
				server.Start(t)
				j.until("it arrives", func() bool { m, ok := j.looked(); return ok && m.Done })
				j.same()
				j.receipted()
			}
		})
	}
}

// looked is come where the database may be away.
func (j *journey) looked() (move.Arriving, bool) {
	m, err := j.b.running().Get(j.t.Context(), j.person, j.id)
	return m, err == nil
}
