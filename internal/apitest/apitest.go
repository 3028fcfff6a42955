// Package apitest holds what handlers answer in tests against openapi.yaml. Only tests import it.
package apitest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"mime"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
)

// Document loads openapi.yaml from the module's root.
func Document(t testing.TB) *openapi3.T {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			break
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			t.Fatal("there is no go.mod above the test")
		}
		dir = parent
	}
	doc, err := openapi3.NewLoader().LoadFromFile(filepath.Join(dir, "openapi.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

// Check wraps a handler: a request that openapi.yaml does not describe, and an answer with another status, media type or
// JSON than it says, fail the test. Requests to other paths of the test's own are let through.
func Check(t testing.TB, next http.Handler, own ...string) http.Handler {
	t.Helper()
	doc := Document(t)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for _, prefix := range own {
			if strings.HasPrefix(r.URL.Path, prefix) {
				next.ServeHTTP(w, r)
				return
			}
		}
		seen := &recorder{ResponseWriter: w, status: http.StatusOK}
		next.ServeHTTP(seen, r)
		if err := fits(doc, r, seen); err != nil {
			t.Errorf("%s %s answers %d %s: openapi.yaml: %v: %.500s", r.Method, r.URL.Path, seen.status, w.Header().Get("Content-Type"), err, seen.body.Bytes())
		}
	})
}

// most of a body is looked at.
const most = 1 << 20

// recorder remembers an answer as it passes.
type recorder struct {
	http.ResponseWriter
	status int
	body   bytes.Buffer
	cut    bool
}

func (w *recorder) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

func (w *recorder) Write(p []byte) (int, error) {
	if w.body.Len()+len(p) > most {
		w.cut = true
	} else {
		w.body.Write(p)
	}
	return w.ResponseWriter.Write(p)
}

// Unwrap is for http.ResponseController.
func (w *recorder) Unwrap() http.ResponseWriter { return w.ResponseWriter }

var parameter = regexp.MustCompile(`\\\{[^}]*\\\}`)

// operation finds what a request is.
func operation(doc *openapi3.T, r *http.Request) (*openapi3.Operation, error) {
	var found *openapi3.PathItem
	best := -1
	for template, item := range doc.Paths.Map() {
		pattern := "^" + parameter.ReplaceAllString(regexp.QuoteMeta(template), "[^/]+") + "$"
		if strings.HasSuffix(template, "/{path}") {
			pattern = "^" + parameter.ReplaceAllString(regexp.QuoteMeta(template), ".+") + "$"
		}
		// Of several the one with the most that is literal is meant, as net/http does.
		if ok, err := regexp.MatchString(pattern, r.URL.EscapedPath()); err == nil && ok && literal(template) > best {
			found, best = item, literal(template)
		}
	}
	if found == nil {
		return nil, fmt.Errorf("there is no such path")
	}
	op := found.GetOperation(r.Method)
	if op == nil {
		return nil, fmt.Errorf("the path has no %s", r.Method)
	}
	return op, nil
}

func literal(template string) int {
	return len(parameter.ReplaceAllString(regexp.QuoteMeta(template), ""))
}

func fits(doc *openapi3.T, r *http.Request, w *recorder) error {
	op, err := operation(doc, r)
	if err != nil {
		return err
	}
	response := op.Responses.Value(strconv.Itoa(w.status))
	if response == nil {
		return fmt.Errorf("%s has no answer %d", op.OperationID, w.status)
	}
	kind, _, err := mime.ParseMediaType(w.Header().Get("Content-Type"))
	if err != nil || w.body.Len() == 0 && !w.cut {
		return nil // there is nothing
	}
	content := response.Value.Content.Get(kind)
	if content == nil && (w.status < 300 || w.status >= 400) {
		return fmt.Errorf("%s, %d is not of the type %s", op.OperationID, w.status, kind)
	}
	if content == nil || content.Schema == nil || w.cut || !strings.HasSuffix(kind, "json") || strings.HasSuffix(kind, "ndjson") {
		return nil
	}
	var value any
	if err := json.Unmarshal(w.body.Bytes(), &value); err != nil {
		return err
	}
	return content.Schema.Value.VisitJSON(value, openapi3.VisitAsResponse())
}
