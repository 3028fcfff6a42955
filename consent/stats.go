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
	retrieved *prometheus.CounterVec
}

func newStats(to prometheus.Registerer) *stats {
	s := &stats{
		decisions: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "passerelle_consent_decisions_total", Help: "Requests and decisions, by what was decided."}, []string{"decision"}),
		permits:   prometheus.NewCounterVec(prometheus.CounterOpts{Name: "passerelle_consent_permits_total", Help: "Accesses that services tried, by outcome."}, []string{"outcome"}),
		rules:     prometheus.NewCounterVec(prometheus.CounterOpts{Name: "passerelle_consent_refusals_total", Help: "What rules were against, by step and rule."}, []string{"step", "rule"}),
		retrieved: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "passerelle_consent_retrievals_total", Help: "Readings at banks that were about to begin, by outcome."}, []string{"outcome"}),
	}
	if to != nil {
		to.MustRegister(s.decisions, s.permits, s.rules, s.retrieved)
	}
	return s
}

func (s *stats) decided(what string) { s.decisions.WithLabelValues(what).Inc() }

func (s *stats) permit(err error) { s.permits.WithLabelValues(outcomeOf(err)).Inc() }

func (s *stats) retrieval(err error) { s.retrieved.WithLabelValues(outcomeOf(err)).Inc() }

func outcomeOf(err error) string {
	switch {
	case err == nil:
		return "permitted"
	case errors.Is(err, ErrPaused):
		return "paused"
	case errors.Is(err, ErrDenied):
		return "denied"
	case errors.Is(err, ErrRefused):
		return "refused"
	case errors.Is(err, ErrSuspended):
		return "suspended"
	}
	return "failed"
}

func (s *stats) refused(step Step, refusals []*Refusal) {
	for _, r := range refusals {
		s.rules.WithLabelValues(string(step), r.Code).Inc()
	}
}
