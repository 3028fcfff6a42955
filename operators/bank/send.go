package bank

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Presence is a person who asks for something just now: banks are told so, and read without counting. Where nobody is
// there, there is none, and nothing is sent that says otherwise.
type Presence struct {
	Address   string // of the person's device: PSU-IP-Address
	UserAgent string
	Language  string
}

// Access is what a bank was allowed by a person to be asked.
type Access struct {
	Consent  string
	Token    string    // of the bank's authorization server, where it has one
	Presence *Presence // nil: the person is not there
}

// request is one request to a bank.
type request struct {
	did       string // for errors
	method    string
	url       *url.URL
	query     url.Values
	header    http.Header
	body      []byte // JSON
	accept    string
	access    Access
	most      int64 // bytes of the answer
	noConsent bool  // the request is about the consent itself
}

// answer is what a bank answers.
type answer struct {
	status int
	header http.Header
	media  string // without parameters
	body   []byte
	id     string // X-Request-ID
}

// The sizes of answers, in bytes.
const (
	maxAnswer = 1 << 20  // of everything but operations
	maxPage   = 24 << 20 // of operations
	maxError  = 64 << 10
)

const (
	mediaJSON = "application/json"
	mediaXML  = "application/xml"
)

// at returns the address of something at the bank.
func (c *Client) at(parts ...string) *url.URL {
	return c.base.JoinPath(append([]string{"v1"}, escaped(parts)...)...)
}

// escaped keeps identifiers of the bank from being several parts of a path, or the folder above.
func escaped(parts []string) []string {
	out := make([]string, len(parts))
	for i, p := range parts {
		out[i] = strings.ReplaceAll(url.PathEscape(p), ".", "%2E")
	}
	return out
}

// follow resolves a link of the bank, which must not lead away from it.
func (c *Client) follow(from *url.URL, href string) (*url.URL, error) {
	u, err := from.Parse(href)
	if err != nil || href == "" || len(href) > 4000 {
		return nil, fmt.Errorf("%w: it is no link", ErrFormat)
	}
	// "/v1/…" is below the API's own path with most banks, whatever RFC 3986 says.
	if rest, ok := strings.CutPrefix(href, "/v1/"); ok && c.base.Path != "" {
		if u, err = from.Parse(c.base.Path + "/v1/" + rest); err != nil {
			return nil, fmt.Errorf("%w: it is no link", ErrFormat)
		}
	}
	if !c.profile.leadsTo(c.base, u) {
		return nil, fmt.Errorf("%w: to %.200q; if that is the bank too, its profile has to list the host", ErrElsewhere, u.Host)
	}
	return u, nil
}

// get reads JSON from the bank.
func (c *Client) get(ctx context.Context, r request, into any) (*answer, error) {
	r.method, r.accept = http.MethodGet, mediaJSON
	a, err := c.send(ctx, r)
	if err != nil {
		return nil, err
	}
	return a, c.decode(r, a, into)
}

// decode reads an answer in JSON. Members that nobody knows are passed over: banks have their own.
func (c *Client) decode(r request, a *answer, into any) error {
	if a.media != mediaJSON && !strings.HasSuffix(a.media, "+json") {
		return c.unreadable(r, a, fmt.Errorf("JSON was wanted, and it is %.60q", a.media))
	}
	if err := json.Unmarshal(a.body, into); err != nil {
		return c.unreadable(r, a, errors.New(line(err.Error(), 200)))
	}
	return nil
}

func (c *Client) unreadable(r request, a *answer, why error) error {
	return &Fault{Kind: ErrFormat, Bank: c.profile.Name, Did: r.did, Status: a.status, RequestID: a.id, Cause: why}
}

// send sends a request, and returns the answer if the bank did what was asked.
func (c *Client) send(ctx context.Context, r request) (*answer, error) {
	id := requestID()
	fault := func(kind error, cause error) *Fault {
		return &Fault{Kind: kind, Bank: c.profile.Name, Did: r.did, RequestID: id, Cause: cause}
	}
	hr, err := c.build(ctx, r, id)
	if err != nil {
		return nil, fault(kindOf(err, ErrRefused), err)
	}
	if err := c.pace.wait(ctx); err != nil {
		return nil, fmt.Errorf("%s at %s: %w", r.did, c.profile.Name, err)
	}
	response, err := c.http.Do(hr)
	if err != nil {
		if ctx.Err() != nil {
			return nil, fmt.Errorf("%s at %s: %w", r.did, c.profile.Name, ctx.Err())
		}
		return nil, fault(kindOf(connectFault(err), ErrDown), connectFault(err))
	}
	defer response.Body.Close()
	if response.StatusCode >= 300 {
		f := fault(nil, nil)
		return nil, f.of(response)
	}
	return c.receive(r, response, id)
}

// of fills in what an answer that is no success says.
func (f *Fault) of(response *http.Response) *Fault {
	f.Status, f.RetryAfter = response.StatusCode, retryAfter(response.Header)
	body, err := io.ReadAll(io.LimitReader(response.Body, maxError))
	if err == nil {
		f.read(body)
	}
	if f.Kind = kindByStatus(f.Status); f.Status < 500 && f.Kind != ErrElsewhere {
		if kind := kindByCode(f); kind != nil {
			f.Kind = kind
		}
	}
	return f
}

// receive reads the body of an answer as far as it may be long.
func (c *Client) receive(r request, response *http.Response, id string) (*answer, error) {
	most := max(r.most, maxAnswer)
	var in bytes.Buffer
	if n := response.ContentLength; n > 0 && n <= most { // as far as one may believe it, memory is taken once
		in.Grow(int(n) + bytes.MinRead)
	}
	_, err := in.ReadFrom(io.LimitReader(response.Body, most+1))
	body := in.Bytes()
	a := &answer{status: response.StatusCode, header: response.Header, body: body, id: id}
	switch {
	case err != nil:
		return nil, &Fault{Kind: ErrDown, Bank: c.profile.Name, Did: r.did, Status: a.status, RequestID: id, Cause: fmt.Errorf("its answer was cut: %w", err)}
	case int64(len(body)) > most:
		return nil, &Fault{Kind: ErrTooMuch, Bank: c.profile.Name, Did: r.did, Status: a.status, RequestID: id, Cause: fmt.Errorf("it has more than %d bytes", most)}
	}
	a.media, _, _ = mime.ParseMediaType(response.Header.Get("Content-Type"))
	return a, nil
}

// build makes a request of HTTP of it, signed where the bank wants that.
func (c *Client) build(ctx context.Context, r request, id string) (*http.Request, error) {
	u := *r.url
	if len(r.query) > 0 {
		u.RawQuery = r.query.Encode()
	}
	hr, err := http.NewRequestWithContext(ctx, r.method, u.String(), bytes.NewReader(r.body))
	if err != nil {
		return nil, err
	}
	h := hr.Header
	for name, values := range r.header {
		h[name] = values
	}
	h.Set("X-Request-ID", id)
	h.Set("Accept", r.accept)
	h.Set("Date", time.Now().UTC().Format(http.TimeFormat))
	if len(r.body) > 0 {
		h.Set("Content-Type", mediaJSON)
	}
	if r.access.Consent != "" && !r.noConsent {
		h.Set("Consent-ID", r.access.Consent)
	}
	if r.access.Token != "" && sameHost(r.url, c.base.Host) {
		h.Set("Authorization", "Bearer "+r.access.Token)
	}
	if p := r.access.Presence; p != nil {
		setIf(h, "PSU-IP-Address", p.Address)
		setIf(h, "PSU-User-Agent", line(p.UserAgent, 300))
		setIf(h, "PSU-Accept-Language", line(p.Language, 100))
	}
	if c.profile.Signed {
		return hr, c.sign(hr, r.body)
	}
	return hr, nil
}

func setIf(h http.Header, name, value string) {
	if value != "" {
		h.Set(name, value)
	}
}

// requestID draws a UUID of version 4 (RFC 9562 section 5.4).
func requestID() string {
	var b [16]byte
	rand.Read(b[:]) // never fails: see crypto/rand
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[0:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// kindOf returns which of the errors of a bank an error wraps, or else another one.
func kindOf(err, other error) error {
	for _, kind := range []error{ErrCertificate, ErrSignature, ErrFormat, ErrElsewhere, ErrTooMuch} {
		if errors.Is(err, kind) {
			return kind
		}
	}
	return other
}
