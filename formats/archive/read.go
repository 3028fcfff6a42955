package archive

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/passerelle-cloud/passerelle/formats"
)

// Records walks the records of a dataset as they were verified.
func (v *Verified) Records(d formats.Dataset) formats.Records {
	if s := v.records[d]; s != nil {
		return s.records()
	}
	return func(func(formats.Record, error) bool) {}
}

// Blobs reads the archive a second time and visits the bytes of each blob. A visitor may leave bytes unread. Should
// somebody change the archive between the two readings, then the bytes no longer are the blob's: whoever stores them
// finds that out by hashing them.
func (v *Verified) Blobs(ctx context.Context, visit func(blob formats.Blob, content io.Reader) error) error {
	in, _, err := v.blobs.reader()
	if err != nil {
		return err
	}
	keys := bufio.NewReaderSize(in, 64<<10)
	var key [blobKeySize]byte
	return v.archive.walk(ctx, func(e *entry) error {
		_, name, _ := strings.Cut(e.name, "/")
		if !holdsBlob(name) {
			return nil
		}
		if _, err := io.ReadFull(keys, key[:]); err != nil {
			return fmt.Errorf("%w: it changed while it was read", ErrFault)
		}
		return visit(parseBlobKey(key[:]), e.body)
	}, func(Fault) {})
}
