package keys

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/passerelle-cloud/passerelle/formats"
	"github.com/passerelle-cloud/passerelle/formats/statement"
)

func TestVaultConfigs(t *testing.T) {
	t.Parallel()
	good := VaultConfig{Address: "https://vault.example:8200", RoleID: "r", SecretID: "s3cr3t"}
	if err := good.Validate(); err != nil {
		t.Error(err)
	}
	cases := []struct {
		spoil func(*VaultConfig)
		says  string
	}{
		{func(c *VaultConfig) { c.Address = "" }, "address"},
		{func(c *VaultConfig) { c.Address = "vault.example:8200" }, "address"},
		{func(c *VaultConfig) { c.Address = "ftp://vault.example" }, "address"},
		{func(c *VaultConfig) { c.Address = "https://vault.example/ui" }, "address"},
		{func(c *VaultConfig) { c.Address = "https://a:s3cr3t@vault.example" }, "name nor password"},
		{func(c *VaultConfig) { c.Address = "https://vault.example\x00" }, "address"},
		{func(c *VaultConfig) { c.Transit = "../sys" }, "transit mount"},
		{func(c *VaultConfig) { c.KV = "a//b" }, "KV mount"},
		{func(c *VaultConfig) { c.AppRole = "a b" }, "AppRole mount"},
		{func(c *VaultConfig) { c.Namespace = "a\r\nX: y" }, "namespace"},
		{func(c *VaultConfig) { c.Prefix = "a-b" }, "prefix"},
		{func(c *VaultConfig) { c.Prefix = "a..b" }, "prefix"},
		{func(c *VaultConfig) { c.Prefix = "A" }, "prefix"},
		{func(c *VaultConfig) { c.Prefix = strings.Repeat("a", 61) }, "prefix"},
		{func(c *VaultConfig) { c.RoleID = "" }, "role id"},
		{func(c *VaultConfig) { c.Token = "s3cr3t" }, "not both"},
		{func(c *VaultConfig) { c.SecretID = "" }, "secret id"},
		{func(c *VaultConfig) { c.SecretIDFile = "f" }, "secret id"},
		{func(c *VaultConfig) { c.Timeout = -1 }, "timeout"},
	}
	for _, c := range cases {
		bad := good
		c.spoil(&bad)
		_, err := OpenVault(t.Context(), bad)
		hasError(t, fmt.Sprint(bad), err, formats.ErrInvalid, c.says)
		if err != nil && strings.Contains(err.Error(), "s3cr3t") {
			t.Errorf("a secret is in the error: %v", err)
		}
	}
	var printed bytes.Buffer
	slog.New(slog.NewJSONHandler(&printed, nil)).Info("", "vault", good)
	fmt.Fprintf(&printed, "%v %+v %#v %s", good, good, good, good)
	if strings.Contains(printed.String(), "s3cr3t") {
		t.Errorf("the secret id is printed: %s", printed.String())
	}
	for address, clear := range map[string]bool{"http://127.0.0.1:1": false, "http://[::1]:1": false, "http://localhost": false, "http://10.0.0.1": true, "http://vault": true, "https://vault": false} {
		if (VaultConfig{Address: address}).inTheClear() != clear {
			t.Errorf("%s: in the clear is not %t", address, clear)
		}
	}
}

func FuzzVaultLists(f *testing.F) {
	f.Add([]byte(`{"format":"passerelle-vault-keys/1","version":1,"keys":[],"transit":{}}`))
	f.Add([]byte(`{"keys":[{"use":"log","kid":"x","jwk":{}}]}`))
	f.Add([]byte(`null`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var list vaultList
		if decodeList(data, &list) != nil || list.check(vaultListFormat) != nil {
			return
		}
		for _, use := range statement.Uses() {
			if lowest := list.lowestAlive(use, time.Now()); lowest > list.newest(use) {
				t.Errorf("version %d is to be kept, of %d", lowest, list.newest(use))
			}
			_, _ = list.current(use)
		}
		_, _ = list.recipient()
	})
}
