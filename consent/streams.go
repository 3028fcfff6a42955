package consent

import (
	"context"
	"database/sql"
	"errors"
	"sync"
	"time"

	"github.com/passerelle-cloud/passerelle/consent/ledger"
)

// defaultLease is how long bytes may flow without asking whether the consent still stands. To withdraw takes no longer.
const defaultLease = 1500 * time.Millisecond

// streams are the permits of this process under which bytes may flow.
type streams struct {
	lease time.Duration
	mu    sync.Mutex
	open  map[*Permit]struct{}
}

func newStreams(lease time.Duration) *streams {
	if lease == 0 {
		lease = defaultLease
	}
	return &streams{lease: lease, open: map[*Permit]struct{}{}}
}

func (s *streams) add(p *Permit) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open[p] = struct{}{}
}

func (s *streams) remove(p *Permit) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.open, p)
}

// stop cuts the streams of a consent, or of a service, after it was committed that nothing may flow any more. It
// returns when all of them, on every replica, have ended, or when the last lease that was given before must have run
// out. Leases are measured where the bytes are sent, from before it was looked whether the consent stands, so that no
// two clocks are compared.
func (s *streams) stop(ctx context.Context, a *Authority, where, arg string, mine func(*Permit) bool) error {
	committed := time.Now()
	s.mu.Lock()
	var cut []*Permit
	for p := range s.open {
		if mine(p) {
			cut = append(cut, p)
		}
	}
	s.mu.Unlock()
	for _, p := range cut {
		p.stop()
	}
	ctx = context.WithoutCancel(ctx) // whoever withdrew may be gone; the rest is still to be ended
	for wait := time.Millisecond; ; wait = min(2*wait, 50*time.Millisecond) {
		var one int
		err := a.db.Read.QueryRowContext(ctx, `SELECT 1 FROM consent_access WHERE open AND `+where+` LIMIT 1`, arg).Scan(&one)
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		left := s.lease - time.Since(committed)
		if left <= 0 {
			return errors.Join(err, s.close(ctx, a, where, arg))
		}
		time.Sleep(min(wait, left))
	}
}

// close marks what has not ended by itself: its replica is gone, or is about to find out.
func (s *streams) close(ctx context.Context, a *Authority, where, arg string) error {
	_, err := a.ledger.Commit(ctx, func(tx *sql.Tx) ([]ledger.Event, error) {
		_, err := tx.ExecContext(ctx, `UPDATE consent_access SET open = FALSE, outcome = 'cut' WHERE open AND `+where, arg)
		return nil, err
	})
	return err
}
