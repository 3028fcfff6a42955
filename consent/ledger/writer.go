package ledger

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// writer stores the leaves of one SQLite transaction, many rows a statement.
type writer struct {
	leaves  []any
	chains  map[string]*record // the last one of each
	ids     map[string]int64
	order   []string
	tiles   []tile
	endings []ending
}

type ending struct {
	last *record
	id   int64
}

func newWriter() *writer { return &writer{chains: map[string]*record{}, ids: map[string]int64{}} }

func (w *writer) add(index int64, r *record) {
	w.leaves = append(w.leaves, index, []byte(r.leaf), r.sealed)
	name := r.keys.name
	if w.chains[name] == nil {
		w.order = append(w.order, name)
	}
	w.chains[name], w.ids[name] = r, index
	if r.opened.class == Erasure {
		w.endings = append(w.endings, ending{last: r, id: index})
	}
}

func (w *writer) tile(t tile) { w.tiles = append(w.tiles, t) }

func (w *writer) flush(ctx context.Context, l *Ledger, tx *sql.Tx, to *inserts) error {
	if err := to.leaves.insert(ctx, tx, w.leaves); err != nil {
		return fmt.Errorf("store leaves: %w", err)
	}
	var chains []any
	for _, name := range w.order {
		r := w.chains[name]
		chains = append(chains, r.keys.chain, r.at.counter+1, w.ids[name])
	}
	if err := to.chains.insert(ctx, tx, chains); err != nil {
		return fmt.Errorf("store where chains go on: %w", err)
	}
	for _, e := range w.endings {
		if err := l.clearChain(ctx, tx, e.last, e.id); err != nil {
			return err
		}
	}
	return storeTiles(ctx, tx, w.tiles)
}

// inserts are the statements that store leaves, prepared.
type inserts struct {
	leaves, chains *insert
}

func newInserts(ctx context.Context, db *sql.DB) (*inserts, error) {
	leaves, err1 := newInsert(ctx, db, 3, `INSERT INTO ledger_leaf (idx, leaf, sealed) VALUES `, ``)
	chains, err2 := newInsert(ctx, db, 3, `INSERT INTO ledger_chain (chain, counter, leaf) VALUES `,
		` ON CONFLICT (chain) DO UPDATE SET counter = excluded.counter, leaf = excluded.leaf`)
	return &inserts{leaves: leaves, chains: chains}, errors.Join(err1, err2)
}

// insert inserts any number of rows with few statements, each of which was parsed once.
type insert struct {
	columns  int
	prepared []*sql.Stmt // for 1, 2, 4, 8 … rows
}

const maxRows = 32 // a statement

func newInsert(ctx context.Context, db *sql.DB, columns int, before, after string) (*insert, error) {
	i := &insert{columns: columns}
	for rows := 1; rows <= maxRows; rows *= 2 {
		stmt, err := db.PrepareContext(ctx, before+placeholders(rows, columns)+after)
		if err != nil {
			return nil, err
		}
		i.prepared = append(i.prepared, stmt)
	}
	return i, nil
}

func (i *insert) insert(ctx context.Context, tx *sql.Tx, args []any) error {
	for n := len(i.prepared) - 1; len(args) > 0; {
		size := i.columns << n
		if size > len(args) {
			n--
			continue
		}
		if _, err := tx.StmtContext(ctx, i.prepared[n]).ExecContext(ctx, args[:size]...); err != nil {
			return err
		}
		args = args[size:]
	}
	return nil
}

// placeholders returns "($1,$2),($3,$4)" and so on.
func placeholders(rows, columns int) string {
	var b strings.Builder
	for i := range rows * columns {
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
	select {
	case l.nudge <- struct{}{}:
	default:
	}
}
