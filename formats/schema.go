package formats

import (
	"bytes"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"sync"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

//go:embed schemas/*.json
var schemaFiles embed.FS

// Schemas holds the JSON Schema (draft 2020-12) of each kind of body, as <kind>.json. An archive carries them.
func Schemas() fs.FS { return schemaFolder{} }

// schemaFolder is the embedded folder as a root.
type schemaFolder struct{}

const schemaDir = "schemas"

// Open implements [fs.FS].
func (schemaFolder) Open(name string) (fs.File, error) {
	if !fs.ValidPath(name) {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrInvalid}
	}
	if name == "." {
		return schemaFiles.Open(schemaDir)
	}
	return schemaFiles.Open(schemaDir + "/" + name)
}

// compiled holds what was compiled, by kind: compiling takes much longer than checking.
var compiled sync.Map // Kind → *jsonschema.Schema

// CheckBody holds the body of a record against the schema of its kind. The error wraps [ErrInvalid], and names the
// places that differ as JSON pointers.
func CheckBody(kind Kind, body json.RawMessage) error {
	schema, err := schemaOf(kind)
	if err != nil {
		return err
	}
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(body)) // numbers stay text
	if err != nil {
		return fmt.Errorf("%w: the body of a %s is not JSON: %v", ErrInvalid, kind, err)
	}
	if err := schema.Validate(value); err != nil {
		return fmt.Errorf("%w: the body of a %s: %s", ErrInvalid, kind, faults(err))
	}
	return nil
}

func schemaOf(kind Kind) (*jsonschema.Schema, error) {
	if s, ok := compiled.Load(kind); ok {
		return s.(*jsonschema.Schema), nil
	}
	text, err := fs.ReadFile(Schemas(), string(kind)+".json")
	if err != nil {
		return nil, fmt.Errorf("%w: there is no kind %q", ErrInvalid, kind)
	}
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		return nil, fmt.Errorf("schema %s: %w", kind, err)
	}
	name := string(kind) + ".json"
	compiler := jsonschema.NewCompiler()
	if err := compiler.AddResource(name, document); err != nil {
		return nil, fmt.Errorf("schema %s: %w", kind, err)
	}
	schema, err := compiler.Compile(name)
	if err != nil {
		return nil, fmt.Errorf("schema %s: %w", kind, err)
	}
	compiled.Store(kind, schema)
	return schema, nil
}

// faults says what differs in one line.
func faults(err error) string {
	var invalid *jsonschema.ValidationError
	if !errors.As(err, &invalid) {
		return err.Error()
	}
	var text []byte
	for _, unit := range invalid.BasicOutput().Errors {
		if unit.Error == nil || len(text) > 500 {
			continue
		}
		if len(text) > 0 {
			text = append(text, "; "...)
		}
		text = fmt.Appendf(text, "at %q %s", unit.InstanceLocation, unit.Error)
	}
	return string(text)
}
