package web

import (
	"slices"
	"time"

	"github.com/passerelle-cloud/passerelle/consent"
	"github.com/passerelle-cloud/passerelle/formats"
)

// revealing are datasets that say so much about a person that they have to prove who they are before they give them.
var revealing = []formats.Dataset{formats.Health, formats.Bank, formats.Passwords, formats.Places}

// sensitive reports whether a person must have proved who they are just now to give that.
func sensitive(details []consent.Detail) bool {
	return slices.ContainsFunc(details, func(d consent.Detail) bool {
		return d.Type == consent.InstanceMove || d.Type == consent.AccountInformation || slices.ContainsFunc(d.Datasets, func(s formats.Dataset) bool { return slices.Contains(revealing, s) })
	})
}

// advise says what somebody on the person's side would point at in a request: keys of texts (Regulation (EU) 2022/868,
// the Data Governance Act, article 12(m): the intermediary informs and, where appropriate, advises before consent is
// given).
func advise(details []consent.Detail, now time.Time) (list []string) {
	add := func(key string, is func(consent.Detail) bool) {
		if slices.ContainsFunc(details, is) {
			list = append(list, "advice."+key)
		}
	}
	add("move", func(d consent.Detail) bool { return d.Type == consent.InstanceMove })
	add("revealing", func(d consent.Detail) bool { return d.Type != consent.InstanceMove && sensitive([]consent.Detail{d}) })
	add("abroad", func(d consent.Detail) bool { return d.ThirdCountry != nil && len(d.ThirdCountry.Countries) > 0 })
	add("recipients", func(d consent.Detail) bool { return len(d.Recipients) > 0 })
	add("continuous", func(d consent.Detail) bool { return d.Frequency == "continuous" })
	add("long", func(d consent.Detail) bool { return d.Expires.After(now.AddDate(0, 6, 1)) })
	add("optional", func(d consent.Detail) bool { return len(d.Optional) > 0 })
	add("whole", func(d consent.Detail) bool {
		return d.Type != consent.Answer && slices.ContainsFunc(d.Datasets, func(s formats.Dataset) bool { return len(d.Fields[s]) == 0 && len(choosable[s]) > 0 })
	})
	if len(list) == 0 {
		return []string{"advice.none"}
	}
	return list
}
