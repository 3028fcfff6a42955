package dataact_test

import (
	"bytes"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/passerelle-cloud/passerelle/compliance/dataact"
	"github.com/passerelle-cloud/passerelle/consent"
	"github.com/passerelle-cloud/passerelle/formats"
)

var now = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

// facts are those of a step against which there is nothing.
func facts(step consent.Step) consent.Facts {
	move := consent.Detail{Type: consent.InstanceMove, Destination: "other.example", Actions: []consent.Action{consent.Read}, Expires: now.Add(30 * 24 * time.Hour)}
	f := consent.Facts{Now: now, Step: step, Operator: consent.OperatorFacts{ID: "operator.example", Roles: []string{dataact.Role}, Switching: &consent.Switching{Retained: 30, Erased: true}},
		Service: consent.ServiceFacts{ID: "other.example"}, Asked: []consent.Detail{move}}
	switch step {
	case consent.StepGrant, consent.StepRenew:
		f.Granted = []consent.Detail{move}
	case consent.StepPermit:
		f.Asked, f.Access = nil, &consent.AccessFacts{Action: consent.Carry, Detail: &move}
	}
	return f
}

// says fails unless exactly this is said, "" for nothing.
func says(t *testing.T, f consent.Facts, want string) {
	t.Helper()
	pack := dataact.Pack()
	var got []string
	for _, r := range pack.Judge(f) {
		if got = append(got, r.Code+" "+r.Citation.Article); r.Text["en"] == "" || r.Text["fr"] == "" || r.Advice == "" || r.Citation.Law != "Data Act" {
			t.Errorf("%+v", r)
		}
	}
	if strings.Join(got, ", ") != want {
		t.Errorf("%s at %s: %q, not %q", f.Step, f.Now, got, want)
	}
}

// deciding are the steps at which a move is decided.
var deciding = []consent.Step{consent.StepAsk, consent.StepGrant, consent.StepRenew}

func TestNothingIsWrong(t *testing.T) {
	for _, step := range append(deciding, consent.StepPermit) {
		says(t, facts(step), "")
	}
}

// TestDataActArticle50: the law applies from a day on.
func TestDataActArticle50(t *testing.T) {
	pack := dataact.Pack()
	f := facts(consent.StepAsk)
	f.Operator.Switching, f.Asked[0].Expires = nil, f.Now
	f.Now = pack.From.Add(-time.Second)
	says(t, f, "")
	f.Now = time.Date(2025, 9, 12, 0, 0, 0, 0, time.UTC)
	f.Asked[0].Expires = f.Now
	says(t, f, "retrieval-too-short 25(2)(g), erasure-not-promised 25(2)(h)")
	if pack.ID() != "dataact@2025-09-12" {
		t.Error(pack.ID())
	}
}

// TestDataActArticle25_2a: the transition ends with the second in which 30 days are over, after the notice.
func TestDataActArticle25_2a(t *testing.T) {
	paris, err := time.LoadLocation("Europe/Paris")
	if err != nil {
		t.Fatal(err)
	}
	for _, begin := range []time.Time{now, time.Date(2028, 2, 20, 23, 59, 59, 0, time.UTC), time.Date(2027, 3, 20, 12, 0, 0, 0, paris)} {
		for _, step := range []consent.Step{consent.StepAsk, consent.StepGrant} {
			for notice, most := range map[int]time.Duration{0: 30 * 24 * time.Hour, 10: 40 * 24 * time.Hour} {
				f := facts(step)
				f.Now, f.Operator.Switching.Notice = begin.UTC(), notice
				at := &f.Asked[0].Expires
				if step == consent.StepGrant {
					at = &f.Granted[0].Expires
				}
				*at = begin.Add(most)
				says(t, f, "")
				*at = begin.Add(most + time.Second)
				says(t, f, "transition-too-long 25(2)(a)")
				*at = time.Time{}
				says(t, f, "transition-too-long 25(2)(a)")
			}
		}
	}
}

// TestDataActArticle25_5: the person themselves may take more time.
func TestDataActArticle25_5(t *testing.T) {
	f := facts(consent.StepRenew)
	f.Granted[0].Expires = now.Add(60 * 24 * time.Hour)
	says(t, f, "")
}

// TestDataActArticle25_2d: two months of the calendar are as long as they are, and not a day more may be asked for.
func TestDataActArticle25_2d(t *testing.T) {
	for _, c := range []struct {
		from time.Time
		most int
	}{
		{time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC), 61},
		{time.Date(2025, 12, 31, 23, 59, 59, 0, time.UTC), 59}, // until the last day of February
		{time.Date(2027, 12, 31, 0, 0, 0, 0, time.UTC), 60},    // in a leap year
		{time.Date(2026, 7, 1, 0, 0, 0, 0, time.UTC), 62},
	} {
		for _, step := range deciding {
			f := facts(step)
			f.Now, f.Operator.Switching.Notice = c.from, c.most
			f.Asked[0].Expires = c.from.Add(time.Hour)
			if step != consent.StepAsk {
				f.Granted[0].Expires = c.from.Add(time.Hour)
			}
			says(t, f, "")
			f.Operator.Switching.Notice++
			says(t, f, "notice-too-long 25(2)(d)")
		}
	}
}

// TestDataActArticle25_2g: the data can be fetched for 30 days, and who says nothing promises nothing.
func TestDataActArticle25_2g(t *testing.T) {
	for _, step := range deciding {
		f := facts(step)
		f.Operator.Switching.Retained = 29
		says(t, f, "retrieval-too-short 25(2)(g)")
		f.Operator.Switching.Retained = 31
		says(t, f, "")
		f.Operator.Switching = nil
		says(t, f, "retrieval-too-short 25(2)(g), erasure-not-promised 25(2)(h)")
	}
}

// TestDataActArticle25_2h: and is erased then.
func TestDataActArticle25_2h(t *testing.T) {
	for _, step := range deciding {
		f := facts(step)
		f.Operator.Switching.Erased = false
		says(t, f, "erasure-not-promised 25(2)(h)")
	}
}

// TestDataActArticle25_3a: it is said to whom.
func TestDataActArticle25_3a(t *testing.T) {
	f := facts(consent.StepAsk)
	f.Asked[0].Destination = " "
	says(t, f, "destination-missing 25(3)(a)")
}

// TestDataActArticle29: no more than it costs, and from the first second of 12 January 2027 nothing.
func TestDataActArticle29(t *testing.T) {
	free := time.Date(2027, 1, 12, 0, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		at           time.Time
		charge, cost int
		want         string
	}{
		{free.Add(-time.Second), 5, 5, ""},
		{free.Add(-time.Second), 6, 5, "switching-charge-too-high 29(3)"},
		{free, 5, 5, "switching-charge 29(1)"},
		{free, 0, 5, ""},
	} {
		for _, step := range deciding {
			f := facts(step)
			f.Now, f.Operator.Switching.Charge, f.Operator.Switching.Cost = c.at, c.charge, c.cost
			f.Asked[0].Expires = c.at.Add(time.Hour)
			if step != consent.StepAsk {
				f.Granted[0].Expires = c.at.Add(time.Hour)
			}
			says(t, f, c.want)
		}
	}
}

// TestDataActOnlyMoves: what else is asked for has nothing to do with it, and persons are not told of it.
func TestDataActOnlyMoves(t *testing.T) {
	pack := dataact.Pack()
	for _, step := range append(deciding, consent.StepPermit) {
		if f := facts(step); pack.About(f) != "dataact" {
			t.Errorf("%s: a move is not said to be one", step)
		}
		data := []consent.Detail{{Type: consent.PersonalData, Datasets: []formats.Dataset{formats.Contacts}, Expires: now.AddDate(1, 0, 0)}}
		f := consent.Facts{Now: now, Step: step, Asked: data, Granted: data, Access: &consent.AccessFacts{Action: consent.Read, Detail: &data[0]}}
		if says(t, f, ""); pack.About(f) != "" {
			t.Errorf("%s: it is about data that a service reads", step)
		}
	}
}

// TestDataActFaults: terms are held against the same rules before anybody leaves.
func TestDataActFaults(t *testing.T) {
	if faults := dataact.Faults(consent.Switching{Retained: 30, Erased: true}, now); len(faults) != 0 {
		t.Error(faults)
	}
	faults := dataact.Faults(consent.Switching{Notice: 90, Retained: 29, Charge: 1}, now)
	if len(faults) != 4 {
		t.Error(faults)
	}
}

// TestHash: the pack is named by the text of its rules.
func TestHash(t *testing.T) {
	text, err := os.ReadFile("dataact.go")
	if pack := dataact.Pack(); err != nil || !bytes.Equal(pack.Source, text) {
		t.Error(err)
	}
}
