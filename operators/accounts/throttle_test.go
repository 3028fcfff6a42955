package accounts_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/passerelle-cloud/passerelle/internal/dbtest"
	"github.com/passerelle-cloud/passerelle/internal/sqldb"
	"github.com/passerelle-cloud/passerelle/operators/accounts"
)

// throttled tries to sign in by the right password, and returns how long to wait.
func throttled(t testing.TB, a *accounts.Accounts, name, from string) time.Duration {
	t.Helper()
	_, _, err := a.SignIn(t.Context(), name, password, at(from))
	var e *accounts.ThrottledError
	if !errors.Is(err, accounts.ErrThrottled) || !errors.As(err, &e) {
		t.Fatalf("%s from %s is not throttled: %v", name, from, err)
	}
	return e.RetryAfter
}

func guess(t testing.TB, a *accounts.Accounts, name, from string) {
	t.Helper()
	refuse(t, a, name, wrong, from, accounts.ErrCredentials)
}

// address is another one for every number.
func address(n int) string { return fmt.Sprintf("198.51.%d.%d", 100+n/250, n%250) }

// TestDelaysGrow holds known and unknown names to the very same delays.
func TestDelaysGrow(t *testing.T) {
	for _, name := range []string{"alice", "nobody"} {
		t.Run(name, func(t *testing.T) {
			each(t, func(t *testing.T, a *accounts.Accounts, c *clock, _ *sqldb.DB) {
				for range accounts.FreeTogether - 1 {
					guess(t, a, name, office)
				}
				want := time.Second
				for range 14 {
					guess(t, a, name, office)
					for range 3 { // to ask again makes it no longer
						if got := throttled(t, a, name, office); got != want {
							t.Fatalf("wait %v, want %v", got, want)
						}
					}
					c.pass(want - time.Millisecond)
					if got := throttled(t, a, name, office); got != time.Second {
						t.Fatalf("wait %v at the end", got)
					}
					c.pass(time.Millisecond)
					want = min(2*want, accounts.MaxDelay)
				}
				if want != accounts.MaxDelay {
					t.Errorf("the last delay is %v", want)
				}
			})
		})
	}
}

func TestAThrottledAttemptCostsNoHash(t *testing.T) {
	each(t, func(t *testing.T, a *accounts.Accounts, _ *clock, _ *sqldb.DB) {
		for range accounts.FreeTogether {
			guess(t, a, "alice", office)
		}
		a.OnHash(func(accounts.Cost, func()) { t.Error("a hash") })
		throttled(t, a, "alice", office)
	})
}

func TestThePersonSignsInElsewhere(t *testing.T) {
	each(t, func(t *testing.T, a *accounts.Accounts, c *clock, _ *sqldb.DB) {
		token := signIn(t, a, "alice", password, "2001:db8::1")
		for range accounts.FreeTogether {
			guess(t, a, "alice", office)
		}
		throttled(t, a, "alice", office)
		throttled(t, a, "alice", "[::ffff:192.0.2.1]:4711")
		signIn(t, a, "alice", password, "192.0.2.2")
		if _, err := a.Session(t.Context(), token); err != nil {
			t.Errorf("who is signed in is throttled: %v", err)
		}
		c.pass(time.Second)
		signIn(t, a, "alice", password, office)
		for range accounts.FreeTogether - 1 { // the count begins anew
			guess(t, a, "alice", office)
		}
		signIn(t, a, "alice", password, office)
	})
}

// TestManyAddressesGuess shuts out whoever comes from a new address, but not the person at home.
func TestManyAddressesGuess(t *testing.T) {
	for _, name := range []string{"alice", "nobody"} {
		t.Run(name, func(t *testing.T) {
			each(t, func(t *testing.T, a *accounts.Accounts, c *clock, _ *sqldb.DB) {
				if name == "alice" {
					signIn(t, a, name, password, office)
				}
				for n := range accounts.FreeName {
					guess(t, a, name, address(n))
				}
				for n := range 12 {
					c.pass(throttled(t, a, name, address(1000)))
					guess(t, a, name, address(500+n))
				}
				if got := throttled(t, a, name, address(1000)); got != accounts.MaxDelay {
					t.Errorf("wait %v", got)
				}
				if name != "alice" {
					return
				}
				signIn(t, a, name, password, office)
				if got := throttled(t, a, name, address(1000)); got != accounts.MaxDelay {
					t.Errorf("the person signed in, and the others wait %v", got)
				}
				c.pass(accounts.WindowName)
				guess(t, a, name, address(1000))
				signIn(t, a, name, password, address(1000)) // it is over
			})
		})
	}
}

// TestOneAddressGuessesManyNames lets others sign in there now and then, and whoever does gains nothing by it.
func TestOneAddressGuessesManyNames(t *testing.T) {
	each(t, func(t *testing.T, a *accounts.Accounts, c *clock, _ *sqldb.DB) {
		for n := range accounts.FreeSource - 1 {
			guess(t, a, fmt.Sprint("name", n), office)
			signIn(t, a, "alice", password, office)
		}
		for n := range 5 {
			guess(t, a, fmt.Sprint("other", n), office)
			if got, want := throttled(t, a, "alice", office), time.Second<<n; got != want {
				t.Fatalf("wait %v, want %v", got, want)
			}
			c.pass(time.Second << n)
			signIn(t, a, "alice", password, office)
			signIn(t, a, "alice", password, office) // as soon as it is allowed, as often as one likes
		}
		signIn(t, a, "alice", password, "192.0.2.2")
	})
}

func TestAdministratorsForgetFailures(t *testing.T) {
	each(t, func(t *testing.T, a *accounts.Accounts, _ *clock, _ *sqldb.DB) {
		for range accounts.FreeTogether {
			guess(t, a, "alice", office)
		}
		set(t, a, "alice", password)
		signIn(t, a, "alice", password, office)
	})
}

// TestFailuresStopCounting also while their rows are still there.
func TestFailuresStopCounting(t *testing.T) {
	each(t, func(t *testing.T, a *accounts.Accounts, c *clock, db *sqldb.DB) {
		for range accounts.FreeTogether - 1 {
			guess(t, a, "alice", office)
		}
		c.pass(accounts.WindowName - time.Second)
		guess(t, a, "nobody", "192.0.2.2") // sweeps
		c.pass(time.Second)
		if n := rows(t, db, `accounts_throttle WHERE name = '`+accounts.LookOf("alice")+`'`); n != 2 {
			t.Fatalf("%d rows", n)
		}
		for range accounts.FreeTogether - 1 {
			guess(t, a, "alice", office)
		}
		signIn(t, a, "alice", password, office)
	})
}

// TestBreakingOffCounts guesses without waiting for the answer.
func TestBreakingOffCounts(t *testing.T) {
	each(t, func(t *testing.T, a *accounts.Accounts, _ *clock, _ *sqldb.DB) {
		for range accounts.FreeTogether {
			ctx, cancel := context.WithCancel(t.Context())
			a.OnHash(func(_ accounts.Cost, compute func()) { cancel(); compute() })
			if _, _, err := a.SignIn(ctx, "alice", wrong, at(office)); err == nil {
				t.Fatal("signed in")
			}
		}
		throttled(t, a, "alice", office)
	})
}

// TestNoGuessIsLost guesses at a time on several handles, as replicas do: exactly so many passwords are looked at.
func TestNoGuessIsLost(t *testing.T) {
	for engine, where := range map[string]func(*testing.T) string{
		"sqlite":   func(t *testing.T) string { return filepath.Join(t.TempDir(), "test.db") },
		"postgres": func(t *testing.T) string { return dbtest.PostgresURL(t) },
	} {
		t.Run(engine, func(t *testing.T) {
			where, c := where(t), newClock()
			var replicas []*accounts.Accounts
			var hashes atomic.Int64
			for range 3 {
				db, err := sqldb.Open(t.Context(), where)
				if err != nil {
					t.Fatal(err)
				}
				defer db.Close()
				a := open(t, db, accounts.Options{Now: c.Now})
				a.OnHash(func(_ accounts.Cost, compute func()) { hashes.Add(1); compute() })
				replicas = append(replicas, a)
			}
			for _, try := range []struct {
				name, from func(n int) string
				want       int64
			}{
				{func(int) string { return "one" }, func(int) string { return office }, accounts.FreeTogether},
				{func(int) string { return "two" }, address, accounts.FreeName},
				{func(n int) string { return fmt.Sprint("name", n) }, func(int) string { return "192.0.2.3" }, accounts.FreeSource},
			} {
				hashes.Store(0)
				var all sync.WaitGroup
				for n := range 2 * accounts.FreeSource {
					all.Go(func() {
						_, _, err := replicas[n%len(replicas)].SignIn(t.Context(), try.name(n), wrong, at(try.from(n)))
						if !errors.Is(err, accounts.ErrCredentials) && !errors.Is(err, accounts.ErrThrottled) {
							t.Error(err)
						}
					})
				}
				all.Wait()
				if got := hashes.Load(); got != try.want {
					t.Errorf("%d passwords were looked at, want %d", got, try.want)
				}
			}
		})
	}
}

func TestWhatCountsAsOneAddress(t *testing.T) {
	for _, same := range [][]string{
		{"192.0.2.1", "192.0.2.1:80", "::ffff:192.0.2.1", "[::ffff:192.0.2.1]:80", " 192.0.2.1"},
		{"2001:db8::1", "2001:db8::2", "[2001:db8:0:0:ffff::1]:80", "2001:db8::1%eth0"},
		{"2001:db8:0:1::1"},
		{"192.0.2.2"},
		{""},
		{"@"},
	} {
		for _, other := range same {
			if accounts.SourceOf(other) != accounts.SourceOf(same[0]) {
				t.Errorf("%s and %s are two", other, same[0])
			}
		}
	}
	seen := map[string]string{}
	for _, one := range []string{"192.0.2.1", "192.0.2.2", "2001:db8::1", "2001:db8:0:1::1", "", "@"} {
		if before, ok := seen[accounts.SourceOf(one)]; ok {
			t.Errorf("%q and %q are one", one, before)
		}
		seen[accounts.SourceOf(one)] = one
	}
	if accounts.LookOf("a") == accounts.SourceOf("a") {
		t.Error("a name is an address")
	}
}
