package oauth

import (
	"net/http"

	"github.com/passerelle-cloud/passerelle/consent"
)

// metadata describes the server: RFC 8414, OpenID Connect Discovery, RFC 9126, RFC 9396, RFC 9449, RFC 9207, RFC 8705,
// Grant Management.
func (s *Server) metadata() map[string]any {
	at := func(path string) string { return s.opt.Issuer + path }
	methods := []consent.AuthMethod{consent.PrivateKeyJWT, consent.TLSClientAuth, consent.SelfSignedTLS}
	about := map[string]any{
		"issuer":                                                   s.opt.Issuer,
		"authorization_endpoint":                                   at(PathAuthorize),
		"token_endpoint":                                           at(PathToken),
		"pushed_authorization_request_endpoint":                    at(PathPushed),
		"require_pushed_authorization_requests":                    true,
		"introspection_endpoint":                                   at(PathIntrospect),
		"revocation_endpoint":                                      at(PathRevoke),
		"registration_endpoint":                                    at(PathRegister),
		"jwks_uri":                                                 at(PathKeys),
		"grant_management_endpoint":                                at(PathGrants),
		"grant_management_actions_supported":                       []string{"query", "revoke", "create", "merge", "replace"},
		"grant_management_action_required":                         false,
		"scopes_supported":                                         []string{scopeOpenID, scopeQuery, scopeRevoke},
		"response_types_supported":                                 []string{"code"},
		"response_modes_supported":                                 []string{"query"},
		"grant_types_supported":                                    []string{"authorization_code", "refresh_token", "client_credentials", grantFollow},
		"subject_types_supported":                                  []string{"pairwise"},
		"id_token_signing_alg_values_supported":                    []string{"EdDSA"},
		"authorization_details_types_supported":                    consent.Kinds(),
		"code_challenge_methods_supported":                         []string{"S256"},
		"token_endpoint_auth_methods_supported":                    methods,
		"token_endpoint_auth_signing_alg_values_supported":         algorithms,
		"introspection_endpoint_auth_methods_supported":            methods,
		"introspection_endpoint_auth_signing_alg_values_supported": algorithms,
		"revocation_endpoint_auth_methods_supported":               methods,
		"revocation_endpoint_auth_signing_alg_values_supported":    algorithms,
		"dpop_signing_alg_values_supported":                        algorithms,
		"tls_client_certificate_bound_access_tokens":               true,
		"authorization_response_iss_parameter_supported":           true,
		"request_parameter_supported":                              false,
		"request_uri_parameter_supported":                          false,
		"claims_supported":                                         []string{"iss", "sub", "aud", "iat", "exp", "auth_time", "nonce", "at_hash"},
		"ui_locales_supported":                                     []string{"en", "fr"},
		"protected_resources":                                      []string{s.opt.Issuer},
	}
	if s.opt.MTLS != "" {
		about["mtls_endpoint_aliases"] = map[string]string{
			"token_endpoint": s.opt.MTLS + PathToken, "pushed_authorization_request_endpoint": s.opt.MTLS + PathPushed,
			"introspection_endpoint": s.opt.MTLS + PathIntrospect, "revocation_endpoint": s.opt.MTLS + PathRevoke,
		}
	}
	return about
}

// Metadata serves the server's description.
func (s *Server) Metadata(w http.ResponseWriter, _ *http.Request) { s.describe(w, s.metadata()) }

// ResourceMetadata serves the description of the data's interface (RFC 9728).
func (s *Server) ResourceMetadata(w http.ResponseWriter, _ *http.Request) {
	s.describe(w, map[string]any{
		"resource":                                   s.opt.Issuer,
		"authorization_servers":                      []string{s.opt.Issuer},
		"jwks_uri":                                   s.opt.Issuer + PathKeys,
		"bearer_methods_supported":                   []string{"header"},
		"authorization_details_types_supported":      consent.Kinds(),
		"dpop_signing_alg_values_supported":          algorithms,
		"tls_client_certificate_bound_access_tokens": true,
	})
}

func (s *Server) describe(w http.ResponseWriter, what map[string]any) {
	answerJSON(public{w}, http.StatusOK, what)
}

// public lets an answer be kept for some minutes, and read by pages of others.
type public struct{ http.ResponseWriter }

func (w public) WriteHeader(status int) {
	w.Header().Set("Cache-Control", "public, max-age=300")
	w.Header().Set("Access-Control-Allow-Origin", "*")
	w.ResponseWriter.WriteHeader(status)
}

// PublicKeys serves the keys that verify id tokens and events (RFC 7517).
func (s *Server) PublicKeys(w http.ResponseWriter, r *http.Request) {
	keys, err := s.opt.Keys(r.Context())
	if err != nil {
		s.Deny(w, err)
		return
	}
	p := public{w}
	p.Header().Set("Content-Type", "application/jwk-set+json")
	p.WriteHeader(http.StatusOK)
	p.Write(keys)
}
