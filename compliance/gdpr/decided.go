package gdpr

import (
	"slices"
	"time"

	"github.com/passerelle-cloud/passerelle/consent"
	"github.com/passerelle-cloud/passerelle/formats"
)

// noticeShown: whoever relies on a consent can show that it was given, and to what.
func noticeShown(f consent.Facts) *consent.Refusal {
	if f.Step != consent.StepGrant || f.Notice != nil && f.Notice.SHA256 != "" && f.Notice.Language != "" && f.Notice.Version != "" {
		return nil
	}
	return refusal("notice-not-shown", "7(1)",
		"Nobody can prove what the person was shown.",
		"Rien ne prouve ce qui a été montré à la personne.", "")
}

// personKnown: and by whom.
func personKnown(f consent.Facts) *consent.Refusal {
	if f.Step != consent.StepGrant && f.Step != consent.StepRenew || f.Session != nil && f.Session.Method != "" {
		return nil
	}
	return refusal("person-not-known", "7(1)",
		"Nobody can prove that it was the person who decided.",
		"Rien ne prouve que c’est bien la personne qui a décidé.", "")
}

// endAsAsked: a person does not give more time than the service said that it needs. What they had given before, to which
// this is added, may last longer.
func endAsAsked(f consent.Facts) *consent.Refusal {
	if f.Step != consent.StepGrant {
		return nil
	}
	var latest time.Time
	if f.Consent != nil {
		latest = f.Consent.Expires
	}
	for _, d := range f.Asked {
		if d.Type == consent.InstanceMove {
			continue
		}
		if d.Expires.IsZero() {
			return nil // no end was asked for
		}
		if d.Expires.After(latest) {
			latest = d.Expires
		}
	}
	if !slices.ContainsFunc(f.Granted, func(d consent.Detail) bool { return d.Type != consent.InstanceMove && d.Expires.After(latest) }) {
		return nil
	}
	return refusal("end-later-than-asked", "5(1)(e)",
		"The access would last longer than the service asked for.",
		"L’accès durerait plus longtemps que ce que le service a demandé.", "")
}

// stillValid: a consent that has ended is the basis of nothing.
func stillValid(f consent.Facts) *consent.Refusal {
	if f.Step != consent.StepPermit || f.Consent != nil && f.Consent.State.Valid() && f.Now.Before(f.Consent.Expires) {
		return nil
	}
	return refusal("consent-not-valid", "6(1)(a)",
		"The consent is not valid any more.",
		"Le consentement n’est plus valable.",
		"Do not read any more on this consent; ask the person again with a new request.")
}

// insidePurpose: nothing outside of what was granted leaves. The facts hold one of the details that cover an access, which
// need not hold all of its datasets.
//
// How often a service reads is not judged here: an access may be one page of many that belong to the same reading, and
// the facts do not tell pages from readings.
func insidePurpose(f consent.Facts) *consent.Refusal {
	if f.Step != consent.StepPermit || f.Access != nil && covers(f.Access.Detail, f) {
		return nil
	}
	return refusal("outside-of-what-was-granted", "5(1)(b)",
		"This is not covered by what the person granted.",
		"Ceci n’est pas couvert par ce que la personne a accordé.",
		`Read only those "datasets", with those "actions", that were granted, until they expire; or ask the person for more with a new request.`)
}

func covers(d *consent.Detail, f consent.Facts) bool {
	if d != nil && f.Access.Action == consent.Carry { // article 20(2): straight to the controller that the person named
		return d.Type == consent.InstanceMove && d.Destination == f.Service.ID && f.Now.Before(d.Expires)
	}
	return d != nil && d.Type != consent.InstanceMove && slices.Contains(d.Actions, f.Access.Action) && f.Now.Before(d.Expires) &&
		slices.ContainsFunc(f.Access.Datasets, func(set formats.Dataset) bool { return slices.Contains(d.Datasets, set) })
}
