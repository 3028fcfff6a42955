package dav_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/passerelle-cloud/passerelle/internal/apitest"
	"github.com/passerelle-cloud/passerelle/internal/dbtest"
	"github.com/passerelle-cloud/passerelle/internal/sqldb"
	"github.com/passerelle-cloud/passerelle/operators"
	"github.com/passerelle-cloud/passerelle/operators/dav"
	"github.com/passerelle-cloud/passerelle/operators/home"
)

// site is the homes of alice and bob, who sign in by their names.
type site struct {
	t     testing.TB
	url   string
	home  *home.Home
	dir   string
	alice *home.Instance
	moved atomic.Value // string: where alice is now
	shut  atomic.Bool  // alice's app password was revoked
}

func newSite(t testing.TB, db *sqldb.DB, o home.Options) *site {
	t.Helper()
	s := &site{t: t, dir: t.TempDir()}
	var err error
	if s.home, err = home.Open(t.Context(), db, s.dir); err != nil {
		t.Fatal(err)
	}
	if s.alice, err = s.home.Create(t.Context(), "alice", o); err != nil {
		t.Fatal(err)
	}
	if _, err = s.home.Create(t.Context(), "bob", o); err != nil {
		t.Fatal(err)
	}
	h := dav.New(dav.Options{SignIn: s.signIn, Instance: s.home.Instance, Moved: s.where, Log: slog.New(slog.NewTextHandler(t.Output(), nil))})
	described := apitest.Check(t, h)
	plain := regexp.MustCompile(`^/dav/(files|contacts/default|calendars/default)/[^/.][^/]*$`)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if plain.MatchString(r.URL.Path) && (r.Method == "GET" || r.Method == "PUT" || r.Method == "DELETE") {
			described.ServeHTTP(w, r)
			return
		}
		h.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	s.url = server.URL
	return s
}

func (s *site) signIn(_ *http.Request, name, password string) (string, error) {
	switch {
	case name == "slow":
		return "", &dav.WaitError{RetryAfter: 90 * time.Second}
	case name == "broken":
		return "", errors.New("the database is away")
	case name == "", name != password, name == "alice" && s.shut.Load():
		return "", dav.ErrUnknown
	}
	return name, nil
}

func (s *site) where(_ context.Context, instance string) (string, bool) {
	to, _ := s.moved.Load().(string)
	return to, instance == "alice" && to != ""
}

// answer is what came of a request.
type answer struct {
	*http.Response
	body string
}

// ask sends a request of alice's.
func (s *site) ask(method, path, body string, headers ...string) answer {
	s.t.Helper()
	r, err := http.NewRequestWithContext(s.t.Context(), method, s.url+path, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	return s.send(r, headers...)
}

func (s *site) send(r *http.Request, headers ...string) answer {
	s.t.Helper()
	r.SetBasicAuth("alice", "alice")
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	got, err := client.Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	defer got.Body.Close()
	text, err := io.ReadAll(got.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return answer{got, string(text)}
}

// want asks, and checks the status and what the answer says.
func (s *site) want(status int, says string, method, path, body string, headers ...string) answer {
	s.t.Helper()
	got := s.ask(method, path, body, headers...)
	if got.StatusCode != status || !strings.Contains(got.body, says) {
		s.t.Errorf("%s %s %v: %d %.600s, want %d %q", method, path, headers, got.StatusCode, got.body, status, says)
	}
	return got
}

func (s *site) position() operators.Position {
	s.t.Helper()
	at, err := s.alice.Reader().Position(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	return at
}

// files counts the files that the home's folder holds.
func (s *site) files() (n int) {
	s.t.Helper()
	err := filepath.WalkDir(s.dir, func(_ string, e os.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			n++
		}
		return err
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return n
}

func each(t *testing.T, o home.Options, run func(t *testing.T, s *site)) {
	dbtest.Each(t, func(t *testing.T, db *sqldb.DB) { run(t, newSite(t, db, o)) })
}

const anyDepth = "1"

func TestFiles(t *testing.T) {
	each(t, home.Options{}, func(t *testing.T, s *site) {
		tag := s.want(201, "", "PUT", "/dav/files/a.txt", "hello").Header.Get("ETag")
		s.want(412, "changed meanwhile", "PUT", "/dav/files/a.txt", "again", "If-None-Match", "*")
		s.want(412, "", "PUT", "/dav/files/a.txt", "again", "If-Match", `"other"`)
		s.want(204, "", "PUT", "/dav/files/a.txt", "again", "If-Match", `"x", `+tag)
		s.want(412, "", "DELETE", "/dav/files/a.txt", "", "If-Match", tag)
		s.want(412, "", "PUT", "/dav/files/new.txt", "x", "If-Match", "*")
		got := s.want(200, "again", "GET", "/dav/files/a.txt", "")
		if h := got.Header; !strings.HasPrefix(h.Get("Content-Type"), "text/plain") || h.Get("Content-Disposition") != "attachment" || !strings.Contains(h.Get("Content-Security-Policy"), "sandbox") {
			t.Errorf("%v", h)
		}
		s.want(206, "gai", "GET", "/dav/files/a.txt", "", "Range", "bytes=1-3")
		s.want(304, "", "GET", "/dav/files/a.txt", "", "If-None-Match", got.Header.Get("ETag"))
		s.want(416, "", "GET", "/dav/files/a.txt", "", "Range", "bytes=10-")
		s.want(409, "make it first", "PUT", "/dav/files/no/a.txt", "x")
		s.want(201, "", "MKCOL", "/dav/files/no/", "")
		s.want(405, "there already", "MKCOL", "/dav/files/no", "")
		s.want(415, "", "MKCOL", "/dav/files/yes", "<x/>")
		s.want(405, "a folder", "GET", "/dav/files/no/", "")
		s.want(405, "", "PUT", "/dav/files/no", "x")
		s.want(201, "", "MOVE", "/dav/files/a.txt", "", "Destination", s.url+"/dav/files/no/b%20%C3%A9.txt")
		s.want(404, "", "GET", "/dav/files/a.txt", "")
		s.want(201, "", "COPY", "/dav/files/no", "", "Destination", "/dav/files/yes")
		s.want(412, "", "COPY", "/dav/files/no", "", "Destination", "/dav/files/yes", "Overwrite", "F")
		s.want(200, "again", "GET", "/dav/files/yes/b%20%C3%A9.txt", "")
		s.want(204, "", "DELETE", "/dav/files/no", "")
		s.want(207, "/dav/trash/no/b%20%C3%A9.txt", "PROPFIND", "/dav/trash/no/", "", "Depth", anyDepth)
		s.want(403, "", "PUT", "/dav/trash/x", "x")
		s.want(201, "", "MOVE", "/dav/trash/no", "", "Destination", "/dav/files/no")
		s.want(204, "", "DELETE", "/dav/trash/", "")
		list := s.want(207, "<D:href>/dav/files/no/</D:href>", "PROPFIND", "/dav/files/", "", "Depth", anyDepth).body
		if strings.Count(list, "<D:response>") != 3 || strings.Contains(list, "a.txt") {
			t.Error(list)
		}
		s.want(200, "", "OPTIONS", "/dav/files/", "")
		s.want(405, "", "POST", "/dav/files/x", "")
	})
}

func TestPropfind(t *testing.T) {
	s := newSite(t, dbtest.SQLite(t), home.Options{Quota: 1000})
	s.want(201, "", "PUT", "/dav/files/a%26%3Cb", "hello", "Content-Type", "text/x-odd; a=b", "X-OC-Mtime", "1234567890")
	s.want(207, "text/x-odd; a=b", "PROPFIND", "/dav/files/a%26%3Cb", "", "Depth", "0")
	s.want(207, "Fri, 13 Feb 2009 23:31:30 GMT", "PROPFIND", "/dav/files/", "", "Depth", "1")
	s.want(207, "<D:displayname>a&amp;&lt;b</D:displayname>", "PROPFIND", "/dav/files/a%26%3Cb", "", "Depth", "0")
	quota := `<propfind xmlns="DAV:"><prop><quota-available-bytes/><quota-used-bytes/><x xmlns="urn:y"/></prop></propfind>`
	s.want(207, "<D:quota-available-bytes>995</D:quota-available-bytes><D:quota-used-bytes>5</D:quota-used-bytes>", "PROPFIND", "/dav/files/", quota, "Depth", "0")
	s.want(207, `<X:x xmlns:X="urn:y"/></D:prop><D:status>HTTP/1.1 404 Not Found`, "PROPFIND", "/dav/files/", quota, "Depth", "0")
	s.want(507, "quota-not-exceeded", "PUT", "/dav/files/large", strings.Repeat("x", 996))
	s.want(507, "", "PUT", "/dav/files/huge", strings.Repeat("x", 200_000))
	s.want(207, "<D:getetag/>", "PROPFIND", "/dav/files/a%26%3Cb", `<propfind xmlns="DAV:"><propname/></propfind>`, "Depth", "0")
	s.want(403, "propfind-finite-depth", "PROPFIND", "/dav/files/", "", "Depth", "infinity")
	s.want(403, "propfind-finite-depth", "PROPFIND", "/dav/files/", "")
	s.want(400, "", "PROPFIND", "/dav/files/", "", "Depth", "2")
	s.want(404, "", "PROPFIND", "/dav/files/none", "", "Depth", "0")
	s.want(207, "/dav/calendars/", "PROPFIND", "/dav/", "", "Depth", "1")
	s.want(207, "/dav/principals/alice/", "PROPFIND", "/dav/", `<propfind xmlns="DAV:"><prop><current-user-principal/></prop></propfind>`, "Depth", "0")
	s.want(207, `addressbook-home-set xmlns:X="urn:ietf:params:xml:ns:carddav"><D:href>/dav/contacts/</D:href>`, "PROPFIND", "/dav/principals/alice/", "", "Depth", "0")
	s.want(404, "", "PROPFIND", "/dav/principals/bob/", "", "Depth", "0")
	windows := `<D:propertyupdate xmlns:D="DAV:" xmlns:Z="urn:schemas-microsoft-com:"><D:set><D:prop><Z:Win32LastModifiedTime>Sat, 14 Feb 2009 00:00:00 GMT</Z:Win32LastModifiedTime><Z:Win32FileAttributes>00000020</Z:Win32FileAttributes></D:prop></D:set></D:propertyupdate>`
	s.want(207, "200 OK", "PROPPATCH", "/dav/files/a%26%3Cb", windows)
	s.want(207, "Sat, 14 Feb 2009 00:00:00 GMT", "PROPFIND", "/dav/files/", "", "Depth", "1")
	other := s.want(207, "403 Forbidden", "PROPPATCH", "/dav/files/a%26%3Cb", strings.Replace(windows, "<Z:Win32F", "<D:displayname>x</D:displayname><Z:Win32F", 1))
	if strings.Contains(other.body, "200 OK") {
		t.Error("some of it was done:", other.body)
	}
}

const exclusive = `<D:lockinfo xmlns:D="DAV:"><D:lockscope><D:exclusive/></D:lockscope><D:locktype><D:write/></D:locktype><D:owner><D:href>mailto:a@example.org</D:href></D:owner></D:lockinfo>`

func TestLocks(t *testing.T) {
	each(t, home.Options{}, func(t *testing.T, s *site) {
		token := s.want(201, "mailto:a@example.org", "LOCK", "/dav/files/doc", exclusive, "Timeout", "Infinite, Second-4100000000").Header.Get("Lock-Token")
		s.want(423, "lock-token-submitted", "PUT", "/dav/files/doc", "x")
		s.want(423, "", "DELETE", "/dav/files/doc", "")
		s.want(423, "", "MOVE", "/dav/files/doc", "", "Destination", "/dav/files/other")
		s.want(423, "", "PROPPATCH", "/dav/files/doc", `<propertyupdate xmlns="DAV:"><set><prop><x xmlns="urn:schemas-microsoft-com:">y</x></prop></set></propertyupdate>`)
		s.want(423, "", "LOCK", "/dav/files/doc", exclusive)
		s.want(423, "", "LOCK", "/dav/files/", exclusive)
		s.want(201, "", "COPY", "/dav/files/doc", "", "Destination", "/dav/files/copy")
		s.want(423, "", "COPY", "/dav/files/copy", "", "Destination", "/dav/files/doc")
		s.want(412, "", "PUT", "/dav/files/doc", "x", "If", "(<urn:uuid:wrong>)")
		s.want(423, "", "PUT", "/dav/files/doc", "x", "If", "(Not <DAV:no-lock>)")
		s.want(204, "", "PUT", "/dav/files/doc", "x", "If", "("+token+")")
		s.want(204, "", "PUT", "/dav/files/doc", "y", "If", "<"+s.url+"/dav/files/doc> ("+token+")")
		s.want(400, "", "PUT", "/dav/files/doc", "y", "If", "("+token)
		s.want(200, "Second-", "LOCK", "/dav/files/doc", "", "If", "("+token+")", "Timeout", "Second-30")
		s.want(412, "", "LOCK", "/dav/files/copy", "", "If", "("+token+")")
		s.want(207, "activelock", "PROPFIND", "/dav/files/doc", "", "Depth", "0")
		s.want(409, "", "UNLOCK", "/dav/files/copy", "", "Lock-Token", token)
		s.want(204, "", "UNLOCK", "/dav/files/doc", "", "Lock-Token", token)
		s.want(204, "", "PUT", "/dav/files/doc", "z")
		s.want(201, "", "MKCOL", "/dav/files/f", "")
		folder := s.want(200, "<D:depth>0</D:depth>", "LOCK", "/dav/files/f", exclusive, "Depth", "0").Header.Get("Lock-Token")
		s.want(423, "", "PUT", "/dav/files/f/new", "x")
		s.want(201, "", "PUT", "/dav/files/f/new", "x", "If", "</dav/files/f> ("+folder+")")
		s.want(204, "", "PUT", "/dav/files/f/new", "other bytes")
		s.want(423, "", "DELETE", "/dav/files/f/new", "")
		s.want(204, "", "DELETE", "/dav/files/f", "", "If", "("+folder+")")
		s.want(201, "", "MKCOL", "/dav/files/f", "")
		s.want(201, "", "PUT", "/dav/files/f/new", "x")
	})
}

func TestTheFence(t *testing.T) {
	each(t, home.Options{}, func(t *testing.T, s *site) {
		s.want(201, "", "PUT", "/dav/files/a", "x")
		s.want(201, "", "PUT", "/dav/contacts/default/c.vcf", card("c", "Zoé"))
		if err := s.alice.SetReadOnly(t.Context(), true); err != nil {
			t.Fatal(err)
		}
		at := s.position()
		for _, c := range [][]string{{"PUT", "files/a"}, {"DELETE", "files/a"}, {"MKCOL", "files/b"}, {"MOVE", "files/a"}, {"COPY", "files/a"}, {"LOCK", "files/a"}, {"PROPPATCH", "files/a"},
			{"PUT", "contacts/default/c.vcf"}, {"DELETE", "contacts/default/c.vcf"}, {"DELETE", "trash/"}, {"PUT", "calendars/default/c.ics"}} {
			if got := s.want(503, "read-only", c[0], "/dav/"+c[1], "", "Destination", "/dav/files/b"); got.Header.Get("Retry-After") == "" {
				t.Error("no Retry-After")
			}
		}
		s.want(200, "x", "GET", "/dav/files/a", "")
		s.want(207, "", "PROPFIND", "/dav/files/", "", "Depth", "1")
		s.want(200, "Zoé", "GET", "/dav/contacts/default/c.vcf", "")
		if s.position() != at {
			t.Error("something was written")
		}
		s.moved.Store("https://new.example")
		for _, c := range [][]string{{"GET", "files/a"}, {"PUT", "files/a"}, {"PROPFIND", "files/"}, {"PROPFIND", ""}, {"REPORT", "contacts/default/"}, {"OPTIONS", "files/"}} {
			s.want(410, "has moved to https://new.example", c[0], "/dav/"+c[1], "")
		}
	})
}

// TestTheFenceAmongWriters has twenty programs put at one path by HTTP, and fences among them.
func TestTheFenceAmongWriters(t *testing.T) {
	each(t, home.Options{}, func(t *testing.T, s *site) {
		var fenced atomic.Bool
		late, done := make(chan int, 20), make(chan bool)
		for n := range 20 {
			go func() {
				defer func() { done <- true }()
				for {
					before := fenced.Load()
					got := s.ask("PUT", "/dav/files/f", fmt.Sprint(n))
					if before && got.StatusCode < 300 {
						late <- got.StatusCode
						return
					}
					if got.StatusCode == 503 {
						return
					}
				}
			}()
		}
		time.Sleep(150 * time.Millisecond)
		if err := s.alice.SetReadOnly(t.Context(), true); err != nil {
			t.Fatal(err)
		}
		fenced.Store(true)
		at := s.position()
		for range 20 {
			<-done
		}
		if s.position() != at || len(late) > 0 {
			t.Errorf("%d writes came through after the fence", len(late))
		}
	})
}

// TestReadWhileItChanges gets a file that others replace, so often that its earlier bytes go: it is always one of its states.
func TestReadWhileItChanges(t *testing.T) {
	each(t, home.Options{}, func(t *testing.T, s *site) {
		state := func(n int) string { return strings.Repeat(string(rune('a'+n%26)), 70_000+n%26) }
		s.want(201, "", "PUT", "/dav/files/f", state(0))
		done := make(chan bool)
		go func() {
			defer close(done)
			for n := range 20 {
				s.ask("PUT", "/dav/files/f", state(n))
			}
		}()
		for n := 0; ; n++ {
			select {
			case <-done:
				if n := s.files(); n != 11 { // it, and ten versions
					t.Errorf("%d files are left", n)
				}
				return
			default:
			}
			got := s.ask("GET", "/dav/files/f", "")
			if got.StatusCode != 200 || len(got.body) < 70_000 || got.body != state(int(got.body[0]-'a')) {
				t.Fatalf("%d: %d, %d bytes", n, got.StatusCode, len(got.body))
			}
		}
	})
}

func TestSignIn(t *testing.T) {
	s := newSite(t, dbtest.SQLite(t), home.Options{})
	s.want(201, "", "PUT", "/dav/files/a", "alice's")
	as := func(name, password string) answer {
		r, err := http.NewRequest("GET", s.url+"/dav/files/a", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.SetBasicAuth(name, password)
		got, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer got.Body.Close()
		text, err := io.ReadAll(got.Body)
		if err != nil {
			t.Fatal(err)
		}
		return answer{got, string(text)}
	}
	for _, c := range []struct {
		name, password string
		status         int
	}{{"alice", "alice", 200}, {"bob", "bob", 404}, {"alice", "bob", 401}, {"", "", 401}, {"alice", "", 401}, {"al\xff", "al\xff", 401}, {"a\x00", "a\x00", 401}, {"slow", "x", 429}, {"broken", "x", 500}, {"nobody", "nobody", 404}, {"a:b", "c", 401}} {
		got := as(c.name, c.password)
		if got.StatusCode != c.status || strings.Contains(got.body, "database") || c.status != 200 && strings.Contains(got.body, "alice's") {
			t.Errorf("%q %q: %d %s", c.name, c.password, got.StatusCode, got.body)
		}
		if (c.status == 401) != (got.Header.Get("WWW-Authenticate") != "") {
			t.Errorf("%v", got.Header)
		}
	}
	if got := as("slow", "x"); got.Header.Get("Retry-After") != "90" {
		t.Error(got.Header)
	}
	for _, header := range []string{"", "Bearer x", "Basic", "Basic !", "Basic YWxpY2U="} {
		s.want(401, "app password", "GET", "/dav/files/a", "", "Authorization", header)
	}
}

// TestRevokedMeanwhile revokes the app password while a body arrives.
func TestRevokedMeanwhile(t *testing.T) {
	s := newSite(t, dbtest.SQLite(t), home.Options{})
	body, send := io.Pipe()
	r, err := http.NewRequest("PUT", s.url+"/dav/files/a", body)
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		fmt.Fprint(send, strings.Repeat("x", 200_000))
		s.shut.Store(true)
		send.Close()
	}()
	if got := s.send(r); got.StatusCode != 401 || s.position() != 0 || s.files() != 0 {
		t.Errorf("%d %s; position %d, %d files", got.StatusCode, got.body, s.position(), s.files())
	}
}
