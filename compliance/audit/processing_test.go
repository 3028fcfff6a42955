package audit_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/passerelle-cloud/passerelle/compliance/audit"
	"github.com/passerelle-cloud/passerelle/consent"
	"github.com/passerelle-cloud/passerelle/consent/consenttest"
	"github.com/passerelle-cloud/passerelle/formats/statement"
	"github.com/passerelle-cloud/passerelle/internal/dbtest"
	"github.com/passerelle-cloud/passerelle/internal/sqldb"
)

// TestArticle30Processing: the record of processing has one entry for each service and purpose, with all that persons agreed to.
func TestArticle30Processing(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		o := newOffice(t, db)
		for _, person := range []string{"a", "b", "c", "d", "e", "f"} {
			o.Grant(t, "reader", person)
		}
		o.withdraw(t, o.Grant(t, "other", "a"))
		details := strings.Replace(string(consenttest.Details(time.Now().AddDate(1, 0, 0))), `"no_recipients":true,"third_country":"none"`,
			`"recipients":[{"name":"Host Inc","country":"US"}],"third_country":{"countries":["US"],"safeguard":"standard contractual clauses"}`, 1)
		r := o.AskFor(t, consent.Asking{Service: "other", Details: json.RawMessage(details)})
		if _, err := o.Fixture.Authority.Grant(ctx, o.Decision(t, r, "b"), nil); err != nil {
			t.Fatal(err)
		}
		p, err := o.Processing(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if len(p.Activities) != 2 || len(p.Security) == 0 || p.Operator == "" {
			t.Fatalf("%+v", p)
		}
		abroad, home := p.Activities[0], p.Activities[1]
		if abroad.Client != "other" || !abroad.Persons.Hidden || len(abroad.Recipients) != 1 || abroad.Countries[0] != "US" || abroad.Safeguards[0] != "standard contractual clauses" {
			t.Errorf("%+v", abroad)
		}
		if home.Client != "reader" || home.Persons.Count != 6 || len(home.Datasets) != 2 || home.Retention[0] != "P30D" || home.Purpose != consenttest.Purpose || home.Contact == "" {
			t.Errorf("%+v", home)
		}
	})
}

// TestArticle11Notification: what the profile says is in the notification, and what it does not say is left open.
func TestArticle11Notification(t *testing.T) {
	o := statement.Operator{LegalName: "Maison SA", Country: "FR", Registrations: []statement.Registration{{Scheme: "SIREN", Value: "552100554"}},
		Contact: &statement.Contact{Email: "dpo@maison.example", URL: "https://maison.example"}, Address: &statement.Address{Street: "1 rue X", PostalCode: "35000", Locality: "Rennes", Country: "FR"}}
	n := audit.NewNotification(o, "aaaa bbbb", "log+key", "witness+key", time.Now())
	text := n.Text()
	for _, want := range []string{"Maison SA", "SIREN 552100554", "1 rue X, 35000 Rennes, FR", "dpo@maison.example", "https://maison.example", "article 10(b)", "log+key", "witness+key", "to be filled in"} {
		if !strings.Contains(text, want) {
			t.Errorf("it does not say %q:\n%s", want, text)
		}
	}
	if n.Missing != 2 {
		t.Errorf("%d are missing", n.Missing)
	}
	if n := audit.NewNotification(statement.Operator{}, "", "", "", time.Now()); n.Missing != len(n.Items)-1 {
		t.Errorf("of an empty profile %d of %d are missing", n.Missing, len(n.Items))
	}
}
