package cozy

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/gofrs/flock"

	"github.com/passerelle-cloud/passerelle/formats"
	"github.com/passerelle-cloud/passerelle/operators"
)

// Options say how an archive for a Cozy is written. Zero values work.
type Options struct {
	// Name begins the names of the files: NAME-part000.zip, …, NAME-manifest.json. Default "cozy".
	Name string
	// Domain is the instance of which the manifest speaks; default the one of the records, else "passerelle.invalid".
	Domain string
	// Locale is the language of the person where the records do not say it. Default "en".
	Locale string
	// PartSize is about how many bytes a part has; a larger file has a part of its own. Default 1 GiB.
	PartSize int64
}

const (
	defaultName     = "cozy"
	defaultDomain   = "passerelle.invalid"
	defaultLocale   = "en"
	defaultPartSize = 1 << 30
)

// Target writes an archive that a Cozy imports into a folder. It is loaded into once.
type Target struct {
	dir  string
	opts Options
	load *load
	done bool
}

var _ operators.Target = (*Target)(nil)

// Create prepares to write an archive into dir, which is made if it is not there. What a run that was killed left
// there under the same name is removed. It returns an error wrapping [fs.ErrExist] if an archive of that name is
// there already, or if another run is writing it.
func Create(dir string, opts Options) (*Target, error) {
	if opts.Name == "" {
		opts.Name = defaultName
	}
	if opts.PartSize <= 0 {
		opts.PartSize = defaultPartSize
	}
	if opts.Name != filepath.Base(opts.Name) || strings.HasPrefix(opts.Name, ".") || strings.ContainsAny(opts.Name, "\\\x00\n*?[") {
		return nil, fmt.Errorf("%w: %q cannot begin the name of a file", formats.ErrInvalid, opts.Name)
	}
	t := &Target{dir: dir, opts: opts}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("create an archive for a Cozy: %w", err)
	}
	if err := t.clean(); err != nil {
		return nil, fmt.Errorf("create an archive for a Cozy: %w", err)
	}
	return t, t.free()
}

// free returns an error if an archive of that name is there.
func (t *Target) free() error {
	parts, err := filepath.Glob(filepath.Join(globEscape(t.dir), globEscape(t.opts.Name)+"-part[0-9][0-9][0-9]*.zip"))
	if err != nil {
		return fmt.Errorf("look for %s: %w", t.opts.Name, err)
	}
	if _, err := os.Lstat(t.manifestPath()); err == nil || len(parts) > 0 {
		return fmt.Errorf("%w: an archive named %q is in %s already; move it away or choose another name", fs.ErrExist, t.opts.Name, t.dir)
	}
	return nil
}

func globEscape(s string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(s)
}

func (t *Target) staging() string      { return filepath.Join(t.dir, "."+t.opts.Name+"-partial") }
func (t *Target) manifestPath() string { return filepath.Join(t.dir, t.opts.Name+"-manifest.json") }
func (t *Target) partPath(n int) string {
	return filepath.Join(t.dir, fmt.Sprintf("%s-part%03d.zip", t.opts.Name, n))
}

// journalName is the file, inside the staging folder, that lists the parts that are being given their names. As long
// as it is there and the manifest is not, those parts are leftovers.
const journalName = "renaming"

// lock takes the staging folder, or says that somebody has it.
func (t *Target) lock() (*flock.Flock, error) {
	lock := flock.New(filepath.Join(t.staging(), "lock"))
	switch ok, err := lock.TryLock(); {
	case err != nil:
		return nil, err
	case !ok:
		return nil, fmt.Errorf("%w: another run is writing %q in %s", fs.ErrExist, t.opts.Name, t.dir)
	}
	return lock, nil
}

// clean removes what a killed run left.
func (t *Target) clean() error {
	if _, err := os.Lstat(t.staging()); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	lock, err := t.lock()
	if err != nil {
		return err
	}
	defer lock.Close()
	if _, err := os.Lstat(t.manifestPath()); errors.Is(err, fs.ErrNotExist) {
		journal, err := os.ReadFile(filepath.Join(t.staging(), journalName))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		for name := range strings.Lines(string(journal)) {
			if name = strings.TrimSpace(name); name != filepath.Base(name) || !strings.HasPrefix(name, t.opts.Name+"-part") {
				continue
			}
			if err := os.Remove(filepath.Join(t.dir, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
	}
	return os.RemoveAll(t.staging())
}

// Load begins to write. There is one load: an archive cannot be added to.
func (t *Target) Load(ctx context.Context, origin operators.Origin) (operators.Load, error) {
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case t.done:
		return nil, fmt.Errorf("%w: the archive for a Cozy is finished and cannot be added to; write another", operators.ErrUnsupported)
	case t.load != nil:
		return nil, fmt.Errorf("%w: a load is under way", operators.ErrUnsupported)
	}
	l, err := t.begin(origin)
	if err != nil {
		return nil, fmt.Errorf("write an archive for a Cozy: %w", err)
	}
	t.load = l
	return l, nil
}

// Close gives up a load that is under way.
func (t *Target) Close() error {
	if t.load != nil {
		return t.load.Abort()
	}
	return nil
}
