package dir

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strings"
)

// parents looks at files below the root without following any link, and remembers the folder that it was in last.
type parents struct {
	root *os.Root
	last string // a folder known to be reached through folders alone
}

var errNotFolder = errors.New("what should be a folder is something else")

// check returns whether dir is there. An error wrapping errNotFolder says that it, or a folder on the way, is a link or
// a file.
func (p *parents) check(dir string) (bool, error) {
	if dir == "." || dir == p.last || strings.HasPrefix(p.last, dir+"/") {
		return true, nil
	}
	if ok, err := p.check(path.Dir(dir)); !ok || err != nil {
		return ok, err
	}
	info, err := lstat(p.root, dir)
	switch {
	case err != nil || info == nil:
		return false, err
	case !info.IsDir():
		return false, fmt.Errorf("%w: %q", errNotFolder, dir)
	}
	p.last = dir
	return true, nil
}

// lstat returns what is at a place, and nil if nothing is, or if only a link leads there.
func (p *parents) lstat(at string) (fs.FileInfo, error) {
	ok, err := p.check(path.Dir(at))
	if errors.Is(err, errNotFolder) || err == nil && !ok {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return lstat(p.root, at)
}

// make makes a folder and those above it.
func (p *parents) make(dir string) error {
	if ok, err := p.check(dir); ok || err != nil {
		return err
	}
	if err := p.make(path.Dir(dir)); err != nil {
		return err
	}
	if err := p.root.Mkdir(dir, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	_, err := p.check(dir)
	return err
}

// forget is called where folders may have gone.
func (p *parents) forget() { p.last = "" }
