package transfer

import (
	"context"
	"iter"

	"github.com/passerelle-cloud/passerelle/formats"
	"github.com/passerelle-cloud/passerelle/operators"
)

// With returns a source that has some records besides those of another one, at the end of a walk through all of them.
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
		for item, err := range w.Source.Records(ctx, after) {
			if !yield(item, err) || err != nil {
				return
			}
		}
		for r, err := range w.more(ctx) {
			if !yield(operators.Item{Record: r}, err) || err != nil {
				return
			}
		}
	}
}
