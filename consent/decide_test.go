package consent_test

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/passerelle-cloud/passerelle/consent"
	"github.com/passerelle-cloud/passerelle/consent/consenttest"
	"github.com/passerelle-cloud/passerelle/formats"
	"github.com/passerelle-cloud/passerelle/internal/dbtest"
	"github.com/passerelle-cloud/passerelle/internal/sqldb"
)

// TestPartly grants less than was asked, and tries to grant more.
func TestPartly(t *testing.T) {
	f := consenttest.New(t, dbtest.SQLite(t))
	f.Service(t, "invites")
	for name, c := range map[string]struct {
		change func(d *consent.Detail)
		ok     bool
	}{
		"all":               {func(*consent.Detail) {}, true},
		"fewer datasets":    {func(d *consent.Detail) { d.Datasets = d.Datasets[:1] }, true},
		"fewer fields":      {func(d *consent.Detail) { d.Fields = map[formats.Dataset][]string{formats.Contacts: {"name"}} }, true},
		"a period":          {func(d *consent.Detail) { d.From, d.To = "2025-01-01", "2025-12-31" }, true},
		"shorter":           {func(d *consent.Detail) { d.Expires = time.Now().Add(time.Hour).UTC().Truncate(time.Second) }, true},
		"only to read":      {func(d *consent.Detail) { d.Actions = []consent.Action{consent.Read} }, true},
		"another dataset":   {func(d *consent.Detail) { d.Datasets = []formats.Dataset{formats.Bank} }, false},
		"longer":            {func(d *consent.Detail) { d.Expires = d.Expires.AddDate(1, 0, 0) }, false},
		"for ever":          {func(d *consent.Detail) { d.Expires = time.Time{} }, false},
		"to compute":        {func(d *consent.Detail) { d.Actions = []consent.Action{consent.Compute} }, false},
		"nothing":           {func(d *consent.Detail) { d.Datasets = nil }, false},
		"something else":    {func(d *consent.Detail) { d.Type = consent.AccountInformation }, false},
		"another purpose":   {func(d *consent.Detail) { d.Purpose.Text = map[string]string{"en": "Something else"} }, true}, // what was asked stays
		"another recipient": {func(d *consent.Detail) { d.Recipients = []consent.Recipient{{Name: "X", Country: "US"}} }, true},
		"an account unasked": {func(d *consent.Detail) {
			d.Type, d.Datasets, d.Accounts = consent.PersonalData, []formats.Dataset{formats.Bank}, []string{"a"}
		}, false},
	} {
		r := f.Ask(t, "invites")
		d := f.Decision(t, r, "alice")
		c.change(&d.Details[0])
		got, err := f.Authority.Grant(t.Context(), d, nil)
		if (err == nil) != c.ok || err != nil && !errors.Is(err, consent.ErrBeyond) {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if !c.ok {
			if again, err := f.Request(t.Context(), r.ID); err != nil || again.State != consent.Requested {
				t.Errorf("%s: it was not granted, and cannot be decided any more: %s, %v", name, again.State, err)
			}
			continue
		}
		if want, _ := json.Marshal(r.Details[0].Purpose); true {
			if have, _ := json.Marshal(got.Details[0].Purpose); string(have) != string(want) || len(got.Details[0].Recipients) != 0 {
				t.Errorf("%s: the person changed what the service said: %s", name, have)
			}
		}
	}
}

// TestDecidedOnce lets a request be decided many times at once, on replicas where there are some.
func TestDecidedOnce(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		f := consenttest.New(t, db)
		f.Service(t, "invites")
		d := f.Decision(t, f.Ask(t, "invites"), "alice")
		var done atomic.Int64
		var wg sync.WaitGroup
		for n := range 20 {
			wg.Go(func() {
				var err error
				if mine := d; n%2 == 0 {
					mine.Details = append([]consent.Detail{}, d.Details...)
					_, err = f.Authority.Grant(t.Context(), mine, nil)
				} else {
					_, err = f.Refuse(t.Context(), mine, nil)
				}
				switch {
				case err == nil:
					done.Add(1)
				case !errors.Is(err, consent.ErrState):
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if done.Load() != 1 {
			t.Errorf("it was decided %d times", done.Load())
		}
	})
}

// TestAlso lets what goes with a decision fail: then there was no decision.
func TestAlso(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		f := consenttest.New(t, db)
		f.Service(t, "invites")
		r := f.Ask(t, "invites")
		d := f.Decision(t, r, "alice")
		broken := errors.New("the code cannot be made")
		if _, err := f.Authority.Grant(t.Context(), d, func(*sql.Tx, consent.Consent) error { return broken }); !errors.Is(err, broken) {
			t.Fatal(err)
		}
		if list, err := f.Consents(t.Context(), "alice"); err != nil || len(list) != 0 {
			t.Error(list, err)
		}
		if _, err := f.Authority.Grant(t.Context(), d, nil); err != nil {
			t.Error(err)
		}
	})
}

// TestNoticeMustHaveBeenShown decides on something else than what was shown.
func TestNoticeMustHaveBeenShown(t *testing.T) {
	f := consenttest.New(t, dbtest.SQLite(t))
	f.Service(t, "invites")
	d := f.Decision(t, f.Ask(t, "invites"), "alice")
	other := f.Decision(t, f.Ask(t, "invites"), "bob")
	d.Notice = other.Notice // of another request
	if _, err := f.Authority.Grant(t.Context(), d, nil); !errors.Is(err, consent.ErrState) {
		t.Error(err)
	}
	notice, err := f.Notice(t.Context(), other.Request, other.Notice)
	if err != nil || string(notice.Content) != "the notice for bob" || notice.Language != "en" {
		t.Error(notice, err)
	}
}

// TestStates goes through what may follow what.
func TestStates(t *testing.T) {
	var clock atomic.Int64
	now := func() time.Time { return time.Now().Add(time.Duration(clock.Load())) }
	f := consenttest.New(t, dbtest.SQLite(t), func(o *consent.Options) { o.Now = now })
	f.Service(t, "invites")
	end := func(c consent.Consent, state consent.State) (consent.Consent, error) {
		return f.Withdraw(t.Context(), consent.Ending{Consent: c.ID, Person: "alice", State: state})
	}
	renew := func(c consent.Consent, until time.Time) (consent.Consent, error) {
		return f.Renew(t.Context(), consent.Renewal{Consent: c.ID, Person: "alice", Until: until})
	}

	c := f.Grant(t, "invites", "alice")
	if _, err := end(c, consent.Given); !errors.Is(err, consent.ErrState) {
		t.Error("a withdrawal gave:", err)
	}
	if _, err := renew(c, now().AddDate(2, 0, 0)); !errors.Is(err, consent.ErrBeyond) {
		t.Error("longer than at first:", err)
	}
	renewed, err := renew(c, now().AddDate(0, 1, 0))
	if err != nil || renewed.State != consent.Renewed || renewed.Revision != 2 {
		t.Fatal(renewed, err)
	}
	clock.Add(int64(40 * 24 * time.Hour))
	if got, err := f.OfPerson(t.Context(), c.ID, "alice"); err != nil || got.State != consent.Expired {
		t.Error(got.State, err)
	}
	if _, err := f.Permit(t.Context(), consent.Access{Consent: c.ID, Service: "invites", Datasets: []formats.Dataset{formats.Contacts}, Action: consent.Read}); !errors.Is(err, consent.ErrDenied) {
		t.Error(err)
	}
	if again, err := renew(c, now().AddDate(0, 1, 0)); err != nil || again.State != consent.Renewed {
		t.Error("an expired one can be renewed:", err)
	}
	gone, err := end(c, consent.Withdrawn)
	if err != nil || gone.State != consent.Withdrawn || gone.Revision != 4 {
		t.Error(gone, err)
	}
	if again, err := end(c, consent.Withdrawn); err != nil || again.Revision != 4 {
		t.Error("to withdraw twice is to withdraw once:", again, err)
	}
	if again, err := renew(c, now().AddDate(0, 1, 0)); err != nil || again.State != consent.Renewed || again.Revision != 5 {
		t.Error("a withdrawn one can be given again:", err)
	}
	if revoked, err := end(c, consent.Revoked); err != nil || revoked.State != consent.Revoked {
		t.Error(revoked, err)
	}
	if _, err := renew(c, now().AddDate(0, 1, 0)); !errors.Is(err, consent.ErrState) {
		t.Error("a revoked one was renewed:", err)
	}
	list, err := f.Revisions(t.Context(), c.ID)
	var states []string
	for _, r := range list {
		states = append(states, string(r.State))
	}
	if err != nil || strings.Join(states, " ") != "ConsentGiven RenewedConsentGiven RenewedConsentGiven ConsentWithdrawn RenewedConsentGiven ConsentRevoked" {
		t.Error(states, err)
	}
	for _, who := range []string{"bob", ""} {
		if _, err := f.Withdraw(t.Context(), consent.Ending{Consent: c.ID, Person: who, State: consent.Withdrawn}); !errors.Is(err, consent.ErrNotFound) {
			t.Errorf("%q: %v", who, err)
		}
	}
}

// TestRules has a pack that is against things, and looks at what it is told and what is kept.
func TestRules(t *testing.T) {
	var seen sync.Map
	rule := func(f consent.Facts) *consent.Refusal {
		seen.Store(f.Step, f)
		if f.Step == consent.StepAsk && f.Asked[0].Retention == "" {
			return &consent.Refusal{Code: "retention-missing", Citation: consent.Citation{Law: "GDPR", Article: "13(2)(a)"}, Text: map[string]string{"en": "It does not say for how long.", "fr": "…"}, Advice: "Add retention."}
		}
		return nil
	}
	f := consenttest.New(t, dbtest.SQLite(t), func(o *consent.Options) {
		o.Packs = []consent.Pack{
			{Name: "test", Version: "2020-01-01", From: time.Unix(0, 0), Source: []byte("x"), Rules: []consent.Rule{rule}},
			{Name: "future", Version: "2090-01-01", From: time.Now().AddDate(1, 0, 0), Rules: []consent.Rule{func(consent.Facts) *consent.Refusal { return &consent.Refusal{Code: "future"} }}},
			{Name: "past", Version: "1990-01-01", Until: time.Now(), Rules: []consent.Rule{func(consent.Facts) *consent.Refusal { return &consent.Refusal{Code: "past"} }}},
		}
	})
	f.Service(t, "invites")
	details := strings.Replace(string(consenttest.Details(time.Now().Add(time.Hour))), `"retention":"P30D",`, "", 1)
	_, err := f.Authority.Ask(t.Context(), consent.Asking{Service: "invites", Details: json.RawMessage(details), Expires: time.Now().Add(time.Hour)}, nil)
	var refused *consent.RefusedError
	if !errors.As(err, &refused) || len(refused.Refusals) != 1 || !strings.Contains(err.Error(), "Add retention.") || !strings.Contains(err.Error(), "13(2)(a)") {
		t.Fatal(err)
	}
	c := f.Grant(t, "invites", "alice")
	if len(c.Packs) != 1 || !strings.HasPrefix(c.Packs[0], "test@2020-01-01 2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881") {
		t.Error(c.Packs)
	}
	list, err := f.Revisions(t.Context(), c.ID)
	if err != nil {
		t.Fatal(err)
	}
	var kept consent.Facts
	if err := json.Unmarshal(list[0].Facts, &kept); err != nil || kept.Step != consent.StepGrant || kept.Notice == nil || kept.Session.Method != "password" || rule(kept) != nil {
		t.Errorf("%+v, %v", kept, err)
	}
	if _, err := f.Permit(t.Context(), consent.Access{Consent: c.ID, Service: "invites", Datasets: []formats.Dataset{formats.Contacts}, Action: consent.Read}); err != nil {
		t.Fatal(err)
	}
	facts, _ := seen.Load(consent.StepPermit)
	if f := facts.(consent.Facts); f.Access.Datasets[0] != formats.Contacts || f.Consent.Accesses != 1 || f.Service.ID != "invites" {
		t.Errorf("%+v", f)
	}
}

// TestKeep ends what has expired, in the log too, and tells the service; and deletes what nobody decided.
func TestKeep(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		var clock atomic.Int64
		var told []consent.State
		f := consenttest.New(t, db, func(o *consent.Options) {
			o.Now = func() time.Time { return time.Now().Add(time.Duration(clock.Load())) }
			o.Decided = func(_ context.Context, _ *sql.Tx, c consent.Consent) error { told = append(told, c.State); return nil }
		})
		f.Service(t, "invites")
		c := f.Grant(t, "invites", "alice")
		waiting := f.Ask(t, "invites")
		f.Decision(t, waiting, "alice") // shown, and not decided
		if err := f.Keep(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got, err := f.OfPerson(t.Context(), c.ID, "alice"); err != nil || got.Revision != 1 {
			t.Error("it ended before its time", got, err)
		}
		if _, err := f.Request(t.Context(), waiting.ID); err != nil {
			t.Error(err)
		}
		clock.Add(int64(366 * 24 * time.Hour))
		for range 2 {
			if err := f.Keep(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if got, err := f.OfPerson(t.Context(), c.ID, "alice"); err != nil || got.State != consent.Expired || got.Revision != 2 || len(told) != 1 || told[0] != consent.Expired {
			t.Error(got, told, err)
		}
		if _, err := f.Request(t.Context(), waiting.ID); !errors.Is(err, consent.ErrNotFound) {
			t.Error("a request that nobody decided is still there:", err)
		}
		if _, err := f.Renew(t.Context(), consent.Renewal{Consent: c.ID, Person: "alice", Until: time.Now().Add(time.Duration(clock.Load())).AddDate(0, 1, 0)}); err != nil {
			t.Error("it cannot be renewed:", err)
		}
	})
}

// TestEndAll ends everything of a person whose instance goes, and nothing of others.
func TestEndAll(t *testing.T) {
	f := consenttest.New(t, dbtest.SQLite(t))
	f.Service(t, "invites")
	for range 3 {
		f.Grant(t, "invites", "alice")
	}
	bobs := f.Grant(t, "invites", "bob")
	if n, err := f.EndAll(t.Context(), "alice", "the instance was removed"); err != nil || n != 3 {
		t.Fatal(n, err)
	}
	list, err := f.Consents(t.Context(), "alice")
	for _, c := range list {
		if c.State != consent.Revoked {
			t.Error(c.State)
		}
	}
	if c, e := f.OfPerson(t.Context(), bobs.ID, "bob"); err != nil || e != nil || !c.State.Valid() {
		t.Error(c, err, e)
	}
	if n, err := f.EndAll(t.Context(), "alice", "again"); err != nil || n != 0 {
		t.Error(n, err)
	}
}
