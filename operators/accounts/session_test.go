package accounts_test

import (
	"encoding/base64"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/passerelle-cloud/passerelle/internal/dbtest"
	"github.com/passerelle-cloud/passerelle/internal/sqldb"
	"github.com/passerelle-cloud/passerelle/operators/accounts"
)

// over expects that a token is nobody's, or nobody's any more.
func over(t testing.TB, a *accounts.Accounts, token string) {
	t.Helper()
	if s, err := a.Session(t.Context(), token); !errors.Is(err, accounts.ErrNoSession) || s != (accounts.Session{}) {
		t.Errorf("the session is %+v, %v", s, err)
	}
}

func lasts(t testing.TB, a *accounts.Accounts, token string) accounts.Session {
	t.Helper()
	s, err := a.Session(t.Context(), token)
	if err != nil {
		t.Fatalf("the session is over: %v", err)
	}
	return s
}

func TestATokenIsNew(t *testing.T) {
	each(t, func(t *testing.T, a *accounts.Accounts, c *clock, db *sqldb.DB) {
		seen := map[string]bool{}
		for range 10 {
			token := signIn(t, a, "alice", password, office)
			if raw, err := base64.RawURLEncoding.DecodeString(token); err != nil || len(raw) != 32 || seen[token] {
				t.Fatalf("the token %q: %v", token, err)
			}
			if n := rows(t, db, `accounts_session WHERE hash = '`+token+`'`); n != 0 {
				t.Fatal("the token itself is stored")
			}
			seen[token] = true
		}
		for _, token := range []string{"", "x", "\x00\xff", strings.Repeat("a", 43), strings.Repeat("a", 1<<20)} {
			over(t, a, token)
		}
		for token := range seen {
			s := lasts(t, a, token)
			if !s.Created.Equal(c.Now()) || !s.Authenticated.Equal(c.Now()) || !s.Expires.Equal(c.Now().Add(12*time.Hour)) {
				t.Fatalf("%+v", s)
			}
			if err := a.End(t.Context(), token); err != nil {
				t.Fatal(err)
			}
			over(t, a, token)
		}
	})
}

func TestSessionsEnd(t *testing.T) {
	for _, test := range []struct {
		name    string
		options accounts.Options
		every   time.Duration // it is used
		want    time.Duration // it lasts
	}{
		{"idle", accounts.Options{}, 2 * time.Hour, time.Hour},
		{"busy", accounts.Options{}, 59 * time.Minute, 12 * time.Hour},
		{"idle for a while", accounts.Options{Idle: 3 * time.Minute}, 4 * time.Minute, 3 * time.Minute},
		{"busy for a while", accounts.Options{Idle: 3 * time.Minute, Lifetime: 10 * time.Minute}, 2 * time.Minute, 10 * time.Minute},
		{"busy every second", accounts.Options{Idle: 30 * time.Second, Lifetime: 5 * time.Minute}, time.Second, 5 * time.Minute},
	} {
		t.Run(test.name, func(t *testing.T) {
			dbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
				c := newClock()
				test.options.Now = c.Now
				a := open(t, db, test.options)
				set(t, a, "alice", password)
				token := signIn(t, a, "alice", password, office)
				passed := time.Duration(0)
				for passed+test.every < test.want {
					c.pass(test.every)
					passed += test.every
					lasts(t, a, token)
				}
				c.pass(test.want - passed - time.Millisecond)
				if list, err := a.Sessions(t.Context(), "alice"); err != nil || len(list) != 1 {
					t.Fatalf("%d sessions, %v", len(list), err)
				}
				c.pass(time.Millisecond)
				over(t, a, token)
				if list, err := a.Sessions(t.Context(), "alice"); err != nil || len(list) != 0 {
					t.Fatalf("%d sessions, %v", len(list), err)
				}
			})
		})
	}
}

// TestUseIsWrittenOnceAMinute looks at what is stored.
func TestUseIsWrittenOnceAMinute(t *testing.T) {
	each(t, func(t *testing.T, a *accounts.Accounts, c *clock, db *sqldb.DB) {
		token := signIn(t, a, "alice", password, office)
		written, last := 0, int64(0)
		for range 60 {
			c.pass(10 * time.Second)
			lasts(t, a, token)
			var used int64
			if err := db.Read.QueryRow(`SELECT used FROM accounts_session`).Scan(&used); err != nil {
				t.Fatal(err)
			}
			if last != 0 && used != last {
				written++
			}
			last = used
		}
		if written != 10 {
			t.Errorf("written %d times in 10 minutes", written)
		}
	})
}

func TestEndAll(t *testing.T) {
	each(t, func(t *testing.T, a *accounts.Accounts, c *clock, _ *sqldb.DB) {
		set(t, a, "zoe", password)
		first := signIn(t, a, "alice", password, office)
		c.pass(time.Minute)
		second := signIn(t, a, "alice", password, office)
		other := signIn(t, a, "zoe", password, office)
		list, err := a.Sessions(t.Context(), "alice")
		if err != nil || len(list) != 2 || list[0] != lasts(t, a, second) || !list[1].Created.Before(list[0].Created) {
			t.Fatalf("%+v, %v", list, err)
		}
		if err := a.EndAll(t.Context(), "alice"); err != nil {
			t.Fatal(err)
		}
		over(t, a, first)
		over(t, a, second)
		lasts(t, a, other)
	})
}

func TestChangePassword(t *testing.T) {
	each(t, func(t *testing.T, a *accounts.Accounts, c *clock, _ *sqldb.DB) {
		const better = "a better password"
		mine, elsewhere := signIn(t, a, "alice", password, office), signIn(t, a, "alice", password, "192.0.2.2")
		for _, refused := range []struct {
			token, old, password string
			want                 error
		}{
			{"x", password, better, accounts.ErrNoSession},
			{mine, wrong, better, accounts.ErrCredentials},
			{mine, password, "short", accounts.ErrInvalid},
		} {
			if _, err := a.ChangePassword(t.Context(), refused.token, refused.old, refused.password, at(office)); !errors.Is(err, refused.want) {
				t.Errorf("%v, want %v", err, refused.want)
			}
		}
		lasts(t, a, mine)
		c.pass(time.Minute)
		fresh, err := a.ChangePassword(t.Context(), mine, password, better, at(office))
		if err != nil {
			t.Fatal(err)
		}
		over(t, a, mine)
		over(t, a, elsewhere)
		if s := lasts(t, a, fresh); !s.Authenticated.Equal(c.Now()) {
			t.Errorf("%+v", s)
		}
		refuse(t, a, "alice", password, office, accounts.ErrCredentials)
		signIn(t, a, "alice", better, office)
	})
}

// TestAStolenSessionDoesNotHelpToGuess counts guesses at the old password as it does those at the door.
func TestAStolenSessionDoesNotHelpToGuess(t *testing.T) {
	each(t, func(t *testing.T, a *accounts.Accounts, _ *clock, _ *sqldb.DB) {
		token := signIn(t, a, "alice", password, office)
		for range accounts.FreeTogether {
			if _, err := a.ChangePassword(t.Context(), token, wrong, password, at(office)); !errors.Is(err, accounts.ErrCredentials) {
				t.Fatal(err)
			}
		}
		if _, err := a.ChangePassword(t.Context(), token, password, password, at(office)); !errors.Is(err, accounts.ErrThrottled) {
			t.Fatal(err)
		}
		throttled(t, a, "alice", office)
	})
}

func TestAdministratorsEndSessions(t *testing.T) {
	each(t, func(t *testing.T, a *accounts.Accounts, _ *clock, _ *sqldb.DB) {
		token := signIn(t, a, "alice", password, office)
		set(t, a, "alice", password)
		over(t, a, token)
	})
}

func TestSweep(t *testing.T) {
	each(t, func(t *testing.T, a *accounts.Accounts, c *clock, db *sqldb.DB) {
		signIn(t, a, "alice", password, office)
		for n := range 10 {
			guess(t, a, "nobody", address(n))
		}
		c.pass(accounts.WindowName)
		set(t, a, "alice", password) // forgets where she is known
		kept := signIn(t, a, "alice", password, "192.0.2.9")
		// The last sign-in has swept. What is left is its own: a session, a name, an address, both together.
		if s, n := rows(t, db, `accounts_session`), rows(t, db, `accounts_throttle`); s != 1 || n != 3 {
			t.Errorf("%d sessions and %d counts are left", s, n)
		}
		c.pass(time.Hour - time.Second)
		if err := a.Sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
		lasts(t, a, kept)
		c.pass(31 * 24 * time.Hour)
		if err := a.Sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
		if n := rows(t, db, `accounts_session`) + rows(t, db, `accounts_throttle`); n != 0 {
			t.Errorf("%d rows are left", n)
		}
	})
}
