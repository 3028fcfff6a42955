package archive

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// folder reads a bag that somebody unpacked.
type folder struct{ root string }

func (f *folder) repacked() bool { return true }

func (f *folder) walk(ctx context.Context, visit func(*entry) error, _ func(Fault)) error {
	root, err := os.OpenRoot(f.root)
	if err != nil {
		return err
	}
	defer root.Close()
	return fs.WalkDir(root.FS(), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if !d.Type().IsRegular() {
			return fmt.Errorf("%w: %s is a link or another thing that no archive of ours holds", ErrFault, name)
		}
		file, err := root.Open(name)
		if err != nil {
			return err
		}
		defer file.Close()
		info, err := file.Stat()
		if err != nil {
			return err
		}
		return visit(&entry{name: filepath.ToSlash(filepath.Join("bag", name)), size: info.Size(), body: file})
	})
}
