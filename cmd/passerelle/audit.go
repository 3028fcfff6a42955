package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/passerelle-cloud/passerelle/compliance/dataact"
	"github.com/passerelle-cloud/passerelle/compliance/dga"
	"github.com/passerelle-cloud/passerelle/compliance/drafts"
	"github.com/passerelle-cloud/passerelle/compliance/gdpr"
	"github.com/passerelle-cloud/passerelle/compliance/psd2"
	"github.com/passerelle-cloud/passerelle/consent"
)

// packs are all rule packs that there are.
func packs() []consent.Pack {
	return []consent.Pack{gdpr.Pack(), dga.Pack(), psd2.Pack(), dataact.Pack(), drafts.FIDA(), drafts.PSR()}
}

// packsFor are those that apply to an operator with these roles: the baseline, and what each role adds.
func packsFor(roles []string) []consent.Pack {
	list := []consent.Pack{gdpr.Pack()}
	if slices.Contains(roles, dga.Role) {
		list = append(list, dga.Pack())
	}
	if psd2.Applies(roles) {
		list = append(list, psd2.Pack())
	}
	if dataact.Applies(roles) {
		list = append(list, dataact.Pack())
	}
	return list
}

// auditCommand accounts for what was decided and read.
type auditCommand struct {
	Packs        auditPacks        `cmd:"" help:"List the rule packs, and which of them apply to this operator."`
	Replay       auditReplay       `cmd:"" help:"Try everything that persons decided again under a rule pack, and list what would differ."`
	Check        auditCheck        `cmd:"" help:"Look at what was decided and read since the last time, and tell what was found."`
	Evidence     auditEvidence     `cmd:"" help:"Make evidence of what was between a person and a service, that anybody can check. That is itself logged."`
	Verify       auditVerify       `cmd:"" help:"Check evidence, offline, and ask it whether there was a consent."`
	Invite       auditInvite       `cmd:"" help:"Invite an auditor to the desk: read-only, until a day."`
	Auditors     auditAuditors     `cmd:"" help:"List who was invited to audit."`
	Revoke       auditRevoke       `cmd:"" help:"Take an auditor's invitation back, at once."`
	Processing   auditProcessing   `cmd:"" help:"Print the record of processing activities (GDPR art. 30), as far as consents say it."`
	Notification auditNotification `cmd:"" help:"Print the notification to the competent authority (DGA art. 11), as far as the profile says it."`
	Matter       auditMatter       `cmd:"" help:"The register of breaches, persons' requests, authorities' inquiries, changes and fees, with their clocks."`
}

type auditPacks struct{}

func (c *auditPacks) Run(ctx context.Context, p *program) error {
	g, err := p.openGateway()
	if err != nil {
		return err
	}
	defer g.Close()
	signed, err := g.statement(ctx)
	if err != nil {
		return err
	}
	type line struct {
		Pack    string `json:"pack"`
		SHA256  string `json:"sha256"`
		Applies bool   `json:"applies"`
		Draft   bool   `json:"draft,omitempty"`
	}
	var list []line
	roles := signed.Statement.Operator.DeclaredRoles()
	for _, pack := range packs() {
		applies := slices.ContainsFunc(packsFor(roles), func(other consent.Pack) bool { return other.ID() == pack.ID() })
		list = append(list, line{pack.ID(), pack.Hash(), applies, pack.Draft})
	}
	if p.JSON {
		return p.print(list)
	}
	fmt.Fprintf(p.out, "The operator's roles: %s. They are declared in operator.json.\n", strings.Join(roles, ", "))
	for _, l := range list {
		applies := map[bool]string{true: "applies", false: "does not apply"}[l.Applies]
		if l.Draft {
			applies = "is a draft"
		}
		fmt.Fprintf(p.out, "%-24s %-14s %s\n", l.Pack, applies, l.SHA256)
	}
	return nil
}

type auditReplay struct {
	Pack string `help:"The pack: NAME@VERSION, or NAME." required:"" placeholder:"PACK"`
}

// replayed is what would differ, for machines.
type replayed struct {
	Consent  string             `json:"consent"`
	Revision int                `json:"revision"`
	At       time.Time          `json:"at"`
	Service  string             `json:"service"`
	Packs    []string           `json:"packs"` // under which it was decided
	Refusals []*consent.Refusal `json:"refusals"`
}

func (c *auditReplay) Run(ctx context.Context, p *program) error {
	pack, err := c.pack()
	if err != nil {
		return err
	}
	g, err := p.openGateway()
	if err != nil {
		return err
	}
	defer g.Close()
	db, err := g.openDB(ctx)
	if err != nil {
		return err
	}
	result := struct {
		Pack      string     `json:"pack"`
		SHA256    string     `json:"sha256"`
		Decisions int        `json:"decisions"`
		Differ    []replayed `json:"differ"`
	}{pack.ID(), pack.Hash(), 0, []replayed{}}
	for r, err := range consent.Replay(ctx, db, pack) {
		if err != nil {
			return err
		}
		if result.Decisions++; len(r.Refusals) > 0 {
			result.Differ = append(result.Differ, replayed{r.Revision.Consent, r.Revision.Number, r.Revision.At, r.Facts.Service.LegalName, r.Revision.Packs, r.Refusals})
		}
	}
	if p.JSON {
		return p.print(result)
	}
	fmt.Fprintf(p.out, "%d decisions were tried again under %s. %d of them would have been refused.\n", result.Decisions, result.Pack, len(result.Differ))
	for _, d := range result.Differ {
		fmt.Fprintf(p.out, "%s  consent %s, revision %d, %s\n", d.At.Format(time.DateOnly), d.Consent, d.Revision, d.Service)
		for _, r := range d.Refusals {
			fmt.Fprintf(p.out, "    %s (%s): %s\n", r.Code, r.Citation, r.Text["en"])
		}
	}
	return nil
}

// pack is the one that is named.
func (c *auditReplay) pack() (consent.Pack, error) {
	var names []string
	for _, pack := range packs() {
		if pack.ID() == c.Pack || pack.Name == c.Pack {
			return pack, nil
		}
		names = append(names, pack.ID())
	}
	return consent.Pack{}, fmt.Errorf("%w: there is no pack %q: there are %s", errUsage, c.Pack, strings.Join(names, ", "))
}
