package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/passerelle-cloud/passerelle/consent/ledger"
	"github.com/passerelle-cloud/passerelle/operators/bank"
	"github.com/passerelle-cloud/passerelle/operators/bank/banktest"
	"github.com/passerelle-cloud/passerelle/operators/home"
	transferbank "github.com/passerelle-cloud/passerelle/transfer/bank"
	"github.com/passerelle-cloud/passerelle/transfer/money"
)

const (
	saver         = "alice"                     // the name of the instance of somebody who connects their bank
	saverPassword = "a bank for the demo, once" // at their operator: at the bank they have another one
	readTime      = 30 * time.Second            // that a first retrieval may take
)

// demoBank is a bank that does not exist, in this process. Operators reach it over HTTP, as they reach banks.
type demoBank struct {
	*banktest.Bank
	http *http.Server
	at   string // its address
}

// opensBank opens the bank, and gives operator A its profile.
func (d *demo) opensBank(context.Context) error {
	// Anne and the others there have health costs of their own: the first of the crowd has none but those of this demo.
	b, err := banktest.New(banktest.Config{Seed: d.seed, Crowd: 1})
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	d.bank = &demoBank{Bank: b, http: &http.Server{Handler: b, ReadHeaderTimeout: headerTimeout}, at: "http://" + listener.Addr().String()}
	go d.bank.http.Serve(listener)
	text, err := json.Marshal(bank.Profile{ID: "ruisseau", Name: "Banque du Ruisseau", Country: "FR", Zone: "Europe/Paris", Sandbox: true, Standard: "xs2a-1.3", API: d.bank.at,
		SCA: bank.SCA{Approach: bank.Redirect}})
	if err != nil {
		return err
	}
	d.a.banks = filepath.Join(d.a.dir, "banks")
	if err := os.MkdirAll(d.a.banks, 0o700); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(d.a.banks, "ruisseau.json"), text, 0o600)
}

// banked has somebody connect their bank at A, and learn what is wrong with their reimbursements.
func (d *demo) banked(ctx context.Context) error {
	p, err := inventPatient(ctx, d.seed+2, time.Now())
	if err != nil {
		return err
	}
	a := d.a.signed.Statement.LegalName
	d.step("%s, of whom %s has health bills only, connects a bank there (PSD2, Berlin Group NextGenPSD2).", p.owner, a)
	if err := d.fill(ctx, p); err != nil {
		return err
	}
	b, err := newSurfer()
	if err != nil {
		return err
	}
	id, err := d.connectsBank(ctx, b)
	if err != nil {
		return err
	}
	d.say("They say at %s what it may read, for 90 days, and to the bank, on its own page, who they are. %s sees no password of the bank's.", a, a)
	c, err := d.retrieved(ctx, id)
	if err != nil {
		return err
	}
	if err := d.sayRetrieved(ctx); err != nil {
		return err
	}
	if err := d.reconciles(ctx, len(p.bills)); err != nil {
		return err
	}
	if err := b.send(ctx, d.sa.url()+"/bank/connections/"+id+"/disconnect", nil); err != nil {
		return err
	}
	if status := d.bank.ConsentStatus(c.Consent); status != string(bank.StatusTerminatedByTPP) {
		return fmt.Errorf("the bank was disconnected, and there the consent is %s", status)
	}
	d.say("They disconnect the bank, and the consent has ended there too. What was read stays theirs.")
	return nil
}

// fill puts the bills of a person into their instance at A, and their operations into their account at the bank.
func (d *demo) fill(ctx context.Context, p *patient) error {
	instance, err := d.a.home.Create(ctx, saver, home.Options{})
	if err != nil {
		return err
	}
	for _, bill := range p.bills {
		if _, err := instance.Put(ctx, bill, nil); err != nil {
			return err
		}
	}
	iban := d.bank.IBANs(banktest.CrowdID(1))[0]
	for _, o := range p.operations {
		if _, err := d.bank.Add(iban, o); err != nil {
			return err
		}
	}
	return d.sa.server.accounts.SetPassword(ctx, saver, saverPassword)
}

// connectsBank goes through the pages of the gateway and of the bank, as the person does.
func (d *demo) connectsBank(ctx context.Context, b *surfer) (connection string, err error) {
	at := d.sa.url()
	if err := b.send(ctx, at+"/sign-in", url.Values{"name": {saver}, "password": {saverPassword}}); err != nil {
		return "", err
	}
	wish := url.Values{"bank": {"ruisseau"}, "balances": {"1"}, "transactions": {"1"}, "days": {"90"}}
	if err := b.send(ctx, at+"/bank/connect", wish); err != nil { // which leads to the bank's page
		return "", err
	}
	if err := d.agreesAtBank(ctx, b); err != nil {
		return "", err
	}
	if !strings.HasPrefix(b.at, at+"/bank/connections/") {
		return "", fmt.Errorf("who agreed at the bank comes to %s, not back", b.at)
	}
	return path.Base(b.at), nil
}

// agreesAtBank signs in on the bank's page, chooses the account there, and agrees.
func (d *demo) agreesAtBank(ctx context.Context, b *surfer) error {
	if !strings.HasPrefix(b.at, d.bank.at) {
		return fmt.Errorf("who connects a bank comes to %s, not to the bank", b.at)
	}
	if err := b.send(ctx, b.at, url.Values{"do": {"login"}, "person": {banktest.CrowdID(1)}, "password": {banktest.Password}}); err != nil {
		return err
	}
	agreed := url.Values{"do": {"agree"}, "key": {b.find(`name="key" value="([^"]*)"`)}, "code": {b.find(`class="code">(\d+)`)}, "account": {b.find(`name="account" value="([^"]*)"`)}}
	return b.send(ctx, b.at, agreed)
}

// retrieved waits until the bank was read for the first time.
func (d *demo) retrieved(ctx context.Context, id string) (*transferbank.Connection, error) {
	ctx, stop := context.WithTimeout(ctx, readTime)
	defer stop()
	for {
		c, err := d.sa.server.banks.Connection(ctx, saver, id)
		switch {
		case err != nil:
			return nil, err
		case c.Trouble != transferbank.None || c.State != transferbank.Connected:
			return nil, fmt.Errorf("the bank cannot be read: %s, %s", c.State, c.Trouble)
		case !c.Refreshed.IsZero() && !c.Busy:
			return c, nil
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("the bank is not read: %w", ctx.Err())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// sayRetrieved tells what came, and what the log says of it.
func (d *demo) sayRetrieved(ctx context.Context) error {
	statement, err := d.sa.server.money.Statement(ctx, saver, money.Query{})
	if err != nil {
		return err
	}
	if len(statement.Accounts) != 1 || statement.Found == 0 {
		return fmt.Errorf("%d accounts and %d operations were read at the bank", len(statement.Accounts), statement.Found)
	}
	history, err := d.sa.server.ledger.History(ctx, ledger.Disclose{Person: saver, To: saver})
	if err != nil {
		return err
	}
	trust, err := ledger.NewTrust([]string{d.sa.vkey}, []string{d.sb.wkey}, 0)
	if err != nil {
		return err
	}
	shown, err := history.Verify(trust)
	if err != nil {
		return err
	}
	var leaves []string
	for _, e := range shown.Events {
		if e.Fields[ledger.Type] == "retrieval.begun" {
			leaves = append(leaves, fmt.Sprint(e.Index))
		}
	}
	if len(leaves) == 0 {
		return errors.New("the bank was read, and the log says nothing of it")
	}
	d.say("%d operations of “%s” are in their home. Each reading was checked against the rules and logged before it was made: leaves %s.", statement.Found, statement.Accounts[0].Name, strings.Join(leaves, ", "))
	return nil
}

// reconciles compares the bills with the operations, and reads the one alert out.
func (d *demo) reconciles(ctx context.Context, bills int) error {
	m := d.sa.server.money
	ran, err := m.Run(ctx, saver)
	for errors.Is(err, money.ErrMeanwhile) { // the gateway, which looks by itself too, was faster
		ran, err = m.Run(ctx, saver)
	}
	if err != nil {
		return err
	}
	alerts, err := m.Alerts(ctx, saver)
	if err != nil {
		return err
	}
	if len(alerts) != 1 || ran.Alerts != 1 || ran.Linked == 0 {
		return fmt.Errorf("%d bills lead to %d links and %d alerts", bills, ran.Linked, len(alerts))
	}
	d.say("%d bills of insurers are compared with the operations, in their home: %d links between who was paid, what was announced and what came.", bills, ran.Linked)
	a := alerts[0]
	advice, err := d.sa.server.transfer.Text("en", "alert.advice-"+a.Advice)
	if err != nil {
		return err
	}
	d.say("One alert: a reimbursement is late, up to %s %s of %s.", a.Missing.Amount, a.Missing.Currency, a.Issuer)
	d.say("  %s, %s %s paid on %s. It is usually there by %s.", a.Who, a.Paid.Amount, a.Paid.Currency, a.Date, a.Due)
	d.say("  Their page “Bills” says what they can do: %s", advice)
	return nil
}

// surfer goes from page to page as a person's does, and keeps cookies.
type surfer struct {
	client *http.Client
	at     string // where it is
	page   string
}

func newSurfer() (*surfer, error) {
	jar, err := cookiejar.New(nil)
	return &surfer{client: &http.Client{Jar: jar, Timeout: readTime}}, err
}

// maxDemoPage is how much of a page is read.
const maxDemoPage = 1 << 20

// send sends a form, and follows to where that leads.
func (b *surfer) send(ctx context.Context, to string, form url.Values) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, to, strings.NewReader(form.Encode()))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	answer, err := b.client.Do(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(io.LimitReader(answer.Body, maxDemoPage))
	if err != nil {
		return err
	}
	b.at, b.page = answer.Request.URL.String(), string(text)
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("the page %s answers %s", answer.Request.URL.Path, answer.Status)
	}
	return nil
}

// find finds something in the page; "" if it is not there.
func (b *surfer) find(pattern string) string {
	if m := regexp.MustCompile(pattern).FindStringSubmatch(b.page); m != nil {
		return m[1]
	}
	return ""
}
