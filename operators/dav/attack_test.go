package dav_test

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/passerelle-cloud/passerelle/internal/dbtest"
	"github.com/passerelle-cloud/passerelle/operators/home"
)

// raw sends bytes as they are, and returns the status of what comes back; 0 if nothing does.
func (s *site) raw(text string, half bool) int {
	s.t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
	if err != nil {
		s.t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(10 * time.Second))
	fmt.Fprint(conn, text)
	if half {
		conn.(*net.TCPConn).CloseWrite()
	}
	got, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return 0
	}
	defer got.Body.Close()
	return got.StatusCode
}

const basic = "Authorization: Basic YWxpY2U6YWxpY2U=\r\nHost: x\r\n"

// TestPaths asks for what is no path of the person's, as the address is written.
func TestPaths(t *testing.T) {
	each(t, home.Options{}, func(t *testing.T, s *site) {
		s.want(201, "", "PUT", "/dav/files/a", "x")
		at := s.position()
		long, deep := strings.Repeat("x", 256), strings.Repeat("d/", 10_000)
		for _, path := range []string{"../../etc/passwd", "%2e%2e/x", "..", "a/../b", "./x", "a//b", "/x", "a%2Fb", "a%2fb", "%00", "a%00b", "%0d%0aX: y", "%ff", "%c0%ae%c0%ae/x", "%ed%a0%80", "%7f", "%EF%BF%BF", long, deep + "x",
			strings.Repeat("é", 128), "a/b", "no/x"} {
			for _, method := range []string{"PUT", "MKCOL", "LOCK"} {
				body := ""
				if method == "LOCK" {
					body = exclusive
				}
				if got := s.raw(fmt.Sprintf("%s /dav/files/%s HTTP/1.1\r\n%sContent-Length: %d\r\n\r\n%s", method, path, basic, len(body), body), false); got < 400 || got >= 500 {
					t.Errorf("%s %.100s: %d", method, path, got)
				}
			}
			for _, method := range []string{"GET", "DELETE", "PROPFIND", "PROPPATCH", "UNLOCK", "MOVE", "COPY"} {
				if got := s.raw(fmt.Sprintf("%s /dav/files/%s HTTP/1.1\r\n%sDepth: 0\r\nDestination: /dav/files/b\r\n\r\n", method, path, basic), false); got < 400 || got >= 500 {
					t.Errorf("%s %.100s: %d", method, path, got)
				}
			}
			if got := s.raw(fmt.Sprintf("MOVE /dav/files/a HTTP/1.1\r\n%sDestination: /dav/files/%s\r\n\r\n", basic, path), false); got < 400 || got >= 500 {
				t.Errorf("to %.100s: %d", path, got)
			}
		}
		if got := s.raw("PUT /dav/files/"+strings.Repeat("x", 2<<20)+" HTTP/1.1\r\n"+basic+"\r\n", false); got != 0 && (got < 400 || got >= 500) {
			t.Errorf("a name of 2 MB: %d", got)
		}
		for _, to := range []string{"", "http://other.example/dav/files/b", "/dav/contacts/default/x", "/etc/passwd", "b", "mailto:x", "://", "http://[::1", "/dav/files/", "/dav/files", "/dav/files/a/b"} {
			if got := s.ask("MOVE", "/dav/files/a", "", "Destination", to); got.StatusCode < 400 || got.StatusCode == 500 {
				t.Errorf("to %q: %d", to, got.StatusCode)
			}
		}
		if s.position() != at {
			t.Error("something was changed")
		}
	})
}

// TestOneInTheOther moves and copies what is in one another.
func TestOneInTheOther(t *testing.T) {
	each(t, home.Options{}, func(t *testing.T, s *site) {
		s.want(201, "", "MKCOL", "/dav/files/a", "")
		s.want(201, "", "MKCOL", "/dav/files/a/b", "")
		s.want(201, "", "PUT", "/dav/files/a/b/f", "x")
		at := s.position()
		for _, c := range [][2]string{{"a", "a"}, {"a", "a/"}, {"a", "a/b/c"}, {"a/b", "a"}, {"a", ""}, {"", "b"}, {"a/b/f", "a"}, {"a/b/f", "a/b"}, {"a", "a/b/f"}, {"a", "a/b/f/g"}} {
			for _, method := range []string{"MOVE", "COPY"} {
				if got := s.ask(method, "/dav/files/"+c[0], "", "Destination", s.url+"/dav/files/"+c[1]); got.StatusCode != 403 && got.StatusCode != 409 {
					t.Errorf("%s %s to %s: %d", method, c[0], c[1], got.StatusCode)
				}
			}
		}
		s.want(403, "", "DELETE", "/dav/files/", "")
		s.want(400, "", "DELETE", "/dav/files/a", "", "Depth", "0")
		s.want(400, "", "MOVE", "/dav/files/a", "", "Destination", "/dav/files/c", "Depth", "0")
		s.want(400, "", "COPY", "/dav/files/a", "", "Destination", "/dav/files/c", "Depth", "1")
		if s.position() != at {
			t.Error("something was changed")
		}
		s.want(201, "", "COPY", "/dav/files/a", "", "Destination", "/dav/files/shallow", "Depth", "0")
		if list := s.want(207, "", "PROPFIND", "/dav/files/shallow", "", "Depth", "1").body; strings.Count(list, "<D:response>") != 1 {
			t.Error(list)
		}
	})
}

// TestBombs sends XML that is larger than it looks, or larger than anybody needs.
func TestBombs(t *testing.T) {
	s := newSite(t, dbtest.SQLite(t), home.Options{})
	s.want(201, "", "PUT", "/dav/files/a", "x")
	entities := `<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;"><!ENTITY c SYSTEM "file:///etc/passwd">]><propfind xmlns="DAV:"><prop><x>&b;&c;</x></prop></propfind>`
	many := `<propfind xmlns="DAV:"><prop>` + strings.Repeat("<x/>", 100_000) + `</prop></propfind>`
	nested := `<propfind xmlns="DAV:"><prop>` + strings.Repeat("<x>", 100_000)
	long := `<propfind xmlns="DAV:"><prop><` + strings.Repeat("x", 1<<20) + `/></prop></propfind>`
	for _, body := range []string{entities, many, nested, "<", "x", "<a/>", `<propfind xmlns="DAV:"><prop><b:x xmlns:b=""/></prop></propfind>`, "\xff\xfe<", `<?xml version="1.0" encoding="utf-16"?><propfind xmlns="DAV:"/>`} {
		begin := time.Now()
		for _, c := range [][2]string{{"PROPFIND", "files/"}, {"PROPPATCH", "files/a"}, {"LOCK", "files/a"}, {"REPORT", "contacts/default/"}, {"REPORT", "calendars/default/"}, {"PROPFIND", "contacts/default/"}, {"PROPFIND", ""}} {
			got := s.ask(c[0], "/dav/"+c[1], body, "Depth", "1")
			if got.StatusCode < 400 || got.StatusCode >= 500 || strings.Contains(got.body, "root:") {
				t.Errorf("%s %s %.100s: %d %.200s", c[0], c[1], body, got.StatusCode, got.body)
			}
		}
		if took := time.Since(begin); took > time.Minute {
			t.Errorf("%.100s takes %v", body, took)
		}
	}
	s.want(413, "too long", "PROPFIND", "/dav/files/", long, "Depth", "0")
	s.want(413, "too long", "PUT", "/dav/contacts/default/x.vcf", card("x", strings.Repeat("x", 1<<20)))
	hrefs := `<A:addressbook-multiget xmlns="DAV:" xmlns:A="urn:ietf:params:xml:ns:carddav">` + strings.Repeat("<href>x</href>", 6000) + `</A:addressbook-multiget>`
	s.want(400, "at most", "REPORT", "/dav/contacts/default/", hrefs)
	filter := strings.Repeat(`<comp-filter name="VEVENT">`, 9000) + strings.Repeat("</comp-filter>", 9000)
	if got := s.ask("REPORT", "/dav/calendars/default/", `<calendar-query xmlns="urn:ietf:params:xml:ns:caldav"><filter>`+filter+`</filter></calendar-query>`); got.StatusCode >= 500 {
		t.Errorf("%d", got.StatusCode)
	}
}

// TestWhatOthersWriteIsNoMarkup has XML in names, types, owners of locks and values.
func TestWhatOthersWriteIsNoMarkup(t *testing.T) {
	s := newSite(t, dbtest.SQLite(t), home.Options{})
	s.want(201, "", "PUT", "/dav/files/%3CD:x%3E&amp;%22", "x", "Content-Type", `text/x; a="<D:evil/>"`)
	owner := strings.Replace(exclusive, "<D:href>mailto:a@example.org</D:href>", "&lt;D:evil/>]]&gt;", 1)
	locked := s.want(200, "&lt;D:evil/&gt;", "LOCK", "/dav/files/%3CD:x%3E&amp;%22", owner)
	all := s.want(207, "&lt;D:evil/&gt;", "PROPFIND", "/dav/files/", "", "Depth", "1")
	if strings.Contains(locked.body+all.body, "<D:evil") || strings.Contains(all.body, "<D:x") {
		t.Error(locked.body, all.body)
	}
}

// TestTruncated cuts uploads off: nothing of them is left.
func TestTruncated(t *testing.T) {
	each(t, home.Options{}, func(t *testing.T, s *site) {
		s.want(201, "", "PUT", "/dav/files/a", "before")
		at, files := s.position(), s.files()
		part := strings.Repeat("x", 100_000)
		for _, request := range []string{
			"PUT /dav/files/a HTTP/1.1\r\n" + basic + "Content-Length: 200000\r\n\r\n" + part,
			"PUT /dav/files/a HTTP/1.1\r\n" + basic + "Content-Length: 20\r\n\r\nshort",
			"PUT /dav/files/a HTTP/1.1\r\n" + basic + "Transfer-Encoding: chunked\r\n\r\n186a0\r\n" + part + "\r\n",
			"PUT /dav/files/a HTTP/1.1\r\n" + basic + "Transfer-Encoding: chunked\r\n\r\nzz\r\n",
			"PUT /dav/files/a HTTP/1.1\r\n" + basic + "Content-Range: bytes 0-2/6\r\nContent-Length: 3\r\n\r\nabc",
			"PUT /dav/contacts/default/c.vcf HTTP/1.1\r\n" + basic + "Content-Length: 2000\r\n\r\n" + card("c", "x"),
		} {
			if got := s.raw(request, true); got != 0 && got != 400 {
				t.Errorf("%.120s: %d", request, got)
			}
		}
		for range 500 { // the server may still be at work
			if s.files() == files {
				break
			}
			time.Sleep(20 * time.Millisecond)
		}
		if s.position() != at || s.files() != files {
			t.Errorf("position %d, was %d; %d files, were %d", s.position(), at, s.files(), files)
		}
		s.want(200, "before", "GET", "/dav/files/a", "")
	})
}

func TestRanges(t *testing.T) {
	s := newSite(t, dbtest.SQLite(t), home.Options{})
	content := strings.Repeat("0123456789", 50_000)
	s.want(201, "", "PUT", "/dav/files/a", content)
	for header, want := range map[string]string{"bytes=0-0": "0", "bytes=-3": "789", "bytes=499998-": "89", "bytes=5-5000000": content[5:]} {
		if got := s.want(206, "", "GET", "/dav/files/a", "", "Range", header); got.body != want {
			t.Errorf("%s: %.50q", header, got.body)
		}
	}
	many := "bytes=" + strings.TrimSuffix(strings.Repeat("0-,", 1000), ",")
	if got := s.ask("GET", "/dav/files/a", "", "Range", many); len(got.body) > len(content) {
		t.Errorf("%d bytes of %d are asked for many times over", len(got.body), len(content))
	}
	for _, header := range []string{"bytes=9999999-", "bytes=x", "bytes=3-1", "bytes=-"} {
		s.want(416, "", "GET", "/dav/files/a", "", "Range", header)
	}
}

// TestFloods has more locks, and more uploads at a time, than anybody needs.
func TestFloods(t *testing.T) {
	s := newSite(t, dbtest.SQLite(t), home.Options{})
	got := 0
	for n := range 250 {
		if s.ask("LOCK", fmt.Sprint("/dav/files/", n), exclusive).StatusCode == 201 {
			got++
		}
	}
	if got != 200 {
		t.Errorf("%d locks", got)
	}
	var open []net.Conn
	for range 40 {
		conn, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		fmt.Fprint(conn, "PUT /dav/files/up HTTP/1.1\r\n"+basic+"Content-Length: 1000000\r\n\r\nx")
		open = append(open, conn)
	}
	var refused atomic.Int32
	for _, conn := range open {
		go func() { // until the connection is closed
			if answer, err := http.ReadResponse(bufio.NewReader(conn), nil); err == nil && answer.StatusCode == 503 {
				refused.Add(1)
			}
		}()
	}
	for n := 0; refused.Load() < 8; n++ {
		if n > 3000 {
			t.Fatalf("%d uploads of 40 were refused", refused.Load())
		}
		time.Sleep(10 * time.Millisecond)
	}
	for _, conn := range open {
		conn.Close()
	}
	for n := 0; s.ask("PUT", "/dav/files/after", "x").StatusCode != 201; n++ {
		if n > 1000 {
			t.Fatal("uploads that broke off count for ever")
		}
		time.Sleep(20 * time.Millisecond)
	}
}
