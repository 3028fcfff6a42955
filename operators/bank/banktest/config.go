package banktest

import (
	"crypto/x509"
	"log/slog"
	"time"
)

// Approach is how a person proves to the bank who they are.
type Approach string

// The approaches to strong customer authentication (NextGenPSD2 XS2A implementation guidelines 1.3, section 5).
const (
	Redirect  Approach = "redirect"  // on a page of the bank
	OAuth2    Approach = "oauth2"    // on a page of the bank, by its authorization server; reads want the token
	Decoupled Approach = "decoupled" // on another device
	Embedded  Approach = "embedded"  // what the person knows goes through the third party
)

// Config is what a bank is like. Its zero value is a bank that redirects, and that wants neither certificate nor signature.
type Config struct {
	// Now is the time from which the sandbox's clock starts; nil: [time.Now]. See [Bank.Advance].
	Now func() time.Time
	// Seed decides about everything that is invented: persons, accounts, operations.
	Seed uint64
	// URL is where the bank is reached: "https://bank.example:8472". "": what the request says.
	URL string
	// RelativeLinks gives links without scheme and host, but for those to pages.
	RelativeLinks bool

	// Approach is [Redirect] where it is "".
	Approach Approach
	// PreStep wants an access token that says who the person is before a consent is asked for.
	PreStep bool
	// Explicit lets third parties start the authorisation themselves.
	Explicit bool
	// DecoupledAfter is after how long a person has agreed on their device; 0: only [Bank.Authorise] does.
	DecoupledAfter time.Duration
	// Methods is how many means of authentication a person has, from which one is chosen; 0: one.
	Methods int

	// MaxDays is how long a consent lasts at most; 0: 180 days.
	MaxDays int
	// PerDay is how often an account is read in 24 hours without the person; 0: four times.
	PerDay int
	// OneOff is for how long a consent serves that does not recur, after it was authorised; 0: 20 minutes.
	OneOff time.Duration
	// Fresh is for how long after the person was there operations of any age are given; 0: 15 minutes.
	Fresh time.Duration
	// Recent is how many days back operations are always given; 0: 90.
	Recent int
	// PageSize is how many operations a page has; 0: 100.
	PageSize int
	// Shifting lets pages shift when operations are added while somebody reads them, as careless banks do.
	Shifting bool

	// Rate is how many requests a second the bank answers, of all third parties; 0: as many as it can. The others get 429 with
	// Retry-After.
	Rate float64

	// Problems gives errors as application/problem+json, not as tppMessages.
	Problems bool
	// Roots are whose certificates third parties must have; nil: they need none.
	Roots *x509.CertPool
	// Signed wants every request signed with a QSealC that Roots have issued; without Roots, any certificate's key will do.
	Signed bool

	// Operations is how many operations each of the five accounts of [Bulk] has; 0: 200.
	Operations int
	// Crowd is how many more persons there are, [CrowdID] 1, 2, …, with an account of 30 operations each.
	Crowd int
	// State is a file that keeps consents; "": they are forgotten.
	State string
	// Log is told of each request; nil: nobody is.
	Log *slog.Logger
}

const (
	defaultMaxDays    = 180
	defaultPerDay     = 4
	defaultRecent     = 90
	defaultPageSize   = 100
	defaultOperations = 200
	defaultFresh      = 15 * time.Minute
	defaultOneOff     = 20 * time.Minute
	unauthorisedFor   = 24 * time.Hour // then nobody will authorise a consent any more
)

// withDefaults fills in what was left out.
func (c Config) withDefaults() Config {
	set := func(n *int, to int) {
		if *n == 0 {
			*n = to
		}
	}
	set(&c.MaxDays, defaultMaxDays)
	set(&c.PerDay, defaultPerDay)
	set(&c.Recent, defaultRecent)
	set(&c.PageSize, defaultPageSize)
	set(&c.Operations, defaultOperations)
	set(&c.Methods, 1)
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Approach == "" {
		c.Approach = Redirect
	}
	if c.Fresh == 0 {
		c.Fresh = defaultFresh
	}
	if c.OneOff == 0 {
		c.OneOff = defaultOneOff
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return c
}
