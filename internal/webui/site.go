package webui

import (
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Session is whose a session is, and how they were known. The zero value is nobody's.
type Session struct {
	Person        string    // the name of the instance
	Method        string    // "passkey", "password", "recovery", "provider"
	Authenticated time.Time // when they last proved who they are
}

// Visitor is who looks at a page.
type Visitor struct {
	Session
	Token    string
	Language string
}

// Fresh reports whether the visitor proved who they are not longer ago than that.
func (v *Visitor) Fresh(within time.Duration) bool { return time.Since(v.Authenticated) <= within }

// cookie names the session. With https no other host, and no page without TLS, can set it (RFC 6265bis section 4.1.3.2).
func (u *UI) cookie() string {
	if u.opt.Secure {
		return "__Host-" + u.opt.Site.Cookie
	}
	return u.opt.Site.Cookie
}

// SetSession gives the browser a session's token; "" takes it away.
func (u *UI) SetSession(w http.ResponseWriter, token string) {
	c := &http.Cookie{Name: u.cookie(), Value: token, Path: "/", HttpOnly: true, Secure: u.opt.Secure, SameSite: http.SameSiteLaxMode}
	if token == "" {
		c.MaxAge = -1
	}
	http.SetCookie(w, c)
}

// Guest finds out who looks at a page that is for everybody.
func (u *UI) Guest(r *http.Request, hint string) (*Visitor, error) {
	v := &Visitor{Language: u.Language(r, hint)}
	c, err := r.Cookie(u.cookie())
	if err != nil {
		return v, nil
	}
	v.Token = c.Value
	v.Session, err = u.opt.Session(r, v.Token)
	return v, err
}

// Visitor finds out who looks at a page, and sends them to sign in if nobody knows.
func (u *UI) Visitor(w http.ResponseWriter, r *http.Request, hint string) (*Visitor, bool) {
	v, err := u.Guest(r, hint)
	switch {
	case err != nil:
		u.Fail(w, r, v, err)
	case v.Person != "":
		return v, true
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		u.Message(w, r, v, http.StatusUnauthorized, "session-over")
	default:
		u.Redirect(w, r, u.opt.Site.SignIn+"?"+url.Values{"next": {r.URL.RequestURI()}}.Encode())
	}
	return nil, false
}

// Proven is Visitor for what is sensitive: who proved who they are longer ago than that has to do it again.
func (u *UI) Proven(w http.ResponseWriter, r *http.Request, hint string, within time.Duration) (*Visitor, bool) {
	v, ok := u.Visitor(w, r, hint)
	if !ok || v.Fresh(within) {
		return v, ok
	}
	back := r.URL.RequestURI()
	if r.Method != http.MethodGet { // to the page with the form
		back = Local(r.PostFormValue("back"))
	}
	u.Redirect(w, r, u.opt.Site.SignIn+"?"+url.Values{"next": {back}, "again": {"1"}}.Encode())
	return nil, false
}

// maxForm is the greatest size of a form, in bytes.
const maxForm = 64 << 10

// Ours reports whether a request comes from a page of ours, or answers that it does not.
func (u *UI) Ours(w http.ResponseWriter, r *http.Request) bool {
	if err := u.cross.Check(r); err != nil {
		u.Message(w, r, &Visitor{Language: u.Language(r, "")}, http.StatusForbidden, "cross-origin")
		return false
	}
	return true
}

// Form reads a form that came from a page of ours, or answers why it is not read.
func (u *UI) Form(w http.ResponseWriter, r *http.Request) bool {
	v := &Visitor{Language: u.Language(r, "")}
	if !u.Ours(w, r) {
		return false
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	if err := r.ParseForm(); err != nil {
		u.Message(w, r, v, http.StatusBadRequest, "bad-form")
		return false
	}
	return true
}

// Posted reads a form of somebody who is signed in, or answers why not.
func (u *UI) Posted(w http.ResponseWriter, r *http.Request) (*Visitor, bool) {
	if !u.Form(w, r) {
		return nil, false
	}
	return u.Visitor(w, r, "")
}

// Redirect leads to another page.
func (u *UI) Redirect(w http.ResponseWriter, r *http.Request, to string) {
	Protect(w.Header())
	http.Redirect(w, r, to, http.StatusSeeOther)
}

// Message shows a page with a few words and nothing to do: the texts message.WHAT.title and message.WHAT.
func (u *UI) Message(w http.ResponseWriter, r *http.Request, v *Visitor, status int, what string) {
	u.Render(w, r, v, Page{Template: "message", Title: "message." + what + ".title", Status: status, Data: "message." + what})
}

// Fail shows that something broke that is not the visitor's fault.
func (u *UI) Fail(w http.ResponseWriter, r *http.Request, v *Visitor, err error) {
	u.opt.Log.Error("a page failed", "path", r.Pattern, "error", err)
	u.Message(w, r, v, http.StatusServiceUnavailable, "unavailable")
}

// Warn notes what an operator should look at, and a visitor cannot help.
func (u *UI) Warn(r *http.Request, what string, err error) {
	u.opt.Log.Warn(what, "path", r.Pattern, "error", err)
}

// Local returns where to go on: a path of ours, whatever was asked for.
func Local(next string) string {
	u, err := url.Parse(next)
	if err != nil || u.Scheme != "" || u.Host != "" || u.User != nil || !strings.HasPrefix(next, "/") || strings.HasPrefix(next, "//") || strings.ContainsAny(next, "\\\r\n\t") {
		return "/consents"
	}
	return u.RequestURI()
}
