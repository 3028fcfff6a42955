package statement

import (
	"bufio"
	"bytes"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"filippo.io/age"
	"github.com/go-jose/go-jose/v4"
	"pgregory.net/rapid"

	"github.com/passerelle-cloud/passerelle/formats"
	"github.com/passerelle-cloud/passerelle/internal/strict"
)

var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// newKey returns an Ed25519 key that is the same in every run.
func newKey(n byte) ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed(bytes.Repeat([]byte{n}, ed25519.SeedSize))
}

func public(k ed25519.PrivateKey) ed25519.PublicKey { return k.Public().(ed25519.PublicKey) }

func registered() Operator {
	return Operator{
		ID: "cloud.example.org", LegalName: "Nuage Exemple SAS", Country: "FR",
		Registrations: []Registration{{"SIREN", "732829320"}, {"LEI", "5493001KJTIIGC8Y1R12"}, {"VAT", "FR44732829320"}},
		Supervisor:    &Authority{Name: "Arcep", Country: "FR", URL: "https://www.arcep.example/"},
		Contact:       &Contact{Email: "dpo@cloud.example.org", Phone: "+33123456789"},
		Address:       &Address{Street: "1 rue de l’Exemple", PostalCode: "75001", Locality: "Paris", Country: "FR"},
		Endpoints:     map[string]string{"gateway": "https://cloud.example.org/", "log": "https://cloud.example.org/log/"},
	}
}

func example(t *testing.T) Statement {
	t.Helper()
	id, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	return Statement{
		Format: Format, Version: 1, Issued: start, Operator: registered(),
		Keys: []Key{
			NewKey(UseIdentity, public(newKey(1)), start),
			NewKey(UseArchive, public(newKey(2)), start),
			NewEncryptionKey(id.Recipient(), start),
		},
	}
}

func mustSign(t *testing.T, st Statement, identity crypto.Signer) *Signed {
	t.Helper()
	raw, err := Sign(st, identity)
	if err != nil {
		t.Fatal(err)
	}
	signed, err := Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	return signed
}

func TestSignedStatementReadsBack(t *testing.T) {
	st := example(t)
	signed := mustSign(t, st, newKey(1))
	want, _ := marshal(st)
	got, _ := marshal(signed.Statement)
	if !bytes.Equal(want, got) || !bytes.Equal(signed.Payload(), got) {
		t.Errorf("signed\n%s\nread\n%s", want, got)
	}
	if signed.Identity().Kid != Thumbprint(public(newKey(1))) {
		t.Error("the identity key is another one")
	}
	again, err := Sign(st, newKey(1))
	if err != nil || !bytes.Equal(again, signed.Raw()) {
		t.Errorf("signing the same twice gives other bytes: %v", err)
	}
}

// What we write is read by another reader of the standard, and is the general serialisation.
func TestStatementIsAGeneralJWS(t *testing.T) {
	signed := mustSign(t, example(t), newKey(1))
	var members map[string]json.RawMessage
	if err := json.Unmarshal(signed.Raw(), &members); err != nil || len(members) != 2 || members["payload"] == nil || members["signatures"] == nil {
		t.Fatalf("it is %s", signed.Raw())
	}
	jws, err := jose.ParseSignedJSON(string(signed.Raw()), []jose.SignatureAlgorithm{jose.EdDSA})
	if err != nil {
		t.Fatal(err)
	}
	payload, err := jws.Verify(public(newKey(1)))
	if err != nil || !bytes.Equal(payload, signed.Payload()) {
		t.Fatalf("%v\n%s", err, payload)
	}
}

func TestThumbprintIsRFC7638(t *testing.T) {
	pub := public(newKey(7))
	want, err := (&jose.JSONWebKey{Key: pub}).Thumbprint(crypto.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	if got := Thumbprint(pub); got != base64.RawURLEncoding.EncodeToString(want) {
		t.Errorf("got %s", got)
	}
	// RFC 8037 appendix A.3.
	rfc := JWK{Kty: "OKP", Crv: "Ed25519", X: "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}
	if got := rfc.Thumbprint(); got != "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k" {
		t.Errorf("got %s", got)
	}
}

func TestFingerprintIsInGroups(t *testing.T) {
	groups := strings.Split(mustSign(t, example(t), newKey(1)).Fingerprint(), " ")
	raw, _ := base64.RawURLEncoding.DecodeString(Thumbprint(public(newKey(1))))
	if len(groups) != 16 || strings.Join(groups, "") != formats.Hash(raw).String() {
		t.Errorf("got %v", groups)
	}
}

func TestOperatorIDs(t *testing.T) {
	for _, line := range examples(t, "testdata/operator_ids_valid.txt") {
		if id, err := ParseOperatorID(line); err != nil || string(id) != line {
			t.Errorf("%q: %v", line, err)
		}
	}
	for _, line := range examples(t, "testdata/operator_ids_invalid.txt") {
		text, err := strconv.Unquote(line)
		if err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		if _, err := ParseOperatorID(text); !errors.Is(err, formats.ErrInvalid) {
			t.Errorf("%s was accepted: %v", line, err)
		}
	}
}

func examples(t *testing.T, file string) []string {
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var lines []string
	for s := bufio.NewScanner(f); s.Scan(); {
		if !strings.HasPrefix(s.Text(), "#") {
			lines = append(lines, s.Text())
		}
	}
	if len(lines) < 10 {
		t.Fatalf("%s has only %d examples", file, len(lines))
	}
	return lines
}

func TestEveryMissingFieldIsNamedInOneError(t *testing.T) {
	st := Statement{Operator: Operator{Registrations: []Registration{{Scheme: "VAT"}}}, Keys: []Key{{}}}
	err := st.Validate()
	if !errors.Is(err, formats.ErrInvalid) {
		t.Fatalf("got %v", err)
	}
	for _, name := range []string{"format is missing", "version is missing", "issued is missing", "; id is missing", "legal_name is missing",
		"country is missing", "contact is missing", "address is missing", "registrations[0].value is missing",
		"keys[0].use is missing", "keys[0].kid is missing", "keys[0].jwk.x is missing", "keys[0].since is missing"} {
		if !strings.Contains(err.Error(), name) {
			t.Errorf("%q is not in: %v", name, err)
		}
	}
}

func TestAnUnregisteredOperatorNeedsOnlyANameAndKeys(t *testing.T) {
	st := example(t)
	st.Operator = Operator{ID: "vm.invalid", LegalName: "Unregistered operator"}
	signed := mustSign(t, st, newKey(1))
	if signed.Statement.Registered() || !strings.Contains(signed.Text(), "nowhere") {
		t.Errorf("got\n%s", signed.Text())
	}
}

func TestStatementsThatAreRefused(t *testing.T) {
	retired := start.Add(time.Hour)
	cases := []struct {
		name  string
		spoil func(*Statement)
		want  string
	}{
		{"format", func(s *Statement) { s.Format = "passerelle-statement/2.0" }, "format"},
		{"version", func(s *Statement) { s.Version = -1 }, "version is less or shorter than 1"},
		{"version beyond what JSON readers hold", func(s *Statement) { s.Version = 1 << 60 }, "version is more"},
		{"id", func(s *Statement) { s.ID = "Example" }, "id is \"Example\""},
		{"country in lower case", func(s *Statement) { s.Country = "fr" }, "country is \"fr\""},
		{"country of no list", func(s *Statement) { s.Address.Country = "XX" }, "address.country"},
		{"turned name", func(s *Statement) { s.LegalName = "Banque\u202Egro" }, "legal_name"},
		{"bytes that are not UTF-8", func(s *Statement) { s.LegalName = "a\xff" }, "legal_name"},
		{"newline in a name", func(s *Statement) { s.LegalName = "a\nkey for identity" }, "legal_name"},
		{"long name", func(s *Statement) { s.LegalName = strings.Repeat("é", 301) }, "longer than 300"},
		{"SIREN digit", func(s *Statement) { s.Registrations[0].Value = "732829321" }, "SIREN"},
		{"LEI digit", func(s *Statement) { s.Registrations[1].Value = "5493001KJTIIGC8Y1R13" }, "LEI"},
		{"empty registrations", func(s *Statement) { s.Registrations = []Registration{} }, "registrations"},
		{"mail", func(s *Statement) { s.Contact.Email = "nobody" }, "contact.email"},
		{"phone", func(s *Statement) { s.Contact.Phone = "call me" }, "contact.phone"},
		{"plain http", func(s *Statement) { s.Endpoints["gateway"] = "http://cloud.example.org" }, "endpoints[gateway]"},
		{"script as endpoint", func(s *Statement) { s.Endpoints["gateway"] = "javascript:alert(1)" }, "endpoints[gateway]"},
		{"password in endpoint", func(s *Statement) { s.Endpoints["gateway"] = "https://a:b@cloud.example.org" }, "endpoints[gateway]"},
		{"name of endpoint", func(s *Statement) { s.Endpoints["Gate Way"] = "https://cloud.example.org" }, "endpoints[Gate Way]"},
		{"a flood of keys", func(s *Statement) { s.Keys = make([]Key, maxKeys+1) }, "keys is more or longer than 1024"},
		{"no keys", func(s *Statement) { s.Keys = nil }, "keys is missing"},
		{"no identity key", func(s *Statement) { s.Keys = s.Keys[1:] }, "0 current keys for identity"},
		{"identity key retired", func(s *Statement) { s.Keys[0].Until = &retired }, "0 current keys for identity"},
		{"two identity keys", func(s *Statement) { s.Keys = append(s.Keys, NewKey(UseIdentity, public(newKey(9)), start)) }, "2 current keys"},
		{"one key for two uses", func(s *Statement) { s.Keys = append(s.Keys, NewKey(UseLog, public(newKey(2)), start)) }, "one use"},
		{"unknown use", func(s *Statement) { s.Keys[1].Use = "fun" }, "keys[1].use"},
		{"kid", func(s *Statement) { s.Keys[1].Kid = s.Keys[0].Kid }, "thumbprint"},
		{"short key", func(s *Statement) { s.Keys[1].JWK.X = "AAAA" }, "32 bytes"},
		{"key with stray bits", func(s *Statement) { s.Keys[1].JWK.X = strings.Repeat("A", 42) + "B" }, "32 bytes"},
		{"signing key for encryption", func(s *Statement) { s.Keys[1].Use = UseEncryption }, "X25519"},
		{"algorithm", func(s *Statement) { s.Keys[1].Alg = "none" }, "keys[1].alg"},
		{"ends before it begins", func(s *Statement) { before := start.Add(-1); s.Keys[1].Until = &before }, "until is before since"},
		{"recipient of another key", func(s *Statement) {
			other, _ := age.GenerateX25519Identity()
			s.Keys[2].Recipient = other.Recipient().String()
		}, "another key"},
		{"recipient that is none", func(s *Statement) { s.Keys[2].Recipient = "age1" }, "recipient"},
		{"recipient of a signing key", func(s *Statement) { s.Keys[1].Recipient = s.Keys[2].Recipient }, "encryption only"},
		{"revoked without reason", func(s *Statement) { s.Keys[1].Revoked = &Revocation{At: start} }, "keys[1].revoked.reason"},
		{"succession that is none", func(s *Statement) { s.Succession = []string{"a.b.c"} }, "succession[0]"},
		{"year", func(s *Statement) { s.Issued = start.AddDate(9000, 0, 0) }, "year"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			st := example(t)
			c.spoil(&st)
			_, err := Sign(st, newKey(1))
			if !errors.Is(err, formats.ErrInvalid) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestSignWithTheWrongKey(t *testing.T) {
	if _, err := Sign(example(t), newKey(5)); err == nil || !strings.Contains(err.Error(), "the key that signed is not") {
		t.Errorf("another Ed25519 key: %v", err)
	}
	other, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Sign(example(t), other); err == nil || !strings.Contains(err.Error(), "not Ed25519") {
		t.Errorf("an RSA key: %v", err)
	}
	if _, err := Sign(example(t), liar{newKey(1)}); err == nil {
		t.Error("a signer whose signatures are wrong was believed")
	}
}

// liar says that it has a key, and signs with another.
type liar struct{ ed25519.PrivateKey }

func (liar) Sign(r io.Reader, m []byte, o crypto.SignerOpts) ([]byte, error) {
	return newKey(200).Sign(r, m, o)
}

// forge signs a payload, and headers, as they are.
// Whatever byte is changed, either the statement is refused or only white space around the JWS was changed.
func TestArchiveKeyAt(t *testing.T) {
	until := start.AddDate(1, 0, 0)
	st := example(t)
	revoked := NewKey(UseArchive, public(newKey(3)), start)
	revoked.Revoked = &Revocation{At: until, Reason: "the disk was stolen"}
	st.Keys[1].Until = &until
	st.Keys = append(st.Keys, revoked, NewKey(UseLog, public(newKey(4)), start))
	signed := mustSign(t, st, newKey(1))
	cases := []struct {
		name string
		key  byte
		at   time.Time
		want string
	}{
		{"in its time", 2, start.AddDate(0, 6, 0), ""},
		{"from the beginning", 2, start, ""},
		{"to the end", 2, until, ""},
		{"clock a little late", 2, until.Add(Tolerance), ""},
		{"clock a little early", 2, start.Add(-Tolerance), ""},
		{"too early", 2, start.Add(-Tolerance - time.Second), "not in use yet"},
		{"too late", 2, until.Add(Tolerance + time.Second), "no longer in use"},
		{"revoked, and dated before that", 3, start.AddDate(0, 1, 0), "the disk was stolen"},
		{"of another use", 4, start, "for log, not for archive"},
		{"identity key", 1, start, "for identity, not for archive"},
		{"of somebody else", 8, start, "does not list it"},
	}
	for _, c := range cases {
		err := signed.ArchiveKeyAt(public(newKey(c.key)), c.at)
		if c.want == "" && err != nil || c.want != "" && (!errors.Is(err, ErrKey) || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	if err := signed.ArchiveKeyAt(nil, start); !errors.Is(err, ErrKey) {
		t.Errorf("no key: %v", err)
	}
}

func TestRecipients(t *testing.T) {
	id, _ := age.GenerateX25519Identity()
	st := example(t)
	old := start.AddDate(0, 1, 0)
	st.Keys[2].Until = &old
	if _, err := mustSign(t, st, newKey(1)).Recipients(); !errors.Is(err, ErrKey) {
		t.Errorf("only a retired key: %v", err)
	}
	st.Keys = append(st.Keys, NewEncryptionKey(id.Recipient(), old))
	got, err := mustSign(t, st, newKey(1)).Recipients()
	if err != nil || len(got) != 1 || got[0].(*age.X25519Recipient).String() != id.Recipient().String() {
		t.Errorf("got %v, %v", got, err)
	}
}

func TestTextShowsWhatPeopleCompare(t *testing.T) {
	st := example(t)
	until := start.AddDate(1, 0, 0)
	st.Keys[1].Until = &until
	signed := mustSign(t, st, newKey(1))
	for _, want := range []string{"Nuage Exemple SAS", "cloud.example.org", "SIREN 732829320", "1 rue de l’Exemple, 75001, Paris, FR",
		"Arcep, FR", signed.Fingerprint(), "key for archive", "since 2026-03-01 until 2027-03-01", "version 1 of 2026-03-01T12:00:00Z", "log: https://"} {
		if !strings.Contains(signed.Text(), want) {
			t.Errorf("%q is not in\n%s", want, signed.Text())
		}
	}
}

func TestAnyNameSurvives(t *testing.T) {
	base := example(t)
	rapid.Check(t, func(t *rapid.T) {
		st := base
		st.LegalName = rapid.StringN(1, 300, -1).Filter(strict.IsLine).Draw(t, "name")
		st.Version = rapid.Int64Range(1, 1<<53-1).Draw(t, "version")
		raw, err := Sign(st, newKey(1))
		if err != nil {
			t.Fatal(err)
		}
		signed, err := Parse(raw)
		if err != nil || signed.Statement.LegalName != st.LegalName || signed.Statement.Version != st.Version {
			t.Fatalf("%q became %q: %v", st.LegalName, signed.Statement.LegalName, err)
		}
	})
}

// fuzzed returns a statement that is the same in every process.
// FuzzPayload goes past the signature: the payload is signed, whatever it is, so that all of it is looked at.
