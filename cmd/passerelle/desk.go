package main

import (
	"context"
	"net/http"
	"time"

	complianceapi "github.com/passerelle-cloud/passerelle/compliance/api"
	"github.com/passerelle-cloud/passerelle/compliance/audit"
)

// openDesk opens what answers auditors.
func (s *server) openDesk(ctx context.Context, g *gateway) error {
	signed, err := g.statement(ctx)
	if err != nil {
		return err
	}
	secret, err := g.secret(ctx, "audit")
	if err != nil {
		return err
	}
	auditors, err := audit.OpenAuditors(ctx, s.db, s.ledger, secret, nil)
	if err != nil {
		return err
	}
	maker := audit.Maker{Authority: s.authority, Ledger: s.ledger, Packs: packs(), Told: s.events.Of, Statement: g.statement, Signer: g.archiveSigner}
	s.desk = audit.NewDesk(s.db, auditors, maker, audit.Options{Events: s.events, Operator: s.operatorFacts(signed.Statement.Operator), Trust: g.ownTrust, Switched: s.switched})
	return nil
}

// switched are the moves from here that have happened, as auditors see them.
func (s *server) switched(ctx context.Context, since time.Time) ([]audit.Switched, error) {
	if s.sender == nil { // of a command, and not of a gateway that runs
		return nil, nil
	}
	moves, err := s.sender.Switched(ctx, since)
	list := make([]audit.Switched, len(moves))
	for i, m := range moves {
		list[i] = audit.Switched{Consent: m.Consent, To: m.Peer, Given: m.Given, Prolonged: m.Prolonged, Moved: m.Committed, Until: m.Until, Erased: m.Erased}
	}
	return list, err
}

// ownTrust is how somebody who knows our statement checks our log.
func (g *gateway) ownTrust(ctx context.Context) (audit.Trusted, error) {
	signed, err := g.statement(ctx)
	if err != nil {
		return audit.Trusted{}, err
	}
	trust, err := logTrust(signed)
	return audit.Trusted{Log: trust, Operator: signed}, err
}

// auditAPI is the regulator's interface for programs.
func (s *server) auditAPI(allowed func(http.ResponseWriter, *http.Request) bool) *complianceapi.API {
	return &complianceapi.API{Desk: s.desk, Allowed: allowed, Log: s.log}
}

// forgetSubject forgets under which pseudonyms auditors were shown a person.
func (g *gateway) forgetSubject(ctx context.Context, person string) error {
	db, err := g.openDB(ctx)
	if err != nil {
		return err
	}
	return audit.Forget(ctx, db, person)
}
