// Package providertest is an OpenID provider for tests: a real one, small, that signs everybody in who comes, and can be
// told to misbehave. It is for tests alone.
package providertest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
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
	// Sign signs the claims in another way than by the key that is published.
	Sign func(claims []byte) string

	t     testing.TB
	mu    sync.Mutex
	key   *ecdsa.PrivateKey
	kid   string
	codes map[string]url.Values // what each was asked for with
	Asked []url.Values          // at the authorization endpoint
}

// New starts a provider, at an address of this machine. It ends with the test.
func New(t testing.TB) *Provider {
	p := &Provider{t: t, Subject: "person-17", codes: map[string]url.Values{}}
	p.Rotate()
	mux := http.NewServeMux()
	mux.HandleFunc("GET /.well-known/openid-configuration", p.metadata)
	mux.HandleFunc("GET /authorize", p.authorize)
	mux.HandleFunc("POST /token", p.token)
	mux.HandleFunc("GET /jwks", p.jwks)
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	p.URL = server.URL
	return p
}

// Rotate gives the provider another key.
func (p *Provider) Rotate() {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		p.t.Fatal(err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.key, p.kid = key, rand.Text()
}

func answer(w http.ResponseWriter, status int, value any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(value)
}

func (p *Provider) metadata(w http.ResponseWriter, _ *http.Request) {
	about := map[string]any{"issuer": p.URL, "authorization_endpoint": p.URL + "/authorize", "token_endpoint": p.URL + "/token", "jwks_uri": p.URL + "/jwks",
		"response_types_supported": []string{"code"}, "subject_types_supported": []string{"public"}, "id_token_signing_alg_values_supported": []string{"ES256"}}
	if p.Metadata != nil {
		p.Metadata(about)
	}
	answer(w, http.StatusOK, about)
}

func (p *Provider) jwks(w http.ResponseWriter, _ *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	answer(w, http.StatusOK, jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: p.key.Public(), KeyID: p.kid, Algorithm: "ES256", Use: "sig"}}})
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
	id, secret, _ := r.BasicAuth()
	secret, _ = url.QueryUnescape(secret)
	if !known || id != ClientID || secret != ClientSecret || asked.Get("redirect_uri") != r.PostFormValue("redirect_uri") ||
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

func (p *Provider) sign(claims map[string]any) string {
	text, err := json.Marshal(claims)
	if err != nil {
		panic(fmt.Sprintf("the claims %v: %v", claims, err)) // a test's own
	}
	if p.Sign != nil {
		return p.Sign(text)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: p.key, KeyID: p.kid}}, nil)
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
