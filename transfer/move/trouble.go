package move

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/passerelle-cloud/passerelle/consent/ledger"
	"github.com/passerelle-cloud/passerelle/transfer"
)

// do takes one move a step further, or learns why it cannot be.
func (r *Receiver) do(ctx context.Context, id string) error {
	e, err := read[arriving](ctx, r.store, r.store.db.Read, id)
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	r.mu.Lock()
	r.stop[id] = stop
	r.mu.Unlock()
	defer func() {
		r.mu.Lock()
		delete(r.stop, id)
		r.mu.Unlock()
	}()
	a := &arrival{Receiver: r, entry: e}
	defer a.shows.Wait()
	return r.trouble(ctx, a, a.goOn(ctx))
}

// goOn does what the move stands at. What nobody need be asked for is done also where the source cannot be reached, or is
// not trusted any more.
func (a *arrival) goOn(ctx context.Context) error {
	if a.Detail.Paused {
		return a.wait(ctx)
	}
	if a.Stage == Activated {
		return a.step(ctx)
	}
	unreachable := a.connect(ctx)
	switch {
	case a.Stage == Aborted:
		return a.cleared(ctx, unreachable)
	case a.Detail.Stopping:
		return a.giveUp(ctx, unreachable)
	case unreachable != nil:
		return unreachable
	}
	return a.step(ctx)
}

func (a *arrival) connect(ctx context.Context) error {
	peer, err := a.opt.Peer(ctx, a.Peer)
	if err != nil {
		return err
	}
	a.link, err = a.opt.Connect(ctx, peer, a.Detail.Tokens)
	return err
}

// wait is for a move that is paused.
func (a *arrival) wait(ctx context.Context) error {
	_, err := change(ctx, a.store, a.ID, func(_ *sql.Tx, e *entry[arriving]) ([]ledger.Event, error) {
		if e.Detail.Paused {
			e.Due = time.Time{}
		}
		return nil, nil
	})
	return err
}

// trouble notes why a step did not succeed, and when it is tried again: at once where the source lifted its fence, later
// where something is broken, never where the move has ended.
func (r *Receiver) trouble(ctx context.Context, a *arrival, why error) error {
	switch cause := context.Cause(ctx); {
	case why == nil, errors.Is(why, errPaused), errors.Is(why, errStopped), errors.Is(cause, errPaused), errors.Is(cause, errStopped):
		return nil
	case ctx.Err() != nil:
		return why // the gateway stops
	}
	if a.link != nil && a.heeds(why) {
		heard, err := a.listen(ctx)
		if err == nil && heard {
			return nil
		}
		why = errors.Join(why, err)
	}
	kind := a.kind(why)
	_, err := change(ctx, r.store, a.ID, func(_ *sql.Tx, e *entry[arriving]) ([]ledger.Event, error) {
		e.Detail.Trouble = kind
		if a.heard || e.Stage != Accepted {
			e.Detail.Silent = time.Time{}
		} else if e.Detail.Silent.IsZero() {
			e.Detail.Silent = r.store.now()
		}
		if errors.Is(why, transfer.ErrRefused) {
			e.Detail.Tries = max(e.Detail.Tries, 10) // all of it comes again: not so often
		}
		if !e.Detail.Paused {
			e.Due = r.store.now().Add(r.work.backoff(e.Detail.Tries))
		}
		e.Detail.Tries++
		return nil, nil
	})
	if err == nil {
		r.work.log.Info("a move waits", "move", a.ID, "stage", a.Stage, "kind", kind, "error", unnamed(why, a.Person))
	}
	return err
}

// heeds reports whether an error may mean that the source stands otherwise than it is taken to. Where the person cannot write
// anywhere each may.
func (a *arrival) heeds(why error) bool {
	if a.Stage == Aborted || a.Stage == Activated {
		return false
	}
	return a.Stage == Fenced || a.Stage == Accepted || over(why) || errors.Is(why, ErrStranger) || errors.Is(why, ErrStale) || errors.Is(why, ErrOrder) || errors.Is(why, ErrOtherState)
}

// over reports whether an error says that at the source the move is not under way any more.
func over(why error) bool {
	return errors.Is(why, ErrUnauthorised) || errors.Is(why, ErrEnded) || errors.Is(why, ErrTooLate) || errors.Is(why, ErrNotFound)
}

// listen asks the source how it stands, which it signs, and does what follows from that. It reports whether anything did.
func (a *arrival) listen(ctx context.Context) (bool, error) {
	peer, err := a.opt.Peer(ctx, a.Peer)
	if err != nil {
		return false, err
	}
	s, err := a.link.say(ctx, a.ID, peer)
	if err != nil {
		return false, fmt.Errorf("ask how the source stands: %w", err)
	}
	a.heard = true
	switch {
	case s.Stage == Aborted:
		return true, a.aborted(ctx, "the source has ended it: the authorisation was withdrawn, or somebody stopped it there")
	case s.Stage == Planned && (s.Epoch > a.Epoch || s.Epoch == a.Epoch && (a.Stage == Fenced || a.Stage == Accepted)):
		return true, a.lifted(ctx, s.Epoch)
	case (s.Stage == Committed || s.Stage == Erased) && a.Stage == Accepted:
		receipt, err := a.link.receipt(ctx, a.ID)
		if err != nil {
			return false, err
		}
		return true, a.activated(ctx, receipt)
	}
	return false, nil
}

// mostFences is after how many fences that did not lead anywhere somebody has to look why: at each the person waits.
const mostFences = 6

// lifted goes back to where the source has lifted its fence.
func (a *arrival) lifted(ctx context.Context, epoch int) error {
	return a.write(ctx, func(_ *sql.Tx, e *entry[arriving]) ([]ledger.Event, error) {
		e.Detail.FencedAt, e.Detail.Acceptance, e.Detail.Silent = nil, "", time.Time{}
		if epoch%mostFences == 0 && !e.Detail.Stopping {
			e.Detail.Paused, e.Due = true, time.Time{}
			e.Detail.Trouble = FencesFail
		}
		return e.happens(Lift, epoch, "", logLifted)
	})
}

// aborted ends the move after the source has said, signed, that it has ended, and discards what came.
func (a *arrival) aborted(ctx context.Context, why string) error {
	return a.discard(ctx, why, true, func(s Standing) (Standing, error) { return s.Stopped() })
}

// giveUp ends the move because the person wants it. What was accepted is given up only when the source says that it has.
func (a *arrival) giveUp(ctx context.Context, unreachable error) error {
	told := unreachable
	if told == nil {
		told = a.link.abort(ctx, a.ID, whyStopped)
		if told == nil || a.heeds(told) {
			heard, err := a.listen(ctx)
			if heard && err == nil {
				return nil
			}
			if a.Stage == Accepted {
				told = errors.Join(told, err)
			}
		}
	}
	if a.Stage == Accepted {
		return errors.Join(fmt.Errorf("it was accepted, and only %s can stop it", a.Peer), told)
	}
	return a.discard(ctx, "the person stopped it", told == nil || over(told), func(s Standing) (Standing, error) { return s.After(Abort, 0, "") })
}

const whyStopped = "the person stopped it at the other operator"

// discard ends the move, and removes all that came. It is written down first that it has ended, since nothing may be
// activated after that. Where the source was not told, the tokens are kept to tell it.
func (a *arrival) discard(ctx context.Context, why string, told bool, to func(Standing) (Standing, error)) error {
	return a.write(ctx, func(tx *sql.Tx, e *entry[arriving]) ([]ledger.Event, error) {
		after, err := to(e.Standing)
		if err != nil {
			return nil, err
		}
		if told {
			e.Detail.Tokens = ""
		}
		e.Detail.Paused, e.Due = false, a.store.now()
		if after == e.Standing {
			return nil, nil
		}
		e.Standing, e.Detail.Why = after, why
		return []ledger.Event{e.event(logAborted, note{Why: why})}, a.store.keepFollows(ctx, tx, e.ID, nil)
	})
}

// cleared removes what came of a move that has ended, and tells the source if it does not know: what it keeps for the move
// it would keep until the authorisation is over.
func (a *arrival) cleared(ctx context.Context, unreachable error) error {
	if err := errors.Join(a.opt.Staging.Discard(ctx, a.ID), a.forgetFiles(a.ID)); err != nil {
		return err
	}
	if a.Detail.Tokens != "" && a.store.now().Before(a.Detail.Plan.Until) {
		told := unreachable
		if told == nil {
			told = a.link.abort(ctx, a.ID, whyStopped)
		}
		if told != nil && !over(told) {
			return fmt.Errorf("tell %s that it was stopped: %w", a.Peer, told)
		}
	}
	return a.write(ctx, func(_ *sql.Tx, e *entry[arriving]) ([]ledger.Event, error) {
		e.Detail.Tokens, e.Due = "", time.Time{}
		return nil, nil
	})
}
