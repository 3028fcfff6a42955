package consent_test

import (
	"errors"
	"testing"
	"time"

	"github.com/passerelle-cloud/passerelle/consent"
	"github.com/passerelle-cloud/passerelle/consent/consenttest"
	"github.com/passerelle-cloud/passerelle/formats"
	"github.com/passerelle-cloud/passerelle/internal/dbtest"
	"github.com/passerelle-cloud/passerelle/internal/sqldb"
)

// TestLife goes from a request to the last byte.
func TestLife(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		f := consenttest.New(t, db)
		f.Service(t, "invites")
		c := f.Grant(t, "invites", "alice")
		if c.State != consent.Given || c.Revision != 1 {
			t.Fatalf("%+v", c)
		}
		access := consent.Access{Consent: c.ID, Service: "invites", Datasets: []formats.Dataset{formats.Contacts}, Action: consent.Read}
		p, err := f.Permit(t.Context(), access)
		if err != nil {
			t.Fatal(err)
		}
		if time.Until(p.Lease()) <= 0 || !p.Dataset(formats.Contacts) || p.Dataset(formats.Bank) {
			t.Fatal(p.Lease())
		}
		if err := p.Prolong(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := p.Done(t.Context(), consent.Sent{Records: 3, Bytes: 100, Outcome: consent.Complete}); err != nil {
			t.Fatal(err)
		}
		for name, x := range map[string]consent.Access{
			"another dataset": {Consent: c.ID, Service: "invites", Datasets: []formats.Dataset{formats.Bank}, Action: consent.Read},
			"another service": {Consent: c.ID, Service: "other", Datasets: []formats.Dataset{formats.Contacts}, Action: consent.Read},
			"another action":  {Consent: c.ID, Service: "invites", Datasets: []formats.Dataset{formats.Contacts}, Action: consent.Compute},
			"another consent": {Consent: "x", Service: "invites", Datasets: []formats.Dataset{formats.Contacts}, Action: consent.Read},
		} {
			if _, err := f.Permit(t.Context(), x); !errors.Is(err, consent.ErrDenied) {
				t.Errorf("%s: %v", name, err)
			}
		}
		ended, err := f.Withdraw(t.Context(), consent.Ending{Consent: c.ID, Person: "alice", State: consent.Withdrawn})
		if err != nil || ended.State != consent.Withdrawn || ended.Revision != 2 {
			t.Fatalf("%+v, %v", ended, err)
		}
		if _, err := f.Permit(t.Context(), access); !errors.Is(err, consent.ErrDenied) {
			t.Fatal(err)
		}
	})
}

// TestWithdrawnWhileOpen lets a stream be withdrawn that does not end by itself.
func TestWithdrawnWhileOpen(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		f := consenttest.New(t, db)
		f.Service(t, "invites")
		c := f.Grant(t, "invites", "alice")
		p, err := f.Permit(t.Context(), consent.Access{Consent: c.ID, Service: "invites", Datasets: []formats.Dataset{formats.Contacts}, Action: consent.Read})
		if err != nil {
			t.Fatal(err)
		}
		lease := p.Lease()
		cut := make(chan struct{})
		p.OnCut(func() { close(cut) })
		if _, err := f.Withdraw(t.Context(), consent.Ending{Consent: c.ID, Person: "alice", State: consent.Withdrawn}); err != nil {
			t.Fatal(err)
		}
		if time.Now().Before(lease) {
			t.Error("it returned before the lease had run out")
		}
		<-cut
		if err := p.Prolong(t.Context()); !errors.Is(err, consent.ErrDenied) || !p.Cut() {
			t.Fatal(err)
		}
	})
}
