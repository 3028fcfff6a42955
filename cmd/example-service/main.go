// Command example-service is a service that asks a person for their contacts, and shows what it got: the smallest one
// that is whole. It registers nothing by itself, keeps its two keys in a file, and forgets everything else.
//
//	example-service register --keys keys.pem > service.json     make its keys, and its registration for the operator
//	passerelle service add service.json                          the operator registers it
//	example-service run --keys keys.pem                         ask, wait for the person, read, follow, until cut off
//
// For trying things out by hand, with curl:
//
//	example-service assertion                                    a client_assertion, for one request
//	example-service proof METHOD URL [NONCE [TOKEN]]             a DPoP proof, for one request
//	example-service details                                      what it asks for
package main

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"time"

	"github.com/passerelle-cloud/passerelle/internal/fapi"
)

const purpose = "https://w3id.org/dpv#ServicePersonalisation"

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "example-service:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	flags := flag.NewFlagSet("example-service", flag.ContinueOnError)
	issuer := flags.String("issuer", "http://127.0.0.1:8470", "URL of the gateway")
	listen := flags.String("listen", "127.0.0.1:8471", "address at which the person's browser comes back")
	keys := flags.String("keys", "example-service-keys.pem", "file with the two keys of the service; made if there is none")
	id := flags.String("id", "example-service", "client_id")
	if len(args) == 0 {
		return errors.New("say register, run, details, assertion or proof")
	}
	if err := flags.Parse(args[1:]); err != nil {
		return err
	}
	client := &fapi.Client{Issuer: *issuer, ID: *id, Redirect: "http://" + *listen + "/callback"}
	if err := loadKeys(client, *keys); err != nil {
		return err
	}
	switch args[0] {
	case "register":
		return register(client)
	case "details":
		return printJSON(details())
	case "assertion":
		return printed(client.Assertion())
	case "proof":
		return proof(client, flags.Args())
	case "run":
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
		defer stop()
		return serve(ctx, client, *listen)
	}
	return fmt.Errorf("there is no command %q", args[0])
}

// proof prints a DPoP proof for a request by hand.
func proof(c *fapi.Client, args []string) error {
	if len(args) < 2 || len(args) > 4 {
		return errors.New("say proof METHOD URL [NONCE [TOKEN]]")
	}
	args = append(args, "", "")
	c.SetNonce(args[2])
	return printed(c.DPoP(args[0], args[1], args[3]))
}

func printed(text string, err error) error {
	if err == nil {
		fmt.Println(text)
	}
	return err
}

// register prints what the operator registers.
func register(c *fapi.Client) error {
	jwks, err := fapi.JWKS(c.Key)
	if err != nil {
		return err
	}
	return printJSON(map[string]any{
		"client_id": c.ID, "client_name": "Example service", "legal_name": "Example Service SAS",
		"registrations": []any{map[string]string{"scheme": "SIREN", "value": "732829320"}},
		"country":       "FR", "address": "1 rue des Exemples, 35000 Rennes", "contact": "privacy@example.org",
		"purposes":        []string{purpose},
		"privacy_notices": map[string]string{"en": "https://example.org/privacy", "fr": "https://example.org/vie-privee"},
		"redirect_uris":   []string{c.Redirect}, "token_endpoint_auth_method": "private_key_jwt", "jwks": json.RawMessage(jwks),
	})
}

// details are what it asks for: see consent/README.md.
func details() any {
	return []any{map[string]any{
		"type": "personal_data", "datasets": []string{"contacts", "calendar"}, "optional": []string{"calendar"}, "actions": []string{"read", "subscribe"},
		"fields":    map[string]any{"contacts": []string{"name", "emails"}},
		"purpose":   map[string]any{"iri": purpose, "text": map[string]string{"en": "To show you the people whom you know", "fr": "Vous montrer les personnes que vous connaissez"}},
		"retention": "P1D", "frequency": "continuous", "expires": time.Now().AddDate(0, 6, 0).UTC().Format(time.RFC3339),
		"no_recipients": true, "third_country": "none",
	}}
}

// serve asks, sends the person to the gateway, and reads what they grant until they withdraw it.
func serve(ctx context.Context, c *fapi.Client, listen string) error {
	asked, err := c.Ask(ctx, details(), nil)
	if err != nil {
		return fmt.Errorf("ask: %w", err)
	}
	listener, err := net.Listen("tcp", listen)
	if err != nil {
		return err
	}
	answers := make(chan url.Values, 1)
	go http.Serve(listener, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/callback" {
			http.NotFound(w, r)
			return
		}
		select {
		case answers <- r.URL.Query():
		default:
		}
		fmt.Fprintln(w, "Thank you. Look at the terminal.")
	}))
	fmt.Printf("The person opens this, signs in, and decides:\n\n  %s\n\n", asked.URL)
	select {
	case <-ctx.Done():
		return nil
	case answer := <-answers:
		tokens, err := c.Redeem(ctx, asked, answer)
		if err != nil {
			return err
		}
		fmt.Printf("Granted (%s):\n%s\n", tokens.Grant, tokens.Details)
		return read(ctx, c, tokens)
	}
}

// read shows the contacts, then waits for what changes, until it is cut off.
func read(ctx context.Context, c *fapi.Client, tokens fapi.Tokens) error {
	if err := show(ctx, c, &tokens, "/data/contacts", http.Header{"Accept": {"application/x-ndjson"}}); err != nil {
		return err
	}
	var since json.Number = "0"
	for ctx.Err() == nil {
		response, err := get(ctx, c, &tokens, "/data/changes?datasets=contacts&wait=30&since="+since.String(), nil)
		if err != nil {
			return err
		}
		var page struct {
			Changes  []json.RawMessage `json:"changes"`
			Position json.Number       `json:"position"`
		}
		err = json.NewDecoder(response.Body).Decode(&page)
		response.Body.Close()
		if err != nil {
			return err
		}
		if since != "0" {
			for _, change := range page.Changes {
				fmt.Printf("changed: %s\n", change)
			}
		}
		since = page.Position
	}
	return nil
}

// get reads with a token, and with a new one where that has expired.
func get(ctx context.Context, c *fapi.Client, tokens *fapi.Tokens, path string, header http.Header) (*http.Response, error) {
	for tries := 0; ; tries++ {
		response, err := c.Get(ctx, c.Issuer+path, tokens.Access, header)
		if err != nil || response.StatusCode == http.StatusOK {
			return response, err
		}
		body, _ := io.ReadAll(io.LimitReader(response.Body, 10_000))
		response.Body.Close()
		if response.StatusCode != http.StatusUnauthorized || tries > 0 {
			return nil, fmt.Errorf("the gateway answers %s: %s", response.Status, body)
		}
		refreshed, err := c.Refresh(ctx, tokens.Refresh)
		if err != nil {
			return nil, fmt.Errorf("cut off: %w", err)
		}
		tokens.Access = refreshed.Access
	}
}

func show(ctx context.Context, c *fapi.Client, tokens *fapi.Tokens, path string, header http.Header) error {
	response, err := get(ctx, c, tokens, path, header)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	_, err = io.Copy(os.Stdout, response.Body)
	return err
}

// loadKeys reads the two keys, or makes them.
func loadKeys(c *fapi.Client, file string) error {
	text, err := os.ReadFile(file)
	if errors.Is(err, os.ErrNotExist) {
		if text, err = makeKeys(file); err != nil {
			return err
		}
	}
	if err != nil {
		return err
	}
	first, rest := pem.Decode(text)
	second, _ := pem.Decode(rest)
	if first == nil || second == nil {
		return fmt.Errorf("%s does not hold two keys", file)
	}
	if c.Key, err = x509.ParseECPrivateKey(first.Bytes); err == nil {
		c.Proof, err = x509.ParseECPrivateKey(second.Bytes)
	}
	return err
}

func makeKeys(file string) ([]byte, error) {
	var text []byte
	for range 2 {
		key, err := fapi.NewKey()
		if err != nil {
			return nil, err
		}
		der, err := x509.MarshalECPrivateKey(key)
		if err != nil {
			return nil, err
		}
		text = append(text, pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der})...)
	}
	return text, os.WriteFile(file, text, 0o600)
}

func printJSON(v any) error {
	text, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	_, err = fmt.Printf("%s\n", text)
	return err
}
