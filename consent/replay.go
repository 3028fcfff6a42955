package consent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"iter"

	"github.com/passerelle-cloud/passerelle/internal/sqldb"
)

// Replayed is a decision that was tried again under other rules.
type Replayed struct {
	Revision Revision
	Facts    Facts      // on which it was taken
	Refusals []*Refusal // what the rules would have said; none: nothing
}

// replayPage is how many decisions are read at a time.
const replayPage = 500

// Replay tries every yes of persons again under a pack, the oldest first, as if the pack had been in force: it shows what
// another law, or another reading of it, would have changed. Nothing is written but tables that are not there yet, and a
// gateway may run meanwhile. What was refused before a person was asked is not kept, and not tried.
func Replay(ctx context.Context, db *sqldb.DB, pack Pack) iter.Seq2[Replayed, error] {
	return func(yield func(Replayed, error) bool) {
		if err := migrate(ctx, db); err != nil {
			yield(Replayed{}, err)
			return
		}
		var at int64
		var consent string
		for number := 0; ; {
			page, err := decisions(ctx, db, at, consent, number)
			if err != nil {
				yield(Replayed{}, fmt.Errorf("read what was decided: %w", err))
				return
			}
			for _, r := range page {
				tried, err := r.replay(pack)
				if (err != nil || tried.Facts.decides()) && !yield(tried, err) || err != nil {
					return
				}
			}
			if len(page) < replayPage {
				return
			}
			last := page[len(page)-1]
			at, consent, number = micro(last.At), last.Consent, last.Number
		}
	}
}

func migrate(ctx context.Context, db *sqldb.DB) error {
	tables, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return err
	}
	return db.Migrate(ctx, tables, "consent_version")
}

// decisions reads a page of revisions, after one of them.
func decisions(ctx context.Context, db *sqldb.DB, at int64, consent string, number int) (list []Revision, err error) {
	rows, err := db.Read.QueryContext(ctx, `SELECT `+revisionColumns+` FROM consent_revision WHERE (at, consent, number) > ($1, $2, $3) ORDER BY at, consent, number LIMIT $4`,
		at, consent, number, replayPage)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		r, err := scanRevision(rows)
		if err != nil {
			return nil, err
		}
		list = append(list, r)
	}
	return list, rows.Err()
}

func (rev *Revision) replay(pack Pack) (Replayed, error) {
	tried := Replayed{Revision: *rev}
	if err := json.Unmarshal(rev.Facts, &tried.Facts); err != nil {
		return tried, errors.Join(fmt.Errorf("the facts of revision %d of consent %s cannot be read", rev.Number, rev.Consent), err)
	}
	for _, rule := range pack.Rules {
		if r := rule(tried.Facts); r != nil {
			tried.Refusals = append(tried.Refusals, r)
		}
	}
	return tried, nil
}

// decides reports whether the facts are those of a yes.
func (f *Facts) decides() bool { return f.Step == StepGrant || f.Step == StepRenew }
