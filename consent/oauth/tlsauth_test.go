package oauth

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"errors"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/passerelle-cloud/passerelle/consent"
)

func certificate(t *testing.T, template, parent *x509.Certificate, public crypto.PublicKey, signer crypto.Signer) *x509.Certificate {
	t.Helper()
	template.SerialNumber, template.NotBefore, template.NotAfter = big.NewInt(1), start.Add(-time.Hour), start.Add(time.Hour)
	if parent == nil {
		parent = template
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, public, signer)
	if err != nil {
		t.Fatal(err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func presented(chain ...*x509.Certificate) *http.Request {
	r := httptest.NewRequest(http.MethodPost, "/", nil)
	r.TLS = &tls.ConnectionState{PeerCertificates: chain}
	return r
}

// TestArticle12cSubjects: an authority that vouches for one name does not vouch for another that is written similarly.
func TestArticle12cSubjects(t *testing.T) {
	authority, between, own := ecKey(), ecKey(), ecKey()
	ca := certificate(t, &x509.Certificate{Subject: pkix.Name{CommonName: "CA"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}, nil, authority.Public(), authority)
	middle := certificate(t, &x509.Certificate{Subject: pkix.Name{CommonName: "Between"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}, ca, between.Public(), authority)
	a := auth(map[string]*consent.Service{"a": {ID: "a", Auth: consent.TLSClientAuth, SubjectDN: "CN=svc,O=Service,C=FR"}})
	a.trust = x509.NewCertPool()
	a.trust.AddCert(ca)
	country, organisation, common := asn1.ObjectIdentifier{2, 5, 4, 6}, asn1.ObjectIdentifier{2, 5, 4, 10}, asn1.ObjectIdentifier{2, 5, 4, 3}
	one := func(id asn1.ObjectIdentifier, value string) pkix.RelativeDistinguishedNameSET {
		return pkix.RelativeDistinguishedNameSET{{Type: id, Value: value}}
	}
	for name, k := range map[string]struct {
		subject pkix.RDNSequence
		ok      bool
	}{
		"the name":            {pkix.RDNSequence{one(country, "FR"), one(organisation, "Service"), one(common, "svc")}, true},
		"another order":       {pkix.RDNSequence{one(common, "svc"), one(organisation, "Service"), one(country, "FR")}, false},
		"two common names":    {pkix.RDNSequence{one(country, "FR"), one(organisation, "Service"), one(common, "other"), one(common, "svc")}, false},
		"two in one":          {pkix.RDNSequence{one(country, "FR"), one(organisation, "Service"), append(one(common, "other"), one(common, "svc")...)}, false},
		"a name with a comma": {pkix.RDNSequence{one(country, "FR"), one(common, "svc,O=Service")}, false},
		"part of it":          {pkix.RDNSequence{one(country, "FR"), one(common, "svc")}, false},
		"other capitals":      {pkix.RDNSequence{one(country, "FR"), one(organisation, "Service"), one(common, "SVC")}, false},
		"none":                {pkix.RDNSequence{}, false},
	} {
		subject, err := asn1.Marshal(k.subject)
		if err != nil {
			t.Fatal(err)
		}
		leaf := certificate(t, &x509.Certificate{RawSubject: subject, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}, middle, own.Public(), between)
		if _, err := a.authenticate(t.Context(), presented(leaf, middle), url.Values{"client_id": {"a"}}); (err == nil) != k.ok || err != nil && !errors.Is(err, errUnproven) {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := a.authenticate(t.Context(), presented(leaf), url.Values{"client_id": {"a"}}); !errors.Is(err, errUnproven) {
			t.Errorf("%s, without the certificate between: %v", name, err)
		}
	}
	a.trust = nil
	leaf := certificate(t, &x509.Certificate{Subject: pkix.Name{CommonName: "svc", Organization: []string{"Service"}, Country: []string{"FR"}}}, ca, own.Public(), authority)
	if _, err := a.authenticate(t.Context(), presented(leaf), url.Values{"client_id": {"a"}}); !errors.Is(err, errUnproven) || err.Error() != errUnproven.Error() {
		t.Error("no authority is trusted:", err)
	}
}

func TestSelfSigned(t *testing.T) {
	own, other := ecKey(), ecKey()
	weak, _ := rsa.GenerateKey(rand.Reader, 1024)
	leaf := certificate(t, &x509.Certificate{}, nil, own.Public(), own)
	a := auth(map[string]*consent.Service{
		"a":    {ID: "a", Auth: consent.SelfSignedTLS, JWKS: set(jose.JSONWebKey{Key: other.Public(), KeyID: "1"}, jose.JSONWebKey{Key: own.Public(), KeyID: "2", Certificates: []*x509.Certificate{leaf}})},
		"enc":  {ID: "enc", Auth: consent.SelfSignedTLS, JWKS: set(jose.JSONWebKey{Key: own.Public(), Use: "enc"})},
		"weak": {ID: "weak", Auth: consent.SelfSignedTLS, JWKS: set(jose.JSONWebKey{Key: weak.Public()})},
		"none": {ID: "none", Auth: consent.SelfSignedTLS},
	})
	if _, err := a.authenticate(t.Context(), presented(leaf), url.Values{"client_id": {"a"}}); err != nil {
		t.Error(err)
	}
	copied := certificate(t, &x509.Certificate{}, nil, own.Public(), own) // of the same key: it is the key that is registered
	if _, err := a.authenticate(t.Context(), presented(copied), url.Values{"client_id": {"a"}}); err != nil {
		t.Error(err)
	}
	for id, c := range map[string]*x509.Certificate{"enc": leaf, "none": leaf, "weak": certificate(t, &x509.Certificate{}, nil, weak.Public(), weak)} {
		if _, err := a.authenticate(t.Context(), presented(c), url.Values{"client_id": {id}}); !errors.Is(err, errClient) {
			t.Errorf("%s: %v", id, err)
		}
	}
	r := presented(leaf)
	r.TLS = nil
	r.Header.Set("X-Client-Cert", base64.StdEncoding.EncodeToString(leaf.Raw)) // what a proxy might say, and anybody else
	if _, err := a.authenticate(t.Context(), r, url.Values{"client_id": {"a"}}); !errors.Is(err, errClient) {
		t.Error("a certificate in a header:", err)
	}
}

func TestThumbprint(t *testing.T) {
	own := ecKey()
	leaf := certificate(t, &x509.Certificate{}, nil, own.Public(), own)
	sum := sha256.Sum256(leaf.Raw)
	for want, r := range map[string]*http.Request{base64.RawURLEncoding.EncodeToString(sum[:]): presented(leaf, leaf), "": presented()} {
		if got := certificateThumbprint(r); got != want {
			t.Errorf("%q, not %q", got, want)
		}
	}
	if got := certificateThumbprint(httptest.NewRequest(http.MethodGet, "/", nil)); got != "" {
		t.Error(got)
	}
}
