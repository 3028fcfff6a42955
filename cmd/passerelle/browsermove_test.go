package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/passerelle-cloud/passerelle/internal/browsertest"
	"github.com/passerelle-cloud/passerelle/operators/peer"
)

// beginMove starts two gateways that trust each other: A, where alice has everything, and B, where she has an account.
func beginMove(t *testing.T, o browsertest.Options) (v *visit, b *running, bData string) {
	t.Helper()
	browsertest.Need(t)
	text, err := os.ReadFile("../../internal/webui/texts/" + o.Language + ".json")
	if err != nil {
		t.Fatal(err)
	}
	v = &visit{t: t, language: o.Language, data: t.TempDir(), pages: map[string]bool{}, narrow: o.Width < 600}
	if err := json.Unmarshal(text, &v.texts); err != nil {
		t.Fatal(err)
	}
	bData = t.TempDir()
	loaded(t, v.data)
	// A browser keeps one set of cookies for all ports of a host.
	ports := map[string]string{v.data: "localhost:" + freePort(t), bData: "127.0.0.1:" + freePort(t)}
	statements := map[string]string{}
	for data, host := range ports {
		named(t, data, map[string]string{v.data: "Maison A", bData: "Banque B"}[data], "http://"+host)
		statements[data] = filepath.Join(t.TempDir(), "operator.json")
		if err := os.WriteFile(statements[data], []byte(mustCall(t, "--data", data, "operator", "publish")), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	mustCall(t, "--data", v.data, "operator", "trust", statements[bData])
	mustCall(t, "--data", bData, "operator", "trust", statements[v.data])
	mustCall(t, "--data", bData, "person", "add", "alice")
	passwordOf(t, v.data, "alice", "correct horse battery")
	passwordOf(t, bData, "alice", "another horse battery")
	serve := func(data string) *running {
		host := ports[data]
		return runGateway(t, data, "--listen", strings.Replace(host, "localhost", "127.0.0.1", 1), "--url", "http://"+host, "--local")
	}
	v.g, b = serve(v.data), serve(bData)
	v.Browser = browsertest.Open(t, o)
	return v, b, bData
}

// named gives an operator a name, and the address of its gateway.
func named(t *testing.T, data, name, url string) {
	t.Helper()
	var profile map[string]any
	if err := json.Unmarshal([]byte(mustCall(t, "--data", data, "--json", "operator", "show")), &profile); err != nil {
		t.Fatal(err)
	}
	profile = map[string]any{"id": profile["id"], "legal_name": name, "endpoints": map[string]string{peer.Endpoint: url}}
	text, err := json.Marshal(profile)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(data, "operator.json"), text, 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestMovePages moves somebody from one operator to another through the pages: in French on a telephone, and in English.
func TestMovePages(t *testing.T) {
	for _, o := range []browsertest.Options{{Language: "fr", Width: 360, Height: 740, Phone: true}, {Language: "en", Dark: true}} {
		t.Run(o.Language, func(t *testing.T) {
			v, b, bData := beginMove(t, o)
			v.Go(b.url + "/move")
			v.enter("another horse battery")
			v.read("move.title", "move.bring-how")
			v.inspect("move-begin")
			v.press("move.go")
			v.enter("correct horse battery")
			v.read("prompt.decide")
			v.See("Banque B")
			v.inspect("move-prompt")
			v.press("prompt.go")
			v.read("move.moving")
			v.inspect("move-under-way")
			v.read("move.arrived", "move.complete")
			v.inspect("move-arrived")
			if list := mustCall(t, "--data", bData, "person", "list"); !strings.Contains(list, "alice") {
				t.Errorf("there is nobody: %s", list)
			}
			v.Go(b.url + "/move")
			v.read("move.arrived", "move.report")
			v.open("/move")
			v.read("move.left", "move.retained", "move.open")
			v.inspect("move-left")
		})
	}
}

// enter signs in with a password, wherever one is asked for it.
func (v *visit) enter(password string) {
	v.t.Helper()
	v.Fill(v.say("sign-in.name"), "alice")
	v.Fill(v.say("sign-in.password"), password)
	v.press("sign-in.do")
}
