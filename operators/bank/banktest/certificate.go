package banktest

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/http"
	"slices"

	"github.com/passerelle-cloud/passerelle/compliance/psd2"
)

// TLS is how a bank listens that looks at its clients' certificates itself: an expired one gets an answer that says so.
func TLS(server tls.Certificate) *tls.Config {
	return &tls.Config{Certificates: []tls.Certificate{server}, ClientAuth: tls.RequestClientCert, MinVersion: tls.VersionTLS12}
}

// identify finds out who asks. The lock is held.
func (b *Bank) identify(q *request) error {
	party, err := b.partyOf(q.Request)
	if err != nil {
		return err
	}
	q.party = party
	if !b.config.Signed {
		return nil
	}
	return b.verify(q)
}

const anonymous = "anonymous"

// partyOf is the organisation of the certificate of who asks (QWAC, Regulation (EU) 2018/389, article 34).
func (b *Bank) partyOf(r *http.Request) (string, error) {
	if b.config.Roots == nil {
		return anonymous, nil
	}
	if r.TLS == nil || len(r.TLS.PeerCertificates) == 0 {
		return "", fail(http.StatusUnauthorized, "CERTIFICATE_MISSING", "this bank wants a QWAC")
	}
	return b.certified(r.TLS.PeerCertificates)
}

// certified is whom a certificate belongs to, if it is one that the bank accepts.
func (b *Bank) certified(chain []*x509.Certificate) (string, error) {
	leaf := chain[0]
	facts := psd2.Facts(chain, b.config.Roots, b.now())
	switch {
	case b.blocked[serial(leaf)]:
		return "", fail(http.StatusUnauthorized, "CERTIFICATE_BLOCKED", "the certificate %s is blocked", serial(leaf))
	case b.now().After(leaf.NotAfter):
		return "", fail(http.StatusUnauthorized, "CERTIFICATE_EXPIRED", "it ended on %s", dateOf(leaf.NotAfter))
	case facts.Fault != "":
		return "", fail(http.StatusUnauthorized, "CERTIFICATE_INVALID", "%s", facts.Fault)
	case !slices.Contains(facts.Roles, psd2.RoleAI):
		return "", fail(http.StatusUnauthorized, "ROLE_INVALID", "it is for %v, not for %s", facts.Roles, psd2.RoleAI)
	}
	return facts.Organisation, nil
}

// serial is a certificate's number, as in keyId: hexadecimal.
func serial(c *x509.Certificate) string { return fmt.Sprintf("%X", c.SerialNumber) }
