package main

import (
	"errors"
	"fmt"
	"time"

	"github.com/passerelle-cloud/passerelle/compliance/dataact"
	"github.com/passerelle-cloud/passerelle/consent"
)

// switchFlags are the operator's terms for who moves to another operator.
type switchFlags struct {
	RetainMoved int `help:"For how many days the data of who has moved is kept for them to come back for it, before it is erased: 30 or more (Data Act art. 25)." default:"30" env:"PASSERELLE_RETAIN_MOVED" placeholder:"DAYS"`
	// A source that is gone for good never signs that somebody has left it.
	SilentFor time.Duration `help:"How long an operator from whom everything of a person has come must be silent before they can declare it gone, and work here without its signature." default:"24h" env:"PASSERELLE_SILENT_FOR"`
}

// switching is what this operator promises to who moves; where it says nothing, what the law wants at the least. A move begins
// when the person says so, and nothing here takes money.
func (c switchFlags) switching() consent.Switching {
	s := consent.Switching{Retained: c.RetainMoved, Erased: true}
	if s.Retained == 0 {
		s.Retained = dataact.LeastRetained
	}
	return s
}

// check refuses terms that the law does not allow, before anybody wants to leave. 3,650 days are no time for retrieval any
// more, but a way not to erase.
func (c switchFlags) check(now time.Time) error {
	if c.RetainMoved > 3650 {
		return fmt.Errorf("%w: --retain-moved %d: give 3650 days at the most", errUsage, c.RetainMoved)
	}
	var faults []error
	if c.SilentFor < 0 {
		faults = append(faults, fmt.Errorf("%w: --silent-for %s: a time is 1m, 12h …", errUsage, c.SilentFor))
	}
	for _, r := range dataact.Faults(c.switching(), now) {
		faults = append(faults, fmt.Errorf("%w: %w", errUsage, r))
	}
	return errors.Join(faults...)
}

// kept is how long that is at the least. Calendar days begin with the one after, and the last ends with its last hour
// (Regulation (EEC, Euratom) 1182/71 article 3): wherever the person is, and where a night has one hour more, that is a day
// and an hour more.
func kept(days int) time.Duration { return time.Duration(days+1)*24*time.Hour + time.Hour }
