package oauth

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/passerelle-cloud/passerelle/consent"
)

const issuer = "https://operator.example"

var start = time.Unix(1_790_000_000, 0)

// memory is a once that forgets nothing.
func memory() once {
	var mu sync.Mutex
	seen := map[string]bool{}
	return func(_ context.Context, kind, who, id string, _ time.Time) error {
		mu.Lock()
		defer mu.Unlock()
		if seen[kind+who+"\x00"+id] {
			return errReplay
		}
		seen[kind+who+"\x00"+id] = true
		return nil
	}
}

func ecKey() *ecdsa.PrivateKey {
	k, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	return k
}

func jws(t testing.TB, alg jose.SignatureAlgorithm, key any, header map[jose.HeaderKey]any, embed bool, claims any) string {
	t.Helper()
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: key}, &jose.SignerOptions{ExtraHeaders: header, EmbedJWK: embed})
	if err != nil {
		t.Fatal(err)
	}
	payload, _ := json.Marshal(claims)
	signed, err := signer.Sign(payload)
	if err != nil {
		t.Fatal(err)
	}
	text, err := signed.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// newName is a JWS with EdDSA by its newer name, Ed25519 (RFC 9864), which the library does not make.
func newName(key ed25519.PrivateKey, header, claims m) string {
	header["alg"] = "Ed25519"
	h, _ := json.Marshal(header)
	c, _ := json.Marshal(claims)
	input := base64.RawURLEncoding.EncodeToString(h) + "." + base64.RawURLEncoding.EncodeToString(c)
	return input + "." + base64.RawURLEncoding.EncodeToString(ed25519.Sign(key, []byte(input)))
}

func set(keys ...jose.JSONWebKey) []byte {
	text, _ := json.Marshal(jose.JSONWebKeySet{Keys: keys})
	return text
}

func auth(services map[string]*consent.Service) *clientAuth {
	return &clientAuth{issuer: issuer, keys: newKeySource(true, func() time.Time { return start }), once: memory(), now: func() time.Time { return start },
		service: func(_ context.Context, id string) (*consent.Service, error) {
			if s := services[id]; s != nil {
				return s, nil
			}
			return nil, consent.ErrNotFound
		}}
}

type m = map[string]any

func TestAssertions(t *testing.T) {
	ec, other := ecKey(), ecKey()
	rs, _ := rsa.GenerateKey(rand.Reader, 2048)
	weak, _ := rsa.GenerateKey(rand.Reader, 1024)
	_, ed, _ := ed25519.GenerateKey(nil)
	_, ed2, _ := ed25519.GenerateKey(nil)
	a := auth(map[string]*consent.Service{
		"a": {ID: "a", Auth: consent.PrivateKeyJWT, JWKS: set(jose.JSONWebKey{Key: ec.Public(), KeyID: "ec", Use: "sig"}, jose.JSONWebKey{Key: rs.Public(), KeyID: "rs"},
			jose.JSONWebKey{Key: weak.Public(), KeyID: "weak"}, jose.JSONWebKey{Key: ed.Public(), KeyID: "ed"}, jose.JSONWebKey{Key: other.Public(), KeyID: "enc", Use: "enc"})},
		"b": {ID: "b", Auth: consent.PrivateKeyJWT, JWKS: set(jose.JSONWebKey{Key: other.Public(), KeyID: "ec"})},
		"c": {ID: "c", Auth: consent.TLSClientAuth},
	})
	public, err := x509.MarshalPKIXPublicKey(ec.Public())
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	good := func(change m) m {
		n++
		c := m{"iss": "a", "sub": "a", "aud": issuer, "jti": fmt.Sprint(n), "exp": start.Unix() + 60, "iat": start.Unix()}
		maps.Copy(c, change)
		return c
	}
	es := func(c m) string { return jws(t, jose.ES256, ec, map[jose.HeaderKey]any{"kid": "ec"}, false, c) }
	none := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none"}`)) + "."
	goodText, _ := json.Marshal(good(nil))
	for name, k := range map[string]struct {
		assertion string
		form      url.Values
		ok        bool
	}{
		"ES256":                     {es(good(nil)), nil, true},
		"PS256":                     {jws(t, jose.PS256, rs, map[jose.HeaderKey]any{"kid": "rs"}, false, good(nil)), nil, true},
		"EdDSA":                     {jws(t, jose.EdDSA, ed, map[jose.HeaderKey]any{"kid": "ed"}, false, good(nil)), nil, true},
		"Ed25519":                   {newName(ed, m{"kid": "ed"}, good(nil)), nil, true},
		"Ed25519, another key":      {newName(ed2, m{"kid": "ed"}, good(nil)), nil, false},
		"Ed25519, an EC key":        {newName(ed, m{"kid": "ec"}, good(nil)), nil, false},
		"Ed25519, critical":         {newName(ed, m{"kid": "ed", "crit": []string{"x"}, "x": 1}, good(nil)), nil, false},
		"Ed25519, unencoded":        {newName(ed, m{"kid": "ed", "crit": []string{"b64"}, "b64": false}, good(nil)), nil, false},
		"no kid":                    {jws(t, jose.ES256, ec, nil, false, good(nil)), nil, true},
		"with its client_id":        {es(good(nil)), url.Values{"client_id": {"a"}}, true},
		"a clock 9 s ahead":         {es(good(m{"iat": start.Unix() + 9, "nbf": start.Unix() + 9})), nil, true},
		"expired 9 s ago":           {es(good(m{"exp": start.Unix() - 9})), nil, true},
		"times with a fraction":     {es(good(m{"exp": float64(start.Unix()) + 60.5})), nil, true},
		"RS256":                     {jws(t, jose.RS256, rs, map[jose.HeaderKey]any{"kid": "rs"}, false, good(nil)), nil, false},
		"weak RSA":                  {jws(t, jose.PS256, weak, map[jose.HeaderKey]any{"kid": "weak"}, false, good(nil)), nil, false},
		"HS256 with the public key": {jws(t, jose.HS256, public, map[jose.HeaderKey]any{"kid": "ec"}, false, good(nil)), nil, false},
		"none":                      {none + base64.RawURLEncoding.EncodeToString(goodText) + ".", nil, false},
		"another key":               {jws(t, jose.ES256, other, map[jose.HeaderKey]any{"kid": "ec"}, false, good(nil)), nil, false},
		"a key for encryption":      {jws(t, jose.ES256, other, map[jose.HeaderKey]any{"kid": "enc"}, false, good(nil)), nil, false},
		"an embedded key":           {jws(t, jose.ES256, other, nil, true, good(nil)), nil, false},
		"a kid that is not there":   {jws(t, jose.ES256, ec, map[jose.HeaderKey]any{"kid": "x"}, false, good(nil)), nil, false},
		"critical":                  {jws(t, jose.ES256, ec, map[jose.HeaderKey]any{"crit": []string{"x"}, "x": 1}, false, good(nil)), nil, false},
		"aud is a list":             {es(good(m{"aud": []string{issuer}})), nil, false},
		"aud is the endpoint":       {es(good(m{"aud": issuer + PathToken})), nil, false},
		"aud is another":            {es(good(m{"aud": "https://other.example"})), nil, false},
		"no aud":                    {es(good(m{"aud": nil})), nil, false},
		"no exp":                    {es(good(m{"exp": nil})), nil, false},
		"expired":                   {es(good(m{"exp": start.Unix() - 11})), nil, false},
		"for ten years":             {es(good(m{"exp": start.Unix() + 10*365*86400})), nil, false},
		"a time that is text":       {es(good(m{"exp": "tomorrow"})), nil, false},
		"an endless time":           {es(good(m{"exp": 1e300})), nil, false},
		"from the future":           {es(good(m{"iat": start.Unix() + 61})), nil, false},
		"not before later":          {es(good(m{"nbf": start.Unix() + 61})), nil, false},
		"no jti":                    {es(good(m{"jti": ""})), nil, false},
		"an endless jti":            {es(good(m{"jti": strings.Repeat("x", 257)})), nil, false},
		"of another":                {es(good(m{"sub": "b", "iss": "b"})), nil, false},
		"iss is not sub":            {es(good(m{"iss": "b"})), nil, false},
		"client_id of another":      {es(good(nil)), url.Values{"client_id": {"b"}}, false},
		"of nobody":                 {es(good(m{"sub": "x", "iss": "x"})), nil, false},
		"of one with certificate":   {es(good(m{"sub": "c", "iss": "c"})), nil, false},
		"endless":                   {es(good(m{"x": strings.Repeat("x", 9000)})), nil, false},
		"nothing":                   {"", nil, false},
		"no JWS":                    {"a.b.c", nil, false},
		"another type":              {es(good(nil)), url.Values{"client_assertion_type": {"x"}}, false},
		"with a secret":             {es(good(nil)), url.Values{"client_secret": {"x"}}, false},
	} {
		form := url.Values{"client_assertion_type": {assertionType}, "client_assertion": {k.assertion}}
		maps.Copy(form, k.form)
		s, err := a.authenticate(t.Context(), httptest.NewRequest(http.MethodPost, "/", nil), form)
		if (err == nil) != k.ok || err == nil && s.ID != "a" || err != nil && !errors.Is(err, errClient) {
			t.Errorf("%s: %v", name, err)
		}
	}
	once := es(good(nil))
	var won atomic.Int64
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			_, err := a.authenticate(context.Background(), httptest.NewRequest(http.MethodPost, "/", nil), url.Values{"client_assertion_type": {assertionType}, "client_assertion": {once}})
			if err == nil {
				won.Add(1)
			} else if !errors.Is(err, errReplay) {
				t.Error(err)
			}
		})
	}
	if wg.Wait(); won.Load() != 1 {
		t.Errorf("one assertion was accepted %d times", won.Load())
	}
	wrong := good(m{"aud": "https://other.example"})
	a.authenticate(t.Context(), httptest.NewRequest(http.MethodPost, "/", nil), url.Values{"client_assertion_type": {assertionType}, "client_assertion": {es(wrong)}})
	wrong["aud"] = issuer
	if _, err := a.authenticate(t.Context(), httptest.NewRequest(http.MethodPost, "/", nil), url.Values{"client_assertion_type": {assertionType}, "client_assertion": {es(wrong)}}); err != nil {
		t.Error("a wrong assertion used its jti up:", err)
	}
}

func TestCertificates(t *testing.T) {
	authority, stranger := ecKey(), ecKey()
	ca := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "CA"}, NotBefore: start.Add(-time.Hour), NotAfter: start.Add(time.Hour), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	make509 := func(template, parent *x509.Certificate, public crypto.PublicKey, signer crypto.Signer) *x509.Certificate {
		der, err := x509.CreateCertificate(rand.Reader, template, parent, public, signer)
		if err != nil {
			t.Fatal(err)
		}
		c, _ := x509.ParseCertificate(der)
		return c
	}
	another := *ca
	ca = make509(ca, ca, authority.Public(), authority)
	false509 := make509(&another, &another, stranger.Public(), stranger)
	own := ecKey()
	leaf := func(change func(*x509.Certificate), parent *x509.Certificate, signer crypto.Signer) *x509.Certificate {
		c := &x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "svc", Organization: []string{"Service"}, Country: []string{"FR"}}, NotBefore: start.Add(-time.Minute), NotAfter: start.Add(time.Minute), ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
		if change != nil {
			change(c)
		}
		if parent == nil {
			parent = c
		}
		return make509(c, parent, own.Public(), signer)
	}
	a := auth(map[string]*consent.Service{
		"pki":  {ID: "pki", Auth: consent.TLSClientAuth, SubjectDN: "CN=svc,O=Service,C=FR"},
		"self": {ID: "self", Auth: consent.SelfSignedTLS, JWKS: set(jose.JSONWebKey{Key: own.Public(), KeyID: "1"})},
		"else": {ID: "else", Auth: consent.SelfSignedTLS, JWKS: set(jose.JSONWebKey{Key: stranger.Public(), KeyID: "1"})},
		"jwt":  {ID: "jwt", Auth: consent.PrivateKeyJWT},
	})
	a.trust = x509.NewCertPool()
	a.trust.AddCert(ca)
	for name, k := range map[string]struct {
		id   string
		cert *x509.Certificate
		ok   bool
	}{
		"vouched for":     {"pki", leaf(nil, ca, authority), true},
		"self-signed":     {"self", leaf(nil, nil, own), true},
		"another subject": {"pki", leaf(func(c *x509.Certificate) { c.Subject.CommonName = "svc2" }, ca, authority), false},
		"another CA":      {"pki", leaf(nil, false509, stranger), false},
		"self for pki":    {"pki", leaf(nil, nil, own), false},
		"expired":         {"pki", leaf(func(c *x509.Certificate) { c.NotAfter = start.Add(-time.Second) }, ca, authority), false},
		"expired, self":   {"self", leaf(func(c *x509.Certificate) { c.NotAfter = start.Add(-time.Second) }, nil, own), false},
		"for servers":     {"pki", leaf(func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} }, ca, authority), false},
		"another key":     {"else", leaf(nil, nil, own), false},
		"another method":  {"jwt", leaf(nil, ca, authority), false},
		"nobody":          {"x", leaf(nil, ca, authority), false},
	} {
		r := httptest.NewRequest(http.MethodPost, "/", nil)
		r.TLS = &tls.ConnectionState{PeerCertificates: []*x509.Certificate{k.cert}}
		s, err := a.authenticate(t.Context(), r, url.Values{"client_id": {k.id}})
		if (err == nil) != k.ok || err == nil && s.ID != k.id || err != nil && !errors.Is(err, errClient) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestProofs(t *testing.T) {
	key := ecKey()
	rs, _ := rsa.GenerateKey(rand.Reader, 2048)
	weak, _ := rsa.GenerateKey(rand.Reader, 1024)
	_, ed, _ := ed25519.GenerateKey(nil)
	now := start
	d := &dpop{once: memory(), nonces: newNonces(make([]byte, 32), func() time.Time { return now }), now: func() time.Time { return now }}
	target := issuer + "/data/contacts"
	sum := sha256.Sum256([]byte("token"))
	n := 0
	good := func(change m) m {
		n++
		c := m{"jti": fmt.Sprint(n), "htm": "GET", "htu": target, "iat": start.Unix(), "ath": base64.RawURLEncoding.EncodeToString(sum[:]), "nonce": d.nonces.current()}
		maps.Copy(c, change)
		return c
	}
	typ := map[jose.HeaderKey]any{jose.HeaderType: "dpop+jwt"}
	es := func(c m) string { return jws(t, jose.ES256, key, typ, true, c) }
	for name, k := range map[string]struct {
		proof string
		want  error
	}{
		"ES256":                {es(good(nil)), nil},
		"PS256":                {jws(t, jose.PS256, rs, typ, true, good(nil)), nil},
		"EdDSA":                {jws(t, jose.EdDSA, ed, typ, true, good(nil)), nil},
		"Ed25519":              {newName(ed, m{"typ": "dpop+jwt", "jwk": jose.JSONWebKey{Key: ed.Public()}}, good(nil)), nil},
		"Ed25519, another key": {newName(ed, m{"typ": "dpop+jwt", "jwk": jose.JSONWebKey{Key: key.Public()}}, good(nil)), errProof},
		"host in capitals":     {es(good(m{"htu": "HTTPS://Operator.Example/data/contacts"})), nil},
		"default port":         {es(good(m{"htu": "https://operator.example:443/data/contacts"})), nil},
		"with a query":         {es(good(m{"htu": target + "?x=1#y"})), nil},
		"percent":              {es(good(m{"htu": issuer + "/data/cont%61cts"})), nil},
		"a clock 9 s ahead":    {es(good(m{"iat": start.Unix() + 9})), nil},
		"nonce of before":      {es(good(m{"nonce": d.nonces.of(d.nonces.slot() - 1)})), nil},
		"old nonce":            {es(good(m{"nonce": d.nonces.of(d.nonces.slot() - 2)})), errNonce},
		"no nonce":             {es(good(m{"nonce": nil})), errNonce},
		"another method":       {es(good(m{"htm": "POST"})), errProof},
		"another target":       {es(good(m{"htu": issuer + "/data/bank"})), errProof},
		"another host":         {es(good(m{"htu": "https://evil.example/data/contacts"})), errProof},
		"another scheme":       {es(good(m{"htu": "http://operator.example/data/contacts"})), errProof},
		"capitals in the path": {es(good(m{"htu": issuer + "/data/Contacts"})), errProof},
		"with a user":          {es(good(m{"htu": "https://u@operator.example/data/contacts"})), errProof},
		"another token":        {es(good(m{"ath": base64.RawURLEncoding.EncodeToString(make([]byte, 32))})), errProof},
		"no token":             {es(good(m{"ath": nil})), errProof},
		"no jti":               {es(good(m{"jti": nil})), errProof},
		"endless jti":          {es(good(m{"jti": strings.Repeat("x", 257)})), errProof},
		"no iat":               {es(good(m{"iat": nil})), errProof},
		"old":                  {es(good(m{"iat": start.Unix() - 71})), errProof},
		"from the future":      {es(good(m{"iat": start.Unix() + 61})), errProof},
		"no typ":               {jws(t, jose.ES256, key, nil, true, good(nil)), errProof},
		"another typ":          {jws(t, jose.ES256, key, map[jose.HeaderKey]any{jose.HeaderType: "JWT"}, true, good(nil)), errProof},
		"no jwk":               {jws(t, jose.ES256, key, typ, false, good(nil)), errProof},
		"RS256":                {jws(t, jose.RS256, rs, typ, true, good(nil)), errProof},
		"weak RSA":             {jws(t, jose.PS256, weak, typ, true, good(nil)), errProof},
		"another key in it":    {jws(t, jose.ES256, key, map[jose.HeaderKey]any{jose.HeaderType: "dpop+jwt", "jwk": jose.JSONWebKey{Key: ecKey().Public()}}, false, good(nil)), errProof},
		"a private key in it":  {jws(t, jose.ES256, key, map[jose.HeaderKey]any{jose.HeaderType: "dpop+jwt", "jwk": jose.JSONWebKey{Key: key}}, false, good(nil)), errProof},
		"endless":              {es(good(m{"x": strings.Repeat("x", 9000)})), errProof},
		"nothing":              {"", errProof},
	} {
		r := httptest.NewRequest(http.MethodGet, target, nil)
		r.Header.Set("DPoP", k.proof)
		if _, err := d.verify(t.Context(), r, target, "token"); !errors.Is(err, k.want) || (err == nil) != (k.want == nil) {
			t.Errorf("%s: %v", name, err)
		}
	}
	r := httptest.NewRequest(http.MethodGet, target, nil)
	r.Header["Dpop"] = []string{es(good(nil)), es(good(nil))}
	if _, err := d.verify(t.Context(), r, target, "token"); !errors.Is(err, errProof) {
		t.Error("two proofs:", err)
	}
	r.Header["Dpop"] = r.Header["Dpop"][:1]
	if _, err := d.verify(t.Context(), r, target, "token"); err != nil {
		t.Error(err)
	}
	if _, err := d.verify(t.Context(), r, target, "token"); !errors.Is(err, errReplay) {
		t.Error("again:", err)
	}
}

// TestAddresses is about what the gateway must not be made to reach.
func TestAddresses(t *testing.T) {
	for address, want := range map[string]bool{
		"93.184.216.34": true, "2606:2800:220:1:248:1893:25c8:1946": true, "127.0.0.1": false, "127.1.2.3": false, "::1": false, "10.0.0.1": false, "172.16.0.1": false,
		"192.168.1.1": false, "169.254.169.254": false, "100.64.0.1": false, "0.0.0.0": false, "::": false, "224.0.0.1": false, "255.255.255.255": false, "fe80::1": false,
		"fc00::1": false, "fd12::1": false, "ff02::1": false, "::ffff:127.0.0.1": false, "::ffff:10.0.0.1": false, "64:ff9b::7f00:1": false, "2002:7f00:1::": false, "2001:db8::1": false, "198.18.0.1": false,
	} {
		if got := reachable(netip.MustParseAddr(address).Unmap(), false); got != want {
			t.Errorf("%s: %t", address, got)
		}
	}
	if !reachable(netip.MustParseAddr("127.0.0.1"), true) || reachable(netip.MustParseAddr("10.0.0.1"), true) {
		t.Error("local is this machine, and not its networks")
	}
	inside := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("it was reached") }))
	defer inside.Close()
	if _, err := SafeClient(false).Get(inside.URL); err == nil || !strings.Contains(err.Error(), "not an address that others could reach") {
		t.Error(err)
	}
	if _, err := SafeClient(false).Get(strings.Replace(inside.URL, "127.0.0.1", "localhost", 1)); err == nil { // a name that leads inside
		t.Error("it was reached by a name")
	}
}

// TestFetchedKeys is about a jwks_uri.
func TestFetchedKeys(t *testing.T) {
	first, second := ecKey(), ecKey()
	var served atomic.Value
	var asked atomic.Int64
	served.Store(set(jose.JSONWebKey{Key: first.Public(), KeyID: "1"}))
	status := http.StatusOK
	from := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		if status == http.StatusFound {
			http.Redirect(w, r, "/elsewhere", status)
			return
		}
		w.WriteHeader(status)
		w.Write(served.Load().([]byte))
	}))
	defer from.Close()
	now := start
	s := newKeySource(true, func() time.Time { return now })
	service := &consent.Service{ID: "a", JWKSURI: from.URL}
	want := func(kid string, n int, times int64) {
		t.Helper()
		keys, err := s.of(context.Background(), service, kid)
		if len(keys) != n || asked.Load() != times {
			t.Errorf("%d keys after %d fetches: %v", len(keys), asked.Load(), err)
		}
	}
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() { want("1", 1, 1) })
	}
	wg.Wait()
	want("2", 0, 1) // just fetched
	served.Store(set(jose.JSONWebKey{Key: first.Public(), KeyID: "1"}, jose.JSONWebKey{Key: second.Public(), KeyID: "2"}))
	now = now.Add(keysAgain)
	want("2", 1, 2) // a new key is found
	want("3", 0, 2)
	now = now.Add(keysLife)
	status = http.StatusInternalServerError
	want("1", 1, 3) // it cannot be fetched: what was known is used
	want("1", 1, 3)
	now = now.Add(keysStale)
	want("1", 0, 4)
	status = http.StatusFound
	now = now.Add(keysFailed)
	want("1", 0, 5)
	status = http.StatusOK
	for n, bad := range [][]byte{[]byte("no JSON"), make([]byte, maxKeysSize+1), set(jose.JSONWebKey{Key: first, KeyID: "1"}), []byte(`{"keys":[` + strings.Repeat(`{},`, maxKeys) + `{}]}`)} {
		served.Store(bad)
		now = now.Add(keysFailed)
		want("1", 0, int64(6+n))
	}
}

// FuzzProof never panics, and accepts nothing that was not made with the key.
func FuzzProof(f *testing.F) {
	d := &dpop{once: memory(), nonces: newNonces(make([]byte, 32), func() time.Time { return start }), now: func() time.Time { return start }}
	a := auth(map[string]*consent.Service{"a": {ID: "a", Auth: consent.PrivateKeyJWT, JWKS: set(jose.JSONWebKey{Key: ecKey().Public(), KeyID: "1"})}})
	f.Add(jws(f, jose.ES256, ecKey(), map[jose.HeaderKey]any{jose.HeaderType: "dpop+jwt"}, true, m{"htm": "GET", "jti": "1"}))
	f.Add("eyJhbGciOiJub25lIn0.e30.")
	f.Fuzz(func(t *testing.T, text string) {
		r := httptest.NewRequest(http.MethodGet, issuer+"/x", nil)
		r.Header["Dpop"] = []string{text}
		if _, err := d.verify(t.Context(), r, issuer+"/x", ""); err == nil {
			t.Errorf("%q was accepted", text)
		}
		if _, err := a.authenticate(t.Context(), r, url.Values{"client_assertion_type": {assertionType}, "client_assertion": {text}}); err == nil {
			t.Errorf("%q was accepted", text)
		}
	})
}
