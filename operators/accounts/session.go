package accounts

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/base64"
	"errors"
	"fmt"
	"time"
)

// Method is how somebody proved who they are.
type Method string

// The ways to sign in.
const (
	ByPasskey  Method = "passkey"
	ByPassword Method = "password"
	ByRecovery Method = "recovery" // a recovery code
	ByProvider Method = "provider" // the operator's OpenID provider
)

// Client is who asks, as far as the network tells.
type Client struct {
	Address string // as net/http gives it, or without its port
	Agent   string // what the browser says that it is
}

// maxAgent is how much of Client.Agent is kept, in characters.
const maxAgent = 200

// Session is one place where a person is signed in.
type Session struct {
	ID            string // by which it can be ended from elsewhere; nobody signs in by it
	Account       Account
	Method        Method
	Agent         string
	Created       time.Time
	Authenticated time.Time // when the person last proved who they are
	Used          time.Time // to the minute
	Expires       time.Time // however much it is used
}

const (
	tokenSize = 32 // bytes: 256 bits, of which nobody guesses one
	// touchEvery is how often the use of a session is written.
	touchEvery = time.Minute
)

// start begins a session, always with a token of its own (OWASP Session Management Cheat Sheet: no fixation).
func (a *Accounts) start(ctx context.Context, tx *sql.Tx, account Account, how Method, c Client) (token string, err error) {
	token = base64.RawURLEncoding.EncodeToString(randomBytes(tokenSize))
	now := a.now()
	_, err = tx.ExecContext(ctx, `
		INSERT INTO accounts_session (hash, id, account, method, agent, created, authenticated, used, expires) VALUES ($1, $2, $3, $4, $5, $6, $6, $6, $7)`,
		digest("token", token), rand.Text(), account.Name, string(how), printable(c.Agent, maxAgent), now.UnixMicro(), now.Add(a.opt.Lifetime).UnixMicro())
	if err != nil {
		return "", fmt.Errorf("begin a session: %w", err)
	}
	return token, nil
}

// Session returns whose a token is, and notes that it is used. The error wraps [ErrNoSession].
func (a *Accounts) Session(ctx context.Context, token string) (Session, error) {
	hash, now := digest("token", token), a.now()
	row := a.db.Read.QueryRowContext(ctx, `
		SELECT `+sessionColumns+` FROM accounts_session WHERE hash = $1 AND expires > $2 AND used > $3`,
		hash, now.UnixMicro(), now.Add(-a.opt.Idle).UnixMicro())
	s, err := scanSession(row.Scan)
	if errors.Is(err, sql.ErrNoRows) {
		return Session{}, ErrNoSession
	}
	if err != nil {
		return Session{}, fmt.Errorf("look for a session: %w", err)
	}
	if now.Sub(s.Used) < min(touchEvery, a.opt.Idle/10) {
		return s, nil
	}
	if _, err := a.db.Write.ExecContext(ctx, `UPDATE accounts_session SET used = $2 WHERE hash = $1 AND used < $2`, hash, now.UnixMicro()); err != nil {
		return Session{}, fmt.Errorf("note that a session is used: %w", err)
	}
	s.Used = now
	return s, nil
}

const sessionColumns = `id, account, method, agent, created, authenticated, used, expires`

func scanSession(scan func(...any) error) (s Session, err error) {
	var created, authenticated, used, expires int64
	err = scan(&s.ID, &s.Account.Name, &s.Method, &s.Agent, &created, &authenticated, &used, &expires)
	s.Account.Instance = s.Account.Name
	s.Created, s.Authenticated = time.UnixMicro(created), time.UnixMicro(authenticated)
	s.Used, s.Expires = time.UnixMicro(used), time.UnixMicro(expires)
	return s, err
}

// Sessions returns where the account of that name is signed in, the latest first.
func (a *Accounts) Sessions(ctx context.Context, account string) ([]Session, error) {
	if checkName(account) != nil {
		return nil, nil // nobody has it
	}
	now := a.now()
	rows, err := a.db.Read.QueryContext(ctx, `
		SELECT `+sessionColumns+` FROM accounts_session
		WHERE account = $1 AND expires > $2 AND used > $3 ORDER BY created DESC, hash`,
		account, now.UnixMicro(), now.Add(-a.opt.Idle).UnixMicro())
	if err != nil {
		return nil, fmt.Errorf("list the sessions of %q: %w", account, err)
	}
	defer rows.Close()
	var list []Session
	for rows.Next() {
		s, err := scanSession(rows.Scan)
		if err != nil {
			return nil, fmt.Errorf("list the sessions of %q: %w", account, err)
		}
		list = append(list, s)
	}
	return list, rows.Err()
}

// End ends the session that has the token, if there is one: the person signs out.
func (a *Accounts) End(ctx context.Context, token string) error {
	if _, err := a.db.Write.ExecContext(ctx, `DELETE FROM accounts_session WHERE hash = $1`, digest("token", token)); err != nil {
		return fmt.Errorf("end a session: %w", err)
	}
	return nil
}

// EndSession ends the session with that id, if it is one of the account's.
func (a *Accounts) EndSession(ctx context.Context, account, id string) error {
	if checkName(account) != nil || checkName(id) != nil {
		return nil // nobody has it
	}
	if _, err := a.db.Write.ExecContext(ctx, `DELETE FROM accounts_session WHERE account = $1 AND id = $2`, account, id); err != nil {
		return fmt.Errorf("end a session of %q: %w", account, err)
	}
	return nil
}

// EndOthers ends every session of a person but the one that has the token. The error may wrap [ErrNoSession].
func (a *Accounts) EndOthers(ctx context.Context, token string) error {
	s, err := a.Session(ctx, token)
	if err != nil {
		return err
	}
	if _, err := a.db.Write.ExecContext(ctx, `DELETE FROM accounts_session WHERE account = $1 AND id <> $2`, s.Account.Name, s.ID); err != nil {
		return fmt.Errorf("end the other sessions of %q: %w", s.Account.Name, err)
	}
	return nil
}

// proven returns the session of somebody who proved just now who they are. The error wraps [ErrNoSession] or [ErrStale].
func (a *Accounts) proven(ctx context.Context, token string) (Session, error) {
	s, err := a.Session(ctx, token)
	if err == nil && a.now().Sub(s.Authenticated) > a.opt.Fresh {
		err = ErrStale
	}
	return s, err
}

// EndAll ends every session of the account of that name.
func (a *Accounts) EndAll(ctx context.Context, account string) error {
	if checkName(account) != nil {
		return nil // nobody has it
	}
	if _, err := a.db.Write.ExecContext(ctx, `DELETE FROM accounts_session WHERE account = $1`, account); err != nil {
		return fmt.Errorf("end the sessions of %q: %w", account, err)
	}
	return nil
}
