package consent

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/passerelle-cloud/passerelle/consent/ledger"
	"github.com/passerelle-cloud/passerelle/formats"
)

// Access is what a service is about to read.
type Access struct {
	Consent  string
	Service  string
	Datasets []formats.Dataset // each must be covered; of Carry there are none: it is everything
	Action   Action
	Question Question // of Compute: what is to be answered
	Present  bool     // the person asked for it just now, and there is evidence of it
	// Certificate is the one for payment services with which the service came; nil: none.
	Certificate *CertificateFacts
	Token       string // SHA-256, hexadecimal, of the token that it is asked for with; "": not known
}

// Permit is the proof that one access is covered by one revision of one consent, now. Only [Authority.Permit] makes
// one that allows anything. It lasts for a short lease, which goes on as long as the consent does: see [Permit.Lease].
type Permit struct {
	a        *Authority
	id       string
	consent  Consent
	covering []Detail // that cover it, one at least
	session  string   // the run of accesses that it belongs to; "": it is not kept
	limits   []Limits
	money    bool         // the consent covers all bank operations: what was derived from them may leave
	withheld atomic.Int64 // records and parts of records that the limits kept here

	mu    sync.Mutex
	until time.Time // the end of the lease; monotonic
	cut   func()    // ends what is being sent
	ended bool
}

// Permit allows one access, and logs it first: when it returns without an error, the leaf is durable. The error wraps
// [ErrDenied] (it is [ErrPaused] while the person lets nothing be read), [ErrRefused] or [ErrSuspended]. Whoever gets a permit calls [Permit.Done] in the end.
func (a *Authority) Permit(ctx context.Context, x Access) (*Permit, error) {
	p := &Permit{a: a}
	_, err := a.ledger.Commit(ctx, func(tx *sql.Tx) ([]ledger.Event, error) {
		p.id, p.until = newID(), time.Now().Add(a.streams.lease) // before it is looked whether the consent stands
		return a.permit(ctx, tx, p, x)
	})
	if err != nil {
		a.stats.permit(err)
		return nil, fmt.Errorf("read %s: %w", x.names(), errors.Join(err, a.countRefused(ctx, x.Service, StepPermit, err)))
	}
	a.stats.permit(nil)
	a.streams.add(p)
	return p, nil
}

func (a *Authority) permit(ctx context.Context, tx *sql.Tx, p *Permit, x Access) ([]ledger.Event, error) {
	now := a.now().UTC()
	// Whoever withdraws the consent meanwhile waits for this transaction, or this one for theirs.
	var before int64
	err := tx.QueryRowContext(ctx, `UPDATE consent_consent SET accesses = accesses + 1, before = last, last = $3 WHERE id = $1 AND service = $2 RETURNING before`,
		x.Consent, x.Service, micro(now)).Scan(&before)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, fmt.Errorf("%w: there is no such consent", ErrDenied)
	}
	if err != nil {
		return nil, err
	}
	if p.consent, err = a.own(ctx, tx, x.Consent, `service`, x.Service); err != nil {
		return nil, err
	}
	service, err := a.active(ctx, tx, x.Service)
	if err != nil {
		return nil, err
	}
	c := &p.consent
	if !c.Valid(now) {
		return nil, fmt.Errorf("%w: it stands as %s", ErrDenied, c.expired(now))
	}
	if !c.Paused.IsZero() {
		return nil, ErrPaused
	}
	if p.covering = covering(c.Details, x, now); len(p.covering) == 0 {
		return nil, fmt.Errorf("%w: it does not hold %s of %s", ErrDenied, x.Action, x.names())
	}
	facts := Facts{Now: now, Step: StepPermit, Operator: a.operator, Service: service.facts(), Consent: c.facts(now),
		Access: &AccessFacts{Datasets: x.Datasets, Action: x.Action, Present: x.Present, Detail: &p.covering[0], Last: fromMicro(before)}}
	facts.Service.Certificate = x.Certificate
	reads := ""
	if slices.Contains(x.Datasets, formats.Bank) {
		reads = party(x.Service, x.Certificate)
		if err := a.runs(ctx, tx, c, facts.Access, reads, now); err != nil {
			return nil, err
		}
		p.session = facts.Access.Session
	}
	packs, err := a.judge(facts)
	if err != nil {
		return nil, err
	}
	p.limits = a.limits(facts)
	p.money = slices.ContainsFunc(c.Details, func(d Detail) bool { return d.whole(formats.Bank) && now.Before(d.Expires) })
	_, err = tx.ExecContext(ctx, `
		INSERT INTO consent_access (id, consent, revision, service, dataset, action, begun, open, ended, records, bytes, hash, outcome, token, session, present, party)
		VALUES ($1, $2, $3, $4, $5, $6, $7, TRUE, 0, 0, 0, '', '', $8, $9, $10, $11)`, p.id, c.ID, c.Revision, c.Service, x.names(), x.Action, micro(now), x.Token, p.session, x.Present, reads)
	if err != nil {
		return nil, err
	}
	return []ledger.Event{p.event("access.begun", x.names(), strings.Join(packs, ", "), accessDetail{Access: p.id, Action: x.Action, Question: x.Question, Token: x.Token, Session: p.session, Present: x.Present})}, nil
}

func (x *Access) names() string {
	if x.Action == Carry {
		return wholeInstance
	}
	names := make([]string, len(x.Datasets))
	for i, d := range x.Datasets {
		names[i] = string(d)
	}
	return strings.Join(names, " ")
}

// covering returns those details that hold some of what is about to be read, if together they hold all of it.
func covering(details []Detail, x Access, now time.Time) (list []Detail) {
	if x.Action == Carry {
		return slices.DeleteFunc(slices.Clone(details), func(d Detail) bool {
			return d.Type != InstanceMove || d.Destination != x.Service || !now.Before(d.Expires)
		})
	}
	held := 0
	for _, set := range x.Datasets {
		for _, d := range details {
			if slices.Contains(d.Datasets, set) && d.covers(x, now) {
				held++
				break
			}
		}
	}
	if held < len(x.Datasets) || held == 0 {
		return nil
	}
	for _, d := range details {
		if !d.covers(x, now) {
			continue
		}
		// What the detail holds besides is not asked for now.
		d.Datasets = slices.DeleteFunc(slices.Clone(d.Datasets), func(s formats.Dataset) bool { return !slices.Contains(x.Datasets, s) })
		if len(d.Datasets) > 0 {
			list = append(list, d)
		}
	}
	return list
}

// covers reports whether a detail allows an access, to those of its datasets that are asked for. An answer allows its questions and
// no record, and nothing else allows a question.
func (d *Detail) covers(x Access, now time.Time) bool {
	return d.Type != InstanceMove && slices.Contains(d.Actions, x.Action) && now.Before(d.Expires) &&
		(d.Type == Answer) == (x.Question != "") && (x.Question == "" || slices.Contains(d.Questions, x.Question))
}

// accessDetail is the detail of an access's events.
type accessDetail struct {
	Access   string   `json:"access"`
	Action   Action   `json:"action,omitempty"`
	Question Question `json:"question,omitempty"`
	Token    string   `json:"token,omitempty"`
	Session  string   `json:"session,omitempty"`
	Present  bool     `json:"present,omitempty"`
	Withheld int64    `json:"withheld,omitempty"`
	Form     string   `json:"form,omitempty"`
	Source   string   `json:"source,omitempty"`
	Records  *int64   `json:"records,omitempty"`
	Bytes    *int64   `json:"bytes,omitempty"`
	SHA256   string   `json:"sha256,omitempty"`
	Outcome  string   `json:"outcome,omitempty"`
}

func (p *Permit) event(what, dataset, packs string, detail accessDetail) ledger.Event {
	text, _ := json.Marshal(detail) // texts and numbers only
	return ledger.Event{Person: p.consent.Person, Class: ledger.Access, Type: what, Service: p.consent.Service, Consent: p.consent.ID,
		Revision: strconv.Itoa(p.consent.Revision), Dataset: dataset, Regime: packs, Detail: string(text)}
}

// Consent returns the consent as it stood when the permit was given.
func (p *Permit) Consent() Consent { return p.consent }

// Dataset reports whether the permit is for a dataset.
func (p *Permit) Dataset(d formats.Dataset) bool {
	return len(p.covering) > 0 && slices.ContainsFunc(p.covering, func(c Detail) bool { return slices.Contains(c.Datasets, d) })
}

// Session names the run of accesses to payment accounts that it belongs to; "" where it is none.
func (p *Permit) Session() string { return p.session }

// ID returns the id of the access in the records.
func (p *Permit) ID() string { return p.id }

// Lease returns until when bytes may be sent without asking again. It is in the past for a permit that nobody gave,
// that was cut, or is done.
func (p *Permit) Lease() time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.until
}

// Prolong asks whether the consent still stands as it did, and if so prolongs the lease. An error that wraps
// [ErrDenied] says that it does not, [ErrPaused] that it was paused: the permit is cut.
func (p *Permit) Prolong(ctx context.Context) error {
	if p.a == nil {
		return ErrDenied
	}
	until := time.Now().Add(p.a.streams.lease)
	var state State
	var revision int
	var expires, paused, pauses int64
	var suspended string
	err := p.a.db.Read.QueryRowContext(ctx, `
		SELECT c.state, c.revision, c.expires, c.paused, c.pauses, s.suspended FROM consent_consent c JOIN consent_service s ON s.id = c.service WHERE c.id = $1`, p.consent.ID).
		Scan(&state, &revision, &expires, &paused, &pauses, &suspended)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return fmt.Errorf("look whether the consent stands: %w", err)
	}
	now := p.a.now()
	if err != nil || !state.Valid() || revision != p.consent.Revision || !now.Before(fromMicro(expires)) || suspended != "" ||
		!slices.ContainsFunc(p.covering, func(d Detail) bool { return now.Before(d.Expires) }) {
		p.stop()
		return fmt.Errorf("%w: it does not stand any more as it did", ErrDenied)
	}
	if paused != 0 || pauses != p.consent.pauses { // also where it goes on meanwhile: whoever paused it waits for this stream no more
		p.stop()
		return ErrPaused
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended {
		return fmt.Errorf("%w: it was withdrawn or paused", ErrDenied)
	}
	p.until = until
	return nil
}

// OnCut sets what ends the sending of bytes at once: it is called when the consent ends, or right away if it has.
func (p *Permit) OnCut(cut func()) {
	p.mu.Lock()
	ended := p.ended
	if !ended {
		p.cut = cut
	}
	p.mu.Unlock()
	if ended {
		cut()
	}
}

// Cut reports whether the consent ended meanwhile.
func (p *Permit) Cut() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.ended
}

// stop ends the lease.
func (p *Permit) stop() {
	p.mu.Lock()
	p.ended, p.until = true, time.Time{}
	cut := p.cut
	p.cut = nil // it is called once
	p.mu.Unlock()
	if cut != nil {
		cut()
	}
}

// Sent is what came of an access.
type Sent struct {
	Records int64
	Bytes   int64
	SHA256  formats.Hash // of the bytes of the body
	Outcome string       // Complete, CutOff, Failed
	// Form is the media type of the open format into which the records were converted because the service asked for it, and
	// Source the SHA-256 of what they were before, one a line; "" and zero: they were given as they are (DGA article 12(d)).
	Form   string
	Source formats.Hash
}

// The outcomes.
const (
	Complete = "complete"
	CutOff   = "cut"    // the consent ended meanwhile
	Failed   = "failed" // the service went away, or something broke
)

// Done records, in the log too, what was sent. After it nothing may be.
func (p *Permit) Done(ctx context.Context, s Sent) error {
	p.mu.Lock()
	p.until, p.cut = time.Time{}, nil
	p.mu.Unlock()
	_, err := p.a.ledger.Commit(context.WithoutCancel(ctx), func(tx *sql.Tx) ([]ledger.Event, error) {
		_, err := tx.ExecContext(ctx, `UPDATE consent_access SET open = FALSE, ended = $2, records = $3, bytes = $4, hash = $5, outcome = $6, withheld = $7 WHERE id = $1`,
			p.id, micro(p.a.now()), s.Records, s.Bytes, s.SHA256.String(), s.Outcome, p.withheld.Load())
		detail := accessDetail{Access: p.id, Records: &s.Records, Bytes: &s.Bytes, SHA256: s.SHA256.String(), Outcome: s.Outcome, Withheld: p.withheld.Load()}
		if s.Form != "" {
			detail.Form, detail.Source = s.Form, s.Source.String()
		}
		e := p.event("access.finished", datasetsOf(p.covering), "", detail)
		return []ledger.Event{e}, err
	})
	p.a.streams.remove(p)
	if err != nil {
		return fmt.Errorf("record what was sent: %w", err)
	}
	return nil
}
