package consent

import (
	"context"
	"database/sql"
	"encoding/json"
	"iter"
	"time"
)

// keptRetrieval is a reading at a bank.
type keptRetrieval struct {
	ID       string          `json:"id"`
	Bank     string          `json:"bank"`
	Session  string          `json:"session"`
	Begun    time.Time       `json:"begun"`
	Ended    time.Time       `json:"ended,omitzero"`
	Records  int64           `json:"records"`
	Withheld int64           `json:"withheld,omitempty"`
	Outcome  string          `json:"outcome,omitempty"`
	Rules    string          `json:"rules"`
	Facts    json.RawMessage `json:"facts"` // on which it was allowed
}

// keptRetrievals walks what the operator read at banks for a person.
func (a *Authority) keptRetrievals(ctx context.Context, person string) iter.Seq2[Kept, error] {
	return keptPages("retrievals", func(after Place) ([]keptRetrieval, error) {
		return scanAll(ctx, a.db.Read, "list what was read at banks", func(row *sql.Rows) (k keptRetrieval, err error) {
			var begun, ended int64
			var facts string
			err = row.Scan(&k.ID, &k.Bank, &k.Session, &begun, &ended, &k.Records, &k.Withheld, &k.Outcome, &k.Rules, &facts)
			k.Begun, k.Ended, k.Facts = fromMicro(begun), fromMicro(ended), json.RawMessage(facts)
			return k, err
		}, `SELECT id, bank, session, begun, ended, records, withheld, outcome, packs, facts FROM consent_retrieval
			WHERE person = $1 AND begun >= $2 AND (begun > $2 OR id > $3) ORDER BY begun, id LIMIT $4`, person, micro(after.Begun), after.ID, keptAccesses)
	}, func(k keptRetrieval) Place { return Place{k.Begun, k.ID} }, func(list []keptRetrieval) any {
		return struct {
			Type       string          `json:"type"`
			Retrievals []keptRetrieval `json:"retrievals"`
		}{"retrievals", list}
	})
}
