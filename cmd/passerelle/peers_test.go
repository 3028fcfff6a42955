package main

import (
	"bufio"
	"crypto/ed25519"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v3"

	"github.com/passerelle-cloud/passerelle/consent/receipt"
)

// nodeModules names a folder with node_modules in it that holds openid-client and oauth4webapi.
const nodeModules = "PASSERELLE_TEST_NODE"

// TestPeers has services written with two libraries of others, unmodified, go the whole way: they ask, a person decides on
// the pages, they read, refresh, and are cut off.
func TestPeers(t *testing.T) {
	where := os.Getenv(nodeModules)
	if where == "" {
		t.Skip(nodeModules + " is not set: stock OAuth clients are not tried")
	}
	data := t.TempDir()
	loaded(t, data)
	passwordOf(t, data, "alice", "correct horse battery")
	g := runGateway(t, data, "--local")
	for _, script := range []string{"openid-client.mjs", "oauth4webapi.mjs"} {
		for _, alg := range []string{"ES256", "PS256", "Ed25519"} {
			t.Run(strings.TrimSuffix(script, ".mjs")+"/"+alg, func(t *testing.T) {
				p := startClient(t, g, where, data, script, alg)
				p.wholeWay(t)
			})
		}
	}
}

// passwordOf gives a person a password.
func passwordOf(t testing.TB, data, person, password string) {
	t.Helper()
	cmd := exec.Command(gatewayProgram(t), "--data", data, "person", "password", person)
	cmd.Stdin = strings.NewReader(password + "\n")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
}

// client is a service in a process of its own, that says what it does line by line.
type client struct {
	id      string
	gateway *running
	in      io.Writer
	out     *bufio.Scanner
	err     *strings.Builder
	data    string
}

func startClient(t *testing.T, g *running, where, data, script, alg string) *client {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", "peers", script))
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(where, strings.ToLower(fmt.Sprintf("%s-%s-%d", alg, filepath.Base(t.TempDir()), time.Now().UnixNano()))+".mjs")
	if err := os.WriteFile(file, text, 0o600); err != nil { // Node looks for modules beside the script
		t.Fatal(err)
	}
	t.Cleanup(func() { os.Remove(file) })
	p := &client{id: strings.ToLower(strings.TrimSuffix(script, ".mjs") + "-" + alg), gateway: g, data: data, err: &strings.Builder{}}
	cmd := exec.Command("node", file, g.url, p.id, p.redirect(), alg, peerDetails())
	cmd.Stderr = p.err
	if p.in, err = cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	p.out = bufio.NewScanner(out)
	p.out.Buffer(nil, 4<<20)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	return p
}

func (p *client) redirect() string { return "http://localhost:9/" + p.id }

func peerDetails() string {
	text, _ := json.Marshal(inviteDetails())
	return string(text)
}

// said is the next thing that the service says.
func (p *client) said(t *testing.T, what string) string {
	t.Helper()
	if !p.out.Scan() {
		time.Sleep(100 * time.Millisecond) // so that it has said why
		t.Fatalf("it should have said %q and ended: %s", what, p.err)
	}
	word, rest, _ := strings.Cut(p.out.Text(), " ")
	if word != what {
		t.Fatalf("it should have said %q, and said %s", what, p.out.Text())
	}
	return rest
}

func (p *client) tell(line string) { fmt.Fprintln(p.in, line) }

func (p *client) wholeWay(t *testing.T) {
	p.register(t, p.said(t, "keys"))
	p.tell("registered")
	b := newBrowser(t, p.gateway.url)
	p.tell(b.decides(t, p.said(t, "open"), "alice", "correct horse battery"))
	if granted := p.said(t, "granted"); !strings.Contains(granted, `"datasets":["contacts"]`) {
		t.Errorf("granted: %s", granted)
	}
	if contacts := p.said(t, "contacts"); !strings.Contains(contacts, `"emails"`) || strings.Contains(contacts, `"native"`) || strings.Contains(contacts, `"phones"`) {
		t.Errorf("contacts: %.2000s", contacts)
	}
	p.said(t, "refreshed")
	b.receipt(t)
	b.withdraws(t, p.id)
	p.tell("withdrawn")
	p.said(t, "cut")
}

// register registers the service at the gateway that runs.
func (p *client) register(t *testing.T, jwks string) {
	t.Helper()
	text, err := json.Marshal(map[string]any{
		"client_id": p.id, "client_name": "Peer " + p.id, "legal_name": "Peer " + p.id, "registrations": []any{map[string]string{"scheme": "SIREN", "value": "732829320"}},
		"country": "FR", "address": "1 rue des Exemples, 35000 Rennes", "contact": "privacy@peer.example", "purposes": []string{invitePurpose},
		"privacy_notices": map[string]string{"en": "https://peer.example/privacy", "fr": "https://peer.example/vie-privee"},
		"redirect_uris":   []string{p.redirect()}, "token_endpoint_auth_method": "private_key_jwt", "jwks": json.RawMessage(jwks),
	})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "service.json")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	mustCall(t, "--data", p.data, "service", "add", file)
}

// browser is a person's, as far as forms go.
type browser struct {
	*http.Client
	base string
}

func newBrowser(t testing.TB, base string) *browser {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &browser{base: base, Client: &http.Client{Jar: jar, CheckRedirect: func(r *http.Request, _ []*http.Request) error {
		if strings.HasPrefix(r.URL.String(), base) {
			return nil
		}
		return http.ErrUseLastResponse // back to the service
	}}}
}

// page reads a page.
func (b *browser) page(t testing.TB, answer *http.Response, err error) (string, *url.URL) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode >= 400 {
		t.Fatalf("%s: %s, %v: %.3000s", answer.Request.URL, answer.Status, err, text)
	}
	return string(text), answer.Request.URL
}

// post sends the one form of a page that goes to a place, with what is set there, and with some things changed.
func (b *browser) post(t testing.TB, page string, at *url.URL, action string, change url.Values) *http.Response {
	t.Helper()
	form := regexp.MustCompile(`(?s)<form[^>]*action="(` + action + `)"[^>]*>(.*?)</form>`).FindStringSubmatch(page)
	if form == nil {
		t.Fatalf("%s has no form that goes to %s: %s", at, action, page)
	}
	values := url.Values{}
	for _, input := range regexp.MustCompile(`<input[^>]*>`).FindAllString(form[2], -1) {
		name, value := attribute(input, "name"), attribute(input, "value")
		kind := attribute(input, "type")
		if name == "" || (kind == "checkbox" || kind == "radio") && !strings.Contains(input, " checked") || kind == "submit" {
			continue
		}
		values.Add(name, value)
	}
	for _, sel := range regexp.MustCompile(`(?s)<select[^>]*name="([^"]*)"[^>]*>(.*?)</select>`).FindAllStringSubmatch(form[2], -1) {
		options := regexp.MustCompile(`<option[^>]*>`).FindAllString(sel[2], -1)
		chosen := options[0]
		for _, o := range options {
			if strings.Contains(o, " selected") {
				chosen = o
			}
		}
		values.Set(sel[1], attribute(chosen, "value"))
	}
	for name, v := range change {
		values[name] = v
	}
	to, err := at.Parse(form[1])
	if err != nil {
		t.Fatal(err)
	}
	r, err := http.NewRequest(http.MethodPost, to.String(), strings.NewReader(values.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	answer, err := b.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	return answer
}

func attribute(tag, name string) string {
	m := regexp.MustCompile(` ` + name + `="([^"]*)"`).FindStringSubmatch(tag)
	if m == nil {
		return ""
	}
	return strings.NewReplacer("&amp;", "&", "&#34;", `"`, "&#43;", "+", "&#39;", "'").Replace(m[1])
}

// decides opens what a service sent the person to, signs in if need be, and says yes to what is necessary. It returns
// where the browser goes then.
func (b *browser) decides(t testing.TB, to, name, password string) string {
	t.Helper()
	answer, err := b.Get(to)
	page, at := b.page(t, answer, err)
	if strings.HasPrefix(at.Path, "/sign-in") {
		page, at = b.page(t, b.post(t, page, at, `/sign-in[^"]*`, url.Values{"name": {name}, "password": {password}}), nil)
	}
	done := b.post(t, page, at, `/consent/requests/[^"]*`, url.Values{"decision": {"grant"}})
	defer done.Body.Close()
	if done.StatusCode != http.StatusSeeOther {
		text, _ := io.ReadAll(done.Body)
		t.Fatalf("%s: %s", done.Status, text)
	}
	return done.Header.Get("Location")
}

// withdraws withdraws the consent that a service has.
func (b *browser) withdraws(t *testing.T, service string) {
	t.Helper()
	answer, err := b.Get(b.base + "/consents")
	page, at := b.page(t, answer, err)
	i := strings.Index(page, service)
	if i < 0 {
		t.Fatalf("%s is not among the consents: %s", service, page)
	}
	b.page(t, b.post(t, page[i:], at, `/consents/[^"]*/withdraw`, nil), nil)
}

// receipt downloads the signed receipt of the newest consent.
func (b *browser) receipt(t *testing.T) {
	t.Helper()
	answer, err := b.Get(b.base + "/consents")
	page, _ := b.page(t, answer, err)
	id := regexp.MustCompile(`href="/consents/([^"]+)"`).FindStringSubmatch(page)[1]
	answer, err = b.Get(b.base + "/consents/" + id + "/receipt")
	jws, _ := b.page(t, answer, err)
	answer, err = b.Get(b.base + "/oauth/jwks")
	set, _ := b.page(t, answer, err)
	var keys jose.JSONWebKeySet
	if err := json.Unmarshal([]byte(set), &keys); err != nil {
		t.Fatal(err)
	}
	known := receipt.Keys{}
	for _, k := range keys.Keys {
		known[k.KeyID], _ = k.Key.(ed25519.PublicKey)
	}
	if _, text, err := receipt.Open(jws, known); err != nil || !strings.Contains(string(text), id) || !strings.Contains(string(text), "dpv:ConsentGiven") {
		t.Errorf("%v: %s", err, text)
	}
}
