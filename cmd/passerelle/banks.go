package main

import (
	"context"
	"crypto"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"os"
	"slices"
	"time"

	"github.com/passerelle-cloud/passerelle/compliance/psd2"
	"github.com/passerelle-cloud/passerelle/formats"
	"github.com/passerelle-cloud/passerelle/internal/problem"
	"github.com/passerelle-cloud/passerelle/internal/seal"
	"github.com/passerelle-cloud/passerelle/operators"
	"github.com/passerelle-cloud/passerelle/operators/bank"
	"github.com/passerelle-cloud/passerelle/operators/home"
	"github.com/passerelle-cloud/passerelle/operators/keys"
	transferbank "github.com/passerelle-cloud/passerelle/transfer/bank"
	transferweb "github.com/passerelle-cloud/passerelle/transfer/web"
)

// bankFlags say at which banks persons have their accounts read, and as whom the operator is known there.
type bankFlags struct {
	Banks      string `help:"Folder with a profile for each bank at which persons can have their accounts read: BANK.json. For operators that give account information (role aisp)." env:"PASSERELLE_BANKS" type:"existingdir" placeholder:"DIR"`
	BankQWAC   string `name:"bank-qwac" help:"File with the qualified certificate (PEM, with the chain) that is shown to banks' servers. Its key is the key qwac." env:"PASSERELLE_BANK_QWAC" type:"existingfile" placeholder:"FILE"`
	BankQSealC string `name:"bank-qsealc" help:"File with the certificate for electronic seals, which signs what banks are asked. Its key is the key qsealc." env:"PASSERELLE_BANK_QSEALC" type:"existingfile" placeholder:"FILE"`
	BankRoots  string `name:"bank-roots" help:"File with the authorities (PEM) that certify banks' servers, where the system does not know them." env:"PASSERELLE_BANK_ROOTS" type:"existingfile" placeholder:"FILE"`
}

// openBanks opens the connections of persons with their banks, if there is any bank.
func (s *server) openBanks(ctx context.Context, g *gateway, c *serveCommand, issuer string) error {
	if c.Banks == "" {
		return nil
	}
	signed, err := g.statement(ctx)
	if err != nil {
		return err
	}
	if !slices.Contains(signed.Statement.Operator.DeclaredRoles(), psd2.RoleAISP) {
		return fmt.Errorf("%w: --banks is for operators that give account information: add %q to the roles in operator.json, if you are registered for that (PSD2 article 33)", errUsage, psd2.RoleAISP)
	}
	profiles, err := bank.LoadProfiles(c.Banks)
	if err != nil {
		return err
	}
	identity, err := s.bankIdentity(ctx, g, c)
	if err != nil {
		return err
	}
	roots, err := certificatesIn(c.BankRoots)
	if err != nil {
		return err
	}
	var clients []*bank.Client
	for _, p := range profiles {
		client, err := bank.New(bank.Config{Profile: p, Identity: identity, Roots: roots})
		if err != nil {
			return err
		}
		clients = append(clients, client)
	}
	secret, err := g.secret(ctx, "banks")
	if err != nil {
		return err
	}
	box, err := seal.New(secret, "banks")
	if err != nil {
		return err
	}
	s.banks, err = transferbank.Open(ctx, transferbank.Options{DB: s.db, Authority: s.authority, Banks: clients, Box: box, Queue: s.jobs, Return: issuer + "/bank/back", Log: s.log, Read: s.money.Changed,
		Home: transferbank.Home{Change: g.changeBank, Drop: g.dropBank}})
	if err == nil {
		err = s.jobs.Handle(s.banks.Workers()...)
	}
	if err == nil {
		_, err = s.banks.Wake(ctx)
	}
	return err
}

// bankIdentity is who we are at banks; nil without certificates.
func (s *server) bankIdentity(ctx context.Context, g *gateway, c *serveCommand) (*bank.Identity, error) {
	if c.BankQWAC == "" && c.BankQSealC == "" {
		return nil, nil
	}
	store, err := g.keys(ctx)
	if err != nil {
		return nil, err
	}
	certified, ok := store.(keys.CertifiedKeys)
	if !ok {
		return nil, errors.New("this store of keys keeps none of certificates")
	}
	identity := &bank.Identity{}
	for _, one := range []struct {
		file string
		use  keys.Certified
		into **bank.Certificate
	}{{c.BankQWAC, keys.QWAC, &identity.Transport}, {c.BankQSealC, keys.QSealC, &identity.Seal}} {
		if one.file == "" {
			continue
		}
		if *one.into, err = bankCertificate(ctx, certified, one.file, one.use); err != nil {
			return nil, fmt.Errorf("%s: %w", one.file, err)
		}
	}
	warnings, err := identity.Check(time.Now(), paymentRoles)
	for _, w := range warnings {
		s.log.Warn("soon banks will not accept us any more", "why", w)
	}
	return identity, err
}

func bankCertificate(ctx context.Context, store keys.CertifiedKeys, file string, use keys.Certified) (*bank.Certificate, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	leaf, err := bank.Leaf(text)
	if err != nil {
		return nil, err
	}
	var key crypto.Signer
	if key, err = store.Certified(ctx, use, leaf.PublicKey); err != nil {
		return nil, err
	}
	return bank.ParseCertificate(text, key)
}

// paymentRoles are the roles that a certificate says.
func paymentRoles(c *x509.Certificate) ([]string, error) {
	said, err := psd2.StatementOf(c)
	if err != nil {
		return nil, err
	}
	return said.Roles, nil
}

// changeBank is what is read at banks going into a home.
func (g *gateway) changeBank(ctx context.Context, person string, ids []string, become func(map[string]formats.Record) ([]formats.Record, error)) error {
	i, err := openInstance(ctx, g, person, false)
	if err != nil {
		return err
	}
	return i.Revise(ctx, formats.Bank, ids[0], nil, func(ctx context.Context, s *home.Sight, _ *formats.Record) ([]formats.Record, error) {
		before := map[string]formats.Record{}
		for _, id := range ids {
			record, _, err := s.Record(ctx, formats.Bank, id)
			if err == nil {
				before[id] = record
			} else if !errors.Is(err, operators.ErrNotFound) {
				return nil, err
			}
		}
		return become(before)
	})
}

func (g *gateway) dropBank(ctx context.Context, person, id string) error {
	i, err := openInstance(ctx, g, person, false)
	if err != nil {
		return err
	}
	err = i.Drop(ctx, formats.Bank, id, nil)
	if errors.Is(err, operators.ErrNotFound) {
		return nil
	}
	return err
}

// bankPages are what the pages need for connections with banks.
func (s *server) bankPages(c *serveCommand, operator string) (transferweb.BankOptions, error) {
	behind, err := parseProxies(c.TrustedProxy)
	return transferweb.BankOptions{Banks: s.banks, Address: behind.client, Operator: operator}, err
}

// forgetBanks removes what is known of a person's connections with banks.
func (g *gateway) forgetBanks(ctx context.Context, person string) error {
	db, err := g.openDB(ctx)
	if err != nil {
		return err
	}
	b, err := transferbank.Open(ctx, transferbank.Options{DB: db})
	if err != nil {
		return err
	}
	return b.Forget(ctx, person)
}

// endBanks disconnects all of a person's banks, and tells those that can be reached.
func (s *server) endBanks(ctx context.Context, person string) error {
	if s.banks == nil {
		return nil
	}
	list, err := s.banks.Of(ctx, person)
	for _, c := range list {
		err = errors.Join(err, s.banks.Disconnect(ctx, person, c.ID))
	}
	return err
}

// endingBanks has banks told before what a person allowed here ends.
func (s *server) endingBanks(then http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if err := s.endBanks(r.Context(), r.PathValue("name")); err != nil {
			s.log.Error("the banks of a person cannot be disconnected", "error", err)
			problem.Problem{Type: "unavailable", Title: "The banks of this person cannot be disconnected now", Status: http.StatusServiceUnavailable, Detail: "Nothing was ended. Try again."}.Write(w)
			return
		}
		then(w, r)
	}
}
