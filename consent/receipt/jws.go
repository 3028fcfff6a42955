package receipt

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/cryptosigner"
)

// The protected header says what is signed: no JWT, for the payload has no claims, but JSON-LD (RFC 7515 sections 4.1.9
// and 4.1.10, both without "application/"). The type keeps a receipt from being taken for anything else that a key of
// the operator signs.
const (
	signedType  = "passerelle-receipt"
	contentType = "ld+json"
)

// header is the protected header, with exactly these members.
type header struct {
	Alg string `json:"alg"`
	Cty string `json:"cty"`
	Kid string `json:"kid"`
	Typ string `json:"typ"`
}

// Keys are the public keys that may have signed a receipt, by key id.
type Keys map[string]ed25519.PublicKey

// Sign signs the bytes of a receipt, exactly as they are, with an Ed25519 key, and returns a compact JWS (RFC 7515
// section 7.1). Bytes that [ParseReceipt] would refuse are not signed.
func Sign(ctx context.Context, receipt []byte, kid string, key crypto.Signer) (string, error) {
	public, ok := key.Public().(ed25519.PublicKey)
	if !ok || kid == "" {
		return "", fmt.Errorf("sign the receipt: the key %.60q is a %T, not Ed25519 with an id", kid, key.Public())
	}
	if _, err := ParseReceipt(receipt); err != nil {
		return "", fmt.Errorf("sign the receipt: %w", err)
	}
	jws, err := SignAs(ctx, signedType, contentType, receipt, kid, key)
	if err != nil {
		return "", fmt.Errorf("sign the receipt: %w", err)
	}
	if _, _, err := Open(jws, Keys{kid: public}); err != nil { // a key that is kept elsewhere may not be the one it says it is
		return "", fmt.Errorf("sign the receipt: what the key made cannot be verified: %w", err)
	}
	return jws, nil
}

// SignAs signs bytes as another kind of document than a receipt, which its type tells apart (RFC 8725 section 3.11), and
// returns a compact JWS.
func SignAs(ctx context.Context, typ, content string, payload []byte, kid string, key crypto.Signer) (string, error) {
	if err := ctx.Err(); err != nil {
		return "", err
	}
	options := (&jose.SignerOptions{}).WithType(jose.ContentType(typ)).WithContentType(jose.ContentType(content)).WithHeader("kid", kid)
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.EdDSA, Key: cryptosigner.Opaque(key)}, options)
	if err != nil {
		return "", err
	}
	signed, err := signer.Sign(payload)
	if err != nil {
		return "", err
	}
	return signed.CompactSerialize()
}

// Open verifies a signed receipt against keys, and returns the receipt and its exact bytes. Anything that [Sign] would
// not have written is refused, other algorithms and critical headers among it; the error wraps [ErrInvalid].
func Open(jws string, keys Keys) (Receipt, []byte, error) {
	if len(jws) > MaxSize {
		return Receipt{}, nil, fmt.Errorf("%w: %d bytes are more than %d", ErrInvalid, len(jws), MaxSize)
	}
	h, payload, err := split(jws)
	if err != nil {
		return Receipt{}, nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	key := keys[h.Kid]
	if len(key) != ed25519.PublicKeySize {
		return Receipt{}, nil, fmt.Errorf("%w: it is signed with the key %.100q, which is not known", ErrInvalid, h.Kid)
	}
	parsed, err := jose.ParseSignedCompact(jws, []jose.SignatureAlgorithm{jose.EdDSA})
	if err != nil {
		return Receipt{}, nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	if _, err := parsed.Verify(key); err != nil {
		return Receipt{}, nil, fmt.Errorf("%w: the signature does not match: it was changed, or signed with another key", ErrInvalid)
	}
	r, err := ParseReceipt(payload)
	return r, payload, err
}

// split takes a compact JWS apart, and refuses all but the one way to write its header and its base64url: Go's decoder
// would skip line feeds and take stray bits.
func split(jws string) (h header, payload []byte, err error) {
	parts := strings.Split(jws, ".")
	if len(parts) != 3 {
		return h, nil, errors.New("a compact JWS has three parts")
	}
	var decoded [3][]byte
	for i, part := range parts {
		if decoded[i], err = base64.RawURLEncoding.DecodeString(part); err != nil || base64.RawURLEncoding.EncodeToString(decoded[i]) != part {
			return h, nil, fmt.Errorf("part %d of the JWS is not base64url", i+1)
		}
	}
	if err := json.Unmarshal(decoded[0], &h); err != nil {
		return h, nil, fmt.Errorf("its protected header: %w", err)
	}
	if want, err := json.Marshal(header{Alg: string(jose.EdDSA), Cty: contentType, Kid: h.Kid, Typ: signedType}); err != nil || !bytes.Equal(decoded[0], want) {
		return h, nil, fmt.Errorf("its protected header is %.300q instead of %.300q", decoded[0], want)
	}
	return h, decoded[1], nil
}
