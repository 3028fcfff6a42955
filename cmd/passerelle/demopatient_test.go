package main

import (
	"strings"
	"testing"
	"time"

	"github.com/passerelle-cloud/passerelle/formats"
	"github.com/passerelle-cloud/passerelle/formats/reconcile"
	"github.com/passerelle-cloud/passerelle/internal/racetest"
)

// TestPatient reconciles the health costs of many invented persons on many days: each of them waits for one reimbursement.
func TestPatient(t *testing.T) {
	rules, err := reconcile.RulesFor("FR")
	if err != nil {
		t.Fatal(err)
	}
	for seed := range uint64(racetest.Rounds(15)) {
		now := time.Date(2026, time.January, 1, 12, 0, 0, 0, time.UTC).AddDate(0, 0, 67*int(seed))
		p, err := inventPatient(t.Context(), seed, now)
		if err != nil {
			t.Fatal(err)
		}
		in := reconcile.Input{Rules: rules}
		for _, r := range p.bills {
			body, err := formats.BodyAs[formats.Bill](r)
			if err != nil {
				t.Fatal(err)
			}
			in.Bills = append(in.Bills, reconcile.Bill{Ref: reconcile.Ref{Dataset: r.Dataset, ID: r.ID}, Bill: body})
		}
		for i, o := range p.operations {
			if string(o.Booked) > now.Format(time.DateOnly) {
				t.Errorf("%d: an operation is of %s", seed, o.Booked)
			}
			body := formats.BankOperation{Status: "booked", BookingDate: string(o.Booked), ValueDate: string(o.Value), TransactionAmount: formats.Amount{Amount: formats.Decimal(o.Amount.String()), Currency: "EUR"}, Remittance: o.Text}
			if body.DebtorName = o.Party; o.Amount < 0 {
				body.CreditorName, body.DebtorName = o.Party, ""
			}
			in.Operations = append(in.Operations, reconcile.Operation{ID: string(rune('a' + i)), Account: "account", BankOperation: body})
		}
		alerts := reconcile.Alerts(in, reconcile.Run(in), now)
		if len(alerts) != 1 || alerts[0].Kind != reconcile.Late || alerts[0].Payer != reconcile.Complementary || alerts[0].Advice != reconcile.SendStatement || !strings.HasPrefix(alerts[0].Who, "Dr ") {
			t.Errorf("%d, on %s: %+v", seed, now.Format(time.DateOnly), alerts)
		}
	}
}
