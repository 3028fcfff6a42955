package move

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/passerelle-cloud/passerelle/consent/ledger"
	"github.com/passerelle-cloud/passerelle/operators"
	"github.com/passerelle-cloud/passerelle/transfer"
)

// activate shows the source what was accepted until it has the receipt.
func (a *arrival) activate(ctx context.Context) error {
	receipt, err := a.link.accept(ctx, a.ID, a.Detail.Acceptance)
	if err != nil {
		return fmt.Errorf("show what was accepted: %w", err)
	}
	return a.activated(ctx, receipt)
}

// activated lets the person work here, in the transaction that has the receipt.
func (a *arrival) activated(ctx context.Context, receipt Receipt) error {
	if err := a.verify(ctx, receipt); err != nil {
		return err
	}
	left, err := a.leftBehind(ctx)
	if err != nil {
		return fmt.Errorf("ask what the source has left: %w", err)
	}
	return a.write(ctx, func(tx *sql.Tx, e *entry[arriving]) ([]ledger.Event, error) {
		events, err := e.happens(Commit, e.Epoch, e.Root, logActivated)
		if err != nil || events == nil {
			return nil, err
		}
		events[0] = e.event(logActivated, note{Epoch: e.Epoch, Root: e.Root, Receipt: receipt.hash()})
		e.Detail.Receipt, e.Detail.Tokens, e.Detail.Stopping = &receipt, "", false
		if err := a.adopt(ctx, tx, e); err != nil {
			return nil, err
		}
		followed, err := a.followed(ctx, tx, e.Move, left)
		if err != nil {
			return nil, err
		}
		return append(events, followed...), nil
	})
}

// adopt gives the person what came. Of somebody who comes back it takes the place of what stayed here, but for what they
// could not take with them when they left: then nothing goes, and both are merged.
func (a *arrival) adopt(ctx context.Context, tx *sql.Tx, e *entry[arriving]) error {
	back, rest, err := a.store.returns(ctx, tx, e.Person)
	if err == nil && back && rest {
		err = a.opt.Staging.Release(ctx, tx, e.Person)
	}
	if err != nil {
		return err
	}
	adopted, err := a.opt.Staging.Adopt(ctx, tx, e.ID, e.Person)
	e.Detail.Merge = !adopted
	return err
}

// verify checks that a receipt is about just what was accepted.
func (a *arrival) verify(ctx context.Context, receipt Receipt) error {
	peer, err := a.opt.Peer(ctx, a.Peer)
	if err != nil {
		return err
	}
	if len(receipt.Signatures) != 2 || receipt.compact(0) != a.Detail.Acceptance {
		return fmt.Errorf("%w: the receipt is about something else than what was accepted here", ErrRefused)
	}
	_, err = openAcceptance(receipt.compact(1), peer)
	return err
}

// finish merges what came into what the person had, where they had something, and clears up.
func (a *arrival) finish(ctx context.Context) error {
	if a.Detail.Done {
		return a.reconcile(ctx)
	}
	if a.Detail.Merge {
		if err := a.merge(ctx); err != nil {
			return err
		}
	}
	if err := a.forgetFiles(a.ID); err != nil {
		return err
	}
	return a.write(ctx, func(_ *sql.Tx, e *entry[arriving]) ([]ledger.Event, error) {
		if e.Detail.Done = true; e.Detail.Declared == nil {
			e.Due = time.Time{}
		}
		return nil, nil
	})
}

// merge copies what came into what the person has. Done again, it goes on.
func (a *arrival) merge(ctx context.Context) error {
	source, err := a.opt.Staging.Source(ctx, a.ID)
	if errors.Is(err, operators.ErrNotFound) {
		return nil // it is done, and was cleared up
	}
	if err != nil {
		return err
	}
	defer source.Close()
	target, err := a.opt.Staging.Into(ctx, a.Person)
	if err != nil {
		return err
	}
	defer target.Close()
	began := a.store.now()
	report, err := transfer.Copy{Source: source, Target: target, Series: "merge " + a.ID, Journal: transfer.Journal{Person: a.Person, Log: a.opt.Append}, Form: "merge",
		Observe: func(p transfer.Progress) {
			a.show(ctx, Progress{Step: Merging, Records: p.Records, Bytes: p.Bytes, TotalRecords: p.TotalRecords, TotalBytes: p.TotalBytes, Began: began})
		}}.Run(ctx)
	if err != nil {
		return fmt.Errorf("merge: %w", err)
	}
	if err := noRoom(report); err != nil {
		return err // and nothing is discarded
	}
	if err := a.write(ctx, func(_ *sql.Tx, e *entry[arriving]) ([]ledger.Event, error) {
		e.Detail.Refused = mostly(e.Detail.Refused, report.Refused)
		return nil, nil
	}); err != nil {
		return err
	}
	if err := source.Close(); err != nil {
		return err
	}
	return a.opt.Staging.Discard(ctx, a.ID)
}

// showEvery is how often it is written how far a move is.
const showEvery = 500 * time.Millisecond

// show writes now and then how far the move is, for people to look at.
func (a *arrival) show(ctx context.Context, p Progress) {
	if time.Since(a.shown) < showEvery || ctx.Err() != nil {
		return
	}
	text, err := json.Marshal(p)
	if err != nil || !a.showing.CompareAndSwap(false, true) {
		return
	}
	a.shown = time.Now()
	// On SQLite it waits for the transaction of the load that it is about, which must not wait for it.
	a.shows.Go(func() {
		defer a.showing.Store(false)
		// Where it cannot be written only what is shown is older.
		_, _ = a.store.db.Write.ExecContext(ctx, `UPDATE move_move SET progress = $3 WHERE id = $1 AND side = $2`, a.ID, string(Destination), string(text))
	})
}
