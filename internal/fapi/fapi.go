// Package fapi is a small client of the FAPI 2.0 security profile: what a service does to ask a person for data and to
// read it. Operators use it towards each other, and the example service, the demo and tests do; a real service will take a
// library of its language.
//
// It must never know this gateway but through HTTP.
package fapi

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/cryptosigner"
)

// Client is one service at one authorization server.
type Client struct {
	Issuer   string
	ID       string        // client_id
	Redirect string        // redirect_uri
	Key      crypto.Signer // P-256 or Ed25519: proves who the client is (private_key_jwt)
	Proof    crypto.Signer // P-256 or Ed25519: what tokens are bound to (DPoP)
	HTTP     *http.Client  // nil: the default one
	KeyID    string        // of Key; "" means "1"

	mu    sync.Mutex
	about *metadata
	nonce string
}

// metadata is what the client needs of RFC 8414.
type metadata struct {
	Issuer        string `json:"issuer"`
	Authorization string `json:"authorization_endpoint"`
	Token         string `json:"token_endpoint"`
	Pushed        string `json:"pushed_authorization_request_endpoint"`
	Introspection string `json:"introspection_endpoint"`
	Revocation    string `json:"revocation_endpoint"`
	Grants        string `json:"grant_management_endpoint"`
}

// NewKey makes a key for a client.
func NewKey() (*ecdsa.PrivateKey, error) { return ecdsa.GenerateKey(elliptic.P256(), rand.Reader) }

// keyID is that of a key which [JWKS] publishes.
const keyID = "1"

// JWKS is the public half of a key, as a service registers it.
func JWKS(key crypto.Signer) (json.RawMessage, error) {
	return json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: key.Public(), Algorithm: string(algorithm(key)), Use: "sig", KeyID: keyID}}})
}

// Tokens is the answer of the token endpoint.
type Tokens struct {
	Access    string          `json:"access_token"`
	Refresh   string          `json:"refresh_token"`
	ID        string          `json:"id_token"`
	Type      string          `json:"token_type"`
	ExpiresIn int             `json:"expires_in"`
	Scope     string          `json:"scope"`
	Grant     string          `json:"grant_id"`
	Details   json.RawMessage `json:"authorization_details"`
}

// Error is an answer that says what is wrong (RFC 6749 section 5.2).
type Error struct {
	Status      int    `json:"-"`
	Code        string `json:"error"`
	Description string `json:"error_description"`

	Header http.Header `json:"-"` // of the answer; nil: it came with a browser
}

// ErrAnswer is returned where what answers is no server of this kind, or something that stands before it.
var ErrAnswer = errors.New("the server does not answer as such a server does")

func (e *Error) Error() string { return fmt.Sprintf("%d %s: %s", e.Status, e.Code, e.Description) }

// Asked is an authorization request that waits for its answer.
type Asked struct {
	URL      string // where the person goes
	State    string
	Verifier string
}

// Ask pushes an authorization request (RFC 9126) with PKCE, and returns where the person is to be sent. more are further
// parameters, or others in place of those that are set.
func (c *Client) Ask(ctx context.Context, details any, more url.Values) (Asked, error) {
	return c.AskAs(ctx, Asked{State: rand.Text(), Verifier: NewVerifier()}, details, more)
}

// NewVerifier draws the secret of a request (RFC 7636).
func NewVerifier() string { return rand.Text() + rand.Text() }

// AskAs is Ask with a state and a verifier of one's own.
func (c *Client) AskAs(ctx context.Context, asked Asked, details any, more url.Values) (Asked, error) {
	about, err := c.discover(ctx)
	if err != nil {
		return Asked{}, err
	}
	text, err := json.Marshal(details)
	if err != nil {
		return Asked{}, err
	}
	challenge := sha256.Sum256([]byte(asked.Verifier))
	form := url.Values{"response_type": {"code"}, "redirect_uri": {c.Redirect}, "state": {asked.State}, "code_challenge_method": {"S256"},
		"code_challenge": {base64.RawURLEncoding.EncodeToString(challenge[:])}, "authorization_details": {string(text)}}
	for name, values := range more {
		form[name] = values
	}
	var answer struct {
		URI string `json:"request_uri"`
	}
	if err := c.Post(ctx, about.Pushed, form, &answer); err != nil {
		return asked, err
	}
	asked.URL = about.Authorization + "?" + url.Values{"client_id": {c.ID}, "request_uri": {answer.URI}}.Encode()
	return asked, nil
}

// Redeem gives the code of the redirect back for tokens, after it has checked that the redirect answers what was asked.
func (c *Client) Redeem(ctx context.Context, asked Asked, redirect url.Values) (Tokens, error) {
	var t Tokens
	if redirect.Get("iss") != c.Issuer || redirect.Get("state") != asked.State {
		return t, errors.New("the redirect answers something else: its iss or state is not what it should be")
	}
	if code := redirect.Get("error"); code != "" {
		return t, &Error{Code: code, Description: redirect.Get("error_description")}
	}
	return t, c.token(ctx, url.Values{"grant_type": {"authorization_code"}, "code": {redirect.Get("code")}, "redirect_uri": {c.Redirect}, "code_verifier": {asked.Verifier}}, &t)
}

// Refresh gets a new access token.
func (c *Client) Refresh(ctx context.Context, refresh string) (Tokens, error) {
	var t Tokens
	return t, c.token(ctx, url.Values{"grant_type": {"refresh_token"}, "refresh_token": {refresh}}, &t)
}

// Follow gets tokens for what the operator whom a person left signed for this client (RFC 7523 section 2.1).
func (c *Client) Follow(ctx context.Context, statement string) (Tokens, error) {
	var t Tokens
	return t, c.token(ctx, url.Values{"grant_type": {"urn:ietf:params:oauth:grant-type:jwt-bearer"}, "assertion": {statement}}, &t)
}

// Credentials gets a token that concerns nobody's data.
func (c *Client) Credentials(ctx context.Context, scope string) (Tokens, error) {
	var t Tokens
	return t, c.token(ctx, url.Values{"grant_type": {"client_credentials"}, "scope": {scope}}, &t)
}

func (c *Client) token(ctx context.Context, form url.Values, t *Tokens) error {
	about, err := c.discover(ctx)
	if err != nil {
		return err
	}
	return c.Post(ctx, about.Token, form, t)
}

// Introspect asks about a token of one's own (RFC 7662).
func (c *Client) Introspect(ctx context.Context, token string) (map[string]any, error) {
	about, err := c.discover(ctx)
	if err != nil {
		return nil, err
	}
	var answer map[string]any
	return answer, c.Post(ctx, about.Introspection, url.Values{"token": {token}}, &answer)
}

// Revoke ends a token (RFC 7009).
func (c *Client) Revoke(ctx context.Context, token string) error {
	about, err := c.discover(ctx)
	if err != nil {
		return err
	}
	return c.Post(ctx, about.Revocation, url.Values{"token": {token}}, nil)
}

// Post sends a form, with who the client is and a DPoP proof, and reads the answer. It tries once more where the server
// wants its own nonce in the proof.
func (c *Client) Post(ctx context.Context, to string, form url.Values, answer any) error {
	for tries := 0; ; tries++ {
		assertion, err := c.Assertion()
		if err != nil {
			return err
		}
		form.Set("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer")
		form.Set("client_assertion", assertion)
		r, err := http.NewRequestWithContext(ctx, http.MethodPost, to, strings.NewReader(form.Encode()))
		if err != nil {
			return err
		}
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		response, body, err := c.do(r, "")
		if err != nil {
			return err
		}
		status := response.StatusCode
		if status < http.StatusBadRequest {
			if answer == nil {
				return nil
			}
			return json.Unmarshal(body, answer)
		}
		fault := &Error{Status: status, Header: response.Header}
		if err := json.Unmarshal(body, fault); err != nil {
			return fmt.Errorf("%w: %d: %.200s", ErrAnswer, status, body)
		}
		if fault.Code != "use_dpop_nonce" || tries > 0 {
			return fault
		}
	}
}

func (c *Client) do(r *http.Request, token string) (*http.Response, []byte, error) {
	response, err := c.send(r, token)
	if err != nil {
		return nil, nil, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	return response, body, err
}

// send sends a request with a DPoP proof, and keeps the nonce that the server gives.
func (c *Client) send(r *http.Request, token string) (*http.Response, error) {
	proof, err := c.DPoP(r.Method, r.URL.String(), token)
	if err != nil {
		return nil, err
	}
	r.Header.Set("DPoP", proof)
	if token != "" {
		r.Header.Set("Authorization", "DPoP "+token)
	}
	client := c.HTTP
	if client == nil {
		client = http.DefaultClient
	}
	response, err := client.Do(r)
	if err != nil {
		return nil, err
	}
	if nonce := response.Header.Get("DPoP-Nonce"); nonce != "" {
		c.SetNonce(nonce)
	}
	return response, nil
}

// SetNonce sets the nonce of the next proofs (RFC 9449 section 8), which the client otherwise learns from answers.
func (c *Client) SetNonce(nonce string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.nonce = nonce
}

// Get reads from a protected resource with a token. The caller closes the body.
func (c *Client) Get(ctx context.Context, from, token string, header http.Header) (*http.Response, error) {
	return c.Do(ctx, http.MethodGet, from, token, header)
}

// Do is Get with any method.
func (c *Client) Do(ctx context.Context, method, to, token string, header http.Header) (*http.Response, error) {
	return c.Send(ctx, method, to, token, header, nil)
}

// Send is Do with a body.
func (c *Client) Send(ctx context.Context, method, to, token string, header http.Header, body []byte) (*http.Response, error) {
	for tries := 0; ; tries++ {
		r, err := http.NewRequestWithContext(ctx, method, to, bytes.NewReader(body))
		if err != nil {
			return nil, err
		}
		for name, values := range header {
			r.Header[name] = values
		}
		response, err := c.send(r, token)
		if err != nil || tries > 0 || response.StatusCode != http.StatusUnauthorized ||
			!strings.Contains(response.Header.Get("WWW-Authenticate"), "use_dpop_nonce") {
			return response, err
		}
		response.Body.Close()
	}
}

// Assertion proves who the client is (RFC 7523, private_key_jwt).
func (c *Client) Assertion() (string, error) {
	now := time.Now()
	kid := c.KeyID
	if kid == "" {
		kid = keyID
	}
	return sign(c.Key, &jose.SignerOptions{ExtraHeaders: map[jose.HeaderKey]any{"kid": kid}}, map[string]any{
		"iss": c.ID, "sub": c.ID, "aud": c.Issuer, "jti": rand.Text(), "iat": now.Unix(), "exp": now.Add(time.Minute).Unix()})
}

// DPoP proves that the client holds its key, for one request (RFC 9449).
func (c *Client) DPoP(method, to, token string) (string, error) {
	target, _, _ := strings.Cut(to, "?")
	claims := map[string]any{"jti": rand.Text(), "htm": method, "htu": target, "iat": time.Now().Unix()}
	c.mu.Lock()
	if c.nonce != "" {
		claims["nonce"] = c.nonce
	}
	c.mu.Unlock()
	if token != "" {
		sum := sha256.Sum256([]byte(token))
		claims["ath"] = base64.RawURLEncoding.EncodeToString(sum[:])
	}
	return sign(c.Proof, &jose.SignerOptions{EmbedJWK: true, ExtraHeaders: map[jose.HeaderKey]any{jose.HeaderType: "dpop+jwt"}}, claims)
}

func algorithm(key crypto.Signer) jose.SignatureAlgorithm {
	if _, ok := key.Public().(ed25519.PublicKey); ok {
		return jose.EdDSA
	}
	return jose.ES256
}

// sign signs claims. The key may be kept elsewhere.
func sign(key crypto.Signer, options *jose.SignerOptions, claims map[string]any) (string, error) {
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: algorithm(key), Key: cryptosigner.Opaque(key)}, options)
	if err != nil {
		return "", err
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		return "", err
	}
	signed, err := signer.Sign(payload)
	if err != nil {
		return "", err
	}
	return signed.CompactSerialize()
}

func (c *Client) discover(ctx context.Context) (*metadata, error) {
	c.mu.Lock()
	about := c.about
	c.mu.Unlock()
	if about != nil {
		return about, nil
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, c.Issuer+"/.well-known/oauth-authorization-server", nil)
	if err != nil {
		return nil, err
	}
	response, body, err := c.do(r, "")
	if err != nil {
		return nil, err
	}
	about = &metadata{}
	if err := json.Unmarshal(body, about); err != nil || response.StatusCode != http.StatusOK || about.Issuer != c.Issuer {
		return nil, fmt.Errorf("%w: %s does not describe itself as an authorization server: it answers %d", ErrAnswer, c.Issuer, response.StatusCode)
	}
	c.mu.Lock()
	c.about = about
	c.mu.Unlock()
	return about, nil
}
