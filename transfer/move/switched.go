package move

import (
	"context"
	"fmt"
	"time"
)

// Switched is a move from here that has happened, with its times, for those who check whether it was in time.
type Switched struct {
	Consent   string // the authorisation
	Peer      string // id of the operator
	Given     time.Time
	Prolonged bool // the person gave more time than they had at first
	Committed time.Time
	Until     time.Time // for the person to come back for their data
	Erased    time.Time // zero: not yet
}

// Switched returns the moves from here that have happened and began at a time or later, the first one first.
func (s *Sender) Switched(ctx context.Context, since time.Time) ([]Switched, error) {
	rows, err := s.store.db.Read.QueryContext(ctx, `SELECT `+columns+` FROM move_move WHERE side = $1 AND stage IN ($2, $3) AND begun >= $4 ORDER BY begun, id`,
		string(Source), string(Committed), string(Erased), since.UnixMicro())
	if err != nil {
		return nil, fmt.Errorf("list the moves that have happened: %w", err)
	}
	defer rows.Close()
	list := []Switched{}
	for rows.Next() {
		e, err := scan[leaving](Source, rows)
		if err != nil {
			return nil, err
		}
		d := e.Detail
		list = append(list, Switched{e.Consent, e.Peer, d.Given, d.Prolonged, d.Committed, d.Until, d.Erased})
	}
	return list, rows.Err()
}
