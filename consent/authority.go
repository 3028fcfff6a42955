package consent

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/passerelle-cloud/passerelle/consent/ledger"
	"github.com/passerelle-cloud/passerelle/internal/sqldb"
	"github.com/passerelle-cloud/passerelle/internal/strict"
)

//go:embed migrations
var migrations embed.FS

// Authority takes and keeps the decisions, and is the only door to data. Any number of goroutines, and of replicas on
// one PostgreSQL, may use it.
type Authority struct {
	db       *sqldb.DB
	ledger   *ledger.Ledger
	operator OperatorFacts
	packs    []governing
	now      func() time.Time
	decided  func(context.Context, *sql.Tx, Consent) error
	ended    func(context.Context, *sql.Tx, string) error
	erased   func(context.Context, string) error
	proofs   time.Duration
	valid    *strict.Validator
	services services
	streams  *streams
	stats    *stats
}

// governing is a pack with what is kept of it.
type governing struct {
	Pack
	reference string
}

// Options are what an Authority needs.
type Options struct {
	Operator OperatorFacts
	Packs    []Pack
	// Decided is called in the transaction of each decision about a consent that there was already, also of one to pause
	// it or to let it go on, so that services are told. nil: nothing is done.
	Decided func(context.Context, *sql.Tx, Consent) error
	// Ended is called in the transaction in which a consent or an authorisation ends, whoever ends it; nil: nothing is done.
	Ended func(ctx context.Context, tx *sql.Tx, consent string) error
	// Proofs is for how long after it what proves a decision is kept although the person wants to be forgotten, since a claim
	// may be made that it refutes (GDPR article 17(3)(e)); 0: no longer than they want.
	Proofs time.Duration
	// Erased is called where all that is kept of a person's decisions is deleted; nil: nothing else is.
	Erased func(ctx context.Context, person string) error
	// Lease is how long an open stream may go on without asking whether it still may; 0 means 1.5 seconds.
	Lease time.Duration
	Now   func() time.Time      // nil: the clock
	Stat  prometheus.Registerer // nil: nothing is counted
}

// New returns the authority over what is in a database, and makes its tables if there are none.
func New(ctx context.Context, db *sqldb.DB, log *ledger.Ledger, opt Options) (*Authority, error) {
	if err := checkPacks(opt.Packs); err != nil {
		return nil, err
	}
	if err := migrate(ctx, db); err != nil {
		return nil, err
	}
	a := &Authority{db: db, ledger: log, operator: opt.Operator, now: opt.Now, decided: opt.Decided, ended: opt.Ended, erased: opt.Erased, proofs: opt.Proofs, stats: newStats(opt.Stat)}
	if a.now == nil {
		a.now = time.Now
	}
	for _, p := range opt.Packs {
		a.packs = append(a.packs, governing{p, p.reference()})
	}
	if err := a.note(ctx); err != nil {
		return nil, err
	}
	var err error
	a.valid, err = newValidator()
	if db.Embedded() { // there is one process: what another one had open has ended with it
		if _, e := db.Write.ExecContext(ctx, `UPDATE consent_access SET open = FALSE, outcome = 'failed' WHERE open`); e != nil {
			err = errors.Join(err, fmt.Errorf("end what an earlier run had open: %w", e))
		}
	}
	a.services = services{a: a, read: map[string]remembered{}}
	a.streams = newStreams(opt.Lease)
	return a, err
}

func newID() string { return uuid.NewString() }

func micro(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

func fromMicro(n int64) time.Time {
	if n == 0 {
		return time.Time{}
	}
	return time.UnixMicro(n).UTC()
}
