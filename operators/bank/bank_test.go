package bank_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/passerelle-cloud/passerelle/formats"
	"github.com/passerelle-cloud/passerelle/operators/bank"
	"github.com/passerelle-cloud/passerelle/operators/bank/bankspec"
	"github.com/passerelle-cloud/passerelle/operators/bank/banktest"
)

// world is a bank and a client of it.
type world struct {
	t       testing.TB
	bank    *banktest.Bank
	server  *httptest.Server
	client  *bank.Client
	profile bank.Profile
	visit   bank.Visit

	mu       sync.Mutex
	readings []bank.Reading
	open     int // passes that are not done
}

// newWorld opens the sandbox bank in the clear, and a client whose profile may be changed first.
func newWorld(t testing.TB, c banktest.Config, change ...func(*bank.Profile)) *world {
	t.Helper()
	b, err := banktest.New(c)
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, bank: b, server: httptest.NewServer(checked(t, b))}
	t.Cleanup(w.server.Close)
	w.connect(bank.Config{}, change...)
	return w
}

// checked holds everything that is said against the official description, where that is there.
func checked(t testing.TB, h http.Handler) http.Handler {
	if os.Getenv("PASSERELLE_SAMPLES") == "" {
		return h
	}
	return bankspec.Conform(t).Handler(h)
}

func (w *world) connect(c bank.Config, change ...func(*bank.Profile)) {
	w.t.Helper()
	w.profile = bank.Profile{ID: "sandbox", Name: "Banque Ruisseau", Country: "FR", Zone: "Europe/Paris", Sandbox: true, Standard: "xs2a-1.3", API: w.server.URL,
		SCA: bank.SCA{Approach: bank.Redirect, ClientID: "PSDFR-ACPR-12345"}, Limits: bank.Limits{PerMinute: 6000}}
	for _, f := range change {
		f(&w.profile)
	}
	c.Profile = w.profile
	client, err := bank.New(c)
	if err != nil {
		w.t.Fatal(err)
	}
	w.client = client
	w.visit = bank.Visit{Presence: &bank.Presence{Address: "192.0.2.7", UserAgent: "Test/1", Language: "fr"}, Return: "https://gateway.example/banks/back", State: strings.Repeat("s", 32)}
}

func day(s string) time.Time {
	t, err := time.Parse(time.DateOnly, s)
	if err != nil {
		panic(err)
	}
	return t
}

var everything = bank.Wish{Rights: bank.BankOffered(true, true), Until: time.Now().AddDate(0, 0, 90)}

// granted asks for a consent to which a person agrees, and returns what reads with it.
func (w *world) granted(person string) bank.Access {
	w.t.Helper()
	b, err := w.client.Begin(w.t.Context(), everything, w.visit)
	if err != nil {
		w.t.Fatal(err)
	}
	if err := w.bank.Authorise(b.Consent, person); err != nil {
		w.t.Fatal(err)
	}
	return bank.Access{Consent: b.Consent, Presence: w.visit.Presence}
}

// door lets everything through, and notes it.
func (w *world) door(_ context.Context, r bank.Reading) (bank.Pass, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.readings = append(w.readings, r)
	w.open++
	return bank.Pass{
		Admit: func(r formats.Record) (formats.Record, bool) { return r, true },
		Done: func(context.Context, int64, error) error {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.open--
			return nil
		},
	}, nil
}

func (w *world) reader(a bank.Access) *bank.Reader {
	w.t.Helper()
	r, err := w.client.Reader(a, w.door)
	if err != nil {
		w.t.Fatal(err)
	}
	return r
}

// accounts reads the accounts of a person.
func (w *world) accounts(person string) (*bank.Reader, []bank.Account) {
	w.t.Helper()
	r := w.reader(w.granted(person))
	list, refused, err := r.Accounts(w.t.Context(), true)
	if err != nil || len(refused) > 0 {
		w.t.Fatal(err, refused)
	}
	return r, list
}

var all = bank.Period{From: "2000-01-01"}

func TestRedirectFromConsentToOperations(t *testing.T) {
	w := newWorld(t, banktest.Config{PageSize: 50, RelativeLinks: true})
	begun, err := w.client.Begin(t.Context(), everything, w.visit)
	if err != nil || begun.Approach != bank.Redirect || !strings.HasPrefix(begun.Go, w.server.URL+"/sca/") {
		t.Fatal(begun, err)
	}
	access := bank.Access{Consent: begun.Consent, Presence: w.visit.Presence}
	if s, err := w.client.ConsentStatus(t.Context(), access); err != nil || s != bank.StatusReceived {
		t.Fatal(s, err)
	}
	if err := w.bank.Authorise(begun.Consent, banktest.Anne); err != nil {
		t.Fatal(err)
	}
	c, err := w.client.Consent(t.Context(), access)
	if err != nil || c.Status != bank.StatusValid || len(c.Rights.Transactions) == 0 || c.Frequency != 4 {
		t.Fatalf("%+v %v", c, err)
	}
	r := w.reader(access)
	list, refused, err := r.Accounts(t.Context(), true)
	if err != nil || len(refused) > 0 || len(list) != 2 {
		t.Fatal(list, refused, err)
	}
	for i := range list {
		if err := formats.CheckBody(formats.KindAccount, list[i].Record.Body); err != nil {
			t.Error(err)
		}
		if _, err := r.Balances(t.Context(), &list[i]); err != nil {
			t.Error(err)
		}
		got, err := r.Operations(t.Context(), list[i], all)
		if err != nil || len(got.Refused) > 0 || !got.Covered.Complete {
			t.Fatal(got, err)
		}
		want := 0
		for _, o := range w.bank.Operations(w.bank.IBANs(banktest.Anne)[i]) {
			if o.Status != "information" {
				want++
			}
		}
		if len(got.Operations) != want || want == 0 {
			t.Errorf("%d operations, not %d", len(got.Operations), want)
		}
		for _, c := range bank.Match(nil, got.Operations, got.Covered) {
			record, err := c.Record(list[i].Record.ID, got.Operations)
			if err == nil {
				err = errors.Join(record.Validate(), formats.CheckBody(formats.KindOperation, record.Body))
			}
			if err != nil || c.What != bank.Added {
				t.Fatal(c, err)
			}
		}
	}
	if w.open != 0 || len(w.readings) < 7 {
		t.Errorf("%d readings, of which %d are not done", len(w.readings), w.open)
	}
	if err := w.client.DeleteConsent(t.Context(), access); err != nil {
		t.Error(err)
	}
	if s, err := w.client.ConsentStatus(t.Context(), access); err != nil || s != bank.StatusTerminatedByTPP {
		t.Error(s, err)
	}
	if err := w.client.DeleteConsent(t.Context(), access); err != nil {
		t.Errorf("once more: %v", err)
	}
	if _, _, err := r.Accounts(t.Context(), false); !errors.Is(err, bank.ErrConsentGone) && !errors.Is(err, bank.ErrSCA) {
		t.Error(err)
	}
}

func TestConsentsOfAllKinds(t *testing.T) {
	w := newWorld(t, banktest.Config{})
	iban := w.bank.IBANs(banktest.Anne)[0]
	ref := []bank.Reference{{IBAN: iban, Currency: "EUR"}}
	for name, rights := range map[string]bank.Rights{
		"detailed": bank.Detailed(ref, true, false), "bank-offered": bank.BankOffered(false, false), "which there are": {Available: bank.All},
		"with balances": {AvailableWith: bank.All}, "global": {AllPSD2: bank.All},
	} {
		begun, err := w.client.Begin(t.Context(), bank.Wish{Rights: rights, Until: day("9999-12-31"), Once: rights.Available != "" || rights.AvailableWith != ""}, w.visit)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		c, err := w.client.Consent(t.Context(), bank.Access{Consent: begun.Consent})
		if err != nil || c.Until == "9999-12-31" {
			t.Errorf("%s: %+v %v", name, c, err)
		}
	}
}

func TestPartlyAuthorisedRefusedRevokedExpired(t *testing.T) {
	w := newWorld(t, banktest.Config{})
	begin := func() bank.Access {
		begun, err := w.client.Begin(t.Context(), everything, w.visit)
		if err != nil {
			t.Fatal(err)
		}
		return bank.Access{Consent: begun.Consent}
	}
	status := func(a bank.Access, want bank.ConsentStatus) {
		t.Helper()
		if s, err := w.client.ConsentStatus(t.Context(), a); err != nil || s != want {
			t.Errorf("%s, not %s: %v", s, want, err)
		}
	}
	do := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	a := begin()
	do(w.bank.Authorise(a.Consent, banktest.Benoit))
	status(a, bank.StatusPartiallyAuthorised)
	again, err := w.client.Again(t.Context(), a.Consent, w.visit)
	if err != nil || again.Go == "" {
		t.Errorf("the second owner: %+v %v", again, err)
	}
	do(w.bank.Authorise(a.Consent, banktest.Claire))
	status(a, bank.StatusValid)
	do(w.bank.Revoke(a.Consent))
	status(a, bank.StatusRevokedByPSU)
	b := begin()
	do(w.bank.Refuse(b.Consent))
	status(b, bank.StatusRejected)
	c := begin()
	do(w.bank.Authorise(c.Consent, banktest.Anne))
	do(w.bank.Expire(c.Consent))
	status(c, bank.StatusExpired)
	for name, access := range map[string]bank.Access{"revoked": a, "expired": c} {
		_, _, err := w.reader(access).Accounts(t.Context(), false)
		if !errors.Is(err, bank.ErrConsentGone) && !errors.Is(err, bank.ErrSCA) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestABankShortensAConsent(t *testing.T) {
	w := newWorld(t, banktest.Config{})
	if err := w.bank.Break(banktest.Fault{Kind: banktest.Shortened, Days: 3}); err != nil {
		t.Fatal(err)
	}
	c, err := w.client.Consent(t.Context(), w.granted(banktest.Anne))
	if err != nil {
		t.Fatal(err)
	}
	if end := w.client.End(c); time.Until(end) > 5*24*time.Hour || time.Until(end) < 24*time.Hour {
		t.Errorf("it ends on %s", end)
	}
}

func TestNobodyReadsPastTheDoor(t *testing.T) {
	w := newWorld(t, banktest.Config{PageSize: 10})
	_, list := w.accounts(banktest.Anne)
	if _, err := w.client.Reader(bank.Access{Consent: "c"}, nil); err == nil {
		t.Error("a reader without a door")
	}
	shut := errors.New("shut")
	n := 0
	r, err := w.client.Reader(w.granted(banktest.Anne), func(ctx context.Context, r bank.Reading) (bank.Pass, error) {
		if n++; n > 2 {
			return bank.Pass{}, shut
		}
		return w.door(ctx, r)
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Operations(t.Context(), list[0], all); !errors.Is(err, shut) {
		t.Errorf("the third page: %v", err)
	}
	if n != 3 || w.open != 0 {
		t.Errorf("asked %d times, %d are not done", n, w.open)
	}
	withheld, err := w.client.Reader(w.granted(banktest.Anne), func(ctx context.Context, r bank.Reading) (bank.Pass, error) {
		p, err := w.door(ctx, r)
		p.Admit = func(r formats.Record) (formats.Record, bool) {
			r.Native = nil
			return r, strings.Contains(string(r.Body), `"-`)
		}
		return p, err
	})
	if err != nil {
		t.Fatal(err)
	}
	got, err := withheld.Operations(t.Context(), list[0], all)
	if err != nil || len(got.Operations) == 0 {
		t.Fatal(err)
	}
	for _, o := range got.Operations {
		if o.Native != nil || !o.Body.TransactionAmount.Amount.Negative() {
			t.Fatalf("%+v was not admitted", o)
		}
	}
}
