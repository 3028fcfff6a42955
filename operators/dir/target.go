package dir

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/gofrs/flock"

	"github.com/passerelle-cloud/passerelle/formats"
	"github.com/passerelle-cloud/passerelle/operators"
)

// Target writes into a folder. What the person has there is never overwritten, changed or deleted: a newcomer whose
// name is taken becomes "name (2).ext". Nothing is seen in the folder before Finish, and a load that is killed is
// either completed or left out by the next one.
//
// A load remembers some 200 bytes for each record that the folder holds or gets.
type Target struct {
	root *os.Root
	path string
	last *Load
}

// Create opens the folder at path to write into, and makes it if it is not there.
func Create(path string) (*Target, error) {
	if err := os.MkdirAll(path, 0o755); err != nil {
		return nil, fmt.Errorf("make the folder: %w", err)
	}
	root, err := os.OpenRoot(path)
	if err != nil {
		return nil, unreadable("folder", path, err)
	}
	return &Target{root: root, path: path}, nil
}

// Close gives up a load that is not finished.
func (t *Target) Close() error { return errors.Join(t.closeLast(), t.root.Close()) }

func (t *Target) closeLast() error {
	if t.last == nil {
		return nil
	}
	last := t.last
	t.last = nil
	return errors.Join(last.Abort(), last.close())
}

// seriesJSON is what is kept of a series.
type seriesJSON struct {
	Series   string       `json:"series"`
	Operator string       `json:"operator,omitempty"`
	Time     time.Time    `json:"time,omitzero"`
	Sequence int          `json:"sequence"`
	Root     formats.Hash `json:"root"`
	Person   string       `json:"person,omitempty"`
}

// seriesKey names the files of a series. All plain copies share theirs.
func seriesKey(series string) string {
	if series == "" {
		return "plain"
	}
	return formats.HashOf([]byte(series)).String()[:32]
}

func (t *Target) series(name string) (*seriesJSON, error) {
	if name == "" {
		return nil, nil
	}
	file := seriesDir + "/" + seriesKey(name) + seriesExt
	text, err := t.root.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var s seriesJSON
	if err == nil {
		err = json.Unmarshal(text, &s)
	}
	if err == nil && s.Series != name {
		err = fmt.Errorf("%w: it is about the series %q", formats.ErrInvalid, s.Series)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return &s, nil
}

// Applied implements [operators.SeriesKeeper].
func (t *Target) Applied(ctx context.Context, series string) (operators.Applied, bool, error) {
	s, err := t.series(series)
	if s == nil || err != nil {
		return operators.Applied{}, false, cmp.Or(err, ctx.Err())
	}
	return operators.Applied{Sequence: s.Sequence, Root: s.Root, Person: s.Person}, true, nil
}

// Load implements [operators.Target]. It first completes a load that was killed while it was put in place.
func (t *Target) Load(ctx context.Context, origin operators.Origin) (operators.Load, error) {
	if t.last != nil && !t.last.done {
		return nil, fmt.Errorf("a load into %q is under way: finish it or give it up first", t.path)
	}
	if err := cmp.Or(ctx.Err(), t.closeLast()); err != nil {
		return nil, err
	}
	lock, err := t.acquire()
	if err != nil {
		return nil, err
	}
	l, err := t.begin(ctx, origin)
	if err != nil {
		return nil, errors.Join(err, lock.Unlock())
	}
	l.lock, t.last = lock, l
	return l, nil
}

// acquire makes the folder ours, or fails while another process writes into it.
func (t *Target) acquire() (*flock.Flock, error) {
	known, err := openLayout(t.root)
	if err != nil {
		return nil, err
	}
	if err := t.root.Mkdir(systemDir, 0o700); known == nil && err != nil {
		if !errors.Is(err, fs.ErrExist) {
			return nil, fmt.Errorf("write into %q: %w", t.path, err)
		}
		if err := t.checkForeign(); err != nil {
			return nil, err
		}
	}
	lock := flock.New(filepath.Join(t.path, filepath.FromSlash(lockFile)))
	if ok, err := lock.TryLock(); err != nil || !ok {
		return nil, errors.Join(fmt.Errorf("%q is being written to by another process: wait until it is done", t.path), err)
	}
	return lock, nil
}

// checkForeign tells a folder that happens to have our name from one that a target had only begun with.
func (t *Target) checkForeign() error {
	info, err := lstat(t.root, systemDir)
	if err != nil || info == nil || !info.IsDir() {
		return errors.Join(fmt.Errorf("%q has a %s that is no folder: rename it", t.path, systemDir), err)
	}
	names, err := readNames(t.root, systemDir)
	for _, name := range names {
		if at := systemDir + "/" + name; at != lockFile && !strings.HasPrefix(name, "probe") && !strings.HasPrefix(at, formatFile) {
			return fmt.Errorf("%q has a folder %s that this program has not made: rename it", t.path, systemDir)
		}
	}
	return err
}

func readNames(root *os.Root, dir string) ([]string, error) {
	f, err := root.Open(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return f.Readdirnames(-1)
}

// begin reads what the folder holds. The lock is held.
func (t *Target) begin(ctx context.Context, origin operators.Origin) (*Load, error) {
	known, err := t.series(origin.Series)
	if err != nil {
		return nil, err
	}
	if known != nil && known.Person != "" && origin.Person != "" && known.Person != origin.Person {
		return nil, fmt.Errorf("%w: %q", operators.ErrOtherPerson, origin.Series)
	}
	if err := t.complete(); err != nil {
		return nil, err
	}
	layout, err := t.layout()
	if err != nil {
		return nil, err
	}
	return newLoad(ctx, t, layout, origin)
}

// complete puts in place what a killed load had decided to.
func (t *Target) complete() error {
	if info, err := lstat(t.root, commitDir); err != nil || info == nil {
		return err
	}
	if err := apply(t.root); err != nil {
		return fmt.Errorf("complete an import that was cut off: %w", err)
	}
	return nil
}

// layout returns how this folder is written, and decides it the first time.
func (t *Target) layout() (*layout, error) {
	l, err := openLayout(t.root)
	if l != nil || err != nil {
		return l, err
	}
	l = &layout{root: t.root, layoutJSON: layoutJSON{Format: formatName, Names: probeNames(t.root)}}
	text, err := json.Marshal(l.layoutJSON)
	if err == nil {
		err = writeFile(t.root, formatFile+partSuffix, append(text, '\n'))
	}
	if err == nil {
		err = t.root.Rename(formatFile+partSuffix, formatFile)
	}
	return l, err
}

func writeFile(root *os.Root, name string, data []byte) error {
	f, err := root.Create(name)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	return errors.Join(err, f.Close())
}

// probeNames finds out which names the disk takes.
func probeNames(root *os.Root) names {
	switch {
	case probe(root, "probe\xff", "probe\xff"):
		return anyBytes
	case probe(root, `probe<>:"\|?*. `, `probe<>:"\|?*. `):
		return unicode
	}
	return portable
}

// folds reports whether names that differ in case, or in Unicode normalisation, are one file on this disk.
func folds(root *os.Root) bool {
	return probe(root, "probe-a", "probe-A") || probe(root, "probe-\u00e9", "probe-e\u0301")
}

// probe makes a folder of a name and reports whether it can be found under an alias.
func probe(root *os.Root, name, alias string) bool {
	if err := root.Mkdir(systemDir+"/"+name, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return false
	}
	defer root.Remove(systemDir + "/" + name)
	entries, err := readNames(root, systemDir)
	if err != nil || name == alias && !bytes.Contains([]byte(strings.Join(entries, "\x00")), []byte(name)) {
		return false
	}
	_, err = root.Lstat(systemDir + "/" + alias)
	return err == nil
}
