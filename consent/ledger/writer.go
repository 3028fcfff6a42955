package ledger

import (
	"context"
	"database/sql"
	"fmt"
	"strconv"
	"strings"
)

// writer gathers rows of one transaction, so that many go in with one statement.
type writer struct {
	tx       *sql.Tx
	leaves   []any
	openings []any
	tiles    []tile
	endings  []*record
}

const rowsPerStatement = 100

func (w *writer) add(index int64, r *record) {
	w.leaves = append(w.leaves, index, index, []byte(r.leaf))
	w.openings = append(w.openings, r.keys.chain, r.at.counter, index, r.sealed)
	if r.opened.class == Erasure {
		w.endings = append(w.endings, r)
	}
}

func (w *writer) tile(t tile) { w.tiles = append(w.tiles, t) }

func (w *writer) flush(ctx context.Context) error {
	if err := insert(ctx, w.tx, `INSERT INTO ledger_leaf (idx, id, leaf) VALUES `, 3, w.leaves); err != nil {
		return fmt.Errorf("store leaves: %w", err)
	}
	if err := insert(ctx, w.tx, `INSERT INTO ledger_opening (chain, counter, leaf, sealed) VALUES `, 4, w.openings); err != nil {
		return fmt.Errorf("store what opens leaves: %w", err)
	}
	for _, r := range w.endings {
		if err := clearChain(ctx, w.tx, r); err != nil {
			return err
		}
	}
	return storeTiles(ctx, w.tx, w.tiles)
}

// insert inserts rows of some columns each.
func insert(ctx context.Context, tx *sql.Tx, statement string, columns int, args []any) error {
	for len(args) > 0 {
		n := min(len(args), rowsPerStatement*columns)
		if _, err := tx.ExecContext(ctx, statement+placeholders(n, columns), args[:n]...); err != nil {
			return err
		}
		args = args[n:]
	}
	return nil
}

// placeholders returns "($1,$2),($3,$4)" and so on.
func placeholders(n, columns int) string {
	var b strings.Builder
	for i := range n {
		switch {
		case i == 0:
			b.WriteString("(")
		case i%columns == 0:
			b.WriteString("),(")
		default:
			b.WriteString(",")
		}
		b.WriteString("$")
		b.WriteString(strconv.Itoa(i + 1))
	}
	b.WriteString(")")
	return b.String()
}

func storeTiles(ctx context.Context, tx *sql.Tx, tiles []tile) error {
	for _, t := range tiles {
		_, err := tx.ExecContext(ctx, `INSERT INTO ledger_tile (level, n, root, hashes) VALUES ($1, $2, $3, $4)`, t.level, t.n, t.root[:], t.hashes)
		if err != nil {
			return fmt.Errorf("store a tile: %w", err)
		}
	}
	return nil
}

// storeHead replaces the head, unless somebody else did: its size is the fence.
func storeHead(ctx context.Context, tx *sql.Tx, old int64, c Checkpoint) error {
	result, err := tx.ExecContext(ctx, `UPDATE ledger_head SET size = $1, root = $2, checkpoint = $3 WHERE size = $4`, c.Size, c.Hash[:], string(c.Note), old)
	if err != nil {
		return fmt.Errorf("store the checkpoint: %w", err)
	}
	if n, err := result.RowsAffected(); err != nil || n != 1 {
		return fmt.Errorf("%w: its head is not at %d leaves any more: somebody else wrote it", ErrDamaged, old)
	}
	return nil
}

// advanced tells everybody who is interested that a checkpoint was committed.
func (l *Ledger) advanced(c Checkpoint) {
	l.stats.size.Set(float64(c.Size))
	if err := l.water.rise(c); err != nil {
		l.opt.Log.Error("the log's high-water file cannot be written", "error", err)
	}
	select {
	case l.nudge <- struct{}{}:
	default:
	}
}
