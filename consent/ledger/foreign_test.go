package ledger_test

import (
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"filippo.io/torchwood"
	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/passerelle-cloud/passerelle/consent/ledger"
	"github.com/passerelle-cloud/passerelle/internal/dbtest"
	"github.com/passerelle-cloud/passerelle/internal/sqldb"
)

// Programs that others wrote, as they published them.
const (
	fsck        = "github.com/transparency-dev/tessera/cmd/fsck@v1.0.4"
	litewitness = "filippo.io/torchwood/cmd/litewitness@v0.9.0"
)

var foreign struct {
	sync.Mutex
	dir string
}

// program builds somebody else's program from its module, once, or skips the test where that cannot be had.
func program(t *testing.T, pkg string) string {
	t.Helper()
	foreign.Lock()
	defer foreign.Unlock()
	if foreign.dir == "" {
		dir, err := os.UserCacheDir()
		if err != nil {
			dir = os.TempDir()
		}
		foreign.dir = filepath.Join(dir, "passerelle-tests")
	}
	name, version, _ := strings.Cut(filepath.Base(pkg), "@")
	bin := filepath.Join(foreign.dir, version, name)
	if _, err := os.Stat(bin); err == nil {
		return bin
	}
	tmp := t.TempDir()
	cmd := exec.Command("go", "install", pkg)
	cmd.Dir = tmp
	cmd.Env = append(os.Environ(), "GOBIN="+tmp, "GOFLAGS=-buildvcs=false", "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Skipf("foreign programs: %s cannot be built here: %v: %s", pkg, err, out)
	}
	if err := os.MkdirAll(filepath.Dir(bin), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(filepath.Join(tmp, name), bin); err != nil {
		return filepath.Join(tmp, name) // another file system: this test uses it where it is
	}
	return bin
}

// runFsck lets tessera's fsck check a log, and reports whether it is content. Its exit code says nothing, and where a
// log is damaged it may not end.
func runFsck(t *testing.T, url, vkey string, patience time.Duration) (bool, string) {
	t.Helper()
	ctx, stop := context.WithTimeout(t.Context(), patience)
	defer stop()
	key := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(key, []byte(vkey), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(ctx, program(t, fsck), "-storage_url="+url, "-public_key="+key, "-ui=false", "-v=1", "-logtostderr").CombinedOutput()
	if err != nil && ctx.Err() == nil {
		t.Fatalf("%v: %s", err, out)
	}
	return strings.Contains(string(out), "Successfully fsck'd"), string(out)
}

func TestFsckOfTessera(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		f := setup(t, db)
		f.many(t, 700)
		settled(t, f.Ledger, 700)
		handler := http.StripPrefix("/log", f.Handler(slog.New(slog.DiscardHandler)))
		var damage atomic.Value
		damage.Store("")
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			damaged := damage.Load().(string)
			if damaged == "" || !strings.HasSuffix(r.URL.Path, damaged) {
				handler.ServeHTTP(w, r)
				return
			}
			answer := httptest.NewRecorder()
			handler.ServeHTTP(answer, r)
			body := answer.Body.Bytes()
			body[10] ^= 1 // of the first entry, past its length
			w.Write(body)
		}))
		defer srv.Close()
		if ok, out := runFsck(t, srv.URL+"/log/", f.vkey(), time.Minute); !ok {
			t.Errorf("fsck refuses the log: %s", out)
		}
		for _, damaged := range []string{"/tile/entries/001", "/tile/0/000"} {
			damage.Store(damaged)
			if ok, out := runFsck(t, srv.URL+"/log/", f.vkey(), 4*time.Second); ok {
				t.Errorf("fsck does not see that %s is damaged: %s", damaged, out)
			}
		}
	})
}

// sshAgent serves a key as ssh-agent does, and returns where and the key's fingerprint.
func sshAgent(t *testing.T, key ed25519.PrivateKey) (socket, fingerprint string) {
	t.Helper()
	keyring := agent.NewKeyring()
	if err := keyring.Add(agent.AddedKey{PrivateKey: key}); err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "agent") // short: a socket's path is
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	socket = filepath.Join(dir, "s")
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go agent.ServeAgent(keyring, conn)
		}
	}()
	public, err := ssh.NewPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	return socket, ssh.FingerprintSHA256(public)
}

// runLitewitness runs torchwood's witness, which watches a log.
func runLitewitness(t *testing.T, logKey string) ledger.Witness {
	t.Helper()
	bin := program(t, litewitness)
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	socket, fingerprint := sshAgent(t, key)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := listener.Addr().String()
	listener.Close()
	path := filepath.Join(t.TempDir(), "litewitness.db")
	cmd := exec.Command(bin, "-name=lite.example/witness", "-db="+path, "-ssh-agent="+socket, "-listen="+addr, "-key="+fingerprint)
	var said strings.Builder
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
		if t.Failed() {
			t.Logf("litewitness: %s", said.String())
		}
	})
	for range 200 {
		if conn, err := net.Dial("tcp", addr); err == nil {
			conn.Close()
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	// What witnessctl's add-log and add-key do; it cannot be built without a module that is not to be had everywhere.
	db, err := sqldb.Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	empty := sha256.Sum256(nil)
	if _, err := db.Write.Exec(`INSERT INTO log (origin, tree_size, tree_hash) VALUES ($1, 0, $2)`, origin, base64.StdEncoding.EncodeToString(empty[:])); err != nil {
		t.Fatal(err)
	}
	if _, err := db.Write.Exec(`INSERT INTO key (origin, key) VALUES ($1, $2)`, origin, logKey); err != nil {
		t.Fatal(err)
	}
	wkey, err := ledger.WitnessKey("lite.example/witness", key)
	if err != nil {
		t.Fatal(err)
	}
	return ledger.Witness{Key: wkey, URL: "http://" + addr}
}

func TestLitewitnessOfTorchwood(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		_, key, _ := ed25519.GenerateKey(nil)
		vkey, _ := ledger.VerifierKey(origin, key.Public())
		w := runLitewitness(t, vkey)
		f := setup(t, db, func(o *ledger.Options) {
			o.Signer = func(context.Context) (crypto.Signer, error) { return key, nil }
			o.Witnesses, o.Quorum = []ledger.Witness{w}, 1
		})
		trust := trustIn(t, vkey, 1, w.Key)
		for _, n := range []int{3, 300, 7} {
			f.many(t, n)
			head := settled(t, f.Ledger, int64(n))
			cosigned(t, f.Log, trust, head.Size)
		}
	})
}

// The client of torchwood reads every entry with its proof.
func TestClientOfTorchwood(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		f := setup(t, db)
		f.many(t, 520)
		settled(t, f.Ledger, 520)
		srv := httptest.NewServer(f.Handler(slog.New(slog.DiscardHandler)))
		defer srv.Close()
		fetcher, err := torchwood.NewTileFetcher(srv.URL)
		if err != nil {
			t.Fatal(err)
		}
		signed, err := fetcher.ReadEndpoint(t.Context(), "checkpoint")
		if err != nil {
			t.Fatal(err)
		}
		at, _, err := f.trust(t).Open(signed)
		if err != nil {
			t.Fatal(err)
		}
		client, err := torchwood.NewClient(fetcher)
		if err != nil {
			t.Fatal(err)
		}
		tree := tlog.Tree{N: at.Size, Hash: tlog.Hash(at.Hash)}
		for _, i := range []int64{0, 255, 256, 519} {
			entry, proof, err := client.Entry(t.Context(), tree, i)
			if err != nil {
				t.Fatal(err)
			}
			if err := tlog.CheckRecord(proof, tree.N, tree.Hash, i, tlog.RecordHash(entry)); err != nil {
				t.Error(err)
			}
		}
	})
}
