// Package banktest is a bank that does not exist: it speaks Berlin Group NextGenPSD2 XS2A 1.3 (account information), has
// persons and accounts that it makes up, and breaks in every way that banks break when it is told to. Tests, the demo and
// cmd/passerelle-bank use it. It must know nothing of the client that is tested against it.
package banktest

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"net/http"
	"sync"
	"time"
)

// Bank is the bank: an [http.Handler], and what can be done to it from within. All of it may be used at once.
type Bank struct {
	config  Config
	handler http.Handler
	mux     *http.ServeMux
	set     *pageSet
	zone    *time.Location // in which it is today: XS2A's dates are local

	mu       sync.Mutex
	born     time.Time     // when it was opened first
	ahead    time.Duration // of the real clock
	people   map[string]*Person
	accounts []*Account
	consents map[string]*Consent
	order    []string // of consents, by age
	faults   []*Fault
	meter    meter
	codes    map[string]*code
	tokens   map[string]*token
	logins   map[string]*Authorisation // of the pre-step
	blocked  map[string]bool           // persons, and numbers of certificates
	unsaved  bool
}

// New opens a bank. It fails if the state's file is there and cannot be read, or if the configuration is impossible.
func New(c Config) (*Bank, error) {
	zone, err := time.LoadLocation("Europe/Paris")
	if err != nil {
		return nil, fmt.Errorf("the bank's time zone: %w", err)
	}
	b := &Bank{config: c.withDefaults(), zone: zone, people: map[string]*Person{}, consents: map[string]*Consent{},
		codes: map[string]*code{}, tokens: map[string]*token{}, logins: map[string]*Authorisation{}, meter: meter{counts: Counts{Statuses: map[int]int{}}}, blocked: map[string]bool{}}
	switch b.config.Approach {
	case Redirect, OAuth2, Decoupled, Embedded:
	default:
		return nil, fmt.Errorf("there is no approach %q: say redirect, oauth2, decoupled or embedded", c.Approach)
	}
	b.born = b.now()
	if err := b.load(); err != nil {
		return nil, err
	}
	b.populate(dateOf(b.born.In(zone)))
	b.handler, err = b.routes()
	return b, err
}

// ServeHTTP implements [http.Handler].
func (b *Bank) ServeHTTP(w http.ResponseWriter, r *http.Request) { b.handler.ServeHTTP(w, r) }

// routes are all that the bank answers.
func (b *Bank) routes() (http.Handler, error) {
	mux := http.NewServeMux()
	b.mux = mux
	for pattern, do := range map[string]operation{
		"POST /v1/consents":                                       b.createConsent,
		"GET /v1/consents/{consent}":                              b.getConsent,
		"DELETE /v1/consents/{consent}":                           b.deleteConsent,
		"GET /v1/consents/{consent}/status":                       b.consentStatus,
		"POST /v1/consents/{consent}/authorisations":              b.startAuthorisation,
		"GET /v1/consents/{consent}/authorisations":               b.listAuthorisations,
		"GET /v1/consents/{consent}/authorisations/{id}":          b.scaStatus,
		"PUT /v1/consents/{consent}/authorisations/{id}":          b.updateAuthorisation,
		"GET /v1/accounts":                                        b.listAccounts,
		"GET /v1/accounts/{account}":                              b.getAccount,
		"GET /v1/accounts/{account}/balances":                     b.getBalances,
		"GET /v1/accounts/{account}/transactions":                 b.listTransactions,
		"GET /v1/accounts/{account}/transactions/{transactionID}": b.getTransaction,
	} {
		mux.Handle(pattern, b.xs2a(do))
	}
	mux.Handle("/v1/", b.xs2a(b.elsewhere))
	if err := b.pages(mux); err != nil {
		return nil, err
	}
	return mux, nil
}

// now is what the sandbox's clock says. The lock is held.
func (b *Bank) now() time.Time { return b.config.Now().Add(b.ahead).In(b.zone) }

// today is the bank's date. The lock is held.
func (b *Bank) today() Date { return dateOf(b.now()) }

// Now is what the sandbox's clock says.
func (b *Bank) Now() time.Time {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.now()
}

// Date is a day, YYYY-MM-DD, which sorts as text.
type Date string

func dateOf(t time.Time) Date { return Date(t.Format(time.DateOnly)) }

// parseDate reads a date that is one: "2026-02-30" is none.
func parseDate(s string) (Date, bool) {
	t, err := time.Parse(time.DateOnly, s)
	return dateOf(t), err == nil
}

// add is the date so many days later.
func (d Date) add(days int) Date {
	t, err := time.Parse(time.DateOnly, string(d))
	if err != nil {
		return d
	}
	return dateOf(t.AddDate(0, 0, days))
}

// local is the date as a person reads it.
func (d Date) local(language string) string {
	t, err := time.Parse(time.DateOnly, string(d))
	switch {
	case err != nil:
		return string(d)
	case language == "fr":
		return t.Format("02/01/2006")
	}
	return t.Format("2 January 2006")
}

// newID is a random UUID (RFC 9562 version 4).
func newID() string {
	var raw [16]byte
	_, _ = rand.Read(raw[:]) // never fails: crypto/rand
	raw[6], raw[8] = raw[6]&0x0f|0x40, raw[8]&0x3f|0x80
	text := hex.EncodeToString(raw[:])
	return text[:8] + "-" + text[8:12] + "-" + text[12:16] + "-" + text[16:20] + "-" + text[20:]
}
