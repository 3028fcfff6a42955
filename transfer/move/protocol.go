// Package move is the journey of an instance from one operator to another while its owner keeps working.
package move

import (
	"errors"
	"fmt"
)

// Side is which of the two operators of a move one is.
type Side string

const (
	Source      Side = "source"      // from where the person leaves
	Destination Side = "destination" // to where they go
)

// Stage is how far one side of a move is.
type Stage string

// The stages. At the source a move is planned, fenced, committed, erased; at the destination planned, copied, caught up,
// fenced, accepted, activated. Either ends aborted.
const (
	Planned   Stage = "planned"   // nothing has come yet; at the source the person works, and parts are copied
	Copied    Stage = "copied"    // a whole snapshot has come, and was verified
	CaughtUp  Stage = "caught-up" // so have changes since; few are left
	Fenced    Stage = "fenced"    // the source is read-only, for this epoch
	Accepted  Stage = "accepted"  // the destination has signed that it holds the state of this epoch, and never gives up on its own
	Committed Stage = "committed" // the source has retired for good, and publishes the receipt: the point of no return
	Activated Stage = "activated" // the destination has the receipt: the person works there
	Erased    Stage = "erased"    // the time to come back for the data is over
	Aborted   Stage = "aborted"   // the person stays where they were
)

// Event is what happens at one side.
type Event string

const (
	Copy    Event = "copy"     // at the destination: the snapshot is whole
	CatchUp Event = "catch-up" // at the destination: a delta is loaded, and what is left is small
	Fence   Event = "fence"    // at the source: it fences; at the destination: it heard so
	Lift    Event = "lift"     // at the source: the fence was up for too long; at the destination: it heard so
	Accept  Event = "accept"   // at the destination: it has loaded and re-read the last delta
	Commit  Event = "commit"   // at the source: it was shown what the destination accepted; at the destination: it has the receipt
	Abort   Event = "abort"    // somebody gives up, or heard that the other side did
	Remove  Event = "remove"   // at the source: the instance is erased
	// Override is at the destination: the person declares that the source is gone for good. Its epoch is the next one.
	Override Event = "override"
)

// Standing is what one side has durably written of a move. Each side changes its own alone, and writes it down before it
// says so: whatever is lost on the way is asked for again.
//
// At most one side is [Standing.Writable] at any time, without clocks: the source gives up writing when it fences, and gets
// it back only by a new epoch, in which what was accepted before counts no more, or by aborting, before it has committed;
// the destination gets it by what the source has signed when it committed, which it does once and for what was accepted in
// its own epoch. The one exception is [Override], by which the person takes it upon themselves that the source is gone.
type Standing struct {
	Side  Side
	Stage Stage
	Epoch int    // how often the source has fenced; 0: never
	Root  string // of the state at the fence, which both sign; "": none
}

// Errors of [Standing.After].
var (
	// ErrTooLate says that the move cannot be stopped any more.
	ErrTooLate = errors.New("the instance has moved: going back is a new move")
	// ErrPromised says that only the source can stop what the destination has accepted.
	ErrPromised = errors.New("the move was accepted: only the operator whom the person leaves can stop it")
	// ErrEnded says that the move was aborted.
	ErrEnded = errors.New("the move was aborted: begin a new one")
	// ErrStale says that something is about a fence that was lifted.
	ErrStale = errors.New("this is about an earlier fence, which was lifted")
	// ErrOrder says that something does not follow.
	ErrOrder = errors.New("this does not follow on how far the move is")
	// ErrOtherState says that the two sides do not have the same state.
	ErrOtherState = errors.New("the two operators do not have the same state")
)

// Writable reports whether the person can change their data at this side.
func (s Standing) Writable() bool {
	switch s.Side {
	case Source:
		return s.Stage == Planned || s.Stage == Aborted
	default:
		return s.Stage == Activated
	}
}

// After is the standing after an event, which is about an epoch and the root of a state where it is a fence, its lifting, an
// acceptance or a commit. What has happened already changes nothing, so that it can be said again.
func (s Standing) After(e Event, epoch int, root string) (Standing, error) {
	if s.Side == Source {
		return s.atSource(e, epoch, root)
	}
	return s.atDestination(e, epoch, root)
}

func (s Standing) atSource(e Event, epoch int, root string) (Standing, error) {
	retired := s.Stage == Committed || s.Stage == Erased
	switch {
	case e == Abort && retired:
		return s, ErrTooLate
	case e == Abort:
		return s.at(Aborted), nil
	case s.Stage == Aborted:
		return s, ErrEnded
	case e == Remove && retired:
		return s.at(Erased), nil
	case e == Remove:
		return s, s.order(e)
	case epoch < s.Epoch, e == Fence && epoch == s.Epoch && s.Stage == Planned:
		return s, ErrStale
	case e == Commit && retired && epoch == s.Epoch && root == s.Root, e == Fence && s.Stage == Fenced && epoch == s.Epoch && root == s.Root, e == Lift && s.Stage == Planned && epoch == s.Epoch:
		return s, nil
	case retired:
		return s, ErrTooLate
	case e == Fence && s.Stage == Planned && epoch == s.Epoch+1:
		return Standing{Side: s.Side, Stage: Fenced, Epoch: epoch, Root: root}, nil
	case e == Lift && s.Stage == Fenced && epoch == s.Epoch:
		return Standing{Side: s.Side, Stage: Planned, Epoch: epoch}, nil
	case e == Commit && s.Stage == Fenced && epoch == s.Epoch && root == s.Root:
		return s.at(Committed), nil
	case e == Commit && s.Stage == Fenced && epoch == s.Epoch:
		return s, ErrOtherState
	case e == Commit && epoch == s.Epoch:
		return s, ErrStale // it was lifted
	}
	return s, s.order(e)
}

func (s Standing) atDestination(e Event, epoch int, root string) (Standing, error) {
	before := s.Stage == Planned || s.Stage == Copied || s.Stage == CaughtUp || s.Stage == Fenced
	switch {
	case e == Abort && s.Stage == Activated:
		return s, ErrTooLate
	case e == Abort && s.Stage == Accepted:
		return s, ErrPromised // see [Standing.Stopped]
	case e == Abort:
		return s.at(Aborted), nil
	case s.Stage == Aborted:
		return s, ErrEnded
	case e == Copy && s.Stage == Planned:
		return s.at(Copied), nil
	case e == Copy && before:
		return s, nil
	case e == CatchUp && (s.Stage == Copied || s.Stage == CaughtUp):
		return s.at(CaughtUp), nil
	case e == Copy, e == CatchUp:
		return s, s.order(e)
	case epoch < s.Epoch, e == Fence && epoch == s.Epoch && s.Stage == CaughtUp:
		return s, ErrStale
	case e == Fence && (s.Stage == CaughtUp || s.Stage == Fenced || s.Stage == Accepted) && epoch > s.Epoch:
		return Standing{Side: s.Side, Stage: Fenced, Epoch: epoch, Root: root}, nil // the source has lifted what was accepted before
	case e == Fence && epoch == s.Epoch && root == s.Root:
		return s, nil
	case e == Lift && (s.Stage == CaughtUp || s.Stage == Fenced || s.Stage == Accepted):
		return Standing{Side: s.Side, Stage: CaughtUp, Epoch: epoch}, nil
	case e == Override && s.Stage == Accepted && epoch == s.Epoch+1 && root == s.Root:
		return Standing{Side: s.Side, Stage: Activated, Epoch: epoch, Root: root}, nil
	case e == Override:
		return s, s.order(e)
	case e == Accept && s.Stage == Fenced && epoch == s.Epoch && root == s.Root:
		return s.at(Accepted), nil
	case e == Accept && s.Stage == Fenced && epoch == s.Epoch:
		return s, ErrOtherState
	case e == Accept && (s.Stage == Accepted || s.Stage == Activated) && epoch == s.Epoch && root == s.Root:
		return s, nil
	case e == Commit && s.Stage == Accepted && epoch == s.Epoch && root == s.Root:
		return s.at(Activated), nil
	case e == Commit && s.Stage == Activated && epoch == s.Epoch && root == s.Root:
		return s, nil
	}
	return s, s.order(e)
}

// Stopped is the standing of the destination after the source has said, signed, that it aborted: the only word that ends what
// was accepted.
func (s Standing) Stopped() (Standing, error) {
	if s.Side != Destination || s.Stage == Activated {
		return s, s.order(Abort)
	}
	return s.at(Aborted), nil
}

func (s Standing) at(stage Stage) Standing {
	s.Stage = stage
	return s
}

func (s Standing) order(e Event) error {
	return fmt.Errorf("%w: %s, where the %s is %s", ErrOrder, e, s.Side, s.Stage)
}
