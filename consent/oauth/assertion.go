package oauth

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/json" // refuses a member that is there twice, and knows capitals from small letters

	"github.com/passerelle-cloud/passerelle/consent"
)

// The limits of assertions and proofs.
const (
	maxJWS        = 8 << 10         // bytes
	maxID         = 256             // bytes of a jti
	assertionLife = 5 * time.Minute // how far ahead it may expire; it is made for one request
	clockSkew     = 10 * time.Second
	leastRSA      = 2048 // bits: FAPI 2.0 section 5.4.1
)

// signatures are those that are accepted: FAPI 2.0 section 5.4.1.
var signatures = []jose.SignatureAlgorithm{jose.ES256, jose.PS256, jose.EdDSA}

// claims are what an assertion or a proof says.
type claims struct {
	Issuer   string          `json:"iss"`
	Subject  string          `json:"sub"`
	Audience json.RawMessage `json:"aud"`
	ID       string          `json:"jti"`
	Expires  *seconds64      `json:"exp"`
	Issued   *seconds64      `json:"iat"`
	Before   *seconds64      `json:"nbf"`
	Method   string          `json:"htm"`
	Target   string          `json:"htu"`
	Hash     string          `json:"ath"`
	Nonce    string          `json:"nonce"`
}

// seconds64 is a NumericDate (RFC 7519 section 2), whose fraction is left aside.
type seconds64 int64

// UnmarshalJSON implements json.Unmarshaler.
func (s *seconds64) UnmarshalJSON(data []byte) error {
	var f float64
	if err := json.Unmarshal(data, &f); err != nil {
		return err
	}
	if f < 0 || f > 1e11 {
		return errors.New("a time that is out of bounds")
	}
	*s = seconds64(f)
	return nil
}

func (s *seconds64) time() time.Time { return time.Unix(int64(*s), 0) }

// signedText is a compact JWS (RFC 7515 section 7.1) whose signature is still to be verified.
type signedText struct {
	alg, kid, typ string
	key           *jose.JSONWebKey // that it brings along
	payload       []byte
	verify        func(key any) bool
}

// parseJWS reads a compact JWS with one of the accepted algorithms, before any key is looked at.
func parseJWS(text string) (*signedText, error) {
	if len(text) > maxJWS {
		return nil, fmt.Errorf("it has more than %d bytes", maxJWS)
	}
	signed, err := jose.ParseSignedCompact(text, append([]jose.SignatureAlgorithm{algEd25519}, signatures...))
	if err != nil {
		return nil, errors.New("it is not a JWS in compact form, signed with " + strings.Join(algorithms, ", "))
	}
	header := signed.Signatures[0].Protected
	t := &signedText{alg: header.Algorithm, kid: header.KeyID, key: header.JSONWebKey, payload: signed.UnsafePayloadWithoutVerification()}
	t.typ, _ = header.ExtraHeaders[jose.HeaderType].(string)
	t.verify = func(key any) bool {
		_, err := signed.Verify(key)
		return err == nil
	}
	if _, critical := header.ExtraHeaders["crit"]; critical { // not even b64: RFC 7797 section 7
		return nil, errors.New("it has critical headers that are not known here")
	}
	if header.Algorithm == string(algEd25519) {
		input, _, _ := cutLast(text, '.')
		t.verify = func(key any) bool {
			public, ok := key.(ed25519.PublicKey)
			return ok && ed25519.Verify(public, []byte(input), signed.Signatures[0].Signature)
		}
	}
	return t, nil
}

// algEd25519 is the name of EdDSA with that curve alone (RFC 9864), which go-jose does not verify.
const algEd25519 jose.SignatureAlgorithm = "Ed25519"

func cutLast(s string, c byte) (before, after string, found bool) {
	if i := strings.LastIndexByte(s, c); i >= 0 {
		return s[:i], s[i+1:], true
	}
	return s, "", false
}

// byAssertion authenticates by private_key_jwt, as FAPI 2.0 section 5.3.2.1 wants it: the audience is the issuer, as one
// string.
func (a *clientAuth) byAssertion(ctx context.Context, form url.Values) (*consent.Service, error) {
	if form.Get("client_assertion_type") != assertionType {
		return nil, fmt.Errorf("%w: the client_assertion_type must be %s", errClient, assertionType)
	}
	signed, err := parseJWS(form.Get("client_assertion"))
	if err != nil {
		return nil, fmt.Errorf("%w: the client_assertion: %w", errClient, err)
	}
	var c claims
	if err := json.Unmarshal(signed.payload, &c); err != nil { // to find the key; it is verified below
		return nil, fmt.Errorf("%w: the claims of the client_assertion are not what they should be", errClient)
	}
	if c.Subject == "" || c.Issuer != c.Subject || form.Get("client_id") != "" && form.Get("client_id") != c.Subject {
		return nil, fmt.Errorf("%w: iss and sub of the client_assertion must be the client_id", errClient)
	}
	service, err := a.registered(ctx, c.Subject, consent.PrivateKeyJWT)
	if err != nil {
		return nil, err
	}
	if err := a.verified(ctx, signed, service); err != nil {
		return nil, err
	}
	if err := a.timely(&c); err != nil {
		return nil, fmt.Errorf("%w: the client_assertion: %w", errClient, err)
	}
	return service, a.once(ctx, "assertion", c.Subject, c.ID, c.Expires.time().Add(clockSkew))
}

// verified checks the signature with the keys of a service.
func (a *clientAuth) verified(ctx context.Context, signed *signedText, service *consent.Service) error {
	keys, err := a.keys.of(ctx, service, signed.kid)
	if err != nil {
		return unproven{err}
	}
	for _, key := range keys {
		if fits(key.Key, jose.SignatureAlgorithm(signed.alg)) && signed.verify(key.Key) {
			return nil
		}
	}
	return errUnproven
}

// fits reports whether a public key is one for an algorithm, and strong enough.
func fits(key any, alg jose.SignatureAlgorithm) bool {
	switch k := key.(type) {
	case *ecdsa.PublicKey:
		return alg == jose.ES256 && k.Curve == elliptic.P256()
	case *rsa.PublicKey:
		return alg == jose.PS256 && k.N.BitLen() >= leastRSA
	case ed25519.PublicKey:
		return alg == jose.EdDSA || alg == algEd25519
	}
	return false
}

// timely checks everything that is not the signature.
func (a *clientAuth) timely(c *claims) error {
	now := a.now()
	var audience string
	switch {
	case json.Unmarshal(c.Audience, &audience) != nil || audience != a.issuer:
		return fmt.Errorf("its aud must be the issuer, %q, as a string", a.issuer)
	case c.ID == "" || len(c.ID) > maxID:
		return fmt.Errorf("its jti must have 1 to %d bytes", maxID)
	case c.Expires == nil || !now.Before(c.Expires.time().Add(clockSkew)):
		return errors.New("it has expired, or does not say when it does")
	case c.Expires.time().After(now.Add(assertionLife + clockSkew)):
		return fmt.Errorf("it expires in more than %s; make one for each request", assertionLife)
	case c.Issued != nil && c.Issued.time().After(now.Add(clockSkew)), c.Before != nil && c.Before.time().After(now.Add(clockSkew)):
		return errors.New("its iat or nbf is in the future; set your clock")
	}
	return nil
}
