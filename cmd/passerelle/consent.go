package main

import (
	"context"
	"crypto"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/passerelle-cloud/passerelle/compliance/psd2"
	"github.com/passerelle-cloud/passerelle/consent"
	"github.com/passerelle-cloud/passerelle/consent/events"
	"github.com/passerelle-cloud/passerelle/consent/oauth"
	"github.com/passerelle-cloud/passerelle/formats/statement"
	"github.com/passerelle-cloud/passerelle/internal/jobs"
	"github.com/passerelle-cloud/passerelle/transfer"
	"github.com/passerelle-cloud/passerelle/transfer/api"
)

// openAuthority opens what is needed to administer.
func (g *gateway) openAuthority(ctx context.Context) (*server, error) {
	log, err := g.openLedger(ctx)
	if err != nil {
		return nil, err
	}
	s := &server{ledger: log, log: slog.New(slog.DiscardHandler)}
	err = s.openEvents(ctx, g) // services are told as soon as a gateway runs
	if err == nil {
		err = s.openAuthority(ctx, g)
	}
	if err == nil {
		err = s.openDesk(ctx, g)
	}
	if err != nil {
		return nil, errors.Join(err, log.Close())
	}
	return s, nil
}

// openEvents opens what keeps, until it is told, what services are to be told.
func (s *server) openEvents(ctx context.Context, g *gateway) (err error) {
	if s.db, err = g.openDB(ctx); err != nil {
		return err
	}
	config := jobs.Config{Log: s.log}
	if s.metrics != nil {
		config.Metrics = s.metrics
	}
	if s.jobs, err = jobs.New(ctx, s.db, config); err != nil {
		return err
	}
	s.events, err = events.New(ctx, s.db, s.jobs)
	return err
}

// openAuthority opens who decides, over the log that is open.
func (s *server) openAuthority(ctx context.Context, g *gateway) (err error) {
	signed, err := g.statement(ctx)
	if err != nil {
		return err
	}
	if s.db, err = g.openDB(ctx); err != nil {
		return err
	}
	options := consent.Options{Operator: s.operatorFacts(signed.Statement.Operator), Packs: packsFor(signed.Statement.Operator.DeclaredRoles()), Proofs: g.proofs}
	if s.events != nil {
		options.Decided, options.Erased = s.events.Changed, s.events.Erase
	}
	if s.sender != nil {
		options.Ended = s.sender.Withdrawn
	}
	if s.metrics != nil {
		options.Stat = s.metrics
	}
	if s.authority, err = consent.New(ctx, s.db, s.ledger, options); err != nil {
		return err
	}
	return oauth.Migrate(ctx, s.db)
}

func (s *server) operatorFacts(o statement.Operator) consent.OperatorFacts {
	f := consent.OperatorFacts{ID: string(o.ID), Country: o.Country, Roles: o.DeclaredRoles(), Switching: s.switching}
	for _, r := range o.Registrations {
		f.Registration = append(f.Registration, r.Scheme+":"+r.Value)
	}
	return f
}

// openConsent opens what asks persons, and serves their data to services.
func (s *server) openConsent(ctx context.Context, g *gateway, c *serveCommand, issuer string) (err error) {
	if err := s.openEvents(ctx, g); err != nil {
		return err
	}
	if err := s.openMoves(ctx, g, issuer); err != nil { // before who decides, who tells it what ends
		return err
	}
	if err := s.openAuthority(ctx, g); err != nil {
		return err
	}
	secret, err := g.secret(ctx, "oauth")
	if err != nil {
		return err
	}
	trust, err := certificatesIn(c.ClientCA)
	if err != nil {
		return err
	}
	providers, err := certificatesIn(c.PSD2Trust)
	if err != nil {
		return err
	}
	s.psd2 = providers
	if s.oauth, err = oauth.New(ctx, s.db, s.ledger, s.authority, oauth.Options{
		Issuer: issuer, MTLS: strings.TrimRight(c.MTLSURL, "/"), Secret: secret, Signer: g.tokenSigner, Keys: g.tokenKeys, Local: c.Local, Trust: trust, Certificate: s.certificate, Log: s.log, Peer: s.registerPeer, Operator: s.visits.Own, Vouched: s.vouched,
		Prompt: func(request string) string { return "/consent/requests/" + request },
		Fault:  func(w http.ResponseWriter, r *http.Request, status int, what string) { s.web.Fault(w, r, status, what) },
	}); err != nil {
		return err
	}
	s.events.Work(events.Options{Issuer: issuer, Service: s.authority.Service, Subject: s.oauth.Subject, Sign: s.oauth.Sign, Moved: s.oauth.Relocation, Client: oauth.SafeClient(c.Local)})
	if err := s.openDesk(ctx, g); err != nil {
		return err
	}
	if err := s.openDAV(g, c); err != nil {
		return err
	}
	if err := s.openPages(ctx, g, c, issuer); err != nil {
		return err
	}
	s.data = api.New(api.Options{Authority: s.authority, Caller: s.caller, Denied: s.denied, Codecs: codecs(), Log: s.log, Stat: s.metrics, Certificate: s.certificate, Overdue: s.money.Overdue,
		Renew: func(id string) string { return issuer + "/consents/" + url.PathEscape(id) + "/again" },
		Instance: func(ctx context.Context, person string) (transfer.Reader, error) {
			instance, err := openInstance(ctx, g, person, false)
			if err != nil {
				return nil, err
			}
			return instance.Reader(), nil
		}})
	return nil
}

// certificate is what a request's certificate for payment services says.
func (s *server) certificate(r *http.Request) *consent.CertificateFacts {
	if r.TLS == nil {
		return nil
	}
	return psd2.Facts(r.TLS.PeerCertificates, s.psd2, time.Now())
}

// certificatesIn are those in a file (PEM); nil if there is no file.
func certificatesIn(file string) (*x509.CertPool, error) {
	if file == "" {
		return nil, nil
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("%s holds no certificate (PEM)", file)
	}
	return pool, nil
}

// tokenSigner is the operator's key for tokens.
func (g *gateway) tokenSigner(ctx context.Context) (crypto.Signer, string, error) {
	store, err := g.keys(ctx)
	if err != nil {
		return nil, "", err
	}
	signer, err := store.Signer(ctx, statement.UseTokens)
	return signer.Signer, signer.Kid, err
}

// tokenKeys are all keys that verify what the operator's key for tokens signed, as a JWK set.
func (g *gateway) tokenKeys(ctx context.Context) ([]byte, error) {
	store, err := g.keys(ctx)
	if err != nil {
		return nil, err
	}
	public, err := store.Public(ctx)
	if err != nil {
		return nil, err
	}
	return tokenKeysOf(public.Keys)
}

// tokenKeysOf are an operator's keys for tokens, as a JWK set (RFC 7517).
func tokenKeysOf(keys []statement.Key) ([]byte, error) {
	set := struct {
		Keys []map[string]any `json:"keys"`
	}{[]map[string]any{}}
	for _, k := range keys {
		if k.Use != statement.UseTokens || k.Revoked != nil {
			continue
		}
		set.Keys = append(set.Keys, map[string]any{"kty": k.JWK.Kty, "crv": k.JWK.Crv, "x": k.JWK.X, "kid": k.Kid, "use": "sig", "alg": "EdDSA"})
	}
	return json.Marshal(set)
}

// caller is the consent that a request's token names.
func (s *server) caller(r *http.Request) (*consent.Consent, error) {
	bearer, err := s.oauth.Bearer(r)
	if err != nil {
		return nil, err
	}
	if bearer.Consent == nil {
		return nil, s.oauth.Insufficient("Persons' data needs a token that their consent gave.")
	}
	return bearer.Consent, nil
}

// denied answers a request without a token that is good for it.
func (s *server) denied(w http.ResponseWriter, _ *http.Request, err error) { s.oauth.Deny(w, err) }

// administrator reports whether a request carries a token for administration, and answers where it does not.
func (s *server) administrator(w http.ResponseWriter, r *http.Request) bool {
	bearer, err := s.oauth.Bearer(r)
	if err == nil && !slices.Contains(bearer.Scopes, "admin") {
		err = s.oauth.Insufficient("The scope admin is needed.")
	}
	if err != nil {
		s.oauth.Deny(w, err)
	}
	return err == nil
}
