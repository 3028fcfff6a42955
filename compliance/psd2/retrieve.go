package psd2

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/passerelle-cloud/passerelle/consent"
)

// Asked is how long ago a person may have asked for what is retrieved while they are there. The RTS has no number: it is as
// long as a run of readings lasts.
const Asked = 15 * time.Minute

// retrieves reports whether the operator gives account information, and is about to read at a bank.
func retrieves(f consent.Facts) bool {
	return f.Source == consent.AtBank && f.Step == consent.StepRetrieve && slices.Contains(f.Operator.Roles, RoleAISP)
}

// retrieval is what is about to be read at a bank; nil where it is not about that.
func retrieval(f consent.Facts) *consent.RetrievalFacts {
	switch {
	case !retrieves(f):
		return nil
	case f.Retrieval == nil: // nothing is known: nothing is in order
		return &consent.RetrievalFacts{}
	}
	return f.Retrieval
}

// authorised: account information is given with the person's explicit consent only (PSD2 article 67(2)(a)).
func authorised(f consent.Facts) *consent.Refusal {
	r := retrieval(f)
	if r == nil {
		return nil
	}
	if a := r.Authorisation; a != nil && !a.Given.IsZero() && !a.Given.After(f.Now.Add(Skew)) && f.Now.Before(a.Until) {
		return nil
	}
	return renewed("authorisation-missing", "PSD2", "67(2)(a)",
		"You have not allowed this gateway to read at your bank, or not any more.",
		"Vous n’avez pas autorisé cette passerelle à lire auprès de votre banque, ou plus maintenant.",
		"Ask the person for a consent at the bank.")
}

// authorisationCovers: and it covers what is read (PSD2 article 67(2)(a)).
func authorisationCovers(f consent.Facts) *consent.Refusal {
	r := retrieval(f)
	if r == nil || r.Authorisation == nil {
		return nil
	}
	if len(r.Asked) > 0 && !slices.ContainsFunc(r.Asked, func(i consent.Information) bool { return !slices.Contains(r.Authorisation.Information, i) }) {
		return nil
	}
	return refusal("authorisation-exceeded", "PSD2", "67(2)(a)",
		"You have allowed this gateway to read less than that at your bank.",
		"Vous avez autorisé cette passerelle à lire moins que cela auprès de votre banque.",
		"Read only what the consent at the bank is for.")
}

// accountsDesignatedThere: only designated accounts are read (PSD2 article 67(2)(d)). Which they are is read without naming
// any: it is what the person chose at the bank.
func accountsDesignatedThere(f consent.Facts) *consent.Refusal {
	r := retrieval(f)
	if r == nil {
		return nil
	}
	onlyList := len(r.Accounts) == 0 && len(r.Asked) == 1 && r.Asked[0] == consent.AccountList
	named := len(r.Accounts) > 0 && r.Authorisation != nil && !slices.ContainsFunc(r.Accounts, func(a string) bool { return !slices.Contains(r.Authorisation.Designated, a) })
	if onlyList || named {
		return nil
	}
	return refusal("accounts-not-designated", "PSD2", "67(2)(d)",
		"Choose the accounts that this gateway may read at your bank.",
		"Choisissez les comptes que cette passerelle peut lire auprès de votre banque.",
		"Name the accounts that are read, each one that the person designated.")
}

// authenticatedThere: the person signs in at the bank by two elements before the first reading, and again after 180 days (RTS
// article 10a(2)).
func authenticatedThere(f consent.Facts) *consent.Refusal {
	r := retrieval(f)
	switch {
	case r == nil:
		return nil
	case r.First && !within(f.Now, r.Authenticated, New):
		return renewed("authentication-missing", rts, "10a(2)(a)",
			"Before an account is read for the first time, sign in at your bank.",
			"Avant qu’un compte soit lu pour la première fois, connectez-vous auprès de votre banque.",
			"Send the person to the bank for strong customer authentication, then read.")
	case !within(f.Now, r.Authenticated, Renewal):
		return renewed("authentication-too-old", rts, "10a(2)(b)",
			"More than 180 days have gone by since you last signed in at your bank for this.",
			"Plus de 180 jours ont passé depuis votre dernière connexion auprès de votre banque à cette fin.",
			"Send the person to the bank for strong customer authentication.")
	}
	return nil
}

// onlyRecent: without a new sign-in there are the balance, and the transactions of 90 days (RTS article 10a(1)(b)).
func onlyRecent(f consent.Facts) *consent.Refusal {
	r := retrieval(f)
	if r == nil || !slices.Contains(r.Asked, consent.Transactions) || within(f.Now, r.Authenticated, New) || r.From >= Since(f.Now) {
		return nil
	}
	return renewed("too-far-back", rts, "10a(1)(b)",
		"For what is older than 90 days, sign in at your bank again.",
		"Pour ce qui date de plus de 90 jours, connectez-vous à nouveau auprès de votre banque.",
		fmt.Sprintf("Ask for transactions from %s on, or send the person to the bank.", Since(f.Now)))
}

// presenceShown: a person is there only where it can be shown (RTS article 36(5)(a)).
func presenceShown(f consent.Facts) *consent.Refusal {
	r := retrieval(f)
	if r == nil || !r.Present || shown(r.Presence, f.Now) {
		return nil
	}
	return refusal("presence-not-shown", rts, "36(5)(a)",
		"Nothing shows that you asked for this just now.",
		"Rien ne montre que vous venez de le demander.",
		fmt.Sprintf("Give the address and the time of the person's request, not more than %s ago; or read without the person.", Asked))
}

func shown(p *consent.PresenceFacts, now time.Time) bool {
	if p == nil || !within(now, p.At, Asked) {
		return false
	}
	address, err := netip.ParseAddr(p.Address)
	return err == nil && !address.IsUnspecified() && !address.IsMulticast()
}

// notTooOftenThere: without the person an account is read four times in 24 hours at the most, or as often as the bank agreed
// to with the person's consent, which may also be less (RTS article 36(5)(b)).
func notTooOftenThere(f consent.Facts) *consent.Refusal {
	r := retrieval(f)
	if r == nil || r.Present {
		return nil
	}
	most := Unattended
	if a := r.Authorisation; a != nil && a.Frequency > 0 {
		most = a.Frequency
	}
	if r.Unattended <= most {
		return nil
	}
	return refusal("too-often", rts, "36(5)(b)",
		fmt.Sprintf("Within 24 hours this account was read %d times already without you.", most),
		fmt.Sprintf("En 24 heures, ce compte a déjà été lu %d fois sans vous.", most),
		"Wait, or read when the person asks for it.")
}

// renewed is a refusal that the person mends at their bank.
func renewed(code, law, article, en, fr, advice string) *consent.Refusal {
	r := refusal(code, law, article, en, fr, advice)
	r.Renew = true
	return r
}
