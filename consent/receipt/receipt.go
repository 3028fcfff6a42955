// Package receipt writes down what a person decided, for each party to keep: records and receipts of consent as
// ISO/IEC TS 27560:2023 structures them, in the words of the W3C Data Privacy Vocabulary 2 (DPV) as JSON-LD, signed.
//
// What is signed is the exact bytes, so there is one way to write a receipt: the order of the members is that of the
// structs here, lists stay lists also when they have one element, and times are in UTC.
//
// It must never know a database, a network, where keys are kept, or a person's name unless it is told one.
package receipt

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// MaxSize is the greatest size of a receipt, and of a signed receipt, in bytes.
const MaxSize = 1 << 20

// The errors that callers tell apart.
var (
	// ErrIncomplete is returned where something mandatory is not known; the error names all of it.
	ErrIncomplete = errors.New("the receipt is incomplete")
	// ErrInvalid is returned for what is not a receipt that this package wrote, or is not signed by a known key.
	ErrInvalid = errors.New("this is not a valid receipt")
)

// Receipt is the copy of one or more records that a party keeps: a dpv:ConsentReceipt. If nothing in it is consent but
// everything the exercise of a right, it is a dpv:RightExerciseNotice: DPV knows no receipt of that.
type Receipt struct {
	Context    json.RawMessage `json:"@context"` // what the prefixes mean; nothing is fetched to read a receipt
	ID         string          `json:"@id"`
	Type       string          `json:"@type"`
	ConformsTo []string        `json:"dct:conformsTo,omitempty"`
	Identifier string          `json:"dct:identifier"`    // UUID
	Also       string          `json:"dpv:hasIdentifier"` // the same: the profile's text names this member, its examples the other
	Replaces   string          `json:"dct:replaces,omitempty"`
	Created    time.Time       `json:"dct:created"`
	Publisher  Entity          `json:"dct:publisher"`
	Recipient  string          `json:"schema:recipient"` // @id of whose copy it is
	Records    []Record        `json:"dpv:hasRecordOfActivity"`
}

// Record is one revision of a consent: a dpv:ConsentRecord; or, of an authorisation to move an instance, a
// dpv:RightExerciseRecord, which has activities in place of processes and of a consent's status and control.
type Record struct {
	ID             string     `json:"@id"`
	Type           string     `json:"@type"`
	ConformsTo     []string   `json:"dct:conformsTo,omitempty"`
	Identifier     string     `json:"dct:identifier"` // UUID
	VersionOf      string     `json:"dct:isVersionOf"`
	Version        int        `json:"schema:version"` // number of the revision
	Replaces       string     `json:"dct:replaces,omitempty"`
	DataSubject    Entity     `json:"dpv:hasDataSubject"`
	Jurisdiction   []string   `json:"dpv:hasJurisdiction"`
	ApplicableLaw  []string   `json:"dpv:hasApplicableLaw"`
	Notice         []Notice   `json:"dpv:hasNotice"`
	Processes      []Process  `json:"dpv:hasProcess,omitempty"`
	Controllers    []Entity   `json:"dpv:hasDataController"`
	Entities       []Entity   `json:"dpv:hasEntity"` // who else takes part
	Controls       []Control  `json:"dpv:hasConsentControl,omitempty"`
	Rights         []Right    `json:"dpv:hasRight"`
	Authorities    []Entity   `json:"dpv:hasAuthority,omitempty"`
	ConsentStatus  []Status   `json:"dpv:hasConsentStatus,omitempty"`
	ActivityStatus []string   `json:"dpv:hasStatus,omitempty"`
	Activities     []Activity `json:"dct:hasPart,omitempty"`
}

// Entity is a person or an organisation.
type Entity struct {
	ID         string   `json:"@id,omitempty"`
	Types      []string `json:"@type,omitempty"`
	Name       string   `json:"dpv:hasName,omitempty"`
	Identifier []string `json:"dpv:hasIdentifier,omitempty"` // "SIREN:732829320"
	Contact    string   `json:"dpv:hasContact,omitempty"`
	Address    string   `json:"dpv:hasAddress,omitempty"`
	Country    string   `json:"dpv:hasCountry,omitempty"`
	Page       string   `json:"foaf:page,omitempty"`
}

// Notice is what the person was shown.
type Notice struct {
	ID         string     `json:"@id"`
	Types      []string   `json:"@type"`
	Identifier string     `json:"dct:identifier"` // "sha256:" and the hash of its exact bytes
	Language   string     `json:"dct:language"`
	Date       time.Time  `json:"dct:date"`               // when it was shown
	Coverage   string     `json:"dct:coverage,omitempty"` // ISO 8601 interval
	Version    string     `json:"schema:version,omitempty"`
	Pages      []PageLink `json:"foaf:page,omitempty"` // the service's privacy notice
}

// PageLink is the address of a page.
type PageLink struct {
	ID string `json:"@id"`
}

// Process is what is done with data: dpv:Process.
type Process struct {
	Type         string         `json:"@type"`
	Purposes     []Purpose      `json:"dpv:hasPurpose"`
	PersonalData []PersonalData `json:"dpv:hasPersonalData"`
	Necessity    []string       `json:"dpv:hasNecessity,omitempty"`
	Processing   []string       `json:"dpv:hasProcessing,omitempty"`
	Frequency    []Amount       `json:"dpv:hasFrequency,omitempty"`
	Duration     []Amount       `json:"dpv:hasDuration,omitempty"`
	DataSource   []string       `json:"dpv:hasDataSource"`
	Storage      []Storage      `json:"dpv:hasStorageCondition"`
	Location     []Location     `json:"dpv:hasLocation,omitempty"`
	Recipients   []Entity       `json:"dpv:hasRecipient"`
	Service      []Entity       `json:"dpv:hasService"`
	LegalBasis   []string       `json:"dpv:hasLegalBasis,omitempty"`
}

// Purpose is an instance of a DPV purpose, said in words.
type Purpose struct {
	Types []string `json:"@type"`
	Text  []Text   `json:"dct:description,omitempty"`
}

// Text is words in a language.
type Text struct {
	Language string `json:"@language"`
	Value    string `json:"@value"`
}

// PersonalData is a dataset, or what of it was granted.
type PersonalData struct {
	Types      []string `json:"@type"`
	Identifier string   `json:"dct:identifier"`         // name of the dataset
	Temporal   string   `json:"dct:temporal,omitempty"` // days, ISO 8601 interval; ".." is an open end (ISO 8601-2)
	Scope      []Part   `json:"dpv:hasScope,omitempty"` // the accounts, if not all of them
	Parts      []Part   `json:"dct:hasPart,omitempty"`  // the fields, if not all of them; of an answer the questions
}

// Part is a named part of something.
type Part struct {
	Identifier string `json:"dct:identifier"`
}

// Amount is how long or how often.
type Amount struct {
	Types []string `json:"@type"`
	Value string   `json:"rdf:value,omitempty"`
}

// Storage is how long data are kept.
type Storage struct {
	Types    []string `json:"@type"`
	Duration []Amount `json:"dpv:hasDuration"`
}

// Location is where data go; outside the European Economic Area with what protects them there.
type Location struct {
	ID       string    `json:"@id,omitempty"`
	Types    []string  `json:"@type,omitempty"`
	Country  string    `json:"dpv:hasCountry,omitempty"`
	Measures []Measure `json:"dpv:hasTechnicalOrganisationalMeasure,omitempty"`
}

// Measure is a safeguard in words.
type Measure struct {
	Types []string `json:"@type"`
	Text  string   `json:"dct:description"`
}

// Control is where the person changes their mind.
type Control struct {
	Types []string `json:"@type"`
	At    string   `json:"dpv:isExercisedAt"`
}

// Right is a right of the person, and where it is exercised.
type Right struct {
	Types []string `json:"@type"`
	At    string   `json:"dpv:isExercisedAt,omitempty"`
}

// Status is how a consent stands since when, and who said so.
type Status struct {
	Types    []string  `json:"@type"`
	At       time.Time `json:"dpv:isIndicatedAtTime"`
	Duration []Amount  `json:"dpv:hasDuration"`
	By       string    `json:"dpv:isIndicatedBy"` // @id of an entity
	Method   string    `json:"dpv:hasIndicationMethod,omitempty"`
	Reason   string    `json:"dct:description,omitempty"`
}

// Activity is a step in the exercise of a right: dpv:RightExerciseActivity.
type Activity struct {
	ID          string    `json:"@id"`
	Type        string    `json:"@type"`
	Rights      []Right   `json:"dpv:hasRight"`
	Status      []string  `json:"dpv:hasStatus"`
	Created     time.Time `json:"dct:created"`
	DataSubject PageLink  `json:"dpv:hasDataSubject"`
	By          string    `json:"dpv:isIndicatedBy"`
	Method      string    `json:"dpv:hasIndicationMethod,omitempty"`
	Reason      string    `json:"dct:description,omitempty"`
	Processes   []Process `json:"dpv:hasProcess"`
}

// Bytes returns the one form of a receipt: JSON-LD without spaces, in the order of the structs.
func (r *Receipt) Bytes() ([]byte, error) {
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(r); err != nil {
		return nil, fmt.Errorf("write the receipt: %w", err)
	}
	return bytes.TrimSuffix(out.Bytes(), []byte("\n")), nil
}

// ParseReceipt reads what [Receipt.Bytes] wrote, and nothing else: a member that is not known, given twice, in another
// order or form is refused, and so is a receipt that lacks something mandatory. The error wraps [ErrInvalid].
func ParseReceipt(data []byte) (Receipt, error) {
	var r Receipt
	if len(data) > MaxSize {
		return r, fmt.Errorf("%w: %d bytes are more than %d", ErrInvalid, len(data), MaxSize)
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&r); err != nil {
		return Receipt{}, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	again, err := r.Bytes()
	if err != nil || !bytes.Equal(again, data) {
		return Receipt{}, errors.Join(fmt.Errorf("%w: it is not in the form in which receipts are written", ErrInvalid), err)
	}
	if err := r.check(); err != nil {
		return Receipt{}, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	return r, nil
}
