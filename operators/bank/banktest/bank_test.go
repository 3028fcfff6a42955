package banktest_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/passerelle-cloud/passerelle/operators/bank/bankspec"
	"github.com/passerelle-cloud/passerelle/operators/bank/banktest"
)

// third is a third party that reads accounts at a bank.
type third struct {
	t      testing.TB
	bank   *banktest.Bank
	at     string
	http   *http.Client
	header http.Header // with each request
}

// open opens a bank, and a third party with it.
func open(t testing.TB, c banktest.Config) *third {
	t.Helper()
	b, err := banktest.New(c)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(checked(t, b))
	t.Cleanup(server.Close)
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	return &third{t, b, server.URL, client, http.Header{}}
}

// checked holds all that a bank says against the official description, where that is there.
func checked(t testing.TB, b http.Handler) http.Handler {
	if os.Getenv("PASSERELLE_SAMPLES") == "" {
		return b
	}
	return bankspec.Conform(t).Handler(b)
}

// answer is what the bank said.
type answer struct {
	status int
	header http.Header
	text   []byte
	body   map[string]any
}

// do sends a request. headers are "Name: value".
func (x *third) do(method, to, body string, headers ...string) answer {
	x.t.Helper()
	if strings.HasPrefix(to, "/") {
		to = x.at + to
	}
	r, err := http.NewRequest(method, to, strings.NewReader(body))
	if err != nil {
		x.t.Fatal(err)
	}
	r.Header = x.header.Clone()
	r.Header.Set("X-Request-ID", uuid.NewString())
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for _, h := range headers {
		if name, value, isHeader := strings.Cut(h, ": "); isHeader {
			r.Header.Set(name, value)
		}
	}
	got, err := x.http.Do(r)
	if err != nil {
		x.t.Fatal(err)
	}
	defer got.Body.Close()
	text, err := io.ReadAll(got.Body)
	if err != nil {
		x.t.Fatal(err)
	}
	return parsed(got.StatusCode, got.Header, text)
}

func parsed(status int, header http.Header, text []byte) answer {
	a := answer{status: status, header: header, text: text}
	_ = json.Unmarshal(text, &a.body) // where it is JSON
	return a
}

// at is a member of the body: "_links.next.href".
func (a answer) at(path string) string {
	var v any = a.body
	for name := range strings.SplitSeq(path, ".") {
		m, _ := v.(map[string]any)
		v = m[name]
	}
	text, _ := v.(string)
	return text
}

// list is a member that is a list of objects.
func (a answer) list(path string) (list []map[string]any) {
	var v any = a.body
	for name := range strings.SplitSeq(path, ".") {
		m, _ := v.(map[string]any)
		v = m[name]
	}
	all, _ := v.([]any)
	for _, one := range all {
		list = append(list, one.(map[string]any))
	}
	return list
}

const offered = `{"accounts":[],"balances":[],"transactions":[]}`

// ask asks for a consent.
func (x *third) ask(access string, headers ...string) answer {
	x.t.Helper()
	return x.do("POST", "/v1/consents", `{"access":`+access+`,"recurringIndicator":true,"validUntil":"9999-12-31","frequencyPerDay":4,"combinedServiceIndicator":false}`,
		append([]string{"PSU-IP-Address: 192.0.2.7", "TPP-Redirect-URI: https://third.example/back"}, headers...)...)
}

// granted asks for a consent to which a person agrees, and sends it from now on.
func (x *third) granted(person, access string) string {
	x.t.Helper()
	id := x.ask(access).at("consentId")
	if err := x.bank.Authorise(id, person); err != nil {
		x.t.Fatal(err)
	}
	x.header.Set("Consent-ID", id)
	return id
}

// post sends a form of a page, as a browser does.
func (x *third) post(to string, form url.Values) (*http.Response, string) {
	x.t.Helper()
	r, err := http.NewRequest("POST", to, strings.NewReader(form.Encode()))
	if err != nil {
		x.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	got, err := x.http.Do(r)
	if err != nil {
		x.t.Fatal(err)
	}
	defer got.Body.Close()
	text, err := io.ReadAll(got.Body)
	if err != nil {
		x.t.Fatal(err)
	}
	return got, string(text)
}

// sign goes through the page on which a person agrees, and returns where the browser goes.
func (x *third) sign(page, person string, ibans ...string) string {
	x.t.Helper()
	_, text := x.post(page, url.Values{"do": {"login"}, "person": {person}, "password": {banktest.Password}})
	key := regexp.MustCompile(`name="key" value="([^"]+)"`).FindStringSubmatch(text)
	code := regexp.MustCompile(`class="code">(\d{6})<`).FindStringSubmatch(text)
	if key == nil || code == nil {
		x.t.Fatalf("no page to decide: %s", text)
	}
	got, text := x.post(page, url.Values{"do": {"agree"}, "key": {key[1]}, "code": {code[1]}, "account": ibans})
	if got.StatusCode != http.StatusSeeOther {
		x.t.Fatalf("%d %s", got.StatusCode, text)
	}
	return got.Header.Get("Location")
}

// TestRedirect is the whole way: consent, page of the bank, accounts, all pages of operations.
func TestRedirect(t *testing.T) {
	x := open(t, banktest.Config{PageSize: 50})
	asked := x.ask(offered)
	if asked.status != 201 || asked.at("consentStatus") != "received" || asked.header.Get("ASPSP-SCA-Approach") != "REDIRECT" {
		t.Fatalf("%d %s", asked.status, asked.text)
	}
	mine := x.bank.IBANs(banktest.Anne)
	if to := x.sign(asked.at("_links.scaRedirect.href"), banktest.Anne, mine[0]); to != "https://third.example/back" {
		t.Errorf("the browser goes to %q", to)
	}
	if got := x.do("GET", asked.at("_links.status.href"), ""); got.at("consentStatus") != "valid" {
		t.Errorf("%s", got.text)
	}
	x.header.Set("Consent-ID", asked.at("consentId"))
	accounts := x.do("GET", "/v1/accounts?withBalance=true", "").list("accounts")
	if len(accounts) != 1 || accounts[0]["iban"] != mine[0] {
		t.Fatalf("%v", accounts)
	}
	at := accounts[0]["_links"].(map[string]any)["transactions"].(map[string]any)["href"].(string) + "?bookingStatus=both&dateFrom=2000-01-01"
	seen, pages := 0, 0
	for ; at != ""; pages++ {
		page := x.do("GET", at, "")
		if page.status != 200 {
			t.Fatalf("%d %s", page.status, page.text)
		}
		seen += len(page.list("transactions.booked")) + len(page.list("transactions.pending"))
		at = page.at("transactions._links.next.href")
	}
	if want := len(x.bank.Operations(mine[0])) - 1; seen != want || pages < 5 { // a standing order is no operation
		t.Errorf("%d operations on %d pages, not %d", seen, pages, want)
	}
}

// TestEveryOperation calls each operation of the official description that the bank has.
func TestEveryOperation(t *testing.T) {
	c := bankspec.Conform(t)
	x := open(t, banktest.Config{Approach: banktest.Decoupled})
	server := httptest.NewServer(c.Handler(x.bank))
	defer server.Close()
	x.at = server.URL
	x.http = &http.Client{Transport: c.Transport(http.DefaultTransport)}
	id := x.ask(offered).at("consentId")
	consent := "/v1/consents/" + id
	x.do("GET", consent, "")
	x.do("GET", consent+"/status", "")
	started := x.do("POST", consent+"/authorisations", "")
	x.do("GET", consent+"/authorisations", "")
	x.do("GET", consent+"/authorisations/"+started.at("authorisationId"), "")
	x.do("PUT", consent+"/authorisations/"+started.at("authorisationId"), "{}", "PSU-ID: "+banktest.Anne)
	if err := x.bank.Authorise(id, banktest.Anne); err != nil {
		t.Fatal(err)
	}
	x.header.Set("Consent-ID", id)
	at := x.first()
	account := strings.TrimSuffix(at, "/transactions")
	x.do("GET", account, "")
	x.do("GET", account+"/balances", "")
	list := x.do("GET", at+"?bookingStatus=booked&dateFrom="+x.ago(60), "").list("transactions.booked")
	x.do("GET", at+"/"+list[0]["transactionId"].(string), "")
	x.do("DELETE", consent, "")
	seen := c.Seen()
	for _, operation := range []string{"createConsent", "getConsentInformation", "deleteConsent", "getConsentStatus", "startConsentAuthorisation", "getConsentAuthorisation", "getConsentScaStatus",
		"updateConsentsPsuData", "getAccountList", "readAccountDetails", "getBalances", "getTransactionList", "getTransactionDetails"} {
		if seen[operation] != 2 { // once by each side
			t.Errorf("%s was seen %d times", operation, seen[operation])
		}
	}
}
