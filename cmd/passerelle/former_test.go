package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/passerelle-cloud/passerelle/consent"
	"github.com/passerelle-cloud/passerelle/consent/consenttest"
	"github.com/passerelle-cloud/passerelle/internal/sqldb"
	"github.com/passerelle-cloud/passerelle/transfer"
)

// allowed has alice allow a service, which wants to be told of changes, to read.
func allowed(t *testing.T, data string, proofs time.Duration) {
	t.Helper()
	mustCall(t, "--data", data, "person", "add", "alice")
	g := &gateway{dir: data, proofs: proofs}
	s, err := g.openAuthority(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	f := consenttest.Fixture{Authority: s.authority}
	f.Service(t, "reader", func(s *consent.Service) { s.Events = "https://reader.example/events" })
	f.Grant(t, "reader", "alice")
	if err := s.ledger.Close(); err != nil {
		t.Fatal(err)
	}
	if err := g.Close(); err != nil {
		t.Fatal(err)
	}
}

// count counts rows of the gateway's database.
func count(t *testing.T, data, query string) (n int) {
	t.Helper()
	db, err := sqldb.Open(t.Context(), filepath.Join(data, "passerelle.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := db.Read.QueryRowContext(context.Background(), query).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// TestNameOfWhoIsGone: services learn that a person is gone though no gateway runs, and nobody else has what they decided.
func TestNameOfWhoIsGone(t *testing.T) {
	data := t.TempDir()
	allowed(t, data, 0)
	mustCall(t, "--data", data, "person", "remove", "--yes", "alice")
	if n := count(t, data, `SELECT count(*) FROM events_event WHERE person = 'alice' AND service = 'reader' AND state = 'ConsentRevoked'`); n != 1 {
		t.Errorf("%d services will be told", n)
	}
	if said, code := call(t, "--data", data, "person", "add", "alice"); code != exitFailed {
		t.Errorf("somebody else has the name: %d: %s", code, said)
	}
	mustCall(t, "--data", data, "person", "add", "--same-person", "alice")
}

// TestProofsAreKeptForATime: with --keep-proofs a person is erased but for the proofs, and these go by themselves.
func TestProofsAreKeptForATime(t *testing.T) {
	t.Parallel()
	const kept = 6 * time.Second
	data := t.TempDir()
	allowed(t, data, kept)
	out := filepath.Join(t.TempDir(), "certificate.jws")
	mustCall(t, "--data", data, "--keep-proofs", kept.String(), "person", "erase", "alice", "--out", out, "--yes")
	text, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	payload, err := base64.RawURLEncoding.DecodeString(strings.Split(string(text), ".")[1])
	if err != nil {
		t.Fatal(err)
	}
	var c transfer.Certificate
	if err := json.Unmarshal(payload, &c); err != nil {
		t.Fatal(err)
	}
	var until time.Time
	for _, r := range c.Retained {
		if r.Until.After(until) {
			until = r.Until
		}
	}
	if until.Before(c.Erased) || until.After(c.Erased.Add(kept+time.Second)) {
		t.Fatalf("kept until %s: %s", until, payload)
	}
	const proofs = `SELECT count(*) FROM consent_consent WHERE person = 'alice'`
	if n := count(t, data, proofs); n != 1 {
		t.Errorf("%d consents can be proven", n)
	}
	if said, code := call(t, "--data", data, "person", "add", "alice"); code != exitFailed {
		t.Errorf("somebody else has the name: %d: %s", code, said)
	}
	time.Sleep(time.Until(until) + time.Second)
	runGateway(t, data)
	for deadline := time.Now().Add(20 * time.Second); count(t, data, proofs) > 0; time.Sleep(100 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the proofs are still kept")
		}
	}
	mustCall(t, "--data", data, "person", "add", "alice")
}
