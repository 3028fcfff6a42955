package bank_test

import (
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/passerelle-cloud/passerelle/compliance/gdpr"
	"github.com/passerelle-cloud/passerelle/compliance/psd2"
	"github.com/passerelle-cloud/passerelle/consent"
	"github.com/passerelle-cloud/passerelle/consent/ledger"
	"github.com/passerelle-cloud/passerelle/internal/dbtest"
	"github.com/passerelle-cloud/passerelle/internal/seal"
	"github.com/passerelle-cloud/passerelle/internal/sqldb"
	atbank "github.com/passerelle-cloud/passerelle/operators/bank"
	"github.com/passerelle-cloud/passerelle/operators/bank/banktest"
	"github.com/passerelle-cloud/passerelle/operators/home"
	"github.com/passerelle-cloud/passerelle/transfer/bank"
)

// What a gateway is told that is to be killed: folder and bank.
const (
	killFolder = "PASSERELLE_TEST_KILL_FOLDER"
	killBank   = "PASSERELLE_TEST_KILL_BANK"
)

// sameSecrets are secrets that another process has too.
type sameSecrets struct{}

func (sameSecrets) Secret(_ context.Context, name string) ([]byte, bool, error) {
	sum := sha256.Sum256([]byte(name))
	return sum[:], true, nil
}

func (s sameSecrets) MakeSecret(ctx context.Context, name string) ([]byte, error) {
	secret, _, err := s.Secret(ctx, name)
	return secret, err
}

func (sameSecrets) DestroySecret(context.Context, string) error { return nil }

// gateway opens a gateway in a folder, as a process does.
func gateway(t *testing.T, folder, at string) *rig {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	db, err := sqldb.Open(t.Context(), filepath.Join(folder, "gateway.db"))
	must(err)
	t.Cleanup(func() { db.Close() })
	key := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
	log, err := ledger.Open(t.Context(), db, ledger.Options{Origin: "operator.example/log", Secrets: sameSecrets{}, HighWater: filepath.Join(folder, "highwater"),
		Poll: 5 * time.Millisecond, Signer: func(context.Context) (crypto.Signer, error) { return key, nil }})
	must(err)
	t.Cleanup(func() { log.Close() })
	authority, err := consent.New(t.Context(), db, log, consent.Options{Operator: consent.OperatorFacts{ID: "operator.example", Country: "FR", Roles: []string{psd2.RoleAISP}},
		Packs: []consent.Pack{gdpr.Pack(), psd2.Pack()}})
	must(err)
	r := &rig{t: t, db: db}
	r.homes, err = home.Open(t.Context(), db, folder)
	must(err)
	if r.alice, err = r.homes.Instance(t.Context(), "alice"); err != nil {
		r.alice, err = r.homes.Create(t.Context(), "alice", home.Options{})
	}
	must(err)
	client, err := atbank.New(atbank.Config{Profile: atbank.Profile{ID: "sandbox", Name: "Banque Ruisseau", Country: "FR", Zone: "Europe/Paris", Sandbox: true, Standard: "xs2a-1.3", API: at,
		SCA: atbank.SCA{Approach: atbank.Decoupled}, Limits: atbank.Limits{PerMinute: 6000}}})
	must(err)
	box, err := seal.New(make([]byte, 32), "bank connections")
	must(err)
	r.banks, err = bank.Open(t.Context(), bank.Options{DB: db, Authority: authority, Banks: []*atbank.Client{client}, Box: box, Return: "https://gateway.example/banks/back", Home: bank.Home{Change: r.change, Drop: r.drop}})
	must(err)
	return r
}

// TestGatewayToBeKilled is the process that is killed: it connects if it is not connected yet, and reads.
func TestGatewayToBeKilled(t *testing.T) {
	folder, at := os.Getenv(killFolder), os.Getenv(killBank)
	if folder == "" {
		return // it is run by TestKilled
	}
	r := gateway(t, folder, at)
	list, err := r.banks.Of(t.Context(), "alice")
	if err != nil {
		t.Fatal(err)
	}
	if len(list) == 0 {
		c, err := r.banks.Look(t.Context(), "alice", r.ask().Connection, r.presence().Presence)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, *c)
	}
	c := list[0]
	if c.State == bank.Waiting {
		got, err := r.banks.Look(t.Context(), "alice", c.ID, r.presence().Presence)
		if err != nil {
			t.Fatal(err)
		}
		c = *got
	}
	if _, err := r.db.Write.Exec(`UPDATE bank_connection SET leased = 0`); err != nil { // as Wake does
		t.Fatal(err)
	}
	got, err := r.banks.Refresh(t.Context(), "alice", c.ID, r.presence(), func(p bank.Progress) {
		os.WriteFile(filepath.Join(folder, "progress"), fmt.Appendf(nil, "%d %d", p.Done, p.Operations), 0o600)
	})
	if err != nil || got.Trouble != bank.None {
		t.Fatal(got, err)
	}
}

// TestKilled kills a gateway that reads at a bank, at another moment each time; the next one finds everything, once.
func TestKilled(t *testing.T) {
	bankHere := newRig(t, dbtest.SQLite(t), banktest.Config{Approach: banktest.Decoupled, DecoupledAfter: time.Nanosecond, PageSize: 50})
	if err := bankHere.bank.Break(banktest.Fault{Kind: banktest.Slow, Seconds: 0.02, Path: "/transactions"}); err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	kills := 0
	for after := 40 * time.Millisecond; ; after += 130 * time.Millisecond {
		process := exec.Command(os.Args[0], "-test.run=^TestGatewayToBeKilled$", "-test.v")
		process.Env = append(os.Environ(), killFolder+"="+folder, killBank+"="+bankHere.server.URL)
		var said strings.Builder
		process.Stdout, process.Stderr = &said, &said
		os.Remove(filepath.Join(folder, "progress"))
		if err := process.Start(); err != nil {
			t.Fatal(err)
		}
		done := make(chan error, 1)
		go func() { done <- process.Wait() }()
		for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
			if _, err := os.Stat(filepath.Join(folder, "progress")); err == nil || len(done) > 0 {
				break
			}
		}
		select {
		case err := <-done:
			if err != nil {
				t.Fatalf("after %d kills: %v\n%s", kills, err, said.String())
			}
		case <-time.After(after):
			kills++
			if err := process.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
				t.Fatal(err)
			}
			<-done
			continue
		}
		break
	}
	r := gateway(t, folder, bankHere.server.URL)
	if a, n := r.records(); a != 2 || n != bankHere.real(banktest.Anne) || kills < 2 {
		t.Errorf("after %d kills there are %d accounts and %d operations, not %d", kills, a, n, bankHere.real(banktest.Anne))
	}
	t.Logf("killed %d times", kills)
}
