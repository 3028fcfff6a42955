package ledger

import (
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// stats counts what an operator watches.
type stats struct {
	size      prometheus.Gauge
	commits   *prometheus.CounterVec
	leaves    prometheus.Counter
	took      prometheus.Histogram
	refusing  prometheus.Gauge
	cosigned  *prometheus.CounterVec
	published prometheus.Gauge
}

func newStats(to prometheus.Registerer) *stats {
	s := &stats{
		size:      prometheus.NewGauge(prometheus.GaugeOpts{Name: "passerelle_ledger_size_leaves", Help: "Leaves in the log, as this process last committed it."}),
		commits:   prometheus.NewCounterVec(prometheus.CounterOpts{Name: "passerelle_ledger_commits_total", Help: "Changes committed with their events, by result."}, []string{"result"}),
		leaves:    prometheus.NewCounter(prometheus.CounterOpts{Name: "passerelle_ledger_leaves_total", Help: "Leaves that this process committed."}),
		took:      prometheus.NewHistogram(prometheus.HistogramOpts{Name: "passerelle_ledger_commit_seconds", Help: "How long a commit takes.", Buckets: prometheus.ExponentialBuckets(0.0005, 2, 14)}),
		refusing:  prometheus.NewGauge(prometheus.GaugeOpts{Name: "passerelle_ledger_refusing", Help: "1 if nothing is signed any more, since that would fork the log."}),
		cosigned:  prometheus.NewCounterVec(prometheus.CounterOpts{Name: "passerelle_ledger_cosignatures_total", Help: "Answers of witnesses, by witness and result."}, []string{"witness", "result"}),
		published: prometheus.NewGauge(prometheus.GaugeOpts{Name: "passerelle_ledger_published_leaves", Help: "Leaves covered by the published checkpoint."}),
	}
	if to != nil {
		to.MustRegister(s.size, s.commits, s.leaves, s.took, s.refusing, s.cosigned, s.published)
	}
	return s
}

func (s *stats) committed(took time.Duration, g *Logged, err error) {
	switch {
	case err == nil:
		s.commits.WithLabelValues("committed").Inc()
		s.leaves.Add(float64(len(g.leaves)))
		s.took.Observe(took.Seconds())
	case errors.Is(err, ErrEvent):
		s.commits.WithLabelValues("refused").Inc()
	default:
		s.commits.WithLabelValues("failed").Inc()
	}
}

func (s *stats) refused() { s.refusing.Set(1) }
