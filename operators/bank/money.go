package bank

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/passerelle-cloud/passerelle/formats"
)

// amount is money as banks write it: the amount is a text, and with some a number.
type amount struct {
	Currency string          `json:"currency"`
	Amount   json.RawMessage `json:"amount"`
}

// amountForm is what the standard allows, with as many digits as a statement in camt.053 takes behind the point.
var amountForm = regexp.MustCompile(`^[+-]?[0-9]{1,14}(\.[0-9]{1,5})?$`)

// parse returns the exact amount, or why there is none: an exponent, thirty digits or a currency that nobody knows are signs
// that something else is wrong, and money is not guessed. A zero has no sign.
func (a *amount) parse() (formats.Amount, error) {
	digits := strings.TrimSpace(string(a.Amount))
	if len(digits) > 0 && digits[0] == '"' {
		if err := json.Unmarshal(a.Amount, &digits); err != nil {
			return formats.Amount{}, errors.New("its amount is no text")
		}
	}
	switch {
	case !isCurrency(a.Currency):
		return formats.Amount{}, fmt.Errorf("its currency %.20q is not in ISO 4217", a.Currency)
	case !amountForm.MatchString(digits):
		return formats.Amount{}, fmt.Errorf("its amount %.60q is none of at most 14 digits and 5 behind the point", digits)
	}
	digits = strings.TrimPrefix(digits, "+")
	if strings.Trim(digits, "-0.") == "" {
		digits = strings.TrimPrefix(digits, "-")
	}
	return formats.Amount{Currency: a.Currency, Amount: formats.Decimal(digits)}, nil
}

// currencies are the codes of ISO 4217 for money that accounts can hold, those for several currencies (XXX) and those that
// the euro or another money took the place of lately too: statements of before name them.
const currencies = " AED AFN ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BGN BHD BIF BMD BND BOB BOV BRL BSD BTN BWP BYN BZD CAD CDF CHE CHF CHW CLF CLP CNY COP COU CRC CUC CUP CVE CZK DJF DKK DOP DZD " +
	"EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GNF GTQ GYD HKD HNL HRK HTG HUF IDR ILS INR IQD IRR ISK JMD JOD JPY KES KGS KHR KMF KPW KRW KWD KYD KZT LAK LBP LKR LRD LSL LYD MAD MDL MGA MKD MMK MNT " +
	"MOP MRU MUR MVR MWK MXN MXV MYR MZN NAD NGN NIO NOK NPR NZD OMR PAB PEN PGK PHP PKR PLN PYG QAR RON RSD RUB RWF SAR SBD SCR SDG SEK SGD SHP SLE SLL SOS SRD SSP STN SVC SYP SZL THB TJS TMT TND TOP " +
	"TRY TTD TWD TZS UAH UGX USD USN UYI UYU UYW UZS VED VES VND VUV WST XAF XAG XAU XCD XCG XDR XOF XPD XPF XPT XSU XUA XXX YER ZAR ZMW ZWG ZWL "

func isCurrency(code string) bool {
	return len(code) == 3 && strings.Contains(currencies, " "+code+" ")
}

// day reads a calendar day as banks write it: alone, with a time of where the bank is, or with one of a zone that is said,
// which may be another day there. "" where it is none.
func (c *Client) day(s string) string {
	switch {
	case s == "":
		return ""
	case len(s) == len(time.DateOnly):
		if _, err := time.Parse(time.DateOnly, s); err == nil {
			return s
		}
	default:
		if t, ok := c.moment(s); ok {
			return t.In(c.zone).Format(time.DateOnly)
		}
	}
	return ""
}

// instant reads a point in time; without a zone it is that of the bank. "" where it is none.
func (c *Client) instant(s string) string {
	if t, ok := c.moment(s); ok {
		return t.Format(time.RFC3339Nano)
	}
	return ""
}

func (c *Client) moment(s string) (time.Time, bool) {
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05.999999999", "2006-01-02T15:04:05.999999999Z0700", "2006-01-02 15:04:05"} {
		if t, err := time.ParseInLocation(layout, s, c.zone); err == nil {
			return t, true
		}
	}
	return time.Time{}, false
}
