package oauth

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"

	"github.com/passerelle-cloud/passerelle/consent"
)

func asserted(a *clientAuth, text string) (*consent.Service, error) {
	return a.authenticate(context.Background(), httptest.NewRequest(http.MethodPost, "/", nil), url.Values{"client_assertion_type": {assertionType}, "client_assertion": {text}})
}

// written is a JWS with EdDSA of a header and claims as they are written.
func written(key ed25519.PrivateKey, header, claims string) string {
	input := base64.RawURLEncoding.EncodeToString([]byte(header)) + "." + base64.RawURLEncoding.EncodeToString([]byte(claims))
	return input + "." + base64.RawURLEncoding.EncodeToString(ed25519.Sign(key, []byte(input)))
}

// TestWrittenAssertions is about texts that a library would not write, each with a signature that is right.
func TestWrittenAssertions(t *testing.T) {
	_, key, _ := ed25519.GenerateKey(nil)
	a := auth(map[string]*consent.Service{"a": {ID: "a", Auth: consent.PrivateKeyJWT, JWKS: set(jose.JSONWebKey{Key: key.Public(), KeyID: "1"})}})
	const header = `{"alg":"EdDSA","kid":"1"}`
	claims := func(more string) string {
		return fmt.Sprintf(`{"iss":"a","sub":"a","aud":%q,"jti":%q,"exp":%d%s}`, issuer, fmt.Sprintf("id%.20s", more), start.Unix()+60, more)
	}
	for name, k := range map[string]struct {
		header, claims string
		ok             bool
	}{
		"as it should be":      {header, claims(""), true},
		"unknown claims":       {header, claims(`,"x":{"y":[1]}`), true},
		"typ":                  {`{"alg":"EdDSA","kid":"1","typ":"JWT"}`, claims(`,"x":1`), true},
		"a header twice":       {`{"alg":"EdDSA","alg":"EdDSA","kid":"1"}`, claims(`,"x":2`), false},
		"no alg":               {`{"kid":"1"}`, claims(`,"x":3`), false},
		"alg in small letters": {`{"alg":"eddsa","kid":"1"}`, claims(`,"x":4`), false},
		"another alg":          {`{"alg":"ES256","kid":"1"}`, claims(`,"x":5`), false},
		"jku":                  {`{"alg":"EdDSA","kid":"2","jku":"https://evil.example/"}`, claims(`,"x":6`), false},
		"kid is a path":        {`{"alg":"EdDSA","kid":"../1"}`, claims(`,"x":7`), false},
		"kid is a number":      {`{"alg":"EdDSA","kid":1}`, claims(`,"x":8`), false},
		"crit is b64":          {`{"alg":"EdDSA","kid":"1","b64":true,"crit":["b64"]}`, claims(`,"x":9`), false},
		"crit is empty":        {`{"alg":"EdDSA","kid":"1","crit":[]}`, claims(`,"x":10`), false},
		"a claim twice":        {header, claims(`,"aud":"` + issuer + `"`), false},
		"capitals":             {header, strings.Replace(claims(`,"x":11`), `"exp"`, `"EXP"`, 1), false},
		"a list":               {header, `[]`, false},
		"nothing":              {header, `null`, false},
		"cut off":              {header, `{"iss":"a"`, false},
		"deep":                 {header, claims(`,"x":` + strings.Repeat("[", 2000) + strings.Repeat("]", 2000)), true},
		"jti is a number":      {header, `{"iss":"a","sub":"a","aud":"` + issuer + `","jti":1,"exp":1790000060}`, false},
		"exp below 0":          {header, `{"iss":"a","sub":"a","aud":"` + issuer + `","jti":"1","exp":-1}`, false},
	} {
		if _, err := asserted(a, written(key, k.header, k.claims)); (err == nil) != k.ok || err != nil && !errors.Is(err, errClient) {
			t.Errorf("%s: %v", name, err)
		}
	}
	good := written(key, header, claims(`,"x":12`))
	for name, text := range map[string]string{"spaces": " " + good, "four parts": good + ".x", "padding": good + "=", "JSON": `{"payload":"","signatures":[]}`, "no signature": good[:strings.LastIndexByte(good, '.')+1]} {
		if _, err := asserted(a, text); !errors.Is(err, errClient) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := asserted(a, good+"\n"); err != nil { // as files end; it is the same assertion
		t.Error(err)
	}
	if _, err := asserted(a, good); !errors.Is(err, errReplay) {
		t.Error("again, without the end of the line:", err)
	}
}

// TestUnencoded is about a signature over claims that are not the ones that were sent (RFC 7797 section 7).
func TestUnencoded(t *testing.T) {
	ec, claims := ecKey(), fmt.Sprintf(`{"iss":"a","sub":"a","aud":%q,"jti":"1","exp":%d}`, issuer, start.Unix()+60)
	rs, _ := rsa.GenerateKey(rand.Reader, 2048)
	a := auth(map[string]*consent.Service{"a": {ID: "a", Auth: consent.PrivateKeyJWT, JWKS: set(jose.JSONWebKey{Key: ec.Public()}, jose.JSONWebKey{Key: rs.Public()})}})
	for alg, key := range map[jose.SignatureAlgorithm]any{jose.ES256: ec, jose.PS256: rs} {
		signer, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: key}, (&jose.SignerOptions{}).WithBase64(false))
		if err != nil {
			t.Fatal(err)
		}
		signed, err := signer.Sign([]byte(claims))
		if err != nil {
			t.Fatal(err)
		}
		text, err := signed.DetachedCompactSerialize()
		if err != nil {
			t.Fatal(err)
		}
		text = strings.Replace(text, "..", "."+base64.RawURLEncoding.EncodeToString([]byte(claims))+".", 1)
		if _, err := asserted(a, text); !errors.Is(err, errClient) {
			t.Errorf("%s: %v", alg, err)
		}
	}
}

// TestWhoIsThere: who proves nothing does not learn whether there is a client, nor what the gateway can reach.
func TestWhoIsThere(t *testing.T) {
	a := auth(map[string]*consent.Service{
		"inline":  {ID: "inline", Auth: consent.PrivateKeyJWT, JWKS: set(jose.JSONWebKey{Key: ecKey().Public(), KeyID: "1"})},
		"private": {ID: "private", Auth: consent.PrivateKeyJWT, JWKS: []byte(`{"keys":[{"kty":"oct","k":"AAAA"}]}`)},
		"away":    {ID: "away", Auth: consent.PrivateKeyJWT, JWKSURI: "https://127.0.0.1:1/"},
		"inside":  {ID: "inside", Auth: consent.PrivateKeyJWT, JWKSURI: "https://10.0.0.1/"},
		"none":    {ID: "none", Auth: consent.PrivateKeyJWT},
		"tls":     {ID: "tls", Auth: consent.TLSClientAuth},
	})
	for _, id := range []string{"nobody", "inline", "private", "away", "inside", "none", "tls"} {
		_, err := asserted(a, jws(t, jose.ES256, ecKey(), nil, false, m{"iss": id, "sub": id, "aud": issuer}))
		if err == nil || err.Error() != errUnproven.Error() || !errors.Is(err, errUnproven) {
			t.Errorf("%s: %v", id, err)
		}
	}
}

// TestImpossibleServices are those that the database is not asked about: PostgreSQL takes no NUL in a text, and an
// error of its is none of the caller's.
func TestImpossibleServices(t *testing.T) {
	a := auth(nil)
	a.service = func(_ context.Context, id string) (*consent.Service, error) {
		t.Errorf("%q was looked for", id)
		return nil, consent.ErrNotFound
	}
	for _, id := range []string{"a\x00", "a b", "a\n", "é", strings.Repeat("a", 101)} {
		claims, err := json.Marshal(m{"iss": id, "sub": id})
		if err != nil {
			t.Fatal(err)
		}
		_, key, _ := ed25519.GenerateKey(nil)
		if _, err := asserted(a, written(key, `{"alg":"EdDSA"}`, string(claims))); !errors.Is(err, errUnproven) {
			t.Errorf("%q: %v", id, err)
		}
	}
}

// TestOtherMethods is about what does not prove who calls.
func TestOtherMethods(t *testing.T) {
	a := auth(map[string]*consent.Service{"a": {ID: "a", Auth: consent.PrivateKeyJWT}})
	for name, form := range map[string]url.Values{
		"nothing":      {},
		"a client_id":  {"client_id": {"a"}},
		"a secret":     {"client_id": {"a"}, "client_secret": {"x"}},
		"a type alone": {"client_id": {"a"}, "client_assertion_type": {assertionType}},
	} {
		if _, err := a.authenticate(t.Context(), httptest.NewRequest(http.MethodPost, "/", nil), form); !errors.Is(err, errClient) {
			t.Errorf("%s: %v", name, err)
		}
	}
	r := httptest.NewRequest(http.MethodPost, "/", nil)
	r.SetBasicAuth("a", "x")
	if _, err := a.authenticate(t.Context(), r, url.Values{"client_id": {"a"}}); !errors.Is(err, errClient) {
		t.Error("Basic:", err)
	}
	broken := errors.New("the database is gone")
	a.service = func(context.Context, string) (*consent.Service, error) { return nil, broken }
	if _, err := asserted(a, jws(t, jose.ES256, ecKey(), nil, false, m{"iss": "a", "sub": "a"})); !errors.Is(err, broken) || errors.Is(err, errClient) {
		t.Error("a fault of ours is laid to the caller:", err)
	}
}

// FuzzAssertion accepts nothing: the one assertion that is right was used up, and what is made of it is either the same or
// not signed.
func FuzzAssertion(f *testing.F) {
	key := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize)) // the same in each process of the fuzzer
	a := auth(map[string]*consent.Service{"a": {ID: "a", Auth: consent.PrivateKeyJWT, JWKS: set(jose.JSONWebKey{Key: key.Public(), KeyID: "1"})}})
	good := written(key, `{"alg":"EdDSA","kid":"1"}`, fmt.Sprintf(`{"iss":"a","sub":"a","aud":%q,"jti":"1","exp":%d}`, issuer, start.Unix()+60))
	if _, err := asserted(a, good); err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add(written(key, `{"alg":"EdDSA","kid":"1"}`, `{"iss":"a","sub":"a"}`))
	f.Add("eyJhbGciOiJub25lIn0.e30.")
	f.Fuzz(func(t *testing.T, text string) {
		if _, err := asserted(a, text); !errors.Is(err, errClient) && !errors.Is(err, errReplay) {
			t.Errorf("%q: %v", text, err)
		}
	})
}
