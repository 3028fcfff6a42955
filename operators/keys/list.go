package keys

import (
	"bytes"
	"context"
	"crypto"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"filippo.io/age"

	"github.com/passerelle-cloud/passerelle/formats/statement"
)

// keyList is the one place that says which keys a store has. It is replaced as a whole, so that there is no moment at
// which keys, dates and succession do not fit together.
type keyList struct {
	Format     string          `json:"format"`
	Version    int64           `json:"version"` // of the statement published last
	Keys       []statement.Key `json:"keys"`    // in the order in which they were made
	Succession []string        `json:"succession,omitempty"`
}

// maker makes and uses the private keys of a list, where a store keeps them.
type maker interface {
	// make makes a private key. Until it is listed, it does not exist for anybody.
	make(ctx context.Context, use statement.Use, at time.Time) (statement.Key, error)
	// signerOf returns the private key of one that is listed and signs.
	signerOf(key statement.Key) (crypto.Signer, error)
}

// decodeList reads a list and refuses what it does not know: an older program must not drop what a newer one wrote.
func decodeList(data []byte, list any) error {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(list); err != nil {
		return err
	}
	if _, err := dec.Token(); err != io.EOF {
		return errors.New("something follows the list")
	}
	return nil
}

// check refuses key ids that could lead a path out of the store, and more than one current key for a use.
func (l *keyList) check(format string) error {
	if l.Format != format {
		return fmt.Errorf("its format is %.60q, not %q", l.Format, format)
	}
	current := map[statement.Use]bool{}
	for i, k := range l.Keys {
		switch {
		case !slices.Contains(statement.Uses(), k.Use) || k.Kid != k.JWK.Thumbprint():
			return fmt.Errorf("keys[%d] is not a key with its own thumbprint", i)
		case k.Current() && current[k.Use]:
			return fmt.Errorf("there is more than one current key for %s", k.Use)
		case k.Current():
			current[k.Use] = true
		}
	}
	return nil
}

func (l *keyList) current(use statement.Use) (*statement.Key, error) {
	for i := range l.Keys {
		if l.Keys[i].Use == use && l.Keys[i].Current() {
			return &l.Keys[i], nil
		}
	}
	return nil, fmt.Errorf("%w: it lists no current key for %q", ErrDamaged, use)
}

// currentSigner is current for a use that signs.
func (l *keyList) currentSigner(use statement.Use) (*statement.Key, error) {
	if use == statement.UseEncryption {
		return nil, errors.New("the key for encryption signs nothing")
	}
	return l.current(use)
}

func (l *keyList) recipient() (age.Recipient, error) {
	key, err := l.current(statement.UseEncryption)
	if err != nil {
		return nil, err
	}
	recipient, err := age.ParseX25519Recipient(key.Recipient)
	if err != nil {
		return nil, fmt.Errorf("%w: key %s: %v", ErrDamaged, key.Kid, err)
	}
	return recipient, nil
}

func (l *keyList) public() Public {
	uses := statement.Uses()
	slices.SortStableFunc(l.Keys, func(a, b statement.Key) int {
		return slices.Index(uses, a.Use) - slices.Index(uses, b.Use)
	})
	return Public{Keys: l.Keys, Succession: l.Succession}
}

// missing returns the uses that never had a key.
func (l *keyList) missing() []statement.Use {
	return slices.DeleteFunc(statement.Uses(), func(use statement.Use) bool {
		return slices.ContainsFunc(l.Keys, func(k statement.Key) bool { return k.Use == use })
	})
}

// makeMissing makes a key for each use that never had one.
func (l *keyList) makeMissing(ctx context.Context, m maker) error {
	for _, use := range l.missing() {
		key, err := m.make(ctx, use, now())
		if err != nil {
			return err
		}
		l.Keys = append(l.Keys, key)
	}
	return nil
}

// rotate makes a new key for a use and retires the current one. An old identity key signs the new one.
func (l *keyList) rotate(ctx context.Context, m maker, use statement.Use) (statement.Key, error) {
	old, err := l.current(use)
	if err != nil {
		return statement.Key{}, err
	}
	at := now()
	if at.Before(old.Since) { // the clock was set back
		at = old.Since
	}
	fresh, err := m.make(ctx, use, at)
	if err != nil {
		return statement.Key{}, err
	}
	if use == statement.UseIdentity {
		link, err := appoint(m, *old, fresh, at)
		if err != nil {
			return statement.Key{}, err
		}
		l.Succession = append(l.Succession, link)
	}
	old.Until = &at
	l.Keys = append(l.Keys, fresh)
	return fresh, nil
}

// appoint lets the old identity key sign the new one.
func appoint(m maker, old, fresh statement.Key, at time.Time) (string, error) {
	private, err := m.signerOf(old)
	if err != nil {
		return "", err
	}
	next, err := fresh.JWK.Ed25519()
	if err != nil {
		return "", err
	}
	return statement.SignSuccession(private, next, at)
}

// revoke declares a key void, after a rotation if it is a current one.
func (l *keyList) revoke(ctx context.Context, m maker, kid, reason string) error {
	i := slices.IndexFunc(l.Keys, func(k statement.Key) bool { return k.Kid == kid })
	if i < 0 {
		return fmt.Errorf("revoke: %w: %.80q", ErrNoKey, kid)
	}
	revoked := l.Keys[i]
	if err := revoked.Revoke(now(), reason); err != nil { // before a key is made in vain
		return err
	}
	if l.Keys[i].Current() {
		if _, err := l.rotate(ctx, m, l.Keys[i].Use); err != nil {
			return fmt.Errorf("revoke %s: %w", kid, err)
		}
	}
	l.Keys[i].Revoked = revoked.Revoked
	return nil
}

// now is in whole seconds, since that is what people read in a statement.
func now() time.Time { return time.Now().UTC().Truncate(time.Second) }
