package bank

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/passerelle-cloud/passerelle/consent"
	"github.com/passerelle-cloud/passerelle/formats"
	atbank "github.com/passerelle-cloud/passerelle/operators/bank"
)

// run is one refresh of a connection.
type run struct {
	b        *Banks
	s        *stored
	bank     *atbank.Client
	reader   *atbank.Reader
	presence *Presence // nil: the person is not there
	progress func(Progress)
	renew    func() error
	only     bool // it is found out only which accounts there are
	read     bool // at least one of them was read
}

// Progress says how far a refresh is.
type Progress struct {
	Account    string `json:"account"` // its name
	Done       int    `json:"done"`    // accounts
	All        int    `json:"all"`
	Operations int    `json:"operations"` // read so far of this account
}

// How far back operations are read.
const (
	freshFor    = 50 * time.Minute // after the person has authenticated there are all; the rules and most banks say: an hour at most
	usualDays   = 730              // where the profile does not say how far back a bank gives operations
	recentDays  = 89               // without it there are those of 90 days
	overlapDays = 14               // what was read last is read again: things are booked late, and corrected
)

// Refresh reads what a bank has, into the person's home. With a presence it is the person who asks. What could not be read
// is said in the connection that it returns, and is no error; ErrBusy is.
func (b *Banks) Refresh(ctx context.Context, person, id string, presence *Presence, progress func(Progress)) (*Connection, error) {
	return b.run(ctx, person, id, presence, progress, (*run).everything)
}

// Discover reads which accounts there are, and nothing of them: for the person to choose, see [Banks.Choose]. What could not be
// read is said in the connection.
func (b *Banks) Discover(ctx context.Context, person, id string, presence *Presence) (*Connection, error) {
	return b.run(ctx, person, id, presence, nil, (*run).discover)
}

// run does something with a connection that nobody else has meanwhile.
func (b *Banks) run(ctx context.Context, person, id string, presence *Presence, progress func(Progress), do func(*run, context.Context) error) (c *Connection, err error) {
	renew, release, err := b.lease(ctx, id)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, release()) }()
	s, err := b.one(ctx, `id = $1 AND person = $2`, id, person)
	if err != nil {
		return nil, err
	}
	if s.State != Connected {
		return nil, fmt.Errorf("%w: it is %s", ErrState, s.State)
	}
	bank, err := b.bank(s.Bank)
	if err != nil {
		return nil, err
	}
	r := &run{b: b, s: s, bank: bank, presence: presence, progress: progress, renew: renew}
	failed := do(r, ctx)
	if ctx.Err() != nil {
		return nil, ctx.Err() // nothing is said of the bank: it was not its fault
	}
	if r.read && b.o.Read != nil {
		if err := b.o.Read(ctx, person); err != nil {
			return nil, err
		}
	}
	return r.end(ctx, failed)
}

// open finds out which accounts there are.
func (r *run) open(ctx context.Context) (map[string]atbank.Account, error) {
	r.s.Trouble = None
	if !time.Now().Before(r.s.Until) {
		return nil, fmt.Errorf("the consent has ended: %w", atbank.ErrSCA)
	}
	if err := r.deleteFormer(ctx); err != nil {
		return nil, err
	}
	if err := r.enter(ctx); err != nil {
		return nil, err
	}
	return r.list(ctx)
}

func (r *run) discover(ctx context.Context) error {
	r.only = true
	_, err := r.open(ctx)
	return err
}

// everything reads all chosen accounts. The error is that which stopped it.
func (r *run) everything(ctx context.Context) error {
	found, err := r.open(ctx)
	if err != nil {
		return err
	}
	chosen := r.designated()
	for i := range r.s.Accounts {
		a := &r.s.Accounts[i]
		if !slices.Contains(chosen, a.ID) || a.Closed {
			continue
		}
		err := r.account(ctx, a, found[a.ID], slices.Index(chosen, a.ID), len(chosen))
		t, known := TroubleOf(err)
		if !known {
			return err
		}
		if t == NotAllowed && !a.Read && consentRenews(err) {
			t = SignIn // an account that was opened since: it is read once the person has authenticated
		}
		if err != nil {
			r.b.o.Log.Info("an account could not be refreshed", "connection", r.s.ID, "trouble", t, "error", err)
			a.Trouble, a.Closed = t, t == Closed
			if err := r.keep(ctx, a); err != nil {
				return err
			}
		}
		if t.ofAll() && !(t == SignIn && !a.Read && consentRenews(err)) {
			return err
		}
	}
	return nil
}

// access is what a bank is asked with. Its token is renewed in time.
func (b *Banks) access(ctx context.Context, bank *atbank.Client, s *stored, consent string) (atbank.Access, error) {
	access := atbank.Access{Consent: consent}
	t := s.secret.Tokens
	if t == nil {
		return access, nil
	}
	if time.Now().Add(leaseTime).After(t.Until) && t.Refresh != "" {
		fresh, err := bank.Renew(ctx, s.secret.Metadata, *t)
		if err != nil {
			return access, err
		}
		s.secret.Tokens, t = fresh, fresh
		if err := b.update(ctx, s.ID, func(s *stored) { s.secret.Tokens = fresh }); err != nil {
			return access, err
		}
	}
	access.Token = t.Access
	return access, nil
}

// enter makes a reader, with a token that holds for a while.
func (r *run) enter(ctx context.Context) error {
	access, err := r.b.access(ctx, r.bank, r.s, r.s.Consent)
	if err != nil {
		return err
	}
	if r.presence != nil {
		access.Presence = &r.presence.Presence
	}
	r.reader, err = r.bank.Reader(access, r.door)
	return err
}

// list reads which accounts there are. New ones are chosen: the person chose them at the bank.
func (r *run) list(ctx context.Context) (map[string]atbank.Account, error) {
	list, refused, err := r.reader.Accounts(ctx, false)
	if err != nil {
		return nil, err
	}
	if len(refused) > 0 {
		r.s.Trouble = Partly
	}
	found := map[string]atbank.Account{}
	for _, one := range list {
		found[one.Record.ID] = one
		at := slices.IndexFunc(r.s.Accounts, func(a Account) bool { return a.ID == one.Record.ID })
		if at < 0 {
			at = len(r.s.Accounts)
			r.s.Accounts = append(r.s.Accounts, Account{ID: one.Record.ID, Chosen: true})
		}
		a := &r.s.Accounts[at]
		var body formats.BankAccount
		if err := json.Unmarshal(one.Record.Body, &body); err != nil {
			return nil, err
		}
		a.Name, a.Resource, a.Closed, a.Reference = body.Name, one.Resource, one.Gone(), one.Reference
		if a.Closed {
			a.Trouble = Closed
		}
		if err := r.keep(ctx, a); err != nil {
			return nil, err
		}
	}
	for i := range r.s.Accounts {
		a := &r.s.Accounts[i]
		if _, there := found[a.ID]; !there && !a.Closed {
			a.Closed, a.Trouble = true, Closed
			if err := r.keep(ctx, a); err != nil {
				return nil, err
			}
		}
	}
	return found, nil
}

func (r *run) keep(ctx context.Context, a *Account) error {
	return r.b.o.DB.Tx(ctx, func(tx *sql.Tx) error { return r.b.saveAccount(ctx, tx, r.s.ID, a) })
}

// account reads one account. What was read is first kept here, all of it or nothing, and then put into the home: a process
// that dies in between leaves nothing that the next one does not find.
func (r *run) account(ctx context.Context, a *Account, at atbank.Account, n, of int) error {
	tell := func(operations int) {
		if r.progress != nil {
			r.progress(Progress{Account: a.Name, Done: n, All: of, Operations: operations})
		}
	}
	tell(0)
	err := r.enter(ctx) // once more: tokens of some banks last for minutes
	if err != nil {
		return err
	}
	var refused []atbank.Refused
	if slices.Contains(r.s.Information, consent.Balances) {
		if refused, err = r.reader.Balances(ctx, &at); err != nil {
			return err
		}
	}
	line, err := at.Record.AppendLine(nil)
	if err != nil {
		return err
	}
	a.Record = string(line)
	var got *atbank.Retrieved
	if slices.Contains(r.s.Information, consent.Transactions) {
		if got, err = r.operations(ctx, a, at, tell); err != nil {
			return err
		}
		refused = append(refused, got.Refused...)
	}
	if a.Refused, a.Trouble = len(refused), None; a.Refused > 0 {
		a.Trouble = Partly
	}
	a.Refreshed = time.Now().UTC()
	if err := r.remember(ctx, a, got); err != nil {
		return err
	}
	r.read = true
	return r.b.place(ctx, r.s.Person, a)
}

// operations reads the operations of an account from where it was read last.
func (r *run) operations(ctx context.Context, a *Account, at atbank.Account, tell func(int)) (*atbank.Retrieved, error) {
	period := atbank.Period{From: r.from(a), Progress: tell}
	got, err := r.reader.Operations(ctx, at, period)
	if (errors.Is(err, atbank.ErrPeriod) || errors.Is(err, consent.ErrRefused)) && period.From < r.recent() {
		period.From = r.recent() // the bank gives less than its profile says, or the person authenticated too long ago by now
		got, err = r.reader.Operations(ctx, at, period)
	}
	return got, err
}

func (r *run) recent() string {
	return time.Now().UTC().AddDate(0, 0, -recentDays).Format(time.DateOnly)
}

// from is the first day that is read.
func (r *run) from(a *Account) string {
	now := time.Now().UTC()
	days := r.bank.Profile().Limits.HistoryDays
	if days == 0 {
		days = usualDays
	}
	first := now.AddDate(0, 0, -days).Format(time.DateOnly)
	if a.Read {
		first = max(first, a.Refreshed.AddDate(0, 0, -overlapDays).Format(time.DateOnly))
	}
	if now.Sub(r.s.Authenticated) > freshFor {
		first = max(first, r.recent())
	}
	return first
}

// The times between refreshes.
const (
	jitter    = 40 * time.Minute
	firstWait = 15 * time.Minute // after a failure, twice as long each time
	mostWait  = 12 * time.Hour
)

// end notes how a run ended, and when the next one is.
func (r *run) end(ctx context.Context, failed error) (*Connection, error) {
	t, known := TroubleOf(failed)
	if !known {
		return nil, failed
	}
	state := Connected
	if t == SignIn {
		state, t = r.why(ctx, failed)
	}
	if t == NotAllowed && consentRenews(failed) {
		state = Expired
	}
	accounts := r.s.Accounts
	err := r.b.update(ctx, r.s.ID, func(s *stored) {
		if s.Consent != r.s.Consent || s.State != Connected {
			r.s = s
			return // the person authenticated again, or disconnected, meanwhile: that counts
		}
		s.State, s.Trouble, s.Former = state, t, r.s.Former
		now := time.Now().UTC()
		switch {
		case state != Connected:
			s.Due = time.Time{}
		case failed == nil && r.only: // the accounts are still to be read
		case failed == nil:
			s.Refreshed, s.Failures = now, 0
			s.Trouble = worst(r.s.Trouble, accounts)
			s.Due = now.Add(r.every() + rand.N(jitter))
		default:
			s.Failures++
			wait := min(firstWait<<min(s.Failures-1, 10), mostWait)
			s.Due = now.Add(max(wait, atbank.WaitOf(failed)) + rand.N(jitter/4))
		}
		r.s = s
	})
	if failed != nil {
		r.b.o.Log.Info("a bank could not be refreshed", "connection", r.s.ID, "trouble", t, "error", failed)
	}
	r.s.Accounts = accounts
	return &r.s.Connection, err
}

// every is the time between two refreshes without the person: four a day at most, fewer where the bank wants that.
func (r *run) every() time.Duration {
	n := min(r.bank.Profile().Limits.Unattended, 4)
	if r.s.Frequency > 0 {
		n = min(n, r.s.Frequency)
	}
	return 24*time.Hour/time.Duration(max(n, 1)) + time.Minute
}

// worst is what a person is told of a run that came to its end.
func worst(t Trouble, accounts []Account) Trouble {
	for _, a := range accounts {
		if a.Chosen && !a.Closed && a.Trouble != None {
			return Partly
		}
	}
	return t
}

// why asks the bank what became of a consent that it refuses.
func (r *run) why(ctx context.Context, failed error) (State, Trouble) {
	if errors.Is(failed, atbank.ErrPeriod) {
		return Connected, SignIn
	}
	access, err := r.b.access(ctx, r.bank, r.s, r.s.Consent)
	if err != nil {
		return Expired, SignIn
	}
	switch status, err := r.bank.ConsentStatus(ctx, access); {
	case err == nil && (status == atbank.StatusRevokedByPSU || status == atbank.StatusTerminatedByTPP):
		return Withdrawn, SignIn
	case err == nil && status == atbank.StatusValid && !errors.Is(failed, atbank.ErrSCA):
		return Connected, Unreadable // it contradicts itself: later
	}
	return Expired, SignIn
}

// consentRenews reports whether rules refuse because the person has to authenticate again.
func consentRenews(err error) bool {
	var refused *consent.RefusedError
	return errors.As(err, &refused) && slices.ContainsFunc(refused.Refusals, func(one *consent.Refusal) bool { return one.Renew })
}

// update changes a connection as it is now.
func (b *Banks) update(ctx context.Context, id string, change func(*stored)) error {
	return b.o.DB.Tx(ctx, func(tx *sql.Tx) error {
		return b.updateIn(ctx, tx, id, func(s *stored) error { change(s); return nil })
	})
}

// updateIn is update as a part of a transaction; an error of change changes nothing.
func (b *Banks) updateIn(ctx context.Context, tx *sql.Tx, id string, change func(*stored) error) error {
	if _, err := tx.ExecContext(ctx, `UPDATE bank_connection SET changed = changed WHERE id = $1`, id); err != nil {
		return fmt.Errorf("change a connection with a bank: %w", err)
	}
	list, err := b.find(ctx, tx, `id = $1`, id)
	if err != nil {
		return err
	}
	if len(list) == 0 {
		return ErrNotFound
	}
	if err := change(list[0]); err != nil {
		return err
	}
	return b.saveIn(ctx, tx, list[0])
}
