package consent

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/passerelle-cloud/passerelle/formats"
)

func TestAdmit(t *testing.T) {
	bank := []formats.Dataset{formats.Bank}
	account := formats.Record{ID: "a1", Dataset: formats.Bank, Kind: formats.KindAccount, Body: json.RawMessage(`{"currency":"EUR"}`)}
	operation := formats.Record{ID: "o1", Dataset: formats.Bank, Kind: formats.KindOperation, Path: "tree/x", Links: []formats.Link{{Rel: "account", Dataset: formats.Bank, ID: "a1"}},
		Body: json.RawMessage(`{"bookingDate":"2025-06-30","transactionAmount":{"amount":"0.10"},"creditorName":"Secret"}`), Native: &formats.Native{Type: "x", Document: json.RawMessage(`{"secret":1}`)}}
	undated := formats.Record{ID: "o2", Dataset: formats.Bank, Kind: formats.KindOperation, Body: json.RawMessage(`{}`)}
	tombstone := formats.Tombstone(formats.Bank, "o1", formats.KindOperation, time.Unix(1, 0))
	card := formats.Record{ID: "c1", Dataset: formats.Contacts, Kind: formats.KindCard, Blob: &formats.Blob{}, Body: json.RawMessage(`{"@type":"Card","version":"1.0","name":{},"emails":{}}`)}
	match := formats.Record{ID: "m1", Dataset: formats.Bills, Kind: formats.KindMatch, Body: json.RawMessage(`{"role":"debit","state":"linked"}`)}
	bill := formats.Record{ID: "b1", Dataset: formats.Bills, Kind: formats.KindBill, Body: json.RawMessage(`{}`)}
	cases := []struct {
		name    string
		details []Detail
		record  formats.Record
		want    string // the line; "" for nothing
	}{
		{"nobody gave it", nil, account, ""},
		{"another dataset", []Detail{{Datasets: bank}}, card, ""},
		{"whole", []Detail{{Datasets: bank}}, account, line(account)},
		{"inside the period", []Detail{{Datasets: bank, From: "2025-06-30", To: "2025-06-30"}}, operation, line(operation)},
		{"before the period", []Detail{{Datasets: bank, From: "2025-07-01"}}, operation, ""},
		{"after the period", []Detail{{Datasets: bank, To: "2025-06-29"}}, operation, ""},
		{"no day", []Detail{{Datasets: bank, From: "2000-01-01"}}, undated, ""},
		{"an account has no day", []Detail{{Datasets: bank, From: "2000-01-01"}}, account, line(account)},
		{"its account", []Detail{{Datasets: bank, Accounts: []string{"a1"}}}, operation, line(operation)},
		{"the account itself", []Detail{{Datasets: bank, Accounts: []string{"a1"}}}, account, line(account)},
		{"another account", []Detail{{Datasets: bank, Accounts: []string{"a2"}}}, operation, ""},
		{"no account known", []Detail{{Datasets: bank, Accounts: []string{"a2"}}}, undated, ""},
		{"a deletion", []Detail{{Datasets: bank, From: "2030-01-01"}}, tombstone, line(tombstone)},
		{"some fields", []Detail{{Datasets: bank, Fields: map[formats.Dataset][]string{formats.Bank: {"transactionAmount"}}}}, operation,
			`{"id":"o1","dataset":"bank","kind":"operation","body":{"transactionAmount":{"amount":"0.10"}}}`},
		{"fields of two details", []Detail{{Datasets: bank, Fields: map[formats.Dataset][]string{formats.Bank: {"bookingDate"}}}, {Datasets: bank, From: "2025-01-01", Fields: map[formats.Dataset][]string{formats.Bank: {"links"}}}}, operation,
			`{"id":"o1","dataset":"bank","kind":"operation","links":[{"rel":"account","dataset":"bank","id":"a1"}],"body":{"bookingDate":"2025-06-30"}}`},
		{"fields of the detail that holds it alone", []Detail{{Datasets: bank, Fields: map[formats.Dataset][]string{formats.Bank: {"bookingDate"}}}, {Datasets: bank, From: "2026-01-01"}}, operation,
			`{"id":"o1","dataset":"bank","kind":"operation","body":{"bookingDate":"2025-06-30"}}`},
		{"a match, where bank operations were not granted", []Detail{{Datasets: []formats.Dataset{formats.Bills}}}, match, ""},
		{"a bill there", []Detail{{Datasets: []formats.Dataset{formats.Bills}}}, bill, line(bill)},
		{"that a match was deleted", []Detail{{Datasets: []formats.Dataset{formats.Bills}}}, formats.Tombstone(formats.Bills, "m1", formats.KindMatch, time.Unix(1, 0)), line(formats.Tombstone(formats.Bills, "m1", formats.KindMatch, time.Unix(1, 0)))},
		{"what it is stays", []Detail{{Datasets: []formats.Dataset{formats.Contacts}, Fields: map[formats.Dataset][]string{formats.Contacts: {"emails"}}}}, card,
			`{"id":"c1","dataset":"contacts","kind":"card","body":{"@type":"Card","version":"1.0","emails":{}}}`},
	}
	for _, c := range cases {
		p := &Permit{covering: c.details}
		got, ok, err := p.Admit(c.record)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		switch {
		case ok != (c.want != ""):
			t.Errorf("%s: admitted: %t", c.name, ok)
		case ok && line(got) != c.want:
			t.Errorf("%s: %s", c.name, line(got))
		}
	}
}

// TestDerived lets what was derived from bank operations leave where those were granted as well, and says so of the dataset.
func TestDerived(t *testing.T) {
	match := formats.Record{ID: "m1", Dataset: formats.Bills, Kind: formats.KindMatch, Body: json.RawMessage(`{"role":"debit","state":"linked"}`)}
	for _, granted := range []bool{false, true} {
		p := &Permit{covering: []Detail{{Datasets: []formats.Dataset{formats.Bills, formats.Contacts}}}, money: granted}
		if _, ok, err := p.Admit(match); ok != granted || err != nil {
			t.Errorf("granted %t: %t, %v", granted, ok, err)
		}
		if p.Whole(formats.Bills) != granted || !p.Whole(formats.Contacts) {
			t.Errorf("granted %t: it is whole: %t", granted, p.Whole(formats.Bills))
		}
	}
}

func line(r formats.Record) string {
	text, err := r.AppendLine(nil)
	if err != nil {
		return err.Error()
	}
	return string(text)
}
