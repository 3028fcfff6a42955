// Package apitest holds what handlers answer in tests against openapi.yaml. Only tests import it.
package apitest

import (
	"context"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
)

// read reads openapi.yaml once for all tests of a package: it is long, and nothing changes it.
var read = sync.OnceValues(func() (*openapi3.T, error) {
	dir, err := os.Getwd()
	if err != nil {
		return nil, err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			break
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return nil, errors.New("there is no go.mod above the test")
		}
		dir = parent
	}
	doc, err := openapi3.NewLoader().LoadFromFile(filepath.Join(dir, "openapi.yaml"))
	if err != nil {
		return nil, err
	}
	return doc, doc.Validate(context.Background())
})

// Document is openapi.yaml, from the module's root. It fails the test if it is not valid.
func Document(t testing.TB) *openapi3.T {
	t.Helper()
	doc, err := read()
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

// Check wraps a handler: an answer whose status, headers, media type or JSON are not those that openapi.yaml describes
// fails the test, and so does a request that it does not describe, unless that is refused with 404 or 405. Requests to
// paths of the test's own, which begin with one of own, are let through. Answers pass as they come: they can be flushed,
// and have deadlines.
func Check(t testing.TB, next http.Handler, own ...string) http.Handler {
	t.Helper()
	d := describe(Document(t))
	var ended sync.RWMutex
	over := false
	t.Cleanup(func() {
		ended.Lock()
		defer ended.Unlock()
		over = true
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for _, prefix := range own {
			if strings.HasPrefix(r.URL.Path, prefix) {
				next.ServeHTTP(w, r)
				return
			}
		}
		asked := r.Clone(r.Context()) // a mux or a handler may change it
		a := &answer{}
		defer func() { // also where the handler gives up: http.ErrAbortHandler
			ended.RLock()
			defer ended.RUnlock()
			if err := d.fits(asked, a); err != nil && !over { // afterwards nobody listens
				t.Errorf("%s %s answers %d: openapi.yaml: %v: %.500s", asked.Method, asked.URL.Path, a.status, err, a.body.Bytes())
			}
		}()
		next.ServeHTTP(&recorder{w, a}, r)
		a.end()
	})
}

// Answer is [Check] for an answer that came over the network, whose body was read.
func Answer(t testing.TB, got *http.Response, body string) {
	t.Helper()
	a := &answer{}
	a.begin(got.StatusCode, got.Header)
	a.add([]byte(body))
	a.end()
	if err := describe(Document(t)).fits(got.Request, a); err != nil {
		t.Errorf("%s %s answers %d: openapi.yaml: %v: %.500s", got.Request.Method, got.Request.URL.Path, a.status, err, body)
	}
}
