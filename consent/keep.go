package consent

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/passerelle-cloud/passerelle/consent/ledger"
)

// How often it is looked what time has ended, how much of it at once, and for how long a request that nobody decided is
// kept.
const (
	keepPeriod  = time.Minute
	expireBatch = 100
	undecided   = 24 * time.Hour
)

// Run does what time asks for, until the context ends: consents that have expired are ended in the log too, and their
// services told; requests that nobody decided are deleted. That a consent has expired counts from that second on, whether
// this has run or not.
func (a *Authority) Run(ctx context.Context, log *slog.Logger) {
	ticker := time.NewTicker(keepPeriod)
	defer ticker.Stop()
	for {
		if err := a.Keep(ctx); err != nil && ctx.Err() == nil {
			log.Warn("what has expired could not be ended", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// Keep does once what [Authority.Run] does.
func (a *Authority) Keep(ctx context.Context) error {
	for {
		due, err := a.ids(ctx, `SELECT id FROM consent_consent WHERE state IN ('ConsentGiven', 'RenewedConsentGiven') AND expires <= $1 ORDER BY expires LIMIT $2`, a.now().UnixMicro(), expireBatch)
		if err != nil {
			return err
		}
		for _, id := range due {
			if err := a.expire(ctx, id); err != nil {
				return err
			}
		}
		if len(due) < expireBatch {
			break
		}
	}
	if err := a.eraseDue(ctx); err != nil {
		return err
	}
	_, err := a.ledger.Commit(ctx, func(tx *sql.Tx) ([]ledger.Event, error) {
		old := a.now().Add(-undecided).UnixMicro()
		for _, statement := range []string{
			`DELETE FROM consent_notice WHERE request IN (SELECT id FROM consent_request WHERE state = 'ConsentRequested' AND expires < $1)`,
			`DELETE FROM consent_request WHERE state = 'ConsentRequested' AND expires < $1`,
		} {
			if _, err := tx.ExecContext(ctx, statement, old); err != nil {
				return nil, err
			}
		}
		return nil, nil
	})
	if err != nil {
		return fmt.Errorf("delete requests that nobody decided: %w", err)
	}
	return nil
}

func (a *Authority) expire(ctx context.Context, id string) error {
	_, err := a.ledger.Commit(ctx, func(tx *sql.Tx) ([]ledger.Event, error) {
		c, err := a.locked(ctx, tx, id, `id`, id)
		if err != nil {
			return nil, err
		}
		now := a.now()
		if !c.State.Valid() || now.Before(c.Expires) { // somebody was faster
			return nil, nil
		}
		facts := Facts{Now: now.UTC(), Operator: a.operator, Consent: c.facts(now)}
		event, err := a.revise(ctx, tx, &c, Revision{State: Expired, Details: c.Details, Method: "time"}, facts)
		if err == nil {
			err = a.tell(ctx, tx, c)
		}
		return []ledger.Event{event}, err
	})
	if err != nil {
		return fmt.Errorf("end a consent that has expired: %w", err)
	}
	a.stats.decided("expired")
	return nil
}

// EndAll ends all consents of a person whose instance goes away, with a reason. When it returns without an error, nothing
// flows any more.
func (a *Authority) EndAll(ctx context.Context, person, reason string) (int, error) {
	ids, err := a.ids(ctx, `SELECT id FROM consent_consent WHERE person = $1 AND state IN ('ConsentGiven', 'RenewedConsentGiven', 'ConsentExpired') LIMIT $2`, person, 1_000_000)
	if err != nil {
		return 0, err
	}
	for n, id := range ids {
		if _, err := a.Withdraw(ctx, Ending{Consent: id, Person: person, State: Revoked, Reason: reason, Session: SessionFacts{Method: "operator"}}); err != nil && !errors.Is(err, ErrState) {
			return n, err
		}
	}
	if err := a.unsee(ctx, person); err != nil {
		return len(ids), err
	}
	return len(ids), nil
}

// unsee forgets what a person said that they have seen.
func (a *Authority) unsee(ctx context.Context, person string) error {
	_, err := a.ledger.Commit(ctx, func(tx *sql.Tx) ([]ledger.Event, error) {
		_, err := tx.ExecContext(ctx, `DELETE FROM consent_seen WHERE person = $1`, person)
		return nil, errors.Join(err, returns(ctx, tx, person)) // who has the name next lives here
	})
	if err != nil {
		return fmt.Errorf("forget what was seen: %w", err)
	}
	return nil
}

// noted is how many rows are noted in one transaction.
const noted = 500

// note writes beside what was decided before there was a column for it which datasets and countries it names.
func (a *Authority) note(ctx context.Context) error {
	for _, what := range []struct {
		table, column, details string
		of                     func([]Detail) string
	}{
		{"consent_request", "datasets", `SELECT id, details FROM consent_request WHERE datasets IS NULL LIMIT $1`, datasetsOf},
		{"consent_consent", "datasets", `SELECT c.id, r.details FROM consent_consent c JOIN consent_revision r ON r.consent = c.id AND r.number = c.revision WHERE c.datasets IS NULL LIMIT $1`, datasetsOf},
		{"consent_consent", "countries", `SELECT c.id, r.details FROM consent_consent c JOIN consent_revision r ON r.consent = c.id AND r.number = c.revision WHERE c.countries IS NULL LIMIT $1`, countriesOf},
	} {
		set := `UPDATE ` + what.table + ` SET ` + what.column + ` = $2 WHERE id = $1 AND ` + what.column + ` IS NULL`
		for n := noted; n == noted; {
			var err error
			if n, err = a.noteSome(ctx, what.details, set, what.of); err != nil {
				return fmt.Errorf("note which %s were decided about: %w", what.column, err)
			}
		}
	}
	return nil
}

func (a *Authority) noteSome(ctx context.Context, details, set string, of func([]Detail) string) (n int, err error) {
	err = a.db.Tx(ctx, func(tx *sql.Tx) error {
		texts, err := pairs(ctx, tx, details, noted)
		if err != nil {
			return err
		}
		n = len(texts)
		for id, text := range texts {
			var list []Detail
			if err := json.Unmarshal([]byte(text), &list); err != nil {
				return err
			}
			if _, err := tx.ExecContext(ctx, set, id, of(list)); err != nil {
				return err
			}
		}
		return nil
	})
	return n, err
}

func pairs(ctx context.Context, tx *sql.Tx, query string, args ...any) (map[string]string, error) {
	rows, err := tx.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	all := map[string]string{}
	for rows.Next() {
		var key, value string
		if err := rows.Scan(&key, &value); err != nil {
			return nil, err
		}
		all[key] = value
	}
	return all, rows.Err()
}

func (a *Authority) ids(ctx context.Context, query string, args ...any) ([]string, error) {
	rows, err := a.db.Read.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, fmt.Errorf("list consents: %w", err)
	}
	defer rows.Close()
	var list []string
	for rows.Next() {
		var id string
		if err := rows.Scan(&id); err != nil {
			return nil, err
		}
		list = append(list, id)
	}
	return list, rows.Err()
}
