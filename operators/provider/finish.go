package provider

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"net/http"
	"net/url"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
)

// Finish checks what came back: the query of the redirect, then the ID token that its code is exchanged for (OpenID
// Connect Core, section 3.1.3.7). The error wraps [ErrDenied], [ErrUnavailable], [ErrInvalid] or [ErrExpired].
func (p *Provider) Finish(ctx context.Context, s State, query url.Values) (Identity, error) {
	if err := p.checkState(s, query); err != nil {
		return Identity{}, err
	}
	there, err := p.discover(ctx)
	if err != nil {
		return Identity{}, err
	}
	code, err := p.code(query, there.saysIssuer)
	if err != nil {
		return Identity{}, err
	}
	ctx, cancel := context.WithTimeout(oidc.ClientContext(ctx, p.client), patience)
	defer cancel()
	token, err := p.oauth2(there, s.Redirect).Exchange(ctx, code, oauth2.VerifierOption(s.Verifier))
	if err != nil {
		return Identity{}, exchangeError(err)
	}
	proved, err := p.verify(ctx, there, token)
	if err != nil {
		return Identity{}, err
	}
	return p.identity(s, proved)
}

// checkState refuses a redirect that does not answer what this browser was sent away with, lately, to this provider (RFC
// 9700, sections 4.4 and 4.7).
func (p *Provider) checkState(s State, query url.Values) error {
	if err := inTime(s.Begun, p.config.Now()); err != nil {
		return err
	}
	for _, name := range []string{"state", "iss", "error", "code"} {
		if len(query[name]) > 1 {
			return invalid(name + " is there twice") // RFC 6749, section 3.1
		}
	}
	if !same(query.Get("state"), s.State) {
		return invalid("the state is another one")
	}
	if s.Issuer != p.config.Issuer {
		return invalid("it was begun at another provider")
	}
	return nil
}

// same compares what is secret; nothing is the same as "".
func same(a, b string) bool { return a != "" && subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }

// code is the authorization code that the redirect brings.
func (p *Provider) code(query url.Values, saysIssuer bool) (string, error) {
	if (saysIssuer || query.Has("iss")) && query.Get("iss") != p.config.Issuer { // RFC 9207, section 2.4
		return "", invalid("another issuer answers")
	}
	switch fault := query.Get("error"); fault {
	case "":
	case "temporarily_unavailable", "server_error":
		return "", unavailable(errors.New(fault))
	default:
		return "", fmt.Errorf("%w (%.40q)", ErrDenied, fault)
	}
	if query.Get("code") == "" {
		return "", invalid("there is no code")
	}
	return query.Get("code"), nil
}

// exchangeError tells a provider that refuses a code from one that is broken, or does not know us. It never quotes the
// answer, which may hold tokens.
func exchangeError(err error) error {
	var refused *oauth2.RetrieveError
	if !errors.As(err, &refused) {
		return unavailable(err)
	}
	status := refused.Response.StatusCode
	switch {
	case refused.ErrorCode == "", status >= http.StatusInternalServerError, status == http.StatusTooManyRequests:
		return unavailable(fmt.Errorf("its token endpoint answers %d", status))
	case refused.ErrorCode == "invalid_client", refused.ErrorCode == "unauthorized_client":
		return unavailable(fmt.Errorf("it does not know us (%s): check the client_id and the secret", refused.ErrorCode))
	default:
		return fmt.Errorf("%w: the provider does not take the code (%.40q)", ErrInvalid, refused.ErrorCode)
	}
}

// algorithms are the asymmetric ones: whoever knows our secret there must not make ID tokens.
func algorithms() []string {
	return []string{oidc.RS256, oidc.RS384, oidc.RS512, oidc.PS256, oidc.PS384, oidc.PS512, oidc.ES256, oidc.ES384, oidc.ES512, oidc.EdDSA}
}

// verify checks who made the ID token of an answer, for whom, and until when.
func (p *Provider) verify(ctx context.Context, there *found, token *oauth2.Token) (*oidc.IDToken, error) {
	raw, ok := token.Extra("id_token").(string)
	if !ok {
		return nil, invalid("there is no ID token")
	}
	keys := &witness{KeySet: there.keys}
	config := &oidc.Config{ClientID: p.config.ClientID, Now: p.config.Now, SupportedSigningAlgs: algorithms()}
	proved, err := oidc.NewVerifier(p.config.Issuer, keys, config).Verify(ctx, raw)
	switch {
	case keys.unreached != nil:
		return nil, unavailable(keys.unreached)
	case err != nil:
		return nil, fmt.Errorf("%w: %w", ErrInvalid, brief{err})
	case proved.Issuer != p.config.Issuer: // go-oidc knows an exception
		return nil, invalid("the ID token is of another issuer (iss)")
	case proved.AccessTokenHash != "" && proved.VerifyAccessToken(token.AccessToken) != nil:
		return nil, invalid("the ID token is for another access token (at_hash)")
	}
	return proved, nil
}

// witness remembers whether keys could not be fetched, which go-oidc does not tell from a signature that does not hold.
type witness struct {
	oidc.KeySet
	unreached error
}

// VerifySignature implements [oidc.KeySet].
func (w *witness) VerifySignature(ctx context.Context, jwt string) ([]byte, error) {
	payload, err := w.KeySet.VerifySignature(ctx, jwt)
	if errors.Unwrap(err) != nil { // it wraps what went wrong on the way, and that alone
		w.unreached = err
	}
	return payload, err
}
