package bank

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/passerelle-cloud/passerelle/internal/jobs"
	atbank "github.com/passerelle-cloud/passerelle/operators/bank"
)

// secrets are what is kept sealed of a connection.
type secrets struct {
	Begun    *atbank.Begun  `json:"begun,omitempty"`
	PreStep  *atbank.Redeem `json:"pre_step,omitempty"`
	Asked    time.Time      `json:"asked,omitzero"`
	PSU      string         `json:"psu,omitempty"`
	Tokens   *atbank.Tokens `json:"tokens,omitempty"`
	Metadata string         `json:"metadata,omitempty"` // where tokens are renewed
}

// stored is a connection with what only this package knows.
type stored struct {
	Connection
	visit  string
	secret secrets
}

const columns = `id, person, bank, state, visit, due, leased, progress, detail, secret`

func micro(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

func moment(micro int64) time.Time {
	if micro == 0 {
		return time.Time{}
	}
	return time.UnixMicro(micro).UTC()
}

type queryer interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

// find reads connections.
func (b *Banks) find(ctx context.Context, q queryer, where string, args ...any) ([]*stored, error) {
	rows, err := q.QueryContext(ctx, `SELECT `+columns+` FROM bank_connection WHERE `+where+` ORDER BY id`, args...)
	if err != nil {
		return nil, fmt.Errorf("look for connections with banks: %w", err)
	}
	defer rows.Close()
	var list []*stored
	for rows.Next() {
		var s stored
		var due, leased int64
		var progress, detail, secret string
		if err := rows.Scan(&s.ID, &s.Person, &s.Bank, &s.State, &s.visit, &due, &leased, &progress, &detail, &secret); err != nil {
			return nil, err
		}
		if err := json.Unmarshal([]byte(detail), &s.Detail); err != nil {
			return nil, fmt.Errorf("the connection %s is damaged: %w", s.ID, err)
		}
		s.Due, s.Busy = moment(due), moment(leased).After(time.Now())
		s.Busy = s.Busy || time.Since(s.Asked) < present
		if progress != "" {
			if err := json.Unmarshal([]byte(progress), &s.Progress); err != nil {
				return nil, fmt.Errorf("how far the connection %s is, is damaged: %w", s.ID, err)
			}
		}
		if secret != "" {
			if err := b.o.Box.Open(secret, &s.secret); err != nil {
				return nil, fmt.Errorf("the secrets of the connection %s: %w", s.ID, err)
			}
		}
		if begun := s.secret.Begun; begun != nil && begun.Approach == atbank.Decoupled {
			s.Pending, s.Message, s.Methods = true, begun.Message, begun.Methods
		}
		list = append(list, &s)
	}
	return list, rows.Err()
}

// one reads a connection with its accounts.
func (b *Banks) one(ctx context.Context, where string, args ...any) (*stored, error) {
	list, err := b.find(ctx, b.o.DB.Write, where, args...)
	if err != nil {
		return nil, err
	}
	if len(list) == 0 {
		return nil, ErrNotFound
	}
	s := list[0]
	s.Accounts, err = b.accounts(ctx, s.ID)
	return s, err
}

func (b *Banks) accounts(ctx context.Context, connection string) ([]Account, error) {
	rows, err := b.o.DB.Write.QueryContext(ctx, `SELECT id, chosen, detail FROM bank_account WHERE connection = $1 ORDER BY id`, connection)
	if err != nil {
		return nil, fmt.Errorf("look for the accounts of a connection: %w", err)
	}
	defer rows.Close()
	var list []Account
	for rows.Next() {
		var a Account
		var detail string
		if err := rows.Scan(&a.ID, &a.Chosen, &detail); err != nil {
			return nil, err
		}
		if err := json.Unmarshal([]byte(detail), &a.AccountDetail); err != nil {
			return nil, fmt.Errorf("the account %s is damaged: %w", a.ID, err)
		}
		list = append(list, a)
	}
	return list, rows.Err()
}

// save writes a connection, and has it refreshed when it is due: both or neither.
func (b *Banks) save(ctx context.Context, s *stored) error {
	return b.o.DB.Tx(ctx, func(tx *sql.Tx) error { return b.saveIn(ctx, tx, s) })
}

func (b *Banks) saveIn(ctx context.Context, tx *sql.Tx, s *stored) error {
	detail, err := json.Marshal(s.Detail)
	if err != nil {
		return err
	}
	secret, err := b.o.Box.Seal(s.secret)
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, `INSERT INTO bank_connection (id, person, bank, state, visit, due, leased, holder, changed, detail, secret) VALUES ($1, $2, $3, $4, $5, $6, 0, '', $7, $8, $9)
		ON CONFLICT (id) DO UPDATE SET state = EXCLUDED.state, visit = EXCLUDED.visit, due = EXCLUDED.due, changed = EXCLUDED.changed, detail = EXCLUDED.detail, secret = EXCLUDED.secret`,
		s.ID, s.Person, s.Bank, s.State, s.visit, micro(s.Due), micro(time.Now()), string(detail), secret)
	if err != nil {
		return fmt.Errorf("keep a connection with a bank: %w", err)
	}
	if s.Due.IsZero() || b.o.Queue == nil {
		return nil
	}
	return b.o.Queue.Add(ctx, tx, Refreshing.Job(RefreshArgs{Connection: s.ID, Due: micro(s.Due)}), jobs.Options{At: s.Due, Unique: true})
}

// saveAccount writes what is known of an account. Whether an account that is there already is chosen, only [Banks.Choose] says.
func (b *Banks) saveAccount(ctx context.Context, tx *sql.Tx, connection string, a *Account) error {
	detail, err := json.Marshal(a.AccountDetail)
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, `INSERT INTO bank_account (connection, id, chosen, detail) VALUES ($1, $2, $3, $4) ON CONFLICT (connection, id) DO UPDATE SET detail = EXCLUDED.detail`,
		connection, a.ID, a.Chosen, string(detail))
	if err != nil {
		return fmt.Errorf("keep an account: %w", err)
	}
	return nil
}

// Of lists the connections of a person.
func (b *Banks) Of(ctx context.Context, person string) ([]Connection, error) {
	list, err := b.find(ctx, b.o.DB.Read, `person = $1`, person)
	if err != nil {
		return nil, err
	}
	out := make([]Connection, len(list))
	for i, s := range list {
		out[i] = s.Connection
		if out[i].Accounts, err = b.accounts(ctx, s.ID); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// Connection returns a connection of a person.
func (b *Banks) Connection(ctx context.Context, person, id string) (*Connection, error) {
	s, err := b.one(ctx, `id = $1 AND person = $2`, id, person)
	if err != nil {
		return nil, err
	}
	return &s.Connection, nil
}

func newID() string { return rand.Text() }

// visitOf is what is kept of what a browser brings back.
func visitOf(state string) string {
	sum := sha256.Sum256([]byte(state))
	return hex.EncodeToString(sum[:])
}

// The lease of a connection: how long a process that died keeps others away.
const leaseTime = 2 * time.Minute

// lease takes a connection for one process at a time, until release is called; renew is to be called more often than every
// two minutes, and fails once another one has it or the person has disconnected.
func (b *Banks) lease(ctx context.Context, id string) (renew, release func() error, err error) {
	holder := newID()
	take := func(ctx context.Context, until, free time.Time) error {
		result, err := b.o.DB.Write.ExecContext(ctx, `UPDATE bank_connection SET leased = $2, holder = $3 WHERE id = $1 AND (holder = $3 OR leased < $4) AND state = $5`, id, micro(until), holder, micro(free), Connected)
		if err != nil {
			return fmt.Errorf("take a connection with a bank: %w", err)
		}
		if n, err := result.RowsAffected(); err != nil || n == 0 {
			return errors.Join(b.whyNot(ctx, id), err)
		}
		return nil
	}
	renew = func() error { return take(ctx, time.Now().Add(leaseTime), time.Now()) }
	release = func() error {
		_, err := b.o.DB.Write.ExecContext(context.WithoutCancel(ctx), `UPDATE bank_connection SET leased = 0, progress = '' WHERE id = $1 AND holder = $2`, id, holder)
		return err
	}
	return renew, release, renew()
}

// whyNot says why a connection could not be taken.
func (b *Banks) whyNot(ctx context.Context, id string) error {
	list, err := b.find(ctx, b.o.DB.Write, `id = $1`, id)
	switch {
	case err != nil:
		return err
	case len(list) == 0:
		return ErrNotFound
	case list[0].State != Connected:
		return fmt.Errorf("%w: it is %s", ErrState, list[0].State)
	}
	return ErrBusy
}
