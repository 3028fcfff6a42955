package keys

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/hashicorp/vault/api"
)

var (
	// ErrUnavailable is returned where Vault cannot answer now: it is sealed, in standby, overloaded or not reached.
	// The same call may succeed later.
	ErrUnavailable = errors.New("the key store is not available")
	// ErrDenied is returned where Vault does not let the gateway in, or not do what it has to. An administrator must act.
	ErrDenied = errors.New("the key store refuses access")

	errNothingThere = errors.New("Vault holds nothing there")
	errClosed       = errors.New("the key store was closed")
)

// explain makes a sentence of what went wrong with a call that a caller made with ctx.
func (s *session) explain(ctx context.Context, c call, err error) error {
	var answer *api.ResponseError
	switch {
	case err == nil:
		return nil
	case s.root.Err() != nil:
		return errClosed
	case ctx.Err() != nil: // the caller's
		return fmt.Errorf("%s in Vault: %w", c.path, ctx.Err())
	case errors.As(err, &answer):
		return s.explainAnswer(c, answer)
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("%w: Vault at %s did not answer within %v", ErrUnavailable, s.cfg.Address, s.cfg.Timeout)
	}
	var syntax *json.SyntaxError
	var kind *json.UnmarshalTypeError
	if errors.As(err, &syntax) || errors.As(err, &kind) {
		return fmt.Errorf("%w: what answers at %s does not speak as Vault does (%s): check the address", ErrUnavailable, s.cfg.Address, c.path)
	}
	return fmt.Errorf("%w: Vault at %s is not reached: %s%s", ErrUnavailable, s.cfg.Address, s.tidy(cause(err)), hint(err))
}

// cause leaves out the method and the URL that net/http puts before each error.
func cause(err error) string {
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		return wrapped.Err.Error()
	}
	return err.Error()
}

func hint(err error) string {
	var untrusted *tls.CertificateVerificationError
	switch {
	case errors.As(err, &untrusted):
		return "; give the certificate of its authority as CA certificate"
	case strings.Contains(err.Error(), "server gave HTTP response to HTTPS client"):
		return "; it speaks http, not https"
	}
	return ""
}

func (s *session) explainAnswer(c call, answer *api.ResponseError) error {
	said := s.tidy(strings.Join(answer.Errors, "; "))
	if answer.RawError { // a page of something before Vault, or instead of it
		said = "no reason given"
	}
	address := s.cfg.Address
	switch code := answer.StatusCode; {
	case answer.RawError && code < 500:
		return fmt.Errorf("%w: what answers at %s does not speak as Vault does (%d for %s): check the address", ErrUnavailable, address, code, c.path)
	case strings.Contains(said, "Vault is sealed"):
		return fmt.Errorf("%w: Vault at %s is sealed: run vault operator unseal", ErrUnavailable, address)
	case code == 472 || code == 473:
		return fmt.Errorf("%w: the server at %s is a standby: give the address of the active one", ErrUnavailable, address)
	case strings.Contains(said, "Upgrading from non-versioned"):
		return fmt.Errorf("%w: Vault is still setting up the engine at %s/", ErrUnavailable, s.cfg.KV)
	case strings.Contains(said, "requested version for signing") || strings.Contains(said, "no such key version"): // 500
		return &refusal{path: c.path, said: said}
	case code == http.StatusTooManyRequests || code == http.StatusPreconditionFailed || code >= 500:
		return fmt.Errorf("%w: Vault at %s answers %d to %s: %s", ErrUnavailable, address, code, c.path, said)
	case code == http.StatusForbidden:
		return fmt.Errorf("%w: Vault does not permit %s: the policy must give the capabilities %s there (see policy.hcl)", ErrDenied, c.path, c.need)
	case strings.Contains(said, "no handler for route"):
		return fmt.Errorf("there is no engine at %s in Vault: %s", c.path, s.howToMount(c.path))
	case code == http.StatusNotFound && len(answer.Errors) == 0:
		return fmt.Errorf("%w: %s", errNothingThere, c.path)
	}
	return &refusal{path: c.path, said: said}
}

// refusal is Vault's no to a call that is not as it wants it.
type refusal struct{ path, said string }

func (r *refusal) Error() string { return fmt.Sprintf("Vault refuses %s: %s", r.path, r.said) }

// refused reports whether Vault said no with one of these phrases.
func refused(err error, phrases ...string) bool {
	var r *refusal
	return errors.As(err, &r) && slices.ContainsFunc(phrases, func(p string) bool { return strings.Contains(r.said, p) })
}

func (s *session) howToMount(path string) string {
	switch {
	case strings.HasPrefix(path, s.cfg.Transit+"/"):
		return "run vault secrets enable -path=" + s.cfg.Transit + " transit, or correct mount or namespace"
	case strings.HasPrefix(path, s.cfg.KV+"/"):
		return "run vault secrets enable -path=" + s.cfg.KV + " -version=2 kv, or correct mount or namespace"
	}
	return "run vault auth enable -path=" + s.cfg.AppRole + " approle, or correct mount or namespace"
}

// tidy makes one short line of what somebody else said, without our secrets should they be repeated there.
func (s *session) tidy(text string) string {
	secretID, _ := s.cfg.secretID()
	for _, secret := range []string{s.cfg.Token, secretID, s.client.Token()} {
		if secret != "" {
			text = strings.ReplaceAll(text, secret, "…")
		}
	}
	text = strings.Join(strings.Fields(text), " ")
	if len(text) > 300 {
		text = strings.ToValidUTF8(text[:300], "") + "…"
	}
	return text
}
