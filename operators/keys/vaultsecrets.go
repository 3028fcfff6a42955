package keys

import (
	"context"
	"errors"
	"fmt"
)

// kvSecret is a secret as the KV engine keeps it.
type kvSecret struct {
	Secret []byte `json:"secret"` // base64
}

// Secret implements [Secrets].
func (v *Vault) Secret(ctx context.Context, name string) ([]byte, error) {
	if err := checkSecretName(name); err != nil {
		return nil, err
	}
	secret, _, err := v.readSecret(ctx, name)
	if errors.Is(err, errNothingThere) || errors.Is(err, errDestroyed) {
		return nil, noSecret(name)
	}
	return secret, err
}

// readSecret reads a secret, and which version of it the engine has.
func (v *Vault) readSecret(ctx context.Context, name string) ([]byte, int, error) {
	var kept kvSecret
	version, err := v.read(ctx, "secrets/"+name, &kept)
	if err == nil && len(kept.Secret) != SecretSize {
		err = fmt.Errorf("%w: %s in Vault holds %d bytes, not %d; restore an older version of it",
			ErrDamaged, v.dataPath("secrets/"+name), len(kept.Secret), SecretSize)
	}
	if err != nil {
		return nil, version, err
	}
	return kept.Secret, version, nil
}

// MakeSecret implements [Secrets].
func (v *Vault) MakeSecret(ctx context.Context, name string) ([]byte, error) {
	if err := checkSecretName(name); err != nil {
		return nil, err
	}
	// A round is lost only to a process that destroys this very secret meanwhile.
	for range 10 {
		secret, version, err := v.readSecret(ctx, name)
		if !errors.Is(err, errNothingThere) && !errors.Is(err, errDestroyed) {
			return secret, err
		}
		secret = drawSecret()
		_, err = v.write(ctx, "secrets/"+name, version, kvSecret{Secret: secret})
		if err == nil {
			return secret, nil
		}
		if !errors.Is(err, errChanged) {
			return nil, fmt.Errorf("make the secret %s: %w", name, err)
		}
	}
	return nil, fmt.Errorf("make the secret %s: %w", name, errLostRace)
}

// DestroySecret implements [Secrets]: it removes every version and what Vault noted about them. A backup of Vault's
// storage keeps what it took, encrypted.
func (v *Vault) DestroySecret(ctx context.Context, name string) error {
	if err := checkSecretName(name); err != nil {
		return err
	}
	if err := v.remove(ctx, "secrets/"+name); err != nil {
		return fmt.Errorf("destroy the secret %s: %w", name, err)
	}
	return nil
}
