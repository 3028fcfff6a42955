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
	sealed []byte // nothing where the chain ends
}

// record makes the leaf of an event at its place in the chain.
func (l *Ledger) record(keys *personKeys, at link, e Event) *record {
	now := l.opt.Now().UTC().Truncate(time.Microsecond)
	if now.Before(at.last) { // the clock was set back: a chain's times never fall
		now = at.last
	}
	v := e.values(at, now)
	leaf := makeLeaf(e.Class, now, tagOf(keys.tagKey(at.epoch), at.counter), &v, keys.saltsOf(at.counter))
	o := &opened{class: e.Class, hash: leaf.Hash(), values: v, keep: at.keep}
	if e.Keep.After(o.keep) {
		o.keep = e.Keep.UTC().Truncate(time.Second)
	}
	r := &record{keys: keys, at: at, leaf: leaf, hash: o.hash, opened: o}
	if e.Class != Erasure {
		r.sealed = keys.encrypt(at.counter, o)
	}
	return r
}

// links remembers where the chains of some persons go on, by the names of their secrets.
type links map[string]link

// errEnded is returned for the chain of a person who was forgotten.
var errEnded = errors.New("the person is being forgotten at this very moment: try again")

// link reads where a chain goes on: at its beginning, if there is nothing of it.
func readLink(ctx context.Context, q querier, keys *personKeys) (link, error) {
	var counter int64
	var sealed []byte
	err := q.QueryRowContext(ctx, `SELECT counter, sealed FROM ledger_opening WHERE chain = $1 ORDER BY counter DESC LIMIT 1`, keys.chain).Scan(&counter, &sealed)
	if errors.Is(err, sql.ErrNoRows) {
		return link{}, nil
	}
	if err != nil {
		return link{}, fmt.Errorf("find where the person's chain goes on: %w", err)
	}
	if sealed == nil {
		return link{}, errEnded
	}
	o, err := keys.decrypt(counter, sealed)
	if err != nil {
		return link{}, err
	}
	return o.next()
}

// place finds a person's keys and where their chain goes on. Where the person was forgotten and comes back, a new
// chain begins with new keys.
func (l *Ledger) place(ctx context.Context, tx *sql.Tx, person string, known ...links) (*personKeys, link, error) {
	keys, err := l.persons.of(ctx, person, true)
	if err != nil {
		return nil, link{}, err
	}
	for _, k := range known {
		if at, ok := k[keys.name]; ok && at.ended {
			return nil, link{}, errEnded
		} else if ok {
			return keys, at, nil
		}
	}
	at, err := readLink(ctx, tx, keys)
	if !errors.Is(err, errEnded) {
		return keys, at, err
	}
	if err := l.erase(ctx, tx, keys.name); err != nil {
		return nil, link{}, err
	}
	if keys, err = l.persons.of(ctx, person, true); err != nil {
		return nil, link{}, err
	}
	at, err = readLink(ctx, tx, keys)
	return keys, at, err
}
