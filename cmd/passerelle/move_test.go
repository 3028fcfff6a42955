package main

import (
	"encoding/json"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/passerelle-cloud/passerelle/internal/sqldb"
	"github.com/passerelle-cloud/passerelle/operators/home"
	"github.com/passerelle-cloud/passerelle/operators/peer"
	"github.com/passerelle-cloud/passerelle/transfer"
	"github.com/passerelle-cloud/passerelle/transfer/api"
	"github.com/passerelle-cloud/passerelle/transfer/move"
)

// pair is two gateways: the one that somebody leaves, and the one to which they go.
type pair struct {
	from, to       string // their folders
	fromURL, toURL string
	flags          []string // of both
}

// acquaint has the two trust each other, and gives alice an account at both.
func (p *pair) acquaint(t testing.TB) {
	t.Helper()
	for _, one := range []struct{ data, name, url string }{{p.from, "Maison A", p.fromURL}, {p.to, "Banque B", p.toURL}} {
		named(t, one.data, one.name, one.url)
	}
	for _, two := range [][2]string{{p.from, p.to}, {p.to, p.from}} {
		file := filepath.Join(t.TempDir(), "operator.json")
		if err := os.WriteFile(file, []byte(mustCall(t, "--data", two[0], "operator", "publish")), 0o600); err != nil {
			t.Fatal(err)
		}
		mustCall(t, "--data", two[1], "operator", "trust", file)
	}
	mustCall(t, "--data", p.to, "person", "add", "alice")
	passwordOf(t, p.from, "alice", "correct horse battery")
	passwordOf(t, p.to, "alice", "another horse battery")
}

// serve starts one of the two.
func (p *pair) serve(t testing.TB, data string) *running {
	t.Helper()
	url := p.fromURL
	if data == p.to {
		url = p.toURL
	}
	_, host, _ := strings.Cut(url, "://")
	return runGateway(t, data, append([]string{"--listen", strings.Replace(host, "localhost", "127.0.0.1", 1), "--url", url, "--local"}, p.flags...)...)
}

// named gives an operator a name, and the address of its gateway.
func named(t testing.TB, data, name, url string) {
	t.Helper()
	var profile map[string]any
	if err := json.Unmarshal([]byte(mustCall(t, "--data", data, "--json", "operator", "show")), &profile); err != nil {
		t.Fatal(err)
	}
	profile = map[string]any{"id": profile["id"], "legal_name": name, "endpoints": map[string]string{peer.Endpoint: url}}
	text, err := json.Marshal(profile)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(data, "operator.json"), text, 0o600); err != nil {
		t.Fatal(err)
	}
}

// brings begins a move by the command, and lets alice say yes on the pages of the one whom she leaves.
func (p *pair) brings(t testing.TB) *moving {
	t.Helper()
	path, err := exec.LookPath("passerelle")
	if err != nil {
		t.Fatal(err)
	}
	m := &moving{said: &lines{seen: make(chan string, 100)}, cmd: exec.CommandContext(t.Context(), path, "--data", p.to, "move", "--from", p.fromURL, "--to", "home:alice")}
	m.cmd.Stderr, m.cmd.Stdout = m.said, m.said
	if err := m.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	address := m.said.wait(t, regexp.MustCompile(`http\S*/oauth/authorize\S*`))
	back := newBrowser(t, p.fromURL).decides(t, address, "alice", "correct horse battery")
	answer, err := http.Get(back)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if text, err := io.ReadAll(answer.Body); err != nil || answer.StatusCode != http.StatusOK || !strings.Contains(string(text), "has begun") {
		t.Fatalf("%s, %v: %s", answer.Status, err, text)
	}
	return m
}

// moving is a command that follows a move.
type moving struct {
	cmd  *exec.Cmd
	said *lines
}

// lines are what a command says, as it says it.
type lines struct {
	seen chan string
	all  strings.Builder
}

func (l *lines) Write(p []byte) (int, error) {
	l.all.Write(p)
	l.seen <- string(p)
	return len(p), nil
}

func (l *lines) wait(t testing.TB, what *regexp.Regexp) string {
	t.Helper()
	text := ""
	for deadline := time.After(30 * time.Second); ; {
		select {
		case more := <-l.seen:
			if text += more; what.MatchString(text) {
				return what.FindString(text)
			}
		case <-deadline:
			t.Fatalf("nothing says %s: %s", what, text)
		}
	}
}

// status is how the last move of alice stands.
func (p *pair) status(t testing.TB) (a api.Arriving) {
	t.Helper()
	if err := json.Unmarshal([]byte(mustCall(t, "--data", p.to, "--json", "move", "--status", "--to", "home:alice")), &a); err != nil {
		t.Fatal(err)
	}
	return a
}

// same compares what both have of alice.
func (p *pair) same(t testing.TB) {
	t.Helper()
	var found transfer.Compare
	var close []func() error
	open := func(data string) *home.Source {
		db, err := sqldb.Open(t.Context(), filepath.Join(data, "passerelle.db"))
		if err != nil {
			t.Fatal(err)
		}
		h, err := home.Open(t.Context(), db, filepath.Join(data, "blobs"))
		if err != nil {
			t.Fatal(err)
		}
		i, err := h.Instance(t.Context(), "alice")
		if err != nil {
			t.Fatal(err)
		}
		s := i.Source()
		close = append(close, s.Close, db.Close)
		return s
	}
	found.A, found.B, found.Tmp = open(p.from), open(p.to), t.TempDir()
	outcome, err := found.Run(t.Context())
	if err != nil || !outcome.Same() || outcome.Equal.Records == 0 {
		t.Errorf("%v: %d records are the same, %d differ: %v", err, outcome.Equal.Records, outcome.Differences, outcome.Examples)
	}
	for _, do := range close {
		if err := do(); err != nil {
			t.Error(err)
		}
	}
}

func newPair(t testing.TB) *pair {
	t.Helper()
	p := &pair{from: t.TempDir(), to: t.TempDir(), fromURL: "http://localhost:" + freePort(t), toURL: "http://127.0.0.1:" + freePort(t)}
	loaded(t, p.from)
	p.acquaint(t)
	return p
}

// TestMoveCommand moves somebody by the command, between two processes.
func TestMoveCommand(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	if said, code := call(t, "--data", p.to, "move", "--from", p.fromURL, "--to", "home:alice"); code != exitFailed || !strings.Contains(said, "passerelle serve") {
		t.Errorf("no gateway runs: %d %s", code, said)
	}
	a, b := p.serve(t, p.from), p.serve(t, p.to)
	for _, c := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"--from", p.fromURL, "--to", "dir:x"}, exitUsage, "home:NAME"},
		{[]string{"--to", "home:alice"}, exitUsage, "--from"},
		{[]string{"--from", p.fromURL, "--to", "home:../x"}, exitUsage, "cannot name an instance"},
		{[]string{"--from", "https://nobody.example", "--to", "home:alice"}, exitFailed, "operator trust"},
		{[]string{"--status", "--to", "home:alice"}, exitFailed, "has not moved here"},
	} {
		if said, code := call(t, append([]string{"--data", p.to, "move"}, c.args...)...); code != c.code || !strings.Contains(said, c.says) {
			t.Errorf("%v: %d %s", c.args, code, said)
		}
	}
	m := p.brings(t)
	if err := m.cmd.Wait(); err != nil {
		t.Fatalf("%v: %s", err, m.said.all.String())
	}
	for _, says := range []string{"activated", "contacts", "Both operators have signed"} {
		if !strings.Contains(m.said.all.String(), says) {
			t.Errorf("it does not say %q: %s", says, m.said.all.String())
		}
	}
	a.stop(t)
	b.stop(t)
	p.same(t)
}

// TestMoveToWhereItIsAlready moves somebody who has all of it at the destination already: the list is asked for with the token that
// the move has, nothing is there twice, and nothing that is large has come over.
func TestMoveToWhereItIsAlready(t *testing.T) {
	p := newPair(t)
	loaded(t, p.to)
	a, b := p.serve(t, p.from), p.serve(t, p.to)
	m := p.brings(t)
	if err := m.cmd.Wait(); err != nil {
		t.Fatalf("%v: %s", err, m.said.all.String())
	}
	a.stop(t)
	b.stop(t)
	p.same(t)
	log := mustCall(t, "--data", p.from, "log", "show", "--person", "alice", "--count", "500")
	sum := func(event string) (bytes int64) {
		for _, found := range regexp.MustCompile(event+`.*"bytes":(\d+)`).FindAllStringSubmatch(log, -1) {
			n, err := strconv.ParseInt(found[1], 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			bytes += n
		}
		return bytes
	}
	if sent, all := sum("access.finished"), sum("export.finished"); sent == 0 || sent > all/2 { // records travel, in several forms
		t.Errorf("%d bytes were sent, of an instance of %d", sent, all)
	}
}

// TestMoveKilled kills either gateway again and again while somebody moves: nothing is lost, and it ends.
func TestMoveKilled(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	sides := map[string]*running{p.from: p.serve(t, p.from), p.to: p.serve(t, p.to)}
	m := p.brings(t)
	m.cmd.Process.Kill()
	m.cmd.Wait()
	began := time.Now()
	for n := 0; ; n++ {
		if a := p.status(t); a.Done {
			t.Logf("%d kills, %s", n, time.Since(began).Round(time.Millisecond))
			break
		} else if a.Stage == move.Aborted || time.Since(began) > 2*time.Minute {
			t.Fatalf("it does not come to its end: %+v", a)
		}
		if n < 12 {
			time.Sleep(rand.N(400 * time.Millisecond))
			data := []string{p.from, p.to}[n%2]
			sides[data].cmd.Process.Kill()
			sides[data].cmd.Wait()
			sides[data] = p.serve(t, data)
		}
		time.Sleep(50 * time.Millisecond)
	}
	for data, g := range sides {
		g.stop(t)
		for _, folder := range []string{"leaving", "arriving"} {
			left, err := filepath.Glob(filepath.Join(data, folder, "*"))
			if err != nil || len(left) > 0 {
				t.Errorf("%v, %v", left, err)
			}
		}
	}
	p.same(t)
}
