package oauth

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"

	"github.com/ory/fosite"

	"github.com/passerelle-cloud/passerelle/consent"
)

// introspection is the answer of RFC 7662 section 2.2, with those of RFC 9396 and RFC 9449.
type introspection struct {
	Active    bool             `json:"active"`
	Moved     *relocation      `json:"moved,omitempty"` // the person has gone to another operator
	Issuer    string           `json:"iss,omitempty"`
	Client    string           `json:"client_id,omitempty"`
	Subject   string           `json:"sub,omitempty"`
	Scope     string           `json:"scope,omitempty"`
	Type      string           `json:"token_type,omitempty"`
	Issued    int64            `json:"iat,omitempty"`
	Expires   int64            `json:"exp,omitempty"`
	Confirmed *binding         `json:"cnf,omitempty"`
	Grant     string           `json:"grant_id,omitempty"`
	Details   []consent.Detail `json:"authorization_details,omitempty"`
}

// Introspect tells a service about its own tokens. Of any other it says what it says of one that there never was.
func (s *Server) Introspect(w http.ResponseWriter, r *http.Request) {
	c, err := s.authenticated(w, r, PathIntrospect, false)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	token := r.PostForm.Get("token")
	if token == "" {
		s.fail(w, r, invalid("The token is missing."))
		return
	}
	answer, err := s.introspect(r, token, c.client.ID)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	answerJSON(w, http.StatusOK, answer)
}

func (s *Server) introspect(r *http.Request, token, service string) (introspection, error) {
	for _, kind := range []string{kindAccess, kindRefresh} {
		row, c, err := s.valid(r.Context(), kind, token)
		if errors.Is(err, fosite.ErrNotFound) || err == nil && row.service != service {
			continue
		}
		if err != nil {
			return introspection{}, err
		}
		if moved := s.relocated(c); moved != nil {
			return introspection{Moved: moved}, nil
		}
		a := introspection{Active: true, Issuer: s.opt.Issuer, Client: row.service, Subject: row.session.Subject, Scope: strings.Join(row.request.GrantedScope, " "),
			Issued: seconds(row.created), Expires: seconds(row.expires)}
		if kind == kindAccess {
			a.Type, a.Confirmed = row.session.Bound.tokenType(), &row.session.Bound
		}
		if c != nil {
			a.Grant, a.Details = c.ID, c.Details
		}
		return a, nil
	}
	return introspection{}, nil
}

func (b binding) tokenType() string {
	if b.JKT == "" {
		return "Bearer"
	}
	return "DPoP"
}

// Revoke ends a token, and what came of the same code (RFC 7009). The consent stays: to end it is what grants are for.
func (s *Server) Revoke(w http.ResponseWriter, r *http.Request) {
	c, err := s.authenticated(w, r, PathRevoke, false)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	if r.PostForm.Get("token") == "" {
		s.fail(w, r, invalid("The token is missing."))
		return
	}
	ctx := withCall(r.Context(), c)
	err = s.fosite.NewRevocationRequest(ctx, r)
	if err != nil && !errors.Is(err, fosite.ErrUnauthorizedClient) { // fosite itself would answer 200 to what did not work
		s.fail(w, r, err)
		return
	}
	s.fosite.WriteRevocationResponse(ctx, w, nil) // also for tokens of others: nobody learns that they exist
}

func answerJSON(w http.ResponseWriter, status int, what any) {
	text, err := json.Marshal(what)
	if err != nil {
		http.Error(w, `{"error":"server_error"}`, http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	w.Write(text) // if the reader is gone there is nobody to tell
}
