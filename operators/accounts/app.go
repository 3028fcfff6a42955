package accounts

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/base32"
	"errors"
	"fmt"
	"strings"
	"time"
)

// AppPassword is a password of one program that works for a person, such as a phone's calendar. It signs in to nothing
// else, neither to the pages.
type AppPassword struct {
	ID      string // by which it is revoked; nobody signs in by it
	Name    string // that the person gave it
	Created time.Time
	Used    time.Time // to the minute; zero if never
}

const (
	appSize = 20 // bytes: 160 bits, of which nobody guesses one
	// mostApps is how many an account has at the most.
	mostApps   = 50
	maxAppName = 100 // characters
)

// NewAppPassword makes a password for one program, for who proved just now who they are, and returns it this once. The
// error wraps [ErrNoSession], [ErrStale], or [ErrInvalid] for a name that says nothing and for too many of them.
func (a *Accounts) NewAppPassword(ctx context.Context, token, name string) (password string, err error) {
	session, err := a.proven(ctx, token)
	if err != nil {
		return "", err
	}
	if name = strings.TrimSpace(printable(name, maxAppName)); name == "" {
		return "", fmt.Errorf("%w: an app password needs a name, by which you know it again", ErrInvalid)
	}
	password = newAppPassword()
	err = a.tx(ctx, func(tx *sql.Tx) error {
		if err := a.stillThere(ctx, tx, session); err != nil {
			return err
		}
		var n int
		if err := tx.QueryRowContext(ctx, `SELECT COUNT(*) FROM accounts_app WHERE account = $1`, session.Account.Name).Scan(&n); err != nil {
			return err
		}
		if n >= mostApps {
			return fmt.Errorf("%w: more than %d app passwords: revoke those that you do not use", ErrInvalid, mostApps)
		}
		_, err := tx.ExecContext(ctx, `INSERT INTO accounts_app (hash, id, account, name, created, used) VALUES ($1, $2, $3, $4, $5, 0)`,
			appHash(password), rand.Text(), session.Account.Name, name, a.now().UnixMicro())
		return err
	})
	if err != nil {
		return "", fmt.Errorf("make an app password: %w", err)
	}
	return password, nil
}

// newAppPassword is a password that can be typed from one screen to another: abcd-efgh-… in small letters and digits.
func newAppPassword() string {
	text := strings.ToLower(base32.NewEncoding(codeAlphabet).EncodeToString(randomBytes(appSize)))
	var parts []string
	for ; text != ""; text = text[4:] {
		parts = append(parts, text[:4])
	}
	return strings.Join(parts, "-")
}

func appHash(password string) string { return digest("app", plainCode(password)) }

// AppPasswords returns the app passwords of an account, the latest first.
func (a *Accounts) AppPasswords(ctx context.Context, account string) (list []AppPassword, err error) {
	if checkName(account) != nil {
		return nil, nil // nobody has it
	}
	rows, err := a.db.Read.QueryContext(ctx, `SELECT id, name, created, used FROM accounts_app WHERE account = $1 ORDER BY created DESC, hash`, account)
	if err != nil {
		return nil, fmt.Errorf("list the app passwords of %q: %w", account, err)
	}
	defer rows.Close()
	for rows.Next() {
		var p AppPassword
		var created, used int64
		if err := rows.Scan(&p.ID, &p.Name, &created, &used); err != nil {
			return nil, err
		}
		p.Created = time.UnixMicro(created)
		if used > 0 {
			p.Used = time.UnixMicro(used)
		}
		list = append(list, p)
	}
	return list, rows.Err()
}

// RevokeAppPassword ends the app password with that id, if it is one of the account's: from now on it opens nothing.
func (a *Accounts) RevokeAppPassword(ctx context.Context, account, id string) error {
	if checkName(account) != nil || checkName(id) != nil {
		return nil // nobody has it
	}
	if _, err := a.db.Write.ExecContext(ctx, `DELETE FROM accounts_app WHERE account = $1 AND id = $2`, account, id); err != nil {
		return fmt.Errorf("revoke an app password of %q: %w", account, err)
	}
	return nil
}

// SignInApp returns whose an app password is. The error wraps [ErrCredentials], and nothing shows whether there is such
// an account, or [ErrThrottled].
//
// It is asked with every request, so a right password costs one look into the database and, once a minute, a write. Only
// wrong ones are counted, apart from those at the pages: a forgotten phone whose password was revoked does not shut its
// owner out of these. Nobody guesses 160 bits, so who has the right one never waits for the failures of others.
func (a *Accounts) SignInApp(ctx context.Context, name, password, from string) (Account, error) {
	hash, look := appHash(password), lookOf(name)
	var account Account
	var used int64
	err := a.db.Read.QueryRowContext(ctx, `
		SELECT p.account, p.used FROM accounts_app p JOIN accounts_account a ON a.name = p.account WHERE p.hash = $1 AND a.look = $2`, hash, look).Scan(&account.Name, &used)
	if errors.Is(err, sql.ErrNoRows) {
		return Account{}, a.refuseApp(ctx, look, from)
	}
	if err != nil {
		return Account{}, fmt.Errorf("look for an app password: %w", err)
	}
	account.Instance = account.Name
	if now := a.now(); now.Sub(time.UnixMicro(used)) >= touchEvery {
		if _, err := a.db.Write.ExecContext(ctx, `UPDATE accounts_app SET used = $2 WHERE hash = $1 AND used < $2`, hash, now.UnixMicro()); err != nil {
			return Account{}, fmt.Errorf("note that an app password is used: %w", err)
		}
	}
	return account, nil
}

// refuseApp counts a wrong app password.
func (a *Accounts) refuseApp(ctx context.Context, look, from string) error {
	if err := a.sweepSometimes(ctx); err != nil {
		return err
	}
	name, source := digest("app name", look), digest("app source", sourceOf(from))
	_, err := a.attempt(ctx,
		&count{name: name, free: freeName, window: windowName},
		&count{source: source, free: freeSource, window: windowSource},
		&count{name: name, source: source, free: freeTogether, window: windowName})
	if err != nil {
		return err
	}
	return ErrCredentials
}
