package bank

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/passerelle-cloud/passerelle/formats"
)

// Identity is who we are at banks: the certificates that a qualified trust service gave the operator (eIDAS, ETSI TS 119 495).
// Their private keys may be kept elsewhere.
type Identity struct {
	Transport *Certificate // QWAC: shown to the bank's server (mTLS)
	Seal      *Certificate // QSealC: signs requests; its key is RSA
}

// Certificate is a certificate with its private key.
type Certificate struct {
	Chain []*x509.Certificate // from our own on
	Key   crypto.Signer
}

// Leaf is our own certificate in a file of PEM, before its key is known.
func Leaf(text []byte) (*x509.Certificate, error) {
	block, _ := pem.Decode(text)
	if block == nil || block.Type != "CERTIFICATE" {
		return nil, fmt.Errorf("%w: it does not begin with a certificate in PEM", formats.ErrInvalid)
	}
	leaf, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("%w: a certificate: %w", formats.ErrInvalid, err)
	}
	return leaf, nil
}

// ParseCertificate reads a certificate and what is between it and a root, in PEM, and holds it against its key. Errors
// wrap [formats.ErrInvalid].
func ParseCertificate(text []byte, key crypto.Signer) (*Certificate, error) {
	c := &Certificate{Key: key}
	for {
		var block *pem.Block
		if block, text = pem.Decode(text); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			return nil, fmt.Errorf("%w: a file of certificates holds a %.40s", formats.ErrInvalid, block.Type)
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("%w: a certificate: %w", formats.ErrInvalid, err)
		}
		c.Chain = append(c.Chain, cert)
	}
	if len(c.Chain) == 0 {
		return nil, fmt.Errorf("%w: there is no certificate in PEM", formats.ErrInvalid)
	}
	public, ok := key.Public().(interface{ Equal(crypto.PublicKey) bool })
	if !ok || !public.Equal(c.Chain[0].PublicKey) {
		return nil, fmt.Errorf("%w: the certificate of %s is about another key: the first one in the file must be our own", formats.ErrInvalid, c.Chain[0].Subject)
	}
	return c, nil
}

func (c *Certificate) tls() tls.Certificate {
	t := tls.Certificate{PrivateKey: c.Key, Leaf: c.Chain[0]}
	for _, cert := range c.Chain {
		t.Certificate = append(t.Certificate, cert.Raw)
	}
	return t
}

// RoleAI is the role that banks let read accounts (ETSI TS 119 495 section 5.2.2).
const RoleAI = "PSP_AI"

// soon is how long before its end a certificate is complained about: another one takes a trust service weeks.
const soon = 30 * 24 * time.Hour

// Check says what is wrong with the certificates at a time: the error wraps [ErrCertificate], and names every fault. What
// will be wrong soon is in warnings. roles returns the payment roles that a certificate says.
func (i *Identity) Check(now time.Time, roles func(*x509.Certificate) ([]string, error)) (warnings []string, err error) {
	var faults []string
	for _, one := range []struct {
		name string
		of   *Certificate
	}{{"for websites (QWAC)", i.Transport}, {"for seals (QSealC)", i.Seal}} {
		if one.of == nil {
			continue
		}
		w, f := one.of.check(now, roles)
		for _, text := range w {
			warnings = append(warnings, "the certificate "+one.name+" "+text)
		}
		for _, text := range f {
			faults = append(faults, "the certificate "+one.name+" "+text)
		}
	}
	if i.Seal != nil {
		if _, ok := i.Seal.Key.Public().(*rsa.PublicKey); !ok {
			faults = append(faults, "the certificate for seals (QSealC) is about a key that is not RSA: banks take rsa-sha256 only")
		}
	}
	if len(faults) > 0 {
		return warnings, fmt.Errorf("%w: %s", ErrCertificate, strings.Join(faults, "; "))
	}
	return warnings, nil
}

func (c *Certificate) check(now time.Time, roles func(*x509.Certificate) ([]string, error)) (warnings, faults []string) {
	leaf := c.Chain[0]
	has, err := roles(leaf)
	switch {
	case err != nil:
		faults = append(faults, fmt.Sprintf("is none for payment services: %v; ask the trust service for one", err))
	case !slices.Contains(has, RoleAI):
		faults = append(faults, fmt.Sprintf("has the roles %v, not %s (account information): banks refuse it; ask the trust service for one with that role", has, RoleAI))
	}
	switch {
	case now.Before(leaf.NotBefore):
		faults = append(faults, fmt.Sprintf("is valid from %s on only; is the clock right?", leaf.NotBefore.UTC().Format(time.RFC3339)))
	case !now.Before(leaf.NotAfter):
		faults = append(faults, fmt.Sprintf("ended on %s: banks refuse it; put in the new one, or ask the trust service for it", leaf.NotAfter.UTC().Format(time.RFC3339)))
	case leaf.NotAfter.Sub(now) < soon:
		warnings = append(warnings, fmt.Sprintf("ends on %s, in %d days: ask the trust service for the next one", leaf.NotAfter.UTC().Format(time.RFC3339), int(leaf.NotAfter.Sub(now).Hours()/24)))
	}
	switch key := leaf.PublicKey.(type) {
	case *rsa.PublicKey:
		if key.N.BitLen() < 2048 {
			faults = append(faults, fmt.Sprintf("is about an RSA key of %d bits: 2048 at least", key.N.BitLen()))
		}
	case *ecdsa.PublicKey:
	default:
		faults = append(faults, "is about a key that is neither RSA nor EC")
	}
	return warnings, faults
}

// Organisation is the organizationIdentifier of a certificate (2.5.4.97), such as PSDFR-ACPR-12345; empty if there is none.
func (c *Certificate) Organisation() string {
	for _, name := range c.Chain[0].Subject.Names {
		if text, ok := name.Value.(string); ok && name.Type.String() == "2.5.4.97" {
			return text
		}
	}
	return ""
}

// connectFault says of an error of a connection whether it is about certificates.
func connectFault(err error) error {
	var unknown x509.UnknownAuthorityError
	var invalid x509.CertificateInvalidError
	var name x509.HostnameError
	var alert tls.AlertError
	switch {
	case errors.As(err, &unknown), errors.As(err, &invalid), errors.As(err, &name):
		return fmt.Errorf("%w: that of the bank's server is not to be relied on: %w", ErrElsewhere, err)
	case errors.As(err, &alert) && aboutCertificate(uint8(alert)):
		return fmt.Errorf("%w: %w", ErrCertificate, err)
	case strings.Contains(err.Error(), "tls: ") && strings.Contains(err.Error(), "certificate"):
		return fmt.Errorf("%w: %w", ErrCertificate, err) // what the bank's server says of it reaches us as text
	}
	return err
}

// aboutCertificate reports whether an alert is about a certificate (RFC 8446 section 6.2).
func aboutCertificate(alert uint8) bool { return alert >= 42 && alert <= 48 || alert == 116 }
