package keys

import (
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"testing"
)

// front is a server before Vault that sees the requests, and can interfere.
type front struct {
	*httptest.Server
	mu       sync.Mutex
	seen     []string // METHOD path
	headers  http.Header
	meddle   func(w http.ResponseWriter, r *http.Request) bool // whether it has answered
	swallow  string                                            // part of a path: the request arrives, its answer does not; once
	swallows int
}

func newFront(t *testing.T, to string) *front { return startFront(t, to, (*httptest.Server).Start) }

func startFront(t *testing.T, to string, start func(*httptest.Server)) *front {
	t.Helper()
	target, err := url.Parse(to)
	if err != nil {
		t.Fatal(err)
	}
	f := &front{}
	proxy := httputil.NewSingleHostReverseProxy(target)
	proxy.ErrorHandler = func(w http.ResponseWriter, r *http.Request, err error) { w.WriteHeader(http.StatusBadGateway) }
	f.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f.mu.Lock()
		f.seen = append(f.seen, r.Method+" "+r.URL.Path)
		f.headers = r.Header.Clone()
		meddle, swallow := f.meddle, f.swallow != "" && r.Method == http.MethodPut && strings.Contains(r.URL.Path, f.swallow)
		if swallow {
			f.swallow = ""
			f.swallows++
		}
		f.mu.Unlock()
		if meddle != nil && meddle(w, r) {
			return
		}
		if swallow {
			proxy.ServeHTTP(httptest.NewRecorder(), r)
			panic(http.ErrAbortHandler)
		}
		proxy.ServeHTTP(w, r)
	}))
	f.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	start(f.Server)
	t.Cleanup(f.Close)
	return f
}

func (f *front) reset() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.seen = nil
}

func (f *front) count(part string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := 0
	for _, s := range f.seen {
		if strings.Contains(s, part) {
			n++
		}
	}
	return n
}

// lastHeader returns a header of the request seen last.
func (f *front) lastHeader(name string) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.headers.Get(name)
}

func (f *front) answering(meddle func(http.ResponseWriter, *http.Request) bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.meddle = meddle
}

// cutter passes connections on, and can cut them all.
type cutter struct {
	net.Listener
	to    string
	mu    sync.Mutex
	conns []net.Conn
	mode  string // "": pass on; "cut": close at once; "hang": take what comes, and say nothing
}

func newCutter(t *testing.T, to string) *cutter {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &cutter{Listener: l, to: strings.TrimPrefix(to, "http://")}
	t.Cleanup(func() { l.Close(); c.set("cut") })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			c.take(conn)
		}
	}()
	return c
}

func (c *cutter) take(conn net.Conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch c.mode {
	case "cut":
		conn.Close()
		return
	case "hang":
		c.conns = append(c.conns, conn)
		return
	}
	up, err := net.Dial("tcp", c.to)
	if err != nil {
		conn.Close()
		return
	}
	c.conns = append(c.conns, conn, up)
	go func() { _, _ = io.Copy(up, conn); up.Close() }()
	go func() { _, _ = io.Copy(conn, up); conn.Close() }()
}

// set cuts all connections, and says what becomes of the next ones.
func (c *cutter) set(mode string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mode = mode
	for _, conn := range c.conns {
		conn.Close()
	}
	c.conns = nil
}
