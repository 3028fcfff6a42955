package home

import (
	"bytes"
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/passerelle-cloud/passerelle/formats"
	"github.com/passerelle-cloud/passerelle/operators"
)

// damagedAfter is what the names of files end with that hold what was left of damaged bytes: perhaps somebody can mend
// them. They go with the instance.
const damagedAfter = ".damaged"

// Examine implements [operators.Examining]. Bytes that were set aside count as lost until the same ones come again.
func (s *Source) Examine(ctx context.Context, since operators.Position) (damaged int, err error) {
	if err := s.Close(); err != nil {
		return 0, err
	}
	for after := []byte{}; ; {
		page, err := s.examined(ctx, since, after)
		if err != nil || len(page) == 0 {
			return damaged, err
		}
		for _, b := range page {
			sound, err := s.sound(ctx, b)
			if err == nil && !sound {
				damaged++
				err = s.setAside(ctx, b)
			}
			if err != nil {
				return damaged, fmt.Errorf("examine the bytes %s: %w", b.hash, err)
			}
		}
		after = page[len(page)-1].hash[:]
	}
}

// kept are bytes as the instance keeps them.
type kept struct {
	hash formats.Hash
	size int64
	data []byte // nil where they are in a file
}

func (s *Source) examined(ctx context.Context, since operators.Position, after []byte) (page []kept, err error) {
	rows, err := s.home.db.Read.QueryContext(ctx, `
		SELECT b.hash, b.size, b.data FROM home_blob b WHERE b.instance = $1 AND b.hash > $2 AND b.size > 0
			AND EXISTS (SELECT 1 FROM home_record r WHERE r.instance = $1 AND r.blob = b.hash AND r.blob_since > $3)
		ORDER BY b.hash LIMIT $4`, s.id, after, int64(since), pageRecords)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var b kept
		var hash []byte
		if err := rows.Scan(&hash, &b.size, &b.data); err != nil {
			return nil, err
		}
		b.hash = formats.Hash(hash)
		page = append(page, b)
	}
	return page, rows.Err()
}

// sound reports whether bytes are what they should be. Lost ones are nothing new.
func (s *Source) sound(ctx context.Context, b kept) (bool, error) {
	if b.data != nil {
		return formats.HashOf(b.data) == b.hash, nil
	}
	f, err := os.Open(s.blobFile(b.hash))
	if errors.Is(err, fs.ErrNotExist) {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	defer f.Close()
	digest := sha256.New()
	_, err = io.Copy(digest, &careful{ctx: ctx, in: f})
	if errors.Is(err, syscall.EIO) {
		return false, nil // the disk cannot read them any more
	}
	return bytes.Equal(digest.Sum(nil), b.hash[:]), err
}

// setAside gives damaged bytes another name.
func (s *Source) setAside(ctx context.Context, b kept) error {
	name := s.blobFile(b.hash)
	if b.data == nil {
		if err := os.Rename(name, name+damagedAfter); !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil // it went meanwhile
	}
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		return err
	}
	if err := os.WriteFile(name+damagedAfter, b.data, 0o600); err != nil {
		return err
	}
	return s.home.db.Tx(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `UPDATE home_blob SET data = NULL WHERE instance = $1 AND hash = $2 AND data = $3`, s.id, b.hash[:], b.data)
		return err
	})
}

var _ operators.Examining = (*Source)(nil)
