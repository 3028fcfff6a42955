package formats

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
)

// Hash is a SHA-256, written as 64 lower-case hexadecimal digits.
type Hash [sha256.Size]byte

// HashOf returns the SHA-256 of b.
func HashOf(b []byte) Hash { return sha256.Sum256(b) }

// ParseHash reads 64 lower-case hexadecimal digits.
func ParseHash(s string) (Hash, error) {
	var h Hash
	err := h.UnmarshalText([]byte(s))
	return h, err
}

func (h Hash) String() string { return hex.EncodeToString(h[:]) }

// Append appends the hexadecimal form to dst.
func (h Hash) Append(dst []byte) []byte { return hex.AppendEncode(dst, h[:]) }

// IsZero reports whether h was never set.
func (h Hash) IsZero() bool { return h == Hash{} }

// MarshalText implements [encoding.TextMarshaler].
func (h Hash) MarshalText() ([]byte, error) { return h.Append(nil), nil }

// UnmarshalText implements [encoding.TextUnmarshaler]. Upper case is refused: there is one way to write a hash.
func (h *Hash) UnmarshalText(text []byte) error {
	for _, c := range text {
		if c >= 'A' && c <= 'F' {
			return fmt.Errorf("%w: hash %q is not in lower case", ErrInvalid, text)
		}
	}
	if len(text) != 2*len(h) {
		return fmt.Errorf("%w: a SHA-256 has 64 hexadecimal digits, %q has %d", ErrInvalid, text, len(text))
	}
	if _, err := hex.Decode(h[:], text); err != nil {
		return fmt.Errorf("%w: hash %q: %v", ErrInvalid, text, err)
	}
	return nil
}
