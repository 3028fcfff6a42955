package banktest

import (
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"math/big"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

const clockSkew = 5 * time.Minute

// verify checks the signature of a request (implementation guidelines 1.3, section 12; draft-cavage-http-signatures-10).
func (b *Bank) verify(q *request) error {
	for _, name := range []string{"Signature", "Digest", "TPP-Signature-Certificate"} {
		if n := len(q.Header.Values(name)); n > 1 {
			return wrongForm(name, "the header is there %d times", n)
		}
	}
	if q.Header.Get("Signature") == "" {
		return fail(http.StatusUnauthorized, "SIGNATURE_MISSING", "this bank wants signed requests")
	}
	if q.Header.Get("TPP-Signature-Certificate") == "" {
		return fail(http.StatusUnauthorized, "CERTIFICATE_MISSING", "TPP-Signature-Certificate is missing")
	}
	der, err := base64.StdEncoding.DecodeString(q.Header.Get("TPP-Signature-Certificate"))
	if err != nil {
		return fail(http.StatusUnauthorized, "CERTIFICATE_INVALID", "TPP-Signature-Certificate is no base64: %v", err)
	}
	seal, err := x509.ParseCertificate(der)
	if err != nil {
		return fail(http.StatusUnauthorized, "CERTIFICATE_INVALID", "TPP-Signature-Certificate is no certificate: %v", err)
	}
	if err := b.sealer(q, seal); err != nil {
		return err
	}
	if fault := signatureFault(q.Request, q.body, seal); fault != "" {
		return fail(http.StatusUnauthorized, "SIGNATURE_INVALID", "%s", fault)
	}
	if text := q.Header.Get("Date"); text != "" {
		at, err := http.ParseTime(text)
		if err != nil || at.Sub(b.config.Now()).Abs() > clockSkew {
			return fail(http.StatusBadRequest, "TIMESTAMP_INVALID", "the date %q is not now", text)
		}
	}
	return nil
}

// sealer checks the certificate of a signature: it must be of who asks.
func (b *Bank) sealer(q *request, seal *x509.Certificate) error {
	if b.config.Roots == nil {
		return nil
	}
	party, err := b.certified([]*x509.Certificate{seal})
	if err != nil {
		return err
	}
	if party != q.party {
		return fail(http.StatusUnauthorized, "CERTIFICATE_INVALID", "the QSealC is %s's, the QWAC %s's", party, q.party)
	}
	return nil
}

// signatureFault says what is wrong with a signature, "" if nothing is.
func signatureFault(r *http.Request, body []byte, seal *x509.Certificate) string {
	p, fault := parseSignature(r.Header.Get("Signature"))
	if fault != "" {
		return fault
	}
	if fault := digestFault(r.Header.Get("Digest"), body); fault != "" {
		return fault
	}
	if fault := keyFault(p["keyId"], seal); fault != "" {
		return fault
	}
	text, fault := signingString(r, strings.Fields(strings.ToLower(p["headers"])))
	if fault != "" {
		return fault
	}
	key, isRSA := seal.PublicKey.(*rsa.PublicKey)
	signature, err := base64.StdEncoding.DecodeString(p["signature"])
	hash := map[string]crypto.Hash{"rsa-sha256": crypto.SHA256, "rsa-sha512": crypto.SHA512}[p["algorithm"]]
	switch {
	case !isRSA:
		return "the certificate's key is no RSA key"
	case hash == 0:
		return fmt.Sprintf("the algorithm %q is neither rsa-sha256 nor rsa-sha512", p["algorithm"])
	case err != nil:
		return "the signature is no base64"
	}
	h := hash.New()
	h.Write([]byte(text))
	if rsa.VerifyPKCS1v15(key, hash, h.Sum(nil), signature) != nil {
		return fmt.Sprintf("the signature is not that of %q", text)
	}
	return ""
}

// parseSignature reads keyId="…",algorithm="…",headers="…",signature="…". Commas may stand within the quotes.
func parseSignature(text string) (map[string]string, string) {
	p := map[string]string{}
	for rest := text; rest != ""; {
		name, after, found := strings.Cut(rest, `="`)
		value, next, closed := strings.Cut(after, `"`)
		name = strings.Trim(name, " ,")
		if !found || !closed || p[name] != "" {
			return nil, fmt.Sprintf("the Signature cannot be read at %q", rest)
		}
		p[name] = value
		rest = strings.TrimLeft(next, " ")
		if rest != "" && rest[0] != ',' {
			return nil, fmt.Sprintf("the Signature cannot be read at %q", rest)
		}
	}
	for _, name := range []string{"keyId", "algorithm", "headers", "signature"} {
		if p[name] == "" {
			return nil, "the Signature has no " + name
		}
	}
	return p, ""
}

// digestFault holds a Digest (RFC 3230) against the body.
func digestFault(header string, body []byte) string {
	name, value, _ := strings.Cut(header, "=")
	var sum []byte
	switch strings.ToUpper(name) {
	case "SHA-256":
		s := sha256.Sum256(body)
		sum = s[:]
	case "SHA-512":
		s := sha512.Sum512(body)
		sum = s[:]
	default:
		return fmt.Sprintf("the Digest %q is neither SHA-256 nor SHA-512", header)
	}
	given, err := base64.StdEncoding.DecodeString(value)
	if err != nil || subtle.ConstantTimeCompare(given, sum) != 1 {
		return "the Digest is not that of the body"
	}
	return ""
}

// keyFault holds keyId="SN=…,CA=…" against the certificate.
func keyFault(keyID string, seal *x509.Certificate) string {
	rest, hasNumber := strings.CutPrefix(keyID, "SN=")
	number, issuer, hasIssuer := strings.Cut(rest, ",CA=")
	n, isNumber := new(big.Int).SetString(number, 16)
	switch {
	case !hasNumber || !hasIssuer || !isNumber:
		return fmt.Sprintf(`the keyId %q is not SN=hexadecimal,CA=name`, keyID)
	case n.Cmp(seal.SerialNumber) != 0:
		return fmt.Sprintf("the keyId's number is %s, the certificate's %s", number, serial(seal))
	case !sameName(issuer, seal.Issuer.String()):
		return fmt.Sprintf("the keyId's CA is %q, the certificate's issuer %q", issuer, seal.Issuer)
	}
	return ""
}

// sameName compares distinguished names, whose parts may be escaped as in URLs, and stand in either order.
func sameName(a, b string) bool {
	parts := func(s string) []string {
		if plain, err := url.PathUnescape(s); err == nil {
			s = plain
		}
		var list []string
		for part := range strings.SplitSeq(s, ",") {
			list = append(list, strings.ToLower(strings.TrimSpace(part)))
		}
		slices.Sort(list)
		return list
	}
	return slices.Equal(parts(a), parts(b))
}

// signingString is what was signed. Headers that matter must be among those that are signed, if they are there.
func signingString(r *http.Request, names []string) (text, fault string) {
	for _, name := range []string{"Digest", "X-Request-ID", "PSU-ID", "PSU-Corporate-ID", "TPP-Redirect-URI", "Date"} {
		needed := r.Header.Get(name) != "" || name == "Digest" || name == "X-Request-ID"
		if needed && !slices.Contains(names, strings.ToLower(name)) {
			return "", "the header " + name + " is not signed"
		}
	}
	var lines []string
	for _, name := range names {
		values := r.Header.Values(name)
		switch {
		case name == "(request-target)":
			values = []string{strings.ToLower(r.Method) + " " + r.URL.RequestURI()}
		case name == "host":
			values = []string{r.Host}
		case len(values) == 0:
			return "", "the header " + name + " is signed, and not there"
		}
		lines = append(lines, name+": "+strings.Join(values, ", "))
	}
	return strings.Join(lines, "\n"), ""
}
