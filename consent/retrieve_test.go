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

	"github.com/passerelle-cloud/passerelle/compliance/gdpr"
	"github.com/passerelle-cloud/passerelle/compliance/psd2"
	"github.com/passerelle-cloud/passerelle/consent"
	"github.com/passerelle-cloud/passerelle/consent/consenttest"
	"github.com/passerelle-cloud/passerelle/consent/ledger"
	"github.com/passerelle-cloud/passerelle/formats"
	"github.com/passerelle-cloud/passerelle/internal/dbtest"
	"github.com/passerelle-cloud/passerelle/internal/sqldb"
)

// reader is the gateway of an operator that reads at banks, with a clock of its own.
type reader struct {
	*consenttest.Fixture
	now time.Time
}

func newReader(t *testing.T, db *sqldb.DB, roles ...string) *reader {
	t.Helper()
	r := &reader{now: time.Date(2026, 10, 24, 23, 0, 0, 0, time.UTC)} // the night in which summer time ends
	r.Fixture = consenttest.New(t, db, func(o *consent.Options) {
		o.Operator.Roles, o.Packs, o.Now = roles, []consent.Pack{gdpr.Pack(), psd2.Pack()}, func() time.Time { return r.now }
	})
	return r
}

// asks is what is in order, just after Alice has signed in at her bank.
func (r *reader) asks() consent.Retrieval {
	return consent.Retrieval{Person: "alice", Bank: "bank.example", Asked: []consent.Information{consent.Transactions}, Accounts: []string{"a1"}, From: psd2.Since(r.now.AddDate(0, 0, 2)),
		Authorisation: &consent.AuthorisationFacts{ID: "c1", Given: r.now, Until: r.now.AddDate(1, 0, 0), Information: []consent.Information{consent.AccountList, consent.Transactions}, Designated: []string{"a1", "a2"}},
		Authenticated: r.now}
}

// read reads, and returns the run that it belonged to.
func (r *reader) read(of consent.Retrieval) (string, error) {
	l, err := r.Retrieve(context.Background(), of)
	if err != nil {
		return "", err
	}
	return l.Session(), l.Done(context.Background(), 1, consent.Complete)
}

// refuses expects that rules refuse a reading, for a reason.
func (r *reader) refuses(t *testing.T, of consent.Retrieval, code string) {
	t.Helper()
	if _, err := r.read(of); !errors.Is(err, consent.ErrRefused) || !strings.Contains(err.Error(), code) {
		t.Errorf("not refused as %s: %v", code, err)
	}
}

func mustRead(t *testing.T, r *reader, of consent.Retrieval) string {
	t.Helper()
	session, err := r.read(of)
	if err != nil {
		t.Fatal(err)
	}
	return session
}

// TestRTS36AtTheBank: runs without the person are counted to the second, an account and a person for themselves.
func TestRTS36AtTheBank(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		r := newReader(t, db, psd2.RoleAISP)
		of, first := r.asks(), r.now
		sessions := map[string]bool{}
		for range 4 {
			for range 3 { // pages
				sessions[mustRead(t, r, of)] = true
				r.now = r.now.Add(time.Minute)
			}
			r.now = r.now.Add(time.Hour)
		}
		if len(sessions) != 4 {
			t.Errorf("there were %d runs", len(sessions))
		}
		r.refuses(t, of, "too-often")
		there := of
		there.Present, there.Presence = true, &consent.PresenceFacts{Address: "192.0.2.7", At: r.now}
		mustRead(t, r, there)
		r.refuses(t, of, "too-often")
		agreed, also := of, *of.Authorisation
		also.Frequency, agreed.Authorisation = 5, &also
		mustRead(t, r, agreed)
		other := of
		other.Accounts, other.Authenticated = []string{"a2"}, r.now
		mustRead(t, r, other)
		other.Person, other.Accounts = "bob", []string{"a1"}
		mustRead(t, r, other)
		both := of
		both.Accounts = []string{"a2", "a1"}
		r.now = first.Add(24*time.Hour - time.Second)
		r.refuses(t, both, "too-often")
		r.now = first.Add(24*time.Hour + time.Hour + 3*time.Minute) // but the fifth of them, two runs are older
		mustRead(t, r, of)
		if list, err := r.RefusedCounts(context.Background(), first.AddDate(0, 0, -1), 10); err != nil || len(list) == 0 || list[0].Service != "bank.example" || list[0].Step != consent.StepRetrieve || list[0].Code != "too-often" {
			t.Errorf("what was refused is not counted: %+v, %v", list, err)
		}
	})
}

// TestRTS36AtTheBankWithin24Hours: four runs, and the fifth 24 hours after the first, whatever clocks on walls do meanwhile.
func TestRTS36AtTheBankWithin24Hours(t *testing.T) {
	for _, begin := range []time.Time{
		time.Date(2026, 3, 28, 12, 0, 0, 0, time.UTC),  // a night of 23 hours in Paris
		time.Date(2026, 10, 24, 12, 0, 0, 0, time.UTC), // one of 25
		time.Date(2028, 2, 28, 23, 30, 0, 0, time.UTC), // before a leap day
	} {
		r := newReader(t, dbtest.SQLite(t), psd2.RoleAISP)
		r.now = begin
		of := r.asks()
		for range 4 {
			mustRead(t, r, of)
			r.now = r.now.Add(time.Hour)
		}
		r.now = begin.Add(24*time.Hour - time.Second)
		r.refuses(t, of, "too-often")
		r.now = begin.Add(24 * time.Hour)
		mustRead(t, r, of)
		r.now = r.now.Add(20 * time.Minute)
		r.refuses(t, of, "too-often")
	}
}

// TestRTS36AtTheBankAtOnce: of readings at the same moment each counts those before it.
func TestRTS36AtTheBankAtOnce(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		r := newReader(t, db, psd2.RoleAISP)
		of := r.asks()
		mustRead(t, r, of)
		for run := range 5 {
			r.now = r.now.Add(time.Hour)
			sessions := make([]string, 16)
			var together sync.WaitGroup
			for i := range sessions {
				together.Go(func() {
					l, err := r.Retrieve(context.Background(), of)
					if err == nil {
						sessions[i] = l.Session()
					}
					if (err == nil) != (run < 3) || err != nil && !strings.Contains(err.Error(), "too-often") {
						t.Errorf("run %d: %v", run+2, err)
					}
				})
			}
			together.Wait()
			slices.Sort(sessions)
			if one := slices.Compact(sessions); len(one) != 1 {
				t.Errorf("run %d was taken for %d", run+2, len(one))
			}
		}
	})
}

// TestRTS10a2AtTheBank: whether an account is read for the first time is known here.
func TestRTS10a2AtTheBank(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		r := newReader(t, db, psd2.RoleAISP)
		of := r.asks()
		signed := r.now
		r.now = signed.Add(time.Hour + time.Second)
		r.refuses(t, of, "authentication-missing")
		r.now = signed.Add(time.Hour)
		mustRead(t, r, of)
		both := of
		both.Accounts = []string{"a1", "a2"}
		r.now = signed.Add(180 * 24 * time.Hour)
		r.refuses(t, both, "authentication-missing")
		of.From = psd2.Since(r.now)
		mustRead(t, r, of)
		r.now = r.now.Add(time.Second)
		r.refuses(t, of, "authentication-too-old")
	})
}

// TestArticle67AtTheBank: of what the bank gives, what was not asked for, or must not be read, is left out and counted.
func TestArticle67AtTheBank(t *testing.T) {
	r := newReader(t, dbtest.SQLite(t), psd2.RoleAISP)
	of := r.asks()
	mustRead(t, r, of)
	r.now = r.now.Add(2 * time.Hour)
	l, err := r.Retrieve(context.Background(), of)
	if err != nil {
		t.Fatal(err)
	}
	record := func(account, day string) formats.Record {
		return formats.Record{Dataset: formats.Bank, Kind: formats.KindOperation, ID: "o", Links: []formats.Link{{Rel: "account", Dataset: formats.Bank, ID: account}},
			Body: json.RawMessage(`{"bookingDate":"` + day + `","remittanceInformationUnstructured":"CB 4111111111111111"}`), Native: &formats.Native{Type: "x", Document: json.RawMessage(`{}`)}}
	}
	got, ok := l.Admit(record("a1", "2026-10-01"))
	if !ok || got.Native != nil || strings.Contains(string(got.Body), "4111111111111111") {
		t.Errorf("%v %s", ok, got.Body)
	}
	for account, day := range map[string]string{"a2": "2026-10-01", "a1": "2026-07-25", "": "2026-10-01"} {
		if _, ok := l.Admit(record(account, day)); ok {
			t.Errorf("%q of %s is kept", account, day)
		}
	}
	if _, ok := l.Admit(formats.Record{Dataset: formats.Contacts, ID: "c"}); ok {
		t.Error("what is no account is kept")
	}
	if err := l.Done(context.Background(), 1, consent.Complete); err != nil {
		t.Fatal(err)
	}
	var records, withheld int
	if err := r.DB.Read.QueryRowContext(context.Background(), `SELECT records, withheld FROM consent_retrieval WHERE id = $1`, l.ID()).Scan(&records, &withheld); err != nil || records != 1 || withheld != 2+3+1 {
		t.Errorf("%d, %d were counted, %v", records, withheld, err)
	}
	of.Accounts, of.Asked = nil, []consent.Information{consent.AccountList}
	of.Authenticated = r.now
	if l, err = r.Retrieve(context.Background(), of); err != nil {
		t.Fatal(err)
	}
	if _, ok := l.Admit(record("a1", "2026-10-01")); ok {
		t.Error("an operation is kept where only accounts were asked for")
	}
	if _, ok := l.Admit(formats.Record{Dataset: formats.Bank, Kind: formats.KindAccount, ID: "a9"}); !ok {
		t.Error("an account is not kept")
	}
}

// TestRTS29AtTheBank: a reading is in the log, under its rules, before anything is read; a refused one is not. It is the person's to
// see, and goes with them.
func TestRTS29AtTheBank(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		ctx := context.Background()
		r := newReader(t, db, psd2.RoleAISP)
		of := r.asks()
		l, err := r.Retrieve(ctx, of)
		if err != nil {
			t.Fatal(err)
		}
		logged := func() (list []ledger.Happened) {
			t.Helper()
			for e, err := range r.Ledger.Events(ctx, "alice") {
				if err != nil {
					t.Fatal(err)
				}
				list = append(list, e)
			}
			return list
		}
		pack := psd2.Pack()
		if list := logged(); len(list) != 1 || list[0].Fields[ledger.Type] != "retrieval.begun" || !strings.Contains(list[0].Fields[ledger.Regime], pack.ID()+" "+pack.Hash()) || !strings.Contains(list[0].Fields[ledger.Regime], "gdpr@") ||
			!strings.Contains(list[0].Fields[ledger.Detail], l.Session()) || !strings.Contains(list[0].Fields[ledger.Detail], l.ID()) || list[0].Class != ledger.Transfer {
			t.Fatalf("%+v", list)
		}
		if err := l.Done(ctx, 3, consent.Complete); err != nil {
			t.Fatal(err)
		}
		of.Authorisation = nil
		r.refuses(t, of, "authorisation-missing")
		if list := logged(); len(list) != 2 || list[0].Fields[ledger.Type] != "retrieval.finished" && list[1].Fields[ledger.Type] != "retrieval.finished" {
			t.Errorf("%+v", list)
		}
		kept := ""
		for k, err := range r.Kept(ctx, "alice") {
			if err != nil {
				t.Fatal(err)
			}
			kept += string(k.Body)
		}
		if !strings.Contains(kept, `"retrievals"`) || !strings.Contains(kept, l.ID()) || !strings.Contains(kept, "bank.example") || strings.Count(kept, `"bank.example"`) != 2 {
			t.Errorf("%s", kept)
		}
		if err := consent.Reserved(ctx, db, "alice"); !errors.Is(err, consent.ErrTaken) {
			t.Errorf("somebody else can have the name: %v", err)
		}
		if _, err := r.Erase(ctx, "alice"); err != nil {
			t.Fatal(err)
		}
		var left int
		if err := db.Read.QueryRowContext(ctx, `SELECT (SELECT count(*) FROM consent_retrieval) + (SELECT count(*) FROM consent_retrieved)`).Scan(&left); err != nil || left != 0 {
			t.Errorf("%d rows are left, %v", left, err)
		}
	})
}

// TestWhoReadsAtBanks: an operator without the role does not; and under one with it a service that reads here what came from a
// bank is under no rule of payment services.
func TestWhoReadsAtBanks(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		r := newReader(t, db, "intermediary", psd2.RoleASPSP)
		if _, err := r.read(r.asks()); !errors.Is(err, consent.ErrDenied) || !strings.Contains(err.Error(), "aisp") {
			t.Errorf("a bank reads at another bank: %v", err)
		}
	})
	dbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		ctx := context.Background()
		r := newReader(t, db, psd2.RoleAISP)
		r.Service(t, "budget") // no certificate, no authorisation number
		details := strings.ReplaceAll(string(consenttest.Details(r.now.AddDate(1, 0, 0))), `["contacts","calendar"],"optional":["calendar"]`, `["bank"]`)
		asked := r.AskFor(t, consent.Asking{Service: "budget", Details: json.RawMessage(details), Expires: r.now.Add(time.Hour)})
		if laws := r.Laws(consent.Here, asked.Details); !slices.Equal(laws, []string{"gdpr"}) {
			t.Errorf("the person is told of %v", laws)
		}
		if laws := r.Laws(consent.AtBank, asked.Details); !slices.Equal(laws, []string{"gdpr", "psd2-bank"}) {
			t.Errorf("of what is read at a bank, the person is told of %v", laws)
		}
		c, err := r.Authority.Grant(ctx, r.Decision(t, asked, "alice"), nil) // all accounts, by a password
		if err != nil {
			t.Fatal(err)
		}
		r.now = r.now.AddDate(0, 11, 0)
		for range 6 {
			p, err := r.Permit(ctx, consent.Access{Consent: c.ID, Service: "budget", Datasets: []formats.Dataset{formats.Bank}, Action: consent.Read})
			if err != nil {
				t.Fatal(err)
			}
			if !p.Whole(formats.Bank) {
				t.Error("what is here is limited")
			}
			if err := p.Done(ctx, consent.Sent{Outcome: consent.Complete}); err != nil {
				t.Fatal(err)
			}
			r.now = r.now.Add(time.Hour)
		}
		for e, err := range r.Ledger.Events(ctx, "alice") {
			if err != nil || strings.Contains(e.Fields[ledger.Regime], "psd2") {
				t.Errorf("%s is logged under %s, %v", e.Fields[ledger.Type], e.Fields[ledger.Regime], err)
			}
		}
	})
}

// TestRetrievalForm: what is no reading is refused before anything is asked of the database.
func TestRetrievalForm(t *testing.T) {
	r := newReader(t, dbtest.SQLite(t), psd2.RoleAISP)
	for name, change := range map[string]func(*consent.Retrieval){
		"nobody":  func(of *consent.Retrieval) { of.Person = "" },
		"nowhere": func(of *consent.Retrieval) { of.Bank = "" },
		"lines":   func(of *consent.Retrieval) { of.Bank = "a\nb" },
		"nothing": func(of *consent.Retrieval) { of.Asked = nil },
		"something else": func(of *consent.Retrieval) {
			of.Asked = []consent.Information{"cards'; DROP TABLE consent_retrieval; --"}
		},
		"the same twice":     func(of *consent.Retrieval) { of.Accounts = []string{"a1", "a1"} },
		"an account unnamed": func(of *consent.Retrieval) { of.Accounts = []string{""} },
		"no day":             func(of *consent.Retrieval) { of.From = "zzzz" },
		"a bank's garbage":   func(of *consent.Retrieval) { of.Authorisation.ID = "\x00" },
		"no frequency":       func(of *consent.Retrieval) { of.Authorisation.Frequency = -1 },
	} {
		of := r.asks()
		change(&of)
		if _, err := r.read(of); !errors.Is(err, consent.ErrRequest) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
