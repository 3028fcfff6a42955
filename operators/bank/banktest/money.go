package banktest

import (
	"fmt"
	"strings"
)

// Cents is an amount of money in hundredths: the bank's accounts are in currencies that have those.
type Cents int64

// String is the amount as NextGenPSD2 writes it: "-12.30".
func (c Cents) String() string {
	sign := ""
	if c < 0 {
		sign, c = "-", -c
	}
	return fmt.Sprintf("%s%d.%02d", sign, c/100, c%100)
}

// local is the amount as a person reads it.
func (c Cents) local(language string) string {
	whole, rest, _ := strings.Cut(strings.TrimPrefix(c.String(), "-"), ".")
	comma, point, sign := ",", ".", ""
	if language == "fr" {
		comma, point = "\u202f", "," // a narrow space
	}
	if c < 0 {
		sign = "−"
	}
	for n := len(whole) - 3; n > 0; n -= 3 {
		whole = whole[:n] + comma + whole[n:]
	}
	if language == "fr" {
		return sign + whole + point + rest + "\u00a0€"
	}
	return sign + "€" + whole + point + rest
}

// amount is NextGenPSD2's.
type amount struct {
	Currency string `json:"currency"`
	Amount   string `json:"amount"`
}

// iban makes a French IBAN of 23 characters' worth of account (ISO 13616, with the key of the RIB and the check digits).
func iban(bank, branch, account string) string {
	number := bank + branch + account
	rib := 97 - (89*modulo(bank, 97)+15*modulo(branch, 97)+3*modulo(account, 97))%97
	number += fmt.Sprintf("%02d", rib)
	check := 98 - modulo(number+"152700", 97) // FR00, letters as numbers
	return fmt.Sprintf("FR%02d%s", check, number)
}

// grouped is an IBAN as people read it: by fours.
func grouped(iban string) string {
	var parts []string
	for ; len(iban) > 4; iban = iban[4:] {
		parts = append(parts, iban[:4])
	}
	return strings.Join(append(parts, iban), " ")
}

// modulo is the rest of a number of any length.
func modulo(digits string, by int) (rest int) {
	for _, d := range digits {
		rest = (rest*10 + int(d-'0')) % by
	}
	return rest
}
