package move

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/passerelle-cloud/passerelle/consent/ledger"
)

// do takes one move a step further, or learns why it cannot be.
func (r *Receiver) do(ctx context.Context, id string) error {
	e, err := read[arriving](ctx, r.store, r.store.db.Read, id)
	if err != nil || e.Detail.Paused {
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
		delete(r.boards, id)
		r.mu.Unlock()
	}()
	a := &arrival{Receiver: r, entry: e, board: r.board(id)}
	showing, hide := context.WithCancel(ctx)
	defer hide()
	go a.board.keep(showing, r.store, id)
	if e.Stage == Activated || e.Stage == Aborted {
		return r.trouble(ctx, a, a.step(ctx))
	}
	peer, err := r.opt.Peer(ctx, e.Peer)
	if err == nil {
		a.link, err = r.opt.Connect(ctx, peer, e.Detail.Tokens)
	}
	if err != nil {
		return r.trouble(ctx, a, err)
	}
	if e.Detail.Stopping {
		return r.trouble(ctx, a, a.giveUp(ctx))
	}
	return r.trouble(ctx, a, a.step(ctx))
}

// trouble notes why a step did not succeed, and when it is tried again: at once where the source lifted its fence, later
// where something is broken, never where the move has ended.
func (r *Receiver) trouble(ctx context.Context, a *arrival, why error) error {
	switch cause := context.Cause(ctx); {
	case why == nil, errors.Is(why, errPaused), errors.Is(cause, errPaused), errors.Is(cause, errStopped):
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
	_, err := change(ctx, r.store, a.ID, func(_ *sql.Tx, e *entry[arriving]) ([]ledger.Event, error) {
		e.Detail.Trouble = why.Error()
		e.Due = r.store.now().Add(backoff(e.Detail.Tries))
		e.Detail.Tries++
		return nil, nil
	})
	if err == nil {
		r.work.log.Info("a move waits", "move", a.ID, "stage", a.Stage, "error", why)
	}
	return err
}

const longestWait = time.Minute

func backoff(tries int) time.Duration {
	if tries > 7 {
		return longestWait
	}
	return min(longestWait, 500*time.Millisecond<<tries)
}

// heeds reports whether an error may mean that the source stands otherwise than it is taken to.
func (a *arrival) heeds(why error) bool {
	for _, e := range []error{ErrUnauthorised, ErrEnded, ErrStale, ErrOrder, ErrOtherState, ErrTooLate} {
		if errors.Is(why, e) {
			return true
		}
	}
	return false
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
	switch {
	case s.Stage == Aborted:
		return true, a.aborted(ctx, "the source has ended it: the authorisation was withdrawn, or somebody stopped it there")
	case s.Stage == Planned && (a.Stage == Fenced || a.Stage == Accepted) && s.Epoch >= a.Epoch:
		return true, a.lifted(ctx, s.Epoch)
	case (s.Stage == Committed || s.Stage == Erased) && a.Stage == Accepted:
		receipt, err := a.link.receipt(ctx, a.ID)
		if err != nil {
			return false, err
		}
		return true, a.verify(ctx, receipt) // the next step has it
	}
	return false, nil
}

// lifted goes back to where the source has lifted its fence.
func (a *arrival) lifted(ctx context.Context, epoch int) error {
	return a.write(ctx, func(_ *sql.Tx, e *entry[arriving]) ([]ledger.Event, error) {
		e.Detail.FencedAt, e.Detail.Acceptance = nil, ""
		return e.happens(Lift, epoch, "", logLifted)
	})
}

// aborted ends the move after the source has said, signed, that it has ended, and discards what came.
func (a *arrival) aborted(ctx context.Context, why string) error {
	return a.discard(ctx, why, func(s Standing) (Standing, error) { return s.Stopped() })
}

// giveUp ends the move because the person wants it. What was accepted is given up only when the source says that it has.
func (a *arrival) giveUp(ctx context.Context) error {
	told := a.link.abort(ctx, a.ID, "the person stopped it at the other operator")
	if told == nil || a.heeds(told) {
		heard, err := a.listen(ctx)
		if heard || err == nil && a.Stage == Accepted {
			return err
		}
	}
	if a.Stage == Accepted {
		return fmt.Errorf("it was accepted, and only %s can stop it: %w", a.Peer, told)
	}
	return a.discard(ctx, "the person stopped it", func(s Standing) (Standing, error) { return s.After(Abort, 0, "") })
}

// discard ends the move, and removes all that came. It is written down first that it has ended, since nothing may be
// activated after that.
func (a *arrival) discard(ctx context.Context, why string, to func(Standing) (Standing, error)) error {
	err := a.write(ctx, func(tx *sql.Tx, e *entry[arriving]) ([]ledger.Event, error) {
		after, err := to(e.Standing)
		if err != nil {
			return nil, err
		}
		if after == e.Standing {
			return nil, nil
		}
		e.Standing = after
		e.Detail.Why, e.Detail.Tokens = why, ""
		return []ledger.Event{e.event(logAborted, note{Why: why})}, a.store.keepFollows(ctx, tx, e.ID, nil)
	})
	if err != nil {
		return err
	}
	return a.cleared(ctx)
}

// cleared removes what came of a move that has ended.
func (a *arrival) cleared(ctx context.Context) error {
	if err := errors.Join(a.opt.Staging.Discard(ctx, a.ID), a.forgetFiles(a.ID)); err != nil {
		return err
	}
	return a.rest(ctx)
}
