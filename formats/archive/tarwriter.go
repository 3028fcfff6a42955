package archive

import (
	"archive/tar"
	"bufio"
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path/filepath"
	"time"

	"filippo.io/age"
	"github.com/klauspost/compress/zstd"

	"github.com/passerelle-cloud/passerelle/formats"
)

// carrier carries the files of a bag out. Tar volumes and one zip are its two forms.
type carrier interface {
	// create begins the next file; exactly size bytes must be written to it, and then end be called.
	create(name string, size int64, modified time.Time) (io.Writer, error)
	// end ends the file, whose contents had that hash.
	end(hash formats.Hash) error
	// finish makes everything durable and returns what was written.
	finish() ([]Volume, error)
	// abort closes what is open.
	abort()
}

// Volume is one file of an archive, as carried. Exactly one of the hashes is set.
type Volume struct {
	Name string `json:"name"`
	Size int64  `json:"size"`
	// SHA256 is that of the file, as sha256sum says; for volumes that are encrypted or compressed, and for zips.
	SHA256 *formats.Hash `json:"sha256,omitempty"`
	// Skeleton is, for plain tar volumes, the SHA-256 of the file with the contents of each file in it replaced by
	// the 32 bytes of their SHA-256. It commits to every byte as SHA256 does, but costs no second hash of all
	// contents, which would be half of the work of an export.
	Skeleton *formats.Hash `json:"skeleton_sha256,omitempty"`
}

// owner marks our tar headers. A bag that somebody packed again with another program does not have it.
const owner = "passerelle"

// tarHeader is the only header that we write for a file.
func tarHeader(name string, size int64, modified time.Time) *tar.Header {
	h := &tar.Header{Typeflag: tar.TypeReg, Name: name, Size: size, Mode: 0o644, Uname: owner, Gname: owner}
	if !modified.IsZero() {
		h.ModTime = modified.Truncate(time.Second).UTC()
	}
	return h
}

const (
	tarBlock  = 512
	copyChunk = 128 << 10
)

// tarVolumes writes pax tar volumes NAME-0001.tar, NAME-0002.tar, … into a folder.
type tarVolumes struct {
	dir, base  string
	limit      int64
	zstd       bool
	recipients []age.Recipient

	done  []Volume
	open  *tarVolume
	bytes int64 // plain bytes in the open volume
}

// tarVolume is one volume being written: tar → zstd → age → hash and file.
type tarVolume struct {
	out      io.Writer
	head     []byte
	left     int64 // of the contents of the open file
	padding  int64 // after them
	zeros    [2 * tarBlock]byte
	file     *carriedFile
	layers   []io.Closer // from the inside out
	skeleton *bones      // nil unless the volume is plain
}

// begin writes the header of a file.
func (v *tarVolume) begin(name string, size int64, modified time.Time) error {
	modified = modified.Truncate(time.Second)
	head, ok := appendTarHead(v.head[:0], name, size, modified)
	if !ok {
		var buf bytes.Buffer
		if err := tar.NewWriter(&buf).WriteHeader(tarHeader(name, size, modified)); err != nil {
			return err
		}
		head = buf.Bytes()
	}
	v.head, v.left, v.padding = head, size, paddingOf(size)
	if _, err := v.out.Write(head); err != nil {
		return err
	}
	if v.skeleton != nil {
		v.skeleton.contents = true
	}
	return nil
}

var errSize = fmt.Errorf("%w: they have not the size that was announced", ErrBytes)

// Write writes contents of the open file.
func (v *tarVolume) Write(p []byte) (int, error) {
	if int64(len(p)) > v.left {
		return 0, errSize
	}
	n, err := v.out.Write(p)
	v.left -= int64(n)
	return n, err
}

// end fills up the last block of the open file.
func (v *tarVolume) end() error {
	if v.left > 0 {
		return errSize
	}
	_, err := v.out.Write(v.zeros[:v.padding])
	return err
}

// bones hashes what passes and is not contents.
type bones struct {
	out      io.Writer
	digest   hash.Hash
	contents bool
}

func (b *bones) Write(p []byte) (int, error) {
	if !b.contents {
		b.digest.Write(p)
	}
	return b.out.Write(p)
}

func (v *tarVolumes) create(name string, size int64, modified time.Time) (io.Writer, error) {
	need := size + 4*tarBlock
	if v.open != nil && v.bytes > 0 && v.bytes+need > v.limit {
		if err := v.closeVolume(); err != nil {
			return nil, err
		}
	}
	if v.open == nil {
		if err := v.openVolume(); err != nil {
			return nil, err
		}
	}
	v.bytes += need
	if err := v.open.begin(name, size, modified); err != nil {
		return nil, fmt.Errorf("write %s: %w", name, err)
	}
	return v.open, nil
}

func (v *tarVolumes) end(hash formats.Hash) error {
	if s := v.open.skeleton; s != nil {
		s.contents = false
		s.digest.Write(hash[:])
	}
	return v.open.end()
}

func (v *tarVolumes) plain() bool { return !v.zstd && len(v.recipients) == 0 }

func (v *tarVolumes) openVolume() error {
	name := fmt.Sprintf("%s-%04d.tar", v.base, len(v.done)+1)
	if v.zstd {
		name += ".zst"
	}
	file, out, err := createCarried(v.dir, name, v.recipients, !v.plain())
	if err != nil {
		return err
	}
	volume := &tarVolume{file: file}
	if v.plain() {
		volume.skeleton = &bones{out: out, digest: sha256.New()}
		out = volume.skeleton
	}
	if v.zstd {
		z, err := zstd.NewWriter(out, zstd.WithEncoderLevel(zstd.SpeedDefault), zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(4<<20))
		if err != nil {
			return errors.Join(fmt.Errorf("compress: %w", err), file.abort())
		}
		out, volume.layers = z, []io.Closer{z}
	}
	volume.out = out
	v.open, v.bytes = volume, 0
	return nil
}

func (v *tarVolumes) closeVolume() error {
	_, err := v.open.out.Write(v.open.zeros[:])
	for _, layer := range v.open.layers {
		err = errors.Join(err, layer.Close())
	}
	volume, errClose := v.open.file.finish()
	if s := v.open.skeleton; s != nil {
		hash := sum(s.digest)
		volume.Skeleton = &hash
	}
	v.open, v.done = nil, append(v.done, volume)
	return errors.Join(err, errClose)
}

func (v *tarVolumes) finish() ([]Volume, error) {
	if v.open == nil {
		return v.done, nil
	}
	err := v.closeVolume()
	return v.done, err
}

func (v *tarVolumes) abort() {
	if v.open != nil {
		v.open.file.abort()
		v.open = nil
	}
}

// carriedFile is a file as carried: hashed while it is written, encrypted on the way if there are recipients.
type carriedFile struct {
	name   string
	file   *os.File
	size   int64
	digest hash.Hash // nil if nobody wants the hash of the file
	buffer *bufio.Writer
	seal   io.WriteCloser // age, or nil
	beside *besideWriter  // to age
}

// createCarried creates dir/name (with .age added if it is encrypted) and returns where its plain bytes go.
func createCarried(dir, name string, recipients []age.Recipient, hashed bool) (*carriedFile, io.Writer, error) {
	if len(recipients) > 0 {
		name += ".age"
	}
	file, err := os.OpenFile(filepath.Join(dir, name), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, nil, fmt.Errorf("create a volume: %w", err)
	}
	c := &carriedFile{name: name, file: file}
	if hashed {
		c.digest = sha256.New()
	}
	c.buffer = bufio.NewWriterSize(writerFunc(c.carry), copyChunk)
	if len(recipients) == 0 {
		return c, c.buffer, nil
	}
	c.seal, err = age.Encrypt(c.buffer, recipients...)
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("encrypt: %w", err), c.abort())
	}
	c.beside = writeBeside(c.seal)
	return c, c.beside, nil
}

func (c *carriedFile) carry(p []byte) (int, error) {
	if c.digest != nil {
		c.digest.Write(p)
	}
	n, err := c.file.Write(p)
	c.size += int64(n)
	return n, err
}

func (c *carriedFile) finish() (Volume, error) {
	var err error
	if c.seal != nil {
		err = errors.Join(c.beside.close(), c.seal.Close())
	}
	err = errors.Join(err, c.buffer.Flush(), c.file.Sync(), c.file.Close())
	if err != nil {
		return Volume{}, fmt.Errorf("write %s: %w", c.name, err)
	}
	volume := Volume{Name: c.name, Size: c.size}
	if c.digest != nil {
		hash := sum(c.digest)
		volume.SHA256 = &hash
	}
	return volume, nil
}

func (c *carriedFile) abort() error {
	if c.beside != nil {
		c.beside.abort()
	}
	return c.file.Close()
}

type writerFunc func(p []byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }
