package banktest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"time"
)

// Authority issues certificates for tests, as a qualified trust service would.
type Authority struct {
	Certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

// Issued is a certificate with its key.
type Issued struct {
	Certificate *x509.Certificate
	Key         crypto.Signer
}

// For is whom and what a certificate is for.
type For struct {
	Organisation string    // organizationIdentifier: "PSDFR-ACPR-12345"; "": a server's certificate, without PSD2
	Name         string    // of the organisation
	Roles        []int     // of ETSI TS 119 495: 1 PSP_AS, 2 PSP_PI, 3 PSP_AI, 4 PSP_IC; none: PSP_AI
	Seal         bool      // a QSealC, with an RSA key; else a QWAC
	From, Until  time.Time // zero: from an hour ago, for a year
	Hosts        []string  // of a server
}

// NewAuthority makes an authority that lasts ten years.
func NewAuthority(now time.Time) (*Authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		Subject:   pkix.Name{CommonName: "Sandbox Trust CA", Organization: []string{"Sandbox Trust"}, Country: []string{"FR"}},
		NotBefore: now.Add(-24 * time.Hour), NotAfter: now.AddDate(10, 0, 0),
		IsCA:                  true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	cert, err := certify(template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	return &Authority{cert, key}, nil
}

// Pool is the authority as [Config.Roots].
func (a *Authority) Pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(a.Certificate)
	return pool
}

// Issue makes a certificate.
func (a *Authority) Issue(now time.Time, f For) (*Issued, error) {
	template := &x509.Certificate{Subject: pkix.Name{CommonName: f.Name, Organization: []string{f.Name}, Country: []string{"FR"}}, NotBefore: f.From, NotAfter: f.Until, KeyUsage: x509.KeyUsageDigitalSignature}
	if f.From.IsZero() {
		template.NotBefore = now.Add(-time.Hour)
	}
	if f.Until.IsZero() {
		template.NotAfter = now.AddDate(1, 0, 0)
	}
	var key crypto.Signer
	var err error
	switch {
	case f.Seal:
		key, err = rsa.GenerateKey(rand.Reader, 2048)
		template.KeyUsage |= x509.KeyUsageContentCommitment
	default:
		key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth}
	}
	if err != nil {
		return nil, err
	}
	if err := f.describe(template); err != nil {
		return nil, err
	}
	cert, err := certify(template, a.Certificate, key.Public(), a.key)
	if err != nil {
		return nil, err
	}
	return &Issued{cert, key}, nil
}

// describe adds what makes a certificate one of a payment service provider, or of a server.
func (f *For) describe(template *x509.Certificate) error {
	if f.Organisation == "" {
		for _, host := range f.Hosts {
			if ip := net.ParseIP(host); ip != nil {
				template.IPAddresses = append(template.IPAddresses, ip)
			} else {
				template.DNSNames = append(template.DNSNames, host)
			}
		}
		return nil
	}
	template.Subject.ExtraNames = []pkix.AttributeTypeAndValue{{Type: asn1.ObjectIdentifier{2, 5, 4, 97}, Value: f.Organisation}}
	value, err := f.statements()
	if err != nil {
		return err
	}
	template.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 1, 3}, Value: value}}
	return nil
}

type statement struct {
	ID   asn1.ObjectIdentifier
	Info asn1.RawValue `asn1:"optional"`
}

type psd2Info struct {
	Roles         []psd2Role
	AuthorityName string `asn1:"utf8"`
	AuthorityID   string `asn1:"utf8"`
}

type psd2Role struct {
	ID   asn1.ObjectIdentifier
	Name string `asn1:"utf8"`
}

// statements are the qcStatements: qualified (ETSI EN 319 412-5), web or seal, and PSD2 (ETSI TS 119 495 section 5.1).
func (f *For) statements() ([]byte, error) {
	info := psd2Info{AuthorityName: "Autorité de contrôle du bac à sable", AuthorityID: "FR-ACPR"}
	roles := f.Roles
	if len(roles) == 0 {
		roles = []int{3}
	}
	for _, n := range roles {
		if n < 1 || n > 4 {
			return nil, fmt.Errorf("there is no role %d of payment service providers", n)
		}
		info.Roles = append(info.Roles, psd2Role{asn1.ObjectIdentifier{0, 4, 0, 19495, 1, n}, []string{"PSP_AS", "PSP_PI", "PSP_AI", "PSP_IC"}[n-1]})
	}
	value, err := asn1.Marshal(info)
	if err != nil {
		return nil, err
	}
	use := 3
	if f.Seal {
		use = 2
	}
	kind, err := asn1.Marshal([]asn1.ObjectIdentifier{{0, 4, 0, 1862, 1, 6, use}})
	if err != nil {
		return nil, err
	}
	return asn1.Marshal([]statement{{ID: asn1.ObjectIdentifier{0, 4, 0, 1862, 1, 1}}, {ID: asn1.ObjectIdentifier{0, 4, 0, 1862, 1, 6}, Info: asn1.RawValue{FullBytes: kind}},
		{ID: asn1.ObjectIdentifier{0, 4, 0, 19495, 2}, Info: asn1.RawValue{FullBytes: value}}})
}

func certify(template, parent *x509.Certificate, key crypto.PublicKey, signer crypto.Signer) (*x509.Certificate, error) {
	var err error
	if template.SerialNumber, err = rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120)); err != nil {
		return nil, err
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key, signer)
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}

// TLS is the certificate for a connection.
func (i *Issued) TLS() tls.Certificate {
	return tls.Certificate{Certificate: [][]byte{i.Certificate.Raw}, PrivateKey: i.Key, Leaf: i.Certificate}
}

// PEM are certificate and key (PKCS #8) as text.
func (i *Issued) PEM() (cert, key []byte, err error) {
	der, err := x509.MarshalPKCS8PrivateKey(i.Key)
	if err != nil {
		return nil, nil, err
	}
	return CertificatePEM(i.Certificate), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}

// CertificatePEM is a certificate as text.
func CertificatePEM(c *x509.Certificate) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})
}
