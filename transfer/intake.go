package transfer

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/passerelle-cloud/passerelle/consent/ledger"
	"github.com/passerelle-cloud/passerelle/formats"
	"github.com/passerelle-cloud/passerelle/formats/archive"
	"github.com/passerelle-cloud/passerelle/internal/jobs"
	"github.com/passerelle-cloud/passerelle/internal/sqldb"
	"github.com/passerelle-cloud/passerelle/operators"
)

// IntakeState is how far an archive is that a person brings.
type IntakeState string

// The states of an intake.
const (
	IntakeComing   IntakeState = "coming"   // its files are being sent
	IntakeLocked   IntakeState = "locked"   // they are here, and a key or passphrase is needed
	IntakeChecking IntakeState = "checking" // everything is verified
	IntakeRefused  IntakeState = "refused"  // for good: see Fault
	IntakeShown    IntakeState = "shown"    // it is sound: the person sees what is in it, and has to say yes
	IntakeLoading  IntakeState = "loading"
	IntakeFailed   IntakeState = "failed" // it can be tried again
	IntakeLoaded   IntakeState = "loaded"
)

// Intake is an archive of a person's own that they bring, on its way in.
type Intake struct {
	ID      string
	Person  string
	State   IntakeState
	Asked   time.Time
	Expires time.Time // when it is removed, whatever became of it
	intakeDetail
	Progress Progress
}

type intakeDetail struct {
	Files  []IntakeFile    `json:"files"`
	Fault  IntakeFault     `json:"fault,omitempty"` // why it is refused, has failed or is locked, or waits while it is loaded
	Faults []archive.Fault `json:"faults,omitempty"`
	Found  *Found          `json:"found,omitempty"`
	Report *Report         `json:"report,omitempty"` // its lists are cut, see mostListed
	Tries  int             `json:"tries,omitempty"`
	Key    string          `json:"key,omitempty"` // SHA-256 of the public part of a key that the person has shown to have
}

// IntakeFile is a file of an archive that a person brings.
type IntakeFile struct {
	Name string `json:"name"`
	Size int64  `json:"size"` // bytes
	Got  int64  `json:"got"`  // of them
}

// Found is what a sound archive says of itself.
type Found struct {
	ExportID string                 `json:"export_id"`
	Sequence int                    `json:"sequence"`
	Root     formats.Hash           `json:"root"`
	Source   archive.Party          `json:"source"`
	Signer   archive.Signer         `json:"signer"`
	Person   string                 `json:"person"` // as the source calls them, for this recipient
	Created  time.Time              `json:"created"`
	Datasets []archive.DatasetClaim `json:"datasets"`
	Omitted  []formats.Omission     `json:"omitted,omitempty"`
	Own      bool                   `json:"own,omitempty"`  // the key that the person has shown is the one that it names
	Here     bool                   `json:"here,omitempty"` // it was loaded before
}

// Errors of intakes.
var (
	// ErrNoIntake is returned for an intake that there is not (any more), or that is somebody else's.
	ErrNoIntake = errors.New("there is no such archive on its way, or not any more")
	// ErrIntake is returned where another one has to end first, or to be removed.
	ErrIntake = errors.New("another archive is on its way: let it end, or remove it")
	// ErrIntakeFiles is returned for files that are none of an archive, or too many.
	ErrIntakeFiles = errors.New("these are not the files of an archive")
	// ErrIntakeSize is returned for more bytes than the person may bring.
	ErrIntakeSize = errors.New("it is larger than what can be brought")
	// ErrIntakePlace is returned for a part that does not go on where the file ends.
	ErrIntakePlace = errors.New("the part does not begin where the file ends")
	// ErrIntakePart is returned where not all files are here.
	ErrIntakePart = errors.New("not all of it has come")
)

// IntakeOptions are what intakes need. What stands after the blank line may be left out.
type IntakeOptions struct {
	Dir string // holds the files; replicas share it
	// Target opens what the person has here.
	Target func(ctx context.Context, person string) (operators.Target, error)
	Expect func(ctx context.Context) (archive.Expectations, error)
	// Append writes the log of what is loaded.
	Append func(ctx context.Context, events ...ledger.Event) error
	// Most is how many bytes the files of a person may have.
	Most func(ctx context.Context, person string) (int64, error)
	// Seal and Open keep the keys of encrypted files in the database.
	Seal func(any) (string, error)
	Open func(string, any) error

	// Beside returns what is shown each record that is loaded, and what is done when all are, which may be done again; nil:
	// nothing is.
	Beside func(person string, f Found) (see func(formats.Record), end func(context.Context) error)
	Tmp    string        // for what is sorted; "": the system's
	Keep   time.Duration // how long it is kept what nobody touches; 0 means seven days
	Log    *slog.Logger
	Now    func() time.Time
}

// Intakes take in the archives that persons bring: they come in parts, are verified, shown, and loaded in the background.
type Intakes struct {
	db    *sqldb.DB
	queue *jobs.Queue
	opt   IntakeOptions
	// hard has a passphrase tried by one at a time: that takes 256 MiB.
	hard chan struct{}
	// slots bound how many archives are verified or loaded at a time: others' work has room, and so has memory.
	slots chan struct{}
}

const (
	intakeCheck  jobs.Kind[intakeJob] = "intake.check"
	intakeLoad   jobs.Kind[intakeJob] = "intake.load"
	intakeRemove jobs.Kind[intakeJob] = "intake.remove"
)

type intakeJob struct {
	ID string `json:"id"`
}

const (
	intakeTime     = 6 * time.Hour // to verify or load one
	intakeAttempts = 8
	intakeParallel = 2
	mostListed     = 2000 // of what is renamed, refused, left out
)

// OpenIntakes prepares the tables, and gives the queue its workers. Without a queue, intakes can be removed.
func OpenIntakes(ctx context.Context, db *sqldb.DB, queue *jobs.Queue, o IntakeOptions) (*Intakes, error) {
	if o.Keep == 0 {
		o.Keep = defaultLifetime
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	tables, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return nil, err
	}
	if err := db.Migrate(ctx, tables, "transfer_version"); err != nil {
		return nil, err
	}
	i := &Intakes{db: db, queue: queue, opt: o, hard: make(chan struct{}, 1), slots: make(chan struct{}, intakeParallel)}
	if queue == nil {
		return i, nil
	}
	check, load := intakeCheck.Worker(i.check), intakeLoad.Worker(i.load)
	check.Timeout, load.Timeout = intakeTime, intakeTime
	check.MaxAttempts, load.MaxAttempts = intakeAttempts, intakeAttempts
	return i, queue.Handle(check, load, intakeRemove.Worker(i.expire))
}

// Begin takes on to take in an archive that has these files. What is on its way with the same files goes on: of each it is
// said how much has come.
func (i *Intakes) Begin(ctx context.Context, person string, files []IntakeFile) (Intake, error) {
	most, err := i.opt.Most(ctx, person)
	if err == nil {
		err = checkFiles(files, most)
	}
	if err != nil {
		return Intake{}, err
	}
	return i.begin(ctx, person, files)
}

// begin makes room for an archive, whose files may not be known yet.
func (i *Intakes) begin(ctx context.Context, person string, files []IntakeFile) (Intake, error) {
	begun := Intake{ID: rand.Text(), Person: person, State: IntakeComing, Asked: i.opt.Now(), Expires: i.opt.Now().Add(i.opt.Keep), intakeDetail: intakeDetail{Files: files}}
	var old string
	err := i.db.Tx(ctx, func(tx *sql.Tx) error {
		old = ""
		last, err := i.find(ctx, tx, `person = $1`, person)
		switch {
		case errors.Is(err, ErrNoIntake):
		case err != nil:
			return err
		case last.State == IntakeComing && len(files) > 0 && sameFiles(last.Files, files):
			begun = last
			return nil
		case last.State == IntakeLocked || last.State == IntakeChecking || last.State == IntakeShown || last.State == IntakeLoading:
			return ErrIntake
		default:
			old = last.ID
			if _, err := tx.ExecContext(ctx, `DELETE FROM transfer_intake WHERE id = $1`, old); err != nil {
				return err
			}
		}
		if err := i.insert(ctx, tx, &begun); err != nil {
			return err
		}
		return i.queue.Add(ctx, tx, intakeRemove.Job(intakeJob{begun.ID}), jobs.Options{At: begun.Expires})
	})
	if err == nil && old != "" {
		err = os.RemoveAll(i.folder(old))
	}
	if err == nil {
		err = os.MkdirAll(i.folder(begun.ID), 0o700)
	}
	if err != nil {
		return Intake{}, fmt.Errorf("begin to take in an archive: %w", err)
	}
	return begun, i.measure(&begun)
}

// Get returns the intake of a person, or [ErrNoIntake].
func (i *Intakes) Get(ctx context.Context, person string) (Intake, error) {
	found, err := i.find(ctx, i.db.Read, `person = $1`, person)
	if err == nil && !i.opt.Now().Before(found.Expires) {
		err = ErrNoIntake
	}
	if err != nil {
		return Intake{}, err
	}
	return found, i.measure(&found)
}

func (i *Intakes) own(ctx context.Context, person, id string) (Intake, error) {
	found, err := i.Get(ctx, person)
	if err == nil && found.ID != id {
		err = ErrNoIntake
	}
	return found, err
}

// folder holds the files. An ID is made of letters and digits.
func (i *Intakes) folder(id string) string { return filepath.Join(i.opt.Dir, id) }

// measure looks how much of each file has come.
func (i *Intakes) measure(in *Intake) error {
	if in.State != IntakeComing {
		return nil
	}
	for n := range in.Files {
		info, err := os.Stat(filepath.Join(i.folder(in.ID), in.Files[n].Name))
		switch {
		case errors.Is(err, os.ErrNotExist):
			in.Files[n].Got = 0
		case err != nil:
			return err
		default:
			in.Files[n].Got = info.Size()
		}
	}
	return nil
}

const intakeColumns = `id, person, state, asked, expires, detail, progress`

type rowQueryer interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

func (i *Intakes) find(ctx context.Context, q rowQueryer, where, what string) (in Intake, err error) {
	var asked, expires int64
	var detail, progress string
	err = q.QueryRowContext(ctx, `SELECT `+intakeColumns+` FROM transfer_intake WHERE `+where, what).Scan(&in.ID, &in.Person, &in.State, &asked, &expires, &detail, &progress)
	if errors.Is(err, sql.ErrNoRows) {
		return in, ErrNoIntake
	}
	if err != nil {
		return in, fmt.Errorf("look for the archive that comes: %w", err)
	}
	in.Asked, in.Expires = time.UnixMicro(asked), time.UnixMicro(expires)
	return in, errors.Join(json.Unmarshal([]byte(detail), &in.intakeDetail), json.Unmarshal([]byte(progress), &in.Progress))
}

func (i *Intakes) insert(ctx context.Context, tx *sql.Tx, in *Intake) error {
	detail, err := json.Marshal(in.intakeDetail)
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, `INSERT INTO transfer_intake (person, id, state, asked, expires, detail, keys, progress) VALUES ($1, $2, $3, $4, $5, $6, '', '{}')`,
		in.Person, in.ID, string(in.State), in.Asked.UnixMicro(), in.Expires.UnixMicro(), string(detail))
	return err
}

// change changes an intake in a transaction, and prolongs it; also does more in it.
func (i *Intakes) change(ctx context.Context, id string, do func(*Intake) error, also ...func(*sql.Tx) error) error {
	return i.db.Tx(ctx, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, `UPDATE transfer_intake SET expires = expires WHERE id = $1`, id); err != nil { // whoever else changes it waits
			return err
		}
		in, err := i.find(ctx, tx, `id = $1`, id)
		if err == nil {
			err = do(&in)
		}
		if err != nil {
			return err
		}
		detail, err := json.Marshal(in.intakeDetail)
		if err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, `UPDATE transfer_intake SET state = $2, expires = $3, detail = $4 WHERE id = $1`,
			id, string(in.State), i.opt.Now().Add(i.opt.Keep).UnixMicro(), string(detail)); err != nil {
			return err
		}
		for _, more := range also {
			if err := more(tx); err != nil {
				return err
			}
		}
		return nil
	})
}
