// Package seal lets a browser keep something for us that it can neither read nor change: the state of a sign-in, say.
//
// It must never know what is sealed, nor for how long it holds: whoever seals puts a time into it.
package seal

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
)

// MinSecret is the least size of a secret, in bytes.
const MinSecret = 32

var (
	// ErrSecret is returned for a secret that is too short.
	ErrSecret = errors.New("the secret is too short")
	// ErrForeign is returned for text that was not sealed by the same secret for the same use.
	ErrForeign = errors.New("this was not sealed here")
)

// Box seals values for one use (AES-256-GCM). Any number of goroutines may use it.
type Box struct{ aead cipher.AEAD }

// New returns a box. Of one secret (at least [MinSecret] bytes) each use has a key of its own (HKDF, RFC 5869), so that
// what is sealed for one opens for no other.
func New(secret []byte, use string) (*Box, error) {
	if len(secret) < MinSecret {
		return nil, fmt.Errorf("%w: it has %d bytes, and needs %d", ErrSecret, len(secret), MinSecret)
	}
	key, err := hkdf.Key(sha256.New, secret, nil, "passerelle "+use, 32)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	aead, err := cipher.NewGCM(block)
	return &Box{aead}, err
}

// Seal turns a value, as JSON, into text for a form or a cookie: base64url.
func (b *Box) Seal(value any) (string, error) {
	text, err := json.Marshal(value)
	if err != nil {
		return "", err
	}
	nonce := make([]byte, b.aead.NonceSize())
	rand.Read(nonce)
	return base64.RawURLEncoding.EncodeToString(b.aead.Seal(nonce, nonce, text, nil)), nil
}

// Open is the reverse of Seal. The error wraps [ErrForeign].
func (b *Box) Open(text string, value any) error {
	raw, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil || len(raw) < b.aead.NonceSize() {
		return ErrForeign
	}
	plain, err := b.aead.Open(nil, raw[:b.aead.NonceSize()], raw[b.aead.NonceSize():], nil)
	if err != nil {
		return ErrForeign
	}
	if err := json.Unmarshal(plain, value); err != nil {
		return fmt.Errorf("%w: %w", ErrForeign, err)
	}
	return nil
}
