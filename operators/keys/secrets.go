package keys

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"regexp"

	"github.com/passerelle-cloud/passerelle/formats"
)

// SecretSize is the length of a secret, in bytes.
const SecretSize = 32

// Secrets keeps random secrets of [SecretSize] bytes, each under a name, outside what is backed up with the database:
// to destroy one is to erase whatever was encrypted with it. [SecretFiles] keeps them in a folder, [Vault] in its
// key-value store. Names are lower-case letters, digits and hyphens, at most 100 of them, and tell nobody anything.
//
// Everything is durable when a method returns, and any number of processes may use the same secrets. Whatever keeps a
// secret from being read, but leaves it in being, is another error than ErrNoKey: nothing counts as erased by mistake.
type Secrets interface {
	// Secret returns the secret of that name, or an error wrapping ErrNoKey if there is none (any more).
	Secret(ctx context.Context, name string) ([]byte, error)
	// MakeSecret returns the secret of that name, which it draws at random where there is none yet. Callers that come
	// at the same time get the same one.
	MakeSecret(ctx context.Context, name string) ([]byte, error)
	// DestroySecret destroys it for good, in every version. Where there is none, that is done already.
	DestroySecret(ctx context.Context, name string) error
}

var secretName = regexp.MustCompile(`^[a-z0-9-]{1,100}$`)

// checkSecretName refuses names that could lead out of the place where secrets are.
func checkSecretName(name string) error {
	if secretName.MatchString(name) {
		return nil
	}
	return fmt.Errorf("%w: %.120q cannot name a secret: use 1 to 100 lower-case letters, digits and hyphens",
		formats.ErrInvalid, name)
}

func noSecret(name string) error {
	return fmt.Errorf("%w: there is no secret %s, or it was destroyed", ErrNoKey, name)
}

// drawSecret returns a new secret, which is never the one of zeros that stands for a destroyed one.
func drawSecret() []byte {
	secret := make([]byte, SecretSize)
	rand.Read(secret) // never fails: see crypto/rand
	return secret
}

// errLostRace says that another process was faster: look again.
var errLostRace = errors.New("another process keeps changing it; try again")
