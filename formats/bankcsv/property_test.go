package bankcsv

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"runtime"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/passerelle-cloud/passerelle/formats"
)

// texts are of any characters, and often of those that CSV, spreadsheets or JSON take for something else.
func texts() *rapid.Generator[string] {
	return rapid.OneOf(
		rapid.String(),
		rapid.StringOfN(rapid.SampledFrom([]rune("'=+-@\t\r\n,;\"\\1.e \u00a0\ufeff\ufffe\x00")), 0, 8, -1),
		rapid.SampledFrom([]string{"2026-02-28", "28/02/2026", "0000-00-00", "-12.50", "1e21", "XXX", "EUR", "booked", "null"}),
	)
}

func amounts() *rapid.Generator[string] {
	return rapid.OneOf(rapid.StringMatching(`-?[0-9]{1,20}(\.[0-9]{1,8})?`), rapid.SampledFrom([]string{"-0", "1e21", "1.5e-3", "1.234", "007"}))
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

func drawRecord(t *rapid.T, kind formats.Kind, body any) formats.Record {
	raw, err := formats.MarshalBody(body)
	if err != nil {
		t.Fatal(err)
	}
	r := formats.Record{ID: rapid.StringMatching(`['=+@a-zé ]{1,10}`).Draw(t, "id"), Dataset: formats.Bank, Kind: kind, Body: raw}
	for n := range rapid.IntRange(0, 2).Draw(t, "links") {
		r.Links = append(r.Links, formats.Link{
			Rel: rapid.SampledFrom([]string{"account", "bill"}).Draw(t, "rel"), Dataset: rapid.SampledFrom([]formats.Dataset{formats.Bank, formats.Bills}).Draw(t, "dataset"),
			ID: rapid.StringMatching(`[=a-z]{1,3}`).Draw(t, "link") + string(rune('0'+n)),
		})
	}
	if rapid.Bool().Draw(t, "has times") {
		r.Created = time.Unix(rapid.Int64Range(-1<<31, 1<<33).Draw(t, "created"), rapid.Int64Range(0, 999_999_999).Draw(t, "nanos")).UTC()
		r.Modified = r.Created.Add(time.Hour)
	}
	return r
}

func TestAnyOperation(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		body := members(t, []string{
			"transactionId", "entryReference", "endToEndId", "mandateId", "creditorId", "status", "bookingDate", "valueDate", "transactionDate", "creditorName",
			"debtorName", "remittanceInformationUnstructured", "additionalInformation", "bankTransactionCode", "proprietaryBankTransactionCode", "category",
		})
		body["transactionAmount"] = map[string]string{"currency": texts().Draw(t, "currency"), "amount": amounts().Draw(t, "amount")}
		if rapid.Bool().Draw(t, "has an account") {
			body["creditorAccount"] = members(t, []string{"iban", "bban", "currency"})
		}
		want := []formats.Record{drawRecord(t, formats.KindOperation, body)}
		same(t, decode(t, Codec(), encode(t, Codec(), want)), want)
	})
}

func TestAnyAccount(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		body := members(t, []string{"resourceId", "iban", "bban", "currency", "name", "product", "cashAccountType", "ownerName", "bic", "institution"})
		if rapid.Bool().Draw(t, "has balances") {
			balance := members(t, []string{"balanceType", "referenceDate", "lastChangeDateTime"})
			balance["balanceAmount"] = map[string]string{"currency": texts().Draw(t, "balance currency"), "amount": amounts().Draw(t, "balance")}
			body["balances"] = []any{balance}
		}
		want := []formats.Record{drawRecord(t, formats.KindAccount, body)}
		same(t, decode(t, AccountsCodec(), encode(t, AccountsCodec(), want)), want)
	})
}

// A cell comes back as it was, and none that is guarded is a formula.
func TestAnyCell(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := texts().Draw(t, "text")
		if got := unguard(guard(text)); got != text {
			t.Errorf("%q came back as %q", text, got)
		}
	})
}

// What is read from anything is a sound record or a clear error, and it is the same when it was written and read.
func FuzzOperations(f *testing.F) {
	fuzz(f, Codec())
}

// FuzzAccounts is FuzzOperations for accounts.
func FuzzAccounts(f *testing.F) {
	fuzz(f, AccountsCodec())
}

func fuzz(f *testing.F, c formats.Codec) {
	for _, seed := range []string{
		"", "date,amount\n2026-01-02,1\n", "date;debit;credit\n01/02/26;1.234,5;\n", "iban,name\nFR1,x\n", "\xff\xfed\x00", "\ufeffdate|amount|\n1/2/2026|(1)|",
		"recordId,iban\n'=1,2\n", "recordId,accountRecordId,bookingDate,transactionAmount.amount,other\n1,a,2026-01-02,5,\"{\"\"x\"\":1}\"\n", "date,amount\n\"2026-01-02,1",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		list, err := collect(c.Decode(bytes.NewReader(data)))
		if err != nil && !errors.Is(err, formats.ErrInvalid) {
			t.Errorf("an error of another kind: %v", err)
		}
		for i := range list {
			if err := list[i].Validate(); err != nil {
				t.Errorf("record: %v", err)
			}
			if !bytes.Contains(data, []byte("recordId")) { // else we wrote it, of whatever it was
				if err := formats.CheckBody(list[i].Kind, list[i].Body); err != nil {
					t.Errorf("%v: %s", err, list[i].Body)
				}
			}
			list[i].Native = nil
		}
		same(t, decode(t, c, encode(t, c, list)), list)
	})
}

// A table of 40 MiB is written and read in far less memory.
func TestBoundedMemory(t *testing.T) {
	const rows, most = 10_000, 16 << 20
	one := operations(t)[4]
	one.Body = json.RawMessage(`{"transactionAmount":{"currency":"EUR","amount":"1"},"remittanceInformationUnstructured":"` + strings.Repeat("x", 4096) + `"}`)
	in, out := io.Pipe()
	go func() {
		out.CloseWithError(Codec().Encode(out, func(yield func(formats.Record, error) bool) {
			for range rows {
				if !yield(one, nil) {
					return
				}
			}
		}))
	}()
	n, before := 0, heap()
	for _, err := range Codec().Decode(in) {
		if err != nil {
			t.Fatal(err)
		}
		if n++; n%2000 == 0 && heap() > before+most {
			t.Fatalf("%d bytes after %d rows", heap()-before, n)
		}
	}
	if n != rows {
		t.Errorf("%d rows", n)
	}
}

// heap returns how many bytes are in use.
func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
