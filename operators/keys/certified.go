package keys

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// Certified names a key about which a qualified trust service certifies whose it is (eIDAS). Others know it by that
// certificate, not by the operator's statement: it is in no list, and is replaced with its certificate.
type Certified string

// The keys that there are.
const (
	QWAC   Certified = "qwac"   // of the certificate that is shown to servers of banks
	QSealC Certified = "qsealc" // of the certificate for electronic seals, which signs what is sent there
)

// certifiedBits is the size of RSA keys that are made here.
const certifiedBits = 3072

// CertifiedKeys keeps such keys. They sign hashes; RSA ones as PKCS #1 version 1.5 or PSS.
type CertifiedKeys interface {
	// Certified returns the private key whose public half is given; nil stands for the newest one. The error wraps ErrNoKey
	// where there is none (yet), and ErrDamaged where there is another one.
	Certified(ctx context.Context, of Certified, public crypto.PublicKey) (crypto.Signer, error)
	// MakeCertified makes an RSA key where there is none yet, and returns the newest one: for a certificate to be asked for.
	MakeCertified(ctx context.Context, of Certified) (crypto.Signer, error)
}

var (
	_ CertifiedKeys = (*Files)(nil)
	_ CertifiedKeys = (*Vault)(nil)
)

func (c Certified) check() error {
	if c != QWAC && c != QSealC {
		return fmt.Errorf("%w: no key is called %.20q", ErrNoKey, string(c))
	}
	return nil
}

func noCertified(c Certified, where string) error {
	return fmt.Errorf("%w: there is none for the %s; make one for which a certificate is asked for, or put that which a trust service gave into %s", ErrNoKey, c, where)
}

// certifiedFolder is where a folder of keys has them, each a PEM file that openssl reads: an administrator may put one there.
const certifiedFolder = "certified"

func (f *Files) certifiedPath(of Certified) string {
	return f.path(filepath.Join(certifiedFolder, string(of)+".pem"))
}

// Certified implements [CertifiedKeys].
func (f *Files) Certified(_ context.Context, of Certified, public crypto.PublicKey) (crypto.Signer, error) {
	if err := of.check(); err != nil {
		return nil, err
	}
	path := f.certifiedPath(of)
	key, err := readCertified(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, noCertified(of, path)
	}
	if err != nil {
		return nil, err
	}
	if public != nil && !samePublic(key, public) {
		return nil, fmt.Errorf("%w: %s is another key than that of the certificate: put both of them in together", ErrDamaged, path)
	}
	return key, nil
}

// samePublic reports whether a private key is that of a public one.
func samePublic(key crypto.Signer, public crypto.PublicKey) bool {
	own, ok := key.Public().(interface{ Equal(crypto.PublicKey) bool })
	return ok && own.Equal(public)
}

// MakeCertified implements [CertifiedKeys].
func (f *Files) MakeCertified(ctx context.Context, of Certified) (crypto.Signer, error) {
	if err := of.check(); err != nil {
		return nil, err
	}
	err := f.change(ctx, func(*keyList) error {
		_, err := os.Stat(f.certifiedPath(of))
		if !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		key, err := rsa.GenerateKey(rand.Reader, certifiedBits)
		if err != nil {
			return err
		}
		der, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			return err
		}
		if err := makeFolder(f.path(certifiedFolder)); err != nil {
			return err
		}
		text := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
		if err := f.write(filepath.Join(certifiedFolder, string(of)+".pem"), text); err != nil {
			return err
		}
		return syncFolder(f.path(certifiedFolder))
	})
	if err != nil {
		return nil, fmt.Errorf("make a key for the %s: %w", of, err)
	}
	return f.Certified(ctx, of, nil)
}

// readCertified reads a private key of RSA or of an elliptic curve, in one of the forms that openssl writes. What is in a
// file that cannot be read is never repeated.
func readCertified(path string) (crypto.Signer, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	if err := checkMode(path, info, "600"); err != nil {
		return nil, err
	}
	text, err := io.ReadAll(io.LimitReader(file, maxPrivate+1))
	if err != nil {
		return nil, err
	}
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if key := parseCertified(block); key != nil {
			return key, nil
		}
	}
	return nil, fmt.Errorf("%w: %s holds no private key of RSA or of an elliptic curve in PEM, without a passphrase; put it there once more", ErrDamaged, path)
}

func parseCertified(block *pem.Block) crypto.Signer {
	switch block.Type {
	case "RSA PRIVATE KEY":
		if key, err := x509.ParsePKCS1PrivateKey(block.Bytes); err == nil {
			return key
		}
	case "EC PRIVATE KEY":
		if key, err := x509.ParseECPrivateKey(block.Bytes); err == nil {
			return key
		}
	case "PRIVATE KEY":
		key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
		if err != nil {
			return nil
		}
		switch key := key.(type) {
		case *rsa.PrivateKey:
			return key
		case *ecdsa.PrivateKey:
			return key
		}
	}
	return nil
}
