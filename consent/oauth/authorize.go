package oauth

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/ory/fosite"

	"github.com/passerelle-cloud/passerelle/consent"
)

// Authorize is where a service sends a person (RFC 6749 section 4.1.1, RFC 9126 section 4). It sends them on to the page
// on which they decide. To look at the page uses nothing up.
func (s *Server) Authorize(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Referrer-Policy", "no-referrer")
	query := r.URL.Query()
	if onlyOnce(query) != nil || query.Get("client_id") == "" || query.Get("request_uri") == "" {
		s.opt.Fault(w, r, http.StatusBadRequest, "not-pushed")
		return
	}
	p, expires, err := s.store.pushedAs(r.Context(), `uri`, hashOf(query.Get("request_uri")))
	switch {
	case err == nil && p.Service != query.Get("client_id"), errors.Is(err, fosite.ErrNotFound):
		s.opt.Fault(w, r, http.StatusBadRequest, "unknown-request") // the same for both
		return
	case err != nil:
		s.opt.Log.Error("an authorization failed", "error", err)
		s.opt.Fault(w, r, http.StatusServiceUnavailable, "unavailable")
		return
	}
	request, err := s.authority.Request(r.Context(), p.Request)
	if err != nil || request.State != consent.Requested || !s.opt.Now().Before(expires) {
		s.opt.Fault(w, r, http.StatusBadRequest, "too-late")
		return
	}
	http.Redirect(w, r, s.opt.Prompt(p.Request), http.StatusSeeOther)
}

// Granted returns what goes with a decision to grant, in its transaction: it makes the code, and sets where the person's
// browser goes with it.
func (s *Server) Granted(ctx context.Context, d consent.Decision, back *string) func(*sql.Tx, consent.Consent) error {
	return func(tx *sql.Tx, c consent.Consent) (err error) {
		*back, err = s.granted(ctx, tx, c, d.Request, d.Session.Authenticated)
		return err
	}
}

func (s *Server) granted(ctx context.Context, tx *sql.Tx, c consent.Consent, request string, authenticated time.Time) (string, error) {
	in := &call{dealings: dealings{tx: tx}}
	ctx = withCall(ctx, in)
	p, _, err := s.store.pushedAs(ctx, `request`, request)
	if err != nil {
		return "", fmt.Errorf("the request was not pushed: %w", err)
	}
	service, err := s.authority.ServiceIn(ctx, tx, p.Service)
	if err != nil {
		return "", err
	}
	in.client = &client{service}
	back, err := url.Parse(p.RedirectURI)
	if err != nil {
		return "", err
	}
	ar := fosite.NewAuthorizeRequest()
	ar.ResponseTypes, ar.RedirectURI, ar.Client, ar.ResponseMode = fosite.Arguments{"code"}, back, in.client, fosite.ResponseModeQuery
	ar.ID, ar.RequestedAt = request, s.opt.Now().UTC()
	ar.Form = url.Values{"redirect_uri": {p.RedirectURI}, "code_challenge": {p.Challenge}, "code_challenge_method": {"S256"}, "scope": {p.Scope}, "response_type": {"code"}}
	for _, scope := range strings.Fields(p.Scope) {
		if scope == scopeOpenID {
			ar.AppendRequestedScope(scope)
			ar.GrantScope(scope)
		}
	}
	answer, err := s.fosite.NewAuthorizeResponse(ctx, ar, &session{Consent: c.ID, Subject: s.Subject(c.Service, c.Person), Bound: binding{JKT: p.JKT},
		Nonce: p.Nonce, Auth: authenticated.UTC().Truncate(time.Second), Until: c.Expires})
	if err != nil {
		return "", fmt.Errorf("make the code: %w", err)
	}
	return s.back(p, url.Values{"code": {answer.GetCode()}}), nil
}

// Refused returns what goes with a refusal: it sets where the person's browser goes (RFC 6749 section 4.1.2.1).
func (s *Server) Refused(ctx context.Context, back *string) func(*sql.Tx, consent.Request) error {
	return func(tx *sql.Tx, r consent.Request) error {
		p, _, err := s.store.pushedAs(withCall(ctx, &call{dealings: dealings{tx: tx}}), `request`, r.ID)
		if err != nil {
			return fmt.Errorf("the request was not pushed: %w", err)
		}
		*back = s.back(p, url.Values{"error": {"access_denied"}, "error_description": {"The person said no."}})
		return nil
	}
}

// Locales are the languages that a service asks a page to be in (ui_locales), and the origin that the page's form leads
// to in the end, for its content security policy.
func (s *Server) Locales(ctx context.Context, request string) (locales, origin string, err error) {
	p, _, err := s.store.pushedAs(ctx, `request`, request)
	if err != nil {
		return "", "", err
	}
	back, err := url.Parse(p.RedirectURI)
	if err != nil {
		return "", "", err
	}
	return p.Locales, back.Scheme + "://" + back.Host, nil
}

// back adds what is answered to the redirect URI, with the state and the issuer (RFC 9207).
func (s *Server) back(p *pushed, answer url.Values) string {
	back, err := url.Parse(p.RedirectURI)
	if err != nil {
		return ""
	}
	query := back.Query()
	for name, values := range answer {
		query[name] = values
	}
	if p.State != "" {
		query.Set("state", p.State)
	}
	query.Set("iss", s.opt.Issuer)
	back.RawQuery = query.Encode()
	return back.String()
}
