package oauth

import (
	"errors"
	"net/http"
	"slices"

	"github.com/passerelle-cloud/passerelle/consent"
)

// grant is the answer of the grant management API (OAuth Grant Management, FAPI draft, section 6.3).
type grant struct {
	ID      string           `json:"grant_id"`
	Details []consent.Detail `json:"authorization_details"`
	Scopes  []grantedScope   `json:"scopes"`
	State   consent.State    `json:"state"`
	Rev     int              `json:"revision"`
	Issued  int64            `json:"created_at"`
	Changed int64            `json:"updated_at"`
	Expires int64            `json:"expires_at"`
	Moved   *relocation      `json:"moved,omitempty"` // the person has gone to another operator
}

type grantedScope struct {
	Scope string `json:"scope"`
}

// Grant tells a service about a consent that it has.
func (s *Server) Grant(w http.ResponseWriter, r *http.Request) {
	bearer, ok := s.manages(w, r, scopeQuery)
	if !ok {
		return
	}
	c, err := s.authority.OfService(r.Context(), r.PathValue("id"), bearer.Service)
	if err != nil {
		s.Deny(w, err)
		return
	}
	moved := s.relocated(&c)
	if moved != nil {
		if moved.Statement, err = s.statement(r.Context(), &c); err != nil {
			s.Deny(w, err)
			return
		}
	}
	answerJSON(w, http.StatusOK, grant{ID: c.ID, Details: c.Details, Scopes: []grantedScope{}, State: c.State, Rev: c.Revision,
		Issued: seconds(c.Created), Changed: seconds(c.Changed), Expires: seconds(c.Expires), Moved: moved})
}

// EndGrant gives a consent back: all its tokens are dead when it answers.
func (s *Server) EndGrant(w http.ResponseWriter, r *http.Request) {
	bearer, ok := s.manages(w, r, scopeRevoke)
	if !ok {
		return
	}
	_, err := s.authority.Withdraw(r.Context(), consent.Ending{Consent: r.PathValue("id"), Service: bearer.Service, State: consent.Revoked, Reason: "given back by the service"})
	if err != nil {
		s.Deny(w, err)
		return
	}
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusNoContent)
}

// manages checks the token of a call to manage grants. It answers by itself where it is not right.
func (s *Server) manages(w http.ResponseWriter, r *http.Request, scope string) (*Bearer, bool) {
	bearer, err := s.Bearer(r)
	if err == nil && !slices.Contains(bearer.Scopes, scope) {
		err = s.Insufficient("The scope " + scope + " is needed.")
	}
	if err != nil {
		s.Deny(w, err)
		return nil, false
	}
	return bearer, true
}

// fault is what is said of a call with a token that is not accepted. Where no token was sent there is no code (RFC 6750
// section 3.1).
type fault struct {
	Code string `json:"error,omitempty"`
	Text string `json:"error_description"`
}

// Insufficient is the denial for a token that is good for something else.
func (s *Server) Insufficient(text string) error {
	return &Denial{Status: http.StatusForbidden, Code: "insufficient_scope", Text: text, scheme: "DPoP", server: s}
}

// Deny answers a call whose token is not accepted, or that went wrong.
func (s *Server) Deny(w http.ResponseWriter, err error) {
	var denial *Denial
	var moved *Moved
	switch {
	case errors.As(err, &moved):
		moved.problem().Write(w)
	case errors.As(err, &denial):
		denial.Challenge(w.Header())
		answerJSON(w, denial.Status, fault{denial.Code, denial.Text})
	case errors.Is(err, consent.ErrNotFound):
		answerJSON(w, http.StatusNotFound, map[string]string{"error": "invalid_grant_id", "error_description": "There is no such grant."})
	default:
		s.opt.Log.Error("an OAuth request failed", "error", err)
		answerJSON(w, http.StatusServiceUnavailable, map[string]string{"error": "temporarily_unavailable", "error_description": "Try again in a moment."})
	}
}
