package main

import (
	"errors"
	"net/http/httptest"
	"testing"
)

func TestClientBehindProxies(t *testing.T) {
	trusted, err := parseProxies([]string{"10.0.0.0/8", "192.0.2.1", "fd00::/8"})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		remote    string
		forwarded []string
		want      string
	}{
		{"203.0.113.7:1234", nil, "203.0.113.7"},
		{"203.0.113.7:1234", []string{"198.51.100.1"}, "203.0.113.7"}, // not a proxy of ours
		{"10.1.2.3:1234", []string{"198.51.100.1"}, "198.51.100.1"},
		{"10.1.2.3:1234", []string{"1.1.1.1, 198.51.100.1"}, "198.51.100.1"}, // what the client wrote itself comes before
		{"10.1.2.3:1234", []string{"1.1.1.1", "198.51.100.1, 192.0.2.1"}, "198.51.100.1"},
		{"10.1.2.3:1234", []string{"198.51.100.1:5678"}, "198.51.100.1"},
		{"10.1.2.3:1234", []string{"[2001:db8::1]:5678"}, "2001:db8::1"},
		{"[::ffff:10.1.2.3]:1234", []string{"2001:db8::1"}, "2001:db8::1"},
		{"10.1.2.3:1234", nil, "10.1.2.3"}, {"10.1.2.3:1234", []string{"unknown"}, "10.1.2.3"}, {"10.1.2.3:1234", []string{"198.51.100.1, <script>"}, "10.1.2.3"},
		{"10.1.2.3:1234", []string{"10.9.9.9"}, "10.9.9.9"}, {"@", nil, "@"},
	} {
		r := httptest.NewRequest("GET", "/", nil)
		r.RemoteAddr = c.remote
		for _, f := range c.forwarded {
			r.Header.Add("X-Forwarded-For", f)
		}
		if got := trusted.client(r); got != c.want {
			t.Errorf("%s, %q: %s, not %s", c.remote, c.forwarded, got, c.want)
		}
	}
	if _, err := parseProxies([]string{"proxy.example"}); !errors.Is(err, errUsage) {
		t.Error(err)
	}
}
