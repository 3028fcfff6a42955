package money

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/passerelle-cloud/passerelle/formats"
	"github.com/passerelle-cloud/passerelle/formats/reconcile"
	"github.com/passerelle-cloud/passerelle/operators"
)

// epoch marks a record as one to be removed; when that was is for the instance to say.
func epoch() time.Time { return time.Unix(0, 0).UTC() }

// Overdue is the answer to how much a person waits for, and no more than that.
type Overdue struct {
	AsOf    string           `json:"as_of"` // YYYY-MM-DD: the day on which it was last looked
	Count   int              `json:"count"` // of reimbursements
	Amounts []formats.Amount `json:"amounts"`
}

// Overdue adds up the reimbursements that are late or short and that the person has not dismissed, by currency.
func (m *Money) Overdue(ctx context.Context, person string) (Overdue, error) {
	row, err := m.row(ctx, person)
	if err != nil {
		return Overdue{}, err
	}
	if row.day != m.today() { // late is what is late today
		_, err := m.Run(ctx, person)
		if err != nil && !errors.Is(err, ErrMeanwhile) && !errors.Is(err, operators.ErrReadOnly) {
			return Overdue{}, err
		}
		if row, err = m.row(ctx, person); err != nil {
			return Overdue{}, err
		}
	}
	alerts, err := m.Alerts(ctx, person)
	if err != nil {
		return Overdue{}, err
	}
	o := Overdue{AsOf: cmp.Or(row.day, m.today()), Amounts: []formats.Amount{}}
	sums := map[string]formats.Amount{}
	for _, a := range alerts {
		if a.State != alertOpen {
			continue
		}
		o.Count++
		sum := a.Missing
		if before, ok := sums[a.Missing.Currency]; ok {
			if sum, ok = reconcile.Sum(before, a.Missing); !ok {
				return Overdue{}, fmt.Errorf("%w: the amounts of the alerts cannot be added up", formats.ErrInvalid)
			}
		}
		sums[a.Missing.Currency] = sum
	}
	for _, currency := range slices.Sorted(maps.Keys(sums)) {
		o.Amounts = append(o.Amounts, sums[currency])
	}
	return o, nil
}

// Alerts are those of a person, the open ones first, then the newest.
func (m *Money) Alerts(ctx context.Context, person string) (list []Alert, err error) {
	instance, err := m.opt.Instance(ctx, person)
	if err != nil {
		return nil, err
	}
	for line, err := range instance.Dataset(ctx, formats.Health, "") {
		if err != nil {
			return nil, fmt.Errorf("read the alerts: %w", err)
		}
		r, err := line.Parse()
		if err != nil {
			return nil, fmt.Errorf("read the alerts: %w", err)
		}
		if r.Kind != formats.KindAlert {
			continue
		}
		if a, ok := readAlert(line, r); ok {
			list = append(list, a)
		}
	}
	order := map[string]int{alertOpen: 0, alertDismissed: 1, alertSettled: 1}
	slices.SortFunc(list, func(a, b Alert) int {
		return cmp.Or(cmp.Compare(order[a.State], order[b.State]), cmp.Compare(b.Date, a.Date), cmp.Compare(a.ID, b.ID))
	})
	return list, nil
}
