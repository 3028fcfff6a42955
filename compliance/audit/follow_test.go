package audit_test

import (
	"database/sql"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/passerelle-cloud/passerelle/compliance/audit"
	"github.com/passerelle-cloud/passerelle/consent"
	"github.com/passerelle-cloud/passerelle/consent/ledger"
	"github.com/passerelle-cloud/passerelle/formats"
	"github.com/passerelle-cloud/passerelle/internal/dbtest"
	"github.com/passerelle-cloud/passerelle/internal/sqldb"
)

// TestEvidenceOfAMove: a supervisor sees where a consent was given that stands here, and where one went that stood here.
func TestEvidenceOfAMove(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		a := newGateway(t, dbtest.SQLite(t), func(o *consent.Options) { o.Operator.ID = "a.example" })
		b := newGateway(t, db)
		c := a.Grant(t, "reader", "alice")
		a.read(t, c, "aa11")
		list, err := a.Followable(t.Context(), "alice", 10)
		if err != nil {
			t.Fatal(err)
		}
		given := time.Now()
		commit(t, a, func(tx *sql.Tx) ([]ledger.Event, error) {
			return a.Leave(ctx, tx, consent.Leaving{Person: "alice", Move: "m1", Operator: "operator.example", Issuer: "https://b.example"})
		})
		list[0].Service.Keys = []string{"k1"}
		commit(t, b, func(tx *sql.Tx) ([]ledger.Event, error) {
			return b.Carry(ctx, tx, consent.Carrying{Person: "alice", Move: "m1", Operator: "a.example", Country: "FR", Known: true, Left: []consent.Left{{Grant: c.ID, Revision: 1}},
				Consents: []consent.Follower{{Following: list[0], Proven: true, Here: "reader", Keys: []string{"k1"}}}})
		})
		here := consent.Consent{ID: consent.GrantAt(c.ID, "m1", "operator.example"), Service: "reader", Person: "alice"}
		b.read(t, here, "bb22")
		moved := time.Now()

		there, err := open(a.bundle(t, "reader", c.ID), a.Trust)
		if err != nil {
			t.Fatal(err)
		}
		asks(t, there, given, true, "consent.granted")
		asks(t, there, moved, false, "consent.moved")
		came, err := open(b.bundle(t, "reader", here.ID), b.Trust)
		if err != nil {
			t.Fatal(err)
		}
		asks(t, came, moved, true, "consent.carried")
		if len(came.Accesses) != 1 || len(came.Uncovered()) != 0 {
			t.Errorf("accesses at B: %+v", came.Accesses)
		}
		detail := func(e ledger.ShownEvent) bool {
			return e.Fields[ledger.Type] == "consent.carried" && strings.Contains(e.Fields[ledger.Detail], c.ID) && strings.Contains(e.Fields[ledger.Detail], "a.example")
		}
		if !slices.ContainsFunc(came.Shown.Events, detail) {
			t.Error("the log of B does not say from where it came")
		}
	})
}

func commit(t *testing.T, g *gateway, do func(*sql.Tx) ([]ledger.Event, error)) {
	t.Helper()
	if _, err := g.Fixture.Ledger.Commit(t.Context(), do); err != nil {
		t.Fatal(err)
	}
}

// asks asks whether there was a consent at a time.
func asks(t *testing.T, p *audit.Proven, at time.Time, given bool, what string) {
	t.Helper()
	a, err := p.Answer(audit.Question{Dataset: formats.Contacts, At: at})
	if err != nil || a.Given != given || a.Step == nil || a.Step.What != what {
		t.Errorf("at %s: %+v, %v", at, a, err)
	}
}

// TestEvidenceOfWhatIsToBeConfirmed: what nobody has said yes to here is no consent, and is shown as what it is.
func TestEvidenceOfWhatIsToBeConfirmed(t *testing.T) {
	b := newGateway(t, dbtest.SQLite(t))
	c := newGateway(t, dbtest.SQLite(t)).Grant(t, "reader", "alice")
	said := consent.Following{Grant: c.ID, Revision: 1, State: consent.Given, Details: c.Details, Created: c.Created, Expires: c.Expires}
	commit(t, b, func(tx *sql.Tx) ([]ledger.Event, error) {
		return b.Carry(ctx, tx, consent.Carrying{Person: "alice", Move: "m1", Operator: "a.example", Country: "FR", Known: true, Left: []consent.Left{{Grant: c.ID, Revision: 1}},
			Consents: []consent.Follower{{Following: said, Here: "reader"}}})
	})
	came := time.Now()
	p, err := open(b.bundle(t, "reader", ""), b.Trust)
	if err != nil {
		t.Fatal(err)
	}
	asks(t, p, came, false, "consent.brought")
	if a, _ := p.Answer(audit.Question{At: came}); !strings.Contains(a.Text, "had not said yes") {
		t.Error(a.Text)
	}
}
