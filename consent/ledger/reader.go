package ledger

import (
	"context"
	"iter"
	"time"

	"github.com/passerelle-cloud/passerelle/internal/sqldb"
)

// Reader reads the log, and opens what is logged of persons with their keys. It works while others write.
type Reader struct {
	*Log
	persons *persons
}

// NewReader returns a reader of the log in a database in which a [Ledger] made one.
func NewReader(ctx context.Context, db *sqldb.DB, secrets Secrets) (*Reader, error) {
	persons, err := newPersons(ctx, secrets)
	if err != nil {
		return nil, err
	}
	return &Reader{Log: NewLog(db), persons: persons}, nil
}

// chained is an event of a chain with its place in the log.
type chained struct {
	counter int64
	index   int64 // -1: it has none yet
	at      link  // where it was in the chain
	opened  *opened
}

// chain walks a person's chain back from one of its events.
func (l *Reader) chain(ctx context.Context, keys *personKeys, id, counter int64) iter.Seq2[chained, error] {
	return func(yield func(chained, error) bool) {
		for ; counter >= 0; counter-- {
			c, err := l.chained(ctx, keys, id, counter)
			if !yield(c, err) || err != nil {
				return
			}
			id = c.opened.before
		}
	}
}

func (l *Reader) chained(ctx context.Context, keys *personKeys, id, counter int64) (chained, error) {
	c := chained{counter: counter, index: id}
	o, err := l.opening(ctx, l.db.Read, keys, counter, id)
	if err != nil {
		return c, err
	}
	if c.opened = o; !l.db.Embedded() {
		if c.index, err = l.indexOf(ctx, id); err != nil {
			return c, err
		}
	}
	c.at.counter = counter
	c.at.epoch, err = parseCount(o.values[Epoch])
	return c, err
}

// Happened is an event as the person may see it.
type Happened struct {
	Index   int64 // -1: it has no place yet
	Counter int64
	Class   Class
	Hash    Hash
	Time    time.Time
	Fields  map[Field]string // those that are not empty
	Keep    time.Time        // until when the chain must be kept
}

// Events walks what is logged of a person, from the newest to the oldest. The error wraps ErrUnknown if there is
// nothing.
func (l *Reader) Events(ctx context.Context, person string) iter.Seq2[Happened, error] {
	return func(yield func(Happened, error) bool) {
		keys, err := l.persons.of(ctx, person, false)
		var at link
		if err == nil {
			at, err = l.link(ctx, l.db.Read, keys)
		}
		if err == nil && at.counter == 0 {
			err = ErrUnknown
		}
		if err != nil {
			yield(Happened{}, err)
			return
		}
		for c, err := range l.chain(ctx, keys, at.leaf, at.counter-1) {
			if err != nil {
				yield(Happened{}, err)
				return
			}
			if !yield(c.happened()) {
				return
			}
		}
	}
}

func (c chained) happened() (Happened, error) {
	h := Happened{Index: c.index, Counter: c.counter, Class: c.opened.class, Hash: c.opened.hash, Keep: c.opened.keep, Fields: map[Field]string{}}
	for f, v := range c.opened.values {
		if v != "" {
			h.Fields[Field(f)] = v
		}
	}
	var err error
	h.Time, err = time.Parse(timeLayout, c.opened.values[Time])
	return h, err
}
