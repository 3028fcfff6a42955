// Package audit is what a supervisor is shown, and what they can check without us: evidence about one consent that
// verifies offline, questions about all of them, who may ask, and that each question is itself in the log.
//
// An evidence bundle holds the whole chain of one person in the log, with what concerns one service opened, and the
// documents whose hashes are in it: what was asked, what the person was shown, the facts, the rules. What follows from it
// is computed from it alone, by the same code for the operator and for whoever checks it ([Open]).
//
// It must never know HTTP, nor act on a consent.
package audit

import (
	"errors"
	"time"

	"github.com/passerelle-cloud/passerelle/consent"
	"github.com/passerelle-cloud/passerelle/consent/events"
	"github.com/passerelle-cloud/passerelle/formats"
)

// The errors that callers tell apart.
var (
	// ErrBundle is the parent of what is wrong with an evidence bundle.
	ErrBundle = errors.New("the evidence does not hold")
	// ErrInvalid is the parent of what is wrong with a question or an invitation.
	ErrInvalid = errors.New("that cannot be accepted as it is")
	// ErrNoAuditor is returned for a code that nobody was given, that was taken back, or that is over.
	ErrNoAuditor = errors.New("nobody may audit with that, or not any more: ask the operator for a new invitation")
)

// Format names the form of evidence bundles.
const Format = "passerelle-evidence/1"

// The files of a bundle. What is not listed here is a file that [Evidence.Documents] name, a rule's text or a proof.
const (
	fileEvidence  = "evidence.json"
	fileHistory   = "history.json"
	fileStatement = "operator.json"
	fileAccesses  = "accesses.json"
	fileTold      = "told.json"
	fileReadme    = "README.txt"
	fileSums      = "SHA256SUMS"
	fileSignature = "SHA256SUMS.sig"
	fileKey       = "signing-key.pem"
)

// Evidence says what a bundle is about.
type Evidence struct {
	Format   string         `json:"format"` // Format
	Made     time.Time      `json:"made"`
	Operator string         `json:"operator"` // id
	Log      string         `json:"log"`      // origin
	To       string         `json:"to"`       // whoever asked, as the log says it
	Subject  string         `json:"subject"`  // pseudonym of the person
	Consent  string         `json:"consent,omitempty"`
	Service  EvidentService `json:"service"`
	// Documents are the revisions of all consents between the person and the service.
	Documents []Document `json:"documents"`
}

// EvidentService is the service, as it is registered when the bundle is made.
type EvidentService struct {
	ID            string                 `json:"id"`
	Name          string                 `json:"name"`
	LegalName     string                 `json:"legal_name"`
	Country       string                 `json:"country"`
	Registrations []consent.Registration `json:"registrations,omitempty"`
}

// Document is a revision, with the names of the files whose hashes its leaf holds.
type Document struct {
	Consent  string        `json:"consent"`
	Revision int           `json:"revision"`
	State    consent.State `json:"state"`
	At       time.Time     `json:"at"`
	Expires  time.Time     `json:"expires"`
	Method   string        `json:"method,omitempty"`
	Reason   string        `json:"reason,omitempty"`
	Language string        `json:"language,omitempty"`
	Packs    []string      `json:"packs,omitempty"`  // "name@version sha256"; their texts are in packs/ where this program still has them
	Details  string        `json:"details"`          // file: authorization_details (RFC 9396), exactly as stored
	Facts    string        `json:"facts"`            // file: what the rules looked at
	Notice   string        `json:"notice,omitempty"` // file: what the person was shown, exactly
}

// EvidentAccess is an access as the operator's records have it.
type EvidentAccess struct {
	ID       string            `json:"id"`
	Consent  string            `json:"consent"`
	Revision int               `json:"revision"`
	Datasets []formats.Dataset `json:"datasets"`
	Action   consent.Action    `json:"action"`
	Begun    time.Time         `json:"begun"`
	Ended    time.Time         `json:"ended,omitzero"`
	Records  int64             `json:"records"`
	Bytes    int64             `json:"bytes"`
	SHA256   string            `json:"sha256,omitempty"`
	Outcome  string            `json:"outcome,omitempty"`
	Token    string            `json:"token,omitempty"` // SHA-256, hexadecimal, of the access token
}

// Told is what the service was told of a consent, and whether it answered.
type Told struct {
	ID           string        `json:"id"`
	Consent      string        `json:"consent"`
	Revision     int           `json:"revision"`
	State        consent.State `json:"state"`
	Made         time.Time     `json:"made"`
	Tried        int           `json:"tried"`
	Acknowledged time.Time     `json:"acknowledged,omitzero"` // zero: it is silent
	Answer       string        `json:"answer,omitempty"`
}

func toldOf(e events.Event) Told {
	return Told{ID: e.ID, Consent: e.Consent, Revision: e.Revision, State: e.State, Made: e.Made, Tried: e.Tried, Acknowledged: e.Acknowledged, Answer: e.Answer}
}
