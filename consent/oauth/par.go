package oauth

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"time"

	"github.com/ory/fosite"

	"github.com/passerelle-cloud/passerelle/consent"
)

// pushed is what is kept of a pushed request besides what it asks for.
type pushed struct {
	Request     string `json:"-"` // id of the consent request
	Service     string `json:"-"`
	RedirectURI string `json:"redirect_uri"`
	State       string `json:"state,omitempty"`
	Nonce       string `json:"nonce,omitempty"`
	Scope       string `json:"scope,omitempty"`
	Challenge   string `json:"code_challenge"`
	JKT         string `json:"dpop_jkt,omitempty"`
	Locales     string `json:"ui_locales,omitempty"`
}

// pushing is a pushed request on its way to the database.
type pushing struct {
	pushed
	asking consent.Asking
}

var (
	challengeForm  = regexp.MustCompile(`^[A-Za-z0-9_-]{43}$`) // base64url of a SHA-256
	thumbprintForm = challengeForm
)

// Pushed takes authorization requests (RFC 9126), which is the only way to make one.
func (s *Server) Pushed(w http.ResponseWriter, r *http.Request) {
	c, err := s.authenticated(w, r, PathPushed, true)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	if c.dealings.pushing, err = s.pushing(r.PostForm, c); err != nil {
		s.fail(w, r, err)
		return
	}
	if s.opt.Certificate != nil {
		c.dealings.pushing.asking.Certificate = s.opt.Certificate(r)
	}
	ctx := withCall(r.Context(), c)
	r.Form.Set("state", "state is kept elsewhere") // fosite refuses short ones, and FAPI allows none at all
	ar, err := s.fosite.NewPushedAuthorizeRequest(ctx, r)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	ar.SetSession(&session{})
	answer, err := s.fosite.NewPushedAuthorizeResponse(ctx, ar, &session{})
	if err != nil {
		s.fail(w, r, unwrapped(err))
		return
	}
	s.fosite.WritePushedAuthorizeResponse(ctx, w, ar, answer)
}

// unwrapped finds our own error in one that fosite made a server error of.
func unwrapped(err error) error {
	var e *fosite.RFC6749Error
	if errors.As(err, &e) && e.CodeField >= http.StatusInternalServerError {
		if cause := errors.Unwrap(e); cause != nil {
			return cause
		}
	}
	return err
}

// pushing checks the parameters. Everything is checked here, where the service's developer sees the answer, and not
// when a person is waiting.
func (s *Server) pushing(form url.Values, c *call) (*pushing, error) {
	if c.client.Admin {
		return nil, fosite.ErrUnauthorizedClient.WithHint("This client administers; it cannot ask persons for data.")
	}
	if form.Get("request") != "" {
		return nil, fosite.ErrRequestNotSupported.WithHint("Push the parameters themselves: the request is authenticated already.")
	}
	p := &pushing{pushed: pushed{Service: c.client.ID, RedirectURI: form.Get("redirect_uri"), State: form.Get("state"), Nonce: form.Get("nonce"), Scope: form.Get("scope"),
		Challenge: form.Get("code_challenge"), Locales: form.Get("ui_locales"), JKT: form.Get("dpop_jkt")}}
	switch {
	case form.Get("request_uri") != "":
		return nil, invalid("A request_uri cannot be pushed (RFC 9126 section 2.1).")
	case form.Get("response_type") != "code":
		return nil, fosite.ErrUnsupportedResponseType.WithHint("The response_type must be code.")
	case form.Get("response_mode") != "" && form.Get("response_mode") != "query":
		return nil, fosite.ErrUnsupportedResponseMode.WithHint("The response_mode must be query, or left out.")
	case !slices.Contains(c.client.RedirectURIs, p.RedirectURI):
		return nil, invalid("The redirect_uri must be one of those that are registered, exactly.")
	case form.Get("code_challenge_method") != "S256" || !challengeForm.MatchString(p.Challenge):
		return nil, invalid("A code_challenge with code_challenge_method=S256 is needed (RFC 7636): the base64url of a SHA-256, 43 characters.")
	case len(p.State) > maxState:
		return nil, invalid(fmt.Sprintf("The state has more than %d bytes.", maxState))
	case len(p.Nonce) > maxNonce:
		return nil, invalid(fmt.Sprintf("The nonce has more than %d bytes.", maxNonce))
	case p.JKT != "" && !thumbprintForm.MatchString(p.JKT):
		return nil, invalid("The dpop_jkt is not a JWK thumbprint (RFC 9449 section 10).")
	case p.JKT != "" && c.binding.JKT != "" && p.JKT != c.binding.JKT:
		return nil, errBadProof.WithHint("The dpop_jkt is of another key than the DPoP proof.")
	case form.Get("authorization_details") == "":
		return nil, errDetails.WithHint("authorization_details is missing: it says which data is asked for, and what for (RFC 9396).")
	}
	if p.JKT == "" {
		p.JKT = c.binding.JKT
	}
	p.asking = consent.Asking{Service: c.client.ID, Details: json.RawMessage(form.Get("authorization_details")),
		Action: form.Get("grant_management_action"), Consent: form.Get("grant_id"), Expires: s.opt.Now().Add(decideLife)}
	return p, nil
}

// CreatePARSession implements [fosite.PARStorage]: what is asked is stored together with how it was asked.
func (s *store) CreatePARSession(ctx context.Context, uri string, _ fosite.AuthorizeRequester) error {
	p := callOf(ctx).dealings.pushing
	form, err := json.Marshal(p.pushed)
	if err != nil {
		return err
	}
	_, err = s.authority.Ask(ctx, p.asking, func(tx *sql.Tx, r consent.Request) error {
		_, err := tx.ExecContext(ctx, `INSERT INTO oauth_pushed (uri, request, service, form, expires) VALUES ($1, $2, $3, $4, $5)`,
			hashOf(uri), r.ID, p.Service, string(form), s.now().Add(pushedLife).UnixMicro())
		return err
	})
	return err
}

// GetPARSession and DeletePARSession implement [fosite.PARStorage]; the authorization endpoint has its own way.
func (s *store) GetPARSession(context.Context, string) (fosite.AuthorizeRequester, error) {
	return nil, fosite.ErrNotFound
}
func (s *store) DeletePARSession(context.Context, string) error { return fosite.ErrNotFound }

func hashOf(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

// pushedAs finds a pushed request by its request_uri, or by the id of what it asks.
func (s *store) pushedAs(ctx context.Context, column, value string) (*pushed, time.Time, error) {
	var p pushed
	var form string
	var expires int64
	err := s.querier(ctx).QueryRowContext(ctx, `SELECT request, service, form, expires FROM oauth_pushed WHERE `+column+` = $1`, value).Scan(&p.Request, &p.Service, &form, &expires)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, time.Time{}, fosite.ErrNotFound
	}
	if err != nil {
		return nil, time.Time{}, fmt.Errorf("look for the pushed request: %w", err)
	}
	return &p, time.UnixMicro(expires), json.Unmarshal([]byte(form), &p)
}
