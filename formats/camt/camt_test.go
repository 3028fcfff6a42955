package camt

import (
	"bytes"
	"encoding/json"
	"math/big"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/passerelle-cloud/passerelle/formats"
)

// collect gathers what a walk gives until it ends or fails.
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

func decode(t rapid.TB, r *bytes.Reader) []formats.Record {
	t.Helper()
	list, err := collect(Codec().Decode(r))
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func walk(list []formats.Record) formats.Records {
	return func(yield func(formats.Record, error) bool) {
		for _, r := range list {
			if !yield(r, nil) {
				return
			}
		}
	}
}

func encode(t rapid.TB, list []formats.Record) []byte {
	t.Helper()
	var out bytes.Buffer
	if err := Codec().Encode(&out, walk(list)); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func parts(t rapid.TB, list []formats.Record) (accounts, operations []formats.Record) {
	t.Helper()
	for _, r := range list {
		if r.Kind == formats.KindAccount {
			accounts = append(accounts, r)
		} else {
			operations = append(operations, r)
		}
	}
	return accounts, operations
}

func operationOf(t rapid.TB, r formats.Record) formats.BankOperation {
	t.Helper()
	op, err := formats.BodyAs[formats.BankOperation](r)
	if err != nil {
		t.Fatal(err)
	}
	return op
}

func sum(t rapid.TB, operations []formats.Record) *big.Rat {
	total := new(big.Rat)
	for _, r := range operations {
		total.Add(total, operationOf(t, r).TransactionAmount.Amount.Rat())
	}
	return total
}

func body(t rapid.TB, v any) json.RawMessage {
	t.Helper()
	raw, err := formats.MarshalBody(v)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func sameBody(t rapid.TB, r formats.Record, want any) {
	t.Helper()
	if !sameJSON(t, r.Body, body(t, want)) {
		t.Errorf("body of %s:\n got %s\nwant %s", r.ID, r.Body, body(t, want))
	}
}

// sameJSON compares two values by their digits, members in any order.
func sameJSON(t rapid.TB, a, b json.RawMessage) bool {
	t.Helper()
	return reflect.DeepEqual(value(t, a), value(t, b))
}

func value(t rapid.TB, raw json.RawMessage) any {
	t.Helper()
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil {
		t.Fatalf("%s: %v", raw, err)
	}
	return v
}

// same compares records whatever their order.
func same(t rapid.TB, got, want []formats.Record) {
	t.Helper()
	byID := func(a, b formats.Record) int { return strings.Compare(string(a.Kind)+a.ID, string(b.Kind)+b.ID) }
	got, want = slices.SortedFunc(slices.Values(got), byID), slices.SortedFunc(slices.Values(want), byID)
	if len(got) != len(want) {
		t.Fatalf("%d records, want %d", len(got), len(want))
	}
	for i, w := range want {
		g := got[i]
		if !sameJSON(t, g.Body, w.Body) {
			t.Errorf("body of %q:\n got %s\nwant %s", w.ID, g.Body, w.Body)
		}
		g.Body, w.Body = nil, nil
		if len(g.Links) == 0 && len(w.Links) == 0 {
			g.Links, w.Links = nil, nil
		}
		if !g.Created.Equal(w.Created) || !g.Modified.Equal(w.Modified) {
			t.Errorf("times of %q: %v %v, want %v %v", w.ID, g.Created, g.Modified, w.Created, w.Modified)
		}
		g.Created, g.Modified, w.Created, w.Modified = time.Time{}, time.Time{}, time.Time{}, time.Time{}
		if !reflect.DeepEqual(g, w) {
			t.Errorf("record:\n got %+v\nwant %+v", g, w)
		}
	}
}

const day = 24 * time.Hour

var start = time.Date(2026, 3, 1, 9, 30, 0, 123456789, time.UTC)

// instance is two accounts with all that a body can say, and operations of them in any order.
func instance(t rapid.TB) []formats.Record {
	op := func(id, account string, v any) formats.Record {
		return formats.Record{ID: id, Dataset: formats.Bank, Kind: formats.KindOperation, Body: body(t, v), Links: linksTo(account), Created: start, Modified: start.Add(day)}
	}
	full := op("op/1 é", "current", formats.BankOperation{
		TransactionID: "T-1", EntryReference: "E-1", EndToEndID: "E2E-1", MandateID: "M-1", CreditorID: "FR12ZZZ123456", Status: "booked",
		BookingDate: "2026-02-27", ValueDate: "2026-02-28", TransactionDate: "2026-02-26", TransactionAmount: formats.Amount{Currency: "EUR", Amount: "-12.34567"},
		CreditorName: "Énergies <d'Exemple> & Cie", CreditorAccount: &formats.BankReference{IBAN: "FR7630006000011234567890189", Currency: "EUR"},
		DebtorName: "Alice", DebtorAccount: &formats.BankReference{BBAN: "0001 234"}, Remittance: "line one\nline two", AdditionalInfo: "more ]]> of it",
		BankTransactionCode: "PMNT-RDDT-ESDD", ProprietaryCode: "544", Category: "energy",
	})
	full.Links = append(full.Links, formats.Link{Rel: "bill", Dataset: formats.Bills, ID: "bill-1"})
	return []formats.Record{
		{ID: "current", Dataset: formats.Bank, Kind: formats.KindAccount, Modified: start, Body: body(t, formats.BankAccount{
			ResourceID: "r-1", IBAN: "FR7699999000420123456789058", BBAN: "01234567890", Currency: "EUR", Name: "Compte courant", Product: "Checkings",
			CashAccountType: "CACC", OwnerName: "Alice", BIC: "BNPAFRPP", Institution: "Banque des Exemples",
			Balances: []formats.BankBalance{
				{BalanceAmount: formats.Amount{Currency: "EUR", Amount: "-0.10"}, BalanceType: "closingBooked", ReferenceDate: "2026-02-28"},
				{BalanceAmount: formats.Amount{Currency: "EUR", Amount: "9007199254740993.01"}, BalanceType: "interimBooked"},
				{BalanceAmount: formats.Amount{Currency: "EUR", Amount: "1"}, BalanceType: "nonInvoiced", LastChangeDateTime: "2026-02-28T10:00:00Z"},
			},
		})},
		full,
		{ID: "gold", Dataset: formats.Bank, Kind: formats.KindAccount, Body: json.RawMessage(`{"currency":"once","name":"","x:n":1e400}`)},
		op("op2", "gold", json.RawMessage(`{"transactionAmount":{"currency":"once","amount":"0.00"},"x:big":9007199254740993,"status":"pending"}`)),
		op("op3", "current", formats.BankOperation{TransactionAmount: formats.Amount{Currency: "EUR", Amount: "007.1000000"}, BookingDate: "2026-02-30"}),
		op("op4", "elsewhere", formats.BankOperation{TransactionAmount: formats.Amount{Currency: "EUR", Amount: "-0.00"}, Remittance: strings.Repeat("é", 500) + "\r\n\tx "}),
		{ID: "op5", Dataset: formats.Bank, Kind: formats.KindOperation, Body: body(t, formats.BankOperation{TransactionAmount: formats.Amount{Currency: "EUR", Amount: "1"}, EndToEndID: "NOTPROVIDED"})},
	}
}

func TestRoundTrip(t *testing.T) {
	want := instance(t)
	text := encode(t, want)
	same(t, decode(t, bytes.NewReader(text)), want)
	if again := encode(t, want); !bytes.Equal(text, again) {
		t.Error("the same records give other bytes")
	}
}

// Another program sees what the standard has a place for.
func TestWhatOthersRead(t *testing.T) {
	text := string(encode(t, instance(t)))
	for _, want := range []string{
		`<CreDtTm>2026-03-02T09:30:00Z</CreDtTm>`,
		`<Acct><Id><IBAN>FR7699999000420123456789058</IBAN></Id><Tp><Cd>CACC</Cd></Tp><Ccy>EUR</Ccy><Nm>Compte courant</Nm>`,
		`<Ownr><Nm>Alice</Nm></Ownr><Svcr><FinInstnId><BICFI>BNPAFRPP</BICFI><Nm>Banque des Exemples</Nm></FinInstnId></Svcr></Acct>`,
		`<Bal><Tp><CdOrPrtry><Cd>CLBD</Cd></CdOrPrtry></Tp><Amt Ccy="EUR">0.10</Amt><CdtDbtInd>DBIT</CdtDbtInd><Dt><Dt>2026-02-28</Dt></Dt></Bal>`,
		`<Bal><Tp><CdOrPrtry><Cd>ITBD</Cd></CdOrPrtry></Tp><Amt Ccy="EUR">9007199254740993.01</Amt><CdtDbtInd>CRDT</CdtDbtInd><Dt><Dt>2026-03-01</Dt></Dt></Bal>`,
		`<Ntry><NtryRef>E-1</NtryRef><Amt Ccy="EUR">12.34567</Amt><CdtDbtInd>DBIT</CdtDbtInd><Sts><Cd>BOOK</Cd></Sts><BookgDt><Dt>2026-02-27</Dt></BookgDt>` +
			`<ValDt><Dt>2026-02-28</Dt></ValDt><AcctSvcrRef>T-1</AcctSvcrRef><BkTxCd><Domn><Cd>PMNT</Cd><Fmly><Cd>RDDT</Cd><SubFmlyCd>ESDD</SubFmlyCd></Fmly></Domn>`,
		`<Refs><EndToEndId>E2E-1</EndToEndId><MndtId>M-1</MndtId></Refs>`,
		`<Nm>Énergies &lt;d'Exemple&gt; &amp; Cie</Nm>`,
		`<RmtInf><Ustrd>line one</Ustrd><Ustrd>line two</Ustrd></RmtInf>`,
		`<RmtInf><Ustrd>` + strings.Repeat("é", 140) + `</Ustrd>`,
		`<Sts><Cd>PDNG</Cd></Sts>`,
		`<Amt Ccy="XXX">0.00</Amt><CdtDbtInd>CRDT</CdtDbtInd>`,
		`<Acct><Id><Othr><Id>elsewhere</Id></Othr></Id>`,
		`<Acct><Id><Othr><Id>NOTPROVIDED</Id></Othr></Id>`,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("not written: %s\nin %s", want, text)
		}
	}
}
