package psd2

import (
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/passerelle-cloud/passerelle/consent"
)

// The roles of payment service providers (ETSI TS 119 495 section 5.2.2).
const (
	RoleAS = "PSP_AS" // keeps accounts
	RolePI = "PSP_PI" // initiates payments
	RoleAI = "PSP_AI" // gives account information
	RoleIC = "PSP_IC" // issues cards
)

var (
	oidStatements   = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 1, 3} // qcStatements, RFC 3739 section 3.2.6
	oidPSD2         = asn1.ObjectIdentifier{0, 4, 0, 19495, 2}         // ETSI TS 119 495 section 5.1
	oidCompliance   = asn1.ObjectIdentifier{0, 4, 0, 1862, 1, 1}       // it is qualified: ETSI EN 319 412-5 section 4.2.1
	oidOrganisation = asn1.ObjectIdentifier{2, 5, 4, 97}               // organizationIdentifier
	roles           = []string{"", RoleAS, RolePI, RoleAI, RoleIC}     // 0.4.0.19495.1.N
	roleBranch      = asn1.ObjectIdentifier{0, 4, 0, 19495, 1}
	errStatement    = errors.New("its PSD2 statement cannot be read")
	errNoStatement  = errors.New("it has no PSD2 statement (0.4.0.19495.2): it is no certificate for payment services")
)

// Statement is the PSD2 statement of a certificate.
type Statement struct {
	Roles         []string // RoleAI, …; those that are not known here are left out
	AuthorityName string   // the competent authority
	AuthorityID   string   // "FR-ACPR"
	Qualified     bool     // the certificate says that it is a qualified one
}

const (
	maxExtension  = 16 << 10 // bytes
	maxStatements = 50
	maxRoles      = 20
	maxText       = 256 // bytes
)

// ParseStatements reads the value of a certificate's qcStatements extension: QCStatements ::= SEQUENCE OF SEQUENCE {
// statementId OBJECT IDENTIFIER, statementInfo ANY OPTIONAL }.
func ParseStatements(der []byte) (*Statement, error) {
	if len(der) > maxExtension {
		return nil, fmt.Errorf("%w: it has %d bytes", errStatement, len(der))
	}
	var list []asn1.RawValue
	if rest, err := asn1.Unmarshal(der, &list); err != nil || len(rest) > 0 || len(list) > maxStatements {
		return nil, fmt.Errorf("%w: it is no list of statements", errStatement)
	}
	var found *Statement
	qualified := false
	for _, one := range list {
		var id asn1.ObjectIdentifier
		if one.Class != asn1.ClassUniversal || one.Tag != asn1.TagSequence || !one.IsCompound {
			return nil, fmt.Errorf("%w: a statement is no sequence", errStatement)
		}
		info, err := asn1.Unmarshal(one.Bytes, &id)
		if err != nil {
			return nil, fmt.Errorf("%w: a statement has no name", errStatement)
		}
		switch {
		case id.Equal(oidCompliance):
			qualified = true
		case id.Equal(oidPSD2) && found != nil:
			return nil, fmt.Errorf("%w: there are two", errStatement)
		case id.Equal(oidPSD2):
			if found, err = parsePSD2(info); err != nil {
				return nil, err
			}
		}
	}
	if found == nil {
		return nil, errNoStatement
	}
	found.Qualified = qualified
	return found, nil
}

// parsePSD2 reads PSD2QcType ::= SEQUENCE { rolesOfPSP SEQUENCE OF SEQUENCE { OBJECT IDENTIFIER, UTF8String }, nCAName
// UTF8String, nCAId UTF8String }.
func parsePSD2(der []byte) (*Statement, error) {
	var info struct {
		Roles []struct {
			ID   asn1.ObjectIdentifier
			Name string `asn1:"utf8"`
		}
		AuthorityName string `asn1:"utf8"`
		AuthorityID   string `asn1:"utf8"`
	}
	if rest, err := asn1.Unmarshal(der, &info); err != nil || len(rest) > 0 {
		return nil, fmt.Errorf("%w: it is not that of ETSI TS 119 495", errStatement)
	}
	if len(info.Roles) == 0 || len(info.Roles) > maxRoles || !isText(info.AuthorityName) || !isText(info.AuthorityID) {
		return nil, fmt.Errorf("%w: roles or authority are missing", errStatement)
	}
	s := &Statement{AuthorityName: info.AuthorityName, AuthorityID: info.AuthorityID}
	for _, r := range info.Roles {
		if len(r.ID) != len(roleBranch)+1 || !r.ID[:len(roleBranch)].Equal(roleBranch) {
			continue
		}
		if n := r.ID[len(roleBranch)]; n > 0 && n < len(roles) && !slices.Contains(s.Roles, roles[n]) {
			s.Roles = append(s.Roles, roles[n]) // by its number: the name beside it is for people
		}
	}
	return s, nil
}

func isText(s string) bool {
	if s == "" || len(s) > maxText || !utf8.ValidString(s) {
		return false
	}
	for _, r := range s {
		if unicode.IsControl(r) {
			return false
		}
	}
	return true
}

// leastRSA is the least size of an RSA key, in bits.
const leastRSA = 2048

// Facts are what a certificate says of a service that presented it with its chain, and what is wrong with it, at a time.
// roots are the certificates of the trust services that are relied on. nil: no certificate was presented.
func Facts(chain []*x509.Certificate, roots *x509.CertPool, now time.Time) *consent.CertificateFacts {
	if len(chain) == 0 {
		return nil
	}
	leaf := chain[0]
	sum := sha256.Sum256(leaf.Raw)
	f := &consent.CertificateFacts{SHA256: hex.EncodeToString(sum[:]), From: leaf.NotBefore.UTC(), Until: leaf.NotAfter.UTC()}
	if err := read(f, leaf); err != nil {
		f.Fault = err.Error()
		return f
	}
	if err := trusted(chain, roots, now); err != nil {
		f.Fault = err.Error()
	}
	return f
}

// StatementOf is the PSD2 statement of a certificate.
func StatementOf(leaf *x509.Certificate) (*Statement, error) {
	at := slices.IndexFunc(leaf.Extensions, func(e pkix.Extension) bool { return e.Id.Equal(oidStatements) })
	if at < 0 {
		return nil, errNoStatement
	}
	return ParseStatements(leaf.Extensions[at].Value)
}

// read reads who a certificate is of.
func read(f *consent.CertificateFacts, leaf *x509.Certificate) error {
	if key, ok := leaf.PublicKey.(*rsa.PublicKey); ok && key.N.BitLen() < leastRSA {
		return fmt.Errorf("its RSA key has less than %d bits", leastRSA)
	}
	statement, err := StatementOf(leaf)
	if err != nil {
		return err
	}
	f.Roles, f.Authority = statement.Roles, statement.AuthorityID
	for _, name := range leaf.Subject.Names {
		if !name.Type.Equal(oidOrganisation) {
			continue
		}
		text, ok := name.Value.(string)
		if !ok || !isText(text) || f.Organisation != "" {
			return errors.New("its organizationIdentifier is no text, or there twice")
		}
		f.Organisation = text
	}
	if f.Organisation == "" {
		return errors.New("it has no organizationIdentifier (2.5.4.97)")
	}
	if !statement.Qualified {
		return errors.New("it does not say that it is a qualified certificate (0.4.0.1862.1.1)")
	}
	return nil
}

// trusted checks the chain.
func trusted(chain []*x509.Certificate, roots *x509.CertPool, now time.Time) error {
	if roots == nil {
		return errors.New("this gateway relies on no trust service for such certificates (--psd2-trust)")
	}
	between := x509.NewCertPool()
	for _, c := range chain[1:] {
		between.AddCert(c)
	}
	leaf := *chain[0]
	// What a program does not know must not be ignored; this one it knows.
	leaf.UnhandledCriticalExtensions = slices.DeleteFunc(slices.Clone(leaf.UnhandledCriticalExtensions), func(id asn1.ObjectIdentifier) bool { return id.Equal(oidStatements) })
	_, err := leaf.Verify(x509.VerifyOptions{Roots: roots, Intermediates: between, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	return err
}
