package web

import (
	"net/http"

	"github.com/passerelle-cloud/passerelle/internal/webui"
)

// app is a new app password, with what else somebody types into a program.
type app struct {
	Password, Origin string
}

// AddApp makes an app password, and shows it this once.
func (w *Web) AddApp(rw http.ResponseWriter, r *http.Request) {
	w.change(rw, r, "", func(v *webui.Visitor) error {
		password, err := w.opt.Accounts.NewAppPassword(r.Context(), v.Token, r.PostForm.Get("app-name"))
		if err == nil {
			w.Render(rw, r, v, webui.Page{Template: "app", Title: "app.title", Section: "account", Data: app{password, w.origin(r)}})
		}
		return err
	})
}

// RevokeApp ends an app password. It needs no proof: it takes away.
func (w *Web) RevokeApp(rw http.ResponseWriter, r *http.Request) {
	v, ok := w.Posted(rw, r)
	if !ok {
		return
	}
	if err := w.opt.Accounts.RevokeAppPassword(r.Context(), v.Person, r.PathValue("id")); err != nil {
		w.Fail(rw, r, v, err)
		return
	}
	w.Redirect(rw, r, "/account?revoked")
}
