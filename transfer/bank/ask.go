package bank

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/passerelle-cloud/passerelle/internal/jobs"
	atbank "github.com/passerelle-cloud/passerelle/operators/bank"
)

// AskArgs are the arguments of a refresh that a person asked for, with the evidence of that.
type AskArgs struct {
	Connection string          `json:"connection"`
	Person     string          `json:"person"`
	Presence   atbank.Presence `json:"presence"`
	At         time.Time       `json:"at"`
}

// Asked is the job that refreshes a connection because its person is there.
const Asked jobs.Kind[AskArgs] = "bank.asked"

// Ask has a connection refreshed for a person who is there; that goes on when they leave the page. ErrBusy says that they have
// asked already.
func (b *Banks) Ask(ctx context.Context, person, id string, p atbank.Presence) error {
	if _, err := b.Connection(ctx, person, id); err != nil {
		return err
	}
	return b.o.DB.Tx(ctx, func(tx *sql.Tx) error {
		return b.updateIn(ctx, tx, id, func(s *stored) error {
			if s.State != Connected {
				return fmt.Errorf("%w: it is %s", ErrState, s.State)
			}
			if time.Since(s.Asked) < present {
				return ErrBusy
			}
			return b.asks(ctx, tx, s, p)
		})
	})
}

// asks notes that a person asks for a refresh, and has it done.
func (b *Banks) asks(ctx context.Context, tx *sql.Tx, s *stored, p atbank.Presence) error {
	s.Asked = time.Now().UTC()
	if b.o.Queue == nil {
		return nil
	}
	return b.o.Queue.Add(ctx, tx, Asked.Job(AskArgs{Connection: s.ID, Person: s.Person, Presence: p, At: s.Asked}), jobs.Options{Unique: true})
}

// present is for how long after they asked a person counts as being there: longer than a refresh waits for its turn.
const present = 10 * time.Minute

// busyAsked is how long a refresh that a person asked for waits for another one of the same connection.
const busyAsked = 5 * time.Second

func (b *Banks) refreshAsked(ctx context.Context, args AskArgs) error {
	var presence *Presence
	if time.Since(args.At) < present {
		presence = &Presence{Presence: args.Presence, At: args.At}
	}
	_, err := b.Refresh(ctx, args.Person, args.Connection, presence, b.teller(ctx, args.Connection))
	if errors.Is(err, ErrBusy) {
		return jobs.Snooze(busyAsked) // another refresh may read with less: an earlier consent, or without the person
	}
	if err != nil && !errors.Is(err, ErrState) && !errors.Is(err, ErrNotFound) {
		return err
	}
	err = b.update(ctx, args.Connection, func(s *stored) {
		if !s.Asked.After(args.At) {
			s.Asked = time.Time{}
		}
	})
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	return err
}

// tellEvery is how often it is written how far a refresh is.
const tellEvery = 500 * time.Millisecond

// teller writes now and then how far a refresh is. Where that fails only what is shown is older.
func (b *Banks) teller(ctx context.Context, id string) func(Progress) {
	var last time.Time
	return func(p Progress) {
		if time.Since(last) < tellEvery {
			return
		}
		last = time.Now()
		text, err := json.Marshal(p)
		if err == nil {
			_, err = b.o.DB.Write.ExecContext(ctx, `UPDATE bank_connection SET progress = $2 WHERE id = $1`, id, string(text))
		}
		if err != nil {
			b.o.Log.Warn("it cannot be written how far a refresh is", "connection", id, "error", err)
		}
	}
}

// Profiles are those of the banks that can be connected.
func (b *Banks) Profiles() []atbank.Profile {
	list := make([]atbank.Profile, len(b.o.Banks))
	for i, c := range b.o.Banks {
		list[i] = c.Profile()
	}
	return list
}
