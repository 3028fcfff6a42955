package provider_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/passerelle-cloud/passerelle/operators/provider"
	"github.com/passerelle-cloud/passerelle/operators/provider/providertest"
)

func signIn(t testing.TB, p *provider.Provider, fresh bool) (provider.Identity, error) {
	t.Helper()
	location, state, err := p.Begin(t.Context(), home, fresh)
	if err != nil {
		t.Fatal(err)
	}
	return p.Finish(t.Context(), state, visit(t, location))
}

// hung never answers; it leaves when the client does.
func hung(_ http.ResponseWriter, r *http.Request) {
	io.Copy(io.Discard, r.Body) // until then the server does not see who leaves
	<-r.Context().Done()
}

func TestAlgorithms(t *testing.T) {
	for _, alg := range []jose.SignatureAlgorithm{jose.RS256, jose.RS384, jose.RS512, jose.PS256, jose.PS384, jose.PS512, jose.ES256, jose.ES384, jose.ES512, jose.EdDSA} {
		there := providertest.New(t)
		there.Use(alg)
		if id, err := signIn(t, open(t, there), false); err != nil || id.Subject != there.Subject {
			t.Errorf("%s: %+v, %v", alg, id, err)
		}
	}
}

// TestWhoWeAre: each provider is shown in its own way that we are its client, and in no other.
func TestWhoWeAre(t *testing.T) {
	for _, c := range []struct{ auth, secret string }{
		{"", providertest.ClientSecret}, {"client_secret_basic", providertest.ClientSecret}, {"client_secret_post", providertest.ClientSecret}, {"none", ""},
	} {
		there := providertest.New(t)
		there.Auth = c.auth
		p, err := provider.New(provider.Config{Issuer: there.URL, ClientID: providertest.ClientID, ClientSecret: c.secret, Local: true})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := signIn(t, p, false); err != nil {
			t.Errorf("%q: %v", c.auth, err)
		}
	}
}

// TestRefusedOnce: a code that is refused is not sent again, and what the provider answers is not for a log.
func TestRefusedOnce(t *testing.T) {
	for _, status := range []int{400, 500} {
		there := providertest.New(t)
		there.Token = says(status, "text/html", "<p>a token "+strings.Repeat("x", 1<<16))
		_, err := signIn(t, open(t, there), false)
		if err == nil || there.Count("/token") != 1 || strings.Contains(err.Error(), "a token") || len(err.Error()) > 400 {
			t.Errorf("sent %d times: %.500v", there.Count("/token"), err)
		}
	}
}

func TestKeysAreKept(t *testing.T) {
	there := providertest.New(t)
	p := open(t, there)
	for range 3 {
		if _, err := signIn(t, p, false); err != nil {
			t.Fatal(err)
		}
	}
	if got := there.Count("/jwks"); got != 1 {
		t.Errorf("keys were asked for %d times", got)
	}
	there.Rotate()
	if _, err := signIn(t, p, false); err != nil || there.Count("/jwks") != 2 {
		t.Errorf("after a new key they were asked for %d times, %v", there.Count("/jwks"), err)
	}
}

// TestManyAtOnce: whoever comes while the provider is being asked waits for that answer.
func TestManyAtOnce(t *testing.T) {
	there := providertest.New(t)
	p := open(t, there)
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			if _, _, err := p.Begin(t.Context(), home, false); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if got := there.Count("/.well-known/openid-configuration"); got != 1 {
		t.Errorf("metadata were asked for %d times", got)
	}
}

// TestSomebodyLeaves: who waits for a provider may give up, and takes nobody else along.
func TestSomebodyLeaves(t *testing.T) {
	there := providertest.New(t)
	come, wait := make(chan struct{}), make(chan struct{})
	there.Discovery = func(w http.ResponseWriter, _ *http.Request) {
		close(come)
		<-wait
		says(200, "application/json", `{"issuer":"`+there.URL+`","authorization_endpoint":"https://a.example","token_endpoint":"https://a.example","jwks_uri":"https://a.example"}`)(w, nil)
	}
	p := open(t, there)
	ctx, leave := context.WithCancel(t.Context())
	go func() { <-come; leave() }()
	if _, _, err := p.Begin(ctx, home, false); !errors.Is(err, provider.ErrUnavailable) || !errors.Is(err, context.Canceled) {
		t.Errorf("who left: %v", err)
	}
	close(wait)
	if _, _, err := p.Begin(t.Context(), home, false); err != nil {
		t.Errorf("who stayed: %v", err)
	}
}

func TestNoProvider(t *testing.T) {
	for name, answer := range map[string]http.HandlerFunc{
		"a page": says(200, "text/html", "<html>"), "nothing": says(200, "application/json", ""), "not there": says(404, "text/plain", "?"), "broken": says(500, "text/plain", strings.Repeat("oops\n", 1e5)),
		"no end": endless, "no answer": hung, "elsewhere": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://localhost:1/", http.StatusFound)
		},
		"round and round": func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, r.URL.Path, http.StatusFound) },
	} {
		t.Run(name, func(t *testing.T) {
			there := providertest.New(t)
			there.Discovery = answer
			p, err := provider.New(provider.Config{Issuer: there.URL, ClientID: "x", Local: true, Client: impatient()})
			if err != nil {
				t.Fatal(err)
			}
			if _, _, err := p.Begin(t.Context(), home, false); !errors.Is(err, provider.ErrUnavailable) || len(err.Error()) > 400 {
				t.Errorf("%.500v", err)
			}
			if got := there.Count("/.well-known/openid-configuration"); got > 4 {
				t.Errorf("it was asked %d times", got)
			}
		})
	}
}

func impatient() *http.Client { return &http.Client{Timeout: 300 * time.Millisecond} }

// TestHangs: a provider that says good day, and then nothing.
func TestHangs(t *testing.T) {
	for name, fault := range map[string]func(*providertest.Provider){
		"token": func(p *providertest.Provider) { p.Token = hung },
		"keys":  func(p *providertest.Provider) { p.Keys = hung },
	} {
		there := providertest.New(t)
		fault(there)
		p, err := provider.New(provider.Config{Issuer: there.URL, ClientID: providertest.ClientID, ClientSecret: providertest.ClientSecret, Local: true, Client: impatient()})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := signIn(t, p, false); !errors.Is(err, provider.ErrUnavailable) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestStartsAfterUs: nothing listens when we start.
func TestStartsAfterUs(t *testing.T) {
	place, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := place.Addr().String()
	place.Close()
	now := time.Now()
	p, err := provider.New(provider.Config{Issuer: "http://" + address, ClientID: "x", Local: true, Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := p.Begin(t.Context(), home, false); !errors.Is(err, provider.ErrUnavailable) {
		t.Fatalf("while nothing listens: %v", err)
	}
	if place, err = net.Listen("tcp", address); err != nil {
		t.Skip("somebody else took the port:", err)
	}
	about := `{"issuer":"http://` + address + `","authorization_endpoint":"https://a.example","token_endpoint":"https://a.example","jwks_uri":"https://a.example"}`
	server := &httptest.Server{Listener: place, Config: &http.Server{Handler: says(200, "application/json", about)}}
	server.Start()
	defer server.Close()
	now = now.Add(time.Minute)
	if _, _, err := p.Begin(t.Context(), home, false); err != nil {
		t.Errorf("when it listens: %v", err)
	}
}

// TestFresh: the person must have proved who they are since they left, give or take a minute.
func TestFresh(t *testing.T) {
	for ago, want := range map[time.Duration]error{0: nil, 30 * time.Second: nil, 2 * time.Minute: provider.ErrInvalid} {
		there := providertest.New(t)
		at := time.Now().Add(-ago).Truncate(time.Second)
		there.Claims = func(claims map[string]any) { claims["auth_time"] = at.Unix() }
		p := open(t, there)
		id, err := signIn(t, p, true)
		if !errors.Is(err, want) || err == nil && !id.AuthTime.Equal(at) {
			t.Errorf("%v ago: %+v, %v", ago, id, err)
		}
		if id, err = signIn(t, p, false); err != nil || !id.AuthTime.Equal(at) {
			t.Errorf("%v ago, and it need not be fresh: %+v, %v", ago, id, err)
		}
	}
}

// TestTwoAudiences: an ID token for others too is ours if it was given to us.
func TestTwoAudiences(t *testing.T) {
	there := providertest.New(t)
	there.Claims = func(claims map[string]any) {
		claims["aud"], claims["azp"] = []string{providertest.ClientID, "other"}, providertest.ClientID
	}
	if _, err := signIn(t, open(t, there), false); err != nil {
		t.Error(err)
	}
}

// TestAnnounced: a provider that says its name in redirects, and does.
func TestAnnounced(t *testing.T) {
	there := providertest.New(t)
	there.Metadata = func(about map[string]any) { about["authorization_response_iss_parameter_supported"] = true }
	there.Redirect = func(q url.Values) { q.Set("iss", there.URL) }
	if _, err := signIn(t, open(t, there), false); err != nil {
		t.Error(err)
	}
}

// TestAnotherState: a state that was begun too long ago, or at another provider, costs the provider no request.
func TestAnotherState(t *testing.T) {
	there := providertest.New(t)
	p := open(t, there)
	for name, c := range map[string]struct {
		change func(*provider.State)
		want   error
	}{
		"old":              {func(s *provider.State) { s.Begun = s.Begun.Add(-provider.Lifetime) }, provider.ErrExpired},
		"of tomorrow":      {func(s *provider.State) { s.Begun = s.Begun.Add(24 * time.Hour) }, provider.ErrInvalid},
		"of nobody":        {func(s *provider.State) { *s = provider.State{Begun: s.Begun} }, provider.ErrInvalid},
		"another provider": {func(s *provider.State) { s.Issuer = "https://other.example" }, provider.ErrInvalid},
	} {
		location, state, err := p.Begin(t.Context(), home, false)
		if err != nil {
			t.Fatal(err)
		}
		c.change(&state)
		if _, err := p.Finish(t.Context(), state, visit(t, location)); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if got := there.Count("/token"); got != 0 {
		t.Errorf("%d codes were sent", got)
	}
}

// TestVerifier: who has the code, but not the verifier, gets nothing (RFC 7636).
func TestVerifier(t *testing.T) {
	p := open(t, providertest.New(t))
	location, state, err := p.Begin(t.Context(), home, false)
	if err != nil {
		t.Fatal(err)
	}
	state.Verifier = strings.Repeat("x", 43)
	if _, err := p.Finish(t.Context(), state, visit(t, location)); !errors.Is(err, provider.ErrInvalid) {
		t.Error(err)
	}
}

// TestShown: names are somebody else's words.
func TestShown(t *testing.T) {
	there := providertest.New(t)
	there.Claims = func(claims map[string]any) {
		claims["name"], claims["email"] = "Zoë\u202e\x00 \nÅ"+strings.Repeat("é", 1e4), strings.Repeat("x", 1e5)
	}
	id, err := signIn(t, open(t, there), false)
	if err != nil || !strings.HasPrefix(id.Name, "Zoë  Åéé") || len([]rune(id.Name)) != 200 || len(id.Email) != 200 {
		t.Errorf("%+v, %v", id, err)
	}
}
