package keys

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/hashicorp/vault/api"
)

// session talks to Vault, and stays signed in.
type session struct {
	cfg    VaultConfig
	client *api.Client
	root   context.Context // done when the session is closed
	close  context.CancelFunc
	gone   chan struct{} // closed when the renewal has stopped
	turn   chan struct{} // holds one token: whoever has it signs in

	mu      sync.Mutex
	lease   lease
	refusal error // why the last login failed
	refused time.Time
}

// lease is how long a token is good for.
type lease struct {
	number    int // grows with each token
	since     time.Time
	ttl       time.Duration // from since on; 0 is for ever
	granted   time.Duration // ttl at login: renewals that give much less mean that the end is near
	renewable bool
}

const (
	maxRetries  = 2
	loginPause  = time.Second // after a login that failed, nobody tries again for so long
	maxBackoff  = 30 * time.Second
	noRenewal   = time.Hour
	goodbyeTime = 2 * time.Second
)

// call is one request to Vault.
type call struct {
	method string
	path   string // below /v1/
	body   any    // for a PUT; encoded as JSON
	need   string // capability that a policy must give for it
}

func get(path string) call            { return call{method: http.MethodGet, path: path, need: "read"} }
func put(path string, body any) call  { return call{http.MethodPut, path, body, "create, update"} }
func remove(path string) call         { return call{method: http.MethodDelete, path: path, need: "delete"} }
func (c call) needs(what string) call { c.need = what; return c }

// answer is what Vault wraps around everything it says.
type answer[T any] struct {
	Data T      `json:"data"`
	Auth *token `json:"auth"`
}

// token is the part of an answer that gives or renews a token.
type token struct {
	ClientToken   string `json:"client_token"`
	LeaseDuration int64  `json:"lease_duration"` // seconds
	Renewable     bool   `json:"renewable"`
}

// openSession signs in and keeps the token alive until the session is closed.
func openSession(ctx context.Context, cfg VaultConfig) (*session, error) {
	httpClient, err := cfg.httpClient()
	if err != nil {
		return nil, err
	}
	// Deadlines are our own: see once.
	client, err := api.NewClient(&api.Config{Address: cfg.Address, HttpClient: httpClient, MaxRetries: maxRetries,
		MinRetryWait: 50 * time.Millisecond, MaxRetryWait: 250 * time.Millisecond, CheckRetry: mayPass})
	if err != nil {
		return nil, fmt.Errorf("configuration of Vault: %w", err)
	}
	client.ClearNamespace() // VAULT_NAMESPACE
	if cfg.Namespace != "" {
		client.SetNamespace(cfg.Namespace)
	}
	client.SetToken(cfg.Token) // and not VAULT_TOKEN
	s := &session{cfg: cfg, client: client, gone: make(chan struct{}), turn: make(chan struct{}, 1)}
	s.root, s.close = context.WithCancel(context.Background())
	if err := s.signIn(ctx); err != nil {
		s.close()
		return nil, err
	}
	go s.stayIn()
	return s, nil
}

// mayPass reports whether a request is worth another try at once. Vault answers 500 also to what it will never do.
func mayPass(ctx context.Context, resp *http.Response, err error) (bool, error) {
	if resp != nil && resp.StatusCode == http.StatusInternalServerError {
		return false, nil
	}
	return api.DefaultRetryPolicy(ctx, resp, err)
}

// end stops the renewal, and gives up a token of ours.
func (s *session) end() {
	s.close()
	<-s.gone
	if s.cfg.RoleID == "" {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), min(goodbyeTime, s.cfg.Timeout))
	defer cancel()
	// Should this fail, the token expires by itself.
	if resp, err := s.client.Logical().WriteRawWithContext(ctx, "auth/token/revoke-self", []byte("{}")); err == nil {
		resp.Body.Close()
	}
}

// do makes a call and reads the answer into out (unless nil). Where the token is no longer good it signs in once more
// and tries again, once.
func (s *session) do(ctx context.Context, c call, out any) error {
	number := s.current().number
	err := s.once(ctx, c, out)
	if forbidden(err) {
		again, signErr := s.signInAgain(ctx, number)
		if signErr != nil {
			return signErr
		}
		if again {
			err = s.once(ctx, c, out)
		}
	}
	return s.explain(ctx, c, err)
}

func forbidden(err error) bool {
	var answer *api.ResponseError
	return errors.As(err, &answer) && answer.StatusCode == http.StatusForbidden && !answer.RawError
}

// once makes a call within the time that requests have. Errors are as the client gives them.
func (s *session) once(ctx context.Context, c call, out any) error {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Timeout)
	defer cancel()
	defer context.AfterFunc(s.root, cancel)()
	resp, err := s.send(ctx, c)
	if resp != nil {
		defer resp.Body.Close()
	}
	var refused *api.ResponseError
	// What was deleted is 404, with an answer all the same.
	if err != nil && !(errors.As(err, &refused) && refused.StatusCode == http.StatusNotFound && resp != nil && !refused.RawError) {
		return err
	}
	if decodeErr := decodeAnswer(resp.Body, out); decodeErr != nil {
		return decodeErr
	}
	return err
}

func (s *session) send(ctx context.Context, c call) (*api.Response, error) {
	logical := s.client.Logical()
	switch c.method {
	case http.MethodPut:
		body, err := json.Marshal(c.body)
		if err != nil {
			return nil, err
		}
		return logical.WriteRawWithContext(ctx, c.path, body)
	case http.MethodDelete:
		return logical.DeleteRawWithContext(ctx, c.path)
	}
	return logical.ReadRawWithContext(ctx, c.path)
}

func decodeAnswer(body io.Reader, out any) error {
	data, err := io.ReadAll(body)
	if err != nil || out == nil || len(bytes.TrimSpace(data)) == 0 {
		return err
	}
	return json.Unmarshal(data, out)
}

func (s *session) current() lease {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.lease
}

// signInAgain signs in where the token that was used is no longer good, and reports whether there is another one now.
func (s *session) signInAgain(ctx context.Context, number int) (bool, error) {
	wait, cancel := context.WithTimeout(ctx, 2*s.cfg.Timeout)
	defer cancel()
	select {
	case s.turn <- struct{}{}:
		defer func() { <-s.turn }()
	case <-wait.Done():
		return false, s.explain(ctx, get("auth/token/lookup-self"), wait.Err())
	}
	if s.current().number != number { // somebody else did
		return true, nil
	}
	// A good token for which something is not permitted needs no other.
	if err := s.once(ctx, get("auth/token/lookup-self"), nil); !forbidden(err) {
		return false, s.explain(ctx, get("auth/token/lookup-self"), err)
	}
	return true, s.signIn(ctx)
}

// signIn gets a token and learns how long it is good for.
func (s *session) signIn(ctx context.Context) error {
	if s.cfg.RoleID == "" {
		return s.inspectToken(ctx)
	}
	s.mu.Lock()
	err, at := s.refusal, s.refused
	s.mu.Unlock()
	if err != nil && time.Since(at) < loginPause {
		return err
	}
	err = s.login(ctx)
	if ctx.Err() == nil { // that a caller gave up means nothing to others
		s.mu.Lock()
		s.refusal, s.refused = err, time.Now()
		s.mu.Unlock()
	}
	return err
}

func (s *session) login(ctx context.Context) error {
	secretID, err := s.cfg.secretID()
	if err != nil {
		return err
	}
	c := put("auth/"+s.cfg.AppRole+"/login", map[string]string{"role_id": s.cfg.RoleID, "secret_id": secretID})
	var got answer[struct{}]
	err = s.once(ctx, c, &got)
	var no *api.ResponseError
	if errors.As(err, &no) && !no.RawError && (no.StatusCode == http.StatusBadRequest || no.StatusCode == http.StatusForbidden) {
		return fmt.Errorf("%w: Vault does not accept the login by AppRole: role id or secret id are wrong, used up or expired, or the role does not permit this host: give a new secret id", ErrDenied)
	}
	if err != nil {
		return s.explain(ctx, c, err)
	}
	if got.Auth == nil || got.Auth.ClientToken == "" {
		return fmt.Errorf("%w: the login at %s gave no token: check address and mount", ErrDenied, c.path)
	}
	s.client.SetToken(got.Auth.ClientToken)
	s.granted(*got.Auth)
	return nil
}

func (s *session) granted(t token) {
	s.mu.Lock()
	defer s.mu.Unlock()
	ttl := time.Duration(t.LeaseDuration) * time.Second
	s.lease = lease{number: s.lease.number + 1, since: time.Now(), ttl: ttl, granted: ttl, renewable: t.Renewable}
}

// inspectToken learns what there is to know of a token that was given.
func (s *session) inspectToken(ctx context.Context) error {
	var got answer[struct {
		TTL       int64   `json:"ttl"`         // whole seconds that are left
		Expires   *string `json:"expire_time"` // none for a token that lasts for ever
		Renewable bool    `json:"renewable"`
	}]
	c := get("auth/token/lookup-self")
	err := s.once(ctx, c, &got)
	if forbidden(err) {
		return errToken
	}
	if err != nil {
		return s.explain(ctx, c, err)
	}
	if got.Data.Expires != nil {
		got.Data.TTL = max(got.Data.TTL, 1)
	}
	s.granted(token{LeaseDuration: got.Data.TTL, Renewable: got.Data.Renewable})
	return nil
}

var errToken = fmt.Errorf("%w: the token is wrong, or it has expired or was revoked: give a new one, or let the gateway sign in by AppRole", ErrDenied)

// stayIn renews the token, or gets another, when two thirds of its time are over: see untilRenewal.
func (s *session) stayIn() {
	defer close(s.gone)
	pause := time.Duration(0)
	for {
		select {
		case <-s.root.Done():
			return
		case <-time.After(max(s.current().untilRenewal(), pause)):
		}
		err := s.renew(s.root)
		if err == nil {
			pause = 0
			continue
		}
		pause = min(max(2*pause, time.Second), max(maxBackoff, s.current().left()/10))
		if s.root.Err() == nil {
			s.cfg.Log.Warn("the sign-in at Vault could not be renewed", "error", err, "again_in", pause)
		}
	}
}

func (l lease) untilRenewal() time.Duration {
	if l.ttl == 0 {
		return noRenewal
	}
	// Vault rounds to seconds, so that there may be a second less than it says.
	return max(time.Until(l.since.Add(min(l.ttl*2/3, l.ttl-time.Second))), 200*time.Millisecond)
}

func (l lease) left() time.Duration { return time.Until(l.since.Add(l.ttl)) }

// renew makes the token last, or gets another where it cannot.
func (s *session) renew(ctx context.Context) error {
	was := s.current()
	if was.ttl == 0 {
		return nil
	}
	lasts, err := was.renewable, error(nil)
	if was.renewable {
		lasts, err = s.extend(ctx, was)
	}
	if lasts || err != nil && !errors.Is(err, ErrDenied) {
		return err
	}
	if s.cfg.RoleID == "" {
		return errors.Join(err, fmt.Errorf("the token cannot be renewed and is good until %s: give another", was.since.Add(was.ttl).Format(time.RFC3339)))
	}
	select {
	case s.turn <- struct{}{}:
		defer func() { <-s.turn }()
	case <-ctx.Done():
		return errClosed
	}
	if s.current().number != was.number {
		return nil
	}
	return s.signIn(ctx)
}

// extend renews the token, and reports whether it lasts much longer now.
func (s *session) extend(ctx context.Context, was lease) (bool, error) {
	var got answer[struct{}]
	c := put("auth/token/renew-self", struct{}{})
	err := s.once(ctx, c, &got)
	if err != nil {
		return false, s.explain(ctx, c, err)
	}
	if got.Auth == nil {
		return false, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lease.number != was.number {
		return true, nil
	}
	s.lease.since, s.lease.ttl = time.Now(), time.Duration(got.Auth.LeaseDuration)*time.Second
	return s.lease.ttl >= was.granted*2/3, nil
}
