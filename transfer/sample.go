package transfer

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/passerelle-cloud/passerelle/formats"
	"github.com/passerelle-cloud/passerelle/operators"
)

// sampleLines is how many records of a dataset are looked at for a sample, however many there are.
const sampleLines = 2000

// Sample returns some records of an instance, to show its person what is theirs: those of one kind that are among the
// first of a dataset, or of any kind if it is empty. Bank accounts to which the first operations belong are among them,
// wherever they stand.
func Sample(ctx context.Context, from Reader, d formats.Dataset, kind formats.Kind, most int) ([]formats.Record, error) {
	var list []formats.Record
	linked := map[string]bool{}
	seen := 0
	for line, err := range from.Dataset(ctx, d, "") {
		if err != nil {
			return nil, fmt.Errorf("look for an example: %w", err)
		}
		r, err := line.Parse()
		if err != nil {
			return nil, fmt.Errorf("look for an example: %w", err)
		}
		if kind == "" || r.Kind == kind {
			list = append(list, r)
		}
		for _, l := range r.Links {
			linked[l.ID] = linked[l.ID] || l.Rel == relAccount
		}
		if seen++; len(list) >= most || seen >= sampleLines {
			break
		}
	}
	if kind != formats.KindAccount {
		return list, nil
	}
	return withLinked(ctx, from, d, list, linked, most)
}

const relAccount = "account"

func withLinked(ctx context.Context, from Reader, d formats.Dataset, list []formats.Record, linked map[string]bool, most int) ([]formats.Record, error) {
	for id, wanted := range linked {
		if !wanted || len(list) >= most || slices.ContainsFunc(list, func(r formats.Record) bool { return r.ID == id }) {
			continue
		}
		line, err := from.Record(ctx, d, id)
		if errors.Is(err, operators.ErrNotFound) {
			continue // the operation outlived its account
		}
		if err != nil {
			return nil, err
		}
		r, err := line.Parse()
		if err != nil {
			return nil, err
		}
		list = append(list, r)
	}
	slices.SortFunc(list, func(a, b formats.Record) int { return cmp.Compare(a.ID, b.ID) })
	return list, nil
}
