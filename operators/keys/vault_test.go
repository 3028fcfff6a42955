package keys

import (
	"context"
	"crypto"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/passerelle-cloud/passerelle/formats/statement"
)

// signs tries a signer, and checks what it signs.
func signs(s Signer) error {
	sig, err := s.Sign(nil, []byte("message"), crypto.Hash(0))
	if err == nil && !ed25519.Verify(pub(s), []byte("message"), sig) {
		err = errors.New("a wrong signature was given out")
	}
	return err
}

// hasError checks that an error wraps a sentinel (unless nil) and says all of it.
func hasError(t *testing.T, what string, err, sentinel error, says ...string) {
	t.Helper()
	if err == nil || sentinel != nil && !errors.Is(err, sentinel) {
		t.Errorf("%s: %v", what, err)
		return
	}
	for _, s := range says {
		if !strings.Contains(err.Error(), s) {
			t.Errorf("%s: it does not say %q: %v", what, s, err)
		}
	}
}

func (p *vaultPlace) transit(use statement.Use) string {
	return "t-" + p.name + "/keys/passerelle-" + string(use)
}
func (p *vaultPlace) data(name string) string { return "kv-" + p.name + "/data/passerelle/" + name }

func TestVaultNothingWrongIsGivenOut(t *testing.T) {
	t.Parallel()
	p := newVaultPlace(t)
	v := p.open()
	p.admin(p.transit(statement.UseLog)+"/rotate", nil)
	if err := signs(signer(t, v, statement.UseLog)); err != nil {
		t.Errorf("a version that nobody knows of disturbs: %v", err)
	}
	p.admin(p.transit(statement.UseLog)+"/config", map[string]any{"min_encryption_version": 2})
	hasError(t, "minimum raised", signs(signer(t, v, statement.UseLog)), ErrDamaged, "behind the gateway's back", p.transit(statement.UseLog))
	rotate(t, v, statement.UseLog)
	if err := signs(signer(t, v, statement.UseLog)); err != nil {
		t.Errorf("a rotation does not help: %v", err)
	}

	p.admin(p.transit(statement.UseArchive)+"/config", map[string]any{"deletion_allowed": true})
	if _, err := p.root.Delete(p.transit(statement.UseArchive)); err != nil {
		t.Fatal(err)
	}
	hasError(t, "deleted", signs(signer(t, v, statement.UseArchive)), ErrDamaged, p.transit(statement.UseArchive))
	_, err := v.Rotate(t.Context(), statement.UseArchive)
	hasError(t, "rotated after it was deleted", err, ErrDamaged, "was deleted")
	p.admin(p.transit(statement.UseArchive), map[string]any{"type": "ed25519"})
	hasError(t, "replaced", signs(signer(t, v, statement.UseArchive)), ErrDamaged, "was replaced behind the gateway's back")
	rotate(t, v, statement.UseArchive)
	if err := signs(signer(t, v, statement.UseArchive)); err != nil {
		t.Errorf("a rotation does not help: %v", err)
	}
}

func TestVaultIdentityThatWasReplaced(t *testing.T) {
	t.Parallel()
	p := newVaultPlace(t)
	v := p.open()
	p.admin(p.transit(statement.UseIdentity)+"/config", map[string]any{"deletion_allowed": true})
	if _, err := p.root.Delete(p.transit(statement.UseIdentity)); err != nil {
		t.Fatal(err)
	}
	p.admin(p.transit(statement.UseIdentity), map[string]any{"type": "ed25519"})
	before, _ := v.Public(t.Context())
	_, err := v.Rotate(t.Context(), statement.UseIdentity)
	hasError(t, "an identity cannot appoint another", err, ErrDamaged, "was replaced")
	if after, _ := v.Public(t.Context()); len(after.Keys) != len(before.Keys) {
		t.Error("there is an identity key that nobody appointed")
	}
	_, err = Describe(t.Context(), statement.Operator{ID: "a.example", LegalName: "A"}, v)
	hasError(t, "statement", err, ErrDamaged, "was replaced")
}

// versionsLeft returns which versions of a transit key Vault still has, and checks that it signs with no others.
func (p *vaultPlace) versionsLeft(use statement.Use, upTo int) (left []int) {
	p.t.Helper()
	for version := 1; version <= upTo; version++ {
		_, err := p.root.Write("t-"+p.name+"/sign/passerelle-"+string(use), map[string]any{"input": "AAAA", "key_version": version})
		if err == nil {
			left = append(left, version)
		}
	}
	return left
}

func TestVaultRetiredKeysAreDestroyed(t *testing.T) {
	t.Parallel()
	p := newVaultPlace(t)
	cfg := p.config()
	v := p.openWith(cfg)
	old := signer(t, v, statement.UseLog)
	rotate(t, v, statement.UseLog)
	if got := p.versionsLeft(statement.UseLog, 2); len(got) != 2 {
		t.Errorf("within the grace there are %v", got)
	}
	// Another gateway, with hardly any grace, sweeps when it opens the keys.
	cfg.Grace = time.Nanosecond
	time.Sleep(time.Until(now().Add(time.Second)))
	w := p.openWith(cfg)
	p.eventually("version 1 is gone", func() bool { return fmt.Sprint(p.versionsLeft(statement.UseLog, 2)) == "[2]" })
	hasError(t, "the old signer", signs(old), ErrNoKey, "retired or revoked")
	if err := signs(signer(t, v, statement.UseLog)); err != nil {
		t.Error(err)
	}
	rotate(t, w, statement.UseLog)
	rotate(t, w, statement.UseLog)
	if err := w.destroyRetired(t.Context(), w.list); err != nil {
		t.Fatal(err)
	}
	p.eventually("versions 2 and 3 are gone", func() bool {
		rotate(t, w, statement.UseTokens) // any change looks for what is to be destroyed
		return fmt.Sprint(p.versionsLeft(statement.UseLog, 4)) == "[4]"
	})
	key, err := p.root.Read(p.transit(statement.UseLog))
	if err != nil || key.Data["min_available_version"] != json.Number("4") {
		t.Errorf("trimmed to %v, %v", key.Data["min_available_version"], err)
	}
	// A key that is gone altogether does not keep others from being rotated.
	p.admin(p.transit(statement.UseLog)+"/config", map[string]any{"deletion_allowed": true})
	if _, err := p.root.Delete(p.transit(statement.UseLog)); err != nil {
		t.Fatal(err)
	}
	rotate(t, p.openWith(cfg), statement.UseTokens)
	p.admin(p.transit(statement.UseLog), map[string]any{"type": "ed25519"})
	rotate(t, p.openWith(cfg), statement.UseTokens)
}

func TestVaultRevokedKeysAreDestroyedAtOnce(t *testing.T) {
	t.Parallel()
	p := newVaultPlace(t)
	v, other := p.open(), p.open()
	rotate(t, v, statement.UseArchive)
	stolen := signer(t, v, statement.UseArchive)
	if err := signs(signer(t, other, statement.UseArchive)); err != nil {
		t.Fatal(err)
	}
	if err := v.Revoke(t.Context(), stolen.Kid, "the disk was stolen"); err != nil {
		t.Fatal(err)
	}
	if got := p.versionsLeft(statement.UseArchive, 3); fmt.Sprint(got) != "[3]" {
		t.Errorf("there are %v", got)
	}
	hasError(t, "a signer from before", signs(stolen), ErrNoKey)
	// A gateway that has not noticed yet learns it from the first signature that fails.
	hasError(t, "another gateway", signs(signer(t, other, statement.UseArchive)), ErrNoKey)
	if err := signs(signer(t, other, statement.UseArchive)); err != nil {
		t.Errorf("another gateway, again: %v", err)
	}
}

func TestVaultKeysThatCouldLeaveAreRefused(t *testing.T) {
	t.Parallel()
	for name, settings := range map[string]map[string]any{
		"exportable": {"type": "ed25519", "exportable": true},
		"backup":     {"type": "ed25519", "allow_plaintext_backup": true},
		"derived":    {"type": "ed25519", "derived": true},
		"other type": {"type": "ecdsa-p256"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newVaultPlace(t)
			p.open()
			p.admin("kv-"+p.name+"/data/passerelle/keys", map[string]any{"data": map[string]any{
				"list": `{"format":"` + vaultListFormat + `","version":0,"keys":[]}`}})
			p.admin(p.transit(statement.UseIdentity)+"/config", map[string]any{"deletion_allowed": true})
			if _, err := p.root.Delete(p.transit(statement.UseIdentity)); err != nil {
				t.Fatal(err)
			}
			p.admin(p.transit(statement.UseIdentity), settings)
			_, err := OpenVault(t.Context(), p.config())
			hasError(t, name, err, ErrDamaged, p.transit(statement.UseIdentity))
		})
	}
}

// Even the gateway's own token gets no private key out of Vault.
func TestVaultPolicyKeepsPrivateKeysIn(t *testing.T) {
	t.Parallel()
	p := newVaultPlace(t)
	v := p.open()
	log := p.transit(statement.UseLog)
	for _, c := range []call{
		put(log+"/config", map[string]any{"exportable": true}),
		put(log+"/config", map[string]any{"allow_plaintext_backup": true}),
		put(log+"/config", map[string]any{"deletion_allowed": true}),
		put("t-"+p.name+"/keys/passerelle-x", map[string]any{"type": "ed25519", "exportable": true}),
		put("t-"+p.name+"/keys/passerelletwo-log/rotate", struct{}{}),
		get("t-" + p.name + "/export/signing-key/passerelle-log"),
		get("t-" + p.name + "/backup/passerelle-log"),
		remove(log),
		remove(v.metadataPath("keys")),
		remove(v.metadataPath("age/x")),
		get("kv-" + p.name + "/data/passerelletwo/keys"),
	} {
		if err := v.session.do(t.Context(), c, nil); !errors.Is(err, ErrDenied) {
			t.Errorf("%s %s: %v", c.method, c.path, err)
		}
	}
}

func TestVaultEnginesThatWillNotDo(t *testing.T) {
	t.Parallel()
	cases := []struct {
		name  string
		spoil func(p *vaultPlace, cfg *VaultConfig)
		says  []string
	}{
		{"KV version 1", func(p *vaultPlace, cfg *VaultConfig) {
			p.admin("sys/mounts/kv-"+p.name+"/tune", map[string]any{})
			_, _ = p.root.Delete("sys/mounts/kv-" + p.name)
			p.admin("sys/mounts/kv-"+p.name, map[string]any{"type": "kv", "options": map[string]any{"version": "1"}})
		}, []string{"not version 2", "vault kv enable-versioning"}},
		{"no KV", func(p *vaultPlace, cfg *VaultConfig) {
			_, _ = p.root.Delete("sys/mounts/kv-" + p.name)
		}, []string{"no engine", "vault secrets enable -path=kv-", "-version=2 kv"}},
		{"no transit", func(p *vaultPlace, cfg *VaultConfig) {
			_, _ = p.root.Delete("sys/mounts/t-" + p.name)
		}, []string{"no engine", "vault secrets enable -path=t-", " transit"}},
		{"mixed up", func(p *vaultPlace, cfg *VaultConfig) {
			cfg.Transit, cfg.KV = cfg.KV, cfg.Transit
		}, []string{`is "kv", not "transit"`}},
		{"no AppRole", func(p *vaultPlace, cfg *VaultConfig) {
			_, _ = p.root.Delete("sys/auth/ar-" + p.name)
		}, nil},
		{"engine that deletes", func(p *vaultPlace, cfg *VaultConfig) {
			p.admin("kv-"+p.name+"/config", map[string]any{"delete_version_after": "1h"})
		}, []string{"will delete keys on", "delete_version_after"}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p := newVaultPlace(t)
			cfg := p.config()
			c.spoil(p, &cfg)
			_, err := OpenVault(t.Context(), cfg)
			hasError(t, c.name, err, nil, c.says...)
		})
	}
}

func TestVaultSaysWhatThePolicyLacks(t *testing.T) {
	t.Parallel()
	cases := []struct{ path, capabilities, says string }{
		{`transit/keys/passerelle-*`, `["create", "read", "update"]`, "/keys/passerelle-"},
		{`transit/sign/passerelle-*`, `["update"]`, "/sign/passerelle-"},
		{`secret/data/passerelle/*`, `["create", "read", "update"]`, "/data/passerelle/"},
		{`secret/metadata/passerelle/secrets/*`, `["delete"]`, "/metadata/passerelle/secrets/one"},
	}
	for _, c := range cases {
		t.Run(c.says, func(t *testing.T) {
			t.Parallel()
			p := newVaultPlace(t)
			p.policy(func(text string) string {
				mine := strings.NewReplacer("transit/", "t-"+p.name+"/", "secret/", "kv-"+p.name+"/").Replace(c.path)
				head, tail, found := strings.Cut(text, `path "`+mine+`" {`)
				if !found {
					t.Fatalf("the policy does not have %s", mine)
				}
				return head + `path "` + mine + `" {` + strings.Replace(tail, c.capabilities, `["deny"]`, 1)
			})
			v, err := OpenVault(t.Context(), p.config())
			if err == nil {
				t.Cleanup(func() { v.Close() })
				s, signerErr := v.Signer(t.Context(), statement.UseLog)
				if err = signerErr; err == nil {
					err = signs(s)
				}
			}
			if err == nil {
				_, err = v.MakeSecret(t.Context(), "one")
			}
			if err == nil {
				err = v.DestroySecret(t.Context(), "one")
			}
			hasError(t, c.path, err, ErrDenied, c.says, "policy", "capabilities")
		})
	}
}

func TestVaultSignersDoNotReadTheListEachTime(t *testing.T) {
	t.Parallel()
	p := newVaultPlace(t)
	front := newFront(t, p.address)
	cfg := p.config()
	cfg.Address = front.URL
	v := p.openWith(cfg)
	rotate(t, v, statement.UseLog)
	front.reset()
	for range 100 {
		signer(t, v, statement.UseLog)
	}
	if n := front.count("/data/passerelle/keys"); n > 2 { // the sweep reads it too
		t.Errorf("%d reads for 100 signers", n)
	}
	fresh := rotate(t, v, statement.UseLog)
	if signer(t, v, statement.UseLog).Kid != fresh.Kid {
		t.Error("a rotation of our own is not seen at once")
	}
	other := p.open()
	fresh = rotate(t, other, statement.UseLog)
	v.mu.Lock()
	v.list.loaded = v.list.loaded.Add(-listAge)
	v.mu.Unlock()
	if signer(t, v, statement.UseLog).Kid != fresh.Kid {
		t.Error("another's rotation is never seen")
	}
}

// A read that was overtaken by a rotation does not bring the old list back.
func TestVaultKeepsTheNewestList(t *testing.T) {
	t.Parallel()
	var v Vault
	older, newer := &vaultList{was: 1, loaded: time.Now()}, &vaultList{was: 2, loaded: time.Now()}
	v.keep(newer)
	v.keep(older)
	if v.list != newer {
		t.Error("an older list took the place of a newer one")
	}
	// Unless Vault has stood like that for long: then it was restored from a backup.
	newer.loaded = newer.loaded.Add(-2 * listAge)
	v.keep(older)
	if v.list != older {
		t.Error("a list that is out of date is never replaced")
	}
}

// What fails because another gateway changed the keys meanwhile is tried again on the new ones.
func TestVaultPublishesFromKeysThatChangedMeanwhile(t *testing.T) {
	t.Parallel()
	p := newVaultPlace(t)
	v, other := p.open(), p.open()
	calls := 0
	published, err := v.Publish(t.Context(), func([]byte, int64) ([]byte, error) {
		if calls++; calls == 1 {
			rotate(t, other, statement.UseIdentity)
			return nil, errors.New("the identity is not the one in the list")
		}
		return []byte("a statement"), nil
	})
	if err != nil || string(published) != "a statement" || calls != 2 {
		t.Errorf("%q after %d calls, %v", published, calls, err)
	}
}

func TestVaultPrefixesAreApart(t *testing.T) {
	t.Parallel()
	p := newVaultPlace(t)
	one, other := p.config(), p.config()
	other.Prefix = "second"
	p.policy(func(text string) string { return text + strings.ReplaceAll(text, "passerelle", "second") })
	a, b := p.openWith(one), p.openWith(other)
	if signer(t, a, statement.UseLog).Kid == signer(t, b, statement.UseLog).Kid {
		t.Error("two operators have the same key")
	}
	if string(mustMake(t, a, "one")) == string(mustMake(t, b, "one")) {
		t.Error("two operators have the same secret")
	}
}

func TestVaultTakesNoHugeMessage(t *testing.T) {
	t.Parallel()
	p := newVaultPlace(t)
	s := signer(t, p.open(), statement.UseArchive)
	large := make([]byte, maxMessage)
	sig, err := s.Sign(nil, large, crypto.Hash(0))
	if err != nil || !ed25519.Verify(pub(s), large, sig) {
		t.Errorf("%d bytes: %v", len(large), err)
	}
	if _, err := s.Sign(nil, append(large, 0), crypto.Hash(0)); err == nil {
		t.Error("more was taken")
	}
}

func TestVaultClosed(t *testing.T) {
	t.Parallel()
	p := newVaultPlace(t)
	v := p.open()
	s := signer(t, v, statement.UseLog)
	token := v.session.client.Token()
	for range 2 {
		if err := v.Close(); err != nil {
			t.Fatal(err)
		}
	}
	hasError(t, "closed", signs(s), errClosed)
	_, err := v.Secret(context.Background(), "one")
	hasError(t, "closed", err, errClosed)
	if _, err := p.root.Write("auth/token/lookup", map[string]any{"token": token}); err == nil {
		t.Error("the token is still good after the store was closed")
	}
}
