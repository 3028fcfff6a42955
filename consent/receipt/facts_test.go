package receipt

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"time"

	"pgregory.net/rapid"

	"github.com/passerelle-cloud/passerelle/consent"
	"github.com/passerelle-cloud/passerelle/formats"
)

var (
	decided = time.Date(2026, 3, 29, 0, 59, 59, 123456000, time.UTC)
	expires = time.Date(2027, 3, 29, 0, 0, 0, 0, time.UTC)
	states  = []consent.State{consent.Given, consent.Renewed, consent.Requested, consent.Refused, consent.Withdrawn, consent.Expired, consent.Invalidated, consent.Revoked}
)

const grant = "5f0c3a52-6c1f-4a3e-9d0b-0d7d2f1f9a11"

// details has one of each kind.
var details = map[consent.Kind]consent.Detail{
	consent.PersonalData: {
		Type: consent.PersonalData, Datasets: []formats.Dataset{formats.Contacts, formats.Health, formats.Calendar}, Optional: []formats.Dataset{formats.Calendar},
		Fields: map[formats.Dataset][]string{formats.Contacts: {"name", "emails"}}, From: "2025-01-01", Actions: []consent.Action{consent.Read, consent.Subscribe},
		Purpose:   consent.Purpose{IRI: "https://w3id.org/dpv#ServiceProvision", Text: map[string]string{"en": "To send your invitations", "fr": "Envoyer vos invitations"}},
		Retention: "P30D", Frequency: "P1D", Expires: expires, Recipients: []consent.Recipient{{Name: "Postes & Fils <SA>", Country: "FR"}},
		ThirdCountry: &consent.ThirdCountry{Countries: []string{"US"}, Safeguard: "standard contractual clauses"},
	},
	consent.AccountInformation: {
		Type: consent.AccountInformation, Datasets: []formats.Dataset{formats.Bank}, Accounts: []string{"acc-1"}, Actions: []consent.Action{consent.Read},
		Purpose: consent.Purpose{Text: map[string]string{"en": "To show your accounts together"}}, Retention: "P90D", Frequency: "PT6H", Expires: expires,
		NoRecipients: true, ThirdCountry: &consent.ThirdCountry{},
	},
	consent.InstanceMove: {
		Type: consent.InstanceMove, Actions: []consent.Action{consent.Read}, Destination: "https://other-operator.example", Frequency: "once", Retention: "P1Y", Expires: expires,
		Purpose: consent.Purpose{Text: map[string]string{"en": "To move your instance"}}, NoRecipients: true, ThirdCountry: &consent.ThirdCountry{},
	},
	consent.Answer: {
		Type: consent.Answer, Questions: []consent.Question{consent.ReimbursementsOverdue}, Datasets: []formats.Dataset{formats.Health}, Actions: []consent.Action{consent.Compute},
		Purpose: consent.Purpose{Text: map[string]string{"en": "To remind you of what you are owed"}}, Retention: "P30D", Frequency: "P1D", Expires: expires,
		NoRecipients: true, ThirdCountry: &consent.ThirdCountry{},
	},
}

// facts are those of a first revision that gave some details.
func facts(list ...consent.Detail) Facts {
	content := []byte("<p>May Example Invitations read your contacts?</p>")
	sum := sha256.Sum256(content)
	notice := consent.Notice{Request: "r", Hash: hex.EncodeToString(sum[:]), Language: "en", Version: "2026.1", Shown: decided.Add(-time.Minute), Content: content}
	return Facts{
		Operator: Operator{
			ID: "operator.example", LegalName: "Operator SAS", Country: "FR", Address: "1 rue des Exemples, 75000 Paris, FR", Contact: "dpo@operator.example",
			Registrations: []consent.Registration{{Scheme: "SIREN", Value: "732829320"}},
			Supervisor:    &Authority{Name: "Commission nationale", Country: "FR", URL: "https://authority.example"},
		},
		Service: consent.Service{
			ID: "invitations", Name: "Example Invitations", LegalName: "Invitations SARL", Country: "BE", Address: "2 rue du Test, 1000 Bruxelles", Contact: "privacy@invitations.example",
			Registrations: []consent.Registration{{Scheme: "EUID", Value: "BE0123"}}, Notices: map[string]string{"en": "https://invitations.example/privacy", "fr": "https://invitations.example/vie-privee"},
		},
		Subject: Subject{ID: "p-7hQ2"},
		Consent: consent.Consent{ID: grant, Person: "alice", Service: "invitations", State: consent.Given, Revision: 1, Expires: expires},
		Revisions: []consent.Revision{{Consent: grant, Number: 1, State: consent.Given, Details: list, Request: "r", Notice: notice.Hash, Language: "en", Method: "password",
			At: decided, Expires: expires, Packs: []string{"gdpr@2018-05-25 00", "dga@2023-09-24 00"}}},
		Notices: []consent.Notice{notice}, Control: "https://operator.example/consents/" + grant, For: ForPerson,
	}
}

// then adds a revision that rests on the notice before.
func (f Facts) then(state consent.State, method, reason string) Facts {
	last := f.Revisions[len(f.Revisions)-1]
	last.Number++
	last.State, last.Method, last.Reason, last.Notice, last.Language, last.At = state, method, reason, "", "", last.At.Add(time.Hour)
	f.Revisions = append(f.Revisions[:len(f.Revisions):len(f.Revisions)], last)
	f.Consent.State = state
	return f
}

// anyFacts draws facts of every shape that a consent may have.
var anyFacts = rapid.Custom(func(t *rapid.T) Facts {
	kinds := consent.Kinds()
	f := facts(rapid.SliceOfN(rapid.Custom(func(t *rapid.T) consent.Detail { return anyDetail(t, rapid.SampledFrom(kinds).Draw(t, "kind")) }), 1, 3).Draw(t, "details")...)
	f.Subject = Subject{ID: rapid.SampledFrom([]string{"p", "π", `"<&>"`}).Draw(t, "subject"), Name: rapid.String().Draw(t, "name")}
	f.For = rapid.SampledFrom([]Party{ForPerson, ForService, ForOperator}).Draw(t, "for")
	f.Revisions[0].Number = rapid.IntRange(1, 9).Draw(t, "number")
	f.Revisions[0].State = rapid.SampledFrom(states).Draw(t, "state")
	f.Revisions[0].Packs = rapid.SampledFrom([][]string{nil, {"gdpr@1"}, {"psd2@2023-07-25 ab", "dga@1"}, {"dataact@x"}}).Draw(t, "packs")
	f.Revisions[0].At = decided.Add(time.Duration(rapid.Int64Range(0, 1e15).Draw(t, "at"))).In(time.FixedZone("", 3600))
	if rapid.Bool().Draw(t, "unsupervised") {
		f.Operator.Supervisor, f.Operator.Country, f.Operator.Address = nil, "", ""
	}
	for range rapid.IntRange(0, 2).Draw(t, "more") {
		f = f.then(rapid.SampledFrom(states).Draw(t, "then"), rapid.SampledFrom([]string{"password", "service", "operator", "time", ""}).Draw(t, "method"), rapid.String().Draw(t, "reason"))
	}
	return f
})

func anyDetail(t *rapid.T, kind consent.Kind) consent.Detail {
	d := details[kind]
	if kind == consent.PersonalData {
		d.Datasets = rapid.SliceOfNDistinct(rapid.SampledFrom(formats.Datasets()), 1, 5, rapid.ID).Draw(t, "datasets")
		d.Optional = d.Datasets[:rapid.IntRange(0, len(d.Datasets)).Draw(t, "optional")]
		d.Fields = map[formats.Dataset][]string{d.Datasets[0]: {"name"}}
	}
	d.Purpose.Text = map[string]string{"en": rapid.String().Draw(t, "words"), "fr-CA": "é\u2028<&>"}
	d.Retention = rapid.SampledFrom([]string{"", "P30D"}).Draw(t, "retention")
	d.Frequency = rapid.SampledFrom([]string{"", "once", "continuous", "P1D"}).Draw(t, "frequency")
	d.Expires = rapid.SampledFrom([]time.Time{{}, expires}).Draw(t, "expires")
	d.To = rapid.SampledFrom([]string{"", "2026-01-01"}).Draw(t, "to")
	d.ThirdCountry = rapid.SampledFrom([]*consent.ThirdCountry{nil, {}, {Countries: []string{"US", "IN"}, Safeguard: "contracts"}}).Draw(t, "third country")
	for i := range rapid.IntRange(0, 2).Draw(t, "recipients") {
		d.Recipients = append(d.Recipients[:i:i], consent.Recipient{Name: fmt.Sprint("r", i), Country: "DE"})
	}
	return d
}
