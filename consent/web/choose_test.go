package web_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/passerelle-cloud/passerelle/consent"
	"github.com/passerelle-cloud/passerelle/consent/consenttest"
	"github.com/passerelle-cloud/passerelle/formats"
	"github.com/passerelle-cloud/passerelle/internal/dbtest"
)

// money asks for bank and contacts whole, and for the bank accounts a and b alone.
func money(expires time.Time) json.RawMessage {
	return json.RawMessage(`[{"type":"personal_data","datasets":["bank","contacts"],"accounts":["a","b"],"from":"2026-01-01","actions":["read"],
		"purpose":{"iri":"` + consenttest.Purpose + `","text":{"fr":"Faire vos comptes","en":"To do your accounts"}},"retention":"P1Y","frequency":"continuous",
		"expires":"` + expires.UTC().Format(time.RFC3339) + `","recipients":[{"name":"Cloud <i>Inc</i>","country":"US"}],"third_country":{"countries":["US"],"safeguard":"Data Privacy Framework"}}]`)
}

func record(t testing.TB, d formats.Dataset, kind formats.Kind, id, body string, links ...formats.Link) formats.Record {
	t.Helper()
	if !json.Valid([]byte(body)) {
		t.Fatal(body)
	}
	return formats.Record{ID: id, Dataset: d, Kind: kind, Body: json.RawMessage(body), Links: links}
}

func (s *site) belongings(t testing.TB) {
	s.records[formats.Bank] = []formats.Record{
		record(t, formats.Bank, formats.KindAccount, "a", `{"name":"Compte courant","institution":"Banque A","currency":"EUR"}`),
		record(t, formats.Bank, formats.KindAccount, "c", `{"name":"Livret","institution":"Banque C","currency":"EUR"}`),
		record(t, formats.Bank, formats.KindOperation, "o1", `{"bookingDate":"2025-12-31","transactionAmount":{"amount":"-1.00","currency":"EUR"},"remittanceInformationUnstructured":"before the period"}`, formats.Link{Rel: "account", ID: "a"}),
		record(t, formats.Bank, formats.KindOperation, "o2", `{"bookingDate":"2026-02-01","transactionAmount":{"amount":"-12.30","currency":"EUR"},"remittanceInformationUnstructured":"BOULANGERIE <script>"}`, formats.Link{Rel: "account", ID: "a"}),
		record(t, formats.Bank, formats.KindOperation, "o3", `{"bookingDate":"2026-02-02","remittanceInformationUnstructured":"another account","transactionAmount":{"amount":"-1.00","currency":"EUR"},"creditorName":"X","debtorName":"Y"}`, formats.Link{Rel: "account", ID: "c"}),
	}
	s.records[formats.Contacts] = []formats.Record{record(t, formats.Contacts, formats.KindCard, "c1",
		`{"@type":"Card","version":"1.0","uid":"u","name":{"full":"Zoé Durand"},"emails":{"e":{"address":"zoe@example.org"}},"phones":{"p":{"number":"+33 1 23"}}}`)}
}

func TestExamplesAndChoices(t *testing.T) {
	s := newSite(t, dbtest.SQLite(t))
	s.belongings(t)
	alice := s.person(t, "alice")
	request := s.AskFor(t, consent.Asking{Service: "invites", Details: money(time.Now().AddDate(1, 0, 0))})
	path := "/consent/requests/" + request.ID
	_, _, page := alice.get(t, path)
	for _, want := range []string{
		"BOULANGERIE &lt;script&gt;", "-12.30 EUR", // of hers, for example
		"Banque A, Compte courant", `value="a" checked`, `value="b" checked`, // accounts, also one that is not there now
		"United States", "Data Privacy Framework", "Cloud &lt;i&gt;Inc&lt;/i&gt;",
		"These data say a lot about you", "The data leave Europe", "Others get the data as well", "reads whenever something changes", "asks for a long time", "whole collections",
		`name="fields-0-contacts" value="emails" checked`, `min="2026-01-01"`,
	} {
		if !strings.Contains(page, want) {
			t.Errorf("it does not say %q", want)
		}
	}
	for _, not := range []string{"before the period", "another account", "Livret", `value="c"`, "Zoé"} { // a contact has no day, so no period holds it
		if strings.Contains(page, not) {
			t.Errorf("it says %q, which the service would not see", not)
		}
	}
	if _, _, page := alice.get(t, "/consent/requests/"+s.Ask(t, "invites").ID); !strings.Contains(page, "Zoé Durand") || !strings.Contains(page, "zoe@example.org") {
		t.Error("contacts are asked for, and none is shown")
	}
	notice, err := s.Notice(t.Context(), request.ID, noticeHash.FindStringSubmatch(page)[1])
	if err != nil || strings.Contains(string(notice.Content), "Zoé") {
		t.Error("an example of the person's own is kept with the notice", err)
	}
	form := url.Values{"decision": {"grant"}, "notice": {notice.Hash}, "sets-0": {"bank", "contacts"}, "until": {"30"},
		"accounts-shown-0": {"1"}, "accounts-0": {"a"}, "fields-shown-0-bank": {"1"}, "fields-0-bank": {"bookingDate", "transactionAmount"},
		"fields-shown-0-contacts": {"1"}, "from-0": {"2026-03-01"}, "to-0": {"2026-03-31"}}
	if status, to, page := alice.post(t, path, form); status != http.StatusSeeOther || !strings.HasPrefix(to, "https://invites.example/") {
		t.Fatal(status, to, page)
	}
	list, err := s.Consents(t.Context(), "alice")
	if err != nil || len(list) != 1 {
		t.Fatal(list, err)
	}
	d := list[0].Details[0] // contacts: nothing of them was ticked
	if got := fmt.Sprint(d.Datasets, d.Fields, d.Accounts, " ", d.From, " ", d.To); got != "[bank] map[bank:[bookingDate transactionAmount]] [a] 2026-03-01 2026-03-31" {
		t.Error(got)
	}
}

// TestForms posts what no page of ours would.
func TestForms(t *testing.T) {
	s := newSite(t, dbtest.SQLite(t))
	s.belongings(t)
	alice := s.person(t, "alice")
	for name, c := range map[string]struct {
		change url.Values
		want   string // "": nothing is granted
	}{
		"as it is asked":             {url.Values{}, "[bank contacts] map[] [a b] 2026-01-01"},
		"more than was asked":        {url.Values{"sets-0": {"bank", "health"}, "from-0": {"2020-01-01"}, "until": {"3000"}}, "[bank] map[] [a b] 2026-01-01"},
		"no days":                    {url.Values{"from-0": {"yesterday"}, "to-0": {"2026-13-45"}, "until": {"-1"}}, "[bank contacts] map[] [a b] 2026-01-01"},
		"fields that are none":       {url.Values{"fields-shown-0-contacts": {"1"}, "fields-0-contacts": {"secrets"}}, "[bank] map[] [a b] 2026-01-01"},
		"an account of another bank": {url.Values{"accounts-shown-0": {"1"}, "accounts-0": {"c"}}, ""},
		"no account":                 {url.Values{"accounts-shown-0": {"1"}}, "[contacts] map[] [] 2026-01-01"},
		"all fields":                 {url.Values{"fields-shown-0-contacts": {"1"}, "fields-0-contacts": {"name", "nicknames", "organizations", "titles", "emails", "phones", "addresses", "anniversaries", "onlineServices", "links", "notes", "media"}}, "[bank contacts] map[] [a b] 2026-01-01"},
	} {
		t.Run(name, func(t *testing.T) {
			request := s.AskFor(t, consent.Asking{Service: "invites", Details: money(time.Now().AddDate(1, 0, 0))})
			path := "/consent/requests/" + request.ID
			_, _, page := alice.get(t, path)
			form := url.Values{"decision": {"grant"}, "notice": {noticeHash.FindStringSubmatch(page)[1]}, "sets-0": {"bank", "contacts"}}
			for k, v := range c.change {
				form[k] = v
			}
			status, to, _ := alice.post(t, path, form)
			if c.want == "" {
				if _, _, page := alice.get(t, path+"?nothing"); to != path+"?nothing" || !strings.Contains(page, "Nothing was ticked") {
					t.Error(status, to)
				}
				return
			}
			list, err := s.Consents(t.Context(), "alice")
			if err != nil || len(list) == 0 {
				t.Fatal(status, to, err)
			}
			d := list[0].Details[0]
			if got := fmt.Sprint(d.Datasets, d.Fields, d.Accounts, " ", d.From); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}

// TestStepUp asks who signed in long ago to prove it again before they give what is sensitive, and says so on both ways.
func TestStepUp(t *testing.T) {
	s := newSite(t, dbtest.SQLite(t))
	old := s.person(t, "alice long ago")
	request := s.AskFor(t, consent.Asking{Service: "invites", Details: money(time.Now().AddDate(0, 1, 0))})
	path := "/consent/requests/" + request.ID
	again := "/sign-in?again=1&next=" + url.QueryEscape(path)
	if status, to, _ := old.get(t, path); status != http.StatusSeeOther || to != again {
		t.Error(status, to)
	}
	_, _, page := s.person(t, "alice").get(t, path)
	form := url.Values{"decision": {"grant"}, "notice": {noticeHash.FindStringSubmatch(page)[1]}, "sets-0": {"contacts"}}
	if status, to, _ := old.post(t, path, form); status != http.StatusSeeOther || to != again {
		t.Error(status, to)
	}
	if list, _ := s.Consents(t.Context(), "alice"); len(list) != 0 {
		t.Error("granted by an old session")
	}
	form.Set("decision", "refuse") // to refuse needs no proof
	if status, to, _ := old.post(t, path, form); status != http.StatusSeeOther || !strings.Contains(to, "access_denied") {
		t.Error(status, to)
	}
	if status, _, _ := old.get(t, "/consent/requests/"+s.Ask(t, "invites").ID); status != http.StatusOK {
		t.Error("contacts are asked for, and nothing more:", status)
	}
}

// TestHostileService shows services that want to be taken for something else.
func TestHostileService(t *testing.T) {
	s := newSite(t, dbtest.SQLite(t))
	alice := s.person(t, "alice")
	purpose := strings.TrimSpace(strings.Repeat("</p><script>alert(1)</script>\u202eobtain ", 11))
	details := strings.ReplaceAll(string(consenttest.Details(time.Now().AddDate(1, 0, 0))), "To send your invitations to the people whom you know", jsonText(purpose))
	if _, err := s.Authority.Ask(t.Context(), consent.Asking{Service: "invites", Details: json.RawMessage(details), Expires: time.Now().Add(time.Hour)}, nil); err == nil {
		t.Error("a purpose may turn round the direction of what follows")
	}
	details = strings.ReplaceAll(details, "\u202e", "")
	request := s.AskFor(t, consent.Asking{Service: "invites", Details: json.RawMessage(details)})
	_, _, page := alice.get(t, "/consent/requests/"+request.ID)
	if strings.Contains(page, "<script>") || !strings.Contains(page, "<bdi>&lt;/p&gt;&lt;script&gt;") {
		t.Error(page)
	}
	for _, name := range []string{strings.Repeat("x", 10_000), "Bank\u202ekcart", "Inv\u0456tes & <b>Co</b>"} {
		if err := s.AddService(t.Context(), consent.Service{ID: "other", Name: name}); err == nil {
			t.Errorf("a service may be named %.40q", name)
		}
	}
}

func jsonText(s string) string {
	text, _ := json.Marshal(s)
	return strings.Trim(string(text), `"`)
}

// TestTwoTabs decides a request in one tab and then in another one, and goes back to it.
func TestTwoTabs(t *testing.T) {
	s := newSite(t, dbtest.SQLite(t))
	alice := s.person(t, "alice")
	request := s.Ask(t, "invites")
	path := "/consent/requests/" + request.ID
	_, _, page := alice.get(t, path)
	hash := noticeHash.FindStringSubmatch(page)[1]
	yes := url.Values{"decision": {"grant"}, "notice": {hash}, "sets-0": {"contacts"}}
	no := url.Values{"decision": {"refuse"}, "notice": {hash}}
	if status, _, _ := alice.post(t, path, no); status != http.StatusSeeOther {
		t.Fatal(status)
	}
	for _, form := range []url.Values{yes, no} {
		if status, _, page := alice.post(t, path, form); status != http.StatusConflict || !strings.Contains(page, "This request is over") {
			t.Error(status)
		}
	}
	if status, _, page := alice.get(t, path); status != http.StatusConflict || !strings.Contains(page, "This request is over") {
		t.Error(status)
	}
	if list, _ := s.Consents(t.Context(), "alice"); len(list) != 0 {
		t.Error("granted after a refusal")
	}
}
