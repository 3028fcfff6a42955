package consent_test

import (
	"context"
	"testing"
	"time"

	"github.com/passerelle-cloud/passerelle/compliance/gdpr"
	"github.com/passerelle-cloud/passerelle/consent"
	"github.com/passerelle-cloud/passerelle/consent/consenttest"
	"github.com/passerelle-cloud/passerelle/internal/dbtest"
	"github.com/passerelle-cloud/passerelle/internal/sqldb"
)

// TestArticle12fRefusalsAreCounted: what rules refuse is in a register, with the reason, by day and service.
func TestArticle12fRefusalsAreCounted(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		f := consenttest.New(t, db, func(o *consent.Options) { o.Packs = []consent.Pack{gdpr.Pack()} })
		f.Service(t, "reader")
		for range 2 {
			_, err := f.Authority.Ask(context.Background(), consent.Asking{Service: "reader", Details: []byte(`[{"type":"personal_data","datasets":["contacts"],"actions":["read"]}]`), Expires: time.Now().Add(time.Hour)}, nil)
			if err == nil {
				t.Fatal("it was not refused")
			}
		}
		list, err := f.RefusedCounts(context.Background(), time.Now().AddDate(0, 0, -1), 100)
		if err != nil {
			t.Fatal(err)
		}
		found := map[string]int64{}
		for _, r := range list {
			if r.Service != "reader" || r.Step != consent.StepAsk || r.Citation.Law != "GDPR" {
				t.Errorf("%+v", r)
			}
			found[r.Code] = r.Count
		}
		if found["purpose-missing"] != 2 || found["retention-missing"] != 2 || found["recipients-missing"] != 2 {
			t.Errorf("%v", found)
		}
	})
}
