// Package web is the regulator's desk: pages on which auditors see each article and what was found, ask whether there was
// a consent, look at accesses, withdrawals, numbers and registers, and take evidence with them. Everything that they ask
// is logged before it is shown: compliance/audit does that. It must never show who a person is without a reason.
package web

import (
	"embed"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/passerelle-cloud/passerelle/compliance"
	"github.com/passerelle-cloud/passerelle/compliance/audit"
	"github.com/passerelle-cloud/passerelle/consent"
	"github.com/passerelle-cloud/passerelle/consent/ledger"
	"github.com/passerelle-cloud/passerelle/internal/webui"
)

//go:embed templates
var files embed.FS

// Options are what the desk's pages need. All must be set.
type Options struct {
	Desk *audit.Desk
	Key  func(r *http.Request) (string, error) // of the log, as the operator publishes it
}

// Web is the pages.
type Web struct {
	*webui.UI
	opt Options
}

// New returns the pages.
func New(common webui.Options, opt Options) (*Web, error) {
	common.Site = &webui.Site{Cookie: "desk", Home: "/desk", SignIn: "/desk/sign-in", SignOut: "/desk/sign-out", Nav: []webui.Place{
		{Section: "articles", Path: "/desk/articles", Text: "desk.articles"}, {Section: "questions", Path: "/desk/questions", Text: "desk.questions"},
		{Section: "transfers", Path: "/desk/transfers", Text: "desk.transfers"}, {Section: "withdrawals", Path: "/desk/withdrawals", Text: "desk.withdrawals"},
		{Section: "numbers", Path: "/desk/numbers", Text: "desk.numbers"}, {Section: "registers", Path: "/desk/registers", Text: "desk.registers"},
		{Section: "conduct", Path: "/desk/conduct", Text: "desk.conduct"},
	}}
	common.Session = func(r *http.Request, token string) (webui.Session, error) {
		who, err := opt.Desk.Session(r.Context(), token)
		if errors.Is(err, audit.ErrNoAuditor) {
			return webui.Session{}, nil
		}
		if err != nil {
			return webui.Session{}, err
		}
		return webui.Session{Person: who.Name, Method: "code", Authenticated: time.Now()}, nil
	}
	ui, err := webui.New(common, files)
	return &Web{UI: ui, opt: opt}, err
}

// seat is an auditor at the desk.
type seat struct {
	*webui.Visitor
	w   http.ResponseWriter
	r   *http.Request
	who *audit.Auditor
}

// For lets auditors see a page; others are sent to sign in.
func (w *Web) For(do func(*seat) error) http.HandlerFunc {
	return func(rw http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost && !w.Form(rw, r) {
			return
		}
		v, ok := w.Visitor(rw, r, "")
		if !ok {
			return
		}
		who, err := w.opt.Desk.Session(r.Context(), v.Token)
		if err == nil {
			err = do(&seat{v, rw, r, who})
		}
		if err != nil {
			w.fail(rw, r, v, err)
		}
	}
}

func (w *Web) fail(rw http.ResponseWriter, r *http.Request, v *webui.Visitor, err error) {
	switch {
	case errors.Is(err, audit.ErrInvalid):
		w.Message(rw, r, v, http.StatusBadRequest, "desk-bad-question")
	case errors.Is(err, consent.ErrNotFound):
		w.Message(rw, r, v, http.StatusNotFound, "desk-not-found")
	case errors.Is(err, ledger.ErrUnknown):
		w.Message(rw, r, v, http.StatusGone, "desk-forgotten")
	case errors.Is(err, audit.ErrNoAuditor):
		w.Message(rw, r, v, http.StatusUnauthorized, "session-over")
	default:
		w.Fail(rw, r, v, err)
	}
}

func (w *Web) show(s *seat, template, section string, data any) error {
	w.Render(s.w, s.r, s.Visitor, webui.Page{Template: template, Title: template + ".title", Section: section, Data: data})
	return nil
}

// signIn is what the page shows.
type signIn struct {
	Next  string
	Wrong bool
}

// SignIn asks for the code of an invitation.
func (w *Web) SignIn(rw http.ResponseWriter, r *http.Request) {
	v, err := w.Guest(r, "")
	if err != nil {
		w.Fail(rw, r, v, err)
		return
	}
	if v.Person != "" {
		w.Redirect(rw, r, "/desk")
		return
	}
	w.Render(rw, r, v, webui.Page{Template: "desk-sign-in", Title: "desk-sign-in.title", Data: signIn{Next: next(r)}})
}

// next is the page of the desk to go on to.
func next(r *http.Request) string {
	if to := webui.Local(r.FormValue("next")); strings.HasPrefix(to, "/desk") {
		return to
	}
	return "/desk"
}

// DoSignIn signs an auditor in.
func (w *Web) DoSignIn(rw http.ResponseWriter, r *http.Request) {
	if !w.Form(rw, r) {
		return
	}
	v := &webui.Visitor{Language: w.Language(r, "")}
	token, _, err := w.opt.Desk.SignIn(r.Context(), r.PostFormValue("code"))
	switch {
	case errors.Is(err, audit.ErrNoAuditor):
		w.Render(rw, r, v, webui.Page{Template: "desk-sign-in", Title: "desk-sign-in.title", Status: http.StatusUnauthorized, Data: signIn{next(r), true}})
	case err != nil:
		w.Fail(rw, r, v, err)
	default:
		w.SetSession(rw, token)
		w.Redirect(rw, r, next(r))
	}
}

// DoSignOut signs an auditor out.
func (w *Web) DoSignOut(rw http.ResponseWriter, r *http.Request) {
	if !w.Form(rw, r) {
		return
	}
	v, err := w.Guest(r, "")
	if err == nil && v.Token != "" {
		err = w.opt.Desk.SignOut(r.Context(), v.Token)
	}
	if err != nil {
		w.Fail(rw, r, v, err)
		return
	}
	w.SetSession(rw, "")
	w.Redirect(rw, r, "/desk/sign-in")
}

// home is what the first page shows.
type home struct {
	*audit.Home
	Key                   string
	Kept, Broken, Unknown int
}

// Home shows how things stand.
func (w *Web) Home(s *seat) error {
	h, err := w.opt.Desk.Home(s.r.Context(), s.who)
	if err != nil {
		return err
	}
	page := home{Home: h}
	if page.Key, err = w.opt.Key(s.r); err != nil {
		return err
	}
	for _, f := range h.Findings {
		switch f.Verdict {
		case compliance.Kept:
			page.Kept++
		case compliance.Broken:
			page.Broken++
		default:
			page.Unknown++
		}
	}
	return w.show(s, "desk", "", page)
}

// law is the articles of one law.
type law struct {
	Name     string
	Applies  bool
	Articles []assessed
}

// assessed is an article with its words in the language of the page.
type assessed struct {
	audit.Assessed
	Words, Reason string
}

// ID is what a link to it names.
func (a assessed) ID() string {
	return strings.Trim(strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' {
			return r
		}
		return '-'
	}, a.Law+"-"+a.Article.Article), "-")
}

// articles is what the page of articles shows.
type articles struct {
	Laws   []law
	Broken []assessed // where something was found
}

// Articles shows each article, how it is kept, and what was found.
func (w *Web) Articles(s *seat) error {
	list, err := w.opt.Desk.Articles(s.r.Context(), s.who)
	if err != nil {
		return err
	}
	var page articles
	for _, a := range list {
		laws := page.Laws
		at := slices.IndexFunc(laws, func(l law) bool { return l.Name == a.Law })
		if at < 0 {
			at = len(laws)
			laws = append(laws, law{Name: a.Law, Applies: a.Applies})
		}
		one := assessed{a, in(a.Says, s.Language), in(a.Why, s.Language)}
		laws[at].Articles = append(laws[at].Articles, one)
		if page.Laws = laws; slices.ContainsFunc(a.Findings, func(f compliance.Finding) bool { return f.Verdict == compliance.Broken }) {
			page.Broken = append(page.Broken, one)
		}
	}
	return w.show(s, "desk-articles", "articles", page)
}

// Rules shows the text of a rule pack.
func (w *Web) Rules(s *seat) error {
	pack, err := w.opt.Desk.Rules(s.r.Context(), s.who, s.r.PathValue("pack"))
	if err != nil {
		return err
	}
	return w.show(s, "desk-rules", "articles", pack)
}

// in is a text in a language, or else in English.
func in(texts map[string]string, lang string) string {
	if text := texts[lang]; text != "" {
		return text
	}
	return texts["en"]
}
