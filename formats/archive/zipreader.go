package archive

import (
	"archive/zip"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"strings"

	"filippo.io/age"
)

// zipped reads a bag from a zip, encrypted or not.
//
// As with tar volumes, what is not contents is held against what we would have written: the zip is written again with
// nothing in the place of the contents, and compared with the file. See volumes.
type zipped struct {
	path   string
	file   *os.File
	at     io.ReaderAt
	size   int64
	opts   OpenOptions
	files  []*zip.File
	theirs bool
}

// openZip returns nil if the file is no zip.
func openZip(path string, opts OpenOptions) (*zipped, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	z := &zipped{path: path, file: f, at: f, size: info.Size(), opts: opts}
	head := make([]byte, len(ageMagic))
	n, _ := f.ReadAt(head, 0)
	if n == len(head) && bytes.Equal(head, ageMagic) {
		if !strings.HasSuffix(path, ".zip.age") {
			return nil, f.Close()
		}
		if len(opts.Identities) == 0 {
			return nil, fmt.Errorf("%w: give --identity or --passphrase-file", ErrLocked)
		}
		z.at, z.size, err = age.DecryptReaderAt(f, info.Size(), opts.Identities...)
		if err != nil {
			var noMatch *age.NoIdentityMatchError
			if errors.As(err, &noMatch) {
				return nil, ErrLocked
			}
			return nil, fmt.Errorf("%w: decrypt %s: %v", ErrFault, path, err)
		}
	} else if n < len(zipMagic) || !bytes.Equal(head[:len(zipMagic)], zipMagic) {
		if strings.HasSuffix(path, ".zip") {
			return nil, fmt.Errorf("%w: %s does not begin as a zip does: it is damaged, or something else", ErrFault, path)
		}
		return nil, f.Close()
	}
	r, err := zip.NewReader(z.at, z.size)
	if err != nil {
		return nil, fmt.Errorf("%w: %s is truncated or damaged: %v", ErrFault, path, err)
	}
	z.files = r.File
	return z, z.checkSizes()
}

// checkSizes refuses directories in which files overlap or grow out of proportion.
func (z *zipped) checkSizes() error {
	var packed, unpacked uint64
	for _, f := range z.files {
		packed += f.CompressedSize64
		unpacked += f.UncompressedSize64
		if packed > uint64(z.size) {
			return fmt.Errorf("%w: the files in %s overlap, as in a zip bomb", ErrFault, z.path)
		}
	}
	factor := z.opts.MaxExpansion
	if factor > 0 && unpacked > bombFloor && unpacked/uint64(factor) > uint64(z.size) {
		return fmt.Errorf("%w: %s unpacks to more than %d times its size, as a decompression bomb does", ErrFault, z.path, factor)
	}
	return nil
}

func (z *zipped) repacked() bool { return z.theirs }

func (z *zipped) walk(ctx context.Context, visit func(*entry) error, fault func(Fault)) error {
	for _, f := range z.files {
		if err := ctx.Err(); err != nil {
			return err
		}
		if strings.HasSuffix(f.Name, "/") && f.UncompressedSize64 == 0 {
			continue
		}
		if !f.Mode().IsRegular() {
			return fmt.Errorf("%w: %q is a link or another thing that no archive of ours holds", ErrFault, f.Name)
		}
		if err := z.visit(f, visit); err != nil {
			return fmt.Errorf("%s: %w", f.Name, err)
		}
	}
	return z.judge(fault)
}

func (z *zipped) visit(f *zip.File, visit func(*entry) error) error {
	body, err := f.Open()
	if err != nil {
		return fmt.Errorf("%w: %v", ErrFault, err)
	}
	defer body.Close()
	return visit(&entry{name: f.Name, size: int64(f.UncompressedSize64), body: zipBody{body}})
}

// zipBody says that a damaged file is a fault of the archive.
type zipBody struct{ io.Reader }

func (b zipBody) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	if err != nil && err != io.EOF && !errors.Is(err, os.ErrClosed) {
		err = fmt.Errorf("%w: %v", ErrFault, err)
	}
	return n, err
}

// judge compares the file with its own skeleton.
func (z *zipped) judge(fault func(Fault)) error {
	ours := 0
	for _, f := range z.files {
		if f.Method == zip.Store && f.Flags&8 != 0 && f.CreatorVersion>>8 == 0 && f.ExternalAttrs == 0 {
			ours++
		}
	}
	if z.theirs = ours == 0; z.theirs {
		return nil
	}
	c := &skeleton{at: z.at, differs: -1}
	out := zip.NewWriter(c)
	for _, f := range z.files {
		if err := c.file(out, f); err != nil {
			return fmt.Errorf("compare %s: %w", f.Name, err)
		}
	}
	if err := out.Close(); err != nil {
		return fmt.Errorf("compare the directory of %s: %w", z.path, err)
	}
	if c.differs >= 0 || c.offset != z.size {
		fault(Fault{Code: "not-canonical", Path: z.path, Detail: fmt.Sprintf("the zip's own headers were changed, near byte %d", max(c.differs, 0))})
	}
	return nil
}

// skeleton is a writer that compares what it is given with what the file has at the same place. Contents are passed
// over: they were read and checked already.
type skeleton struct {
	at       io.ReaderAt
	offset   int64
	contents bool
	differs  int64 // where the first difference was met, -1 if none
	buf      []byte
}

// file writes f's headers as we would have written them, and anything in the place of its contents.
func (c *skeleton) file(out *zip.Writer, f *zip.File) error {
	h := zipHeader(f.Name, f.Modified)
	if _, err := zip.NewWriter(io.Discard).CreateHeader(h); err != nil {
		return err
	}
	h.CRC32, h.CompressedSize64, h.UncompressedSize64 = f.CRC32, f.CompressedSize64, f.UncompressedSize64
	if f.UncompressedSize64 >= math.MaxUint32 {
		h.ReaderVersion = 45
	}
	w, err := out.CreateRaw(h)
	if err != nil {
		return err
	}
	if err := out.Flush(); err != nil {
		return err
	}
	c.contents = true
	for left := f.CompressedSize64; left > 0; {
		n := min(left, uint64(len(zeros)))
		if _, err := w.Write(zeros[:n]); err != nil {
			return err
		}
		left -= n
	}
	err = out.Flush()
	c.contents = false
	return err
}

var zeros [1 << 20]byte

func (c *skeleton) Write(p []byte) (int, error) {
	if !c.contents && c.differs < 0 {
		c.buf = slices.Grow(c.buf[:0], len(p))[:len(p)]
		n, err := c.at.ReadAt(c.buf, c.offset)
		if err != nil && err != io.EOF {
			return 0, err
		}
		if !bytes.Equal(c.buf[:n], p) {
			c.differs = c.offset
		}
	}
	c.offset += int64(len(p))
	return len(p), nil
}
