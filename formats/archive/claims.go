package archive

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
	"time"

	"github.com/passerelle-cloud/passerelle/formats"
)

// Claims is what the source operator signs about an archive, beyond its bytes: whose it is, for whom, which state of
// the instance, and what is missing. It is the file claims.json.
type Claims struct {
	Format       string        `json:"format"`
	ExportID     string        `json:"export_id"`               // names the series; sequence 0 is the full export
	Sequence     int           `json:"sequence"`                //
	PreviousRoot *formats.Hash `json:"previous_root,omitempty"` // of sequence-1; absent for 0
	// StateRoot is the SHA-256 of the lines "dataset TAB id TAB record hash TAB blob hash LF" (the last one empty
	// where there is no blob), in bytewise order, of the whole instance at this sequence.
	StateRoot formats.Hash       `json:"state_root"`
	Person    Person             `json:"person"`
	Source    Party              `json:"source"`
	Recipient *Party             `json:"recipient"` // null: the person
	Created   time.Time          `json:"created"`
	Expires   *time.Time         `json:"expires,omitempty"`  // only where the recipient is an operator
	Datasets  []DatasetClaim     `json:"datasets"`           // of this archive, in the order of formats.Datasets
	LeftOut   *LeftOut           `json:"left_out,omitempty"` // what the recipient holds already; absent: nothing
	Omissions []formats.Omission `json:"omissions"`
	Ledger    *string            `json:"ledger"`    // the source's log checkpoint at that time, if it keeps a log
	Snapshot  int64              `json:"snapshot"`  // position in the source's change feed
	Statement formats.Hash       `json:"statement"` // of signature/operator.json
}

// Person names the person for this recipient only.
type Person struct {
	Pseudonym   string `json:"pseudonym"`
	RecoveryKey string `json:"recovery_key,omitempty"` // thumbprint of a key that the person holds
}

// Party is an operator.
type Party struct {
	ID   string `json:"id"`
	Name string `json:"name,omitempty"`
}

// DatasetClaim counts what an archive holds of a dataset.
type DatasetClaim struct {
	Dataset    formats.Dataset `json:"dataset"`
	Tombstones int64           `json:"tombstones,omitempty"`
	formats.Count
}

const maxSequence = 1 << 30

var exportID = regexp.MustCompile(`^[A-Za-z0-9_-]{16,64}$`)

// parseClaims decodes and checks claims.json.
func parseClaims(data []byte) (Claims, error) {
	var c Claims
	var version struct {
		Format string `json:"format"`
	}
	if err := json.Unmarshal(data, &version); err != nil {
		return c, fmt.Errorf("claims.json is not JSON: %w", err)
	}
	if major, _, _ := strings.Cut(version.Format, "."); major != "passerelle-archive/1" {
		return c, fmt.Errorf("claims.json says format %q; this program reads passerelle-archive/1: use a newer one", version.Format)
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	if err := dec.Decode(&c); err != nil {
		return c, fmt.Errorf("claims.json: %w", err)
	}
	if _, err := dec.Token(); err != io.EOF {
		return c, errors.New("claims.json: something follows the claims")
	}
	return c, c.validate()
}

func (c *Claims) validate() error {
	switch {
	case !exportID.MatchString(c.ExportID):
		return fmt.Errorf("claims.json: export_id %q is not 16 to 64 letters, digits, - or _", c.ExportID)
	case c.Sequence < 0 || c.Sequence > maxSequence:
		return fmt.Errorf("claims.json: sequence %d is out of range", c.Sequence)
	case (c.Sequence == 0) != (c.PreviousRoot == nil):
		return errors.New("claims.json: previous_root belongs to sequences above 0, and only to them")
	case c.Source.ID == "" || c.Person.Pseudonym == "" || c.Created.IsZero() || c.StateRoot.IsZero():
		return errors.New("claims.json: source, person, created or state_root is missing")
	case c.Recipient != nil && (c.Recipient.ID == "" || c.Expires == nil):
		return errors.New("claims.json: an archive for an operator names it and expires")
	case c.Recipient == nil && c.Expires != nil:
		return errors.New("claims.json: a person's own archive never expires")
	}
	seen := map[formats.Dataset]bool{}
	for _, d := range c.Datasets {
		if _, err := formats.ParseDataset(string(d.Dataset)); err != nil || seen[d.Dataset] {
			return fmt.Errorf("claims.json: dataset %q is unknown or listed twice", d.Dataset)
		}
		seen[d.Dataset] = true
	}
	return c.leftOutRight()
}

// dataset returns the claim about d, zero if the archive holds none of it.
func (c *Claims) dataset(d formats.Dataset) DatasetClaim {
	for _, claim := range c.Datasets {
		if claim.Dataset == d {
			return claim
		}
	}
	return DatasetClaim{Dataset: d}
}

// Totals adds up the datasets.
func (c *Claims) Totals() formats.Count {
	var sum formats.Count
	for _, d := range c.Datasets {
		sum.Records += d.Records
		sum.Files += d.Files
		sum.Bytes += d.Bytes
	}
	return sum
}
