package ledger_test

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"filippo.io/torchwood"

	"github.com/passerelle-cloud/passerelle/consent/ledger"
	"github.com/passerelle-cloud/passerelle/internal/dbtest"
	"github.com/passerelle-cloud/passerelle/internal/sqldb"
)

// A server may do what it wants: it is found faulty, or cannot be verified, and soon.
func TestHostileServers(t *testing.T) {
	endless := func(w http.ResponseWriter, r *http.Request) {
		for r.Context().Err() == nil {
			if _, err := w.Write(make([]byte, 1<<16)); err != nil {
				return
			}
		}
	}
	p := publish(t, 700)
	serve := func(change func(name string, w http.ResponseWriter, r *http.Request) bool) ledger.Verification {
		files := http.FileServerFS(p.files)
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if !change(strings.TrimPrefix(r.URL.Path, "/"), w, r) {
				files.ServeHTTP(w, r)
			}
		}))
		t.Cleanup(server.Close)
		source, err := ledger.NewSource(server.URL)
		if err != nil {
			t.Fatal(err)
		}
		return ledger.Verification{Source: source, Trust: p.trust}
	}
	at := func(where string, do http.HandlerFunc) func(string, http.ResponseWriter, *http.Request) bool {
		return func(name string, w http.ResponseWriter, r *http.Request) bool {
			if name == where {
				do(w, r)
			}
			return name == where
		}
	}
	good(t, serve(at("", nil)))
	for where, want := range map[string]string{
		"checkpoint":       "checkpoint -1 checkpoint",
		"tile/0/001":       "tile -1 tile/0/001",
		"tile/entries/001": "bundle 256 tile/entries/001; leaf 256 leaves 256 to 511",
	} {
		if _, got := bad(t, serve(at(where, endless))); got != want {
			t.Errorf("%s is endless: %s", where, got)
		}
	}
	for _, code := range []int{http.StatusNotFound, http.StatusGone} {
		v := serve(at("tile/entries/001", func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(code) }))
		if _, got := bad(t, v); got != "missing 256 tile/entries/001" {
			t.Errorf("%d: %s", code, got)
		}
	}
	for _, code := range []int{http.StatusForbidden, http.StatusTeapot} {
		v := serve(at("tile/entries/001", func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(code) }))
		if _, err := v.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "tile/entries/001") {
			t.Errorf("%d: %v", code, err)
		}
	}
	var times atomic.Int64
	v := serve(at("tile/entries/001", func(w http.ResponseWriter, r *http.Request) {
		if times.Add(1) > 2 {
			w.Write(p.files["tile/entries/001"].Data)
			return
		}
		w.WriteHeader(http.StatusServiceUnavailable)
	}))
	good(t, v)
}

func TestAnUnreachableServer(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.NotFoundHandler())
	server.Close()
	source, err := ledger.NewSource(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := (ledger.Verification{Source: source, Trust: publish(t, 0).trust}).Run(t.Context()); err == nil || !strings.Contains(err.Error(), "refused") {
		t.Error(err)
	}
	for _, where := range []string{filepath.Join(t.TempDir(), "nowhere"), os.Args[0]} {
		if _, err := ledger.NewSource(where); err == nil {
			t.Errorf("%s is a log", where)
		}
	}
}

// A folder from somebody else may hold what it likes: nothing outside is read, and nothing huge is.
func TestAHostileFolder(t *testing.T) {
	p := publish(t, 700)
	dir := t.TempDir()
	p.write(t, dir)
	source, err := ledger.NewSource(dir)
	if err != nil {
		t.Fatal(err)
	}
	v := ledger.Verification{Source: source, Trust: p.trust}
	good(t, v)
	file := filepath.Join(dir, "tile", "entries", "001")
	if err := os.Truncate(file, 1<<40); err != nil {
		t.Skip("the disk has no sparse files: ", err)
	}
	if _, got := bad(t, v); got != "bundle 256 tile/entries/001; leaf 256 leaves 256 to 511" {
		t.Error(got)
	}
	if err := os.WriteFile(file, make([]byte, 1<<24), 0o600); err != nil { // entries of no bytes
		t.Fatal(err)
	}
	if verdict, _ := bad(t, v); !strings.Contains(verdict.Faults[0].What, "more than 512 entries") {
		t.Error(verdict.Faults[0].What)
	}
	outside := filepath.Join(t.TempDir(), "001")
	if err := errors.Join(os.Remove(file), os.WriteFile(outside, p.files["tile/entries/001"].Data, 0o600), os.Symlink(outside, file)); err != nil {
		t.Fatal(err)
	}
	if _, err := v.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "tile/entries/001") {
		t.Errorf("it reads what is outside: %v", err)
	}
}

// A log may say that it is as large as it likes.
func TestALogThatSaysItIsHuge(t *testing.T) {
	for _, size := range []int64{1 << 20, 1<<39 + 12345, 1 << 40} {
		p := publish(t, 700)
		p.put("checkpoint", p.sign(t, size, p.root(t), p.signer, p.witness))
		v := p.verification(t)
		v.Faults = 5
		verdict, _ := bad(t, v)
		if len(verdict.Faults) != 5 || verdict.FaultCount < 1000 {
			t.Errorf("%d leaves: %d faults, of which %d are named", size, verdict.FaultCount, len(verdict.Faults))
		}
		v.Faults = 1 << 20
		verdict = verified(t, v)
		if last := verdict.Faults[len(verdict.Faults)-1]; last.Kind != ledger.FaultStopped || last.Index > 270_000 {
			t.Errorf("%d leaves: %+v", size, last)
		}
	}
}

// FuzzBundle puts anything in the place of a bundle: whatever is not that bundle is found, and nothing else happens.
func FuzzBundle(f *testing.F) {
	p := publish(f, 3)
	whole := p.files["tile/entries/000.p/3"].Data
	f.Add(whole)
	f.Add([]byte{})
	f.Add(whole[:len(whole)-1])
	f.Add(append(bytes.Clone(whole), 0, 0))
	f.Add(bundleOf(p.leaves[0], p.leaves[2]))
	f.Add(bundleOf(p.leaves[0], nil, p.leaves[1], p.leaves[2]))
	f.Fuzz(func(t *testing.T, data []byte) {
		p := p.copied()
		p.put("tile/entries/000.p/3", data)
		verdict := verified(t, p.verification(t))
		if (verdict.FaultCount == 0) != bytes.Equal(data, whole) {
			t.Errorf("%+v", verdict)
		}
		for _, fault := range verdict.Faults {
			if fault.Index < 0 || fault.Index > 2 {
				t.Errorf("%+v", fault)
			}
		}
	})
}

// The real thing: a ledger on each database, over HTTP, with the reader that is everybody's.
func TestDGAArticle12oARealLedgerVerifies(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		f := setup(t, db)
		server := httptest.NewServer(f.Handler(slog.New(slog.DiscardHandler)))
		defer server.Close()
		trust, err := ledger.NewTrust([]string{f.vkey()}, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		everybodys, err := torchwood.NewTileFetcher(server.URL)
		if err != nil {
			t.Fatal(err)
		}
		own, err := ledger.NewSource(server.URL + "/")
		if err != nil {
			t.Fatal(err)
		}
		v := ledger.Verification{Source: everybodys, Trust: trust, State: t.TempDir()}
		done := 0
		for _, more := range []int{0, 1, 299, 500} {
			for range more {
				done++
				if _, err := change(t.Context(), f.Ledger, done, fmt.Sprintf("person-%d", done%7)); err != nil {
					t.Fatal(err)
				}
			}
			head := settled(t, f.Ledger, int64(done))
			if verdict := good(t, v); verdict.Leaves != int64(more) || verdict.Checkpoint.Hash != head.Hash {
				t.Fatalf("%+v", verdict)
			}
			if verdict := good(t, ledger.Verification{Source: own, Trust: trust}); verdict.Leaves != int64(done) {
				t.Fatalf("%+v", verdict)
			}
		}
		if _, err := db.Write.Exec(`UPDATE ledger_leaf SET leaf = (SELECT leaf FROM ledger_leaf WHERE idx = 3) WHERE idx = 70`); err != nil {
			t.Fatal(err)
		}
		if _, got := bad(t, ledger.Verification{Source: own, Trust: trust}); got != "leaf 70 leaf 70" {
			t.Error(got)
		}
	})
}
