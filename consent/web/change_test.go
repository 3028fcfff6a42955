package web_test

import (
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/passerelle-cloud/passerelle/consent"
	"github.com/passerelle-cloud/passerelle/formats"
	"github.com/passerelle-cloud/passerelle/internal/dbtest"
	"github.com/passerelle-cloud/passerelle/internal/sqldb"
)

// read has the service read something.
func (s *site) read(t testing.TB, c consent.Consent, d formats.Dataset) error {
	t.Helper()
	p, err := s.Permit(t.Context(), consent.Access{Consent: c.ID, Service: c.Service, Datasets: []formats.Dataset{d}, Action: consent.Read})
	if err != nil {
		return err
	}
	return p.Done(t.Context(), consent.Sent{Records: 3, Bytes: 1234, Outcome: consent.Complete})
}

// TestChangeOfMind pauses, goes on, allows less, withdraws and gives again.
func TestChangeOfMind(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		s := newSite(t, db)
		s.belongings(t)
		alice, bob := s.person(t, "alice"), s.person(t, "bob")
		c := s.Grant(t, "invites", "alice")
		here := "/consents/" + c.ID
		if err := s.read(t, c, formats.Contacts); err != nil {
			t.Fatal(err)
		}
		_, _, page := alice.get(t, here)
		for _, want := range []string{"Read once", "3 records, 1.2 kB", "complete", "This service has not answered.", "We tried 3 times.", "It acknowledged that on", "by password", "privacy@invites.example"} {
			if !strings.Contains(page, want) {
				t.Errorf("it does not say %q: %s", want, page)
			}
		}
		for _, what := range []string{"pause", "resume", "change", "again", "withdraw"} {
			if status, _, _ := bob.post(t, here+"/"+what, url.Values{"sets-0": {"contacts"}, "decision": {"grant"}}); status != http.StatusNotFound {
				t.Errorf("bob: %s: %d", what, status)
			}
		}
		alice.does(t, here+"/pause", nil, here+"?done=paused", "Paused. The service can read nothing")
		if err := s.read(t, c, formats.Contacts); err == nil {
			t.Error("read while it is paused")
		}
		if _, _, page := alice.get(t, "/consents?standing=paused"); !strings.Contains(page, "Paused since") {
			t.Error(page)
		}
		alice.does(t, here+"/resume", nil, here+"?done=resumed", "It goes on")
		if err := s.read(t, c, formats.Calendar); err != nil {
			t.Error(err)
		}

		_, _, page = alice.get(t, here+"/change")
		if !strings.Contains(page, `value="calendar" checked`) || !strings.Contains(page, "Zoé Durand") {
			t.Error(page)
		}
		alice.does(t, here+"/change", url.Values{"until": {"7"}}, here+"/change?nothing", "Nothing was ticked")
		alice.does(t, here+"/change", url.Values{"sets-0": {"contacts"}, "until": {"7"}}, here+"?done=changed", "can read no more than this")
		if err := s.read(t, c, formats.Calendar); err == nil {
			t.Error("read what was taken back")
		}

		alice.does(t, here+"/withdraw", nil, "/consents?withdrawn="+c.ID, "Withdrawn from")
		if err := s.read(t, c, formats.Contacts); err == nil {
			t.Error("read what was withdrawn")
		}
		_, _, page = alice.get(t, here+"/again")
		hash := noticeHash.FindStringSubmatch(page)
		if hash == nil || strings.Contains(page, `value="calendar"`) {
			t.Fatal("it offers more than there was at the end: ", page)
		}
		alice.does(t, here+"/again", url.Values{"decision": {"no"}}, here, "Withdrawn")
		alice.does(t, here+"/again", url.Values{"decision": {"grant"}, "notice": {hash[1]}, "sets-0": {"contacts"}, "until": {"30"}}, here+"?done=again", "The service can read again")
		if err := s.read(t, c, formats.Contacts); err != nil {
			t.Error(err)
		}
		s.history(t, alice, here)
	})
}

// history looks at what is kept of all that.
func (s *site) history(t *testing.T, alice *person, here string) {
	t.Helper()
	_, _, page := alice.get(t, here)
	if got := regexp.MustCompile(`(?s)<ol>.*</ol>`).FindString(page); strings.Count(got, "<li>") != 5 || !strings.Contains(got, "Renewed") || !strings.Contains(got, ": Paused, until ") {
		t.Error(got)
	}
	kept := regexp.MustCompile(regexp.QuoteMeta(here)+`/revisions/\d+`).FindAllString(page, -1)
	if len(kept) != 2 {
		t.Error(kept)
	}
	for _, path := range kept {
		if status, _, page := alice.get(t, path); status != http.StatusOK || !strings.Contains(page, "SHA-256") {
			t.Error(status, page)
		}
		if status, _, _ := s.person(t, "bob").get(t, path); status != http.StatusNotFound {
			t.Error("bob sees what alice was shown:", status)
		}
	}
	for _, path := range []string{"/revisions/0", "/revisions/3", "/revisions/99", "/revisions/x", "?before=x"} {
		if status, _, _ := alice.get(t, here+path); status != http.StatusNotFound && status != http.StatusBadRequest {
			t.Errorf("%s: %d", path, status)
		}
	}
	if _, _, page := alice.get(t, here+"/print"); !strings.Contains(page, "Receipt") || !strings.Contains(page, "732829320") && !strings.Contains(page, "Service invites SAS") {
		t.Error(page)
	}
	if _, _, page := alice.get(t, "/overview"); !strings.Contains(page, "<svg") || strings.Count(page, `class="flow"`) != 1 || !strings.Contains(page, "Invites &amp; ") {
		t.Error(page)
	}
	for what, then := range map[string]string{"refuse": `value="allow"`, "allow": `value="refuse"`, "": "", "<script>": ""} {
		status, location, _ := alice.post(t, "/conversions", url.Values{"what": {what}})
		if then == "" {
			if status != http.StatusBadRequest {
				t.Errorf("conversions %q: %d", what, status)
			}
			continue
		}
		if _, _, page := alice.get(t, "/overview"); status != http.StatusSeeOther || location != "/overview" || !strings.Contains(page, then) {
			t.Errorf("conversions %s: %d %s", what, status, location)
		}
	}
}

// does posts a form, and looks at the page that it leads to.
func (p *person) does(t *testing.T, path string, form url.Values, to, says string) {
	t.Helper()
	status, location, page := p.post(t, path, form)
	if status != http.StatusSeeOther || location != to {
		t.Fatalf("%s: %d, %s: %s", path, status, location, page)
	}
	if _, _, page := p.get(t, location); !strings.Contains(page, says) {
		t.Errorf("%s does not say %q: %s", location, says, page)
	}
}

func TestNews(t *testing.T) {
	s := newSite(t, dbtest.SQLite(t))
	alice := s.person(t, "alice")
	c := s.Grant(t, "invites", "alice")
	if err := s.read(t, c, formats.Contacts); err != nil {
		t.Fatal(err)
	}
	_, _, page := alice.get(t, "/consents")
	at := regexp.MustCompile(`name="at" value="([^"]*)"`).FindStringSubmatch(page)
	if at == nil || !strings.Contains(page, "What happened so far") || !strings.Contains(page, "read once, last on") {
		t.Fatal(page)
	}
	if err := s.read(t, c, formats.Contacts); err != nil { // after the page was made
		t.Fatal(err)
	}
	alice.does(t, "/news/seen", url.Values{"at": {strings.ReplaceAll(at[1], "&#43;", "+")}}, "/consents", "New since")
	for _, bad := range []string{"", "yesterday"} {
		if status, _, _ := alice.post(t, "/news/seen", url.Values{"at": {bad}}); status != http.StatusBadRequest {
			t.Error(status)
		}
	}
	if _, _, page := alice.get(t, "/consents"); !strings.Contains(page, "read once, last on") {
		t.Error("what came after the page is taken for seen:", page)
	}
}

// TestFind looks among many, page by page.
func TestFind(t *testing.T) {
	s := newSite(t, dbtest.SQLite(t))
	s.Service(t, "other", func(s *consent.Service) { s.Name = "Énergie du Roc" })
	for i := range 45 {
		s.Grant(t, []string{"invites", "other"}[i%2], "alice")
	}
	request := s.Ask(t, "other")
	if _, err := s.Refuse(t.Context(), s.Decision(t, request, "alice"), nil); err != nil {
		t.Fatal(err)
	}
	alice := s.person(t, "alice")
	cards := func(path string) (int, string) {
		_, _, page := alice.get(t, path)
		return strings.Count(page, "<article"), page
	}
	for path, want := range map[string]int{
		"/consents": 20, "/consents?page=2": 20, "/consents?page=3": 5, "/consents?page=4": 0, "/consents?page=x": 20, "/consents?q=energie": 20, "/consents?q=energie&page=2": 2,
		"/consents?q=nobody": 0, "/consents?dataset=contacts": 20, "/consents?dataset=bank": 0, "/consents?dataset=x": 20, "/consents?standing=refused": 1, "/consents?standing=ended": 0,
		"/consents?standing=x": 20, "/consents?q=" + strings.Repeat("%C3%A9", 5000): 0,
	} {
		if n, page := cards(path); n != want {
			t.Errorf("%.60s: %d, want %d: %s", path, n, want, page)
		}
	}
	_, page := cards("/consents?q=energie")
	if !strings.Contains(page, "Allowed now (22)") || !strings.Contains(page, "Refused (1)") || !strings.Contains(page, `href="/consents?page=2&amp;q=energie"`) {
		t.Error(page)
	}

}
