package oauth

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"syscall"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/json" // see assertion.go

	"github.com/passerelle-cloud/passerelle/consent"
)

// The limits of a JWK set that is fetched.
const (
	keysLife    = 10 * time.Minute // for so long it is not fetched again
	keysStale   = time.Hour        // for so long it is used when it cannot be fetched
	keysAgain   = time.Minute      // between two fetches for a key that is not known
	keysFailed  = 30 * time.Second // after a fetch that failed
	maxKeys     = 50
	maxKeysSize = 64 << 10
	fetchTime   = 5 * time.Second
)

// keySource has the keys of services: those that they registered, or fetched from where they said (RFC 7591 section 2).
type keySource struct {
	client *http.Client
	now    func() time.Time

	mu   sync.Mutex
	sets map[string]*keySet // by the text of the set, or by its address
}

// keySet is a JWK set. Whoever fetches it holds the lock, and the others wait for them.
type keySet struct {
	mu      sync.Mutex
	keys    []jose.JSONWebKey
	fetched time.Time
	tried   time.Time
	err     error
}

// mostSets is how many are kept.
const mostSets = 10_000

func newKeySource(local bool, now func() time.Time) *keySource {
	return &keySource{client: SafeClient(local), now: now, sets: map[string]*keySet{}}
}

func (s *keySource) set(name string) *keySet {
	s.mu.Lock()
	defer s.mu.Unlock()
	set := s.sets[name]
	if set == nil {
		if len(s.sets) >= mostSets {
			clear(s.sets)
		}
		set = &keySet{}
		s.sets[name] = set
	}
	return set
}

// of returns the public keys of a service that may have a kid: all, if it is "".
func (s *keySource) of(ctx context.Context, service *consent.Service, kid string) ([]jose.JSONWebKey, error) {
	if len(service.JWKS) > 0 {
		set := s.set(string(service.JWKS))
		set.mu.Lock()
		defer set.mu.Unlock()
		if set.fetched.IsZero() {
			set.keys, set.err = parseKeys(service.JWKS)
			set.fetched = s.now()
		}
		return named(set.keys, kid), set.err
	}
	if service.JWKSURI == "" {
		return nil, errors.New("it has registered none")
	}
	set := s.set(service.JWKSURI)
	set.mu.Lock()
	defer set.mu.Unlock()
	now := s.now()
	keys := named(set.keys, kid)
	fresh := now.Before(set.fetched.Add(keysLife))
	if len(keys) > 0 && fresh || len(keys) == 0 && fresh && now.Before(set.tried.Add(keysAgain)) {
		return keys, nil
	}
	if set.err == nil || !now.Before(set.tried.Add(keysFailed)) {
		set.tried = now
		fetched, err := s.fetch(ctx, service.JWKSURI)
		if set.err = err; err == nil {
			set.keys, set.fetched = fetched, now
		}
	}
	if set.err != nil && now.After(set.fetched.Add(keysStale)) {
		return nil, set.err
	}
	return named(set.keys, kid), nil
}

func named(keys []jose.JSONWebKey, kid string) (list []jose.JSONWebKey) {
	for _, k := range keys {
		if (kid == "" || k.KeyID == kid) && (k.Use == "" || k.Use == "sig") {
			list = append(list, k)
		}
	}
	return list
}

func (s *keySource) fetch(ctx context.Context, from string) ([]jose.JSONWebKey, error) {
	ctx, stop := context.WithTimeout(context.WithoutCancel(ctx), fetchTime) // others wait for it too
	defer stop()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, from, nil)
	if err != nil {
		return nil, err
	}
	r.Header.Set("Accept", "application/jwk-set+json, application/json")
	response, err := s.client.Do(r)
	if err != nil {
		return nil, fmt.Errorf("fetch its jwks_uri: %w", err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("its jwks_uri answers %s", response.Status)
	}
	text, err := io.ReadAll(io.LimitReader(response.Body, maxKeysSize+1))
	if err != nil {
		return nil, fmt.Errorf("fetch its jwks_uri: %w", err)
	}
	if len(text) > maxKeysSize {
		return nil, fmt.Errorf("its jwks_uri gives more than %d bytes", maxKeysSize)
	}
	return parseKeys(text)
}

// parseKeys reads a JWK set. One with a private key is refused: it is not private any more. Keys of kinds that are not
// known here are left aside (RFC 7517 section 5).
func parseKeys(text []byte) ([]jose.JSONWebKey, error) {
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(text, &set); err != nil {
		return nil, fmt.Errorf("its keys are not a JWK set: %w", err)
	}
	if len(set.Keys) > maxKeys {
		return nil, fmt.Errorf("it has more than %d keys", maxKeys)
	}
	var keys []jose.JSONWebKey
	for _, raw := range set.Keys {
		if hasSecret(raw) {
			return nil, errors.New("its keys hold a private or a shared one: whoever has read it can act in its name; replace it")
		}
		var k jose.JSONWebKey
		if err := k.UnmarshalJSON(raw); err == nil && k.IsPublic() {
			keys = append(keys, k)
		}
	}
	return keys, nil
}

// hasSecret reports whether a JWK has a member that nobody else may see (RFC 7518 section 6), of whatever kind it is.
func hasSecret(key json.RawMessage) bool {
	var members map[string]json.RawMessage
	if json.Unmarshal(key, &members) != nil {
		return false // and no key
	}
	for _, name := range []string{"d", "p", "q", "dp", "dq", "qi", "oth", "k", "priv"} {
		if _, ok := members[name]; ok {
			return true
		}
	}
	return false
}

// SafeClient reaches services and nothing that is private: no address of this machine or of its networks, whatever a
// name resolves to, no redirects, and nothing that takes long. local lets it reach this machine, for trying things out.
func SafeClient(local bool) *http.Client {
	dialer := &net.Dialer{Timeout: fetchTime, Control: func(_, address string, _ syscall.RawConn) error {
		to, err := netip.ParseAddrPort(address) // what is about to be connected to, after all names are resolved
		if err != nil {
			return err
		}
		if !reachable(to.Addr().Unmap(), local) {
			return fmt.Errorf("%s is not an address that others could reach", to.Addr())
		}
		return nil
	}}
	return &http.Client{
		Timeout:       2 * fetchTime,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &secured{local, &http.Transport{DialContext: dialer.DialContext, TLSHandshakeTimeout: fetchTime, ResponseHeaderTimeout: fetchTime,
			MaxIdleConnsPerHost: 2, IdleConnTimeout: time.Minute, MaxResponseHeaderBytes: 32 << 10, ForceAttemptHTTP2: true}},
	}
}

// secured asks in the clear at most of this machine.
type secured struct {
	local bool
	*http.Transport
}

// RoundTrip implements [http.RoundTripper].
func (s *secured) RoundTrip(r *http.Request) (*http.Response, error) {
	host := r.URL.Hostname()
	address, _ := netip.ParseAddr(host)
	if r.URL.Scheme != "https" && !(s.local && (host == "localhost" || address.IsLoopback())) {
		if r.Body != nil {
			r.Body.Close()
		}
		return nil, fmt.Errorf("%s is asked over https only", host)
	}
	return s.Transport.RoundTrip(r)
}

// nobodys are networks that netip does not call private and that no service is in: RFC 6890 and the registries of IANA.
var nobodys = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"), netip.MustParsePrefix("100.64.0.0/10"), netip.MustParsePrefix("192.0.0.0/24"), netip.MustParsePrefix("192.0.2.0/24"),
	netip.MustParsePrefix("192.88.99.0/24"), netip.MustParsePrefix("198.18.0.0/15"), netip.MustParsePrefix("198.51.100.0/24"), netip.MustParsePrefix("203.0.113.0/24"),
	netip.MustParsePrefix("240.0.0.0/4"), netip.MustParsePrefix("2001::/23"), netip.MustParsePrefix("2001:db8::/32"), netip.MustParsePrefix("2002::/16"), netip.MustParsePrefix("3fff::/20"),
}

// everybodys is what IANA has given out of IPv6. What is outside leads elsewhere: to IPv4 (RFC 6052), or inside.
var everybodys = netip.MustParsePrefix("2000::/3")

func reachable(a netip.Addr, local bool) bool {
	a = a.WithZone("") // no prefix contains an address that has one
	if local && a.IsLoopback() {
		return true
	}
	if !a.IsGlobalUnicast() || a.IsPrivate() || a.IsLoopback() || a.IsLinkLocalUnicast() {
		return false
	}
	if a.Is6() && !everybodys.Contains(a) {
		return false
	}
	for _, p := range nobodys {
		if p.Contains(a) {
			return false
		}
	}
	return true
}
