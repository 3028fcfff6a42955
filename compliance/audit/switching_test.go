package audit_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/passerelle-cloud/passerelle/compliance"
	"github.com/passerelle-cloud/passerelle/compliance/audit"
	"github.com/passerelle-cloud/passerelle/internal/dbtest"
	"github.com/passerelle-cloud/passerelle/internal/sqldb"
)

const day = 24 * time.Hour

// moved is a move that took a time, whose data can be fetched for a time; when it is erased is said apart.
func moved(given time.Time, took, kept time.Duration) audit.Switched {
	at := given.Add(took)
	return audit.Switched{Consent: "c-1", To: "other.example", Given: given, Moved: at, Until: at.Add(kept)}
}

// TestDataActArticle25Checks: what happened is held against the clocks, to the second.
func TestDataActArticle25Checks(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		var move audit.Switched
		o := &office{gateway: newGateway(t, db), now: time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)}
		o.gateway.Switched = func(_ context.Context, since time.Time) ([]audit.Switched, error) {
			if !since.Equal(o.now.AddDate(-2, 0, 0)) {
				t.Errorf("asked for moves since %s", since)
			}
			return []audit.Switched{move}, nil
		}
		o.Desk, o.code, o.who = o.OpenDesk(t, func() time.Time { return o.now }, "Ada Contrôle")
		given := o.now.Add(-100 * day)
		right := moved(given, 30*day, 30*day)
		right.Erased = right.Until
		change := func(with func(*audit.Switched)) audit.Switched {
			m := right
			with(&m)
			return m
		}
		open := moved(o.now.Add(-32*day), day, 30*day)
		open.Until = o.now.Add(-day)
		open.Moved = open.Until.Add(-30 * day)
		for name, k := range map[string]struct {
			move  audit.Switched
			wrong string // the check that finds it; "": none
			says  string
		}{
			"in time":                       {right, "", ""},
			"a second too long":             {moved(given, 30*day+time.Second, 80*day), "moves-in-time", "it took 720h0m1s"},
			"prolonged by the person":       {change(func(m *audit.Switched) { m.Given, m.Prolonged = m.Given.Add(-20*day), true }), "", ""},
			"promised a second too short":   {change(func(m *audit.Switched) { m.Until = m.Until.Add(-time.Second) }), "moved-data-kept", "719h59m59s"},
			"erased a second too early":     {change(func(m *audit.Switched) { m.Erased = m.Erased.Add(-time.Second) }), "moved-data-kept", "719h59m59s"},
			"erased a day late":             {change(func(m *audit.Switched) { m.Erased = m.Until.Add(day) }), "", ""},
			"erased a day and a second":     {change(func(m *audit.Switched) { m.Erased = m.Until.Add(day + time.Second) }), "moved-data-erased", "should have been erased"},
			"not erased, and it is not due": {open, "", ""},
			"not erased, and it was due":    {change(func(m *audit.Switched) { m.Erased = time.Time{} }), "moved-data-erased", "should have been erased"},
		} {
			if move = k.move; move.Erased.IsZero() && k.wrong == "moves-in-time" {
				move.Until = o.now
			}
			if _, err := o.Evaluate(ctx); err != nil {
				t.Fatal(err)
			}
			found, err := o.Findings(ctx)
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range found {
				if !slices.Contains([]string{"moves-in-time", "moved-data-kept", "moved-data-erased"}, f.Check) {
					continue
				}
				if want := f.Check == k.wrong; f.Looked != 1 || (f.Verdict == compliance.Broken) != want || want && !strings.Contains(f.Examples[0], "c-1: ") || want && !strings.Contains(f.Examples[0], k.says) {
					t.Errorf("%s: %+v", name, f)
				}
			}
		}
		registers, err := o.Registers(ctx, o.who)
		if err != nil || len(registers.Moves) != 1 {
			t.Errorf("%+v, %v", registers, err)
		}
	})
}

// TestDataActApplies: the articles bind who hosts, and nobody else.
func TestDataActApplies(t *testing.T) {
	o := newOffice(t, dbtest.SQLite(t))
	list, err := o.Desk.Articles(ctx, o.who)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, a := range list {
		if a.Law == "Data Act" {
			if n++; a.Applies {
				t.Errorf("%s binds an intermediary that hosts nobody", a)
			}
		}
	}
	if n == 0 {
		t.Error("the Data Act has no articles")
	}
}
