package oauth_test

import (
	"context"
	"crypto"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/passerelle-cloud/passerelle/consent"
	"github.com/passerelle-cloud/passerelle/consent/consenttest"
	"github.com/passerelle-cloud/passerelle/consent/oauth"
	"github.com/passerelle-cloud/passerelle/internal/apitest"
	"github.com/passerelle-cloud/passerelle/internal/dbtest"
	"github.com/passerelle-cloud/passerelle/internal/fapi"
	"github.com/passerelle-cloud/passerelle/internal/sqldb"
)

// gateway is an authorization server with a resource at /me, over HTTP.
type gateway struct {
	*consenttest.Fixture
	*httptest.Server
	oauth  *oauth.Server
	key    ed25519.PrivateKey           // of tokens
	trusts map[string]ed25519.PublicKey // of other operators

	mu  sync.Mutex
	now func() time.Time
}

func (g *gateway) clock() time.Time {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.now()
}

// later moves the clock.
func (g *gateway) later(d time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := g.now
	g.now = func() time.Time { return now().Add(d) }
}

func newGateway(t testing.TB, db *sqldb.DB) *gateway {
	t.Helper()
	return newGatewayOf(t, db, "operator.example")
}

func newGatewayOf(t testing.TB, db *sqldb.DB, id string) *gateway {
	t.Helper()
	g := &gateway{now: time.Now, trusts: map[string]ed25519.PublicKey{}}
	g.Fixture = consenttest.New(t, db, func(o *consent.Options) { o.Now, o.Operator.ID = g.clock, id })
	_, g.key, _ = ed25519.GenerateKey(nil)
	mux := http.NewServeMux()
	g.Server = httptest.NewServer(apitest.Check(t, mux, "/me"))
	t.Cleanup(g.Server.Close)
	var err error
	g.oauth, err = oauth.New(context.Background(), db, g.Ledger, g.Authority, oauth.Options{
		Issuer: g.URL, Secret: make([]byte, 32), Local: true, Now: g.clock, Operator: id, Vouched: g.vouched,
		Signer: func(context.Context) (crypto.Signer, string, error) { return g.key, "tokens-1", nil },
		Keys: func(context.Context) ([]byte, error) {
			return json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: g.key.Public(), KeyID: "tokens-1", Use: "sig", Algorithm: "EdDSA"}}})
		},
		Prompt: func(request string) string { return "/prompt/" + request },
		Fault: func(w http.ResponseWriter, _ *http.Request, status int, what string) {
			w.Header().Set("Content-Type", "text/html")
			w.WriteHeader(status)
			fmt.Fprint(w, what)
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	for pattern, do := range map[string]http.HandlerFunc{
		"GET " + oauth.PathServer: g.oauth.Metadata, "GET " + oauth.PathOpenID: g.oauth.Metadata, "GET " + oauth.PathResource: g.oauth.ResourceMetadata,
		"GET " + oauth.PathKeys: g.oauth.PublicKeys, "POST " + oauth.PathPushed: g.oauth.Pushed, "GET " + oauth.PathAuthorize: g.oauth.Authorize,
		"POST " + oauth.PathToken: g.oauth.Token, "POST " + oauth.PathIntrospect: g.oauth.Introspect, "POST " + oauth.PathRevoke: g.oauth.Revoke,
		"POST " + oauth.PathRegister: g.oauth.Register, "GET " + oauth.PathGrants + "/{id}": g.oauth.Grant, "DELETE " + oauth.PathGrants + "/{id}": g.oauth.EndGrant,
		"GET /me": func(w http.ResponseWriter, r *http.Request) {
			bearer, err := g.oauth.Bearer(r)
			if err != nil {
				g.oauth.Deny(w, err)
				return
			}
			fmt.Fprint(w, bearer.Service, " ", bearer.Consent.ID)
		},
	} {
		mux.HandleFunc(pattern, do)
	}
	return g
}

// client registers a service and returns it as a client.
func (g *gateway) client(t testing.TB, id string, change ...func(*consent.Service)) *fapi.Client {
	t.Helper()
	key := g.Service(t, id, append([]func(*consent.Service){func(s *consent.Service) {
		s.RedirectURIs = []string{"https://" + id + ".example/callback", "https://" + id + ".example/other"}
	}}, change...)...)
	return g.as(t, id, key)
}

func (g *gateway) as(t testing.TB, id string, key crypto.Signer) *fapi.Client {
	t.Helper()
	proof, err := fapi.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	return &fapi.Client{Issuer: g.URL, ID: id, Redirect: "https://" + id + ".example/callback", Key: key, Proof: proof, KeyID: "k1"}
}

// visit opens what a service sends a person to, and returns the id of the request that they are asked to decide.
func (g *gateway) visit(t testing.TB, asked fapi.Asked) string {
	t.Helper()
	answer, err := stay.Get(asked.URL)
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	if answer.StatusCode != http.StatusSeeOther {
		t.Fatalf("%s: %s", asked.URL, answer.Status)
	}
	return strings.TrimPrefix(answer.Header.Get("Location"), "/prompt/")
}

// stay does not follow redirects.
var stay = &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}

// grant lets a person say yes to everything, and returns the query with which their browser comes back.
func (g *gateway) grant(t testing.TB, request, person string) url.Values {
	t.Helper()
	r, err := g.Request(t.Context(), request)
	if err != nil {
		t.Fatal(err)
	}
	d := g.Decision(t, r, person)
	var location string
	if _, err := g.Authority.Grant(t.Context(), d, g.oauth.Granted(t.Context(), d, &location)); err != nil {
		t.Fatal(err)
	}
	back, err := url.Parse(location)
	if err != nil {
		t.Fatal(err)
	}
	return back.Query()
}

func details() json.RawMessage { return consenttest.Details(time.Now().AddDate(0, 6, 0)) }

// tokens goes the whole way.
func (g *gateway) tokens(t testing.TB, c *fapi.Client, person string, more url.Values) fapi.Tokens {
	t.Helper()
	asked, err := c.Ask(t.Context(), details(), more)
	if err != nil {
		t.Fatal(err)
	}
	tokens, err := c.Redeem(t.Context(), asked, g.grant(t, g.visit(t, asked), person))
	if err != nil {
		t.Fatal(err)
	}
	return tokens
}

// me reads the resource.
func (g *gateway) me(t testing.TB, c *fapi.Client, token string) int {
	t.Helper()
	answer, err := c.Get(t.Context(), g.URL+"/me", token, nil)
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	return answer.StatusCode
}

// code is the error code of an answer.
func code(err error) string {
	var fault *fapi.Error
	if errors.As(err, &fault) {
		return fault.Code
	}
	return fmt.Sprint(err)
}

func TestFlow(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		g := newGateway(t, db)
		c := g.client(t, "invites")
		tokens := g.tokens(t, c, "alice", url.Values{"scope": {"openid"}, "nonce": {"n-1"}})
		if tokens.Type != "DPoP" || tokens.Grant == "" || tokens.Refresh == "" || !strings.Contains(string(tokens.Details), `"contacts"`) {
			t.Fatalf("%+v", tokens)
		}
		if status := g.me(t, c, tokens.Access); status != http.StatusOK {
			t.Fatal(status)
		}
		g.checkID(t, tokens, "n-1")
		about, err := c.Introspect(t.Context(), tokens.Access)
		if err != nil || about["active"] != true || about["grant_id"] != tokens.Grant || about["token_type"] != "DPoP" {
			t.Fatal(about, err)
		}
		again, err := c.Refresh(t.Context(), tokens.Refresh)
		if err != nil || again.Refresh != "" || g.me(t, c, again.Access) != http.StatusOK {
			t.Fatalf("%+v, %v", again, err)
		}
		if _, err := g.Withdraw(t.Context(), consent.Ending{Consent: tokens.Grant, Person: "alice", State: consent.Withdrawn}); err != nil {
			t.Fatal(err)
		}
		for _, token := range []string{tokens.Access, again.Access} {
			if status := g.me(t, c, token); status != http.StatusUnauthorized {
				t.Error(status)
			}
		}
		if about, err := c.Introspect(t.Context(), tokens.Access); err != nil || about["active"] != false || len(about) != 1 {
			t.Error(about, err)
		}
		if _, err := c.Refresh(t.Context(), tokens.Refresh); code(err) != "invalid_grant" {
			t.Error(err)
		}
	})
}

func (g *gateway) checkID(t *testing.T, tokens fapi.Tokens, nonce string) {
	t.Helper()
	signed, err := jose.ParseSignedCompact(tokens.ID, []jose.SignatureAlgorithm{jose.EdDSA})
	if err != nil {
		t.Fatal(err)
	}
	payload, err := signed.Verify(g.key.Public())
	if err != nil {
		t.Fatal(err)
	}
	var claims map[string]any
	if err := json.Unmarshal(payload, &claims); err != nil {
		t.Fatal(err)
	}
	if claims["iss"] != g.URL || claims["aud"] != "invites" || claims["nonce"] != nonce || claims["sub"] == "alice" || claims["sub"] == "" {
		t.Error(claims)
	}
}
