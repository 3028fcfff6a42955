package web_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/passerelle-cloud/passerelle/formats/archive"
	"github.com/passerelle-cloud/passerelle/internal/apitest"
	"github.com/passerelle-cloud/passerelle/internal/brand"
	"github.com/passerelle-cloud/passerelle/internal/dbtest"
	"github.com/passerelle-cloud/passerelle/internal/jobs"
	"github.com/passerelle-cloud/passerelle/internal/webui"
	"github.com/passerelle-cloud/passerelle/operators"
	"github.com/passerelle-cloud/passerelle/transfer"
	"github.com/passerelle-cloud/passerelle/transfer/move"
	"github.com/passerelle-cloud/passerelle/transfer/web"
)

// site is the pages, over takeouts whose archives are a line of text.
type site struct {
	url    string
	sealed bool // that was asked for last
	fail   error
	ago    time.Duration // how long ago everybody has proved who they are
}

const content = "what is mine"

func newSite(t *testing.T) *site {
	t.Helper()
	s := &site{}
	db := dbtest.SQLite(t)
	queue, err := jobs.New(t.Context(), db, jobs.Config{Poll: 20 * time.Millisecond, Grace: 100 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	takeouts, err := transfer.OpenTakeouts(t.Context(), db, queue, transfer.TakeoutOptions{Dir: t.TempDir(), Export: func(_ context.Context, _, out string, sealed bool, _ transfer.Observer) (archive.Sealed, error) {
		s.sealed = sealed
		return archive.Sealed{Files: []string{out}}, errors.Join(s.fail, os.WriteFile(out, []byte(content), 0o600))
	}})
	if err != nil {
		t.Fatal(err)
	}
	intakes, err := transfer.OpenIntakes(t.Context(), db, queue, transfer.IntakeOptions{Dir: t.TempDir(), Most: func(context.Context, string) (int64, error) { return 1000, nil }})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- queue.Run(ctx) }()
	t.Cleanup(func() { stop(); <-ended })
	brands, err := brand.Single(brand.Brand{Name: "Banque A"})
	if err != nil {
		t.Fatal(err)
	}
	pages, err := web.New(webui.Options{Brands: brands, Session: func(_ *http.Request, token string) (webui.Session, error) {
		return webui.Session{Person: token, Authenticated: time.Now().Add(-s.ago)}, nil
	}}, web.Options{Takeouts: takeouts, Intakes: intakes, RecoveryKey: func(_ context.Context, person string) (string, error) {
		return map[string]string{"alice": "age1x"}[person], nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /download", pages.Downloads)
	mux.HandleFunc("POST /download", pages.Ask)
	mux.HandleFunc("GET /download/{id}/file", pages.File)
	mux.HandleFunc("POST /download/{id}/remove", pages.Remove)
	mux.HandleFunc("POST /bring/files", pages.BringBegin)
	mux.HandleFunc("PUT /bring/{id}/files/{name}", pages.BringPart)
	mux.HandleFunc("POST /bring/{id}/check", pages.BringCheck)
	mux.HandleFunc("POST /bring/{id}/load", pages.BringLoad)
	mux.HandleFunc("POST /bring/{id}/remove", pages.BringRemove)
	server := httptest.NewServer(apitest.Check(t, mux))
	t.Cleanup(server.Close)
	s.url = server.URL
	return s
}

// do asks as somebody, with headers "Name: value".
func (s *site) do(t *testing.T, person, method, path string, form url.Values, headers ...string) (int, http.Header, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, s.url+path, strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	if method == http.MethodPost {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	r.Header.Set("Accept-Language", "en")
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		r.Header.Set(name, value)
	}
	r.AddCookie(&http.Cookie{Name: "session", Value: person})
	stay := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	answer, err := stay.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	page, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, answer.Header, string(page)
}

// ready waits until the page offers an archive, and returns its address.
func (s *site) ready(t *testing.T, person string, n int) string {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		_, _, page := s.do(t, person, http.MethodGet, "/download", nil)
		if found := regexp.MustCompile(`href="(/download/[^/]+/file)"`).FindAllStringSubmatch(page, -1); len(found) == n {
			return found[0][1]
		}
		if time.Now().After(end) {
			t.Fatalf("no archive comes: %s", page)
		}
	}
}

func TestDownload(t *testing.T) {
	s := newSite(t)
	if status, h, _ := s.do(t, "", http.MethodGet, "/download", nil); status != http.StatusSeeOther || h.Get("Location") != "/sign-in?next=%2Fdownload" {
		t.Error(status, h)
	}
	if _, _, page := s.do(t, "bob", http.MethodGet, "/download", nil); !strings.Contains(page, "You have no recovery key") || strings.Contains(page, `name="sealed"`) {
		t.Error(page)
	}
	if _, _, page := s.do(t, "alice", http.MethodGet, "/download", nil); !strings.Contains(page, `name="sealed" value="1" checked`) {
		t.Error(page)
	}
	if status, _, page := s.do(t, "alice", http.MethodPost, "/download", nil, "Sec-Fetch-Site: cross-site"); status != http.StatusForbidden {
		t.Error(status, page)
	}
	if status, h, _ := s.do(t, "alice", http.MethodPost, "/download", url.Values{"sealed": {"1"}}); status != http.StatusSeeOther || h.Get("Location") != "/download" {
		t.Error(status, h)
	}
	at := s.ready(t, "alice", 1)
	if !s.sealed {
		t.Error("it is not sealed")
	}
	status, h, file := s.do(t, "alice", http.MethodGet, at, nil)
	if status != http.StatusOK || file != content || !strings.HasPrefix(h.Get("Content-Disposition"), "attachment; filename=alice-") || h.Get("Cache-Control") != "no-store" || h.Get("X-Content-Type-Options") != "nosniff" {
		t.Error(status, h, file)
	}
	if status, _, part := s.do(t, "alice", http.MethodGet, at, nil, "Range: bytes=5-", "If-Range: "+h.Get("ETag")); status != http.StatusPartialContent || part != content[5:] {
		t.Error(status, part)
	}
	if status, _, part := s.do(t, "alice", http.MethodGet, at, nil, "Range: bytes=5-", `If-Range: "another"`); status != http.StatusOK || part != content {
		t.Error("of another archive a part is sent", status, part)
	}
	if status, _, _ := s.do(t, "alice", http.MethodGet, at, nil, "Range: bytes=500-"); status != http.StatusRequestedRangeNotSatisfiable {
		t.Error(status)
	}
	remove := strings.TrimSuffix(at, "/file") + "/remove"
	for _, try := range [][2]string{{http.MethodGet, at}, {http.MethodPost, remove}, {http.MethodGet, "/download/x/file"}, {http.MethodGet, "/download/..%2fx/file"}} {
		if status, _, page := s.do(t, "bob", try[0], try[1], nil); status != http.StatusNotFound || strings.Contains(page, content) {
			t.Errorf("bob: %v: %d", try, status)
		}
	}
	if status, h, _ := s.do(t, "alice", http.MethodPost, remove, nil); status != http.StatusSeeOther || h.Get("Location") != "/download?removed" {
		t.Error(status, h)
	}
	if status, _, _ := s.do(t, "alice", http.MethodGet, at, nil); status != http.StatusNotFound {
		t.Error("it can be downloaded still:", status)
	}
}

// TestTroubleHasWords has two texts in each language for each kind of trouble that a move can have.
func TestTroubleHasWords(t *testing.T) {
	for _, lang := range []string{"en", "fr"} {
		say, err := webui.Texts(lang)
		if err != nil {
			t.Fatal(err)
		}
		for _, kind := range move.Troubles() {
			for _, key := range []string{"move.trouble-", "move.do-"} {
				if _, err := say(key + string(kind)); err != nil {
					t.Error(err)
				}
			}
		}
	}
}

// TestStale: whoever has everything packed, or takes it away, has proved who they are not long ago.
func TestStale(t *testing.T) {
	s := newSite(t)
	s.do(t, "alice", http.MethodPost, "/download", nil)
	at := s.ready(t, "alice", 1)
	s.ago = 30 * time.Minute
	if status, h, _ := s.do(t, "alice", http.MethodPost, "/download", nil); status != http.StatusSeeOther || h.Get("Location") != "/sign-in?again=1&next=%2Fdownload" {
		t.Error(status, h)
	}
	if status, _, _ := s.do(t, "alice", http.MethodGet, at, nil); status != http.StatusOK {
		t.Error(status)
	}
	s.ago = 2 * time.Hour
	if status, h, _ := s.do(t, "alice", http.MethodGet, at, nil); status != http.StatusSeeOther || !strings.HasPrefix(h.Get("Location"), "/sign-in?") {
		t.Error(status, h)
	}
}

func TestFullAndFailed(t *testing.T) {
	s := newSite(t)
	for n := range transfer.MaxTakeouts {
		s.do(t, "alice", http.MethodPost, "/download", nil)
		s.ready(t, "alice", n+1)
	}
	if status, _, page := s.do(t, "alice", http.MethodPost, "/download", nil); status != http.StatusConflict || !strings.Contains(page, "Remove one") {
		t.Error(status, page)
	}
	s.fail = errors.New("the disk is full")
	s.do(t, "bob", http.MethodPost, "/download", nil)
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		_, _, page := s.do(t, "bob", http.MethodGet, "/download", nil)
		if strings.Contains(page, "It could not be made") {
			if strings.Contains(page, "disk") {
				t.Error("the page tells what is nobody's business:", page)
			}
			break
		}
		if time.Now().After(end) {
			t.Fatal(page)
		}
	}
}

// TestBroughtHasWords has a text in each language for whatever can become of an archive that a person brings.
func TestBroughtHasWords(t *testing.T) {
	var keys []string
	for _, f := range transfer.IntakeFaults() {
		keys = append(keys, "bring.fault-"+string(f), "bring.do-"+string(f))
	}
	for _, s := range []transfer.IntakeState{transfer.IntakeComing, transfer.IntakeLocked, transfer.IntakeChecking, transfer.IntakeRefused, transfer.IntakeShown, transfer.IntakeLoading, transfer.IntakeFailed, transfer.IntakeLoaded} {
		keys = append(keys, "bring.is-"+string(s))
	}
	for _, r := range []operators.Result{operators.Stored, operators.Updated, operators.Present, operators.Renamed, operators.Removed, operators.Kept, operators.Refused} {
		keys = append(keys, "bring.result-"+string(r)+".one", "bring.result-"+string(r)+".other")
	}
	for _, what := range []string{"gone", "other", "files", "size", "part", "place"} {
		keys = append(keys, "bring.refuse-"+what)
	}
	for _, lang := range []string{"en", "fr"} {
		say, err := webui.Texts(lang)
		if err != nil {
			t.Fatal(err)
		}
		for _, key := range keys {
			if _, err := say(key); err != nil {
				t.Error(err)
			}
		}
	}
}

// part sends something of an archive as somebody.
func (s *site) part(t *testing.T, person, method, path, mime, body string, headers ...string) (int, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, s.url+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", mime)
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		r.Header.Set(name, value)
	}
	r.AddCookie(&http.Cookie{Name: "session", Value: person})
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, string(text)
}

// TestBringParts sends an archive in parts, and what nobody may send.
func TestBringParts(t *testing.T) {
	s := newSite(t)
	const begin, mime = `{"files":[{"name":"x.zip","size":10}]}`, "application/octet-stream"
	for _, c := range []struct {
		person, body string
		headers      []string
		status       int
		says         string
	}{
		{"", begin, nil, http.StatusUnauthorized, ""},
		{"alice", begin, []string{"Sec-Fetch-Site: cross-site"}, http.StatusForbidden, ""},
		{"alice", `[`, nil, http.StatusUnprocessableEntity, `"refuse":"files"`},
		{"alice", `{"files":[{"name":"../x.zip","size":10}]}`, nil, http.StatusUnprocessableEntity, `"refuse":"files"`},
		{"alice", `{"files":[{"name":"x.zip","size":1001}]}`, nil, http.StatusRequestEntityTooLarge, `"refuse":"size"`},
	} {
		if status, text := s.part(t, c.person, http.MethodPost, "/bring/files", "application/json", c.body, c.headers...); status != c.status || !strings.Contains(text, c.says) {
			t.Errorf("%s %s: %d %.200s", c.person, c.body, status, text)
		}
	}
	status, text := s.part(t, "alice", http.MethodPost, "/bring/files", "application/json", begin)
	found := regexp.MustCompile(`"id":"(\w+)"`).FindStringSubmatch(text)
	if status != http.StatusOK || found == nil {
		t.Fatal(status, text)
	}
	at := "/bring/" + found[1] + "/files/x.zip"
	for _, c := range []struct {
		person, path, body string
		headers            []string
		status             int
		says               string
	}{
		{"alice", at + "?from=0", "01234", nil, http.StatusOK, `{"got":5}`},
		{"alice", at + "?from=0", "01234", nil, http.StatusConflict, `{"got":5,"refuse":"place"}`},
		{"alice", at, "01234", nil, http.StatusConflict, `{"got":5,"refuse":"place"}`},
		{"bob", at + "?from=5", "56789", nil, http.StatusNotFound, `"refuse":"gone"`},
		{"alice", at + "?from=5", "56789", []string{"Origin: https://evil.example"}, http.StatusForbidden, ""},
		{"alice", "/bring/" + found[1] + "/files/..%2Fx.zip?from=5", "5", nil, http.StatusNotFound, `"refuse":"gone"`},
		{"alice", at + "?from=5", "56789 and more", nil, http.StatusRequestEntityTooLarge, `"refuse":"size"`},
	} {
		if status, text := s.part(t, c.person, http.MethodPut, c.path, mime, c.body, c.headers...); status != c.status || !strings.Contains(text, c.says) {
			t.Errorf("%s %s %s: %d %.200s", c.person, c.path, c.body, status, text)
		}
	}
	for _, path := range []string{"check", "load", "remove"} {
		if status, _, page := s.do(t, "bob", http.MethodPost, "/bring/"+found[1]+"/"+path, nil); status != http.StatusNotFound {
			t.Errorf("bob: %s: %d %.200s", path, status, page)
		}
	}
	if status, _, page := s.do(t, "alice", http.MethodPost, "/bring/"+found[1]+"/load", nil); status != http.StatusConflict {
		t.Errorf("what was not checked is loaded: %d %.200s", status, page)
	}
}
