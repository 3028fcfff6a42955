package move_test

import (
	"encoding/json"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/passerelle-cloud/passerelle/formats"
	"github.com/passerelle-cloud/passerelle/internal/dbtest"
	"github.com/passerelle-cloud/passerelle/internal/sqldb"
	"github.com/passerelle-cloud/passerelle/transfer/move"
)

// TestFullDisk has a disk of either side be full: the move says that it waits, nothing is lost, the person goes on writing,
// and it goes on by itself as soon as there is room.
func TestFullDisk(t *testing.T) {
	for what, k := range map[string]struct {
		source bool
		folder string
		files  []string
		card   int // bytes of a record
	}{
		"where the source packs":                     {true, "leaving", nil, 3_000_000},
		"where the destination fetches":              {false, "arriving", nil, 3_000_000},
		"where the destination fetches a large file": {false, "arriving", []string{noise(1, 5_000_000)}, 0},
		"where the destination keeps contents":       {false, "blobs", []string{noise(2, 3_000_000)}, 0},
	} {
		t.Run(what, func(t *testing.T) {
			a, b := pair(t)
			o, folder := b, k.folder
			if k.source {
				o = a
			}
			p := name()
			here := a.lives(p, k.files...)
			if k.card > 0 {
				card := formats.Record{ID: "long", Dataset: formats.Contacts, Kind: formats.KindCard, Body: json.RawMessage(`{"@type":"Card","version":"1.0","uid":"long","name":{"full":"` + strings.Repeat("x", k.card) + `"}}`)}
				if _, err := here.Put(t.Context(), card, nil); err != nil {
					t.Fatal(err)
				}
			}
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
