// Package bankcsv writes bank operations and accounts as tables (RFC 4180) that a spreadsheet opens, and reads such
// tables back, also those that banks write.
//
// It must never know which bank a file is from, where records go to, nor another codec.
package bankcsv

import (
	"github.com/passerelle-cloud/passerelle/formats"
)

// Codec returns the codec of bank operations.
//
// Writing makes one row an operation, in UTF-8 with CRLF. Columns are named as the members of the body, those of inner
// objects with a dot; recordId and accountRecordId are the ids of the records, created and modified their times in
// RFC 3339. What the columns cannot say stands as JSON in the columns links (if they are not just the one to the
// account) and other (a patch of the body, see [formats.PatchObject]), so that reading loses nothing. A cell that a
// spreadsheet would take for a formula begins with an apostrophe, and so does one that began with an apostrophe;
// reading takes that one away. Operations without a decimal amount are left out, and so are blobs and native documents.
//
// Reading also takes what others write: with semicolons, tabs or bars, lines before the header, a byte order mark,
// UTF-16 or Windows-1252, English, French and German column names, decimal commas, amounts in two columns for debit and
// credit, days as 31/12/2026. Whether a comma parts decimals and whether the month comes first is found out from all
// rows; where no row tells, a comma does if commas do not part the columns, and the day comes first. A row that has
// neither a day nor an amount (a remark) is passed over; any other that cannot be understood is an error. The
// whole row stays in the record's native document. Such operations have no link to an account, since most files do not
// say of which they are; their id is the column for it, or a hash of the operation, with "#2" behind for the second
// that is the same. A currency that nothing tells is XXX.
func Codec() formats.Codec {
	return codec("operations.csv", table{
		kind: formats.KindOperation, wanted: "one with a day and one with an amount are needed", words: folded(operationWords()),
		empty: func() row { return &operationRow{} },
		enough: func(has func(string) bool) bool {
			return (has("bookingDate") || has("valueDate") || has("transactionDate")) && (has("transactionAmount.amount") || has("debit") || has("credit"))
		},
	})
}

// AccountsCodec returns the codec of bank accounts. It does as [Codec] does; balances stand as JSON in one column. The
// id of an account from elsewhere is its number and currency.
func AccountsCodec() formats.Codec {
	return codec("accounts.csv", table{
		kind: formats.KindAccount, wanted: "one with an IBAN or another number is needed", words: folded(accountWords()),
		empty:  func() row { return &accountRow{} },
		enough: func(has func(string) bool) bool { return has("iban") || has("bban") },
	})
}

// table is one of the two tables.
type table struct {
	kind  formats.Kind
	empty func() row
	// wanted says which columns there must be, for messages.
	wanted string
	// words are what others call the columns, see header.go.
	words []word
	// enough reports whether a header that has these columns is one of this table.
	enough func(has func(column string) bool) bool
}

func codec(file string, t table) formats.Codec {
	return formats.Codec{
		Dataset: formats.Bank, MediaType: "text/csv", File: file,
		Encode: t.write, Decode: t.read,
	}
}
