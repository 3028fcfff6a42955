package consent

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/passerelle-cloud/passerelle/consent/ledger"
	"github.com/passerelle-cloud/passerelle/internal/strict"
)

// Agreed is how often a service may read payment accounts without the person: more often than the law says, because the operator,
// as the bank, and the service agreed on it (RTS article 36(5)(b)). The person's consent to it is what they were told of how
// often the service reads.
type Agreed struct {
	Runs  int    // within 24 hours; 0: on nothing was agreed
	Where string // it is written
}

// The least that is more than the law says, and as many runs as there can be.
const (
	leastAgreed = 5
	mostAgreed  = int(24 * time.Hour / runTime)
)

// Agree records what the operator and a service agreed on; no runs: that they do not any more. It holds from the next access on,
// and until the service's legal name or registrations change, since it was agreed on with somebody. The error wraps
// [ErrRequest], [ErrState] where the operator keeps no accounts, or [ErrNotFound].
func (a *Authority) Agree(ctx context.Context, service string, to Agreed) error {
	if err := to.check(); err != nil {
		return err
	}
	if to.Runs > 0 && !slices.Contains(a.operator.Roles, "aspsp") {
		return fmt.Errorf("%w: only an operator that keeps accounts agrees on that with a service; one that does declares the role aspsp in operator.json", ErrState)
	}
	_, err := a.ledger.Commit(ctx, func(tx *sql.Tx) ([]ledger.Event, error) {
		return a.agree(ctx, tx, service, to)
	})
	if err != nil {
		return fmt.Errorf("agree on a frequency: %w", err)
	}
	return nil
}

func (to *Agreed) check() error {
	switch {
	case to.Runs == 0:
		to.Where = ""
	case to.Runs < leastAgreed || to.Runs > mostAgreed:
		return fmt.Errorf("%w: runs is a number from %d to %d: four a day need no agreement, and a run lasts a quarter of an hour", ErrRequest, leastAgreed, mostAgreed)
	case to.Where == "" || len(to.Where) > 1000 || !strict.IsLine(to.Where):
		return fmt.Errorf("%w: agreement is one line of 1 to 1000 bytes that says where it is written", ErrRequest)
	}
	return nil
}

func (a *Authority) agree(ctx context.Context, tx *sql.Tx, service string, to Agreed) ([]ledger.Event, error) {
	result, err := tx.ExecContext(ctx, `UPDATE consent_service SET agreed = $2, agreement = $3, version = version + 1, changed = $4 WHERE id = $1`, service, to.Runs, to.Where, micro(a.now()))
	if err != nil {
		return nil, err
	}
	if n, err := result.RowsAffected(); err != nil || n == 0 {
		return nil, errors.Join(err, fmt.Errorf("the service %.100q: %w", service, ErrNotFound))
	}
	return conduct("service.frequency", service, fmt.Sprintf("%d %s", to.Runs, to.Where)), nil
}

// part ends what was agreed on where a registration becomes that of somebody else.
func (a *Authority) part(ctx context.Context, tx *sql.Tx, s *Service) ([]ledger.Event, error) {
	before, err := a.services.get(ctx, tx, s.ID)
	switch {
	case errors.Is(err, ErrNotFound):
		return nil, nil
	case err != nil:
		return nil, err
	case before.Agreed.Runs == 0 || before.LegalName == s.LegalName && slices.Equal(before.Registrations, s.Registrations):
		return nil, nil
	}
	return a.agree(ctx, tx, s.ID, Agreed{})
}
