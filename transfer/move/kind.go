package move

import (
	"errors"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/passerelle-cloud/passerelle/formats"
	"github.com/passerelle-cloud/passerelle/formats/archive"
	"github.com/passerelle-cloud/passerelle/formats/statement"
	"github.com/passerelle-cloud/passerelle/internal/sqldb"
	"github.com/passerelle-cloud/passerelle/operators"
	"github.com/passerelle-cloud/passerelle/transfer"
)

// Trouble is why a move does not go on just now, as a person is told; "" if it does. What broke in particular is for those
// who run the gateway, and is in their log: it may name folders, addresses and what the other side wrote.
type Trouble string

// The kinds of trouble. Pages have two texts for each: what has happened, and what the person can do.
const (
	Unreached    Trouble = "unreachable"    // the source does not answer, or its answers are cut
	SourceAils   Trouble = "source-fault"   // something is broken at the source
	SourceFull   Trouble = "source-full"    // its disk is full
	SourceGone   Trouble = "source-unknown" // it is not trusted here (any more)
	Stranger     Trouble = "stranger"       // it does not trust this operator (any more)
	Unauthorised Trouble = "authorisation"  // it does not accept the person's authorisation any more, and has not ended the move
	Unsound      Trouble = "unsound"        // what it answers or sends does not hold, or does not add up
	ClocksDiffer Trouble = "clocks"         // so much that neither believes what the other signs
	NoRoom       Trouble = "room"           // the person's own room here is too small
	HereFull     Trouble = "full"           // the disk here is full
	HereBusy     Trouble = "busy"           // something else has what the person has here
	HereDamaged  Trouble = "damaged"        // what is kept here is not what came
	HereAils     Trouble = "fault"          // something else is broken here
	FencesFail   Trouble = "fences"         // time and again the last changes do not come: it is paused
)

// Troubles are all kinds.
func Troubles() []Trouble {
	return []Trouble{Unreached, SourceAils, SourceFull, SourceGone, Stranger, Unauthorised, Unsound, ClocksDiffer, NoRoom, HereFull, HereBusy, HereDamaged, HereAils, FencesFail}
}

// known is the kind, or else the one that says least: earlier versions wrote sentences.
func (t Trouble) known() Trouble {
	for _, one := range append(Troubles(), "") {
		if t == one {
			return t
		}
	}
	return HereAils
}

// kinds are what errors mean, the first that fits.
var kinds = []struct {
	kind Trouble
	of   []error
}{
	{NoRoom, []error{ErrRoom}},
	{SourceFull, []error{ErrFull}},
	{SourceAils, []error{ErrAils}},
	{Stranger, []error{ErrStranger}},
	{SourceGone, []error{statement.ErrUnknown, transfer.ErrUntrusted}},
	{Unauthorised, []error{ErrUnauthorised}},
	{Unreached, []error{ErrUnreachable}},
	{HereBusy, []error{operators.ErrBusy, operators.ErrReadOnly}},
	{HereDamaged, []error{operators.ErrContentMissing}},
	{Unsound, []error{ErrAnswer, ErrRefused, ErrOtherState, ErrStale, ErrOrder, ErrEnded, ErrTooLate, ErrNotFound, archive.ErrFault, transfer.ErrRefused, formats.ErrInvalid}},
}

// troubleOf is the kind of an error.
func troubleOf(why error) Trouble {
	for _, k := range kinds {
		for _, of := range k.of {
			if errors.Is(why, of) {
				return k.kind
			}
		}
	}
	if Full(why) {
		return HereFull
	}
	return HereAils
}

// Full reports whether an error says that a disk of this side is full.
func Full(why error) bool {
	return errors.Is(why, syscall.ENOSPC) || errors.Is(why, syscall.EDQUOT) || sqldb.IsFull(why)
}

// ailment is what a source says of an error that keeps it from making an archive: not more than the person may know there.
func ailment(why error) Trouble {
	switch {
	case Full(why):
		return SourceFull
	case errors.Is(why, statement.ErrUnknown):
		return Stranger
	}
	return SourceAils
}

// ailing is what a destination makes of that.
func ailing(said Trouble) error {
	for _, k := range kinds {
		if k.kind == said {
			return k.of[0]
		}
	}
	return ErrAils
}

// kind is the kind of an error, of which differing clocks may be what is behind it.
func (a *arrival) kind(why error) Trouble {
	kind := troubleOf(why)
	if a.link == nil {
		return kind
	}
	switch skew := a.link.clock.skew(a.store.now()); {
	case (kind == Stranger || kind == Unauthorised) && skew > proofSkew, kind == Unsound && skew > statement.Tolerance:
		return ClocksDiffer
	}
	return kind
}

// proofSkew is how far clocks may be apart for the proofs of OAuth to be believed, and a little.
const proofSkew = 15 * time.Second

// clock is what the other side's answers said last of what time it is (RFC 9110 section 6.6.1).
type clock struct {
	mu       sync.Mutex
	said, at time.Time
}

func (c *clock) heard(h http.Header) {
	said, err := http.ParseTime(h.Get("Date"))
	if err != nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.said, c.at = said, time.Now()
}

// skew is how far this side's clock, which says now, is from the other one's; 0 if that has not been heard.
func (c *clock) skew(now time.Time) time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.said.IsZero() {
		return 0
	}
	return now.Sub(c.said.Add(time.Since(c.at))).Abs()
}

// unnamed is the text of an error without the name of the person's instance, for a log.
func unnamed(why error, person string) string {
	return strings.ReplaceAll(why.Error(), strconv.Quote(person), "(the person)")
}
