package camt

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/passerelle-cloud/passerelle/formats"
)

// texts are of any characters, and often of those that XML or the standard does not allow.
func texts() *rapid.Generator[string] {
	return rapid.OneOf(
		rapid.String(),
		rapid.StringOfN(rapid.SampledFrom([]rune("<>&\"' \t\r\n\x00\x01\x7f\u0085\u2028\ufffe\uffff\ufffd😀é]")), 0, 300, -1),
		rapid.SampledFrom([]string{"2026-02-28", "0000-01-01", "-12.50", "XXX", "EUR", "booked", "pending", "PMNT-RDDT-ESDD", "FR7630006000011234567890189", "BNPAFRPP", "CACC", "closingBooked", "CLBD", "NOTPROVIDED"}),
	)
}

func amounts() *rapid.Generator[string] {
	return rapid.OneOf(rapid.StringMatching(`-?[0-9]{1,11}(\.[0-9]{1,5})?(00)?`), rapid.SampledFrom([]string{"-0", "0.00", "-0007.10000000"}))
}

// members draws a body: some known members as texts, and others of any form.
func members(t *rapid.T, known []string) map[string]any {
	m := map[string]any{}
	for _, name := range known {
		if rapid.Bool().Draw(t, "has "+name) {
			m[name] = texts().Draw(t, name)
		}
	}
	if rapid.Bool().Draw(t, "has others") {
		m["x:"+texts().Draw(t, "other")] = rapid.SampledFrom([]json.RawMessage{[]byte(`9007199254740993`), []byte(`1e400`), []byte(`null`), []byte(`{"a":[1.0,""]}`)}).Draw(t, "value")
	}
	return m
}

func money(t *rapid.T) map[string]string {
	return map[string]string{"currency": texts().Draw(t, "currency"), "amount": amounts().Draw(t, "amount")}
}

func ids() *rapid.Generator[string] { return rapid.StringMatching(`['=<%/+ a-zé😀\x{fffe}]{1,40}`) }

func drawAccount(t *rapid.T, n int) formats.Record {
	body := members(t, []string{"resourceId", "iban", "bban", "currency", "name", "product", "cashAccountType", "ownerName", "bic", "institution"})
	if rapid.Bool().Draw(t, "has balances") {
		balance := members(t, []string{"balanceType", "referenceDate", "lastChangeDateTime"})
		balance["balanceAmount"] = money(t)
		body["balances"] = []any{balance}
	}
	return drawRecord(t, formats.KindAccount, n, body)
}

func drawOperation(t *rapid.T, n int, accounts []formats.Record) formats.Record {
	body := members(t, []string{
		"transactionId", "entryReference", "endToEndId", "mandateId", "creditorId", "status", "bookingDate", "valueDate", "transactionDate", "creditorName",
		"debtorName", "remittanceInformationUnstructured", "additionalInformation", "bankTransactionCode", "proprietaryBankTransactionCode", "category",
	})
	body["transactionAmount"] = money(t)
	if rapid.Bool().Draw(t, "has a creditor's account") {
		body["creditorAccount"] = members(t, []string{"iban", "bban", "currency"})
	}
	r := drawRecord(t, formats.KindOperation, n, body)
	switch rapid.IntRange(0, 3).Draw(t, "account") {
	case 0:
	case 1:
		r.Links = append(r.Links, linksTo(ids().Draw(t, "absent account"))...)
	default:
		if len(accounts) > 0 {
			r.Links = append(r.Links, linksTo(rapid.SampledFrom(accounts).Draw(t, "of").ID)...)
		}
	}
	if rapid.Bool().Draw(t, "has a bill") {
		r.Links = append(r.Links, formats.Link{Rel: "bill", Dataset: formats.Bills, ID: ids().Draw(t, "bill")})
	}
	return r
}

func drawRecord(t *rapid.T, kind formats.Kind, n int, body any) formats.Record {
	raw, err := formats.MarshalBody(body)
	if err != nil {
		t.Fatal(err)
	}
	r := formats.Record{ID: fmt.Sprint(ids().Draw(t, "id"), n), Dataset: formats.Bank, Kind: kind, Body: raw}
	if rapid.Bool().Draw(t, "has times") {
		r.Created = time.Unix(rapid.Int64Range(-1<<31, 1<<33).Draw(t, "created"), rapid.Int64Range(0, 999_999_999).Draw(t, "nanos")).UTC()
		r.Modified = r.Created.Add(time.Hour)
	}
	return r
}

func drawInstance(t *rapid.T) []formats.Record {
	var list []formats.Record
	for n := range rapid.IntRange(0, 3).Draw(t, "accounts") {
		list = append(list, drawAccount(t, n))
	}
	accounts := slices.Clone(list)
	for n := range rapid.IntRange(0, 4).Draw(t, "operations") {
		list = append(list, drawOperation(t, n, accounts))
	}
	return list
}

func TestAnyInstance(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := drawInstance(t)
		text := encode(t, want)
		same(t, decode(t, bytes.NewReader(text)), want)
		checkOrder(t, text)
	})
}

// order is the order of the elements of camt.053.001.08 that are written, and of their neighbours.
func order() map[string]string {
	return map[string]string{
		"Document": "BkToCstmrStmt", "BkToCstmrStmt": "GrpHdr Stmt* SplmtryData*", "GrpHdr": "MsgId CreDtTm", "Stmt": "Id CreDtTm Acct Bal* Ntry*",
		"Acct": "Id Tp Ccy Nm Prxy Ownr Svcr", "Prxy": "Tp Id", "Ownr": "Nm", "Svcr": "FinInstnId", "FinInstnId": "BICFI Nm", "Bal": "Tp Amt CdtDbtInd Dt",
		"CdOrPrtry": "Cd Prtry", "Ntry": "NtryRef Amt CdtDbtInd Sts BookgDt ValDt AcctSvcrRef BkTxCd NtryDtls", "Sts": "Cd", "BookgDt": "Dt", "ValDt": "Dt",
		"BkTxCd": "Domn Prtry", "Domn": "Cd Fmly", "Fmly": "Cd SubFmlyCd", "NtryDtls": "TxDtls", "TxDtls": "Refs RltdPties RmtInf RltdDts AddtlTxInf SplmtryData",
		"Refs": "EndToEndId MndtId", "RltdPties": "Dbtr DbtrAcct Cdtr CdtrAcct", "Dbtr": "Pty", "Cdtr": "Pty", "Pty": "Nm Id", "DbtrAcct": "Id Ccy", "CdtrAcct": "Id Ccy",
		"RmtInf": "Ustrd*", "RltdDts": "Prtry", "SplmtryData": "PlcAndNm Envlp", "Envlp": "Record", "PrvtId": "Othr", "Othr": "Id SchmeNm", "SchmeNm": "Prtry",
		"Id": "IBAN Othr PrvtId", "Tp": "Cd Prtry CdOrPrtry", "Prtry": "Cd Tp Dt", "Dt": "Dt",
	}
}

// longest is how many characters the standard allows in an element.
func longest() map[string]int {
	return map[string]int{
		"MsgId": 35, "NtryRef": 35, "AcctSvcrRef": 35, "EndToEndId": 35, "MndtId": 35, "Ustrd": 140, "AddtlTxInf": 500, "Nm": 140, "PlcAndNm": 350, "IBAN": 34, "BICFI": 11,
		"SubFmlyCd": 4, "Ccy": 3, "Dt": 10, "CdtDbtInd": 4, "Amt": 19, "Cd": 35, "Prtry": 35, "Tp": 35, "CreDtTm": 25, "Id": 2048,
	}
}

// checkOrder checks that elements stand in the order of the standard, none twice that may stand once, that none is
// empty but BkTxCd, and that no text is too long.
func checkOrder(t rapid.TB, text []byte) {
	t.Helper()
	type open struct {
		name   string
		next   int // the first element of its order that may still come
		inside int
	}
	var stack []open
	dec := xml.NewDecoder(bytes.NewReader(text))
	for {
		token, err := dec.Token()
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			t.Fatalf("%v in %q", err, text)
		}
		switch token := token.(type) {
		case xml.StartElement:
			if len(stack) > 0 {
				top := &stack[len(stack)-1]
				top.inside++
				all := strings.Fields(order()[top.name])
				at := slices.IndexFunc(all, func(s string) bool { return strings.TrimSuffix(s, "*") == token.Name.Local })
				if at < top.next {
					t.Fatalf("%s is not where it belongs in %s: %s", token.Name.Local, top.name, text)
				}
				if top.next = at; !strings.HasSuffix(all[at], "*") {
					top.next++
				}
			}
			stack = append(stack, open{name: token.Name.Local})
		case xml.CharData:
			if s := strings.TrimSpace(string(token)); s != "" && len(stack) > 0 {
				top := &stack[len(stack)-1]
				top.inside++
				if most, ok := longest()[top.name]; ok && len([]rune(s)) > most || !ok && top.name != ownElement {
					t.Fatalf("the text of %s is not as it may be: %q", top.name, s)
				}
			}
		case xml.EndElement:
			if top := stack[len(stack)-1]; top.inside == 0 && top.name != "BkTxCd" {
				t.Fatalf("%s is empty: %s", top.name, text)
			}
			stack = stack[:len(stack)-1]
		}
	}
}

// What is read from anything is a sound record or a clear error, and it is the same when it was written and read.
func FuzzDecode(f *testing.F) {
	f.Add([]byte(""))
	f.Add([]byte(statementOf(entryOf("<AddtlNtryInf>x</AddtlNtryInf>"))))
	f.Add([]byte(statementOf(entryOf(`<NtryDtls><TxDtls><Amt Ccy="EUR">4</Amt></TxDtls><TxDtls><Amt Ccy="EUR">6</Amt></TxDtls></NtryDtls>`))))
	f.Add([]byte("<?xml version='1.0' encoding='ISO-8859-1'?><BkToCstmrDbtCdtNtfctn><Ntfctn><Acct><Id><Othr><Id>\xe9</Id></Othr></Id></Acct></Ntfctn></BkToCstmrDbtCdtNtfctn>"))
	f.Add([]byte("\xfe\xff\x00<\x00a\x00/\x00>"))
	f.Add(encode(f, instance(f)))
	f.Fuzz(func(t *testing.T, data []byte) {
		list, err := collect(Codec().Decode(bytes.NewReader(data)))
		if err != nil && !errors.Is(err, formats.ErrInvalid) {
			t.Errorf("an error of another kind: %v", err)
		}
		seen, sound := map[string]bool{}, list[:0]
		for _, r := range list {
			if err := r.Validate(); err != nil {
				t.Errorf("record: %v", err)
			}
			if r.Native != nil { // else we wrote it, of whatever it was
				if err := formats.CheckBody(r.Kind, r.Body); err != nil {
					t.Errorf("%v: %s", err, r.Body)
				}
			}
			r.Native = nil
			if r.Kind == formats.KindOperation {
				if _, ok := holdable(operationOf(t, r).TransactionAmount.Amount); !ok {
					continue
				}
			}
			if !seen[string(r.Kind)+r.ID] {
				seen[string(r.Kind)+r.ID] = true
				sound = append(sound, r)
			}
		}
		same(t, decode(t, bytes.NewReader(encode(t, sound))), sound)
	})
}

// Many operations of many accounts, 40 MiB, are sorted by their accounts in far less memory, and come out all.
func TestManyAccounts(t *testing.T) {
	const accounts, operations, most = 300, 30, 20 << 20
	records := func(yield func(formats.Record, error) bool) {
		for n := range operations {
			for a := range accounts {
				r := formats.Record{
					ID: fmt.Sprint(a, "-", n), Dataset: formats.Bank, Kind: formats.KindOperation, Links: linksTo(fmt.Sprint("account", a)),
					Body: json.RawMessage(`{"transactionAmount":{"currency":"EUR","amount":"1"},"status":"booked","x":"` + strings.Repeat("x", 4096) + `"}`),
				}
				if !yield(r, nil) {
					return
				}
			}
		}
	}
	in, out := io.Pipe()
	go func() { out.CloseWithError(Codec().Encode(out, records)) }()
	count, before := map[string]int{}, heap()
	for r, err := range Codec().Decode(in) {
		if err != nil {
			t.Fatal(err)
		}
		account, n, _ := strings.Cut(r.ID, "-")
		if r.Links[0].ID != "account"+account || fmt.Sprint(count[account]) != n {
			t.Fatalf("%+v comes after %d of its account", r, count[account])
		}
		if count[account]++; count[account] == operations && account[0] == '7' && heap() > before+most {
			t.Fatalf("%d bytes after the operations of account %s", heap()-before, account)
		}
	}
	if len(count) != accounts {
		t.Errorf("%d accounts", len(count))
	}
}

// heap returns how many bytes are in use.
func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
