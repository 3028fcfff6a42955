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
// them: on SQLite nobody else could write meanwhile.
type stock struct {
	w      *writer
	unlock func() error

	gathered []byte // contents of small blobs, one after the other
	small    []formats.Blob
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
	s := &stock{w: newWriter(t.i), unlock: unlock, gathered: make([]byte, 0, stockBytes)}
	s.w.eager = true
	return s, nil
}

// PutBlob implements [operators.Stock].
func (s *stock) PutBlob(ctx context.Context, content io.Reader, size int64) (formats.Blob, error) {
	if size < 0 || size > smallBlob {
		return s.w.putBlob(ctx, content, size)
	}
	if len(s.gathered)+int(size)+1 > cap(s.gathered) {
		if err := s.write(ctx); err != nil {
			return formats.Blob{}, err
		}
	}
	data, err := readSmall(&careful{ctx: ctx, in: content}, size, s.gathered[len(s.gathered):cap(s.gathered)])
	if err != nil {
		return formats.Blob{}, err
	}
	blob := formats.Blob{SHA256: formats.HashOf(data), Size: size}
	s.gathered, s.small = s.gathered[:len(s.gathered)+int(size)], append(s.small, blob)
	return blob, nil
}

// write writes what was gathered, in one transaction.
func (s *stock) write(ctx context.Context) error {
	err := s.w.during(ctx, func() error {
		rest := s.gathered
		for _, b := range s.small {
			if err := s.w.keep(b, rest[:b.Size]); err != nil {
				return err
			}
			rest = rest[b.Size:]
		}
		return nil
	})
	s.gathered, s.small = s.gathered[:0], s.small[:0]
	return err
}

// Close implements [operators.Stock].
func (s *stock) Close(ctx context.Context) error {
	err := s.write(ctx)
	if s.w.tx != nil { // something failed in the midst of it
		err = errors.Join(err, s.w.rollback())
	}
	return errors.Join(err, s.unlock())
}
