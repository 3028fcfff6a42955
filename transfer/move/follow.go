package move

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/passerelle-cloud/passerelle/consent/ledger"
)

// What follows a person besides their instance (their consents) is for others to know: here it is a text that the source
// hands out while it is fenced, and that the destination keeps from its acceptance until its activation. Since a consent can
// be withdrawn also while nothing else changes, the source says, signed with how the move stands, what of it stood when it
// retired: what does not is not taken over.

// InTx does something as a part of a transaction, and returns what is logged of it.
type InTx func(ctx context.Context, tx *sql.Tx) ([]ledger.Event, error)

// Then does something more in the same transaction, of which nothing is logged.
func (do InTx) Then(more func(context.Context, *sql.Tx) error) InTx {
	return func(ctx context.Context, tx *sql.Tx) ([]ledger.Event, error) {
		events, err := do(ctx, tx)
		if err == nil {
			err = more(ctx, tx)
		}
		return events, err
	}
}

// Hook makes of what prepares something that is done in a transaction what [SenderOptions.Retired] wants.
func Hook(prepare func(ctx context.Context, m Move) (InTx, error)) func(context.Context, *sql.Tx, Move) ([]ledger.Event, error) {
	return func(ctx context.Context, tx *sql.Tx, m Move) ([]ledger.Event, error) {
		do, err := prepare(ctx, m)
		if err != nil {
			return nil, err
		}
		return do(ctx, tx)
	}
}

// maxFollows is the greatest size of what follows, in bytes.
const maxFollows = 8 << 20

// Follows says what follows the person, while nothing of the instance changes.
func (s *Sender) Follows(ctx context.Context, a Authorisation, id string) (json.RawMessage, error) {
	e, err := s.own(ctx, a, id)
	if err != nil {
		return nil, err
	}
	if e.Stage != Fenced {
		return nil, e.order("follow")
	}
	if s.opt.Follows == nil {
		return json.RawMessage(`{}`), nil
	}
	text, err := s.opt.Follows(ctx, e.Move)
	if err == nil && len(text) > maxFollows {
		err = fmt.Errorf("what follows the person has %d bytes, more than %d", len(text), maxFollows)
	}
	return text, err
}

// left is what stood of it when the source retired; nil before.
func (s *Sender) left(ctx context.Context, e *entry[leaving]) (json.RawMessage, error) {
	if e.Stage != Committed || s.opt.Left == nil {
		return nil, nil
	}
	return s.opt.Left(ctx, e.Move)
}

// follows asks what follows; nothing, where the source knows of no such thing.
func (l *Link) follows(ctx context.Context, id string) (text json.RawMessage, err error) {
	status, err := l.call(ctx, http.MethodGet, l.at(id, "consents"), nil, &text)
	if status == http.StatusNotFound {
		return nil, nil
	}
	if err == nil && len(text) > maxFollows {
		err = fmt.Errorf("%w: what follows the person has %d bytes, more than %d", ErrAnswer, len(text), maxFollows)
	}
	return text, err
}

// follow asks the source what follows, and has it looked at.
func (a *arrival) follow(ctx context.Context) (json.RawMessage, error) {
	if a.opt.Follows == nil {
		return nil, nil
	}
	said, err := a.link.follows(ctx, a.ID)
	if err != nil {
		return nil, fmt.Errorf("ask what follows: %w", err)
	}
	if len(said) == 0 {
		return nil, nil
	}
	return a.opt.Follows(ctx, a.Move, said)
}

// keepFollows keeps what follows until the activation; "" after it, or when the move has ended.
func (s *store) keepFollows(ctx context.Context, tx *sql.Tx, id string, text json.RawMessage) error {
	_, err := tx.ExecContext(ctx, `UPDATE move_move SET follows = $3 WHERE id = $1 AND side = $2`, id, string(s.side), string(text))
	if err != nil {
		return fmt.Errorf("keep what follows: %w", err)
	}
	return nil
}

// patient is how often the source is asked what it has left. It has given the receipt, so that the person can work here; they do
// not wait for ever for the rest of one that is gone since.
const patient = 6

// leftBehind asks what stood when the source retired; nothing, where it does not say.
func (a *arrival) leftBehind(ctx context.Context) (json.RawMessage, error) {
	if a.opt.Followed == nil {
		return nil, nil
	}
	peer, err := a.opt.Peer(ctx, a.Peer)
	if err != nil {
		return nil, err
	}
	said, err := a.link.say(ctx, a.ID, peer)
	if err == nil && said.Stage != Committed && said.Stage != Erased {
		err = fmt.Errorf("%w: it signed the receipt, and says that it is %s", ErrRefused, said.Stage)
	}
	if err != nil && !errors.Is(err, ErrRefused) && a.Detail.Tries >= patient {
		return nil, nil
	}
	return said.Left, err
}

// followed takes over what follows, in the transaction in which the instance arrives.
func (a *arrival) followed(ctx context.Context, tx *sql.Tx, m Move, left json.RawMessage) ([]ledger.Event, error) {
	if a.opt.Followed == nil {
		return nil, nil
	}
	var kept string
	err := tx.QueryRowContext(ctx, `SELECT follows FROM move_move WHERE id = $1 AND side = $2`, m.ID, string(Destination)).Scan(&kept)
	if err != nil {
		return nil, err
	}
	take, err := a.opt.Followed(ctx, m, json.RawMessage(kept), left)
	if err != nil {
		return nil, err
	}
	events, err := take(ctx, tx)
	return events, errors.Join(err, a.store.keepFollows(ctx, tx, m.ID, nil))
}
