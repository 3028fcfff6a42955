package bank

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"time"
)

// ending has the bank told next that a connection has ended.
func (s *stored) ending() {
	if s.State == Ending || s.State == Disconnected {
		return
	}
	if s.Consent != "" {
		s.Former = append(s.Former, s.Consent)
	}
	if begun := s.secret.Begun; begun != nil && begun.Consent != "" && begun.Consent != s.Consent {
		s.Former = append(s.Former, begun.Consent)
	}
	s.State, s.Due, s.visit, s.Failures = Ending, time.Now(), "", 0
}

// Ends is [Banks.EndAll] for whoever has a transaction.
func (b *Banks) Ends(person string) func(context.Context, *sql.Tx) error {
	return func(ctx context.Context, tx *sql.Tx) error { return b.EndAll(ctx, tx, person) }
}

// EndAll ends all connections of a person as a part of a transaction, such as that in which they move: nothing is read with them once
// it is committed, and then the banks are told, by a job: a transaction waits for no other machine.
func (b *Banks) EndAll(ctx context.Context, tx *sql.Tx, person string) error {
	if _, err := tx.ExecContext(ctx, `UPDATE bank_connection SET changed = changed WHERE person = $1`, person); err != nil { // so that nobody else changes them meanwhile
		return fmt.Errorf("end the connections of a person with banks: %w", err)
	}
	list, err := b.find(ctx, tx, `person = $1`, person)
	if err != nil {
		return err
	}
	for _, s := range list {
		if s.State == Ending || s.State == Disconnected {
			continue
		}
		s.ending()
		if err := b.saveIn(ctx, tx, s); err != nil {
			return err
		}
	}
	return nil
}

// Forget erases everything that is known here of a person's banks. What a bank does not know yet to have ended is kept until it does
// or that is given up, and without saying whose it was: the consent's id, and the sealed secrets. Any process may do it: the next
// gateway that starts tells the banks.
func (b *Banks) Forget(ctx context.Context, person string) error {
	return b.o.DB.Tx(ctx, func(tx *sql.Tx) error {
		for _, query := range []string{`DELETE FROM bank_account WHERE connection IN (SELECT id FROM bank_connection WHERE person = $1)`, `DELETE FROM bank_operation WHERE person = $1`,
			`DELETE FROM bank_connection WHERE person = $1 AND state = '` + string(Disconnected) + `'`} {
			if _, err := tx.ExecContext(ctx, query, person); err != nil {
				return fmt.Errorf("forget the banks of a person: %w", err)
			}
		}
		return b.unname(ctx, tx, person)
	})
}

// unname leaves of a person's connections what banks are still to be told. It opens no secrets: where it runs there may be no key.
func (b *Banks) unname(ctx context.Context, tx *sql.Tx, person string) error {
	waiting, err := untold(ctx, tx, person)
	if err != nil {
		return err
	}
	for id, was := range waiting {
		detail, err := json.Marshal(Detail{Former: was})
		if err == nil && len(was) > 0 { // where it is ending already there is a job for when it is due
			_, err = tx.ExecContext(ctx, `UPDATE bank_connection SET person = '', due = CASE WHEN state = $2 THEN due ELSE $3 END, state = $2, visit = '', detail = $4, progress = '' WHERE id = $1`, id, Ending, micro(time.Now()), string(detail))
		} else if err == nil {
			_, err = tx.ExecContext(ctx, `DELETE FROM bank_connection WHERE id = $1`, id)
		}
		if err != nil {
			return fmt.Errorf("forget a connection with a bank: %w", err)
		}
	}
	return nil
}

// untold are the consents of a person of which banks do not know that they have ended, by connections.
func untold(ctx context.Context, tx *sql.Tx, person string) (map[string][]string, error) {
	rows, err := tx.QueryContext(ctx, `SELECT id, state, detail FROM bank_connection WHERE person = $1`, person)
	if err != nil {
		return nil, fmt.Errorf("look for the connections of a person: %w", err)
	}
	defer rows.Close()
	list := map[string][]string{}
	for rows.Next() {
		var id, text string
		var state State
		if err := rows.Scan(&id, &state, &text); err != nil {
			return nil, err
		}
		var detail Detail
		if err := json.Unmarshal([]byte(text), &detail); err != nil {
			return nil, fmt.Errorf("the connection %s is damaged: %w", id, err)
		}
		if list[id] = detail.Former; state != Ending && detail.Consent != "" {
			list[id] = append(list[id], detail.Consent)
		}
	}
	return list, rows.Err()
}
