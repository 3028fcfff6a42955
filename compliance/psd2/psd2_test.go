package psd2_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/passerelle-cloud/passerelle/compliance/psd2"
	"github.com/passerelle-cloud/passerelle/consent"
	"github.com/passerelle-cloud/passerelle/formats"
)

var now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// issuer issues certificates, as a trust service does.
type issuer struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pool *x509.CertPool
}

func newIssuer(t testing.TB) *issuer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Trust Service"}, NotBefore: now.AddDate(-1, 0, 0), NotAfter: now.AddDate(1, 0, 0), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	must(t, err)
	i := &issuer{key: key, pool: x509.NewCertPool()}
	i.cert, err = x509.ParseCertificate(der)
	must(t, err)
	i.pool.AddCert(i.cert)
	return i
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// role is one of a statement's.
type role struct {
	ID   asn1.ObjectIdentifier
	Name string `asn1:"utf8"`
}

func roleOf(n int) role { return role{asn1.ObjectIdentifier{0, 4, 0, 19495, 1, n}, "PSP"} }

type statement struct {
	ID   asn1.ObjectIdentifier
	Info asn1.RawValue `asn1:"optional"`
}

// statements is the value of the extension: that the certificate is qualified, and its PSD2 statement.
func statements(t testing.TB, qualified bool, roles ...role) []byte {
	t.Helper()
	info, err := asn1.Marshal(struct {
		Roles []role
		Name  string `asn1:"utf8"`
		ID    string `asn1:"utf8"`
	}{roles, "Autorité de contrôle prudentiel", "FR-ACPR"})
	must(t, err)
	list := []statement{{ID: asn1.ObjectIdentifier{0, 4, 0, 19495, 2}, Info: asn1.RawValue{FullBytes: info}}}
	if qualified {
		list = append(list, statement{ID: asn1.ObjectIdentifier{0, 4, 0, 1862, 1, 1}})
	}
	der, err := asn1.Marshal(list)
	must(t, err)
	return der
}

// certify issues a certificate; change makes it another one.
func (i *issuer) certify(t testing.TB, value []byte, change func(*x509.Certificate)) *x509.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	return i.certifyKey(t, key.Public(), value, change)
}

func (i *issuer) certifyKey(t testing.TB, key any, value []byte, change func(*x509.Certificate)) *x509.Certificate {
	t.Helper()
	template := &x509.Certificate{SerialNumber: big.NewInt(2), NotBefore: now.AddDate(0, -1, 0), NotAfter: now.AddDate(0, 1, 0), ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
		Subject: pkix.Name{CommonName: "Reader SAS", ExtraNames: []pkix.AttributeTypeAndValue{{Type: asn1.ObjectIdentifier{2, 5, 4, 97}, Value: "PSDFR-ACPR-12345"}}}}
	if value != nil {
		template.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 1, 3}, Value: value}}
	}
	if change != nil {
		change(template)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, i.cert, key, i.key)
	must(t, err)
	cert, err := x509.ParseCertificate(der)
	must(t, err)
	return cert
}

// TestCertificates: what is wrong with each that must not be relied on is named.
func TestCertificates(t *testing.T) {
	i, stranger := newIssuer(t), newIssuer(t)
	good := statements(t, true, roleOf(3), roleOf(2))
	f := psd2.Facts([]*x509.Certificate{i.certify(t, good, nil)}, i.pool, now)
	if f.Fault != "" || f.Organisation != "PSDFR-ACPR-12345" || f.Authority != "FR-ACPR" || !slices.Equal(f.Roles, []string{psd2.RoleAI, psd2.RolePI}) || len(f.SHA256) != 64 {
		t.Errorf("%+v", f)
	}
	critical := i.certify(t, nil, func(c *x509.Certificate) {
		c.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 1, 3}, Value: good, Critical: true}}
	})
	if f := psd2.Facts([]*x509.Certificate{critical}, i.pool, now); f.Fault != "" {
		t.Errorf("with a critical statement: %s", f.Fault)
	}
	if psd2.Facts(nil, i.pool, now) != nil {
		t.Error("none is one")
	}
	weak, err := rsa.GenerateKey(rand.Reader, 1024)
	must(t, err)
	two, err := asn1.Marshal([]asn1.RawValue{{FullBytes: inner(t, good)}, {FullBytes: inner(t, good)}})
	must(t, err)
	deep := good
	for range 500 {
		deep, err = asn1.Marshal(asn1.RawValue{Class: asn1.ClassUniversal, Tag: asn1.TagSequence, IsCompound: true, Bytes: deep})
		must(t, err)
	}
	for name, k := range map[string]struct {
		cert *x509.Certificate
		pool *x509.CertPool
		at   time.Time
		says string
	}{
		"of a stranger":    {stranger.certify(t, good, nil), i.pool, now, "signed by unknown authority"},
		"of nobody relied": {i.certify(t, good, nil), nil, now, "--psd2-trust"},
		"expired":          {i.certify(t, good, nil), i.pool, now.AddDate(0, 2, 0), "expired"},
		"not valid yet":    {i.certify(t, good, nil), i.pool, now.AddDate(0, -2, 0), "not yet valid"},
		"no statement":     {i.certify(t, nil, nil), i.pool, now, "no PSD2 statement"},
		"not qualified":    {i.certify(t, statements(t, false, roleOf(3)), nil), i.pool, now, "qualified"},
		"no roles":         {i.certify(t, statements(t, true), nil), i.pool, now, "roles or authority are missing"},
		"truncated":        {i.certify(t, good[:len(good)-3], nil), i.pool, now, "no list of statements"},
		"garbage":          {i.certify(t, []byte("garbage"), nil), i.pool, now, "no list of statements"},
		"nested garbage":   {i.certify(t, deep, nil), i.pool, now, "cannot be read"},
		"huge":             {i.certify(t, make([]byte, 20<<10), nil), i.pool, now, "bytes"},
		"two statements":   {i.certify(t, two, nil), i.pool, now, "there are two"},
		"no organisation":  {i.certify(t, good, func(c *x509.Certificate) { c.Subject.ExtraNames = nil }), i.pool, now, "no organizationIdentifier"},
		"two organisations": {i.certify(t, good, func(c *x509.Certificate) {
			c.Subject.ExtraNames = append(c.Subject.ExtraNames, c.Subject.ExtraNames[0])
		}), i.pool, now, "there twice"},
		"for servers": {i.certify(t, good, func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} }), i.pool, now, "incompatible key usage"},
		"weak":        {i.certifyKey(t, weak.Public(), good, nil), i.pool, now, "2048 bits"},
	} {
		if f := psd2.Facts([]*x509.Certificate{k.cert}, k.pool, k.at); !strings.Contains(f.Fault, k.says) {
			t.Errorf("%s: %q", name, f.Fault)
		}
	}
}

// inner is the first statement of a list.
func inner(t testing.TB, list []byte) []byte {
	t.Helper()
	var all []asn1.RawValue
	_, err := asn1.Unmarshal(list, &all)
	must(t, err)
	return all[0].FullBytes
}

// TestForeignCertificates reads real ones.
func TestForeignCertificates(t *testing.T) {
	dir := os.Getenv("PASSERELLE_SAMPLES")
	if dir == "" {
		t.Skip("PASSERELLE_SAMPLES is not set")
	}
	read := func(name string) *x509.Certificate {
		t.Helper()
		data, err := os.ReadFile(filepath.Join(dir, "psd2", name))
		must(t, err)
		if block, _ := pem.Decode(data); block != nil {
			data = block.Bytes
		}
		cert, err := x509.ParseCertificate(data)
		must(t, err)
		return cert
	}
	qwac := read("multicert-psd2-eidas.cer")
	f := psd2.Facts([]*x509.Certificate{qwac}, x509.NewCertPool(), qwac.NotBefore.Add(time.Hour))
	if f.Organisation != "PSDGB-FCA-827001" || f.Authority != "GB-FCA" || !slices.Contains(f.Roles, psd2.RoleAI) || !strings.Contains(f.Fault, "unknown authority") {
		t.Errorf("%+v", f)
	}
	other := psd2.Facts([]*x509.Certificate{read("ob-transport.pem")}, x509.NewCertPool(), now)
	t.Logf("%+v", other)
	if other.Organisation == "" && other.Fault == "" {
		t.Errorf("%+v", other)
	}
}

func FuzzParseStatements(f *testing.F) {
	f.Add(statements(f, true, roleOf(3)))
	f.Add(statements(f, false, roleOf(1), roleOf(2), roleOf(4)))
	f.Add([]byte{0x30, 0x80, 0, 0})
	f.Fuzz(func(t *testing.T, der []byte) {
		s, err := psd2.ParseStatements(der)
		if (s == nil) == (err == nil) {
			t.Fatal(s, err)
		}
		if s != nil && (s.AuthorityID == "" || s.AuthorityName == "" || len(s.Roles) > 4) {
			t.Errorf("%+v", s)
		}
	})
}

// facts are those of a service that does everything right, at a step.
func facts(step consent.Step) consent.Facts {
	detail := consent.Detail{Type: consent.PersonalData, Datasets: []formats.Dataset{formats.Bank}, Actions: []consent.Action{consent.Read}, Accounts: []string{"a1"}}
	f := consent.Facts{Now: now, Step: step, Operator: consent.OperatorFacts{ID: "bank.example", Roles: []string{psd2.RoleASPSP}},
		Service: consent.ServiceFacts{ID: "reader", Registration: []string{"SIREN:732829320", "PSP:PSDFR-ACPR-12345"}, Certificate: &consent.CertificateFacts{
			Organisation: "PSDFR-ACPR-12345", Roles: []string{psd2.RoleAI}, From: now.AddDate(0, -1, 0), Until: now.AddDate(0, 1, 0)}},
		Asked: []consent.Detail{detail}, Granted: []consent.Detail{detail},
		Consent: &consent.ConsentFacts{State: consent.Given, Method: "passkey", Authenticated: now.AddDate(0, 0, -10)},
		Access:  &consent.AccessFacts{Datasets: []formats.Dataset{formats.Bank}, Action: consent.Read, Unattended: 1},
		Session: &consent.SessionFacts{Method: "passkey", Authenticated: now.Add(-time.Minute)}}
	return f
}

// refused are the codes of what the pack says.
func refused(f consent.Facts) []string {
	pack := psd2.Pack()
	codes := []string{}
	for _, r := range pack.Judge(f) {
		codes = append(codes, r.Code)
	}
	return codes
}

func expect(t *testing.T, name string, f consent.Facts, codes ...string) {
	t.Helper()
	if got := refused(f); !slices.Equal(got, codes) {
		t.Errorf("%s: %v, not %v", name, got, codes)
	}
}

// TestWhom: the pack is silent where nothing is wrong, where it is not about accounts, and where the operator keeps none.
func TestWhom(t *testing.T) {
	for _, step := range []consent.Step{consent.StepAsk, consent.StepGrant, consent.StepRenew, consent.StepPermit} {
		expect(t, "right, at "+string(step), facts(step))
		wrong := consent.Facts{Now: now, Step: step, Operator: consent.OperatorFacts{Roles: []string{"intermediary", "aisp"}}, Asked: facts(step).Asked, Granted: []consent.Detail{{Datasets: []formats.Dataset{formats.Bank}}},
			Access: &consent.AccessFacts{Datasets: []formats.Dataset{formats.Bank}, Unattended: 99}, Consent: &consent.ConsentFacts{}}
		expect(t, "no bank, at "+string(step), wrong)
		wrong.Operator.Roles = []string{psd2.RoleASPSP}
		if len(refused(wrong)) == 0 {
			t.Errorf("everything is wrong, and %s is not refused", step)
		}
		wrong.Asked, wrong.Granted, wrong.Access = nil, nil, &consent.AccessFacts{Datasets: []formats.Dataset{formats.Contacts}, Unattended: 99}
		expect(t, "contacts, at "+string(step), wrong)
	}
	early := facts(consent.StepAsk)
	early.Service.Certificate, early.Now = nil, time.Date(2023, 7, 24, 23, 59, 59, 0, time.UTC)
	expect(t, "before the pack is in force", early)
}

// TestRTS34: the certificate (RTS article 34).
func TestRTS34(t *testing.T) {
	for _, step := range []consent.Step{consent.StepAsk, consent.StepPermit} {
		f := facts(step)
		f.Service.Certificate = nil
		expect(t, "none", f, "certificate-missing")
		f = facts(step)
		f.Service.Certificate.Fault = "signed by unknown authority"
		expect(t, "not relied on", f, "certificate-not-valid")
		f = facts(step)
		f.Service.Certificate.Roles = []string{psd2.RolePI}
		expect(t, "another role", f, "role-missing")
		f = facts(step)
		f.Service.Certificate.Organisation = "PSDFR-ACPR-54321"
		expect(t, "of another", f, "certificate-of-another")
		f = facts(step)
		f.Service.LegalName, f.Service.Registration = "A New Name SA", []string{"SIREN:732829320"}
		expect(t, "a service that renamed itself", f, "certificate-of-another")
		f = facts(step)
		f.Now = f.Service.Certificate.Until
		expect(t, "in its last second", f)
		f.Now = f.Now.Add(time.Second)
		expect(t, "a second too late", f, "certificate-not-valid")
		f.Now = f.Service.Certificate.From.Add(-time.Second)
		f.Consent.Authenticated = f.Now
		expect(t, "a second too early", f, "certificate-not-valid")
	}
}

// TestArticle67: designated accounts only, and no sensitive payment data (PSD2 article 67(2)).
func TestArticle67(t *testing.T) {
	f := facts(consent.StepGrant)
	f.Granted = append(f.Granted, consent.Detail{Type: consent.PersonalData, Datasets: []formats.Dataset{formats.Bank}})
	expect(t, "all accounts", f, "accounts-not-designated")
	l := psd2.Pack().Limits(facts(consent.StepPermit))
	if l == nil || l.Dataset != formats.Bank || !l.Native || l.Mask == nil {
		t.Fatalf("%+v", l)
	}
	for text, want := range map[string]string{
		`CARTE 4970101234567890 PARIS`:       `CARTE 4970101234567890 PARIS`, // no check digit
		`CB 4111 1111 1111 1111 le 12`:       `CB ************1111 le 12`,
		`5500-0000-0000-0004`:                `************0004`,
		`x4111111111111111y 340000000000009`: `x************1111y ************0009`,
		`FR7630006000011234567890189`:        `FR7630006000011234567890189`,
		`41111111111111111111111111111111`:   `41111111111111111111111111111111`,
		`CARTE 0203 4111111111111111 PARIS`:  `CARTE 0203 ************1111 PARIS`, // a date before it
		`02-03 4111 1111 1111 1111 25.00`:    `02-03 ************1111 25.00`,
		`CB4111.1111.1111.1111`:              `CB************1111`,
		`FR76 3000 6000 0112 3456 7890 189`:  `FR76 3000 6000 0112 3456 7890 189`,
		`DE74 2914 1777 6317 0669 07`:        `DE74 2914 1777 6317 0669 07`, // some of its groups would be a card's
		`BE71 4111 1111 1111 1111`:           `BE71 ************1111`,       // an account's letters, but not its check digits
		`Loyer mars, 12 rue`:                 `Loyer mars, 12 rue`,
		``:                                   ``,
	} {
		body, err := json.Marshal(map[string]any{"remittanceInformationUnstructured": text, "transactionAmount": map[string]string{"amount": "1.00"}, "endToEndId": "4111111111111111"})
		must(t, err)
		masked, n := l.Mask(body)
		var got struct {
			Text string `json:"remittanceInformationUnstructured"`
			ID   string `json:"endToEndId"`
		}
		must(t, json.Unmarshal(masked, &got))
		if got.Text != want || (n > 0) != (want != text) || got.ID != "4111111111111111" {
			t.Errorf("%q became %q (%d)", text, got.Text, n)
		}
	}
	for hidden, body := range map[string]string{
		"escaped": `{"name":"` + strings.NewReplacer("4", `\u0034`, "1", `\u0031`).Replace("4111111111111111") + `"}`,
		"twice":   `{"name":"4111111111111111","name":"x"}`,
	} {
		masked, _ := l.Mask(json.RawMessage(body))
		var got map[string]string
		must(t, json.Unmarshal(masked, &got))
		if strings.Contains(string(masked), "4111") || strings.Contains(got["name"], "4111") || strings.Count(string(masked), "name") != 1 {
			t.Errorf("%s: %s", hidden, masked)
		}
	}
	if masked, n := l.Mask(json.RawMessage(`not JSON 4111111111111111`)); n != 0 || string(masked) != `not JSON 4111111111111111` {
		t.Error(string(masked), n)
	}
}

// TestArticle97: who lets somebody see their accounts has just authenticated strongly (PSD2 article 97).
func TestArticle97(t *testing.T) {
	for _, step := range []consent.Step{consent.StepGrant, consent.StepRenew} {
		f := facts(step)
		f.Session.Method = "password"
		expect(t, "by a password", f, "not-strongly-authenticated")
		f = facts(step)
		f.Session = nil
		expect(t, "by nobody", f, "not-strongly-authenticated")
		f = facts(step)
		f.Session.Authenticated = now.Add(-psd2.Recent)
		expect(t, "just in time", f)
		f.Session.Authenticated = now.Add(-psd2.Recent - time.Second)
		expect(t, "a second too late", f, "not-strongly-authenticated")
		f.Session.Authenticated = now.Add(time.Hour)
		expect(t, "an old session, by a clock that was set back", f, "not-strongly-authenticated")
	}
}

// TestRTS10a2: 180 days to the second, whatever the zone, over summer time and leap days (RTS article 10a(2)(b)).
func TestRTS10a2(t *testing.T) {
	for _, at := range moments(t) {
		f := facts(consent.StepPermit)
		f.Service.Certificate.From, f.Service.Certificate.Until = at.AddDate(0, 0, -1), at.AddDate(2, 0, 0)
		f.Consent.Authenticated = at
		f.Now = at.Add(180*24*time.Hour - time.Second).UTC()
		expect(t, "a second before 180 days after "+at.String(), f)
		f.Now = at.Add(180 * 24 * time.Hour).UTC()
		expect(t, "180 days after "+at.String(), f)
		f.Now = f.Now.Add(time.Second)
		expect(t, "a second later", f, "authentication-too-old")
		pack := psd2.Pack()
		if r := pack.Judge(f); !r[0].Renew {
			t.Error("it does not say how to mend it")
		}
		f.Consent.Authenticated = f.Now.Add(psd2.Skew)
		expect(t, "by a clock that is ahead", f)
		f.Consent.Authenticated = f.Now.Add(psd2.Skew + time.Second)
		expect(t, "a clock that was set back", f, "authentication-too-old")
	}
	f := facts(consent.StepPermit)
	f.Consent.Method = "password"
	expect(t, "never strongly", f, "authentication-too-old")
}

// TestRTS10a1b: transactions of 90 days, unless the person has just authenticated (RTS article 10a(1)(b)).
func TestRTS10a1b(t *testing.T) {
	pack := psd2.Pack()
	f := facts(consent.StepPermit)
	for authenticated, from := range map[time.Duration]string{psd2.New - time.Second: "", psd2.New: "", psd2.New + time.Second: "2025-12-01", 24 * time.Hour: "2025-12-01",
		-psd2.Skew: "", -time.Hour: "2025-12-01"} { // the last one: the clock was set back
		f.Consent.Authenticated = now.Add(-authenticated)
		if l := pack.Limits(f); l.From != from {
			t.Errorf("%s after authentication: from %q, not %q", authenticated, l.From, from)
		}
	}
	for at, from := range map[string]string{"2024-03-01T00:00:00Z": "2023-12-02", "2024-02-29T23:59:59+01:00": "2023-12-01", "2024-05-29T23:59:59Z": "2024-02-29", "2025-05-29T00:00:00Z": "2025-02-28",
		"2026-03-29T23:30:00-05:00": "2025-12-30", "2026-03-29T00:59:59+01:00": "2025-12-28", "2026-03-29T03:00:00+02:00": "2025-12-29", "2025-10-26T01:59:59+02:00": "2025-07-27", "2025-10-26T02:00:00+02:00": "2025-07-28"} {
		when, err := time.Parse(time.RFC3339, at)
		must(t, err)
		if got := psd2.Since(when); got != from {
			t.Errorf("90 days before %s is %s, not %s", at, got, from)
		}
	}
}

// TestRTS36: four times a day without the person, or as often as the bank and the service agreed and the person was told (RTS
// article 36(5)(b)).
func TestRTS36(t *testing.T) {
	f := facts(consent.StepPermit)
	f.Access.Unattended = 4
	expect(t, "the fourth time", f)
	f.Access.Unattended = 5
	expect(t, "the fifth time", f, "too-often")
	f.Access.Present = true
	expect(t, "with the person", f)
	for name, k := range map[string]struct {
		agreed    int
		frequency string
		most      int
	}{
		"eight":                            {8, "PT3H", 8},
		"whenever":                         {8, "continuous", 8},
		"more than the person was told of": {24, "PT3H", 8},
		"not what the person was told of":  {8, "P1D", 4},
		"once":                             {8, "once", 4},
		"none agreed":                      {0, "PT1H", 4},
		"less than the law lets":           {2, "PT1H", 4},
		"nonsense":                         {8, "PT", 4},
		"no time at all":                   {8, "PT0S", 4},
	} {
		f := facts(consent.StepPermit)
		f.Service.Agreed = k.agreed
		detail := f.Granted[0]
		detail.Frequency = k.frequency
		f.Access.Detail, f.Access.Unattended = &detail, k.most
		expect(t, name, f)
		f.Access.Unattended++
		expect(t, name+", once more", f, "too-often")
		detail.Datasets = []formats.Dataset{formats.Contacts}
		f.Access.Unattended = 5
		expect(t, name+", of something else", f, "too-often")
	}
}

func BenchmarkJudge(b *testing.B) {
	pack, f := psd2.Pack(), facts(consent.StepPermit)
	for b.Loop() {
		pack.Judge(f)
		pack.Limits(f)
	}
}
