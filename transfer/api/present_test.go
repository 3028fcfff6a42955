package api

import (
	"net/http/httptest"
	"testing"
)

// TestRTS36Present: a person is there only where the service says from which address, and somebody can be at it.
func TestRTS36Present(t *testing.T) {
	for address, want := range map[string]bool{
		"192.0.2.7": true, "2001:db8::1": true,
		"": false, "yes": false, "192.0.2.7, 192.0.2.8": false, "home.example": false, "0.0.0.0": false, "::": false, "224.0.0.1": false, "ff02::1": false, "' OR 1=1 --": false,
	} {
		r := httptest.NewRequest("GET", "/data/bank", nil)
		r.Header.Set("PSU-IP-Address", address)
		if got := present(r); got != want {
			t.Errorf("%q: %v", address, got)
		}
	}
}
