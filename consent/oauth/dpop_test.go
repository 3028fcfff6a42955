package oauth

import (
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
)

func TestSameTarget(t *testing.T) {
	for pair, want := range map[[2]string]bool{
		{"https://a.example/x", "https://a.example/x"}:                        true,
		{"https://a.example", "https://a.example/"}:                           true,
		{"https://a.example:/x", "https://a.example/x"}:                       true,
		{"https://a.example:443/x", "HTTPS://A.EXAMPLE/x"}:                    true,
		{"http://a.example:80/x", "http://a.example/x"}:                       true,
		{"https://[::1]:443/x", "https://[::1]/x"}:                            true,
		{"https://a.example/%7Ex/%c3%a9", "https://a.example/~x/%C3%A9"}:      true,
		{"https://a.example/x%2fy%61", "https://a.example/x%2Fya"}:            true,
		{"https://a.example/x%3Ay", "https://a.example/x:y"}:                  true,
		{"https://a.example/x?q#f", "https://a.example/x"}:                    true,
		{"https://a.example:80/x", "https://a.example/x"}:                     false,
		{"https://a.example:4443/x", "https://a.example:4/x"}:                 false,
		{"https://a.example/x%2Fy", "https://a.example/x/y"}:                  false,
		{"https://a.example/x%252Fy", "https://a.example/x%2Fy"}:              false,
		{"https://a.example/x/", "https://a.example/x"}:                       false,
		{"https://a.example//x", "https://a.example/x"}:                       false,
		{"https://a.example/y/../x", "https://a.example/x"}:                   false,
		{"https://a.example.evil.example/x", "https://a.example/x"}:           false,
		{"https://a.example@evil.example/x", "https://a.example/x"}:           false,
		{"//a.example/x", "https://a.example/x"}:                              false,
		{"/x", "/x"}:                                                          false,
		{"", ""}:                                                              false,
		{"https://a.example/%zz", "https://a.example/%zz"}:                    false,
		{"https://a.example/" + strings.Repeat("x", 2000), "https://a.exa/x"}: false,
	} {
		if sameTarget(pair[0], pair[1]) != want || sameTarget(pair[1], pair[0]) != want {
			t.Errorf("%q and %q: not %t", pair[0], pair[1], want)
		}
	}
}

func proofs() *dpop {
	now := func() time.Time { return start }
	return &dpop{once: memory(), nonces: newNonces(make([]byte, 32), now), now: now}
}

func proved(d *dpop, text, token string) (string, error) {
	r := httptest.NewRequest(http.MethodPost, issuer+"/x", nil)
	r.Header["Dpop"] = []string{text}
	return d.verify(r.Context(), r, issuer+"/x", token)
}

// TestWrittenProofs is about texts that a library would not write, each with a signature that is right.
func TestWrittenProofs(t *testing.T) {
	_, key, _ := ed25519.GenerateKey(nil)
	d := proofs()
	public, _ := json.Marshal(jose.JSONWebKey{Key: key.Public()})
	private, _ := json.Marshal(jose.JSONWebKey{Key: key})
	n := 0
	claims := func(more string) string {
		n++
		return fmt.Sprintf(`{"jti":"%d","htm":"POST","htu":"%s/x","iat":%d,"nonce":%q%s}`, n, issuer, start.Unix(), d.nonces.current(), more)
	}
	header := func(jwk, more string) string { return `{"alg":"EdDSA","typ":"dpop+jwt","jwk":` + jwk + more + `}` }
	for name, k := range map[string]struct {
		header, claims string
		want           error
	}{
		"as it should be":   {header(string(public), ""), claims(""), nil},
		"with a kid":        {header(string(public), `,"kid":"1"`), claims(""), nil},
		"hash, no token":    {header(string(public), ""), claims(`,"ath":"x"`), errProof},
		"a claim twice":     {header(string(public), ""), claims(`,"htm":"POST"`), errProof},
		"capitals":          {header(string(public), ""), strings.Replace(claims(""), `"iat"`, `"IAT"`, 1), errProof},
		"crit is b64":       {header(string(public), `,"b64":true,"crit":["b64"]`), claims(""), errProof},
		"a private key":     {header(string(private), ""), claims(""), errProof},
		"part of a private": {header(strings.Replace(string(public), `{`, `{"p":"AA",`, 1), ""), claims(""), errProof},
		"a shared secret":   {header(`{"kty":"oct","k":"AAAA"}`, ""), claims(""), errProof},
		"jwk twice":         {header(string(public), `,"jwk":`+string(public)), claims(""), errProof},
		"jwk is a list":     {header(`[`+string(public)+`]`, ""), claims(""), errProof},
		"jwk is nothing":    {header(`null`, ""), claims(""), errProof},
		"typ in capitals":   {strings.Replace(header(string(public), ""), "dpop", "DPOP", 1), claims(""), errProof},
		"a nonce of others": {header(string(public), ""), strings.Replace(claims(""), d.nonces.current(), newNonces([]byte("another secret"), d.now).current(), 1), errNonce},
		"a nonce and more":  {header(string(public), ""), strings.Replace(claims(""), d.nonces.current(), d.nonces.current()+"A", 1), errNonce},
	} {
		if _, err := proved(d, written(key, k.header, k.claims), ""); !errors.Is(err, k.want) || (err == nil) != (k.want == nil) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestProofOnce: of many that send one proof at once, one is heard; and another key may choose the same jti.
func TestProofOnce(t *testing.T) {
	d := proofs()
	claims := m{"jti": "1", "htm": "POST", "htu": issuer + "/x", "iat": start.Unix(), "nonce": d.nonces.current()}
	typ := map[jose.HeaderKey]any{jose.HeaderType: "dpop+jwt"}
	proof := jws(t, jose.ES256, ecKey(), typ, true, claims)
	var won atomic.Int64
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			if _, err := proved(d, proof, ""); err == nil {
				won.Add(1)
			} else if !errors.Is(err, errReplay) {
				t.Error(err)
			}
		})
	}
	if wg.Wait(); won.Load() != 1 {
		t.Errorf("one proof was accepted %d times", won.Load())
	}
	if _, err := proved(d, jws(t, jose.ES256, ecKey(), typ, true, claims), ""); err != nil {
		t.Error(err)
	}
	wrong := m{"jti": "2", "htm": "GET", "htu": issuer + "/x", "iat": start.Unix(), "nonce": d.nonces.current()}
	key := ecKey()
	if _, err := proved(d, jws(t, jose.ES256, key, typ, true, wrong), ""); !errors.Is(err, errProof) {
		t.Error(err)
	}
	wrong["htm"] = "POST"
	if _, err := proved(d, jws(t, jose.ES256, key, typ, true, wrong), ""); err != nil {
		t.Error("a wrong proof used its jti up:", err)
	}
}

// TestNonces walks through time: a nonce that is given out is good for 2 to 4 minutes, on each replica.
func TestNonces(t *testing.T) {
	now := start.Truncate(nonceSlot)
	secret := []byte("the same for all replicas")
	n, replica := newNonces(secret, func() time.Time { return now }), newNonces(secret, func() time.Time { return now })
	given := n.current()
	for after, want := range map[time.Duration]bool{-3 * time.Minute: false, -time.Second: true, 0: true, 3*time.Minute + 59*time.Second: true, 4 * time.Minute: false, time.Hour: false} {
		now = start.Truncate(nonceSlot).Add(after)
		if n.valid(given) != want || replica.valid(given) != want {
			t.Errorf("after %s: not %t", after, want)
		}
	}
	if n.valid("") || newNonces([]byte("another"), n.now).valid(n.current()) {
		t.Error("a nonce of nobody")
	}
}

// FuzzTarget never panics, and what is normalised stays as it is.
func FuzzTarget(f *testing.F) {
	f.Add("https://a.example:443/x%2fy?z")
	f.Add("//0")
	f.Add("http://:")
	f.Fuzz(func(t *testing.T, address string) {
		if once, ok := normalised(address); ok && len(once) <= 2000 {
			if twice, ok := normalised(once); !ok || twice != once {
				t.Errorf("%q: %q, then %q", address, once, twice)
			}
		}
	})
}
