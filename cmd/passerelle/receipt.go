package main

import (
	"context"
	"strings"

	"github.com/passerelle-cloud/passerelle/consent"
	"github.com/passerelle-cloud/passerelle/consent/receipt"
	"github.com/passerelle-cloud/passerelle/formats/statement"
)

// receipts makes persons' signed receipts of their consents.
func (g *gateway) receipts(s *server, issuer string) func(context.Context, consent.Consent) ([]byte, error) {
	return func(ctx context.Context, c consent.Consent) ([]byte, error) {
		signed, err := g.statement(ctx)
		if err != nil {
			return nil, err
		}
		facts := receipt.Facts{Operator: receiptOperator(signed.Statement.Operator), Consent: c, For: receipt.ForPerson, Control: issuer + "/consents",
			Subject: receipt.Subject{ID: s.oauth.Subject(c.Service, c.Person), Name: c.Person}}
		service, err := s.authority.Service(ctx, c.Service)
		if err != nil {
			return nil, err
		}
		facts.Service = *service
		if facts.Revisions, err = s.authority.Revisions(ctx, c.ID); err != nil {
			return nil, err
		}
		for _, r := range facts.Revisions {
			if r.Notice == "" {
				continue
			}
			about := r.Request
			if about == "" { // given again, without a request
				about = c.ID
			}
			notice, err := s.authority.Notice(ctx, about, r.Notice)
			if err != nil {
				return nil, err
			}
			facts.Notices = append(facts.Notices, notice)
		}
		if c.Origin != nil && c.Origin.Notice != nil { // shown where the person came from
			n := c.Origin.Notice
			facts.Notices = append(facts.Notices, consent.Notice{Request: c.ID, Hash: n.SHA256, Language: n.Language, Version: n.Version, Shown: n.Shown})
		}
		made, err := receipt.New(facts)
		if err != nil {
			return nil, err
		}
		text, err := made.Bytes()
		if err != nil {
			return nil, err
		}
		signer, kid, err := g.tokenSigner(ctx)
		if err != nil {
			return nil, err
		}
		jws, err := receipt.Sign(ctx, text, kid, signer)
		return []byte(jws), err
	}
}

func receiptOperator(o statement.Operator) receipt.Operator {
	r := receipt.Operator{ID: string(o.ID), LegalName: o.LegalName, Country: o.Country}
	for _, reg := range o.Registrations {
		r.Registrations = append(r.Registrations, consent.Registration{Scheme: reg.Scheme, Value: reg.Value})
	}
	if o.Contact != nil {
		r.Contact = o.Contact.Email
	}
	if a := o.Address; a != nil {
		var parts []string
		for _, part := range []string{a.Street, strings.TrimSpace(a.PostalCode + " " + a.Locality), a.Country} {
			if part != "" {
				parts = append(parts, part)
			}
		}
		r.Address = strings.Join(parts, ", ")
	}
	if o.Supervisor != nil {
		r.Supervisor = &receipt.Authority{Name: o.Supervisor.Name, Country: o.Supervisor.Country, URL: o.Supervisor.URL}
	}
	return r
}
