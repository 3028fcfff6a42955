package bank_test

import (
	"errors"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/passerelle-cloud/passerelle/internal/dbtest"
	atbank "github.com/passerelle-cloud/passerelle/operators/bank"
	"github.com/passerelle-cloud/passerelle/operators/bank/banktest"
	"github.com/passerelle-cloud/passerelle/transfer/bank"
)

// browse is the person's browser at the bank. It returns where it is sent back to.
func (r *rig) browse(page, person string) url.Values {
	r.t.Helper()
	browser := &http.Client{CheckRedirect: func(q *http.Request, _ []*http.Request) error {
		if !strings.HasPrefix(q.URL.String(), r.server.URL) {
			return http.ErrUseLastResponse
		}
		return nil
	}}
	got, err := browser.Get(page)
	if err != nil {
		r.t.Fatal(err)
	}
	got.Body.Close()
	page = got.Request.URL.String()
	form := url.Values{"do": {"login"}, "person": {person}, "password": {banktest.Password}}
	for range 3 {
		got, err := browser.PostForm(page, form)
		if err != nil {
			r.t.Fatal(err)
		}
		text, err := io.ReadAll(got.Body)
		got.Body.Close()
		if err != nil {
			r.t.Fatal(err)
		}
		if to, err := got.Location(); err == nil {
			return to.Query()
		}
		form = url.Values{"do": {"agree"}, "account": r.bank.IBANs(person)}
		for name, pattern := range map[string]string{"key": `name="key" value="([^"]+)"`, "code": `class="code">(\d{6})<`} {
			if m := regexp.MustCompile(pattern).FindSubmatch(text); m != nil {
				form.Set(name, string(m[1]))
			}
		}
	}
	r.t.Fatal("the bank does not let the browser go")
	return nil
}

func (r *rig) ask() *bank.Step {
	r.t.Helper()
	step, err := r.banks.Connect(r.t.Context(), bank.Wish{Person: "alice", Bank: "sandbox", Purpose: "mine", Until: time.Now().AddDate(0, 2, 0), Information: wants, PSU: banktest.Anne}, r.presence().Presence)
	if err != nil {
		r.t.Fatal(err)
	}
	return step
}

func (r *rig) reads(c *bank.Connection) {
	r.t.Helper()
	if c.State != bank.Connected {
		r.t.Fatalf("it is %s", c.State)
	}
	if got := r.refresh(c, r.presence()); got.Trouble != bank.None || len(got.Accounts) != 2 {
		r.t.Errorf("%+v", got)
	}
	if _, n := r.records(); n != r.real(banktest.Anne) {
		r.t.Errorf("%d operations, not %d", n, r.real(banktest.Anne))
	}
}

func TestEachApproach(t *testing.T) {
	t.Run("redirect", func(t *testing.T) {
		r := newRig(t, dbtest.SQLite(t), banktest.Config{})
		c, next, err := r.banks.Back(t.Context(), "alice", r.browse(r.ask().Go, banktest.Anne), r.presence().Presence)
		if err != nil || next != nil {
			t.Fatal(next, err)
		}
		r.reads(c)
	})
	t.Run("oauth", func(t *testing.T) {
		r := newRig(t, dbtest.SQLite(t), banktest.Config{Approach: banktest.OAuth2}, func(p *atbank.Profile) { p.SCA.Approach = atbank.OAuth })
		back := r.browse(r.ask().Go, banktest.Anne)
		c, next, err := r.banks.Back(t.Context(), "alice", back, r.presence().Presence)
		if err != nil || next != nil {
			t.Fatal(next, err)
		}
		r.reads(c)
		if err := r.banks.Disconnect(t.Context(), "alice", c.ID); err != nil || r.bank.ConsentStatus(c.Consent) != "terminatedByTpp" {
			t.Errorf("it is %s: %v", r.bank.ConsentStatus(c.Consent), err)
		}
		if _, _, err := r.banks.Back(t.Context(), "alice", back, r.presence().Presence); !errors.Is(err, bank.ErrVisit) {
			t.Errorf("once more: %v", err)
		}
	})
	t.Run("oauth first", func(t *testing.T) {
		r := newRig(t, dbtest.SQLite(t), banktest.Config{PreStep: true}, func(p *atbank.Profile) {
			p.SCA.Approach, p.SCA.Metadata = atbank.OAuthFirst, p.API+"/.well-known/oauth-authorization-server"
		})
		_, next, err := r.banks.Back(t.Context(), "alice", r.browse(r.ask().Go, banktest.Anne), r.presence().Presence)
		if err != nil || next == nil {
			t.Fatal(next, err)
		}
		c, next, err := r.banks.Back(t.Context(), "alice", r.browse(next.Go, banktest.Anne), r.presence().Presence)
		if err != nil || next != nil {
			t.Fatal(next, err)
		}
		r.reads(c)
	})
	t.Run("decoupled", func(t *testing.T) {
		r := newRig(t, dbtest.SQLite(t), banktest.Config{Approach: banktest.Decoupled, Methods: 2}, func(p *atbank.Profile) { p.SCA.Approach = atbank.Decoupled })
		step := r.ask()
		if !step.Wait || len(step.Methods) != 2 {
			t.Fatalf("%+v", step)
		}
		if step, err := r.banks.Method(t.Context(), "alice", step.Connection, step.Methods[0].ID, r.presence().Presence); err != nil || step.Message == "" {
			t.Fatal(step, err)
		}
		c, err := r.banks.Look(t.Context(), "alice", step.Connection, r.presence().Presence)
		if err != nil || c.State != bank.Waiting {
			t.Fatal(c, err)
		}
		if err := r.bank.Authorise(r.bank.Consents()[0].ID, banktest.Anne); err != nil {
			t.Fatal(err)
		}
		if c, err = r.banks.Look(t.Context(), "alice", step.Connection, r.presence().Presence); err != nil {
			t.Fatal(err)
		}
		r.reads(c)
	})
}

// TestOnlyChosenAccountsAreRead: what the person does not choose is not read, and stays as it is in the home.
func TestOnlyChosenAccountsAreRead(t *testing.T) {
	r := newRig(t, dbtest.SQLite(t), banktest.Config{})
	c := r.connect(banktest.Anne)
	got, err := r.banks.Discover(t.Context(), "alice", c.ID, r.presence())
	if _, n := r.records(); err != nil || n != 0 || len(got.Accounts) != 2 || !got.Refreshed.IsZero() || got.Due.IsZero() {
		t.Fatalf("%+v %v, %d operations", got, err, n)
	}
	got = r.refresh(c, r.presence())
	if err := r.banks.Choose(t.Context(), "alice", c.ID, []string{got.Accounts[0].ID}); err != nil {
		t.Fatal(err)
	}
	left := got.Accounts[1].Refreshed
	if got = r.refresh(c, r.presence()); !got.Accounts[0].Chosen || got.Accounts[1].Chosen || !got.Accounts[1].Refreshed.Equal(left) || got.Trouble != bank.None {
		t.Errorf("%+v", got.Accounts)
	}
}

// TestRulesHold: without the person an account is read four times a day, whatever asks for it.
func TestRulesHold(t *testing.T) {
	r := newRig(t, dbtest.SQLite(t), banktest.Config{PerDay: 100})
	c := r.connect(banktest.Anne)
	for n := range 3 {
		if got := r.refresh(c, nil); got.Trouble != bank.None {
			t.Fatalf("the %d. time: %+v", n+1, got.Detail)
		}
	}
	old := r.presence()
	old.At = time.Now().Add(-time.Hour)
	if got := r.refresh(c, old); got.Trouble != bank.NotAllowed {
		t.Errorf("somebody who was there an hour ago: %+v", got.Detail)
	}
	if got := r.refresh(c, r.presence()); got.Trouble != bank.None {
		t.Errorf("and the person just now: %+v", got.Detail)
	}
}
