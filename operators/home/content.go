package home

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/passerelle-cloud/passerelle/formats"
	"github.com/passerelle-cloud/passerelle/operators"
)

// Content opens the bytes of a blob that a record of this instance names, to be read from anywhere in them; the caller
// closes it. What is open stays whole, whatever becomes of the record. That the bytes have the hash is not checked
// again: a part of them cannot be.
//
// Bytes that the instance does not have, or no longer, give an error wrapping [operators.ErrChanged]: read the record
// again. Bytes that were lost, or of which some were, give one wrapping [operators.ErrContentMissing].
func (r *Reader) Content(ctx context.Context, blob formats.Blob) (io.ReadSeekCloser, error) {
	size, data, err := r.blob(ctx, blob.SHA256)
	if err == nil && (data != nil || size == 0) {
		if int64(len(data)) != size {
			return nil, missing(blob.SHA256, int64(len(data)), size)
		}
		return inMemory{bytes.NewReader(data)}, nil
	}
	if err != nil {
		return nil, err
	}
	f, err := openFile(r.i.blobFile(blob.SHA256), blob.SHA256, size)
	if errors.Is(err, fs.ErrNotExist) {
		// Either it went just now, together with its row, or it is lost.
		if _, _, err := r.blob(ctx, blob.SHA256); err != nil {
			return nil, err
		}
		return nil, missing(blob.SHA256, 0, size)
	}
	if err != nil {
		return nil, fmt.Errorf("open the content %s: %w", blob.SHA256, err)
	}
	return f, nil
}

// blob reads the row of a blob. Of one that is a file, data is nil.
func (r *Reader) blob(ctx context.Context, hash formats.Hash) (size int64, data []byte, err error) {
	err = r.i.home.db.Read.QueryRowContext(ctx, `SELECT size, data FROM home_blob WHERE instance = $1 AND hash = $2`, r.i.id, hash[:]).Scan(&size, &data)
	if errors.Is(err, sql.ErrNoRows) {
		if _, err = r.Position(ctx); err == nil {
			err = fmt.Errorf("no record has this content any more: %w", operators.ErrChanged)
		}
	}
	if err != nil {
		err = fmt.Errorf("find the content %s: %w", hash, err)
	}
	return size, data, err
}

// openFile opens the file of a blob, if it has all its bytes.
func openFile(name string, hash formats.Hash, size int64) (*os.File, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && info.Size() != size {
		err = missing(hash, info.Size(), size)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

func missing(hash formats.Hash, has, size int64) error {
	return fmt.Errorf("%w: of the %d bytes of %s, this operator holds %d; they must come from a backup", operators.ErrContentMissing, size, hash, has)
}
