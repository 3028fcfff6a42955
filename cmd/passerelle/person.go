package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"golang.org/x/term"

	"github.com/passerelle-cloud/passerelle/operators/accounts"
	"github.com/passerelle-cloud/passerelle/operators/home"
)

// personCommand administers the instances of this gateway.
type personCommand struct {
	Add      personAdd      `cmd:"" help:"Make an empty instance."`
	List     personList     `cmd:"" help:"List who has an instance here."`
	ReadOnly personReadOnly `cmd:"" help:"Let an instance be read but not written, or be written again."`
	Invite   personInvite   `cmd:"" help:"Make an invitation: a link by which somebody makes an account."`
	Password personPassword `cmd:"" help:"Set the password by which a person signs in; every session of theirs ends."`
	Erase    personErase    `cmd:"" help:"Remove a person altogether, with what they decided and the key to their entries in the log, and write a signed certificate."`
	Remove   personRemove   `cmd:"" help:"Delete an instance with everything in it, and the person's account."`
}

type personAdd struct {
	Name       string `arg:"" help:"Lower-case letters, digits, - . _"`
	Quota      int64  `help:"Megabytes that it may hold; 0: no limit." placeholder:"MB"`
	SamePerson bool   `help:"It is the person who had this name before: they find again what they decided."`
}

func (c *personAdd) Run(ctx context.Context, p *program) error {
	g, err := p.openGateway()
	if err != nil {
		return err
	}
	defer g.Close()
	create := g.createInstance
	if c.SamePerson {
		create = g.createInstanceAgain
	}
	_, err = create(ctx, c.Name, home.Options{Quota: c.Quota * megabyte})
	return err
}

type personList struct{}

func (c *personList) Run(ctx context.Context, p *program) error {
	return p.withHome(ctx, func(h *home.Home) error {
		instances, err := h.Instances(ctx)
		if err != nil {
			return err
		}
		if len(instances) == 0 {
			fmt.Fprintln(p.err, "Nobody yet. passerelle person add NAME, or passerelle import --to home:NAME ARCHIVE.")
		}
		for _, i := range instances {
			usage, err := i.Usage(ctx)
			if err != nil {
				return err
			}
			fmt.Fprintf(p.out, "%-20s %9d records %9d files %12s\n", i.Name(), usage.Records, usage.Files, size(usage.Bytes))
		}
		return nil
	})
}

type personReadOnly struct {
	Name string `arg:""`
	Off  bool   `help:"Let it be written again."`
}

func (c *personReadOnly) Run(ctx context.Context, p *program) error {
	return p.withHome(ctx, func(h *home.Home) error {
		instance, err := h.Instance(ctx, c.Name)
		if err != nil {
			return err
		}
		return instance.SetReadOnly(ctx, !c.Off)
	})
}

type personRemove struct {
	Name string `arg:""`
	Yes  bool   `help:"Yes, delete everything: there is no way back."`
}

func (c *personRemove) Run(ctx context.Context, p *program) error {
	if !c.Yes {
		return fmt.Errorf("%w: this deletes everything that %s keeps here; export it first, then say --yes", errUsage, c.Name)
	}
	return p.withAccounts(ctx, func(g *gateway, h *home.Home, a *accounts.Accounts) error {
		if _, err := h.Instance(ctx, c.Name); err != nil {
			return err
		}
		// What they allowed ends before anybody else can have the name, and with it what was allowed.
		var ended struct{ Ended int }
		if err := p.administer(ctx, http.MethodDelete, "/admin/persons/"+url.PathEscape(c.Name)+"/consents", nil, &ended); err != nil {
			return fmt.Errorf("end what %s allowed: %w", c.Name, err)
		}
		// The account goes first: whoever has the name after this person must not be signed in to by their password.
		if err := a.Remove(ctx, c.Name); err != nil {
			return err
		}
		if err := g.removeTakeouts(ctx, c.Name); err != nil {
			return fmt.Errorf("the account of %s is removed, but not the archives that they asked for; try again: %w", c.Name, err)
		}
		if err := g.forgetMoney(ctx, c.Name); err != nil {
			return fmt.Errorf("the account of %s is removed, but not when their money was looked through; try again: %w", c.Name, err)
		}
		if err := g.forgetBanks(ctx, c.Name); err != nil {
			return fmt.Errorf("the account of %s is removed, but not their connections with banks; try again: %w", c.Name, err)
		}
		if err := g.forgetSubject(ctx, c.Name); err != nil {
			return fmt.Errorf("the account of %s is removed, but not their pseudonyms; try again: %w", c.Name, err)
		}
		if err := h.Delete(ctx, c.Name); err != nil {
			return fmt.Errorf("the account of %s is removed, but not the instance; try again: %w", c.Name, err)
		}
		return nil
	})
}

type personInvite struct {
	Name string        `arg:"" optional:"" help:"For whom: the name of an instance, which may be there already. Without it, whoever has the link chooses a name."`
	For  time.Duration `help:"How long it can be used." default:"168h" placeholder:"DURATION"`
	URL  string        `name:"url" help:"Where persons reach the gateway." env:"PASSERELLE_URL" default:"http://localhost:8470" placeholder:"URL"`
}

func (c *personInvite) Run(ctx context.Context, p *program) error {
	if c.For <= 0 {
		return fmt.Errorf("%w: --for is a time such as 48h", errUsage)
	}
	if c.Name != "" {
		if err := home.CheckName(c.Name); err != nil {
			return err
		}
	}
	return p.withAccounts(ctx, func(_ *gateway, _ *home.Home, a *accounts.Accounts) error {
		code, err := a.Invite(ctx, c.Name, c.For)
		if err != nil {
			return err
		}
		link := strings.TrimRight(c.URL, "/") + "/register?" + url.Values{"invitation": {code}}.Encode()
		if p.JSON {
			return p.print(struct {
				Link    string    `json:"link"`
				Expires time.Time `json:"expires"`
			}{link, time.Now().Add(c.For).UTC().Truncate(time.Second)})
		}
		fmt.Fprintf(p.out, "%s\nWhoever opens it can make an account, once, until %s. Nobody else should see it.\n", link, time.Now().Add(c.For).Format("2 January 2006, 15:04 MST"))
		return nil
	})
}

type personPassword struct {
	Name string `arg:"" help:"Who has an instance here. The password is asked for twice, or else is one line of the standard input."`
}

func (c *personPassword) Run(ctx context.Context, p *program) error {
	return p.withAccounts(ctx, func(_ *gateway, h *home.Home, a *accounts.Accounts) error {
		if _, err := h.Instance(ctx, c.Name); err != nil {
			return err
		}
		password, err := p.newPassword(ctx, c.Name)
		if err != nil {
			return err
		}
		if err := a.SetPassword(ctx, c.Name, password); err != nil {
			return err
		}
		if p.JSON {
			return p.print(struct {
				Account string `json:"account"`
			}{c.Name})
		}
		fmt.Fprintf(p.out, "%s signs in by this password from now on. Whoever was signed in as %[1]s is not any more.\n", c.Name)
		return nil
	})
}

// newPassword asks for a password twice on a terminal, and elsewhere reads one line.
func (p *program) newPassword(ctx context.Context, name string) (string, error) {
	if !term.IsTerminal(int(os.Stdin.Fd())) {
		return passwordLine(os.Stdin)
	}
	password, err := p.askSecret(ctx, "New password of "+name+": ")
	if err != nil {
		return "", err
	}
	again, err := p.askSecret(ctx, "The same again: ")
	if err != nil {
		return "", err
	}
	if again != password {
		return "", errors.New("the two are not the same: nothing is changed")
	}
	return password, nil
}

// passwordLine reads the first line, without its end.
func passwordLine(r io.Reader) (string, error) {
	line, err := bufio.NewReader(io.LimitReader(r, 2*accounts.MaxPassword)).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return "", fmt.Errorf("read the password: %w", err)
	}
	return strings.TrimSuffix(strings.TrimSuffix(line, "\n"), "\r"), nil
}

// askSecret asks for what nobody else shall see. The terminal shows what is typed again, also after an interrupt.
func (p *program) askSecret(ctx context.Context, question string) (string, error) {
	terminal := int(os.Stdin.Fd())
	state, err := term.GetState(terminal)
	if err != nil {
		return "", err
	}
	type answer struct {
		text []byte
		err  error
	}
	answers := make(chan answer, 1)
	fmt.Fprint(p.err, question)
	defer fmt.Fprintln(p.err)
	go func() {
		text, err := term.ReadPassword(terminal)
		answers <- answer{text, err}
	}()
	select {
	case a := <-answers:
		return string(a.text), a.err
	case <-ctx.Done():
		return "", errors.Join(ctx.Err(), term.Restore(terminal, state))
	}
}

func (p *program) withAccounts(ctx context.Context, do func(*gateway, *home.Home, *accounts.Accounts) error) error {
	g, err := p.openGateway()
	if err != nil {
		return err
	}
	defer g.Close()
	h, err := g.openHome(ctx)
	if err != nil {
		return err
	}
	a, err := g.openAccounts(ctx, nil)
	if err != nil {
		return err
	}
	return do(g, h, a)
}

// openAccounts opens the accounts. Whoever serves them gives the secret under which passkeys' ceremonies are sealed.
func (g *gateway) openAccounts(ctx context.Context, secret []byte) (*accounts.Accounts, error) {
	db, err := g.openDB(ctx)
	if err != nil {
		return nil, err
	}
	return accounts.Open(ctx, db, accounts.Options{Secret: secret})
}

// recoveryKey is the public part of a key that a person made for their archives, "" if they made none.
func (g *gateway) recoveryKey(ctx context.Context, person string) (string, error) {
	a, err := g.openAccounts(ctx, nil)
	if err != nil {
		return "", err
	}
	return a.RecoveryKey(ctx, person)
}

func (p *program) withHome(ctx context.Context, do func(*home.Home) error) error {
	g, err := p.openGateway()
	if err != nil {
		return err
	}
	defer g.Close()
	h, err := g.openHome(ctx)
	if err != nil {
		return err
	}
	return do(h)
}
