package main

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestPaymentServices has a bank's gateway asked for accounts, over mutual TLS: by a provider with a certificate for payment
// services, and by others.
func TestPaymentServices(t *testing.T) {
	dir, data := t.TempDir(), t.TempDir()
	save := func(name string, text []byte) string {
		t.Helper()
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, text, 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	mustCall(t, "--data", data, "operator", "show")
	var profile map[string]any
	text, err := os.ReadFile(filepath.Join(data, "operator.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &profile); err != nil {
		t.Fatal(err)
	}
	profile["roles"] = []string{"aspsp"}
	if text, err = json.Marshal(profile); err != nil {
		t.Fatal(err)
	}
	mustCall(t, "--data", data, "operator", "set", save("operator.json", text))
	if out := mustCall(t, "--data", data, "audit", "packs"); !strings.Contains(out, "psd2@2023-07-25") || strings.Count(out, "applies") != 2 || strings.Count(out, "is a draft") != 2 {
		t.Errorf("%s", out)
	}

	ca := newAuthority(t)
	anchors := save("ca.pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: ca.cert.Raw}))
	cert, key := ca.certify(t, &x509.Certificate{Subject: pkix.Name{CommonName: "gateway"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}})
	address := freeAddress(t)
	runGateway(t, data, "--tls-cert", save("cert.pem", cert), "--tls-key", save("key.pem", key), "--mtls-listen", address, "--mtls-url", "https://"+address, "--client-ca", anchors, "--psd2-trust", anchors)
	subject := pkix.Name{CommonName: "reader", ExtraNames: []pkix.AttributeTypeAndValue{{Type: asn1.ObjectIdentifier{2, 5, 4, 97}, Value: "PSDFR-ACPR-12345"}}}
	registration, err := json.Marshal(map[string]any{
		"client_id": "reader", "client_name": "Reader", "legal_name": "Reader SAS", "registrations": []any{map[string]string{"scheme": "SIREN", "value": "732829320"}, map[string]string{"scheme": "PSP", "value": "PSDFR-ACPR-12345"}},
		"country": "FR", "address": "1 rue des Exemples, 35000 Rennes", "contact": "privacy@reader.example", "purposes": []string{invitePurpose},
		"privacy_notices": map[string]string{"en": "https://reader.example/privacy"}, "redirect_uris": []string{"https://reader.example/callback"},
		"token_endpoint_auth_method": "tls_client_auth", "tls_client_auth_subject_dn": subject.ToRDNSequence().String(), "tls_client_certificate_bound_access_tokens": true,
	})
	if err != nil {
		t.Fatal(err)
	}
	mustCall(t, "--data", data, "service", "add", save("service.json", registration))

	challenge := sha256.Sum256([]byte("a verifier of at least forty-three characters, which is long"))
	form := url.Values{"client_id": {"reader"}, "response_type": {"code"}, "redirect_uri": {"https://reader.example/callback"}, "code_challenge_method": {"S256"},
		"code_challenge": {base64.RawURLEncoding.EncodeToString(challenge[:])}, "authorization_details": {`[{"type":"personal_data","datasets":["bank"],"actions":["read"],
			"purpose":{"iri":"` + invitePurpose + `","text":{"en":"To show your budget","fr":"Montrer votre budget"}},"retention":"P30D","frequency":"P1D",
			"expires":"` + time.Now().AddDate(0, 3, 0).UTC().Format(time.RFC3339) + `","no_recipients":true,"third_country":"none"}]`}}
	push := func(extensions ...pkix.Extension) (int, string) {
		t.Helper()
		cert, key := ca.certify(t, &x509.Certificate{Subject: subject, ExtraExtensions: extensions, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
		pair, err := tls.X509KeyPair(cert, key)
		if err != nil {
			t.Fatal(err)
		}
		roots := x509.NewCertPool()
		roots.AddCert(ca.cert)
		client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{RootCAs: roots, Certificates: []tls.Certificate{pair}}}}
		answer, err := client.PostForm("https://"+address+"/oauth/par", form)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		body, err := io.ReadAll(answer.Body)
		if err != nil {
			t.Fatal(err)
		}
		return answer.StatusCode, string(body)
	}
	if status, body := push(); status != http.StatusBadRequest || !strings.Contains(body, "certificate-not-valid") || !strings.Contains(body, "no PSD2 statement") {
		t.Errorf("a plain certificate: %d %s", status, body)
	}
	statement := func(role int) pkix.Extension {
		t.Helper()
		type one struct {
			ID   asn1.ObjectIdentifier
			Info asn1.RawValue `asn1:"optional"`
		}
		type named struct {
			ID   asn1.ObjectIdentifier
			Name string `asn1:"utf8"`
		}
		info, err := asn1.Marshal(struct {
			Roles []named
			Name  string `asn1:"utf8"`
			ID    string `asn1:"utf8"`
		}{[]named{{asn1.ObjectIdentifier{0, 4, 0, 19495, 1, role}, "PSP"}}, "ACPR", "FR-ACPR"})
		if err != nil {
			t.Fatal(err)
		}
		der, err := asn1.Marshal([]one{{ID: asn1.ObjectIdentifier{0, 4, 0, 1862, 1, 1}}, {ID: asn1.ObjectIdentifier{0, 4, 0, 19495, 2}, Info: asn1.RawValue{FullBytes: info}}})
		if err != nil {
			t.Fatal(err)
		}
		return pkix.Extension{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 1, 3}, Value: der}
	}
	if status, body := push(statement(2)); status != http.StatusBadRequest || !strings.Contains(body, "role-missing") {
		t.Errorf("with another role: %d %s", status, body)
	}
	if status, body := push(statement(3)); status != http.StatusCreated || !strings.Contains(body, "request_uri") {
		t.Errorf("a provider of account information: %d %s", status, body)
	}
	if out := mustCall(t, "--data", data, "service", "agree", "reader", "--runs", "8", "--agreement", "contract 7"); !strings.Contains(out, "8 runs a day") {
		t.Errorf("%s", out)
	}
	if out := mustCall(t, "--data", data, "service", "list"); !strings.Contains(out, "8 runs a day agreed: contract 7") {
		t.Errorf("what was agreed on is not shown: %s", out)
	}
	if out := mustCall(t, "--data", data, "service", "show", "reader"); !strings.Contains(out, `"agreement": "contract 7"`) {
		t.Errorf("what was agreed on is not shown: %s", out)
	}
	mustCall(t, "--data", data, "service", "add", save("service.json", []byte(strings.Replace(string(registration), "ACPR-12345\"}", "ACPR-54321\"}", 1))))
	if status, body := push(statement(3)); status != http.StatusBadRequest || !strings.Contains(body, "certificate-of-another") {
		t.Errorf("of another company: %d %s", status, body)
	}
	if out := mustCall(t, "--data", data, "service", "list"); strings.Contains(out, "agreed") {
		t.Errorf("what was agreed on with another company holds: %s", out)
	}
	mustCall(t, "--data", data, "service", "agree", "reader", "--runs", "8", "--agreement", "contract 8")
	if out := mustCall(t, "--data", data, "service", "agree", "reader", "--runs", "0"); !strings.Contains(out, "four runs a day") {
		t.Errorf("%s", out)
	}
}

// TestPacksByRole: which laws bind an operator follows from its roles.
func TestPacksByRole(t *testing.T) {
	for roles, want := range map[string]string{"": "gdpr", "intermediary": "gdpr dga", "hosting": "gdpr dataact", "intermediary hosting": "gdpr dga dataact", "aspsp": "gdpr psd2", "aisp": "gdpr psd2", "intermediary aisp aspsp": "gdpr dga psd2"} {
		var names []string
		for _, pack := range packsFor(strings.Fields(roles)) {
			names = append(names, pack.Name)
		}
		if got := strings.Join(names, " "); got != want {
			t.Errorf("%q: %s, not %s", roles, got, want)
		}
	}
}
