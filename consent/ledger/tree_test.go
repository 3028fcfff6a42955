package ledger_test

import (
	"bytes"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"filippo.io/torchwood"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/passerelle-cloud/passerelle/consent/ledger"
	"github.com/passerelle-cloud/passerelle/internal/dbtest"
	"github.com/passerelle-cloud/passerelle/internal/sqldb"
)

// Whatever the size, the root is the one that golang.org/x/mod computes, and every tile is what it takes from it.
func TestTreeIsThatOfRFC6962(t *testing.T) {
	sizes := map[int64]bool{0: true, 1: true, 2: true, 3: true, 255: true, 256: true, 257: true, 511: true, 512: true, 1000: true, 65535: true, 65536: true, 65537: true, 66000: true}
	var stored []tlog.Hash
	read := tlog.HashReaderFunc(func(at []int64) ([]tlog.Hash, error) {
		out := make([]tlog.Hash, len(at))
		for i, x := range at {
			out[i] = stored[x]
		}
		return out, nil
	})
	tree := ledger.NewTree()
	for n := range int64(66001) {
		if sizes[n] {
			want := tlog.Hash(sha256.Sum256(nil))
			if n > 0 {
				var err error
				if want, err = tlog.TreeHash(n, read); err != nil {
					t.Fatal(err)
				}
			}
			if got := tree.Root(); tlog.Hash(got) != want {
				t.Fatalf("size %d: %s, not %s", n, got, ledger.Hash(want))
			}
		}
		leaf := fmt.Appendf(nil, "leaf %d", n)
		more, err := tlog.StoredHashes(n, leaf, read)
		if err != nil {
			t.Fatal(err)
		}
		stored = append(stored, more...)
		tree.Append(ledger.Hash(tlog.RecordHash(leaf)), func(level int, index int64, hashes []byte) {
			want, err := tlog.ReadTileData(tlog.Tile{H: 8, L: level, N: index, W: 256}, read)
			if err != nil || !bytes.Equal(want, hashes) {
				t.Fatalf("tile %d/%d is not what it must be: %v", level, index, err)
			}
		})
	}
}

func get(t testing.TB, url string) (*http.Response, []byte) {
	t.Helper()
	r, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return r, body
}

// many commits n events in a few transactions.
func (f *fixture) many(t testing.TB, n int) {
	t.Helper()
	for n > 0 {
		var events []ledger.Event
		for range min(n, 200) {
			events = append(events, event(fmt.Sprintf("person-%d", n%7), fmt.Sprint(n)))
			n--
		}
		if _, err := f.Append(t.Context(), events...); err != nil {
			t.Fatal(err)
		}
	}
}

func TestTilesOverHTTP(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		f := setup(t, db)
		srv := httptest.NewServer(http.StripPrefix("/log", f.Handler(slog.New(slog.DiscardHandler))))
		defer srv.Close()
		f.many(t, 600)
		settled(t, f.Ledger, 600)
		r, body := get(t, srv.URL+"/log/checkpoint")
		if r.StatusCode != 200 || r.Header.Get("Content-Type") != "text/plain; charset=utf-8" || !strings.HasPrefix(string(body), origin+"\n600\n") {
			t.Fatalf("%v: %s", r.Header, body)
		}
		if c, _, err := f.trust(t).Open(body); err != nil || c.Size != 600 {
			t.Fatal(err)
		}
		there := map[string]int{
			"tile/0/000": 8192, "tile/0/001": 8192, "tile/0/002.p/88": 88 * 32, "tile/0/002.p/1": 32, "tile/0/000.p/7": 7 * 32,
			"tile/1/000.p/2": 64, "tile/1/000.p/1": 32,
			"tile/entries/000": 256 * (ledger.LeafSize + 2), "tile/entries/002.p/88": 88 * (ledger.LeafSize + 2), "tile/entries/000.p/3": 3 * (ledger.LeafSize + 2),
		}
		for name, size := range there {
			r, body := get(t, srv.URL+"/log/"+name)
			if r.StatusCode != 200 || len(body) != size || r.Header.Get("Content-Type") != "application/octet-stream" || !strings.Contains(r.Header.Get("Cache-Control"), "immutable") {
				t.Errorf("%s: %d, %d bytes instead of %d, %v", name, r.StatusCode, len(body), size, r.Header)
			}
		}
		_, whole := get(t, srv.URL+"/log/tile/0/000")
		if _, part := get(t, srv.URL+"/log/tile/0/000.p/7"); !bytes.HasPrefix(whole, part) {
			t.Error("a partial tile is not the beginning of the whole one")
		}
		for _, name := range []string{"tile/0/002", "tile/0/002.p/89", "tile/0/002.p/0", "tile/0/003.p/1", "tile/1/000", "tile/1/000.p/3", "tile/2/000.p/1",
			"tile/entries/002", "tile/entries/002.p/89", "tile/entries/003.p/1", "tile/0/0", "tile/0/x000/000", "tile/0/-1", "tile/8/000", "tile/99999999999999999999/000",
			"tile/0/x999/x999/x999/x999/x999/x999/999", "tile/", "tile/0/000.p/256", "tile/0/000.p/007", "entries/000", "", "tile/data/000", "tile/0/000/", "tile/0/001.p/0256"} {
			if r, body := get(t, srv.URL+"/log/"+name); r.StatusCode != 404 || strings.Contains(r.Header.Get("Cache-Control"), "immutable") {
				t.Errorf("%s: %d %s", name, r.StatusCode, body)
			}
		}
		if r, err := http.Post(srv.URL+"/log/checkpoint", "text/plain", strings.NewReader("x")); err != nil || r.StatusCode != 405 {
			t.Errorf("%v, %v", r.StatusCode, err)
		}
		fetcher, err := torchwood.NewTileFetcher(srv.URL + "/log")
		if err != nil {
			t.Fatal(err)
		}
		head, _ := f.Head(t.Context())
		client, err := torchwood.NewClient(fetcher)
		if err != nil {
			t.Fatal(err)
		}
		n := int64(0)
		for i, entry := range client.AllEntries(t.Context(), tlog.Tree{N: head.Size, Hash: tlog.Hash(head.Hash)}, 0) {
			if leaf, err := f.Leaf(t.Context(), i); err != nil || !bytes.Equal(leaf, entry) {
				t.Fatalf("%d: %v", i, err)
			}
			n++
		}
		if client.Err() != nil || n != 600 {
			t.Fatalf("%d, %v", n, client.Err())
		}
	})
}

func TestTheSecondProcessIsRefused(t *testing.T) {
	f := setup(t, dbtest.SQLite(t))
	if _, err := ledger.Open(t.Context(), f.db, f.opt); !errors.Is(err, ledger.ErrInUse) || !strings.Contains(err.Error(), "PostgreSQL") {
		t.Fatal(err)
	}
	f.Close()
	f.open(t)
	f.log(t, event("alice", "x"))
	f.Close()
	if _, err := f.Append(t.Context(), event("alice", "x")); !errors.Is(err, ledger.ErrClosed) {
		t.Fatal(err)
	}
}

// A database that was restored from a backup, or changed, is not signed: that would fork the log.
func TestARestoredDatabaseIsRefused(t *testing.T) {
	copyFile := func(from, to string) {
		data, err := os.ReadFile(from)
		if err == nil {
			err = os.WriteFile(to, data, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	dir := t.TempDir()
	path := filepath.Join(dir, "x.db")
	open := func() *sqldb.DB {
		db, err := sqldb.Open(t.Context(), path)
		if err != nil {
			t.Fatal(err)
		}
		return db
	}
	db := open()
	f := setup(t, db)
	f.many(t, 300)
	f.Close()
	db.Close()
	copyFile(path, path+".backup")

	f.db = open()
	f.open(t)
	f.many(t, 10)
	f.Close()
	f.db.Close()

	// Restored.
	copyFile(path, path+".newest")
	copyFile(path+".backup", path)
	db = open()
	if _, err := ledger.Open(t.Context(), db, f.opt); !errors.Is(err, ledger.ErrRolledBack) || !strings.Contains(err.Error(), "300 leaves") {
		t.Fatal(err)
	}
	// Restored, and grown again by one that had no high-water file.
	other := f.opt
	other.HighWater = ""
	l, err := ledger.Open(t.Context(), db, other)
	if err != nil {
		t.Fatal(err)
	}
	for range 20 {
		if _, err := l.Append(t.Context(), event("mallory", "x")); err != nil {
			t.Fatal(err)
		}
	}
	l.Close()
	if _, err := ledger.Open(t.Context(), db, f.opt); !errors.Is(err, ledger.ErrRolledBack) || !strings.Contains(err.Error(), "changed") {
		t.Fatal(err)
	}
	db.Close()
	// The newest goes on.
	copyFile(path+".newest", path)
	for _, more := range []string{"-wal", "-shm"} {
		os.Remove(path + more)
	}
	f.db = open()
	defer f.db.Close()
	f.open(t)
	f.log(t, event("alice", "x"))
	// A database without a log, where there was one.
	empty := dbtest.SQLite(t)
	if _, err := ledger.Open(t.Context(), empty, f.opt); !errors.Is(err, ledger.ErrRolledBack) {
		t.Fatal(err)
	}
}

func TestADamagedLogIsNotOpened(t *testing.T) {
	for name, damage := range map[string]string{
		"a leaf was changed":       `UPDATE ledger_leaf SET leaf = (SELECT leaf FROM ledger_leaf WHERE idx = 290) WHERE idx = 291`,
		"a leaf is missing":        `DELETE FROM ledger_leaf WHERE idx = 270`,
		"a tile is missing":        `DELETE FROM ledger_tile`,
		"the checkpoint is broken": `UPDATE ledger_head SET checkpoint = 'x'`,
		"another checkpoint":       `UPDATE ledger_head SET checkpoint = replace(checkpoint, '300', '299')`,
	} {
		f := setup(t, dbtest.SQLite(t), func(o *ledger.Options) { o.HighWater = "" })
		f.many(t, 300)
		f.Close()
		if _, err := f.db.Write.Exec(damage); err != nil {
			t.Fatal(err)
		}
		if _, err := ledger.Open(t.Context(), f.db, f.opt); !errors.Is(err, ledger.ErrDamaged) {
			t.Errorf("%s: %v", name, err)
		}
	}
	f := setup(t, dbtest.SQLite(t))
	f.Close()
	f.opt.Origin = "other.example/log"
	f.opt.HighWater = ""
	if _, err := ledger.Open(t.Context(), f.db, f.opt); !errors.Is(err, ledger.ErrDamaged) || !strings.Contains(err.Error(), "other.example/log") {
		t.Errorf("the name of the log was changed: %v", err)
	}
}

// When the disk is full nothing is acknowledged, nothing half-written remains, and when there is room again it goes on.
func TestDiskFull(t *testing.T) {
	f := setup(t, dbtest.SQLite(t))
	f.many(t, 100)
	var pages int
	if err := f.db.Write.QueryRow(`PRAGMA page_count`).Scan(&pages); err != nil {
		t.Fatal(err)
	}
	limit := func(n int) {
		if _, err := f.db.Write.Exec(fmt.Sprintf(`PRAGMA max_page_count = %d`, n)); err != nil {
			t.Fatal(err)
		}
	}
	limit(pages + 3)
	done, failed := 0, 0
	for i := range 200 {
		_, err := change(t.Context(), f.Ledger, i, "alice")
		if err == nil {
			done++
			continue
		}
		if failed++; !strings.Contains(err.Error(), "full") {
			t.Fatal(err)
		}
	}
	if failed == 0 {
		t.Fatal("the disk was never full")
	}
	if n := f.rows(t); n != done {
		t.Errorf("%d rows, %d acknowledged", n, done)
	}
	limit(1 << 30)
	if _, err := change(t.Context(), f.Ledger, 1000, "alice"); err != nil {
		t.Fatal(err)
	}
	head := settled(t, f.Ledger, int64(101+done))
	if head.Size != int64(101+done) {
		t.Errorf("%d leaves, not %d", head.Size, 101+done)
	}
	checkTree(t, f.Log, head)
}

// A function that breaks the transaction for all, as one does whose query is interrupted, fails alone.
func TestAFunctionThatEndsTheTransaction(t *testing.T) {
	f := setup(t, dbtest.SQLite(t))
	ctx := t.Context()
	start := make(chan struct{})
	results := make(chan error, 20)
	for i := range 20 {
		go func() {
			<-start
			_, err := f.Commit(ctx, func(tx *sql.Tx) ([]ledger.Event, error) {
				if i%5 == 0 {
					tx.Rollback()
					return nil, nil
				}
				_, err := tx.Exec(`INSERT INTO change (id, what) VALUES ($1, 'x')`, i)
				return []ledger.Event{event("alice", "x")}, err
			})
			if (err != nil) != (i%5 == 0) {
				results <- fmt.Errorf("%d: %v", i, err)
				return
			}
			results <- nil
		}()
	}
	close(start)
	for range 20 {
		if err := <-results; err != nil {
			t.Error(err)
		}
	}
	if n := f.rows(t); n != 16 {
		t.Errorf("%d rows", n)
	}
	checkTree(t, f.Log, settled(t, f.Ledger, 16))
}

func TestAPanicIsTheCallers(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		f := setup(t, db)
		func() {
			defer func() {
				if recover() != "oh" {
					t.Error("the panic is lost")
				}
			}()
			f.Commit(t.Context(), func(tx *sql.Tx) ([]ledger.Event, error) { panic("oh") })
		}()
		f.log(t, event("alice", "x"))
	})
}
