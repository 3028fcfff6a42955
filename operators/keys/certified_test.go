package keys

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestCertifiedKeys holds both places to the same contract.
func TestCertifiedKeys(t *testing.T) {
	for kind, open := range storeKinds {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			again := open(t)
			opened := func() CertifiedKeys {
				s, err := again()
				if err != nil {
					t.Fatal(err)
				}
				return s.(CertifiedKeys)
			}
			k := opened()
			if _, err := k.Certified(t.Context(), QSealC, nil); !errors.Is(err, ErrNoKey) {
				t.Errorf("there is none yet: %v", err)
			}
			if _, err := k.MakeCertified(t.Context(), "log"); !errors.Is(err, ErrNoKey) {
				t.Errorf("a key for another use: %v", err)
			}
			made := make([]crypto.Signer, 2)
			var wg sync.WaitGroup
			for i := range made {
				wg.Go(func() {
					var err error
					if made[i], err = k.MakeCertified(t.Context(), QSealC); err != nil {
						t.Error(err)
					}
				})
			}
			wg.Wait()
			key, err := opened().Certified(t.Context(), QSealC, made[0].Public())
			if err != nil || !samePublic(made[1], key.Public()) {
				t.Fatalf("not the same one: %v", err)
			}
			signsHashes(t, key)
			speaksTLS(t, key)
			other, err := rsa.GenerateKey(rand.Reader, 2048)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := k.Certified(t.Context(), QSealC, other.Public()); !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), "certificate") {
				t.Errorf("another key: %v", err)
			}
		})
	}
}

func signsHashes(t *testing.T, key crypto.Signer) {
	t.Helper()
	public := key.Public().(*rsa.PublicKey)
	if public.N.BitLen() != certifiedBits {
		t.Errorf("%d bits", public.N.BitLen())
	}
	hash := sha256.Sum256([]byte("message"))
	sig, err := key.Sign(rand.Reader, hash[:], crypto.SHA256)
	if err == nil {
		err = rsa.VerifyPKCS1v15(public, crypto.SHA256, hash[:], sig)
	}
	if err != nil {
		t.Error(err)
	}
	options := &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: crypto.SHA256}
	if sig, err = key.Sign(rand.Reader, hash[:], options); err == nil {
		err = rsa.VerifyPSS(public, crypto.SHA256, hash[:], sig, options)
	}
	if err != nil {
		t.Error(err)
	}
	if _, err := key.Sign(rand.Reader, hash[:5], crypto.SHA256); err == nil {
		t.Error("half a hash was signed")
	}
}

// speaksTLS shows a certificate of the key to a server, in TLS 1.2 and 1.3.
func speaksTLS(t *testing.T, key crypto.Signer) {
	t.Helper()
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	server.TLS = &tls.Config{ClientAuth: tls.RequireAnyClientCert}
	server.StartTLS()
	defer server.Close()
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		transport := server.Client().Transport.(*http.Transport).Clone()
		transport.TLSClientConfig.Certificates = []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}
		transport.TLSClientConfig.MinVersion, transport.TLSClientConfig.MaxVersion = version, version
		got, err := (&http.Client{Transport: transport}).Get(server.URL)
		if err != nil {
			t.Errorf("TLS %x: %v", version, err)
			continue
		}
		got.Body.Close()
	}
}

func TestCertifiedKeysInFiles(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "keys")
	if err := os.MkdirAll(filepath.Join(dir, certifiedFolder), 0o700); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, certifiedFolder, "qwac.pem")
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalECPrivateKey(ec)
	if err != nil {
		t.Fatal(err)
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der})
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	f := open(t, dir) // the key was there first
	if key, err := f.Certified(t.Context(), QWAC, ec.Public()); err != nil || !samePublic(key, ec.Public()) {
		t.Error(err)
	}
	if key, err := f.MakeCertified(t.Context(), QWAC); err != nil || !samePublic(key, ec.Public()) {
		t.Errorf("it was replaced: %v", err)
	}
	chmod(t, path, 0o644)
	if _, err := f.Certified(context.Background(), QWAC, nil); !errors.Is(err, ErrExposed) {
		t.Error(err)
	}
	chmod(t, path, 0o600)
	if err := os.WriteFile(path, []byte("-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Certified(t.Context(), QWAC, nil); !errors.Is(err, ErrDamaged) || strings.Contains(err.Error(), "AAAA") {
		t.Error(err)
	}
}
