package ledger

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"
)

// record is an event that has become a leaf.
type record struct {
	keys   *personKeys
	at     link // where in the chain it is
	leaf   Leaf
	hash   Hash
	opened *opened
	sealed []byte
}

// record makes the leaf of an event at its place in the chain.
func (l *Ledger) record(keys *personKeys, at link, e Event) *record {
	now := l.opt.Now().UTC().Truncate(time.Microsecond)
	if now.Before(at.last) { // the clock was set back: a chain's times never fall
		now = at.last
	}
	v := e.values(at, now)
	c := l.committers.Get().(*committer)
	defer l.committers.Put(c)
	leaf := makeLeaf(c, e.Class, now, tagOf(keys.tagKey(at.epoch), at.counter), &v, keys.saltsOf(at.counter))
	o := &opened{class: e.Class, hash: leaf.Hash(), before: at.leaf, values: v, keep: at.keep}
	if e.Keep.After(o.keep) {
		o.keep = e.Keep.UTC().Truncate(time.Second)
	}
	return &record{keys: keys, at: at, leaf: leaf, hash: o.hash, opened: o, sealed: keys.encrypt(at.counter, o)}
}

// links remembers where the chains of some persons go on, by the names of their secrets.
type links map[string]link

// errEnded is returned for the chain of a person who was forgotten.
var errEnded = errors.New("the person is being forgotten at this very moment: try again")

// errBusy is returned where a chain cannot end while others add to it.
var errBusy = errors.New("others log events of this person at this very moment: try again")

// link reads where a chain goes on: at its beginning, if there is nothing of it.
func (l *Reader) link(ctx context.Context, q querier, keys *personKeys) (link, error) {
	var counter int64
	var leaf sql.NullInt64
	err := q.QueryRowContext(ctx, `SELECT counter, leaf FROM ledger_chain WHERE chain = $1`, keys.chain).Scan(&counter, &leaf)
	if errors.Is(err, sql.ErrNoRows) {
		return link{}, nil
	}
	if err != nil {
		return link{}, fmt.Errorf("find where the person's chain goes on: %w", err)
	}
	if !leaf.Valid {
		return link{}, errEnded
	}
	o, err := l.opening(ctx, q, keys, counter-1, leaf.Int64)
	if err != nil {
		return link{}, err
	}
	return o.next(leaf.Int64)
}

// opening reads what opens an event of a chain.
func (l *Reader) opening(ctx context.Context, q querier, keys *personKeys, counter, id int64) (*opened, error) {
	query := `SELECT sealed FROM ledger_leaf WHERE idx = $1`
	if !l.db.Embedded() {
		query = `SELECT sealed FROM ledger_leaf WHERE id = $1 UNION ALL SELECT sealed FROM ledger_pending WHERE id = $1`
	}
	var sealed []byte
	if err := q.QueryRowContext(ctx, query, id).Scan(&sealed); err != nil {
		return nil, fmt.Errorf("read what opens event %d of a chain: %w", counter, err)
	}
	if sealed == nil {
		return nil, errEnded // since the chain was looked up
	}
	return keys.decrypt(counter, sealed)
}

// closeLeaf deletes what opens a leaf.
func (l *Ledger) closeLeaf(ctx context.Context, tx *sql.Tx, id int64) error {
	statements := []string{`UPDATE ledger_leaf SET sealed = NULL WHERE idx = $1`}
	if !l.db.Embedded() {
		// In this order: a leaf that gets its place between the two is found at its place.
		statements = []string{`UPDATE ledger_pending SET sealed = NULL WHERE id = $1`, `UPDATE ledger_leaf SET sealed = NULL WHERE id = $1`}
	}
	for _, s := range statements {
		if _, err := tx.ExecContext(ctx, s, id); err != nil {
			return err
		}
	}
	return nil
}

// place finds where the chain of a person with these keys goes on. Where the person was forgotten and comes back, a new
// chain begins with new keys.
func (l *Ledger) place(ctx context.Context, tx *sql.Tx, person string, keys *personKeys) (*personKeys, link, error) {
	at, err := l.link(ctx, tx, keys)
	if !errors.Is(err, errEnded) {
		return keys, at, err
	}
	if err := l.erase(ctx, tx, keys.name); err != nil {
		return nil, link{}, err
	}
	if keys, err = l.persons.of(ctx, person, true); err != nil {
		return nil, link{}, err
	}
	at, err = l.link(ctx, tx, keys)
	return keys, at, err
}
