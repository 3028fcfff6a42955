package main

import (
	"context"
	"crypto"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/passerelle-cloud/passerelle/consent/ledger"
	"github.com/passerelle-cloud/passerelle/formats/statement"
)

// serveCommand runs a gateway.
type serveCommand struct {
	Listen  string   `help:"Address to listen at." default:"127.0.0.1:8470" env:"PASSERELLE_LISTEN" placeholder:"ADDR"`
	URL     string   `name:"url" help:"Where others reach this gateway; https://ADDR if there is TLS, http://ADDR otherwise." env:"PASSERELLE_URL" placeholder:"URL"`
	TLSCert string   `name:"tls-cert" help:"File with the certificate (PEM, with the chain). It is read again when it changes." env:"PASSERELLE_TLS_CERT" type:"existingfile" placeholder:"FILE"`
	TLSKey  string   `name:"tls-key" help:"File with the certificate's private key (PEM)." env:"PASSERELLE_TLS_KEY" type:"existingfile" placeholder:"FILE"`
	Witness []string `help:"A witness that cosigns our log: its key and its URL, with a space between them. Several allowed." env:"PASSERELLE_WITNESS" sep:"none" placeholder:"'KEY URL'"`
	Quorum  int      `help:"How many witnesses should have cosigned a checkpoint before it is published." env:"PASSERELLE_QUORUM" default:"0" placeholder:"N"`
	Watch   []string `help:"Key of another operator's log that we witness. Several allowed." env:"PASSERELLE_WATCH" sep:"none" placeholder:"KEY"`
	LogJSON bool     `name:"log-json" help:"Log in JSON." env:"PASSERELLE_LOG_JSON"`
}

// How long a request, and the end, may take.
const (
	headerTimeout = 10 * time.Second
	idleTimeout   = 2 * time.Minute
	graceful      = 15 * time.Second
)

// Run serves until it is told to stop (SIGINT, SIGTERM), lets requests end, and stops.
func (c *serveCommand) Run(ctx context.Context, p *program) (err error) {
	if (c.TLSCert == "") != (c.TLSKey == "") {
		return fmt.Errorf("%w: --tls-cert and --tls-key go together", errUsage)
	}
	g, err := p.openGateway()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, g.Close()) }()
	log := c.logger(p.err)
	s, err := c.open(ctx, g, log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.ledger.Close()) }()
	listener, err := c.listen()
	if err != nil {
		return err
	}
	c.greet(ctx, p, g, listener)
	return c.serve(ctx, listener, s.routes(), log)
}

func (c *serveCommand) logger(to io.Writer) *slog.Logger {
	if c.LogJSON {
		return slog.New(slog.NewJSONHandler(to, nil))
	}
	return slog.New(slog.NewTextHandler(to, nil))
}

// server is what the routes need.
type server struct {
	ledger  *ledger.Ledger
	witness *ledger.Cosigner
	metrics *prometheus.Registry
	log     *slog.Logger
}

func (c *serveCommand) open(ctx context.Context, g *gateway, log *slog.Logger) (*server, error) {
	s := &server{metrics: prometheus.NewRegistry(), log: log}
	s.metrics.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	options, err := g.ledgerOptions(ctx)
	if err != nil {
		return nil, err
	}
	options.Log, options.Stat, options.Quorum = log, s.metrics, c.Quorum
	for _, w := range c.Witness {
		witness, err := ledger.ParseWitness(w)
		if err != nil {
			return nil, fmt.Errorf("%w: --witness: %v", errUsage, err)
		}
		options.Witnesses = append(options.Witnesses, witness)
	}
	db, err := g.openDB(ctx)
	if err != nil {
		return nil, err
	}
	if s.witness, err = g.openWitness(ctx, c.Watch, log); err != nil {
		return nil, err
	}
	s.ledger, err = ledger.Open(ctx, db, options)
	return s, err
}

// openWitness makes us a witness of others' logs.
func (g *gateway) openWitness(ctx context.Context, watch []string, log *slog.Logger) (*ledger.Cosigner, error) {
	signed, err := g.statement(ctx)
	if err != nil {
		return nil, err
	}
	store, err := g.keys(ctx)
	if err != nil {
		return nil, err
	}
	db, err := g.openDB(ctx)
	if err != nil {
		return nil, err
	}
	signer := func(ctx context.Context) (crypto.Signer, error) { return store.Signer(ctx, statement.UseWitness) }
	return ledger.NewCosigner(ctx, db, witnessName(signed.Statement.ID), signer, watch, log)
}

func witnessName(id statement.OperatorID) string { return string(id) + "/witness" }

func (c *serveCommand) listen() (net.Listener, error) {
	listener, err := net.Listen("tcp", c.Listen)
	if err != nil {
		return nil, fmt.Errorf("listen at %s (choose another address with --listen): %w", c.Listen, err)
	}
	if c.TLSCert == "" {
		return listener, nil
	}
	certificates, err := newCertificates(c.TLSCert, c.TLSKey)
	if err != nil {
		return nil, errors.Join(err, listener.Close())
	}
	return tls.NewListener(listener, &tls.Config{MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"}, GetCertificate: certificates.get}), nil
}

func (c *serveCommand) serve(ctx context.Context, listener net.Listener, handler http.Handler, log *slog.Logger) error {
	srv := &http.Server{
		Handler: handler, ReadHeaderTimeout: headerTimeout, IdleTimeout: idleTimeout, MaxHeaderBytes: 64 << 10,
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}
	ended := make(chan error, 1)
	go func() { ended <- srv.Serve(listener) }()
	select {
	case err := <-ended:
		return fmt.Errorf("serve: %w", err)
	case <-ctx.Done():
	}
	log.Info("stopping")
	last, stop := context.WithTimeout(context.WithoutCancel(ctx), graceful)
	defer stop()
	if err := srv.Shutdown(last); err != nil {
		return errors.Join(fmt.Errorf("some requests did not end in time: %w", err), srv.Close())
	}
	log.Info("stopped")
	return nil
}

// greet says where the gateway is and how to check its log.
func (c *serveCommand) greet(ctx context.Context, p *program, g *gateway, listener net.Listener) {
	url := c.URL
	if url == "" {
		scheme := "http"
		if c.TLSCert != "" {
			scheme = "https"
		}
		url = scheme + "://" + listener.Addr().String()
	}
	fmt.Fprintf(p.out, "Passerelle serves %s\n", url)
	if key, err := g.vkey(ctx); err == nil {
		fmt.Fprintf(p.out, "Anybody checks its log:  passerelle log verify %s/log --key '%s'\n", url, key)
	}
}
