package web

import (
	"errors"
	"net/http"
	"net/url"
	"time"

	"github.com/passerelle-cloud/passerelle/internal/webui"
	"github.com/passerelle-cloud/passerelle/operators/accounts"
	"github.com/passerelle-cloud/passerelle/operators/provider"
)

// What somebody went to the provider for.
const (
	toSignIn = "sign in"
	toProve  = "prove" // once more who they are
	toLink   = "link"
)

// away is the cookie that keeps, sealed, what somebody went to the provider for.
const away = "provider"

const callback = "/sign-in/provider/callback"

// Provider leads to the operator's OpenID provider, to sign in there.
func (w *Web) Provider(rw http.ResponseWriter, r *http.Request) {
	v, err := w.Guest(r, "")
	if err != nil {
		w.Fail(rw, r, v, err)
		return
	}
	purpose := toSignIn
	if v.Person != "" && r.URL.Query().Has("again") {
		purpose = toProve
	}
	w.leave(rw, r, v, purpose, next(r.URL.Query()))
}

// LinkProvider leads there to connect what the person has there with their account.
func (w *Web) LinkProvider(rw http.ResponseWriter, r *http.Request) {
	if v, ok := w.Proven(rw, r, "", fresh); ok {
		w.leave(rw, r, v, toLink, "/account?linked")
	}
}

func (w *Web) leave(rw http.ResponseWriter, r *http.Request, v *webui.Visitor, purpose, next string) {
	if w.opt.Provider == nil {
		w.Message(rw, r, v, http.StatusNotFound, "not-found")
		return
	}
	location, state, err := w.opt.Provider.Begin(r.Context(), w.origin(r)+callback, purpose == toProve)
	if err != nil {
		w.failed(rw, r, v, err)
		return
	}
	state.Purpose, state.Next = purpose, next
	sealed, err := state.Seal(w.opt.Secret)
	if err != nil {
		w.Fail(rw, r, v, err)
		return
	}
	w.setAway(rw, sealed, int(provider.Lifetime/time.Second))
	w.Redirect(rw, r, location)
}

func (w *Web) setAway(rw http.ResponseWriter, sealed string, seconds int) {
	http.SetCookie(rw, &http.Cookie{Name: away, Value: sealed, Path: "/sign-in/provider", HttpOnly: true, Secure: w.secure, SameSite: http.SameSiteLaxMode, MaxAge: seconds})
}

// ProviderCallback is where the provider sends the browser back to (OpenID Connect Core, section 3.1.2.5).
func (w *Web) ProviderCallback(rw http.ResponseWriter, r *http.Request) {
	v, err := w.Guest(r, "")
	if err != nil {
		w.Fail(rw, r, v, err)
		return
	}
	cookie, err := r.Cookie(away)
	if err != nil || w.opt.Provider == nil {
		w.Message(rw, r, v, http.StatusBadRequest, "provider-denied")
		return
	}
	w.setAway(rw, "", -1) // it serves once
	state, err := provider.Open(w.opt.Secret, cookie.Value, time.Now())
	var id provider.Identity
	if err == nil {
		id, err = w.opt.Provider.Finish(r.Context(), state, r.URL.Query())
	}
	if err != nil {
		w.failed(rw, r, v, err)
		return
	}
	if state.Purpose == toLink {
		w.link(rw, r, v, id)
		return
	}
	w.back(rw, r, v, state, id)
}

// failed says what went wrong at the provider.
func (w *Web) failed(rw http.ResponseWriter, r *http.Request, v *webui.Visitor, err error) {
	switch {
	case errors.Is(err, provider.ErrUnavailable):
		w.Warn(r, "the operator's OpenID provider does not answer", err)
		w.Message(rw, r, v, http.StatusServiceUnavailable, "provider-unavailable")
	case errors.Is(err, provider.ErrDenied), errors.Is(err, provider.ErrExpired):
		w.Message(rw, r, v, http.StatusForbidden, "provider-denied")
	case errors.Is(err, provider.ErrInvalid):
		w.Warn(r, "an answer of the operator's OpenID provider does not hold", err)
		w.Message(rw, r, v, http.StatusForbidden, "provider-denied")
	default:
		w.Fail(rw, r, v, err)
	}
}

// back signs somebody in who proved at the provider who they are, or lets them make an account.
func (w *Web) back(rw http.ResponseWriter, r *http.Request, v *webui.Visitor, state provider.State, id provider.Identity) {
	token, account, err := w.opt.Accounts.SignInIdentity(r.Context(), id.Issuer, id.Subject, w.client(r))
	if errors.Is(err, accounts.ErrNoAccount) {
		w.newcomer(rw, r, v, state, id)
		return
	}
	if err == nil && state.Purpose == toProve && account.Instance != v.Person { // somebody else: not who was asked
		err = errors.Join(accounts.ErrCredentials, w.opt.Accounts.End(r.Context(), token))
	}
	if f, status, ok := faultOf(err); ok {
		w.signIn(rw, r, v, signIn{Next: state.Next, Again: state.Purpose == toProve, Fault: f}, status)
		return
	}
	if err != nil {
		w.Fail(rw, r, v, err)
		return
	}
	w.in(rw, r, v, token, state.Next)
}

// newcomer is somebody whom the provider knows, and nobody here.
func (w *Web) newcomer(rw http.ResponseWriter, r *http.Request, v *webui.Visitor, state provider.State, id provider.Identity) {
	to, err := url.Parse(state.Next)
	if err != nil {
		w.Fail(rw, r, v, err)
		return
	}
	page := register{Provider: w.opt.ProviderName}
	if to.Path == "/register" {
		page.Invitation = to.Query().Get("invitation")
	}
	if v.Person != "" || !w.mayRegister(page.Invitation) {
		w.Message(rw, r, v, http.StatusForbidden, "provider-unknown")
		return
	}
	if page.Identity, err = id.Seal(w.opt.Secret); err != nil {
		w.Fail(rw, r, v, err)
		return
	}
	w.register(rw, r, page, http.StatusOK)
}

// link connects what somebody has at the provider with the account that they are signed in to.
func (w *Web) link(rw http.ResponseWriter, r *http.Request, v *webui.Visitor, id provider.Identity) {
	if v.Person == "" {
		w.Message(rw, r, v, http.StatusUnauthorized, "session-over")
		return
	}
	err := w.opt.Accounts.Link(r.Context(), v.Token, id.Issuer, id.Subject)
	if f, status, ok := faultOf(err); ok {
		w.account(rw, r, v, account{Fault: f}, status)
		return
	}
	switch {
	case errors.Is(err, accounts.ErrStale):
		w.Redirect(rw, r, withNext("/sign-in", "/account")+"&again=1")
	case err != nil:
		w.Fail(rw, r, v, err)
	default:
		w.Redirect(rw, r, "/account?linked")
	}
}

// UnlinkProvider undoes that.
func (w *Web) UnlinkProvider(rw http.ResponseWriter, r *http.Request) {
	if w.opt.Provider == nil {
		w.Message(rw, r, &webui.Visitor{Language: w.Language(r, "")}, http.StatusNotFound, "not-found")
		return
	}
	w.change(rw, r, "removed", func(v *webui.Visitor) error {
		return w.opt.Accounts.Unlink(r.Context(), v.Person, w.opt.Provider.Issuer())
	})
}

// identity opens what a form keeps of who somebody is at the provider.
func (w *Web) identity(sealed string) (provider.Identity, error) {
	id, err := provider.OpenIdentity(w.opt.Secret, sealed, time.Now())
	if err != nil {
		return id, errors.Join(accounts.ErrCredentials, err)
	}
	return id, nil
}
