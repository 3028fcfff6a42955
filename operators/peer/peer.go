// Package peer is how operators meet over the network: each publishes its signed statement, and reads that of another.
package peer

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/passerelle-cloud/passerelle/formats/statement"
	"github.com/passerelle-cloud/passerelle/internal/problem"
)

// Path is where an operator publishes its statement (a well-known URI, RFC 8615).
const Path = "/.well-known/passerelle-operator"

// MediaType is that of a statement: a JWS in JSON serialisation (RFC 7515 section 9.2.1).
const MediaType = "application/jose+json"

// Errors of [Fetch].
var (
	ErrAddress   = errors.New("this is not the address of an operator")
	ErrNoAnswer  = errors.New("the operator's statement could not be read")
	errElsewhere = errors.New("redirected")
)

// fetchTime is how long reading a statement may take.
const fetchTime = 20 * time.Second

// Publish answers with this operator's statement, to anybody.
func Publish(own func(context.Context) (*statement.Signed, error), log *slog.Logger) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		signed, err := own(r.Context())
		if err != nil {
			log.Error("the operator's statement cannot be published", "error", err)
			problem.Problem{Type: "unavailable", Title: "It cannot be answered now", Status: http.StatusServiceUnavailable, Detail: "Try again in a moment."}.Write(w)
			return
		}
		raw := signed.Raw()
		h := w.Header()
		h.Set("Content-Type", MediaType)
		h.Set("Cache-Control", "public, max-age=300")
		h.Set("Access-Control-Allow-Origin", "*")
		h.Set("ETag", fmt.Sprintf(`"%x"`, sha256.Sum256(raw)))
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(raw))
	}
}

// Address is where the operator at a URL publishes its statement. The URL is that of its gateway, or that of the statement
// itself; in the clear only on this machine.
func Address(of string) (string, error) {
	u, err := url.Parse(of)
	if err != nil {
		return "", fmt.Errorf("%w: %v", ErrAddress, err)
	}
	host, _ := netip.ParseAddr(u.Hostname())
	local := u.Hostname() == "localhost" || host.IsLoopback()
	switch {
	case u.Host == "" || u.Opaque != "":
		return "", fmt.Errorf("%w: %q; write https://cloud.example.org", ErrAddress, of)
	case u.Scheme != "https" && !(u.Scheme == "http" && local):
		return "", fmt.Errorf("%w: %q; whoever is on the way could give another statement: write https://", ErrAddress, of)
	case u.User != nil || u.RawQuery != "" || u.Fragment != "":
		return "", fmt.Errorf("%w: %q; it has no password, query or fragment", ErrAddress, of)
	case strings.TrimRight(u.Path, "/") != "" && u.Path != Path:
		return "", fmt.Errorf("%w: %q; the statement is at %s of a host", ErrAddress, of, Path)
	}
	return u.Scheme + "://" + u.Host + Path, nil
}

// Fetch reads the statement of the operator at a URL, as [Address] takes it. It is signed by whoever it says; whether that
// is the operator that one thinks of, its fingerprint tells. Errors wrap [ErrAddress], [ErrNoAnswer] or those of
// [statement.Parse].
func Fetch(ctx context.Context, of string) (*statement.Signed, error) {
	address, err := Address(of)
	if err != nil {
		return nil, err
	}
	ctx, stop := context.WithTimeout(ctx, fetchTime)
	defer stop()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, fmt.Errorf("%w: %v", ErrAddress, err)
	}
	client := &http.Client{CheckRedirect: func(r *http.Request, _ []*http.Request) error {
		return fmt.Errorf("%w to %s: if that is the operator, give that address", errElsewhere, r.URL.Redacted())
	}}
	answer, err := client.Do(request)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNoAnswer, err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%w: %s answers %s; is there a gateway of Passerelle?", ErrNoAnswer, address, answer.Status)
	}
	text, err := io.ReadAll(io.LimitReader(answer.Body, statement.MaxSize+1))
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrNoAnswer, address, err)
	}
	signed, err := statement.Parse(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", address, err)
	}
	return signed, nil
}
