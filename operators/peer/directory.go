package peer

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/passerelle-cloud/passerelle/formats/statement"
)

// Directory finds the statements of the operators that an administrator trusts. What an operator has published since it was
// pinned counts, as far as its identity key vouches for it: keys rotate, and are revoked, without anybody here doing anything.
type Directory struct {
	// Pins reads who is trusted: each time, so that who is pinned, or is no longer, counts at once.
	Pins func() (*statement.Pins, error)

	mu     sync.Mutex
	looked map[statement.OperatorID]time.Time
}

// lookAgain is how often an operator is asked for its newest statement, and shortTime how long that may hold up others.
const (
	lookAgain = 5 * time.Minute
	shortTime = 3 * time.Second
)

// Find returns the newest statement of an operator that is trusted; the error wraps [statement.ErrUnknown] for others.
func (d *Directory) Find(ctx context.Context, id string) (*statement.Signed, error) {
	pins, err := d.Pins()
	if err != nil {
		return nil, err
	}
	pinned := find(pins, id)
	if pinned == nil {
		return nil, fmt.Errorf("%w: %s; have the administrator compare its fingerprint and pin it: passerelle operator trust https://…", statement.ErrUnknown, id)
	}
	if !d.due(pinned.Statement.ID) {
		return pinned, nil
	}
	return d.newest(ctx, pins, pinned), nil
}

func find(pins *statement.Pins, id string) *statement.Signed {
	for _, s := range pins.All() {
		if string(s.Statement.ID) == id {
			return s
		}
	}
	return nil
}

// due reports whether an operator is to be asked, and notes that it is.
func (d *Directory) due(id statement.OperatorID) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.looked == nil {
		d.looked = map[statement.OperatorID]time.Time{}
	}
	if time.Since(d.looked[id]) < lookAgain {
		return false
	}
	d.looked[id] = time.Now()
	return true
}

// newest asks an operator for its statement, and pins it if it follows the pinned one. Where it does not answer, or answers
// with what nobody vouches for, the pinned one holds.
func (d *Directory) newest(ctx context.Context, pins *statement.Pins, pinned *statement.Signed) *statement.Signed {
	ctx, stop := context.WithTimeout(ctx, shortTime)
	defer stop()
	now, err := Fetch(ctx, URL(pinned.Statement.Operator))
	if err != nil || now.Statement.ID != pinned.Statement.ID {
		return pinned
	}
	if trust := pins.Judge(now); trust.Level != statement.Trusted || trust.Newest == nil {
		return pinned
	}
	if err := pins.Pin(now); err != nil && !errors.Is(err, statement.ErrOlder) {
		return pinned
	}
	return now
}
