package move

import (
	"context"
	"crypto"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"sync"
	"time"

	"filippo.io/age"

	"github.com/passerelle-cloud/passerelle/consent/ledger"
	"github.com/passerelle-cloud/passerelle/formats"
	"github.com/passerelle-cloud/passerelle/formats/archive"
	"github.com/passerelle-cloud/passerelle/formats/statement"
	"github.com/passerelle-cloud/passerelle/internal/sqldb"
	"github.com/passerelle-cloud/passerelle/operators"
	"github.com/passerelle-cloud/passerelle/transfer"
)

// ReceiverOptions are what an operator needs to whom persons come. What stands after the blank line may be left out.
type ReceiverOptions struct {
	Operator archive.Party
	Dir      string // where archives are kept until they are loaded
	// Signer is the operator's archive key, and Peer the newest statement of another operator that is trusted here.
	Signer func(context.Context) (crypto.Signer, error)
	Peer   func(ctx context.Context, id string) (*statement.Signed, error)
	// Connect is the way to a source, with the tokens that came with the person's authorisation.
	Connect func(ctx context.Context, peer *statement.Signed, tokens string) (*Link, error)
	// Archive opens an archive that has come, and says what is expected of it.
	Archive func(ctx context.Context, index string) (*archive.Archive, archive.Expectations, error)
	// Identities decrypt what comes.
	Identities func(context.Context) ([]age.Identity, error)
	Staging    Staging
	// Room is how many bytes a person may still bring, and false if there is no limit. Where they moved away from here, and come
	// back, what they left behind goes, unless it stays.
	Room func(ctx context.Context, person string, stays bool) (int64, bool, error)
	// Append writes the log of what is loaded.
	Append func(ctx context.Context, events ...ledger.Event) error

	Tmp string // for what is sorted; "": the system's

	// Follows looks at what the source says follows the person besides the instance, before it is accepted, and returns what is
	// to be kept of it. Followed takes that over, in the transaction in which the instance arrives, as far as it stood when the source retired, which
	// the source has signed; nil: nothing follows.
	Follows  func(ctx context.Context, m Move, said json.RawMessage) (json.RawMessage, error)
	Followed func(ctx context.Context, m Move, kept, left json.RawMessage) (InTx, error)
	// Silence is for how long a source must not have answered before the person can declare it gone; 0 means a day.
	Silence time.Duration
	// Pace is after what time something that did not succeed is tried again at first; 0 means half a second.
	Pace time.Duration
	Log  *slog.Logger
	Now  func() time.Time
}

// Staging is where an instance comes to be, apart from what persons have, until it takes its place.
type Staging struct {
	Target  func(ctx context.Context, move, person string) (operators.Target, error)
	Source  func(ctx context.Context, move string) (operators.Source, error)
	Content func(ctx context.Context, move string, blob formats.Hash) (io.ReadCloser, error)
	// Held returns which of some blobs are in what comes to be for a move; nil: everything travels in archives. Owns reports
	// whether the person has any bytes here already, and Take puts those of some blobs that they have into what comes to be, where
	// they stay. The blobs come in the order of their hashes.
	Held func(ctx context.Context, move string, blobs []formats.Blob) ([]formats.Hash, error)
	Owns func(ctx context.Context, person string) (bool, error)
	Take func(ctx context.Context, move, person string, blobs []formats.Blob) error
	// Adopt gives it to the person, as a part of a transaction; false: they have something already into which it is merged.
	Adopt func(ctx context.Context, tx *sql.Tx, move, person string) (bool, error)
	// Release lets the person write to what they have here, as a part of a transaction: it was held since they moved away.
	Release func(ctx context.Context, tx *sql.Tx, person string) error
	// Into is what the person has already.
	Into    func(ctx context.Context, person string) (operators.Target, error)
	Discard func(ctx context.Context, move string) error
}

// Receiver is the part of an operator to whom persons come.
type Receiver struct {
	opt   ReceiverOptions
	store *store
	work  *worker

	mu   sync.Mutex
	stop map[string]context.CancelCauseFunc
}

// arriving is what a destination knows of a move besides how it stands.
type arriving struct {
	Tokens string `json:"tokens"` // sealed
	Plan   Plan   `json:"plan"`
	// Gathered is what came before archive 0, and Whole says that all of it is asked for even so.
	Gathered Gathered `json:"gathered,omitzero"`
	Whole    bool     `json:"whole,omitempty"`
	// Applied is how many archives were loaded, and Changes how many records were in the last one.
	Applied int   `json:"applied"`
	Changes int64 `json:"changes"`
	// Checked says that all was read again that had come until the position.
	Checked    bool               `json:"checked,omitempty"`
	CheckedTo  operators.Position `json:"checked_to,omitempty"`
	FencedAt   *FencedAt          `json:"fenced_at,omitempty"`
	FencedFrom int                `json:"fenced_from,omitempty"` // Applied at the fence: the archive of that number may be from before it
	Acceptance string             `json:"acceptance,omitempty"`
	Silent     time.Time          `json:"silent,omitzero"`    // since when the source has not answered to what was accepted
	Declared   *Declared          `json:"declared,omitempty"` // gone, by the person
	Receipt    *Receipt           `json:"receipt,omitempty"`
	Held       Tally              `json:"held,omitempty"`
	Refused    []formats.Omission `json:"refused,omitempty"` // what could not be held here
	Omitted    []formats.Omission `json:"omitted,omitempty"` // what the source left out
	Merge      bool               `json:"merge,omitempty"`   // into what the person had
	Done       bool               `json:"done,omitempty"`
	Paused     bool               `json:"paused,omitempty"`
	Stopping   bool               `json:"stopping,omitempty"`
	Trouble    Trouble            `json:"trouble,omitempty"` // why it does not go on just now
	Tries      int                `json:"tries,omitempty"`
	Why        string             `json:"why,omitempty"` // it was aborted
}

// OpenReceiver returns the receiver, and makes its tables if there are none.
func OpenReceiver(ctx context.Context, db *sqldb.DB, log *ledger.Ledger, o ReceiverOptions) (*Receiver, error) {
	store, err := openStore(ctx, db, log, Destination, o.Now)
	r := &Receiver{opt: o, store: store, stop: map[string]context.CancelCauseFunc{}}
	r.work = newWorker(store, o.Log, o.Pace, r.do)
	return r, err
}

// Run lets moves go on until the context ends.
func (r *Receiver) Run(ctx context.Context) { r.work.run(ctx) }

// Arrival is somebody who comes.
type Arrival struct {
	Person string // the name of the instance that they will have here
	Peer   string // the operator from whom they come
	Tokens string // sealed: what their authorisation gave
}

// Free reports whether a person can move here now; otherwise the error is [ErrOpen].
func (r *Receiver) Free(ctx context.Context, person string) error {
	other, err := latest[arriving](ctx, r.store, r.store.db.Read, person)
	if errors.Is(err, ErrNotFound) || err == nil && other.Ended() {
		return nil
	}
	if err != nil {
		return err
	}
	return ErrOpen
}

// ErrRoom is returned where there is no room for what would come.
var ErrRoom = errors.New("there is not enough room here for what would come: have the quota raised first")

// Begin begins a move, unless something is known to be against it: then nothing has begun at either side.
func (r *Receiver) Begin(ctx context.Context, a Arrival) (Move, error) {
	peer, err := r.opt.Peer(ctx, a.Peer)
	if err != nil {
		return Move{}, err
	}
	if err := r.Free(ctx, a.Person); err != nil {
		return Move{}, err
	}
	link, err := r.opt.Connect(ctx, peer, a.Tokens)
	if err != nil {
		return Move{}, err
	}
	plan, err := link.Begin(ctx)
	if err != nil {
		return Move{}, fmt.Errorf("begin at %s: %w", a.Peer, err)
	}
	if !moveID.MatchString(plan.Move) {
		return Move{}, fmt.Errorf("%w: it calls the move %.80q", ErrRefused, plan.Move)
	}
	if err := r.admits(ctx, a, plan); err != nil {
		return Move{}, errors.Join(err, link.abort(ctx, plan.Move, "the other operator cannot take it: "+string(troubleOf(err))))
	}
	e := &entry[arriving]{Move: Move{ID: plan.Move, Standing: Standing{Side: Destination, Stage: Planned}, Person: a.Person, Peer: a.Peer, Consent: plan.Move, Due: r.store.now()}}
	e.Detail.Tokens, e.Detail.Plan = a.Tokens, plan
	if err := begin(ctx, r.store, e, logBegun, note{}); err != nil {
		return r.begun(ctx, a, plan, link, err)
	}
	r.work.ring()
	return e.Move, nil
}

// begun is for a move that could not be written down: it may have been already, since the same was asked two times. Then it
// goes on, and nothing is said to the source.
func (r *Receiver) begun(ctx context.Context, a Arrival, plan Plan, link *Link, why error) (Move, error) {
	same, err := read[arriving](ctx, r.store, r.store.db.Read, plan.Move)
	switch {
	case err == nil && same.Person == a.Person && same.Peer == a.Peer && !same.Ended():
		return same.Move, nil
	case err == nil:
		return Move{}, fmt.Errorf("%w: it names a move that there was before: %w", ErrRefused, why)
	case !errors.Is(err, ErrNotFound):
		return Move{}, errors.Join(why, err)
	}
	return Move{}, errors.Join(why, link.abort(ctx, plan.Move, "the other operator could not begin"))
}

// mostTotal is more than any instance has, in bytes: no sum of it overflows.
const mostTotal = 1 << 50

// moveID is the form of a move's id: it names folders.
var moveID = regexp.MustCompile(`^[A-Za-z0-9_-]{20,64}$`)

// admits says what is against a move before it begins.
func (r *Receiver) admits(ctx context.Context, a Arrival, p Plan) error {
	if p.Source != a.Peer || p.Person == "" || len(p.Person) > 200 || len(p.Owner) > 1000 || len(p.Stays) > 100 || p.Charge != 0 {
		return fmt.Errorf("%w: its plan is about something else, or for money", ErrRefused)
	}
	if p.Total.Bytes < 0 || p.Total.Bytes > mostTotal || p.Total.Records < 0 || p.Total.Records > mostTotal>>17 {
		return fmt.Errorf("%w: its plan has %d records of %d bytes", ErrRefused, p.Total.Records, p.Total.Bytes)
	}
	stays, err := r.store.stays(ctx, a.Person)
	if err != nil {
		return err
	}
	room, limited, err := r.opt.Room(ctx, a.Person, stays)
	if err != nil {
		return err
	}
	if limited && p.Total.Bytes > room {
		return fmt.Errorf("%w (%d bytes would come, %d are free)", ErrRoom, p.Total.Bytes, room)
	}
	return nil
}

// Arriving is a move as the person sees it at the operator to whom they come.
type Arriving struct {
	Move
	Plan     Plan
	Progress Progress
	Paused   bool
	Stopping bool
	Trouble  Trouble // why it does not go on just now; Due is when it is tried again
	Why      string
	Merge    bool
	Done     bool
	Held     Tally
	Refused  []formats.Omission
	Omitted  []formats.Omission
	Receipt  *Receipt
	// Overridable is from when on the person can declare the source gone; zero: there is nothing to declare. Declared is that
	// they did.
	Overridable time.Time
	Declared    *Declared
}

// Progress is how far a move is just now.
type Progress struct {
	Step transfer.Step `json:"step,omitempty"`
	// Archive is which archive it is about: 0 is everything.
	Archive int   `json:"archive"`
	Records int64 `json:"records"`
	Bytes   int64 `json:"bytes"`
	// What there is to do in this step; 0 where it is not known.
	TotalRecords int64     `json:"total_records,omitempty"`
	TotalBytes   int64     `json:"total_bytes,omitempty"`
	Began        time.Time `json:"began,omitzero"` // the step
}

// Left is how long the step takes still at the rate that it had so far, 0 if that cannot be said.
func (p Progress) Left(now time.Time) time.Duration {
	done, total := p.Bytes, p.TotalBytes
	if total == 0 {
		done, total = p.Records, p.TotalRecords
	}
	took := now.Sub(p.Began)
	if done <= 0 || total <= done || p.Began.IsZero() || took <= 0 {
		return 0
	}
	return time.Duration(float64(took) * float64(total-done) / float64(done))
}

// Fetching is the step in which an archive comes; Packing that in which the source makes it. Before them is Taking, of what the
// person has here already.
const (
	Taking   transfer.Step = "taking"
	Packing  transfer.Step = "packing"
	Fetching transfer.Step = "fetching"
	Merging  transfer.Step = "merging"
)

// List returns the moves of a person to here, the last one first.
func (r *Receiver) List(ctx context.Context, person string) (out []Arriving, err error) {
	all, err := list[arriving](ctx, r.store, person)
	for _, e := range all {
		one, err := r.shown(ctx, e)
		if err != nil {
			return nil, err
		}
		out = append(out, one)
	}
	return out, err
}

// Get returns a move of a person to here.
func (r *Receiver) Get(ctx context.Context, person, id string) (Arriving, error) {
	e, err := r.own(ctx, person, id)
	if err != nil {
		return Arriving{}, err
	}
	return r.shown(ctx, e)
}

func (r *Receiver) shown(ctx context.Context, e *entry[arriving]) (Arriving, error) {
	d := &e.Detail
	a := Arriving{Move: e.Move, Plan: d.Plan, Paused: d.Paused, Stopping: d.Stopping, Trouble: d.Trouble.known(), Why: d.Why, Merge: d.Merge, Done: d.Done,
		Held: d.Held, Refused: d.Refused, Omitted: d.Omitted, Receipt: d.Receipt, Overridable: r.overridable(e), Declared: d.Declared}
	var text string
	err := r.store.db.Read.QueryRowContext(ctx, `SELECT progress FROM move_move WHERE id = $1 AND side = $2`, e.ID, string(Destination)).Scan(&text)
	if err == nil && text != "" {
		err = json.Unmarshal([]byte(text), &a.Progress)
	}
	return a, err
}

func (r *Receiver) own(ctx context.Context, person, id string) (*entry[arriving], error) {
	e, err := read[arriving](ctx, r.store, r.store.db.Read, id)
	if err == nil && e.Person != person {
		err = ErrNotFound
	}
	return e, err
}

// Pause has a move wait, and Resume go on.
func (r *Receiver) Pause(ctx context.Context, person, id string) error {
	return r.tell(ctx, person, id, errPaused, func(e *entry[arriving]) error {
		if e.Stage == Fenced || e.Stage == Accepted {
			return fmt.Errorf("%w: the person cannot write anywhere now, for some moments", ErrOrder)
		}
		e.Detail.Paused, e.Due = true, time.Time{}
		return nil
	})
}

// Resume lets a move go on that was paused, or tries again at once what had trouble.
func (r *Receiver) Resume(ctx context.Context, person, id string) error {
	return r.tell(ctx, person, id, nil, func(e *entry[arriving]) error {
		e.Detail.Paused, e.Due = false, r.store.now()
		return nil
	})
}

// Stop ends a move before it has happened. What was accepted only the source can stop, which is asked to.
func (r *Receiver) Stop(ctx context.Context, person, id string) error {
	return r.tell(ctx, person, id, errStopped, func(e *entry[arriving]) error {
		e.Detail.Stopping, e.Detail.Paused, e.Due = true, false, r.store.now()
		return nil
	})
}

var (
	errPaused  = errors.New("the move is paused")
	errStopped = errors.New("the move is being stopped")
)

func (r *Receiver) tell(ctx context.Context, person, id string, cause error, do func(*entry[arriving]) error) error {
	if _, err := r.own(ctx, person, id); err != nil {
		return err
	}
	_, err := change(ctx, r.store, id, func(_ *sql.Tx, e *entry[arriving]) ([]ledger.Event, error) {
		if e.Stage == Aborted {
			return nil, ErrEnded
		}
		if e.Stage == Activated {
			return nil, ErrTooLate
		}
		return nil, do(e)
	})
	if err != nil {
		return err
	}
	r.mu.Lock()
	if stop := r.stop[id]; stop != nil && cause != nil {
		stop(cause)
	}
	r.mu.Unlock()
	r.work.ring()
	return nil
}

func (r *Receiver) folder(id string, n int) string {
	return filepath.Join(r.opt.Dir, id, fmt.Sprintf("%06d", n))
}

// forgetFiles removes what was fetched of a move.
func (r *Receiver) forgetFiles(id string) error { return os.RemoveAll(filepath.Join(r.opt.Dir, id)) }
