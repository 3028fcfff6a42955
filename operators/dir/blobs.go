package dir

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/passerelle-cloud/passerelle/formats"
	"github.com/passerelle-cloud/passerelle/operators"
)

// Has implements [operators.Load]. Bytes that an earlier load left behind are read and hashed before they are trusted.
func (l *Load) Has(ctx context.Context, blob formats.Blob) (bool, error) {
	if err := l.check(ctx); err != nil || blob.SHA256.IsZero() {
		return false, err
	}
	if _, ok := l.staged[short(blob.SHA256)]; ok {
		return true, nil
	}
	if ok, err := exists(l.target.root, blobsDir+"/"+blob.SHA256.String(), blob.Size); ok || err != nil {
		return ok, err
	}
	if at, err := l.treeFile(blob); at != "" || err != nil {
		return at != "", err
	}
	return l.leftover(ctx, blob)
}

// treeFile returns where in the tree a blob lies, untouched since it was put there; "" if it does not.
func (l *Load) treeFile(blob formats.Blob) (string, error) {
	p, ok := l.inTree[short(blob.SHA256)]
	if !ok {
		return "", nil
	}
	r, err := l.read(p)
	if err != nil || r.Blob.SHA256 != blob.SHA256 {
		return "", err
	}
	intact, _, err := l.intact(p, &r)
	if !intact || err != nil {
		return "", err
	}
	return l.names.locationOf(&r), nil
}

// leftover takes over a blob that an earlier load has staged, if it is whole.
func (l *Load) leftover(ctx context.Context, blob formats.Blob) (bool, error) {
	name := stagedBlobs + "/" + blob.SHA256.String()
	if ok, err := exists(l.stage, name, blob.Size); !ok || err != nil {
		return false, err
	}
	f, err := l.stage.Open(name)
	if err != nil {
		return false, err
	}
	digest := sha256.New()
	_, err = l.copy(ctx, digest, f)
	if err = errors.Join(err, f.Close()); err != nil {
		return false, err
	}
	if formats.Hash(digest.Sum(nil)) != blob.SHA256 {
		return false, l.stage.Remove(name)
	}
	l.staged[short(blob.SHA256)] = 0
	return true, nil
}

// copy copies, and stops when the context ends.
func (l *Load) copy(ctx context.Context, out io.Writer, in io.Reader) (int64, error) {
	var total int64
	for {
		if err := ctx.Err(); err != nil {
			return total, err
		}
		n, err := in.Read(l.buf)
		if _, errWrite := out.Write(l.buf[:n]); errWrite != nil {
			return total, errWrite
		}
		total += int64(n)
		if err == io.EOF {
			return total, nil
		}
		if err != nil {
			return total, err
		}
	}
}

// PutBlob implements [operators.Load].
func (l *Load) PutBlob(ctx context.Context, content io.Reader, size int64) (formats.Blob, error) {
	if err := l.check(ctx); err != nil {
		return formats.Blob{}, err
	}
	part := stagedBlobs + "/incoming" + partSuffix
	blob, err := l.receive(ctx, part, content, size)
	if err != nil {
		return formats.Blob{}, errors.Join(err, l.stage.Remove(part))
	}
	if _, ok := l.staged[short(blob.SHA256)]; ok {
		return blob, l.stage.Remove(part)
	}
	if err := l.stage.Rename(part, stagedBlobs+"/"+blob.SHA256.String()); err != nil {
		return formats.Blob{}, err
	}
	l.staged[short(blob.SHA256)] = 0
	return blob, nil
}

func (l *Load) receive(ctx context.Context, part string, content io.Reader, size int64) (formats.Blob, error) {
	f, err := l.stage.Create(part)
	if err != nil {
		return formats.Blob{}, err
	}
	digest := sha256.New()
	n, err := l.copy(ctx, io.MultiWriter(f, digest), io.LimitReader(content, max(size, 0)+1))
	if err == nil && n != size {
		err = fmt.Errorf("%w: the content is not of the %d bytes that were announced: %s", formats.ErrInvalid, size, atLeast(n, size))
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return formats.Blob{}, err
	}
	return formats.Blob{SHA256: formats.Hash(digest.Sum(nil)), Size: n}, nil
}

func atLeast(n, size int64) string {
	if n > size {
		return "it goes on after them"
	}
	return "it ends after " + strconv.FormatInt(n, 10)
}

// secure makes sure that the bytes of a record are staged, or kept already if it has no place in the tree.
func (l *Load) secure(ctx context.Context, r *formats.Record) error {
	blob := *r.Blob
	if _, ok := l.staged[short(blob.SHA256)]; ok {
		return nil
	}
	kept := blobsDir + "/" + blob.SHA256.String()
	ok, err := exists(l.target.root, kept, blob.Size)
	if err != nil || ok && !inTree(r) {
		return err
	}
	from := kept
	if !ok {
		if from, err = l.treeFile(blob); err != nil {
			return err
		}
	}
	if from != "" {
		return l.fetch(ctx, from, blob)
	}
	if ok, err := l.leftover(ctx, blob); ok || err != nil {
		return err
	}
	return fmt.Errorf("%w: %s/%s names bytes that were never sent (SHA-256 %s)", operators.ErrNotFound, r.Dataset, r.ID, blob.SHA256)
}

// fetch stages a copy of bytes that the folder holds.
func (l *Load) fetch(ctx context.Context, from string, blob formats.Blob) error {
	f, err := l.target.root.Open(from)
	if err != nil {
		return err
	}
	defer f.Close()
	got, err := l.PutBlob(ctx, f, blob.Size)
	if err == nil && got.SHA256 != blob.SHA256 {
		err = changed(from, "its bytes are not what was put there")
	}
	return err
}

// take returns the name in staging of bytes that one step may move away, with the time that the file shall have.
func (l *Load) take(hash formats.Hash, modified time.Time, executable bool) (string, error) {
	name := stagedBlobs + "/" + hash.String()
	used := l.staged[short(hash)]
	l.staged[short(hash)]++
	if used > 0 {
		copied, err := l.duplicate(name)
		if err != nil {
			return "", err
		}
		name = copied
	}
	if executable {
		if err := l.stage.Chmod(name, 0o755); err != nil {
			return "", err
		}
	}
	return name, l.stage.Chtimes(name, time.Time{}, diskTime(modified))
}

func (l *Load) duplicate(name string) (string, error) {
	l.copies++
	to := "copy-" + strconv.Itoa(l.copies)
	in, err := l.stage.Open(name)
	if err != nil {
		return "", err
	}
	defer in.Close()
	out, err := l.stage.Create(to)
	if err != nil {
		return "", err
	}
	_, err = io.Copy(out, in) // the kernel copies, or shares the blocks
	return to, errors.Join(err, out.Close())
}
