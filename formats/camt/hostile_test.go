package camt

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/unicode"

	"github.com/passerelle-cloud/passerelle/formats"
)

// message wraps entries in a statement of an account in euros.
func statementOf(entries string) string {
	return `<?xml version="1.0" encoding="UTF-8"?><Document xmlns="urn:iso:std:iso:20022:tech:xsd:camt.053.001.02"><BkToCstmrStmt><GrpHdr><MsgId>1</MsgId></GrpHdr>` +
		`<Stmt><Id>1</Id><Acct><Id><IBAN>FR76 1</IBAN></Id><Ccy>EUR</Ccy></Acct>` + entries + `</Stmt></BkToCstmrStmt></Document>`
}

func entryOf(inside string) string {
	return `<Ntry><Amt Ccy="EUR">10.00</Amt><CdtDbtInd>DBIT</CdtDbtInd><Sts>BOOK</Sts>` + inside + `</Ntry>`
}

func TestDamaged(t *testing.T) {
	laughs := `<!DOCTYPE lolz [<!ENTITY lol "lol"><!ENTITY lol2 "&lol;&lol;&lol;">]>`
	whole := statementOf(entryOf(""))
	for _, c := range []struct{ name, text, want string }{
		{"not XML", "hello", "there is no statement in it"},
		{"another message", `<Document xmlns="urn:iso:std:iso:20022:tech:xsd:pain.001.001.03"><CstmrCdtTrfInitn/></Document>`, `this one is "Document"`},
		{"no statement", `<Document><BkToCstmrStmt><GrpHdr/></BkToCstmrStmt></Document>`, "there is no statement in it"},
		{"entities", strings.Replace(whole, "<Document", laughs+"<Document", 1), "a document type definition is refused"},
		{"an entity without definition", statementOf(entryOf("<AddtlNtryInf>&lol;</AddtlNtryInf>")), "invalid character entity &lol;"},
		{"an external entity", strings.Replace(whole, "<Document", `<!DOCTYPE d SYSTEM "file:///etc/passwd"><Document`, 1), "a document type definition is refused"},
		{"deep", statementOf(strings.Repeat("<a>", 100_000)), "more than 64 deep"},
		{"deep before the message", strings.Repeat("<a>", 100_000), "more than 64 deep"},
		{"huge text", statementOf(entryOf("<AddtlNtryInf>" + strings.Repeat("x", maxItem) + "</AddtlNtryInf>")), "longer than 8 MiB"},
		{"huge comment", statementOf("<!--" + strings.Repeat("x", maxItem) + "-->"), "longer than 8 MiB"},
		{"huge name", "<" + strings.Repeat("x", maxItem), "longer than 8 MiB"},
		{"many elements", statementOf(entryOf(strings.Repeat("<a/>", maxNodes))), "more than 262144 elements"},
		{"many balances", statementOf(strings.Repeat("<Bal/>", maxNodes)), "262144 elements"},
		{"large heads", statementOf(strings.Repeat("<TxsSummry>"+strings.Repeat("x", 1<<20)+"</TxsSummry>", 16)), "more than 16 MiB"},
		{"long names", "<a><" + strings.Repeat("x", 1<<20) + "></a>", "element <xxxx"},
		{"two roots open", whole[:len(whole)-len("</Document>")], "cut off"},
		{"wrong end", strings.Replace(whole, "</Stmt>", "</Rpt>", 1), "closed by </Rpt>"},
		{"no account", strings.Replace(whole, "Acct>", "Other>", 2), "does not say which account"},
		{"no number", strings.Replace(whole, "<IBAN>FR76 1</IBAN>", "", 1), "does not say the number"},
		{"account after the entries", strings.NewReplacer("<Acct>", "<!--", "</Acct>", "-->", "</Stmt>", "<Acct><Id><IBAN>FR1</IBAN></Id></Acct></Stmt>").Replace(whole), "before its entries"},
		{"no amount", statementOf("<Ntry><CdtDbtInd>DBIT</CdtDbtInd></Ntry>"), "entry 1: invalid: camt: line 1: Ntry has no amount"},
		{"no number as amount", strings.Replace(whole, "10.00", "1e3", 1), `the amount "1e3" is not a decimal number`},
		{"no currency", strings.NewReplacer(` Ccy="EUR"`, ` Ccy="euro"`).Replace(whole), `the currency "euro"`},
		{"no direction", strings.Replace(whole, "DBIT", "OUT", 1), `CdtDbtInd of Ntry is "OUT"`},
		{"unknown encoding", strings.Replace(whole, "UTF-8", "EBCDIC-INT", 1), `the encoding "EBCDIC-INT" is not known here`},
		{"wrong encoding", strings.Replace(whole, "FR76 1", "FR76\xff", 1), "invalid UTF-8"},
		{"XML 1.1", strings.Replace(whole, `"1.0"`, `"1.1"`, 1), "unsupported version"},
		{"what we write, broken", statementOf(entryOf(`<NtryDtls><TxDtls><SplmtryData><Envlp><Record xmlns="` + ownNamespace + `">{</Record></Envlp></SplmtryData></TxDtls></NtryDtls>`)), "SplmtryData"},
		{"what we write, without an id", statementOf(entryOf(`<NtryDtls><TxDtls><SplmtryData><Envlp><Record xmlns="` + ownNamespace + `">{}</Record></Envlp></SplmtryData></TxDtls></NtryDtls>`)), "a record id has"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := collect(Codec().Decode(strings.NewReader(c.text)))
			if !errors.Is(err, formats.ErrInvalid) || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "line ") || len(err.Error()) > 400 {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

// Wherever a file is cut off, that is an error, and every operation before the cut is whole.
func TestCutOff(t *testing.T) {
	text := encode(t, instance(t))
	end := bytes.LastIndex(text, []byte("</Document>"))
	for cut := 1; cut < end+len("</Document>"); cut += 7 {
		if _, err := collect(Codec().Decode(bytes.NewReader(text[:cut]))); !errors.Is(err, formats.ErrInvalid) {
			t.Fatalf("cut at %d: %v", cut, err)
		}
	}
}

func TestEmpty(t *testing.T) {
	if list := decode(t, bytes.NewReader(nil)); len(list) != 0 {
		t.Errorf("%v in an empty file", list)
	}
	if text := encode(t, []formats.Record{formats.Tombstone(formats.Bank, "gone", formats.KindAccount, start)}); len(text) != 0 {
		t.Errorf("written of nothing: %s", text)
	}
}

func TestEncodeFails(t *testing.T) {
	failure := errors.New("the disk is gone")
	if err := Codec().Encode(io.Discard, func(yield func(formats.Record, error) bool) { yield(formats.Record{}, failure) }); !errors.Is(err, failure) {
		t.Errorf("%v", err)
	}
	for _, kind := range []formats.Kind{formats.KindAccount, formats.KindOperation} {
		bad := formats.Record{ID: "b", Dataset: formats.Bank, Kind: kind, Body: json.RawMessage(`{"transactionAmount":5,"iban":5}`)}
		if err := Codec().Encode(io.Discard, walk([]formats.Record{bad})); !errors.Is(err, formats.ErrInvalid) || !strings.Contains(err.Error(), "bank/b") {
			t.Errorf("a body that is none: %v", err)
		}
	}
}

// What the standard cannot hold is left out, and nothing else.
func TestLeftOut(t *testing.T) {
	for _, c := range []struct {
		amount formats.Decimal
		holds  string
	}{
		{"1.123456", ""}, {"1234567890123456789", ""}, {"12345678901234.12345", ""}, {"many", ""}, {"", ""}, {"1e3", ""},
		{"0", "0"}, {"1.1234500", "1.12345"}, {"-0001.5", "1.5"}, {"000", "0"}, {"123456789012345678", "123456789012345678"}, {"0.10", "0.10"},
		{"100000000000000000.0", "100000000000000000"},
	} {
		got, ok := holdable(c.amount)
		if got = strings.TrimSpace(got); ok != (c.holds != "") || ok && got != c.holds {
			t.Errorf("holdable(%q) = %q, %v", c.amount, got, ok)
		}
	}
	records := instance(t)[:2]
	records[1].Body = body(t, formats.BankOperation{TransactionAmount: formats.Amount{Currency: "EUR", Amount: "0.123456"}})
	if list := decode(t, bytes.NewReader(encode(t, records))); len(list) != 1 {
		t.Errorf("%v", list)
	}
}

// A file in another encoding gives the same records.
func TestEncodings(t *testing.T) {
	text := statementOf(entryOf("<AddtlNtryInf>Énergies d'été</AddtlNtryInf>"))
	latin, err := charmap.ISO8859_1.NewEncoder().String(strings.Replace(text, "UTF-8", "ISO-8859-1", 1))
	if err != nil {
		t.Fatal(err)
	}
	wide, err := unicode.UTF16(unicode.BigEndian, unicode.UseBOM).NewEncoder().String(strings.Replace(text, "UTF-8", "UTF-16", 1))
	if err != nil {
		t.Fatal(err)
	}
	want := decode(t, bytes.NewReader([]byte(text)))
	if operationOf(t, want[0]).AdditionalInfo != "Énergies d'été" {
		t.Errorf("%s", want[0].Body)
	}
	for _, other := range []string{latin, wide, "\ufeff" + text} {
		same(t, decode(t, bytes.NewReader([]byte(other))), want)
	}
}

func transaction(amount, inside string) string {
	return `<TxDtls>` + amount + inside + `</TxDtls>`
}

func TestBatches(t *testing.T) {
	old := func(v, ind string) string {
		return `<AmtDtls><TxAmt><Amt Ccy="EUR">` + v + `</Amt></TxAmt></AmtDtls>` + ind
	}
	refs := `<Refs><TxId>T1</TxId></Refs>`
	for _, c := range []struct {
		name, details string
		want          []formats.Decimal
	}{
		{"no details", ``, []formats.Decimal{"-10.00"}},
		{"a batch without transactions", `<Btch><NbOfTxs>3</NbOfTxs></Btch>`, []formats.Decimal{"-10.00"}},
		{"one transaction in another currency", transaction(`<Amt Ccy="SEK">0</Amt>`, ""), []formats.Decimal{"-10.00"}},
		{"two that add up", transaction(refs+`<Amt Ccy="EUR">4.00</Amt><CdtDbtInd>DBIT</CdtDbtInd>`, "") + transaction(`<Amt Ccy="EUR">6.0</Amt>`, ""), []formats.Decimal{"-4.00", "-6.0"}},
		{"before version 3", transaction(old("4", ""), "") + transaction(old("6", ""), ""), []formats.Decimal{"-4", "-6"}},
		{"one comes back", transaction(`<Amt Ccy="EUR">12</Amt>`, "") + transaction(`<Amt Ccy="EUR">2</Amt><CdtDbtInd>CRDT</CdtDbtInd>`, ""), []formats.Decimal{"-12", "2"}},
		{"charges taken off", transaction(`<Amt Ccy="EUR">4</Amt>`, "") + transaction(`<Amt Ccy="EUR">5</Amt>`, ""), []formats.Decimal{"-10.00"}},
		{"amount missing", transaction(`<Amt Ccy="EUR">10</Amt>`, "") + transaction(``, ""), []formats.Decimal{"-10.00"}},
		{"another currency", transaction(`<Amt Ccy="EUR">4</Amt>`, "") + transaction(`<Amt Ccy="USD">6</Amt>`, ""), []formats.Decimal{"-10.00"}},
		{"in several NtryDtls", transaction(`<Amt Ccy="EUR">4</Amt>`, "") + `</NtryDtls><NtryDtls>` + transaction(`<Amt Ccy="EUR">6</Amt>`, ""), []formats.Decimal{"-4", "-6"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, operations := parts(t, decode(t, bytes.NewReader([]byte(statementOf(entryOf(`<AcctSvcrRef>B1</AcctSvcrRef><NtryDtls>`+c.details+`</NtryDtls>`))))))
			var got []formats.Decimal
			all := ""
			for i, r := range operations {
				got = append(got, operationOf(t, r).TransactionAmount.Amount)
				all += string(r.Native.Document)
				if want := "FR761-EUR:B1" + []string{"", "#2"}[i]; r.ID != want {
					t.Errorf("id %q, want %q", r.ID, want)
				}
			}
			if fmt.Sprint(got) != fmt.Sprint(c.want) {
				t.Errorf("amounts %v, want %v", got, c.want)
			}
			if strings.Count(all, "<TxDtls>") != strings.Count(c.details, "<TxDtls>") || strings.Count(all, "<AcctSvcrRef>") != 1 {
				t.Errorf("native documents do not hold everything once: %s", all)
			}
		})
	}
}

func TestAmounts(t *testing.T) {
	for _, c := range []struct {
		text, indicator string
		want            formats.Decimal
	}{
		{"8.850", "DBIT", "-8.850"}, {"+5", "CRDT", "5"}, {"-5", "CRDT", "-5"}, {"-5", "DBIT", "5"}, {".5", "CRDT", "0.5"}, {"5.", "DBIT", "-5"},
		{"0.00", "DBIT", "0.00"}, {" 9007199254740993.00001 ", "CRDT", "9007199254740993.00001"},
	} {
		text := strings.NewReplacer("10.00", c.text, "DBIT", c.indicator).Replace(statementOf(entryOf("<RvslInd>true</RvslInd>")))
		if got := operationOf(t, decode(t, bytes.NewReader([]byte(text)))[0]).TransactionAmount.Amount; got != c.want {
			t.Errorf("%s %s: %s, want %s", c.text, c.indicator, got, c.want)
		}
	}
}

func TestStatuses(t *testing.T) {
	for text, want := range map[string]string{
		"<Sts>BOOK</Sts>": "booked", "<Sts><Cd>BOOK</Cd></Sts>": "booked", "<Sts>PDNG</Sts>": "pending", "<Sts><Cd>INFO</Cd></Sts>": "pending", "<Sts>FUTR</Sts>": "pending", "": "booked",
	} {
		whole := strings.Replace(statementOf(entryOf("")), "<Sts>BOOK</Sts>", text, 1)
		if got := operationOf(t, decode(t, bytes.NewReader([]byte(whole)))[0]).Status; got != want {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
	}
}

func TestIDs(t *testing.T) {
	plain, other := entryOf("<AddtlNtryInf>a</AddtlNtryInf>"), entryOf("<AddtlNtryInf>b</AddtlNtryInf>")
	text := statementOf(plain + plain + other + entryOf("<NtryRef>1</NtryRef><AcctSvcrRef>NOTPROVIDED</AcctSvcrRef>") + entryOf("<AcctSvcrRef>R</AcctSvcrRef>") + entryOf("<AcctSvcrRef>R</AcctSvcrRef>"))
	ids := func() (ids []string) {
		for _, r := range decode(t, bytes.NewReader([]byte(text))) {
			ids = append(ids, r.ID)
		}
		return ids
	}
	got := ids()
	if got[1] != got[0]+"#2" || got[2] == got[0] || strings.Contains(got[3], "NOTPROVIDED") || got[4] != "FR761-EUR:R" || got[5] != "FR761-EUR:R#2" || got[6] != "FR761-EUR" {
		t.Errorf("ids %q", got)
	}
	if again := ids(); fmt.Sprint(got) != fmt.Sprint(again) {
		t.Errorf("another time %q", again)
	}
}

// Several statements of one account, in any order, make one account as the newest says it.
func TestSeveralStatements(t *testing.T) {
	one := func(name, day, amount string) string {
		return `<Rpt><Acct><Id><IBAN>FR1</IBAN></Id>` + name + `</Acct><Bal><Tp><CdOrPrtry><Cd>CLBD</Cd></CdOrPrtry></Tp><Amt Ccy="CHF">` + amount + `</Amt><CdtDbtInd>CRDT</CdtDbtInd><Dt><Dt>` + day + `</Dt></Dt></Bal></Rpt>`
	}
	for _, text := range []string{
		one("<Nm>old</Nm>", "2026-01-01", "1") + one("", "2026-02-01", "2"),
	} {
		list := decode(t, bytes.NewReader([]byte(`<e:Envelope xmlns:e="urn:e"><e:Body><BkToCstmrAcctRpt>`+text+`</BkToCstmrAcctRpt></e:Body></e:Envelope>`)))
		if len(list) != 1 || list[0].ID != "FR1-CHF" || list[0].Native.Type != "camt.052" {
			t.Fatalf("%+v", list)
		}
		sameBody(t, list[0], formats.BankAccount{
			IBAN: "FR1", Currency: "CHF", Name: "old",
			Balances: []formats.BankBalance{{BalanceAmount: formats.Amount{Currency: "CHF", Amount: "2"}, BalanceType: "closingBooked", ReferenceDate: "2026-02-01"}},
		})
	}
}

// An older statement that comes after a newer one changes nothing that the newer one said.
func TestOlderStatementLater(t *testing.T) {
	one := func(name, day string) string {
		return `<Stmt><Acct><Id><IBAN>FR1</IBAN></Id><Ccy>EUR</Ccy><Nm>` + name + `</Nm></Acct><Bal><Tp><CdOrPrtry><Cd>CLBD</Cd></CdOrPrtry></Tp><Amt Ccy="EUR">1</Amt><CdtDbtInd>CRDT</CdtDbtInd><Dt><Dt>` + day + `</Dt></Dt></Bal></Stmt>`
	}
	list := decode(t, bytes.NewReader([]byte(`<Document><BkToCstmrStmt>`+one("new", "2026-02-01")+one("old", "2026-01-01")+`</BkToCstmrStmt></Document>`)))
	account, err := formats.BodyAs[formats.BankAccount](list[0])
	if err != nil || len(list) != 1 || account.Name != "new" {
		t.Errorf("%+v, %v", list, err)
	}
}

func TestWalkTwice(t *testing.T) {
	text := encode(t, instance(t))
	for _, in := range []io.Reader{bytes.NewReader(text), io.MultiReader(bytes.NewReader(text))} {
		records := Codec().Decode(in)
		for range 2 {
			list, err := collect(records)
			if err != nil {
				t.Fatal(err)
			}
			same(t, list, instance(t))
		}
	}
}

// Bytes that are not UTF-8, where nobody looked, do not make the file unreadable.
func TestNotUTF8(t *testing.T) {
	list := instance(t)
	list[1].Body = json.RawMessage("{\"transactionAmount\":{\"currency\":\"EUR\",\"amount\":\"1\"},\"x\":\"\xff\",\"category\":\"\xff\"}")
	text := encode(t, list)
	list[1].Body = json.RawMessage(strings.ToValidUTF8(string(list[1].Body), "\ufffd"))
	same(t, decode(t, bytes.NewReader(text)), list)
}

func TestStopReading(t *testing.T) {
	n := 0
	for _, err := range Codec().Decode(bytes.NewReader(encode(t, instance(t)))) {
		if n++; err != nil {
			t.Fatal(err)
		}
		break
	}
	if n != 1 {
		t.Errorf("%d records", n)
	}
}
