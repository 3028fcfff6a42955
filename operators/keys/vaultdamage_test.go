package keys

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/passerelle-cloud/passerelle/formats/statement"
)

func TestVaultListsThatAreLostOrDamaged(t *testing.T) {
	t.Parallel()
	p := newVaultPlace(t)
	v := p.open()
	good, err := p.root.Read(p.data("keys"))
	if err != nil {
		t.Fatal(err)
	}
	text := good.Data["data"].(map[string]any)["list"].(string)
	broken := map[string]string{
		"empty":            "",
		"cut":              text[:len(text)/2],
		"something behind": text + "{}",
		"unknown member":   strings.Replace(text, `"version"`, `"extra": 1, "version"`, 1),
		"other format":     strings.Replace(text, vaultListFormat, listFormat, 1),
		"two current keys": strings.Replace(text, `"use": "log"`, `"use": "archive"`, 1),
		"path as key id":   strings.Replace(text, `"kid": "`, `"kid": "../../`, 1),
		"no version":       strings.Replace(text, `": 1`, `": 0`, 1),
	}
	for name, list := range broken {
		p.admin(p.data("keys"), map[string]any{"data": map[string]any{"list": list}})
		_, err := OpenVault(t.Context(), p.config())
		hasError(t, name, err, ErrDamaged, p.data("keys"))
		if _, err := v.Public(t.Context()); !errors.Is(err, ErrDamaged) {
			t.Errorf("%s: %v", name, err)
		}
	}
	p.admin(p.data("keys"), map[string]any{"data": map[string]any{"list": 5}})
	_, err = v.Public(t.Context())
	hasError(t, "not a text", err, ErrDamaged, "is not what the gateway writes")
	p.admin(p.data("keys"), map[string]any{"data": map[string]any{"list": text}})
	if _, err := p.root.Delete(p.data("keys")); err != nil {
		t.Fatal(err)
	}
	_, err = OpenVault(t.Context(), p.config())
	hasError(t, "deleted softly", err, ErrDamaged, "vault kv undelete -mount=kv-"+p.name+" -versions=", " passerelle/keys")
	if _, err := p.root.Delete("kv-" + p.name + "/metadata/passerelle/keys"); err != nil {
		t.Fatal(err)
	}
	_, err = OpenVault(t.Context(), p.config())
	hasError(t, "lost", err, ErrDamaged, "it is missing, yet there is a key")
	_, err = v.Public(t.Context())
	hasError(t, "lost", err, ErrDamaged, "missing")
	_, err = v.Rotate(t.Context(), statement.UseLog)
	hasError(t, "lost", err, ErrDamaged, "missing")
}

func TestVaultAgeKeysThatAreLostOrDamaged(t *testing.T) {
	t.Parallel()
	p := newVaultPlace(t)
	v := p.open()
	public, err := v.Public(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	name := "age/" + public.Keys[len(public.Keys)-1].Kid
	p.admin(p.data(name), map[string]any{"data": map[string]any{"identity": "AGE-SECRET-KEY-1"}})
	_, err = v.Identities(t.Context())
	hasError(t, "damaged", err, ErrDamaged, p.data(name))
	if _, err := p.root.Delete("kv-" + p.name + "/metadata/passerelle/" + name); err != nil {
		t.Fatal(err)
	}
	_, err = v.Identities(t.Context())
	hasError(t, "lost", err, ErrDamaged, "cannot be read")
}

func TestVaultDestroyedSecretsLeaveNothing(t *testing.T) {
	t.Parallel()
	p := newVaultPlace(t)
	v := p.open()
	secret := mustMake(t, v, "one")
	// Somebody wrote over it, so that there are two versions.
	p.admin(p.data("secrets/one"), map[string]any{"data": map[string]any{"secret": base64.StdEncoding.EncodeToString(secret)}})
	if err := v.DestroySecret(t.Context(), "one"); err != nil {
		t.Fatal(err)
	}
	for version := 1; version <= 2; version++ {
		got, err := p.root.ReadWithData(p.data("secrets/one"), map[string][]string{"version": {fmt.Sprint(version)}})
		if err != nil || got != nil {
			t.Errorf("version %d: %v, %v", version, got, err)
		}
	}
	if got, err := p.root.Read("kv-" + p.name + "/metadata/passerelle/secrets/one"); err != nil || got != nil {
		t.Errorf("metadata: %v, %v", got, err)
	}
}

// Only what is surely gone counts as destroyed.
func TestVaultSecretsThatAreLostOrDamaged(t *testing.T) {
	t.Parallel()
	p := newVaultPlace(t)
	v := p.open()
	was := mustMake(t, v, "one")
	both := func(what string, sentinel error, says string) {
		t.Helper()
		_, err := v.Secret(t.Context(), "one")
		hasError(t, what, err, sentinel, says)
		_, err = v.MakeSecret(t.Context(), "one")
		hasError(t, what, err, sentinel, says)
	}
	if _, err := p.root.Delete(p.data("secrets/one")); err != nil {
		t.Fatal(err)
	}
	both("deleted softly", ErrDamaged, "vault kv undelete")
	p.admin("kv-"+p.name+"/undelete/passerelle/secrets/one", map[string]any{"versions": []int{1}})
	if got := mustMake(t, v, "one"); string(got) != string(was) {
		t.Error("what was undeleted is not what it was")
	}
	for _, bad := range []any{nil, 5, "", "AAAA", "not base64", base64.StdEncoding.EncodeToString(make([]byte, SecretSize+1))} {
		p.admin(p.data("secrets/one"), map[string]any{"data": map[string]any{"secret": bad}})
		both(fmt.Sprint(bad), ErrDamaged, p.data("secrets/one"))
	}
	p.admin("kv-"+p.name+"/destroy/passerelle/secrets/one", map[string]any{"versions": []int{1, 2, 3, 4, 5, 6, 7}})
	if _, err := v.Secret(t.Context(), "one"); !errors.Is(err, ErrNoKey) {
		t.Errorf("destroyed by hand: %v", err)
	}
	mustMake(t, v, "one")
}
