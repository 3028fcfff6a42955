// Package dga is what Regulation (EU) 2022/868 wants of a data intermediation service between persons and services
// (article 10(b)), as far as it shows in what is asked, decided and read. It adds to the GDPR's baseline, and applies to
// operators whose declared role is to intermediate. compliance/README.md says what of article 12 is kept elsewhere.
//
// It must never know a database, a network or the clock: all it may look at are the facts.
package dga

import (
	_ "embed"
	"slices"
	"time"

	"github.com/passerelle-cloud/passerelle/consent"
)

//go:embed dga.go
var source string

// Role is the role of an operator to which the pack applies.
const Role = "intermediary"

// Pack returns dga@2023-09-24: the day from which the regulation applies (article 38).
func Pack() consent.Pack {
	return consent.Pack{
		Name: "dga", Version: "2023-09-24", From: time.Date(2023, 9, 24, 0, 0, 0, 0, time.UTC), Source: []byte(source),
		Rules: []consent.Rule{neutral, toolApproved, advised, jurisdictionNamed},
	}
}

func refusal(code, article, en, fr, advice string) *consent.Refusal {
	return &consent.Refusal{Code: code, Citation: consent.Citation{Law: "DGA", Article: article}, Text: map[string]string{"en": en, "fr": fr}, Advice: advice}
}

// neutral: who intermediates uses the data for nothing else, and does so as a legal person of its own. A service of the
// very same legal person is refused, whatever name it goes by: its entry in a register gives it away.
func neutral(f consent.Facts) *consent.Refusal {
	own := f.Service.ID == f.Operator.ID && f.Operator.ID != "" || slices.ContainsFunc(f.Service.Registration, func(r string) bool { return slices.Contains(f.Operator.Registration, r) })
	if !own {
		return nil
	}
	return refusal("operator-is-service", "12(a)",
		"Whoever keeps this gateway must not use the data itself, and this service belongs to the same company.",
		"Celui qui tient cette passerelle ne doit pas utiliser lui-même les données, et ce service appartient à la même société.",
		"Offer the service through a legal person of its own, with a registration of its own, and register it again.")
}

// toolApproved: data are worked on here, beyond exchanging them, only at the person's explicit request or approval.
func toolApproved(f consent.Facts) *consent.Refusal {
	if f.Step != consent.StepPermit || f.Access == nil || f.Access.Action != consent.Compute || f.Access.Detail != nil && slices.Contains(f.Access.Detail.Actions, consent.Compute) {
		return nil
	}
	return refusal("tool-not-approved", "12(e)",
		"The person has not approved that an answer is computed from their data here.",
		"La personne n’a pas approuvé qu’une réponse soit calculée ici à partir de ses données.",
		`Ask for it: "actions": ["compute"].`)
}

// advised: before a person consents they are informed and advised. The advice is on the page of which the notice is.
func advised(f consent.Facts) *consent.Refusal {
	if f.Step != consent.StepGrant && f.Step != consent.StepRenew || f.Notice != nil && f.Notice.SHA256 != "" {
		return nil
	}
	return refusal("advice-not-shown", "12(m)",
		"Nothing shows that the person was advised before they decided.",
		"Rien ne montre que la personne a été conseillée avant de décider.", "")
}

// jurisdictionNamed: where a consent is obtained with our tools, the third countries are named in which the data are to be
// used. That there are none is said, too.
func jurisdictionNamed(f consent.Facts) *consent.Refusal {
	if f.Step != consent.StepAsk || !slices.ContainsFunc(f.Asked, func(d consent.Detail) bool { return d.Type != consent.InstanceMove && d.ThirdCountry == nil }) {
		return nil
	}
	return refusal("third-country-not-named", "12(n)",
		"The service does not say in which countries outside Europe the data would be used.",
		"Le service ne dit pas dans quels pays hors d’Europe les données seraient utilisées.",
		`Add "third_country": "none", or {"countries": ["US"], "safeguard": "…"}.`)
}
