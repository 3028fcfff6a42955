// Package webui is what all pages share: the layout, one stylesheet, the languages, and the headers that keep a page from
// being framed, scripted or cached. Pages need no JavaScript and ask nobody else for anything.
//
// It must never know what a page is about.
package webui

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"html/template"
	"io/fs"
	"maps"
	"net/http"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/text/language"
)

//go:embed style.css
var style []byte

// UI renders pages.
type UI struct {
	Name      string                        // of the operator, in the head of each page
	templates map[string]*template.Template // by language
	texts     map[string]map[string]string  // by language and key
	matcher   language.Matcher
	languages []string // the first is for those who say nothing that is known
	stylePath string
}

// languageCookie remembers which language somebody chose.
const languageCookie = "lang"

// New reads templates (templates/*.html) and texts (texts/LANGUAGE.json, each an object of texts by key). Every language
// must have every text.
func New(name string, files fs.FS) (*UI, error) {
	sum := sha256.Sum256(style)
	u := &UI{Name: name, texts: map[string]map[string]string{}, stylePath: "/assets/style-" + hex.EncodeToString(sum[:6]) + ".css"}
	names, err := fs.Glob(files, "texts/*.json")
	if err != nil {
		return nil, err
	}
	for _, file := range names {
		text, err := fs.ReadFile(files, file)
		if err != nil {
			return nil, err
		}
		lang := strings.TrimSuffix(path.Base(file), ".json")
		if err := json.Unmarshal(text, mapOf(u.texts, lang)); err != nil {
			return nil, fmt.Errorf("the texts of %s: %w", file, err)
		}
	}
	u.languages = slices.Sorted(maps.Keys(u.texts))
	var tags []language.Tag
	for _, lang := range u.languages {
		if missing := missingKeys(u.texts[u.languages[0]], u.texts[lang]); len(missing) > 0 {
			return nil, fmt.Errorf("the texts of %s and %s differ in %v", u.languages[0], lang, missing)
		}
		tags = append(tags, language.Make(lang))
	}
	u.matcher = language.NewMatcher(tags)
	u.templates = map[string]*template.Template{}
	for _, lang := range u.languages {
		if u.templates[lang], err = template.New("").Funcs(u.funcs(lang)).ParseFS(files, "templates/*.html"); err != nil {
			return nil, err
		}
	}
	return u, nil
}

func mapOf(texts map[string]map[string]string, lang string) *map[string]string {
	m := map[string]string{}
	texts[lang] = m
	return &m
}

func missingKeys(a, b map[string]string) (list []string) {
	for key := range a {
		if _, ok := b[key]; !ok {
			list = append(list, key)
		}
	}
	for key := range b {
		if _, ok := a[key]; !ok {
			list = append(list, key)
		}
	}
	return list
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

// Page is one page.
type Page struct {
	Template string // in templates/, without .html
	Title    string // key of a text
	Status   int    // 0: 200
	Person   string // who is signed in; "" if nobody is
	Language string
	FormsTo  []string // origins besides this one that forms lead to in the end
	Data     any
}

// layout is what the layout's template gets.
type layout struct {
	Page
	Name      string
	Style     string
	Content   template.HTML
	Languages []link
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

// Render answers with a page.
func (u *UI) Render(w http.ResponseWriter, r *http.Request, p Page) error {
	content, err := u.Fragment(p.Template, p.Language, p)
	if err != nil {
		return fmt.Errorf("render %s: %w", p.Template, err)
	}
	l := layout{Page: p, Name: u.Name, Style: u.stylePath, Content: template.HTML(content)} // rendered by html/template just above
	for _, lang := range u.languages {
		query := r.URL.Query()
		query.Set(languageCookie, lang)
		l.Languages = append(l.Languages, link{lang, r.URL.Path + "?" + query.Encode(), lang == p.Language})
	}
	text, err := u.Fragment("layout", p.Language, l)
	if err != nil {
		return fmt.Errorf("render the layout: %w", err)
	}
	if chosen := r.URL.Query().Get(languageCookie); chosen == p.Language {
		http.SetCookie(w, &http.Cookie{Name: languageCookie, Value: chosen, Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode, MaxAge: 365 * 24 * 60 * 60, Secure: r.TLS != nil})
	}
	Protect(w.Header(), p.FormsTo...)
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Language", p.Language)
	if p.Status != 0 {
		w.WriteHeader(p.Status)
	}
	w.Write(text) // if the reader is gone there is nobody to tell
	return nil
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

// Assets serves the stylesheet.
func (u *UI) Assets(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path != u.stylePath {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", "text/css; charset=utf-8")
	w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Write(style)
}

// funcs are what templates may call.
func (u *UI) funcs(lang string) template.FuncMap {
	return template.FuncMap{
		"t":    func(key string, args ...any) (string, error) { return u.Text(lang, key, args...) },
		"date": func(at time.Time) (string, error) { return u.date(lang, at) },
		"span": func(text string) (string, error) { return u.span(lang, text) },
	}
}

// Text is a text in a language. %s in it stand for the arguments.
func (u *UI) Text(lang, key string, args ...any) (string, error) {
	text, ok := u.texts[lang][key]
	if !ok {
		return "", fmt.Errorf("there is no text %q in %s", key, lang)
	}
	if len(args) > 0 {
		return fmt.Sprintf(text, args...), nil
	}
	return text, nil
}

// date writes a day in words.
func (u *UI) date(lang string, at time.Time) (string, error) {
	if at.IsZero() {
		return "", nil
	}
	at = at.UTC()
	month, err := u.Text(lang, "month."+strconv.Itoa(int(at.Month())))
	return fmt.Sprintf("%d %s %d", at.Day(), month, at.Year()), err
}

// span writes a duration in words, if it has one unit, and as it is otherwise.
func (u *UI) span(lang, text string) (string, error) {
	rest, _ := strings.CutPrefix(text, "P")
	rest, clock := strings.CutPrefix(rest, "T")
	if len(rest) < 2 {
		return text, nil
	}
	n, err := strconv.Atoi(rest[:len(rest)-1])
	if err != nil {
		return text, nil
	}
	unit := strings.ToLower(rest[len(rest)-1:])
	if clock {
		unit = "t" + unit
	}
	key := "span." + unit
	if n != 1 {
		key += "s"
	}
	words, ok := u.texts[lang][key]
	if !ok {
		return text, nil
	}
	return fmt.Sprintf(words, n), nil
}
