package transfer

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/passerelle-cloud/passerelle/formats"
	"github.com/passerelle-cloud/passerelle/formats/archive"
	"github.com/passerelle-cloud/passerelle/internal/jobs"
	"github.com/passerelle-cloud/passerelle/internal/sqldb"
	"github.com/passerelle-cloud/passerelle/operators"
)

// IntakeFault is why an archive that a person brings does not go on, as they are told; "" if it does. What broke in
// particular, where that is for those who run the gateway, is in their log.
type IntakeFault string

// The faults. Pages have two texts for each: what is wrong, and what the person can do.
const (
	FaultNoKey    IntakeFault = "no-key"    // it is encrypted
	FaultOtherKey IntakeFault = "other-key" // and not to what was given
	FaultDamaged  IntakeFault = "damaged"   // it is not sound: see Faults
	FaultSeveral  IntakeFault = "several"   // it is more than one
	FaultPart     IntakeFault = "part"      // a file of it is missing, or one of another archive is among them
	FaultOther    IntakeFault = "other-person"
	FaultOrder    IntakeFault = "order"     // it does not follow what was loaded of its series
	FaultRoom     IntakeFault = "room"      // the person's room is too small for some of it
	FaultReadOnly IntakeFault = "read-only" // what the person has here cannot be changed
	FaultBusy     IntakeFault = "busy"
	FaultFull     IntakeFault = "full" // the disk is
	FaultHere     IntakeFault = "fault"
)

// IntakeFaults are all faults.
func IntakeFaults() []IntakeFault {
	return []IntakeFault{FaultNoKey, FaultOtherKey, FaultDamaged, FaultSeveral, FaultPart, FaultOther, FaultOrder, FaultRoom, FaultReadOnly, FaultBusy, FaultFull, FaultHere}
}

var (
	errSeveral = errors.New("these are the files of more than one archive")
	errPart    = errors.New("these are not all files of the archive")
)

// faultOf is the fault that an error stands for, and whether the archive is refused for good.
func faultOf(why error) (fault IntakeFault, refused bool) {
	switch {
	case errors.Is(why, errSeveral):
		return FaultSeveral, true
	case errors.Is(why, errPart):
		return FaultPart, true
	case errors.Is(why, operators.ErrOtherPerson):
		return FaultOther, true
	case errors.Is(why, ErrReplayed):
		return FaultOrder, true
	case errors.Is(why, archive.ErrFault), errors.Is(why, formats.ErrInvalid), errors.Is(why, ErrRefused):
		return FaultDamaged, true
	case errors.Is(why, archive.ErrLocked):
		return FaultOtherKey, true
	case errors.Is(why, operators.ErrReadOnly):
		return FaultReadOnly, false
	case errors.Is(why, operators.ErrBusy):
		return FaultBusy, false
	case errors.Is(why, syscall.ENOSPC), errors.Is(why, syscall.EDQUOT), sqldb.IsFull(why):
		return FaultFull, false
	}
	return FaultHere, false
}

// check verifies everything of an archive, and notes what is in it. Whatever a run that was killed had done is done again.
func (i *Intakes) check(ctx context.Context, job intakeJob) error {
	return i.work(ctx, job.ID, IntakeChecking, func(ctx context.Context, in *Intake, observe Observer) error {
		found, faults, err := i.look(ctx, in, observe)
		return i.settle(ctx, in, err, func(now *Intake) {
			now.Found, now.Faults = found, faults
			if err == nil {
				now.State = IntakeShown
			}
		})
	})
}

// intakeWait is after what time it is looked again where others are being worked on.
const intakeWait = time.Second

// work does what an intake stands at, unless nobody wants it any more.
func (i *Intakes) work(ctx context.Context, id string, state IntakeState, do func(context.Context, *Intake, Observer) error) error {
	in, err := i.find(ctx, i.db.Read, `id = $1`, id)
	if errors.Is(err, ErrNoIntake) {
		return os.RemoveAll(i.folder(id))
	}
	if err != nil || in.State != state {
		return err
	}
	select {
	case i.slots <- struct{}{}:
		defer func() { <-i.slots }()
	default:
		return jobs.Snooze(intakeWait)
	}
	shows := &showing{intakes: i, ctx: ctx, id: id}
	err = do(ctx, &in, shows.observe)
	shows.under.Wait()
	return err
}

// settle writes what came of some work, or why nothing did, and returns what the queue is to know of it, whose errors are kept:
// no more than a kind. What is refused, or has failed as often as it makes sense, ends; anything else is tried again.
func (i *Intakes) settle(ctx context.Context, in *Intake, why error, do func(*Intake)) error {
	if why != nil && ctx.Err() != nil {
		return ctx.Err() // the gateway stops
	}
	over := false
	err := i.change(context.WithoutCancel(ctx), in.ID, func(now *Intake) error {
		if now.State != in.State {
			return ErrNoIntake
		}
		now.Fault = ""
		do(now)
		if why == nil {
			return nil
		}
		now.Tries++
		refused := false
		now.Fault, refused = faultOf(why)
		switch over = refused || now.Tries >= intakeAttempts; {
		case refused:
			now.State = IntakeRefused
		case over:
			now.State = IntakeFailed
		}
		return nil
	})
	if errors.Is(err, ErrNoIntake) {
		return os.RemoveAll(i.folder(in.ID)) // it was removed meanwhile
	}
	if why == nil || err != nil {
		return err
	}
	fault, refused := faultOf(why)
	if log := i.opt.Log.With("intake", in.ID, "state", in.State, "kind", fault); refused {
		log.Info("an archive that a person brings is refused") // what is in it is the person's
	} else {
		log.Warn("an archive that a person brings is not taken in", "over", over, "error", why)
	}
	switch {
	case refused:
		return i.clear(in)
	case over:
		return nil
	}
	return errors.New(string(fault))
}

// open opens the archive that the files carry.
func (i *Intakes) open(ctx context.Context, in *Intake) (*archive.Archive, error) {
	paths := i.paths(in)
	if len(archive.Group(paths)) > 1 {
		return nil, errSeveral
	}
	keys, err := i.keysOf(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	options := archive.OpenOptions{}
	if len(keys) > 0 {
		options.Identities = append(options.Identities, keys)
	}
	a, err := archive.Open(paths, options)
	if errors.Is(err, os.ErrNotExist) || len(paths) > 1 && errors.Is(err, archive.ErrFault) {
		err = fmt.Errorf("%w: %w", errPart, err)
	}
	return a, err
}

// look verifies an archive, and holds it against what was loaded before.
func (i *Intakes) look(ctx context.Context, in *Intake, observe Observer) (*Found, []archive.Fault, error) {
	a, err := i.open(ctx, in)
	if err != nil {
		return nil, nil, err
	}
	defer a.Close()
	expect, err := i.opt.Expect(ctx)
	if err != nil {
		return nil, nil, err
	}
	p := Progress{Step: Verifying, TotalBytes: a.Size()}
	expect.Progress = func(n int64) {
		p.Bytes += n
		observe(p)
	}
	verified, err := a.Verify(ctx, i.opt.Tmp, expect)
	if err != nil {
		return nil, nil, err
	}
	defer verified.Close()
	if err := verified.Report.Err(); err != nil {
		return nil, i.shownFaults(in, verified.Report.Faults), err
	}
	found := foundIn(&verified.Report, in.Key)
	found.Here, err = i.follows(ctx, in.Person, verified.Report.Claims, found.Root)
	return found, nil, err
}

func foundIn(r *archive.Report, key string) *Found {
	c := r.Claims
	f := &Found{ExportID: c.ExportID, Sequence: c.Sequence, Root: r.Root, Source: c.Source, Person: c.Person.Pseudonym, Created: c.Created, Datasets: c.Datasets,
		Omitted: listed(c.Omissions), Own: key != "" && key == c.Person.RecoveryKey}
	if r.Signer != nil {
		f.Signer = *r.Signer
	}
	return f
}

func listed[T any](all []T) []T { return all[:min(len(all), mostListed)] }

// follows reports whether an archive was loaded before, or why it cannot be loaded into what the person has.
func (i *Intakes) follows(ctx context.Context, person string, c *archive.Claims, root formats.Hash) (bool, error) {
	target, err := i.opt.Target(ctx, person)
	if err != nil {
		return false, err
	}
	defer target.Close()
	origin := operators.Origin{Series: c.ExportID, Operator: c.Source.ID, Time: c.Created, Applied: operators.Applied{Sequence: c.Sequence, Root: root, Person: c.Person.Pseudonym}}
	return follows(ctx, target, origin, c)
}

// mostFaults is how many faults are shown: those after it say no more.
const mostFaults = 20

// shownFaults are faults without what is of this machine.
func (i *Intakes) shownFaults(in *Intake, all []archive.Fault) (shown []archive.Fault) {
	for _, f := range all[:min(len(all), mostFaults)] {
		path := strings.TrimPrefix(f.Path, i.folder(in.ID)+string(filepath.Separator))
		if filepath.IsAbs(path) {
			path = filepath.Base(path)
		}
		shown = append(shown, archive.Fault{Code: f.Code, Path: path})
	}
	return shown
}

// load loads an archive. A run that was killed goes on, since what is there already is not loaded again.
func (i *Intakes) load(ctx context.Context, job intakeJob) error {
	return i.work(ctx, job.ID, IntakeLoading, func(ctx context.Context, in *Intake, observe Observer) error {
		report, err := i.loaded(ctx, in, observe)
		noted := i.settle(ctx, in, err, func(now *Intake) {
			if err == nil {
				now.State, now.Report = IntakeLoaded, short(report)
			}
		})
		if err == nil && noted == nil {
			noted = i.clear(in)
		}
		return noted
	})
}

func (i *Intakes) loaded(ctx context.Context, in *Intake, observe Observer) (*Report, error) {
	a, err := i.open(ctx, in)
	if err != nil {
		return nil, err
	}
	defer a.Close()
	expect, err := i.opt.Expect(ctx)
	if err != nil {
		return nil, err
	}
	see, end := func(formats.Record) {}, func(context.Context) error { return nil }
	if i.opt.Beside != nil {
		see, end = i.opt.Beside(in.Person, *in.Found)
	}
	report, err := Import{
		Archive: a, Expect: expect, Tmp: i.opt.Tmp, Observe: observe, Seen: see,
		Target:  func(ctx context.Context) (operators.Target, error) { return i.opt.Target(ctx, in.Person) },
		Journal: Journal{Person: in.Person, Log: i.opt.Append},
	}.Run(ctx)
	if err != nil {
		return nil, err
	}
	return report, end(ctx)
}

// clear removes the files of an archive that was loaded or refused: what became of it stays to be read.
func (i *Intakes) clear(in *Intake) error { return os.RemoveAll(i.folder(in.ID)) }

// short is a report whose lists are not longer than what is kept.
func short(r *Report) *Report {
	r.Renamed, r.Kept, r.Refused, r.Omitted = listed(r.Renamed), listed(r.Kept), listed(r.Refused), listed(r.Omitted)
	return r
}

// showing writes now and then how far an intake is.
type showing struct {
	intakes *Intakes
	ctx     context.Context
	id      string
	last    time.Time
	busy    atomic.Bool
	under   sync.WaitGroup
}

func (s *showing) observe(p Progress) {
	if time.Since(s.last) < takeoutEvery || s.ctx.Err() != nil || !s.busy.CompareAndSwap(false, true) {
		return
	}
	s.last = time.Now()
	s.under.Go(func() {
		defer s.busy.Store(false)
		s.intakes.progress(s.ctx, s.id, p)
	})
}

// Lacks reports whether records were refused for want of room: with more of it, the same archive brings them.
func (r *Report) Lacks() bool {
	return slices.ContainsFunc(r.Refused, func(o formats.Omission) bool { return o.Lost && o.Code == "quota" })
}
