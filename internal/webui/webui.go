// Package webui is what all pages share: the layout, the brand, one stylesheet, the words of each language, sessions,
// forms, and the headers that keep a page from being framed, scripted or cached. Pages work without JavaScript and ask
// nobody else for anything.
//
// All words are in one file a language (texts/LANGUAGE.json), so that a translator has one file. It must never know what
// a page is about.
package webui

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"html/template"
	"io/fs"
	"log/slog"
	"maps"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strings"
	"time"

	"golang.org/x/text/language"

	"github.com/passerelle-cloud/passerelle/internal/brand"
)

//go:embed templates texts style.css
var shared embed.FS

// Options are what pages need. Brands must be set.
type Options struct {
	Brands   *brand.Brands
	Operator string         // legal name of who runs the gateway
	Secure   bool           // the gateway is reached by https
	Zone     *time.Location // in which times are written; nil: that of the machine
	// Session returns whose a session's token is; the zero value if it is nobody's (any more).
	Session func(r *http.Request, token string) (Session, error)
	Site    *Site        // nil: that of persons
	Log     *slog.Logger // nil: nothing is logged
}

// Site is whom the pages are for: who is signed in to one is not signed in to another.
type Site struct {
	Cookie  string // name of the session's
	Home    string // path
	SignIn  string // path
	SignOut string // path of a form
	Nav     []Place
}

// Place is a page of the navigation.
type Place struct {
	Section string
	Path    string
	Text    string // key
}

// Persons is the site of persons.
func Persons() *Site {
	return &Site{Cookie: "session", Home: "/consents", SignIn: "/sign-in", SignOut: "/sign-out", Nav: []Place{
		{"consents", "/consents", "nav.consents"}, {"overview", "/overview", "nav.overview"}, {"bank", "/bank", "nav.bank"}, {"bills", "/bills", "nav.bills"}, {"download", "/download", "nav.download"}, {"move", "/move", "nav.move"}, {"account", "/account", "nav.account"},
	}}
}

// UI renders the pages of one package.
type UI struct {
	opt       Options
	words     map[string]*words
	templates map[string]*template.Template // by language
	matcher   language.Matcher
	languages []string
	assets    map[string]asset // by path
	style     string           // path of the stylesheet
	scripts   map[string]string
	cross     *http.CrossOriginProtection
}

// asset is a file that pages need.
type asset struct {
	mime    string
	content []byte
}

// languageCookie remembers which language somebody chose.
const languageCookie = "lang"

// New reads the templates (templates/*.html) and scripts (scripts/*.js) of a package. Every text that a template names
// must exist.
func New(opt Options, files fs.FS) (*UI, error) {
	if opt.Log == nil {
		opt.Log = slog.New(slog.DiscardHandler)
	}
	if opt.Site == nil {
		opt.Site = Persons()
	}
	if opt.Zone == nil {
		opt.Zone = time.Local
	}
	u := &UI{opt: opt, templates: map[string]*template.Template{}, assets: map[string]asset{}, scripts: map[string]string{}, cross: http.NewCrossOriginProtection()}
	var err error
	if u.words, err = readWords(shared, opt.Zone); err != nil {
		return nil, err
	}
	u.languages = slices.Sorted(maps.Keys(u.words))
	var tags []language.Tag
	for _, lang := range u.languages {
		t, err := template.New("").Funcs(u.funcs(lang)).ParseFS(shared, "templates/*.html")
		if err == nil {
			t, err = t.ParseFS(files, "templates/*.html")
		}
		if err == nil {
			err = u.words[lang].check(t)
		}
		if err != nil {
			return nil, err
		}
		u.templates[lang] = t
		tags = append(tags, u.words[lang].tag)
	}
	u.matcher = language.NewMatcher(tags)
	return u, u.readAssets(files)
}

// readAssets names each file by its content, so that it may be kept for ever.
func (u *UI) readAssets(files fs.FS) error {
	style, err := shared.ReadFile("style.css")
	if err != nil {
		return err
	}
	u.style = u.asset("style", ".css", "text/css; charset=utf-8", style)
	scripts, err := fs.Glob(files, "scripts/*.js")
	if err != nil {
		return err
	}
	for _, file := range scripts {
		text, err := fs.ReadFile(files, file)
		if err != nil {
			return err
		}
		name := strings.TrimSuffix(path.Base(file), ".js")
		u.scripts[name] = u.asset(name, ".js", "text/javascript; charset=utf-8", text)
	}
	return nil
}

func (u *UI) asset(name, ending, mime string, content []byte) string {
	sum := sha256.Sum256(content)
	at := "/assets/" + name + "-" + hex.EncodeToString(sum[:6]) + ending
	u.assets[at] = asset{mime, content}
	return at
}

// Languages are those that pages are in.
func (u *UI) Languages() []string { return u.languages }

// Language chooses the language of a page: what was chosen (?lang, then a cookie), what a service asks for (hint, a list
// as in OpenID Connect's ui_locales), what the browser prefers.
func (u *UI) Language(r *http.Request, hint string) string {
	candidates := []string{r.URL.Query().Get(languageCookie)}
	if c, err := r.Cookie(languageCookie); err == nil {
		candidates = append(candidates, c.Value)
	}
	for _, c := range candidates {
		if slices.Contains(u.languages, c) {
			return c
		}
	}
	prefers := append(strings.Fields(hint), r.Header.Get("Accept-Language"))
	_, at := language.MatchStrings(u.matcher, prefers...)
	return u.languages[at]
}

// Brand is under whose name a request is answered.
func (u *UI) Brand(r *http.Request) *brand.Brand { return u.opt.Brands.For(r.Host) }

// Page is one page.
type Page struct {
	Template string // in templates/, without .html
	Title    string // key of a text
	Status   int    // 0: 200
	Section  string // of the navigation: "consents", "news", "account"
	Script   string // in scripts/, without .js; "" if there is none
	Live     bool   // the script is told by us what changes
	FormsTo  []string
	Data     any

	// These are set when it is rendered.
	Visitor *Visitor
	Brand   *brand.Brand
}

// Language is the language of the page.
func (p Page) Language() string { return p.Visitor.Language }

// layout is what the layout's template gets.
type layout struct {
	Page
	Operator  string
	Style     string
	BrandCSS  string
	Logo      string
	ScriptAt  string
	Content   template.HTML
	Languages []link
	Site      *Site
}

type link struct {
	Language, Address string
	Current           bool
}

// Fragment renders one template, in a language.
func (u *UI) Fragment(name, lang string, data any) ([]byte, error) {
	var out bytes.Buffer
	err := u.templates[lang].ExecuteTemplate(&out, name+".html", data)
	return out.Bytes(), err
}

// Render answers with a page, or says that there is none.
func (u *UI) Render(w http.ResponseWriter, r *http.Request, v *Visitor, p Page) {
	p.Visitor, p.Brand = v, u.Brand(r)
	text, err := u.page(r, p)
	if err != nil {
		u.opt.Log.Error("a page cannot be shown", "template", p.Template, "error", err)
		http.Error(w, "This page cannot be shown. / Cette page ne peut pas être affichée.", http.StatusInternalServerError)
		return
	}
	if chosen := r.URL.Query().Get(languageCookie); chosen == v.Language {
		http.SetCookie(w, &http.Cookie{Name: languageCookie, Value: chosen, Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode, MaxAge: 365 * 24 * 60 * 60, Secure: u.opt.Secure})
	}
	Protect(w.Header(), p.FormsTo...)
	if p.Script != "" {
		w.Header().Set("Content-Security-Policy", "script-src 'self'; "+w.Header().Get("Content-Security-Policy"))
	}
	if p.Live {
		w.Header().Set("Content-Security-Policy", "connect-src 'self'; "+w.Header().Get("Content-Security-Policy"))
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Language", v.Language)
	if p.Status != 0 {
		w.WriteHeader(p.Status)
	}
	w.Write(text) // if the reader is gone there is nobody to tell
}

// again is where a page can be seen in another language. What a form answered with is nowhere, but what is near it.
func (u *UI) again(r *http.Request, p Page) string {
	switch {
	case r.Method == http.MethodGet || r.Method == http.MethodHead:
		return r.URL.Path
	case p.Template == "message":
		return u.opt.Site.Home
	}
	for _, place := range u.opt.Site.Nav {
		if place.Section == p.Section {
			return place.Path
		}
	}
	return r.URL.Path
}

// maxQuery is how much of an address is kept in links to the same page.
const maxQuery = 1 << 10

func (u *UI) page(r *http.Request, p Page) ([]byte, error) {
	lang := p.Visitor.Language
	content, err := u.Fragment(p.Template, lang, p)
	if err != nil {
		return nil, fmt.Errorf("render %s: %w", p.Template, err)
	}
	l := layout{Page: p, Operator: u.opt.Operator, Style: u.style, ScriptAt: u.scripts[p.Script], Content: template.HTML(content), Site: u.opt.Site} // rendered by html/template just above
	if css := p.Brand.CSS(); len(css) > 0 {
		sum := sha256.Sum256(css)
		l.BrandCSS = "/assets/brand-" + hex.EncodeToString(sum[:6]) + ".css"
	}
	if p.Brand.Logo != nil {
		l.Logo = "/assets/logo-" + p.Brand.Logo.Hash
	}
	for _, other := range u.languages {
		query := url.Values{}
		if len(r.URL.RawQuery) <= maxQuery {
			query = r.URL.Query()
		}
		query.Set(languageCookie, other)
		l.Languages = append(l.Languages, link{other, u.again(r, p) + "?" + query.Encode(), other == lang})
	}
	return u.Fragment("layout", lang, l)
}

// Protect sets the headers of every page.
func Protect(h http.Header, formsTo ...string) {
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; img-src 'self'; form-action "+strings.Join(append([]string{"'self'"}, formsTo...), " ")+
		"; frame-ancestors 'none'; base-uri 'none'")
	h.Set("X-Frame-Options", "DENY")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "same-origin")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=()")
	h.Set("Cache-Control", "no-store")
}

// Assets serves what the pages of some packages need: stylesheets, scripts, the brand's logo.
func Assets(uis ...*UI) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		for _, u := range uis {
			if a, ok := u.find(r); ok {
				h := w.Header()
				h.Set("Content-Type", a.mime)
				h.Set("Cache-Control", "public, max-age=31536000, immutable")
				h.Set("X-Content-Type-Options", "nosniff")
				h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; sandbox") // a logo that is opened alone does nothing
				w.Write(a.content)                                                                         // if the reader is gone there is nobody to tell
				return
			}
		}
		http.NotFound(w, r)
	}
}

func (u *UI) find(r *http.Request) (asset, bool) {
	if a, ok := u.assets[r.URL.Path]; ok {
		return a, true
	}
	b := u.Brand(r)
	switch {
	case strings.HasPrefix(r.URL.Path, "/assets/brand-") && len(b.CSS()) > 0:
		return asset{"text/css; charset=utf-8", b.CSS()}, true
	case b.Logo != nil && r.URL.Path == "/assets/logo-"+b.Logo.Hash:
		return asset{b.Logo.Type, b.Logo.Data}, true
	}
	return asset{}, false
}

// funcs are what templates may call.
func (u *UI) funcs(lang string) template.FuncMap {
	w := u.words[lang]
	return template.FuncMap{
		"t": w.text, "n": w.count, "date": w.date, "day": w.day, "moment": w.moment, "span": w.span, "size": w.size, "country": w.country, "list": w.list,
		"word":  w.word,
		"money": w.money, "month": w.month,
		"number":  func(n any) string { return w.printer.Sprint(n) },
		"contact": contact, "inLanguage": inLanguage[string],
	}
}

// Text is a text in a language.
func (u *UI) Text(lang, key string, args ...any) (string, error) {
	w, ok := u.words[lang]
	if !ok {
		return "", errors.New("there is no such language: " + lang)
	}
	return w.text(key, args...)
}

// Size writes a number of bytes in a language; "" if it cannot.
func (u *UI) Size(lang string, bytes int64) string {
	text, err := u.words[lang].size(bytes)
	if err != nil {
		return ""
	}
	return text
}

// Count is a text in a language whose form depends on a number; "" if there is none.
func (u *UI) Count(lang, key string, n int) string {
	text, err := u.words[lang].count(key, n)
	if err != nil {
		return ""
	}
	return text
}

// contact is where a brand's contact leads: mail, or a page.
func contact(c string) template.URL {
	if strings.HasPrefix(c, "https://") {
		return template.URL(c) // checked when the brand was read
	}
	return template.URL("mailto:" + url.PathEscape(c))
}

// Legal shows one of the brand's legal texts.
func (u *UI) Legal(w http.ResponseWriter, r *http.Request) {
	v, err := u.Guest(r, "")
	if err != nil {
		u.Fail(w, r, v, err)
		return
	}
	for _, l := range u.Brand(r).Legal {
		if l.Slug == r.PathValue("slug") && l.URL == "" {
			u.Render(w, r, v, Page{Template: "legal", Title: "nav.legal", Data: struct {
				Title string
				HTML  template.HTML
			}{inLanguage(l.Title, v.Language), inLanguage(l.HTML, v.Language)}})
			return
		}
	}
	u.Message(w, r, v, http.StatusNotFound, "not-found")
}

// inLanguage chooses a text in a language, or else in any, always the same.
func inLanguage[T ~string](texts map[string]T, lang string) T {
	for _, l := range append([]string{lang, "en", "fr"}, slices.Sorted(maps.Keys(texts))...) {
		if texts[l] != "" {
			return texts[l]
		}
	}
	return ""
}
