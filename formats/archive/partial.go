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
	p.lock = flock.New(p.path + ".lock")
	if ok, err := p.lock.TryLock(); err != nil || !ok {
		return nil, errors.Join(fmt.Errorf("%s is being written by another process", out), err)
	}
	if err := p.prepare(); err != nil {
		return nil, errors.Join(err, p.unlock())
	}
	return p, nil
}

// prepare makes the folder, in the place of one that a run left that was killed.
func (p *partialDir) prepare() error {
	if err := p.takeBack(); err != nil {
		return fmt.Errorf("take back what an interrupted export put in place: %w", err)
	}
	for _, name := range p.finals() {
		if _, err := os.Lstat(name); err == nil {
			return fmt.Errorf("%s: %w", name, ErrExists)
		}
	}
	if err := os.RemoveAll(p.path); err != nil {
		return fmt.Errorf("remove what an interrupted export left: %w", err)
	}
	return os.Mkdir(p.path, 0o700)
}

// publishing is the file in the folder that lists what is being moved out of it.
const publishing = "publishing"

// takeBack removes the files that a run put in place which was killed before the last of them: an archive is there whole
// or not at all.
func (p *partialDir) takeBack() error {
	list, err := os.ReadFile(filepath.Join(p.path, publishing))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	files := strings.Split(string(list), "\x00")
	if !p.holds(files[len(files)-1]) {
		return nil // killed before the first one, or after the last
	}
	for _, name := range files {
		if p.holds(name) {
			break // they are moved in this order
		}
		if err := os.Remove(filepath.Join(p.dir, name)); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	return nil
}

func (p *partialDir) holds(name string) bool {
	_, err := os.Lstat(filepath.Join(p.path, name))
	return err == nil
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
	if err := p.note(files); err != nil {
		return errors.Join(err, p.remove())
	}
	for _, name := range files {
		if err := os.Rename(filepath.Join(p.path, name), filepath.Join(p.dir, name)); err != nil {
			return errors.Join(fmt.Errorf("put %s in place: %w", name, err), p.remove())
		}
	}
	return errors.Join(syncDir(p.dir), p.remove())
}

// note says in the folder what will be moved out of it. Only a list that is whole has that name.
func (p *partialDir) note(files []string) error {
	at := filepath.Join(p.path, publishing)
	if err := os.WriteFile(at+".new", []byte(strings.Join(files, "\x00")), 0o600); err != nil {
		return err
	}
	return os.Rename(at+".new", at)
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
