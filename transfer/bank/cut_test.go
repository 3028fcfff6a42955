package bank_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/passerelle-cloud/passerelle/formats"
	"github.com/passerelle-cloud/passerelle/internal/dbtest"
	"github.com/passerelle-cloud/passerelle/internal/sqldb"
	"github.com/passerelle-cloud/passerelle/operators/bank/banktest"
	"github.com/passerelle-cloud/passerelle/transfer/bank"
)

func TestOneAtATime(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		r := newRig(t, db, banktest.Config{})
		c := r.connect(banktest.Anne)
		var wg sync.WaitGroup
		var mu sync.Mutex
		through, busy := 0, 0
		for range 6 {
			wg.Go(func() {
				_, err := r.banks.Refresh(t.Context(), "alice", c.ID, r.presence(), nil)
				mu.Lock()
				defer mu.Unlock()
				switch {
				case err == nil:
					through++
				case errors.Is(err, bank.ErrBusy):
					busy++
				default:
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if through < 1 || through+busy != 6 {
			t.Errorf("%d came through, %d did not", through, busy)
		}
		if _, n := r.records(); n != r.real(banktest.Anne) {
			t.Errorf("%d operations, not %d", n, r.real(banktest.Anne))
		}
	})
}

// TestCutAnywhere stops a refresh at each of its steps, as if the process had died; the next one finds everything.
func TestCutAnywhere(t *testing.T) {
	r := newRig(t, dbtest.SQLite(t), banktest.Config{PageSize: 200})
	c := r.connect(banktest.Anne)
	steps := 0
	for at := 1; ; at++ {
		ctx, die := context.WithCancel(t.Context())
		n := 0
		options := r.options
		options.Queue = nil
		step := func() {
			if n++; n == at {
				die()
			}
		}
		options.Home.Change = func(ctx context.Context, person string, ids []string, become func(map[string]formats.Record) ([]formats.Record, error)) error {
			step()
			err := r.change(context.WithoutCancel(ctx), person, ids, become)
			step()
			return errors.Join(err, ctx.Err())
		}
		banks, err := bank.Open(t.Context(), options)
		if err != nil {
			t.Fatal(err)
		}
		_, err = banks.Refresh(ctx, "alice", c.ID, r.presence(), func(bank.Progress) { step() })
		die()
		if err == nil {
			steps = at
			break
		}
		if !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
	}
	if a, n := r.records(); a != 2 || n != r.real(banktest.Anne) || steps < 8 {
		t.Errorf("after %d steps there are %d accounts and %d operations, not %d", steps, a, n, r.real(banktest.Anne))
	}
}

// TestDisconnectedMeanwhile: somebody who disconnects while their bank is read is obeyed before the next page.
func TestDisconnectedMeanwhile(t *testing.T) {
	r := newRig(t, dbtest.SQLite(t), banktest.Config{PageSize: 20})
	c := r.connect(banktest.Anne)
	pages := 0
	got, err := r.banks.Refresh(t.Context(), "alice", c.ID, r.presence(), func(p bank.Progress) {
		if pages++; pages == 3 {
			if err := r.banks.Disconnect(t.Context(), "alice", c.ID); err != nil {
				t.Error(err)
			}
		}
	})
	if pages > 5 || !errors.Is(err, bank.ErrState) && (err != nil || got.State != bank.Disconnected) { // the bank said so first
		t.Errorf("after %d pages: %+v, %v", pages, got, err)
	}
	if _, n := r.records(); n != 0 {
		t.Errorf("%d operations of half an account", n)
	}
	if got, err = r.banks.Connection(t.Context(), "alice", c.ID); err != nil || got.State != bank.Disconnected {
		t.Errorf("%+v %v", got, err)
	}
}

// TestWhatADeadProcessHeld: a process that died had the connection, until it is sure that it died.
func TestWhatADeadProcessHeld(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		r := newRig(t, db, banktest.Config{})
		c := r.connect(banktest.Anne)
		hold := func(until time.Time) {
			if _, err := db.Write.Exec(`UPDATE bank_connection SET leased = $1, holder = 'dead'`, until.UnixMicro()); err != nil {
				t.Fatal(err)
			}
		}
		hold(time.Now().Add(time.Minute))
		if _, err := r.banks.Refresh(t.Context(), "alice", c.ID, r.presence(), nil); !errors.Is(err, bank.ErrBusy) {
			t.Error(err)
		}
		if _, err := r.banks.Wake(t.Context()); err != nil {
			t.Fatal(err)
		}
		_, err := r.banks.Refresh(t.Context(), "alice", c.ID, r.presence(), nil)
		if free := !errors.Is(err, bank.ErrBusy); free != db.Embedded() {
			t.Errorf("after a start: %v", err)
		}
		hold(time.Now().Add(-time.Second))
		r.refresh(c, r.presence())
	})
}

// TestTheBankIsToldInTheEnd: a bank that does not hear that a connection has ended is told again.
func TestTheBankIsToldInTheEnd(t *testing.T) {
	r := newRig(t, dbtest.SQLite(t), banktest.Config{})
	c := r.connect(banktest.Anne)
	if err := r.bank.Break(banktest.Fault{Kind: banktest.StatusCode, Status: 503, Method: "DELETE"}); err != nil {
		t.Fatal(err)
	}
	if err := r.banks.Disconnect(t.Context(), "alice", c.ID); err != nil {
		t.Fatal(err)
	}
	got, err := r.banks.Connection(t.Context(), "alice", c.ID)
	if err != nil || got.State != bank.Ending || got.Trouble != bank.BankDown || got.Due.Before(time.Now().Add(14*time.Minute)) {
		t.Fatalf("%+v %v", got, err)
	}
	if _, err := r.banks.Refresh(t.Context(), "alice", c.ID, nil, nil); !errors.Is(err, bank.ErrState) {
		t.Errorf("it is read all the same: %v", err)
	}
	r.bank.Mend()
	if err := r.banks.Disconnect(t.Context(), "alice", c.ID); err != nil {
		t.Fatal(err)
	}
	if got, err = r.banks.Connection(t.Context(), "alice", c.ID); err != nil || got.State != bank.Disconnected || r.bank.ConsentStatus(c.Consent) != "terminatedByTpp" {
		t.Errorf("%+v %v", got, err)
	}
}
