package receipt

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/passerelle-cloud/passerelle/consent"
	"github.com/passerelle-cloud/passerelle/formats"
)

// Facts are what a receipt is made from. The same facts make the same bytes.
type Facts struct {
	Operator Operator
	Service  consent.Service
	Subject  Subject
	// Consent is the one that the receipt is about. If it has expired since its last revision, the receipt says that too.
	Consent consent.Consent
	// Revisions are those that the receipt is about, oldest first; each becomes a record of its own, or two, where one
	// decision both gave consent and exercised a right.
	Revisions []consent.Revision
	// Notices are what the person was shown; a revision that needed no notice of its own (a renewal, a withdrawal) rests
	// on the last one before.
	Notices []consent.Notice
	// Control is the URL of the page where the person sees and withdraws consents.
	Control string
	// For says whose copy it is.
	For Party
	// Created is when the receipt is made; zero stands for when the last of the revisions was.
	Created time.Time
}

// Party is who keeps a copy.
type Party string

// The parties.
const (
	ForPerson   Party = "person"
	ForService  Party = "service"
	ForOperator Party = "operator"
)

// Operator is who runs the gateway and issues receipts.
type Operator struct {
	ID            string // a DNS name or an https origin
	LegalName     string
	Country       string // ISO 3166-1 alpha-2
	Address       string // in one line
	Contact       string // email address
	Registrations []consent.Registration
	Supervisor    *Authority // nil if it has none
}

// Authority is a public body that supervises an operator.
type Authority struct {
	Name    string
	Country string
	URL     string
}

// Subject is the person, as the keeper of the copy knows them.
type Subject struct {
	ID   string // a pseudonym, pairwise where the copy is the service's
	Name string // "" if the copy is not to hold it; the pseudonym then stands for it
}

// New makes a receipt. The error wraps [ErrIncomplete] and names everything mandatory that is missing.
func New(f Facts) (Receipt, error) {
	b, err := f.builder()
	if err != nil {
		return Receipt{}, err
	}
	last := f.Revisions[len(f.Revisions)-1]
	id := b.name("receipt", string(f.For), last.Number)
	if b.lapsed(&last) {
		id = b.name("receipt of expiry", string(f.For), last.Number)
	}
	r := Receipt{
		Context: inlineContext, ID: urn(id), Type: rightNotice, Identifier: id, Also: id, Created: f.Created.UTC(),
		Publisher: b.operator(last.Packs), Recipient: map[Party]string{ForPerson: b.person, ForService: b.service, ForOperator: b.host}[f.For],
	}
	if f.Created.IsZero() {
		r.Created = last.At.UTC()
		if b.lapsed(&last) {
			r.Created = f.Consent.Expires.UTC()
		}
	}
	if first := f.Revisions[0].Number; first > 1 {
		r.Replaces = urn(b.name("receipt", string(f.For), first-1))
	}
	for i := range f.Revisions {
		r.Records = append(r.Records, b.records(&f.Revisions[i])...)
	}
	if slices.ContainsFunc(r.Records, func(r Record) bool { return r.Type == consentRecord }) {
		r.Type, r.ConformsTo = consentReceipt, receiptProfiles
	}
	return r, r.check()
}

// builder makes the parts of a receipt. Its strings are the @ids of those who take part.
type builder struct {
	*Facts
	grant                 uuid.UUID
	person, service, host string
}

func (f *Facts) builder() (*builder, error) {
	grant, err := uuid.Parse(f.Consent.ID)
	var faults []string
	if err != nil {
		faults = append(faults, fmt.Sprintf("the consent's id %.60q is not a UUID", f.Consent.ID))
	}
	if !slices.Contains([]Party{ForPerson, ForService, ForOperator}, f.For) {
		faults = append(faults, fmt.Sprintf("whose copy it is: %.40q", f.For))
	}
	if f.Operator.ID == "" || f.Operator.LegalName == "" {
		faults = append(faults, "who the operator is")
	}
	if len(f.Revisions) == 0 {
		faults = append(faults, "a revision")
	}
	for _, r := range f.Revisions {
		if r.Consent != f.Consent.ID || r.Number < 1 {
			faults = append(faults, fmt.Sprintf("revision %d is of the consent %.60q", r.Number, r.Consent))
		}
		if len(r.Details) == 0 {
			faults = append(faults, fmt.Sprintf("revision %d says nothing", r.Number))
		}
	}
	for i := range f.Notices {
		if n := &f.Notices[i]; n.Content != nil && formats.HashOf(n.Content).String() != n.Hash {
			faults = append(faults, "a notice is not what its hash says")
		}
	}
	if len(faults) > 0 {
		return nil, fmt.Errorf("%w: %s", ErrIncomplete, strings.Join(faults, "; "))
	}
	host := f.Operator.ID
	if !strings.HasPrefix(host, "https://") {
		host = "https://" + host
	}
	base := urn(grant.String())
	return &builder{Facts: f, grant: grant, person: base + "#person", service: base + "#service", host: host}, nil
}

// name gives a thing that belongs to a revision an id that anybody who knows the grant's can compute (RFC 9562 section 5.5).
func (b *builder) name(what, whose string, revision int) string {
	return uuid.NewSHA1(b.grant, []byte(what+" "+whose+" "+strconv.Itoa(revision))).String()
}

// lapsed reports whether time alone has ended a consent that a revision gave: no revision says so.
func (b *builder) lapsed(rev *consent.Revision) bool {
	return b.Consent.State == consent.Expired && rev.State.Valid() && rev.Number == b.Revisions[len(b.Revisions)-1].Number
}

func urn(id string) string { return "urn:uuid:" + id }

func (b *builder) subject() Entity {
	name := b.Subject.Name
	if name == "" {
		name = b.Subject.ID
	}
	return Entity{ID: b.person, Types: []string{"dpv:DataSubject"}, Name: name, Identifier: []string{b.Subject.ID}}
}

func (b *builder) operator(packs []string) Entity {
	o := &b.Operator
	e := Entity{ID: b.host, Types: []string{"dpv:LegalEntity"}, Name: o.LegalName, Identifier: identifiers(o.Registrations, o.ID),
		Contact: mailto(o.Contact), Address: o.Address, Country: at(o.Country)}
	if governed(packs, dga) {
		e.Types = append(e.Types, "eu-dga:DISPForDataSubject")
	}
	return e
}

func (b *builder) client(packs []string, types ...string) Entity {
	s := &b.Facts.Service
	e := Entity{ID: b.service, Types: types, Name: s.LegalName, Identifier: identifiers(s.Registrations, s.ID),
		Contact: mailto(s.Contact), Address: s.Address, Country: at(s.Country), Page: s.URL}
	if governed(packs, dga) {
		e.Types = append(e.Types, "eu-dga:DataUser")
	}
	return e
}

func (b *builder) authorities() []Entity {
	a := b.Operator.Supervisor
	if a == nil {
		return nil
	}
	return []Entity{{Types: []string{"dpv:Authority"}, Name: a.Name, Country: at(a.Country), Page: a.URL}}
}

func identifiers(regs []consent.Registration, id string) []string {
	var out []string
	for _, r := range regs {
		out = append(out, r.Scheme+":"+r.Value)
	}
	return append(out, id)
}

func mailto(address string) string {
	if address == "" {
		return ""
	}
	return "mailto:" + address
}

// check names every mandatory member that is missing, in an error that wraps [ErrIncomplete].
func (r *Receipt) check() error {
	var m missing
	m.unless(slices.ContainsFunc(contexts, func(c json.RawMessage) bool { return bytes.Equal(c, r.Context) }), "@context")
	m.unless(r.ID != "" && r.Identifier != "" && r.Also == r.Identifier, "dct:identifier")
	m.unless(r.Type == rightNotice || r.Type == consentReceipt, "@type")
	m.unless(r.Type == rightNotice || len(r.ConformsTo) > 0, "dct:conformsTo")
	m.time(r.Created, "dct:created")
	m.unless(r.Publisher.Name != "", "dct:publisher")
	m.unless(r.Recipient != "", "schema:recipient")
	m.unless(len(r.Records) > 0, "dpv:hasRecordOfActivity")
	for i := range r.Records {
		m.in = fmt.Sprintf("record %d: ", i+1)
		r.Records[i].check(&m)
	}
	return m.err()
}

func (r *Record) check(m *missing) {
	m.unless(r.ID != "" && r.Identifier != "" && r.VersionOf != "" && r.Version > 0, "dct:identifier")
	m.unless(r.DataSubject.Name != "" && len(r.DataSubject.Identifier) > 0 && r.DataSubject.Identifier[0] != "", "dpv:hasDataSubject")
	m.unless(len(r.Jurisdiction) > 0, "dpv:hasJurisdiction")
	m.unless(len(r.Notice) > 0, "dpv:hasNotice")
	for i := range r.Notice {
		m.unless(r.Notice[i].Language != "" && r.Notice[i].Identifier != "", "dct:language of the notice")
		m.time(r.Notice[i].Date, "dct:date of the notice")
	}
	m.unless(len(r.Rights) > 0, "dpv:hasRight")
	m.unless(len(r.Controllers) > 0 && r.Controllers[0].Name != "" && len(r.Controllers[0].Identifier) > 0, "dpv:hasDataController")
	switch r.Type {
	case consentRecord:
		r.checkConsent(m)
	case rightRecord:
		m.unless(len(r.Activities) > 0, "dct:hasPart")
		for i := range r.Activities {
			m.unless(len(r.Activities[i].Status) > 0, "dpv:hasStatus")
			m.time(r.Activities[i].Created, "dct:created of an activity")
			checkProcesses(m, r.Activities[i].Processes)
		}
	default:
		m.unless(false, "@type")
	}
}

func (r *Record) checkConsent(m *missing) {
	m.unless(len(r.ConformsTo) > 0, "dct:conformsTo")
	m.unless(len(r.Controllers) > 0 && r.Controllers[0].Contact != "" && r.Controllers[0].Address != "", "dpv:hasContact and dpv:hasAddress of the controller")
	m.unless(len(r.Controls) > 0 && r.Controls[0].At != "", "dpv:hasConsentControl")
	m.unless(len(r.ConsentStatus) > 0, "dpv:hasConsentStatus")
	for i := range r.ConsentStatus {
		s := &r.ConsentStatus[i]
		m.unless(len(s.Types) > 0 && len(s.Duration) > 0 && s.By != "", "dpv:hasConsentStatus")
		m.time(s.At, "dpv:isIndicatedAtTime")
	}
	checkProcesses(m, r.Processes)
}

func checkProcesses(m *missing, list []Process) {
	m.unless(len(list) > 0, "dpv:hasProcess")
	for i := range list {
		p := &list[i]
		m.unless(len(p.Purposes) > 0, "dpv:hasPurpose")
		m.unless(len(p.PersonalData) > 0, "dpv:hasPersonalData")
		m.unless(len(p.Storage) > 0, "dpv:hasStorageCondition")
		m.unless(len(p.Recipients) > 0, "dpv:hasRecipient")
	}
}

// missing collects what is missing.
type missing struct {
	in    string
	names []string
}

func (m *missing) unless(there bool, name string) {
	if name = m.in + name; !there && !slices.Contains(m.names, name) {
		m.names = append(m.names, name)
	}
}

func (m *missing) time(t time.Time, name string) {
	m.unless(!t.IsZero() && t.Location() == time.UTC, name+" in UTC")
}

func (m *missing) err() error {
	if len(m.names) == 0 {
		return nil
	}
	return fmt.Errorf("%w: it lacks %s", ErrIncomplete, strings.Join(m.names, ", "))
}
