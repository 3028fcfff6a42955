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
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
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
	// Client speaks with the provider, by the certificates of a bank, say; nil means one of our own. Answers are capped
	// at 1 MiB in any case; without a timeout it has 10 seconds, without CheckRedirect it follows 3 to the same host.
	Client *http.Client
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// Provider is an OpenID provider. Any number of goroutines may use it.
type Provider struct {
	config Config
	client *http.Client

	mu      sync.Mutex
	found   *found
	asking  chan struct{} // closed when the provider has answered; nil if it is not being asked
	retryAt time.Time     // after a failure
	failure error
}

// New checks the configuration. The provider is asked for its metadata when the first person goes there, so that it may
// be down when we start. The error wraps [ErrConfig].
func New(c Config) (*Provider, error) {
	if c.Now == nil {
		c.Now = time.Now
	}
	p := &Provider{config: c, client: bounded(c.Client)}
	if err := p.checkIssuer(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrConfig, err)
	}
	if c.ClientID == "" {
		return nil, fmt.Errorf("%w: it needs a client_id: register us there", ErrConfig)
	}
	return p, nil
}

// checkIssuer follows OpenID Connect Discovery 1.0, section 3: an issuer has neither query nor fragment, not even empty.
func (p *Provider) checkIssuer() error {
	issuer := p.config.Issuer
	u, err := url.Parse(issuer)
	if err != nil || u.Hostname() == "" || u.User != nil || strings.ContainsAny(issuer, "?#") {
		return fmt.Errorf("the issuer %q is not an address without query, such as https://sso.example", issuer)
	}
	if !p.secure(u) {
		return fmt.Errorf("the issuer %q is not https", issuer)
	}
	return nil
}

// Issuer is the provider's name.
func (p *Provider) Issuer() string { return p.config.Issuer }

func (p *Provider) oauth2(there *found, redirect string) *oauth2.Config {
	return &oauth2.Config{ClientID: p.config.ClientID, ClientSecret: p.config.ClientSecret, Endpoint: there.endpoint, RedirectURL: redirect,
		Scopes: append([]string{oidc.ScopeOpenID}, p.config.Scopes...)}
}

// Begin returns where to send the browser, and what to keep meanwhile: State.Seal makes a cookie of it. redirect is where
// the provider sends the browser back to. With fresh the person must prove anew who they are. The error wraps
// [ErrUnavailable].
func (p *Provider) Begin(ctx context.Context, redirect string, fresh bool) (location string, s State, err error) {
	there, err := p.discover(ctx)
	if err != nil {
		return "", State{}, err
	}
	s = State{Issuer: p.config.Issuer, State: rand.Text(), Nonce: rand.Text(), Verifier: oauth2.GenerateVerifier(), Redirect: redirect, Fresh: fresh, Begun: p.config.Now()}
	options := []oauth2.AuthCodeOption{oidc.Nonce(s.Nonce), oauth2.S256ChallengeOption(s.Verifier)}
	if fresh {
		options = append(options, oauth2.SetAuthURLParam("prompt", "login"), oauth2.SetAuthURLParam("max_age", "0"))
	}
	return p.oauth2(there, redirect).AuthCodeURL(s.State, options...), s, nil
}
