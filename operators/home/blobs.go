package home

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/passerelle-cloud/passerelle/formats"
)

// smallBlob is up to how many bytes a blob lives in the database.
const smallBlob = 64 << 10

const unfinished = "new-" // begins the names of files that are being written

// blobFile returns the file of a blob that is not small.
func (i *Instance) blobFile(hash formats.Hash) string {
	name := hash.String()
	return filepath.Join(i.home.blobDir(i.id), name[:2], name)
}

// hasBlob reports whether the bytes are here. Those that were lost are not, though a row counts them.
func (w *writer) hasBlob(hash formats.Hash) (bool, error) {
	var inRow bool
	known, err := w.row(`SELECT data IS NOT NULL OR size = 0 FROM home_blob WHERE instance = $1 AND hash = $2`, []any{w.i.id, hash[:]}, &inRow)
	if !known || err != nil || inRow {
		return known, err
	}
	_, err = os.Stat(w.i.blobFile(hash))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// counted reports whether a row counts the bytes, whether they are here or were lost.
func (w *writer) counted(hash formats.Hash) (bool, error) {
	return w.row(`SELECT 1 FROM home_blob WHERE instance = $1 AND hash = $2`, []any{w.i.id, hash[:]}, new(int))
}

// fits reports whether the quota leaves room for so many bytes.
func (w *writer) fits(size int64) bool { return w.quota == 0 || w.used+size <= w.quota }

// missing says why a blob that a record names is not here.
func (w *writer) missing(b *formats.Blob) (code, reason string) {
	if !w.fits(b.Size) {
		return "quota", fmt.Sprintf("its %d bytes do not fit: of the %d bytes that this instance may hold, %d are taken", b.Size, w.quota, w.used)
	}
	return "content-missing", "its bytes did not come with it"
}

// putBlob stores bytes. What the quota has no room for is read but not stored, and is then missing from its record.
func (w *writer) putBlob(ctx context.Context, content io.Reader, size int64) (formats.Blob, error) {
	if size < 0 {
		return formats.Blob{}, fmt.Errorf("%w: a blob of %d bytes", formats.ErrInvalid, size)
	}
	content = &careful{ctx: ctx, in: content}
	if size <= smallBlob {
		return w.putSmall(ctx, content, size)
	}
	return w.putLarge(ctx, content, size)
}

// careful ends with the error of its context.
type careful struct {
	ctx context.Context
	in  io.Reader
}

func (c *careful) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.in.Read(p)
}

func (w *writer) putSmall(ctx context.Context, content io.Reader, size int64) (formats.Blob, error) {
	if w.small == nil {
		w.small = make([]byte, smallBlob+1)
	}
	data, err := readSmall(content, size, w.small)
	if err != nil {
		return formats.Blob{}, err
	}
	blob := formats.Blob{SHA256: formats.HashOf(data), Size: size}
	return blob, w.during(ctx, func() error { return w.keep(blob, data) })
}

// readSmall reads a small blob into a buffer that has room for a byte more.
func readSmall(content io.Reader, size int64, buffer []byte) ([]byte, error) {
	n, err := io.ReadFull(content, buffer[:size+1])
	switch {
	case err != nil && err != io.EOF && err != io.ErrUnexpectedEOF:
		return nil, err
	case err == nil || int64(n) != size:
		return nil, sizeDiffers(size)
	}
	return buffer[:size], nil
}

func sizeDiffers(size int64) error {
	return fmt.Errorf("%w: the content has not the %d bytes that it should have", formats.ErrInvalid, size)
}

// keep writes the row of a blob, unless there is one or it does not fit. A row whose bytes were lost has them again.
func (w *writer) keep(blob formats.Blob, data []byte) error {
	if err := w.begin(); err != nil { // for what is used
		return err
	}
	if w.fits(blob.Size) {
		n, err := w.affect(`INSERT INTO home_blob (instance, hash, size, data) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING`, w.i.id, blob.SHA256[:], blob.Size, null(data))
		if err != nil {
			return err
		}
		if n > 0 {
			w.used += blob.Size
			w.bytes += int64(len(data))
			return nil
		}
	}
	return w.exec(`UPDATE home_blob SET data = $3 WHERE instance = $1 AND hash = $2 AND data IS NULL`, w.i.id, blob.SHA256[:], null(data))
}

// putLarge writes the file first, which may take long, and then the row.
func (w *writer) putLarge(ctx context.Context, content io.Reader, size int64) (formats.Blob, error) {
	var fits bool
	err := w.during(ctx, func() error {
		err := w.begin() // for what is used
		fits = w.fits(size)
		return err
	})
	if err != nil {
		return formats.Blob{}, err
	}
	if !fits {
		digest := sha256.New()
		n, err := io.Copy(digest, content)
		if err == nil && n != size {
			err = sizeDiffers(size)
		}
		return formats.Blob{SHA256: formats.Hash(digest.Sum(nil)), Size: size}, err
	}
	blob, temporary, err := w.i.writeFile(content, size)
	if err != nil {
		return blob, err
	}
	err = w.during(ctx, func() error { return w.keepFile(blob, temporary) })
	if err != nil {
		os.Remove(temporary)
	}
	return blob, err
}

// writeFile writes a file under a temporary name, durably.
func (i *Instance) writeFile(content io.Reader, size int64) (blob formats.Blob, name string, err error) {
	dir := i.home.blobDir(i.id)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return blob, "", err
	}
	return writeTemporary(dir, content, size)
}

// anySize stands for a size that nobody knows beforehand.
const anySize = -1

func writeTemporary(dir string, content io.Reader, size int64) (blob formats.Blob, name string, err error) {
	f, err := os.CreateTemp(dir, unfinished)
	if err != nil {
		return blob, "", err
	}
	digest := sha256.New()
	n, err := io.CopyBuffer(io.MultiWriter(f, digest), content, make([]byte, 128<<10))
	if err == nil && n != size && size != anySize {
		err = sizeDiffers(size)
	}
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return blob, "", errors.Join(err, os.Remove(f.Name()))
	}
	return formats.Blob{SHA256: formats.Hash(digest.Sum(nil)), Size: n}, f.Name(), nil
}

// keepFile gives a file its final name, durably, and writes the row.
func (w *writer) keepFile(blob formats.Blob, temporary string) error {
	has, err := w.hasBlob(blob.SHA256)
	counted, errCounted := w.counted(blob.SHA256)
	if err = errors.Join(err, errCounted); has || err != nil || !counted && !w.fits(blob.Size) {
		return errors.Join(err, os.Remove(temporary))
	}
	final := w.i.blobFile(blob.SHA256)
	if err := os.MkdirAll(filepath.Dir(final), 0o700); err != nil {
		return err
	}
	if err := os.Rename(temporary, final); err != nil {
		return err
	}
	if err := syncDir(filepath.Dir(final)); err != nil {
		return err
	}
	return w.keep(blob, nil)
}

func syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// removeUnfinished removes what a load that died left half-written.
func (i *Instance) removeUnfinished() error {
	left, err := filepath.Glob(filepath.Join(globEscape(i.home.blobDir(i.id)), unfinished+"*"))
	for _, name := range left {
		err = errors.Join(err, os.Remove(name))
	}
	return err
}

// globEscape makes a pattern of a path that matches just that path.
func globEscape(path string) string {
	var b bytes.Buffer
	for _, c := range []byte(path) {
		if bytes.IndexByte([]byte(`*?[\`), c) >= 0 {
			b.WriteByte('\\')
		}
		b.WriteByte(c)
	}
	return b.String()
}

const orphanPage = 500

// collect removes the blobs that no record names any more.
func (w *writer) collect(ctx context.Context) error {
	after := []byte{}
	for {
		orphans, err := w.orphans(ctx, after)
		if err != nil || len(orphans) == 0 {
			return err
		}
		after = orphans[len(orphans)-1].SHA256[:]
		if err := w.during(ctx, func() error { return w.dropRows(orphans) }); err != nil {
			return err
		}
		if err := w.during(ctx, w.commit); err != nil {
			return err
		}
		if err := w.during(ctx, func() error { return w.dropFiles(orphans) }); err != nil {
			return err
		}
	}
}

func (w *writer) orphans(ctx context.Context, after []byte) (list []formats.Blob, err error) {
	rows, err := w.i.home.db.Read.QueryContext(ctx, `
		SELECT b.hash FROM home_blob b WHERE b.instance = $1 AND b.hash > $2
			AND NOT EXISTS (SELECT 1 FROM home_record r WHERE r.instance = $1 AND r.blob = b.hash)
		ORDER BY b.hash LIMIT $3`, w.i.id, after, orphanPage)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var hash []byte
		if err := rows.Scan(&hash); err != nil {
			return nil, err
		}
		list = append(list, formats.Blob{SHA256: formats.Hash(hash)})
	}
	return list, rows.Err()
}

// dropRows removes the rows of orphans, if they still are.
func (w *writer) dropRows(orphans []formats.Blob) error {
	for _, o := range orphans {
		var size int64
		ok, err := w.row(`
			DELETE FROM home_blob WHERE instance = $1 AND hash = $2
				AND NOT EXISTS (SELECT 1 FROM home_record r WHERE r.instance = $1 AND r.blob = $2)
			RETURNING size`, []any{w.i.id, o.SHA256[:]}, &size)
		if err != nil {
			return err
		}
		if ok {
			w.used -= size
		}
	}
	return nil
}

// dropFiles removes the files of blobs that have no row. Nobody else can write one now: this transaction has the
// instance.
func (w *writer) dropFiles(blobs []formats.Blob) error {
	for _, b := range blobs {
		has, err := w.hasBlob(b.SHA256)
		if err != nil {
			return err
		}
		if has {
			continue
		}
		if err := os.Remove(w.i.blobFile(b.SHA256)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}
