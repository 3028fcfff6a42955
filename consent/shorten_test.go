package consent_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/passerelle-cloud/passerelle/consent"
	"github.com/passerelle-cloud/passerelle/consent/consenttest"
	"github.com/passerelle-cloud/passerelle/formats"
	"github.com/passerelle-cloud/passerelle/internal/dbtest"
	"github.com/passerelle-cloud/passerelle/internal/sqldb"
)

func shortening(c consent.Consent, change func(d *consent.Detail)) consent.Shortening {
	s := consent.Shortening{Consent: c.ID, Person: "alice", Details: slices.Clone(c.Details), Session: session()}
	change(&s.Details[0])
	return s
}

func TestShorten(t *testing.T) {
	granted(t, func(t *testing.T, f *consenttest.Fixture, c consent.Consent) {
		under, err := permit(f, t, c, formats.Contacts)
		if err != nil {
			t.Fatal(err)
		}
		for name, change := range map[string]func(d *consent.Detail){
			"more data":    func(d *consent.Detail) { d.Datasets = append(slices.Clone(d.Datasets), formats.Bank) },
			"longer":       func(d *consent.Detail) { d.Expires = d.Expires.AddDate(0, 0, 1) },
			"more actions": func(d *consent.Detail) { d.Actions = append(slices.Clone(d.Actions), consent.Compute) },
			"nothing":      func(d *consent.Detail) { d.Datasets = nil },
			"until before": func(d *consent.Detail) { d.Expires = time.Now().Add(-time.Hour) },
			"other kind":   func(d *consent.Detail) { d.Type = consent.AccountInformation },
		} {
			if _, err := f.Shorten(t.Context(), shortening(c, change)); !errors.Is(err, consent.ErrBeyond) {
				t.Errorf("%s: %v", name, err)
			}
		}
		same, err := f.Shorten(t.Context(), shortening(c, func(*consent.Detail) {}))
		if err != nil || same.Revision != c.Revision || under.Cut() {
			t.Errorf("the same is a change: %+v, %v", same, err)
		}
		less := shortening(c, func(d *consent.Detail) {
			d.Datasets = []formats.Dataset{formats.Contacts}
			d.Fields = map[formats.Dataset][]string{formats.Contacts: {"name"}}
		})
		bobs := less
		bobs.Person = "bob"
		if _, err := f.Shorten(t.Context(), bobs); !errors.Is(err, consent.ErrNotFound) {
			t.Errorf("bob takes back what alice granted: %v", err)
		}
		less.Notice = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
		if _, err := f.Shorten(t.Context(), less); !errors.Is(err, consent.ErrState) {
			t.Errorf("it rests on a notice that nobody saw: %v", err)
		}
		if less.Notice, err = f.Show(t.Context(), consent.Notice{Request: c.ID, Language: "fr", Version: "test", Content: []byte("moins")}); err != nil {
			t.Fatal(err)
		}
		got, err := f.Shorten(t.Context(), less)
		if err != nil || got.ID != c.ID || got.Revision != c.Revision+1 || fmt.Sprint(got.Details[0].Datasets) != "[contacts]" {
			t.Fatalf("%+v, %v", got, err)
		}
		if !under.Cut() {
			t.Error("what was under way goes on as before")
		}
		if _, err := permit(f, t, c, formats.Calendar); !errors.Is(err, consent.ErrDenied) {
			t.Errorf("what was taken back can be read: %v", err)
		}
		p, err := permit(f, t, c, formats.Contacts)
		if err != nil {
			t.Fatal(err)
		}
		if p.Whole(formats.Contacts) {
			t.Error("all fields can be read")
		}
		if _, err := f.Shorten(t.Context(), shortening(c, func(*consent.Detail) {})); !errors.Is(err, consent.ErrBeyond) {
			t.Errorf("what was taken back comes back: %v", err)
		}
		if types := logged(t, f, "alice"); !slices.Contains(types, "consent.shortened") {
			t.Errorf("logged: %v", types)
		}
	})
}

// TestGiveAgain is for what the person themselves ended, and for no more than it was.
func TestGiveAgain(t *testing.T) {
	granted(t, func(t *testing.T, f *consenttest.Fixture, c consent.Consent) {
		renewal := consent.Renewal{Consent: c.ID, Person: "alice", Until: time.Now().AddDate(0, 1, 0), Session: session()}
		end := func(state consent.State) {
			t.Helper()
			e := consent.Ending{Consent: c.ID, Person: "alice", State: state, Session: session()}
			if state != consent.Withdrawn {
				e.Person, e.Service = "", c.Service
			}
			if _, err := f.Withdraw(t.Context(), e); err != nil {
				t.Fatal(err)
			}
			if err := reads(f, t, c); !errors.Is(err, consent.ErrDenied) {
				t.Errorf("%s: %v", state, err)
			}
		}
		end(consent.Withdrawn)
		for name, change := range map[string]func(r *consent.Renewal){
			"for longer than at first": func(r *consent.Renewal) { r.Until = time.Now().AddDate(2, 0, 0) },
			"until before":             func(r *consent.Renewal) { r.Until = time.Now().Add(-time.Hour) },
			"more than it was": func(r *consent.Renewal) {
				d := c.Details[0]
				d.Datasets = append(slices.Clone(d.Datasets), formats.Bank)
				r.Details = []consent.Detail{d}
			},
		} {
			r := renewal
			change(&r)
			if _, err := f.Renew(t.Context(), r); !errors.Is(err, consent.ErrBeyond) {
				t.Errorf("%s: %v", name, err)
			}
		}
		bobs := renewal
		bobs.Person = "bob"
		if _, err := f.Renew(t.Context(), bobs); !errors.Is(err, consent.ErrNotFound) {
			t.Errorf("bob gives alice's consent again: %v", err)
		}
		part := c.Details[0]
		part.Datasets, part.Expires = []formats.Dataset{formats.Contacts}, time.Time{}
		renewal.Details = []consent.Detail{part}
		again, err := f.Renew(t.Context(), renewal)
		if err != nil || again.ID != c.ID || again.State != consent.Renewed || fmt.Sprint(again.Details[0].Datasets) != "[contacts]" {
			t.Fatalf("%+v, %v", again, err)
		}
		if err := reads(f, t, c); err != nil {
			t.Errorf("given again: %v", err)
		}
		if _, err := permit(f, t, c, formats.Calendar); !errors.Is(err, consent.ErrDenied) {
			t.Errorf("what was left out is back: %v", err)
		}
		end(consent.Revoked)
		renewal.Details = nil
		if _, err := f.Renew(t.Context(), renewal); !errors.Is(err, consent.ErrState) {
			t.Errorf("what the service gave back is given again: %v", err)
		}
	})
}

// TestGiveAgainToWhoIsSuspended is not possible.
func TestGiveAgainToWhoIsSuspended(t *testing.T) {
	granted(t, func(t *testing.T, f *consenttest.Fixture, c consent.Consent) {
		if _, err := f.Withdraw(t.Context(), consent.Ending{Consent: c.ID, Person: "alice", State: consent.Withdrawn, Session: session()}); err != nil {
			t.Fatal(err)
		}
		if err := f.Suspend(t.Context(), "invites", "it sold data"); err != nil {
			t.Fatal(err)
		}
		_, err := f.Renew(t.Context(), consent.Renewal{Consent: c.ID, Person: "alice", Until: time.Now().AddDate(0, 1, 0), Session: session()})
		if !errors.Is(err, consent.ErrSuspended) {
			t.Error(err)
		}
	})
}

// TestShortenAtOnce takes back two things in two tabs: neither comes back.
func TestShortenAtOnce(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		f := consenttest.New(t, db)
		f.Service(t, "invites")
		c := f.Grant(t, "invites", "alice")
		sooner := c.Details[0].Expires.AddDate(0, -1, 0)
		errs := make(chan error, 2)
		for _, change := range []func(d *consent.Detail){
			func(d *consent.Detail) { d.Datasets = []formats.Dataset{formats.Contacts} },
			func(d *consent.Detail) { d.Expires = sooner },
		} {
			go func() { _, err := f.Shorten(t.Context(), shortening(c, change)); errs <- err }()
		}
		refused := 0
		for range 2 {
			if err := <-errs; errors.Is(err, consent.ErrBeyond) {
				refused++ // the other one was first, and this one would have given its part back
			} else if err != nil {
				t.Error(err)
			}
		}
		now, err := f.OfPerson(t.Context(), c.ID, "alice")
		if err != nil {
			t.Fatal(err)
		}
		if refused != 1 || now.Revision != 2 {
			t.Errorf("%d were refused; it is now %+v", refused, now.Details)
		}
	})
}
