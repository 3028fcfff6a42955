// Package transfer moves instances: out of a source into a signed archive, out of an archive into a target, or from
// a source to a target directly. It knows sources, targets and archives by their contracts only, and nothing of
// consents, HTTP or the command line.
package transfer

import (
	"context"
	"crypto"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"syscall"
	"time"

	"filippo.io/age"

	"github.com/passerelle-cloud/passerelle/formats"
	"github.com/passerelle-cloud/passerelle/formats/archive"
	"github.com/passerelle-cloud/passerelle/operators"
)

// Export writes what a source holds into a signed archive.
type Export struct {
	Source operators.Source

	Out        string // see archive.Options
	VolumeSize int64
	Zstd       bool
	Recipients []age.Recipient

	Operator  archive.Party  // who exports and signs
	Signer    crypto.Signer  // with its archive key
	Statement []byte         // the operator's signed statement
	Recipient *archive.Party // the operator it is made for; nil: the person
	Lifetime  time.Duration  // after which an archive for an operator expires; 0 means seven days
	Pseudonym string         // names the person for this recipient; "" draws one at random
	Series    string         // the export id of a full export; "" draws one at random
	// RecoveryKey is the public part of a key that the person has. The claims name it by its SHA-256, so that whoever has
	// the other part can show that the archive is theirs.
	RecoveryKey string

	// Held reports whether the recipient holds the bytes of a blob already: a full export leaves those out; nil: of none.
	Held func(formats.Hash) bool

	Since *Previous // the archive of which this one is the next; nil: a full export, which begins a series
	// State is, for a delta, the state root of the source, which nobody writes to meanwhile; zero: it is not known. Where something is lost, it is
	// taken anew.
	State formats.Hash

	Codecs  []formats.Codec
	Schemas fs.FS
	Now     time.Time
	Journal Journal
	Observe Observer
}

// Previous is an archive that was made before, as its claims and its root say.
type Previous struct {
	Claims archive.Claims
	Root   formats.Hash
}

const defaultLifetime = 7 * 24 * time.Hour

// Run exports. Under the archive's final name there is afterwards a whole archive, or, after an error, nothing. Where it
// meets bytes that are damaged, it has the source find all of them, and begins again without them.
func (e Export) Run(ctx context.Context) (archive.Sealed, error) {
	sealed, err := e.run(ctx)
	source, can := e.Source.(operators.Examining)
	if !can || !errors.Is(err, archive.ErrBytes) && !errors.Is(err, syscall.EIO) {
		return sealed, err
	}
	damaged, errExamine := source.Examine(ctx, e.after())
	if damaged == 0 || errExamine != nil {
		return sealed, errors.Join(err, errExamine)
	}
	return e.run(ctx)
}

func (e Export) run(ctx context.Context) (archive.Sealed, error) {
	description, err := e.Source.Describe(ctx)
	if err != nil {
		return archive.Sealed{}, fmt.Errorf("describe the source: %w", err)
	}
	options, err := e.options(ctx, description)
	if err != nil {
		return archive.Sealed{}, err
	}
	detail := moved{ExportID: options.Claims.ExportID, Sequence: options.Claims.Sequence}
	if err := e.Journal.note(ctx, exportBegun, e.Recipient, detail); err != nil {
		return archive.Sealed{}, err
	}
	sealed, err := e.write(ctx, options, description)
	if err != nil {
		return sealed, e.Journal.failed(ctx, exportFailed, e.Recipient, detail, err)
	}
	total := sealed.Claims.Totals()
	detail.Root, detail.Records, detail.Files, detail.Bytes = &sealed.Root, total.Records, total.Files, total.Bytes
	return sealed, e.Journal.note(ctx, exportFinished, e.Recipient, detail)
}

func (e *Export) write(ctx context.Context, options archive.Options, description operators.Description) (archive.Sealed, error) {
	w, err := archive.Create(options)
	if err != nil {
		return archive.Sealed{}, fmt.Errorf("begin the archive: %w", err)
	}
	if err := e.records(ctx, w, description); err != nil {
		return archive.Sealed{}, errors.Join(fmt.Errorf("export: %w", err), w.Abort())
	}
	sealed, err := w.Close()
	if err != nil {
		return sealed, fmt.Errorf("finish the archive: %w", err)
	}
	return sealed, nil
}

func (e *Export) records(ctx context.Context, w *archive.Writer, d operators.Description) error {
	progress := Progress{Step: Writing}
	if e.Since == nil {
		progress.TotalRecords, progress.TotalBytes = d.Total.Records, d.Total.Bytes
	}
	if sparing, can := e.Source.(operators.Sparing); can && e.Held != nil {
		if err := sparing.Spare(ctx); err != nil {
			return err
		}
	}
	for item, err := range e.Source.Records(ctx, e.after()) {
		if err != nil {
			return err
		}
		for _, o := range item.Omissions {
			w.Omit(o)
			e.State = formats.Hash{}
		}
		if item.Record.ID == "" {
			continue
		}
		if err := w.Add(item.Record, item.Content); err != nil {
			return err
		}
		progress.Records++
		if item.Record.Blob != nil {
			progress.Bytes += item.Record.Blob.Size
		}
		e.Observe.tell(progress)
	}
	progress.Step = Sealing
	e.Observe.tell(progress)
	return ctx.Err()
}

// after is where the walk begins.
func (e Export) after() operators.Position {
	if e.Since == nil {
		return 0
	}
	return operators.Position(e.Since.Claims.Snapshot)
}

func (e *Export) options(ctx context.Context, d operators.Description) (archive.Options, error) {
	if e.Now.IsZero() {
		e.Now = time.Now()
	}
	claims := archive.Claims{
		ExportID: rand.Text(), Person: archive.Person{Pseudonym: e.Pseudonym}, Source: e.Operator, Recipient: e.Recipient,
		Created: e.Now.UTC(), Snapshot: int64(d.Position),
	}
	if e.Series != "" {
		claims.ExportID = e.Series
	}
	if claims.Person.Pseudonym == "" {
		claims.Person.Pseudonym = rand.Text()
	}
	if e.RecoveryKey != "" {
		claims.Person.RecoveryKey = formats.HashOf([]byte(e.RecoveryKey)).String()
	}
	if e.Recipient != nil {
		lifetime := e.Lifetime
		if lifetime == 0 {
			lifetime = defaultLifetime
		}
		expires := claims.Created.Add(lifetime)
		claims.Expires = &expires
	}
	options := archive.Options{
		Out: e.Out, VolumeSize: e.VolumeSize, Zstd: e.Zstd, Recipients: e.Recipients,
		Signer: e.Signer, Statement: e.Statement, Owner: d.Owner, Locale: d.Locale, Codecs: e.Codecs, Schemas: e.Schemas, Held: e.Held,
	}
	if e.Since == nil {
		options.Claims = claims
		return options, nil
	}
	states, err := e.next(&claims, d)
	options.Claims = claims
	options.State = func() (formats.Hash, error) {
		if !e.State.IsZero() {
			return e.State, nil
		}
		return archive.StateRoot(states.States(ctx))
	}
	return options, err
}

// next makes claims those of the archive that follows the previous one.
func (e *Export) next(claims *archive.Claims, d operators.Description) (operators.Stated, error) {
	previous := &e.Since.Claims
	states, ok := e.Source.(operators.Stated)
	if !d.Changes || !ok {
		return nil, fmt.Errorf("%w: this source keeps no feed of its changes, so that only a full export can be made of it", operators.ErrUnsupported)
	}
	if previous.Source.ID != e.Operator.ID {
		return nil, fmt.Errorf("the previous archive was made by %s, not by %s: make a full export", previous.Source.ID, e.Operator.ID)
	}
	if previous.Snapshot > int64(d.Position) {
		return nil, fmt.Errorf("the previous archive was made at position %d, but the source stands at %d: it was restored from a backup, or is another instance; make a full export", previous.Snapshot, d.Position)
	}
	claims.ExportID, claims.Sequence = previous.ExportID, previous.Sequence+1
	claims.Person, claims.PreviousRoot = previous.Person, &e.Since.Root
	return states, nil
}
