// Package gdpr is the baseline under every request: what Regulation (EU) 2016/679 wants of a consent, as far as software
// can tell. It is a pack of pure functions, each with the article that it is for.
//
// It must never know a database, a network or the clock: all it may look at are the facts.
package gdpr

import (
	_ "embed"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/passerelle-cloud/passerelle/consent"
	"github.com/passerelle-cloud/passerelle/formats"
)

//go:embed gdpr.go
var source []byte

// Pack returns gdpr@2018-05-25.
func Pack() consent.Pack {
	return consent.Pack{Name: "gdpr", Version: "2018-05-25", From: time.Date(2018, 5, 25, 0, 0, 0, 0, time.UTC), Source: source, Rules: []consent.Rule{
		asked(purposeNamed), asked(purposeRegistered), asked(purposeInWords), asked(retentionStated), asked(retentionBounded), asked(recipientsStated),
		asked(thirdCountryStated), asked(endStated), asked(endBounded), asked(notEverything), asked(frequencyStated), privacyNotice,
		noticeShown, personKnown, stillValid, insidePurpose,
	}}
}

// What is asked may last as long, and be kept as long, at the most.
const (
	longest  = 2 * 366 * 24 * time.Hour // a consent; then the person is asked again
	keptMost = 10 * 366 * 24 * 60 * 60  // seconds, what was read
	mostSets = 10                       // datasets in one request
	words    = 10                       // letters that a purpose in words has at least
)

// languages are those in which a person can be asked here.
var languages = []string{"en", "fr"}

// asked makes a rule of one that looks at each thing that is asked for. A move is the exercise of a right (article 20):
// it has neither a purpose nor a retention, and no rule here.
func asked(rule func(consent.Facts, *consent.Detail) *consent.Refusal) consent.Rule {
	return func(f consent.Facts) *consent.Refusal {
		details := f.Asked
		if f.Step == consent.StepGrant || f.Step == consent.StepRenew {
			details = f.Granted
		} else if f.Step != consent.StepAsk {
			return nil
		}
		for i := range details {
			if details[i].Type == consent.InstanceMove {
				continue
			}
			if r := rule(f, &details[i]); r != nil {
				return r
			}
		}
		return nil
	}
}

func refusal(code, article, en, fr, advice string) *consent.Refusal {
	return &consent.Refusal{Code: code, Citation: consent.Citation{Law: "GDPR", Article: article}, Text: map[string]string{"en": en, "fr": fr}, Advice: advice}
}

// purposeNamed: data are collected for specified purposes.
func purposeNamed(_ consent.Facts, d *consent.Detail) *consent.Refusal {
	if d.Purpose.IRI != "" {
		return nil
	}
	return refusal("purpose-missing", "5(1)(b)", "The service does not say what it wants the data for.", "Le service ne dit pas à quoi serviront les données.",
		`Add "purpose": {"iri": …} with one of the purposes that you registered, such as https://w3id.org/dpv#ServiceProvision.`)
}

// purposeRegistered: and for no others than those that the operator knows of.
func purposeRegistered(f consent.Facts, d *consent.Detail) *consent.Refusal {
	if d.Purpose.IRI == "" || slices.Contains(f.Service.Purposes, d.Purpose.IRI) {
		return nil
	}
	return refusal("purpose-not-registered", "5(1)(b)", "The service asks for a purpose that it has not declared to the operator.", "Le service invoque une finalité qu’il n’a pas déclarée à l’opérateur.",
		fmt.Sprintf(`Use a "purpose" "iri" that you registered: %s; or have the operator register this one.`, strings.Join(f.Service.Purposes, ", ")))
}

// purposeInWords: consent is informed; nobody is informed by an identifier.
func purposeInWords(_ consent.Facts, d *consent.Detail) *consent.Refusal {
	for _, language := range languages {
		letters := 0
		for _, r := range d.Purpose.Text[language] {
			if unicode.IsLetter(r) {
				letters++
			}
		}
		if letters >= words && strings.Contains(d.Purpose.Text[language], " ") {
			return nil
		}
	}
	return refusal("purpose-not-in-words", "4(11)", "The service does not say in plain words what it wants the data for.", "Le service n’explique pas en mots simples à quoi serviront les données.",
		`Add "purpose": {"text": {"en": "To send your invitations to the people whom you know", "fr": "…"}}: a sentence in English or French, better in both.`)
}

// retentionStated: for how long it is kept.
func retentionStated(_ consent.Facts, d *consent.Detail) *consent.Refusal {
	if d.Retention != "" {
		return nil
	}
	return refusal("retention-missing", "13(2)(a)", "The service does not say for how long it keeps the data.", "Le service ne dit pas combien de temps il conserve les données.",
		`Add "retention", an ISO 8601 duration such as "P30D".`)
}

// retentionBounded: and no longer than necessary. Ten years is the longest period for which accounts are kept.
func retentionBounded(_ consent.Facts, d *consent.Detail) *consent.Refusal {
	kept, ok := duration(d.Retention)
	if d.Retention == "" || ok && kept <= keptMost {
		return nil
	}
	return refusal("retention-too-long", "5(1)(e)", "The service would keep the data for more than ten years.", "Le service conserverait les données plus de dix ans.",
		`Give a "retention" of ten years or less.`)
}

// recipientsStated: who else gets it.
func recipientsStated(_ consent.Facts, d *consent.Detail) *consent.Refusal {
	if len(d.Recipients) > 0 || d.NoRecipients {
		return nil
	}
	return refusal("recipients-missing", "13(1)(e)", "The service does not say who else gets the data.", "Le service ne dit pas qui d’autre recevra les données.",
		`Add "recipients": [{"name": "Mailer GmbH", "country": "DE"}], or "no_recipients": true if there are none.`)
}

// thirdCountryStated: whether it leaves the European Economic Area.
func thirdCountryStated(_ consent.Facts, d *consent.Detail) *consent.Refusal {
	if d.ThirdCountry != nil {
		return nil
	}
	return refusal("third-country-missing", "13(1)(f)", "The service does not say whether the data leave Europe.", "Le service ne dit pas si les données quittent l’Europe.",
		`Add "third_country": "none", or {"countries": ["US"], "safeguard": "standard contractual clauses, at https://…"}.`)
}

// endStated: a consent does not last for ever.
func endStated(_ consent.Facts, d *consent.Detail) *consent.Refusal {
	if !d.Expires.IsZero() {
		return nil
	}
	return refusal("end-missing", "5(1)(e)", "The service does not say when the access is to end.", "Le service ne dit pas quand l’accès prendra fin.",
		`Add "expires", a time such as "2027-05-01T00:00:00Z".`)
}

// endBounded: after two years a person has forgotten what they agreed to.
func endBounded(f consent.Facts, d *consent.Detail) *consent.Refusal {
	if d.Expires.IsZero() || d.Expires.Sub(f.Now) <= longest {
		return nil
	}
	return refusal("end-too-far", "5(1)(e)", "The access would last for more than two years without the person being asked again.", "L’accès durerait plus de deux ans sans que la personne soit consultée à nouveau.",
		`Give an "expires" within two years; the person can renew.`)
}

// notEverything: data are limited to what is necessary, and everything never is.
func notEverything(_ consent.Facts, d *consent.Detail) *consent.Refusal {
	if len(d.Datasets) <= mostSets {
		return nil
	}
	return refusal("too-much", "5(1)(c)", "The service asks for nearly everything that there is.", "Le service demande presque tout ce qui existe.",
		`Name fewer "datasets", in one request for each purpose, and use "fields".`)
}

// frequencyStated: whoever comes again says how often.
func frequencyStated(_ consent.Facts, d *consent.Detail) *consent.Refusal {
	if d.Frequency != "" {
		return nil
	}
	return refusal("frequency-missing", "13(2)", "The service does not say how often it reads the data.", "Le service ne dit pas à quelle fréquence il lit les données.",
		`Add "frequency": "once", "continuous", or an ISO 8601 duration such as "P1D".`)
}

// privacyNotice: the rest of the information is somewhere.
func privacyNotice(f consent.Facts) *consent.Refusal {
	if f.Step != consent.StepAsk || len(f.Service.Notices) > 0 {
		return nil
	}
	return refusal("privacy-notice-missing", "13", "The service has no privacy notice.", "Le service n’a pas de politique de confidentialité.",
		`Have the operator register "privacy_notices" for you.`)
}

// noticeShown: the controller can demonstrate that the person consented, and to what.
func noticeShown(f consent.Facts) *consent.Refusal {
	if f.Step != consent.StepGrant || f.Notice != nil && f.Notice.SHA256 != "" && f.Notice.Language != "" {
		return nil
	}
	return refusal("notice-not-shown", "7(1)", "Nobody can prove what the person was shown.", "Rien ne prouve ce qui a été montré à la personne.", "")
}

// personKnown: and that it was that person.
func personKnown(f consent.Facts) *consent.Refusal {
	if f.Step != consent.StepGrant && f.Step != consent.StepRenew || f.Session != nil && f.Session.Method != "" {
		return nil
	}
	return refusal("person-not-known", "7(1)", "Nobody can prove that it was the person who decided.", "Rien ne prouve que c’est bien la personne qui a décidé.", "")
}

// stillValid: a consent that has ended is the basis of nothing.
func stillValid(f consent.Facts) *consent.Refusal {
	if f.Step != consent.StepPermit || f.Consent != nil && f.Consent.State.Valid() && f.Now.Before(f.Consent.Expires) {
		return nil
	}
	return refusal("consent-not-valid", "6(1)(a)", "The consent is not valid any more.", "Le consentement n’est plus valable.", "Ask the person again.")
}

// insidePurpose: nothing outside of what was granted leaves.
func insidePurpose(f consent.Facts) *consent.Refusal {
	if f.Step != consent.StepPermit {
		return nil
	}
	if f.Access != nil && f.Access.Detail != nil && slices.Contains(f.Access.Detail.Actions, f.Access.Action) && f.Now.Before(f.Access.Detail.Expires) &&
		slices.ContainsFunc(f.Access.Datasets, func(d formats.Dataset) bool { return slices.Contains(f.Access.Detail.Datasets, d) }) {
		return nil
	}
	return refusal("outside-of-what-was-granted", "5(1)(b)", "This is not covered by what the person granted.", "Ceci n’est pas couvert par ce que la personne a accordé.", "Ask the person for it.")
}

// duration reads an ISO 8601 duration and returns its seconds; years and months at their longest.
func duration(text string) (total int64, ok bool) {
	rest, ok := strings.CutPrefix(text, "P")
	if !ok {
		return 0, false
	}
	const day = 24 * 60 * 60
	units := map[string]int64{"Y": 366 * day, "M": 31 * day, "W": 7 * day, "D": day, "TH": 60 * 60, "TM": 60, "TS": 1}
	for prefix := ""; rest != ""; {
		if after, found := strings.CutPrefix(rest, "T"); found && prefix == "" {
			prefix, rest = "T", after
			continue
		}
		end := strings.IndexFunc(rest, func(r rune) bool { return r < '0' || r > '9' })
		if end <= 0 || end > 5 { // so that nothing overflows
			return 0, false
		}
		n, err := strconv.ParseInt(rest[:end], 10, 64)
		unit, known := units[prefix+rest[end:end+1]]
		if err != nil || !known {
			return 0, false
		}
		total += n * unit
		rest = rest[end+1:]
	}
	return total, true
}
