package consent_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/passerelle-cloud/passerelle/consent"
	"github.com/passerelle-cloud/passerelle/consent/consenttest"
	"github.com/passerelle-cloud/passerelle/consent/ledger"
	"github.com/passerelle-cloud/passerelle/formats"
	"github.com/passerelle-cloud/passerelle/internal/dbtest"
	"github.com/passerelle-cloud/passerelle/internal/sqldb"
)

// rows counts what is kept in every table that could name a person.
func rows(t *testing.T, f *consenttest.Fixture) (n int) {
	t.Helper()
	for _, query := range []string{`SELECT count(*) FROM consent_consent WHERE person = 'alice'`, `SELECT count(*) FROM consent_request WHERE person = 'alice'`, `SELECT count(*) FROM consent_seen WHERE person = 'alice'`,
		`SELECT count(*) FROM consent_erasure WHERE person = 'alice'`, `SELECT count(*) FROM consent_revision r WHERE NOT EXISTS (SELECT 1 FROM consent_consent c WHERE c.id = r.consent)`,
		`SELECT count(*) FROM consent_access r WHERE NOT EXISTS (SELECT 1 FROM consent_consent c WHERE c.id = r.consent)`} {
		var one int
		if err := f.DB.Read.QueryRowContext(context.Background(), query).Scan(&one); err != nil {
			t.Fatal(err)
		}
		n += one
	}
	return n
}

// TestArticle17Erase: nothing is kept of who was erased, and all of others; done twice it is done.
func TestArticle17Erase(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		ctx := context.Background()
		erased := ""
		f := consenttest.New(t, db, func(o *consent.Options) {
			o.Erased = func(_ context.Context, person string) error { erased = person; return nil }
		})
		f.Service(t, "reader")
		c := f.Grant(t, "reader", "alice")
		bobs := f.Grant(t, "reader", "bob")
		for _, given := range []consent.Consent{c, bobs} {
			p, err := f.Permit(ctx, consent.Access{Consent: given.ID, Service: "reader", Datasets: []formats.Dataset{formats.Contacts}, Action: consent.Read})
			if err != nil {
				t.Fatal(err)
			}
			if err := p.Done(ctx, consent.Sent{Outcome: consent.Complete}); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := f.Refuse(ctx, f.Decision(t, f.Ask(t, "reader"), "alice"), nil); err != nil {
			t.Fatal(err)
		}
		e, err := f.Erase(ctx, "alice")
		if err != nil {
			t.Fatal(err)
		}
		if e.Ended != 1 || e.Consents != 1 || e.Requests != 2 || e.Accesses != 1 || e.Leaf == nil || !e.Until.IsZero() || erased != "alice" {
			t.Errorf("%+v, %q", e, erased)
		}
		if n := rows(t, f); n != 0 {
			t.Errorf("%d rows are left", n)
		}
		for _, err := range f.Ledger.Events(ctx, "alice") {
			if !errors.Is(err, ledger.ErrUnknown) {
				t.Errorf("the log still tells of her: %v", err)
			}
		}
		if list, err := f.Consents(ctx, "bob"); err != nil || len(list) != 1 || list[0].Accesses != 1 {
			t.Errorf("of bob there is %v, %v", list, err)
		}
		if e, err := f.Erase(ctx, "alice"); err != nil || e.Consents != 0 || e.Leaf != nil {
			t.Errorf("again: %+v, %v", e, err)
		}
	})
}

// TestArticle17EraseLater: what proves a consent is kept until no claim can be made, and deleted then without being asked.
func TestArticle17EraseLater(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		ctx := context.Background()
		const proofs = 2 * time.Second
		f := consenttest.New(t, db, func(o *consent.Options) { o.Proofs = proofs })
		f.Service(t, "reader")
		f.Grant(t, "reader", "alice")
		e, err := f.Erase(ctx, "alice")
		if err != nil || e.Until.IsZero() || e.Until.After(time.Now().Add(proofs)) || e.Ended != 1 || e.Consents != 0 {
			t.Fatalf("%+v %v", e, err)
		}
		if err := consent.Reserved(ctx, f.DB, "alice"); !errors.Is(err, consent.ErrTaken) {
			t.Errorf("somebody else can have her name: %v", err)
		}
		if err := consent.Reserved(ctx, f.DB, "bob"); err != nil {
			t.Error(err)
		}
		if err := f.Keep(ctx); err != nil {
			t.Fatal(err)
		}
		if n := rows(t, f); n == 0 {
			t.Error("it is deleted too early")
		}
		if err := f.Ledger.Forget(ctx, "alice"); !errors.Is(err, ledger.ErrRetained) {
			t.Errorf("she is forgotten too early: %v", err)
		}
		for end := time.Now().Add(10 * time.Second); rows(t, f) > 0 && time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
			if err := f.Keep(ctx); err != nil {
				t.Fatal(err)
			}
		}
		if n := rows(t, f); n != 0 {
			t.Errorf("%d rows are left when nothing need be kept any more", n)
		}
		if err := consent.Reserved(ctx, f.DB, "alice"); err != nil {
			t.Errorf("her name stays taken: %v", err)
		}
		if err := f.Ledger.Forget(ctx, "alice"); !errors.Is(err, ledger.ErrUnknown) {
			t.Errorf("the log still knows her: %v", err)
		}
	})
}

// TestReserved: whoever is gone keeps their name as long as something of theirs is kept.
func TestReserved(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		f := consenttest.New(t, db)
		f.Service(t, "reader")
		f.Grant(t, "reader", "alice")
		if _, err := f.EndAll(t.Context(), "alice", "she is gone"); err != nil {
			t.Fatal(err)
		}
		if err := consent.Reserved(t.Context(), f.DB, "alice"); !errors.Is(err, consent.ErrTaken) {
			t.Errorf("somebody else would see what she decided: %v", err)
		}
		if _, err := f.Refuse(t.Context(), f.Decision(t, f.Ask(t, "reader"), "carol"), nil); err != nil {
			t.Fatal(err)
		}
		if err := consent.Reserved(t.Context(), f.DB, "carol"); !errors.Is(err, consent.ErrTaken) {
			t.Errorf("somebody else would see what she refused: %v", err)
		}
		if _, err := f.Erase(t.Context(), "alice"); err != nil {
			t.Fatal(err)
		}
		if err := consent.Reserved(t.Context(), f.DB, "alice"); err != nil {
			t.Errorf("erased: %v", err)
		}
	})
}
