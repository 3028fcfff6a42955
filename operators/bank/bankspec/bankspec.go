// Package bankspec holds what a bank and its clients say to each other in tests against the official description of
// NextGenPSD2 XS2A 1.3. Only tests import it. The description is not in this repository: it is looked for in the folder psd2
// of $PASSERELLE_SAMPLES, as psd2-api_v1.3*.yaml.
package bankspec

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"

	"github.com/passerelle-cloud/passerelle/operators/bank/banktest"
)

// Checker holds requests and answers against the description. Answers that the sandbox bank spoilt on purpose
// ([banktest.FaultHeader]) are not looked at.
type Checker struct {
	t    testing.TB
	doc  *openapi3.T
	mu   sync.Mutex
	over bool
	seen map[string]int // requests, by operation
}

// found is the file of the description, "" if there is none.
func found() string {
	files, err := filepath.Glob(filepath.Join(os.Getenv("PASSERELLE_SAMPLES"), "psd2", "psd2-api_v1.3*.yaml"))
	if err != nil || len(files) == 0 {
		return ""
	}
	return files[0]
}

// read reads the description once for all tests of a package: it is long, and nothing changes it any more.
var read = sync.OnceValues(func() (*openapi3.T, error) {
	doc, err := openapi3.NewLoader().LoadFromFile(found())
	if err != nil {
		return nil, err
	}
	doc.Servers = nil // whatever the host is
	loosen(doc)
	return doc, nil
})

// Conform reads the description. It skips the test where there is none.
func Conform(t testing.TB) *Checker {
	t.Helper()
	dir := os.Getenv("PASSERELLE_SAMPLES")
	if dir == "" {
		t.Skip("no official description of NextGenPSD2: set PASSERELLE_SAMPLES to the folder whose folder psd2 has it")
	}
	if found() == "" {
		t.Skipf("there is no psd2/psd2-api_v1.3*.yaml in %s", dir)
	}
	doc, err := read()
	if err != nil {
		t.Fatal(err)
	}
	c := &Checker{t: t, doc: doc, seen: map[string]int{}}
	t.Cleanup(func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.over = true
	})
	return c
}

// loosen makes "one of these bodies" into "any of these": the description's alternatives are no alternatives, since each
// of them lets in what it does not know.
func loosen(doc *openapi3.T) {
	put := doc.Paths.Value("/v1/consents/{consentId}/authorisations/{authorisationId}").Put
	post := doc.Paths.Value("/v1/consents/{consentId}/authorisations").Post
	bodies := []openapi3.Content{put.RequestBody.Value.Content, put.Responses.Status(http.StatusOK).Value.Content, post.RequestBody.Value.Content}
	for _, content := range bodies {
		schema := content.Get("application/json").Schema.Value
		schema.AnyOf, schema.OneOf = append(schema.AnyOf, schema.OneOf...), nil
	}
}

// Seen is how often each operation of the description was called: "createConsent".
func (c *Checker) Seen() map[string]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	all := map[string]int{}
	for name, n := range c.seen {
		all[name] = n
	}
	return all
}

// say fails the test, unless it is over.
func (c *Checker) say(r *http.Request, format string, args ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.over {
		c.t.Errorf("%s %s: NextGenPSD2: %s", r.Method, r.URL.Path, fmt.Sprintf(format, args...))
	}
}

// route finds the operation of a request, and the parameters in its path.
func (c *Checker) route(r *http.Request) (route *routers.Route, values map[string]string) {
	for path, item := range c.doc.Paths.Map() {
		operation := item.GetOperation(r.Method)
		these, fits := match(path, r.URL.Path)
		if fits && operation != nil && (route == nil || len(these) < len(values)) { // what says more fits better
			route, values = &routers.Route{Spec: c.doc, Path: path, PathItem: item, Method: r.Method, Operation: operation}, these
		}
	}
	return route, values
}

// match holds a path against a template: "/v1/accounts/{account-id}". What stands before /v1 is the bank's own.
func match(template, path string) (map[string]string, bool) {
	_, path, found := strings.Cut(path, "/v1/")
	want, have := strings.Split(strings.TrimPrefix(template, "/v1/"), "/"), strings.Split(path, "/")
	if !found || len(want) != len(have) {
		return nil, false
	}
	values := map[string]string{}
	for n, part := range want {
		name, isParameter := strings.CutPrefix(part, "{")
		switch {
		case isParameter && have[n] != "":
			values[strings.TrimSuffix(name, "}")] = have[n]
		case part != have[n]:
			return nil, false
		}
	}
	return values, true
}

// check holds a request and its answer against the description. sent is the request's body. A request need not be right
// where accepted is true and it was refused.
func (c *Checker) check(r *http.Request, sent []byte, status int, header http.Header, body []byte, accepted bool) {
	route, values := c.route(r)
	if route == nil {
		if status != http.StatusNotFound && status != http.StatusMethodNotAllowed {
			c.say(r, "the request is not described")
		}
		return
	}
	c.mu.Lock()
	c.seen[route.Operation.OperationID]++
	c.mu.Unlock()
	asked := r.Clone(r.Context())
	asked.Body = io.NopCloser(bytes.NewReader(sent))
	in := &openapi3filter.RequestValidationInput{Request: asked, PathParams: values, Route: route, Options: &openapi3filter.Options{AuthenticationFunc: openapi3filter.NoopAuthenticationFunc}}
	if !accepted || status < http.StatusBadRequest {
		if err := openapi3filter.ValidateRequest(r.Context(), in); err != nil {
			c.say(r, "the request: %v", err)
		}
	}
	if header.Get(banktest.FaultHeader) != "" {
		return
	}
	if err := c.answer(in, status, header, body); err != nil {
		c.say(r, "the answer %d: %v: %.500s", status, err, body)
	}
}

// answer says what is wrong with an answer.
func (c *Checker) answer(in *openapi3filter.RequestValidationInput, status int, header http.Header, body []byte) error {
	response := in.Route.Operation.Responses.Status(status)
	if response == nil {
		return fmt.Errorf("there is no such status")
	}
	for name, h := range response.Value.Headers {
		if h.Value.Required && header.Get(name) == "" {
			return fmt.Errorf("the header %s is missing", name)
		}
	}
	kind, _, _ := strings.Cut(header.Get("Content-Type"), ";")
	switch {
	case len(response.Value.Content) == 0 && len(body) > 0:
		return fmt.Errorf("a body is not described")
	case len(response.Value.Content) == 0:
		return nil
	case response.Value.Content.Get(kind) == nil:
		return fmt.Errorf("a body of %q is not described", kind)
	case kind != "application/json" && kind != "application/problem+json":
		return nil // the description says of XML that it is some
	}
	return openapi3filter.ValidateResponse(in.Request.Context(), &openapi3filter.ResponseValidationInput{RequestValidationInput: in, Status: status, Header: header,
		Body: io.NopCloser(bytes.NewReader(body)), Options: &openapi3filter.Options{IncludeResponseStatus: true}})
}

// Handler wraps a bank: each answer below /v1/ must be as described, and each request that the bank accepts.
func (c *Checker) Handler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.Contains(r.URL.Path, "/v1/") {
			next.ServeHTTP(w, r)
			return
		}
		sent, err := io.ReadAll(r.Body)
		if err != nil {
			c.say(r, "its body: %v", err)
		}
		asked := r.Clone(r.Context())
		r.Body = io.NopCloser(bytes.NewReader(sent))
		seen := &recorder{ResponseWriter: w}
		next.ServeHTTP(seen, r)
		c.check(asked, sent, seen.status, seen.Header(), seen.body.Bytes(), true)
	})
}

// recorder remembers an answer as it passes.
type recorder struct {
	http.ResponseWriter
	status int
	body   bytes.Buffer
}

func (w *recorder) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

const most = 8 << 20 // bytes of a body that are looked at; more are a fault that was asked for

func (w *recorder) Write(p []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	if w.body.Len() < most {
		w.body.Write(p)
	}
	return w.ResponseWriter.Write(p)
}

// Unwrap is for [http.ResponseController].
func (w *recorder) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// Transport wraps what a client sends its requests with: each request to a path with /v1/ must be as described, whatever the
// bank thinks of it, and each answer. Answers are read whole.
func (c *Checker) Transport(next http.RoundTripper) http.RoundTripper {
	return &transport{c, next}
}

type transport struct {
	c    *Checker
	next http.RoundTripper
}

// RoundTrip implements [http.RoundTripper].
func (x *transport) RoundTrip(r *http.Request) (*http.Response, error) {
	if !strings.Contains(r.URL.Path, "/v1/") {
		return x.next.RoundTrip(r)
	}
	var sent []byte
	if r.Body != nil {
		var err error
		if sent, err = io.ReadAll(r.Body); err != nil {
			return nil, err
		}
		_ = r.Body.Close() // it was read
	}
	out := r.Clone(r.Context())
	if out.Body = io.NopCloser(bytes.NewReader(sent)); len(sent) == 0 {
		out.Body = nil
	}
	got, err := x.next.RoundTrip(out)
	if err != nil || got.Header.Get(banktest.FaultHeader) != "" {
		return got, err
	}
	body, err := io.ReadAll(got.Body)
	if err != nil {
		return nil, err
	}
	got.Body = io.NopCloser(bytes.NewReader(body))
	x.c.check(r, sent, got.StatusCode, got.Header, body, false)
	return got, nil
}
