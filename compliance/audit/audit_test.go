package audit_test

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/passerelle-cloud/passerelle/compliance/audit"
	"github.com/passerelle-cloud/passerelle/compliance/audittest"
	"github.com/passerelle-cloud/passerelle/compliance/psd2"
	"github.com/passerelle-cloud/passerelle/consent"
	"github.com/passerelle-cloud/passerelle/consent/consenttest"
	"github.com/passerelle-cloud/passerelle/consent/events"
	"github.com/passerelle-cloud/passerelle/consent/ledger"
	"github.com/passerelle-cloud/passerelle/formats"
	"github.com/passerelle-cloud/passerelle/internal/dbtest"
	"github.com/passerelle-cloud/passerelle/internal/sqldb"
)

var ctx = context.Background()

// gateway is one that two services are registered at.
type gateway struct{ *audittest.Gateway }

func newGateway(t testing.TB, db *sqldb.DB, change ...func(*consent.Options)) *gateway {
	t.Helper()
	g := &gateway{audittest.New(t, db, change...)}
	g.Service(t, "reader")
	g.Service(t, "other")
	g.Told = func(_ context.Context, id string) ([]events.Event, error) {
		return []events.Event{{ID: "e1", Consent: id, Revision: 1, State: consent.Withdrawn, Made: time.Now().UTC(), Tried: 3, Answer: "503"}}, nil
	}
	return g
}

// read has a service read, and returns the id of the access.
func (g *gateway) read(t testing.TB, c consent.Consent, token string) string {
	t.Helper()
	p, err := g.Permit(ctx, consent.Access{Consent: c.ID, Service: c.Service, Datasets: []formats.Dataset{formats.Contacts}, Action: consent.Read, Token: token})
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Done(ctx, consent.Sent{Records: 3, Bytes: 120, SHA256: formats.HashOf([]byte(token)), Outcome: consent.Complete}); err != nil {
		t.Fatal(err)
	}
	return p.ID()
}

func (g *gateway) withdraw(t testing.TB, c consent.Consent) {
	t.Helper()
	if _, err := g.Withdraw(ctx, consent.Ending{Consent: c.ID, Person: c.Person, State: consent.Withdrawn, Session: consent.SessionFacts{Method: "password"}}); err != nil {
		t.Fatal(err)
	}
}

func (g *gateway) bundle(t testing.TB, service, consentID string) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := g.Make(ctx, audit.Asked{Person: "alice", Subject: "p-1", Service: service, Consent: consentID, To: "auditor CNIL"}, &b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func open(data []byte, trusted audit.Trusted) (*audit.Proven, error) {
	return audit.Open(bytes.NewReader(data), int64(len(data)), trusted)
}

// TestEvidence follows a consent through its life, and finds all of it in a bundle, offline.
func TestEvidence(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		g := newGateway(t, db)
		before := time.Now()
		g.Grant(t, "other", "alice")
		c := g.Grant(t, "reader", "alice")
		g.Grant(t, "reader", "bob")
		access := g.read(t, c, "aa11")
		session := consent.SessionFacts{Method: "passkey", Authenticated: time.Now()}
		given := time.Now()
		if _, err := g.Pause(ctx, consent.Pausing{Consent: c.ID, Person: "alice", Session: session}); err != nil {
			t.Fatal(err)
		}
		paused := time.Now()
		if _, err := g.Resume(ctx, consent.Pausing{Consent: c.ID, Person: "alice", Session: session}); err != nil {
			t.Fatal(err)
		}
		resumed := time.Now()
		g.withdraw(t, c)
		ended := time.Now()

		p, err := open(g.bundle(t, "reader", c.ID), g.Trust)
		if err != nil {
			t.Fatal(err)
		}
		var what []string
		for _, s := range p.Steps {
			what = append(what, s.What)
		}
		if want := []string{"consent.granted", "consent.paused", "consent.resumed", "consent.withdrawn"}; !slices.Equal(what, want) {
			t.Errorf("it shows %v", what)
		}
		if len(p.Accesses) != 1 || p.Accesses[0].ID != access || p.Accesses[0].Token != "aa11" || !p.Accesses[0].Finished || len(p.Uncovered()) != 0 {
			t.Errorf("accesses: %+v", p.Accesses)
		}
		if !p.Known || len(p.Silent()) != 1 || p.Evidence.Service.LegalName != "Service reader SAS" {
			t.Errorf("%+v", p)
		}
		if text, _ := json.Marshal(p); bytes.Contains(text, []byte("alice")) {
			t.Errorf("it names the person: %s", text)
		}
		for name, k := range map[string]struct {
			at            time.Time
			dataset       formats.Dataset
			purpose       string
			given, paused bool
			says          string
		}{
			"before":          {before, formats.Contacts, "", false, false, "was logged"},
			"given":           {given, formats.Contacts, consenttest.Purpose, true, false, "Yes: at"},
			"another dataset": {given, formats.Bank, "", false, false, "no consent to reader for the dataset bank was logged"},
			"another purpose": {given, "", "https://w3id.org/dpv#Marketing", false, false, "Marketing was logged"},
			"paused":          {paused, formats.Calendar, "", true, true, "but paused"},
			"resumed":         {resumed, "", "", true, false, "Yes: at"},
			"withdrawn":       {ended, formats.Contacts, "", false, false, "any more: ConsentWithdrawn"},
		} {
			a, err := p.Answer(audit.Question{At: k.at, Dataset: k.dataset, Purpose: k.purpose})
			if err != nil || a.Given != k.given || a.Paused != k.paused || !strings.Contains(a.Text, k.says) {
				t.Errorf("%s: %+v, %v", name, a, err)
			}
		}
		if _, err := p.Answer(audit.Question{At: time.Now().Add(time.Hour)}); !errors.Is(err, audit.ErrInvalid) {
			t.Errorf("of the future: %v", err)
		}
	})
}

// TestEvidenceBesideRetrievals: what the operator read at banks for a person is no service's, and is not opened to whoever asks
// about one.
func TestEvidenceBesideRetrievals(t *testing.T) {
	g := newGateway(t, dbtest.SQLite(t), func(o *consent.Options) {
		o.Operator.Roles, o.Packs = append(o.Operator.Roles, psd2.RoleAISP), append(o.Packs, psd2.Pack())
	})
	c := g.Grant(t, "reader", "alice")
	now := time.Now()
	l, err := g.Retrieve(ctx, consent.Retrieval{Person: "alice", Bank: "bank-of-nowhere", Asked: []consent.Information{consent.AccountList}, Authenticated: now,
		Authorisation: &consent.AuthorisationFacts{ID: "c1", Given: now, Until: now.AddDate(0, 1, 0), Information: []consent.Information{consent.AccountList}}})
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Done(ctx, 1, consent.Complete); err != nil {
		t.Fatal(err)
	}
	g.read(t, c, "a")
	data := g.bundle(t, "reader", c.ID)
	p, err := open(data, g.Trust)
	if err != nil || len(p.Accesses) != 1 {
		t.Fatalf("%+v, %v", p, err)
	}
	for name, content := range unzip(t, data) {
		if bytes.Contains(content, []byte("bank-of-nowhere")) {
			t.Errorf("%s names the bank", name)
		}
	}
}

// TestEvidenceNoneLogged proves that there was nothing.
func TestEvidenceNoneLogged(t *testing.T) {
	g := newGateway(t, dbtest.SQLite(t))
	g.Grant(t, "other", "alice")
	p, err := open(g.bundle(t, "reader", ""), g.Trust)
	if err != nil {
		t.Fatal(err)
	}
	a, err := p.Answer(audit.Question{At: p.Shown.Until, Dataset: formats.Contacts})
	if err != nil || a.Given || a.Step != nil || !strings.Contains(a.Text, "has 1 leaves before") {
		t.Errorf("%+v %v", a, err)
	}
	if err := g.Make(ctx, audit.Asked{Person: "nobody", Service: "reader", To: "x"}, io.Discard); !errors.Is(err, ledger.ErrUnknown) {
		t.Errorf("of nobody: %v", err)
	}
	if err := g.Make(ctx, audit.Asked{Person: "alice", Service: "nothing", To: "x"}, io.Discard); !errors.Is(err, consent.ErrNotFound) {
		t.Errorf("of no service: %v", err)
	}
}

// TestEvidenceAfterErasure has nothing to show of who was forgotten, and says so.
func TestEvidenceAfterErasure(t *testing.T) {
	g := newGateway(t, dbtest.SQLite(t))
	g.withdraw(t, g.Grant(t, "reader", "alice"))
	if err := g.Fixture.Ledger.Forget(ctx, "alice"); err != nil {
		t.Fatal(err)
	}
	if err := g.Make(ctx, audit.Asked{Person: "alice", Service: "reader", To: "x"}, io.Discard); !errors.Is(err, ledger.ErrUnknown) {
		t.Error(err)
	}
}

// TestEvidenceForged has the operator itself lie, in bundles that it signs: what was logged gives it away.
func TestEvidenceForged(t *testing.T) {
	g := newGateway(t, dbtest.SQLite(t))
	c := g.Grant(t, "reader", "alice")
	access := g.read(t, c, "aa11")
	g.read(t, c, "bb22")
	g.withdraw(t, c)
	good := unzip(t, g.bundle(t, "reader", c.ID))
	if _, err := open(g.signed(t, good), g.Trust); err != nil {
		t.Fatal("signed again:", err)
	}
	replaced := func(name, from, to string) func(map[string][]byte) {
		return func(f map[string][]byte) {
			changed := strings.Replace(string(f[name]), from, to, 1)
			if changed == string(f[name]) {
				t.Fatalf("%s does not hold %s", name, from)
			}
			f[name] = []byte(changed)
		}
	}
	folder := "consents/" + c.ID + "/1/"
	for name, k := range map[string]struct {
		change func(map[string][]byte)
		says   string
	}{
		"details":            {replaced(folder+"details.json", "contacts", "contactz"), "details.json is not what was logged"},
		"facts":              {replaced(folder+"facts.json", "reader", "render"), "facts.json is not what was logged"},
		"notice":             {func(f map[string][]byte) { f[folder+"notice.html"] = []byte("nicer") }, "notice.html is not what was logged"},
		"rules":              {func(f map[string][]byte) { f[packOf(t, f)] = []byte("package nothing") }, "not the text that judged"},
		"an access more":     {replaced("accesses.json", `"records": 3`, `"records": 2`), "otherwise than it was logged"},
		"another token":      {replaced("accesses.json", "aa11", "aa12"), "otherwise than it was logged"},
		"an access less":     {func(f map[string][]byte) { f["accesses.json"] = []byte("[]") }, "left out here"},
		"an invented access": {replaced("accesses.json", access, "00000000-0000-4000-8000-000000000000"), "left out here"},
		"no revision":        {replaced("evidence.json", `"revision": 2`, `"revision": 7`), "left out here"},
		"another service":    {replaced("evidence.json", `"id": "reader"`, `"id": "other"`), "not opened for the service other"},
		"another state":      {replaced("evidence.json", "ConsentWithdrawn", "ConsentExpired"), "and the revision that it is ConsentExpired"},
		"another operator":   {replaced("evidence.json", `"operator": "`, `"operator": "x`), "and was signed by"},
		"an access of long ago that was never logged": {func(f map[string][]byte) {
			f["accesses.json"] = []byte(strings.Replace(string(f["accesses.json"]), "[", `[{"id":"x","consent":"`+c.ID+`","revision":1,"datasets":["contacts"],"action":"read","begun":"2026-01-01T00:00:00Z","records":1,"bytes":1},`, 1))
		}, "was never logged"},
		"a member":          {replaced("evidence.json", `"format"`, `"more": 1, "format"`), "unknown field"},
		"history":           {replaced("history.json", `"value": "consent.withdrawn"`, `"value": "consent.renewed"`), "the leaf says something else"},
		"a shorter history": {shortened, "does not end with its own disclosure"},
		"no statement":      {func(f map[string][]byte) { delete(f, "operator.json") }, "operator statement"},
	} {
		files := maps.Clone(good)
		k.change(files)
		if _, err := open(g.signed(t, files), g.Trust); err == nil || !strings.Contains(err.Error(), k.says) {
			t.Errorf("%s: %v", name, err)
		} else if !errors.Is(err, audit.ErrBundle) && !errors.Is(err, ledger.ErrProof) {
			t.Errorf("%s: the error has no parent: %v", name, err)
		}
	}
}

// TestEvidenceWhileOthersCommit: what was being committed while the evidence was made is not proven, and no fault.
func TestEvidenceWhileOthersCommit(t *testing.T) {
	g := newGateway(t, dbtest.SQLite(t))
	c := g.Grant(t, "reader", "alice")
	files := unzip(t, g.bundle(t, "reader", c.ID))
	files["accesses.json"] = []byte(`[{"id":"x","consent":"` + c.ID + `","revision":1,"datasets":["contacts"],"action":"read","begun":"` + time.Now().Add(-time.Second).UTC().Format(time.RFC3339Nano) + `","records":1,"bytes":1}]`)
	p, err := open(g.signed(t, files), g.Trust)
	if err != nil || len(p.Accesses) != 0 {
		t.Errorf("%+v, %v", p, err)
	}
}

// shortened leaves the last decision out of a history.
func shortened(f map[string][]byte) {
	var h map[string]any
	if err := json.Unmarshal(f["history.json"], &h); err != nil {
		panic(err)
	}
	list := h["events"].([]any)
	h["events"] = list[:len(list)-1]
	f["history.json"], _ = json.Marshal(h)
}

func packOf(t *testing.T, files map[string][]byte) string {
	t.Helper()
	for name := range files {
		if strings.HasPrefix(name, "packs/gdpr") {
			return name
		}
	}
	t.Fatal("no pack")
	return ""
}

// TestEvidenceTampered has somebody else change a bundle.
func TestEvidenceTampered(t *testing.T) {
	g, stranger := newGateway(t, dbtest.SQLite(t)), newGateway(t, dbtest.SQLite(t))
	c := g.Grant(t, "reader", "alice")
	g.withdraw(t, c)
	data := g.bundle(t, "reader", c.ID)
	good := unzip(t, data)
	for name := range good {
		files := maps.Clone(good)
		files[name] = append([]byte{' '}, good[name]...)
		if _, err := open(zipped(t, files), g.Trust); err == nil {
			t.Errorf("%s was changed, and nobody noticed", name)
		}
		delete(files, name)
		if _, err := open(zipped(t, files), g.Trust); err == nil {
			t.Errorf("%s is missing, and nobody noticed", name)
		}
	}
	files := maps.Clone(good)
	files["more.txt"] = []byte("more")
	if _, err := open(zipped(t, files), g.Trust); err == nil || !strings.Contains(err.Error(), "was added") {
		t.Errorf("one more: %v", err)
	}
	if _, err := open(stranger.signed(t, good), g.Trust); err == nil || !strings.Contains(err.Error(), "does not list it") {
		t.Errorf("signed by a stranger: %v", err)
	}
	if _, err := open(data, stranger.Trust); !errors.Is(err, audit.ErrBundle) && !errors.Is(err, ledger.ErrUntrusted) {
		t.Errorf("of another operator: %v", err)
	}
	other := g.Trust
	other.Operator = nil
	if p, err := open(data, other); err != nil || p.Known {
		t.Errorf("of an operator whom nobody knows: %v", err)
	}
	for n := range 40 {
		if _, err := open(data[:len(data)*n/40], g.Trust); !errors.Is(err, audit.ErrBundle) {
			t.Fatalf("truncated: %v", err)
		}
	}
}

// TestEvidenceWithPublicTools checks what anybody can check who has neither Go nor this program.
func TestEvidenceWithPublicTools(t *testing.T) {
	for _, tool := range []string{"unzip", "sha256sum", "openssl"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("%s is not installed", tool)
		}
	}
	g := newGateway(t, dbtest.SQLite(t))
	c := g.Grant(t, "reader", "alice")
	dir := t.TempDir()
	file := filepath.Join(dir, "evidence.zip")
	if err := os.WriteFile(file, g.bundle(t, "reader", c.ID), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, command := range []string{
		"unzip -q evidence.zip",
		"sha256sum --quiet --strict --check SHA256SUMS",
		"openssl pkeyutl -verify -pubin -inkey signing-key.pem -rawin -in SHA256SUMS -sigfile SHA256SUMS.sig",
	} {
		run := exec.Command("sh", "-c", command)
		run.Dir = dir
		if out, err := run.CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", command, err, out)
		}
	}
	proofs, err := filepath.Glob(filepath.Join(dir, "leaves", "*.tlog-proof"))
	if err != nil || len(proofs) != 1 {
		t.Fatal(proofs, err)
	}
	text, err := os.ReadFile(proofs[0])
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ledger.VerifyLeaf(text, g.Trust.Log); err != nil {
		t.Error(err)
	}
}

func FuzzOpen(f *testing.F) {
	g := newGateway(f, dbtest.SQLite(f))
	c := g.Grant(f, "reader", "alice")
	data := g.bundle(f, "reader", c.ID)
	f.Add(data)
	f.Add(data[:len(data)/2])
	f.Add([]byte("PK\x05\x06" + strings.Repeat("\x00", 18)))
	f.Fuzz(func(t *testing.T, data []byte) {
		if _, err := open(data, g.Trust); err != nil && !errors.Is(err, audit.ErrBundle) && !errors.Is(err, ledger.ErrProof) && !errors.Is(err, ledger.ErrUntrusted) {
			t.Error(err)
		}
	})
}

func unzip(t testing.TB, data []byte) map[string][]byte {
	t.Helper()
	r, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	files := map[string][]byte{}
	for _, f := range r.File {
		content, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		if files[f.Name], err = io.ReadAll(content); err != nil {
			t.Fatal(err)
		}
	}
	return files
}

func zipped(t testing.TB, files map[string][]byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		f, err := w.Create(name)
		if err == nil {
			_, err = f.Write(files[name])
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// signed is a bundle of files, listed and signed by the operator.
func (g *gateway) signed(t testing.TB, files map[string][]byte) []byte {
	t.Helper()
	signer, err := g.Signer(ctx)
	if err != nil {
		t.Fatal(err)
	}
	files = maps.Clone(files)
	files["signing-key.pem"] = publicPEM(t, signer.Public().(ed25519.PublicKey))
	var sums bytes.Buffer
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if name != "SHA256SUMS" && name != "SHA256SUMS.sig" {
			sum := sha256.Sum256(files[name])
			fmt.Fprintf(&sums, "%s  %s\n", hex.EncodeToString(sum[:]), name)
		}
	}
	files["SHA256SUMS"] = sums.Bytes()
	if files["SHA256SUMS.sig"], err = signer.Sign(nil, sums.Bytes(), crypto.Hash(0)); err != nil {
		t.Fatal(err)
	}
	return zipped(t, files)
}

func publicPEM(t testing.TB, key ed25519.PublicKey) []byte {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
}
