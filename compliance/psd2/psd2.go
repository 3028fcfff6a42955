// Package psd2 is what Directive (EU) 2015/2366 article 67 and Delegated Regulation (EU) 2018/389 (the RTS), as amended by
// Delegated Regulation (EU) 2022/2360, want of access to payment accounts, as far as it shows in what is asked, decided and
// read. It adds to the GDPR's baseline. An operator whose declared role is to keep accounts (ASPSP) is the bank, and services
// that read the dataset bank are bound. One whose role is to give account information (AISP) is bound itself where it reads
// at a bank for a person; services that read here what came from there are not.
//
// It must never know a database, a network or the clock: all it may look at are the facts.
package psd2

import (
	_ "embed"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/passerelle-cloud/passerelle/consent"
	"github.com/passerelle-cloud/passerelle/formats"
)

// The text of the rules, which the hash of the pack is of, in this order.
var (
	//go:embed psd2.go
	sourcePack string
	//go:embed limits.go
	sourceLimits string
	//go:embed retrieve.go
	sourceRetrieve string
)

// The roles of operators to which the pack applies.
const (
	RoleASPSP = "aspsp" // it keeps accounts
	RoleAISP  = "aisp"  // it gives account information: it reads at banks, for persons
)

// Applies reports whether an operator of these roles is bound at all.
func Applies(roles []string) bool {
	return slices.Contains(roles, RoleASPSP) || slices.Contains(roles, RoleAISP)
}

// What the law counts. A day is 24 hours: no zone and no summer time changes how long a period is.
const (
	Day = 24 * time.Hour
	// Renewal is after which time strong customer authentication is needed again: RTS article 10a(2), since 2023-07-25.
	Renewal = 180 * Day
	// Window is how far back transactions are given without new strong customer authentication: RTS article 10a(1)(b).
	Window = 90 // days
	// New is for how long after strong customer authentication it counts as new, for what is older than Window. The RTS has
	// no number: the person has just come back to the service, which reads everything once.
	New = time.Hour
	// Recent is how long ago a person may have authenticated who designates accounts.
	Recent = 15 * time.Minute
	// Unattended is how often a day a service may read that nobody asked for just then: RTS article 36(5)(b).
	Unattended = 4
	// Skew is how far ahead of ours another machine's clock may be. What happened later than that has not happened: a clock was
	// set back, and how long ago it was nobody knows.
	Skew = time.Minute
)

// Pack returns psd2@2023-07-25: the day from which the 180 days apply.
func Pack() consent.Pack {
	return consent.Pack{
		Name: "psd2", Version: "2023-07-25", From: time.Date(2023, 7, 25, 0, 0, 0, 0, time.UTC), Source: []byte(sourcePack + sourceLimits + sourceRetrieve),
		Rules: []consent.Rule{certificateShown, certificateHolds, roleHeld, certificateIsTheService, accountsDesignated, stronglyAuthenticated, authenticatedLately, notTooOften,
			authorised, authorisationCovers, accountsDesignatedThere, authenticatedThere, onlyRecent, presenceShown, notTooOftenThere},
		About:  about,
		Limits: limits,
	}
}

func refusal(code, law, article, en, fr, advice string) *consent.Refusal {
	return &consent.Refusal{Code: code, Citation: consent.Citation{Law: law, Article: article}, Text: map[string]string{"en": en, "fr": fr}, Advice: advice}
}

const rts = "RTS 2018/389"

// about is the word by which a person is told: whoever reads is bound, a service here, or the operator at a bank.
func about(f consent.Facts) string {
	switch {
	case banks(f):
		return "psd2"
	case retrieves(f):
		return "psd2-bank"
	}
	return ""
}

// banks reports whether it is about payment accounts of an operator that keeps them.
func banks(f consent.Facts) bool {
	if f.Source != consent.Here || !slices.Contains(f.Operator.Roles, RoleASPSP) {
		return false
	}
	switch f.Step {
	case consent.StepAsk:
		return accounts(f.Asked)
	case consent.StepGrant, consent.StepRenew:
		return accounts(f.Granted)
	case consent.StepPermit:
		return f.Access != nil && slices.Contains(f.Access.Datasets, formats.Bank)
	}
	return false
}

// accounts reports whether details are about payment accounts.
func accounts(list []consent.Detail) bool {
	return slices.ContainsFunc(list, func(d consent.Detail) bool {
		return d.Type != consent.InstanceMove && slices.Contains(d.Datasets, formats.Bank)
	})
}

// identifies reports whether the service identifies itself at this step: when it asks, and whenever it reads.
func identifies(f consent.Facts) bool {
	return banks(f) && (f.Step == consent.StepAsk || f.Step == consent.StepPermit)
}

// certificateShown: a provider identifies itself towards the bank by a qualified certificate (RTS article 34(1)).
func certificateShown(f consent.Facts) *consent.Refusal {
	if !identifies(f) || f.Service.Certificate != nil {
		return nil
	}
	return refusal("certificate-missing", rts, "34(1)",
		"The service did not show a certificate for payment services.",
		"Le service n’a pas présenté de certificat de services de paiement.",
		"Connect with your qualified website certificate (QWAC) at the address in mtls_endpoint_aliases.")
}

// certificateHolds: it is a qualified one, of a trust service that is on the list, and valid now.
func certificateHolds(f consent.Facts) *consent.Refusal {
	c := f.Service.Certificate
	switch {
	case !identifies(f) || c == nil:
		return nil
	case c.Fault != "":
	case f.Now.Before(c.From):
		c = &consent.CertificateFacts{Fault: "it is not valid yet"}
	case f.Now.After(c.Until):
		c = &consent.CertificateFacts{Fault: "it is not valid any more"}
	default:
		return nil
	}
	return refusal("certificate-not-valid", rts, "34(1)",
		"The service’s certificate cannot be relied on.",
		"On ne peut pas se fier au certificat du service.",
		"The certificate: "+c.Fault+". Use a qualified certificate of a provider on the Union's trusted lists.")
}

// roleHeld: the certificate says that its holder may give account information (RTS article 34(3)(b)).
func roleHeld(f consent.Facts) *consent.Refusal {
	if c := f.Service.Certificate; !identifies(f) || c == nil || c.Fault != "" || slices.Contains(c.Roles, RoleAI) {
		return nil
	}
	return refusal("role-missing", rts, "34(3)(a)",
		"The service is not authorised to give account information.",
		"Le service n’est pas autorisé à fournir des informations sur les comptes.",
		"The certificate's PSD2 statement (0.4.0.19495.2) must name the role PSP_AI.")
}

// certificateIsTheService: the authorisation number in the certificate is that of the service, whatever it calls itself.
func certificateIsTheService(f consent.Facts) *consent.Refusal {
	c := f.Service.Certificate
	if !identifies(f) || c == nil || c.Fault != "" || c.Organisation != "" && slices.Contains(f.Service.Registration, RegistrationScheme+":"+c.Organisation) {
		return nil
	}
	return refusal("certificate-of-another", rts, "34(2)",
		"The certificate is that of another company.",
		"Le certificat est celui d’une autre société.",
		fmt.Sprintf(`The certificate's organizationIdentifier is %q. Have the same registered: {"scheme": %q, "value": %q}.`, c.Organisation, RegistrationScheme, c.Organisation))
}

// RegistrationScheme is that of the authorisation numbers of payment service providers among a service's registrations.
const RegistrationScheme = "PSP"

// accountsDesignated: only designated accounts are read (PSD2 article 67(2)(d)).
func accountsDesignated(f consent.Facts) *consent.Refusal {
	if !banks(f) || f.Step != consent.StepGrant && f.Step != consent.StepRenew {
		return nil
	}
	if !slices.ContainsFunc(f.Granted, func(d consent.Detail) bool {
		return d.Type != consent.InstanceMove && slices.Contains(d.Datasets, formats.Bank) && len(d.Accounts) == 0
	}) {
		return nil
	}
	return refusal("accounts-not-designated", "PSD2", "67(2)(d)",
		"Choose the accounts that the service may see.",
		"Choisissez les comptes que le service peut voir.", "")
}

// strong are the ways to sign in that take two elements: a passkey is something that one has, opened by what one is or
// knows.
var strong = []string{"passkey"}

// within reports whether something happened, and not longer ago than that.
func within(now, then time.Time, most time.Duration) bool {
	ago := now.Sub(then)
	return !then.IsZero() && ago >= -Skew && ago <= most
}

// Strong reports whether a way to sign in is strong customer authentication (PSD2 article 4(30)).
func Strong(method string) bool { return slices.Contains(strong, method) }

// stronglyAuthenticated: who lets somebody see their accounts has just proved who they are, by two elements (PSD2 article
// 97(1)(a)).
func stronglyAuthenticated(f consent.Facts) *consent.Refusal {
	if !banks(f) || f.Step != consent.StepGrant && f.Step != consent.StepRenew {
		return nil
	}
	if s := f.Session; s != nil && Strong(s.Method) && within(f.Now, s.Authenticated, Recent) {
		return nil
	}
	return refusal("not-strongly-authenticated", "PSD2", "97(1)(a)",
		"For your bank accounts, sign in again with a passkey, then decide.",
		"Pour vos comptes bancaires, connectez-vous à nouveau avec une clé d’accès, puis décidez.", "")
}

// authenticatedLately: not more than 180 days have gone by since (RTS article 10a(2)(b)).
func authenticatedLately(f consent.Facts) *consent.Refusal {
	if !banks(f) || f.Step != consent.StepPermit || f.Consent == nil {
		return nil
	}
	if c := f.Consent; Strong(c.Method) && within(f.Now, c.Authenticated, Renewal) {
		return nil
	}
	r := refusal("authentication-too-old", rts, "10a(2)(b)",
		"More than 180 days have gone by since the person last confirmed this with a passkey.",
		"Plus de 180 jours ont passé depuis que la personne l’a confirmé avec une clé d’accès.",
		"Send the person to the address in renew.")
	r.Renew = true
	return r
}

// notTooOften: what the person did not ask for just then is read four times a day at the most, or as often as was agreed
// (RTS article 36(5)(b)).
func notTooOften(f consent.Facts) *consent.Refusal {
	if !banks(f) || f.Step != consent.StepPermit || f.Access.Present || f.Access.Unattended <= unattended(f) {
		return nil
	}
	return refusal("too-often", rts, "36(5)(b)",
		fmt.Sprintf("Within 24 hours the service has read the accounts %d times already, without the person.", unattended(f)),
		fmt.Sprintf("En 24 heures, le service a déjà lu les comptes %d fois, sans la personne.", unattended(f)),
		"Wait; or, where the person asks for it just now, send the header PSU-IP-Address with their address.")
}

// unattended is how often a service may read in 24 hours without the person: more than the law says where the operator and
// the service agreed on more, and the person did (RTS article 36(5)(b)), who was told how often the service reads.
func unattended(f consent.Facts) int {
	d := f.Access.Detail
	if d == nil || !slices.Contains(d.Datasets, formats.Bank) {
		return Unattended
	}
	return max(Unattended, min(f.Service.Agreed, perDay(d.Frequency)))
}

// perDay is how often a day a frequency is ("continuous", or an ISO 8601 duration: once in so long), as far as it is more
// often than once.
func perDay(frequency string) int {
	if frequency == "continuous" {
		return math.MaxInt
	}
	hours, ok := strings.CutPrefix(frequency, "PT")
	every, err := time.ParseDuration(strings.ToLower(hours)) // "PT3H30M"
	if !ok || err != nil || every <= 0 {
		return 1
	}
	return int(Day / every)
}
