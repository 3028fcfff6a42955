package audit_test

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/passerelle-cloud/passerelle/compliance/audit"
	"github.com/passerelle-cloud/passerelle/consent"
	"github.com/passerelle-cloud/passerelle/consent/consenttest"
	"github.com/passerelle-cloud/passerelle/internal/dbtest"
	"github.com/passerelle-cloud/passerelle/internal/sqldb"
)

// The clocks of the register, each under the article that it is of.

func TestArticle12_3Clock(t *testing.T)    { holdClocks(t, audit.RightRequest) }
func TestArticle33Clock(t *testing.T)      { holdClocks(t, audit.Breach) }
func TestDGAArticle11Clocks(t *testing.T)  { holdClocks(t, audit.Change, audit.Cessation) }
func TestDGAArticle12kClock(t *testing.T)  { holdClocks(t, audit.Unauthorised) }
func TestDGAArticle14_3Clock(t *testing.T) { holdClocks(t, audit.Inquiry14) }
func TestFeesHaveNoClock(t *testing.T)     { holdClocks(t, audit.Fee) }

// holdClocks holds the deadlines of some kinds of matters to the second, over short months, leap days and summer time.
func holdClocks(t *testing.T, kinds ...audit.Kind) {
	t.Helper()
	o := newOffice(t, dbtest.SQLite(t))
	paris, err := time.LoadLocation("Europe/Paris")
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range []struct {
		kind     audit.Kind
		from     time.Time
		due      string
		prolongs string // "": it cannot be
	}{
		{audit.Breach, time.Date(2026, 3, 27, 12, 0, 0, 0, paris), "2026-03-30T11:00:00Z", ""}, // 72 hours, in which a night has only 23
		{audit.RightRequest, time.Date(2026, 1, 31, 10, 0, 0, 0, time.UTC), "2026-02-28T10:00:00Z", "2026-04-30T10:00:00Z"},
		{audit.RightRequest, time.Date(2024, 1, 31, 10, 0, 0, 0, time.UTC), "2024-02-29T10:00:00Z", "2024-04-30T10:00:00Z"},
		{audit.RightRequest, time.Date(2025, 11, 30, 23, 59, 59, 0, time.UTC), "2025-12-30T23:59:59Z", "2026-02-28T23:59:59Z"},
		{audit.Inquiry14, time.Date(2026, 2, 1, 0, 0, 0, 0, time.UTC), "2026-03-03T00:00:00Z", ""},
		{audit.Change, time.Date(2026, 2, 20, 0, 0, 0, 0, time.UTC), "2026-03-06T00:00:00Z", ""},
		{audit.Cessation, time.Date(2026, 2, 20, 0, 0, 0, 0, time.UTC), "2026-03-07T00:00:00Z", ""},
		{audit.Unauthorised, time.Date(2026, 2, 20, 8, 0, 0, 0, time.UTC), "2026-02-21T08:00:00Z", ""},
		{audit.Fee, time.Date(2026, 2, 20, 8, 0, 0, 0, time.UTC), "0001-01-01T00:00:00Z", ""},
	} {
		if !slices.Contains(kinds, k.kind) {
			continue
		}
		o.now = k.from.Add(time.Hour)
		m, err := o.OpenMatter(ctx, k.kind, "something", k.from)
		if err != nil {
			t.Fatal(err)
		}
		if got := m.Due.UTC().Format(time.RFC3339); got != k.due {
			t.Errorf("%s of %s is due on %s, not %s", k.kind, k.from, got, k.due)
		}
		if !m.Due.IsZero() && (m.Late(m.Due) || !m.Late(m.Due.Add(time.Second))) {
			t.Errorf("%s: late is not from the second after %s", k.kind, m.Due)
		}
		err = o.ProlongMatter(ctx, m.ID, "many files")
		if (err == nil) != (k.prolongs != "") {
			t.Errorf("%s: prolonged: %v", k.kind, err)
		}
		list, err := o.Matters(ctx, true)
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range list {
			if want := k.prolongs; l.ID == m.ID && want != "" && l.Due.UTC().Format(time.RFC3339) != want {
				t.Errorf("prolonged it is due on %s, not %s", l.Due, want)
			}
		}
		if err := o.CloseMatter(ctx, m.ID, "answered"); err != nil {
			t.Fatal(err)
		}
		if err := o.CloseMatter(ctx, m.ID, "again"); !errors.Is(err, consent.ErrNotFound) {
			t.Errorf("closed twice: %v", err)
		}
	}
	o.now = time.Now()
	late, err := o.OpenMatter(ctx, audit.RightRequest, "late", o.now.AddDate(0, -2, 0))
	if err != nil {
		t.Fatal(err)
	}
	if err := o.ProlongMatter(ctx, late.ID, "too late"); !errors.Is(err, consent.ErrNotFound) {
		t.Errorf("prolonged after the month: %v", err)
	}
	for name, open := range map[string]func() error{
		"no kind":   func() error { _, err := o.OpenMatter(ctx, "party", "x", o.now); return err },
		"no title":  func() error { _, err := o.OpenMatter(ctx, audit.Breach, " ", o.now); return err },
		"bidi":      func() error { _, err := o.OpenMatter(ctx, audit.Breach, "a\u202eb", o.now); return err },
		"tomorrow":  func() error { _, err := o.OpenMatter(ctx, audit.Breach, "x", o.now.AddDate(0, 0, 1)); return err },
		"of before": func() error { _, err := o.OpenMatter(ctx, audit.Breach, "x", time.Time{}); return err },
		"no words":  func() error { return o.CloseMatter(ctx, late.ID, "") },
	} {
		if err := open(); !errors.Is(err, audit.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestDGAArticle12jThirdCountries: where data may go outside of Europe is in the register as long as the consent lasts, and
// how many persons it is about only where they are many.
func TestDGAArticle12jThirdCountries(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		o := newOffice(t, db)
		details := strings.Replace(string(consenttest.Details(o.now.AddDate(1, 0, 0))), `"third_country":"none"`, `"third_country":{"countries":["US"],"safeguard":"contract"}`, 1)
		var last consent.Consent
		for _, person := range []string{"a", "b", "c", "d", "e"} {
			r := o.AskFor(t, consent.Asking{Service: "reader", Details: json.RawMessage(details)})
			var err error
			if last, err = o.Fixture.Authority.Grant(ctx, o.Decision(t, r, person), nil); err != nil {
				t.Fatal(err)
			}
		}
		abroad := func() []consent.Abroad {
			r, err := o.Registers(ctx, o.who)
			if err != nil {
				t.Fatal(err)
			}
			return r.Abroad
		}
		if got := abroad(); len(got) != 1 || got[0].Service != "reader" || !slices.Equal(got[0].Countries, []string{"US"}) || got[0].Consents != 5 {
			t.Errorf("%+v", got)
		}
		if _, err := o.Withdraw(ctx, consent.Ending{Consent: last.ID, Person: "e", State: consent.Withdrawn}); err != nil {
			t.Fatal(err)
		}
		if got := abroad(); len(got) != 1 || got[0].Consents != 0 {
			t.Errorf("four could be recognised: %+v", got)
		}
	})
}
