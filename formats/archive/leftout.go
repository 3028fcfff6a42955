package archive

import (
	"bufio"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"iter"

	"github.com/passerelle-cloud/passerelle/formats"
)

// LeftOut counts the blobs that a full archive does not carry because its recipient, an operator, said that it holds their
// bytes already: each once, however many records name it. Such an archive is whole for that recipient alone.
type LeftOut struct {
	Blobs int64 `json:"blobs"`
	Bytes int64 `json:"bytes"`
}

func (l *LeftOut) String() string {
	return fmt.Sprintf("%d different files of %d bytes", l.Blobs, l.Bytes)
}

// leftOutRight says what is wrong with the claim itself: only what is whole can have something left out, and only for somebody.
func (c *Claims) leftOutRight() error {
	switch l := c.LeftOut; {
	case l == nil:
		return nil
	case c.Sequence > 0 || c.Recipient == nil:
		return errors.New("claims.json: left_out belongs to number 0 of a series for an operator, and only there")
	case l.Blobs < 1 || l.Bytes < 0:
		return fmt.Errorf("claims.json: left_out counts %d blobs of %d bytes", l.Blobs, l.Bytes)
	}
	return nil
}

// leaveOut reports whether the recipient holds the bytes of a blob already, and counts it if so.
func (w *Writer) leaveOut(b *formats.Blob) bool {
	c := &w.opts.Claims
	if w.opts.Held == nil || c.Sequence > 0 || b.SHA256.IsZero() || !w.opts.Held(b.SHA256) {
		return false
	}
	if w.blobs[b.SHA256] {
		return true
	}
	w.blobs[b.SHA256] = true
	if c.LeftOut == nil {
		c.LeftOut = &LeftOut{}
	}
	c.LeftOut.Blobs++
	c.LeftOut.Bytes += b.Size
	return true
}

// absent takes in a blob, by its key in hexadecimal, that a record of a full archive names and that is not there.
func (c *check) absent(key []byte) error {
	if c.leftOut == nil {
		s, err := newSpool(c.dir, "left-out")
		if err != nil {
			return err
		}
		c.leftOut = s
	}
	raw := make([]byte, blobKeySize)
	if _, err := hex.Decode(raw, key); err != nil {
		return err
	}
	c.absents.Blobs++
	c.absents.Bytes += parseBlobKey(raw).Size
	return c.leftOut.write(raw)
}

// leftOutAddsUp holds what is not there against what the claims say was left out.
func (c *check) leftOutAddsUp() {
	if said := c.Report.Claims.LeftOut; said != nil && *said != c.absents {
		c.Report.faultf("left-out", claimsFile, "they state that %v were left out, but %v are not there", said, &c.absents)
	}
}

// LeftOut walks the blobs that records name and that are not carried since the recipient holds them, see [Claims].
func (v *Verified) LeftOut() iter.Seq2[formats.Blob, error] {
	return func(yield func(formats.Blob, error) bool) {
		if v.leftOut == nil {
			return
		}
		in, _, err := v.leftOut.reader()
		if err != nil {
			yield(formats.Blob{}, err)
			return
		}
		keys := bufio.NewReader(in)
		for {
			var key [blobKeySize]byte
			if _, err := io.ReadFull(keys, key[:]); err == io.EOF {
				return
			} else if err != nil {
				yield(formats.Blob{}, err)
				return
			}
			if !yield(parseBlobKey(key[:]), nil) {
				return
			}
		}
	}
}
