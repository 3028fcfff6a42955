package oauth

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"net/http"

	"github.com/passerelle-cloud/passerelle/consent"
)

// byCertificate authenticates by mutual TLS: with a certificate that an authority vouches for and whose subject is
// registered (RFC 8705 section 2.1), or with a self-signed one whose key is (section 2.2). The handshake has shown that
// the caller holds the key. Whoever ends TLS in front of the gateway must not be asked for this: certificates in headers
// are not looked at.
func (a *clientAuth) byCertificate(ctx context.Context, r *http.Request, id string) (*consent.Service, error) {
	service, err := a.registered(ctx, id, consent.TLSClientAuth, consent.SelfSignedTLS)
	if err != nil {
		return nil, err
	}
	leaf := r.TLS.PeerCertificates[0]
	now := a.now()
	if now.Before(leaf.NotBefore) || now.After(leaf.NotAfter) {
		return nil, fmt.Errorf("%w: the certificate is not valid now", errClient)
	}
	if service.Auth == consent.TLSClientAuth {
		return service, a.vouched(r, leaf, service.SubjectDN)
	}
	keys, err := a.keys.of(ctx, service, "")
	if err != nil {
		return nil, fmt.Errorf("%w: its keys cannot be had: %w", errClient, err)
	}
	for _, key := range keys {
		der, err := x509.MarshalPKIXPublicKey(key.Key)
		if err == nil && subtle.ConstantTimeCompare(der, leaf.RawSubjectPublicKeyInfo) == 1 {
			return service, nil
		}
	}
	return nil, errUnproven
}

// vouched checks the chain, and that the subject is the registered one: the string of RFC 4514 as Go writes it, most
// specific first, which is what openssl x509 -subject -nameopt rfc2253 prints.
func (a *clientAuth) vouched(r *http.Request, leaf *x509.Certificate, subject string) error {
	if a.trust == nil {
		return fmt.Errorf("%w: this gateway trusts no authority for certificates (--client-ca)", errClient)
	}
	between := x509.NewCertPool()
	for _, c := range r.TLS.PeerCertificates[1:] {
		between.AddCert(c)
	}
	_, err := leaf.Verify(x509.VerifyOptions{Roots: a.trust, Intermediates: between, CurrentTime: a.now(), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	if err != nil {
		return fmt.Errorf("%w: the certificate: %w", errClient, err)
	}
	if leaf.Subject.String() != subject {
		return errUnproven
	}
	return nil
}

// certificateThumbprint is the x5t#S256 of the certificate with which a request came (RFC 8705 section 3.1), or "".
func certificateThumbprint(r *http.Request) string {
	if r.TLS == nil || len(r.TLS.PeerCertificates) == 0 {
		return ""
	}
	sum := sha256.Sum256(r.TLS.PeerCertificates[0].Raw)
	return base64.RawURLEncoding.EncodeToString(sum[:])
}
