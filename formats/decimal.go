package formats

import (
	"fmt"
	"math/big"
	"regexp"
	"strings"
)

// Decimal is an exact decimal number as text: an optional minus sign, digits, and optionally a point with digits.
// It is never converted to a binary fraction, and 0.10 is not the same text as 0.1.
type Decimal string

var decimalForm = regexp.MustCompile(`^-?[0-9]{1,1000}(\.[0-9]{1,1000})?$`)

// ParseDecimal accepts plain decimals ("-12.50") and JSON numbers with an exponent ("1e21"), which it writes out
// exactly. It refuses exponents beyond ±400 and everything else.
func ParseDecimal(s string) (Decimal, error) {
	if decimalForm.MatchString(s) {
		return Decimal(s), nil
	}
	mantissa, exponent, ok := strings.Cut(strings.ToLower(s), "e")
	var exp int
	if _, err := fmt.Sscanf(exponent+";", "%d;", &exp); !ok || err != nil || !decimalForm.MatchString(mantissa) || exp > 400 || exp < -400 {
		return "", fmt.Errorf("%w: %q is not a decimal number", ErrInvalid, s)
	}
	r, ok := new(big.Rat).SetString(s)
	if !ok {
		return "", fmt.Errorf("%w: %q is not a decimal number", ErrInvalid, s)
	}
	_, fraction, _ := strings.Cut(mantissa, ".")
	return Decimal(r.FloatString(max(0, len(fraction)-exp))), nil
}

// Rat returns the exact value. It is 0 for text that ParseDecimal would refuse.
func (d Decimal) Rat() *big.Rat {
	r, ok := new(big.Rat).SetString(string(d))
	if !ok {
		return new(big.Rat)
	}
	return r
}

// Negative reports whether the number is below zero.
func (d Decimal) Negative() bool { return d.Rat().Sign() < 0 }

// Abs returns the number without its sign.
func (d Decimal) Abs() Decimal { return Decimal(strings.TrimPrefix(string(d), "-")) }

// Amount is an amount of money, as in Berlin Group NextGenPSD2 1.3 "amount".
type Amount struct {
	Currency string  `json:"currency"` // ISO 4217, three capitals
	Amount   Decimal `json:"amount"`
}
