package home

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/passerelle-cloud/passerelle/formats"
	"github.com/passerelle-cloud/passerelle/operators"
)

// Instance is all that one person keeps here.
type Instance struct {
	home   *Home
	id     int64
	name   string
	secret []byte
}

// Name returns the instance's name, which is unique in its home.
func (i *Instance) Name() string { return i.name }

// Usage counts what the instance holds.
func (i *Instance) Usage(ctx context.Context) (formats.Count, error) {
	return usage(ctx, i.home.db.Read, i.id)
}

type querier interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

func usage(ctx context.Context, q querier, instance int64) (c formats.Count, err error) {
	err = q.QueryRowContext(ctx, `
		SELECT count(*), count(blob), CAST(COALESCE(sum(size), 0) AS BIGINT) FROM home_record WHERE instance = $1 AND NOT deleted`,
		instance).Scan(&c.Records, &c.Files, &c.Bytes)
	if err != nil {
		err = fmt.Errorf("count the records: %w", err)
	}
	return c, err
}

// SetReadOnly lets the instance be read but not written, or be written again. When it returns, no write is under way.
func (i *Instance) SetReadOnly(ctx context.Context, readOnly bool) error {
	return i.set(ctx, `UPDATE home_instance SET read_only = $2 WHERE id = $1`, readOnly)
}

// SetQuota sets how many bytes its blobs may take; 0 means no limit. What is there already stays.
func (i *Instance) SetQuota(ctx context.Context, quota int64) error {
	return i.set(ctx, `UPDATE home_instance SET quota = $2 WHERE id = $1`, quota)
}

func (i *Instance) set(ctx context.Context, statement string, value any) error {
	result, err := i.home.db.Write.ExecContext(ctx, statement, i.id, value)
	if err != nil {
		return fmt.Errorf("set up the instance %q: %w", i.name, err)
	}
	if n, err := result.RowsAffected(); err != nil || n == 0 {
		return errors.Join(err, i.gone())
	}
	return nil
}

// standsAt reads the position of the instance's last change.
func (i *Instance) standsAt(ctx context.Context, q querier) (at operators.Position, err error) {
	err = q.QueryRowContext(ctx, `SELECT position FROM home_instance WHERE id = $1`, i.id).Scan(&at)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, i.gone()
	}
	if err != nil {
		return 0, fmt.Errorf("read the position of %q: %w", i.name, err)
	}
	return at, nil
}

// ahead is the error about a position that the instance has not reached: it is another's, or from before a backup was
// restored.
func ahead(at, asked operators.Position) error {
	return fmt.Errorf("%w: the instance stands at position %d, not yet at %d", operators.ErrUnsupported, at, asked)
}

func (i *Instance) gone() error {
	return fmt.Errorf("an instance named %q: %w (it was deleted)", i.name, operators.ErrNotFound)
}

// lock takes the instance for one load, or for its deletion, among all gateways on this database.
func (i *Instance) lock(ctx context.Context) (unlock func() error, err error) {
	unlock, ok, err := i.home.db.TryLock(ctx, "home-"+strconv.FormatInt(i.id, 16))
	if err != nil {
		return nil, fmt.Errorf("lock the instance %q: %w", i.name, err)
	}
	if !ok {
		return nil, fmt.Errorf("%q: %w", i.name, ErrBusy)
	}
	return unlock, nil
}

// A change of the person's takes the lock for some milliseconds: a load does not give up for that.
const (
	lockTries = 20
	lockPause = 10 * time.Millisecond
)

func (i *Instance) lockPatiently(ctx context.Context) (unlock func() error, err error) {
	for try := 1; ; try++ {
		unlock, err = i.lock(ctx)
		if !errors.Is(err, ErrBusy) || try == lockTries {
			return unlock, err
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(lockPause):
		}
	}
}

// Pseudonym names the person for one recipient, by which two recipients cannot tell that they know the same person.
func (i *Instance) Pseudonym(recipient string) string {
	mac := hmac.New(sha256.New, i.secret)
	mac.Write([]byte(recipient))
	return hex.EncodeToString(mac.Sum(nil)[:16])
}

// Put stores a record, and the content of its blob if there is one, as the person's own change. It replaces the
// record of the same dataset and id. A path that another record has gives an error wrapping [ErrTaken].
func (i *Instance) Put(ctx context.Context, record formats.Record, content io.Reader) (formats.Record, error) {
	if record.Blob != nil {
		blob := *record.Blob
		record.Blob = &blob
	}
	err := i.edit(ctx, func(w *writer) error {
		if content != nil && record.Blob != nil {
			got, err := w.putBlob(ctx, content, record.Blob.Size)
			if err != nil {
				return err
			}
			record.Blob.SHA256 = got.SHA256
		}
		line, err := record.AppendLine(nil)
		if err != nil {
			return err
		}
		found, err := w.look(0, &record)
		if err != nil {
			return err
		}
		if file, err := w.insideFile(record.Path); file != "" || err != nil {
			return errors.Join(err, fmt.Errorf("%s: %w by what is no folder", file, ErrTaken))
		}
		switch {
		case record.Blob != nil && !found.hasBlob:
			_, reason := w.missing(record.Blob)
			return fmt.Errorf("%w: %s", formats.ErrInvalid, reason)
		case found.obstructed(&record, keyOf(&record)):
			return fmt.Errorf("%s: %w", record.Path, ErrTaken)
		}
		return w.store(&record, line, found.record)
	})
	if err != nil {
		return record, fmt.Errorf("put %s/%s: %w", record.Dataset, record.ID, err)
	}
	return record, nil
}

// Remove deletes a record as the person's own change; an error wrapping [operators.ErrNotFound] says that there is
// none.
func (i *Instance) Remove(ctx context.Context, dataset formats.Dataset, id string) error {
	err := i.edit(ctx, func(w *writer) error {
		current, err := w.current(key(dataset, id))
		if err != nil {
			return err
		}
		return w.bury(&current, time.Now())
	})
	if err != nil {
		return fmt.Errorf("remove %s/%s: %w", dataset, id, err)
	}
	return nil
}

// edit runs do in one transaction of its own, which no clock ends.
func (i *Instance) edit(ctx context.Context, do func(*writer) error) error {
	w := newWriter(i)
	w.whole = true
	if err := do(w); err != nil {
		return errors.Join(err, w.rollback())
	}
	return w.commit()
}
