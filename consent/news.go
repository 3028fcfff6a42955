package consent

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/passerelle-cloud/passerelle/consent/ledger"
)

// NewsKind is what happened.
type NewsKind string

// The kinds of news.
const (
	NewsRead      NewsKind = "read"      // data was read
	NewsEnded     NewsKind = "ended"     // a consent has expired, or somebody else than the person ended it
	NewsSuspended NewsKind = "suspended" // the service of a valid consent was suspended
)

// NewsItem is one thing that happened to one consent.
type NewsItem struct {
	Kind    NewsKind
	At      time.Time // of reading: the last time
	Consent string
	Service *Service
	// Count is how often data was read, Records and Bytes how much of it: of the last 1,000 times at most.
	Count, Records, Bytes int64
}

// News is what a person has not seen yet.
type News struct {
	Since time.Time  // when they last said that they had seen it all; zero: never
	Items []NewsItem // the last first
	More  bool       // there are more of them
}

// mostCounted is how many accesses to one consent are counted.
const mostCounted = 1000

// News returns what happened without the person since they last said that they had seen it: up to limit items, 50 if it
// is 0, and 200 at most.
func (a *Authority) News(ctx context.Context, person string, limit int) (News, error) {
	n, err := a.news(ctx, person, sized(limit))
	if err != nil {
		return n, fmt.Errorf("look for news: %w", err)
	}
	return n, nil
}

func (a *Authority) news(ctx context.Context, person string, limit int) (News, error) {
	var since int64
	err := a.db.Read.QueryRowContext(ctx, `SELECT at FROM consent_seen WHERE person = $1`, person).Scan(&since)
	n := News{Since: fromMicro(since)}
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return n, err
	}
	now := micro(a.now())
	for kind, query := range map[NewsKind]string{
		NewsRead: `SELECT id, service, last FROM consent_consent WHERE person = $1 AND last > $2 AND last <= $3 ORDER BY last DESC LIMIT $4`,
		// Of one that has expired it is news once, whether that was noted already or not.
		NewsEnded: `
			SELECT id, service, CASE WHEN state IN ('ConsentRevoked', 'ConsentInvalidated') THEN changed ELSE expires END AS since FROM consent_consent
			WHERE person = $1 AND (state IN ('ConsentRevoked', 'ConsentInvalidated') AND changed > $2 OR
				state IN ('ConsentGiven', 'RenewedConsentGiven', 'ConsentExpired') AND expires > $2 AND expires <= $3)
			ORDER BY since DESC LIMIT $4`,
		// From the few services that are suspended to the consents, which SQLite understands by CROSS JOIN.
		NewsSuspended: `
			SELECT c.id, c.service, s.stopped FROM consent_service s CROSS JOIN consent_consent c
			WHERE s.suspended <> '' AND s.stopped > $2 AND c.person = $1 AND c.service = s.id
				AND c.state IN ('ConsentGiven', 'RenewedConsentGiven') AND c.expires > $3
			ORDER BY s.stopped DESC LIMIT $4`,
	} {
		if err := a.newsOf(ctx, &n, kind, query, person, since, now, limit+1); err != nil {
			return n, err
		}
	}
	slices.SortFunc(n.Items, func(x, y NewsItem) int {
		return cmp.Or(y.At.Compare(x.At), cmp.Compare(x.Consent, y.Consent), cmp.Compare(x.Kind, y.Kind))
	})
	if n.More = len(n.Items) > limit; n.More {
		n.Items = n.Items[:limit]
	}
	return n, a.complete(ctx, &n, since)
}

func (a *Authority) newsOf(ctx context.Context, n *News, kind NewsKind, query string, args ...any) error {
	rows, err := a.db.Read.QueryContext(ctx, query, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		item := NewsItem{Kind: kind, Service: &Service{}}
		var at int64
		if err := rows.Scan(&item.Consent, &item.Service.ID, &at); err != nil {
			return err
		}
		item.At = fromMicro(at)
		n.Items = append(n.Items, item)
	}
	return rows.Err()
}

// complete says of what services the news are, and how much was read.
func (a *Authority) complete(ctx context.Context, n *News, since int64) error {
	var ids []string
	for i := range n.Items {
		ids = append(ids, n.Items[i].Service.ID)
	}
	known, err := a.services.many(ctx, a.db.Read, ids)
	if err != nil {
		return err
	}
	for i := range n.Items {
		item := &n.Items[i]
		item.Service = serviceOr(known, item.Service.ID)
		if item.Kind != NewsRead {
			continue
		}
		err := a.db.Read.QueryRowContext(ctx, `
			SELECT COUNT(*), CAST(COALESCE(SUM(records), 0) AS BIGINT), CAST(COALESCE(SUM(bytes), 0) AS BIGINT)
			FROM (SELECT records, bytes FROM consent_access WHERE consent = $1 AND begun > $2 ORDER BY begun DESC LIMIT $3) AS counted`,
			item.Consent, since, mostCounted).Scan(&item.Count, &item.Records, &item.Bytes)
		if err != nil {
			return err
		}
	}
	return nil
}

// Seen keeps that a person has seen everything up to a time, which is no later than now. What they have seen once they
// have seen.
func (a *Authority) Seen(ctx context.Context, person string, at time.Time) error {
	if now := a.now(); at.After(now) {
		at = now
	}
	_, err := a.ledger.Commit(ctx, func(tx *sql.Tx) ([]ledger.Event, error) {
		_, err := tx.ExecContext(ctx, `
			INSERT INTO consent_seen (person, at) VALUES ($1, $2)
			ON CONFLICT (person) DO UPDATE SET at = excluded.at WHERE consent_seen.at < excluded.at`, person, micro(at))
		return nil, err
	})
	if err != nil {
		return fmt.Errorf("keep what was seen: %w", err)
	}
	return nil
}
