package banktest

import (
	"cmp"
	"net/http"
	"net/url"
	"slices"
	"time"
)

// The statuses of a consent.
const (
	Received   = "received"
	Rejected   = "rejected"
	Valid      = "valid"
	Revoked    = "revokedByPsu"
	Expired    = "expired"
	Terminated = "terminatedByTpp"
	Partially  = "partiallyAuthorised"
)

// Consent is what a third party asked for, and what became of it.
type Consent struct {
	ID         string
	Party      string // who asked
	Brand      string // under which name, as they say themselves
	Status     string
	Access     Access // as it was asked, and once authorised as it was given
	Recurring  bool
	ValidUntil string // YYYY-MM-DD
	PerDay     int
	Created    time.Time
	Changed    time.Time
	Authorised time.Time // by the last whose agreement it needed
	Person     string    // who was named, or who agreed first
	Agreed     []string  // persons
	Redirect   string    // where the person goes back, and where if they refuse
	Refused    string

	Authorisations []*Authorisation
	Reads          map[string][]time.Time // without the person, of the last 24 hours, by account and kind
	Reported       map[string]int         // the last number that was reported, by account
}

// consentRequest is the body of POST /v1/consents.
type consentRequest struct {
	Access     *Access `json:"access"`
	Recurring  *bool   `json:"recurringIndicator"`
	ValidUntil *string `json:"validUntil"`
	Frequency  *int    `json:"frequencyPerDay"`
	Combined   *bool   `json:"combinedServiceIndicator"`
}

// createConsent is POST /v1/consents.
func (b *Bank) createConsent(q *request) (*reply, error) {
	var asked consentRequest
	if err := q.decode(&asked); err != nil {
		return nil, err
	}
	c, err := b.newConsent(q, &asked)
	if err != nil {
		return nil, err
	}
	if err := b.knowPerson(q, c); err != nil {
		return nil, err
	}
	b.consents[c.ID] = c
	b.order = append(b.order, c.ID)
	b.unsaved = true
	return b.created(q, c)
}

// newConsent is the consent that a request asks for.
func (b *Bank) newConsent(q *request, asked *consentRequest) (*Consent, error) {
	switch {
	case asked.Access == nil:
		return nil, wrongForm("access", "it is missing")
	case asked.Recurring == nil || asked.Combined == nil:
		return nil, wrongForm("recurringIndicator", "it or combinedServiceIndicator is missing")
	case asked.ValidUntil == nil || asked.Frequency == nil:
		return nil, wrongForm("validUntil", "it or frequencyPerDay is missing")
	case *asked.Frequency < 1 || !*asked.Recurring && *asked.Frequency != 1:
		return nil, wrongForm("frequencyPerDay", "it must be at least 1, and 1 for a consent that does not recur")
	case q.Header.Get("PSU-IP-Address") == "":
		return nil, wrongForm("PSU-IP-Address", "the header is mandatory here")
	case *asked.Combined:
		return nil, fail(http.StatusBadRequest, "SESSIONS_NOT_SUPPORTED", "this bank knows no combined services")
	}
	until, err := b.validUntil(*asked.ValidUntil)
	if err != nil {
		return nil, err
	}
	if f := q.struck(Shortened); f != nil {
		until = string(b.today().add(cmp.Or(f.Days, 1)))
	}
	if err := b.check(asked.Access); err != nil {
		return nil, err
	}
	c := &Consent{ID: newID(), Party: q.party, Brand: q.Header.Get("TPP-Brand-Logging-Information"), Status: Received, Access: *asked.Access, Recurring: *asked.Recurring, ValidUntil: until, PerDay: min(*asked.Frequency, b.config.PerDay),
		Created: b.now(), Changed: b.now(), Reads: map[string][]time.Time{}, Reported: map[string]int{}}
	return c, b.wayBack(q, c)
}

// validUntil reads until when a consent is asked for, and shortens it to what the bank gives.
func (b *Bank) validUntil(text string) (string, error) {
	asked, ok := parseDate(text)
	if !ok {
		return "", wrongForm("validUntil", "%q is no date", text)
	}
	if asked < b.today() {
		return "", wrongForm("validUntil", "%s is in the past", asked)
	}
	return string(min(asked, b.today().add(b.config.MaxDays))), nil
}

// wayBack notes where the person goes when they are done.
func (b *Bank) wayBack(q *request, c *Consent) error {
	c.Redirect, c.Refused = q.Header.Get("TPP-Redirect-URI"), q.Header.Get("TPP-Nok-Redirect-URI")
	for name, address := range map[string]string{"TPP-Redirect-URI": c.Redirect, "TPP-Nok-Redirect-URI": c.Refused} {
		if u, err := url.Parse(address); address != "" && (err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http") {
			return wrongForm(name, "%q is no address to which a browser can be sent", address)
		}
	}
	if c.Redirect == "" && b.config.Approach == Redirect {
		return wrongForm("TPP-Redirect-URI", "the header is mandatory: this bank redirects")
	}
	c.Refused = cmp.Or(c.Refused, c.Redirect)
	return nil
}

// knowPerson notes who is named by the access token of the pre-step, or by PSU-ID.
func (b *Bank) knowPerson(q *request, c *Consent) error {
	if b.config.PreStep {
		t, err := b.bearer(q, nil)
		if err != nil {
			return err
		}
		c.Person = t.Person
		return nil
	}
	if id := q.Header.Get("PSU-ID"); id != "" {
		if b.people[id] == nil {
			return fail(http.StatusUnauthorized, "PSU_CREDENTIALS_INVALID", "nobody here is called %q", id)
		}
		c.Person = id
	}
	return nil
}

// consentResponse is the body of the answer.
type consentResponse struct {
	Status     string         `json:"consentStatus"`
	ID         string         `json:"consentId"`
	SCAStatus  string         `json:"scaStatus,omitempty"`
	Methods    []method       `json:"scaMethods,omitempty"`
	Chosen     *method        `json:"chosenScaMethod,omitempty"`
	Challenge  *challengeData `json:"challengeData,omitempty"`
	Links      links          `json:"_links"`
	PSUMessage string         `json:"psuMessage,omitempty"`
}

// created answers to who asked for a consent.
func (b *Bank) created(q *request, c *Consent) (*reply, error) {
	at := "/v1/consents/" + c.ID
	body := &consentResponse{Status: c.Status, ID: c.ID, Links: links{"self": q.link(at), "status": q.link(at + "/status")}}
	if b.config.Explicit || q.Header.Get("TPP-Explicit-Authorisation-Preferred") == "true" {
		name := "startAuthorisation"
		switch {
		case b.config.Approach == Embedded:
			name = "startAuthorisationWithPsuAuthentication"
		case b.config.Approach == Decoupled && c.Person == "":
			name = "startAuthorisationWithPsuIdentification"
		}
		body.Links[name] = q.link(at + "/authorisations")
	} else {
		a := b.authorise(c, c.Person)
		body.SCAStatus = a.Status
		body.Methods, body.Chosen, body.Challenge = b.offer(a)
		body.PSUMessage = b.say(a)
		b.linkAuthorisation(q, c, a, body.Links)
	}
	return &reply{status: http.StatusCreated, header: http.Header{"Location": {q.root + at}, "Aspsp-Sca-Approach": {b.approachName()}}, body: body}, nil
}

// approachName is what ASPSP-SCA-Approach says: OAuth2 is a redirection, too.
func (b *Bank) approachName() string {
	switch b.config.Approach {
	case Decoupled:
		return "DECOUPLED"
	case Embedded:
		return "EMBEDDED"
	}
	return "REDIRECT"
}

// consentOf is the consent that a path names, if it is the third party's.
func (b *Bank) consentOf(q *request) (*Consent, error) {
	c := b.consents[q.PathValue("consent")]
	if c == nil || c.Party != q.party {
		return nil, fail(http.StatusForbidden, "CONSENT_UNKNOWN", "you have no such consent")
	}
	b.settle(c)
	return c, nil
}

// settle lets a consent grow old.
func (b *Bank) settle(c *Consent) {
	b.decoupled(c)
	now := b.now()
	switch c.Status {
	case Received, Partially:
		if now.Sub(c.Created) > unauthorisedFor || Date(c.ValidUntil) < b.today() {
			b.become(c, Expired)
		}
	case Valid:
		if Date(c.ValidUntil) < b.today() || !c.Recurring && now.Sub(c.Authorised) > b.config.OneOff {
			b.become(c, Expired)
		}
	}
}

// become gives a consent another status.
func (b *Bank) become(c *Consent, status string) {
	c.Status, c.Changed, b.unsaved = status, b.now(), true
	if status == Valid || status == Partially {
		return
	}
	for _, t := range b.tokens {
		if t.Consent == c.ID {
			t.Until = time.Time{}
		}
	}
}

// consentInformation is the body of GET /v1/consents/{id}.
type consentInformation struct {
	Access     Access `json:"access"`
	Recurring  bool   `json:"recurringIndicator"`
	ValidUntil string `json:"validUntil"`
	PerDay     int    `json:"frequencyPerDay"`
	LastAction string `json:"lastActionDate"`
	Status     string `json:"consentStatus"`
	Links      links  `json:"_links"`
}

func (b *Bank) getConsent(q *request) (*reply, error) {
	c, err := b.consentOf(q)
	if err != nil {
		return nil, err
	}
	return ok(&consentInformation{Access: c.Access, Recurring: c.Recurring, ValidUntil: c.ValidUntil, PerDay: c.PerDay, LastAction: string(dateOf(c.Changed.In(b.zone))), Status: c.Status,
		Links: links{"account": q.link("/v1/accounts")}}), nil
}

type statusBody struct {
	Status string `json:"consentStatus"`
}

func (b *Bank) consentStatus(q *request) (*reply, error) {
	c, err := b.consentOf(q)
	if err != nil {
		return nil, err
	}
	return ok(statusBody{c.Status}), nil
}

// deleteConsent is the third party's end of it.
func (b *Bank) deleteConsent(q *request) (*reply, error) {
	c, err := b.consentOf(q)
	if err != nil {
		return nil, err
	}
	if slices.Contains([]string{Received, Valid, Partially}, c.Status) {
		b.become(c, Terminated)
	}
	return &reply{status: http.StatusNoContent}, nil
}
