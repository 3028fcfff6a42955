package consent

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/passerelle-cloud/passerelle/consent/ledger"
)

// countRefused counts what rules said, where an error is theirs: a service can ask what it was refused for, and a supervisor whom.
func (a *Authority) countRefused(ctx context.Context, service string, step Step, err error) error {
	var refused *RefusedError
	if !errors.As(err, &refused) {
		return nil
	}
	day := a.now().UTC().Format(time.DateOnly)
	_, err = a.ledger.Commit(ctx, func(tx *sql.Tx) ([]ledger.Event, error) {
		for _, r := range refused.Refusals {
			_, err := tx.ExecContext(ctx, `
				INSERT INTO consent_refused (day, service, step, code, law, article, count) VALUES ($1, $2, $3, $4, $5, $6, 1)
				ON CONFLICT (day, service, step, code) DO UPDATE SET count = consent_refused.count + 1`, day, service, step, r.Code, r.Citation.Law, r.Citation.Article)
			if err != nil {
				return nil, err
			}
		}
		return nil, nil
	})
	if err != nil {
		return fmt.Errorf("count what was refused: %w", err)
	}
	return nil
}

// RefusedCount is how often a rule refused something to a service on a day.
type RefusedCount struct {
	Day      string // UTC, "2006-01-02"
	Service  string
	Step     Step
	Code     string
	Citation Citation
	Count    int64
}

// RefusedCounts returns what rules refused since a day, the newest first, up to a limit.
func (a *Authority) RefusedCounts(ctx context.Context, since time.Time, limit int) ([]RefusedCount, error) {
	return scanAll(ctx, a.db.Read, "list what was refused", func(row *sql.Rows) (r RefusedCount, err error) {
		return r, row.Scan(&r.Day, &r.Service, &r.Step, &r.Code, &r.Citation.Law, &r.Citation.Article, &r.Count)
	}, `SELECT day, service, step, code, law, article, count FROM consent_refused WHERE day >= $1 ORDER BY day DESC, service, step, code LIMIT $2`, since.UTC().Format(time.DateOnly), limit)
}

// scanAll reads all rows of a query.
func scanAll[T any](ctx context.Context, q querier, what string, scan func(*sql.Rows) (T, error), query string, args ...any) ([]T, error) {
	rows, err := q.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	defer rows.Close()
	var list []T
	for rows.Next() {
		one, err := scan(rows)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", what, err)
		}
		list = append(list, one)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	return list, nil
}
