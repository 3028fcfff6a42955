package main

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
)

// configFile reads --config: one JSON object whose members have the names of flags, without the dashes before them. A
// flag of another command than the one that is run is allowed; a name that no command has is not.
func configFile(r io.Reader) (kong.Resolver, error) {
	values := map[string]any{}
	dec := json.NewDecoder(r)
	dec.UseNumber()
	if err := dec.Decode(&values); err != nil {
		return nil, fmt.Errorf("the configuration is not a JSON object: %w", err)
	}
	if _, err := dec.Token(); err != io.EOF {
		return nil, fmt.Errorf("something follows the configuration's JSON object")
	}
	return configured(values), nil
}

// configured are values by the names of flags.
type configured map[string]any

// Validate implements [kong.Resolver].
func (c configured) Validate(app *kong.Application) error {
	known := map[string]bool{}
	_ = kong.Visit(app, func(node kong.Visitable, next kong.Next) error {
		if flag, ok := node.(*kong.Flag); ok {
			known[flag.Name] = true
		}
		return next(nil)
	})
	var unknown []string
	for name := range maps.Keys(c) {
		if !known[name] || name == "config" || name == "help" {
			unknown = append(unknown, name)
		}
	}
	if len(unknown) == 0 {
		return nil
	}
	slices.Sort(unknown)
	return fmt.Errorf("the configuration has members that are no flags: %s", strings.Join(unknown, ", "))
}

// Resolve implements [kong.Resolver].
func (c configured) Resolve(_ *kong.Context, _ *kong.Path, flag *kong.Flag) (any, error) {
	switch v := c[flag.Name].(type) {
	case nil:
		return nil, nil
	case json.Number:
		return v.String(), nil
	case string, bool, []any:
		return v, nil
	default:
		return nil, fmt.Errorf("the configuration's %q is neither a text, a number, a truth value nor a list", flag.Name)
	}
}
