// Package accounts lets persons sign in to their instances: by a passkey, a password, or the operator's OpenID provider.
// It keeps who they are, gets them back in by recovery codes, slows down those who guess, and remembers who is signed in.
//
// Any number of goroutines, and of replicas on one database, may use it: whatever must be counted exactly is counted in
// the database. A password is kept as an Argon2id hash alone; tokens and codes as a SHA-256 alone.
//
// It must never know HTTP, a consent, or what is in an instance.
package accounts

import (
	"context"
	"crypto/rand"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/passerelle-cloud/passerelle/internal/seal"
	"github.com/passerelle-cloud/passerelle/internal/sqldb"
)

//go:embed migrations
var migrations embed.FS

var (
	// ErrCredentials is returned for a wrong name as for a wrong password: nobody learns who has an account.
	ErrCredentials = errors.New("the name or the password is wrong")
	// ErrThrottled is the parent of [ThrottledError].
	ErrThrottled = errors.New("too many attempts to sign in")
	// ErrNoSession is returned for a token that nobody was given, and for a session that is over.
	ErrNoSession = errors.New("nobody is signed in by that, or not any more: sign in")
	// ErrInvalid is returned for a name or a password that an account cannot have.
	ErrInvalid = errors.New("an account cannot have that")
	// ErrTaken is returned for a name that looks like another account's, and for a passkey or an identity that signs in to
	// another one.
	ErrTaken = errors.New("somebody else signs in by that, or by what looks the same")
	// ErrStale is returned where a person must have proved who they are just now.
	ErrStale = errors.New("it is too long ago that you proved who you are: sign in once more")
	// ErrLast is returned instead of removing the only way in.
	ErrLast = errors.New("nothing else signs in to the account: add another way first")
	// ErrNoInvitation is returned for an invitation that nobody was given, that was used, or that is too old.
	ErrNoInvitation = errors.New("this invitation is over: ask for a new one")
	// ErrNoAccount is returned for an identity that no account belongs to.
	ErrNoAccount = errors.New("no account belongs to it: sign in another way and connect it")
)

// Options of the accounts. The zero value is what an operator should begin with.
type Options struct {
	// Lifetime is how long a session lasts, however busy it is; 0 means 12 hours.
	Lifetime time.Duration
	// Idle is how long a session lasts that nobody uses; 0 means an hour.
	Idle time.Duration
	// Cost is what a hash takes; the zero value means [DefaultCost]. Weaker hashes are renewed when persons sign in; until
	// then a wrong password is refused a little sooner there than elsewhere, which shows that there is an account.
	Cost Cost
	// Hashes is how many are computed at a time, each with the memory that Cost says; 0 means as many as there are CPUs.
	Hashes int
	// Fresh is how long ago somebody may have proved who they are who changes how they sign in; 0 means 15 minutes.
	Fresh time.Duration
	// Name is what authenticators call us; "" means Passerelle.
	Name string
	// Secret seals what a page keeps of a passkey's ceremony: 32 bytes, the same for all replicas. Without one there are no
	// passkeys.
	Secret []byte
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

func (o Options) withDefaults() Options {
	if o.Lifetime == 0 {
		o.Lifetime = 12 * time.Hour
	}
	if o.Idle == 0 {
		o.Idle = time.Hour
	}
	if o.Cost == (Cost{}) {
		o.Cost = DefaultCost()
	}
	if o.Hashes <= 0 {
		o.Hashes = runtime.GOMAXPROCS(0)
	}
	if o.Fresh == 0 {
		o.Fresh = 15 * time.Minute
	}
	if o.Name == "" {
		o.Name = "Passerelle"
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return o
}

// Accounts are those who may sign in, and those who have.
type Accounts struct {
	db         *sqldb.DB
	opt        Options
	now        func() time.Time
	hasher     *hasher
	ceremonies *seal.Box    // nil: no passkeys
	dummy      hash         // of no password: what a name that nobody has is checked against
	swept      atomic.Int64 // Unix microseconds
}

// Account is who may sign in to which instance. The two names are the same text today.
type Account struct {
	Name     string // by which the person signs in
	Instance string // that is theirs
}

// Open opens the accounts in a database, and makes the tables if there are none.
func Open(ctx context.Context, db *sqldb.DB, o Options) (*Accounts, error) {
	o = o.withDefaults()
	if err := o.Cost.check(); err != nil {
		return nil, fmt.Errorf("open the accounts: %w", err)
	}
	tables, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return nil, err
	}
	if err := db.Migrate(ctx, tables, "accounts_version"); err != nil {
		return nil, err
	}
	h := newHasher(o.Cost, o.Hashes)
	a := &Accounts{db: db, opt: o, now: o.Now, hasher: h, dummy: h.dummy()}
	if len(o.Secret) > 0 {
		if a.ceremonies, err = seal.New(o.Secret, "passkeys"); err != nil {
			return nil, fmt.Errorf("open the accounts: %w", err)
		}
	}
	return a, a.Sweep(ctx)
}

// SetPassword sets the password by which the instance of that name is signed in to, and makes the account if there is
// none. Every session ends, and failed attempts are forgotten. The error wraps [ErrInvalid] or [ErrTaken].
func (a *Accounts) SetPassword(ctx context.Context, name, password string) error {
	if err := checkName(name); err != nil {
		return err
	}
	hashed, err := a.newHash(ctx, password)
	if err != nil {
		return err
	}
	err = a.tx(ctx, func(tx *sql.Tx) error { return a.setHash(ctx, tx, name, hashed) })
	if sqldb.IsUnique(err) {
		return fmt.Errorf("an account named %q: %w", name, ErrTaken)
	}
	if err != nil {
		return fmt.Errorf("set the password of %q: %w", name, err)
	}
	return nil
}

// newHash hashes a password that somebody chose.
func (a *Accounts) newHash(ctx context.Context, password string) (hash, error) {
	prepared, err := prepare(password)
	if err != nil {
		return hash{}, err
	}
	return a.hasher.new(ctx, prepared)
}

// setHash writes the account first: whoever signs in by the old password has done so before, and that session ends
// here, or finds another version after.
func (a *Accounts) setHash(ctx context.Context, tx *sql.Tx, name string, hashed hash) error {
	look := lookOf(name)
	_, err := tx.ExecContext(ctx, `
		INSERT INTO accounts_account (name, look, hash, version, created, changed) VALUES ($1, $2, $3, $4, $5, $5)
		ON CONFLICT (name) DO UPDATE SET hash = excluded.hash, version = excluded.version, changed = excluded.changed`,
		name, look, hashed.String(), rand.Text(), a.now().UnixMicro())
	if err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, `DELETE FROM accounts_session WHERE account = $1`, name); err != nil {
		return err
	}
	return forget(ctx, tx, look)
}

// Remove removes the account of that name, if there is one, with its sessions and everything else about it.
func (a *Accounts) Remove(ctx context.Context, name string) error {
	if checkName(name) != nil {
		return nil // nobody has it
	}
	err := a.tx(ctx, func(tx *sql.Tx) error {
		var look string
		err := tx.QueryRowContext(ctx, `DELETE FROM accounts_account WHERE name = $1 RETURNING look`, name).Scan(&look)
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		if err != nil {
			return err
		}
		for _, statement := range []string{
			`DELETE FROM accounts_session WHERE account = $1`,
			`DELETE FROM accounts_passkey WHERE account = $1`,
			`DELETE FROM accounts_code WHERE account = $1`,
			`DELETE FROM accounts_app WHERE account = $1`,
			`DELETE FROM accounts_identity WHERE account = $1`,
		} {
			if _, err := tx.ExecContext(ctx, statement, name); err != nil {
				return err
			}
		}
		return forget(ctx, tx, look)
	})
	if err != nil {
		return fmt.Errorf("remove the account of %q: %w", name, err)
	}
	return nil
}

// Exists reports whether the instance of that name can be signed in to. It is for administrators.
func (a *Accounts) Exists(ctx context.Context, name string) (bool, error) {
	if checkName(name) != nil {
		return false, nil
	}
	var exists bool
	err := a.db.Read.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM accounts_account WHERE name = $1)`, name).Scan(&exists)
	if err != nil {
		return false, fmt.Errorf("look for the account of %q: %w", name, err)
	}
	return exists, nil
}

// sweepEvery is how often signing in removes what is over.
const sweepEvery = 10 * time.Minute

// sweepSometimes keeps the tables small with nobody's help.
func (a *Accounts) sweepSometimes(ctx context.Context) error {
	last, now := a.swept.Load(), a.now().UnixMicro()
	if now-last < sweepEvery.Microseconds() || !a.swept.CompareAndSwap(last, now) {
		return nil
	}
	return a.Sweep(ctx)
}

// Sweep removes sessions and invitations that are over, and failures that do not count any more. Signing in does it now and then, too.
func (a *Accounts) Sweep(ctx context.Context) error {
	now := a.now()
	a.swept.Store(now.UnixMicro())
	err := a.tx(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `DELETE FROM accounts_session WHERE expires <= $1 OR used <= $2`, now.UnixMicro(), now.Add(-a.opt.Idle).UnixMicro())
		if err != nil {
			return err
		}
		for _, table := range []string{"accounts_throttle", "accounts_invitation", "accounts_spent"} {
			if _, err = tx.ExecContext(ctx, `DELETE FROM `+table+` WHERE expires <= $1`, now.UnixMicro()); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("remove what is over: %w", err)
	}
	return nil
}

const maxTries = 5

// tx runs do in a transaction, and again if PostgreSQL gave it up because of another one.
func (a *Accounts) tx(ctx context.Context, do func(*sql.Tx) error) error {
	for try := 1; ; try++ {
		err := a.db.Tx(ctx, do)
		if err == nil || !sqldb.IsConflict(err) || try == maxTries {
			return err
		}
	}
}
