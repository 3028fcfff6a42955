package provider

import (
	"slices"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
)

// Identity is who somebody is at the provider. Issuer and Subject together name them (OpenID Connect Core, section 5.7);
// the rest is only to be shown.
type Identity struct {
	Issuer, Subject string
	Name, Email     string    // at most 200 characters each, all of them printable
	AuthTime        time.Time // when they proved who they are, as the provider says; zero if it does not
	Begun           time.Time // when they came back
}

const (
	maxSubject = 255 // OpenID Connect Core, section 2
	maxShown   = 200 // characters
	leeway     = time.Minute
)

// claims are what an ID token says, as far as go-oidc does not check it.
type claims struct {
	IssuedAt *float64 `json:"iat"`
	AuthTime *float64 `json:"auth_time"`
	Azp      *string  `json:"azp"`
	Name     string   `json:"name"`
	Email    string   `json:"email"`
}

// identity checks what is left of OpenID Connect Core, section 3.1.3.7: that the ID token answers what was asked.
func (p *Provider) identity(s State, proved *oidc.IDToken) (Identity, error) {
	var said claims
	if err := proved.Claims(&said); err != nil {
		return Identity{}, invalid("a claim of the ID token is of another kind")
	}
	now := p.config.Now()
	switch {
	case !same(proved.Nonce, s.Nonce):
		return Identity{}, invalid("the ID token answers something else (nonce)")
	case said.Azp != nil && *said.Azp != p.config.ClientID, len(proved.Audience) > 1 && said.Azp == nil:
		return Identity{}, invalid("the ID token is for somebody else, too (azp)")
	case said.IssuedAt == nil, later(said.IssuedAt, now):
		return Identity{}, invalid("the ID token is from the future (iat): the clocks differ")
	case !isSubject(proved.Subject):
		return Identity{}, invalid("the ID token names nobody (sub)")
	case later(said.AuthTime, now), s.Fresh && moment(said.AuthTime).Before(s.Begun.Add(-leeway)):
		return Identity{}, invalid("the person did not prove anew who they are (auth_time)")
	}
	return Identity{Issuer: proved.Issuer, Subject: proved.Subject, Name: shown(said.Name, maxShown), Email: shown(said.Email, maxShown),
		AuthTime: moment(said.AuthTime), Begun: now}, nil
}

// later says whether a claim names a moment that is later than t by more than the leeway.
func later(seconds *float64, t time.Time) bool {
	return seconds != nil && *seconds > float64(t.Add(leeway).Unix())
}

// moment is the time that a claim names, in seconds since 1970 (RFC 7519, section 2); zero if there is none.
func moment(seconds *float64) time.Time {
	if seconds == nil || *seconds <= 0 {
		return time.Time{}
	}
	return time.Unix(int64(*seconds), 0)
}

func isSubject(text string) bool {
	strange := func(b byte) bool { return b < 0x20 || b >= 0x7f }
	return text != "" && len(text) <= maxSubject && !slices.ContainsFunc([]byte(text), strange)
}
