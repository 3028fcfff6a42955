package home

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"

	"github.com/passerelle-cloud/passerelle/formats"
	"github.com/passerelle-cloud/passerelle/operators"
)

// load writes one archive, or a copy, into an instance. What it writes is seen at once.
type load struct {
	w      *writer
	origin operators.Origin
	series int64
	mark   string // of the series, in ids
	unlock func() error
	ended  bool

	moved   bool              // folders of this series have another path here
	dirs    map[string]string // paths of folders as they came, and as they are here; some of the last ones
	settled []operators.Settled
}

// open begins to write to a series that was loaded into before.
func (l *load) open() error {
	moved, err := l.w.row(`SELECT 1 FROM home_moved WHERE series = $1 LIMIT 1`, []any{l.series}, new(int))
	l.moved = moved
	return err
}

// Has implements [operators.Load].
func (l *load) Has(ctx context.Context, blob formats.Blob) (has bool, err error) {
	err = l.w.during(ctx, func() error {
		has, err = l.w.hasBlob(blob.SHA256)
		return err
	})
	return has, err
}

// Holds implements [operators.Holding].
func (l *load) Holds(ctx context.Context, blobs []formats.Blob) ([]formats.Hash, error) {
	if err := l.w.during(ctx, l.w.commit); err != nil {
		return nil, err
	}
	return l.w.i.holds(ctx, blobs)
}

// PutBlob implements [operators.Load].
func (l *load) PutBlob(ctx context.Context, content io.Reader, size int64) (formats.Blob, error) {
	return l.w.putBlob(ctx, content, size)
}

// PutRecord implements [operators.Load].
func (l *load) PutRecord(ctx context.Context, record formats.Record) (out operators.Outcome, err error) {
	err = l.w.during(ctx, func() error {
		if record.Deleted.IsZero() {
			out, err = l.put(&record)
		} else {
			out, err = l.remove(&record)
		}
		return err
	})
	return out, err
}

// put stores a record as it came.
func (l *load) put(came *formats.Record) (operators.Outcome, error) {
	line, err := came.AppendLine(l.w.line[:0])
	if err != nil {
		return refuse(came, "invalid", err.Error()), nil
	}
	l.w.line = line
	p := &putting{load: l, came: came, hash: formats.HashOf(line), record: *came, line: line}
	if came.Path != "" {
		if p.record.Path, err = l.pathHere(came); err != nil {
			return operators.Outcome{}, err
		}
	}
	if p.found, err = l.w.look(l.series, &p.record); err != nil {
		return operators.Outcome{}, err
	}
	return p.decide()
}

func refuse(r *formats.Record, code, reason string) operators.Outcome {
	return operators.Outcome{Result: operators.Refused, Record: *r, Omission: &operators.Omission{
		Dataset: r.Dataset, ID: r.ID, Path: r.Path, Code: code, Reason: reason, Lost: true,
	}}
}

// putting is a record on its way in.
type putting struct {
	*load
	came   *formats.Record
	hash   formats.Hash   // of the line as it came
	record formats.Record // as it will be here
	line   []byte         // as it came
	found  found
}

func (p *putting) decide() (operators.Outcome, error) {
	before := p.found.imported
	if before != nil && before.standing != refused && bytes.Equal(before.hash, p.hash[:]) {
		return p.present()
	}
	if p.came.Blob != nil && !p.found.hasBlob {
		code, reason := p.w.missing(p.came.Blob)
		return refuse(p.came, code, reason), p.remember(refused, nil, formats.Hash{})
	}
	if before != nil && p.untouched() {
		return p.replace()
	}
	return p.add()
}

// untouched reports whether the record that the series brought before is as the series left it.
func (p *putting) untouched() bool {
	before, now := p.found.imported, p.found.record
	if before.standing != own || !now.live() {
		return false
	}
	left := before.left
	if left == nil {
		left = before.hash
	}
	return bytes.Equal(now.hash, left)
}

// present leaves everything as it is. Whoever deleted or changed the record meanwhile keeps it so.
func (p *putting) present() (operators.Outcome, error) {
	out := operators.Outcome{Result: operators.Present, Record: *p.came}
	now := p.found.record
	if !now.live() || bytes.Equal(now.hash, p.hash[:]) {
		return out, nil
	}
	current, err := p.w.current(now.key)
	out.Record = current
	return out, err
}

// replace puts a newer state in the place of what the series brought before.
func (p *putting) replace() (operators.Outcome, error) {
	now := p.found.record
	p.record.ID = idOf(now.key)
	if p.found.obstructed(&p.record, now.key) {
		if err := p.giveWay(now.key); err != nil {
			return operators.Outcome{}, err
		}
	}
	return p.store(operators.Updated)
}

// add puts a record beside everything that is here.
func (p *putting) add() (operators.Outcome, error) {
	now := p.found.record
	if now.live() {
		if p.found.imported == nil {
			if line, err := p.record.AppendLine(nil); err != nil || isHash(now.hash, line) {
				return p.share(now, err)
			}
		}
		id, err := p.w.freeID(&p.record, p.mark)
		if err != nil {
			return operators.Outcome{}, err
		}
		p.record.ID, p.found.record = id, nil
	} else if now != nil {
		p.record.ID = idOf(now.key)
	}
	if at := keyOf(&p.record); p.found.obstructed(&p.record, at) {
		occupant, err := p.sameAsOccupant()
		if occupant != nil || err != nil {
			return p.share(occupant, err)
		}
		if err := p.giveWay(at); err != nil {
			return operators.Outcome{}, err
		}
	}
	return p.store(operators.Stored)
}

// sameAsOccupant returns what is at the record's path if it says the same: a folder, or the same bytes with the same
// body. It does not if this series brought that one, too, for the origin knows them apart.
func (p *putting) sameAsOccupant() (*held, error) {
	there := p.found.occupant
	if there == nil {
		return nil, nil
	}
	mine, err := p.w.row(`SELECT 1 FROM home_imported WHERE series = $1 AND (key = $2 AND here IS NULL OR here = $2)`, []any{p.series, there.key}, new(int))
	if mine || err != nil {
		return nil, err
	}
	if there, err = p.w.at(there.key); err != nil {
		return nil, err
	}
	r, err := there.record()
	if err != nil || r.Dataset != p.record.Dataset || r.Kind != p.record.Kind {
		return nil, err
	}
	sameBlob := r.Blob == nil && p.record.Blob == nil || r.Blob != nil && p.record.Blob != nil && r.Blob.SHA256 == p.record.Blob.SHA256
	if r.Kind == formats.KindFolder || sameBlob && bytes.Equal(r.Body, p.record.Body) {
		return there, nil
	}
	return nil, nil
}

// share makes what is here already stand for the record.
func (p *putting) share(there *held, err error) (operators.Outcome, error) {
	if err != nil {
		return operators.Outcome{}, err
	}
	r, err := p.w.current(there.key)
	if err != nil {
		return operators.Outcome{}, err
	}
	out := operators.Outcome{Result: operators.Present, Record: r}
	if r.Kind == formats.KindFolder && !bytes.Equal(r.Body, p.record.Body) {
		out.Omission = mergedFolder(p.came.Dataset, p.came.ID, p.came.Path)
	}
	return out, p.remember(shared, there.key, formats.Hash{})
}

func mergedFolder(d formats.Dataset, id, path string) *operators.Omission {
	return &operators.Omission{
		Dataset: d, ID: id, Path: path, Code: "merged", Reason: "a folder of that name is here already, and keeps its own tags and settings",
	}
}

// giveWay gives the record another path.
func (p *putting) giveWay(key []byte) error {
	free, err := p.w.freePath(p.record.Path, key)
	if err != nil {
		return err
	}
	p.record.Path = free
	if p.record.Kind == formats.KindFolder {
		return p.move(p.came.Path, free)
	}
	return nil
}

// store writes the record.
func (p *putting) store(result operators.Result) (operators.Outcome, error) {
	left, line := formats.Hash{}, p.line
	var here []byte
	if p.record.ID != p.came.ID || p.record.Path != p.came.Path {
		result = operators.Renamed
		var err error
		if line, err = p.record.AppendLine(nil); err != nil {
			return refuse(p.came, "invalid", err.Error()), nil
		}
		left = formats.HashOf(line)
		if p.record.ID != p.came.ID {
			here = keyOf(&p.record)
		}
	}
	if p.record.Kind != formats.KindFolder {
		p.forget(p.record.Path)
	}
	if err := p.w.store(&p.record, line, p.found.record); err != nil {
		return operators.Outcome{}, err
	}
	return operators.Outcome{Result: result, Record: p.record}, p.remember(own, here, left)
}

// remember writes what became of the record.
func (p *putting) remember(s standing, here []byte, left formats.Hash) error {
	var blob, wanted, leftHash []byte
	if p.came.Blob != nil {
		blob = p.came.Blob.SHA256[:]
	}
	if s == own && p.record.Path != p.came.Path {
		wanted = []byte(p.came.Path)
	}
	if !left.IsZero() {
		leftHash = left[:]
	}
	return p.w.exec(`
		INSERT INTO home_imported (series, key, hash, blob, standing, here, left_hash, wanted) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
		ON CONFLICT (series, key) DO UPDATE SET hash = excluded.hash, blob = excluded.blob, standing = excluded.standing,
			here = excluded.here, left_hash = excluded.left_hash, wanted = excluded.wanted`,
		p.series, keyOf(p.came), p.hash[:], null(blob), string(s), null(here), null(leftHash), null(wanted))
}

// remove carries out a tombstone.
func (l *load) remove(stone *formats.Record) (operators.Outcome, error) {
	if err := stone.Validate(); err != nil {
		return refuse(stone, "invalid", err.Error()), nil
	}
	out := operators.Outcome{Result: operators.Present, Record: *stone}
	p := putting{load: l, came: stone, record: *stone}
	var err error
	if p.found, err = l.w.look(l.series, stone); err != nil || p.found.imported == nil {
		return out, err
	}
	switch now := p.found.record; {
	case p.untouched():
		out.Result = operators.Removed
		r := *stone
		r.ID = idOf(now.key)
		err = l.w.bury(&r, stone.Deleted)
	case now.live() && p.found.imported.standing != refused:
		out.Result = operators.Kept
		out.Record, err = l.w.current(now.key)
	default:
		out.Result = operators.Removed
	}
	if err != nil {
		return out, err
	}
	return out, l.w.exec(`DELETE FROM home_imported WHERE series = $1 AND key = $2`, l.series, keyOf(stone))
}

func isHash(hash, line []byte) bool {
	h := formats.HashOf(line)
	return bytes.Equal(hash, h[:])
}

func idOf(key []byte) string {
	_, id, _ := strings.Cut(string(key), "\t")
	return id
}

// dirsKept is how many folders a load remembers, so as not to ask the database for each record.
const dirsKept = 4096

// pathHere returns the path of a record that came with a path, after what became of the folders that it is in.
func (l *load) pathHere(r *formats.Record) (string, error) {
	if l.moved && r.Kind == formats.KindFolder {
		if to, ok, err := l.movedTo(r.Path); ok || err != nil {
			return to, err
		}
	}
	if len(l.dirs) >= dirsKept {
		clear(l.dirs) // whole, so that of a folder that is in it those above it are, too
	}
	dir, name := path.Split(r.Path)
	dir, err := l.dirHere(strings.TrimSuffix(dir, "/"))
	return dir + "/" + name, err
}

// dirHere returns where a folder is that came with a path. A folder that has no record of its own must not be where
// something else is: it gets another name.
func (l *load) dirHere(came string) (string, error) {
	if !strings.Contains(came, "/") {
		return came, nil // an area
	}
	if here, ok := l.dirs[came]; ok {
		return here, nil
	}
	parent, name := path.Split(came)
	parent, err := l.dirHere(strings.TrimSuffix(parent, "/"))
	if err != nil {
		return "", err
	}
	here := parent + "/" + name
	to, ok, err := l.movedTo(came)
	switch {
	case err != nil:
		return "", err
	case ok:
		here = to
	default:
		if here, err = l.asFolder(came, here); err != nil {
			return "", err
		}
	}
	l.dirs[came] = here
	return here, nil
}

// asFolder returns the path that a folder gets: its own, unless something else than a folder is there.
func (l *load) asFolder(came, here string) (string, error) {
	taken, err := l.w.fileAt(here)
	if err != nil || !taken {
		return here, err
	}
	if here, err = l.w.freePath(here, []byte(came)); err != nil {
		return "", err
	}
	return here, l.move(came, here)
}

func (l *load) movedTo(came string) (string, bool, error) {
	if !l.moved {
		return "", false, nil
	}
	var to []byte
	ok, err := l.w.row(`SELECT new_path FROM home_moved WHERE series = $1 AND place = $2`, []any{l.series, place(came)}, &to)
	return string(to), ok, err
}

// move remembers that a folder has another path here.
func (l *load) move(came, here string) error {
	l.moved = true
	clear(l.dirs)
	return l.w.exec(`
		INSERT INTO home_moved (series, place, path, new_path, fresh) VALUES ($1, $2, $3, $4, TRUE)
		ON CONFLICT (series, place) DO UPDATE SET new_path = excluded.new_path`,
		l.series, place(came), []byte(came), []byte(here))
}

// forget forgets that there was a folder where something else is put now.
func (l *load) forget(here string) {
	if _, ok := l.dirs[here]; ok {
		clear(l.dirs)
	}
}

// Abort implements [operators.Load]. What was written stays for the next load of the series.
func (l *load) Abort() error {
	if l.ended {
		return nil
	}
	l.ended = true
	l.w.mu.Lock()
	defer l.w.mu.Unlock()
	l.w.stop()
	end := l.w.commit
	if l.w.broken || l.w.fault != nil {
		end = l.w.rollback
	}
	if err := errors.Join(end(), l.unlock()); err != nil {
		return fmt.Errorf("give up a load: %w", err)
	}
	return nil
}
