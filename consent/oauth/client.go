package oauth

import (
	"context"
	"net/http"
	"net/url"

	"github.com/ory/fosite"

	"github.com/passerelle-cloud/passerelle/consent"
)

// The scopes. What data a service may read is no scope but an authorization detail.
const (
	scopeOpenID = "openid"
	scopeAdmin  = "admin"
	scopeQuery  = "grant_management_query"
	scopeRevoke = "grant_management_revoke"
)

// client is a service as fosite sees it.
type client struct{ *consent.Service }

func (c *client) GetID() string             { return c.ID }
func (c *client) GetHashedSecret() []byte   { return nil }
func (c *client) GetRedirectURIs() []string { return c.RedirectURIs }
func (c *client) IsPublic() bool            { return false }

func (c *client) GetGrantTypes() fosite.Arguments {
	if c.Admin {
		return fosite.Arguments{"client_credentials"}
	}
	return fosite.Arguments{"authorization_code", "refresh_token", "client_credentials", grantFollow}
}

func (c *client) GetResponseTypes() fosite.Arguments { return fosite.Arguments{"code"} }
func (c *client) GetAudience() fosite.Arguments      { return nil }

func (c *client) GetScopes() fosite.Arguments {
	if c.Admin {
		return fosite.Arguments{scopeAdmin}
	}
	return fosite.Arguments{scopeOpenID, scopeQuery, scopeRevoke}
}

// call is what is known of a request before fosite sees it, and what must become of it. fosite hands nothing on but the
// context.
type call struct {
	client   *client
	binding  binding
	key      string   // thumbprint of the key with which a service that follows a person proved itself
	dealings dealings // with the database, where there is a transaction
}

// binding is what holds a token to its owner.
type binding struct {
	JKT string `json:"jkt,omitempty"`      // RFC 9449: thumbprint of the DPoP key
	X5T string `json:"x5t#S256,omitempty"` // RFC 8705: thumbprint of the certificate
}

type callKey struct{}

func withCall(ctx context.Context, c *call) context.Context {
	return context.WithValue(ctx, callKey{}, c)
}

func callOf(ctx context.Context) *call {
	c, _ := ctx.Value(callKey{}).(*call)
	return c
}

// knownClient is fosite's way to ask who calls: that was found out before.
func knownClient(ctx context.Context, _ *http.Request, _ url.Values) (fosite.Client, error) {
	if c := callOf(ctx); c != nil && c.client != nil {
		return c.client, nil
	}
	return nil, fosite.ErrInvalidClient
}
