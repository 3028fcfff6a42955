package home

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/passerelle-cloud/passerelle/formats"
	"github.com/passerelle-cloud/passerelle/operators"
)

// A transaction is committed when it has become that large or that old: often enough that little is lost with a
// process that dies and that others wait little, and not so often that the disk is all that one waits for.
const (
	batchWrites = 4000
	batchBytes  = 16 << 20
	batchTime   = 2 * time.Second
)

// writer writes to an instance in transactions, each of many writes. It is used by one goroutine; the mutex keeps the clock
// that ends a transaction, and what a stock writes beside, apart from it.
type writer struct {
	i *Instance

	mu       sync.Mutex
	tx       *sql.Tx
	prepared map[string]*sql.Stmt
	clock    *time.Timer
	fault    error // of a commit, after which nothing can go on
	broken   bool  // a statement of this transaction failed
	whole    bool  // it is one transaction, however long it takes
	eager    bool  // each change is a transaction of its own

	position int64 // of the instance, as this transaction leaves it
	used     int64
	quota    int64
	writes   int
	bytes    int64

	small []byte // contents of small blobs
	line  []byte
}

func newWriter(i *Instance) *writer { return &writer{i: i} }

// begin begins a transaction unless there is one. It takes the instance's row first, so that writers of one instance
// come one after the other, and none goes on after the instance was made read-only or held.
func (w *writer) begin() error {
	if w.fault != nil || w.tx != nil {
		return w.fault
	}
	tx, err := w.i.home.db.Write.BeginTx(context.Background(), nil)
	if err != nil {
		return fmt.Errorf("begin to write: %w", err)
	}
	var readOnly bool
	err = tx.QueryRow(`UPDATE home_instance SET position = position WHERE id = $1 RETURNING position, used, quota, read_only OR held`, w.i.id).
		Scan(&w.position, &w.used, &w.quota, &readOnly)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		err = w.i.gone()
	case err == nil && readOnly:
		err = fmt.Errorf("%q: %w", w.i.name, operators.ErrReadOnly)
	}
	if err != nil {
		return errors.Join(err, tx.Rollback())
	}
	w.tx, w.prepared, w.writes, w.bytes, w.broken = tx, map[string]*sql.Stmt{}, 0, 0, false
	return nil
}

// commit ends the transaction, if there is one.
func (w *writer) commit() error {
	if w.fault != nil || w.tx == nil {
		return w.fault
	}
	_, err := w.tx.Exec(`UPDATE home_instance SET position = $2, used = $3 WHERE id = $1`, w.i.id, w.position, w.used)
	if err != nil {
		err = errors.Join(err, w.tx.Rollback())
	} else {
		err = w.tx.Commit()
	}
	w.tx = nil
	if err != nil {
		w.fault = fmt.Errorf("commit: %w", err)
		return w.fault
	}
	w.i.home.bells.ring(w.i.id)
	return nil
}

// rollback gives up what is not committed.
func (w *writer) rollback() error {
	if w.tx == nil {
		return nil
	}
	err := w.tx.Rollback()
	w.tx = nil
	return err
}

// during runs do while the clock cannot commit, commits what has become large, and winds up the clock for the rest.
func (w *writer) during(ctx context.Context, do func() error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := do(); err != nil {
		return err
	}
	if w.whole {
		return nil
	}
	if w.eager || w.writes >= batchWrites || w.bytes >= batchBytes {
		return w.commit()
	}
	if w.tx != nil && w.clock == nil {
		w.clock = time.AfterFunc(batchTime, w.tick)
	}
	return nil
}

func (w *writer) tick() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.clock = nil
	w.commit() // its error is kept in fault
}

// stop stops the clock.
func (w *writer) stop() {
	if w.clock != nil {
		w.clock.Stop()
		w.clock = nil
	}
}

func (w *writer) statement(query string) (*sql.Stmt, error) {
	if err := w.begin(); err != nil {
		return nil, err
	}
	if s := w.prepared[query]; s != nil {
		return s, nil
	}
	s, err := w.tx.Prepare(query)
	if err != nil {
		w.broken = true
		return nil, err
	}
	w.prepared[query] = s
	return s, nil
}

// exec writes.
func (w *writer) exec(query string, args ...any) error {
	_, err := w.affect(query, args...)
	return err
}

// affect writes, and returns how many rows that were.
func (w *writer) affect(query string, args ...any) (int64, error) {
	s, err := w.statement(query)
	if err != nil {
		return 0, err
	}
	w.writes++
	result, err := s.Exec(args...)
	if err != nil {
		w.broken = true
		return 0, err
	}
	return result.RowsAffected()
}

// row reads one row, and returns false if there is none.
func (w *writer) row(query string, args []any, into ...any) (bool, error) {
	s, err := w.statement(query)
	if err != nil {
		return false, err
	}
	err = s.QueryRow(args...).Scan(into...)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	w.broken = w.broken || err != nil
	return err == nil, err
}

// held is a record as the database has it.
type held struct {
	key       []byte
	hash      []byte
	deleted   bool
	folder    bool
	blob      []byte
	blobSince int64
	dataset   string
	line      []byte
}

// live reports whether there is a record that is not a tombstone.
func (h *held) live() bool { return h != nil && !h.deleted }

func (h *held) record() (formats.Record, error) {
	r, err := formats.ParseLine(h.line)
	if err != nil {
		err = fmt.Errorf("the database is damaged: record %q: %w", h.key, err)
	}
	return r, err
}

// at reads the record that has a key; nil if there is none.
func (w *writer) at(key []byte) (*held, error) {
	h := held{key: key}
	ok, err := w.row(`SELECT hash, deleted, folder, blob, blob_since, dataset, line FROM home_record WHERE instance = $1 AND key = $2`,
		[]any{w.i.id, key}, &h.hash, &h.deleted, &h.folder, &h.blob, &h.blobSince, &h.dataset, &h.line)
	if !ok {
		return nil, err
	}
	return &h, nil
}

// current reads a live record.
func (w *writer) current(key []byte) (formats.Record, error) {
	h, err := w.at(key)
	if err != nil {
		return formats.Record{}, err
	}
	if !h.live() {
		return formats.Record{}, operators.ErrNotFound
	}
	return h.record()
}

// store writes a record, whose line is given, in the place of what was there with the same key.
func (w *writer) store(r *formats.Record, line []byte, before *held) error {
	w.position++
	hash := formats.HashOf(line)
	var blob []byte
	var size int64
	since := w.position
	if r.Blob != nil {
		blob, size = r.Blob.SHA256[:], r.Blob.Size
		if before.live() && string(before.blob) == string(blob) {
			since = before.blobSince
		}
	}
	w.bytes += int64(len(line))
	return w.exec(`
		INSERT INTO home_record (instance, key, position, dataset, folder, deleted, hash, blob, size, blob_since, place, line)
		VALUES ($1, $2, $3, $4, $5, FALSE, $6, $7, $8, $9, $10, $11)
		ON CONFLICT (instance, key) DO UPDATE SET position = excluded.position, folder = excluded.folder, deleted = FALSE, hash = excluded.hash,
			blob = excluded.blob, size = excluded.size, blob_since = excluded.blob_since, place = excluded.place, line = excluded.line`,
		w.i.id, keyOf(r), w.position, string(r.Dataset), r.Kind == formats.KindFolder, hash[:], null(blob), size, since, null(place(r.Path)), line)
}

// bury puts a tombstone in the place of a record.
func (w *writer) bury(r *formats.Record, at time.Time) error {
	stone := formats.Tombstone(r.Dataset, r.ID, r.Kind, at)
	line, err := stone.AppendLine(nil)
	if err != nil {
		return err
	}
	w.position++
	hash := formats.HashOf(line)
	return w.exec(`
		UPDATE home_record SET position = $3, deleted = TRUE, folder = FALSE, hash = $4, blob = NULL, size = 0, place = NULL, line = $5
		WHERE instance = $1 AND key = $2`, w.i.id, keyOf(r), w.position, hash[:], line)
}

// null is b as a parameter: no bytes are NULL.
func null(b []byte) any {
	if len(b) == 0 {
		return nil
	}
	return b
}
