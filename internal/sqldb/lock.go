package sqldb

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"

	"github.com/gofrs/flock"
)

// TryLock takes the lock of that name, which one holder has at a time among all processes that share the database. It
// returns false at once where somebody has it. A holder that dies lets go of it. The name is part of a file's name.
func (db *DB) TryLock(ctx context.Context, name string) (unlock func() error, ok bool, err error) {
	if db.Embedded() {
		l := flock.New(db.path + "." + name + ".lock")
		if ok, err := l.TryLock(); err != nil || !ok {
			return nil, false, err
		}
		return l.Unlock, true, nil
	}
	h := fnv.New64a()
	h.Write([]byte(name))
	key := int64(h.Sum64())
	conn, err := db.locks.Conn(ctx)
	if err != nil {
		return nil, false, fmt.Errorf("lock %s: %w", name, err)
	}
	if err := conn.QueryRowContext(ctx, `SELECT pg_try_advisory_lock($1)`, key).Scan(&ok); err != nil || !ok {
		return nil, false, errors.Join(err, conn.Close())
	}
	return func() error {
		_, err := conn.ExecContext(context.WithoutCancel(ctx), `SELECT pg_advisory_unlock($1)`, key)
		return errors.Join(err, conn.Close())
	}, true, nil
}
