package banktest_test

import (
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/passerelle-cloud/passerelle/operators/bank/banktest"
)

func (x *third) status(id string) string {
	x.t.Helper()
	return x.do("GET", "/v1/consents/"+id+"/status", "").at("consentStatus")
}

func TestExplicit(t *testing.T) {
	x := open(t, banktest.Config{Explicit: true, RelativeLinks: true})
	asked := x.ask(offered)
	start := asked.at("_links.startAuthorisation.href")
	if asked.at("_links.scaRedirect.href") != "" || !strings.HasPrefix(start, "/v1/") {
		t.Fatalf("%s", asked.text)
	}
	got := x.do("POST", start, "")
	if got.status != 201 || got.at("scaStatus") != "received" {
		t.Fatalf("%d %s", got.status, got.text)
	}
	x.sign(got.at("_links.scaRedirect.href"), banktest.Anne, x.bank.IBANs(banktest.Anne)...)
	if got := x.do("GET", got.at("_links.scaStatus.href"), ""); got.at("scaStatus") != "finalised" {
		t.Errorf("%s", got.text)
	}
	refused(t, "again", x.do("POST", start, ""), 409, "STATUS_INVALID")
	refused(t, "another's", x.do("GET", start+"/x", ""), 403, "RESOURCE_UNKNOWN")
}

func TestDecoupled(t *testing.T) {
	x := open(t, banktest.Config{Approach: banktest.Decoupled, DecoupledAfter: 3 * time.Second})
	asked := x.ask(offered, "PSU-ID: "+banktest.Anne)
	if asked.header.Get("ASPSP-SCA-Approach") != "DECOUPLED" || asked.at("scaStatus") != "started" || asked.at("psuMessage") == "" {
		t.Fatalf("%s", asked.text)
	}
	id := asked.at("consentId")
	if got := x.status(id); got != "received" {
		t.Error(got)
	}
	if err := x.bank.Advance(3 * time.Second); err != nil || x.status(id) != "valid" {
		t.Error(err, x.status(id))
	}

	unknown := x.ask(offered)
	at := unknown.at("_links.updatePsuIdentification.href")
	refused(t, "who", x.do("PUT", at, "{}"), 400, "FORMAT_ERROR")
	refused(t, "nobody", x.do("PUT", at, "{}", "PSU-ID: nobody"), 401, "PSU_CREDENTIALS_INVALID")
	if got := x.do("PUT", at, "{}", "PSU-ID: "+banktest.Anne); got.status != 200 || got.at("scaStatus") != "started" {
		t.Errorf("%d %s", got.status, got.text)
	}
	if err := x.bank.Authorise(unknown.at("consentId"), banktest.Anne, x.bank.IBANs(banktest.Anne)[1]); err != nil {
		t.Fatal(err)
	}
	if got := x.do("GET", "/v1/accounts", "", "Consent-ID: "+unknown.at("consentId")).list("accounts"); len(got) != 1 || got[0]["name"] != "Livret A" {
		t.Errorf("%v", got)
	}
}

func TestDecoupledExplicitWithChoice(t *testing.T) {
	x := open(t, banktest.Config{Approach: banktest.Decoupled, Explicit: true, Methods: 2})
	asked := x.ask(offered)
	start := asked.at("_links.startAuthorisationWithPsuIdentification.href")
	got := x.do("POST", start, "", "PSU-ID: "+banktest.Anne)
	at := got.at("_links.selectAuthenticationMethod.href")
	if got.at("scaStatus") != "psuIdentified" || len(got.list("scaMethods")) != 2 {
		t.Fatalf("%s", got.text)
	}
	refused(t, "no such", x.do("PUT", at, `{"authenticationMethodId":"pigeon"}`), 400, "SCA_METHOD_UNKNOWN")
	if got := x.do("PUT", at, `{"authenticationMethodId":"app"}`); got.at("scaStatus") != "started" || got.at("chosenScaMethod.authenticationType") != "PUSH_OTP" {
		t.Errorf("%s", got.text)
	}
	refused(t, "again", x.do("PUT", at, `{"authenticationMethodId":"app"}`), 409, "STATUS_INVALID")
}

func TestEmbedded(t *testing.T) {
	x := open(t, banktest.Config{Approach: banktest.Embedded, Methods: 3})
	asked := x.ask(offered, "PSU-ID: "+banktest.Anne)
	at := asked.at("_links.updatePsuAuthentication.href")
	refused(t, "code first", x.do("PUT", at, `{"scaAuthenticationData":"123456"}`), 409, "STATUS_INVALID")
	refused(t, "password", x.do("PUT", at, `{"psuData":{"password":"guess"}}`), 401, "PSU_CREDENTIALS_INVALID")
	if got := x.do("PUT", at, `{"psuData":{"password":"sandbox"}}`); got.at("scaStatus") != "psuAuthenticated" || len(got.list("scaMethods")) != 3 {
		t.Fatalf("%s", got.text)
	}
	got := x.do("PUT", at, `{"authenticationMethodId":"sms"}`)
	challenge, _ := got.body["challengeData"].(map[string]any)
	if got.at("scaStatus") != "scaMethodSelected" || challenge == nil {
		t.Fatalf("%s", got.text)
	}
	code := strings.TrimPrefix(challenge["data"].([]any)[0].(string), "sandbox: ")
	refused(t, "code", x.do("PUT", at, `{"scaAuthenticationData":"x"}`), 401, "PSU_CREDENTIALS_INVALID")
	if got := x.do("PUT", at, `{"scaAuthenticationData":"`+code+`"}`); got.at("scaStatus") != "finalised" || x.status(asked.at("consentId")) != "valid" {
		t.Errorf("%s", got.text)
	}
}

// TestGuesses sees that a consent is rejected after three mistakes.
func TestGuesses(t *testing.T) {
	x := open(t, banktest.Config{})
	asked := x.ask(offered)
	page := asked.at("_links.scaRedirect.href")
	for range 2 {
		if got, text := x.post(page, url.Values{"do": {"login"}, "person": {banktest.Anne}, "password": {"guess"}}); got.StatusCode != http.StatusUnprocessableEntity || !strings.Contains(text, `role="alert"`) {
			t.Errorf("%d", got.StatusCode)
		}
	}
	got, _ := x.post(page, url.Values{"do": {"login"}, "person": {banktest.Anne}, "password": {"guess"}})
	if got.Header.Get("Location") != "https://third.example/back" || x.status(asked.at("consentId")) != "rejected" {
		t.Error(got.Header, x.status(asked.at("consentId")))
	}
	if got, text := x.post(page, url.Values{"do": {"login"}, "person": {banktest.Anne}, "password": {"sandbox"}}); got.StatusCode != 200 || strings.Contains(text, `name="code"`) {
		t.Errorf("%d %s", got.StatusCode, text)
	}
}

// TestPage is what the page does not do.
func TestPage(t *testing.T) {
	x := open(t, banktest.Config{})
	asked := x.ask(offered, "TPP-Nok-Redirect-URI: https://third.example/nok")
	page := asked.at("_links.scaRedirect.href")
	mine := x.bank.IBANs(banktest.Anne)
	if _, text := x.post(page, url.Values{"do": {"agree"}, "code": {""}, "key": {""}, "account": mine}); !strings.Contains(text, `name="password"`) {
		t.Error("agreed without signing in", text)
	}
	_, text := x.post(page, url.Values{"do": {"login"}, "person": {banktest.Anne}, "password": {"sandbox"}})
	key := between(text, `name="key" value="`, `"`)
	code := between(text, `class="code">`, `<`)
	if _, text := x.post(page, url.Values{"do": {"agree"}, "key": {"x"}, "code": {code}, "account": mine}); !strings.Contains(text, `name="password"`) {
		t.Error("agreed with another key", text)
	}
	if _, text := x.post(page, url.Values{"do": {"agree"}, "key": {key}, "code": {code}}); !strings.Contains(text, `name="code"`) {
		t.Error("agreed to no account", text)
	}
	strangers := x.bank.IBANs(banktest.Bulk)
	if _, text := x.post(page, url.Values{"do": {"agree"}, "key": {key}, "code": {code}, "account": strangers}); !strings.Contains(text, `role="alert"`) {
		t.Error("agreed to a stranger's account", text)
	}
	r, err := http.NewRequest("POST", page, strings.NewReader("do=refuse"))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Sec-Fetch-Site", "cross-site")
	if got, err := x.http.Do(r); err != nil || got.StatusCode != http.StatusForbidden {
		t.Error("another site refuses in the person's name", err)
	}
	if got, _ := x.post(page, url.Values{"do": {"refuse"}}); got.Header.Get("Location") != "https://third.example/nok" || x.status(asked.at("consentId")) != "rejected" {
		t.Error(got.Header, x.status(asked.at("consentId")))
	}
	if got, err := x.http.Get(x.at + "/sca/unknown"); err != nil || got.StatusCode != http.StatusNotFound {
		t.Error(err)
	}
}

func between(text, before, after string) string {
	_, text, _ = strings.Cut(text, before)
	text, _, _ = strings.Cut(text, after)
	return text
}

const verifier = "a-verifier-that-is-long-enough-for-rfc-7636-and-then-some"

// authorize is the address to which a third party sends the browser.
func (x *third) authorize(scope string) string {
	x.t.Helper()
	metadata := x.do("GET", "/.well-known/oauth-authorization-server", "")
	sum := sha256.Sum256([]byte(verifier))
	return metadata.at("authorization_endpoint") + "?" + url.Values{"response_type": {"code"}, "client_id": {"third"}, "redirect_uri": {"https://third.example/back"}, "state": {"s"}, "scope": {scope},
		"code_challenge": {base64.RawURLEncoding.EncodeToString(sum[:])}, "code_challenge_method": {"S256"}}.Encode()
}

// follow is where the bank sends the browser.
func (x *third) follow(to string) string {
	x.t.Helper()
	got, err := x.http.Get(to)
	if err != nil {
		x.t.Fatal(err)
	}
	got.Body.Close()
	at := got.Header.Get("Location")
	if strings.HasPrefix(at, "/") {
		at = x.at + at
	}
	return at
}

// redeem redeems what came back from the bank.
func (x *third) redeem(back, verifier string) answer {
	x.t.Helper()
	u, err := url.Parse(back)
	if err != nil || u.Query().Get("state") != "s" || u.Query().Get("iss") != x.at {
		x.t.Fatal(back, err)
	}
	return x.token(url.Values{"grant_type": {"authorization_code"}, "code": {u.Query().Get("code")}, "redirect_uri": {"https://third.example/back"}, "client_id": {"third"}, "code_verifier": {verifier}})
}

func (x *third) token(form url.Values) answer {
	x.t.Helper()
	return x.do("POST", "/oauth/token", form.Encode(), "Content-Type: application/x-www-form-urlencoded")
}

func TestOAuth2(t *testing.T) {
	x := open(t, banktest.Config{Approach: banktest.OAuth2})
	asked := x.ask(offered)
	id := asked.at("consentId")
	if asked.at("_links.scaOAuth.href") != x.at+"/.well-known/oauth-authorization-server" || asked.header.Get("ASPSP-SCA-Approach") != "REDIRECT" {
		t.Fatalf("%s", asked.text)
	}
	back := x.sign(x.follow(x.authorize("AIS:"+id)), banktest.Anne, x.bank.IBANs(banktest.Anne)...)
	x.header.Set("Consent-ID", id)
	refused(t, "no token", x.do("GET", "/v1/accounts", ""), 401, "TOKEN_UNKNOWN")
	tokens := x.redeem(back, verifier)
	bearer := "Authorization: Bearer " + tokens.at("access_token")
	if got := x.do("GET", "/v1/accounts", "", bearer); len(got.list("accounts")) != 2 {
		t.Fatalf("%s %s", tokens.text, got.text)
	}
	if got := x.redeem(back, verifier); got.at("error") != "invalid_grant" {
		t.Errorf("a code served twice: %s", got.text)
	}
	refused(t, "refresh token", x.do("GET", "/v1/accounts", "", "Authorization: Bearer "+tokens.at("refresh_token")), 401, "TOKEN_UNKNOWN")
	if err := x.bank.Advance(time.Hour); err != nil {
		t.Fatal(err)
	}
	refused(t, "old", x.do("GET", "/v1/accounts", "", bearer), 401, "TOKEN_EXPIRED")
	again := x.token(url.Values{"grant_type": {"refresh_token"}, "refresh_token": {tokens.at("refresh_token")}})
	bearer = "Authorization: Bearer " + again.at("access_token")
	if got := x.do("GET", "/v1/accounts", "", bearer); got.status != 200 {
		t.Errorf("%s", got.text)
	}
	other := x.ask(offered).at("consentId")
	if err := x.bank.Authorise(other, banktest.Claire); err != nil {
		t.Fatal(err)
	}
	if got := x.bank.ConsentStatus(other); got != "partiallyAuthorised" { // Claire shares an account
		t.Error(got)
	}
	x.do("DELETE", "/v1/consents/"+id, "")
	refused(t, "deleted", x.do("GET", "/v1/accounts", "", bearer), 401, "CONSENT_INVALID")
	if got := x.token(url.Values{"grant_type": {"refresh_token"}, "refresh_token": {again.at("refresh_token")}}); got.at("error") != "invalid_grant" {
		t.Errorf("refreshed after the end: %s", got.text)
	}
}

func TestOAuth2Refused(t *testing.T) {
	x := open(t, banktest.Config{Approach: banktest.OAuth2})
	id := x.ask(offered).at("consentId")
	good := x.authorize("AIS:" + id)
	for name, c := range map[string]struct{ from, to, want string }{
		"no PKCE":        {"code_challenge=", "other=", "error=invalid_request"},
		"plain PKCE":     {"S256", "plain", "error=invalid_request"},
		"token":          {"response_type=code", "response_type=token", "error=unsupported_response_type"},
		"scope":          {"AIS%3A" + id, "PIS", "error=invalid_scope"},
		"pre-step":       {"AIS%3A" + id, "AIS", "error=invalid_scope"},
		"elsewhere":      {"third.example", "fourth.example", ""},
		"unknown":        {id, "x", ""},
		"no redirection": {"redirect_uri=", "other=", ""},
	} {
		if at := x.follow(strings.Replace(good, c.from, c.to, 1)); !strings.Contains(at, c.want) || (at == "") != (c.want == "") {
			t.Errorf("%s: %q", name, at)
		}
	}
	got, _ := x.post(x.follow(good), url.Values{"do": {"refuse"}})
	if at := got.Header.Get("Location"); !strings.Contains(at, "error=access_denied") || !strings.Contains(at, "state=s") {
		t.Error(at)
	}
	if at := x.follow(good); !strings.Contains(at, "error=access_denied") {
		t.Error(at)
	}
	id = x.ask(offered).at("consentId")
	back := x.sign(x.follow(x.authorize("AIS:"+id)), banktest.Anne, x.bank.IBANs(banktest.Anne)...)
	if got := x.redeem(back, "another"); got.at("error") != "invalid_grant" {
		t.Errorf("another verifier: %s", got.text)
	}
	if got := x.redeem(back, verifier); got.at("error") != "invalid_grant" {
		t.Errorf("a code was tried twice: %s", got.text)
	}
}

func TestPreStep(t *testing.T) {
	x := open(t, banktest.Config{PreStep: true})
	refused(t, "no token", x.ask(offered), 401, "TOKEN_UNKNOWN")
	page := x.follow(x.authorize("AIS"))
	if got, _ := x.post(page, url.Values{"person": {banktest.Anne}, "password": {"guess"}}); got.StatusCode != http.StatusUnprocessableEntity {
		t.Error(got.StatusCode)
	}
	got, _ := x.post(page, url.Values{"person": {banktest.Anne}, "password": {"sandbox"}})
	x.header.Set("Authorization", "Bearer "+x.redeem(got.Header.Get("Location"), verifier).at("access_token"))
	asked := x.ask(offered)
	if to := x.sign(asked.at("_links.scaRedirect.href"), banktest.Anne, x.bank.IBANs(banktest.Anne)...); to != "https://third.example/back" {
		t.Error(to)
	}
	if got := x.do("GET", "/v1/accounts", "", "Consent-ID: "+asked.at("consentId")); len(got.list("accounts")) != 2 {
		t.Errorf("%s", got.text)
	}
	other := x.ask(offered)
	_, text := x.post(other.at("_links.scaRedirect.href"), url.Values{"do": {"login"}, "person": {banktest.Bulk}, "password": {"sandbox"}})
	if !strings.Contains(text, `role="alert"`) {
		t.Error("another person signed in than the token's")
	}
}
