package reconcile

import (
	"fmt"
	"math/big"
	"strings"
	"time"

	"golang.org/x/text/currency"

	"github.com/passerelle-cloud/passerelle/formats"
)

// money is an amount in ten-thousandths of a unit of its currency: finer than the smallest coin of any currency of ISO 4217.
type money int64

const (
	scale    = 4 // decimal places of money
	maxMoney = money(1e15)
)

// parseMoney returns an exact amount; false where it has more places than that, or is too big to be added up.
func parseMoney(d formats.Decimal) (money, bool) {
	d, err := formats.ParseDecimal(string(d))
	if err != nil || len(d) > 60 {
		return 0, false
	}
	r := d.Rat()
	r.Mul(r, new(big.Rat).SetInt64(1e4))
	if !r.IsInt() || !r.Num().IsInt64() {
		return 0, false
	}
	m := money(r.Num().Int64())
	return m, m <= maxMoney && m >= -maxMoney
}

// amount writes money with the places that its currency has, or more if it needs them.
func (m money) amount(code string) formats.Amount {
	places := 2
	if unit, err := currency.ParseISO(code); err == nil {
		places, _ = currency.Standard.Rounding(unit)
	}
	sign, v := "", int64(m)
	if v < 0 {
		sign, v = "-", -v
	}
	whole, fraction := v/1e4, fmt.Sprintf("%0*d", scale, v%1e4)
	for len(fraction) > places && strings.HasSuffix(fraction, "0") {
		fraction = fraction[:len(fraction)-1]
	}
	text := fmt.Sprintf("%s%d", sign, whole)
	if fraction != "" {
		text += "." + fraction
	}
	return formats.Amount{Currency: code, Amount: formats.Decimal(text)}
}

// Total adds up amounts of one currency exactly.
type Total struct {
	Currency string // that of the first amount
	sum      money
}

// Add adds an amount; false, and nothing is added, if it is of another currency, too precise, or too big.
func (t *Total) Add(a formats.Amount) bool {
	m, ok := parseMoney(a.Amount)
	if t.Currency == "" {
		t.Currency = a.Currency
	}
	if !ok || a.Currency != t.Currency || t.sum+m > maxMoney || t.sum+m < -maxMoney {
		return false
	}
	t.sum += m
	return true
}

// Amount is what there is so far.
func (t *Total) Amount() formats.Amount { return t.sum.amount(t.Currency) }

// Exceeds reports whether a total is further from zero than another one of its currency.
func (t *Total) Exceeds(other *Total) bool { return max(t.sum, -t.sum) > max(other.sum, -other.sum) }

// Part is how long the total is where another one has a length: to draw it. It is 0 where the other one is nothing.
func (t *Total) Part(of *Total, length int) int {
	if of.sum == 0 {
		return 0
	}
	return int(max(t.sum, -t.sum) * money(length) / max(of.sum, -of.sum))
}

// Sum adds amounts of one currency exactly; false if they are not of one, or cannot be added.
func Sum(list ...formats.Amount) (formats.Amount, bool) {
	var t Total
	for _, a := range list {
		if !t.Add(a) {
			return formats.Amount{}, false
		}
	}
	return t.Amount(), len(list) > 0
}

// day is a number of days since 1970-01-01.
type day int

const noDay = day(-1 << 40)

// parseDay reads YYYY-MM-DD, which may be followed by a time.
func parseDay(text string) day {
	if len(text) < len(time.DateOnly) {
		return noDay
	}
	t, err := time.Parse(time.DateOnly, text[:len(time.DateOnly)])
	if err != nil || t.Year() < 1900 {
		return noDay
	}
	return day(t.Unix() / (24 * 60 * 60))
}

// DaysBetween is how many days there are from one day to another, YYYY-MM-DD; false if one of them is none.
func DaysBetween(from, to string) (int, bool) {
	a, b := parseDay(from), parseDay(to)
	return int(b - a), a != noDay && b != noDay
}

func (d day) String() string {
	return time.Unix(int64(d)*24*60*60, 0).UTC().Format(time.DateOnly)
}
