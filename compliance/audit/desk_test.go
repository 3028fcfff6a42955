package audit_test

import (
	"bytes"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/passerelle-cloud/passerelle/compliance"
	"github.com/passerelle-cloud/passerelle/compliance/audit"
	"github.com/passerelle-cloud/passerelle/consent"
	"github.com/passerelle-cloud/passerelle/consent/consenttest"
	"github.com/passerelle-cloud/passerelle/consent/ledger"
	"github.com/passerelle-cloud/passerelle/formats"
	"github.com/passerelle-cloud/passerelle/internal/dbtest"
	"github.com/passerelle-cloud/passerelle/internal/sqldb"
)

// office is a gateway with a desk, and an auditor at it.
type office struct {
	*gateway
	*audit.Desk
	now  time.Time // of the desk
	code string
	who  *audit.Auditor
}

func newOffice(t testing.TB, db *sqldb.DB) *office {
	t.Helper()
	o := &office{gateway: newGateway(t, db), now: time.Now()}
	o.Desk, o.code, o.who = o.OpenDesk(t, func() time.Time { return o.now }, "Ada Contrôle")
	return o
}

// conduct returns what was logged of the operator, the last first.
func (o *office) conduct(t testing.TB) (list []ledger.Happened) {
	t.Helper()
	for e, err := range o.Fixture.Ledger.Events(ctx, consent.OperatorChain) {
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, e)
	}
	return list
}

// TestAuditors lets an auditor in as long as they may, and no longer.
func TestAuditors(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		o := newOffice(t, db)
		for name, k := range map[string]struct {
			name, authority string
			until           time.Time
		}{
			"no name":      {"", "CNIL", o.now.AddDate(0, 1, 0)},
			"two lines":    {"Ada\nBoss", "CNIL", o.now.AddDate(0, 1, 0)},
			"no authority": {"Ada", "", o.now.AddDate(0, 1, 0)},
			"over already": {"Ada", "CNIL", o.now.Add(-time.Second)},
			"for ever":     {"Ada", "CNIL", o.now.AddDate(2, 0, 0)},
		} {
			if _, _, err := o.Invite(ctx, k.name, k.authority, k.until); !errors.Is(err, audit.ErrInvalid) {
				t.Errorf("%s: %v", name, err)
			}
		}
		for _, code := range []string{"", "x", o.code[1:], strings.ToLower(o.code), "' OR 1=1 --"} {
			if _, _, err := o.SignIn(ctx, code); !errors.Is(err, audit.ErrNoAuditor) {
				t.Errorf("%q signs in: %v", code, err)
			}
		}
		token, _, err := o.SignIn(ctx, " "+o.code+"\n")
		if err != nil {
			t.Fatal(err)
		}
		if who, err := o.Session(ctx, token); err != nil || who.ID != o.who.ID {
			t.Error(who, err)
		}
		if err := o.SignOut(ctx, token); err != nil {
			t.Fatal(err)
		}
		if _, err := o.Session(ctx, token); !errors.Is(err, audit.ErrNoAuditor) {
			t.Errorf("signed out: %v", err)
		}
		token, _, _ = o.SignIn(ctx, o.code)
		o.now = o.now.Add(9 * time.Hour)
		if _, err := o.Session(ctx, token); !errors.Is(err, audit.ErrNoAuditor) {
			t.Errorf("a session of yesterday: %v", err)
		}
		o.now = o.who.Expires
		if _, err := o.ByCode(ctx, o.code); !errors.Is(err, audit.ErrNoAuditor) {
			t.Errorf("an auditor whose time is over: %v", err)
		}
		o.now = o.who.Expires.Add(-time.Hour)
		token, _, err = o.SignIn(ctx, o.code)
		if err != nil {
			t.Fatal(err)
		}
		if err := o.Revoke(ctx, o.who.ID); err != nil {
			t.Fatal(err)
		}
		if _, err := o.Session(ctx, token); !errors.Is(err, audit.ErrNoAuditor) {
			t.Errorf("an auditor who was revoked: %v", err)
		}
		if err := o.Revoke(ctx, "nobody"); !errors.Is(err, audit.ErrNoAuditor) {
			t.Errorf("revoke nobody: %v", err)
		}
		var what []string
		for _, e := range o.conduct(t) {
			what = append(what, e.Fields[ledger.Type])
		}
		if want := []string{"auditor.revoked", "auditor.signed-in", "auditor.signed-in", "auditor.signed-in", "auditor.invited"}; !slices.Equal(what[:5], want) {
			t.Errorf("logged: %v", what)
		}
	})
}

// TestDesk asks everything that there is to ask, and finds each question in the log.
func TestDesk(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		o := newOffice(t, db)
		c := o.Grant(t, "reader", "alice")
		access := o.read(t, c, "aa11")
		o.withdraw(t, c)
		kept := o.Grant(t, "other", "alice")
		o.now = time.Now()
		asked := 0
		expect := func(what string) {
			t.Helper()
			asked++
			if e := o.conduct(t)[0]; e.Fields[ledger.Type] != "audit."+what || e.Fields[ledger.Service] != o.who.As() {
				t.Errorf("%s is logged as %v", what, e.Fields)
			}
		}

		k, err := o.Case(ctx, o.who, c.ID)
		if err != nil {
			t.Fatal(err)
		}
		expect("consent")
		if k.State != consent.Withdrawn || len(k.Revisions) != 2 || len(k.Last) != 1 || k.Last[0].Uncovered != "" || k.Service.ID != "reader" || strings.Contains(k.Subject, "alice") {
			t.Errorf("%+v", k)
		}
		p, err := o.Transfer(ctx, o.who, access)
		if err != nil {
			t.Fatal(err)
		}
		expect("transfer")
		if p.Uncovered != "" || p.Granted.Number != 1 || p.Token != "aa11" || p.Records != 3 {
			t.Errorf("%+v", p)
		}
		if _, err := o.Transfer(ctx, o.who, "'; DROP TABLE consent_access; --"); !errors.Is(err, consent.ErrNotFound) {
			t.Error(err)
		}
		expect("transfer")

		a, err := o.Ask(ctx, o.who, audit.Inquiry{Consent: c.ID, Dataset: formats.Contacts})
		if err != nil {
			t.Fatal(err)
		}
		expect("question")
		if a.Answer.Given || !strings.Contains(a.Answer.Text, "ConsentWithdrawn") || len(a.Proven.Accesses) != 1 {
			t.Errorf("%+v", a.Answer)
		}
		if _, err := open(a.Evidence, o.Trust); err != nil {
			t.Error("the evidence:", err)
		}
		a, err = o.Ask(ctx, o.who, audit.Inquiry{Subject: k.Subject, Service: "other", Dataset: formats.Contacts, Purpose: consenttest.Purpose})
		if err != nil || !a.Answer.Given || a.Answer.Step.Consent != kept.ID {
			t.Errorf("%+v %v", a, err)
		}
		for name, q := range map[string]audit.Inquiry{
			"nothing":          {},
			"both":             {Consent: c.ID, Subject: k.Subject},
			"no service":       {Subject: k.Subject},
			"tomorrow":         {Consent: c.ID, At: time.Now().AddDate(0, 0, 1)},
			"no such consent":  {Consent: "00000000-0000-4000-8000-000000000000"},
			"no such subject":  {Subject: "p-aaaaaaaaaaaaaaaa", Service: "reader"},
			"no such service":  {Subject: k.Subject, Service: "nothing"},
			"HTML as a person": {Subject: "<script>", Service: "reader"},
		} {
			if _, err := o.Ask(ctx, o.who, q); !errors.Is(err, audit.ErrInvalid) && !errors.Is(err, consent.ErrNotFound) {
				t.Errorf("%s: %v", name, err)
			}
		}

		w, err := o.Withdrawals(ctx, o.who, time.Now().Add(-time.Hour))
		if err != nil {
			t.Fatal(err)
		}
		if w.Dead.Count != 1 || w.Dead.Max > 2*time.Second || w.Dead.P50 != w.Dead.Max || len(w.Last) != 1 || w.Last[0].Service != "reader" {
			t.Errorf("%+v", w)
		}
		expect("withdrawals")
		r, err := o.Registers(ctx, o.who)
		if err != nil || len(r.Services) != 2 || len(r.Abroad) != 0 {
			t.Errorf("%+v %v", r, err)
		}
		expect("registers")
		if list, err := o.Conduct(ctx, o.who); err != nil || list[0].What != "audit.conduct" || len(list) < 10 {
			t.Error(list, err)
		}
		if h, err := o.Home(ctx, o.who); err != nil || h.Log != "operator.example/log" || h.Leaves == 0 {
			t.Error(h, err)
		}
		expect("home")
	})
}

// TestPseudonyms: who somebody is takes a reason, which the operator's log and the person's own show; and two auditors
// cannot put together what they were shown.
func TestPseudonyms(t *testing.T) {
	o := newOffice(t, dbtest.SQLite(t))
	c := o.Grant(t, "reader", "alice")
	_, other, err := o.Invite(ctx, "Bob", "ACPR", o.now.AddDate(0, 1, 0))
	if err != nil {
		t.Fatal(err)
	}
	k, err := o.Case(ctx, o.who, c.ID)
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := o.Case(ctx, other, c.ID)
	if err != nil || theirs.Subject == k.Subject {
		t.Errorf("two auditors see the same pseudonym: %s, %v", theirs.Subject, err)
	}
	const reason = "complaint 2026/117 of the person"
	for _, bad := range []string{"", "because", strings.Repeat(" ", 50), strings.Repeat("x", 1001)} {
		if _, err := o.Identify(ctx, o.who, k.Subject, bad); !errors.Is(err, audit.ErrInvalid) {
			t.Errorf("with the reason %q: %v", bad, err)
		}
		if _, _, err := o.Find(ctx, o.who, "alice", bad); !errors.Is(err, audit.ErrInvalid) {
			t.Errorf("with the reason %q: %v", bad, err)
		}
	}
	if _, err := o.Identify(ctx, other, k.Subject, reason); !errors.Is(err, consent.ErrNotFound) {
		t.Errorf("a pseudonym that another auditor was shown: %v", err)
	}
	if name, err := o.Identify(ctx, o.who, k.Subject, reason); err != nil || name != "alice" {
		t.Error(name, err)
	}
	subject, consents, err := o.Find(ctx, o.who, "alice", reason)
	if err != nil || subject != k.Subject || len(consents) != 1 {
		t.Error(subject, consents, err)
	}
	if _, _, err := o.Find(ctx, o.who, "nobody", reason); !errors.Is(err, consent.ErrNotFound) {
		t.Error(err)
	}
	var own []string
	for e, err := range o.Fixture.Ledger.Events(ctx, "alice") {
		if err != nil {
			t.Fatal(err)
		}
		if e.Class == ledger.Disclosure && strings.Contains(e.Fields[ledger.Detail], "complaint") && strings.Contains(e.Fields[ledger.Detail], "CNIL") {
			own = append(own, e.Fields[ledger.Type])
		}
	}
	if !slices.Equal(own, []string{"person.found", "identity.disclosed"}) {
		t.Errorf("the person sees %v", own)
	}
	looked, err := o.LookedAt(ctx, "alice")
	if err != nil || len(looked) != 2 || looked[0].What != "person.found" || looked[0].Authority != "CNIL" || looked[1].Reason != reason {
		t.Errorf("her page says %+v, %v", looked, err)
	}
	for _, e := range o.conduct(t) {
		if strings.Contains(fmt.Sprint(e.Fields), "alice") {
			t.Errorf("the operator's chain names her: %v", e.Fields)
		}
	}
	if err := audit.Forget(ctx, o.DB, "alice"); err != nil {
		t.Fatal(err)
	}
	if _, err := o.Identify(ctx, o.who, k.Subject, reason); !errors.Is(err, consent.ErrNotFound) {
		t.Errorf("of a person who was forgotten: %v", err)
	}
	if looked, err := o.LookedAt(ctx, "alice"); err != nil || len(looked) != 0 {
		t.Errorf("of a person who was forgotten: %v, %v", looked, err)
	}
}

// TestChecks breaks what the checks look at, and sees them notice.
func TestChecks(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		o := newOffice(t, db)
		c := o.Grant(t, "reader", "alice")
		good := o.read(t, c, "aa11")
		bad := o.read(t, c, "bb22")
		o.now = time.Now().Add(time.Hour) // what was just done is settled
		evaluate := func() map[string]compliance.Finding {
			t.Helper()
			if done, err := o.Evaluate(ctx); err != nil || !done {
				t.Fatal(done, err)
			}
			list, err := o.Findings(ctx)
			if err != nil {
				t.Fatal(err)
			}
			found := map[string]compliance.Finding{}
			for _, f := range list {
				found[f.Check] = f
			}
			return found
		}
		found := evaluate()
		for end := time.Now().Add(10 * time.Second); len(found["decision-in-log"].Leaves) == 0 && time.Now().Before(end); found = evaluate() {
			time.Sleep(20 * time.Millisecond) // on PostgreSQL leaves get their places a little later
		}
		for _, name := range []string{"access-covered", "access-after-end", "consent-proven", "consent-informed", "rules-held", "decision-in-log", "operator-neutral"} {
			if f := found[name]; f.Verdict != compliance.Kept || f.Wrong != 0 {
				t.Errorf("%s: %+v", name, f)
			}
		}
		if f := found["access-covered"]; f.Looked != 2 {
			t.Errorf("it looked at %d accesses", f.Looked)
		}
		if f := found["decision-in-log"]; len(f.Leaves) != 1 {
			t.Errorf("it points at %v", f.Leaves)
		}
		if f := evaluate()["access-covered"]; f.Looked != 2 {
			t.Errorf("what was looked at is looked at again: %d", f.Looked)
		}

		o.withdraw(t, c)
		second := o.Grant(t, "other", "bob")
		o.Fixture.Service(t, "own", func(s *consent.Service) {
			s.Registrations = []consent.Registration{{Scheme: "SIREN", Value: "552100554"}}
		})
		err := db.Tx(ctx, func(tx *sql.Tx) error {
			_, err := tx.Exec(`UPDATE consent_access SET begun = begun + 1800000000, revision = 1 WHERE id = $1`, bad) // in half an hour, when nothing stands any more
			if err == nil {
				_, err = tx.Exec(`UPDATE consent_access SET begun = begun - 1800000000 WHERE id = $1`, good)
			}
			if err == nil {
				_, err = tx.Exec(`UPDATE consent_revision SET facts = '{"step":"grant","session":null}' WHERE consent = $1`, second.ID)
			}
			if err == nil {
				_, err = tx.Exec(`UPDATE consent_notice SET content = $1`, []byte("nicer"))
			}
			if err == nil {
				_, err = tx.Exec(`DELETE FROM audit_finding`)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := o.OpenMatter(ctx, audit.Breach, "a lost laptop", o.now.Add(-73*time.Hour)); err != nil {
			t.Fatal(err)
		}
		found = evaluate()
		for name, says := range map[string]string{
			"access-covered": "it began before the revision was made", "access-after-end": "after its revision had ended", "consent-proven": "what is kept is not what the person was shown",
			"decision-in-log": "the log says something else", "operator-neutral": "own: it has the operator's own number", "matters-in-time": "it was due on",
		} {
			if f := found[name]; f.Verdict != compliance.Broken || f.Wrong == 0 || !strings.Contains(strings.Join(f.Examples, "\n"), says) {
				t.Errorf("%s: %+v", name, f)
			}
		}
	})
}

// TestArticles: each says how it is kept, and the tests that it names are there.
func TestArticles(t *testing.T) {
	seen := map[string]bool{}
	for _, a := range audit.Articles() {
		name := a.String()
		if seen[name] || a.Says["en"] == "" || a.Says["fr"] == "" || len(a.How) == 0 {
			t.Errorf("%s is there twice, or says nothing", name)
		}
		seen[name] = true
		has := func(h compliance.How) bool { return slices.Contains(a.How, h) }
		if has(compliance.ByCheck) != (len(a.Checks) > 0) || has(compliance.ByPeople) != (a.Why["en"] != "" && a.Why["fr"] != "") || has(compliance.ByRule) && a.Pack == "" || has(compliance.ByReport) && a.Where == "" {
			t.Errorf("%s: how it is kept is not there: %+v", name, a)
		}
		if len(a.Tests) == 0 && !has(compliance.ByPeople) {
			t.Errorf("%s has no test", name)
		}
		for _, test := range a.Tests {
			dir, function, _ := strings.Cut(test, ".")
			files, err := filepath.Glob(filepath.Join("../..", dir, "*_test.go"))
			if err != nil {
				t.Fatal(err)
			}
			if !slices.ContainsFunc(files, func(file string) bool {
				text, err := os.ReadFile(file)
				return err == nil && bytes.Contains(text, []byte("func "+function+"("))
			}) {
				t.Errorf("%s: there is no test %s", name, test)
			}
		}
	}
	o := newOffice(t, dbtest.SQLite(t))
	if _, err := o.Evaluate(ctx); err != nil {
		t.Fatal(err)
	}
	list, err := o.Desk.Articles(ctx, o.who)
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range list {
		if len(a.Findings) != len(a.Checks) || a.Applies != (a.Law == "GDPR" || a.Law == "DGA") {
			t.Errorf("%s: %d findings for the checks %v", a, len(a.Findings), a.Checks)
		}
	}
}

// TestEveryStep has a consent do everything that it can do, and finds all of it proven and nothing wrong.
func TestEveryStep(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		o := newOffice(t, db)
		session := consent.SessionFacts{Method: "password", Authenticated: time.Now()}
		c := o.Grant(t, "reader", "alice")
		o.read(t, c, "a")
		less := slices.Clone(c.Details)
		less[0].Datasets = []formats.Dataset{formats.Contacts}
		less[0].Optional = nil
		do := func(_ any, err error) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
		}
		do(o.Shorten(ctx, consent.Shortening{Consent: c.ID, Person: "alice", Details: less, Session: session}))
		o.read(t, c, "b")
		do(o.Pause(ctx, consent.Pausing{Consent: c.ID, Person: "alice", Session: session}))
		do(o.Renew(ctx, consent.Renewal{Consent: c.ID, Person: "alice", Until: time.Now().AddDate(0, 6, 0), Session: session})) // still paused
		more := o.AskFor(t, consent.Asking{Service: "reader", Details: consenttest.Details(time.Now().AddDate(0, 3, 0)), Action: consent.Merge, Consent: c.ID})
		do(o.Fixture.Authority.Grant(ctx, o.Decision(t, more, "alice"), nil))
		o.read(t, c, "c")
		_, err := o.Refuse(ctx, o.Decision(t, o.Fixture.Ask(t, "reader"), "alice"), nil)
		do(nil, err)
		o.withdraw(t, c)
		do(o.Renew(ctx, consent.Renewal{Consent: c.ID, Person: "alice", Until: time.Now().AddDate(0, 1, 0), Session: session}))
		o.read(t, c, "d")

		a, err := o.Desk.Ask(ctx, o.who, audit.Inquiry{Consent: c.ID, Dataset: formats.Contacts})
		if err != nil {
			t.Fatal(err)
		}
		var what []string
		for _, s := range a.Proven.Steps {
			what = append(what, strings.TrimPrefix(s.What, "consent."))
		}
		if want := []string{"granted", "shortened", "paused", "renewed", "resumed", "granted", "refused", "withdrawn", "renewed"}; !slices.Equal(what, want) {
			t.Errorf("%v", what)
		}
		if !a.Answer.Given || a.Answer.Paused || len(a.Proven.Accesses) != 4 || len(a.Proven.Uncovered()) != 0 || !a.Proven.Steps[3].Paused || a.Proven.Steps[5].Paused {
			t.Errorf("%+v %+v", a.Answer, a.Proven.Uncovered())
		}
		o.now = time.Now().Add(time.Hour)
		if done, err := o.Evaluate(ctx); err != nil || !done {
			t.Fatal(done, err)
		}
		list, err := o.Findings(ctx)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range list {
			if f.Verdict == compliance.Broken {
				t.Errorf("%+v", f)
			}
		}
	})
}
