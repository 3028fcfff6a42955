package audit

import (
	"context"
	"fmt"
	"time"

	"github.com/passerelle-cloud/passerelle/compliance/dataact"
)

// Switched is a person's move to another operator that has happened, with the times that the Data Act is about.
type Switched struct {
	Consent   string    `json:"consent"`   // the authorisation
	To        string    `json:"to"`        // id of the operator
	Given     time.Time `json:"given"`     // when the person authorised it
	Prolonged bool      `json:"prolonged"` // and gave more time since, as is their right (article 25(5))
	Moved     time.Time `json:"moved"`
	Until     time.Time `json:"until"`           // for the person to come back for their data
	Erased    time.Time `json:"erased,omitzero"` // zero: not yet
}

const (
	leastRetained = dataact.LeastRetained * 24 * time.Hour // what is shorter is so however one counts calendar days
	eraseWithin   = 24 * time.Hour                         // after the time for retrieval: a gateway may have been down
	shownMoves    = 50
)

// moves returns those that began in the last two years.
func (d *Desk) moves(ctx context.Context) ([]Switched, error) {
	if d.switched == nil {
		return nil, nil
	}
	return d.switched(ctx, d.clock().AddDate(-2, 0, 0))
}

// slow says why a move took too long (Data Act article 25(2)(a)).
func (s *Switched) slow() string {
	if took := s.Moved.Sub(s.Given); !s.Prolonged && took > dataact.Transition {
		return fmt.Sprintf("it took %s from the yes of the person", took.Round(time.Second))
	}
	return ""
}

// gone says why the data was, or will be, there for too short a time (article 25(2)(g)).
func (s *Switched) gone() string {
	end := s.Until
	if !s.Erased.IsZero() && s.Erased.Before(end) {
		end = s.Erased
	}
	if kept := end.Sub(s.Moved); kept < leastRetained {
		return fmt.Sprintf("the data were kept for %s", kept.Round(time.Second))
	}
	return ""
}

// stayed says why the data was there for too long (article 25(2)(h)).
func (s *Switched) stayed(now time.Time) string {
	end := s.Erased
	if end.IsZero() {
		end = now
	}
	if end.After(s.Until.Add(eraseWithin)) {
		return "the data should have been erased on " + s.Until.Format(time.RFC3339)
	}
	return ""
}

func (d *Desk) lookAtMoves(ctx context.Context, l *looked, why func(*Switched) string) error {
	list, err := d.moves(ctx)
	for i := range list {
		l.see(list[i].Consent, why(&list[i]))
	}
	return err
}

func (d *Desk) lookAtSpeed(ctx context.Context, l *looked) error {
	return d.lookAtMoves(ctx, l, (*Switched).slow)
}

func (d *Desk) lookAtRetrieval(ctx context.Context, l *looked) error {
	return d.lookAtMoves(ctx, l, (*Switched).gone)
}

func (d *Desk) lookAtErasures(ctx context.Context, l *looked) error {
	return d.lookAtMoves(ctx, l, func(s *Switched) string { return s.stayed(d.clock()) })
}

// lastMoves are those that happened last, the last one first.
func (d *Desk) lastMoves(ctx context.Context) ([]Switched, error) {
	all, err := d.moves(ctx)
	list := []Switched{}
	for i := len(all) - 1; i >= 0 && len(list) < shownMoves; i-- {
		list = append(list, all[i])
	}
	return list, err
}
