package consent

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/passerelle-cloud/passerelle/formats"
)

// Facts are all that a rule may look at: what is asked, by whom, where. They are kept with each decision, so that it can
// be explained, and tried again under other rules.
type Facts struct {
	Now      time.Time     `json:"now"`
	Step     Step          `json:"step"`
	Operator OperatorFacts `json:"operator"`
	Service  ServiceFacts  `json:"service"`
	Asked    []Detail      `json:"asked,omitempty"`   // by the service
	Granted  []Detail      `json:"granted,omitempty"` // by the person
	Consent  *ConsentFacts `json:"consent,omitempty"` // as it stands before the step
	Notice   *NoticeFacts  `json:"notice,omitempty"`  // what the person was shown
	Access   *AccessFacts  `json:"access,omitempty"`
	Session  *SessionFacts `json:"session,omitempty"`
	// Source is where the data come from; Retrieval says more of it where that is a bank.
	Source    Source          `json:"source,omitempty"`
	Retrieval *RetrievalFacts `json:"retrieval,omitempty"`
}

// Source is where data come from. With the operator's role it decides which law binds a step.
type Source string

// The sources.
const (
	Here   Source = ""     // they are kept here, wherever they came from once
	AtBank Source = "bank" // the operator retrieves them from a bank, for the person
)

// Step is what is about to happen.
type Step string

// The steps.
const (
	StepAsk    Step = "ask"    // a service asks
	StepGrant  Step = "grant"  // a person says yes, also to a merge or a replacement
	StepRenew  Step = "renew"  // a person prolongs
	StepPermit Step = "permit" // data is about to leave
	// StepRetrieve: the operator itself is about to read at a bank
	StepRetrieve Step = "retrieve"
)

// OperatorFacts say who runs the gateway.
type OperatorFacts struct {
	ID           string   `json:"id"`
	Country      string   `json:"country,omitempty"`
	Roles        []string `json:"roles,omitempty"` // "intermediary", "hosting", "aisp", "aspsp"
	Registration []string `json:"registration,omitempty"`
	// Switching is what it promises to who moves from here to another operator; nil: nothing is said.
	Switching *Switching `json:"switching,omitempty"`
}

// Switching is what an operator's terms say to persons who move to another operator.
type Switching struct {
	Notice   int  `json:"notice"`   // days that they wait before the move begins
	Retained int  `json:"retained"` // days for which they can come back for their data after the move
	Erased   bool `json:"erased"`   // afterwards all of it is erased
	Charge   int  `json:"charge"`   // what the move costs them, in euro
	Cost     int  `json:"cost"`     // what the move costs the operator, in euro
}

// ServiceFacts say who asks.
type ServiceFacts struct {
	ID           string            `json:"id"`
	LegalName    string            `json:"legal_name"`
	Country      string            `json:"country"`
	Registration []string          `json:"registration,omitempty"`
	Purposes     []string          `json:"purposes"`
	Notices      map[string]string `json:"notices"` // privacy notice by language
	Contact      string            `json:"contact"`
	// Certificate is the one for payment services with which it came; nil: none.
	Certificate *CertificateFacts `json:"certificate,omitempty"`
	// Agreed is how many runs of accesses to payment accounts a day, without the person, the operator agreed on with it; 0: on
	// none but what the law says.
	Agreed int `json:"agreed,omitempty"`
}

// CertificateFacts say what a service's certificate says, and what is wrong with it.
type CertificateFacts struct {
	SHA256       string    `json:"sha256"`
	Organisation string    `json:"organisation,omitempty"` // organizationIdentifier, "PSDFR-ACPR-12345"
	Roles        []string  `json:"roles,omitempty"`        // "PSP_AI", …
	Authority    string    `json:"authority,omitempty"`    // that authorised it, "FR-ACPR"
	From         time.Time `json:"from"`
	Until        time.Time `json:"until"`
	Fault        string    `json:"fault,omitempty"` // "": none
}

// ConsentFacts say how a consent stands.
type ConsentFacts struct {
	State    State     `json:"state"`
	Revision int       `json:"revision"`
	Changed  time.Time `json:"changed"`
	Expires  time.Time `json:"expires"`
	Accesses int64     `json:"accesses"`
	// Method and Authenticated say how, and when, the person had proved who they are who last said yes to it.
	Method        string    `json:"method,omitempty"`
	Authenticated time.Time `json:"authenticated,omitzero"`
}

// NoticeFacts say what a person was shown.
type NoticeFacts struct {
	SHA256   string `json:"sha256"`
	Language string `json:"language"`
	Version  string `json:"version"` // of the page
}

// AccessFacts say what is about to be read.
type AccessFacts struct {
	Datasets []formats.Dataset `json:"datasets"`
	Action   Action            `json:"action"`
	Present  bool              `json:"present"`          // the person asked for it just now
	Detail   *Detail           `json:"detail,omitempty"` // the detail that covers it
	Last     time.Time         `json:"last,omitzero"`    // the access before
	// Session names the run of accesses that it belongs to, and Unattended how many such runs of the service there were with
	// the person within 24 hours, this one too, for which nobody asked. Only of payment accounts.
	Session    string `json:"session,omitempty"`
	Unattended int    `json:"unattended,omitempty"`
}

// SessionFacts say how the person was known.
type SessionFacts struct {
	Method        string    `json:"method"`
	Authenticated time.Time `json:"authenticated"`
}

// Citation names where a rule stands.
type Citation struct {
	Law     string `json:"law"`     // "GDPR"
	Article string `json:"article"` // "13(2)(a)"
}

func (c Citation) String() string { return c.Law + " art. " + c.Article }

// Refusal is why something must not happen.
type Refusal struct {
	Code     string            `json:"code"` // "purpose-missing"
	Citation Citation          `json:"citation"`
	Text     map[string]string `json:"text"`             // in plain words, by language: "en" and "fr"
	Advice   string            `json:"advice,omitempty"` // to whoever wrote the service, in English: what to do
	Renew    bool              `json:"renew,omitempty"`  // the person mends it by giving the consent again
}

func (r *Refusal) Error() string {
	text := r.Text["en"]
	if r.Advice != "" {
		text += " " + r.Advice
	}
	return fmt.Sprintf("%s (%s, %s)", text, r.Code, r.Citation)
}

// Rule says what is against something; nil if nothing is. It is a function of the facts alone.
type Rule func(Facts) *Refusal

// Limits are what of a dataset is withheld although a consent covers it.
type Limits struct {
	Dataset formats.Dataset
	From    string // "2006-01-02": records of before that day, or of no day; "": none. Accounts have no day
	Native  bool   // the documents as their origin kept them, into which nobody has looked
	// Mask hides what must not be shown in a body, and says how often; nil: nothing.
	Mask func(json.RawMessage) (json.RawMessage, int)
}

// Pack is a dated set of rules: the law as it was read from some day on.
type Pack struct {
	Name    string    // "gdpr"
	Version string    // the day from which on the law applies, "2018-05-25"
	From    time.Time // when the pack comes into force here
	Until   time.Time // zero: until further notice
	Source  []byte    // the text of the rules, which its hash is of
	Rules   []Rule
	// About says whether the pack has to do with the facts at all, by the operator's role and the source: with the word by which
	// persons are told so ("law." in the texts), "" if not. nil: it always has, and the word is its name.
	About  func(Facts) string
	Limits func(Facts) *Limits // of what a permit, or a leave, covers; nil: none
	Draft  bool                // no law yet
}

// ID returns "name@version".
func (p *Pack) ID() string { return p.Name + "@" + p.Version }

// Hash returns the SHA-256 of the rules' text, hexadecimal.
func (p *Pack) Hash() string {
	sum := sha256.Sum256(p.Source)
	return hex.EncodeToString(sum[:])
}

// reference is what is kept of a pack with a decision.
func (p *Pack) reference() string { return p.ID() + " " + p.Hash() }

// Judge returns everything that the pack's rules say against something; nothing if it was not in force then.
func (p *Pack) Judge(f Facts) (refusals []*Refusal) {
	if !p.inForce(f.Now) {
		return nil
	}
	for _, rule := range p.Rules {
		if r := rule(f); r != nil {
			refusals = append(refusals, r)
		}
	}
	return refusals
}

// about returns the word of a pack that has to do with the facts and is in force; "" of any other.
func (p *Pack) about(f Facts) string {
	switch {
	case !p.inForce(f.Now):
		return ""
	case p.About == nil:
		return p.Name
	}
	return p.About(f)
}

// Laws returns the words of the packs that have to do with some details whose data come from a source, for a person to know:
// of what a service would read here, or of what the operator would read at a bank.
func (a *Authority) Laws(source Source, details []Detail) (words []string) {
	f := Facts{Now: a.now(), Step: StepAsk, Operator: a.operator, Source: source, Asked: details}
	if source == AtBank {
		f.Step = StepRetrieve
	}
	for i := range a.packs {
		if word := a.packs[i].about(f); word != "" {
			words = append(words, word)
		}
	}
	return words
}

// checkPacks refuses two texts of one law that are in force at the same time, or have the same name.
func checkPacks(packs []Pack) error {
	for i := range packs {
		p := &packs[i]
		if !p.Until.IsZero() && !p.From.Before(p.Until) {
			return fmt.Errorf("the pack %s is in force from %s until %s: never; let it end after it begins", p.ID(), p.From, p.Until)
		}
		for j := range packs[:i] {
			q := &packs[j]
			if p.Name == q.Name && (p.Until.IsZero() || q.From.Before(p.Until)) && (q.Until.IsZero() || p.From.Before(q.Until)) {
				return fmt.Errorf("the packs %s and %s are in force at the same time, and which of them counts nobody could say: let the older one end (Until) when the newer one begins (From)", q.ID(), p.ID())
			}
			if p.ID() == q.ID() {
				return fmt.Errorf("there are two packs %s: decisions would not say which of them they were taken under; give one another version", p.ID())
			}
		}
	}
	return nil
}

func (p *Pack) inForce(at time.Time) bool {
	return !at.Before(p.From) && (p.Until.IsZero() || at.Before(p.Until))
}

// RefusedError is the error for what rules are against. It wraps [ErrRefused].
type RefusedError struct{ Refusals []*Refusal }

func (e *RefusedError) Error() string {
	texts := make([]string, len(e.Refusals))
	for i, r := range e.Refusals {
		texts[i] = r.Error()
	}
	return ErrRefused.Error() + ": " + strings.Join(texts, "; ")
}

func (e *RefusedError) Unwrap() error { return ErrRefused }

// judge runs the rules of the packs in force that have to do with the facts, all of them, so that whoever asks learns
// everything at once.
func (a *Authority) judge(f Facts) ([]string, error) {
	var refusals []*Refusal
	var governed []string
	for i := range a.packs {
		p := &a.packs[i]
		if p.about(f) == "" {
			continue
		}
		governed = append(governed, p.reference)
		refusals = append(refusals, p.Judge(f)...)
	}
	if len(refusals) > 0 {
		a.stats.refused(f.Step, refusals)
		return nil, &RefusedError{refusals}
	}
	return governed, nil
}

// The errors that callers tell apart.
var (
	// ErrRequest is the parent of everything that is wrong with the form of what was asked.
	ErrRequest = errors.New("the request is not understood")
	// ErrRefused is wrapped by every [RefusedError].
	ErrRefused = errors.New("refused")
	// ErrNotFound is returned for what is not there, or is not one's own.
	ErrNotFound = errors.New("not found")
	// ErrState is returned for what cannot follow from how things stand.
	ErrState = errors.New("this is not possible any more")
	// ErrSuspended is returned to a service that the operator suspended.
	ErrSuspended = errors.New("the service is suspended")
	// ErrDenied is returned where a consent does not cover an access.
	ErrDenied = errors.New("no consent covers this")
	// ErrPaused is returned where the person lets nothing be read for now. It wraps [ErrDenied].
	ErrPaused = fmt.Errorf("%w now: the person has paused it", ErrDenied)
	// ErrBeyond is returned where a person would grant more than was asked.
	ErrBeyond = errors.New("more than was asked cannot be granted")
	// ErrTaken is returned for a service id or a service name that is in use.
	ErrTaken = errors.New("taken already")
)
