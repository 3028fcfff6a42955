package statement

import (
	"crypto"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/cryptosigner"

	"github.com/passerelle-cloud/passerelle/internal/strict"
)

// The identity key signs two kinds of messages. The "typ" of the protected header (RFC 7515 section 4.1.9) keeps one
// from being taken for the other.
const (
	typeStatement  = "passerelle-statement"
	typeSuccession = "passerelle-succession"
)

// header is the protected header, with exactly these members.
type header struct {
	Alg string `json:"alg"`
	Kid string `json:"kid"`
	Typ string `json:"typ"`
}

// generalJWS is the general JSON serialisation (RFC 7515 section 7.2.1) with one signature.
type generalJWS struct {
	Payload    string             `json:"payload"`
	Signatures []generalSignature `json:"signatures"`
}

type generalSignature struct {
	Protected string `json:"protected"`
	Signature string `json:"signature"`
}

// signCompact signs a payload, and checks the outcome: a key kept elsewhere may not be the one that was asked for.
func signCompact(signer crypto.Signer, public JWK, typ string, payload []byte) (string, error) {
	options := (&jose.SignerOptions{}).WithType(jose.ContentType(typ)).WithHeader("kid", public.Thumbprint())
	key := jose.SigningKey{Algorithm: jose.EdDSA, Key: cryptosigner.Opaque(signer)}
	s, err := jose.NewSigner(key, options)
	if err != nil {
		return "", fmt.Errorf("the key is a %T, not Ed25519: %w", signer.Public(), err)
	}
	jws, err := s.Sign(payload)
	if err != nil {
		return "", err
	}
	compact, err := jws.CompactSerialize()
	if err != nil {
		return "", err
	}
	opened, err := openCompact(compact, typ)
	if err != nil {
		return "", err
	}
	if err := opened.verify(public); err != nil {
		return "", fmt.Errorf("the key that signed is not %s: %w", public.Thumbprint(), err)
	}
	return compact, nil
}

// SignJWS signs a message with one of the operator's keys: a compact JWS (RFC 7515 section 7.1) whose type keeps it from
// being taken for another message.
func SignJWS(signer crypto.Signer, typ string, payload []byte) (string, error) {
	pub, ok := signer.Public().(ed25519.PublicKey)
	if !ok {
		return "", fmt.Errorf("sign %s: the key is a %T, not Ed25519", typ, signer.Public())
	}
	compact, err := signCompact(signer, edJWK(pub), typ, payload)
	if err != nil {
		return "", fmt.Errorf("sign %s: %w", typ, err)
	}
	return compact, nil
}

// OpenJWS returns what a message of a type says, and the key of the operator that signed it, which has that use. Whether
// the key held when it signed, [Key.ValidAt] tells. Errors wrap [ErrKey].
func (s *Signed) OpenJWS(use Use, typ, compact string) ([]byte, Key, error) {
	opened, err := openCompact(compact, typ)
	if err != nil {
		return nil, Key{}, fmt.Errorf("%w: the message %s: %w", ErrKey, typ, err)
	}
	for _, k := range s.Statement.Keys {
		if k.Kid != opened.header.Kid || k.Use != use {
			continue
		}
		if err := opened.verify(k.JWK); err != nil {
			return nil, Key{}, fmt.Errorf("%w: the message %s: %w", ErrKey, typ, err)
		}
		return opened.payload, k, nil
	}
	return nil, Key{}, fmt.Errorf("%w: the message %s is signed with %.60q, which the statement of %s does not list for %s", ErrKey, typ, opened.header.Kid, s.Statement.ID, use)
}

// general writes a compact JWS in general JSON serialisation.
func general(compact string) ([]byte, error) {
	parts := strings.Split(compact, ".")
	out, err := json.MarshalIndent(generalJWS{
		Payload:    parts[1],
		Signatures: []generalSignature{{Protected: parts[0], Signature: parts[2]}},
	}, "", "  ")
	return append(out, '\n'), err
}

// compactOf is the reverse of general. It refuses members that general does not write, unprotected headers above all.
func compactOf(data []byte) (string, error) {
	var jws generalJWS
	if err := strict.Decode(data, &jws); err != nil {
		return "", fmt.Errorf("it is not a JWS in general JSON serialisation: %w", err)
	}
	if len(jws.Signatures) != 1 {
		return "", fmt.Errorf("it has %d signatures instead of one", len(jws.Signatures))
	}
	return jws.Signatures[0].Protected + "." + jws.Payload + "." + jws.Signatures[0].Signature, nil
}

// openedJWS has a payload that is not verified yet.
type openedJWS struct {
	header  header
	payload []byte
	jws     *jose.JSONWebSignature
}

func openCompact(compact, typ string) (openedJWS, error) {
	var opened openedJWS
	parts := strings.Split(compact, ".")
	if len(parts) != 3 {
		return opened, errors.New("a compact JWS has three parts")
	}
	var decoded [3][]byte
	for i, part := range parts {
		var err error
		// The encoder's form is the only one: Go's decoder would skip line feeds and take stray bits.
		if decoded[i], err = base64.RawURLEncoding.DecodeString(part); err != nil || base64.RawURLEncoding.EncodeToString(decoded[i]) != part {
			return opened, fmt.Errorf("part %d of the JWS is not base64url", i+1)
		}
	}
	if err := strict.Decode(decoded[0], &opened.header); err != nil {
		return opened, fmt.Errorf("its protected header: %w", err)
	}
	switch {
	case opened.header.Alg != string(jose.EdDSA):
		return opened, fmt.Errorf("its algorithm is %.40q; only EdDSA is accepted", opened.header.Alg)
	case opened.header.Typ != typ:
		return opened, fmt.Errorf("its type is %.60q, not %q", opened.header.Typ, typ)
	}
	jws, err := jose.ParseSignedCompact(compact, []jose.SignatureAlgorithm{jose.EdDSA})
	opened.jws, opened.payload = jws, decoded[1]
	return opened, err
}

func (o *openedJWS) verify(public JWK) error {
	pub, err := public.Ed25519()
	if err != nil {
		return err
	}
	if kid := public.Thumbprint(); o.header.Kid != kid {
		return fmt.Errorf("it is signed with the key %.60q, not with the identity key %s", o.header.Kid, kid)
	}
	if _, err := o.jws.Verify(pub); err != nil {
		return errors.New("the signature does not match: it was changed, or signed with another key")
	}
	return nil
}
