package bankcsv

import (
	"cmp"
	"regexp"
	"strings"

	"github.com/passerelle-cloud/passerelle/formats"
)

// operationRow is a row of operations.csv.
type operationRow struct {
	envelope
	account          string // id of its record
	op               formats.BankOperation
	amount           string
	debtor, creditor formats.BankReference
}

func (w *operationRow) cells() []cell {
	o := &w.op
	return append([]cell{
		{"recordId", &w.recordID, isText},
		{"accountRecordId", &w.account, isText},
		{"bookingDate", &o.BookingDate, isDay},
		{"valueDate", &o.ValueDate, isDay},
		{"transactionDate", &o.TransactionDate, isDay},
		{"transactionAmount.amount", &w.amount, isAmount},
		{"transactionAmount.currency", &o.TransactionAmount.Currency, isText},
		{"remittanceInformationUnstructured", &o.Remittance, isText},
		{"creditorName", &o.CreditorName, isText},
		{"creditorAccount.iban", &w.creditor.IBAN, isText},
		{"creditorAccount.bban", &w.creditor.BBAN, isText},
		{"creditorAccount.currency", &w.creditor.Currency, isText},
		{"creditorId", &o.CreditorID, isText},
		{"debtorName", &o.DebtorName, isText},
		{"debtorAccount.iban", &w.debtor.IBAN, isText},
		{"debtorAccount.bban", &w.debtor.BBAN, isText},
		{"debtorAccount.currency", &w.debtor.Currency, isText},
		{"category", &o.Category, isText},
		{"status", &o.Status, isText},
		{"additionalInformation", &o.AdditionalInfo, isText},
		{"bankTransactionCode", &o.BankTransactionCode, isText},
		{"proprietaryBankTransactionCode", &o.ProprietaryCode, isText},
		{"transactionId", &o.TransactionID, isText},
		{"entryReference", &o.EntryReference, isText},
		{"endToEndId", &o.EndToEndID, isText},
		{"mandateId", &o.MandateID, isText},
	}, w.last()...)
}

func (w *operationRow) take(r *formats.Record) (bool, error) {
	var err error
	if w.op, err = formats.BodyAs[formats.BankOperation](*r); err != nil {
		return false, err
	}
	amount, err := formats.ParseDecimal(string(w.op.TransactionAmount.Amount))
	if err != nil {
		return false, nil
	}
	w.amount = string(amount)
	if w.op.CreditorAccount != nil {
		w.creditor = *w.op.CreditorAccount
	}
	if w.op.DebtorAccount != nil {
		w.debtor = *w.op.DebtorAccount
	}
	for _, l := range r.Links {
		if l.Rel == relAccount && l.Dataset == formats.Bank {
			w.account = l.ID
			break
		}
	}
	return true, w.takeEnvelope(r, w.links())
}

const relAccount = "account"

func (w *operationRow) links() []formats.Link {
	if w.account == "" {
		return nil
	}
	return []formats.Link{{Rel: relAccount, Dataset: formats.Bank, ID: w.account}}
}

func (w *operationRow) body() (any, error) {
	if w.amount == "" {
		return nil, fault("there is no amount")
	}
	op := w.op
	op.TransactionAmount.Amount = formats.Decimal(w.amount)
	op.CreditorAccount, op.DebtorAccount = reference(w.creditor), reference(w.debtor)
	return op, nil
}

func reference(r formats.BankReference) *formats.BankReference {
	if r == (formats.BankReference{}) {
		return nil
	}
	return &r
}

func (w *operationRow) complete(f *foreign) error {
	if w.amount == "" {
		w.amount = f.amount
	}
	if w.amount == "" {
		return fault("there is no amount")
	}
	if w.op.BookingDate == "" && w.op.ValueDate == "" && w.op.TransactionDate == "" {
		return fault("there is an amount but no day; a total does not belong here: take it out")
	}
	if f.outgoing && formats.Decimal(w.amount).Rat().Sign() != 0 {
		w.amount = "-" + strings.TrimPrefix(w.amount, "-")
	}
	var err error
	if w.op.TransactionAmount.Currency, err = readCurrency(cmp.Or(w.op.TransactionAmount.Currency, f.currency)); err != nil {
		return err
	}
	w.op.Status = readStatus(w.op.Status)
	name, account := &w.op.DebtorName, &w.debtor
	if strings.HasPrefix(w.amount, "-") {
		name, account = &w.op.CreditorName, &w.creditor
	}
	*name = cmp.Or(*name, f.party)
	if number := strings.Join(strings.Fields(f.partyNumber), ""); number != "" && *account == (formats.BankReference{}) {
		if ibanForm.MatchString(number) {
			account.IBAN = number
		} else {
			account.BBAN = number
		}
	}
	return nil
}

// ibanForm is that of ISO 13616.
var ibanForm = regexp.MustCompile(`^[A-Z]{2}[0-9]{2}[a-zA-Z0-9]{1,30}$`)

// readStatus understands what others write for an operation that is not booked yet.
func readStatus(s string) string {
	switch fold(s) {
	case "pending", "pdng", "avenir", "encours", "enattente", "vorgemerkt", "umsatzvorgemerkt":
		return "pending"
	}
	return "booked"
}

func (w *operationRow) id() string { return w.op.TransactionID }
