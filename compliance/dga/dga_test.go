package dga_test

import (
	"bytes"
	"os"
	"testing"
	"time"

	"github.com/passerelle-cloud/passerelle/compliance/dga"
	"github.com/passerelle-cloud/passerelle/consent"
	"github.com/passerelle-cloud/passerelle/formats"
)

var now = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

func detail() consent.Detail {
	return consent.Detail{Type: consent.PersonalData, Datasets: []formats.Dataset{formats.Contacts}, Actions: []consent.Action{consent.Read}, ThirdCountry: &consent.ThirdCountry{}}
}

// facts are those of a step against which there is nothing.
func facts(step consent.Step) consent.Facts {
	d := detail()
	f := consent.Facts{Now: now, Step: step, Operator: consent.OperatorFacts{ID: "operator.example", Roles: []string{dga.Role}, Registration: []string{"SIREN:732829320"}},
		Service: consent.ServiceFacts{ID: "invites", Registration: []string{"SIREN:443061841"}}, Asked: []consent.Detail{d, {Type: consent.InstanceMove}}}
	switch step {
	case consent.StepGrant, consent.StepRenew:
		f.Granted, f.Notice = f.Asked, &consent.NoticeFacts{SHA256: "x"}
	case consent.StepPermit:
		f.Access = &consent.AccessFacts{Datasets: d.Datasets, Action: consent.Read, Detail: &d}
	}
	return f
}

// says fails unless exactly this is said, "" for nothing.
func says(t *testing.T, f consent.Facts, want string) {
	t.Helper()
	pack := dga.Pack()
	refusals := pack.Judge(f)
	got := ""
	for _, r := range refusals {
		if got += r.Code; r.Text["en"] == "" || r.Text["fr"] == "" || r.Citation.Law != "DGA" || r.Citation.Article == "" {
			t.Errorf("%+v", r)
		}
	}
	if got != want {
		t.Errorf("%s: %q, not %q", f.Step, got, want)
	}
}

var steps = []consent.Step{consent.StepAsk, consent.StepGrant, consent.StepRenew, consent.StepPermit}

func TestNothingIsWrong(t *testing.T) {
	for _, step := range steps {
		says(t, facts(step), "")
	}
}

func TestArticle12a(t *testing.T) {
	for _, step := range steps {
		f := facts(step)
		f.Service.Registration = append(f.Service.Registration, "SIREN:732829320")
		says(t, f, "operator-is-service")
		f = facts(step)
		f.Service.ID = f.Operator.ID
		says(t, f, "operator-is-service")
		f = facts(step)
		f.Service.ID, f.Operator.ID, f.Operator.Registration = "", "", nil // an operator that is in no register
		says(t, f, "")
	}
}

func TestArticle12e(t *testing.T) {
	f := facts(consent.StepPermit)
	f.Access.Action = consent.Compute
	says(t, f, "tool-not-approved")
	f.Access.Detail.Actions = []consent.Action{consent.Compute}
	says(t, f, "")
	f.Access.Detail = nil
	says(t, f, "tool-not-approved")
}

func TestArticle12m(t *testing.T) {
	for _, step := range []consent.Step{consent.StepGrant, consent.StepRenew} {
		for _, notice := range []*consent.NoticeFacts{nil, {}} {
			f := facts(step)
			f.Notice = notice
			says(t, f, "advice-not-shown")
		}
	}
}

func TestArticle12n(t *testing.T) {
	f := facts(consent.StepAsk)
	f.Asked[0].ThirdCountry = nil
	says(t, f, "third-country-not-named")
	f.Asked = f.Asked[1:] // a move is no consent to a use
	says(t, f, "")
}

// TestPack is dated, and its hash is that of its file.
func TestPack(t *testing.T) {
	pack := dga.Pack()
	text, err := os.ReadFile("dga.go")
	if err != nil || !bytes.Equal(text, pack.Source) || pack.ID() != "dga@2023-09-24" || pack.Draft {
		t.Errorf("%s, %v", pack.ID(), err)
	}
	f := facts(consent.StepAsk)
	f.Asked[0].ThirdCountry, f.Now = nil, time.Date(2023, 9, 23, 23, 59, 59, 0, time.UTC)
	says(t, f, "") // not in force
	f.Now = f.Now.Add(time.Second)
	says(t, f, "third-country-not-named")
}

func BenchmarkRules(b *testing.B) {
	pack, f := dga.Pack(), facts(consent.StepPermit)
	for b.Loop() {
		if len(pack.Judge(f)) != 0 {
			b.Fatal("refused")
		}
	}
}
