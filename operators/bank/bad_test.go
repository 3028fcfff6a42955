package bank_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/passerelle-cloud/passerelle/formats"
	"github.com/passerelle-cloud/passerelle/operators/bank"
	"github.com/passerelle-cloud/passerelle/operators/bank/banktest"
)

// TestFaultsHaveNames: whatever the bank does, there is an error that says what it is, and nothing is taken over.
func TestFaultsHaveNames(t *testing.T) {
	cases := map[string]struct {
		fault banktest.Fault
		want  error
	}{
		"not there":     {banktest.Fault{Kind: banktest.StatusCode, Status: 503, RetryAfter: 120}, bank.ErrDown},
		"too often":     {banktest.Fault{Kind: banktest.StatusCode, Status: 429, RetryAfter: 120, AsDate: true}, bank.ErrTooOften},
		"cut":           {banktest.Fault{Kind: banktest.Cut}, bank.ErrDown},
		"dropped":       {banktest.Fault{Kind: banktest.Dropped}, bank.ErrDown},
		"a page":        {banktest.Fault{Kind: banktest.HTML}, bank.ErrFormat},
		"100 MB":        {banktest.Fault{Kind: banktest.Huge, Bytes: 100 << 20}, bank.ErrTooMuch},
		"endless":       {banktest.Fault{Kind: banktest.Endless}, bank.ErrTooMuch},
		"a circle":      {banktest.Fault{Kind: banktest.Loop}, bank.ErrTooMuch},
		"another host":  {banktest.Fault{Kind: banktest.Elsewhere, Value: "https://elsewhere.example"}, bank.ErrElsewhere},
		"in the middle": {banktest.Fault{Kind: banktest.StatusCode, Status: 500, Skip: 3}, bank.ErrDown},
	}
	for name, c := range cases {
		w := newWorld(t, banktest.Config{PageSize: 50}, func(p *bank.Profile) { p.Limits.PerMinute = 0 })
		w.connect(bank.Config{}, func(p *bank.Profile) { p.Limits.PerMinute = 6000 })
		r, list := w.accounts(banktest.Anne)
		c.fault.Path = "/transactions"
		if err := w.bank.Break(c.fault); err != nil {
			t.Fatal(err)
		}
		got, err := r.Operations(t.Context(), list[0], all)
		if !errors.Is(err, c.want) || got != nil || w.open != 0 {
			t.Errorf("%s: %v, %v, %d open", name, got, err, w.open)
		}
		if wait := bank.WaitOf(err); c.fault.RetryAfter > 0 && (wait > 2*time.Minute || wait < time.Minute) {
			t.Errorf("%s: again after %s", name, wait)
		}
		w.bank.Mend()
		if _, err := r.Operations(t.Context(), list[0], all); err != nil {
			t.Errorf("%s, and then: %v", name, err)
		}
	}
}

// TestMisbehaviourChangesNothing: what a bank gives twice, in disorder, with other ids or other signs is the same operations.
func TestMisbehaviourChangesNothing(t *testing.T) {
	for _, person := range []string{banktest.Anne, banktest.David} {
		for _, kind := range []banktest.Kind{banktest.DuplicatePages, banktest.DuplicateOperations, banktest.Disorder, banktest.ChangingIDs, banktest.NoIDs, banktest.FlippedSigns, banktest.Times} {
			w := newWorld(t, banktest.Config{PageSize: 50})
			r, list := w.accounts(person)
			good, err := r.Operations(t.Context(), list[0], all)
			if err != nil {
				t.Fatal(err)
			}
			var known []bank.Known
			for _, c := range bank.Match(nil, good.Operations, today(good.Covered)) {
				known = append(known, bank.Known{ID: c.ID, Body: c.Body})
			}
			if err := w.bank.Break(banktest.Fault{Kind: kind}); err != nil {
				t.Fatal(err)
			}
			bad, err := r.Operations(t.Context(), list[0], all)
			if err != nil || len(bad.Refused) > 0 {
				t.Errorf("%s: %v, %v", kind, err, bad)
				continue
			}
			n := map[bank.What]int{}
			for _, c := range bank.Match(known, bad.Operations, today(bad.Covered)) {
				n[c.What]++
				if kind != banktest.FlippedSigns && len(c.Body.Corrections) > 0 {
					t.Errorf("%s of %s: %s", kind, person, c.Body.Corrections[0].Was)
				}
			}
			if n[bank.Added] > 0 || n[bank.Absent] > 0 || n[bank.Withdrawn] > 0 || n[bank.Same]+n[bank.Changed] != len(known) {
				t.Errorf("%s of %s: %v, of %d", kind, person, n, len(known))
			}
		}
	}
}

func today(c bank.Covered) bank.Covered {
	c.Today = time.Now().Format(time.DateOnly)
	return c
}

func TestBadAmountsAreRefusedAlone(t *testing.T) {
	for _, f := range []banktest.Fault{{Kind: banktest.Amount, Value: "1.00E+2"}, {Kind: banktest.Amount, Value: strings.Repeat("9", 30)}, {Kind: banktest.Currency, Value: "ZZZ"}} {
		w := newWorld(t, banktest.Config{PageSize: 1000})
		r, list := w.accounts(banktest.Anne)
		if err := w.bank.Break(f); err != nil {
			t.Fatal(err)
		}
		got, err := r.Operations(t.Context(), list[0], all)
		if err != nil || len(got.Refused) != 1 || len(got.Operations) < 100 || got.Covered.Complete {
			t.Fatalf("%v: %v, %v", f, got.Refused, err)
		}
		if !strings.Contains(got.Refused[0].Why, f.Value[:3]) || !strings.Contains(string(got.Refused[0].Native), f.Value) {
			t.Errorf("%s of %s", got.Refused[0].Why, got.Refused[0].Native)
		}
	}
}

func TestLimitsOfTheBank(t *testing.T) {
	w := newWorld(t, banktest.Config{PerDay: 2})
	access := w.granted(banktest.Anne)
	access.Presence = nil
	r := w.reader(access)
	var err error
	for range 3 {
		_, _, err = r.Accounts(t.Context(), false)
	}
	if !errors.Is(err, bank.ErrTooOften) {
		t.Errorf("the third time: %v", err)
	}
	access.Presence = w.visit.Presence
	list, _, err := w.reader(access).Accounts(t.Context(), false)
	if err != nil {
		t.Errorf("the person is there: %v", err)
	}
	if err := w.bank.Advance(48 * time.Hour); err != nil {
		t.Fatal(err)
	}
	access.Presence = nil
	if _, err := w.reader(access).Operations(t.Context(), list[0], all); !errors.Is(err, bank.ErrPeriod) && !errors.Is(err, bank.ErrNotCovered) && err != nil {
		t.Errorf("what is old, without the person: %v", err)
	}
	if err := w.bank.Close(w.bank.IBANs(banktest.Anne)[0]); err != nil {
		t.Fatal(err)
	}
	_, err = w.reader(w.granted(banktest.Anne)).Operations(t.Context(), list[0], all)
	if !errors.Is(err, bank.ErrClosed) && !errors.Is(err, bank.ErrNotCovered) {
		t.Errorf("a closed account: %v", err)
	}
}

func TestProblemsInTheOtherShape(t *testing.T) {
	w := newWorld(t, banktest.Config{Problems: true})
	_, _, err := w.reader(bank.Access{Consent: "nothing"}).Accounts(t.Context(), false)
	var f *bank.Fault
	if !errors.As(err, &f) || len(f.Codes) == 0 || f.RequestID == "" || strings.Contains(err.Error(), f.Text) && f.Text != "" {
		t.Errorf("%+v", err)
	}
}

func TestXML(t *testing.T) {
	w := newWorld(t, banktest.Config{}, func(p *bank.Profile) {
		p.Quirks = []bank.Quirk{{Name: bank.XML, Why: "to try out what such banks give"}}
	})
	r, list := w.accounts(banktest.Anne)
	got, err := r.Operations(t.Context(), list[0], all)
	if err != nil || len(got.Operations) < 100 || len(got.Refused) > 0 {
		t.Fatal(got, err)
	}
	for _, c := range bank.Match(nil, got.Operations, got.Covered) {
		record, err := c.Record(list[0].Record.ID, got.Operations)
		if err == nil {
			err = formats.CheckBody(formats.KindOperation, record.Body)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// fake is a bank that answers with what it is told.
func fake(t *testing.T, answer func(w http.ResponseWriter, r *http.Request)) *world {
	t.Helper()
	w := &world{t: t, server: httptest.NewServer(http.HandlerFunc(answer))}
	t.Cleanup(w.server.Close)
	w.connect(bank.Config{})
	return w
}

func send(w http.ResponseWriter, text string) {
	w.Header().Set("Content-Type", "application/json")
	io.WriteString(w, text)
}

func TestNoRedirectIsFollowed(t *testing.T) {
	var reached atomic.Int32
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached.Add(1) }))
	defer other.Close()
	w := fake(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, other.URL+r.URL.Path, http.StatusTemporaryRedirect)
	})
	if _, _, err := w.reader(bank.Access{Consent: "c"}).Accounts(t.Context(), false); !errors.Is(err, bank.ErrElsewhere) || reached.Load() > 0 {
		t.Error(err)
	}
}

func TestLinksThatLeadAway(t *testing.T) {
	for _, href := range []string{"https://evil.example/sca", "//evil.example/sca", "http://127.0.0.1:1/sca", "javascript:alert(1)", "https://bank@evil.example/", "\\\\evil.example", "", "ftp://127.0.0.1/"} {
		w := fake(t, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusCreated)
			fmt.Fprintf(w, `{"consentStatus":"received","consentId":"1","_links":{"scaRedirect":{"href":%q}}}`, href)
		})
		begun, err := w.client.Begin(t.Context(), everything, w.visit)
		if err == nil && !strings.HasPrefix(begun.Go, w.server.URL) {
			t.Errorf("%q: the person is sent to %s", href, begun.Go)
		}
	}
}

func TestIdentifiersThatLeadAway(t *testing.T) {
	var paths []string
	w := fake(t, func(w http.ResponseWriter, r *http.Request) {
		paths = append(paths, r.URL.EscapedPath())
		send(w, `{"consentStatus":"valid"}`)
	})
	for _, id := range []string{"../../admin", "a/b", "..", "a?b=c", "a#b", "%2e%2e", "."} {
		if _, err := w.client.ConsentStatus(t.Context(), bank.Access{Consent: id}); err != nil {
			t.Error(err)
		}
	}
	for _, p := range paths {
		if strings.Count(p, "/") != 4 || !strings.HasPrefix(p, "/v1/consents/") || !strings.HasSuffix(p, "/status") {
			t.Errorf("it asks for %s", p)
		}
	}
}

func TestAccountsThatAreNone(t *testing.T) {
	w := fake(t, func(w http.ResponseWriter, r *http.Request) {
		send(w, `{"accounts":[{"resourceId":"1","iban":"FR7699994000010000000000146","currency":"EUR","balances":[{"balanceType":"closingBooked","balanceAmount":{"currency":"EUR","amount":"-0"}},{"balanceType":"expected","balanceAmount":{"currency":"EUR","amount":"1e3"}},{"balanceType":"expected","balanceAmount":{"currency":"EUR","amount":12.30}}]},
			{"resourceId":"2","iban":"x","currency":"EURO"},{"iban":"FR76","currency":"EUR"},{"resourceId":"4","currency":"EUR","maskedPan":"1234xxxx5678"},7,{"resourceId":"9","iban":"FR76 9999 4000 0100 0000 0000 146","currency":"EUR"}]}`)
	})
	list, refused, err := w.reader(bank.Access{Consent: "c"}).Accounts(t.Context(), true)
	if err != nil || len(list) != 2 || len(refused) != 4 {
		t.Fatal(len(list), refused, err)
	}
	body := string(list[0].Record.Body)
	if !strings.Contains(body, `"amount":"0"`) || !strings.Contains(body, `"amount":"12.30"`) || strings.Contains(body, "1e3") {
		t.Error(body)
	}
}

func TestProfilesNameEveryFault(t *testing.T) {
	examples, err := bank.Examples()
	if err != nil || len(examples) != 3 {
		t.Fatal(len(examples), err)
	}
	_, err = bank.ParseProfile([]byte(`{"id":"My Bank","name":"B","country":"XX","zone":"Mars","standard":"stet","api":"ftp://x","sca":{"approach":"embedded"},"limits":{"sca_days":400},"quirks":[{"name":"odd","why":"no"}]}`))
	for _, want := range []string{"id is", "country is", "zone is", "standard is", "api is", "embedded", "sca_days", "quirks[0].name", "quirks[0].why"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("it does not say %q: %v", want, err)
		}
	}
	folder := t.TempDir()
	for name, text := range map[string]string{"a.json": `{"id":"b"}`, "c.json": `{"nonsense":1}`, "d.txt": "no profile"} {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := bank.LoadProfiles(folder); err == nil || !strings.Contains(err.Error(), "a.json") || !strings.Contains(err.Error(), "nonsense") {
		t.Error(err)
	}
	if list, err := bank.LoadProfiles(filepath.Join(folder, "none")); err != nil || list != nil {
		t.Error(list, err)
	}
}

// TestConfirmation: a bank that wants back what the browser brought.
func TestConfirmation(t *testing.T) {
	got := ""
	w := fake(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		switch {
		case r.Method == http.MethodPost:
			w.WriteHeader(http.StatusCreated)
			io.WriteString(w, `{"consentStatus":"received","consentId":"1","_links":{"scaRedirect":"/login","confirmation":{"href":"/v1/consents/1/authorisations/7"},"scaStatus":{"href":"/v1/consents/1/authorisations/7"}}}`)
		case r.Method == http.MethodPut:
			text, _ := io.ReadAll(r.Body)
			got = r.URL.Path + string(text)
			io.WriteString(w, `{"scaStatus":"finalised"}`)
		}
	})
	begun, err := w.client.Begin(t.Context(), everything, w.visit)
	if err != nil || begun.Go != w.server.URL+"/login" || begun.Authorisation != "7" {
		t.Fatalf("%+v %v", begun, err)
	}
	status, err := w.client.Confirmed(t.Context(), begun, "c0de", w.visit)
	if err != nil || !status.Succeeded() || got != `/v1/consents/1/authorisations/7{"confirmationCode":"c0de"}` {
		t.Errorf("%s %v %s", status, err, got)
	}
}
