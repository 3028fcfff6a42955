package accounts_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/passerelle-cloud/passerelle/internal/dbtest"
	"github.com/passerelle-cloud/passerelle/internal/sqldb"
	"github.com/passerelle-cloud/passerelle/operators/accounts"
)

const (
	password = "correct horse battery staple"
	wrong    = "incorrect horse battery staple"
	office   = "192.0.2.1"
)

var secret = []byte("0123456789abcdef0123456789abcdef")

// cheap is what tests pay for a hash that need not be a good one.
var cheap = accounts.Cost{Memory: 64, Passes: 1, Threads: 1}

// clock is one that tests move.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *clock { return &clock{now: time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)} }

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

func open(t testing.TB, db *sqldb.DB, o accounts.Options) *accounts.Accounts {
	t.Helper()
	if o.Cost == (accounts.Cost{}) {
		o.Cost = cheap
	}
	a, err := accounts.Open(t.Context(), db, o)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// each runs a test on both databases, with an account of alice's.
func each(t *testing.T, run func(t *testing.T, a *accounts.Accounts, c *clock, db *sqldb.DB)) {
	dbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		c := newClock()
		a := open(t, db, accounts.Options{Now: c.Now, Secret: secret})
		set(t, a, "alice", password)
		run(t, a, c, db)
	})
}

func set(t testing.TB, a *accounts.Accounts, name, password string) {
	t.Helper()
	if err := a.SetPassword(t.Context(), name, password); err != nil {
		t.Fatal(err)
	}
}

// at is who asks from an address.
func at(address string) accounts.Client { return accounts.Client{Address: address, Agent: "Test/1"} }

// signIn signs in, or ends the test.
func signIn(t testing.TB, a *accounts.Accounts, name, password, from string) string {
	t.Helper()
	token, account, err := a.SignIn(t.Context(), name, password, at(from))
	if err != nil {
		t.Fatalf("%s does not sign in: %v", name, err)
	}
	if account.Name == "" || account.Instance != account.Name {
		t.Fatalf("%s signed in as %+v", name, account)
	}
	return token
}

// refuse tries to sign in, and expects that error.
func refuse(t testing.TB, a *accounts.Accounts, name, password, from string, want error) {
	t.Helper()
	token, account, err := a.SignIn(t.Context(), name, password, at(from))
	if !errors.Is(err, want) || token != "" || account != (accounts.Account{}) {
		t.Fatalf("%q signs in: %q, %+v, %v, want %v", name, token, account, err, want)
	}
}

func TestSignIn(t *testing.T) {
	each(t, func(t *testing.T, a *accounts.Accounts, _ *clock, _ *sqldb.DB) {
		session, err := a.Session(t.Context(), signIn(t, a, "alice", password, office))
		if err != nil || session.Account != (accounts.Account{Name: "alice", Instance: "alice"}) {
			t.Fatalf("%+v, %v", session, err)
		}
		for _, typed := range []string{"Alice", " alice ", "ALICE", "ａｌｉｃｅ"} {
			signIn(t, a, typed, password, office)
		}
		refuse(t, a, "alicia", password, office, accounts.ErrCredentials)
		refuse(t, a, "alice", password+" ", office, accounts.ErrCredentials)
	})
}

func TestTheSamePasswordOnAnotherKeyboard(t *testing.T) {
	each(t, func(t *testing.T, a *accounts.Accounts, _ *clock, _ *sqldb.DB) {
		set(t, a, "zoé", "pâte à crêpes")
		for _, typed := range []string{"pâte à crêpes", "pa\u0302te a\u0300 cre\u0302pes", "pâte\u00a0à\u3000crêpes"} {
			signIn(t, a, "zoe\u0301", typed, office)
		}
		refuse(t, a, "zoé", "Pâte à crêpes", office, accounts.ErrCredentials)
	})
}

func TestWhatAnAccountCannotHave(t *testing.T) {
	each(t, func(t *testing.T, a *accounts.Accounts, _ *clock, _ *sqldb.DB) {
		for name, err := range map[string]error{
			"":                        a.SetPassword(t.Context(), "", password),
			"NUL in a name":           a.SetPassword(t.Context(), "a\x00", password),
			"bad UTF-8 in a name":     a.SetPassword(t.Context(), "a\xff", password),
			"a long name":             a.SetPassword(t.Context(), strings.Repeat("a", 513), password),
			"7 bytes":                 a.SetPassword(t.Context(), "zoe", "1234567"),
			"no password":             a.SetPassword(t.Context(), "zoe", ""),
			"1025 bytes":              a.SetPassword(t.Context(), "zoe", strings.Repeat("a", 1025)),
			"NUL in a password":       a.SetPassword(t.Context(), "zoe", "12345678\x00"),
			"a line end":              a.SetPassword(t.Context(), "zoe", "12345678\n"),
			"bad UTF-8":               a.SetPassword(t.Context(), "zoe", "12345678\xff"),
			"short when normalised":   a.SetPassword(t.Context(), "zoe", "\u3000\u3000\u3000"),
			"short when it is in NFC": a.SetPassword(t.Context(), "zoe", "e\u0301e\u0301e\u0301"),
		} {
			if !errors.Is(err, accounts.ErrInvalid) {
				t.Errorf("%s: %v", name, err)
			}
		}
		if exists, err := a.Exists(t.Context(), "zoe"); exists || err != nil {
			t.Errorf("there is an account: %v", err)
		}
		for _, good := range []string{"12345678", strings.Repeat("a", 1024), "пароль", "🙂🙂"} {
			set(t, a, "zoe", good)
			signIn(t, a, "zoe", good, office)
		}
	})
}

func TestNamesThatLookTheSame(t *testing.T) {
	each(t, func(t *testing.T, a *accounts.Accounts, _ *clock, _ *sqldb.DB) {
		if err := a.SetPassword(t.Context(), "Alice", wrong); !errors.Is(err, accounts.ErrTaken) {
			t.Fatalf("a second alice: %v", err)
		}
		if err := a.Remove(t.Context(), "Alice"); err != nil {
			t.Fatal(err)
		}
		signIn(t, a, "alice", password, office)
	})
}

// TestNobodyLearnsWhoHasAnAccount compares every way to be refused: the same error, and the same work.
func TestNobodyLearnsWhoHasAnAccount(t *testing.T) {
	each(t, func(t *testing.T, a *accounts.Accounts, _ *clock, _ *sqldb.DB) {
		set(t, a, "gone", password)
		if err := a.Remove(t.Context(), "gone"); err != nil {
			t.Fatal(err)
		}
		var hashes []accounts.Cost
		a.OnHash(func(c accounts.Cost, compute func()) { hashes = append(hashes, c); compute() })
		for what, attempt := range map[string][2]string{
			"a wrong password":     {"alice", wrong},
			"no password":          {"alice", ""},
			"no possible password": {"alice", "\x00\xff"},
			"a huge password":      {"alice", strings.Repeat("a", 1<<20)},
			"an unknown name":      {"bob", password},
			"both":                 {"carol", ""},
			"a name that was":      {"gone", password},
			"no name":              {"", password},
			"no possible name":     {"\x00\xff", password},
			"a huge name":          {strings.Repeat("a", 1<<20), password},
		} {
			hashes = nil
			_, _, err := a.SignIn(t.Context(), attempt[0], attempt[1], at(what))
			if err != accounts.ErrCredentials {
				t.Errorf("%s: %v", what, err)
			}
			if !slices.Equal(hashes, []accounts.Cost{cheap}) {
				t.Errorf("%s: hashes %v", what, hashes)
			}
		}
	})
}

func TestWeakHashesAreRenewed(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		c := newClock()
		set(t, open(t, db, accounts.Options{Now: c.Now}), "alice", password)
		before := storedHash(t, db)
		better := accounts.Cost{Memory: 128, Passes: 2, Threads: 1}
		a := open(t, db, accounts.Options{Now: c.Now, Cost: better})
		refuse(t, a, "alice", wrong, office, accounts.ErrCredentials)
		if storedHash(t, db) != before {
			t.Fatal("a wrong password renews the hash")
		}
		first := signIn(t, a, "alice", password, office)
		renewed := storedHash(t, db)
		if !strings.Contains(renewed, "$m=128,t=2,p=1$") {
			t.Fatalf("the hash is %s", renewed)
		}
		signIn(t, a, "alice", password, office)
		signIn(t, open(t, db, accounts.Options{Now: c.Now}), "alice", password, office) // a replica that is not up to date
		if storedHash(t, db) != renewed {
			t.Error("it is renewed again")
		}
		if _, err := a.Session(t.Context(), first); err != nil {
			t.Errorf("a session ended by that: %v", err)
		}
	})
}

func storedHash(t testing.TB, db *sqldb.DB) (text string) {
	t.Helper()
	if err := db.Read.QueryRow(`SELECT hash FROM accounts_account WHERE name = $1`, "alice").Scan(&text); err != nil {
		t.Fatal(err)
	}
	return text
}

// TestWhatChangesMeanwhile changes the account while a password that was right is being checked.
func TestWhatChangesMeanwhile(t *testing.T) {
	for what, change := range map[string]func(context.Context, *accounts.Accounts) error{
		"password": func(ctx context.Context, a *accounts.Accounts) error { return a.SetPassword(ctx, "alice", wrong) },
		"removed":  func(ctx context.Context, a *accounts.Accounts) error { return a.Remove(ctx, "alice") },
		"another's": func(ctx context.Context, a *accounts.Accounts) error {
			return errors.Join(a.Remove(ctx, "alice"), a.SetPassword(ctx, "alice", wrong))
		},
	} {
		t.Run(what, func(t *testing.T) {
			each(t, func(t *testing.T, a *accounts.Accounts, c *clock, db *sqldb.DB) {
				admin := open(t, db, accounts.Options{Now: c.Now})
				var once sync.Once
				a.OnHash(func(_ accounts.Cost, compute func()) {
					compute()
					once.Do(func() {
						if err := change(t.Context(), admin); err != nil {
							t.Error(err)
						}
					})
				})
				refuse(t, a, "alice", password, office, accounts.ErrCredentials)
				if list, err := a.Sessions(t.Context(), "alice"); err != nil || len(list) != 0 {
					t.Errorf("%d sessions, %v", len(list), err)
				}
			})
		})
	}
}

// TestManyOfOnePersonAtATime signs in by an old hash that all of them renew.
func TestManyOfOnePersonAtATime(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		set(t, open(t, db, accounts.Options{}), "alice", password)
		a := open(t, db, accounts.Options{Cost: accounts.Cost{Memory: 128, Passes: 1, Threads: 1}})
		var all sync.WaitGroup
		for range accounts.FreeTogether - 1 {
			all.Go(func() {
				if _, _, err := a.SignIn(t.Context(), "alice", password, at(office)); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		if list, err := a.Sessions(t.Context(), "alice"); err != nil || len(list) != accounts.FreeTogether-1 {
			t.Errorf("%d sessions, %v", len(list), err)
		}
	})
}

func TestRemove(t *testing.T) {
	each(t, func(t *testing.T, a *accounts.Accounts, _ *clock, db *sqldb.DB) {
		token := signIn(t, a, "alice", password, office)
		for range 2 {
			if err := a.Remove(t.Context(), "alice"); err != nil {
				t.Fatal(err)
			}
		}
		if exists, err := a.Exists(t.Context(), "alice"); exists || err != nil {
			t.Errorf("it exists: %v", err)
		}
		if _, err := a.Session(t.Context(), token); !errors.Is(err, accounts.ErrNoSession) {
			t.Errorf("the session lasts: %v", err)
		}
		if n := rows(t, db, `accounts_account`) + rows(t, db, `accounts_session`) + rows(t, db, `accounts_throttle WHERE name <> ''`); n != 0 {
			t.Errorf("%d rows stay", n)
		}
		refuse(t, a, "alice", password, office, accounts.ErrCredentials)
	})
}

func rows(t testing.TB, db *sqldb.DB, from string) (n int) {
	t.Helper()
	if err := db.Read.QueryRow(`SELECT count(*) FROM ` + from).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestADamagedHashIsNoWrongPassword(t *testing.T) {
	each(t, func(t *testing.T, a *accounts.Accounts, _ *clock, db *sqldb.DB) {
		if _, err := db.Write.Exec(`UPDATE accounts_account SET hash = '$argon2id$'`); err != nil {
			t.Fatal(err)
		}
		if _, _, err := a.SignIn(t.Context(), "alice", password, at(office)); err == nil || errors.Is(err, accounts.ErrCredentials) {
			t.Errorf("%v", err)
		}
	})
}

func TestOpenRefusesACostThatIsNone(t *testing.T) {
	for _, c := range []accounts.Cost{{Memory: 64, Passes: 1}, {Memory: 7, Passes: 1, Threads: 1}, {Memory: 64, Threads: 1}, {Memory: 1 << 30, Passes: 1, Threads: 1}} {
		if _, err := accounts.Open(t.Context(), dbtest.SQLite(t), accounts.Options{Cost: c}); err == nil {
			t.Errorf("%s is taken", c)
		}
	}
}
