package accounts

import (
	"context"
	"database/sql"
	"encoding/base32"
	"errors"
	"fmt"
	"strings"

	"filippo.io/age"
)

// Recovery codes have 80 bits each, in letters and digits that nobody takes for one another (those of Crockford's
// base 32).
const (
	codeCount    = 10
	codeSize     = 10 // bytes
	codeAlphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
)

// newCode is a code, such as 7Q2M-X0KD-93FB-HE5W.
func newCode() string {
	text := base32.NewEncoding(codeAlphabet).EncodeToString(randomBytes(codeSize))
	return text[:4] + "-" + text[4:8] + "-" + text[8:12] + "-" + text[12:]
}

// plainCode is what somebody typed as a code, however they wrote it.
func plainCode(typed string) string {
	upper := strings.ToUpper(strings.NewReplacer("o", "0", "O", "0", "i", "1", "I", "1", "l", "1", "L", "1").Replace(typed))
	return strings.Map(func(r rune) rune {
		if strings.ContainsRune(codeAlphabet, r) {
			return r
		}
		return -1
	}, upper)
}

func codeHash(account, code string) string {
	return digest("code", account+"\x00"+plainCode(code))
}

// NewRecoveryCodes makes new recovery codes for who proved just now who they are; older ones end. They are returned this
// once. The error wraps [ErrNoSession] or [ErrStale].
func (a *Accounts) NewRecoveryCodes(ctx context.Context, token string) (codes []string, err error) {
	session, err := a.proven(ctx, token)
	if err != nil {
		return nil, err
	}
	for range codeCount {
		codes = append(codes, newCode())
	}
	err = a.tx(ctx, func(tx *sql.Tx) error {
		if err := a.stillThere(ctx, tx, session); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, `DELETE FROM accounts_code WHERE account = $1`, session.Account.Name); err != nil {
			return err
		}
		for _, code := range codes {
			if _, err := tx.ExecContext(ctx, `INSERT INTO accounts_code (hash, account) VALUES ($1, $2)`, codeHash(session.Account.Name, code), session.Account.Name); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("make recovery codes: %w", err)
	}
	return codes, nil
}

// RecoveryCodes returns how many recovery codes an account has left.
func (a *Accounts) RecoveryCodes(ctx context.Context, account string) (left int, err error) {
	if checkName(account) != nil {
		return 0, nil
	}
	err = a.db.Read.QueryRowContext(ctx, `SELECT COUNT(*) FROM accounts_code WHERE account = $1`, account).Scan(&left)
	if err != nil {
		return 0, fmt.Errorf("count the recovery codes of %q: %w", account, err)
	}
	return left, nil
}

// Recover signs somebody in by a recovery code, which is used up. Every other session ends. The error wraps
// [ErrCredentials], and nothing shows whether there is such an account, or [ErrThrottled].
func (a *Accounts) Recover(ctx context.Context, name, code string, c Client) (token string, account Account, err error) {
	look := lookOf(name)
	attempt, err := a.begin(ctx, look, c.Address)
	if err != nil {
		return "", Account{}, err
	}
	err = a.tx(ctx, func(tx *sql.Tx) error {
		err := tx.QueryRowContext(ctx, `SELECT name FROM accounts_account WHERE look = $1`, look).Scan(&account.Name)
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		account.Instance = account.Name
		var used string
		err = tx.QueryRowContext(ctx, `DELETE FROM accounts_code WHERE hash = $1 AND account = $2 RETURNING account`, codeHash(account.Name, code), account.Name).Scan(&used)
		if errors.Is(err, sql.ErrNoRows) {
			return ErrCredentials
		}
		if err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, `DELETE FROM accounts_session WHERE account = $1`, account.Name); err != nil {
			return err
		}
		if err := attempt.succeed(ctx, tx); err != nil {
			return err
		}
		token, err = a.start(ctx, tx, account, ByRecovery, c)
		return err
	})
	if err != nil {
		return "", Account{}, err
	}
	return token, account, nil
}

// SetRecoveryKey sets the key to which archives of an account are encrypted, too: an age recipient, or "" for none. Only
// the person has the other half. The error wraps [ErrInvalid].
func (a *Accounts) SetRecoveryKey(ctx context.Context, account, recipient string) error {
	if err := checkName(account); err != nil {
		return err
	}
	if recipient = strings.TrimSpace(recipient); recipient != "" {
		if err := checkRecipient(recipient); err != nil {
			return err
		}
	}
	_, err := a.db.Write.ExecContext(ctx, `UPDATE accounts_account SET recovery_key = $2 WHERE name = $1`, account, recipient)
	if err != nil {
		return fmt.Errorf("set the recovery key of %q: %w", account, err)
	}
	return nil
}

func checkRecipient(recipient string) error {
	if _, err := age.ParseX25519Recipient(recipient); err == nil {
		return nil
	}
	if _, err := age.ParseHybridRecipient(recipient); err == nil {
		return nil
	}
	return fmt.Errorf("%w: a recovery key is the public part of an age key, age1…", ErrInvalid)
}

// RecoveryKey returns the recovery key of an account, "" if there is none.
func (a *Accounts) RecoveryKey(ctx context.Context, account string) (recipient string, err error) {
	if checkName(account) != nil {
		return "", nil
	}
	err = a.db.Read.QueryRowContext(ctx, `SELECT recovery_key FROM accounts_account WHERE name = $1`, account).Scan(&recipient)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return "", fmt.Errorf("look for the recovery key of %q: %w", account, err)
	}
	return recipient, nil
}
