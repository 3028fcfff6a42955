// Package audittest gives tests an operator whose consents are checked: with keys, a log, a statement that says which, and
// a desk for auditors. Only tests import it.
package audittest

import (
	"bytes"
	"context"
	"crypto"
	"path/filepath"
	"testing"
	"time"

	"github.com/passerelle-cloud/passerelle/compliance/audit"
	"github.com/passerelle-cloud/passerelle/compliance/dga"
	"github.com/passerelle-cloud/passerelle/compliance/gdpr"
	"github.com/passerelle-cloud/passerelle/consent"
	"github.com/passerelle-cloud/passerelle/consent/consenttest"
	"github.com/passerelle-cloud/passerelle/consent/events"
	"github.com/passerelle-cloud/passerelle/consent/ledger"
	"github.com/passerelle-cloud/passerelle/formats/statement"
	"github.com/passerelle-cloud/passerelle/internal/jobs"
	"github.com/passerelle-cloud/passerelle/internal/sqldb"
	"github.com/passerelle-cloud/passerelle/operators/keys"
)

// Gateway is the gateway of an intermediary.
type Gateway struct {
	*consenttest.Fixture
	audit.Maker // of evidence
	Events      *events.Events
	Store       *keys.Files
	Trust       audit.Trusted // what a regulator knows of it beforehand
	VerifierKey string        // of its log
	// Switched is what the desk is told of moves to other operators; nil: nobody can move.
	Switched func(ctx context.Context, since time.Time) ([]audit.Switched, error)
	operator consent.OperatorFacts
}

// New opens a gateway.
func New(t testing.TB, db *sqldb.DB, change ...func(*consent.Options)) *Gateway {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	packs := []consent.Pack{gdpr.Pack(), dga.Pack()}
	g := &Gateway{}
	g.Fixture = consenttest.New(t, db, func(o *consent.Options) {
		o.Packs, o.Operator.Registration = packs, []string{"SIREN:552100554"}
		for _, c := range change {
			c(o)
		}
		g.operator = o.Operator
	})
	ctx := context.Background()
	queue, err := jobs.New(ctx, db, jobs.Config{})
	must(err)
	g.Events, err = events.New(ctx, db, queue)
	must(err)
	g.Store, err = keys.OpenFiles(ctx, filepath.Join(t.TempDir(), "keys"))
	must(err)
	profile := keys.Unregistered("operator.example")
	g.Maker = audit.Maker{Authority: g.Fixture.Authority, Ledger: g.Fixture.Ledger, Packs: packs, Told: g.Events.Of,
		Statement: func(ctx context.Context) (*statement.Signed, error) { return keys.Describe(ctx, profile, g.Store) },
		Signer: func(ctx context.Context) (crypto.Signer, error) {
			s, err := g.Store.Signer(ctx, statement.UseArchive)
			return s.Signer, err
		}}
	g.VerifierKey, err = ledger.VerifierKey("operator.example/log", g.Key.Public())
	must(err)
	g.Trust.Log, err = ledger.NewTrust([]string{g.VerifierKey}, nil, 0)
	must(err)
	g.Trust.Operator, err = g.Statement(ctx)
	must(err)
	return g
}

// OpenDesk opens a desk, and invites an auditor to it for a month. Its clock is that of the computer where it is nil.
func (g *Gateway) OpenDesk(t testing.TB, clock func() time.Time, name string) (desk *audit.Desk, code string, who *audit.Auditor) {
	t.Helper()
	ctx := context.Background()
	auditors, err := audit.OpenAuditors(ctx, g.DB, g.Fixture.Ledger, bytes.Repeat([]byte{7}, 32), clock)
	if err != nil {
		t.Fatal(err)
	}
	maker := g.Maker
	maker.Told = g.Events.Of
	desk = audit.NewDesk(g.DB, auditors, maker, audit.Options{Events: g.Events, Operator: g.operator, Trust: func(context.Context) (audit.Trusted, error) { return g.Trust, nil }, Switched: g.Switched})
	now := time.Now()
	if clock != nil {
		now = clock()
	}
	if code, who, err = desk.Invite(ctx, name, "CNIL", now.AddDate(0, 1, 0)); err != nil {
		t.Fatal(err)
	}
	return desk, code, who
}
