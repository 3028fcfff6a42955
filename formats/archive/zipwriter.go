package archive

import (
	"archive/zip"
	"errors"
	"fmt"
	"io"
	"time"

	"filippo.io/age"

	"github.com/passerelle-cloud/passerelle/formats"
)

// zipFile writes the whole bag as one zip64. Its directory is kept in memory, some 0.4 kB a file: zip is for a
// person's download; what has millions of files is carried as volumes.
type zipFile struct {
	*zip.Writer
	file *carriedFile
}

// zipHeader is the only header that we write for a file: stored, with a data descriptor after the bytes, and the
// time to the second.
func zipHeader(name string, modified time.Time) *zip.FileHeader {
	h := &zip.FileHeader{Name: name, Method: zip.Store}
	if !modified.IsZero() {
		h.Modified = modified.Truncate(time.Second).UTC()
	}
	return h
}

func newZipFile(dir, name string, recipients []age.Recipient) (*zipFile, error) {
	file, out, err := createCarried(dir, name, recipients, len(recipients) > 0)
	if err != nil {
		return nil, err
	}
	return &zipFile{Writer: zip.NewWriter(out), file: file}, nil
}

func (z *zipFile) create(name string, _ int64, modified time.Time) (io.Writer, error) {
	w, err := z.CreateHeader(zipHeader(name, modified))
	if err != nil {
		return nil, fmt.Errorf("write %s: %w", name, err)
	}
	return w, nil
}

func (z *zipFile) end(formats.Hash) error { return nil }

func (z *zipFile) finish() ([]Volume, error) {
	err := z.Close()
	volume, errFinish := z.file.finish()
	return []Volume{volume}, errors.Join(err, errFinish)
}

func (z *zipFile) abort() { z.file.abort() }
