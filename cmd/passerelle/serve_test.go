package main

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/passerelle-cloud/passerelle/internal/apitest"
	"github.com/passerelle-cloud/passerelle/internal/dbtest"
)

// running is a gateway that runs in a process of its own.
type running struct {
	url, key string
	cmd      *exec.Cmd
	err      *strings.Builder
}

// runGateway starts "passerelle serve" and waits until it says where it is.
func runGateway(t testing.TB, data string, args ...string) *running {
	t.Helper()
	r := &running{cmd: exec.Command(gatewayProgram(t), append([]string{"--data", data, "serve", "--listen", "127.0.0.1:0"}, args...)...), err: &strings.Builder{}}
	r.cmd.Stderr = r.err
	out, err := r.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := r.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.cmd.Process.Kill(); r.cmd.Wait() })
	lines := bufio.NewScanner(out)
	for lines.Scan() && r.key == "" {
		if url, ok := strings.CutPrefix(lines.Text(), "Passerelle serves "); ok {
			r.url = url
		}
		if _, key, ok := strings.Cut(lines.Text(), "--key '"); ok {
			r.key = strings.TrimSuffix(key, "'")
			return r
		}
	}
	r.cmd.Wait()
	t.Fatalf("the gateway does not start: %s", r.err)
	return nil
}

// stop asks it to stop, and checks that it does.
func (r *running) stop(t testing.TB) {
	t.Helper()
	r.cmd.Process.Signal(syscall.SIGTERM)
	if err := r.cmd.Wait(); err != nil {
		t.Errorf("%v: %s", err, r.err)
	}
}

func (r *running) get(t *testing.T, path string) (*http.Response, string) {
	t.Helper()
	answer, err := http.Get(r.url + path)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer, string(body)
}

// call runs the program: the one that $PASSERELLE_TEST_PROGRAM names, or this one, in this process.
func call(t testing.TB, args ...string) (string, int) {
	t.Helper()
	var out strings.Builder
	named := os.Getenv("PASSERELLE_TEST_PROGRAM")
	if named == "" {
		code := run(args, &out, &out)
		return out.String(), code
	}
	cmd := exec.Command(named, args...)
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return out.String(), cmd.ProcessState.ExitCode()
}

func mustCall(t testing.TB, args ...string) string {
	t.Helper()
	out, code := call(t, args...)
	if code != 0 {
		t.Fatalf("%v: %s", args, out)
	}
	return out
}

func loaded(t testing.TB, data string, flags ...string) {
	t.Helper()
	zip := filepath.Join(t.TempDir(), "x.zip")
	mustCall(t, "--data", t.TempDir(), "export", "--from", "example:1", "--out", zip)
	mustCall(t, append(flags, "--data", data, "import", "--to", "home:alice", zip)...)
}

func TestServe(t *testing.T) {
	data := t.TempDir()
	loaded(t, data)
	g := runGateway(t, data)
	for _, c := range []struct {
		method, path string
		status       int
		says         string
	}{
		{"GET", "/log/checkpoint", 200, "/log\n2\n"},
		{"GET", "/log/tile/0/000.p/2", 200, ""},
		{"GET", "/log/tile/entries/000.p/2", 200, ""},
		{"GET", "/log/tile/0/000", 404, ""},
		{"GET", "/metrics", 200, "passerelle_ledger_size_leaves"},
		{"GET", "/healthz", 200, "alive"},
		{"GET", "/readyz", 200, "ready"},
		{"POST", "/witness/add-checkpoint", 400, ""},
		{"GET", "/.well-known/passerelle-operator", 200, `"payload":`},
	} {
		request, err := http.NewRequest(c.method, g.url+c.path, nil)
		if err != nil {
			t.Fatal(err)
		}
		answer, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(answer.Body)
		answer.Body.Close()
		if answer.StatusCode != c.status || !strings.Contains(string(body), c.says) {
			t.Errorf("%s %s: %d %s", c.method, c.path, answer.StatusCode, body)
		}
		apitest.Answer(t, answer, string(body))
	}
	for _, path := range []string{"/log", "/log/", "/nothing", "/log/../metrics/x", "/witness/add-checkpoint"} {
		if answer, body := g.get(t, path); answer.StatusCode != 404 && answer.StatusCode != 405 {
			t.Errorf("%s: %d %s", path, answer.StatusCode, body)
		}
	}
	if out := mustCall(t, "--data", t.TempDir(), "log", "verify", g.url+"/log", "--key", g.key); !strings.Contains(out, "is sound: 2 leaves") {
		t.Error(out)
	}
	// Another operator pins this one by its address.
	other := t.TempDir()
	if out, code := call(t, "--data", other, "operator", "trust", g.url, "--fingerprint", strings.Repeat("0", 64)); code != exitFailed || !strings.Contains(out, "somebody else") {
		t.Errorf("%d: %s", code, out)
	}
	out := mustCall(t, "--data", other, "operator", "trust", g.url)
	if _, rest, ok := strings.Cut(out, "elsewhere:\n"); ok {
		fingerprint, _, _ := strings.Cut(rest, "\n")
		out = mustCall(t, "--data", other, "operator", "trust", g.url, "--fingerprint", strings.ToUpper(strings.ReplaceAll(fingerprint, " ", ":")))
	}
	if !strings.Contains(out, "the fingerprint that you gave") || !strings.Contains(mustCall(t, "--data", other, "operator", "trusted"), "Unregistered operator") {
		t.Error(out)
	}
	// The log can be looked at while the gateway runs. Another gateway cannot run on the same folder.
	if out := mustCall(t, "--data", data, "log", "show", "--person", "alice"); !strings.Contains(out, "import.finished") {
		t.Error(out)
	}
	g.stop(t)
	if !strings.Contains(g.err.String(), "stopped") || strings.Contains(g.err.String(), "alice") {
		t.Errorf("the gateway's log: %s", g.err)
	}
}

func TestServeRefuses(t *testing.T) {
	data := t.TempDir()
	g := runGateway(t, data)
	port := strings.TrimPrefix(g.url, "http://")
	pem := filepath.Join(t.TempDir(), "x.pem")
	if err := os.WriteFile(pem, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		says string
		code int
		args []string
	}{
		{"address already in use", 1, []string{"--data", t.TempDir(), "serve", "--listen", port}},
		{"go together", 2, []string{"--data", t.TempDir(), "serve", "--tls-cert", pem}},
		{"read the certificate", 1, []string{"--data", t.TempDir(), "serve", "--listen", "127.0.0.1:0", "--tls-cert", pem, "--tls-key", pem}},
		{"--witness", 2, []string{"--data", t.TempDir(), "serve", "--listen", "127.0.0.1:0", "--witness", "nonsense"}},
		{"quorum", 1, []string{"--data", t.TempDir(), "serve", "--listen", "127.0.0.1:0", "--quorum", "3"}},
		{"another process has this database's log open", 1, []string{"--data", data, "serve", "--listen", "127.0.0.1:0"}},
	} {
		if out, code := call(t, c.args...); code != c.code || !strings.Contains(out, c.says) {
			t.Errorf("%v: %d %s", c.args[2:], code, out)
		}
	}
}

func TestArticle32ServeTLS(t *testing.T) {
	certificate, key, cert := selfSigned(t)
	g := runGateway(t, t.TempDir(), "--tls-cert", certificate, "--tls-key", key)
	if !strings.HasPrefix(g.url, "https://") {
		t.Fatal(g.url)
	}
	roots := x509.NewCertPool()
	roots.AddCert(cert)
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}}
	answer, err := client.Get(g.url + "/readyz")
	if err != nil || answer.StatusCode != 200 {
		t.Fatalf("%v, %v", answer, err)
	}
	answer.Body.Close()
	g.stop(t)
}

// selfSigned makes a certificate for this machine, and returns its files.
func selfSigned(t testing.TB) (certificate, private string, parsed *x509.Certificate) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "gateway"}, NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	if parsed, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	write := func(name, kind string, data []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: data}), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	return write("cert.pem", "CERTIFICATE", der), write("key.pem", "PRIVATE KEY", pkcs8), parsed
}

// Two replicas on one PostgreSQL share one log, while persons' data comes in.
func TestServeReplicas(t *testing.T) {
	t.Parallel()
	database := dbtest.PostgresURL(t)
	data := t.TempDir()
	loaded(t, data, "--database", database)
	a := runGateway(t, data, "--database", database)
	b := runGateway(t, data, "--database", database)
	loaded(t, data, "--database", database)
	for _, g := range []*running{a, b} {
		if out := mustCall(t, "--data", t.TempDir(), "log", "verify", g.url+"/log", "--key", g.key); !strings.Contains(out, "is sound: 4 leaves") {
			t.Error(out)
		}
	}
	a.cmd.Process.Kill()
	loaded(t, data, "--database", database)
	if out := mustCall(t, "--data", t.TempDir(), "log", "verify", b.url+"/log", "--key", b.key); !strings.Contains(out, "is sound: 6 leaves") {
		t.Error(out)
	}
	b.stop(t)
}
