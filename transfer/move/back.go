package move

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/passerelle-cloud/passerelle/consent/ledger"
)

// Where somebody has moved away from here their data stays for a time, read-only. They may come back with what it has become,
// which then takes its place; or else the time is over, and it is erased.

// at is the store of the other side of moves, in the same database.
func (s *store) at(side Side) *store {
	other := *s
	other.side = side
	return &other
}

// hold keeps others from beginning a move of a person, or ending their data here, until the transaction ends.
func (s *store) hold(ctx context.Context, tx *sql.Tx, person string) error {
	return s.db.Hold(ctx, tx, "move/"+person)
}

// admits says what is against another move of a person: one that is under way, in whichever direction, for where two
// changed who has the instance nobody could say any more who can write to it; and to leave from where they have left.
func (s *store) admits(ctx context.Context, tx *sql.Tx, person string) error {
	came, err := latest[arriving](ctx, s.at(Destination), tx, person)
	switch {
	case err == nil && (!came.Ended() || came.Stage == Activated && !came.Detail.Done):
		return ErrOpen
	case err != nil && !errors.Is(err, ErrNotFound):
		return err
	}
	left, err := latest[leaving](ctx, s.at(Source), tx, person)
	switch {
	case errors.Is(err, ErrNotFound):
		return nil
	case err != nil:
		return err
	case !left.Ended(), left.Detail.Erasing && left.Stage == Committed:
		return ErrOpen
	case s.side == Source && gone(left):
		return ErrTooLate
	}
	return nil
}

// gone reports whether an instance has left with a move, and not come back.
func gone(e *entry[leaving]) bool {
	return e.Stage == Committed && e.Detail.Back.IsZero() || e.Stage == Erased
}

// returns notes that somebody comes back who had moved away from here: what stayed is not erased any more. It reports whether
// they had, and whether there is something of it that they could not take with them.
func (s *store) returns(ctx context.Context, tx *sql.Tx, person string) (back, rest bool, err error) {
	source := s.at(Source)
	if _, err := tx.ExecContext(ctx, `UPDATE move_move SET changed = changed WHERE person = $1 AND side = $2`, person, string(Source)); err != nil {
		return false, false, fmt.Errorf("take the moves: %w", err)
	}
	left, err := latest[leaving](ctx, source, tx, person)
	if errors.Is(err, ErrNotFound) || err == nil && !gone(left) {
		return false, false, nil
	}
	if err != nil {
		return false, false, err
	}
	if left.Detail.Erasing {
		return false, false, errErasing
	}
	signed, err := left.Detail.Receipt.Text()
	if err != nil {
		return false, false, err
	}
	left.Detail.Back, left.Due = s.now().UTC(), time.Time{}
	return true, len(signed.Refused) > 0, put(ctx, source, tx, left)
}

// stays reports whether what a person left here when they moved away stays when they come back: something of it could not go with
// them. See [arrival.adopt].
func (s *store) stays(ctx context.Context, person string) (bool, error) {
	left, err := latest[leaving](ctx, s.at(Source), s.db.Read, person)
	if errors.Is(err, ErrNotFound) || err == nil && !gone(left) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	signed, err := left.Detail.Receipt.Text()
	return len(signed.Refused) > 0, err
}

var errErasing = errors.New("what stayed here of an earlier move is being erased: it goes on when that is done")

// Text is what a receipt says; whether it is signed as it must be, [Receipt.Verify] tells.
func (r *Receipt) Text() (a Acceptance, err error) {
	if len(r.Signatures) == 0 {
		return a, fmt.Errorf("%w: nobody signed the receipt", ErrRefused)
	}
	payload, err := payloadOf(r.compact(0))
	if err == nil {
		err = json.Unmarshal(payload, &a)
	}
	return a, err
}

// patience is how long the erasure of somebody waits who is just coming back.
const patience = time.Hour

// erase removes the person when their time to come back is over. Where it does not succeed it is tried again.
func (s *Sender) erase(ctx context.Context, e *entry[leaving]) error {
	person := e.Person
	e, err := s.beginErasing(ctx, e.ID)
	if err != nil || !e.Detail.Erasing {
		return err
	}
	certificate, err := s.opt.Erase(ctx, person)
	if err != nil {
		return fmt.Errorf("erase who has moved: %w", err)
	}
	_, err = change(ctx, s.store, e.ID, func(tx *sql.Tx, e *entry[leaving]) ([]ledger.Event, error) {
		after, err := e.After(Remove, 0, "")
		if err != nil || after == e.Standing {
			return nil, err
		}
		e.Standing, e.Due, e.Person = after, time.Time{}, "" // nothing here names them any more
		e.Detail.Erased, e.Detail.Certificate = s.store.now().UTC(), certificate
		// The person's own chain in the log has ended with them: this is what the operator did.
		event := e.event(logErased, note{Receipt: e.Detail.Receipt.hash()})
		event.Person, event.Class = operatorChain, ledger.Conduct
		return []ledger.Event{event}, s.store.forget(ctx, tx, person)
	})
	return err
}

// beginErasing says, before anything is removed, that nobody can come back to it any more; whoever is just coming back is
// waited for.
func (s *Sender) beginErasing(ctx context.Context, id string) (*entry[leaving], error) {
	return change(ctx, s.store, id, func(tx *sql.Tx, e *entry[leaving]) ([]ledger.Event, error) {
		if err := s.store.hold(ctx, tx, e.Person); err != nil {
			return nil, err
		}
		came, err := latest[arriving](ctx, s.store.at(Destination), tx, e.Person)
		switch {
		case e.Stage != Committed || !e.Detail.Back.IsZero() || e.Detail.Erasing:
		case err == nil && !came.Ended():
			e.Due = s.store.now().Add(patience)
		case err == nil || errors.Is(err, ErrNotFound):
			e.Detail.Erasing = true
		default:
			return nil, err
		}
		return nil, nil
	})
}

// forget removes what earlier moves say of a person who is erased: what came with them, and their name.
func (s *store) forget(ctx context.Context, tx *sql.Tx, person string) error {
	if _, err := tx.ExecContext(ctx, `DELETE FROM move_move WHERE person = $1 AND side = $2`, person, string(Destination)); err != nil {
		return fmt.Errorf("forget the moves: %w", err)
	}
	if _, err := tx.ExecContext(ctx, `UPDATE move_move SET person = '' WHERE person = $1`, person); err != nil {
		return fmt.Errorf("forget the moves: %w", err)
	}
	return nil
}

// operatorChain stands for the operator where the log wants a person (see consent.OperatorChain).
const operatorChain = "operator:"
