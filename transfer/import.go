package transfer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"time"

	"github.com/passerelle-cloud/passerelle/formats"
	"github.com/passerelle-cloud/passerelle/formats/archive"
	"github.com/passerelle-cloud/passerelle/operators"
)

// The reasons for which a sound archive is refused. All wrap ErrRefused.
var (
	ErrRefused   = errors.New("refused")
	ErrUntrusted = fmt.Errorf("%w: the signer is not trusted", ErrRefused)
	ErrReplayed  = fmt.Errorf("%w: it does not follow what was loaded before", ErrRefused)
)

// Import verifies an archive and loads it into a target.
type Import struct {
	Archive *archive.Archive
	// Target opens what is loaded into. It is called once the archive is found sound, so that a bad one makes nothing.
	Target func(ctx context.Context) (operators.Target, error)
	Expect archive.Expectations
	// Claimed is asked whether a sound archive is the one that is wanted, before anything is loaded; nil: any is.
	Claimed func(*archive.Claims) error
	// Trusted refuses archives whose signer is not trusted.
	Trusted bool
	// Whole refuses an archive that leaves out bytes which the target does not have. Otherwise the report lists their records.
	Whole bool
	// Seen is shown each record that was loaded, or was there already; nil: nobody is.
	Seen func(formats.Record)
	// Stated is shown each state that the target lists in the end of all that the series brought; nil: nobody is.
	Stated  func(formats.State)
	Tmp     string // folder for temporary files, "" for the system's
	Journal Journal
	Observe Observer
}

// Run verifies everything first and writes nothing before that is done. An archive that is not sound, or that does
// not follow what was loaded before, is refused whole; a sound record that the target cannot hold is in the report,
// and the rest goes in. An import that was interrupted goes on where it was when it is run again.
func (i Import) Run(ctx context.Context) (report *Report, err error) {
	report = &Report{Started: time.Now().UTC()}
	verified, err := i.verify(ctx)
	if err != nil {
		return nil, err
	}
	defer verified.Close()
	claims := verified.Report.Claims
	if i.Claimed != nil {
		if err := i.Claimed(claims); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrRefused, err)
		}
	}
	report.describe(&verified.Report)
	origin := operators.Origin{
		Series: claims.ExportID, Operator: claims.Source.ID, Time: claims.Created,
		Applied: operators.Applied{Sequence: claims.Sequence, Root: verified.Report.Root, Person: claims.Person.Pseudonym},
	}
	detail := moved{ExportID: claims.ExportID, Sequence: claims.Sequence, Root: &verified.Report.Root}
	if err := i.Journal.note(ctx, importBegun, &claims.Source, detail); err != nil {
		return nil, err
	}
	if err := i.fill(ctx, verified, origin, report); err != nil {
		if report.Finished.IsZero() {
			report = nil // it says nothing yet
		}
		return report, i.Journal.failed(ctx, importFailed, &claims.Source, detail, err)
	}
	total := claims.Totals()
	detail.Records, detail.Files, detail.Bytes, detail.Lost = total.Records, total.Files, total.Bytes, report.Lost()
	return report, i.Journal.note(ctx, importFinished, &claims.Source, detail)
}

// fill loads what was verified, and counts it again.
func (i Import) fill(ctx context.Context, verified *archive.Verified, origin operators.Origin, report *Report) (err error) {
	claims := verified.Report.Claims
	target, err := i.Target(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, target.Close()) }()
	again, err := follows(ctx, target, origin, claims)
	if err != nil {
		return err
	}
	load, err := target.Load(ctx, origin)
	if err != nil {
		return fmt.Errorf("open the target: %w", err)
	}
	if err := i.load(ctx, verified, load, report); err != nil {
		return errors.Join(fmt.Errorf("load: %w", err), load.Abort())
	}
	if err := load.Finish(ctx); err != nil {
		return fmt.Errorf("finish: %w", err)
	}
	report.settle(load)
	report.Unchanged = again && report.nothingNew()
	i.Observe.tell(Progress{Step: Checking})
	return i.check(ctx, load, claims, report)
}

func (i Import) verify(ctx context.Context) (*archive.Verified, error) {
	progress := Progress{Step: Verifying, TotalBytes: i.Archive.Size()}
	expect := i.Expect
	expect.Progress = func(n int64) {
		progress.Bytes += n
		i.Observe.tell(progress)
	}
	verified, err := i.Archive.Verify(ctx, i.Tmp, expect)
	if err != nil {
		return nil, err
	}
	if err := verified.Report.Err(); err != nil {
		return nil, errors.Join(err, verified.Close())
	}
	if s := verified.Report.Signer; i.Trusted && !s.Trusted {
		return nil, errors.Join(fmt.Errorf("%w: %s; pin the operator's statement first (passerelle operator trust FILE)", ErrUntrusted, s.Why), verified.Close())
	}
	return verified, nil
}

func (r *Report) describe(found *archive.Report) {
	c := found.Claims
	r.ExportID, r.Sequence, r.Root, r.Source, r.Person = c.ExportID, c.Sequence, found.Root, c.Source, c.Person
	r.Signer, r.Omitted = found.Signer, c.Omissions
}

// follows checks an archive against what its series brought before, and reports whether this very archive was loaded
// to the end already.
func follows(ctx context.Context, target operators.Target, origin operators.Origin, claims *archive.Claims) (bool, error) {
	keeper, ok := target.(operators.SeriesKeeper)
	if !ok {
		if claims.Sequence > 0 {
			return false, fmt.Errorf("%w: this target takes full exports only, and this is number %d of its series", ErrReplayed, claims.Sequence)
		}
		return false, nil
	}
	last, found, err := keeper.Applied(ctx, origin.Series)
	if errors.Is(err, operators.ErrOtherPerson) {
		return false, fmt.Errorf("%w: %w", ErrReplayed, err)
	}
	if err != nil {
		return false, err
	}
	switch {
	case found && last.Person != origin.Person:
		return false, fmt.Errorf("%w: %w", ErrReplayed, operators.ErrOtherPerson)
	case !found && claims.Sequence > 0:
		return false, fmt.Errorf("%w: it is number %d of its series, of which none was loaded here: load number 0 first", ErrReplayed, claims.Sequence)
	case !found:
		return false, nil
	case claims.Sequence == last.Sequence && origin.Root == last.Root:
		return true, nil
	case claims.Sequence == last.Sequence:
		return false, fmt.Errorf("%w: another archive with the same number %d of the same series was loaded before: one of them is forged", ErrReplayed, claims.Sequence)
	case claims.Sequence != last.Sequence+1:
		return false, fmt.Errorf("%w: it is number %d of its series, but number %d was loaded last", ErrReplayed, claims.Sequence, last.Sequence)
	case *claims.PreviousRoot != last.Root:
		return false, fmt.Errorf("%w: it was made after another archive than the one that was loaded last", ErrReplayed)
	}
	return false, nil
}

func (i Import) load(ctx context.Context, verified *archive.Verified, load operators.Load, report *Report) error {
	total := verified.Report.Claims.Totals()
	progress := Progress{Step: Loading, TotalRecords: total.Records, TotalBytes: total.Bytes}
	lacking, err := i.lacking(ctx, verified, load)
	if err != nil {
		return err
	}
	if left := verified.Report.Claims.LeftOut; left != nil {
		progress.TotalBytes -= left.Bytes
	}
	err = verified.Blobs(ctx, func(blob formats.Blob, content io.Reader) error {
		if err := putBlob(ctx, load, blob, content); err != nil {
			return err
		}
		progress.Bytes += blob.Size
		i.Observe.tell(progress)
		return nil
	})
	if err != nil {
		return err
	}
	for _, d := range formats.Datasets() {
		for record, err := range verified.Records(d) {
			if err != nil {
				return err
			}
			outcome, err := lacking.put(ctx, load, record)
			if err != nil {
				return fmt.Errorf("%s/%s: %w", record.Dataset, record.ID, err) // no path, which is the person's: it may be logged
			}
			report.add(record, outcome)
			if i.Seen != nil && outcome.Result != operators.Refused {
				i.Seen(record)
			}
			progress.Records++
			i.Observe.tell(progress)
		}
	}
	return nil
}

// putBlob stores a blob unless the target has it. Bytes that are not the blob's, since the archive was changed after
// it was verified, are stored under their own hash, where no record finds them, and end the load.
func putBlob(ctx context.Context, load operators.Load, blob formats.Blob, content io.Reader) error {
	if has, err := load.Has(ctx, blob); err != nil || has {
		return err
	}
	got, err := load.PutBlob(ctx, content, blob.Size)
	if err == nil && got.SHA256 != blob.SHA256 {
		err = fmt.Errorf("%w: it was changed while it was loaded", archive.ErrFault)
	}
	return err
}

// check reads again what the target holds, and compares it with what the source signed.
func (i Import) check(ctx context.Context, load operators.Load, claims *archive.Claims, r *Report) (err error) {
	if r.Held, err = load.Held(ctx); err != nil {
		return fmt.Errorf("count what the target holds: %w", err)
	}
	r.Finished = time.Now().UTC()
	stated, ok := load.(operators.Stated)
	if !ok {
		return nil
	}
	if r.State, err = archive.StateRoot(i.shown(stated.States(ctx))); err != nil {
		return fmt.Errorf("list what the target holds: %w", err)
	}
	matches := r.State == claims.StateRoot
	r.StateRoot = &matches
	if !matches && r.Lost() == 0 {
		return errors.New("the target does not hold what was loaded: its records do not add up to the signed state; the data is not complete, run the import again")
	}
	return nil
}

// shown passes states on, and shows them on the way.
func (i Import) shown(states iter.Seq2[formats.State, error]) iter.Seq2[formats.State, error] {
	if i.Stated == nil {
		return states
	}
	return func(yield func(formats.State, error) bool) {
		for s, err := range states {
			if err == nil {
				i.Stated(s)
			}
			if !yield(s, err) {
				return
			}
		}
	}
}
