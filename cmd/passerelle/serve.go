package main

import (
	"context"
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/passerelle-cloud/passerelle/compliance/audit"
	complianceweb "github.com/passerelle-cloud/passerelle/compliance/web"
	"github.com/passerelle-cloud/passerelle/consent"
	"github.com/passerelle-cloud/passerelle/consent/events"
	"github.com/passerelle-cloud/passerelle/consent/ledger"
	"github.com/passerelle-cloud/passerelle/consent/oauth"
	"github.com/passerelle-cloud/passerelle/consent/web"
	"github.com/passerelle-cloud/passerelle/formats/statement"
	"github.com/passerelle-cloud/passerelle/internal/jobs"
	"github.com/passerelle-cloud/passerelle/internal/sqldb"
	"github.com/passerelle-cloud/passerelle/operators/accounts"
	"github.com/passerelle-cloud/passerelle/operators/dav"
	"github.com/passerelle-cloud/passerelle/operators/peer"
	operatorsweb "github.com/passerelle-cloud/passerelle/operators/web"
	"github.com/passerelle-cloud/passerelle/transfer/api"
	transferbank "github.com/passerelle-cloud/passerelle/transfer/bank"
	"github.com/passerelle-cloud/passerelle/transfer/money"
	"github.com/passerelle-cloud/passerelle/transfer/move"
	transferweb "github.com/passerelle-cloud/passerelle/transfer/web"
)

// serveCommand runs a gateway.
type serveCommand struct {
	Listen     string   `help:"Address to listen at." default:"127.0.0.1:8470" env:"PASSERELLE_LISTEN" placeholder:"ADDR"`
	URL        string   `name:"url" help:"Where others reach this gateway; https://ADDR if there is TLS, http://ADDR otherwise." env:"PASSERELLE_URL" placeholder:"URL"`
	TLSCert    string   `name:"tls-cert" help:"File with the certificate (PEM, with the chain). It is read again when it changes." env:"PASSERELLE_TLS_CERT" type:"existingfile" placeholder:"FILE"`
	TLSKey     string   `name:"tls-key" help:"File with the certificate's private key (PEM)." env:"PASSERELLE_TLS_KEY" type:"existingfile" placeholder:"FILE"`
	Witness    []string `help:"A witness that cosigns our log: its key and its URL, with a space between them. Several allowed." env:"PASSERELLE_WITNESS" sep:"none" placeholder:"'KEY URL'"`
	Quorum     int      `help:"How many witnesses should have cosigned a checkpoint before it is published." env:"PASSERELLE_QUORUM" default:"0" placeholder:"N"`
	Watch      []string `help:"Key of another operator's log that we witness. Several allowed." env:"PASSERELLE_WATCH" sep:"none" placeholder:"KEY"`
	MTLSListen string   `name:"mtls-listen" help:"Second address, at which services present their certificates (RFC 8705); needs --tls-cert." env:"PASSERELLE_MTLS_LISTEN" placeholder:"ADDR"`
	MTLSURL    string   `name:"mtls-url" help:"Where services reach that second address." env:"PASSERELLE_MTLS_URL" placeholder:"URL"`
	ClientCA   string   `name:"client-ca" help:"File with the authorities (PEM) that vouch for services' certificates (tls_client_auth)." env:"PASSERELLE_CLIENT_CA" type:"existingfile" placeholder:"FILE"`
	PSD2Trust  string   `name:"psd2-trust" help:"File with the authorities (PEM) that issue qualified certificates to payment service providers: from the Union's trusted lists. For operators that keep accounts (role aspsp)." env:"PASSERELLE_PSD2_TRUST" type:"existingfile" placeholder:"FILE"`
	Local      bool     `help:"Let services be on this machine, for trying things out: their keys and events may be at private addresses." env:"PASSERELLE_LOCAL"`
	pageFlags
	switchFlags
	bankFlags
	LogJSON bool `name:"log-json" help:"Log in JSON." env:"PASSERELLE_LOG_JSON"`
}

// How long a request, and the end, may take.
const (
	headerTimeout = 10 * time.Second
	idleTimeout   = 2 * time.Minute
	graceful      = 15 * time.Second
)

// Run serves until it is told to stop (SIGINT, SIGTERM), lets requests end, and stops.
func (c *serveCommand) Run(ctx context.Context, p *program) (err error) {
	switch {
	case (c.TLSCert == "") != (c.TLSKey == ""):
		return fmt.Errorf("%w: --tls-cert and --tls-key go together", errUsage)
	case c.MTLSListen != "" && c.TLSCert == "":
		return fmt.Errorf("%w: --mtls-listen needs --tls-cert and --tls-key", errUsage)
	case (c.MTLSListen == "") != (c.MTLSURL == ""):
		return fmt.Errorf("%w: --mtls-listen and --mtls-url go together", errUsage)
	}
	if err := c.check(time.Now()); err != nil {
		return err
	}
	g, err := p.openGateway()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, g.Close()) }()
	log := c.logger(p.err)
	listeners, err := c.listen()
	if err != nil {
		return err
	}
	defer listeners.close()
	s, err := c.open(ctx, g, log, c.where(listeners.main))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.ledger.Close()) }()
	running, stop := context.WithCancel(ctx)
	defer stop()
	work := s.work(running)
	defer func() { stop(); err = errors.Join(err, <-work) }()
	if _, err := s.serveAdmin(running, g.dir); err != nil {
		return err
	}
	debug.FreeOSMemory() // what migrating the database took
	c.greet(ctx, p, g, listeners.main)
	return c.serve(ctx, listeners, s.routes(), log)
}

func (c *serveCommand) logger(to io.Writer) *slog.Logger {
	if c.LogJSON {
		return slog.New(slog.NewJSONHandler(to, nil))
	}
	return slog.New(slog.NewTextHandler(to, nil))
}

// server is what the routes need.
type server struct {
	db        *sqldb.DB
	ledger    *ledger.Ledger
	witness   *ledger.Cosigner
	authority *consent.Authority
	oauth     *oauth.Server
	accounts  *accounts.Accounts
	jobs      *jobs.Queue
	events    *events.Events
	web       *web.Web
	account   *operatorsweb.Web
	transfer  *transferweb.Web
	desk      *audit.Desk
	deskWeb   *complianceweb.Web
	psd2      *x509.CertPool // who issues certificates to payment service providers; nil: nobody
	data      *api.API
	money     *money.Money
	banks     *transferbank.Banks // nil: there are none
	peers     *peer.Directory     // the operators that are trusted
	visits    *peer.Clients       // how we call them
	sender    *move.Sender        // lets persons leave
	receiver  *move.Receiver      // lets persons come, and ask has another operator asked
	ask       func(ctx context.Context, person, operator string) (string, error)
	dav       *dav.Handler
	mux       *http.ServeMux                                   // the routes
	switching *consent.Switching                               // what is promised to who leaves; nil: nobody can leave through this process
	silence   time.Duration                                    // after which an operator can be declared gone; 0: see [move.ReceiverOptions]
	statement func(context.Context) (*statement.Signed, error) // of this operator
	metrics   *prometheus.Registry
	issuer    string // where we are reached
	log       *slog.Logger
}

func (c *serveCommand) open(ctx context.Context, g *gateway, log *slog.Logger, url string) (*server, error) {
	terms := c.switching()
	s := &server{metrics: prometheus.NewRegistry(), log: log, statement: g.statement, switching: &terms, silence: c.SilentFor}
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
	if s.ledger, err = ledger.Open(ctx, db, options); err != nil {
		return nil, err
	}
	if err := s.openConsent(ctx, g, c, url); err != nil {
		return nil, errors.Join(err, s.ledger.Close())
	}
	return s, nil
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

// work does what is to be done in the background until the context ends, and then says what went wrong with it.
func (s *server) work(ctx context.Context) <-chan error {
	go s.oauth.Run(ctx)
	go s.authority.Run(ctx, s.log)
	go s.desk.Run(ctx, s.log)
	go s.money.Watch(ctx, s.log)
	var moves sync.WaitGroup
	moves.Go(func() { s.sender.Run(ctx) })
	moves.Go(func() { s.receiver.Run(ctx) })
	ended := make(chan error, 1)
	go func() {
		err := s.jobs.Run(ctx)
		moves.Wait() // before the log is closed
		ended <- err
	}()
	return ended
}

// listeners are where a gateway is reached: by everybody, and by services that present certificates.
type listeners struct{ main, mtls net.Listener }

func (l *listeners) close() {
	l.main.Close()
	if l.mtls != nil {
		l.mtls.Close()
	}
}

func (c *serveCommand) listen() (*listeners, error) {
	main, err := net.Listen("tcp", c.Listen)
	if err != nil {
		return nil, fmt.Errorf("listen at %s (choose another address with --listen): %w", c.Listen, err)
	}
	l := &listeners{main: main}
	if c.TLSCert == "" {
		return l, nil
	}
	certificates, err := newCertificates(c.TLSCert, c.TLSKey)
	if err != nil {
		l.close()
		return nil, err
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"}, GetCertificate: certificates.get}
	l.main = tls.NewListener(main, config)
	if c.MTLSListen == "" {
		return l, nil
	}
	second, err := net.Listen("tcp", c.MTLSListen)
	if err != nil {
		l.close()
		return nil, fmt.Errorf("listen at %s (choose another address with --mtls-listen): %w", c.MTLSListen, err)
	}
	asking := config.Clone()
	asking.ClientAuth = tls.RequestClientCert // whose it is the authorization server finds out
	l.mtls = tls.NewListener(second, asking)
	return l, nil
}

func (c *serveCommand) serve(ctx context.Context, listeners *listeners, handler http.Handler, log *slog.Logger) error {
	srv := &http.Server{
		Handler: handler, ReadHeaderTimeout: headerTimeout, IdleTimeout: idleTimeout, MaxHeaderBytes: 64 << 10,
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}
	ended := make(chan error, 2)
	go func() { ended <- srv.Serve(listeners.main) }()
	if listeners.mtls != nil {
		go func() { ended <- srv.Serve(listeners.mtls) }()
	}
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

// where is the address at which others reach this gateway; without a slash at the end, since it is the issuer's name.
func (c *serveCommand) where(listener net.Listener) string {
	if c.URL != "" {
		return strings.TrimRight(c.URL, "/")
	}
	scheme := "http"
	if c.TLSCert != "" {
		scheme = "https"
	}
	return scheme + "://" + listener.Addr().String()
}

// greet says where the gateway is and how to check its log.
func (c *serveCommand) greet(ctx context.Context, p *program, g *gateway, listener net.Listener) {
	url := c.where(listener)
	fmt.Fprintf(p.out, "Passerelle serves %s\n", url)
	if key, err := g.vkey(ctx); err == nil {
		fmt.Fprintf(p.out, "Anybody checks its log:  passerelle log verify %s/log --key '%s'\n", url, key)
	}
}
