package archive

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/binary"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
	"time"

	"golang.org/x/crypto/blake2b"
)

// The two signatures over tagmanifest-sha256.txt are made with the same Ed25519 key (RFC 8032): one raw, which
// `openssl pkeyutl -verify -rawin` checks, one in the format of minisign 0.10 and later (prehashed with BLAKE2b-512).

const (
	minisigComment = "untrusted comment: signature of a Passerelle archive\n"
	trustedPrefix  = "trusted comment: "
	minipubComment = "untrusted comment: minisign public key "
)

func sign(signer crypto.Signer, message []byte) ([]byte, error) {
	sig, err := signer.Sign(nil, message, crypto.Hash(0))
	if err != nil {
		return nil, fmt.Errorf("sign the archive: %w", err)
	}
	if len(sig) != ed25519.SignatureSize {
		return nil, fmt.Errorf("sign the archive: the key gave %d bytes, not an Ed25519 signature", len(sig))
	}
	return sig, nil
}

func publicKey(signer crypto.Signer) (ed25519.PublicKey, error) {
	pub, ok := signer.Public().(ed25519.PublicKey)
	if !ok {
		return nil, fmt.Errorf("archives are signed with Ed25519, not with a %T", signer.Public())
	}
	return pub, nil
}

func publicPEM(pub ed25519.PublicKey) ([]byte, error) {
	der, err := x509.MarshalPKIXPublicKey(pub)
	if err != nil {
		return nil, fmt.Errorf("encode the public key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), nil
}

func parsePublicPEM(data []byte) (ed25519.PublicKey, error) {
	block, _ := pem.Decode(data)
	if block == nil {
		return nil, errors.New("it is not a PEM file")
	}
	key, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return nil, err
	}
	pub, ok := key.(ed25519.PublicKey)
	if !ok {
		return nil, fmt.Errorf("it holds a %T, not an Ed25519 key", key)
	}
	if again, err := publicPEM(pub); err != nil || !bytes.Equal(again, data) {
		return nil, errors.New("it is not written as it should be")
	}
	return pub, nil
}

// keyNumber is minisign's short name of a key; we take it from the key's hash.
func keyNumber(pub ed25519.PublicKey) []byte {
	h := sha256.Sum256(pub)
	return h[:8]
}

func minisignPublic(pub ed25519.PublicKey) []byte {
	number := keyNumber(pub)
	raw := append(append([]byte("Ed"), number...), pub...)
	return fmt.Appendf(nil, "%s%016X\n%s\n", minipubComment, binary.LittleEndian.Uint64(number), base64.StdEncoding.EncodeToString(raw))
}

// minisign signs message in minisign's prehashed form.
func minisign(signer crypto.Signer, pub ed25519.PublicKey, message []byte, at time.Time) ([]byte, error) {
	digest := blake2b.Sum512(message)
	sig, err := sign(signer, digest[:])
	if err != nil {
		return nil, err
	}
	trusted := fmt.Sprintf("timestamp:%d\tfile:%s\thashed", at.Unix(), tagManifestFile)
	global, err := sign(signer, append(bytes.Clone(sig), trusted...))
	if err != nil {
		return nil, err
	}
	return renderMinisig(pub, sig, trusted, global), nil
}

func renderMinisig(pub ed25519.PublicKey, sig []byte, trusted string, global []byte) []byte {
	raw := append(append([]byte("ED"), keyNumber(pub)...), sig...)
	return fmt.Appendf(nil, "%s%s\n%s%s\n%s\n", minisigComment, base64.StdEncoding.EncodeToString(raw),
		trustedPrefix, trusted, base64.StdEncoding.EncodeToString(global))
}

// checkMinisig checks a signature that minisign made of message, and that it is written exactly as we write it.
func checkMinisig(pub ed25519.PublicKey, message, file []byte) error {
	lines := strings.Split(string(file), "\n")
	if len(lines) != 5 {
		return errors.New("it does not have four lines")
	}
	raw, err1 := base64.StdEncoding.DecodeString(lines[1])
	global, err2 := base64.StdEncoding.DecodeString(lines[3])
	if err := errors.Join(err1, err2); err != nil {
		return err
	}
	if len(raw) != 2+8+ed25519.SignatureSize || len(global) != ed25519.SignatureSize {
		return errors.New("a signature in it has the wrong length")
	}
	sig, trusted := raw[10:], strings.TrimPrefix(lines[2], trustedPrefix)
	if !bytes.Equal(renderMinisig(pub, sig, trusted, global), file) {
		return errors.New("it is not written as it should be, or names another key")
	}
	digest := blake2b.Sum512(message)
	if !ed25519.Verify(pub, digest[:], sig) || !ed25519.Verify(pub, append(bytes.Clone(sig), trusted...), global) {
		return errors.New("the signature does not match")
	}
	return nil
}
