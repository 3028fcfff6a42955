package web

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/passerelle-cloud/passerelle/compliance/audit"
	"github.com/passerelle-cloud/passerelle/consent"
	"github.com/passerelle-cloud/passerelle/formats"
)

// questions is what the page with the questions shows.
type questions struct {
	Asked    asked
	Datasets []formats.Dataset
	Answer   *audit.Answer // nil: nothing was asked yet
	Proven   *audit.Proven
	Found    *found
}

// asked is a question as the form has it.
type asked struct{ Consent, Subject, Service, Purpose, Dataset, At string }

// found is a person whom the auditor looked for.
type found struct {
	Subject  string
	Consents []consent.Consent
	Name     string // who somebody is; "" if the auditor knew it
}

// Questions shows what can be asked.
func (w *Web) Questions(s *seat) error {
	q := s.r.URL.Query()
	return w.show(s, "desk-questions", "questions", questions{Datasets: formats.Datasets(), Asked: asked{Consent: q.Get("consent"), Subject: q.Get("subject"), Service: q.Get("service")}})
}

// inquiry reads a question from a form.
func inquiry(r *http.Request) (asked, audit.Inquiry, error) {
	field := func(name string) string { return strings.TrimSpace(r.PostFormValue(name)) }
	a := asked{field("consent"), field("subject"), field("service"), field("purpose"), field("dataset"), field("at")}
	q := audit.Inquiry{Consent: a.Consent, Subject: a.Subject, Service: a.Service, Purpose: a.Purpose, Dataset: formats.Dataset(a.Dataset)}
	if a.Dataset != "" {
		if _, err := formats.ParseDataset(a.Dataset); err != nil {
			return a, q, fmt.Errorf("%w: %w", audit.ErrInvalid, err)
		}
	}
	if a.At == "" {
		return a, q, nil
	}
	for _, layout := range []string{time.RFC3339, "2006-01-02T15:04", "2006-01-02T15:04:05"} { // as browsers send it: UTC, as the page says
		if at, err := time.Parse(layout, a.At); err == nil {
			q.At = at
			return a, q, nil
		}
	}
	return a, q, fmt.Errorf("%w: %.40q is no time", audit.ErrInvalid, a.At)
}

// Ask answers a question.
func (w *Web) Ask(s *seat) error {
	a, q, err := inquiry(s.r)
	if err != nil {
		return err
	}
	got, err := w.opt.Desk.Ask(s.r.Context(), s.who, q)
	if err != nil {
		return err
	}
	return w.show(s, "desk-questions", "questions", questions{Asked: a, Datasets: formats.Datasets(), Answer: got.Answer, Proven: got.Proven})
}

// Evidence gives the evidence that an answer rests on.
func (w *Web) Evidence(s *seat) error {
	_, q, err := inquiry(s.r)
	if err != nil {
		return err
	}
	got, err := w.opt.Desk.Ask(s.r.Context(), s.who, q)
	if err != nil {
		return err
	}
	h := s.w.Header()
	h.Set("Content-Type", "application/zip")
	h.Set("Content-Disposition", `attachment; filename="evidence.zip"`)
	h.Set("Content-Length", strconv.Itoa(len(got.Evidence)))
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	s.w.Write(got.Evidence) // if the reader is gone there is nobody to tell
	return nil
}

// Find shows under which pseudonym a person is here whose name the auditor knows.
func (w *Web) Find(s *seat) error {
	subject, consents, err := w.opt.Desk.Find(s.r.Context(), s.who, strings.TrimSpace(s.r.PostFormValue("name")), s.r.PostFormValue("reason"))
	if err != nil {
		return err
	}
	return w.show(s, "desk-questions", "questions", questions{Datasets: formats.Datasets(), Asked: asked{Subject: subject}, Found: &found{Subject: subject, Consents: consents}})
}

// Identify shows who somebody is.
func (w *Web) Identify(s *seat) error {
	subject := s.r.PostFormValue("subject")
	name, err := w.opt.Desk.Identify(s.r.Context(), s.who, subject, s.r.PostFormValue("reason"))
	if err != nil {
		return err
	}
	return w.show(s, "desk-questions", "questions", questions{Datasets: formats.Datasets(), Asked: asked{Subject: subject}, Found: &found{Subject: subject, Name: name}})
}

// Consent shows a consent.
func (w *Web) Consent(s *seat) error {
	c, err := w.opt.Desk.Case(s.r.Context(), s.who, s.r.PathValue("id"))
	if err != nil {
		return err
	}
	return w.show(s, "desk-consent", "questions", c)
}

// transfers is what the page about accesses shows.
type transfers struct {
	ID       string
	Passage  *audit.Passage
	NotFound bool
}

// Transfers says whether an access was covered.
func (w *Web) Transfers(s *seat) error {
	page := transfers{ID: strings.TrimSpace(s.r.URL.Query().Get("id"))}
	if page.ID == "" {
		return w.show(s, "desk-transfers", "transfers", page)
	}
	var err error
	if page.Passage, err = w.opt.Desk.Transfer(s.r.Context(), s.who, page.ID); err != nil {
		return err
	}
	return w.show(s, "desk-transfers", "transfers", page)
}
