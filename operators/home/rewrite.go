package home

import (
	"context"
	"errors"
	"fmt"

	"github.com/passerelle-cloud/passerelle/formats"
	"github.com/passerelle-cloud/passerelle/operators"
)

// Rewrite writes records, which have no bytes of their own, in one transaction. What is not any more as it was seen stays as it is: somebody
// else has written it meanwhile, and knows better. It returns how many those are.
func (i *Instance) Rewrite(ctx context.Context, list []operators.Rewrite) (missed int, err error) {
	err = i.work(ctx, nil, func(c *change) error {
		missed = 0
		for n := range list {
			same, err := c.as(&list[n])
			switch {
			case err != nil:
				return err
			case !same:
				missed++
			case list[n].Record.Deleted.IsZero():
				err = c.put(&list[n].Record)
			default:
				err = c.drop(&list[n].Record)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("write %d records: %w", len(list), err)
	}
	return missed, nil
}

// as reports whether what is there is what was seen.
func (c *change) as(w *operators.Rewrite) (bool, error) {
	_, hash, err := c.see.Record(c.ctx, w.Record.Dataset, w.Record.ID)
	if errors.Is(err, operators.ErrNotFound) {
		return w.Was == formats.Hash{}, nil
	}
	return err == nil && hash == w.Was, err
}

func (c *change) drop(r *formats.Record) error {
	before, err := c.current(key(r.Dataset, r.ID))
	if errors.Is(err, operators.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	return c.end(&before)
}
