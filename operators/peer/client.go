package peer

import (
	"bytes"
	"context"
	"crypto"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/passerelle-cloud/passerelle/formats/statement"
	"github.com/passerelle-cloud/passerelle/internal/fapi"
	"github.com/passerelle-cloud/passerelle/internal/problem"
	"github.com/passerelle-cloud/passerelle/internal/seal"
)

// Where operators meet each other's persons.
const (
	// Endpoint is the member of an operator's endpoints that names its gateway, where that is elsewhere than its id says.
	Endpoint = "gateway"
	// CallbackPath is where the operator that a person leaves sends their browser back to.
	CallbackPath = "/move/callback"
)

// URL is where the gateway of an operator is: what its statement says, or else its id.
func URL(o statement.Operator) string {
	if u := o.Endpoints[Endpoint]; u != "" {
		return strings.TrimRight(u, "/")
	}
	if strings.Contains(string(o.ID), "://") {
		return string(o.ID)
	}
	return "https://" + string(o.ID)
}

// Clients are how this operator calls others, as an OAuth client under its operator id (FAPI 2.0): its key for tokens
// proves who it is, and is what tokens are bound to (DPoP), so that they work for nobody else and at every replica.
type Clients struct {
	Own    string // our operator id
	URL    string // of our gateway
	Signer func(context.Context) (signer crypto.Signer, kid string, err error)
	Box    *seal.Box // keeps tokens and states
	HTTP   *http.Client
}

func (c *Clients) client(ctx context.Context, peer *statement.Signed) (*fapi.Client, error) {
	signer, kid, err := c.Signer(ctx)
	if err != nil {
		return nil, fmt.Errorf("the key that proves who we are: %w", err)
	}
	return &fapi.Client{Issuer: URL(peer.Statement.Operator), ID: c.Own, Redirect: c.URL + CallbackPath, Key: signer, Proof: signer, KeyID: kid, HTTP: c.HTTP}, nil
}

// visit is what comes back with a person's browser.
type visit struct {
	Peer     string    `json:"peer"`
	Person   string    `json:"person"` // who will have what comes, here
	Session  bool      `json:"session"`
	Verifier string    `json:"verifier"`
	At       time.Time `json:"at"`
}

// visitTime is how long somebody may take to say yes at the other operator.
const visitTime = time.Hour

// ErrVisit is returned for a browser that comes back with something that was not asked here, or too late.
var ErrVisit = errors.New("this is not the answer to something that was asked here, or it is too late: begin again")

// ErrStranger is returned where another operator does not know this one.
var ErrStranger = errors.New("this operator is not known there")

// Ask asks another operator that a person may move here with everything that is authorised in details, and returns where
// they decide. session says that they are signed in here, as which they must come back.
func (c *Clients) Ask(ctx context.Context, peer *statement.Signed, person string, session bool, details any) (string, error) {
	client, err := c.client(ctx, peer)
	if err != nil {
		return "", err
	}
	verifier := fapi.NewVerifier()
	state, err := c.Box.Seal(visit{Peer: string(peer.Statement.ID), Person: person, Session: session, Verifier: verifier, At: time.Now()})
	if err != nil {
		return "", err
	}
	asked, err := client.AskAs(ctx, fapi.Asked{State: state, Verifier: verifier}, details, nil)
	var fault *fapi.Error
	if errors.As(err, &fault) && fault.Code == "invalid_client" {
		return "", fmt.Errorf("%w: the administrator of %s has to trust us first (passerelle operator trust %s): %w", ErrStranger, peer.Statement.LegalName, c.URL, err)
	}
	if err != nil {
		return "", fmt.Errorf("ask %s: %w", peer.Statement.LegalName, err)
	}
	return asked.URL, nil
}

// Back is a person who has come back with an authorisation.
type Back struct {
	Peer    string
	Person  string
	Session bool
	Tokens  string // sealed
	Refused string // why there is none: the person said no, …
}

// Waits reports whether a browser that comes back answers what was asked without anybody being signed in here.
func (c *Clients) Waits(query url.Values) bool {
	var v visit
	return c.Box.Open(query.Get("state"), &v) == nil && !v.Session
}

// Return takes what a browser comes back with: find finds the operator. The error wraps [ErrVisit] where it is no answer.
func (c *Clients) Return(ctx context.Context, query url.Values, find func(id string) (*statement.Signed, error)) (Back, error) {
	var v visit
	if err := c.Box.Open(query.Get("state"), &v); err != nil || time.Since(v.At) > visitTime {
		return Back{}, ErrVisit
	}
	b := Back{Peer: v.Peer, Person: v.Person, Session: v.Session}
	peer, err := find(v.Peer)
	if err != nil {
		return b, err
	}
	client, err := c.client(ctx, peer)
	if err != nil {
		return b, err
	}
	tokens, err := client.Redeem(ctx, fapi.Asked{State: query.Get("state"), Verifier: v.Verifier}, query)
	var fault *fapi.Error
	if errors.As(err, &fault) {
		b.Refused = fault.Code
		return b, nil
	}
	if err != nil {
		return b, fmt.Errorf("%w: %w", ErrVisit, err)
	}
	b.Tokens, err = c.Box.Seal(kept{Refresh: tokens.Refresh, Grant: tokens.Grant})
	return b, err
}

// kept is what is kept of tokens.
type kept struct {
	Refresh string `json:"refresh"`
	Grant   string `json:"grant"`
}

// Session is an authorisation in use. Any number of goroutines may send with it.
type Session struct {
	client *fapi.Client
	kept   kept

	mu     sync.Mutex
	access string
	until  time.Time
}

// Open opens an authorisation.
func (c *Clients) Open(ctx context.Context, peer *statement.Signed, tokens string) (*Session, error) {
	s := &Session{}
	if err := c.Box.Open(tokens, &s.kept); err != nil {
		return nil, fmt.Errorf("the tokens that are kept: %w", err)
	}
	client, err := c.client(ctx, peer)
	s.client = client
	return s, err
}

// Send sends a request. Where no token is given for it, the answer says why: 401 where the authorisation has ended, 403 where
// the other operator does not trust this one.
func (s *Session) Send(ctx context.Context, method, to string, header http.Header, body []byte) (*http.Response, error) {
	token, err := s.token(ctx)
	var fault *fapi.Error
	if errors.As(err, &fault) {
		return instead(fault), nil
	}
	if errors.Is(err, fapi.ErrAnswer) {
		return &http.Response{StatusCode: http.StatusBadGateway, Status: "502 Bad Gateway", Header: http.Header{}, Body: http.NoBody}, nil
	}
	if err != nil {
		return nil, err
	}
	return s.client.Send(ctx, method, to, token, header, body)
}

// instead is the answer that the resource would give, without asking it.
func instead(why *fapi.Error) *http.Response {
	kind, title, status := "unavailable", "There is no token", why.Status
	switch why.Code {
	case "invalid_grant", "invalid_dpop_proof":
		kind, title, status = "authorisation", "The authorisation is not accepted", http.StatusUnauthorized
	case "invalid_client", "unauthorized_client":
		kind, title, status = "operator-unknown", "The operator is not trusted", http.StatusForbidden
	}
	text, _ := json.Marshal(map[string]any{"type": problem.Prefix + kind, "title": title, "detail": why.Code + " " + why.Description}) // texts only
	return &http.Response{StatusCode: status, Status: http.StatusText(status), Header: why.Header, Body: io.NopCloser(bytes.NewReader(text))}
}

// early is how long before its end a token is replaced.
const early = time.Minute

func (s *Session) token(ctx context.Context) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.access != "" && time.Now().Before(s.until) {
		return s.access, nil
	}
	t, err := s.client.Refresh(ctx, s.kept.Refresh)
	if err != nil {
		return "", err
	}
	s.access, s.until = t.Access, time.Now().Add(time.Duration(t.ExpiresIn)*time.Second-early)
	return s.access, nil
}
