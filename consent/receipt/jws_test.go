package receipt

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/passerelle-cloud/passerelle/consent"
	"github.com/passerelle-cloud/passerelle/internal/racetest"
)

var (
	key    = ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
	public = key.Public().(ed25519.PublicKey)
	keys   = Keys{"r1": public}
)

func signed(t *testing.T) (jws string, data []byte) {
	t.Helper()
	_, data = write(t, facts(details[consent.AccountInformation]))
	jws, err := Sign(context.Background(), data, "r1", key)
	if err != nil {
		t.Fatal(err)
	}
	return jws, data
}

func TestSignAndOpen(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		_, data := write(rt, anyFacts.Draw(rt, "facts"))
		jws, err := Sign(context.Background(), data, "r1", key)
		if err != nil {
			rt.Fatal(err)
		}
		if _, exact, err := Open(jws, keys); err != nil || string(exact) != string(data) {
			rt.Fatalf("%v: %s", err, exact)
		}
	})
}

func TestEveryByteIsSigned(t *testing.T) {
	jws, _ := signed(t)
	step := 5 / racetest.Rounds(5)
	for i := int(time.Now().UnixNano()) % step; i < len(jws); i += step { // another offset each time
		for _, c := range []byte{'A', 'B', '\n'} {
			if jws[i] == c {
				continue
			}
			if _, _, err := Open(jws[:i]+string(c)+jws[i+1:], keys); !errors.Is(err, ErrInvalid) {
				t.Fatalf("byte %d was changed from %q to %q: %v", i, jws[i], c, err)
			}
		}
		if _, _, err := Open(jws[:i]+jws[i+1:], keys); !errors.Is(err, ErrInvalid) {
			t.Fatalf("byte %d was left out: %v", i, err)
		}
	}
}

// forged signs whatever it is told with the right key.
func forged(head string, payload []byte) string {
	input := base64.RawURLEncoding.EncodeToString([]byte(head)) + "." + base64.RawURLEncoding.EncodeToString(payload)
	return input + "." + base64.RawURLEncoding.EncodeToString(ed25519.Sign(key, []byte(input)))
}

func TestOpenRefuses(t *testing.T) {
	jws, data := signed(t)
	const good = `{"alg":"EdDSA","cty":"ld+json","kid":"r1","typ":"passerelle-receipt"}`
	if _, _, err := Open(forged(good, data), keys); err != nil {
		t.Fatalf("the forger does not forge well: %v", err)
	}
	other, _, _ := ed25519.GenerateKey(rand.Reader)
	for name, c := range map[string]struct {
		jws  string
		keys Keys
	}{
		"unknown key":      {jws, Keys{"r2": public}},
		"no keys":          {jws, nil},
		"another key":      {jws, Keys{"r1": other}},
		"half a key":       {jws, Keys{"r1": public[:16]}},
		"alg none":         {forged(`{"alg":"none","cty":"ld+json","kid":"r1","typ":"passerelle-receipt"}`, data), keys},
		"alg HS256":        {forged(strings.Replace(good, "EdDSA", "HS256", 1), data), keys},
		"alg ES256":        {forged(strings.Replace(good, "EdDSA", "ES256", 1), data), keys},
		"crit":             {forged(`{"alg":"EdDSA","crit":["b64"],"b64":false,"cty":"ld+json","kid":"r1","typ":"passerelle-receipt"}`, data), keys},
		"own key":          {forged(`{"alg":"EdDSA","cty":"ld+json","jku":"https://evil.example","kid":"r1","typ":"passerelle-receipt"}`, data), keys},
		"kid twice":        {forged(`{"alg":"EdDSA","cty":"ld+json","kid":"r2","kid":"r1","typ":"passerelle-receipt"}`, data), keys},
		"another type":     {forged(strings.Replace(good, "passerelle-receipt", "passerelle-statement", 1), data), keys},
		"space":            {forged(good+" ", data), keys},
		"another payload":  {forged(good, []byte(`{}`)), keys},
		"empty":            {"", keys},
		"two parts":        {jws[:strings.LastIndex(jws, ".")], keys},
		"general JSON":     {`{"payload":"","signatures":[]}`, keys},
		"too big":          {jws + strings.Repeat("A", MaxSize), keys},
		"four parts":       {jws + ".", keys},
		"no signature":     {jws[:strings.LastIndex(jws, ".")+1], keys},
		"detached payload": {jws[:strings.Index(jws, ".")+1] + jws[strings.LastIndex(jws, "."):], keys},
	} {
		if _, _, err := Open(c.jws, c.keys); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// liar says that it has one key and signs with another.
type liar struct{ ed25519.PrivateKey }

func (l liar) Public() crypto.PublicKey { return public }
func (l liar) Sign(r io.Reader, m []byte, o crypto.SignerOpts) ([]byte, error) {
	return l.PrivateKey.Sign(r, m, o)
}

func TestSignRefuses(t *testing.T) {
	_, data := signed(t)
	ctx := context.Background()
	curve, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	_, other, _ := ed25519.GenerateKey(rand.Reader)
	gone, cancel := context.WithCancel(ctx)
	cancel()
	for name, try := range map[string]func() (string, error){
		"another kind of key":  func() (string, error) { return Sign(ctx, data, "r1", curve) },
		"no key id":            func() (string, error) { return Sign(ctx, data, "", key) },
		"what is no receipt":   func() (string, error) { return Sign(ctx, []byte(`{"alg":"none"}`), "r1", key) },
		"a key that lies":      func() (string, error) { return Sign(ctx, data, "r1", liar{other}) },
		"for nobody who waits": func() (string, error) { return Sign(gone, data, "r1", key) },
	} {
		if jws, err := try(); err == nil || jws != "" {
			t.Errorf("signed %s", name)
		}
	}
}

func FuzzOpen(f *testing.F) {
	_, data := write(f, facts(details[consent.InstanceMove]))
	jws, err := Sign(context.Background(), data, "r1", key)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(jws)
	f.Fuzz(func(t *testing.T, forgery string) {
		if _, _, err := Open(forgery, keys); err == nil && forgery != jws {
			t.Fatalf("opened %q", forgery)
		}
	})
}
