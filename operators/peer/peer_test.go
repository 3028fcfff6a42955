package peer_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/passerelle-cloud/passerelle/formats"
	"github.com/passerelle-cloud/passerelle/formats/statement"
	"github.com/passerelle-cloud/passerelle/internal/apitest"
	"github.com/passerelle-cloud/passerelle/operators/keys"
	"github.com/passerelle-cloud/passerelle/operators/peer"
)

// published is an operator whose statement is served.
func published(t *testing.T) (*statement.Signed, *httptest.Server) {
	t.Helper()
	store, err := keys.OpenFiles(t.Context(), t.TempDir()+"/keys")
	if err != nil {
		t.Fatal(err)
	}
	signed, err := keys.Describe(t.Context(), keys.Unregistered("there.example"), store)
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+peer.Path, peer.Publish(func(context.Context) (*statement.Signed, error) { return signed, nil }, slog.New(slog.DiscardHandler)))
	server := httptest.NewServer(apitest.Check(t, mux))
	t.Cleanup(server.Close)
	return signed, server
}

func TestFetchPublished(t *testing.T) {
	signed, server := published(t)
	for _, at := range []string{server.URL, server.URL + "/", server.URL + peer.Path} {
		got, err := peer.Fetch(t.Context(), at)
		if err != nil {
			t.Fatal(err)
		}
		if got.Fingerprint() != signed.Fingerprint() || string(got.Raw()) != string(signed.Raw()) {
			t.Errorf("%s: another statement: %s", at, got.Text())
		}
	}
	first, err := http.Get(server.URL + peer.Path)
	if err != nil {
		t.Fatal(err)
	}
	first.Body.Close()
	again, _ := http.NewRequest(http.MethodGet, server.URL+peer.Path, nil)
	again.Header.Set("If-None-Match", first.Header.Get("ETag"))
	second, err := http.DefaultClient.Do(again)
	if err != nil {
		t.Fatal(err)
	}
	second.Body.Close()
	if second.StatusCode != http.StatusNotModified {
		t.Errorf("it has not changed: %s", second.Status)
	}
}

// TestPublishWithoutKeys: what went wrong is told to the administrator, not to everybody.
func TestPublishWithoutKeys(t *testing.T) {
	var log strings.Builder
	w := httptest.NewRecorder()
	peer.Publish(func(context.Context) (*statement.Signed, error) { return nil, errors.New("vault is sealed") }, slog.New(slog.NewTextHandler(&log, nil)))(w, httptest.NewRequest(http.MethodGet, peer.Path, nil))
	if w.Code != http.StatusServiceUnavailable || strings.Contains(w.Body.String(), "vault") || !strings.Contains(log.String(), "vault is sealed") {
		t.Errorf("%d %s; %s", w.Code, w.Body, log.String())
	}
}

func TestFetchRefuses(t *testing.T) {
	signed, there := published(t)
	for name, c := range map[string]struct {
		answer http.HandlerFunc
		is     error
		says   string
	}{
		"another site": {http.NotFound, peer.ErrNoAnswer, "is there a gateway"},
		"redirected": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, there.URL+peer.Path, http.StatusFound)
		}, peer.ErrNoAnswer, there.URL},
		"a page": {func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "<!doctype html><p>Hello") }, formats.ErrInvalid, "/.well-known/"},
		"cut off": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100000")
			w.Write(signed.Raw())
			panic(http.ErrAbortHandler)
		}, peer.ErrNoAnswer, "EOF"},
		"half of it": {func(w http.ResponseWriter, _ *http.Request) { w.Write(signed.Raw()[:len(signed.Raw())/2]) }, formats.ErrInvalid, ""},
		"without end": {func(w http.ResponseWriter, _ *http.Request) {
			for range 3 * statement.MaxSize / 1024 {
				if _, err := w.Write(make([]byte, 1024)); err != nil {
					return
				}
			}
		}, formats.ErrInvalid, "limit"},
		"tampered": {func(w http.ResponseWriter, _ *http.Request) {
			raw := signed.Raw()
			middle := len(raw) / 2
			raw[middle] ^= 1
			w.Write(raw)
		}, formats.ErrInvalid, ""},
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(c.answer)
			defer server.Close()
			if _, err := peer.Fetch(t.Context(), server.URL); !errors.Is(err, c.is) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%v", err)
			}
		})
	}
	there.Close()
	if _, err := peer.Fetch(t.Context(), there.URL); !errors.Is(err, peer.ErrNoAnswer) {
		t.Errorf("nobody is there: %v", err)
	}
}

func TestAddress(t *testing.T) {
	for of, want := range map[string]string{
		"https://cloud.example.org":                                "https://cloud.example.org" + peer.Path,
		"https://cloud.example.org:8443/":                          "https://cloud.example.org:8443" + peer.Path,
		"https://cloud.example.org" + peer.Path:                    "https://cloud.example.org" + peer.Path,
		"http://localhost:8470":                                    "http://localhost:8470" + peer.Path,
		"http://[::1]:8470":                                        "http://[::1]:8470" + peer.Path,
		"http://cloud.example.org":                                 "",
		"cloud.example.org":                                        "",
		"https:cloud.example.org":                                  "",
		"ftp://cloud.example.org":                                  "",
		"https://me:secret@cloud.example.org":                      "",
		"https://cloud.example.org/?a=b":                           "",
		"https://cloud.example.org/#a":                             "",
		"https://cloud.example.org/other":                          "",
		"https://cloud.example.org/.well-known/passerelle-operato": "",
		"https://": "",
		"":         "",
	} {
		got, err := peer.Address(of)
		if got != want || (want == "") != errors.Is(err, peer.ErrAddress) {
			t.Errorf("%q: %q, %v", of, got, err)
		}
	}
}
