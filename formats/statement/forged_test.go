package statement

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"filippo.io/age"

	"github.com/passerelle-cloud/passerelle/formats"
)

func forge(t *testing.T, key ed25519.PrivateKey, protected, payload string) []byte {
	t.Helper()
	enc := base64.RawURLEncoding.EncodeToString
	input := enc([]byte(protected)) + "." + enc([]byte(payload))
	raw, err := general(input + "." + enc(ed25519.Sign(key, []byte(input))))
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func TestForgedStatements(t *testing.T) {
	good := mustSign(t, example(t), newKey(1))
	payload := string(good.Payload())
	kid := Thumbprint(public(newKey(1)))
	head := `{"alg":"EdDSA","kid":"` + kid + `","typ":"passerelle-statement"}`
	if _, err := Parse(forge(t, newKey(1), head, payload)); err != nil {
		t.Fatalf("the forger does not forge well: %v", err)
	}
	swap := func(old, new string) string {
		if !strings.Contains(payload, old) {
			t.Fatalf("%s is not in the payload", old)
		}
		return strings.Replace(payload, old, new, 1)
	}
	cases := []struct{ name, head, payload, want string }{
		{"alg none", `{"alg":"none","kid":"` + kid + `","typ":"passerelle-statement"}`, payload, "only EdDSA"},
		{"alg HS256", `{"alg":"HS256","kid":"` + kid + `","typ":"passerelle-statement"}`, payload, "only EdDSA"},
		{"no alg", `{"kid":"` + kid + `","typ":"passerelle-statement"}`, payload, "only EdDSA"},
		{"other type", `{"alg":"EdDSA","kid":"` + kid + `","typ":"passerelle-succession"}`, payload, "type"},
		{"other kid", `{"alg":"EdDSA","kid":"x","typ":"passerelle-statement"}`, payload, "identity key"},
		{"embedded key", `{"alg":"EdDSA","kid":"` + kid + `","typ":"passerelle-statement","jwk":{}}`, payload, "unknown field"},
		{"b64", `{"alg":"EdDSA","kid":"` + kid + `","typ":"passerelle-statement","b64":false,"crit":["b64"]}`, payload, "unknown field"},
		{"alg twice", `{"alg":"none","alg":"EdDSA","kid":"` + kid + `","typ":"passerelle-statement"}`, payload, "given twice"},
		{"member twice", head, swap(`"version":1`, `"version":1,"version":2`), "given twice"},
		{"member in capitals", head, swap(`"legal_name"`, `"Legal_Name"`), "not written in"},
		{"member that folds", head, swap(`"issued"`, `"iſsued"`), "not written in"},
		{"unknown member", head, swap(`"version":1`, `"version":1,"extra":true`), "unknown field"},
		{"unknown member deep", head, swap(`"kty":"OKP"`, `"kty":"OKP","d":"secret"`), "unknown field"},
		{"fraction", head, swap(`"version":1`, `"version":1.5`), "version"},
		{"bad UTF-8", head, swap("Nuage", "Nu\xffge"), "UTF-8"},
		{"something behind", head, payload + "{}", "follows"},
		{"array", head, "[" + payload + "]", "cannot unmarshal"},
		{"null", head, "null", "format is \"\""},
		{"cut", head, payload[:len(payload)-1], "unexpected EOF"},
		{"nothing", head, "", "unexpected EOF"},
		{"nested", head, swap(`"version":1`, `"version":`+strings.Repeat("[", 100000)), "nested"},
		{"next major version", head, swap(Format, "passerelle-statement/2.0"), "use a newer one"},
		{"other country", head, swap(`"country":"FR"`, `"country":"ZZ"`), "country"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			_, err := Parse(forge(t, newKey(1), c.head, c.payload))
			if !errors.Is(err, formats.ErrInvalid) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v", err)
			}
		})
	}
	if _, err := Parse(forge(t, newKey(3), head, payload)); err == nil || !strings.Contains(err.Error(), "signature does not match") {
		t.Errorf("signed by another key: %v", err)
	}
}

func TestALaterMinorVersionIsRead(t *testing.T) {
	good := mustSign(t, example(t), newKey(1))
	later := strings.NewReplacer(Format, "passerelle-statement/1.7", `"version":1`, `"version":1,"charges":0`).Replace(string(good.Payload()))
	head := `{"alg":"EdDSA","kid":"` + good.identity.Kid + `","typ":"passerelle-statement"}`
	signed, err := Parse(forge(t, newKey(1), head, later))
	if err != nil || !bytes.Contains(signed.Payload(), []byte("charges")) {
		t.Errorf("got %v", err)
	}
}

func TestSerialisationsThatAreRefused(t *testing.T) {
	raw := string(mustSign(t, example(t), newKey(1)).Raw())
	var jws generalJWS
	if err := json.Unmarshal([]byte(raw), &jws); err != nil {
		t.Fatal(err)
	}
	sig := jws.Signatures[0]
	cases := map[string]string{
		"empty":                "",
		"compact":              sig.Protected + "." + jws.Payload + "." + sig.Signature,
		"flattened":            `{"payload":"` + jws.Payload + `","protected":"` + sig.Protected + `","signature":"` + sig.Signature + `"}`,
		"no signature":         `{"payload":"` + jws.Payload + `","signatures":[]}`,
		"two signatures":       strings.Replace(raw, `"signatures": [`, `"signatures": [{"protected":"e30","signature":""},`, 1),
		"unprotected header":   strings.Replace(raw, `"signature":`, `"header":{"alg":"EdDSA"},"signature":`, 1),
		"payload twice":        strings.Replace(raw, `"payload":`, `"payload":"e30","payload":`, 1),
		"payload with newline": strings.Replace(raw, jws.Payload, jws.Payload[:40]+`\n`+jws.Payload[40:], 1),
		"padded":               strings.Replace(raw, jws.Payload, jws.Payload+"==", 1),
		"dots":                 strings.Replace(raw, jws.Payload, jws.Payload+".e30", 1),
		"too large":            raw + strings.Repeat(" ", MaxSize),
		"a number":             "1e999",
	}
	for name, data := range cases {
		if _, err := Parse([]byte(data)); !errors.Is(err, formats.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestEveryChangedByteIsFound(t *testing.T) {
	signed := mustSign(t, example(t), newKey(1))
	raw := signed.Raw()
	for i := range raw {
		for _, bit := range []byte{0x01, 0x20, 0x80} {
			changed := bytes.Clone(raw)
			changed[i] ^= bit
			if got, err := Parse(changed); err == nil && !bytes.Equal(got.payload, signed.payload) {
				t.Fatalf("byte %d changed by %#x was not found", i, bit)
			}
		}
		if _, err := Parse(raw[:i]); err == nil && i < len(raw)-1 {
			t.Fatalf("cut after %d bytes was not found", i)
		}
	}
}

func fuzzed(f *testing.F) Statement {
	recipient, err := age.ParseX25519Recipient("age1zvkyg2lqzraa2lnjvqej32nkuu0ues2s82hzrye869xeexvn73equnujwj")
	if err != nil {
		f.Fatal(err)
	}
	return Statement{Format: Format, Version: 1, Issued: start, Operator: registered(), Keys: []Key{
		NewKey(UseIdentity, public(newKey(1)), start), NewEncryptionKey(recipient, start)}}
}

func FuzzParse(f *testing.F) {
	raw, err := Sign(fuzzed(f), newKey(1))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(raw)
	f.Add([]byte(`{"payload":"e30","signatures":[{"protected":"e30","signature":""}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		signed, err := Parse(data)
		if err != nil {
			if !errors.Is(err, formats.ErrInvalid) {
				t.Fatalf("the error has no parent: %v", err)
			}
			return
		}
		if !bytes.Equal(signed.payload, mustParse(t, raw).payload) {
			t.Fatal("something was accepted that was not signed")
		}
	})
}

func FuzzPayload(f *testing.F) {
	payload, err := marshal(fuzzed(f))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(string(payload))
	f.Fuzz(func(t *testing.T, payload string) {
		compact, err := signCompact(newKey(1), edJWK(public(newKey(1))), typeStatement, []byte(payload))
		if err != nil {
			t.Fatal(err)
		}
		raw, err := general(compact)
		if err != nil {
			t.Fatal(err)
		}
		signed, err := Parse(raw)
		if err != nil {
			return
		}
		signed.Text()
		if _, err := Sign(signed.Statement, newKey(1)); err != nil {
			t.Fatalf("accepted, but cannot be signed again: %v", err)
		}
	})
}

func mustParse(t *testing.T, raw []byte) *Signed {
	t.Helper()
	signed, err := Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	return signed
}
