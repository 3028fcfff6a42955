// Package oauth is the OAuth 2.0 authorization server: the FAPI 2.0 security profile with pushed requests (RFC 9126),
// rich authorization requests (RFC 9396), sender-constrained tokens (RFC 9449, RFC 8705) and grant management. It is the
// only package that knows fosite.
//
// What is granted is a consent; a token is nothing but a way to name it, and lives no longer. It must never know
// operators, nor what a page looks like.
package oauth

import (
	"context"
	"crypto"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/x509"
	"embed"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"net/url"
	"time"

	"github.com/ory/fosite"
	"github.com/ory/fosite/compose"
	"github.com/ory/fosite/handler/oauth2"
	"github.com/ory/fosite/handler/par"
	"github.com/ory/fosite/handler/pkce"
	fositehmac "github.com/ory/fosite/token/hmac"

	"github.com/passerelle-cloud/passerelle/consent"
	"github.com/passerelle-cloud/passerelle/consent/ledger"
	"github.com/passerelle-cloud/passerelle/internal/sqldb"
)

//go:embed migrations
var migrations embed.FS

// How long things last. FAPI 2.0 section 5.3.2.1 allows codes 60 seconds, and pushed requests less than 600.
const (
	codeLife    = 45 * time.Second
	pushedLife  = 300 * time.Second
	decideLife  = time.Hour // for the person to decide, once the page was opened in time
	accessLife  = 10 * time.Minute
	adminLife   = 5 * time.Minute
	maxBody     = 64 << 10
	maxState    = 2000
	maxNonce    = 500
	sweepPeriod = 10 * time.Minute
)

// Paths of the endpoints, below the issuer.
const (
	PathPushed     = "/oauth/par"
	PathAuthorize  = "/oauth/authorize"
	PathToken      = "/oauth/token"
	PathIntrospect = "/oauth/introspect"
	PathRevoke     = "/oauth/revoke"
	PathKeys       = "/oauth/jwks"
	PathGrants     = "/oauth/grants"
	PathRegister   = "/oauth/register"
	PathServer     = "/.well-known/oauth-authorization-server"
	PathOpenID     = "/.well-known/openid-configuration"
	PathResource   = "/.well-known/oauth-protected-resource"
)

// Options are what a server needs. Issuer, Secret, Signer, Keys, Prompt and Fault must be set.
type Options struct {
	Issuer string // https://operator.example, without a slash at the end
	MTLS   string // the same for those who present a certificate (RFC 8705 section 5); "": there is no such address
	Secret []byte // 32 bytes, the same for all replicas: what tokens and pseudonyms are made with
	// Signer returns the current key for id tokens, with its id, and Keys all that verify them (a JWK set, RFC 7517).
	Signer func(context.Context) (crypto.Signer, string, error)
	Keys   func(context.Context) ([]byte, error)
	// Prompt is where the page is on which a person decides about a request, by the request's id.
	Prompt func(request string) string
	// Fault shows a person that an authorisation cannot go on, where no service can be told.
	Fault func(w http.ResponseWriter, r *http.Request, status int, what string)
	// Local lets services on this machine be reached, for trying things out.
	Local bool
	// Peer makes the registration of an operator that is trusted what its statement says now, and ends that of one that is not
	// trusted any more. It is called for those who are not registered, or as operators; nil: there are no operators.
	Peer func(ctx context.Context, id string) error
	// Operator is our id, under which we sign statements to services whose person has moved to another operator; "": none are.
	Operator string
	// Vouched checks that a trusted operator signed a JWS of a type, at a time, and returns its claims; nil: nobody comes from
	// other operators.
	Vouched func(ctx context.Context, operator, typ, compact string, at time.Time) ([]byte, error)
	// Certificate is what a request's certificate for payment services says; nil: it is not looked at.
	Certificate func(*http.Request) *consent.CertificateFacts

	Trust *x509.CertPool   // of services' certificates (tls_client_auth); nil: none
	Log   *slog.Logger     // nil: nothing is logged
	Now   func() time.Time // nil: the clock
}

// Server is the authorization server, and checks tokens for the data's interface.
type Server struct {
	opt       Options
	authority *consent.Authority
	store     *store
	fosite    *fosite.Fosite
	tokens    oauth2.CoreStrategy
	hmac      *fositehmac.HMACStrategy
	clients   *clientAuth
	proofs    *dpop
	pairwise  []byte
}

// New returns a server over what is in a database, and makes its tables if there are none.
func New(ctx context.Context, db *sqldb.DB, log *ledger.Ledger, authority *consent.Authority, opt Options) (*Server, error) {
	if opt.Now == nil {
		opt.Now = time.Now
	}
	if opt.Log == nil {
		opt.Log = slog.New(slog.DiscardHandler)
	}
	if u, err := url.Parse(opt.Issuer); err != nil || u.Host == "" || u.RawQuery != "" || u.Fragment != "" {
		return nil, fmt.Errorf("%q cannot be an issuer: it must be an https URL", opt.Issuer)
	}
	if err := Migrate(ctx, db); err != nil {
		return nil, err
	}
	var err error
	s := &Server{opt: opt, authority: authority, store: &store{db: db, ledger: log, authority: authority, now: opt.Now}}
	secrets := map[string][]byte{}
	for _, use := range []string{"tokens", "nonces", "subjects"} {
		if secrets[use], err = hkdf.Key(sha256.New, opt.Secret, nil, "passerelle oauth "+use, 32); err != nil {
			return nil, err
		}
	}
	s.pairwise = secrets["subjects"]
	s.clients = &clientAuth{issuer: opt.Issuer, service: s.known, keys: newKeySource(opt.Local, opt.Now), once: s.store.once, now: opt.Now, trust: opt.Trust}
	s.proofs = &dpop{once: s.store.once, nonces: newNonces(secrets["nonces"], opt.Now), now: opt.Now}
	s.compose(secrets["tokens"])
	return s, nil
}

// known returns a service, or an operator that is trusted.
func (s *Server) known(ctx context.Context, id string) (*consent.Service, error) {
	service, err := s.authority.Service(ctx, id)
	if s.opt.Peer == nil || err == nil && !service.Operator || err != nil && !errors.Is(err, consent.ErrNotFound) {
		return service, err
	}
	if err := s.opt.Peer(ctx, id); err != nil {
		return nil, err
	}
	return s.authority.Service(ctx, id)
}

// Migrate makes the tables, where somebody needs them before there is a server.
func Migrate(ctx context.Context, db *sqldb.DB) error {
	tables, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return err
	}
	return db.Migrate(ctx, tables, "oauth_version")
}

// compose puts fosite together: its handlers where they do what FAPI 2.0 says, ours where they do not.
func (s *Server) compose(secret []byte) {
	config := &fosite.Config{
		GlobalSecret: secret, AccessTokenLifespan: accessLife, AuthorizeCodeLifespan: codeLife, RefreshTokenLifespan: -1, RefreshTokenScopes: []string{},
		ScopeStrategy: fosite.ExactScopeStrategy, AudienceMatchingStrategy: fosite.ExactAudienceMatchingStrategy, EnforcePKCE: true,
		PushedAuthorizeContextLifespan: pushedLife, IsPushedAuthorizeEnforced: true, MinParameterEntropy: 1,
		ClientAuthenticationStrategy: knownClient,
		RedirectSecureChecker:        func(context.Context, *url.URL) bool { return true }, // the registration was checked, and is matched exactly
	}
	s.hmac = &fositehmac.HMACStrategy{Config: config}
	s.tokens = compose.NewOAuth2HMACStrategy(config)
	code := &oauth2.AuthorizeExplicitGrantHandler{AccessTokenStrategy: s.tokens, RefreshTokenStrategy: s.tokens, AuthorizeCodeStrategy: s.tokens,
		CoreStorage: s.store, TokenRevocationStorage: s.store, Config: config}
	challenge := &pkce.Handler{AuthorizeCodeStrategy: s.tokens, Storage: s.store, Config: config}
	helper := &oauth2.HandleHelper{AccessTokenStrategy: s.tokens, AccessTokenStorage: s.store, Config: config}
	config.AuthorizeEndpointHandlers = fosite.AuthorizeEndpointHandlers{code, challenge}
	config.TokenEndpointHandlers = fosite.TokenEndpointHandlers{code, challenge,
		&oauth2.ClientCredentialsGrantHandler{HandleHelper: helper, Config: config}, &refresher{s: s, issue: helper}, &follower{s: s, issue: helper}, &binder{s: s}}
	config.RevocationHandlers = fosite.RevocationHandlers{&oauth2.TokenRevocationHandler{TokenRevocationStorage: s.store, RefreshTokenStrategy: s.tokens, AccessTokenStrategy: s.tokens}}
	config.PushedAuthorizeEndpointHandlers = fosite.PushedAuthorizeEndpointHandlers{&par.PushedAuthorizeHandler{Storage: s.store, Config: config}}
	s.fosite = fosite.NewOAuth2Provider(s.store, config)
}

// Subject is the name under which a service knows a person: another one at each service (OpenID Connect Core section 8.1).
func (s *Server) Subject(service, person string) string {
	mac := hmac.New(sha256.New, s.pairwise)
	fmt.Fprintf(mac, "%d %s %s", len(service), service, person)
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// Run deletes what has expired, now and then, until the context ends.
func (s *Server) Run(ctx context.Context) {
	ticker := time.NewTicker(sweepPeriod)
	defer ticker.Stop()
	for {
		if err := s.store.sweep(ctx); err != nil && ctx.Err() == nil {
			s.opt.Log.Warn("expired tokens could not be deleted", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}
