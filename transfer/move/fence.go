package move

import (
	"context"
	"crypto/rand"
	"database/sql"
	"fmt"
	"io"
	"maps"
	"time"

	"github.com/passerelle-cloud/passerelle/consent/ledger"
	"github.com/passerelle-cloud/passerelle/formats"
	"github.com/passerelle-cloud/passerelle/formats/statement"
	"github.com/passerelle-cloud/passerelle/operators"
)

// Fence makes an instance read-only for an epoch of its move, and says at which state it stands. It is read-only before it
// is known at which state, and before the move says so: a process that dies in between leaves it safe, and the fence is
// lifted when its time is over.
func (s *Sender) Fence(ctx context.Context, a Authorisation, id string, epoch int) (FencedAt, error) {
	e, err := s.own(ctx, a, id)
	if err == nil {
		e, err = s.hold(ctx, id, epoch)
	}
	s.work.ring()
	if err != nil {
		return FencedAt{}, fmt.Errorf("fence: %w", err)
	}
	if e.Stage == Fenced {
		return *e.Detail.FencedAt, nil
	}
	since := e.Detail.FenceUntil // while that is the same nobody has written
	at, err := s.standsAt(ctx, e.Person)
	if err != nil {
		return FencedAt{}, fmt.Errorf("fence: %w", err)
	}
	e, err = change(ctx, s.store, id, func(_ *sql.Tx, e *entry[leaving]) ([]ledger.Event, error) {
		if !e.Detail.Held || !e.Detail.FenceUntil.Equal(since) {
			return nil, ErrStale // it was lifted meanwhile, and may be up again
		}
		events, err := e.happens(Fence, epoch, at.Root.String(), logFenced)
		if events != nil {
			at.Epoch, at.Until = epoch, e.Detail.FenceUntil
			e.Detail.FencedAt, e.Detail.FencedFrom = &at, len(e.Detail.Made)
		}
		return events, err
	})
	if err != nil {
		return FencedAt{}, fmt.Errorf("fence: %w", err)
	}
	return *e.Detail.FencedAt, nil
}

// hold makes the instance read-only.
func (s *Sender) hold(ctx context.Context, id string, epoch int) (*entry[leaving], error) {
	return change(ctx, s.store, id, func(tx *sql.Tx, e *entry[leaving]) ([]ledger.Event, error) {
		if e.Stage == Fenced && e.Epoch == epoch {
			return nil, nil
		}
		if _, err := e.After(Fence, epoch, "?"); err != nil {
			return nil, err
		}
		if len(e.Detail.Made) == 0 {
			return nil, fmt.Errorf("%w: nothing was copied yet", ErrOrder)
		}
		if e.Detail.Held {
			return nil, nil // asked for again: the person is not to wait for longer
		}
		e.Detail.Held, e.Detail.FenceUntil = true, s.store.now().Add(s.opt.Fence).UTC()
		s.schedule(e)
		return nil, s.opt.Hold(ctx, tx, e.Person, true)
	})
}

// standsAt is the state of an instance that nobody writes to.
func (s *Sender) standsAt(ctx context.Context, person string) (FencedAt, error) {
	source, err := s.opt.Instance(ctx, person)
	if err != nil {
		return FencedAt{}, err
	}
	defer source.Close()
	stated, ok := source.(operators.Stated)
	if !ok {
		return FencedAt{}, fmt.Errorf("%w: this instance cannot say what it holds", operators.ErrUnsupported)
	}
	st, err := stateOf(stated.States(ctx))
	return FencedAt{Root: st.root, Counts: st.tally, Challenge: Challenge{Nonce: rand.Text(), Blobs: st.chosen}}, err
}

// Commit is the point of no return: the source has been shown that the destination holds the state at which it stopped, and
// retires, in one transaction with the receipt and its leaf. Said again, it gives the same receipt.
func (s *Sender) Commit(ctx context.Context, a Authorisation, id, acceptance string) (Receipt, error) {
	e, err := s.own(ctx, a, id)
	if err != nil {
		return Receipt{}, err
	}
	if e.Detail.Receipt != nil {
		return *e.Detail.Receipt, nil
	}
	receipt, accepted, err := s.countersign(ctx, e, acceptance)
	if err != nil {
		return Receipt{}, fmt.Errorf("retire: %w", err)
	}
	e, err = change(ctx, s.store, id, func(tx *sql.Tx, e *entry[leaving]) ([]ledger.Event, error) {
		return s.retire(ctx, tx, e, a, accepted, receipt)
	})
	if err != nil {
		return Receipt{}, fmt.Errorf("retire: %w", err)
	}
	s.work.ring()
	return *e.Detail.Receipt, nil
}

func (s *Sender) retire(ctx context.Context, tx *sql.Tx, e *entry[leaving], a Authorisation, accepted Acceptance, receipt Receipt) ([]ledger.Event, error) {
	after, err := e.After(Commit, accepted.Epoch, accepted.Root.String())
	if err != nil || after == e.Standing {
		return nil, err
	}
	if s.over(e) {
		return nil, fmt.Errorf("%w: the authorisation is over", ErrEnded)
	}
	e.Standing = after
	e.Detail.Receipt = &receipt
	e.Detail.Given, e.Detail.Prolonged, e.Detail.Committed = a.Given, a.Prolonged, s.store.now().UTC()
	e.Detail.Until = s.store.now().Add(s.opt.Retain).UTC()
	e.Due = s.store.now() // the archives go
	events := []ledger.Event{e.event(logCommitted, note{Epoch: e.Epoch, Root: e.Root, Receipt: receipt.hash()})}
	if s.opt.Retired == nil {
		return events, nil
	}
	more, err := s.opt.Retired(ctx, tx, e.Move)
	return append(events, more...), err
}

// countersign holds an acceptance against what the source knows, and signs it too.
func (s *Sender) countersign(ctx context.Context, e *entry[leaving], acceptance string) (Receipt, Acceptance, error) {
	peer, err := s.opt.Peer(ctx, e.Peer)
	if err != nil {
		return Receipt{}, Acceptance{}, err
	}
	a, err := openAcceptance(acceptance, peer)
	if err == nil {
		err = s.holds(ctx, e, peer, &a)
	}
	if err != nil {
		return Receipt{}, a, err
	}
	payload, err := payloadOf(acceptance)
	if err != nil {
		return Receipt{}, a, err
	}
	own, err := s.sign(ctx, typeAcceptance, payload)
	if err != nil {
		return Receipt{}, a, err
	}
	receipt, err := newReceipt(acceptance, own)
	return receipt, a, err
}

// holds checks what the destination says that it holds.
func (s *Sender) holds(ctx context.Context, e *entry[leaving], peer *statement.Signed, a *Acceptance) error {
	at := e.Detail.FencedAt
	switch {
	case a.Move != e.ID, a.Source.ID != s.opt.Operator.ID, a.Destination.ID != string(peer.Statement.ID), a.Person != e.Detail.Pseudonym:
		return fmt.Errorf("%w: the acceptance is about another move", ErrRefused)
	case e.Stage != Fenced || at == nil || a.Epoch != e.Epoch:
		return ErrStale
	case a.Root != at.Root || !maps.Equal(a.Counts, at.Counts):
		return ErrOtherState
	case a.At.After(s.store.now().Add(statement.Tolerance)):
		return fmt.Errorf("%w: the acceptance is of %s, which is not yet: the clocks of the two operators differ", ErrRefused, a.At.Format(time.RFC3339))
	}
	return s.answered(ctx, e.Person, at.Challenge, a.Answers)
}

// answered checks the answers to a challenge against the bytes themselves.
func (s *Sender) answered(ctx context.Context, person string, c Challenge, answers []formats.Hash) error {
	right, err := answer(ctx, func(ctx context.Context, blob formats.Hash) (io.ReadCloser, error) {
		return s.opt.Content(ctx, person, blob)
	}, c)
	if err != nil {
		return err
	}
	if len(answers) != len(right) {
		return fmt.Errorf("%w: %d answers for %d blobs", ErrRefused, len(answers), len(right))
	}
	for n := range right {
		if answers[n] != right[n] {
			return fmt.Errorf("%w: it does not hold the bytes of %s", ErrRefused, c.Blobs[n])
		}
	}
	return nil
}
