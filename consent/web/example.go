package web

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/passerelle-cloud/passerelle/formats"
)

// line is one line of an example: the name of a field, and what stands there.
type line struct {
	Field string // has a text "field.NAME", or is shown as it is
	Known bool
	Value string
}

const (
	mostLines = 5
	mostText  = 90 // characters of a value
)

// telling are the fields that say most, in this order; the others follow as they stand.
var telling = []string{"title", "name", "issuer", "date", "start", "bookingDate", "amount", "transactionAmount", "value", "remittanceInformationUnstructured", "creditorName", "debtorName",
	"emails", "phones", "addresses", "markdown", "locations", "iban", "balances"}

// silent are members that tell a person nothing.
var silent = []string{"@type", "version", "uid", "prodId", "type", "kind", "pref", "contexts", "sequence", "isOrdered", "language", "checksums", "nameBytes", "color", "privacy", "duration",
	"timeZone", "showWithoutTime", "freeBusyStatus", "priority", "status", "created", "updated", "alerts", "recurrenceRules", "recurrenceOverrides"}

// exemplify shows what is in a record in a few lines.
func exemplify(r *formats.Record) (lines []line, err error) {
	if r.Path != "" {
		lines = append(lines, line{"path", true, short(r.Path)})
	}
	var body map[string]any
	if len(r.Body) > 0 {
		d := json.NewDecoder(bytes.NewReader(r.Body))
		d.UseNumber()
		if err := d.Decode(&body); err != nil {
			return nil, err
		}
	}
	for _, name := range telling {
		lines = appendLine(lines, name, body[name])
		delete(body, name)
	}
	rest := make([]string, 0, len(body))
	for name := range body {
		rest = append(rest, name)
	}
	slices.Sort(rest)
	for _, name := range rest {
		if !slices.Contains(silent, name) {
			lines = appendLine(lines, name, body[name])
		}
	}
	return lines, nil
}

func appendLine(lines []line, name string, value any) []line {
	text := short(strings.Join(scalars(value, 3), ", "))
	if text == "" || len(lines) >= mostLines {
		return lines
	}
	return append(lines, line{name, isChoosable(name), text})
}

func isChoosable(name string) bool {
	for _, names := range choosable {
		if slices.Contains(names, name) {
			return true
		}
	}
	return false
}

// scalars gathers texts and numbers below a value.
func scalars(value any, most int) (list []string) {
	switch v := value.(type) {
	case string:
		if strings.TrimSpace(v) != "" {
			list = append(list, v)
		}
	case json.Number:
		list = append(list, v.String())
	case []any:
		for _, one := range v {
			list = append(list, scalars(one, most)...)
		}
	case map[string]any:
		if full, ok := v["full"].(string); ok {
			return []string{full}
		}
		if amount, ok := v["amount"].(string); ok {
			currency, _ := v["currency"].(string)
			return []string{strings.TrimSpace(amount + " " + currency)}
		}
		names := make([]string, 0, len(v))
		for name := range v {
			names = append(names, name)
		}
		slices.Sort(names)
		for _, name := range names {
			if !slices.Contains(silent, name) {
				list = append(list, scalars(v[name], most)...)
			}
		}
	}
	return list[:min(len(list), most)]
}

// short is a text on one line, cut where it gets long.
func short(text string) string {
	text = strings.Join(strings.Fields(text), " ")
	if at, err := time.Parse("2006-01-02T15:04:05", text); err == nil { // RFC 8984 section 1.4.4
		return at.Format("2006-01-02, 15:04")
	}
	if utf8.RuneCountInString(text) <= mostText {
		return text
	}
	return string([]rune(text)[:mostText-1]) + "…"
}

// accountName says which of a person's bank accounts one is.
func accountName(r *formats.Record) (string, error) {
	var a formats.BankAccount
	if err := json.Unmarshal(r.Body, &a); err != nil {
		return "", err
	}
	var parts []string
	for _, part := range []string{a.Institution, a.Name, a.IBAN, a.BBAN} {
		if part != "" && !slices.Contains(parts, part) {
			parts = append(parts, part)
		}
	}
	if len(parts) == 0 {
		return r.ID, nil
	}
	return strings.Join(parts, ", "), nil
}
