// Package ledger is an append-only log of what was decided about persons' data and of who got it. A change and its
// leaves are committed together or not at all. Anybody can check the log over HTTP (C2SP tlog-tiles), witnesses
// cosign it, and a leaf shows outsiders nothing but a class and the hour: fields are opened one by one to those who
// are entitled to them, and a person whose key is destroyed is forgotten while every proof still verifies.
//
// It knows databases only. It must never know what a consent is, nor where keys are kept.
package ledger

import (
	"context"
	"crypto"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/mod/sumdb/note"

	"github.com/passerelle-cloud/passerelle/internal/sqldb"
)

//go:embed migrations
var migrations embed.FS

// The errors that callers tell apart.
var (
	// ErrInUse is returned where another process keeps the log in the same SQLite file.
	ErrInUse = errors.New("another process has this database's log open")
	// ErrRolledBack is returned where the database holds less, or something else, than was published before: it was
	// restored from a backup, or changed. To sign it would fork the log.
	ErrRolledBack = errors.New("the log in this database is not the one that was published")
	// ErrDamaged is returned where the stored log contradicts itself.
	ErrDamaged = errors.New("the stored log is damaged")
	// ErrClosed is returned for a commit to a closed ledger.
	ErrClosed = errors.New("the ledger is closed")
	// ErrRetained is returned where a person cannot be forgotten yet, since what proves their consent must be kept.
	ErrRetained = errors.New("it must be kept for longer")
	// ErrUnknown is returned for a person of whom nothing was logged, or who was forgotten.
	ErrUnknown = errors.New("nothing is logged of this person")
	// ErrEvent is the parent of what is wrong with an event.
	ErrEvent = errors.New("the event cannot be logged")
)

// Secrets keeps the key of each person, outside what is backed up with the database: [Forget] destroys it there.
// A secret has 32 bytes. The names are made by the ledger and tell nobody anything.
type Secrets interface {
	// Secret returns a secret; ok is false where there is none.
	Secret(ctx context.Context, name string) (secret []byte, ok bool, err error)
	// MakeSecret returns a secret, which is drawn at random and made durable where there is none yet.
	MakeSecret(ctx context.Context, name string) ([]byte, error)
	// DestroySecret destroys a secret for good, if there is one.
	DestroySecret(ctx context.Context, name string) error
}

// Options are what a ledger needs. Origin, Signer and Secrets must be set.
type Options struct {
	// Origin is the log's name in its checkpoints, and the name of its key: a host and a path, without scheme.
	Origin string
	// Signer returns the log's current Ed25519 key. It is asked before each checkpoint, so that a rotation is seen.
	Signer func(context.Context) (crypto.Signer, error)
	// Secrets keeps persons' keys.
	Secrets Secrets
	// HighWater is a file, outside what is backed up with the database, that remembers the greatest checkpoint that
	// this process saw committed. "": none.
	HighWater string
	// Witnesses cosign checkpoints; at least Quorum of them should.
	Witnesses []Witness
	Quorum    int
	// Patience is how long a checkpoint waits for witnesses before it is published without them; 0 means 2 seconds.
	Patience time.Duration
	// Client reaches the witnesses; nil means one that gives up after 5 seconds.
	Client *http.Client
	// Poll is how often a replica looks for leaves that others committed (PostgreSQL only); 0 means 20 ms.
	Poll time.Duration
	Log  *slog.Logger          // nil: nothing is logged
	Now  func() time.Time      // nil: the clock
	Stat prometheus.Registerer // nil: nothing is counted
}

// Ledger writes the log. Any number of goroutines may use it.
type Ledger struct {
	*Reader

	db     *sqldb.DB
	opt    Options
	seq    sequencer
	stats  *stats
	water  *highWater
	askers []*asker // of the witnesses

	mu      sync.Mutex
	refusal error // why nothing is signed any more

	stop  context.CancelFunc
	work  sync.WaitGroup
	free  func() error  // lets go of the SQLite file
	nudge chan struct{} // wakes the one who publishes

	committers sync.Pool
}

// sequencer gives committed leaves their places in the log. SQLite and PostgreSQL do it in different ways.
type sequencer interface {
	commit(ctx context.Context, do func(*sql.Tx) ([]Event, error)) (*Logged, error)
	wait(ctx context.Context, logged *Logged) (Checkpoint, error)
	run(ctx context.Context) // until ctx ends
}

// Open opens the log in a database and makes it if there is none. It returns an error wrapping ErrInUse,
// ErrRolledBack or ErrDamaged where the log must not be written. Close it before the database.
func Open(ctx context.Context, db *sqldb.DB, opt Options) (*Ledger, error) {
	opt = opt.withDefaults()
	if err := opt.check(); err != nil {
		return nil, err
	}
	l := &Ledger{Reader: &Reader{Log: NewLog(db)}, db: db, opt: opt, nudge: make(chan struct{}, 1), free: func() error { return nil }}
	l.committers.New = func() any { return newCommitter() }
	if err := l.open(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("open the log: %w", err), l.free())
	}
	run, stop := context.WithCancel(context.Background())
	l.stop = stop
	l.work.Go(func() { l.seq.run(run) })
	l.work.Go(func() { l.publish(run) })
	return l, nil
}

func (o Options) withDefaults() Options {
	if o.Patience == 0 {
		o.Patience = 2 * time.Second
	}
	if o.Client == nil {
		o.Client = &http.Client{Timeout: 5 * time.Second}
	}
	if o.Poll == 0 {
		o.Poll = 20 * time.Millisecond
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return o
}

func (o Options) check() error {
	if err := checkOrigin(o.Origin); err != nil {
		return err
	}
	if o.Signer == nil || o.Secrets == nil {
		return errors.New("open the log: a signer and a place for secrets are needed")
	}
	if o.Quorum < 0 || o.Quorum > len(o.Witnesses) {
		return fmt.Errorf("open the log: a quorum of %d cannot be had from %d witnesses", o.Quorum, len(o.Witnesses))
	}
	return nil
}

func (l *Ledger) open(ctx context.Context) error {
	if l.db.Embedded() {
		free, ok, err := l.db.TryLock(ctx, "ledger")
		if err != nil {
			return err
		}
		if !ok {
			return fmt.Errorf("%w: only one can write it; stop that one (passerelle serve?), or use PostgreSQL, which any number of them can share", ErrInUse)
		}
		l.free = free
	}
	if err := migrate(ctx, l.db); err != nil {
		return err
	}
	persons, err := newPersons(ctx, l.opt.Secrets)
	if err != nil {
		return err
	}
	l.persons = persons
	l.stats = newStats(l.opt.Stat)
	if l.askers, err = newAskers(l.opt); err != nil {
		return err
	}
	l.water = &highWater{path: l.opt.HighWater, origin: l.opt.Origin}
	if err := l.begin(ctx); err != nil {
		return err
	}
	if l.db.Embedded() {
		l.seq, err = newEmbedded(ctx, l)
	} else {
		l.seq = newShared(l)
	}
	if err != nil {
		return err
	}
	return l.finishErasures(ctx)
}

// migrate makes the tables. Those that only several replicas need are in a folder of their own.
func migrate(ctx context.Context, db *sqldb.DB) error {
	both, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return err
	}
	if err := db.Migrate(ctx, both, "ledger_version"); err != nil {
		return err
	}
	if db.Embedded() {
		return nil
	}
	shared, err := fs.Sub(migrations, "migrations/postgres")
	if err != nil {
		return err
	}
	return db.Migrate(ctx, shared, "ledger_postgres_version")
}

// begin signs the empty log where there is none, and holds what there is against what was published.
func (l *Ledger) begin(ctx context.Context) error {
	head, err := l.Head(ctx)
	if errors.Is(err, sql.ErrNoRows) {
		if err := l.water.check(ctx, l.Log, Checkpoint{}); err != nil {
			return err
		}
		if head, err = l.first(ctx); err != nil {
			return err
		}
	}
	if err != nil {
		return err
	}
	if head.Origin != l.opt.Origin {
		return fmt.Errorf("%w: it is the log %q, and this operator's is %q; a log keeps its name", ErrDamaged, head.Origin, l.opt.Origin)
	}
	if err := l.water.check(ctx, l.Log, head); err != nil {
		return err
	}
	if err := l.renew(ctx, head); err != nil {
		return err
	}
	if len(l.askers) == 0 {
		return l.unpublish(ctx)
	}
	return l.askSizes(ctx, head)
}

// renew signs the head with the current key, if it was signed with one that has been rotated since.
func (l *Ledger) renew(ctx context.Context, head Checkpoint) error {
	signer, err := l.signer(ctx)
	if err != nil {
		return err
	}
	if _, err := note.Open(head.Note, note.VerifierList(signer)); err == nil {
		return nil
	}
	again, err := signWith(signer, head)
	if err != nil {
		return err
	}
	if _, err := l.db.Write.ExecContext(ctx, `UPDATE ledger_head SET checkpoint = $1 WHERE size = $2`, string(again.Note), head.Size); err != nil {
		return fmt.Errorf("sign the newest checkpoint with the new key: %w", err)
	}
	return nil
}

// first signs the checkpoint of the empty log.
func (l *Ledger) first(ctx context.Context) (Checkpoint, error) {
	signed, err := l.sign(ctx, newTree())
	if err != nil {
		return signed, err
	}
	_, err = l.db.Write.ExecContext(ctx, `INSERT INTO ledger_head (one, size, root, checkpoint) VALUES (1, 0, $1, $2) ON CONFLICT DO NOTHING`,
		signed.Hash[:], string(signed.Note))
	if err != nil {
		return signed, fmt.Errorf("store the first checkpoint: %w", err)
	}
	return l.Head(ctx)
}

// Close ends the work that has begun and lets go of the log.
func (l *Ledger) Close() error {
	l.stop()
	l.work.Wait()
	head, err := l.Head(context.Background())
	if err == nil {
		err = l.water.rise(head)
	}
	return errors.Join(err, l.free())
}

// Commit runs do in a transaction that can write, and commits what it did together with the events that it returns:
// both are durable when Commit returns without an error, and neither is there after one. do must use the transaction
// for all that it reads and writes, must not end it, and may be run more than once.
//
// The events of one person keep their order. An event that cannot be logged denies the change. Where the context ends
// before do has begun, nothing happened.
func (l *Ledger) Commit(ctx context.Context, do func(*sql.Tx) ([]Event, error)) (*Logged, error) {
	if err := l.refused(); err != nil {
		return nil, err
	}
	begin := time.Now()
	logged, err := l.seq.commit(ctx, do)
	l.stats.committed(time.Since(begin), logged, err)
	return logged, err
}

// Append logs events that go with no other change.
func (l *Ledger) Append(ctx context.Context, events ...Event) (*Logged, error) {
	return l.Commit(ctx, func(*sql.Tx) ([]Event, error) { return events, nil })
}

// Logged is what a commit put into the log.
type Logged struct {
	ledger *Ledger
	leaves []logged
	seen   Checkpoint // SQLite: the checkpoint of the same transaction
}

// logged is one leaf: its id from the beginning, its index as soon as it is known.
type logged struct {
	id      int64
	index   int64 // -1: not yet
	hash    Hash
	counter int64 // in its chain
}

// Entry is the place of a leaf in the log.
type Entry struct {
	Index int64
	Hash  Hash // RFC 6962 leaf hash
}

// Wait waits until every leaf has its place, and returns the places in the order of the events, with a signed
// checkpoint that covers them.
func (g *Logged) Wait(ctx context.Context) ([]Entry, Checkpoint, error) {
	checkpoint, err := g.ledger.seq.wait(ctx, g)
	if err != nil {
		return nil, Checkpoint{}, fmt.Errorf("wait for the log: %w", err)
	}
	entries := make([]Entry, len(g.leaves))
	for i, leaf := range g.leaves {
		entries[i] = Entry{Index: leaf.index, Hash: leaf.hash}
	}
	return entries, checkpoint, nil
}

// refuse ends all signing: to go on would fork the log.
func (l *Ledger) refuse(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.refusal == nil {
		l.refusal = err
		l.opt.Log.Error("the log is not signed any more", "error", err)
		l.stats.refused()
	}
}

func (l *Ledger) refused() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.refusal
}

// Ready returns why nothing can be logged, or nil.
func (l *Ledger) Ready(ctx context.Context) error {
	if err := l.refused(); err != nil {
		return err
	}
	head, err := l.Head(ctx)
	if err != nil {
		return err
	}
	_, err = l.signAgain(ctx, head) // the key may be elsewhere, and out of reach
	return err
}
