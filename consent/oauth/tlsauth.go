package oauth

import (
	"context"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"

	"github.com/passerelle-cloud/passerelle/consent"
)

// byCertificate authenticates by mutual TLS: with a certificate that an authority vouches for and whose subject is
// registered (RFC 8705 section 2.1), or with a self-signed one whose key is (section 2.2). The handshake has shown that
// the caller holds the key. Whoever ends TLS in front of the gateway must not be asked for this: certificates in headers
// are not looked at.
func (a *clientAuth) byCertificate(ctx context.Context, r *http.Request, id string) (*consent.Service, error) {
	leaf := r.TLS.PeerCertificates[0]
	now := a.now()
	if now.Before(leaf.NotBefore) || now.After(leaf.NotAfter) {
		return nil, fmt.Errorf("%w: the certificate is not valid now", errClient)
	}
	if key, ok := leaf.PublicKey.(*rsa.PublicKey); ok && key.N.BitLen() < leastRSA {
		return nil, fmt.Errorf("%w: the certificate's RSA key must have %d bits or more", errClient, leastRSA)
	}
	service, err := a.registered(ctx, id, consent.TLSClientAuth, consent.SelfSignedTLS)
	if err != nil {
		return nil, err
	}
	if service.Auth == consent.TLSClientAuth {
		return service, a.vouched(r, leaf, service.SubjectDN)
	}
	keys, err := a.keys.of(ctx, service, "")
	if err != nil {
		return nil, unproven{err}
	}
	for _, key := range keys {
		der, err := x509.MarshalPKIXPublicKey(key.Key)
		if err == nil && subtle.ConstantTimeCompare(der, leaf.RawSubjectPublicKeyInfo) == 1 {
			return service, nil
		}
	}
	return nil, errUnproven
}

// vouched checks the chain, and that the subject is the registered one.
func (a *clientAuth) vouched(r *http.Request, leaf *x509.Certificate, subject string) error {
	if a.trust == nil {
		return unproven{errors.New("this gateway trusts no authority for certificates (--client-ca)")}
	}
	between := x509.NewCertPool()
	for _, c := range r.TLS.PeerCertificates[1:] {
		between.AddCert(c)
	}
	_, err := leaf.Verify(x509.VerifyOptions{Roots: a.trust, Intermediates: between, CurrentTime: a.now(), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	if err != nil {
		return unproven{fmt.Errorf("the certificate: %w", err)}
	}
	name, err := subjectOf(leaf)
	if err != nil {
		return unproven{err}
	}
	if name != subject {
		return unproven{fmt.Errorf("the certificate's subject is %q, not %q", name, subject)}
	}
	return nil
}

// subjectOf is the subject of a certificate as RFC 4514 writes it, most specific first, which is what openssl x509
// -subject -nameopt rfc2253 prints. It is that of the bytes: [pkix.Name] forgets the order, and all common names but the
// last.
func subjectOf(c *x509.Certificate) (string, error) {
	var names pkix.RDNSequence
	if _, err := asn1.Unmarshal(c.RawSubject, &names); err != nil {
		return "", fmt.Errorf("read the certificate's subject: %w", err)
	}
	return names.String(), nil
}

// certificateThumbprint is the x5t#S256 of the certificate with which a request came (RFC 8705 section 3.1), or "".
func certificateThumbprint(r *http.Request) string {
	if r.TLS == nil || len(r.TLS.PeerCertificates) == 0 {
		return ""
	}
	sum := sha256.Sum256(r.TLS.PeerCertificates[0].Raw)
	return base64.RawURLEncoding.EncodeToString(sum[:])
}
