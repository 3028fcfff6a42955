package provider

import (
	"fmt"
	"time"

	"github.com/passerelle-cloud/passerelle/internal/seal"
)

// State is what must be remembered while somebody is at the provider. The browser keeps it, sealed. Purpose and Next are
// the caller's.
type State struct {
	Issuer                           string // where they were sent (RFC 9700, section 4.4)
	State, Nonce, Verifier, Redirect string
	Fresh                            bool
	Begun                            time.Time
	Purpose, Next                    string
}

// What is sealed for one use opens for no other.
const (
	labelState    = "provider state"
	labelIdentity = "provider identity"
)

// Seal turns the state into text that only who has the secret (32 bytes) can read or change.
func (s State) Seal(secret []byte) (string, error) { return sealFor(secret, labelState, s) }

// Open is the reverse of [State.Seal]. The error wraps [ErrInvalid], or [ErrExpired] after [Lifetime].
func Open(secret []byte, sealed string, now time.Time) (s State, err error) {
	if err := open(secret, labelState, sealed, &s); err != nil {
		return State{}, err
	}
	return s, inTime(s.Begun, now)
}

// Seal turns the identity into text for a form: who it is when they have chosen a name.
func (i Identity) Seal(secret []byte) (string, error) { return sealFor(secret, labelIdentity, i) }

// OpenIdentity is the reverse of [Identity.Seal]. The error wraps [ErrInvalid], or [ErrExpired] after [Lifetime].
func OpenIdentity(secret []byte, sealed string, now time.Time) (i Identity, err error) {
	if err := open(secret, labelIdentity, sealed, &i); err != nil {
		return Identity{}, err
	}
	return i, inTime(i.Begun, now)
}

func inTime(begun, now time.Time) error {
	if begun.After(now.Add(leeway)) {
		return invalid("it is from the future: the clocks differ")
	}
	if now.Sub(begun) > Lifetime {
		return ErrExpired
	}
	return nil
}

func sealFor(secret []byte, use string, value any) (string, error) {
	box, err := seal.New(secret, use)
	if err != nil {
		return "", err
	}
	return box.Seal(value)
}

func open(secret []byte, use, sealed string, value any) error {
	box, err := seal.New(secret, use)
	if err == nil {
		err = box.Open(sealed, value)
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	return nil
}
