package oauth

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/passerelle-cloud/passerelle/consent"
)

// What is wrong with a proof.
var (
	errClient = errors.New("the client is not authenticated")
	errReplay = errors.New("it was used before; make a new one for each request")
	errProof  = errors.New("the proof is not accepted")
	errNonce  = errors.New("a fresh nonce is needed in the proof")
)

// once remembers an id until a time, on all replicas, and returns an error wrapping errReplay if it was remembered
// already.
type once func(ctx context.Context, kind, who, id string, until time.Time) error

// clientAuth finds out which service calls, by one of two methods: a signed assertion (RFC 7523 section 2.2), or a
// certificate (RFC 8705 section 2). There are no shared secrets.
type clientAuth struct {
	issuer  string
	service func(ctx context.Context, id string) (*consent.Service, error)
	keys    *keySource
	once    once
	now     func() time.Time
	trust   *x509.CertPool // of certificates that authorities vouch for; nil: none
}

const assertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

// authenticate returns who calls, also if the service is suspended. The error wraps errClient or errReplay where the call
// is at fault.
func (a *clientAuth) authenticate(ctx context.Context, r *http.Request, form url.Values) (*consent.Service, error) {
	switch {
	case r.Header.Get("Authorization") != "" || form.Has("client_secret"):
		return nil, fmt.Errorf("%w: secrets are not used here; send a client_assertion (private_key_jwt) or a certificate", errClient)
	case form.Has("client_assertion") || form.Has("client_assertion_type"):
		return a.byAssertion(ctx, form)
	case form.Get("client_id") != "" && r.TLS != nil && len(r.TLS.PeerCertificates) > 0:
		return a.byCertificate(ctx, r, form.Get("client_id"))
	}
	return nil, fmt.Errorf("%w: send a client_assertion (private_key_jwt), or client_id with a certificate", errClient)
}

// registered returns a service whose method is the one that is used. Who is not registered is told what everybody is told
// whose proof is wrong.
func (a *clientAuth) registered(ctx context.Context, id string, methods ...consent.AuthMethod) (*consent.Service, error) {
	if !possible(id) {
		return nil, errUnproven
	}
	service, err := a.service(ctx, id)
	if errors.Is(err, consent.ErrNotFound) {
		return nil, errUnproven
	}
	if err != nil {
		return nil, err
	}
	for _, m := range methods {
		if service.Auth == m {
			return service, nil
		}
	}
	return nil, errUnproven
}

// possible reports whether a service could have an id: others, which a database may not even be asked about, are nobody's.
func possible(id string) bool {
	return len(id) <= 100 && !strings.ContainsFunc(id, func(c rune) bool { return c <= ' ' || c > '~' })
}

var errUnproven = fmt.Errorf("%w: there is no such client, or this is not the method, the key or the certificate that it registered, or its jwks_uri gives no keys", errClient)

// unproven tells the caller, who may be anybody, no more than errUnproven does: neither whether there is such a client,
// nor what the gateway can reach. The cause is for the operator: errors.As finds it.
type unproven struct{ cause error }

func (u unproven) Error() string   { return errUnproven.Error() }
func (u unproven) Unwrap() []error { return []error{errUnproven, u.cause} }
