package sqldb

import (
	"context"
	"database/sql"
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
	key := lockKey(name)
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

// Hold takes the lock of that name until the transaction ends, and waits where another one has it. What others committed
// before is seen by what is read after it. On SQLite, where one transaction writes at a time, each has it anyway.
func (db *DB) Hold(ctx context.Context, tx *sql.Tx, name string) error {
	if db.Embedded() {
		return nil
	}
	if _, err := tx.ExecContext(ctx, `SELECT pg_advisory_xact_lock($1)`, lockKey(name)); err != nil {
		return fmt.Errorf("wait for the lock %s: %w", name, err)
	}
	return nil
}

func lockKey(name string) int64 {
	h := fnv.New64a()
	h.Write([]byte(name))
	return int64(h.Sum64())
}
