package consent

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/passerelle-cloud/passerelle/consent/ledger"
	"github.com/passerelle-cloud/passerelle/internal/sqldb"
)

// Erased is what became of what was kept of a person's decisions.
type Erased struct {
	Ended    int // consents that were valid, and ended first
	Consents int // deleted, with their revisions and notices
	Requests int // deleted
	Accesses int // deleted
	// Leaf is the last entry of the person in the log, which says no more than that they were forgotten; nil: there was
	// nothing in the log, or it was done before.
	Leaf *ledger.Logged
	// Until is when the rest can be deleted: what proves their consents is kept so long, and nothing else is. Zero: nothing is
	// kept. It is deleted then without being asked again.
	Until time.Time
}

// Erase ends all consents of a person, and deletes what is kept of their decisions: at once, or, where what proves them must
// be kept, when it need not be any more. The key to their entries in the log is destroyed. What broke off goes on when it is
// done again.
func (a *Authority) Erase(ctx context.Context, person string) (Erased, error) {
	var e Erased
	var err error
	if e.Ended, err = a.EndAll(ctx, person, "the person was erased"); err != nil {
		return e, err
	}
	if e.Until, err = a.retained(ctx, person); err != nil {
		return e, err
	}
	if !e.Until.IsZero() {
		return e, a.eraseLater(ctx, person, e.Until)
	}
	e.Leaf, err = a.ledger.Erase(ctx, person)
	if err != nil && !errors.Is(err, ledger.ErrUnknown) {
		return e, err
	}
	if a.erased != nil {
		if err := a.erased(ctx, person); err != nil {
			return e, err
		}
	}
	return e, a.deleteAll(ctx, person, &e)
}

// retained is until when a person cannot be forgotten; zero: they can be.
func (a *Authority) retained(ctx context.Context, person string) (time.Time, error) {
	for event, err := range a.ledger.Events(ctx, person) { // the newest knows it
		if errors.Is(err, ledger.ErrUnknown) {
			break
		}
		if err != nil {
			return time.Time{}, err
		}
		if event.Keep.After(a.now()) {
			return event.Keep, nil
		}
		break
	}
	return time.Time{}, nil
}

// Reserved is an error, which wraps [ErrTaken], where a name is that of a person of whom something is kept, also when they are
// gone: whoever had it next would see what they decided, and be erased with them.
func Reserved(ctx context.Context, db *sqldb.DB, name string) error {
	if err := migrate(ctx, db); err != nil {
		return err
	}
	var due, kept int64
	err := db.Read.QueryRowContext(ctx, `SELECT coalesce((SELECT due FROM consent_erasure WHERE person = $1), 0),
		(SELECT count(*) FROM consent_consent WHERE person = $1) + (SELECT count(*) FROM consent_request WHERE person = $1 AND person <> '')
		+ (SELECT count(*) FROM consent_retrieval WHERE person = $1)`, name).Scan(&due, &kept)
	switch {
	case err != nil:
		return fmt.Errorf("look whether a name is free: %w", err)
	case due > 0:
		return fmt.Errorf("%w: %q was somebody's who was erased, and of whom something must be kept until %s; choose another name", ErrTaken, name, fromMicro(due).Format(time.DateOnly))
	case kept > 0:
		return fmt.Errorf("%w: %q was somebody's whose decisions are kept as proof; choose another name, or erase them first (passerelle person erase); for the same person: passerelle person add --same-person", ErrTaken, name)
	}
	return nil
}

func (a *Authority) eraseLater(ctx context.Context, person string, due time.Time) error {
	_, err := a.ledger.Commit(ctx, func(tx *sql.Tx) ([]ledger.Event, error) {
		_, err := tx.ExecContext(ctx, `INSERT INTO consent_erasure (person, due) VALUES ($1, $2) ON CONFLICT (person) DO UPDATE SET due = excluded.due`, person, micro(due))
		return nil, err
	})
	if err != nil {
		return fmt.Errorf("note that a person is to be erased: %w", err)
	}
	return nil
}

// eraseDue erases those whose time has come.
func (a *Authority) eraseDue(ctx context.Context) error {
	due, err := a.ids(ctx, `SELECT person FROM consent_erasure WHERE due < $1 ORDER BY due LIMIT $2`, micro(a.now()), expireBatch)
	if err != nil {
		return err
	}
	for _, person := range due {
		if _, err := a.Erase(ctx, person); err != nil {
			return fmt.Errorf("erase a person whose time has come: %w", err)
		}
	}
	return nil
}

// deleteAll deletes all rows of a person.
func (a *Authority) deleteAll(ctx context.Context, person string, e *Erased) error {
	const consents = `(SELECT id FROM consent_consent WHERE person = $1)`
	none := 0
	_, err := a.ledger.Commit(ctx, func(tx *sql.Tx) ([]ledger.Event, error) {
		for _, d := range []struct {
			statement string
			count     *int
		}{
			{`DELETE FROM consent_notice WHERE request IN (SELECT id FROM consent_request WHERE person = $1) OR request IN ` + consents, &none},
			{`DELETE FROM consent_access WHERE consent IN ` + consents, &e.Accesses},
			{`DELETE FROM consent_pause WHERE consent IN ` + consents, &none},
			{`DELETE FROM consent_ending WHERE consent IN ` + consents, &none},
			{`DELETE FROM consent_revision WHERE consent IN ` + consents, &none},
			{`DELETE FROM consent_consent WHERE person = $1`, &e.Consents},
			{`DELETE FROM consent_request WHERE person = $1`, &e.Requests},
			{`DELETE FROM consent_retrieved WHERE person = $1`, &none},
			{`DELETE FROM consent_retrieval WHERE person = $1`, &none},
			{`DELETE FROM consent_as_is WHERE person = $1`, &none},
			{`DELETE FROM consent_followed WHERE person = $1`, &none},
			{`DELETE FROM consent_past WHERE person = $1`, &none},
			{`DELETE FROM consent_gone WHERE person = $1`, &none},
			{`DELETE FROM consent_seen WHERE person = $1`, &none},
			{`DELETE FROM consent_erasure WHERE person = $1`, &none},
		} {
			result, err := tx.ExecContext(ctx, d.statement, person)
			if err != nil {
				return nil, err
			}
			n, err := result.RowsAffected()
			if err != nil {
				return nil, err
			}
			*d.count = int(n)
		}
		return nil, nil
	})
	if err != nil {
		return fmt.Errorf("delete what a person decided: %w", err)
	}
	return nil
}
