package accounts

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"fmt"
	"unicode/utf8"

	"golang.org/x/crypto/argon2"
	"golang.org/x/text/secure/precis"
)

// How long a password may be, in bytes.
const (
	MinPassword = 8
	MaxPassword = 1024
)

// prepare brings a password into the one form in which it is hashed, whatever keyboard it was typed on: PRECIS
// OpaqueString (RFC 8265, section 4). The error wraps [ErrInvalid].
func prepare(password string) (string, error) {
	if len(password) < MinPassword || len(password) > MaxPassword {
		return "", fmt.Errorf("%w: a password has %d to %d bytes", ErrInvalid, MinPassword, MaxPassword)
	}
	prepared, err := precis.OpaqueString.String(password)
	if err != nil || !utf8.ValidString(password) { // which the profile would mend
		return "", fmt.Errorf("%w: a password is made of letters, digits, signs and spaces, no control characters", ErrInvalid)
	}
	if len(prepared) < MinPassword {
		return "", fmt.Errorf("%w: a password has at least %d bytes", ErrInvalid, MinPassword)
	}
	return prepared, nil
}

// hasher computes hashes (Argon2id, RFC 9106), a few at a time: each takes its memory for some tens of milliseconds.
type hasher struct {
	cost   Cost // of new ones
	slots  chan struct{}
	derive func(password, salt []byte, passes, memory uint32, threads uint8, size uint32) []byte
}

func newHasher(cost Cost, atATime int) *hasher {
	return &hasher{cost: cost, slots: make(chan struct{}, atATime), derive: argon2.IDKey}
}

// dummy is a hash that no password has. To check one against it takes as long as against a person's.
func (h *hasher) dummy() hash {
	return hash{cost: h.cost, salt: randomBytes(saltSize), tag: randomBytes(tagSize)}
}

// new hashes a password.
func (h *hasher) new(ctx context.Context, password string) (hash, error) {
	made := hash{cost: h.cost, salt: randomBytes(saltSize), tag: make([]byte, tagSize)}
	tag, err := h.compute(ctx, made, password)
	made.tag = tag
	return made, err
}

// matches reports whether a hash is of that password. It always computes one, so that nobody learns from the time it
// takes what was wrong.
func (h *hasher) matches(ctx context.Context, stored hash, password string) (bool, error) {
	prepared, bad := prepare(password)
	tag, err := h.compute(ctx, stored, prepared)
	if err != nil {
		return false, err
	}
	same := subtle.ConstantTimeCompare(tag, stored.tag) == 1
	return same && bad == nil, nil
}

// compute waits for its turn, as long as the context lasts.
func (h *hasher) compute(ctx context.Context, like hash, password string) ([]byte, error) {
	select {
	case h.slots <- struct{}{}:
		defer func() { <-h.slots }()
	case <-ctx.Done():
		return nil, fmt.Errorf("wait to check a password: %w", context.Cause(ctx))
	}
	return h.derive([]byte(password), like.salt, like.cost.Passes, like.cost.Memory, like.cost.Threads, uint32(len(like.tag))), nil
}

func randomBytes(n int) []byte {
	b := make([]byte, n)
	rand.Read(b)
	return b
}
