package move

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/passerelle-cloud/passerelle/formats"
	"github.com/passerelle-cloud/passerelle/formats/archive"
	"github.com/passerelle-cloud/passerelle/formats/statement"
)

// What the two sides say to each other, as JSON. What one may have to show others later is signed with the archive key of
// its operator (JWS, RFC 7515), each kind with a type of its own.
const (
	typeStanding   = "passerelle-move-standing"
	typeAcceptance = "passerelle-move-acceptance" // both sign the same: that is the receipt
)

// Plan is what the source says before anything moves.
type Plan struct {
	Move     string        `json:"move"`
	Source   string        `json:"source"`
	Person   string        `json:"person"` // pseudonym, for this destination
	Owner    string        `json:"owner"`  // what the person is called at the source
	Locale   string        `json:"locale,omitempty"`
	Total    formats.Count `json:"total"`
	Until    time.Time     `json:"until"`    // when the authorisation ends
	Retained int           `json:"retained"` // days for which the source keeps the data after the move
	// Stays is what does not move, and what the person can do about it.
	Stays []Stays `json:"stays"`
	// Charge is what the source takes for the move, in euro: nothing (Regulation (EU) 2023/2854, article 29(1)).
	Charge int `json:"charge"`
}

// Stays is something of a person's that does not move, by the key of the text that says so ("sessions", "passwords", …).
type Stays struct {
	What string `json:"what"`
}

// NeverMoves is what no move takes along, whoever moves.
func NeverMoves() []Stays { return slices.Clone(stays) }

// Packed is an archive of a move: number 0 is everything, each later one what has changed since.
type Packed struct {
	Sequence int    `json:"sequence"`
	Ready    bool   `json:"ready"`
	Records  int64  `json:"records"` // written so far; in it, when it is ready
	Bytes    int64  `json:"bytes"`
	Files    []File `json:"files"` // in the order in which they are to be fetched; the index is the last
	// Ails is why it cannot be made just now: SourceFull, Stranger or SourceAils. It is tried again.
	Ails Trouble `json:"ails,omitempty"`
}

// File is a file of an archive, as it is carried.
type File struct {
	Name string `json:"name"`
	Size int64  `json:"size"`
}

// FencedAt is the state at which the source stopped, and what it wants to be shown of it.
type FencedAt struct {
	Epoch     int          `json:"epoch"`
	Root      formats.Hash `json:"state_root"`
	Counts    Tally        `json:"counts"`
	Until     time.Time    `json:"until"` // when the source lets the person write again if nothing comes
	Challenge Challenge    `json:"challenge"`
}

// Tally counts the records of each dataset, and how many of them have a blob.
type Tally map[formats.Dataset]Number

// Number is how many records there are, and how many of them have a blob.
type Number struct {
	Records int64 `json:"records"`
	Files   int64 `json:"files"`
}

func (t Tally) add(s formats.State) {
	n := t[s.Dataset]
	n.Records++
	if !s.Blob.IsZero() {
		n.Files++
	}
	t[s.Dataset] = n
}

// Challenge asks for blobs, so that nobody can accept what they do not hold: of each, the SHA-256 of the nonce and its
// bytes.
type Challenge struct {
	Nonce string         `json:"nonce"`
	Blobs []formats.Hash `json:"blobs"`
}

// Answer is what a challenge asks for of a blob.
func (c Challenge) Answer(content io.Reader) (formats.Hash, error) {
	digest := sha256.New()
	digest.Write([]byte(c.Nonce))
	_, err := io.Copy(digest, content)
	return formats.Hash(digest.Sum(nil)), err
}

// Acceptance is what the destination signs when it holds everything, and what the source signs when it retires: signed by
// both, it is the receipt of the move.
type Acceptance struct {
	Move        string        `json:"move"`
	Source      archive.Party `json:"source"`
	Destination archive.Party `json:"destination"`
	Person      string        `json:"person"` // pseudonym
	Epoch       int           `json:"epoch"`
	Root        formats.Hash  `json:"state_root"`
	Counts      Tally         `json:"counts"` // of all that the source had
	// Refused is what the destination could not hold, each with the reason.
	Refused []formats.Omission `json:"refused"`
	Answers []formats.Hash     `json:"answers"` // to the challenge
	At      time.Time          `json:"at"`
}

// Receipt is an acceptance that both operators signed: a JWS in general serialisation (RFC 7515 section 7.2.1).
type Receipt struct {
	Payload    string      `json:"payload"`
	Signatures []signature `json:"signatures"` // that of the destination, then that of the source
}

type signature struct {
	Protected string `json:"protected"`
	Signature string `json:"signature"`
}

// maxAcceptance is the greatest size of what is signed, in bytes.
const maxAcceptance = 8 << 20

// newReceipt puts two signatures of the same text together.
func newReceipt(accepted, committed string) (Receipt, error) {
	var r Receipt
	for _, compact := range []string{accepted, committed} {
		parts := strings.Split(compact, ".")
		if len(parts) != 3 || r.Payload != "" && r.Payload != parts[1] {
			return r, fmt.Errorf("%w: the two operators did not sign the same", ErrRefused)
		}
		r.Payload = parts[1]
		r.Signatures = append(r.Signatures, signature{parts[0], parts[2]})
	}
	return r, nil
}

// compact is the n-th signature with the text.
func (r Receipt) compact(n int) string {
	return r.Signatures[n].Protected + "." + r.Payload + "." + r.Signatures[n].Signature
}

// Verify checks a receipt against the statements of both operators, and returns what they signed.
func (r Receipt) Verify(source, destination *statement.Signed) (Acceptance, error) {
	if len(r.Signatures) != 2 {
		return Acceptance{}, fmt.Errorf("%w: a receipt has two signatures, not %d", ErrRefused, len(r.Signatures))
	}
	a, err := openAcceptance(r.compact(0), destination)
	if err != nil {
		return a, err
	}
	if _, err = openAcceptance(r.compact(1), source); err != nil {
		return a, err
	}
	if a.Source.ID != string(source.Statement.ID) || a.Destination.ID != string(destination.Statement.ID) {
		err = fmt.Errorf("%w: the receipt is about a move from %s to %s", ErrRefused, a.Source.ID, a.Destination.ID)
	}
	return a, err
}

func (r Receipt) hash() string { return formats.HashOf([]byte(r.Payload)).String() }

// openAcceptance checks an acceptance that one operator signed.
func openAcceptance(compact string, by *statement.Signed) (Acceptance, error) {
	var a Acceptance
	if len(compact) > maxAcceptance {
		return a, fmt.Errorf("%w: an acceptance of %d bytes", ErrRefused, len(compact))
	}
	payload, key, err := by.OpenJWS(statement.UseArchive, typeAcceptance, compact)
	if err == nil {
		err = json.Unmarshal(payload, &a)
	}
	if err == nil {
		err = key.ValidAt(a.At)
	}
	if err != nil {
		return a, fmt.Errorf("%w: the acceptance: %w", ErrRefused, err)
	}
	return a, nil
}

// Said is what the source says, signed, of how it stands: to be believed also after the authorisation has ended.
type Said struct {
	Move   string `json:"move"`
	Source string `json:"source"`
	Stage  Stage  `json:"stage"`
	Epoch  int    `json:"epoch"`
	Root   string `json:"state_root,omitempty"`
	// Left is what followed the person and stood when the source retired.
	Left json.RawMessage `json:"left,omitempty"`
	At   time.Time       `json:"at"`
}

// openSaid checks what a source says of how a move stands.
func openSaid(compact, move string, by *statement.Signed) (Said, error) {
	var s Said
	payload, key, err := by.OpenJWS(statement.UseArchive, typeStanding, compact)
	if err == nil {
		err = json.Unmarshal(payload, &s)
	}
	if err == nil {
		err = key.ValidAt(s.At)
	}
	if err == nil && (s.Move != move || s.Source != string(by.Statement.ID)) {
		err = errors.New("it is about another move")
	}
	if err != nil {
		return s, fmt.Errorf("%w: how the move stands: %w", ErrRefused, err)
	}
	return s, nil
}

// payloadOf is the text of a compact JWS that this side made itself.
func payloadOf(compact string) ([]byte, error) {
	parts := strings.Split(compact, ".")
	if len(parts) != 3 {
		return nil, errors.New("a compact JWS has three parts")
	}
	return base64.RawURLEncoding.DecodeString(parts[1])
}
