package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"time"

	"github.com/passerelle-cloud/passerelle/consent/events"
	"github.com/passerelle-cloud/passerelle/consent/receipt"
	"github.com/passerelle-cloud/passerelle/formats/statement"
	"github.com/passerelle-cloud/passerelle/internal/jobs"
	"github.com/passerelle-cloud/passerelle/operators/accounts"
	"github.com/passerelle-cloud/passerelle/operators/home"
	"github.com/passerelle-cloud/passerelle/transfer"
)

type personErase struct {
	Name string `arg:"" help:"Name of the person."`
	Out  string `help:"File for the certificate (a JWS), which the person gets." required:"" type:"path" placeholder:"FILE"`
	Yes  bool   `help:"Yes, erase everything: there is no way back."`
}

// erasureType is the type of a signed certificate.
const erasureType = "passerelle-erasure"

// Run erases.
func (c *personErase) Run(ctx context.Context, p *program) error {
	if !c.Yes {
		return fmt.Errorf("%w: this deletes everything that %s keeps here, and all that is kept of them; export it first, then say --yes", errUsage, c.Name)
	}
	return p.withAccounts(ctx, func(g *gateway, h *home.Home, a *accounts.Accounts) error {
		signed, err := g.statement(ctx)
		if err != nil {
			return err
		}
		path := "/admin/persons/" + url.PathEscape(c.Name)
		e := g.erasure(c.Name, h, a, signed.Statement.ID)
		e.Remove = append([]func(context.Context) error{func(ctx context.Context) error { // services are told, and nothing flows any more
			var ended struct{ Ended int }
			return p.administer(ctx, http.MethodDelete, path+"/consents", nil, &ended)
		}}, e.Remove...)
		e.Forget = func(ctx context.Context) (f transfer.Forgotten, err error) {
			err = p.administer(ctx, http.MethodDelete, path, nil, &f)
			return f, err
		}
		certificate, err := e.Run(ctx)
		if err != nil {
			return err
		}
		if err := c.write(ctx, g, certificate); err != nil {
			return fmt.Errorf("%s is erased, but the certificate could not be written; do it again: %w", c.Name, err)
		}
		if p.JSON {
			return p.printJSON(certificate)
		}
		p.sayErased(certificate, c.Out)
		return nil
	})
}

// erasure is what removes a person from a gateway, but for their consents.
func (g *gateway) erasure(person string, h *home.Home, a *accounts.Accounts, operator statement.OperatorID) transfer.Erase {
	return transfer.Erase{Person: person, Operator: string(operator),
		Count: func(ctx context.Context) (transfer.Held, error) {
			instance, err := h.Instance(ctx, person)
			if err != nil {
				return transfer.Held{}, err
			}
			usage, err := instance.Usage(ctx)
			return transfer.Held{Records: usage.Records, Files: usage.Files, Bytes: usage.Bytes}, err
		},
		Remove: []func(context.Context) error{
			func(ctx context.Context) error { return a.Remove(ctx, person) },
			func(ctx context.Context) error { return g.removeTakeouts(ctx, person) },
			func(ctx context.Context) error { return g.forgetMoney(ctx, person) },
			func(ctx context.Context) error { return g.forgetBanks(ctx, person) },
			func(ctx context.Context) error { return g.forgetSubject(ctx, person) },
			func(ctx context.Context) error { return h.Delete(ctx, person) },
		},
		Recipients: func(ctx context.Context) ([]transfer.EraseRecipient, error) { return g.recipients(ctx, person) },
	}
}

// certify signs a certificate of erasure.
func (g *gateway) certify(ctx context.Context, certificate *transfer.Certificate) (string, error) {
	text, err := certificate.Bytes()
	if err != nil {
		return "", err
	}
	signer, kid, err := g.tokenSigner(ctx)
	if err != nil {
		return "", err
	}
	return receipt.SignAs(ctx, erasureType, "json", text, kid, signer)
}

// recipients are the services that had data of a person, and whether they have acknowledged the end.
func (g *gateway) recipients(ctx context.Context, person string) ([]transfer.EraseRecipient, error) {
	db, err := g.openDB(ctx)
	if err != nil {
		return nil, err
	}
	queue, err := jobs.New(ctx, db, jobs.Config{})
	if err != nil {
		return nil, err
	}
	told, err := events.New(ctx, db, queue)
	if err != nil {
		return nil, err
	}
	list := []transfer.EraseRecipient{}
	recipients, err := told.Recipients(ctx, person)
	for _, r := range recipients {
		list = append(list, transfer.EraseRecipient{Service: r.LegalName, Contact: r.Contact, Told: r.Told, Acknowledged: r.Acknowledged})
	}
	return list, err
}

// write signs the certificate and writes it.
func (c *personErase) write(ctx context.Context, g *gateway, certificate *transfer.Certificate) error {
	jws, err := g.certify(ctx, certificate)
	if err != nil {
		return err
	}
	if err := os.WriteFile(c.Out, []byte(jws+"\n"), 0o600); err != nil {
		return errors.Join(err, os.Remove(c.Out))
	}
	return nil
}

func (p *program) sayErased(c *transfer.Certificate, out string) {
	say := func(format string, args ...any) { fmt.Fprintf(p.out, format+"\n", args...) }
	say("%s is erased: %d records, %d files, %s; %d consents, %d accesses, %d requests.", c.Person, c.Instance.Records, c.Instance.Files, size(c.Instance.Bytes), c.Consents.Consents, c.Consents.Accesses, c.Consents.Requests)
	if c.Consents.Leaf >= 0 {
		say("The log says so in leaf %d, and no more. It still verifies.", c.Consents.Leaf)
	}
	for _, r := range c.Recipients {
		switch {
		case r.Told.IsZero():
			say("%s (%s) had data, and there was no consent to end.", r.Service, r.Contact)
		case r.Acknowledged.IsZero():
			say("%s (%s) was told, and has not acknowledged it so far.", r.Service, r.Contact)
		default:
			say("%s (%s) has acknowledged it.", r.Service, r.Contact)
		}
	}
	for _, k := range c.Retained {
		if k.Until.IsZero() {
			continue
		}
		say("Kept until %s: %s. %s.", k.Until.Format(time.DateOnly), k.What, k.Why)
	}
	say("wrote %s, signed by this operator. Backups that hold anything of %s must go, too.", out, c.Person)
}
