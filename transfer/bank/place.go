package bank

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/passerelle-cloud/passerelle/formats"
	atbank "github.com/passerelle-cloud/passerelle/operators/bank"
)

// errHome is wrapped by what keeps records from being put into the home.
var errHome = errors.New("the home takes nothing just now")

// remember keeps what was read of an account, in one transaction: what is known of its operations, and what is to be put
// into the home.
func (r *run) remember(ctx context.Context, a *Account, got *atbank.Retrieved) error {
	return r.b.o.DB.Tx(ctx, func(tx *sql.Tx) error {
		if got != nil {
			if err := r.match(ctx, tx, a, got); err != nil {
				return err
			}
			a.Read = true
		}
		return r.b.saveAccount(ctx, tx, r.s.ID, a)
	})
}

// match compares what was read with what is known, and writes what changed.
func (r *run) match(ctx context.Context, tx *sql.Tx, a *Account, got *atbank.Retrieved) error {
	covered := got.Covered
	covered.Today = r.bank.Today()
	known, err := knownOf(ctx, tx, r.s.Person, a.ID, covered.From)
	if err != nil {
		return err
	}
	w := writer{ctx: ctx, tx: tx, person: r.s.Person, account: a.ID, today: covered.Today}
	for _, c := range atbank.Match(known, got.Operations, covered) {
		absent := ""
		if c.Known >= 0 {
			absent = known[c.Known].Absent
		}
		if err := w.write(&c, got.Operations, absent); err != nil {
			return err
		}
	}
	return w.flush()
}

// knownBefore is how many days before a period operations may be that are in it now.
const knownBefore = 31

// knownOf reads what is known of an account's operations from some days before a day on, and of all that are pending.
func knownOf(ctx context.Context, tx *sql.Tx, person, account, from string) ([]atbank.Known, error) {
	rows, err := tx.QueryContext(ctx, `SELECT id, absent, body FROM bank_operation WHERE person = $1 AND account = $2 AND (day >= $3 OR day = '' OR pending) AND NOT gone ORDER BY id`,
		person, account, daysBefore(from, knownBefore))
	if err != nil {
		return nil, fmt.Errorf("look for what is known of an account: %w", err)
	}
	defer rows.Close()
	var list []atbank.Known
	for rows.Next() {
		var k atbank.Known
		var body string
		if err := rows.Scan(&k.ID, &k.Absent, &body); err != nil {
			return nil, err
		}
		if err := json.Unmarshal([]byte(body), &k.Body); err != nil {
			return nil, fmt.Errorf("what is known of the operation %s is damaged: %w", k.ID, err)
		}
		list = append(list, k)
	}
	return list, rows.Err()
}

// writer writes what became of the operations of an account.
type writer struct {
	ctx                    context.Context
	tx                     *sql.Tx
	person, account, today string

	rows []any // to be written: id, day, pending, body and line of each
}

func (w *writer) write(c *atbank.Change, seen []atbank.Operation, absent string) error {
	switch c.What {
	case atbank.Repeated:
		return nil
	case atbank.Same:
		if absent == "" {
			return nil
		}
		return w.exec(`UPDATE bank_operation SET absent = '' WHERE person = $1 AND account = $2 AND id = $3`, c.ID)
	case atbank.Absent:
		return w.exec(`UPDATE bank_operation SET absent = $4 WHERE person = $1 AND account = $2 AND id = $3`, c.ID, w.today)
	case atbank.Withdrawn:
		return w.exec(`UPDATE bank_operation SET gone = $4, line = '-' WHERE person = $1 AND account = $2 AND id = $3`, c.ID, true)
	}
	record, err := c.Record(w.account, seen)
	if err != nil {
		return err
	}
	line, err := record.AppendLine(nil)
	if err != nil {
		return err
	}
	body, err := json.Marshal(c.Body)
	if err != nil {
		return err
	}
	w.rows = append(w.rows, c.ID, record.Day(), c.Body.Status == "pending", string(body), string(line))
	if len(w.rows) < rowColumns*rowsAtOnce {
		return nil
	}
	return w.flush()
}

// Rows that are written by one statement, which takes far less time than as many statements.
const (
	rowColumns = 5
	rowsAtOnce = 100
)

// flush writes the operations that are new or changed.
func (w *writer) flush() error {
	if len(w.rows) == 0 {
		return nil
	}
	var query strings.Builder
	query.WriteString(`INSERT INTO bank_operation (person, account, absent, placed, gone, id, day, pending, body, line) VALUES `)
	for n := 0; n < len(w.rows); n += rowColumns {
		if n > 0 {
			query.WriteString(", ")
		}
		fmt.Fprintf(&query, "($1, $2, '', $3, $3, $%d, $%d, $%d, $%d, $%d)", n+4, n+5, n+6, n+7, n+8)
	}
	query.WriteString(` ON CONFLICT (person, account, id) DO UPDATE SET day = EXCLUDED.day, pending = EXCLUDED.pending, absent = '', body = EXCLUDED.body, gone = EXCLUDED.gone, line = EXCLUDED.line`)
	rows := append([]any{false}, w.rows...)
	w.rows = w.rows[:0]
	return w.exec(query.String(), rows...)
}

func (w *writer) exec(query string, more ...any) error {
	if _, err := w.tx.ExecContext(w.ctx, query, append([]any{w.person, w.account}, more...)...); err != nil {
		return fmt.Errorf("keep an operation: %w", err)
	}
	return nil
}

// waiting is what is to be put into the home.
type waiting struct {
	id     string
	line   string
	placed bool
	gone   bool
}

// batch is how many operations are put into the home at once.
const batch = 500

// place puts what waits of an account into the home: the account, then its operations. What was put there is noted after
// that; where a process dies in between, the same is put there once more, which changes nothing.
func (b *Banks) place(ctx context.Context, person string, a *Account) error {
	if a.Record != "" {
		if err := b.put(ctx, person, []waiting{{id: a.ID, line: a.Record, placed: false}}); err != nil {
			return err
		}
	}
	for {
		list, err := b.waiting(ctx, person, a.ID)
		if err != nil || len(list) == 0 {
			return err
		}
		if err := b.put(ctx, person, list); err != nil {
			return err
		}
		if err := b.placed(ctx, person, a.ID, list); err != nil {
			return err
		}
	}
}

func (b *Banks) waiting(ctx context.Context, person, account string) ([]waiting, error) {
	rows, err := b.o.DB.Write.QueryContext(ctx, `SELECT id, line, placed, gone FROM bank_operation WHERE person = $1 AND account = $2 AND line <> '' ORDER BY id LIMIT $3`, person, account, batch)
	if err != nil {
		return nil, fmt.Errorf("look for what is to be put into the home: %w", err)
	}
	defer rows.Close()
	var list []waiting
	for rows.Next() {
		var w waiting
		if err := rows.Scan(&w.id, &w.line, &w.placed, &w.gone); err != nil {
			return nil, err
		}
		list = append(list, w)
	}
	return list, rows.Err()
}

// put puts records into the home. What the person deleted there stays deleted, and what they wrote into one stays.
func (b *Banks) put(ctx context.Context, person string, list []waiting) error {
	ids := make([]string, 0, len(list))
	for _, w := range list {
		if w.gone {
			if err := b.o.Home.Drop(ctx, person, w.id); err != nil {
				return fmt.Errorf("%w: %w", errHome, err)
			}
			continue
		}
		ids = append(ids, w.id)
	}
	if len(ids) == 0 {
		return nil
	}
	err := b.o.Home.Change(ctx, person, ids, func(before map[string]formats.Record) ([]formats.Record, error) {
		var after []formats.Record
		for _, w := range list {
			was, there := before[w.id]
			if w.gone || !there && w.placed {
				continue
			}
			record, err := formats.ParseLine([]byte(w.line))
			if err != nil {
				return nil, err
			}
			if there {
				if record, err = merged(was, record); err != nil {
					return nil, err
				}
			}
			after = append(after, record)
		}
		return after, nil
	})
	if err != nil {
		return fmt.Errorf("%w: %w", errHome, err)
	}
	return nil
}

// merged is what a record becomes: the bank's, with the links and the category that are there already.
func merged(was, now formats.Record) (formats.Record, error) {
	for _, l := range was.Links {
		if l.Rel != "account" {
			now.Links = append(now.Links, l)
		}
	}
	if now.Kind != formats.KindOperation {
		return now, nil
	}
	var before struct {
		Category json.RawMessage `json:"category"`
	}
	if err := json.Unmarshal(was.Body, &before); err != nil || before.Category == nil {
		return now, err
	}
	var body map[string]json.RawMessage
	if err := json.Unmarshal(now.Body, &body); err != nil || body["category"] != nil {
		return now, err
	}
	body["category"] = before.Category
	text, err := json.Marshal(body)
	now.Body = text
	return now, err
}

// placed notes what is in the home.
func (b *Banks) placed(ctx context.Context, person, account string, list []waiting) error {
	first, last := list[0].id, list[len(list)-1].id // a page of them in order, which nobody else changes: see [Banks.lease]
	return b.o.DB.Tx(ctx, func(tx *sql.Tx) error {
		for _, query := range []string{
			`DELETE FROM bank_operation WHERE person = $1 AND account = $2 AND id >= $3 AND id <= $4 AND line <> '' AND gone = $5`,
			`UPDATE bank_operation SET line = '', placed = $5 WHERE person = $1 AND account = $2 AND id >= $3 AND id <= $4 AND line <> ''`,
		} {
			if _, err := tx.ExecContext(ctx, query, person, account, first, last, true); err != nil {
				return fmt.Errorf("note what is in the home: %w", err)
			}
		}
		return nil
	})
}
