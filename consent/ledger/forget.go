package ledger

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"
)

// Forget erases a person: the last leaf of their chain says so, what opens their leaves is deleted, and the key that
// it was encrypted with is destroyed, which also makes worthless whatever backups hold. The log still verifies. It
// returns an error wrapping ErrRetained before the time until which an event must be kept, and ErrUnknown if nothing
// is logged. One that broke off goes on when the ledger is opened, or Forget is called, again.
func (l *Ledger) Forget(ctx context.Context, person string) error {
	_, err := l.Erase(ctx, person)
	return err
}

// Erase is Forget, and returns the last leaf of the person; nil where one that broke off was finished.
func (l *Ledger) Erase(ctx context.Context, person string) (*Logged, error) {
	name := l.persons.name(person)
	var logged *Logged
	resumed, err := l.finishErasure(ctx, name)
	if err == nil && !resumed {
		logged, err = l.end(ctx, person, name)
	}
	if err != nil {
		return nil, fmt.Errorf("forget a person: %w", err)
	}
	return logged, nil
}

func (l *Ledger) end(ctx context.Context, person, name string) (logged *Logged, err error) {
	if _, err := l.persons.of(ctx, person, false); err != nil {
		return nil, err
	}
	for range maxTries {
		if logged, err = l.Append(ctx, Event{Person: person, Class: Erasure, Type: "erasure", forget: true}); !errors.Is(err, errBusy) {
			break
		}
	}
	if err != nil {
		return nil, err
	}
	_, err = l.finishErasure(ctx, name)
	return logged, err
}

// mayEnd says whether a chain may end here.
func (l *Ledger) mayEnd(at link) error {
	switch {
	case at.counter == 0:
		return ErrUnknown
	case at.keep.After(l.opt.Now()):
		return fmt.Errorf("%w: until %s", ErrRetained, at.keep.Format(time.DateOnly))
	}
	return nil
}

// clearChain deletes what opens a chain, ends it, and notes that its key has to go. id is that of its last leaf.
func (l *Ledger) clearChain(ctx context.Context, tx *sql.Tx, last *record, id int64) error {
	if err := l.deleteOpenings(ctx, tx, last, id); err != nil {
		return fmt.Errorf("delete what opens a person's leaves: %w", err)
	}
	if _, err := tx.ExecContext(ctx, `UPDATE ledger_chain SET leaf = NULL WHERE chain = $1`, last.keys.chain); err != nil {
		return fmt.Errorf("end a person's chain: %w", err)
	}
	_, err := tx.ExecContext(ctx, `INSERT INTO ledger_erasure (secret, chain) VALUES ($1, $2) ON CONFLICT (secret) DO UPDATE SET chain = excluded.chain`, last.keys.name, last.keys.chain)
	if err != nil {
		return fmt.Errorf("note that a person is forgotten: %w", err)
	}
	return nil
}

func (l *Ledger) deleteOpenings(ctx context.Context, tx *sql.Tx, last *record, id int64) error {
	for counter := last.at.counter; ; counter-- {
		o, err := l.opening(ctx, tx, last.keys, counter, id)
		if err != nil {
			return err
		}
		if err := l.closeLeaf(ctx, tx, id); err != nil {
			return err
		}
		if counter == 0 {
			return nil
		}
		id = o.before
	}
}

// finishErasures destroys the keys of those whose chains have ended.
func (l *Ledger) finishErasures(ctx context.Context) error {
	rows, err := l.db.Write.QueryContext(ctx, `SELECT secret FROM ledger_erasure`)
	if err != nil {
		return fmt.Errorf("find who is being forgotten: %w", err)
	}
	defer rows.Close()
	var names []string
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			return err
		}
		names = append(names, name)
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil {
		return err
	}
	for _, name := range names {
		if err := l.db.Tx(ctx, func(tx *sql.Tx) error { return l.erase(ctx, tx, name) }); err != nil {
			return err
		}
	}
	return nil
}

// finishErasure destroys the key of one whose chain has ended, and reports whether there was something to do.
func (l *Ledger) finishErasure(ctx context.Context, name string) (did bool, err error) {
	_, err = l.Commit(ctx, func(tx *sql.Tx) ([]Event, error) {
		var n int
		if err := tx.QueryRowContext(ctx, `SELECT count(*) FROM ledger_erasure WHERE secret = $1`, name).Scan(&n); err != nil {
			return nil, err
		}
		did = n > 0
		return nil, l.erase(ctx, tx, name)
	})
	return did, err
}

// erase destroys a person's key where that is noted. It is done under the note's lock, and only to the key that is
// meant, since the person may have come back meanwhile and have another one under the same name.
func (l *Ledger) erase(ctx context.Context, tx *sql.Tx, name string) error {
	defer l.persons.drop(name)
	var chain []byte
	err := tx.QueryRowContext(ctx, `UPDATE ledger_erasure SET secret = secret WHERE secret = $1 RETURNING chain`, name).Scan(&chain)
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("find whose key has to go: %w", err)
	}
	secret, ok, err := l.opt.Secrets.Secret(ctx, name)
	if err != nil {
		return fmt.Errorf("find the key that has to go: %w", err)
	}
	if ok {
		keys, err := deriveKeys(name, secret)
		if err != nil {
			return err
		}
		if bytes.Equal(keys.chain, chain) {
			if err := l.opt.Secrets.DestroySecret(ctx, name); err != nil {
				return fmt.Errorf("destroy a person's key: %w", err)
			}
		}
	}
	if _, err := tx.ExecContext(ctx, `DELETE FROM ledger_erasure WHERE secret = $1`, name); err != nil {
		return fmt.Errorf("note that a person's key is gone: %w", err)
	}
	return nil
}
