package archive

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/gofrs/flock"
)

// partialDir is the folder OUT.partial in which an archive comes to be. A run that was killed leaves it behind; the
// next one with the same name removes it, which a lock keeps from happening to a run that is alive.
type partialDir struct {
	path string // OUT.partial
	dir  string // where the finished files go
	base string // their common name; ends in .zip for a zip
	lock *flock.Flock
}

func openPartial(out string) (*partialDir, error) {
	dir, base := filepath.Split(out)
	base = strings.TrimSuffix(base, ".tar")
	if base == "" || base == "." || base == ".." {
		return nil, fmt.Errorf("%q is not a name for an archive: give one such as alice.zip or alice", out)
	}
	if dir == "" {
		dir = "."
	}
	p := &partialDir{path: filepath.Join(dir, base+".partial"), dir: dir, base: base}
	for _, name := range p.finals() {
		if _, err := os.Lstat(name); err == nil {
			return nil, fmt.Errorf("%s: %w", name, ErrExists)
		}
	}
	p.lock = flock.New(p.path + ".lock")
	if ok, err := p.lock.TryLock(); err != nil || !ok {
		return nil, errors.Join(fmt.Errorf("%s is being written by another process", out), err)
	}
	if err := os.RemoveAll(p.path); err != nil {
		return nil, errors.Join(fmt.Errorf("remove what an interrupted export left: %w", err), p.unlock())
	}
	if err := os.Mkdir(p.path, 0o700); err != nil {
		return nil, errors.Join(err, p.unlock())
	}
	return p, nil
}

// finals lists the names whose presence means that an archive of this name is there already.
func (p *partialDir) finals() []string {
	name := filepath.Join(p.dir, p.base)
	if strings.HasSuffix(p.base, ".zip") {
		return []string{name, name + ".age"}
	}
	return []string{name + indexSuffix, name + "-0001.tar", name + "-0001.tar.age", name + "-0001.tar.zst", name + "-0001.tar.zst.age"}
}

// publish moves the finished files to where they belong, the last one last, and removes the folder.
func (p *partialDir) publish(files []string) error {
	for _, name := range files {
		if err := os.Rename(filepath.Join(p.path, name), filepath.Join(p.dir, name)); err != nil {
			return errors.Join(fmt.Errorf("put %s in place: %w", name, err), p.remove())
		}
	}
	return errors.Join(syncDir(p.dir), p.remove())
}

func (p *partialDir) remove() error { return errors.Join(os.RemoveAll(p.path), p.unlock()) }

// unlock removes the lock's file while the lock is held: who waits for it finds another file or none.
func (p *partialDir) unlock() error { return errors.Join(os.Remove(p.lock.Path()), p.lock.Unlock()) }

// syncDir makes renames in a folder durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
