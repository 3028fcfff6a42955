package accounts_test

import (
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/descope/virtualwebauthn"

	"github.com/passerelle-cloud/passerelle/internal/sqldb"
	"github.com/passerelle-cloud/passerelle/operators/accounts"
)

const site = "https://data.bank.example"

// device is an authenticator with one passkey.
type device struct {
	auth virtualwebauthn.Authenticator
	key  virtualwebauthn.Credential
	rp   virtualwebauthn.RelyingParty
}

// wholeKey is the length of a public key on P-256, as COSE writes it (RFC 9053 section 7.1.1). One key in 128 has a
// coordinate that begins with a zero, which the library leaves out against that.
const wholeKey = 77

func newDevice() *device {
	key := virtualwebauthn.NewCredential(virtualwebauthn.KeyTypeEC2)
	for len(key.Key.AttestationData()) != wholeKey {
		key = virtualwebauthn.NewCredential(virtualwebauthn.KeyTypeEC2)
	}
	return &device{virtualwebauthn.NewAuthenticator(), key,
		virtualwebauthn.RelyingParty{ID: "data.bank.example", Name: "Bank", Origin: site}}
}

// create answers to be asked for a new passkey.
func (d *device) create(t testing.TB, c accounts.Challenge) []byte {
	t.Helper()
	options, err := virtualwebauthn.ParseAttestationOptions(string(c.Options))
	if err != nil {
		t.Fatal(err)
	}
	var user struct{ User struct{ ID []byte } }
	var raw struct{ User struct{ ID string } }
	if err := json.Unmarshal(c.Options, &raw); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(`{"User":{"ID":"`+unURL(raw.User.ID)+`"}}`), &user); err != nil {
		t.Fatal(err)
	}
	d.auth.Options.UserHandle = user.User.ID
	return []byte(virtualwebauthn.CreateAttestationResponse(d.rp, d.auth, d.key, *options))
}

// unURL turns base64url into padded base64, as encoding/json reads bytes.
func unURL(text string) string {
	text = strings.NewReplacer("-", "+", "_", "/").Replace(text)
	return text + strings.Repeat("=", (4-len(text)%4)%4)
}

// get answers to be asked for the passkey.
func (d *device) get(t testing.TB, c accounts.Challenge) []byte {
	t.Helper()
	options, err := virtualwebauthn.ParseAssertionOptions(string(c.Options))
	if err != nil {
		t.Fatal(err)
	}
	return []byte(virtualwebauthn.CreateAssertionResponse(d.rp, d.auth, d.key, *options))
}

func must[T any](t testing.TB) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// add adds a device's passkey to who has the session.
func add(t testing.TB, a *accounts.Accounts, token string, d *device) accounts.Passkey {
	t.Helper()
	c := must[accounts.Challenge](t)(a.NewPasskey(t.Context(), token, site))
	return must[accounts.Passkey](t)(a.AddPasskey(t.Context(), token, site, c.Ceremony, "Phone", d.create(t, c)))
}

func TestAPasskeySignsIn(t *testing.T) {
	each(t, func(t *testing.T, a *accounts.Accounts, c *clock, db *sqldb.DB) {
		d := newDevice()
		made := add(t, a, signIn(t, a, "alice", password, office), d)
		if made.Name != "Phone" || made.Host != "data.bank.example" || !made.Used.IsZero() {
			t.Errorf("%+v", made)
		}
		c.pass(time.Minute)
		asked := must[accounts.Challenge](t)(a.PasskeyChallenge(t.Context(), site))
		if strings.Contains(string(asked.Options), "alice") || strings.Contains(string(asked.Options), "allowCredentials\":[{") {
			t.Errorf("the challenge says who has an account: %s", asked.Options)
		}
		answer := d.get(t, asked)
		token, account, err := a.SignInPasskey(t.Context(), site, asked.Ceremony, answer, at(office))
		if err != nil || account.Instance != "alice" {
			t.Fatal(account, err)
		}
		s := lasts(t, a, token)
		if s.Method != accounts.ByPasskey || s.Agent != "Test/1" || s.ID == "" || strings.Contains(token, s.ID) {
			t.Errorf("%+v", s)
		}
		list := must[[]accounts.Passkey](t)(a.Passkeys(t.Context(), "alice"))
		if len(list) != 1 || !list[0].Used.Equal(c.Now()) {
			t.Errorf("%+v", list)
		}
		if _, _, err := a.SignInPasskey(t.Context(), site, asked.Ceremony, answer, at(office)); !errors.Is(err, accounts.ErrCredentials) {
			t.Errorf("an answer signs in twice: %v", err)
		}
	})
}

// TestAnAnswerIsForOneChallenge: whatever is wrong with an answer, it is refused in the same words.
func TestAnAnswerIsForOneChallenge(t *testing.T) {
	each(t, func(t *testing.T, a *accounts.Accounts, c *clock, db *sqldb.DB) {
		d, stranger := newDevice(), newDevice()
		session := signIn(t, a, "alice", password, office)
		add(t, a, session, d)
		stranger.auth.Options.UserHandle = d.auth.Options.UserHandle
		ask := func() accounts.Challenge { return must[accounts.Challenge](t)(a.PasskeyChallenge(t.Context(), site)) }
		old := ask()
		oldAnswer := d.get(t, old)
		c.pass(2 * time.Hour)
		elsewhere, unverified, absent, otherHandle := *d, *d, *d, *d
		elsewhere.rp = virtualwebauthn.RelyingParty{ID: "evil.example", Origin: "https://evil.example"}
		unverified.auth.Options.UserNotVerified = true
		absent.auth.Options.UserNotPresent = true
		otherHandle.auth.Options.UserHandle = []byte("somebody else")
		asked, adding := ask(), must[accounts.Challenge](t)(a.RegistrationChallenge(t.Context(), site))
		for name, try := range map[string]struct {
			origin, ceremony string
			answer           []byte
		}{
			"too late":              {site, old.Ceremony, oldAnswer},
			"another challenge":     {site, asked.Ceremony, d.get(t, ask())},
			"another device":        {site, asked.Ceremony, stranger.get(t, asked)},
			"another site":          {site, asked.Ceremony, elsewhere.get(t, asked)},
			"asked by another site": {"https://evil.example", asked.Ceremony, elsewhere.get(t, asked)},
			"another brand":         {"https://other.example", asked.Ceremony, d.get(t, asked)},
			"nobody verified":       {site, asked.Ceremony, unverified.get(t, asked)},
			"nobody there":          {site, asked.Ceremony, absent.get(t, asked)},
			"another handle":        {site, asked.Ceremony, otherHandle.get(t, asked)},
			"another ceremony":      {site, adding.Ceremony, d.get(t, asked)},
			"no ceremony":           {site, "", d.get(t, asked)},
			"a forged ceremony":     {site, asked.Ceremony[:len(asked.Ceremony)-4] + "AAAA", d.get(t, asked)},
			"no answer":             {site, asked.Ceremony, nil},
			"no JSON":               {site, asked.Ceremony, []byte("<html>")},
			"truncated":             {site, asked.Ceremony, d.get(t, asked)[:100]},
			"huge":                  {site, asked.Ceremony, []byte(strings.Repeat("[", 1<<20))},
		} {
			if _, _, err := a.SignInPasskey(t.Context(), try.origin, try.ceremony, try.answer, at(office)); !errors.Is(err, accounts.ErrCredentials) {
				t.Errorf("%s: %v", name, err)
			}
		}
		if _, _, err := a.SignInPasskey(t.Context(), site, asked.Ceremony, d.get(t, asked), at(office)); err != nil {
			t.Errorf("after all that the person is refused: %v", err)
		}
	})
}

func TestACopiedPasskey(t *testing.T) {
	each(t, func(t *testing.T, a *accounts.Accounts, c *clock, db *sqldb.DB) {
		d := newDevice()
		add(t, a, signIn(t, a, "alice", password, office), d)
		use := func(counter uint32) error {
			d.key.Counter = counter
			asked := must[accounts.Challenge](t)(a.PasskeyChallenge(t.Context(), site))
			_, _, err := a.SignInPasskey(t.Context(), site, asked.Ceremony, d.get(t, asked), at(office))
			return err
		}
		if err := use(7); err != nil {
			t.Fatal(err)
		}
		if err := use(7); !errors.Is(err, accounts.ErrCredentials) {
			t.Errorf("a copy signs in: %v", err)
		}
		if err := use(8); err != nil {
			t.Error(err)
		}
	})
}

func TestAddingAPasskey(t *testing.T) {
	each(t, func(t *testing.T, a *accounts.Accounts, c *clock, db *sqldb.DB) {
		set(t, a, "bob", password)
		alice, bob := signIn(t, a, "alice", password, office), signIn(t, a, "bob", password, office)
		d := newDevice()
		add(t, a, alice, d)
		again := must[accounts.Challenge](t)(a.NewPasskey(t.Context(), alice, site))
		if !strings.Contains(string(again.Options), "excludeCredentials") {
			t.Errorf("the device is asked to make a second one: %s", again.Options)
		}
		asked := must[accounts.Challenge](t)(a.NewPasskey(t.Context(), bob, site))
		if _, err := a.AddPasskey(t.Context(), bob, site, asked.Ceremony, "x", d.create(t, asked)); !errors.Is(err, accounts.ErrTaken) {
			t.Errorf("alice's passkey signs bob in: %v", err)
		}
		other := newDevice()
		if _, err := a.AddPasskey(t.Context(), alice, site, asked.Ceremony, "x", other.create(t, asked)); !errors.Is(err, accounts.ErrCredentials) {
			t.Errorf("bob's page adds to alice's account: %v", err)
		}
		if _, err := a.AddPasskey(t.Context(), bob, site, asked.Ceremony, " \u202e ", other.create(t, asked)); !errors.Is(err, accounts.ErrInvalid) {
			t.Errorf("a name that nobody sees: %v", err)
		}
		c.pass(20 * time.Minute)
		if _, err := a.AddPasskey(t.Context(), bob, site, asked.Ceremony, "x", other.create(t, asked)); !errors.Is(err, accounts.ErrStale) {
			t.Errorf("a passkey is added without proof: %v", err)
		}
		if list := must[[]accounts.Passkey](t)(a.Passkeys(t.Context(), "bob")); len(list) != 0 {
			t.Errorf("bob has %+v", list)
		}
	})
}

// TestOneAnswerOneSession: two tabs send the same answer, and one of them is let in.
func TestOneAnswerOneSession(t *testing.T) {
	each(t, func(t *testing.T, a *accounts.Accounts, c *clock, db *sqldb.DB) {
		d := newDevice()
		add(t, a, signIn(t, a, "alice", password, office), d)
		asked := must[accounts.Challenge](t)(a.PasskeyChallenge(t.Context(), site))
		answer := d.get(t, asked)
		var mu sync.Mutex
		in := 0
		var all sync.WaitGroup
		for range 8 {
			all.Go(func() {
				_, _, err := a.SignInPasskey(t.Context(), site, asked.Ceremony, answer, at(office))
				mu.Lock()
				defer mu.Unlock()
				if err == nil {
					in++
				} else if !errors.Is(err, accounts.ErrCredentials) {
					t.Error(err)
				}
			})
		}
		all.Wait()
		if in != 1 {
			t.Errorf("%d sessions of one answer", in)
		}
	})
}

func TestTheLastWayIn(t *testing.T) {
	each(t, func(t *testing.T, a *accounts.Accounts, c *clock, db *sqldb.DB) {
		d := newDevice()
		asked := must[accounts.Challenge](t)(a.RegistrationChallenge(t.Context(), site))
		token, _, err := a.Register(t.Context(), accounts.Registration{Name: "carol", Origin: site, Ceremony: asked.Ceremony, Response: d.create(t, asked)}, at(office))
		if err != nil {
			t.Fatal(err)
		}
		first := must[[]accounts.Passkey](t)(a.Passkeys(t.Context(), "carol"))[0]
		if err := a.RemovePasskey(t.Context(), "carol", first.ID); !errors.Is(err, accounts.ErrLast) {
			t.Errorf("the only way in is removed: %v", err)
		}
		if err := a.RemovePasskey(t.Context(), "alice", first.ID); err != nil {
			t.Error(err)
		}
		if list := must[[]accounts.Passkey](t)(a.Passkeys(t.Context(), "carol")); len(list) != 1 {
			t.Fatal("alice removed carol's passkey")
		}
		// Of two, removed at once, one stays.
		second := add(t, a, token, newDevice())
		var all sync.WaitGroup
		for _, id := range []string{first.ID, second.ID} {
			all.Go(func() {
				if err := a.RemovePasskey(t.Context(), "carol", id); err != nil && !errors.Is(err, accounts.ErrLast) {
					t.Error(err)
				}
			})
		}
		all.Wait()
		list := must[[]accounts.Passkey](t)(a.Passkeys(t.Context(), "carol"))
		if len(list) != 1 {
			t.Fatalf("%d passkeys are left", len(list))
		}
		fresh, err := a.ResetPassword(t.Context(), token, "another good password", at(office))
		if err != nil {
			t.Fatal(err)
		}
		over(t, a, token)
		lasts(t, a, fresh)
		if err := a.RemovePasskey(t.Context(), "carol", list[0].ID); err != nil {
			t.Errorf("with a password the passkey stays: %v", err)
		}
		signIn(t, a, "carol", "another good password", office)
	})
}

func TestResetPassword(t *testing.T) {
	each(t, func(t *testing.T, a *accounts.Accounts, c *clock, db *sqldb.DB) {
		byPassword := signIn(t, a, "alice", password, office)
		if _, err := a.ResetPassword(t.Context(), byPassword, "another good password", at(office)); !errors.Is(err, accounts.ErrStale) {
			t.Errorf("who signed in by the password need not know it: %v", err)
		}
		d := newDevice()
		add(t, a, byPassword, d)
		asked := must[accounts.Challenge](t)(a.PasskeyChallenge(t.Context(), site))
		token, _, err := a.SignInPasskey(t.Context(), site, asked.Ceremony, d.get(t, asked), at(office))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := a.ResetPassword(t.Context(), token, "short", at(office)); !errors.Is(err, accounts.ErrInvalid) {
			t.Error(err)
		}
		c.pass(16 * time.Minute)
		if _, err := a.ResetPassword(t.Context(), token, "another good password", at(office)); !errors.Is(err, accounts.ErrStale) {
			t.Errorf("the proof is too old: %v", err)
		}
		signIn(t, a, "alice", password, office)
	})
}

func TestNoPasskeysWithoutASecret(t *testing.T) {
	each(t, func(t *testing.T, _ *accounts.Accounts, c *clock, db *sqldb.DB) {
		a := open(t, db, accounts.Options{Now: c.Now})
		if _, err := a.PasskeyChallenge(t.Context(), site); err == nil {
			t.Error("a challenge without a secret")
		}
		if _, err := accounts.Open(t.Context(), db, accounts.Options{Secret: []byte("short")}); err == nil {
			t.Error("a short secret is taken")
		}
	})
}
