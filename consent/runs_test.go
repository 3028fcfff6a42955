package consent_test

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/passerelle-cloud/passerelle/compliance/psd2"
	"github.com/passerelle-cloud/passerelle/consent"
	"github.com/passerelle-cloud/passerelle/consent/consenttest"
	"github.com/passerelle-cloud/passerelle/formats"
	"github.com/passerelle-cloud/passerelle/internal/dbtest"
	"github.com/passerelle-cloud/passerelle/internal/sqldb"
)

// bank is a bank's gateway, with a clock of its own.
type bank struct {
	*consenttest.Fixture
	now     time.Time
	cert    *consent.CertificateFacts
	service string // that asks and reads
}

func newBank(t *testing.T, db *sqldb.DB) *bank {
	t.Helper()
	b := &bank{service: "reader", now: time.Date(2026, 3, 28, 23, 0, 0, 0, time.UTC)} // the night in which summer time begins
	b.cert = &consent.CertificateFacts{Organisation: "PSDFR-ACPR-12345", Roles: []string{psd2.RoleAI}, From: b.now.AddDate(-1, 0, 0), Until: b.now.AddDate(2, 0, 0)}
	b.Fixture = consenttest.New(t, db, func(o *consent.Options) {
		o.Operator.Roles, o.Packs, o.Now = []string{psd2.RoleASPSP}, []consent.Pack{psd2.Pack()}, func() time.Time { return b.now }
	})
	b.Service(t, "reader", func(s *consent.Service) {
		s.Registrations = append(s.Registrations, consent.Registration{Scheme: psd2.RegistrationScheme, Value: "PSDFR-ACPR-12345"})
	})
	return b
}

// grant makes the service ask for accounts, and the person designate one, with a passkey.
func (b *bank) grant(t *testing.T, method string) (consent.Consent, error) {
	t.Helper()
	return b.grantFor(t, method, "P1D")
}

// grantFor tells the person how often the service reads.
func (b *bank) grantFor(t *testing.T, method, frequency string) (consent.Consent, error) {
	t.Helper()
	details := strings.ReplaceAll(string(consenttest.Details(b.now.AddDate(1, 0, 0))), `["contacts","calendar"],"optional":["calendar"]`, `["bank"]`)
	details = strings.Replace(details, `"P1D"`, `"`+frequency+`"`, 1)
	r, err := b.Authority.Ask(context.Background(), consent.Asking{Service: b.service, Details: json.RawMessage(details), Expires: b.now.Add(time.Hour), Certificate: b.cert}, nil)
	if err != nil {
		t.Fatal(err)
	}
	d := b.Decision(t, r, "alice")
	d.Details[0].Accounts = []string{"a1"}
	d.Session = consent.SessionFacts{Method: method, Authenticated: b.now}
	return b.Authority.Grant(context.Background(), d, nil)
}

func (b *bank) read(t *testing.T, c consent.Consent, present bool) (*consent.Permit, error) {
	t.Helper()
	p, err := b.Permit(context.Background(), consent.Access{Consent: c.ID, Service: b.service, Datasets: []formats.Dataset{formats.Bank}, Action: consent.Read, Present: present, Certificate: b.cert})
	if err == nil {
		if err := p.Done(context.Background(), consent.Sent{Outcome: consent.Complete}); err != nil {
			t.Fatal(err)
		}
	}
	return p, err
}

// TestFourTimesADay: runs of accesses without the person are counted to the second, over all consents with the service;
// those with the person are not.
func TestFourTimesADay(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		b := newBank(t, db)
		if _, err := b.grant(t, "password"); !errors.Is(err, consent.ErrRefused) || !strings.Contains(err.Error(), "not-strongly-authenticated") {
			t.Errorf("by a password: %v", err)
		}
		c, err := b.grant(t, "passkey")
		if err != nil {
			t.Fatal(err)
		}
		other, err := b.grant(t, "passkey")
		if err != nil {
			t.Fatal(err)
		}
		first := b.now
		sessions := map[string]bool{}
		for i := range 4 {
			for page := range 3 { // of one run
				p, err := b.read(t, []consent.Consent{c, other}[i%2], false)
				if err != nil {
					t.Fatalf("time %d, page %d: %v", i+1, page+1, err)
				}
				sessions[p.Session()] = true
				b.now = b.now.Add(time.Minute)
			}
			b.now = b.now.Add(time.Hour)
		}
		if len(sessions) != 4 {
			t.Errorf("there were %d runs", len(sessions))
		}
		tooOften := func(when string) {
			t.Helper()
			if _, err := b.read(t, c, false); !errors.Is(err, consent.ErrRefused) || !strings.Contains(err.Error(), "too-often") {
				t.Errorf("%s: %v", when, err)
			}
		}
		tooOften("the fifth time")
		for range 3 {
			if _, err := b.read(t, c, true); err != nil {
				t.Errorf("with the person: %v", err)
			}
			b.now = b.now.Add(20 * time.Minute)
		}
		tooOften("after those with the person")
		b.now = first.Add(24*time.Hour - time.Second)
		tooOften("a second before 24 hours have gone by")
		b.now = first.Add(24 * time.Hour)
		if _, err := b.read(t, c, false); err != nil {
			t.Errorf("after 24 hours: %v", err)
		}
		b.now = b.now.Add(20 * time.Minute)
		tooOften("again")
	})
}

// TestFourTimesADayAtOnce: of reads at the same moment under several consents, each counts those before it.
func TestFourTimesADayAtOnce(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		b := newBank(t, db)
		var given []consent.Consent
		for range 8 {
			c, err := b.grant(t, "passkey")
			if err != nil {
				t.Fatal(err)
			}
			given = append(given, c)
		}
		for run := range 5 {
			b.now = b.now.Add(time.Hour)
			var together sync.WaitGroup
			sessions := make([]string, len(given))
			for i, c := range given {
				together.Go(func() {
					p, err := b.Permit(context.Background(), consent.Access{Consent: c.ID, Service: "reader", Datasets: []formats.Dataset{formats.Bank}, Action: consent.Read, Certificate: b.cert})
					if err == nil {
						sessions[i], err = p.Session(), p.Done(context.Background(), consent.Sent{Outcome: consent.Complete})
					}
					if (err == nil) != (run < 4) || err != nil && !strings.Contains(err.Error(), "too-often") {
						t.Errorf("run %d: %v", run+1, err)
					}
				})
			}
			together.Wait()
			slices.Sort(sessions)
			if one := slices.Compact(sessions); len(one) != 1 {
				t.Errorf("run %d was taken for %d", run+1, len(one))
			}
		}
	})
}

// TestRTS36Agreed: more runs than four are for a service that the bank agreed with, under a consent that says how often it reads,
// as long as it stays who it is.
func TestRTS36Agreed(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		ctx := context.Background()
		b := newBank(t, db)
		daily, err := b.grantFor(t, "passkey", "P1D")
		if err != nil {
			t.Fatal(err)
		}
		often, err := b.grantFor(t, "passkey", "PT4H")
		if err != nil {
			t.Fatal(err)
		}
		may := func(c consent.Consent, want bool, when string) {
			t.Helper()
			if _, err := b.read(t, c, false); (err == nil) != want || err != nil && !strings.Contains(err.Error(), "too-often") {
				t.Errorf("%s: %v", when, err)
			}
			b.now = b.now.Add(20 * time.Minute)
		}
		for range 4 {
			may(often, true, "four times")
		}
		may(often, false, "nothing is agreed on")
		if err := b.Agree(ctx, "reader", consent.Agreed{Runs: 8, Where: "contract 7"}); err != nil {
			t.Fatal(err)
		}
		may(daily, false, "the person was told of one a day")
		may(often, true, "the fifth time")
		may(often, true, "the sixth time: every four hours")
		may(often, false, "more than the person was told of")
		s, err := b.Authority.Service(ctx, "reader")
		if err != nil || s.Agreed != (consent.Agreed{Runs: 8, Where: "contract 7"}) {
			t.Fatalf("%+v, %v", s, err)
		}
		b.now = b.now.Add(24 * time.Hour)
		for range 5 {
			may(often, true, "the next day")
		}
		renamed := *s
		renamed.URL = "https://reader.example"
		if err := b.AddService(ctx, renamed); err != nil {
			t.Fatal(err)
		}
		may(often, true, "it has another page")
		b.now = b.now.Add(24 * time.Hour)
		renamed.LegalName = "Somebody Else SA"
		if err := b.AddService(ctx, renamed); err != nil {
			t.Fatal(err)
		}
		for range 4 {
			may(often, true, "four times are for everybody")
		}
		may(often, false, "it is somebody else")
	})
}

// TestFourTimesADayUnderAnotherName: a company does not read more often because it has several services.
func TestFourTimesADayUnderAnotherName(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		b := newBank(t, db)
		b.Service(t, "brand", func(s *consent.Service) {
			s.Registrations = append(s.Registrations, consent.Registration{Scheme: psd2.RegistrationScheme, Value: "PSDFR-ACPR-12345"})
		})
		given := map[string]consent.Consent{}
		for _, service := range []string{"reader", "brand"} {
			b.service = service
			c, err := b.grant(t, "passkey")
			if err != nil {
				t.Fatal(err)
			}
			given[service] = c
		}
		for run := range 6 {
			b.service = []string{"reader", "brand"}[run%2]
			if _, err := b.read(t, given[b.service], false); (err == nil) != (run < 4) || err != nil && !strings.Contains(err.Error(), "too-often") {
				t.Errorf("run %d, by %s: %v", run+1, b.service, err)
			}
			b.now = b.now.Add(time.Hour)
		}
	})
}

// TestAgreeing: what is no agreement is refused, and says what is one.
func TestAgreeing(t *testing.T) {
	ctx := context.Background()
	b := newBank(t, dbtest.SQLite(t))
	for _, k := range []struct {
		service string
		to      consent.Agreed
		is      error
	}{
		{"reader", consent.Agreed{Runs: 4, Where: "x"}, consent.ErrRequest},
		{"reader", consent.Agreed{Runs: 97, Where: "x"}, consent.ErrRequest},
		{"reader", consent.Agreed{Runs: -1, Where: "x"}, consent.ErrRequest},
		{"reader", consent.Agreed{Runs: 8}, consent.ErrRequest},
		{"reader", consent.Agreed{Runs: 8, Where: "a\nb"}, consent.ErrRequest},
		{"nobody", consent.Agreed{Runs: 8, Where: "x"}, consent.ErrNotFound},
		{"'; DROP TABLE consent_service; --", consent.Agreed{Runs: 8, Where: "x"}, consent.ErrNotFound},
		{"reader", consent.Agreed{Runs: 96, Where: "<script>alert(1)</script>'; DROP TABLE consent_service; --"}, nil},
		{"reader", consent.Agreed{}, nil},
	} {
		if err := b.Agree(ctx, k.service, k.to); !errors.Is(err, k.is) {
			t.Errorf("%+v: %v", k, err)
		}
	}
	f := consenttest.New(t, dbtest.SQLite(t))
	f.Service(t, "reader")
	if err := f.Agree(ctx, "reader", consent.Agreed{Runs: 8, Where: "x"}); !errors.Is(err, consent.ErrState) || !strings.Contains(err.Error(), "aspsp") {
		t.Errorf("who keeps no accounts: %v", err)
	}
}

// TestClockSetBack: what was read before a clock was set back is no run that goes on, and counts.
func TestClockSetBack(t *testing.T) {
	b := newBank(t, dbtest.SQLite(t))
	c, err := b.grant(t, "passkey")
	if err != nil {
		t.Fatal(err)
	}
	b.now = b.now.Add(24 * time.Hour)
	first, err := b.read(t, c, false)
	if err != nil {
		t.Fatal(err)
	}
	b.now = b.now.Add(-12 * time.Hour)
	runs := map[string]bool{first.Session(): true}
	for range 3 {
		p, err := b.read(t, c, false)
		if err != nil {
			t.Fatal(err)
		}
		runs[p.Session()] = true
		b.now = b.now.Add(time.Hour)
	}
	if len(runs) != 4 {
		t.Errorf("there were %d runs", len(runs))
	}
	if _, err := b.read(t, c, false); err == nil || !strings.Contains(err.Error(), "too-often") {
		t.Errorf("the fifth run: %v", err)
	}
}

// TestRenewedAfter180Days: a consent to payment accounts is read for 180 days after the person last confirmed it.
func TestRenewedAfter180Days(t *testing.T) {
	b := newBank(t, dbtest.SQLite(t))
	c, err := b.grant(t, "passkey")
	if err != nil {
		t.Fatal(err)
	}
	b.now = b.now.Add(180 * 24 * time.Hour)
	if _, err := b.read(t, c, true); err != nil {
		t.Errorf("after 180 days: %v", err)
	}
	b.now = b.now.Add(time.Second)
	var refused *consent.RefusedError
	if _, err := b.read(t, c, true); !errors.As(err, &refused) || !refused.Refusals[0].Renew {
		t.Errorf("a second later: %v", err)
	}
	if _, err := b.Renew(context.Background(), consent.Renewal{Consent: c.ID, Person: "alice", Until: b.now.AddDate(0, 6, 0), Session: consent.SessionFacts{Method: "passkey", Authenticated: b.now}}); err != nil {
		t.Fatal(err)
	}
	if _, err := b.read(t, c, true); err != nil {
		t.Errorf("confirmed: %v", err)
	}
}

// TestWithheld: what is older than 90 days, and card numbers, stay here, and are counted.
func TestWithheld(t *testing.T) {
	b := newBank(t, dbtest.SQLite(t))
	c, err := b.grant(t, "passkey")
	if err != nil {
		t.Fatal(err)
	}
	operation := func(day string) formats.Record {
		return formats.Record{Dataset: formats.Bank, Kind: formats.KindOperation, ID: "o" + day, Links: []formats.Link{{Rel: "account", Dataset: formats.Bank, ID: "a1"}},
			Body:   json.RawMessage(`{"bookingDate":"` + day + `","transactionAmount":{"amount":"1.00","currency":"EUR"},"remittanceInformationUnstructured":"CB 4111111111111111"}`),
			Native: &formats.Native{Type: "x", Document: json.RawMessage(`{}`)}}
	}
	admitted := func(day string) (formats.Record, bool) {
		t.Helper()
		p, err := b.Permit(context.Background(), consent.Access{Consent: c.ID, Service: "reader", Datasets: []formats.Dataset{formats.Bank}, Action: consent.Read, Present: true, Certificate: b.cert})
		if err != nil {
			t.Fatal(err)
		}
		defer p.Done(context.Background(), consent.Sent{Outcome: consent.Complete})
		if p.Whole(formats.Bank) {
			t.Error("all of it is as it is")
		}
		r, ok, err := p.Admit(operation(day))
		if err != nil {
			t.Fatal(err)
		}
		return r, ok
	}
	if r, ok := admitted("2025-01-01"); !ok || strings.Contains(string(r.Body), "4111111111111111") || r.Native != nil || !strings.Contains(string(r.Body), `"************1111"`) && !strings.Contains(string(r.Body), "************1111") {
		t.Errorf("just authenticated: %v %s", ok, r.Body)
	}
	b.now = b.now.Add(2 * time.Hour)
	if _, ok := admitted("2025-12-28"); ok {
		t.Error("what is older than 90 days leaves")
	}
	if _, ok := admitted("2025-12-29"); !ok {
		t.Error("what is 90 days old stays")
	}
	if _, ok := admitted(""); ok {
		t.Error("what has no day leaves")
	}
	var withheld int
	if err := b.DB.Read.QueryRowContext(context.Background(), `SELECT sum(withheld) FROM consent_access`).Scan(&withheld); err != nil || withheld != 2+1+2+1 {
		t.Errorf("%d were counted, %v", withheld, err)
	}
}

// TestOverlap: of one law, no two texts can be in force at a time.
func TestOverlap(t *testing.T) {
	day := func(n int) time.Time { return time.Date(2026, 1, n, 0, 0, 0, 0, time.UTC) }
	f := consenttest.New(t, dbtest.SQLite(t))
	for name, k := range map[string]struct {
		packs []consent.Pack
		fine  bool
	}{
		"one after the other": {[]consent.Pack{{Name: "x", Version: "1", From: day(1), Until: day(5)}, {Name: "x", Version: "2", From: day(5)}}, true},
		"two laws":            {[]consent.Pack{{Name: "x", Version: "1", From: day(1)}, {Name: "y", Version: "1", From: day(1)}}, true},
		"both":                {[]consent.Pack{{Name: "x", Version: "1", From: day(1), Until: day(6)}, {Name: "x", Version: "2", From: day(5)}}, false},
		"for ever":            {[]consent.Pack{{Name: "x", Version: "2", From: day(5)}, {Name: "x", Version: "1", From: day(1)}}, false},
		"twice":               {[]consent.Pack{{Name: "x", Version: "1", From: day(1)}, {Name: "x", Version: "1", From: day(1)}}, false},
		"the same name":       {[]consent.Pack{{Name: "x", Version: "1", From: day(1), Until: day(5)}, {Name: "x", Version: "1", From: day(5)}}, false},
		"backwards":           {[]consent.Pack{{Name: "x", Version: "1", From: day(5), Until: day(1)}}, false},
	} {
		if _, err := consent.New(context.Background(), f.DB, f.Ledger, consent.Options{Packs: k.packs}); (err == nil) != k.fine {
			t.Errorf("%s: %v", name, err)
		}
	}
}
