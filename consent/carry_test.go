package consent_test

import (
	"context"
	"database/sql"
	"errors"
	"testing"
	"time"

	"github.com/passerelle-cloud/passerelle/consent"
	"github.com/passerelle-cloud/passerelle/consent/consenttest"
	"github.com/passerelle-cloud/passerelle/consent/ledger"
	"github.com/passerelle-cloud/passerelle/formats"
	"github.com/passerelle-cloud/passerelle/internal/dbtest"
	"github.com/passerelle-cloud/passerelle/internal/sqldb"
)

// movers are two operators between which alice moves, with a service that both know.
type movers struct {
	a, b *consenttest.Fixture
	c    consent.Consent // at A
}

func newMovers(t *testing.T, db *sqldb.DB, change ...func(*consent.Options)) *movers {
	t.Helper()
	m := &movers{a: consenttest.New(t, dbtest.SQLite(t), func(o *consent.Options) { o.Operator.ID = "a.example" }), b: consenttest.New(t, db, change...)}
	m.a.Service(t, "reader")
	m.c = m.a.Grant(t, "reader", "alice")
	return m
}

// says is what A says of alice's consents while it is fenced, with what its log proves.
func (m *movers) says(t *testing.T) (list []consent.Following, shown *ledger.Shown) {
	t.Helper()
	list, err := m.a.Followable(t.Context(), "alice", 100)
	if err != nil {
		t.Fatal(err)
	}
	for i := range list {
		list[i].Service.Keys = []string{"k1"}
	}
	h, err := m.a.Ledger.History(t.Context(), ledger.Disclose{Person: "alice", To: "operator.example"})
	if err != nil {
		t.Fatal(err)
	}
	key, err := ledger.VerifierKey("operator.example/log", m.a.Key.Public())
	if err != nil {
		t.Fatal(err)
	}
	trust, err := ledger.NewTrust([]string{key}, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	if shown, err = h.Verify(trust); err != nil {
		t.Fatal(err)
	}
	return list, shown
}

// retires is the moment in which A retires.
func (m *movers) retires(t *testing.T) []consent.Left {
	t.Helper()
	_, err := m.a.Ledger.Commit(t.Context(), func(tx *sql.Tx) ([]ledger.Event, error) {
		return m.a.Leave(t.Context(), tx, consent.Leaving{Person: "alice", Move: "m1", Operator: "operator.example", Issuer: "https://b.example"})
	})
	if err != nil {
		t.Fatal(err)
	}
	left, err := m.a.Left(t.Context(), "alice", "m1")
	if err != nil {
		t.Fatal(err)
	}
	return left
}

// arrives is the moment in which B activates.
func (m *movers) arrives(t *testing.T, list []consent.Following, shown *ledger.Shown, left []consent.Left) []consent.Followed {
	t.Helper()
	k := consent.Carrying{Person: "alicia", Move: "m1", Operator: "a.example", Country: "FR", Known: true, Left: left}
	for _, f := range list {
		one := consent.Follower{Following: f, Proven: shown != nil && f.Proves(shown)}
		here, keys, err := m.b.Counterpart(t.Context(), f.Service, func(context.Context, *consent.Service) []string { return []string{"k1"} })
		if err != nil {
			t.Fatal(err)
		}
		if here != nil {
			one.Here, one.Keys = here.ID, keys
		}
		k.Consents = append(k.Consents, one)
	}
	for range 2 { // the second time changes nothing
		if _, err := m.b.Ledger.Commit(t.Context(), func(tx *sql.Tx) ([]ledger.Event, error) { return m.b.Carry(t.Context(), tx, k) }); err != nil {
			t.Fatal(err)
		}
	}
	followed, err := m.b.Followed(t.Context(), "alicia")
	if err != nil {
		t.Fatal(err)
	}
	return followed
}

// read tries to read contacts.
func read(f *consenttest.Fixture, id, service string) error {
	p, err := f.Permit(context.Background(), consent.Access{Consent: id, Service: service, Datasets: []formats.Dataset{formats.Contacts}, Action: consent.Read})
	if err != nil {
		return err
	}
	return p.Done(context.Background(), consent.Sent{Outcome: consent.Complete})
}

// TestCarried: a consent stands at one operator until a moment, and at the other from a moment on.
func TestCarried(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		m := newMovers(t, db)
		m.b.Service(t, "reader")
		list, shown := m.says(t)
		left := m.retires(t)
		if err := read(m.a, m.c.ID, "reader"); !errors.Is(err, consent.ErrDenied) {
			t.Errorf("A permits after it has retired: %v", err)
		}
		there, err := m.a.OfPerson(t.Context(), m.c.ID, "alice")
		if err != nil || there.State != consent.Revoked || there.Moved == nil || there.Moved.Issuer != "https://b.example" {
			t.Errorf("at A it is %+v, %v", there, err)
		}
		if _, err := m.a.Authority.Grant(t.Context(), m.a.Decision(t, m.a.Ask(t, "reader"), "alice"), nil); !errors.Is(err, consent.ErrState) {
			t.Errorf("A takes a grant after it has retired: %v", err)
		}
		followed := m.arrives(t, list, shown, left)
		if len(followed) != 1 || followed[0].Fate != consent.Carried || followed[0].ID != there.Moved.Grant {
			t.Fatalf("it became %+v", followed)
		}
		here, err := m.b.OfPerson(t.Context(), followed[0].ID, "alicia")
		if err != nil || !here.Valid(time.Now()) || here.Revision != 1 || here.Origin == nil || here.Origin.Grant != m.c.ID || !here.Expires.Equal(m.c.Expires) {
			t.Errorf("at B it is %+v, %v", here, err)
		}
		if err := read(m.b, here.ID, "reader"); err != nil {
			t.Error(err)
		}
		if _, err := m.b.Erase(t.Context(), "alicia"); err != nil {
			t.Fatal(err)
		}
		if followed, err := m.b.Followed(t.Context(), "alicia"); err != nil || len(followed) != 0 {
			t.Errorf("of who was erased there stays %v, %v", followed, err)
		}
	})
}

// TestToConfirm: what the rules of B refuse waits for the person, and stands when they say yes.
func TestToConfirm(t *testing.T) {
	strict := true
	pack := consent.Pack{Name: "strict", Version: "2020-01-01", Source: []byte("strict"), Rules: []consent.Rule{func(f consent.Facts) *consent.Refusal {
		if !strict || f.Step != consent.StepGrant {
			return nil
		}
		return &consent.Refusal{Code: "no", Text: map[string]string{"en": "No.", "fr": "Non."}}
	}}}
	dbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		m := newMovers(t, db, func(o *consent.Options) { o.Packs = []consent.Pack{pack} })
		m.b.Service(t, "reader")
		list, shown := m.says(t)
		followed := m.arrives(t, list, shown, m.retires(t))
		if len(followed) != 1 || followed[0].Fate != consent.Confirm || followed[0].Reason != consent.RulesSayNo {
			t.Fatalf("it became %+v", followed)
		}
		id := followed[0].ID
		if c, err := m.b.OfPerson(t.Context(), id, "alicia"); err != nil || c.State != consent.Requested {
			t.Errorf("it stands as %s, %v", c.State, err)
		}
		if err := read(m.b, id, "reader"); !errors.Is(err, consent.ErrDenied) {
			t.Errorf("before the person says yes: %v", err)
		}
		session := consent.SessionFacts{Method: "password", Authenticated: time.Now()}
		if _, err := m.b.Renew(t.Context(), consent.Renewal{Consent: id, Person: "alicia", Until: time.Now().AddDate(0, 1, 0), Session: session}); err != nil {
			t.Fatal(err)
		}
		if err := read(m.b, id, "reader"); err != nil {
			t.Errorf("after the person said yes: %v", err)
		}
	})
}

// TestAServiceIsWaitedFor: what comes before its service waits, and can be confirmed when that registers.
func TestAServiceIsWaitedFor(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		m := newMovers(t, db)
		list, shown := m.says(t)
		followed := m.arrives(t, list, shown, m.retires(t))
		if len(followed) != 1 || followed[0].Fate != consent.Confirm || followed[0].Reason != consent.NoService {
			t.Fatalf("it became %+v", followed)
		}
		m.b.Service(t, "stranger", func(s *consent.Service) { s.Registrations[0].Value = "552100554" })
		m.b.Service(t, "the-same-elsewhere")
		followed, err := m.b.Followed(t.Context(), "alicia")
		if err != nil || followed[0].Service != "the-same-elsewhere" || followed[0].Reason != consent.NewService {
			t.Fatalf("it waits still: %+v, %v", followed, err)
		}
		if c, err := m.b.OfPerson(t.Context(), followed[0].ID, "alicia"); err != nil || c.State != consent.Requested || c.Service != "the-same-elsewhere" {
			t.Errorf("it is %+v, %v", c, err)
		}
	})
}

// TestASourceThatLies: what its own log does not show is not carried.
func TestASourceThatLies(t *testing.T) {
	for name, lie := range map[string]func(*consent.Following){
		"it was never given":    func(f *consent.Following) { f.Grant = "00000000-0000-4000-8000-000000000000" },
		"it held more":          func(f *consent.Following) { f.Details[0].Datasets = append(f.Details[0].Datasets, formats.Bank) },
		"it lasted longer":      func(f *consent.Following) { f.Details[0].Expires = f.Details[0].Expires.AddDate(1, 0, 0) },
		"it was another one's":  func(f *consent.Following) { f.Service.ID = "other" },
		"it was not paused":     func(f *consent.Following) { f.Paused = true },
		"it was a later answer": func(f *consent.Following) { f.Revision = 7 },
	} {
		t.Run(name, func(t *testing.T) {
			m := newMovers(t, dbtest.SQLite(t))
			m.b.Service(t, "reader")
			m.b.Service(t, "other")
			list, shown := m.says(t)
			if !list[0].Proves(shown) {
				t.Fatal("the truth is not proven")
			}
			lie(&list[0])
			followed := m.arrives(t, list, shown, []consent.Left{{Grant: list[0].Grant, Revision: list[0].Revision}})
			if len(followed) != 1 || followed[0].Fate != consent.Confirm || followed[0].Reason != consent.NotShown {
				t.Errorf("it became %+v", followed)
			}
		})
	}
}

// TestMeanwhile: what the person withdraws at A while they move is not carried, whatever A said before.
func TestMeanwhile(t *testing.T) {
	m := newMovers(t, dbtest.SQLite(t))
	m.b.Service(t, "reader")
	list, shown := m.says(t)
	if _, err := m.a.Withdraw(t.Context(), consent.Ending{Consent: m.c.ID, Person: "alice", State: consent.Withdrawn}); err != nil {
		t.Fatal(err)
	}
	left := m.retires(t)
	followed := m.arrives(t, list, shown, left)
	if len(left) != 0 || len(followed) != 1 || followed[0].Fate != consent.Dropped || followed[0].Reason != consent.EndedMeanwhile {
		t.Errorf("%v left, it became %+v", left, followed)
	}
	if list, err := m.b.Consents(t.Context(), "alicia"); err != nil || len(list) != 0 {
		t.Errorf("at B there is %v, %v", list, err)
	}
}

// TestSound: what nobody could have granted does not come in.
func TestSound(t *testing.T) {
	m := newMovers(t, dbtest.SQLite(t))
	for name, change := range map[string]func(*consent.Following){
		"":                       func(*consent.Following) {},
		"no id":                  func(f *consent.Following) { f.Grant = "g" },
		"revision 0":             func(f *consent.Following) { f.Revision = 0 },
		"no details":             func(f *consent.Following) { f.Details = nil },
		"a dataset that is none": func(f *consent.Following) { f.Details[0].Datasets = []formats.Dataset{"everything"} },
		"a name of two lines":    func(f *consent.Following) { f.Service.Name = "Reader\nYour bank" },
		"a key that is none":     func(f *consent.Following) { f.Service.Keys = []string{"k"} },
		"shown nothing":          func(f *consent.Following) { f.Notice = nil },
		"shown tomorrow":         func(f *consent.Following) { f.Notice.Shown = time.Now().AddDate(0, 0, 1) },
		"shown what is no hash":  func(f *consent.Following) { f.Notice.SHA256 = "../" },
	} {
		list, err := m.a.Followable(t.Context(), "alice", 1)
		if err != nil {
			t.Fatal(err)
		}
		change(&list[0])
		if err := m.b.Sound(&list[0]); (err == nil) != (name == "") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
