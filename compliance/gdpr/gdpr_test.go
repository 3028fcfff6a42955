package gdpr_test

import (
	"encoding/json"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/passerelle-cloud/passerelle/compliance/gdpr"
	"github.com/passerelle-cloud/passerelle/consent"
	"github.com/passerelle-cloud/passerelle/formats"
)

var now = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

const purpose = "https://w3id.org/dpv#ServiceProvision"

func detail() consent.Detail {
	return consent.Detail{
		Type: consent.PersonalData, Datasets: []formats.Dataset{formats.Contacts}, Actions: []consent.Action{consent.Read}, Retention: "P30D", Frequency: "P1D",
		Purpose: consent.Purpose{IRI: purpose, Text: map[string]string{"fr": "Envoyer vos invitations à vos proches"}}, Expires: now.AddDate(2, 0, 0),
		NoRecipients: true, ThirdCountry: &consent.ThirdCountry{},
	}
}

func service() consent.ServiceFacts {
	return consent.ServiceFacts{ID: "s", LegalName: "S", Country: "FR", Purposes: []string{purpose}, Notices: map[string]string{"en": "https://s.example/"}}
}

func ask() consent.Facts {
	return consent.Facts{Now: now, Step: consent.StepAsk, Service: service(), Asked: []consent.Detail{detail(), {Type: consent.InstanceMove, Destination: "other.example"}}}
}

func grant() consent.Facts {
	f := ask()
	f.Step, f.Granted = consent.StepGrant, f.Asked
	f.Notice, f.Session = &consent.NoticeFacts{SHA256: "x", Language: "fr"}, &consent.SessionFacts{Method: "password"}
	return f
}

func permit() consent.Facts {
	d := detail()
	return consent.Facts{Now: now, Step: consent.StepPermit, Service: service(), Consent: &consent.ConsentFacts{State: consent.Given, Expires: d.Expires},
		Access: &consent.AccessFacts{Datasets: d.Datasets, Action: consent.Read, Detail: &d}}
}

// codes are those of the rules that are against something.
func codes(f consent.Facts) (list []string) {
	for _, rule := range gdpr.Pack().Rules {
		if r := rule(f); r != nil {
			list = append(list, r.Code)
		}
	}
	return list
}

func TestRules(t *testing.T) {
	one := func(change func(*consent.Detail)) func(*consent.Facts) {
		return func(f *consent.Facts) { change(&f.Asked[0]) }
	}
	for _, c := range []struct {
		name   string
		of     func() consent.Facts
		change func(*consent.Facts)
		want   string
	}{
		{"ask", ask, nil, ""},
		{"grant", grant, nil, ""},
		{"permit", permit, nil, ""},
		{"no purpose", ask, one(func(d *consent.Detail) { d.Purpose.IRI = "" }), "purpose-missing"},
		{"another purpose", ask, one(func(d *consent.Detail) { d.Purpose.IRI = "https://w3id.org/dpv#Advertising" }), "purpose-not-registered"},
		{"no words", ask, one(func(d *consent.Detail) { d.Purpose.Text = nil }), "purpose-not-in-words"},
		{"a word", ask, one(func(d *consent.Detail) { d.Purpose.Text = map[string]string{"en": "Marketingpurposes"} }), "purpose-not-in-words"},
		{"dots", ask, one(func(d *consent.Detail) { d.Purpose.Text = map[string]string{"en": ". . . . . . . . . ."} }), "purpose-not-in-words"},
		{"a language that nobody is asked in", ask, one(func(d *consent.Detail) { d.Purpose.Text = map[string]string{"la": "Ad amicos tuos invitandos"} }), "purpose-not-in-words"},
		{"no retention", ask, one(func(d *consent.Detail) { d.Retention = "" }), "retention-missing"},
		{"a long retention", ask, one(func(d *consent.Detail) { d.Retention = "P10Y1M" }), "retention-too-long"},
		{"an endless retention", ask, one(func(d *consent.Detail) { d.Retention = "P9999Y9999M" }), "retention-too-long"},
		{"ten years", ask, one(func(d *consent.Detail) { d.Retention = "P10Y" }), ""},
		{"a day and an hour", ask, one(func(d *consent.Detail) { d.Retention = "P1DT1H" }), ""},
		{"no recipients said", ask, one(func(d *consent.Detail) { d.NoRecipients = false }), "recipients-missing"},
		{"recipients", ask, one(func(d *consent.Detail) {
			d.NoRecipients, d.Recipients = false, []consent.Recipient{{Name: "X", Country: "FR"}}
		}), ""},
		{"no third country said", ask, one(func(d *consent.Detail) { d.ThirdCountry = nil }), "third-country-missing"},
		{"no end", ask, one(func(d *consent.Detail) { d.Expires = time.Time{} }), "end-missing"},
		{"a late end", ask, one(func(d *consent.Detail) { d.Expires = now.AddDate(2, 0, 3) }), "end-too-far"},
		{"everything", ask, one(func(d *consent.Detail) { d.Datasets = formats.Datasets() }), "too-much"},
		{"no frequency", ask, one(func(d *consent.Detail) { d.Frequency = "" }), "frequency-missing"},
		{"no privacy notice", ask, func(f *consent.Facts) { f.Service.Notices = nil }, "privacy-notice-missing"},
		{"nothing shown", grant, func(f *consent.Facts) { f.Notice = nil }, "notice-not-shown"},
		{"nobody known", grant, func(f *consent.Facts) { f.Session = nil }, "person-not-known"},
		{"granted for longer", grant, func(f *consent.Facts) { f.Granted[0].Expires = now.AddDate(3, 0, 0) }, "end-too-far"},
		{"renewed by nobody", grant, func(f *consent.Facts) { f.Step, f.Session = consent.StepRenew, nil }, "person-not-known"},
		{"withdrawn", permit, func(f *consent.Facts) { f.Consent.State = consent.Withdrawn }, "consent-not-valid"},
		{"ends this second", permit, func(f *consent.Facts) { f.Consent.Expires = now }, "consent-not-valid"},
		{"no consent", permit, func(f *consent.Facts) { f.Consent = nil }, "consent-not-valid"},
		{"another dataset", permit, func(f *consent.Facts) { f.Access.Datasets = []formats.Dataset{formats.Bank} }, "outside-of-what-was-granted"},
		{"another action", permit, func(f *consent.Facts) { f.Access.Action = consent.Compute }, "outside-of-what-was-granted"},
		{"the detail has ended", permit, func(f *consent.Facts) { f.Access.Detail.Expires = now }, "outside-of-what-was-granted"},
	} {
		f := c.of()
		if c.change != nil {
			c.change(&f)
		}
		if got := strings.Join(codes(f), " "); got != c.want {
			t.Errorf("%s: %q, not %q", c.name, got, c.want)
		}
	}
}

// TestRefusals looks at what people are told.
func TestRefusals(t *testing.T) {
	var members []string
	for i := range reflect.TypeFor[consent.Detail]().NumField() {
		name, _, _ := strings.Cut(reflect.TypeFor[consent.Detail]().Field(i).Tag.Get("json"), ",")
		members = append(members, name)
	}
	members = append(members, "privacy_notices", "iri", "text", "en", "fr", "name", "country", "countries", "safeguard")
	empty := consent.Facts{Now: now, Step: consent.StepAsk, Asked: []consent.Detail{{Type: consent.PersonalData, Datasets: formats.Datasets()}}}
	seen := 0
	for _, rule := range gdpr.Pack().Rules {
		r := rule(empty)
		if r == nil {
			continue
		}
		seen++
		if r.Text["en"] == "" || r.Text["fr"] == "" || r.Text["en"] == r.Text["fr"] || r.Citation.Article == "" || r.Advice == "" {
			t.Errorf("%+v", r)
		}
		for _, quoted := range regexp.MustCompile(`"([a-z_]+)":?`).FindAllStringSubmatch(r.Advice, -1) {
			if !slices.Contains(members, quoted[1]) && !slices.Contains([]string{"none", "once", "continuous"}, quoted[1]) {
				t.Errorf("%s: there is no member %q", r.Code, quoted[1])
			}
		}
	}
	if seen < 9 {
		t.Errorf("%d rules are against nothing at all", seen)
	}
}

// TestPure asks at once and again.
func TestPure(t *testing.T) {
	f := ask()
	f.Asked[0].Retention = ""
	before, _ := json.Marshal(f)
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			if got := codes(f); !slices.Equal(got, []string{"retention-missing"}) {
				t.Error(got)
			}
		})
	}
	wg.Wait()
	if after, _ := json.Marshal(f); string(after) != string(before) {
		t.Error("a rule changed the facts")
	}
}

// FuzzRules never panics, whatever the facts.
func FuzzRules(f *testing.F) {
	for _, facts := range []consent.Facts{ask(), grant(), permit()} {
		text, _ := json.Marshal(facts)
		f.Add(text)
	}
	f.Fuzz(func(_ *testing.T, text []byte) {
		var facts consent.Facts
		if json.Unmarshal(text, &facts) == nil {
			codes(facts)
		}
	})
}
