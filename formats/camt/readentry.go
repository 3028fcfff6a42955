package camt

import (
	"cmp"
	"fmt"
	"math/big"
	"regexp"
	"strings"

	"github.com/passerelle-cloud/passerelle/formats"
)

// operation is an operation that was read.
type operation struct {
	op        formats.BankOperation
	reference string // that identifies it at the bank, if any
	details   *node  // TxDtls, if any
}

func (n *node) ccy() string {
	if n == nil {
		return ""
	}
	return n.currency
}

func (n *node) fault(format string, args ...any) error {
	return fmt.Errorf("%w: camt: line %d: %s", formats.ErrInvalid, n.line, fmt.Sprintf(format, args...))
}

// readAccount reads an account from what holds Acct and Bal. A balance that is not understood is left out.
func readAccount(n *node) formats.BankAccount {
	acct := n.at("Acct")
	number := readReference(acct)
	a := formats.BankAccount{
		Currency: matching(currencyForm, acct.get("Ccy")), Name: acct.get("Nm"), CashAccountType: acct.get("Tp", "Cd"), OwnerName: acct.first("Ownr/Nm", "Ownr/Pty/Nm"),
		BIC: acct.first("Svcr/FinInstnId/BICFI", "Svcr/FinInstnId/BIC"), Institution: acct.get("Svcr", "FinInstnId", "Nm"),
	}
	if number != nil {
		a.IBAN, a.BBAN = number.IBAN, number.BBAN
	}
	for _, b := range n.all("Bal") {
		balance, ok := readBalance(b, a.Currency)
		if !ok {
			continue
		}
		a.Currency = cmp.Or(a.Currency, balance.BalanceAmount.Currency)
		a.Balances = append(a.Balances, balance)
	}
	return a
}

func readBalance(n *node, currency string) (formats.BankBalance, bool) {
	amount, err := readAmount(n, n.at("Amt"), currency)
	b := formats.BankBalance{BalanceAmount: amount, BalanceType: n.first("Tp/CdOrPrtry/Prtry", "Tp/Prtry"), ReferenceDate: readDay(n.at("Dt"))}
	if code := n.first("Tp/CdOrPrtry/Cd", "Tp/Cd"); code != "" {
		b.BalanceType = balanceName(code)
	}
	return b, err == nil && b.BalanceType != ""
}

// decimalForm is that of xs:decimal.
var decimalForm = regexp.MustCompile(`^[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)$`)

// readAmount reads an amount whose sign stands in the element n beside it.
func readAmount(n, amt *node, currency string) (formats.Amount, error) {
	a := formats.Amount{Currency: cmp.Or(amt.ccy(), currency)}
	if amt == nil {
		return a, n.fault("%s has no amount (Amt)", n.name)
	}
	if !currencyForm.MatchString(a.Currency) {
		return a, amt.fault("the currency %q of an amount is no ISO 4217 code", clip(a.Currency))
	}
	if !decimalForm.MatchString(amt.text) || len(amt.text) > 1000 {
		return a, amt.fault("the amount %q is not a decimal number", clip(amt.text))
	}
	text := strings.TrimSuffix(strings.TrimLeft(amt.text, "+-"), ".")
	if strings.HasPrefix(text, ".") {
		text = "0" + text
	}
	d, err := formats.ParseDecimal(text)
	if err != nil {
		return a, amt.fault("the amount %q is not a decimal number", clip(amt.text))
	}
	negative := strings.HasPrefix(amt.text, "-")
	switch indicator := n.get("CdtDbtInd"); indicator {
	case "CRDT":
	case "DBIT":
		negative = !negative
	default:
		return a, n.fault("CdtDbtInd of %s is %q; it must be CRDT or DBIT", n.name, clip(indicator))
	}
	if negative && d.Rat().Sign() != 0 {
		d = "-" + d
	}
	a.Amount = d
	return a, nil
}

// clip returns the beginning of a text, for a message: the rest is the person's.
func clip(s string) string {
	const most = 20
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}

// readDay reads a day from what holds Dt or DtTm. What is no day is none: the native document has it.
func readDay(n *node) string {
	text := n.first("Dt", "DtTm")
	if len(text) < len("2006-01-02") {
		return ""
	}
	return dayOf(text[:len("2006-01-02")])
}

// readReference reads the number of an account, or nil if there is none.
func readReference(n *node) *formats.BankReference {
	r := formats.BankReference{
		IBAN: strings.Join(strings.Fields(n.get("Id", "IBAN")), ""), BBAN: n.first("Id/Othr/Id", "Id/BBAN", "Id/PrtryAcct/Id"),
		Currency: matching(currencyForm, n.get("Ccy")),
	}
	if r.IBAN == "" && r.BBAN == "" {
		return nil
	}
	return &r
}

// transactions returns every TxDtls of an entry.
func transactions(n *node) []*node {
	var list []*node
	for _, d := range n.all("NtryDtls") {
		list = append(list, d.all("TxDtls")...)
	}
	return list
}

// readEntry reads the operations of an entry, at least one. Currency is that of the account.
func readEntry(n *node, currency string) ([]operation, error) {
	amount, err := readAmount(n, n.at("Amt"), currency)
	if err != nil {
		return nil, err
	}
	details := transactions(n)
	if amounts := split(n, details, amount); amounts != nil {
		list := make([]operation, len(details))
		for i, d := range details {
			list[i] = readOperation(n, d, amounts[i])
		}
		return list, nil
	}
	var only *node
	if len(details) == 1 {
		only = details[0]
	}
	o := readOperation(n, only, amount)
	o.op.AdditionalInfo = cmp.Or(o.op.AdditionalInfo, n.get("AddtlNtryInf"))
	return []operation{o}, nil
}

// split returns the amounts of the transactions of an entry, or nil if there are not several or if they do not add up
// to that of the entry, as where charges were taken off.
func split(n *node, details []*node, total formats.Amount) []formats.Amount {
	if len(details) < 2 {
		return nil
	}
	var amounts []formats.Amount
	sum := new(big.Rat)
	for _, d := range details {
		amt := d.at("Amt")
		if amt == nil {
			amt = d.at("AmtDtls", "TxAmt", "Amt") // before version 3
		}
		sign := d
		if d.at("CdtDbtInd") == nil {
			sign = n
		}
		a, err := readAmount(sign, amt, total.Currency)
		if err != nil || a.Currency != total.Currency {
			return nil
		}
		amounts = append(amounts, a)
		sum.Add(sum, a.Amount.Rat())
	}
	if sum.Cmp(total.Amount.Rat()) != 0 {
		return nil
	}
	return amounts
}

// readOperation reads what an entry and one transaction of it say.
func readOperation(n, d *node, amount formats.Amount) operation {
	op := formats.BankOperation{
		EntryReference: short(n.get("NtryRef")), EndToEndID: reference(d.get("Refs", "EndToEndId")), MandateID: d.get("Refs", "MndtId"),
		Status: readStatus(n), BookingDate: readDay(n.at("BookgDt")), ValueDate: readDay(n.at("ValDt")), TransactionDate: readActed(d.at("RltdDts")),
		TransactionAmount: amount, Remittance: readRemittance(d.at("RmtInf")), AdditionalInfo: d.get("AddtlTxInf"),
		BankTransactionCode: short(cmp.Or(readCode(d), readCode(n))), ProprietaryCode: short(cmp.Or(d.get("BkTxCd", "Prtry", "Cd"), n.get("BkTxCd", "Prtry", "Cd"))),
	}
	parties := d.at("RltdPties")
	op.DebtorName, op.DebtorAccount = readParty(parties, "Dbtr")
	op.CreditorName, op.CreditorAccount = readParty(parties, "Cdtr")
	op.CreditorID = readCreditorID(parties.at("Cdtr"))
	o := operation{op: op, details: d}
	for _, text := range []string{d.get("Refs", "AcctSvcrRef"), n.get("AcctSvcrRef"), d.get("Refs", "TxId")} {
		o.reference = cmp.Or(o.reference, reference(text))
	}
	o.op.TransactionID = o.reference
	return o
}

// reference returns a reference, or nothing for the words that say that there is none.
func reference(text string) string {
	switch strings.ToUpper(text) {
	case "NOTPROVIDED", "NOT PROVIDED", "NONREF", "NOTAVAILABLE":
		return ""
	}
	return short(text)
}

// short returns a text that may be repeated in each operation of an entry, or nothing if it is far longer than the
// standard allows: the native document has it.
func short(text string) string {
	if len(text) > 256 {
		return ""
	}
	return text
}

// readStatus returns the status of an entry: before version 8 it stands in Sts itself.
func readStatus(n *node) string {
	switch n.first("Sts/Cd", "Sts") {
	case "PDNG", "FUTR", "INFO":
		return "pending"
	}
	return "booked"
}

// readActed returns the day on which the person acted, if it is said.
func readActed(dates *node) string {
	for _, p := range dates.all("Prtry") {
		if p.get("Tp") == ownDate {
			return readDay(p.at("Dt"))
		}
	}
	for _, name := range []string{"TxDtTm", "AccptncDtTm"} {
		if text := dates.get(name); len(text) >= len("2006-01-02") {
			return dayOf(text[:len("2006-01-02")])
		}
	}
	return ""
}

// readCode returns the ISO 20022 code of what happened, such as PMNT-RDDT-ESDD.
func readCode(n *node) string {
	domain := n.at("BkTxCd", "Domn")
	codes := []string{domain.get("Cd"), domain.get("Fmly", "Cd"), domain.get("Fmly", "SubFmlyCd")}
	if codes[0] == "" || codes[1] == "" || codes[2] == "" {
		return ""
	}
	return strings.Join(codes, "-")
}

// readParty reads a debtor or creditor: before version 8 it has no Pty in between.
func readParty(parties *node, role string) (string, *formats.BankReference) {
	name := parties.first(role+"/Pty/Nm", role+"/Nm", role+"/Agt/FinInstnId/Nm")
	return name, readReference(parties.at(role + "Acct"))
}

func readCreditorID(creditor *node) string {
	if pty := creditor.at("Pty"); pty != nil {
		creditor = pty
	}
	for _, other := range creditor.at("Id", "PrvtId").all("Othr") {
		if other.get("SchmeNm", "Prtry") == sepa {
			return other.get("Id")
		}
	}
	return ""
}

// readRemittance returns what the payer wrote: the lines of it, or else the reference of the creditor.
func readRemittance(n *node) string {
	var lines []string
	for _, u := range n.all("Ustrd") {
		if u.text != "" {
			lines = append(lines, u.text)
		}
	}
	if len(lines) == 0 {
		for _, s := range n.all("Strd") {
			if text := s.first("CdtrRefInf/Ref", "CdtrRefInf/CdtrRef", "AddtlRmtInf"); text != "" {
				lines = append(lines, text)
			}
		}
	}
	return strings.Join(lines, "\n")
}
