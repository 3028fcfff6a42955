package formats

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
)

// Members holds those members of a JSON object that have no field in its Go type, by their exact name: vendor
// extensions ("example.com:colour"), members of a later standard, and members of the standard whose value has not the
// form the standard gives them or would be left out when encoded (null, "", false). So decoding and encoding an object
// loses nothing; whether it is right is for its schema to say, see [CheckBody].
type Members map[string]json.RawMessage

// Set is a JSContact and JSCalendar set: an object whose members are all true.
type Set map[string]bool

// SetOf returns the set of those elements.
func SetOf(elements ...string) Set {
	s := make(Set, len(elements))
	for _, e := range elements {
		s[e] = true
	}
	return s
}

// UnmarshalJSON refuses members that are not true, since a Set does not say them apart.
func (s *Set) UnmarshalJSON(data []byte) error {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(data, &members); err != nil {
		return err
	}
	set := make(Set, len(members))
	for name, value := range members {
		if string(value) != "true" {
			return fmt.Errorf("%w: %q of a set is not true", ErrInvalid, name)
		}
		set[name] = true
	}
	*s = set
	return nil
}

// Params are the parameters of a vCard or iCalendar property, by their name in lower case. In JSON one value is a
// string and several are an array of strings (RFC 7095 section 3.4, RFC 7265 section 3.5).
type Params map[string][]string

// MarshalJSON implements [json.Marshaler].
func (p Params) MarshalJSON() ([]byte, error) {
	members := make(map[string]any, len(p))
	for name, values := range p {
		members[name] = values
		if len(values) == 1 {
			members[name] = values[0]
		}
	}
	return MarshalBody(members)
}

// UnmarshalJSON implements [json.Unmarshaler]. Values that are neither strings nor arrays of them are refused.
func (p *Params) UnmarshalJSON(data []byte) error {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(data, &members); err != nil {
		return err
	}
	params := make(Params, len(members))
	for name, raw := range members {
		var values []string
		if bytes.HasPrefix(raw, []byte{'['}) {
			if err := json.Unmarshal(raw, &values); err != nil || len(values) < 2 {
				return fmt.Errorf("%w: parameter %q is neither a string nor an array of several strings", ErrInvalid, name)
			}
		} else {
			values = make([]string, 1)
			if err := json.Unmarshal(raw, &values[0]); err != nil {
				return fmt.Errorf("%w: parameter %q is neither a string nor an array of several strings", ErrInvalid, name)
			}
		}
		params[name] = values
	}
	*p = params
	return nil
}

// Property is a property of a vCard or of an iCalendar component in its JSON form: an array of name, parameters,
// value type and values (RFC 7095 section 3.3, RFC 7265 section 3.4). Values of the type "unknown" are the text as it
// stands in the file, escapes included.
type Property struct {
	Name   string // in lower case
	Params Params // the parameter "group" is the vCard group; VALUE is in Type
	Type   string
	Values []json.RawMessage
}

// MarshalJSON implements [json.Marshaler].
func (p Property) MarshalJSON() ([]byte, error) {
	params := p.Params
	if params == nil {
		params = Params{}
	}
	elements := []any{p.Name, params, p.Type}
	for _, v := range p.Values {
		elements = append(elements, v)
	}
	return MarshalBody(elements)
}

// UnmarshalJSON implements [json.Unmarshaler].
func (p *Property) UnmarshalJSON(data []byte) error {
	var elements []json.RawMessage
	if err := json.Unmarshal(data, &elements); err != nil {
		return err
	}
	if len(elements) < 4 {
		return fmt.Errorf("%w: a property is an array of its name, parameters, type and values", ErrInvalid)
	}
	for i, part := range []any{&p.Name, &p.Params, &p.Type} {
		if err := json.Unmarshal(elements[i], part); err != nil {
			return fmt.Errorf("%w: property: %v", ErrInvalid, err)
		}
	}
	p.Values = elements[3:]
	return nil
}

// marshalObject encodes the struct v as its methods MarshalJSON do: "@type" first if the type has a name, then the
// fields that are not empty, then the other members by name.
func marshalObject(typ string, v any, others Members) ([]byte, error) {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	add := func(name string, value any) error {
		buf.WriteByte(',')
		buf.Write(AppendString(nil, name))
		buf.WriteByte(':')
		err := enc.Encode(value)
		buf.Truncate(len(bytes.TrimRight(buf.Bytes(), "\n")))
		return err
	}
	if typ != "" && others["@type"] == nil {
		if err := add("@type", typ); err != nil {
			return nil, err
		}
	}
	written := map[string]bool{}
	for name, field := range objectFields(reflect.ValueOf(v)) {
		if empty(field) {
			continue
		}
		if err := add(name, field.Interface()); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		written[name] = true
	}
	for _, name := range slices.Sorted(maps.Keys(others)) {
		if written[name] {
			continue
		}
		if err := add(name, others[name]); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	if buf.Len() == 0 {
		return []byte("{}"), nil
	}
	out := append(buf.Bytes(), '}')
	out[0] = '{'
	return out, nil
}

// unmarshalObject decodes an object into the struct that v points to, and what has no place there into others.
func unmarshalObject(typ string, data []byte, v any, others *Members) error {
	var members Members
	if err := json.Unmarshal(data, &members); err != nil {
		return err
	}
	if members == nil {
		return fmt.Errorf("%w: null is not an object", ErrInvalid)
	}
	if typ != "" && string(members["@type"]) == `"`+typ+`"` {
		delete(members, "@type")
	}
	for name, field := range objectFields(reflect.ValueOf(v).Elem()) {
		raw, ok := members[name]
		if !ok {
			continue
		}
		value := reflect.New(field.Type())
		if string(raw) == "null" || json.Unmarshal(raw, value.Interface()) != nil || empty(value.Elem()) {
			continue
		}
		field.Set(value.Elem())
		delete(members, name)
	}
	*others = nil
	if len(members) > 0 {
		*others = members
	}
	return nil
}

// objectFields walks the fields of a struct that stand for members of its JSON object.
func objectFields(v reflect.Value) func(yield func(string, reflect.Value) bool) {
	return func(yield func(string, reflect.Value) bool) {
		for i := range v.NumField() {
			name, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("json"), ",")
			if name != "-" && !yield(name, v.Field(i)) {
				return
			}
		}
	}
}

func empty(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.Map, reflect.Slice:
		return v.Len() == 0
	default:
		return v.IsZero()
	}
}
