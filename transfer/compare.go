package transfer

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"iter"

	"github.com/passerelle-cloud/passerelle/formats"
	"github.com/passerelle-cloud/passerelle/internal/extsort"
	"github.com/passerelle-cloud/passerelle/operators"
)

// Compare holds two instances against each other: every record, and every byte of every file.
type Compare struct {
	A, B operators.Source
	// Of returns what of a record is compared: a name, by which it is found again on the other side, and what it says.
	// Neither is longer than 500 KiB. A record with an empty name is left out. nil compares the whole record; the bytes
	// of its blob are compared in any case.
	Of  func(formats.Record) (name, says []byte, err error)
	Tmp string // folder for temporary files, "" for the system's
}

// Comparison is what a comparison found.
type Comparison struct {
	Equal       formats.Count `json:"equal"` // what is the same on both sides
	Differences int64         `json:"differences"`
	Examples    []string      `json:"examples,omitempty"` // the first of the differences, for people to read
}

// Same reports whether there is no difference.
func (c *Comparison) Same() bool { return c.Differences == 0 }

const (
	sortMemory   = 8 << 20
	mostExamples = 20
)

// Run reads both sources once.
func (c Compare) Run(ctx context.Context) (*Comparison, error) {
	if c.Of == nil {
		c.Of = whole
	}
	a, err := c.summarise(ctx, c.A)
	if err != nil {
		return nil, fmt.Errorf("read the first: %w", err)
	}
	defer a.Close()
	b, err := c.summarise(ctx, c.B)
	if err != nil {
		return nil, fmt.Errorf("read the second: %w", err)
	}
	defer b.Close()
	return join(a, b)
}

// whole compares the line of a record.
func whole(r formats.Record) (name, says []byte, err error) {
	says, err = r.AppendLine(nil)
	return []byte(string(r.Dataset) + "/" + r.ID), says, err
}

// summarise sorts one line a record: its name, a zero byte, the hash of what it says and of its bytes, and its size.
func (c Compare) summarise(ctx context.Context, source operators.Source) (*extsort.Sorter, error) {
	sorted := extsort.New(c.Tmp, sortMemory)
	for item, err := range source.Records(ctx, 0) {
		if err == nil && item.Record.ID != "" {
			err = c.add(sorted, item)
		}
		if err != nil {
			return nil, errors.Join(err, sorted.Close())
		}
	}
	return sorted, nil
}

func (c Compare) add(sorted *extsort.Sorter, item operators.Item) error {
	r := item.Record
	digest := sha256.New()
	if item.Content != nil {
		hash, err := contentHash(item)
		if err != nil {
			return err
		}
		blob := *r.Blob
		blob.SHA256, r.Blob = hash, &blob
		digest.Write(hash[:])
	}
	name, says, err := c.Of(r)
	if err != nil || len(name) == 0 {
		return err
	}
	digest.Write(says)
	line := append(bytes.ReplaceAll(name, []byte{0}, []byte{1}), 0)
	line = digest.Sum(line)
	size := int64(-1)
	if r.Blob != nil {
		size = r.Blob.Size
	}
	return sorted.Add(fmt.Appendf(line, "%d", size))
}

func contentHash(item operators.Item) (formats.Hash, error) {
	content, err := item.Content()
	if err != nil {
		return formats.Hash{}, err
	}
	digest := sha256.New()
	_, err = io.Copy(digest, content)
	return formats.Hash(digest.Sum(nil)), errors.Join(err, content.Close())
}

// join walks two sorted summaries side by side.
func join(a, b *extsort.Sorter) (*Comparison, error) {
	found := &Comparison{}
	nextA, stopA := iter.Pull2(a.Sorted())
	defer stopA()
	nextB, stopB := iter.Pull2(b.Sorted())
	defer stopB()
	lineA, errA, okA := nextA()
	lineB, errB, okB := nextB()
	for okA || okB {
		if err := errors.Join(errA, errB); err != nil {
			return nil, err
		}
		order := 0
		switch {
		case !okB:
			order = -1
		case !okA:
			order = 1
		default:
			order = bytes.Compare(nameIn(lineA), nameIn(lineB))
		}
		switch {
		case order < 0:
			found.differ("only in the first: ", lineA)
		case order > 0:
			found.differ("only in the second: ", lineB)
		case !bytes.Equal(lineA, lineB):
			found.differ("not the same: ", lineA)
		default:
			found.same(lineA)
		}
		if order <= 0 {
			lineA, errA, okA = nextA()
		}
		if order >= 0 {
			lineB, errB, okB = nextB()
		}
	}
	return found, nil
}

func nameIn(line []byte) []byte {
	name, _, _ := bytes.Cut(line, []byte{0})
	return name
}

func (c *Comparison) differ(how string, line []byte) {
	c.Differences++
	if len(c.Examples) < mostExamples {
		c.Examples = append(c.Examples, how+string(nameIn(line)))
	}
}

func (c *Comparison) same(line []byte) {
	c.Equal.Records++
	var size int64
	rest := line[len(nameIn(line))+1+sha256.Size:]
	if _, err := fmt.Sscan(string(rest), &size); err == nil && size >= 0 {
		c.Equal.Files++
		c.Equal.Bytes += size
	}
}
