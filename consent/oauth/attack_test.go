package oauth_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/passerelle-cloud/passerelle/consent"
	"github.com/passerelle-cloud/passerelle/consent/consenttest"
	"github.com/passerelle-cloud/passerelle/consent/oauth"
	"github.com/passerelle-cloud/passerelle/internal/dbtest"
	"github.com/passerelle-cloud/passerelle/internal/fapi"
	"github.com/passerelle-cloud/passerelle/internal/sqldb"
)

// TestPushed is what must not be pushed, each with the error that it gets.
func TestPushed(t *testing.T) {
	g := newGateway(t, dbtest.SQLite(t))
	c := g.client(t, "invites")
	g.client(t, "other")
	challenge := strings.Repeat("A", 43)
	for _, k := range []struct {
		name string
		more url.Values
		want string
	}{
		{"fine", nil, ""},
		{"no state", url.Values{"state": nil}, ""},
		{"a short state", url.Values{"state": {"x"}}, ""},
		{"a long state", url.Values{"state": {strings.Repeat("s", 1000)}}, ""},
		{"a nonce of 64", url.Values{"nonce": {strings.Repeat("n", 64)}, "scope": {"openid"}}, ""},
		{"an endless state", url.Values{"state": {strings.Repeat("s", 2001)}}, "invalid_request"},
		{"as another client", url.Values{"client_id": {"other"}}, "invalid_client"},
		{"as itself", url.Values{"client_id": {"invites"}}, ""},
		{"no challenge", url.Values{"code_challenge": nil}, "invalid_request"},
		{"a plain challenge", url.Values{"code_challenge_method": {"plain"}}, "invalid_request"},
		{"no method", url.Values{"code_challenge_method": nil}, "invalid_request"},
		{"a short challenge", url.Values{"code_challenge": {challenge[1:]}}, "invalid_request"},
		{"a request object", url.Values{"request": {"eyJhbGciOiJub25lIn0.e30."}}, "request_not_supported"},
		{"a request object with openid", url.Values{"request": {"eyJhbGciOiJub25lIn0.e30."}, "scope": {"openid"}}, "request_not_supported"},
		{"a request_uri", url.Values{"request_uri": {"https://evil.example/r"}}, "invalid_request"},
		{"implicit", url.Values{"response_type": {"token"}}, "unsupported_response_type"},
		{"hybrid", url.Values{"response_type": {"code id_token"}}, "unsupported_response_type"},
		{"fragment", url.Values{"response_mode": {"fragment"}}, "unsupported_response_mode"},
		{"another scope", url.Values{"scope": {"admin"}}, "invalid_scope"},
		{"no redirect", url.Values{"redirect_uri": nil}, "invalid_request"},
		{"redirect of another", url.Values{"redirect_uri": {"https://other.example/callback"}}, "invalid_request"},
		{"redirect with more", url.Values{"redirect_uri": {"https://invites.example/callback/../x"}}, "invalid_request"},
		{"redirect with a query", url.Values{"redirect_uri": {"https://invites.example/callback?x=1"}}, "invalid_request"},
		{"redirect with a user", url.Values{"redirect_uri": {"https://invites.example@evil.example/callback"}}, "invalid_request"},
		{"redirect in capitals", url.Values{"redirect_uri": {"https://INVITES.example/callback"}}, "invalid_request"},
		{"redirect with a fragment", url.Values{"redirect_uri": {"https://invites.example/callback#x"}}, "invalid_request"},
		{"twice", url.Values{"state": {"a", "b"}}, "invalid_request"},
		{"no details", url.Values{"authorization_details": nil}, "invalid_authorization_details"},
		{"details that are no list", url.Values{"authorization_details": {`{"type":"personal_data"}`}}, "invalid_authorization_details"},
		{"no detail", url.Values{"authorization_details": {`[]`}}, "invalid_authorization_details"},
		{"an unknown type", url.Values{"authorization_details": {`[{"type":"everything"}]`}}, "invalid_authorization_details"},
		{"an unknown dataset", url.Values{"authorization_details": {strings.Replace(string(details()), "contacts", "secrets", 1)}}, "invalid_authorization_details"},
		{"an unknown member", url.Values{"authorization_details": {strings.Replace(string(details()), `"type"`, `"x":1,"type"`, 1)}}, "invalid_authorization_details"},
		{"a member twice", url.Values{"authorization_details": {strings.Replace(string(details()), `"type"`, `"datasets":[],"type"`, 1)}}, "invalid_authorization_details"},
		{"nested", url.Values{"authorization_details": {strings.Repeat("[", 10_000) + strings.Repeat("]", 10_000)}}, "invalid_authorization_details"},
		{"oversized", url.Values{"authorization_details": {`[` + strings.Repeat(" ", 40_000) + `]`}}, "invalid_authorization_details"},
		{"huge", url.Values{"authorization_details": {strings.Repeat(" ", 100_000)}}, "invalid_request"},
		{"it has passed", url.Values{"authorization_details": {string(consenttest.Details(time.Now().Add(-time.Hour)))}}, "invalid_authorization_details"},
		{"a grant that is not there", url.Values{"grant_management_action": {"merge"}, "grant_id": {"x"}}, "invalid_grant_id"},
		{"an unknown action", url.Values{"grant_management_action": {"steal"}}, "invalid_authorization_details"},
		{"create with a grant", url.Values{"grant_management_action": {"create"}, "grant_id": {"x"}}, "invalid_authorization_details"},
		{"a thumbprint of another key", url.Values{"dpop_jkt": {challenge}}, "invalid_dpop_proof"},
	} {
		t.Run(k.name, func(t *testing.T) {
			_, err := c.Ask(t.Context(), details(), k.more)
			if got := code(err); err != nil && got != k.want || err == nil && k.want != "" {
				t.Errorf("%v, not %q", err, k.want)
			}
		})
	}
}

// TestPushedByOthers asks with wrong kinds of requests.
func TestPushedByOthers(t *testing.T) {
	g := newGateway(t, dbtest.SQLite(t))
	g.client(t, "invites")
	for name, k := range map[string]struct {
		kind, body, auth string
	}{
		"json":   {"application/json", `{"client_id":"invites"}`, ""},
		"basic":  {"application/x-www-form-urlencoded", "client_id=invites", "Basic aW52aXRlczpzZWNyZXQ="},
		"secret": {"application/x-www-form-urlencoded", "client_id=invites&client_secret=x", ""},
		"nobody": {"application/x-www-form-urlencoded", "client_id=invites", ""},
	} {
		for _, path := range []string{oauth.PathPushed, oauth.PathToken, oauth.PathIntrospect, oauth.PathRevoke} {
			r, err := http.NewRequest(http.MethodPost, g.URL+path, strings.NewReader(k.body))
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("Content-Type", k.kind)
			if k.auth != "" {
				r.Header.Set("Authorization", k.auth)
			}
			answer, err := stay.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			answer.Body.Close()
			if answer.StatusCode != http.StatusUnauthorized && answer.StatusCode != http.StatusBadRequest {
				t.Errorf("%s at %s: %s", name, path, answer.Status)
			}
		}
	}
}

// TestAuthorize is about the page that a person is sent to.
func TestAuthorize(t *testing.T) {
	g := newGateway(t, dbtest.SQLite(t))
	c := g.client(t, "invites")
	g.client(t, "other")
	asked, err := c.Ask(t.Context(), details(), nil)
	if err != nil {
		t.Fatal(err)
	}
	status := func(address string) int {
		answer, err := stay.Get(address)
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		return answer.StatusCode
	}
	if got := status(strings.Replace(asked.URL, "client_id=invites", "client_id=other", 1)); got != http.StatusBadRequest {
		t.Errorf("another client: %d", got)
	}
	if got := status(g.URL + oauth.PathAuthorize + "?client_id=invites&response_type=code&redirect_uri=https%3A%2F%2Fevil.example%2F"); got != http.StatusBadRequest {
		t.Errorf("not pushed: %d", got)
	}
	if got := status(asked.URL + "&client_id=other"); got != http.StatusBadRequest {
		t.Errorf("twice: %d", got)
	}
	request := g.visit(t, asked)
	if again := g.visit(t, asked); again != request { // to look uses nothing up
		t.Error(again)
	}
	back := g.grant(t, request, "alice")
	if back.Get("iss") != g.URL || back.Get("state") != asked.State {
		t.Error(back)
	}
	if got := status(asked.URL); got != http.StatusBadRequest {
		t.Errorf("decided already: %d", got)
	}

	late, err := c.Ask(t.Context(), details(), nil)
	if err != nil {
		t.Fatal(err)
	}
	g.later(301 * time.Second)
	if got := status(late.URL); got != http.StatusBadRequest {
		t.Errorf("expired: %d", got)
	}
}

func TestRefusal(t *testing.T) {
	g := newGateway(t, dbtest.SQLite(t))
	c := g.client(t, "invites")
	asked, err := c.Ask(t.Context(), details(), nil)
	if err != nil {
		t.Fatal(err)
	}
	request := g.visit(t, asked)
	var location string
	if _, err := g.Refuse(t.Context(), consent.Decision{Request: request, Person: "alice"}, g.oauth.Refused(t.Context(), &location)); err != nil {
		t.Fatal(err)
	}
	back, err := url.Parse(location)
	if err != nil {
		t.Fatal(err)
	}
	if q := back.Query(); q.Get("error") != "access_denied" || q.Get("iss") != g.URL || q.Get("state") != asked.State || q.Has("code") {
		t.Error(location)
	}
}

// TestCodes is about codes in wrong hands, late, and twice.
func TestCodes(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		g := newGateway(t, db)
		c, other := g.client(t, "invites"), g.client(t, "other")
		ask := func() (fapi.Asked, url.Values) {
			asked, err := c.Ask(t.Context(), details(), nil)
			if err != nil {
				t.Fatal(err)
			}
			return asked, g.grant(t, g.visit(t, asked), "alice")
		}
		asked, back := ask()
		if _, err := other.Redeem(t.Context(), asked, back); code(err) != "invalid_grant" {
			t.Errorf("another client: %v", err)
		}
		wrong := asked
		wrong.Verifier = strings.Repeat("x", 50)
		if _, err := c.Redeem(t.Context(), wrong, back); code(err) != "invalid_grant" {
			t.Errorf("another verifier: %v", err)
		}
		elsewhere := g.as(t, "invites", c.Key) // another DPoP key than the pushed request's
		if _, err := elsewhere.Redeem(t.Context(), asked, back); code(err) != "invalid_grant" {
			t.Errorf("another key: %v", err)
		}
		tokens, err := c.Redeem(t.Context(), asked, back)
		if err != nil {
			t.Fatalf("what others tried burnt it: %v", err)
		}
		if g.me(t, c, tokens.Access) != http.StatusOK {
			t.Error("the token does not work")
		}
		if _, err := c.Redeem(t.Context(), asked, back); code(err) != "invalid_grant" {
			t.Errorf("again: %v", err)
		}
		if g.me(t, c, tokens.Access) != http.StatusUnauthorized {
			t.Error("a code came twice, and the tokens of the first time still work")
		}

		asked, back = ask()
		g.later(46 * time.Second)
		if _, err := c.Redeem(t.Context(), asked, back); code(err) != "invalid_grant" {
			t.Errorf("late: %v", err)
		}

		asked, back = ask()
		if _, err := g.Withdraw(t.Context(), consent.Ending{Consent: lastGrant(t, g, "alice"), Person: "alice", State: consent.Withdrawn}); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Redeem(t.Context(), asked, back); code(err) != "invalid_grant" {
			t.Errorf("withdrawn: %v", err)
		}
	})
}

func lastGrant(t *testing.T, g *gateway, person string) string {
	t.Helper()
	list, err := g.Consents(t.Context(), person)
	if err != nil || len(list) == 0 {
		t.Fatal(list, err)
	}
	return list[0].ID
}

// TestRedeemedAtOnce redeems one code many times at once.
func TestRedeemedAtOnce(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		g := newGateway(t, db)
		c := g.client(t, "invites")
		asked, err := c.Ask(t.Context(), details(), nil)
		if err != nil {
			t.Fatal(err)
		}
		back := g.grant(t, g.visit(t, asked), "alice")
		var mu sync.Mutex
		got := map[string]int{}
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() {
				_, err := c.Redeem(context.Background(), asked, back)
				mu.Lock()
				defer mu.Unlock()
				if err == nil {
					got["tokens"]++
				} else {
					got[code(err)]++
				}
			})
		}
		wg.Wait()
		if got["tokens"] != 1 || got["invalid_grant"] != 19 {
			t.Error(got)
		}
	})
}

// TestTokens is about tokens in wrong hands and in wrong places.
func TestTokens(t *testing.T) {
	g := newGateway(t, dbtest.SQLite(t))
	c, other := g.client(t, "invites"), g.client(t, "other")
	tokens := g.tokens(t, c, "alice", url.Values{"scope": {"openid"}})
	if got := g.me(t, other, tokens.Access); got != http.StatusUnauthorized {
		t.Errorf("another key: %d", got)
	}
	answer, err := http.Get(g.URL + "/me?access_token=" + tokens.Access)
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	if answer.StatusCode != http.StatusBadRequest || !strings.Contains(answer.Header.Get("WWW-Authenticate"), "invalid_request") {
		t.Errorf("in the query: %s", answer.Status)
	}
	for name, value := range map[string]string{"bearer": "Bearer " + tokens.Access, "nothing": "", "refresh": "DPoP " + tokens.Refresh, "forged": "DPoP ory_at_x.y"} {
		r, _ := http.NewRequest(http.MethodGet, g.URL+"/me", nil)
		r.Header.Set("Authorization", value)
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		if answer.StatusCode != http.StatusUnauthorized || answer.Header.Get("WWW-Authenticate") == "" {
			t.Errorf("%s: %s %s", name, answer.Status, answer.Header)
		}
	}
	g.me(t, c, tokens.Access) // the nonce is known now
	proof, err := c.DPoP(http.MethodGet, g.URL+"/me", tokens.Access)
	if err != nil {
		t.Fatal(err)
	}
	for n, want := range []int{http.StatusOK, http.StatusUnauthorized} {
		r, _ := http.NewRequest(http.MethodGet, g.URL+"/me", nil)
		r.Header.Set("Authorization", "DPoP "+tokens.Access)
		r.Header.Set("DPoP", proof)
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		if answer.StatusCode != want {
			t.Errorf("proof sent %d times before: %s", n, answer.Status)
		}
	}
	if about, err := other.Introspect(t.Context(), tokens.Access); err != nil || about["active"] != false || len(about) != 1 {
		t.Errorf("introspection by another: %v, %v", about, err)
	}
	if _, err := other.Refresh(t.Context(), tokens.Refresh); code(err) != "invalid_grant" {
		t.Errorf("refresh by another: %v", err)
	}
	if err := other.Revoke(t.Context(), tokens.Refresh); err != nil {
		t.Errorf("revocation by another: %v", err)
	}
	if g.me(t, c, tokens.Access) != http.StatusOK {
		t.Error("another could revoke")
	}
	if about, err := c.Introspect(t.Context(), tokens.Refresh); err != nil || about["active"] != true || about["exp"] == nil {
		t.Error(about, err)
	}
	if err := c.Revoke(t.Context(), tokens.Access); err != nil {
		t.Error(err)
	}
	if g.me(t, c, tokens.Access) != http.StatusUnauthorized {
		t.Error("a revoked token works")
	}
	if c2, err := g.OfService(t.Context(), tokens.Grant, "invites"); err != nil || c2.State != consent.Given {
		t.Error("to revoke a token ended the consent", c2.State, err)
	}
}

// TestTimesOut looks at what time does to tokens.
func TestTimesOut(t *testing.T) {
	g := newGateway(t, dbtest.SQLite(t))
	c := g.client(t, "invites")
	asked, err := c.Ask(t.Context(), consenttest.Details(time.Now().Add(25*time.Minute)), nil)
	if err != nil {
		t.Fatal(err)
	}
	tokens, err := c.Redeem(t.Context(), asked, g.grant(t, g.visit(t, asked), "alice"))
	if err != nil {
		t.Fatal(err)
	}
	if tokens.ExpiresIn > 600 || tokens.ExpiresIn < 590 {
		t.Error(tokens.ExpiresIn)
	}
	row, err := c.Introspect(t.Context(), tokens.Refresh)
	if err != nil || int64(row["exp"].(float64)) > time.Now().Add(25*time.Minute).Unix() {
		t.Error("the refresh token outlives the consent", row, err)
	}
}

// TestRefreshScope asks for fewer scopes, and for others, on refresh (RFC 6749 section 6).
func TestRefreshScope(t *testing.T) {
	g := newGateway(t, dbtest.SQLite(t))
	c := g.client(t, "invites")
	tokens := g.tokens(t, c, "alice", url.Values{"scope": {"openid"}})
	for scope, want := range map[string]string{"": "openid", "openid": "openid", "admin": "!invalid_scope", "openid grant_management_query": "!invalid_scope"} {
		var got fapi.Tokens
		form := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {tokens.Refresh}}
		if scope != "" {
			form.Set("scope", scope)
		}
		err := c.Post(t.Context(), g.URL+oauth.PathToken, form, &got)
		if refused, is := strings.CutPrefix(want, "!"); is && code(err) != refused || !is && (err != nil || got.Scope != want) {
			t.Errorf("%q: %+v, %v", scope, got, err)
		}
	}
	plain := g.tokens(t, c, "bob", nil) // nothing was granted but data
	if again, err := c.Refresh(t.Context(), plain.Refresh); err != nil || again.Scope != "" || again.ID != "" {
		t.Errorf("%+v, %v", again, err)
	}
}

// TestSuspension stops a service at once.
func TestSuspension(t *testing.T) {
	g := newGateway(t, dbtest.SQLite(t))
	c := g.client(t, "invites")
	tokens := g.tokens(t, c, "alice", nil)
	if err := g.Suspend(t.Context(), "invites", "it sold data"); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Ask(t.Context(), details(), nil); code(err) != "unauthorized_client" || !strings.Contains(err.Error(), "it sold data") {
		t.Error(err)
	}
	if _, err := c.Refresh(t.Context(), tokens.Refresh); code(err) != "unauthorized_client" {
		t.Error(err)
	}
	if got := g.me(t, c, tokens.Access); got != http.StatusForbidden {
		t.Error("its token works:", got)
	}
	if err := g.Suspend(t.Context(), "invites", ""); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Refresh(t.Context(), tokens.Refresh); err != nil {
		t.Error(err)
	}
}

// TestGrants manages grants as the FAPI draft has it.
func TestGrants(t *testing.T) {
	g := newGateway(t, dbtest.SQLite(t))
	c, other := g.client(t, "invites"), g.client(t, "other")
	tokens := g.tokens(t, c, "alice", nil)
	query := func(c *fapi.Client, method, scope string) (int, map[string]any) {
		t.Helper()
		mine, err := c.Credentials(t.Context(), scope)
		if err != nil {
			t.Fatal(err)
		}
		answer, err := c.Do(t.Context(), method, g.URL+oauth.PathGrants+"/"+tokens.Grant, mine.Access, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		var body map[string]any
		text, _ := io.ReadAll(answer.Body)
		json.Unmarshal(text, &body)
		return answer.StatusCode, body
	}
	if status, body := query(c, http.MethodGet, "grant_management_query"); status != http.StatusOK || body["grant_id"] != tokens.Grant || body["authorization_details"] == nil {
		t.Error(status, body)
	}
	if status, _ := query(other, http.MethodGet, "grant_management_query"); status != http.StatusNotFound {
		t.Error(status)
	}
	if status, _ := query(other, http.MethodDelete, "grant_management_revoke"); status != http.StatusNotFound {
		t.Error(status)
	}
	if status, _ := query(c, http.MethodDelete, "grant_management_query"); status != http.StatusForbidden {
		t.Error(status)
	}
	if status := g.me(t, c, tokens.Access); status != http.StatusOK {
		t.Error(status)
	}

	// More is asked for: the id stays, the revision is another one.
	asked, err := c.Ask(t.Context(), json.RawMessage(strings.Replace(string(details()), `["contacts","calendar"],"optional":["calendar"]`, `["notes"]`, 1)),
		url.Values{"grant_management_action": {"merge"}, "grant_id": {tokens.Grant}})
	if err != nil {
		t.Fatal(err)
	}
	more, err := c.Redeem(t.Context(), asked, g.grant(t, g.visit(t, asked), "alice"))
	if err != nil || more.Grant != tokens.Grant || !bytes.Contains(more.Details, []byte("notes")) || !bytes.Contains(more.Details, []byte("contacts")) {
		t.Errorf("%+v, %v", more, err)
	}
	asked, err = c.Ask(t.Context(), details(), url.Values{"grant_management_action": {"replace"}, "grant_id": {tokens.Grant}})
	if err != nil {
		t.Fatal(err)
	}
	less, err := c.Redeem(t.Context(), asked, g.grant(t, g.visit(t, asked), "alice"))
	if err != nil || less.Grant != tokens.Grant || bytes.Contains(less.Details, []byte("notes")) {
		t.Errorf("%+v, %v", less, err)
	}
	if _, err := other.Ask(t.Context(), details(), url.Values{"grant_management_action": {"replace"}, "grant_id": {tokens.Grant}}); code(err) != "invalid_grant_id" {
		t.Error(err)
	}

	if status, _ := query(c, http.MethodDelete, "grant_management_revoke"); status != http.StatusNoContent {
		t.Error(status)
	}
	for _, token := range []string{tokens.Access, more.Access, less.Access} {
		if status := g.me(t, c, token); status != http.StatusUnauthorized {
			t.Error(status)
		}
	}
}

// TestCredentials is for administration only.
func TestCredentials(t *testing.T) {
	g := newGateway(t, dbtest.SQLite(t))
	c := g.client(t, "invites")
	admin := g.client(t, "admin", func(s *consent.Service) { s.Admin = true })
	for _, scope := range []string{"", "admin", "openid", "everything"} {
		if _, err := c.Credentials(t.Context(), scope); code(err) != "invalid_scope" {
			t.Errorf("%q: %v", scope, err)
		}
	}
	tokens, err := admin.Credentials(t.Context(), "admin")
	if err != nil || tokens.Grant != "" || tokens.Refresh != "" {
		t.Errorf("%+v, %v", tokens, err)
	}
	if _, err := admin.Ask(t.Context(), details(), nil); code(err) != "unauthorized_client" {
		t.Error(err)
	}
}

// TestRegister lets a service register itself.
func TestRegister(t *testing.T) {
	g := newGateway(t, dbtest.SQLite(t))
	g.Service(t, "model")
	model, err := g.Authority.Service(t.Context(), "model")
	if err != nil {
		t.Fatal(err)
	}
	register := func(token string, change func(map[string]any)) (int, map[string]any) {
		t.Helper()
		text, _ := json.Marshal(model)
		var members map[string]any
		json.Unmarshal(text, &members)
		members["client_name"], members["software_statement_of_the_future"], members["admin"] = "Newcomer", 1, true
		if change != nil {
			change(members)
		}
		text, _ = json.Marshal(members)
		r, _ := http.NewRequest(http.MethodPost, g.URL+oauth.PathRegister, bytes.NewReader(text))
		r.Header.Set("Authorization", "Bearer "+token)
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		var body map[string]any
		json.NewDecoder(answer.Body).Decode(&body)
		return answer.StatusCode, body
	}
	token, err := oauth.Invite(t.Context(), g.DB, "for a test", 1, time.Now().Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	for _, body := range []string{"null", "[]", "", "{", `{}{}`} {
		r, _ := http.NewRequest(http.MethodPost, g.URL+oauth.PathRegister, strings.NewReader(body))
		r.Header.Set("Authorization", "Bearer "+token)
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		if answer.StatusCode != http.StatusBadRequest {
			t.Errorf("%q: %s", body, answer.Status)
		}
	}
	if status, body := register("guessed", nil); status != http.StatusUnauthorized {
		t.Error(status, body)
	}
	status, body := register(token, func(m map[string]any) { delete(m, "contact"); delete(m, "legal_name"); delete(m, "purposes") })
	if text, _ := body["error_description"].(string); status != http.StatusBadRequest || !strings.Contains(text, "contact is missing") || !strings.Contains(text, "legal_name is missing") || !strings.Contains(text, "purposes is missing") {
		t.Error(status, body)
	}
	if status, body = register(token, func(m map[string]any) { m["redirect_uris"] = []string{"http://evil.example/"} }); status != http.StatusBadRequest || body["error"] != "invalid_redirect_uri" {
		t.Error(status, body)
	}
	if status, body = register(token, func(m map[string]any) { m["client_name"] = "Sеrvice modеl" }); status != http.StatusBadRequest { // Cyrillic letters among others
		t.Error(status, body)
	}
	if status, body = register(token, func(m map[string]any) { m["client_name"] = "SERVICE  MODEL" }); status != http.StatusBadRequest {
		t.Error(status, body)
	}
	status, body = register(token, nil)
	id, _ := body["client_id"].(string)
	if status != http.StatusCreated || id == "" || id == "model" || body["admin"] == true {
		t.Fatal(status, body)
	}
	if s, err := g.Authority.Service(t.Context(), id); err != nil || s.Admin || s.Name != "Newcomer" {
		t.Error(s, err)
	}
	if status, body := register(token, func(m map[string]any) { m["client_name"] = "Another one" }); status != http.StatusUnauthorized {
		t.Error("the token was used up", status, body)
	}
}

// TestMetadata looks at what the server says of itself.
func TestMetadata(t *testing.T) {
	g := newGateway(t, dbtest.SQLite(t))
	for _, path := range []string{oauth.PathServer, oauth.PathOpenID, oauth.PathResource, oauth.PathKeys} {
		answer, err := http.Get(g.URL + path)
		if err != nil {
			t.Fatal(err)
		}
		var body map[string]any
		if err := json.NewDecoder(answer.Body).Decode(&body); err != nil || answer.StatusCode != http.StatusOK {
			t.Errorf("%s: %s, %v", path, answer.Status, err)
		}
		answer.Body.Close()
		if path == oauth.PathServer && (body["issuer"] != g.URL || body["require_pushed_authorization_requests"] != true || body["authorization_response_iss_parameter_supported"] != true) {
			t.Error(body)
		}
	}
}

// TestDatabaseGone asks everything while there is no database: it is told that this is no fault of the caller's.
func TestDatabaseGone(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		g := newGateway(t, db)
		c := g.client(t, "invites")
		tokens := g.tokens(t, c, "alice", nil)
		asked, err := c.Ask(t.Context(), details(), nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		unavailable := func(what string, err error) {
			t.Helper()
			var fault *fapi.Error
			if !errors.As(err, &fault) || fault.Status != http.StatusServiceUnavailable || fault.Code != "temporarily_unavailable" || strings.Contains(fault.Description, "sql") {
				t.Errorf("%s: %v", what, err)
			}
		}
		_, err = c.Ask(t.Context(), details(), nil)
		unavailable("ask", err)
		_, err = c.Refresh(t.Context(), tokens.Refresh)
		unavailable("refresh", err)
		_, err = c.Introspect(t.Context(), tokens.Access)
		unavailable("introspect", err)
		unavailable("revoke", c.Revoke(t.Context(), tokens.Access))
		if status := g.me(t, c, tokens.Access); status != http.StatusServiceUnavailable {
			t.Errorf("read: %d", status)
		}
		answer, err := stay.Get(asked.URL)
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		if answer.StatusCode != http.StatusServiceUnavailable {
			t.Errorf("authorize: %s", answer.Status)
		}
	})
}
