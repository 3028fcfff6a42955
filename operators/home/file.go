package home

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/passerelle-cloud/passerelle/formats"
	"github.com/passerelle-cloud/passerelle/operators"
)

// PutFile is a file that a person puts at a path.
type PutFile struct {
	Path     string // with its area
	Upload   *Upload
	Type     string    // media type, "" if unknown
	Modified time.Time // zero: now
	Guard    Guard
}

// PutFile puts a file at a path, in a folder that is there. What the file held before stays as a version, and what it is
// besides its bytes stays. It returns what is there now, and whether nothing was there before. The error may wrap
// [ErrQuota], [ErrNoFolder], [ErrFolder], [ErrNote] or [operators.ErrReadOnly].
func (i *Instance) PutFile(ctx context.Context, p PutFile) (e Entry, created bool, err error) {
	err = i.work(ctx, p.Guard, func(c *change) error {
		now, err := c.room(p.Path)
		if err != nil {
			return err
		}
		created = now == nil
		if now == nil {
			now = &Entry{Path: p.Path, Record: newFile(p.Path, c.now)}
		}
		if p.Modified.IsZero() {
			p.Modified = c.now
		}
		e, err = c.fill(*now, p)
		return err
	})
	if err != nil {
		return Entry{}, false, fmt.Errorf("put a file: %w", err)
	}
	return e, created, nil
}

func newFile(p string, now time.Time) formats.Record {
	return formats.Record{ID: newID(), Dataset: formats.Files, Kind: formats.KindFile, Path: p, Created: now, Body: []byte(`{}`)}
}

// room returns the file that is at a path, nil if nothing is, where a file can be put.
func (c *change) room(p string) (*Entry, error) {
	if err := c.parent(p); err != nil {
		return nil, err
	}
	e, err := c.see.Entry(c.ctx, p)
	switch {
	case errors.Is(err, operators.ErrNotFound):
		return nil, nil
	case err != nil:
		return nil, err
	case e.Folder:
		return nil, ErrFolder
	case e.Record.Kind != formats.KindFile:
		return nil, ErrNote
	}
	return &e, nil
}

// parent finds out whether the folder is there that a path is in.
func (c *change) parent(p string) error {
	if len(p) > longestPath {
		return fmt.Errorf("%w: a path of %d bytes; use at most %d", formats.ErrInvalid, len(p), longestPath)
	}
	e, err := c.see.Entry(c.ctx, dirOf(p))
	if errors.Is(err, operators.ErrNotFound) || err == nil && !e.Folder {
		return ErrNoFolder
	}
	return err
}

// fill gives a file other bytes.
func (c *change) fill(now Entry, p PutFile) (Entry, error) {
	r, before := now.Record, now.Record.Blob
	same := before != nil && before.SHA256 == p.Upload.Blob.SHA256
	if !same {
		if err := c.succeed(&now.Record, p.Upload); err != nil {
			return Entry{}, err
		}
		if err := refresh(&r, p.Type); err != nil {
			return Entry{}, err
		}
		blob := p.Upload.Blob
		blob.Type = p.Type
		r.Blob = &blob
	}
	r.Modified = p.Modified
	if err := c.put(&r); err != nil {
		return Entry{}, err
	}
	return c.see.Entry(c.ctx, r.Path)
}

// refresh forgets what was known of a file's former bytes.
func refresh(r *formats.Record, mediaType string) error {
	f, err := formats.BodyAs[formats.File](*r)
	if err != nil {
		return err
	}
	f.MediaType, f.Checksums, f.Metadata, f.Encrypted = mediaType, nil, nil, false
	r.Body, err = formats.MarshalBody(f)
	return err
}

// mostVersions is how many earlier states of a file stay of those that were made here.
const mostVersions = 10

// ownVersion begins the last part of the id of a version that was made here. Those that archives brought stay.
const ownVersion = "w-"

// succeed stores the bytes of an upload, and keeps those that a file has as a version. Versions give way where there is
// no room for the new bytes.
func (c *change) succeed(r *formats.Record, u *Upload) error {
	old, err := c.versions(r.ID)
	if err != nil {
		return err
	}
	has, err := c.hasBlob(u.Blob.SHA256)
	if err != nil {
		return err
	}
	for ; len(old) >= mostVersions || len(old) > 0 && !has && !c.fits(u.Blob.Size); old = old[1:] {
		if err := c.end(&old[0].Record); err != nil {
			return err
		}
		if has {
			continue // the bytes may be these; what is not needed goes at the end
		}
		if err := c.dropRows([]formats.Blob{*old[0].Record.Blob}); err != nil {
			return err
		}
	}
	if err := c.take(u); err != nil {
		return err
	}
	if r.Blob == nil || r.Blob.Size == 0 {
		return nil // many programs make an empty file first
	}
	return c.version(r)
}

// versions returns the versions of a file that were made here, the oldest first.
func (c *change) versions(id string) (list []Entry, err error) {
	all, err := c.see.List(c.ctx, formats.Versions.Place(id))
	for _, e := range all {
		if e.Record.Kind == formats.KindVersion && e.Record.Blob != nil && strings.HasPrefix(e.Name(), ownVersion) {
			list = append(list, e)
		}
	}
	slices.SortStableFunc(list, func(a, b Entry) int { return strings.Compare(a.Name(), b.Name()) })
	return list, err
}

// version keeps the present bytes of a file as a version.
func (c *change) version(r *formats.Record) error {
	f, err := formats.BodyAs[formats.File](*r)
	if err != nil {
		return err
	}
	body, err := formats.MarshalBody(formats.Version{Tags: f.Tags, Checksums: f.Checksums, Metadata: f.Metadata})
	if err != nil {
		return err
	}
	// The position grows with each change, so the names are in the order of the changes.
	id := fmt.Sprintf("%s/%s%016x", r.ID, ownVersion, c.position)
	path := formats.Versions.Place(id)
	if len(id) > 512 {
		id = newID()
	}
	return c.put(&formats.Record{
		ID: id, Dataset: formats.Files, Kind: formats.KindVersion, Path: path, Modified: r.Modified, Blob: r.Blob, Body: body,
		Links: []formats.Link{{Rel: "file", Dataset: r.Dataset, ID: r.ID}},
	})
}

// MakeFolder makes a folder in one that is there. The error may wrap [ErrTaken] or [ErrNoFolder].
func (i *Instance) MakeFolder(ctx context.Context, p string, guard Guard) error {
	err := i.work(ctx, guard, func(c *change) error {
		if err := c.parent(p); err != nil {
			return err
		}
		_, err := c.see.Entry(c.ctx, p)
		if err == nil {
			return ErrTaken
		}
		if !errors.Is(err, operators.ErrNotFound) {
			return err
		}
		return c.folder(p)
	})
	if err != nil {
		return fmt.Errorf("make a folder: %w", err)
	}
	return nil
}

func (c *change) folder(p string) error {
	return c.put(&formats.Record{ID: newID(), Dataset: formats.Files, Kind: formats.KindFolder, Path: p, Created: c.now, Modified: c.now, Body: []byte(`{}`)})
}

// Touch says when a file was last changed.
func (i *Instance) Touch(ctx context.Context, p string, modified time.Time, guard Guard) error {
	return i.work(ctx, guard, func(c *change) error {
		e, err := c.see.Entry(c.ctx, p)
		if err != nil || e.Record.ID == "" {
			return err
		}
		e.Record.Modified = modified
		return c.put(&e.Record)
	})
}
