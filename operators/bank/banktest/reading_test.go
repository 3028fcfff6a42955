package banktest_test

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/passerelle-cloud/passerelle/formats/camt"
	"github.com/passerelle-cloud/passerelle/operators/bank/banktest"
)

// link is a link of an account in a list.
func link(account map[string]any, name string) string {
	l, _ := account["_links"].(map[string]any)
	one, _ := l[name].(map[string]any)
	at, _ := one["href"].(string)
	return at
}

func TestRights(t *testing.T) {
	x := open(t, banktest.Config{})
	current := x.bank.IBANs(banktest.Anne)[0]
	one := `[{"iban":"` + current + `"}]`
	for access, c := range map[string]struct {
		accounts, balances, transactions int
		inline, owner                    bool
	}{
		`{"availableAccounts":"allAccounts"}`:                      {2, 0, 0, false, false},
		`{"availableAccounts":"allAccountsWithOwnerName"}`:         {2, 0, 0, false, true},
		`{"availableAccountsWithBalance":"allAccounts"}`:           {2, 0, 0, true, false},
		`{"allPsd2":"allAccounts"}`:                                {2, 200, 200, true, false},
		`{"allPsd2":"allAccounts","restrictedTo":["SVGS"]}`:        {1, 200, 200, true, false},
		`{"accounts":` + one + `}`:                                 {1, 401, 401, false, false},
		`{"balances":` + one + `}`:                                 {1, 200, 401, true, false},
		`{"transactions":` + one + `}`:                             {1, 401, 200, false, false},
		offered:                                                    {2, 200, 200, true, false},
		`{"accounts":[]}`:                                          {2, 401, 401, false, false},
		`{"accounts":[],"additionalInformation":{"ownerName":[]}}`: {2, 401, 401, false, true},
		`{"balances":` + one + `,"additionalInformation":{"ownerName":` + one + `}}`: {1, 200, 401, true, true},
	} {
		x.granted(banktest.Anne, access)
		list := x.do("GET", "/v1/accounts?withBalance=true", "").list("accounts")
		if len(list) != c.accounts {
			t.Errorf("%s: %d accounts", access, len(list))
			continue
		}
		if has := list[0]["balances"] != nil; has != c.inline {
			t.Errorf("%s: balances %t", access, has)
		}
		if has := list[0]["ownerName"] != nil; has != c.owner {
			t.Errorf("%s: owner %t", access, has)
		}
		at := "/v1/accounts/" + list[0]["resourceId"].(string)
		if c.balances == 0 {
			refused(t, access, x.do("GET", at, ""), 401, "CONSENT_INVALID")
			continue
		}
		if got := x.do("GET", at, ""); got.status != 200 || got.at("account.iban") != list[0]["iban"] {
			t.Errorf("%s: %s", access, got.text)
		}
		if got := x.do("GET", at+"/balances", ""); got.status != c.balances || (link(list[0], "balances") != "") != (got.status == 200) {
			t.Errorf("%s: balances %d", access, got.status)
		}
		if got := x.do("GET", at+"/transactions?bookingStatus=booked&dateFrom="+x.ago(30), ""); got.status != c.transactions || (link(list[0], "transactions") != "") != (got.status == 200) {
			t.Errorf("%s: transactions %d", access, got.status)
		}
	}
	refused(t, "stranger's", x.do("GET", "/v1/accounts/"+x.bank.People()[0].ID, ""), 404, "RESOURCE_UNKNOWN")
}

// ago is the bank's date so many days ago.
func (x *third) ago(days int) string { return x.bank.Now().AddDate(0, 0, -days).Format(time.DateOnly) }

// first is where the operations of the consent's first account are.
func (x *third) first() string {
	x.t.Helper()
	list := x.do("GET", "/v1/accounts", "", "PSU-IP-Address: 192.0.2.7").list("accounts")
	if len(list) == 0 {
		x.t.Fatal("no account")
	}
	return "/v1/accounts/" + list[0]["resourceId"].(string) + "/transactions"
}

func TestFourADay(t *testing.T) {
	x := open(t, banktest.Config{PageSize: 5})
	x.granted(banktest.Anne, offered)
	at := x.first() + "?bookingStatus=booked&dateFrom=" + x.ago(60)
	for n := range 4 {
		got := x.do("GET", at, "")
		if next := x.do("GET", got.at("transactions._links.next.href"), ""); got.status != 200 || next.status != 200 {
			t.Fatalf("%d: %s %s", n, got.text, next.text)
		}
		if err := x.bank.Advance(time.Hour); err != nil {
			t.Fatal(err)
		}
	}
	refused(t, "fifth", x.do("GET", at, ""), 429, "ACCESS_EXCEEDED")
	if got := x.do("GET", at, "", "PSU-IP-Address: 192.0.2.7"); got.status != 200 {
		t.Errorf("the person is there: %s", got.text)
	}
	balances := strings.Replace(strings.Split(at, "?")[0], "transactions", "balances", 1)
	if got := x.do("GET", balances, ""); got.status != 200 {
		t.Errorf("something else: %s", got.text)
	}
	if err := x.bank.Advance(20*time.Hour - time.Second); err != nil {
		t.Fatal(err)
	}
	refused(t, "not yet", x.do("GET", at, ""), 429, "ACCESS_EXCEEDED")
	if err := x.bank.Advance(time.Second); err != nil {
		t.Fatal(err)
	}
	if got := x.do("GET", at, ""); got.status != 200 {
		t.Errorf("24 hours after the first: %s", got.text)
	}
	refused(t, "only one was free", x.do("GET", at, ""), 429, "ACCESS_EXCEEDED")
}

func TestPeriods(t *testing.T) {
	x := open(t, banktest.Config{})
	x.granted(banktest.Anne, offered)
	x.header.Set("PSU-IP-Address", "192.0.2.7")
	at := x.first()
	for query, c := range map[string]struct {
		status int
		code   string
	}{
		"?dateFrom=" + x.ago(3):                                                         {400, "FORMAT_ERROR"},
		"?bookingStatus=some&dateFrom=" + x.ago(3):                                      {400, "FORMAT_ERROR"},
		"?bookingStatus=booked":                                                         {400, "FORMAT_ERROR"},
		"?bookingStatus=booked&dateFrom=yesterday":                                      {400, "FORMAT_ERROR"},
		"?bookingStatus=booked&dateFrom=2026-01-01&dateTo=1":                            {400, "FORMAT_ERROR"},
		"?bookingStatus=booked&dateFrom=" + x.ago(3) + "&dateTo=" + x.ago(4):            {400, "PERIOD_INVALID"},
		"?bookingStatus=booked&dateFrom=" + x.ago(3) + "&itemsPerPage=0":                {400, "FORMAT_ERROR"},
		"?bookingStatus=booked&dateFrom=" + x.ago(3) + "&pageIndex=9223372036854775807": {400, "FORMAT_ERROR"},
		"?bookingStatus=booked&dateFrom=" + x.ago(3) + "&pageIndex=-1":                  {400, "FORMAT_ERROR"},
		"?bookingStatus=booked&dateFrom=" + x.ago(3) + "&withBalance=perhaps":           {400, "FORMAT_ERROR"},
		"?bookingStatus=booked&entryReferenceFrom=x":                                    {400, "RESOURCE_UNKNOWN"},
		"?bookingStatus=booked&deltaList=true&entryReferenceFrom=x":                     {400, "PARAMETER_NOT_CONSISTENT"},
	} {
		refused(t, query, x.do("GET", at+query, ""), c.status, c.code)
	}
	refused(t, "text", x.do("GET", at+"?bookingStatus=booked&dateFrom="+x.ago(3), "", "Accept: text/plain"), 406, "REQUESTED_FORMATS_INVALID")
	refused(t, "XML", x.do("GET", at+"?bookingStatus=both&dateFrom="+x.ago(3), "", "Accept: application/xml"), 406, "REQUESTED_FORMATS_INVALID")

	old := at + "?bookingStatus=booked&dateFrom=" + x.ago(91)
	if got := x.do("GET", old+"&dateTo="+x.ago(80), ""); got.status != 200 {
		t.Errorf("just signed in: %s", got.text)
	}
	if err := x.bank.Advance(16 * time.Minute); err != nil {
		t.Fatal(err)
	}
	refused(t, "91 days", x.do("GET", old, ""), 400, "PERIOD_INVALID")
	if got := x.do("GET", at+"?bookingStatus=booked&itemsPerPage=2&dateFrom="+x.ago(90), ""); got.status != 200 {
		t.Errorf("90 days: %s", got.text)
	}
	got := x.do("GET", at+"?bookingStatus=booked&deltaList=true&itemsPerPage=1000", "")
	if list := got.list("transactions.booked"); len(list) == 0 || list[len(list)-1]["bookingDate"].(string) < x.ago(90) {
		t.Errorf("a delta of %d reaches back", len(list))
	}
}

func TestBookingStatus(t *testing.T) {
	x := open(t, banktest.Config{})
	x.granted(banktest.Anne, offered)
	x.header.Set("PSU-IP-Address", "192.0.2.7")
	at := x.first()
	for status, want := range map[string][3]bool{"booked": {true, false, false}, "pending": {false, true, false}, "both": {true, true, false}, "information": {false, false, true}, "all": {true, true, true}} {
		got := x.do("GET", at+"?itemsPerPage=1000&bookingStatus="+status+"&dateFrom="+x.ago(10), "")
		lists, _ := got.body["transactions"].(map[string]any)
		for n, name := range []string{"booked", "pending", "information"} {
			list, _ := lists[name].([]any)
			if (len(list) > 0) != want[n] || (lists[name] != nil) != want[n] {
				t.Errorf("%s: %d of %s", status, len(list), name)
			}
		}
	}
	got := x.do("GET", at+"?bookingStatus=booked&withBalance=true&dateFrom="+x.ago(10), "")
	if got.list("balances") == nil {
		t.Error("no balances")
	}
	one := got.list("transactions.booked")[0]
	details := x.do("GET", at+"/"+one["transactionId"].(string), "")
	if details.at("transactionsDetails.entryReference") != one["entryReference"] {
		t.Errorf("%s", details.text)
	}
	refused(t, "unknown", x.do("GET", at+"/x", ""), 404, "RESOURCE_UNKNOWN")
}

// TestDeltas: what is new is told once, in the order of the bank's learning of it.
func TestDeltas(t *testing.T) {
	x := open(t, banktest.Config{PageSize: 40})
	x.granted(banktest.Anne, offered)
	x.header.Set("PSU-IP-Address", "192.0.2.7")
	iban := x.bank.IBANs(banktest.Anne)[0]
	at := x.first() + "?bookingStatus=both&deltaList=true"
	if n := x.all(at); n < 500 {
		t.Errorf("%d at first", n)
	}
	if n := x.all(at); n != 0 {
		t.Errorf("%d that are not new", n)
	}
	added, err := x.bank.Add(iban, banktest.Operation{Amount: -1250, Party: "PHARMACIE", Text: "CARTE", Booked: banktest.Date(x.ago(20))})
	if err != nil || added.ID == "" || added.Reference == "" {
		t.Fatal(added, err)
	}
	operations := x.bank.Operations(iban)
	var pending banktest.Operation
	for _, o := range operations {
		if o.Status == "pending" {
			pending = o
		}
	}
	became, err := x.bank.Book(iban, pending.Number)
	if err != nil || became.Status != "booked" || became.ID == "" || became.Amount != pending.Amount {
		t.Fatal(became, err)
	}
	if n := x.all(at); n != 2 {
		t.Errorf("%d that are new", n)
	}
	if n := x.all(x.first() + "?bookingStatus=booked&entryReferenceFrom=" + added.Reference); n != 1 {
		t.Errorf("%d after the one that was added", n)
	}
	if _, err := x.bank.Correct(iban, became.Number, -9999, "CORRIGE"); err != nil {
		t.Fatal(err)
	}
	got := x.do("GET", x.first()+"/"+became.ID, "")
	if got.at("transactionsDetails.transactionAmount.amount") != "-99.99" {
		t.Errorf("%s", got.text)
	}
	if len(x.bank.Operations(iban)) != len(operations) {
		t.Error("an operation was lost or doubled")
	}
}

// all counts the operations on all pages.
func (x *third) all(at string) (n int) {
	x.t.Helper()
	for range 1000 {
		got := x.do("GET", at, "")
		if got.status != 200 {
			x.t.Fatalf("%d %s", got.status, got.text)
		}
		n += len(got.list("transactions.booked")) + len(got.list("transactions.pending"))
		if at = got.at("transactions._links.next.href"); at == "" {
			return n
		}
	}
	x.t.Fatal("pages without end")
	return n
}

// TestAddedMeanwhile: pages do not shift, unless they are told to.
func TestAddedMeanwhile(t *testing.T) {
	for _, shifting := range []bool{false, true} {
		x := open(t, banktest.Config{PageSize: 10, Shifting: shifting})
		x.granted(banktest.Anne, offered)
		x.header.Set("PSU-IP-Address", "192.0.2.7")
		got := x.do("GET", x.first()+"?bookingStatus=booked&dateFrom="+x.ago(60), "")
		last := got.list("transactions.booked")[9]["transactionId"]
		if _, err := x.bank.Add(x.bank.IBANs(banktest.Anne)[0], banktest.Operation{Amount: -1}); err != nil {
			t.Fatal(err)
		}
		got = x.do("GET", got.at("transactions._links.next.href"), "")
		if again := got.list("transactions.booked")[0]["transactionId"] == last; again != shifting {
			t.Errorf("shifting %t: comes again %t", shifting, again)
		}
	}
}

func TestStatement(t *testing.T) {
	x := open(t, banktest.Config{})
	x.granted(banktest.Anne, offered)
	got := x.do("GET", x.first()+"?bookingStatus=booked&dateFrom="+x.ago(60), "", "Accept: application/xml")
	var s struct {
		IBAN    string   `xml:"BkToCstmrStmt>Stmt>Acct>Id>IBAN"`
		Sums    []string `xml:"BkToCstmrStmt>Stmt>Ntry>Amt"`
		Signs   []string `xml:"BkToCstmrStmt>Stmt>Ntry>CdtDbtInd"`
		Balance []string `xml:"BkToCstmrStmt>Stmt>Bal>Amt"`
	}
	if err := xml.Unmarshal(got.text, &s); err != nil || got.header.Get("Content-Type") != "application/xml" {
		t.Fatal(err, got.status, got.header)
	}
	if s.IBAN != x.bank.IBANs(banktest.Anne)[0] || len(s.Sums) < 20 || len(s.Balance) != 2 {
		t.Fatalf("%+v", s)
	}
	sum := cents(t, s.Balance[0])
	for n, text := range s.Sums {
		if s.Signs[n] == "DBIT" {
			sum -= cents(t, text)
		} else {
			sum += cents(t, text)
		}
	}
	if sum != cents(t, s.Balance[1]) {
		t.Errorf("the statement does not add up: %d, not %s", sum, s.Balance[1])
	}
	read := 0 // by the codec of this module, which was made for other banks
	for _, err := range camt.Codec().Decode(bytes.NewReader(got.text)) {
		if err != nil {
			t.Fatal(err)
		}
		read++
	}
	if read != len(s.Sums)+1 {
		t.Errorf("%d records of an account and %d entries", read, len(s.Sums))
	}
}

func cents(t *testing.T, text string) int {
	t.Helper()
	n, err := strconv.Atoi(strings.Replace(text, ".", "", 1))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestClosedAndBlocked(t *testing.T) {
	x := open(t, banktest.Config{})
	x.granted(banktest.Anne, offered)
	at := x.first()
	if err := x.bank.Close(x.bank.IBANs(banktest.Anne)[0]); err != nil {
		t.Fatal(err)
	}
	if got := x.do("GET", "/v1/accounts", "").list("accounts"); got[0]["status"] != "deleted" || got[1]["status"] != "enabled" {
		t.Errorf("%v", got)
	}
	refused(t, "closed", x.do("GET", at+"?bookingStatus=booked&dateFrom="+x.ago(3), ""), 404, "RESOURCE_UNKNOWN")
	if err := x.bank.Block(banktest.Anne, true); err != nil {
		t.Fatal(err)
	}
	refused(t, "blocked", x.do("GET", "/v1/accounts", ""), 403, "SERVICE_BLOCKED")
	if err := x.bank.Block(banktest.Anne, false); err != nil {
		t.Fatal(err)
	}
	if got := x.do("GET", "/v1/accounts", ""); got.status != 200 {
		t.Errorf("%s", got.text)
	}
}

// TestSameSeed: what is invented is the same each time.
func TestSameSeed(t *testing.T) {
	now := func() time.Time { return time.Date(2026, 3, 29, 12, 0, 0, 0, time.UTC) }
	one, two, other := open(t, banktest.Config{Now: now}), open(t, banktest.Config{Now: now}), open(t, banktest.Config{Now: now, Seed: 1})
	iban := one.bank.IBANs(banktest.Anne)[0]
	a, b, c := fmt.Sprint(one.bank.Operations(iban)), fmt.Sprint(two.bank.Operations(iban)), fmt.Sprint(other.bank.Operations(iban))
	if a != b || a == c {
		t.Error("it is not the seed that decides")
	}
	for _, want := range []string{"CPAM DE PARIS", "MUTUELLE DU RUISSEAU", "PHARMACIE", "MEDECIN", "SALAIRE", "EDF", "FREE MOBILE"} {
		if !strings.Contains(a, want) {
			t.Errorf("nothing of %s", want)
		}
	}
	for _, o := range one.bank.Operations(one.bank.IBANs(banktest.David)[0]) {
		if o.ID != "" || o.Status == "booked" && o.Reference == "" {
			t.Fatalf("%+v", o)
		}
	}
	if sum, err := checkIBAN(iban); err != nil || sum != 1 {
		t.Errorf("%s: %d %v", iban, sum, err)
	}
}

// checkIBAN is 1 for an IBAN whose check digits are right (ISO 7064, mod 97-10).
func checkIBAN(iban string) (rest int, err error) {
	for _, c := range iban[4:] + iban[:4] {
		switch {
		case c >= '0' && c <= '9':
			rest = (rest*10 + int(c-'0')) % 97
		case c >= 'A' && c <= 'Z':
			rest = (rest*100 + int(c-'A') + 10) % 97
		default:
			return 0, fmt.Errorf("%q", c)
		}
	}
	return rest, nil
}

// BenchmarkDownload is what it takes to download all pages of an account of 5,000 operations, and nothing else.
func BenchmarkDownload(b *testing.B) {
	x := open(b, banktest.Config{Operations: 5000})
	x.granted(banktest.Bulk, `{"allPsd2":"allAccounts"}`)
	x.header.Set("PSU-IP-Address", "192.0.2.7")
	at := x.first() + "?bookingStatus=both&dateFrom=2000-01-01"
	for b.Loop() {
		if n := x.all(at); n != 5000 {
			b.Fatal(n)
		}
	}
}
