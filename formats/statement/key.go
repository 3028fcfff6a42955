package statement

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"filippo.io/age"

	"github.com/passerelle-cloud/passerelle/formats"
	"github.com/passerelle-cloud/passerelle/internal/strict"
)

// ErrKey is the parent of the errors that say why a key does not speak for an operator.
var ErrKey = errors.New("the key does not speak for this operator")

// Tolerance is by how much a signature's time may miss the period of its key: clocks differ, and work that began
// with a key ends with it.
const Tolerance = 10 * time.Minute

// Use says what a key is for. A key has one use.
type Use string

// The uses.
const (
	UseIdentity   Use = "identity"   // signs the statement, and the next identity key
	UseArchive    Use = "archive"    // signs archives
	UseLog        Use = "log"        // signs the log's checkpoints
	UseWitness    Use = "witness"    // cosigns other operators' checkpoints
	UseTokens     Use = "tokens"     // signs tokens
	UseEncryption Use = "encryption" // what is sent to the operator is encrypted to it
)

// Uses returns every use.
func Uses() []Use {
	return []Use{UseIdentity, UseArchive, UseLog, UseWitness, UseTokens, UseEncryption}
}

// Key is a public key of the operator, with the time for which it holds.
type Key struct {
	Use Use    `json:"use" validate:"required,oneof=identity archive log witness tokens encryption"`
	Kid string `json:"kid" validate:"required"` // RFC 7638 thumbprint of JWK
	Alg string `json:"alg" validate:"required,oneof=EdDSA X25519"`
	JWK JWK    `json:"jwk"`
	// Recipient is the same key as age writes it; for encryption only.
	Recipient string      `json:"recipient,omitempty"`
	Since     time.Time   `json:"since" validate:"required"`
	Until     *time.Time  `json:"until,omitempty"` // when it was retired; what it signed before remains valid
	Revoked   *Revocation `json:"revoked,omitempty"`
}

// Revocation says that nothing the key ever signed is to be believed.
type Revocation struct {
	At     time.Time `json:"at" validate:"required"`
	Reason string    `json:"reason" validate:"required,max=300,line"`
}

// JWK is a public key on Curve25519 (RFC 8037 section 2), with exactly these members.
type JWK struct {
	Kty string `json:"kty" validate:"required,eq=OKP"`
	Crv string `json:"crv" validate:"required,oneof=Ed25519 X25519"`
	X   string `json:"x" validate:"required"` // 32 bytes, base64url
}

// Algorithms of the keys.
const (
	algEdDSA  = "EdDSA"  // RFC 8037 section 3.1
	algX25519 = "X25519" // as age uses it
)

// NewKey describes an Ed25519 key that is in use from a time on.
func NewKey(use Use, pub ed25519.PublicKey, since time.Time) Key {
	jwk := edJWK(pub)
	return Key{Use: use, Kid: jwk.Thumbprint(), Alg: algEdDSA, JWK: jwk, Since: since.UTC()}
}

// NewEncryptionKey describes an age key that is in use from a time on.
func NewEncryptionKey(recipient *age.X25519Recipient, since time.Time) Key {
	jwk := JWK{Kty: "OKP", Crv: "X25519", X: base64.RawURLEncoding.EncodeToString(agePoint(recipient.String()))}
	return Key{Use: UseEncryption, Kid: jwk.Thumbprint(), Alg: algX25519, JWK: jwk,
		Recipient: recipient.String(), Since: since.UTC()}
}

func edJWK(pub ed25519.PublicKey) JWK {
	return JWK{Kty: "OKP", Crv: "Ed25519", X: base64.RawURLEncoding.EncodeToString(pub)}
}

// Thumbprint returns the RFC 7638 thumbprint (SHA-256, base64url), which serves as key id.
func (j JWK) Thumbprint() string {
	h := j.hash()
	return base64.RawURLEncoding.EncodeToString(h[:])
}

func (j JWK) hash() [sha256.Size]byte {
	return sha256.Sum256(fmt.Appendf(nil, `{"crv":%q,"kty":%q,"x":%q}`, j.Crv, j.Kty, j.X))
}

func (j JWK) bytes() ([]byte, error) {
	raw, err := base64.RawURLEncoding.DecodeString(j.X)
	if err != nil || len(raw) != 32 || base64.RawURLEncoding.EncodeToString(raw) != j.X {
		return nil, errors.New("x is not 32 bytes in base64url")
	}
	return raw, nil
}

// Ed25519 returns the public key.
func (j JWK) Ed25519() (ed25519.PublicKey, error) {
	raw, err := j.bytes()
	if err == nil && j.Crv != "Ed25519" {
		err = fmt.Errorf("it is a key on %q, not on Ed25519", j.Crv)
	}
	return raw, err
}

// Thumbprint returns the key id of an Ed25519 key.
func Thumbprint(pub ed25519.PublicKey) string { return edJWK(pub).Thumbprint() }

// Fingerprint returns the thumbprint in groups of four hexadecimal digits, for people to compare.
func (k *Key) Fingerprint() string {
	h := k.JWK.hash()
	digits := hex.EncodeToString(h[:])
	groups := make([]string, 0, len(digits)/4)
	for i := 0; i < len(digits); i += 4 {
		groups = append(groups, digits[i:i+4])
	}
	return strings.Join(groups, " ")
}

// Current reports whether the key is neither retired nor revoked.
func (k *Key) Current() bool { return k.Until == nil && k.Revoked == nil }

// ValidAt returns nil if the key held at a time, give or take [Tolerance]. A revoked key never held, since whoever
// has it can write any date. Errors wrap [ErrKey].
func (k *Key) ValidAt(at time.Time) error {
	switch {
	case k.Revoked != nil:
		return fmt.Errorf("%w: it was revoked on %s: %s", ErrKey, day(k.Revoked.At), k.Revoked.Reason)
	case at.Before(k.Since.Add(-Tolerance)):
		return fmt.Errorf("%w: it was not in use yet at %s, only since %s", ErrKey, moment(at), moment(k.Since))
	case k.Until != nil && at.After(k.Until.Add(Tolerance)):
		return fmt.Errorf("%w: it was no longer in use at %s, only until %s", ErrKey, moment(at), moment(*k.Until))
	}
	return nil
}

// Revoke says that nothing the key ever signed is to be believed. The reason, one line, is shown to people.
func (k *Key) Revoke(at time.Time, reason string) error {
	if reason == "" || len(reason) > 300 || !strict.IsLine(reason) {
		return fmt.Errorf("%w: revoke %s: give a reason of one line", formats.ErrInvalid, k.Kid)
	}
	k.Revoked = &Revocation{At: at.UTC(), Reason: reason}
	return nil
}

// ArchiveKeyAt returns nil if pub is a key of the operator for archives and held at a time. Errors wrap [ErrKey].
func (s *Signed) ArchiveKeyAt(pub ed25519.PublicKey, at time.Time) error {
	return s.KeyAt(UseArchive, pub, at)
}

// KeyAt is [Signed.ArchiveKeyAt] for any use that signs.
func (s *Signed) KeyAt(use Use, pub ed25519.PublicKey, at time.Time) error {
	kid := Thumbprint(pub)
	for _, k := range s.Statement.Keys {
		switch {
		case k.Kid != kid:
		case k.Use != use:
			return fmt.Errorf("%w: the statement of %s lists it for %s, not for %s", ErrKey, s.Statement.ID, k.Use, use)
		default:
			return k.ValidAt(at)
		}
	}
	return fmt.Errorf("%w: the statement of %s does not list it (%s)", ErrKey, s.Statement.ID, kid)
}

// Recipients returns the age keys to which something for the operator is encrypted now.
func (s *Signed) Recipients() ([]age.Recipient, error) {
	var recipients []age.Recipient
	for _, k := range s.Statement.Keys {
		if k.Use != UseEncryption || !k.Current() {
			continue
		}
		r, err := age.ParseX25519Recipient(k.Recipient)
		if err != nil {
			return nil, fmt.Errorf("%w: encryption key %s: %v", ErrKey, k.Kid, err)
		}
		recipients = append(recipients, r)
	}
	if len(recipients) == 0 {
		return nil, fmt.Errorf("%w: the statement of %s lists no current key for encryption", ErrKey, s.Statement.ID)
	}
	return recipients, nil
}

const bech32Digits = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"

// agePoint returns the 32 bytes of an X25519 recipient that age has parsed or written, and so checked: the five-bit
// digits (BIP 173) between the prefix "age1" and the six of the checksum.
func agePoint(recipient string) []byte {
	digits := strings.TrimPrefix(recipient, "age1")
	var point []byte
	bits, have := uint32(0), 0
	for _, c := range []byte(digits[:len(digits)-6]) {
		bits = bits<<5 | uint32(bytes.IndexByte([]byte(bech32Digits), c))
		if have += 5; have >= 8 {
			have -= 8
			point = append(point, byte(bits>>have))
		}
	}
	return point
}

func day(t time.Time) string { return t.UTC().Format(time.DateOnly) }

func moment(t time.Time) string { return t.UTC().Format(time.RFC3339) }
