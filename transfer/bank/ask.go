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

// Ask has a connection refreshed for a person who is there; that goes on when they leave the page. ErrBusy says that it is
// being refreshed already.
func (b *Banks) Ask(ctx context.Context, person, id string, p atbank.Presence) error {
	c, err := b.Connection(ctx, person, id)
	switch {
	case err != nil:
		return err
	case c.State != Connected:
		return fmt.Errorf("%w: it is %s", ErrState, c.State)
	case c.Busy:
		return ErrBusy
	}
	now := time.Now().UTC()
	if err := b.update(ctx, id, func(s *stored) { s.Asked = now }); err != nil {
		return err
	}
	return b.o.DB.Tx(ctx, func(tx *sql.Tx) error {
		job := Asked.Job(AskArgs{Connection: id, Person: person, Presence: p, At: now})
		return b.o.Queue.Add(ctx, tx, job, jobs.Options{Unique: true})
	})
}

// present is for how long after they asked a person counts as being there: longer than a refresh waits for its turn.
const present = 10 * time.Minute

func (b *Banks) refreshAsked(ctx context.Context, args AskArgs) error {
	var presence *Presence
	if time.Since(args.At) < present {
		presence = &Presence{Presence: args.Presence, At: args.At}
	}
	_, err := b.Refresh(ctx, args.Person, args.Connection, presence, b.teller(ctx, args.Connection))
	if errors.Is(err, ErrBusy) || errors.Is(err, ErrState) || errors.Is(err, ErrNotFound) {
		err = nil // somebody else does it, or there is nothing to do any more
	}
	if err != nil {
		return err
	}
	err = b.update(ctx, args.Connection, func(s *stored) { s.Asked = time.Time{} })
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

// TroubleOf says what an error of connecting a bank means to the person. An error that it does not know is none of the bank's.
func TroubleOf(err error) (t Trouble, known bool) { return troubleOf(err) }
