package main

import (
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/passerelle-cloud/passerelle/internal/fapi"
)

// authority is one that vouches for certificates.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	key, err := fapi.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority"}, NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &authority{cert, key}
}

// certify makes a certificate and its key, as PEM.
func (a *authority) certify(t *testing.T, template *x509.Certificate) (cert, private []byte) {
	t.Helper()
	key, err := fapi.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	template.SerialNumber, template.NotAfter = big.NewInt(time.Now().UnixNano()), time.Now().Add(time.Hour)
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, key.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	ec, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: ec})
}

// TestCertificateBound has a service prove itself with a certificate, and hold its tokens with it (RFC 8705), over TLS.
func TestCertificateBound(t *testing.T) {
	dir, data := t.TempDir(), t.TempDir()
	ca := newAuthority(t)
	save := func(name string, text []byte) string {
		t.Helper()
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, text, 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	cert, key := ca.certify(t, &x509.Certificate{Subject: pkix.Name{CommonName: "gateway"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}})
	second := freeAddress(t)
	g := runGateway(t, data, "--tls-cert", save("cert.pem", cert), "--tls-key", save("key.pem", key), "--mtls-listen", second, "--mtls-url", "https://"+second,
		"--client-ca", save("ca.pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: ca.cert.Raw})))
	registration, err := json.Marshal(map[string]any{
		"client_id": "bound", "client_name": "Bound", "legal_name": "Bound SAS", "registrations": []any{map[string]string{"scheme": "SIREN", "value": "732829320"}},
		"country": "FR", "address": "1 rue des Exemples, 35000 Rennes", "contact": "privacy@bound.example", "purposes": []string{invitePurpose},
		"privacy_notices": map[string]string{"en": "https://bound.example/privacy"}, "redirect_uris": []string{"https://bound.example/callback"},
		"token_endpoint_auth_method": "tls_client_auth", "tls_client_auth_subject_dn": "CN=bound,O=Bound SAS", "tls_client_certificate_bound_access_tokens": true,
	})
	if err != nil {
		t.Fatal(err)
	}
	mustCall(t, "--data", data, "service", "add", save("service.json", registration))

	client := func(name string) *http.Client {
		t.Helper()
		cert, key := ca.certify(t, &x509.Certificate{Subject: pkix.Name{CommonName: name, Organization: []string{"Bound SAS"}}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
		pair, err := tls.X509KeyPair(cert, key)
		if err != nil {
			t.Fatal(err)
		}
		roots := x509.NewCertPool()
		roots.AddCert(ca.cert)
		return &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, Certificates: []tls.Certificate{pair}}}}
	}
	post := func(c *http.Client, base, path string, form url.Values) (int, map[string]any) {
		t.Helper()
		answer, err := c.PostForm(base+path, form)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		var body map[string]any
		text, _ := io.ReadAll(answer.Body)
		json.Unmarshal(text, &body)
		return answer.StatusCode, body
	}
	own, other := client("bound"), client("other")
	credentials := url.Values{"client_id": {"bound"}, "grant_type": {"client_credentials"}, "scope": {"grant_management_query"}}
	status, tokens := post(own, "https://"+second, "/oauth/token", credentials)
	token, _ := tokens["access_token"].(string)
	if status != http.StatusOK || tokens["token_type"] != "bearer" && tokens["token_type"] != "Bearer" || token == "" {
		t.Fatal(status, tokens)
	}
	if status, body := post(other, "https://"+second, "/oauth/token", credentials); status != http.StatusUnauthorized {
		t.Error("another certificate:", status, body)
	}
	if status, body := post(own, g.url, "/oauth/token", credentials); status != http.StatusUnauthorized { // nobody is asked for a certificate there
		t.Error("the first address:", status, body)
	}
	grant := func(c *http.Client, base, header string) int {
		t.Helper()
		r, _ := http.NewRequest(http.MethodGet, base+"/oauth/grants/nothing", nil)
		r.Header.Set("Authorization", header)
		answer, err := c.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		return answer.StatusCode
	}
	for name, k := range map[string]struct {
		client *http.Client
		base   string
		header string
		want   int
	}{
		"with its certificate": {own, "https://" + second, "Bearer " + token, http.StatusNotFound}, // the token is good, and there is no such grant
		"with another":         {other, "https://" + second, "Bearer " + token, http.StatusUnauthorized},
		"without":              {own, g.url, "Bearer " + token, http.StatusUnauthorized},
		"as DPoP":              {own, "https://" + second, "DPoP " + token, http.StatusUnauthorized},
	} {
		if got := grant(k.client, k.base, k.header); got != k.want {
			t.Errorf("%s: %d", name, got)
		}
	}
	if _, body := fetched(t, own, g.url+"/.well-known/oauth-authorization-server"); !strings.Contains(body, `"token_endpoint":"https://`+second+`/oauth/token"`) {
		t.Error(body)
	}
}

func fetched(t *testing.T, c *http.Client, address string) (int, string) {
	t.Helper()
	answer, err := c.Get(address)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, _ := io.ReadAll(answer.Body)
	return answer.StatusCode, string(text)
}

// freeAddress is one that nobody listens at just now.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}
