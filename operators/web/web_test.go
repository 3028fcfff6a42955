package web_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"filippo.io/age"

	"github.com/passerelle-cloud/passerelle/internal/apitest"
	"github.com/passerelle-cloud/passerelle/internal/brand"
	"github.com/passerelle-cloud/passerelle/internal/dbtest"
	"github.com/passerelle-cloud/passerelle/internal/webui"
	"github.com/passerelle-cloud/passerelle/operators/accounts"
	"github.com/passerelle-cloud/passerelle/operators/provider"
	"github.com/passerelle-cloud/passerelle/operators/provider/providertest"
	"github.com/passerelle-cloud/passerelle/operators/web"
)

const password = "correct horse battery staple"

// site is the pages, with nobody else's.
type site struct {
	url       string
	accounts  *accounts.Accounts
	instances map[string]bool
	ago       time.Duration // how long ago everybody who is signed in has proved who they are
}

func newSite(t *testing.T, opt web.Options) *site {
	t.Helper()
	s := &site{instances: map[string]bool{}}
	secret := bytes.Repeat([]byte{7}, 32)
	var err error
	if s.accounts, err = accounts.Open(t.Context(), dbtest.SQLite(t), accounts.Options{Secret: secret, Cost: accounts.Cost{Memory: 64, Passes: 1, Threads: 1}}); err != nil {
		t.Fatal(err)
	}
	brands, err := brand.Single(brand.Brand{Name: "Banque A", Contact: "aide@banque-a.example"})
	if err != nil {
		t.Fatal(err)
	}
	opt.Accounts, opt.Secret, opt.ClientIP, opt.Instance = s.accounts, secret, func(*http.Request) string { return "192.0.2.1" }, s.instance
	common := webui.Options{Brands: brands, Operator: "Banque A SA", Session: func(r *http.Request, token string) (webui.Session, error) {
		session, err := s.accounts.Session(r.Context(), token)
		if err != nil {
			return webui.Session{}, nil
		}
		return webui.Session{Person: session.Account.Instance, Method: string(session.Method), Authenticated: session.Authenticated.Add(-s.ago)}, nil
	}}
	w, err := web.New(common, opt)
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	for pattern, h := range map[string]http.HandlerFunc{
		"GET /sign-in": w.SignIn, "POST /sign-in": w.DoSignIn, "POST /sign-out": w.DoSignOut, "GET /sign-in/provider": w.Provider, "GET /sign-in/provider/callback": w.ProviderCallback,
		"GET /register": w.Register, "POST /register": w.DoRegister, "GET /recover": w.Recover, "POST /recover": w.DoRecover,
		"GET /account": w.Account, "POST /account/passkeys": w.AddPasskey, "POST /account/passkeys/{id}/remove": w.RemovePasskey, "POST /account/password": w.Password,
		"POST /account/recovery-codes": w.Codes, "POST /account/recovery-key": w.Key, "POST /account/app-passwords": w.AddApp, "POST /account/app-passwords/{id}/revoke": w.RevokeApp, "POST /account/sessions/end": w.EndSession, "GET /account/provider": w.LinkProvider, "POST /account/provider/remove": w.UnlinkProvider,
	} {
		mux.HandleFunc(pattern, h)
	}
	server := httptest.NewServer(apitest.Check(t, mux))
	t.Cleanup(server.Close)
	s.url = strings.Replace(server.URL, "127.0.0.1", "localhost", 1)
	return s
}

// instance keeps who has an instance.
func (s *site) instance(_ context.Context, name string, invited bool) (func(context.Context) error, error) {
	if s.instances[name] && !invited {
		return nil, accounts.ErrTaken
	}
	if strings.ContainsAny(name, " /") || name == "" {
		return nil, accounts.ErrInvalid
	}
	made := !s.instances[name]
	s.instances[name] = true
	return func(context.Context) error {
		if made {
			delete(s.instances, name)
		}
		return nil
	}, nil
}

// visitor is a browser without a script.
type visitor struct {
	t    testing.TB
	site *site
	http *http.Client
}

func (s *site) visitor(t testing.TB) *visitor {
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &visitor{t, s, &http.Client{Jar: jar, CheckRedirect: func(r *http.Request, _ []*http.Request) error { return http.ErrUseLastResponse }}}
}

// answer is what came of a request.
type answer struct {
	status   int
	to, page string
}

func (v *visitor) do(r *http.Request) answer {
	v.t.Helper()
	r.Header.Set("Accept-Language", "en")
	got, err := v.http.Do(r)
	if err != nil {
		v.t.Fatal(err)
	}
	defer got.Body.Close()
	page, err := io.ReadAll(got.Body)
	if err != nil {
		v.t.Fatal(err)
	}
	return answer{got.StatusCode, got.Header.Get("Location"), string(page)}
}

func (v *visitor) get(path string) answer {
	v.t.Helper()
	if strings.HasPrefix(path, "/") {
		path = v.site.url + path
	}
	r, err := http.NewRequestWithContext(v.t.Context(), http.MethodGet, path, nil)
	if err != nil {
		v.t.Fatal(err)
	}
	return v.do(r)
}

func (v *visitor) post(path string, fields ...string) answer {
	v.t.Helper()
	form := url.Values{}
	for i := 0; i+1 < len(fields); i += 2 {
		form.Set(fields[i], fields[i+1])
	}
	r, err := http.NewRequestWithContext(v.t.Context(), http.MethodPost, v.site.url+path, strings.NewReader(form.Encode()))
	if err != nil {
		v.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return v.do(r)
}

// want fails unless an answer is so: its status, and a part of where it leads, or of the page.
func (v *visitor) want(got answer, status int, text string) {
	v.t.Helper()
	if got.status != status || !strings.Contains(got.to+got.page, text) {
		v.t.Errorf("the answer is %d %s %s, not %d %q", got.status, got.to, got.page, status, text)
	}
}

func (v *visitor) signIn(name string) {
	v.t.Helper()
	v.want(v.post("/sign-in", "name", name, "password", password), http.StatusSeeOther, "/consents")
}

func (s *site) person(t testing.TB, name string) *visitor {
	t.Helper()
	if err := s.accounts.SetPassword(t.Context(), name, password); err != nil {
		t.Fatal(err)
	}
	s.instances[name] = true
	v := s.visitor(t)
	v.signIn(name)
	return v
}

// TestNobodyLearnsWhoHasAnAccount: a wrong name is answered exactly as a wrong password, on every page.
func TestNobodyLearnsWhoHasAnAccount(t *testing.T) {
	s := newSite(t, web.Options{})
	s.person(t, "alice")
	same := func(path string, fields func(name string) []string) {
		var pages []string
		for _, name := range []string{"alice", "nobody"} {
			got := s.visitor(t).post(path, fields(name)...)
			if got.status != http.StatusUnauthorized {
				t.Errorf("%s: %d", path, got.status)
			}
			page := strings.ReplaceAll(got.page, name, "NAME")
			pages = append(pages, regexp.MustCompile(`data-options="[^"]*"|name="ceremony" value="[^"]*"`).ReplaceAllString(page, ""))
		}
		if pages[0] != pages[1] {
			t.Errorf("%s shows who has an account:\n%s\n%s", path, pages[0], pages[1])
		}
	}
	same("/sign-in", func(name string) []string { return []string{"name", name, "password", "something wrong"} })
	same("/recover", func(name string) []string { return []string{"name", name, "code", "0000-0000-0000-0000"} })
}

func TestSignIn(t *testing.T) {
	s := newSite(t, web.Options{})
	if err := s.accounts.SetPassword(t.Context(), "alice", password); err != nil {
		t.Fatal(err)
	}
	v := s.visitor(t)
	for next, to := range map[string]string{
		"/consent/requests/1?a=b": "/consent/requests/1?a=b", "https://evil.example/": "/consents", "//evil.example": "/consents", `/\evil.example`: "/consents",
		"javascript:alert(1)": "/consents", "": "/consents", "/a\nb": "/consents",
	} {
		if got := v.post("/sign-in", "name", "alice", "password", password, "next", next); got.status != http.StatusSeeOther || got.to != to {
			t.Errorf("next %q leads to %d %q", next, got.status, got.to)
		}
	}
	old := v.cookies()
	v.signIn("alice")
	if v.cookies() == old {
		t.Error("somebody who signs in again keeps the session")
	}
	if sessions, err := s.accounts.Sessions(t.Context(), "alice"); err != nil || len(sessions) != 1 {
		t.Errorf("%d sessions of one browser, %v", len(sessions), err)
	}
	v.want(v.post("/sign-out"), http.StatusSeeOther, "/sign-in")
	v.want(v.get("/account"), http.StatusSeeOther, "/sign-in?next=%2Faccount")
	v.want(v.post("/account/recovery-codes"), http.StatusUnauthorized, "Sign in again")
	for range 6 {
		v.post("/sign-in", "name", "alice", "password", "something wrong")
	}
	v.want(v.post("/sign-in", "name", "alice", "password", password), http.StatusTooManyRequests, "Too many tries")
}

func (v *visitor) cookies() string {
	u, _ := url.Parse(v.site.url)
	return fmt.Sprint(v.http.Jar.Cookies(u))
}

func TestAnotherSite(t *testing.T) {
	s := newSite(t, web.Options{Entry: web.Open})
	v := s.person(t, "alice")
	for _, path := range []string{"/sign-in", "/sign-out", "/register", "/recover", "/account/password", "/account/recovery-key", "/account/sessions/end", "/account/passkeys/x/remove"} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.url+path, strings.NewReader("name=x"))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Sec-Fetch-Site", "cross-site")
		v.want(v.do(r), http.StatusForbidden, "Another site")
	}
	v.want(v.post("/account/password", "new", strings.Repeat("x", 100_000)), http.StatusBadRequest, "cannot be read")
	v.want(v.get("/account"), http.StatusOK, "My account")
}

func TestRegister(t *testing.T) {
	s := newSite(t, web.Options{Entry: web.Invited})
	v := s.visitor(t)
	v.want(v.get("/register"), http.StatusForbidden, "by invitation")
	v.want(v.post("/register", "name", "eve", "password", password), http.StatusForbidden, "by invitation")
	v.want(v.get("/register?invitation=x"), http.StatusForbidden, "This invitation is over")
	v.want(v.post("/register", "name", "eve", "password", password, "invitation", "x"), http.StatusForbidden, "This invitation is over")
	code, err := s.accounts.Invite(t.Context(), "alice", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	v.want(v.get("/register?invitation="+code), http.StatusOK, `value="alice"`)
	v.want(v.post("/register", "name", "mallory", "password", "short", "invitation", code), http.StatusBadRequest, "at least 8 characters")
	if len(s.instances) != 0 {
		t.Errorf("instances are left: %v", s.instances)
	}
	v.want(v.post("/register", "name", "mallory", "password", password, "invitation", code), http.StatusSeeOther, "/account?welcome")
	if !s.instances["alice"] || len(s.instances) != 1 {
		t.Errorf("who was invited as alice has %v", s.instances)
	}
	v.want(v.get("/account?welcome"), http.StatusOK, "Welcome!")
	if closed := newSite(t, web.Options{}); closed.visitor(t).post("/register", "name", "eve", "password", password, "invitation", code).status != http.StatusForbidden {
		t.Error("where administrators make accounts somebody made one")
	}
	open := newSite(t, web.Options{Entry: web.Open})
	v = open.visitor(t)
	v.want(v.get("/sign-in"), http.StatusOK, "/register")
	v.want(v.post("/register", "name", "bob", "password", password), http.StatusSeeOther, "/account?welcome")
	v.want(open.visitor(t).post("/register", "name", "bob", "password", password), http.StatusConflict, "Somebody else has this name")
	v.want(open.visitor(t).post("/register", "name", "Bob", "password", password), http.StatusConflict, "Somebody else has this name")
	v.want(open.visitor(t).post("/register", "name", "a b", "password", password), http.StatusBadRequest, "A name is made of")
	if len(open.instances) != 1 {
		t.Errorf("instances are left: %v", open.instances)
	}
}

func TestRecover(t *testing.T) {
	s := newSite(t, web.Options{})
	v := s.person(t, "alice")
	elsewhere := s.visitor(t)
	elsewhere.signIn("alice")
	page := v.post("/account/recovery-codes").page
	codes := regexp.MustCompile(`[0-9A-Z]{4}(-[0-9A-Z]{4}){3}`).FindAllString(page, -1)
	if len(codes) != 10 {
		t.Fatalf("%d codes: %s", len(codes), page)
	}
	v.want(v.get("/account"), http.StatusOK, "10 codes are left")
	lost := s.visitor(t)
	lost.want(lost.get("/recover"), http.StatusOK, "Recovery code")
	lost.want(lost.post("/recover", "name", "alice", "code", codes[3]), http.StatusSeeOther, "/account?recovered")
	elsewhere.want(elsewhere.get("/account"), http.StatusSeeOther, "/sign-in")
	lost.want(lost.get("/account?recovered"), http.StatusOK, "You are back")
	lost.want(lost.post("/account/password", "new", "another good password"), http.StatusSeeOther, "/account?password")
	lost.want(lost.get("/account"), http.StatusOK, "9 codes are left")
}

// TestStale: whoever changes how they sign in proves first who they are, once more.
func TestStale(t *testing.T) {
	s := newSite(t, web.Options{})
	v := s.person(t, "alice")
	s.ago = 11 * time.Minute
	for _, path := range []string{"/account/passkeys", "/account/passkeys/x/remove", "/account/password", "/account/recovery-codes", "/account/recovery-key"} {
		v.want(v.post(path, "what", "make", "new", "another good password", "old", password), http.StatusSeeOther, "/sign-in?again=1&next=%2Faccount")
	}
	v.want(v.get("/sign-in?again=1&next=/account"), http.StatusOK, "Prove that it is you")
	if err := s.accounts.SetPassword(t.Context(), "bob", password); err != nil {
		t.Fatal(err)
	}
	v.want(v.post("/sign-in", "again", "1", "name", "bob", "password", password), http.StatusUnauthorized, "That was not right")
	if sessions, err := s.accounts.Sessions(t.Context(), "bob"); err != nil || len(sessions) != 0 {
		t.Errorf("a session of bob's stays: %v, %v", sessions, err)
	}
}

func TestAccount(t *testing.T) {
	s := newSite(t, web.Options{})
	v := s.person(t, "alice")
	v.want(v.post("/account/password", "old", "something wrong", "new", "another good password"), http.StatusUnauthorized, "That was not right")
	v.want(v.post("/account/password", "old", password, "new", "short"), http.StatusBadRequest, "at least 8 characters")
	v.want(v.post("/account/password", "new", "another good password"), http.StatusSeeOther, "again=1") // signed in by the password, which they have to know
	v.want(v.post("/account/recovery-key", "what", "own", "recipient", "ssh-ed25519 AAAA"), http.StatusBadRequest, "cannot be used")
	v.want(v.post("/account/recovery-key", "what", "own"), http.StatusBadRequest, "cannot be used")
	made := v.post("/account/recovery-key", "what", "make")
	identity := regexp.MustCompile(`AGE-SECRET-KEY-1[0-9A-Z]+`).FindString(made.page)
	key, err := age.ParseX25519Identity(identity)
	if err != nil {
		t.Fatal(made.page, err)
	}
	if kept, err := s.accounts.RecoveryKey(t.Context(), "alice"); err != nil || kept != key.Recipient().String() {
		t.Error(kept, err)
	}
	v.want(v.get("/account"), http.StatusOK, key.Recipient().String())
	if page := v.get("/account").page; strings.Contains(page, identity) {
		t.Error("the secret part is shown again")
	}
	v.want(v.post("/account/recovery-key", "what", "none"), http.StatusSeeOther, "/account?key")
	other := s.visitor(t)
	other.signIn("alice")
	id := regexp.MustCompile(`name="session" value="([^"]+)"`).FindStringSubmatch(v.get("/account").page)
	v.want(v.post("/account/sessions/end", "session", id[1]), http.StatusSeeOther, "/account?ended")
	other.want(other.get("/account"), http.StatusSeeOther, "/sign-in")
	v.want(v.post("/account/passkeys/x/remove"), http.StatusSeeOther, "/account?removed")
	v.want(v.post("/account/passkeys", "ceremony", "x", "response", "{}", "passkey-name", "x"), http.StatusUnauthorized, "That was not right")
}

func TestAppPasswords(t *testing.T) {
	s := newSite(t, web.Options{})
	v := s.person(t, "alice")
	v.want(v.post("/account/app-passwords", "app-name", " "), http.StatusBadRequest, "cannot be used")
	made := v.post("/account/app-passwords", "app-name", "Téléphone <b>")
	app := regexp.MustCompile(`[0-9a-z]{4}(-[0-9a-z]{4}){7}`).FindString(made.page)
	v.want(made, http.StatusOK, s.url+"/dav/files/")
	if account, err := s.accounts.SignInApp(t.Context(), "alice", app, "192.0.2.7"); err != nil || account.Instance != "alice" {
		t.Fatal(app, account, err)
	}
	page := v.get("/account").page
	if strings.Contains(page, app) || strings.Contains(page, "<b>") || !strings.Contains(page, "Téléphone") {
		t.Error("the page of the account shows the password again, or not its name as text")
	}
	id := regexp.MustCompile(`/account/app-passwords/([^/]+)/revoke`).FindStringSubmatch(page)
	other := s.person(t, "bob")
	other.want(other.post("/account/app-passwords/"+id[1]+"/revoke"), http.StatusSeeOther, "/account?revoked")
	if _, err := s.accounts.SignInApp(t.Context(), "alice", app, "192.0.2.7"); err != nil {
		t.Error("somebody else revoked it")
	}
	v.want(v.post("/account/app-passwords/"+id[1]+"/revoke"), http.StatusSeeOther, "/account?revoked")
	if _, err := s.accounts.SignInApp(t.Context(), "alice", app, "192.0.2.7"); err == nil {
		t.Error("it opens still")
	}
	s.ago = time.Hour
	v.want(v.post("/account/app-passwords", "app-name", "x"), http.StatusSeeOther, "again=1")
}

// withProvider is a site whose persons can sign in at a provider.
func withProvider(t *testing.T, entry web.Entry) (*site, *providertest.Provider) {
	there := providertest.New(t)
	p, err := provider.New(provider.Config{Issuer: there.URL, ClientID: providertest.ClientID, ClientSecret: providertest.ClientSecret, Local: true})
	if err != nil {
		t.Fatal(err)
	}
	return newSite(t, web.Options{Entry: entry, Provider: p, ProviderName: "City <b>ID</b>"}), there
}

// away goes to the provider and comes back.
func (v *visitor) away(path string) answer {
	v.t.Helper()
	leave := v.get(path)
	back := v.get(leave.to)
	if back.status != http.StatusSeeOther {
		v.t.Fatalf("%s leads to %d %s, and that to %d", path, leave.status, leave.to, back.status)
	}
	return v.get(back.to)
}

func TestProvider(t *testing.T) {
	s, there := withProvider(t, web.Invited)
	v := s.visitor(t)
	v.want(v.get("/sign-in"), http.StatusOK, "City &lt;b&gt;ID&lt;/b&gt;")
	v.want(v.away("/sign-in/provider?next=/account"), http.StatusForbidden, "No account yet")

	alice := s.person(t, "alice")
	alice.want(alice.away("/account/provider"), http.StatusSeeOther, "/account?linked")
	alice.want(alice.get("/account?linked"), http.StatusOK, "Disconnect")
	v.want(v.away("/sign-in/provider?next=/account"), http.StatusSeeOther, "/account")
	v.want(v.get("/account"), http.StatusOK, "My account")
	v.want(v.away("/sign-in/provider?next=https://evil.example"), http.StatusSeeOther, "/consents")

	bob := s.person(t, "bob")
	bob.want(bob.away("/account/provider"), http.StatusConflict, "Somebody else")
	bob.want(bob.away("/sign-in/provider?again=1&next=/account"), http.StatusUnauthorized, "That was not right")
	bob.want(bob.get("/account"), http.StatusOK, ">bob<")

	alice.want(alice.post("/account/provider/remove"), http.StatusSeeOther, "/account?removed")
	v2 := s.visitor(t)
	v2.want(v2.away("/sign-in/provider"), http.StatusForbidden, "No account yet")

	there.Redirect = func(q url.Values) { q.Set("error", "access_denied") }
	v2.want(v2.away("/sign-in/provider"), http.StatusForbidden, "You were not signed in")
	there.Redirect = nil
	there.Token = func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) }
	v2.want(v2.away("/sign-in/provider"), http.StatusServiceUnavailable, "does not answer")
	v2.want(v2.get("/sign-in/provider/callback?code=x&state=y"), http.StatusBadRequest, "You were not signed in")
}

// TestRegisterAtProvider: whoever is invited makes an account with nothing to remember.
func TestRegisterAtProvider(t *testing.T) {
	s, _ := withProvider(t, web.Invited)
	code, err := s.accounts.Invite(t.Context(), "carol", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	v := s.visitor(t)
	v.want(v.get("/register?invitation="+code), http.StatusOK, "/sign-in/provider?next=%2fregister%3finvitation%3d"+code)
	form := v.away("/sign-in/provider?next=" + url.QueryEscape("/register?invitation="+code))
	v.want(form, http.StatusOK, `name="identity"`)
	identity := regexp.MustCompile(`name="identity" value="([^"]+)"`).FindStringSubmatch(form.page)[1]
	forged := s.visitor(t)
	forged.want(forged.post("/register", "name", "carol", "invitation", code, "identity", identity[:len(identity)-6]+"AAAAAA"), http.StatusUnauthorized, "That was not right")
	v.want(v.post("/register", "name", "carol", "invitation", code, "identity", identity), http.StatusSeeOther, "/account?welcome")
	again := s.visitor(t)
	again.want(again.away("/sign-in/provider?next=/account"), http.StatusSeeOther, "/account")
	again.want(again.get("/account"), http.StatusOK, ">carol<")
	again.want(again.post("/account/provider/remove"), http.StatusConflict, "only way")
}

func TestNoProvider(t *testing.T) {
	s := newSite(t, web.Options{})
	v := s.person(t, "alice")
	for _, path := range []string{"/sign-in/provider", "/account/provider"} {
		v.want(v.get(path), http.StatusNotFound, "Not found")
	}
	v.want(v.post("/account/provider/remove"), http.StatusNotFound, "Not found")
}
