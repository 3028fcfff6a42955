// Package bank is the life of a person's connection with a bank: they connect it, it is refreshed, with them and without,
// they authenticate again, and they disconnect it. What is read goes into their home.
//
// Each request that reads is allowed and logged by [consent.Authority.Retrieve] first. How to speak with banks, and which
// operations are the same, is the business of [github.com/passerelle-cloud/passerelle/operators/bank]; this package must never
// know a bank's protocol, nor any HTTP.
package bank

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"time"

	"github.com/passerelle-cloud/passerelle/consent"
	"github.com/passerelle-cloud/passerelle/formats"
	"github.com/passerelle-cloud/passerelle/internal/jobs"
	"github.com/passerelle-cloud/passerelle/internal/seal"
	"github.com/passerelle-cloud/passerelle/internal/sqldb"
	atbank "github.com/passerelle-cloud/passerelle/operators/bank"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Errors of this package.
var (
	ErrNotFound = errors.New("there is no such connection with a bank")
	ErrNoBank   = errors.New("this bank is not known here: the administrator gives its profile")
	ErrState    = errors.New("the connection with the bank is not in a state for that")
	// ErrBusy says that somebody else reads at the bank with this connection just now.
	ErrBusy  = errors.New("this connection is being refreshed already")
	ErrVisit = errors.New("this is not the answer to something that was asked here, or it is too late: connect the bank again")
)

// Home is where a person's records are.
type Home struct {
	// Change makes of the records of dataset bank with some ids, in one transaction, what become returns: before has those
	// that there are.
	Change func(ctx context.Context, person string, ids []string, become func(before map[string]formats.Record) ([]formats.Record, error)) error
	// Drop deletes a record of dataset bank; one that is not there is deleted.
	Drop func(ctx context.Context, person, id string) error
}

// Options are what connections need.
type Options struct {
	DB        *sqldb.DB
	Authority *consent.Authority
	Banks     []*atbank.Client
	Home      Home
	Box       *seal.Box // keeps tokens
	Queue     *jobs.Queue
	Return    string // where banks send browsers back to
	// Read is told whose home something was read into, at the end of a refresh; nil: nobody is.
	Read func(ctx context.Context, person string) error
	Log  *slog.Logger
}

// Banks are the connections of all persons. Any number of goroutines and processes may use them.
type Banks struct {
	o     Options
	banks map[string]*atbank.Client
}

// Open prepares the tables. The workers of [Banks.Workers] are to be given to the queue before it runs.
func Open(ctx context.Context, o Options) (*Banks, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	b := &Banks{o: o, banks: map[string]*atbank.Client{}}
	for _, c := range o.Banks {
		p := c.Profile()
		if b.banks[p.ID] != nil {
			return nil, fmt.Errorf("%w: two banks are called %s", formats.ErrInvalid, p.ID)
		}
		b.banks[p.ID] = c
	}
	folder, err := fs.Sub(migrations, "migrations")
	if err == nil {
		err = o.DB.Migrate(ctx, folder, "bank_version")
	}
	if err != nil {
		return nil, err
	}
	return b, nil
}

func (b *Banks) bank(id string) (*atbank.Client, error) {
	c := b.banks[id]
	if c == nil {
		return nil, fmt.Errorf("%w: %.60q", ErrNoBank, id)
	}
	return c, nil
}

// State is where a connection is in its life.
type State string

// The states.
const (
	Waiting      State = "waiting"      // for the person to authenticate at the bank
	Others       State = "others"       // for somebody else who must authenticate there too
	Connected    State = "connected"    //
	Expired      State = "expired"      // the person has to authenticate again
	Withdrawn    State = "withdrawn"    // the person took the consent back at the bank
	Declined     State = "declined"     // the person did not agree at the bank
	Ending       State = "ending"       // disconnected here; the bank is still to be told
	Disconnected State = "disconnected" //
)

// Trouble is why something could not be read, in what a person can do about it.
type Trouble string

// What there is.
const (
	None        Trouble = ""
	BankDown    Trouble = "bank-down"   // it passes by itself
	TooOften    Trouble = "too-often"   // it passes by itself
	SignIn      Trouble = "sign-in"     // the person authenticates again
	Closed      Trouble = "closed"      // the account is no more
	Partly      Trouble = "partly"      // some operations could not be read: the bank wrote them wrongly
	Unreadable  Trouble = "unreadable"  // the bank answers what nobody can read
	HomeRefuses Trouble = "home"        // the home takes nothing: it is full, or moving
	OurFault    Trouble = "ours"        // certificate, signature or profile: the administrator's business
	NotAllowed  Trouble = "not-allowed" // the rules do not let it be read now
)

// Connection is a person's connection with a bank.
type Connection struct {
	ID       string
	Person   string
	Bank     string
	State    State
	Due      time.Time // of the next refresh; zero: none comes by itself
	Accounts []Account
	// Pending says that the person is to confirm in their bank's app, what the bank tells them about that, and the methods of
	// which they choose one first, see [Banks.Method].
	Pending  bool
	Message  string
	Methods  []atbank.Method
	Busy     bool     // it is being refreshed
	Progress Progress // how far, as far as that was said
	Detail
}

// Detail is what a connection is about.
type Detail struct {
	Purpose       string                `json:"purpose"`
	Decided       time.Time             `json:"decided"` // until when, as the person decided
	Information   []consent.Information `json:"information"`
	Consent       string                `json:"consent,omitempty"` // its id at the bank
	Given         time.Time             `json:"given,omitzero"`
	Until         time.Time             `json:"until,omitzero"` // when the person has to authenticate again, whatever the reason
	Authenticated time.Time             `json:"authenticated,omitzero"`
	Frequency     int                   `json:"frequency,omitempty"`
	Former        []string              `json:"former,omitempty"` // consents that are still to be deleted at the bank
	Refreshed     time.Time             `json:"refreshed,omitzero"`
	Asked         time.Time             `json:"asked,omitzero"` // when the person asked for a refresh that has not ended yet
	Trouble       Trouble               `json:"trouble,omitempty"`
	Failures      int                   `json:"failures,omitempty"` // in a row
}

// DaysLeft is how many days are left until the person has to authenticate again.
func (c *Connection) DaysLeft(now time.Time) int { return max(0, int(c.Until.Sub(now).Hours()/24)) }

// Account is an account of a connection.
type Account struct {
	ID     string
	Chosen bool
	AccountDetail
}

// AccountDetail is what is known of an account.
type AccountDetail struct {
	Name      string           `json:"name"`
	Resource  string           `json:"resource"`
	Closed    bool             `json:"closed,omitempty"`
	Refreshed time.Time        `json:"refreshed,omitzero"`
	Read      bool             `json:"read,omitempty"` // at least once, to the end
	Trouble   Trouble          `json:"trouble,omitempty"`
	Refused   int              `json:"refused,omitempty"` // operations that could not be read last time
	Reference atbank.Reference `json:"reference"`
	Record    string           `json:"record"` // its line
}
