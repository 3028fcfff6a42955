package bank

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// server is an authorization server as it describes itself (RFC 8414).
type server struct {
	Issuer        string   `json:"issuer"`
	Authorization string   `json:"authorization_endpoint"`
	Token         string   `json:"token_endpoint"`
	Methods       []string `json:"code_challenge_methods_supported"`

	read time.Time
}

// Redeem is what redeems the code with which a person's browser comes back. It holds a secret: keep it sealed.
type Redeem struct {
	Metadata string `json:"metadata"` // where the server describes itself
	State    string `json:"state"`
	Verifier string `json:"verifier"` // RFC 7636
	Return   string `json:"return"`
}

// Tokens are those of a bank's authorization server.
type Tokens struct {
	Access  string    `json:"access"`
	Refresh string    `json:"refresh,omitempty"`
	Until   time.Time `json:"until"` // of the access token
}

// PreStep begins the OAuth2 pre-step: the person authenticates, and only then a consent is asked for, with the token.
func (c *Client) PreStep(ctx context.Context, v Visit) (*Begun, error) {
	b := &Begun{}
	from := request{did: "begin the authentication", url: c.base}
	return b, c.oauth(ctx, b, v, from, c.profile.SCA.Metadata)
}

// oauth sends the person to the authorization server.
func (c *Client) oauth(ctx context.Context, b *Begun, v Visit, from request, href string) error {
	if len(v.State) < 20 {
		return errors.New("the state of an authentication is too short: draw it at random")
	}
	where, err := c.linked(from, href)
	if err != nil {
		return err
	}
	s, err := c.discover(ctx, where)
	if err != nil {
		return err
	}
	u, err := c.linked(request{did: from.did, url: where}, s.Authorization)
	if err != nil {
		return err
	}
	redeem := &Redeem{Metadata: where.String(), State: v.State, Verifier: rand.Text() + rand.Text(), Return: v.Return}
	challenge := sha256.Sum256([]byte(redeem.Verifier))
	scope := strings.Replace(c.profile.SCA.Scope, "%s", b.Consent, 1)
	q := u.Query()
	for name, value := range map[string]string{"response_type": "code", "client_id": c.clientID(), "redirect_uri": v.Return, "scope": scope, "state": v.State,
		"code_challenge": base64.RawURLEncoding.EncodeToString(challenge[:]), "code_challenge_method": "S256"} {
		q.Set(name, value)
	}
	u.RawQuery = q.Encode()
	b.Approach, b.Go, b.Redeem = OAuth, u.String(), redeem
	return nil
}

func (c *Client) clientID() string {
	if c.profile.SCA.ClientID != "" || c.identity == nil || c.identity.Transport == nil {
		return c.profile.SCA.ClientID
	}
	return c.identity.Transport.Organisation()
}

// describeAgain is how long what a server says of itself is kept.
const describeAgain = time.Hour

// discover reads what an authorization server says of itself. Its endpoints must be the bank's too, and it must know S256.
func (c *Client) discover(ctx context.Context, where *url.URL) (*server, error) {
	c.mu.Lock()
	s := c.auth[where.String()]
	c.mu.Unlock()
	if s != nil && time.Since(s.read) < describeAgain {
		return s, nil
	}
	r := request{did: "read what the authorization server says of itself", url: where}
	s = &server{read: time.Now()}
	a, err := c.get(ctx, r, s)
	if err != nil {
		return nil, err
	}
	if len(s.Methods) > 0 && !slices.Contains(s.Methods, "S256") {
		return nil, &Fault{Kind: ErrNotOffered, Bank: c.profile.Name, Did: r.did, Cause: fmt.Errorf("it protects codes with %.60q only, not with S256 (RFC 7636)", s.Methods)}
	}
	for _, endpoint := range []string{s.Issuer, s.Authorization, s.Token} {
		if u, err := url.Parse(endpoint); err != nil || !u.IsAbs() {
			return nil, c.unreadable(r, a, errors.New("its issuer or an endpoint is missing (RFC 8414)"))
		}
		if _, err := c.linked(r, endpoint); err != nil {
			return nil, err
		}
	}
	c.mu.Lock()
	c.auth[where.String()] = s
	c.mu.Unlock()
	return s, nil
}

// Returned redeems the code with which a person's browser came back. The error wraps [ErrDeclined] where the person said no.
func (c *Client) Returned(ctx context.Context, redeem Redeem, query url.Values) (*Tokens, error) {
	refuse := func(kind error, why string) error {
		return &Fault{Kind: kind, Bank: c.profile.Name, Did: "finish the authentication", Cause: errors.New(why)}
	}
	where, err := url.Parse(redeem.Metadata)
	if err != nil {
		return nil, err
	}
	s, err := c.discover(ctx, where)
	if err != nil {
		return nil, err
	}
	switch iss := query.Get("iss"); {
	case redeem.State == "" || query.Get("state") != redeem.State:
		return nil, refuse(ErrDeclined, "the browser came back with the answer to another request: begin again")
	case iss != "" && iss != s.Issuer: // RFC 9207
		return nil, refuse(ErrElsewhere, fmt.Sprintf("the answer is from %.100q", iss))
	case query.Get("error") == "access_denied":
		return nil, refuse(ErrDeclined, "they said no")
	case query.Get("error") != "" || query.Get("code") == "":
		return nil, refuse(ErrRefused, fmt.Sprintf("there is no code, but %.60q", query.Get("error")))
	}
	return c.token(ctx, s, url.Values{"grant_type": {"authorization_code"}, "code": {query.Get("code")}, "redirect_uri": {redeem.Return}, "code_verifier": {redeem.Verifier}})
}

// Renew gets another access token. The error wraps [ErrConsentGone] where the person has to authenticate again.
func (c *Client) Renew(ctx context.Context, metadata string, t Tokens) (*Tokens, error) {
	where, err := url.Parse(metadata)
	if err != nil {
		return nil, err
	}
	s, err := c.discover(ctx, where)
	if err != nil {
		return nil, err
	}
	fresh, err := c.token(ctx, s, url.Values{"grant_type": {"refresh_token"}, "refresh_token": {t.Refresh}})
	if err == nil && fresh.Refresh == "" {
		fresh.Refresh = t.Refresh
	}
	return fresh, err
}

// token asks the token endpoint. Who we are, the certificate shows (RFC 8705).
func (c *Client) token(ctx context.Context, s *server, form url.Values) (*Tokens, error) {
	form.Set("client_id", c.clientID())
	r := request{did: "get a token", method: http.MethodPost, accept: mediaJSON}
	var err error
	if r.url, err = c.linked(request{did: r.did, url: c.base}, s.Token); err != nil {
		return nil, err
	}
	a, err := c.postForm(ctx, r, form)
	if err != nil {
		return nil, err
	}
	var got struct {
		Access  string          `json:"access_token"`
		Type    string          `json:"token_type"`
		Refresh string          `json:"refresh_token"`
		Expires json.RawMessage `json:"expires_in"`
	}
	if err := c.decode(r, a, &got); err != nil {
		return nil, err
	}
	if got.Access == "" || !strings.EqualFold(got.Type, "bearer") || len(got.Access) > 16<<10 || strings.ContainsAny(got.Access, "\r\n") {
		return nil, c.unreadable(r, a, errors.New("it is no bearer token"))
	}
	var seconds int64
	if json.Unmarshal(bytes.Trim(got.Expires, `"`), &seconds) != nil || seconds <= 0 {
		seconds = 300 // it does not say: soon
	}
	return &Tokens{Access: got.Access, Refresh: got.Refresh, Until: time.Now().Add(time.Duration(min(seconds, 1<<30)) * time.Second)}, nil
}

// postForm sends a form to the authorization server, which knows nothing of signatures and requests of XS2A.
func (c *Client) postForm(ctx context.Context, r request, form url.Values) (*answer, error) {
	if err := c.pace.wait(ctx); err != nil {
		return nil, err
	}
	hr, err := http.NewRequestWithContext(ctx, r.method, r.url.String(), strings.NewReader(form.Encode()))
	if err != nil {
		return nil, err
	}
	hr.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	hr.Header.Set("Accept", mediaJSON)
	response, err := c.http.Do(hr)
	if err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, &Fault{Kind: kindOf(connectFault(err), ErrDown), Bank: c.profile.Name, Did: r.did, Cause: connectFault(err)}
	}
	defer response.Body.Close()
	if response.StatusCode >= 300 {
		f := &Fault{Bank: c.profile.Name, Did: r.did}
		return nil, f.of(response)
	}
	return c.receive(r, response, "")
}
