package main

import (
	"bytes"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"testing"
)

// TestCertificateRequest asks for both certificates twice: the requests are sound, say whose they are, and are about the keys that
// the gateway keeps.
func TestCertificateRequest(t *testing.T) {
	data := t.TempDir()
	ask := func(args ...string) *x509.CertificateRequest {
		t.Helper()
		var out, fault bytes.Buffer
		if code := run(append([]string{"--data", data, "key", "certified"}, args...), &out, &fault); code != exitDone {
			t.Fatalf("%d: %s", code, &fault)
		}
		block, rest := pem.Decode(out.Bytes())
		if block == nil || block.Type != "CERTIFICATE REQUEST" || len(rest) != 0 {
			t.Fatalf("%s", &out)
		}
		request, err := x509.ParseCertificateRequest(block.Bytes)
		if err == nil {
			err = request.CheckSignature()
		}
		if err != nil {
			t.Fatal(err)
		}
		return request
	}
	website := ask("qwac", "--organisation", "PSDFR-ACPR-12345", "--host", "operator.example")
	seal := ask("qsealc", "--organisation", "PSDFR-ACPR-12345")
	if website.Subject.CommonName != "operator.example" || website.DNSNames[0] != "operator.example" || len(seal.DNSNames) != 0 || seal.Subject.CommonName != seal.Subject.Organization[0] {
		t.Errorf("%s, %s", website.Subject, seal.Subject)
	}
	for name, r := range map[string]*x509.CertificateRequest{"qwac": website, "qsealc": seal} {
		id := ""
		for _, n := range r.Subject.Names {
			if n.Type.String() == "2.5.4.97" {
				id, _ = n.Value.(string)
			}
		}
		again := ask(name, "--organisation", "PSDFR-ACPR-12345")
		if key, ok := r.PublicKey.(*rsa.PublicKey); !ok || !key.Equal(again.PublicKey) || id != "PSDFR-ACPR-12345" {
			t.Errorf("%s: %s, %T", name, id, r.PublicKey)
		}
		found, err := filepath.Glob(filepath.Join(data, "keys", "certified", name+".pem"))
		if err != nil || len(found) != 1 {
			t.Errorf("%s: %v %v", name, found, err)
		}
	}
	if website.PublicKey.(*rsa.PublicKey).Equal(seal.PublicKey) {
		t.Error("both are about one key")
	}
}

func TestCertificateRequestRefused(t *testing.T) {
	data := t.TempDir()
	for _, args := range [][]string{{"qwac"}, {"qsealc", "--organisation", "PSDFR-ACPR-12345", "--host", "operator.example"}, {"other"}} {
		if said, code := call(t, append([]string{"--data", data, "key", "certified"}, args...)...); code != exitUsage {
			t.Errorf("%v: %d %s", args, code, said)
		}
	}
	if _, err := os.Stat(filepath.Join(data, "keys", "certified")); err == nil {
		t.Error("a key was made")
	}
}
