package banktest_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/passerelle-cloud/passerelle/operators/bank/banktest"
)

// refused checks an error's status and code.
func refused(t *testing.T, what string, got answer, status int, code string) {
	t.Helper()
	list := got.list("tppMessages")
	if got.status != status || len(list) != 1 || list[0]["code"] != code || list[0]["text"] == "" {
		t.Errorf("%s: %d %s, not %d %s", what, got.status, got.text, status, code)
	}
}

const whole = `{"access":%s,"recurringIndicator":%s,"validUntil":"%s","frequencyPerDay":%s,"combinedServiceIndicator":false}`

func TestConsentsThatCannotBe(t *testing.T) {
	x := open(t, banktest.Config{})
	body := func(access, recurring, until, times string) string {
		return fmt.Sprintf(whole, access, recurring, until, times)
	}
	good := body(offered, "true", "9999-12-31", "4")
	headers := []string{"PSU-IP-Address: 192.0.2.7", "TPP-Redirect-URI: https://third.example/back"}
	mine := x.bank.IBANs(banktest.Anne)[0]
	for name, c := range map[string]struct {
		body, header, code string
		status             int
	}{
		"no request id":       {good, "X-Request-ID: 17", "FORMAT_ERROR", 400},
		"no address":          {good, "PSU-IP-Address: ", "FORMAT_ERROR", 400},
		"no such address":     {good, "PSU-IP-Address: everywhere", "FORMAT_ERROR", 400},
		"nowhere to go":       {good, "TPP-Redirect-URI: ", "FORMAT_ERROR", 400},
		"a script to go to":   {good, "TPP-Redirect-URI: javascript:alert(1)", "FORMAT_ERROR", 400},
		"no JSON":             {good[1:], "", "FORMAT_ERROR", 400},
		"two bodies":          {good + good, "", "FORMAT_ERROR", 400},
		"no access":           {`{"recurringIndicator":true,"validUntil":"9999-12-31","frequencyPerDay":4,"combinedServiceIndicator":false}`, "", "FORMAT_ERROR", 400},
		"nothing asked":       {body(`{}`, "true", "9999-12-31", "4"), "", "CONSENT_INVALID", 400},
		"everything at once":  {body(`{"allPsd2":"allAccounts","accounts":[]}`, "true", "9999-12-31", "4"), "", "CONSENT_INVALID", 400},
		"all of what":         {body(`{"allPsd2":"some"}`, "true", "9999-12-31", "4"), "", "FORMAT_ERROR", 400},
		"some and all":        {body(`{"accounts":[],"balances":[{"iban":"`+mine+`"}]}`, "true", "9999-12-31", "4"), "", "CONSENT_INVALID", 400},
		"an unknown account":  {body(`{"accounts":[{"iban":"FR7630006000011234567890189"}]}`, "true", "9999-12-31", "4"), "", "CONSENT_INVALID", 400},
		"another currency":    {body(`{"accounts":[{"iban":"`+mine+`","currency":"USD"}]}`, "true", "9999-12-31", "4"), "", "CONSENT_INVALID", 400},
		"no date":             {body(offered, "true", "2026-02-30", "4"), "", "FORMAT_ERROR", 400},
		"a date in the past":  {body(offered, "true", "2001-01-01", "4"), "", "FORMAT_ERROR", 400},
		"never":               {body(offered, "true", "9999-12-31", "0"), "", "FORMAT_ERROR", 400},
		"once, four times":    {body(offered, "false", "9999-12-31", "4"), "", "FORMAT_ERROR", 400},
		"with a payment":      {strings.Replace(good, `Indicator":false`, `Indicator":true`, 1), "", "SESSIONS_NOT_SUPPORTED", 400},
		"an unknown customer": {good, "PSU-ID: nobody", "PSU_CREDENTIALS_INVALID", 401},
	} {
		refused(t, name, x.do("POST", "/v1/consents", c.body, append(slices.Clone(headers), c.header)...), c.status, c.code)
	}
	if got := x.do("POST", "/v1/consents", good, append(headers, "Content-Type: text/plain")...); got.status != http.StatusUnsupportedMediaType {
		t.Errorf("text: %d %s", got.status, got.text)
	}
	refused(t, "put", x.do("PUT", "/v1/accounts", ""), 405, "SERVICE_INVALID")
	refused(t, "payments", x.do("GET", "/v1/nothing", ""), 404, "RESOURCE_UNKNOWN")
	if got := x.bank.Consents(); len(got) != 0 {
		t.Errorf("%v was kept", got)
	}
}

func TestProblems(t *testing.T) {
	x := open(t, banktest.Config{Problems: true})
	got := x.do("GET", "/v1/accounts", "")
	if got.status != 400 || got.at("code") != "FORMAT_ERROR" || got.header.Get("Content-Type") != "application/problem+json" || got.at("type") == "" {
		t.Errorf("%d %s", got.status, got.text)
	}
}

func TestLifeOfAConsent(t *testing.T) {
	x := open(t, banktest.Config{MaxDays: 30})
	id := x.granted(banktest.Anne, offered)
	at := "/v1/consents/" + id
	got := x.do("GET", at, "")
	if want := x.bank.Now().AddDate(0, 0, 30).Format(time.DateOnly); got.at("validUntil") != want || len(got.list("access.transactions")) != 2 {
		t.Errorf("until %q, not %s: %s", got.at("validUntil"), want, got.text)
	}
	for name, c := range map[string]struct {
		do   func(id string) error
		want string
		code string
	}{
		"revoked":    {x.bank.Revoke, "revokedByPsu", "CONSENT_INVALID"},
		"expired":    {x.bank.Expire, "expired", "CONSENT_EXPIRED"},
		"deleted":    {func(id string) error { x.do("DELETE", "/v1/consents/"+id, ""); return nil }, "terminatedByTpp", "CONSENT_INVALID"},
		"time":       {func(string) error { return x.bank.Advance(32 * 24 * time.Hour) }, "expired", "CONSENT_EXPIRED"},
		"a new one":  {func(string) error { x.granted(banktest.Anne, offered); return nil }, "expired", "CONSENT_EXPIRED"},
		"of another": {func(string) error { x.granted(banktest.Claire, `{"allPsd2":"allAccounts"}`); return nil }, "valid", ""},
	} {
		id := x.granted(banktest.Anne, offered)
		if err := c.do(id); err != nil {
			t.Fatal(err)
		}
		if got := x.bank.ConsentStatus(id); got != c.want {
			t.Errorf("%s: %s", name, got)
		}
		if c.code != "" {
			refused(t, name, x.do("GET", "/v1/accounts", "", "Consent-ID: "+id), 401, c.code)
		}
	}
	id = x.ask(offered).at("consentId")
	if err := x.bank.Refuse(id); err != nil || x.bank.ConsentStatus(id) != "rejected" {
		t.Error(err, x.bank.ConsentStatus(id))
	}
	waits := x.ask(offered).at("consentId")
	if err := x.bank.Advance(25 * time.Hour); err != nil || x.bank.ConsentStatus(waits) != "expired" {
		t.Error(err, x.bank.ConsentStatus(waits))
	}
	refused(t, "unknown", x.do("GET", "/v1/consents/"+waits+"x", ""), 403, "CONSENT_UNKNOWN")
	refused(t, "unknown", x.do("GET", "/v1/accounts", "", "Consent-ID: x"), 400, "CONSENT_UNKNOWN")
	refused(t, "missing", x.do("GET", "/v1/accounts", "", "Consent-ID: "), 400, "FORMAT_ERROR")
}

func TestOnce(t *testing.T) {
	x := open(t, banktest.Config{})
	got := x.do("POST", "/v1/consents", fmt.Sprintf(whole, offered, "false", "9999-12-31", "1"), "PSU-IP-Address: 192.0.2.7", "TPP-Redirect-URI: https://third.example/back")
	id := got.at("consentId")
	if err := x.bank.Authorise(id, banktest.Anne); err != nil {
		t.Fatal(err)
	}
	x.header.Set("Consent-ID", id)
	if got := x.do("GET", "/v1/accounts", ""); got.status != 200 {
		t.Errorf("%s", got.text)
	}
	refused(t, "twice", x.do("GET", "/v1/accounts", ""), 429, "ACCESS_EXCEEDED")
	if err := x.bank.Advance(21 * time.Minute); err != nil {
		t.Fatal(err)
	}
	refused(t, "later", x.do("GET", "/v1/accounts", "", "PSU-IP-Address: 192.0.2.7"), 401, "CONSENT_EXPIRED")
}

// TestJoint is an account for which two persons must agree.
func TestJoint(t *testing.T) {
	x := open(t, banktest.Config{})
	joint := x.bank.IBANs(banktest.Benoit)[0]
	asked := x.ask(`{"transactions":[{"iban":"` + joint + `"}]}`)
	id := asked.at("consentId")
	x.sign(asked.at("_links.scaRedirect.href"), banktest.Benoit)
	x.header.Set("Consent-ID", id)
	if got := x.do("GET", "/v1/consents/"+id+"/status", ""); got.at("consentStatus") != "partiallyAuthorised" {
		t.Fatalf("%s", got.text)
	}
	refused(t, "half", x.do("GET", "/v1/accounts", ""), 401, "CONSENT_INVALID")
	second := x.do("POST", "/v1/consents/"+id+"/authorisations", "")
	if second.status != 201 {
		t.Fatalf("%s", second.text)
	}
	if err := x.bank.Authorise(id, banktest.Anne); err == nil || x.bank.ConsentStatus(id) != "rejected" {
		t.Error("a stranger agreed", err, x.bank.ConsentStatus(id))
	}
	asked = x.ask(`{"transactions":[{"iban":"` + joint + `"}]}`)
	id = asked.at("consentId")
	x.sign(asked.at("_links.scaRedirect.href"), banktest.Benoit)
	second = x.do("POST", "/v1/consents/"+id+"/authorisations", "")
	x.sign(second.at("_links.scaRedirect.href"), banktest.Claire)
	if got := x.do("GET", "/v1/accounts", "", "Consent-ID: "+id).list("accounts"); len(got) != 1 {
		t.Errorf("%v", got)
	}
	if got := x.do("GET", "/v1/consents/"+id+"/authorisations", ""); strings.Count(string(got.text), `-`) != 8 {
		t.Errorf("%s", got.text)
	}
}
