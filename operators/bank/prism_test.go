package bank_test

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/passerelle-cloud/passerelle/formats"
	"github.com/passerelle-cloud/passerelle/operators/bank"
)

// TestPrism has Prism, a program of others, answer by the official description and look at what the client asks. It keeps no
// state, and its answers are the description's examples, of which some are no answers: what is held here is that no request
// of ours violates the description.
func TestPrism(t *testing.T) {
	said := &spoken{}
	address := prism(t, said)
	p := bank.Profile{ID: "prism", Name: "Prism", Country: "FR", Zone: "Europe/Paris", Sandbox: true, Standard: "xs2a-1.3", API: address,
		SCA: bank.SCA{Approach: bank.Redirect, ClientID: "PSDFR-ACPR-12345"}, Limits: bank.Limits{PerMinute: 6000, PageSize: 100}}
	client, err := bank.New(bank.Config{Profile: p})
	if err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	presence := &bank.Presence{Address: "192.0.2.7", UserAgent: "Test/1", Language: "fr"}
	visit := bank.Visit{Presence: presence, Return: "https://gateway.example/banks/back", State: strings.Repeat("s", 32)}
	consent := "1234-wertiq-983"
	asked := 0
	ask := func(what string, err error) {
		asked++
		if err != nil {
			t.Logf("%s: %v", what, err) // what Prism answers is not judged
		}
	}
	_, err = client.Begin(ctx, everything, visit)
	ask("a consent", err)
	for _, a := range []bank.Access{{Consent: consent}, {Consent: consent, Presence: presence}} {
		_, err = client.Consent(ctx, a)
		ask("the consent", err)
		_, err = client.ConsentStatus(ctx, a)
		ask("its status", err)
		_, err = client.Authorisations(ctx, a)
		ask("its authorisations", err)
		_, _, err = client.SCAStatus(ctx, a, "auth-1")
		ask("how the authorisation stands", err)
		r, err := client.Reader(a, open)
		if err != nil {
			t.Fatal(err)
		}
		_, _, err = r.Accounts(ctx, true)
		ask("the accounts", err)
		account := bank.Account{Resource: "3dc3d5b3-7023-4848-9853-f5400a64e80f", Record: formats.Record{ID: "bank-x", Dataset: formats.Bank, Kind: formats.KindAccount, Body: []byte(`{"currency":"EUR"}`)}}
		_, err = r.Balances(ctx, &account)
		ask("the balances", err)
		_, err = r.Operations(ctx, account, bank.Period{From: time.Now().AddDate(0, 0, -30).Format(time.DateOnly)})
		ask("the operations", err)
		ask("that it ends", client.DeleteConsent(ctx, a))
	}
	time.Sleep(200 * time.Millisecond) // what it thinks of the last one
	text := said.String()
	for line := range strings.Lines(text) {
		if strings.Contains(line, "Violation: request") {
			t.Errorf("%s", strings.TrimSpace(line))
		}
	}
	if n := strings.Count(text, "Request received"); n < asked {
		t.Errorf("of %d requests it saw %d:\n%.2000s", asked, n, text)
	}
}

// spoken is what a program says.
type spoken struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (s *spoken) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(p)
}

func (s *spoken) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

// prism starts Prism over the official description, and returns where it is.
func prism(t *testing.T, said *spoken) string {
	t.Helper()
	node, samples := os.Getenv("PASSERELLE_TEST_NODE"), os.Getenv("PASSERELLE_SAMPLES")
	if node == "" || samples == "" {
		t.Skip("PASSERELLE_TEST_NODE and PASSERELLE_SAMPLES are not both set: no other program looks at what the client asks a bank")
	}
	files, err := filepath.Glob(filepath.Join(samples, "psd2", "psd2-api_v1.3*.yaml"))
	if err != nil || len(files) == 0 {
		t.Skipf("there is no psd2/psd2-api_v1.3*.yaml in PASSERELLE_SAMPLES, %s", samples)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	l.Close()
	cmd := exec.Command("node", filepath.Join(node, "node_modules", ".bin", "prism"), "mock", "-h", "127.0.0.1", "-p", fmt.Sprint(port), files[0])
	cmd.Stdout, cmd.Stderr = said, said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	address := fmt.Sprintf("http://127.0.0.1:%d", port)
	for end := time.Now().Add(time.Minute); ; time.Sleep(100 * time.Millisecond) {
		if r, err := http.Get(address); err == nil {
			r.Body.Close()
			said.mu.Lock()
			said.text.Reset()
			said.mu.Unlock()
			return address
		}
		if time.Now().After(end) {
			t.Fatalf("Prism does not answer:\n%s", said)
		}
	}
}

// open lets everything through.
func open(context.Context, bank.Reading) (bank.Pass, error) {
	return bank.Pass{
		Admit: func(r formats.Record) (formats.Record, bool) { return r, true },
		Done:  func(context.Context, int64, error) error { return nil },
	}, nil
}
