package gdpr_test

import (
	"bytes"
	"encoding/json"
	"maps"
	"os"
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

const (
	purpose  = "https://w3id.org/dpv#ServiceProvision"
	sentence = "Envoyer vos invitations à vos proches"
)

func detail() consent.Detail {
	return consent.Detail{
		Type: consent.PersonalData, Datasets: []formats.Dataset{formats.Contacts}, Actions: []consent.Action{consent.Read}, Retention: "P30D", Frequency: "P1D",
		Purpose: consent.Purpose{IRI: purpose, Text: map[string]string{"fr": sentence}}, Expires: now.AddDate(2, 0, 0),
		NoRecipients: true, ThirdCountry: &consent.ThirdCountry{},
	}
}

func move() consent.Detail {
	return consent.Detail{Type: consent.InstanceMove, Destination: "https://other-operator.example"}
}

func service() consent.ServiceFacts {
	return consent.ServiceFacts{ID: "s", LegalName: "S", Country: "FR", Purposes: []string{purpose}, Notices: map[string]string{"en": "https://s.example/"}}
}

func ask() consent.Facts {
	return consent.Facts{Now: now, Step: consent.StepAsk, Service: service(), Asked: []consent.Detail{detail(), move()}}
}

func grant() consent.Facts {
	f := ask()
	f.Step, f.Granted = consent.StepGrant, []consent.Detail{detail(), move()}
	f.Notice, f.Session = &consent.NoticeFacts{SHA256: "x", Language: "fr", Version: "1"}, &consent.SessionFacts{Method: "password"}
	return f
}

// renew is a consent of a year ago that is about to end.
func renew() consent.Facts {
	f := grant()
	f.Step, f.Notice, f.Consent = consent.StepRenew, nil, &consent.ConsentFacts{State: consent.Given, Expires: now.AddDate(0, 0, 1)}
	f.Asked[0].Expires = f.Consent.Expires
	return f
}

func permit() consent.Facts {
	d := detail()
	return consent.Facts{Now: now, Step: consent.StepPermit, Service: service(), Consent: &consent.ConsentFacts{State: consent.Given, Expires: d.Expires},
		Access: &consent.AccessFacts{Datasets: d.Datasets, Action: consent.Read, Detail: &d}}
}

func of(d *consent.Detail, text ...string) {
	d.Purpose.Text = map[string]string{}
	for i := 0; i < len(text); i += 2 {
		d.Purpose.Text[text[i]] = text[i+1]
	}
}

// asked changes what is asked for, and granted what is granted.
func asked(change func(*consent.Detail)) func(*consent.Facts) {
	return func(f *consent.Facts) { change(&f.Asked[0]) }
}

func granted(change func(*consent.Detail)) func(*consent.Facts) {
	return func(f *consent.Facts) { change(&f.Granted[0]) }
}

// cases each have one fault, or none.
var cases = []struct {
	name   string
	of     func() consent.Facts
	change func(*consent.Facts)
	want   string // the codes
}{
	{"a complete request", ask, nil, ""},
	{"a complete grant", grant, nil, ""},
	{"a complete renewal", renew, nil, ""},
	{"a complete access", permit, nil, ""},
	{"a move alone", ask, func(f *consent.Facts) { f.Asked = f.Asked[1:] }, ""},

	{"no purpose", ask, asked(func(d *consent.Detail) { d.Purpose.IRI = "" }), "purpose-missing"},
	{"another purpose", ask, asked(func(d *consent.Detail) { d.Purpose.IRI = "https://w3id.org/dpv#Advertising" }), "purpose-not-registered"},
	{"a purpose that is not registered any more", renew, func(f *consent.Facts) { f.Service.Purposes = []string{"https://w3id.org/dpv#Advertising"} }, "purpose-not-registered"},
	{"no words", ask, asked(func(d *consent.Detail) { d.Purpose.Text = nil }), "purpose-not-in-words"},
	{"a keyword", ask, asked(func(d *consent.Detail) { of(d, "en", " Marketingpurposes ") }), "purpose-not-in-words"},
	{"a heading", ask, asked(func(d *consent.Detail) { of(d, "en", "Service provision") }), "purpose-not-in-words"},
	{"short words", ask, asked(func(d *consent.Detail) { of(d, "en", "to do it") }), "purpose-not-in-words"},
	{"dots", ask, asked(func(d *consent.Detail) { of(d, "en", ". . . . . . . . . .") }), "purpose-not-in-words"},
	{"the identifier", ask, asked(func(d *consent.Detail) { of(d, "en", "see https://w3id.org/dpv/#service-provision") }), "purpose-not-in-words"},
	{"a language that nobody is asked in", ask, asked(func(d *consent.Detail) { of(d, "la", "Ad amicos tuos invitandos") }), "purpose-not-in-words"},
	{"words in one language, a keyword in the other", ask, asked(func(d *consent.Detail) { of(d, "en", "todo", "fr", sentence) }), "purpose-not-in-words"},
	{"words with apostrophes", ask, asked(func(d *consent.Detail) { of(d, "fr", "L’envoi d’invitations") }), ""},
	{"health, said in one language", ask, asked(func(d *consent.Detail) { d.Datasets = []formats.Dataset{formats.Health} }), "health-purpose-not-in-both-languages"},
	{"health, said in both", ask, asked(func(d *consent.Detail) {
		d.Datasets = []formats.Dataset{formats.Health}
		of(d, "fr", sentence, "en", "To send your invitations")
	}), ""},

	{"no retention", ask, asked(func(d *consent.Detail) { d.Retention = "" }), "retention-missing"},
	{"a long retention", ask, asked(func(d *consent.Detail) { d.Retention = "P10Y1M" }), "retention-too-long"},
	{"an endless retention", ask, asked(func(d *consent.Detail) { d.Retention = "P9999Y9999M" }), "retention-too-long"},
	{"ten years", ask, asked(func(d *consent.Detail) { d.Retention = "P10Y" }), ""},
	{"ten years in months", ask, asked(func(d *consent.Detail) { d.Retention = "P120M" }), ""},
	{"ten years in days", ask, asked(func(d *consent.Detail) { d.Retention = "P3653D" }), ""},
	{"a second too many", ask, asked(func(d *consent.Detail) { d.Retention = "P10YT1S" }), "retention-too-long"},
	{"a day, an hour and a minute", ask, asked(func(d *consent.Detail) { d.Retention = "P1DT1H1M" }), ""},
	{"weeks", ask, asked(func(d *consent.Detail) { d.Retention = "P600W" }), "retention-too-long"},

	{"no recipients said", ask, asked(func(d *consent.Detail) { d.NoRecipients = false }), "recipients-missing"},
	{"recipients", ask, asked(func(d *consent.Detail) {
		d.NoRecipients, d.Recipients = false, []consent.Recipient{{Name: "X", Country: "FR"}}
	}), ""},
	{"no third country said", ask, asked(func(d *consent.Detail) { d.ThirdCountry = nil }), "third-country-missing"},
	{"a recipient elsewhere", ask, asked(func(d *consent.Detail) {
		d.NoRecipients, d.Recipients = false, []consent.Recipient{{Name: "X", Country: "US"}}
	}), "third-country-not-named"},
	{"another one elsewhere", ask, asked(func(d *consent.Detail) {
		d.NoRecipients, d.Recipients = false, []consent.Recipient{{Name: "X", Country: "US"}, {Name: "Y", Country: "BR"}}
		d.ThirdCountry = &consent.ThirdCountry{Countries: []string{"US"}, Safeguard: "clauses"}
	}), "third-country-not-named"},
	{"a recipient elsewhere, who is named", ask, asked(func(d *consent.Detail) {
		d.NoRecipients, d.Recipients = false, []consent.Recipient{{Name: "X", Country: "US"}}
		d.ThirdCountry = &consent.ThirdCountry{Countries: []string{"US"}, Safeguard: "clauses"}
	}), ""},
	{"a recipient in Norway and one on Réunion", ask, asked(func(d *consent.Detail) {
		d.NoRecipients, d.Recipients = false, []consent.Recipient{{Name: "X", Country: "NO"}, {Name: "Y", Country: "RE"}}
	}), ""},
	{"a service elsewhere", ask, func(f *consent.Facts) { f.Service.Country = "CH" }, "third-country-not-named"},
	{"no safeguard", ask, asked(func(d *consent.Detail) {
		d.ThirdCountry = &consent.ThirdCountry{Countries: []string{"US"}, Safeguard: " "}
	}), "safeguard-missing"},

	{"no end", ask, asked(func(d *consent.Detail) { d.Expires = time.Time{} }), "end-missing"},
	{"a late end", ask, asked(func(d *consent.Detail) { d.Expires = now.AddDate(2, 0, 3) }), "end-too-far"},
	{"an end that is hardly one", ask, asked(func(d *consent.Detail) { d.Expires = now.AddDate(5000, 0, 0) }), "end-too-far"},
	{"renewed for ever", renew, granted(func(d *consent.Detail) { d.Expires = now.AddDate(2, 0, 3) }), "end-too-far"},
	{"renewed without an end", renew, granted(func(d *consent.Detail) { d.Expires = time.Time{} }), "end-missing"},
	{"no frequency", ask, asked(func(d *consent.Detail) { d.Frequency = "" }), "frequency-missing"},
	{"once, and for each change", ask, asked(func(d *consent.Detail) {
		d.Frequency, d.Actions = "once", []consent.Action{consent.Read, consent.Subscribe}
	}), "frequency-contradicted"},
	{"once", ask, asked(func(d *consent.Detail) { d.Frequency = "once" }), ""},
	{"a period", ask, asked(func(d *consent.Detail) { d.From, d.To = "2025-01-01", "2025-01-01" }), ""},
	{"an open period", ask, asked(func(d *consent.Detail) { d.From = "2025-01-01" }), ""},
	{"a period that ends before it begins", ask, asked(func(d *consent.Detail) { d.From, d.To = "2025-01-02", "2025-01-01" }), "window-not-understood"},
	{"granted up to a day that there is not", grant, granted(func(d *consent.Detail) { d.To = "9" }), "window-not-understood"},
	{"everything", ask, asked(func(d *consent.Detail) {
		d.Datasets = formats.Datasets()
		of(d, "fr", sentence, "en", "To send your invitations")
	}), "too-much"},
	{"everything, piece by piece", ask, func(f *consent.Facts) { f.Asked = pieces(func(int) string { return purpose }) }, "too-much"},
	{"everything, merged into what there is", grant, func(f *consent.Facts) { f.Granted = pieces(func(int) string { return purpose }) }, "too-much"},
	{"every dataset for a purpose of its own", ask, func(f *consent.Facts) {
		f.Asked = pieces(func(i int) string { return purpose + string(rune('A'+i)) })
		for _, d := range f.Asked {
			f.Service.Purposes = append(f.Service.Purposes, d.Purpose.IRI)
		}
	}, ""},
	{"the same dataset many times", ask, func(f *consent.Facts) { f.Asked = slices.Repeat([]consent.Detail{detail()}, 20) }, ""},
	{"computed from passwords", ask, asked(func(d *consent.Detail) {
		d.Datasets, d.Actions = []formats.Dataset{formats.Passwords}, []consent.Action{consent.Read, consent.Compute}
	}), "passwords-computed"},
	{"passwords, read", ask, asked(func(d *consent.Detail) { d.Datasets = []formats.Dataset{formats.Passwords} }), ""},
	{"a move to nowhere", ask, func(f *consent.Facts) { f.Asked[1].Destination = " " }, "destination-missing"},
	{"no privacy notice", ask, func(f *consent.Facts) { f.Service.Notices = nil }, "privacy-notice-missing"},
	{"an empty privacy notice", ask, func(f *consent.Facts) { f.Service.Notices = map[string]string{"fr": ""} }, "privacy-notice-missing"},

	{"nothing shown", grant, func(f *consent.Facts) { f.Notice = nil }, "notice-not-shown"},
	{"shown on nobody knows which page", grant, func(f *consent.Facts) { f.Notice.Version = "" }, "notice-not-shown"},
	{"nobody known", grant, func(f *consent.Facts) { f.Session = nil }, "person-not-known"},
	{"renewed by nobody", renew, func(f *consent.Facts) { f.Session = nil }, "person-not-known"},
	{"granted for longer than asked", grant, asked(func(d *consent.Detail) { d.Expires = now.AddDate(1, 0, 0) }), "end-later-than-asked"},
	{"granted for less than asked", grant, granted(func(d *consent.Detail) { d.Expires = now.AddDate(1, 0, 0) }), ""},
	{"merged with what lasts longer", grant, func(f *consent.Facts) {
		f.Asked[0].Expires, f.Consent = now.AddDate(1, 0, 0), &consent.ConsentFacts{State: consent.Given, Expires: f.Granted[0].Expires}
	}, ""},

	{"withdrawn", permit, func(f *consent.Facts) { f.Consent.State = consent.Withdrawn }, "consent-not-valid"},
	{"renewed", permit, func(f *consent.Facts) { f.Consent.State = consent.Renewed }, ""},
	{"ends this second", permit, func(f *consent.Facts) { f.Consent.Expires = now }, "consent-not-valid"},
	{"ends the next second", permit, func(f *consent.Facts) { f.Consent.Expires = now.Add(time.Second) }, ""},
	{"no consent", permit, func(f *consent.Facts) { f.Consent = nil }, "consent-not-valid"},
	{"another dataset", permit, func(f *consent.Facts) { f.Access.Datasets = []formats.Dataset{formats.Bank} }, "outside-of-what-was-granted"},
	{"another dataset too, which another detail covers", permit, func(f *consent.Facts) { f.Access.Datasets = []formats.Dataset{formats.Bank, formats.Contacts} }, ""},
	{"another action", permit, func(f *consent.Facts) { f.Access.Action = consent.Compute }, "outside-of-what-was-granted"},
	{"the detail has ended", permit, func(f *consent.Facts) { f.Access.Detail.Expires = now }, "outside-of-what-was-granted"},
	{"no access", permit, func(f *consent.Facts) { f.Access = nil }, "outside-of-what-was-granted"},
	{"one page after the other", permit, func(f *consent.Facts) {
		f.Access.Detail.Frequency, f.Consent.Accesses, f.Access.Last = "once", 40, now.Add(-time.Second)
	}, ""},
}

// pieces asks for each dataset by itself.
func pieces(purpose func(int) string) (list []consent.Detail) {
	for i, set := range formats.Datasets() {
		d := detail()
		d.Datasets, d.Purpose.IRI = []formats.Dataset{set}, purpose(i)
		of(&d, "fr", sentence, "en", "To send your invitations")
		list = append(list, d)
	}
	return list
}

func judge(f consent.Facts) (list []*consent.Refusal) {
	for _, rule := range gdpr.Pack().Rules {
		if r := rule(f); r != nil {
			list = append(list, r)
		}
	}
	return list
}

// codes are those of the rules that are against something.
func codes(f consent.Facts) string {
	var list []string
	for _, r := range judge(f) {
		list = append(list, r.Code)
	}
	return strings.Join(list, " ")
}

// each runs a test on the facts of each case.
func each(t *testing.T, test func(t *testing.T, f consent.Facts, want string)) {
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			f := c.of()
			if c.change != nil {
				c.change(&f)
			}
			test(t, f, c.want)
		})
	}
}

func TestRules(t *testing.T) {
	each(t, func(t *testing.T, f consent.Facts, want string) {
		if got := codes(f); got != want {
			t.Errorf("%q, not %q", got, want)
		}
	})
}

// article holds that each of some faults is refused, and that the refusal cites the article.
func article(t *testing.T, number string, faults ...string) {
	t.Helper()
	for _, fault := range faults {
		tried := 0
		each(t, func(t *testing.T, f consent.Facts, want string) {
			if want != fault {
				return
			}
			tried++
			list := judge(f)
			if len(list) != 1 || list[0].Code != fault || list[0].Citation.Article != number && !strings.HasPrefix(list[0].Citation.Article, number+"(") {
				t.Errorf("%+v", list)
			}
		})
		if tried == 0 {
			t.Errorf("no case has the fault %s", fault)
		}
	}
}

func TestArticle5(t *testing.T) {
	article(t, "5", "purpose-missing", "purpose-not-registered", "too-much", "window-not-understood", "retention-too-long", "end-missing", "end-too-far", "end-later-than-asked",
		"frequency-missing", "frequency-contradicted", "outside-of-what-was-granted", "passwords-computed")
}

func TestArticle6(t *testing.T)  { article(t, "6", "consent-not-valid") }
func TestArticle7(t *testing.T)  { article(t, "7", "notice-not-shown", "person-not-known") }
func TestArticle9(t *testing.T)  { article(t, "9", "health-purpose-not-in-both-languages") }
func TestArticle12(t *testing.T) { article(t, "12", "purpose-not-in-words") }
func TestArticle13(t *testing.T) {
	article(t, "13", "privacy-notice-missing", "recipients-missing", "retention-missing", "third-country-missing", "third-country-not-named", "safeguard-missing")
}
func TestArticle20(t *testing.T) { article(t, "20", "destination-missing") }

// TestRefusals looks at what people are told by every rule.
func TestRefusals(t *testing.T) {
	code := regexp.MustCompile(`^[a-z]+(-[a-z]+)*$`)
	article := regexp.MustCompile(`^\d+(\(\d+\))?(\([a-z]\))?$`)
	articles := map[string]string{} // by code
	each(t, func(t *testing.T, f consent.Facts, _ string) {
		for _, r := range judge(f) {
			en, fr := r.Text["en"], r.Text["fr"]
			if len(r.Text) != 2 || en == fr || !strings.HasSuffix(en, ".") || !strings.HasSuffix(fr, ".") {
				t.Errorf("%s tells a person %q and %q", r.Code, en, fr)
			}
			if !code.MatchString(r.Code) || r.Citation.Law != "GDPR" || !article.MatchString(r.Citation.Article) {
				t.Errorf("%s cites %s", r.Code, r.Citation)
			}
			if other, ok := articles[r.Code]; ok && other != r.Citation.Article {
				t.Errorf("%s stands in %s and in %s", r.Code, other, r.Citation.Article)
			}
			articles[r.Code] = r.Citation.Article
		}
	})
	if rules := len(gdpr.Pack().Rules); len(articles) != rules {
		t.Errorf("there are %d rules, and the cases have %d codes: %q", rules, len(articles), slices.Sorted(maps.Keys(articles)))
	}
}

// TestAdvice does what a service's developer is told: it names members that there are, and then nothing is wrong.
func TestAdvice(t *testing.T) {
	names := members(consent.Detail{}, consent.Purpose{}, consent.Recipient{}, consent.ThirdCountry{}, consent.Service{})
	for _, set := range formats.Datasets() {
		names = append(names, string(set))
	}
	names = append(names, string(consent.Read), string(consent.Subscribe), string(consent.Compute), "none", "once", "continuous")
	each(t, func(t *testing.T, f consent.Facts, want string) {
		if f.Step != consent.StepAsk || want == "" {
			return
		}
		text, example, found := strings.Cut(judge(f)[0].Advice, " Example: ")
		if !found {
			t.Fatalf("%s has no example", want)
		}
		for _, quoted := range regexp.MustCompile(`"([^"]*)"`).FindAllStringSubmatch(text, -1) {
			if !slices.Contains(names, quoted[1]) {
				t.Errorf("there is no member %q: %s", quoted[1], text)
			}
		}
		follow(t, &f, want, "{"+example+"}")
		if got := codes(f); got != "" {
			t.Errorf("who follows the advice %s is refused for %s", example, got)
		}
	})
}

// follow puts the members of an example where they belong.
func follow(t *testing.T, f *consent.Facts, code, example string) {
	t.Helper()
	if code == "privacy-notice-missing" {
		var s consent.Service
		decode(t, example, &s)
		f.Service.Notices = s.Notices
		return
	}
	for i := range f.Asked {
		if (f.Asked[i].Type == consent.InstanceMove) == (code == "destination-missing") {
			decode(t, example, &f.Asked[i])
		}
	}
}

func decode(t *testing.T, text string, into any) {
	t.Helper()
	dec := json.NewDecoder(strings.NewReader(text))
	dec.DisallowUnknownFields()
	if err := dec.Decode(into); err != nil {
		t.Errorf("%s: %v", text, err)
	}
}

func members(of ...any) (names []string) {
	for _, v := range of {
		for i := range reflect.TypeOf(v).NumField() {
			name, _, _ := strings.Cut(reflect.TypeOf(v).Field(i).Tag.Get("json"), ",")
			names = append(names, name)
		}
	}
	return names
}

// TestWhich asks for several things, some of which are at fault: the advice says which.
func TestWhich(t *testing.T) {
	f := ask()
	good, bad := detail(), detail()
	bad.Retention = ""
	f.Asked = []consent.Detail{move(), bad, good, bad}
	list := judge(f)
	if len(list) != 1 || !strings.HasPrefix(list[0].Advice, "authorization_details[1], [3]: Say for how long") {
		t.Errorf("%+v", list)
	}
	f.Asked = []consent.Detail{bad}
	if list := judge(f); len(list) != 1 || !strings.HasPrefix(list[0].Advice, "Say for how long") {
		t.Errorf("%+v", list)
	}
}

// TestAllAtOnce asks for everything and says nothing.
func TestAllAtOnce(t *testing.T) {
	const want = "purpose-missing purpose-not-in-words retention-missing recipients-missing third-country-missing end-missing frequency-missing too-much privacy-notice-missing"
	f := consent.Facts{Now: now, Step: consent.StepAsk, Asked: []consent.Detail{{Type: consent.PersonalData, Datasets: formats.Datasets()}}}
	if got := codes(f); got != want {
		t.Errorf("%q, not %q", got, want)
	}
}

// TestSource has the pack's hash be of all of its rules.
func TestSource(t *testing.T) {
	var want []byte
	for _, file := range []string{"gdpr.go", "asked.go", "decided.go"} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		want = append(want, text...)
	}
	p := gdpr.Pack()
	if !bytes.Equal(p.Source, want) || p.ID() != "gdpr@2018-05-25" {
		t.Error(p.ID(), "is of other text than its files have")
	}
	entries, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	files := 0
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), ".go") && !strings.HasSuffix(e.Name(), "_test.go") {
			files++
		}
	}
	if files != 3 {
		t.Errorf("the source has 3 files, the folder %d", files)
	}
	p.Source[0]++
	if q := gdpr.Pack(); !bytes.Equal(q.Source, want) {
		t.Error("one who has the pack can change it for others")
	}
}

// TestPure asks again, at once, and after the facts were stored: nothing else may matter.
func TestPure(t *testing.T) {
	each(t, func(t *testing.T, f consent.Facts, want string) {
		before, err := json.Marshal(f)
		if err != nil {
			t.Fatal(err)
		}
		first := judge(f)
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				if !reflect.DeepEqual(judge(f), first) {
					t.Error("the same facts are judged differently")
				}
			})
		}
		wg.Wait()
		if after, _ := json.Marshal(f); !bytes.Equal(after, before) {
			t.Error("a rule changed the facts")
		}
		var stored consent.Facts
		if err := json.Unmarshal(before, &stored); err != nil {
			t.Fatal(err)
		}
		if got := codes(stored); got != want {
			t.Errorf("as stored: %q, not %q", got, want)
		}
	})
}

// FuzzRules never panics, whatever the facts, and always says the same.
func FuzzRules(f *testing.F) {
	for _, c := range cases {
		facts := c.of()
		if c.change != nil {
			c.change(&facts)
		}
		text, err := json.Marshal(facts)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		var facts consent.Facts
		if json.Unmarshal(text, &facts) != nil {
			return
		}
		list := judge(facts)
		if !reflect.DeepEqual(judge(facts), list) {
			t.Error("the same facts are judged differently")
		}
		for _, r := range list {
			if r.Code == "" || r.Text["en"] == "" || r.Text["fr"] == "" || r.Citation.Article == "" {
				t.Errorf("%+v", r)
			}
		}
	})
}
