package move

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/passerelle-cloud/passerelle/consent/ledger"
	"github.com/passerelle-cloud/passerelle/formats"
	"github.com/passerelle-cloud/passerelle/formats/archive"
	"github.com/passerelle-cloud/passerelle/formats/statement"
	"github.com/passerelle-cloud/passerelle/operators"
	"github.com/passerelle-cloud/passerelle/transfer"
)

// fewChanges is how many changes are few enough for the last delta: they come within moments, for which the person cannot
// write. Who changes more all the time is not waited for longer than mostDeltas.
const (
	fewChanges = 1000
	mostDeltas = 8
)

// arrival is one run of a move at the destination.
type arrival struct {
	*Receiver
	link *Link
	*entry[arriving]
	heard   bool // the source has said how it stands, in this run
	shown   time.Time
	showing atomic.Bool
	shows   sync.WaitGroup
}

// step takes a move as far as one step goes. Each can be done again: what a process that died had begun goes on, or is done
// anew.
//
//	planned → copied → caught up → fenced → accepted → activated
func (a *arrival) step(ctx context.Context) error {
	switch a.Stage {
	case Planned:
		if gathered, err := a.gather(ctx); gathered || err != nil {
			return err
		}
		return a.load(ctx, Copy)
	case Copied:
		if !a.Detail.Checked {
			return a.check(ctx) // everything is read again while the person goes on writing
		}
		return a.load(ctx, CatchUp)
	case CaughtUp:
		if a.Detail.Changes > fewChanges && a.Detail.Applied < mostDeltas {
			return a.load(ctx, CatchUp)
		}
		return a.fence(ctx)
	case Fenced:
		return a.accept(ctx)
	case Accepted:
		return a.activate(ctx)
	}
	return a.finish(ctx) // activated
}

// rest says that there is nothing to do.
func (a *arrival) rest(ctx context.Context) error {
	return a.write(ctx, func(_ *sql.Tx, e *entry[arriving]) ([]ledger.Event, error) {
		e.Due = time.Time{}
		return nil, nil
	})
}

// write changes the move, unless it has been paused or stopped meanwhile.
func (a *arrival) write(ctx context.Context, do func(*sql.Tx, *entry[arriving]) ([]ledger.Event, error)) error {
	_, err := change(ctx, a.store, a.ID, func(tx *sql.Tx, e *entry[arriving]) ([]ledger.Event, error) {
		e.Detail.Trouble, e.Detail.Tries = "", 0
		if !e.Detail.Paused {
			e.Due = a.store.now()
		}
		return do(tx, e)
	})
	return err
}

// load has the next archive made, fetches it, verifies it and loads it.
func (a *arrival) load(ctx context.Context, what Event) error {
	n := a.Detail.Applied
	brought, err := a.bring(ctx, n)
	if err != nil {
		return a.lacks(ctx, err)
	}
	return a.took(ctx, n, brought, func(e *entry[arriving]) error {
		after, err := e.After(what, 0, "")
		e.Standing = after
		return err
	})
}

// took writes that an archive was loaded, and removes it.
func (a *arrival) took(ctx context.Context, n int, b brought, also func(*entry[arriving]) error) error {
	err := a.write(ctx, func(_ *sql.Tx, e *entry[arriving]) ([]ledger.Event, error) {
		if err := e.Detail.take(n, b); err != nil {
			return nil, err
		}
		return nil, also(e)
	})
	if err != nil {
		return err
	}
	return os.RemoveAll(a.folder(a.ID, n))
}

// take notes what a load brought.
func (d *arriving) take(n int, b brought) error {
	if d.Applied != n {
		return fmt.Errorf("%w: archive %d was loaded, and %d are", ErrOrder, n, d.Applied)
	}
	d.Applied, d.Changes = n+1, b.packed.Records
	d.Held = Tally{}
	for set, c := range b.report.Held {
		d.Held[set] = Number{c.Records, c.Files}
	}
	d.Refused = mostly(d.Refused, b.report.Refused)
	d.Omitted = mostly(d.Omitted, b.report.Omitted)
	return nil
}

// mostOmissions is how many omissions are kept with a move.
const mostOmissions = 2000

// mostly adds omissions, each record's last one.
func mostly(have, more []formats.Omission) []formats.Omission {
	at := map[formats.Omission]bool{}
	for _, o := range have {
		at[o] = true
	}
	for _, o := range more {
		if !at[o] && len(have) < mostOmissions {
			have = append(have, o)
		}
	}
	return have
}

// brought is an archive that was loaded.
type brought struct {
	packed Packed
	report *transfer.Report
	tally  Tally // of all that the move brought
}

// bring loads archive n into the staging instance.
func (a *arrival) bring(ctx context.Context, n int) (b brought, err error) {
	packed, err := a.packed(ctx, n)
	if err != nil {
		return b, err
	}
	var total int64
	for _, f := range packed.Files {
		total += f.Size
	}
	progress := Progress{Step: Fetching, Archive: n, TotalBytes: total, Began: a.store.now()}
	fetch := download{link: a.link, id: a.ID, n: n, dir: a.folder(a.ID, n), most: mostBytes(a.Detail.Plan), tell: func(bytes int64) {
		now := progress
		now.Bytes = bytes
		a.show(ctx, now)
	}}
	if err := fetch.run(ctx, packed.Files); err != nil {
		return b, err
	}
	b, err = a.loaded(ctx, n, packed)
	if err != nil && ctx.Err() == nil && !errors.Is(err, ErrRoom) {
		err = errors.Join(err, a.heal(n, packed, errors.Is(err, archive.ErrFault) || errors.Is(err, transfer.ErrRefused)))
	}
	return b, err
}

// packed waits until the source has made archive n.
func (a *arrival) packed(ctx context.Context, n int) (Packed, error) {
	began, wait := a.store.now(), pollPacked
	for {
		p, err := a.link.pack(ctx, a.ID, n, n == 0 && a.Detail.Whole)
		switch {
		case err != nil:
			return p, fmt.Errorf("ask for archive %d: %w", n, err)
		case p.Ready && len(p.Files) == 0:
			return p, fmt.Errorf("%w: archive %d is not there any more", ErrAnswer, n)
		case p.Ready:
			return p, nil
		case p.Ails != "":
			return p, fmt.Errorf("%w: it cannot make archive %d", ailing(p.Ails), n)
		}
		a.show(ctx, Progress{Step: Packing, Archive: n, Records: p.Records, Bytes: p.Bytes, TotalRecords: a.Detail.Plan.Total.Records, Began: began})
		select {
		case <-ctx.Done():
			return p, context.Cause(ctx)
		case <-time.After(wait):
		}
		wait = min(2*wait, 40*pollPacked)
	}
}

// pollPacked is after what time it is asked again whether an archive is there, at first; the source answers as soon as it is,
// and one that answers at once that it is not is asked less and less often.
const pollPacked = 50 * time.Millisecond

// heal removes what did not come whole, so that it is fetched again; where the archive is at fault, and nobody can say which
// file, or is not the one that it should be, that is all of it.
func (a *arrival) heal(n int, packed Packed, fault bool) error {
	dir := a.folder(a.ID, n)
	names, err := archive.Damaged(filepath.Join(dir, packed.Files[len(packed.Files)-1].Name))
	switch {
	case err != nil || fault && len(names) == 0:
		return os.RemoveAll(dir)
	case len(names) == 0:
		return nil
	}
	// The index too: it may be of an archive that the source has made again since.
	for _, name := range append(names, packed.Files[len(packed.Files)-1].Name) {
		if e := os.Remove(filepath.Join(dir, name)); !errors.Is(e, os.ErrNotExist) {
			err = errors.Join(err, e)
		}
	}
	return err
}

// loaded verifies and loads what has come.
func (a *arrival) loaded(ctx context.Context, n int, packed Packed) (brought, error) {
	b := brought{packed: packed, tally: Tally{}}
	came, expect, err := a.opt.Archive(ctx, filepath.Join(a.folder(a.ID, n), packed.Files[len(packed.Files)-1].Name))
	if err != nil {
		return b, err
	}
	defer came.Close()
	began := a.store.now()
	step := transfer.Step("")
	b.report, err = transfer.Import{
		Archive: came, Expect: expect, Trusted: true, Whole: true, Tmp: a.opt.Tmp,
		Claimed: func(c *archive.Claims) error { return a.claimed(c, n) },
		Target:  func(ctx context.Context) (operators.Target, error) { return a.opt.Staging.Target(ctx, a.ID, a.Person) },
		Journal: transfer.Journal{Person: a.Person, Log: a.opt.Append},
		Stated:  b.tally.add,
		Observe: func(p transfer.Progress) {
			if p.Step != step {
				step, began = p.Step, a.store.now()
			}
			a.show(ctx, Progress{Step: p.Step, Archive: n, Records: p.Records, Bytes: p.Bytes, TotalRecords: p.TotalRecords, TotalBytes: p.TotalBytes, Began: began})
		},
	}.Run(ctx)
	if err != nil {
		return b, fmt.Errorf("load archive %d: %w", n, err)
	}
	return b, noRoom(b.report)
}

// noRoom is an error where something was refused for want of room. More may be given: then the load goes on.
func noRoom(report *transfer.Report) error {
	for _, o := range report.Refused {
		if o.Lost && o.Code == "quota" {
			return fmt.Errorf("%w (%s)", ErrRoom, o.Dataset) // whose name it is nobody but the person has to know
		}
	}
	return nil
}

// claimed checks that an archive is the one of this move that was asked for, not somebody else's or an older one.
func (a *arrival) claimed(c *archive.Claims, n int) error {
	switch {
	case c.Source.ID != a.Peer:
		return fmt.Errorf("it was made by %s, not by %s", c.Source.ID, a.Peer)
	case c.Person.Pseudonym != a.Detail.Plan.Person:
		return errors.New("it is about another person")
	case c.ExportID != a.ID:
		return errors.New("it is of another move, or of none")
	case c.Sequence != n:
		return fmt.Errorf("it is number %d, and number %d was asked for", c.Sequence, n)
	}
	return nil
}

// check reads everything again that has come since it was last done.
func (a *arrival) check(ctx context.Context) error {
	to, err := a.reread(ctx)
	if err != nil {
		return err
	}
	return a.write(ctx, func(_ *sql.Tx, e *entry[arriving]) ([]ledger.Event, error) {
		e.Detail.Checked, e.Detail.CheckedTo = true, to
		return nil, nil
	})
}

func (a *arrival) reread(ctx context.Context) (operators.Position, error) {
	open := func(ctx context.Context) (operators.Source, error) { return a.opt.Staging.Source(ctx, a.ID) }
	began := a.store.now()
	return reread(ctx, open, a.Detail.CheckedTo, func(records, bytes int64) {
		a.show(ctx, Progress{Step: transfer.Checking, Archive: a.Detail.Applied - 1, Records: records, Bytes: bytes, TotalRecords: a.Detail.Plan.Total.Records, TotalBytes: a.Detail.Plan.Total.Bytes, Began: began})
	})
}

// fence has the source stop.
func (a *arrival) fence(ctx context.Context) error {
	at, err := a.link.fence(ctx, a.ID, a.Epoch+1)
	if err != nil {
		return fmt.Errorf("ask for the fence: %w", err)
	}
	return a.write(ctx, func(_ *sql.Tx, e *entry[arriving]) ([]ledger.Event, error) {
		if e.Detail.Paused || e.Detail.Stopping {
			return nil, errPaused // the source lifts the fence by itself
		}
		e.Detail.FencedAt, e.Detail.FencedFrom = &at, e.Detail.Applied
		return e.happens(Fence, at.Epoch, at.Root.String(), logFenced)
	})
}

// accept loads the last delta, and signs that everything is here.
func (a *arrival) accept(ctx context.Context) error {
	n := a.Detail.Applied
	b, err := a.bring(ctx, n)
	if err != nil {
		return err
	}
	if b.report.State != a.Detail.FencedAt.Root && n == a.Detail.FencedFrom { // it was made before the fence; the next one is not
		return a.took(ctx, n, b, func(*entry[arriving]) error { return nil })
	}
	to, err := a.reread(ctx)
	if err != nil {
		return err
	}
	e := *a.entry
	if err := e.Detail.take(n, b); err != nil {
		return err
	}
	follows, err := a.follow(ctx)
	if err != nil {
		return err
	}
	accepted, err := a.acceptance(ctx, &e, b)
	if err != nil {
		return err
	}
	compact, err := a.sign(ctx, accepted)
	if err != nil {
		return err
	}
	if err := a.write(ctx, func(tx *sql.Tx, e *entry[arriving]) ([]ledger.Event, error) {
		if e.Detail.Stopping {
			return nil, errStopped
		}
		if err := e.Detail.take(n, b); err != nil {
			return nil, err
		}
		if err := a.store.keepFollows(ctx, tx, e.ID, follows); err != nil {
			return nil, err
		}
		e.Detail.CheckedTo, e.Detail.Acceptance = to, compact
		return e.happens(Accept, accepted.Epoch, accepted.Root.String(), logAccepted)
	}); err != nil {
		return err
	}
	return os.RemoveAll(a.folder(a.ID, n))
}

func (a *arrival) sign(ctx context.Context, accepted Acceptance) (string, error) {
	payload, err := json.Marshal(accepted)
	if err != nil {
		return "", err
	}
	signer, err := a.opt.Signer(ctx)
	if err != nil {
		return "", err
	}
	return statement.SignJWS(signer, typeAcceptance, payload)
}

// acceptance is what is signed: that what is held here, and what could not be, add up to what the source had.
func (a *arrival) acceptance(ctx context.Context, e *entry[arriving], b brought) (Acceptance, error) {
	at, root := e.Detail.FencedAt, b.report.State
	if root != at.Root || b.report.StateRoot == nil || !*b.report.StateRoot {
		return Acceptance{}, fmt.Errorf("%w: what has come adds up to %.16s…, and the source stopped at %.16s…", ErrOtherState, root, at.Root)
	}
	answers, err := answer(ctx, func(ctx context.Context, blob formats.Hash) (io.ReadCloser, error) {
		return a.opt.Staging.Content(ctx, a.ID, blob)
	}, at.Challenge)
	if err != nil {
		return Acceptance{}, err
	}
	refused := e.Detail.Refused
	if refused == nil {
		refused = []formats.Omission{}
	}
	return Acceptance{Move: a.ID, Source: archive.Party{ID: a.Peer}, Destination: a.opt.Operator, Person: e.Detail.Plan.Person,
		Epoch: at.Epoch, Root: root, Counts: b.tally, Refused: refused, Answers: answers, At: a.store.now().UTC()}, nil
}
