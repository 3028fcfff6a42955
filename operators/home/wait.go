package home

import (
	"context"
	"sync"
	"time"

	"github.com/passerelle-cloud/passerelle/operators"
)

// lookAgain is how often one who waits looks into the database for what other processes wrote.
const lookAgain = 2 * time.Second

// Wait returns the position of the last change as soon as it is after the one given: at once where this process made
// the change, within some seconds where another did. It returns the error of the context when that ends first, an error
// wrapping [operators.ErrUnsupported] for a position that the instance has not reached, and one wrapping
// [operators.ErrNotFound] when the instance is deleted meanwhile.
func (r *Reader) Wait(ctx context.Context, after operators.Position) (operators.Position, error) {
	rung, leave := r.i.home.bells.listen(r.i.id)
	defer leave()
	clock := time.NewTicker(lookAgain)
	defer clock.Stop()
	for {
		switch at, err := r.Position(ctx); {
		case ctx.Err() != nil:
			return 0, ctx.Err()
		case err != nil:
			return 0, err
		case at > after:
			return at, nil
		case at < after:
			return 0, ahead(at, after)
		}
		select {
		case <-ctx.Done():
			return 0, ctx.Err()
		case <-rung:
		case <-clock.C:
		}
	}
}

// bells wake those of this process who wait for an instance to change.
type bells struct {
	mu        sync.Mutex
	listeners map[int64]map[chan struct{}]bool // by instance
}

// listen returns a channel that gets something whenever the instance's bell has been rung, until leave.
func (b *bells) listen(instance int64) (rung <-chan struct{}, leave func()) {
	c := make(chan struct{}, 1)
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.listeners == nil {
		b.listeners = map[int64]map[chan struct{}]bool{}
	}
	if b.listeners[instance] == nil {
		b.listeners[instance] = map[chan struct{}]bool{}
	}
	b.listeners[instance][c] = true
	return c, func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		delete(b.listeners[instance], c)
		if len(b.listeners[instance]) == 0 {
			delete(b.listeners, instance)
		}
	}
}

// ring wakes whoever listens. It never waits: one ring that was not heard yet says it all.
func (b *bells) ring(instance int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for c := range b.listeners[instance] {
		select {
		case c <- struct{}{}:
		default:
		}
	}
}
