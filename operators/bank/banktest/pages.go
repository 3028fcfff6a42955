package banktest

import (
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"io/fs"
	"net/http"
	"path"
	"strings"

	"golang.org/x/text/language"
)

//go:embed pages
var pageFiles embed.FS

// pageSet is everything that a browser sees.
type pageSet struct {
	templates *template.Template
	words     map[string]map[string]string // by language
	matcher   language.Matcher
}

// page is what a template is filled with.
type page struct {
	Lang  string
	words map[string]string
	Path  string // of the page, for the other language
	Title string
	Data  any
}

// T is a text in the page's language, with arguments as of [fmt.Sprintf].
func (p *page) T(key string, args ...any) (string, error) {
	text, found := p.words[key]
	if !found {
		return "", fmt.Errorf("there is no text %q in %q", key, p.Lang)
	}
	if len(args) == 0 {
		return text, nil
	}
	return fmt.Sprintf(text, args...), nil
}

// Other is the language that the page is not in.
func (p *page) Other() string {
	if p.Lang == "fr" {
		return "en"
	}
	return "fr"
}

func readPages() (*pageSet, error) {
	files, err := fs.Sub(pageFiles, "pages")
	if err != nil {
		return nil, err
	}
	s := &pageSet{words: map[string]map[string]string{}, matcher: language.NewMatcher([]language.Tag{language.English, language.French})}
	for _, lang := range []string{"en", "fr"} {
		text, err := fs.ReadFile(files, lang+".json")
		if err != nil {
			return nil, err
		}
		words := map[string]string{}
		if err := json.Unmarshal(text, &words); err != nil {
			return nil, fmt.Errorf("the texts of %s: %w", lang, err)
		}
		s.words[lang] = words
	}
	s.templates, err = template.ParseFS(files, "*.html")
	return s, err
}

// language is what the person reads: what they chose, or what their browser says.
func (s *pageSet) language(r *http.Request) string {
	if chosen := r.FormValue("lang"); s.words[chosen] != nil {
		return chosen
	}
	_, at := language.MatchStrings(s.matcher, r.Header.Get("Accept-Language"))
	return []string{"en", "fr"}[at]
}

// show sends a page. title is a key of the texts.
func (s *pageSet) show(w http.ResponseWriter, r *http.Request, status int, name, title string, data any) {
	lang := s.language(r)
	p := &page{Lang: lang, words: s.words[lang], Path: r.URL.Path, Title: title, Data: data}
	var text strings.Builder
	if err := s.templates.ExecuteTemplate(&text, name+".html", p); err != nil {
		http.Error(w, "the page cannot be shown: "+err.Error(), http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Language", lang)
	h.Set("Cache-Control", "no-store")
	h.Set("Vary", "Accept-Language")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; img-src 'self'; frame-ancestors 'none'; base-uri 'none'")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(text.String()))
}

// pages adds what is not XS2A.
func (b *Bank) pages(mux *http.ServeMux) error {
	set, err := readPages()
	if err != nil {
		return err
	}
	b.set = set
	forms := http.NewCrossOriginProtection()
	mux.HandleFunc("GET /sca/{id}", b.scaPage)
	mux.Handle("POST /sca/{id}", forms.Handler(http.HandlerFunc(b.scaForm)))
	mux.HandleFunc("GET /login/{id}", b.loginPage)
	mux.Handle("POST /login/{id}", forms.Handler(http.HandlerFunc(b.loginPage)))
	mux.HandleFunc("GET /{$}", b.home)
	mux.HandleFunc("GET /style.css", b.style)
	b.sandbox(mux)
	b.oauth(mux)
	return nil
}

func (b *Bank) style(w http.ResponseWriter, r *http.Request) {
	http.ServeFileFS(w, r, pageFiles, path.Join("pages", "style.css"))
}

// home tells a developer what this is.
func (b *Bank) home(w http.ResponseWriter, r *http.Request) {
	b.mu.Lock()
	data := struct {
		Root, Approach string
		People         []string
		Config         Config
	}{b.origin(r), string(b.config.Approach), b.peopleIDs(), b.config}
	b.mu.Unlock()
	b.set.show(w, r, http.StatusOK, "home", "home.title", data)
}

var errNoForm = errors.New("the form cannot be read")
