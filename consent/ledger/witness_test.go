package ledger_test

import (
	"context"
	"crypto"
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"filippo.io/torchwood"

	"github.com/passerelle-cloud/passerelle/consent/ledger"
	"github.com/passerelle-cloud/passerelle/internal/dbtest"
	"github.com/passerelle-cloud/passerelle/internal/sqldb"
)

// witness is another operator who watches logs.
type witness struct {
	name, url, key string
	db             *sqldb.DB
	handler        http.Handler
	asked          atomic.Int64
}

func newWitness(t testing.TB, db *sqldb.DB, name string, logs ...string) *witness {
	t.Helper()
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	w := &witness{name: name, db: db}
	if w.key, err = ledger.WitnessKey(name, key); err != nil {
		t.Fatal(err)
	}
	c, err := ledger.NewCosigner(t.Context(), db, name, func(context.Context) (crypto.Signer, error) { return key, nil }, logs, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	w.handler = c.Handler()
	srv := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		w.asked.Add(1)
		w.handler.ServeHTTP(rw, r)
	}))
	t.Cleanup(srv.Close)
	w.url = srv.URL
	return w
}

func (w *witness) config() ledger.Witness { return ledger.Witness{Key: w.key, URL: w.url} }

// cosigned waits until the published checkpoint has a size and satisfies a trust.
func cosigned(t testing.TB, log *ledger.Log, trust *ledger.Trust, size int64) ledger.Checkpoint {
	t.Helper()
	var err error
	for range 600 {
		var at ledger.Checkpoint
		if at, err = log.Published(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, _, err = trust.Open(at.Note); err == nil && at.Size >= size {
			return at
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("no cosigned checkpoint of %d leaves: %v", size, err)
	return ledger.Checkpoint{}
}

func trustIn(t testing.TB, key string, quorum int, witnesses ...string) *ledger.Trust {
	t.Helper()
	trust, err := ledger.NewTrust([]string{key}, witnesses, quorum)
	if err != nil {
		t.Fatal(err)
	}
	return trust
}

// Two of three witnesses cosign each checkpoint, while the third never answers. Commits wait for nobody.
func TestWitnesses(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		_, key, _ := ed25519.GenerateKey(nil)
		vkey, err := ledger.VerifierKey(origin, key.Public())
		if err != nil {
			t.Fatal(err)
		}
		hang := make(chan struct{})
		silent := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-hang }))
		defer silent.Close()
		defer close(hang)
		one, two := newWitness(t, dbtest.SQLite(t), "one.example/witness", vkey), newWitness(t, dbtest.SQLite(t), "two.example/witness", vkey)
		three := newWitness(t, dbtest.SQLite(t), "three.example/witness", vkey)
		f := setup(t, db, func(o *ledger.Options) {
			o.Signer = func(context.Context) (crypto.Signer, error) { return key, nil }
			o.Witnesses = []ledger.Witness{one.config(), two.config(), {Key: three.key, URL: silent.URL}}
			o.Quorum, o.Patience = 2, 300*time.Millisecond
		})
		f.key = key
		trust := trustIn(t, vkey, 2, one.key, two.key, three.key)
		for i := range 5 {
			begin := time.Now()
			if _, err := change(t.Context(), f.Ledger, i, "alice"); err != nil {
				t.Fatal(err)
			}
			if took := time.Since(begin); took > 250*time.Millisecond {
				t.Errorf("a commit took %s", took)
			}
			at := cosigned(t, f.Log, trust, int64(i+1))
			_, signers, err := trust.Open(at.Note)
			if err != nil || len(signers) != 2 || time.Since(signers[0].Time) > time.Minute {
				t.Fatalf("%v, %v", signers, err)
			}
		}
		// Proofs carry the cosignatures.
		proof, err := f.ProveLeaf(t.Context(), 2)
		if err != nil {
			t.Fatal(err)
		}
		if shown, err := ledger.VerifyLeaf(proof, trust); err != nil || len(shown.Cosignatures) != 2 {
			t.Fatalf("%+v, %v", shown, err)
		}
		if _, _, err := trustIn(t, vkey, 3, one.key, two.key, three.key).Open(cosigned(t, f.Log, trust, 5).Note); !errors.Is(err, ledger.ErrUntrusted) || !strings.Contains(err.Error(), "three.example") {
			t.Errorf("three of three: %v", err)
		}
	})
}

// Witnesses that are dead, lie, or send whatever, stop nothing. What they send is not published.
func TestBadWitnesses(t *testing.T) {
	_, key, _ := ed25519.GenerateKey(nil)
	vkey, _ := ledger.VerifierKey(origin, key.Public())
	good := newWitness(t, dbtest.SQLite(t), "good.example/witness", vkey)
	other := newWitness(t, dbtest.SQLite(t), "good.example/witness", vkey) // the same name, another key
	answers := map[string]http.HandlerFunc{
		"garbage": func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "no cosignature\n") },
		"empty":   func(http.ResponseWriter, *http.Request) {},
		"huge":    func(w http.ResponseWriter, _ *http.Request) { w.Write(make([]byte, 10<<20)) },
		"redirect": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, good.url+"/add-checkpoint", http.StatusTemporaryRedirect)
		},
		"error":    func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no", http.StatusInternalServerError) },
		"unknown":  func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no", http.StatusNotFound) },
		"conflict": func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "what", http.StatusConflict) },
		"its key":  func(w http.ResponseWriter, r *http.Request) { other.handler.ServeHTTP(w, r) },
	}
	for name, answer := range answers {
		t.Run(name, func(t *testing.T) {
			srv := httptest.NewServer(answer)
			defer srv.Close()
			f := setup(t, dbtest.SQLite(t), func(o *ledger.Options) {
				o.Signer = func(context.Context) (crypto.Signer, error) { return key, nil }
				o.Witnesses, o.Quorum, o.Patience = []ledger.Witness{{Key: good.key, URL: srv.URL}}, 1, 200*time.Millisecond
			})
			f.log(t, event("alice", "x"))
			at := cosigned(t, f.Log, trustIn(t, vkey, 0), 1) // published all the same
			if _, _, err := trustIn(t, vkey, 1, good.key).Open(at.Note); !errors.Is(err, ledger.ErrUntrusted) {
				t.Errorf("cosigned: %v", err)
			}
		})
	}
	if _, err := ledger.ParseWitness(good.key + " " + good.url); err != nil {
		t.Error(err)
	}
	for _, s := range []string{"", "x", good.key, good.key + " nowhere", good.key + " ftp://x", "x " + good.url, vkey + " " + good.url} {
		if _, err := ledger.ParseWitness(s); err == nil {
			t.Errorf("%q is a witness", s)
		}
	}
}

// A witness that has seen more, or something else, keeps a restored database from being signed: at the start, and later.
func TestAWitnessStopsAFork(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		_, key, _ := ed25519.GenerateKey(nil)
		vkey, _ := ledger.VerifierKey(origin, key.Public())
		w := newWitness(t, dbtest.SQLite(t), "one.example/witness", vkey)
		options := func(o *ledger.Options) {
			o.Signer = func(context.Context) (crypto.Signer, error) { return key, nil }
			o.Witnesses, o.HighWater = []ledger.Witness{w.config()}, ""
		}
		f := setup(t, db, options)
		f.many(t, 20)
		cosigned(t, f.Log, trustIn(t, vkey, 1, w.key), 20)
		f.Close()

		empty := &fixture{db: dbtest.SQLite(t), opt: f.opt}
		if _, err := ledger.Open(t.Context(), empty.db, f.opt); !errors.Is(err, ledger.ErrRolledBack) || !strings.Contains(err.Error(), "20 leaves") {
			t.Fatalf("an empty database: %v", err)
		}
		alone := f.opt
		alone.Witnesses = nil
		empty.opt = alone
		empty.open(t) // grown again, to the same size and further
		for _, n := range []int{20, 5} {
			empty.many(t, n)
			if _, err := ledger.Open(t.Context(), empty.db, f.opt); err == nil || errors.Is(err, ledger.ErrInUse) == errors.Is(err, ledger.ErrRolledBack) {
				t.Fatalf("another log of that name: %v", err)
			}
			empty.Close()
			if _, err := ledger.Open(t.Context(), empty.db, f.opt); !errors.Is(err, ledger.ErrRolledBack) || !strings.Contains(err.Error(), "one.example/witness") {
				t.Fatalf("another log of that name: %v", err)
			}
			empty.open(t)
		}
		// One that runs already when the witness comes to know: nothing is signed any more.
		late := empty.opt
		empty.Close()
		blind := newWitness(t, w.db, "one.example/witness") // does not know the log yet
		proxy := atomic.Pointer[witness]{}
		proxy.Store(blind)
		srv := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) { proxy.Load().handler.ServeHTTP(rw, r) }))
		defer srv.Close()
		late.Witnesses = []ledger.Witness{{Key: w.key, URL: srv.URL}}
		empty.opt = late
		empty.open(t)
		empty.log(t, event("alice", "x"))
		proxy.Store(w)
		for range 500 {
			if _, err := empty.Append(t.Context(), event("alice", "y")); errors.Is(err, ledger.ErrRolledBack) {
				if err := empty.Ready(t.Context()); !errors.Is(err, ledger.ErrRolledBack) {
					t.Error("it says that it is ready")
				}
				return
			}
			time.Sleep(20 * time.Millisecond)
		}
		t.Fatal("the fork was signed on and on")
	})
}

// checkpoints makes signed checkpoints of logs, honest and forked.
type forger struct {
	t      testing.TB
	signer note.Signer
	vkey   string
	stored []tlog.Hash
	size   int64
}

func newForger(t testing.TB, name string) *forger {
	t.Helper()
	skey, vkey, err := note.GenerateKey(nil, name)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := note.NewSigner(skey)
	if err != nil {
		t.Fatal(err)
	}
	return &forger{t: t, signer: signer, vkey: vkey}
}

func (g *forger) read(at []int64) ([]tlog.Hash, error) {
	out := make([]tlog.Hash, len(at))
	for i, x := range at {
		out[i] = g.stored[x]
	}
	return out, nil
}

func (g *forger) grow(n int, text string) {
	for range n {
		more, err := tlog.StoredHashes(g.size, fmt.Appendf(nil, "%s %d", text, g.size), tlog.HashReaderFunc(g.read))
		if err != nil {
			g.t.Fatal(err)
		}
		g.stored, g.size = append(g.stored, more...), g.size+1
	}
}

func (g *forger) fork() *forger {
	c := *g
	c.stored = append([]tlog.Hash(nil), g.stored...)
	return &c
}

func (g *forger) checkpoint(size int64) string {
	root, err := tlog.TreeHash(size, tlog.HashReaderFunc(g.read))
	if err != nil {
		g.t.Fatal(err)
	}
	signed, err := note.Sign(&note.Note{Text: torchwood.Checkpoint{Origin: g.signer.Name(), Tree: tlog.Tree{N: size, Hash: root}}.String()}, g.signer)
	if err != nil {
		g.t.Fatal(err)
	}
	return string(signed)
}

// request is what a log sends to a witness.
func (g *forger) request(old, size int64) string {
	body := fmt.Sprintf("old %d\n", old)
	if old > 0 && old < size {
		proof, err := tlog.ProveTree(size, old, tlog.HashReaderFunc(g.read))
		if err != nil {
			g.t.Fatal(err)
		}
		for _, h := range proof {
			body += base64.StdEncoding.EncodeToString(h[:]) + "\n"
		}
	}
	return body + "\n" + g.checkpoint(size)
}

func post(t testing.TB, url, body string) (int, string, http.Header) {
	t.Helper()
	r, err := http.Post(url+"/add-checkpoint", "text/plain", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	text, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return r.StatusCode, string(text), r.Header
}

func TestCosignerAnswersAsTheStandardSays(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		g, stranger := newForger(t, "log.example/log"), newForger(t, "log.example/log")
		w := newWitness(t, db, "we.example/witness", g.vkey)
		g.grow(10, "leaf")
		other := g.fork()
		g.grow(90, "leaf")
		other.grow(90, "other")
		stranger.grow(10, "leaf")
		unknown := newForger(t, "unknown.example/log")
		unknown.grow(3, "x")
		proofless := strings.Join(append(strings.SplitAfter(g.request(10, 50), "\n")[:1], "\n"+g.checkpoint(50)), "")
		for i, c := range []struct {
			body   string
			status int
			text   string
		}{
			{g.request(5, 10), 409, "0\n"},         // never seen: it begins at 0
			{g.request(0, 10), 200, "we.example"},  //
			{g.request(0, 10), 409, "10\n"},        //
			{g.request(10, 10), 200, "we.example"}, // again
			{stranger.request(10, 10), 403, ""},
			{unknown.request(0, 3), 404, ""},
			{g.request(9, 20), 409, "10\n"},
			{proofless, 422, ""},
			{strings.Replace(g.request(10, 50), "old 10", "old 60", 1), 400, ""},
			{g.request(10, 50), 200, "we.example"},
			{other.request(50, 50), 409, "50\n"}, // the same size, another root
			{other.request(50, 80), 422, ""},     // a fork that goes on
			{g.request(10, 50), 409, "50\n"},     // replayed
			{g.request(50, 100), 200, "we.example"},
			{"", 400, ""}, {"old\n\n" + g.checkpoint(10), 400, ""}, {"old -1\n\n" + g.checkpoint(10), 400, ""}, {"old 010\n\n" + g.checkpoint(10), 400, ""},
			{"old 1\nnot base64\n\n" + g.checkpoint(10), 400, ""},
			{"old 1\n" + strings.Repeat(base64.StdEncoding.EncodeToString(make([]byte, 32))+"\n", 64) + "\n" + g.checkpoint(10), 400, ""},
			{"old 100\n\n" + strings.Replace(g.checkpoint(100), "\n100\n", "\n101\n", 1), 403, ""},
			{"old 100\n\nno checkpoint\n\n", 400, ""},
			{strings.Repeat("x", 1<<20), 413, ""},
		} {
			status, text, header := post(t, w.url, c.body)
			if status != c.status || !strings.Contains(text, c.text) {
				t.Errorf("%d: %d %s, not %d %s", i, status, text, c.status, c.text)
			}
			if status == 409 && header.Get("Content-Type") != "text/x.tlog.size" {
				t.Errorf("%d: %v", i, header)
			}
			if status == 200 {
				v, err := torchwood.NewCosignatureVerifier(w.key)
				if err != nil {
					t.Fatal(err)
				}
				_, signed, _ := strings.Cut(c.body, "\n\n")
				if n, err := note.Open([]byte(signed+text), note.VerifierList(v)); err != nil || len(n.Sigs) != 1 {
					t.Errorf("%d: %v", i, err)
				}
			}
		}
		if r, err := http.Get(w.url + "/add-checkpoint"); err != nil || r.StatusCode != 405 {
			t.Errorf("%v, %v", r, err)
		}
		// What was seen is remembered.
		again := newWitness(t, db, "we.example/witness", g.vkey)
		if status, text, _ := post(t, again.url, other.request(0, 80)); status != 409 || text != "100\n" {
			t.Errorf("%d %s", status, text)
		}
	})
}

// Forked views that come at the same moment: one of each size is cosigned, whoever is first.
func TestCosignerUnderForks(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		g := newForger(t, "log.example/log")
		var views []*forger
		for i := range 8 {
			view := g.fork()
			view.grow(200, fmt.Sprint("view ", i))
			views = append(views, view)
		}
		a, b := newWitness(t, db, "we.example/witness", g.vkey), newWitness(t, db, "we.example/witness", g.vkey)
		var mu sync.Mutex
		won := map[int]int{}
		var wg sync.WaitGroup
		for i, view := range views {
			for _, w := range []*witness{a, b} {
				wg.Go(func() {
					old := int64(0)
					for size := int64(1); size <= 200; size += 13 {
						if status, _, _ := post(t, w.url, view.request(old, size)); status == 200 {
							mu.Lock()
							won[i]++
							mu.Unlock()
							old = size
						}
					}
				})
			}
		}
		wg.Wait()
		if len(won) != 1 {
			t.Errorf("%d views of one log were cosigned: %v", len(won), won)
		}
	})
}
