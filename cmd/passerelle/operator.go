package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/passerelle-cloud/passerelle/formats/statement"
	"github.com/passerelle-cloud/passerelle/operators/keys"
	"github.com/passerelle-cloud/passerelle/operators/peer"
)

// operatorCommand says who this operator is and whom it trusts.
type operatorCommand struct {
	Show    operatorShow    `cmd:"" help:"Print who this operator is; edit operator.json in its folder, or give a new one to set."`
	Set     operatorSet     `cmd:"" help:"Take the operator's description from a JSON file."`
	Publish operatorPublish `cmd:"" help:"Print the signed statement, for other operators to pin."`
	Trust   operatorTrust   `cmd:"" help:"Pin another operator's signed statement."`
	Trusted operatorTrusted `cmd:"" help:"List the pinned operators."`
	Forget  operatorForget  `cmd:"" help:"Unpin an operator."`
}

type operatorShow struct{}

func (c *operatorShow) Run(ctx context.Context, p *program) error {
	return p.withStatement(ctx, func(g *gateway, signed *statement.Signed) error {
		if p.JSON {
			return p.print(signed.Statement)
		}
		_, err := fmt.Fprintf(p.out, "%s\nDescribed in %s.\n", signed.Text(), filepath.Join(g.dir, "operator.json"))
		return err
	})
}

type operatorSet struct {
	File string `arg:"" help:"JSON, as operator show --json gives it." type:"existingfile"`
}

func (c *operatorSet) Run(ctx context.Context, p *program) error {
	g, err := p.openGateway()
	if err != nil {
		return err
	}
	defer g.Close()
	profile, err := keys.LoadProfile(c.File)
	if err != nil {
		return err
	}
	return keys.SaveProfile(filepath.Join(g.dir, "operator.json"), profile)
}

type operatorPublish struct{}

func (c *operatorPublish) Run(ctx context.Context, p *program) error {
	return p.withStatement(ctx, func(_ *gateway, signed *statement.Signed) error {
		_, err := fmt.Fprintf(p.out, "%s\n", signed.Raw())
		return err
	})
}

type operatorTrust struct {
	From        string `arg:"" help:"The address of the operator's gateway (https://cloud.example.org), or a file with its signed statement, as operator publish prints it there." placeholder:"URL|FILE"`
	Fingerprint string `help:"What the operator publishes elsewhere: whoever has another is not pinned." placeholder:"DIGITS"`
}

func (c *operatorTrust) Run(ctx context.Context, p *program) error {
	g, err := p.openGateway()
	if err != nil {
		return err
	}
	defer g.Close()
	signed, err := c.read(ctx)
	if err != nil {
		return err
	}
	if c.Fingerprint != "" && digits(c.Fingerprint) != digits(signed.Fingerprint()) {
		return fmt.Errorf("this is somebody else, or they have a new key; %s is not pinned: its fingerprint is\n  %s", signed.Statement.ID, signed.Fingerprint())
	}
	pins, err := g.pins()
	if err != nil {
		return err
	}
	if err := pins.Pin(signed); err != nil {
		return err
	}
	if c.Fingerprint != "" {
		_, err = fmt.Fprintf(p.out, "%s\nPinned. It has the fingerprint that you gave.\n", signed.Text())
		return err
	}
	_, err = fmt.Fprintf(p.out, "%s\nPinned. Compare the fingerprint with what the operator publishes elsewhere:\n  %s\nIf it differs: passerelle operator forget %s\n", signed.Text(), signed.Fingerprint(), signed.Statement.ID)
	return err
}

// read reads the statement, from the operator or from a file.
func (c *operatorTrust) read(ctx context.Context) (*statement.Signed, error) {
	if strings.Contains(c.From, "://") {
		return peer.Fetch(ctx, c.From)
	}
	data, err := os.ReadFile(c.From)
	if err != nil {
		return nil, fmt.Errorf("%w; of an operator's gateway write the address with https://", err)
	}
	signed, err := statement.Parse(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", c.From, err)
	}
	return signed, nil
}

// digits are those of a fingerprint, however it is written.
func digits(fingerprint string) string {
	return strings.ToLower(strings.NewReplacer(" ", "", ":", "", "-", "").Replace(fingerprint))
}

type operatorTrusted struct{}

func (c *operatorTrusted) Run(ctx context.Context, p *program) error {
	g, err := p.openGateway()
	if err != nil {
		return err
	}
	defer g.Close()
	pins, err := g.pins()
	if err != nil {
		return err
	}
	if len(pins.All()) == 0 {
		fmt.Fprintln(p.err, "Nobody is pinned. passerelle operator trust https://cloud.example.org pins an operator.")
	}
	for _, s := range pins.All() {
		fmt.Fprintf(p.out, "%-30s %s\n  %s\n", s.Statement.ID, s.Statement.LegalName, s.Fingerprint())
	}
	return nil
}

type operatorForget struct {
	ID string `arg:"" help:"The operator's id."`
}

func (c *operatorForget) Run(ctx context.Context, p *program) error {
	g, err := p.openGateway()
	if err != nil {
		return err
	}
	defer g.Close()
	id, err := statement.ParseOperatorID(c.ID)
	if err != nil {
		return fmt.Errorf("%w: %v", errUsage, err)
	}
	pins, err := g.pins()
	if err != nil {
		return err
	}
	return pins.Unpin(id)
}

func (p *program) withStatement(ctx context.Context, do func(*gateway, *statement.Signed) error) error {
	g, err := p.openGateway()
	if err != nil {
		return err
	}
	defer g.Close()
	signed, err := g.statement(ctx)
	if err != nil {
		return err
	}
	return do(g, signed)
}
