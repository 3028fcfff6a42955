package main

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"

	"github.com/passerelle-cloud/passerelle/formats/statement"
	"github.com/passerelle-cloud/passerelle/operators/keys"
)

// keyCertified asks for a certificate. What else it will say (the payment roles, the authority) the trust service finds out by
// itself: it looks into the public register.
type keyCertified struct {
	Use          keys.Certified `arg:"" enum:"qwac,qsealc" help:"qwac, which is shown to banks' servers, or qsealc, which signs what they are asked."`
	Organisation string         `help:"The authorisation number at the competent authority, such as PSDFR-ACPR-12345 (ETSI TS 119 495); not needed where operator.json has it as a registration of the scheme PSP." placeholder:"ID"`
	Host         string         `help:"For the qwac: a host name of the operator's, which it is to be about." placeholder:"HOST"`
}

// schemePSP is the scheme of a registration as a payment service provider.
const schemePSP = "PSP"

// Run makes the key and prints the request.
func (c *keyCertified) Run(ctx context.Context, p *program) error {
	if c.Host != "" && c.Use != keys.QWAC {
		return fmt.Errorf("%w: --host is for the qwac: a seal is that of the operator, not of a host", errUsage)
	}
	g, err := p.openGateway()
	if err != nil {
		return err
	}
	defer g.Close()
	signed, err := g.statement(ctx)
	if err != nil {
		return err
	}
	template, err := c.template(&signed.Statement.Operator)
	if err != nil {
		return err
	}
	store, err := g.keys(ctx)
	if err != nil {
		return err
	}
	certified, ok := store.(keys.CertifiedKeys)
	if !ok {
		return errors.New("this store of keys keeps none of certificates")
	}
	key, err := certified.MakeCertified(ctx, c.Use)
	if err != nil {
		return err
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, template, key)
	if err != nil {
		return fmt.Errorf("sign the request for a certificate: %w", err)
	}
	if err := pem.Encode(p.out, &pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}); err != nil {
		return err
	}
	fmt.Fprintf(p.err, "Give this to a qualified trust service, and the certificate that it returns, with what is between it and its root, to passerelle serve --bank-%s FILE. The key stays here.\n", c.Use)
	return nil
}

// template says whose the certificate is to be.
func (c *keyCertified) template(o *statement.Operator) (*x509.CertificateRequest, error) {
	id := c.Organisation
	for _, r := range o.Registrations {
		if id == "" && r.Scheme == schemePSP {
			id = r.Value
		}
	}
	if id == "" {
		return nil, fmt.Errorf("%w: say --organisation, the authorisation number at the competent authority (PSDFR-ACPR-12345), or add it to the registrations in operator.json, with the scheme %s", errUsage, schemePSP)
	}
	t := &x509.CertificateRequest{Subject: pkix.Name{CommonName: o.LegalName, Organization: []string{o.LegalName}, ExtraNames: []pkix.AttributeTypeAndValue{{Type: asn1.ObjectIdentifier{2, 5, 4, 97}, Value: id}}}}
	if o.Country != "" {
		t.Subject.Country = []string{o.Country}
	}
	if c.Host != "" {
		t.Subject.CommonName, t.DNSNames = c.Host, []string{c.Host}
	}
	return t, nil
}
