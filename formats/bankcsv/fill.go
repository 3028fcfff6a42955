package bankcsv

import (
	"cmp"
	"errors"
	"strings"

	"github.com/passerelle-cloud/passerelle/formats"
)

// errNoRow is returned for a row that says nothing.
var errNoRow = errors.New("the row says nothing")

// fill gives a row the texts of the cells, and returns what stands in columns that we do not write.
func (l *layout) fill(w row, cells []string) (*foreign, error) {
	texts := map[string]string{}
	for i, text := range cells[:min(len(cells), len(l.columns))] {
		if l.columns[i] != "" {
			texts[l.columns[i]] = unguard(text)
		}
	}
	own := texts["recordId"] != ""
	if !own && l.saysNothing(texts) {
		return nil, errNoRow
	}
	f := &foreign{currency: l.currency, party: strings.TrimSpace(texts[party]), partyNumber: strings.TrimSpace(texts[partyNumber]), outgoing: isOutgoing(texts[direction])}
	for _, c := range w.cells() {
		text := texts[c.name]
		if !own {
			text = strings.TrimSpace(text)
		}
		var err error
		switch c.value {
		case isDay:
			text, err = readDay(text, l.monthFirst)
		case isAmount:
			text, err = l.amount(text, f)
		}
		if err != nil {
			return nil, err
		}
		*c.text = text
	}
	return f, l.debitOrCredit(texts, f)
}

// saysNothing reports whether a row is empty, or a remark between rows: it has neither a day nor an amount.
func (l *layout) saysNothing(texts map[string]string) bool {
	empty := true
	hasDays := false
	for name, text := range texts {
		text = strings.TrimSpace(text)
		empty = empty && text == ""
		switch l.values[name] {
		case isAmount:
			if text != "" {
				return false
			}
		case isDay:
			hasDays = true
			if _, err := readDay(text, l.monthFirst); err == nil && text != "" {
				return false
			}
		}
	}
	return empty || hasDays
}

// amount reads an amount as the rows of this file have it.
func (l *layout) amount(text string, f *foreign) (string, error) {
	if strings.TrimSpace(text) == "" {
		return "", nil
	}
	n, err := takeNumber(text)
	if err != nil {
		if d, err := formats.ParseDecimal(text); err == nil { // 1e21
			return string(d), nil
		}
		return "", err
	}
	f.currency = cmp.Or(n.currency, f.currency)
	d, err := n.decimal(l.sign)
	return string(d), err
}

// debitOrCredit finds the amount in two columns of which one is empty or zero. A debit is written with or without a
// minus.
func (l *layout) debitOrCredit(texts map[string]string, f *foreign) error {
	out, err := l.amount(texts[debit], f)
	if err != nil {
		return err
	}
	in, err := l.amount(texts[credit], f)
	if err != nil {
		return err
	}
	isZero := func(s string) bool { return formats.Decimal(s).Rat().Sign() == 0 }
	switch {
	case !isZero(out) && !isZero(in):
		return fault("there is both a debit and a credit")
	case !isZero(out):
		f.amount = "-" + strings.TrimPrefix(out, "-")
	default:
		f.amount = cmp.Or(in, out)
	}
	return nil
}

// isOutgoing understands a column that says which way an amount without a sign went.
func isOutgoing(s string) bool {
	switch fold(s) {
	case "d", "dr", "dbit", "debit", "s", "soll", "out":
		return true
	}
	return false
}
