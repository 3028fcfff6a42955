package apitest_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/passerelle-cloud/passerelle/internal/apitest"
)

// watched is a test that is expected to fail.
type watched struct {
	testing.TB
	mu     sync.Mutex
	faults []string
}

func (w *watched) Errorf(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.faults = append(w.faults, fmt.Sprintf(format, args...))
}

// says answers with a status, headers ("Name: value", one a line) and a body.
func says(status int, headers, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		for line := range strings.Lines(headers) {
			name, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
			w.Header().Set(name, value)
		}
		w.WriteHeader(status)
		io.WriteString(w, body)
	}
}

const (
	limits = "RateLimit: \"service\";r=1;t=0\nRateLimit-Policy: \"service\";q=2;w=1\nVary: Accept\n"
	page   = limits + "Content-Type: application/json"
	stream = limits + "Content-Type: application/x-ndjson"
	card   = `{"id":"c1","dataset":"contacts","kind":"card"}`
	absent = "Content-Type: application/problem+json\n" + limits
)

func TestCheck(t *testing.T) {
	for name, c := range map[string]struct {
		request string
		do      http.HandlerFunc
		want    string // "": nothing is wrong
	}{
		"right":                 {"GET /data/contacts", says(200, page, `{"records":[`+card+`]}`), ""},
		"a longer path":         {"GET /data/changes", says(200, page, `{"changes":[],"position":1,"more":false}`), ""},
		"path with slashes":     {"GET /log/tile/0/x001/002", says(200, "Content-Type: application/octet-stream", "x"), ""},
		"HEAD":                  {"HEAD /data/contacts", says(200, page, ""), ""},
		"own":                   {"GET /mine/x", says(418, "", ""), ""},
		"no such path":          {"GET /nothing", says(200, "", "x"), "is not described"},
		"no such path, refused": {"GET /nothing", http.NotFound, ""},
		"no such method":        {"PUT /oauth/token", says(200, "", "x"), "is not described"},
		"status":                {"GET /data/contacts", says(418, page, `{}`), "no such status"},
		"header":                {"GET /data/contacts", says(200, "Content-Type: application/json", `{"records":[]}`), "RateLimit is missing"},
		"form of a header":      {"GET /data/contacts", says(200, strings.Replace(page, "r=1", "r=x", 1), `{"records":[]}`), `"RateLimit" doesn't match`},
		"type":                  {"GET /data/contacts", says(200, limits+"Content-Type: text/html", "<p>"), "not described as text/html"},
		"no body":               {"GET /data/contacts", says(200, limits, ""), "no body"},
		"empty body":            {"GET /data/contacts", says(200, page, ""), "failed to decode"},
		"no JSON":               {"GET /data/contacts", says(200, page, `{"records":`), "failed to decode"},
		"JSON":                  {"GET /data/contacts", says(200, page, `{"records":[{"id":"c1"}]}`), "doesn't match schema"},
		"lines":                 {"GET /data/contacts", says(200, stream, card+"\n"+card+"\n"), ""},
		"no lines":              {"GET /data/contacts", says(200, stream, ""), ""},
		"wrong line":            {"GET /data/contacts", says(200, stream, card+"\n{}\n"), "required"},
		"half a line":           {"GET /data/contacts", says(200, stream, card+"\n{"), "does not end"},
		"long":                  {"GET /data/contacts", says(200, stream, strings.Repeat(card+"\n", 30_000)), ""},
		"problem":               {"GET /data/contacts/x", says(404, absent, `{"type":"urn:passerelle:problem:not-found","title":"x","status":404}`), ""},
		"another problem":       {"GET /data/contacts/x", says(404, absent, `{"type":"urn:passerelle:problem:gone","title":"x","status":404}`), "doesn't match schema"},
		"not changed":           {"GET /data/contacts/x", says(304, "Vary: Accept\nCache-Control: private, no-cache\nETag: \"x\"", ""), ""},
		"not changed, no tag":   {"GET /data/contacts/x", says(304, "Vary: Accept\nCache-Control: private, no-cache", ""), "ETag is missing"},
		"given up": {"GET /data/contacts", func(w http.ResponseWriter, r *http.Request) {
			says(200, page, `{"records":`)(w, r)
			panic(http.ErrAbortHandler)
		}, ""},
		"given up at once": {"GET /data/contacts", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			w := &watched{TB: t}
			h := apitest.Check(w, c.do, "/mine/")
			method, path, _ := strings.Cut(c.request, " ")
			func() {
				defer func() { _ = recover() }() // as a server does
				h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(method, path, nil))
			}()
			switch got := strings.Join(w.faults, "\n"); {
			case (got == "") != (c.want == ""), !strings.Contains(got, c.want):
				t.Errorf("found %q, not %q", got, c.want)
			}
		})
	}
}

func TestAnswer(t *testing.T) {
	server := httptest.NewServer(says(200, "Content-Type: text/plain", "x"))
	defer server.Close()
	for path, want := range map[string]int{"/healthz": 0, "/data/contacts": 1} {
		got, err := http.Get(server.URL + path)
		if err != nil {
			t.Fatal(err)
		}
		got.Body.Close()
		got.Header.Set("Content-Type", "text/plain; charset=utf-8")
		w := &watched{TB: t}
		if apitest.Answer(w, got, "x"); len(w.faults) != want {
			t.Errorf("%s: %q", path, w.faults)
		}
	}
}

// TestStream sees that an answer comes as it is sent, and that its deadline is kept.
func TestStream(t *testing.T) {
	next := make(chan bool)
	late := make(chan error, 1)
	server := httptest.NewServer(apitest.Check(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		says(200, stream, card+"\n")(w, r)
		w.(http.Flusher).Flush()
		<-next
		io.WriteString(w, card+"\n")
		if err := http.NewResponseController(w).Flush(); err != nil {
			t.Error(err)
		}
		<-next
		if err := http.NewResponseController(w).SetWriteDeadline(time.Now().Add(-time.Second)); err != nil {
			t.Error(err)
		}
		io.WriteString(w, card+"\n")
		late <- http.NewResponseController(w).Flush()
	})))
	defer server.Close()
	got, err := http.Get(server.URL + "/data/contacts")
	if err != nil {
		t.Fatal(err)
	}
	defer got.Body.Close()
	for range 2 {
		line := make([]byte, len(card)+1)
		if _, err := io.ReadFull(got.Body, line); err != nil || string(line) != card+"\n" {
			t.Fatal(string(line), err)
		}
		next <- true
	}
	if err := <-late; err == nil {
		t.Error("it was sent after its deadline")
	}
	if rest, err := io.ReadAll(got.Body); err == nil {
		t.Errorf("the answer ended as if it were whole: %q", rest)
	}
}
