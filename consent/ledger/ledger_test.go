package ledger_test

import (
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/passerelle-cloud/passerelle/consent/ledger"
	"github.com/passerelle-cloud/passerelle/internal/dbtest"
	"github.com/passerelle-cloud/passerelle/internal/sqldb"
)

const origin = "operator.example/log"

// secrets keeps persons' keys in memory.
type secrets struct {
	mu   sync.Mutex
	kept map[string][]byte
	fail error // of everything
	keep error // of destruction
}

func newSecrets() *secrets { return &secrets{kept: map[string][]byte{}} }

func (s *secrets) Secret(_ context.Context, name string) ([]byte, bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	secret, ok := s.kept[name]
	return secret, ok, s.fail
}

func (s *secrets) MakeSecret(_ context.Context, name string) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.kept[name] == nil && s.fail == nil {
		s.kept[name] = make([]byte, 32)
		rand.Read(s.kept[name])
	}
	return s.kept[name], s.fail
}

func (s *secrets) DestroySecret(_ context.Context, name string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := errors.Join(s.fail, s.keep); err != nil {
		return err
	}
	delete(s.kept, name)
	return nil
}

func (s *secrets) all() map[string][]byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.kept)
}

// fixture is an operator's ledger.
type fixture struct {
	*ledger.Ledger
	db      *sqldb.DB
	key     ed25519.PrivateKey
	secrets *secrets
	opt     ledger.Options
}

// vkey is what verifies the log.
func (f *fixture) vkey() string {
	key, err := ledger.VerifierKey(origin, f.key.Public())
	if err != nil {
		panic(err)
	}
	return key
}

// setup makes an empty table for changes, and a ledger.
func setup(t testing.TB, db *sqldb.DB, change ...func(*ledger.Options)) *fixture {
	t.Helper()
	f := &fixture{db: db, secrets: newSecrets()}
	_, f.key, _ = ed25519.GenerateKey(nil)
	if _, err := db.Write.Exec(`CREATE TABLE change (id BIGINT PRIMARY KEY, what TEXT NOT NULL)`); err != nil {
		t.Fatal(err)
	}
	f.opt = ledger.Options{
		Origin:    origin,
		Signer:    func(context.Context) (crypto.Signer, error) { return f.key, nil },
		Secrets:   f.secrets,
		HighWater: filepath.Join(t.TempDir(), "log.highwater"),
		Poll:      5 * time.Millisecond,
	}
	for _, c := range change {
		c(&f.opt)
	}
	f.open(t)
	return f
}

func (f *fixture) open(t testing.TB) {
	t.Helper()
	f.Ledger = f.replica(t)
}

// replica opens another ledger on the same database.
func (f *fixture) replica(t testing.TB) *ledger.Ledger {
	t.Helper()
	l, err := ledger.Open(t.Context(), f.db, f.opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// change commits a row and an event about a person.
func change(ctx context.Context, l *ledger.Ledger, id int, person string) (*ledger.Logged, error) {
	return l.Commit(ctx, func(tx *sql.Tx) ([]ledger.Event, error) {
		if _, err := tx.ExecContext(ctx, `INSERT INTO change (id, what) VALUES ($1, $2)`, id, person); err != nil {
			return nil, err
		}
		return []ledger.Event{event(person, fmt.Sprintf("change-%d", id))}, nil
	})
}

func event(person, detail string) ledger.Event {
	return ledger.Event{Person: person, Class: ledger.Decision, Type: "consent.granted", Service: "energy-coach.example", Consent: "c-1",
		Revision: "1", Dataset: "energy", Regime: "dga@2023-09-24", Detail: detail}
}

func (f *fixture) rows(t testing.TB) (n int) {
	t.Helper()
	if err := f.db.Read.QueryRow(`SELECT count(*) FROM change`).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// settled waits until everything that was committed has its place, and returns the head.
func settled(t testing.TB, l *ledger.Ledger, leaves int64) ledger.Checkpoint {
	t.Helper()
	for range 2000 {
		head, err := l.Head(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if head.Size >= leaves {
			return head
		}
		time.Sleep(5 * time.Millisecond)
	}
	t.Fatalf("the log does not reach %d leaves", leaves)
	return ledger.Checkpoint{}
}

func TestAChangeAndItsLeafAreCommittedTogether(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		f := setup(t, db)
		ctx := t.Context()
		logged, err := change(ctx, f.Ledger, 1, "alice")
		if err != nil {
			t.Fatal(err)
		}
		entries, checkpoint, err := logged.Wait(ctx)
		if err != nil || len(entries) != 1 || entries[0].Index != 0 || checkpoint.Size != 1 {
			t.Fatalf("%v, %+v, %v", entries, checkpoint, err)
		}
		leaf, err := f.Leaf(ctx, 0)
		if err != nil || leaf.Hash() != entries[0].Hash || leaf.Class() != ledger.Decision {
			t.Fatalf("%v, %v", leaf, err)
		}
		if f.rows(t) != 1 {
			t.Fatal("the change is not there")
		}
	})
}

func TestWhatFailsLeavesNothing(t *testing.T) {
	refused := errors.New("refused")
	insert := func(tx *sql.Tx) error {
		_, err := tx.Exec(`INSERT INTO change (id, what) VALUES (7, 'x')`)
		return err
	}
	cases := map[string]struct {
		do   func(*sql.Tx) ([]ledger.Event, error)
		want error
	}{
		"the function fails": {func(tx *sql.Tx) ([]ledger.Event, error) { return nil, errors.Join(insert(tx), refused) }, refused},
		"an event without a person": {func(tx *sql.Tx) ([]ledger.Event, error) {
			return []ledger.Event{event("alice", ""), {Class: ledger.Access}}, insert(tx)
		}, ledger.ErrEvent},
		"an unknown class": {func(tx *sql.Tx) ([]ledger.Event, error) {
			return []ledger.Event{{Person: "alice", Class: 77}}, insert(tx)
		}, ledger.ErrEvent},
		"an erasure by the back door": {func(tx *sql.Tx) ([]ledger.Event, error) {
			return []ledger.Event{{Person: "alice", Class: ledger.Erasure}}, insert(tx)
		}, ledger.ErrEvent},
		"a text that is too long": {func(tx *sql.Tx) ([]ledger.Event, error) {
			return []ledger.Event{event("alice", strings.Repeat("x", ledger.MaxText+1))}, insert(tx)
		}, ledger.ErrEvent},
		"a text that is not UTF-8": {func(tx *sql.Tx) ([]ledger.Event, error) {
			return []ledger.Event{event("alice", "\xff")}, insert(tx)
		}, ledger.ErrEvent},
	}
	dbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		f := setup(t, db)
		for name, c := range cases {
			if _, err := f.Commit(t.Context(), c.do); !errors.Is(err, c.want) {
				t.Errorf("%s: %v", name, err)
			}
		}
		if _, err := change(t.Context(), f.Ledger, 1, "alice"); err != nil {
			t.Fatal(err)
		}
		if n := f.rows(t); n != 1 {
			t.Errorf("%d rows", n)
		}
		if head := settled(t, f.Ledger, 1); head.Size != 1 {
			t.Errorf("%d leaves", head.Size)
		}
	})
}

// Callers at the same time, with failures among them: what was acknowledged is there once, in the order of each person.
func TestManyCallers(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		f := setup(t, db)
		refused := errors.New("refused")
		const callers, each = 16, 40
		var wg sync.WaitGroup
		for c := range callers {
			wg.Go(func() {
				person := fmt.Sprintf("person-%d", c%5)
				for i := range each {
					id := c*each + i
					if i%7 == 3 {
						_, err := f.Commit(t.Context(), func(tx *sql.Tx) ([]ledger.Event, error) {
							_, err := tx.Exec(`INSERT INTO change (id, what) VALUES ($1, 'bad')`, -id-1)
							return []ledger.Event{event(person, "bad")}, errors.Join(err, refused)
						})
						if !errors.Is(err, refused) {
							t.Errorf("%v", err)
						}
						continue
					}
					if _, err := change(t.Context(), f.Ledger, id, person); err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		n := f.rows(t)
		if want := callers * (each - 6); n != want {
			t.Fatalf("%d rows, not %d", n, want)
		}
		head := settled(t, f.Ledger, int64(n))
		if head.Size != int64(n) {
			t.Fatalf("%d leaves, not %d", head.Size, n)
		}
		checkTree(t, f.Log, head)
	})
}

// checkTree computes the root of all leaves again, and that no tag is there twice.
func checkTree(t testing.TB, log *ledger.Log, head ledger.Checkpoint) {
	t.Helper()
	tags := map[ledger.Tag]int64{}
	var hashes []tlog.Hash
	read := tlog.HashReaderFunc(func(at []int64) ([]tlog.Hash, error) {
		out := make([]tlog.Hash, len(at))
		for i, x := range at {
			out[i] = hashes[x]
		}
		return out, nil
	})
	for i := range head.Size {
		leaf, err := log.Leaf(t.Context(), i)
		if err != nil {
			t.Fatal(err)
		}
		if other, ok := tags[leaf.Tag()]; ok {
			t.Fatalf("leaves %d and %d have the same tag", other, i)
		}
		tags[leaf.Tag()] = i
		more, err := tlog.StoredHashes(i, leaf, read)
		if err != nil {
			t.Fatal(err)
		}
		hashes = append(hashes, more...)
	}
	root, err := tlog.TreeHash(head.Size, read)
	if err != nil || ledger.Hash(root) != head.Hash {
		t.Fatalf("the root is %s, %v, not %s", ledger.Hash(root), err, head.Hash)
	}
}

// Commits that concern the same persons in opposite orders do not wait for each other for ever.
func TestOppositeOrders(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		f := setup(t, db)
		var wg sync.WaitGroup
		for c := range 8 {
			wg.Go(func() {
				for range 20 {
					events := []ledger.Event{event("alice", "1"), event("bob", "2"), event("alice", "3"), event("carol", "4")}
					if c%2 == 0 {
						events[0], events[3] = events[3], events[0]
					}
					logged, err := f.Append(t.Context(), events...)
					if err != nil {
						t.Error(err)
						return
					}
					if entries, _, err := logged.Wait(t.Context()); err != nil || len(entries) != 4 {
						t.Errorf("%v, %v", entries, err)
					}
				}
			})
		}
		wg.Wait()
		checkTree(t, f.Log, settled(t, f.Ledger, 640))
	})
}
