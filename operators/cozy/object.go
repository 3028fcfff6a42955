package cozy

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/passerelle-cloud/passerelle/formats"
)

// object is a JSON object whose members keep their order, their exact names and their bytes. The decoder of the
// standard library would match names without regard to case and lose the order.
type object struct {
	members []member
}

type member struct {
	key  json.RawMessage // the name as it is written, with quotes and escapes
	name string
	raw  json.RawMessage
}

// parseObject reads a JSON object in UTF-8. Its white space is dropped.
func parseObject(text []byte) (object, error) {
	var buf bytes.Buffer
	if err := json.Compact(&buf, text); err != nil {
		return object{}, fmt.Errorf("%w: not JSON: %v", formats.ErrInvalid, err)
	}
	b := buf.Bytes()
	if len(b) == 0 || b[0] != '{' {
		return object{}, fmt.Errorf("%w: not a JSON object", formats.ErrInvalid)
	}
	if !utf8.Valid(b) {
		return object{}, fmt.Errorf("%w: not UTF-8", formats.ErrInvalid)
	}
	return split(b)
}

// split cuts a compact and valid JSON object into its members.
func split(b []byte) (object, error) {
	var o object
	for i := 1; i < len(b) && b[i] != '}'; {
		if b[i] == ',' {
			i++
		}
		end := skipString(b, i)
		m := member{key: b[i:end:end]}
		if err := json.Unmarshal(m.key, &m.name); err != nil {
			return o, fmt.Errorf("%w: member name %s: %v", formats.ErrInvalid, m.key, err)
		}
		i = skipValue(b, end+1)
		m.raw = b[end+1 : i : i]
		o.members = append(o.members, m)
	}
	return o, nil
}

// skipString returns where the JSON string that begins at i ends.
func skipString(b []byte, i int) int {
	for i++; i < len(b) && b[i] != '"'; i++ {
		if b[i] == '\\' {
			i++
		}
	}
	return i + 1
}

// skipValue returns where the JSON value that begins at i ends.
func skipValue(b []byte, i int) int {
	depth := 0
	for i < len(b) {
		switch b[i] {
		case '"':
			i = skipString(b, i)
		case '{', '[':
			depth++
			i++
		case '}', ']':
			depth--
			i++
		default:
			for i < len(b) && strings.IndexByte(",:{}[]\"", b[i]) < 0 {
				i++
			}
		}
		if depth <= 0 {
			return i
		}
		for i < len(b) && (b[i] == ',' || b[i] == ':') {
			i++
		}
	}
	return i
}

// elements returns the elements of a JSON array, and nothing for any other value.
func elements(raw json.RawMessage) []json.RawMessage {
	var list []json.RawMessage
	if len(raw) == 0 || raw[0] != '[' || json.Unmarshal(raw, &list) != nil {
		return nil
	}
	return list
}

// find returns the index of a member, the last one where a name is repeated, or -1.
func (o object) find(name string) int {
	for i := len(o.members) - 1; i >= 0; i-- {
		if o.members[i].name == name {
			return i
		}
	}
	return -1
}

// get returns the value of a member, and nil where there is none or it is null.
func (o object) get(name string) json.RawMessage {
	if i := o.find(name); i >= 0 && string(o.members[i].raw) != "null" {
		return o.members[i].raw
	}
	return nil
}

// text returns a member that is a string, otherwise "".
func (o object) text(name string) string { return textOf(o.get(name)) }

func textOf(raw json.RawMessage) string {
	var s string
	if len(raw) == 0 || raw[0] != '"' || json.Unmarshal(raw, &s) != nil {
		return ""
	}
	return s
}

// is reports whether a member is true.
func (o object) is(name string) bool { return string(o.get(name)) == "true" }

// digits returns a number as it is written, also where it is inside a string; otherwise "".
func (o object) digits(name string) string {
	raw := o.get(name)
	if s := textOf(raw); s != "" {
		return s
	}
	if len(raw) > 0 && (raw[0] == '-' || raw[0] >= '0' && raw[0] <= '9') {
		return string(raw)
	}
	return ""
}

// object returns a member that is an object, otherwise an empty one.
func (o object) object(name string) object { return objectOf(o.get(name)) }

func objectOf(raw json.RawMessage) object {
	if len(raw) == 0 || raw[0] != '{' {
		return object{}
	}
	inner, err := split(raw)
	if err != nil {
		return object{}
	}
	return inner
}

// texts returns the strings of a member that is an array.
func (o object) texts(name string) []string {
	var list []string
	for _, raw := range elements(o.get(name)) {
		if s := textOf(raw); s != "" {
			list = append(list, s)
		}
	}
	return list
}

// set gives a member a value; nil removes it.
func (o *object) set(name string, raw json.RawMessage) {
	i := o.find(name)
	switch {
	case raw == nil:
		o.remove(name)
	case i >= 0:
		o.members[i].raw = raw
	default:
		o.members = append(o.members, member{key: formats.AppendString(nil, name), name: name, raw: raw})
	}
}

// setText gives a member a string; "" removes it.
func (o *object) setText(name, value string) {
	switch {
	case value == "":
		o.remove(name)
	case o.text(name) != value:
		o.set(name, formats.AppendString(nil, value))
	}
}

// setBool gives a member a truth value; a false one that is absent stays absent.
func (o *object) setBool(name string, value bool) {
	switch {
	case value:
		o.set(name, json.RawMessage("true"))
	case o.get(name) != nil:
		o.set(name, json.RawMessage("false"))
	}
}

// setTexts gives a member an array of strings; none removes it.
func (o *object) setTexts(name string, values []string) {
	if len(values) == 0 {
		o.remove(name)
		return
	}
	raw := []byte{'['}
	for i, v := range values {
		if i > 0 {
			raw = append(raw, ',')
		}
		raw = formats.AppendString(raw, v)
	}
	o.set(name, append(raw, ']'))
}

// setObject gives a member an object; an empty one removes it.
func (o *object) setObject(name string, value object) {
	if len(value.members) == 0 {
		o.remove(name)
		return
	}
	o.set(name, value.bytes())
}

// remove takes out every member of that name. The array of members is made anew, since others may share it.
func (o *object) remove(name string) {
	if o.find(name) < 0 {
		return
	}
	kept := make([]member, 0, len(o.members))
	for _, m := range o.members {
		if m.name != name {
			kept = append(kept, m)
		}
	}
	o.members = kept
}

// clone returns an object that can be changed without changing o.
func (o object) clone() object {
	return object{members: append([]member(nil), o.members...)}
}

// bytes writes the object.
func (o object) bytes() json.RawMessage {
	b := []byte{'{'}
	for i, m := range o.members {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, m.key...)
		b = append(b, ':')
		b = append(b, m.raw...)
	}
	return append(b, '}')
}
