package move

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/passerelle-cloud/passerelle/consent/ledger"
	"github.com/passerelle-cloud/passerelle/transfer"
)

// do does what is due about one move, and notes when it is tried again where that did not succeed.
func (s *Sender) do(ctx context.Context, id string) error {
	err := s.step(ctx, id)
	if err == nil || ctx.Err() != nil {
		return err
	}
	e, noted := change(ctx, s.store, id, func(_ *sql.Tx, e *entry[leaving]) ([]ledger.Event, error) {
		s.schedule(e)
		if at := s.store.now().Add(s.work.backoff(e.Detail.Tries)); !e.Detail.Held || at.Before(e.Detail.FenceUntil) {
			e.Due = at
		}
		e.Detail.Tries++
		if e.Detail.Asked > len(e.Detail.Made) {
			e.Detail.Ails = ailment(err)
		}
		return nil, nil
	})
	if noted != nil {
		return errors.Join(err, noted)
	}
	return errors.New(unnamed(err, e.Person)) // it is for the log
}

func (s *Sender) step(ctx context.Context, id string) error {
	e, err := read[leaving](ctx, s.store, s.store.db.Read, id)
	if err != nil {
		return err
	}
	now := s.store.now()
	switch {
	case e.Ended():
		return s.ended(ctx, e)
	case e.Detail.Held && !now.Before(e.Detail.FenceUntil):
		return s.lift(ctx, id)
	case s.over(e):
		_, err := s.expire(ctx, e)
		return err
	case e.Detail.Asked > len(e.Detail.Made):
		return s.pack(ctx, e)
	}
	return s.rest(ctx, id)
}

// rest notes when there is something to do that nobody asks for.
func (s *Sender) rest(ctx context.Context, id string) error {
	_, err := change(ctx, s.store, id, func(_ *sql.Tx, e *entry[leaving]) ([]ledger.Event, error) {
		s.schedule(e)
		return nil, nil
	})
	return err
}

// schedule sets when something is to be done about a move.
func (s *Sender) schedule(e *entry[leaving]) {
	d := &e.Detail
	switch {
	case e.Stage == Committed && d.Back.IsZero():
		e.Due = d.Until
	case e.Ended():
		e.Due = time.Time{}
	case d.Asked > len(d.Made):
		e.Due = s.store.now()
	case d.Held && (d.Ends.IsZero() || d.FenceUntil.Before(d.Ends)):
		e.Due = d.FenceUntil
	default:
		e.Due = d.Ends
	}
}

// ended removes the archives of a move that has ended, and the person when their time to come back is over.
func (s *Sender) ended(ctx context.Context, e *entry[leaving]) error {
	if err := os.RemoveAll(filepath.Join(s.opt.Dir, e.ID)); err != nil {
		return err
	}
	if e.Stage == Committed && e.Detail.Back.IsZero() && !s.store.now().Before(e.Detail.Until) {
		return s.erase(ctx, e)
	}
	_, err := change(ctx, s.store, e.ID, func(_ *sql.Tx, e *entry[leaving]) ([]ledger.Event, error) {
		s.schedule(e)
		if !e.Detail.Unlogged {
			return nil, nil
		}
		e.Detail.Unlogged = false
		return []ledger.Event{e.event(logAborted, note{Why: e.Detail.Why})}, nil
	})
	return err
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
		e.Detail.Held = false
		s.schedule(e)
		return events, s.opt.Hold(ctx, tx, e.Person, false)
	})
	return err
}

// pack makes the archive that was asked for. It begins from nothing each time it is run.
func (s *Sender) pack(ctx context.Context, e *entry[leaving]) error {
	n := len(e.Detail.Made)
	if err := s.room(e.ID, n); err != nil {
		return err
	}
	if err := os.MkdirAll(s.folder(e.ID, n), 0o700); err != nil {
		return err
	}
	if e.Detail.Held { // the person waits: the fence is lifted in time also where this does not end
		var stop context.CancelFunc
		ctx, stop = context.WithTimeout(ctx, e.Detail.FenceUntil.Sub(s.store.now()))
		defer stop()
	}
	packed, last, err := s.export(ctx, e, n)
	if err != nil {
		return fmt.Errorf("pack archive %d: %w", n, err)
	}
	whole := e.Detail.Whole
	_, err = change(ctx, s.store, e.ID, func(_ *sql.Tx, e *entry[leaving]) ([]ledger.Event, error) {
		if e.Ended() || len(e.Detail.Made) != n || e.Detail.Whole != whole {
			return nil, nil
		}
		for i := range e.Detail.Made {
			e.Detail.Made[i].Files = nil
		}
		e.Detail.Made, e.Detail.Before, e.Detail.Last = append(e.Detail.Made, packed), e.Detail.Last, &last
		e.Detail.Tries, e.Detail.Ails = 0, ""
		s.schedule(e)
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
	if e.Stage == Fenced && n == e.Detail.FencedFrom {
		x.State = e.Detail.FencedAt.Root // nobody can write; the next one may be asked for since this one met damaged bytes
	}
	x.Codecs = nil // whoever opens it reads the records
	x.Series, x.Out, x.VolumeSize, x.Since, x.Pseudonym = e.ID, filepath.Join(s.folder(e.ID, n), "archive"), volumeSize, e.Detail.Last, e.Detail.Pseudonym
	if n == 0 && !e.Detail.Whole {
		held, err := s.held(e.ID)
		if err != nil {
			return Packed{}, transfer.Previous{}, err
		}
		if held != nil {
			x.Held = held
		}
	}
	if left := e.Detail.Ends.Sub(s.store.now()); !e.Detail.Ends.IsZero() {
		x.Lifetime = left + 24*time.Hour // as long as the move may take, which may be paused
	}
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

// there reports whether the files of an archive are.
func (s *Sender) there(e *entry[leaving], n int) bool {
	for _, f := range e.Detail.Made[n].Files {
		if info, err := os.Stat(filepath.Join(s.folder(e.ID, n), f.Name)); err != nil || info.Size() != f.Size {
			return false
		}
	}
	return true
}

// remake has the last archive made again, whose files somebody removed.
func (s *Sender) remake(ctx context.Context, id string, n int) error {
	_, err := change(ctx, s.store, id, func(_ *sql.Tx, e *entry[leaving]) ([]ledger.Event, error) {
		if e.Ended() || len(e.Detail.Made) != n+1 || e.Detail.Asked != n+1 || s.there(e, n) {
			return nil, nil
		}
		e.Detail.Made, e.Detail.Last = e.Detail.Made[:n], e.Detail.Before
		e.Due = s.store.now()
		return nil, nil
	})
	s.work.ring()
	return err
}
