package oauth

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/ory/fosite"
	"github.com/ory/fosite/handler/oauth2"

	"github.com/passerelle-cloud/passerelle/consent"
)

// Token gives tokens for codes, for refresh tokens, and to those who administer.
func (s *Server) Token(w http.ResponseWriter, r *http.Request) {
	c, err := s.authenticated(w, r, PathToken, true)
	if err == nil && c.binding == (binding{}) {
		err = unbound(c)
	}
	if err != nil {
		s.fail(w, r, err)
		return
	}
	var request fosite.AccessRequester
	var answer fosite.AccessResponder
	var failed error
	err = s.store.in(r.Context(), c, func(ctx context.Context, c *call) error {
		request, answer, failed = s.issue(ctx, r)
		if failed != nil && c.dealings.replayed {
			return nil // what was revoked because of it stays so
		}
		return failed
	})
	if failed == nil {
		failed = err
	}
	if failed != nil {
		s.fail(w, r, failed)
		return
	}
	w.Header().Set("DPoP-Nonce", s.proofs.nonces.current())
	s.fosite.WriteAccessResponse(r.Context(), w, request, answer)
}

// unbound says what is missing where a token would be bound to nothing: whoever stole it could use it.
func unbound(c *call) error {
	if c.client.CertBound {
		return fosite.ErrInvalidClient.WithHint("Its tokens are bound to its certificate (RFC 8705): present it.")
	}
	return errBadProof.WithHint("Tokens are bound to a key: send a DPoP proof (RFC 9449).")
}

func (s *Server) issue(ctx context.Context, r *http.Request) (fosite.AccessRequester, fosite.AccessResponder, error) {
	request, err := s.fosite.NewAccessRequest(ctx, r, &session{})
	if err != nil {
		return nil, nil, err
	}
	answer, err := s.fosite.NewAccessResponse(ctx, request)
	if err != nil {
		return nil, nil, unwrapped(err)
	}
	return request, answer, nil
}

// refresher gives new access tokens for refresh tokens, which stay what they are: FAPI 2.0 section 5.3.2.1 has no
// rotation, and fosite's own handler always rotates.
type refresher struct {
	s     *Server
	issue *oauth2.HandleHelper
}

func (h *refresher) CanSkipClientAuth(context.Context, fosite.AccessRequester) bool { return false }
func (h *refresher) CanHandleTokenEndpointRequest(_ context.Context, r fosite.AccessRequester) bool {
	return r.GetGrantTypes().ExactOne("refresh_token")
}

// HandleTokenEndpointRequest implements [fosite.TokenEndpointHandler].
func (h *refresher) HandleTokenEndpointRequest(ctx context.Context, r fosite.AccessRequester) error {
	row, err := h.s.token(ctx, kindRefresh, r.GetRequestForm().Get("refresh_token"))
	if errors.Is(err, fosite.ErrNotFound) || err == nil && row.service != r.GetClient().GetID() {
		return fosite.ErrInvalidGrant.WithHint("The refresh token is not valid any more, or not yours.")
	}
	if err != nil {
		return err
	}
	c, err := h.s.authority.OfServiceIn(ctx, callOf(ctx).dealings.tx, row.session.Consent, row.service)
	if err == nil && c.Moved != nil {
		return h.s.moved(&c)
	}
	if err != nil && !errors.Is(err, consent.ErrNotFound) {
		return err
	}
	for _, scope := range r.GetRequestedScopes() { // fewer may be asked for (RFC 6749 section 6)
		if !row.request.GrantedScope.Has(scope) {
			return fosite.ErrInvalidScope.WithHintf("The scope %q was not granted.", scope)
		}
	}
	scopes := r.GetRequestedScopes()
	if len(scopes) == 0 {
		scopes = row.request.GrantedScope
	}
	for _, scope := range scopes {
		r.GrantScope(scope)
	}
	r.SetSession(row.session)
	r.SetID(row.request.ID)
	row.session.SetExpiresAt(fosite.AccessToken, h.s.opt.Now().UTC().Add(accessLife))
	return nil
}

// PopulateTokenEndpointResponse implements [fosite.TokenEndpointHandler].
func (h *refresher) PopulateTokenEndpointResponse(ctx context.Context, r fosite.AccessRequester, answer fosite.AccessResponder) error {
	if !h.CanHandleTokenEndpointRequest(ctx, r) {
		return fosite.ErrUnknownRequest
	}
	_, err := h.issue.IssueAccessToken(ctx, accessLife, r, answer)
	return err
}

// binder comes last: it holds the token to its owner and to its consent, and says in the answer what was granted.
type binder struct{ s *Server }

func (h *binder) CanSkipClientAuth(context.Context, fosite.AccessRequester) bool { return false }
func (h *binder) CanHandleTokenEndpointRequest(context.Context, fosite.AccessRequester) bool {
	return true
}

// HandleTokenEndpointRequest implements [fosite.TokenEndpointHandler].
func (h *binder) HandleTokenEndpointRequest(ctx context.Context, r fosite.AccessRequester) error {
	c := callOf(ctx)
	own, ok := r.GetSession().(*session)
	if !ok {
		return errors.New("a session of another kind")
	}
	if own.Bound.JKT != "" && r.GetGrantTypes().ExactOne("authorization_code") && own.Bound.JKT != c.binding.JKT {
		return fosite.ErrInvalidGrant.WithHint("The code is bound to another DPoP key (RFC 9449 section 10).")
	}
	own.Bound = c.binding
	if r.GetGrantTypes().ExactOne("client_credentials") {
		for _, scope := range r.GetRequestedScopes() {
			if scope == scopeOpenID {
				return fosite.ErrInvalidScope.WithHint("Nobody is there to be known.")
			}
			r.GrantScope(scope)
		}
		if len(r.GetGrantedScopes()) == 0 {
			return fosite.ErrInvalidScope.WithHint("Client credentials are for administration: name a scope. Persons' data needs their consent.")
		}
		own.SetExpiresAt(fosite.AccessToken, h.s.opt.Now().UTC().Add(adminLife))
		return nil
	}
	standing, err := h.s.authority.OfServiceIn(ctx, c.dealings.tx, own.Consent, c.client.ID)
	if err != nil && !errors.Is(err, consent.ErrNotFound) {
		return err
	}
	if err != nil || !standing.Valid(h.s.opt.Now()) {
		return fosite.ErrInvalidGrant.WithHint("The consent is not valid any more.")
	}
	own.Until = standing.Expires
	for _, kind := range []fosite.TokenType{fosite.AccessToken, fosite.RefreshToken} {
		own.SetExpiresAt(kind, own.GetExpiresAt(kind))
	}
	return nil
}

// PopulateTokenEndpointResponse implements [fosite.TokenEndpointHandler].
func (h *binder) PopulateTokenEndpointResponse(ctx context.Context, r fosite.AccessRequester, answer fosite.AccessResponder) error {
	c := callOf(ctx)
	own, ok := r.GetSession().(*session)
	if !ok {
		return errors.New("a session of another kind")
	}
	answer.SetTokenType("DPoP")
	if own.Bound.JKT == "" {
		answer.SetTokenType("Bearer") // bound to the certificate: RFC 8705 section 3
	}
	if own.Consent == "" {
		return nil
	}
	standing, err := h.s.authority.OfServiceIn(ctx, c.dealings.tx, own.Consent, c.client.ID)
	if err != nil {
		return err
	}
	answer.SetExtra("authorization_details", standing.Details)
	answer.SetExtra("grant_id", own.Consent)
	if r.GetGrantedScopes().Has(scopeOpenID) {
		token, err := h.s.idToken(ctx, own, c.client.ID, answer.GetAccessToken())
		if err != nil {
			return err
		}
		answer.SetExtra("id_token", token)
	}
	return nil
}

// token finds a token that is not forged, not expired and not revoked; otherwise it returns [fosite.ErrNotFound].
func (s *Server) token(ctx context.Context, kind, token string) (*stored, error) {
	prefix := map[string]string{kindAccess: "ory_at_", kindRefresh: "ory_rt_"}[kind]
	if len(token) > 1000 || len(token) <= len(prefix) || token[:len(prefix)] != prefix || s.hmac.Validate(ctx, token[len(prefix):]) != nil {
		return nil, fosite.ErrNotFound
	}
	row, err := s.store.read(ctx, kind, s.hmac.Signature(token[len(prefix):]))
	if err != nil {
		return nil, err
	}
	if !row.active || !s.opt.Now().Before(row.expires) {
		return nil, fosite.ErrNotFound
	}
	return row, nil
}

// valid is token, for one whose consent is valid too, or whose person has taken it to another operator, which whoever calls
// looks at. The consent is returned where there is one.
func (s *Server) valid(ctx context.Context, kind, token string) (*stored, *consent.Consent, error) {
	row, err := s.token(ctx, kind, token)
	if err != nil || row.session.Consent == "" {
		return row, nil, err
	}
	c, err := s.authority.OfService(ctx, row.session.Consent, row.service)
	if errors.Is(err, consent.ErrNotFound) || err == nil && c.Moved == nil && !c.Valid(s.opt.Now()) {
		return nil, nil, fosite.ErrNotFound
	}
	if err != nil {
		return nil, nil, fmt.Errorf("look whether the consent stands: %w", err)
	}
	return row, &c, nil
}

// seconds is a time as JSON Web Tokens write it.
func seconds(t time.Time) int64 { return t.Unix() }
