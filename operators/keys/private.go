package keys

import (
	"bytes"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"filippo.io/age"

	"github.com/passerelle-cloud/passerelle/formats/statement"
)

const maxPrivate = 16 << 10 // bytes; a private key file has some 200

func encodeEd25519(private ed25519.PrivateKey) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}

// encodeAge writes what age-keygen writes.
func encodeAge(identity *age.X25519Identity, at time.Time) []byte {
	return fmt.Appendf(nil, "# created: %s\n# public key: %s\n%s\n", at.Format(time.RFC3339), identity.Recipient(), identity)
}

func (f *Files) readEd25519(key statement.Key) (ed25519.PrivateKey, error) {
	data, err := f.readPrivate(key)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(data)
	if block == nil {
		return nil, f.damagedKey(key, "it is not a PEM file")
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, f.damagedKey(key, "it is not PKCS#8")
	}
	private, ok := parsed.(ed25519.PrivateKey)
	if !ok {
		return nil, f.damagedKey(key, fmt.Sprintf("it holds a %T, not an Ed25519 key", parsed))
	}
	if statement.Thumbprint(private.Public().(ed25519.PublicKey)) != key.Kid {
		return nil, f.damagedKey(key, "it holds another key than its name says")
	}
	return private, nil
}

func (f *Files) readAge(key statement.Key) (age.Identity, error) {
	data, err := f.readPrivate(key)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, f.damagedKey(key, "it is missing, so that what was encrypted to it cannot be read")
	}
	if err != nil {
		return nil, err
	}
	// The error of age is left out, lest it repeat what is in the file.
	identities, err := age.ParseIdentities(bytes.NewReader(data))
	if err != nil || len(identities) != 1 {
		return nil, f.damagedKey(key, "it does not hold one age identity")
	}
	identity, ok := identities[0].(*age.X25519Identity)
	if !ok || identity.Recipient().String() != key.Recipient {
		return nil, f.damagedKey(key, "it holds another key than its name says")
	}
	return identity, nil
}

func (f *Files) damagedKey(key statement.Key, why string) error {
	return fmt.Errorf("%w: %s: %s; restore it from a backup", ErrDamaged, f.path(fileOf(key)), why)
}

// readPrivate reads a private key file that nobody else can read. The error wraps fs.ErrNotExist if there is none.
func (f *Files) readPrivate(key statement.Key) ([]byte, error) {
	file, err := os.Open(f.path(fileOf(key)))
	if err != nil {
		return nil, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, f.damagedKey(key, "it is not a file")
	}
	if err := checkMode(file.Name(), info, "600"); err != nil {
		return nil, err
	}
	data, err := io.ReadAll(io.LimitReader(file, maxPrivate+1))
	if err == nil && len(data) > maxPrivate {
		err = f.damagedKey(key, "it is too large")
	}
	return data, err
}

// checkMode refuses what the group or others can read or write.
func checkMode(path string, info fs.FileInfo, mode string) error {
	if info.Mode().Perm()&0o077 == 0 {
		return nil
	}
	return fmt.Errorf("%w: %s has mode %04o; if nobody has read it, run: chmod %s %s; otherwise rotate the keys after that",
		ErrExposed, path, info.Mode().Perm(), mode, path)
}
