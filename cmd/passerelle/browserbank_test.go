package main

import (
	"encoding/json"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/passerelle-cloud/passerelle/internal/browsertest"
	"github.com/passerelle-cloud/passerelle/operators/bank/banktest"
)

// atSandbox opens a bank, and a gateway with its profile, which is entitled to read at banks.
func atSandbox(t *testing.T, data string, c banktest.Config, sca string) (*banktest.Bank, *running) {
	t.Helper()
	bank, err := banktest.New(c)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(bank)
	t.Cleanup(server.Close)
	api := strings.Replace(server.URL, "127.0.0.1", "localhost", 1) // its cookies are not the gateway's
	profiles := t.TempDir()
	profile := `{"id": "ruisseau", "name": "Banque du Ruisseau", "country": "FR", "zone": "Europe/Paris", "standard": "xs2a-1.3", "sandbox": true, "api": "` + api + `", "sca": ` + sca + `}`
	if err := os.WriteFile(filepath.Join(profiles, "ruisseau.json"), []byte(profile), 0o600); err != nil {
		t.Fatal(err)
	}
	entitled(t, data, "aisp")
	return bank, runGateway(t, data, "--banks", profiles)
}

// entitled gives an operator a role.
func entitled(t *testing.T, data, role string) {
	t.Helper()
	var profile map[string]any
	if err := json.Unmarshal([]byte(mustCall(t, "--data", data, "--json", "operator", "show")), &profile); err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(map[string]any{"id": profile["id"], "legal_name": "Maison A", "roles": []string{role}})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(data, "operator.json"), text, 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestConnectPages connects a bank through its page in French on a telephone, reads, authenticates again, and disconnects it.
func TestConnectPages(t *testing.T) {
	t.Parallel()
	v := visitor(t, browsertest.Options{Language: "fr", Width: 360, Height: 740, Phone: true})
	mustCall(t, "--data", v.data, "person", "add", "alice")
	passwordOf(t, v.data, "alice", "correct horse battery")
	bank, g := atSandbox(t, v.data, banktest.Config{}, `{"approach": "redirect"}`)
	v.g = g
	v.open("/bank")
	v.enter("correct horse battery")
	v.read("connection.nothing")
	v.inspect("bank-none")
	v.press("connect.title")
	v.inspect("connect")
	v.Click("Banque du Ruisseau")
	v.read("connect.who", "connect.secret", "connect.law")
	v.inspect("connect-wish")
	v.press("connect.go")
	agree(v, banktest.Anne)
	v.waits("connection.refresh")
	v.read("connection.state-connected", "bank.accounts")
	v.inspect("connection")
	v.open("/bank")
	v.read("bank.accounts", "bank.operations")
	v.inspect("bank-connected")
	consents := bank.Consents()
	if len(consents) != 1 {
		t.Fatalf("the bank has the consents %v", consents)
	}

	// Again in two clicks, as far as this gateway is concerned.
	v.Click("Banque du Ruisseau")
	v.ResetClicks()
	v.press("connection.again")
	if n := v.Clicks(); n > 2 {
		t.Errorf("it took %d clicks to get to the bank again", n)
	}
	agree(v, banktest.Anne)
	v.waits("connection.refresh")

	v.press("connection.disconnect")
	v.waits("connection.state-disconnected")
	v.inspect("connection-disconnected")
	for _, c := range bank.Consents() {
		if c.Status == "valid" {
			t.Errorf("at the bank there is still %+v", c)
		}
	}
	v.open("/bank")
	v.read("connection.nothing", "bank.operations") // what was read stays
}

// agree agrees on the page of the sandbox bank.
func agree(v *visit, person string) {
	v.t.Helper()
	v.Fill("Identifiant client", person)
	v.Fill("Mot de passe", "sandbox")
	v.Click("Se connecter")
	v.See("Êtes-vous d’accord")
	v.Fill("Code de confirmation", shownCode(v))
	v.Click("Accepter")
}

// shownCode is the code that the sandbox's page shows in the place of a telephone.
func shownCode(v *visit) string {
	v.t.Helper()
	text := v.Text()
	_, after, _ := strings.Cut(text, "Le voici :")
	for word := range strings.FieldsSeq(after) {
		if len(word) == 6 && strings.Trim(word, "0123456789") == "" {
			return word
		}
	}
	v.t.Fatalf("there is no code in %q", text)
	return ""
}
