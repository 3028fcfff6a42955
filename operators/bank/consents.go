package bank

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"time"
)

// ConsentStatus is the state of a consent at the bank.
type ConsentStatus string

// The states.
const (
	StatusReceived            ConsentStatus = "received"            // the person has not authenticated yet
	StatusPartiallyAuthorised ConsentStatus = "partiallyAuthorised" // others must authenticate too
	StatusValid               ConsentStatus = "valid"
	StatusRejected            ConsentStatus = "rejected"
	StatusRevokedByPSU        ConsentStatus = "revokedByPsu" // the person withdrew it at the bank
	StatusExpired             ConsentStatus = "expired"
	StatusTerminatedByTPP     ConsentStatus = "terminatedByTpp" // we ended it
)

// Ended reports whether a state is final. A state that nobody knows is none.
func (s ConsentStatus) Ended() bool {
	switch s {
	case StatusRejected, StatusRevokedByPSU, StatusExpired, StatusTerminatedByTPP:
		return true
	}
	return false
}

func (s ConsentStatus) known() bool {
	return s.Ended() || s == StatusReceived || s == StatusPartiallyAuthorised || s == StatusValid
}

// Reference names an account at a bank.
type Reference struct {
	IBAN      string `json:"iban,omitempty"`
	BBAN      string `json:"bban,omitempty"`
	PAN       string `json:"pan,omitempty"`
	MaskedPAN string `json:"maskedPan,omitempty"`
	MSISDN    string `json:"msisdn,omitempty"`
	Currency  string `json:"currency,omitempty"`
}

// All asks for all accounts, in [Rights].
const (
	All          = "allAccounts"
	AllWithOwner = "allAccountsWithOwnerName"
)

// Rights are what a consent is about. Lists that are there and empty leave the choice of accounts to the person at the bank
// (a bank-offered consent); lists that are nil ask for nothing.
type Rights struct {
	Accounts      []Reference `json:"accounts,omitzero"`
	Balances      []Reference `json:"balances,omitzero"`
	Transactions  []Reference `json:"transactions,omitzero"`
	Available     string      `json:"availableAccounts,omitempty"`            // only which accounts there are
	AvailableWith string      `json:"availableAccountsWithBalance,omitempty"` // and their balances
	AllPSD2       string      `json:"allPsd2,omitempty"`                      // everything: a global consent
}

// BankOffered are the rights to accounts that the person chooses at the bank.
func BankOffered(balances, transactions bool) Rights {
	r := Rights{Accounts: []Reference{}}
	if balances {
		r.Balances = []Reference{}
	}
	if transactions {
		r.Transactions = []Reference{}
	}
	return r
}

// Detailed are the rights to some accounts.
func Detailed(accounts []Reference, balances, transactions bool) Rights {
	r := Rights{Accounts: accounts}
	if balances {
		r.Balances = accounts
	}
	if transactions {
		r.Transactions = accounts
	}
	return r
}

// Wish is the consent that is asked for.
type Wish struct {
	Rights    Rights
	Until     time.Time // the last day on which it may be used, as the person decided; the bank may shorten it
	Frequency int       // runs a day without the person; 0: what the profile says
	Once      bool      // for one retrieval
}

// Consent is a consent as the bank keeps it.
type Consent struct {
	ID        string
	Status    ConsentStatus
	Rights    Rights
	Recurring bool
	Until     string // the last day: what the bank made of it
	Frequency int
}

// consentRequest is the body of POST /v1/consents.
type consentRequest struct {
	Access    Rights `json:"access"`
	Recurring bool   `json:"recurringIndicator"`
	Until     string `json:"validUntil"`
	Frequency int    `json:"frequencyPerDay"`
	Combined  bool   `json:"combinedServiceIndicator"`
}

// consentAnswer is what is answered about a consent, to several requests.
type consentAnswer struct {
	Status    ConsentStatus `json:"consentStatus"`
	ID        string        `json:"consentId"`
	Access    Rights        `json:"access"`
	Recurring bool          `json:"recurringIndicator"`
	Until     string        `json:"validUntil"`
	Frequency int           `json:"frequencyPerDay"`
	authorisationAnswer
}

// maxID is how long an identifier of a bank may be.
const maxID = 300

// create asks for a consent.
func (c *Client) create(ctx context.Context, w Wish, v Visit) (*consentAnswer, *answer, error) {
	body := consentRequest{Access: w.Rights, Recurring: !w.Once, Until: w.Until.In(c.zone).Format(time.DateOnly), Frequency: w.Frequency}
	if body.Frequency == 0 {
		body.Frequency = min(c.profile.Limits.Unattended, 4)
	}
	if w.Once {
		body.Frequency = 1
	}
	text, err := json.Marshal(body)
	if err != nil {
		return nil, nil, err
	}
	r := request{did: "ask for a consent", method: http.MethodPost, url: c.at("consents"), body: text, accept: mediaJSON,
		header: c.visitHeaders(v), access: Access{Token: v.Token, Presence: v.Presence}}
	a, err := c.send(ctx, r)
	if err != nil {
		return nil, nil, err
	}
	var got consentAnswer
	if err := c.decode(r, a, &got); err != nil {
		return nil, nil, err
	}
	if got.ID == "" || len(got.ID) > maxID || !got.Status.known() {
		return nil, nil, c.unreadable(r, a, fmt.Errorf("the consent has no id, or a state that nobody knows: %.40q", got.Status))
	}
	return &got, a, nil
}

// Consent reads what the bank keeps of a consent: how long it really holds, and for which accounts.
func (c *Client) Consent(ctx context.Context, access Access) (Consent, error) {
	r := request{did: "read the consent", url: c.at("consents", access.Consent), access: access, noConsent: true}
	var got consentAnswer
	a, err := c.get(ctx, r, &got)
	if err != nil {
		return Consent{}, err
	}
	if !got.Status.known() {
		return Consent{}, c.unreadable(r, a, fmt.Errorf("its state is %.40q", got.Status))
	}
	until := c.day(got.Until)
	if until == "" {
		return Consent{}, c.unreadable(r, a, fmt.Errorf("it is valid until %.40q, which is no day", got.Until))
	}
	return Consent{ID: access.Consent, Status: got.Status, Rights: got.Access, Recurring: got.Recurring, Until: until, Frequency: got.Frequency}, nil
}

// ConsentStatus reads the state of a consent.
func (c *Client) ConsentStatus(ctx context.Context, access Access) (ConsentStatus, error) {
	r := request{did: "read the state of the consent", url: c.at("consents", access.Consent, "status"), access: access, noConsent: true}
	var got consentAnswer
	a, err := c.get(ctx, r, &got)
	if err != nil {
		return "", err
	}
	if !got.Status.known() {
		return "", c.unreadable(r, a, fmt.Errorf("the state is %.40q", got.Status))
	}
	return got.Status, nil
}

// DeleteConsent ends a consent at the bank. One that is not there any more, or has ended, is deleted.
func (c *Client) DeleteConsent(ctx context.Context, access Access) error {
	if c.profile.has(NoDeletion) {
		return nil
	}
	_, err := c.send(ctx, request{did: "delete the consent", method: http.MethodDelete, url: c.at("consents", access.Consent), accept: mediaJSON, access: access, noConsent: true})
	if isGone(err) {
		return nil
	}
	return err
}

// validEnd is the end of the last day of a consent, in the bank's time zone.
func (c *Client) validEnd(day string) time.Time {
	t, err := time.ParseInLocation(time.DateOnly, day, c.zone)
	if err != nil {
		return time.Time{}
	}
	return t.AddDate(0, 0, 1)
}

// End is when a consent stops being valid, at the end of its last day where the bank is.
func (c *Client) End(consent Consent) time.Time { return c.validEnd(consent.Until) }

// visitHeaders are those of a request that begins an authentication.
func (c *Client) visitHeaders(v Visit) http.Header {
	h := http.Header{}
	setIf(h, "TPP-Redirect-URI", v.Return)
	setIf(h, "TPP-Nok-Redirect-URI", v.Return)
	setIf(h, "PSU-ID", v.PSU)
	switch c.profile.SCA.Approach {
	case Decoupled:
		h.Set("TPP-Redirect-Preferred", "false")
	default:
		h.Set("TPP-Redirect-Preferred", "true")
	}
	return h
}

// links are the links of an answer, by what they are for.
type links map[string]json.RawMessage

// href returns a link; "" if there is none. Banks write {"href": "…"}, and some the address alone.
func (l links) href(name string) string {
	var object struct {
		Href string `json:"href"`
	}
	if json.Unmarshal(l[name], &object) == nil && object.Href != "" {
		return object.Href
	}
	var text string
	if json.Unmarshal(l[name], &text) == nil {
		return text
	}
	return ""
}

// first returns the first of some links that there is.
func (l links) first(names ...string) (name, href string) {
	for _, name := range names {
		if href := l.href(name); href != "" {
			return name, href
		}
	}
	return "", ""
}

// linked resolves a link of an answer to a request.
func (c *Client) linked(r request, href string) (*url.URL, error) {
	u, err := c.follow(r.url, href)
	if err != nil {
		return nil, &Fault{Kind: kindOf(err, ErrFormat), Bank: c.profile.Name, Did: r.did, Cause: err}
	}
	return u, nil
}
