// Package api is the interface over which services read the data that persons consented to, while the consent lasts. It
// must never know where data is kept, nor how a token is checked: that is handed in.
package api

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/passerelle-cloud/passerelle/consent"
	"github.com/passerelle-cloud/passerelle/formats"
	"github.com/passerelle-cloud/passerelle/internal/problem"
	"github.com/passerelle-cloud/passerelle/operators"
	"github.com/passerelle-cloud/passerelle/transfer"
	"github.com/passerelle-cloud/passerelle/transfer/money"
)

// Options are what the interface needs. Authority, Caller, Denied and Instance must be set.
type Options struct {
	Authority *consent.Authority
	// Caller returns the consent that a request's token names, and Denied answers where there is none.
	Caller func(*http.Request) (*consent.Consent, error)
	Denied func(http.ResponseWriter, *http.Request, error)
	// Instance opens the instance of a person.
	Instance func(ctx context.Context, person string) (transfer.Reader, error)
	// Overdue answers how much a person waits for; nil: nothing is answered.
	Overdue func(ctx context.Context, person string) (money.Overdue, error)
	// Certificate is what a request's certificate for payment services says; nil: it is not looked at.
	Certificate func(*http.Request) *consent.CertificateFacts
	// Renew is where a person gives a consent again; nil: nowhere.
	Renew func(consentID string) string
	// Codecs are the open formats that can be asked for.
	Codecs []formats.Codec
	// Rate is how many requests a second each service may make, and Burst how many at once; 0 means 50 and 200.
	Rate, Burst int
	Log         *slog.Logger          // nil: nothing is logged
	Stat        prometheus.Registerer // nil: nothing is counted
}

// API serves the data.
type API struct {
	opt    Options
	limits *limits
	sent   *prometheus.CounterVec
	open   prometheus.Gauge
}

// New returns the interface.
func New(opt Options) *API {
	if opt.Rate == 0 {
		opt.Rate, opt.Burst = 50, 200
	}
	if opt.Log == nil {
		opt.Log = slog.New(slog.DiscardHandler)
	}
	a := &API{opt: opt, limits: newLimits(opt.Rate, opt.Burst),
		sent: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "passerelle_transfer_data_bytes_total", Help: "Bytes of data that services were sent, by dataset."}, []string{"dataset"}),
		open: prometheus.NewGauge(prometheus.GaugeOpts{Name: "passerelle_transfer_streams", Help: "Accesses under way."})}
	if opt.Stat != nil {
		opt.Stat.MustRegister(a.sent, a.open)
	}
	return a
}

// reading is one request for data.
type reading struct {
	*API
	w       http.ResponseWriter
	r       *http.Request
	consent *consent.Consent
	from    transfer.Reader
	// question is what is to be answered; "": records are read.
	question consent.Question
}

// begin finds out who asks for whose data, or answers why not.
func (a *API) begin(w http.ResponseWriter, r *http.Request) (*reading, bool) {
	w.Header().Set("Cache-Control", "private, no-store")
	c, err := a.opt.Caller(r)
	if err != nil {
		a.opt.Denied(w, r, err)
		return nil, false
	}
	if wait := a.limits.take(w.Header(), c.Service, time.Now()); wait > 0 {
		problem.Problem{Type: "too-many-requests", Title: "Too many requests", Status: http.StatusTooManyRequests,
			Detail: fmt.Sprintf("Wait %d s: see the Retry-After header.", int(wait.Seconds())+1)}.Write(w)
		return nil, false
	}
	q := &reading{API: a, w: w, r: r, consent: c}
	if q.from, err = a.opt.Instance(r.Context(), c.Person); err != nil {
		q.fail(err)
		return nil, false
	}
	return q, true
}

// permit asks for the permit, without which nothing is read, or answers why there is none.
func (q *reading) permit(action consent.Action, datasets ...formats.Dataset) (*flow, transfer.Fetch, bool) {
	access := consent.Access{Consent: q.consent.ID, Service: q.consent.Service, Datasets: datasets, Action: action, Question: q.question, Token: tokenHash(q.r), Present: present(q.r)}
	if q.opt.Certificate != nil {
		access.Certificate = q.opt.Certificate(q.r)
	}
	p, err := q.opt.Authority.Permit(q.r.Context(), access)
	if err != nil {
		q.fail(err)
		return nil, transfer.Fetch{}, false
	}
	if s := p.Session(); s != "" {
		q.w.Header().Set("Session-Id", s)
	}
	return q.flow(p, datasets), transfer.Fetch{Permit: p, From: q.from}, true
}

// present reports whether a service gives evidence that the person asked for this just now: their address, as the Berlin
// Group's PSU-IP-Address says it. It is not kept.
func present(r *http.Request) bool {
	address, err := netip.ParseAddr(r.Header.Get("PSU-IP-Address"))
	return err == nil && !address.IsUnspecified() && !address.IsMulticast() // nobody is there
}

// tokenHash says which token a request carries without giving it away: the SHA-256, hexadecimal.
func tokenHash(r *http.Request) string {
	_, token, ok := strings.Cut(r.Header.Get("Authorization"), " ")
	if !ok {
		return ""
	}
	sum := sha256.Sum256([]byte(token))
	return hex.EncodeToString(sum[:])
}

// fail answers with a problem. Nothing must have been written before.
func (q *reading) fail(err error) { q.problemOf(err).Write(q.w) }

func (q *reading) problemOf(err error) problem.Problem {
	var refused *consent.RefusedError
	switch {
	case errors.As(err, &refused):
		more := map[string]any{"refusals": refused.Refusals}
		if q.opt.Renew != nil && slices.ContainsFunc(refused.Refusals, func(r *consent.Refusal) bool { return r.Renew }) {
			more["renew"] = q.opt.Renew(q.consent.ID)
		}
		return problem.Problem{Type: "refused", Title: "A rule is against it", Status: http.StatusForbidden, Detail: err.Error(), More: more}
	case errors.Is(err, consent.ErrPaused):
		return problem.Problem{Type: "consent-paused", Title: "The person has paused the consent", Status: http.StatusForbidden,
			Detail: "Nothing can be read for now. The consent and its tokens stay valid: try again later. An event tells when it goes on."}
	case errors.Is(err, consent.ErrDenied), errors.Is(err, consent.ErrSuspended):
		return problem.Problem{Type: "not-covered", Title: "The consent does not cover this", Status: http.StatusForbidden, Detail: err.Error() + ". GET the grant to see what it covers, or ask the person again."}
	case errors.Is(err, transfer.ErrWithheld):
		return problem.Problem{Type: "not-found", Title: "There is no such record", Status: http.StatusNotFound, Detail: err.Error()}
	case errors.Is(err, operators.ErrNotFound):
		return problem.Problem{Type: "gone", Title: "The instance is not here any more", Status: http.StatusGone, Detail: "The person has left this operator."}
	case errors.Is(err, operators.ErrUnsupported):
		return problem.Problem{Type: "position", Title: "There was no such position", Status: http.StatusBadRequest, Detail: err.Error() + ". Begin again without since."}
	case errors.Is(err, operators.ErrContentMissing):
		q.opt.Log.Error("content is missing", "error", err)
		return problem.Problem{Type: "content-missing", Title: "The content is missing", Status: http.StatusInternalServerError, Detail: "The operator has lost these bytes, and knows it now."}
	case errors.Is(err, operators.ErrChanged):
		return problem.Problem{Type: "changed", Title: "It changed meanwhile", Status: http.StatusConflict, Detail: "Ask for the record again."}
	}
	q.opt.Log.Error("data could not be read", "error", err)
	return problem.Problem{Type: "unavailable", Title: "Data cannot be read now", Status: http.StatusServiceUnavailable, Detail: "Try again in a moment."}
}

// bad answers a request that cannot be understood.
func (q *reading) bad(detail string) {
	problem.Problem{Type: "bad-request", Title: "The request is not understood", Status: http.StatusBadRequest, Detail: detail}.Write(q.w)
}

// dataset is the dataset of the path.
func (q *reading) dataset() (formats.Dataset, bool) {
	d, err := formats.ParseDataset(q.r.PathValue("dataset"))
	if err != nil {
		var names []string
		for _, known := range formats.Datasets() {
			names = append(names, string(known))
		}
		problem.Problem{Type: "not-found", Title: "There is no such dataset", Status: http.StatusNotFound, Detail: "The datasets are " + strings.Join(names, ", ") + "."}.Write(q.w)
	}
	return d, err == nil
}
