package accounts

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/passerelle-cloud/passerelle/internal/sqldb"
)

// Invite makes an invitation for the instance of that name, or for whoever has the code if the name is empty. An older
// one for the same name ends. The error wraps [ErrInvalid], or [ErrTaken] if there is an account already.
func (a *Accounts) Invite(ctx context.Context, name string, valid time.Duration) (code string, err error) {
	if name != "" {
		if err := checkName(name); err != nil {
			return "", err
		}
	}
	code = rand.Text()
	err = a.tx(ctx, func(tx *sql.Tx) error {
		if name != "" {
			var exists bool
			if err := tx.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM accounts_account WHERE look = $1)`, lookOf(name)).Scan(&exists); err != nil {
				return err
			}
			if exists {
				return ErrTaken
			}
			if _, err := tx.ExecContext(ctx, `DELETE FROM accounts_invitation WHERE name = $1`, name); err != nil {
				return err
			}
		}
		_, err := tx.ExecContext(ctx, `INSERT INTO accounts_invitation (hash, name, expires) VALUES ($1, $2, $3)`, digest("invitation", code), name, a.now().Add(valid).UnixMicro())
		return err
	})
	if err != nil {
		return "", fmt.Errorf("invite %q: %w", name, err)
	}
	return code, nil
}

// Invitation returns for which name an invitation is, "" if for any. The error wraps [ErrNoInvitation].
func (a *Accounts) Invitation(ctx context.Context, code string) (name string, err error) {
	err = a.db.Read.QueryRowContext(ctx, `SELECT name FROM accounts_invitation WHERE hash = $1 AND expires > $2`, digest("invitation", code), a.now().UnixMicro()).Scan(&name)
	if errors.Is(err, sql.ErrNoRows) {
		return "", ErrNoInvitation
	}
	if err != nil {
		return "", fmt.Errorf("look for an invitation: %w", err)
	}
	return name, nil
}

// RegistrationChallenge begins to make an account that is signed in to by a passkey.
func (a *Accounts) RegistrationChallenge(_ context.Context, origin string) (Challenge, error) {
	party, err := a.party(origin)
	if err != nil {
		return Challenge{}, err
	}
	options, began, err := party.BeginRegistration(&holder{name: a.opt.Name, handle: randomBytes(32)})
	if err != nil {
		return Challenge{}, fmt.Errorf("ask for a new passkey: %w", err)
	}
	return a.challenge(toRegister, "", options.Response, began)
}

// Registration is who wants an account, and how they will sign in: by a passkey if Response is given, at the operator's
// provider if Subject is, or else by a password.
type Registration struct {
	Name       string
	Invitation string // "" if they have none; whether they need one is for others to say
	Password   string

	Origin   string          // where the passkey was made
	Ceremony string          // of [Accounts.RegistrationChallenge]
	Response json.RawMessage // the authenticator's
	Passkey  string          // what to call it

	Issuer, Subject string // proved by an ID token
}

// noLabel is what a passkey is called that nobody gave a name.
const noLabel = "–"

// Register makes an account, uses up the invitation, and begins a session. The error wraps [ErrInvalid], [ErrTaken],
// [ErrNoInvitation], [ErrCredentials] or [ErrThrottled].
func (a *Accounts) Register(ctx context.Context, r Registration, c Client) (token string, account Account, err error) {
	if err := checkName(r.Name); err != nil {
		return "", Account{}, err
	}
	n, err := a.newcomer(ctx, r, c)
	if err != nil {
		return "", Account{}, err
	}
	account = Account{Name: r.Name, Instance: r.Name}
	err = a.tx(ctx, func(tx *sql.Tx) error {
		if err := a.accept(ctx, tx, r); err != nil {
			return err
		}
		if err := a.add(ctx, tx, r, n); err != nil {
			return err
		}
		token, err = a.start(ctx, tx, account, n.how, c)
		return err
	})
	if sqldb.IsUnique(err) {
		err = ErrTaken
	}
	if err != nil {
		return "", Account{}, fmt.Errorf("make the account %q: %w", r.Name, err)
	}
	return token, account, nil
}

// newcomer is how somebody will sign in who has no account yet.
type newcomer struct {
	how     Method
	hash    string
	began   ceremony
	passkey newPasskey
}

// newcomer does what takes long, and what needs no transaction.
func (a *Accounts) newcomer(ctx context.Context, r Registration, c Client) (n newcomer, err error) {
	if err := a.beginAccount(ctx, c.Address); err != nil {
		return n, err
	}
	switch {
	case len(r.Response) > 0:
		n.how = ByPasskey
		if n.began, err = a.ceremonyOf(r.Ceremony, toRegister); err != nil {
			return n, err
		}
		n.passkey, err = a.created(r.Origin, n.began, r.Response)
		if n.passkey.name = printable(r.Passkey, maxLabel); n.passkey.name == "" {
			n.passkey.name = noLabel
		}
	case r.Subject != "":
		n.how = ByProvider
	default:
		n.how = ByPassword
		var hashed hash
		hashed, err = a.newHash(ctx, r.Password)
		n.hash = hashed.String()
	}
	return n, err
}

// accept uses up the invitation, if there is one.
func (a *Accounts) accept(ctx context.Context, tx *sql.Tx, r Registration) error {
	if r.Invitation == "" {
		return nil
	}
	var name string
	err := tx.QueryRowContext(ctx, `DELETE FROM accounts_invitation WHERE hash = $1 AND expires > $2 RETURNING name`, digest("invitation", r.Invitation), a.now().UnixMicro()).Scan(&name)
	if errors.Is(err, sql.ErrNoRows) || err == nil && name != "" && name != r.Name {
		return ErrNoInvitation
	}
	return err
}

func (a *Accounts) add(ctx context.Context, tx *sql.Tx, r Registration, n newcomer) error {
	now := a.now().UnixMicro()
	_, err := tx.ExecContext(ctx, `INSERT INTO accounts_account (name, look, hash, version, created, changed) VALUES ($1, $2, $3, $4, $5, $5)`, r.Name, lookOf(r.Name), n.hash, rand.Text(), now)
	if err != nil {
		return err
	}
	switch n.how {
	case ByPasskey:
		return a.keep(ctx, tx, r.Name, n.began, n.passkey)
	case ByProvider:
		return a.link(ctx, tx, r.Name, r.Issuer, r.Subject)
	}
	return nil
}
