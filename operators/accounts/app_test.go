package accounts_test

import (
	"errors"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/passerelle-cloud/passerelle/internal/sqldb"
	"github.com/passerelle-cloud/passerelle/operators/accounts"
)

func newApp(t testing.TB, a *accounts.Accounts, account, name string) string {
	t.Helper()
	app, err := a.NewAppPassword(t.Context(), signIn(t, a, account, password, office), name)
	if err != nil {
		t.Fatal(err)
	}
	return app
}

// signsIn reports whether an app password opens alice's instance.
func signsIn(t testing.TB, a *accounts.Accounts, name, app, from string) bool {
	t.Helper()
	account, err := a.SignInApp(t.Context(), name, app, from)
	if err != nil && !errors.Is(err, accounts.ErrCredentials) {
		t.Fatal(err)
	}
	return err == nil && account == accounts.Account{Name: "alice", Instance: "alice"}
}

func TestAppPasswords(t *testing.T) {
	each(t, func(t *testing.T, a *accounts.Accounts, c *clock, db *sqldb.DB) {
		set(t, a, "bob", password)
		app, other := newApp(t, a, "alice", " Phone\x00 "), newApp(t, a, "alice", "Files")
		if app == other || !regexp.MustCompile(`^([0-9a-z]{4}-){7}[0-9a-z]{4}$`).MatchString(app) {
			t.Errorf("%q and %q", app, other)
		}
		for _, name := range []string{"alice", "Alice", " ALICE "} {
			if !signsIn(t, a, name, app, office) || !signsIn(t, a, name, strings.ToUpper(strings.ReplaceAll(app, "-", " ")), office) {
				t.Errorf("%q does not sign in", name)
			}
		}
		for name, wrong := range map[string]string{"alice": password, "bob": app, "nobody": app, "": app, "alice\x00": app, "Alice": "", " alice": app[1:]} {
			if signsIn(t, a, name, wrong, "192.0.2."+name) {
				t.Errorf("%q signs in by %q", name, wrong)
			}
		}
		if _, _, err := a.SignIn(t.Context(), "alice", app, at(office)); !errors.Is(err, accounts.ErrCredentials) {
			t.Errorf("an app password opens the pages: %v", err)
		}
		c.pass(time.Hour)
		signsIn(t, a, "alice", app, office)
		list, err := a.AppPasswords(t.Context(), "alice")
		if err != nil || len(list) != 2 {
			t.Fatal(list, err)
		}
		for _, p := range list {
			if used := p.Name == "Phone"; used != p.Used.Equal(c.Now()) || !used && (p.Name != "Files" || !p.Used.IsZero()) {
				t.Errorf("%+v", p)
			}
		}
		for _, p := range list {
			if p.Name != "Phone" {
				continue
			}
			if err := a.RevokeAppPassword(t.Context(), "bob", p.ID); err != nil || !signsIn(t, a, "alice", app, office) {
				t.Error("bob revokes what is alice's", err)
			}
			if err := a.RevokeAppPassword(t.Context(), "alice", p.ID); err != nil || signsIn(t, a, "alice", app, office) {
				t.Error("what was revoked signs in", err)
			}
		}
		if err := a.Remove(t.Context(), "alice"); err != nil {
			t.Fatal(err)
		}
		set(t, a, "alice", password)
		if signsIn(t, a, "alice", other, office) {
			t.Error("an app password outlives its account")
		}
	})
}

func TestAppPasswordsAreMadeByWhoIsThere(t *testing.T) {
	each(t, func(t *testing.T, a *accounts.Accounts, c *clock, db *sqldb.DB) {
		token := signIn(t, a, "alice", password, office)
		for _, name := range []string{"", " ", "\x00"} {
			if _, err := a.NewAppPassword(t.Context(), token, name); !errors.Is(err, accounts.ErrInvalid) {
				t.Errorf("named %q: %v", name, err)
			}
		}
		for n := range 51 {
			if _, err := a.NewAppPassword(t.Context(), token, "x"); (err != nil) != (n == 50) || err != nil && !errors.Is(err, accounts.ErrInvalid) {
				t.Fatal(n, err)
			}
		}
		c.pass(16 * time.Minute)
		if _, err := a.NewAppPassword(t.Context(), token, "x"); !errors.Is(err, accounts.ErrStale) {
			t.Error(err)
		}
		if _, err := a.NewAppPassword(t.Context(), "no token", "x"); !errors.Is(err, accounts.ErrNoSession) {
			t.Error(err)
		}
	})
}

// TestAForgottenPhone tries a revoked app password again and again, from the address at which its owner signs in.
func TestAForgottenPhone(t *testing.T) {
	each(t, func(t *testing.T, a *accounts.Accounts, c *clock, db *sqldb.DB) {
		right, throttled := newApp(t, a, "alice", "Files"), 0
		for range 200 {
			_, err := a.SignInApp(t.Context(), "alice", "0000-0000-0000-0000-0000-0000-0000-0000", office)
			var wait *accounts.ThrottledError
			if errors.As(err, &wait) {
				throttled++
			} else if !errors.Is(err, accounts.ErrCredentials) {
				t.Fatal(err)
			}
			c.pass(time.Second)
		}
		if throttled < 150 {
			t.Errorf("only %d of 200 were slowed down", throttled)
		}
		if !signsIn(t, a, "alice", right, office) {
			t.Error("the right one waits for the wrong ones")
		}
		signIn(t, a, "alice", password, office)
		_, known := a.SignInApp(t.Context(), "alice", "x", "198.51.100.1")
		_, unknown := a.SignInApp(t.Context(), "nobody", "x", "198.51.100.1")
		if !errors.Is(known, accounts.ErrCredentials) || !errors.Is(unknown, accounts.ErrCredentials) || known.Error() != unknown.Error() {
			t.Errorf("who has an account shows: %v, %v", known, unknown)
		}
	})
}
