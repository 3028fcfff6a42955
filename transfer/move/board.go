package move

import (
	"context"
	"encoding/json"
	"sync"
	"time"
)

// board is where a step says how far it is, as often as it likes. What was said last is written to the database now and
// then, for other replicas and for the time after: beside the step, which may be holding the one connection that writes.
type board struct {
	mu   sync.Mutex
	last Progress
	said bool
}

// writeEvery is how often it is written.
const writeEvery = time.Second

func (b *board) show(p Progress) {
	b.mu.Lock()
	b.last, b.said = p, true
	b.mu.Unlock()
}

// read returns what was said last, and false if nothing was.
func (b *board) read() (Progress, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.last, b.said
}

// keep writes what is said until the context ends.
func (b *board) keep(ctx context.Context, s *store, id string) {
	clock := time.NewTicker(writeEvery)
	defer clock.Stop()
	for written := (Progress{}); ; {
		select {
		case <-ctx.Done():
			return
		case <-clock.C:
		}
		p, said := b.read()
		if !said || p == written {
			continue
		}
		text, err := json.Marshal(p)
		if err == nil {
			_, err = s.db.Write.ExecContext(ctx, `UPDATE move_move SET progress = $3 WHERE id = $1 AND side = $2`, id, string(s.side), string(text))
		}
		if err == nil { // otherwise only what others see is older
			written = p
		}
	}
}
