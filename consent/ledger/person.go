package ledger

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"
)

const (
	secretSize = 32
	// indexSecret names the secret from which the names of persons' secrets are made.
	indexSecret = "ledger-index"
	personNames = "ledger-person-"
	// maxPersons is how many persons' keys are kept in memory.
	maxPersons = 50_000
)

// persons finds and makes persons' keys, and remembers some of them.
type persons struct {
	secrets Secrets
	index   []byte

	mu   sync.Mutex
	keys map[string]*personKeys // by the name of their secret
}

func newPersons(ctx context.Context, secrets Secrets) (*persons, error) {
	index, err := secrets.MakeSecret(ctx, indexSecret)
	if err != nil {
		return nil, fmt.Errorf("get the secret that names persons' keys: %w", err)
	}
	return &persons{secrets: secrets, index: index, keys: map[string]*personKeys{}}, nil
}

// name is that of a person's secret: nobody who has not the index can tell whose it is.
func (p *persons) name(person string) string {
	mac := hmac.New(sha256.New, p.index)
	mac.Write([]byte(person))
	return personNames + hex.EncodeToString(mac.Sum(nil)[:20])
}

// of returns a person's keys. The error wraps ErrUnknown if there are none and make is false.
func (p *persons) of(ctx context.Context, person string, make bool) (*personKeys, error) {
	name := p.name(person)
	p.mu.Lock()
	keys := p.keys[name]
	p.mu.Unlock()
	if keys != nil {
		return keys, nil
	}
	secret, err := p.secret(ctx, name, make)
	if err != nil {
		return nil, err
	}
	keys, err = deriveKeys(name, secret)
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.keys) >= maxPersons {
		clear(p.keys) // they are found again
	}
	p.keys[name] = keys
	return keys, nil
}

func (p *persons) secret(ctx context.Context, name string, make bool) ([]byte, error) {
	if make {
		secret, err := p.secrets.MakeSecret(ctx, name)
		if err != nil {
			return nil, fmt.Errorf("get the person's key: %w", err)
		}
		return secret, nil
	}
	secret, ok, err := p.secrets.Secret(ctx, name)
	if err != nil {
		return nil, fmt.Errorf("get the person's key: %w", err)
	}
	if !ok {
		return nil, ErrUnknown
	}
	return secret, nil
}

// drop forgets the keys that are in memory.
func (p *persons) drop(name string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.keys, name)
}

// personKeys is what is made from a person's secret.
type personKeys struct {
	name  string // of the secret
	chain []byte // what the person's openings are found by; it can be made from the secret only
	tags  []byte
	salts cipher.Block
	seal  cipher.AEAD

	firstTags []byte // of epoch 0, which is that of nearly everybody
}

func deriveKeys(name string, secret []byte) (*personKeys, error) {
	if len(secret) != secretSize {
		return nil, fmt.Errorf("the person's key has %d bytes, not %d", len(secret), secretSize)
	}
	part := func(what string, size int) []byte {
		key, err := hkdf.Expand(sha256.New, secret, "passerelle ledger "+what, size)
		if err != nil {
			panic(err) // the lengths are constants
		}
		return key
	}
	salts, err := aes.NewCipher(part("salts", 32))
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(part("openings", 32))
	if err != nil {
		return nil, err
	}
	seal, err := cipher.NewGCM(block)
	if err != nil {
		return nil, err
	}
	keys := &personKeys{name: name, chain: part("chain", 16), tags: part("tags", 32), salts: salts, seal: seal}
	keys.firstTags = keys.deriveTags(0)
	return keys, nil
}

// tagKey is the key of the tags of one epoch.
func (k *personKeys) tagKey(epoch int64) []byte {
	if epoch == 0 {
		return k.firstTags
	}
	return k.deriveTags(epoch)
}

func (k *personKeys) deriveTags(epoch int64) []byte {
	key, err := hkdf.Expand(sha256.New, k.tags, fmt.Sprintf("epoch %d", epoch), sha256.Size)
	if err != nil {
		panic(err) // the length is a constant
	}
	return key
}

// tagOf returns the tag of an event.
func tagOf(tagKey []byte, counter int64) (tag Tag) {
	mac := hmac.New(sha256.New, tagKey)
	var n [8]byte
	binary.BigEndian.PutUint64(n[:], uint64(counter))
	mac.Write(n[:])
	copy(tag[:], mac.Sum(nil))
	return tag
}

// salts are the secret halves of the commitments of one leaf.
type salts [fields]Hash

// saltsOf returns those of one event: AES-256 in counter mode, whose blocks begin at the event's number.
func (k *personKeys) saltsOf(counter int64) *salts {
	var iv [aes.BlockSize]byte
	binary.BigEndian.PutUint64(iv[:], uint64(counter))
	var stream [int(fields) * sha256.Size]byte
	cipher.NewCTR(k.salts, iv[:]).XORKeyStream(stream[:], stream[:])
	var s salts
	for f := range s {
		copy(s[f][:], stream[f*sha256.Size:])
	}
	return &s
}

// link is where a chain goes on.
type link struct {
	counter  int64 // of the next event
	epoch    int64
	previous Hash
	leaf     int64     // id of the last leaf
	last     time.Time // of the last event
	keep     time.Time // until when the chain must be kept
	ended    bool      // nothing may follow
}

// opened is one event of a chain, as its person's key opens it.
type opened struct {
	class  Class
	hash   Hash
	before int64 // id of the leaf before, unless this is the first one
	values values
	keep   time.Time // the latest of the chain so far
}

// next returns where the chain goes on after the event, whose leaf has that id.
func (o *opened) next(id int64) (link, error) {
	counter, err1 := parseCount(o.values[Counter])
	epoch, err2 := parseCount(o.values[Epoch])
	last, err3 := time.Parse(timeLayout, o.values[Time])
	if err := errors.Join(err1, err2, err3); err != nil {
		return link{}, fmt.Errorf("%w: an opening holds: %w", ErrDamaged, err)
	}
	if o.class == Disclosure {
		epoch++ // who was given the key of its tags shall not follow the person any further
	}
	return link{counter: counter + 1, epoch: epoch, previous: o.hash, leaf: id, last: last, keep: o.keep, ended: o.class == Erasure}, nil
}

func parseCount(s string) (int64, error) {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n < 0 || strconv.FormatInt(n, 10) != s {
		return 0, fmt.Errorf("%.40q is not a count", s)
	}
	return n, nil
}

const sealVersion = 1

// encrypt seals an opened event. Only its person's key opens it again, and only in its place.
func (k *personKeys) encrypt(counter int64, o *opened) []byte {
	plain := []byte{sealVersion, byte(o.class)}
	plain = append(plain, o.hash[:]...)
	plain = binary.BigEndian.AppendUint64(plain, uint64(o.before))
	plain = binary.BigEndian.AppendUint64(plain, uint64(o.keep.Unix()))
	for _, v := range o.values {
		plain = binary.AppendUvarint(plain, uint64(len(v)))
		plain = append(plain, v...)
	}
	nonce := make([]byte, k.seal.NonceSize(), k.seal.NonceSize()+len(plain)+k.seal.Overhead())
	rand.Read(nonce) // never fails: see crypto/rand
	return k.seal.Seal(nonce, nonce, plain, k.place(counter))
}

func (k *personKeys) place(counter int64) []byte {
	return binary.BigEndian.AppendUint64(append([]byte(nil), k.chain...), uint64(counter))
}

var errSealed = fmt.Errorf("%w: what opens a leaf cannot be decrypted with its person's key", ErrDamaged)

func (k *personKeys) decrypt(counter int64, sealed []byte) (*opened, error) {
	n := k.seal.NonceSize()
	if len(sealed) < n {
		return nil, errSealed
	}
	plain, err := k.seal.Open(nil, sealed[:n], sealed[n:], k.place(counter))
	if err != nil {
		return nil, errSealed
	}
	const head = 2 + sha256.Size + 8 + 8
	if len(plain) < head || plain[0] != sealVersion {
		return nil, fmt.Errorf("%w: what opens a leaf is of another version", ErrDamaged)
	}
	o := &opened{class: Class(plain[1]), hash: Hash(plain[2 : 2+sha256.Size]), before: int64(binary.BigEndian.Uint64(plain[head-16:]))}
	if keep := int64(binary.BigEndian.Uint64(plain[head-8:])); keep != (time.Time{}).Unix() {
		o.keep = time.Unix(keep, 0).UTC()
	}
	rest := plain[head:]
	for f := range o.values {
		size, n := binary.Uvarint(rest)
		if n <= 0 || size > uint64(len(rest)-n) {
			return nil, errSealed
		}
		o.values[f], rest = string(rest[n:n+int(size)]), rest[n+int(size):]
	}
	return o, nil
}
