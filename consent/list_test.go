package consent_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/passerelle-cloud/passerelle/consent"
	"github.com/passerelle-cloud/passerelle/consent/consenttest"
	"github.com/passerelle-cloud/passerelle/formats"
	"github.com/passerelle-cloud/passerelle/internal/dbtest"
	"github.com/passerelle-cloud/passerelle/internal/sqldb"
)

func TestList(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		f := consenttest.New(t, db)
		for id, name := range map[string]string{"energy": "Énergie 100% verte", "energy2": "Energie_2", "invites": "Invites", "bank": "Ma Banque"} {
			f.Service(t, id, func(s *consent.Service) { s.Name = name })
		}
		f.Grant(t, "energy", "alice")
		paused, ended := f.Grant(t, "invites", "alice"), f.Grant(t, "energy2", "alice")
		f.Grant(t, "bank", "bob")
		if _, err := f.Pause(t.Context(), consent.Pausing{Consent: paused.ID, Person: "alice", Session: session()}); err != nil {
			t.Fatal(err)
		}
		if _, err := f.Withdraw(t.Context(), consent.Ending{Consent: ended.ID, Person: "alice", State: consent.Withdrawn, Session: session()}); err != nil {
			t.Fatal(err)
		}
		if _, err := f.Refuse(t.Context(), f.Decision(t, f.Ask(t, "bank"), "alice"), nil); err != nil {
			t.Fatal(err)
		}
		for name, c := range map[string]struct {
			filter consent.Filter
			want   string
		}{
			"all":                     {consent.Filter{}, "bank energy2 invites energy"},
			"active":                  {consent.Filter{Standing: consent.StandsActive}, "invites energy"},
			"paused":                  {consent.Filter{Standing: consent.StandsPaused}, "invites"},
			"ended":                   {consent.Filter{Standing: consent.StandsEnded}, "energy2"},
			"refused":                 {consent.Filter{Standing: consent.StandsRefused}, "bank"},
			"whatever the accents":    {consent.Filter{Text: "ENERGIE"}, "energy2 energy"},
			"two words":               {consent.Filter{Text: "verte énergie"}, "energy"},
			"a sign of SQL":           {consent.Filter{Text: "%"}, "energy"},
			"another sign of SQL":     {consent.Filter{Text: "_"}, "energy2"},
			"not there":               {consent.Filter{Text: "banque verte"}, ""},
			"a quote":                 {consent.Filter{Text: `'; DROP TABLE consent_consent; --`}, ""},
			"contacts":                {consent.Filter{Dataset: formats.Contacts, Standing: consent.StandsActive}, "invites energy"},
			"health":                  {consent.Filter{Dataset: formats.Health}, ""},
			"of one service":          {consent.Filter{Service: "energy"}, "energy"},
			"the second page":         {consent.Filter{Offset: 2, Limit: 1}, "invites"},
			"a page that there isn't": {consent.Filter{Offset: 200}, ""},
		} {
			l, err := f.List(t.Context(), "alice", c.filter)
			if err != nil {
				t.Fatal(name, err)
			}
			got := ""
			for i, item := range l.Items {
				if got += item.Consent.Service; i < len(l.Items)-1 {
					got += " "
				}
				if item.Service == nil || item.Consent.Person != "alice" || len(item.Consent.Details) == 0 {
					t.Errorf("%s: %+v", name, item)
				}
			}
			if got != c.want {
				t.Errorf("%s: %q, not %q", name, got, c.want)
			}
		}
		l, err := f.List(t.Context(), "alice", consent.Filter{Standing: consent.StandsEnded, Limit: 1})
		if err != nil || l.Total != 1 || fmt.Sprint(l.Counts[consent.StandsActive], l.Counts[consent.StandsPaused], l.Counts[consent.StandsEnded], l.Counts[consent.StandsRefused], l.Counts[""]) != "2 1 1 1 4" {
			t.Errorf("%+v, %v", l, err)
		}
		if l, err := f.List(t.Context(), "nobody", consent.Filter{}); err != nil || len(l.Items) != 0 || l.Total != 0 {
			t.Errorf("%+v, %v", l, err)
		}
	})
}

// TestAccesses turns the pages while the service goes on to read: each access is there once.
func TestAccesses(t *testing.T) {
	granted(t, func(t *testing.T, f *consenttest.Fixture, c consent.Consent) {
		for range 7 {
			if err := reads(f, t, c); err != nil {
				t.Fatal(err)
			}
		}
		seen := map[string]bool{}
		cursor, turns := "", 0
		for {
			list, next, err := f.Accesses(t.Context(), c.ID, "alice", cursor, 2)
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range list {
				if seen[r.ID] || r.Records != 3 || r.Bytes != 1234 || r.Outcome != consent.Complete || r.Open || fmt.Sprint(r.Datasets) != "[contacts]" || r.Revision != 1 {
					t.Errorf("%+v", r)
				}
				seen[r.ID] = true
			}
			if turns++; next == "" || turns > 20 {
				break
			}
			cursor = next
			if err := reads(f, t, c); err != nil {
				t.Fatal(err)
			}
		}
		if len(seen) != 7 || turns != 4 {
			t.Errorf("%d accesses on %d pages", len(seen), turns)
		}
		if _, _, err := f.Accesses(t.Context(), c.ID, "bob", "", 2); !errors.Is(err, consent.ErrNotFound) {
			t.Errorf("bob sees what was read of alice: %v", err)
		}
		for _, bad := range []string{"x", "MTIz", cursor + "A", cursor[:len(cursor)-3]} {
			if _, _, err := f.Accesses(t.Context(), c.ID, "alice", bad, 2); !errors.Is(err, consent.ErrRequest) {
				t.Errorf("from %q: %v", bad, err)
			}
		}
		readings, err := f.Readings(t.Context(), "alice")
		if err != nil || len(readings) != 1 || readings[0].Accesses != 10 || readings[0].Paused || readings[0].Service.ID != "invites" {
			t.Errorf("%+v, %v", readings, err)
		}
	})
}

func TestNews(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		f := consenttest.New(t, db)
		f.Service(t, "invites")
		f.Service(t, "energy")
		c, other := f.Grant(t, "invites", "alice"), f.Grant(t, "energy", "alice")
		news := func(want ...string) consent.News {
			t.Helper()
			n, err := f.News(t.Context(), "alice", 0)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, i := range n.Items {
				got = append(got, fmt.Sprintf("%s %s %d", i.Kind, i.Service.ID, i.Count))
			}
			if fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("the news are %v, not %v", got, want)
			}
			return n
		}
		if n := news(); !n.Since.IsZero() {
			t.Errorf("seen at %v", n.Since)
		}
		for range 3 {
			if err := reads(f, t, c); err != nil {
				t.Fatal(err)
			}
		}
		news("read invites 3")
		seen := time.Now()
		if err := reads(f, t, c); err != nil { // between the page and the click
			t.Fatal(err)
		}
		if err := f.Seen(t.Context(), "alice", seen); err != nil {
			t.Fatal(err)
		}
		news("read invites 1")
		if err := f.Seen(t.Context(), "alice", seen.Add(-time.Hour)); err != nil { // an older tab
			t.Fatal(err)
		}
		news("read invites 1")
		if err := f.Seen(t.Context(), "alice", time.Now().Add(time.Hour)); err != nil { // a clock that is fast
			t.Fatal(err)
		}
		news()
		if err := reads(f, t, c); err != nil {
			t.Fatal(err)
		}
		news("read invites 1")
		if _, err := f.Withdraw(t.Context(), consent.Ending{Consent: other.ID, Service: "energy", State: consent.Revoked}); err != nil {
			t.Fatal(err)
		}
		news("ended energy 0", "read invites 1")
		if err := f.Suspend(t.Context(), "invites", "it sold data"); err != nil {
			t.Fatal(err)
		}
		news("suspended invites 0", "ended energy 0", "read invites 1")
		if n, err := f.News(t.Context(), "alice", 1); err != nil || len(n.Items) != 1 || !n.More {
			t.Errorf("%+v, %v", n, err)
		}
		if n, err := f.News(t.Context(), "bob", 0); err != nil || len(n.Items) != 0 {
			t.Errorf("bob's news are %+v, %v", n, err)
		}
		if _, err := f.Withdraw(t.Context(), consent.Ending{Consent: c.ID, Person: "alice", State: consent.Withdrawn, Session: session()}); err != nil {
			t.Fatal(err)
		}
		news("ended energy 0", "read invites 1") // what she did herself is none
	})
}

// TestNothingStays: of a person who is gone, nothing that was kept for their pages stays.
func TestNothingStays(t *testing.T) {
	granted(t, func(t *testing.T, f *consenttest.Fixture, c consent.Consent) {
		if err := f.Seen(t.Context(), "alice", time.Now()); err != nil {
			t.Fatal(err)
		}
		if _, err := f.Pause(t.Context(), consent.Pausing{Consent: c.ID, Person: "alice", Session: session()}); err != nil {
			t.Fatal(err)
		}
		if _, err := f.EndAll(t.Context(), "alice", "the instance was removed"); err != nil {
			t.Fatal(err)
		}
		var seen, open int
		if err := f.DB.Read.QueryRow(`SELECT (SELECT COUNT(*) FROM consent_seen), (SELECT COUNT(*) FROM consent_pause WHERE ended = 0)`).Scan(&seen, &open); err != nil || seen != 0 || open != 0 {
			t.Errorf("%d, %d, %v", seen, open, err)
		}
	})
}
