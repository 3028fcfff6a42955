package webui

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/passerelle-cloud/passerelle/internal/brand"
)

func newUI(t testing.TB, templates map[string]string) *UI {
	t.Helper()
	u, err := open(templates)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func open(templates map[string]string) (*UI, error) {
	files := fstest.MapFS{"templates/empty.html": &fstest.MapFile{}}
	for name, text := range templates {
		files["templates/"+name+".html"] = &fstest.MapFile{Data: []byte(text)}
	}
	brands, err := brand.Single(brand.Brand{Name: "Banque A"})
	if err != nil {
		return nil, err
	}
	return New(Options{Brands: brands, Secure: true, Zone: time.UTC, Session: func(_ *http.Request, token string) (Session, error) {
		switch token {
		case "alice":
			return Session{Person: "alice", Authenticated: time.Now()}, nil
		case "broken":
			return Session{}, errors.New("the database is gone")
		}
		return Session{}, nil
	}}, files)
}

// TestBrandsKnowTheStylesheet: a brand's colours are checked against those that the stylesheet has.
func TestBrandsKnowTheStylesheet(t *testing.T) {
	style, err := shared.ReadFile("style.css")
	if err != nil {
		t.Fatal(err)
	}
	schemes := regexp.MustCompile(`--back: (#\w+); --card: (#\w+); --ink: (#\w+); --soft: (#\w+); --line: #\w+; --accent: (#\w+); --on-accent: (#\w+); --warn: (#\w+); --good: (#\w+)`).FindAllStringSubmatch(string(style), -1)
	if len(schemes) != 2 {
		t.Fatalf("the stylesheet has %d schemes", len(schemes))
	}
	for i, want := range []brand.Scheme{brand.Light(), brand.Dark()} {
		got := schemes[i]
		if got[1] != want.Back || got[2] != want.Card || got[5] != want.Accent || got[6] != want.OnAccent || strings.Join([]string{got[3], got[4], got[7], got[8]}, " ") != strings.Join(want.Inks, " ") {
			t.Errorf("the stylesheet says %v, and brands are checked against %+v", got[1:], want)
		}
	}
}

// TestMissingTexts: a page that names a text which a language lacks is found when the program starts.
func TestMissingTexts(t *testing.T) {
	for name, page := range map[string]string{
		"plain": `{{t "no.such"}}`, "in a condition": `{{if .Data}}{{else}}{{t "no.such"}}{{end}}`, "in a pipe": `{{printf "%s" (t "no.such")}}`, "counted": `{{n "no.such" 1}}`,
		"in a definition": `{{define "x"}}{{range .}}{{t "no.such"}}{{end}}{{end}}`,
	} {
		if _, err := open(map[string]string{"page": page}); err == nil || !strings.Contains(err.Error(), "no.such") || !strings.Contains(err.Error(), "fr.json") && !strings.Contains(err.Error(), "en.json") {
			t.Errorf("%s: %v", name, err)
		}
	}
	files := fstest.MapFS{"texts/en.json": {Data: []byte(`{"a": "x", "b.one": "x", "b.other": "x"}`)}, "texts/fr.json": {Data: []byte(`{"b.other": "x", "c": "x"}`)}}
	if _, err := readWords(files, time.UTC); err == nil || !strings.Contains(err.Error(), `fr.json lacks "a"`) || !strings.Contains(err.Error(), `en.json lacks "c"`) || strings.Contains(err.Error(), `"b"`) {
		t.Errorf("%v", err)
	}
}

func TestWords(t *testing.T) {
	u := newUI(t, nil)
	at := time.Date(2026, 3, 1, 23, 30, 0, 0, time.UTC)
	for _, c := range []struct{ lang, want, got string }{
		{"fr", "1er mars 2026", must(u.words["fr"].date(at))}, {"en", "1 March 2026", must(u.words["en"].date(at))}, {"fr", "2 mars 2026", must(u.words["fr"].date(at.Add(time.Hour)))},
		{"fr", "1er mars 2026, 23:30 UTC", must(u.words["fr"].moment(at))}, {"en", "", must(u.words["en"].date(time.Time{}))},
		{"fr", "30 jours", must(u.words["fr"].span("P30D"))}, {"en", "1 year 6 months", must(u.words["en"].span("P1Y6M"))}, {"en", "1 hour", must(u.words["en"].span("PT1H"))}, {"en", "forever", must(u.words["en"].span("forever"))}, {"en", "P", must(u.words["en"].span("P"))},
		{"en", "Read once", must(u.words["en"].count("consents.read", 1))}, {"en", "Read 0 times", must(u.words["en"].count("consents.read", 0))}, {"fr", "0 lecture", must(u.words["fr"].count("consents.read", 0))}, {"fr", "2 lectures", must(u.words["fr"].count("consents.read", 2))},
		{"fr", "1,2 Mo", must(u.words["fr"].size(1_234_567))}, {"en", "999 B", must(u.words["en"].size(999))}, {"en", "1 kB", must(u.words["en"].size(1000))},
		{"fr", "États-Unis", u.words["fr"].country("US")}, {"en", "United States", u.words["en"].country("US")}, {"en", "??", u.words["en"].country("??")},
		{"fr", "a, b et c", must(u.words["fr"].list([]string{"a", "b", "c"}))}, {"en", "a", must(u.words["en"].list([]string{"a"}))},
	} {
		if got := strings.NewReplacer("\u00a0", " ", "\u202f", " ").Replace(c.got); got != c.want {
			t.Errorf("%s: %q, not %q", c.lang, got, c.want)
		}
	}
}

func must(text string, err error) string {
	if err != nil {
		return err.Error()
	}
	return text
}

func TestLanguage(t *testing.T) {
	u := newUI(t, nil)
	for _, c := range []struct{ query, cookie, hint, header, want string }{
		{"", "", "", "", "en"}, {"", "", "", "fr-CA,en;q=0.5", "fr"}, {"", "", "", "de, fr;q=0.8", "fr"}, {"", "", "", "de", "en"},
		{"", "", "fr en", "en", "fr"}, {"", "en", "fr", "fr", "en"}, {"?lang=fr", "en", "", "en", "fr"}, {"?lang=../x", "", "", "fr", "fr"}, {"", "", strings.Repeat("x ", 1000), "\x00;q=;;", "en"},
	} {
		r := httptest.NewRequest(http.MethodGet, "/"+c.query, nil)
		r.Header.Set("Accept-Language", c.header)
		if c.cookie != "" {
			r.AddCookie(&http.Cookie{Name: languageCookie, Value: c.cookie})
		}
		if got := u.Language(r, c.hint); got != c.want {
			t.Errorf("%+v: %s", c, got)
		}
	}
}

// TestEveryPage has the headers that keep it from being framed, scripted or cached, and says what is missing to whoever
// is not signed in.
func TestEveryPage(t *testing.T) {
	u := newUI(t, map[string]string{"page": `<h1>{{t .Title}} <script>alert({{.Data}})</script></h1>`})
	ask := func(method, token string, do func(w http.ResponseWriter, r *http.Request)) *http.Response {
		r := httptest.NewRequest(method, "/x?a=b", nil)
		r.AddCookie(&http.Cookie{Name: "__Host-session", Value: token})
		w := httptest.NewRecorder()
		do(w, r)
		return w.Result()
	}
	show := func(w http.ResponseWriter, r *http.Request) {
		if v, ok := u.Visitor(w, r, ""); ok {
			u.Render(w, r, v, Page{Template: "page", Title: "nav.account", Script: "none", Data: "</script>"})
		}
	}
	got := ask(http.MethodGet, "alice", show)
	page, _ := io.ReadAll(got.Body)
	h := got.Header
	if got.StatusCode != 200 || h.Get("Cache-Control") != "no-store" || h.Get("X-Frame-Options") != "DENY" || !strings.Contains(h.Get("Content-Security-Policy"), "default-src 'none'") ||
		strings.Contains(h.Get("Content-Security-Policy"), "unsafe") || h.Get("Content-Language") != "en" || strings.Contains(string(page), "alert(</script>") {
		t.Errorf("%d %v %s", got.StatusCode, h, page)
	}
	if got := ask(http.MethodGet, "nobody", show); got.StatusCode != http.StatusSeeOther || got.Header.Get("Location") != "/sign-in?next=%2Fx%3Fa%3Db" {
		t.Errorf("%d %s", got.StatusCode, got.Header.Get("Location"))
	}
	if got := ask(http.MethodPost, "nobody", show); got.StatusCode != http.StatusUnauthorized {
		t.Errorf("a form of who is not signed in: %d", got.StatusCode)
	}
	if got := ask(http.MethodGet, "broken", show); got.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("while the database is gone: %d", got.StatusCode)
	}
	cookies := ask(http.MethodGet, "alice", func(w http.ResponseWriter, _ *http.Request) { u.SetSession(w, "new") }).Cookies()
	if c := cookies[0]; c.Name != "__Host-session" || !c.Secure || !c.HttpOnly || c.Path != "/" || c.Domain != "" || c.SameSite != http.SameSiteLaxMode {
		t.Errorf("%+v", c)
	}
}

// TestLanguageOfAnswers: the links to other languages below what a form answered with lead to pages.
func TestLanguageOfAnswers(t *testing.T) {
	u := newUI(t, map[string]string{"page": "x"})
	for _, c := range []struct {
		method, want string
		page         Page
	}{
		{http.MethodGet, "/a/b?lang=fr", Page{Template: "page", Section: "account"}}, {http.MethodPost, "/account?lang=fr", Page{Template: "page", Section: "account"}},
		{http.MethodPost, "/a/b?lang=fr", Page{Template: "page"}}, {http.MethodPost, "/consents?lang=fr", Page{Template: "message", Data: "message.not-found"}},
	} {
		c.page.Title = "nav.account"
		w := httptest.NewRecorder()
		u.Render(w, httptest.NewRequest(c.method, "/a/b", nil), &Visitor{Language: "en"}, c.page)
		if !strings.Contains(w.Body.String(), `href="`+c.want+`"`) {
			t.Errorf("%+v: no %s in %s", c, c.want, w.Body)
		}
	}
}

func TestLocal(t *testing.T) {
	for next, want := range map[string]string{"/a?b=c": "/a?b=c", "/a#b": "/a", "": "/consents", "a": "/consents", "//e.example": "/consents", `/\e.example`: "/consents", "/\te": "/consents", "https:/e": "/consents", "/%5ce.example": "/%5ce.example"} {
		if got := Local(next); got != want {
			t.Errorf("%q leads to %q", next, got)
		}
	}
}

// TestAssets never change, and a logo that is opened alone does nothing.
func TestAssets(t *testing.T) {
	u := newUI(t, nil)
	r := httptest.NewRecorder()
	Assets(u)(r, httptest.NewRequest(http.MethodGet, u.style, nil))
	if r.Code != 200 || !strings.Contains(r.Header().Get("Cache-Control"), "immutable") || r.Header().Get("Content-Type") != "text/css; charset=utf-8" || !strings.Contains(r.Header().Get("Content-Security-Policy"), "sandbox") {
		t.Errorf("%d %v", r.Code, r.Header())
	}
	for _, path := range []string{"/assets/style.css", "/assets/", "/assets/../style.css", "/assets/logo-x", "/assets/brand-x.css"} {
		r := httptest.NewRecorder()
		Assets(u)(r, httptest.NewRequest(http.MethodGet, path, nil))
		if r.Code != http.StatusNotFound {
			t.Errorf("%s: %d", path, r.Code)
		}
	}
}
