package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"filippo.io/age"

	complianceweb "github.com/passerelle-cloud/passerelle/compliance/web"
	"github.com/passerelle-cloud/passerelle/consent"
	"github.com/passerelle-cloud/passerelle/consent/ledger"
	"github.com/passerelle-cloud/passerelle/consent/web"
	"github.com/passerelle-cloud/passerelle/formats"
	"github.com/passerelle-cloud/passerelle/formats/archive"
	"github.com/passerelle-cloud/passerelle/internal/brand"
	"github.com/passerelle-cloud/passerelle/internal/webui"
	"github.com/passerelle-cloud/passerelle/operators"
	"github.com/passerelle-cloud/passerelle/operators/accounts"
	"github.com/passerelle-cloud/passerelle/operators/home"
	"github.com/passerelle-cloud/passerelle/operators/provider"
	operatorsweb "github.com/passerelle-cloud/passerelle/operators/web"
	"github.com/passerelle-cloud/passerelle/transfer"
	transferweb "github.com/passerelle-cloud/passerelle/transfer/web"
)

// pageFlags say how persons sign in, and under which brands.
type pageFlags struct {
	Brands             string   `help:"Folder with a folder for each host name, which has a brand.json (see internal/brand/README.md)." env:"PASSERELLE_BRANDS" type:"existingdir" placeholder:"DIR"`
	Registration       string   `help:"Who may make an account: closed (administrators make them), invitation, open." enum:"closed,invitation,open" default:"invitation" env:"PASSERELLE_REGISTRATION"`
	TrustedProxy       []string `help:"Address or network (10.0.0.0/8) of a proxy before this gateway, whose X-Forwarded-For says who asks. Several allowed." env:"PASSERELLE_TRUSTED_PROXY" placeholder:"ADDR"`
	Provider           string   `help:"Issuer of the OpenID provider where this operator's persons can sign in, too." env:"PASSERELLE_PROVIDER" placeholder:"URL"`
	ArchiveLimit       int64    `help:"How many gigabytes an archive may have that a person brings, where their quota does not say less." default:"50" env:"PASSERELLE_ARCHIVE_LIMIT" placeholder:"GB"`
	ProviderName       string   `help:"What persons call that provider." env:"PASSERELLE_PROVIDER_NAME" placeholder:"NAME"`
	ProviderClient     string   `help:"Our client_id there." env:"PASSERELLE_PROVIDER_CLIENT" placeholder:"ID"`
	ProviderSecretFile string   `help:"File with our client_secret there." env:"PASSERELLE_PROVIDER_SECRET_FILE" type:"existingfile" placeholder:"FILE"`
}

// openPages opens what persons see: the account pages, the consent pages, the downloads.
func (s *server) openPages(ctx context.Context, g *gateway, c *serveCommand, issuer string) (err error) {
	signed, err := g.statement(ctx)
	if err != nil {
		return err
	}
	operator := signed.Statement.Operator
	own := brand.Brand{Name: operator.LegalName}
	if operator.Contact != nil {
		own.Contact = operator.Contact.Email
	}
	brands, err := c.brands(own)
	if err != nil {
		return err
	}
	secret, err := g.secret(ctx, "pages")
	if err != nil {
		return err
	}
	if s.accounts, err = g.openAccounts(ctx, secret); err != nil {
		return err
	}
	if err := s.openMoney(ctx, g, operator.Country); err != nil {
		return err
	}
	if err := s.openBanks(ctx, g, c, issuer); err != nil {
		return err
	}
	common := webui.Options{Brands: brands, Operator: operator.LegalName, Secure: strings.HasPrefix(issuer, "https://"), Log: s.log, Session: s.session}
	if s.web, err = web.New(common, s.consentPages(g, operator.LegalName, issuer)); err != nil {
		return err
	}
	if s.deskWeb, err = complianceweb.New(common, complianceweb.Options{Desk: s.desk, Key: func(r *http.Request) (string, error) { return g.vkey(r.Context()) }}); err != nil {
		return err
	}
	options, err := s.accountPages(ctx, g, c, secret)
	if err != nil {
		return err
	}
	if s.account, err = operatorsweb.New(common, options); err != nil {
		return err
	}
	takeouts, err := transfer.OpenTakeouts(ctx, s.db, s.jobs, transfer.TakeoutOptions{Dir: g.takeoutDir(), Export: s.takeout(g, issuer)})
	if err != nil {
		return err
	}
	banks, err := s.bankPages(c, operator.LegalName)
	if err != nil {
		return err
	}
	intakes, err := s.openIntakes(ctx, g, c.ArchiveLimit<<30)
	if err != nil {
		return err
	}
	s.transfer, err = transferweb.New(common, transferweb.Options{Takeouts: takeouts, Intakes: intakes, Money: s.money, Bank: banks, RecoveryKey: s.accounts.RecoveryKey, Move: s.movePages(g),
		Catalogue: func() (*transfer.Catalogue, error) { return s.catalogue(operator.LegalName) }})
	return err
}

// takeoutDir is where archives wait to be downloaded.
func (g *gateway) takeoutDir() string { return filepath.Join(g.dir, "takeouts") }

// takeout makes the archive that a person downloads.
func (s *server) takeout(g *gateway, issuer string) func(context.Context, string, string, bool, transfer.Observer) (archive.Sealed, error) {
	return func(ctx context.Context, person, out string, sealed bool, observe transfer.Observer) (archive.Sealed, error) {
		source, err := openSource(ctx, g, "home:"+person)
		if err != nil {
			return archive.Sealed{}, err
		}
		defer source.Close()
		e, err := g.exportOf(ctx, "home:"+person, transfer.With(source, s.dossier(g, issuer, person)))
		if err != nil {
			return archive.Sealed{}, err
		}
		e.Out, e.Observe = out, observe
		e.Journal = transfer.Journal{Person: person, Log: func(ctx context.Context, events ...ledger.Event) error {
			_, err := s.ledger.Append(ctx, events...)
			return err
		}}
		if sealed && e.RecoveryKey != "" {
			if e.Recipients, err = age.ParseRecipients(strings.NewReader(e.RecoveryKey)); err != nil {
				return archive.Sealed{}, err
			}
		}
		return e.Run(ctx)
	}
}

// removeTakeouts removes the archives that a person asked for, and the one that they bring.
func (g *gateway) removeTakeouts(ctx context.Context, person string) error {
	db, err := g.openDB(ctx)
	if err != nil {
		return err
	}
	takeouts, err := transfer.OpenTakeouts(ctx, db, nil, transfer.TakeoutOptions{Dir: g.takeoutDir()})
	if err != nil {
		return err
	}
	intakes, err := transfer.OpenIntakes(ctx, db, nil, transfer.IntakeOptions{Dir: g.intakeDir()})
	if err != nil {
		return err
	}
	return errors.Join(takeouts.RemoveAll(ctx, person), intakes.RemoveAll(ctx, person))
}

func (c *serveCommand) brands(own brand.Brand) (*brand.Brands, error) {
	if c.Brands == "" {
		return brand.Single(own)
	}
	brands, err := brand.Load(c.Brands)
	if err != nil {
		return nil, fmt.Errorf("%w: --brands: %w", errUsage, err)
	}
	brands.Default(own)
	return brands, nil
}

// session is whose a session's token is.
func (s *server) session(r *http.Request, token string) (webui.Session, error) {
	session, err := s.accounts.Session(r.Context(), token)
	if errors.Is(err, accounts.ErrNoSession) {
		return webui.Session{}, nil
	}
	return webui.Session{Person: session.Account.Instance, Method: string(session.Method), Authenticated: session.Authenticated}, err
}

func (s *server) consentPages(g *gateway, operator, issuer string) web.Options {
	return web.Options{
		Authority: s.authority, Operator: operator, Locales: s.oauth.Locales, Receipt: g.receipts(s, issuer), Told: s.events.Of,
		Overdue: s.money.Waiting,
		Looked: func(ctx context.Context, person string) (list []web.Looked, err error) {
			looked, err := s.desk.LookedAt(ctx, person)
			for _, l := range looked {
				list = append(list, web.Looked(l))
			}
			return list, err
		},
		Grant: func(ctx context.Context, d consent.Decision) (location string, c consent.Consent, err error) {
			c, err = s.authority.Grant(ctx, d, s.oauth.Granted(ctx, d, &location))
			return location, c, err
		},
		Refuse: func(ctx context.Context, d consent.Decision) (location string, err error) {
			_, err = s.authority.Refuse(ctx, d, s.oauth.Refused(ctx, &location))
			return location, err
		},
		Moving: func(ctx context.Context, person string) (m web.Moving, err error) {
			instance, err := openInstance(ctx, g, person, false)
			if err != nil {
				return m, err
			}
			counts, err := instance.Counts(ctx)
			for _, d := range formats.Datasets() {
				if c, ok := counts[d]; ok {
					m.Goes = append(m.Goes, web.Going{Name: d, Records: c.Records, Bytes: c.Bytes})
				}
			}
			m.Stays, m.Retained = s.sender.Terms()
			return m, err
		},
		Sample: func(ctx context.Context, person string, d formats.Dataset, kind formats.Kind, most int) ([]formats.Record, error) {
			instance, err := openInstance(ctx, g, person, false)
			if err != nil {
				return nil, err
			}
			return transfer.Sample(ctx, instance.Reader(), d, kind, most)
		},
	}
}

func (s *server) accountPages(ctx context.Context, g *gateway, c *serveCommand, secret []byte) (operatorsweb.Options, error) {
	trusted, err := parseProxies(c.TrustedProxy)
	if err != nil {
		return operatorsweb.Options{}, err
	}
	o := operatorsweb.Options{
		Accounts: s.accounts, Entry: operatorsweb.Entry(c.Registration), ProviderName: c.ProviderName, Secret: secret,
		ClientIP: trusted.client,
		Instance: g.instanceFor,
	}
	if c.Provider == "" {
		return o, nil
	}
	if c.ProviderClient == "" || c.ProviderName == "" {
		return o, fmt.Errorf("%w: --provider needs --provider-client and --provider-name", errUsage)
	}
	config := provider.Config{Issuer: c.Provider, ClientID: c.ProviderClient, Local: c.Local}
	if c.ProviderSecretFile != "" {
		text, err := os.ReadFile(c.ProviderSecretFile)
		if err != nil {
			return o, err
		}
		config.ClientSecret = strings.TrimSpace(string(text))
	}
	o.Provider, err = provider.New(config)
	return o, err
}

// instanceFor makes an instance for whoever registers. Who was invited may have one already, that an administrator made
// or filled; nobody else gets one that is there.
func (g *gateway) instanceFor(ctx context.Context, name string, invited bool) (func(context.Context) error, error) {
	h, err := g.openHome(ctx)
	if err != nil {
		return nil, err
	}
	nothing := func(context.Context) error { return nil }
	_, err = h.Instance(ctx, name)
	switch {
	case err == nil && invited:
		return nothing, nil
	case err == nil:
		return nil, accounts.ErrTaken
	case !errors.Is(err, operators.ErrNotFound):
		return nil, err
	}
	_, err = g.createInstance(ctx, name, home.Options{})
	switch {
	case errors.Is(err, formats.ErrInvalid):
		return nil, fmt.Errorf("%w: %w", accounts.ErrInvalid, err)
	case errors.Is(err, home.ErrTaken), errors.Is(err, consent.ErrTaken):
		return nil, accounts.ErrTaken
	case err != nil:
		return nil, err
	}
	return func(ctx context.Context) error { return h.Delete(ctx, name) }, nil
}
