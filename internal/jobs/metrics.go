package jobs

import (
	"context"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// counters are of what this process did.
type counters struct {
	done, failed, givenUp *prometheus.CounterVec
}

// observe makes the metrics, and registers them where somebody wants them.
func (q *Queue) observe() error {
	counter := func(name, help string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, []string{"kind"})
	}
	q.count = counters{
		done:    counter("passerelle_jobs_done_total", "Jobs that were done."),
		failed:  counter("passerelle_jobs_failed_total", "Runs of jobs that failed."),
		givenUp: counter("passerelle_jobs_given_up_total", "Jobs that failed and are not tried again."),
	}
	if q.config.Metrics == nil {
		return nil
	}
	gauge := prometheus.NewDesc("passerelle_jobs_pending", "Jobs in the database that wait or run.", []string{"kind"}, nil)
	for _, c := range []prometheus.Collector{q.count.done, q.count.failed, q.count.givenUp, pending{q, gauge}} {
		if err := q.config.Metrics.Register(c); err != nil {
			return fmt.Errorf("count jobs: %w", err)
		}
	}
	return nil
}

// pending counts, when it is asked, what is in the database.
type pending struct {
	q    *Queue
	desc *prometheus.Desc
}

func (p pending) Describe(out chan<- *prometheus.Desc) { out <- p.desc }

const patience = 5 * time.Second

func (p pending) Collect(out chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	counts, err := p.q.pending(ctx)
	if err != nil {
		out <- prometheus.NewInvalidMetric(p.desc, err)
		return
	}
	for kind, n := range counts {
		out <- prometheus.MustNewConstMetric(p.desc, prometheus.GaugeValue, float64(n), kind)
	}
}

// pending counts the jobs that have not ended. Each kind that has a worker is there.
func (q *Queue) pending(ctx context.Context) (map[string]int, error) {
	counts := map[string]int{}
	for kind := range q.workers {
		counts[kind] = 0
	}
	rows, err := q.db.Read.QueryContext(ctx, `SELECT kind, count(*) FROM river_job
WHERE state IN ('available', 'pending', 'retryable', 'running', 'scheduled') GROUP BY kind`)
	if err != nil {
		return nil, fmt.Errorf("count the jobs that wait: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var kind string
		var n int
		if err := rows.Scan(&kind, &n); err != nil {
			return nil, err
		}
		counts[kind] = n
	}
	return counts, rows.Err()
}
