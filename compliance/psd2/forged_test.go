package psd2_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"math/big"
	"strings"
	"testing"

	"github.com/passerelle-cloud/passerelle/compliance/psd2"
)

// forged is a perfect certificate that somebody signed with a key of theirs, under the name of a certificate that they have; nil:
// under its own.
func forged(t *testing.T, value []byte, key *ecdsa.PrivateKey, by *x509.Certificate, signer *ecdsa.PrivateKey) *x509.Certificate {
	t.Helper()
	template := &x509.Certificate{SerialNumber: big.NewInt(3), NotBefore: now.AddDate(0, -1, 0), NotAfter: now.AddDate(0, 1, 0), ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
		Subject:         pkix.Name{CommonName: "Reader SAS", ExtraNames: []pkix.AttributeTypeAndValue{{Type: asn1.ObjectIdentifier{2, 5, 4, 97}, Value: "PSDFR-ACPR-12345"}}},
		ExtraExtensions: []pkix.Extension{{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 1, 3}, Value: value}}}
	if by == nil {
		by = template
	}
	der, err := x509.CreateCertificate(rand.Reader, template, by, key.Public(), signer)
	must(t, err)
	cert, err := x509.ParseCertificate(der)
	must(t, err)
	return cert
}

// TestRTS34Forged: a certificate that says everything right is relied on only where a trust service signed it.
func TestRTS34Forged(t *testing.T) {
	i := newIssuer(t)
	good := statements(t, true, roleOf(3))
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	other, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	alone := forged(t, good, key, nil, key)
	mine := i.certifyKey(t, key.Public(), good, nil)
	byMine := forged(t, good, other, mine, key)
	theirName := *i.cert
	theirName.PublicKey = other.Public()
	inTheirName := forged(t, good, other, &theirName, other)
	for name, chain := range map[string][]*x509.Certificate{
		"self-signed":                           {alone},
		"self-signed, with a real one behind":   {alone, mine, i.cert},
		"signed by one that may not sign":       {byMine, mine, i.cert},
		"signed in the name of a trust service": {inTheirName, i.cert},
	} {
		if f := psd2.Facts(chain, i.pool, now); f.Fault == "" {
			t.Errorf("%s: it is relied on: %+v", name, f)
		}
	}
	for n := range len(good) {
		if _, err := psd2.ParseStatements(good[:n]); err == nil {
			t.Errorf("it is read although %d bytes are missing", len(good)-n)
		}
	}
	for _, role := range []int{0, 5, -1 + 128, 1 << 20} {
		if s, err := psd2.ParseStatements(statements(t, true, roleOf(role))); err == nil && len(s.Roles) > 0 {
			t.Errorf("role %d is %v", role, s.Roles)
		}
	}
	if f := psd2.Facts([]*x509.Certificate{mine}, i.pool, now); f.Fault != "" || !strings.Contains(f.Organisation, "12345") {
		t.Errorf("%+v", f)
	}
}
