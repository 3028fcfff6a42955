package banktest

import (
	"crypto/rand"
	"fmt"
	"math/big"
	"net/http"
	"slices"
	"time"
)

// The statuses of an authorisation.
const (
	scaReceived      = "received"
	scaIdentified    = "psuIdentified"
	scaAuthenticated = "psuAuthenticated"
	scaSelected      = "scaMethodSelected"
	scaStarted       = "started"
	scaFinalised     = "finalised"
	scaFailed        = "failed"
)

const maxTries = 3 // of passwords and codes

// Authorisation is one person's agreement to a consent.
type Authorisation struct {
	ID      string
	Status  string
	Person  string // "": nobody said who they are
	Method  string
	Code    string // that the person must repeat
	Key     string // that the page's forms hold, so that who finds the address cannot go on where the person is
	Tries   int
	Started time.Time // the person's device was told
	Ask     *oauthAsk // what the authorization server was asked; nil: nothing
}

func (a *Authorisation) over() bool { return a.Status == scaFinalised || a.Status == scaFailed }

// method is a means of authentication ("authenticationObject").
type method struct {
	Type string `json:"authenticationType"`
	ID   string `json:"authenticationMethodId"`
	Name string `json:"name"`
}

type challengeData struct {
	Data   []string `json:"data,omitempty"`
	Length int      `json:"otpMaxLength,omitempty"`
	Format string   `json:"otpFormat,omitempty"`
	More   string   `json:"additionalInformation,omitempty"`
}

// methods are what each person has.
func (b *Bank) methods() []method {
	all := []method{{"SMS_OTP", "sms", "SMS au +33 6 •• •• •• 42"}, {"PUSH_OTP", "app", "Application Ruisseau"}, {"CHIP_OTP", "card", "Lecteur de carte"}}
	return all[:min(b.config.Methods, len(all))]
}

// authorise begins an authorisation by a person, "" if it is not known who.
func (b *Bank) authorise(c *Consent, person string) *Authorisation {
	a := &Authorisation{ID: newID(), Status: scaReceived, Code: newCode()}
	c.Authorisations = append(c.Authorisations, a)
	b.unsaved = true
	if person != "" {
		b.identifyAs(a, person)
	}
	return a
}

// identifyAs says who the person is. On another device it begins at once, unless there is a choice of devices.
func (b *Bank) identifyAs(a *Authorisation, person string) {
	a.Person, a.Status = person, scaIdentified
	if b.config.Approach == Decoupled && b.config.Methods == 1 {
		a.Status, a.Method, a.Started = scaStarted, b.methods()[0].ID, b.now()
	}
}

// newCode is a one-time code of six digits.
func newCode() string {
	n, _ := rand.Int(rand.Reader, big.NewInt(1e6)) // never fails: crypto/rand
	return fmt.Sprintf("%06d", n)
}

// offer is what the third party may show to the person: means to choose from, the chosen one, what it asks.
func (b *Bank) offer(a *Authorisation) ([]method, *method, *challengeData) {
	switch {
	case b.config.Approach != Decoupled && b.config.Approach != Embedded:
		return nil, nil, nil
	case a.Method == "" && b.config.Methods > 1 && (a.Status == scaIdentified && b.config.Approach == Decoupled || a.Status == scaAuthenticated):
		return b.methods(), nil, nil
	case a.Method == "":
		return nil, nil, nil
	}
	chosen := b.methods()[slices.IndexFunc(b.methods(), func(m method) bool { return m.ID == a.Method })]
	if b.config.Approach == Decoupled {
		return nil, &chosen, nil
	}
	return nil, &chosen, &challengeData{Data: []string{"sandbox: " + a.Code}, Length: len(a.Code), Format: "integer", More: "A sandbox sends nothing: repeat the code."}
}

// say is what the third party shows to the person.
func (b *Bank) say(a *Authorisation) string {
	if b.config.Approach == Decoupled && a.Status == scaStarted {
		return "Validez la demande dans votre application Ruisseau. / Approve the request in your Ruisseau app."
	}
	return ""
}

// linkAuthorisation adds the links that lead on.
func (b *Bank) linkAuthorisation(q *request, c *Consent, a *Authorisation, l links) {
	at := "/v1/consents/" + c.ID + "/authorisations/" + a.ID
	l["scaStatus"] = q.link(at)
	if a.over() {
		return
	}
	switch b.config.Approach {
	case Redirect:
		l["scaRedirect"] = href{q.root + "/sca/" + a.ID}
	case OAuth2:
		l["scaOAuth"] = href{q.root + metadataPath}
	case Decoupled:
		switch a.Status {
		case scaReceived:
			l["updatePsuIdentification"] = q.link(at)
		case scaIdentified:
			l["selectAuthenticationMethod"] = q.link(at)
		}
	case Embedded:
		switch a.Status {
		case scaReceived, scaIdentified:
			l["updatePsuAuthentication"] = q.link(at)
		case scaAuthenticated:
			l["selectAuthenticationMethod"] = q.link(at)
		case scaSelected:
			l["authoriseTransaction"] = q.link(at)
		}
	}
}

// startBody is the body of the answer to POST …/authorisations, and to an update of one.
type startBody struct {
	SCAStatus  string         `json:"scaStatus"`
	ID         string         `json:"authorisationId,omitempty"`
	Methods    []method       `json:"scaMethods,omitempty"`
	Chosen     *method        `json:"chosenScaMethod,omitempty"`
	Challenge  *challengeData `json:"challengeData,omitempty"`
	Links      links          `json:"_links"`
	PSUMessage string         `json:"psuMessage,omitempty"`
}

// standing tells how an authorisation stands.
func (b *Bank) standing(q *request, status int, c *Consent, a *Authorisation) *reply {
	body := &startBody{SCAStatus: a.Status, ID: a.ID, Links: links{}, PSUMessage: b.say(a)}
	body.Methods, body.Chosen, body.Challenge = b.offer(a)
	b.linkAuthorisation(q, c, a, body.Links)
	return &reply{status: status, header: http.Header{"Aspsp-Sca-Approach": {b.approachName()}}, body: body}
}

func (b *Bank) startAuthorisation(q *request) (*reply, error) {
	c, err := b.consentOf(q)
	if err != nil {
		return nil, err
	}
	if c.Status != Received && c.Status != Partially {
		return nil, fail(http.StatusConflict, "STATUS_INVALID", "the consent is %s", c.Status)
	}
	person := q.Header.Get("PSU-ID")
	if person != "" && b.people[person] == nil {
		return nil, fail(http.StatusUnauthorized, "PSU_CREDENTIALS_INVALID", "nobody here is called %q", person)
	}
	if person == "" && c.Status == Received {
		person = c.Person
	}
	a := b.authorise(c, person)
	if len(q.body) > 0 {
		if err := b.update(q, c, a); err != nil {
			return nil, err
		}
	}
	return b.standing(q, http.StatusCreated, c, a), nil
}

type authorisationIDs struct {
	IDs []string `json:"authorisationIds"`
}

func (b *Bank) listAuthorisations(q *request) (*reply, error) {
	c, err := b.consentOf(q)
	if err != nil {
		return nil, err
	}
	list := authorisationIDs{[]string{}}
	for _, a := range c.Authorisations {
		list.IDs = append(list.IDs, a.ID)
	}
	return ok(list), nil
}

// authorisationOf finds the one that a path names.
func (b *Bank) authorisationOf(q *request) (*Consent, *Authorisation, error) {
	c, err := b.consentOf(q)
	if err != nil {
		return nil, nil, err
	}
	for _, a := range c.Authorisations {
		if a.ID == q.PathValue("id") {
			return c, a, nil
		}
	}
	return nil, nil, fail(http.StatusForbidden, "RESOURCE_UNKNOWN", "the consent has no such authorisation")
}

type scaStatusBody struct {
	Status string `json:"scaStatus"`
}

func (b *Bank) scaStatus(q *request) (*reply, error) {
	_, a, err := b.authorisationOf(q)
	if err != nil {
		return nil, err
	}
	return ok(scaStatusBody{a.Status}), nil
}

func (b *Bank) updateAuthorisation(q *request) (*reply, error) {
	c, a, err := b.authorisationOf(q)
	if err != nil {
		return nil, err
	}
	if a.over() || c.Status != Received && c.Status != Partially {
		return nil, fail(http.StatusConflict, "STATUS_INVALID", "the authorisation is %s, the consent %s", a.Status, c.Status)
	}
	if err := b.update(q, c, a); err != nil {
		return nil, err
	}
	return b.standing(q, http.StatusOK, c, a), nil
}

// updateBody is each of the bodies of PUT …/authorisations/{id}.
type updateBody struct {
	PSUData *struct {
		Password string `json:"password"`
	} `json:"psuData"`
	Method *string `json:"authenticationMethodId"`
	Code   *string `json:"scaAuthenticationData"`
}

// update takes what the third party brings: who the person is, their password, a choice, a code.
func (b *Bank) update(q *request, c *Consent, a *Authorisation) error {
	var u updateBody
	if err := q.decode(&u); err != nil {
		return err
	}
	b.unsaved = true
	if id := q.Header.Get("PSU-ID"); id != "" && a.Status == scaReceived {
		if b.people[id] == nil {
			return fail(http.StatusUnauthorized, "PSU_CREDENTIALS_INVALID", "nobody here is called %q", id)
		}
		b.identifyAs(a, id)
	}
	switch {
	case u.PSUData != nil:
		return b.password(c, a, u.PSUData.Password)
	case u.Method != nil:
		return b.selectMethod(a, *u.Method)
	case u.Code != nil:
		return b.finishEmbedded(c, a, *u.Code)
	case a.Status == scaReceived:
		return wrongForm("PSU-ID", "the header, or a body of one of the forms, is missing")
	}
	return nil
}

func (b *Bank) password(c *Consent, a *Authorisation, given string) error {
	if b.config.Approach != Embedded {
		return fail(http.StatusBadRequest, "SERVICE_INVALID", "this bank wants no password from a third party")
	}
	if a.Person == "" || a.Status != scaIdentified {
		return wrongForm("PSU-ID", "say who the person is, once")
	}
	if given != Password {
		b.miss(c, a)
		return fail(http.StatusUnauthorized, "PSU_CREDENTIALS_INVALID", "the password is wrong")
	}
	a.Status = scaAuthenticated
	if b.config.Methods == 1 {
		a.Status, a.Method = scaSelected, b.methods()[0].ID
	}
	return nil
}

func (b *Bank) selectMethod(a *Authorisation, id string) error {
	known := slices.ContainsFunc(b.methods(), func(m method) bool { return m.ID == id })
	if !known {
		return fail(http.StatusBadRequest, "SCA_METHOD_UNKNOWN", "there is no method %q", id)
	}
	switch {
	case b.config.Approach == Decoupled && a.Status == scaIdentified:
		a.Status, a.Method, a.Started = scaStarted, id, b.now()
	case b.config.Approach == Embedded && a.Status == scaAuthenticated:
		a.Status, a.Method = scaSelected, id
	default:
		return fail(http.StatusConflict, "STATUS_INVALID", "there is nothing to select: the authorisation is %s", a.Status)
	}
	return nil
}

func (b *Bank) finishEmbedded(c *Consent, a *Authorisation, code string) error {
	if b.config.Approach != Embedded || a.Status != scaSelected {
		return fail(http.StatusConflict, "STATUS_INVALID", "no code is awaited: the authorisation is %s", a.Status)
	}
	if code != a.Code {
		b.miss(c, a)
		return fail(http.StatusUnauthorized, "PSU_CREDENTIALS_INVALID", "the code is wrong")
	}
	return b.agree(c, a, nil)
}

// miss counts a wrong password or code. After some the consent is rejected.
func (b *Bank) miss(c *Consent, a *Authorisation) {
	if a.Tries++; a.Tries >= maxTries {
		b.refuse(c, a)
	}
	b.unsaved = true
}

func (b *Bank) refuse(c *Consent, a *Authorisation) {
	a.Status = scaFailed
	b.become(c, Rejected)
}

// agree finalises an authorisation: the person has proven who they are. chosen are the IBANs that they chose; nil: all of theirs.
func (b *Bank) agree(c *Consent, a *Authorisation, chosen []string) error {
	mine := b.accountsOf(a.Person)
	given := mine
	if chosen != nil && c.Access.offered() {
		given = nil
		for _, account := range mine {
			if slices.Contains(chosen, account.IBAN) {
				given = append(given, account)
			}
		}
	}
	if !b.concerns(c, mine) {
		b.refuse(c, a)
		return fail(http.StatusBadRequest, "CONSENT_INVALID", "it is not about accounts of the person")
	}
	if c.Access.offered() && len(given) == 0 {
		return fail(http.StatusBadRequest, "CONSENT_INVALID", "no account was chosen")
	}
	c.Access = c.Access.grant(given)
	a.Status = scaFinalised
	if !slices.Contains(c.Agreed, a.Person) {
		c.Agreed = append(c.Agreed, a.Person)
	}
	if c.Person == "" {
		c.Person = a.Person
	}
	b.conclude(c)
	return nil
}

// concerns reports whether a consent is about the accounts of a person: all that it names must be theirs, unless they only share
// some with who agreed before.
func (b *Bank) concerns(c *Consent, mine []*Account) bool {
	if c.Status == Partially {
		return slices.ContainsFunc(mine, func(a *Account) bool {
			return a.Both && slices.Contains(a.Owners, c.Person) && c.Access.rights(a).list
		})
	}
	for _, named := range c.Access.named() {
		if !slices.ContainsFunc(mine, func(a *Account) bool { return a.IBAN == named }) {
			return false
		}
	}
	return true
}

// conclude makes a consent valid once everybody has agreed. A new one that recurs ends the former one.
func (b *Bank) conclude(c *Consent) {
	for _, account := range b.accountsOf(c.Person) {
		if !account.Both || !c.Access.rights(account).list {
			continue
		}
		if slices.ContainsFunc(account.Owners, func(o string) bool { return !slices.Contains(c.Agreed, o) }) {
			b.become(c, Partially)
			return
		}
	}
	b.become(c, Valid)
	c.Authorised = b.now()
	for _, other := range b.consents {
		if c.Recurring && other != c && other.Recurring && other.Status == Valid && other.Party == c.Party && other.Person == c.Person {
			b.become(other, Expired)
		}
	}
}

// decoupled lets time pass on the person's device.
func (b *Bank) decoupled(c *Consent) {
	if b.config.DecoupledAfter <= 0 || c.Status != Received && c.Status != Partially {
		return
	}
	for _, a := range c.Authorisations {
		if a.Status == scaStarted && !b.now().Before(a.Started.Add(b.config.DecoupledAfter)) {
			_ = b.agree(c, a, nil) // what is wrong is told by the consent's status
		}
	}
}
