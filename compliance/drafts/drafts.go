// Package drafts is law that is not law yet, as rule packs: to try what it would change (passerelle audit replay --pack
// fida-draft). None is ever in force.
//
// It must never know a database, a network or the clock: all it may look at are the facts.
package drafts

import (
	_ "embed"
	"slices"
	"time"

	"github.com/passerelle-cloud/passerelle/consent"
	"github.com/passerelle-cloud/passerelle/formats"
)

//go:embed drafts.go
var source string

// never is when drafts come into force by themselves.
var never = time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)

// FIDA returns fida-draft@2023-06-28: the proposal for a regulation on a framework for financial data access, COM(2023)
// 360. Article 8(2): a dashboard names, for each permission, the data user, the account or product, the purpose, the
// categories of data, and the period of validity.
func FIDA() consent.Pack {
	return consent.Pack{Name: "fida-draft", Version: "2023-06-28", From: never, Source: []byte("// fida-draft\n" + source), Draft: true, Rules: []consent.Rule{
		named("FIDA (draft)", "8(2)(a)"), account("FIDA (draft)", "8(2)(a)(ii)"), purpose("FIDA (draft)", "8(2)(a)(iii)"), validity("FIDA (draft)", "8(2)(a)(v)"),
	}}
}

// PSR returns psr-draft@2023-06-28: the proposal for a regulation on payment services, COM(2023) 367. Article 43(2): the
// same of permissions to payment accounts.
func PSR() consent.Pack {
	return consent.Pack{Name: "psr-draft", Version: "2023-06-28", From: never, Source: []byte("// psr-draft\n" + source), Draft: true, Rules: []consent.Rule{
		named("PSR (draft)", "43(2)(a)(i)"), account("PSR (draft)", "43(2)(a)(ii)"), purpose("PSR (draft)", "43(2)(a)(iii)"), validity("PSR (draft)", "43(2)(a)(iv)"),
	}}
}

// financial are the details of a yes that are about what a bank or an insurer keeps.
func financial(f consent.Facts) (list []consent.Detail) {
	if f.Step != consent.StepGrant && f.Step != consent.StepRenew {
		return nil
	}
	for _, d := range f.Granted {
		if d.Type != consent.InstanceMove && slices.Contains(d.Datasets, formats.Bank) {
			list = append(list, d)
		}
	}
	return list
}

func rule(law, article, code, en, fr string, against func(consent.Facts, consent.Detail) bool) consent.Rule {
	return func(f consent.Facts) *consent.Refusal {
		if !slices.ContainsFunc(financial(f), func(d consent.Detail) bool { return against(f, d) }) {
			return nil
		}
		return &consent.Refusal{Code: code, Citation: consent.Citation{Law: law, Article: article}, Text: map[string]string{"en": en, "fr": fr}}
	}
}

func named(law, article string) consent.Rule {
	return rule(law, article, "user-not-named", "The data user is not named.", "L’utilisateur des données n’est pas nommé.",
		func(f consent.Facts, _ consent.Detail) bool { return f.Service.LegalName == "" })
}

func account(law, article string) consent.Rule {
	return rule(law, article, "account-not-named", "The account is not named.", "Le compte n’est pas nommé.",
		func(_ consent.Facts, d consent.Detail) bool { return len(d.Accounts) == 0 })
}

func purpose(law, article string) consent.Rule {
	return rule(law, article, "purpose-not-named", "The purpose is not named.", "Le but n’est pas nommé.",
		func(_ consent.Facts, d consent.Detail) bool { return d.Purpose.IRI == "" || len(d.Purpose.Text) == 0 })
}

func validity(law, article string) consent.Rule {
	return rule(law, article, "validity-not-named", "It does not say until when it is valid.", "Il n’est pas dit jusqu’à quand c’est valable.",
		func(_ consent.Facts, d consent.Detail) bool { return d.Expires.IsZero() })
}
