package banktest

import "time"

const metadataPath = "/.well-known/oauth-authorization-server"

type code struct{}

type token struct {
	Person, Consent string
	Until           time.Time
}

func (b *Bank) bearer(q *request, consent string) (*token, error) {
	return nil, fail(401, "TOKEN_UNKNOWN", "not yet")
}
func (b *Bank) oauthBack(a *Authorisation) string { return "" }
func (b *Bank) identify(q *request) error         { return nil }
func (b *Bank) load() error                       { return nil }
func (b *Bank) save() error                       { return nil }
func (b *Bank) statement(r *reading, a *Account, q *query, list []*Operation) (*reply, error) {
	return nil, fail(406, "REQUESTED_FORMATS_INVALID", "not yet")
}
