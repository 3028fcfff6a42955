package bank

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"time"

	"github.com/passerelle-cloud/passerelle/consent"
	atbank "github.com/passerelle-cloud/passerelle/operators/bank"
)

// Wish is what a person decided at the gateway.
type Wish struct {
	Person      string
	Bank        string
	Purpose     string                // in their words or those of the page
	Until       time.Time             // they may end it earlier
	Information []consent.Information // accounts, and balances or transactions
	PSU         string                // their customer number, for a bank that wants it
}

// Step is what the person does next.
type Step struct {
	Connection string
	Go         string          // where their browser goes; "": nowhere
	Wait       bool            // they confirm in their bank's app: see [Banks.Look]
	Message    string          // what the bank tells them
	Methods    []atbank.Method // of which they choose one: see [Banks.Method]
}

// visitTime is how long somebody may take at the bank.
const visitTime = time.Hour

// Connect begins a connection: the person goes to the bank next.
func (b *Banks) Connect(ctx context.Context, w Wish, p atbank.Presence) (*Step, error) {
	if w.Person == "" || !w.Until.After(time.Now()) || len(w.Information) == 0 {
		return nil, fmt.Errorf("%w: a connection is somebody's, has an end, and is about something", ErrState)
	}
	about := []consent.Information{consent.AccountList} // without it nobody knows what there is to read
	for _, i := range w.Information {
		if !slices.Contains(about, i) {
			about = append(about, i)
		}
	}
	s := &stored{Connection: Connection{ID: newID(), Person: w.Person, Bank: w.Bank, State: Waiting,
		Detail: Detail{Purpose: w.Purpose, Decided: w.Until, Information: about}}}
	s.secret.PSU = w.PSU
	return b.ask(ctx, s, p)
}

// Again has the person authenticate again: what was connected stays so meanwhile.
func (b *Banks) Again(ctx context.Context, person, id string, until time.Time, p atbank.Presence) (*Step, error) {
	s, err := b.one(ctx, `id = $1 AND person = $2`, id, person)
	if err != nil {
		return nil, err
	}
	if s.State == Ending || s.State == Disconnected {
		return nil, fmt.Errorf("%w: it is disconnected", ErrState)
	}
	if until.After(time.Now()) {
		s.Decided = until
	}
	return b.ask(ctx, s, p)
}

// ask asks the bank for a consent, or sends the person there first, where it wants that.
func (b *Banks) ask(ctx context.Context, s *stored, p atbank.Presence) (*Step, error) {
	bank, err := b.bank(s.Bank)
	if err != nil {
		return nil, err
	}
	state := rand.Text() + rand.Text()
	visit := b.visit(s, state, p)
	s.visit, s.secret.Asked, s.secret.PreStep = visitOf(state), time.Now(), nil
	if bank.Profile().SCA.Approach == atbank.OAuthFirst {
		begun, err := bank.PreStep(ctx, visit)
		if err != nil {
			return nil, err
		}
		s.secret.PreStep = begun.Redeem
		return &Step{Connection: s.ID, Go: begun.Go}, b.save(ctx, s)
	}
	return b.begin(ctx, s, bank, visit)
}

func (b *Banks) visit(s *stored, state string, p atbank.Presence) atbank.Visit {
	v := atbank.Visit{Presence: &p, Return: b.o.Return, State: state, PSU: s.secret.PSU}
	// A page brings nothing back by itself, as authorization servers do: the address says what it answers.
	if u, err := url.Parse(b.o.Return); err == nil && b.banks[s.Bank].Profile().SCA.Approach == atbank.Redirect {
		u.RawQuery = url.Values{"state": {state}}.Encode()
		v.Return = u.String()
	}
	return v
}

// begin asks for the consent.
func (b *Banks) begin(ctx context.Context, s *stored, bank *atbank.Client, visit atbank.Visit) (*Step, error) {
	wants := func(i consent.Information) bool { return slices.Contains(s.Information, i) }
	end := s.Decided
	if most := time.Now().AddDate(0, 0, bank.Profile().Limits.SCADays); end.After(most) {
		end = most
	}
	begun, err := bank.Begin(ctx, atbank.Wish{Rights: atbank.BankOffered(wants(consent.Balances), wants(consent.Transactions)), Until: end}, visit)
	if err != nil {
		return nil, err
	}
	s.secret.Begun = begun
	step := &Step{Connection: s.ID, Go: begun.Go, Wait: begun.Approach == atbank.Decoupled, Message: begun.Message, Methods: begun.Methods}
	return step, b.save(ctx, s)
}

// Method tells the bank which of its methods the person chose.
func (b *Banks) Method(ctx context.Context, person, id, method string, p atbank.Presence) (*Step, error) {
	s, bank, err := b.begun(ctx, person, id)
	if err != nil {
		return nil, err
	}
	if err := bank.Choose(ctx, s.secret.Begun, method, b.visit(s, "", p)); err != nil {
		return nil, err
	}
	return &Step{Connection: s.ID, Wait: true, Message: s.secret.Begun.Message}, b.save(ctx, s)
}

// begun returns a connection whose person is at the bank.
func (b *Banks) begun(ctx context.Context, person, id string) (*stored, *atbank.Client, error) {
	s, err := b.one(ctx, `id = $1 AND person = $2`, id, person)
	if err != nil {
		return nil, nil, err
	}
	if s.secret.Begun == nil {
		return nil, nil, fmt.Errorf("%w: nobody is waited for", ErrState)
	}
	bank, err := b.bank(s.Bank)
	return s, bank, err
}

// Back takes what a person's browser brings back from the bank. With a step they go on there; without one they are through,
// or the connection says why not.
func (b *Banks) Back(ctx context.Context, person string, query url.Values, p atbank.Presence) (*Connection, *Step, error) {
	s, err := b.one(ctx, `visit = $1 AND person = $2`, visitOf(query.Get("state")), person)
	if errors.Is(err, ErrNotFound) || err == nil && time.Since(s.secret.Asked) > visitTime {
		return nil, nil, ErrVisit
	}
	if err != nil {
		return nil, nil, err
	}
	bank, err := b.bank(s.Bank)
	if err != nil {
		return nil, nil, err
	}
	redeem := s.secret.PreStep
	if redeem == nil && s.secret.Begun != nil {
		redeem = s.secret.Begun.Redeem
	}
	if redeem != nil {
		tokens, err := bank.Returned(ctx, *redeem, query)
		if errors.Is(err, atbank.ErrDeclined) {
			return b.declined(ctx, s)
		}
		if err != nil {
			return nil, nil, err
		}
		s.secret.Tokens, s.secret.Metadata = tokens, redeem.Metadata
	}
	if s.secret.PreStep != nil {
		return b.afterPreStep(ctx, s, bank, p)
	}
	if begun := s.secret.Begun; begun != nil && begun.Confirm != "" && begun.Redeem == nil && query.Get("confirmationCode") != "" {
		if _, err := bank.Confirmed(ctx, begun, query.Get("confirmationCode"), b.visit(s, "", p)); err != nil {
			return nil, nil, err
		}
	}
	return b.arrive(ctx, s, bank, p)
}

// afterPreStep asks for the consent with the token that the person brought.
func (b *Banks) afterPreStep(ctx context.Context, s *stored, bank *atbank.Client, p atbank.Presence) (*Connection, *Step, error) {
	state := rand.Text() + rand.Text()
	s.visit, s.secret.PreStep = visitOf(state), nil
	visit := b.visit(s, state, p)
	visit.Return = b.o.Return + "?" + url.Values{"state": {state}}.Encode()
	visit.Token = s.secret.Tokens.Access
	step, err := b.begin(ctx, s, bank, visit)
	if err != nil {
		return nil, nil, err
	}
	return &s.Connection, step, nil
}

// Look looks how far the person is who authenticates in their bank's app.
func (b *Banks) Look(ctx context.Context, person, id string, p atbank.Presence) (*Connection, error) {
	s, bank, err := b.begun(ctx, person, id)
	if err != nil {
		return nil, err
	}
	c, _, err := b.arrive(ctx, s, bank, p)
	return c, err
}

// arrive reads what the bank made of the consent.
func (b *Banks) arrive(ctx context.Context, s *stored, bank *atbank.Client, p atbank.Presence) (*Connection, *Step, error) {
	if s.secret.Begun == nil {
		return nil, nil, ErrVisit
	}
	access := atbank.Access{Consent: s.secret.Begun.Consent, Presence: &p}
	if s.secret.Tokens != nil {
		access.Token = s.secret.Tokens.Access
	}
	c, err := bank.Consent(ctx, access)
	if err != nil {
		return nil, nil, err
	}
	switch {
	case c.Status == atbank.StatusValid:
		return b.connected(ctx, s, bank, c, p)
	case c.Status == atbank.StatusPartiallyAuthorised:
		s.State = Others
	case c.Status.Ended():
		return b.declined(ctx, s)
	}
	return &s.Connection, nil, b.save(ctx, s)
}

// headStart is after what time it is read without the person who has just connected a bank, where what they asked for by that
// was lost.
const headStart = 2 * time.Minute

// connected notes a consent that is valid now. A former one has ended at most banks; all are told.
func (b *Banks) connected(ctx context.Context, s *stored, bank *atbank.Client, c atbank.Consent, p atbank.Presence) (*Connection, *Step, error) {
	now := time.Now().UTC()
	if s.Consent != "" && s.Consent != c.ID {
		s.Former = append(s.Former, s.Consent)
	}
	s.State, s.Consent, s.Given, s.Authenticated, s.Frequency, s.Trouble, s.Failures = Connected, c.ID, now, now, c.Frequency, None, 0
	s.Until = s.Decided
	for _, end := range []time.Time{bank.End(c), now.AddDate(0, 0, bank.Profile().Limits.SCADays)} {
		if end.Before(s.Until) {
			s.Until = end.UTC()
		}
	}
	s.visit, s.secret.Begun, s.Due = "", nil, now.Add(headStart)
	return &s.Connection, nil, b.o.DB.Tx(ctx, func(tx *sql.Tx) error {
		return errors.Join(b.asks(ctx, tx, s, p), b.saveIn(ctx, tx, s)) // who was just at the bank is there
	})
}

func (b *Banks) declined(ctx context.Context, s *stored) (*Connection, *Step, error) {
	if s.State == Waiting || s.State == Others {
		s.State = Declined
	}
	s.visit, s.secret.Begun, s.secret.PreStep = "", nil, nil
	return &s.Connection, nil, b.save(ctx, s)
}

// Choose says which accounts a person wants to have read; others stay as they are in the home.
func (b *Banks) Choose(ctx context.Context, person, id string, accounts []string) error {
	s, err := b.one(ctx, `id = $1 AND person = $2`, id, person)
	if err != nil {
		return err
	}
	for _, a := range s.Accounts {
		_, err := b.o.DB.Write.ExecContext(ctx, `UPDATE bank_account SET chosen = $3 WHERE connection = $1 AND id = $2`, s.ID, a.ID, slices.Contains(accounts, a.ID))
		if err != nil {
			return fmt.Errorf("choose accounts: %w", err)
		}
	}
	return nil
}
