package archive

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"filippo.io/age"

	"github.com/passerelle-cloud/passerelle/formats"
)

// ParcelWriter writes a parcel: some blobs by themselves, for a recipient who then has them, so that an archive can leave them
// out (see [LeftOut]). It is a tar volume as archives have them, encrypted with age, in which a blob is data/blobs/SHA256 as in
// a delta. Nobody signs it: what the bytes are their own hash says, and the archive that leaves them out is signed.
type ParcelWriter struct {
	seal   io.WriteCloser
	volume tarVolume
	buf    []byte
}

// NewParcel begins a parcel.
func NewParcel(out io.Writer, recipients []age.Recipient) (*ParcelWriter, error) {
	seal, err := age.Encrypt(out, recipients...)
	if err != nil {
		return nil, fmt.Errorf("encrypt: %w", err)
	}
	return &ParcelWriter{seal: seal, volume: tarVolume{out: seal}, buf: make([]byte, copyChunk)}, nil
}

// Add adds so many bytes of a blob: all of them, or a part that the recipient asked for. In the place of bytes that cannot be
// read come zeros, so that the recipient sees by the hash that it has not got them, and gets the others.
func (p *ParcelWriter) Add(hash formats.Hash, size int64, content io.Reader) error {
	if err := p.volume.begin(deltaBlobsDir+hash.String(), size, time.Time{}); err != nil {
		return err
	}
	for left := size; left > 0; {
		n, err := content.Read(p.buf[:min(left, int64(len(p.buf)))])
		if err != nil && int64(n) < left {
			content = nothing{}
		}
		if _, err := p.volume.Write(p.buf[:n]); err != nil {
			return err
		}
		left -= int64(n)
	}
	return p.volume.end()
}

// nothing is as many zeros as one likes.
type nothing struct{}

func (nothing) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// Close ends the parcel.
func (p *ParcelWriter) Close() error {
	if _, err := p.seal.Write(p.volume.zeros[:]); err != nil {
		return err
	}
	return p.seal.Close()
}

// Parcel reads a parcel. Read gives the bytes of the blob that Next came to.
type Parcel struct {
	io.Reader
	heads  *tarHeads
	beside *besideReader
}

// OpenParcel opens a parcel, which is decrypted in a goroutine of its own.
func OpenParcel(in io.Reader, identities []age.Identity) (*Parcel, error) {
	plain, err := decrypt(in, identities)
	if err != nil {
		return nil, err
	}
	beside := readBeside(plain)
	return &Parcel{Reader: strings.NewReader(""), heads: &tarHeads{in: beside.Reader}, beside: beside}, nil
}

// Next goes to the next blob, and says how many bytes of it follow. The error is io.EOF at the end.
func (p *Parcel) Next() (formats.Hash, int64, error) {
	var hash formats.Hash
	if _, err := io.Copy(io.Discard, p.Reader); err != nil {
		return hash, 0, err
	}
	e, err := p.heads.next()
	switch {
	case errors.Is(err, tar.ErrHeader), errors.Is(err, tar.ErrFieldTooLong):
		return hash, 0, fmt.Errorf("%w: a parcel is not a tar file: %w", ErrFault, err)
	case err != nil:
		return hash, 0, err
	}
	name, ok := strings.CutPrefix(e.name, deltaBlobsDir)
	if !ok || p.heads.kind != tar.TypeReg || hash.UnmarshalText([]byte(name)) != nil {
		return hash, 0, fmt.Errorf("%w: a parcel holds %.100q, which is no blob", ErrFault, e.name)
	}
	p.Reader = e.body
	return hash, e.size, nil
}

// Close gives up what was not read.
func (p *Parcel) Close() { p.beside.close() }
