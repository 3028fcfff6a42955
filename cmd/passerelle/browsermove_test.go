package main

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/passerelle-cloud/passerelle/internal/browsertest"
	"github.com/passerelle-cloud/passerelle/internal/fapi"
)

// beginMove starts two gateways that trust each other: A, where alice has everything, and B, where she has an account.
func beginMove(t *testing.T, o browsertest.Options) (v *visit, b *running, bData string, services []*fapi.Client) {
	t.Helper()
	v, two := visiting(t, o, freePort(t))
	for _, name := range []string{"Invites", "Cards"} {
		client, file := someService(t, name, two.fromURL)
		mustCall(t, "--data", two.from, "service", "add", file)
		if name == "Cards" { // which has another key at the one to whom she goes
			_, file = someService(t, name, two.toURL)
		}
		mustCall(t, "--data", two.to, "service", "add", file)
		services = append(services, client)
	}
	v.g, b = two.serve(t, two.from), two.serve(t, two.to)
	return v, b, two.to, services
}

// visiting is a browser, and two operators who know each other but do not run yet; the first one is reached at a port.
func visiting(t *testing.T, o browsertest.Options, port string) (*visit, *pair) {
	t.Helper()
	v := visitor(t, o)
	loaded(t, v.data)
	// A browser keeps one set of cookies for all ports of a host.
	two := &pair{from: v.data, to: t.TempDir(), fromURL: "http://localhost:" + port, toURL: "http://127.0.0.1:" + freePort(t)}
	two.acquaint(t)
	return v, two
}

// allows grants what services ask for at the operator whom alice will leave.
func (v *visit) allows(services []*fapi.Client) {
	v.t.Helper()
	for n, s := range services {
		asked, err := s.Ask(v.t.Context(), inviteDetails(), nil)
		if err != nil {
			v.t.Fatal(err)
		}
		if v.Go(asked.URL); n == 0 {
			v.enter("correct horse battery")
		}
		v.read("prompt.decide")
		v.press("prompt.grant")
		v.See("Welcome back")
	}
}

// follows looks what became of that where alice is now: one stands, whose receipt she takes; to the other one she says yes.
func (v *visit) follows(at string) {
	v.t.Helper()
	v.Go(at + "/consents")
	v.read("follow.title", "follow.how")
	v.inspect("follow-waiting")
	v.press("follow.confirm")
	v.See("Cards")
	v.inspect("follow-confirm")
	v.press("prompt.grant")
	v.read("consent.done-again")
	v.receives("Cards")
	v.Go(at + "/consents")
	v.NotSee(v.say("follow.title"))
	v.Click("Invites")
	v.See("Invites")
	v.inspect("follow-carried")
	v.receives("Invites")
}

// takesOut has an archive of everything made, and downloads it.
func (v *visit) takesOut(at string) (file string) {
	v.t.Helper()
	v.Go(at + "/download")
	v.press("download.ask")
	for end := time.Now().Add(time.Minute); !v.Sees(v.say("download.get")) && time.Now().Before(end); {
		v.Go(at + "/download")
	}
	content, name := v.Download(v.say("download.get"))
	file = filepath.Join(v.t.TempDir(), name)
	if err := os.WriteFile(file, content, 0o600); err != nil {
		v.t.Fatal(err)
	}
	return file
}

// comesWith has somebody load an archive into an account that is new, as if its operator were dead: all that they had allowed
// is to confirm, and all of it can be taken out again.
func (v *visit) comesWith(archive, at, data string) {
	v.t.Helper()
	mustCall(v.t, "--data", data, "person", "add", "bob")
	passwordOf(v.t, data, "bob", "yet another horse battery")
	v.ForgetCookies()
	v.Go(at + "/bring")
	v.Fill(v.say("sign-in.name"), "bob")
	v.Fill(v.say("sign-in.password"), "yet another horse battery")
	v.press("sign-in.do")
	v.sends(archive)
	v.waits("bring.is-shown")
	v.read("bring.trusted")
	v.press("bring.load")
	v.waits("bring.is-loaded")
	v.read("move.complete")
	v.Go(at + "/consents")
	v.read("follow.title")
	v.See("Invites", "Cards")
	v.inspect("follow-archive")
	again := v.takesOut(at)
	if out := mustCall(v.t, "--data", v.t.TempDir(), "import", "--to", "home:bob", again); strings.Contains(out, "renamed") || strings.Contains(out, "missing") {
		v.t.Errorf("taken out again it is loaded with %s", out)
	}
}

// receives downloads the receipt of the consent that the page shows, and looks whether it is about that service.
func (v *visit) receives(service string) {
	v.t.Helper()
	receipt, name := v.Download(v.say("consent.receipt"))
	parts := strings.Split(string(receipt), ".")
	if len(parts) != 3 {
		v.t.Fatalf("the receipt %q is %.100s", name, receipt)
	}
	text, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil || !strings.Contains(string(text), service+" SAS") {
		v.t.Errorf("the receipt says %.500s, %v", text, err)
	}
}

// TestMovePages moves somebody from one operator to another through the pages: in French on a telephone, and in English.
func TestMovePages(t *testing.T) {
	t.Parallel()
	for _, o := range []browsertest.Options{{Language: "fr", Width: 360, Height: 740, Phone: true}, {Language: "en", Dark: true}} {
		t.Run(o.Language, func(t *testing.T) {
			t.Parallel()
			v, b, bData, services := beginMove(t, o)
			v.allows(services)
			archive := ""
			if o.Phone {
				archive = v.takesOut(v.g.url)
			}
			writing := workAt(t, v.g.url, appPassword(t, v.data, "alice"))
			v.Go(b.url + "/move")
			v.enter("another horse battery")
			v.read("move.title", "move.bring-how")
			v.inspect("move-begin")
			v.press("move.go")
			if v.Sees(v.say("sign-in.password")) {
				v.enter("correct horse battery")
			}
			v.read("prompt.decide")
			v.See("Banque B")
			v.inspect("move-prompt")
			mend := block(t, filepath.Join(bData, "arriving"))
			v.press("prompt.go")
			v.read("move.moving")
			v.waits("move.trouble-fault")
			v.read("move.do-fault", "move.trouble-next")
			v.NotSee(bData, "mkdir")
			v.inspect("move-trouble")
			mend()
			v.press("move.retry")
			v.inspect("move-under-way")
			v.waits("move.arrived")
			v.read("move.complete")
			written := writing.end()
			v.inspect("move-arrived")
			v.Go(b.url + "/move")
			v.read("move.arrived", "move.report")
			v.follows(b.url)
			v.open("/move")
			v.read("move.left", "move.retained", "move.open")
			v.inspect("move-left")
			if o.Phone {
				v.comesWith(archive, b.url, bData)
			}
			writing.all(t, b.url, appPassword(t, bData, "alice"), written) // it sets her password, and so ends her session
		})
	}
}

// block puts a file where a gateway keeps a folder, as good as a broken disk, and returns what takes it away.
func block(t *testing.T, folder string) (mend func()) {
	t.Helper()
	if err := errors.Join(os.RemoveAll(folder), os.WriteFile(folder, nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := os.Remove(folder); err != nil {
			t.Fatal(err)
		}
	}
}

// waits waits longer for a text than a page takes to load.
func (v *visit) waits(key string) {
	v.t.Helper()
	text, _, _ := strings.Cut(v.say(key), "%")
	for deadline := time.Now().Add(2 * time.Minute); !v.Sees(strings.TrimSpace(text)) && time.Now().Before(deadline); {
		time.Sleep(200 * time.Millisecond)
	}
	v.read(key)
}

// enter signs in with a password, wherever one is asked for it.
func (v *visit) enter(password string) {
	v.t.Helper()
	v.Fill(v.say("sign-in.name"), "alice")
	v.Fill(v.say("sign-in.password"), password)
	v.press("sign-in.do")
}

// working is a program that writes one file after the other over WebDAV, as somebody who goes on working.
type working struct {
	base, app string
	stop      chan struct{}
	written   chan int
	last      int // the last answer
}

func workAt(t *testing.T, base, app string) *working {
	t.Helper()
	w := &working{base: base, app: app, stop: make(chan struct{}), written: make(chan int, 1)}
	go func() {
		n := 0
		for ; ; n++ {
			select {
			case <-w.stop:
				w.written <- n
				return
			default:
			}
			status, err := w.put(n)
			if err != nil || status != http.StatusCreated && status != http.StatusServiceUnavailable { // it has moved
				w.last = status
				w.written <- n
				return
			}
			if status == http.StatusServiceUnavailable { // the fence: a program tries again
				n--
				time.Sleep(200 * time.Millisecond)
			}
			time.Sleep(5 * time.Millisecond)
		}
	}()
	return w
}

func (w *working) request(method, path, body string) (*http.Response, error) {
	r, err := http.NewRequest(method, w.base+path, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	r.SetBasicAuth("alice", w.app)
	return http.DefaultClient.Do(r)
}

func (w *working) put(n int) (int, error) {
	answer, err := w.request(http.MethodPut, fmt.Sprintf("/dav/files/while-moving-%d.txt", n), fmt.Sprint("line ", n))
	if err != nil {
		return 0, err
	}
	return answer.StatusCode, answer.Body.Close()
}

// end ends the writing, and returns how many files were written for sure.
func (w *working) end() int {
	close(w.stop)
	return <-w.written
}

// all checks that every file which was written is where the person went, and that nobody writes any more where they left.
func (w *working) all(t *testing.T, base, app string, written int) {
	t.Helper()
	if written == 0 {
		t.Error("nothing was written meanwhile")
	}
	if status, err := w.put(written); err != nil || status != http.StatusGone {
		t.Errorf("after the move a program is told %d, %v", status, err)
	}
	there := working{base: base, app: app}
	for n := range written {
		answer, err := there.request(http.MethodGet, fmt.Sprintf("/dav/files/while-moving-%d.txt", n), "")
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(answer.Body)
		if err != nil || answer.StatusCode != http.StatusOK || string(text) != fmt.Sprint("line ", n) {
			t.Errorf("file %d of %d: %s %q, %v", n, written, answer.Status, text, err)
		}
		answer.Body.Close()
	}
	t.Logf("%d files were written while everything moved", written)
}
