// Package gdpr is the baseline under every request: what Regulation (EU) 2016/679 wants of a consent, as far as software
// can tell. It is a pack of pure functions, each with the article that it is for.
//
// It must never know a database, a network or the clock: all it may look at are the facts.
package gdpr

import (
	_ "embed"
	"fmt"
	"strings"
	"time"

	"github.com/passerelle-cloud/passerelle/consent"
)

// The text of the rules, which the hash of the pack is of, in this order.
var (
	//go:embed gdpr.go
	sourcePack string
	//go:embed asked.go
	sourceAsked string
	//go:embed decided.go
	sourceDecided string
)

// Pack returns gdpr@2018-05-25.
func Pack() consent.Pack {
	return consent.Pack{
		Name: "gdpr", Version: "2018-05-25", From: time.Date(2018, 5, 25, 0, 0, 0, 0, time.UTC),
		Source: []byte(sourcePack + sourceAsked + sourceDecided),
		Rules: []consent.Rule{
			each(purposeNamed), each(purposeRegistered), each(purposeInWords), each(healthInBothLanguages),
			each(retentionStated), each(retentionBounded), each(recipientsStated),
			each(thirdCountryStated), each(thirdCountriesNamed), each(safeguardStated),
			each(endStated), each(endBounded), each(frequencyStated), each(frequencyMeant),
			each(windowUnderstood), each(passwordsNotComputed), notEverything, destinationNamed, privacyNotice,
			noticeShown, personKnown, endAsAsked,
			stillValid, insidePurpose,
		},
	}
}

// details are what a step is about: what is asked, or what is to be granted.
func details(f consent.Facts) []consent.Detail {
	switch f.Step {
	case consent.StepAsk:
		return f.Asked
	case consent.StepGrant, consent.StepRenew:
		return f.Granted
	}
	return nil
}

// each makes a rule of one that looks at a single detail. A move is the exercise of a right (article 20): it has neither
// a purpose nor a retention, and a rule of its own. Where several things are asked for, the advice says which are meant.
func each(rule func(consent.Facts, *consent.Detail) *consent.Refusal) consent.Rule {
	return func(f consent.Facts) *consent.Refusal {
		list := details(f)
		var first *consent.Refusal
		var at []string
		for i := range list {
			if list[i].Type == consent.InstanceMove {
				continue
			}
			if r := rule(f, &list[i]); r != nil {
				at = append(at, fmt.Sprintf("[%d]", i))
				if first == nil {
					first = r
				}
			}
		}
		if first != nil && f.Step == consent.StepAsk && len(list) > 1 {
			first.Advice = "authorization_details" + strings.Join(at, ", ") + ": " + first.Advice
		}
		return first
	}
}

func refusal(code, article, en, fr, advice string) *consent.Refusal {
	return &consent.Refusal{Code: code, Citation: consent.Citation{Law: "GDPR", Article: article}, Text: map[string]string{"en": en, "fr": fr}, Advice: advice}
}
