package oauth

import (
	"context"
	"crypto"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/json" // see assertion.go
)

// dpop checks proofs that a caller holds a key, each made for one request (RFC 9449).
type dpop struct {
	once   once
	nonces *nonces
	now    func() time.Time
}

// proofLife is how old a proof may be. Its nonce bounds it too.
const proofLife = time.Minute

// verify checks the proof of a request to a target, and of an access token if there is one, and returns the thumbprint of
// its key (RFC 7638). The error wraps errProof, errReplay or errNonce where the request is at fault.
func (d *dpop) verify(ctx context.Context, r *http.Request, target, token string) (string, error) {
	headers := r.Header.Values("DPoP")
	if len(headers) != 1 {
		return "", fmt.Errorf("%w: there must be one DPoP header, not %d", errProof, len(headers))
	}
	signed, err := parseJWS(headers[0])
	if err != nil {
		return "", fmt.Errorf("%w: %w", errProof, err)
	}
	payload, jkt, err := verified(signed)
	if err != nil {
		return "", fmt.Errorf("%w: %w", errProof, err)
	}
	var c claims
	if err := json.Unmarshal(payload, &c); err != nil {
		return "", fmt.Errorf("%w: its claims are not what they should be", errProof)
	}
	if err := d.check(&c, r.Method, target, token); err != nil {
		return "", fmt.Errorf("%w: %w", errProof, err)
	}
	if !d.nonces.valid(c.Nonce) {
		return "", errNonce
	}
	return jkt, d.once(ctx, "dpop", jkt, c.ID, c.Issued.time().Add(proofLife+2*clockSkew))
}

// verified checks the signature with the key that the proof brings.
func verified(signed *signedText) (payload []byte, jkt string, err error) {
	if signed.typ != "dpop+jwt" {
		return nil, "", errors.New("its typ must be dpop+jwt")
	}
	if signed.key == nil || !signed.key.IsPublic() || !fits(signed.key.Key, jose.SignatureAlgorithm(signed.alg)) {
		return nil, "", errors.New("its jwk must be the public key, of its algorithm: P-256, Ed25519, or RSA of 2048 bits and more")
	}
	if !signed.verify(signed.key.Key) {
		return nil, "", errors.New("its signature is not that of its jwk")
	}
	sum, err := signed.key.Thumbprint(crypto.SHA256)
	return signed.payload, base64.RawURLEncoding.EncodeToString(sum), err
}

// check holds the claims against the request (RFC 9449 section 4.3).
func (d *dpop) check(c *claims, method, target, token string) error {
	now := d.now()
	switch {
	case c.Method != method:
		return fmt.Errorf("its htm is not %s", method)
	case !sameTarget(c.Target, target):
		return fmt.Errorf("its htu is not %s", target)
	case c.ID == "" || len(c.ID) > maxID:
		return fmt.Errorf("its jti must have 1 to %d bytes", maxID)
	case c.Issued == nil || c.Issued.time().After(now.Add(clockSkew)) || now.After(c.Issued.time().Add(proofLife+clockSkew)):
		return errors.New("its iat is missing, or too far from now")
	}
	if token == "" && c.Hash != "" {
		return errors.New("its ath is for an access token, and there is none")
	}
	if token == "" {
		return nil
	}
	sum := sha256.Sum256([]byte(token))
	if subtle.ConstantTimeCompare([]byte(c.Hash), []byte(base64.RawURLEncoding.EncodeToString(sum[:]))) != 1 {
		return errors.New("its ath is not the hash of the access token")
	}
	return nil
}

// sameTarget compares two addresses without query and fragment, after normalisation (RFC 3986 sections 6.2.2 and 6.2.3).
// A character may be escaped or not, as for the gateway's router, but a slash that is escaped divides nothing.
func sameTarget(a, b string) bool {
	x, ok := normalised(a)
	y, also := normalised(b)
	return ok && also && x == y
}

func normalised(address string) (string, bool) {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Hostname() == "" || u.User != nil || len(address) > 2000 {
		return "", false
	}
	host := strings.TrimSuffix(strings.ToLower(u.Host), map[string]string{"https": ":443", "http": ":80"}[u.Scheme])
	host = strings.TrimSuffix(host, ":")
	parts := strings.Split(u.EscapedPath(), "/")
	for i, part := range parts {
		plain, err := url.PathUnescape(part)
		if err != nil {
			return "", false
		}
		parts[i] = url.PathEscape(plain)
	}
	path := strings.Join(parts, "/")
	if path == "" {
		path = "/"
	}
	return u.Scheme + "://" + host + path, true
}
