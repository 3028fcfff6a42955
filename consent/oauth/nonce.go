package oauth

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"time"
)

// nonceSlot is for how long a nonce is given out; it is accepted for as long again.
const nonceSlot = 2 * time.Minute

// nonces are what DPoP proofs must name (RFC 9449 section 8), so that nobody can make some for later. They follow from
// the time and a secret that all replicas have: none is stored.
type nonces struct {
	secret []byte
	now    func() time.Time
}

func newNonces(secret []byte, now func() time.Time) *nonces { return &nonces{secret, now} }

func (n *nonces) of(slot int64) string {
	mac := hmac.New(sha256.New, n.secret)
	mac.Write(binary.BigEndian.AppendUint64(nil, uint64(slot)))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil)[:18])
}

func (n *nonces) slot() int64 { return n.now().Unix() / int64(nonceSlot/time.Second) }

// current is the nonce that is given out now.
func (n *nonces) current() string { return n.of(n.slot()) }

// valid accepts the nonce of now, the one before, and the next one: the clocks of replicas differ a little.
func (n *nonces) valid(nonce string) bool {
	ok := 0
	for d := int64(-1); d <= 1; d++ {
		ok |= subtle.ConstantTimeCompare([]byte(nonce), []byte(n.of(n.slot()+d)))
	}
	return ok == 1
}
