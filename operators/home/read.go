package home

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"iter"
	"strings"

	"github.com/passerelle-cloud/passerelle/formats"
	"github.com/passerelle-cloud/passerelle/operators"
)

// Reader reads parts of an instance as it stands now, for those who may see some of it. Any number of goroutines may
// use one. What each of them may see is not its affair: it gives whatever it is asked for.
//
// A walk takes the database only while it reads a page, never while it hands out what it has read, so that a slow
// consumer hinders nobody. Each page is one state of the instance, the walk as a whole is not; where that matters, ask
// for the Position before a walk, and for the Changes after that position when it is over.
//
// Everything gives an error wrapping [operators.ErrNotFound] once the instance is deleted; a walk that meets a
// deletion ends with it, and never as if it had been whole.
type Reader struct{ i *Instance }

// Reader returns the instance to be read in parts.
func (i *Instance) Reader() *Reader { return &Reader{i: i} }

// Position returns the position of the last change.
func (r *Reader) Position(ctx context.Context) (operators.Position, error) {
	return r.i.standsAt(ctx, r.i.home.db.Read)
}

// Record returns a record that is no tombstone, with bytes of its own, or an error wrapping [operators.ErrNotFound].
func (r *Reader) Record(ctx context.Context, d formats.Dataset, id string) (operators.Line, error) {
	l := operators.Line{Dataset: d, ID: id}
	var hash []byte
	err := r.i.home.db.Read.QueryRowContext(ctx, `
		SELECT position, hash, line FROM home_record WHERE instance = $1 AND key = $2 AND NOT deleted`,
		r.i.id, key(d, id)).Scan(&l.Position, &hash, &l.Bytes)
	if errors.Is(err, sql.ErrNoRows) {
		if _, err = r.Position(ctx); err == nil {
			err = operators.ErrNotFound
		}
	}
	if err != nil {
		return operators.Line{}, fmt.Errorf("read %s/%s: %w", d, id, err)
	}
	copy(l.Hash[:], hash)
	return l, nil
}

// Dataset walks the records of a dataset, tombstones left out, in the order of the bytes of their ids: those after an
// id, which need not exist, or all after "". A record that is there all the while is given once, as it was at some
// moment of the walk.
func (r *Reader) Dataset(ctx context.Context, d formats.Dataset, after string) iter.Seq2[operators.Line, error] {
	const query = `
		SELECT key, position, deleted, hash, line FROM home_record
		WHERE instance = $1 AND key > $2 AND key < $3 AND NOT deleted ORDER BY key LIMIT $4`
	end := append([]byte(d), '\t'+1)
	return func(yield func(operators.Line, error) bool) {
		r.walk(ctx, query, operators.Line{ID: after}, func(last *operators.Line, limit int) []any {
			return []any{r.i.id, key(d, last.ID), end, limit}
		}, yield)
	}
}

// Changes walks what was last changed after one position and up to another, in the datasets that are named and no
// others, in the order of the positions. Tombstones are included, unless it is asked for all that changed after 0.
//
// Whoever has seen the walk's end knows the datasets up to the second position, that of [Reader.Position] or
// [Reader.Wait] before the walk; whoever leaves it, up to the position of the last line. What changes during the walk
// gets a later position, and is not given. A position that the instance has not reached gives an error wrapping
// [operators.ErrUnsupported].
func (r *Reader) Changes(ctx context.Context, after, upTo operators.Position, datasets []formats.Dataset) iter.Seq2[operators.Line, error] {
	return func(yield func(operators.Line, error) bool) {
		at, err := r.Position(ctx)
		if asked := max(after, upTo); err == nil && asked > at {
			err = ahead(at, asked)
		}
		if err != nil {
			yield(operators.Line{}, err)
			return
		}
		if len(datasets) == 0 {
			return
		}
		r.walk(ctx, changesQuery(len(datasets)), operators.Line{Position: after}, func(last *operators.Line, limit int) []any {
			args := []any{r.i.id, int64(last.Position), int64(upTo), limit}
			for _, d := range datasets {
				args = append(args, string(d))
			}
			return args
		}, func(l operators.Line, err error) bool {
			return after == 0 && l.Deleted || yield(l, err)
		})
	}
}

// changesQuery reads the changes in n datasets. Others come without their line, so that each page gets further however
// little of it is wanted.
func changesQuery(n int) string {
	var wanted strings.Builder
	for d := range n {
		if d > 0 {
			wanted.WriteString(", ")
		}
		fmt.Fprintf(&wanted, "$%d", 5+d)
	}
	return `
		SELECT key, position, deleted, hash, CASE WHEN dataset IN (` + wanted.String() + `) THEN line END FROM home_record
		WHERE instance = $1 AND position > $2 AND position <= $3 ORDER BY position LIMIT $4`
}

// walk hands out the lines of a query, page by page. args are the query's arguments for up to limit lines after one.
func (r *Reader) walk(ctx context.Context, query string, last operators.Line, args func(last *operators.Line, limit int) []any, yield func(operators.Line, error) bool) {
	p := linePage{limit: firstLines}
	for more := true; more; {
		var err error
		if more, err = p.read(ctx, r.i.home.db.Read, query, args(&last, p.limit)); err != nil {
			yield(operators.Line{}, fmt.Errorf("read the records of %q: %w", r.i.name, err))
			return
		}
		for _, last = range p.lines {
			if last.Bytes != nil && !yield(last, nil) {
				return
			}
		}
	}
	// A deleted instance has no records either.
	if _, err := r.Position(ctx); err != nil {
		yield(operators.Line{}, err)
	}
}

// A walk begins with few lines, since many want no more, and reads more and more at once. A page that has come to
// enoughBytes ends there.
const (
	firstLines  = 64
	mostLines   = 512
	enoughBytes = 1 << 20
)

// linePage is a page of lines, in memory that the next page uses again.
type linePage struct {
	limit int // of the next page
	lines []operators.Line
	arena []byte // what the lines are in
}

// read reads the next page, and reports whether there may be more.
func (p *linePage) read(ctx context.Context, db *sql.DB, query string, args []any) (more bool, err error) {
	p.lines, p.arena = p.lines[:0], p.arena[:0]
	rows, err := db.QueryContext(ctx, query, args...)
	if err != nil {
		return false, err
	}
	defer rows.Close()
	for len(p.arena) < enoughBytes && rows.Next() {
		if err := p.add(rows); err != nil {
			return false, err
		}
	}
	more = len(p.lines) == p.limit
	if len(p.arena) >= enoughBytes {
		// PostgreSQL sends a page to its end even if nobody reads it: ask for less.
		p.limit, more = len(p.lines), true
	} else {
		p.limit = min(2*p.limit, mostLines)
	}
	return more, rows.Err()
}

// add adds a row of key, position, deleted, hash, line.
func (p *linePage) add(rows *sql.Rows) error {
	var key, hash, line sql.RawBytes
	var l operators.Line
	if err := rows.Scan(&key, &l.Position, &l.Deleted, &hash, &line); err != nil {
		return err
	}
	d, id, _ := bytes.Cut(key, []byte("\t"))
	l.Dataset, l.ID = formats.Dataset(d), string(id)
	copy(l.Hash[:], hash)
	if line != nil {
		start := len(p.arena)
		p.arena = append(p.arena, line...)
		l.Bytes = p.arena[start:len(p.arena):len(p.arena)]
	}
	p.lines = append(p.lines, l)
	return nil
}
