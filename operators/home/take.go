package home

import (
	"bytes"
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"github.com/passerelle-cloud/passerelle/formats"
	"github.com/passerelle-cloud/passerelle/operators"
)

// Blobs implements [operators.Listing].
func (s *Source) Blobs(ctx context.Context, after formats.Hash, most int) (list []formats.Blob, err error) {
	rows, err := s.home.db.Read.QueryContext(ctx, `
		SELECT b.hash, b.size FROM home_blob b WHERE b.instance = $1 AND b.hash > $2
			AND EXISTS (SELECT 1 FROM home_record r WHERE r.instance = $1 AND r.blob = b.hash)
		ORDER BY b.hash LIMIT $3`, s.id, after[:], most)
	if err != nil {
		return nil, fmt.Errorf("list the blobs: %w", err)
	}
	return blobsOf(rows)
}

func blobsOf(rows *sql.Rows) (list []formats.Blob, err error) {
	defer rows.Close()
	for rows.Next() {
		var hash []byte
		var b formats.Blob
		if err := rows.Scan(&hash, &b.Size); err != nil {
			return nil, err
		}
		b.SHA256 = formats.Hash(hash)
		list = append(list, b)
	}
	return list, rows.Err()
}

// Contents implements [operators.Listing]. It takes the database only while it reads some small ones, never while it hands them
// out.
func (s *Source) Contents(ctx context.Context, hashes []formats.Hash) iter.Seq2[operators.Content, error] {
	return func(yield func(operators.Content, error) bool) {
		ctx := context.WithoutCancel(ctx) // for short queries, which need nobody to watch over them
		find, err := s.home.db.Read.PrepareContext(ctx, findSome)
		if err != nil {
			yield(operators.Content{}, fmt.Errorf("find contents: %w", err))
			return
		}
		defer find.Close()
		read := somes.Get().(*some)
		defer somes.Put(read)
		for asked := range slices.Chunk(hashes, someBlobs) {
			if err := read.from(ctx, find, s.id, asked); err != nil {
				yield(operators.Content{}, fmt.Errorf("read contents: %w", err))
				return
			}
			for _, hash := range asked {
				c, err := read.open(s.Instance, hash)
				if err != nil {
					continue // a walk tells what is the matter with it
				}
				if !yield(c, nil) {
					return
				}
			}
		}
	}
}

// someBlobs is how many blobs are looked for at once: those that are small take a megabyte at most.
const someBlobs = 16

var findSome = `SELECT hash, size, data FROM home_blob WHERE instance = $1 AND hash IN (` + func() (list string) {
	for n := range someBlobs {
		list += fmt.Sprint(", $", n+2)
	}
	return list[2:]
}() + `)`

// some is some blobs as they were read. Their room is used again: a megabyte for each parcel.
type some struct {
	contents []byte
	rows     map[formats.Hash]someRow
}

type someRow struct {
	size, from, to int64 // from, to: of the contents; both 0: they are in a file
}

var somes = sync.Pool{New: func() any { return new(some) }}

func (s *some) from(ctx context.Context, find *sql.Stmt, instance int64, asked []formats.Hash) error {
	args := []any{instance}
	for n := range someBlobs {
		args = append(args, asked[min(n, len(asked)-1)][:])
	}
	rows, err := find.QueryContext(ctx, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	s.contents, s.rows = s.contents[:0], map[formats.Hash]someRow{}
	var hash, data sql.RawBytes
	var size int64
	for rows.Next() {
		if err := rows.Scan(&hash, &size, &data); err != nil {
			return err
		}
		from := int64(len(s.contents))
		s.contents = append(s.contents, data...)
		s.rows[formats.Hash(hash)] = someRow{size, from, from + int64(len(data))}
	}
	return rows.Err()
}

// open opens the bytes of a blob. Those of a small one are there until others are read.
func (s *some) open(i *Instance, hash formats.Hash) (operators.Content, error) {
	row, there := s.rows[hash]
	c := operators.Content{Blob: formats.Blob{SHA256: hash, Size: row.size}}
	switch has := row.to - row.from; {
	case !there:
		return c, fs.ErrNotExist
	case has == row.size:
		c.ReadSeekCloser = inMemory{bytes.NewReader(s.contents[row.from:row.to])}
		return c, nil
	case has > 0:
		return c, missing(hash, has, row.size)
	}
	f, err := openFile(i.blobFile(hash), hash, row.size)
	c.ReadSeekCloser = f
	return c, err
}

// Held returns which of some blobs the instance has that comes to be for a move. The blobs come in the order of their hashes,
// each once.
func (h *Home) Held(ctx context.Context, move string, blobs []formats.Blob) ([]formats.Hash, error) {
	i, err := h.Staged(ctx, move)
	if errors.Is(err, operators.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return i.holds(ctx, blobs)
}

// holds returns which of some blobs are here, both in the order of their hashes. Of their rows it reads no more than what
// indexes have.
func (i *Instance) holds(ctx context.Context, blobs []formats.Blob) (held []formats.Hash, err error) {
	if len(blobs) == 0 {
		return nil, nil
	}
	const query = `SELECT hash FROM home_blob WHERE instance = $1 AND hash >= $2 AND hash <= $3`
	first, last := blobs[0].SHA256, blobs[len(blobs)-1].SHA256
	have, err := hashes(ctx, i.home.db.Read, query, i.id, first[:], last[:])
	if err != nil {
		return nil, err
	}
	lost, err := hashes(ctx, i.home.db.Read, query+lostSmall, i.id, first[:], last[:])
	if err != nil {
		return nil, err
	}
	for _, b := range blobs {
		if !have[b.SHA256] || lost[b.SHA256] {
			continue
		}
		if b.Size > smallBlob {
			info, err := os.Stat(i.blobFile(b.SHA256))
			if errors.Is(err, fs.ErrNotExist) || err == nil && info.Size() != b.Size {
				continue
			}
			if err != nil {
				return nil, err
			}
		}
		held = append(held, b.SHA256)
	}
	return held, nil
}

// Owns reports whether a person has any bytes here.
func (h *Home) Owns(ctx context.Context, person string) (bool, error) {
	i, err := h.Instance(ctx, person)
	if errors.Is(err, operators.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	var one int
	err = h.db.Read.QueryRowContext(ctx, `SELECT 1 FROM home_blob WHERE instance = $1 LIMIT 1`, i.id).Scan(&one)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	return err == nil, err
}

// Take gives the instance that comes to be for a move those of some blobs that the person has here already, for good, whatever the
// person does to their own meanwhile. Each is read, and none is given that is damaged, or does not fit into the person's room. The
// blobs come in the order of their hashes, each once.
func (h *Home) Take(ctx context.Context, move, person string, blobs []formats.Blob) error {
	own, err := h.Instance(ctx, person)
	if errors.Is(err, operators.ErrNotFound) || err == nil && len(blobs) == 0 {
		return nil
	}
	if err != nil {
		return err
	}
	common, err := own.among(ctx, blobs)
	if err != nil || len(common) == 0 {
		return err
	}
	into, err := h.Stage(ctx, move, person)
	if err != nil {
		return err
	}
	unlock, err := into.lockPatiently(ctx)
	if err != nil {
		return err
	}
	t := &taking{own: own.Source(), w: newWriter(into)}
	err = t.all(ctx, common)
	t.w.mu.Lock()
	defer t.w.mu.Unlock()
	t.w.stop()
	if err == nil {
		err = t.w.commit()
	} else {
		err = errors.Join(fmt.Errorf("take what the person has: %w", err), t.w.rollback())
	}
	return errors.Join(err, unlock())
}

// among returns those of some blobs that the instance counts as its own; both are in the order of the hashes.
func (i *Instance) among(ctx context.Context, blobs []formats.Blob) (common []formats.Blob, err error) {
	first, last := blobs[0].SHA256, blobs[len(blobs)-1].SHA256
	rows, err := i.home.db.Read.QueryContext(ctx, `SELECT hash, size FROM home_blob WHERE instance = $1 AND hash >= $2 AND hash <= $3 ORDER BY hash`, i.id, first[:], last[:])
	if err != nil {
		return nil, fmt.Errorf("look what the person has: %w", err)
	}
	defer rows.Close()
	var hash sql.RawBytes
	var size int64
	for rows.Next() {
		if err := rows.Scan(&hash, &size); err != nil {
			return nil, err
		}
		for len(blobs) > 0 && bytes.Compare(blobs[0].SHA256[:], hash) < 0 {
			blobs = blobs[1:]
		}
		if len(blobs) == 0 {
			break
		}
		if b := blobs[0]; b.Size == size && bytes.Equal(b.SHA256[:], hash) {
			common = append(common, b)
		}
	}
	return common, rows.Err()
}

// taking takes bytes from one instance into another.
type taking struct {
	own *Source
	w   *writer
}

func (t *taking) all(ctx context.Context, blobs []formats.Blob) error {
	for _, b := range blobs {
		has, err := t.has(ctx, b)
		if err == nil && !has {
			err = t.one(ctx, b)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (t *taking) has(ctx context.Context, b formats.Blob) (has bool, err error) {
	err = t.w.during(ctx, func() error {
		has, err = t.w.hasBlob(b.SHA256)
		return err
	})
	return has, err
}

// one takes a blob. Damaged bytes are set aside, so that the sound ones that come with the move take their place, too.
func (t *taking) one(ctx context.Context, b formats.Blob) error {
	mine := kept{hash: b.SHA256}
	err := t.own.home.db.Read.QueryRowContext(ctx, `SELECT size, data FROM home_blob WHERE instance = $1 AND hash = $2`, t.own.id, b.SHA256[:]).Scan(&mine.size, &mine.data)
	if errors.Is(err, sql.ErrNoRows) {
		return nil // it went just now
	}
	if err != nil {
		return err
	}
	sound, err := t.own.sound(ctx, mine)
	if err != nil {
		return err
	}
	if !sound {
		return errors.Join(t.w.during(ctx, t.w.commit), t.own.setAside(ctx, mine)) // one writes at a time
	}
	if mine.data != nil || mine.size == 0 {
		_, err = t.w.putBlob(ctx, bytes.NewReader(mine.data), mine.size)
		return err
	}
	linked, err := t.link(ctx, b)
	if linked || err != nil {
		return err
	}
	return t.copy(ctx, b)
}

// link gives the file of a blob another name, and reports whether this file system can.
func (t *taking) link(ctx context.Context, b formats.Blob) (bool, error) {
	dir := t.w.i.home.blobDir(t.w.i.id)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return false, err
	}
	temporary := filepath.Join(dir, unfinished+rand.Text())
	err := os.Link(t.own.blobFile(b.SHA256), temporary)
	if errors.Is(err, fs.ErrNotExist) {
		return true, nil // it went just now, or was lost
	}
	if err != nil {
		return false, nil
	}
	defer os.Remove(temporary) // a name for the same file that is there already does not go by being given again
	return true, t.w.during(ctx, func() error { return t.w.keepFile(b, temporary) })
}

func (t *taking) copy(ctx context.Context, b formats.Blob) error {
	f, err := os.Open(t.own.blobFile(b.SHA256))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = t.w.putBlob(ctx, f, b.Size)
	return err
}

var _ operators.Listing = (*Source)(nil)
