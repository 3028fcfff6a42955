package dir

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"

	"github.com/passerelle-cloud/passerelle/operators"
)

// Source reads a folder. It holds no more in memory than a few MiB, and some 50 bytes for each record that a target
// has put into the folder.
type Source struct {
	root   *os.Root
	layout *layout // nil where no target has written into the folder
}

// Open opens the folder at path.
func Open(path string) (*Source, error) {
	root, err := os.OpenRoot(path)
	if err != nil {
		return nil, unreadable("folder", path, err)
	}
	l, err := openLayout(root)
	if err == nil && l != nil {
		err = l.checkCommitted(path)
	}
	if err != nil {
		return nil, errors.Join(err, root.Close())
	}
	return &Source{root: root, layout: l}, nil
}

// Describe implements [operators.Source]. A folder knows neither its owner nor a feed of changes.
func (s *Source) Describe(ctx context.Context) (operators.Description, error) {
	return operators.Description{}, ctx.Err()
}

// Records implements [operators.Source]. It gives the records that a target has put here, then all other files and
// folders, each folder's entries in the order of their bytes and a folder before what is in it. The position must be
// zero. Blobs of plain files have no hash: who reads them computes it. A file that changes while it is read gives an
// error wrapping [operators.ErrChanged]. Links, devices, pipes and sockets are never opened and become omissions.
func (s *Source) Records(ctx context.Context, after operators.Position) iter.Seq2[operators.Item, error] {
	return func(yield func(operators.Item, error) bool) {
		if after != 0 {
			yield(operators.Item{}, fmt.Errorf("%w: a folder keeps no feed of changes; read all of it", operators.ErrUnsupported))
			return
		}
		w := &walk{ctx: ctx, yield: yield, bodies: bodies{}}
		if s.layout == nil {
			w.folder(s.root, "", "")
			return
		}
		w.seen, w.ids, w.parents = map[digest]struct{}{}, map[digest]struct{}{}, &parents{root: s.root}
		if w.recorded(s.root, s.layout) {
			w.folder(s.root, "", "")
		}
	}
}

// Close implements [operators.Source].
func (s *Source) Close() error { return s.root.Close() }

// entryOf returns what a name stands for, without following a link; nil if it is gone.
func entryOf(root *os.Root, name string) (fs.FileInfo, error) {
	info, err := root.Lstat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return info, err
}
