package bankcsv

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"io"
	"reflect"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/passerelle-cloud/passerelle/formats"
)

func collect(records formats.Records) ([]formats.Record, error) {
	var list []formats.Record
	for r, err := range records {
		if err != nil {
			return list, err
		}
		list = append(list, r)
	}
	return list, nil
}

func decode(t rapid.TB, c formats.Codec, text string) []formats.Record {
	t.Helper()
	list, err := collect(c.Decode(strings.NewReader(text)))
	if err != nil {
		t.Fatalf("%v\nin %q", err, text)
	}
	return list
}

func encode(t rapid.TB, c formats.Codec, list []formats.Record) string {
	t.Helper()
	var out bytes.Buffer
	err := c.Encode(&out, func(yield func(formats.Record, error) bool) {
		for _, r := range list {
			if !yield(r, nil) {
				return
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func body(t rapid.TB, v any) json.RawMessage {
	t.Helper()
	raw, err := formats.MarshalBody(v)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// sameJSON compares two values by their digits, members in any order.
func sameJSON(t rapid.TB, a, b json.RawMessage) bool {
	t.Helper()
	var values [2]any
	for i, raw := range []json.RawMessage{a, b} {
		dec := json.NewDecoder(bytes.NewReader(raw))
		dec.UseNumber()
		if err := dec.Decode(&values[i]); err != nil {
			t.Fatalf("%s: %v", raw, err)
		}
	}
	return reflect.DeepEqual(values[0], values[1])
}

func same(t rapid.TB, got, want []formats.Record) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%d records, want %d", len(got), len(want))
	}
	for i, w := range want {
		g := got[i]
		if !sameJSON(t, g.Body, w.Body) {
			t.Errorf("body of %q:\n got %s\nwant %s", w.ID, g.Body, w.Body)
		}
		if !g.Created.Equal(w.Created) || !g.Modified.Equal(w.Modified) {
			t.Errorf("times of %q: %v %v, want %v %v", w.ID, g.Created, g.Modified, w.Created, w.Modified)
		}
		if len(g.Links)+len(w.Links) > 0 && !reflect.DeepEqual(g.Links, w.Links) {
			t.Errorf("links of %q: %v, want %v", w.ID, g.Links, w.Links)
		}
		if g.ID != w.ID || g.Kind != w.Kind || g.Dataset != w.Dataset || !reflect.DeepEqual(g.Native, w.Native) {
			t.Errorf("record:\n got %+v\nwant %+v", g, w)
		}
	}
}

var start = time.Date(2026, 3, 1, 9, 30, 0, 123456789, time.UTC)

func operations(t rapid.TB) []formats.Record {
	link := formats.Link{Rel: "account", Dataset: formats.Bank, ID: "current"}
	op := func(id string, v any, links ...formats.Link) formats.Record {
		return formats.Record{ID: id, Dataset: formats.Bank, Kind: formats.KindOperation, Body: body(t, v), Links: links, Created: start, Modified: start.Add(time.Hour)}
	}
	euros := func(d formats.Decimal) formats.Amount { return formats.Amount{Currency: "EUR", Amount: d} }
	return []formats.Record{
		op("op1", formats.BankOperation{
			TransactionID: "T-1", EntryReference: "E-1", EndToEndID: "E2E-1", MandateID: "M-1", CreditorID: "FR12ZZZ123456", Status: "booked",
			BookingDate: "2026-02-27", ValueDate: "2026-02-28", TransactionDate: "2026-02-26", TransactionAmount: euros("-12.34567"),
			CreditorName: `Énergies "d'Exemple", SA`, CreditorAccount: &formats.BankReference{IBAN: "FR7630006000011234567890189", Currency: "EUR"},
			DebtorName: "Alice", DebtorAccount: &formats.BankReference{BBAN: "0001 234"}, Remittance: "line one\nline two\r\nthree\r", AdditionalInfo: " more ",
			BankTransactionCode: "PMNT-RDDT-ESDD", ProprietaryCode: "544", Category: "energy",
		}, link, formats.Link{Rel: "bill", Dataset: formats.Bills, ID: "bill-1"}),
		op("=op2", json.RawMessage(`{"transactionAmount":{"currency":"once","amount":"0.10","x":9007199254740993},"status":"","category":null,"x:big":1e400}`), link),
		op("'op3", formats.BankOperation{TransactionAmount: euros("-0.00"), BookingDate: "2026-02-30", Remittance: `=HYPERLINK("http://evil";"x")`, AdditionalInfo: "'=1+1", Category: "-5"}),
		op("op4", formats.BankOperation{TransactionAmount: euros("1e21"), Remittance: "\t@SUM(A1)", CreditorName: "''tis", DebtorName: "+33 6 12", Category: "+33612"}),
		op("op5", formats.BankOperation{TransactionAmount: euros("1.234")}),
	}
}

func TestOperations(t *testing.T) {
	want := operations(t)
	text := encode(t, Codec(), want)
	same(t, decode(t, Codec(), text), want)
	if !strings.HasPrefix(text, "recordId,accountRecordId,bookingDate,valueDate,transactionDate,transactionAmount.amount,transactionAmount.currency,") {
		t.Errorf("header: %s", text[:100])
	}
	if n := strings.Count(text, "\r\n"); n != strings.Count(text, "\n") || !strings.HasSuffix(text, "\r\n") {
		t.Error("a line does not end with CRLF")
	}
	if !strings.Contains(text, ",2026-02-27,2026-02-28,2026-02-26,-12.34567,EUR,") {
		t.Errorf("columns: %s", text)
	}
}

func TestAccounts(t *testing.T) {
	want := []formats.Record{
		{ID: "a1", Dataset: formats.Bank, Kind: formats.KindAccount, Modified: start, Body: body(t, formats.BankAccount{
			ResourceID: "r-1", IBAN: "FR7699999000420123456789058", BBAN: "01234567890", Currency: "EUR", Name: "Compte courant", Product: "Checkings",
			CashAccountType: "CACC", OwnerName: "Alice", BIC: "BNPAFRPP", Institution: "Banque",
			Balances: []formats.BankBalance{{BalanceAmount: formats.Amount{Currency: "EUR", Amount: "9007199254740993.10"}, BalanceType: "interimBooked"}},
		})},
		{ID: "a2", Dataset: formats.Bank, Kind: formats.KindAccount, Body: json.RawMessage(`{"currency":"","balances":[],"x":[1.0]}`), Links: []formats.Link{{Rel: "r", Dataset: formats.Files, ID: "f"}}},
	}
	same(t, decode(t, AccountsCodec(), encode(t, AccountsCodec(), append(operations(t), want...))), want)
}

// No cell begins as a formula does, unless it is a number.
func TestNoFormula(t *testing.T) {
	text := encode(t, Codec(), operations(t))
	table, err := csv.NewReader(strings.NewReader(text)).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range table {
		for _, cell := range row {
			if cell != "" && strings.ContainsRune(dangerous, []rune(cell)[0]) && !plainNumber.MatchString(cell) {
				t.Errorf("a formula: %q", cell)
			}
		}
	}
}

func TestGuard(t *testing.T) {
	for _, c := range []struct{ text, cell string }{
		{"", ""}, {"a", "a"}, {"=1", "'=1"}, {"+", "'+"}, {"-1", "-1"}, {"+1.5", "+1.5"}, {"-1+2", "'-1+2"}, {"@x", "'@x"}, {"\tx", "'\tx"}, {"\rx", "'\rx"},
		{"'", "''"}, {"'=1", "''=1"}, {"''", "'''"}, {"'tis", "''tis"}, {"＝1", "'＝1"}, {" =1", " =1"}, {"-1.", "'-1."}, {"-", "'-"},
	} {
		if got := guard(c.text); got != c.cell {
			t.Errorf("guard(%q) = %q, want %q", c.text, got, c.cell)
		}
		if got := unguard(c.cell); got != c.text {
			t.Errorf("unguard(%q) = %q, want %q", c.cell, got, c.text)
		}
	}
	for _, cell := range []string{"'abc", "'1", "'"} { // nobody guarded these
		if got := unguard(cell); got != cell {
			t.Errorf("unguard(%q) = %q", cell, got)
		}
	}
}

func TestNothingToWrite(t *testing.T) {
	if text := encode(t, Codec(), []formats.Record{
		formats.Tombstone(formats.Bank, "gone", formats.KindOperation, start),
		{ID: "a", Dataset: formats.Bank, Kind: formats.KindAccount, Body: json.RawMessage(`{"currency":"EUR"}`)},
		{ID: "b", Dataset: formats.Bank, Kind: formats.KindOperation, Body: json.RawMessage(`{"transactionAmount":{"currency":"EUR","amount":"a lot"}}`)},
	}); text != "" {
		t.Errorf("written: %q", text)
	}
	for _, c := range []formats.Codec{Codec(), AccountsCodec()} {
		if list := decode(t, c, ""); len(list) != 0 {
			t.Errorf("%v in an empty file", list)
		}
	}
}

func TestEncodeFails(t *testing.T) {
	failure := errors.New("the disk is gone")
	for _, c := range []formats.Codec{Codec(), AccountsCodec()} {
		err := c.Encode(io.Discard, func(yield func(formats.Record, error) bool) { yield(formats.Record{}, failure) })
		if !errors.Is(err, failure) {
			t.Errorf("%v", err)
		}
	}
	bad := formats.Record{ID: "b", Dataset: formats.Bank, Kind: formats.KindOperation, Body: json.RawMessage(`{"transactionAmount":5}`)}
	err := Codec().Encode(io.Discard, func(yield func(formats.Record, error) bool) { yield(bad, nil) })
	if !errors.Is(err, formats.ErrInvalid) || !strings.Contains(err.Error(), "bank/b") {
		t.Errorf("a body that is none: %v", err)
	}
}

// Bytes that are not UTF-8, where nobody looked, do not make the file another one.
func TestNotUTF8(t *testing.T) {
	list := operations(t)
	list[1].Body = json.RawMessage("{\"transactionAmount\":{\"currency\":\"EUR\",\"amount\":\"1\"},\"x\":\"\xff\",\"category\":\"\xff\"}")
	text := encode(t, Codec(), list)
	list[1].Body = json.RawMessage(strings.ToValidUTF8(string(list[1].Body), "\ufffd"))
	same(t, decode(t, Codec(), text), list)
}

// A file can be walked more than once, also one that cannot be read twice.
func TestWalkTwice(t *testing.T) {
	text := encode(t, Codec(), operations(t))
	for _, in := range []io.Reader{strings.NewReader(text), io.MultiReader(strings.NewReader(text))} {
		records := Codec().Decode(in)
		for range 2 {
			list, err := collect(records)
			if err != nil {
				t.Fatal(err)
			}
			same(t, list, operations(t))
		}
	}
}
