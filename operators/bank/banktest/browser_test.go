package banktest_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/passerelle-cloud/passerelle/internal/browsertest"
	"github.com/passerelle-cloud/passerelle/operators/bank/banktest"
)

// looks holds a page against what every page must be.
func looks(t *testing.T, b *browsertest.Browser, name string) {
	t.Helper()
	b.Axe()
	b.Screenshot(name)
	if wide, small, faults := b.Overflowing(), b.Small(), b.Faults(); len(wide)+len(small)+len(faults) > 0 {
		t.Errorf("%s: too wide %v, too small %v, faults %v", name, wide, small, faults)
	}
}

// TestPages goes through the bank's pages on a telephone, and on a dark desktop. Their policy forbids scripts, so that they work
// without.
func TestPages(t *testing.T) {
	third := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		_, _ = w.Write([]byte(`<!doctype html><html lang="en"><title>Back</title><main><h1>Back at the third party</h1></main>`))
	}))
	defer third.Close()
	for name, c := range map[string]struct {
		options                                            browsertest.Options
		who, word, in, code, agree, refuse, other, nothing string
	}{
		"fr": {browsertest.Options{Width: 360, Height: 740, Phone: true, Language: "fr"}, "Identifiant client", "Mot de passe", "Se connecter", "Code de confirmation", "Accepter", "Refuser", "English", "Il n’y a rien à décider"},
		"en": {browsertest.Options{Dark: true, Language: "en"}, "Customer number", "Password", "Sign in", "Confirmation code", "Agree", "Refuse", "Français", "There is nothing to decide"},
	} {
		t.Run(name, func(t *testing.T) {
			x := open(t, banktest.Config{})
			b := browsertest.Open(t, c.options)
			b.Go(x.at)
			b.See("NextGenPSD2")
			if got, err := http.Get(x.at); err != nil || !strings.HasPrefix(got.Header.Get("Content-Security-Policy"), "default-src 'none'; style-src 'self';") {
				t.Error("scripts may run", err)
			}
			looks(t, b, "bank-home-"+name)
			asked := x.ask(offered, "TPP-Brand-Logging-Information: Mes Comptes", "TPP-Redirect-URI: "+third.URL+"/back")
			b.Go(asked.at("_links.scaRedirect.href"))
			b.See("Mes Comptes")
			looks(t, b, "bank-login-"+name)
			b.Fill(c.who, banktest.Anne)
			b.Fill(c.word, "guess")
			b.Click(c.in)
			looks(t, b, "bank-wrong-"+name)
			b.Fill(c.who, banktest.Anne)
			b.Fill(c.word, banktest.Password)
			b.Click(c.in)
			looks(t, b, "bank-decide-"+name)
			b.Click("Livret A")
			b.Fill(c.code, codeOn(t, b.Text()))
			b.Click(c.agree)
			b.See("Back at the third party")
			if got := x.do("GET", "/v1/accounts", "", "Consent-ID: "+asked.at("consentId")).list("accounts"); len(got) != 1 {
				t.Errorf("%v", got)
			}
			b.Go(asked.at("_links.scaRedirect.href"))
			b.See(c.nothing)
			looks(t, b, "bank-gone-"+name)

			asked = x.ask(offered, "TPP-Redirect-URI: "+third.URL+"/back")
			b.Go(asked.at("_links.scaRedirect.href"))
			b.Click(c.other)
			b.Click(map[string]string{"Refuser": "Refuse", "Refuse": "Refuser"}[c.refuse])
			b.See("Back at the third party")
			if got := x.status(asked.at("consentId")); got != "rejected" {
				t.Error(got)
			}
		})
	}
}

// codeOn is the only number of six digits on a page.
func codeOn(t *testing.T, text string) string {
	t.Helper()
	for _, word := range strings.Fields(text) {
		if len(word) == 6 && strings.Trim(word, "0123456789") == "" {
			return word
		}
	}
	t.Fatalf("no code on %q", text)
	return ""
}
