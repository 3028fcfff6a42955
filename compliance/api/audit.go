// Package api is the regulator's interface for programs, and that of operators who invite them. Everything that is asked
// here is logged before it is answered: compliance/audit does that. It must never know how an administrator was
// authenticated: that is handed in.
package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/passerelle-cloud/passerelle/compliance/audit"
	"github.com/passerelle-cloud/passerelle/consent"
	"github.com/passerelle-cloud/passerelle/consent/ledger"
	"github.com/passerelle-cloud/passerelle/formats"
	"github.com/passerelle-cloud/passerelle/internal/problem"
	"github.com/passerelle-cloud/passerelle/internal/strict"
)

// API answers auditors, who send the code of their invitation as a bearer token, and administrators.
type API struct {
	Desk *audit.Desk
	// Allowed says whether a request comes from an administrator, and answers where it does not.
	Allowed func(http.ResponseWriter, *http.Request) bool
	Log     *slog.Logger
}

// maxBody is the greatest size of a request, in bytes.
const maxBody = 64 << 10

// asking is an auditor's request.
type asking struct {
	http.ResponseWriter
	r   *http.Request
	who *audit.Auditor
}

// Auditor lets auditors in.
func (a *API) Auditor(do func(*asking) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		scheme, code, _ := strings.Cut(r.Header.Get("Authorization"), " ")
		who, err := a.Desk.ByCode(r.Context(), code)
		if !strings.EqualFold(scheme, "Bearer") || errors.Is(err, audit.ErrNoAuditor) {
			w.Header().Set("WWW-Authenticate", `Bearer realm="audit"`)
			problem.Problem{Type: "no-auditor", Title: "Auditors only", Status: http.StatusUnauthorized, Detail: "Send the code of your invitation as a bearer token. If it is over, ask the operator for a new one."}.Write(w)
			return
		}
		if err == nil {
			err = do(&asking{w, r, who})
		}
		if err != nil {
			a.fail(w, err)
		}
	}
}

func (a *API) fail(w http.ResponseWriter, err error) {
	switch {
	case errors.Is(err, audit.ErrInvalid):
		problem.Problem{Type: "bad-request", Title: "The request is not understood", Status: http.StatusBadRequest, Detail: err.Error()}.Write(w)
	case errors.Is(err, consent.ErrNotFound), errors.Is(err, audit.ErrNoAuditor):
		problem.Problem{Type: "not-found", Title: "There is nothing of that name", Status: http.StatusNotFound, Detail: err.Error()}.Write(w)
	case errors.Is(err, ledger.ErrUnknown):
		problem.Problem{Type: "forgotten", Title: "Nothing can be shown of this person", Status: http.StatusGone, Detail: "Nothing was logged of them, or they were forgotten: the key to their entries was destroyed. That they were there the log still shows."}.Write(w)
	default:
		a.Log.Error("an audit failed", "error", err)
		problem.Problem{Type: "unavailable", Title: "It cannot be answered now", Status: http.StatusServiceUnavailable, Detail: "Try again in a moment."}.Write(w)
	}
}

// answer writes JSON.
func answer(w http.ResponseWriter, what any) error {
	text, err := json.Marshal(what)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	w.Write(append(text, '\n')) // if the reader is gone there is nobody to tell
	return nil
}

// read reads a JSON body strictly.
func read(w http.ResponseWriter, r *http.Request, into any) error {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err == nil {
		err = strict.Decode(body, into)
	}
	if err != nil {
		return fmt.Errorf("%w: %w", audit.ErrInvalid, err)
	}
	return nil
}

// Articles lists each article, how it is kept, and what was found last.
func (a *API) Articles(q *asking) error {
	list, err := a.Desk.Articles(q.r.Context(), q.who)
	if err != nil {
		return err
	}
	return answer(q, map[string]any{"articles": list})
}

// passage is an access in answers.
type passage struct {
	ID        string            `json:"id"`
	Consent   string            `json:"consent"`
	Service   string            `json:"service"`
	Revision  int               `json:"revision"`
	Datasets  []formats.Dataset `json:"datasets"`
	Action    consent.Action    `json:"action"`
	Begun     time.Time         `json:"begun"`
	Ended     time.Time         `json:"ended,omitzero"`
	Records   int64             `json:"records"`
	Bytes     int64             `json:"bytes"`
	SHA256    string            `json:"sha256,omitempty"`
	Outcome   string            `json:"outcome,omitempty"`
	Token     string            `json:"token,omitempty"`
	Covered   bool              `json:"covered"`
	Uncovered string            `json:"uncovered,omitempty"`
	Granted   granted           `json:"granted"`
}

// granted is the revision that a permit names.
type granted struct {
	Revision int              `json:"revision"`
	State    consent.State    `json:"state"`
	At       time.Time        `json:"at"`
	Expires  time.Time        `json:"expires"`
	Details  []consent.Detail `json:"details"`
}

func passageOf(p *audit.Passage) passage {
	g := granted{p.Granted.Number, p.Granted.State, p.Granted.At, p.Granted.Expires, p.Granted.Details}
	return passage{p.ID, p.Consent, p.Service, p.Revision, p.Datasets, p.Action, p.Begun, p.Ended, p.Records, p.Bytes, p.SHA256, p.Outcome, p.Token, p.Uncovered == "", p.Uncovered, g}
}

// Consent shows one consent.
func (a *API) Consent(q *asking) error {
	c, err := a.Desk.Case(q.r.Context(), q.who, q.r.PathValue("id"))
	if err != nil {
		return err
	}
	type revision struct {
		Revision int              `json:"revision"`
		State    consent.State    `json:"state"`
		At       time.Time        `json:"at"`
		Expires  time.Time        `json:"expires"`
		Method   string           `json:"method,omitempty"`
		Reason   string           `json:"reason,omitempty"`
		Language string           `json:"language,omitempty"`
		Notice   string           `json:"notice,omitempty"`
		Packs    []string         `json:"packs"`
		Details  []consent.Detail `json:"details"`
	}
	shown := struct {
		*audit.Case
		Revisions []revision `json:"revisions"`
		Last      []passage  `json:"last"`
	}{c, []revision{}, []passage{}}
	for _, r := range c.Revisions {
		shown.Revisions = append(shown.Revisions, revision{r.Number, r.State, r.At, r.Expires, r.Method, r.Reason, r.Language, r.Notice, r.Packs, r.Details})
	}
	for i := range c.Last {
		shown.Last = append(shown.Last, passageOf(&c.Last[i]))
	}
	return answer(q, shown)
}

// Transfer says whether one access was covered.
func (a *API) Transfer(q *asking) error {
	p, err := a.Desk.Transfer(q.r.Context(), q.who, q.r.PathValue("id"))
	if err != nil {
		return err
	}
	return answer(q, passageOf(p))
}

// question is the body of Question.
type question struct {
	Consent string          `json:"consent"`
	Subject string          `json:"subject"`
	Service string          `json:"service"`
	Purpose string          `json:"purpose"`
	Dataset formats.Dataset `json:"dataset"`
	At      time.Time       `json:"at"`
}

const typeZIP = "application/zip"

// Question says whether there was a consent, from evidence; or gives the evidence itself, where ZIP is accepted.
func (a *API) Question(q *asking) error {
	var b question
	if err := read(q, q.r, &b); err != nil {
		return err
	}
	if b.Dataset != "" {
		if _, err := formats.ParseDataset(string(b.Dataset)); err != nil {
			return fmt.Errorf("%w: %w", audit.ErrInvalid, err)
		}
	}
	got, err := a.Desk.Ask(q.r.Context(), q.who, audit.Inquiry{Consent: b.Consent, Subject: b.Subject, Service: b.Service, Purpose: b.Purpose, Dataset: b.Dataset, At: b.At})
	if err != nil {
		return err
	}
	q.Header().Set("Vary", "Accept")
	if strings.Contains(q.r.Header.Get("Accept"), typeZIP) {
		Evidence(q, got.Evidence)
		return nil
	}
	return answer(q, map[string]any{"answer": got.Answer, "proven": got.Proven})
}

// Evidence answers with a bundle.
func Evidence(w http.ResponseWriter, bundle []byte) {
	h := w.Header()
	h.Set("Content-Type", typeZIP)
	h.Set("Content-Disposition", `attachment; filename="evidence.zip"`)
	h.Set("Content-Length", strconv.Itoa(len(bundle)))
	h.Set("X-Content-Type-Options", "nosniff")
	w.Write(bundle) // if the reader is gone there is nobody to tell
}

// Withdrawals tells how long it took to end consents.
func (a *API) Withdrawals(q *asking) error {
	days, err := Days(q.r)
	if err != nil {
		return err
	}
	w, err := a.Desk.Withdrawals(q.r.Context(), q.who, time.Now().AddDate(0, 0, -days))
	if err != nil {
		return err
	}
	return answer(q, withdrawals(w))
}

// Days is of how many days something is asked: those of the query, or 30.
func Days(r *http.Request) (int, error) {
	text := r.URL.Query().Get("days")
	if text == "" {
		return 30, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > 3660 {
		return 0, fmt.Errorf("%w: days is a number from 1 to 3660", audit.ErrInvalid)
	}
	return n, nil
}

// spread is how long something took, in seconds.
type spread struct {
	Count int     `json:"count"`
	P50   float64 `json:"p50"`
	P95   float64 `json:"p95"`
	P99   float64 `json:"p99"`
	Max   float64 `json:"max"`
}

func spreadOf(s audit.Spread) spread {
	return spread{s.Count, s.P50.Seconds(), s.P95.Seconds(), s.P99.Seconds(), s.Max.Seconds()}
}

func withdrawals(w *audit.Withdrawals) any {
	type silent struct {
		Service string    `json:"service"`
		Events  int64     `json:"events"`
		Since   time.Time `json:"since"`
	}
	type ending struct {
		Consent  string        `json:"consent"`
		Revision int           `json:"revision"`
		Service  string        `json:"service"`
		State    consent.State `json:"state"`
		Asked    time.Time     `json:"asked"`
		Seconds  float64       `json:"seconds"`
	}
	shown := struct {
		Since  time.Time `json:"since"`
		Dead   spread    `json:"dead"`
		Answer spread    `json:"acknowledged"`
		Silent int64     `json:"unacknowledged"`
		Quiet  []silent  `json:"silent"`
		After  int64     `json:"accesses_after"`
		Looked int64     `json:"accesses_looked_at"`
		Last   []ending  `json:"last"`
	}{w.Since, spreadOf(w.Dead), spreadOf(w.Answer), w.Silent, []silent{}, w.After, w.Looked, []ending{}}
	for _, s := range w.Quiet {
		shown.Quiet = append(shown.Quiet, silent{s.Service, s.Events, s.Since})
	}
	for _, e := range w.Last {
		shown.Last = append(shown.Last, ending{e.Consent, e.Revision, e.Service, e.State, e.Asked, e.Dead.Sub(e.Asked).Seconds()})
	}
	return shown
}

// Aggregates gives numbers about all consents.
func (a *API) Aggregates(q *asking) error {
	n, err := a.Desk.Aggregates(q.r.Context(), q.who)
	if err != nil {
		return err
	}
	return answer(q, n)
}

// Registers gives the operator's registers.
func (a *API) Registers(q *asking) error {
	r, err := a.Desk.Registers(q.r.Context(), q.who)
	if err != nil {
		return err
	}
	type refused struct {
		Day      string           `json:"day"`
		Service  string           `json:"service"`
		Step     consent.Step     `json:"step"`
		Code     string           `json:"code"`
		Citation consent.Citation `json:"citation"`
		Count    int64            `json:"count"`
	}
	type suspension struct {
		Service string    `json:"service"`
		Reason  string    `json:"reason"`
		Since   time.Time `json:"since"`
	}
	type abroad struct {
		Service   string   `json:"service"`
		Countries []string `json:"countries"`
		Consents  int64    `json:"consents"` // 0: few
	}
	shown := struct {
		Refused     []refused        `json:"refused"`
		Suspensions []suspension     `json:"suspensions"`
		Abroad      []abroad         `json:"third_countries"`
		Matters     []audit.Matter   `json:"matters"`
		Moves       []audit.Switched `json:"moves"`
	}{[]refused{}, []suspension{}, []abroad{}, r.Matters, r.Moves}
	for _, x := range r.Refused {
		shown.Refused = append(shown.Refused, refused(x))
	}
	for _, x := range r.Suspensions {
		shown.Suspensions = append(shown.Suspensions, suspension(x))
	}
	for _, x := range r.Abroad {
		shown.Abroad = append(shown.Abroad, abroad(x))
	}
	return answer(q, shown)
}

// Conduct tells what the operator did last, and what auditors asked.
func (a *API) Conduct(q *asking) error {
	list, err := a.Desk.Conduct(q.r.Context(), q.who)
	if err != nil {
		return err
	}
	return answer(q, map[string]any{"conduct": list})
}

// Find returns the pseudonym of a person whose name the auditor knows.
func (a *API) Find(q *asking) error {
	var b struct {
		Name   string `json:"name"`
		Reason string `json:"reason"`
	}
	if err := read(q, q.r, &b); err != nil {
		return err
	}
	subject, consents, err := a.Desk.Find(q.r.Context(), q.who, b.Name, b.Reason)
	if err != nil {
		return err
	}
	ids := []string{}
	for _, c := range consents {
		ids = append(ids, c.ID)
	}
	return answer(q, map[string]any{"subject": subject, "consents": ids})
}

// Identify returns who somebody is whom the auditor was shown under a pseudonym.
func (a *API) Identify(q *asking) error {
	var b struct {
		Subject string `json:"subject"`
		Reason  string `json:"reason"`
	}
	if err := read(q, q.r, &b); err != nil {
		return err
	}
	name, err := a.Desk.Identify(q.r.Context(), q.who, b.Subject, b.Reason)
	if err != nil {
		return err
	}
	return answer(q, map[string]string{"name": name})
}
