package bank

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Visit is a person who is about to authenticate at a bank.
type Visit struct {
	Presence *Presence // they are there: always set
	Return   string    // where the bank sends their browser back to (TPP-Redirect-URI)
	State    string    // what the browser brings back from an authorization server: at least 128 bits that nobody can guess
	PSU      string    // their customer number, where the bank wants it
	Token    string    // of the OAuth2 pre-step
}

// Begun is an authentication that has begun. It can be kept as JSON until the person comes back.
type Begun struct {
	Consent       string        `json:"consent"`
	Status        ConsentStatus `json:"status"`
	Approach      Approach      `json:"approach"`
	Authorisation string        `json:"authorisation,omitempty"` // id of the sub-resource, where it is known
	Go            string        `json:"go,omitempty"`            // where the person's browser goes: redirect and oauth
	Message       string        `json:"message,omitempty"`       // what the bank tells the person, on one line
	Methods       []Method      `json:"methods,omitempty"`       // of which the person chooses one first: see [Client.Choose]
	Confirm       string        `json:"confirm,omitempty"`       // where what the browser brings back is to be confirmed
	Redeem        *Redeem       `json:"redeem,omitempty"`        // what redeems the code: oauth
}

// Method is one way of authenticating in the decoupled approach.
type Method struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

// SCAStatus is the state of an authentication.
type SCAStatus string

// Finished reports whether the person is through with it, well or not.
func (s SCAStatus) Finished() bool { return s.Succeeded() || s == "failed" }

// Succeeded reports whether the bank is content.
func (s SCAStatus) Succeeded() bool { return s == "finalised" || s == "exempted" }

// authorisationAnswer is what is answered about an authentication.
type authorisationAnswer struct {
	SCA     SCAStatus `json:"scaStatus"`
	ID      string    `json:"authorisationId"`
	Message string    `json:"psuMessage"`
	Methods []struct {
		ID   string `json:"authenticationMethodId"`
		Name string `json:"name"`
		Type string `json:"authenticationType"`
	} `json:"scaMethods"`
	Links links `json:"_links"`
}

// Begin asks for a consent, and begins the person's authentication in the way that the bank offers. The error wraps
// [ErrNotOffered] where that is by giving us their password, and [ErrNeedsPSU].
func (c *Client) Begin(ctx context.Context, w Wish, v Visit) (*Begun, error) {
	if c.profile.SCA.PSU && v.PSU == "" {
		return nil, &Fault{Kind: ErrNeedsPSU, Bank: c.profile.Name, Did: "ask for a consent"}
	}
	got, a, err := c.create(ctx, w, v)
	if err != nil {
		return nil, err
	}
	b := &Begun{Consent: got.ID, Status: got.Status}
	if got.Status == StatusValid { // the bank wants no authentication: it did that before
		return b, nil
	}
	from := request{did: "begin the authentication", url: c.at("consents"), access: Access{Token: v.Token, Presence: v.Presence}}
	return b, c.step(ctx, b, v, from, a.header, got.authorisationAnswer, 0)
}

// Again begins another authentication for a consent that waits for one.
func (c *Client) Again(ctx context.Context, consent string, v Visit) (*Begun, error) {
	b := &Begun{Consent: consent, Status: StatusReceived}
	from := request{did: "begin the authentication", url: c.at("consents"), access: Access{Token: v.Token, Presence: v.Presence}}
	return b, c.start(ctx, b, v, from, c.at("consents", consent, "authorisations"), 0)
}

// maxSteps is how many requests an authentication may take until the person's turn comes.
const maxSteps = 4

// step does what an answer wants next, until it is the person's turn.
func (c *Client) step(ctx context.Context, b *Begun, v Visit, from request, header http.Header, got authorisationAnswer, steps int) error {
	refuse := func(kind error, why string) error {
		return &Fault{Kind: kind, Bank: c.profile.Name, Did: from.did, Cause: errors.New(why)}
	}
	if steps == maxSteps {
		return refuse(ErrTooMuch, "it always wants one step more")
	}
	b.Message = line(got.Message, 500)
	b.note(got)
	approach := strings.ToUpper(header.Get("ASPSP-SCA-Approach"))
	if href := got.Links.href("confirmation"); href != "" {
		u, err := c.linked(from, href)
		if err != nil {
			return err
		}
		b.Confirm = u.String()
	}
	if href := got.Links.href("scaRedirect"); href != "" {
		return c.redirect(b, from, href)
	}
	if href := got.Links.href("scaOAuth"); href != "" {
		return c.oauth(ctx, b, v, from, href)
	}
	if name, href := got.Links.first("startAuthorisation", "startAuthorisationWithPsuIdentification"); href != "" {
		if strings.HasSuffix(name, "PsuIdentification") && v.PSU == "" {
			return &Fault{Kind: ErrNeedsPSU, Bank: c.profile.Name, Did: from.did}
		}
		u, err := c.linked(from, href)
		if err != nil {
			return err
		}
		return c.start(ctx, b, v, from, u, steps+1)
	}
	if href := got.Links.href("updatePsuIdentification"); href != "" {
		if v.PSU == "" {
			return &Fault{Kind: ErrNeedsPSU, Bank: c.profile.Name, Did: from.did}
		}
		u, err := c.linked(from, href)
		if err != nil {
			return err
		}
		said, a, err := c.update(ctx, b, u, from.did, []byte("{}"), v)
		if err != nil {
			return err
		}
		return c.step(ctx, b, v, from, a.header, *said, steps+1)
	}
	if len(got.Methods) > 0 && got.Links.href("selectAuthenticationMethod") != "" {
		b.Approach, b.Methods = Decoupled, methods(got)
		return nil
	}
	if approach == "DECOUPLED" || approach == "" && c.profile.SCA.Approach == Decoupled {
		b.Approach = Decoupled
		return c.findAuthorisation(ctx, b, v)
	}
	return refuse(ErrNotOffered, fmt.Sprintf("its approach is %.40q, and it gives no link to a page of its own: it seems to want the person's password from us, which nobody should give", approach))
}

// note takes the id of the authentication.
func (b *Begun) note(got authorisationAnswer) {
	if got.ID != "" && len(got.ID) <= maxID {
		b.Authorisation = got.ID
		return
	}
	for _, name := range []string{"scaStatus", "selectAuthenticationMethod"} { // …/consents/{id}/authorisations/{id}
		if _, id, ok := strings.Cut(got.Links.href(name), "/authorisations/"); ok && id != "" && len(id) <= maxID && !strings.ContainsAny(id, "/?#%") {
			b.Authorisation = id
		}
	}
}

func methods(got authorisationAnswer) []Method {
	var list []Method
	for _, m := range got.Methods {
		if m.ID == "" || len(m.ID) > maxID || len(list) == 20 {
			continue
		}
		name := line(m.Name, 100)
		if name == "" {
			name = line(m.Type, 100)
		}
		list = append(list, Method{ID: m.ID, Name: name})
	}
	return list
}

// redirect sends the person to the bank's page.
func (c *Client) redirect(b *Begun, from request, href string) error {
	u, err := c.linked(from, href)
	if err != nil {
		return err
	}
	b.Approach, b.Go = Redirect, u.String()
	return nil
}

// start makes the authorisation sub-resource.
func (c *Client) start(ctx context.Context, b *Begun, v Visit, from request, u *url.URL, steps int) error {
	r := request{did: from.did, method: http.MethodPost, url: u, accept: mediaJSON, header: c.visitHeaders(v), access: from.access}
	a, err := c.send(ctx, r)
	if err != nil {
		return err
	}
	var got authorisationAnswer
	if err := c.decode(r, a, &got); err != nil {
		return err
	}
	return c.step(ctx, b, v, r, a.header, got, steps)
}

// findAuthorisation finds the authentication that the bank began by itself.
func (c *Client) findAuthorisation(ctx context.Context, b *Begun, v Visit) error {
	if b.Authorisation != "" {
		return nil
	}
	ids, err := c.Authorisations(ctx, Access{Consent: b.Consent, Token: v.Token, Presence: v.Presence})
	if err != nil {
		return err
	}
	if len(ids) == 0 {
		return &Fault{Kind: ErrFormat, Bank: c.profile.Name, Did: "begin the authentication", Cause: errors.New("there is none to wait for")}
	}
	b.Authorisation = ids[len(ids)-1]
	return nil
}

// Authorisations lists the authentications of a consent.
func (c *Client) Authorisations(ctx context.Context, access Access) ([]string, error) {
	var got struct {
		IDs []string `json:"authorisationIds"`
	}
	_, err := c.get(ctx, request{did: "list the authentications", url: c.at("consents", access.Consent, "authorisations"), access: access, noConsent: true}, &got)
	return got.IDs, err
}

// Choose tells the bank which method the person chose.
func (c *Client) Choose(ctx context.Context, b *Begun, method string, v Visit) error {
	text, err := json.Marshal(map[string]string{"authenticationMethodId": method})
	if err != nil {
		return err
	}
	got, a, err := c.update(ctx, b, c.at("consents", b.Consent, "authorisations", b.Authorisation), "choose how to authenticate", text, v)
	if err != nil {
		return err
	}
	b.Methods = nil
	from := request{did: "choose how to authenticate", url: c.at("consents"), access: Access{Token: v.Token, Presence: v.Presence}}
	return c.step(ctx, b, v, from, a.header, *got, maxSteps-1)
}

// Confirmed gives the bank the code with which the person's browser came back, where [Begun] says that it wants that.
func (c *Client) Confirmed(ctx context.Context, b *Begun, code string, v Visit) (SCAStatus, error) {
	text, err := json.Marshal(map[string]string{"confirmationCode": code})
	if err != nil {
		return "", err
	}
	u, err := c.follow(c.base, b.Confirm)
	if err != nil {
		return "", err
	}
	got, _, err := c.update(ctx, b, u, "confirm the authentication", text, v)
	if err != nil {
		return "", err
	}
	return got.SCA, nil
}

func (c *Client) update(ctx context.Context, b *Begun, u *url.URL, did string, text []byte, v Visit) (*authorisationAnswer, *answer, error) {
	h := http.Header{}
	setIf(h, "PSU-ID", v.PSU)
	r := request{did: did, method: http.MethodPut, url: u, body: text, accept: mediaJSON, header: h, access: Access{Token: v.Token, Presence: v.Presence}}
	a, err := c.send(ctx, r)
	if err != nil {
		return nil, nil, err
	}
	var got authorisationAnswer
	return &got, a, c.decode(r, a, &got)
}

// SCAStatus reads how far an authentication is.
func (c *Client) SCAStatus(ctx context.Context, access Access, authorisation string) (SCAStatus, string, error) {
	var got authorisationAnswer
	_, err := c.get(ctx, request{did: "read how far the authentication is", url: c.at("consents", access.Consent, "authorisations", authorisation), access: access, noConsent: true}, &got)
	return got.SCA, line(got.Message, 500), err
}

// The bounds of waiting for a person's app.
const (
	pollFirst = time.Second
	pollMost  = 5 * time.Second
	pollTime  = 10 * time.Minute
)

// Await waits until a decoupled authentication is finished: ten minutes at most, or as long as ctx lasts. The error wraps
// [ErrDeclined] or, where the person has not finished, [ErrPending].
func (c *Client) Await(ctx context.Context, access Access, authorisation string) error {
	end := time.Now().Add(pollTime)
	for pause := pollFirst; ; pause = min(2*pause, pollMost) {
		status, _, err := c.SCAStatus(ctx, access, authorisation)
		switch {
		case err != nil && (!errors.Is(err, ErrDown) && !errors.Is(err, ErrTooOften) || ctx.Err() != nil):
			return err
		case status.Succeeded():
			return nil
		case status == "failed":
			return &Fault{Kind: ErrDeclined, Bank: c.profile.Name, Did: "wait for the authentication"}
		}
		pause = max(pause, WaitOf(err))
		if time.Now().Add(pause).After(end) {
			return &Fault{Kind: ErrPending, Bank: c.profile.Name, Did: "wait for the authentication"}
		}
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		case <-timer.C:
		}
	}
}

// isGone reports whether an error says that there is no such consent (any more).
func isGone(err error) bool {
	var f *Fault
	return errors.Is(err, ErrConsentGone) || errors.As(err, &f) && (f.Status == http.StatusNotFound || f.Status == http.StatusGone || f.has("CONSENT_EXPIRED"))
}
