package archive

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/passerelle-cloud/passerelle/formats"
)

const (
	indexFormat    = "passerelle-volumes/1"
	indexSuffix    = ".index.json"
	signatureAfter = ".sig" // added to the index's name
	maxIndex       = 64 << 20
	maxVolumes     = 1_000_000
)

// volumeIndex lists the volumes of an archive as they are carried, so that each can be fetched and checked by itself.
// It is signed with the archive key; the raw Ed25519 signature stands beside it.
type volumeIndex struct {
	Format   string       `json:"format"`
	Name     string       `json:"name"`
	ExportID string       `json:"export_id"`
	Sequence int          `json:"sequence"`
	Root     formats.Hash `json:"root"`
	Key      []byte       `json:"key"` // raw Ed25519 public key, base64
	Volumes  []Volume     `json:"volumes"`
}

// index writes and signs the list of volumes.
func (w *Writer) index(sealed *Sealed) error {
	text, err := json.MarshalIndent(volumeIndex{
		Format: indexFormat, Name: w.partial.base, ExportID: sealed.Claims.ExportID, Sequence: sealed.Claims.Sequence,
		Root: sealed.Root, Key: w.pub, Volumes: sealed.Volumes,
	}, "", "  ")
	if err != nil {
		return fmt.Errorf("volume index: %w", err)
	}
	text = append(text, '\n')
	sig, err := sign(w.opts.Signer, text)
	if err != nil {
		return err
	}
	name := w.partial.base + indexSuffix
	for _, f := range []struct {
		name string
		data []byte
	}{{name + signatureAfter, sig}, {name, text}} {
		if err := writeSynced(filepath.Join(w.partial.path, f.name), f.data); err != nil {
			return err
		}
		sealed.Files = append(sealed.Files, f.name)
	}
	return nil
}

func writeSynced(name string, data []byte) error {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	return errors.Join(err, f.Sync(), f.Close())
}

// readIndex reads an index and checks its signature against the key that it names itself; that this is the key of
// the bag is checked with the bag.
func readIndex(name string) (*volumeIndex, error) {
	text, err := readSmall(name, maxIndex)
	if err != nil {
		return nil, err
	}
	sig, err := readSmall(name+signatureAfter, 1<<10)
	if err != nil {
		return nil, fmt.Errorf("the signature of the volume index: %w", err)
	}
	var index volumeIndex
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&index); err != nil {
		return nil, fmt.Errorf("%w: volume index %s: %v", ErrFault, name, err)
	}
	if index.Format != indexFormat {
		return nil, fmt.Errorf("%w: volume index %s says format %q; this program reads %s", ErrFault, name, index.Format, indexFormat)
	}
	if len(index.Key) != ed25519.PublicKeySize || !ed25519.Verify(index.Key, text, sig) {
		return nil, fmt.Errorf("%w: the signature of the volume index %s does not match: it was changed, or belongs to another", ErrFault, name)
	}
	return &index, index.check()
}

func (x *volumeIndex) check() error {
	if len(x.Volumes) == 0 || len(x.Volumes) > maxVolumes {
		return fmt.Errorf("%w: the volume index lists %d volumes", ErrFault, len(x.Volumes))
	}
	seen := map[string]bool{}
	for _, v := range x.Volumes {
		if (v.SHA256 == nil) == (v.Skeleton == nil) {
			return fmt.Errorf("%w: the volume index gives no hash of %q, or two", ErrFault, v.Name)
		}
		if v.Name == "" || v.Name != filepath.Base(v.Name) || strings.ContainsAny(v.Name, `/\`) || seen[v.Name] {
			return fmt.Errorf("%w: the volume index names a volume %q", ErrFault, v.Name)
		}
		seen[v.Name] = true
	}
	return nil
}

func readSmall(name string, limit int64) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(data)) > limit {
		err = fmt.Errorf("%w: %s is larger than %d bytes", ErrFault, name, limit)
	}
	return data, err
}

// Damaged returns which of the files that carry an archive are not what its index says, by their names: those are to be
// fetched again. Where the index itself is not sound, an error wraps [ErrFault].
func Damaged(index string) (names []string, err error) {
	x, err := readIndex(index)
	if err != nil {
		return nil, err
	}
	for _, v := range x.Volumes {
		if v.SHA256 == nil {
			continue // a volume in the clear is judged by what is in it
		}
		same, err := isHash(filepath.Join(filepath.Dir(index), v.Name), *v.SHA256)
		if err != nil {
			return nil, err
		}
		if !same {
			names = append(names, v.Name)
		}
	}
	return names, nil
}

func isHash(name string, want formats.Hash) (bool, error) {
	f, err := os.Open(name)
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer f.Close()
	digest := sha256.New()
	_, err = io.Copy(digest, f)
	return sum(digest) == want, err
}
