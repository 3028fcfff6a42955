package consent_test

import (
	"testing"
	"time"

	"github.com/passerelle-cloud/passerelle/consent"
	"github.com/passerelle-cloud/passerelle/formats"
)

// asItWas is a case in which nothing has changed.
func asItWas(now time.Time) consent.Case {
	company := []consent.Registration{{Scheme: "SIREN", Value: "732829320"}, {Scheme: "LEI", Value: "X"}}
	return consent.Case{
		Said: consent.Following{Grant: "g", Revision: 2, State: consent.Given, Expires: now.Add(time.Hour),
			Details: []consent.Detail{{Type: consent.PersonalData, Datasets: []formats.Dataset{formats.Contacts}}},
			Service: consent.FollowingService{ID: "reader", Name: "Reader", LegalName: "Reader SAS", Registrations: company, Country: "FR", Keys: []string{"k1", "k2"}}},
		Service: &consent.Service{ID: "s-1", Name: "Reader", LegalName: "Reader SAS", Registrations: []consent.Registration{company[1], company[0]}, Country: "FR"},
		Keys:    []string{"k2"}, Proven: true, Person: true, Countries: [2]string{"FR", "FR"}, Left: &consent.Left{Grant: "g", Revision: 2}, Now: now,
	}
}

// TestFates tries every reason alone: what becomes of a consent, and why.
func TestFates(t *testing.T) {
	now := time.Now()
	for _, k := range []struct {
		why    consent.Reason
		fate   consent.Fate
		change func(*consent.Case)
	}{
		{consent.AsItWas, consent.Carried, func(*consent.Case) {}},
		{consent.AsItWas, consent.Carried, func(c *consent.Case) { c.Said.State = consent.Renewed }},
		{consent.IsMove, consent.Dropped, func(c *consent.Case) { c.Said.Details[0].Type = consent.InstanceMove }},
		{consent.WasExpired, consent.Dropped, func(c *consent.Case) { c.Said.Expires = now }},
		{consent.WasExpired, consent.Dropped, func(c *consent.Case) { c.Said.State = consent.Expired }},
		{consent.WasEnded, consent.Dropped, func(c *consent.Case) { c.Said.State = consent.Withdrawn }},
		{consent.WasEnded, consent.Dropped, func(c *consent.Case) { c.Said.State = consent.Requested }},
		{consent.WasEnded, consent.Dropped, func(c *consent.Case) { c.Said.State = "an invented state" }},
		{consent.EndedMeanwhile, consent.Dropped, func(c *consent.Case) { c.Left = nil }},
		{consent.NotSaid, consent.Confirm, func(c *consent.Case) { c.Left, c.Silent = nil, true }},
		{consent.OtherMeanwhile, consent.Confirm, func(c *consent.Case) { c.Left.Revision = 3 }},
		{consent.NoService, consent.Confirm, func(c *consent.Case) { c.Service = nil }},
		{consent.Stopped, consent.Confirm, func(c *consent.Case) { c.Service.Suspended = "it lied" }},
		{consent.NotKnown, consent.Confirm, func(c *consent.Case) { c.Person = false }},
		{consent.NotShown, consent.Confirm, func(c *consent.Case) { c.Proven = false }},
		{consent.OtherParty, consent.Confirm, func(c *consent.Case) { c.Service.Registrations[0].Value = "other" }},
		{consent.OtherParty, consent.Confirm, func(c *consent.Case) { c.Service.Registrations = nil; c.Said.Service.Registrations = nil }},
		{consent.OtherParty, consent.Confirm, func(c *consent.Case) { c.Service.Registrations = c.Service.Registrations[:1] }},
		{consent.OtherRecipient, consent.Confirm, func(c *consent.Case) { c.Service.LegalName = "Reader Holding" }},
		{consent.OtherRecipient, consent.Confirm, func(c *consent.Case) { c.Service.Name = "Writer" }},
		{consent.OtherCountry, consent.Confirm, func(c *consent.Case) { c.Service.Country = "US" }},
		{consent.OtherCountry, consent.Confirm, func(c *consent.Case) { c.Countries[0] = "US" }},
		{consent.NoKey, consent.Confirm, func(c *consent.Case) { c.Keys = nil }},
		{consent.NoKey, consent.Confirm, func(c *consent.Case) { c.Said.Service.Keys = nil }},
		{consent.OtherKey, consent.Confirm, func(c *consent.Case) { c.Keys = []string{"k3"} }},
	} {
		c := asItWas(now)
		k.change(&c)
		if fate, why := c.Decide(); fate != k.fate || why != k.why {
			t.Errorf("%s: it is %s because %s", k.why, fate, why)
		}
	}
}

// TestReasonsHaveWords: a person can read each of them, in both languages.
func TestReasonsHaveWords(t *testing.T) {
	for why, words := range consent.Reasons() {
		if words["en"] == "" || words["fr"] == "" || words["en"] == words["fr"] {
			t.Errorf("%s: %v", why, words)
		}
	}
	if len(consent.Reasons()) != 18 {
		t.Errorf("there are %d reasons", len(consent.Reasons()))
	}
}
