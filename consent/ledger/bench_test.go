package ledger_test

import (
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/passerelle-cloud/passerelle/consent/ledger"
	"github.com/passerelle-cloud/passerelle/internal/dbtest"
	"github.com/passerelle-cloud/passerelle/internal/sqldb"
)

// A rate is measured for so long, in turns with the others that it is compared with.
const (
	turn  = time.Second
	turns = 5
)

// rate runs do in some goroutines for a turn, and returns how often a second it was done.
func rate(b *testing.B, callers int, do func(caller, n int) error) float64 {
	var done atomic.Int64
	var wg sync.WaitGroup
	begin := time.Now()
	for c := range callers {
		wg.Go(func() {
			for time.Since(begin) < turn {
				if err := do(c, int(done.Add(1))); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	return float64(done.Load()) / time.Since(begin).Seconds()
}

// best measures things in turns and returns the best rate of each: whatever else the machine does only makes it slower.
func best(things ...func() float64) []float64 {
	out := make([]float64, len(things))
	for range turns {
		for i, thing := range things {
			out[i] = max(out[i], thing())
		}
	}
	return out
}

// BenchmarkSQLite compares one caller, 64 callers, and the disk's fsync. Run it on a real disk.
func BenchmarkSQLite(b *testing.B) {
	f := setup(b, dbtest.SQLite(b))
	file, err := os.Create(filepath.Join(b.TempDir(), "fsync"))
	if err != nil {
		b.Fatal(err)
	}
	defer file.Close()
	block := make([]byte, 16<<10)
	var ids atomic.Int64
	commit := func(c, n int) error {
		_, err := change(b.Context(), f.Ledger, int(ids.Add(1)), fmt.Sprintf("person-%d-%d", c, n%50))
		return err
	}
	for range b.N {
		rates := best(
			func() float64 {
				return rate(b, 1, func(int, int) error {
					if _, err := file.Write(block); err != nil {
						return err
					}
					return file.Sync()
				})
			},
			func() float64 { return rate(b, 1, commit) },
			func() float64 { return rate(b, 64, commit) },
		)
		b.ReportMetric(rates[0], "fsync/s")
		b.ReportMetric(rates[1], "one/s")
		b.ReportMetric(rates[2], "64/s")
		b.ReportMetric(rates[2]/rates[1], "64-to-one")
		b.ReportMetric(rates[2]/rates[0], "64-to-fsync")
	}
	b.ReportMetric(0, "ns/op")
}

// BenchmarkPostgres compares 64 callers at three replicas with the same callers that insert the same row and commit.
func BenchmarkPostgres(b *testing.B) {
	where := dbtest.PostgresURL(b)
	var replicas []*ledger.Ledger
	var plain []*sqldb.DB
	var f *fixture
	for i := range 3 {
		db, err := sqldb.Open(b.Context(), where)
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { db.Close() })
		if i == 0 {
			f = setup(b, db)
		} else {
			other := *f
			other.db, other.opt.HighWater = db, ""
			other.open(b)
			replicas = append(replicas, other.Ledger)
		}
		plain = append(plain, db)
	}
	replicas = append(replicas, f.Ledger)
	var ids atomic.Int64
	var mu sync.Mutex
	var late []time.Duration
	if _, err := f.db.Write.Exec(`CREATE TABLE plain (id BIGINT PRIMARY KEY, leaf BYTEA NOT NULL, sealed BYTEA)`); err != nil {
		b.Fatal(err)
	}
	leaf, sealed := make([]byte, ledger.LeafSize), make([]byte, 330)
	for range b.N {
		rates := best(
			func() float64 {
				return rate(b, 64, func(c, n int) error {
					return plain[c%3].Tx(b.Context(), func(tx *sql.Tx) error {
						_, err := tx.ExecContext(b.Context(), `INSERT INTO plain (id, leaf, sealed) VALUES ($1, $2, $3)`, ids.Add(1), leaf, sealed)
						return err
					})
				})
			},
			func() float64 {
				return rate(b, 64, func(c, n int) error {
					_, err := replicas[c%3].Append(b.Context(), event(fmt.Sprintf("person-%d-%d", c, n%50), "x"))
					return err
				})
			},
			func() float64 {
				return rate(b, 64, func(c, n int) error {
					return plain[c%3].Tx(b.Context(), func(tx *sql.Tx) error {
						_, err := tx.ExecContext(b.Context(), `INSERT INTO change (id, what) VALUES ($1, $2)`, ids.Add(1), fmt.Sprintf("person-%d-%d", c, n%50))
						return err
					})
				})
			},
			func() float64 {
				return rate(b, 64, func(c, n int) error {
					logged, err := change(b.Context(), replicas[c%3], int(ids.Add(1)), fmt.Sprintf("person-%d-%d", c, n%50))
					if err == nil && n%50 == 0 {
						begin := time.Now()
						_, _, err = logged.Wait(b.Context())
						mu.Lock()
						late = append(late, time.Since(begin))
						mu.Unlock()
					}
					return err
				})
			},
		)
		b.ReportMetric(rates[0], "leaf-rows/s")
		b.ReportMetric(rates[1], "events/s")
		b.ReportMetric(rates[1]/rates[0], "events-to-rows")
		b.ReportMetric(rates[2], "changes/s")
		b.ReportMetric(rates[3], "changes-and-events/s")
		b.ReportMetric(rates[3]/rates[2], "with-a-change")
		b.ReportMetric(percentile(late, 99).Seconds()*1000, "p99-ms")
	}
	b.ReportMetric(0, "ns/op")
	runtime.KeepAlive(replicas)
}

func percentile(all []time.Duration, p int) time.Duration {
	slices.Sort(all)
	return all[len(all)*p/100]
}
