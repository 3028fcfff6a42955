// Package web is the pages on which a person decides what a service asks, sees what they decided and what came of it,
// and changes their mind. It must never know OAuth, nor how persons sign in: that is handed in.
//
// consent/README.md lists the ways to get a yes that is none; tests in this package, and in a browser, hold that none of
// them is here.
package web

import (
	"context"
	"embed"
	"errors"
	"net/http"
	"time"

	"github.com/passerelle-cloud/passerelle/consent"
	"github.com/passerelle-cloud/passerelle/consent/events"
	"github.com/passerelle-cloud/passerelle/formats"
	"github.com/passerelle-cloud/passerelle/internal/webui"
)

//go:embed templates
var files embed.FS

// version names the pages as they are, in what is kept of a decision. It changes with them.
const version = "2026-11-29.1"

// Options are what the pages need. All must be set but Looked and Overdue.
type Options struct {
	Authority *consent.Authority
	Operator  string // legal name: who checked the services
	// Grant and Refuse take a decision, and return where the person's browser goes.
	Grant  func(ctx context.Context, d consent.Decision) (location string, c consent.Consent, err error)
	Refuse func(ctx context.Context, d consent.Decision) (location string, err error)
	// Locales are the languages that a service asks for, and the origin that the decision's form leads to.
	Locales func(ctx context.Context, request string) (locales, origin string, err error)
	// Receipt makes the signed receipt of a consent of a person, as it stands (a JWS in compact form).
	Receipt func(ctx context.Context, c consent.Consent) ([]byte, error)
	// Told returns what the service was told of a consent, and whether it answered.
	Told func(ctx context.Context, consentID string) ([]events.Event, error)
	// Looked returns which authorities looked at what is kept of a person, the last first; nil: none ever do.
	Looked func(ctx context.Context, person string) ([]Looked, error)
	// Sample returns some records of a person's dataset, of one kind if kind is not empty; the best examples first.
	Sample func(ctx context.Context, person string, d formats.Dataset, kind formats.Kind, most int) ([]formats.Record, error)
	// Overdue returns how many reimbursements a person waits for, of which their page of bills says more; nil: nobody counts.
	Overdue func(ctx context.Context, person string) (int, error)
	// Moving is what a person is told before they move to another operator; nil: nobody does.
	Moving func(ctx context.Context, person string) (Moving, error)
}

// Moving is what goes where everything moves, and what does not.
type Moving struct {
	Goes     []Going
	Stays    []string // texts "stays.WHAT"
	Retained int      // days for which it is kept here after that
}

// Going is how much of a dataset goes.
type Going struct {
	Name           formats.Dataset
	Records, Bytes int64
}

// Looked is that an authority looked at what is kept of a person.
type Looked struct {
	At        time.Time
	Authority string
	What      string // "history.disclosed", "person.found", "identity.disclosed"
	Reason    string // "" where none is asked for
}

// Web is the pages.
type Web struct {
	*webui.UI
	opt Options
}

// New returns the pages.
func New(common webui.Options, opt Options) (*Web, error) {
	ui, err := webui.New(common, files)
	return &Web{UI: ui, opt: opt}, err
}

// Fault shows that an authorisation cannot go on: "not-pushed", "unknown-request", "too-late" or "unavailable".
func (w *Web) Fault(rw http.ResponseWriter, r *http.Request, status int, what string) {
	w.Message(rw, r, &webui.Visitor{Language: w.Language(r, "")}, status, what)
}

// session is what is known of how a person says something.
func session(v *webui.Visitor) consent.SessionFacts {
	return consent.SessionFacts{Method: v.Method, Authenticated: v.Authenticated}
}

// fail shows what went wrong in words.
func (w *Web) fail(rw http.ResponseWriter, r *http.Request, v *webui.Visitor, err error) {
	var refused *consent.RefusedError
	switch {
	case errors.As(err, &refused):
		w.Render(rw, r, v, webui.Page{Template: "refused", Title: "refused.title", Status: http.StatusForbidden, Data: refused.Refusals})
	case errors.Is(err, consent.ErrNotFound):
		w.Message(rw, r, v, http.StatusNotFound, "not-found")
	case errors.Is(err, consent.ErrState):
		w.Message(rw, r, v, http.StatusConflict, "too-late")
	case errors.Is(err, consent.ErrSuspended):
		w.Message(rw, r, v, http.StatusForbidden, "suspended")
	case errors.Is(err, consent.ErrBeyond):
		w.Message(rw, r, v, http.StatusBadRequest, "nothing-chosen")
	case errors.Is(err, consent.ErrRequest):
		w.Message(rw, r, v, http.StatusBadRequest, "bad-form")
	default:
		w.Fail(rw, r, v, err)
	}
}
