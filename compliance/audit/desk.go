package audit

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/passerelle-cloud/passerelle/compliance"
	"github.com/passerelle-cloud/passerelle/consent"
	"github.com/passerelle-cloud/passerelle/consent/events"
	"github.com/passerelle-cloud/passerelle/consent/ledger"
	"github.com/passerelle-cloud/passerelle/formats"
	"github.com/passerelle-cloud/passerelle/internal/sqldb"
)

// Desk answers auditors. Everything that one of them asks is logged before it is answered; what concerns one person is
// logged with that person too.
type Desk struct {
	*Auditors
	Maker
	events   *events.Events
	db       *sqldb.DB
	operator consent.OperatorFacts
	trust    func(context.Context) (Trusted, error)
	switched func(ctx context.Context, since time.Time) ([]Switched, error)
}

// Options are what a desk needs besides. All but the last must be set.
type Options struct {
	Events   *events.Events
	Operator consent.OperatorFacts
	// Trust is how somebody else would check our log, for answers that rest on evidence.
	Trust func(context.Context) (Trusted, error)
	// Switched lists the moves to other operators that have happened and began at a time or later, the first one first; nil:
	// nobody can move from here.
	Switched func(ctx context.Context, since time.Time) ([]Switched, error)
}

// NewDesk returns the desk.
func NewDesk(db *sqldb.DB, auditors *Auditors, maker Maker, opt Options) *Desk {
	return &Desk{Auditors: auditors, Maker: maker, events: opt.Events, db: db, operator: opt.Operator, trust: opt.Trust, switched: opt.Switched}
}

func (d *Desk) clock() time.Time { return d.Auditors.now() }

// asked logs what an auditor asks.
func (d *Desk) asked(ctx context.Context, who *Auditor, what string, about map[string]string) error {
	if _, err := d.Maker.Ledger.Append(ctx, who.event("audit."+what, about)); err != nil {
		return fmt.Errorf("log what is asked: %w", err)
	}
	return nil
}

// Home is what an auditor sees first.
type Home struct {
	Auditor    *Auditor             `json:"auditor"`
	Checkpoint ledger.Checkpoint    `json:"-"`
	Leaves     int64                `json:"leaves"` // of the log
	Log        string               `json:"log"`    // its name
	Findings   []compliance.Finding `json:"findings"`
}

// Home returns how things stand, at a glance.
func (d *Desk) Home(ctx context.Context, who *Auditor) (*Home, error) {
	if err := d.asked(ctx, who, "home", nil); err != nil {
		return nil, err
	}
	at, err := d.Maker.Ledger.Published(ctx)
	if err != nil {
		return nil, err
	}
	h := &Home{Auditor: who, Checkpoint: at, Leaves: at.Size, Log: at.Origin}
	h.Findings, err = d.Findings(ctx)
	return h, err
}

// Assessed is an article with what was found.
type Assessed struct {
	compliance.Article
	Findings []compliance.Finding `json:"findings"`
	Applies  bool                 `json:"applies"` // to this operator's declared roles
}

// Articles returns every article, its rule, and what the last evaluation found.
func (d *Desk) Articles(ctx context.Context, who *Auditor) ([]Assessed, error) {
	if err := d.asked(ctx, who, "articles", nil); err != nil {
		return nil, err
	}
	findings, err := d.Findings(ctx)
	if err != nil {
		return nil, err
	}
	var list []Assessed
	for _, a := range Articles() {
		one := Assessed{Article: a, Applies: applies(a.Law, d.operator.Roles)}
		for _, f := range findings {
			for _, name := range a.Checks {
				if f.Check == name {
					one.Findings = append(one.Findings, f)
				}
			}
		}
		list = append(list, one)
	}
	return list, nil
}

// Rules returns a rule pack with its text, whose SHA-256 is in the log with each decision under it. The error wraps
// [consent.ErrNotFound].
func (d *Desk) Rules(ctx context.Context, who *Auditor, name string) (*consent.Pack, error) {
	if err := d.asked(ctx, who, "rules", map[string]string{"pack": name}); err != nil {
		return nil, err
	}
	for i := range d.Packs {
		if p := &d.Packs[i]; p.Name == name || p.ID() == name {
			return p, nil
		}
	}
	return nil, fmt.Errorf("the pack %.60q: %w", name, consent.ErrNotFound)
}

// Case is a consent as an auditor sees it: the person by a pseudonym.
type Case struct {
	Consent   string             `json:"consent"`
	Subject   string             `json:"subject"`
	Service   *consent.Service   `json:"service"`
	State     consent.State      `json:"state"`
	Paused    time.Time          `json:"paused,omitzero"`
	Created   time.Time          `json:"created"`
	Expires   time.Time          `json:"expires"`
	Accesses  int64              `json:"accesses"`
	Revisions []consent.Revision `json:"-"`
	Last      []Passage          `json:"-"` // the last accesses
	Told      []Told             `json:"told"`
}

// Passage is an access with why it was covered, or not.
type Passage struct {
	consent.Traced
	Uncovered string // "": it was covered
}

// shownAccesses is how many accesses a case shows.
const shownAccesses = 50

// Case returns a consent. The error wraps [consent.ErrNotFound].
func (d *Desk) Case(ctx context.Context, who *Auditor, id string) (*Case, error) {
	if err := d.asked(ctx, who, "consent", map[string]string{"consent": id}); err != nil {
		return nil, err
	}
	c, err := d.Maker.Authority.Anyone(ctx, id)
	if err != nil {
		return nil, err
	}
	k := &Case{Consent: c.ID, State: c.State, Paused: c.Paused, Created: c.Created, Expires: c.Expires, Accesses: c.Accesses}
	if k.Subject, err = d.subject(ctx, who, c.Person); err != nil {
		return nil, err
	}
	if k.Service, err = d.Maker.Authority.Service(ctx, c.Service); err != nil {
		return nil, err
	}
	if k.Revisions, err = d.Maker.Authority.Revisions(ctx, c.ID); err != nil {
		return nil, err
	}
	if k.Last, err = d.last(ctx, c); err != nil {
		return nil, err
	}
	told, err := d.Maker.Told(ctx, c.ID)
	for _, e := range told {
		k.Told = append(k.Told, toldOf(e))
	}
	return k, err
}

func (d *Desk) last(ctx context.Context, c consent.Consent) ([]Passage, error) {
	records, _, err := d.Maker.Authority.Accesses(ctx, c.ID, c.Person, "", shownAccesses)
	if err != nil {
		return nil, err
	}
	var list []Passage
	for _, r := range records {
		t, err := d.Maker.Authority.Trace(ctx, r.ID)
		if err != nil {
			return nil, err
		}
		list = append(list, Passage{t, t.Uncovered()})
	}
	return list, nil
}

// Transfer answers whether a transfer was covered: by which revision, with which token. The error wraps
// [consent.ErrNotFound].
func (d *Desk) Transfer(ctx context.Context, who *Auditor, access string) (*Passage, error) {
	if err := d.asked(ctx, who, "transfer", map[string]string{"access": access}); err != nil {
		return nil, err
	}
	t, err := d.Maker.Authority.Trace(ctx, access)
	if err != nil {
		return nil, err
	}
	return &Passage{t, t.Uncovered()}, nil
}

// Inquiry is whether there was a consent, for one person: whoever a consent is of, or whom the auditor was shown under a
// pseudonym.
type Inquiry struct {
	Consent string          // or
	Subject string          //
	Service string          // "" with a consent: its own
	Purpose string          // IRI; "": any
	Dataset formats.Dataset // "": any
	At      time.Time       // zero: now
}

// Answered is an answer with the evidence that it was read from.
type Answered struct {
	Answer   *Answer
	Proven   *Proven
	Evidence []byte // the bundle
}

// Ask answers from evidence alone: the bundle is made, checked as anybody else would check it, and asked. The error wraps
// [ErrInvalid], [consent.ErrNotFound] or [ledger.ErrUnknown] (the person was forgotten).
func (d *Desk) Ask(ctx context.Context, who *Auditor, q Inquiry) (*Answered, error) {
	about := map[string]string{"consent": q.Consent, "subject": q.Subject, "service": q.Service, "purpose": q.Purpose, "dataset": string(q.Dataset)}
	if !q.At.IsZero() {
		about["at"] = q.At.UTC().Format(time.RFC3339)
	}
	if err := d.asked(ctx, who, "question", about); err != nil {
		return nil, err
	}
	asked, err := d.whom(ctx, who, &q)
	if err != nil {
		return nil, err
	}
	if q.At.After(d.clock()) {
		return nil, fmt.Errorf("%w: %s has not come yet", ErrInvalid, q.At.Format(time.RFC3339))
	}
	if err := d.looked(ctx, who, asked.Person, "history.disclosed", ""); err != nil {
		return nil, err
	}
	var b bytes.Buffer
	if err := d.Make(ctx, asked, &b); err != nil {
		return nil, err
	}
	trusted, err := d.trust(ctx)
	if err != nil {
		return nil, err
	}
	a := &Answered{Evidence: b.Bytes()}
	if a.Proven, err = Open(bytes.NewReader(a.Evidence), int64(b.Len()), trusted); err != nil {
		return nil, fmt.Errorf("our own evidence does not hold: %w", err)
	}
	if q.At.IsZero() {
		q.At = a.Proven.Shown.Until
	}
	a.Answer, err = a.Proven.Answer(Question{Purpose: q.Purpose, Dataset: q.Dataset, At: q.At})
	return a, err
}

// whom finds out of whom and of which service a question is.
func (d *Desk) whom(ctx context.Context, who *Auditor, q *Inquiry) (a Asked, err error) {
	a = Asked{Consent: q.Consent, Service: q.Service, To: who.As() + " (" + who.Authority + ")"}
	switch {
	case (q.Consent == "") == (q.Subject == ""):
		return a, fmt.Errorf("%w: name a consent, or a person by the pseudonym that you were shown", ErrInvalid)
	case q.Consent != "":
		c, err := d.Maker.Authority.Anyone(ctx, q.Consent)
		if err != nil {
			return a, err
		}
		if a.Person = c.Person; a.Service == "" {
			a.Service = c.Service
		}
		if a.Service != c.Service {
			a.Consent = "" // it only says who is meant
		}
	default:
		if a.Person, err = d.person(ctx, who, q.Subject); err != nil {
			return a, err
		}
	}
	if a.Service == "" {
		return a, fmt.Errorf("%w: name the service", ErrInvalid)
	}
	a.Subject, err = d.subject(ctx, who, a.Person)
	return a, err
}

// minReason is how many letters a justification has at the least.
const minReason = 10

// Find returns the pseudonym of a person whose name the auditor knows, from a complaint for example. It takes a
// justification, which is logged, with the person too: they can see who looked for them. The error wraps [ErrInvalid] or
// [consent.ErrNotFound].
func (d *Desk) Find(ctx context.Context, who *Auditor, name, reason string) (subject string, consents []consent.Consent, err error) {
	if err := checkReason(reason); err != nil {
		return "", nil, err
	}
	consents, err = d.Maker.Authority.Consents(ctx, name)
	if err == nil && len(consents) == 0 {
		err = fmt.Errorf("nobody of that name has decided anything here: %w", consent.ErrNotFound)
	}
	if err != nil {
		return "", nil, errors.Join(err, d.asked(ctx, who, "person-not-found", map[string]string{"reason": reason}))
	}
	subject, err = d.subject(ctx, who, name)
	if err != nil {
		return "", nil, err
	}
	return subject, consents, d.disclosed(ctx, who, "person.found", name, subject, reason)
}

// Identify returns who somebody is whom the auditor was shown under a pseudonym, with a justification, which is logged as
// in [Desk.Find].
func (d *Desk) Identify(ctx context.Context, who *Auditor, subject, reason string) (name string, err error) {
	if err := checkReason(reason); err != nil {
		return "", err
	}
	if name, err = d.person(ctx, who, subject); err != nil {
		return "", errors.Join(err, d.asked(ctx, who, "person-not-found", map[string]string{"subject": subject, "reason": reason}))
	}
	return name, d.disclosed(ctx, who, "identity.disclosed", name, subject, reason)
}

func checkReason(reason string) error {
	if !isReason(reason) {
		return fmt.Errorf("%w: who a person is takes a justification of %d to 1,000 characters; it is logged, and the person can see it", ErrInvalid, minReason)
	}
	return nil
}

func isReason(s string) bool {
	s = strings.TrimSpace(s)
	return len(s) >= minReason && len(s) <= 1000
}

// disclosed logs, before it is answered, that an auditor learns who somebody is: for the operator, and for the person.
func (d *Desk) disclosed(ctx context.Context, who *Auditor, what, person, subject, reason string) error {
	own := who.event("audit."+what, map[string]string{"subject": subject, "reason": reason})
	theirs := who.event(what, map[string]string{"auditor": who.Name, "authority": who.Authority, "reason": reason})
	theirs.Person, theirs.Class = person, ledger.Disclosure
	if _, err := d.Maker.Ledger.Append(ctx, own, theirs); err != nil {
		return fmt.Errorf("log that a person is disclosed: %w", err)
	}
	return d.looked(ctx, who, person, what, reason)
}

// Conducted is something that the operator did, or that an auditor asked.
type Conducted struct {
	Index int64     `json:"index"` // leaf; -1: it has none yet
	At    time.Time `json:"at"`
	What  string    `json:"what"`
	Who   string    `json:"who,omitempty"` // service, or auditor
	Text  string    `json:"text,omitempty"`
}

// shownConduct is how much of the operator's conduct is shown.
const shownConduct = 100

// Conduct returns the last things that the operator did and that auditors asked, from the log, the last first.
func (d *Desk) Conduct(ctx context.Context, who *Auditor) ([]Conducted, error) {
	if err := d.asked(ctx, who, "conduct", nil); err != nil {
		return nil, err
	}
	var list []Conducted
	for e, err := range d.Maker.Ledger.Events(ctx, consent.OperatorChain) {
		if err != nil {
			return nil, err
		}
		list = append(list, Conducted{e.Index, e.Time, e.Fields[ledger.Type], e.Fields[ledger.Service], e.Fields[ledger.Detail]})
		if len(list) == shownConduct {
			break
		}
	}
	return list, nil
}
