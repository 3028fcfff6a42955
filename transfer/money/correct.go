package money

import (
	"context"
	"errors"
	"fmt"

	"github.com/passerelle-cloud/passerelle/formats"
	"github.com/passerelle-cloud/passerelle/formats/reconcile"
	"github.com/passerelle-cloud/passerelle/operators"
)

// TakenBack is the verdict of who takes back what they said.
const TakenBack reconcile.Verdict = ""

// ErrNoSuch is returned for what is not there, or cannot be said of it.
var ErrNoSuch = errors.New("there is no such bill, operation or alert")

// Correct keeps what a person says about a bill and an operation, and looks through their money again. The error wraps [ErrNoSuch]
// or [operators.ErrReadOnly].
func (m *Money) Correct(ctx context.Context, person string, c reconcile.Correction) error {
	instance, err := m.opt.Instance(ctx, person)
	if err != nil {
		return err
	}
	for range 5 { // a run may write the same match
		err = correct(ctx, instance, c)
		if !errors.Is(err, ErrMeanwhile) {
			break
		}
	}
	if err != nil {
		return fmt.Errorf("keep what a person says of a link: %w", err)
	}
	if _, err := m.Run(ctx, person); err != nil && !errors.Is(err, ErrMeanwhile) {
		return err
	}
	return nil
}

func correct(ctx context.Context, instance Instance, c reconcile.Correction) error {
	if c.Role != reconcile.Debit && c.Role != reconcile.Credit {
		return ErrNoSuch
	}
	bill, err := recordOf[formats.Bill](ctx, instance, c.Bill.Dataset, c.Bill.ID, formats.KindBill)
	if err != nil {
		return err
	}
	operation, err := recordOf[formats.BankOperation](ctx, instance, formats.Bank, c.Operation, formats.KindOperation)
	if err != nil {
		return err
	}
	if operation.TransactionAmount.Amount.Negative() != (c.Role == reconcile.Debit) || operation.TransactionAmount.Currency != bill.Amount.Currency {
		return fmt.Errorf("%w: the money goes the other way, or is of another currency", ErrNoSuch)
	}
	now, err := matchAt(ctx, instance, place{c.Bill, c.Operation, c.Role})
	if err != nil {
		return err
	}
	if c.Verdict == TakenBack && now.id == "" {
		return nil
	}
	if c.Verdict == reconcile.Confirmed && now.id == "" {
		return ErrNoSuch
	}
	now.Verdict, now.Date = string(c.Verdict), bill.Date
	switch now.State = stateLinked; c.Verdict {
	case TakenBack:
		now.State = stateProposed // until it is looked through again
	case reconcile.Rejected:
		now.State, now.Amount, now.Partial, now.SameAs = stateRejected, nil, false, ""
	}
	r, err := now.record()
	if err != nil {
		return err
	}
	return write(ctx, instance, []operators.Rewrite{{Record: r, Was: now.hash}})
}

// recordOf reads a record of a kind.
func recordOf[T any](ctx context.Context, instance Instance, d formats.Dataset, id string, kind formats.Kind) (body T, err error) {
	line, err := instance.Record(ctx, d, id)
	if errors.Is(err, operators.ErrNotFound) {
		return body, ErrNoSuch
	}
	if err != nil {
		return body, err
	}
	r, err := line.Parse()
	if err != nil {
		return body, err
	}
	if r.Kind != kind {
		return body, ErrNoSuch
	}
	return formats.BodyAs[T](r)
}

// matchAt finds the match of a place, or makes one that is not written yet.
func matchAt(ctx context.Context, instance Instance, p place) (Match, error) {
	for line, err := range instance.Dataset(ctx, p.Bill.Dataset, "") {
		if err != nil {
			return Match{}, err
		}
		r, err := line.Parse()
		if err != nil {
			return Match{}, err
		}
		if r.Kind != formats.KindMatch {
			continue
		}
		if m, ok := readMatch(line, r); ok && m.place() == p {
			return m, nil
		}
	}
	return Match{Bill: p.Bill, Operation: p.Operation, Match: formats.Match{Role: string(p.Role)}}, nil
}

// Dismiss keeps that a person does not want to be told of an alert any more. The error wraps [ErrNoSuch] or
// [operators.ErrReadOnly].
func (m *Money) Dismiss(ctx context.Context, person, id string) error {
	instance, err := m.opt.Instance(ctx, person)
	if err != nil {
		return err
	}
	for range 5 {
		if err = m.dismiss(ctx, instance, id); !errors.Is(err, ErrMeanwhile) {
			break
		}
	}
	if err == nil {
		_, err = m.db.Write.ExecContext(ctx, `UPDATE money_run SET alerts = alerts - 1 WHERE person = $1 AND alerts > 0`, person)
	}
	if errors.Is(err, errDismissed) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("dismiss an alert: %w", err)
	}
	return nil
}

// errDismissed says that it was dismissed, or settled, before.
var errDismissed = errors.New("the alert is not open any more")

func (m *Money) dismiss(ctx context.Context, instance Instance, id string) error {
	line, err := instance.Record(ctx, formats.Health, id)
	if errors.Is(err, operators.ErrNotFound) {
		return ErrNoSuch
	}
	if err != nil {
		return err
	}
	r, err := line.Parse()
	if err != nil {
		return err
	}
	a, ok := readAlert(line, r)
	if !ok || r.Kind != formats.KindAlert {
		return ErrNoSuch
	}
	if a.State != alertOpen {
		return errDismissed
	}
	a.State, a.Ended = alertDismissed, m.today()
	if r, err = a.record(); err != nil {
		return err
	}
	return write(ctx, instance, []operators.Rewrite{{Record: r, Was: a.hash}})
}
