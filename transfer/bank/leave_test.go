package bank_test

import (
	"context"
	"database/sql"
	"errors"
	"testing"
	"time"

	"github.com/passerelle-cloud/passerelle/internal/dbtest"
	"github.com/passerelle-cloud/passerelle/internal/sqldb"
	"github.com/passerelle-cloud/passerelle/operators/bank/banktest"
	"github.com/passerelle-cloud/passerelle/transfer/bank"
)

// works has the queue work until something is so.
func (r *rig) works(so func() bool) {
	r.t.Helper()
	ctx, stop := context.WithCancel(r.t.Context())
	done := make(chan error, 1)
	go func() { done <- r.queue.Run(ctx) }()
	for end := time.Now().Add(30 * time.Second); !so(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			r.t.Error("the queue works in vain")
			break
		}
	}
	stop()
	if err := <-done; err != nil && !errors.Is(err, context.Canceled) {
		r.t.Error(err)
	}
}

// rows counts those that a query finds.
func (r *rig) rows(query string, args ...any) (n int) {
	r.t.Helper()
	if err := r.db.Read.QueryRowContext(r.t.Context(), query, args...).Scan(&n); err != nil {
		r.t.Fatal(err)
	}
	return n
}

// TestEndAll ends everything in the transaction in which a person goes, or nothing of it, and tells the bank afterwards.
func TestEndAll(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		r := newRig(t, db, banktest.Config{})
		c := r.refresh(r.connect(banktest.Anne), r.presence())
		stays := errors.New("they stay")
		for _, ends := range []error{stays, nil} {
			err := db.Tx(t.Context(), func(tx *sql.Tx) error { return errors.Join(r.banks.EndAll(t.Context(), tx, "alice"), ends) })
			if !errors.Is(err, ends) {
				t.Fatal(err)
			}
			got, err := r.banks.Connection(t.Context(), "alice", c.ID)
			if err != nil || (got.State == bank.Ending) != (ends == nil) {
				t.Fatalf("%v: %+v %v", ends, got, err)
			}
			if status := r.bank.ConsentStatus(c.Consent); status != "valid" {
				t.Errorf("%v: the bank was told within the transaction: %s", ends, status)
			}
		}
		if _, err := r.banks.Refresh(t.Context(), "alice", c.ID, r.presence(), nil); !errors.Is(err, bank.ErrState) {
			t.Errorf("it is still read: %v", err)
		}
		r.works(func() bool { return r.bank.ConsentStatus(c.Consent) == "terminatedByTpp" })
	})
}

// TestForgotten forgets somebody whose bank was not told, as a process does that knows neither banks nor keys. The next gateway tells
// the bank, and then nothing is left.
func TestForgotten(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		r := newRig(t, db, banktest.Config{})
		c := r.refresh(r.connect(banktest.Anne), r.presence())
		gone := r.connect(banktest.David)
		if err := r.banks.Disconnect(t.Context(), "alice", gone.ID); err != nil {
			t.Fatal(err)
		}
		plain, err := bank.Open(t.Context(), bank.Options{DB: db})
		if err != nil {
			t.Fatal(err)
		}
		if err := plain.Forget(t.Context(), "alice"); err != nil {
			t.Fatal(err)
		}
		if n := r.rows(`SELECT count(*) FROM bank_account`) + r.rows(`SELECT count(*) FROM bank_operation`) + r.rows(`SELECT count(*) FROM bank_connection WHERE person <> '' OR detail LIKE '%overview%' OR id = $1`, gone.ID); n != 0 {
			t.Errorf("%d rows are left", n)
		}
		if n, err := r.banks.Wake(t.Context()); err != nil || n != 1 {
			t.Fatal(n, err)
		}
		r.works(func() bool { return r.rows(`SELECT count(*) FROM bank_connection`) == 0 })
		if status := r.bank.ConsentStatus(c.Consent); status != "terminatedByTpp" {
			t.Errorf("at the bank the consent is %s", status)
		}
	})
}

// TestForgottenAndUnreachable gives up telling a bank that is not there any more.
func TestForgottenAndUnreachable(t *testing.T) {
	r := newRig(t, dbtest.SQLite(t), banktest.Config{})
	c := r.connect(banktest.Anne)
	r.server.Close()
	if err := r.banks.Forget(t.Context(), "alice"); err != nil {
		t.Fatal(err)
	}
	told := 0
	for ; told < 100 && r.rows(`SELECT count(*) FROM bank_connection`) > 0; told++ {
		if err := r.banks.Tell(t.Context(), c.ID); err == nil {
			t.Fatal("it was told")
		}
	}
	if told < 10 || told > 30 {
		t.Errorf("it was told %d times", told)
	}
}
