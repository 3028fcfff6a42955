package archive

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"

	"filippo.io/age"
)

// FileKeys are the keys of single encrypted files, by what their headers hold. They open those files, and nothing else that
// the person's key or passphrase would: who needs them for some time keeps them in its place. They are an [age.Identity].
type FileKeys map[string][]byte

// Unwrap implements [age.Identity].
func (k FileKeys) Unwrap(stanzas []*age.Stanza) ([]byte, error) {
	if key, ok := k[headerName(stanzas)]; ok {
		return key, nil
	}
	return nil, age.ErrIncorrectIdentity
}

func headerName(stanzas []*age.Stanza) string {
	digest := sha256.New()
	add := func(p []byte) {
		digest.Write(binary.BigEndian.AppendUint32(nil, uint32(len(p))))
		digest.Write(p)
	}
	for _, s := range stanzas {
		add([]byte(s.Type))
		for _, a := range s.Args {
			add([]byte(a))
		}
		add(s.Body)
	}
	return hex.EncodeToString(digest.Sum(nil))
}

// learning notes which key an identity finds.
type learning struct {
	age.Identity
	keys FileKeys
}

func (l learning) Unwrap(stanzas []*age.Stanza) ([]byte, error) {
	key, err := l.Identity.Unwrap(stanzas)
	if err == nil {
		l.keys[headerName(stanzas)] = key
	}
	return key, err
}

// Unlock returns the keys of those of the files that are encrypted; none where none is. The error is [ErrLocked] where one is
// that none of the identities opens.
func Unlock(paths []string, identities ...age.Identity) (FileKeys, error) {
	keys := FileKeys{}
	with := []age.Identity{}
	for _, id := range identities {
		with = append(with, learning{id, keys})
	}
	for _, path := range paths {
		if err := unlock(path, with); err != nil {
			return nil, err
		}
	}
	return keys, nil
}

func unlock(path string, with []age.Identity) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	head := make([]byte, len(ageMagic))
	if n, err := f.ReadAt(head, 0); n < len(head) || !bytes.Equal(head, ageMagic) {
		if errors.Is(err, io.EOF) {
			err = nil
		}
		return err
	}
	if len(with) == 0 {
		return ErrLocked
	}
	_, err = age.Decrypt(f, with...)
	var noMatch *age.NoIdentityMatchError
	if errors.As(err, &noMatch) {
		return ErrLocked
	}
	if err != nil {
		return fmt.Errorf("%w: its header: %w", ErrFault, err)
	}
	return nil
}
