package consent_test

import (
	"testing"
	"time"

	"github.com/passerelle-cloud/passerelle/consent"
	"github.com/passerelle-cloud/passerelle/consent/consenttest"
	"github.com/passerelle-cloud/passerelle/formats"
)

// TestReplay tries what alice decided under a pack that knows no calendars, and is not in force yet.
func TestReplay(t *testing.T) {
	granted(t, func(t *testing.T, f *consenttest.Fixture, c consent.Consent) {
		if _, err := f.Shorten(t.Context(), shortening(c, func(d *consent.Detail) { d.Datasets = []formats.Dataset{formats.Contacts} })); err != nil {
			t.Fatal(err)
		}
		if _, err := f.Withdraw(t.Context(), consent.Ending{Consent: c.ID, Person: "alice", State: consent.Withdrawn, Session: session()}); err != nil {
			t.Fatal(err)
		}
		if _, err := f.Renew(t.Context(), consent.Renewal{Consent: c.ID, Person: "alice", Until: time.Now().AddDate(0, 1, 0), Session: session()}); err != nil {
			t.Fatal(err)
		}
		pack := consent.Pack{Name: "no-calendars", Version: "2100-01-01", From: time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC), Rules: []consent.Rule{func(facts consent.Facts) *consent.Refusal {
			for _, d := range facts.Granted {
				for _, s := range d.Datasets {
					if s == formats.Calendar {
						return &consent.Refusal{Code: "calendar"}
					}
				}
			}
			return nil
		}}}
		var numbers, refused []int
		for r, err := range consent.Replay(t.Context(), f.DB, pack) {
			if err != nil {
				t.Fatal(err)
			}
			numbers = append(numbers, r.Revision.Number)
			if len(r.Refusals) > 0 {
				refused = append(refused, r.Revision.Number)
			}
		}
		if len(numbers) != 3 || len(refused) != 1 || refused[0] != 1 {
			t.Errorf("tried %v, refused %v", numbers, refused)
		}
	})
}

// TestReplayMany turns pages, and stops when nobody wants more.
func TestReplayMany(t *testing.T) {
	granted(t, func(t *testing.T, f *consenttest.Fixture, c consent.Consent) {
		f.Crowd(t, 1200, 0)
		n := 0
		for r, err := range consent.Replay(t.Context(), f.DB, consent.Pack{}) {
			if err != nil || len(r.Refusals) != 0 {
				t.Fatal(err)
			}
			n++
		}
		if n != 1202 { // with alice's own and the model's
			t.Errorf("%d decisions", n)
		}
		for range consent.Replay(t.Context(), f.DB, consent.Pack{}) {
			return
		}
	})
}
