// Package compliance says which articles of the law this program keeps, how, and what was found when it was last looked.
// It finds, and never acts.
package compliance

import (
	"time"

	"github.com/passerelle-cloud/passerelle/consent"
)

// Verdict is what was found.
type Verdict string

// The verdicts.
const (
	Kept    Verdict = "kept"
	Broken  Verdict = "broken"
	Unknown Verdict = "unknown" // nothing to look at yet, or it was not looked
)

// Finding is what the last evaluation of a check found.
type Finding struct {
	Check    string    `json:"check"`
	Verdict  Verdict   `json:"verdict"`
	At       time.Time `json:"at,omitzero"` // of the evaluation
	Looked   int64     `json:"looked"`      // at how many accesses, decisions, …
	Wrong    int64     `json:"wrong"`       // how many of them were against it
	Examples []string  `json:"examples"`    // the first few of what was wrong: ids, with the reason
	Leaves   []int64   `json:"leaves"`      // places in the log where it can be seen
}

// How says in which way an article is kept.
type How string

// The ways.
const (
	ByRule   How = "rule"   // a rule of a pack refuses what is against it
	ByCheck  How = "check"  // what was done is looked at again and again
	ByReport How = "report" // a page or a document of this program shows it
	ByTest   How = "test"   // the program's own tests hold it
	ByPeople How = "people" // no program can keep it
)

// Article is one duty, as far as a program has to do with it.
type Article struct {
	consent.Citation
	Says   map[string]string `json:"says"` // in plain words of ours, by language: "en" and "fr"
	How    []How             `json:"how"`
	Pack   string            `json:"pack,omitempty"`   // name of the rule pack, for ByRule
	Checks []string          `json:"checks,omitempty"` // for ByCheck
	Tests  []string          `json:"tests"`            // "package.Test", of this program
	Where  string            `json:"where,omitempty"`  // page of the desk, or command
	Why    map[string]string `json:"why,omitempty"`    // for ByPeople: why no program can, and who does
}

// AddMonths counts months as Regulation (EEC, Euratom) 1182/71 article 3(2)(c) does: to the same day of a later month, or
// to its last day where it has no such day.
func AddMonths(t time.Time, months int) time.Time {
	first := time.Date(t.Year(), t.Month()+time.Month(months), 1, t.Hour(), t.Minute(), t.Second(), t.Nanosecond(), t.Location())
	last := first.AddDate(0, 1, -1).Day()
	return first.AddDate(0, 0, min(t.Day(), last)-1)
}
