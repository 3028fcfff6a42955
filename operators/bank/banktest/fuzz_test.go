package banktest_test

import (
	"fmt"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/passerelle-cloud/passerelle/operators/bank/banktest"
)

const anID = "99391c7e-ad88-49ec-a2ad-99ddcb1f7721"

// consented is a bank with a consent.
func consented(t testing.TB, c banktest.Config) (bank *banktest.Bank, consent, account string) {
	t.Helper()
	x := open(t, c)
	consent = x.granted(banktest.Anne, offered)
	return x.bank, consent, x.first()
}

func FuzzTransactions(f *testing.F) {
	bank, consent, at := consented(f, banktest.Config{})
	f.Add("bookingStatus=both&dateFrom=2026-01-01&dateTo=2026-02-01&pageIndex=3&itemsPerPage=2&withBalance=true", "application/json")
	f.Add("bookingStatus=booked&deltaList=true&after=3&upTo=7&again=1", "application/xml, */*;q=0.1")
	f.Add("bookingStatus=information&entryReferenceFrom=x", "text/plain")
	f.Fuzz(func(t *testing.T, query, accept string) {
		r := httptest.NewRequest("GET", at, nil)
		r.URL.RawQuery = query
		for name, value := range map[string]string{"X-Request-ID": anID, "Consent-ID": consent, "PSU-IP-Address": "192.0.2.7", "Accept": accept} {
			r.Header.Set(name, value)
		}
		w := httptest.NewRecorder()
		if bank.ServeHTTP(w, r); w.Code != 200 && w.Code != 400 && w.Code != 406 {
			t.Errorf("%d %s", w.Code, w.Body)
		}
	})
}

func FuzzConsent(f *testing.F) {
	bank, _, _ := consented(f, banktest.Config{})
	iban := bank.IBANs(banktest.Anne)[0]
	for _, access := range []string{offered, `{"allPsd2":"allAccounts","restrictedTo":["CACC"]}`, `{"balances":[{"iban":"` + iban + `"}],"additionalInformation":{"ownerName":[]}}`, `[]`} {
		f.Add(fmt.Sprintf(whole, access, "true", "9999-12-31", "4"), "https://third.example/")
	}
	f.Fuzz(func(t *testing.T, body, back string) {
		r := httptest.NewRequest("POST", "/v1/consents", strings.NewReader(body))
		for name, value := range map[string]string{"X-Request-ID": anID, "PSU-IP-Address": "192.0.2.7", "TPP-Redirect-URI": back, "Content-Type": "application/json"} {
			r.Header.Set(name, value)
		}
		w := httptest.NewRecorder()
		if bank.ServeHTTP(w, r); w.Code == 201 {
			id := parsed(w.Code, w.Header(), w.Body.Bytes()).at("consentId")
			if err := bank.Authorise(id, banktest.Anne); err != nil && bank.ConsentStatus(id) != banktest.Rejected {
				t.Error("what was asked for cannot be decided about:", err)
			}
		} else if w.Code != 400 {
			t.Errorf("%d %s", w.Code, w.Body)
		}
	})
}

// bare is a bank with a consent that nobody checks: quick to open.
func bare(t *testing.T, c banktest.Config) (x *third, consent, at string) {
	t.Helper()
	bank, err := banktest.New(c)
	if err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	r := httptest.NewRequest("POST", "/v1/consents", strings.NewReader(fmt.Sprintf(whole, offered, "true", "9999-12-31", "4")))
	for name, value := range map[string]string{"X-Request-ID": anID, "PSU-IP-Address": "192.0.2.7", "TPP-Redirect-URI": "https://third.example/", "Content-Type": "application/json"} {
		r.Header.Set(name, value)
	}
	bank.ServeHTTP(w, r)
	consent = parsed(w.Code, w.Header(), w.Body.Bytes()).at("consentId")
	if err := bank.Authorise(consent, banktest.Anne); err != nil {
		t.Fatal(err)
	}
	for _, p := range bank.People() {
		if p.ID == banktest.Anne {
			at = "/v1/accounts/" + p.Accounts[0].ID + "/transactions"
		}
	}
	return &third{t: t, bank: bank}, consent, at
}

// TestEachOnce: whatever happens to an account while it is read, each operation that was there at the beginning and was not
// booked meanwhile comes once.
func TestEachOnce(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		x, consent, at := bare(t, banktest.Config{PageSize: rapid.IntRange(1, 80).Draw(rt, "size"), Seed: rapid.Uint64().Draw(rt, "seed"), Operations: 1})
		bank := x.bank
		iban, since := bank.IBANs(banktest.Anne)[0], x.ago(90)
		want := map[string]bool{}
		for _, o := range bank.Operations(iban) {
			if o.Status == "booked" && string(o.Booked) >= since {
				want[o.ID] = true
			}
		}
		next := at + "?bookingStatus=booked&dateFrom=" + since
		for pages := 0; next != "" && pages < 3000; pages++ {
			r := httptest.NewRequest("GET", next, nil)
			r.Header.Set("X-Request-ID", anID)
			r.Header.Set("Consent-ID", consent)
			r.Header.Set("PSU-IP-Address", "192.0.2.7")
			w := httptest.NewRecorder()
			bank.ServeHTTP(w, r)
			got := parsed(w.Code, w.Header(), w.Body.Bytes())
			for _, o := range got.list("transactions.booked") {
				id, _ := o["transactionId"].(string)
				if !want[id] {
					rt.Fatalf("%q came twice, or from nowhere", id)
				}
				delete(want, id)
			}
			if rapid.IntRange(0, 9).Draw(rt, "add") == 0 {
				if _, err := bank.Add(iban, banktest.Operation{Amount: -1, Booked: banktest.Date(x.ago(rapid.IntRange(0, 100).Draw(rt, "ago")))}); err != nil {
					rt.Fatal(err)
				}
			}
			u, err := url.Parse(got.at("transactions._links.next.href"))
			if err != nil {
				rt.Fatal(err)
			}
			if next = u.RequestURI(); u.Path == "" {
				next = ""
			}
		}
		if len(want) > 0 {
			rt.Fatalf("%d never came", len(want))
		}
	})
}
