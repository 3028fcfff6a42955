package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"

	"filippo.io/age"
	"golang.org/x/term"

	"github.com/passerelle-cloud/passerelle/formats/archive"
	"github.com/passerelle-cloud/passerelle/operators"
	"github.com/passerelle-cloud/passerelle/transfer"
)

// unlockFlags say how an encrypted archive is opened.
type unlockFlags struct {
	Identity       []string `help:"File with an age identity (AGE-SECRET-KEY-…) that decrypts it." type:"existingfile" placeholder:"FILE"`
	PassphraseFile string   `help:"File with the passphrase that decrypts it; asked for on a terminal." type:"existingfile" placeholder:"FILE"`
	MaxExpansion   int64    `help:"Refuse an archive that unpacks to more than so many times its size; -1: no limit." default:"1000"`
}

// open opens an archive with the operator's own age keys and what the flags give.
func (u *unlockFlags) open(ctx context.Context, p *program, g *gateway, paths []string) (*archive.Archive, error) {
	store, err := g.keys(ctx)
	if err != nil {
		return nil, err
	}
	identities, err := store.Identities(ctx)
	if err != nil {
		return nil, err
	}
	for _, name := range u.Identity {
		f, err := os.Open(name)
		if err != nil {
			return nil, err
		}
		more, err := age.ParseIdentities(f)
		f.Close()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		identities = append(identities, more...)
	}
	phrase, err := u.passphrase(p, paths)
	if err != nil {
		return nil, err
	}
	if phrase != "" {
		scrypt, err := age.NewScryptIdentity(phrase)
		if err != nil {
			return nil, err
		}
		identities = append(identities, scrypt)
	}
	return archive.Open(paths, archive.OpenOptions{Identities: identities, MaxExpansion: u.MaxExpansion})
}

// passphrase reads it from the file, or asks for it where the archive has one and somebody is there to be asked.
func (u *unlockFlags) passphrase(p *program, paths []string) (string, error) {
	if u.PassphraseFile != "" {
		return readPassphrase(u.PassphraseFile)
	}
	asks, err := archive.WantsPassphrase(paths)
	if err != nil || !asks || !term.IsTerminal(int(os.Stdin.Fd())) {
		return "", err
	}
	fmt.Fprint(p.err, "Passphrase of the archive: ")
	phrase, err := term.ReadPassword(int(os.Stdin.Fd()))
	fmt.Fprintln(p.err)
	return string(phrase), err
}

// importCommand verifies archives and loads them.
type importCommand struct {
	To             string   `help:"Target: home:NAME (made if there is none), dir:PATH or cozy:FOLDER." required:"" placeholder:"TARGET"`
	Archives       []string `arg:"" name:"file" help:"The archive: its .zip, its .index.json, its volumes, or the folder that it was unpacked to. Several archives of one series in their order." type:"path"`
	RequireTrusted bool     `help:"Load only what an operator signed that is pinned (passerelle operator trust)."`
	Report         string   `help:"Write the full report to this file, as JSON." type:"path" placeholder:"FILE"`
	unlockFlags    `embed:""`
}

// Run imports the archives one after the other.
func (c *importCommand) Run(ctx context.Context, p *program) error {
	if err := checkTarget(c.To); err != nil {
		return err
	}
	g, err := p.openGateway()
	if err != nil {
		return err
	}
	defer g.Close()
	var reports []*transfer.Report
	for _, paths := range archive.Group(c.Archives) {
		report, err := c.load(ctx, p, g, paths)
		if report != nil {
			reports = append(reports, report)
		}
		if err != nil {
			return errors.Join(explain(err), c.save(reports))
		}
	}
	if err := c.save(reports); err != nil {
		return err
	}
	if p.JSON {
		return p.print(reports)
	}
	return nil
}

func (c *importCommand) load(ctx context.Context, p *program, g *gateway, paths []string) (*transfer.Report, error) {
	a, err := c.open(ctx, p, g, paths)
	if err != nil {
		return nil, err
	}
	defer a.Close()
	expect, err := g.expectations(ctx)
	if err != nil {
		return nil, err
	}
	tmp, err := g.tmp()
	if err != nil {
		return nil, err
	}
	observe, done := p.meter()
	report, err := transfer.Import{
		Archive: a, Target: func(ctx context.Context) (operators.Target, error) { return openTarget(ctx, g, c.To) },
		Expect: expect, Trusted: c.RequireTrusted, Tmp: tmp, Journal: g.journal(c.To), Observe: observe,
	}.Run(ctx)
	done()
	if report == nil || p.JSON {
		return report, err
	}
	fmt.Fprintf(p.out, "Loaded archive %d of the series %s into %s.\n", report.Sequence, report.ExportID, c.To)
	sayTrust(p.out, report.Signer)
	return report, errors.Join(err, report.Write(p.out))
}

func (c *importCommand) save(reports []*transfer.Report) error {
	if c.Report == "" {
		return nil
	}
	text, err := json.MarshalIndent(reports, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(c.Report, append(text, '\n'), 0o600)
}

// expectations are what this gateway knows of an archive before it reads it.
func (g *gateway) expectations(ctx context.Context) (archive.Expectations, error) {
	signed, err := g.statement(ctx)
	if err != nil {
		return archive.Expectations{}, err
	}
	pins, err := g.pins()
	if err != nil {
		return archive.Expectations{}, err
	}
	return archive.Expectations{Judge: archive.JudgeBy(pins.With(signed)), Recipient: string(signed.Statement.ID)}, nil
}

// print writes v as JSON, indented.
func (p *program) print(v any) error {
	enc := json.NewEncoder(p.out)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}

// plural is for sentences with counts: 1 fault, 2 faults.
func plural(n int, word string) string {
	if n == 1 {
		return "1 " + word
	}
	return fmt.Sprintf("%d %s", n, strings.TrimSuffix(word, "s")+"s")
}
