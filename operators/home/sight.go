package home

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path"
	"strings"

	"github.com/passerelle-cloud/passerelle/formats"
	"github.com/passerelle-cloud/passerelle/operators"
)

// Sight is the person's trees as they stand: for one who looks, or, inside a change, for the change's guard.
type Sight struct {
	i *Instance
	q rowsQuerier
}

// Sight returns the trees to look at. Each question is answered as things stand then.
func (i *Instance) Sight() *Sight { return &Sight{i: i, q: i.home.db.Read} }

// Entry is what is at a path.
type Entry struct {
	Path   string // with its area, see [formats.Area]
	Folder bool
	Record formats.Record // ID is empty where a folder is there only because something is in it
	Hash   formats.Hash   // of the record's line
}

// Name returns the last part of the path.
func (e *Entry) Name() string { return path.Base(e.Path) }

// Size returns how many bytes a file has.
func (e *Entry) Size() int64 {
	if e.Record.Blob == nil {
		return 0
	}
	return e.Record.Blob.Size
}

// isArea reports whether a path is an area as a whole.
func isArea(p string) bool { return !strings.Contains(p, "/") }

// dirOf returns the folder that a path is in. Unlike path.Dir it cleans nothing.
func dirOf(p string) string { return p[:max(strings.LastIndexByte(p, '/'), 0)] }

// Entry returns what is at a path, or an error wrapping [operators.ErrNotFound].
func (s *Sight) Entry(ctx context.Context, p string) (Entry, error) {
	if isArea(p) {
		return Entry{Path: p, Folder: true}, nil
	}
	e, err := s.at(ctx, p)
	if !errors.Is(err, operators.ErrNotFound) {
		return e, err
	}
	some, err := s.hasBelow(ctx, p)
	if err != nil {
		return Entry{}, err
	}
	if !some {
		return Entry{}, operators.ErrNotFound
	}
	return Entry{Path: p, Folder: true}, nil
}

// at returns the record at a path.
func (s *Sight) at(ctx context.Context, p string) (Entry, error) {
	rows, err := s.page(ctx, place(p), append(place(p), 0), 1)
	if err != nil {
		return Entry{}, err
	}
	if len(rows) == 0 {
		return Entry{}, operators.ErrNotFound
	}
	return rows[0].Entry, nil
}

// placed is an entry with its place in the index.
type placed struct {
	Entry
	place []byte
}

// page reads the records whose places are from one to before another.
func (s *Sight) page(ctx context.Context, from, to []byte, limit int) (list []placed, err error) {
	rows, err := s.q.QueryContext(ctx, `
		SELECT place, hash, line FROM home_record WHERE instance = $1 AND place >= $2 AND place < $3 ORDER BY place LIMIT $4`, s.i.id, from, to, limit)
	if err != nil {
		return nil, fmt.Errorf("look into %q: %w", s.i.name, err)
	}
	defer rows.Close()
	var at, hash, line sql.RawBytes
	for rows.Next() {
		if err := rows.Scan(&at, &hash, &line); err != nil {
			return nil, err
		}
		h := held{line: bytes.Clone(line)}
		r, err := h.record()
		if err != nil {
			return nil, err
		}
		p := placed{Entry: Entry{Path: r.Path, Folder: r.Kind == formats.KindFolder, Record: r}, place: bytes.Clone(at)}
		copy(p.Hash[:], hash)
		list = append(list, p)
	}
	return list, rows.Err()
}

// span returns between which places everything is that is below a path, and whether nothing else is there.
func span(p string) (from, to []byte, exact bool) {
	if from, to = below(p); from != nil {
		return from, to, true
	}
	// Places of long paths are cut, and a hash of 32 bytes follows.
	from = []byte(p[:longestPlace])
	return from, append([]byte(p[:longestPlace]), bytes.Repeat([]byte{0xff}, len(formats.Hash{})+1)...), false
}

// walk gives what is below a path, page by page: each record, not the folders that have none. The next page begins where
// each says, if that is further on.
func (s *Sight) walk(ctx context.Context, p string, each func([]placed) (next []byte, err error)) error {
	from, to, _ := span(p)
	for {
		rows, err := s.page(ctx, from, to, page)
		if err != nil || len(rows) == 0 {
			return err
		}
		next := append(rows[len(rows)-1].place, 0)
		full := len(rows) == page
		jump, err := each(inside(rows, p))
		if err != nil || !full {
			return err
		}
		if from = next; bytes.Compare(jump, from) > 0 {
			from = jump
		}
	}
}

// inside keeps those rows that are below a path.
func inside(rows []placed, p string) []placed {
	kept := rows[:0]
	for _, r := range rows {
		if strings.HasPrefix(r.Path, p+"/") {
			kept = append(kept, r)
		}
	}
	return kept
}

func (s *Sight) hasBelow(ctx context.Context, p string) (some bool, err error) {
	if from, to, exact := span(p); exact {
		rows, err := s.page(ctx, from, to, 1)
		return len(rows) > 0, err
	}
	err = s.walk(ctx, p, func(rows []placed) ([]byte, error) {
		some = some || len(rows) > 0
		return nil, nil
	})
	return some, err
}

// List returns what is in a folder, in the order of the bytes of the paths. What is deeper is passed over, not read.
func (s *Sight) List(ctx context.Context, folder string) (list []Entry, err error) {
	seen := map[string]int{}
	err = s.walk(ctx, folder, func(rows []placed) (jump []byte, err error) {
		for _, r := range rows {
			name, _, deeper := strings.Cut(r.Path[len(folder)+1:], "/")
			child := folder + "/" + name
			jump = nil
			if deeper {
				r.Entry = Entry{Path: child, Folder: true}
				_, jump = below(child)
			}
			if at, twice := seen[name]; !twice {
				seen[name] = len(list)
				list = append(list, r.Entry)
			} else if !deeper {
				list[at] = r.Entry
			}
		}
		return jump, nil
	})
	return list, err
}

// Room returns how many bytes of blobs the instance holds, and how many it may hold; 0 means no limit.
func (i *Instance) Room(ctx context.Context) (used, quota int64, err error) {
	err = i.home.db.Read.QueryRowContext(ctx, `SELECT used, quota FROM home_instance WHERE id = $1`, i.id).Scan(&used, &quota)
	if errors.Is(err, sql.ErrNoRows) {
		err = i.gone()
	}
	return used, quota, err
}

// ReadOnly reports whether the instance is read-only now. A change finds that out by itself; this is for who would send
// much first.
func (i *Instance) ReadOnly(ctx context.Context) (readOnly bool, err error) {
	err = i.home.db.Read.QueryRowContext(ctx, `SELECT read_only OR held FROM home_instance WHERE id = $1`, i.id).Scan(&readOnly)
	if errors.Is(err, sql.ErrNoRows) {
		err = i.gone()
	}
	return readOnly, err
}
