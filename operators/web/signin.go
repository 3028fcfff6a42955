package web

import (
	"encoding/json"
	"net/http"
	"net/url"

	"github.com/passerelle-cloud/passerelle/internal/webui"
	"github.com/passerelle-cloud/passerelle/operators/accounts"
)

// signIn is what the page to sign in shows.
type signIn struct {
	Next, Name string
	Again      bool // they are signed in, and prove once more who they are
	Passkey    *passkey
	Provider   string // its name; "" if there is none
	Register   bool
	Fault      fault
}

// passkey is what the page's script asks the browser for.
type passkey struct {
	Options  string // JSON
	Ceremony string
}

func passkeyOf(c accounts.Challenge) *passkey { return &passkey{string(c.Options), c.Ceremony} }

// SignIn shows the page to sign in.
func (w *Web) SignIn(rw http.ResponseWriter, r *http.Request) {
	v, err := w.Guest(r, "")
	if err != nil {
		w.Fail(rw, r, v, err)
		return
	}
	w.signIn(rw, r, v, signIn{Next: next(r.URL.Query()), Again: v.Person != "" && r.URL.Query().Has("again")}, http.StatusOK)
}

// probe is a cookie that says that the browser keeps cookies.
const probe = "probe"

func (w *Web) signIn(rw http.ResponseWriter, r *http.Request, v *webui.Visitor, page signIn, status int) {
	if page.Again {
		page.Name = v.Person
	}
	page.Register = w.opt.Entry == Open && !page.Again
	if w.opt.Provider != nil {
		page.Provider = w.opt.ProviderName
	}
	if w.passkeys(r) {
		c, err := w.opt.Accounts.PasskeyChallenge(r.Context(), w.origin(r))
		if err != nil {
			w.Fail(rw, r, v, err)
			return
		}
		page.Passkey = passkeyOf(c)
	}
	http.SetCookie(rw, &http.Cookie{Name: probe, Value: "1", Path: "/sign-in", HttpOnly: true, Secure: w.secure, SameSite: http.SameSiteLaxMode})
	w.Render(rw, r, v, webui.Page{Template: "sign-in", Title: "sign-in.title", Script: "passkey", Status: status, Data: page})
}

// DoSignIn signs a person in, by a passkey or a password. Each time they get a session that nobody had before.
func (w *Web) DoSignIn(rw http.ResponseWriter, r *http.Request) {
	if !w.Form(rw, r) {
		return
	}
	v, err := w.Guest(r, "")
	if err != nil {
		w.Fail(rw, r, v, err)
		return
	}
	if _, err := r.Cookie(probe); err != nil && r.PostForm.Has(probe) {
		w.Message(rw, r, v, http.StatusBadRequest, "cookies-off")
		return
	}
	page := signIn{Next: next(r.PostForm), Name: r.PostForm.Get("name"), Again: v.Person != "" && r.PostForm.Has("again")}
	token, account, err := w.prove(r, page.Name)
	if err == nil && page.Again && account.Instance != v.Person { // somebody else: not who was asked
		err = accounts.ErrCredentials
		if e := w.opt.Accounts.End(r.Context(), token); e != nil {
			err = e
		}
	}
	if f, status, ok := faultOf(err); ok {
		page.Fault = f
		w.signIn(rw, r, v, page, status)
		return
	}
	if err != nil {
		w.Fail(rw, r, v, err)
		return
	}
	w.in(rw, r, v, token, page.Next)
}

// prove finds out who somebody is.
func (w *Web) prove(r *http.Request, name string) (string, accounts.Account, error) {
	if response := r.PostForm.Get("response"); response != "" {
		return w.opt.Accounts.SignInPasskey(r.Context(), w.origin(r), r.PostForm.Get("ceremony"), []byte(response), w.client(r))
	}
	return w.opt.Accounts.SignIn(r.Context(), name, r.PostForm.Get("password"), w.client(r))
}

// DoSignOut ends the session.
func (w *Web) DoSignOut(rw http.ResponseWriter, r *http.Request) {
	if !w.Form(rw, r) {
		return
	}
	v, err := w.Guest(r, "")
	if err == nil && v.Token != "" {
		err = w.opt.Accounts.End(r.Context(), v.Token)
	}
	if err != nil {
		w.Fail(rw, r, v, err)
		return
	}
	w.SetSession(rw, "")
	w.Redirect(rw, r, "/sign-in")
}

// recovery is what the page shows on which somebody gets back in who has nothing to sign in with.
type recovery struct {
	Name  string
	Fault fault
}

// Recover shows the page to get back in by a recovery code.
func (w *Web) Recover(rw http.ResponseWriter, r *http.Request) {
	w.recover(rw, r, recovery{}, http.StatusOK)
}

func (w *Web) recover(rw http.ResponseWriter, r *http.Request, page recovery, status int) {
	v := &webui.Visitor{Language: w.Language(r, "")}
	w.Render(rw, r, v, webui.Page{Template: "recover", Title: "recover.title", Status: status, Data: page})
}

// DoRecover signs somebody in by a recovery code, and leads where they make a new passkey, or a new password.
func (w *Web) DoRecover(rw http.ResponseWriter, r *http.Request) {
	if !w.Form(rw, r) {
		return
	}
	page := recovery{Name: r.PostForm.Get("name")}
	token, _, err := w.opt.Accounts.Recover(r.Context(), page.Name, r.PostForm.Get("code"), w.client(r))
	if f, status, ok := faultOf(err); ok {
		page.Fault = f
		w.recover(rw, r, page, status)
		return
	}
	if err != nil {
		w.Fail(rw, r, &webui.Visitor{Language: w.Language(r, "")}, err)
		return
	}
	w.in(rw, r, &webui.Visitor{}, token, "/account?recovered")
}

// register is what the page shows on which somebody makes an account.
type register struct {
	Invitation string
	Name       string
	Fixed      bool // the invitation is for that name
	Passkey    *passkey
	Identity   string // sealed: who they are at the operator's provider
	Provider   string
	Fault      fault
}

// Register shows the page to make an account, to whom that is open.
func (w *Web) Register(rw http.ResponseWriter, r *http.Request) {
	w.register(rw, r, register{Invitation: r.URL.Query().Get("invitation")}, http.StatusOK)
}

func (w *Web) register(rw http.ResponseWriter, r *http.Request, page register, status int) {
	v := &webui.Visitor{Language: w.Language(r, "")}
	if !w.mayRegister(page.Invitation) {
		w.Message(rw, r, v, http.StatusForbidden, "no-registration")
		return
	}
	if page.Invitation != "" {
		name, err := w.opt.Accounts.Invitation(r.Context(), page.Invitation)
		if _, _, ok := faultOf(err); ok {
			w.Message(rw, r, v, http.StatusForbidden, "invitation-over")
			return
		}
		if err != nil {
			w.Fail(rw, r, v, err)
			return
		}
		if page.Fixed = name != ""; page.Fixed {
			page.Name = name
		}
	}
	if w.opt.Provider != nil {
		page.Provider = w.opt.ProviderName
	}
	if w.passkeys(r) && page.Identity == "" {
		c, err := w.opt.Accounts.RegistrationChallenge(r.Context(), w.origin(r))
		if err != nil {
			w.Fail(rw, r, v, err)
			return
		}
		page.Passkey = passkeyOf(c)
	}
	w.Render(rw, r, v, webui.Page{Template: "register", Title: "register.title", Script: "passkey", Status: status, Data: page})
}

func (w *Web) mayRegister(invitation string) bool {
	return w.opt.Entry == Open || w.opt.Entry == Invited && invitation != ""
}

// DoRegister makes an account and its instance, and signs in.
func (w *Web) DoRegister(rw http.ResponseWriter, r *http.Request) {
	if !w.Form(rw, r) {
		return
	}
	form := r.PostForm
	page := register{Invitation: form.Get("invitation"), Name: form.Get("name"), Identity: form.Get("identity")}
	v := &webui.Visitor{Language: w.Language(r, "")}
	if !w.mayRegister(page.Invitation) {
		w.Message(rw, r, v, http.StatusForbidden, "no-registration")
		return
	}
	token, err := w.enter(r, page)
	if f, status, ok := faultOf(err); ok {
		page.Fault = f
		w.register(rw, r, page, status)
		return
	}
	if err != nil {
		w.Fail(rw, r, v, err)
		return
	}
	w.in(rw, r, &webui.Visitor{}, token, "/account?welcome")
}

// enter makes the instance first, and takes it back if no account comes of it.
func (w *Web) enter(r *http.Request, page register) (token string, err error) {
	ctx := r.Context()
	reg := accounts.Registration{Name: page.Name, Invitation: page.Invitation, Password: r.PostForm.Get("password")}
	if response := r.PostForm.Get("response"); response != "" {
		reg.Password, reg.Origin, reg.Ceremony, reg.Response = "", w.origin(r), r.PostForm.Get("ceremony"), json.RawMessage(response)
		reg.Passkey = agent(r.UserAgent())
	}
	if page.Identity != "" {
		id, err := w.identity(page.Identity)
		if err != nil {
			return "", err
		}
		reg.Password, reg.Issuer, reg.Subject = "", id.Issuer, id.Subject
	}
	invited := ""
	if page.Invitation != "" {
		if invited, err = w.opt.Accounts.Invitation(ctx, page.Invitation); err != nil {
			return "", err
		}
		if invited != "" {
			reg.Name = invited
		}
	}
	undo, err := w.opt.Instance(ctx, reg.Name, invited != "")
	if err != nil {
		return "", err
	}
	token, _, err = w.opt.Accounts.Register(ctx, reg, w.client(r))
	if err != nil {
		if e := undo(ctx); e != nil {
			return "", e
		}
	}
	return token, err
}

// withNext is an address with where to go on.
func withNext(path, next string) string { return path + "?" + url.Values{"next": {next}}.Encode() }
