package consent

import (
	"slices"
	"time"
)

// Fate is what becomes of a consent where its person goes.
type Fate string

// The fates.
const (
	Carried Fate = "carried" // it stands here as it stood there, and the service can follow without asking
	Confirm Fate = "confirm" // the person has to say yes to it here first
	Dropped Fate = "dropped" // there is nothing to follow
)

// Reason is why a consent has its fate: the code of [Reasons].
type Reason string

// The reasons.
const (
	AsItWas        Reason = "as-it-was"
	WasEnded       Reason = "ended"
	WasExpired     Reason = "expired"
	IsMove         Reason = "move"
	EndedMeanwhile Reason = "ended-meanwhile"
	OtherMeanwhile Reason = "changed-meanwhile"
	NotShown       Reason = "not-shown"
	NotSaid        Reason = "source-silent"
	NotKnown       Reason = "person-unknown"
	NoService      Reason = "service-unknown"
	NewService     Reason = "service-new"
	Stopped        Reason = "service-suspended"
	OtherParty     Reason = "controller-changed"
	OtherRecipient Reason = "recipient-changed"
	OtherCountry   Reason = "jurisdiction-changed"
	NoKey          Reason = "key-unknown"
	OtherKey       Reason = "key-changed"
	RulesSayNo     Reason = "rules"
)

// Reasons say in plain words, by language, why a consent has its fate.
func Reasons() map[Reason]map[string]string {
	return map[Reason]map[string]string{
		AsItWas:        {"en": "Everything is as it was: the service is the same, and so is what you allowed.", "fr": "Rien n’a changé : le service est le même, et ce que vous avez autorisé aussi."},
		WasEnded:       {"en": "It had ended before you moved.", "fr": "Elle avait pris fin avant votre départ."},
		WasExpired:     {"en": "It had expired before you moved.", "fr": "Elle avait expiré avant votre départ."},
		IsMove:         {"en": "It was your authorisation to move, which ends with the move.", "fr": "C’était votre autorisation de déménager, qui prend fin avec le déménagement."},
		EndedMeanwhile: {"en": "It ended at the operator that you left while you were moving.", "fr": "Elle a pris fin chez l’opérateur que vous quittiez pendant le déménagement."},
		OtherMeanwhile: {"en": "It was changed at the operator that you left while you were moving.", "fr": "Elle a été modifiée chez l’opérateur que vous quittiez pendant le déménagement."},
		NotShown:       {"en": "The log of the operator that you left does not show that you gave it like this.", "fr": "Le registre de l’opérateur que vous quittez ne montre pas que vous l’avez donnée ainsi."},
		NotSaid:        {"en": "The operator that you left does not say whether it stood when you moved.", "fr": "L’opérateur que vous avez quitté ne dit pas si elle valait encore lors du déménagement."},
		NotKnown:       {"en": "You did not sign in at the operator that you left, so nothing shows that it was you.", "fr": "Vous ne vous êtes pas connecté chez l’opérateur que vous quittez : rien ne montre que c’était vous."},
		NoService:      {"en": "The service is not registered here. It waits until the service is.", "fr": "Le service n’est pas enregistré ici. Elle attend qu’il le soit."},
		NewService:     {"en": "The service was not registered here when you came. It is now.", "fr": "Le service n’était pas enregistré ici à votre arrivée. Il l’est maintenant."},
		Stopped:        {"en": "The service is suspended here.", "fr": "Le service est suspendu ici."},
		OtherParty:     {"en": "Here, another company answers for the service.", "fr": "Ici, une autre société répond du service."},
		OtherRecipient: {"en": "Here, the service is known under another name.", "fr": "Ici, le service est connu sous un autre nom."},
		OtherCountry:   {"en": "The service, or the operator that keeps your data, is under the law of another country now.", "fr": "Le service, ou l’opérateur qui garde vos données, relève maintenant du droit d’un autre pays."},
		NoKey:          {"en": "The service does not prove itself with a key that both operators know.", "fr": "Le service ne se prouve pas avec une clé que les deux opérateurs connaissent."},
		OtherKey:       {"en": "Here, the service proves itself with another key.", "fr": "Ici, le service se prouve avec une autre clé."},
		RulesSayNo:     {"en": "The rules that hold here ask for your yes again.", "fr": "Les règles en vigueur ici demandent à nouveau votre accord."},
	}
}

// Case is all that is known where it is decided what becomes of a consent.
type Case struct {
	Said      Following
	Proven    bool      // the log of the operator whom the person left shows it
	Person    bool      // they proved who they are there
	Countries [2]string // of the two operators
	Service   *Service  // the same service, as it is registered here; nil: it is not
	Keys      []string  // thumbprints of the keys with which it proves itself here
	Left      *Left     // how it stood when the person had moved; nil: it did not stand any more
	Silent    bool      // the operator whom they left does not say how it stood then
	Now       time.Time
}

// Decide says what becomes of a consent, as far as that does not depend on the rules that hold here. It is a function of the
// case alone: first what there is no way around, then what the person can mend with a yes.
func (c *Case) Decide() (Fate, Reason) {
	if why := c.dropped(); why != "" {
		return Dropped, why
	}
	if why := c.asks(); why != "" {
		return Confirm, why
	}
	return Carried, AsItWas
}

func (c *Case) dropped() Reason {
	s := &c.Said
	switch {
	case slices.ContainsFunc(s.Details, func(d Detail) bool { return d.Type == InstanceMove }):
		return IsMove
	case s.State == Expired || s.State.Valid() && !c.Now.Before(s.Expires):
		return WasExpired
	case !s.State.Valid():
		return WasEnded
	case c.Left == nil && !c.Silent:
		return EndedMeanwhile
	}
	return ""
}

func (c *Case) asks() Reason {
	s := &c.Said
	switch here := c.Service; {
	case here == nil:
		return NoService
	case here.Suspended != "":
		return Stopped
	case !c.Person:
		return NotKnown
	case !c.Proven:
		return NotShown
	case c.Left == nil:
		return NotSaid
	case c.Left.Revision != s.Revision:
		return OtherMeanwhile
	case !sameRegistrations(here.Registrations, s.Service.Registrations):
		return OtherParty
	case here.LegalName != s.Service.LegalName || here.Name != s.Service.Name:
		return OtherRecipient
	case here.Country != s.Service.Country || c.Countries[0] != c.Countries[1]:
		return OtherCountry
	case len(s.Service.Keys) == 0 || len(c.Keys) == 0:
		return NoKey
	case len(c.common()) == 0:
		return OtherKey
	}
	return ""
}

// common are the keys under which both operators know the service.
func (c *Case) common() (keys []string) {
	for _, k := range c.Said.Service.Keys {
		if slices.Contains(c.Keys, k) {
			keys = append(keys, k)
		}
	}
	return keys
}

// sameRegistrations reports whether two lists name one company: the same entries, in whatever order, and one at least.
func sameRegistrations(a, b []Registration) bool {
	if len(a) == 0 || len(a) != len(b) {
		return false
	}
	for _, r := range a {
		if !slices.Contains(b, r) {
			return false
		}
	}
	return true
}
