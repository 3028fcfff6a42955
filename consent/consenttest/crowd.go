package consenttest

import (
	"database/sql"
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"
)

// CrowdID is the id of the n-th consent, or access, that [Fixture.Crowd] makes.
func CrowdID(kind string, n int) string {
	return uuid.NewSHA1(uuid.Nil, fmt.Appendf(nil, "%s %d", kind, n)).String()
}

// Crowd gives alice many consents that nobody granted, each of a service of its own, and to each of them as many accesses.
func (f *Fixture) Crowd(t testing.TB, consents, accesses int) {
	t.Helper()
	f.Service(t, "model")
	model := f.Grant(t, "model", "model")
	begun := time.Now().Add(-30 * 24 * time.Hour).UnixMicro()
	err := f.DB.Tx(t.Context(), func(tx *sql.Tx) error {
		run := func(statement string, args ...any) error {
			_, err := tx.ExecContext(t.Context(), statement, args...)
			return err
		}
		for n := range consents {
			id, service := CrowdID("consent", n), fmt.Sprintf("service-%04d", n)
			at, sets := begun+int64(n), " contacts calendar "[1:18]
			if n%4 == 0 {
				sets = "bank"
			}
			for _, err := range []error{
				run(`INSERT INTO consent_service (id, document, look, suspended, version, created, changed)
					SELECT $1, REPLACE(REPLACE(document, 'Service model', $2), '"model"', $3), $1, '', 1, created, changed FROM consent_service WHERE id = 'model'`,
					service, fmt.Sprintf("Société number %d", n), `"`+service+`"`),
				run(`INSERT INTO consent_consent (id, person, service, state, revision, created, changed, expires, accesses, last, before, datasets)
					SELECT $1, 'alice', $2, state, 1, $3, $3, expires, $4, $5, 0, $6 FROM consent_consent WHERE id = $7`, id, service, at, accesses, at+int64(accesses), sets, model.ID),
				run(`INSERT INTO consent_revision (consent, number, state, details, request, notice, language, method, reason, at, expires, packs, facts)
					SELECT $1, number, state, details, request, notice, language, method, reason, at, expires, packs, facts FROM consent_revision WHERE consent = $2`, id, model.ID),
			} {
				if err != nil {
					return err
				}
			}
		}
		insert, err := tx.PrepareContext(t.Context(), `
			INSERT INTO consent_access (id, consent, revision, service, dataset, action, begun, open, ended, records, bytes, hash, outcome)
			VALUES ($1, $2, 1, $3, 'contacts', 'read', $4, FALSE, $4, 3, 100, '', 'complete')`)
		for k := 0; err == nil && k < accesses; k++ { // in the order of time, as they happen
			for n := 0; err == nil && n < consents; n++ {
				_, err = insert.ExecContext(t.Context(), CrowdID("access", n*accesses+k), CrowdID("consent", n), fmt.Sprintf("service-%04d", n), begun+int64(n+k+1))
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
