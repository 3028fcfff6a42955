package vcard

import (
	"encoding/base64"
	"io"
	"mime/quotedprintable"
	"strconv"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/htmlindex"

	"github.com/passerelle-cloud/passerelle/formats"
)

// modern turns the properties of a card of any version into those that vCard 4 would use for the same. It is the list
// of what reading normalises:
//
//   - quoted-printable, CHARSET and bytes that are not UTF-8 (taken for Windows-1252) become UTF-8
//   - base64 becomes a "data:" URI, its media type that of TYPE or of the first bytes
//   - needless escapes go, missing ones come; types without TYPE= get it; TYPE=pref becomes PREF=1
//   - TYPE=internet of EMAIL goes, since that is what an address is
//   - LABEL joins the ADR with the same types, X-ABLabel the property of the same group
//   - GEO becomes a "geo:" URI
//   - names that programs gave to what vCard 4 has a name for become that name, see aliases
func modern(c rawCard) []property {
	var out []property
	for _, p := range c.properties {
		p.decodeValue(c.version)
		p.decodeTypes()
		p.rename()
		if p.name == "LABEL" && c.version != "4.0" && joinLabel(out, p) {
			continue
		}
		out = append(out, p)
	}
	return dropAppleLabels(out)
}

// decodeValue undoes the encodings of vCard 2.1 and 3.0, so that the value has the escapes of vCard 4.
func (p *property) decodeValue(version string) {
	encoding, charset := strings.ToUpper(p.param("encoding")), p.param("charset")
	binary := isBase64(p)
	if binary || encoding == "QUOTED-PRINTABLE" || strings.HasSuffix(encoding, "BIT") {
		delete(p.params, "encoding")
	}
	delete(p.params, "charset")
	switch {
	case binary:
		p.value = p.dataURI()
		p.params["value"] = []string{"uri"}
		return
	case encoding == "QUOTED-PRINTABLE":
		p.value = textOf(unquote(p.value), charset)
	default:
		p.value = textOf(p.value, charset)
	}
	for _, values := range p.params {
		for i := range values {
			values[i] = textOf(values[i], charset)
		}
	}
	if version == "2.1" {
		p.escape21()
	}
	switch typ := strings.ToLower(p.param("value")); {
	case typ == "url" || typ == "uri":
		p.params["value"] = []string{"uri"}
		p.value = uriUnescaper.Replace(p.value)
	case p.valueType() == "uri":
		p.value = uriUnescaper.Replace(p.value)
	}
}

// escape21 escapes what vCard 2.1 leaves as it is: commas and line breaks mean nothing there, and only a semicolon has
// a backslash before it.
func (p *property) escape21() {
	p.value = strings.ReplaceAll(p.value, "\r\n", "\n")
	if p.valueType() != "text" {
		return
	}
	fields := split(p.value, ';')
	switch p.name {
	case "N", "ADR", "ORG", "GENDER":
	case "CATEGORIES", "NICKNAME":
		return
	default:
		fields = []string{p.value}
	}
	for i, f := range fields {
		fields[i] = escape(unescape21.Replace(f))
	}
	p.value = strings.Join(fields, ";")
}

var unescape21 = strings.NewReplacer(`\;`, ";", `\,`, ",", `\:`, ":")

// unquote decodes quoted-printable. What is not quoted-printable stays as it is.
func unquote(s string) string {
	b, err := io.ReadAll(quotedprintable.NewReader(strings.NewReader(s)))
	if err != nil {
		return s
	}
	return string(b)
}

// textOf decodes text in a named character set to UTF-8.
func textOf(s, charset string) string {
	if charset != "" && !strings.EqualFold(charset, "utf-8") {
		if enc, err := htmlindex.Get(charset); err == nil {
			if t, err := enc.NewDecoder().String(s); err == nil {
				return t
			}
		}
	}
	return validUTF8(s)
}

// validUTF8 takes the bytes that are not UTF-8 for Windows-1252, as which old programs wrote.
func validUTF8(s string) string {
	if utf8.ValidString(s) {
		return s
	}
	var b strings.Builder
	for len(s) > 0 {
		c, n := utf8.DecodeRuneInString(s)
		if c == utf8.RuneError && n == 1 {
			c = charmap.Windows1252.DecodeByte(s[0])
		}
		b.WriteRune(c)
		s = s[n:]
	}
	return b.String()
}

func isBase64(p *property) bool {
	encoding := strings.ToUpper(p.param("encoding"))
	return encoding == "B" || encoding == "BASE64"
}

// dataURI returns the bytes that a property holds as a "data:" URI (RFC 2397). Its TYPE names the format.
func (p *property) dataURI() string {
	data := strings.Map(func(c rune) rune {
		if c == ' ' || c == '\t' || c == '\n' || c == '\r' {
			return -1
		}
		return c
	}, p.value)
	format := p.take("type")
	media := mediaType(p.name, strings.ToLower(format), data)
	return "data:" + media + ";base64," + data
}

func mediaType(property, format, data string) string {
	switch {
	case strings.Contains(format, "/"):
		return format
	case format == "pgp":
		return "application/pgp-keys"
	case format == "x509":
		return "application/pkix-cert"
	case format != "" && property == "SOUND":
		return "audio/" + format
	case format != "" && (property == "PHOTO" || property == "LOGO"):
		return "image/" + strings.Replace(format, "jpg", "jpeg", 1)
	}
	magic, _ := base64.StdEncoding.DecodeString(data[:min(len(data), 16)&^3])
	for _, known := range [][2]string{
		{"\xff\xd8\xff", "image/jpeg"}, {"\x89PNG", "image/png"}, {"GIF8", "image/gif"}, {"RIFF", "image/webp"},
	} {
		if strings.HasPrefix(string(magic), known[0]) {
			return known[1]
		}
	}
	return "application/octet-stream"
}

// decodeTypes writes types in lower case where they are known, and a preference as PREF.
func (p *property) decodeTypes() {
	var kept []string
	for _, t := range p.params["type"] {
		switch strings.ToLower(t) {
		case "pref":
			if p.param("pref") == "" {
				p.params["pref"] = []string{"1"}
			}
		case "internet":
			if p.name != "EMAIL" {
				kept = append(kept, t)
			}
		default:
			kept = append(kept, t)
		}
	}
	delete(p.params, "type")
	p.set("type", kept...)
}

// aliases are names that programs gave to what vCard 4 (or RFC 9554) has a name for.
var aliases = map[string]struct{ name, param, value string }{
	"X-ADDRESSBOOKSERVER-KIND":   {name: "KIND"},
	"X-ADDRESSBOOKSERVER-MEMBER": {name: "MEMBER"},
	"X-ANNIVERSARY":              {name: "ANNIVERSARY"},
	"X-EVOLUTION-ANNIVERSARY":    {name: "ANNIVERSARY"},
	"X-MS-ANNIVERSARY":           {name: "ANNIVERSARY"},
	"X-SPOUSE":                   {name: "RELATED", param: "type", value: "spouse"},
	"X-EVOLUTION-SPOUSE":         {name: "RELATED", param: "type", value: "spouse"},
	"X-MS-SPOUSE":                {name: "RELATED", param: "type", value: "spouse"},
	"X-AIM":                      {name: "SOCIALPROFILE", param: "service-type", value: "AIM"},
	"X-GOOGLE-TALK":              {name: "SOCIALPROFILE", param: "service-type", value: "GoogleTalk"},
	"X-GTALK":                    {name: "SOCIALPROFILE", param: "service-type", value: "GoogleTalk"},
	"X-ICQ":                      {name: "SOCIALPROFILE", param: "service-type", value: "ICQ"},
	"X-JABBER":                   {name: "SOCIALPROFILE", param: "service-type", value: "Jabber"},
	"X-MSN":                      {name: "SOCIALPROFILE", param: "service-type", value: "MSN"},
	"X-QQ":                       {name: "SOCIALPROFILE", param: "service-type", value: "QQ"},
	"X-SKYPE":                    {name: "SOCIALPROFILE", param: "service-type", value: "Skype"},
	"X-SKYPE-USERNAME":           {name: "SOCIALPROFILE", param: "service-type", value: "Skype"},
	"X-TWITTER":                  {name: "SOCIALPROFILE", param: "service-type", value: "Twitter"},
	"X-YAHOO":                    {name: "SOCIALPROFILE", param: "service-type", value: "Yahoo"},
}

func (p *property) rename() {
	if alias, ok := aliases[p.name]; ok && p.param(alias.param) == "" {
		p.name = alias.name
		p.set(alias.param, alias.value)
		if p.name == "RELATED" || p.name == "SOCIALPROFILE" {
			p.params["value"] = []string{"text"}
			p.value = escape(unescape(p.value))
		}
	}
	switch p.name {
	case "GEO":
		p.geo()
	case "IMPP":
		if p.param("service-type") == "" {
			p.set("service-type", p.take("x-service-type"))
		}
	case "X-SOCIALPROFILE":
		p.socialProfile()
	}
}

// geo writes the coordinates of vCard 2.1 ("lon,lat" or "lat,lon": few agree) and 3.0 ("lat;lon") as a URI.
func (p *property) geo() {
	lat, lon, ok := strings.Cut(strings.ReplaceAll(p.value, `\`, ""), ";")
	if !ok || !isCoordinate(lat, 90) || !isCoordinate(lon, 180) {
		return
	}
	p.value = "geo:" + strings.TrimSpace(lat) + "," + strings.TrimSpace(lon)
}

func isCoordinate(s string, most int) bool {
	d, err := formats.ParseDecimal(strings.TrimSpace(s))
	if err != nil {
		return false
	}
	whole, _, _ := strings.Cut(string(d.Abs()), ".")
	n, err := strconv.Atoi(whole)
	return err == nil && n <= most
}

// socialProfile turns Apple's property into that of RFC 9554: the first type that is no context names the service.
func (p *property) socialProfile() {
	p.name = "SOCIALPROFILE"
	var kept []string
	for _, t := range p.params["type"] {
		if contextOf(t) == "" && p.param("service-type") == "" {
			p.set("service-type", t)
			continue
		}
		kept = append(kept, t)
	}
	delete(p.params, "type")
	p.set("type", kept...)
	if p.param("username") == "" {
		p.set("username", p.take("x-user"))
	}
	if !uriForm.MatchString(p.value) {
		p.params["value"] = []string{"text"}
	}
}

// joinLabel gives the text of a LABEL to the address with the same types.
func joinLabel(before []property, label property) bool {
	for i := range before {
		p := &before[i]
		if p.name == "ADR" && p.param("label") == "" && p.group == label.group && sameTypes(p, &label) {
			p.set("label", strings.ReplaceAll(unescape(label.value), "\r\n", "\n"))
			return p.param("label") != ""
		}
	}
	return false
}

func sameTypes(a, b *property) bool {
	return len(a.params["type"]) == len(b.params["type"]) &&
		strings.EqualFold(strings.Join(a.params["type"], ","), strings.Join(b.params["type"], ","))
}

// appleLabels are the labels that Apple's and Google's programs translate, and the vCard 4 property for the pair.
var appleLabels = map[string]struct{ from, name, typ string }{
	"_$!<Anniversary>!$_": {"X-ABDATE", "ANNIVERSARY", ""},
	"_$!<Spouse>!$_":      {"X-ABRELATEDNAMES", "RELATED", "spouse"},
	"_$!<Child>!$_":       {"X-ABRELATEDNAMES", "RELATED", "child"},
	"_$!<Parent>!$_":      {"X-ABRELATEDNAMES", "RELATED", "parent"},
	"_$!<Sibling>!$_":     {"X-ABRELATEDNAMES", "RELATED", "sibling"},
	"_$!<Friend>!$_":      {"X-ABRELATEDNAMES", "RELATED", "friend"},
	"_$!<Partner>!$_":     {"X-ABRELATEDNAMES", "RELATED", "sweetheart"},
}

// dropAppleLabels turns a date or a related name with one of those labels, alone in their group, into one property.
func dropAppleLabels(props []property) []property {
	members := map[string][]int{}
	for i, p := range props {
		if p.group != "" {
			members[p.group] = append(members[p.group], i)
		}
	}
	var out []property
	for i, p := range props {
		pair := members[p.group]
		if len(pair) != 2 {
			out = append(out, p)
			continue
		}
		other := props[pair[0]+pair[1]-i]
		if known, ok := appleLabels[p.value]; ok && p.name == "X-ABLABEL" && other.name == known.from {
			continue
		}
		if known, ok := appleLabels[other.value]; ok && other.name == "X-ABLABEL" && p.name == known.from {
			p.group, p.name = "", known.name
			p.set("type", known.typ)
			if known.typ != "" {
				p.params["value"] = []string{"text"}
			}
		}
		out = append(out, p)
	}
	return out
}
