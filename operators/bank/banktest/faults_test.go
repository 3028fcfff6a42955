package banktest_test

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/passerelle-cloud/passerelle/operators/bank/banktest"
)

// seen are the operations on pages, by what can be seen of them.
type seen struct {
	ids, references, amounts, days []string
	pages                          int
	last                           answer
}

// pages reads at most so many pages.
func (x *third) pages(most int) (s seen) {
	x.t.Helper()
	for at := x.first() + "?bookingStatus=booked&dateFrom=" + x.ago(60); at != "" && s.pages < most && strings.HasPrefix(at, x.at) != strings.HasPrefix(at, "/"); s.pages++ {
		s.last = x.do("GET", at, "")
		for _, o := range s.last.list("transactions.booked") {
			id, _ := o["transactionId"].(string)
			reference, _ := o["entryReference"].(string)
			day, _ := o["bookingDate"].(string)
			s.ids, s.references, s.days = append(s.ids, id), append(s.references, reference), append(s.days, day)
			s.amounts = append(s.amounts, o["transactionAmount"].(map[string]any)["amount"].(string))
		}
		at = s.last.at("transactions._links.next.href")
	}
	return s
}

// distinct is how many different texts there are.
func distinct(list []string) int {
	all := map[string]bool{}
	for _, one := range list {
		all[one] = true
	}
	return len(all)
}

func TestFaultsOfLists(t *testing.T) {
	x := open(t, banktest.Config{PageSize: 10})
	x.granted(banktest.Anne, offered)
	x.header.Set("PSU-IP-Address", "192.0.2.7")
	for range 2 { // a page that comes again is no second read
		x.header.Del("PSU-IP-Address")
		if err := x.bank.Break(banktest.Fault{Kind: banktest.Loop}); err != nil {
			t.Fatal(err)
		}
		if s := x.pages(20); s.pages != 20 || s.last.status != 200 {
			t.Errorf("%d pages, then %s", s.pages, s.last.text)
		}
		x.bank.Mend()
	}
	x.header.Set("PSU-IP-Address", "192.0.2.7")
	good := x.pages(100)
	if distinct(good.ids) != len(good.ids) || len(good.ids) < 25 {
		t.Fatalf("%d operations", len(good.ids))
	}
	for _, c := range []struct {
		fault banktest.Fault
		holds func(seen) bool
	}{
		{banktest.Fault{Kind: banktest.DuplicatePages}, func(s seen) bool { return len(s.ids) == 2*len(good.ids) && distinct(s.ids) == len(good.ids) }},
		{banktest.Fault{Kind: banktest.DuplicateOperations}, func(s seen) bool { return len(s.ids) > len(good.ids) && distinct(s.ids) == len(good.ids) }},
		{banktest.Fault{Kind: banktest.Disorder}, func(s seen) bool {
			return distinct(s.ids) == len(good.ids) && strings.Join(s.days, "") != strings.Join(good.days, "")
		}},
		{banktest.Fault{Kind: banktest.ChangingIDs}, func(s seen) bool { return s.ids[0] != good.ids[0] && s.references[0] != good.references[0] }},
		{banktest.Fault{Kind: banktest.NoIDs}, func(s seen) bool { return s.ids[0]+s.references[0] == "" && len(s.ids) == len(good.ids) }},
		{banktest.Fault{Kind: banktest.FlippedSigns}, func(s seen) bool {
			return s.amounts[0] != good.amounts[0] && strings.Trim(s.amounts[0], "-") == strings.Trim(good.amounts[0], "-")
		}},
		{banktest.Fault{Kind: banktest.Endless}, func(s seen) bool { return s.pages == 100 && len(s.ids) == len(good.ids) }},
		{banktest.Fault{Kind: banktest.Loop}, func(s seen) bool { return s.pages == 100 && distinct(s.ids) == 10 }},
		{banktest.Fault{Kind: banktest.Elsewhere}, func(s seen) bool {
			return strings.HasPrefix(s.last.at("transactions._links.next.href"), "https://elsewhere.example/v1/accounts/")
		}},
		{banktest.Fault{Kind: banktest.Amount, Value: "-0"}, func(s seen) bool { return s.amounts[0] == "-0" && s.amounts[1] == good.amounts[1] }},
		{banktest.Fault{Kind: banktest.Amount}, func(s seen) bool { return s.amounts[0] == "1.00E+2" }},
		{banktest.Fault{Kind: banktest.Currency}, func(s seen) bool { return strings.Contains(string(s.last.text), `"ZZZ"`) }},
		{banktest.Fault{Kind: banktest.Times}, func(s seen) bool { return s.days[0] == good.days[0]+"T00:00:00" }},
	} {
		if err := x.bank.Break(c.fault); err != nil {
			t.Fatal(err)
		}
		if s := x.pages(100); !c.holds(s) || s.last.header.Get(banktest.FaultHeader) != string(c.fault.Kind) {
			t.Errorf("%s: %d operations on %d pages, %.300s", c.fault.Kind, len(s.ids), s.pages, s.last.text)
		}
		x.bank.Mend()
	}
	if s := x.pages(100); strings.Join(s.ids, "") != strings.Join(good.ids, "") {
		t.Error("it is not mended")
	}
}

func TestFaultsOfTransport(t *testing.T) {
	x := open(t, banktest.Config{})
	x.granted(banktest.Anne, offered)
	get := func() (*http.Response, []byte, error) {
		r, err := http.NewRequest("GET", x.at+"/v1/accounts", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("X-Request-ID", uuid.NewString())
		r.Header.Set("Consent-ID", x.header.Get("Consent-ID"))
		r.Header.Set("PSU-IP-Address", "192.0.2.7")
		got, err := x.http.Do(r)
		if err != nil {
			return nil, nil, err
		}
		defer got.Body.Close()
		text, err := io.ReadAll(got.Body)
		return got, text, err
	}
	for name, c := range map[string]struct {
		fault banktest.Fault
		holds func(*http.Response, []byte, error) bool
	}{
		"cut": {banktest.Fault{Kind: banktest.Cut}, func(_ *http.Response, text []byte, err error) bool {
			return err != nil && len(text) > 0 && !json.Valid(text)
		}},
		"dropped": {banktest.Fault{Kind: banktest.Dropped}, func(_ *http.Response, _ []byte, err error) bool { return err != nil }},
		"html": {banktest.Fault{Kind: banktest.HTML}, func(r *http.Response, text []byte, err error) bool {
			return r.StatusCode == 200 && strings.HasPrefix(string(text), "<!doctype")
		}},
		"huge": {banktest.Fault{Kind: banktest.Huge, Bytes: 3 << 20}, func(_ *http.Response, text []byte, err error) bool { return len(text) > 3<<20 && json.Valid(text) }},
		"503":  {banktest.Fault{Kind: banktest.StatusCode}, func(r *http.Response, _ []byte, _ error) bool { return r.StatusCode == 503 }},
		"429": {banktest.Fault{Kind: banktest.StatusCode, Status: 429, RetryAfter: 7}, func(r *http.Response, text []byte, _ error) bool {
			return r.StatusCode == 429 && r.Header.Get("Retry-After") == "7" && strings.Contains(string(text), "ACCESS_EXCEEDED")
		}},
		"429, date": {banktest.Fault{Kind: banktest.StatusCode, Status: 429, RetryAfter: 60, AsDate: true}, func(r *http.Response, _ []byte, _ error) bool {
			at, err := http.ParseTime(r.Header.Get("Retry-After"))
			return err == nil && time.Until(at) > 50*time.Second
		}},
	} {
		c.fault.Count = 1
		if err := x.bank.Break(c.fault); err != nil {
			t.Fatal(err)
		}
		if got, text, err := get(); !c.holds(got, text, err) {
			t.Errorf("%s: %v %.100s %v", name, got, text, err)
		}
		if got, text, err := get(); err != nil || got.StatusCode != 200 || !json.Valid(text) || len(x.bank.Faults()) > 0 {
			t.Errorf("%s: it struck twice: %s %v", name, text, err)
		}
	}
	if err := x.bank.Break(banktest.Fault{Kind: banktest.Slow, Seconds: 0.2}); err != nil {
		t.Fatal(err)
	}
	if began := time.Now(); x.do("GET", "/v1/accounts", "", "PSU-IP-Address: 192.0.2.7").status != 200 || time.Since(began) < 200*time.Millisecond {
		t.Error("it is not slow")
	}
}

func TestSkippedAndShortened(t *testing.T) {
	x := open(t, banktest.Config{})
	if err := x.bank.Break(banktest.Fault{Kind: banktest.Shortened, Days: 2, Skip: 1, Count: 1}); err != nil {
		t.Fatal(err)
	}
	for n, want := range []int{180, 2, 180} {
		id := x.ask(offered).at("consentId")
		if got := x.do("GET", "/v1/consents/"+id, "").at("validUntil"); got != x.ago(-want) {
			t.Errorf("%d: until %s, not %s", n, got, x.ago(-want))
		}
	}
	for _, f := range []banktest.Fault{{}, {Kind: "earthquake"}, {Kind: banktest.StatusCode, Status: 42}} {
		if x.bank.Break(f) == nil {
			t.Errorf("%+v is a fault", f)
		}
	}
}

// TestSandbox does over HTTP what can be done to the bank.
func TestSandbox(t *testing.T) {
	x := open(t, banktest.Config{})
	id := x.ask(offered).at("consentId")
	iban := x.bank.IBANs(banktest.Anne)[1]
	for _, c := range []struct {
		method, path, body, want string
		status                   int
	}{
		{"GET", "", "", "/sandbox/faults", 200},
		{"POST", "/faults", `{"fault":{"kind":"cut","count":2}}`, `"kind": "cut"`, 200},
		{"POST", "/faults", `{"fault":{"kind":"earthquake"}}`, "no such thing", 404},
		{"POST", "/faults", `{"kind":"cut"}`, "unknown field", 400},
		{"GET", "/faults", "", `"count": 2`, 200},
		{"DELETE", "/faults", "", "[]", 200},
		{"GET", "/people", "", "anne.martin", 200},
		{"GET", "/counts", "", `"requests": 1`, 200},
		{"POST", "/consents/" + id + "/authorise", `{"person":"anne.martin","accounts":["` + iban + `"]}`, `"valid"`, 200},
		{"POST", "/consents/" + id + "/authorise", `{"person":"anne.martin"}`, "the consent is valid", 409},
		{"POST", "/consents/x/revoke", "", "no such thing", 404},
		{"GET", "/consents", "", iban, 200},
		{"POST", "/accounts/" + iban + "/operations", `{"operation":{"amount":-1250,"party":"X","status":"pending"}}`, `"number": `, 200},
		{"POST", "/accounts/" + iban + "/operations", `{"operation":{"bookingDate":"soon"}}`, "is no date", 409},
		{"POST", "/accounts/" + iban + "/operations", `{"operation":{"status":"soon"}}`, "neither booked", 409},
		{"POST", "/accounts/" + iban + "/book", `{"operation":{"number":1}}`, "no such thing", 404},
		{"POST", "/accounts/" + iban + "/correct", `{"operation":{"number":1,"amount":5,"text":"corrected"}}`, "corrected", 200},
		{"GET", "/accounts/" + iban + "/operations", "", "corrected", 200},
		{"POST", "/clock", `{"advance":"200h"}`, "now", 200},
		{"POST", "/clock", `{"advance":"soon"}`, "error", 409},
		{"POST", "/blocked/anne.martin/block", "", "true", 200},
		{"POST", "/consents/" + id + "/revoke", "", "revokedByPsu", 200},
		{"POST", "/consents/" + id + "/expire", "", "expired", 200},
		{"POST", "/consents/" + id + "/refuse", "", "the consent is expired", 409},
		{"POST", "/accounts/" + iban + "/close", "", "{}", 200},
		{"POST", "/accounts/none/close", "", "no such thing", 404},
		{"GET", "/accounts/none/operations", "", "no such thing", 404},
	} {
		if got := x.do(c.method, "/sandbox"+c.path, c.body); got.status != c.status || !strings.Contains(string(got.text), c.want) {
			t.Errorf("%s %s: %d %s", c.method, c.path, got.status, got.text)
		}
	}
}

// TestRate sees that a bank answers so many requests a second only, and counts them all.
func TestRate(t *testing.T) {
	x := open(t, banktest.Config{Rate: 20, Crowd: 3})
	x.granted(banktest.CrowdID(3), offered)
	refusals := 0
	for range 40 {
		if got := x.do("GET", "/v1/accounts", "", "PSU-IP-Address: 192.0.2.7"); got.status == 429 {
			refusals++
			if got.header.Get("Retry-After") != "1" {
				t.Errorf("%v", got.header)
			}
		} else if len(got.list("accounts")) != 1 {
			t.Errorf("%s", got.text)
		}
	}
	if c := x.bank.Counts(); c.Requests != 41 || c.AtOnce != 1 || c.Statuses[429] != refusals || refusals == 0 || refusals > 21 {
		t.Errorf("%+v, %d refusals", c, refusals)
	}
	time.Sleep(60 * time.Millisecond)
	if got := x.do("GET", "/v1/accounts", "", "PSU-IP-Address: 192.0.2.7"); got.status != 200 {
		t.Errorf("%s", got.text)
	}
}
