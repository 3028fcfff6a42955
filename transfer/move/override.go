package move

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/passerelle-cloud/passerelle/consent/ledger"
	"github.com/passerelle-cloud/passerelle/formats"
)

// Once the destination has accepted, only the source can end the move, either way; and a source that is gone for good never
// does. Then the person may declare that it is, and works at the destination without the receipt, under an epoch of their
// declaration. Should the source come back, it may have let them write there again: that is a fork, which nobody can rule out,
// and of which they are told beforehand. The destination goes on asking: often the source signs after all, or says that it
// has lifted its fence.

// Declared is that a person declared the operator whom they leave to be gone.
type Declared struct {
	At   time.Time `json:"at"`
	Text string    `json:"text"` // what they were shown, and confirmed
	// Outcome is what the source said when it came back after all.
	Outcome Outcome `json:"outcome,omitempty"`
}

// Outcome is how a declaration that a source is gone turned out.
type Outcome string

// The outcomes.
const (
	Signed Outcome = "signed" // the source has retired after all: there is a receipt, and one instance
	Forked Outcome = "forked" // the source has let the person write again: there are two instances
)

// ErrNotSilent is returned where a source is declared to be gone that answered lately.
var ErrNotSilent = errors.New("the operator whom the person leaves answered not long ago: only one that has been silent for longer can be declared gone")

const (
	longSilence   = 24 * time.Hour      // see [ReceiverOptions.Silence]
	reconcileFor  = 90 * 24 * time.Hour // how long a source that was declared gone is asked again
	mostDeclared  = 4000                // bytes of a declaration
	reconcileRest = time.Hour
)

// Overridable is from when on the source can be declared gone; zero: it cannot.
func (r *Receiver) overridable(e *entry[arriving]) time.Time {
	if e.Stage != Accepted || e.Detail.Silent.IsZero() {
		return time.Time{}
	}
	return e.Detail.Silent.Add(r.silence())
}

func (r *Receiver) silence() time.Duration {
	if r.opt.Silence > 0 {
		return r.opt.Silence
	}
	return longSilence
}

// Override lets the person work here without the receipt, on their declaration that the source is gone for good, whose text
// is kept. The error is [ErrNotSilent] where the source answered within the time of [ReceiverOptions.Silence], and
// [ErrOrder] where nothing was accepted yet: then they can stop the move, and come with an archive.
func (r *Receiver) Override(ctx context.Context, person, id, declaration string) error {
	if strings.TrimSpace(declaration) == "" || len(declaration) > mostDeclared || !utf8.ValidString(declaration) {
		return fmt.Errorf("%w: a declaration is a text of up to %d bytes", ErrRefused, mostDeclared)
	}
	e, err := r.own(ctx, person, id)
	if err != nil {
		return err
	}
	a := &arrival{Receiver: r, entry: e}
	err = a.write(ctx, func(tx *sql.Tx, e *entry[arriving]) ([]ledger.Event, error) {
		return a.override(ctx, tx, e, declaration)
	})
	if err == nil {
		r.work.ring()
	}
	return err
}

// override is an activation without the source: the instance is the person's, and of what follows all waits for their yes.
func (a *arrival) override(ctx context.Context, tx *sql.Tx, e *entry[arriving], declaration string) ([]ledger.Event, error) {
	if e.Detail.Declared != nil {
		return nil, nil // it was declared already
	}
	now := a.store.now()
	if from := a.overridable(e); e.Stage == Accepted && (from.IsZero() || now.Before(from)) {
		return nil, ErrNotSilent
	}
	events, err := e.happens(Override, e.Epoch+1, e.Root, logOverridden)
	if err != nil || events == nil {
		return nil, err
	}
	events[0] = e.event(logOverridden, note{Epoch: e.Epoch, Root: e.Root, Declared: formats.HashOf([]byte(declaration)).String()})
	e.Detail.Declared, e.Detail.Stopping, e.Detail.Silent = &Declared{At: now.UTC(), Text: declaration}, false, time.Time{}
	if err := a.adopt(ctx, tx, e); err != nil {
		return nil, err
	}
	followed, err := a.followed(ctx, tx, e.Move, nil)
	return append(events, followed...), err
}

// reconcile asks a source that was declared gone whether it is back.
func (a *arrival) reconcile(ctx context.Context) error {
	d := a.Detail.Declared
	if d == nil || d.Outcome != "" || a.store.now().Sub(d.At) > reconcileFor {
		return a.rest(ctx)
	}
	receipt, forked, err := a.returned(ctx)
	switch {
	case err != nil: // it is still gone
		return a.write(ctx, func(_ *sql.Tx, e *entry[arriving]) ([]ledger.Event, error) {
			e.Due = a.store.now().Add(min(reconcileRest, a.silence()))
			return nil, nil
		})
	case forked:
		return a.turnsOut(ctx, Forked, nil, note{Epoch: a.Epoch, Root: a.Root, Why: "the source is back, and the person can write there too"}, logForked)
	}
	return a.turnsOut(ctx, Signed, receipt, note{Epoch: a.Epoch, Root: a.Root, Receipt: receipt.hash()}, logActivated)
}

func (a *arrival) turnsOut(ctx context.Context, o Outcome, receipt *Receipt, n note, what string) error {
	return a.write(ctx, func(_ *sql.Tx, e *entry[arriving]) ([]ledger.Event, error) {
		e.Detail.Declared.Outcome, e.Detail.Receipt, e.Detail.Tokens, e.Due = o, receipt, "", time.Time{}
		return []ledger.Event{e.event(what, n)}, nil
	})
}

// returned shows a source again what was accepted, which it signs if it has let nobody write since. It believes that it is a
// fork only if the source has signed how it stands.
func (a *arrival) returned(ctx context.Context) (_ *Receipt, forked bool, err error) {
	if err := a.connect(ctx); err != nil {
		return nil, false, err
	}
	receipt, err := a.link.accept(ctx, a.ID, a.Detail.Acceptance)
	if err != nil {
		peer, errPeer := a.opt.Peer(ctx, a.Peer)
		if errPeer != nil {
			return nil, false, errPeer
		}
		said, errSaid := a.link.say(ctx, a.ID, peer)
		if errSaid != nil {
			return nil, false, errors.Join(err, errSaid)
		}
		if said.Stage == Planned || said.Stage == Aborted {
			return nil, true, nil
		}
		if receipt, err = a.link.receipt(ctx, a.ID); err != nil {
			return nil, false, err
		}
	}
	return &receipt, false, a.verify(ctx, receipt)
}
