package consent

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"

	"github.com/passerelle-cloud/passerelle/consent/ledger"
)

// waiting is a consent that came with a person, and whose service was not registered here.
type waiting struct {
	id, person, move, operator string
	said                       Following
}

// attach finds the consents that wait for a service, which registers now: from then on the person can say yes to them.
func (a *Authority) attach(ctx context.Context, tx *sql.Tx, s *Service) (events []ledger.Event, err error) {
	if s.Admin || s.Operator {
		return nil, nil
	}
	all, err := waitingIn(ctx, tx)
	if err != nil {
		return nil, err
	}
	now := a.now().UTC()
	for _, w := range all {
		if !sameRegistrations(s.Registrations, w.said.Service.Registrations) || !now.Before(w.said.Expires) {
			continue
		}
		b := &bringing{id: w.id, who: &Carrying{Person: w.person, Move: w.move, Operator: w.operator}, Case: Case{Said: w.said, Service: s, Now: now}}
		one, err := a.given(ctx, tx, b, Requested)
		if err != nil {
			return nil, err
		}
		events = append(events, one...)
		if _, err := tx.ExecContext(ctx, `UPDATE consent_followed SET service = $2, reason = $3 WHERE id = $1`, w.id, s.ID, NewService); err != nil {
			return nil, fmt.Errorf("note that the service has come: %w", err)
		}
	}
	return events, nil
}

func waitingIn(ctx context.Context, tx *sql.Tx) ([]waiting, error) {
	return scanAll(ctx, tx, "look who waits for the service", func(row *sql.Rows) (w waiting, err error) {
		var said string
		if err := row.Scan(&w.id, &w.person, &w.move, &w.operator, &said); err != nil {
			return w, err
		}
		return w, json.Unmarshal([]byte(said), &w.said)
	}, `SELECT id, person, move, operator, said FROM consent_followed WHERE fate = 'confirm' AND service = ''`)
}
