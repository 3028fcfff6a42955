package bank_test

import (
	"errors"
	"testing"
	"time"

	"github.com/passerelle-cloud/passerelle/internal/dbtest"
	"github.com/passerelle-cloud/passerelle/internal/sqldb"
	atbank "github.com/passerelle-cloud/passerelle/operators/bank"
	"github.com/passerelle-cloud/passerelle/operators/bank/banktest"
	"github.com/passerelle-cloud/passerelle/transfer/bank"
)

// asked counts the refreshes that persons asked for.
func (r *rig) asked() int {
	r.t.Helper()
	return r.rows(`SELECT count(*) FROM river_job WHERE kind = $1`, string(bank.Asked))
}

// TestWhoComesBackFromTheBankIsRead reads at once what a bank gives to somebody who was just there, and says meanwhile that it
// does.
func TestWhoComesBackFromTheBankIsRead(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		r := newRig(t, db, banktest.Config{})
		id := r.connect(banktest.Anne).ID
		if c, err := r.banks.Connection(t.Context(), "alice", id); err != nil || !c.Busy || r.asked() != 1 {
			t.Fatalf("%d asked, %+v, %v", r.asked(), c, err)
		}
		if err := r.banks.Ask(t.Context(), "alice", id, r.presence().Presence); !errors.Is(err, bank.ErrBusy) {
			t.Errorf("asked again: %v", err)
		}
		r.works(func() bool {
			c, err := r.banks.Connection(t.Context(), "alice", id)
			return err == nil && !c.Refreshed.IsZero() && !c.Busy
		})
		if _, n := r.records(); n != r.real(banktest.Anne) {
			t.Errorf("%d operations", n)
		}
		if err := r.banks.Ask(t.Context(), "alice", id, r.presence().Presence); err != nil {
			t.Errorf("asked later: %v", err)
		}
		if err := r.banks.Ask(t.Context(), "bob", id, r.presence().Presence); !errors.Is(err, bank.ErrNotFound) {
			t.Errorf("asked by somebody else: %v", err)
		}
		if err := r.banks.Disconnect(t.Context(), "alice", id); err != nil {
			t.Fatal(err)
		}
		if err := r.banks.Ask(t.Context(), "alice", id, r.presence().Presence); !errors.Is(err, bank.ErrState) {
			t.Errorf("asked of what is disconnected: %v", err)
		}
	})
}

// TestWhoIsInTheAppIsNotRead looks again and again how far somebody is who authenticates again in their bank's app: nothing is
// read for that, until they are through.
func TestWhoIsInTheAppIsNotRead(t *testing.T) {
	r := newRig(t, dbtest.SQLite(t), banktest.Config{Approach: banktest.Decoupled}, func(p *atbank.Profile) { p.SCA.Approach = atbank.Decoupled })
	step := r.ask()
	agrees := func() {
		t.Helper()
		for _, c := range r.bank.Consents() {
			if c.Status != "received" {
				continue
			}
			if err := r.bank.Authorise(c.ID, banktest.Anne); err != nil {
				t.Fatal(err)
			}
		}
	}
	look := func(want int) {
		t.Helper()
		if _, err := r.banks.Look(t.Context(), "alice", step.Connection, r.presence().Presence); err != nil {
			t.Fatal(err)
		}
		if n := r.asked(); n != want {
			t.Errorf("%d refreshes were asked for, want %d", n, want)
		}
	}
	look(0)
	agrees()
	look(1)
	if _, err := r.banks.Again(t.Context(), "alice", step.Connection, time.Now().AddDate(0, 3, 0), r.presence().Presence); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		look(1)
	}
	agrees()
	look(2)
}
