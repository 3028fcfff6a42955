package bank_test

import (
	"context"
	"slices"
	"testing"

	"github.com/passerelle-cloud/passerelle/internal/dbtest"
	"github.com/passerelle-cloud/passerelle/operators/bank/banktest"
	"github.com/passerelle-cloud/passerelle/transfer/bank"
)

// TestReadIsTold: whoever makes sense of what was read is told when there is something, and not when the bank was down.
func TestReadIsTold(t *testing.T) {
	r := newRig(t, dbtest.SQLite(t), banktest.Config{})
	var told []string
	options := r.options
	options.Read = func(_ context.Context, person string) error {
		told = append(told, person)
		return nil
	}
	var err error
	if r.banks, err = bank.Open(t.Context(), options); err != nil {
		t.Fatal(err)
	}
	c := r.connect(banktest.Anne)
	if _, err := r.banks.Discover(t.Context(), "alice", c.ID, r.presence()); err != nil || len(told) != 0 {
		t.Fatal(told, err)
	}
	r.refresh(c, r.presence())
	if err := r.bank.Break(banktest.Fault{Kind: banktest.StatusCode, Status: 503}); err != nil {
		t.Fatal(err)
	}
	if got := r.refresh(c, r.presence()); got.Trouble != bank.BankDown || !slices.Equal(told, []string{"alice"}) {
		t.Errorf("%s, told of %v", got.Trouble, told)
	}
}
