package banktest_test

import (
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/passerelle-cloud/passerelle/operators/bank/banktest"
)

// TestBusy does everything at once: what is under the lock must stay there.
func TestBusy(t *testing.T) {
	x, consent, at := bare(t, banktest.Config{Operations: 1, Crowd: 5})
	iban := x.bank.IBANs(banktest.Anne)[0]
	var wait sync.WaitGroup
	for _, do := range []func() error{
		func() error { _, err := x.bank.Add(iban, banktest.Operation{Amount: -1}); return err },
		func() error { _, err := x.bank.Correct(iban, 3, -2, "x"); return err },
		func() error { return x.bank.Break(banktest.Fault{Kind: banktest.FlippedSigns, Count: 1}) },
		func() error {
			x.bank.Mend()
			_, _, _, _ = x.bank.Faults(), x.bank.Counts(), x.bank.People(), x.bank.Consents()
			return nil
		},
		func() error { return x.bank.Advance(time.Second) },
		func() error {
			r := httptest.NewRequest("GET", at+"?bookingStatus=all&dateFrom="+x.ago(30), nil)
			r.Header.Set("X-Request-ID", anID)
			r.Header.Set("Consent-ID", consent)
			r.Header.Set("PSU-IP-Address", "192.0.2.7")
			w := httptest.NewRecorder()
			if x.bank.ServeHTTP(w, r); w.Code != 200 {
				t.Errorf("%d %s", w.Code, w.Body)
			}
			return nil
		},
	} {
		wait.Go(func() {
			for range 50 {
				if err := do(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wait.Wait()
	if c := x.bank.Counts(); c.Requests != 51 {
		t.Errorf("%+v", c)
	}
}
