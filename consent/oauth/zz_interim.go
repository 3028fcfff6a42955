package oauth

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"crypto"

	"github.com/go-jose/go-jose/v4"

	"github.com/passerelle-cloud/passerelle/consent"
)

var (
	errClient = errors.New("client authentication failed")
	errReplay = errors.New("replay")
	errProof  = errors.New("bad proof")
	errNonce  = errors.New("nonce")
)

type once func(ctx context.Context, kind, who, id string, until time.Time) error

type keySource struct{}

func newKeySource(bool, func() time.Time) *keySource { return &keySource{} }

type clientAuth struct {
	issuer  string
	service func(ctx context.Context, id string) (*consent.Service, error)
	keys    *keySource
	once    once
	now     func() time.Time
	trust   *x509.CertPool
}

func (a *clientAuth) authenticate(ctx context.Context, r *http.Request, form url.Values) (*consent.Service, error) {
	if r.Header.Get("Authorization") != "" || form.Get("client_secret") != "" {
		return nil, errClient
	}
	signed, err := jose.ParseSigned(form.Get("client_assertion"), []jose.SignatureAlgorithm{jose.ES256, jose.PS256, jose.EdDSA})
	if err != nil {
		return nil, errClient
	}
	var c struct {
		Iss, Sub, Aud, Jti string
		Exp                int64
	}
	if json.Unmarshal(signed.UnsafePayloadWithoutVerification(), &c) != nil || c.Aud != a.issuer || form.Get("client_id") != "" && form.Get("client_id") != c.Sub {
		return nil, errClient
	}
	s, err := a.service(ctx, c.Sub)
	if errors.Is(err, consent.ErrNotFound) {
		return nil, errClient
	}
	if err != nil {
		return nil, err
	}
	var set jose.JSONWebKeySet
	if err := json.Unmarshal(s.JWKS, &set); err != nil {
		return nil, err
	}
	if _, err := signed.Verify(set.Keys[0].Key); err != nil {
		return nil, errClient
	}
	return s, a.once(ctx, "assertion", c.Sub, c.Jti, time.Unix(c.Exp, 0))
}

func certificateThumbprint(*http.Request) string { return "" }

type dpop struct {
	once   once
	nonces *nonces
	now    func() time.Time
}

func (d *dpop) verify(ctx context.Context, r *http.Request, target, token string) (string, error) {
	signed, err := jose.ParseSigned(r.Header.Get("DPoP"), []jose.SignatureAlgorithm{jose.ES256})
	if err != nil {
		return "", fmt.Errorf("%w: none", errProof)
	}
	key := signed.Signatures[0].Header.JSONWebKey
	payload, err := signed.Verify(key)
	if err != nil {
		return "", errProof
	}
	var c struct{ Htm, Htu, Jti, Nonce, Ath string }
	if err := json.Unmarshal(payload, &c); err != nil || c.Htm != r.Method || c.Htu != target {
		return "", fmt.Errorf("%w: htu %s %s", errProof, c.Htu, target)
	}
	if !d.nonces.valid(c.Nonce) {
		return "", errNonce
	}
	t, err := key.Thumbprint(crypto.SHA256)
	if err != nil {
		return "", err
	}
	jkt := base64.RawURLEncoding.EncodeToString(t)
	return jkt, d.once(ctx, "dpop", jkt, c.Jti, d.now().Add(5*time.Minute))
}

type nonces struct {
	secret []byte
	now    func() time.Time
}

func newNonces(secret []byte, now func() time.Time) *nonces { return &nonces{secret, now} }
func (n *nonces) at(slot int64) string {
	m := hmac.New(sha256.New, n.secret)
	m.Write(binary.BigEndian.AppendUint64(nil, uint64(slot)))
	return base64.RawURLEncoding.EncodeToString(m.Sum(nil))
}
func (n *nonces) current() string { return n.at(n.now().Unix() / 120) }
func (n *nonces) valid(s string) bool {
	slot := n.now().Unix() / 120
	return s == n.at(slot) || s == n.at(slot-1)
}
