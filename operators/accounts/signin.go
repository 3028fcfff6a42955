package accounts

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
)

// SignIn checks a name and a password, and begins a session: whoever has its token is the person.
//
// The error wraps [ErrCredentials] if the name or the password is wrong, and nothing shows which; it wraps
// [ErrThrottled], and is a [ThrottledError], if there were too many wrong ones before. Follows the OWASP
// Authentication Cheat Sheet.
func (a *Accounts) SignIn(ctx context.Context, name, password string, c Client) (token string, account Account, err error) {
	if err := a.sweepSometimes(ctx); err != nil {
		return "", Account{}, err
	}
	proof, err := a.check(ctx, name, password, c.Address)
	if err != nil {
		return "", Account{}, err
	}
	renewed, err := a.renew(ctx, proof, password)
	if err != nil {
		return "", Account{}, err
	}
	err = a.tx(ctx, func(tx *sql.Tx) error {
		if err := proof.confirm(ctx, tx, renewed); err != nil {
			return err
		}
		token, err = a.start(ctx, tx, proof.account, ByPassword, c)
		return err
	})
	if err != nil {
		return "", Account{}, err
	}
	return token, proof.account, nil
}

// ChangePassword changes the password of who has a session, and knows the old one. Every session ends; the one that
// begins instead has the token that is returned. The error wraps [ErrNoSession], [ErrCredentials], [ErrThrottled] or
// [ErrInvalid].
func (a *Accounts) ChangePassword(ctx context.Context, token, old, password string, c Client) (fresh string, err error) {
	session, err := a.Session(ctx, token)
	if err != nil {
		return "", err
	}
	if _, err := prepare(password); err != nil {
		return "", err
	}
	proof, err := a.check(ctx, session.Account.Name, old, c.Address)
	if err != nil {
		return "", err
	}
	hashed, err := a.newHash(ctx, password)
	if err != nil {
		return "", err
	}
	err = a.tx(ctx, func(tx *sql.Tx) error {
		if err := proof.confirm(ctx, tx, proof.hash); err != nil {
			return err
		}
		if err := a.setHash(ctx, tx, proof.account.Name, hashed); err != nil {
			return err
		}
		fresh, err = a.start(ctx, tx, proof.account, ByPassword, c)
		return err
	})
	if err != nil {
		return "", err
	}
	return fresh, nil
}

// ResetPassword sets the password of who proved just now who they are, and not by a password: by a passkey, a recovery
// code, or at the operator's provider. Every session ends; the one that begins instead has the token that is returned.
// The error wraps [ErrNoSession], [ErrStale] or [ErrInvalid].
func (a *Accounts) ResetPassword(ctx context.Context, token, password string, c Client) (fresh string, err error) {
	session, err := a.proven(ctx, token)
	if err != nil {
		return "", err
	}
	has, err := a.HasPassword(ctx, session.Account.Name)
	if err != nil {
		return "", err
	}
	if has && session.Method == ByPassword {
		return "", ErrStale // whoever signed in by the password shows that they know it
	}
	hashed, err := a.newHash(ctx, password)
	if err != nil {
		return "", err
	}
	err = a.tx(ctx, func(tx *sql.Tx) error {
		if err := a.stillThere(ctx, tx, session); err != nil {
			return err
		}
		if err := a.setHash(ctx, tx, session.Account.Name, hashed); err != nil {
			return err
		}
		fresh, err = a.start(ctx, tx, session.Account, session.Method, c)
		return err
	})
	return fresh, err
}

// stillThere locks the account of a session, and reports that both are there still.
func (a *Accounts) stillThere(ctx context.Context, tx *sql.Tx, s Session) error {
	if _, err := lockAccount(ctx, tx, s.Account.Name); err != nil {
		return err
	}
	var id string
	err := tx.QueryRowContext(ctx, `SELECT id FROM accounts_session WHERE account = $1 AND id = $2`, s.Account.Name, s.ID).Scan(&id)
	if errors.Is(err, sql.ErrNoRows) {
		return ErrNoSession
	}
	return err
}

// lockAccount keeps others from changing how an account is signed in to, until the transaction ends. It returns the hash
// of the password.
func lockAccount(ctx context.Context, tx *sql.Tx, name string) (hash string, err error) {
	err = tx.QueryRowContext(ctx, `UPDATE accounts_account SET changed = changed WHERE name = $1 RETURNING hash`, name).Scan(&hash)
	if errors.Is(err, sql.ErrNoRows) {
		return "", ErrNoSession
	}
	return hash, err
}

// HasPassword reports whether an account has a password.
func (a *Accounts) HasPassword(ctx context.Context, account string) (has bool, err error) {
	if checkName(account) != nil {
		return false, nil
	}
	err = a.db.Read.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM accounts_account WHERE name = $1 AND hash <> '')`, account).Scan(&has)
	if err != nil {
		return false, fmt.Errorf("look for the password of %q: %w", account, err)
	}
	return has, nil
}

// proof says that somebody gave the password of an account.
type proof struct {
	account Account
	hash    hash
	version string
	attempt *attempt
}

// check finds out whether the password is the account's. It computes one hash, whether there is such an account or not.
func (a *Accounts) check(ctx context.Context, name, password, from string) (*proof, error) {
	look := lookOf(name)
	attempt, err := a.begin(ctx, look, from)
	if err != nil {
		return nil, err
	}
	p, exists, err := a.stored(ctx, look)
	if err != nil {
		return nil, fmt.Errorf("look for an account: %w", err)
	}
	right, err := a.hasher.matches(ctx, p.hash, password)
	if err != nil {
		return nil, err
	}
	if !right || !exists {
		return nil, ErrCredentials
	}
	p.attempt = attempt
	return p, nil
}

// noPassword is kept instead of a hash for who signs in another way.
const noPassword = ""

// stored returns what a password is checked against, also if there is no account, or one without a password.
func (a *Accounts) stored(ctx context.Context, look string) (p *proof, exists bool, err error) {
	p = &proof{hash: a.dummy}
	var text string
	err = a.db.Read.QueryRowContext(ctx, `SELECT name, hash, version FROM accounts_account WHERE look = $1`, look).Scan(&p.account.Name, &text, &p.version)
	if errors.Is(err, sql.ErrNoRows) {
		return p, false, nil
	}
	if err != nil {
		return nil, false, err
	}
	if text == noPassword {
		return p, false, nil
	}
	p.account.Instance = p.account.Name
	p.hash, err = parseHash(text)
	return p, true, err
}

// renew returns the hash to keep: the one that there is, or a stronger one of the same password.
func (a *Accounts) renew(ctx context.Context, p *proof, password string) (hash, error) {
	if !p.hash.cost.weaker(a.hasher.cost) {
		return p.hash, nil
	}
	return a.newHash(ctx, password)
}

// confirm writes that the attempt succeeded, unless the password was changed or the account removed meanwhile.
func (p *proof) confirm(ctx context.Context, tx *sql.Tx, renewed hash) error {
	result, err := tx.ExecContext(ctx, `UPDATE accounts_account SET hash = $3 WHERE name = $1 AND version = $2`,
		p.account.Name, p.version, renewed.String())
	if err != nil {
		return fmt.Errorf("sign in: %w", err)
	}
	n, err := result.RowsAffected()
	if err != nil {
		return fmt.Errorf("sign in: %w", err)
	}
	if n == 0 {
		return ErrCredentials
	}
	return p.attempt.succeed(ctx, tx)
}
