package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestQuickstart runs what consent/README.md tells services to type.
func TestQuickstart(t *testing.T) {
	t.Parallel()
	for _, program := range []string{"bash", "curl", "jq", "openssl"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("%s is not installed: the quickstart is not tried", program)
		}
	}
	text, err := os.ReadFile("../../consent/README.md")
	if err != nil {
		t.Fatal(err)
	}
	script := regexp.MustCompile("(?s)```bash\n(.*?)```").FindStringSubmatch(string(text))
	if script == nil {
		t.Fatal("consent/README.md has no script")
	}
	dir, data := t.TempDir(), t.TempDir()
	bin := filepath.Join(dir, "example-service")
	build := exec.Command("go", "build", "-o", bin, "../example-service")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	register := exec.Command(bin, "register")
	register.Dir = dir
	registration, err := register.Output()
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "service.json")
	if err := os.WriteFile(file, registration, 0o600); err != nil {
		t.Fatal(err)
	}
	loaded(t, data)
	passwordOf(t, data, "alice", "correct horse battery")
	g := runGateway(t, data, "--local")
	mustCall(t, "--data", data, "service", "add", file)

	// What is built is run, since to build it each time takes long, at the gateway of the test.
	typed := strings.NewReplacer("go run ./cmd/example-service", bin, "http://127.0.0.1:8470", g.url).Replace(script[1])
	shell := exec.Command("bash", "-euo", "pipefail", "-c", typed)
	shell.Dir = dir
	var faults strings.Builder
	shell.Stderr = &faults
	in, err := shell.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := shell.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := shell.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { shell.Process.Kill(); shell.Wait() })
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 1<<20)
	var cards int
	for lines.Scan() {
		if to := regexp.MustCompile(`Open (\S+) and`).FindStringSubmatch(lines.Text()); to != nil {
			back, err := url.Parse(newBrowser(t, g.url).decides(t, to[1], "alice", "correct horse battery"))
			if err != nil {
				t.Fatal(err)
			}
			fmt.Fprintln(in, back.Query().Get("code"))
		}
		if strings.HasPrefix(lines.Text(), "BEGIN:VCARD") {
			cards++
		}
	}
	if err := shell.Wait(); err != nil || cards < 10 {
		t.Errorf("%d cards; %v: %s", cards, err, faults.String())
	}
	var asked []map[string]any
	example := regexp.MustCompile("(?s)```json\n(.*?)```").FindStringSubmatch(string(text))
	if err := json.Unmarshal([]byte(example[1]), &asked); err != nil {
		t.Error("the example of what is asked is no JSON:", err)
	}
}
