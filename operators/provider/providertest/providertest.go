// Package providertest is an OpenID provider for tests: a real one, small, that signs everybody in who comes, and can be
// told to misbehave. It is for tests alone.
package providertest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// What we are called there.
const (
	ClientID     = "gateway"
	ClientSecret = "a secret of the gateway"
)

// Provider is an OpenID provider. Its fields are set before it is asked.
type Provider struct {
	URL     string
	Subject string // who comes
	// Claims changes what the ID token says, Redirect what the browser brings back.
	Claims   func(claims map[string]any)
	Redirect func(query url.Values)
	// Token answers in the place of the token endpoint if it is set, Metadata changes what the provider says of itself.
	Token    http.HandlerFunc
	Metadata func(about map[string]any)
	// Discovery and Keys answer in the place of the metadata and of the keys if they are set.
	Discovery, Keys http.HandlerFunc
	// Sign signs the claims in another way than by the key that is published.
	Sign func(claims []byte) string
	// Auth is the one way in which clients prove who they are, as the metadata call it; "" means client_secret_basic, as
	// for those who do not say.
	Auth string

	t     testing.TB
	mu    sync.Mutex
	alg   jose.SignatureAlgorithm
	key   crypto.Signer
	kid   string
	count map[string]int        // requests by path
	codes map[string]url.Values // what each was asked for with
	Asked []url.Values          // at the authorization endpoint
}

// New starts a provider, at an address of this machine. It ends with the test.
func New(t testing.TB) *Provider {
	p := &Provider{t: t, Subject: "person-17", codes: map[string]url.Values{}, count: map[string]int{}}
	p.Rotate()
	mux := http.NewServeMux()
	mux.HandleFunc("GET /.well-known/openid-configuration", p.metadata)
	mux.HandleFunc("GET /authorize", p.authorize)
	mux.HandleFunc("POST /token", p.token)
	mux.HandleFunc("GET /jwks", p.jwks)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.mu.Lock()
		p.count[r.URL.Path]++
		p.mu.Unlock()
		mux.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	p.URL = server.URL
	return p
}

// Count is how often a path of the provider was asked for.
func (p *Provider) Count(path string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.count[path]
}

// Rotate gives the provider another key, for ES256.
func (p *Provider) Rotate() { p.Use(jose.ES256) }

// Use gives the provider another key, for an algorithm.
func (p *Provider) Use(alg jose.SignatureAlgorithm) {
	key, err := newKey(alg)
	if err != nil {
		p.t.Fatal(err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.alg, p.key, p.kid = alg, key, rand.Text()
}

func newKey(alg jose.SignatureAlgorithm) (crypto.Signer, error) {
	switch alg {
	case jose.ES256:
		return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case jose.ES384:
		return ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	case jose.ES512:
		return ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	case jose.EdDSA:
		_, key, err := ed25519.GenerateKey(rand.Reader)
		return key, err
	default:
		return rsa.GenerateKey(rand.Reader, 2048)
	}
}

func answer(w http.ResponseWriter, status int, value any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(value)
}

func (p *Provider) metadata(w http.ResponseWriter, r *http.Request) {
	if p.Discovery != nil {
		p.Discovery(w, r)
		return
	}
	about := map[string]any{"issuer": p.URL, "authorization_endpoint": p.URL + "/authorize", "token_endpoint": p.URL + "/token", "jwks_uri": p.URL + "/jwks",
		"response_types_supported": []string{"code"}, "subject_types_supported": []string{"public"}, "id_token_signing_alg_values_supported": []string{"ES256"}}
	if p.Auth != "" {
		about["token_endpoint_auth_methods_supported"] = []string{p.Auth}
	}
	if p.Metadata != nil {
		p.Metadata(about)
	}
	answer(w, http.StatusOK, about)
}

func (p *Provider) jwks(w http.ResponseWriter, r *http.Request) {
	if p.Keys != nil {
		p.Keys(w, r)
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	answer(w, http.StatusOK, jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: p.key.Public(), KeyID: p.kid, Algorithm: string(p.alg), Use: "sig"}}})
}

// authorize signs the person in at once, and sends them back with a code.
func (p *Provider) authorize(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	query := r.URL.Query()
	code := rand.Text()
	p.codes[code], p.Asked = query, append(p.Asked, query)
	back := url.Values{"code": {code}, "state": {query.Get("state")}}
	if p.Redirect != nil {
		p.Redirect(back)
	}
	http.Redirect(w, r, query.Get("redirect_uri")+"?"+back.Encode(), http.StatusSeeOther)
}

// token gives an ID token for a code, once, to who can show that they asked for it (RFC 6749, RFC 7636).
func (p *Provider) token(w http.ResponseWriter, r *http.Request) {
	if p.Token != nil {
		p.Token(w, r)
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	asked, known := p.codes[r.PostFormValue("code")]
	delete(p.codes, r.PostFormValue("code"))
	challenge := sha256.Sum256([]byte(r.PostFormValue("code_verifier")))
	if !p.knows(r) {
		answer(w, http.StatusUnauthorized, map[string]string{"error": "invalid_client"})
		return
	}
	if !known || asked.Get("redirect_uri") != r.PostFormValue("redirect_uri") ||
		asked.Get("code_challenge") != base64.RawURLEncoding.EncodeToString(challenge[:]) || asked.Get("code_challenge_method") != "S256" {
		answer(w, http.StatusBadRequest, map[string]string{"error": "invalid_grant"})
		return
	}
	now := time.Now()
	claims := map[string]any{"iss": p.URL, "sub": p.Subject, "aud": ClientID, "iat": now.Unix(), "exp": now.Add(time.Minute).Unix(), "nonce": asked.Get("nonce"), "name": "A Person"}
	if asked.Get("max_age") != "" {
		claims["auth_time"] = now.Unix()
	}
	if p.Claims != nil {
		p.Claims(claims)
	}
	answer(w, http.StatusOK, map[string]any{"access_token": "an access token", "token_type": "Bearer", "expires_in": 60, "id_token": p.sign(claims)})
}

// knows says whether the client proves who it is, in the one way that it should (RFC 6749, section 2.3.1).
func (p *Provider) knows(r *http.Request) bool {
	id, secret, basic := r.BasicAuth()
	secret, err := url.QueryUnescape(secret)
	switch p.Auth {
	case "none":
		return !basic && r.PostFormValue("client_id") == ClientID && !r.PostForm.Has("client_secret")
	case "client_secret_post":
		return !basic && r.PostFormValue("client_id") == ClientID && r.PostFormValue("client_secret") == ClientSecret
	default:
		return err == nil && id == ClientID && secret == ClientSecret && !r.PostForm.Has("client_secret")
	}
}

func (p *Provider) sign(claims map[string]any) string {
	text, err := json.Marshal(claims)
	if err != nil {
		panic(fmt.Sprintf("the claims %v: %v", claims, err)) // a test's own
	}
	if p.Sign != nil {
		return p.Sign(text)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: p.alg, Key: jose.JSONWebKey{Key: p.key, KeyID: p.kid}}, nil)
	if err != nil {
		panic(err)
	}
	signed, err := signer.Sign(text)
	if err != nil {
		panic(err)
	}
	compact, err := signed.CompactSerialize()
	if err != nil {
		panic(err)
	}
	return compact
}
