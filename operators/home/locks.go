package home

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/passerelle-cloud/passerelle/operators"
)

// mostLocks is how many locks an instance has at a time.
const mostLocks = 200

var (
	// ErrLocked is returned for what somebody else has locked.
	ErrLocked = errors.New("another program of yours has locked it; close it there, or wait until the lock is over")
	// ErrTooManyLocks is returned for one lock more than there may be.
	ErrTooManyLocks = errors.New("too many things are locked; close some of them")
	// ErrNoLock is returned for a lock that nobody has, or not any more.
	ErrNoLock = errors.New("there is no such lock, or not any more")
)

// Lock says that one program is at work on something, so that others leave it alone (RFC 4918, section 6). Locks are in
// the database, so that all replicas know them, and guard nothing by themselves: a change's [Guard] looks at them.
type Lock struct {
	Token     string // "urn:uuid:…"
	Path      string
	Deep      bool // with all that is below
	Exclusive bool
	Owner     string // as the client says it
	Expires   time.Time
}

// Covers reports whether a path is locked by it.
func (l *Lock) Covers(p string) bool {
	return l.Path == p || l.Deep && strings.HasPrefix(p, l.Path+"/")
}

// Locks returns the locks of an instance.
func (s *Sight) Locks(ctx context.Context) (list []Lock, err error) {
	rows, err := s.q.QueryContext(ctx, `
		SELECT token, path, deep, exclusive, owner, expires FROM home_lock WHERE instance = $1 AND expires > $2 ORDER BY token`, s.i.id, time.Now().UnixMicro())
	if err != nil {
		return nil, fmt.Errorf("look for locks: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var l Lock
		var p []byte
		var expires int64
		if err := rows.Scan(&l.Token, &p, &l.Deep, &l.Exclusive, &l.Owner, &expires); err != nil {
			return nil, err
		}
		l.Path, l.Expires = string(p), time.UnixMicro(expires)
		list = append(list, l)
	}
	return list, rows.Err()
}

// Lock locks a path, and makes an empty file where nothing is. The error may wrap [ErrLocked] or [ErrTooManyLocks].
func (i *Instance) Lock(ctx context.Context, l Lock, guard Guard) (locked Lock, created bool, err error) {
	l.Token = "urn:uuid:" + uuid.Must(uuid.NewRandomFromReader(rand.Reader)).String()
	err = i.work(ctx, guard, func(c *change) error {
		if err := c.exec(`DELETE FROM home_lock WHERE instance = $1 AND expires <= $2`, i.id, c.now.UnixMicro()); err != nil {
			return err
		}
		if err := c.lockable(&l); err != nil {
			return err
		}
		if created, err = c.lockEmpty(l.Path); err != nil {
			return err
		}
		return c.exec(`INSERT INTO home_lock (token, instance, path, deep, exclusive, owner, expires) VALUES ($1, $2, $3, $4, $5, $6, $7)`,
			l.Token, i.id, []byte(l.Path), l.Deep, l.Exclusive, l.Owner, l.Expires.UnixMicro())
	})
	if err != nil {
		return Lock{}, false, fmt.Errorf("lock: %w", err)
	}
	return l, created, nil
}

// lockable finds out whether a new lock meets another one.
func (c *change) lockable(l *Lock) error {
	others, err := c.see.Locks(c.ctx)
	if err != nil {
		return err
	}
	if len(others) >= mostLocks {
		return ErrTooManyLocks
	}
	for _, o := range others {
		meets := o.Covers(l.Path) || l.Covers(o.Path)
		if meets && (o.Exclusive || l.Exclusive) {
			return ErrLocked
		}
	}
	return nil
}

func (c *change) lockEmpty(p string) (created bool, err error) {
	_, err = c.see.Entry(c.ctx, p)
	if !errors.Is(err, operators.ErrNotFound) {
		return false, err
	}
	if err := c.parent(p); err != nil {
		return false, err
	}
	r := newFile(p, c.now)
	_, err = c.fill(Entry{Path: p, Record: r}, PutFile{Upload: emptyUpload(), Modified: c.now})
	return err == nil, err
}

// Refresh makes a lock that covers a path last longer. An error wrapping [ErrNoLock] says that there is none.
func (i *Instance) Refresh(ctx context.Context, p, token string, expires time.Time) (l Lock, err error) {
	err = i.work(ctx, nil, func(c *change) error {
		if l, err = c.lockOf(p, token); err != nil {
			return err
		}
		l.Expires = expires
		return c.exec(`UPDATE home_lock SET expires = $2 WHERE token = $1`, token, expires.UnixMicro())
	})
	return l, err
}

// Unlock ends a lock that covers a path. An error wrapping [ErrNoLock] says that there is none. It works in an instance
// that is read-only, too.
func (i *Instance) Unlock(ctx context.Context, p, token string) error {
	return i.home.db.Tx(ctx, func(tx *sql.Tx) error {
		s := Sight{i: i, q: tx}
		list, err := s.Locks(ctx)
		if err != nil {
			return err
		}
		for _, l := range list {
			if l.Token == token && l.Covers(p) {
				_, err := tx.ExecContext(ctx, `DELETE FROM home_lock WHERE token = $1`, token)
				return err
			}
		}
		return ErrNoLock
	})
}

func (c *change) lockOf(p, token string) (Lock, error) {
	list, err := c.see.Locks(c.ctx)
	if err != nil {
		return Lock{}, err
	}
	for _, l := range list {
		if l.Token == token && l.Covers(p) {
			return l, nil
		}
	}
	return Lock{}, ErrNoLock
}

// unlockBelow ends the locks of what is not at a path any more.
func (c *change) unlockBelow(p string) error {
	list, err := c.see.Locks(c.ctx)
	if err != nil {
		return err
	}
	for _, l := range list {
		if l.Path == p || strings.HasPrefix(l.Path, p+"/") {
			if err := c.exec(`DELETE FROM home_lock WHERE token = $1`, l.Token); err != nil {
				return err
			}
		}
	}
	return nil
}
