// Package dataact is what Regulation (EU) 2023/2854 (the Data Act), chapter VI, wants of who hosts persons' instances, when
// one of them moves to another operator. A move is the exercise of a right: the rules bind who hosts, and are for the person.
//
// It applies to operators whose role is to host: who lets persons keep their data in an instance offers them a data
// processing service (article 2(8)), and the person, who has a contract for it, is the customer (article 2(30): natural
// persons are, too). Who declares no role at all is taken to host, so that nobody escapes by saying nothing. A bank whose
// accounts persons see here, or who only reads at banks for them, offers no such service; where it hosts besides, it declares so.
//
// How the dates are read: this program asks for no notice but what the operator's terms say, and what follows the notice is
// the transition (article 25(2)(a)): an authorisation to move ends no later than 30 days after it. The transition may be
// over earlier, and is when the move has happened (article 25(2)(c)): the time for retrieval is counted from then. Whoever
// reads it as counted from the end of the 30 days keeps the data for 60 (passerelle serve --retain-moved 60). That a longer
// transition may be announced where 30 days are technically unfeasible (article 25(4)) is no fact here: nothing announces it.
//
// It must never know a database, a network or the clock: all it may look at are the facts.
package dataact

import (
	_ "embed"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/passerelle-cloud/passerelle/compliance"
	"github.com/passerelle-cloud/passerelle/consent"
)

//go:embed dataact.go
var source string

// Role is the role of an operator to which the pack applies.
const Role = "hosting"

// The clocks of a switch.
const (
	MostNotice    = 2                   // months (article 25(2)(d))
	Transition    = 30 * 24 * time.Hour // from the end of the notice (article 25(2)(a))
	LeastRetained = 30                  // days for which the data can be fetched afterwards (article 25(2)(g))
)

// FreeFrom is the day from which no switching charges may be imposed (article 29(1)); until then they may be no higher than
// what the switch costs (article 29(2) and (3)).
func FreeFrom() time.Time { return time.Date(2027, 1, 12, 0, 0, 0, 0, time.UTC) }

// Applies reports whether the pack applies to an operator of these roles.
func Applies(roles []string) bool { return slices.Contains(roles, Role) }

// Pack returns dataact@2025-09-12: the day from which the regulation applies (article 50).
func Pack() consent.Pack {
	return consent.Pack{
		Name: "dataact", Version: "2025-09-12", From: time.Date(2025, 9, 12, 0, 0, 0, 0, time.UTC), Source: []byte(source),
		Rules: append([]consent.Rule{destinationNamed, transitionBounded}, terms()...), About: about,
	}
}

// terms are the rules about what the operator promises, whoever moves.
func terms() []consent.Rule { return []consent.Rule{noticeBounded, retrievable, erased, free} }

// Faults says what is wrong with an operator's terms, before anybody wants to leave: a gateway does not start with such
// terms, so that no person is held back by what only the operator can mend.
func Faults(s consent.Switching, now time.Time) (faults []*consent.Refusal) {
	f := consent.Facts{Now: now, Step: consent.StepAsk, Operator: consent.OperatorFacts{Switching: &s}, Asked: []consent.Detail{{Type: consent.InstanceMove}}}
	for _, rule := range terms() {
		if r := rule(f); r != nil {
			faults = append(faults, r)
		}
	}
	return faults
}

// about is the word by which a person who moves is told so.
func about(f consent.Facts) string {
	if move(f) == nil && (f.Access == nil || f.Access.Action != consent.Carry) {
		return ""
	}
	return "dataact"
}

// move is the move that is asked for, or authorised; nil: it is about something else.
func move(f consent.Facts) *consent.Detail {
	list := f.Asked
	if f.Step != consent.StepAsk {
		list = f.Granted
	}
	i := slices.IndexFunc(list, func(d consent.Detail) bool { return d.Type == consent.InstanceMove })
	if i < 0 || f.Step == consent.StepPermit {
		return nil
	}
	return &list[i]
}

// promised is what the operator's terms say to who moves; nil: it is about something else. Who says nothing promises nothing.
func promised(f consent.Facts) *consent.Switching {
	switch {
	case move(f) == nil:
		return nil
	case f.Operator.Switching == nil:
		return &consent.Switching{}
	}
	return f.Operator.Switching
}

func refusal(code, article, en, fr, advice string) *consent.Refusal {
	return &consent.Refusal{Code: code, Citation: consent.Citation{Law: "Data Act", Article: article}, Text: map[string]string{"en": en, "fr": fr}, Advice: advice}
}

// destinationNamed: who switches says to whom.
func destinationNamed(f consent.Facts) *consent.Refusal {
	if d := move(f); d == nil || strings.TrimSpace(d.Destination) != "" {
		return nil
	}
	return refusal("destination-missing", "25(3)(a)",
		"It is not said to which operator everything would move.",
		"Il n’est pas dit vers quel opérateur tout serait déplacé.",
		`Name the operator that the instance moves to. Example: "destination": "other-operator.example"`)
}

// noticeBounded: nobody has to wait for longer than two months until their move begins.
func noticeBounded(f consent.Facts) *consent.Refusal {
	s := promised(f)
	if s == nil || s.Notice >= 0 && !f.Now.AddDate(0, 0, s.Notice).After(compliance.AddMonths(f.Now, MostNotice)) {
		return nil
	}
	return refusal("notice-too-long", "25(2)(d)",
		fmt.Sprintf("You would have to wait for %d days before your move begins; two months are the most that may be asked of you.", s.Notice),
		fmt.Sprintf("Vous devriez attendre %d jours avant le début de votre déménagement ; on ne peut vous demander plus de deux mois.", s.Notice),
		"The operator who hosts the instance must ask for less notice.")
}

// transitionBounded: the move is over 30 days after the notice. A person who prolongs their authorisation chooses more time
// for themselves, as is their right (article 25(5)).
func transitionBounded(f consent.Facts) *consent.Refusal {
	d := move(f)
	if d == nil || f.Step == consent.StepRenew || !d.Expires.IsZero() && !d.Expires.After(f.Now.AddDate(0, 0, promised(f).Notice).Add(Transition)) {
		return nil
	}
	return refusal("transition-too-long", "25(2)(a)",
		"The move could take longer than 30 days, and nobody may make you wait for so long.",
		"Le déménagement pourrait durer plus de 30 jours, et personne ne peut vous faire attendre aussi longtemps.",
		`Let "expires" be 30 days from now at the latest, or leave it out. The person can prolong it.`)
}

// retrievable: for 30 days after the move the person can still come back for their data.
func retrievable(f consent.Facts) *consent.Refusal {
	s := promised(f)
	if s == nil || s.Retained >= LeastRetained {
		return nil
	}
	return refusal("retrieval-too-short", "25(2)(g)",
		fmt.Sprintf("Your data would be kept here for %d days after the move; you have a right to %d.", s.Retained, LeastRetained),
		fmt.Sprintf("Vos données seraient gardées ici %d jours après le déménagement ; vous avez droit à %d.", s.Retained, LeastRetained),
		"The operator who hosts the instance must keep it for 30 days or more: passerelle serve --retain-moved 30.")
}

// erased: and afterwards nothing of it stays.
func erased(f consent.Facts) *consent.Refusal {
	if s := promised(f); s == nil || s.Erased {
		return nil
	}
	return refusal("erasure-not-promised", "25(2)(h)",
		"It is not said that your data are erased here when the time to fetch them is over.",
		"Il n’est pas dit que vos données sont effacées ici une fois passé le délai pour les récupérer.",
		"The operator who hosts the instance must erase it after the time for retrieval.")
}

// free: nobody pays for leaving; before 12 January 2027, no more than it costs.
func free(f consent.Facts) *consent.Refusal {
	s := promised(f)
	switch {
	case s == nil || s.Charge <= 0:
		return nil
	case !f.Now.Before(FreeFrom()):
		return refusal("switching-charge", "29(1)",
			fmt.Sprintf("Leaving would cost you €%d, and it must cost nothing.", s.Charge),
			fmt.Sprintf("Partir vous coûterait %d €, et cela ne doit rien coûter.", s.Charge),
			"The operator who hosts the instance must not charge for a move.")
	case s.Charge > s.Cost:
		return refusal("switching-charge-too-high", "29(3)",
			fmt.Sprintf("Leaving would cost you €%d, which is more than the move costs the operator.", s.Charge),
			fmt.Sprintf("Partir vous coûterait %d €, plus que ce que le déménagement coûte à l’opérateur.", s.Charge),
			"The operator who hosts the instance may charge no more than its own costs of the move.")
	}
	return nil
}
