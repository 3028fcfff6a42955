package statement

import (
	"crypto"
	"crypto/ed25519"
	"errors"
	"fmt"
	"time"

	"github.com/passerelle-cloud/passerelle/internal/strict"
)

const successionFormat = "passerelle-succession/1.0"

// MaxSuccession is the longest chain of identity keys that a statement carries.
const MaxSuccession = 64

// succession is what an identity key signs about the key that follows it.
type succession struct {
	Format string    `json:"format"`
	From   JWK       `json:"from"`
	To     JWK       `json:"to"`
	At     time.Time `json:"at"`
}

// SignSuccession lets an identity key name the next one, so that those who pinned the old one know the new one. It
// returns a compact JWS (RFC 7515 section 7.1) for [Statement.Succession].
func SignSuccession(old crypto.Signer, next ed25519.PublicKey, at time.Time) (string, error) {
	from, ok := old.Public().(ed25519.PublicKey)
	if !ok {
		return "", fmt.Errorf("an identity key is Ed25519, not a %T", old.Public())
	}
	s := succession{Format: successionFormat, From: edJWK(from), To: edJWK(next), At: at.UTC()}
	payload, err := marshal(s)
	if err != nil {
		return "", fmt.Errorf("sign the succession of an identity key: %w", err)
	}
	compact, err := signCompact(old, s.From, typeSuccession, payload)
	if err != nil {
		return "", fmt.Errorf("sign the succession of an identity key: %w", err)
	}
	return compact, nil
}

func parseSuccession(compact string) (succession, error) {
	var s succession
	jws, err := openCompact(compact, typeSuccession)
	if err != nil {
		return s, err
	}
	if err := strict.Decode(jws.payload, &s); err != nil {
		return s, err
	}
	if s.Format != successionFormat {
		return s, fmt.Errorf("its format is %.60q, not %q", s.Format, successionFormat)
	}
	if _, err := s.To.Ed25519(); err != nil || s.To.Kty != "OKP" || s.From.Kty != "OKP" {
		return s, errors.New("it names a key that is not Ed25519")
	}
	return s, jws.verify(s.From)
}

// checkSuccession walks the links backwards from the current identity key: each must appoint the key after it, and no
// key may come twice. It returns the thumbprints of the keys before the current one, oldest first.
func checkSuccession(links []string, current JWK) ([]string, error) {
	former := make([]string, len(links))
	seen := map[string]bool{current.Thumbprint(): true}
	next := current
	for i := len(links) - 1; i >= 0; i-- {
		s, err := parseSuccession(links[i])
		if err != nil {
			return nil, fmt.Errorf("succession[%d]: %w", i, err)
		}
		former[i] = s.From.Thumbprint()
		if s.To != next || seen[former[i]] {
			return nil, fmt.Errorf("succession[%d]: it does not appoint the key that comes next", i)
		}
		seen[former[i]] = true
		next = s.From
	}
	return former, nil
}
