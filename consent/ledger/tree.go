package ledger

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"fmt"

	"filippo.io/torchwood"
	"golang.org/x/mod/sumdb/tlog"
)

const tileWidth = torchwood.TileWidth

// tree is the right edge of the Merkle tree (RFC 6962): what is needed to append to it and to know its root. Levels
// are those of tiles: level 0 holds leaf hashes, level 1 the roots of 256 of them, and so on.
type tree struct {
	size int64
	edge [][]Hash // of each level, what follows the last full tile
}

// tile is a full tile that an append completed.
type tile struct {
	level  int
	n      int64
	root   Hash
	hashes []byte
}

func newTree() *tree { return &tree{} }

func (t *tree) clone() *tree {
	c := &tree{size: t.size, edge: make([][]Hash, len(t.edge))}
	for i, hashes := range t.edge {
		c.edge[i] = append(make([]Hash, 0, tileWidth), hashes...)
	}
	return c
}

// append adds a leaf, and calls full for each tile that it completes.
func (t *tree) append(leaf Hash, full func(tile)) {
	t.size++
	h := leaf
	for level := 0; ; level++ {
		if level == len(t.edge) {
			t.edge = append(t.edge, make([]Hash, 0, tileWidth))
		}
		t.edge[level] = append(t.edge[level], h)
		if len(t.edge[level]) < tileWidth {
			return
		}
		h = perfectRoot(t.edge[level])
		if full != nil {
			full(tile{level: level, n: t.size>>(torchwood.TileHeight*(level+1)) - 1, root: h, hashes: flatten(t.edge[level])})
		}
		t.edge[level] = t.edge[level][:0]
	}
}

// root returns the root of the tree.
func (t *tree) root() Hash {
	if t.size == 0 {
		return sha256.Sum256(nil)
	}
	var root Hash
	empty := true
	for _, hashes := range t.edge {
		// The hashes of one level are perfect trees of falling size, from left to right; the smallest is joined first.
		for end := len(hashes); end > 0; {
			width := end & -end
			h := perfectRoot(hashes[end-width : end])
			if empty {
				root, empty = h, false
			} else {
				root = nodeHash(h, root)
			}
			end -= width
		}
	}
	return root
}

// perfectRoot returns the root of 2^n hashes.
func perfectRoot(hashes []Hash) Hash {
	if len(hashes) == 1 {
		return hashes[0]
	}
	level := make([]Hash, len(hashes)/2)
	for i := range level {
		level[i] = nodeHash(hashes[2*i], hashes[2*i+1])
	}
	for n := len(level) / 2; n > 0; n /= 2 {
		for i := range n {
			level[i] = nodeHash(level[2*i], level[2*i+1])
		}
	}
	return level[0]
}

func nodeHash(left, right Hash) Hash { return Hash(tlog.NodeHash(tlog.Hash(left), tlog.Hash(right))) }

func flatten(hashes []Hash) []byte {
	out := make([]byte, 0, len(hashes)*sha256.Size)
	for _, h := range hashes {
		out = append(out, h[:]...)
	}
	return out
}

// querier is a transaction or a database.
type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// loadTree reads the right edge of a stored tree, and checks that it has the root that was signed.
func loadTree(ctx context.Context, q querier, size int64, root Hash) (*tree, error) {
	t := &tree{size: size}
	for level := 0; size>>(torchwood.TileHeight*level) > 0; level++ {
		hashes, err := loadHashes(ctx, q, level, size>>(torchwood.TileHeight*level)&^(tileWidth-1), size>>(torchwood.TileHeight*level))
		if err != nil {
			return nil, err
		}
		t.edge = append(t.edge, append(make([]Hash, 0, tileWidth), hashes...))
	}
	if got := t.root(); got != root {
		return nil, fmt.Errorf("%w: its %d leaves have the root %s, and the signed checkpoint says %s", ErrDamaged, size, got, root)
	}
	return t, nil
}

// loadHashes reads the hashes of a level from one position to before another.
func loadHashes(ctx context.Context, q querier, level int, from, to int64) ([]Hash, error) {
	query, args := `SELECT leaf FROM ledger_leaf WHERE idx >= $1 AND idx < $2 ORDER BY idx`, []any{from, to}
	if level > 0 {
		query, args = `SELECT root FROM ledger_tile WHERE n >= $1 AND n < $2 AND level = $3 ORDER BY n`, []any{from, to, level - 1}
	}
	rows, err := q.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, fmt.Errorf("read the log: %w", err)
	}
	defer rows.Close()
	var hashes []Hash
	for rows.Next() {
		var b sql.RawBytes
		if err := rows.Scan(&b); err != nil {
			return nil, fmt.Errorf("read the log: %w", err)
		}
		switch {
		case level == 0:
			hashes = append(hashes, leafHash(b))
		case len(b) == sha256.Size:
			hashes = append(hashes, Hash(b))
		}
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read the log: %w", err)
	}
	if int64(len(hashes)) != to-from {
		return nil, fmt.Errorf("%w: level %d lacks hashes between %d and %d", ErrDamaged, level, from, to)
	}
	return hashes, nil
}
