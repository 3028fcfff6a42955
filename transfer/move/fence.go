package move

import (
	"context"
	"crypto/rand"
	"database/sql"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"time"

	"github.com/passerelle-cloud/passerelle/consent/ledger"
	"github.com/passerelle-cloud/passerelle/formats"
	"github.com/passerelle-cloud/passerelle/formats/statement"
	"github.com/passerelle-cloud/passerelle/operators"
	"github.com/passerelle-cloud/passerelle/transfer"
)

// Fence makes an instance read-only for an epoch of its move, and says at which state it stands. It is read-only before it
// is known at which state, and before the move says so: a process that dies in between leaves it safe, and the fence is
// lifted when its time is over.
func (s *Sender) Fence(ctx context.Context, a Authorisation, id string, epoch int) (FencedAt, error) {
	e, err := s.own(ctx, a, id)
	if err == nil {
		e, err = s.hold(ctx, id, epoch)
	}
	if err != nil {
		return FencedAt{}, fmt.Errorf("fence: %w", err)
	}
	if e.Stage == Fenced {
		return *e.Detail.FencedAt, nil
	}
	at, err := s.standsAt(ctx, e.Person)
	if err != nil {
		return FencedAt{}, fmt.Errorf("fence: %w", err)
	}
	e, err = change(ctx, s.store, id, func(_ *sql.Tx, e *entry[leaving]) ([]ledger.Event, error) {
		if !e.Detail.Held {
			return nil, ErrStale // it was lifted meanwhile
		}
		events, err := e.happens(Fence, epoch, at.Root.String(), logFenced)
		if events != nil {
			at.Epoch, at.Until = epoch, e.Detail.FenceUntil
			e.Detail.FencedAt = &at
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
		e.Detail.Held, e.Detail.FenceUntil = true, s.store.now().Add(s.opt.Fence).UTC()
		e.Due = e.Detail.FenceUntil
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
	return *e.Detail.Receipt, os.RemoveAll(filepath.Join(s.opt.Dir, id))
}

func (s *Sender) retire(ctx context.Context, tx *sql.Tx, e *entry[leaving], a Authorisation, accepted Acceptance, receipt Receipt) ([]ledger.Event, error) {
	after, err := e.After(Commit, accepted.Epoch, accepted.Root.String())
	if err != nil || after == e.Standing {
		return nil, err
	}
	e.Standing = after
	e.Detail.Receipt = &receipt
	e.Detail.Given, e.Detail.Prolonged, e.Detail.Committed = a.Given, a.Prolonged, s.store.now().UTC()
	e.Detail.Until = s.store.now().Add(s.opt.Retain).UTC()
	e.Due = e.Detail.Until
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

// do does what is due about one move.
func (s *Sender) do(ctx context.Context, id string) error {
	e, err := read[leaving](ctx, s.store, s.store.db.Read, id)
	if err != nil {
		return err
	}
	now := s.store.now()
	switch {
	case e.Stage == Committed && !now.Before(e.Detail.Until):
		return s.erase(ctx, e)
	case e.Detail.Held && !e.Ended() && !now.Before(e.Detail.FenceUntil):
		return s.lift(ctx, id)
	case !e.Ended() && e.Detail.Asked > len(e.Detail.Made):
		return s.pack(ctx, e)
	}
	_, err = change(ctx, s.store, id, func(_ *sql.Tx, e *entry[leaving]) ([]ledger.Event, error) {
		e.Due = e.Detail.next(e.Stage)
		return nil, nil
	})
	return err
}

// next is when something is to be done that nobody asks for.
func (l *leaving) next(stage Stage) time.Time {
	switch {
	case stage == Committed:
		return l.Until
	case l.Held && stage != Aborted && stage != Erased:
		return l.FenceUntil
	}
	return time.Time{}
}

// lift lets the person write again.
func (s *Sender) lift(ctx context.Context, id string) error {
	_, err := change(ctx, s.store, id, func(tx *sql.Tx, e *entry[leaving]) ([]ledger.Event, error) {
		if !e.Detail.Held || e.Ended() || s.store.now().Before(e.Detail.FenceUntil) {
			return nil, nil
		}
		var events []ledger.Event
		if e.Stage == Fenced {
			var err error
			if events, err = e.happens(Lift, e.Epoch, "", logLifted); err != nil {
				return nil, err
			}
		}
		e.Detail.Held, e.Due = false, time.Time{}
		return events, s.opt.Hold(ctx, tx, e.Person, false)
	})
	return err
}

// pack makes the archive that was asked for. It begins from nothing each time it is run.
func (s *Sender) pack(ctx context.Context, e *entry[leaving]) error {
	n := len(e.Detail.Made)
	if err := os.RemoveAll(filepath.Join(s.opt.Dir, e.ID)); err != nil { // the one before has been loaded
		return err
	}
	if err := os.MkdirAll(s.folder(e.ID, n), 0o700); err != nil {
		return err
	}
	packed, last, err := s.export(ctx, e, n)
	if err != nil {
		return fmt.Errorf("pack archive %d: %w", n, err)
	}
	_, err = change(ctx, s.store, e.ID, func(_ *sql.Tx, e *entry[leaving]) ([]ledger.Event, error) {
		if e.Ended() || len(e.Detail.Made) != n {
			return nil, nil
		}
		for i := range e.Detail.Made {
			e.Detail.Made[i].Files = nil
		}
		e.Detail.Made, e.Detail.Last = append(e.Detail.Made, packed), &last
		e.Due = e.Detail.next(e.Stage)
		return nil, nil
	})
	return err
}

func (s *Sender) export(ctx context.Context, e *entry[leaving], n int) (Packed, transfer.Previous, error) {
	peer, err := s.opt.Peer(ctx, e.Peer)
	if err != nil {
		return Packed{}, transfer.Previous{}, err
	}
	source, err := s.opt.Instance(ctx, e.Person)
	if err != nil {
		return Packed{}, transfer.Previous{}, err
	}
	defer source.Close()
	x, err := s.opt.Export(ctx, e.Person, peer, source)
	if err != nil {
		return Packed{}, transfer.Previous{}, err
	}
	x.Series, x.Out, x.VolumeSize, x.Since, x.Pseudonym = e.ID, filepath.Join(s.folder(e.ID, n), "archive"), volumeSize, e.Detail.Last, e.Detail.Pseudonym
	sealed, err := x.Run(ctx)
	if err != nil {
		return Packed{}, transfer.Previous{}, err
	}
	total := sealed.Claims.Totals()
	packed := Packed{Sequence: n, Ready: true, Records: total.Records, Bytes: total.Bytes}
	for _, d := range sealed.Claims.Datasets {
		packed.Records += d.Tombstones
	}
	for _, name := range sealed.Files {
		info, err := os.Stat(filepath.Join(s.folder(e.ID, n), name))
		if err != nil {
			return packed, transfer.Previous{}, err
		}
		packed.Files = append(packed.Files, File{name, info.Size()})
	}
	last := transfer.Previous{Claims: sealed.Claims, Root: sealed.Root}
	last.Claims.Omissions = nil // the next one goes on without them
	return packed, last, nil
}

// erase removes the person when their time to come back is over. Where it does not succeed it is tried again.
func (s *Sender) erase(ctx context.Context, e *entry[leaving]) error {
	certificate, err := s.opt.Erase(ctx, e.Person)
	if err != nil {
		return fmt.Errorf("erase who has moved: %w", err)
	}
	_, err = change(ctx, s.store, e.ID, func(_ *sql.Tx, e *entry[leaving]) ([]ledger.Event, error) {
		after, err := e.After(Remove, 0, "")
		if err != nil || after == e.Standing {
			return nil, err
		}
		e.Standing, e.Due, e.Person = after, time.Time{}, "" // nothing here names them any more
		e.Detail.Erased, e.Detail.Certificate = s.store.now().UTC(), certificate
		// The person's own chain in the log has ended with them: this is what the operator did.
		event := e.event(logErased, note{Receipt: e.Detail.Receipt.hash()})
		event.Person, event.Class = operatorChain, ledger.Conduct
		return []ledger.Event{event}, nil
	})
	return err
}

// operatorChain stands for the operator where the log wants a person (see consent.OperatorChain).
const operatorChain = "operator:"
