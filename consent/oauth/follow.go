package oauth

import (
	"context"
	"crypto"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/json" // see assertion.go
	"github.com/ory/fosite"
	"github.com/ory/fosite/handler/oauth2"

	"github.com/passerelle-cloud/passerelle/consent"
	"github.com/passerelle-cloud/passerelle/internal/problem"
)

// A person who moves to another operator takes their consents along, and services follow without bothering them. Tokens
// never move: the operator whom the person leaves signs a statement to the service, which redeems it, once, where the
// person went, as an authorization grant (RFC 7523 section 2.1), with the key that both operators know it by.

const (
	grantFollow = "urn:ietf:params:oauth:grant-type:jwt-bearer"
	// TypeFollow is the typ of the statement: no other JWT of an operator is taken for one, nor it for another.
	TypeFollow = "passerelle-follow+jwt"
)

// following are the claims of the statement.
type following struct {
	Issuer   string   `json:"iss"` // operator id of whom the person left
	Subject  string   `json:"sub"` // grant_id there
	Audience string   `json:"aud"` // issuer of tokens where they went
	ID       string   `json:"jti"`
	Issued   int64    `json:"iat"`
	Expires  int64    `json:"exp"`
	Client   string   `json:"client_id"` // of the service there
	Move     string   `json:"move"`
	Grant    string   `json:"grant_id"` // where they went
	Revision int      `json:"revision"` // at which the consent stood
	Keys     []string `json:"jkts"`     // thumbprints (RFC 7638) of the keys by which the service is known
}

// relocation tells a service where a person has gone.
type relocation struct {
	Issuer    string `json:"issuer"`
	Operator  string `json:"operator"`
	Grant     string `json:"grant_id"`            // there
	Statement string `json:"statement,omitempty"` // to be redeemed there
	At        string `json:"statement_endpoint"`  // where a new one is had
	Until     int64  `json:"statement_until"`
}

// Moved is the denial for a token whose person has gone to another operator: where, and where the service gets what lets it
// follow.
type Moved struct{ to relocation }

func (m *Moved) Error() string { return "the person has moved to " + m.to.Operator }

func (s *Server) moved(c *consent.Consent) error { return &Moved{*s.relocated(c)} }

// how says what the service does next.
func (m *Moved) how() string {
	return "The person has moved to another operator. Get a statement at statement_endpoint, with a token of the scope grant_management_query, and redeem it at the token endpoint of issuer with grant_type=" + grantFollow + "."
}

// problem is what is answered to whoever reads.
func (m *Moved) problem() problem.Problem {
	return problem.Problem{Type: "moved", Title: "The person has moved to another operator", Status: http.StatusGone, Detail: m.how(), More: map[string]any{
		"issuer": m.to.Issuer, "operator": m.to.Operator, "grant_id": m.to.Grant, "statement_endpoint": m.to.At, "statement_until": m.to.Until}}
}

// refuse answers at the token endpoint.
func (m *Moved) refuse(w http.ResponseWriter) {
	answerJSON(w, http.StatusBadRequest, struct {
		Code  string     `json:"error"`
		Text  string     `json:"error_description"`
		Moved relocation `json:"moved"`
	}{"invalid_grant", m.how(), m.to})
}

// relocated says where the person of a consent has gone; nil if they have not.
func (s *Server) relocated(c *consent.Consent) *relocation {
	if c == nil || c.Moved == nil {
		return nil
	}
	m := c.Moved
	return &relocation{Issuer: m.Issuer, Operator: m.Operator, Grant: m.Grant, At: s.opt.Issuer + PathGrants + "/" + url.PathEscape(c.ID), Until: seconds(m.Until())}
}

// Relocation is [Server.Statement] with what goes around it, as events tell it; nil if the person has not moved, or it is too
// late to follow.
func (s *Server) Relocation(ctx context.Context, id, service string) (any, error) {
	c, err := s.authority.OfService(ctx, id, service)
	if err != nil {
		return nil, err
	}
	r := s.relocated(&c)
	if r == nil {
		return nil, nil
	}
	r.Statement, err = s.statement(ctx, &c)
	return r, err
}

// statement lets a service follow a person with a consent that stood when they moved; "" if it is too late. Each has an id of
// its own, so that a service whose answer was lost gets another.
func (s *Server) statement(ctx context.Context, c *consent.Consent) (string, error) {
	now := s.opt.Now()
	if c.Moved == nil || !now.Before(c.Moved.Until()) || s.opt.Operator == "" {
		return "", nil
	}
	service, err := s.authority.Service(ctx, c.Service)
	if err != nil {
		return "", err
	}
	return s.Sign(ctx, TypeFollow, following{Issuer: s.opt.Operator, Subject: c.ID, Audience: c.Moved.Issuer, ID: rand.Text(), Issued: seconds(now), Expires: seconds(c.Moved.Until()),
		Client: c.Service, Move: c.Moved.Move, Grant: c.Moved.Grant, Revision: c.Moved.Revision, Keys: s.Keys(ctx, service)})
}

// Keys are the thumbprints (RFC 7638) of the keys with which a service proves itself; none, if there is no key that could be
// named, or they cannot be had now.
func (s *Server) Keys(ctx context.Context, service *consent.Service) []string {
	list := []string{}
	keys, err := s.clients.keys.of(ctx, service, "")
	if err != nil || service.Auth == consent.TLSClientAuth {
		return list
	}
	for _, k := range keys {
		if t := thumbprint(k); t != "" {
			list = append(list, t)
		}
	}
	return list
}

func thumbprint(key jose.JSONWebKey) string {
	sum, err := key.Thumbprint(crypto.SHA256)
	if err != nil {
		return ""
	}
	return base64.RawURLEncoding.EncodeToString(sum)
}

// keyOf is the thumbprint of the key with which a request was authenticated; "" if it has none.
func (a *clientAuth) keyOf(ctx context.Context, r *http.Request, service *consent.Service) string {
	if service.Auth != consent.PrivateKeyJWT {
		if r.TLS == nil || len(r.TLS.PeerCertificates) == 0 {
			return ""
		}
		return thumbprint(jose.JSONWebKey{Key: r.TLS.PeerCertificates[0].PublicKey})
	}
	signed, err := parseJWS(r.PostForm.Get("client_assertion"))
	if err != nil {
		return ""
	}
	keys, err := a.keys.of(ctx, service, signed.kid)
	if err != nil {
		return ""
	}
	at := slices.IndexFunc(keys, func(k jose.JSONWebKey) bool {
		return fits(k.Key, jose.SignatureAlgorithm(signed.alg)) && signed.verify(k.Key)
	})
	if at < 0 {
		return ""
	}
	return thumbprint(keys[at])
}

// follower gives tokens for statements.
type follower struct {
	s     *Server
	issue *oauth2.HandleHelper
}

func (h *follower) CanSkipClientAuth(context.Context, fosite.AccessRequester) bool { return false }
func (h *follower) CanHandleTokenEndpointRequest(_ context.Context, r fosite.AccessRequester) bool {
	return r.GetGrantTypes().ExactOne(grantFollow)
}

// HandleTokenEndpointRequest implements [fosite.TokenEndpointHandler].
func (h *follower) HandleTokenEndpointRequest(ctx context.Context, r fosite.AccessRequester) error {
	if len(r.GetRequestedScopes()) > 0 {
		return fosite.ErrInvalidScope.WithHint("A statement gives what the consent holds, and no scope.")
	}
	f, err := h.s.opened(ctx, r.GetRequestForm().Get("assertion"))
	if err != nil {
		return err
	}
	c, err := h.s.follows(ctx, f)
	if err != nil {
		return err
	}
	own, ok := r.GetSession().(*session)
	if !ok {
		return errors.New("a session of another kind")
	}
	own.Consent, own.Subject, own.Until = c.ID, h.s.Subject(c.Service, c.Person), c.Expires
	now := h.s.opt.Now().UTC()
	own.SetExpiresAt(fosite.AccessToken, now.Add(accessLife))
	own.SetExpiresAt(fosite.RefreshToken, c.Expires)
	return nil
}

// opened checks what a statement says of itself: who signed it, for whom, and until when.
func (s *Server) opened(ctx context.Context, assertion string) (*following, error) {
	refused := func(why string) error { return fosite.ErrInvalidGrant.WithHint("The statement " + why) }
	if s.opt.Vouched == nil || assertion == "" || len(assertion) > maxJWS {
		return nil, refused("is missing, or larger than it can be.")
	}
	said, err := parseJWS(assertion)
	var f following
	if err != nil || json.Unmarshal(said.payload, &f) != nil { // to find who signed it; it is verified below
		return nil, refused("is not one that an operator signed.")
	}
	payload, err := s.opt.Vouched(ctx, f.Issuer, TypeFollow, assertion, time.Unix(f.Issued, 0))
	if err != nil {
		s.opt.Log.Info("a statement is refused", "error", err)
		return nil, refused("is not signed by an operator that is trusted here, or with another key.")
	}
	f = following{}
	if err := json.Unmarshal(payload, &f); err != nil {
		return nil, refused("is not one that an operator signed.")
	}
	now := s.opt.Now()
	switch {
	case f.Audience != s.opt.Issuer:
		return nil, refused("is for another operator.")
	case f.ID == "" || len(f.ID) > maxID:
		return nil, refused("has no jti.")
	case now.Before(time.Unix(f.Issued, 0).Add(-clockSkew)):
		return nil, refused("is of a time that has not come.")
	case !now.Before(time.Unix(f.Expires, 0)), f.Expires-f.Issued > int64((consent.Grace+time.Hour)/time.Second):
		return nil, refused("has expired: ask the person again.")
	}
	return &f, nil
}

// follows finds the consent that a statement is about, if whoever calls is the service that it is for, by the same key.
func (s *Server) follows(ctx context.Context, f *following) (*consent.Consent, error) {
	in := callOf(ctx)
	c, err := s.authority.Redeemable(ctx, in.dealings.tx, f.Issuer, f.Subject, f.Move, in.client.ID)
	switch {
	case errors.Is(err, consent.ErrNotFound):
		return nil, fosite.ErrInvalidGrant.WithHint("No consent has come here for that statement and this client.")
	case err != nil:
		return nil, err
	case c.ID != f.Grant || c.Origin.Revision != f.Revision:
		return nil, fosite.ErrInvalidGrant.WithHint("The consent came here as another revision than the statement says.")
	case in.key == "" || !slices.Contains(f.Keys, in.key) || !slices.Contains(c.Origin.Keys, in.key):
		return nil, fosite.ErrInvalidGrant.WithHint("The statement is for the key by which both operators know the client: authenticate with that one.")
	case c.State == consent.Requested:
		return nil, fosite.ErrInvalidGrant.WithHint("The person has to confirm the consent here first: the statement can be redeemed when they have.")
	case !c.Valid(s.opt.Now()):
		return nil, fosite.ErrInvalidGrant.WithHint("The consent is not valid any more.")
	}
	err = s.store.once(ctx, "follow", f.Issuer, f.ID, time.Unix(f.Expires, 0).Add(clockSkew))
	if errors.Is(err, errReplay) {
		return nil, fosite.ErrInvalidGrant.WithHint("The statement was used before: get another one where you got it.")
	}
	return &c, err
}

// PopulateTokenEndpointResponse implements [fosite.TokenEndpointHandler].
func (h *follower) PopulateTokenEndpointResponse(ctx context.Context, r fosite.AccessRequester, answer fosite.AccessResponder) error {
	if !h.CanHandleTokenEndpointRequest(ctx, r) {
		return fosite.ErrUnknownRequest
	}
	token, signature, err := h.s.tokens.GenerateRefreshToken(ctx, r)
	if err != nil {
		return fmt.Errorf("make a refresh token: %w", err)
	}
	if err := h.s.store.CreateRefreshTokenSession(ctx, signature, "", r.Sanitize(nil)); err != nil {
		return err
	}
	answer.SetExtra("refresh_token", token)
	_, err = h.issue.IssueAccessToken(ctx, accessLife, r, answer)
	return err
}
