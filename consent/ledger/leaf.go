package ledger

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"time"

	"golang.org/x/mod/sumdb/tlog"
)

// Hash is an RFC 6962 hash. As text it is hexadecimal.
type Hash [sha256.Size]byte

func (h Hash) String() string { return hex.EncodeToString(h[:]) }

// MarshalText implements encoding.TextMarshaler.
func (h Hash) MarshalText() ([]byte, error) { return []byte(h.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (h *Hash) UnmarshalText(text []byte) error {
	if len(text) != hex.EncodedLen(len(h)) {
		return fmt.Errorf("a hash has %d hexadecimal digits, not %d", hex.EncodedLen(len(h)), len(text))
	}
	_, err := hex.Decode(h[:], text)
	return err
}

// A leaf is
//
//	0    version, 1
//	1    class
//	2    hours since 1970, big endian, 4 bytes
//	6    tag, 16 bytes
//	22   a commitment to each field, in their order, 32 bytes each
//
// The tag is HMAC-SHA256(tag key, counter) cut to 16 bytes: only who has the person's tag key of that epoch can tell
// which leaves are one person's. No two leaves have the same tag, unless somebody made two chains of one.
//
// A commitment is HMAC-SHA256(field key, opening ‖ value). The field key is public and keeps fields apart; the opening
// is 32 bytes that nobody can guess, made from the person's key.
const (
	leafVersion = 1
	hourAt      = 2
	tagAt       = 6
	fieldsAt    = 22
	// LeafSize is the size of every leaf in bytes.
	LeafSize = fieldsAt + int(fields)*sha256.Size
)

// TagSize is the size of a tag in bytes.
const TagSize = fieldsAt - tagAt

// Tag tells leaves of one person from all others, for who has the key.
type Tag [TagSize]byte

// Leaf is a leaf as it is in the log.
type Leaf []byte

var errLeaf = errors.New("it is not a leaf")

// ParseLeaf checks the form of a leaf.
func ParseLeaf(b []byte) (Leaf, error) {
	switch {
	case len(b) != LeafSize:
		return nil, fmt.Errorf("%w: it has %d bytes, not %d", errLeaf, len(b), LeafSize)
	case b[0] != leafVersion:
		return nil, fmt.Errorf("%w of a version known here: %d", errLeaf, b[0])
	case classNames[Class(b[1])] == "":
		return nil, fmt.Errorf("%w: there is no class %d", errLeaf, b[1])
	}
	return b, nil
}

// Hash is the RFC 6962 leaf hash.
func (l Leaf) Hash() Hash { return leafHash(l) }

func leafHash(b []byte) Hash { return Hash(tlog.RecordHash(b)) }

// Class returns the class.
func (l Leaf) Class() Class { return Class(l[1]) }

// Hour returns the beginning of the hour in which it was made.
func (l Leaf) Hour() time.Time {
	return time.Unix(int64(binary.BigEndian.Uint32(l[hourAt:]))*3600, 0).UTC()
}

// Tag returns the tag.
func (l Leaf) Tag() Tag { return Tag(l[tagAt:fieldsAt]) }

func (l Leaf) commitment(f Field) []byte {
	at := fieldsAt + int(f)*sha256.Size
	return l[at : at+sha256.Size]
}

// Opening opens one field of one leaf.
type Opening struct {
	Value string `json:"value"`
	Salt  Hash   `json:"salt"`
}

// Opens reports whether an opening is that of a field of the leaf.
func (l Leaf) Opens(f Field, o Opening) bool {
	return f < fields && hmac.Equal(commit(f, o.Salt[:], o.Value), l.commitment(f))
}

func commit(f Field, salt []byte, value string) []byte {
	mac := hmac.New(sha256.New, []byte(fieldKeys+f.String()))
	mac.Write(salt)
	mac.Write([]byte(value))
	return mac.Sum(nil)
}

// committer makes commitments one after the other. It keeps the state that each field's key leads to.
type committer struct {
	macs   [fields]hash.Hash
	buffer []byte
}

func newCommitter() *committer {
	c := &committer{}
	for f := range c.macs {
		c.macs[f] = hmac.New(sha256.New, []byte(fieldKeys+Field(f).String()))
	}
	return c
}

// append appends the commitment to a value.
func (c *committer) append(to []byte, f Field, salt *Hash, value string) []byte {
	mac := c.macs[f]
	mac.Reset()
	c.buffer = append(append(c.buffer[:0], salt[:]...), value...)
	mac.Write(c.buffer)
	return mac.Sum(to)
}

const fieldKeys = "passerelle ledger leaf 1 "

// makeLeaf makes the leaf that commits to the values of an event.
func makeLeaf(c *committer, class Class, now time.Time, tag Tag, v *values, salts *salts) Leaf {
	leaf := make(Leaf, fieldsAt, LeafSize)
	leaf[0], leaf[1] = leafVersion, byte(class)
	binary.BigEndian.PutUint32(leaf[hourAt:], uint32(now.Unix()/3600))
	copy(leaf[tagAt:], tag[:])
	for f := range fields {
		leaf = c.append(leaf, f, &salts[f], v[f])
	}
	return leaf
}
