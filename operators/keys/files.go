package keys

import (
	"context"
	"crypto"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"filippo.io/age"

	"github.com/passerelle-cloud/passerelle/formats/statement"
)

// Files is a [Store] in a folder that only its owner can read: keys.json lists the keys, each private key is a file
// of its own, named by use and key id. Ed25519 keys are PKCS#8 in PEM, as openssl reads and writes them, and the age
// key has age's own form. Private keys that sign are destroyed when they are retired; age keys stay.
type Files struct {
	dir string
}

var _ Store = (*Files)(nil)

// OpenFiles opens the store in a folder, and makes folder and keys where there are none yet. Processes that start at
// the same time agree on the same keys.
func OpenFiles(ctx context.Context, dir string) (*Files, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("open the keys: %w", err)
	}
	f := &Files{dir: dir}
	if err := f.checkFolder(); err != nil {
		return nil, fmt.Errorf("open the keys: %w", err)
	}
	list, err := f.load()
	if err == nil && len(list.missing()) == 0 {
		return f, nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("open the keys: %w", err)
	}
	if err := f.change(ctx, func(list *keyList) error { return list.makeMissing(ctx, f) }); err != nil {
		return nil, fmt.Errorf("make the keys: %w", err)
	}
	return f, nil
}

// checkFolder refuses a folder that others can look into.
func (f *Files) checkFolder() error {
	info, err := os.Stat(f.dir)
	if err != nil {
		return err
	}
	return checkMode(f.dir, info, "700")
}

func (f *Files) path(name string) string { return filepath.Join(f.dir, name) }

// Signer implements [Store].
func (f *Files) Signer(ctx context.Context, use statement.Use) (Signer, error) {
	// Between looking into the list and opening the file, another process may rotate the key: then look again.
	var err error
	for range 3 {
		var s Signer
		if s, err = f.signer(use); err == nil || !errors.Is(err, fs.ErrNotExist) {
			return s, err
		}
	}
	return Signer{}, fmt.Errorf("%w: %w; restore it from a backup", ErrDamaged, err)
}

func (f *Files) signer(use statement.Use) (Signer, error) {
	list, err := f.load()
	if err != nil {
		return Signer{}, err
	}
	key, err := list.currentSigner(use)
	if err != nil {
		return Signer{}, err
	}
	private, err := f.readEd25519(*key)
	return Signer{Signer: private, Kid: key.Kid}, err
}

// Public implements [Store].
func (f *Files) Public(ctx context.Context) (Public, error) {
	list, err := f.load()
	if err != nil {
		return Public{}, err
	}
	return list.public(), nil
}

// Identities implements [Store].
func (f *Files) Identities(ctx context.Context) ([]age.Identity, error) {
	list, err := f.load()
	if err != nil {
		return nil, err
	}
	var identities []age.Identity
	for _, key := range slices.Backward(list.Keys) {
		if key.Use != statement.UseEncryption {
			continue
		}
		id, err := f.readAge(key)
		if err != nil {
			return nil, err
		}
		identities = append(identities, id)
	}
	return identities, nil
}

// Recipient implements [Store].
func (f *Files) Recipient(ctx context.Context) (age.Recipient, error) {
	list, err := f.load()
	if err != nil {
		return nil, err
	}
	recipient, err := list.recipient()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", f.path(listFile), err)
	}
	return recipient, nil
}

// Rotate implements [Store].
func (f *Files) Rotate(ctx context.Context, use statement.Use) (statement.Key, error) {
	var fresh statement.Key
	err := f.change(ctx, func(list *keyList) (err error) {
		fresh, err = list.rotate(ctx, f, use)
		return err
	})
	if err != nil {
		return statement.Key{}, fmt.Errorf("rotate the key for %s: %w", use, err)
	}
	return fresh, nil
}

// Revoke implements [Store].
func (f *Files) Revoke(ctx context.Context, kid, reason string) error {
	return f.change(ctx, func(list *keyList) error { return list.revoke(ctx, f, kid, reason) })
}

// Publish implements [Store].
func (f *Files) Publish(ctx context.Context, next func(last []byte, version int64) ([]byte, error)) ([]byte, error) {
	var published []byte
	err := f.change(ctx, func(list *keyList) error {
		last, err := os.ReadFile(f.path(statementFile))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if published, err = next(last, list.Version+1); err != nil {
			return err
		}
		if published == nil {
			published = last
			return nil
		}
		// The version is used up first: should the statement then not be written, its number is not given again.
		list.Version++
		if err := f.save(list); err != nil {
			return err
		}
		return f.write(statementFile, published)
	})
	if err != nil {
		return nil, fmt.Errorf("publish the operator statement: %w", err)
	}
	return published, nil
}

// destroyRetired removes the private keys that nothing may be signed with any more.
func (f *Files) destroyRetired(list *keyList) error {
	for _, k := range list.Keys {
		if k.Use == statement.UseEncryption || k.Current() {
			continue
		}
		if err := os.Remove(f.path(fileOf(k))); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("destroy a retired private key: %w", err)
		}
	}
	return nil
}

// make stores the private half of a new key pair: see [maker].
func (f *Files) make(_ context.Context, use statement.Use, at time.Time) (statement.Key, error) {
	if use == statement.UseEncryption {
		identity, err := age.GenerateX25519Identity()
		if err != nil {
			return statement.Key{}, err
		}
		key := statement.NewEncryptionKey(identity.Recipient(), at)
		return key, f.write(fileOf(key), encodeAge(identity, at))
	}
	pub, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		return statement.Key{}, err
	}
	key := statement.NewKey(use, pub, at)
	encoded, err := encodeEd25519(private)
	if err != nil {
		return statement.Key{}, err
	}
	return key, f.write(fileOf(key), encoded)
}

func (f *Files) signerOf(key statement.Key) (crypto.Signer, error) { return f.readEd25519(key) }

func fileOf(key statement.Key) string {
	ending := ".pem"
	if key.Use == statement.UseEncryption {
		ending = ".age"
	}
	return string(key.Use) + "-" + key.Kid + ending
}

func isPrivate(file string) bool {
	return strings.HasSuffix(file, ".pem") || strings.HasSuffix(file, ".age")
}
