package keys

import (
	"context"
	"crypto"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/passerelle-cloud/passerelle/formats/statement"
)

// transitType is the type of keys that are made in the transit engine. An administrator may make or import others of RSA.
const transitType = "rsa-3072"

// Certified implements [CertifiedKeys]. The key is a version of a key in the transit engine, which may have been rotated since:
// the one that is wanted is known by its public half.
func (v *Vault) Certified(ctx context.Context, of Certified, public crypto.PublicKey) (crypto.Signer, error) {
	if err := of.check(); err != nil {
		return nil, err
	}
	path := v.transitPath(statement.Use(of))
	key, err := v.readTransit(ctx, statement.Use(of))
	if errors.Is(err, errNothingThere) {
		return nil, noCertified(of, path)
	}
	if err != nil {
		return nil, err
	}
	for version := key.Latest; version >= max(key.MinSign, 1); version-- {
		own, err := key.rsa(version)
		if err != nil {
			return nil, fmt.Errorf("%w: %s in Vault: %w", ErrDamaged, path, err)
		}
		if public == nil || own.Equal(public) {
			return &vaultRSA{vault: v, of: of, public: own, version: version}, nil
		}
	}
	return nil, fmt.Errorf("%w: no version of %s in Vault is the key of the certificate: put in the certificate that belongs to it", ErrDamaged, path)
}

// MakeCertified implements [CertifiedKeys].
func (v *Vault) MakeCertified(ctx context.Context, of Certified) (crypto.Signer, error) {
	if err := of.check(); err != nil {
		return nil, err
	}
	key, err := v.Certified(ctx, of, nil)
	if !errors.Is(err, ErrNoKey) {
		return key, err
	}
	// Where another process makes it at the same time, both get the same one.
	if err := v.session.do(ctx, put(v.transitPath(statement.Use(of)), map[string]string{"type": transitType}), nil); err != nil {
		return nil, fmt.Errorf("make a key for the %s: %w", of, err)
	}
	return v.Certified(ctx, of, nil)
}

// rsa returns the public half of a version, if its private half stays in Vault.
func (k *transitKey) rsa(version int) (*rsa.PublicKey, error) {
	switch {
	case !strings.HasPrefix(k.Type, "rsa-"):
		return nil, fmt.Errorf("it is a key of type %.40q, not of RSA", k.Type)
	case k.Exportable || k.Backup:
		return nil, errors.New("its private half can leave Vault")
	}
	block, _ := pem.Decode([]byte(k.PublicParts[strconv.Itoa(version)].PublicKey))
	if block == nil {
		return nil, fmt.Errorf("version %d has no public key", version)
	}
	parsed, err := x509.ParsePKIXPublicKey(block.Bytes)
	public, ok := parsed.(*rsa.PublicKey)
	if err != nil || !ok {
		return nil, fmt.Errorf("the public key of version %d is none of RSA", version)
	}
	return public, nil
}

// vaultRSA signs with one version of an RSA key, whose private half stays in Vault.
type vaultRSA struct {
	vault   *Vault
	of      Certified
	public  *rsa.PublicKey
	version int
}

// Public implements crypto.Signer.
func (s *vaultRSA) Public() crypto.PublicKey { return s.public }

// Sign implements crypto.Signer, over a hash (RFC 8017 section 8). A signature that the public key does not verify is never
// returned.
func (s *vaultRSA) Sign(_ io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	sig, err := s.sign(digest, opts)
	if err != nil {
		return nil, fmt.Errorf("sign with the key of the %s: %w", s.of, err)
	}
	return sig, nil
}

func (s *vaultRSA) sign(digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	names := map[crypto.Hash]string{crypto.SHA256: "sha2-256", crypto.SHA384: "sha2-384", crypto.SHA512: "sha2-512"}
	hash := opts.HashFunc()
	if names[hash] == "" || len(digest) != hash.Size() {
		return nil, fmt.Errorf("it signs hashes of SHA-256, SHA-384 and SHA-512 only, not %s of %d bytes", hash, len(digest))
	}
	ask := map[string]any{"input": digest, "prehashed": true, "hash_algorithm": names[hash], "signature_algorithm": "pkcs1v15", "key_version": s.version}
	pss, isPSS := opts.(*rsa.PSSOptions)
	if isPSS {
		if pss.SaltLength != rsa.PSSSaltLengthEqualsHash && pss.SaltLength != hash.Size() {
			return nil, errors.New("it signs with a salt as long as the hash only")
		}
		ask["signature_algorithm"], ask["salt_length"] = "pss", "hash"
	}
	path := s.vault.cfg.Transit + "/sign/" + s.vault.transitName(statement.Use(s.of))
	var got answer[struct {
		Signature string `json:"signature"`
	}]
	if err := s.vault.session.do(s.vault.session.root, put(path, ask).needs("update"), &got); err != nil {
		return nil, err
	}
	encoded, ok := strings.CutPrefix(got.Data.Signature, fmt.Sprintf("vault:v%d:", s.version))
	sig, err := base64.StdEncoding.DecodeString(encoded)
	if !ok || err != nil {
		return nil, fmt.Errorf("%w: what answers to %s does not sign as Vault does: check the address", ErrUnavailable, path)
	}
	verify := func() error { return rsa.VerifyPKCS1v15(s.public, hash, digest, sig) }
	if isPSS {
		verify = func() error { return rsa.VerifyPSS(s.public, hash, digest, sig, pss) }
	}
	if verify() != nil {
		return nil, fmt.Errorf("%w: Vault signed with another key than it says: nothing that it signed was given out", ErrDamaged)
	}
	return sig, nil
}
