package cozy

import (
	"encoding/json"
	"fmt"

	"github.com/passerelle-cloud/passerelle/formats"
)

func readBill(_ string, doc object, into *reading) error {
	if doc.text("type") == healthCosts {
		into.dataset = formats.Health
	}
	bill := formats.Bill{
		Issuer: doc.text("vendor"), Number: doc.text("vendorRef"), Date: day(doc.text("date")), Refund: doc.is("isRefund"),
		Category: doc.text("type"), Beneficiary: doc.text("beneficiary"), OriginalDate: day(doc.text("originalDate")),
		Title: doc.text("subtype"), ThirdPartyPayer: doc.is("isThirdPartyPayer"),
	}
	if bill.Date == "" {
		return fmt.Errorf("%w: the date %s is none", formats.ErrInvalid, doc.get("date"))
	}
	money, err := amount(doc, "amount")
	if err != nil {
		return err
	}
	if money == nil {
		return fmt.Errorf("%w: it has no amount", formats.ErrInvalid)
	}
	if bill.Amount = *money; money.Amount.Negative() {
		bill.Amount.Amount = money.Amount.Abs()
		into.fault("amount", "the amount of the bill is below zero, which bills do not allow; it is carried without its sign", false)
	}
	if bill.OriginalAmount, err = amount(doc, "originalAmount"); err != nil {
		return err
	}
	if bill.GroupAmount, err = amount(doc, "groupAmount"); err != nil {
		return err
	}
	into.refs = billRefs(doc)
	return into.setBody(bill)
}

func fillBill(_ string, doc *object, body json.RawMessage) error {
	b, err := decode[formats.Bill](body)
	if err != nil {
		return err
	}
	doc.setText("vendor", b.Issuer)
	doc.setText("vendorRef", b.Number)
	setDay(doc, "date", b.Date)
	setDay(doc, "originalDate", b.OriginalDate)
	if was, err := formats.ParseDecimal(doc.digits("amount")); err != nil || was.Abs() != b.Amount.Amount {
		setNumber(doc, "amount", b.Amount.Amount)
	}
	setCurrency(doc, b.Amount.Currency)
	setNumber(doc, "originalAmount", amountOf(b.OriginalAmount))
	setNumber(doc, "groupAmount", amountOf(b.GroupAmount))
	doc.setBool("isRefund", b.Refund)
	doc.setBool("isThirdPartyPayer", b.ThirdPartyPayer)
	doc.setText("type", b.Category)
	doc.setText("beneficiary", b.Beneficiary)
	doc.setText("subtype", b.Title)
	return nil
}

func amountOf(a *formats.Amount) formats.Decimal {
	if a == nil {
		return ""
	}
	return a.Amount
}

// billRefs returns a bill's document, which has been kept in three ways over the years, and its operations.
func billRefs(doc object) []ref {
	var refs []ref
	for _, member := range []string{"document", "invoice"} {
		if doctype, id := target(doc.text(member), doctypeFiles); id != "" {
			refs = append(refs, ref{relDocument, doctype, id})
		}
	}
	refs = append(refs, listRefs(doc, "debitOperations", relOperation, doctypeOperations)...)
	return append(refs, listRefs(doc, "creditOperations", relOperation, doctypeOperations)...)
}

func setBillRefs(doc *object, refs []ref) []ref {
	doc.remove("document")
	doc.remove("invoice")
	operations, refs := take(refs, relOperation)
	member, other := "debitOperations", "creditOperations"
	if doc.is("isRefund") {
		member, other = other, member
	}
	doc.setTexts(member, qualified(operations))
	doc.remove(other)
	return refs
}
