package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/passerelle-cloud/passerelle/internal/browsertest"
	"github.com/passerelle-cloud/passerelle/internal/fapi"
)

// visit is a person's way through a gateway's pages, in one language and on one screen.
type visit struct {
	*browsertest.Browser
	t        *testing.T
	language string
	texts    map[string]string
	data     string
	g        *running
	service  *fapi.Client
	narrow   bool
	pages    map[string]bool // looked at
}

// freePort is one that nobody listens at.
func freePort(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	return port
}

// visitor is a browser without a gateway so far.
func visitor(t *testing.T, o browsertest.Options) *visit {
	t.Helper()
	browsertest.Need(t)
	text, err := os.ReadFile("../../internal/webui/texts/" + o.Language + ".json")
	if err != nil {
		t.Fatal(err)
	}
	v := &visit{t: t, language: o.Language, data: t.TempDir(), pages: map[string]bool{}, narrow: o.Width < 600}
	if err := json.Unmarshal(text, &v.texts); err != nil {
		t.Fatal(err)
	}
	v.Browser = browsertest.Open(t, o)
	return v
}

// beginVisit starts a gateway with what alice has, a service that may ask there, and a browser. Passkeys need the host
// name localhost.
func beginVisit(t *testing.T, o browsertest.Options, flags ...string) *visit {
	t.Helper()
	v := visitor(t, o)
	loaded(t, v.data)
	port := freePort(t)
	v.g = runGateway(t, v.data, append([]string{"--listen", "127.0.0.1:" + port, "--url", "http://localhost:" + port, "--local"}, flags...)...)
	t.Cleanup(func() {
		if t.Failed() {
			v.g.stop(t)
			t.Logf("the gateway says: %s", v.g.err)
		}
	})
	v.service = serviceFor(t, v.data, v.g.url)
	return v
}

// serviceFor registers a service.
func serviceFor(t *testing.T, data, issuer string) *fapi.Client {
	t.Helper()
	client, file := someService(t, "Invites", issuer)
	mustCall(t, "--data", data, "service", "add", file)
	return client
}

// someService is a service that has a page of its own, to which persons come back, and the file with its registration.
func someService(t *testing.T, name, issuer string) (client *fapi.Client, file string) {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "<!doctype html><html lang=en><title>Invites</title><main><h1>Invites</h1><p>Welcome back. %s</p></main>", r.URL.Query().Get("error"))
	}))
	t.Cleanup(server.Close)
	key, err := fapi.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	proof, err := fapi.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	jwks, err := fapi.JWKS(key)
	if err != nil {
		t.Fatal(err)
	}
	registration, err := json.Marshal(map[string]any{
		"client_id": strings.ToLower(name), "client_name": name, "legal_name": name + " SAS", "registrations": []any{map[string]string{"scheme": "SIREN", "value": "732829320"}},
		"country": "FR", "address": "1 rue des Exemples, 35000 Rennes", "contact": "privacy@invites.example", "purposes": []string{invitePurpose},
		"privacy_notices": map[string]string{"en": "https://invites.example/privacy", "fr": "https://invites.example/vie-privee"},
		"redirect_uris":   []string{server.URL + "/callback"}, "token_endpoint_auth_method": "private_key_jwt", "jwks": json.RawMessage(jwks),
	})
	if err != nil {
		t.Fatal(err)
	}
	file = filepath.Join(t.TempDir(), "service.json")
	if err := os.WriteFile(file, registration, 0o600); err != nil {
		t.Fatal(err)
	}
	return &fapi.Client{Issuer: issuer, ID: strings.ToLower(name), Redirect: server.URL + "/callback", Key: key, Proof: proof}, file
}

// say is a text of the pages in the visitor's language.
func (v *visit) say(key string) string {
	v.t.Helper()
	text, ok := v.texts[key]
	if !ok {
		v.t.Fatalf("there is no text %q", key)
	}
	return text
}

// press clicks on what has this text.
func (v *visit) press(key string) { v.t.Helper(); v.Click(v.say(key)) }

// read waits until these texts are there, as far as they say nothing of their own.
func (v *visit) read(keys ...string) {
	v.t.Helper()
	for _, key := range keys {
		text, _, _ := strings.Cut(v.say(key), "%")
		v.See(strings.ReplaceAll(strings.TrimSpace(text), "\u00a0", " "))
	}
}

// inspect holds a page against what every page keeps: nothing that axe-core finds, nothing too wide, nothing hard to hit,
// nobody else asked for anything, nothing that the browser complains of.
func (v *visit) inspect(name string) {
	v.t.Helper()
	v.pages[name] = true
	v.Screenshot(v.language + "-" + name)
	v.Axe()
	if wide := v.Overflowing(); len(wide) > 0 {
		v.t.Errorf("%s is too wide: %s", name, strings.Join(wide, "\n"))
	}
	if small := v.Small(); len(small) > 0 {
		v.t.Errorf("%s: hard to hit: %s", name, strings.Join(small, "\n"))
	}
	if got := v.Browser.Language(); got != v.language {
		v.t.Errorf("%s is in %q", name, got)
	}
	for _, r := range v.Requests() {
		if u, err := url.Parse(r.URL); err != nil || u.Scheme != "data" && u.Hostname() != "localhost" && u.Hostname() != "127.0.0.1" {
			v.t.Errorf("%s asks somebody else: %s", name, r.URL)
		}
	}
	if faults := v.Faults(); len(faults) > 0 {
		v.t.Errorf("%s: the browser complains: %q", name, faults)
	}
}

// open goes to a page of the gateway.
func (v *visit) open(path string) { v.t.Helper(); v.Go(v.g.url + path) }

// register makes alice's account, by an invitation and a passkey.
func (v *visit) register() {
	v.t.Helper()
	link, _, _ := strings.Cut(mustCall(v.t, "--data", v.data, "person", "invite", "alice", "--url", v.g.url), "\n")
	v.Authenticator()
	v.Go(link)
	if w := v.Weight(); w > 60_000 {
		v.t.Errorf("the first page weighs %d bytes", w)
	}
	v.inspect("register")
	v.press("register.passkey-do")
	v.read("account.done-welcome")
	if v.Passkeys() != 1 {
		v.t.Errorf("the device has %d passkeys", v.Passkeys())
	}
	v.inspect("account-new")
}

// signIn signs in by the passkey.
func (v *visit) signIn() {
	v.t.Helper()
	v.open("/sign-in")
	v.inspect("sign-in")
	v.press("sign-in.passkey-do")
	v.read("consents.title")
}

// ask has the service ask alice for something, and goes where she decides.
func (v *visit) ask(more url.Values) fapi.Asked {
	v.t.Helper()
	asked, err := v.service.Ask(v.t.Context(), inviteDetails(), more)
	if err != nil {
		v.t.Fatal(err)
	}
	v.Go(asked.URL)
	v.read("prompt.decide")
	return asked
}

// redeem gets the tokens that a decision gave.
func (v *visit) redeem(asked fapi.Asked) fapi.Tokens {
	v.t.Helper()
	v.See("Welcome back")
	back, err := url.Parse(v.URL())
	if err != nil {
		v.t.Fatal(err)
	}
	tokens, err := v.service.Redeem(v.t.Context(), asked, back.Query())
	if err != nil {
		v.t.Fatal(err)
	}
	return tokens
}

// fetch has the service read alice's contacts, and returns the status and the answer.
func (v *visit) fetch(token string) (int, string) {
	v.t.Helper()
	answer, err := v.service.Get(v.t.Context(), v.g.url+"/data/contacts", token, http.Header{"Accept": {"application/x-ndjson"}})
	if err != nil {
		v.t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		v.t.Fatal(err)
	}
	return answer.StatusCode, string(body)
}

// TestWalk is the whole way of a person: they make an account, sign in with a passkey, grant a part of what is asked, see
// what was read, pause, take back a part, withdraw, give it again, and take everything with them.
func TestWalk(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]browsertest.Options{
		"French, on a phone":     {Language: "fr", Width: 360, Height: 740, Phone: true},
		"English, on a computer": {Language: "en", Width: 1280, Height: 900},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v := beginVisit(t, o)
			v.register()
			v.secrets()
			v.press("nav.sign-out")
			v.read("sign-in.title")
			v.signIn()
			v.inspect("consents-none")

			tokens, steps := v.grantsSome()
			v.seesAccesses(tokens)
			v.pauses(tokens)
			v.allowsLess(tokens)
			v.withdraws(tokens, steps)
			v.allowsAgain(tokens)
			v.downloads()
			v.looksAround()
			v.isAudited()
			v.isErased()
			t.Logf("%d pages were looked at", len(v.pages))
		})
	}
}

// secrets makes recovery codes, a recovery key and an app password.
func (v *visit) secrets() {
	v.t.Helper()
	v.press("account.codes-make")
	v.read("codes.how")
	v.inspect("codes")
	v.press("codes.kept")
	v.press("account.key-make")
	v.read("key.how")
	v.See("AGE-SECRET-KEY-1")
	v.inspect("key")
	v.press("codes.kept")
	v.See("age1")
	v.Fill(v.say("account.app-name"), "Phone")
	v.press("account.app-make")
	v.read("app.how")
	v.See("/dav/files/")
	v.inspect("app-password")
	v.press("app.kept")
	v.See("Phone")
	v.inspect("account")
}

// grantsSome unticks what is not needed, and one of the fields. It returns in how many steps all that was asked could have
// been granted.
func (v *visit) grantsSome() (fapi.Tokens, int) {
	v.t.Helper()
	v.ForgetCache()
	asked := v.ask(nil)
	if w := v.Weight(); w > 60_000 {
		v.t.Errorf("the prompt weighs %d bytes", w)
	}
	v.See("Invites SAS", "732829320")
	v.inspect("prompt")
	if v.Ticked(v.say("set.calendar")) {
		v.t.Error("what the service works without is ticked")
	}
	v.Click(v.say("prompt.fields") + " (" + v.say("set.contacts"))
	v.press("field.emails")
	v.Screenshot(v.language + "-prompt-less")
	v.ResetClicks()
	v.press("prompt.grant")
	steps := v.Clicks()
	tokens := v.redeem(asked)
	status, body := v.fetch(tokens.Access)
	if status != http.StatusOK || !strings.Contains(body, `"name"`) || strings.Contains(body, `"emails"`) {
		v.t.Errorf("the service reads %d %.300s", status, body)
	}
	if !strings.Contains(string(tokens.Details), "contacts") || strings.Contains(string(tokens.Details), "calendar") {
		v.t.Errorf("the service was given %s", tokens.Details)
	}
	v.Back()
	if v.Sees(v.say("prompt.decide")) { // the browser kept the page
		v.press("prompt.grant")
	}
	v.read("message.too-late.title")
	v.inspect("too-late")
	return tokens, steps
}

func (v *visit) seesAccesses(tokens fapi.Tokens) {
	v.t.Helper()
	v.open("/consents")
	v.See("Invites")
	v.inspect("consents")
	v.press("consents.see")
	v.read("consent.accesses")
	v.See(v.say("set.contacts"))
	v.inspect("consent")
	v.Click(v.say("consent.shown"))
	v.read("kept.title")
	v.inspect("kept")
	v.press("back")
	receipt, name := v.Download(v.say("consent.receipt"))
	if len(receipt) < 100 || name == "" {
		v.t.Errorf("the receipt %q is %.100s", name, receipt)
	}
	v.press("consent.print")
	v.read("print.title")
	v.inspect("print")
	v.open("/overview")
	v.read("overview.how")
	v.inspect("overview")
	v.open("/consents")
	v.press("news.seen")
	v.NotSee(v.say("news.first"))
	_ = tokens
}

func (v *visit) pauses(tokens fapi.Tokens) {
	v.t.Helper()
	v.press("consents.see")
	v.press("consent.pause")
	v.read("consent.done-paused")
	v.inspect("paused")
	if status, body := v.fetch(tokens.Access); status != http.StatusForbidden || !strings.Contains(body, "paused") {
		v.t.Errorf("while it is paused the service reads %d %.300s", status, body)
	}
	v.press("consent.resume")
	v.read("consent.done-resumed")
	if status, body := v.fetch(tokens.Access); status != http.StatusOK {
		v.t.Errorf("after the pause the service reads %d %.300s", status, body)
	}
}

func (v *visit) allowsLess(tokens fapi.Tokens) {
	v.t.Helper()
	v.press("consent.change")
	v.inspect("change")
	v.Choose(v.say("prompt.until"), strings.Replace(v.say("prompt.days.other"), "%d", "7", 1))
	v.press("change.do")
	v.read("consent.done-changed")
	if status, body := v.fetch(tokens.Access); status != http.StatusOK {
		v.t.Errorf("with less time the service reads %d %.300s", status, body)
	}
}

// withdraws takes no more steps than granting did.
func (v *visit) withdraws(tokens fapi.Tokens, steps int) {
	v.t.Helper()
	v.open("/consents")
	v.ResetClicks()
	v.press("consents.withdraw")
	v.read("consents.done-withdrawn")
	if v.Clicks() > steps {
		v.t.Errorf("it takes %d steps to withdraw, and %d to grant", v.Clicks(), steps)
	}
	v.inspect("withdrawn")
	if status, body := v.fetch(tokens.Access); status != http.StatusUnauthorized {
		v.t.Errorf("after that the service reads %d %.300s", status, body)
	}
}

func (v *visit) allowsAgain(before fapi.Tokens) {
	v.t.Helper()
	v.Click(v.say("standing.ended"))
	v.inspect("ended")
	v.press("consents.look")
	v.read("consent.was")
	v.inspect("consent-ended")
	v.press("consent.again")
	v.read("again.how")
	v.inspect("again")
	v.press("prompt.grant")
	v.read("consent.done-again")
	tokens, err := v.service.Refresh(v.t.Context(), before.Refresh)
	if err != nil {
		v.t.Fatalf("what was given again cannot be used: %v", err)
	}
	if status, body := v.fetch(tokens.Access); status != http.StatusOK || strings.Contains(body, `"emails"`) {
		v.t.Errorf("given again, the service reads %d %.300s", status, body)
	}
}

// downloads takes everything out, and checks what came.
func (v *visit) downloads() {
	v.t.Helper()
	v.press("nav.download")
	v.inspect("download")
	v.press("download.seal") // not this time
	v.press("download.ask")
	for end := time.Now().Add(time.Minute); !v.Sees(v.say("download.get")); {
		if time.Now().After(end) {
			v.t.Fatalf("no archive comes: %s", v.Text())
		}
		v.read("download.leave")
		v.press("download.look")
	}
	v.inspect("download-ready")
	content, name := v.Download(v.say("download.get"))
	if !strings.HasPrefix(name, "alice-") || !strings.HasSuffix(name, ".zip") || !bytes.HasPrefix(content, []byte("PK")) {
		v.t.Errorf("the archive %q begins with %.20q", name, content)
	}
	file := filepath.Join(v.t.TempDir(), name)
	if err := os.WriteFile(file, content, 0o600); err != nil {
		v.t.Fatal(err)
	}
	if out := mustCall(v.t, "--data", v.data, "verify", file); out == "" {
		v.t.Error("nothing is said of the archive")
	}
	if out := mustCall(v.t, "--data", v.data, "--json", "inspect", file); !strings.Contains(out, "recovery_key") {
		v.t.Errorf("the claims do not name the recovery key: %.500s", out)
	}
	if out := mustCall(v.t, "--data", v.data, "inspect", file, "--records", "consents"); !strings.Contains(out, `"type":"receipt"`) || !strings.Contains(out, `"type":"accesses"`) || !strings.Contains(out, "consent.withdrawn") {
		v.t.Errorf("the archive does not hold what was decided: %.500s", out)
	}
	v.press("download.remove")
	v.read("download.removed")
}

// looksAround opens what is left.
func (v *visit) looksAround() {
	v.t.Helper()
	for name, path := range map[string]string{"recover": "/recover", "no-registration": "/register", "invitation-over": "/register?invitation=x", "again-sign-in": "/sign-in?again=1", "not-found": "/consents/nothing",
		"no-request": "/consent/requests/nothing", "none-found": "/consents?q=zzz", "refused": "/consents?standing=refused",
		"formats": "/formats"} {
		v.open(path)
		v.inspect(name)
	}
	asked := v.ask(nil)
	v.press("prompt.refuse")
	v.See("Welcome back. access_denied")
	_ = asked
}

// TestKeyboard decides without a mouse, in the dark.
func TestKeyboard(t *testing.T) {
	t.Parallel()
	v := beginVisit(t, browsertest.Options{Language: "en", Dark: true})
	v.register()
	v.ask(nil)
	v.inspect("prompt-dark")
	v.Keys("Tab")
	if v.Focused() != v.say("skip") {
		t.Errorf("the first thing is %q", v.Focused())
	}
	v.TabTo(v.say("set.contacts"))
	v.Keys("Space")
	v.TabTo(v.say("prompt.grant"))
	v.Enter()
	v.read("prompt.nothing") // contacts were unticked, and calendar never ticked
	v.inspect("prompt-nothing")
	v.TabTo(v.say("set.contacts"))
	v.Keys("Space", "Space")
	v.TabTo(v.say("prompt.grant"))
	v.Enter()
	v.See("Welcome back")
	v.open("/consents")
	v.TabTo(v.say("consents.withdraw"))
	v.Enter()
	v.read("consents.done-withdrawn")
	v.inspect("withdrawn-dark")
}

// TestNoScript does everything without JavaScript, and with a password.
func TestNoScript(t *testing.T) {
	t.Parallel()
	v := beginVisit(t, browsertest.Options{Language: "fr", Width: 360, Height: 740, Phone: true, NoScript: true})
	passwordOf(t, v.data, "alice", "correct horse battery")
	asked, err := v.service.Ask(t.Context(), inviteDetails(), nil)
	if err != nil {
		t.Fatal(err)
	}
	v.Go(asked.URL)
	v.read("sign-in.by-password")
	v.NotSee(v.say("sign-in.passkey-do"))
	v.Fill(v.say("sign-in.name"), "alice")
	v.Fill(v.say("sign-in.password"), "wrong password")
	v.press("sign-in.do")
	v.read("fault.credentials")
	if v.Value(v.say("sign-in.name")) != "alice" {
		t.Error("the name has to be typed again")
	}
	v.Fill(v.say("sign-in.password"), "correct horse battery")
	v.press("sign-in.do")
	v.read("prompt.decide") // where they wanted to go
	v.press("prompt.grant")
	v.redeem(asked)
	v.open("/consents")
	v.press("consents.withdraw")
	v.read("consents.done-withdrawn")
	v.open("/bring")
	files := ownArchive(t, "mine", "")
	v.sends(files[1:]...)
	v.looksUntil("bring.fault-part")
	v.sends(files...)
	v.says()
}

// TestCookies signs in without cookies, and loses them half-way.
func TestCookies(t *testing.T) {
	t.Parallel()
	v := beginVisit(t, browsertest.Options{Language: "en"})
	passwordOf(t, v.data, "alice", "correct horse battery")
	signIn := func() {
		v.open("/sign-in")
		v.Fill("Name", "alice")
		v.Fill("Password", "correct horse battery")
	}
	signIn()
	v.ForgetCookies()
	v.press("sign-in.do")
	v.read("message.cookies-off")
	signIn()
	v.press("sign-in.do")
	v.read("consents.title")
	v.ask(nil)
	v.ForgetCookies()
	v.press("prompt.grant")
	v.read("message.session-over")
	v.inspect("session-over")
}

const bankLogo = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 200 40"><rect width="40" height="40" rx="8" fill="#7a1f4d"/><text x="52" y="28" font-size="24" fill="#7a1f4d">Banque</text></svg>`

// TestBrands shows one gateway under two names, each with its own colours, logo and legal texts.
func TestBrands(t *testing.T) {
	t.Parallel()
	brands := t.TempDir()
	for name, text := range map[string]string{
		"default/brand.json": `{"name": "Coffre ouvert"}`,
		"localhost/brand.json": `{"name": "Banque Exemple", "contact": "aide@banque.example", "logo": "logo.svg", "light": {"accent": "#7a1f4d", "back": "#fdf8fb"},
			"legal": [{"slug": "privacy", "title": {"fr": "Confidentialité", "en": "Privacy"}, "text": {"fr": "fr.md", "en": "en.md"}}, {"title": {"en": "Imprint"}, "url": "https://banque.example/imprint"}]}`,
		"localhost/logo.svg": bankLogo, "localhost/fr.md": "## Vos droits\n\nTout est à vous.", "localhost/en.md": "## Your rights\n\nAll of it is yours.\n\n| a | b |\n|---|---|\n| 1 | 2 |",
	} {
		at := filepath.Join(brands, name)
		if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(at, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, dark := range []bool{false, true} {
		v := beginVisit(t, browsertest.Options{Language: "en", Dark: dark, Width: 360, Height: 740, Phone: true}, "--brands", brands, "--registration", "open")
		v.open("/sign-in")
		if !strings.HasSuffix(v.Title(), "Banque Exemple") {
			t.Errorf("the title is %q", v.Title())
		}
		v.inspect(fmt.Sprintf("brand-sign-in-dark-%v", dark))
		v.Click("Privacy")
		v.See("All of it is yours.")
		v.inspect(fmt.Sprintf("brand-legal-dark-%v", dark))
		v.register()
		v.ask(nil)
		v.inspect(fmt.Sprintf("brand-prompt-dark-%v", dark))
		v.Go(strings.Replace(v.g.url, "localhost", "127.0.0.1", 1) + "/sign-in")
		v.See("Coffre ouvert")
	}
}
