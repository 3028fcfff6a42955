package provider_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/passerelle-cloud/passerelle/operators/provider"
	"github.com/passerelle-cloud/passerelle/operators/provider/providertest"
)

const home = "https://data.bank.example/sign-in/provider/callback"

func open(t testing.TB, p *providertest.Provider) *provider.Provider {
	t.Helper()
	made, err := provider.New(provider.Config{Issuer: p.URL, ClientID: providertest.ClientID, ClientSecret: providertest.ClientSecret, Local: true})
	if err != nil {
		t.Fatal(err)
	}
	return made
}

// visit does what a browser does: it goes there, and returns what it brings back.
func visit(t testing.TB, location string) url.Values {
	t.Helper()
	stay := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	answer, err := stay.Get(location)
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	back, err := url.Parse(answer.Header.Get("Location"))
	if err != nil || !strings.HasPrefix(back.String(), home) {
		t.Fatal(back, err)
	}
	return back.Query()
}

func TestSignIn(t *testing.T) {
	there := providertest.New(t)
	p := open(t, there)
	for _, fresh := range []bool{false, true} {
		location, state, err := p.Begin(t.Context(), home, fresh)
		if err != nil {
			t.Fatal(err)
		}
		id, err := p.Finish(t.Context(), state, visit(t, location))
		if err != nil || id.Issuer != there.URL || id.Subject != "person-17" || id.Name != "A Person" {
			t.Errorf("%+v, %v", id, err)
		}
		asked := there.Asked[len(there.Asked)-1]
		if asked.Get("scope") != "openid" || asked.Get("code_challenge_method") != "S256" || len(asked.Get("nonce")) < 20 || len(asked.Get("state")) < 20 || asked.Get("response_type") != "code" {
			t.Errorf("asked by %v", asked)
		}
		if got := asked.Get("prompt") == "login" && asked.Get("max_age") == "0"; got != fresh {
			t.Errorf("fresh: %v, asked by %v", fresh, asked)
		}
	}
	there.Rotate()
	location, state, err := p.Begin(t.Context(), home, false)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Finish(t.Context(), state, visit(t, location)); err != nil {
		t.Errorf("after the provider has a new key: %v", err)
	}
}

// symmetric signs by the secret that the provider and we share.
func symmetric(claims []byte) string {
	key := bytes.Repeat([]byte(providertest.ClientSecret), 3)
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.HS256, Key: key}, nil)
	if err != nil {
		panic(err)
	}
	signed, err := signer.Sign(claims)
	if err != nil {
		panic(err)
	}
	compact, _ := signed.CompactSerialize()
	return compact
}

// stranger signs by a key that nobody published.
func stranger(claims []byte) string {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: key}, nil)
	if err != nil {
		panic(err)
	}
	signed, err := signer.Sign(claims)
	if err != nil {
		panic(err)
	}
	compact, _ := signed.CompactSerialize()
	return compact
}

// endless begins an answer that is good, and sends ten megabytes of it.
func endless(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	io.WriteString(w, `{"x":"`)
	for range 10 << 4 {
		if _, err := w.Write(bytes.Repeat([]byte("x"), 1<<16)); err != nil {
			return
		}
	}
	io.WriteString(w, `"}`)
}

func unsigned(claims []byte) string {
	return base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none"}`)) + "." + base64.RawURLEncoding.EncodeToString(claims) + "."
}

func says(status int, kind, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", kind)
		w.WriteHeader(status)
		io.WriteString(w, body)
	}
}

// TestWhatComesBack: nothing that does not hold is believed.
func TestWhatComesBack(t *testing.T) {
	claim := func(name string, value any) func(*providertest.Provider) {
		return func(p *providertest.Provider) {
			p.Claims = func(claims map[string]any) {
				if claims[name] = value; value == nil {
					delete(claims, name)
				}
			}
		}
	}
	back := func(name, value string) func(*providertest.Provider) {
		return func(p *providertest.Provider) { p.Redirect = func(q url.Values) { q.Set(name, value) } }
	}
	for name, c := range map[string]struct {
		fault func(*providertest.Provider)
		want  error
	}{
		"another nonce":           {claim("nonce", "x"), provider.ErrInvalid},
		"no nonce":                {claim("nonce", nil), provider.ErrInvalid},
		"for somebody else":       {claim("aud", "other"), provider.ErrInvalid},
		"for two":                 {claim("aud", []string{providertest.ClientID, "other"}), provider.ErrInvalid},
		"given to somebody else":  {claim("azp", "other"), provider.ErrInvalid},
		"another issuer":          {claim("iss", "https://evil.example"), provider.ErrInvalid},
		"too old":                 {claim("exp", time.Now().Add(-time.Minute).Unix()), provider.ErrInvalid},
		"of tomorrow":             {claim("iat", time.Now().Add(24*time.Hour).Unix()), provider.ErrInvalid},
		"without time":            {claim("iat", nil), provider.ErrInvalid},
		"nobody":                  {claim("sub", ""), provider.ErrInvalid},
		"a long name":             {claim("sub", strings.Repeat("x", 256)), provider.ErrInvalid},
		"a strange name":          {claim("sub", "é"), provider.ErrInvalid},
		"proved long ago":         {claim("auth_time", time.Now().Add(-time.Hour).Unix()), provider.ErrInvalid},
		"not proved":              {claim("auth_time", nil), provider.ErrInvalid},
		"another access token":    {claim("at_hash", "x"), provider.ErrInvalid},
		"unsigned":                {func(p *providertest.Provider) { p.Sign = unsigned }, provider.ErrInvalid},
		"signed by our secret":    {func(p *providertest.Provider) { p.Sign = symmetric }, provider.ErrInvalid},
		"signed by another key":   {func(p *providertest.Provider) { p.Sign = stranger }, provider.ErrInvalid},
		"a claim of another kind": {claim("auth_time", "now"), provider.ErrInvalid},
		"proved tomorrow":         {claim("auth_time", time.Now().Add(24*time.Hour).Unix()), provider.ErrInvalid},
		"proved in no calendar":   {claim("auth_time", 1e300), provider.ErrInvalid},
		"given to nobody":         {claim("azp", ""), provider.ErrInvalid},
		"without end":             {claim("exp", nil), provider.ErrInvalid},
		"no ID token": {func(p *providertest.Provider) {
			p.Token = says(200, "application/json", `{"access_token":"x","token_type":"Bearer"}`)
		}, provider.ErrInvalid},
		"another state":           {back("state", "x"), provider.ErrInvalid},
		"answered by another":     {back("iss", "https://evil.example"), provider.ErrInvalid},
		"a code that nobody gave": {back("code", "x"), provider.ErrInvalid},
		"no code":                 {back("code", ""), provider.ErrInvalid},
		"the person says no":      {back("error", "access_denied"), provider.ErrDenied},
		"the provider is busy":    {back("error", "temporarily_unavailable"), provider.ErrUnavailable},
		"an empty issuer":         {back("iss", ""), provider.ErrInvalid},
		"two states":              {func(p *providertest.Provider) { p.Redirect = func(q url.Values) { q.Add("state", "x") } }, provider.ErrInvalid},
		"two codes":               {func(p *providertest.Provider) { p.Redirect = func(q url.Values) { q.Add("code", "x") } }, provider.ErrInvalid},
		"it does not know us":     {func(p *providertest.Provider) { p.Token = says(401, "application/json", `{"error":"invalid_client"}`) }, provider.ErrUnavailable},
		"broken, and says why":    {func(p *providertest.Provider) { p.Token = says(503, "application/json", `{"error":"server_error"}`) }, provider.ErrUnavailable},
		"no keys":                 {func(p *providertest.Provider) { p.Keys = says(500, "text/plain", "oops") }, provider.ErrUnavailable},
		"a page for keys":         {func(p *providertest.Provider) { p.Keys = says(200, "text/html", "<html>") }, provider.ErrUnavailable},
		"keys without end":        {func(p *providertest.Provider) { p.Keys = endless }, provider.ErrUnavailable},
		"an answer without end":   {func(p *providertest.Provider) { p.Token = endless }, provider.ErrUnavailable},
		"broken":                  {func(p *providertest.Provider) { p.Token = says(500, "text/plain", "oops") }, provider.ErrUnavailable},
		"a page for a token":      {func(p *providertest.Provider) { p.Token = says(200, "text/html", "<html>") }, provider.ErrUnavailable},
		"far too much": {func(p *providertest.Provider) {
			p.Token = says(200, "application/json", `{"x":"`+strings.Repeat("x", 2<<20)+`"}`)
		}, provider.ErrUnavailable},
		"it says its name, but not": {func(p *providertest.Provider) {
			p.Metadata = func(about map[string]any) { about["authorization_response_iss_parameter_supported"] = true }
		}, provider.ErrInvalid},
	} {
		t.Run(name, func(t *testing.T) {
			there := providertest.New(t)
			c.fault(there)
			p := open(t, there)
			location, state, err := p.Begin(t.Context(), home, true)
			if err != nil {
				t.Fatal(err)
			}
			if id, err := p.Finish(t.Context(), state, visit(t, location)); !errors.Is(err, c.want) || id != (provider.Identity{}) {
				t.Errorf("%+v, %v", id, err)
			}
		})
	}
}

func TestACodeServesOnce(t *testing.T) {
	there := providertest.New(t)
	p := open(t, there)
	location, state, err := p.Begin(t.Context(), home, false)
	if err != nil {
		t.Fatal(err)
	}
	back := visit(t, location)
	if _, err := p.Finish(t.Context(), state, back); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Finish(t.Context(), state, back); !errors.Is(err, provider.ErrInvalid) {
		t.Errorf("a second time: %v", err)
	}
}

// TestDiscovery: a provider that is no such one.
func TestDiscovery(t *testing.T) {
	for name, about := range map[string]func(map[string]any){
		"another issuer":    func(about map[string]any) { about["issuer"] = "https://evil.example" },
		"an insecure token": func(about map[string]any) { about["token_endpoint"] = "http://evil.example/token" },
		"insecure keys":     func(about map[string]any) { about["jwks_uri"] = "http://evil.example/jwks" },
		"no keys":           func(about map[string]any) { delete(about, "jwks_uri") },
		"a fragment":        func(about map[string]any) { about["authorization_endpoint"] = "https://sso.example/#" },
		"no way for us": func(about map[string]any) {
			about["token_endpoint_auth_methods_supported"] = []string{"private_key_jwt"}
		},
		"an odd kind":        func(about map[string]any) { about["authorization_response_iss_parameter_supported"] = "yes" },
		"an insecure way in": func(about map[string]any) { about["authorization_endpoint"] = "javascript:alert(1)" },
	} {
		there := providertest.New(t)
		there.Metadata = about
		if _, _, err := open(t, there).Begin(t.Context(), home, false); !errors.Is(err, provider.ErrUnavailable) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestComesUpLater(t *testing.T) {
	there := providertest.New(t)
	down := true
	there.Metadata = func(about map[string]any) {
		if down {
			about["issuer"] = "starting"
		}
	}
	now := time.Now()
	p, err := provider.New(provider.Config{Issuer: there.URL, ClientID: "x", Local: true, Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	begin := func() error { _, _, err := p.Begin(t.Context(), home, false); return err }
	if err := begin(); !errors.Is(err, provider.ErrUnavailable) {
		t.Errorf("while it is down: %v", err)
	}
	down = false
	if err := begin(); !errors.Is(err, provider.ErrUnavailable) {
		t.Errorf("it is not left alone: %v", err)
	}
	now = now.Add(4 * time.Second)
	if err := begin(); err != nil {
		t.Errorf("when it is up: %v", err)
	}
}

func TestConfig(t *testing.T) {
	for _, c := range []provider.Config{
		{Issuer: "http://sso.example", ClientID: "x"}, {Issuer: "http://sso.example", ClientID: "x", Local: true}, {Issuer: "http://localhost:1", ClientID: "x"},
		{Issuer: "https://sso.example?", ClientID: "x"}, {Issuer: "https://sso.example#", ClientID: "x"}, {Issuer: "https://:443", ClientID: "x"},
		{Issuer: "https://sso.example?x=1", ClientID: "x"}, {Issuer: "https://sso.example#x", ClientID: "x"}, {Issuer: "https://u:p@sso.example", ClientID: "x"},
		{Issuer: "sso.example", ClientID: "x"}, {Issuer: "https://sso.example"}, {},
	} {
		if _, err := provider.New(c); !errors.Is(err, provider.ErrConfig) {
			t.Errorf("%+v: %v", c, err)
		}
	}
	if _, err := provider.New(provider.Config{Issuer: "https://sso.example/realm", ClientID: "x"}); err != nil {
		t.Error(err)
	}
}

func TestSealed(t *testing.T) {
	secret, other := bytes.Repeat([]byte{1}, 32), bytes.Repeat([]byte{2}, 32)
	now := time.Now()
	s := provider.State{State: "s", Nonce: "n", Verifier: "v", Redirect: home, Begun: now, Purpose: "link", Next: "/account"}
	sealed, err := s.Seal(secret)
	if err != nil {
		t.Fatal(err)
	}
	got, err := provider.Open(secret, sealed, now)
	if err != nil || got.State != s.State || got.Next != s.Next || !got.Begun.Equal(now) {
		t.Errorf("%+v, %v", got, err)
	}
	if _, err := provider.Open(secret, sealed, now.Add(provider.Lifetime+time.Second)); !errors.Is(err, provider.ErrExpired) {
		t.Errorf("%v", err)
	}
	if _, err := provider.Open(other, sealed, now); !errors.Is(err, provider.ErrInvalid) {
		t.Errorf("%v", err)
	}
	if _, err := provider.OpenIdentity(secret, sealed, now); !errors.Is(err, provider.ErrInvalid) {
		t.Errorf("a state is taken for an identity: %v", err)
	}
	id, err := provider.Identity{Issuer: "i", Subject: "s", Begun: now}.Seal(secret)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := provider.Open(secret, id, now); !errors.Is(err, provider.ErrInvalid) {
		t.Errorf("an identity is taken for a state: %v", err)
	}
	if _, err := provider.OpenIdentity(secret, id, now.Add(time.Hour)); !errors.Is(err, provider.ErrExpired) {
		t.Errorf("%v", err)
	}
}

// FuzzOpen: whatever a browser keeps for us, only what we sealed opens.
func FuzzOpen(f *testing.F) {
	secret := bytes.Repeat([]byte{1}, 32)
	sealed, err := provider.State{State: "s", Begun: time.Now()}.Seal(secret)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(sealed)
	f.Add(sealed[:20])
	f.Add("")
	f.Fuzz(func(t *testing.T, text string) {
		// Each process of the fuzzer seals a seed of its own; what opens can only be one of them.
		if state, err := provider.Open(secret, text, time.Now()); err == nil && state.State != "s" {
			t.Errorf("%q opens as %+v", text, state)
		}
	})
}
