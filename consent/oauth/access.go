package oauth

import (
	"crypto/subtle"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/ory/fosite"

	"github.com/passerelle-cloud/passerelle/consent"
)

// Bearer is who holds a token, as a protected resource sees them.
type Bearer struct {
	Service string
	Consent *consent.Consent // nil: a token for administration
	Scopes  []string
}

// Denial is why a token is not accepted (RFC 6750 section 3.1). It is an error, and writes itself into an answer.
type Denial struct {
	Status int
	Code   string // "invalid_token", …; "" where no token was sent
	Text   string
	scheme string
	server *Server
}

func (d *Denial) Error() string { return d.Text }

// Challenge sets the headers that go with it: how to ask (RFC 9728 section 5.1, RFC 9449 section 7.1).
func (d *Denial) Challenge(h http.Header) {
	params := []string{fmt.Sprintf(`resource_metadata=%q`, d.server.opt.Issuer+PathResource)}
	if d.Code != "" {
		params = append(params, fmt.Sprintf(`error=%q`, d.Code), fmt.Sprintf(`error_description=%q`, d.Text))
	}
	if d.scheme != "Bearer" {
		h.Set("DPoP-Nonce", d.server.proofs.nonces.current())
		params = append(params, `algs="`+strings.Join(algorithms, " ")+`"`)
	}
	h.Add("WWW-Authenticate", d.scheme+" "+strings.Join(params, ", "))
}

// algorithms are those of proofs and assertions: FAPI 2.0 section 5.4.1; Ed25519 is EdDSA by its newer name (RFC 9864).
var algorithms = []string{"ES256", "PS256", "EdDSA", "Ed25519"}

// Bearer returns whose token a request carries: in the header only, valid, its consent valid, and held by whom it was
// given to. The error is a [*Denial], or something that broke.
func (s *Server) Bearer(r *http.Request) (*Bearer, error) {
	deny := func(scheme string, status int, code, text string) error {
		return &Denial{Status: status, Code: code, Text: text, scheme: scheme, server: s}
	}
	if r.URL.Query().Has("access_token") {
		return nil, deny("DPoP", http.StatusBadRequest, "invalid_request", "A token belongs into the Authorization header, never into the address.")
	}
	headers := r.Header.Values("Authorization")
	if len(headers) != 1 {
		return nil, deny("DPoP", http.StatusUnauthorized, "", "An access token is needed.")
	}
	scheme, token, _ := strings.Cut(headers[0], " ")
	switch {
	case strings.EqualFold(scheme, "DPoP"):
		scheme = "DPoP"
	case strings.EqualFold(scheme, "Bearer"):
		scheme = "Bearer"
	default:
		return nil, deny("DPoP", http.StatusUnauthorized, "", "An access token is needed.")
	}
	row, c, err := s.valid(r.Context(), kindAccess, token)
	if errors.Is(err, fosite.ErrNotFound) || err == nil && row.session.Bound.tokenType() != scheme {
		return nil, deny(scheme, http.StatusUnauthorized, "invalid_token", "The token is not valid, or its consent is not any more.")
	}
	if err != nil {
		return nil, err
	}
	if service, err := s.authority.Service(r.Context(), row.service); err != nil {
		return nil, err
	} else if service.Suspended != "" {
		return nil, deny(scheme, http.StatusForbidden, "insufficient_scope", "The service is suspended: "+service.Suspended)
	}
	if err := s.held(r, row.session.Bound, token); errors.Is(err, errNonce) {
		return nil, deny(scheme, http.StatusUnauthorized, "use_dpop_nonce", "Use the nonce of the DPoP-Nonce header.")
	} else if errors.Is(err, errProof) || errors.Is(err, errReplay) {
		return nil, deny(scheme, http.StatusUnauthorized, "invalid_token", err.Error())
	} else if err != nil {
		return nil, err
	}
	if c != nil && c.Moved != nil { // told to nobody but whom the token was given to
		return nil, s.moved(c)
	}
	return &Bearer{Service: row.service, Consent: c, Scopes: slices.Clone(row.request.GrantedScope)}, nil
}

// held checks that whoever sends a token is whom it was given to.
func (s *Server) held(r *http.Request, to binding, token string) error {
	if to.JKT == "" {
		if subtle.ConstantTimeCompare([]byte(certificateThumbprint(r)), []byte(to.X5T)) != 1 {
			return fmt.Errorf("%w: the token is bound to another certificate", errProof)
		}
		return nil
	}
	jkt, err := s.proofs.verify(r.Context(), r, s.base(r)+r.URL.EscapedPath(), token)
	if err != nil {
		return err
	}
	if subtle.ConstantTimeCompare([]byte(jkt), []byte(to.JKT)) != 1 {
		return fmt.Errorf("%w: the token is bound to another key", errProof)
	}
	return nil
}
