package main

import (
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/passerelle-cloud/passerelle/internal/fapi"
)

// TestServices administers services from the command line, with no gateway running and with one, which then is the only
// one that can write the log.
func TestServices(t *testing.T) {
	data := filepath.Join(t.TempDir(), strings.Repeat("a-long-name", 9)) // longer than the path of a socket may be
	file := filepath.Join(t.TempDir(), "service.json")
	key, err := fapi.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	jwks, err := fapi.JWKS(key)
	if err != nil {
		t.Fatal(err)
	}
	registration := map[string]any{
		"client_id": "invites", "client_name": "Invites", "legal_name": "Invites SAS", "registrations": []any{map[string]string{"scheme": "SIREN", "value": "732829320"}},
		"country": "FR", "address": "1 rue des Exemples, 35000 Rennes", "contact": "privacy@invites.example", "purposes": []string{invitePurpose},
		"privacy_notices": map[string]string{"en": "https://invites.example/privacy"}, "redirect_uris": []string{"https://invites.example/callback"},
		"token_endpoint_auth_method": "private_key_jwt", "jwks": json.RawMessage(jwks),
	}
	save := func() {
		text, err := json.Marshal(registration)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	says := func(want string, code int, args ...string) {
		t.Helper()
		if out, got := call(t, append([]string{"--data", data, "service"}, args...)...); got != code || !strings.Contains(out, want) {
			t.Errorf("%v: %d, %s", args, got, out)
		}
	}
	save()
	says("None yet", 0, "list")
	says("invites (Invites SAS) is registered", 0, "add", file)
	g := runGateway(t, data)
	says("Invites SAS", 0, "list")
	says("nothing flows to it any more", 0, "suspend", "invites", "--reason", "it sold data")
	says("suspended: it sold data", 0, "list")
	says("active again", 0, "resume", "invites")
	says(`"client_id": "invites"`, 0, "show", "invites")
	says("not found", 1, "suspend", "nobody", "--reason", "x")
	says("only an operator that keeps accounts", 1, "agree", "invites", "--runs", "8", "--agreement", "contract 7")
	says("5 to 96", 1, "agree", "invites", "--runs", "4", "--agreement", "contract 7")
	says("It is shown once", 0, "invite", "--note", "for a test")
	says("1 to 1000", 1, "invite", "--services", "0")
	delete(registration, "contact")
	delete(registration, "country")
	save()
	says("country is missing; contact is missing", 1, "add", file)
	if info, err := os.Stat(filepath.Join(data, adminSocket)); err != nil || info.Mode().Perm() != 0o600 || info.Mode().Type() != fs.ModeSocket {
		t.Error(info, err)
	}
	if answer, body := g.get(t, "/admin/services"); answer.StatusCode != 401 || strings.Contains(body, "invites") {
		t.Error("administration is open to everybody", answer.Status, body)
	}
	g.stop(t)
	says("Invites SAS", 0, "list") // what a gateway left is no hindrance
}
