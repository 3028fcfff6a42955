package web

import (
	"net/http"
	"time"

	"github.com/passerelle-cloud/passerelle/internal/webui"
)

// signIn is what the page to sign in shows.
type signIn struct {
	Next, Name string
	Wrong      bool
	Wait       int // seconds
}

// SignIn shows the page to sign in.
func (w *Web) SignIn(rw http.ResponseWriter, r *http.Request) {
	v := &visitor{language: w.ui.Language(r, "")}
	w.render(rw, r, v, webui.Page{Template: "sign-in", Title: "sign-in.title", Data: signIn{Next: local(r.URL.Query().Get("next"))}})
}

// DoSignIn signs a person in. Each time they get a session that nobody had before.
func (w *Web) DoSignIn(rw http.ResponseWriter, r *http.Request) {
	if !w.form(rw, r) {
		return
	}
	v := &visitor{language: w.ui.Language(r, "")}
	page := signIn{Next: local(r.PostForm.Get("next")), Name: r.PostForm.Get("name")}
	token, err := w.opt.SignIn(r.Context(), page.Name, r.PostForm.Get("password"), w.opt.ClientIP(r))
	status := http.StatusUnauthorized
	switch wait, throttled := w.opt.Throttled(err); {
	case err == nil:
		http.SetCookie(rw, &http.Cookie{Name: w.cookie(), Value: token, Path: "/", HttpOnly: true, Secure: w.opt.Secure, SameSite: http.SameSiteLaxMode})
		webui.Protect(rw.Header())
		http.Redirect(rw, r, page.Next, http.StatusSeeOther)
		return
	case throttled:
		page.Wait, status = int(wait/time.Second)+1, http.StatusTooManyRequests
	case w.opt.Credentials(err):
		page.Wrong = true
	default:
		w.fail(rw, r, v, err)
		return
	}
	w.render(rw, r, v, webui.Page{Template: "sign-in", Title: "sign-in.title", Status: status, Data: page})
}

// DoSignOut ends the session.
func (w *Web) DoSignOut(rw http.ResponseWriter, r *http.Request) {
	if !w.form(rw, r) {
		return
	}
	if c, err := r.Cookie(w.cookie()); err == nil {
		if err := w.opt.SignOut(r.Context(), c.Value); err != nil {
			w.fail(rw, r, &visitor{language: w.ui.Language(r, "")}, err)
			return
		}
	}
	http.SetCookie(rw, &http.Cookie{Name: w.cookie(), Path: "/", HttpOnly: true, Secure: w.opt.Secure, SameSite: http.SameSiteLaxMode, MaxAge: -1})
	http.Redirect(rw, r, "/sign-in", http.StatusSeeOther)
}
