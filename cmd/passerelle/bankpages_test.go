package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/passerelle-cloud/passerelle/internal/apitest"
)

// bankDemo opens the operators and the bank of the demo, A being reached through a door that holds its answers against
// openapi.yaml.
func bankDemo(t *testing.T) (*demo, *surfer) {
	t.Helper()
	d := &demo{program: &program{out: &strings.Builder{}}, dir: t.TempDir(), began: time.Now(), seed: 1}
	t.Cleanup(func() { d.close(true) })
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(d.operators(t.Context()))
	must(d.opensBank(t.Context()))
	must(d.serve(t.Context()))
	p, err := inventPatient(t.Context(), 3, time.Now())
	must(err)
	must(d.fill(t.Context(), p))
	b, err := newSurfer()
	must(err)
	doors := map[string]string{}
	for _, s := range []*serving{d.sa, d.sb} {
		door := httptest.NewServer(apitest.Check(t, s.http.Handler))
		t.Cleanup(door.Close)
		doors[s.listener.Addr().String()] = door.Listener.Addr().String()
	}
	b.client.Transport = through(doors)
	return d, b
}

// through sends requests for some hosts to others.
type through map[string]string

func (t through) RoundTrip(r *http.Request) (*http.Response, error) {
	sent := r.Clone(r.Context())
	if door, ok := t[r.URL.Host]; ok {
		sent.URL.Host, sent.Host = door, r.URL.Host
	}
	answer, err := http.DefaultTransport.RoundTrip(sent)
	if err == nil {
		answer.Request = r
	}
	return answer, err
}

// visits asks for a page or sends a form, and says what it is answered in the end.
func (b *surfer) visits(t *testing.T, method, to string, form url.Values) (status int) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, to, strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	if method == http.MethodPost {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	answer, err := b.client.Do(r)
	if err != nil {
		t.Fatalf("%s %s: %v", method, to, err)
	}
	defer answer.Body.Close()
	page, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	b.at, b.page = answer.Request.URL.String(), string(page)
	return answer.StatusCode
}

// step is something that a person does on pages.
type step struct {
	method, to string
	form       url.Values
	status     int
}

func (b *surfer) walks(t *testing.T, steps ...step) {
	t.Helper()
	for _, s := range steps {
		if status := b.visits(t, s.method, s.to, s.form); status != s.status {
			t.Fatalf("%s %s: %d, want %d\n%s", s.method, s.to, status, s.status, b.page)
		}
	}
}

// TestBankPagesAsDescribed connects a bank, authenticates again and disconnects it, and tries what cannot be: all answers are as openapi.yaml
// describes them.
func TestBankPagesAsDescribed(t *testing.T) {
	d, b := bankDemo(t)
	at := d.sa.url()
	id, err := d.connectsBank(t.Context(), b)
	if err != nil {
		t.Fatal(err)
	}
	here := at + "/bank/connections/" + id
	first, err := d.retrieved(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	b.walks(t,
		step{"GET", at + "/bank", nil, 200},
		step{"GET", at + "/bank/connect", nil, 200},
		step{"GET", at + "/bank/connect?q=ruisseau", nil, 200},
		step{"GET", at + "/bank/connect?bank=ruisseau", nil, 200},
		step{"GET", at + "/bank/connect?bank=nobody", nil, 404},
		step{"POST", at + "/bank/connect", url.Values{"bank": {"ruisseau"}}, 422},
		step{"POST", at + "/bank/connect", url.Values{"bank": {"nobody"}, "balances": {"1"}}, 404},
		step{"GET", at + "/bank/back?state=none", nil, 400},
		step{"GET", here, nil, 200},
		step{"GET", here + "/events", nil, 200},
		step{"GET", at + "/bank/connections/none", nil, 404},
		step{"POST", here + "/accounts", url.Values{"account": {first.Accounts[0].ID}}, 200},
		step{"POST", here + "/refresh", nil, 200},
		step{"POST", here + "/method", url.Values{"method": {"none"}}, 409},
		step{"POST", here + "/again", nil, 200}, // on the bank's page
	)
	if err := d.agreesAtBank(t.Context(), b); err != nil || !strings.HasPrefix(b.at, here) {
		t.Fatalf("at %s: %v", b.at, err)
	}
	second, err := d.retrieved(t.Context(), id)
	if err != nil || second.Consent == first.Consent {
		t.Fatalf("%+v: %v", second, err)
	}
	b.walks(t,
		step{"POST", here + "/disconnect", nil, 200},
		step{"POST", here + "/again", nil, 409},
	)
	if was, is := d.bank.ConsentStatus(first.Consent), d.bank.ConsentStatus(second.Consent); was == "valid" || is != "terminatedByTpp" {
		t.Errorf("at the bank the first consent is %s, and the second one %s", was, is)
	}
}

// TestNoBanks asks for the pages of banks at an operator who reads at none.
func TestNoBanks(t *testing.T) {
	d, b := bankDemo(t)
	at := d.sb.url()
	if err := d.sb.server.accounts.SetPassword(t.Context(), person, saverPassword); err != nil {
		t.Fatal(err)
	}
	b.walks(t,
		step{"POST", at + "/sign-in", url.Values{"name": {person}, "password": {saverPassword}}, 200},
		step{"GET", at + "/bank", nil, 200},
		step{"GET", at + "/bank/connect", nil, 404},
		step{"GET", at + "/bank/connect?bank=ruisseau", nil, 404},
		step{"POST", at + "/bank/connect", url.Values{"bank": {"ruisseau"}, "balances": {"1"}}, 404},
		step{"GET", at + "/bank/back?state=none", nil, 404},
		step{"GET", at + "/bank/connections/none", nil, 404},
		step{"GET", at + "/bank/connections/none/events", nil, 404},
		step{"POST", at + "/bank/connections/none/disconnect", nil, 404},
	)
}
