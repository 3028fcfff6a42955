package home

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"path"
	"strings"
	"time"

	"github.com/passerelle-cloud/passerelle/formats"
	"github.com/passerelle-cloud/passerelle/operators"
)

// page is how many rows are read before others are written.
const page = 500

// Finish implements [operators.Load]. Records whose own path has become free get it, links follow records that have
// another id here, and the archive is known as loaded; then blobs that no record names any more are removed.
func (l *load) Finish(ctx context.Context) error {
	if l.ended {
		return errors.New("the load has ended")
	}
	l.ended = true
	err := l.finish(ctx)
	l.w.mu.Lock()
	defer l.w.mu.Unlock()
	l.w.stop()
	if err != nil {
		err = errors.Join(err, l.w.rollback())
	}
	return errors.Join(err, l.unlock())
}

func (l *load) finish(ctx context.Context) error {
	for _, step := range []func() error{l.settle, l.relink, l.applied, l.w.commit} {
		if err := l.w.during(ctx, step); err != nil {
			return err
		}
	}
	if err := l.w.collect(ctx); err != nil {
		return fmt.Errorf("remove what is not needed any more: %w", err)
	}
	return l.w.during(ctx, l.w.commit)
}

func (l *load) applied() error {
	a := l.origin.Applied
	return l.w.exec(`UPDATE home_series SET finished = TRUE, sequence = $2, root = $3 WHERE id = $1`, l.series, a.Sequence, a.Root[:])
}

// wanting is a record that came with another path than it has.
type wanting struct {
	key, here  []byte
	hash, left []byte
	wanted     string
}

// settle gives records their own paths: in the order of these, so that a folder comes before what is in it.
func (l *load) settle() error {
	if err := l.settleFolders(); err != nil {
		return err
	}
	clear(l.dirs)
	last := wanting{key: []byte{}}
	for {
		list, err := l.wantings(last)
		if err != nil {
			return err
		}
		for _, w := range list {
			if err := l.restore(w); err != nil {
				return err
			}
		}
		if len(list) < page {
			break
		}
		last = list[len(list)-1]
	}
	return errors.Join(
		l.w.exec(`UPDATE home_imported SET wanted = NULL WHERE series = $1 AND wanted IS NOT NULL`, l.series),
		l.w.exec(`UPDATE home_moved SET fresh = FALSE WHERE series = $1 AND fresh`, l.series),
	)
}

// settleFolders forgets that folders without a record were moved, where nothing but a folder is in their way any more.
func (l *load) settleFolders() error {
	after := []byte{}
	for {
		list, err := l.freshMoves(after)
		if err != nil || len(list) == 0 {
			return err
		}
		for _, m := range list {
			if err := l.settleFolder(m); err != nil {
				return err
			}
		}
		after = list[len(list)-1].place
	}
}

// moved is a folder that has another path than it came with.
type moved struct {
	place, path, newPath []byte
}

// freshMoves lists folders that this load moved, those above others first.
func (l *load) freshMoves(after []byte) (list []moved, err error) {
	s, err := l.w.statement(`SELECT place, path, new_path FROM home_moved WHERE series = $1 AND fresh AND place > $2 ORDER BY place LIMIT $3`)
	if err != nil {
		return nil, err
	}
	rows, err := s.Query(l.series, after, page)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var m moved
		if err := rows.Scan(&m.place, &m.path, &m.newPath); err != nil {
			return nil, err
		}
		list = append(list, m)
	}
	return list, rows.Err()
}

func (l *load) settleFolder(m moved) error {
	hasRecord, err := l.w.row(`SELECT 1 FROM home_record WHERE instance = $1 AND place = $2`, []any{l.w.i.id, place(string(m.newPath))}, new(int))
	if err != nil || hasRecord {
		return err
	}
	dir, _ := path.Split(string(m.path))
	dir = strings.TrimSuffix(dir, "/")
	clear(l.dirs)
	if here, err := l.dirHere(dir); err != nil || here != dir {
		return err
	}
	if taken, err := l.w.fileAt(string(m.path)); err != nil || taken {
		return err
	}
	return l.w.exec(`DELETE FROM home_moved WHERE series = $1 AND place = $2`, l.series, m.place)
}

func (l *load) wantings(after wanting) (list []wanting, err error) {
	s, err := l.w.statement(`
		SELECT key, COALESCE(here, key), hash, COALESCE(left_hash, hash), wanted FROM home_imported
		WHERE series = $1 AND wanted IS NOT NULL AND (wanted, key) > ($2, $3) ORDER BY wanted, key LIMIT $4`)
	if err != nil {
		return nil, err
	}
	rows, err := s.Query(l.series, []byte(after.wanted), after.key, page)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var w wanting
		var wanted []byte
		if err := rows.Scan(&w.key, &w.here, &w.hash, &w.left, &wanted); err != nil {
			return nil, err
		}
		w.wanted = string(wanted)
		list = append(list, w)
	}
	return list, rows.Err()
}

// restore gives a record its own path, if that is free and the record is as this series left it.
func (l *load) restore(w wanting) error {
	now, err := l.w.at(w.here)
	if err != nil || !now.live() || !bytes.Equal(now.hash, w.left) {
		return err
	}
	r, err := now.record()
	if err != nil {
		return err
	}
	if merged, err := l.mergeFolder(w, &r); merged || err != nil {
		return err
	}
	can, err := l.canHave(w, now.folder)
	if err != nil || !can {
		return err
	}
	r.Path = w.wanted
	line, err := r.AppendLine(nil)
	if err != nil {
		return err
	}
	l.settled = append(l.settled, operators.Settled{Dataset: r.Dataset, ID: idOf(w.key), Record: r})
	return errors.Join(l.w.store(&r, line, now), l.leave(w.key, w.hash, line))
}

// mergeFolder makes one folder of two that came with one path: what is in the second belongs into the first.
func (l *load) mergeFolder(w wanting, second *formats.Record) (bool, error) {
	if second.Kind != formats.KindFolder {
		return false, nil
	}
	var key []byte
	found, err := l.w.row(`SELECT key FROM home_record WHERE instance = $1 AND place = $2 AND folder`, []any{l.w.i.id, place(w.wanted)}, &key)
	if err != nil || !found {
		return false, err
	}
	if free, err := l.unsettle(w.wanted); err != nil || !free {
		return false, err
	}
	first, err := l.w.current(key)
	if err != nil {
		return false, err
	}
	settled := operators.Settled{Dataset: second.Dataset, ID: idOf(w.key), Record: first}
	if !bytes.Equal(first.Body, second.Body) {
		settled.Omission = mergedFolder(second.Dataset, idOf(w.key), w.wanted)
	}
	l.settled = append(l.settled, settled)
	return true, errors.Join(
		l.w.bury(second, time.Now()),
		l.w.exec(`UPDATE home_imported SET standing = 'shared', here = $3, left_hash = NULL WHERE series = $1 AND key = $2`, l.series, w.key, key),
	)
}

// unsettle forgets that a folder was moved, and reports whether this load alone put things into it.
func (l *load) unsettle(path string) (bool, error) {
	earlier, err := l.w.row(`SELECT 1 FROM home_moved WHERE series = $1 AND place = $2 AND NOT fresh`, []any{l.series, place(path)}, new(int))
	if err != nil || earlier {
		return false, err
	}
	clear(l.dirs)
	return true, l.w.exec(`DELETE FROM home_moved WHERE series = $1 AND place = $2`, l.series, place(path))
}

// leave remembers how the series left a record.
func (l *load) leave(key, came, line []byte) error {
	left := formats.HashOf(line)
	if bytes.Equal(left[:], came) {
		return l.w.exec(`UPDATE home_imported SET left_hash = NULL WHERE series = $1 AND key = $2`, l.series, key)
	}
	return l.w.exec(`UPDATE home_imported SET left_hash = $3 WHERE series = $1 AND key = $2`, l.series, key, left[:])
}

func (l *load) canHave(w wanting, folder bool) (bool, error) {
	dir, _ := path.Split(w.wanted) // path.Dir would clean it
	dir = strings.TrimSuffix(dir, "/")
	if here, err := l.dirHere(dir); err != nil || here != dir {
		return false, err
	}
	if !folder {
		return l.w.free(w.wanted, w.here)
	}
	taken, err := l.w.row(`SELECT 1 FROM home_record WHERE instance = $1 AND place = $2`, []any{l.w.i.id, place(w.wanted)}, new(int))
	if err != nil || taken {
		return false, err
	}
	return l.unsettle(w.wanted)
}

// Settled implements [operators.Settling].
func (l *load) Settled() []operators.Settled { return l.settled }

// relink makes links follow records that have another id here than they came with.
func (l *load) relink() error {
	some, err := l.w.row(`SELECT 1 FROM home_imported WHERE series = $1 AND here IS NOT NULL LIMIT 1`, []any{l.series}, new(int))
	if err != nil || !some {
		return err
	}
	after := []byte{}
	for {
		list, err := l.linking(after)
		if err != nil || len(list) == 0 {
			return err
		}
		for _, i := range list {
			if err := l.relinkOne(i); err != nil {
				return err
			}
		}
		after = list[len(list)-1].key
	}
}

// linked is a record of the series that may have links.
type linked struct {
	key, here, came, line []byte
}

func (l *load) linking(after []byte) (list []linked, err error) {
	s, err := l.w.statement(`
		SELECT i.key, r.key, i.hash, r.line FROM home_imported i
		JOIN home_record r ON r.instance = $2 AND r.key = COALESCE(i.here, i.key) AND NOT r.deleted
		WHERE i.series = $1 AND i.key > $3 AND i.standing = 'own' AND r.hash = COALESCE(i.left_hash, i.hash) ORDER BY i.key LIMIT $4`)
	if err != nil {
		return nil, err
	}
	rows, err := s.Query(l.series, l.w.i.id, after, page)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var i linked
		if err := rows.Scan(&i.key, &i.here, &i.came, &i.line); err != nil {
			return nil, err
		}
		list = append(list, i)
	}
	return list, rows.Err()
}

func (l *load) relinkOne(i linked) error {
	if !bytes.Contains(i.line, []byte(`"links":[`)) {
		return nil
	}
	h := held{key: i.here, line: i.line}
	r, err := h.record()
	if err != nil {
		return err
	}
	changed := false
	for n := range r.Links {
		var here []byte
		found, err := l.w.row(`SELECT here FROM home_imported WHERE series = $1 AND key = $2 AND here IS NOT NULL`,
			[]any{l.series, key(r.Links[n].Dataset, r.Links[n].ID)}, &here)
		if err != nil {
			return err
		}
		if found {
			r.Links[n].ID, changed = idOf(here), true
		}
	}
	if !changed {
		return nil
	}
	now, err := l.w.at(i.here)
	if err != nil {
		return err
	}
	line, err := r.AppendLine(nil)
	if err != nil {
		return err
	}
	return errors.Join(l.w.store(&r, line, now), l.leave(i.key, i.came, line))
}

// Held implements [operators.Load].
func (l *load) Held(ctx context.Context) (map[formats.Dataset]formats.Count, error) {
	rows, err := l.w.i.home.db.Read.QueryContext(ctx, `
		SELECT r.dataset, count(*), count(r.blob), CAST(COALESCE(sum(r.size), 0) AS BIGINT) FROM home_imported i
		JOIN home_record r ON r.instance = $2 AND r.key = COALESCE(i.here, i.key) AND NOT r.deleted
		WHERE i.series = $1 AND i.standing <> 'refused' GROUP BY r.dataset`, l.series, l.w.i.id)
	if err != nil {
		return nil, err
	}
	return counted(rows)
}

// States implements [operators.Stated]: what the series brought, as it came.
func (l *load) States(ctx context.Context) iter.Seq2[formats.State, error] {
	return func(yield func(formats.State, error) bool) {
		if err := l.w.during(ctx, l.w.commit); err != nil {
			yield(formats.State{}, err)
			return
		}
		listStates(ctx, l.w.i.home.db.Read, yield, `SELECT key, hash, blob FROM home_imported WHERE series = $1 ORDER BY key`, l.series)
	}
}
