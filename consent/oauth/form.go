package oauth

import (
	"errors"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"strings"

	"github.com/ory/fosite"

	"github.com/passerelle-cloud/passerelle/consent"
)

// readForm reads the body of a request to an endpoint for services. What could be read in two ways is refused: a
// parameter twice (RFC 6749 section 3.2), or one in the query, where it would be logged.
func readForm(w http.ResponseWriter, r *http.Request) error {
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/x-www-form-urlencoded" {
		return invalid("The body must be application/x-www-form-urlencoded.")
	}
	if r.URL.RawQuery != "" {
		return invalid("Parameters belong into the body, none into the query.")
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxBody)
	if err := r.ParseForm(); err != nil {
		var large *http.MaxBytesError
		if errors.As(err, &large) {
			return invalid(fmt.Sprintf("The body is larger than %d bytes.", maxBody))
		}
		return invalid("The body is not a form.")
	}
	return onlyOnce(r.PostForm)
}

// onlyOnce refuses parameters that are given more than once.
func onlyOnce(form url.Values) error {
	for name, values := range form {
		if len(values) > 1 {
			return invalid(fmt.Sprintf("The parameter %.60q is given more than once.", name))
		}
	}
	return nil
}

func invalid(hint string) *fosite.RFC6749Error { return fosite.ErrInvalidRequest.WithHint(hint) }

// The errors that fosite does not know.
var (
	errDetails  = &fosite.RFC6749Error{ErrorField: "invalid_authorization_details", DescriptionField: "The authorization_details cannot be granted.", CodeField: http.StatusBadRequest}
	errUseNonce = &fosite.RFC6749Error{ErrorField: "use_dpop_nonce", DescriptionField: "Use the nonce of the DPoP-Nonce header.", CodeField: http.StatusBadRequest}
	errBadProof = &fosite.RFC6749Error{ErrorField: "invalid_dpop_proof", DescriptionField: "The DPoP proof is not accepted.", CodeField: http.StatusBadRequest}
	errNoGrant  = &fosite.RFC6749Error{ErrorField: "invalid_grant_id", DescriptionField: "There is no such grant.", CodeField: http.StatusBadRequest}
)

// public turns what went wrong into what a service is told. What it is not told is an internal fault, which is logged.
func (s *Server) public(err error) error {
	var known *fosite.RFC6749Error
	switch {
	case errors.Is(err, fosite.ErrInvalidatedAuthorizeCode):
		return fosite.ErrInvalidGrant.WithHint("The authorization code has already been used.")
	case errors.As(err, &known) && known.CodeField < http.StatusInternalServerError:
		return known
	case errors.Is(err, consent.ErrSuspended):
		return fosite.ErrUnauthorizedClient.WithHint(err.Error())
	case errors.Is(err, errReplay), errors.Is(err, errClient):
		return fosite.ErrInvalidClient.WithHint(err.Error())
	case errors.Is(err, errNonce):
		return errUseNonce
	case errors.Is(err, errProof):
		return errBadProof.WithHint(err.Error())
	case errors.Is(err, consent.ErrRequest), errors.Is(err, consent.ErrRefused):
		return errDetails.WithHint(err.Error())
	case errors.Is(err, consent.ErrNotFound):
		return errNoGrant
	}
	s.opt.Log.Error("an OAuth request failed", "error", err)
	return fosite.ErrTemporarilyUnavailable.WithHint("Try again in a moment.")
}

// fail answers with an error (RFC 6749 section 5.2).
func (s *Server) fail(w http.ResponseWriter, r *http.Request, err error) {
	var moved *Moved
	if errors.As(err, &moved) {
		moved.refuse(w)
		return
	}
	err = s.public(err)
	if errors.Is(err, errUseNonce) || r.Header.Get("DPoP") != "" {
		w.Header().Set("DPoP-Nonce", s.proofs.nonces.current())
	}
	s.fosite.WriteAccessError(r.Context(), w, nil, err)
}

// authenticated reads a service's form and finds out who it is, and what its tokens are bound to.
func (s *Server) authenticated(w http.ResponseWriter, r *http.Request, path string, bind bool) (*call, error) {
	if err := readForm(w, r); err != nil {
		return nil, err
	}
	service, err := s.clients.authenticate(r.Context(), r, r.PostForm)
	if err != nil {
		return nil, err
	}
	if service.Suspended != "" {
		return nil, fmt.Errorf("%w: %s", consent.ErrSuspended, service.Suspended)
	}
	c := &call{client: &client{service}}
	if r.PostForm.Get("grant_type") == grantFollow {
		c.key = s.clients.keyOf(r.Context(), r, service)
	}
	r.PostForm.Set("client_id", service.ID) // fosite wants it, also where the assertion says it
	r.Form.Set("client_id", service.ID)
	for _, name := range []string{"client_assertion", "client_assertion_type", "client_secret"} {
		r.PostForm.Del(name)
		r.Form.Del(name)
	}
	if bind {
		err = s.bind(r, c, path)
	}
	return c, err
}

// base is the address that a request came to.
func (s *Server) base(r *http.Request) string {
	if s.opt.MTLS != "" && strings.HasSuffix(s.opt.MTLS, "://"+r.Host) {
		return s.opt.MTLS
	}
	return s.opt.Issuer
}

// bind finds out what a token is to be bound to: the key of a DPoP proof, or the certificate.
func (s *Server) bind(r *http.Request, c *call, path string) (err error) {
	if len(r.Header.Values("DPoP")) > 0 {
		c.binding.JKT, err = s.proofs.verify(r.Context(), r, s.base(r)+path, "")
		return err
	}
	if c.client.CertBound {
		c.binding.X5T = certificateThumbprint(r)
	}
	return nil
}
