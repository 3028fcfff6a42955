package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"time"

	"github.com/passerelle-cloud/passerelle/consent"
)

// serviceCommand administers who may ask persons for data.
type serviceCommand struct {
	Add     serviceAdd     `cmd:"" help:"Register a service, or replace its registration."`
	List    serviceList    `cmd:"" help:"List the services."`
	Show    serviceShow    `cmd:"" help:"Print the registration of a service."`
	Suspend serviceSuspend `cmd:"" help:"Stop a service at once."`
	Resume  serviceResume  `cmd:"" help:"Let a suspended service go on."`
	Agree   serviceAgree   `cmd:"" help:"Record that this bank and a service agreed on more than four runs of accesses a day without the person (RTS art. 36(5)(b))."`
	Invite  serviceInvite  `cmd:"" help:"Make a token with which a service may register itself (RFC 7591)."`
}

// serviceShown is a service as the gateway shows it.
type serviceShown struct {
	consent.Service
	Suspended string           `json:"suspended,omitempty"`
	Frequency *agreedFrequency `json:"agreed_frequency,omitempty"`
	Created   time.Time        `json:"created"`
	Changed   time.Time        `json:"changed"`
}

// agreedFrequency is how often a service reads payment accounts without the person, where more was agreed on than the law says.
type agreedFrequency struct {
	Runs      int    `json:"runs"`
	Agreement string `json:"agreement"`
}

type serviceAdd struct {
	File string `arg:"" help:"The registration, JSON: see consent/README.md." type:"existingfile"`
}

func (c *serviceAdd) Run(ctx context.Context, p *program) error {
	text, err := os.ReadFile(c.File)
	if err != nil {
		return err
	}
	s, err := consent.ParseService(text, true) // the path needs its id; and faults are named before anything is opened
	if err != nil {
		return fmt.Errorf("%s: %w", c.File, err)
	}
	var added serviceShown
	if err := p.administer(ctx, http.MethodPut, "/admin/services/"+url.PathEscape(s.ID), text, &added); err != nil {
		return err
	}
	return p.sayService(added, "registered")
}

func (p *program) sayService(s serviceShown, what string) error {
	if p.JSON {
		return p.printJSON(s)
	}
	fmt.Fprintf(p.out, "%s (%s) is %s.\n", s.ID, s.LegalName, what)
	return nil
}

func (p *program) printJSON(v any) error {
	text, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(p.out, "%s\n", text)
	return err
}

type serviceList struct{}

func (c *serviceList) Run(ctx context.Context, p *program) error {
	var all struct {
		Services []serviceShown `json:"services"`
	}
	if err := p.administer(ctx, http.MethodGet, "/admin/services", nil, &all); err != nil {
		return err
	}
	if p.JSON {
		return p.printJSON(all)
	}
	if len(all.Services) == 0 {
		fmt.Fprintln(p.err, "None yet. passerelle service add FILE, or passerelle service invite.")
	}
	for _, s := range all.Services {
		state := "active"
		if s.Suspended != "" {
			state = "suspended: " + s.Suspended
		}
		if f := s.Frequency; f != nil {
			state += fmt.Sprintf("; %d runs a day agreed: %s", f.Runs, f.Agreement)
		}
		fmt.Fprintf(p.out, "%-24s %-2s %-32s %s\n", s.ID, s.Country, s.LegalName, state)
	}
	return nil
}

type serviceShow struct {
	ID string `arg:""`
}

func (c *serviceShow) Run(ctx context.Context, p *program) error {
	var s serviceShown
	if err := p.administer(ctx, http.MethodGet, "/admin/services/"+url.PathEscape(c.ID), nil, &s); err != nil {
		return err
	}
	return p.printJSON(s)
}

type serviceSuspend struct {
	ID     string `arg:""`
	Reason string `help:"Why: the service is told, and the log." required:"" placeholder:"TEXT"`
}

func (c *serviceSuspend) Run(ctx context.Context, p *program) error {
	body, err := json.Marshal(map[string]string{"reason": c.Reason})
	if err != nil {
		return err
	}
	var s serviceShown
	if err := p.administer(ctx, http.MethodPut, "/admin/services/"+url.PathEscape(c.ID)+"/suspension", body, &s); err != nil {
		return err
	}
	return p.sayService(s, "suspended; nothing flows to it any more")
}

type serviceResume struct {
	ID string `arg:""`
}

func (c *serviceResume) Run(ctx context.Context, p *program) error {
	var s serviceShown
	if err := p.administer(ctx, http.MethodDelete, "/admin/services/"+url.PathEscape(c.ID)+"/suspension", nil, &s); err != nil {
		return err
	}
	return p.sayService(s, "active again")
}

type serviceAgree struct {
	ID        string `arg:""`
	Runs      int    `help:"How many runs in 24 hours, 5 to 96; 0 ends what was agreed on." required:"" placeholder:"N"`
	Agreement string `help:"Where it is written." placeholder:"TEXT"`
}

func (c *serviceAgree) Run(ctx context.Context, p *program) error {
	path, method, said := "/admin/services/"+url.PathEscape(c.ID)+"/frequency", http.MethodPut, fmt.Sprintf("allowed %d runs a day without the person, where the person was told so", c.Runs)
	body, err := json.Marshal(agreedFrequency{c.Runs, c.Agreement})
	if err != nil {
		return err
	}
	if c.Runs == 0 {
		method, body, said = http.MethodDelete, nil, "allowed four runs a day without the person, as the law says"
	}
	var s serviceShown
	if err := p.administer(ctx, method, path, body, &s); err != nil {
		return err
	}
	return p.sayService(s, said)
}

type serviceInvite struct {
	Services int    `help:"How many services may register with it." default:"1"`
	Days     int    `help:"For how long." default:"7"`
	Note     string `help:"Whom it is for; nobody else sees this." placeholder:"TEXT"`
}

func (c *serviceInvite) Run(ctx context.Context, p *program) error {
	body, err := json.Marshal(map[string]any{"services": c.Services, "days": c.Days, "note": c.Note})
	if err != nil {
		return err
	}
	var made struct {
		Token   string    `json:"initial_access_token"`
		Expires time.Time `json:"expires"`
	}
	if err := p.administer(ctx, http.MethodPost, "/admin/invitations", body, &made); err != nil {
		return err
	}
	if p.JSON {
		return p.printJSON(made)
	}
	fmt.Fprintf(p.out, "%s\n", made.Token)
	fmt.Fprintf(p.err, "It is shown once. Until %s it registers %d, by POST to /oauth/register with \"Authorization: Bearer …\".\n", made.Expires.Format(time.RFC3339), c.Services)
	return nil
}
