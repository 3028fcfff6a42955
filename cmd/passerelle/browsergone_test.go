package main

import (
	"fmt"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/passerelle-cloud/passerelle/internal/browsertest"
)

// mortal is what stands between two operators: it lets nothing through to the first one once that has to sign that somebody
// leaves.
type mortal struct {
	to   http.Handler
	dead atomic.Bool
}

func (m *mortal) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if strings.HasSuffix(r.URL.Path, "/acceptance") {
		m.dead.Store(true)
	}
	if m.dead.Load() {
		panic(http.ErrAbortHandler)
	}
	m.to.ServeHTTP(w, r)
}

// TestGonePages has an operator die before it has signed. The person declares it gone, and works at the other one.
func TestGonePages(t *testing.T) {
	t.Parallel()
	listen := freePort(t)
	to, err := url.Parse("http://127.0.0.1:" + listen)
	if err != nil {
		t.Fatal(err)
	}
	between := &mortal{to: &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(to); r.Out.Host = r.In.Host }}}
	port := freePort(t)
	server := &http.Server{Addr: "127.0.0.1:" + port, Handler: between}
	go server.ListenAndServe()
	t.Cleanup(func() { server.Close() })
	v, two := visiting(t, browsertest.Options{Language: "fr", Width: 360, Height: 740, Phone: true}, port)
	v.g = runGateway(t, two.from, "--listen", "127.0.0.1:"+listen, "--url", two.fromURL, "--local")
	two.flags = []string{"--silent-for", "1s"}
	b := two.serve(t, two.to)

	v.Go(b.url + "/move")
	v.enter("another horse battery")
	v.press("move.go")
	v.enter("correct horse battery")
	v.press("prompt.go")
	v.read("move.moving")
	v.waits("move.gone")
	v.inspect("move-silent")
	v.press("move.gone")
	v.read("move.gone-fork", "move.gone-consents", "move.gone-log")
	v.See("Maison A")
	v.inspect("move-gone")
	v.Click(fmt.Sprintf(v.say("move.gone-yes"), "Maison A"))
	v.press("move.gone-do")
	v.waits("move.still-gone")
	v.inspect("move-declared")
}
