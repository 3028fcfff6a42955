package audit

import (
	"context"
	"fmt"
	"time"
)

// Looked is that an auditor looked at what is kept of a person, as the person sees it.
type Looked struct {
	At        time.Time
	Authority string
	What      string // "history.disclosed", "person.found", "identity.disclosed"
	Reason    string // "" where none is asked for
}

// shownLooked is how often it is shown, the last times.
const shownLooked = 50

// LookedAt returns when auditors looked at what is kept of a person, the last time first.
func (a *Auditors) LookedAt(ctx context.Context, person string) ([]Looked, error) {
	rows, err := a.db.Read.QueryContext(ctx, `SELECT at, authority, what, reason FROM audit_looked WHERE person = $1 ORDER BY at DESC LIMIT $2`, person, shownLooked)
	if err != nil {
		return nil, fmt.Errorf("list who looked: %w", err)
	}
	defer rows.Close()
	var list []Looked
	for rows.Next() {
		var l Looked
		var at int64
		if err := rows.Scan(&at, &l.Authority, &l.What, &l.Reason); err != nil {
			return nil, err
		}
		l.At = time.UnixMicro(at).UTC()
		list = append(list, l)
	}
	return list, rows.Err()
}

// looked notes that an auditor looks at what is kept of a person.
func (a *Auditors) looked(ctx context.Context, who *Auditor, person, what, reason string) error {
	_, err := a.db.Write.ExecContext(ctx, `INSERT INTO audit_looked (person, at, auditor, authority, what, reason) VALUES ($1, $2, $3, $4, $5, $6)`,
		person, a.now().UnixMicro(), who.ID, who.Authority, what, reason)
	if err != nil {
		return fmt.Errorf("note for the person that an auditor looks: %w", err)
	}
	return nil
}
