package accounts

import (
	"context"
	"database/sql"
	"fmt"
	"time"
)

// ThrottledError is returned instead of looking at the password at all. It wraps [ErrThrottled].
type ThrottledError struct {
	RetryAfter time.Duration // whole seconds
}

func (e *ThrottledError) Error() string {
	return fmt.Sprintf("%v: try again in %s", ErrThrottled, e.RetryAfter)
}

// Unwrap returns [ErrThrottled].
func (e *ThrottledError) Unwrap() error { return ErrThrottled }

// How many failures cost nothing, within which time they are counted from the first, and what further ones cost.
const (
	freeTogether = 5  // of one name from one address
	freeName     = 20 // of one name, from wherever
	freeSource   = 50 // from one address, by whatever name: a school may have only one address
	freeAccounts = 50 // made from one address

	windowName   = 24 * time.Hour
	windowSource = time.Hour

	firstDelay = time.Second
	maxDelay   = 15 * time.Minute

	// knownFor is how long a name is known at an address from which it signed in.
	knownFor = 30 * 24 * time.Hour
)

// delay is how long nobody may try after so many failures: a second, two, four, … a quarter of an hour.
func delay(failures, free int64) time.Duration {
	over := failures - free
	if over < 0 {
		return 0
	}
	if over > 10 {
		return maxDelay
	}
	return min(firstDelay<<over, maxDelay)
}

// count is one count of failures.
type count struct {
	name, source string // what it is of; "" stands for all
	free         int64
	window       time.Duration

	// As it is stored. Times are Unix microseconds.
	failures, since, until, known int64

	before int64 // what until was before this attempt
}

// attempt is one attempt to sign in. It counts as a failure from before the password is looked at until it has
// succeeded, so that any number of them at a time, on any number of replicas, are counted to the last one, and breaking
// off is of no use.
type attempt struct {
	at     time.Time
	counts []*count
}

// begin counts an attempt, or returns a [ThrottledError] without counting it. It never looks whether there is an account.
func (a *Accounts) begin(ctx context.Context, look, from string) (*attempt, error) {
	source := sourceOf(from)
	// Transactions lock the rows in this order.
	name := &count{name: look, free: freeName, window: windowName}
	address := &count{source: source, free: freeSource, window: windowSource}
	together := &count{name: look, source: source, free: freeTogether, window: windowName}
	return a.attempt(ctx, name, address, together)
}

// beginAccount counts somebody who makes an account, or returns a [ThrottledError]. It is never taken back: whoever makes
// many from one address is slowed down.
func (a *Accounts) beginAccount(ctx context.Context, from string) error {
	_, err := a.attempt(ctx, &count{name: "new accounts", source: sourceOf(from), free: freeAccounts, window: windowSource})
	return err
}

func (a *Accounts) attempt(ctx context.Context, counts ...*count) (*attempt, error) {
	t := &attempt{at: a.now(), counts: counts}
	if err := t.look(ctx, a.db.Read); err != nil {
		return nil, fmt.Errorf("look for failures to sign in: %w", err)
	}
	if counts[len(counts)-1].known > t.at.UnixMicro() {
		t.counts = t.counts[1:] // whoever guesses from elsewhere does not shut the person out
	}
	if err := t.throttled(); err != nil {
		return nil, err // a flood costs no write
	}
	return t, a.tx(ctx, func(tx *sql.Tx) error {
		for _, c := range t.counts {
			if err := c.lock(ctx, tx, t.at); err != nil {
				return fmt.Errorf("count an attempt to sign in: %w", err)
			}
		}
		if err := t.throttled(); err != nil {
			return err
		}
		for _, c := range t.counts {
			if err := c.fail(ctx, tx, t.at); err != nil {
				return fmt.Errorf("count an attempt to sign in: %w", err)
			}
		}
		return nil
	})
}

// look reads the counts that there are, and waits for nobody.
func (t *attempt) look(ctx context.Context, db *sql.DB) error {
	for _, c := range t.counts {
		err := db.QueryRowContext(ctx, `SELECT until, known FROM accounts_throttle WHERE name = $1 AND source = $2`, c.name, c.source).Scan(&c.until, &c.known)
		if err != nil && err != sql.ErrNoRows {
			return err
		}
	}
	return nil
}

func (t *attempt) throttled() error {
	var until int64
	for _, c := range t.counts {
		until = max(until, c.until)
	}
	left := time.UnixMicro(until).Sub(t.at)
	if left <= 0 {
		return nil
	}
	return &ThrottledError{RetryAfter: (left + time.Second - 1).Truncate(time.Second)}
}

// lock reads the row, makes it if there is none, and keeps others from it until the transaction ends.
func (c *count) lock(ctx context.Context, tx *sql.Tx, now time.Time) error {
	return tx.QueryRowContext(ctx, `
		INSERT INTO accounts_throttle (name, source, failures, since, until, known, expires) VALUES ($1, $2, 0, $3, 0, 0, $3)
		ON CONFLICT (name, source) DO UPDATE SET failures = accounts_throttle.failures
		RETURNING failures, since, until, known`,
		c.name, c.source, now.UnixMicro()).Scan(&c.failures, &c.since, &c.until, &c.known)
}

// fail adds a failure to a row that is locked.
func (c *count) fail(ctx context.Context, tx *sql.Tx, now time.Time) error {
	if now.Sub(time.UnixMicro(c.since)) >= c.window {
		c.failures, c.since = 0, now.UnixMicro()
	}
	c.failures++
	c.before = c.until
	if d := delay(c.failures, c.free); d > 0 {
		c.until = now.Add(d).UnixMicro()
	}
	expires := max(time.UnixMicro(c.since).Add(c.window).UnixMicro(), c.until, c.known)
	_, err := tx.ExecContext(ctx, `UPDATE accounts_throttle SET failures = $3, since = $4, until = $5, expires = $6 WHERE name = $1 AND source = $2`,
		c.name, c.source, c.failures, c.since, c.until, expires)
	return err
}

// succeed takes the failure back that the attempt counted as. From that address the name begins anew.
func (t *attempt) succeed(ctx context.Context, tx *sql.Tx) error {
	for _, c := range t.counts {
		var err error
		if c.name != "" && c.source != "" {
			_, err = tx.ExecContext(ctx, `UPDATE accounts_throttle SET failures = 0, until = 0, known = $3, expires = $3 WHERE name = $1 AND source = $2`,
				c.name, c.source, t.at.Add(knownFor).UnixMicro())
		} else {
			// Whoever guesses, and signs in to an account of their own in between, gains nothing.
			_, err = tx.ExecContext(ctx, `
				UPDATE accounts_throttle SET failures = failures - 1, until = CASE WHEN until = $3 THEN $4 ELSE until END
				WHERE name = $1 AND source = $2 AND since = $5 AND failures > 0`,
				c.name, c.source, c.until, c.before, c.since)
		}
		if err != nil {
			return fmt.Errorf("take back a failure to sign in: %w", err)
		}
	}
	return nil
}

// forget removes the failures of a name, and where it is known, in the order in which attempts lock them.
func forget(ctx context.Context, tx *sql.Tx, look string) error {
	for _, statement := range []string{
		`DELETE FROM accounts_throttle WHERE name = $1 AND source = ''`,
		`DELETE FROM accounts_throttle WHERE name = $1`,
	} {
		if _, err := tx.ExecContext(ctx, statement, look); err != nil {
			return err
		}
	}
	return nil
}
