// Package provider lets persons prove who they are at an OpenID provider of their operator: a bank's, a city's. It is the
// relying party of OpenID Connect Core 1.0: the authorization code flow with PKCE (RFC 7636), a state and a nonce, and
// the issuer on the way back (RFC 9207), as RFC 9700 advises.
//
// Nothing that the provider says is trusted before its signature is checked, and nothing of it is waited for long. It
// must never know accounts, nor pages.
package provider

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
)

var (
	// ErrDenied is returned if the person, or the provider, said no.
	ErrDenied = errors.New("the provider says no: try again there, or sign in another way")
	// ErrUnavailable is returned if the provider does not answer, or not as an OpenID provider does.
	ErrUnavailable = errors.New("the OpenID provider does not answer as it should: try again in a minute, or ask who runs it")
	// ErrInvalid is returned if something that came back does not hold.
	ErrInvalid = errors.New("what came back from the OpenID provider does not hold: begin again")
	// ErrExpired is returned if somebody took too long.
	ErrExpired = errors.New("that took too long: begin again")
	// ErrConfig is returned for a configuration that cannot work.
	ErrConfig = errors.New("the OpenID provider cannot be used")
)

// Lifetime is how long somebody has to come back, and then to make an account.
const Lifetime = 15 * time.Minute

// Config says which provider it is, and who we are there.
type Config struct {
	Issuer       string // https; as its metadata say it
	ClientID     string
	ClientSecret string   // "" : we are a public client there, with PKCE alone
	Scopes       []string // besides openid
	Local        bool     // the provider may be on this machine, and without TLS
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// Provider is an OpenID provider. Any number of goroutines may use it.
type Provider struct {
	config Config
	client *http.Client

	mu      sync.Mutex
	found   *oidc.Provider
	said    metadata
	retryAt time.Time // after a failure
	failure error
}

// metadata is what we need to know of the provider's metadata (OpenID Connect Discovery 1.0) that go-oidc does not.
type metadata struct {
	SaysIssuer bool `json:"authorization_response_iss_parameter_supported"` // RFC 9207
}

// New checks the configuration. The provider is asked for its metadata when the first person goes there, so that it may
// be down when we start. The error wraps [ErrConfig].
func New(c Config) (*Provider, error) {
	if err := checkIssuer(c.Issuer, c.Local); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrConfig, err)
	}
	if c.ClientID == "" {
		return nil, fmt.Errorf("%w: it needs a client_id: register us there", ErrConfig)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return &Provider{config: c, client: newClient()}, nil
}

func checkIssuer(issuer string, local bool) error {
	u, err := url.Parse(issuer)
	if err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return fmt.Errorf("the issuer %q is not an address without query, such as https://sso.example", issuer)
	}
	if u.Scheme == "https" || u.Scheme == "http" && local && isLocal(u.Hostname()) {
		return nil
	}
	return fmt.Errorf("the issuer %q is not https", issuer)
}

func isLocal(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// Issuer is the provider's name.
func (p *Provider) Issuer() string { return p.config.Issuer }

// retryAfter is how long a provider that failed is left alone.
const retryAfter = 3 * time.Second

// discover asks for the provider's metadata, once.
func (p *Provider) discover(ctx context.Context) (*oidc.Provider, metadata, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.found != nil {
		return p.found, p.said, nil
	}
	if p.config.Now().Before(p.retryAt) {
		return nil, metadata{}, p.failure
	}
	// The provider keeps the context to fetch keys later.
	found, err := oidc.NewProvider(oidc.ClientContext(context.WithoutCancel(ctx), p.client), p.config.Issuer)
	if err == nil {
		err = found.Claims(&p.said)
	}
	if err == nil {
		err = p.checkEndpoints(found.Endpoint())
	}
	if err != nil {
		p.failure, p.retryAt = fmt.Errorf("%w: %w", ErrUnavailable, err), p.config.Now().Add(retryAfter)
		return nil, metadata{}, p.failure
	}
	p.found = found
	return found, p.said, nil
}

func (p *Provider) checkEndpoints(e oauth2.Endpoint) error {
	for _, text := range []string{e.AuthURL, e.TokenURL} {
		u, err := url.Parse(text)
		if err != nil || u.Host == "" || u.Scheme != "https" && !(p.config.Local && u.Scheme == "http" && isLocal(u.Hostname())) {
			return fmt.Errorf("its metadata name the endpoint %q, which is not https", text)
		}
	}
	return nil
}

func (p *Provider) oauth2(found *oidc.Provider, redirect string) *oauth2.Config {
	return &oauth2.Config{ClientID: p.config.ClientID, ClientSecret: p.config.ClientSecret, Endpoint: found.Endpoint(), RedirectURL: redirect,
		Scopes: append([]string{oidc.ScopeOpenID}, p.config.Scopes...)}
}

// Begin returns where to send the browser, and what to keep meanwhile: State.Seal makes a cookie of it. redirect is where
// the provider sends the browser back to. With fresh the person must prove anew who they are. The error wraps
// [ErrUnavailable].
func (p *Provider) Begin(ctx context.Context, redirect string, fresh bool) (location string, s State, err error) {
	found, _, err := p.discover(ctx)
	if err != nil {
		return "", State{}, err
	}
	s = State{State: rand.Text(), Nonce: rand.Text(), Verifier: oauth2.GenerateVerifier(), Redirect: redirect, Fresh: fresh, Begun: p.config.Now()}
	options := []oauth2.AuthCodeOption{oidc.Nonce(s.Nonce), oauth2.S256ChallengeOption(s.Verifier)}
	if fresh {
		options = append(options, oauth2.SetAuthURLParam("prompt", "login"), oauth2.SetAuthURLParam("max_age", "0"))
	}
	return p.oauth2(found, redirect).AuthCodeURL(s.State, options...), s, nil
}

// Identity is who somebody is at the provider. Issuer and Subject together name them (OpenID Connect Core, section 5.7);
// the rest is only to be shown.
type Identity struct {
	Issuer, Subject string
	Name, Email     string
	Begun           time.Time // when they came back
}

// Finish checks what came back: the query of the redirect, then the ID token that its code is exchanged for (OpenID
// Connect Core, section 3.1.3.7). The error wraps [ErrDenied], [ErrUnavailable], [ErrInvalid] or [ErrExpired].
func (p *Provider) Finish(ctx context.Context, s State, query url.Values) (Identity, error) {
	found, said, err := p.discover(ctx)
	if err != nil {
		return Identity{}, err
	}
	code, err := p.code(s, query, said)
	if err != nil {
		return Identity{}, err
	}
	ctx, cancel := context.WithTimeout(oidc.ClientContext(ctx, p.client), patience)
	defer cancel()
	token, err := p.oauth2(found, s.Redirect).Exchange(ctx, code, oauth2.VerifierOption(s.Verifier))
	if err != nil {
		return Identity{}, exchangeError(err)
	}
	raw, ok := token.Extra("id_token").(string)
	if !ok {
		return Identity{}, fmt.Errorf("%w: there is no ID token", ErrInvalid)
	}
	verifier := found.VerifierContext(ctx, &oidc.Config{ClientID: p.config.ClientID, Now: p.config.Now, SupportedSigningAlgs: algorithms()})
	proved, err := verifier.Verify(ctx, raw)
	if err != nil {
		return Identity{}, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	return p.identity(s, proved, token.AccessToken)
}

// algorithms are the asymmetric ones: whoever knows our secret there must not make ID tokens.
func algorithms() []string {
	return []string{oidc.RS256, oidc.RS384, oidc.RS512, oidc.PS256, oidc.PS384, oidc.PS512, oidc.ES256, oidc.ES384, oidc.ES512, oidc.EdDSA}
}

// code is the authorization code, if the redirect is an answer to what was asked.
func (p *Provider) code(s State, query url.Values, said metadata) (string, error) {
	if subtle.ConstantTimeCompare([]byte(query.Get("state")), []byte(s.State)) != 1 || s.State == "" {
		return "", fmt.Errorf("%w: the state is another one", ErrInvalid)
	}
	if iss := query.Get("iss"); iss != p.config.Issuer && (iss != "" || said.SaysIssuer) {
		return "", fmt.Errorf("%w: another issuer answers", ErrInvalid)
	}
	if code := query.Get("error"); code != "" {
		if code == "temporarily_unavailable" || code == "server_error" {
			return "", fmt.Errorf("%w: %s", ErrUnavailable, code)
		}
		return "", fmt.Errorf("%w (%.40q)", ErrDenied, code)
	}
	if query.Get("code") == "" {
		return "", fmt.Errorf("%w: there is no code", ErrInvalid)
	}
	return query.Get("code"), nil
}

// exchangeError tells a provider that refuses a code from one that is broken.
func exchangeError(err error) error {
	var refused *oauth2.RetrieveError
	if errors.As(err, &refused) && refused.ErrorCode != "" {
		return fmt.Errorf("%w: the provider does not take the code (%.40q)", ErrInvalid, refused.ErrorCode)
	}
	return fmt.Errorf("%w: %w", ErrUnavailable, err)
}

const (
	maxSubject = 255 // OpenID Connect Core, section 2
	leeway     = time.Minute
)

func (p *Provider) identity(s State, proved *oidc.IDToken, accessToken string) (Identity, error) {
	var claims struct {
		AuthTime int64    `json:"auth_time"`
		Azp      string   `json:"azp"`
		IssuedAt *float64 `json:"iat"`
		Name     string   `json:"name"`
		Email    string   `json:"email"`
	}
	if err := proved.Claims(&claims); err != nil {
		return Identity{}, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	invalid := func(what string) (Identity, error) { return Identity{}, fmt.Errorf("%w: %s", ErrInvalid, what) }
	now := p.config.Now()
	switch {
	case subtle.ConstantTimeCompare([]byte(proved.Nonce), []byte(s.Nonce)) != 1 || s.Nonce == "":
		return invalid("the ID token answers something else (nonce)")
	case claims.Azp != "" && claims.Azp != p.config.ClientID, len(proved.Audience) > 1 && claims.Azp == "":
		return invalid("the ID token is for somebody else, too (azp)")
	case claims.IssuedAt == nil || proved.IssuedAt.After(now.Add(leeway)):
		return invalid("the ID token is from the future (iat): the clocks differ")
	case proved.Subject == "" || len(proved.Subject) > maxSubject || !ascii(proved.Subject):
		return invalid("the ID token names nobody (sub)")
	case s.Fresh && time.Unix(claims.AuthTime, 0).Before(s.Begun.Add(-leeway)):
		return invalid("the person did not prove anew who they are (auth_time)")
	}
	if proved.AccessTokenHash != "" {
		if err := proved.VerifyAccessToken(accessToken); err != nil {
			return invalid("the ID token is for another access token (at_hash)")
		}
	}
	return Identity{Issuer: proved.Issuer, Subject: proved.Subject, Name: claims.Name, Email: claims.Email, Begun: now}, nil
}

func ascii(text string) bool {
	return !slices.ContainsFunc([]byte(text), func(b byte) bool { return b >= 0x80 || b < 0x20 })
}
