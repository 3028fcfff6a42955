package receipt

import (
	"maps"
	"slices"
	"time"

	"github.com/passerelle-cloud/passerelle/consent"
	"github.com/passerelle-cloud/passerelle/formats"
)

// records makes the records of one revision: what is consent, and what is the exercise of a right.
func (b *builder) records(rev *consent.Revision) []Record {
	var consents, moves []consent.Detail
	for _, d := range rev.Details {
		if d.Type == consent.InstanceMove {
			moves = append(moves, d)
		} else {
			consents = append(consents, d)
		}
	}
	var out []Record
	if len(consents) > 0 {
		out = append(out, b.consentRecord(rev, consents))
	}
	if len(moves) > 0 {
		out = append(out, b.rightRecord(rev, moves))
	}
	return out
}

// record makes what both kinds of records have.
func (b *builder) record(rev *consent.Revision, class string) Record {
	id := b.name("record", class, rev.Number)
	r := Record{
		ID: urn(id), Type: class, Identifier: id, VersionOf: urn(b.grant.String()), Version: rev.Number, DataSubject: b.subject(),
		Jurisdiction: b.jurisdiction(), ApplicableLaw: lawsOf(rev.Packs), Authorities: b.authorities(),
	}
	if rev.Number > 1 && b.hadBefore(rev, class) {
		r.Replaces = urn(b.name("record", class, rev.Number-1))
	}
	return r
}

// hadBefore reports whether the revision before has a record of a class; where that revision is not among the facts, it
// is taken to be like this one.
func (b *builder) hadBefore(rev *consent.Revision, class string) bool {
	for i := range b.Revisions {
		if before := &b.Revisions[i]; before.Number == rev.Number-1 {
			return slices.ContainsFunc(before.Details, func(d consent.Detail) bool { return (d.Type == consent.InstanceMove) == (class == rightRecord) })
		}
	}
	return true
}

// consentRecord makes the record of consent, ISO/IEC TS 27560 clause 6.
func (b *builder) consentRecord(rev *consent.Revision, details []consent.Detail) Record {
	r := b.record(rev, consentRecord)
	r.ConformsTo = recordProfiles
	r.Notice = b.notice(rev, "dpv:ConsentNotice")
	r.Controllers = []Entity{b.client(rev.Packs, "dpv:DataController")}
	r.Entities = []Entity{b.operator(rev.Packs)}
	r.Controls = []Control{{Types: []string{"dpv:WithdrawConsent"}, At: b.Control}}
	for i := range details {
		r.Processes = append(r.Processes, b.processes(&details[i])...)
	}
	r.ConsentStatus = b.statuses(rev)
	contact := mailto(b.Facts.Service.Contact)
	if slices.ContainsFunc(r.Processes, func(p Process) bool { return slices.Contains(p.LegalBasis, onConsent) }) {
		r.Rights = []Right{{Types: []string{"eu-gdpr:A7-3"}, At: b.Control}}
	}
	r.Rights = append(r.Rights, b.rights(contact)...)
	return r
}

// rightRecord makes the record of an authorisation to move, which is no consent: the person exercises the right to data
// portability (GDPR article 20) towards the operator, who has to answer for the data until they are handed over. The
// form is that of DPV's guide to rights (https://w3id.org/dpv/guides/rights).
func (b *builder) rightRecord(rev *consent.Revision, moves []consent.Detail) Record {
	r := b.record(rev, rightRecord)
	r.Notice = b.notice(rev, rightNotice)
	controller := b.operator(rev.Packs)
	controller.Types = append([]string{"dpv:DataController"}, controller.Types...)
	r.Controllers = []Entity{controller}
	r.Entities = []Entity{b.client(rev.Packs, "dpv:LegalEntity")}
	r.ActivityStatus = activityStatus(rev.State)
	if b.lapsed(rev) {
		r.ActivityStatus = activityStatus(consent.Expired)
	}
	r.Rights = b.rights(mailto(b.Operator.Contact))
	a := Activity{ID: r.ID + "#authorisation", Type: rightActivity, Rights: []Right{{Types: []string{"eu-gdpr:A20"}, At: b.Control}}, Status: activityStatus(rev.State),
		Created: rev.At.UTC(), DataSubject: PageLink{b.person}, By: b.by(rev), Method: rev.Method, Reason: rev.Reason}
	for i := range moves {
		a.Processes = append(a.Processes, b.move(&moves[i]))
	}
	r.Activities = []Activity{a}
	return r
}

func (b *builder) jurisdiction() []string {
	var out []string
	for _, country := range []string{b.Facts.Service.Country, b.Operator.Country} {
		if c := at(country); c != "" && !slices.Contains(out, c) {
			out = append(out, c)
		}
	}
	return append(out, "loc:EU")
}

// rights are those that the person has besides that to withdraw. A13 needs no exercise; where it was met is said. A
// complaint goes to any data protection authority; whether the operator's supervisor is one is not known.
func (b *builder) rights(contact string) []Right {
	return []Right{
		{Types: []string{"eu-gdpr:A13"}, At: b.policy("")},
		{Types: []string{"eu-gdpr:A15"}, At: contact},
		{Types: []string{"eu-gdpr:A17"}, At: contact},
		{Types: []string{"eu-gdpr:A20"}, At: contact},
		{Types: []string{"eu-gdpr:A77"}},
	}
}

// policy is the URL of the service's privacy notice in a language, or else in the first one that there is.
func (b *builder) policy(language string) string {
	notices := b.Facts.Service.Notices
	if url := notices[language]; url != "" {
		return url
	}
	for _, l := range slices.Sorted(maps.Keys(notices)) {
		return notices[l]
	}
	return ""
}

// notice describes what the person was shown before they decided, or before the decision that this one rests on.
func (b *builder) notice(rev *consent.Revision, class string) []Notice {
	n := b.shown(rev)
	if n == nil {
		return nil
	}
	out := Notice{ID: urn(b.grant.String()) + "#notice-" + n.Hash, Types: []string{class}, Identifier: "sha256:" + n.Hash, Language: n.Language,
		Date: n.Shown.UTC(), Version: n.Version}
	if !rev.Expires.IsZero() {
		out.Coverage = stamp(n.Shown) + "/" + stamp(rev.Expires)
	}
	if url := b.policy(n.Language); url != "" {
		out.Pages = []PageLink{{url}}
	}
	return []Notice{out}
}

func (b *builder) shown(rev *consent.Revision) *consent.Notice {
	var last *consent.Notice
	for i := range b.Notices {
		n := &b.Notices[i]
		if rev.Notice != "" {
			if n.Hash == rev.Notice {
				return n
			}
		} else if !n.Shown.After(rev.At) && (last == nil || n.Shown.After(last.Shown)) {
			last = n
		}
	}
	return last
}

// statuses say how the consent stood after a revision, and what time has made of it.
func (b *builder) statuses(rev *consent.Revision) []Status {
	out := []Status{b.status(rev)}
	if b.lapsed(rev) {
		out = append(out, b.status(&consent.Revision{State: consent.Expired, At: b.Consent.Expires, Method: "time"}))
	}
	return out
}

func (b *builder) status(rev *consent.Revision) Status {
	s := Status{Types: []string{"dpv:" + string(rev.State)}, At: rev.At.UTC(), By: b.by(rev), Method: rev.Method, Reason: rev.Reason}
	switch rev.State {
	case consent.Given, consent.Renewed, consent.Requested:
		s.Duration = until(rev.Expires)
	case consent.Expired: // it may be renewed
		s.Duration = []Amount{{Types: []string{indeterminate}}}
	default:
		s.Duration = []Amount{{Types: []string{endless}}}
	}
	return s
}

// by says whose act a revision was.
func (b *builder) by(rev *consent.Revision) string {
	switch {
	case rev.Method == "service":
		return b.service
	case rev.Method == "operator" || rev.Method == "time":
		return b.host
	}
	switch rev.State {
	case consent.Requested:
		return b.service
	case consent.Expired, consent.Invalidated, consent.Revoked:
		return b.host
	default:
		return b.person
	}
}

func until(t time.Time) []Amount {
	if t.IsZero() {
		return []Amount{{Types: []string{indeterminate}}}
	}
	return []Amount{{Types: []string{untilTime}, Value: stamp(t)}}
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// processes makes one process for each part of a detail that differs in necessity or in legal basis.
func (b *builder) processes(d *consent.Detail) []Process {
	type kind struct{ optional, special bool }
	parts := map[kind][]formats.Dataset{}
	var order []kind
	for _, set := range d.Datasets {
		k := kind{slices.Contains(d.Optional, set), special(set)}
		if parts[k] == nil {
			order = append(order, k)
		}
		parts[k] = append(parts[k], set)
	}
	var out []Process
	for _, k := range order {
		p := b.process(d)
		p.Necessity = []string{"dpv:Required"}
		if k.optional {
			p.Necessity = []string{"dpv:Optional"}
		}
		p.LegalBasis = basis(d, k.special)
		for _, set := range parts[k] {
			p.PersonalData = append(p.PersonalData, data(d, set))
		}
		out = append(out, p)
	}
	return out
}

// basis is the legal basis: consent, for health data explicitly (GDPR article 9(2)(a)). The explicit consent of PSD2
// article 67 is an element of a contract (EDPB Guidelines 06/2020, section 3), unless the request names the GDPR's own
// rules.
func basis(d *consent.Detail, special bool) []string {
	if d.Type == consent.AccountInformation && d.Regime != "gdpr" && !governed([]string{d.Regime}, "gdpr") {
		return []string{"eu-gdpr:A6-1-b", "eu-psd2:A67-2-a"}
	}
	if special {
		return []string{onConsent, "eu-gdpr:A9-2-a"}
	}
	return []string{onConsent}
}

// onConsent is the legal basis of GDPR article 6(1)(a).
const onConsent = "eu-gdpr:A6-1-a"

// process makes what all processes of a detail have.
func (b *builder) process(d *consent.Detail) Process {
	p := Process{
		Type: process, Purposes: []Purpose{purpose(d)}, Frequency: frequency(d.Frequency), DataSource: []string{b.host}, Storage: storage(d.Retention),
		Location: locations(d.ThirdCountry), Recipients: []Entity{{ID: b.service}},
		Service: []Entity{{Types: []string{"dpv:Service"}, Name: b.Facts.Service.Name, Identifier: []string{b.Facts.Service.ID}}},
	}
	for _, a := range d.Actions {
		p.Processing = append(p.Processing, processing[a])
	}
	if !d.Expires.IsZero() {
		p.Duration = until(d.Expires)
	}
	for _, r := range d.Recipients {
		p.Recipients = append(p.Recipients, Entity{Types: []string{"dpv:Recipient"}, Name: r.Name, Country: at(r.Country)})
	}
	return p
}

// move makes the process of moving an instance to another operator.
func (b *builder) move(d *consent.Detail) Process {
	p := b.process(d)
	p.Processing = []string{"dpv:Transfer"}
	if d.Purpose.IRI == "" {
		p.Purposes[0].Types = []string{"dpv:RightsFulfilment"}
	}
	p.Recipients = append([]Entity{{Types: []string{"dpv:Recipient"}, Name: d.Destination, Identifier: []string{d.Destination}}}, p.Recipients[1:]...)
	for _, set := range formats.Datasets() {
		p.PersonalData = append(p.PersonalData, data(d, set))
	}
	return p
}

func purpose(d *consent.Detail) Purpose {
	out := Purpose{Types: []string{"dpv:Purpose"}}
	switch {
	case d.Purpose.IRI != "":
		out.Types = []string{compact(d.Purpose.IRI)}
	case d.Type == consent.AccountInformation:
		out.Types = []string{"eu-psd2:AccountInformation"}
	}
	for _, l := range slices.Sorted(maps.Keys(d.Purpose.Text)) {
		out.Text = append(out.Text, Text{l, d.Purpose.Text[l]})
	}
	return out
}

func data(d *consent.Detail, set formats.Dataset) PersonalData {
	out := PersonalData{Types: categories[set], Identifier: string(set)}
	if out.Types == nil {
		out.Types = categories[formats.Other]
	}
	if d.From != "" || d.To != "" {
		out.Temporal = open(d.From) + "/" + open(d.To)
	}
	if set == formats.Bank {
		out.Scope = named(d.Accounts)
	}
	out.Parts = named(d.Fields[set])
	for _, q := range d.Questions { // of an answer nothing else of the data is given
		out.Parts = append(out.Parts, Part{string(q)})
	}
	return out
}

func open(day string) string {
	if day == "" {
		return ".."
	}
	return day
}

func named(ids []string) []Part {
	var out []Part
	for _, id := range ids {
		out = append(out, Part{id})
	}
	return out
}

func storage(retention string) []Storage {
	d := Amount{Types: []string{temporal}, Value: retention}
	if retention == "" {
		d = Amount{Types: []string{indeterminate}}
	}
	return []Storage{{Types: []string{"dpv:StorageDuration"}, Duration: []Amount{d}}}
}

func frequency(f string) []Amount {
	switch f {
	case "":
		return nil
	case "once":
		return []Amount{{Types: []string{"dpv:SingularFrequency"}}}
	case "continuous":
		return []Amount{{Types: []string{"dpv:ContinuousFrequency"}}}
	default:
		return []Amount{{Types: []string{"dpv:Frequency"}, Value: f}}
	}
}

func locations(t *consent.ThirdCountry) []Location {
	if t == nil {
		return nil
	}
	if len(t.Countries) == 0 {
		return []Location{{ID: "loc:EEA"}}
	}
	var out []Location
	for _, c := range t.Countries {
		out = append(out, Location{Types: []string{"dpv:ThirdCountry"}, Country: at(c),
			Measures: []Measure{{Types: []string{"dpv:SafeguardForDataTransfer"}, Text: t.Safeguard}}})
	}
	return out
}
