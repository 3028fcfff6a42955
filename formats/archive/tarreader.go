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
	rec := &recorder{r: plain}
	in := tar.NewReader(rec)
	skeleton := &skeletonHash{Hash: sha256.New()}
	padding := int64(0) // after the file before
	for first := true; ; {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		h, err := rec.next(in)
		if err == io.EOF {
			skeleton.Write(rec.seen)
			return skeleton.sum(), v.end(path, rec, padding)
		}
		if err != nil && first {
			return nil, fmt.Errorf("%w: %s is not an archive, or is cut or damaged at its very beginning (%v)", ErrFault, path, err)
		}
		if err != nil {
			return nil, tarFault(path, err)
		}
		first = false
		skeleton.Write(rec.seen)
		v.judge(h, rec.seen, padding)
		padding = (tarBlock - h.Size%tarBlock) % tarBlock
		if h.Typeflag == tar.TypeDir {
			continue
		}
		if h.Typeflag != tar.TypeReg {
			return nil, fmt.Errorf("%w: %s: %q is a link, a device or another thing that no archive of ours holds", ErrFault, path, h.Name)
		}
		e := &entry{name: h.Name, size: h.Size, body: in}
		if err := visit(e); err != nil {
			return nil, tarFault(path, err)
		}
		if _, err := io.Copy(io.Discard, in); err != nil { // what the visitor left; the recorder is not to keep it
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

// judge holds a header, and the padding before it, against what we would have written.
func (v *volumes) judge(h *tar.Header, seen []byte, padding int64) {
	var want bytes.Buffer
	want.Write(make([]byte, padding))
	if err := tar.NewWriter(&want).WriteHeader(tarHeader(h.Name, h.Size, h.ModTime)); err == nil && bytes.Equal(want.Bytes(), seen) {
		v.ours++
		return
	}
	v.odd = append(v.odd[:min(len(v.odd), 100)], h.Name)
}

// end checks what follows the last file: two blocks of zeros and nothing else.
func (v *volumes) end(path string, rec *recorder, padding int64) error {
	rest, err := io.ReadAll(io.LimitReader(rec.r, tarBlock*64))
	if err != nil {
		return tarFault(path, err)
	}
	if n := int64(len(rec.seen)); n < padding+2*tarBlock {
		return fmt.Errorf("%w: %s is truncated: its end mark is missing", ErrFault, path)
	}
	if len(bytes.Trim(rec.seen, "\x00")) > 0 || len(rest) > 0 || int64(len(rec.seen)) != padding+2*tarBlock {
		v.odd = append(v.odd, filepath.Base(path)+" (its end)")
	}
	return nil
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
	c.on, c.seen = true, c.seen[:0]
	h, err := in.Next()
	c.on = false
	return h, err
}
