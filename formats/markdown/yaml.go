package markdown

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
	"unicode"

	"go.yaml.in/yaml/v3"

	"github.com/passerelle-cloud/passerelle/formats"
)

// Front matter beyond these bounds is not read as such: it is text of the note.
const (
	maxFront    = 1 << 20 // bytes
	maxUnfolded = 8 << 20 // bytes of its JSON, aliases written out
	maxDepth    = 64
)

var (
	errNone  = fmt.Errorf("%w: no front matter", formats.ErrInvalid)
	errBound = fmt.Errorf("%w: front matter beyond bounds", formats.ErrInvalid)
)

// split parts a text whose first line is the mark from what follows the next line that is the mark or the other one.
// Without such lines there is no front, and all is rest.
func split(text []byte, mark, other string) (front, rest []byte) {
	first, after := cutLine(text)
	if first != mark {
		return nil, text
	}
	for at := after; len(at) > 0 && len(text)-len(at) <= maxFront; {
		line, next := cutLine(at)
		if line == mark || line == other {
			return text[len(text)-len(after) : len(text)-len(at)], next
		}
		at = next
	}
	return nil, text
}

// cutLine returns the first line without its end and the blanks before that, and what follows it.
func cutLine(text []byte) (line string, rest []byte) {
	before, rest, _ := bytes.Cut(text, []byte("\n"))
	return strings.TrimRight(string(before), " \t\r"), rest
}

// parse returns the members of a YAML mapping. Scalars that are JSON numbers keep their digits; those that YAML alone
// knows (dates, 0x1F, .inf) become strings.
func parse(text []byte) (members []member, err error) {
	if len(bytes.TrimSpace(text)) == 0 {
		return nil, errNone
	}
	var document yaml.Node
	if err := unmarshal(text, &document); err != nil {
		return nil, err
	}
	if len(document.Content) != 1 || document.Content[0].Kind != yaml.MappingNode || document.Content[0].Tag != "!!map" {
		return nil, errNone
	}
	value, err := appendJSON(nil, document.Content[0], 0)
	if err != nil {
		return nil, err
	}
	return membersOf(value)
}

// unmarshal turns a panic of the YAML parser, which some broken texts have caused, into an error.
func unmarshal(text []byte, into *yaml.Node) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: YAML: %v", formats.ErrInvalid, p)
		}
	}()
	return yaml.Unmarshal(text, into)
}

// appendJSON appends a YAML node as JSON. It refuses what JSON cannot say: tags of one's own, and keys that are no
// scalars.
func appendJSON(dst []byte, n *yaml.Node, depth int) ([]byte, error) {
	if depth > maxDepth || len(dst) > maxUnfolded {
		return nil, errBound
	}
	switch n.Kind {
	case yaml.AliasNode:
		return appendJSON(dst, n.Alias, depth+1)
	case yaml.ScalarNode:
		return appendScalar(dst, n)
	case yaml.MappingNode, yaml.SequenceNode:
		if tag := n.ShortTag(); tag != "!!map" && tag != "!!seq" {
			return nil, fmt.Errorf("%w: JSON has no tag %q", formats.ErrInvalid, tag)
		}
		return appendCollection(dst, n, depth)
	}
	return nil, errNone
}

func appendCollection(dst []byte, n *yaml.Node, depth int) ([]byte, error) {
	opening, closing, step := byte('['), byte(']'), 1
	if n.Kind == yaml.MappingNode {
		opening, closing, step = '{', '}', 2
	}
	dst = append(dst, opening)
	for i := 0; i+step <= len(n.Content); i += step {
		if i > 0 {
			dst = append(dst, ',')
		}
		if step == 2 {
			if n.Content[i].Kind != yaml.ScalarNode {
				return nil, fmt.Errorf("%w: JSON has only texts as names of members", formats.ErrInvalid)
			}
			dst = append(formats.AppendString(dst, n.Content[i].Value), ':')
		}
		var err error
		if dst, err = appendJSON(dst, n.Content[i+step-1], depth+1); err != nil {
			return nil, err
		}
	}
	return append(dst, closing), nil
}

var jsonNumber = regexp.MustCompile(`^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?$`)

func appendScalar(dst []byte, n *yaml.Node) ([]byte, error) {
	switch tag := n.ShortTag(); tag {
	case "!!null":
		return append(dst, "null"...), nil
	case "!!bool":
		if b := strings.ToLower(n.Value); b == "true" || b == "false" {
			return append(dst, b...), nil
		}
	case "!!int", "!!float":
		if jsonNumber.MatchString(n.Value) {
			return append(dst, n.Value...), nil
		}
	case "!!str", "!!timestamp", "!!merge":
	default:
		return nil, fmt.Errorf("%w: JSON has no tag %q", formats.ErrInvalid, tag)
	}
	return formats.AppendString(dst, n.Value), nil
}

// membersOf returns the members of a JSON object in their order. It refuses an object that has a member twice, and
// everything else but nothing at all.
func membersOf(raw json.RawMessage) ([]member, error) {
	if len(raw) == 0 {
		return nil, nil
	}
	dec := json.NewDecoder(bytes.NewReader(raw))
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		return nil, errNone
	}
	var members []member
	seen := map[string]bool{}
	for dec.More() {
		t, err := dec.Token()
		name, ok := t.(string)
		if err != nil || !ok || seen[name] {
			return nil, fmt.Errorf("%w: member %q of the front matter", formats.ErrInvalid, name)
		}
		seen[name] = true
		m := member{name: name}
		if err := dec.Decode(&m.value); err != nil {
			return nil, fmt.Errorf("%w: member %q of the front matter: %v", formats.ErrInvalid, name, err)
		}
		members = append(members, m)
	}
	return members, nil
}

// object writes members as a JSON object; none are nothing at all.
func object(members []member) json.RawMessage {
	if len(members) == 0 {
		return nil
	}
	out := []byte{'{'}
	for i, m := range members {
		if i > 0 {
			out = append(out, ',')
		}
		out = append(formats.AppendString(out, m.name), ':')
		out = append(out, m.value...)
	}
	return append(out, '}')
}

// join writes a file. Members that are too deep for front matter are left to the patch.
func join(members []member, markdown string) ([]byte, error) {
	mapping := yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"}
	for _, m := range members {
		value, err := node(m.value)
		if errors.Is(err, errBound) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("%w: member %q of the front matter: %v", formats.ErrInvalid, m.name, err)
		}
		mapping.Content = append(mapping.Content, textNode(m.name), value)
	}
	var out bytes.Buffer
	out.WriteString("---\n")
	enc := yaml.NewEncoder(&out)
	enc.SetIndent(2)
	if err := errors.Join(enc.Encode(&mapping), enc.Close()); err != nil {
		return nil, fmt.Errorf("%w: front matter: %v", formats.ErrInvalid, err)
	}
	if out.Len() > maxFront {
		return nil, fmt.Errorf("%w: its front matter would have %d bytes, more than %d", formats.ErrInvalid, out.Len(), maxFront)
	}
	out.WriteString("---\n")
	out.WriteString(markdown)
	return out.Bytes(), nil
}

// node returns a JSON value as a YAML node.
func node(raw json.RawMessage) (*yaml.Node, error) {
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	n, err := nextNode(dec, 0)
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

func nextNode(dec *json.Decoder, depth int) (*yaml.Node, error) {
	if depth > maxDepth-2 {
		return nil, errBound
	}
	token, err := dec.Token()
	if err != nil {
		return nil, err
	}
	switch t := token.(type) {
	case json.Delim:
		n := &yaml.Node{Kind: yaml.SequenceNode, Tag: "!!seq"}
		if t == '{' {
			n = &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"}
		}
		return n, fill(n, dec, depth)
	case string:
		return textNode(t), nil
	case json.Number:
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: numberTag(t.String()), Value: t.String()}, nil
	case bool:
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!bool", Value: fmt.Sprint(t)}, nil
	}
	return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!null", Value: "null"}, nil
}

// fill adds what a collection holds, up to its end. A member that an object has twice is left to the patch.
func fill(n *yaml.Node, dec *json.Decoder, depth int) error {
	seen := map[string]bool{}
	for dec.More() {
		if n.Kind == yaml.MappingNode {
			t, err := dec.Token()
			if err != nil {
				return err
			}
			name, _ := t.(string)
			if seen[name] {
				return errBound
			}
			seen[name] = true
			n.Content = append(n.Content, textNode(name))
		}
		value, err := nextNode(dec, depth+1)
		if err != nil {
			return err
		}
		n.Content = append(n.Content, value)
	}
	_, err := dec.Token()
	return err
}

// numberTag returns the tag that YAML gives to these digits, if it is one of a number.
func numberTag(digits string) string {
	plain := yaml.Node{Kind: yaml.ScalarNode, Value: digits}
	if tag := plain.ShortTag(); tag == "!!int" || tag == "!!float" {
		return tag
	}
	return "!!float"
}

// ambiguous are texts that YAML 1.1 takes for a truth value or a number to the base of 60, and many programs still do.
var ambiguous = regexp.MustCompile(`^(?i:y|n|yes|no|on|off|[-+]?[0-9_]+(:[0-5]?[0-9])+(\.[0-9_]*)?)$`)

// textNode returns a text. Dates are left plain, since a text is what they are read as.
func textNode(s string) *yaml.Node {
	n := &yaml.Node{Kind: yaml.ScalarNode, Value: s}
	if n.ShortTag() != "!!timestamp" {
		n.Tag = "!!str"
	}
	if ambiguous.MatchString(s) || strings.ContainsFunc(s, needsEscape) {
		n.Tag, n.Style = "!!str", yaml.DoubleQuotedStyle
	}
	return n
}

// needsEscape reports whether a character would not survive everywhere in a plain or a literal scalar.
func needsEscape(c rune) bool {
	return unicode.IsControl(c) || c == '\ufeff' || c == '\u2028' || c == '\u2029'
}
