package consent

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"
)

// A run is what a service reads of payment accounts in one go: many requests, for the pages of several accounts. It lasts
// for a quarter of an hour at the most; what comes later is another one. Which requests a person asked for just then, and
// which nobody did, never are in one run.
const runTime = 15 * time.Minute

// skew is how far ahead of ours the clock of another replica may be. A run that began later than that is not the one that goes
// on: the clock was set back.
const skew = time.Minute

// party is who reads: the company that the certificate names, whose services may be several; or else the service.
func party(service string, certificate *CertificateFacts) string {
	if certificate != nil && certificate.Organisation != "" {
		return certificate.Organisation
	}
	return service
}

// runs finds out to which run an access belongs, and how many runs there were within 24 hours that nobody asked for. All
// consents between the person and who reads count, lest several be asked for, or for several services.
func (a *Authority) runs(ctx context.Context, tx *sql.Tx, c *Consent, x *AccessFacts, who string, now time.Time) error {
	// Each sees the runs before it, also those that another of these consents begins just now.
	if err := a.db.Hold(ctx, tx, "consent.runs/"+c.Person+"/"+who); err != nil {
		return err
	}
	const both = `consent IN (SELECT id FROM consent_consent WHERE person = $1 AND service = $2)`
	err := tx.QueryRowContext(ctx, `SELECT session FROM consent_access WHERE `+both+` AND session <> '' AND present = $3 AND begun > $4
		GROUP BY session HAVING min(begun) > $5 AND min(begun) <= $6 ORDER BY min(begun) DESC LIMIT 1`, c.Person, c.Service, x.Present, micro(now.Add(-2*runTime)), micro(now.Add(-runTime)), micro(now.Add(skew))).Scan(&x.Session)
	if errors.Is(err, sql.ErrNoRows) {
		x.Session, err = newID(), nil
	}
	if err != nil {
		return fmt.Errorf("find the run of accesses: %w", err)
	}
	err = tx.QueryRowContext(ctx, `SELECT count(*) FROM (SELECT session FROM consent_access WHERE consent IN (SELECT id FROM consent_consent WHERE person = $1) AND party = $2 AND session <> '' AND NOT present AND session <> $3 AND begun > $4
		GROUP BY session HAVING min(begun) > $5) AS runs`, c.Person, who, x.Session, micro(now.Add(-24*time.Hour-runTime)), micro(now.Add(-24*time.Hour))).Scan(&x.Unattended)
	if err != nil {
		return fmt.Errorf("count the runs of accesses: %w", err)
	}
	if !x.Present {
		x.Unattended++
	}
	return nil
}

// limits are what the packs in force withhold.
func (a *Authority) limits(f Facts) (list []Limits) {
	for i := range a.packs {
		if p := &a.packs[i]; p.Limits != nil && p.inForce(f.Now) {
			if l := p.Limits(f); l != nil {
				list = append(list, *l)
			}
		}
	}
	return list
}
