package accounts

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
)

// Cost is what one Argon2id hash takes (RFC 9106, section 3.1).
type Cost struct {
	Memory  uint32 // m, KiB
	Passes  uint32 // t
	Threads uint8  // p
}

// DefaultCost is what the OWASP Password Storage Cheat Sheet recommends: 19 MiB, two passes, one thread.
func DefaultCost() Cost { return Cost{Memory: 19 * 1024, Passes: 2, Threads: 1} }

// The most that is believed. A hash that says more is damaged, and to compute it would take the machine.
const (
	maxMemory  = 1 << 20 // KiB: 1 GiB
	maxPasses  = 64
	maxThreads = 64
)

var errHash = errors.New("this is no Argon2id hash in the PHC string format")

func (c Cost) check() error {
	switch {
	case c.Threads < 1 || c.Threads > maxThreads, c.Passes < 1 || c.Passes > maxPasses, c.Memory < 8*uint32(c.Threads) || c.Memory > maxMemory:
		return fmt.Errorf("a hash cannot take %s", c)
	}
	return nil
}

func (c Cost) String() string { return fmt.Sprintf("m=%d,t=%d,p=%d", c.Memory, c.Passes, c.Threads) }

// weaker reports whether somebody who guesses has less to do than with other.
func (c Cost) weaker(other Cost) bool { return c.Memory < other.Memory || c.Passes < other.Passes }

// The lengths of salt and tag, in bytes: those that RFC 9106, section 4 recommends are made, others are read.
const (
	saltSize, minSalt, maxSalt = 16, 8, 64
	tagSize, minTag, maxTag    = 32, 16, 64
)

// hash is an Argon2id hash of a password, with all that is needed to compute it again.
type hash struct {
	cost Cost
	salt []byte
	tag  []byte
}

// parseHash reads the PHC string format, "$argon2id$v=19$m=19456,t=2,p=1$SALT$TAG"
// (https://github.com/P-H-C/phc-string-format). Only the one way to write a hash is read.
func parseHash(text string) (hash, error) {
	parts := strings.Split(text, "$")
	if len(parts) != 6 || parts[0] != "" || parts[1] != "argon2id" || parts[2] != "v=19" {
		return hash{}, errHash
	}
	var h hash
	if _, err := fmt.Sscanf(parts[3], "m=%d,t=%d,p=%d", &h.cost.Memory, &h.cost.Passes, &h.cost.Threads); err != nil {
		return hash{}, fmt.Errorf("%w: %w", errHash, err)
	}
	if err := h.cost.check(); err != nil {
		return hash{}, fmt.Errorf("%w: %w", errHash, err)
	}
	var err error
	if h.salt, err = decode(parts[4], minSalt, maxSalt); err != nil {
		return hash{}, err
	}
	if h.tag, err = decode(parts[5], minTag, maxTag); err != nil {
		return hash{}, err
	}
	if h.String() != text {
		return hash{}, fmt.Errorf("%w: it is written in another way", errHash)
	}
	return h, nil
}

func decode(text string, least, most int) ([]byte, error) {
	b, err := base64.RawStdEncoding.DecodeString(text)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errHash, err)
	}
	if len(b) < least || len(b) > most {
		return nil, fmt.Errorf("%w: %d bytes where %d to %d are allowed", errHash, len(b), least, most)
	}
	return b, nil
}

// String returns the hash in the PHC string format.
func (h hash) String() string {
	b64 := base64.RawStdEncoding.EncodeToString
	return "$argon2id$v=19$" + h.cost.String() + "$" + b64(h.salt) + "$" + b64(h.tag)
}
