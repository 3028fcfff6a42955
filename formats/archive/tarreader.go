package archive

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path/filepath"

	"github.com/passerelle-cloud/passerelle/formats"
)

// volumes reads tar volumes one after the other.
//
// Our volumes are canonical: given the name, size and time of each file there is one way to write them. Besides the
// contents, which the manifest covers, every byte of padding and header is therefore held against what we would have
// written, so that not one flipped bit goes unnoticed. A volume without a single header of ours was packed by another
// program, and is judged by its contents alone.
type volumes struct {
	paths  []string
	listed []Volume // by the index, in the same order; nil without one
	opts   OpenOptions
	ours   int
	odd    []string // files whose header or padding is not as we write it
}

func (v *volumes) repacked() bool { return v.ours == 0 }

func (v *volumes) walk(ctx context.Context, visit func(*entry) error, fault func(Fault)) error {
	v.ours, v.odd = 0, nil
	for i, path := range v.paths {
		skeleton, err := v.volume(ctx, path, visit)
		if err != nil {
			return err
		}
		if v.listed != nil && v.listed[i].Skeleton != nil && skeleton != nil && *skeleton != *v.listed[i].Skeleton {
			fault(Fault{Code: "volume", Path: v.listed[i].Name, Detail: "it is not the volume that the index lists: get it again"})
		}
	}
	if v.ours > 0 {
		for _, name := range v.odd {
			fault(Fault{Code: "not-canonical", Path: name, Detail: "its tar header or padding was changed"})
		}
	}
	return nil
}

// volume reads one volume and returns the hash of its skeleton, nil where a visitor left contents unread.
func (v *volumes) volume(ctx context.Context, path string, visit func(*entry) error) (*formats.Hash, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	plain, done, err := plainStream(f, v.opts)
	defer done()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	heads := &tarHeads{in: plain}
	skeleton := &skeletonHash{Hash: sha256.New()}
	for first := true; ; first = false {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		e, err := heads.next()
		if err == io.EOF {
			skeleton.Write(heads.seen())
			return skeleton.sum(), v.end(path, heads)
		}
		if err != nil && first {
			return nil, fmt.Errorf("%w: %s is not an archive, or is cut or damaged at its very beginning (%v)", ErrFault, path, err)
		}
		if err != nil {
			return nil, tarFault(path, err)
		}
		skeleton.Write(heads.seen())
		if heads.canonical {
			v.ours++
		} else {
			v.odd = append(v.odd[:min(len(v.odd), 100)], heads.name)
		}
		if heads.kind == tar.TypeDir {
			continue
		}
		if heads.kind != tar.TypeReg {
			return nil, fmt.Errorf("%w: %s: %q is a link, a device or another thing that no archive of ours holds", ErrFault, path, heads.name)
		}
		if err := visit(e); err != nil {
			return nil, tarFault(path, err)
		}
		if _, err := io.Copy(io.Discard, e.body); err != nil { // what the visitor left
			return nil, tarFault(path, err)
		}
		skeleton.contents(e.hash)
	}
}

// tarFault says what a reading error means.
func tarFault(path string, err error) error {
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("%w: %s is truncated", ErrFault, path)
	case errors.Is(err, tar.ErrHeader), errors.Is(err, tar.ErrFieldTooLong):
		return fmt.Errorf("%w: %s is not a tar file, or is damaged: %v", ErrFault, path, err)
	}
	return fmt.Errorf("%s: %w", filepath.Base(path), err)
}

// skeletonHash is the hash of a plain volume, see Volume.Skeleton.
type skeletonHash struct {
	hash.Hash
	gaps bool // contents were not hashed
}

func (s *skeletonHash) contents(hash formats.Hash) {
	s.gaps = s.gaps || hash.IsZero()
	s.Write(hash[:])
}

func (s *skeletonHash) sum() *formats.Hash {
	if s.gaps {
		return nil
	}
	hash := sum(s.Hash)
	return &hash
}

// end checks what follows the last file: two blocks of zeros and nothing else.
func (v *volumes) end(path string, heads *tarHeads) error {
	rest, err := io.ReadAll(io.LimitReader(heads.in, tarBlock*64))
	if err != nil {
		return tarFault(path, err)
	}
	seen := heads.seen()
	if n := int64(len(seen)); n < heads.padding+2*tarBlock {
		return fmt.Errorf("%w: %s is truncated: its end mark is missing", ErrFault, path)
	}
	if len(bytes.Trim(seen, "\x00")) > 0 || len(rest) > 0 || int64(len(seen)) != heads.padding+2*tarBlock {
		v.odd = append(v.odd, filepath.Base(path)+" (its end)")
	}
	return nil
}

// tarHeads reads a volume from header to header. As long as all is as we write it, it reads the headers itself; from the
// first one that is not, archive/tar does.
type tarHeads struct {
	in      io.Reader
	buf     []byte // the padding and the header that were read last
	scratch []byte
	padding int64 // before that header
	size    int64 // of the file before
	content io.LimitedReader
	slow    *tar.Reader
	rec     *recorder

	// Of the header that was read last:
	name      string
	kind      byte
	canonical bool // it, and the padding before it, are as we would have written them
}

// seen returns the bytes of the last header with the padding before it.
func (t *tarHeads) seen() []byte {
	if t.slow != nil {
		return t.rec.seen
	}
	return t.buf
}

// next goes to the next file. The content of the one before was read to its end.
func (t *tarHeads) next() (*entry, error) {
	t.padding = paddingOf(t.size)
	if t.slow != nil {
		return t.nextSlow()
	}
	var err error
	if t.buf, err = readBlocks(t.in, t.buf[:0], int(t.padding)); err != nil {
		return t.replay(nil)
	}
	var head tarHead
	var ok bool
	head, t.buf, t.scratch, ok, err = readTarHead(t.in, t.buf, t.scratch)
	if !ok {
		return t.replay(err)
	}
	t.name, t.kind, t.size = head.name, tar.TypeReg, head.size
	t.canonical = len(bytes.Trim(t.buf[:t.padding], "\x00")) == 0
	t.content = io.LimitedReader{R: t.in, N: head.size}
	return &entry{name: head.name, size: head.size, body: &exactly{&t.content}}, nil
}

// exactly is a content that must not end before its size.
type exactly struct{ *io.LimitedReader }

func (e *exactly) Read(p []byte) (int, error) {
	n, err := e.LimitedReader.Read(p)
	if err == io.EOF && e.N > 0 {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

// replay gives what was read to archive/tar, which goes on from there.
func (t *tarHeads) replay(err error) (*entry, error) {
	if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
		return nil, err
	}
	padding := t.buf[:min(t.padding, int64(len(t.buf)))]
	t.rec = &recorder{r: io.MultiReader(bytes.NewReader(bytes.Clone(t.buf[len(padding):])), t.in), seen: bytes.Clone(padding)}
	t.slow = tar.NewReader(t.rec)
	return t.header(t.rec.next(t.slow))
}

func (t *tarHeads) nextSlow() (*entry, error) {
	t.rec.seen = t.rec.seen[:0]
	return t.header(t.rec.next(t.slow))
}

// header judges a header that archive/tar read.
func (t *tarHeads) header(h *tar.Header, err error) (*entry, error) {
	if err != nil {
		return nil, err
	}
	var want bytes.Buffer
	want.Write(make([]byte, t.padding))
	err = tar.NewWriter(&want).WriteHeader(tarHeader(h.Name, h.Size, h.ModTime))
	t.name, t.kind, t.size = h.Name, h.Typeflag, h.Size
	t.canonical = err == nil && bytes.Equal(want.Bytes(), t.rec.seen)
	return &entry{name: h.Name, size: h.Size, body: t.slow}, nil
}

// recorder keeps the bytes that pass while a header is read.
type recorder struct {
	r    io.Reader
	on   bool
	seen []byte
}

func (c *recorder) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	if c.on {
		c.seen = append(c.seen, p[:n]...)
	}
	return n, err
}

func (c *recorder) next(in *tar.Reader) (*tar.Header, error) {
	c.on = true
	h, err := in.Next()
	c.on = false
	return h, err
}
