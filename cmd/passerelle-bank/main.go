// Command passerelle-bank is a bank that does not exist, to try a program against that reads accounts: it speaks Berlin Group
// NextGenPSD2 XS2A 1.3, and breaks when it is told to. See README.md.
//
//	passerelle-bank                                serve, on 127.0.0.1:8472
//	passerelle-bank certificates --out DIR         make a test authority, QWACs and QSealCs
package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"
	_ "time/tzdata" // the bank's days are those of Paris, also where the machine knows no time zones

	"github.com/passerelle-cloud/passerelle/operators/bank/banktest"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
	case errors.Is(err, errUsage):
		os.Exit(2)
	case err != nil:
		fmt.Fprintln(os.Stderr, "passerelle-bank:", err)
		os.Exit(1)
	}
}

var errUsage = errors.New("the command line is wrong") // the flags have said how

func run(ctx context.Context, args []string, out, faults io.Writer) error {
	if len(args) > 0 && args[0] == "certificates" {
		return certificates(args[1:], out, faults)
	}
	s := &server{}
	flags := s.flags(faults)
	if err := parse(flags, args); err != nil {
		return err
	}
	return s.run(ctx, out, faults)
}

// parse reads flags, and nothing else.
func parse(flags *flag.FlagSet, args []string) error {
	switch err := flags.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		return err
	case err != nil:
		return errUsage
	case flags.NArg() > 0:
		fmt.Fprintf(flags.Output(), "there is no command %q\n", flags.Arg(0))
		flags.Usage()
		return errUsage
	}
	return nil
}

// server is what the flags say.
type server struct {
	bank                    banktest.Config
	listen, cert, key, root string
	verbose                 bool
}

func (s *server) flags(to io.Writer) *flag.FlagSet {
	f := flag.NewFlagSet("passerelle-bank", flag.ContinueOnError)
	f.SetOutput(to)
	c := &s.bank
	f.StringVar(&s.listen, "listen", "127.0.0.1:8472", "address to listen on")
	f.StringVar(&c.URL, "url", "", "where the bank is reached, if it is not where requests say")
	f.StringVar((*string)(&c.Approach), "approach", "redirect", "how persons prove who they are: redirect, oauth2, decoupled or embedded")
	f.BoolVar(&c.PreStep, "pre-step", false, "want an OAuth2 token that says who the person is, before a consent is asked for")
	f.BoolVar(&c.Explicit, "explicit", false, "let third parties start the authorisation themselves")
	f.DurationVar(&c.DecoupledAfter, "decoupled-after", 0, "after how long a person agrees on their device; 0: when POST /sandbox/consents/{consent}/authorise says so")
	f.IntVar(&c.Methods, "methods", 1, "means of authentication of each person, up to 3")
	f.IntVar(&c.MaxDays, "max-days", 180, "how many days a consent lasts at most")
	f.IntVar(&c.PerDay, "per-day", 4, "how often something is read in 24 hours without the person")
	f.DurationVar(&c.OneOff, "one-off", 20*time.Minute, "for how long a consent serves that does not recur")
	f.DurationVar(&c.Fresh, "fresh", 15*time.Minute, "for how long after the person was there operations of any age are given")
	f.IntVar(&c.Recent, "recent", 90, "how many days back operations are given after that")
	f.IntVar(&c.PageSize, "page-size", 100, "operations on a page")
	f.BoolVar(&c.Shifting, "shifting", false, "let pages shift when operations are added while somebody reads them")
	f.BoolVar(&c.RelativeLinks, "relative-links", false, "give links without scheme and host")
	f.BoolVar(&c.Problems, "problems", false, "give errors as application/problem+json, not as tppMessages")
	f.IntVar(&c.Operations, "operations", 200, "operations on each of the five accounts of emma.grand")
	f.IntVar(&c.Crowd, "crowd", 0, "so many more customers: person-0001, person-0002, …")
	f.Float64Var(&c.Rate, "rate", 0, "requests a second that are answered; 0: all")
	f.Uint64Var(&c.Seed, "seed", 0, "decides about everything that is invented")
	f.StringVar(&c.State, "state", "", "file that keeps consents over a restart")
	f.StringVar(&s.cert, "tls-cert", "", "certificate to serve HTTPS with")
	f.StringVar(&s.key, "tls-key", "", "its key")
	f.StringVar(&s.root, "roots", "", "certificates of authorities; third parties must then have a QWAC that one of them has issued")
	f.BoolVar(&c.Signed, "signed", false, "want every request signed with a QSealC")
	f.BoolVar(&s.verbose, "verbose", false, "log each request")
	return f
}

// run serves until it is told to stop.
func (s *server) run(ctx context.Context, out, faults io.Writer) error {
	if err := s.readRoots(); err != nil {
		return err
	}
	if s.verbose {
		s.bank.Log = slog.New(slog.NewTextHandler(faults, nil))
	}
	bank, err := banktest.New(s.bank)
	if err != nil {
		return err
	}
	listener, err := s.open()
	if err != nil {
		return err
	}
	web := &http.Server{Handler: bank, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute, ErrorLog: slog.NewLogLogger(slog.NewTextHandler(faults, nil), slog.LevelWarn)}
	ended := make(chan error, 1)
	go func() { ended <- web.Serve(listener) }()
	fmt.Fprintf(out, "The bank is open at %s\n", s.address(listener))
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	patience, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	return web.Shutdown(patience)
}

// readRoots reads whose certificates third parties must have.
func (s *server) readRoots() error {
	if s.root == "" {
		return nil
	}
	if s.cert == "" {
		return errors.New("--roots wants HTTPS: say --tls-cert and --tls-key, too; passerelle-bank certificates makes them")
	}
	text, err := os.ReadFile(s.root)
	if err != nil {
		return err
	}
	s.bank.Roots = x509.NewCertPool()
	if !s.bank.Roots.AppendCertsFromPEM(text) {
		return fmt.Errorf("%s holds no certificate", s.root)
	}
	return nil
}

func (s *server) open() (net.Listener, error) {
	if s.cert == "" {
		return net.Listen("tcp", s.listen)
	}
	pair, err := tls.LoadX509KeyPair(s.cert, s.key)
	if err != nil {
		return nil, err
	}
	return tls.Listen("tcp", s.listen, banktest.TLS(pair))
}

func (s *server) address(l net.Listener) string {
	switch {
	case s.bank.URL != "":
		return s.bank.URL
	case s.cert != "":
		return "https://" + l.Addr().String()
	}
	return "http://" + l.Addr().String()
}
