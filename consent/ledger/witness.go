package ledger

import (
	"context"
	"time"
)

// Witness is somebody who cosigns our checkpoints.
type Witness struct {
	Key string
	URL string
}

// publish runs after each commit, though not more often than a few times a second.
func (l *Ledger) publish(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-l.nudge:
		}
		head, err := l.Head(ctx)
		if err == nil {
			err = l.water.rise(head)
		}
		if err != nil && ctx.Err() == nil {
			l.opt.Log.Error("the log's high-water file cannot be written", "error", err)
		}
		if !pause(ctx, 50*time.Millisecond) {
			return
		}
	}
}
