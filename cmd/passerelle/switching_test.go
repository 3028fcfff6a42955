package main

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/passerelle-cloud/passerelle/formats/archive"
	"github.com/passerelle-cloud/passerelle/formats/statement"
)

// TestDataActArticle25_2gTerms: a gateway does not start with terms that the law does not allow.
func TestDataActArticle25_2gTerms(t *testing.T) {
	for days, wrong := range map[int]string{30: "", 3650: "", 29: "25(2)(g)", 0: "", -1: "25(2)(g)", 3651: "3650 days"} {
		err := switchFlags{RetainMoved: days}.check(time.Now())
		if (err == nil) != (wrong == "") || err != nil && (!errors.Is(err, errUsage) || !strings.Contains(err.Error(), wrong)) {
			t.Errorf("%d days: %v", days, err)
		}
	}
	out, code := call(t, "--data", t.TempDir(), "serve", "--retain-moved", "29")
	if code != exitUsage || !strings.Contains(out, "--retain-moved 30") {
		t.Errorf("%d: %s", code, out)
	}
}

// TestDataActArticle25_2gCalendarDays: the last hour of the thirtieth day has gone by, wherever a person is, whatever was
// the time of day, and if clocks were put back or forward.
func TestDataActArticle25_2gCalendarDays(t *testing.T) {
	for _, name := range []string{"UTC", "Europe/Paris", "Atlantic/Azores", "Pacific/Kiritimati", "America/Cayenne"} {
		zone, err := time.LoadLocation(name)
		if err != nil {
			t.Fatal(err)
		}
		for hour := range 366 * 24 {
			moved := time.Date(2027, 11, 1, hour, 0, 0, 0, zone)
			y, m, d := moved.Date()
			if end := time.Date(y, m, d+31, 0, 0, 0, 0, zone); moved.Add(kept(30)).Before(end) {
				t.Fatalf("moved on %s, erased on %s", moved, moved.Add(kept(30)).In(zone))
			}
		}
	}
}

// TestDataActArticle25_2gKept: what is promised is what is done.
func TestDataActArticle25_2gKept(t *testing.T) {
	terms := switchFlags{RetainMoved: 45}.switching()
	s := &server{switching: &terms}
	if got := s.senderOptions(&gateway{}, archive.Party{}).Retain; got < 45*24*time.Hour || got != kept(45) {
		t.Errorf("kept for %s", got)
	}
	if said := (switchFlags{}).switching(); said.Retained != 30 {
		t.Errorf("who says nothing keeps it for %d days", said.Retained)
	}
	if facts := s.operatorFacts(statement.Operator{}); facts.Switching.Retained != 45 || !facts.Switching.Erased {
		t.Errorf("%+v", facts)
	}
}
