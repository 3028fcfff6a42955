package audit

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/passerelle-cloud/passerelle/consent"
	"github.com/passerelle-cloud/passerelle/formats"
	"github.com/passerelle-cloud/passerelle/formats/statement"
)

// Activity is what one service does with data for one purpose, as persons agreed to it: an entry of the record of
// processing activities (GDPR article 30).
type Activity struct {
	Service    string              `json:"service"`    // legal name
	Client     string              `json:"client_id"`  //
	Contact    string              `json:"contact"`    // of the service
	Purpose    string              `json:"purpose"`    // IRI of DPV
	Said       map[string]string   `json:"said"`       // the purpose in words, by language, as one of the consents has it
	Datasets   []formats.Dataset   `json:"datasets"`   // categories of data
	Recipients []consent.Recipient `json:"recipients"` // besides the service
	Countries  []string            `json:"countries"`  // outside of Europe, ISO 3166-1
	Safeguards []string            `json:"safeguards"` // for those
	Retention  []string            `json:"retention"`  // ISO 8601 durations: each of which some persons agreed to
	Persons    Cell                `json:"persons"`    // how many consents; small numbers are hidden
}

// Processing is the record of processing activities, as far as consents say it.
type Processing struct {
	Made       time.Time  `json:"made"`
	Operator   string     `json:"operator"` // legal name
	Activities []Activity `json:"activities"`
	// Security says in short how data are protected here (GDPR article 32(1)).
	Security []string `json:"security"`
}

// Processing reads all valid consents, and returns the record.
func (d *Desk) Processing(ctx context.Context) (*Processing, error) {
	signed, err := d.Statement(ctx)
	if err != nil {
		return nil, err
	}
	p := &Processing{Made: d.clock().UTC().Truncate(time.Second), Operator: signed.Statement.LegalName, Activities: []Activity{}, Security: []string{
		"TLS to the outside; keys in files of the operator alone, or in a Vault that never gives them out",
		"each access needs a permit of a valid consent, is logged before it begins, and ends within two seconds of a withdrawal",
		"a tamper-evident log, cosigned by witnesses; persons can be erased from it",
		"passwords as Argon2id hashes, passkeys; administrators and auditors see pseudonyms",
	}}
	byKey := map[[2]string]*Activity{}
	for entry, err := range d.Maker.Authority.Valid(ctx) {
		if err != nil {
			return nil, err
		}
		for i := range entry.Details {
			detail := &entry.Details[i]
			key := [2]string{entry.Service, detail.Purpose.IRI}
			if detail.Type == consent.InstanceMove {
				continue
			}
			a := byKey[key]
			if a == nil {
				a = &Activity{Client: entry.Service, Purpose: detail.Purpose.IRI, Said: detail.Purpose.Text, Datasets: []formats.Dataset{}, Recipients: []consent.Recipient{}, Countries: []string{}, Safeguards: []string{}}
				byKey[key] = a
			}
			a.add(detail)
		}
	}
	for _, a := range byKey {
		service, err := d.Maker.Authority.Service(ctx, a.Client)
		if err != nil {
			return nil, err
		}
		a.Service, a.Contact = service.LegalName, service.Contact
		a.Persons = hide([]Cell{a.Persons})[0]
		p.Activities = append(p.Activities, *a)
	}
	slices.SortFunc(p.Activities, func(a, b Activity) int {
		return strings.Compare(a.Service+"\x00"+a.Client+"\x00"+a.Purpose, b.Service+"\x00"+b.Client+"\x00"+b.Purpose)
	})
	return p, nil
}

// add adds what one consent says.
func (a *Activity) add(d *consent.Detail) {
	a.Persons.Label = "consents"
	a.Persons.Count++
	a.Datasets = union(a.Datasets, d.Datasets...)
	a.Retention = union(a.Retention, d.Retention)
	for _, r := range d.Recipients {
		if !slices.ContainsFunc(a.Recipients, func(o consent.Recipient) bool { return o.Name == r.Name && o.Country == r.Country }) {
			a.Recipients = append(a.Recipients, r)
		}
	}
	if t := d.ThirdCountry; t != nil && len(t.Countries) > 0 {
		a.Countries = union(a.Countries, t.Countries...)
		a.Safeguards = union(a.Safeguards, t.Safeguard)
	}
}

func union[T ~string](list []T, more ...T) []T {
	for _, m := range more {
		if m != "" && !slices.Contains(list, m) {
			list = append(list, m)
		}
	}
	slices.Sort(list)
	return list
}

// Notification is what an intermediary tells the competent authority before it begins (DGA article 11(6)), and with it how
// the log is checked: the key that a supervisor needs must come from there, and not from pages of ours.
type Notification struct {
	Made    time.Time `json:"made"`
	Items   []Item    `json:"items"`
	Missing int       `json:"missing"` // how many nobody has filled in
}

// Item is one thing that a notification says.
type Item struct {
	Point string `json:"point"` // "11(6)(a)"; "": it is not asked for by the article
	What  string `json:"what"`
	Value string `json:"value"` // "": to be filled in
}

// NewNotification writes the notification from the operator's profile. What the profile cannot say is left to people.
func NewNotification(o statement.Operator, fingerprint, logKey, witnessKey string, at time.Time) *Notification {
	n := &Notification{Made: at.UTC().Truncate(time.Second)}
	add := func(point, what, value string) {
		if value == "" {
			n.Missing++
		}
		n.Items = append(n.Items, Item{point, what, value})
	}
	var registers []string
	for _, r := range o.Registrations {
		registers = append(registers, r.Scheme+" "+r.Value)
	}
	add("11(6)(a)", "name of the data intermediation services provider", o.LegalName)
	add("11(6)(b)", "legal status, form, ownership structure, relevant subsidiaries", "")
	add("11(6)(b)", "registration number in a public register", strings.Join(registers, ", "))
	address := ""
	if a := o.Address; a != nil {
		address = strings.Join(slices.DeleteFunc([]string{a.Street, strings.TrimSpace(a.PostalCode + " " + a.Locality), a.Country}, func(s string) bool { return s == "" }), ", ")
	}
	add("11(6)(c)", "address of the main establishment in the Union, and of branches", address)
	contact, website := "", ""
	if c := o.Contact; c != nil {
		contact, website = strings.TrimSpace(c.Email+" "+c.Phone), c.URL
	}
	add("11(6)(d)", "public website with information on the provider and its activities", website)
	add("11(6)(e)", "contact persons and contact details", contact)
	add("11(6)(f)", "description of the service, and its category of article 10", "intermediation between data subjects that seek to make their personal data available and potential data users, article 10(b): persons see, grant and withdraw each consent; services read what was granted by OAuth 2.0 (FAPI 2.0); all of it is in a public, tamper-evident log")
	add("11(6)(g)", "estimated date of the beginning, where it is another than that of the notification", "")
	add("", "how you check the log without us: its key", logKey)
	add("", "the key with which we witness others' logs", witnessKey)
	add("", "SHA-256 of our identity key, by which our signed statement is recognised", fingerprint)
	return n
}

// Text is the notification for people to complete and send.
func (n *Notification) Text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "Notification of a data intermediation service, Regulation (EU) 2022/868 article 11\nwritten on %s\n\n", n.Made.Format(time.DateOnly))
	for _, i := range n.Items {
		value := i.Value
		if value == "" {
			value = "______________________________ (to be filled in)"
		}
		point := i.Point
		if point == "" {
			point = "besides"
		}
		fmt.Fprintf(&b, "%-9s %s:\n          %s\n", point, i.What, value)
	}
	fmt.Fprintf(&b, "\nEnter each later change in the register on the day on which it happens, which starts its clock:\n    passerelle audit matter open change \"…\"\n")
	return b.String()
}
