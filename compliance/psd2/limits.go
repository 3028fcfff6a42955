package psd2

import (
	"bytes"
	"encoding/json"
	"strings"
	"time"

	"github.com/passerelle-cloud/passerelle/consent"
	"github.com/passerelle-cloud/passerelle/formats"
)

// limits are what is withheld of what a consent covers, or a bank gives: transactions of before the window, unless the person has just
// authenticated (RTS article 10a(1)(b)), and sensitive payment data (PSD2 article 67(2)(e)).
func limits(f consent.Facts) *consent.Limits {
	l := &consent.Limits{Dataset: formats.Bank, Native: true, Mask: MaskCards}
	fresh := false
	switch {
	case banks(f) && f.Step == consent.StepPermit:
		fresh = f.Consent != nil && Strong(f.Consent.Method) && within(f.Now, f.Consent.Authenticated, New)
	case retrieves(f):
		fresh = f.Retrieval != nil && within(f.Now, f.Retrieval.Authenticated, New)
	default:
		return nil
	}
	if !fresh {
		l.From = Since(f.Now)
	}
	return l
}

// Since is the first day whose transactions are given at a time: 90 days before. Days are those of UTC.
func Since(now time.Time) string { return now.UTC().AddDate(0, 0, -Window).Format(time.DateOnly) }

// free are the members in which somebody wrote what they liked.
var free = []string{"remittanceInformationUnstructured", "additionalInformation", "creditorName", "debtorName", "name", "product", "ownerName", "institution", "category"}

// MaskCards hides card numbers, with which fraud can be carried out (PSD2 article 4(32)), in the texts of a body: all but
// their last four digits. It returns how many there were. The name of the owner and the account number are not sensitive.
func MaskCards(body json.RawMessage) (json.RawMessage, int) {
	if !mayHold(body) {
		return body, 0
	}
	var members map[string]json.RawMessage
	if json.Unmarshal(body, &members) != nil {
		return body, 0
	}
	n := 0
	for _, name := range free {
		var text string
		if json.Unmarshal(members[name], &text) != nil {
			continue
		}
		masked, found := mask(text)
		if found == 0 {
			continue
		}
		n += found
		var value bytes.Buffer
		enc := json.NewEncoder(&value)
		enc.SetEscapeHTML(false)
		if err := enc.Encode(masked); err != nil {
			return nil, n // rather nothing than a card number
		}
		members[name] = bytes.TrimSpace(value.Bytes())
	}
	if n == 0 && !twice(body, len(members)) {
		return body, 0
	}
	out, err := json.Marshal(members)
	if err != nil {
		return nil, n
	}
	return out, n
}

// twice reports whether a body has more members than names: of those of one name others may read another one than was looked at.
func twice(body []byte, names int) bool {
	members := 0
	_, err := formats.AppendMembers(nil, body, func(string) bool { members++; return false })
	return err != nil || members != names
}

// mayHold reports whether there are as many digits in a row, with a blank, a dash or a dot between some, as a card number has; or
// digits that are escaped, which nobody writes who has nothing to hide.
func mayHold(text []byte) bool {
	if bytes.Contains(text, []byte(`\u003`)) {
		return true
	}
	n := 0
	for _, b := range text {
		switch {
		case b >= '0' && b <= '9':
			if n++; n >= shortest {
				return true
			}
		case !separates(b):
			n = 0
		}
	}
	return false
}

// The lengths of card numbers (ISO/IEC 7812-1).
const (
	shortest = 13
	longest  = 19
)

// mask hides the card numbers in a text.
func mask(text string) (string, int) {
	var out strings.Builder
	found := 0
	for i := 0; i < len(text); {
		list := groups(text, i)
		if len(list) == 0 {
			out.WriteByte(text[i])
			i++
			continue
		}
		if end := list[len(list)-1].end; isIBAN(text, i, end) {
			out.WriteString(text[i:end])
			i = end
			continue
		}
		hidden, end := hide(text, list)
		out.WriteString(hidden)
		i = end
		if strings.HasPrefix(hidden, stars) {
			found++
		}
	}
	return out.String(), found
}

// stars stand for what is hidden of a card number.
const stars = "************"

// hide returns what a text says where its first groups are a card number, and where that ends; or else its first group. A date or
// an amount may stand beside the number: any groups that follow each other may be it, and the longest is.
func hide(text string, list []group) (shown string, end int) {
	digits := ""
	shown, end = text[list[0].begin:list[0].end], list[0].end
	for _, g := range list {
		if digits += text[g.begin:g.end]; len(digits) > longest {
			break
		}
		if isCard(digits) {
			shown, end = stars+digits[len(digits)-4:], g.end
		}
	}
	return shown, end
}

// group is where some digits stand.
type group struct{ begin, end int }

// groups are the groups of digits that begin at a place, with single blanks, dashes or dots between them.
func groups(text string, at int) (list []group) {
	for at < len(text) && len(list) < longest { // a card number has no more, nor has the account number that somebody writes
		end := at
		for end < len(text) && text[end] >= '0' && text[end] <= '9' {
			end++
		}
		if end == at {
			break
		}
		list = append(list, group{at, end})
		if end == len(text) || !separates(text[end]) {
			break
		}
		at = end + 1
	}
	return list
}

func separates(b byte) bool { return b == ' ' || b == '-' || b == '.' }

// isIBAN reports whether digits, with the two letters before them, are an account number by its check digits (ISO 13616), which
// is not sensitive (PSD2 article 4(32)): some of its groups might look like a card's.
func isIBAN(text string, begin, end int) bool {
	if begin < 2 || !isCapital(text[begin-2]) || !isCapital(text[begin-1]) {
		return false
	}
	rest, digits := 0, 0
	number := text[min(begin+2, end):end] + text[begin-2:begin] + text[begin:min(begin+2, end)]
	for i := range len(number) {
		switch c := number[i]; {
		case c >= '0' && c <= '9':
			rest = (rest*10 + int(c-'0')) % 97
			digits++
		case isCapital(c):
			rest = (rest*100 + int(c-'A') + 10) % 97
		}
	}
	return rest == 1 && digits >= shortest
}

func isCapital(b byte) bool { return b >= 'A' && b <= 'Z' }

// isCard reports whether digits are a card number: of a payment scheme, and with its check digit (ISO/IEC 7812-1 annex B).
func isCard(digits string) bool {
	if len(digits) < shortest || len(digits) > longest || !strings.ContainsRune("23456", rune(digits[0])) {
		return false
	}
	sum := 0
	for i := range len(digits) {
		n := int(digits[len(digits)-1-i] - '0')
		if i%2 == 1 {
			if n *= 2; n > 9 {
				n -= 9
			}
		}
		sum += n
	}
	return sum%10 == 0
}
