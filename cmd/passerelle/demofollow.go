package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/passerelle-cloud/passerelle/internal/fapi"
)

// connected is a service that reads what somebody has, at one operator.
type connected struct {
	*fapi.Client
	fapi.Tokens
}

// connects registers a service at both operators, with the same key, and has whoever is about to move grant it something at
// A.
func (d *demo) connects(ctx context.Context) (*connected, error) {
	client, err := service(ctx, "guests", "Guests", "552100554", d.sa, d.sb)
	if err != nil {
		return nil, err
	}
	c := &connected{Client: client}
	asked, err := c.Ask(ctx, inviteDetails(), nil)
	if err != nil {
		return nil, err
	}
	back, err := grant(ctx, d.sa.server, asked.URL, mover)
	if err != nil {
		return nil, err
	}
	if c.Tokens, err = c.Redeem(ctx, asked, back); err != nil {
		return nil, err
	}
	n, err := c.count(ctx)
	d.say("The service Guests reads their %d contacts at %s, with their consent.", n, d.a.signed.Statement.LegalName)
	return c, err
}

// count reads a page of contacts, and counts them.
func (c *connected) count(ctx context.Context) (int, error) {
	answer, err := c.Get(ctx, c.Issuer+"/data/contacts?limit=1000", c.Access, nil)
	if err != nil {
		return 0, err
	}
	defer answer.Body.Close()
	var page struct{ Records []json.RawMessage }
	if err := json.NewDecoder(answer.Body).Decode(&page); err != nil || answer.StatusCode != http.StatusOK || len(page.Records) == 0 {
		return 0, fmt.Errorf("the service reads %d contacts, and is answered %s: %v", len(page.Records), answer.Status, err)
	}
	return len(page.Records), nil
}

// movedTo is what a service is told where a person is not any more.
type movedTo struct {
	Type      string `json:"type"`
	Issuer    string `json:"issuer"`
	At        string `json:"statement_endpoint"`
	Grant     string `json:"grant_id"`
	Statement string `json:"statement"`
}

// follows has the service learn that the person has moved, and follow them, while nobody asks the person anything.
func (d *demo) follows(ctx context.Context, c *connected) error {
	answer, err := c.Get(ctx, c.Issuer+"/data/contacts", c.Access, nil)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	var told movedTo
	if err := json.NewDecoder(answer.Body).Decode(&told); err != nil || answer.StatusCode != http.StatusGone {
		return fmt.Errorf("the service reads where the person is not any more, and is answered %s: %v", answer.Status, err)
	}
	d.say("The service reads at %s again, and is told: %s, they are at %s now.", d.a.signed.Statement.LegalName, answer.Status, told.Issuer)
	there, err := c.follow(ctx, told)
	if err != nil {
		return err
	}
	n, err := there.count(ctx)
	if err != nil {
		return err
	}
	d.say("It gets a statement there, redeems it at %s with its own key, and reads their %d contacts. Nobody asked the person anything.", d.b.signed.Statement.LegalName, n)
	if _, err := there.Follow(ctx, told.Statement); err == nil {
		return fmt.Errorf("a statement was redeemed that there is not")
	}
	return nil
}

// follow gets a statement where a person was, and redeems it where they are.
func (c *connected) follow(ctx context.Context, told movedTo) (*connected, error) {
	managing, err := c.Credentials(ctx, "grant_management_query")
	if err != nil {
		return nil, err
	}
	answer, err := c.Get(ctx, told.At, managing.Access, nil)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	var grant struct {
		State string  `json:"state"`
		Moved movedTo `json:"moved"`
	}
	if err := json.NewDecoder(answer.Body).Decode(&grant); err != nil || grant.Moved.Statement == "" {
		return nil, fmt.Errorf("no statement is given: %s: %v", answer.Status, err)
	}
	there := &connected{Client: &fapi.Client{Issuer: told.Issuer, ID: c.Client.ID, Redirect: c.Redirect, Key: c.Key, Proof: c.Proof}}
	there.Tokens, err = there.Follow(ctx, grant.Moved.Statement)
	return there, err
}
