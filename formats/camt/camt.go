// Package camt writes bank accounts and operations as an ISO 20022 statement (camt.053.001.08) and reads the
// statements, intraday reports and notifications of banks: camt.053, camt.052 and camt.054, in any version.
//
// What is written is read back without loss. What the standard has no place for (category, links, unknown members,
// a text that is longer than the standard allows, …) stands beside the entry in SplmtryData, the standard's own place
// for such things; writing finds it by reading back what it wrote. Other programs pass over it.
//
// It must never know which bank a file is from, where records go to, nor another codec.
package camt

import (
	"github.com/passerelle-cloud/passerelle/formats"
)

// Codec returns the codec of bank accounts and operations.
//
// Writing makes one Stmt an account. An operation whose account is not among the records, as in a delta, gets a
// statement that names the account only. What differs from a bank's own statement:
//   - The standard wants at least one balance in a statement. An account of which none is known gets none, because
//     an invented one would be a lie. A balance without a date gets the day on which the account's record changed; a
//     balance with neither is not written as Bal.
//   - GrpHdr/CreDtTm is the time of the newest record, so that the same records always give the same bytes.
//   - An operation whose amount the standard cannot hold (more than five decimals, more than eighteen digits) is left
//     out. A currency that is no ISO 4217 code becomes XXX, "no currency", beside which the true one is kept.
//
// Blobs and native documents are not written.
//
// Reading takes one operation an entry. An entry of several transactions becomes one operation each, if their amounts
// add up to that of the entry; otherwise it stays one, so that the operations of an account always add up. The sign is
// that of CdtDbtInd, also for a reversal, as the standard says. Entries that are not booked (PDNG, FUTR, INFO) are
// pending. Several statements of one account make one account, with the balances of the newest. Accounts come after
// the operations. What was not read from an entry stays in the record's native document, as XML text.
//
// A record's id is that which was written, or for a file from elsewhere the account's number and currency, followed
// for an operation by AcctSvcrRef or TxId, or by a hash of the operation. NtryRef is no identity: banks number the
// entries of each statement from 1, or write the same reference for a whole day. Of several operations in a statement
// with the same id the second gets "#2" behind.
//
// Document type definitions are refused, and so is an entry of more than 8 MiB.
func Codec() formats.Codec {
	return formats.Codec{
		Dataset: formats.Bank, MediaType: "application/xml", File: "bank.camt053.xml",
		Encode: write, Decode: read,
	}
}

// relAccount is the relation of an operation's link to its account.
const relAccount = "account"

// balanceTypes are the codes of ISO 20022 (ExternalBalanceType1Code) by the names of Berlin Group. A code that has no
// such name is its own name.
func balanceTypes() map[string]string {
	return map[string]string{
		"closingBooked": "CLBD", "expected": "XPCD", "openingBooked": "OPBD", "interimAvailable": "ITAV",
		"interimBooked": "ITBD", "forwardAvailable": "FWAV", "closingAvailable": "CLAV", "openingAvailable": "OPAV",
		"previouslyClosedBooked": "PRCD", "information": "INFO",
	}
}

// balanceCode returns the code of a balance type, and false if it has none.
func balanceCode(name string) (string, bool) {
	if code, ok := balanceTypes()[name]; ok {
		return code, true
	}
	return name, codeForm.MatchString(name)
}

// balanceName returns the name of a balance type's code.
func balanceName(code string) string {
	for name, c := range balanceTypes() {
		if c == code {
			return name
		}
	}
	return code
}
