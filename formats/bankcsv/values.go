package bankcsv

import (
	"regexp"
	"strings"
	"time"

	"github.com/passerelle-cloud/passerelle/formats"
)

// dayOf returns s if it is a day as YYYY-MM-DD, else nothing.
func dayOf(s string) string {
	if _, err := time.Parse(time.DateOnly, s); err != nil {
		return ""
	}
	return s
}

var (
	yearFirst = regexp.MustCompile(`^([0-9]{4})[-/.]?([0-9]{2})[-/.]?([0-9]{2})([T ].*)?$`)
	yearLast  = regexp.MustCompile(`^([0-9]{1,2})[-/. ]([0-9]{1,2})[-/. ]([0-9]{4}|[0-9]{2})( .*)?$`)
)

// readDay reads a day. MonthFirst says how 01/02/2026 is meant.
func readDay(s string, monthFirst bool) (string, error) {
	s = strings.TrimSpace(s)
	if s == "" || dayOf(s) != "" {
		return s, nil
	}
	var year, month, day string
	if m := yearFirst.FindStringSubmatch(s); m != nil {
		year, month, day = m[1], m[2], m[3]
	} else if m := yearLast.FindStringSubmatch(s); m != nil {
		day, month, year = pad(m[1]), pad(m[2]), m[3]
		if monthFirst {
			day, month = month, day
		}
		if len(year) == 2 {
			year = "20" + year
		}
	}
	if text := dayOf(year + "-" + month + "-" + day); text != "" {
		return text, nil
	}
	return "", fault("%q is not a day; write it as 2026-12-31", clip(s))
}

func pad(s string) string {
	if len(s) == 1 {
		return "0" + s
	}
	return s
}

// monthsAndDays tells from a day whether the month must come first, or cannot.
func monthsAndDays(s string) (monthFirst, dayFirst bool) {
	m := yearLast.FindStringSubmatch(strings.TrimSpace(s))
	if m == nil {
		return false, false
	}
	return pad(m[2]) > "12", pad(m[1]) > "12"
}

var (
	groupedNumber = regexp.MustCompile(`^[0-9][0-9.,]*$`)
	currencyCode  = regexp.MustCompile(`^[A-Z]{3}$`)
)

// noCurrency is the ISO 4217 code for what is not in a currency.
const noCurrency = "XXX"

// readCurrency returns the ISO 4217 code of a currency, which stands for none if nothing is written.
func readCurrency(s string) (string, error) {
	code := strings.ToUpper(s)
	switch {
	case code == "":
		return noCurrency, nil
	case code == "€" || strings.HasPrefix(code, "EURO"):
		return "EUR", nil
	case currencyCode.MatchString(code):
		return code, nil
	}
	return "", fault("the currency %q is no ISO 4217 code; write it as EUR", clip(s))
}

// number is an amount as somebody wrote it.
type number struct {
	negative bool
	digits   string // with points and commas as they were
	currency string // "" if it is not written
}

// takeNumber takes an amount apart: its sign, which may stand behind, or be brackets, its currency, and its digits
// without spaces and apostrophes.
func takeNumber(s string) (number, error) {
	var n number
	text := strings.Map(func(c rune) rune {
		switch c {
		case ' ', '\u00a0', '\u202f', '\u2009', '\'', '\u2019':
			return -1
		case '\u2212', '\u2013':
			return '-'
		}
		return c
	}, strings.TrimSpace(s))
	text, n.currency = cutCurrency(text)
	if inner, ok := strings.CutPrefix(text, "("); ok && strings.HasSuffix(inner, ")") {
		n.negative, text = true, strings.TrimSuffix(inner, ")")
	}
	switch {
	case strings.HasPrefix(text, "-"):
		n.negative, text = !n.negative, text[1:]
	case strings.HasPrefix(text, "+"):
		text = text[1:]
	case strings.HasSuffix(text, "-"):
		n.negative, text = !n.negative, strings.TrimSuffix(text, "-")
	case strings.HasSuffix(text, "+"):
		text = strings.TrimSuffix(text, "+")
	}
	if n.currency == "" {
		text, n.currency = cutCurrency(text) // "-€12"
	}
	if strings.HasPrefix(text, ",") || strings.HasPrefix(text, ".") {
		text = "0" + text
	}
	if len(text) > 1000 || !groupedNumber.MatchString(text) {
		return n, fault("%q is not an amount; write it as -1234.56", clip(s))
	}
	n.digits = text
	return n, nil
}

// cutCurrency cuts a currency off either end of an amount.
func cutCurrency(s string) (rest, currency string) {
	for _, c := range []struct{ sign, code string }{{"€", "EUR"}, {"£", "GBP"}, {"$", ""}} {
		if rest, ok := strings.CutPrefix(s, c.sign); ok {
			return rest, c.code
		}
		if rest, ok := strings.CutSuffix(s, c.sign); ok {
			return rest, c.code
		}
	}
	if len(s) > 3 && currencyCode.MatchString(s[:3]) {
		return s[3:], s[:3]
	}
	if len(s) > 3 && currencyCode.MatchString(s[len(s)-3:]) {
		return s[:len(s)-3], s[len(s)-3:]
	}
	return s, ""
}

// decimalSign tells from the digits what parts decimals: '.', ',', or 0 if that cannot be told, as of 1,234.
func (n number) decimalSign() byte {
	point, comma := strings.LastIndexByte(n.digits, '.'), strings.LastIndexByte(n.digits, ',')
	last, sign := max(point, comma), byte('.')
	if comma > point {
		sign = ','
	}
	switch {
	case last < 0:
		return 0
	case min(point, comma) >= 0: // 1.234,56
		return sign
	case strings.Count(n.digits, string(sign)) > 1: // 1.234.567
		return other(sign)
	case len(n.digits)-last-1 == 3 && last <= 3 && n.digits[0] != '0': // 1.234
		return 0
	}
	return sign
}

func other(sign byte) byte {
	if sign == '.' {
		return ','
	}
	return '.'
}

// groups is a number whose digits stand in threes.
var groups = regexp.MustCompile(`^[0-9]{1,3}([.,][0-9]{3})+$`)

// decimal returns the amount, where sign parts decimals.
func (n number) decimal(sign byte) (formats.Decimal, error) {
	whole, fraction, _ := strings.Cut(n.digits, string(sign))
	group := string(other(sign))
	if strings.Contains(whole, group) && !groups.MatchString(whole) || strings.ContainsAny(fraction, ".,") {
		return "", fault("%q is not an amount with the decimals that the other rows have", clip(n.digits))
	}
	text := strings.ReplaceAll(whole, group, "")
	if fraction != "" {
		text += "." + fraction
	}
	if n.negative && strings.Trim(text, "0.") != "" {
		text = "-" + text
	}
	return formats.ParseDecimal(text)
}

// clip returns the beginning of a text, for a message: the rest is the person's.
func clip(s string) string {
	const most = 20
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}
