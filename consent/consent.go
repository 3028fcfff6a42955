// Package consent is what a service asked, what a person decided about it, and what is allowed because of that. The
// consent is the grant: its id is the OAuth grant_id, and no data leaves without a [Permit] that an [Authority] gave
// on one revision of one consent, after the access was logged.
//
// It must never know HTTP, OAuth, operators, or a rule pack by name.
package consent

import (
	"time"
)

// State is where a consent stands, in the words of DPV 2 (dpv:ConsentStatus).
type State string

// The states. A consent is valid in the first two.
const (
	Given       State = "ConsentGiven"
	Renewed     State = "RenewedConsentGiven"
	Requested   State = "ConsentRequested" // also of what came with the person from another operator, where they have still to say yes
	Refused     State = "ConsentRefused"
	Withdrawn   State = "ConsentWithdrawn"   // by the person
	Expired     State = "ConsentExpired"     //
	Invalidated State = "ConsentInvalidated" // it should not have been given
	Revoked     State = "ConsentRevoked"     // by somebody else than the person: the service gave it back, or was removed
)

// Valid reports whether data may be read on a consent that stands like this, unless it has expired meanwhile.
func (s State) Valid() bool { return s == Given || s == Renewed }

// next lists the states that may follow each.
var next = map[State][]State{
	Requested:   {Given, Requested, Renewed, Refused, Expired, Withdrawn, Revoked},
	Given:       {Given, Renewed, Withdrawn, Expired, Invalidated, Revoked},
	Renewed:     {Given, Renewed, Withdrawn, Expired, Invalidated, Revoked},
	Expired:     {Renewed, Withdrawn, Revoked},
	Refused:     nil,
	Withdrawn:   {Renewed},
	Invalidated: nil,
	Revoked:     nil,
}

func (s State) leadsTo(to State) bool {
	for _, n := range next[s] {
		if n == to {
			return true
		}
	}
	return false
}

// Consent is what a person decided about what a service asked, as its last revision says.
type Consent struct {
	ID       string // UUID; the OAuth grant_id
	Person   string // whose data: the name of the instance
	Service  string // client_id
	State    State  // Expired as soon as Expires has passed
	Revision int    // from 1
	Details  []Detail
	Packs    []string // the rule packs that governed the decision, each "name@version sha256"
	Created  time.Time
	Changed  time.Time // when the last revision was made
	Expires  time.Time // when all of its details have expired
	Accesses int64     // how often data was read
	Paused   time.Time // since when the person lets nothing be read; zero: it is not paused
	Moved    *Moved    // where the person has gone, which ended it; nil: nowhere
	Origin   *Origin   // from where it came with the person; nil: it was given here

	pauses int64 // how often it was paused
	// How, and when, the person had proved who they are who last said yes to it.
	method        string
	authenticated time.Time
}

// Valid reports whether data may be read at a time.
func (c *Consent) Valid(at time.Time) bool { return c.State.Valid() && at.Before(c.Expires) }

// expired gives the state that time alone has made of a consent.
func (c *Consent) expired(at time.Time) State {
	if c.State.Valid() && !at.Before(c.Expires) {
		return Expired
	}
	return c.State
}

// stand makes time do to a consent what it does by itself.
func (c *Consent) stand(now time.Time) {
	if c.State = c.expired(now); !c.State.Valid() {
		c.Paused = time.Time{}
	}
}

// Revision is one decision about a consent: to give, merge, replace, shorten or renew it, or to end it.
type Revision struct {
	Consent  string
	Number   int
	State    State
	Details  []Detail
	Request  string    // id of the request that it answers, or of the consent if the notice was shown with that; "" if there was none
	Notice   string    // SHA-256, hexadecimal, of the notice that was shown; see [Authority.Notice]
	Language string    // of the notice
	Method   string    // how the person was known: "password", …; or who else acted: "service", "operator", "time"
	Reason   string    // in words, if one was given
	At       time.Time //
	Expires  time.Time
	Packs    []string // as in [Consent]
	Facts    []byte   // the [Facts] on which it was taken, JSON
}
