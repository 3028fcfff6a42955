package web_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	complianceapi "github.com/passerelle-cloud/passerelle/compliance/api"
	"github.com/passerelle-cloud/passerelle/compliance/audit"
	"github.com/passerelle-cloud/passerelle/compliance/audittest"
	"github.com/passerelle-cloud/passerelle/compliance/web"
	"github.com/passerelle-cloud/passerelle/consent"
	"github.com/passerelle-cloud/passerelle/formats"
	"github.com/passerelle-cloud/passerelle/internal/apitest"
	"github.com/passerelle-cloud/passerelle/internal/brand"
	"github.com/passerelle-cloud/passerelle/internal/dbtest"
	"github.com/passerelle-cloud/passerelle/internal/sqldb"
	"github.com/passerelle-cloud/passerelle/internal/webui"
)

var ctx = context.Background()

// office is a gateway whose desk is served, held against openapi.yaml.
type office struct {
	*audittest.Gateway
	desk   *audit.Desk
	server *httptest.Server
	code   string
	who    *audit.Auditor
}

func newOffice(t testing.TB, db *sqldb.DB) *office {
	t.Helper()
	o := &office{Gateway: audittest.New(t, db)}
	o.Switched = func(context.Context, time.Time) ([]audit.Switched, error) {
		return []audit.Switched{{Consent: "c-1", To: "<u>other", Given: time.Now().AddDate(0, 0, -3), Prolonged: true, Moved: time.Now(), Until: time.Now().AddDate(0, 0, 31)}}, nil
	}
	o.desk, o.code, o.who = o.OpenDesk(t, nil, "Ada <b>Contrôle</b>")
	brands, err := brand.Single(brand.Brand{Name: "Maison"})
	must(t, err)
	pages, err := web.New(webui.Options{Brands: brands, Operator: "Maison SA", Zone: time.UTC}, web.Options{Desk: o.desk, Key: func(*http.Request) (string, error) { return o.VerifierKey, nil }})
	must(t, err)
	mux := http.NewServeMux()
	for pattern, do := range map[string]http.HandlerFunc{
		"GET /desk": pages.For(pages.Home), "GET /desk/sign-in": pages.SignIn, "POST /desk/sign-in": pages.DoSignIn, "POST /desk/sign-out": pages.DoSignOut,
		"GET /desk/articles": pages.For(pages.Articles), "GET /desk/rules/{pack}": pages.For(pages.Rules), "GET /desk/questions": pages.For(pages.Questions), "POST /desk/questions": pages.For(pages.Ask),
		"POST /desk/evidence": pages.For(pages.Evidence), "POST /desk/persons": pages.For(pages.Find), "POST /desk/identities": pages.For(pages.Identify),
		"GET /desk/consents/{id}": pages.For(pages.Consent), "GET /desk/transfers": pages.For(pages.Transfers), "GET /desk/withdrawals": pages.For(pages.Withdrawals),
		"GET /desk/numbers": pages.For(pages.Numbers), "GET /desk/registers": pages.For(pages.Registers), "GET /desk/conduct": pages.For(pages.Conduct),
	} {
		mux.HandleFunc(pattern, do)
	}
	a := &complianceapi.API{Desk: o.desk, Allowed: func(http.ResponseWriter, *http.Request) bool { return true }, Log: slog.New(slog.DiscardHandler)}
	for pattern, do := range map[string]http.HandlerFunc{
		"GET /audit/articles": a.Auditor(a.Articles), "GET /audit/consents/{id}": a.Auditor(a.Consent), "GET /audit/transfers/{id}": a.Auditor(a.Transfer), "POST /audit/questions": a.Auditor(a.Question),
		"GET /audit/withdrawals": a.Auditor(a.Withdrawals), "GET /audit/aggregates": a.Auditor(a.Aggregates), "GET /audit/registers": a.Auditor(a.Registers), "GET /audit/conduct": a.Auditor(a.Conduct),
		"POST /audit/persons": a.Auditor(a.Find), "POST /audit/identities": a.Auditor(a.Identify),
		"GET /admin/auditors": a.Only(a.GetAuditors), "POST /admin/auditors": a.Only(a.PostAuditor), "DELETE /admin/auditors/{id}": a.Only(a.DeleteAuditor), "POST /admin/evidence": a.Only(a.PostEvidence),
		"POST /admin/findings": a.Only(a.PostFindings), "GET /admin/matters": a.Only(a.GetMatters), "GET /admin/processing": a.Only(a.GetProcessing), "POST /admin/matters": a.Only(a.PostMatter),
		"PUT /admin/matters/{id}/prolongation": a.Only(a.PutProlongation), "PUT /admin/matters/{id}/outcome": a.Only(a.PutOutcome),
	} {
		mux.HandleFunc(pattern, do)
	}
	o.server = httptest.NewServer(apitest.Check(t, mux))
	t.Cleanup(o.server.Close)
	return o
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// browser is one that keeps cookies, and stays where it is sent from.
func browser(t testing.TB) *http.Client {
	t.Helper()
	jar, err := cookiejar.New(nil)
	must(t, err)
	return &http.Client{Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

func (o *office) visit(t testing.TB, c *http.Client, path string, form url.Values) (*http.Response, string) {
	t.Helper()
	r, err := http.NewRequest(http.MethodGet, o.server.URL+path, nil)
	if form != nil {
		r, err = http.NewRequest(http.MethodPost, o.server.URL+path, strings.NewReader(form.Encode()))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	must(t, err)
	r.Header.Set("Accept-Language", "fr")
	answer, err := c.Do(r)
	must(t, err)
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	must(t, err)
	return answer, string(text)
}

func (o *office) read(t testing.TB, c consent.Consent) string {
	t.Helper()
	p, err := o.Permit(ctx, consent.Access{Consent: c.ID, Service: c.Service, Datasets: []formats.Dataset{formats.Contacts}, Action: consent.Read, Token: "aa11"})
	must(t, err)
	must(t, p.Done(ctx, consent.Sent{Records: 3, Bytes: 120, Outcome: consent.Complete}))
	return p.ID()
}

// TestDesk walks through every page, in French, as an auditor with a hostile service, and takes evidence away.
func TestDesk(t *testing.T) {
	o := newOffice(t, dbtest.SQLite(t))
	o.Service(t, "hostile", func(s *consent.Service) {
		s.Name = "x<script>alert(1)</script>"
		s.LegalName = "Hostile <img src=x> SAS"
	})
	c := o.Grant(t, "hostile", "alice")
	access := o.read(t, c)
	o.Service(t, "reader")
	for _, person := range []string{"b1", "b2", "b3", "b4", "b5", "b6"} {
		o.Grant(t, "reader", person)
	}
	_, err := o.Withdraw(ctx, consent.Ending{Consent: c.ID, Person: "alice", State: consent.Withdrawn, Reason: "<i>enough</i>"})
	must(t, err)
	must(t, o.Suspend(ctx, "hostile", "it <b>abused</b>"))
	_, err = o.desk.OpenMatter(ctx, audit.Breach, "<u>laptop</u>", time.Now().Add(-100*time.Hour))
	must(t, err)
	_, err = o.desk.Evaluate(ctx)
	must(t, err)

	b := browser(t)
	if answer, _ := o.visit(t, b, "/desk/numbers", nil); answer.StatusCode != 303 || answer.Header.Get("Location") != "/desk/sign-in?next=%2Fdesk%2Fnumbers" {
		t.Errorf("nobody is signed in: %s %s", answer.Status, answer.Header.Get("Location"))
	}
	for _, code := range []string{"", "wrong", "' OR ''='"} {
		if answer, text := o.visit(t, b, "/desk/sign-in", url.Values{"code": {code}}); answer.StatusCode != 401 || !strings.Contains(text, "Personne ne peut contrôler") {
			t.Errorf("%q: %s", code, answer.Status)
		}
	}
	if answer, _ := o.visit(t, b, "/desk/sign-in", url.Values{"code": {o.code}, "next": {"https://evil.example/desk"}}); answer.StatusCode != 303 || answer.Header.Get("Location") != "/desk" {
		t.Errorf("%s %s", answer.Status, answer.Header.Get("Location"))
	}
	for path, says := range map[string]string{
		"/desk":                        "Ada &lt;b&gt;Contrôle",
		"/desk/articles":               "à regarder",
		"/desk/rules/gdpr":             "func Pack() consent.Pack",
		"/desk/questions":              "Y en avait-il un",
		"/desk/consents/" + c.ID:       "&lt;i&gt;enough",
		"/desk/transfers":              "Identifiant de l’accès",
		"/desk/transfers?id=" + access: "Il était couvert",
		"/desk/withdrawals":            "jusqu’à 1 s",
		"/desk/withdrawals?days=365":   "Des 365 derniers jours",
		"/desk/numbers":                "Contacts",
		"/desk/registers":              "&lt;u&gt;laptop",
		"/desk/registers?":             "&lt;u&gt;other",
		"/desk/conduct":                "A regardé les registres",
	} {
		if path == "/desk/conduct" {
			o.visit(t, b, "/desk/registers", nil)
		}
		answer, text := o.visit(t, b, path, nil)
		if answer.StatusCode != 200 || !strings.Contains(text, says) {
			t.Errorf("%s: %s, without %s\n%s", path, answer.Status, says, text)
		}
		for _, bad := range []string{"alice", "<script>alert", "<img src=x", "<b>abused", "<i>enough", "<u>laptop", "<u>other", "<b>Contr"} {
			if strings.Contains(text, bad) {
				t.Errorf("%s shows %s", path, bad)
			}
		}
	}
	for path, status := range map[string]int{"/desk/consents/nothing": 404, "/desk/rules/nothing": 404, "/desk/transfers?id=%27%3B--": 404, "/desk/withdrawals?days=x": 400, "/desk/withdrawals?days=99999": 400} {
		if answer, _ := o.visit(t, b, path, nil); answer.StatusCode != status {
			t.Errorf("%s: %s", path, answer.Status)
		}
	}

	answer, text := o.visit(t, b, "/desk/questions", url.Values{"consent": {c.ID}, "dataset": {"contacts"}})
	if answer.StatusCode != 200 || !strings.Contains(text, "Non, il n’y en avait pas") || !strings.Contains(text, "Retiré") || !strings.Contains(text, "Chacun était couvert") {
		t.Errorf("%s %s", answer.Status, text)
	}
	answer, text = o.visit(t, b, "/desk/evidence", url.Values{"consent": {c.ID}})
	if answer.StatusCode != 200 || answer.Header.Get("Content-Type") != "application/zip" {
		t.Fatal(answer.Status)
	}
	if p, err := audit.Open(strings.NewReader(text), int64(len(text)), o.Trust); err != nil || len(p.Accesses) != 1 {
		t.Error("the evidence:", err)
	}
	const reason = "plainte 2026/117"
	answer, text = o.visit(t, b, "/desk/persons", url.Values{"name": {"alice"}, "reason": {reason}})
	at := strings.Index(text, "p-")
	if answer.StatusCode != 200 || at < 0 {
		t.Fatal(answer.Status, text)
	}
	subject := text[at : at+18]
	if answer, text := o.visit(t, b, "/desk/identities", url.Values{"subject": {subject}, "reason": {reason}}); answer.StatusCode != 200 || !strings.Contains(text, "<bdi>alice</bdi>") {
		t.Errorf("%s %s", answer.Status, text)
	}
	for path, form := range map[string]url.Values{
		"/desk/persons":    {"name": {"alice"}, "reason": {"because"}},
		"/desk/identities": {"subject": {subject}},
		"/desk/questions":  {"consent": {c.ID}, "at": {"yesterday"}},
		"/desk/evidence":   {},
	} {
		if answer, _ := o.visit(t, b, path, form); answer.StatusCode != 400 {
			t.Errorf("%s %v: %s", path, form, answer.Status)
		}
	}
	if answer, _ := o.visit(t, b, "/desk/sign-out", url.Values{}); answer.StatusCode != 303 {
		t.Error(answer.Status)
	}
	if answer, _ := o.visit(t, b, "/desk", nil); answer.StatusCode != 303 {
		t.Error("signed out:", answer.Status)
	}
}

// TestRevokedAtOnce: an auditor who is revoked sees nothing more, also in a page that is open.
func TestRevokedAtOnce(t *testing.T) {
	o := newOffice(t, dbtest.SQLite(t))
	b := browser(t)
	o.visit(t, b, "/desk/sign-in", url.Values{"code": {o.code}})
	if answer, _ := o.visit(t, b, "/desk", nil); answer.StatusCode != 200 {
		t.Fatal(answer.Status)
	}
	must(t, o.desk.Revoke(ctx, o.who.ID))
	if answer, _ := o.visit(t, b, "/desk", nil); answer.StatusCode != 303 {
		t.Error("a page:", answer.Status)
	}
	if answer, _ := o.visit(t, b, "/desk/persons", url.Values{"name": {"alice"}, "reason": {"a good reason"}}); answer.StatusCode != 401 {
		t.Error("a form:", answer.Status)
	}
	if status, _ := o.call(t, o.code, http.MethodGet, "/audit/articles", nil); status != 401 {
		t.Error("a program:", status)
	}
}

// call is what a program of an auditor's does, or of an administrator's.
func (o *office) call(t testing.TB, code, method, path string, body any) (int, map[string]any) {
	t.Helper()
	text, err := json.Marshal(body)
	must(t, err)
	r, err := http.NewRequest(method, o.server.URL+path, bytes.NewReader(text))
	must(t, err)
	r.Header.Set("Content-Type", "application/json")
	if code != "" {
		r.Header.Set("Authorization", "Bearer "+code)
	}
	answer, err := http.DefaultClient.Do(r)
	must(t, err)
	defer answer.Body.Close()
	var got map[string]any
	text, err = io.ReadAll(answer.Body)
	must(t, err)
	json.Unmarshal(text, &got)
	return answer.StatusCode, got
}

// TestInterface asks everything over the interface for programs, and administers.
func TestInterface(t *testing.T) {
	o := newOffice(t, dbtest.SQLite(t))
	o.Service(t, "reader")
	c := o.Grant(t, "reader", "alice")
	access := o.read(t, c)
	for path, member := range map[string]string{
		"/audit/articles": "articles", "/audit/consents/" + c.ID: "subject", "/audit/transfers/" + access: "covered", "/audit/withdrawals?days=7": "dead",
		"/audit/aggregates": "states", "/audit/registers": "matters", "/audit/conduct": "conduct",
	} {
		status, got := o.call(t, o.code, http.MethodGet, path, nil)
		if status != 200 || got[member] == nil {
			t.Errorf("%s: %d %v", path, status, got)
		}
		if status, _ := o.call(t, "wrong", http.MethodGet, path, nil); status != 401 {
			t.Errorf("%s with a wrong code: %d", path, status)
		}
	}
	status, got := o.call(t, o.code, http.MethodPost, "/audit/persons", map[string]string{"name": "alice", "reason": "complaint 2026/117"})
	subject, _ := got["subject"].(string)
	if status != 200 || subject == "" {
		t.Fatal(status, got)
	}
	if status, got := o.call(t, o.code, http.MethodPost, "/audit/questions", map[string]string{"subject": subject, "service": "reader", "dataset": "contacts"}); status != 200 || got["answer"].(map[string]any)["given"] != true {
		t.Error(status, got)
	}
	if status, got := o.call(t, o.code, http.MethodPost, "/audit/identities", map[string]string{"subject": subject, "reason": "complaint 2026/117"}); status != 200 || got["name"] != "alice" {
		t.Error(status, got)
	}
	for name, k := range map[string]struct {
		path   string
		body   any
		status int
	}{
		"no question":      {"/audit/questions", map[string]string{}, 400},
		"an odd dataset":   {"/audit/questions", map[string]string{"consent": c.ID, "dataset": "<script>"}, 400},
		"one member more":  {"/audit/questions", map[string]string{"consent": c.ID, "more": "x"}, 400},
		"no such person":   {"/audit/identities", map[string]string{"subject": "p-x", "reason": "complaint 2026/117"}, 404},
		"no reason":        {"/audit/identities", map[string]string{"subject": subject}, 400},
		"nobody":           {"/audit/persons", map[string]string{"name": "nobody", "reason": "complaint 2026/117"}, 404},
		"not JSON at all":  {"/audit/questions", "x", 400},
		"no such consent":  {"/audit/questions", map[string]string{"consent": "x"}, 404},
		"evidence for you": {"/admin/evidence", map[string]string{"person": "alice", "service": "reader"}, 400},
		"of nobody":        {"/admin/evidence", map[string]string{"person": "nobody", "service": "reader", "to": "x"}, 410},
		"no matter":        {"/admin/matters", map[string]string{"kind": "party", "title": "x"}, 400},
		"for ever":         {"/admin/auditors", map[string]any{"name": "A", "authority": "B", "days": 1000}, 400},
	} {
		if status, got := o.call(t, o.code, http.MethodPost, k.path, k.body); status != k.status {
			t.Errorf("%s: %d %v", name, status, got)
		}
	}
	if status, got := o.call(t, "", http.MethodPost, "/admin/auditors", map[string]any{"name": "Bob", "authority": "ACPR"}); status != 200 || got["code"] == "" {
		t.Error(status, got)
	}
	if status, got := o.call(t, "", http.MethodPost, "/admin/findings", nil); status != 200 || len(got["findings"].([]any)) != 13 {
		t.Error(status, got)
	}
	if status, _ := o.call(t, "", http.MethodPost, "/admin/evidence", map[string]string{"person": "alice", "service": "reader", "to": "a court"}); status != 200 {
		t.Error(status)
	}
	status, got = o.call(t, "", http.MethodPost, "/admin/matters", map[string]string{"kind": "right", "title": "access to my data"})
	id, _ := got["id"].(string)
	if status != 200 || id == "" {
		t.Fatal(status, got)
	}
	for _, what := range []string{"prolongation", "outcome"} {
		if status, got := o.call(t, "", http.MethodPut, "/admin/matters/"+id+"/"+what, map[string]string{"text": "many files"}); status != 200 {
			t.Error(what, status, got)
		}
		if status, _ := o.call(t, "", http.MethodPut, "/admin/matters/"+id+"/"+what, map[string]string{"text": "twice"}); status != 404 {
			t.Error(what, "twice", status)
		}
	}
	if status, got := o.call(t, "", http.MethodGet, "/admin/matters", nil); status != 200 || len(got["matters"].([]any)) != 1 {
		t.Error(status, got)
	}
	if status, got := o.call(t, "", http.MethodGet, "/admin/processing", nil); status != 200 || len(got["activities"].([]any)) != 1 {
		t.Error(status, got)
	}
	if status, _ := o.call(t, "", http.MethodDelete, "/admin/auditors/"+o.who.ID, nil); status != 200 {
		t.Error(status)
	}
	if status, _ := o.call(t, "", http.MethodDelete, "/admin/auditors/nobody", nil); status != 404 {
		t.Error(status)
	}
	if status, got := o.call(t, "", http.MethodGet, "/admin/auditors", nil); status != 200 || len(got["auditors"].([]any)) != 2 {
		t.Error(status, got)
	}
}
