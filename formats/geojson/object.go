package geojson

import (
	"bytes"
	"encoding/json"
	"io"
	"slices"
	"strings"

	"github.com/passerelle-cloud/passerelle/formats"
)

// object is a JSON object whose members keep their order and their bytes; one may be there twice.
type object []member

type member struct {
	key   json.RawMessage // as it is written, quotes included
	name  string
	value json.RawMessage
}

func newMember(name string, value json.RawMessage) member {
	return member{key: formats.AppendString(nil, name), name: name, value: value}
}

// parseObject reads a JSON object; other values, and texts that are no JSON, are none.
func parseObject(raw json.RawMessage) (object, bool) {
	dec := json.NewDecoder(bytes.NewReader(raw))
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		return nil, false
	}
	o := object{}
	for dec.More() {
		from := dec.InputOffset()
		t, err := dec.Token()
		name, ok := t.(string)
		if err != nil || !ok {
			return nil, false
		}
		m := member{name: name, key: bytes.TrimLeft(raw[from:dec.InputOffset()], ", \t\r\n")}
		if dec.Decode(&m.value) != nil {
			return nil, false
		}
		o = append(o, m)
	}
	_, err := dec.Token()
	return o, err == nil
}

func (o object) bytes() json.RawMessage {
	out := []byte{'{'}
	for i, m := range o {
		if i > 0 {
			out = append(out, ',')
		}
		out = append(append(append(out, m.key...), ':'), m.value...)
	}
	return append(out, '}')
}

// index returns where the first member of that name is, or -1.
func (o object) index(name string) int {
	return slices.IndexFunc(o, func(m member) bool { return m.name == name })
}

// typ returns the GeoJSON type, or "".
func (o object) typ() string {
	var typ string
	if i := o.index("type"); i >= 0 && json.Unmarshal(o[i].value, &typ) != nil {
		return ""
	}
	return typ
}

// escaped returns the object with those members renamed that could be taken for ours.
func (o object) escaped() object {
	out := slices.Clone(o)
	for i, m := range out {
		if strings.HasPrefix(m.name, prefix) {
			out[i].name, out[i].key = prefix+m.name, append([]byte(`"`+prefix), m.key[1:]...)
		}
	}
	return out
}

// unescaped undoes escaped.
func (o object) unescaped() object {
	for i, m := range o {
		if strings.HasPrefix(m.name, prefix+prefix) && bytes.HasPrefix(m.key, []byte(`"`+prefix)) {
			o[i].name, o[i].key = m.name[len(prefix):], append([]byte(`"`), m.key[1+len(prefix):]...)
		}
	}
	return o
}

// without returns the object without its ith member.
func (o object) without(i int) object { return slices.Delete(o, i, i+1) }

// elementsOf returns the elements of a JSON array.
func elementsOf(raw json.RawMessage) ([]json.RawMessage, bool) {
	var elements []json.RawMessage
	if !bytes.HasPrefix(raw, []byte("[")) || json.Unmarshal(raw, &elements) != nil {
		return nil, false
	}
	return elements, true
}

func joined(elements []json.RawMessage) json.RawMessage {
	return slices.Concat([]byte("["), bytes.Join(rawBytes(elements), []byte(",")), []byte("]"))
}

func rawBytes(elements []json.RawMessage) [][]byte {
	out := make([][]byte, len(elements))
	for i, e := range elements {
		out[i] = e
	}
	return out
}

func compact(raw json.RawMessage) (json.RawMessage, error) {
	var buf bytes.Buffer
	err := json.Compact(&buf, raw)
	return buf.Bytes(), err
}

// depthOf returns how deep the brackets of a JSON text nest.
func depthOf(raw json.RawMessage) int {
	depth, deepest, quoted := 0, 0, false
	for i := 0; i < len(raw); i++ {
		switch c := raw[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{' || c == '[':
			depth++
			deepest = max(deepest, depth)
		case c == '}' || c == ']':
			depth--
		}
	}
	return deepest
}

// meter is a reader that refuses to give more than maxItem bytes for one value.
type meter struct {
	in   io.Reader
	read int64
	mark int64 // where the value began
}

func (m *meter) Read(p []byte) (int, error) {
	if m.read-m.mark > maxItem {
		return 0, errTooLong
	}
	n, err := m.in.Read(p)
	m.read += int64(n)
	return n, err
}
