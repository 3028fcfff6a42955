// Package keys keeps the keys with which an operator speaks: one a use, so that what one of them signs is never taken
// for the work of another, and one lost key does not take the rest with it. It also says who the operator is: the
// profile that an administrator writes, and the signed statement made of profile and keys.
//
// It must never know what is signed or encrypted, nor any network but the way to Vault; and nothing outside it ever sees
// a private key.
package keys

import (
	"context"
	"crypto"
	"errors"

	"filippo.io/age"

	"github.com/passerelle-cloud/passerelle/formats/statement"
)

// The parents of the errors of a store.
var (
	// ErrDamaged is returned where keys are missing or are not what the store's list says.
	ErrDamaged = errors.New("the key store is damaged")
	// ErrExposed is returned where others than the owner could read private keys.
	ErrExposed = errors.New("private keys can be read by others")
	// ErrNoKey is returned for a key id that the store does not have.
	ErrNoKey = errors.New("there is no such key")
)

// Signer is the current private key of a use. It remains usable for some time after a rotation, for work that has begun.
type Signer struct {
	crypto.Signer        // Ed25519
	Kid           string // RFC 7638 thumbprint
}

// Public is what everybody may know of the keys.
type Public struct {
	Keys       []statement.Key // in the order of [statement.Uses], each use from the oldest to the current one
	Succession []string        // from the first identity key to the current one: see [statement.SignSuccession]
}

// Store keeps an operator's keys: an Ed25519 key for each use that signs and an age key for encryption, made when the
// store is first used. [Files] keeps them in a folder; [Vault] lets Vault sign, which is why private keys are only ever
// used through it.
//
// Several processes, on several machines where the place allows it, may use the same store at once. Everything is
// durable when a method returns.
type Store interface {
	// Signer returns the current key of a use. The age key, of statement.UseEncryption, signs nothing.
	Signer(ctx context.Context, use statement.Use) (Signer, error)
	// Public lists the keys, those retired and revoked too.
	Public(ctx context.Context) (Public, error)
	// Rotate retires the current key of a use and returns the one that takes its place. What the old one signed
	// remains valid, and what was encrypted to it can still be read. An old identity key signs the new one.
	Rotate(ctx context.Context, use statement.Use) (statement.Key, error)
	// Revoke declares a key void from its beginning, with a reason of one line; a current key is rotated first. It
	// returns an error wrapping ErrNoKey for a key that the store does not list.
	Revoke(ctx context.Context, kid, reason string) error
	// Identities returns the private age keys, the current one first, then older ones for what was encrypted to them.
	Identities(ctx context.Context) ([]age.Identity, error)
	// Recipient returns the public half of the current age key.
	Recipient(ctx context.Context) (age.Recipient, error)
	// Publish calls next with the signed statement published last (nil if there is none) and the version that the
	// following one gets, keeps what next returns, and returns it. Where next returns nil, the last one stays.
	// What is kept was made from the keys and the statement as they are, in whatever process; a version is never given
	// to two statements. next may be called again, where another process was faster.
	Publish(ctx context.Context, next func(last []byte, version int64) ([]byte, error)) ([]byte, error)
}
