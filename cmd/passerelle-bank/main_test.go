package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestMain lets the test binary be the program.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"passerelle-bank": main})
}

// opened runs a bank, and returns where it is.
func opened(t *testing.T, args ...string) string {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	out, to := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		err := run(ctx, append([]string{"--listen", "127.0.0.1:0"}, args...), to, io.Discard)
		_ = to.CloseWithError(io.EOF) // never fails
		ended <- err
	}()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	line, _ := bufio.NewReader(out).ReadString('\n')
	_, at, found := strings.Cut(strings.TrimSpace(line), "open at ")
	if !found {
		t.Fatalf("the bank says %q", line)
	}
	return at
}

// scripts are what README.md tells people to type.
func scripts(t *testing.T) (list []string) {
	t.Helper()
	for _, program := range []string{"bash", "curl", "jq", "openssl"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("%s is not installed: the quickstart is not tried", program)
		}
	}
	text, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, found := range regexp.MustCompile("(?s)```bash\n(.*?)```").FindAllStringSubmatch(string(text), -1) {
		list = append(list, found[1])
	}
	if len(list) != 4 {
		t.Fatalf("README.md has %d scripts", len(list))
	}
	return list
}

// typed runs a script at a bank.
func typed(t *testing.T, dir, script, bank string) string {
	t.Helper()
	script = strings.NewReplacer("https://127.0.0.1:8472", bank, "http://127.0.0.1:8472", bank).Replace(script)
	shell := exec.CommandContext(t.Context(), "bash", "-euo", "pipefail", "-c", script)
	shell.Dir = dir
	out, err := shell.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return string(out)
}

func TestQuickstart(t *testing.T) {
	out := typed(t, t.TempDir(), scripts(t)[1], opened(t))
	for _, want := range []string{`"consentStatus":"valid"`, "Livret A", "PHARMACIE DES HALLES", "VIR C.P.A.M.", `"retryAfter": 5`, `"now"`, "/sca/"} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is not in what the quickstart says: %.3000s", want, out)
		}
	}
	if n := len(regexp.MustCompile(`(?m)^\d{4}-\d\d-\d\d\t-?\d+\.\d\d\t`).FindAllString(out, -1)); n < 500 {
		t.Errorf("%d operations", n)
	}
}

func TestQuickstartSigned(t *testing.T) {
	list := scripts(t)
	dir := t.TempDir()
	typed(t, dir, strings.ReplaceAll(strings.Split(list[2], "\n")[0], "go run ./cmd/passerelle-bank", "passerelle-bank"), "")
	certs := dir + "/certs/"
	bank := opened(t, "--tls-cert", certs+"server.pem", "--tls-key", certs+"server-key.pem", "--roots", certs+"ca.pem", "--signed")
	if out := typed(t, dir, list[3], bank); !strings.Contains(out, `"consentStatus":"received"`) {
		t.Error(out)
	}
	for file, want := range map[string]string{"qwac-expired": "CERTIFICATE_EXPIRED", "qwac-wrong-role": "ROLE_INVALID", "qwac-other": "CERTIFICATE_INVALID"} {
		script := strings.ReplaceAll(strings.ReplaceAll(list[3], "certs/qwac", "certs/"+file), "--fail-with-body", "")
		if out := typed(t, dir, script, bank); !strings.Contains(out, want) {
			t.Errorf("%s: %s", file, out)
		}
	}
	for file, want := range map[string]string{"qseal-expired": "CERTIFICATE_EXPIRED", "qseal-wrong-role": "ROLE_INVALID"} {
		script := strings.ReplaceAll(strings.ReplaceAll(list[3], "certs/qseal", "certs/"+file), "--fail-with-body", "")
		if out := typed(t, dir, script, bank); !strings.Contains(out, want) {
			t.Errorf("%s: %s", file, out)
		}
	}
}

func TestCommandLine(t *testing.T) {
	for _, c := range []struct{ args, want string }{
		{"--approach telepathy", "there is no approach"},
		{"--roots ca.pem", "--roots wants HTTPS"},
		{"--nonsense", "the command line is wrong"},
		{"serve", "the command line is wrong"},
		{"--tls-cert absent.pem --tls-key absent.pem", "absent.pem"},
		{"certificates --out /dev/null/x", "/dev/null"},
	} {
		err := run(t.Context(), strings.Fields(c.args), io.Discard, io.Discard)
		if err == nil || !strings.Contains(fmt.Sprint(err), c.want) {
			t.Errorf("%s: %v", c.args, err)
		}
	}
}
