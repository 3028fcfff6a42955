package consent

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/passerelle-cloud/passerelle/consent/ledger"
	"github.com/passerelle-cloud/passerelle/formats"
)

// Information is what of payment accounts is retrieved.
type Information string

// What there is.
const (
	AccountList  Information = "accounts" // which there are, and their names
	Balances     Information = "balances"
	Transactions Information = "transactions"
)

// Retrieval is what the operator is about to read at a bank for a person, and what the bank's adapter knows of it.
type Retrieval struct {
	Person        string        `validate:"required,max=200"`
	Bank          string        `validate:"required,max=100,line"` // its id here
	Asked         []Information `validate:"required,unique,dive,oneof=accounts balances transactions"`
	Accounts      []string      `validate:"max=100,unique,dive,required,max=512,line"` // by the ids of their records; none: which there are
	From          string        `validate:"omitempty,datetime=2006-01-02"`             // the first day of transactions; "": all that there are
	Authorisation *AuthorisationFacts
	Authenticated time.Time // when the person last signed in at that bank by strong customer authentication; zero: never
	Present       bool
	Presence      *PresenceFacts
}

// RetrievalFacts say what is about to be read at a bank.
type RetrievalFacts struct {
	Bank          string              `json:"bank"`
	Asked         []Information       `json:"asked"`
	Accounts      []string            `json:"accounts,omitempty"`
	From          string              `json:"from,omitempty"` // of transactions; "": all
	Authorisation *AuthorisationFacts `json:"authorisation,omitempty"`
	Authenticated time.Time           `json:"authenticated,omitzero"`
	Present       bool                `json:"present"`            // the person asked for it just now
	Presence      *PresenceFacts      `json:"presence,omitempty"` // what shows it
	// First says that one of the accounts was never read before. Session names the run of readings that it belongs to, and
	// Unattended how many runs without the person there were within 24 hours, this one too, of the account with the most.
	First      bool   `json:"first"`
	Session    string `json:"session"`
	Unattended int    `json:"unattended"`
}

// AuthorisationFacts say what a person allowed the operator at a bank.
type AuthorisationFacts struct {
	ID          string        `json:"id" validate:"required,max=200,line"` // of the consent at the bank
	Given       time.Time     `json:"given"`
	Until       time.Time     `json:"until"`
	Information []Information `json:"information" validate:"max=10,dive,oneof=accounts balances transactions"`
	Designated  []string      `json:"designated,omitempty" validate:"max=1000,dive,required,max=512,line"` // the accounts, by the ids of their records
	// Frequency is how many runs a day without the person the bank agreed to, with the person's consent; 0: it says nothing.
	Frequency int `json:"frequency,omitempty" validate:"min=0,max=1440"`
}

// PresenceFacts are the evidence that a person asked for something just now.
type PresenceFacts struct {
	Address string    `json:"address" validate:"max=64"` // that the request came from
	At      time.Time `json:"at"`
}

// Leave is the proof that one reading at a bank was allowed, and logged before it. Only [Authority.Retrieve] makes one.
type Leave struct {
	a        *Authority
	id       string
	of       Retrieval
	session  string
	limits   []Limits
	withheld atomic.Int64
}

// Retrieve allows one reading at a bank under the rules in force, and logs it first: when it returns without an error, the
// leaf is durable, and the bank may be asked. A retry and the next page are readings too. The error wraps [ErrRequest],
// [ErrRefused], or [ErrDenied] where no rules for this are in force: then it is not the operator's business. Whoever gets a
// leave calls [Leave.Done] in the end.
func (a *Authority) Retrieve(ctx context.Context, r Retrieval) (*Leave, error) {
	l := &Leave{a: a, of: r}
	err := a.wellFormed(&r)
	if err == nil {
		_, err = a.ledger.Commit(ctx, func(tx *sql.Tx) ([]ledger.Event, error) {
			l.id = newID()
			return a.retrieve(ctx, tx, l)
		})
	}
	a.stats.retrieval(err)
	if err != nil {
		return nil, fmt.Errorf("read at the bank %.100q: %w", r.Bank, errors.Join(err, a.countRefused(ctx, r.Bank, StepRetrieve, err)))
	}
	return l, nil
}

func (a *Authority) wellFormed(r *Retrieval) error {
	if faults := a.valid.Faults(r); len(faults) > 0 {
		return fmt.Errorf("%w: a reading at a bank: %s", ErrRequest, strings.Join(faults, "; "))
	}
	return nil
}

func (a *Authority) retrieve(ctx context.Context, tx *sql.Tx, l *Leave) ([]ledger.Event, error) {
	now := a.now().UTC()
	r := &l.of
	facts := Facts{Now: now, Step: StepRetrieve, Operator: a.operator, Source: AtBank, Retrieval: &RetrievalFacts{Bank: r.Bank, Asked: r.Asked, Accounts: r.Accounts, From: r.From,
		Authorisation: r.Authorisation, Authenticated: r.Authenticated, Present: r.Present, Presence: r.Presence}}
	if !a.retrieves(facts) {
		return nil, fmt.Errorf("%w: this operator does not read at banks; one that may declares the role aisp in operator.json", ErrDenied)
	}
	if err := a.readBefore(ctx, tx, r, facts.Retrieval, now); err != nil {
		return nil, err
	}
	packs, err := a.judge(facts)
	if err != nil {
		return nil, err
	}
	l.session, l.limits = facts.Retrieval.Session, a.limits(facts)
	text, err := json.Marshal(facts)
	if err != nil {
		return nil, err
	}
	if err := l.keep(ctx, tx, text, packs, now); err != nil {
		return nil, err
	}
	return []ledger.Event{l.event("retrieval.begun", strings.Join(packs, ", "), retrievalDetail{Retrieval: l.id, Session: l.session, Present: r.Present, Facts: formats.HashOf(text).String()})}, nil
}

// retrieves reports whether a pack in force is about reading at banks: one that is about everything does not do.
func (a *Authority) retrieves(f Facts) bool {
	return slices.ContainsFunc(a.packs, func(p governing) bool { return p.About != nil && p.about(f) != "" })
}

// keep notes a reading that is about to begin.
func (l *Leave) keep(ctx context.Context, tx *sql.Tx, facts []byte, packs []string, now time.Time) error {
	_, err := tx.ExecContext(ctx, `INSERT INTO consent_retrieval (id, person, bank, session, begun, packs, facts, ended, records, withheld, outcome) VALUES ($1, $2, $3, $4, $5, $6, $7, 0, 0, 0, '')`,
		l.id, l.of.Person, l.of.Bank, l.session, micro(now), strings.Join(packs, ", "), string(facts))
	for _, account := range l.of.accounts() {
		if err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, `INSERT INTO consent_retrieved (person, bank, account, session, present, begun, retrieval) VALUES ($1, $2, $3, $4, $5, $6, $7)`,
			l.of.Person, l.of.Bank, account, l.session, l.of.Present, micro(now), l.id)
	}
	return err
}

// accounts are what is counted by: the accounts, or the list of them.
func (r *Retrieval) accounts() []string {
	if len(r.Accounts) == 0 {
		return []string{""}
	}
	return r.Accounts
}

// readBefore finds out to which run a reading belongs, and how often its accounts were read before.
func (a *Authority) readBefore(ctx context.Context, tx *sql.Tx, r *Retrieval, f *RetrievalFacts, now time.Time) error {
	if err := a.db.Hold(ctx, tx, "consent.retrieve/"+r.Person+"/"+r.Bank); err != nil {
		return err
	}
	err := tx.QueryRowContext(ctx, `SELECT session FROM consent_retrieved WHERE person = $1 AND bank = $2 AND present = $3 AND begun > $4
		GROUP BY session HAVING min(begun) > $5 AND min(begun) <= $6 ORDER BY min(begun) DESC LIMIT 1`,
		r.Person, r.Bank, r.Present, micro(now.Add(-2*runTime)), micro(now.Add(-runTime)), micro(now.Add(skew))).Scan(&f.Session)
	if errors.Is(err, sql.ErrNoRows) {
		f.Session, err = newID(), nil
	}
	if err != nil {
		return fmt.Errorf("find the run of readings: %w", err)
	}
	for _, account := range r.accounts() {
		known, runs := false, 0
		err := tx.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM consent_retrieved WHERE person = $1 AND bank = $2 AND account = $3), (SELECT count(*) FROM (
			SELECT session FROM consent_retrieved WHERE person = $1 AND bank = $2 AND account = $3 AND NOT present AND session <> $4 AND begun > $5 GROUP BY session HAVING min(begun) > $6) AS runs)`,
			r.Person, r.Bank, account, f.Session, micro(now.Add(-24*time.Hour-runTime)), micro(now.Add(-24*time.Hour))).Scan(&known, &runs)
		if err != nil {
			return fmt.Errorf("count the runs of readings: %w", err)
		}
		f.First, f.Unattended = f.First || !known, max(f.Unattended, runs)
	}
	if !r.Present {
		f.Unattended++
	}
	return nil
}

// retrievalDetail is the detail of a reading's events. The bank is in it, and not where the log has the service: nobody was given
// anything.
type retrievalDetail struct {
	Retrieval string `json:"retrieval"`
	Bank      string `json:"bank"`
	Session   string `json:"session,omitempty"`
	Present   bool   `json:"present,omitempty"`
	Facts     string `json:"facts,omitempty"` // SHA-256 of the facts that it was allowed on
	Records   *int64 `json:"records,omitempty"`
	Withheld  int64  `json:"withheld,omitempty"`
	Outcome   string `json:"outcome,omitempty"`
}

func (l *Leave) event(what, packs string, detail retrievalDetail) ledger.Event {
	detail.Bank = l.of.Bank
	text, _ := json.Marshal(detail) // texts and numbers only
	return ledger.Event{Person: l.of.Person, Class: ledger.Transfer, Type: what, Dataset: string(formats.Bank), Regime: packs, Detail: string(text)}
}

// ID returns the id of the reading in the records.
func (l *Leave) ID() string { return l.id }

// Session names the run of readings that it belongs to, as the bank and the log know it (RTS article 29).
func (l *Leave) Session() string { return l.session }

// Admit returns what of a record that the bank gave may be kept; false if nothing may: no other account than was asked for, no
// day of before, nothing that rules withhold. What is left out is counted.
func (l *Leave) Admit(r formats.Record) (formats.Record, bool) {
	if r.Dataset != formats.Bank || len(l.of.Accounts) > 0 && !slices.Contains(l.of.Accounts, accountOf(&r)) || len(l.of.Accounts) == 0 && r.Kind != formats.KindAccount {
		l.withheld.Add(1)
		return formats.Record{}, false
	}
	for i := range l.limits {
		var ok bool
		if r, ok = l.limits[i].withhold(r, &l.withheld); !ok {
			return formats.Record{}, false
		}
	}
	return r, true
}

// Done records, in the log too, what came of it: [Complete] or [Failed].
func (l *Leave) Done(ctx context.Context, records int64, outcome string) error {
	_, err := l.a.ledger.Commit(context.WithoutCancel(ctx), func(tx *sql.Tx) ([]ledger.Event, error) {
		_, err := tx.ExecContext(ctx, `UPDATE consent_retrieval SET ended = $2, records = $3, withheld = $4, outcome = $5 WHERE id = $1`, l.id, micro(l.a.now()), records, l.withheld.Load(), outcome)
		return []ledger.Event{l.event("retrieval.finished", "", retrievalDetail{Retrieval: l.id, Records: &records, Withheld: l.withheld.Load(), Outcome: outcome})}, err
	})
	if err != nil {
		return fmt.Errorf("record what was read at a bank: %w", err)
	}
	return nil
}
