package bank_test

import (
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/passerelle-cloud/passerelle/internal/dbtest"
	"github.com/passerelle-cloud/passerelle/operators/bank/banktest"
	"github.com/passerelle-cloud/passerelle/transfer/bank"
)

// BenchmarkWholeRetrieval is a first retrieval of five accounts with 5,000 operations each, with all that belongs to it: each page
// allowed and logged before, operations matched and kept, records in the home. It says how much longer that takes than to
// download the same pages.
func BenchmarkWholeRetrieval(b *testing.B) {
	floor, whole := time.Hour, time.Hour
	for b.Loop() {
		r := newRig(b, dbtest.SQLite(b), banktest.Config{Operations: 5000, PageSize: 500})
		c := r.connect(banktest.Bulk)
		start := time.Now()
		got := r.refresh(c, r.presence())
		whole = min(whole, time.Since(start))
		if _, n := r.records(); n < 25_000 {
			b.Fatalf("%d operations", n)
		}
		start = time.Now()
		r.download(got)
		floor = min(floor, time.Since(start))
	}
	b.ReportMetric(float64(whole)/float64(floor), "times-download")
	b.ReportMetric(whole.Seconds(), "s/retrieval")
}

// download reads the pages of all accounts and throws them away.
func (r *rig) download(c *bank.Connection) {
	r.t.Helper()
	for _, a := range c.Accounts {
		for at := r.server.URL + "/v1/accounts/" + a.Resource + "/transactions?bookingStatus=both&dateFrom=2000-01-01"; at != ""; {
			q, err := http.NewRequest(http.MethodGet, at, nil)
			if err != nil {
				r.t.Fatal(err)
			}
			q.Header = http.Header{"X-Request-Id": {uuid.NewString()}, "Consent-Id": {c.Consent}, "Psu-Ip-Address": {"192.0.2.7"}}
			got, err := http.DefaultClient.Do(q)
			if err != nil {
				r.t.Fatal(err)
			}
			text, err := io.ReadAll(got.Body)
			got.Body.Close()
			if err != nil || got.StatusCode != http.StatusOK {
				r.t.Fatal(got.Status, err)
			}
			at = ""
			if m := nextPage.FindSubmatch(text); m != nil {
				at = strings.ReplaceAll(string(m[1]), `\u0026`, "&")
			}
		}
	}
}

var nextPage = regexp.MustCompile(`"next":\{"href":"([^"]+)"`)
