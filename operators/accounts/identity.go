package accounts

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/passerelle-cloud/passerelle/internal/sqldb"
)

// Identity is who a person is at an OpenID provider (OpenID Connect Core, section 5.7: issuer and subject together).
type Identity struct {
	Issuer, Subject string
	Linked          time.Time
}

// SignInIdentity begins a session for who proved at a provider who they are. The error wraps [ErrNoAccount].
func (a *Accounts) SignInIdentity(ctx context.Context, issuer, subject string, c Client) (token string, account Account, err error) {
	if err := a.sweepSometimes(ctx); err != nil {
		return "", Account{}, err
	}
	err = a.tx(ctx, func(tx *sql.Tx) error {
		err := tx.QueryRowContext(ctx, `SELECT account FROM accounts_identity WHERE issuer = $1 AND subject = $2`, issuer, subject).Scan(&account.Name)
		if errors.Is(err, sql.ErrNoRows) {
			return ErrNoAccount
		}
		if err != nil {
			return fmt.Errorf("look for an identity: %w", err)
		}
		account.Instance = account.Name
		token, err = a.start(ctx, tx, account, ByProvider, c)
		return err
	})
	if err != nil {
		return "", Account{}, err
	}
	return token, account, nil
}

// Link lets somebody who proved just now who they are sign in by an identity, too. The error wraps [ErrNoSession],
// [ErrStale], or [ErrTaken] if it is another account's.
func (a *Accounts) Link(ctx context.Context, token, issuer, subject string) error {
	session, err := a.proven(ctx, token)
	if err != nil {
		return err
	}
	return a.tx(ctx, func(tx *sql.Tx) error {
		if err := a.stillThere(ctx, tx, session); err != nil {
			return err
		}
		return a.link(ctx, tx, session.Account.Name, issuer, subject)
	})
}

func (a *Accounts) link(ctx context.Context, tx *sql.Tx, account, issuer, subject string) error {
	var owner string
	err := tx.QueryRowContext(ctx, `
		INSERT INTO accounts_identity (issuer, subject, account, linked) VALUES ($1, $2, $3, $4)
		ON CONFLICT (issuer, subject) DO UPDATE SET linked = accounts_identity.linked RETURNING account`,
		issuer, subject, account, a.now().UnixMicro()).Scan(&owner)
	if sqldb.IsUnique(err) || err == nil && owner != account {
		return fmt.Errorf("connect an identity: %w", ErrTaken)
	}
	return err
}

// Identities returns the identities by which an account is signed in to, the oldest first.
func (a *Accounts) Identities(ctx context.Context, account string) (list []Identity, err error) {
	if checkName(account) != nil {
		return nil, nil // nobody has it
	}
	rows, err := a.db.Read.QueryContext(ctx, `SELECT issuer, subject, linked FROM accounts_identity WHERE account = $1 ORDER BY linked, issuer, subject`, account)
	if err != nil {
		return nil, fmt.Errorf("list the identities of %q: %w", account, err)
	}
	defer rows.Close()
	for rows.Next() {
		var i Identity
		var linked int64
		if err := rows.Scan(&i.Issuer, &i.Subject, &linked); err != nil {
			return nil, err
		}
		i.Linked = time.UnixMicro(linked)
		list = append(list, i)
	}
	return list, rows.Err()
}

// Unlink removes what an account has at an issuer. The error wraps [ErrLast].
func (a *Accounts) Unlink(ctx context.Context, account, issuer string) error {
	if checkName(account) != nil {
		return nil // nobody has it
	}
	return a.remove(ctx, account, `DELETE FROM accounts_identity WHERE account = $1 AND issuer = $2`, issuer)
}
