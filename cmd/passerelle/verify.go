package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/passerelle-cloud/passerelle/formats"
	"github.com/passerelle-cloud/passerelle/formats/archive"
	"github.com/passerelle-cloud/passerelle/transfer"
)

// verifyCommand checks archives.
type verifyCommand struct {
	Archives       []string `arg:"" name:"file" help:"The archive: its .zip, its .index.json, its volumes, or the folder that it was unpacked to." type:"path"`
	RequireTrusted bool     `help:"Fail unless an operator signed it that is pinned."`
	unlockFlags    `embed:""`
}

// Run verifies each archive; every fault is named before it fails.
func (c *verifyCommand) Run(ctx context.Context, p *program) error {
	g, err := p.openGateway()
	if err != nil {
		return err
	}
	defer g.Close()
	failed := false
	var reports []archive.Report
	for _, paths := range archive.Group(c.Archives) {
		report, err := c.one(ctx, p, g, paths)
		if err != nil {
			return explain(err)
		}
		failed = failed || !report.Intact || c.RequireTrusted && !report.Signer.Trusted
		reports = append(reports, report)
		if !p.JSON {
			sayReport(p.out, paths[0], &report)
		}
	}
	if p.JSON {
		if err := p.print(reports); err != nil {
			return err
		}
	}
	if failed {
		return errSaid
	}
	return nil
}

func (c *verifyCommand) one(ctx context.Context, p *program, g *gateway, paths []string) (archive.Report, error) {
	a, err := c.open(ctx, p, g, paths)
	if errors.Is(err, archive.ErrFault) {
		return archive.Report{Faults: []archive.Fault{{Code: "unreadable", Detail: err.Error()}}}, nil
	}
	if err != nil {
		return archive.Report{}, err
	}
	defer a.Close()
	expect, err := g.expectations(ctx)
	if err != nil {
		return archive.Report{}, err
	}
	expect.Any = true
	observe, done := p.meter()
	defer done()
	progress := transfer.Progress{Step: transfer.Verifying, TotalBytes: a.Size()}
	expect.Progress = func(n int64) {
		progress.Bytes += n
		if observe != nil {
			observe(progress)
		}
	}
	tmp, err := g.tmp()
	if err != nil {
		return archive.Report{}, err
	}
	verified, err := a.Verify(ctx, tmp, expect)
	if err != nil {
		return archive.Report{}, err
	}
	return verified.Report, verified.Close()
}

func sayReport(out io.Writer, name string, r *archive.Report) {
	if !r.Intact {
		fmt.Fprintf(out, "%s: NOT SOUND, %s\n", name, plural(len(r.Faults)+r.Unlisted, "fault"))
		for _, f := range r.Faults {
			fmt.Fprintf(out, "  %s\n", f)
		}
		if r.Unlisted > 0 {
			fmt.Fprintf(out, "  … and %d more\n", r.Unlisted)
		}
		return
	}
	total := r.Claims.Totals()
	fmt.Fprintf(out, "%s: intact. Archive %d of the series %s, made on %s: %d records, %d files, %s.\n", name, r.Claims.Sequence,
		r.Claims.ExportID, r.Claims.Created.Format("2006-01-02 15:04 MST"), total.Records, total.Files, size(total.Bytes))
	if r.Repacked {
		fmt.Fprintln(out, "It was unpacked, or packed again by another program; its contents are what was signed.")
	}
	sayTrust(out, r.Signer)
	if l := r.Claims.LeftOut; l != nil {
		fmt.Fprintf(out, "It is not whole for anybody else: the bytes of %s (%s) are not in it, because %s, for which it was made, had them.\n",
			plural(int(l.Blobs), "different file"), size(l.Bytes), r.Claims.Recipient.ID)
	}
	if n := len(r.Claims.Omissions); n > 0 {
		fmt.Fprintf(out, "Its source left out, or changed, %s: see passerelle inspect.\n", plural(n, "thing"))
	}
}

// sayTrust tells apart "somebody signed it" from "somebody signed it whom you trust".
func sayTrust(out io.Writer, s *archive.Signer) {
	switch {
	case s == nil:
	case s.Trusted:
		fmt.Fprintf(out, "Signed by %s (%s), whom you trust.\n", s.Name, s.Operator)
	default:
		fmt.Fprintf(out, "The signer is unknown: it says that it is %s (%s), and nothing proves that. Key %.16s….\n  %s\n", s.Name, s.Operator, s.Fingerprint, s.Why)
	}
}

// inspectCommand lists what an archive holds.
type inspectCommand struct {
	Archives    []string        `arg:"" name:"file" help:"The archive, as for verify." type:"path"`
	Records     formats.Dataset `help:"Print the records of this dataset, one JSON record a line." placeholder:"DATASET"`
	unlockFlags `embed:""`
}

// Run lists each archive. What it lists is verified first: a list of something else would be of no use.
func (c *inspectCommand) Run(ctx context.Context, p *program) error {
	if c.Records != "" {
		if _, err := formats.ParseDataset(string(c.Records)); err != nil {
			return fmt.Errorf("%w: %v", errUsage, err)
		}
	}
	g, err := p.openGateway()
	if err != nil {
		return err
	}
	defer g.Close()
	for _, paths := range archive.Group(c.Archives) {
		if err := c.one(ctx, p, g, paths); err != nil {
			return explain(err)
		}
	}
	return nil
}

func (c *inspectCommand) one(ctx context.Context, p *program, g *gateway, paths []string) error {
	a, err := c.open(ctx, p, g, paths)
	if err != nil {
		return err
	}
	defer a.Close()
	expect, err := g.expectations(ctx)
	if err != nil {
		return err
	}
	expect.Any = true
	tmp, err := g.tmp()
	if err != nil {
		return err
	}
	verified, err := a.Verify(ctx, tmp, expect)
	if err != nil {
		return err
	}
	defer verified.Close()
	report := &verified.Report
	switch {
	case c.Records != "" && report.Intact:
		return c.records(p, verified)
	case p.JSON:
		if err := p.print(report); err != nil {
			return err
		}
	default:
		sayReport(p.out, paths[0], report)
		if report.Claims != nil {
			sayClaims(p.out, report.Claims)
		}
	}
	if !report.Intact {
		return errSaid
	}
	return nil
}

func (c *inspectCommand) records(p *program, verified *archive.Verified) error {
	var line []byte
	for record, err := range verified.Records(c.Records) {
		if err == nil {
			line, err = record.AppendLine(line[:0])
		}
		if err == nil {
			_, err = p.out.Write(append(line, '\n'))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func sayClaims(out io.Writer, c *archive.Claims) {
	fmt.Fprintf(out, "source      %s (%s)\n", c.Source.Name, c.Source.ID)
	if c.Recipient != nil {
		fmt.Fprintf(out, "recipient   %s (%s), until %s\n", c.Recipient.Name, c.Recipient.ID, c.Expires.Format("2006-01-02 15:04 MST"))
	} else {
		fmt.Fprintf(out, "recipient   the person\n")
	}
	fmt.Fprintf(out, "state root  %s\n", c.StateRoot)
	fmt.Fprintf(out, "%-10s %9s %9s %15s\n", "dataset", "records", "files", "bytes")
	for _, d := range c.Datasets {
		fmt.Fprintf(out, "%-10s %9d %9d %15d\n", d.Dataset, d.Records, d.Files, d.Bytes)
	}
	for _, o := range transfer.Omissions(c.Omissions) {
		fmt.Fprintf(out, "%s: %s\n", o.Kind(), o)
	}
}
