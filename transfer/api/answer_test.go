package api_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/passerelle-cloud/passerelle/consent"
	"github.com/passerelle-cloud/passerelle/consent/consenttest"
	"github.com/passerelle-cloud/passerelle/internal/dbtest"
	"github.com/passerelle-cloud/passerelle/internal/sqldb"
)

func answering(parts string) string {
	return `[{"type":"answer","questions":["reimbursements_overdue"],` + parts + `"purpose":{"iri":"` + consenttest.Purpose + `","text":{"en":"To remind you"}},"expires":"` +
		time.Now().AddDate(0, 1, 0).UTC().Format(time.RFC3339) + `"}]`
}

// Who was granted an answer gets it, nothing of what it is made of, and not one byte after it was withdrawn.
func TestAnswer(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		p := newPerson(t, db, answering(""))
		const want = `{"question":"reimbursements_overdue","as_of":"2026-11-02","count":2,"amounts":[{"currency":"EUR","amount":"61.50"}]}` + "\n"
		if answer, body := p.get(t, "/data/answers/reimbursements_overdue"); answer.StatusCode != 200 || body != want {
			t.Error(answer.Status, body)
		}
		for path, status := range map[string]int{"/data/health": 403, "/data/health/x": 403, "/data/bank": 403, "/data/changes?datasets=health": 403, "/data/changes": 403, "/data/answers/everything": 404} {
			if answer, body := p.get(t, path); answer.StatusCode != status {
				t.Errorf("%s: %s %s", path, answer.Status, body)
			}
		}
		accesses, _, err := p.Accesses(t.Context(), p.consent.ID, "alice", "", 10)
		if err != nil || len(accesses) != 1 || accesses[0].Action != consent.Compute || accesses[0].Bytes != int64(len(want)) {
			t.Errorf("%+v, %v", accesses, err)
		}
		if _, err := p.Withdraw(t.Context(), consent.Ending{Consent: p.consent.ID, Person: "alice", State: consent.Withdrawn}); err != nil {
			t.Fatal(err)
		}
		if answer, body := p.get(t, "/data/answers/reimbursements_overdue"); answer.StatusCode != 403 || strings.Contains(body, "61.50") {
			t.Error(answer.Status, body)
		}
	})
}

// Whoever may read, or compute from, records has not asked for an answer.
func TestRecordsAreNoAnswers(t *testing.T) {
	p := newPerson(t, dbtest.SQLite(t), strings.Replace(asking(`"datasets":["health"]`), `"subscribe"`, `"compute"`, 1))
	if answer, body := p.get(t, "/data/answers/reimbursements_overdue"); answer.StatusCode != 403 {
		t.Error(answer.Status, body)
	}
}

// What is not the form of an answer is refused when it is asked.
func TestAnswersAreAboutNoRecords(t *testing.T) {
	f := consenttest.New(t, dbtest.SQLite(t))
	f.Service(t, "reader")
	for name, details := range map[string]string{
		"more data": answering(`"datasets":["health","bank"],`), "other actions": answering(`"actions":["read"],`), "fields": answering(`"fields":{"health":["date"]},`), "days": answering(`"from":"2026-01-01",`),
		"no question":       strings.Replace(answering(""), `"questions":["reimbursements_overdue"],`, "", 1),
		"an unheard-of one": strings.Replace(answering(""), "reimbursements_overdue", "salary", 1), "a question about data": strings.Replace(answering(`"datasets":["health"],`), `"answer"`, `"personal_data"`, 1),
	} {
		_, err := f.Authority.Ask(t.Context(), consent.Asking{Service: "reader", Details: json.RawMessage(details), Expires: time.Now().Add(time.Hour)}, nil)
		if err == nil || !strings.Contains(err.Error(), "not understood") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
