package oauth_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	josev3 "github.com/go-jose/go-jose/v3"
	"github.com/ory/fosite"
	"github.com/ory/fosite/compose"
	"github.com/ory/fosite/storage"

	"github.com/passerelle-cloud/passerelle/consent"
	"github.com/passerelle-cloud/passerelle/internal/dbtest"
	"github.com/passerelle-cloud/passerelle/internal/fapi"
	"github.com/passerelle-cloud/passerelle/internal/sqldb"
)

// plain is fosite as it comes, in memory, with the same client and the same way to authenticate it.
type plain struct {
	fosite.OAuth2Provider
	f      *fosite.Fosite
	client *fapi.Client
}

func newPlain(b *testing.B) *plain {
	b.Helper()
	key, err := fapi.NewKey()
	if err != nil {
		b.Fatal(err)
	}
	store := storage.NewMemoryStore()
	store.Clients["c"] = &fosite.DefaultOpenIDConnectClient{
		DefaultClient: &fosite.DefaultClient{ID: "c", RedirectURIs: []string{"https://c.example/callback"}, GrantTypes: []string{"client_credentials"}, ResponseTypes: []string{"code"},
			Scopes: []string{"grant_management_query", "openid"}},
		TokenEndpointAuthMethod: "private_key_jwt", TokenEndpointAuthSigningAlgorithm: "ES256",
		JSONWebKeys: &josev3.JSONWebKeySet{Keys: []josev3.JSONWebKey{{Key: key.Public(), KeyID: "1", Use: "sig", Algorithm: "ES256"}}},
	}
	config := &fosite.Config{GlobalSecret: make([]byte, 32), TokenURL: "https://floor.example", AccessTokenLifespan: 10 * time.Minute}
	p := compose.Compose(config, store, &compose.CommonStrategy{CoreStrategy: compose.NewOAuth2HMACStrategy(config)},
		compose.OAuth2AuthorizeExplicitFactory, compose.OAuth2ClientCredentialsGrantFactory, compose.OAuth2PKCEFactory, compose.PushedAuthorizeHandlerFactory, compose.OAuth2TokenIntrospectionFactory)
	return &plain{p, p.(*fosite.Fosite), &fapi.Client{Issuer: "https://floor.example", ID: "c", Key: key}}
}

func (p *plain) token(w http.ResponseWriter, r *http.Request) {
	ctx := context.Background()
	request, err := p.NewAccessRequest(ctx, r, &fosite.DefaultSession{})
	if err == nil {
		for _, s := range request.GetRequestedScopes() {
			request.GrantScope(s)
		}
		var answer fosite.AccessResponder
		if answer, err = p.NewAccessResponse(ctx, request); err == nil {
			p.WriteAccessResponse(ctx, w, request, answer)
			return
		}
	}
	p.WriteAccessError(ctx, w, request, err)
}

func (p *plain) par(w http.ResponseWriter, r *http.Request) {
	ctx := context.Background()
	request, err := p.NewPushedAuthorizeRequest(ctx, r)
	if err == nil {
		var answer fosite.PushedAuthorizeResponder
		if answer, err = p.NewPushedAuthorizeResponse(ctx, request, &fosite.DefaultSession{}); err == nil {
			p.WritePushedAuthorizeResponse(ctx, w, request, answer)
			return
		}
	}
	p.WritePushedAuthorizeError(ctx, w, request, err)
}

func (p *plain) introspect(w http.ResponseWriter, r *http.Request) {
	ctx := context.Background()
	err := r.ParseForm()
	if err == nil {
		_, err = p.f.AuthenticateClient(ctx, r, r.PostForm)
	}
	var request fosite.AccessRequester
	if err == nil {
		_, request, err = p.IntrospectToken(ctx, r.PostForm.Get("token"), fosite.AccessToken, &fosite.DefaultSession{})
	}
	if err != nil {
		p.WriteIntrospectionError(ctx, w, err)
		return
	}
	p.WriteIntrospectionResponse(ctx, w, &fosite.IntrospectionResponse{Active: true, AccessRequester: request, TokenUse: fosite.AccessToken})
}

// calls are requests that are made before the clock runs.
func calls(b *testing.B, c *fapi.Client, path string, n int, form url.Values) []*http.Request {
	b.Helper()
	list := make([]*http.Request, n)
	for i := range list {
		assertion, err := c.Assertion()
		if err != nil {
			b.Fatal(err)
		}
		form.Set("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer")
		form.Set("client_assertion", assertion)
		list[i] = httptest.NewRequest(http.MethodPost, path, strings.NewReader(form.Encode()))
		list[i].Header.Set("Content-Type", "application/x-www-form-urlencoded")
		list[i].TLS = &tls.ConnectionState{PeerCertificates: []*x509.Certificate{{Raw: []byte("a certificate")}}}
	}
	return list
}

// answered sends them, 16 at once, and returns the processor's time for each.
func answered(b *testing.B, do http.HandlerFunc, list []*http.Request) time.Duration {
	b.Helper()
	begin := cpu()
	var wg sync.WaitGroup
	for k := range 16 {
		wg.Go(func() {
			for i := k; i < len(list); i += 16 {
				w := httptest.NewRecorder()
				if do(w, list[i]); w.Code >= 300 || strings.Contains(w.Body.String(), `"active":false`) {
					b.Errorf("%d %s", w.Code, w.Body)
					return
				}
			}
		})
	}
	wg.Wait()
	return (cpu() - begin) / time.Duration(len(list))
}

func cpu() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkOAuth compares the endpoints with those of plain fosite in memory: CPU of this process for each request, with
// all proofs made beforehand, in turns, the least of five. PostgreSQL's own is not in it.
func BenchmarkOAuth(b *testing.B) {
	for name, open := range map[string]func(testing.TB) *sqldb.DB{"sqlite": dbtest.SQLite, "postgres": dbtest.Postgres} {
		b.Run(name, func(b *testing.B) {
			g := newGateway(b, open(b))
			c := g.client(b, "bench", func(s *consent.Service) { s.CertBound = true })
			floor := newPlain(b)
			credentials := url.Values{"grant_type": {"client_credentials"}, "scope": {"grant_management_query"}}
			own, theirs := token(b, g.oauth.Token, c, credentials), token(b, floor.token, floor.client, credentials)
			push := func(redirect string) url.Values {
				return url.Values{"response_type": {"code"}, "redirect_uri": {redirect}, "state": {"0123456789"}, "code_challenge": {strings.Repeat("A", 43)}, "code_challenge_method": {"S256"},
					"authorization_details": {string(details())}}
			}
			for _, k := range []struct {
				name        string
				do, than    http.HandlerFunc
				form, other url.Values
			}{
				{"client_credentials", g.oauth.Token, floor.token, credentials, credentials},
				{"introspection", g.oauth.Introspect, floor.introspect, url.Values{"token": {own}}, url.Values{"token": {theirs}}},
				{"PAR", g.oauth.Pushed, floor.par, push(c.Redirect), push("https://c.example/callback")},
			} {
				b.Run(k.name, func(b *testing.B) {
					const n = 1000
					for b.Loop() {
						best, than := time.Hour, time.Hour
						for range 5 {
							best = min(best, answered(b, k.do, calls(b, c, "/", n, k.form)))
							than = min(than, answered(b, k.than, calls(b, floor.client, "/", n, k.other)))
						}
						b.ReportMetric(best.Seconds()*1000, "cpu-ms")
						b.ReportMetric(than.Seconds()*1000, "floor-ms")
						b.ReportMetric(float64(best)/float64(than), "ratio")
					}
					b.ReportMetric(0, "ns/op")
				})
			}
		})
	}
}

func token(b *testing.B, do http.HandlerFunc, c *fapi.Client, form url.Values) string {
	b.Helper()
	w := httptest.NewRecorder()
	do(w, calls(b, c, "/", 1, form)[0])
	_, rest, _ := strings.Cut(w.Body.String(), `"access_token":"`)
	text, _, found := strings.Cut(rest, `"`)
	if !found {
		b.Fatal(w.Body)
	}
	return text
}
