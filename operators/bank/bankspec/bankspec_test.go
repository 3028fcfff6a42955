package bankspec_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/passerelle-cloud/passerelle/operators/bank/bankspec"
	"github.com/passerelle-cloud/passerelle/operators/bank/banktest"
)

// watched is a test that is expected to fail.
type watched struct {
	testing.TB
	mu     sync.Mutex
	faults []string
}

func (w *watched) Errorf(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.faults = append(w.faults, fmt.Sprintf(format, args...))
}

func (w *watched) said() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return strings.Join(w.faults, "\n")
}

// says answers with a status, a media type and a body.
func says(status int, kind, body string, headers ...string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // what a handler leaves is lost
		w.Header().Set("Content-Type", kind)
		w.Header().Set("X-Request-ID", r.Header.Get("X-Request-ID"))
		for _, h := range headers {
			name, value, _ := strings.Cut(h, ": ")
			w.Header().Set(name, value)
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	})
}

const (
	json   = "application/json"
	list   = `{"accounts":[{"currency":"EUR"}]}`
	id     = "X-Request-ID: 99391c7e-ad88-49ec-a2ad-99ddcb1f7721"
	made   = `{"consentStatus":"received","consentId":"1","_links":{}}`
	wanted = `{"access":{"accounts":[]},"recurringIndicator":true,"validUntil":"2026-01-01","frequencyPerDay":4,"combinedServiceIndicator":false}`
	wrong  = `{"tppMessages":[{"category":"ERROR","code":"FORMAT_ERROR"}]}`
	ip     = "PSU-IP-Address: 192.0.2.1"
)

func TestConform(t *testing.T) {
	for name, c := range map[string]struct {
		request string // method, path, headers, body
		bank    http.Handler
		handler string // what is found on the bank's side, "" nothing
		client  string // and on the client's
	}{
		"right":              {"GET /v1/accounts\nConsent-ID: 1\n" + id, says(200, json, list), "", ""},
		"behind a folder":    {"GET /psd2/v1/accounts\nConsent-ID: 1\n" + id, says(200, json, list), "", ""},
		"not of the bank":    {"GET /sca/1", says(200, "text/html", "<p>"), "", ""},
		"status":             {"GET /v1/accounts\nConsent-ID: 1\n" + id, says(418, json, list), "no such status", "no such status"},
		"type":               {"GET /v1/accounts\nConsent-ID: 1\n" + id, says(200, "text/html", list), "is not described", "is not described"},
		"schema":             {"GET /v1/accounts\nConsent-ID: 1\n" + id, says(200, json, `{"accounts":[{}]}`), "currency", "currency"},
		"no JSON":            {"GET /v1/accounts\nConsent-ID: 1\n" + id, says(200, json, `{`), "decode", "decode"},
		"spoilt on purpose":  {"GET /v1/accounts\nConsent-ID: 1\n" + id, says(200, json, `{`, banktest.FaultHeader+": cut"), "", ""},
		"no request id":      {"GET /v1/accounts\nConsent-ID: 1", says(400, json, wrong, id), "", "X-Request-ID"},
		"that is let in":     {"GET /v1/accounts\nConsent-ID: 1", says(200, json, list, id), "X-Request-ID", "X-Request-ID"},
		"not answered":       {"GET /v1/accounts\nConsent-ID: 1\n" + id, says(200, json, list, "X-Request-ID: "), "the header X-Request-ID is missing", "the header X-Request-ID is missing"},
		"consent":            {"POST /v1/consents\n" + id + "\n" + ip + "\n\n" + wanted, says(201, json, made), "", ""},
		"half a consent":     {"POST /v1/consents\n" + id + "\n" + ip + "\n\n{}", says(201, json, made), "access", "access"},
		"unknown to it":      {"GET /v1/nothing\n" + id, says(200, json, "{}"), "not described", "not described"},
		"refused":            {"GET /v1/nothing\n" + id, says(404, json, wrong), "", ""},
		"a body of an error": {"GET /v1/accounts\nConsent-ID: 1\n" + id, says(500, json, wrong), "a body is not described", "a body is not described"},
		"no such status":     {"GET /v1/consents/1/status\n" + id, says(200, json, `{"consentStatus":"lost"}`), "consentStatus", "consentStatus"},
		"no date":            {"GET /v1/accounts/1/transactions?bookingStatus=booked&dateFrom=yesterday\nConsent-ID: 1\n" + id, says(200, json, `{}`), "dateFrom", "dateFrom"},
	} {
		t.Run(name, func(t *testing.T) {
			w, v := &watched{TB: t}, &watched{TB: t}
			server := httptest.NewServer(bankspec.Conform(w).Handler(c.bank))
			defer server.Close()
			head, body, _ := strings.Cut(c.request, "\n\n")
			lines := strings.Split(head, "\n")
			method, path, _ := strings.Cut(lines[0], " ")
			r, err := http.NewRequest(method, server.URL+path, strings.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("Content-Type", json)
			for _, h := range lines[1:] {
				name, value, _ := strings.Cut(h, ": ")
				r.Header.Set(name, value)
			}
			checker := bankspec.Conform(v)
			got, err := (&http.Client{Transport: checker.Transport(http.DefaultTransport)}).Do(r)
			if err != nil {
				t.Fatal(err)
			}
			defer got.Body.Close()
			if _, err := io.ReadAll(got.Body); err != nil {
				t.Error(err)
			}
			if found := w.said(); (found == "") != (c.handler == "") || !strings.Contains(found, c.handler) {
				t.Errorf("the bank's side finds %q, not %q", found, c.handler)
			}
			if found := v.said(); (found == "") != (c.client == "") || !strings.Contains(found, c.client) {
				t.Errorf("the client's side finds %q, not %q", found, c.client)
			}
			if strings.Contains(path, "/v1/accounts") && c.client == "" && len(checker.Seen())+len(got.Header.Values(banktest.FaultHeader)) != 1 {
				t.Errorf("%v", checker.Seen())
			}
		})
	}
}

// TestWithoutTheDescription: tests that need it are skipped with words that help.
func TestWithoutTheDescription(t *testing.T) {
	for _, dir := range []string{"", t.TempDir()} {
		t.Run("", func(t *testing.T) {
			t.Setenv("PASSERELLE_SAMPLES", dir)
			s := &skipped{TB: t}
			func() {
				defer func() { _ = recover() }() // Skip does not return
				bankspec.Conform(s)
			}()
			if !strings.Contains(s.why, "PASSERELLE_SAMPLES") && !strings.Contains(s.why, "psd2-api_v1.3") {
				t.Errorf("%q", s.why)
			}
		})
	}
}

type skipped struct {
	testing.TB
	why string
}

func (s *skipped) Skip(args ...any) { s.why = fmt.Sprint(args...); panic(s.why) }
func (s *skipped) Skipf(format string, args ...any) {
	s.why = fmt.Sprintf(format, args...)
	panic(s.why)
}
