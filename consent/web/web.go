// Package web is the pages on which a person signs in, decides what a service asks, sees what they decided, and changes
// their mind. It must never know OAuth, nor how passwords are kept: that is handed in.
package web

import (
	"context"
	"embed"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/passerelle-cloud/passerelle/consent"
	"github.com/passerelle-cloud/passerelle/internal/webui"
)

//go:embed templates texts
var files embed.FS

// version names the pages as they are, in what is kept of a decision. It changes with them.
const version = "2026-11"

// Options are what the pages need. All but Log must be set.
type Options struct {
	Authority *consent.Authority
	Brand     Brand
	Secure    bool // the gateway is reached by https
	// SignIn returns a token for a session, Session who has it, and SignOut ends it.
	SignIn  func(ctx context.Context, name, password, from string) (token string, err error)
	Session func(ctx context.Context, token string) (person string, facts consent.SessionFacts, err error)
	SignOut func(ctx context.Context, token string) error
	// Throttled says for how long somebody must wait before they try to sign in again, if that is what is wrong.
	Throttled func(error) (time.Duration, bool)
	// Credentials says whether an error of SignIn or of Session means that nobody is known.
	Credentials func(error) bool
	// Grant and Refuse take a decision, and return where the person's browser goes.
	Grant  func(ctx context.Context, d consent.Decision) (location string, c consent.Consent, err error)
	Refuse func(ctx context.Context, d consent.Decision) (location string, err error)
	// Receipt makes the signed receipt of a consent of a person, as it stands (a JWS in compact form).
	Receipt func(ctx context.Context, c consent.Consent) ([]byte, error)
	// Locales are the languages that a service asks for, and the origin that the decision's form leads to.
	Locales  func(ctx context.Context, request string) (locales, origin string, err error)
	ClientIP func(*http.Request) string
	Log      *slog.Logger
}

// Brand is under which name the pages are.
type Brand struct {
	Name    string
	Contact string // an address for mail; "" if there is none
}

// Web is the pages.
type Web struct {
	opt   Options
	ui    *webui.UI
	cross *http.CrossOriginProtection
}

// New returns the pages.
func New(opt Options) (*Web, error) {
	ui, err := webui.New(opt.Brand.Name, files)
	if opt.Log == nil {
		opt.Log = slog.New(slog.DiscardHandler)
	}
	return &Web{opt: opt, ui: ui, cross: http.NewCrossOriginProtection()}, err
}

// Assets serves what pages need.
func (w *Web) Assets(rw http.ResponseWriter, r *http.Request) { w.ui.Assets(rw, r) }

// maxForm is the greatest size of a form, in bytes.
const maxForm = 32 << 10

// cookie names the session. With https no other host, and no page without TLS, can set it (RFC 6265bis section 4.1.3.2).
func (w *Web) cookie() string {
	if w.opt.Secure {
		return "__Host-session"
	}
	return "session"
}

// visitor is who looks at a page.
type visitor struct {
	person   string
	session  consent.SessionFacts
	token    string
	language string
}

// visitor finds out who asks, and sends them to sign in if nobody knows.
func (w *Web) visitor(rw http.ResponseWriter, r *http.Request, hint string) (*visitor, bool) {
	v := &visitor{language: w.ui.Language(r, hint)}
	if c, err := r.Cookie(w.cookie()); err == nil {
		v.token = c.Value
		if v.person, v.session, err = w.opt.Session(r.Context(), v.token); err != nil && !w.opt.Credentials(err) {
			w.fail(rw, r, v, err)
			return nil, false
		}
	}
	if v.person != "" {
		return v, true
	}
	if r.Method != http.MethodGet {
		w.message(rw, r, v, http.StatusUnauthorized, "session-over")
		return nil, false
	}
	next := url.Values{"next": {r.URL.RequestURI()}}
	http.Redirect(rw, r, "/sign-in?"+next.Encode(), http.StatusSeeOther)
	return nil, false
}

// form reads a form that came from a page of ours, or answers why it is not read.
func (w *Web) form(rw http.ResponseWriter, r *http.Request) bool {
	v := &visitor{language: w.ui.Language(r, "")}
	if err := w.cross.Check(r); err != nil {
		w.message(rw, r, v, http.StatusForbidden, "cross-origin")
		return false
	}
	r.Body = http.MaxBytesReader(rw, r.Body, maxForm)
	if err := r.ParseForm(); err != nil {
		w.message(rw, r, v, http.StatusBadRequest, "bad-form")
		return false
	}
	return true
}

func (w *Web) render(rw http.ResponseWriter, r *http.Request, v *visitor, p webui.Page) {
	p.Person, p.Language = v.person, v.language
	if err := w.ui.Render(rw, r, p); err != nil {
		w.opt.Log.Error("a page cannot be shown", "template", p.Template, "error", err)
		http.Error(rw, "This page cannot be shown. / Cette page ne peut pas être affichée.", http.StatusInternalServerError)
	}
}

// message shows a page with a few words and nothing to do.
func (w *Web) message(rw http.ResponseWriter, r *http.Request, v *visitor, status int, what string) {
	w.render(rw, r, v, webui.Page{Template: "message", Title: "message." + what + ".title", Status: status, Data: struct{ Text, Contact string }{"message." + what, w.opt.Brand.Contact}})
}

// Fault shows that an authorisation cannot go on: "not-pushed", "unknown-request", "too-late" or "unavailable".
func (w *Web) Fault(rw http.ResponseWriter, r *http.Request, status int, what string) {
	w.message(rw, r, &visitor{language: w.ui.Language(r, "")}, status, what)
}

// fail shows what went wrong in words.
func (w *Web) fail(rw http.ResponseWriter, r *http.Request, v *visitor, err error) {
	var refused *consent.RefusedError
	switch {
	case errors.As(err, &refused):
		w.render(rw, r, v, webui.Page{Template: "refused", Title: "refused.title", Status: http.StatusForbidden, Data: refused.Refusals})
	case errors.Is(err, consent.ErrNotFound):
		w.message(rw, r, v, http.StatusNotFound, "not-found")
	case errors.Is(err, consent.ErrState):
		w.message(rw, r, v, http.StatusConflict, "too-late")
	case errors.Is(err, consent.ErrSuspended):
		w.message(rw, r, v, http.StatusForbidden, "suspended")
	case errors.Is(err, consent.ErrBeyond):
		w.message(rw, r, v, http.StatusBadRequest, "nothing-chosen")
	default:
		w.opt.Log.Error("a page failed", "path", r.Pattern, "error", err)
		w.message(rw, r, v, http.StatusServiceUnavailable, "unavailable")
	}
}

// local returns where to go on: a path of ours, whatever was asked for.
func local(next string) string {
	u, err := url.Parse(next)
	if err != nil || u.Scheme != "" || u.Host != "" || u.User != nil || !strings.HasPrefix(next, "/") || strings.HasPrefix(next, "//") || strings.ContainsAny(next, "\\\r\n\t") {
		return "/consents"
	}
	return u.RequestURI()
}
