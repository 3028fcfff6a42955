package home

import (
	"context"
	"errors"
	"fmt"
	"io"

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
func (s *stock) PutBlob(ctx context.Context, content io.Reader, size int64) (formats.Blob, error) {
	if size < 0 || size > smallBlob {
		return s.w.putBlob(ctx, content, size)
	}
	if len(s.now.contents)+int(size)+1 > cap(s.now.contents) {
		if err := s.write(ctx); err != nil {
			return formats.Blob{}, err
		}
	}
	b := &s.now
	data, err := readSmall(&careful{ctx: ctx, in: content}, size, b.contents[len(b.contents):cap(b.contents)])
	if err != nil {
		return formats.Blob{}, err
	}
	blob := formats.Blob{SHA256: formats.HashOf(data), Size: size}
	b.contents, b.blobs = b.contents[:len(b.contents)+int(size)], append(b.blobs, blob)
	return blob, nil
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
		written <- s.w.during(ctx, func() error { return b.write(s.w) })
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
