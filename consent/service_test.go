package consent_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/passerelle-cloud/passerelle/consent"
	"github.com/passerelle-cloud/passerelle/consent/consenttest"
	"github.com/passerelle-cloud/passerelle/formats"
	"github.com/passerelle-cloud/passerelle/internal/dbtest"
	"github.com/passerelle-cloud/passerelle/internal/sqldb"
)

// TestIncompleteService names everything that is missing.
func TestIncompleteService(t *testing.T) {
	_, err := consent.ParseService([]byte(`{}`), true)
	if !errors.Is(err, consent.ErrRequest) {
		t.Fatal(err)
	}
	for _, name := range []string{"client_id", "client_name", "legal_name", "registrations", "country", "address", "contact", "purposes", "privacy_notices", "redirect_uris", "token_endpoint_auth_method", "jwks"} {
		if !strings.Contains(err.Error(), name) {
			t.Errorf("%s is not named: %v", name, err)
		}
	}
	if _, err := consent.ParseService([]byte(`{"client_id":"x","unknown":1}`), true); err == nil || !strings.Contains(err.Error(), "unknown") {
		t.Error(err)
	}
}

func TestServices(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		f := consenttest.New(t, db)
		f.Service(t, "bank", func(s *consent.Service) { s.Name = "Banque Populaire" })
		bank, err := f.Authority.Service(t.Context(), "bank")
		if err != nil {
			t.Fatal(err)
		}
		for name, ok := range map[string]bool{
			"Banque Populaire": false, "banque  populaire": false, "Bаnque Populаire": false, // Cyrillic а
			"Вапԛие": true, // all Cyrillic, and like nothing else here
			"Bаnk":   false, "Banque-Populaire": false, "Bànque Pöpulaire": false, "Banque Popu1aire": false, "Banque\u202ePopulaire": false,
			"Banque Centrale": true,
		} {
			other := *bank
			other.ID, other.Name = "other", name
			if err := f.AddService(t.Context(), other); (err == nil) != ok {
				t.Errorf("%q: %v", name, err)
			}
		}
		if err := f.AddService(t.Context(), *bank); err != nil {
			t.Error("its own registration again:", err)
		}
		if err := f.Suspend(t.Context(), "nobody", "x"); !errors.Is(err, consent.ErrNotFound) {
			t.Error(err)
		}
	})
}

// TestArticle12gSuspensionStopsAtOnce suspends a service at one replica while another one serves it.
func TestArticle12gSuspensionStopsAtOnce(t *testing.T) {
	where := dbtest.PostgresURL(t)
	var replicas []*consenttest.Fixture
	for i := range 2 {
		db, err := sqldb.Open(t.Context(), where)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { db.Close() })
		if i == 0 {
			replicas = append(replicas, consenttest.New(t, db))
		} else {
			replicas = append(replicas, replicas[0].Replica(t, db))
		}
	}
	replicas[0].Service(t, "invites")
	c := replicas[0].Grant(t, "invites", "alice")
	access := consent.Access{Consent: c.ID, Service: "invites", Datasets: []formats.Dataset{formats.Contacts}, Action: consent.Read}
	p, err := replicas[1].Permit(t.Context(), access)
	if err != nil {
		t.Fatal(err)
	}
	if err := replicas[0].Suspend(t.Context(), "invites", "it sold data"); err != nil {
		t.Fatal(err)
	}
	if err := p.Prolong(t.Context()); !errors.Is(err, consent.ErrDenied) {
		t.Error(err)
	}
	if _, err := replicas[1].Permit(t.Context(), access); !errors.Is(err, consent.ErrSuspended) {
		t.Error(err)
	}
	if err := replicas[1].Suspend(t.Context(), "invites", ""); err != nil {
		t.Fatal(err)
	}
	if _, err := replicas[0].Permit(t.Context(), access); err != nil {
		t.Error(err)
	}
}
