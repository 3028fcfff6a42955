package bank

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/passerelle-cloud/passerelle/formats"
)

// fuzzed is a client of a bank that is never asked.
func fuzzed(quirks ...Quirk) *Client {
	return &Client{profile: Profile{ID: "b", Name: "B", Quirks: quirks}, zone: time.UTC}
}

// FuzzOperation: whatever a bank writes, there is a sound record or a reason, and the amount is what was written.
func FuzzOperation(f *testing.F) {
	for _, text := range []string{
		`{"transactionAmount":{"currency":"EUR","amount":"-12.30"},"bookingDate":"2026-03-01"}`, `{"transactionAmount":{"currency":"EUR","amount":1.5},"valueDate":"2026-03-01T23:30:00Z"}`,
		`{"transactionId":"1","transactionAmount":{"currency":"XXX","amount":"+0"},"bookingDate":"2026-03-01","remittanceInformationStructured":{"reference":"x"}}`,
		`{"transactionAmount":{"currency":"EUR","amount":"1e3"}}`, `{}`, `null`, `[]`, `{"bookingDate":7}`, `{"transactionAmount":{"currency":"EUR","amount":"1"},"creditorAccount":{"iban":"FR 76","currency":"eu"},"bookingDate":"2026-03-01"}`,
	} {
		f.Add([]byte(text), true)
	}
	plain, odd := fuzzed(), fuzzed(Quirk{Name: Unsigned})
	f.Fuzz(func(t *testing.T, text []byte, isBooked bool) {
		if !json.Valid(text) {
			return // as the page was
		}
		status := pending
		if isBooked {
			status = booked
		}
		for _, c := range []*Client{plain, odd} {
			op, err := c.operation(text, status, &Reference{IBAN: "FR76"})
			if err != nil {
				continue
			}
			changes := Match(nil, []Operation{{Body: op, Native: text}}, Covered{IDs: true, Complete: true, Today: "2026-03-31"})
			if len(changes) != 1 || changes[0].What != Added {
				t.Fatalf("%+v", changes)
			}
			record, err := changes[0].Record("a", []Operation{{Body: op, Native: text}})
			if err == nil {
				err = record.Validate()
			}
			if err == nil {
				err = formats.CheckBody(formats.KindOperation, record.Body)
			}
			if err != nil {
				t.Fatalf("%s: %v", text, err)
			}
			again := Match([]Known{{ID: changes[0].ID, Body: op}}, []Operation{{Body: op}}, Covered{IDs: true, Complete: true, Today: "2026-03-31"})
			if len(again) != 1 || again[0].What != Same {
				t.Fatalf("%s is another one the second time: %+v", text, again)
			}
		}
	})
}

// FuzzAccount: the same of accounts.
func FuzzAccount(f *testing.F) {
	f.Add([]byte(`{"resourceId":"1","iban":"FR76","currency":"EUR","balances":[{"balanceType":"expected","balanceAmount":{"currency":"EUR","amount":"1"},"referenceDate":"2026-03-01","lastChangeDateTime":"2026-03-01T10:00:00"}]}`))
	f.Add([]byte(`{"resourceId":"1","pan":"4970100000000154","currency":"EUR","balances":null}`))
	c := fuzzed()
	f.Fuzz(func(t *testing.T, text []byte) {
		if !json.Valid(text) {
			return
		}
		a, _, err := c.account(text)
		if err != nil {
			return
		}
		if err := a.Record.Validate(); err != nil {
			t.Fatal(err)
		}
		if _, err := a.Record.AppendLine(nil); err != nil {
			t.Fatal(err)
		}
	})
}

// FuzzProfile: a profile that is taken is one that a client can be made of.
func FuzzProfile(f *testing.F) {
	examples, err := Examples()
	if err != nil {
		f.Fatal(err)
	}
	for _, p := range examples {
		text, err := json.Marshal(p)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		p, err := ParseProfile(text)
		if err != nil || p.Signed {
			return
		}
		if _, err := New(Config{Profile: p}); err != nil {
			t.Fatal(err)
		}
	})
}

// FuzzComplaint: an error of a bank always has a kind, and one line.
func FuzzComplaint(f *testing.F) {
	f.Add(429, []byte(`{"tppMessages":[{"category":"ERROR","code":"ACCESS_EXCEEDED","text":"a\nb"}]}`))
	f.Add(401, []byte(`{"type":"https://x","code":"CONSENT_EXPIRED","additionalErrors":[{"code":"X"}]}`))
	f.Fuzz(func(t *testing.T, status int, body []byte) {
		x := &Fault{Kind: kindByStatus(status), Status: status}
		x.read(body)
		if kind := kindByCode(x); kind != nil {
			x.Kind = kind
		}
		for _, s := range append(x.Codes, x.Text) {
			if s != line(s, 600) {
				t.Fatalf("%q", s)
			}
		}
		if x.Kind == nil || x.Error() == "" {
			t.Fatal("it says nothing")
		}
	})
}
