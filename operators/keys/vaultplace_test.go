package keys

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/vault/api"
)

// vaultPlace is a part of a real Vault for one test: mounts, a policy and a role of its own.
type vaultPlace struct {
	t       *testing.T
	root    *api.Logical // as an administrator
	address string
	token   string // of the administrator
	name    string // of transit, KV and AppRole mounts, with t-, kv- and ar- before it
	log     *logBuffer
}

// logBuffer is a log that can be read while it is written.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// newVaultPlace prepares a place in the server at $VAULT_ADDR, under exactly the policy that administrators are given.
func newVaultPlace(t *testing.T) *vaultPlace {
	t.Helper()
	address, token := os.Getenv("VAULT_ADDR"), os.Getenv("VAULT_TOKEN")
	if address == "" || token == "" {
		t.Skip("VAULT_ADDR and VAULT_TOKEN (a root token) are not set: keys in Vault are not tested")
	}
	return placeIn(t, address, token)
}

func placeIn(t *testing.T, address, token string) *vaultPlace {
	t.Helper()
	client, err := api.NewClient(&api.Config{Address: address})
	if err != nil {
		t.Fatal(err)
	}
	client.SetToken(token)
	p := &vaultPlace{t: t, root: client.Logical(), address: address, token: token, name: strings.ToLower(rand.Text()[:10]), log: &logBuffer{}}
	p.admin("sys/mounts/t-"+p.name, map[string]any{"type": "transit"})
	p.admin("sys/mounts/kv-"+p.name, map[string]any{"type": "kv", "options": map[string]any{"version": "2"}})
	p.admin("sys/auth/ar-"+p.name, map[string]any{"type": "approle"})
	t.Cleanup(func() {
		for _, path := range []string{"sys/mounts/t-", "sys/mounts/kv-", "sys/auth/ar-", "sys/policies/acl/"} {
			_, _ = p.root.Delete(path + p.name)
		}
	})
	p.policy(func(policy string) string { return policy })
	p.role(map[string]any{})
	p.eventually("the KV engine is ready", func() bool {
		_, err := p.root.Write("kv-"+p.name+"/data/ready", map[string]any{"data": map[string]any{}})
		return err == nil
	})
	return p
}

// admin writes as an administrator.
func (p *vaultPlace) admin(path string, data map[string]any) map[string]any {
	p.t.Helper()
	secret, err := p.root.Write(path, data)
	if err != nil {
		p.t.Fatal(err)
	}
	if secret == nil {
		return nil
	}
	return secret.Data
}

// policy applies the policy of the documentation, with the names of this place and changes.
func (p *vaultPlace) policy(change func(string) string) {
	p.t.Helper()
	text, err := os.ReadFile("policy.hcl")
	if err != nil {
		p.t.Fatal(err)
	}
	named := strings.NewReplacer(`"transit/`, `"t-`+p.name+`/`, `"secret/`, `"kv-`+p.name+`/`).Replace(string(text))
	p.admin("sys/policies/acl/"+p.name, map[string]any{"policy": change(named)})
}

// role sets up the role of the gateway, with more settings.
func (p *vaultPlace) role(settings map[string]any) {
	p.t.Helper()
	settings["token_policies"], settings["token_no_default_policy"] = p.name, true
	p.admin("auth/ar-"+p.name+"/role/gateway", settings)
}

func (p *vaultPlace) secretID() string {
	p.t.Helper()
	return p.admin("auth/ar-"+p.name+"/role/gateway/secret-id", map[string]any{})["secret_id"].(string)
}

// config is what a gateway needs to use this place.
func (p *vaultPlace) config() VaultConfig {
	p.t.Helper()
	role, err := p.root.Read("auth/ar-" + p.name + "/role/gateway/role-id")
	if err != nil {
		p.t.Fatal(err)
	}
	return VaultConfig{Address: p.address, Transit: "t-" + p.name, KV: "kv-" + p.name, AppRole: "ar-" + p.name,
		RoleID: role.Data["role_id"].(string), SecretID: p.secretID(), Log: slog.New(slog.NewTextHandler(p.log, nil))}
}

// open opens the keys as one more gateway.
func (p *vaultPlace) open() *Vault { return p.openWith(p.config()) }

func (p *vaultPlace) openWith(cfg VaultConfig) *Vault {
	p.t.Helper()
	v, err := OpenVault(context.Background(), cfg)
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { v.Close() })
	return v
}

// eventually waits until something holds.
func (p *vaultPlace) eventually(what string, holds func() bool) {
	p.t.Helper()
	for end := time.Now().Add(20 * time.Second); !holds(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			p.t.Fatalf("%s: not after 20 s", what)
		}
	}
}

// ownVault starts a server for one test.
func ownVault(t *testing.T) (p *vaultPlace, unsealKey string) {
	t.Helper()
	binary := os.Getenv("PASSERELLE_VAULTDEV")
	if binary == "" {
		t.Skip("PASSERELLE_VAULTDEV (a Vault server in memory, for development) is not set: a sealed Vault is not tested")
	}
	cmd := exec.Command(binary, "-addr", "127.0.0.1:0")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	// It says: root_token TOKEN addr HOST:PORT [unseal_key KEY]
	line, err := bufio.NewReader(out).ReadString('\n')
	words := strings.Fields(line)
	if err != nil || len(words) < 4 {
		t.Fatalf("the server said %q, %v", line, err)
	}
	if len(words) == 6 {
		unsealKey = words[5]
	}
	return placeIn(t, "http://"+words[3], words[1]), unsealKey
}
