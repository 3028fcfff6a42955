package consent

import (
	"context"
	"database/sql"
	"encoding/json"
	"slices"
)

// keptBrought is what a person brought from other operators: what was said of their consents and became of them, and what the
// logs there prove.
func (a *Authority) keptBrought(ctx context.Context, person string) ([]Kept, error) {
	all, err := a.Followed(ctx, person)
	if err != nil {
		return nil, err
	}
	var list []Kept
	for _, f := range all {
		text, err := json.Marshal(struct {
			Type     string    `json:"type"`
			Consent  string    `json:"consent"` // here
			Operator string    `json:"operator"`
			Fate     Fate      `json:"fate"`
			Reason   Reason    `json:"reason"`
			Said     Following `json:"said"`
		}{"brought", f.ID, f.Operator, f.Fate, f.Reason, f.Said})
		if err != nil {
			return nil, err
		}
		list = append(list, Kept{f.ID + "-brought", f.At, text})
	}
	past, err := scanAll(ctx, a.db.Read, "list what other logs prove", func(row *sql.Rows) (Kept, error) {
		var move, operator, history string
		var at int64
		if err := row.Scan(&move, &operator, &history, &at); err != nil {
			return Kept{}, err
		}
		text, err := json.Marshal(struct {
			Type     string          `json:"type"`
			Operator string          `json:"operator"`
			History  json.RawMessage `json:"history"`
		}{"history", operator, json.RawMessage(history)})
		return Kept{move + "-history", fromMicro(at), text}, err
	}, `SELECT move, operator, history, at FROM consent_past WHERE person = $1 ORDER BY at, move`, person)
	return slices.Concat(list, past), err
}
