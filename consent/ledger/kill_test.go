package ledger_test

import (
	"bufio"
	"context"
	"crypto"
	"crypto/ed25519"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/passerelle-cloud/passerelle/consent/ledger"
	"github.com/passerelle-cloud/passerelle/internal/dbtest"
	"github.com/passerelle-cloud/passerelle/internal/racetest"
	"github.com/passerelle-cloud/passerelle/internal/sqldb"
	"github.com/passerelle-cloud/passerelle/operators/keys"
)

// TestMain lets the test binary be a gateway's process that commits as fast as it can until it is killed.
func TestMain(m *testing.M) {
	if where := os.Getenv("LEDGER_TEST_WORKER"); where != "" {
		if err := work(context.Background(), where, os.Getenv("LEDGER_TEST_FOLDER"), os.Getenv("LEDGER_TEST_SEED")); err != nil {
			fmt.Fprintln(os.Stderr, "worker:", err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

const killPersons = 5

// options are those of every process that writes one log.
func killOptions(dir, seed string) (ledger.Options, error) {
	secrets, err := keys.OpenSecretFiles(filepath.Join(dir, "secrets"))
	if err != nil {
		return ledger.Options{}, err
	}
	raw, err := hex.DecodeString(seed)
	if err != nil {
		return ledger.Options{}, err
	}
	key := ed25519.NewKeyFromSeed(raw)
	return ledger.Options{Origin: origin, Signer: func(context.Context) (crypto.Signer, error) { return key, nil },
		Secrets: fileSecrets{secrets}, HighWater: filepath.Join(dir, fmt.Sprintf("highwater-%s", os.Getenv("LEDGER_TEST_NAME"))), Poll: 5 * time.Millisecond}, nil
}

// work commits changes and says on stdout what was acknowledged, and which checkpoints it saw.
func work(ctx context.Context, where, dir, seed string) error {
	db, err := sqldb.Open(ctx, where)
	if err != nil {
		return err
	}
	defer db.Close()
	opt, err := killOptions(dir, seed)
	if err != nil {
		return err
	}
	var l *ledger.Ledger
	for range 100 { // the one that was killed may not be quite dead
		if l, err = ledger.Open(ctx, db, opt); err == nil {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	if err != nil {
		return err
	}
	defer l.Close()
	var wg sync.WaitGroup
	failed := make(chan error, 8)
	for c := range 8 {
		wg.Go(func() {
			for {
				id := int(rand.Int64N(1 << 60))
				logged, err := change(ctx, l, id, fmt.Sprintf("person-%d", c%killPersons))
				if err != nil && os.Getenv("LEDGER_TEST_STUBBORN") != "" { // the database is away: it comes back
					time.Sleep(10 * time.Millisecond)
					continue
				}
				if err != nil {
					failed <- err
					return
				}
				fmt.Printf("ack %d\n", id)
				if id%8 == 0 {
					_, at, err := logged.Wait(ctx)
					if err != nil && os.Getenv("LEDGER_TEST_STUBBORN") != "" {
						continue
					}
					if err != nil {
						failed <- err
						return
					}
					fmt.Printf("seen %d %s\n", at.Size, at.Hash)
				}
			}
		})
	}
	return <-failed
}

// killing is a log that processes write which are killed.
type killing struct {
	where, dir, seed string
	db               *sqldb.DB

	mu    sync.Mutex
	acked map[int]bool
	seen  map[int64]string
}

func newKilling(t testing.TB, where string, db *sqldb.DB) *killing {
	k := &killing{where: where, dir: t.TempDir(), seed: strings.Repeat("5a", 32), db: db, acked: map[int]bool{}, seen: map[int64]string{}}
	if _, err := db.Write.Exec(`CREATE TABLE change (id BIGINT PRIMARY KEY, what TEXT NOT NULL)`); err != nil {
		t.Fatal(err)
	}
	return k
}

// start starts a worker, and returns a function that kills it.
func (k *killing) start(t *testing.T, name string, env ...string) (began <-chan struct{}, kill func()) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(append(os.Environ(), env...), "LEDGER_TEST_WORKER="+k.where, "LEDGER_TEST_FOLDER="+k.dir, "LEDGER_TEST_SEED="+k.seed, "LEDGER_TEST_NAME="+name)
	var complaints strings.Builder
	cmd.Stderr = &complaints
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	first := make(chan struct{})
	read := make(chan struct{})
	go func() {
		defer close(read)
		var once sync.Once
		defer once.Do(func() { close(first) })
		for lines := bufio.NewScanner(out); lines.Scan(); {
			k.hear(t, lines.Text())
			once.Do(func() { close(first) })
		}
	}()
	return first, func() {
		cmd.Process.Kill()
		<-read
		if err := cmd.Wait(); err != nil && complaints.Len() > 0 {
			t.Errorf("%v: %s", err, complaints.String())
		}
	}
}

func (k *killing) hear(t *testing.T, line string) {
	words := strings.Fields(line)
	k.mu.Lock()
	defer k.mu.Unlock()
	switch {
	case len(words) == 2 && words[0] == "ack":
		id, err := strconv.Atoi(words[1])
		if err == nil {
			k.acked[id] = true
		}
	case len(words) == 3 && words[0] == "seen" && len(words[2]) == 64:
		size, err := strconv.ParseInt(words[1], 10, 64)
		if err != nil {
			return
		}
		if other, ok := k.seen[size]; ok && other != words[2] {
			t.Errorf("the log was forked: at %d leaves its root is %s and %s", size, other, words[2])
		}
		k.seen[size] = words[2]
	}
}

// check holds what is in the database against what was acknowledged.
func (k *killing) check(t *testing.T) {
	t.Helper()
	opt, err := killOptions(k.dir, k.seed)
	if err != nil {
		t.Fatal(err)
	}
	l, err := ledger.Open(t.Context(), k.db, opt)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	rows := map[string]bool{}
	ids, err := k.db.Read.Query(`SELECT id FROM change`)
	if err != nil {
		t.Fatal(err)
	}
	defer ids.Close()
	for ids.Next() {
		var id int
		if err := ids.Scan(&id); err != nil {
			t.Fatal(err)
		}
		rows[fmt.Sprintf("change-%d", id)] = true
		delete(k.acked, id)
	}
	ids.Close()
	if len(k.acked) > 0 {
		t.Errorf("%d acknowledged changes are lost", len(k.acked))
	}
	head := settled(t, l, int64(len(rows)))
	if head.Size != int64(len(rows)) {
		t.Errorf("%d leaves for %d changes", head.Size, len(rows))
	}
	checkTree(t, l.Log, head)
	n := 0
	for p := range killPersons {
		last := head.Size
		for e, err := range l.Events(t.Context(), fmt.Sprintf("person-%d", p)) {
			if err != nil {
				t.Fatal(err)
			}
			if !rows[e.Fields[ledger.Detail]] {
				t.Errorf("%s is logged, but was not done, or is logged twice", e.Fields[ledger.Detail])
			}
			if e.Index >= last {
				t.Errorf("leaf %d comes after leaf %d of the same person", e.Index, last)
			}
			last = e.Index
			delete(rows, e.Fields[ledger.Detail])
			n++
		}
	}
	if len(rows) > 0 {
		t.Errorf("%d changes are not logged", len(rows))
	}
	for size, root := range k.seen {
		old := ledger.RootAt(t, l.Log, head, size)
		if old.String() != root {
			t.Errorf("a checkpoint of %d leaves that was seen is not part of the log", size)
		}
	}
	t.Logf("%d changes, %d checkpoints seen", n, len(k.seen))
}

func moment(most int) time.Duration { return time.Duration(rand.IntN(most)+1) * time.Millisecond }

// kills is how often a process is killed.
var kills = racetest.Rounds(50)

func TestKilledProcess(t *testing.T) {
	t.Parallel()
	where := filepath.Join(t.TempDir(), "x.db")
	db, err := sqldb.Open(t.Context(), where)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	k := newKilling(t, where, db)
	for range kills {
		began, kill := k.start(t, "one")
		<-began
		time.Sleep(moment(100))
		kill()
	}
	k.check(t)
}

func TestKilledReplicas(t *testing.T) {
	t.Parallel()
	where := dbtest.PostgresURL(t)
	db, err := sqldb.Open(t.Context(), where)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	k := newKilling(t, where, db)
	var stop [3]func()
	for i := range stop {
		var began <-chan struct{}
		began, stop[i] = k.start(t, fmt.Sprint(i))
		<-began
	}
	for range kills {
		time.Sleep(moment(100))
		i := rand.IntN(3)
		stop[i]()
		_, stop[i] = k.start(t, fmt.Sprint(i))
	}
	for _, kill := range stop {
		kill()
	}
	k.check(t)
}

func TestKilledPostgres(t *testing.T) {
	t.Parallel()
	server := dbtest.NewServer(t)
	db, err := sqldb.Open(t.Context(), server.URL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	k := newKilling(t, server.URL(), db)
	var stop [2]func()
	for i := range stop {
		var began <-chan struct{}
		began, stop[i] = k.start(t, fmt.Sprint(i), "LEDGER_TEST_STUBBORN=1")
		<-began
	}
	for range kills {
		time.Sleep(moment(300))
		server.Kill(t)
		server.Start(t)
	}
	time.Sleep(time.Second)
	for _, kill := range stop {
		kill()
	}
	k.check(t)
}

// fileSecrets adapts the operator's files to what the ledger wants of them.
type fileSecrets struct{ *keys.SecretFiles }

func (s fileSecrets) Secret(ctx context.Context, name string) ([]byte, bool, error) {
	secret, err := s.SecretFiles.Secret(ctx, name)
	if err != nil && strings.Contains(err.Error(), keys.ErrNoKey.Error()) {
		return nil, false, nil
	}
	return secret, err == nil, err
}
