package psd2_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/passerelle-cloud/passerelle/compliance/dga"
	"github.com/passerelle-cloud/passerelle/compliance/gdpr"
	"github.com/passerelle-cloud/passerelle/compliance/psd2"
	"github.com/passerelle-cloud/passerelle/consent"
	"github.com/passerelle-cloud/passerelle/formats"
)

// retrieval is one at a bank that is in order, at a time: of what the person designated, ten days after they signed in there.
func retrieval(at time.Time) consent.Facts {
	return consent.Facts{Now: at, Step: consent.StepRetrieve, Source: consent.AtBank, Operator: consent.OperatorFacts{ID: "gateway.example", Roles: []string{psd2.RoleAISP}},
		Retrieval: &consent.RetrievalFacts{Bank: "bank", Asked: []consent.Information{consent.Balances, consent.Transactions}, Accounts: []string{"a1"}, From: psd2.Since(at),
			Authorisation: &consent.AuthorisationFacts{ID: "c1", Given: at.AddDate(0, 0, -10), Until: at.AddDate(0, 3, 0), Designated: []string{"a1", "a2"},
				Information: []consent.Information{consent.AccountList, consent.Balances, consent.Transactions}},
			Authenticated: at.AddDate(0, 0, -10), Session: "s1", Unattended: 4}}
}

// changed is retrieval with a change.
func changed(change func(*consent.Facts, *consent.RetrievalFacts)) consent.Facts {
	f := retrieval(now)
	change(&f, f.Retrieval)
	return f
}

// TestWhoRetrieves: the rules bind an operator that gives account information, where it reads at a bank, and nobody else.
func TestWhoRetrieves(t *testing.T) {
	expect(t, "in order", retrieval(now))
	expect(t, "nothing is known", changed(func(f *consent.Facts, _ *consent.RetrievalFacts) { f.Retrieval = nil }), "authorisation-missing", "accounts-not-designated", "authentication-too-old")
	for name, f := range map[string]consent.Facts{
		"another role": changed(func(f *consent.Facts, _ *consent.RetrievalFacts) {
			f.Operator.Roles = []string{"intermediary", psd2.RoleASPSP}
		}),
		"data that are here":   changed(func(f *consent.Facts, _ *consent.RetrievalFacts) { f.Source = consent.Here }),
		"a service that reads": changed(func(f *consent.Facts, _ *consent.RetrievalFacts) { f.Step = consent.StepPermit }),
		"before the day": changed(func(f *consent.Facts, _ *consent.RetrievalFacts) {
			f.Now = time.Date(2023, 7, 24, 23, 59, 59, 0, time.UTC)
		}),
	} {
		f.Retrieval.Authorisation, f.Retrieval.Unattended = nil, 99
		expect(t, name, f)
	}
	others := slices.Concat(gdpr.Pack().Rules, dga.Pack().Rules)
	for _, rule := range others {
		if r := rule(retrieval(now)); r != nil {
			t.Errorf("the rules under which services stand say %s", r)
		}
	}
}

// TestArticle67Retrieving: what an AISP reads is authorised, and of designated accounts (PSD2 article 67(2)(a), (d)).
func TestArticle67Retrieving(t *testing.T) {
	for name, k := range map[string]struct {
		change func(*consent.Facts, *consent.RetrievalFacts)
		codes  []string
	}{
		"never authorised":    {func(_ *consent.Facts, r *consent.RetrievalFacts) { r.Authorisation.Given = time.Time{} }, []string{"authorisation-missing"}},
		"in its last second":  {func(f *consent.Facts, r *consent.RetrievalFacts) { r.Authorisation.Until = f.Now.Add(time.Second) }, nil},
		"at its end":          {func(f *consent.Facts, r *consent.RetrievalFacts) { r.Authorisation.Until = f.Now }, []string{"authorisation-missing"}},
		"a second after":      {func(f *consent.Facts, r *consent.RetrievalFacts) { r.Authorisation.Until = f.Now.Add(-time.Second) }, []string{"authorisation-missing"}},
		"without end":         {func(_ *consent.Facts, r *consent.RetrievalFacts) { r.Authorisation.Until = time.Time{} }, []string{"authorisation-missing"}},
		"given in the future": {func(f *consent.Facts, r *consent.RetrievalFacts) { r.Authorisation.Given = f.Now.Add(time.Hour) }, []string{"authorisation-missing"}},
		"more than authorised": {func(_ *consent.Facts, r *consent.RetrievalFacts) {
			r.Authorisation.Information = r.Authorisation.Information[:2]
		}, []string{"authorisation-exceeded"}},
		"nothing in particular": {func(_ *consent.Facts, r *consent.RetrievalFacts) { r.Asked = nil }, []string{"authorisation-exceeded"}},
		"another account":       {func(_ *consent.Facts, r *consent.RetrievalFacts) { r.Accounts = []string{"a1", "a3"} }, []string{"accounts-not-designated"}},
		"all accounts":          {func(_ *consent.Facts, r *consent.RetrievalFacts) { r.Accounts = nil }, []string{"accounts-not-designated"}},
		"which there are": {func(_ *consent.Facts, r *consent.RetrievalFacts) {
			r.Accounts, r.Asked = nil, []consent.Information{consent.AccountList}
		}, nil},
		"which, and balances": {func(_ *consent.Facts, r *consent.RetrievalFacts) {
			r.Accounts, r.Asked = nil, []consent.Information{consent.AccountList, consent.Balances}
		}, []string{"accounts-not-designated"}},
	} {
		expect(t, name, changed(k.change), k.codes...)
	}
	l := psd2.Pack().Limits(retrieval(now))
	if l == nil || l.Dataset != formats.Bank || !l.Native || l.Mask == nil || l.From != psd2.Since(now) {
		t.Fatalf("67(2)(e): %+v", l)
	}
	if psd2.Pack().Limits(changed(func(f *consent.Facts, _ *consent.RetrievalFacts) { f.Source = consent.Here })) != nil {
		t.Error("what is here is limited")
	}
}

// moments are those at which clocks and calendars go wrong.
func moments(t *testing.T) []time.Time {
	t.Helper()
	zone := func(name string) *time.Location {
		t.Helper()
		l, err := time.LoadLocation(name)
		must(t, err)
		return l
	}
	paris, auckland := zone("Europe/Paris"), zone("Pacific/Auckland")
	return []time.Time{
		time.Date(2025, 10, 26, 0, 30, 0, 0, time.UTC),                   // in the hour that is there twice, the first time
		time.Date(2025, 10, 26, 1, 30, 0, 0, time.UTC).In(paris),         // the second time
		time.Date(2026, 3, 29, 1, 59, 59, 0, paris),                      // before the hour that is not there
		time.Date(2026, 3, 29, 3, 0, 0, 0, paris),                        // after it
		time.Date(2024, 2, 29, 23, 59, 59, 0, paris),                     // a leap day
		time.Date(2024, 2, 29, 0, 0, 0, 0, time.UTC),                     //
		time.Date(2026, 9, 27, 2, 59, 59, 0, auckland),                   // on the other side of the world
		time.Date(2025, 12, 31, 23, 59, 59, 0, zone("Pacific/Honolulu")), // where it is still last year
	}
}

// TestRTS10a2Retrieving: an AISP's person signs in at the bank before the first reading, and after 180 days, to the second.
func TestRTS10a2Retrieving(t *testing.T) {
	for _, at := range moments(t) {
		for name, k := range map[string]struct {
			ago   time.Duration
			first bool
			codes []string
		}{
			"a second before 180 days":  {180*psd2.Day - time.Second, false, nil},
			"at 180 days":               {180 * psd2.Day, false, nil},
			"a second after 180 days":   {180*psd2.Day + time.Second, false, []string{"authentication-too-old"}},
			"first, an hour after":      {time.Hour, true, nil},
			"first, a second later":     {time.Hour + time.Second, true, []string{"authentication-missing"}},
			"a clock a minute ahead":    {-time.Minute, true, nil},
			"a clock that was set back": {-time.Minute - time.Second, false, []string{"authentication-too-old"}},
		} {
			f := retrieval(at.Add(k.ago).UTC())
			f.Retrieval.Authenticated, f.Retrieval.First = at, k.first
			expect(t, name+" "+at.String(), f, k.codes...)
		}
	}
	never := changed(func(_ *consent.Facts, r *consent.RetrievalFacts) { r.Authenticated = time.Time{} })
	expect(t, "never", never, "authentication-too-old")
	pack := psd2.Pack()
	if r := pack.Judge(never); !r[0].Renew || r[0].Citation.Article != "10a(2)(b)" || r[0].Text["fr"] == "" || r[0].Advice == "" {
		t.Errorf("%+v", r[0])
	}
}

// TestRTS10a1bRetrieving: without a new sign-in an AISP reads the balance, and transactions of the last 90 days.
func TestRTS10a1bRetrieving(t *testing.T) {
	for _, at := range moments(t) {
		day := time.Date(at.UTC().Year(), at.UTC().Month(), at.UTC().Day(), 0, 0, 0, 0, time.UTC)
		for back, codes := range map[int][]string{89: nil, 90: nil, 91: {"too-far-back"}, 400: {"too-far-back"}} {
			f := retrieval(at)
			f.Retrieval.From = day.AddDate(0, 0, -back).Format(time.DateOnly)
			expect(t, f.Retrieval.From+" at "+at.String(), f, codes...)
			f.Retrieval.Asked = []consent.Information{consent.Balances}
			expect(t, "the balance", f)
		}
		for ago, codes := range map[time.Duration][]string{psd2.New - time.Second: nil, psd2.New: nil, psd2.New + time.Second: {"too-far-back"}, -time.Hour: {"authentication-too-old", "too-far-back"}} {
			f := retrieval(at)
			f.Retrieval.From, f.Retrieval.Authenticated = "", at.Add(-ago)
			expect(t, "everything, "+ago.String()+" after", f, codes...)
			if l := psd2.Pack().Limits(f); (l.From == "") != (codes == nil) {
				t.Errorf("%s after a sign-in: from %q", ago, l.From)
			}
		}
	}
}

// TestRTS36Retrieving: without the person an AISP reads an account four times a day, or as often as was agreed; and a person is
// there only with evidence.
func TestRTS36Retrieving(t *testing.T) {
	for agreed, most := range map[int]int{0: 4, 4: 4, 6: 6, 1: 1} {
		f := changed(func(_ *consent.Facts, r *consent.RetrievalFacts) {
			r.Authorisation.Frequency, r.Unattended = agreed, most
		})
		expect(t, "as often as agreed", f)
		f.Retrieval.Unattended++
		expect(t, "once more", f, "too-often")
		f.Retrieval.Present, f.Retrieval.Presence = true, &consent.PresenceFacts{Address: "192.0.2.7", At: now}
		expect(t, "with the person", f)
	}
	for name, k := range map[string]struct {
		evidence *consent.PresenceFacts
		codes    []string
	}{
		"none":                 {nil, []string{"presence-not-shown"}},
		"just in time":         {&consent.PresenceFacts{Address: "2001:db8::1", At: now.Add(-psd2.Asked)}, nil},
		"a second too late":    {&consent.PresenceFacts{Address: "2001:db8::1", At: now.Add(-psd2.Asked - time.Second)}, []string{"presence-not-shown"}},
		"in the future":        {&consent.PresenceFacts{Address: "2001:db8::1", At: now.Add(time.Hour)}, []string{"presence-not-shown"}},
		"at no time":           {&consent.PresenceFacts{Address: "2001:db8::1"}, []string{"presence-not-shown"}},
		"from nowhere":         {&consent.PresenceFacts{At: now}, []string{"presence-not-shown"}},
		"from a host's name":   {&consent.PresenceFacts{Address: "home.example", At: now}, []string{"presence-not-shown"}},
		"from no address":      {&consent.PresenceFacts{Address: "0.0.0.0", At: now}, []string{"presence-not-shown"}},
		"from many at a time":  {&consent.PresenceFacts{Address: "224.0.0.1", At: now}, []string{"presence-not-shown"}},
		"from an injected one": {&consent.PresenceFacts{Address: "192.0.2.7\r\nX: y", At: now}, []string{"presence-not-shown"}},
	} {
		expect(t, name, changed(func(_ *consent.Facts, r *consent.RetrievalFacts) { r.Present, r.Presence = true, k.evidence }), k.codes...)
	}
}

// TestRetrievalRefusals: each says in two languages what is wrong, where it stands, and what to do.
func TestRetrievalRefusals(t *testing.T) {
	pack := psd2.Pack()
	all := pack.Judge(changed(func(_ *consent.Facts, r *consent.RetrievalFacts) {
		*r = consent.RetrievalFacts{Asked: []consent.Information{consent.Transactions}, Authorisation: &consent.AuthorisationFacts{}, Present: true}
	}))
	all = append(all, pack.Judge(changed(func(_ *consent.Facts, r *consent.RetrievalFacts) { r.Unattended = 5 }))...)
	all = append(all, pack.Judge(changed(func(_ *consent.Facts, r *consent.RetrievalFacts) { r.First = true }))...)
	articles := []string{}
	for _, r := range all {
		articles = append(articles, r.Citation.Article)
		if r.Text["en"] == "" || r.Text["fr"] == "" || r.Advice == "" || strings.Contains(r.Text["en"]+r.Text["fr"], "%!") {
			t.Errorf("%+v", r)
		}
	}
	if want := []string{"67(2)(a)", "67(2)(a)", "67(2)(d)", "10a(2)(b)", "10a(1)(b)", "36(5)(a)", "36(5)(b)", "10a(2)(a)"}; !slices.Equal(articles, want) {
		t.Errorf("%v", articles)
	}
}

func BenchmarkJudgeRetrieval(b *testing.B) {
	pack, f := psd2.Pack(), retrieval(now)
	for b.Loop() {
		pack.Judge(f)
		pack.Limits(f)
	}
}
