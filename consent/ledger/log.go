package ledger

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"path"

	"filippo.io/torchwood"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/passerelle-cloud/passerelle/internal/sqldb"
)

// Log reads the log in a database. Only what is committed is ever seen, so that any number of processes can read while
// one writes.
type Log struct {
	db *sqldb.DB
}

var _ torchwood.TileReader = (*Log)(nil)

// NewLog returns the log in a database in which a [Ledger] made one.
func NewLog(db *sqldb.DB) *Log { return &Log{db: db} }

// Head returns the newest checkpoint, without cosignatures. The error wraps sql.ErrNoRows where there is no log.
func (g *Log) Head(ctx context.Context) (Checkpoint, error) { return head(ctx, g.db.Read) }

func head(ctx context.Context, q querier) (Checkpoint, error) {
	var signed string
	if err := q.QueryRowContext(ctx, `SELECT checkpoint FROM ledger_head`).Scan(&signed); err != nil {
		return Checkpoint{}, fmt.Errorf("read the newest checkpoint: %w", err)
	}
	c, err := readCheckpoint([]byte(signed))
	if err != nil {
		return Checkpoint{}, fmt.Errorf("%w: its newest checkpoint: %w", ErrDamaged, err)
	}
	return c, nil
}

// Published returns the checkpoint to show to everybody: the newest, or, where witnesses are asked, the newest that
// they were given the time to cosign.
func (g *Log) Published(ctx context.Context) (Checkpoint, error) {
	var signed string
	err := g.db.Read.QueryRowContext(ctx, `SELECT checkpoint FROM ledger_published`).Scan(&signed)
	if errors.Is(err, sql.ErrNoRows) {
		return g.Head(ctx)
	}
	if err != nil {
		return Checkpoint{}, fmt.Errorf("read the published checkpoint: %w", err)
	}
	return readCheckpoint([]byte(signed))
}

// Leaf returns a leaf.
func (g *Log) Leaf(ctx context.Context, index int64) (Leaf, error) {
	var b []byte
	if err := g.db.Read.QueryRowContext(ctx, `SELECT leaf FROM ledger_leaf WHERE idx = $1`, index).Scan(&b); err != nil {
		return nil, fmt.Errorf("read leaf %d: %w", index, err)
	}
	return ParseLeaf(b)
}

// Tile returns a tile as C2SP tlog-tiles wants it: hashes, or, at level -1, leaves with their lengths. The error wraps
// fs.ErrNotExist where the log is not that large yet.
func (g *Log) Tile(ctx context.Context, t tlog.Tile) ([]byte, error) {
	head, err := g.size(ctx)
	if err != nil {
		return nil, err
	}
	level := max(t.L, 0)
	if t.H != torchwood.TileHeight || level > 7 || t.W < 1 || t.W > tileWidth || t.N < 0 || t.N >= 1<<(62-8*(level+1)) ||
		t.N*tileWidth+int64(t.W) > head>>(torchwood.TileHeight*level) {
		return nil, fmt.Errorf("%s: %w", torchwood.TilePath(t), fs.ErrNotExist)
	}
	from := t.N * tileWidth
	if t.L < 0 {
		return g.entries(ctx, from, from+int64(t.W))
	}
	if t.W == tileWidth {
		var hashes []byte
		err := g.db.Read.QueryRowContext(ctx, `SELECT hashes FROM ledger_tile WHERE level = $1 AND n = $2`, t.L, t.N).Scan(&hashes)
		return hashes, err
	}
	hashes, err := loadHashes(ctx, g.db.Read, t.L, from, from+int64(t.W))
	return flatten(hashes), err
}

func (g *Log) size(ctx context.Context) (n int64, err error) {
	if err = g.db.Read.QueryRowContext(ctx, `SELECT size FROM ledger_head`).Scan(&n); err != nil {
		err = fmt.Errorf("read the log's size: %w", err)
	}
	return n, err
}

func (g *Log) entries(ctx context.Context, from, to int64) ([]byte, error) {
	rows, err := g.db.Read.QueryContext(ctx, `SELECT leaf FROM ledger_leaf WHERE idx >= $1 AND idx < $2 ORDER BY idx`, from, to)
	if err != nil {
		return nil, fmt.Errorf("read leaves: %w", err)
	}
	defer rows.Close()
	bundle := make([]byte, 0, int(to-from)*(LeafSize+2))
	n := from
	for ; rows.Next(); n++ {
		var leaf sql.RawBytes
		if err := rows.Scan(&leaf); err != nil {
			return nil, fmt.Errorf("read leaves: %w", err)
		}
		if bundle, err = torchwood.AppendTileEntry(bundle, leaf); err != nil {
			return nil, err
		}
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read leaves: %w", err)
	}
	if n != to {
		return nil, fmt.Errorf("%w: leaves between %d and %d are missing", ErrDamaged, from, to)
	}
	return bundle, nil
}

// ReadTiles implements [torchwood.TileReader].
func (g *Log) ReadTiles(ctx context.Context, tiles []tlog.Tile) ([][]byte, error) {
	out := make([][]byte, len(tiles))
	for i, t := range tiles {
		data, err := g.Tile(ctx, t)
		if err != nil {
			return nil, err
		}
		out[i] = data
	}
	return out, nil
}

// SaveTiles implements [torchwood.TileReader]: there is nothing to save.
func (g *Log) SaveTiles([]tlog.Tile, [][]byte) {}

// ReadEndpoint implements [torchwood.TileReader].
func (g *Log) ReadEndpoint(ctx context.Context, name string) ([]byte, error) {
	if path.Clean(name) != "checkpoint" {
		return nil, fmt.Errorf("%s: %w", name, fs.ErrNotExist)
	}
	c, err := g.Published(ctx)
	return c.Note, err
}

func (g *Log) hashes(ctx context.Context, at Checkpoint) tlog.HashReader {
	return torchwood.TileHashReaderWithContext(ctx, at.tree(), g)
}

// rootAt returns the root that the log had when it was smaller.
func (g *Log) rootAt(ctx context.Context, head Checkpoint, size int64) (Hash, error) {
	if size == 0 {
		return sha256.Sum256(nil), nil
	}
	root, err := tlog.TreeHash(size, g.hashes(ctx, head))
	if err != nil {
		return Hash{}, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return Hash(root), nil
}

// indexOf returns the index of a leaf that has an id (PostgreSQL), or -1 if it has no place yet.
func (g *Log) indexOf(ctx context.Context, id int64) (index int64, err error) {
	err = g.db.Read.QueryRowContext(ctx, `SELECT idx FROM ledger_leaf WHERE id = $1`, id).Scan(&index)
	if errors.Is(err, sql.ErrNoRows) {
		return -1, nil
	}
	return index, err
}
