// Package bank reads payment accounts at banks that speak Berlin Group NextGenPSD2 XS2A 1.3 (account information), and says
// which of what it read is new: [Client] asks for consents and reads with them, [Match] compares what was read with what
// is known of an account.
//
// Banks differ: whatever is one bank's own stands in its [Profile], and in no other place. Banks of other standards (UK Open
// Banking, STET) would be other clients that give the same [Account]s, [Operation]s and [Fault]s; Match is the same for all.
//
// It must never know why somebody reads, nor what is kept of it: before each request that reads, it asks a [Door].
package bank

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/passerelle-cloud/passerelle/formats"
)

// Config says which bank is spoken to, and as whom.
type Config struct {
	Profile  Profile
	Identity *Identity      // nil: neither a client certificate nor signatures
	Roots    *x509.CertPool // who certifies the bank's servers; nil: whom the system trusts
	Timeout  time.Duration  // of a request; 30 s if zero
}

// Client speaks to one bank. Any number of goroutines may use it, and all of them together keep to the bank's limits.
type Client struct {
	profile  Profile
	identity *Identity
	base     *url.URL
	zone     *time.Location
	http     *http.Client
	pace     pace

	mu   sync.Mutex
	auth map[string]*server // authorization servers, by where they describe themselves
}

// New makes a client. The error names everything that is wrong with the profile.
func New(c Config) (*Client, error) {
	if err := c.Profile.Validate(); err != nil {
		return nil, err
	}
	p := c.Profile.withDefaults()
	if p.Signed && (c.Identity == nil || c.Identity.Seal == nil) {
		return nil, fmt.Errorf("%w: %s wants signed requests, and there is no certificate for electronic seals (QSealC)", ErrCertificate, p.Name)
	}
	base, err := url.Parse(strings.TrimRight(p.API, "/"))
	if err != nil {
		return nil, fmt.Errorf("%w: the address of %s: %w", formats.ErrInvalid, p.Name, err)
	}
	zone, err := time.LoadLocation(p.Zone)
	if err != nil {
		return nil, fmt.Errorf("%w: the time zone of %s: %w", formats.ErrInvalid, p.Name, err)
	}
	if c.Timeout == 0 {
		c.Timeout = 30 * time.Second
	}
	return &Client{profile: p, identity: c.Identity, base: base, zone: zone, http: httpClient(c),
		pace: pace{every: time.Minute / time.Duration(p.Limits.PerMinute)}, auth: map[string]*server{}}, nil
}

// Profile is what is known of the bank.
func (c *Client) Profile() Profile { return c.profile }

// httpClient shows our certificate, and follows no redirect: where requests of an API lead, its links say.
func httpClient(c Config) *http.Client {
	config := &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: c.Roots}
	if c.Identity != nil && c.Identity.Transport != nil {
		config.Certificates = []tls.Certificate{c.Identity.Transport.tls()}
	}
	return &http.Client{
		Timeout: c.Timeout,
		Transport: &http.Transport{
			TLSClientConfig: config, ForceAttemptHTTP2: true, MaxIdleConnsPerHost: 8, IdleConnTimeout: time.Minute,
			DialContext: (&net.Dialer{Timeout: 10 * time.Second}).DialContext, TLSHandshakeTimeout: 10 * time.Second, MaxResponseHeaderBytes: 64 << 10,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// pace spaces requests out, so that no minute has more than a bank allows; a short burst is let through.
type pace struct {
	every time.Duration

	mu   sync.Mutex
	next time.Time
}

// burst is how many requests may come at once.
const burst = 10

// wait returns when the next request may be sent.
func (p *pace) wait(ctx context.Context) error {
	p.mu.Lock()
	now := time.Now()
	if earliest := now.Add(-burst * p.every); p.next.Before(earliest) {
		p.next = earliest
	}
	p.next = p.next.Add(p.every)
	delay := p.next.Sub(now)
	p.mu.Unlock()
	if delay <= 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(delay)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// Today is the day that it is where the bank is.
func (c *Client) Today() string { return time.Now().In(c.zone).Format(time.DateOnly) }
