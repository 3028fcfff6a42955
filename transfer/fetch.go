package transfer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"

	"github.com/passerelle-cloud/passerelle/consent"
	"github.com/passerelle-cloud/passerelle/formats"
	"github.com/passerelle-cloud/passerelle/operators"
)

// Reader is an instance that can be read in parts. See [home.Reader] for what each of them promises.
//
// [home.Reader]: https://pkg.go.dev/github.com/passerelle-cloud/passerelle/operators/home#Reader
type Reader interface {
	Position(ctx context.Context) (operators.Position, error)
	Wait(ctx context.Context, after operators.Position) (operators.Position, error)
	Record(ctx context.Context, d formats.Dataset, id string) (operators.Line, error)
	Dataset(ctx context.Context, d formats.Dataset, after string) iter.Seq2[operators.Line, error]
	Changes(ctx context.Context, after, upTo operators.Position, datasets []formats.Dataset) iter.Seq2[operators.Line, error]
	Content(ctx context.Context, blob formats.Blob) (io.ReadSeekCloser, error)
}

// Fetch reads for a service what a permit covers: records as their canonical lines, without what was not granted.
// Without a permit that an authority gave it gives nothing.
type Fetch struct {
	Permit *consent.Permit
	From   Reader
}

// ErrWithheld is returned for a record that there is, or is not, but that was not granted in any case: which of the two
// nobody is told.
var ErrWithheld = errors.New("there is no such record among what was granted")

// Dataset walks a dataset: those records after an id.
func (f Fetch) Dataset(ctx context.Context, d formats.Dataset, after string) iter.Seq2[operators.Line, error] {
	return f.admitted(d, f.From.Dataset(ctx, d, after))
}

// Changes walks what changed: see [Reader].
func (f Fetch) Changes(ctx context.Context, after, upTo operators.Position, datasets []formats.Dataset) iter.Seq2[operators.Line, error] {
	return func(yield func(operators.Line, error) bool) {
		for line, err := range f.From.Changes(ctx, after, upTo, datasets) {
			ok := true
			if err == nil {
				line, ok, err = f.admit(line)
			}
			if ok && !yield(line, err) || err != nil {
				return
			}
		}
	}
}

// Record returns one record.
func (f Fetch) Record(ctx context.Context, d formats.Dataset, id string) (operators.Line, error) {
	line, err := f.From.Record(ctx, d, id)
	if errors.Is(err, operators.ErrNotFound) {
		return line, fmt.Errorf("%w: %s/%.200q", ErrWithheld, d, id)
	}
	if err != nil {
		return line, err
	}
	line, ok, err := f.admit(line)
	if err == nil && !ok {
		err = fmt.Errorf("%w: %s/%.200q", ErrWithheld, d, id)
	}
	return line, err
}

// Content opens the bytes of a record. The error wraps [ErrWithheld] where it has none, or none that were granted.
func (f Fetch) Content(ctx context.Context, d formats.Dataset, id string) (formats.Record, io.ReadSeekCloser, error) {
	line, err := f.Record(ctx, d, id)
	if err != nil {
		return formats.Record{}, nil, err
	}
	record, err := line.Parse()
	if err == nil && record.Blob == nil {
		err = fmt.Errorf("%w: the content of %s/%.200q", ErrWithheld, d, id)
	}
	if err != nil {
		return record, nil, err
	}
	content, err := f.From.Content(ctx, *record.Blob)
	return record, content, err
}

func (f Fetch) admitted(d formats.Dataset, lines iter.Seq2[operators.Line, error]) iter.Seq2[operators.Line, error] {
	if f.Permit.Whole(d) {
		return lines
	}
	return func(yield func(operators.Line, error) bool) {
		for line, err := range lines {
			ok := true
			if err == nil {
				line, ok, err = f.admit(line)
			}
			if ok && !yield(line, err) || err != nil {
				return
			}
		}
	}
}

// admit leaves of a line what may leave; false if nothing may.
func (f Fetch) admit(line operators.Line) (operators.Line, bool, error) {
	if f.Permit.Whole(line.Dataset) {
		return line, true, nil
	}
	record, err := line.Parse()
	if err != nil {
		return line, true, err
	}
	record, ok, err := f.Permit.Admit(record)
	if err != nil || !ok {
		return line, ok || err != nil, err
	}
	line.Bytes, err = record.AppendLine(nil)
	line.Hash = formats.HashOf(line.Bytes)
	return line, true, err
}
