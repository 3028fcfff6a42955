package accounts_test

import (
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"filippo.io/age"

	"github.com/passerelle-cloud/passerelle/internal/sqldb"
	"github.com/passerelle-cloud/passerelle/operators/accounts"
)

const issuer = "https://sso.city.example"

func invite(t testing.TB, a *accounts.Accounts, name string) string {
	t.Helper()
	return must[string](t)(a.Invite(t.Context(), name, time.Hour))
}

func register(t testing.TB, a *accounts.Accounts, r accounts.Registration) (string, error) {
	t.Helper()
	token, _, err := a.Register(t.Context(), r, at(office))
	return token, err
}

func TestInvitations(t *testing.T) {
	each(t, func(t *testing.T, a *accounts.Accounts, c *clock, db *sqldb.DB) {
		first := invite(t, a, "carol")
		code := invite(t, a, "carol")
		anybody := invite(t, a, "")
		if name, err := a.Invitation(t.Context(), code); name != "carol" || err != nil {
			t.Error(name, err)
		}
		for what, r := range map[string]accounts.Registration{
			"a newer one was made": {Name: "carol", Password: password, Invitation: first},
			"for somebody else":    {Name: "dave", Password: password, Invitation: code},
			"made up":              {Name: "dave", Password: password, Invitation: "x"},
		} {
			if _, err := register(t, a, r); !errors.Is(err, accounts.ErrNoInvitation) {
				t.Errorf("%s: %v", what, err)
			}
		}
		token, err := register(t, a, accounts.Registration{Name: "carol", Password: password, Invitation: code})
		if err != nil {
			t.Fatal(err)
		}
		if s := lasts(t, a, token); s.Account.Instance != "carol" || s.Method != accounts.ByPassword {
			t.Errorf("%+v", s)
		}
		if _, err := a.Invitation(t.Context(), code); !errors.Is(err, accounts.ErrNoInvitation) {
			t.Errorf("it can be used twice: %v", err)
		}
		if _, err := a.Invite(t.Context(), "carol", time.Hour); !errors.Is(err, accounts.ErrTaken) {
			t.Errorf("who has an account is invited: %v", err)
		}
		// A name that is taken uses nothing up.
		if _, err := register(t, a, accounts.Registration{Name: "Carol", Password: password, Invitation: anybody}); !errors.Is(err, accounts.ErrTaken) {
			t.Error(err)
		}
		if _, err := register(t, a, accounts.Registration{Name: "dave", Password: "short", Invitation: anybody}); !errors.Is(err, accounts.ErrInvalid) {
			t.Error(err)
		}
		c.pass(time.Hour)
		if _, err := register(t, a, accounts.Registration{Name: "dave", Password: password, Invitation: anybody}); !errors.Is(err, accounts.ErrNoInvitation) {
			t.Errorf("it is too old: %v", err)
		}
		if n := rows(t, db, `accounts_account`); n != 2 {
			t.Errorf("%d accounts", n)
		}
	})
}

// TestOneInvitationOneAccount: many use the same link at once, and one of them gets an account.
func TestOneInvitationOneAccount(t *testing.T) {
	each(t, func(t *testing.T, a *accounts.Accounts, c *clock, db *sqldb.DB) {
		code := invite(t, a, "")
		var all sync.WaitGroup
		for n := range 6 {
			all.Go(func() {
				_, err := register(t, a, accounts.Registration{Name: "person-" + string(rune('a'+n)), Password: password, Invitation: code})
				if err != nil && !errors.Is(err, accounts.ErrNoInvitation) {
					t.Error(err)
				}
			})
		}
		all.Wait()
		if n := rows(t, db, `accounts_account`); n != 2 {
			t.Errorf("%d accounts of one invitation", n-1)
		}
	})
}

func TestManyAccountsFromOneAddress(t *testing.T) {
	each(t, func(t *testing.T, a *accounts.Accounts, c *clock, db *sqldb.DB) {
		var throttled error
		for n := range 60 {
			_, err := register(t, a, accounts.Registration{Name: strings.Repeat("x", n+1), Password: password})
			if err != nil {
				throttled = err
				break
			}
		}
		if !errors.Is(throttled, accounts.ErrThrottled) {
			t.Errorf("sixty accounts were made: %v", throttled)
		}
		if _, _, err := a.Register(t.Context(), accounts.Registration{Name: "carol", Password: password}, at("203.0.113.9")); err != nil {
			t.Errorf("somebody else is slowed down, too: %v", err)
		}
	})
}

func TestRecoveryCodes(t *testing.T) {
	each(t, func(t *testing.T, a *accounts.Accounts, c *clock, db *sqldb.DB) {
		mine := signIn(t, a, "alice", password, office)
		older := must[[]string](t)(a.NewRecoveryCodes(t.Context(), mine))
		codes := must[[]string](t)(a.NewRecoveryCodes(t.Context(), mine))
		seen := map[string]bool{}
		for _, code := range codes {
			if len(code) != 19 || seen[code] || rows(t, db, `accounts_code WHERE hash = '`+code+`'`) != 0 {
				t.Errorf("the code %q", code)
			}
			seen[code] = true
		}
		for name, try := range map[string][2]string{
			"an older one": {"alice", older[0]}, "nobody's": {"nobody", codes[0]}, "made up": {"alice", "0000-0000-0000-0000"}, "none": {"alice", ""}, "no name": {"", codes[0]},
		} {
			if _, _, err := a.Recover(t.Context(), try[0], try[1], at(office)); !errors.Is(err, accounts.ErrCredentials) {
				t.Errorf("%s: %v", name, err)
			}
		}
		typed := " " + strings.ToLower(strings.ReplaceAll(strings.ReplaceAll(codes[0], "-", " "), "0", "o"))
		token, account, err := a.Recover(t.Context(), "ALICE", typed, at(office))
		if err != nil || account.Instance != "alice" {
			t.Fatalf("%q: %v", typed, err)
		}
		over(t, a, mine)
		if s := lasts(t, a, token); s.Method != accounts.ByRecovery {
			t.Errorf("%+v", s)
		}
		if _, _, err := a.Recover(t.Context(), "alice", codes[0], at(office)); !errors.Is(err, accounts.ErrCredentials) {
			t.Errorf("a code works twice: %v", err)
		}
		if left, err := a.RecoveryCodes(t.Context(), "alice"); left != 9 || err != nil {
			t.Error(left, err)
		}
		if _, err := a.ResetPassword(t.Context(), token, "another good password", at(office)); err != nil {
			t.Errorf("who is back cannot set a password: %v", err)
		}
		c.pass(time.Hour)
	})
}

func TestGuessingRecoveryCodes(t *testing.T) {
	each(t, func(t *testing.T, a *accounts.Accounts, c *clock, db *sqldb.DB) {
		var err error
		for range accounts.FreeTogether + 2 {
			_, _, err = a.Recover(t.Context(), "alice", "0000-0000-0000-0000", at(office))
		}
		if !errors.Is(err, accounts.ErrThrottled) {
			t.Errorf("%v", err)
		}
		// Passwords and codes are guessed against one count.
		if _, _, err := a.SignIn(t.Context(), "alice", password, at(office)); !errors.Is(err, accounts.ErrThrottled) {
			t.Errorf("%v", err)
		}
	})
}

func TestRecoveryKey(t *testing.T) {
	each(t, func(t *testing.T, a *accounts.Accounts, c *clock, db *sqldb.DB) {
		key := must[*age.X25519Identity](t)(age.GenerateX25519Identity())
		for _, bad := range []string{"x", key.String(), key.Recipient().String()[:20], "age1" + strings.Repeat("q", 58), "ssh-ed25519 AAAA"} {
			if err := a.SetRecoveryKey(t.Context(), "alice", bad); !errors.Is(err, accounts.ErrInvalid) {
				t.Errorf("%q: %v", bad, err)
			}
		}
		for _, good := range []string{key.Recipient().String(), ""} {
			if err := a.SetRecoveryKey(t.Context(), "alice", good); err != nil {
				t.Fatal(err)
			}
			if got, err := a.RecoveryKey(t.Context(), "alice"); got != good || err != nil {
				t.Error(got, err)
			}
		}
	})
}

func TestIdentities(t *testing.T) {
	each(t, func(t *testing.T, a *accounts.Accounts, c *clock, db *sqldb.DB) {
		if _, _, err := a.SignInIdentity(t.Context(), issuer, "17", at(office)); !errors.Is(err, accounts.ErrNoAccount) {
			t.Errorf("%v", err)
		}
		mine := signIn(t, a, "alice", password, office)
		for range 2 {
			if err := a.Link(t.Context(), mine, issuer, "17"); err != nil {
				t.Fatal(err)
			}
		}
		token, account, err := a.SignInIdentity(t.Context(), issuer, "17", at(office))
		if err != nil || account.Instance != "alice" {
			t.Fatal(account, err)
		}
		if s := lasts(t, a, token); s.Method != accounts.ByProvider {
			t.Errorf("%+v", s)
		}
		if _, _, err := a.SignInIdentity(t.Context(), "https://evil.example", "17", at(office)); !errors.Is(err, accounts.ErrNoAccount) {
			t.Errorf("another issuer's person 17 is alice: %v", err)
		}
		if _, err := register(t, a, accounts.Registration{Name: "bob", Issuer: issuer, Subject: "17"}); !errors.Is(err, accounts.ErrTaken) {
			t.Errorf("alice's identity is bob's: %v", err)
		}
		bob, err := register(t, a, accounts.Registration{Name: "bob", Issuer: issuer, Subject: "18"})
		if err != nil {
			t.Fatal(err)
		}
		if err := a.Link(t.Context(), bob, issuer, "17"); !errors.Is(err, accounts.ErrTaken) {
			t.Errorf("alice's identity is bob's: %v", err)
		}
		if _, _, err := a.SignIn(t.Context(), "bob", "", at(office)); !errors.Is(err, accounts.ErrCredentials) {
			t.Errorf("an empty password signs in: %v", err)
		}
		if err := a.Unlink(t.Context(), "bob", issuer); !errors.Is(err, accounts.ErrLast) {
			t.Errorf("%v", err)
		}
		if err := a.Unlink(t.Context(), "alice", issuer); err != nil {
			t.Error(err)
		}
		if list := must[[]accounts.Identity](t)(a.Identities(t.Context(), "alice")); len(list) != 0 {
			t.Errorf("%+v", list)
		}
		c.pass(16 * time.Minute)
		if err := a.Link(t.Context(), mine, issuer, "19"); !errors.Is(err, accounts.ErrStale) {
			t.Errorf("%v", err)
		}
	})
}

func TestEndSessions(t *testing.T) {
	each(t, func(t *testing.T, a *accounts.Accounts, c *clock, db *sqldb.DB) {
		set(t, a, "bob", password)
		here, there, more, bob := signIn(t, a, "alice", password, office), signIn(t, a, "alice", password, office), signIn(t, a, "alice", password, office), signIn(t, a, "bob", password, office)
		id := lasts(t, a, there).ID
		if err := a.EndSession(t.Context(), "bob", id); err != nil {
			t.Fatal(err)
		}
		lasts(t, a, there)
		if err := a.EndSession(t.Context(), "alice", id); err != nil {
			t.Fatal(err)
		}
		over(t, a, there)
		if err := a.EndOthers(t.Context(), here); err != nil {
			t.Fatal(err)
		}
		over(t, a, more)
		lasts(t, a, here)
		lasts(t, a, bob)
	})
}

// TestRemoveLeavesNothing: of a person who is removed nothing stays, also in the tables that came later.
func TestRemoveLeavesNothing(t *testing.T) {
	each(t, func(t *testing.T, a *accounts.Accounts, c *clock, db *sqldb.DB) {
		token := signIn(t, a, "alice", password, office)
		add(t, a, token, newDevice())
		must[[]string](t)(a.NewRecoveryCodes(t.Context(), token))
		if err := a.Link(t.Context(), token, issuer, "17"); err != nil {
			t.Fatal(err)
		}
		if err := a.Remove(t.Context(), "alice"); err != nil {
			t.Fatal(err)
		}
		for _, table := range []string{"accounts_account", "accounts_session", "accounts_passkey", "accounts_code", "accounts_identity"} {
			if n := rows(t, db, table); n != 0 {
				t.Errorf("%d rows of %s stay", n, table)
			}
		}
		over(t, a, token)
	})
}
