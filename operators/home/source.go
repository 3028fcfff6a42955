package home

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"math"
	"os"

	"github.com/passerelle-cloud/passerelle/formats"
	"github.com/passerelle-cloud/passerelle/operators"
)

// Source returns the instance to be read from.
func (i *Instance) Source() *Source { return &Source{Instance: i, end: math.MaxInt64} }

// Source is an instance as something to read from: as it stood when it was first asked, whatever is written meanwhile. Its blobs
// by themselves are those that are here when they are asked for.
type Source struct {
	*Instance
	tx         *sql.Tx
	pages      *sql.Stmt
	begin, end operators.Position    // of walks
	arena      []byte                // the small blobs of the page that is walked
	sparing    bool                  // small blobs are read when they are asked for
	missing    map[formats.Hash]bool // then: those of them that were lost
}

// Close implements [operators.Source].
func (s *Source) Close() error {
	if s.tx == nil {
		return nil
	}
	var err error
	if s.pages != nil {
		err = s.pages.Close()
	}
	err = errors.Join(err, s.tx.Rollback())
	s.tx, s.pages = nil, nil
	return err
}

// position begins to read, and returns where the instance stands.
func (s *Source) position(ctx context.Context) (at operators.Position, err error) {
	if s.tx == nil {
		// The transaction outlives the call, but not the Source.
		if s.tx, err = s.home.db.Snapshot(context.WithoutCancel(ctx)); err != nil {
			return 0, err
		}
	}
	return s.standsAt(ctx, s.tx)
}

// Describe implements [operators.Source].
func (s *Source) Describe(ctx context.Context) (operators.Description, error) {
	d := operators.Description{Owner: s.name, Changes: true}
	var err error
	if d.Position, err = s.position(ctx); err == nil {
		d.Total, err = usage(ctx, s.tx, s.id)
	}
	return d, err
}

// pageRecords is how many records are read at once, with their small blobs: 2 MiB at the most.
const pageRecords = 32

// Records implements [operators.Source]. After a position other than zero, an item whose record has a blob but no
// content is one whose bytes have not changed since.
func (s *Source) Records(ctx context.Context, after operators.Position) iter.Seq2[operators.Item, error] {
	return func(yield func(operators.Item, error) bool) {
		at, err := s.position(ctx)
		if err == nil && after > at {
			err = ahead(at, after)
		}
		if err != nil {
			yield(operators.Item{}, err)
			return
		}
		for since := max(after, s.begin); ; {
			rows, err := s.page(ctx, since, after)
			if err != nil {
				yield(operators.Item{}, fmt.Errorf("read the records: %w", err))
				return
			}
			for _, row := range rows {
				since = row.position
				item, err := s.item(ctx, row, after)
				if !yield(item, err) || err != nil {
					return
				}
			}
			if len(rows) < pageRecords {
				return
			}
		}
	}
}

// stored is a row of the records, with its blob.
type stored struct {
	position operators.Position
	line     []byte
	wanted   bool // its content
	size     int64
	inline   bool
	data     []byte
}

// Range implements [operators.Ranging].
func (s *Source) Range(after, upTo operators.Position) { s.begin, s.end = after, upTo }

// Spare implements [operators.Sparing].
func (s *Source) Spare(ctx context.Context) error {
	if _, err := s.position(ctx); err != nil {
		return err
	}
	var err error
	s.missing, err = hashes(ctx, s.tx, `SELECT hash FROM home_blob WHERE instance = $1`+lostSmall, s.id)
	s.sparing = err == nil
	return err
}

// lostSmall is the condition under which the bytes of a small blob were lost, as an index has it.
const lostSmall = ` AND data IS NULL AND size > 0 AND size <= ` + small

// hashes reads a set of them.
func hashes(ctx context.Context, q rowsQuerier, query string, args ...any) (map[formats.Hash]bool, error) {
	rows, err := q.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, fmt.Errorf("read what is here: %w", err)
	}
	defer rows.Close()
	found := map[formats.Hash]bool{}
	var hash sql.RawBytes
	for rows.Next() {
		if err := rows.Scan(&hash); err != nil {
			return nil, err
		}
		found[formats.Hash(hash)] = true
	}
	return found, rows.Err()
}

const (
	pageQuery = `
	SELECT r.position, r.line, CASE WHEN r.blob_since > $3 THEN r.blob END, r.size, b.data IS NOT NULL, CASE WHEN r.blob_since > $3 THEN b.data END
	FROM home_record r LEFT JOIN home_blob b ON b.instance = r.instance AND b.hash = r.blob` + pageOf
	sparingQuery = `
	SELECT r.position, r.line, CASE WHEN r.blob_since > $3 THEN r.blob END, r.size, FALSE, NULL
	FROM home_record r` + pageOf
	pageOf = `
	WHERE r.instance = $1 AND r.position > $2 AND ($3 > 0 OR NOT r.deleted) AND r.position <= $5 ORDER BY r.position LIMIT $4`
)

// page reads the next records after one. Contents are wanted only where they changed after a position.
func (s *Source) page(ctx context.Context, since, after operators.Position) (list []stored, err error) {
	if s.pages == nil {
		query := pageQuery
		if s.sparing {
			query = sparingQuery
		}
		if s.pages, err = s.tx.PrepareContext(context.WithoutCancel(ctx), query); err != nil {
			return nil, err
		}
	}
	rows, err := s.pages.QueryContext(ctx, s.id, int64(since), int64(after), pageRecords, int64(s.end))
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	s.arena = s.arena[:0]
	var line, blob, data sql.RawBytes
	for rows.Next() {
		var r stored
		if err := rows.Scan(&r.position, &line, &blob, &r.size, &r.inline, &data); err != nil {
			return nil, err
		}
		r.wanted, r.line, r.data = blob != nil, bytes.Clone(line), s.keep(data)
		list = append(list, r)
	}
	return list, rows.Err()
}

// keep copies bytes to where they stay until the next page.
func (s *Source) keep(b []byte) []byte {
	start := len(s.arena)
	s.arena = append(s.arena, b...)
	return s.arena[start:len(s.arena):len(s.arena)]
}

func (s *Source) item(ctx context.Context, row stored, after operators.Position) (operators.Item, error) {
	h := held{line: row.line}
	record, err := h.record()
	if err != nil || !row.wanted {
		return operators.Item{Record: record}, err
	}
	item := operators.Item{Record: record}
	switch {
	case row.inline || row.size == 0:
		item.Content = func() (io.ReadCloser, error) { return inMemory{bytes.NewReader(row.data)}, nil }
		return item, nil
	case s.sparing && row.size <= smallBlob && !s.missing[record.Blob.SHA256]:
		item.Content = func() (io.ReadCloser, error) { return s.small(ctx, record.Blob.SHA256) }
		return item, nil
	}
	name := s.blobFile(record.Blob.SHA256)
	if _, err := os.Stat(name); errors.Is(err, fs.ErrNotExist) {
		return s.lacking(ctx, item)
	}
	item.Content = func() (io.ReadCloser, error) {
		f, err := os.Open(name)
		if errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("%w: %w", operators.ErrChanged, err)
		}
		return f, err
	}
	return item, nil
}

// small reads a small blob by itself.
func (s *Source) small(ctx context.Context, hash formats.Hash) (io.ReadCloser, error) {
	var data []byte
	err := s.tx.QueryRowContext(ctx, `SELECT data FROM home_blob WHERE instance = $1 AND hash = $2`, s.id, hash[:]).Scan(&data)
	return inMemory{bytes.NewReader(data)}, err
}

// inMemory is the content of a small blob.
type inMemory struct{ *bytes.Reader }

func (inMemory) Close() error { return nil }

// lacking is for a file that is not there: either it went after this Source began to read, or it is lost.
func (s *Source) lacking(ctx context.Context, item operators.Item) (operators.Item, error) {
	var one int
	err := s.home.db.Read.QueryRowContext(ctx, `SELECT 1 FROM home_blob WHERE instance = $1 AND hash = $2`, s.id, item.Record.Blob.SHA256[:]).Scan(&one)
	if errors.Is(err, sql.ErrNoRows) {
		return operators.Item{}, operators.ErrChanged
	}
	if err != nil {
		return operators.Item{}, err
	}
	item.Omissions = []operators.Omission{{
		Dataset: item.Record.Dataset, ID: item.Record.ID, Path: item.Record.Path, Code: "content-missing", Lost: true,
		Reason: "the operator does not hold its bytes any more, or holds damaged ones", Advice: "Ask the operator for the file " + item.Record.Blob.SHA256.String() + " from a backup.",
	}}
	item.Record.Blob = nil
	return item, nil
}

// States implements [operators.Stated]. Of a record whose bytes are lost it gives the state as Records gives the record:
// without them.
func (s *Source) States(ctx context.Context) iter.Seq2[formats.State, error] {
	return func(yield func(formats.State, error) bool) {
		if _, err := s.position(ctx); err != nil {
			yield(formats.State{}, err)
			return
		}
		lost, err := s.lost(ctx)
		if err != nil {
			yield(formats.State{}, err)
			return
		}
		listStates(ctx, s.tx, func(state formats.State, err error) bool {
			if without, ok := lost[string(key(state.Dataset, state.ID))]; ok && err == nil {
				state = without
			}
			return yield(state, err)
		}, `SELECT key, hash, blob FROM home_record WHERE instance = $1 AND NOT deleted ORDER BY key`, s.id)
	}
}

// small is [smallBlob] as the condition of an index has it.
const small = "65536"

// lost are the states of the records whose bytes should be in a file that is not there, by their keys.
func (s *Source) lost(ctx context.Context) (map[string]formats.State, error) {
	rows, err := s.tx.QueryContext(ctx, `
		SELECT key, blob FROM home_record WHERE instance = $1 AND NOT deleted AND blob IS NOT NULL AND size > `+small+`
		UNION ALL
		SELECT r.key, r.blob FROM home_blob b CROSS JOIN home_record r -- in this order
		WHERE b.instance = $1 AND r.instance = $1 AND r.blob = b.hash AND b.data IS NULL AND b.size > 0 AND b.size <= `+small+` AND NOT r.deleted`, s.id)
	if err != nil {
		return nil, fmt.Errorf("look for what is lost: %w", err)
	}
	defer rows.Close()
	var keys [][]byte
	var key, blob sql.RawBytes
	for rows.Next() {
		if err := rows.Scan(&key, &blob); err != nil {
			return nil, err
		}
		if _, err := os.Stat(s.blobFile(formats.Hash(blob))); errors.Is(err, fs.ErrNotExist) {
			keys = append(keys, bytes.Clone(key))
		}
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil {
		return nil, err
	}
	states := map[string]formats.State{}
	for _, key := range keys {
		if states[string(key)], err = s.without(ctx, key); err != nil {
			return nil, err
		}
	}
	return states, nil
}

// without is the state of a record as it is without its bytes.
func (s *Source) without(ctx context.Context, key []byte) (formats.State, error) {
	var h held
	if err := s.tx.QueryRowContext(ctx, `SELECT line FROM home_record WHERE instance = $1 AND key = $2`, s.id, key).Scan(&h.line); err != nil {
		return formats.State{}, fmt.Errorf("read what is lost: %w", err)
	}
	r, err := h.record()
	if err != nil {
		return formats.State{}, err
	}
	r.Blob = nil
	line, err := r.AppendLine(nil)
	return formats.State{Dataset: r.Dataset, ID: r.ID, Record: formats.HashOf(line)}, err
}

// rowsQuerier is a database or a transaction.
type rowsQuerier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

// listStates gives each row of a query as a state.
func listStates(ctx context.Context, q rowsQuerier, yield func(formats.State, error) bool, query string, arg int64) {
	rows, err := q.QueryContext(ctx, query, arg)
	if err != nil {
		yield(formats.State{}, err)
		return
	}
	defer rows.Close()
	var key, hash, blob sql.RawBytes
	for rows.Next() {
		if err := rows.Scan(&key, &hash, &blob); err != nil {
			yield(formats.State{}, err)
			return
		}
		d, id, _ := bytes.Cut(key, []byte("\t"))
		state := formats.State{Dataset: formats.Dataset(d), ID: string(id)}
		copy(state.Record[:], hash)
		copy(state.Blob[:], blob)
		if !yield(state, nil) {
			return
		}
	}
	if err := rows.Err(); err != nil {
		yield(formats.State{}, err)
	}
}
