package bank

import (
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/http"
	"strings"
)

// signedHeaders are what a signature covers, of those that a request has (section 12.2 of the implementation guidelines; Date
// is the usual addition).
var signedHeaders = []string{"Digest", "X-Request-ID", "PSU-ID", "PSU-Corporate-ID", "Date", "TPP-Redirect-URI"}

// sign puts the digest of the body, a signature and our certificate into a request (draft-cavage-http-signatures-10 with
// the certificate's serial number and issuer as key id).
func (c *Client) sign(r *http.Request, body []byte) error {
	seal := c.identity.Seal
	sum := sha256.Sum256(body)
	r.Header.Set("Digest", "SHA-256="+base64.StdEncoding.EncodeToString(sum[:]))
	names, text := signingText(r.Header)
	hash := sha256.Sum256([]byte(text))
	signature, err := seal.Key.Sign(rand.Reader, hash[:], crypto.SHA256)
	if err != nil {
		return fmt.Errorf("%w: it cannot be made: %w", ErrSignature, err)
	}
	r.Header.Set("Signature", fmt.Sprintf(`keyId="%s",algorithm="rsa-sha256",headers="%s",signature="%s"`,
		c.keyID(seal), strings.Join(names, " "), base64.StdEncoding.EncodeToString(signature)))
	r.Header.Set("TPP-Signature-Certificate", base64.StdEncoding.EncodeToString(seal.Chain[0].Raw))
	return nil
}

// signingText is what is signed: a line a header, in the order of the list.
func signingText(h http.Header) (names []string, text string) {
	var lines []string
	for _, name := range signedHeaders {
		if values := h.Values(name); len(values) > 0 {
			lower := strings.ToLower(name)
			names, lines = append(names, lower), append(lines, lower+": "+strings.Join(values, ", "))
		}
	}
	return names, strings.Join(lines, "\n")
}

// keyID names the certificate for seals: its serial number, and its issuer in the order and form of RFC 2253, whose quotes
// would end the parameter.
func (c *Client) keyID(seal *Certificate) string {
	leaf := seal.Chain[0]
	serial := strings.ToUpper(hex.EncodeToString(leaf.SerialNumber.Bytes()))
	if c.profile.has(DecimalSerial) {
		serial = leaf.SerialNumber.String()
	}
	return "SN=" + serial + ",CA=" + strings.ReplaceAll(leaf.Issuer.String(), `"`, "")
}
