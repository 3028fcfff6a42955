package consent

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"
)

// stats count decisions and permits.
type stats struct {
	decisions *prometheus.CounterVec
	permits   *prometheus.CounterVec
	rules     *prometheus.CounterVec
}

func newStats(to prometheus.Registerer) *stats {
	s := &stats{
		decisions: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "passerelle_consent_decisions_total", Help: "Requests and decisions, by what was decided."}, []string{"decision"}),
		permits:   prometheus.NewCounterVec(prometheus.CounterOpts{Name: "passerelle_consent_permits_total", Help: "Accesses that services tried, by outcome."}, []string{"outcome"}),
		rules:     prometheus.NewCounterVec(prometheus.CounterOpts{Name: "passerelle_consent_refusals_total", Help: "What rules were against, by step and rule."}, []string{"step", "rule"}),
	}
	if to != nil {
		to.MustRegister(s.decisions, s.permits, s.rules)
	}
	return s
}

func (s *stats) decided(what string) { s.decisions.WithLabelValues(what).Inc() }

func (s *stats) permit(err error) {
	outcome := "failed"
	switch {
	case err == nil:
		outcome = "permitted"
	case errors.Is(err, ErrPaused):
		outcome = "paused"
	case errors.Is(err, ErrDenied):
		outcome = "denied"
	case errors.Is(err, ErrRefused):
		outcome = "refused"
	case errors.Is(err, ErrSuspended):
		outcome = "suspended"
	}
	s.permits.WithLabelValues(outcome).Inc()
}

func (s *stats) refused(step Step, refusals []*Refusal) {
	for _, r := range refusals {
		s.rules.WithLabelValues(string(step), r.Code).Inc()
	}
}
