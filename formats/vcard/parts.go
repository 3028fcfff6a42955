package vcard

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/passerelle-cloud/passerelle/formats"
)

// contextOf returns the JSContact context that a TYPE means, or "".
func contextOf(typ string) string {
	switch strings.ToLower(typ) {
	case "home":
		return "private"
	case "work":
		return "work"
	}
	return ""
}

// addressContextOf also knows the contexts that only addresses have (RFC 9554 section 5).
func addressContextOf(typ string) string {
	switch t := strings.ToLower(typ); t {
	case "billing", "delivery":
		return t
	}
	return contextOf(typ)
}

// contextTypes returns the TYPE values of contexts.
func contextTypes(contexts formats.Set) []string {
	var types []string
	for _, known := range [][2]string{{"private", "home"}, {"work", "work"}, {"billing", "billing"}, {"delivery", "delivery"}} {
		if contexts[known[0]] {
			types = append(types, known[1])
		}
	}
	return types
}

// featureOf returns the JSContact feature of a telephone that a TYPE means, or "".
func featureOf(typ string) string {
	switch t := strings.ToLower(typ); t {
	case "cell":
		return "mobile"
	case "voice", "text", "video", "main-number", "textphone", "fax", "pager":
		return t
	}
	return ""
}

// featureTypes returns the TYPE values of features.
func featureTypes(features formats.Set) []string {
	var types []string
	for _, t := range []string{"cell", "voice", "text", "video", "main-number", "textphone", "fax", "pager"} {
		if features[featureOf(t)] {
			types = append(types, t)
		}
	}
	return types
}

// levels of RFC 6715 and what JSContact calls them. Interests and hobbies have high, medium and low in both.
var levels = map[string]string{"expert": "high", "average": "medium", "beginner": "low"}

var (
	dateYMD = regexp.MustCompile(`^(\d{4})-?(\d{2})-?(\d{2})$`)
	dateYM  = regexp.MustCompile(`^(\d{4})-(\d{2})$`)
	dateY   = regexp.MustCompile(`^(\d{4})$`)
	dateMD  = regexp.MustCompile(`^--(\d{2})-?(\d{2})$`)
	dateM   = regexp.MustCompile(`^--(\d{2})$`)
	dateD   = regexp.MustCompile(`^---(\d{2})$`)
)

// parseDate reads a date of any precision, or a moment with its offset (RFC 6350 section 4.3, and as vCard 3.0 has
// them). It returns nil for what JSContact cannot say, such as a time without an offset.
func parseDate(s string) *formats.CardDate {
	var d formats.CardDate
	switch {
	case dateYMD.MatchString(s):
		d = datePart(dateYMD, s, &d.Year, &d.Month, &d.Day, &d)
	case dateYM.MatchString(s):
		d = datePart(dateYM, s, &d.Year, &d.Month, nil, &d)
	case dateY.MatchString(s):
		d = datePart(dateY, s, &d.Year, nil, nil, &d)
	case dateMD.MatchString(s):
		d = datePart(dateMD, s, &d.Month, &d.Day, nil, &d)
	case dateM.MatchString(s):
		d = datePart(dateM, s, &d.Month, nil, nil, &d)
	case dateD.MatchString(s):
		d = datePart(dateD, s, &d.Day, nil, nil, &d)
	default:
		t, ok := parseTimestamp(s)
		if !ok {
			return nil
		}
		return &formats.CardDate{UTC: t.Format(time.RFC3339)}
	}
	if back, ok := formatDate(&d); !ok || back == "" {
		return nil
	}
	return &d
}

func datePart(form *regexp.Regexp, s string, a, b, c *int, d *formats.CardDate) formats.CardDate {
	for i, digits := range form.FindStringSubmatch(s)[1:] {
		*[]*int{a, b, c}[i], _ = strconv.Atoi(digits)
	}
	return *d
}

// formatDate is the reverse of parseDate. It returns false for what vCard cannot say, such as a year and a day.
func formatDate(d *formats.CardDate) (string, bool) {
	if d.UTC != "" {
		t, err := time.Parse(time.RFC3339, d.UTC)
		return t.UTC().Format(basicTime), err == nil && d.Year+d.Month+d.Day == 0
	}
	if d.Year < 0 || d.Year > 9999 || d.Month < 0 || d.Month > 12 || d.Day < 0 || d.Day > 31 {
		return "", false
	}
	switch {
	case d.Year > 0 && d.Month > 0 && d.Day > 0:
		return fmt.Sprintf("%04d%02d%02d", d.Year, d.Month, d.Day), true
	case d.Year > 0 && d.Month > 0:
		return fmt.Sprintf("%04d-%02d", d.Year, d.Month), true
	case d.Year > 0 && d.Day == 0:
		return fmt.Sprintf("%04d", d.Year), true
	case d.Year == 0 && d.Month > 0 && d.Day > 0:
		return fmt.Sprintf("--%02d%02d", d.Month, d.Day), true
	case d.Year == 0 && d.Month > 0:
		return fmt.Sprintf("--%02d", d.Month), true
	case d.Year == 0 && d.Day > 0:
		return fmt.Sprintf("---%02d", d.Day), true
	}
	return "", false
}

const basicTime = "20060102T150405Z"

var timestampForms = []string{
	basicTime, time.RFC3339, "20060102T150405-0700", "20060102T150405-07", "2006-01-02T15:04:05-0700",
	"20060102T1504-0700", "20060102T1504Z", "2006-01-02T15:04-07:00", "2006-01-02T15:04Z",
}

// parseTimestamp reads a moment to the second, in UTC.
func parseTimestamp(s string) (time.Time, bool) {
	for _, form := range timestampForms {
		if t, err := time.Parse(form, s); err == nil && t.Nanosecond() == 0 && t.UTC().Year() > 0 && t.UTC().Year() <= 9999 {
			return t.UTC(), true
		}
	}
	return time.Time{}, false
}

var utcOffset = regexp.MustCompile(`^([+-])(\d{2})(?::?00)?$`)

// parseZone returns the IANA name that a TZ property says, by name or as an offset of whole hours, or "".
func parseZone(s string) string {
	if m := utcOffset.FindStringSubmatch(s); m != nil {
		hours, _ := strconv.Atoi(m[2])
		switch {
		case hours == 0:
			return "Etc/UTC"
		case m[1] == "-" && hours <= 12:
			return "Etc/GMT+" + strconv.Itoa(hours)
		case m[1] == "+" && hours <= 14:
			return "Etc/GMT-" + strconv.Itoa(hours)
		}
		return ""
	}
	if strings.Contains(s, "/") && !strings.ContainsAny(s, " ;,:\\\n") {
		return s
	}
	return ""
}

var etcZone = regexp.MustCompile(`^Etc/GMT([+-])([1-9]|1[0-4])$`)

// formatZone is the reverse of parseZone, and says whether the value is an offset.
func formatZone(name string) (value string, offset bool) {
	m := etcZone.FindStringSubmatch(name)
	if m == nil {
		return escape(name), false
	}
	hours, _ := strconv.Atoi(m[2])
	sign := "-" // the names of these zones count the other way round
	if m[1] == "-" {
		sign = "+"
	}
	return fmt.Sprintf("%s%02d00", sign, hours), true
}

// part is a component of a name or an address: its kind and its value.
type part struct{ kind, value string }

// slots are the kinds that the fields of a structured value hold, in their order. A separator has no field: it is in
// JSCOMPS alone.
var (
	nameSlots    = []string{"surname", "given", "given2", "title", "credential", "surname2", "generation"}
	addressSlots = []string{"postOfficeBox", "", "", "locality", "region", "postcode", "country", "room", "apartment",
		"floor", "number", "name", "building", "block", "subdistrict", "district", "landmark", "direction"}
	classicSlots = []string{"postOfficeBox", "apartment", "name", "locality", "region", "postcode", "country"}
)

// fill puts each part into the field of its kind.
func fill(slots []string, parts []part) [][]string {
	fields := make([][]string, len(slots))
	for _, p := range parts {
		if i := slices.Index(slots, p.kind); i >= 0 && p.value != "" {
			fields[i] = append(fields[i], p.value)
		}
	}
	return fields
}

// unfill lists the parts that the fields hold, field by field.
func unfill(slots []string, fields [][]string) []part {
	var parts []part
	for i, values := range fields {
		for _, v := range values {
			if i < len(slots) && slots[i] != "" {
				parts = append(parts, part{slots[i], v})
			}
		}
	}
	return parts
}

func parseFields(value string) [][]string {
	var fields [][]string
	for _, field := range split(value, ';') {
		fields = append(fields, texts(field))
	}
	return fields
}

func formatFields(fields [][]string, least int) string {
	n := len(fields)
	for n > least && len(fields[n-1]) == 0 {
		n--
	}
	out := make([]string, n)
	for i := range out {
		out[i] = joinTexts(fields[i])
	}
	return strings.Join(out, ";")
}

// formatOrder returns the parameter JSCOMPS (RFC 9554 section 4.11): the default separator, then for each part its
// field and its place in there, or "s," and a separator.
func formatOrder(slots []string, parts []part, separator string) string {
	entries := []string{""}
	if separator != "" {
		entries[0] = "s," + escape(separator)
	}
	seen := make([]int, len(slots))
	for _, p := range parts {
		i := slices.Index(slots, p.kind)
		switch {
		case p.kind == "separator":
			entries = append(entries, "s,"+escape(p.value))
		case i < 0:
			return ""
		case seen[i] > 0:
			entries = append(entries, fmt.Sprintf("%d,%d", i, seen[i]))
			seen[i]++
		default:
			entries = append(entries, strconv.Itoa(i))
			seen[i]++
		}
	}
	return strings.Join(entries, ";")
}

// parseOrder is the reverse of formatOrder. It returns false if the parameter does not name every part once.
func parseOrder(order string, slots []string, fields [][]string) (parts []part, separator string, ok bool) {
	entries := split(order, ';')
	if entries[0] != "" {
		if separator, ok = parseSeparator(entries[0]); !ok {
			return nil, "", false
		}
	}
	seen := map[string]bool{}
	for _, entry := range entries[1:] {
		if text, ok := parseSeparator(entry); ok {
			parts = append(parts, part{"separator", text})
			continue
		}
		place, index, _ := strings.Cut(entry, ",")
		i, err := strconv.Atoi(place)
		j, err2 := strconv.Atoi("0" + index)
		key := fmt.Sprintf("%d,%d", i, j)
		if err != nil || err2 != nil || i < 0 || i >= min(len(fields), len(slots)) || j >= len(fields[i]) || slots[i] == "" || seen[key] {
			return nil, "", false
		}
		seen[key] = true
		parts = append(parts, part{slots[i], fields[i][j]})
	}
	return parts, separator, len(seen) == len(unfill(slots, fields))
}

func parseSeparator(entry string) (string, bool) {
	text, ok := strings.CutPrefix(entry, "s,")
	return unescape(text), ok
}
