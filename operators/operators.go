// Package operators defines what can hold an instance: where records and blobs are read from (a [Source]) and written
// to (a [Target]). The packages below it are the adapters; none of them knows another.
//
// It also says who an operator is and whom it trusts, see [github.com/passerelle-cloud/passerelle/operators/keys].
// It must never know an archive, a consent or HTTP.
package operators

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"time"

	"github.com/passerelle-cloud/passerelle/formats"
)

// The parents of the errors that adapters return.
var (
	ErrNotFound = errors.New("not found")
	ErrReadOnly = errors.New("the instance is read-only")
	// ErrBusy is returned while somebody else loads into the instance, or deletes it.
	ErrBusy = errors.New("the instance is being loaded into by somebody else; try again when that is done")
	// ErrOtherPerson is returned for a series that belongs to somebody else's instance.
	ErrOtherPerson = errors.New("this series of archives belongs to another person")
	// ErrUnsupported is returned for what an adapter cannot do; see [Description].
	ErrUnsupported = errors.New("not supported here")
	// ErrChanged is returned when a source changed while it was read, so that what was read is not one state.
	ErrChanged = errors.New("the source changed while it was read")
	// ErrContentMissing is returned for bytes that a record names and that were lost.
	ErrContentMissing = errors.New("the content is missing")
)

// Position is a place in a source's change feed. It only grows; zero is before everything.
type Position int64

// Description says what a source is.
type Description struct {
	Owner    string   // the person, as the source names them; for people to read
	Locale   string   // language of the person ("fr", "en"), if known
	Changes  bool     // whether Records honours a position other than zero
	Position Position // where the feed stood; what Records gives is the state at this position
	Total    Count    // what a full walk will give, as far as known beforehand; zero if not
}

// Source is where an instance is read from. A source is used by one goroutine at a time.
type Source interface {
	Describe(ctx context.Context) (Description, error)
	// Records walks the records that changed after a position, in no particular order, tombstones included where
	// the position is not zero. An error ends the walk: what was read until then is not an instance.
	// What the source itself lacks (a file whose bytes are gone) is no error but an item with an omission.
	Records(ctx context.Context, after Position) iter.Seq2[Item, error]
	Close() error
}

// Item is a step of a walk through a source.
type Item struct {
	Record formats.Record
	// Content opens the bytes of the record's blob, and is nil where there are none. The caller closes it, and may
	// open it only before the walk goes on. Where the source does not know the hash beforehand, the record's Blob
	// has a size and a zero hash.
	Content func() (io.ReadCloser, error)
	// Omissions are faults and gaps that the source met here. Where no record could be made at all, the record's
	// ID is empty.
	Omissions []Omission
}

// Line is a record as an instance keeps it: its canonical line, which most readers pass on without parsing it.
type Line struct {
	Dataset  formats.Dataset
	ID       string
	Position Position     // of the record's last change
	Deleted  bool         // a tombstone
	Hash     formats.Hash // of Bytes: the same hash is the same state of the record
	Bytes    []byte       // see [formats.Record.AppendLine]; no newline. In a walk they are good until the next step
}

// Parse decodes the record, which is good for as long as one likes.
func (l *Line) Parse() (formats.Record, error) {
	r, err := formats.ParseLine(l.Bytes)
	if err != nil {
		err = fmt.Errorf("the stored record %s/%s is damaged: %w", l.Dataset, l.ID, err)
	}
	return r, err
}

// Omission is [formats.Omission].
type Omission = formats.Omission

// Target is what an instance is written to.
type Target interface {
	// Load begins to write. One load at a time and target.
	Load(ctx context.Context, origin Origin) (Load, error)
	Close() error
}

// Origin says where the records of a load come from. Loading the same record of the same series again changes
// nothing.
type Origin struct {
	Series   string    // export id; "" for a plain copy, which is then a series of its own
	Operator string    // for people to read
	Time     time.Time // when the source stood like this
	Applied            // recorded by Finish, so that a replay is recognised; zero for a plain copy
}

// Applied says how far a series has been loaded.
type Applied struct {
	Sequence int          // number of the archive in its series, from 0
	Root     formats.Hash // the root of that archive
	Person   string       // whom the series is about, as its claims say
}

// SeriesKeeper is a target that remembers which archives were loaded into it.
type SeriesKeeper interface {
	// Applied returns the last archive of a series that was loaded to the end, and false if there was none. It
	// returns an error wrapping [ErrOtherPerson] if the series was loaded into another instance of the same home.
	Applied(ctx context.Context, series string) (Applied, bool, error)
}

// State is [formats.State].
type State = formats.State

// Examining is a source that can find out which of its bytes are damaged.
type Examining interface {
	// Examine reads the bytes that a walk after a position gives, and sets aside those that are not what their hash says.
	// From then on a walk gives their records without them, each with an omission, and the source begins from a new state.
	// It returns how many it met.
	Examine(ctx context.Context, after Position) (int, error)
}

// Listing is a source that gives the bytes that its records name apart from these.
type Listing interface {
	// Blobs returns, in the order of their hashes and each once, the blobs after one, at most so many. It reads none of them.
	Blobs(ctx context.Context, after formats.Hash, most int) ([]formats.Blob, error)
	// Contents opens those of some blobs that are here in full, one after the other; whoever walks closes each before the next.
	// Nobody has checked that they are what their hash says.
	Contents(ctx context.Context, hashes []formats.Hash) iter.Seq2[Content, error]
}

// Content is bytes that are open to be read.
type Content struct {
	formats.Blob
	io.ReadSeekCloser
}

// Ranging is a source that can walk a part of what it would.
type Ranging interface {
	// Range has walks give, of all that they would, only what was last changed after one position and up to another. Which
	// contents they give is another thing, and stays as it is. It is said before the first walk.
	Range(after, upTo Position)
}

// Sparing is a source that can read bytes one by one, as they are asked for.
type Sparing interface {
	// Spare has it do so in its walks, since most bytes will not be asked for. It is said before the first walk.
	Spare(ctx context.Context) error
}

// Stated is a source, or a load, that lists the state of every record without reading them: in the order of the
// bytes of dataset, then id. A load lists what its series brought, as the series knows it.
type Stated interface {
	States(ctx context.Context) iter.Seq2[State, error]
}

// Load writes into a target: first the blob, then the record that names it. What was written by a load that was
// never finished is either not seen by anybody or continued by the next load of the same series.
type Load interface {
	// Has reports whether the target already holds the bytes, so that they need not be sent.
	Has(ctx context.Context, blob formats.Blob) (bool, error)
	// PutBlob stores bytes and returns what they are. A read error is returned and leaves nothing behind.
	PutBlob(ctx context.Context, content io.Reader, size int64) (formats.Blob, error)
	// PutRecord stores a record, or removes it if it is a tombstone. A sound record that the target cannot hold gives
	// an outcome with the reason, not an error; an error means that the load cannot go on.
	PutRecord(ctx context.Context, record formats.Record) (Outcome, error)
	// Finish makes everything durable and visible.
	Finish(ctx context.Context) error
	// Abort gives up. What stays behind is at most what the next load of the same series continues from.
	Abort() error
	// Held returns what the target holds for this series, read again from the target after Finish.
	Held(ctx context.Context) (map[formats.Dataset]Count, error)
}

// Holding is a load that says of many blobs at once which of them the target holds; both in the order of their hashes, each once.
type Holding interface {
	Holds(ctx context.Context, blobs []formats.Blob) ([]formats.Hash, error)
}

// Stocking is a target that takes bytes in before it is known which records will name them.
type Stocking interface {
	// Stock begins to take bytes in. The target can be loaded into when the stock is closed.
	Stock(ctx context.Context) (Stock, error)
}

// Stock takes bytes in. The next load that is finished keeps those that a record names, and removes the others.
type Stock interface {
	// PutBlob takes in bytes, unless they are others than they should be: then it returns false, and they are dropped. What it
	// took in, and what there was room for of that, is there for good once the stock is closed.
	PutBlob(ctx context.Context, content io.Reader, want formats.Blob) (bool, error)
	// PutFile is PutBlob for bytes that are in a file, which is gone then. After an error it may still be there, whole.
	PutFile(ctx context.Context, name string, want formats.Blob) (bool, error)
	Close(ctx context.Context) error
}

// Settling is a load whose Finish may still give records their own paths, which something else had when they were put.
type Settling interface {
	Settled() []Settled
}

// Settled is a record that PutRecord had renamed, and that has its own path after all.
type Settled struct {
	Dataset formats.Dataset
	ID      string         // as it came
	Record  formats.Record // as the target holds it; another's, where two folders became one
	// Omission is set where something of the record was lost.
	Omission *Omission
}

// Count is [formats.Count].
type Count = formats.Count

// Outcome says what became of a record.
type Outcome struct {
	Result Result
	// Record is what the target holds now; it differs from what was put where Result is Renamed.
	Record formats.Record
	// Omission is set where Result is Refused or where something of the record was lost.
	Omission *Omission
}

// Result is what a target did with a record.
type Result string

// The results.
const (
	Stored  Result = "stored"  // new here
	Updated Result = "updated" // replaces what the same series brought before
	Present Result = "present" // was here already; nothing changed
	Renamed Result = "renamed" // kept beside something else, under another id or path
	Removed Result = "removed" // a tombstone took effect
	Kept    Result = "kept"    // a tombstone met a record that was changed here meanwhile: the record stays
	Refused Result = "refused" // the target cannot hold it
)
