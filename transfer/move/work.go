package move

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"
)

// worker does what is due about moves. On any number of replicas each move is worked on by one at a time, which holds a
// lock that goes with its process: another goes on at once where one dies, however long a step takes. (A queue of jobs
// would have to be told how long a step may take at the most, and would wait as long.)
type worker struct {
	store *store
	do    func(ctx context.Context, id string) error
	log   *slog.Logger
	bell  chan struct{}
	pace  time.Duration // see SenderOptions

	mu   sync.Mutex
	busy map[string]bool
}

const (
	parallel    = 4 // moves that a process works on at once, so that memory is bounded
	defaultPace = 500 * time.Millisecond
)

func newWorker(s *store, log *slog.Logger, pace time.Duration, do func(context.Context, string) error) *worker {
	if pace == 0 {
		pace = defaultPace
	}
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &worker{store: s, do: do, log: log, pace: pace, bell: make(chan struct{}, 1), busy: map[string]bool{}}
}

// ring has the worker look now.
func (w *worker) ring() {
	select {
	case w.bell <- struct{}{}:
	default:
	}
}

// run works until the context ends, and returns when nothing is under way any more.
func (w *worker) run(ctx context.Context) {
	var under sync.WaitGroup
	defer under.Wait()
	clock := time.NewTicker(2 * w.pace)
	defer clock.Stop()
	for {
		ids, err := w.store.due(ctx, 10*parallel)
		if err != nil && ctx.Err() == nil {
			w.log.Warn("moves wait", "error", err)
		}
		for _, id := range ids {
			if w.take(id) {
				under.Go(func() { w.one(ctx, id) })
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-w.bell:
		case <-clock.C:
		}
	}
}

func (w *worker) take(id string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.busy[id] || len(w.busy) >= parallel {
		return false
	}
	w.busy[id] = true
	return true
}

func (w *worker) one(ctx context.Context, id string) {
	defer func() {
		w.mu.Lock()
		delete(w.busy, id)
		w.mu.Unlock()
		w.ring() // it may be due again, and others may have waited
	}()
	if err := w.locked(ctx, id); err != nil && ctx.Err() == nil {
		w.log.Warn("a move does not go on", "move", id, "side", w.store.side, "error", err)
		pause(ctx, 2*w.pace)
	}
}

// locked works on a move unless another replica does.
func (w *worker) locked(ctx context.Context, id string) error {
	if w.store.db.Embedded() { // one process alone writes the log
		return w.do(ctx, id)
	}
	unlock, ok, err := w.store.db.TryLock(ctx, "move-"+string(w.store.side)+"-"+id)
	if err != nil {
		return err
	}
	if !ok {
		pause(ctx, w.pace/5)
		return nil
	}
	return errors.Join(w.do(ctx, id), unlock())
}

// longestWait is in terms of the pace: a minute.
const longestWait = 120

// backoff is how long is waited after so many tries.
func (w *worker) backoff(tries int) time.Duration {
	return w.pace * time.Duration(min(longestWait, 1<<min(tries, 10)))
}

// pause waits, or less where the context ends.
func pause(ctx context.Context, d time.Duration) {
	clock := time.NewTimer(d)
	defer clock.Stop()
	select {
	case <-ctx.Done():
	case <-clock.C:
	}
}
