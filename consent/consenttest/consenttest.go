// Package consenttest gives tests an authority with a log of its own, a service, and what it asks. Only tests import
// it.
package consenttest

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/passerelle-cloud/passerelle/consent"
	"github.com/passerelle-cloud/passerelle/consent/ledger"
	"github.com/passerelle-cloud/passerelle/internal/sqldb"
)

// Fixture is one replica of an operator's gateway.
type Fixture struct {
	*consent.Authority
	DB      *sqldb.DB
	Ledger  *ledger.Ledger
	Key     ed25519.PrivateKey // of the log
	secrets *secrets
	options consent.Options
}

// New opens a log and an authority over it.
func New(t testing.TB, db *sqldb.DB, change ...func(*consent.Options)) *Fixture {
	t.Helper()
	f := &Fixture{DB: db, secrets: &secrets{kept: map[string][]byte{}}}
	_, f.Key, _ = ed25519.GenerateKey(nil)
	f.options = consent.Options{Operator: consent.OperatorFacts{ID: "operator.example", Country: "FR", Roles: []string{"intermediary"}}, Lease: 600 * time.Millisecond}
	for _, c := range change {
		c(&f.options)
	}
	f.open(t, filepath.Join(t.TempDir(), "log.highwater"))
	return f
}

// Replica is another gateway on the same PostgreSQL database, through a connection of its own.
func (f *Fixture) Replica(t testing.TB, db *sqldb.DB) *Fixture {
	t.Helper()
	other := *f
	other.DB = db
	other.open(t, "")
	return &other
}

func (f *Fixture) open(t testing.TB, highWater string) {
	t.Helper()
	var err error
	f.Ledger, err = ledger.Open(context.Background(), f.DB, ledger.Options{
		Origin: "operator.example/log", Secrets: f.secrets, HighWater: highWater, Poll: 5 * time.Millisecond,
		Signer: func(context.Context) (crypto.Signer, error) { return f.Key, nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Ledger.Close() })
	if f.Authority, err = consent.New(context.Background(), f.DB, f.Ledger, f.options); err != nil {
		t.Fatal(err)
	}
}

// Service registers a service, and returns the key that it proves itself with (ES256).
func (f *Fixture) Service(t testing.TB, id string, change ...func(*consent.Service)) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	jwks, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: key.Public(), KeyID: "k1", Algorithm: "ES256", Use: "sig"}}})
	if err != nil {
		t.Fatal(err)
	}
	s := consent.Service{
		ID: id, Name: "Service " + id, LegalName: "Service " + id + " SAS", Registrations: []consent.Registration{{Scheme: "SIREN", Value: "732829320"}},
		Country: "FR", Address: "1 rue des Exemples, 35000 Rennes", Contact: "privacy@" + id + ".example", Purposes: []string{Purpose},
		Notices:      map[string]string{"en": "https://" + id + ".example/privacy", "fr": "https://" + id + ".example/vie-privee"},
		RedirectURIs: []string{"https://" + id + ".example/callback"}, Auth: consent.PrivateKeyJWT, JWKS: jwks,
	}
	for _, c := range change {
		c(&s)
	}
	if err := f.AddService(context.Background(), s); err != nil {
		t.Fatal(err)
	}
	return key
}

// Purpose is that of what [Details] asks for.
const Purpose = "https://w3id.org/dpv#ServiceProvision"

// Details is a complete authorization_details that asks for contacts, and for a calendar that it can do without.
func Details(expires time.Time) json.RawMessage {
	return json.RawMessage(`[{"type":"personal_data","datasets":["contacts","calendar"],"optional":["calendar"],"actions":["read","subscribe"],
		"purpose":{"iri":"` + Purpose + `","text":{"en":"To send your invitations to the people whom you know","fr":"Envoyer vos invitations aux personnes que vous connaissez"}},
		"retention":"P30D","frequency":"P1D","expires":"` + expires.UTC().Format(time.RFC3339) + `","no_recipients":true,"third_country":"none"}]`)
}

// Ask makes a service ask for [Details], for a year.
func (f *Fixture) Ask(t testing.TB, service string) consent.Request {
	t.Helper()
	return f.AskFor(t, consent.Asking{Service: service, Details: Details(time.Now().AddDate(1, 0, 0))})
}

// AskFor makes a service ask.
func (f *Fixture) AskFor(t testing.TB, asking consent.Asking) consent.Request {
	t.Helper()
	if asking.Expires.IsZero() {
		asking.Expires = time.Now().Add(time.Hour)
	}
	r, err := f.Authority.Ask(context.Background(), asking, nil)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// Decision shows a person a request, and says yes to all of it.
func (f *Fixture) Decision(t testing.TB, r consent.Request, person string) consent.Decision {
	t.Helper()
	hash, err := f.Show(context.Background(), consent.Notice{Request: r.ID, Language: "en", Version: "test", Content: []byte("the notice for " + person)})
	if err != nil {
		t.Fatal(err)
	}
	return consent.Decision{Request: r.ID, Person: person, Details: append([]consent.Detail{}, r.Details...), Notice: hash,
		Session: consent.SessionFacts{Method: "password", Authenticated: time.Now()}}
}

// Grant makes a service ask for [Details] and a person say yes.
func (f *Fixture) Grant(t testing.TB, service, person string) consent.Consent {
	t.Helper()
	c, err := f.Authority.Grant(context.Background(), f.Decision(t, f.Ask(t, service), person), nil)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// secrets keeps persons' keys in memory.
type secrets struct {
	mu   sync.Mutex
	kept map[string][]byte
}

func (s *secrets) Secret(_ context.Context, name string) ([]byte, bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	secret, ok := s.kept[name]
	return secret, ok, nil
}

func (s *secrets) MakeSecret(_ context.Context, name string) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.kept[name] == nil {
		s.kept[name] = make([]byte, 32)
		rand.Read(s.kept[name])
	}
	return s.kept[name], nil
}

func (s *secrets) DestroySecret(_ context.Context, name string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.kept, name)
	return nil
}
