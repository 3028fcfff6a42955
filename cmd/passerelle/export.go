package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"filippo.io/age"

	"github.com/passerelle-cloud/passerelle/formats"
	"github.com/passerelle-cloud/passerelle/formats/archive"
	"github.com/passerelle-cloud/passerelle/formats/statement"
	"github.com/passerelle-cloud/passerelle/operators"
	"github.com/passerelle-cloud/passerelle/operators/cozy"
	"github.com/passerelle-cloud/passerelle/operators/home"
	"github.com/passerelle-cloud/passerelle/transfer"
)

// exportCommand writes a signed archive, or an archive that a Cozy imports.
type exportCommand struct {
	From   string `help:"Source: ${specs}." required:"" placeholder:"SOURCE"`
	Out    string `help:"Where the archive goes: NAME.zip for one zip, NAME for tar volumes with a signed index." type:"path" placeholder:"FILE" xor:"out"`
	To     string `help:"With --format cozy: the folder for the parts and the manifest." type:"path" placeholder:"DIR" xor:"out"`
	Format string `help:"passerelle or cozy." enum:"passerelle,cozy" default:"passerelle"`

	ToOperator     string   `help:"Signed statement (JSON) of the operator it is made for: it alone can open and load it." type:"existingfile" placeholder:"FILE"`
	Recipient      []string `help:"Encrypt to this age recipient (age1…), several allowed." placeholder:"AGE1…"`
	PassphraseFile string   `help:"Encrypt with the passphrase in this file." type:"existingfile" placeholder:"FILE"`
	Since          string   `help:"Only what changed since the last archive of this series (export id)." placeholder:"SERIES"`
	Zstd           bool     `help:"Compress volumes with zstd."`
	VolumeSize     int64    `help:"Megabytes of a volume, or of a Cozy part; ${default} if not given." default:"1074" placeholder:"MB"`
}

const megabyte = 1_000_000

// Run exports.
func (c *exportCommand) Run(ctx context.Context, p *program) error {
	if err := c.check(); err != nil {
		return err
	}
	g, err := p.openGateway()
	if err != nil {
		return err
	}
	defer g.Close()
	source, err := openSource(ctx, g, c.From)
	if err != nil {
		return err
	}
	defer source.Close()
	if c.Format == "cozy" {
		return c.cozy(ctx, p, g, source)
	}
	return c.archive(ctx, p, g, source)
}

func (c *exportCommand) check() error {
	switch {
	case c.VolumeSize < 1:
		return fmt.Errorf("%w: --volume-size is in megabytes, and at least 1", errUsage)
	case c.Format == "cozy" && c.To == "":
		return fmt.Errorf("%w: --format cozy needs --to DIR, for a Cozy archive is several files", errUsage)
	case c.Format == "cozy" && (c.Since != "" || c.Zstd || c.PassphraseFile != "" || c.ToOperator != "" || len(c.Recipient) > 0):
		return fmt.Errorf("%w: a Cozy archive is neither signed nor encrypted nor a delta: leave those flags out", errUsage)
	case c.Format != "cozy" && c.Out == "":
		return fmt.Errorf("%w: say where the archive goes with --out FILE", errUsage)
	case c.PassphraseFile != "" && (len(c.Recipient) > 0 || c.ToOperator != ""):
		return fmt.Errorf("%w: a passphrase stands alone: age does not mix it with recipients", errUsage)
	}
	return nil
}

func (c *exportCommand) cozy(ctx context.Context, p *program, g *gateway, source operators.Source) error {
	if err := os.MkdirAll(c.To, 0o700); err != nil {
		return err
	}
	target, err := cozy.Create(c.To, cozy.Options{PartSize: c.VolumeSize * megabyte})
	if err != nil {
		return err
	}
	defer target.Close()
	observe, done := p.meter()
	report, err := transfer.Copy{Source: source, Target: target, Form: "cozy", Journal: g.journal(c.From), Observe: observe}.Run(ctx)
	done()
	if err != nil {
		return err
	}
	if p.JSON {
		return p.print(report)
	}
	fmt.Fprintf(p.out, "Written for a Cozy, in %s:\n", c.To)
	return report.Write(p.out)
}

func (c *exportCommand) archive(ctx context.Context, p *program, g *gateway, source operators.Source) error {
	export, err := c.prepare(ctx, g, source)
	if err != nil {
		return err
	}
	observe, done := p.meter()
	export.Observe = observe
	sealed, err := export.Run(ctx)
	done()
	if err != nil {
		return err
	}
	if err := g.remember(c.From, sealed); err != nil {
		return fmt.Errorf("the archive is written, but not remembered, so that no delta can follow it: %w", err)
	}
	if p.JSON {
		return p.print(sealed)
	}
	c.say(p, sealed)
	return nil
}

// exportOf gathers who signs what leaves a source, and the recovery key of the person if it is an instance here.
func (g *gateway) exportOf(ctx context.Context, spec string, source operators.Source) (transfer.Export, error) {
	signed, err := g.statement(ctx)
	if err != nil {
		return transfer.Export{}, err
	}
	store, err := g.keys(ctx)
	if err != nil {
		return transfer.Export{}, err
	}
	signer, err := store.Signer(ctx, statement.UseArchive)
	if err != nil {
		return transfer.Export{}, err
	}
	e := transfer.Export{Source: source, Operator: partyOf(signed), Signer: signer, Statement: signed.Raw(), Codecs: codecs(), Schemas: formats.Schemas()}
	if person, ok := strings.CutPrefix(spec, "home:"); ok {
		e.RecoveryKey, err = g.recoveryKey(ctx, person)
	}
	return e, err
}

// prepare gathers who signs, for whom, and what goes before.
func (c *exportCommand) prepare(ctx context.Context, g *gateway, source operators.Source) (transfer.Export, error) {
	e, err := g.exportOf(ctx, c.From, source)
	if err != nil {
		return e, err
	}
	e.Out, e.VolumeSize, e.Zstd, e.Journal = c.Out, c.VolumeSize*megabyte, c.Zstd, g.journal(c.From)
	if err := c.address(&e, source); err != nil {
		return e, err
	}
	if c.Since != "" {
		last, err := g.recall(c.From, c.Since)
		if err != nil {
			return e, err
		}
		e.Since = &transfer.Previous{Claims: last.Sealed.Claims, Root: last.Sealed.Root}
	}
	return e, nil
}

// address says for whom the archive is made and who can decrypt it.
func (c *exportCommand) address(e *transfer.Export, source operators.Source) error {
	recipient := ""
	if c.ToOperator != "" {
		data, err := os.ReadFile(c.ToOperator)
		if err != nil {
			return err
		}
		to, err := statement.Parse(data)
		if err != nil {
			return fmt.Errorf("%s: %w", c.ToOperator, err)
		}
		if e.Recipients, err = to.Recipients(); err != nil {
			return fmt.Errorf("%s: %w", c.ToOperator, err)
		}
		party := partyOf(to)
		e.Recipient, recipient = &party, party.ID
	}
	for _, r := range c.Recipient {
		parsed, err := age.ParseRecipients(strings.NewReader(r))
		if err != nil {
			return fmt.Errorf("%w: --recipient %q: %v", errUsage, r, err)
		}
		e.Recipients = append(e.Recipients, parsed...)
	}
	if c.PassphraseFile != "" {
		phrase, err := readPassphrase(c.PassphraseFile)
		if err != nil {
			return err
		}
		scrypt, err := age.NewScryptRecipient(phrase)
		if err != nil {
			return err
		}
		e.Recipients = []age.Recipient{scrypt}
	}
	if s, ok := source.(*home.Source); ok {
		e.Pseudonym = s.Pseudonym(recipient)
	}
	return nil
}

func partyOf(signed *statement.Signed) archive.Party {
	return archive.Party{ID: string(signed.Statement.ID), Name: signed.Statement.LegalName}
}

// readPassphrase reads the first line of a file.
func readPassphrase(name string) (string, error) {
	data, err := readLimited(name, 4096)
	if err != nil {
		return "", err
	}
	phrase, _, _ := strings.Cut(strings.TrimPrefix(string(data), "\ufeff"), "\n")
	if phrase = strings.TrimSuffix(phrase, "\r"); phrase == "" {
		return "", fmt.Errorf("the passphrase file %s is empty", name)
	}
	return phrase, nil
}

func readLimited(name string, limit int64) ([]byte, error) {
	info, err := os.Stat(name)
	if err != nil {
		return nil, err
	}
	if info.Size() > limit {
		return nil, fmt.Errorf("%s is larger than %d bytes", name, limit)
	}
	return os.ReadFile(name)
}

// say tells a person what there is now, and what to do with it.
func (c *exportCommand) say(p *program, sealed archive.Sealed) {
	total := sealed.Claims.Totals()
	fmt.Fprintf(p.out, "Archive %d of the series %s: %d records, %d files, %s.\n", sealed.Claims.Sequence, sealed.Claims.ExportID, total.Records, total.Files, size(total.Bytes))
	for _, d := range sealed.Claims.Datasets {
		fmt.Fprintf(p.out, "  %-10s %8d records\n", d.Dataset, d.Records)
	}
	for _, o := range transfer.Omissions(sealed.Claims.Omissions) {
		fmt.Fprintf(p.out, "  %s: %s\n", o.Kind(), o)
	}
	folder := filepath.Dir(c.Out)
	for _, f := range sealed.Files {
		fmt.Fprintf(p.out, "wrote %s\n", filepath.Join(folder, f))
	}
	last := filepath.Join(folder, sealed.Files[len(sealed.Files)-1])
	fmt.Fprintf(p.out, "Check it:              passerelle verify %s\n", last)
	if !strings.HasPrefix(c.From, "home:") {
		return
	}
	fmt.Fprintf(p.out, "Later, only changes:   passerelle export --from %s --since %s --out …\n", c.From, sealed.Claims.ExportID)
}

func nonEmpty(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// errors that are worth a word of their own, whichever command meets them.
func explain(err error) error {
	if errors.Is(err, archive.ErrLocked) {
		return fmt.Errorf("%w; give --identity FILE (an age key) or --passphrase-file FILE", err)
	}
	return err
}
