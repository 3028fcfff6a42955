package camt

import (
	"strings"

	"github.com/passerelle-cloud/passerelle/formats"
)

// writeEntry writes Ntry. Amount is that of the operation, as holdable returns it.
func writeEntry(x *writer, op *formats.BankOperation, amount string, beside *aside) error {
	var err error
	x.in("Ntry", func() {
		x.leaf("NtryRef", fit(op.EntryReference, 35))
		x.money(op.TransactionAmount, amount)
		x.path(statusCode(op.Status), "Sts", "Cd")
		x.path(dayOf(op.BookingDate), "BookgDt", "Dt")
		x.path(dayOf(op.ValueDate), "ValDt", "Dt")
		x.leaf("AcctSvcrRef", fit(op.TransactionID, 35))
		writeCode(x, op)
		x.in("NtryDtls", func() {
			x.in("TxDtls", func() { err = writeDetails(x, op, beside) })
		})
	})
	return err
}

func statusCode(status string) string {
	if status == "pending" {
		return "PDNG"
	}
	return "BOOK"
}

// writeCode writes BkTxCd, which must be there even if it says nothing.
func writeCode(x *writer, op *formats.BankOperation) {
	x.raw("<BkTxCd>")
	if codes := strings.Split(op.BankTransactionCode, "-"); len(codes) == 3 && allCodes(codes) {
		x.in("Domn", func() {
			x.leaf("Cd", codes[0])
			x.in("Fmly", func() {
				x.leaf("Cd", codes[1])
				x.leaf("SubFmlyCd", codes[2])
			})
		})
	}
	x.path(fit(op.ProprietaryCode, 35), "Prtry", "Cd")
	x.raw("</BkTxCd>")
}

func allCodes(codes []string) bool {
	for _, c := range codes {
		if !codeForm.MatchString(c) {
			return false
		}
	}
	return true
}

// writeDetails writes what is in TxDtls.
func writeDetails(x *writer, op *formats.BankOperation, beside *aside) error {
	x.in("Refs", func() {
		x.leaf("EndToEndId", fit(op.EndToEndID, 35))
		x.leaf("MndtId", fit(op.MandateID, 35))
	})
	x.in("RltdPties", func() {
		x.path(fit(op.DebtorName, 140), "Dbtr", "Pty", "Nm")
		writeReference(x, "DbtrAcct", op.DebtorAccount)
		x.in("Cdtr", func() {
			x.in("Pty", func() {
				x.leaf("Nm", fit(op.CreditorName, 140))
				writeCreditorID(x, fit(op.CreditorID, 35))
			})
		})
		writeReference(x, "CdtrAcct", op.CreditorAccount)
	})
	x.in("RmtInf", func() {
		for _, line := range ustrd(op.Remittance) {
			x.leaf("Ustrd", line)
		}
	})
	x.in("RltdDts", func() {
		if day := dayOf(op.TransactionDate); day != "" {
			x.in("Prtry", func() {
				x.leaf("Tp", ownDate)
				x.path(day, "Dt", "Dt")
			})
		}
	})
	x.leaf("AddtlTxInf", fit(op.AdditionalInfo, 500))
	if beside == nil {
		return nil
	}
	return beside.write(x, "")
}

// ownDate is the type of the date on which the person acted.
const ownDate = "transactionDate"

// writeCreditorID writes Id with a SEPA creditor identifier, as the SEPA rules have it (EPC130-08).
func writeCreditorID(x *writer, id string) {
	if id == "" {
		return
	}
	x.in("Id", func() {
		x.in("PrvtId", func() {
			x.in("Othr", func() {
				x.leaf("Id", id)
				x.path(sepa, "SchmeNm", "Prtry")
			})
		})
	})
}

const sepa = "SEPA"

// writeReference writes the account of a party, of which the standard wants the number.
func writeReference(x *writer, name string, ref *formats.BankReference) {
	if ref == nil || !ibanForm.MatchString(ref.IBAN) && fit(ref.BBAN, 34) == "" {
		return
	}
	x.in(name, func() {
		writeNumber(x, ref.IBAN, ref.BBAN)
		x.leaf("Ccy", matching(currencyForm, ref.Currency))
	})
}

// ustrd returns the lines of a text, cut where they are longer than the standard allows.
func ustrd(text string) []string {
	const most, mostLines = 140, 100
	var list []string
	for line := range strings.SplitSeq(text, "\n") {
		for rest := fit(line, len(line)); rest != ""; {
			if len(list) == mostLines {
				return list
			}
			piece := fit(rest, most)
			list = append(list, piece)
			rest = strings.TrimSpace(strings.TrimPrefix(rest, piece))
		}
	}
	return list
}
