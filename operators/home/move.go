package home

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/passerelle-cloud/passerelle/formats"
	"github.com/passerelle-cloud/passerelle/operators"
)

// An instance that moves here comes to be beside those that persons have, under a name that nobody can ask for, and takes
// its place at one moment.

// staged begins the name of an instance that is not anybody's yet: a colon stands in no other name.
const staged = "move:"

// Stage returns the instance in which one comes to be that moves here for a person, and makes it if there is none yet: with
// as much room as the person has left.
func (h *Home) Stage(ctx context.Context, move, person string) (*Instance, error) {
	i, err := h.Staged(ctx, move)
	if !errors.Is(err, operators.ErrNotFound) {
		if err == nil {
			err = h.makeRoom(ctx, i, person)
		}
		return i, err
	}
	if i, err = h.create(ctx, staged+move, Options{}); err != nil {
		return nil, err
	}
	return i, h.makeRoom(ctx, i, person)
}

// makeRoom gives a staged instance the room that the person has left now: an administrator may have given them more.
func (h *Home) makeRoom(ctx context.Context, i *Instance, person string) error {
	own, err := h.Instance(ctx, person)
	if errors.Is(err, operators.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	room, limited, err := own.Left(ctx, false)
	if err != nil || !limited {
		return errors.Join(err, i.SetQuota(ctx, 0))
	}
	return i.SetQuota(ctx, max(room, 1)) // 0 would be no limit
}

// Staged returns what has come to be for a move so far; the error wraps [operators.ErrNotFound] where nothing has.
func (h *Home) Staged(ctx context.Context, move string) (*Instance, error) {
	return h.Instance(ctx, staged+move)
}

// Discard deletes what came to be for a move; where there is nothing, it does nothing.
func (h *Home) Discard(ctx context.Context, move string) error {
	err := h.Delete(ctx, staged+move)
	if errors.Is(err, operators.ErrNotFound) {
		return nil
	}
	return err
}

// Adopt gives a person the instance that came to be for a move, as a part of a transaction. An instance of that name which
// holds nothing goes, and so does one that is held: that is what stayed behind when the person moved away from here, and what
// comes back with them is its newer state. One that holds something else stays as it is, and false is returned: what came is
// to be merged into it.
func (h *Home) Adopt(ctx context.Context, tx *sql.Tx, move, person string) (bool, error) {
	if err := CheckName(person); err != nil {
		return false, err
	}
	var old, quota int64
	var secret []byte
	var held bool
	err := tx.QueryRowContext(ctx, `UPDATE home_instance SET position = position WHERE name = $1 RETURNING id, quota, secret, held`, person).Scan(&old, &quota, &secret, &held)
	if errors.Is(err, sql.ErrNoRows) {
		return true, h.rename(ctx, tx, move, person)
	}
	if err != nil {
		return false, fmt.Errorf("look for the instance %q: %w", person, err)
	}
	count, err := usage(ctx, tx, old)
	if err != nil || count.Records > 0 && !held {
		return false, err
	}
	if err := deleteIn(ctx, tx, old); err != nil {
		return false, fmt.Errorf("make room for what moves here: %w", err)
	}
	// Whoever knows the person by a pseudonym goes on to know them by it.
	if _, err := tx.ExecContext(ctx, `UPDATE home_instance SET quota = $2, secret = $3 WHERE name = $1`, staged+move, quota, secret); err != nil {
		return false, err
	}
	return true, h.rename(ctx, tx, move, person)
}

func (h *Home) rename(ctx context.Context, tx *sql.Tx, move, person string) error {
	result, err := tx.ExecContext(ctx, `UPDATE home_instance SET name = $2 WHERE name = $1`, staged+move, person)
	if err != nil {
		return fmt.Errorf("give %q what moved here: %w", person, err)
	}
	if n, err := result.RowsAffected(); err != nil || n == 0 {
		return errors.Join(err, fmt.Errorf("what moved here for %q: %w", person, operators.ErrNotFound))
	}
	return nil
}

// Hold keeps an instance from being written to while it moves, and for good where it has moved, as a part of a transaction:
// from its commit on no write of anybody's is under way. Whether an administrator has made it read-only is another thing,
// which neither changes nor is changed by this: who lifts the one does not let anybody write through the other.
func (h *Home) Hold(ctx context.Context, tx *sql.Tx, person string, hold bool) error {
	result, err := tx.ExecContext(ctx, `UPDATE home_instance SET held = $2 WHERE name = $1`, person, hold)
	if err != nil {
		return fmt.Errorf("hold the instance %q: %w", person, err)
	}
	if n, err := result.RowsAffected(); err != nil || n == 0 {
		return errors.Join(err, fmt.Errorf("an instance named %q: %w", person, operators.ErrNotFound))
	}
	return nil
}

// Release lets an instance be written to that was held.
func (h *Home) Release(ctx context.Context, tx *sql.Tx, person string) error {
	return h.Hold(ctx, tx, person, false)
}

// Counts returns how much the instance holds of each dataset.
func (i *Instance) Counts(ctx context.Context) (map[formats.Dataset]formats.Count, error) {
	rows, err := i.home.db.Read.QueryContext(ctx, `
		SELECT dataset, count(*), count(blob), CAST(COALESCE(sum(size), 0) AS BIGINT) FROM home_record WHERE instance = $1 AND NOT deleted GROUP BY dataset`, i.id)
	if err != nil {
		return nil, fmt.Errorf("count the records: %w", err)
	}
	return counted(rows)
}

// counted reads how much there is of each dataset.
func counted(rows *sql.Rows) (map[formats.Dataset]formats.Count, error) {
	defer rows.Close()
	counts := map[formats.Dataset]formats.Count{}
	for rows.Next() {
		var d string
		var c formats.Count
		if err := rows.Scan(&d, &c.Records, &c.Files, &c.Bytes); err != nil {
			return nil, err
		}
		counts[formats.Dataset(d)] = c
	}
	return counts, rows.Err()
}

// Left returns how many bytes the instance may take in still, and false where it has no limit. What is held will go, unless it stays
// for what is not in the instance that comes back.
func (i *Instance) Left(ctx context.Context, stays bool) (room int64, limited bool, err error) {
	var used, quota int64
	var held bool
	err = i.home.db.Read.QueryRowContext(ctx, `SELECT used, quota, held FROM home_instance WHERE id = $1`, i.id).Scan(&used, &quota, &held)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return 0, false, i.gone()
	case err != nil || quota == 0:
		return 0, false, err
	case held && !stays:
		return quota, true, nil
	}
	return max(quota-used, 0), true, nil
}
