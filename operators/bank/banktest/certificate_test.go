package banktest_test

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/passerelle-cloud/passerelle/operators/bank/banktest"
)

const organisation = "PSDFR-ACPR-12345"

// secured is a bank that wants certificates, and signatures.
type secured struct {
	t         testing.TB
	bank      *banktest.Bank
	at        string
	authority *banktest.Authority
	server    *httptest.Server
}

func openSecured(t testing.TB, signed bool) *secured {
	t.Helper()
	now := time.Now()
	authority, err := banktest.NewAuthority(now)
	if err != nil {
		t.Fatal(err)
	}
	bank, err := banktest.New(banktest.Config{Roots: authority.Pool(), Signed: signed})
	if err != nil {
		t.Fatal(err)
	}
	s := &secured{t: t, bank: bank, authority: authority, server: httptest.NewUnstartedServer(checked(t, bank))}
	s.server.TLS = banktest.TLS(s.issue(banktest.For{Name: "localhost", Hosts: []string{"127.0.0.1"}}).TLS())
	s.server.StartTLS()
	t.Cleanup(s.server.Close)
	s.at = s.server.URL
	return s
}

func (s *secured) issue(f banktest.For) *banktest.Issued {
	s.t.Helper()
	issued, err := s.authority.Issue(time.Now(), f)
	if err != nil {
		s.t.Fatal(err)
	}
	return issued
}

// client is a third party with a certificate, or without.
func (s *secured) client(qwac *banktest.Issued) *http.Client {
	c := &tls.Config{RootCAs: s.authority.Pool()}
	if qwac != nil {
		c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { t := qwac.TLS(); return &t, nil } // whichever authority is wanted
	}
	transport := &http.Transport{TLSClientConfig: c}
	s.t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

// ask asks for a consent. change may change the request before it is sent.
func (s *secured) ask(client *http.Client, change func(*http.Request, []byte)) (int, string, string) {
	s.t.Helper()
	body := []byte(fmt.Sprintf(whole, offered, "true", "9999-12-31", "4"))
	r, err := http.NewRequest("POST", s.at+"/v1/consents", bytes.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	for name, value := range map[string]string{"Content-Type": "application/json", "X-Request-ID": uuid.NewString(), "PSU-IP-Address": "192.0.2.7", "TPP-Redirect-URI": "https://third.example/back"} {
		r.Header.Set(name, value)
	}
	if change != nil {
		change(r, body)
	}
	got, err := client.Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	defer got.Body.Close()
	text, err := io.ReadAll(got.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	var e struct {
		ID       string `json:"consentId"`
		Messages []struct {
			Code string `json:"code"`
		} `json:"tppMessages"`
	}
	if err := json.Unmarshal(text, &e); err != nil {
		s.t.Fatalf("%s: %v", text, err)
	}
	if len(e.Messages) == 0 {
		return got.StatusCode, "", e.ID
	}
	return got.StatusCode, e.Messages[0].Code, string(text)
}

func TestCertificates(t *testing.T) {
	s := openSecured(t, false)
	stranger, err := banktest.NewAuthority(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	of := banktest.For{Organisation: organisation, Name: "Reader"}
	with := func(change func(*banktest.For)) *banktest.Issued {
		f := of
		change(&f)
		return s.issue(f)
	}
	foreign, err := stranger.Issue(time.Now(), of)
	if err != nil {
		t.Fatal(err)
	}
	blocked := s.issue(of)
	if err := s.bank.Block(fmt.Sprintf("%x", blocked.Certificate.SerialNumber), true); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		qwac *banktest.Issued
		code string
	}{
		"right":        {s.issue(of), ""},
		"two roles":    {with(func(f *banktest.For) { f.Roles = []int{2, 3} }), ""},
		"none":         {nil, "CERTIFICATE_MISSING"},
		"expired":      {with(func(f *banktest.For) { f.From, f.Until = time.Now().Add(-2*time.Hour), time.Now().Add(-time.Hour) }), "CERTIFICATE_EXPIRED"},
		"not yet":      {with(func(f *banktest.For) { f.From = time.Now().Add(time.Hour) }), "CERTIFICATE_INVALID"},
		"for payments": {with(func(f *banktest.For) { f.Roles = []int{2} }), "ROLE_INVALID"},
		"of a bank":    {with(func(f *banktest.For) { f.Roles = []int{1, 4} }), "ROLE_INVALID"},
		"of a server":  {s.issue(banktest.For{Name: "x", Hosts: []string{"x"}}), "CERTIFICATE_INVALID"},
		"another's":    {foreign, "CERTIFICATE_INVALID"},
		"blocked":      {blocked, "CERTIFICATE_BLOCKED"},
	} {
		status, code, text := s.ask(s.client(c.qwac), nil)
		if code != c.code || (status == 201) != (code == "") || code != "" && status != 401 {
			t.Errorf("%s: %d %s", name, status, text)
		}
	}
	_, _, id := s.ask(s.client(s.issue(of)), nil)
	other := s.client(with(func(f *banktest.For) { f.Organisation = "PSDDE-BAFIN-1" }))
	r, err := http.NewRequest("GET", s.at+"/v1/consents/"+id+"/status", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("X-Request-ID", uuid.NewString())
	if got, err := other.Do(r); err != nil || got.StatusCode != http.StatusForbidden {
		t.Error("another third party sees the consent", err)
	}
	if _, err := s.authority.Issue(time.Now(), banktest.For{Organisation: "x", Roles: []int{5}}); err == nil {
		t.Error("a role that is none")
	}
}

// sign signs a request as a third party does.
func sign(t testing.TB, r *http.Request, body []byte, seal *banktest.Issued, headers string) {
	t.Helper()
	sum := sha256.Sum256(body)
	r.Header.Set("Digest", "SHA-256="+base64.StdEncoding.EncodeToString(sum[:]))
	var lines []string
	for _, name := range strings.Fields(headers) {
		lines = append(lines, name+": "+r.Header.Get(name))
	}
	hash := sha256.Sum256([]byte(strings.Join(lines, "\n")))
	signature, err := rsa.SignPKCS1v15(rand.Reader, seal.Key.(*rsa.PrivateKey), crypto.SHA256, hash[:])
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("TPP-Signature-Certificate", base64.StdEncoding.EncodeToString(seal.Certificate.Raw))
	r.Header.Set("Signature", fmt.Sprintf(`keyId="SN=%x,CA=%s",algorithm="rsa-sha256",headers="%s",signature="%s"`, seal.Certificate.SerialNumber, seal.Certificate.Issuer, headers, base64.StdEncoding.EncodeToString(signature)))
}

const needed = "digest x-request-id tpp-redirect-uri"

func TestSignatures(t *testing.T) {
	s := openSecured(t, true)
	of := banktest.For{Organisation: organisation, Name: "Reader"}
	client := s.client(s.issue(of))
	of.Seal = true
	seal, second := s.issue(of), s.issue(of)
	payments, expired, foreign := of, of, of
	payments.Roles, expired.From, expired.Until, foreign.Organisation = []int{2}, time.Now().Add(-2*time.Hour), time.Now().Add(-time.Hour), "PSDDE-BAFIN-1"
	replace := func(name, from, to string) func(*http.Request, []byte) {
		return func(r *http.Request, body []byte) {
			sign(t, r, body, seal, needed)
			r.Header.Set(name, strings.Replace(r.Header.Get(name), from, to, 1))
		}
	}
	by := func(f banktest.For) func(*http.Request, []byte) {
		return func(r *http.Request, body []byte) { sign(t, r, body, s.issue(f), needed) }
	}
	with := func(headers string, set ...string) func(*http.Request, []byte) {
		return func(r *http.Request, body []byte) {
			for n := 0; n < len(set); n += 2 {
				r.Header.Set(set[n], set[n+1])
			}
			sign(t, r, body, seal, headers)
		}
	}
	issuer := seal.Certificate.Issuer.String()
	parts := strings.Split(issuer, ",")
	for name, c := range map[string]struct {
		change func(*http.Request, []byte)
		code   string
	}{
		"right":                {with(needed), ""},
		"dated":                {with(needed+" date", "Date", time.Now().UTC().Format(http.TimeFormat)), ""},
		"in capitals":          {with("Digest X-Request-ID TPP-Redirect-URI"), "SIGNATURE_INVALID"}, // what is signed is in small letters
		"issuer as in a URL":   {replace("Signature", issuer, strings.ReplaceAll(issuer, " ", "%20")), ""},
		"issuer the other way": {replace("Signature", issuer, parts[2]+", "+parts[1]+", "+parts[0]), ""},
		"none":                 {nil, "SIGNATURE_MISSING"},
		"no certificate": {func(r *http.Request, b []byte) {
			sign(t, r, b, seal, needed)
			r.Header.Del("TPP-Signature-Certificate")
		}, "CERTIFICATE_MISSING"},
		"broken certificate": {replace("TPP-Signature-Certificate", "MII", "AAA"), "CERTIFICATE_INVALID"},
		"no base64":          {replace("TPP-Signature-Certificate", "MII", "!!!"), "CERTIFICATE_INVALID"},
		"another certificate": {func(r *http.Request, b []byte) {
			sign(t, r, b, seal, needed)
			r.Header.Set("TPP-Signature-Certificate", base64.StdEncoding.EncodeToString(second.Certificate.Raw))
		}, "SIGNATURE_INVALID"},
		"for payments":         {by(payments), "ROLE_INVALID"},
		"expired":              {by(expired), "CERTIFICATE_EXPIRED"},
		"another third party":  {by(foreign), "CERTIFICATE_INVALID"},
		"another body":         {func(r *http.Request, b []byte) { sign(t, r, append(b, ' '), seal, needed) }, "SIGNATURE_INVALID"},
		"another digest":       {replace("Digest", "SHA-256=", "SHA-256=A"), "SIGNATURE_INVALID"},
		"MD5":                  {replace("Digest", "SHA-256", "MD5"), "SIGNATURE_INVALID"},
		"another redirection":  {replace("TPP-Redirect-URI", "third", "fourth"), "SIGNATURE_INVALID"},
		"redirection unsigned": {with("digest x-request-id"), "SIGNATURE_INVALID"},
		"request unsigned":     {with("digest tpp-redirect-uri"), "SIGNATURE_INVALID"},
		"body unsigned":        {with("x-request-id tpp-redirect-uri"), "SIGNATURE_INVALID"},
		"person unsigned":      {with(needed, "PSU-ID", banktest.Anne), "SIGNATURE_INVALID"},
		"date unsigned":        {with(needed, "Date", time.Now().UTC().Format(http.TimeFormat)), "SIGNATURE_INVALID"},
		"old":                  {with(needed+" date", "Date", time.Now().Add(-time.Hour).UTC().Format(http.TimeFormat)), "TIMESTAMP_INVALID"},
		"hs2019":               {replace("Signature", "rsa-sha256", "hs2019"), "SIGNATURE_INVALID"},
		"another number":       {replace("Signature", "SN=", "SN=1"), "SIGNATURE_INVALID"},
		"another issuer":       {replace("Signature", "CA=", "CA=O=X,"), "SIGNATURE_INVALID"},
		"no keyId":             {replace("Signature", "keyId", "key"), "SIGNATURE_INVALID"},
		"a header that is not": {replace("Signature", "digest ", "digest psu-id "), "SIGNATURE_INVALID"},
		"cut": {func(r *http.Request, b []byte) {
			sign(t, r, b, seal, needed)
			h := r.Header.Get("Signature")
			r.Header.Set("Signature", h[:len(h)-1])
		}, "SIGNATURE_INVALID"},
		"twice": {func(r *http.Request, b []byte) { sign(t, r, b, seal, needed); r.Header.Add("Digest", "SHA-256=x") }, "FORMAT_ERROR"},
	} {
		status, code, text := s.ask(client, c.change)
		if code != c.code || (status == 201) != (code == "") {
			t.Errorf("%s: %d %s", name, status, text)
		}
	}
}

// TestTokenOfAnother: with certificates a code is of use to who asked for it only.
func TestTokenOfAnother(t *testing.T) {
	s := openSecured(t, false)
	other := s.client(s.issue(banktest.For{Organisation: "PSDDE-BAFIN-1", Name: "Other"}))
	got, err := other.PostForm(s.at+"/oauth/token", url.Values{"grant_type": {"authorization_code"}, "code": {"x"}, "client_id": {organisation}})
	if err != nil || got.StatusCode != http.StatusUnauthorized {
		t.Error(got, err)
	}
}

// TestIssued: other programs read what is issued.
func TestIssued(t *testing.T) {
	s := openSecured(t, false)
	cert, key, err := s.issue(banktest.For{Organisation: organisation, Name: "Reader", Seal: true}).PEM()
	if err != nil {
		t.Fatal(err)
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(pair.Certificate[0])
	if err != nil || leaf.Subject.Names[len(leaf.Subject.Names)-1].Value != organisation {
		t.Error(leaf.Subject, err)
	}
}

func FuzzSignature(f *testing.F) {
	f.Add(`keyId="SN=1,CA=CN=x,O=y",algorithm="rsa-sha256",headers="digest",signature="eA=="`, "SHA-256=x")
	f.Add(`keyId="`, "=")
	authority, err := banktest.NewAuthority(time.Now())
	if err != nil {
		f.Fatal(err)
	}
	seal, err := authority.Issue(time.Now(), banktest.For{Organisation: organisation, Name: "Reader", Seal: true})
	if err != nil {
		f.Fatal(err)
	}
	bank, err := banktest.New(banktest.Config{Signed: true})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, signature, digest string) {
		r := httptest.NewRequest("GET", "/v1/accounts", nil)
		r.Header.Set("X-Request-ID", "99391c7e-ad88-49ec-a2ad-99ddcb1f7721")
		r.Header.Set("Signature", signature)
		r.Header.Set("Digest", digest)
		r.Header.Set("TPP-Signature-Certificate", base64.StdEncoding.EncodeToString(seal.Certificate.Raw))
		w := httptest.NewRecorder()
		if bank.ServeHTTP(w, r); w.Code != http.StatusUnauthorized {
			t.Errorf("%d %s", w.Code, w.Body)
		}
	})
}
