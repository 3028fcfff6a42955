package banktest

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"time"
)

const (
	metadataPath = "/.well-known/oauth-authorization-server" // RFC 8414
	codeLives    = time.Minute
	tokenLives   = time.Hour
	preStepScope = "AIS"
)

// code is an authorization code, and what it was given for.
type code struct {
	ask     oauthAsk
	person  string
	consent string // "": the pre-step
	until   time.Time
}

// token is an access token, or one to refresh it.
type token struct {
	Party, Person, Consent string // Consent is "" after the pre-step
	Until                  time.Time
	Refresh                bool
}

// oauthAsk is an authorization request (RFC 6749 section 4.1.1, RFC 7636).
type oauthAsk struct {
	Client, Redirect, State, Challenge, Scope string
}

// oauth adds the authorization server.
func (b *Bank) oauth(mux *http.ServeMux) {
	mux.HandleFunc("GET "+metadataPath, b.metadata)
	mux.HandleFunc("GET /oauth/authorize", b.authorizePage)
	mux.HandleFunc("POST /oauth/token", b.tokenEndpoint)
}

func (b *Bank) metadata(w http.ResponseWriter, r *http.Request) {
	root := b.origin(r)
	auth := "none"
	if b.config.Roots != nil {
		auth = "tls_client_auth"
	}
	sendJSON(w, http.StatusOK, map[string]any{
		"issuer": root, "authorization_endpoint": root + "/oauth/authorize", "token_endpoint": root + "/oauth/token",
		"response_types_supported": []string{"code"}, "grant_types_supported": []string{"authorization_code", "refresh_token"},
		"code_challenge_methods_supported": []string{"S256"}, "token_endpoint_auth_methods_supported": []string{auth},
		"authorization_response_iss_parameter_supported": true,
	})
}

func sendJSON(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // who went away need not be told
}

// authorizePage sends the person to the page on which they sign in, or back with what is wrong.
func (b *Bank) authorizePage(w http.ResponseWriter, r *http.Request) {
	v := r.URL.Query()
	ask := oauthAsk{v.Get("client_id"), v.Get("redirect_uri"), v.Get("state"), v.Get("code_challenge"), v.Get("scope")}
	b.mu.Lock()
	page, fault, mayReturn := b.admit(ask, v)
	saved := b.save()
	b.mu.Unlock()
	switch {
	case saved != nil:
		http.Error(w, saved.Error(), http.StatusInternalServerError)
	case fault != "" && mayReturn:
		http.Redirect(w, r, ask.back(b.origin(r), url.Values{"error": {fault}}), http.StatusSeeOther)
	case fault != "":
		http.Error(w, fault+": this is no authorization request to which this bank can answer", http.StatusBadRequest)
	default:
		http.Redirect(w, r, page+"?"+url.Values{"lang": {b.set.language(r)}}.Encode(), http.StatusSeeOther)
	}
}

// back is where the browser goes with an answer.
func (ask *oauthAsk) back(issuer string, answer url.Values) string {
	u, err := url.Parse(ask.Redirect)
	if err != nil {
		return issuer // admit has parsed it
	}
	v := u.Query()
	for name := range answer {
		v.Set(name, answer.Get(name))
	}
	if ask.State != "" {
		v.Set("state", ask.State)
	}
	v.Set("iss", issuer) // RFC 9207
	u.RawQuery = v.Encode()
	return u.String()
}

// admit checks an authorization request. mayReturn says whether what is wrong is told by redirection.
func (b *Bank) admit(ask oauthAsk, v url.Values) (page, fault string, mayReturn bool) {
	u, err := url.Parse(ask.Redirect)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || ask.Client == "" {
		return "", "invalid_request", false
	}
	id, forConsent := strings.CutPrefix(ask.Scope, "AIS:")
	c := b.consents[id]
	if forConsent && (c == nil || b.config.Roots != nil && c.Party != ask.Client || c.Redirect != "" && c.Redirect != ask.Redirect) {
		return "", "invalid_request", false
	}
	switch {
	case v.Get("response_type") != "code":
		return "", "unsupported_response_type", true
	case ask.Challenge == "" || v.Get("code_challenge_method") != "S256":
		return "", "invalid_request", true
	case forConsent && b.config.Approach == OAuth2:
		if b.settle(c); c.Status != Received && c.Status != Partially {
			return "", "access_denied", true
		}
		a := b.waiting(c, "")
		a.Ask, b.unsaved = &ask, true
		return "/sca/" + a.ID, "", true
	case ask.Scope == preStepScope && b.config.PreStep:
		id := newID()
		b.logins[id] = &Authorisation{ID: id, Ask: &ask}
		return "/login/" + id, "", true
	}
	return "", "invalid_scope", true
}

// oauthBack is where the browser goes once the person has decided.
func (b *Bank) oauthBack(c *Consent, a *Authorisation, issuer string) string {
	if a.Ask == nil {
		return c.Redirect
	}
	if a.Status == scaFailed {
		return a.Ask.back(issuer, url.Values{"error": {"access_denied"}})
	}
	return a.Ask.back(issuer, url.Values{"code": {b.newCodeFor(*a.Ask, a.Person, c.ID)}})
}

func (b *Bank) newCodeFor(ask oauthAsk, person, consent string) string {
	id := newID()
	b.codes[id] = &code{ask, person, consent, b.now().Add(codeLives)}
	return id
}

// loginPage is the pre-step: who is the person? It proves nothing about a consent.
func (b *Bank) loginPage(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, maxBody)
	b.mu.Lock()
	a := b.logins[r.PathValue("id")]
	v := &scaView{People: b.peopleIDs(), Action: r.URL.Path}
	if a != nil {
		v.Party = a.Ask.Client
	}
	to := ""
	if a != nil && r.Method == http.MethodPost {
		v.Fault, to = b.preStep(a, r)
	}
	b.mu.Unlock()
	switch {
	case to != "":
		http.Redirect(w, r, to, http.StatusSeeOther)
	case a == nil:
		b.set.show(w, r, http.StatusNotFound, "gone", "gone.title", nil)
	case v.Fault != "":
		b.set.show(w, r, http.StatusUnprocessableEntity, "login", "login.title", v)
	default:
		b.set.show(w, r, http.StatusOK, "login", "login.title", v)
	}
}

// preStep takes who the person is. It returns what is wrong, or where the browser goes.
func (b *Bank) preStep(a *Authorisation, r *http.Request) (fault, to string) {
	issuer, person := b.origin(r), r.PostFormValue("person")
	if r.PostFormValue("do") == "refuse" {
		delete(b.logins, a.ID)
		return "", a.Ask.back(issuer, url.Values{"error": {"access_denied"}})
	}
	if b.people[person] == nil || r.PostFormValue("password") != Password {
		if a.Tries++; a.Tries >= maxTries {
			delete(b.logins, a.ID)
			return "", a.Ask.back(issuer, url.Values{"error": {"access_denied"}})
		}
		return "sca.wrong-login", ""
	}
	delete(b.logins, a.ID)
	return "", a.Ask.back(issuer, url.Values{"code": {b.newCodeFor(*a.Ask, person, "")}})
}

// tokenEndpoint is RFC 6749 section 3.2.
func (b *Bank) tokenEndpoint(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, maxBody)
	if err := r.ParseForm(); err != nil {
		sendJSON(w, http.StatusBadRequest, map[string]string{"error": "invalid_request"})
		return
	}
	b.mu.Lock()
	body, fault := b.redeem(r)
	saved := b.save()
	b.mu.Unlock()
	switch {
	case saved != nil:
		sendJSON(w, http.StatusInternalServerError, map[string]string{"error": "server_error"})
	case fault == "invalid_client":
		sendJSON(w, http.StatusUnauthorized, map[string]string{"error": fault})
	case fault != "":
		sendJSON(w, http.StatusBadRequest, map[string]string{"error": fault})
	default:
		sendJSON(w, http.StatusOK, body)
	}
}

type tokenBody struct {
	Access  string `json:"access_token"`
	Type    string `json:"token_type"`
	Expires int    `json:"expires_in"`
	Refresh string `json:"refresh_token"`
	Scope   string `json:"scope"`
}

// redeem gives tokens for a code or a refresh token, each of which serves once. It returns what is wrong.
func (b *Bank) redeem(r *http.Request) (*tokenBody, string) {
	party, err := b.partyOf(r)
	if err != nil || b.config.Roots != nil && party != r.PostForm.Get("client_id") {
		return nil, "invalid_client"
	}
	switch r.PostForm.Get("grant_type") {
	case "authorization_code":
		c := b.codes[r.PostForm.Get("code")]
		delete(b.codes, r.PostForm.Get("code"))
		sum := sha256.Sum256([]byte(r.PostForm.Get("code_verifier")))
		if c == nil || b.now().After(c.until) || c.ask.Client != r.PostForm.Get("client_id") || c.ask.Redirect != r.PostForm.Get("redirect_uri") ||
			c.ask.Challenge != base64.RawURLEncoding.EncodeToString(sum[:]) {
			return nil, "invalid_grant"
		}
		return b.issue(token{Party: party, Person: c.person, Consent: c.consent}, c.ask.Scope), ""
	case "refresh_token":
		old := b.tokens[r.PostForm.Get("refresh_token")]
		if old == nil || !old.Refresh || old.Party != party || !b.now().Before(old.Until) {
			return nil, "invalid_grant"
		}
		delete(b.tokens, r.PostForm.Get("refresh_token"))
		return b.issue(token{Party: party, Person: old.Person, Consent: old.Consent}, ""), ""
	}
	return nil, "unsupported_grant_type"
}

// issue makes an access token, and one to refresh it.
func (b *Bank) issue(t token, scope string) *tokenBody {
	access, refresh := newID()+newID(), newID()+newID()
	t.Until = b.now().Add(tokenLives)
	again := t
	again.Refresh, again.Until = true, b.now().AddDate(0, 0, b.config.MaxDays+1)
	b.tokens[access], b.tokens[refresh], b.unsaved = &t, &again, true
	return &tokenBody{access, "Bearer", int(tokenLives / time.Second), refresh, scope}
}

// bearer finds the access token of a request: one for the consent, or one of the pre-step of its person. With consent nil any
// of the pre-step will do.
func (b *Bank) bearer(q *request, consent *Consent) (*token, error) {
	value, isBearer := strings.CutPrefix(q.Header.Get("Authorization"), "Bearer ")
	t := b.tokens[value]
	switch {
	case !isBearer || t == nil || t.Refresh:
		return nil, fail(http.StatusUnauthorized, "TOKEN_UNKNOWN", "an access token is needed: see %s", q.root+metadataPath)
	case t.Party != q.party:
		return nil, fail(http.StatusUnauthorized, "TOKEN_INVALID", "the token is somebody else's")
	case !b.now().Before(t.Until):
		return nil, fail(http.StatusUnauthorized, "TOKEN_EXPIRED", "the token has expired: refresh it")
	case consent == nil && t.Consent == "" || consent != nil && (t.Consent == consent.ID || t.Consent == "" && b.config.PreStep && t.Person == consent.Person):
		return t, nil
	}
	return nil, fail(http.StatusUnauthorized, "TOKEN_INVALID", "the token is for something else")
}
