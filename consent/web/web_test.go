package web_test

import (
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

	"github.com/passerelle-cloud/passerelle/consent"
	"github.com/passerelle-cloud/passerelle/consent/consenttest"
	"github.com/passerelle-cloud/passerelle/consent/events"
	"github.com/passerelle-cloud/passerelle/consent/web"
	"github.com/passerelle-cloud/passerelle/formats"
	"github.com/passerelle-cloud/passerelle/internal/apitest"
	"github.com/passerelle-cloud/passerelle/internal/brand"
	"github.com/passerelle-cloud/passerelle/internal/dbtest"
	"github.com/passerelle-cloud/passerelle/internal/sqldb"
	"github.com/passerelle-cloud/passerelle/internal/webui"
)

// site is the pages over HTTP, for persons who have sessions named after them: "alice", or "alice long ago" for one that
// began hours ago.
type site struct {
	*consenttest.Fixture
	*httptest.Server
	records map[formats.Dataset][]formats.Record // that everybody has
}

func newSite(t testing.TB, db *sqldb.DB) *site {
	t.Helper()
	s := &site{Fixture: consenttest.New(t, db), records: map[formats.Dataset][]formats.Record{}}
	s.Service(t, "invites", func(s *consent.Service) { s.Name = "Invites & <b>Co</b>" })
	brands, err := brand.Single(brand.Brand{Name: "Maison A", Contact: "help@maison.example"})
	if err != nil {
		t.Fatal(err)
	}
	pages, err := web.New(webui.Options{Brands: brands, Operator: "Maison A SAS", Zone: time.UTC, Session: func(_ *http.Request, token string) (webui.Session, error) {
		name, old := strings.CutSuffix(token, " long ago")
		session := webui.Session{Person: name, Method: "password", Authenticated: time.Now()}
		if old {
			session.Authenticated = time.Now().Add(-3 * time.Hour)
		}
		return session, nil
	}}, s.options())
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	for pattern, do := range map[string]http.HandlerFunc{
		"GET /assets/": webui.Assets(pages.UI), "GET /consent/requests/{id}": pages.Prompt, "POST /consent/requests/{id}": pages.Decide, "GET /consents": pages.Consents,
		"POST /news/seen": pages.Seen, "GET /overview": pages.Overview, "POST /conversions": pages.Conversions, "GET /consents/{id}": pages.Consent, "GET /consents/{id}/receipt": pages.Receipt,
		"GET /consents/{id}/print": pages.Print, "GET /consents/{id}/revisions/{revision}": pages.Notice, "POST /consents/{id}/withdraw": pages.Withdraw,
		"POST /consents/{id}/pause": pages.Pause, "POST /consents/{id}/resume": pages.Resume, "GET /consents/{id}/change": pages.Change,
		"POST /consents/{id}/change": pages.DoChange, "GET /consents/{id}/again": pages.Again, "POST /consents/{id}/again": pages.DoAgain,
		"GET /fault": func(w http.ResponseWriter, r *http.Request) {
			pages.Fault(w, r, http.StatusBadRequest, r.URL.Query().Get("what"))
		},
	} {
		mux.HandleFunc(pattern, do)
	}
	s.Server = httptest.NewServer(mux)
	if t, ok := t.(*testing.T); ok {
		s.Server.Config.Handler = apitest.Check(t, mux, "/fault")
	}
	t.Cleanup(s.Server.Close)
	return s
}

func (s *site) options() web.Options {
	return web.Options{
		Authority: s.Authority, Operator: "Maison A SAS",
		Grant: func(ctx context.Context, d consent.Decision) (string, consent.Consent, error) {
			c, err := s.Authority.Grant(ctx, d, nil)
			return "https://invites.example/callback?code=x", c, err
		},
		Refuse: func(ctx context.Context, d consent.Decision) (string, error) {
			_, err := s.Authority.Refuse(ctx, d, nil)
			return "https://invites.example/callback?error=access_denied", err
		},
		Locales: func(ctx context.Context, id string) (string, string, error) {
			_, err := s.Request(ctx, id)
			return "", "https://invites.example", err
		},
		Receipt: func(_ context.Context, c consent.Consent) ([]byte, error) { return []byte("a receipt of " + c.ID), nil },
		Told: func(_ context.Context, id string) ([]events.Event, error) {
			return []events.Event{{Consent: id, State: consent.Withdrawn, Made: time.Now(), Tried: 3}, {Consent: id, State: consent.Given, Made: time.Now(), Acknowledged: time.Now()}}, nil
		},
		Sample: func(_ context.Context, _ string, d formats.Dataset, kind formats.Kind, most int) ([]formats.Record, error) {
			var list []formats.Record
			for _, r := range s.records[d] {
				if (kind == "" || r.Kind == kind) && len(list) < most {
					list = append(list, r)
				}
			}
			return list, nil
		},
	}
}

// person is a browser.
type person struct {
	*http.Client
	site *site
}

func (s *site) person(t testing.TB, name string) *person {
	t.Helper()
	jar, _ := cookiejar.New(nil)
	p := &person{&http.Client{Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}, s}
	if name != "" {
		at, _ := url.Parse(s.URL)
		jar.SetCookies(at, []*http.Cookie{{Name: "session", Value: name}})
	}
	return p
}

func (p *person) get(t *testing.T, path string) (int, string, string) {
	t.Helper()
	r, _ := http.NewRequest(http.MethodGet, p.site.URL+path, nil)
	return p.do(t, r)
}

func (p *person) post(t *testing.T, path string, form url.Values, site ...string) (int, string, string) {
	t.Helper()
	r, _ := http.NewRequest(http.MethodPost, p.site.URL+path, strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Sec-Fetch-Site", append(site, "same-origin")[0])
	return p.do(t, r)
}

var ids = regexp.MustCompile(`\bid="([^"]*)"`)

// do looks at every page that comes: its headers, its structure.
func (p *person) do(t *testing.T, r *http.Request) (int, string, string) {
	t.Helper()
	answer, err := p.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, _ := io.ReadAll(answer.Body)
	page, h := string(text), answer.Header
	if strings.HasPrefix(h.Get("Content-Type"), "text/html") && answer.StatusCode != http.StatusSeeOther {
		if csp := h.Get("Content-Security-Policy"); !strings.Contains(csp, "default-src 'none'") || !strings.Contains(csp, "frame-ancestors 'none'") || strings.Contains(csp, "unsafe") || h.Get("X-Frame-Options") != "DENY" ||
			h.Get("Cache-Control") != "no-store" || h.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: headers %v", r.URL, h)
		}
		if strings.Count(page, "<h1") != 1 || !strings.Contains(page, `<html lang="`+h.Get("Content-Language")+`">`) || strings.Contains(page, "<script") || strings.Contains(page, " style=") || strings.Contains(page, "http-equiv") {
			t.Errorf("%s: %s", r.URL, page)
		}
		for _, id := range ids.FindAllStringSubmatch(page, -1) {
			if strings.Count(page, `id="`+id[1]+`"`) != 1 {
				t.Errorf("%s: the id %s is there twice", r.URL, id[1])
			}
		}
		if len(page) > 60_000 {
			t.Errorf("%s weighs %d bytes", r.URL, len(page))
		}
	}
	return answer.StatusCode, h.Get("Location"), page
}

var noticeHash = regexp.MustCompile(`name="notice" value="([0-9a-f]{64})"`)

func TestDecide(t *testing.T) {
	s := newSite(t, dbtest.SQLite(t))
	alice := s.person(t, "alice")
	request := s.Ask(t, "invites")
	path := "/consent/requests/" + request.ID
	if status, to, _ := s.person(t, "").get(t, path); status != http.StatusSeeOther || to != "/sign-in?next="+url.QueryEscape(path) {
		t.Error(status, to)
	}
	status, _, page := alice.get(t, path)
	for _, want := range []string{"Invites &amp; &lt;b&gt;Co&lt;/b&gt;", "To send your invitations to the people whom you know", "Contacts", "30 days", "nobody", "They stay in Europe", "once in 1 day", "https://invites.example/privacy",
		`value="contacts" checked>`, `value="calendar">`, ">No, refuse<", ">Yes, allow what is ticked<", "Service invites SAS", "73282932"} {
		if !strings.Contains(page, want) {
			t.Errorf("%d: it does not say %q: %s", status, want, page)
		}
	}
	hash := noticeHash.FindStringSubmatch(page)[1]
	notice, err := s.Notice(t.Context(), request.ID, hash)
	if err != nil || !strings.Contains(page, string(notice.Content)) || notice.Language != "en" {
		t.Error("what was kept is not what was shown:", err)
	}
	yes := url.Values{"decision": {"grant"}, "notice": {hash}, "sets-0": {"contacts"}, "until": {"7"}}
	for name, c := range map[string]struct {
		change url.Values
		site   string
		status int
	}{
		"from elsewhere":     {nil, "cross-site", http.StatusForbidden},
		"nothing ticked":     {url.Values{"sets-0": nil}, "", http.StatusSeeOther},
		"a notice not shown": {url.Values{"notice": {strings.Repeat("0", 64)}}, "", http.StatusConflict},
	} {
		form := url.Values{}
		for k, v := range yes {
			form[k] = v
		}
		for k, v := range c.change {
			form[k] = v
		}
		if status, _, page := alice.post(t, path, form, append([]string{}, strings.Fields(c.site)...)...); status != c.status {
			t.Errorf("%s: %d %s", name, status, page)
		}
	}
	if list, _ := s.Consents(t.Context(), "alice"); len(list) != 0 {
		t.Error("something was granted", list)
	}
	if status, to, page := alice.post(t, path, yes); status != http.StatusSeeOther || to != "https://invites.example/callback?code=x" {
		t.Fatal(status, to, page)
	}
	if status, _, _ := alice.post(t, path, yes); status != http.StatusConflict {
		t.Error("again:", status)
	}
	list, err := s.Consents(t.Context(), "alice")
	if err != nil || len(list) != 1 || fmt.Sprint(list[0].Details[0].Datasets) != fmt.Sprint([]formats.Dataset{formats.Contacts}) || time.Until(list[0].Expires) > 8*24*time.Hour {
		t.Errorf("%+v, %v", list, err)
	}
	s.dashboard(t, alice, list[0])
}

// dashboard looks at it, and withdraws there.
func (s *site) dashboard(t *testing.T, alice *person, c consent.Consent) {
	t.Helper()
	bob := s.person(t, "bob")
	_, _, page := alice.get(t, "/consents")
	if !strings.Contains(page, "Invites &amp;") || !strings.Contains(page, "/consents/"+c.ID+"/withdraw") {
		t.Error(page)
	}
	if _, _, page := bob.get(t, "/consents"); strings.Contains(page, "Invites") {
		t.Error("bob sees what alice allowed")
	}
	if status, _, page := alice.get(t, "/consents/"+c.ID+"/receipt"); status != http.StatusOK || page != "a receipt of "+c.ID {
		t.Error(status, page)
	}
	for _, path := range []string{"/consents/" + c.ID, "/consents/x", "/consents/" + c.ID + "/receipt"} {
		if status, _, _ := bob.get(t, path); status != http.StatusNotFound {
			t.Errorf("%s: %d", path, status)
		}
	}
	if status, _, _ := bob.post(t, "/consents/"+c.ID+"/withdraw", nil); status != http.StatusNotFound {
		t.Error(status)
	}
	if status, _, _ := alice.post(t, "/consents/"+c.ID+"/withdraw", nil, "cross-site"); status != http.StatusForbidden {
		t.Error(status)
	}
	if status, _, page := alice.get(t, "/consents/"+c.ID); status != http.StatusOK || !strings.Contains(page, "Allowed") {
		t.Error(status, page)
	}
	status, to, _ := alice.post(t, "/consents/"+c.ID+"/withdraw", nil)
	if status != http.StatusSeeOther {
		t.Fatal(status)
	}
	if _, _, page := alice.get(t, to); !strings.Contains(page, "Withdrawn from") || !strings.Contains(page, "Nobody may read anything of yours.") {
		t.Error(page)
	}
	alice = s.person(t, "")
	if status, to, _ := alice.get(t, "/consents"); status != http.StatusSeeOther || to != "/sign-in?next=%2Fconsents" {
		t.Error(status, to)
	}
	if status, _, page := alice.post(t, "/consents/"+c.ID+"/withdraw", nil); status != http.StatusUnauthorized || !strings.Contains(page, "You were signed out") {
		t.Error(status, page)
	}
}

func TestRefuse(t *testing.T) {
	s := newSite(t, dbtest.SQLite(t))
	alice := s.person(t, "alice")
	for _, decision := range []string{"refuse", "", "GRANT"} { // whatever is not a clear yes
		request := s.Ask(t, "invites")
		_, _, page := alice.get(t, "/consent/requests/"+request.ID)
		form := url.Values{"decision": {decision}, "notice": {noticeHash.FindStringSubmatch(page)[1]}, "sets-0": {"contacts"}}
		if status, to, _ := alice.post(t, "/consent/requests/"+request.ID, form); status != http.StatusSeeOther || !strings.HasSuffix(to, "error=access_denied") {
			t.Error(status, to)
		}
		if status, _, page := alice.get(t, "/consent/requests/"+request.ID); status != http.StatusConflict || !strings.Contains(page, "This request is over") {
			t.Error(status)
		}
	}
}

func TestLanguages(t *testing.T) {
	s := newSite(t, dbtest.SQLite(t))
	alice := s.person(t, "alice")
	request := s.Ask(t, "invites")
	for _, lang := range []string{"fr", "en"} {
		_, _, page := alice.get(t, "/consent/requests/"+request.ID+"?lang="+lang)
		hash := noticeHash.FindStringSubmatch(page)[1]
		notice, err := s.Notice(t.Context(), request.ID, hash)
		if err != nil || notice.Language != lang {
			t.Error(notice.Language, err)
		}
	}
	for _, what := range []string{"not-pushed", "unknown-request", "too-late", "unavailable"} {
		for _, lang := range []string{"en", "fr"} {
			if status, _, page := alice.get(t, "/fault?what="+what+"&lang="+lang); status != http.StatusBadRequest || strings.Contains(page, "message.") {
				t.Error(status, page)
			}
		}
	}
	_, _, page := alice.get(t, "/consents")
	sheet := regexp.MustCompile(`/assets/style-[0-9a-f]+\.css`).FindString(page)
	if status, _, css := alice.get(t, sheet); status != http.StatusOK || !strings.Contains(css, "prefers-color-scheme: dark") {
		t.Error(status)
	}
	if status, _, _ := alice.get(t, "/assets/other"); status != http.StatusNotFound {
		t.Error(status)
	}
}
