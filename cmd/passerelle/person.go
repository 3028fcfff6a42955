package main

import (
	"context"
	"fmt"

	"github.com/passerelle-cloud/passerelle/operators/home"
)

// personCommand administers the instances of this gateway.
type personCommand struct {
	Add      personAdd      `cmd:"" help:"Make an empty instance."`
	List     personList     `cmd:"" help:"List who has an instance here."`
	ReadOnly personReadOnly `cmd:"" help:"Let an instance be read but not written, or be written again."`
	Remove   personRemove   `cmd:"" help:"Delete an instance with everything in it."`
}

type personAdd struct {
	Name  string `arg:"" help:"Lower-case letters, digits, - . _"`
	Quota int64  `help:"Megabytes that it may hold; 0: no limit." placeholder:"MB"`
}

func (c *personAdd) Run(ctx context.Context, p *program) error {
	return p.withHome(ctx, func(h *home.Home) error {
		_, err := h.Create(ctx, c.Name, home.Options{Quota: c.Quota * megabyte})
		return err
	})
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
	return p.withHome(ctx, func(h *home.Home) error { return h.Delete(ctx, c.Name) })
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
