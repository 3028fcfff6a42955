package ledger

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/passerelle-cloud/passerelle/internal/sqldb"
)

// shared is the sequencer on PostgreSQL. Any number of replicas commit changes together with leaves that have no
// place yet; whoever holds the advisory lock gives places, in one transaction a round, fenced by the size of the log.
type shared struct {
	l     *Ledger
	tree  *tree // of the head that this replica committed last, nil: unknown; only run uses it
	ended chan struct{}

	mu    sync.Mutex
	links links // as this replica knows them: others may have gone further
}

const (
	// advisoryLock is held by the leader. It is any number that nobody else uses: "passerel" in ASCII.
	advisoryLock = 0x7061737365726c65
	maxRound     = 2048 // leaves
	followers    = 5    // polls after which a replica that does not lead looks whether it should
	maxTries     = 20
)

func newShared(l *Ledger) *shared {
	return &shared{l: l, ended: make(chan struct{}), links: links{}}
}

func (s *shared) commit(ctx context.Context, do func(*sql.Tx) ([]Event, error)) (*Logged, error) {
	select {
	case <-s.ended:
		return nil, ErrClosed
	default:
	}
	for try := 1; ; try++ {
		g, err := s.try(ctx, do)
		if err == nil || !sqldb.IsConflict(err) || try == maxTries {
			return g, err
		}
	}
}

func (s *shared) try(ctx context.Context, do func(*sql.Tx) ([]Event, error)) (*Logged, error) {
	g := &Logged{ledger: s.l}
	own := links{}
	err := s.l.db.Tx(ctx, func(tx *sql.Tx) error {
		events, err := do(tx)
		if err != nil {
			return err
		}
		g.leaves = make([]logged, len(events))
		for _, i := range s.order(events) {
			if g.leaves[i], err = s.pend(ctx, tx, events[i], own); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		s.forget(own)
		return nil, err
	}
	s.learn(own)
	return g, nil
}

// order is that in which chains are locked: the same in every transaction, so that no two of them wait for each other.
// The events of one person keep theirs.
func (s *shared) order(events []Event) []int {
	order := make([]int, len(events))
	names := make([]string, len(events))
	for i := range events {
		order[i], names[i] = i, s.l.persons.name(events[i].Person)
	}
	slices.SortStableFunc(order, func(a, b int) int { return strings.Compare(names[a], names[b]) })
	return order
}

func (s *shared) learn(own links) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.links) > maxPersons {
		clear(s.links)
	}
	for name, at := range own {
		if at.ended {
			delete(s.links, name)
		} else if at.counter > s.links[name].counter {
			s.links[name] = at
		}
	}
}

func (s *shared) forget(own links) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for name := range own {
		delete(s.links, name)
	}
}

// place finds a person's keys and where their chain goes on: in this very transaction, where this replica last saw it,
// or, if that is too old, in the database.
func (s *shared) place(ctx context.Context, tx *sql.Tx, person string, own links, fresh bool) (*personKeys, link, error) {
	keys, err := s.l.persons.of(ctx, person, true)
	if err != nil {
		return nil, link{}, err
	}
	at, ok := own[keys.name]
	if !ok && !fresh {
		s.mu.Lock()
		at, ok = s.links[keys.name]
		s.mu.Unlock()
	}
	switch {
	case at.ended:
		return nil, link{}, errEnded
	case ok:
		return keys, at, nil
	}
	return s.l.place(ctx, tx, person, keys)
}

// pend commits an event as a leaf that has no place yet. Somebody else may have gone on with the person's chain, or
// have ended it: then the place in the chain is read again. The id is drawn after all earlier leaves of the person
// were committed, so that the order of ids is that of each chain.
func (s *shared) pend(ctx context.Context, tx *sql.Tx, e Event, own links) (logged, error) {
	if err := e.check(); err != nil {
		return logged{}, err
	}
	fresh := false
	for range maxTries {
		keys, at, err := s.place(ctx, tx, e.Person, own, fresh)
		if err != nil {
			return logged{}, err
		}
		if e.forget {
			if err := s.l.mayEnd(at); err != nil {
				return logged{}, err
			}
		}
		r := s.l.record(keys, at, e)
		id, err := s.insert(ctx, tx, r)
		if errors.Is(err, sql.ErrNoRows) {
			s.forget(links{keys.name: at})
			s.l.persons.drop(keys.name)
			fresh = true
			continue
		}
		if err != nil {
			return logged{}, fmt.Errorf("store a leaf: %w", err)
		}
		if e.forget {
			if err := s.l.clearChain(ctx, tx, r, id); err != nil {
				return logged{}, err
			}
		}
		own[keys.name], err = r.opened.next(id)
		return logged{id: id, index: -1, hash: r.hash, counter: at.counter}, err
	}
	return logged{}, errBusy
}

// insert inserts a leaf and returns its id. The error wraps sql.ErrNoRows, and nothing is inserted, where the chain
// goes on elsewhere.
func (s *shared) insert(ctx context.Context, tx *sql.Tx, r *record) (id int64, err error) {
	statement := goOn
	if r.at.counter == 0 {
		statement = beginChain
	}
	err = tx.QueryRowContext(ctx, statement+pend, r.keys.chain, r.at.counter, r.sealed, []byte(r.leaf)).Scan(&id)
	return id, err
}

const (
	beginChain = `WITH c AS (
	INSERT INTO ledger_chain (chain, counter, leaf) VALUES ($1, $2::bigint + 1, nextval('ledger_id'))
	ON CONFLICT DO NOTHING RETURNING leaf)`
	goOn = `WITH c AS (
	UPDATE ledger_chain SET counter = counter + 1, leaf = nextval('ledger_id')
	WHERE chain = $1 AND counter = $2 AND leaf IS NOT NULL RETURNING leaf)`
	pend = ` INSERT INTO ledger_pending (id, sealed, leaf) SELECT leaf, $3, $4 FROM c RETURNING id`
)

// wait looks for the leaves until they have places.
func (s *shared) wait(ctx context.Context, g *Logged) (Checkpoint, error) {
	for i := 0; i < len(g.leaves); {
		leaf := &g.leaves[i]
		err := s.l.db.Read.QueryRowContext(ctx, `SELECT idx FROM ledger_leaf WHERE id = $1`, leaf.id).Scan(&leaf.index)
		if err == nil { // it has its place
			i++
			continue
		}
		if !errors.Is(err, sql.ErrNoRows) {
			return Checkpoint{}, err
		}
		if err := s.l.refused(); err != nil {
			return Checkpoint{}, err
		}
		select {
		case <-time.After(s.l.opt.Poll):
		case <-s.ended:
			return Checkpoint{}, ErrClosed
		case <-ctx.Done():
			return Checkpoint{}, ctx.Err()
		}
	}
	return s.l.Head(ctx)
}

// run gives places as long as this replica leads, and otherwise looks now and then whether it should.
func (s *shared) run(ctx context.Context) {
	defer close(s.ended)
	for {
		next := s.l.opt.Poll
		switch n, err := s.round(ctx); {
		case err == nil && n == maxRound:
			next = 0
		case errors.Is(err, errFollower):
			next *= followers
		case err != nil && ctx.Err() == nil:
			s.l.opt.Log.Warn("leaves wait for their places", "error", err)
			next *= followers
		}
		if !pause(ctx, next) {
			return
		}
	}
}

// pause waits, and reports whether the context is still alive.
func pause(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}

var errFollower = errors.New("another replica leads")

// round gives places to the leaves that wait, and returns how many there were.
func (s *shared) round(ctx context.Context) (n int, err error) {
	var waits bool
	if err := s.l.db.Read.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM ledger_pending)`).Scan(&waits); err != nil || !waits {
		return 0, err
	}
	if err := s.l.refused(); err != nil {
		return 0, err
	}
	tx, err := s.l.db.Write.BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelRepeatableRead})
	if err != nil {
		return 0, err
	}
	n, signed, err := s.sequence(ctx, tx)
	if err != nil {
		s.tree = nil // whether it was committed or not: look
		return 0, errors.Join(err, rollback(tx))
	}
	s.l.advanced(signed)
	return n, nil
}

func rollback(tx *sql.Tx) error {
	if err := tx.Rollback(); err != nil && !errors.Is(err, sql.ErrTxDone) {
		return err
	}
	return nil
}

func (s *shared) sequence(ctx context.Context, tx *sql.Tx) (int, Checkpoint, error) {
	none := Checkpoint{}
	var leads bool
	// A leader whose machine vanished is thrown out by the server after a while.
	err := tx.QueryRowContext(ctx, `SELECT pg_try_advisory_xact_lock($1) AND set_config('idle_in_transaction_session_timeout', '15s', true) <> ''`, int64(advisoryLock)).Scan(&leads)
	if err != nil {
		return 0, none, err
	}
	if !leads {
		return 0, none, errFollower
	}
	var old Checkpoint
	var signed string
	if err := tx.QueryRowContext(ctx, `SELECT checkpoint FROM ledger_head FOR UPDATE`).Scan(&signed); err != nil {
		return 0, none, err
	}
	if old, err = readCheckpoint([]byte(signed)); err != nil {
		return 0, none, fmt.Errorf("%w: its newest checkpoint: %w", ErrDamaged, err)
	}
	if s.tree == nil || s.tree.size != old.Size {
		// Somebody else led meanwhile, or this replica has never led: what it saw before must still be there.
		if err := s.l.water.check(ctx, s.l.Log, old); err != nil {
			s.l.refuse(err)
			return 0, none, err
		}
		if s.tree, err = loadTree(ctx, tx, old.Size, old.Hash); err != nil {
			return 0, none, err
		}
	}
	return s.extend(ctx, tx, s.tree.clone())
}

func (s *shared) extend(ctx context.Context, tx *sql.Tx, next *tree) (int, Checkpoint, error) {
	none := Checkpoint{}
	from := next.size
	var tiles []tile
	n, last, err := readPending(ctx, tx, func(leaf Hash) { next.append(leaf, func(t tile) { tiles = append(tiles, t) }) })
	if err != nil || n == 0 {
		return 0, none, errors.Join(err, errFollower)
	}
	moved, err := tx.ExecContext(ctx, moveLeaves, last, from)
	if err != nil {
		return 0, none, err
	}
	if m, err := moved.RowsAffected(); err != nil || m != int64(n) {
		return 0, none, fmt.Errorf("%d leaves were moved instead of %d", m, n)
	}
	if err := storeTiles(ctx, tx, tiles); err != nil {
		return 0, none, err
	}
	signed, err := s.l.sign(ctx, next)
	if err != nil {
		return 0, none, err
	}
	if err := storeHead(ctx, tx, from, signed); err != nil {
		return 0, none, err
	}
	if err := tx.Commit(); err != nil {
		return 0, none, err
	}
	s.tree = next
	return n, signed, nil
}

// moveLeaves works on the same snapshot that the leaves were read in.
const moveLeaves = `WITH moved AS (DELETE FROM ledger_pending WHERE id <= $1 RETURNING id, leaf, sealed)
INSERT INTO ledger_leaf (idx, id, leaf, sealed) SELECT $2 + row_number() OVER (ORDER BY id) - 1, id, leaf, sealed FROM moved`

// readPending reads the hashes of the leaves that wait, in their order.
func readPending(ctx context.Context, tx *sql.Tx, each func(Hash)) (n int, last int64, err error) {
	rows, err := tx.QueryContext(ctx, `SELECT id, sha256('\x00'::bytea || leaf) FROM ledger_pending ORDER BY id LIMIT $1`, maxRound)
	if err != nil {
		return 0, 0, err
	}
	defer rows.Close()
	for ; rows.Next(); n++ {
		var b sql.RawBytes
		if err := rows.Scan(&last, &b); err != nil {
			return 0, 0, err
		}
		each(Hash(b))
	}
	return n, last, rows.Err()
}
