package consent_test

import (
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/passerelle-cloud/passerelle/consent"
	"github.com/passerelle-cloud/passerelle/consent/consenttest"
	"github.com/passerelle-cloud/passerelle/consent/ledger"
	"github.com/passerelle-cloud/passerelle/formats"
	"github.com/passerelle-cloud/passerelle/internal/dbtest"
	"github.com/passerelle-cloud/passerelle/internal/sqldb"
)

// granted is a service, and what alice granted it.
func granted(t *testing.T, run func(t *testing.T, f *consenttest.Fixture, c consent.Consent)) {
	dbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		f := consenttest.New(t, db)
		f.Service(t, "invites")
		run(t, f, f.Grant(t, "invites", "alice"))
	})
}

// permit asks whether the service may read one dataset.
func permit(f *consenttest.Fixture, t testing.TB, c consent.Consent, d formats.Dataset) (*consent.Permit, error) {
	return f.Permit(t.Context(), consent.Access{Consent: c.ID, Service: c.Service, Datasets: []formats.Dataset{d}, Action: consent.Read})
}

// reads has the service read some contacts, to the end.
func reads(f *consenttest.Fixture, t testing.TB, c consent.Consent) error {
	t.Helper()
	p, err := permit(f, t, c, formats.Contacts)
	if err != nil {
		return err
	}
	return p.Done(t.Context(), consent.Sent{Records: 3, Bytes: 1234, Outcome: consent.Complete})
}

func session() consent.SessionFacts {
	return consent.SessionFacts{Method: "passkey", Authenticated: time.Now()}
}

// logged are the types of what was logged of a person's consents.
func logged(t testing.TB, f *consenttest.Fixture, person string) (types []string) {
	t.Helper()
	history, err := f.Ledger.History(t.Context(), ledger.Disclose{Person: person, To: "a test"})
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range history.Events {
		types = append(types, string(e.Opened[ledger.Type].Value))
	}
	return types
}

func TestPause(t *testing.T) {
	granted(t, func(t *testing.T, f *consenttest.Fixture, c consent.Consent) {
		under, err := permit(f, t, c, formats.Contacts)
		if err != nil {
			t.Fatal(err)
		}
		pausing := consent.Pausing{Consent: c.ID, Person: "alice", Session: session()}
		if _, err := f.Pause(t.Context(), consent.Pausing{Consent: c.ID, Person: "bob"}); !errors.Is(err, consent.ErrNotFound) {
			t.Errorf("bob pauses alice's consent: %v", err)
		}
		for range 2 {
			paused, err := f.Pause(t.Context(), pausing)
			if err != nil || paused.Paused.IsZero() || paused.State != consent.Given || paused.Revision != c.Revision {
				t.Fatalf("%+v, %v", paused, err)
			}
		}
		if !under.Cut() {
			t.Error("what was under way goes on")
		}
		if err := reads(f, t, c); !errors.Is(err, consent.ErrPaused) || !errors.Is(err, consent.ErrDenied) {
			t.Errorf("while it is paused: %v", err)
		}
		if _, err := f.Resume(t.Context(), consent.Pausing{Consent: c.ID, Person: "bob"}); !errors.Is(err, consent.ErrNotFound) {
			t.Errorf("bob ends alice's pause: %v", err)
		}
		for range 2 {
			if on, err := f.Resume(t.Context(), pausing); err != nil || !on.Paused.IsZero() {
				t.Fatalf("%+v, %v", on, err)
			}
		}
		if err := reads(f, t, c); err != nil {
			t.Errorf("after the pause: %v", err)
		}
		list, err := f.Pauses(t.Context(), c.ID)
		if err != nil || len(list) != 1 || list[0].Ended.Before(list[0].Begun) {
			t.Errorf("%+v, %v", list, err)
		}
		types := logged(t, f, "alice")
		for _, want := range []string{"consent.paused", "consent.resumed"} {
			if n := len(slices.DeleteFunc(slices.Clone(types), func(s string) bool { return s != want })); n != 1 {
				t.Errorf("%s was logged %d times: %v", want, n, types)
			}
		}
	})
}

// TestPauseEnds with the consent, and a consent that has ended is not paused.
func TestPauseEnds(t *testing.T) {
	granted(t, func(t *testing.T, f *consenttest.Fixture, c consent.Consent) {
		pausing := consent.Pausing{Consent: c.ID, Person: "alice", Session: session()}
		if _, err := f.Pause(t.Context(), pausing); err != nil {
			t.Fatal(err)
		}
		if _, err := f.Withdraw(t.Context(), consent.Ending{Consent: c.ID, Person: "alice", State: consent.Withdrawn, Session: session()}); err != nil {
			t.Fatal(err)
		}
		for name, do := range map[string]func() (consent.Consent, error){
			"pause":  func() (consent.Consent, error) { return f.Pause(t.Context(), pausing) },
			"resume": func() (consent.Consent, error) { return f.Resume(t.Context(), pausing) },
		} {
			if _, err := do(); !errors.Is(err, consent.ErrState) {
				t.Errorf("%s what was withdrawn: %v", name, err)
			}
		}
		list, err := f.Pauses(t.Context(), c.ID)
		if err != nil || len(list) != 1 || list[0].Ended.IsZero() {
			t.Errorf("%+v, %v", list, err)
		}
		again, err := f.Renew(t.Context(), consent.Renewal{Consent: c.ID, Person: "alice", Until: time.Now().AddDate(0, 1, 0), Session: session()})
		if err != nil || !again.Paused.IsZero() || again.State != consent.Renewed {
			t.Fatalf("given again: %+v, %v", again, err)
		}
		if err := reads(f, t, c); err != nil {
			t.Errorf("given again it is paused still: %v", err)
		}
	})
}

// TestPausedAtOnce pauses and resumes from many sides, while the service reads: at the end the log and the consent agree.
func TestPausedAtOnce(t *testing.T) {
	granted(t, func(t *testing.T, f *consenttest.Fixture, c consent.Consent) {
		pausing := consent.Pausing{Consent: c.ID, Person: "alice", Session: session()}
		var all sync.WaitGroup
		for n := range 12 {
			all.Go(func() {
				var err error
				switch n % 3 {
				case 0:
					_, err = f.Pause(t.Context(), pausing)
				case 1:
					_, err = f.Resume(t.Context(), pausing)
				default:
					if err = reads(f, t, c); errors.Is(err, consent.ErrDenied) {
						err = nil
					}
				}
				if err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		now, err := f.OfPerson(t.Context(), c.ID, "alice")
		if err != nil {
			t.Fatal(err)
		}
		list, err := f.Pauses(t.Context(), c.ID)
		if err != nil {
			t.Fatal(err)
		}
		open := len(slices.DeleteFunc(slices.Clone(list), func(i consent.Interval) bool { return !i.Ended.IsZero() }))
		if want := map[bool]int{true: 0, false: 1}[now.Paused.IsZero()]; open != want {
			t.Errorf("%d pauses last, and the consent is paused since %v", open, now.Paused)
		}
	})
}
