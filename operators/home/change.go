package home

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/passerelle-cloud/passerelle/formats"
	"github.com/passerelle-cloud/passerelle/operators"
)

// Guard looks at the instance inside the transaction of a change, before anything of it is done. Its error is the
// change's, and nothing is changed then. Nil lets everything pass.
type Guard func(ctx context.Context, s *Sight) error

// longestPath is how many bytes a path has at the most that a person makes; archives may bring longer ones.
const longestPath = 4096

// change is one change of a person's, in one transaction.
type change struct {
	*writer
	ctx   context.Context
	see   *Sight
	now   time.Time
	freed []formats.Blob // of which a record less speaks
	noted map[formats.Hash]bool
}

// work runs do in one transaction, and afterwards lets go of the bytes that nothing names any more. Whatever do finds
// stays so until the end, and the instance can be written.
func (i *Instance) work(ctx context.Context, guard Guard, do func(*change) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	c := &change{writer: newWriter(i), ctx: context.WithoutCancel(ctx), now: time.Now().UTC()}
	if err := c.begin(); err != nil {
		return err
	}
	c.see = &Sight{i: i, q: c.tx}
	err := c.guarded(guard)
	if err == nil {
		err = do(c)
	}
	if err == nil {
		err = c.forgetBlobs()
	}
	if err != nil {
		return errors.Join(err, c.rollback())
	}
	if err := c.commit(); err != nil {
		return err
	}
	return c.dropFreed()
}

func (c *change) guarded(guard Guard) error {
	if guard == nil {
		return nil
	}
	return guard(c.ctx, c.see)
}

// forgetBlobs removes the rows of bytes that nothing names any more, unless an archive is being loaded: that may be about
// to name them, and removes what is left over at its end.
func (c *change) forgetBlobs() error {
	if len(c.freed) == 0 {
		return nil
	}
	unlock, err := c.i.lock(c.ctx)
	if errors.Is(err, ErrBusy) {
		c.freed = nil
		return nil
	}
	if err != nil {
		return err
	}
	return errors.Join(c.dropRows(c.freed), unlock())
}

// dropFreed removes the files of bytes whose rows went. That takes a transaction of its own: as long as it has the
// instance, nobody else writes them again.
func (c *change) dropFreed() error {
	var large []formats.Blob
	for _, b := range c.freed {
		if _, err := os.Stat(c.i.blobFile(b.SHA256)); !errors.Is(err, fs.ErrNotExist) {
			large = append(large, b)
		}
	}
	if len(large) == 0 {
		return nil
	}
	w := newWriter(c.i)
	err := errors.Join(w.dropFiles(large), w.rollback())
	if errors.Is(err, operators.ErrReadOnly) || errors.Is(err, operators.ErrNotFound) {
		return nil // nobody may write here any more: what stays behind are bytes that nothing names
	}
	return err
}

// put writes a record in the place of what was there with the same key.
func (c *change) put(r *formats.Record) error {
	before, err := c.at(keyOf(r))
	if err != nil {
		return err
	}
	line, err := r.AppendLine(nil)
	if err != nil {
		return err
	}
	if before.live() && isHash(before.hash, line) {
		return nil
	}
	return c.store(r, line, before)
}

// release notes bytes of which a record less speaks, once: a folder may have many copies of a file.
func (c *change) release(b formats.Blob) {
	if c.noted == nil {
		c.noted = map[formats.Hash]bool{}
	}
	if !c.noted[b.SHA256] {
		c.noted[b.SHA256] = true
		c.freed = append(c.freed, b)
	}
}

// end buries a record, whose bytes may go with it.
func (c *change) end(r *formats.Record) error {
	if r.Blob != nil {
		c.release(*r.Blob)
	}
	return c.bury(r, c.now)
}

// Revision makes of what there is what there will be: of a record with an id, nil if there is none, that record, and
// others that change with it.
type Revision func(ctx context.Context, s *Sight, before *formats.Record) ([]formats.Record, error)

// Revise changes a record that has no bytes of its own, such as a contact or an event, and those that change with it.
func (i *Instance) Revise(ctx context.Context, d formats.Dataset, id string, guard Guard, revise Revision) error {
	err := i.work(ctx, guard, func(c *change) error {
		before, err := c.before(d, id)
		if err != nil {
			return err
		}
		after, err := revise(c.ctx, c.see, before)
		for n := range after {
			err = errors.Join(err, c.put(&after[n]))
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("change a record of %s: %w", d, err)
	}
	return nil
}

func (c *change) before(d formats.Dataset, id string) (*formats.Record, error) {
	r, err := c.current(key(d, id))
	if errors.Is(err, operators.ErrNotFound) {
		return nil, nil
	}
	return &r, err
}

// Drop deletes a record; an error wrapping [operators.ErrNotFound] says that there is none.
func (i *Instance) Drop(ctx context.Context, d formats.Dataset, id string, guard Guard) error {
	err := i.work(ctx, guard, func(c *change) error {
		r, err := c.current(key(d, id))
		if err != nil {
			return err
		}
		return c.end(&r)
	})
	if err != nil {
		return fmt.Errorf("delete a record of %s: %w", d, err)
	}
	return nil
}

// Record returns a record, with the hash of its line, or an error wrapping [operators.ErrNotFound].
func (s *Sight) Record(ctx context.Context, d formats.Dataset, id string) (r formats.Record, hash formats.Hash, err error) {
	rows, err := s.q.QueryContext(ctx, `SELECT line FROM home_record WHERE instance = $1 AND key = $2 AND NOT deleted`, s.i.id, key(d, id))
	if err != nil {
		return r, hash, fmt.Errorf("look for a record of %s: %w", d, err)
	}
	defer rows.Close()
	if !rows.Next() {
		return r, hash, errors.Join(rows.Err(), operators.ErrNotFound)
	}
	h := held{key: key(d, id)}
	if err := rows.Scan(&h.line); err != nil {
		return r, hash, err
	}
	r, err = h.record()
	return r, formats.HashOf(h.line), err
}

// Stand returns the position of the last change in a dataset.
func (s *Sight) Stand(ctx context.Context, d formats.Dataset) (at operators.Position, err error) {
	rows, err := s.q.QueryContext(ctx, `SELECT COALESCE(MAX(position), 0) FROM home_record WHERE instance = $1 AND key >= $2 AND key < $3`,
		s.i.id, key(d, ""), append([]byte(d), '\t'+1))
	if err != nil {
		return 0, fmt.Errorf("look how %s stands: %w", d, err)
	}
	defer rows.Close()
	for rows.Next() {
		if err := rows.Scan(&at); err != nil {
			return 0, err
		}
	}
	return at, rows.Err()
}

// newID returns the id of something that a person made here.
func newID() string { return rand.Text() }
