// Package web is the pages on which a person signs in, makes an account, gets back into it, and keeps it: passkeys, the
// password, recovery codes, the recovery key for archives, and where they are signed in. It must never know what a
// person allowed, nor what is in an instance.
package web

import (
	"context"
	"embed"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/passerelle-cloud/passerelle/internal/webui"
	"github.com/passerelle-cloud/passerelle/operators/accounts"
	"github.com/passerelle-cloud/passerelle/operators/provider"
)

//go:embed templates scripts
var files embed.FS

// Entry says who may make an account.
type Entry string

// The ways in.
const (
	Closed  Entry = "closed"     // an administrator makes accounts
	Invited Entry = "invitation" // whoever has an invitation
	Open    Entry = "open"       // everybody
)

// Options are what the pages need. Provider may be nil; Entry is [Closed] if it is empty.
type Options struct {
	Accounts *accounts.Accounts
	Entry    Entry
	// Instance makes an instance; undo takes it back if no account comes of it. One that is there already is taken, but
	// by who was invited by its name: an administrator made it for them.
	Instance func(ctx context.Context, name string, invited bool) (undo func(context.Context) error, err error)
	// Provider is where persons of the operator sign in, and Secret (32 bytes) seals what their browsers keep meanwhile.
	Provider     *provider.Provider
	ProviderName string
	Secret       []byte
	ClientIP     func(*http.Request) string
}

// Web is the pages.
type Web struct {
	*webui.UI
	opt    Options
	secure bool
}

// New returns the pages.
func New(common webui.Options, opt Options) (*Web, error) {
	ui, err := webui.New(common, files)
	return &Web{UI: ui, opt: opt, secure: common.Secure}, err
}

// client is who asks.
func (w *Web) client(r *http.Request) accounts.Client {
	return accounts.Client{Address: w.opt.ClientIP(r), Agent: strings.ToValidUTF8(r.UserAgent(), "")}
}

// origin is where the browser thinks that it is (RFC 6454): passkeys are bound to it.
func (w *Web) origin(r *http.Request) string {
	if w.secure {
		return "https://" + r.Host
	}
	return "http://" + r.Host
}

// passkeys reports whether passkeys can work: browsers have them for host names by https, and for localhost.
func (w *Web) passkeys(r *http.Request) bool {
	host := r.Host
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	_, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return host == "localhost" || w.secure && err != nil
}

// fresh is how long ago somebody may have proved who they are who changes how they sign in.
const fresh = 10 * time.Minute

// in gives the browser a session, takes the one that it had, and leads on.
func (w *Web) in(rw http.ResponseWriter, r *http.Request, before *webui.Visitor, token, next string) {
	if before.Token != "" && before.Person != "" {
		if err := w.opt.Accounts.End(r.Context(), before.Token); err != nil {
			w.Fail(rw, r, before, err)
			return
		}
	}
	w.SetSession(rw, token)
	w.Redirect(rw, r, next)
}

// fault is what is wrong with what somebody typed: a text "fault.WHAT", or how long to wait.
type fault struct {
	What string
	Wait int // seconds
}

// faultOf says what is wrong in words, if it is what somebody typed.
func faultOf(err error) (fault, int, bool) {
	var throttled *accounts.ThrottledError
	switch {
	case errors.As(err, &throttled):
		return fault{"wait", int(throttled.RetryAfter/time.Second) + 1}, http.StatusTooManyRequests, true
	case errors.Is(err, accounts.ErrCredentials):
		return fault{What: "credentials"}, http.StatusUnauthorized, true
	case errors.Is(err, accounts.ErrTaken):
		return fault{What: "taken"}, http.StatusConflict, true
	case errors.Is(err, accounts.ErrNoInvitation):
		return fault{What: "invitation"}, http.StatusForbidden, true
	case errors.Is(err, accounts.ErrLast):
		return fault{What: "last"}, http.StatusConflict, true
	case errors.Is(err, accounts.ErrInvalid):
		return fault{What: "invalid"}, http.StatusBadRequest, true
	}
	return fault{}, 0, false
}

// agent says in a few words which browser somebody uses: "Firefox, Android".
func agent(text string) string {
	first := func(names ...string) string {
		for i := 0; i+1 < len(names); i += 2 {
			if strings.Contains(text, names[i]) {
				return names[i+1]
			}
		}
		return ""
	}
	browser := first("Edg/", "Edge", "OPR/", "Opera", "Firefox/", "Firefox", "Chrome/", "Chrome", "Safari/", "Safari", "curl/", "curl")
	system := first("Android", "Android", "iPhone", "iPhone", "iPad", "iPad", "Windows", "Windows", "Mac OS X", "macOS", "CrOS", "ChromeOS", "Linux", "Linux")
	switch {
	case browser != "" && system != "":
		return browser + ", " + system
	case browser+system != "":
		return browser + system
	case utf8.RuneCountInString(text) > 40:
		return string([]rune(text)[:40]) + "…"
	}
	return text
}

// next is where a form leads on.
func next(values url.Values) string { return webui.Local(values.Get("next")) }
