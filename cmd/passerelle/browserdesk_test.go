package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
)

// isAudited has an auditor look into a complaint of alice's, on every page of the desk, and take the evidence away.
func (v *visit) isAudited() {
	v.t.Helper()
	mustCall(v.t, "--data", v.data, "audit", "matter", "open", "right", "A person asks for a copy of their data")
	mustCall(v.t, "--data", v.data, "audit", "check")
	var invited struct{ Code string }
	if err := json.Unmarshal([]byte(mustCall(v.t, "--data", v.data, "--json", "audit", "invite", "Ada Contrôle", "--for", "CNIL", "--url", v.g.url)), &invited); err != nil {
		v.t.Fatal(err)
	}
	v.open("/desk/registers")
	v.read("desk-sign-in.title")
	v.inspect("desk-sign-in")
	v.Fill(v.say("desk.code"), "nonsense")
	v.press("desk.enter")
	v.read("desk.sign-in-wrong")
	v.Faults() // it complains of the status 401
	v.Fill(v.say("desk.code"), invited.Code)
	v.press("desk.enter")
	v.read("desk-registers.title")
	for _, page := range []string{"registers", "articles", "transfers", "withdrawals", "numbers", "conduct"} {
		v.open("/desk/" + page)
		v.read("desk-" + page + ".title")
		v.inspect("desk-" + page)
	}
	v.open("/desk/rules/gdpr")
	v.read("desk.in-force")
	v.inspect("desk-rules")
	v.open("/desk")
	v.See("Ada Contrôle")
	v.inspect("desk")
	if w := v.Weight(); w > 60_000 {
		v.t.Errorf("the desk weighs %d bytes", w)
	}

	v.press("desk.ask-consent")
	v.inspect("desk-questions")
	v.Fill(v.say("desk.name"), "alice")
	v.Fill(v.say("desk.reason"), "complaint 2026/117")
	v.press("desk.find-it")
	v.read("desk.is-here")
	v.inspect("desk-found")
	_, rest, _ := strings.Cut(v.Text(), v.say("desk.is-here"))
	words := strings.Fields(rest)
	if len(words) < 2 || !strings.HasPrefix(words[0], "p-") {
		v.t.Fatalf("no pseudonym: %s", v.Text())
	}
	v.Click(strings.TrimSuffix(words[1], ":"))
	v.read("desk-consent.title")
	v.inspect("desk-consent")
	v.press("desk.prove")
	v.read("desk.answer-yes", "desk.all-covered")
	v.inspect("desk-answer")
	content, name := v.Download(v.say("desk.take"))
	if name != "evidence.zip" {
		v.t.Errorf("the evidence is in %q", name)
	}
	file := filepath.Join(v.t.TempDir(), name)
	if err := os.WriteFile(file, content, 0o600); err != nil {
		v.t.Fatal(err)
	}
	var log struct{ Key string }
	if err := json.Unmarshal([]byte(mustCall(v.t, "--data", v.data, "--json", "log", "checkpoint")), &log); err != nil {
		v.t.Fatal(err)
	}
	if out := mustCall(v.t, "audit", "verify", file, "--key", log.Key, "--dataset", "contacts"); !strings.Contains(out, "Yes: at") || !strings.Contains(out, "0 of which no consent covered") {
		v.t.Errorf("the evidence says %s", out)
	}
	v.press("nav.sign-out")
	v.read("desk-sign-in.title")
	v.open("/overview") // as alice, who is signed in there all the time
	v.read("overview.looked")
	v.See("complaint 2026/117", "CNIL")
	v.inspect("overview-looked")
}

// isErased has the operator erase alice, while the gateway runs.
func (v *visit) isErased() {
	v.t.Helper()
	out := filepath.Join(v.t.TempDir(), "certificate.jws")
	said := mustCall(v.t, "--data", v.data, "person", "erase", "alice", "--out", out, "--yes")
	for _, want := range []string{"alice is erased", "1 consents", "Invites SAS (privacy@invites.example) was told, and has not acknowledged it so far", "The log says so in leaf"} {
		if !strings.Contains(said, want) {
			v.t.Errorf("it does not say %q: %s", want, said)
		}
	}
	v.open("/consents")
	v.read("sign-in.title")
	if out := mustCall(v.t, "--data", v.data, "--json", "audit", "check"); strings.Contains(out, `"broken"`) {
		v.t.Errorf("the checks find something: %s", out)
	}
}
