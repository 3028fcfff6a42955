package keys

import "context"

// SecretSize is the length of a secret, in bytes.
const SecretSize = 32

// Secrets keeps random secrets of [SecretSize] bytes, each under a name, outside what is backed up with the database:
// to destroy one is to erase whatever was encrypted with it. [SecretFiles] keeps them in a folder, [Vault] in its
// key-value store. Names are lower-case letters, digits and hyphens, at most 100 of them, and tell nobody anything.
//
// Everything is durable when a method returns, and any number of processes may use the same secrets.
type Secrets interface {
	// Secret returns the secret of that name, or an error wrapping ErrNoKey if there is none (any more).
	Secret(ctx context.Context, name string) ([]byte, error)
	// MakeSecret returns the secret of that name, which it draws at random where there is none yet. Callers that come
	// at the same time get the same one.
	MakeSecret(ctx context.Context, name string) ([]byte, error)
	// DestroySecret destroys it for good, in every version. Where there is none, that is done already.
	DestroySecret(ctx context.Context, name string) error
}
