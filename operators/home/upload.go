package home

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/passerelle-cloud/passerelle/formats"
	"github.com/passerelle-cloud/passerelle/operators"
)

// uploads is the folder of files that persons are sending. It is beside those of the instances, whose names are numbers.
const uploads = "uploads"

// staleUpload is after how long an upload that nobody ended is taken for what a process left that died.
const staleUpload = 24 * time.Hour

// Upload is content that arrived as a whole and that no record names yet.
type Upload struct {
	Blob formats.Blob
	data []byte // of a small one
	file string // of one that is not
}

// Discard removes what nobody took.
func (u *Upload) Discard() error {
	if u.file == "" {
		return nil
	}
	if err := os.Remove(u.file); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// Receive takes content in, without a transaction, since it may take hours. Of more than most bytes it gives an error
// wrapping [ErrQuota]; most below 0 means no limit. The caller discards the upload in the end.
func (i *Instance) Receive(ctx context.Context, content io.Reader, most int64) (*Upload, error) {
	content = &careful{ctx: ctx, in: content}
	if most >= 0 {
		content = &bounded{in: content, left: most}
	}
	head, err := io.ReadAll(io.LimitReader(content, smallBlob+1))
	if err != nil {
		return nil, err
	}
	if len(head) <= smallBlob {
		return &Upload{Blob: formats.Blob{SHA256: formats.HashOf(head), Size: int64(len(head))}, data: head}, nil
	}
	dir := filepath.Join(i.home.dir, uploads)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	blob, name, err := writeTemporary(dir, io.MultiReader(bytes.NewReader(head), content), anySize)
	return &Upload{Blob: blob, file: name}, err
}

func emptyUpload() *Upload {
	return &Upload{Blob: formats.Blob{SHA256: formats.HashOf(nil)}, data: []byte{}}
}

// bounded gives an error where there is more than it should be.
type bounded struct {
	in   io.Reader
	left int64
}

func (b *bounded) Read(p []byte) (int, error) {
	n, err := b.in.Read(p)
	if b.left -= int64(n); b.left < 0 {
		return 0, ErrQuota
	}
	return n, err
}

// take makes a blob of an upload that fits.
func (w *writer) take(u *Upload) error {
	if has, err := w.hasBlob(u.Blob.SHA256); has || err != nil {
		return err
	}
	if counted, err := w.counted(u.Blob.SHA256); err != nil {
		return err
	} else if !counted && !w.fits(u.Blob.Size) {
		_, reason := w.missing(&u.Blob)
		return fmt.Errorf("%w: %s", ErrQuota, reason)
	}
	switch {
	case u.file == "" && u.data == nil:
		return operators.ErrContentMissing // it was here before
	case u.file != "":
		if err := os.MkdirAll(w.i.home.blobDir(w.i.id), 0o700); err != nil {
			return err
		}
		return w.keepFile(u.Blob, u.file)
	}
	return w.keep(u.Blob, u.data)
}

// sweepUploads removes what processes that died left.
func (h *Home) sweepUploads() error {
	dir := filepath.Join(h.dir, uploads)
	list, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for _, e := range list {
		info, infoErr := e.Info()
		if infoErr != nil || time.Since(info.ModTime()) < staleUpload {
			continue // gone meanwhile, or somebody's
		}
		err = errors.Join(err, os.Remove(filepath.Join(dir, e.Name())))
	}
	return err
}
