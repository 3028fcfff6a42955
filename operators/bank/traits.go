package bank

import (
	"encoding/json"
	"strings"
	"unicode"

	"github.com/passerelle-cloud/passerelle/formats"
)

// traits are what an operation is compared by.
type traits struct {
	id       string // a name that can be relied on; "" if there is none
	entry    string // entryReference and endToEndId, which several may share
	endToEnd string
	status   string
	day      string
	money    string // currency and amount, in one form
	size     string // the same without its sign
	negative bool
	text     string // in one form
	party    string // whom the money comes from or goes to
	strict   string // what does not change in an operation that is left alone
	whole    string // everything but its names: only where there is something to compare with
}

func traitsOf(op *formats.BankOperation, w Covered) traits {
	t := traits{entry: op.EntryReference, endToEnd: provided(op.EndToEndID), status: op.Status, day: dayOf(op), text: plain(op.Remittance), negative: strings.HasPrefix(string(op.TransactionAmount.Amount), "-")}
	if t.status == "" {
		t.status = booked
	}
	if w.IDs {
		t.id = op.TransactionID
	}
	if t.id == "" && w.Delta {
		t.id = op.EntryReference
	}
	number := canonical(op.TransactionAmount.Amount.Abs())
	t.size = op.TransactionAmount.Currency + " " + number
	t.money = t.size
	if t.negative {
		t.money = op.TransactionAmount.Currency + " -" + number
	}
	t.party = party(op, t.negative)
	t.strict = join(t.status, t.day, t.money, t.text, t.party, t.endToEnd, plain(op.AdditionalInfo))
	return t
}

// wholeOf is everything of an operation but its names.
func wholeOf(op *formats.BankOperation, t *traits) string {
	return join(t.strict, op.BookingDate, op.ValueDate, op.TransactionDate, op.Remittance, op.AdditionalInfo, op.EndToEndID, op.MandateID, op.CreditorID,
		op.CreditorName, reference(op.CreditorAccount), op.DebtorName, reference(op.DebtorAccount), op.BankTransactionCode, op.ProprietaryCode)
}

func join(texts ...string) string { return strings.Join(texts, "\x00") }

// identical, wholly, named and alike are what must be equal in the rounds that know for sure.
func (t *traits) identical() string { return named(t.id, t.whole) }
func (t *traits) wholly() string    { return t.whole }
func (t *traits) named() string     { return named(t.id, t.strict) }
func (t *traits) alike() string     { return t.strict }

func named(id, what string) string {
	if id == "" {
		return ""
	}
	return join(id, what)
}

// provided leaves out what says that there is nothing.
func provided(endToEnd string) string {
	switch strings.ToUpper(strings.ReplaceAll(endToEnd, " ", "")) {
	case "NOTPROVIDED", "NONREF", "NONE", "-":
		return ""
	}
	return endToEnd
}

// canonical writes a number without needless zeros.
func canonical(d formats.Decimal) string {
	whole, fraction, _ := strings.Cut(string(d), ".")
	whole, fraction = strings.TrimLeft(whole, "0"), strings.TrimRight(fraction, "0")
	if whole == "" {
		whole = "0"
	}
	if fraction == "" {
		return whole
	}
	return whole + "." + fraction
}

// plain writes a text in one form: lower case, one blank between words.
func plain(s string) string {
	if s == "" || isPlain(s) {
		return s
	}
	return strings.ToLower(strings.Join(strings.Fields(s), " "))
}

func isPlain(s string) bool {
	before := byte(' ')
	for i := range len(s) {
		if c := s[i]; c >= 0x80 || c >= 'A' && c <= 'Z' || c < ' ' || c == ' ' && before == ' ' {
			return false
		}
		before = s[i]
	}
	return before != ' '
}

func party(op *formats.BankOperation, leaves bool) string {
	account, name := op.DebtorAccount, op.DebtorName
	if leaves {
		account, name = op.CreditorAccount, op.CreditorName
	}
	if r := reference(account); r != "" {
		return r
	}
	return plain(name)
}

func reference(r *formats.BankReference) string {
	if r == nil {
		return ""
	}
	if r.IBAN != "" {
		return r.IBAN
	}
	return r.BBAN
}

// similar reports whether two texts may be about the same: one is missing or in the other, or they share a word that is
// neither short nor a number.
func similar(a, b string) bool {
	if a == "" || b == "" || strings.Contains(a, b) || strings.Contains(b, a) {
		return true
	}
	words := map[string]bool{}
	for _, w := range strings.FieldsFunc(a, notInWord) {
		words[w] = len(w) >= 4 && strings.ContainsFunc(w, unicode.IsLetter)
	}
	for _, w := range strings.FieldsFunc(b, notInWord) {
		if words[w] {
			return true
		}
	}
	return false
}

func notInWord(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) }

// agree reports whether two names do not contradict each other.
func agree(a, b string) bool { return a == "" || b == "" || a == b }

// byMoney and byText are the groups in which a reservation and what it became are looked for.
func (t *traits) byMoney() string { return t.money }

func (t *traits) byText() string {
	if t.text == "" {
		return ""
	}
	return join(t.money[:3], t.text)
}

// both is a round whose groups are the same for what is known and what was seen.
func (m *matcher) both(group func(*traits) string, apart func(k, s int) (int, bool)) round {
	return round{known: func(k int) string { return group(&m.k[k]) }, seen: func(s int) string { return group(&m.s[s]) }, apart: apart}
}

// instead is a round about what is not given any more as it was, and what may have come in its place.
func (m *matcher) instead(group func(*traits) string, apart func(k, s int) (int, bool)) round {
	r := m.both(group, apart)
	r.known = func(k int) string {
		if !m.w.Complete || !m.expected(k) {
			return ""
		}
		return group(&m.k[k])
	}
	return r
}

// byName is the same name for something that the bank changed: but not for what has nothing else in common, since some banks
// give a name twice.
func (m *matcher) byName() round {
	return m.both(func(t *traits) string { return t.id }, func(k, s int) (int, bool) {
		a, b := &m.k[k], &m.s[s]
		becomes := a.status == pending && b.status == booked
		return distance(a, b), a.size == b.size || a.day == b.day && similar(a.text, b.text) && agree(a.party, b.party) || becomes && a.negative == b.negative && similar(a.text, b.text)
	})
}

// of is the group of what has a status.
func of(t *traits, status string, group func(*traits) string) string {
	if t.status != status {
		return ""
	}
	return group(t)
}

// fromPending is a reservation that is booked now: mostly some days later, often with another text, and sometimes (a tip, fuel,
// a hotel) with another amount.
func (m *matcher) fromPending(group func(*traits) string) round {
	return round{
		known: func(k int) string { return of(&m.k[k], pending, group) },
		seen:  func(s int) string { return of(&m.s[s], booked, group) },
		apart: func(k, s int) (int, bool) { return becomes(&m.k[k], &m.s[s]) },
	}
}

// toPending is an answer from before something was booked, which came from a store of the bank's that is behind.
func (m *matcher) toPending() round {
	return round{
		known: func(k int) string { return of(&m.k[k], booked, (*traits).byMoney) },
		seen:  func(s int) string { return of(&m.s[s], pending, (*traits).byMoney) },
		apart: func(k, s int) (int, bool) {
			far, ok := becomes(&m.s[s], &m.k[k])
			return far, ok && m.w.Complete
		},
	}
}

// becomes says how surely a reservation became something that is booked.
func becomes(a, b *traits) (int, bool) {
	if a.negative != b.negative {
		return 0, false
	}
	far, later := distance(a, b), daysBetween(a.day, b.day)
	known := a.day != "" && b.day != ""
	within := func(before, after int) bool { return !known || later >= -before && later <= after }
	linked := a.entry != "" && a.entry == b.entry || a.endToEnd != "" && a.endToEnd == b.endToEnd
	equal := a.money == b.money
	switch {
	case linked && (equal || a.text == b.text) && within(5, 30):
		return far, true
	case equal && within(3, 14) && agree(a.endToEnd, b.endToEnd) && a.text == b.text:
		return 500 + far, true
	case equal && within(3, 14) && agree(a.endToEnd, b.endToEnd) && a.party != "" && a.party == b.party:
		return 1000 + far, true
	case equal && within(1, 7) && agree(a.endToEnd, b.endToEnd) && agree(a.party, b.party) && similar(a.text, b.text):
		return 2000 + far, true
	case within(1, 7) && a.text != "" && a.text == b.text && agree(a.party, b.party) && agree(a.endToEnd, b.endToEnd):
		return 3000 + far, true
	}
	return 0, false
}

// rewritten is something of which the bank moved the day a little, or wrote the text anew, without a name to know it by. It
// is not given any more as it was: else it would be found already.
func (m *matcher) rewritten() round {
	return m.instead(func(t *traits) string { return join(t.status, t.money) }, func(k, s int) (int, bool) {
		a, b := &m.k[k], &m.s[s]
		if !agree(a.endToEnd, b.endToEnd) {
			return 0, false
		}
		far := distance(a, b)
		switch {
		case far <= 3 && a.text == b.text && agree(a.party, b.party):
			return far, true
		case far <= 3 && a.party != "" && a.party == b.party && similar(a.text, b.text):
			return 10 + far, true
		case far == 0 && similar(a.text, b.text):
			return 100, true
		case far == 0 && agree(a.party, b.party):
			return 500, true
		}
		return 0, false
	})
}

// flipped is something whose sign the bank turned.
func (m *matcher) flipped() round {
	return m.instead(func(t *traits) string { return join(t.status, t.day, t.size, t.text) }, func(k, s int) (int, bool) {
		return 0, m.k[k].negative != m.s[s].negative && agree(m.k[k].endToEnd, m.s[s].endToEnd)
	})
}

// moved is what remains where a bank moves all days: what is paid daily is found again but for its first and last day.
func (m *matcher) moved() round {
	return m.instead(func(t *traits) string { return join(t.status, t.money, t.text) }, func(k, s int) (int, bool) {
		a, b := &m.k[k], &m.s[s]
		far := distance(a, b)
		return far, far <= 15 && agree(a.party, b.party) && agree(a.endToEnd, b.endToEnd)
	})
}

// distance is how many days lie between two; some, where one of them has none.
func distance(a, b *traits) int {
	if a.day == "" || b.day == "" {
		return 3
	}
	return max(daysBetween(a.day, b.day), daysBetween(b.day, a.day))
}

// maxCorrections is how many former states of an operation are kept.
const maxCorrections = 20

// changed says what became of something known that was seen again.
func changed(k *Known, now formats.BankOperation, w Covered) Change {
	c := Change{What: Same, ID: k.ID, Body: k.Body}
	keep(&now, &k.Body)
	was, is := traitsOf(&k.Body, w), traitsOf(&now, w)
	was.whole, is.whole = wholeOf(&k.Body, &was), wholeOf(&now, &is)
	if was.status == booked && is.status == pending {
		return c // an older answer
	}
	learns := k.Body.TransactionID == "" && now.TransactionID != "" && w.IDs
	if was.whole == is.whole && !learns {
		return c
	}
	c.What, c.Body = Changed, now
	if was.status == pending && is.status == booked {
		c.What = Booked
	}
	c.Body.Corrections = k.Body.Corrections
	if before := difference(&k.Body, &c.Body); before != nil {
		c.Body.Corrections = append(c.Body.Corrections[:len(c.Body.Corrections):len(c.Body.Corrections)], formats.BankCorrection{Until: w.Today, Was: before})
	}
	if n := len(c.Body.Corrections); n > maxCorrections { // the first state, and the last ones
		c.Body.Corrections = append([]formats.BankCorrection{c.Body.Corrections[0]}, c.Body.Corrections[n-maxCorrections+1:]...)
	}
	return c
}

// keep keeps of what an operation was what is only left out now: a bank that says less takes nothing back.
func keep(now, was *formats.BankOperation) {
	for _, m := range []struct {
		now *string
		was string
	}{
		{&now.EndToEndID, was.EndToEndID}, {&now.MandateID, was.MandateID}, {&now.CreditorID, was.CreditorID}, {&now.TransactionDate, was.TransactionDate}, {&now.CreditorName, was.CreditorName},
		{&now.DebtorName, was.DebtorName}, {&now.Remittance, was.Remittance}, {&now.AdditionalInfo, was.AdditionalInfo}, {&now.BankTransactionCode, was.BankTransactionCode},
		{&now.ProprietaryCode, was.ProprietaryCode}, {&now.Category, was.Category},
	} {
		if *m.now == "" {
			*m.now = m.was
		}
	}
	if now.CreditorAccount == nil {
		now.CreditorAccount = was.CreditorAccount
	}
	if now.DebtorAccount == nil {
		now.DebtorAccount = was.DebtorAccount
	}
}

// difference returns what the members of an operation were that changed; nil if none did but its names.
func difference(was, is *formats.BankOperation) json.RawMessage {
	before, after := members(was), members(is)
	for _, name := range []string{"transactionId", "entryReference", "corrections"} {
		delete(before, name)
		delete(after, name)
	}
	for name, value := range before {
		if string(after[name]) == string(value) {
			delete(before, name)
			delete(after, name)
		}
	}
	for name := range after {
		if _, ok := before[name]; !ok {
			before[name] = json.RawMessage("null") // it was not there
		}
	}
	if len(before) == 0 {
		return nil
	}
	text, _ := json.Marshal(before) // made of JSON
	return text
}

func members(op *formats.BankOperation) map[string]json.RawMessage {
	text, _ := json.Marshal(op) // texts only
	var m map[string]json.RawMessage
	_ = json.Unmarshal(text, &m)
	return m
}
