package bankcsv

import (
	"regexp"
	"strings"
	"unicode/utf8"
)

// plainNumber is a number that no spreadsheet takes for a formula.
var plainNumber = regexp.MustCompile(`^[+-]?[0-9]+(\.[0-9]+)?$`)

// dangerous begins what spreadsheets take for a formula (OWASP, "CSV Injection"); some also take the wide forms.
const dangerous = "=+-@\t\r\n＝＋－＠"

// guard returns the text of a cell so that no spreadsheet computes it.
func guard(s string) string {
	first, _ := utf8.DecodeRuneInString(s)
	if s == "" || plainNumber.MatchString(s) || first != '\'' && !strings.ContainsRune(dangerous, first) {
		return s
	}
	return "'" + s
}

// unguard undoes guard.
func unguard(s string) string {
	if rest, ok := strings.CutPrefix(s, "'"); ok && guard(rest) == s {
		return rest
	}
	return s
}
