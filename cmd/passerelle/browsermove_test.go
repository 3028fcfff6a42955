package main

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/passerelle-cloud/passerelle/internal/browsertest"
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
	loaded(t, v.data)
	// A browser keeps one set of cookies for all ports of a host.
	two := pair{from: v.data, to: t.TempDir(), fromURL: "http://localhost:" + freePort(t), toURL: "http://127.0.0.1:" + freePort(t)}
	two.acquaint(t)
	v.g, b = two.serve(t, two.from), two.serve(t, two.to)
	bData = two.to
	v.Browser = browsertest.Open(t, o)
	return v, b, bData
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
