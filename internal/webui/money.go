package webui

import (
	"fmt"
	"strings"
)

// money writes an amount, which is exact decimal digits such as "-1234.50", in a currency (ISO 4217). No digit is lost: it is text
// all the way.
func (w *words) money(amount, currency any) string {
	digits, code := fmt.Sprint(amount), fmt.Sprint(currency)
	minus := ""
	if rest, below := strings.CutPrefix(digits, "-"); below {
		digits = rest
		if strings.Trim(digits, "0.") != "" {
			minus = "\u2212"
		}
	}
	whole, fraction, _ := strings.Cut(digits, ".")
	var grouped strings.Builder
	for i, digit := range whole {
		if i > 0 && (len(whole)-i)%3 == 0 {
			grouped.WriteString(w.texts["money.group"])
		}
		grouped.WriteRune(digit)
	}
	if fraction != "" {
		grouped.WriteString(w.texts["money.point"] + fraction)
	}
	form, sign := w.texts["money.symbol"], map[string]string{"EUR": "€", "USD": "$", "GBP": "£"}[code]
	if sign == "" {
		form, sign = w.texts["money.code"], code
	}
	return strings.NewReplacer("{minus}", minus, "{amount}", grouped.String(), "{currency}", sign).Replace(form)
}

// month writes a month that is given as YYYY-MM.
func (w *words) month(text string) (string, error) {
	year, month, ok := strings.Cut(text, "-")
	if !ok {
		return text, nil
	}
	name, err := w.text("month." + strings.TrimPrefix(month, "0"))
	return name + " " + year, err
}
