package transfer

import (
	"context"
	"crypto/rand"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/passerelle-cloud/passerelle/formats/archive"
	"github.com/passerelle-cloud/passerelle/internal/jobs"
	"github.com/passerelle-cloud/passerelle/internal/sqldb"
)

//go:embed migrations
var migrations embed.FS

// TakeoutState is how far a takeout is.
type TakeoutState string

// The states of a takeout.
const (
	TakeoutWaiting TakeoutState = "waiting"
	TakeoutRunning TakeoutState = "running"
	TakeoutReady   TakeoutState = "ready"
	TakeoutFailed  TakeoutState = "failed" // and tried as often as it makes sense
)

// Takeout is an archive of everything that a person has here, made for them to download.
type Takeout struct {
	ID      string
	Person  string
	State   TakeoutState
	Sealed  bool // to their recovery key: nobody else opens it
	Asked   time.Time
	Ready   time.Time // zero: not yet
	Expires time.Time // when it is removed; zero as long as it is not ready
	Records int64     // written so far
	Size    int64     // bytes of the file
	Name    string    // of the file, as a person would call it
	Root    string    // SHA-256, hexadecimal, that stands for everything in it
}

var (
	// ErrNoTakeout is returned for a takeout that there is not (any more), or that is somebody else's.
	ErrNoTakeout = errors.New("there is no such archive, or not any more: ask for a new one")
	// ErrTakeouts is returned for one archive too many.
	ErrTakeouts = errors.New("there are enough archives of yours: download them, or remove one")
)

// TakeoutOptions are what takeouts need. Dir and Export must be set.
type TakeoutOptions struct {
	// Dir holds the files. Replicas share it.
	Dir string
	// Export writes an archive of what the person has to the file of that name, or to that name with an ending.
	Export func(ctx context.Context, person, out string, sealed bool, observe Observer) (archive.Sealed, error)
	// Keep is how long a file is kept; 0 means seven days.
	Keep time.Duration
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// Takeouts makes archives in the background, keeps them for some days, and removes them.
type Takeouts struct {
	db    *sqldb.DB
	queue *jobs.Queue
	opt   TakeoutOptions
}

const (
	takeoutMake   jobs.Kind[takeoutJob] = "takeout.make"
	takeoutRemove jobs.Kind[takeoutJob] = "takeout.remove"
)

type takeoutJob struct {
	ID string `json:"id"`
}

// MaxTakeouts is how many takeouts a person has at a time.
const MaxTakeouts = 3

const (
	takeoutTime     = 6 * time.Hour // to make one
	takeoutAttempts = 5
	takeoutEvery    = time.Second // how often it is written how far one is
)

// OpenTakeouts prepares the tables, and gives the queue its workers. Without a queue, takeouts can be listed and removed.
func OpenTakeouts(ctx context.Context, db *sqldb.DB, queue *jobs.Queue, o TakeoutOptions) (*Takeouts, error) {
	if o.Keep == 0 {
		o.Keep = defaultLifetime
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	tables, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return nil, err
	}
	if err := db.Migrate(ctx, tables, "transfer_version"); err != nil {
		return nil, err
	}
	t := &Takeouts{db: db, queue: queue, opt: o}
	if queue == nil {
		return t, nil
	}
	work := takeoutMake.Worker(t.make)
	work.Timeout, work.MaxAttempts = takeoutTime, takeoutAttempts
	return t, queue.Handle(work, takeoutRemove.Worker(func(ctx context.Context, job takeoutJob) error { return t.remove(ctx, job.ID) }))
}

// Ask takes on to make an archive, sealed to the person's recovery key or not. While one is being made, that one is
// returned. The error wraps [ErrTakeouts].
func (t *Takeouts) Ask(ctx context.Context, person string, sealed bool) (Takeout, error) {
	asked := Takeout{ID: rand.Text(), Person: person, State: TakeoutWaiting, Sealed: sealed, Asked: t.opt.Now()}
	err := t.db.Tx(ctx, func(tx *sql.Tx) error {
		list, err := t.list(ctx, tx, person)
		if err != nil {
			return err
		}
		for _, other := range list {
			if other.State == TakeoutWaiting || other.State == TakeoutRunning {
				asked = other
				return nil
			}
		}
		if len(list) >= MaxTakeouts {
			return ErrTakeouts
		}
		if _, err := tx.ExecContext(ctx, `
			INSERT INTO transfer_takeout (id, person, state, sealed, asked, ready, expires, records, size, name, root) VALUES ($1, $2, $3, $4, $5, 0, 0, 0, 0, '', '')`,
			asked.ID, person, string(asked.State), sealed, asked.Asked.UnixMicro()); err != nil {
			return err
		}
		return t.queue.Add(ctx, tx, takeoutMake.Job(takeoutJob{asked.ID}), jobs.Options{})
	})
	if err != nil {
		return Takeout{}, fmt.Errorf("ask for an archive: %w", err)
	}
	return asked, nil
}

// List returns what a person asked for, the latest first.
func (t *Takeouts) List(ctx context.Context, person string) ([]Takeout, error) {
	list, err := t.list(ctx, t.db.Read, person)
	if err != nil {
		return nil, fmt.Errorf("list the archives: %w", err)
	}
	return list, nil
}

type queryer interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

const takeoutColumns = `id, person, state, sealed, asked, ready, expires, records, size, name, root`

func (t *Takeouts) list(ctx context.Context, q queryer, person string) (list []Takeout, err error) {
	rows, err := q.QueryContext(ctx, `SELECT `+takeoutColumns+` FROM transfer_takeout WHERE person = $1 ORDER BY asked DESC, id`, person)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		one, err := scanTakeout(rows.Scan)
		if err != nil {
			return nil, err
		}
		if one.Expires.IsZero() || one.Expires.After(t.opt.Now()) {
			list = append(list, one)
		}
	}
	return list, rows.Err()
}

func scanTakeout(scan func(...any) error) (t Takeout, err error) {
	var asked, ready, expires int64
	err = scan(&t.ID, &t.Person, &t.State, &t.Sealed, &asked, &ready, &expires, &t.Records, &t.Size, &t.Name, &t.Root)
	t.Asked = time.UnixMicro(asked)
	if ready > 0 {
		t.Ready, t.Expires = time.UnixMicro(ready), time.UnixMicro(expires)
	}
	return t, err
}

func (t *Takeouts) find(ctx context.Context, id string) (Takeout, error) {
	found, err := scanTakeout(t.db.Read.QueryRowContext(ctx, `SELECT `+takeoutColumns+` FROM transfer_takeout WHERE id = $1`, id).Scan)
	if errors.Is(err, sql.ErrNoRows) {
		return Takeout{}, ErrNoTakeout
	}
	return found, err
}

// Open opens the file of a takeout of that person. The error wraps [ErrNoTakeout].
func (t *Takeouts) Open(ctx context.Context, person, id string) (*os.File, Takeout, error) {
	found, err := t.find(ctx, id)
	if err == nil && (found.Person != person || found.State != TakeoutReady || !found.Expires.After(t.opt.Now())) {
		err = ErrNoTakeout
	}
	if err != nil {
		return nil, Takeout{}, err
	}
	f, err := os.Open(filepath.Join(t.folder(id), found.Name))
	if errors.Is(err, os.ErrNotExist) {
		err = ErrNoTakeout
	}
	return f, found, err
}

// folder holds the file of a takeout. An ID is made of letters and digits.
func (t *Takeouts) folder(id string) string { return filepath.Join(t.opt.Dir, id) }

// Remove removes a takeout of that person, also one that is being made. The error wraps [ErrNoTakeout].
func (t *Takeouts) Remove(ctx context.Context, person, id string) error {
	found, err := t.find(ctx, id)
	if err == nil && found.Person != person {
		err = ErrNoTakeout
	}
	if err != nil {
		return err
	}
	return t.remove(ctx, id)
}

// RemoveAll removes everything that a person asked for.
func (t *Takeouts) RemoveAll(ctx context.Context, person string) error {
	list, err := t.list(ctx, t.db.Read, person)
	for _, one := range list {
		err = errors.Join(err, t.remove(ctx, one.ID))
	}
	return err
}

// remove removes the file first: whoever fails here tries again.
func (t *Takeouts) remove(ctx context.Context, id string) error {
	if err := os.RemoveAll(t.folder(id)); err != nil {
		return fmt.Errorf("remove an archive: %w", err)
	}
	if _, err := t.db.Write.ExecContext(ctx, `DELETE FROM transfer_takeout WHERE id = $1`, id); err != nil {
		return fmt.Errorf("remove an archive: %w", err)
	}
	return nil
}

// make makes an archive. It begins from nothing each time it is run.
func (t *Takeouts) make(ctx context.Context, job takeoutJob) error {
	asked, err := t.find(ctx, job.ID)
	if errors.Is(err, ErrNoTakeout) || err == nil && asked.State == TakeoutReady {
		return nil
	}
	if err != nil {
		return err
	}
	if err := t.begin(ctx, asked); err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	sealed, err := t.opt.Export(ctx, asked.Person, t.file(asked), asked.Sealed, t.progress(ctx, asked.ID, cancel))
	if errors.Is(context.Cause(ctx), ErrNoTakeout) { // the person removed it meanwhile
		return os.RemoveAll(t.folder(asked.ID))
	}
	if err == nil {
		return t.finish(ctx, asked, sealed)
	}
	if ctx.Err() == nil {
		err = errors.Join(err, t.set(context.WithoutCancel(ctx), asked.ID, TakeoutFailed))
	}
	return err
}

func (t *Takeouts) file(asked Takeout) string {
	return filepath.Join(t.folder(asked.ID), fmt.Sprintf("%s-%s.zip", asked.Person, asked.Asked.UTC().Format(time.DateOnly)))
}

// begin makes room: what a run left that was killed is removed.
func (t *Takeouts) begin(ctx context.Context, asked Takeout) error {
	if err := os.RemoveAll(t.folder(asked.ID)); err != nil {
		return err
	}
	if err := os.MkdirAll(t.folder(asked.ID), 0o700); err != nil {
		return err
	}
	return t.set(ctx, asked.ID, TakeoutRunning)
}

func (t *Takeouts) set(ctx context.Context, id string, state TakeoutState) error {
	_, err := t.db.Write.ExecContext(ctx, `UPDATE transfer_takeout SET state = $2 WHERE id = $1`, id, string(state))
	return err
}

// progress writes now and then how far a takeout is, and breaks it off if nobody wants it any more.
func (t *Takeouts) progress(ctx context.Context, id string, stop context.CancelCauseFunc) Observer {
	var last time.Time
	return func(p Progress) {
		if time.Since(last) < takeoutEvery || ctx.Err() != nil {
			return
		}
		last = time.Now()
		result, err := t.db.Write.ExecContext(ctx, `UPDATE transfer_takeout SET records = $2 WHERE id = $1`, id, p.Records)
		if err != nil {
			return // only what is shown is older
		}
		if n, err := result.RowsAffected(); err == nil && n == 0 {
			stop(ErrNoTakeout)
		}
	}
}

// finish says that a takeout is there, and has it removed when its time is over.
func (t *Takeouts) finish(ctx context.Context, asked Takeout, sealed archive.Sealed) error {
	name := filepath.Base(sealed.Files[len(sealed.Files)-1])
	info, err := os.Stat(filepath.Join(t.folder(asked.ID), name))
	if err != nil {
		return err
	}
	now := t.opt.Now()
	gone := false
	err = t.db.Tx(ctx, func(tx *sql.Tx) error {
		result, err := tx.ExecContext(ctx, `UPDATE transfer_takeout SET state = $2, ready = $3, expires = $4, records = $5, size = $6, name = $7, root = $8 WHERE id = $1`,
			asked.ID, string(TakeoutReady), now.UnixMicro(), now.Add(t.opt.Keep).UnixMicro(), sealed.Claims.Totals().Records, info.Size(), name, sealed.Root.String())
		if err != nil {
			return err
		}
		n, err := result.RowsAffected()
		if gone = n == 0; err != nil || gone {
			return err
		}
		return t.queue.Add(ctx, tx, takeoutRemove.Job(takeoutJob{asked.ID}), jobs.Options{At: now.Add(t.opt.Keep)})
	})
	if err == nil && gone {
		return os.RemoveAll(t.folder(asked.ID))
	}
	return err
}
