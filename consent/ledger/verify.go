package ledger

import (
	"context"
	"errors"
	"fmt"
	"time"

	"filippo.io/torchwood"
)

// ErrFaulty is the parent of what a [Verdict] says of a log that is not what it should be.
var ErrFaulty = errors.New("the log is faulty")

// Verification holds a log against its checkpoint, as somebody would who trusts nobody: nothing is believed that does
// not follow from a signature which Trust demands, and nothing that is beyond the checkpoint is looked at.
//
// It goes through the log once, from the signed root down and from left to right. Each tile is held against the hash
// that the level above has for it. Where the two differ, the level below is asked as well, so that it can be said which
// file is wrong; and it goes on with the hashes that the root confirms, so that every fault is found.
type Verification struct {
	Source torchwood.TileReader // what is verified: see NewSource
	Trust  *Trust
	// State is a folder in which is remembered what was verified, so that the next run goes on there, and sees whether
	// the log is still the one that it was. "": nothing is remembered.
	State string
	// Mirror is a folder into which everything that was fetched is written, as a log that can be verified itself.
	// "": nothing is written.
	Mirror  string
	Faults  int                     // how many faults are named one by one at most; 0 means 100. All are counted.
	Every   int64                   // leaves after which the state is saved; 0 means 100,000
	Observe func(done, total int64) // leaves of the log that are behind, and all; may be nil
}

// Verdict is what a verification found.
type Verdict struct {
	Checkpoint   Checkpoint    `json:"checkpoint"`
	Cosignatures []Cosignature `json:"cosignatures"`
	From         int64         `json:"from"`       // the first leaf that was read this time
	Leaves       int64         `json:"leaves"`     // how many leaves were read and are those that were logged
	Tiles        int64         `json:"tiles"`      // how many tiles and bundles were read
	Faults       []Fault       `json:"faults"`     // the first of them
	FaultCount   int           `json:"faultCount"` // all of them
	Evidence     string        `json:"evidence,omitempty"`
}

func (v *Verdict) note(f Fault, limit int) {
	v.FaultCount++
	if len(v.Faults) < limit {
		v.Faults = append(v.Faults, f)
	}
}

// Err returns nil for a log without a fault, and else an error wrapping ErrFaulty that names the first one.
func (v *Verdict) Err() error {
	switch {
	case v.FaultCount == 0:
		return nil
	case v.FaultCount == 1:
		return fmt.Errorf("%w: %s", ErrFaulty, v.Faults[0].What)
	}
	return fmt.Errorf("%w: %s (and %d faults more)", ErrFaulty, v.Faults[0].What, v.FaultCount-1)
}

// maxLeaves is the size of the largest log that is looked at: some 400 TB of leaves.
const maxLeaves = 1 << 40

// verifying is one run of a verification.
type verifying struct {
	Verification
	verdict *Verdict
	fetch   *fetcher
	memory  *memory
	tags    *tagSpool
}

// Run verifies. The error says why it could not be carried out, as when the network failed or the state folder cannot be
// used (it then wraps ErrState); what was verified until then is remembered. Whatever is wrong with the log itself is in
// the verdict.
func (v Verification) Run(ctx context.Context) (verdict *Verdict, err error) {
	if v.Source == nil || v.Trust == nil {
		return nil, errors.New("verify a log: it must be said where it is and whose signatures it must bear")
	}
	if v.Faults <= 0 {
		v.Faults = 100
	}
	if v.Every <= 0 {
		v.Every = 100_000
	}
	m, err := openMemory(v.State, v.Trust.Origin, v.Mirror)
	if err != nil {
		return nil, fmt.Errorf("verify a log: %w", err)
	}
	defer func() { err = errors.Join(err, m.close()) }()
	r := &verifying{Verification: v, memory: m, verdict: &Verdict{Cosignatures: []Cosignature{}, Faults: []Fault{}}}
	r.fetch = &fetcher{source: v.Source, mirror: v.Mirror}
	r.tags = &tagSpool{dir: m.tagDir(), runs: m.Tags, from: m.Size, durable: v.State != ""}
	if err := r.run(ctx); err != nil {
		return nil, fmt.Errorf("verify a log: %w", err)
	}
	return r.verdict, nil
}

// fault notes one.
func (r *verifying) fault(f Fault) { r.verdict.note(f, r.Faults) }

func (r *verifying) run(ctx context.Context) error {
	c, ok, err := r.checkpoint(ctx)
	if err != nil || !ok {
		return err
	}
	r.verdict.Checkpoint, r.verdict.From = c, min(r.memory.Size, c.Size)
	w := newWalk(r.fetch, c, r.fault)
	defer func() { r.verdict.Tiles = w.tiles }()
	if ok, err := r.extends(ctx, w); err != nil || !ok {
		return err
	}
	if err := r.leaves(ctx, w); err != nil {
		return err
	}
	if err := r.tags.duplicates(ctx, r.twice); err != nil {
		return err
	}
	return r.fetch.keep("checkpoint", c.Note)
}

// checkpoint fetches the checkpoint. It notes a fault and returns false for one that must not be trusted.
func (r *verifying) checkpoint(ctx context.Context) (c Checkpoint, ok bool, err error) {
	bad := func(kind, what string) (Checkpoint, bool, error) {
		r.fault(Fault{Kind: kind, Index: -1, Place: "checkpoint", What: what})
		return Checkpoint{}, false, nil
	}
	signed, err := r.Source.ReadEndpoint(ctx, "checkpoint")
	if isMissing(err) {
		return bad(FaultMissing, "there is no checkpoint: is this the place of a log?")
	}
	if err != nil {
		return Checkpoint{}, false, fmt.Errorf("fetch the checkpoint: %w", err)
	}
	c, cosigned, err := r.Trust.Open(signed)
	r.verdict.Cosignatures = append(r.verdict.Cosignatures, cosigned...)
	if err != nil {
		return bad(FaultCheckpoint, err.Error())
	}
	if c.Size > maxLeaves {
		return bad(FaultCheckpoint, fmt.Sprintf("the checkpoint says that there are %d leaves: no log is that large", c.Size))
	}
	return c, true, nil
}

// extends holds the checkpoint against the one that is remembered, and returns false where there is no going on.
func (r *verifying) extends(ctx context.Context, w *walk) (bool, error) {
	old, ok, err := r.memory.checkpoint()
	if err != nil {
		return false, err
	}
	shown := r.verdict.Checkpoint
	switch {
	case ok && shown.Size < old.Size:
		return false, r.shrunk(ctx, old, shown)
	case ok && shown.Size == old.Size && shown.Hash != old.Hash:
		return false, r.fork(old, shown, fmt.Sprintf("the log signed two roots of the same %d leaves, %s before and now %s", old.Size, old.Hash, shown.Hash))
	}
	if err := w.openEdge(ctx); err != nil {
		return false, err
	}
	if !ok || shown.Size == old.Size {
		return true, r.memory.remember(shown)
	}
	root, sure, err := w.rootAt(ctx, old.Size)
	switch {
	case err != nil:
		return false, err
	case sure && root != old.Hash:
		return false, r.fork(old, shown, fmt.Sprintf("the past was changed: the root of the first %d leaves was %s, as the log signed before, and now it is %s", old.Size, old.Hash, root))
	case sure:
		return true, r.memory.remember(shown)
	}
	r.fault(Fault{Kind: FaultRoot, Index: -1, Place: "checkpoint",
		What: fmt.Sprintf("whether these %d leaves begin with the %d that the log had before cannot be told, since tiles are missing or wrong", shown.Size, old.Size)})
	return true, nil
}

// shrunk notes that a log is smaller than it was. Where it still serves the tiles of the larger one they tell whether
// the smaller one is its beginning.
func (r *verifying) shrunk(ctx context.Context, old, shown Checkpoint) error {
	w := newWalk(&fetcher{source: r.Source}, old, func(Fault) {})
	if err := w.openEdge(ctx); err != nil {
		return err
	}
	root, sure, err := w.rootAt(ctx, shown.Size)
	if err != nil {
		return err
	}
	if sure && root != shown.Hash {
		return r.fork(old, shown, fmt.Sprintf("the log signed %d leaves before, whose first %d have the root %s, and now it signs %s for these", old.Size, shown.Size, root, shown.Hash))
	}
	what := fmt.Sprintf("the log shows an older state than before, %d leaves and not %d: it was rolled back, or you were shown a stale copy", shown.Size, old.Size)
	if !sure {
		what += ". Whether they are the same leaves cannot be told, since the tiles of the larger log are not there any more"
	}
	r.fault(Fault{Kind: FaultRollback, Index: -1, Place: "checkpoint", What: what})
	return nil
}

// fork notes that a log signed two states that contradict each other, and keeps both.
func (r *verifying) fork(old, shown Checkpoint, what string) (err error) {
	r.verdict.Evidence, err = r.memory.keepFork(time.Now(), old, shown)
	what += ". Both signed checkpoints are kept in " + r.verdict.Evidence + ": together they prove it"
	r.fault(Fault{Kind: FaultFork, Index: -1, Place: "checkpoint", What: what})
	return err
}

// leaves goes through the leaves that were not verified before.
func (r *verifying) leaves(ctx context.Context, w *walk) error {
	from := r.memory.Size
	if from == w.size {
		return nil
	}
	saved := from
	w.logged = func(index int64, leaf Leaf) {
		if index >= from {
			r.verdict.Leaves++
			r.tags.add(leaf.Tag(), index)
		}
	}
	w.passed = func() error {
		if r.Observe != nil {
			r.Observe(w.done, w.size)
		}
		if w.done-saved < r.Every {
			return nil
		}
		saved = w.done
		return r.progress(w)
	}
	err := w.run(ctx, from)
	return errors.Join(err, r.progress(w))
}

// progress remembers that the log was verified up to where the walk is, unless there was a fault before: the next run
// shall find it again.
func (r *verifying) progress(w *walk) error {
	if err := r.tags.flush(w.done); err != nil {
		return err
	}
	if r.verdict.FaultCount > 0 || w.same.kind != "" {
		return nil
	}
	return r.memory.save(w.done, r.tags.runs)
}

func (r *verifying) twice(first, again int64) {
	r.fault(Fault{Kind: FaultTag, Index: again, Place: fmt.Sprintf("leaf %d", again),
		What: fmt.Sprintf("leaf %d has the same tag as leaf %d: somebody made two chains of one person's", again, first)})
}
