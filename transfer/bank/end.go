package bank

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/passerelle-cloud/passerelle/internal/jobs"
)

// Disconnect ends a connection: nothing is read with it from now on, and the bank is told, again and again if need be. What was
// read stays in the home, where it is the person's.
func (b *Banks) Disconnect(ctx context.Context, person, id string) error {
	s, err := b.one(ctx, `id = $1 AND person = $2`, id, person)
	if err != nil {
		return err
	}
	err = b.update(ctx, s.ID, (*stored).ending)
	if err != nil {
		return err
	}
	_, err = b.finish(ctx, s.ID)
	if _, known := TroubleOf(err); known {
		return nil // it is tried again by itself
	}
	return err
}

// mostTold is how often a bank is told that a connection has ended before that is given up, after some ten days: its consent ends
// by itself. The connection says what the trouble was.
const mostTold = 24

// finish tells the bank what has ended. An error of the bank is kept in the connection, which is tried again when it is due.
func (b *Banks) finish(ctx context.Context, id string) (*Connection, error) {
	s, err := b.one(ctx, `id = $1`, id)
	if err != nil || s.State != Ending {
		return nil, err
	}
	failed := b.tell(ctx, s)
	t, known := TroubleOf(failed)
	if !known {
		return nil, failed
	}
	if s.Person == "" && (failed == nil || s.Failures >= mostTold) { // of somebody who is forgotten
		_, err := b.o.DB.Write.ExecContext(ctx, `DELETE FROM bank_connection WHERE id = $1`, id)
		return nil, errors.Join(err, failed)
	}
	err = b.update(ctx, id, func(now *stored) {
		now.Former, now.Trouble = s.Former, t
		if now.Failures++; failed == nil || now.Failures > mostTold {
			now.State, now.Due, now.secret = Disconnected, time.Time{}, secrets{}
		} else {
			now.Due = time.Now().Add(min(firstWait<<min(now.Failures-1, 10), mostWait) + rand.N(jitter/4))
		}
		s = now
	})
	return &s.Connection, errors.Join(err, failed)
}

// tell deletes consents at the bank that are not needed any more, and keeps those that it could not delete.
func (b *Banks) tell(ctx context.Context, s *stored) error {
	bank, err := b.bank(s.Bank)
	if err != nil {
		return err
	}
	for len(s.Former) > 0 {
		access, err := b.access(ctx, bank, s, s.Former[0])
		if err != nil {
			return err
		}
		if err := bank.DeleteConsent(ctx, access); err != nil {
			return err
		}
		s.Former = s.Former[1:]
	}
	return nil
}

// deleteFormer tells the bank of consents that a newer one took the place of. Where that cannot be done now, reading goes on.
func (r *run) deleteFormer(ctx context.Context) error {
	err := r.b.tell(ctx, r.s)
	if _, known := TroubleOf(err); known {
		return nil
	}
	return err
}

// RefreshArgs are the arguments of a refresh that comes by itself.
type RefreshArgs struct {
	Connection string `json:"connection"`
	Due        int64  `json:"due"` // another time means: another job does it
}

// Refreshing is the job that refreshes a connection without the person, or tells a bank that it has ended.
const Refreshing jobs.Kind[RefreshArgs] = "bank.refresh"

// busyWait is how long a refresh waits for another one of the same connection.
const busyWait = time.Minute

// Workers are those of the queue.
func (b *Banks) Workers() []jobs.Worker {
	due, asked := Refreshing.Worker(b.refreshDue), Asked.Worker(b.refreshAsked)
	due.Timeout, asked.Timeout = 15*time.Minute, 15*time.Minute
	return []jobs.Worker{due, asked}
}

func (b *Banks) refreshDue(ctx context.Context, args RefreshArgs) error {
	s, err := b.one(ctx, `id = $1`, args.Connection)
	switch {
	case errors.Is(err, ErrNotFound):
		return nil
	case err != nil:
		return err
	case micro(s.Due) != args.Due:
		return nil // it was refreshed meanwhile, and another job is there
	case s.State == Ending:
		_, err = b.finish(ctx, s.ID)
	case s.State == Connected:
		_, err = b.Refresh(ctx, s.Person, s.ID, nil, nil)
	}
	if errors.Is(err, ErrBusy) {
		return jobs.Snooze(busyWait)
	}
	if _, known := TroubleOf(err); known && ctx.Err() == nil {
		return nil // the connection says so, and when it is tried again
	}
	return err
}

// Wake takes on the refreshes that are due, for a gateway that starts: those too whose jobs were lost. It returns how many
// there are. Where one process alone has the database, nobody else can be at work: what one that died had taken is free.
func (b *Banks) Wake(ctx context.Context) (int, error) {
	if b.o.DB.Embedded() {
		if _, err := b.o.DB.Write.ExecContext(ctx, `UPDATE bank_connection SET leased = 0 WHERE leased > 0`); err != nil {
			return 0, fmt.Errorf("free connections with banks: %w", err)
		}
	}
	list, err := b.find(ctx, b.o.DB.Read, `due > 0 AND due < $1`, micro(time.Now()))
	if err != nil {
		return 0, err
	}
	for _, s := range list {
		err := b.o.DB.Tx(ctx, func(tx *sql.Tx) error {
			return b.o.Queue.Add(ctx, tx, Refreshing.Job(RefreshArgs{Connection: s.ID, Due: micro(s.Due)}), jobs.Options{Unique: true})
		})
		if err != nil {
			return 0, fmt.Errorf("take on a refresh: %w", err)
		}
	}
	return len(list), nil
}

func daysBefore(day string, n int) string {
	t, err := time.Parse(time.DateOnly, day)
	if err != nil {
		return ""
	}
	return t.AddDate(0, 0, -n).Format(time.DateOnly)
}
