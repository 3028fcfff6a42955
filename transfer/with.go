package transfer

import (
	"context"
	"iter"

	"github.com/passerelle-cloud/passerelle/formats"
	"github.com/passerelle-cloud/passerelle/operators"
)

// With returns a source that has some records besides those of another one, which come first in a walk through all of them.
// What the other one has under the same id is left out: it came with an archive that was made like this, and is older.
func With(source operators.Source, more func(context.Context) iter.Seq2[formats.Record, error]) operators.Source {
	return &with{source, more}
}

type with struct {
	operators.Source
	more func(context.Context) iter.Seq2[formats.Record, error]
}

// Records implements [operators.Source].
func (w *with) Records(ctx context.Context, after operators.Position) iter.Seq2[operators.Item, error] {
	return func(yield func(operators.Item, error) bool) {
		type key struct {
			dataset formats.Dataset
			id      string
		}
		had := map[key]bool{}
		for r, err := range w.more(ctx) {
			if !yield(operators.Item{Record: r}, err) || err != nil {
				return
			}
			had[key{r.Dataset, r.ID}] = true
		}
		for item, err := range w.Source.Records(ctx, after) {
			if err == nil && had[key{item.Record.Dataset, item.Record.ID}] {
				continue
			}
			if !yield(item, err) || err != nil {
				return
			}
		}
	}
}
