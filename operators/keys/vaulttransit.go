package keys

import (
	"context"
	"crypto"
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"filippo.io/age"

	"github.com/passerelle-cloud/passerelle/formats/statement"
)

// transitKey is one key of the transit engine, with all its versions. Fields are those of Vault's API.
type transitKey struct {
	Type        string `json:"type"`
	Derived     bool   `json:"derived"`
	Exportable  bool   `json:"exportable"`
	Backup      bool   `json:"allow_plaintext_backup"`
	Imported    bool   `json:"imported_key"`
	Latest      int    `json:"latest_version"`
	MinSign     int    `json:"min_encryption_version"`
	MinKept     int    `json:"min_available_version"`
	PublicParts map[string]struct {
		PublicKey string `json:"public_key"`
	} `json:"keys"` // by version
}

func (v *Vault) transitName(use statement.Use) string { return v.cfg.Prefix + "-" + string(use) }
func (v *Vault) transitPath(use statement.Use) string {
	return v.cfg.Transit + "/keys/" + v.transitName(use)
}

// readTransit reads a transit key. The error wraps errNothingThere if there is none.
func (v *Vault) readTransit(ctx context.Context, use statement.Use) (*transitKey, error) {
	var got answer[*transitKey]
	if err := v.session.do(ctx, get(v.transitPath(use)), &got); err != nil {
		return nil, err
	}
	if got.Data == nil {
		return nil, fmt.Errorf("%w: %s in Vault is not a transit key: check the mount", ErrDamaged, v.transitPath(use))
	}
	return got.Data, nil
}

// publicKey returns the public key of the newest version, if its private half is such that it stays in Vault.
func (k *transitKey) publicKey() (ed25519.PublicKey, error) {
	switch {
	case k.Type != "ed25519" || k.Derived:
		return nil, fmt.Errorf("it is a key of type %.40q (derived: %t), not a plain ed25519 key", k.Type, k.Derived)
	case k.Exportable || k.Backup || k.Imported:
		return nil, errors.New("its private half can leave Vault, or came from elsewhere")
	}
	pub, err := base64.StdEncoding.DecodeString(k.PublicParts[strconv.Itoa(k.Latest)].PublicKey)
	if err != nil || len(pub) != ed25519.PublicKeySize {
		return nil, fmt.Errorf("version %d has no public key", k.Latest)
	}
	return pub, nil
}

// vaultMaker is the [maker] of a list in Vault.
type vaultMaker struct {
	vault *Vault
	list  *vaultList
}

func (m vaultMaker) make(ctx context.Context, use statement.Use, at time.Time) (statement.Key, error) {
	if use == statement.UseEncryption {
		return m.vault.makeAge(ctx, at)
	}
	key, err := m.freshTransit(ctx, use)
	if err != nil {
		return statement.Key{}, err
	}
	pub, err := key.publicKey()
	if err != nil {
		return statement.Key{}, fmt.Errorf("%w: %s in Vault: %v; delete it there, and the gateway makes one", ErrDamaged, m.vault.transitPath(use), err)
	}
	made := statement.NewKey(use, pub, at)
	if m.list.Transit == nil {
		m.list.Transit = map[string]int{}
	}
	m.list.Transit[made.Kid] = key.Latest
	return made, nil
}

// freshTransit makes a version of a transit key that the list does not know.
func (m vaultMaker) freshTransit(ctx context.Context, use statement.Use) (*transitKey, error) {
	path, newest := m.vault.transitPath(use), m.list.newest(use)
	// The first version may be there already: another process makes the first keys too.
	c := put(path, map[string]string{"type": "ed25519"})
	if newest > 0 {
		c = put(path+"/rotate", struct{}{})
	}
	err := m.vault.session.do(ctx, c, nil)
	if refused(err, "key not found") {
		return nil, fmt.Errorf("%w: %s was deleted in Vault; restore it from a backup of Vault", ErrDamaged, path)
	}
	if err != nil {
		return nil, err
	}
	key, err := m.vault.readTransit(ctx, use)
	if err == nil && key.Latest <= newest {
		err = fmt.Errorf("%w: %s in Vault is not the key that it was: it has %d versions, of which the list knows up to %d; restore it from a backup of Vault",
			ErrDamaged, path, key.Latest, newest)
	}
	return key, err
}

// newest returns the highest version of a transit key that the list ever had, 0 if none.
func (l *vaultList) newest(use statement.Use) int {
	newest := 0
	for _, k := range l.Keys {
		if k.Use == use {
			newest = max(newest, l.Transit[k.Kid])
		}
	}
	return newest
}

// kvAge is a private age key as the KV engine keeps it.
type kvAge struct {
	Identity string `json:"identity"` // AGE-SECRET-KEY-1…
}

// makeAge keeps a new age key in the KV engine: the transit engine has none.
func (v *Vault) makeAge(ctx context.Context, at time.Time) (statement.Key, error) {
	identity, err := age.GenerateX25519Identity()
	if err != nil {
		return statement.Key{}, err
	}
	key := statement.NewEncryptionKey(identity.Recipient(), at)
	_, err = v.write(ctx, "age/"+key.Kid, 0, kvAge{Identity: identity.String()})
	if errors.Is(err, errChanged) { // written already by a call whose answer was lost
		err = nil
	}
	return key, err
}

func (v *Vault) readAge(ctx context.Context, key statement.Key) (age.Identity, error) {
	name := "age/" + key.Kid
	var kept kvAge
	_, err := v.read(ctx, name, &kept)
	if errors.Is(err, errNothingThere) || errors.Is(err, errDestroyed) {
		return nil, fmt.Errorf("%w: %s is missing in Vault, so that what was encrypted to it cannot be read; restore it from a backup", ErrDamaged, v.dataPath(name))
	}
	if err != nil {
		return nil, err
	}
	identity, err := age.ParseX25519Identity(kept.Identity)
	if err != nil || identity.Recipient().String() != key.Recipient {
		return nil, fmt.Errorf("%w: %s in Vault holds another key than its name says; restore it from a backup", ErrDamaged, v.dataPath(name))
	}
	return identity, nil
}

// signerOf implements [maker].
func (m vaultMaker) signerOf(key statement.Key) (crypto.Signer, error) {
	return m.vault.signerOf(m.list, key)
}

func (v *Vault) signerOf(list *vaultList, key statement.Key) (*vaultSigner, error) {
	pub, err := key.JWK.Ed25519()
	if err != nil {
		return nil, v.damaged("key %s: %v", key.Kid, err)
	}
	return &vaultSigner{vault: v, key: key, pub: pub, version: list.Transit[key.Kid]}, nil
}

// vaultSigner signs with one version of a transit key, whose private half stays in Vault.
type vaultSigner struct {
	vault   *Vault
	key     statement.Key
	pub     ed25519.PublicKey
	version int
}

// maxMessage is what Vault signs at most: it takes texts of 1 MiB in a request, and the message is in base64 there.
const maxMessage = 768 << 10 // bytes

// Public implements crypto.Signer.
func (s *vaultSigner) Public() crypto.PublicKey { return s.pub }

// Sign implements crypto.Signer, for Ed25519 over the message itself (RFC 8032 section 5.1). It takes no longer than
// requests to Vault may. A signature that the expected public key does not verify is never returned.
func (s *vaultSigner) Sign(_ io.Reader, message []byte, opts crypto.SignerOpts) ([]byte, error) {
	sig, err := s.sign(message, opts)
	if err != nil {
		return nil, fmt.Errorf("sign with the key %s for %s: %w", s.key.Kid, s.key.Use, err)
	}
	return sig, nil
}

func (s *vaultSigner) sign(message []byte, opts crypto.SignerOpts) ([]byte, error) {
	if options, ok := opts.(*ed25519.Options); ok && options.Context != "" || opts != nil && opts.HashFunc() != 0 {
		return nil, errors.New("it signs messages, neither hashes nor with a context")
	}
	if len(message) > maxMessage {
		return nil, fmt.Errorf("Vault takes at most %d bytes, not %d", maxMessage, len(message))
	}
	path := s.vault.cfg.Transit + "/sign/" + s.vault.transitName(s.key.Use)
	c := put(path, map[string]any{"input": message, "key_version": s.version}).needs("update")
	var got answer[struct {
		Signature string `json:"signature"`
	}]
	err := s.vault.session.do(s.vault.session.root, c, &got)
	if refused(err, "version", "not found") {
		return nil, s.whyNot(err)
	}
	if err != nil {
		return nil, err
	}
	encoded, ok := strings.CutPrefix(got.Data.Signature, fmt.Sprintf("vault:v%d:", s.version))
	sig, err := base64.StdEncoding.DecodeString(encoded)
	if !ok || err != nil {
		return nil, fmt.Errorf("%w: what answers to %s does not sign as Vault does: check the address", ErrUnavailable, path)
	}
	if !ed25519.Verify(s.pub, message, sig) {
		s.vault.forget()
		return nil, fmt.Errorf("%w: Vault signed with another key than the list names: %s was replaced behind the gateway's back, and nothing that it signed was given out; restore it from a backup of Vault, or rotate the key",
			ErrDamaged, s.vault.transitPath(s.key.Use))
	}
	return sig, nil
}

// whyNot tells a key that was retired from one that is current and that Vault does not let sign.
func (s *vaultSigner) whyNot(err error) error {
	s.vault.forget()
	list, loadErr := s.vault.load(s.vault.session.root)
	if loadErr != nil {
		return loadErr
	}
	if key, none := list.current(s.key.Use); none == nil && key.Kid == s.key.Kid {
		return fmt.Errorf("%w: the list has it as the current key, version %d of %s, but: %v; somebody changed it behind the gateway's back: restore it from a backup of Vault, or rotate the key",
			ErrDamaged, s.version, s.vault.transitPath(s.key.Use), err)
	}
	return fmt.Errorf("%w (any more): it was retired or revoked, and its private half is destroyed; take the current one", ErrNoKey)
}

// destroyRetired makes versions unusable that nothing may be signed with any more: those revoked, and those retired
// longer than the grace ago. Vault numbers versions, and can drop them from the lowest on only. So whatever is older
// than a revoked version goes with it.
//
// What "trim" drops is erased from the storage that Vault has now; a backup of that storage keeps it, encrypted.
// Age keys stay, for what was encrypted to them.
func (v *Vault) destroyRetired(ctx context.Context, list *vaultList) error {
	for _, use := range statement.Uses() {
		lowest := list.lowestAlive(use, time.Now().Add(-v.cfg.Grace))
		v.mu.Lock()
		done := v.trimmed[use] >= lowest
		v.mu.Unlock()
		if lowest <= 1 || done {
			continue
		}
		if err := v.trim(ctx, use, lowest); err != nil {
			return fmt.Errorf("the list of keys is up to date, but retired private keys for %s are not destroyed: %w", use, err)
		}
		v.mu.Lock()
		v.trimmed[use] = lowest
		v.mu.Unlock()
	}
	return nil
}

// lowestAlive returns the lowest version of a use that may still sign, 0 if none. A retired key may until it was
// retired before the given time.
func (l *vaultList) lowestAlive(use statement.Use, before time.Time) int {
	lowest := 0
	for _, k := range l.Keys { // from the oldest on
		dead := k.Revoked != nil || k.Until != nil && k.Until.Before(before)
		switch version := l.Transit[k.Kid]; {
		case k.Use != use:
		case dead:
			lowest = 0
		case lowest == 0:
			lowest = version
		}
	}
	return lowest
}

// trim drops the versions below lowest.
func (v *Vault) trim(ctx context.Context, use statement.Use, lowest int) error {
	path := v.transitPath(use)
	key, err := v.readTransit(ctx, use)
	if errors.Is(err, errNothingThere) || err == nil && key.Latest < lowest {
		return nil // deleted or replaced: none of ours is left, as whoever wants to sign is told
	}
	if err != nil || key.MinKept >= lowest {
		return err
	}
	// Never lower: another process may know of a later rotation.
	if key.MinSign < lowest {
		minimum := map[string]int{"min_encryption_version": lowest, "min_decryption_version": lowest}
		if err := v.session.do(ctx, put(path+"/config", minimum), nil); err != nil {
			return err
		}
	}
	return v.session.do(ctx, put(path+"/trim", map[string]int{"min_available_version": lowest}), nil)
}
