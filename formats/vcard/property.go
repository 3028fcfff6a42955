package vcard

import (
	"encoding/json"
	"maps"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/passerelle-cloud/passerelle/formats"
)

// property is one content line of a vCard, unfolded (RFC 6350 section 3.3). Its value has the escapes of vCard 4.
type property struct {
	group  string
	name   string // in upper case
	params formats.Params
	value  string
}

var (
	token     = regexp.MustCompile(`^[A-Za-z0-9-]+$`)
	groupName = regexp.MustCompile(`^[A-Za-z0-9_-]+$`) // some writers use the underscore
	uriForm   = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9+.-]*:[^\s]*$`)
)

// parseProperty parses an unfolded line. It returns false for a line that is none, such as the rest of a text whose
// line break was not escaped.
func parseProperty(line string) (property, bool) {
	head, value, ok := cutUnquoted(line, ':')
	if !ok {
		return property{}, false
	}
	name, rest, _ := cutUnquoted(head, ';')
	p := property{params: formats.Params{}, value: value}
	if group, bare, ok := strings.Cut(name, "."); ok {
		p.group, name = group, bare
	}
	if !token.MatchString(name) || p.group != "" && !groupName.MatchString(p.group) {
		return property{}, false
	}
	p.name = strings.ToUpper(name)
	for rest != "" {
		var param string
		param, rest, _ = cutUnquoted(rest, ';')
		p.addParam(param)
	}
	return p, true
}

// addParam adds a parameter as it stands in a line. A name without a value is a type or an encoding: vCard 2.1.
func (p *property) addParam(param string) {
	name, values, ok := strings.Cut(param, "=")
	if !ok {
		name, values = bareParam(param), param
	}
	name = strings.ToLower(strings.TrimSpace(name))
	if !token.MatchString(name) {
		return
	}
	for more := true; more; {
		var v string
		v, values, more = cutUnquoted(values, ',')
		v = strings.Trim(strings.TrimSpace(v), `"`)
		// TYPE="work,voice" is what RFC 6350 itself writes in an example, and means two types.
		if name == "type" && strings.Contains(v, ",") {
			p.params[name] = append(p.params[name], strings.Split(v, ",")...)
			continue
		}
		p.params[name] = append(p.params[name], paramUnescaper.Replace(v))
	}
}

func bareParam(param string) string {
	switch strings.ToUpper(param) {
	case "QUOTED-PRINTABLE", "BASE64", "8BIT", "7BIT", "B":
		return "encoding"
	case "INLINE", "URL", "CONTENT-ID", "CID":
		return "value"
	}
	return "type"
}

// cutUnquoted cuts s at the first sep that is not between double quotes. Where quotes do not close, they count for
// nothing.
func cutUnquoted(s string, sep byte) (before, after string, found bool) {
	if at := unquoted(s, sep); at >= 0 {
		return s[:at], s[at+1:], true
	}
	if strings.Count(s, `"`)%2 != 0 {
		return strings.Cut(s, string(sep))
	}
	return s, "", false
}

// unquoted returns where the first sep is that is not between double quotes, or -1.
func unquoted(s string, sep byte) int {
	quoted := false
	for i := range len(s) {
		switch {
		case s[i] == '"':
			quoted = !quoted
		case s[i] == sep && !quoted:
			return i
		}
	}
	return -1
}

// Carets escape in parameter values (RFC 6868).
var (
	paramUnescaper = strings.NewReplacer("^^", "^", "^n", "\n", "^N", "\n", "^'", `"`)
	paramEscaper   = strings.NewReplacer("^", "^^", "\n", "^n", `"`, "^'")
)

// line returns the content line, unfolded.
func (p *property) line() string {
	var b strings.Builder
	if p.group != "" {
		b.WriteString(p.group + ".")
	}
	b.WriteString(p.name)
	for _, name := range slices.Sorted(maps.Keys(p.params)) {
		b.WriteString(";" + strings.ToUpper(name) + "=")
		for i, v := range p.params[name] {
			if i > 0 {
				b.WriteByte(',')
			}
			if v = paramEscaper.Replace(v); strings.ContainsAny(v, ",;:") || v != strings.TrimSpace(v) {
				v = `"` + v + `"`
			}
			b.WriteString(v)
		}
	}
	b.WriteByte(':')
	b.WriteString(strings.ReplaceAll(p.value, "\n", `\n`))
	return b.String()
}

// framing reports whether a parameter changes how a value is read, or who says it. Only the codec writes those.
func framing(param string) bool {
	return strings.EqualFold(param, "encoding") || strings.EqualFold(param, "charset") || strings.EqualFold(param, ownBy)
}

// writable reports whether p can stand in a card as it is. What cannot is carried as JSON, see [book.missing].
func (p *property) writable() bool {
	switch p.name {
	case "BEGIN", "END", "VERSION", jsProp, ownID, ownLink, ownCreated, ownModified:
		return false
	}
	for name, values := range p.params {
		if !token.MatchString(name) || framing(name) || len(values) == 0 {
			return false
		}
	}
	return token.MatchString(p.name) && (p.group == "" || groupName.MatchString(p.group))
}

// take removes a parameter and returns its first value.
func (p *property) take(name string) string {
	values := p.params[name]
	delete(p.params, name)
	if len(values) == 0 {
		return ""
	}
	return values[0]
}

func (p *property) param(name string) string {
	if len(p.params[name]) == 0 {
		return ""
	}
	return p.params[name][0]
}

func (p *property) set(name string, values ...string) {
	if len(values) > 0 && values[0] != "" {
		p.params[name] = values
	}
}

// clone returns a copy whose parameters can be taken.
func (p *property) clone() property {
	c := *p
	c.params = maps.Clone(p.params)
	return c
}

var (
	textEscaper   = strings.NewReplacer(`\`, `\\`, "\n", `\n`, ",", `\,`, ";", `\;`)
	textUnescaper = strings.NewReplacer(`\\`, `\`, `\n`, "\n", `\N`, "\n", `\,`, ",", `\;`, ";", `\:`, ":", `\"`, `"`)
	uriUnescaper  = strings.NewReplacer(`\:`, ":", `\,`, ",", `\;`, ";")
)

// escape returns s as a text value (RFC 6350 section 3.4).
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

// valueTypes are the value types of the registered properties that are not text.
var valueTypes = map[string]string{
	"SOURCE": "uri", "BDAY": "date-and-or-time", "ANNIVERSARY": "date-and-or-time", "DEATHDATE": "date-and-or-time",
	"PHOTO": "uri", "LOGO": "uri", "SOUND": "uri", "IMPP": "uri", "GEO": "uri", "MEMBER": "uri", "RELATED": "uri",
	"UID": "uri", "URL": "uri", "KEY": "uri", "FBURL": "uri", "CALADRURI": "uri", "CALURI": "uri", "REV": "timestamp",
	"CREATED": "timestamp", "CONTACT-URI": "uri", "ORG-DIRECTORY": "uri", "SOCIALPROFILE": "uri", "LANG": "language-tag",
	"LANGUAGE": "language-tag",
}

var textTypes = map[string]bool{
	"FN": true, "N": true, "NICKNAME": true, "GENDER": true, "ADR": true, "TEL": true, "EMAIL": true, "TZ": true,
	"TITLE": true, "ROLE": true, "ORG": true, "CATEGORIES": true, "NOTE": true, "PRODID": true, "XML": true,
	"CLIENTPIDMAP": true, "KIND": true, "EXPERTISE": true, "HOBBY": true, "INTEREST": true, "BIRTHPLACE": true,
	"DEATHPLACE": true, "LABEL": true, "AGENT": true, "MAILER": true, "CLASS": true, "NAME": true, "PROFILE": true,
	"SORT-STRING": true, "PRONOUNS": true, "GRAMGENDER": true,
}

// valueType returns the type of the value: what VALUE says, else what the property has by default (RFC 7095
// section 3.5).
func (p *property) valueType() string {
	switch t := valueTypes[p.name]; {
	case p.param("value") != "":
		return strings.ToLower(p.param("value"))
	case t != "":
		return t
	case textTypes[p.name]:
		return "text"
	}
	return "unknown"
}

// json returns the property in jCard form, for the member vCardProps of a card.
func (p *property) json() formats.Property {
	out := formats.Property{Name: strings.ToLower(p.name), Params: maps.Clone(p.params), Type: p.valueType()}
	delete(out.Params, "value")
	if p.group != "" {
		out.Params["group"] = []string{p.group}
	}
	if out.Type != "text" {
		out.Values = []json.RawMessage{jsonString(p.value)}
		return out
	}
	if parts := split(p.value, ';'); len(parts) > 1 {
		var all []json.RawMessage
		for _, part := range parts {
			all = append(all, jsonTexts(split(part, ',')))
		}
		out.Values = []json.RawMessage{jsonArray(all)}
		return out
	}
	for _, part := range split(p.value, ',') {
		out.Values = append(out.Values, jsonString(unescape(part)))
	}
	return out
}

// fromJSON is the reverse of json. It returns false for what no line can say.
func fromJSON(j formats.Property) (property, bool) {
	p := property{name: strings.ToUpper(j.Name), params: formats.Params{}}
	maps.Copy(p.params, j.Params)
	p.group = p.take("group")
	if j.Type != p.valueType() {
		p.params["value"] = []string{j.Type}
	}
	var values []string
	for _, raw := range j.Values {
		v, ok := lineValue(raw, j.Type)
		if !ok {
			return p, false
		}
		values = append(values, v)
	}
	p.value = strings.Join(values, ",")
	return p, p.writable() && utf8.ValidString(p.value)
}

func lineValue(raw json.RawMessage, typ string) (string, bool) {
	var s string
	if json.Unmarshal(raw, &s) == nil {
		if typ == "text" {
			s = escape(s)
		}
		return s, true
	}
	var parts []json.RawMessage
	if json.Unmarshal(raw, &parts) != nil {
		return "", false
	}
	values := make([]string, len(parts))
	for i, part := range parts {
		var list []string
		if json.Unmarshal(part, &list) != nil {
			list = make([]string, 1)
			if json.Unmarshal(part, &list[0]) != nil {
				return "", false
			}
		}
		values[i] = joinTexts(list)
	}
	return strings.Join(values, ";"), true
}

func jsonString(s string) json.RawMessage { return formats.AppendString(nil, s) }

func jsonArray(values []json.RawMessage) json.RawMessage {
	out := []byte{'['}
	for i, v := range values {
		if i > 0 {
			out = append(out, ',')
		}
		out = append(out, v...)
	}
	return append(out, ']')
}

func jsonTexts(parts []string) json.RawMessage {
	values := make([]json.RawMessage, len(parts))
	for i, part := range parts {
		values[i] = jsonString(unescape(part))
	}
	if len(values) == 1 {
		return values[0]
	}
	return jsonArray(values)
}
