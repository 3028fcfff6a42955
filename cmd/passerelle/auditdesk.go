package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/passerelle-cloud/passerelle/compliance"
	"github.com/passerelle-cloud/passerelle/compliance/audit"
)

type auditCheck struct{}

// Run looks again.
func (c *auditCheck) Run(ctx context.Context, p *program) error {
	var all struct {
		Findings []compliance.Finding `json:"findings"`
	}
	if err := p.administer(ctx, http.MethodPost, "/admin/findings", nil, &all); err != nil {
		return err
	}
	broken := 0
	for _, f := range all.Findings {
		if f.Verdict == compliance.Broken {
			broken++
		}
	}
	if p.JSON {
		if err := p.printJSON(all.Findings); err != nil {
			return err
		}
	} else {
		for _, f := range all.Findings {
			fmt.Fprintf(p.out, "%-18s %-8s %d looked at, %d against it\n", f.Check, f.Verdict, f.Looked, f.Wrong)
			for _, e := range f.Examples {
				fmt.Fprintf(p.out, "    %s\n", e)
			}
		}
	}
	if broken > 0 {
		return said(fmt.Errorf("%d checks found something", broken))
	}
	return nil
}

type auditInvite struct {
	Name string `arg:"" help:"Who it is."`
	For  string `help:"The authority that they are of." required:"" placeholder:"AUTHORITY"`
	Days int    `help:"For how long." default:"30" placeholder:"N"`
	URL  string `name:"url" help:"Where auditors reach the gateway." env:"PASSERELLE_URL" default:"http://localhost:8470" placeholder:"URL"`
}

// Run invites.
func (c *auditInvite) Run(ctx context.Context, p *program) error {
	body, err := json.Marshal(map[string]any{"name": c.Name, "authority": c.For, "days": c.Days})
	if err != nil {
		return err
	}
	var made struct {
		Code    string        `json:"code"`
		Auditor audit.Auditor `json:"auditor"`
	}
	if err := p.administer(ctx, http.MethodPost, "/admin/auditors", body, &made); err != nil {
		return err
	}
	if p.JSON {
		return p.printJSON(made)
	}
	_, err = fmt.Fprintf(p.out, "%s (%s) may audit until %s, under the id %s.\nThey sign in at %s/desk with the code\n    %s\nIt is shown this once. Everything that they ask is logged.\n",
		made.Auditor.Name, made.Auditor.Authority, made.Auditor.Expires.Format(time.DateOnly), made.Auditor.ID, strings.TrimRight(c.URL, "/"), made.Code)
	return err
}

type auditAuditors struct{}

// Run lists.
func (c *auditAuditors) Run(ctx context.Context, p *program) error {
	return p.listAuditors(ctx, http.MethodGet, "/admin/auditors")
}

func (p *program) listAuditors(ctx context.Context, method, path string) error {
	var all struct {
		Auditors []audit.Auditor `json:"auditors"`
	}
	if err := p.administer(ctx, method, path, nil, &all); err != nil {
		return err
	}
	if p.JSON {
		return p.printJSON(all)
	}
	if len(all.Auditors) == 0 {
		fmt.Fprintln(p.out, "Nobody was invited to audit. Do it with:  passerelle audit invite NAME --for AUTHORITY")
	}
	for _, a := range all.Auditors {
		until := "until " + a.Expires.Format(time.DateOnly)
		if !a.Revoked.IsZero() {
			until = "revoked on " + a.Revoked.Format(time.DateOnly)
		}
		fmt.Fprintf(p.out, "%s  %s (%s), %s\n", a.ID, a.Name, a.Authority, until)
	}
	return nil
}

type auditRevoke struct {
	ID string `arg:"" help:"Id of the auditor, as audit auditors shows it."`
}

// Run takes the invitation back.
func (c *auditRevoke) Run(ctx context.Context, p *program) error {
	return p.listAuditors(ctx, http.MethodDelete, "/admin/auditors/"+url.PathEscape(c.ID))
}

// auditMatter is the register of what must be dealt with in time.
type auditMatter struct {
	List    matterList    `cmd:"" default:"1" help:"List the matters, with until when they must have been dealt with."`
	Open    matterOpen    `cmd:"" help:"Enter a matter."`
	Prolong matterProlong `cmd:"" help:"Take the two more months that the law allows for a person's request."`
	Close   matterClose   `cmd:"" help:"Say what became of a matter."`
}

type matterList struct{}

// Run lists.
func (c *matterList) Run(ctx context.Context, p *program) error {
	return p.matters(ctx, http.MethodGet, "/admin/matters", nil)
}

func (p *program) matters(ctx context.Context, method, path string, body any) error {
	text, err := json.Marshal(body)
	if err != nil {
		return err
	}
	var all struct {
		Matters []audit.Matter `json:"matters"`
	}
	if err := p.administer(ctx, method, path, text, &all); err != nil {
		return err
	}
	if p.JSON {
		return p.printJSON(all.Matters)
	}
	if len(all.Matters) == 0 {
		fmt.Fprintln(p.out, "There is nothing in the register.")
	}
	for i := range all.Matters {
		p.sayMatter(&all.Matters[i])
	}
	return nil
}

func (p *program) sayMatter(m *audit.Matter) {
	state := "no deadline"
	switch {
	case !m.Closed.IsZero():
		state = "closed on " + m.Closed.Format(time.DateOnly)
	case !m.Due.IsZero():
		state = "due " + m.Due.Format(time.RFC3339)
	}
	if m.Late(time.Now()) {
		state += ", LATE"
	}
	fmt.Fprintf(p.out, "%s  %-12s %s\n    %s\n", m.ID, m.Kind, state, strings.ReplaceAll(m.Title, "\n", "\n    "))
	if m.Prolonged != "" {
		fmt.Fprintf(p.out, "    prolonged: %s\n", m.Prolonged)
	}
	if m.Outcome != "" {
		fmt.Fprintf(p.out, "    outcome: %s\n", m.Outcome)
	}
}

type matterOpen struct {
	Kind    audit.Kind `arg:"" help:"breach (72 h), right (a person's request: a month), inquiry (of an authority: 30 days), unauthorised (use: a day), change (14 days), cessation (15 days), fee (none)."`
	Title   string     `arg:"" help:"What it is about."`
	Noticed time.Time  `help:"When it was noticed, or arrived: the clock runs from then; now if not given." placeholder:"TIME"`
}

// Run enters it.
func (c *matterOpen) Run(ctx context.Context, p *program) error {
	if c.Noticed.IsZero() {
		c.Noticed = time.Now()
	}
	body, err := json.Marshal(map[string]any{"kind": c.Kind, "title": c.Title, "noticed": c.Noticed})
	if err != nil {
		return err
	}
	var m audit.Matter
	if err := p.administer(ctx, http.MethodPost, "/admin/matters", body, &m); err != nil {
		return err
	}
	if p.JSON {
		return p.printJSON(m)
	}
	p.sayMatter(&m)
	return nil
}

type matterProlong struct {
	ID  string `arg:"" help:"Id of the matter."`
	Why string `arg:"" help:"Why: the person must be told, too."`
}

// Run takes the time.
func (c *matterProlong) Run(ctx context.Context, p *program) error {
	return p.matters(ctx, http.MethodPut, "/admin/matters/"+url.PathEscape(c.ID)+"/prolongation", map[string]string{"text": c.Why})
}

type matterClose struct {
	ID      string `arg:"" help:"Id of the matter."`
	Outcome string `arg:"" help:"What became of it."`
}

// Run closes it.
func (c *matterClose) Run(ctx context.Context, p *program) error {
	return p.matters(ctx, http.MethodPut, "/admin/matters/"+url.PathEscape(c.ID)+"/outcome", map[string]string{"text": c.Outcome})
}

type auditProcessing struct{}

// Run prints the record.
func (c *auditProcessing) Run(ctx context.Context, p *program) error {
	var record audit.Processing
	if err := p.administer(ctx, http.MethodGet, "/admin/processing", nil, &record); err != nil {
		return err
	}
	if p.JSON {
		return p.printJSON(record)
	}
	say := func(format string, args ...any) { fmt.Fprintf(p.out, format+"\n", args...) }
	say("Record of processing activities of %s, %s (GDPR art. 30)", record.Operator, record.Made.Format(time.DateOnly))
	if len(record.Activities) == 0 {
		say("There are no valid consents: no service does anything with data.")
	}
	for _, a := range record.Activities {
		many := fmt.Sprintf("%d consents", a.Persons.Count)
		if a.Persons.Hidden {
			many = "fewer than 5 consents"
		}
		say("\n%s (%s, %s): %s", a.Service, a.Client, a.Contact, many)
		say("  purpose     %s: %s", a.Purpose, a.Said["en"])
		say("  data        %s", joined(a.Datasets))
		for _, r := range a.Recipients {
			say("  recipient   %s, %s", r.Name, r.Country)
		}
		if len(a.Countries) > 0 {
			say("  countries   %s (%s)", strings.Join(a.Countries, ", "), strings.Join(a.Safeguards, "; "))
		}
		say("  kept for    %s", strings.Join(a.Retention, ", "))
	}
	say("\nHow data are protected here:")
	for _, s := range record.Security {
		say("  - %s", s)
	}
	return nil
}

func joined[T ~string](list []T) string {
	texts := make([]string, len(list))
	for i, t := range list {
		texts[i] = string(t)
	}
	return strings.Join(texts, ", ")
}

type auditNotification struct{}

// Run prints the notification.
func (c *auditNotification) Run(ctx context.Context, p *program) error {
	g, err := p.openGateway()
	if err != nil {
		return err
	}
	defer g.Close()
	signed, err := g.statement(ctx)
	if err != nil {
		return err
	}
	key, err := g.vkey(ctx)
	if err != nil {
		return err
	}
	witness, err := g.witnessKey(ctx)
	if err != nil {
		return err
	}
	n := audit.NewNotification(signed.Statement.Operator, signed.Fingerprint(), key, witness, time.Now())
	if p.JSON {
		return p.printJSON(n)
	}
	_, err = fmt.Fprint(p.out, n.Text())
	return err
}
