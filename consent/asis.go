package consent

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/passerelle-cloud/passerelle/consent/ledger"
)

// AsIs reports whether a person wants services to get their records as they are kept, and not converted into other formats
// (DGA article 12(d): data subjects are offered to opt out of conversions).
func (a *Authority) AsIs(ctx context.Context, person string) (bool, error) {
	var one int
	err := a.db.Read.QueryRowContext(ctx, `SELECT 1 FROM consent_as_is WHERE person = $1`, person).Scan(&one)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("look whether conversions are wanted: %w", err)
	}
	return true, nil
}

// SetAsIs says whether services get a person's records only as they are kept. It is logged.
func (a *Authority) SetAsIs(ctx context.Context, person string, asIs bool) error {
	statement, what := `INSERT INTO consent_as_is (person) VALUES ($1) ON CONFLICT DO NOTHING`, "conversions.refused"
	if !asIs {
		statement, what = `DELETE FROM consent_as_is WHERE person = $1`, "conversions.allowed"
	}
	_, err := a.ledger.Commit(ctx, func(tx *sql.Tx) ([]ledger.Event, error) {
		result, err := tx.ExecContext(ctx, statement, person)
		if err != nil {
			return nil, err
		}
		if n, err := result.RowsAffected(); err != nil || n == 0 { // it is so already
			return nil, err
		}
		return []ledger.Event{{Person: person, Class: ledger.Decision, Type: what}}, nil
	})
	if err != nil {
		return fmt.Errorf("set whether conversions are wanted: %w", err)
	}
	return nil
}
