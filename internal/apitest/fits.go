package apitest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"mime"
	"net/http"
	"slices"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
)

// described finds what openapi.yaml says about a request. Paths are matched as the gateway matches them.
type described struct {
	doc        *openapi3.T
	mux        *http.ServeMux
	operations map[string]*openapi3.Operation // by pattern
}

func describe(doc *openapi3.T) *described {
	d := &described{doc: doc, mux: http.NewServeMux(), operations: map[string]*openapi3.Operation{}}
	for path, item := range doc.Paths.Map() {
		for method, operation := range item.Operations() {
			pattern := method + " " + path
			if slashes(operation) {
				pattern = strings.TrimSuffix(pattern, "}") + "...}"
			}
			if path == "/" {
				pattern += "{$}" // and nothing below it
			}
			d.mux.HandleFunc(pattern, http.NotFound)
			d.operations[pattern] = operation
		}
	}
	return d
}

// slashes reports whether the last parameter of a path may have some, for which OpenAPI has no word.
func slashes(o *openapi3.Operation) bool {
	return slices.ContainsFunc(o.Parameters, func(p *openapi3.ParameterRef) bool { return p.Value.Extensions["x-slashes"] == true })
}

// fits says what is wrong with an answer.
func (d *described) fits(r *http.Request, a *answer) error {
	if a.status == 0 {
		if !a.whole {
			return nil // nothing was sent
		}
		a.begin(http.StatusOK, http.Header{})
	}
	_, pattern := d.mux.Handler(r)
	operation := d.operations[pattern]
	if operation == nil {
		if a.status == http.StatusNotFound || a.status == http.StatusMethodNotAllowed {
			return nil
		}
		return errors.New("the request is not described")
	}
	response := operation.Responses.Status(a.status)
	if response == nil {
		return fmt.Errorf("%s has no such status", operation.OperationID)
	}
	if err := d.headers(r, a, operation, response.Value); err != nil {
		return err
	}
	if r.Method == http.MethodHead || !a.whole {
		return nil
	}
	return d.body(r, a, operation, response.Value)
}

// headers holds the headers against the description.
func (d *described) headers(r *http.Request, a *answer, operation *openapi3.Operation, response *openapi3.Response) error {
	for _, name := range slices.Sorted(maps.Keys(response.Headers)) {
		if response.Headers[name].Value.Required && len(a.header.Values(name)) == 0 {
			return fmt.Errorf("the header %s is missing", name)
		}
	}
	return d.validate(r, a, operation, nil)
}

// validate lets kin-openapi look at an answer, and at its body if there is one.
func (d *described) validate(r *http.Request, a *answer, operation *openapi3.Operation, body []byte) error {
	return openapi3filter.ValidateResponse(r.Context(), &openapi3filter.ResponseValidationInput{
		RequestValidationInput: &openapi3filter.RequestValidationInput{Request: r, Route: &routers.Route{Spec: d.doc, Operation: operation}},
		Status:                 a.status, Header: a.header, Body: io.NopCloser(bytes.NewReader(body)),
		Options: &openapi3filter.Options{IncludeResponseStatus: true, ExcludeResponseBody: body == nil},
	})
}

// body holds the media type against the description, and JSON against its schema.
func (d *described) body(r *http.Request, a *answer, operation *openapi3.Operation, response *openapi3.Response) error {
	kind := a.kind()
	if kind == "" {
		if len(response.Content) > 0 && a.status/100 != 3 {
			return errors.New("there is no body")
		}
		return nil
	}
	content := response.Content.Get(kind)
	switch base, _, _ := mime.ParseMediaType(kind); {
	case content == nil && a.body.Len() == 0 && len(response.Content) == 0:
		return nil
	case content == nil:
		return fmt.Errorf("%s, %d is not described as %s", operation.OperationID, a.status, kind)
	case content.Schema == nil:
		return nil
	case base == "application/x-ndjson":
		return lines(a, content.Schema)
	case (base == "application/json" || strings.HasSuffix(base, "+json")) && !a.longer:
		return d.validate(r, a, operation, append([]byte{}, a.body.Bytes()...)) // not nil
	}
	return nil
}

// lines holds each line against a schema, apart from one that was cut off.
func lines(a *answer, schema *openapi3.SchemaRef) error {
	text := a.body.Bytes()
	end := bytes.LastIndexByte(text, '\n') + 1
	if end < len(text) && !a.longer {
		return errors.New("the last line does not end")
	}
	list := []any{}
	for line := range bytes.Lines(text[:end]) {
		var value any
		if err := json.Unmarshal(line, &value); err != nil {
			return fmt.Errorf("line %d: %w", len(list)+1, err)
		}
		list = append(list, value)
	}
	all := openapi3.NewArraySchema()
	all.Items = schema
	return all.VisitJSON(list, openapi3.EnableJSONSchema2020(), openapi3.VisitAsResponse())
}
