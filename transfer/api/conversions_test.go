package api_test

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"strings"
	"testing"

	"github.com/passerelle-cloud/passerelle/consent/ledger"
	"github.com/passerelle-cloud/passerelle/internal/dbtest"
	"github.com/passerelle-cloud/passerelle/internal/sqldb"
)

// finished is what the log says of the last access that ended.
type finished struct{ Form, Source, SHA256 string }

func (p *person) finished(t *testing.T) (f finished) {
	t.Helper()
	for e, err := range p.Ledger.Events(t.Context(), "alice") {
		if err != nil {
			t.Fatal(err)
		}
		if e.Fields[ledger.Type] == "access.finished" {
			if err := json.Unmarshal([]byte(e.Fields[ledger.Detail]), &f); err != nil {
				t.Fatal(err)
			}
			return f
		}
	}
	t.Fatal("no access is logged")
	return f
}

// TestArticle12dConversions: what is converted is logged with the hashes of before and after, and a person can refuse that it is (DGA
// article 12(d)).
func TestArticle12dConversions(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		p := newPerson(t, db, asking(`"datasets":["contacts"]`))
		hash := func(text string) string {
			sum := sha256.Sum256([]byte(text))
			return hex.EncodeToString(sum[:])
		}
		_, lines := p.get(t, "/data/contacts", "Accept", "application/x-ndjson")
		if got := p.finished(t); got != (finished{SHA256: hash(lines)}) {
			t.Errorf("as it is: %+v", got)
		}
		_, cards := p.get(t, "/data/contacts", "Accept", "text/vcard")
		if got := p.finished(t); !strings.HasPrefix(got.Form, "text/vcard") || got.Source != hash(lines) || got.SHA256 != hash(cards) {
			t.Errorf("converted: %+v", got)
		}
		for range 2 {
			if err := p.SetAsIs(t.Context(), "alice", true); err != nil {
				t.Fatal(err)
			}
		}
		if answer, body := p.get(t, "/data/contacts", "Accept", "text/vcard"); answer.StatusCode != 406 || strings.Contains(body, "text/vcard") {
			t.Errorf("refused: %s %s", answer.Status, body)
		}
		if answer, _ := p.get(t, "/data/contacts/c007", "Accept", "text/vcard"); answer.StatusCode != 406 {
			t.Errorf("refused, one record: %s", answer.Status)
		}
		if answer, body := p.get(t, "/data/contacts", "Accept", "text/vcard, application/json;q=0.1"); answer.StatusCode != 200 || !strings.HasPrefix(body, `{"records"`) {
			t.Errorf("or else as it is: %s %.100s", answer.Status, body)
		}
		if err := p.SetAsIs(t.Context(), "alice", false); err != nil {
			t.Fatal(err)
		}
		if answer, _ := p.get(t, "/data/contacts", "Accept", "text/vcard"); answer.StatusCode != 200 {
			t.Errorf("allowed again: %s", answer.Status)
		}
		said := 0
		for e, err := range p.Ledger.Events(t.Context(), "alice") {
			if err != nil {
				t.Fatal(err)
			}
			if strings.HasPrefix(e.Fields[ledger.Type], "conversions.") {
				said++
			}
		}
		if said != 2 {
			t.Errorf("it is logged %d times", said)
		}
	})
}
