package oauth

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/passerelle-cloud/passerelle/consent"
)

// names makes this process resolve all names with answer, which is asked each time.
func names(t *testing.T, answer func() []netip.Addr) {
	before := net.DefaultResolver
	t.Cleanup(func() { net.DefaultResolver = before })
	net.DefaultResolver = &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		here, there := net.Pipe()
		go func() {
			defer there.Close()
			for serveName(there, answer) == nil {
			}
		}()
		return here, nil
	}}
}

// serveName answers one question of the domain name system (RFC 1035 section 4), with the addresses if it is for A.
func serveName(c net.Conn, answer func() []netip.Addr) error {
	var size uint16
	if err := binary.Read(c, binary.BigEndian, &size); err != nil {
		return err
	}
	q := make([]byte, size)
	if _, err := io.ReadFull(c, q); err != nil {
		return err
	}
	end := 12
	for q[end] != 0 {
		end += int(q[end]) + 1
	}
	end += 5
	var addresses []netip.Addr
	if binary.BigEndian.Uint16(q[end-4:]) == 1 {
		addresses = answer()
	}
	reply := append([]byte{q[0], q[1], 0x81, 0x80, 0, 1, 0, byte(len(addresses)), 0, 0, 0, 0}, q[12:end]...)
	for _, a := range addresses {
		reply = append(append(reply, 0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4), a.AsSlice()...)
	}
	_, err := c.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(reply))), reply...))
	return err
}

// TestNames: what counts is the address that is connected to, not what a name led to when somebody looked.
func TestNames(t *testing.T) {
	inside := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("it was reached") }))
	defer inside.Close()
	connected := &atomic.Int64{}
	inside.Config.ConnState = func(net.Conn, http.ConnState) { connected.Add(1) }
	_, port, _ := net.SplitHostPort(inside.Listener.Addr().String())
	var asked atomic.Int64
	public, here, network := netip.MustParseAddr("93.184.216.34"), netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("10.0.0.1")
	for name, answers := range map[string][][]netip.Addr{
		"leads here":        {{here}},
		"leads to networks": {{network}},
		"one of many":       {{network, here}},
		"rebound":           {{public}, {here}},
	} {
		asked.Store(0)
		names(t, func() []netip.Addr { return answers[min(int(asked.Add(1)), len(answers))-1] })
		if len(answers) > 1 { // somebody looks at where it leads
			if found, err := net.DefaultResolver.LookupNetIP(t.Context(), "ip4", "service.example"); err != nil || found[0].Unmap() != public {
				t.Fatalf("%v: %v", found, err)
			}
		}
		_, err := SafeClient(false).Get("https://service.example:" + port + "/jwks")
		if err == nil || !strings.Contains(err.Error(), "not an address that others could reach") || connected.Load() != 0 {
			t.Errorf("%s: %v, after %d connections", name, err, connected.Load())
		}
	}
}

// TestOddAddresses is about addresses that lead inside and look otherwise.
func TestOddAddresses(t *testing.T) {
	for _, address := range []string{"64:ff9b::7f00:1%lo", "2002:7f00:1::%eth0", "2001:db8::1%1", "::127.0.0.1", "::ffff:0:127.0.0.1", "64:ff9b:1::1", "100::1", "5f00::1", "3fff::1", "fec0::1",
		"fe80::1%eth0", "::1%lo", "::ffff:169.254.169.254", "192.88.99.1", "192.0.0.170", "240.0.0.1"} {
		if reachable(netip.MustParseAddr(address).Unmap(), false) {
			t.Error(address)
		}
	}
	names(t, func() []netip.Addr { return []netip.Addr{netip.MustParseAddr("127.0.0.1")} }) // as the C library takes them
	for address, want := range map[string]string{"https://[64:ff9b::7f00:1%25lo]/": "not an address that others could reach", "https://[::ffff:127.0.0.1]/": "not an address that others could reach",
		"https://0x7f000001/": "not an address that others could reach", "https://127.1/": "no such host", "https://0/": "no such host"} {
		if _, err := SafeClient(false).Get(address); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", address, err)
		}
	}
}

// TestInTheClear: without TLS, this machine is all that may be asked.
func TestInTheClear(t *testing.T) {
	names(t, func() []netip.Addr { return []netip.Addr{netip.MustParseAddr("127.0.0.1")} }) // and nobody else's
	here := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer here.Close()
	if answer, err := SafeClient(true).Get(here.URL); err != nil {
		t.Error(err)
	} else {
		answer.Body.Close()
	}
	for _, local := range []bool{false, true} {
		for _, address := range []string{here.URL, "http://service.example/", "http://192.0.2.1/", "http://localhost.evil.example/"} {
			if local && address == here.URL {
				continue
			}
			if _, err := SafeClient(local).Post(address, "text/plain", strings.NewReader("x")); err == nil || !strings.Contains(err.Error(), "over https only") {
				t.Errorf("%s: %v", address, err)
			}
		}
	}
}

// TestRedirects: they are not followed, by whomever the client is used.
func TestRedirects(t *testing.T) {
	var asked atomic.Int64
	from := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		http.Redirect(w, r, "/else", http.StatusTemporaryRedirect)
	}))
	defer from.Close()
	answer, err := SafeClient(true).Get(from.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusTemporaryRedirect || asked.Load() != 1 {
		t.Errorf("%s after %d requests", answer.Status, asked.Load())
	}
}

// TestSlowKeys: a server that drips its keys is left after a while, and one that says nothing is too.
func TestSlowKeys(t *testing.T) {
	for name, answer := range map[string]func(w http.ResponseWriter, done <-chan struct{}){
		"silent": func(_ http.ResponseWriter, done <-chan struct{}) { <-done },
		"dripping": func(w http.ResponseWriter, done <-chan struct{}) {
			for {
				select {
				case <-done:
					return
				case <-time.After(100 * time.Millisecond):
					fmt.Fprint(w, " ")
					w.(http.Flusher).Flush()
				}
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			from := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { answer(w, r.Context().Done()) }))
			defer from.Close()
			s := newKeySource(true, time.Now)
			began := time.Now()
			keys, err := s.of(context.Background(), &consent.Service{JWKSURI: from.URL}, "")
			if took := time.Since(began); err == nil || len(keys) != 0 || took > fetchTime+2*time.Second {
				t.Errorf("%d keys after %s: %v", len(keys), took, err)
			}
			began = time.Now()
			if _, err := s.of(context.Background(), &consent.Service{JWKSURI: from.URL}, ""); err == nil || time.Since(began) > time.Second {
				t.Errorf("it was asked again after %s: %v", time.Since(began), err)
			}
		})
	}
}

func TestParseKeys(t *testing.T) {
	good := string(set(jose.JSONWebKey{Key: ecKey().Public(), KeyID: "1"}))
	good = good[len(`{"keys":[`) : len(good)-2]
	for name, k := range map[string]struct {
		text string
		n    int // -1: refused
	}{
		"one":                    {`{"keys":[` + good + `]}`, 1},
		"none":                   {`{"keys":[]}`, 0},
		"a kind that is unknown": {`{"keys":[{"kty":"X"},` + good + `]}`, 1},
		"no key":                 {`{"keys":[1,null,` + good + `]}`, 1},
		"not on the curve":       {`{"keys":[{"kty":"EC","crv":"P-256","x":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAE","y":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAE"}]}`, 0},
		"a shared secret":        {`{"keys":[{"kty":"oct","k":"AAAA"}]}`, -1},
		"a private key":          {string(set(jose.JSONWebKey{Key: ecKey()})), -1},
		"private, unknown curve": {`{"keys":[{"kty":"EC","crv":"secp256k1","x":"AA","y":"AA","d":"AA"}]}`, -1},
		"private, unknown kind":  {`{"keys":[{"kty":"X","d":"AA"},` + good + `]}`, -1},
		"part of a private RSA":  {`{"keys":[{"kty":"RSA","n":"AQAB","e":"AQAB","p":"AQAB"}]}`, -1},
		"keys twice":             {`{"keys":[],"keys":[` + good + `]}`, -1},
		"a list":                 {`[` + good + `]`, -1},
	} {
		keys, err := parseKeys([]byte(k.text))
		if (err != nil) != (k.n < 0) || err == nil && len(keys) != k.n {
			t.Errorf("%s: %d keys, %v", name, len(keys), err)
		}
	}
}
