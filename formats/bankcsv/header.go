package bankcsv

import (
	"slices"
	"strings"
	"unicode"
)

// accents are what a header may have or not.
var accents = strings.NewReplacer("à", "a", "â", "a", "ä", "a", "ç", "c", "é", "e", "è", "e", "ê", "e", "ë", "e", "î", "i", "ï", "i", "ô", "o", "ö", "o", "ù", "u",
	"û", "u", "ü", "u", "ß", "ss", "ae", "a", "oe", "o", "ue", "u")

// fold returns a name without what differs from bank to bank: case, accents, spaces and signs.
func fold(s string) string {
	s = strings.Map(func(c rune) rune {
		if unicode.IsLetter(c) || unicode.IsDigit(c) {
			return unicode.ToLower(c)
		}
		return -1
	}, s)
	return accents.Replace(s)
}

// Columns that only others have.
const (
	debit       = "debit"       // what leaves the account, with or without a sign
	credit      = "credit"      // what comes in
	direction   = "direction"   // of an amount without a sign
	party       = "party"       // name of who pays or is paid
	partyNumber = "partyNumber" // of that one's account
	balance     = "balance"     // after the operation; it only tells that a row is a header
)

// word is a column of ours and what others call it, the surest name first.
type word struct {
	column string
	names  []string
}

// folded returns the words with folded names.
func folded(words []word) []word {
	for _, w := range words {
		for i, name := range w.names {
			w.names[i] = fold(name)
		}
	}
	return words
}

// operationWords are the names of columns in English, French and German. A name may stand for several columns (days,
// labels): it is the first that has no column by then.
func operationWords() []word {
	return []word{
		{"bookingDate", []string{"booking date", "posted date", "posting date", "date comptable", "date de comptabilisation", "date comptabilisation", "Buchungstag",
			"Buchungsdatum", "Buchung", "date", "date opération", "date d'opération", "date de l'opération", "date op", "Datum"}},
		{"valueDate", []string{"value date", "date valeur", "date de valeur", "Valuta", "Valutadatum", "Wertstellung", "Wertstellungstag"}},
		{"transactionDate", []string{"transaction date", "date opération", "date d'opération", "date de l'opération", "date op", "date"}},
		{"transactionAmount.amount", []string{"amount", "transaction amount", "montant", "montant de l'opération", "Betrag", "Umsatz"}},
		{debit, []string{"debit", "débit", "débits", "debit amount", "montant débit", "Soll", "money out", "paid out", "withdrawal", "withdrawals", "Belastung", "dépense", "dépenses"}},
		{credit, []string{"credit", "crédit", "crédits", "credit amount", "montant crédit", "Haben", "money in", "paid in", "deposit", "deposits", "Gutschrift", "recette", "recettes"}},
		{direction, []string{"sens", "Soll/Haben", "S/H", "Soll/Haben-Kennzeichen", "debit/credit", "credit/debit", "credit debit indicator", "débit/crédit"}},
		{"transactionAmount.currency", []string{"currency", "ccy", "devise", "monnaie", "Währung"}},
		{"remittanceInformationUnstructured", []string{"libellé", "libellé opération", "libellé de l'opération", "label", "description", "narrative", "Verwendungszweck", "libellé simplifié", "details", "wording", "memo"}},
		{"additionalInformation", []string{"informations complémentaires", "détail", "détails", "note", "notes", "commentaire", "libellé simplifié", "memo", "details"}},
		{party, []string{"tiers", "bénéficiaire", "payee", "payer", "counterparty", "counterparty name", "Begünstigter/Zahlungspflichtiger", "Auftraggeber/Empfänger",
			"Auftraggeber/Begünstigter", "Name Zahlungsbeteiligter", "contrepartie", "partner name"}},
		{partyNumber, []string{"counterparty iban", "IBAN Zahlungsbeteiligter", "Kontonummer/IBAN", "iban contrepartie", "partner iban", "IBAN des Zahlungsbeteiligten"}},
		{"category", []string{"category", "catégorie", "Kategorie"}},
		{"status", []string{"status", "statut", "state", "état", "Info"}},
		{"proprietaryBankTransactionCode", []string{"type", "type opération", "type d'opération", "transaction type", "Buchungstext", "Buchungsart", "nature"}},
		{"transactionId", []string{"transaction id", "id", "operation id", "identifiant"}},
		{"entryReference", []string{"reference", "référence", "ref", "référence opération", "Referenz"}},
		{"endToEndId", []string{"end to end id", "Kundenreferenz (End-to-End)", "Ende-zu-Ende-Referenz"}},
		{"mandateId", []string{"mandate id", "Mandatsreferenz", "mandat", "référence du mandat"}},
		{"creditorId", []string{"creditor id", "Gläubiger ID", "Gläubiger-ID", "ICS"}},
		{balance, []string{"balance", "solde", "Saldo", "Saldo nach Buchung", "running balance"}},
	}
}

// accountWords are those of accounts.
func accountWords() []word {
	return []word{
		{"name", []string{"name", "account name", "libellé", "intitulé", "nom du compte", "Kontoname", "Bezeichnung"}},
		{"iban", []string{"iban"}},
		{"bban", []string{"number", "account number", "account", "compte", "numéro", "numéro de compte", "n° de compte", "Konto", "Kontonummer"}},
		{"currency", []string{"currency", "devise", "Währung"}},
		{"ownerName", []string{"owner", "holder", "account holder", "titulaire", "Kontoinhaber", "Inhaber"}},
		{"institution", []string{"bank", "bank name", "banque", "établissement", "Bank", "Institut"}},
		{"bic", []string{"bic", "swift", "bic/swift"}},
		{"product", []string{"type", "account type", "type de compte", "product", "produit", "Kontoart"}},
	}
}

// layout says which column of a file is which of ours.
type layout struct {
	table
	header   []string
	columns  []string // for each of header, "" if it is unknown
	currency string   // that a name tells, as "Montant (EUR)"

	sign       byte // that parts decimals
	monthFirst bool // of days as 01/02/2026

	values map[string]value // how the cells of each column are read
}

// layout finds out which columns a header names. A name that is ours is that column; otherwise names are taken in the
// order of the words, so that the surer name has a column that two names might have.
func (t table) layout(header []string) *layout {
	l := &layout{table: t, header: header, columns: make([]string, len(header)), sign: '.'}
	names := make([]string, len(header))
	for i, name := range header {
		names[i] = fold(name)
	}
	l.values = map[string]value{debit: isAmount, credit: isAmount}
	for _, c := range t.empty().cells() {
		l.values[c.name] = c.value
		for i, name := range header {
			if strings.TrimSpace(name) == c.name && l.columns[i] == "" && !l.has(c.name) {
				l.columns[i] = c.name
			}
		}
	}
	for _, euro := range []string{"", fold("eur"), fold("euro"), fold("euros"), fold("en euros"), fold("in eur"), fold("in euro")} {
		for _, w := range t.words {
			l.find(w, names, euro)
		}
	}
	return l
}

// find looks for the column that a word names, with or without a currency behind.
func (l *layout) find(w word, names []string, euro string) {
	if l.has(w.column) {
		return
	}
	for _, name := range w.names {
		for i, have := range names {
			if rest, ok := strings.CutSuffix(have, euro); ok && rest == name && l.columns[i] == "" {
				l.columns[i] = w.column
				if euro != "" {
					l.currency = "EUR"
				}
				return
			}
		}
	}
}

func (l *layout) has(column string) bool { return slices.Contains(l.columns, column) }

// known counts the columns that are known.
func (l *layout) known() int {
	n := 0
	for _, c := range l.columns {
		if c != "" {
			n++
		}
	}
	return n
}
