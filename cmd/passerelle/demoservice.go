package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/passerelle-cloud/passerelle/consent"
	"github.com/passerelle-cloud/passerelle/formats"
	"github.com/passerelle-cloud/passerelle/internal/fapi"
)

// asked has a service ask the person for data at operator B. It is granted some of it, reads that, and is cut off.
func (d *demo) asked(ctx context.Context) error {
	d.step("A service asks %s for contacts and the calendar, at %s, by OAuth 2.0 (FAPI 2.0).", d.owner, d.sb.signed.Statement.LegalName)
	c, err := d.invites(ctx)
	if err != nil {
		return err
	}
	details := inviteDetails()
	details[0].(map[string]any)["retention"] = ""
	if _, err := c.Ask(ctx, details, nil); err == nil {
		return fmt.Errorf("the service may ask without saying for how long it keeps what it gets")
	} else {
		_, advice, _ := strings.Cut(err.Error(), "refused: ")
		d.say("It forgot something, and is told before anybody is bothered:")
		d.say("  %s", advice)
	}
	asked, err := c.Ask(ctx, inviteDetails(), nil)
	if err != nil {
		return err
	}
	back, err := grant(ctx, d.sb.server, asked.URL, person, formats.Contacts)
	if err != nil {
		return err
	}
	tokens, err := c.Redeem(ctx, asked, back)
	if err != nil {
		return err
	}
	d.say("%s says yes to names and addresses of contacts, and no to the calendar. The service gets a token for just that.", d.owner)
	if err := d.reads(ctx, c, tokens); err != nil {
		return err
	}
	return d.withdraws(ctx, c, tokens)
}

// invites is a service that is registered at B.
func (d *demo) invites(ctx context.Context) (*fapi.Client, error) {
	return service(ctx, "invites", "Invites", "732829320", d.sb)
}

// service registers one at gateways, which know it by the same key, and returns it as a client of the first.
func service(ctx context.Context, id, name, siren string, at ...*serving) (*fapi.Client, error) {
	key, err := fapi.NewKey()
	if err != nil {
		return nil, err
	}
	proof, err := fapi.NewKey()
	if err != nil {
		return nil, err
	}
	jwks, err := fapi.JWKS(key)
	if err != nil {
		return nil, err
	}
	url := "https://" + id + ".example"
	s := consent.Service{
		ID: id, Name: name, LegalName: name + " SAS", Registrations: []consent.Registration{{Scheme: "SIREN", Value: siren}}, Country: "FR",
		Address: "1 rue des Exemples, 35000 Rennes", Contact: "privacy@" + id + ".example", Purposes: []string{invitePurpose},
		Notices:      map[string]string{"en": url + "/privacy", "fr": url + "/vie-privee"},
		RedirectURIs: []string{url + "/callback"}, Auth: consent.PrivateKeyJWT, JWKS: jwks,
	}
	for _, g := range at {
		if err := g.server.authority.AddService(ctx, s); err != nil {
			return nil, err
		}
	}
	return &fapi.Client{Issuer: at[0].url(), ID: id, Redirect: s.RedirectURIs[0], Key: key, Proof: proof}, nil
}

const invitePurpose = "https://w3id.org/dpv#ServiceProvision"

func inviteDetails() []any {
	return []any{map[string]any{
		"type": "personal_data", "datasets": []string{"contacts", "calendar"}, "optional": []string{"calendar"}, "actions": []string{"read", "subscribe"},
		"fields": map[string]any{"contacts": []string{"name", "emails"}},
		"purpose": map[string]any{"iri": invitePurpose, "text": map[string]string{
			"en": "To send your invitations to the people whom you know", "fr": "Envoyer vos invitations aux personnes que vous connaissez"}},
		"retention": "P30D", "frequency": "continuous", "expires": time.Now().AddDate(0, 3, 0).UTC().Format(time.RFC3339),
		"no_recipients": true, "third_country": "none",
	}}
}

// reads lets the service read what it got, and what it did not get.
func (d *demo) reads(ctx context.Context, c *fapi.Client, tokens fapi.Tokens) error {
	answer, err := c.Get(ctx, d.sb.url()+"/data/contacts", tokens.Access, http.Header{"Accept": {"application/x-ndjson"}})
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	lines := bufio.NewScanner(answer.Body)
	lines.Buffer(nil, 1<<20)
	n, one := 0, ""
	for lines.Scan() {
		if n++; strings.Contains(lines.Text(), `"emails"`) && (one == "" || len(lines.Text()) < len(one)) {
			one = lines.Text()
		}
	}
	if err := lines.Err(); err != nil || n == 0 || strings.Contains(one, "native") {
		return fmt.Errorf("the service read %d contacts, one of them %s: %v", n, one, err)
	}
	d.say("It reads %d contacts, with nothing else in them than it was granted:", n)
	var shown struct{ Body json.RawMessage }
	if err := json.Unmarshal([]byte(one), &shown); err != nil {
		return err
	}
	d.say("  %s", shown.Body)
	refused, err := c.Get(ctx, d.sb.url()+"/data/calendar", tokens.Access, nil)
	if err != nil {
		return err
	}
	defer refused.Body.Close()
	var problem struct{ Title string }
	if err := json.NewDecoder(refused.Body).Decode(&problem); err != nil || refused.StatusCode != http.StatusForbidden {
		return fmt.Errorf("the calendar was not granted, and the answer is %s", refused.Status)
	}
	d.say("For the calendar it is told: %s.", problem.Title)
	return nil
}

// withdraws lets the person change their mind while the service waits for what changes.
func (d *demo) withdraws(ctx context.Context, c *fapi.Client, tokens fapi.Tokens) error {
	at, err := position(ctx, c, d.sb.url(), tokens)
	if err != nil {
		return err
	}
	waiting := make(chan int, 1)
	go func() { waiting <- waits(ctx, c, d.sb.url()+"/data/changes?wait=30&since=", at, tokens) }()
	time.Sleep(50 * time.Millisecond) // so that it waits
	begin := time.Now()
	if _, err := d.sb.server.authority.Withdraw(ctx, consent.Ending{Consent: tokens.Grant, Person: person, State: consent.Withdrawn}); err != nil {
		return err
	}
	took := time.Since(begin)
	after, err := c.Get(ctx, d.sb.url()+"/data/contacts", tokens.Access, nil)
	if err != nil {
		return err
	}
	after.Body.Close()
	if _, err := c.Refresh(ctx, tokens.Refresh); err == nil || after.StatusCode != http.StatusUnauthorized {
		return fmt.Errorf("the consent was withdrawn, and the service is answered %s", after.Status)
	}
	if status := <-waiting; status != http.StatusForbidden && status != http.StatusUnauthorized {
		return fmt.Errorf("the consent was withdrawn, and the request that waited is answered %d", status)
	}
	d.say("%s changes their mind. %s later no token works any more, and the request that waited for changes is turned away.", d.owner, took.Round(100*time.Microsecond))
	return nil
}

// waits waits for changes until that is refused, and returns with what status: bills are compared meanwhile, which are changes, too.
func waits(ctx context.Context, c *fapi.Client, since, at string, tokens fapi.Tokens) (status int) {
	for range 100 {
		answer, err := c.Get(ctx, since+at, tokens.Access, nil)
		if err != nil {
			return 0
		}
		var page struct{ Position json.Number }
		err = json.NewDecoder(answer.Body).Decode(&page)
		answer.Body.Close()
		if status = answer.StatusCode; status != http.StatusOK || err != nil {
			return status
		}
		at = page.Position.String()
	}
	return status
}

// position is where the instance stands.
func position(ctx context.Context, c *fapi.Client, base string, tokens fapi.Tokens) (string, error) {
	answer, err := c.Get(ctx, base+"/data/changes?datasets=contacts&limit=1000", tokens.Access, nil)
	if err != nil {
		return "", err
	}
	defer answer.Body.Close()
	var page struct{ Position json.Number }
	if err := json.NewDecoder(answer.Body).Decode(&page); err != nil {
		return "", fmt.Errorf("%s: %w", answer.Status, err)
	}
	return page.Position.String(), nil
}
