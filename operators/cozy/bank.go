package cozy

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/passerelle-cloud/passerelle/formats"
)

const (
	relAccount       = "account"
	relBill          = "bill"
	relReimbursement = "reimbursement"
	relDocument      = "document"
	relOperation     = "operation"
	healthCosts      = "health_costs"
	// euro is the currency of amounts that name none: connectors leave it out, and Cozy's programs then show euros.
	euro = "EUR"
)

// currencyOf returns the ISO 4217 code of a document's amounts.
func currencyOf(doc object) string {
	switch c := strings.TrimSpace(doc.text("currency")); c {
	case "", "€":
		return euro
	case "$":
		return "USD"
	case "£":
		return "GBP"
	default:
		return c
	}
}

// setCurrency leaves a document alone that says the same in another way.
func setCurrency(doc *object, code string) {
	if code != "" && currencyOf(*doc) != code {
		doc.setText("currency", code)
	}
}

// amount reads a number of a document as money; it is nil where there is none.
func amount(doc object, name string) (*formats.Amount, error) {
	digits := doc.digits(name)
	if digits == "" {
		return nil, nil
	}
	d, err := formats.ParseDecimal(digits)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return &formats.Amount{Currency: currencyOf(doc), Amount: d}, nil
}

// setNumber writes a decimal as a JSON number with the same digits, unless the member says that number already.
func setNumber(doc *object, name string, d formats.Decimal) {
	if d == "" {
		doc.remove(name)
		return
	}
	if was, err := formats.ParseDecimal(doc.digits(name)); err == nil && was == d {
		return
	}
	doc.set(name, number(d))
}

// number writes a decimal as JSON, which allows no leading zeros.
func number(d formats.Decimal) json.RawMessage {
	digits := strings.TrimLeft(string(d.Abs()), "0")
	if digits == "" || digits[0] == '.' {
		digits = "0" + digits
	}
	if strings.HasPrefix(string(d), "-") {
		digits = "-" + digits
	}
	return json.RawMessage(digits)
}

// setDay writes a calendar day, unless the member says that day already.
func setDay(doc *object, name, value string) {
	if day(doc.text(name)) != value {
		doc.setText(name, noon(value))
	}
}

// accountType turns the words of a Cozy into ISO 20022 ExternalCashAccountType1Code.
func accountType(kind string) string {
	switch strings.ToLower(kind) {
	case "bank", "checkings", "checking":
		return "CACC"
	case "savings", "savingsaccount":
		return "SVGS"
	case "credit card", "creditcard":
		return "CARD"
	case "cash":
		return "CASH"
	case "loan", "mortgage", "consumercredit", "revolvingcredit":
		return "LOAN"
	}
	return ""
}

func readAccount(_ string, doc object, into *reading) error {
	account := formats.BankAccount{
		ResourceID: doc.text("vendorId"), IBAN: strings.ReplaceAll(doc.text("iban"), " ", ""), BBAN: doc.digits("number"),
		Currency: currencyOf(doc), Name: doc.text("label"), Product: doc.text("type"),
		CashAccountType: accountType(doc.text("type")), Institution: doc.text("institutionLabel"),
	}
	for _, b := range []struct{ member, kind string }{{"balance", "interimBooked"}, {"comingBalance", "expected"}} {
		money, err := amount(doc, b.member)
		if err != nil {
			return err
		}
		if money != nil {
			account.Balances = append(account.Balances, formats.BankBalance{BalanceAmount: *money, BalanceType: b.kind})
		}
	}
	return into.setBody(account)
}

func fillAccount(_ string, doc *object, body json.RawMessage) error {
	a, err := decode[formats.BankAccount](body)
	if err != nil {
		return err
	}
	doc.setText("vendorId", a.ResourceID)
	if strings.ReplaceAll(doc.text("iban"), " ", "") != a.IBAN {
		doc.setText("iban", a.IBAN)
	}
	if doc.digits("number") != a.BBAN {
		doc.setText("number", a.BBAN)
	}
	setCurrency(doc, a.Currency)
	doc.setText("label", a.Name)
	doc.setText("type", productOf(a))
	doc.setText("institutionLabel", a.Institution)
	var balance, coming formats.Decimal
	for _, b := range a.Balances {
		switch b.BalanceType {
		case "expected", "forwardAvailable":
			coming = b.BalanceAmount.Amount
		default:
			balance = b.BalanceAmount.Amount
		}
	}
	setNumber(doc, "balance", balance)
	setNumber(doc, "comingBalance", coming)
	return nil
}

func productOf(a formats.BankAccount) string {
	if a.Product != "" {
		return a.Product
	}
	switch a.CashAccountType {
	case "CACC":
		return "Checkings"
	case "SVGS":
		return "Savings"
	case "CARD":
		return "CreditCard"
	case "LOAN":
		return "Loan"
	}
	return ""
}

// categoryOf returns the category that counts: the person's own choice first.
func categoryOf(doc object) (member, id string) {
	for _, member := range []string{"manualCategoryId", "cozyCategoryId", "automaticCategoryId", "localCategoryId"} {
		if id := doc.digits(member); id != "" {
			return member, id
		}
	}
	return "manualCategoryId", ""
}

func readOperation(_ string, doc object, into *reading) error {
	money, err := amount(doc, "amount")
	if err != nil {
		return err
	}
	if money == nil {
		return fmt.Errorf("%w: it has no amount", formats.ErrInvalid)
	}
	_, category := categoryOf(doc)
	op := formats.BankOperation{
		TransactionID: doc.text("vendorId"), BookingDate: day(doc.text("date")), ValueDate: day(doc.text("valueDate")),
		TransactionDate: day(doc.text("realisationDate")), TransactionAmount: *money, Remittance: doc.text("label"),
		AdditionalInfo: doc.text("originalBankLabel"), ProprietaryCode: doc.text("type"), Category: category,
	}
	if doc.is("isComing") {
		op.Status = "pending"
	}
	if op.BookingDate == "" && doc.get("date") != nil {
		into.fault("date", fmt.Sprintf("the date %s is not understood; the native document keeps it", doc.get("date")), false)
	}
	into.refs = operationRefs(doc)
	return into.setBody(op)
}

func fillOperation(_ string, doc *object, body json.RawMessage) error {
	op, err := decode[formats.BankOperation](body)
	if err != nil {
		return err
	}
	doc.setText("vendorId", op.TransactionID)
	setDay(doc, "date", op.BookingDate)
	setDay(doc, "valueDate", op.ValueDate)
	setDay(doc, "realisationDate", op.TransactionDate)
	setNumber(doc, "amount", op.TransactionAmount.Amount)
	setCurrency(doc, op.TransactionAmount.Currency)
	doc.setText("label", op.Remittance)
	doc.setText("originalBankLabel", op.AdditionalInfo)
	doc.setText("type", op.ProprietaryCode)
	if member, was := categoryOf(*doc); was != op.Category {
		doc.setText(member, op.Category)
	}
	if doc.is("isComing") != (op.Status == "pending") {
		doc.setBool("isComing", op.Status == "pending")
	}
	return nil
}

// target splits "io.cozy.bills:ID", as connectors write links; a bare id is of the doctype that is expected there.
func target(s, doctype string) (string, string) {
	if before, after, ok := strings.Cut(s, ":"); ok && doctypeForm.MatchString(before) {
		return before, after
	}
	return doctype, s
}

func listRefs(doc object, member, rel, doctype string) []ref {
	var refs []ref
	for _, s := range doc.texts(member) {
		doctype, id := target(s, doctype)
		refs = append(refs, ref{rel, doctype, id})
	}
	return refs
}

func operationRefs(doc object) []ref {
	refs := listRefs(doc, "bills", relBill, doctypeBills)
	if id := doc.text("account"); id != "" {
		refs = append(refs, ref{relAccount, doctypeAccounts, id})
	}
	for _, raw := range elements(doc.get("reimbursements")) {
		inner := objectOf(raw)
		id := inner.text("billId")
		if id == "" {
			id = textOf(raw)
		}
		if doctype, id := target(id, doctypeBills); id != "" {
			refs = append(refs, ref{relReimbursement, doctype, id})
		}
	}
	return refs
}

func setOperationRefs(doc *object, refs []ref) []ref {
	bills, refs := take(refs, relBill)
	back, refs := take(refs, relReimbursement)
	if accounts, others := take(refs, relAccount); len(accounts) == 1 && accounts[0].doctype == doctypeAccounts {
		doc.setText("account", accounts[0].id)
		refs = others
	} else {
		doc.remove("account")
	}
	doc.setTexts("bills", qualified(bills))
	var was []ref
	for _, r := range operationRefs(*doc) {
		if r.rel == relReimbursement {
			was = append(was, r)
		}
	}
	if !slices.Equal(compactRefs(was), compactRefs(back)) { // they also hold amounts: touched only if they changed
		doc.setTexts("reimbursements", qualified(back))
	}
	return refs
}

// qualified writes links as "doctype:id".
func qualified(refs []ref) []string {
	var list []string
	for _, r := range refs {
		list = append(list, r.doctype+":"+r.id)
	}
	return list
}
