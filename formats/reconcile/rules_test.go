package reconcile_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/passerelle-cloud/passerelle/formats/reconcile"
)

func TestRulesOfTheRepositoryAreSound(t *testing.T) {
	files, err := filepath.Glob("rules/*.json")
	if err != nil || len(files) < 2 {
		t.Fatalf("%v, %v", files, err)
	}
	for _, file := range files {
		country := strings.ToUpper(strings.TrimSuffix(filepath.Base(file), ".json"))
		rules, err := reconcile.RulesFor(country)
		if err != nil || rules.Country != country {
			t.Errorf("%s: the rules of %v, %v", file, rules, err)
		}
	}
	for _, elsewhere := range []string{"XX", "", "../fr", "f\x00"} {
		if rules, err := reconcile.RulesFor(elsewhere); err != nil || rules.Country != "ZZ" {
			t.Errorf("%q: %v, %v", elsewhere, rules, err)
		}
	}
}

func TestEveryFaultOfRulesIsNamed(t *testing.T) {
	sound, err := os.ReadFile("rules/fr.json")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, old, new string
		want           []string
	}{
		{"a member that nobody knows", `"country": "FR",`, `"country": "FR", "colour": "red",`, []string{"colour"}},
		{"a member twice", `"country": "FR",`, `"country": "FR", "country": "BE",`, []string{"twice"}},
		{"another format", `passerelle-reconciliation/1`, `passerelle-reconciliation/2`, []string{"format"}},
		{"no country", `"country": "FR"`, `"country": "fra"`, []string{"country"}},
		{"a pattern that is none", `"cpam", "c p a m"`, `"C.P.A.M.", "x", "a*b"`, []string{"labels[0]", "labels[1]", "labels[2]"}},
		{"two vendors of one name", `"issuers": ["edf"`, `"issuers": ["engie"`, []string{`"engie" is that of`}},
		{"a window that never opens", `"bill": {"before": 7, "after": 29, "usual": 12}`, `"bill": {"before": 7, "after": 0, "usual": 12}`, []string{"bill: after is 0"}},
		{"an amount that is none", `"withheld": "2.00"`, `"withheld": "-2.00"`, []string{"withheld"}},
		{"a payer that is none", `"payer": "insurance"`, `"payer": "state"`, []string{"payer"}},
		{"two faults", `"late": 30,
    "forget": 365`, `"late": 0,
    "forget": 0`, []string{"late", "forget"}},
	} {
		text := strings.Replace(string(sound), c.old, c.new, 1)
		if text == string(sound) {
			t.Errorf("%s: nothing was changed", c.name)
		}
		_, err := reconcile.ParseRules([]byte(text))
		if !errors.Is(err, reconcile.ErrRules) {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		for _, want := range c.want {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %q is not named in %v", c.name, want, err)
			}
		}
	}
}

// Rules from elsewhere are refused or can be used.
func FuzzRules(f *testing.F) {
	for _, file := range []string{"rules/fr.json", "rules/zz.json"} {
		text, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Add([]byte(`{}`))
	small := newTruth("fuzz", 1, 60, 20)
	f.Fuzz(func(t *testing.T, text []byte) {
		rules, err := reconcile.ParseRules(text)
		if err != nil {
			if !errors.Is(err, reconcile.ErrRules) {
				t.Fatal(err)
			}
			return
		}
		reconcile.Run(reconcile.Input{Operations: small.operations, Bills: small.bills, Rules: rules})
	})
}
