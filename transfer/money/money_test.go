package money_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/passerelle-cloud/passerelle/formats"
	"github.com/passerelle-cloud/passerelle/formats/reconcile"
	"github.com/passerelle-cloud/passerelle/internal/dbtest"
	"github.com/passerelle-cloud/passerelle/internal/jobs"
	"github.com/passerelle-cloud/passerelle/internal/sqldb"
	"github.com/passerelle-cloud/passerelle/operators"
	"github.com/passerelle-cloud/passerelle/operators/example"
	"github.com/passerelle-cloud/passerelle/operators/home"
	"github.com/passerelle-cloud/passerelle/transfer"
	"github.com/passerelle-cloud/passerelle/transfer/money"
)

const alice = "alice"

// gateway is what money needs, with a person whose clock stands.
type gateway struct {
	*money.Money
	t     *testing.T
	db    *sqldb.DB
	home  *home.Home
	alice *home.Instance
	queue *jobs.Queue
	now   time.Time
	// before is called before records are written.
	before func(list []operators.Rewrite)
}

func newGateway(t *testing.T, db *sqldb.DB, from operators.Source) *gateway {
	t.Helper()
	g := &gateway{t: t, db: db, now: time.Date(2026, 11, 2, 9, 0, 0, 0, time.UTC), before: func([]operators.Rewrite) {}}
	var err error
	if g.home, err = home.Open(t.Context(), db, filepath.Join(t.TempDir(), "blobs")); err != nil {
		t.Fatal(err)
	}
	g.alice = g.person(alice, from)
	if g.queue, err = jobs.New(t.Context(), db, jobs.Config{Poll: 50 * time.Millisecond}); err != nil {
		t.Fatal(err)
	}
	g.Money, err = money.Open(t.Context(), db, g.queue, money.Options{Rules: reconcile.RulesFor, Country: "FR", Every: 100 * time.Millisecond, Now: func() time.Time { return g.now },
		Persons: func(context.Context) ([]string, error) { return []string{alice, "gone"}, nil },
		Instance: func(ctx context.Context, person string) (money.Instance, error) {
			i, err := g.home.Instance(ctx, person)
			if err != nil {
				return money.Instance{}, err
			}
			return money.Instance{Reader: i.Reader(), Rewrite: func(ctx context.Context, list []operators.Rewrite) (int, error) {
				g.before(list)
				return i.Rewrite(ctx, list)
			}}, nil
		}})
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// person makes an instance that holds what a source does.
func (g *gateway) person(name string, from operators.Source) *home.Instance {
	g.t.Helper()
	i, err := g.home.Create(g.t.Context(), name, home.Options{})
	if err != nil {
		g.t.Fatal(err)
	}
	if from != nil {
		if _, err := (transfer.Copy{Source: from, Target: i.Target()}).Run(g.t.Context()); err != nil {
			g.t.Fatal(err)
		}
	}
	return i
}

func (g *gateway) put(records ...formats.Record) {
	g.t.Helper()
	for _, r := range records {
		err := g.alice.Revise(g.t.Context(), r.Dataset, r.ID, nil, func(context.Context, *home.Sight, *formats.Record) ([]formats.Record, error) {
			return []formats.Record{r}, nil
		})
		if err != nil {
			g.t.Fatal(err)
		}
	}
}

func (g *gateway) run() money.Ran {
	g.t.Helper()
	ran, err := g.Run(g.t.Context(), alice)
	if err != nil {
		g.t.Fatal(err)
	}
	return ran
}

// kinds are the records of a kind.
func (g *gateway) kinds(i *home.Instance, kind formats.Kind) (list []formats.Record) {
	g.t.Helper()
	for _, d := range formats.Datasets() {
		for line, err := range i.Reader().Dataset(g.t.Context(), d, "") {
			if err != nil {
				g.t.Fatal(err)
			}
			r, err := line.Parse()
			if err != nil {
				g.t.Fatal(err)
			}
			if r.Kind == kind {
				if err := formats.CheckBody(kind, r.Body); err != nil {
					g.t.Error(err)
				}
				list = append(list, r)
			}
		}
	}
	return list
}

func record(t *testing.T, d formats.Dataset, kind formats.Kind, id string, body any, links ...formats.Link) formats.Record {
	t.Helper()
	text, err := formats.MarshalBody(body)
	if err != nil {
		t.Fatal(err)
	}
	return formats.Record{ID: id, Dataset: d, Kind: kind, Body: text, Links: links}
}

func operation(t *testing.T, id, date, amount, category, text string) formats.Record {
	return record(t, formats.Bank, formats.KindOperation, id, formats.BankOperation{BookingDate: date, TransactionAmount: formats.Amount{Currency: "EUR", Amount: formats.Decimal(amount)}, Category: category, Remittance: text})
}

func bill(t *testing.T, id, date, amount, issuer string) formats.Record {
	return record(t, formats.Bills, formats.KindBill, id, formats.Bill{Issuer: issuer, Date: date, Amount: formats.Amount{Currency: "EUR", Amount: formats.Decimal(amount)}})
}

func refund(t *testing.T, id, date, amount, paid, on, issuer string) formats.Record {
	return record(t, formats.Health, formats.KindBill, id, formats.Bill{Issuer: issuer, Date: date, Amount: formats.Amount{Currency: "EUR", Amount: formats.Decimal(amount)}, Refund: true, Category: "health_costs",
		OriginalDate: on, OriginalAmount: &formats.Amount{Currency: "EUR", Amount: formats.Decimal(paid)}})
}

// invented is the invented person's source.
func invented(t *testing.T) operators.Source {
	source := example.Person(7, example.Scale{Files: 3, Bytes: 20_000, Months: 6, Contacts: 2})
	t.Cleanup(func() { source.Close() })
	return source
}

// A run that changes nothing writes nothing, and what was found goes along where everything goes.
func TestRunsAgain(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		g := newGateway(t, db, invented(t))
		first := g.run()
		matches := g.kinds(g.alice, formats.KindMatch)
		if first.Linked == 0 || first.Linked+first.Proposed != len(matches) || first.Written < len(matches) {
			t.Fatalf("%+v, and %d matches", first, len(matches))
		}
		for _, m := range matches {
			if b := m.Links[0]; b.Dataset != m.Dataset {
				t.Errorf("the match %s of a bill of %s is in %s", m.ID, b.Dataset, m.Dataset)
			}
		}
		at, err := g.alice.Reader().Position(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if again := g.run(); again.Written != 0 || again.Linked != first.Linked {
			t.Errorf("again: %+v, not %+v with nothing written", again, first)
		}
		if now, err := g.alice.Reader().Position(t.Context()); err != nil || now != at {
			t.Errorf("position %d, then %d, %v", at, now, err)
		}
		source := g.alice.Source()
		defer source.Close()
		g.person("bob", source)
		if ran, err := g.Run(t.Context(), "bob"); err != nil || ran.Written != 0 || ran.Linked != first.Linked {
			t.Errorf("elsewhere: %+v, %v", ran, err)
		}
	})
}

// What the person says is so, run after run, until they take it back.
func TestCorrectionsStick(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		g := newGateway(t, db, nil)
		g.put(operation(t, "o1", "2026-10-10", "-20.00", "", "CB FALBALA"), operation(t, "o2", "2026-10-28", "-20.00", "", "CB FALBALA"), operation(t, "o3", "2026-10-11", "-7.00", "", "RETRAIT"), bill(t, "b1", "2026-10-10", "20.00", "Falbala"))
		g.run()
		at := func(operation string, verdict reconcile.Verdict) reconcile.Correction {
			return reconcile.Correction{Bill: reconcile.Ref{Dataset: formats.Bills, ID: "b1"}, Operation: operation, Role: reconcile.Debit, Verdict: verdict}
		}
		for _, step := range []struct {
			say  reconcile.Correction
			want string
		}{
			{at("o1", reconcile.Confirmed), "o1 linked confirmed"},
			{at("o1", reconcile.Rejected), "o1 rejected rejected, o2 linked "},
			{at("o3", reconcile.ByHand), "o1 rejected rejected, o3 linked hand"},
			{at("o3", money.TakenBack), "o1 rejected rejected, o2 linked "},
			{at("o1", money.TakenBack), "o1 linked "},
		} {
			if err := g.Correct(t.Context(), alice, step.say); err != nil {
				t.Fatal(err)
			}
			if again := g.run(); again.Written != 0 {
				t.Errorf("after %+v another run writes %d", step.say, again.Written)
			}
			if got := g.said(); got != step.want {
				t.Errorf("after %s %s: %s, not %s", step.say.Operation, step.say.Verdict, got, step.want)
			}
		}
		for name, c := range map[string]reconcile.Correction{"no such bill": {Bill: reconcile.Ref{Dataset: formats.Bills, ID: "x"}, Operation: "o1", Role: reconcile.Debit, Verdict: reconcile.ByHand},
			"no such operation": at("x", reconcile.ByHand), "an operation as a bill": {Bill: reconcile.Ref{Dataset: formats.Bank, ID: "o1"}, Operation: "o1", Role: reconcile.Debit, Verdict: reconcile.ByHand},
			"the other way": {Bill: at("o1", "").Bill, Operation: "o1", Role: reconcile.Credit, Verdict: reconcile.ByHand}, "nothing to confirm": at("o3", reconcile.Confirmed)} {
			if err := g.Correct(t.Context(), alice, c); !errors.Is(err, money.ErrNoSuch) {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
}

func (g *gateway) said() string {
	var list []string
	for _, r := range g.kinds(g.alice, formats.KindMatch) {
		m, err := formats.BodyAs[formats.Match](r)
		if err != nil {
			g.t.Fatal(err)
		}
		list = append(list, fmt.Sprintf("%s %s %s", r.Links[1].ID, m.State, m.Verdict))
	}
	slices.Sort(list)
	text := ""
	for i, s := range list {
		if i > 0 {
			text += ", "
		}
		text += s
	}
	return text
}

// What a person says while a run is under way is not overwritten by it.
func TestRunsDoNotOverwriteThePerson(t *testing.T) {
	g := newGateway(t, dbtest.SQLite(t), nil)
	g.put(operation(t, "o1", "2026-10-10", "-20.00", "", "CB FALBALA"), bill(t, "b1", "2026-10-10", "20.00", "Falbala"))
	g.run()
	g.put(operation(t, "o1", "2026-10-12", "-20.00", "", "CB FALBALA")) // its match changes
	said := false
	g.before = func([]operators.Rewrite) {
		if said {
			return
		}
		said = true
		g.before = func([]operators.Rewrite) {}
		if err := g.Correct(t.Context(), alice, reconcile.Correction{Bill: reconcile.Ref{Dataset: formats.Bills, ID: "b1"}, Operation: "o1", Role: reconcile.Debit, Verdict: reconcile.Rejected}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := g.Run(t.Context(), alice); !errors.Is(err, money.ErrMeanwhile) {
		t.Errorf("the run does not notice: %v", err)
	}
	g.run()
	if got := g.said(); got != "o1 rejected rejected" {
		t.Error(got)
	}
}

// waiting are records of a person whose insurers refund, and of one expense of which nobody has said anything.
func (g *gateway) waiting() {
	g.put(operation(g.t, "o1", "2026-07-05", "-30.00", "400610", "CB DR KORBEL"), operation(g.t, "o2", "2026-07-12", "19.00", "400620", "VIR CPAM"),
		operation(g.t, "o3", "2026-08-05", "-30.00", "400610", "CB DR KORBEL"), operation(g.t, "o4", "2026-08-12", "19.00", "400620", "VIR CPAM"),
		operation(g.t, "o5", "2026-10-01", "-50.00", "400610", "CB DENTISTE"), operation(g.t, "o6", "2026-10-30", "-5.00", "", "CB GASTON"),
		refund(g.t, "r1", "2026-07-11", "19.00", "30.00", "2026-07-05", "Ameli"), refund(g.t, "r2", "2026-08-11", "19.00", "30.00", "2026-08-05", "Ameli"))
}

// An alert is raised once. It is not raised again when it was dismissed, and ends when the money came.
func TestAlerts(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		g := newGateway(t, db, nil)
		g.waiting()
		if ran := g.run(); ran.Alerts != 1 {
			t.Fatalf("%+v", ran)
		}
		overdue, err := g.Overdue(t.Context(), alice)
		text, _ := json.Marshal(overdue)
		if err != nil || string(text) != `{"as_of":"2026-11-02","count":1,"amounts":[{"currency":"EUR","amount":"50.00"}]}` {
			t.Errorf("%s, %v", text, err)
		}
		g.now = g.now.AddDate(0, 0, 1)
		if ran := g.run(); ran.Alerts != 1 || ran.Written != 0 {
			t.Errorf("the next day: %+v", ran)
		}
		alerts := g.kinds(g.alice, formats.KindAlert)
		if len(alerts) != 1 || alerts[0].Dataset != formats.Health {
			t.Fatalf("%+v", alerts)
		}
		for i, want := range []int{0, 0} {
			if err := g.Dismiss(t.Context(), alice, alerts[0].ID); err != nil {
				t.Fatal(err)
			}
			if n, err := g.Waiting(t.Context(), alice); err != nil || n != want {
				t.Errorf("dismissed %d times, %d wait, %v", i+1, n, err)
			}
		}
		if ran := g.run(); ran.Alerts != 0 || ran.Written != 0 {
			t.Errorf("dismissed: %+v", ran)
		}
		if overdue, err := g.Overdue(t.Context(), alice); err != nil || overdue.Count != 0 || len(overdue.Amounts) != 0 {
			t.Errorf("%+v, %v", overdue, err)
		}
		if err := g.Dismiss(t.Context(), alice, "r1"); !errors.Is(err, money.ErrNoSuch) {
			t.Errorf("a bill is dismissed: %v", err)
		}
	})
}

func TestAlertsEndWhenTheMoneyCame(t *testing.T) {
	g := newGateway(t, dbtest.SQLite(t), nil)
	g.waiting()
	g.run()
	g.put(refund(t, "r3", "2026-10-29", "35.00", "50.00", "2026-10-01", "Ameli"), operation(t, "o7", "2026-10-31", "35.00", "400620", "VIR CPAM"))
	if ran := g.run(); ran.Alerts != 0 {
		t.Errorf("%+v", ran)
	}
	a, err := formats.BodyAs[formats.Alert](g.kinds(g.alice, formats.KindAlert)[0])
	if err != nil || a.State != "settled" || a.Ended != "2026-11-02" || a.Raised != "2026-11-02" {
		t.Errorf("%+v, %v", a, err)
	}
}

// In the background what changed is looked through, and whoever leaves is forgotten.
func TestInTheBackground(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		g := newGateway(t, db, nil)
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- g.queue.Run(ctx) }()
		watched := make(chan struct{})
		go func() { g.Watch(ctx, slog.New(slog.DiscardHandler)); close(watched) }()
		defer func() { stop(); <-ended; <-watched }()
		g.put(operation(t, "o1", "2026-10-10", "-20.00", "", "CB FALBALA"), bill(t, "b1", "2026-10-10", "20.00", "Falbala"))
		for until := time.Now().Add(30 * time.Second); g.said() != "o1 linked "; time.Sleep(20 * time.Millisecond) {
			if time.Now().After(until) {
				t.Fatalf("nothing happens: %q", g.said())
			}
		}
		if err := g.Forget(t.Context(), alice); err != nil {
			t.Fatal(err)
		}
	})
}

// While nothing can be written, as during a move, nothing is, and nothing fails for good.
func TestReadOnly(t *testing.T) {
	g := newGateway(t, dbtest.SQLite(t), nil)
	g.put(operation(t, "o1", "2026-10-10", "-20.00", "", "CB FALBALA"), bill(t, "b1", "2026-10-10", "20.00", "Falbala"))
	if err := g.alice.SetReadOnly(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	if _, err := g.Run(t.Context(), alice); !errors.Is(err, operators.ErrReadOnly) {
		t.Errorf("%v", err)
	}
	if _, err := g.Run(t.Context(), "nobody"); !errors.Is(err, operators.ErrNotFound) {
		t.Errorf("%v", err)
	}
}
