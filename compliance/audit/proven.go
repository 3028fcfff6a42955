package audit

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/passerelle-cloud/passerelle/consent"
	"github.com/passerelle-cloud/passerelle/consent/ledger"
	"github.com/passerelle-cloud/passerelle/formats"
)

// Proven is what a bundle proves.
type Proven struct {
	Evidence Evidence        `json:"evidence"`
	Shown    *ledger.Shown   `json:"-"`
	Identity string          `json:"identity"` // fingerprint of the operator's identity key, to be compared
	Known    bool            `json:"known"`    // the operator is the one that whoever checks knew before
	Steps    []Step          `json:"steps"`    // what was decided, the first first
	Accesses []*ProvenAccess `json:"accesses"`
	Told     []Told          `json:"told"`
}

// Step is one decision, as it was logged.
type Step struct {
	Leaf     int64            `json:"leaf"`
	At       time.Time        `json:"at"`
	What     string           `json:"what"` // "consent.granted", "consent.paused", …
	Consent  string           `json:"consent,omitempty"`
	Revision int              `json:"revision,omitempty"`
	State    consent.State    `json:"state,omitempty"`
	Paused   bool             `json:"paused,omitempty"`
	Expires  time.Time        `json:"expires,omitzero"`
	Details  []consent.Detail `json:"details,omitempty"`
	Notice   string           `json:"notice,omitempty"` // file
	Language string           `json:"language,omitempty"`
	Regime   string           `json:"regime,omitempty"`
}

// ProvenAccess is an access that was logged.
type ProvenAccess struct {
	*EvidentAccess
	Leaf      int64     `json:"leaf"`
	At        time.Time `json:"at"` // as the log has it
	Finished  bool      `json:"finished"`
	Uncovered string    `json:"uncovered,omitempty"` // why no consent covered it; "": one did
}

// judge says whether what stood at that place of the chain covered the access: the order in the log is what counts.
func (a *ProvenAccess) judge(s *Step) {
	switch {
	case s == nil:
		a.Uncovered = "no such consent was logged before"
	case !s.State.Valid():
		a.Uncovered = "the consent was " + string(s.State) + " then"
	case s.Paused:
		a.Uncovered = "the consent was paused then"
	case s.Revision != 0 && s.Revision != a.Revision:
		a.Uncovered = fmt.Sprintf("revision %d stood then", s.Revision)
	default:
		a.Uncovered = uncovered(s.Details, a)
	}
}

func uncovered(details []consent.Detail, a *ProvenAccess) string {
	for _, set := range a.Datasets {
		if !slices.ContainsFunc(details, func(d consent.Detail) bool {
			return d.Type != consent.InstanceMove && slices.Contains(d.Datasets, set) && slices.Contains(d.Actions, a.Action) && a.At.Before(d.Expires)
		}) {
			return fmt.Sprintf("the consent did not hold %s of %s then", a.Action, set)
		}
	}
	return ""
}

// Question is whether there was a consent.
type Question struct {
	Purpose string          `json:"purpose,omitempty"` // IRI; "": any
	Dataset formats.Dataset `json:"dataset,omitempty"` // "": any
	At      time.Time       `json:"at"`
}

// Answer is what a bundle proves about a question.
type Answer struct {
	Question Question `json:"question"`
	Service  string   `json:"service"`
	Given    bool     `json:"given"`
	Paused   bool     `json:"paused,omitempty"` // there was one, and nothing could be read on it just then
	Step     *Step    `json:"step,omitempty"`   // the decision that it rests on, or that had ended it
	Text     string   `json:"text"`             // in English
}

// Answer says whether there was a consent at a time, from the chain alone. It is an error, which wraps [ErrInvalid], to
// ask about a time after the evidence was made.
func (p *Proven) Answer(q Question) (*Answer, error) {
	if q.At.After(p.Shown.Until) {
		return nil, fmt.Errorf("%w: the evidence is complete until %s, and shows nothing of %s; ask the operator for a newer one", ErrInvalid, p.Shown.Until.Format(time.RFC3339), q.At.Format(time.RFC3339))
	}
	a := &Answer{Question: q, Service: p.Evidence.Service.ID}
	stands := map[string]*Step{}
	for i := range p.Steps {
		if s := &p.Steps[i]; !s.At.After(q.At) && s.Consent != "" && s.What != "consent.refused" {
			stands[s.Consent] = s
		}
	}
	var last *Step // that matches, whether it stands or not
	for _, s := range stands {
		if !s.matches(q) {
			continue
		}
		if s.State.Valid() && s.holds(q) && (!a.Given || a.Paused) {
			a.Given, a.Paused, a.Step = true, s.Paused, s
		}
		if last == nil || s.At.After(last.At) {
			last = s
		}
	}
	if !a.Given {
		a.Step = last
	}
	a.Text = a.text(p)
	return a, nil
}

// matches reports whether a consent is about what is asked at all.
func (s *Step) matches(q Question) bool {
	return slices.ContainsFunc(s.Details, func(d consent.Detail) bool {
		return d.Type != consent.InstanceMove && (q.Purpose == "" || d.Purpose.IRI == q.Purpose) && (q.Dataset == "" || slices.Contains(d.Datasets, q.Dataset))
	})
}

// holds reports whether what it is about had not expired.
func (s *Step) holds(q Question) bool {
	return slices.ContainsFunc(s.Details, func(d consent.Detail) bool {
		return d.Type != consent.InstanceMove && (q.Purpose == "" || d.Purpose.IRI == q.Purpose) && (q.Dataset == "" || slices.Contains(d.Datasets, q.Dataset)) && q.At.Before(d.Expires)
	})
}

func (a *Answer) text(p *Proven) string {
	about := []string{}
	if a.Question.Dataset != "" {
		about = append(about, "the dataset "+string(a.Question.Dataset))
	}
	if a.Question.Purpose != "" {
		about = append(about, "the purpose "+a.Question.Purpose)
	}
	for_ := ""
	if len(about) > 0 {
		for_ = " for " + strings.Join(about, " and ")
	}
	at := a.Question.At.UTC().Format(time.RFC3339)
	switch s := a.Step; {
	case a.Given && a.Paused:
		return fmt.Sprintf("Yes, but paused: at %s a consent to %s%s stood, and the person let nothing be read just then (leaf %d).", at, a.Service, for_, s.Leaf)
	case a.Given:
		return fmt.Sprintf("Yes: at %s a consent to %s%s stood, revision %d of %s, decided at %s (leaf %d), until %s.", at, a.Service, for_, s.Revision, s.Consent, s.At.Format(time.RFC3339), s.Leaf, s.Expires.Format(time.RFC3339))
	case s != nil && s.State.Valid():
		return fmt.Sprintf("No: at %s the consent %s to %s%s had expired, at %s.", at, s.Consent, a.Service, for_, s.Expires.Format(time.RFC3339))
	case s != nil && s.State == consent.Requested:
		return fmt.Sprintf("No: at %s the person had brought the consent %s to %s%s from another operator (leaf %d), and had not said yes to it here.", at, s.Consent, a.Service, for_, s.Leaf)
	case s != nil:
		return fmt.Sprintf("No: at %s there was none to %s%s any more: %s at %s (leaf %d).", at, a.Service, for_, s.State, s.At.Format(time.RFC3339), s.Leaf)
	}
	return fmt.Sprintf("No: until %s no consent to %s%s was logged. The person's chain has %d leaves before this disclosure, without a gap, and none of them is one.", at, a.Service, for_, len(p.Shown.Events)+p.Shown.Others)
}

// Uncovered returns the accesses that no consent covered.
func (p *Proven) Uncovered() (list []*ProvenAccess) {
	for _, a := range p.Accesses {
		if a.Uncovered != "" {
			list = append(list, a)
		}
	}
	return list
}

// Silent returns what the service was told of the end of a consent, and has not acknowledged.
func (p *Proven) Silent() (list []Told) {
	for _, t := range p.Told {
		if !t.State.Valid() && t.Acknowledged.IsZero() {
			list = append(list, t)
		}
	}
	return list
}
