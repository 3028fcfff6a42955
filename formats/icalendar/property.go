package icalendar

import (
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/passerelle-cloud/passerelle/formats"
)

// property is one content line, unfolded (RFC 5545 section 3.1). Its value stands as in the file, escapes included.
type property struct {
	name   string // in upper case
	params formats.Params
	value  string
}

var token = regexp.MustCompile(`^[A-Za-z0-9-]+$`)

// parseProperty parses an unfolded line. It returns false for a line that is none, such as the rest of a text whose
// line break was not escaped.
func parseProperty(line string) (property, bool) {
	head, value, ok := cutUnquoted(line, ':')
	if !ok {
		return property{}, false
	}
	name, rest, _ := cutUnquoted(head, ';')
	if !token.MatchString(name) {
		return property{}, false
	}
	p := property{name: strings.ToUpper(name), params: formats.Params{}, value: value}
	for rest != "" {
		var param string
		param, rest, _ = cutUnquoted(rest, ';')
		p.addParam(param)
	}
	return p, true
}

// addParam adds a parameter as it stands in a line. What is none is left out.
func (p *property) addParam(param string) {
	name, values, ok := strings.Cut(param, "=")
	name = strings.ToLower(strings.TrimSpace(name))
	if !ok || !token.MatchString(name) {
		return
	}
	for more := true; more; {
		var v string
		v, values, more = cutUnquoted(values, ',')
		v = strings.ReplaceAll(v, `"`, "")
		p.params[name] = append(p.params[name], paramUnescaper.Replace(v))
	}
}

// weight counts the values of parameters, and those of a list.
func (p *property) weight() int {
	n := 0
	switch p.name {
	case "RDATE", "EXDATE", "RRULE", "EXRULE", "CATEGORIES":
		n = strings.Count(p.value, ",")
	}
	for _, values := range p.params {
		n += len(values)
	}
	return n
}

// cutUnquoted cuts s at the first sep that is not between double quotes. Where quotes do not close, they count for
// nothing.
func cutUnquoted(s string, sep byte) (before, after string, found bool) {
	quoted := false
	for i := range len(s) {
		switch {
		case s[i] == '"':
			quoted = !quoted
		case s[i] == sep && !quoted:
			return s[:i], s[i+1:], true
		}
	}
	if quoted {
		return strings.Cut(s, string(sep))
	}
	return s, "", false
}

// Carets escape in parameter values (RFC 6868).
var (
	paramUnescaper = strings.NewReplacer("^^", "^", "^n", "\n", "^N", "\n", "^'", `"`)
	paramEscaper   = strings.NewReplacer("^", "^^", "\n", "^n", `"`, "^'")
)

// line returns the content line, unfolded.
func (p *property) line() string {
	var b strings.Builder
	b.WriteString(p.name)
	for _, name := range slices.Sorted(maps.Keys(p.params)) {
		b.WriteString(";" + strings.ToUpper(name) + "=")
		for i, v := range p.params[name] {
			if i > 0 {
				b.WriteByte(',')
			}
			if v = printable(paramEscaper.Replace(v)); strings.ContainsAny(v, ",;:") || v != strings.TrimSpace(v) {
				v = `"` + v + `"`
			}
			b.WriteString(v)
		}
	}
	b.WriteByte(':')
	b.WriteString(printable(strings.ReplaceAll(p.value, "\n", `\n`)))
	return b.String()
}

// printable drops the control characters that no line may have. Where they matter, a JSPROP says so.
func printable(s string) string {
	return strings.Map(func(c rune) rune {
		if c < ' ' && c != '\t' || c == 0x7f {
			return -1
		}
		return c
	}, s)
}

// writable reports whether p can stand in a component as it is. What cannot is carried as JSON.
func (p *property) writable() bool {
	switch p.name {
	case "BEGIN", "END", jsProp, ownID, ownLink, ownCreated, ownModified:
		return false
	}
	for name, values := range p.params {
		if !token.MatchString(name) || len(values) == 0 {
			return false
		}
	}
	return token.MatchString(p.name)
}

// take removes a parameter of one value and returns it.
func (p *property) take(name string) string {
	values := p.params[name]
	if len(values) != 1 {
		return ""
	}
	delete(p.params, name)
	return values[0]
}

func (p *property) param(name string) string {
	if len(p.params[name]) == 0 {
		return ""
	}
	return p.params[name][0]
}

func (p *property) set(name string, values ...string) *property {
	if len(values) > 0 && values[0] != "" {
		p.params[name] = values
	}
	return p
}

// clone returns a copy whose parameters can be taken.
func (p *property) clone() property {
	c := *p
	c.params = maps.Clone(p.params)
	return c
}

var (
	textEscaper   = strings.NewReplacer(`\`, `\\`, "\r\n", `\n`, "\n", `\n`, ",", `\,`, ";", `\;`)
	textUnescaper = strings.NewReplacer(`\\`, `\`, `\n`, "\n", `\N`, "\n", `\,`, ",", `\;`, ";", `\:`, ":", `\"`, `"`)
)

// escape returns s as a text value (RFC 5545 section 3.3.11).
func escape(s string) string { return textEscaper.Replace(s) }

// unescape returns the text of a text value, also of one with the needless escapes that some writers put.
func unescape(s string) string { return textUnescaper.Replace(s) }

// split parts a value at separators that are not escaped, and leaves the escapes.
func split(s string, sep byte) []string {
	var parts []string
	start := 0
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case sep:
			parts = append(parts, s[start:i])
			start = i + 1
		}
	}
	return append(parts, s[start:])
}

// texts unescapes the parts of a list and drops empty ones.
func texts(list string) []string {
	var out []string
	for _, part := range split(list, ',') {
		if t := unescape(part); t != "" {
			out = append(out, t)
		}
	}
	return out
}

// joinTexts is the reverse of texts.
func joinTexts(values []string) string {
	escaped := make([]string, len(values))
	for i, v := range values {
		escaped[i] = escape(v)
	}
	return strings.Join(escaped, ",")
}
