package web

import (
	"context"
	"errors"
	"net/http"

	"filippo.io/age"

	"github.com/passerelle-cloud/passerelle/internal/webui"
	"github.com/passerelle-cloud/passerelle/operators/accounts"
)

// account is what the page of an account shows.
type account struct {
	Passkeys   []accounts.Passkey
	New        *passkey // to add one
	HasPass    bool
	Reset      bool // a new password can be set without the old one
	Codes      int  // recovery codes that are left
	Key        string
	Sessions   []session
	Apps       []accounts.AppPassword
	Identities []accounts.Identity
	Provider   string
	Fault      fault
	Done       string // what was done just now: a text "account.done-WHAT"
}

// session is one place where the person is signed in.
type session struct {
	accounts.Session
	Browser string
	Here    bool
}

// dones are what the page says of what was done just now.
var dones = []string{"welcome", "recovered", "passkey", "removed", "password", "key", "ended", "linked", "revoked"}

// Account shows how a person signs in, and where they are signed in.
func (w *Web) Account(rw http.ResponseWriter, r *http.Request) {
	v, ok := w.Visitor(rw, r, "")
	if !ok {
		return
	}
	page := account{}
	for _, d := range dones {
		if r.URL.Query().Has(d) {
			page.Done = d
		}
	}
	w.account(rw, r, v, page, http.StatusOK)
}

func (w *Web) account(rw http.ResponseWriter, r *http.Request, v *webui.Visitor, page account, status int) {
	if err := w.gather(r, v, &page); err != nil {
		w.Fail(rw, r, v, err)
		return
	}
	w.Render(rw, r, v, webui.Page{Template: "account", Title: "account.title", Section: "account", Script: "passkey", Status: status, Data: page})
}

func (w *Web) gather(r *http.Request, v *webui.Visitor, page *account) (err error) {
	ctx, a := r.Context(), w.opt.Accounts
	if page.Passkeys, err = a.Passkeys(ctx, v.Person); err != nil {
		return err
	}
	if page.HasPass, err = a.HasPassword(ctx, v.Person); err != nil {
		return err
	}
	if page.Codes, err = a.RecoveryCodes(ctx, v.Person); err != nil {
		return err
	}
	if page.Key, err = a.RecoveryKey(ctx, v.Person); err != nil {
		return err
	}
	if page.Apps, err = a.AppPasswords(ctx, v.Person); err != nil {
		return err
	}
	if page.Identities, err = a.Identities(ctx, v.Person); err != nil {
		return err
	}
	if w.opt.Provider != nil {
		page.Provider = w.opt.ProviderName
	}
	page.Reset = !page.HasPass || v.Method != string(accounts.ByPassword) && v.Fresh(fresh)
	if w.passkeys(r) {
		c, err := a.NewPasskey(ctx, v.Token, w.origin(r))
		if err != nil {
			return err
		}
		page.New = passkeyOf(c)
	}
	page.Sessions, err = w.sessions(ctx, v)
	return err
}

func (w *Web) sessions(ctx context.Context, v *webui.Visitor) (list []session, err error) {
	here, err := w.opt.Accounts.Session(ctx, v.Token)
	if err != nil {
		return nil, err
	}
	all, err := w.opt.Accounts.Sessions(ctx, v.Person)
	for _, s := range all {
		list = append(list, session{s, agent(s.Agent), s.ID == here.ID})
	}
	return list, err
}

// change runs what a form of the page asks, for who proved who they are just now, and says what came of it.
func (w *Web) change(rw http.ResponseWriter, r *http.Request, done string, do func(v *webui.Visitor) error) {
	if !w.Form(rw, r) {
		return
	}
	r.PostForm.Set("back", "/account")
	v, ok := w.Proven(rw, r, "", fresh)
	if !ok {
		return
	}
	err := do(v)
	if f, status, ok := faultOf(err); ok {
		w.account(rw, r, v, account{Fault: f}, status)
		return
	}
	switch {
	case errors.Is(err, accounts.ErrStale):
		w.Redirect(rw, r, withNext("/sign-in", "/account")+"&again=1")
	case errors.Is(err, accounts.ErrNoSession):
		w.Message(rw, r, v, http.StatusUnauthorized, "session-over")
	case err != nil:
		w.Fail(rw, r, v, err)
	case done != "":
		w.Redirect(rw, r, "/account?"+done)
	}
}

// AddPasskey adds a passkey.
func (w *Web) AddPasskey(rw http.ResponseWriter, r *http.Request) {
	w.change(rw, r, "passkey", func(v *webui.Visitor) error {
		_, err := w.opt.Accounts.AddPasskey(r.Context(), v.Token, w.origin(r), r.PostForm.Get("ceremony"), r.PostForm.Get("passkey-name"), []byte(r.PostForm.Get("response")))
		return err
	})
}

// RemovePasskey removes a passkey.
func (w *Web) RemovePasskey(rw http.ResponseWriter, r *http.Request) {
	w.change(rw, r, "removed", func(v *webui.Visitor) error {
		return w.opt.Accounts.RemovePasskey(r.Context(), v.Person, r.PathValue("id"))
	})
}

// Password sets or changes the password.
func (w *Web) Password(rw http.ResponseWriter, r *http.Request) {
	var token string
	w.change(rw, r, "", func(v *webui.Visitor) (err error) {
		if r.PostForm.Has("old") {
			token, err = w.opt.Accounts.ChangePassword(r.Context(), v.Token, r.PostForm.Get("old"), r.PostForm.Get("new"), w.client(r))
		} else {
			token, err = w.opt.Accounts.ResetPassword(r.Context(), v.Token, r.PostForm.Get("new"), w.client(r))
		}
		if err == nil {
			w.SetSession(rw, token)
			w.Redirect(rw, r, "/account?password")
		}
		return err
	})
}

// secrets are what a page shows once.
type secrets struct {
	Codes    []string
	Identity string // of the recovery key
	Key      string
}

// Codes makes new recovery codes, and shows them this once.
func (w *Web) Codes(rw http.ResponseWriter, r *http.Request) {
	w.change(rw, r, "", func(v *webui.Visitor) error {
		codes, err := w.opt.Accounts.NewRecoveryCodes(r.Context(), v.Token)
		if err == nil {
			w.Render(rw, r, v, webui.Page{Template: "codes", Title: "codes.title", Section: "account", Data: secrets{Codes: codes}})
		}
		return err
	})
}

// Key sets the recovery key for archives: one that the person has, a new one that is shown this once, or none.
func (w *Web) Key(rw http.ResponseWriter, r *http.Request) {
	if !w.Form(rw, r) {
		return
	}
	switch r.PostForm.Get("what") {
	case "make":
		w.change(rw, r, "", func(v *webui.Visitor) error {
			key, err := age.GenerateX25519Identity()
			if err == nil {
				err = w.opt.Accounts.SetRecoveryKey(r.Context(), v.Person, key.Recipient().String())
			}
			if err == nil {
				w.Render(rw, r, v, webui.Page{Template: "key", Title: "key.title", Section: "account", Data: secrets{Identity: key.String(), Key: key.Recipient().String()}})
			}
			return err
		})
	case "own":
		w.change(rw, r, "key", func(v *webui.Visitor) error {
			if r.PostForm.Get("recipient") == "" {
				return accounts.ErrInvalid
			}
			return w.opt.Accounts.SetRecoveryKey(r.Context(), v.Person, r.PostForm.Get("recipient"))
		})
	default:
		w.change(rw, r, "key", func(v *webui.Visitor) error { return w.opt.Accounts.SetRecoveryKey(r.Context(), v.Person, "") })
	}
}

// EndSession signs the person out at one place, or everywhere but here. It needs no proof: it takes away.
func (w *Web) EndSession(rw http.ResponseWriter, r *http.Request) {
	v, ok := w.Posted(rw, r)
	if !ok {
		return
	}
	var err error
	if id := r.PostForm.Get("session"); id != "" {
		err = w.opt.Accounts.EndSession(r.Context(), v.Person, id)
	} else {
		err = w.opt.Accounts.EndOthers(r.Context(), v.Token)
	}
	if err != nil {
		w.Fail(rw, r, v, err)
		return
	}
	w.Redirect(rw, r, "/account?ended")
}
