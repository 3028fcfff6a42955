package camt

import (
	"bytes"
	"regexp"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/passerelle-cloud/passerelle/formats"
)

// The forms of camt.053.001.08.
var (
	currencyForm = regexp.MustCompile(`^[A-Z]{3}$`)
	ibanForm     = regexp.MustCompile(`^[A-Z]{2}[0-9]{2}[a-zA-Z0-9]{1,30}$`)
	bicForm      = regexp.MustCompile(`^[A-Z0-9]{4}[A-Z]{2}[A-Z0-9]{2}([A-Z0-9]{3})?$`)
	codeForm     = regexp.MustCompile(`^[A-Z0-9]{1,4}$`)
)

// noCurrency is the ISO 4217 code for what is not in a currency.
const noCurrency = "XXX"

// writer writes XML elements.
type writer struct{ buf bytes.Buffer }

func (x *writer) raw(s string) { x.buf.WriteString(s) }

// text writes s, which holds no character that XML forbids.
func (x *writer) text(s string) {
	for i := range len(s) {
		switch c := s[i]; c {
		case '&':
			x.raw("&amp;")
		case '<':
			x.raw("&lt;")
		case '>':
			x.raw("&gt;")
		case '\r': // a reader turns it into a line feed otherwise
			x.raw("&#13;")
		default:
			x.buf.WriteByte(c)
		}
	}
}

// in writes an element with what inside writes; nothing at all if that is nothing.
func (x *writer) in(name string, inside func()) {
	start := x.buf.Len()
	x.raw("<" + name + ">")
	begin := x.buf.Len()
	inside()
	if x.buf.Len() == begin {
		x.buf.Truncate(start)
		return
	}
	x.raw("</" + name + ">")
}

// leaf writes an element with a text; nothing at all if that is empty.
func (x *writer) leaf(name, text string) {
	x.in(name, func() { x.text(text) })
}

// path writes elements in each other with a text in the innermost.
func (x *writer) path(text string, names ...string) {
	if len(names) == 1 {
		x.leaf(names[0], text)
		return
	}
	x.in(names[0], func() { x.path(text, names[1:]...) })
}

// money writes Amt and CdtDbtInd.
func (x *writer) money(a formats.Amount, amount string) {
	ccy := a.Currency
	if !currencyForm.MatchString(ccy) {
		ccy = noCurrency
	}
	indicator := "CRDT"
	if a.Amount.Negative() {
		indicator = "DBIT"
	}
	x.raw(`<Amt Ccy="` + ccy + `">` + amount + `</Amt>`)
	x.leaf("CdtDbtInd", indicator)
}

// holdable returns an amount without its sign as the standard writes it, and false if the standard cannot hold it.
func holdable(d formats.Decimal) (string, bool) {
	const mostDecimals, mostDigits = 5, 18
	if _, err := formats.ParseDecimal(string(d)); err != nil || strings.ContainsAny(string(d), "eE") {
		return "", false
	}
	whole, fraction, _ := strings.Cut(string(d.Abs()), ".")
	if len(whole) > 1 {
		whole = strings.TrimLeft(whole[:len(whole)-1], "0") + whole[len(whole)-1:]
	}
	if len(fraction) > mostDecimals || len(whole)+len(fraction) > mostDigits {
		fraction = strings.TrimRight(fraction, "0")
	}
	if fraction == "" {
		return whole, len(whole) <= mostDigits
	}
	return whole + "." + fraction, len(fraction) <= mostDecimals && len(whole)+len(fraction) <= mostDigits
}

// fit returns as much of s as a text of the standard with so many characters holds.
func fit(s string, most int) string {
	s = strings.TrimSpace(strings.Map(allowed, s))
	for i := range s {
		if most == 0 {
			return strings.TrimSpace(s[:i])
		}
		most--
	}
	return s
}

// allowed maps characters that XML forbids to none (XML 1.0 section 2.2).
func allowed(c rune) rune {
	if c < ' ' && c != '\t' && c != '\n' && c != '\r' || c == 0xfffe || c == 0xffff || c == utf8.RuneError {
		return -1
	}
	return c
}

// matching returns s if it has that form, else nothing.
func matching(form *regexp.Regexp, s string) string {
	if form.MatchString(s) {
		return s
	}
	return ""
}

// isDay reports whether s is a day as the standard writes it.
func isDay(s string) bool {
	t, err := time.Parse(time.DateOnly, s)
	return err == nil && t.Year() > 0
}

func dayOf(s string) string {
	if isDay(s) {
		return s
	}
	return ""
}
