package provider

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
)

// retryAfter is how long a provider that failed is left alone.
const retryAfter = 3 * time.Second

// found is what discovery found.
type found struct {
	endpoint   oauth2.Endpoint
	keys       oidc.KeySet // cached, and asked for anew when a token is signed by another
	saysIssuer bool        // in its redirects
}

// metadata is what we need of the provider's metadata (OpenID Connect Discovery 1.0, section 3) that go-oidc does not tell.
type metadata struct {
	Keys       string   `json:"jwks_uri"`
	Methods    []string `json:"token_endpoint_auth_methods_supported"`
	SaysIssuer bool     `json:"authorization_response_iss_parameter_supported"` // RFC 9207, section 3
}

// discover returns what the provider says of itself. It is asked once, by one at a time; the others wait for that answer.
// The error wraps [ErrUnavailable].
func (p *Provider) discover(ctx context.Context) (*found, error) {
	if asking := p.asked(); asking != nil {
		select {
		case <-asking:
		case <-ctx.Done():
			return nil, unavailable(ctx.Err())
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.found == nil {
		return nil, p.failure
	}
	return p.found, nil
}

// asked sees to it that the provider is asked if it must be, and returns what is closed when it has answered; nil if there
// is nothing to wait for.
func (p *Provider) asked() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.asking == nil && p.found == nil && !p.config.Now().Before(p.retryAt) {
		p.asking = make(chan struct{})
		go p.ask() // not in the request of one person, who may leave while others wait
	}
	return p.asking
}

func (p *Provider) ask() {
	ctx, cancel := context.WithTimeout(oidc.ClientContext(context.Background(), p.client), patience)
	defer cancel()
	known, err := p.fetch(ctx)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.found = known; err != nil {
		p.failure, p.retryAt = unavailable(err), p.config.Now().Add(retryAfter)
	}
	close(p.asking)
	p.asking = nil
}

func (p *Provider) fetch(ctx context.Context) (*found, error) {
	provider, err := oidc.NewProvider(ctx, p.config.Issuer)
	if err != nil {
		return nil, err
	}
	var said metadata
	if err := provider.Claims(&said); err != nil {
		return nil, fmt.Errorf("read its metadata: %w", err)
	}
	endpoint := provider.Endpoint()
	for _, address := range []string{endpoint.AuthURL, endpoint.TokenURL, said.Keys} {
		if err := p.checkEndpoint(address); err != nil {
			return nil, err
		}
	}
	if endpoint.AuthStyle, err = p.authStyle(said.Methods); err != nil {
		return nil, err
	}
	return &found{endpoint: endpoint, keys: oidc.NewRemoteKeySet(ctx, said.Keys), saysIssuer: said.SaysIssuer}, nil
}

// authStyle is how we prove at the token endpoint who we are (OpenID Connect Core, section 9). It is never found out by
// trying: a code that is sent twice is a code that was stolen (RFC 6749, section 4.1.2).
func (p *Provider) authStyle(methods []string) (oauth2.AuthStyle, error) {
	switch {
	case p.config.ClientSecret == "", !slices.Contains(methods, "client_secret_basic") && slices.Contains(methods, "client_secret_post"):
		return oauth2.AuthStyleInParams, nil
	case len(methods) == 0, slices.Contains(methods, "client_secret_basic"):
		return oauth2.AuthStyleInHeader, nil
	default:
		return 0, errors.New("it takes no client secret: register us there with client_secret_basic, or as a public client")
	}
}

// checkEndpoint refuses what could be listened to, or could make an address of ours mean another.
func (p *Provider) checkEndpoint(address string) error {
	u, err := url.Parse(address)
	if err != nil || !p.secure(u) || u.User != nil || strings.Contains(address, "#") {
		return fmt.Errorf("its metadata name the endpoint %.100q, which is not an https address", address)
	}
	return nil
}

// secure says whether an address is one by https, or, if that is allowed, on this machine.
func (p *Provider) secure(u *url.URL) bool {
	return u.Hostname() != "" && (u.Scheme == "https" || u.Scheme == "http" && p.config.Local && isLocal(u.Hostname()))
}

func isLocal(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
