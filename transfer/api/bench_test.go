package api_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/passerelle-cloud/passerelle/consent"
	"github.com/passerelle-cloud/passerelle/consent/consenttest"
	"github.com/passerelle-cloud/passerelle/formats"
	"github.com/passerelle-cloud/passerelle/internal/dbtest"
	"github.com/passerelle-cloud/passerelle/internal/sqldb"
	"github.com/passerelle-cloud/passerelle/operators"
	"github.com/passerelle-cloud/passerelle/operators/home"
)

// sink takes an answer and throws it away.
type sink struct {
	header http.Header
	status int
	bytes  int64
}

func (s *sink) Header() http.Header              { return s.header }
func (s *sink) WriteHeader(status int)           { s.status = status }
func (s *sink) Write(p []byte) (int, error)      { s.bytes += int64(len(p)); return len(p), nil }
func (s *sink) SetWriteDeadline(time.Time) error { return nil }
func (s *sink) Flush()                           {}

// cpu is the processor time that this process has used.
func cpu() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// contacts is an instance with so many contacts.
func contacts(b *testing.B, db *sqldb.DB, n int) *home.Instance {
	b.Helper()
	h, err := home.Open(b.Context(), db, filepath.Join(b.TempDir(), "blobs"))
	if err != nil {
		b.Fatal(err)
	}
	instance, err := h.Create(b.Context(), "alice", home.Options{})
	if err != nil {
		b.Fatal(err)
	}
	load, err := instance.Target().Load(b.Context(), operators.Origin{Time: time.Now()})
	if err != nil {
		b.Fatal(err)
	}
	for i := range n {
		body := fmt.Sprintf(`{"@type":"Card","version":"1.0","uid":"u%d","name":{"@type":"Name","full":"Person Number %d","components":[{"kind":"given","value":"Person"},{"kind":"surname","value":"Number %d"}]},
			"emails":{"e1":{"@type":"EmailAddress","address":"person%d@example.org","contexts":{"private":true}}},"phones":{"p1":{"@type":"Phone","number":"+33 6 00 %05d","features":{"mobile":true}}},
			"addresses":{"a1":{"@type":"Address","full":"%d rue des Exemples, 35000 Rennes","countryCode":"FR"}},"notes":{"n1":{"@type":"Note","note":%q}}}`, i, i, i, i, i, i, strings.Repeat("met at the harbour ", 10))
		record := formats.Record{ID: fmt.Sprintf("contact-%06d", i), Dataset: formats.Contacts, Kind: formats.KindCard, Created: time.Unix(int64(i), 0), Body: json.RawMessage(body),
			Native: &formats.Native{Type: "io.cozy.contacts", Document: json.RawMessage(`{"fullname":"Person","email":[{"address":"person@example.org"}],"note":"` + strings.Repeat("met at the harbour ", 10) + `"}`)}}
		if _, err := load.PutRecord(b.Context(), record); err != nil {
			b.Fatal(err)
		}
	}
	if err := load.Finish(b.Context()); err != nil {
		b.Fatal(err)
	}
	return instance
}

// BenchmarkNDJSON streams 10,000 contacts: whole, and with some fields only. MB/s are of what is stored, by CPU time.
func BenchmarkNDJSON(b *testing.B) {
	db := dbtest.SQLite(b)
	f := consenttest.New(b, db)
	f.Service(b, "reader")
	h := handler(f, contacts(b, db, 10_000).Reader())
	stored := int64(0)
	for _, c := range []struct {
		name   string
		fields []string
	}{{"whole", nil}, {"fields", []string{"name", "emails", "phones"}}} {
		r := f.Ask(b, "reader")
		d := f.Decision(b, r, "alice")
		if c.fields != nil {
			d.Details[0].Fields = map[formats.Dataset][]string{formats.Contacts: c.fields}
		}
		given, err := f.Authority.Grant(b.Context(), d, nil)
		if err != nil {
			b.Fatal(err)
		}
		b.Run(c.name, func(b *testing.B) {
			begin := cpu()
			var sent int64
			for b.Loop() {
				w := &sink{header: http.Header{}}
				request, _ := http.NewRequestWithContext(context.Background(), http.MethodGet, "/data/contacts", nil)
				request.Header.Set("Accept", "application/x-ndjson")
				request.Header.Set("X-Consent", given.ID)
				h.ServeHTTP(w, request)
				if w.bytes < 1_000_000 {
					b.Fatalf("%d: %d bytes", w.status, w.bytes)
				}
				sent = w.bytes
			}
			if c.fields == nil {
				stored = sent
			}
			took := (cpu() - begin) / time.Duration(b.N)
			b.ReportMetric(float64(stored)/1e6/took.Seconds(), "cpu-MB/s")
			b.ReportMetric(float64(sent)/1e6, "MB-sent")
		})
	}
}

// BenchmarkPermit is what a permit with its durable leaf costs, 64 readers at once; and its end with another leaf.
func BenchmarkPermit(b *testing.B) {
	for name, open := range map[string]func(testing.TB) *sqldb.DB{"sqlite": dbtest.SQLite, "postgres": dbtest.Postgres} {
		b.Run(name, func(b *testing.B) {
			f := consenttest.New(b, open(b))
			f.Service(b, "reader")
			var given []consent.Consent
			for n := range 64 {
				given = append(given, f.Grant(b, "reader", fmt.Sprintf("person-%d", n)))
			}
			run := func(n int, done bool) time.Duration {
				begin := cpu()
				var wg sync.WaitGroup
				for c := range 64 {
					wg.Go(func() {
						for range n / 64 {
							p, err := f.Permit(context.Background(), consent.Access{Consent: given[c].ID, Service: "reader", Datasets: []formats.Dataset{formats.Contacts}, Action: consent.Read})
							if err == nil && done {
								err = p.Done(context.Background(), consent.Sent{Outcome: consent.Complete})
							}
							if err != nil {
								b.Error(err)
								return
							}
						}
					})
				}
				wg.Wait()
				return (cpu() - begin) / time.Duration(n)
			}
			for b.Loop() {
				b.ReportMetric(run(6400, false).Seconds()*1000, "cpu-ms/permit")
				b.ReportMetric(run(6400, true).Seconds()*1000, "cpu-ms/permit+done")
			}
			b.ReportMetric(0, "ns/op")
		})
	}
}

// BenchmarkGrowth is what a permit costs when there are more and more consents: of 64 persons, each with its revision.
func BenchmarkGrowth(b *testing.B) {
	for name, open := range map[string]func(testing.TB) *sqldb.DB{"sqlite": dbtest.SQLite, "postgres": dbtest.Postgres} {
		b.Run(name, func(b *testing.B) {
			f := consenttest.New(b, open(b))
			f.Service(b, "reader")
			for n := range 64 {
				f.Grant(b, "reader", fmt.Sprintf("person-%d", n))
			}
			have := 0
			for _, size := range []int{100, 10_000, 1_000_000} {
				copies(b, f, have, size)
				have = size
				b.Run(fmt.Sprint(size), func(b *testing.B) {
					for b.Loop() {
						begin := cpu()
						const n = 4096
						var wg sync.WaitGroup
						for c := range 64 {
							wg.Go(func() {
								for i := range n / 64 {
									id := fmt.Sprintf("copy-%d", (c+i*7919*64)%size)
									_, err := f.Permit(context.Background(), consent.Access{Consent: id, Service: "reader", Datasets: []formats.Dataset{formats.Contacts}, Action: consent.Read})
									if err != nil {
										b.Error(err)
										return
									}
								}
							})
						}
						wg.Wait()
						b.ReportMetric((cpu()-begin).Seconds()*1000/n, "cpu-ms/permit")
					}
					b.ReportMetric(0, "ns/op")
				})
			}
		})
	}
}

// copies makes consents by copying one, without a log of that: only what is read counts here.
func copies(b *testing.B, f *consenttest.Fixture, from, to int) {
	b.Helper()
	for _, statement := range []string{`
		INSERT INTO consent_consent (id, person, service, state, revision, created, changed, expires, accesses, last, before)
		SELECT 'copy-' || n.n, 'person-' || (n.n % 64), service, state, revision, created, changed, expires, 0, 0, 0
		FROM (SELECT * FROM consent_consent WHERE person = 'person-0' AND id NOT LIKE 'copy-%' LIMIT 1) c, numbers n`, `
		INSERT INTO consent_revision (consent, number, state, details, request, notice, language, method, reason, at, expires, packs, facts)
		SELECT 'copy-' || n.n, number, state, details, request, notice, language, method, reason, at, expires, packs, facts
		FROM (SELECT * FROM consent_revision WHERE consent IN (SELECT id FROM consent_consent WHERE person = 'person-0' AND id NOT LIKE 'copy-%') LIMIT 1) c, numbers n`,
	} {
		with := `WITH RECURSIVE numbers (n) AS (SELECT CAST($1 AS BIGINT) UNION ALL SELECT n + 1 FROM numbers WHERE n + 1 < $2) `
		insert, rest, _ := strings.Cut(statement, "SELECT")
		if _, err := f.DB.Write.Exec(insert+with+"SELECT"+rest, from, to); err != nil {
			b.Fatal(err)
		}
	}
}
