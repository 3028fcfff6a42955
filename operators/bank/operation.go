package bank

import (
	"encoding/json"
	"errors"
	"regexp"
	"strings"
	"unicode/utf8"

	"github.com/passerelle-cloud/passerelle/formats"
)

// Operation is a movement of an account as it was just read: it has no id yet, which [Match] gives it.
type Operation struct {
	Body   formats.BankOperation
	Native json.RawMessage // as the bank wrote it; nil where rules withhold it

	text json.RawMessage // the body
}

// transaction is an operation as banks write it. What one of them may write otherwise is raw.
type transaction struct {
	ID           string          `json:"transactionId"`
	Entry        string          `json:"entryReference"`
	EndToEnd     string          `json:"endToEndId"`
	Mandate      string          `json:"mandateId"`
	CreditorID   string          `json:"creditorId"`
	Booked       string          `json:"bookingDate"`
	Value        string          `json:"valueDate"`
	Amount       *amount         `json:"transactionAmount"`
	Creditor     string          `json:"creditorName"`
	CreditorAt   *Reference      `json:"creditorAccount"`
	Debtor       string          `json:"debtorName"`
	DebtorAt     *Reference      `json:"debtorAccount"`
	Text         string          `json:"remittanceInformationUnstructured"`
	Texts        []string        `json:"remittanceInformationUnstructuredArray"`
	Structured   json.RawMessage `json:"remittanceInformationStructured"`
	More         string          `json:"additionalInformation"`
	Code         string          `json:"bankTransactionCode"`
	Proprietary  string          `json:"proprietaryBankTransactionCode"`
	EntryDetails json.RawMessage `json:"entryDetails"`
}

// The states of an operation.
const (
	booked  = "booked"
	pending = "pending"
)

// operation reads an operation of a list; the error says why it cannot be taken over.
func (c *Client) operation(raw json.RawMessage, status string, of *Reference) (formats.BankOperation, error) {
	var t transaction
	if err := json.Unmarshal(raw, &t); err != nil {
		return formats.BankOperation{}, errors.New(line(err.Error(), 200))
	}
	if t.Amount == nil {
		return formats.BankOperation{}, errors.New("it has no amount")
	}
	money, err := t.Amount.parse()
	if err != nil {
		return formats.BankOperation{}, err
	}
	if !utf8.Valid(raw) {
		return formats.BankOperation{}, errors.New("it is not UTF-8")
	}
	op := formats.BankOperation{
		TransactionID: t.ID, EntryReference: t.Entry, EndToEndID: t.EndToEnd, MandateID: t.Mandate, CreditorID: t.CreditorID, Status: status,
		BookingDate: c.day(t.Booked), ValueDate: c.day(t.Value), TransactionAmount: money,
		CreditorName: t.Creditor, CreditorAccount: t.CreditorAt.of(), DebtorName: t.Debtor, DebtorAccount: t.DebtorAt.of(),
		Remittance: t.remittance(), AdditionalInfo: t.More, BankTransactionCode: t.Code, ProprietaryCode: t.Proprietary,
	}
	if t.Booked != "" && op.BookingDate == "" || t.Value != "" && op.ValueDate == "" {
		return formats.BankOperation{}, errors.New("its day is not understood")
	}
	if status == booked && op.BookingDate == "" && op.ValueDate == "" {
		return formats.BankOperation{}, errors.New("it is booked, and has no day")
	}
	if c.profile.has(Unsigned) {
		sign(&op, of)
	}
	return op, nil
}

// remittance is the text of an operation, wherever the bank put it.
func (t *transaction) remittance() string {
	if t.Text != "" {
		return t.Text
	}
	if len(t.Texts) > 0 {
		return strings.Join(t.Texts, "\n")
	}
	var text string
	if json.Unmarshal(t.Structured, &text) == nil {
		return text
	}
	var older struct {
		Reference string `json:"reference"`
	}
	_ = json.Unmarshal(t.Structured, &older) // another form is in the native document
	return older.Reference
}

var currencyForm = regexp.MustCompile(`^[A-Z]{3}$`)

// of keeps of a reference what a record has a place for.
func (r *Reference) of() *formats.BankReference {
	if r == nil {
		return nil
	}
	kept := &formats.BankReference{IBAN: compact(r.IBAN), BBAN: compact(r.BBAN)}
	if currencyForm.MatchString(r.Currency) {
		kept.Currency = r.Currency
	}
	if kept.IBAN == "" && kept.BBAN == "" {
		return nil
	}
	return kept
}

// sign gives an amount the sign that the bank leaves out: money leaves the account where the account is the debtor's.
func sign(op *formats.BankOperation, of *Reference) {
	if op.TransactionAmount.Amount.Negative() {
		return
	}
	ours := func(r *formats.BankReference) bool {
		return r != nil && of != nil && (r.IBAN != "" && r.IBAN == of.IBAN || r.BBAN != "" && r.BBAN == of.BBAN)
	}
	leaves := ours(op.DebtorAccount) || op.DebtorAccount == nil && op.DebtorName == "" && (op.CreditorName != "" || op.CreditorAccount != nil)
	if leaves && op.TransactionAmount.Amount.Rat().Sign() > 0 {
		op.TransactionAmount.Amount = "-" + op.TransactionAmount.Amount
	}
}

// dayOf is the day by which an operation is found again.
func dayOf(op *formats.BankOperation) string {
	for _, day := range []string{op.BookingDate, op.ValueDate, op.TransactionDate} {
		if day != "" {
			return day
		}
	}
	return ""
}

// operationRecord is the record of an operation of an account. text is the body, if it was written already.
func operationRecord(id, account string, body formats.BankOperation, text, native json.RawMessage) (formats.Record, error) {
	var err error
	if text == nil {
		text, err = json.Marshal(body)
	}
	r := formats.Record{ID: id, Dataset: formats.Bank, Kind: formats.KindOperation, Body: text,
		Links: []formats.Link{{Rel: "account", Dataset: formats.Bank, ID: account}}}
	if len(native) > 0 {
		r.Native = &formats.Native{Type: NativeOperation, Document: native}
	}
	return r, err
}
