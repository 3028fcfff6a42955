package bank_test

import (
	"context"
	"crypto/x509"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/passerelle-cloud/passerelle/compliance/psd2"
	"github.com/passerelle-cloud/passerelle/operators/bank"
	"github.com/passerelle-cloud/passerelle/operators/bank/banktest"
)

// browse goes through the pages of the sandbox bank, and returns where the browser is sent in the end.
func (w *world) browse(page, person string) *url.URL {
	w.t.Helper()
	browser := w.server.Client()
	browser.CheckRedirect = func(r *http.Request, _ []*http.Request) error {
		if !strings.HasPrefix(r.URL.String(), w.server.URL) {
			return http.ErrUseLastResponse
		}
		return nil
	}
	got, err := browser.Get(page)
	if err != nil {
		w.t.Fatal(err)
	}
	got.Body.Close()
	page = got.Request.URL.String()
	form := url.Values{"do": {"login"}, "person": {person}, "password": {banktest.Password}}
	for range 3 {
		got, err := browser.PostForm(page, form)
		if err != nil {
			w.t.Fatal(err)
		}
		text, err := io.ReadAll(got.Body)
		got.Body.Close()
		if err != nil {
			w.t.Fatal(err)
		}
		if to, err := got.Location(); err == nil {
			return to
		}
		form = url.Values{"do": {"agree"}, "account": w.bank.IBANs(person)}
		for name, pattern := range map[string]string{"key": `name="key" value="([^"]+)"`, "code": `class="code">(\d{6})<`} {
			if m := regexp.MustCompile(pattern).FindSubmatch(text); m != nil {
				form.Set(name, string(m[1]))
			}
		}
	}
	w.t.Fatal("the bank does not let the browser go")
	return nil
}

func TestOAuth(t *testing.T) {
	w := newWorld(t, banktest.Config{Approach: banktest.OAuth2}, func(p *bank.Profile) { p.SCA.Approach = bank.OAuth })
	begun, err := w.client.Begin(t.Context(), everything, w.visit)
	if err != nil || begun.Approach != bank.OAuth || begun.Redeem == nil {
		t.Fatalf("%+v %v", begun, err)
	}
	back := w.browse(begun.Go, banktest.Anne).Query()
	other := *begun.Redeem
	other.State = strings.Repeat("x", 32)
	if _, err := w.client.Returned(t.Context(), other, back); !errors.Is(err, bank.ErrDeclined) {
		t.Errorf("another one's answer: %v", err)
	}
	tokens, err := w.client.Returned(t.Context(), *begun.Redeem, back)
	if err != nil || tokens.Until.Before(time.Now()) {
		t.Fatal(tokens, err)
	}
	access := bank.Access{Consent: begun.Consent, Token: tokens.Access, Presence: w.visit.Presence}
	if list, _, err := w.reader(access).Accounts(t.Context(), false); err != nil || len(list) != 2 {
		t.Error(list, err)
	}
	if _, _, err := w.reader(bank.Access{Consent: begun.Consent}).Accounts(t.Context(), false); err == nil {
		t.Error("it reads without a token")
	}
	fresh, err := w.client.Renew(t.Context(), begun.Redeem.Metadata, *tokens)
	if err != nil || fresh.Access == tokens.Access || fresh.Refresh == "" {
		t.Errorf("%+v %v", fresh, err)
	}
	if _, err := w.client.Returned(t.Context(), *begun.Redeem, back); !errors.Is(err, bank.ErrConsentGone) {
		t.Errorf("a code serves twice: %v", err)
	}
	if _, err := w.client.Returned(t.Context(), *begun.Redeem, url.Values{"state": {begun.Redeem.State}, "error": {"access_denied"}}); !errors.Is(err, bank.ErrDeclined) {
		t.Error(err)
	}
}

func TestPreStep(t *testing.T) {
	w := newWorld(t, banktest.Config{PreStep: true})
	w.connect(bank.Config{}, func(p *bank.Profile) {
		p.SCA.Approach, p.SCA.Metadata = bank.OAuthFirst, w.server.URL+"/.well-known/oauth-authorization-server"
	})
	if _, err := w.client.Begin(t.Context(), everything, w.visit); err == nil {
		t.Error("without a token the bank does not know who asks")
	}
	begun, err := w.client.PreStep(t.Context(), w.visit)
	if err != nil {
		t.Fatal(err)
	}
	tokens, err := w.client.Returned(t.Context(), *begun.Redeem, w.browse(begun.Go, banktest.Anne).Query())
	if err != nil {
		t.Fatal(err)
	}
	w.visit.Token = tokens.Access
	next, err := w.client.Begin(t.Context(), everything, w.visit)
	if err != nil || next.Go == "" {
		t.Fatalf("%+v %v", next, err)
	}
	if err := w.bank.Authorise(next.Consent, banktest.Anne); err != nil {
		t.Fatal(err)
	}
	if _, _, err := w.reader(bank.Access{Consent: next.Consent, Token: tokens.Access}).Accounts(t.Context(), false); err != nil {
		t.Error(err)
	}
}

func TestDecoupled(t *testing.T) {
	for _, methods := range []int{1, 3} {
		w := newWorld(t, banktest.Config{Approach: banktest.Decoupled, Methods: methods, DecoupledAfter: 2 * time.Second}, func(p *bank.Profile) { p.SCA.Approach = bank.Decoupled })
		if _, err := w.client.Begin(t.Context(), everything, w.visit); !errors.Is(err, bank.ErrNeedsPSU) {
			t.Errorf("nobody knows whose device: %v", err)
		}
		w.visit.PSU = banktest.Anne
		begun, err := w.client.Begin(t.Context(), everything, w.visit)
		if err != nil || begun.Approach != bank.Decoupled || begun.Authorisation == "" || len(begun.Methods) != methods*min(methods-1, 1) {
			t.Fatalf("%+v %v", begun, err)
		}
		if methods > 1 {
			if err := w.client.Choose(t.Context(), begun, begun.Methods[1].ID, w.visit); err != nil {
				t.Fatal(err)
			}
		}
		if begun.Message == "" {
			t.Error("the person is told nothing")
		}
		access := bank.Access{Consent: begun.Consent}
		short, stop := context.WithTimeout(t.Context(), time.Millisecond)
		if err := w.client.Await(short, access, begun.Authorisation); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		stop()
		if err := w.client.Await(t.Context(), access, begun.Authorisation); err != nil {
			t.Error(err)
		}
		if s, err := w.client.ConsentStatus(t.Context(), access); err != nil || s != bank.StatusValid {
			t.Error(s, err)
		}
	}
}

func TestDecoupledIsRefused(t *testing.T) {
	w := newWorld(t, banktest.Config{Approach: banktest.Decoupled}, func(p *bank.Profile) { p.SCA.Approach = bank.Decoupled })
	w.visit.PSU = banktest.Anne
	begun, err := w.client.Begin(t.Context(), everything, w.visit)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.bank.Refuse(begun.Consent); err != nil {
		t.Fatal(err)
	}
	if err := w.client.Await(t.Context(), bank.Access{Consent: begun.Consent}, begun.Authorisation); !errors.Is(err, bank.ErrDeclined) {
		t.Error(err)
	}
}

func TestExplicitStart(t *testing.T) {
	w := newWorld(t, banktest.Config{Explicit: true, RelativeLinks: true})
	begun, err := w.client.Begin(t.Context(), everything, w.visit)
	if err != nil || begun.Go == "" || begun.Authorisation == "" {
		t.Errorf("%+v %v", begun, err)
	}
	ids, err := w.client.Authorisations(t.Context(), bank.Access{Consent: begun.Consent})
	if err != nil || len(ids) != 1 || ids[0] != begun.Authorisation {
		t.Error(ids, err)
	}
}

func TestEmbeddedIsRefusedWithWords(t *testing.T) {
	w := newWorld(t, banktest.Config{Approach: banktest.Embedded})
	w.visit.PSU = banktest.Anne
	if _, err := w.client.Begin(t.Context(), everything, w.visit); !errors.Is(err, bank.ErrNotOffered) || !strings.Contains(err.Error(), "password") {
		t.Error(err)
	}
}

// sealed is a bank that checks certificates and signatures, and a client that has some.
func sealed(t *testing.T, transport, seal banktest.For, also ...func(*bank.Profile)) *world {
	t.Helper()
	authority, err := banktest.NewAuthority(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	b, err := banktest.New(banktest.Config{Roots: authority.Pool(), Signed: true})
	if err != nil {
		t.Fatal(err)
	}
	own, err := authority.Issue(time.Now(), banktest.For{Name: "Banque Ruisseau", Hosts: []string{"127.0.0.1"}})
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, bank: b, server: httptest.NewUnstartedServer(checked(t, b))}
	w.server.TLS = banktest.TLS(own.TLS())
	w.server.StartTLS()
	t.Cleanup(w.server.Close)
	identity := &bank.Identity{Transport: certificate(t, authority, transport), Seal: certificate(t, authority, seal)}
	w.connect(bank.Config{Identity: identity, Roots: authority.Pool()}, append(also, func(p *bank.Profile) { p.Signed = true })...)
	return w
}

func certificate(t *testing.T, a *banktest.Authority, f banktest.For) *bank.Certificate {
	t.Helper()
	if f.Organisation == "" {
		f.Organisation = "PSDFR-ACPR-12345"
	}
	f.Name = "Passerelle SAS"
	issued, err := a.Issue(time.Now(), f)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := bank.ParseCertificate(banktest.CertificatePEM(issued.Certificate), issued.Key)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

// roles reads the roles of a certificate as the program does.
func roles(c *x509.Certificate) ([]string, error) {
	f := psd2.Facts([]*x509.Certificate{c}, nil, time.Now())
	if f.Roles == nil {
		return nil, errors.New(f.Fault)
	}
	return f.Roles, nil
}

func TestCertificatesAndSignatures(t *testing.T) {
	w := sealed(t, banktest.For{}, banktest.For{Seal: true})
	_, list := w.accounts(banktest.Anne)
	if len(list) != 2 {
		t.Errorf("%d accounts", len(list))
	}
	w = sealed(t, banktest.For{}, banktest.For{Seal: true}, func(p *bank.Profile) {
		p.Quirks = []bank.Quirk{{Name: bank.DecimalSerial, Why: "not this bank: it must refuse that"}}
	})
	if _, err := w.client.Begin(t.Context(), everything, w.visit); !errors.Is(err, bank.ErrSignature) {
		t.Errorf("a key id that the bank does not know: %v", err)
	}
	if _, err := bank.New(bank.Config{Profile: w.profile}); !errors.Is(err, bank.ErrCertificate) {
		t.Errorf("no certificate for seals: %v", err)
	}
}

func TestWrongCertificates(t *testing.T) {
	past := time.Now().Add(-time.Hour)
	cases := map[string]struct {
		transport banktest.For
		check     string
	}{
		"role of payments": {banktest.For{Roles: []int{2}}, "not PSP_AI"},
		"ended":            {banktest.For{From: past.AddDate(-1, 0, 0), Until: past}, "ended on"},
	}
	for name, c := range cases {
		w := sealed(t, c.transport, banktest.For{Seal: true})
		_, err := w.client.Begin(t.Context(), everything, w.visit)
		if !errors.Is(err, bank.ErrCertificate) {
			t.Errorf("%s: %v", name, err)
		}
		authority, err := banktest.NewAuthority(time.Now())
		if err != nil {
			t.Fatal(err)
		}
		id := bank.Identity{Transport: certificate(t, authority, c.transport), Seal: certificate(t, authority, banktest.For{Seal: true, Until: time.Now().AddDate(0, 0, 10)})}
		warnings, err := id.Check(time.Now(), roles)
		if !errors.Is(err, bank.ErrCertificate) || !strings.Contains(err.Error(), c.check) || len(warnings) != 1 || !strings.Contains(warnings[0], "days") {
			t.Errorf("%s: %v, %v", name, warnings, err)
		}
	}
	// A bank whose own certificate nobody vouches for.
	w := sealed(t, banktest.For{}, banktest.For{Seal: true})
	stranger, err := banktest.NewAuthority(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	w.connect(bank.Config{Roots: stranger.Pool()})
	if _, err := w.client.Begin(t.Context(), everything, w.visit); !errors.Is(err, bank.ErrElsewhere) {
		t.Error(err)
	}
}
