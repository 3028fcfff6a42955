package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
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
	for i := range 160 {
		put(fmt.Sprintf("many/%d/file %d.txt", i%10, i), strings.Repeat(fmt.Sprintln("line", i), i*7))
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

// TestRclone copies a tree with odd names into a home and works on it there; an export and the data's interface give what
// it put.
func TestRclone(t *testing.T) {
	t.Parallel()
	w := newWorker(t, "rclone")
	local := t.TempDir()
	n := tree(t, local)
	w.rclone("copy", local, "home:")
	w.rclone("check", local, "home:", "--download")
	if got := strings.Count(w.rclone("lsf", "-R", "--files-only", "home:"), "\n"); got != n {
		t.Errorf("%d files, want %d", got, n)
	}
	w.rclone("moveto", "home:many/3", "home:elsewhere/third")
	w.rclone("copyto", "home:odd", "home:odd copy")
	w.rclone("purge", "home:deep")
	w.rclone("deletefile", "home:empty")
	if err := errors.Join(os.Mkdir(filepath.Join(local, "elsewhere"), 0o700), os.Rename(filepath.Join(local, "many", "3"), filepath.Join(local, "elsewhere", "third")), os.RemoveAll(filepath.Join(local, "deep")), os.Remove(filepath.Join(local, "empty")), os.CopyFS(filepath.Join(local, "odd copy"), os.DirFS(filepath.Join(local, "odd")))); err != nil {
		t.Fatal(err)
	}
	w.rclone("check", local, "home:")
	if err := os.WriteFile(filepath.Join(local, "large"), []byte("smaller now"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(local, "odd", oddNames[0])); err != nil {
		t.Fatal(err)
	}
	w.rclone("sync", local, "home:")
	w.rclone("check", local, "home:", "--download")
	if got := w.rclone("cat", "home:large", "--offset", "8", "--count", "3"); got != "now" {
		t.Errorf("a range is %q", got)
	}
	w.inExport(local)
}

// inExport stops the gateway, exports the person, and looks for each file of a folder in the archive.
func (w *worker) inExport(local string) {
	w.t.Helper()
	w.g.stop(w.t) // on SQLite one process writes the log
	zip := filepath.Join(w.t.TempDir(), "alice.zip")
	mustCall(w.t, "--data", w.data, "export", "--from", "home:alice", "--out", zip)
	mustCall(w.t, "verify", zip)
	out := filepath.Join(w.t.TempDir(), "out")
	mustCall(w.t, "--data", w.t.TempDir(), "import", "--to", "dir:"+out, zip)
	err := filepath.WalkDir(local, func(path string, e os.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		name, err := filepath.Rel(local, path)
		if err != nil {
			return err
		}
		want, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		got, err := os.ReadFile(filepath.Join(out, name))
		if err == nil && !bytes.Equal(got, want) {
			err = fmt.Errorf("%s: %d bytes, want %d", name, len(got), len(want))
		}
		return err
	})
	if err != nil {
		w.t.Error(err)
	}
}

// TestALargeFile puts and gets a file that is larger than what the gateway may take in memory for it.
func TestALargeFile(t *testing.T) {
	w := newWorker(t)
	const size = 300 << 20
	w.ask("PUT", "/dav/files/warm", "up")
	before := w.memory()
	r, err := http.NewRequest("PUT", w.g.url+"/dav/files/large", io.LimitReader(zeros{}, size))
	if err != nil {
		t.Fatal(err)
	}
	r.SetBasicAuth("alice", w.password)
	answer, err := http.DefaultClient.Do(r)
	if err != nil || answer.StatusCode != http.StatusCreated {
		t.Fatal(answer, err)
	}
	answer.Body.Close()
	r, err = http.NewRequest("GET", w.g.url+"/dav/files/large", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.SetBasicAuth("alice", w.password)
	if answer, err = http.DefaultClient.Do(r); err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if n, err := io.Copy(io.Discard, answer.Body); err != nil || n != size {
		t.Errorf("%d bytes came back, %v", n, err)
	}
	if after := w.memory(); before > 0 && after > before+64<<20 {
		t.Errorf("the gateway took %d MiB at most, before %d MiB", after>>20, before>>20)
	} else {
		t.Logf("memory at most %d MiB, before %d MiB", after>>20, before>>20)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// memory is how much the gateway's process has taken at most, in bytes; 0 where that is not known.
func (w *worker) memory() (kib int64) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", w.g.cmd.Process.Pid))
	if err != nil {
		return 0
	}
	_, peak, _ := strings.Cut(string(text), "VmHWM:")
	fmt.Sscan(peak, &kib)
	return kib << 10
}

// TestKilledWhileSending kills the gateway while files arrive: each is there as a whole, or not at all.
func TestKilledWhileSending(t *testing.T) {
	t.Parallel()
	w := newWorker(t)
	body := strings.Repeat("0123456789", 30_000)
	stored := make(chan string, 100)
	go func() {
		defer close(stored)
		for n := range 100 {
			name := fmt.Sprint("/dav/files/f", n)
			r, err := http.NewRequest("PUT", w.g.url+name, strings.NewReader(body))
			if err != nil {
				return
			}
			r.SetBasicAuth("alice", w.password)
			answer, err := http.DefaultClient.Do(r)
			if err != nil {
				return
			}
			answer.Body.Close()
			if answer.StatusCode == http.StatusCreated {
				stored <- name
			}
		}
	}()
	names := []string{<-stored, <-stored, <-stored}
	w.g.cmd.Process.Kill()
	w.g.cmd.Wait()
	for name := range stored {
		names = append(names, name)
	}
	w.g = runGateway(t, w.data, "--local")
	for _, name := range names {
		if answer, text := w.ask("GET", name, ""); answer.StatusCode != http.StatusOK || text != body {
			t.Errorf("%s was stored, and is %d, %d bytes", name, answer.StatusCode, len(text))
		}
	}
	last := fmt.Sprint("/dav/files/f", len(names))
	if answer, text := w.ask("GET", last, ""); answer.StatusCode != http.StatusNotFound && text != body {
		t.Errorf("%s is there in part: %d, %d bytes", last, answer.StatusCode, len(text))
	}
	if answer, _ := w.ask("PUT", last, body); answer.StatusCode >= 300 {
		t.Errorf("%s cannot be put again: %d", last, answer.StatusCode)
	}
}

// TestCadaver has a program of its own kind work: it makes folders, puts, copies, locks, and gets.
func TestCadaver(t *testing.T) {
	t.Parallel()
	w := newWorker(t, "cadaver")
	dir := t.TempDir()
	machine := strings.TrimPrefix(w.g.url, "http://")
	host, _, _ := strings.Cut(machine, ":")
	netrc := fmt.Sprintf("machine %s\nlogin alice\npassword %s\n", host, w.password)
	local := filepath.Join(dir, "local.txt")
	if err := errors.Join(os.WriteFile(filepath.Join(dir, ".netrc"), []byte(netrc), 0o600), os.WriteFile(local, []byte("from cadaver"), 0o600)); err != nil {
		t.Fatal(err)
	}
	run := func(script string) string {
		cmd := exec.Command("cadaver", w.g.url+"/dav/files/")
		cmd.Dir, cmd.Env = dir, append(os.Environ(), "HOME="+dir)
		cmd.Stdin = strings.NewReader(script + "\nquit\n")
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		return string(out)
	}
	out := run("mkcol letters\ncd letters\nput local.txt\nlock local.txt\ndiscover local.txt\nput local.txt\nunlock local.txt\ncopy local.txt second.txt\nmove second.txt ../third.txt\ncat local.txt\nls\ncd ..\nls\nget third.txt got.txt\ndelete third.txt\nrmcol letters\nls")
	if strings.Contains(strings.ToLower(out), "failed") || !strings.Contains(out, "from cadaver") {
		t.Error(out)
	}
	if got, err := os.ReadFile(filepath.Join(dir, "got.txt")); err != nil || string(got) != "from cadaver" {
		t.Errorf("%q, %v: %s", got, err, out)
	}
	if !strings.Contains(out[strings.LastIndex(out, "Listing"):], "empty") {
		t.Error("something is left:", out)
	}
	if answer, list := w.ask("PROPFIND", "/dav/trash/", "", "Depth", "1"); answer.StatusCode != 207 || !strings.Contains(list, "/dav/trash/letters/") || !strings.Contains(list, "/dav/trash/third.txt") {
		t.Errorf("%d %s", answer.StatusCode, list)
	}
}

// TestDavfs works in a home as in any folder of the machine: davfs2 mounts it, which locks what it writes.
func TestDavfs(t *testing.T) {
	w := newWorker(t, "mount.davfs")
	dir := t.TempDir()
	at, conf, secrets := filepath.Join(dir, "home"), filepath.Join(dir, "davfs2.conf"), filepath.Join(dir, "secrets")
	settings := fmt.Sprintf("secrets %s\ndelay_upload 0\nask_auth 0\ndir_refresh 0\nfile_refresh 0\ngui_optimize 0\n", secrets)
	if err := errors.Join(os.Mkdir(at, 0o700), os.WriteFile(conf, []byte(settings), 0o600),
		os.WriteFile(secrets, fmt.Appendf(nil, "%s/dav/files/ alice %s\n", w.g.url, w.password), 0o600)); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("mount.davfs", "-o", "conf="+conf, w.g.url+"/dav/files/", at).CombinedOutput(); err != nil {
		t.Skipf("davfs2 cannot mount here, for which it needs /dev/fuse: %v: %s", err, out)
	}
	mounted := true
	unmount := func() {
		if mounted {
			if out, err := exec.Command("umount", at).CombinedOutput(); err != nil { // which waits until all is sent
				t.Errorf("%v: %s", err, out)
			}
		}
		mounted = false
	}
	t.Cleanup(func() {
		unmount()
		left, _ := filepath.Glob("/var/cache/davfs2/*" + strings.ReplaceAll(strings.Trim(at, "/"), "/", "-") + "*") // it has no other place for root
		for _, name := range left {
			os.RemoveAll(name)
		}
	})
	in := func(name string) string { return filepath.Join(at, name) }
	large := bytes.Repeat([]byte("0123456789abcdef"), 200_000)
	if err := errors.Join(os.Mkdir(in("lettres"), 0o700), os.WriteFile(in("lettres/été.txt"), []byte("first"), 0o600), os.WriteFile(in("large"), large, 0o600),
		os.WriteFile(in("lettres/été.txt"), []byte("second"), 0o600), os.Rename(in("lettres/été.txt"), in("été 2.txt")),
		os.WriteFile(in("gone"), []byte("x"), 0o600), os.Remove(in("gone")), os.Remove(in("lettres"))); err != nil {
		t.Fatal(err)
	}
	unmount()
	for name, want := range map[string]string{"%C3%A9t%C3%A9%202.txt": "second", "large": string(large)} {
		if answer, got := w.ask("GET", "/dav/files/"+name, ""); answer.StatusCode != http.StatusOK || got != want {
			t.Errorf("%s: %s, %d bytes", name, answer.Status, len(got))
		}
	}
	if _, list := w.ask("PROPFIND", "/dav/files/", "", "Depth", "1"); strings.Contains(list, "lettres") || strings.Contains(list, "gone") {
		t.Error("something is left:", list)
	}
}

// refusedByLitmus are the tests of litmus that want dead properties, which are not kept: an archive has no place for them.
var refusedByLitmus = map[string]bool{"propset": true, "propmanyns": true, "propget": true, "owner_modify": true}

// TestLitmus runs the test suite of WebDAV servers.
func TestLitmus(t *testing.T) {
	t.Parallel()
	w := newWorker(t, "litmus")
	cmd := exec.Command("litmus", "-k", w.g.url+"/dav/files/", "alice", w.password)
	cmd.Dir = t.TempDir()
	out, err := cmd.CombinedOutput()
	passed := 0
	for _, m := range regexp.MustCompile(`(?m)\d+\. (\w+)\.+ (pass|FAIL|WARNING)[^\n]*`).FindAllStringSubmatch(strings.ReplaceAll(string(out), "\r", "\n"), -1) {
		switch {
		case m[2] == "pass":
			passed++
		case m[2] == "WARNING" || !refusedByLitmus[m[1]]:
			t.Error(m[0])
		}
	}
	if passed < 80 {
		t.Errorf("only %d tests of litmus pass: %v\n%s", passed, err, out)
	}
	t.Logf("%d tests of litmus pass", passed)
}

// TestWhatWasPutIsServed puts a file and a contact as programs do: a service that was granted both reads them.
func TestWhatWasPutIsServed(t *testing.T) {
	t.Parallel()
	w := newWorker(t)
	service := serviceFor(t, w.data, w.g.url)
	w.ask("PUT", "/dav/files/Été 🦊.txt", "from a program")
	card := "BEGIN:VCARD\r\nVERSION:4.0\r\nUID:zoe\r\nFN:Zoé Program\r\nEND:VCARD\r\n"
	if answer, text := w.ask("PUT", "/dav/contacts/default/zoe.vcf", card, "Content-Type", "text/vcard"); answer.StatusCode != http.StatusCreated {
		t.Fatal(answer.StatusCode, text)
	}
	details := inviteDetails()
	asks := details[0].(map[string]any)
	asks["datasets"] = []string{"contacts", "files"}
	delete(asks, "optional")
	delete(asks, "fields")
	asked, err := service.Ask(t.Context(), details, nil)
	if err != nil {
		t.Fatal(err)
	}
	back, err := url.Parse(newBrowser(t, w.g.url).decides(t, asked.URL, "alice", "correct horse battery"))
	if err != nil {
		t.Fatal(err)
	}
	tokens, err := service.Redeem(t.Context(), asked, back.Query())
	if err != nil {
		t.Fatal(err)
	}
	get := func(path string) string {
		t.Helper()
		answer, err := service.Get(t.Context(), w.g.url+path, tokens.Access, http.Header{"Accept": {"application/x-ndjson"}})
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		text, err := io.ReadAll(answer.Body)
		if err != nil || answer.StatusCode != http.StatusOK {
			t.Fatalf("%s: %d %s %v", path, answer.StatusCode, text, err)
		}
		return string(text)
	}
	if contacts := get("/data/contacts"); !strings.Contains(contacts, "Zoé Program") {
		t.Error(contacts)
	}
	files := get("/data/files")
	id := regexp.MustCompile(`"id":"([^"]+)"`).FindStringSubmatch(files)
	if id == nil || !strings.Contains(files, `"path":"tree/Été 🦊.txt"`) {
		t.Fatal(files)
	}
	answer, err := service.Get(t.Context(), w.g.url+"/data/files/"+id[1]+"/content", tokens.Access, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if text, err := io.ReadAll(answer.Body); err != nil || string(text) != "from a program" {
		t.Errorf("%q, %v", text, err)
	}
	w.ask("PUT", "/dav/files/Été 🦊.txt", "changed")
	if changes := get("/data/changes?datasets=files"); !strings.Contains(changes, `"size":7`) {
		t.Error(changes)
	}
}
