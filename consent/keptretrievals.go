package consent

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
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

// keptRetrievals walks what the operator read at banks for a person, the first first, up to keptAccesses in a document.
func (a *Authority) keptRetrievals(ctx context.Context, person string) iter.Seq2[Kept, error] {
	return func(yield func(Kept, error) bool) {
		last := Place{}
		for page := 1; ; page++ {
			list, err := a.retrievals(ctx, person, last)
			if err != nil {
				yield(Kept{}, err)
				return
			}
			if len(list) == 0 {
				return
			}
			end := list[len(list)-1]
			last = Place{end.Begun, end.ID}
			text, err := json.Marshal(struct {
				Type       string          `json:"type"`
				Retrievals []keptRetrieval `json:"retrievals"`
			}{"retrievals", list})
			if !yield(Kept{fmt.Sprintf("retrievals-%d", page), end.Begun, text}, err) || err != nil || len(list) < keptAccesses {
				return
			}
		}
	}
}

// retrievals are a page of them, after a place.
func (a *Authority) retrievals(ctx context.Context, person string, after Place) ([]keptRetrieval, error) {
	return scanAll(ctx, a.db.Read, "list what was read at banks", func(row *sql.Rows) (k keptRetrieval, err error) {
		var begun, ended int64
		var facts string
		err = row.Scan(&k.ID, &k.Bank, &k.Session, &begun, &ended, &k.Records, &k.Withheld, &k.Outcome, &k.Rules, &facts)
		k.Begun, k.Ended, k.Facts = fromMicro(begun), fromMicro(ended), json.RawMessage(facts)
		return k, err
	}, `SELECT id, bank, session, begun, ended, records, withheld, outcome, packs, facts FROM consent_retrieval
		WHERE person = $1 AND begun >= $2 AND (begun > $2 OR id > $3) ORDER BY begun, id LIMIT $4`, person, micro(after.Begun), after.ID, keptAccesses)
}
