package main

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/passerelle-cloud/passerelle/internal/sqldb"
	"github.com/passerelle-cloud/passerelle/operators/accounts"
)

// appPassword gives a person a password and returns an app password of theirs.
func appPassword(t testing.TB, data, person string) string {
	t.Helper()
	db, err := sqldb.Open(t.Context(), filepath.Join(data, "passerelle.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	a, err := accounts.Open(t.Context(), db, accounts.Options{Cost: accounts.Cost{Memory: 64, Passes: 1, Threads: 1}})
	if err != nil {
		t.Fatal(err)
	}
	const password = "correct horse battery"
	if err := a.SetPassword(t.Context(), person, password); err != nil {
		t.Fatal(err)
	}
	token, _, err := a.SignIn(t.Context(), person, password, accounts.Client{Address: "192.0.2.9"})
	if err != nil {
		t.Fatal(err)
	}
	app, err := a.NewAppPassword(t.Context(), token, "test")
	if err != nil {
		t.Fatal(err)
	}
	return app
}

// worker is a person who works with programs at a gateway.
type worker struct {
	t              *testing.T
	g              *running
	data, password string
	config         string // of rclone
}

func newWorker(t *testing.T, programs ...string) *worker {
	for _, p := range programs {
		if _, err := exec.LookPath(p); err != nil {
			t.Skipf("%s is not installed: no foreign client is tried", p)
		}
	}
	data := t.TempDir()
	mustCall(t, "--data", data, "person", "add", "alice")
	w := &worker{t: t, data: data, password: appPassword(t, data, "alice")}
	w.g = runGateway(t, data, "--local")
	w.config = filepath.Join(t.TempDir(), "rclone.conf")
	secret, err := exec.Command("rclone", "obscure", w.password).Output()
	if err == nil {
		text := fmt.Sprintf("[home]\ntype = webdav\nurl = %s/dav/files/\nvendor = nextcloud\nuser = alice\npass = %s\n", w.g.url, secret)
		err = os.WriteFile(w.config, []byte(text), 0o600)
	}
	if err != nil && len(programs) > 0 && programs[0] == "rclone" {
		t.Fatal(err)
	}
	return w
}

// rclone runs rclone, or ends the test.
func (w *worker) rclone(args ...string) string {
	w.t.Helper()
	cmd := exec.Command("rclone", append([]string{"--config", w.config, "--retries", "1"}, args...)...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		w.t.Fatalf("rclone %v: %v\n%s\n%s", args, err, out, w.g.err)
	}
	return string(out)
}

// ask sends a request of alice's.
func (w *worker) ask(method, path, body string, headers ...string) (*http.Response, string) {
	w.t.Helper()
	r, err := http.NewRequest(method, w.g.url+path, strings.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	r.SetBasicAuth("alice", w.password)
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		w.t.Fatal(err)
	}
	defer answer.Body.Close()
	var text bytes.Buffer
	if _, err := text.ReadFrom(answer.Body); err != nil {
		w.t.Fatal(err)
	}
	return answer, text.String()
}

// oddNames are names that clients have trouble with.
var oddNames = []string{"Été.txt", "E\u0301te\u0301 (NFD).txt", "renard 🦊.txt", "trailing space ", " leading", "dot.", ".hidden", "a%2Fb", "100%.txt", "q?x=1&y.txt", "sharp#1", "plus+and space", "quote'\".txt",
	"semi;colon,comma", "back\\slash", "[brackets]{braces}", "日本語.txt", "<angle>", "a:b|c*d", strings.Repeat("é", 110), "~tilde", "-rf", "ﬁ ligature", "\u202eevil.txt"}

// tree makes a folder with some hundred files, and returns how many.
func tree(t *testing.T, dir string) (n int) {
	put := func(name, content string) {
		n++
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 250 {
		put(fmt.Sprintf("many/%d/file %d.txt", i%20, i), strings.Repeat(fmt.Sprintln("line", i), i*7))
	}
	for _, name := range oddNames {
		put("odd/"+name, "content of "+name)
		put("odd/folder "+name+"/inside", name)
	}
	put("empty", "")
	put(strings.Repeat("deep/", 40)+"file", "deep")
	put("large", strings.Repeat("0123456789abcdef", 1<<18))
	return n
}

func TestRclone(t *testing.T) {
	w := newWorker(t, "rclone")
	local := t.TempDir()
	n := tree(t, local)
	w.rclone("copy", local, "home:")
	w.rclone("check", local, "home:", "--download")
	if got := strings.Count(w.rclone("lsf", "-R", "--files-only", "home:"), "\n"); got != n {
		t.Errorf("%d files, want %d", got, n)
	}
}

func TestLitmus(t *testing.T) {
	w := newWorker(t, "litmus")
	cmd := exec.Command("litmus", "-k", w.g.url+"/dav/files/", "alice", w.password)
	cmd.Dir = t.TempDir()
	out, err := cmd.CombinedOutput()
	t.Logf("%v\n%s", err, out)
	log, _ := os.ReadFile(cmd.Dir + "/debug.log")
	if i := bytes.Index(log, []byte("complex_cond_put")); i > 0 {
		t.Logf("%s", log[i:i+3000])
	}
}
