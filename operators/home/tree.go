package home

import (
	"context"
	"errors"
	"fmt"
	"path"
	"strings"

	"github.com/passerelle-cloud/passerelle/formats"
	"github.com/passerelle-cloud/passerelle/operators"
)

// Transfer is something that goes, or is copied, from one path to another.
type Transfer struct {
	From, To string // with their areas
	Replace  bool   // what is at To; otherwise that gives an error wrapping [ErrTaken]
	Shallow  bool   // of a folder that is copied: without what is in it
	Guard    Guard
}

// mostCopied is how many records one copy makes.
const mostCopied = 50_000

// Move moves a file, or a folder with all that is in it, as one change. It reports whether nothing was at the new path. A
// file that replaces another one becomes that file's new state; anything else that was there goes into the trash. The
// error may wrap [ErrTaken], [ErrNoFolder], [ErrInside], or [operators.ErrNotFound] for what is to be moved.
func (i *Instance) Move(ctx context.Context, t Transfer) (created bool, err error) {
	err = i.work(ctx, t.Guard, func(c *change) error {
		from, to, err := c.ends(t)
		if err != nil {
			return err
		}
		if err := c.unlockBelow(t.From); err != nil {
			return err
		}
		if created = to == nil; !created && plainFiles(&from, to) {
			return c.supersede(from, *to, true)
		}
		if err := c.clear(to); err != nil {
			return err
		}
		if err := c.keepParent(t.From); err != nil {
			return err
		}
		return c.relocate(from, t.To)
	})
	if err != nil {
		return false, fmt.Errorf("move: %w", err)
	}
	return created, nil
}

// Copy copies a file, or a folder with all that is in it, as one change. It is otherwise like [Instance.Move].
func (i *Instance) Copy(ctx context.Context, t Transfer) (created bool, err error) {
	err = i.work(ctx, t.Guard, func(c *change) error {
		from, to, err := c.ends(t)
		if err != nil {
			return err
		}
		if created = to == nil; !created && plainFiles(&from, to) {
			return c.supersede(from, *to, false)
		}
		if err := c.clear(to); err != nil {
			return err
		}
		return c.duplicate(from, t.To, t.Shallow)
	})
	if err != nil {
		return false, fmt.Errorf("copy: %w", err)
	}
	return created, nil
}

// ends returns what is at the two ends; nothing at the second is nil.
func (c *change) ends(t Transfer) (from Entry, to *Entry, err error) {
	if from, err = c.see.Entry(c.ctx, t.From); err != nil {
		return from, nil, err
	}
	if isArea(t.From) || isArea(t.To) || t.From == t.To || strings.HasPrefix(t.To, t.From+"/") || strings.HasPrefix(t.From, t.To+"/") {
		return from, nil, ErrInside
	}
	if err := c.parent(t.To); err != nil {
		return from, nil, err
	}
	there, err := c.see.Entry(c.ctx, t.To)
	switch {
	case errors.Is(err, operators.ErrNotFound):
		return from, nil, nil
	case err != nil:
		return from, nil, err
	case !t.Replace:
		return from, nil, ErrTaken
	}
	return from, &there, nil
}

func plainFiles(a, b *Entry) bool {
	return a.Record.Kind == formats.KindFile && b.Record.Kind == formats.KindFile
}

// supersede gives one file the bytes of another, as programs do that write beside a file and then put that in its place.
// The file stays what it was to albums, shares and versions.
func (c *change) supersede(from, to Entry, move bool) error {
	if from.Record.Blob == nil {
		return operators.ErrContentMissing
	}
	if move {
		if err := c.keepParent(from.Path); err != nil {
			return err
		}
		if err := c.end(&from.Record); err != nil {
			return err
		}
	}
	upload := &Upload{Blob: *from.Record.Blob} // which is here
	_, err := c.fill(to, PutFile{Upload: upload, Type: from.Record.Blob.Type, Modified: from.Record.Modified})
	return err
}

// clear throws away what is in the way.
func (c *change) clear(e *Entry) error {
	if e == nil {
		return nil
	}
	return c.discard(*e)
}

// keepParent makes a record for a folder that is there only because something is in it, which is about to leave.
func (c *change) keepParent(p string) error {
	dir := dirOf(p)
	e, err := c.see.Entry(c.ctx, dir)
	if err != nil || isArea(dir) || e.Record.ID != "" {
		return err
	}
	return c.folder(dir)
}

// relocate gives something, and all that is below it, other paths.
func (c *change) relocate(e Entry, to string) error {
	if e.Record.ID != "" {
		if err := c.reposition(e.Record, to); err != nil {
			return err
		}
	}
	if !e.Folder {
		return nil
	}
	return c.see.walk(c.ctx, e.Path, func(rows []placed) ([]byte, error) {
		for _, r := range rows {
			if err := c.reposition(r.Record, to+r.Path[len(e.Path):]); err != nil {
				return nil, err
			}
		}
		return nil, nil
	})
}

func (c *change) reposition(r formats.Record, to string) error {
	restore := ""
	if area, _ := formats.SplitPath(to); area == formats.Trash {
		restore = r.Path
		if from, rest := formats.SplitPath(r.Path); from == formats.Tree {
			restore = dirOf(rest)
		}
	}
	r.Path = to
	body, err := rehoused(r, restore)
	if err != nil {
		return err
	}
	r.Body = body
	return c.put(&r)
}

// duplicate makes copies with ids of their own. The documents of their origin stay with what they are about.
func (c *change) duplicate(e Entry, to string, shallow bool) error {
	if e.Record.ID == "" {
		if err := c.folder(to); err != nil {
			return err
		}
	} else if err := c.double(e.Record, to); err != nil {
		return err
	}
	if !e.Folder || shallow {
		return nil
	}
	n := 0
	return c.see.walk(c.ctx, e.Path, func(rows []placed) ([]byte, error) {
		if n += len(rows); n > mostCopied {
			return nil, fmt.Errorf("copy more than %d things: %w", mostCopied, ErrTooMany)
		}
		for _, r := range rows {
			if err := c.double(r.Record, to+r.Path[len(e.Path):]); err != nil {
				return nil, err
			}
		}
		return nil, nil
	})
}

func (c *change) double(r formats.Record, to string) error {
	r.ID, r.Native, r.Created = newID(), nil, c.now
	return c.reposition(r, to)
}

// Discard throws away a file, or a folder with all that is in it: into the trash, and out of the trash for good. Of the
// trash itself it empties the whole.
func (i *Instance) Discard(ctx context.Context, p string, guard Guard) error {
	err := i.work(ctx, guard, func(c *change) error {
		e, err := c.see.Entry(c.ctx, p)
		if err != nil {
			return err
		}
		if p == string(formats.Tree) {
			return ErrInside
		}
		return errors.Join(c.keepParent(p), c.unlockBelow(p), c.discard(e))
	})
	if err != nil {
		return fmt.Errorf("throw away: %w", err)
	}
	return nil
}

func (c *change) discard(e Entry) error {
	if area, _ := formats.SplitPath(e.Path); area == formats.Trash {
		return c.endAll(e)
	}
	to := formats.Trash.Place(path.Base(e.Path))
	if _, err := c.see.Entry(c.ctx, to); err == nil {
		if to, err = c.freePath(to, []byte(newID())); err != nil {
			return err
		}
	} else if !errors.Is(err, operators.ErrNotFound) {
		return err
	}
	return c.relocate(e, to)
}

// endAll buries something, all that is below it, and the versions that were made of it here.
func (c *change) endAll(e Entry) error {
	err := c.see.walk(c.ctx, e.Path, func(rows []placed) ([]byte, error) {
		for _, r := range rows {
			if err := c.endOne(r.Record); err != nil {
				return nil, err
			}
		}
		return nil, nil
	})
	if err != nil || e.Record.ID == "" {
		return err
	}
	return c.endOne(e.Record)
}

func (c *change) endOne(r formats.Record) error {
	if r.Kind == formats.KindFile {
		versions, err := c.see.List(c.ctx, formats.Versions.Place(r.ID))
		if err != nil {
			return err
		}
		for _, v := range versions {
			if v.Record.Kind == formats.KindVersion {
				if err := c.end(&v.Record); err != nil {
					return err
				}
			}
		}
	}
	return c.end(&r)
}

// rehoused returns a body that says where something was thrown away from, and no longer what its path was before.
func rehoused(r formats.Record, restore string) ([]byte, error) {
	switch r.Kind {
	case formats.KindFile:
		return rebody(r, func(f *formats.File) bool {
			same := f.RestorePath == restore && f.NameBytes == nil
			f.RestorePath, f.NameBytes = restore, nil
			return same
		})
	case formats.KindFolder:
		return rebody(r, func(f *formats.Folder) bool {
			same := f.RestorePath == restore && f.NameBytes == nil
			f.RestorePath, f.NameBytes = restore, nil
			return same
		})
	case formats.KindNote:
		return rebody(r, func(n *formats.Note) bool {
			same := n.RestorePath == restore
			n.RestorePath = restore
			return same
		})
	}
	return r.Body, nil
}

// rebody changes a body; what change says is the same stays as it is to the byte.
func rebody[T any](r formats.Record, change func(*T) (same bool)) ([]byte, error) {
	b, err := formats.BodyAs[T](r)
	if err != nil {
		return nil, err
	}
	if change(&b) {
		return r.Body, nil
	}
	return formats.MarshalBody(b)
}
