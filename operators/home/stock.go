package home

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"

	"github.com/passerelle-cloud/passerelle/formats"
	"github.com/passerelle-cloud/passerelle/operators"
)

// stockBytes is how many bytes of small blobs are gathered before they are written.
const stockBytes = 2 << 20

// stock takes in bytes that come as fast as a network brings them. It therefore has no transaction open while it waits for
// them: on SQLite nobody else could write meanwhile. What was gathered is written while more is gathered.
type stock struct {
	w      *writer
	unlock func() error

	now, before batch
	written     chan error // by the batch before; nil: it is, and went well
}

// batch is small blobs.
type batch struct {
	contents []byte // one after the other
	blobs    []formats.Blob
}

func newBatch() batch { return batch{contents: make([]byte, 0, stockBytes)} }

// write writes what was gathered.
func (b batch) write(w *writer) error {
	rest := b.contents
	for _, blob := range b.blobs {
		if err := w.keep(blob, rest[:blob.Size]); err != nil {
			return err
		}
		rest = rest[blob.Size:]
	}
	return nil
}

// Stock implements [operators.Stocking].
func (t *Target) Stock(ctx context.Context) (operators.Stock, error) {
	unlock, err := t.i.lockPatiently(ctx)
	if err != nil {
		return nil, err
	}
	if err := t.i.removeUnfinished(); err != nil {
		return nil, errors.Join(fmt.Errorf("clear up after an earlier load: %w", err), unlock())
	}
	s := &stock{w: newWriter(t.i), unlock: unlock, now: newBatch(), before: newBatch()}
	s.w.eager = true
	return s, nil
}

// PutBlob implements [operators.Stock].
func (s *stock) PutBlob(ctx context.Context, content io.Reader, want formats.Blob) (bool, error) {
	content = &careful{ctx: ctx, in: content}
	if want.Size < 0 || want.Size > smallBlob {
		return s.putLarge(ctx, content, want)
	}
	if len(s.now.contents)+int(want.Size)+1 > cap(s.now.contents) {
		if err := s.write(ctx); err != nil {
			return false, err
		}
	}
	b := &s.now
	data, err := readSmall(content, want.Size, b.contents[len(b.contents):cap(b.contents)])
	if err != nil || formats.HashOf(data) != want.SHA256 {
		return false, err
	}
	b.contents, b.blobs = b.contents[:len(b.contents)+int(want.Size)], append(b.blobs, want)
	return true, nil
}

// putLarge writes a file, and then the row.
func (s *stock) putLarge(ctx context.Context, content io.Reader, want formats.Blob) (bool, error) {
	if want.Size < 0 {
		return false, sizeDiffers(want.Size)
	}
	got, temporary, err := s.w.i.writeFile(content, want.Size)
	if err != nil {
		return false, err
	}
	return s.keepFile(ctx, temporary, got.SHA256, want)
}

// keepFile keeps a file if it is what it should be.
func (s *stock) keepFile(ctx context.Context, temporary string, got formats.Hash, want formats.Blob) (bool, error) {
	if got != want.SHA256 {
		return false, os.Remove(temporary)
	}
	want = formats.Blob{SHA256: want.SHA256, Size: want.Size}
	err := s.w.during(ctx, func() error { return errors.Join(s.w.begin(), s.w.keepFile(want, temporary)) }) // begun, for what is used
	if err != nil {
		os.Remove(temporary)
	}
	return err == nil, err
}

// PutFile implements [operators.Stock].
func (s *stock) PutFile(ctx context.Context, name string, want formats.Blob) (bool, error) {
	f, err := os.Open(name)
	if err != nil {
		return false, err
	}
	defer f.Close()
	if want.Size > smallBlob {
		if is, taken, err := s.takeOver(ctx, f, want); taken || err != nil {
			return is, err
		}
		if _, err := f.Seek(0, io.SeekStart); err != nil {
			return false, err
		}
	}
	is, err := s.PutBlob(ctx, f, want)
	if err == nil {
		err = os.Remove(name)
	}
	return is, err
}

// takeOver makes a file one of the instance's, unless it is in another file system. It is read where it is, since that may take long,
// and whoever ends meanwhile must find it again.
func (s *stock) takeOver(ctx context.Context, f *os.File, want formats.Blob) (is, taken bool, err error) {
	digest := sha256.New()
	size, err := io.CopyBuffer(digest, &careful{ctx: ctx, in: f}, make([]byte, 128<<10))
	if err = errors.Join(err, f.Sync()); err != nil {
		return false, false, err
	}
	if size != want.Size {
		return false, true, errors.Join(sizeDiffers(want.Size), os.Remove(f.Name()))
	}
	dir := s.w.i.home.blobDir(s.w.i.id)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return false, false, err
	}
	temporary := filepath.Join(dir, unfinished+rand.Text())
	if err := os.Rename(f.Name(), temporary); errors.Is(err, syscall.EXDEV) {
		return false, false, nil
	} else if err != nil {
		return false, false, err
	}
	is, err = s.keepFile(ctx, temporary, formats.Hash(digest.Sum(nil)), want)
	return is, true, err
}

// write begins to write what was gathered, in one transaction, when the batch before is written.
func (s *stock) write(ctx context.Context) error {
	if err := s.wait(); err != nil {
		return err
	}
	s.now, s.before = s.before, s.now
	s.now.contents, s.now.blobs = s.now.contents[:0], s.now.blobs[:0]
	s.written = make(chan error, 1)
	go func(b batch, written chan<- error) {
		err := s.w.during(ctx, func() error { return b.write(s.w) })
		if err != nil { // nobody may wait for this transaction until somebody hears of it
			s.w.mu.Lock()
			err = errors.Join(err, s.w.rollback())
			s.w.mu.Unlock()
		}
		written <- err
	}(s.before, s.written)
	return nil
}

// wait waits until the batch before is written.
func (s *stock) wait() error {
	if s.written == nil {
		return nil
	}
	err := <-s.written
	s.written = nil
	return err
}

// Close implements [operators.Stock].
func (s *stock) Close(ctx context.Context) error {
	err := s.write(ctx)
	err = errors.Join(err, s.wait())
	if s.w.tx != nil { // something failed in the midst of it
		err = errors.Join(err, s.w.rollback())
	}
	return errors.Join(err, s.unlock())
}
