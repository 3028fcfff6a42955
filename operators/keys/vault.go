package keys

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"filippo.io/age"

	"github.com/passerelle-cloud/passerelle/formats/statement"
)

// Vault is a [Store] and [Secrets] in HashiCorp Vault, which several gateways may share. Keys
// that sign are versions of keys in its transit engine, and their private halves never leave it. The list of the keys,
// the statement, the age keys and the secrets are in its key-value engine.
//
// It stays signed in by itself until it is closed, and recovers by itself when Vault is back.
type Vault struct {
	cfg     VaultConfig
	session *session

	changing chan struct{} // holds one token: whoever has it changes the list
	swept    chan struct{} // closed when sweeping has stopped

	mu      sync.Mutex
	list    *vaultList            // as seen last; nil if the next one is to be read
	trimmed map[statement.Use]int // the lowest version that is left of the transit key
}

var (
	_ Store   = (*Vault)(nil)
	_ Secrets = (*Vault)(nil)
)

// sweepEvery is how often it is looked for retired keys whose grace is over.
const sweepEvery = 10 * time.Minute

// OpenVault signs in, and makes keys where there are none yet. Gateways that start at the same time agree on the same
// keys. Errors wrap formats.ErrInvalid for a bad configuration, ErrDenied and ErrUnavailable.
func OpenVault(ctx context.Context, cfg VaultConfig) (*Vault, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg = cfg.withDefaults()
	if cfg.inTheClear() {
		cfg.Log.Warn("keys and secrets cross the network unencrypted: give Vault a certificate and an https address", "address", cfg.Address)
	}
	s, err := openSession(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("open the keys in Vault: %w", err)
	}
	v := &Vault{cfg: cfg, session: s, changing: make(chan struct{}, 1), swept: make(chan struct{}), trimmed: map[statement.Use]int{}}
	if err := v.prepare(ctx); err != nil {
		s.end()
		return nil, fmt.Errorf("open the keys in Vault: %w", err)
	}
	go v.sweep()
	return v, nil
}

func (v *Vault) prepare(ctx context.Context) error {
	if err := v.checkMounts(ctx); err != nil {
		return err
	}
	list, err := v.load(ctx)
	if err == nil && len(list.missing()) == 0 || err != nil && !errors.Is(err, errNothingThere) {
		return err
	}
	return v.change(ctx, func(list *vaultList) error { return list.makeMissing(ctx, vaultMaker{v, list}) })
}

// Close signs out. Nothing signs any more after it.
func (v *Vault) Close() error {
	v.session.end()
	<-v.swept
	return nil
}

// sweep destroys retired keys whose grace is over, until the store is closed.
func (v *Vault) sweep() {
	defer close(v.swept)
	ctx := v.session.root
	for {
		list, err := v.load(ctx)
		if err == nil {
			err = v.destroyRetired(ctx, list)
		}
		if err != nil && ctx.Err() == nil {
			v.cfg.Log.Warn("retired keys could not be destroyed", "error", err, "again_in", sweepEvery)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(sweepEvery):
		}
	}
}

// Signer implements [Store]. A signer of a key that was retired works until [VaultConfig].Grace is over, and one of a
// key that was revoked does not.
func (v *Vault) Signer(ctx context.Context, use statement.Use) (Signer, error) {
	list, err := v.recent(ctx)
	if err != nil {
		return Signer{}, v.lost(err)
	}
	key, err := list.currentSigner(use)
	if err != nil {
		return Signer{}, err
	}
	private, err := v.signerOf(list, *key)
	if err != nil {
		return Signer{}, err
	}
	return Signer{Signer: private, Kid: key.Kid}, nil
}

// lost says of a list that is not there any more that it should be.
func (v *Vault) lost(err error) error {
	if errors.Is(err, errNothingThere) {
		return v.damaged("it is missing")
	}
	return err
}

// Public implements [Store].
func (v *Vault) Public(ctx context.Context) (Public, error) {
	list, err := v.load(ctx)
	if err != nil {
		return Public{}, v.lost(err)
	}
	sorted := keyList{Keys: slices.Clone(list.Keys), Succession: list.Succession}
	return sorted.public(), nil
}

// Rotate implements [Store].
func (v *Vault) Rotate(ctx context.Context, use statement.Use) (statement.Key, error) {
	var fresh statement.Key
	err := v.change(ctx, func(list *vaultList) (err error) {
		fresh, err = list.rotate(ctx, vaultMaker{v, list}, use)
		return err
	})
	if err != nil {
		return statement.Key{}, fmt.Errorf("rotate the key for %s: %w", use, v.lost(err))
	}
	return fresh, nil
}

// Revoke implements [Store].
func (v *Vault) Revoke(ctx context.Context, kid, reason string) error {
	return v.lost(v.change(ctx, func(list *vaultList) error { return list.revoke(ctx, vaultMaker{v, list}, kid, reason) }))
}

// Identities implements [Store].
func (v *Vault) Identities(ctx context.Context) ([]age.Identity, error) {
	list, err := v.load(ctx)
	if err != nil {
		return nil, v.lost(err)
	}
	var identities []age.Identity
	for _, key := range slices.Backward(list.Keys) {
		if key.Use != statement.UseEncryption {
			continue
		}
		identity, err := v.readAge(ctx, key)
		if err != nil {
			return nil, err
		}
		identities = append(identities, identity)
	}
	return identities, nil
}

// Recipient implements [Store].
func (v *Vault) Recipient(ctx context.Context) (age.Recipient, error) {
	list, err := v.load(ctx)
	if err != nil {
		return nil, v.lost(err)
	}
	return list.recipient()
}

// Publish implements [Store]. It calls next again wherever another process was faster; what next returned before is
// then forgotten, and was never published.
func (v *Vault) Publish(ctx context.Context, next func(last []byte, version int64) ([]byte, error)) ([]byte, error) {
	var published []byte
	err := v.change(ctx, func(list *vaultList) (err error) {
		if published, err = next(list.Statement, list.Version+1); err != nil {
			return err
		}
		if published == nil {
			published = list.Statement
			return nil
		}
		list.Version++
		list.Statement = published
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("publish the operator statement: %w", v.lost(err))
	}
	return published, nil
}
