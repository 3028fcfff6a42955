package dir

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/passerelle-cloud/passerelle/operators"
)

// plan is the list of steps by which a load is put in place. It is on disk before the first of them is taken, and each
// step can be taken again.
type plan struct {
	file *os.File
	out  *bufio.Writer
}

// step is one step. Locations are bytes: names on disk need not be UTF-8.
type step struct {
	Do      deed      `json:"do"`
	At      []byte    `json:"at"`             // location below the root
	From    string    `json:"from,omitempty"` // in the commit folder
	OldSize int64     `json:"oldSize,omitempty"`
	OldTime time.Time `json:"oldTime,omitzero"`
	Time    time.Time `json:"time,omitzero"` // modification time of a folder
}

type deed string

const (
	doPut          deed = "put"           // a file, where nothing is
	doRemove       deed = "remove"        // a file, if it is still what was put there
	doKeep         deed = "keep"          // bytes outside of the tree
	doDrop         deed = "drop"          // such bytes
	doMakeFolder   deed = "make folder"   //
	doRemoveFolder deed = "remove folder" // if nothing is in it
)

func newPlan(stage *os.Root) (*plan, error) {
	f, err := stage.Create(stagedPlan)
	if err != nil {
		return nil, err
	}
	return &plan{file: f, out: bufio.NewWriterSize(f, 64<<10)}, nil
}

func (p *plan) add(s step) error {
	line, err := json.Marshal(s)
	if err == nil {
		_, err = p.out.Write(append(line, '\n'))
	}
	return err
}

func (p *plan) close() error {
	return errors.Join(p.out.Flush(), p.file.Close())
}

// commit carries out the plan in the commit folder.
type commit struct {
	root    *os.Root
	parents *parents
	folders []string // to be removed
}

// apply puts a decided load in place. It can be killed and begun again at any point.
func apply(root *os.Root) error {
	c := &commit{root: root, parents: &parents{root: root}}
	if err := c.each(c.files); err != nil {
		return err
	}
	c.removeFolders()
	if err := c.each(c.makeFolders); err != nil {
		return err
	}
	if err := c.each(c.dateFolders); err != nil {
		return err
	}
	if err := c.publish(); err != nil {
		return err
	}
	if err := syncTree(root); err != nil {
		return err
	}
	return root.RemoveAll(commitDir)
}

func (c *commit) each(f func(s *step, at string) error) error {
	return eachLine(c.root, commitDir+"/"+stagedPlan, func(line []byte) error {
		var s step
		if err := json.Unmarshal(line, &s); err != nil {
			return err
		}
		return f(&s, string(s.At))
	})
}

func (c *commit) files(s *step, at string) error {
	switch s.Do {
	case doPut:
		return c.put(commitDir+"/"+s.From, at)
	case doRemove:
		return c.remove(s, at)
	case doKeep:
		return c.keep(commitDir+"/"+s.From, at)
	case doDrop:
		return ignoreMissing(c.root.Remove(at))
	case doRemoveFolder:
		c.folders = append(c.folders, at)
	}
	return nil
}

// put gives a file a second name, which fails where anything is; the first goes with the commit folder.
func (c *commit) put(from, at string) error {
	info, err := lstat(c.root, from)
	if err != nil || info == nil {
		return err // moved by an earlier attempt
	}
	if err := c.parents.make(path.Dir(at)); err != nil {
		return inTheWay(at, err)
	}
	err = c.root.Link(from, at)
	if err == nil {
		return nil
	}
	there, errStat := lstat(c.root, at)
	switch {
	case errStat != nil:
		return errStat
	case there != nil && os.SameFile(info, there):
		return nil
	case there != nil:
		return inTheWay(at, fs.ErrExist)
	}
	return c.root.Rename(from, at) // a disk without hard links
}

func inTheWay(at string, err error) error {
	return fmt.Errorf("%w: %q has come to be while the import ran (%w): move it elsewhere and run the import again", operators.ErrChanged, at, err)
}

func (c *commit) remove(s *step, at string) error {
	info, err := c.parents.lstat(at)
	if err != nil || info == nil || !untouched(info, s.OldSize, s.OldTime) {
		return err
	}
	return ignoreMissing(c.root.Remove(at))
}

func (c *commit) keep(from, at string) error {
	if err := c.parents.make(path.Dir(at)); err != nil {
		return err
	}
	return ignoreMissing(c.root.Rename(from, at))
}

func ignoreMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// removeFolders removes the deepest first, and leaves those in which the person has something.
func (c *commit) removeFolders() {
	slices.SortFunc(c.folders, func(a, b string) int { return strings.Count(b, "/") - strings.Count(a, "/") })
	for _, at := range c.folders {
		if info, err := c.parents.lstat(at); err == nil && info != nil && info.IsDir() {
			c.root.Remove(at)
		}
	}
	c.parents.forget()
}

func (c *commit) makeFolders(s *step, at string) error {
	if s.Do != doMakeFolder {
		return nil
	}
	if err := c.parents.make(at); err != nil {
		return inTheWay(at, err)
	}
	return nil
}

// dateFolders comes last: putting something into a folder changes its time.
func (c *commit) dateFolders(s *step, at string) error {
	if s.Do != doMakeFolder {
		return nil
	}
	return ignoreMissing(c.root.Chtimes(at, time.Time{}, s.Time))
}

// publish replaces the records and the files of the series.
func (c *commit) publish() error {
	staged := commitDir + "/" + stagedNew + "/"
	if info, err := lstat(c.root, staged+"records"); err != nil {
		return err
	} else if info != nil {
		if err := c.root.RemoveAll(recordsDir); err != nil {
			return err
		}
		if err := c.root.Rename(staged+"records", recordsDir); err != nil {
			return err
		}
	}
	if err := c.parents.make(seriesDir); err != nil {
		return err
	}
	names, err := readNames(c.root, staged+"series")
	for _, name := range names {
		err = errors.Join(err, c.root.Rename(staged+"series/"+name, seriesDir+"/"+name))
	}
	return err
}
