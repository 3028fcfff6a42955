// Package home is the built-in store of instances: records in a database, small blobs beside them, larger ones as
// files. It is what an operator without a platform of its own uses.
//
// Every change has a position, so that what changed since an earlier archive is found without looking at the rest.
// What archives brought is remembered with what became of it, so that loading again changes nothing and what the
// person changed here is never overwritten.
//
// It must never know an archive, a consent or HTTP.
package home

import (
	"context"
	"crypto/rand"
	"database/sql"
	"embed"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"time"

	"github.com/passerelle-cloud/passerelle/formats"
	"github.com/passerelle-cloud/passerelle/internal/sqldb"
	"github.com/passerelle-cloud/passerelle/operators"
)

//go:embed migrations
var migrations embed.FS

var (
	// ErrTaken is returned for a name, a path or an id that something else has.
	ErrTaken = errors.New("taken already")
	// ErrBusy is returned while another load, or a deletion, has the instance.
	ErrBusy = operators.ErrBusy
	// ErrQuota is returned for what the instance has no room for.
	ErrQuota = errors.New("there is no room for it; throw something away and empty the trash, or ask the operator for more")
	// ErrNoFolder is returned for a path in a folder that is not there, or in what is no folder.
	ErrNoFolder = errors.New("the folder that it is to be in is not there; make it first")
	// ErrFolder is returned where a file was meant and a folder is.
	ErrFolder = errors.New("a folder is there, not a file")
	// ErrNote is returned instead of replacing the bytes of a note, which only its editor understands.
	ErrNote = errors.New("a note is there, which only its editor can change; save under another name")
	// ErrInside is returned for what is to go to where it is, into itself, or over what it is in.
	ErrInside = errors.New("it cannot go there: one of the two is in the other, or they are the same")
	// ErrTooMany is returned for more than one change can be made of.
	ErrTooMany = errors.New("that is too much at once; do it in parts")
)

// Home holds instances.
type Home struct {
	db    *sqldb.DB
	dir   string // of the blobs that are files
	bells bells
}

// Open opens the instances in a database, with the blobs in a folder, and makes both if there is nothing yet.
func Open(ctx context.Context, db *sqldb.DB, dir string) (*Home, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("open the folder of blobs: %w", err)
	}
	tables, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return nil, err
	}
	if err := db.Migrate(ctx, tables, "home_version"); err != nil {
		return nil, err
	}
	h := &Home{db: db, dir: dir}
	return h, errors.Join(h.sweep(ctx), h.sweepUploads())
}

// Options of a new instance.
type Options struct {
	Quota int64 // bytes that its blobs may take, each counted once; 0: no limit
}

var validName = regexp.MustCompile(`^[\pL\pN][\pL\pN._@+-]{0,127}$`)

// CheckName says what is wrong with a name for an instance.
func CheckName(name string) error {
	if !validName.MatchString(name) {
		return fmt.Errorf("%w: %q cannot name an instance: use letters, digits and . _ @ + - and begin with a letter or a digit", formats.ErrInvalid, name)
	}
	return nil
}

// Create makes an empty instance.
func (h *Home) Create(ctx context.Context, name string, o Options) (*Instance, error) {
	if err := CheckName(name); err != nil {
		return nil, err
	}
	return h.create(ctx, name, o)
}

func (h *Home) create(ctx context.Context, name string, o Options) (*Instance, error) {
	if o.Quota < 0 {
		return nil, fmt.Errorf("%w: a quota of %d bytes", formats.ErrInvalid, o.Quota)
	}
	i := &Instance{home: h, id: randomID(), name: name, secret: make([]byte, 32)}
	rand.Read(i.secret)
	_, err := h.db.Write.ExecContext(ctx, `
		INSERT INTO home_instance (id, name, created, quota, used, position, read_only, secret) VALUES ($1, $2, $3, $4, 0, 0, FALSE, $5)`,
		i.id, name, time.Now().UnixMicro(), o.Quota, i.secret)
	if sqldb.IsUnique(err) {
		return nil, fmt.Errorf("an instance named %q: %w", name, ErrTaken)
	}
	if err != nil {
		return nil, fmt.Errorf("make the instance %q: %w", name, err)
	}
	return i, nil
}

// randomID draws a positive number that nothing else has.
func randomID() int64 {
	var b [8]byte
	rand.Read(b[:])
	return int64(binary.BigEndian.Uint64(b[:]) >> 1)
}

// Instance returns the instance of that name, or an error wrapping [operators.ErrNotFound].
func (h *Home) Instance(ctx context.Context, name string) (*Instance, error) {
	i := &Instance{home: h, name: name}
	err := h.db.Read.QueryRowContext(ctx, `SELECT id, secret FROM home_instance WHERE name = $1`, name).Scan(&i.id, &i.secret)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, fmt.Errorf("an instance named %q: %w", name, operators.ErrNotFound)
	}
	if err != nil {
		return nil, fmt.Errorf("open the instance %q: %w", name, err)
	}
	return i, nil
}

// Instances returns every instance that somebody has, by name.
func (h *Home) Instances(ctx context.Context) ([]*Instance, error) {
	rows, err := h.db.Read.QueryContext(ctx, `SELECT id, name, secret FROM home_instance WHERE name NOT LIKE '`+staged+`%' ORDER BY name`)
	if err != nil {
		return nil, fmt.Errorf("list the instances: %w", err)
	}
	defer rows.Close()
	var list []*Instance
	for rows.Next() {
		i := &Instance{home: h}
		if err := rows.Scan(&i.id, &i.name, &i.secret); err != nil {
			return nil, err
		}
		list = append(list, i)
	}
	return list, rows.Err()
}

// Delete deletes an instance with everything in it.
func (h *Home) Delete(ctx context.Context, name string) error {
	i, err := h.Instance(ctx, name)
	if err != nil {
		return err
	}
	unlock, err := i.lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	if err := h.db.Tx(ctx, func(tx *sql.Tx) error { return deleteIn(ctx, tx, i.id) }); err != nil {
		return fmt.Errorf("delete the instance %q: %w", name, err)
	}
	h.bells.ring(i.id)
	return h.sweep(ctx)
}

// deleteIn deletes an instance but for its folder of blobs, which a sweep removes.
func deleteIn(ctx context.Context, tx *sql.Tx, instance int64) error {
	for _, statement := range []string{
		`DELETE FROM home_imported WHERE series IN (SELECT id FROM home_series WHERE instance = $1)`,
		`DELETE FROM home_moved WHERE series IN (SELECT id FROM home_series WHERE instance = $1)`,
		`DELETE FROM home_series WHERE instance = $1`,
		`DELETE FROM home_record WHERE instance = $1`,
		`DELETE FROM home_blob WHERE instance = $1`,
		`DELETE FROM home_lock WHERE instance = $1`,
		`DELETE FROM home_instance WHERE id = $1`,
		`INSERT INTO home_garbage (instance) VALUES ($1)`,
	} {
		if _, err := tx.ExecContext(ctx, statement, instance); err != nil {
			return err
		}
	}
	return nil
}

// sweep removes the blob folders of deleted instances.
func (h *Home) sweep(ctx context.Context) error {
	rows, err := h.db.Read.QueryContext(ctx, `SELECT instance FROM home_garbage`)
	if err != nil {
		return err
	}
	defer rows.Close()
	var gone []int64
	for rows.Next() {
		var id int64
		if err := rows.Scan(&id); err != nil {
			return err
		}
		gone = append(gone, id)
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil {
		return err
	}
	for _, id := range gone {
		if err := os.RemoveAll(h.blobDir(id)); err != nil {
			return fmt.Errorf("remove the blobs of a deleted instance: %w", err)
		}
		if _, err := h.db.Write.ExecContext(ctx, `DELETE FROM home_garbage WHERE instance = $1`, id); err != nil {
			return err
		}
	}
	return nil
}

func (h *Home) blobDir(instance int64) string {
	return filepath.Join(h.dir, strconv.FormatInt(instance, 16))
}
