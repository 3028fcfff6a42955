package oauth

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"fmt"
)

// idTokenLife is short: it says who is there, once.
const idTokenLife = accessLife

// idToken says, signed, under which name the service knows the person (OpenID Connect Core section 2). It is signed with
// Ed25519; at_hash is the left half of a SHA-512 then, as the OpenID Foundation has it.
func (s *Server) idToken(ctx context.Context, own *session, service, access string) (string, error) {
	now := s.opt.Now()
	half := sha512.Sum512([]byte(access))
	claims := map[string]any{
		"iss": s.opt.Issuer, "sub": own.Subject, "aud": service, "iat": seconds(now), "exp": seconds(now.Add(idTokenLife)),
		"at_hash": base64.RawURLEncoding.EncodeToString(half[:sha512.Size/2]),
	}
	if own.Nonce != "" {
		claims["nonce"] = own.Nonce
	}
	if !own.Auth.IsZero() {
		claims["auth_time"] = seconds(own.Auth)
	}
	return s.Sign(ctx, "JWT", claims)
}

// Sign makes a JWS in compact form (RFC 7515, RFC 8037) with the operator's key for tokens.
func (s *Server) Sign(ctx context.Context, typ string, claims any) (string, error) {
	signer, kid, err := s.opt.Signer(ctx)
	if err != nil {
		return "", fmt.Errorf("the key for tokens: %w", err)
	}
	header, err := json.Marshal(map[string]string{"alg": "EdDSA", "kid": kid, "typ": typ})
	if err != nil {
		return "", err
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		return "", err
	}
	input := base64.RawURLEncoding.EncodeToString(header) + "." + base64.RawURLEncoding.EncodeToString(payload)
	signature, err := signer.Sign(rand.Reader, []byte(input), crypto.Hash(0))
	if err != nil {
		return "", fmt.Errorf("sign a token: %w", err)
	}
	return input + "." + base64.RawURLEncoding.EncodeToString(signature), nil
}
