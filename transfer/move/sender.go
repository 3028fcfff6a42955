package move

import (
	"context"
	"crypto"
	"crypto/rand"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"
	mathrand "math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/passerelle-cloud/passerelle/consent/ledger"
	"github.com/passerelle-cloud/passerelle/formats"
	"github.com/passerelle-cloud/passerelle/formats/archive"
	"github.com/passerelle-cloud/passerelle/formats/statement"
	"github.com/passerelle-cloud/passerelle/internal/sqldb"
	"github.com/passerelle-cloud/passerelle/operators"
	"github.com/passerelle-cloud/passerelle/transfer"
)

// SenderOptions are what an operator needs whose persons leave. What stands after the blank line may be left out.
type SenderOptions struct {
	Operator archive.Party
	Dir      string // where archives wait for the other operator; replicas share it
	// Signer is the operator's archive key, and Peer the newest statement of another operator that is trusted here.
	Signer func(context.Context) (crypto.Signer, error)
	Peer   func(ctx context.Context, id string) (*statement.Signed, error)
	// Instance opens what a person has here, and Pseudonym names them for another operator.
	Instance  func(ctx context.Context, person string) (operators.Source, error)
	Pseudonym func(ctx context.Context, person, operator string) (string, error)
	// Content opens the bytes of a blob that the person has here.
	Content func(ctx context.Context, person string, blob formats.Hash) (io.ReadCloser, error)
	// Hold makes an instance read-only, or lets the person write again, as a part of a transaction.
	Hold func(ctx context.Context, tx *sql.Tx, person string, readOnly bool) error
	// Export gathers who signs what leaves, for whom, and what is logged of it.
	Export func(ctx context.Context, person string, to *statement.Signed, source operators.Source) (transfer.Export, error)
	// Authorised reports whether the person's authorisation for a move still stands.
	Authorised func(context.Context, Move) (bool, error)
	// Erase removes a person who has moved, when the time to come back for the data is over, and returns the signed
	// certificate of that.
	Erase func(ctx context.Context, person string) (string, error)

	// Retired is called in the transaction in which an instance has moved; nil: nothing else is done.
	Retired func(ctx context.Context, tx *sql.Tx, m Move) ([]ledger.Event, error)
	// Follows is what follows the person besides the instance, as a JSON text, and Left what of it stood in the transaction in
	// which the instance had moved; nil: nothing.
	Follows func(ctx context.Context, m Move) (json.RawMessage, error)
	Left    func(ctx context.Context, m Move) (json.RawMessage, error)
	// Fence is how long the person is kept from writing while the other operator says nothing; 0 means ten minutes.
	Fence time.Duration
	// Retain is for how long the data is kept after the move, for the person to come back for it; 0 means 30 days, the least
	// that Regulation (EU) 2023/2854, article 25(2)(g), allows.
	Retain time.Duration
	// Pace is after what time something that did not succeed is tried again at first; 0 means half a second.
	Pace time.Duration
	Log  *slog.Logger
	Now  func() time.Time
}

const (
	defaultFence  = 10 * time.Minute
	defaultRetain = 30 * 24 * time.Hour
	volumeSize    = 32 << 20
	challenged    = 5 // blobs that the destination has to show
)

// Sender is the part of an operator whom persons leave.
type Sender struct {
	opt   SenderOptions
	store *store
	work  *worker
}

// leaving is what a source knows of a move besides how it stands.
type leaving struct {
	Pseudonym string `json:"pseudonym"`
	// Asked is how many archives the destination asked for, and Made those that there are.
	Asked int                `json:"asked"`
	Made  []Packed           `json:"made,omitempty"`
	Last  *transfer.Previous `json:"last,omitempty"` // that archive from which the next one goes on
	// Before is Last as it was before, in case that the last archive has to be made again.
	Before *transfer.Previous `json:"before,omitempty"`
	// Whole says that nothing is left out of archive 0, whatever the destination has said that it holds.
	Whole bool      `json:"whole,omitempty"`
	Ends  time.Time `json:"ends,omitzero"` // the authorisation
	Tries int       `json:"tries,omitempty"`
	Ails  Trouble   `json:"ails,omitempty"` // why the archive that was asked for is not made
	// Held says that the instance is read-only, for the next epoch or this one.
	Held       bool      `json:"held,omitempty"`
	FencedAt   *FencedAt `json:"fenced_at,omitempty"`
	FencedFrom int       `json:"fenced_from,omitempty"` // the first archive that could be made under it
	FenceUntil time.Time `json:"fence_until,omitzero"`
	Receipt    *Receipt  `json:"receipt,omitempty"`
	Why        string    `json:"why,omitempty"`  // it was aborted
	Until      time.Time `json:"until,omitzero"` // when the data is erased
	Erased     time.Time `json:"erased,omitzero"`
	// Certificate says what was erased.
	Certificate string `json:"certificate,omitempty"`
	// Back is when the person came back, and Erasing says that it is too late for that.
	Back    time.Time `json:"back,omitzero"`
	Erasing bool      `json:"erasing,omitempty"`
	// Unlogged says that the entry in the log is still to be made of how it ended: it ended in somebody else's transaction.
	Unlogged bool `json:"unlogged,omitempty"`
	// When the person had authorised what was committed when, and whether they had prolonged it.
	Given     time.Time `json:"given,omitzero"`
	Prolonged bool      `json:"prolonged,omitempty"`
	Committed time.Time `json:"committed,omitzero"`
}

// OpenSender returns the source, and makes its tables if there are none.
func OpenSender(ctx context.Context, db *sqldb.DB, log *ledger.Ledger, o SenderOptions) (*Sender, error) {
	if o.Fence == 0 {
		o.Fence = defaultFence
	}
	if o.Retain == 0 {
		o.Retain = defaultRetain
	}
	store, err := openStore(ctx, db, log, Source, o.Now)
	s := &Sender{opt: o, store: store}
	s.work = newWorker(store, o.Log, o.Pace, s.do)
	return s, err
}

// Run does what is due until the context ends: it packs archives, ends fences that were up for too long, and erases.
func (s *Sender) Run(ctx context.Context) { s.work.run(ctx) }

// Authorisation is what the caller of a source shows: the person's, for one destination.
type Authorisation struct {
	Consent     string
	Person      string
	Destination string // id of the operator
	Until       time.Time
	Given       time.Time // when the person said yes
	Prolonged   bool      // the person gave more time since
}

// Begin begins a move, or finds the one that the authorisation is of, and says what will move.
func (s *Sender) Begin(ctx context.Context, a Authorisation) (Plan, error) {
	e, err := byConsent[leaving](ctx, s.store, s.store.db.Read, a.Consent)
	if errors.Is(err, ErrNotFound) {
		if err = s.makeWay(ctx, a.Person); err == nil {
			e, err = s.begin(ctx, a)
		}
		if errors.Is(err, ErrOpen) { // the same request came two times at once
			if same, missing := byConsent[leaving](ctx, s.store, s.store.db.Read, a.Consent); missing == nil {
				e, err = same, nil
			}
		}
	}
	switch {
	case err == nil && (e.Stage == Committed || e.Stage == Erased):
		err = ErrTooLate
	case err == nil && e.Stage == Aborted:
		err = ErrEnded // each move needs a yes of its own
	}
	if err != nil {
		return Plan{}, fmt.Errorf("begin to move: %w", err)
	}
	return s.plan(ctx, e, a)
}

// makeWay ends a move that keeps another one of the same person from beginning, and of which nothing will come: its
// authorisation has ended, or the other operator never heard that it had begun.
func (s *Sender) makeWay(ctx context.Context, person string) error {
	other, err := latest[leaving](ctx, s.store, s.store.db.Read, person)
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	if err == nil {
		other, err = s.expire(ctx, other)
	}
	if err == nil && other.Stage == Planned && other.Detail.Asked == 0 {
		_, err = s.abort(ctx, other.ID, "the person said yes again, and that counts")
	}
	return err
}

func (s *Sender) begin(ctx context.Context, a Authorisation) (*entry[leaving], error) {
	if _, err := s.opt.Peer(ctx, a.Destination); err != nil {
		return nil, err
	}
	pseudonym, err := s.opt.Pseudonym(ctx, a.Person, a.Destination)
	if err != nil {
		return nil, err
	}
	e := &entry[leaving]{Move: Move{ID: rand.Text(), Standing: Standing{Side: Source, Stage: Planned}, Person: a.Person, Peer: a.Destination, Consent: a.Consent}}
	e.Detail.Pseudonym, e.Detail.Ends, e.Due = pseudonym, a.Until, a.Until
	return e, begin(ctx, s.store, e, logBegun, note{})
}

func (s *Sender) plan(ctx context.Context, e *entry[leaving], a Authorisation) (Plan, error) {
	p := Plan{Move: e.ID, Source: s.opt.Operator.ID, Person: e.Detail.Pseudonym, Until: a.Until, Retained: int(s.opt.Retain / (24 * time.Hour)), Stays: stays}
	source, err := s.opt.Instance(ctx, e.Person)
	if err != nil {
		return p, err
	}
	defer source.Close()
	d, err := source.Describe(ctx)
	p.Owner, p.Locale, p.Total = d.Owner, d.Locale, d.Total
	return p, err
}

// stays is what never moves: what opens the account here, and what belongs to this operator's address.
var stays = []Stays{{"account"}, {"app-passwords"}, {"tokens"}, {"log"}, {"shares"}}

// Terms are what a person is told before they leave: what never moves, and for how many days the data is kept after that.
func (s *Sender) Terms() (what []string, retained int) {
	for _, one := range stays {
		what = append(what, one.What)
	}
	return what, int(s.opt.Retain / (24 * time.Hour))
}

// own finds the move that an authorisation is of.
func (s *Sender) own(ctx context.Context, a Authorisation, id string) (*entry[leaving], error) {
	e, err := read[leaving](ctx, s.store, s.store.db.Read, id)
	if err == nil && e.Consent != a.Consent {
		err = ErrNotFound
	}
	return e, err
}

// Pack says how far the archive of that number is, and has it made if it was not asked for before: everything, or what has
// changed since the one before. Those before it are not needed any more then.
func (s *Sender) Pack(ctx context.Context, a Authorisation, id string, n int) (Packed, error) {
	e, err := s.own(ctx, a, id)
	if err != nil {
		return Packed{}, err
	}
	switch {
	case e.Stage == Aborted:
		return Packed{}, ErrEnded
	case n >= 0 && n < e.Detail.Asked-1: // a request that comes late
		return Packed{}, fmt.Errorf("%w: archive %d was loaded, and is not kept any more", ErrOrder, n)
	case n >= 0 && n < len(e.Detail.Made) && s.there(e, n):
		return e.Detail.Made[n], nil
	case n >= 0 && n < len(e.Detail.Made):
		return Packed{Sequence: n}, s.remake(ctx, id, n)
	case n > len(e.Detail.Made) || n < 0:
		return Packed{}, fmt.Errorf("%w: archive %d is asked for, and the last was %d", ErrOrder, n, len(e.Detail.Made)-1)
	case n < e.Detail.Asked:
		return Packed{Sequence: n, Ails: e.Detail.Ails}, nil
	}
	_, err = change(ctx, s.store, id, func(_ *sql.Tx, e *entry[leaving]) ([]ledger.Event, error) {
		if e.Stage != Planned && e.Stage != Fenced {
			return nil, e.order("pack")
		}
		if n == len(e.Detail.Made) && n == e.Detail.Asked {
			e.Detail.Asked, e.Due = n+1, s.store.now()
		}
		return nil, nil
	})
	s.work.ring()
	return Packed{Sequence: n}, err
}

// Open opens a file of an archive that is ready.
func (s *Sender) Open(ctx context.Context, a Authorisation, id string, n int, name string) (*os.File, error) {
	e, err := s.own(ctx, a, id)
	if err == nil && e.Ended() {
		err = ErrEnded
	}
	if err != nil {
		return nil, err
	}
	if n < 0 || n >= len(e.Detail.Made) || !slices.ContainsFunc(e.Detail.Made[n].Files, func(f File) bool { return f.Name == name }) {
		return nil, ErrNotFound
	}
	f, err := os.Open(filepath.Join(s.folder(id, n), name))
	if errors.Is(err, os.ErrNotExist) {
		err = ErrNotFound
	}
	return f, err
}

// folder holds an archive. An ID is made of letters and digits.
func (s *Sender) folder(id string, n int) string {
	return filepath.Join(s.opt.Dir, id, fmt.Sprintf("%06d", n))
}

// Say says, signed, how a move stands, to whoever knows its id.
func (s *Sender) Say(ctx context.Context, id string) (string, error) {
	e, err := read[leaving](ctx, s.store, s.store.db.Read, id)
	if err != nil {
		return "", err
	}
	if e, err = s.expire(ctx, e); err != nil {
		return "", err
	}
	left, err := s.left(ctx, e)
	if err != nil {
		return "", err
	}
	payload, err := json.Marshal(Said{Move: e.ID, Source: s.opt.Operator.ID, Stage: e.Stage, Epoch: e.Epoch, Root: e.Root, Left: left, At: s.store.now().UTC()})
	if err != nil {
		return "", err
	}
	return s.sign(ctx, typeStanding, payload)
}

// expire ends a move whose authorisation has ended by itself.
func (s *Sender) expire(ctx context.Context, e *entry[leaving]) (*entry[leaving], error) {
	if e.Ended() {
		return e, nil
	}
	stands, err := s.opt.Authorised(ctx, e.Move)
	if err != nil || stands && !s.over(e) {
		return e, err
	}
	return s.abort(ctx, e.ID, "the authorisation has ended")
}

// over reports whether the time of the authorisation is over.
func (s *Sender) over(e *entry[leaving]) bool {
	return !e.Detail.Ends.IsZero() && !s.store.now().Before(e.Detail.Ends)
}

func (s *Sender) sign(ctx context.Context, typ string, payload []byte) (string, error) {
	signer, err := s.opt.Signer(ctx)
	if err != nil {
		return "", err
	}
	return statement.SignJWS(signer, typ, payload)
}

// Receipt is what both operators signed, to whoever knows the move's id, from the commit on.
func (s *Sender) Receipt(ctx context.Context, id string) (Receipt, error) {
	e, err := read[leaving](ctx, s.store, s.store.db.Read, id)
	if err == nil && e.Detail.Receipt == nil {
		err = ErrNotFound
	}
	if err != nil {
		return Receipt{}, err
	}
	return *e.Detail.Receipt, nil
}

// Certificate says, signed, that the instance was erased after the move, to whoever knows the move's id.
func (s *Sender) Certificate(ctx context.Context, id string) (string, error) {
	e, err := read[leaving](ctx, s.store, s.store.db.Read, id)
	if err == nil && e.Detail.Certificate == "" {
		err = ErrNotFound
	}
	if err != nil {
		return "", err
	}
	return e.Detail.Certificate, nil
}

// Stop ends a move of a person's before it has happened: they stay. The error is [ErrTooLate] after that.
func (s *Sender) Stop(ctx context.Context, person, id, why string) error {
	e, err := read[leaving](ctx, s.store, s.store.db.Read, id)
	if err == nil && e.Person != person {
		err = ErrNotFound
	}
	if err != nil {
		return err
	}
	_, err = s.abort(ctx, id, why)
	return err
}

// Abort is Stop for the destination.
func (s *Sender) Abort(ctx context.Context, a Authorisation, id, why string) error {
	if _, err := s.own(ctx, a, id); err != nil {
		return err
	}
	_, err := s.abort(ctx, id, why)
	return err
}

func (s *Sender) abort(ctx context.Context, id, why string) (*entry[leaving], error) {
	e, err := change(ctx, s.store, id, func(tx *sql.Tx, e *entry[leaving]) ([]ledger.Event, error) { return s.abortIn(ctx, tx, e, why) })
	s.work.ring()
	return e, err
}

// abortIn leaves it to the worker to remove the files: one may be writing them just now.
func (s *Sender) abortIn(ctx context.Context, tx *sql.Tx, e *entry[leaving], why string) ([]ledger.Event, error) {
	events, err := e.happens(Abort, 0, "", logAborted)
	if err != nil {
		return nil, err
	}
	if e.Detail.Held {
		if err := s.opt.Hold(ctx, tx, e.Person, false); err != nil && !errors.Is(err, operators.ErrNotFound) {
			return nil, err
		}
	}
	if events != nil {
		e.Detail.Held, e.Detail.Why, e.Due = false, why, s.store.now()
	}
	return events, nil
}

// Withdrawn ends the move of an authorisation that ends, in the same transaction; where the instance has moved already
// nothing is left to stop. It is called for every consent that ends, of whatever kind.
func (s *Sender) Withdrawn(ctx context.Context, tx *sql.Tx, consent string) error {
	// Whoever changes the move just now is waited for, as in change: what is read before that may be old.
	if _, err := tx.ExecContext(ctx, `UPDATE move_move SET changed = changed WHERE consent = $1 AND side = $2`, consent, string(Source)); err != nil {
		return fmt.Errorf("take the move: %w", err)
	}
	e, err := byConsent[leaving](ctx, s.store, tx, consent)
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	if err != nil || e.Ended() {
		return err
	}
	if _, err := s.abortIn(ctx, tx, e, "the authorisation was withdrawn"); err != nil {
		return err
	}
	e.Detail.Unlogged = true // that of the withdrawal is made in this transaction; the worker makes the move's own
	return put(ctx, s.store, tx, e)
}

// Leaving is a move as the person sees it at the operator whom they leave.
type Leaving struct {
	Move
	Packed  int // archives made for the other operator
	Held    bool
	Waits   bool      // what was asked for cannot be made just now, which is tried again
	Until   time.Time // of the fence; after the move: when the data is erased
	Why     string
	Receipt *Receipt
}

// List returns the moves of a person from here, the last one first.
func (s *Sender) List(ctx context.Context, person string) ([]Leaving, error) {
	all, err := list[leaving](ctx, s.store, person)
	var out []Leaving
	for _, e := range all {
		l := Leaving{Move: e.Move, Packed: len(e.Detail.Made), Held: e.Detail.Held, Waits: e.Detail.Ails != "" && !e.Ended(), Until: e.Detail.FenceUntil, Why: e.Detail.Why, Receipt: e.Detail.Receipt}
		if e.Stage == Committed {
			l.Until = e.Detail.Until
		}
		out = append(out, l)
	}
	return out, err
}

// Moved returns to which operator an instance has moved from here, "" if it has not.
func (s *Sender) Moved(ctx context.Context, person string) (string, error) {
	e, err := latest[leaving](ctx, s.store, s.store.db.Read, person)
	if errors.Is(err, ErrNotFound) || err == nil && !gone(e) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	return e.Peer, nil
}

// state is what a source holds: its root, how much it is, and some blobs of it by chance.
type state struct {
	root   formats.Hash
	tally  Tally
	chosen []formats.Hash
}

// stateOf reads a whole state, without reading any record.
func stateOf(states iter.Seq2[formats.State, error]) (state, error) {
	s := state{tally: Tally{}}
	blobs := 0
	root, err := archive.StateRoot(func(yield func(formats.State, error) bool) {
		for one, err := range states {
			if err == nil {
				s.tally.add(one)
				if !one.Blob.IsZero() {
					s.sample(one.Blob, blobs)
					blobs++
				}
			}
			if !yield(one, err) {
				return
			}
		}
	})
	s.root = root
	return s, err
}

// sample keeps each of the blobs that come with the same likelihood.
func (s *state) sample(blob formats.Hash, before int) {
	if len(s.chosen) < challenged {
		s.chosen = append(s.chosen, blob)
		return
	}
	if n := mathrand.IntN(before + 1); n < challenged {
		s.chosen[n] = blob
	}
}
