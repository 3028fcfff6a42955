package keys

import (
	"bytes"
	"context"
	"encoding/pem"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/passerelle-cloud/passerelle/formats"
	"github.com/passerelle-cloud/passerelle/formats/statement"
)

func TestVaultSealedAndUnsealed(t *testing.T) {
	t.Parallel()
	p, unsealKey := ownVault(t)
	cfg := p.config()
	v := p.openWith(cfg)
	secret := mustMake(t, v, "one")
	s := signer(t, v, statement.UseLog)
	p.admin("sys/seal", nil)
	p.eventually("it is sealed", func() bool { return signs(s) != nil })
	hasError(t, "signing", signs(s), ErrUnavailable, "is sealed", "vault operator unseal")
	_, err := v.Secret(t.Context(), "one")
	hasError(t, "a secret", err, ErrUnavailable, "is sealed")
	if errors.Is(err, ErrNoKey) {
		t.Error("a secret in a sealed Vault counts as destroyed")
	}
	hasError(t, "destruction", v.DestroySecret(t.Context(), "one"), ErrUnavailable)
	_, err = OpenVault(t.Context(), cfg)
	hasError(t, "opening", err, ErrUnavailable, "is sealed")
	if unsealKey == "" {
		t.Skip("this Vault server prints no unseal_key: recovery is not tested")
	}
	p.admin("sys/unseal", map[string]any{"key": unsealKey})
	p.eventually("it signs again", func() bool { return signs(s) == nil })
	if got, err := v.Secret(t.Context(), "one"); err != nil || !bytes.Equal(got, secret) {
		t.Errorf("after it was unsealed: %v", err)
	}
}

// TestVaultUnderThePolicyAsItIs uses the mounts and names of the documentation.
func TestVaultUnderThePolicyAsItIs(t *testing.T) {
	t.Parallel()
	p, _ := ownVault(t)
	p.admin("sys/mounts/transit", map[string]any{"type": "transit"})
	p.admin("sys/mounts/secret", map[string]any{"type": "kv", "options": map[string]any{"version": "2"}})
	policy, err := os.ReadFile("policy.hcl")
	if err != nil {
		t.Fatal(err)
	}
	p.admin("sys/policies/acl/"+p.name, map[string]any{"policy": string(policy)})
	cfg := p.config()
	cfg.Transit, cfg.KV = "", ""
	p.eventually("the KV engine is ready", func() bool {
		_, err := p.root.Write("secret/data/ready", map[string]any{"data": map[string]any{}})
		return err == nil
	})
	v := p.openWith(cfg)
	for _, use := range statement.Uses() {
		rotate(t, v, use)
	}
	if err := v.Revoke(t.Context(), signer(t, v, statement.UseLog).Kid, "a test"); err != nil {
		t.Error(err)
	}
	describe(t, v)
	if _, err := v.Identities(t.Context()); err != nil {
		t.Error(err)
	}
	mustMake(t, v, "one")
	if err := v.DestroySecret(t.Context(), "one"); err != nil {
		t.Error(err)
	}
	if err := v.session.renew(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestVaultGoneAndBack(t *testing.T) {
	t.Parallel()
	p := newVaultPlace(t)
	line := newCutter(t, p.address)
	cfg := p.config()
	cfg.Address, cfg.Timeout = "http://"+line.Addr().String(), time.Second
	v := p.openWith(cfg)
	s := signer(t, v, statement.UseLog)
	secret := mustMake(t, v, "one")
	line.set("")
	if err := signs(s); err != nil {
		t.Errorf("a connection that was lost is noticed by the caller: %v", err)
	}
	for _, mode := range []string{"cut", "hang"} {
		line.set(mode)
		begin := time.Now()
		hasError(t, mode, signs(s), ErrUnavailable, cfg.Address)
		_, err := v.Secret(t.Context(), "one")
		hasError(t, mode, err, ErrUnavailable, cfg.Address)
		if errors.Is(err, ErrNoKey) {
			t.Error("a secret that is out of reach counts as destroyed")
		}
		if took := time.Since(begin); took > 10*time.Second {
			t.Errorf("%s: %v for two calls with a timeout of a second", mode, took)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		if _, err := v.Secret(ctx, "one"); mode == "hang" && !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("the caller's own deadline: %v", err)
		}
		cancel()
		_, err = OpenVault(t.Context(), cfg)
		hasError(t, mode, err, ErrUnavailable)
		line.set("")
		if err := signs(s); err != nil {
			t.Errorf("after %s: %v", mode, err)
		}
		if got, err := v.Secret(t.Context(), "one"); err != nil || !bytes.Equal(got, secret) {
			t.Errorf("after %s: %v", mode, err)
		}
	}
}

// A write whose answer is lost is sent again, and must not take its own first arrival for somebody else's.
func TestVaultAnswersThatAreLost(t *testing.T) {
	t.Parallel()
	p := newVaultPlace(t)
	f := newFront(t, p.address)
	cfg := p.config()
	cfg.Address = f.URL
	v := p.openWith(cfg)
	lose := func(part string) {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.swallow = part
	}
	lose("/data/passerelle/secrets/")
	secret := mustMake(t, v, "one")
	if got, err := v.Secret(t.Context(), "one"); err != nil || !bytes.Equal(got, secret) {
		t.Errorf("a secret: %v", err)
	}
	lose("/data/passerelle/keys")
	fresh := rotate(t, v, statement.UseTokens)
	lose("/data/passerelle/keys")
	if got := describe(t, v); got.Statement.Version != 1 {
		t.Errorf("version %d", got.Statement.Version)
	}
	lose("/data/passerelle/age/")
	rotate(t, v, statement.UseEncryption)
	lose("/keys/passerelle-tokens/rotate")
	last := rotate(t, v, statement.UseTokens)
	public, err := p.open().Public(t.Context())
	if err != nil || f.swallows != 5 {
		t.Fatalf("%d answers were lost, %v", f.swallows, err)
	}
	kids := ""
	for _, k := range public.Keys {
		if k.Use == statement.UseTokens {
			kids += k.Kid + " "
		}
	}
	if strings.Count(kids, " ") != 3 || !strings.HasSuffix(kids, fresh.Kid+" "+last.Kid+" ") {
		t.Errorf("keys for tokens: %s", kids)
	}
	if err := signs(signer(t, v, statement.UseTokens)); err != nil {
		t.Error(err)
	}
}

func TestVaultTokensAreRenewedAndReplaced(t *testing.T) {
	t.Parallel()
	p := newVaultPlace(t)
	p.role(map[string]any{"token_ttl": "2s", "token_max_ttl": "4s"})
	f := newFront(t, p.address)
	cfg := p.config()
	cfg.Address = f.URL
	v := p.openWith(cfg)
	for end := time.Now().Add(7 * time.Second); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if err := signs(signer(t, v, statement.UseLog)); err != nil {
			t.Fatal(err)
		}
	}
	if f.count("renew-self") == 0 || f.count("/login") < 2 {
		t.Errorf("%d renewals, %d logins", f.count("renew-self"), f.count("/login"))
	}
	if f.count("lookup-self") != 0 {
		t.Error("a token was used after its time")
	}
}

func TestVaultTokenRevoked(t *testing.T) {
	t.Parallel()
	p := newVaultPlace(t)
	f := newFront(t, p.address)
	cfg := p.config()
	cfg.Address = f.URL
	v := p.openWith(cfg)
	s := signer(t, v, statement.UseLog)
	f.reset()
	p.admin("auth/token/revoke", map[string]any{"token": v.session.client.Token()})
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			if err := signs(s); err != nil {
				t.Errorf("after the token was revoked: %v", err)
			}
		})
	}
	wg.Wait()
	if n := f.count("/login"); n != 1 {
		t.Errorf("%d logins", n)
	}
	// Should the secret id be gone as well, that is said, and not tried without end.
	p.admin("auth/ar-"+p.name+"/role/gateway/secret-id/destroy", map[string]any{"secret_id": cfg.SecretID})
	p.admin("auth/token/revoke", map[string]any{"token": v.session.client.Token()})
	f.reset()
	for range 10 {
		hasError(t, "no secret id", signs(s), ErrDenied, "secret id")
	}
	if n := f.count("/login"); n > 3 {
		t.Errorf("%d logins in vain", n)
	}
}

func TestVaultTokenGiven(t *testing.T) {
	t.Parallel()
	p := newVaultPlace(t)
	cfg := p.config()
	cfg.RoleID, cfg.SecretID = "", ""
	give := func(settings map[string]any) {
		settings["policies"], settings["no_default_policy"] = []string{p.name}, true
		made, err := p.root.Write("auth/token/create", settings)
		if err != nil {
			t.Fatal(err)
		}
		cfg.Token = made.Auth.ClientToken
	}
	give(map[string]any{"period": "2s"})
	v := p.openWith(cfg)
	for end := time.Now().Add(5 * time.Second); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		if err := signs(signer(t, v, statement.UseLog)); err != nil {
			t.Fatal(err)
		}
	}
	give(map[string]any{"ttl": "1s", "renewable": false})
	v = p.openWith(cfg)
	s := signer(t, v, statement.UseLog)
	p.eventually("the token expires", func() bool { return signs(s) != nil })
	hasError(t, "expired", signs(s), ErrDenied, "expired", "give a new one")
	p.eventually("it is logged", func() bool { return strings.Contains(p.log.String(), "cannot be renewed") })
	if _, err := OpenVault(t.Context(), cfg); !errors.Is(err, ErrDenied) {
		t.Errorf("opening: %v", err)
	}
	if strings.Contains(p.log.String(), cfg.Token) {
		t.Error("a token was logged")
	}
}

// In its last second, Vault says that nothing is left of a token. That is not for ever.
func TestVaultTokenInItsLastSecond(t *testing.T) {
	t.Parallel()
	p := newVaultPlace(t)
	f := newFront(t, p.address)
	f.answering(func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.HasSuffix(r.URL.Path, "/lookup-self") {
			return false
		}
		_, _ = io.WriteString(w, `{"data":{"ttl":0,"expire_time":"2026-01-01T00:00:00Z","renewable":false}}`)
		return true
	})
	v := p.openWith(VaultConfig{Address: f.URL, Transit: "t-" + p.name, KV: "kv-" + p.name, Token: p.token})
	if got := v.session.current().ttl; got != time.Second {
		t.Errorf("the token is taken to last %v", got)
	}
}

func TestVaultSecretIDs(t *testing.T) {
	t.Parallel()
	p := newVaultPlace(t)
	cfg := p.config()
	good := cfg.SecretID
	cfg.SecretID = "0b6ff9e4-0000-0000-0000-000000000000"
	_, err := OpenVault(t.Context(), cfg)
	hasError(t, "wrong", err, ErrDenied, "secret id")
	if strings.Contains(err.Error(), cfg.SecretID) {
		t.Errorf("the secret id is in the error: %v", err)
	}
	cfg.SecretID, cfg.SecretIDFile = "", filepath.Join(t.TempDir(), "secret-id")
	_, err = OpenVault(t.Context(), cfg)
	hasError(t, "no file", err, os.ErrNotExist, cfg.SecretIDFile)
	for content, sentinel := range map[string]error{"": nil, "\n": nil} {
		if err := os.WriteFile(cfg.SecretIDFile, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err = OpenVault(t.Context(), cfg)
		hasError(t, "empty", err, sentinel, "empty", cfg.SecretIDFile)
	}
	if err := os.WriteFile(cfg.SecretIDFile, []byte(good+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	v := p.openWith(cfg)
	// A secret id that was replaced in the file is found when it is needed.
	p.admin("auth/ar-"+p.name+"/role/gateway/secret-id/destroy", map[string]any{"secret_id": good})
	if err := os.WriteFile(cfg.SecretIDFile, []byte(p.secretID()), 0o600); err != nil {
		t.Fatal(err)
	}
	p.admin("auth/token/revoke", map[string]any{"token": v.session.client.Token()})
	if err := signs(signer(t, v, statement.UseLog)); err != nil {
		t.Error(err)
	}
	chmod(t, cfg.SecretIDFile, 0o644)
	_, err = OpenVault(t.Context(), cfg)
	hasError(t, "exposed", err, ErrExposed, "chmod 600 "+cfg.SecretIDFile)
}

func TestVaultNamespaceIsSent(t *testing.T) {
	p := newVaultPlace(t)
	f := newFront(t, p.address)
	cfg := p.config()
	cfg.Address, cfg.Namespace = f.URL, "/team/gateway/"
	t.Setenv("VAULT_NAMESPACE", "elsewhere")
	// Vault's open edition has no namespaces: it says so, and the header has arrived.
	if v, err := OpenVault(t.Context(), cfg); err == nil {
		v.Close()
	}
	if got := f.lastHeader("X-Vault-Namespace"); got != "team/gateway" {
		t.Errorf("the namespace was %q", got)
	}
	cfg.Namespace = ""
	p.openWith(cfg)
	if got := f.lastHeader("X-Vault-Namespace"); got != "" {
		t.Errorf("the namespace was taken from the environment: %q", got)
	}
}

func TestVaultCertificates(t *testing.T) {
	t.Parallel()
	p := newVaultPlace(t)
	f := startFront(t, p.address, (*httptest.Server).StartTLS)
	cfg := p.config()
	cfg.Address = f.URL
	_, err := OpenVault(t.Context(), cfg)
	hasError(t, "unknown authority", err, ErrUnavailable, "CA certificate")
	cfg.CACert = filepath.Join(t.TempDir(), "ca.pem")
	_, err = OpenVault(t.Context(), cfg)
	hasError(t, "no file", err, os.ErrNotExist, cfg.CACert)
	for content, says := range map[string]string{"nothing": "no certificate"} {
		if err := os.WriteFile(cfg.CACert, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
		_, err = OpenVault(t.Context(), cfg)
		hasError(t, content, err, formats.ErrInvalid, says, cfg.CACert)
	}
	cert := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: f.Certificate().Raw})
	if err := os.WriteFile(cfg.CACert, cert, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := signs(signer(t, p.openWith(cfg), statement.UseLog)); err != nil {
		t.Error(err)
	}
	cfg.Address = strings.Replace(p.address, "http://", "https://", 1)
	_, err = OpenVault(t.Context(), cfg)
	hasError(t, "https to http", err, ErrUnavailable, "http")
}

// What answers is not always Vault, and not always well. A secret never counts as destroyed because of it.
func TestVaultAnswersThatAreNone(t *testing.T) {
	t.Parallel()
	p := newVaultPlace(t)
	f := newFront(t, p.address)
	cfg := p.config()
	cfg.Address = f.URL
	v := p.openWith(cfg)
	mustMake(t, v, "one")
	s := signer(t, v, statement.UseLog)
	hostile := cfg.SecretID + " " + v.session.client.Token()
	cases := []struct {
		name   string
		status int
		body   string
		want   error
	}{
		{"a page", 200, "<html>welcome", ErrUnavailable},
		{"nothing", 200, "", nil},
		{"null", 200, "null", nil},
		{"a list", 200, "[]", ErrUnavailable},
		{"cut", 200, `{"data":{"data":{"secret":"AAA`, ErrUnavailable},
		{"other types", 200, `{"data":{"data":{},"metadata":{"version":"x"}}}`, ErrUnavailable},
		{"not found, as a page", 404, "<html>not found", ErrUnavailable},
		{"not found, with a reason", 404, `{"errors":["unsupported path"]}`, nil},
		{"engine gone", 404, `{"errors":["no handler for route \"x/data\". route entry not found."]}`, nil},
		{"overloaded", 429, `{"errors":["request path: rate limit quota exceeded"]}`, ErrUnavailable},
		{"standby", 473, `{"errors":[]}`, ErrUnavailable},
		{"broken", 500, `{"errors":["1 error occurred: internal error"]}`, ErrUnavailable},
		{"gateway", 502, "<html>bad gateway", ErrUnavailable},
		{"not ready", 503, "", ErrUnavailable},
		{"chatty", 400, `{"errors":["` + hostile + `"]}`, nil},
		{"chatty and broken", 500, `{"errors":["` + strings.Repeat("x", 5000) + hostile + `"]}`, ErrUnavailable},
	}
	for _, c := range cases {
		f.answering(func(w http.ResponseWriter, _ *http.Request) bool {
			w.WriteHeader(c.status)
			_, _ = io.WriteString(w, c.body)
			return true
		})
		_, read := v.Secret(t.Context(), "one")
		_, made := v.MakeSecret(t.Context(), "two")
		_, list := v.Public(t.Context())
		for what, err := range map[string]error{"secret": read, "make": made, "list": list, "sign": signs(s)} {
			hasError(t, c.name+": "+what, err, c.want)
			if errors.Is(err, ErrNoKey) || strings.Contains(err.Error(), cfg.SecretID) || strings.Contains(err.Error(), v.session.client.Token()) || len(err.Error()) > 800 {
				t.Errorf("%s: %s: %v", c.name, what, err)
			}
		}
	}
	f.answering(nil)
	if err := signs(s); err != nil {
		t.Error(err)
	}
}
