package cozy

import (
	"archive/zip"
	"bufio"
	"cmp"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/passerelle-cloud/passerelle/formats"
)

// documentEntryName returns the entry of a document. The slashes of an id stay, since an importer looks for them;
// anything else that an entry cannot have is escaped.
func documentEntryName(doctype, id string) string {
	parts := strings.Split(id, "/")
	for i, part := range parts {
		parts[i] = url.PathEscape(part)
	}
	return dataDir + url.PathEscape(doctype) + "/" + strings.Join(parts, "/") + ".json"
}

// zips writes the parts of an archive, one after the other, under names in the staging folder.
type zips struct {
	dir      string
	partSize int64
	file     *os.File
	buffer   *bufio.Writer
	counter  *counter
	zip      *zip.Writer
	pairs    int // in the part that is being written
	parts    []string
	cursors  []string
	contents int64 // bytes of all contents
}

// counter counts the bytes that were written.
type counter struct {
	w io.Writer
	n int64
}

func (c *counter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	return n, err
}

func newZips(dir string, opts Options) *zips {
	return &zips{dir: dir, partSize: opts.PartSize}
}

func (z *zips) open() error {
	if z.zip != nil {
		return nil
	}
	file, err := os.OpenFile(filepath.Join(z.dir, fmt.Sprintf("part%03d.zip", len(z.parts))), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	z.file, z.pairs = file, 0
	z.parts = append(z.parts, file.Name())
	z.buffer = bufio.NewWriterSize(file, 256<<10)
	z.counter = &counter{w: z.buffer}
	z.zip = zip.NewWriter(z.counter)
	return nil
}

// finish ends the part that is being written, down to the disk.
func (z *zips) finish() error {
	if z.zip == nil {
		return nil
	}
	err := z.zip.Close()
	err = cmp.Or(err, z.buffer.Flush(), z.file.Sync())
	err = errors.Join(err, z.file.Close())
	z.zip, z.file = nil, nil
	return err
}

// close closes a part that was left open by an error.
func (z *zips) close() {
	if z.file != nil {
		z.file.Close() // the error that left it open is the one to report
		z.zip, z.file = nil, nil
	}
}

// document writes an entry of a document.
func (z *zips) document(name string, text []byte, at time.Time) error {
	if err := z.open(); err != nil {
		return err
	}
	w, err := z.create(name, zip.Deflate, at)
	if err == nil {
		_, err = w.Write(text)
	}
	return err
}

func (z *zips) create(name string, method uint16, at time.Time) (io.Writer, error) {
	header := &zip.FileHeader{Name: name, Method: method, Modified: zipTime(at)}
	header.SetMode(0o640)
	return z.zip.CreateHeader(header)
}

// zipTime keeps a time inside the years that the fields of a zip can say, 1980 to 2107. The document has the true one.
func zipTime(t time.Time) time.Time {
	t = t.UTC()
	switch {
	case t.Year() < 1980:
		return time.Date(1980, 1, 1, 0, 0, 0, 0, time.UTC)
	case t.Year() > 2105: // the extended time ends in 2106
		return time.Date(2105, 12, 31, 0, 0, 0, 0, time.UTC)
	}
	return t
}

// pair writes a document and the content that must follow it. It begins another part rather than to grow one beyond
// its size, except where the part holds no pair yet.
func (z *zips) pair(of ref, name string, text []byte, contentName, path string, size int64, at time.Time) error {
	if z.pairs > 0 && z.counter.n+int64(len(text))+size > z.partSize {
		if err := z.finish(); err != nil {
			return err
		}
		z.cursors = append(z.cursors, of.doctype+"/"+of.id)
	}
	if err := z.document(name, text, at); err != nil {
		return err
	}
	z.pairs++
	z.contents += size
	return z.content(contentName, path, size, at)
}

func (z *zips) content(name, path string, size int64, at time.Time) error {
	blob, err := os.Open(path)
	if err != nil {
		return err
	}
	defer blob.Close()
	w, err := z.create(name, zip.Store, at)
	if err != nil {
		return err
	}
	n, err := io.Copy(w, blob)
	if err == nil && n != size {
		err = fmt.Errorf("%w: the staged content of %q has %d bytes, not %d", formats.ErrInvalid, name, n, size)
	}
	return err
}

// publish gives the parts their names, and last of all the manifest.
func (l *load) publish(z *zips, domain string) error {
	t := l.target
	manifest, err := l.manifest(z, domain)
	if err != nil {
		return err
	}
	staged := filepath.Join(l.dir, "manifest.json")
	if err := writeSynced(staged, manifest); err != nil {
		return err
	}
	if err := t.free(); err != nil {
		return err
	}
	var names []string
	for n := range z.parts {
		names = append(names, filepath.Base(t.partPath(n)))
	}
	if err := writeSynced(filepath.Join(l.dir, journalName), []byte(strings.Join(names, "\n")+"\n")); err != nil {
		return err
	}
	if err := syncDir(l.dir); err != nil {
		return err
	}
	for n, part := range z.parts {
		if err := os.Rename(part, t.partPath(n)); err != nil {
			return errors.Join(err, t.withdraw(n))
		}
	}
	if err := syncDir(t.dir); err != nil {
		return errors.Join(err, t.withdraw(len(z.parts)))
	}
	if err := os.Rename(staged, t.manifestPath()); err != nil {
		return errors.Join(err, t.withdraw(len(z.parts)))
	}
	return syncDir(t.dir)
}

// withdraw removes the first n parts from under their names.
func (t *Target) withdraw(n int) error {
	var errs []error
	for i := range n {
		errs = append(errs, os.Remove(t.partPath(i)))
	}
	return errors.Join(errs...)
}

func writeSynced(path string, text []byte) error {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = file.Write(text)
	return errors.Join(cmp.Or(err, file.Sync()), file.Close())
}

func syncDir(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// manifest writes the manifest as a Cozy serves it. It says seven days, as a Cozy does.
func (l *load) manifest(z *zips, domain string) ([]byte, error) {
	now := time.Now().UTC()
	var m manifest
	sum := digestOf(l.origin.Series + "\x00" + now.String())
	m.Data.Type, m.Data.ID = exportsType, hex.EncodeToString(sum[:])
	cursors := z.cursors
	if cursors == nil {
		cursors = []string{}
	}
	m.Data.Attributes = manifestAttributes{
		Domain: domain, PartsSize: z.partSize, PartsCursors: cursors, State: "done", CreatedAt: stamp(now),
		ExpiresAt: stamp(now.Add(7 * 24 * time.Hour)), TotalSize: z.contents,
	}
	return json.Marshal(m)
}
